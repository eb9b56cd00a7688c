# SPDX-License-Identifier: Apache-2.0
"""Products and convolutions of 8-bit integers."""
import itertools

import numpy as np


def make(case, rng):
    def q(dtype, *shape):
        low, high = (0, 256) if dtype == np.uint8 else (-128, 128)
        return rng.integers(low, high, shape).astype(dtype)

    u, s = np.uint8, np.int8
    one = lambda v: np.array(v, np.float32)
    for a, b in [(u, s), (u, u), (s, s)]:
        for x, w in [((3, 4), (4, 5)), ((7, 100), (100, 33)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5))]:
            case("MatMulInteger", 10, [q(a, *x), q(b, *w)], note=f"{x}{w}", atol=0)
            case("MatMulInteger", 10, [q(a, *x), q(b, *w), q(a), q(b)], note=f"{x}{w} zeros", atol=0)
        case("MatMulInteger", 10, [q(a, 3, 4), q(b, 4, 5), q(a), q(b, 5)], note="columns", atol=0)
        case("QLinearMatMul", 10, [q(a, 7, 20), one(0.02), q(a), q(b, 20, 9), one(0.03), q(b), one(0.11), q(a)], atol=0)
        case("QLinearMatMul", 10, [q(a, 7, 20), one(0.02), q(a), q(b, 20, 9),
             np.abs(rng.standard_normal(9)).astype(np.float32) * 0.03, np.zeros(9, b), one(0.11), q(a)],
                  note="columns", atol=0)
    for shape, w, attrs in [((1, 3, 8, 8), (4, 3, 3, 3), {}), ((2, 4, 9, 8), (6, 2, 3, 3), {"group": 2,
         "pads": [1] * 4}),
                            ((1, 6, 9, 8), (6, 1, 3, 3), {"group": 6, "pads": [0, 1, 2, 3], "strides": [2, 2]}),
                            ((1, 3, 20), (4, 3, 3), {"dilations": [2]}), ((1, 8, 5, 5), (9, 8, 1, 1), {})]:
        case("ConvInteger", 10, [q(u, *shape), q(u, *w), np.array(13, u), np.array(7, u)], attrs, note=f"{shape}",
             atol=0)
        case("ConvInteger", 10, [q(u, *shape), q(s, *w), np.array(3, u)], attrs, note=f"{shape}", atol=0)
        for x_type, w_type, per in itertools.product([u], [u, s], [0, 1]):
            m = w[0]
            scale = (np.abs(rng.standard_normal(m)) * 0.01 + 0.01).astype(np.float32) if per else one(0.02)
            zero = np.zeros(m, w_type) if per else q(w_type)
            if w_type == u and per:
                zero[:] = 128
            case("QLinearConv", 10, [q(x_type, *shape), one(0.05), q(x_type), q(w_type, *w), scale, zero, one(0.4),
                                     q(x_type), rng.integers(-500, 500, m).astype(np.int32)], attrs, note=f"{shape}",
                                          atol=1)
        case("QLinearConv", 10, [q(s, *shape), one(0.05), q(s), q(s, *w), one(0.02), np.array(0, s), one(0.4), q(s)],
             attrs, note=f"{shape} signed", atol=1)
