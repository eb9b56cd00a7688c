# SPDX-License-Identifier: Apache-2.0
"""MatMul, Gemm and their integer kin."""
import numpy as np


def make(case, rng):
    def f(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    for a, b in [((3, 4), (4, 5)), ((1, 7), (7, 1)), ((33, 50), (50, 17)), ((6, 16), (16, 16)), ((2, 3, 4), (4, 5)),
                 ((2, 3, 4), (2, 4, 5)), ((4,), (4, 5)), ((3, 4), (4,)), ((4,), (4,)), ((2, 1, 3, 4), (5, 4, 2)),
                 ((3, 0), (0, 2)), ((0, 4), (4, 3)), ((1, 400), (400, 70)), ((13, 401), (401, 33)), ((1, 3), (2, 3,
                      65)),
                 ((100, 5), (5, 40)), ((7, 800), (800, 16))]:
        case("MatMul", 13, [f(*a), f(*b)], note=f"{a}x{b}", rtol=1e-4, atol=1e-4)
    case("MatMul", 9, [f(3, 4), f(4, 5)])
    case("MatMul", 13, [f(9, 20), f(20, 5)], as_type=np.float64)
    case("MatMul", 13, [f(9, 20), f(20, 5)], as_type=np.float16)
    case("MatMul", 13, [rng.integers(-9, 9, (3, 4)).astype(np.int32), rng.integers(-9, 9, (4, 5)).astype(np.int32)])
    case("MatMul", 13, [rng.integers(0, 9, (3, 4)).astype(np.uint64), rng.integers(0, 9, (4, 5)).astype(np.uint64)])
    for ta in (0, 1):
        for tb in (0, 1):
            for c in (None, (), (1,), (19,), (1, 19), (21, 1), (21, 19)):
                a, b = f(*((30, 21) if ta else (21, 30))), f(*((19, 30) if tb else (30, 19)))
                case("Gemm", 13, [a, b] + ([] if c is None else [f(*c)]),
                     {"transA": ta, "transB": tb, "alpha": 0.5, "beta": 2.0}, note=f"c {c}", rtol=1e-4, atol=1e-4)
    one, nan = np.ones((1, 1), np.float32), np.full((1, 1), np.nan, np.float32)
    case("Gemm", 13, [one, one, nan], {"beta": 0.0}, expect=[one], note="C times 0")
    for t in (np.int32, np.int64, np.uint32, np.uint64):
        a, b, c = (rng.integers(np.iinfo(t).min, np.iinfo(t).max, shape, t) for shape in ((3, 4), (5, 4), (3, 1)))
        case("Gemm", 13, [a, b, c], {"transB": 1, "alpha": 2.0, "beta": 3.0}, expect=[t(2) * (a @ b.T) + t(3) * c], note="exact")
        case("Gemm", 13, [np.array([[3]], t), np.array([[5]], t)], {"alpha": 0.5}, expect=[np.array([[7]], t)])
    case("Gemm", 11, [f(3, 4), f(4, 5)])
    case("Gemm", 13, [f(1, 64), f(10, 64), f(10)], {"transB": 1}, rtol=1e-4, atol=1e-4)
    case("Gemm", 9, [f(3, 4), f(4, 5), f(5)])
    case("Gemm", 7, [f(3, 4), f(4, 5), f(5)])
    case("Gemm", 13, [f(3, 4), f(4, 5), f(5)], as_type=np.float64)
    case("Gemm", 13, [f(3, 4), f(4, 5), f(5)], as_type=np.float16)
