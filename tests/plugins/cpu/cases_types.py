# SPDX-License-Identifier: Apache-2.0
"""Cast between all types, and the quantising operators."""
import ml_dtypes
import numpy as np
from onnx import helper

F, D, H, B, I = np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int64
INTS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
FLOAT8 = [ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2, ml_dtypes.float8_e5m2fnuz]
INT4, UINT4, FLOAT4 = ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.float4_e2m1fn
CODES = {F: 1, np.uint8: 2, np.int8: 3, np.uint16: 4, np.int16: 5, np.int32: 6, I: 7, object: 8, bool: 9, H: 10, D: 11,
         np.uint32: 12, np.uint64: 13, B: 16, **{t: 17 + k for k, t in enumerate(FLOAT8)}, UINT4: 21, INT4: 22, FLOAT4: 23,
         ml_dtypes.float8_e8m0fnu: 24, ml_dtypes.uint2: 25, ml_dtypes.int2: 26}
NAN, INF = float("nan"), float("inf")


def saturated(x, t):
    big = float(ml_dtypes.finfo(t).max)
    return np.where(np.isnan(x), x, np.clip(x, -big, big)).astype(t)


def cast(case, rng):
    small = np.array([0, 1, 2, 3, 5, 7, 1, 0, 6], F)
    numbers = [F, D, H, B, bool] + INTS
    for a in numbers + FLOAT8 + [INT4, UINT4, FLOAT4]:
        for b in numbers + FLOAT8 + [INT4, UINT4, FLOAT4]:
            x = np.minimum(small, 6).astype(a) if FLOAT4 in (a, b) else small.astype(a)
            want = x.astype(F).astype(b)
            case("Cast", 25, [x], {"to": CODES[b]}, expect=[want], atol=0, rtol=0, note=f"{np.dtype(a)}")
    x = np.concatenate([rng.standard_normal(40) * 10.0 ** rng.integers(-9, 6, 40), [65504, 65519, 65520, 6e-8, 2.9e-8, 3e-8, NAN, INF, -INF, -0.0]])
    for a in (F, D):
        for b in (H, B, F, D):
            v = x.astype(a)
            with np.errstate(all="ignore"):
                case("Cast", 19, [v], {"to": CODES[b]}, expect=[v.astype(b)], atol=0, rtol=0, note="exact")
    tie = np.array([1 + 2 ** -11 + 2 ** -40, 1 + 2 ** -11, 1 + 3 * 2 ** -11 - 2 ** -40], D)
    case("Cast", 19, [tie], {"to": 10}, expect=[tie.astype(H)], atol=0, rtol=0, note="one rounding")
    for h in (H, B):
        every = np.arange(0, 65536, 7, dtype=np.uint16).view(h)[:9360:9]
        case("Cast", 19, [every], {"to": 1}, expect=[every.astype(F)], atol=0, rtol=0)
    wide = np.concatenate([rng.standard_normal(60) * 10.0 ** rng.integers(-6, 6, 60), [0.0, -0.0, NAN, INF, -INF, 448, 464, 465, 240, 57344, 61440, 61441]]).astype(F)
    for t in FLOAT8:
        for v in (wide, wide.astype(H), wide.astype(D)):
            case("Cast", 19, [v], {"to": CODES[t]}, expect=[saturated(v.astype(F), t)], atol=0, rtol=0, note="saturate")
            case("Cast", 19, [v], {"to": CODES[t], "saturate": 0}, expect=[v.astype(F).astype(t)], atol=0, rtol=0)
        every = np.arange(256, dtype=np.uint8).view(t)
        case("Cast", 19, [every], {"to": 1}, expect=[every.astype(F)], atol=0, rtol=0)
        case("CastLike", 19, [wide, np.zeros(1, t)], expect=[saturated(wide, t)], atol=0, rtol=0)
    every = np.arange(16, dtype=np.uint8).view(FLOAT4)
    case("Cast", 23, [every], {"to": 1}, expect=[every.astype(F)], atol=0, rtol=0)
    v = np.array([0.2, 0.25, 0.26, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 5.1, 7, 100, -0.3, -2.5, -9], F)
    case("Cast", 23, [v], {"to": 23}, expect=[v.astype(FLOAT4)])
    p = np.array([1, 1.1, 1.5, 1.9, 2, 3, 0.3, 1e-38, 3e38, 2.0 ** -126, 1.4 * 2.0 ** -126], F)
    for mode in ("up", "down", "nearest"):
        for saturate in (0, 1):
            case("Cast", 24, [p], {"to": 24, "round_mode": mode, "saturate": saturate}, atol=0, rtol=0)
    case("Cast", 24, [np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e8m0fnu)], {"to": 1}, atol=0, rtol=0)
    odd = np.array([2 ** 63 + 2 ** 39 + 1, 2 ** 64 - 1, 2 ** 63], np.uint64)
    case("Cast", 13, [odd], {"to": 1}, expect=[odd.astype(F)], atol=0, rtol=0, note="one rounding")
    for a in (I, np.int32, np.uint64):
        n = np.array([300, 70000, 2 ** 31 - 1, 129, 255], a)
        for b in INTS + [bool]:
            case("Cast", 13, [n], {"to": CODES[b]}, expect=[n.astype(b)], note="wraps")
    case("Cast", 13, [np.array([-1, -129, 200], np.int16)], {"to": 3}, expect=[np.array([-1, 127, -56], np.int8)])
    f = np.array([1.9, -1.9, 127.5, -0.5, 200.7], F)
    for b in (np.int8, np.int16, np.int32, I):
        case("Cast", 13, [f[:4]], {"to": CODES[b]}, expect=[f[:4].astype(b)])
    case("Cast", 13, [f], {"to": 9}, expect=[f != 0])
    case("Cast", 13, [np.array([NAN, 0.0, -0.0], F)], {"to": 9}, expect=[np.array([True, False, False])])
    case("Cast", 13, [np.array([-1, 5], INT4)], {"to": 1}, expect=[np.array([-1, 5], F)])
    case("Cast", 25, [np.array([-2, 1, 0, -1, 1], ml_dtypes.int2)], {"to": 1}, expect=[np.array([-2, 1, 0, -1, 1], F)])
    case("Cast", 25, [np.array([3, 1, 0, 2, 1], F)], {"to": 25}, expect=[np.array([3, 1, 0, 2, 1], ml_dtypes.uint2)])
    for text, t in ((["3.14", "1e-5", "1E8", "-INF", "inf", "NaN", "+INF", "7"], F), (["3.14", "-2e300"], D), (["42", "-7"], I),
                    (["42", "100.5"], np.int32), (["18446744073709551615"], np.uint64), (["1.5", "2"], H), (["1", "0"], bool)):
        v = np.array(text, object)
        want = np.array([float(s) for s in text]) if t in (F, D, H) else None
        want = want.astype(t) if want is not None else np.array([int(float(s)) if "." in s else int(s) for s in text]).astype(t)
        case("Cast", 13, [v], {"to": CODES[t]}, expect=[want])
    case("Cast", 13, [np.array(["1", "Hello"], object)], {"to": 1}, expect=[np.zeros(2, F)], status=3, note="no number")
    case("Cast", 13, [np.array([0.25, -1.5, 314.15926, INF, NAN, 0.1], F)], {"to": 8},
         expect=[np.array(["0.25", "-1.5", "314.15927", "INF", "NaN", "0.1"], object)])
    case("Cast", 13, [np.array([1 / 3], D)], {"to": 8}, expect=[np.array(["0.3333333333333333"], object)])
    case("Cast", 13, [np.array([[-5, 7]], I)], {"to": 8}, expect=[np.array([["-5", "7"]], object)])
    case("Cast", 13, [np.array(["a"], object)], {"to": 8}, expect=[np.array(["a"], object)])
    case("Cast", 1, [small], {"to": "INT64"}, expect=[small.astype(I)])
    case("Cast", 13, [np.zeros((0, 2), F)], {"to": 7}, expect=[np.zeros((0, 2), I)])
    case("CastLike", 15, [small, np.zeros(1, I)], expect=[small.astype(I)])


def quantise(case, rng):
    x = (rng.standard_normal((3, 4, 5)) * 40).astype(F)
    ranges = {np.int8: (-128, 127), np.uint8: (0, 255), np.int16: (-32768, 32767), np.uint16: (0, 65535), INT4: (-8, 7),
              UINT4: (0, 15), ml_dtypes.int2: (-2, 1), ml_dtypes.uint2: (0, 3)}

    def q(v, s, z, t):
        return np.clip(np.rint(v / s) + np.asarray(z).astype(F), *ranges[t]).astype(I).astype(t)

    for t in ranges:
        opset = 25 if t in (ml_dtypes.int2, ml_dtypes.uint2) else 21
        z = np.array(1, t)
        case("QuantizeLinear", opset, [x, np.array(0.7, F), z], expect=[q(x, F(0.7), 1, t)])
        for axis in (0, 1, -1):
            n = x.shape[axis]
            s, zp = rng.uniform(0.3, 2, n).astype(F), rng.integers(0, 2, n)
            shape = [1] * 3
            shape[axis] = n
            case("QuantizeLinear", opset, [x, s, zp.astype(t)], {"axis": axis}, expect=[q(x, s.reshape(shape), zp.reshape(shape), t)])
            y = rng.integers(*ranges[t], x.shape).astype(t)
            want = (y.astype(F) - zp.reshape(shape).astype(F)) * s.reshape(shape)
            case("DequantizeLinear", opset, [y, s, zp.astype(t)], {"axis": axis}, expect=[want.astype(F)], rtol=1e-6)
            for block in (2, 3):
                count = -(-n // block)
                bs = list(x.shape)
                bs[axis] = count
                s, zp = rng.uniform(0.3, 2, bs).astype(F), rng.integers(0, 2, bs)
                full = np.take(np.repeat(s, block, axis), range(n), axis)
                fz = np.take(np.repeat(zp, block, axis), range(n), axis)
                case("QuantizeLinear", opset, [x, s, zp.astype(t)], {"axis": axis, "block_size": block}, expect=[q(x, full, fz, t)])
                case("DequantizeLinear", opset, [y, s, zp.astype(t)], {"axis": axis, "block_size": block}, rtol=1e-6,
                     expect=[((y.astype(F) - fz.astype(F)) * full).astype(F)])
        case("DequantizeLinear", opset, [np.array([1, 0], t), np.array(0.5, F)], expect=[np.array([0.5, 0], F)])
    tie = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 1000, -1000, 126.5, 127.5], F)
    case("QuantizeLinear", 10, [tie, np.array(1, F), np.array(0, np.int8)], expect=[q(tie, 1, 0, np.int8)])
    case("QuantizeLinear", 13, [tie, np.array(1, F)], expect=[q(tie, 1, 0, np.uint8)])
    case("QuantizeLinear", 13, [np.array([7, -9, 300], np.int32), np.array(2, F), np.array(1, np.uint8)],
         expect=[q(np.array([7, -9, 300], F), F(2), 1, np.uint8)])
    case("QuantizeLinear", 21, [x, np.array(0.5, F)], {"output_dtype": 3}, expect=[q(x, F(0.5), 0, np.int8)])
    for h in (H, B):
        v, s = x.astype(h), np.array(0.5, h)
        case("QuantizeLinear", 21, [v, s, np.array(3, np.int8)], expect=[q((v / s).astype(F), 1, 3, np.int8)])
        case("DequantizeLinear", 21, [np.array([5, -7], np.int8), s, np.array(1, np.int8)], expect=[np.array([2, -4], h)])
    v = np.array([1000.3, -5, 0.37, 2049, 70000], F)
    for s, attrs in ((np.array(0.1, F), {"precision": 10}), (np.array(0.1, H), {"precision": 10}), (np.array(0.1, H), {})):
        want = np.rint(v[:4].astype(H) / s.astype(H)).astype(F) + 3
        case("QuantizeLinear", 24, [v, s, np.array(3, np.int16)], attrs, atol=0, rtol=0, note="precision",
             expect=[np.append(want, 32767).astype(np.int16)])
    case("DequantizeLinear", 23, [np.array([5, -7], np.int8), np.array(0.5, F)], {"output_dtype": 10}, expect=[np.array([2.5, -3.5], H)])
    case("DequantizeLinear", 13, [np.array([[1000, -5]], np.int32), np.array(0.25, F)], expect=[np.array([[250, -1.25]], F)])
    for t in FLOAT8:
        case("QuantizeLinear", 19, [x, np.array(0.01, F), np.array(0, t)], expect=[saturated(x / F(0.01), t)], rtol=0)
        y = np.arange(1, 120, 7, dtype=np.uint8).view(t)
        case("DequantizeLinear", 19, [y, np.array(0.5, F), np.array(0, t)], expect=[y.astype(F) * F(0.5)])
    v = np.array([0.2, 1, 5, -2.5, 9], F)
    case("QuantizeLinear", 23, [v, np.array(1, F), np.array(0, FLOAT4)], expect=[v.astype(FLOAT4)])
    case("DequantizeLinear", 23, [np.array([1, -6, 0.5], FLOAT4), np.array(2, F)], expect=[np.array([2, -12, 1], F)])
    case("QuantizeLinear", 13, [x, np.ones(3, F), np.zeros(3, np.int8)], {"axis": 1}, expect=[x.astype(np.int8)], status=3, note="scales")
    for v in (x, np.abs(x) + 1, -np.abs(x) - 1, np.zeros((2, 2), F)):
        case("DynamicQuantizeLinear", 11, [v])


def make(case, rng):
    cast(case, rng)
    quantise(case, rng)
