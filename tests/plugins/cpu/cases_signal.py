# SPDX-License-Identifier: Apache-2.0
"""Spectra, windows, n-grams, deformed convolutions; moved elements of Resize and GridSample; products of 8-bit floats."""
import ml_dtypes
import numpy as np

F, D, I = np.float32, np.float64, np.int64


def pairs(z):
    return np.stack([z.real, z.imag], -1)


def i(value):
    return np.array(value, I)


def dft_of(x, axis, n, inverse, one_sided):
    """x: [..., 1 or 2] in double; by numpy."""
    z = x[..., 0] + (1j * x[..., 1] if x.shape[-1] == 2 else 0)
    if inverse and one_sided:
        return np.fft.irfft(z, n, axis)[..., None]
    if inverse:
        return pairs(np.fft.ifft(z, n, axis))
    z = np.fft.fft(z, n, axis)
    return pairs(np.take(z, np.arange(z.shape[axis] // 2 + 1), axis) if one_sided else z)


def spectra(case, rng):
    exact = {"rtol": 1e-12, "atol": 1e-12}
    # Powers of two, products of small primes, large primes and products of them.
    for n in (1, 2, 3, 4, 5, 7, 8, 11, 13, 16, 17, 30, 64, 97, 143, 182, 210, 257, 1009, 1024, 2 * 1009):
        x = rng.standard_normal((2, n, 2))
        case("DFT", 20, [x], expect=[dft_of(x, 1, n, False, False)], **exact)
        case("DFT", 20, [x], {"inverse": 1}, expect=[dft_of(x, 1, n, True, False)], **exact)
        case("DFT", 17, [x[..., :1]], {"onesided": 1}, expect=[dft_of(x[..., :1], 1, n, False, True)], **exact)
        if n > 1:
            case("DFT", 20, [x], {"inverse": 1, "onesided": 1},
                 expect=[dft_of(x, 1, 2 * (n - 1), True, True)], **exact)
    x = rng.standard_normal((3, 4, 5, 2))
    for axis in (0, 1, 2, -2, -4):
        at = axis % 4
        for n in (None, 3, 7):
            given = None if n is None else i(n)
            case("DFT", 20, [x, given, i(axis)],
                 expect=[dft_of(x, at, n, False, False)], **exact)
            case("DFT", 17, [x, given], {"axis": axis},
                 expect=[dft_of(x, at, n, False, False)], **exact)
            case("DFT", 20, [x, i(9), i(axis)], {"inverse": 1, "onesided": 1},
                 expect=[dft_of(x, at, 9, True, True)], **exact)
    for kind, most in ((F, 1e-5), (np.float16, 2e-2), (ml_dtypes.bfloat16, 1e-1)):
        y = rng.standard_normal((2, 12, 1)).astype(kind)
        case("DFT", 20, [y], expect=[dft_of(y.astype(D), 1, 12, False, False).astype(kind)], rtol=most, atol=most)
    case("DFT", 20, [x, None, i(3)], expect=[x], status=3, note="axis of the parts")
    case("DFT", 20, [x, i(0), i(0)], expect=[x[:0]], status=3, note="no points")
    frames(case, rng, exact)


def frames(case, rng, exact):
    x = rng.standard_normal((2, 50, 1))
    for step, length, windowed, one_sided in ((5, 16, True, 1), (7, 15, False, 1), (1, 50, True, 0), (50, 8, True, 0)):
        window = np.hanning(length) if windowed else None
        cut = np.stack([x[:, at:at + length, 0] for at in range(0, 50 - length + 1, step)], 1)
        want = np.fft.fft(cut * (1 if window is None else window))
        want = pairs(want[..., :length // 2 + 1] if one_sided else want)
        for given in ([window, i(length)], [window]) if windowed else ([None, i(length)],):
            case("STFT", 17, [x, i(step), *given], {"onesided": one_sided}, expect=[want], **exact)
    for signal in (x, x[:, :, 0]):
        case("STFT", 17, [signal, i(3)], expect=[pairs(np.fft.rfft(x[:, None, :, 0]))], **exact)
    z = rng.standard_normal((1, 20, 2))
    case("STFT", 17, [z, i(4), None, i(8)], {"onesided": 0}, **exact,
         expect=[pairs(np.fft.fft(np.stack([(z[:, a:a + 8, 0] + 1j * z[:, a:a + 8, 1]) for a in (0, 4, 8, 12)], 1)))])
    case("STFT", 17, [x, i(0), None, i(8)], expect=[x], status=3, note="step 0")


def windows(case):
    coefficients = {"HannWindow": (0.5, 0.5, 0), "HammingWindow": (25 / 46, 21 / 46, 0), "BlackmanWindow": (0.42, 0.5, 0.08)}
    for op, (a, b, c) in coefficients.items():
        for n in (0, 1, 2, 9, 10):
            for periodic in (1, 0):
                if n == 1 and not periodic:
                    continue
                x = 2 * np.pi * np.arange(n) / max(n if periodic else n - 1, 1)
                want = a - b * np.cos(x) + c * np.cos(2 * x)
                for code, kind in ((1, F), (11, D), (10, np.float16), (16, ml_dtypes.bfloat16)):
                    case(op, 17, [i(n)], {"periodic": periodic, "output_datatype": code},
                         expect=[want.astype(kind)], rtol=1e-12 if kind is D else 4e-3, atol=1e-12 if kind is D else 1e-3)
        case(op, 17, [np.array(6, np.int32)], {"output_datatype": 6}, note="integers",
             expect=[(a - b * np.cos(np.pi * np.arange(6) / 3) + c * np.cos(2 * np.pi * np.arange(6) / 3) + 1e-9)
                     .astype(np.int32)])
    for bands, length, rate, low, high in ((8, 16, 8192, 0, 4096), (40, 512, 16000, 20, 8000), (5, 15, 8000, 100, 3000)):
        case("MelWeightMatrix", 17, [i(bands), i(length), i(rate), np.array(low, F), np.array(high, F)])
        case("MelWeightMatrix", 17, [i(bands), i(length), i(rate), np.array(low, D), np.array(high, D)],
             {"output_datatype": 11})
    case("MelWeightMatrix", 17, [i(8), i(16), i(8000), np.array(0, F), np.array(1e30, F)],
         expect=[np.zeros((9, 8), F)], atol=2, note="edges far outside")
    case("MelWeightMatrix", 17, [i(8), i(16), i(0), np.array(0, F), np.array(1, F)],
         expect=[np.zeros((9, 8), F)], status=3, note="rate 0")


def grams(case, rng):
    pool = [2, 3, 5, 4, 5, 6, 7, 8, 6, 7, 5, 6, 7]
    shape = {"ngram_counts": [0, 4, 10], "ngram_indexes": [0, 1, 2, 3, 4, 5, 6, 7], "pool_int64s": pool}
    x = rng.integers(1, 9, (3, 12))
    for mode in ("TF", "IDF", "TFIDF"):
        for low, high, skip in ((1, 1, 0), (1, 2, 0), (2, 2, 3), (1, 3, 5), (3, 3, 0), (2, 3, 100)):
            attributes = {"mode": mode, "min_gram_length": low, "max_gram_length": high, "max_skip_count": skip, **shape}
            case("TfIdfVectorizer", 9, [x], attributes)
            case("TfIdfVectorizer", 9, [x[0].astype(np.int32)], attributes | {"weights": [0.5 * k for k in range(8)]})
    words = ["a", "bc", "def", "x", "bc", "", "ü", "a"]
    text = {"ngram_counts": [0, 4], "ngram_indexes": [2, 0, 1, 3, 5, 4], "pool_strings": words}
    for mode in ("TF", "TFIDF"):
        case("TfIdfVectorizer", 9, [np.array([["a", "bc", "ü", "a"], ["", "def", "ü", "q"]], object)],
             {"mode": mode, "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 2, **text},
             expect=[np.array([[1, 0, 2, 0, 1, 0], [0, 1, 0, 0, 0, 0]], F)])
    for bad in ({"ngram_counts": [0, 9, 3]}, {"ngram_counts": [0, 4, 9]}, {"ngram_indexes": [0]}, {"min_gram_length": 0},
                {"weights": [1.0]}):
        case("TfIdfVectorizer", 9, [x], {"mode": "TF", "min_gram_length": 1, "max_gram_length": 2, "max_skip_count": 0,
                                         **shape, **bad}, expect=[np.zeros((3, max({**shape, **bad}["ngram_indexes"]) + 1), F)],
             status=2, note="bad")


def deform_by_numpy(x, w, offset, bias, mask, stride, dilation, pad, group, offset_group):
    """Any number of spatial dims, one tap at a time."""
    n, c = x.shape[:2]
    spatial, kernel, out = x.shape[2:], w.shape[2:], offset.shape[2:]
    dims = len(spatial)
    offset = offset.reshape(n, offset_group, *kernel, dims, *out)
    mask = np.ones((n, offset_group, *kernel, *out)) if mask is None else mask.reshape(n, offset_group, *kernel, *out)
    y = np.zeros((n, w.shape[0], *out))
    for b in range(n):
        for m in range(w.shape[0]):
            for k in range(w.shape[1]):
                channel = m // (w.shape[0] // group) * w.shape[1] + k
                g = channel // (c // offset_group)
                for place in np.ndindex(*out):
                    for tap in np.ndindex(*kernel):
                        at = [place[d] * stride - pad + tap[d] * dilation + offset[(b, g, *tap, d, *place)]
                              for d in range(dims)]
                        value = 0.0
                        for corner in np.ndindex(*[2] * dims):
                            index = [int(np.floor(at[d])) + corner[d] for d in range(dims)]
                            if all(0 <= index[d] < spatial[d] for d in range(dims)):
                                value += np.prod([1 - abs(at[d] - index[d]) for d in range(dims)]) * x[(b, channel, *index)]
                        y[(b, m, *place)] += value * w[(m, k, *tap)] * mask[(b, g, *tap, *place)]
    return y if bias is None else y + bias.reshape(1, -1, *[1] * dims)


def deformed(case, rng):
    for spatial, kernel, stride, dilation, pad, group, offset_group in (
            ((5, 6), (3, 2), 1, 1, 0, 1, 1), ((5, 6), (3, 3), 2, 1, 1, 2, 2), ((7, 4), (2, 2), 1, 2, 1, 1, 4),
            ((8,), (3,), 1, 1, 1, 1, 2), ((3, 4, 3), (2, 2, 2), 1, 1, 0, 1, 1)):
        dims = len(spatial)
        out = [(s + 2 * pad - (k - 1) * dilation - 1) // stride + 1 for s, k in zip(spatial, kernel)]
        x = rng.standard_normal((2, 4, *spatial))
        w = rng.standard_normal((4, 4 // group, *kernel))
        taps = offset_group * int(np.prod(kernel))
        offset = rng.uniform(-2, 2, (2, taps * dims, *out))
        bias, mask = rng.standard_normal(4), rng.uniform(0, 1, (2, taps, *out))
        attributes = {"strides": [stride] * dims, "dilations": [dilation] * dims, "pads": [pad] * 2 * dims,
                      "group": group, "offset_group": offset_group, "kernel_shape": list(kernel)}
        for b, m in ((None, None), (bias, mask)):
            want = deform_by_numpy(x, w, offset, b, m, stride, dilation, pad, group, offset_group)
            case("DeformConv", 22, [x, w, offset, b, m], attributes, expect=[want], rtol=1e-11, atol=1e-11)
            case("DeformConv", 19, [None if v is None else v.astype(F) for v in (x, w, offset, b, m)], attributes,
                 expect=[want.astype(F)], rtol=1e-4, atol=1e-4)
    bad = offset.copy()
    bad.ravel()[:3] = np.nan, np.inf, 1e300
    assert np.isnan(bad).any()
    case("DeformConv", 22, [x, w, bad], attributes, expect=[want], rtol=0, atol=1e9, note="offsets that are no place")


def moved(case, rng):
    big = rng.integers(2 ** 60, 2 ** 62, (1, 2, 3, 4))
    z = (rng.standard_normal((1, 2, 3, 4)) + 1j).astype(np.complex128)
    words = np.array([f"w{k}" for k in range(24)], object).reshape(1, 2, 3, 4)
    scales = np.array([1, 1, 2, 1.5], F)
    rows, columns = np.arange(6) // 2, (np.arange(6) / 1.5).astype(int)
    for x in (big, z, words, big.astype(np.uint64), big > 3 * 2 ** 60):
        want = x[:, :, rows][:, :, :, columns]
        case("Resize", 13, [x, None, scales], {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
             expect=[want], note=str(x.dtype))
        case("Upsample", 9, [x, scales], expect=[want], note=str(x.dtype))
        case("Upsample", 7, [x], {"scales": [1.0, 1.0, 2.0, 1.5]}, expect=[want], note=str(x.dtype))
        grid = np.array([[[-1, -1], [1, 1], [0, 5], [1, -1]]], F).reshape(1, 1, 4, 2)
        place = x[:, :, [0, 2, 0, 0], [0, 3, 0, 3]][:, :, None]
        place[:, :, 0, 2] = "" if x.dtype == object else 0
        case("GridSample", 16, [x, grid], {"mode": "nearest", "align_corners": 1}, expect=[place], note=str(x.dtype))
    for kind in (np.complex64, np.complex128):
        x = rng.choice([1 + 1j, 1 - 1j, -1 + 1j, 0], 20).astype(kind)
        want = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
        case("Unique", 11, [x], outputs=4, expect=list(want), data_shaped=True)
        case("Unique", 11, [x.reshape(10, 2)], {"axis": 0}, expect=[np.unique(x.reshape(10, 2), axis=0)], data_shaped=True)
    for kind in (F, D, np.int32, np.float16):
        x = rng.integers(0, 50, (1, 2, 3, 4)).astype(kind)
        case("Upsample", 1, [x], {"height_scale": 2.0, "width_scale": 3.0}, expect=[x.repeat(2, 2).repeat(3, 3)])
    x = rng.standard_normal((1, 2, 3, 4)).astype(F)
    case("Upsample", 7, [x], {"scales": [1.0, 1.0, 2.0, 2.0], "mode": "linear"})
    for mode in ("border", "reflection", "zeros"):
        for kind in (F, I):
            case("GridSample", 16, [np.zeros((1, 2, 3, 0), kind), grid], {"mode": "nearest", "padding_mode": mode},
                 expect=[np.zeros((1, 2, 1, 4), kind)], note="nothing to sample")
    case("GridSample", 16, [np.arange(12).reshape(1, 1, 3, 4), np.zeros((1, 1, 1, 2), F)], {"align_corners": 1},
         expect=[np.array([[[[5]]]])], note="integers between elements")


def floats_of_8_bits(case, rng):
    for kind in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fnuz, ml_dtypes.float8_e5m2fnuz):
        a, b = rng.uniform(-3, 3, (2, 3, 4)).astype(kind), rng.uniform(-3, 3, (4, 5)).astype(kind)
        sa, sb, sy = np.array(0.5, F), np.array([0.5, 1, 2, 0.25, 1], F), np.array(0.125, F)
        none, nones = np.array(0, kind), np.zeros(5, kind)
        most = float(ml_dtypes.finfo(kind).max)
        want = np.clip(a.astype(D) @ b.astype(D) * 0.5 * sb / 0.125, -most, most)
        case("QLinearMatMul", 21, [a, sa, none, b, sb, nones, sy, none], expect=[want.astype(F).astype(kind)], rtol=0, atol=0)
        ints = rng.integers(-5, 5, (4, 5)).astype(np.int8)
        want = np.clip(np.rint(a.astype(D) @ (ints.astype(D) - 2) * 0.25), -128, 127)
        case("QLinearMatMul", 21, [a, sa, none, ints, np.array(0.5, F), np.array(2, np.int8), np.array(1, F),
                                   np.array(0, np.int8)], expect=[want.astype(np.int8)], rtol=0, atol=0)


def floats_of_6_bits(case, rng):
    for number, kind in ((27, ml_dtypes.float6_e2m3fn), (28, ml_dtypes.float6_e3m2fn)):
        every = np.arange(64, dtype=np.uint8).view(kind)
        half = (every[:32].astype(F)[1:] + every[:32].astype(F)[:-1]) / 2  # ties
        x = np.concatenate([rng.uniform(-40, 40, 4099), rng.uniform(-0.2, 0.2, 300), every.astype(F), half, -half,
                            [0.0, -0.0, np.inf, -np.inf, 1e30]]).astype(F)
        most = float(ml_dtypes.finfo(kind).max)
        want = np.clip(x, -most, most).astype(kind)
        case("Cast", 28, [x], {"to": number}, expect=[want], rtol=0, atol=0)
        case("Cast", 28, [x.astype(D)], {"to": number}, expect=[want], rtol=0, atol=0)
        case("Cast", 28, [every], {"to": 1}, expect=[every.astype(F)], rtol=0, atol=0)
        case("Cast", 28, [every[:5]], {"to": 10}, expect=[every[:5].astype(np.float16)], rtol=0, atol=0)
        case("Cast", 28, [every[::-1][:13]], {"to": number}, expect=[every[::-1][:13]], rtol=0, atol=0)
        scale = np.array(0.5, F)
        case("DequantizeLinear", 28, [every, scale], expect=[every.astype(F) * F(0.5)], rtol=0, atol=0)
        case("QuantizeLinear", 28, [x, scale, np.array(0, kind)], rtol=0, atol=0,
             expect=[(np.clip(x / F(0.5), -most, most) + F(0)).astype(kind)])


def make(case, rng):
    spectra(case, rng)
    windows(case)
    grams(case, rng)
    deformed(case, rng)
    moved(case, rng)
    floats_of_8_bits(case, rng)
    floats_of_6_bits(case, rng)
