# SPDX-License-Identifier: Apache-2.0
"""Operators of com.microsoft: normalisations, activations, products with packed weights. onnxruntime is the truth, and
numpy in double where it has no kernel for the CPU."""
import math

import numpy as np

MS = "com.microsoft"


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def erf(x):
    return np.vectorize(math.erf)(x)


def norms(case, f, rng):
    for i in range(16):
        b, s, h = int(rng.integers(1, 4)), int(rng.integers(1, 6)), int(rng.integers(1, 40)) * (1 if i % 3 else 8)
        x, gamma, beta, bias = f(b, s, h), f(h), f(h), f(h)
        skip = [f(b, s, h), f(1, s, h), f(s, h)][i % 3]
        attrs = {"epsilon": float(np.float32(rng.choice([1e-12, 1e-5, 1e-3])))}
        for outputs in (1, 4):
            tail = [[], [beta], [beta, bias], [None, bias]][i % 4]
            if outputs == 1 or not i % 3:
                expect = skip_norm(x, skip, gamma, beta if tail and tail[0] is not None else 0,
                                   bias if len(tail) == 2 else 0, attrs["epsilon"], True)
                case("SkipLayerNormalization", 1, [x, skip, gamma, *tail], attrs, outputs, domain=MS, rtol=1e-4,
                     atol=1e-4, expect=expect if outputs == 4 else None)
            expect = skip_norm(x, x + 1, gamma, 0, bias if i % 2 else 0, attrs["epsilon"], False)
            case("SkipSimplifiedLayerNormalization", 1, [x, x + 1, gamma, *([bias] if i % 2 else [])], attrs, outputs,
                 domain=MS, rtol=1e-4, atol=1e-4, expect=expect if outputs == 4 else None)
        case("SimplifiedLayerNormalization", 1, [x, gamma], attrs | {"axis": -1}, 1 + i % 2, rtol=1e-4, atol=1e-4)
        case("SimplifiedLayerNormalization", 1, [x, f(s, h)], attrs | {"axis": 1}, 1, rtol=1e-4, atol=1e-4)
        half = [v.astype(np.float16) for v in (x, x + 1, gamma)]
        case("SkipSimplifiedLayerNormalization", 1, half, attrs, domain=MS, rtol=4e-3, atol=4e-3)
        case("SimplifiedLayerNormalization", 1, [half[0], half[2]], attrs, rtol=4e-3, atol=4e-3)
        embed(case, f, rng, b, s, h, i)


def skip_norm(x, skip, gamma, beta, bias, epsilon, centred):
    total = x.astype(np.float64) + skip + bias
    mean = total.mean(-1, keepdims=True) if centred else np.zeros(x.shape[:2] + (1,))
    inverse = 1 / np.sqrt(((total - mean)**2).mean(-1, keepdims=True) + epsilon)
    return [v.astype(np.float32) for v in ((total - mean) * inverse * gamma + beta, mean, inverse, total)]


def embed(case, f, rng, b, s, h, i):
    words = rng.integers(0, 9, (b, s)).astype(np.int32)
    segments = rng.integers(0, 2, (b, s)).astype(np.int32)
    mask = (np.arange(s) < rng.integers(0, s + 1, (b, 1))).astype(np.int32)
    has_segments, has_mask = i % 2, i // 2 % 2
    inputs = [words, segments if has_segments else None, f(9, h), f(s + 2, h), f(2, h) if has_segments else None, f(h),
              f(h)]
    tail = [mask if has_mask else None]
    if i % 3:
        tail.append(rng.integers(0, s + 2, (b if i % 3 == 1 else 1, s)).astype(np.int32))
    if len(tail) == 1 and not has_mask:
        tail = []
    case("EmbedLayerNormalization", 1, inputs + tail, {"epsilon": 1e-5}, 3 if i % 2 else 2, domain=MS, rtol=1e-4,
         atol=1e-4)
    q = lambda *shape: rng.integers(0, 256, shape).astype(np.uint8)
    scale = lambda: np.array(rng.random() * 0.05 + 0.01, np.float32)
    inputs = [words, segments if has_segments else None, q(9, h), q(s + 2, h), q(2, h) if has_segments else None, q(h),
              q(h), mask if has_mask else None, scale(), scale(), scale() if has_segments else None, scale(), scale(),
              q(), q(), q() if has_segments else None, q(), q()]
    case("QEmbedLayerNormalization", 1, inputs, {"epsilon": 1e-5}, 2, domain=MS, rtol=1e-4, atol=1e-4)


def activations(case, f, rng):
    for shape in ((7,), (3, 40), (2, 5, 300), (1, 1), (0, 4)):
        x, bias = f(*shape) * 3, f(shape[-1])
        if x.size:
            case("Gelu", 1, [x], domain=MS)
            case("QuickGelu", 1, [x], {"alpha": 1.702}, domain=MS)
            case("QuickGelu", 1, [x], {"alpha": 1.0}, domain=MS)
            case("FastGelu", 1, [x], domain=MS)
        if len(shape) > 1:
            case("BiasGelu", 1, [x, bias], domain=MS)
            case("FastGelu", 1, [x, bias], domain=MS)
    for b, s, half in ((1, 3, 5), (2, 4, 64)):
        x, bias = f(b, s, 2 * half), f(2 * half)
        left, right = np.split(x.astype(np.float64) + bias, 2, -1)
        case("BiasSplitGelu", 1, [x, bias], domain=MS,
             expect=[(left * 0.5 * right * (1 + erf(right / np.sqrt(2)))).astype(np.float32)])
    for inner in (0, 1):
        x, bias = f(4, 3, 5, 6), f(4, 1, 5, 6) if inner else f(1, 3, 5, 6)
        case("BiasSoftmax", 1, [x, bias], {"axis": 3, "is_inner_broadcast": inner}, domain=MS,
             expect=[softmax(x.astype(np.float64) + bias, -1).astype(np.float32)])
        flat = (x.astype(np.float64) + bias).reshape(12, 30)
        case("BiasSoftmax", 1, [x, bias], {"axis": 2, "is_inner_broadcast": inner}, domain=MS,
             expect=[softmax(flat, -1).reshape(x.shape).astype(np.float32)])


def nbits(case, f, rng):
    for i in range(60):
        bits, block = [4, 8, 2][i % 3], int(rng.choice([16, 32, 64, 128]))
        k, n = int(rng.integers(1, 300)), int(rng.integers(1, 70))
        if i % 4 == 0:
            k = -(-k // block) * block
        blocks = -(-k // block)
        lead = [(1,), (3,), (2, 7), (40,)][i // 3 % 4]
        a, b = f(*lead, k), rng.integers(0, 256, (n, blocks, block * bits // 8)).astype(np.uint8)
        scales = (np.abs(f(n, blocks)) * 0.1 + 0.01).astype(np.float32)
        zeros = [None, rng.integers(0, 256, (n, -(-blocks * bits // 8))).astype(np.uint8),
                 (f(n, blocks) + 2**(bits - 1)).astype(np.float32)][i // 2 % 3]
        if bits == 2 and zeros is not None:
            zeros = zeros if zeros.dtype == np.uint8 else None
        bias = f(n) if i % 5 < 2 else None
        groups = rng.integers(0, blocks, k).astype(np.int32) if i % 7 == 6 else None
        weights = unpacked(b, bits, k, block, scales, zeros, groups)
        expect = [(a.astype(np.float64) @ weights.T + (0 if bias is None else bias)).astype(np.float32)]
        inputs = [a, b, scales, zeros, groups, bias]
        attrs = {"K": k, "N": n, "bits": bits, "block_size": block}
        case("MatMulNBits", 1, inputs, attrs, domain=MS, expect=expect, rtol=1e-4, atol=2e-4, note="numpy")
        if groups is None and bits != 2 and (bits == 4 or zeros is None or zeros.dtype == np.uint8):
            case("MatMulNBits", 1, inputs, attrs, domain=MS, rtol=1e-3, atol=1e-3)
        if i % 6 == 0:
            halves = [v.astype(np.float16) if v is not None and v.dtype == np.float32 else v for v in inputs]
            case("MatMulNBits", 1, halves, attrs, domain=MS, expect=[expect[0].astype(np.float16)], rtol=2e-2,
                 atol=2e-1)


def unpacked(b, bits, k, block, scales, zeros, groups):
    """The weights [N, K] in double."""
    n, blocks = b.shape[:2]
    shifts = np.arange(0, 8, bits)
    codes = (b[..., None] >> shifts & (2**bits - 1)).reshape(n, -1)[:, :k].astype(np.float64)
    if zeros is None:
        zeros = np.full((n, blocks), 2**(bits - 1))
    elif zeros.dtype == np.uint8:
        zeros = (zeros[..., None] >> shifts & (2**bits - 1)).reshape(n, -1)[:, :blocks]
    at = np.arange(k) // block if groups is None else groups
    return (codes - zeros[:, at]) * scales.astype(np.float64)[:, at]


def make(case, rng):
    f = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    norms(case, f, rng)
    activations(case, f, rng)
    nbits(case, f, rng)
