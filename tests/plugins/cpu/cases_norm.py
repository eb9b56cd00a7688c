# SPDX-License-Identifier: Apache-2.0
"""Normalisations and the softmax family."""
import numpy as np


def batch_old(case, f, opset, shape, spatial):
    """Versions that train where the statistics are outputs, per channel or per element; onnxruntime does neither."""
    axes = (0, *range(2, len(shape))) if spatial else (0,)
    own = shape[1:2] if spatial else shape[1:]
    x, (scale, bias, mean, variance) = f(*shape), (f(*own) for _ in range(4))
    variance = np.abs(variance) + np.float32(0.1)
    attrs = {"momentum": 0.75} | ({"spatial": spatial} if opset < 9 else {}) | (
        {"consumed_inputs": [0, 0, 0, 1, 1]} if opset == 1 else {})
    spread = [1, *own] + [1] * (len(shape) - 1 - len(own))

    def scaled(m, v):
        m, v, s, b = (np.asarray(a, np.float64).reshape(spread) for a in (m, v, scale, bias))
        return ((x - m) / np.sqrt(v + 1e-5) * s + b).astype(np.float32)

    wide = x.astype(np.float64)
    m, v = wide.mean(axes).reshape(own), wide.var(axes).reshape(own)
    moved = [0.75 * mean + 0.25 * m, 0.75 * variance + 0.25 * v]
    inputs = [x, scale, bias, mean, variance]
    case("BatchNormalization", opset, inputs, attrs, expect=[scaled(mean, variance)])
    case("BatchNormalization", opset, inputs, attrs, note="training",
         expect=[scaled(m, v)] + [np.asarray(a, np.float32) for a in (*moved, m, v)])
    if opset < 7:
        case("BatchNormalization", opset, inputs, attrs | {"is_test": 1}, note="statistics as they are",
             expect=[scaled(mean, variance), mean, variance, mean, variance])


def make(case, rng):
    def f(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    for shape in [(2, 3, 4, 5), (2, 3), (1, 7, 33), (2, 3, 2, 3, 4)]:
        c = shape[1]
        for opset in (9, 15):
            case("BatchNormalization", opset, [f(*shape), f(c), f(c), f(c), np.abs(f(c)) + 0.1], {"epsilon": 1e-3})
        case("BatchNormalization", 15, [f(*shape), f(c), f(c), f(c), np.abs(f(c)) + 0.1], {"momentum": 0.7,
             "training_mode": 1}, outputs=3)
        if len(shape) > 2:
            case("InstanceNormalization", 6, [f(*shape), f(c), f(c)])
    for shape in [(2, 3), (3, 2, 4), (2, 3, 4, 5)]:
        for opset in (1, 6, 7, 9):
            for spatial in (1, 0) if opset < 9 else (1,):
                batch_old(case, f, opset, shape, spatial)
    case("BatchNormalization", 15, [f(2, 3, 4), f(3), f(3), f(3), np.abs(f(3)) + 0.1], as_type=np.float64)
    for shape, axis in [((2, 3, 40), -1), ((2, 3, 40), 1), ((3, 700), 1), ((2, 3, 4, 5), 2), ((5,), 0)]:
        dims = shape[axis:] if axis >= 0 else shape[axis:]
        case("LayerNormalization", 17, [f(*shape), f(*dims), f(*dims)], {"axis": axis}, outputs=3, rtol=1e-4, atol=1e-4)
        case("LayerNormalization", 17, [f(*shape), f(*dims)], {"axis": axis, "epsilon": 1e-2})
        x, s = f(*shape), f(*dims)
        mean = (x.astype(np.float64) ** 2).mean(axis=tuple(range(axis % len(shape), len(shape))), keepdims=True)
        case("RMSNormalization", 23, [x, s], {"axis": axis}, expect=[(x / np.sqrt(mean + 1e-5) * s).astype(np.float32)])
    case("LayerNormalization", 17, [f(2, 4, 8), f(8), f(8)], as_type=np.float16)
    case("LayerNormalization", 17, [f(2, 4, 8), f(8), f(8)], as_type=np.float64)
    for shape, groups in [((2, 6, 3, 5), 3), ((1, 8, 20), 2), ((2, 4, 3), 4)]:
        x, c = f(*shape), shape[1]
        wide = x.astype(np.float64).reshape(shape[0], groups, -1)
        unit = (wide - wide.mean(2, keepdims=True)) / np.sqrt(wide.var(2, keepdims=True) + 1e-5)
        s, b = f(c), f(c)
        spread = (1, c) + (1,) * (len(shape) - 2)
        y = unit.reshape(shape) * s.reshape(spread) + b.reshape(spread)
        case("GroupNormalization", 21, [x, s, b], {"num_groups": groups}, expect=[y.astype(np.float32)])
        s, b = f(groups), f(groups)
        y = (unit * s.reshape(1, -1, 1) + b.reshape(1, -1, 1)).reshape(shape)
        case("GroupNormalization", 18, [x, s, b], {"num_groups": groups}, expect=[y.astype(np.float32)])
    for size in (1, 2, 3, 4, 5):
        # onnxruntime takes odd sizes only, and ONNX's evaluator leaves channels out: the text of the operator it is.
        x = f(2, 5, 4, 3)
        squares = np.stack([(x[:, max(0, c - (size - 1) // 2):c + size // 2 + 1].astype(np.float64) ** 2).sum(1)
                            for c in range(5)], 1)
        case("LRN", 13, [x], {"size": size, "alpha": 0.1, "beta": 0.6, "bias": 2.0},
             expect=[(x / (2.0 + 0.1 / size * squares) ** 0.6).astype(np.float32)])
    case("LRN", 13, [f(2, 5, 4, 3)], {"size": 3})
    case("MeanVarianceNormalization", 13, [f(2, 3, 4, 5)], atol=1e-4)
    case("MeanVarianceNormalization", 9, [f(2, 3, 4, 5)], {"axes": [2, 3]}, atol=1e-4)
    for p in (1, 2):
        for axis in (0, 1, -1):
            case("LpNormalization", 1, [f(3, 4, 5)], {"p": p, "axis": axis})
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        for shape in [(3, 40), (2, 3, 4, 5), (7,), (2, 1000), (1, 1), (4, 17, 33)]:
            for axis in range(-1, len(shape)):
                case(op, 13, [f(*shape) * 5], {"axis": axis})
                if axis >= 0:
                    case(op, 11, [f(*shape) * 5], {"axis": axis})
        case(op, 11, [f(2, 3, 4)])
        case(op, 13, [f(2, 3, 4)])
        case(op, 1, [f(2, 3, 4)])
        case(op, 13, [f(2, 3, 4)], as_type=np.float64)
        if op != "Hardmax":
            case(op, 13, [f(2, 3, 4)], as_type=np.float16)
            case(op, 13, [np.array([[1e4, -np.inf, 3, 1e4], [-1e4, -2e4, 0, 200]], np.float32)])
