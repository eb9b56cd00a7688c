# SPDX-License-Identifier: Apache-2.0
"""Operators of com.microsoft on integers, and its smaller ones. onnxruntime is the truth."""
import ml_dtypes
import numpy as np

MS = "com.microsoft"
u, s = np.uint8, np.int8


def one(v):
    return np.array(v, np.float32)


def bytes_of(rng):
    return lambda kind, *shape: rng.integers(*((0, 256) if kind == u else (-128, 128)), shape).astype(kind)


def products(case, f, q, rng):
    for i in range(24):
        a, b = [(u, u), (u, s), (s, s)][i % 3]
        m, k, n = (int(v) for v in rng.integers(1, 40, 3))
        lead = [(), (3,), (2, 3)][i // 3 % 3]
        shared = () if i % 2 else lead
        each = i % 4 == 1
        scale = (np.abs(f(n)) * 0.02 + 0.01).astype(np.float32) if each else one(0.02)
        zero = q(b, n) if each else q(b)
        bias = f(n) if i % 5 else None
        case("MatMulIntegerToFloat", 1, [q(a, *lead, m, k), q(b, *shared, k, n), one(0.03), scale,
             q(a) if i % 3 else None, zero if i % 4 else None, bias], domain=MS, rtol=1e-4, atol=1e-3)
        case("DynamicQuantizeMatMul", 1, [f(*lead, m, k), q(b, *shared, k, n), scale, zero if i % 4 else None, bias],
             domain=MS, rtol=1e-4, atol=2e-3)
        turned_a, turned_b = i % 2, i // 2 % 2
        c = [None, rng.integers(-900, 900, n).astype(np.int32), rng.integers(-900, 900, (m, n)).astype(np.int32)][i % 3]
        output = [one(0.7), q(a)] if i % 4 > 1 else []
        inputs = [q(a, *((k, m) if turned_a else (m, k))), one(0.03), q(a), q(b, *((n, k) if turned_b else (k, n))),
                  scale, zero, c, *output]
        while inputs[-1] is None:
            inputs.pop()
        case("QGemm", 1, inputs, {"transA": turned_a, "transB": turned_b, "alpha": 0.5 if i % 5 == 0 and c is None else 1.0},
             domain=MS, rtol=1e-4, atol=1 if output else 1e-3)


def lstm(case, f, q, rng):
    for i in range(36):
        kind, directions = [u, s][i % 2], [1, 1, 2][i % 3]
        steps, batch, inner, hidden = int(rng.integers(1, 8)), int(rng.integers(1, 4)), int(rng.integers(1, 20)), 2 * int(
            rng.integers(1, 12))
        each = i % 4 > 1 and kind == s
        scales = lambda: (np.abs(f(directions, *((4 * hidden,) if each else ()))) * 0.003 + 0.002).astype(np.float32)
        zeros = lambda: (np.zeros((directions, 4 * hidden), kind) if each else q(kind, directions))
        states = lambda: f(directions, batch, hidden) if i % 2 else None
        lengths = rng.integers(i % 2, steps + 1, batch).astype(np.int32) if i % 12 > 5 else None
        attrs = {"hidden_size": hidden, "direction": ["forward", "reverse", "bidirectional"][i % 3]}
        case("DynamicQuantizeLSTM", 1, [f(steps, batch, inner), q(kind, directions, inner, 4 * hidden),
             q(kind, directions, hidden, 4 * hidden), f(directions, 8 * hidden) if i % 3 else None, lengths, states(),
             states(), f(directions, 3 * hidden) if i % 4 == 3 else None, scales(), zeros(), scales(), zeros()], attrs, 3,
             domain=MS, rtol=1e-3, atol=1e-4)


def linear(case, f, q, rng):
    for kind in (u, s):
        for i, (a, b) in enumerate([((3, 4), (3, 4)), ((2, 3, 70), (70,)), ((5, 1, 4), (1, 6, 4)), ((4,), ()), ((300,), (300,))]):
            zeros = lambda: q(kind) if i % 2 else None
            for op in ("QLinearAdd", "QLinearMul"):
                case(op, 1, [q(kind, *a), one(0.05), zeros(), q(kind, *b), one(0.03), zeros(),
                             one(0.08 if op == "QLinearAdd" else 0.2), q(kind)], domain=MS, atol=1)
            case("QLinearSigmoid", 1, [q(kind, *a), one(0.05), zeros(), one(1 / 256), q(kind)], domain=MS, atol=1)
            case("QLinearLeakyRelu", 1, [q(kind, *a), one(0.05), zeros(), one(0.04), q(kind)], {"alpha": 0.1}, domain=MS,
                 atol=1)
        for axis, opset in ((-1, 13), (1, 13), (1, 11), (0, 13)):
            case("QLinearSoftmax", 1, [q(kind, 2, 5, 6), one(0.05), q(kind), one(1 / 256), np.array(0 if kind == u else -128, kind)],
                 {"axis": axis, "opset": opset}, domain=MS, atol=1)
        for axis in (0, 1, -1):
            parts = [[3, 4, 5] for _ in range(3)]
            for i, part in enumerate(parts):
                part[axis] = i + 1
            threes = [v for part in parts for v in (q(kind, *part), one(rng.random() * 0.1 + 0.02), q(kind))]
            case("QLinearConcat", 1, [one(0.07), q(kind)] + threes, {"axis": axis}, domain=MS, atol=1)
        for last in (0, 1):
            shape = (2, 9, 8, 5) if last else (2, 5, 9, 8)
            case("QLinearGlobalAveragePool", 1, [q(kind, *shape), one(0.05), q(kind), one(0.03), q(kind)],
                 {"channels_last": last}, domain=MS, atol=1)
            for attrs in ({"kernel_shape": [3, 2]}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]},
                          {"kernel_shape": [3, 3], "pads": [1, 0, 1, 1], "count_include_pad": 1},
                          {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1},
                          {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}):
                case("QLinearAveragePool", 1, [q(kind, *shape), one(0.05), q(kind), one(0.04), q(kind)],
                     attrs | {"channels_last": last}, domain=MS, atol=1)
        x = f(3, 4, 50) * 4
        case("QuantizeLinear", 1, [x, one(0.05), q(kind)], domain=MS, atol=0)
        case("QuantizeLinear", 1, [x, np.abs(f(4)) * 0.1 + 0.01, q(kind, 4)], {"axis": 1}, domain=MS, atol=0)
        case("DequantizeLinear", 1, [q(kind, 3, 4, 50), one(0.05), q(kind)], domain=MS)
        case("DequantizeLinear", 1, [q(kind, 3, 4, 50), np.abs(f(4)) * 0.1 + 0.01, q(kind, 4)], {"axis": 1}, domain=MS)


def lookups(case, f, q, rng):
    for i in range(18):
        kind = ["uint8", "uint4", "int4"][i % 3]
        rows, width, block = int(rng.integers(2, 9)), int(rng.integers(2, 70)) * 2, int(rng.choice([16, 32, 64]))
        blocks = -(-width // block)
        at = rng.integers(-rows, rows, [(3,), (2, 4), ()][i // 3 % 3]).astype([np.int32, np.int64][i % 2])
        scales = (np.abs(f(rows, blocks)) + 0.1).astype(np.float32)
        attrs = {"block_size": block, "quantize_axis": 1, "gather_axis": 0}
        has_zeros = i % 4 > 1
        if kind == "uint8":
            attrs["bits"] = [4, 8, 4][i % 9 // 3]
            each = 8 // attrs["bits"]
            data, zeros = q(u, rows, width // each), q(u, rows, -(-blocks // each))
        else:
            low = 0 if kind == "uint4" else -8
            codes = lambda *shape: rng.integers(low, low + 16, shape).astype(getattr(ml_dtypes, kind))
            data, zeros = codes(rows, width), codes(rows, blocks)
        packed = np.asarray(data)
        case("GatherBlockQuantized", 1, [packed, at, scales] + ([zeros] if has_zeros else []), attrs, domain=MS,
             expect=[looked_up(packed, at, scales, zeros if has_zeros else None, attrs)])
        if kind == "uint8":
            case("GatherBlockQuantized", 1, [packed, at, scales] + ([zeros] if has_zeros else []), attrs, domain=MS)


def looked_up(data, at, scales, zeros, attrs):
    if data.dtype == u:
        shifts = np.arange(0, 8, attrs["bits"])
        spread = lambda t: (t[..., None] >> shifts & (2**attrs["bits"] - 1)).reshape(len(t), -1)
        data, zero = spread(data), 2**(attrs["bits"] - 1)
        zero = spread(zeros)[:, :scales.shape[1]] if zeros is not None else np.full(scales.shape, zero)
    else:
        zero = zeros.astype(np.int32) if zeros is not None else np.zeros(scales.shape)
        data = data.astype(np.int32)
    blocks = np.arange(data.shape[1]) // attrs["block_size"]
    return ((data - zero[:, blocks].astype(np.float64)) * scales[:, blocks]).astype(np.float32)[at]


def others(case, f, q, rng):
    for n in (1, 2, 5, 9):
        case("Inverse", 1, [f(3, n, n) + np.eye(n, dtype=np.float32) * 4], domain=MS, rtol=1e-3, atol=1e-4)
    case("Inverse", 1, [np.array([[0, 1], [2, 3]], np.float64)], domain=MS)
    case("Inverse", 1, [np.ones((2, 2), np.float32)], domain=MS, expect=[np.ones((2, 2), np.float32)], status=3)
    for n, sides in ((1, (1,)), (5, (5,)), (7, (7, 3)), (4, (4, 0))):
        a, b = rng.standard_normal((n, n)), rng.standard_normal(sides)
        a[0, 0] = 0 if n > 1 else 2
        for turned in (0, 1):
            case("Solve", 1, [a, b], {"transposed": turned}, domain=MS, expect=[np.linalg.solve(a.T if turned else a, b)])
    case("Solve", 1, [np.ones((2, 2), np.float32), np.ones(2, np.float32)], domain=MS, expect=[np.ones(2, np.float32)],
         status=3)
    for upper in (0, 1):
        for k in (-2, 0, 1):
            case("Trilu", 1, [f(2, 4, 5), np.array(k, np.int64)], {"upper": upper}, domain=MS)
    for i in range(12):
        heads, half, batch, length = 1 + i % 3, int(rng.integers(1, 3)) * 8, 1 + i % 2, int(rng.integers(1, 6))
        rest = 16 if i % 4 == 3 else 0
        width = 2 * half + rest
        angles = rng.random((length + 4, half)) * 6
        caches = [np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)]
        x = f(batch, heads, length, width) if i % 2 else f(batch, length, heads * width)
        places = np.array([2], np.int64) if i % 3 == 0 else rng.integers(0, length + 4, (batch, length))
        attrs = {"interleaved": i // 2 % 2}
        if rest:
            attrs |= {"rotary_embedding_dim": 2 * half, "num_heads": heads}
        if i % 5 == 4:
            attrs |= {"is_packed_batching": 1, "scale": 0.5}
        case("RotaryEmbedding", 1, [x, places, *caches], attrs, domain=MS)


def make(case, rng):
    f = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    q = bytes_of(rng)
    products(case, f, q, rng)
    lstm(case, f, q, rng)
    linear(case, f, q, rng)
    lookups(case, f, q, rng)
    others(case, f, q, rng)
