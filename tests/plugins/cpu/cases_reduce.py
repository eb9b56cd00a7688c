# SPDX-License-Identifier: Apache-2.0
"""Reductions, arguments, scans, sorting, and what finds things: outputs whose shape depends on data among them."""
import ml_dtypes
import numpy as np

F, D, H, B, I = np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int64
INTS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
REDUCE = {
    "ReduceSum": lambda x, **k: np.sum(x, **k), "ReduceMean": lambda x, **k: np.mean(x, **k),
    "ReduceMax": lambda x, **k: np.max(x, initial=-np.inf, **k), "ReduceMin": lambda x, **k: np.min(x, initial=np.inf, **k),
    "ReduceProd": lambda x, **k: np.prod(x, **k), "ReduceL1": lambda x, **k: np.sum(np.abs(x), **k),
    "ReduceL2": lambda x, **k: np.sqrt(np.sum(x * x, **k)), "ReduceLogSum": lambda x, **k: np.log(np.sum(x, **k)),
    "ReduceLogSumExp": lambda x, **k: np.log(np.sum(np.exp(x), **k)), "ReduceSumSquare": lambda x, **k: np.sum(x * x, **k),
}


def i(*values):
    return np.array(values, I)


def reduce(case, rng):
    for op, f in REDUCE.items():
        new = 13 if op == "ReduceSum" else 18
        x = rng.uniform(0.5, 2, (2, 3, 2, 5)).astype(F)
        for axes in ((0,), (1,), (-1,), (2, 3), (0, 2), (1, 3), (0, 1, 2, 3), ()):
            for keep in (0, 1):
                axis = tuple(axes) or None
                want = f(x.astype(D), axis=axis, keepdims=bool(keep)).astype(F)
                case(op, new, [x, i(*axes)], {"keepdims": keep}, expect=[want], rtol=2e-6, note=f"{axes}")
        case(op, new, [x], expect=[f(x.astype(D), keepdims=True).astype(F)], rtol=2e-6)
        case(op, new, [x[0, 0]], {"noop_with_empty_axes": 1}, expect=[f(x[0, 0].astype(D)[..., None], axis=-1).astype(F)],
             rtol=2e-6, note="noop")
        case(op, 11, [x], {"axes": [1, -1], "keepdims": 0}, expect=[f(x.astype(D), axis=(1, 3)).astype(F)], rtol=2e-6)
        case(op, 1, [x], {"axes": [0]}, expect=[f(x.astype(D), axis=0, keepdims=True).astype(F)], rtol=2e-6)
        with np.errstate(all="ignore"):
            case(op, new, [np.zeros((2, 0, 3), F), i(1)], expect=[f(np.zeros((2, 0, 3)), axis=1, keepdims=True).astype(F)], note="empty set")
            case(op, new, [np.zeros((0, 3), F), i(1)], expect=[np.zeros((0, 1), F)], note="empty")
        case(op, new, [np.array(2, F)], expect=[f(np.array(2.0), keepdims=True).astype(F)], note="scalar", rtol=2e-6)
        case(op, new, [x, i(4)], expect=[x], status=3, note="axis")
        for t in (D, H, B):
            y = rng.uniform(0.5, 2, (3, 20)).astype(t)
            for axis in (0, 1):
                case(op, new, [y, i(axis)], {"keepdims": 0}, expect=[f(y.astype(D), axis=axis).astype(t)],
                     rtol={D: 1e-12, H: 1e-3, B: 8e-3}[t])
        for t in INTS:
            y = rng.integers(1, 4, (2, 19)).astype(t)
            with np.errstate(all="ignore"):
                for axis in (0, 1):
                    want = f(y.astype(D), axis=axis)
                    want = np.prod(y, axis=axis, dtype=t) if op == "ReduceProd" else np.trunc(want).astype(I).astype(t)
                    case(op, new, [y, i(axis)], {"keepdims": 0}, expect=[want])
    for t in (np.int32, np.int64):
        case("ReduceLogSum", 18, [np.array([[-7, 2], [1, -1], [5, 4]], t), i(1)], {"keepdims": 0},
             expect=[np.array([np.iinfo(t).min, np.iinfo(t).min, 2], t)], note="the logarithm of no positive number")
    x = np.array([[1, np.nan, 3], [4, 5, 6]], F)
    case("ReduceMax", 18, [x, i(1)], {"keepdims": 0}, expect=[np.array([np.nan, 6], F)])
    case("ReduceMin", 18, [x, i(0)], {"keepdims": 0}, expect=[np.array([1, np.nan, 3], F)])
    b = np.array([[True, False], [False, False]])
    case("ReduceMax", 20, [b, i(1)], {"keepdims": 0}, expect=[np.array([True, False])])
    case("ReduceMin", 20, [b, i(0)], {"keepdims": 0}, expect=[np.array([False, False])])
    case("ReduceMax", 18, [np.array([-(2 ** 63), 2 ** 63 - 1], I)], expect=[np.array([2 ** 63 - 1], I)])
    case("ReduceMax", 20, [np.array([2 ** 64 - 1, 3], np.uint64)], expect=[np.array([2 ** 64 - 1], np.uint64)])
    case("ReduceMin", 18, [np.zeros((0,), np.int32), i(0)], expect=[np.array([2 ** 31 - 1], np.int32)])
    case("ReduceLogSumExp", 18, [np.array([1000, 1000.5, -1000], F)], {"keepdims": 0},
         expect=[np.array(1000.5 + np.log(1 + np.exp(-0.5)), F)])
    case("ReduceSum", 13, [np.full((20, 300), 0.1, F)], {"keepdims": 0}, expect=[np.array(600, F)], rtol=1e-6)


def arguments(case, rng):
    x = rng.integers(0, 4, (3, 4, 5))
    for op, f in (("ArgMax", np.argmax), ("ArgMin", np.argmin)):
        for t in [F, D, H, B] + INTS:
            case(op, 13, [x.astype(t)], {"axis": -1, "keepdims": 0}, expect=[f(x, -1)])
        for axis in (0, 1, -1):
            for last in (0, 1):
                want = f(x, axis) if not last else x.shape[axis] - 1 - f(np.flip(x, axis), axis)
                case(op, 13, [x.astype(F)], {"axis": axis, "select_last_index": last}, expect=[np.expand_dims(want, axis)])
        case(op, 1, [x.astype(F)], expect=[f(x, 0)[None]])
        case(op, 13, [np.array([1, np.nan, 2], F)], expect=[i(1 if op == "ArgMax" else 0)])
        case(op, 13, [np.zeros((2, 0), F)], {"axis": 1}, expect=[np.zeros((2, 1), I)], status=3, note="empty axis")
        case(op, 13, [np.zeros((0, 2), F)], {"axis": 1}, expect=[np.zeros((0, 1), I)])
    for t in (F, D, H, np.int32, I, np.uint32, np.uint64):
        y = rng.integers(1, 4, (2, 3, 4)).astype(t)
        for axis in (0, 1, -1):
            for exclusive in (0, 1):
                for reverse in (0, 1):
                    z = np.flip(y, axis) if reverse else y
                    attrs = {"exclusive": exclusive, "reverse": reverse}
                    for op, opset, f, start in (("CumSum", 14, np.cumsum, 0), ("CumProd", 26, np.cumprod, 1)):
                        want = f(z.astype(D), axis).astype(t)
                        if exclusive:
                            want = np.roll(want, 1, axis)
                            np.moveaxis(want, axis, 0)[0] = start
                        case(op, opset, [y, np.array(axis, np.int32)], attrs, expect=[np.flip(want, axis) if reverse else want], rtol=1e-3)
    case("CumSum", 11, [np.zeros((2, 0), F), i(1)[0]], expect=[np.zeros((2, 0), F)])
    case("CumSum", 14, [np.zeros((2, 1), F), i(2)], expect=[np.zeros((2, 1), F)], status=3, note="axis")


def sorting(case, rng):
    x = rng.permutation(60).reshape(3, 4, 5)
    for t in [F, D, H] + INTS:
        for largest in (0, 1):
            order = np.argsort(-x if largest else x, 1, kind="stable")[:, :3]
            case("TopK", 11, [x.astype(t), i(3)], {"axis": 1, "largest": largest},
                 expect=[np.take_along_axis(x, order, 1).astype(t), order])
    y = rng.integers(0, 5, (2, 300)).astype(F)
    for k in (0, 1, 7, 150, 300):
        order = np.argsort(-y, 1, kind="stable")[:, :k]
        case("TopK", 11, [y, i(k)], expect=[np.take_along_axis(y, order, 1), order], note=f"{k}")
    order = np.argsort(-y, 1, kind="stable")[:, :2]
    case("TopK", 10, [y, i(2)], expect=[np.take_along_axis(y, order, 1), order])
    case("TopK", 1, [y], {"k": 2}, expect=[np.take_along_axis(y, order, 1), order])
    case("TopK", 11, [y, i(2)], {"sorted": 0}, expect=[np.take_along_axis(y, order, 1), order])
    case("TopK", 11, [y, i(301)], expect=[y, y.astype(I)], status=3, note="too many")
    case("TopK", 11, [np.zeros((0, 4), F), i(2)], expect=[np.zeros((0, 2), F), np.zeros((0, 2), I)])
    z = np.array([3, 1, 2, 1, 3, 3, 7], I)
    for t in [F, D, np.int8, I, np.uint64, bool, object]:
        v = np.array([f"t{n}" for n in z], object) if t is object else z.astype(t)
        for is_sorted in (0, 1):
            values, first, inverse, counts = np.unique(v, True, True, True)
            if not is_sorted:
                rank = np.argsort(first)
                values, counts = values[rank], counts[rank]
                inverse, first = np.argsort(rank)[inverse], first[rank]
            case("Unique", 11, [v], {"sorted": is_sorted}, data_shaped=True, expect=[values, first, inverse, counts])
    m = np.array([[1, 0, 1, 2], [3, 3, 3, 1], [1, 0, 1, 2]], F)
    for axis in (0, 1):
        values, first, inverse, counts = np.unique(m, True, True, True, axis=axis)
        case("Unique", 11, [m], {"axis": axis}, data_shaped=True, expect=[values, first, inverse.ravel(), counts])
    values, _, _, counts = np.unique(m, True, True, True)
    case("Unique", 11, [m], data_shaped=True, expect=[values, None, None, counts], note="some outputs")
    case("Unique", 11, [np.zeros(0, F)], data_shaped=True, expect=[np.zeros(0, F), i(), i(), i()], note="empty")


def finding(case, rng):
    for t in [F, D, H, bool] + INTS:
        x = rng.integers(0, 2, (3, 4, 2)).astype(t)
        case("NonZero", 13, [x], data_shaped=True, expect=[np.array(np.nonzero(x), I)])
    case("NonZero", 13, [np.array([0, 1j, 1], np.complex64)], data_shaped=True, expect=[np.array([[1, 2]], I)])
    case("NonZero", 9, [np.zeros((2, 3), F)], data_shaped=True, expect=[np.zeros((2, 0), I)])
    case("NonZero", 13, [np.array(["", "a", "", "bc"], object)], data_shaped=True, expect=[np.array([[1, 3]], I)])
    boxes = np.concatenate([rng.uniform(0, 1, (2, 20, 2)), rng.uniform(1, 2, (2, 20, 2))], 2).astype(F)
    scores = rng.uniform(0, 1, (2, 3, 20)).astype(F)
    for center in (0, 1):
        for tail in ([i(5), np.array([0.5], F), np.array([0.2], F)], [i(3), np.array([0.3], F)], [i(100)], []):
            case("NonMaxSuppression", 11, [boxes, scores] + tail, {"center_point_box": center}, data_shaped=True)
    flipped = boxes[:, :, [2, 3, 0, 1]]
    case("NonMaxSuppression", 10, [flipped, scores, i(5), np.array(0.4, F), np.array(0.1, F)], data_shaped=True)
    same = np.zeros((1, 3, 4), F) + np.array([0, 0, 1, 1], F)
    case("NonMaxSuppression", 11, [same, np.array([[[0.5, 0.5, 0.9]]], F), i(3), np.array([1.0], F)], data_shaped=True)
    case("NonMaxSuppression", 11, [boxes, scores[:, :, :5], i(5)], data_shaped=True, expect=[np.zeros((0, 3), I)], status=3,
         note="shapes")


def make(case, rng):
    for part in (reduce, arguments, sorting, finding):
        part(case, rng)
