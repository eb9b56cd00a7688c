# SPDX-License-Identifier: Apache-2.0
"""Operators that move elements: shapes, order, joining, picking, writing, padding, making."""
import ml_dtypes
import numpy as np
from onnx import helper, numpy_helper

F, D, H, I = np.float32, np.float64, np.float16, np.int64
INT4 = ml_dtypes.int4
TYPES = [F, np.int8, np.int16, I, np.complex128, bool, INT4, object]


def fill(rng, shape, dtype):
    x = rng.integers(0, 2 if dtype is bool else 8, shape)
    if dtype is object:
        return np.array([f"s{v}" * (v % 3) for v in np.ravel(x)], object).reshape(shape)
    return x.astype(dtype)


def i(*values):
    return np.array(values, I)


def shapes(case, rng):
    for t in TYPES:
        x = fill(rng, (2, 3, 4), t)
        n = np.dtype(t).name
        case("Reshape", 14, [x, i(4, -1)], expect=[x.reshape(4, 6)], note=n)
        case("Flatten", 13, [x], {"axis": 2}, expect=[x.reshape(6, 4)], note=n)
        case("Squeeze", 13, [x[:1], i(0)], expect=[x[0]], note=n)
        case("Unsqueeze", 13, [x, i(0, -1)], expect=[x[None, ..., None]], note=n)
        case("Identity", 16, [x], expect=[x], note=n)
        case("Shape", 13, [x], expect=[i(2, 3, 4)], note=n)
        case("Size", 13, [x], expect=[np.array(24, I)], note=n)
    x = fill(rng, (2, 3, 4), F)
    for s, e, want in ((0, None, (2, 3, 4)), (1, None, (3, 4)), (-1, None, (4,)), (0, -1, (2, 3)), (-9, 9, (2, 3, 4)), (2, 1, ())):
        case("Shape", 15, [x], {"start": s, **({} if e is None else {"end": e})}, expect=[i(*want)], note=f"{s}:{e}")
    case("Shape", 1, [np.zeros((), F)], expect=[np.zeros(0, I)])
    case("Reshape", 5, [x, i(0, 12)], expect=[x.reshape(2, 12)])
    case("Reshape", 1, [x], {"shape": [6, 4]}, expect=[x.reshape(6, 4)])
    case("Reshape", 14, [np.zeros((0, 3), F), i(3, 0)], {"allowzero": 1}, expect=[np.zeros((3, 0), F)])
    case("Reshape", 14, [x, i(5, 5)], expect=[np.zeros((5, 5), F)], status=3, note="other size")
    case("Squeeze", 1, [x[:, :1]], {"axes": [1]}, expect=[x[:, 0]])
    case("Squeeze", 13, [np.zeros((1, 3, 1), F)], expect=[np.zeros(3, F)])
    case("Unsqueeze", 1, [x], {"axes": [0]}, expect=[x[None]])
    case("Flatten", 1, [np.array(3, F)], {"axis": 0}, expect=[np.array([[3]], F)])
    case("BitCast", 26, [np.array([1, -2], F)], {"to": 6}, expect=[np.array([1, -2], F).view(np.int32)])


def order(case, rng):
    for t in TYPES:
        x = fill(rng, (2, 3, 4), t)
        n = np.dtype(t).name
        for perm in ((2, 1, 0), (0, 2, 1), (1, 0, 2)):
            case("Transpose", 13, [x], {"perm": list(perm)}, expect=[x.transpose(perm)], note=n)
        case("Transpose", 13, [x], expect=[x.T], note=n)
        case("Expand", 13, [x[:, :1], i(3, 1, 3, 4)], expect=[np.broadcast_to(x[:, :1], (3, 2, 3, 4))], note=n)
        case("Tile", 13, [x, i(1, 2, 3)], expect=[np.tile(x, (1, 2, 3))], note=n)
        case("Slice", 13, [x, i(0, 3), i(2, 0), i(0, 2), i(1, -2)], expect=[x[0:2, :, 3:0:-2]], note=n)
        y = fill(rng, (2, 8, 2, 3), t)
        if t is not INT4:
            b, c, h, w = y.shape
            case("DepthToSpace", 13, [y], {"blocksize": 2}, note=n, expect=[
                y.reshape(b, 2, 2, c // 4, h, w).transpose(0, 3, 4, 1, 5, 2).reshape(b, c // 4, h * 2, w * 2)])
    for shape, perm in (((40, 50), (1, 0)), ((3, 33, 17), (0, 2, 1)), ((2, 20, 3, 5), (0, 2, 3, 1)), ((2, 3, 20, 5), (0, 3, 1, 2)),
                        ((2, 5, 7, 4), (0, 2, 1, 3)), ((2, 2, 2, 2, 2, 2), (5, 3, 1, 0, 2, 4)), ((1, 7, 1), (2, 0, 1)),
                        ((0, 3), (1, 0)), ((5, 1, 6), (2, 1, 0)), ((130, 70), (1, 0))):
        for t in (F, np.uint8, D) if np.prod(shape) < 1000 else (np.uint8,):
            x = fill(rng, shape, t)
            case("Transpose", 13, [x], {"perm": list(perm)}, expect=[x.transpose(perm)], note=f"{shape}")
    case("Transpose", 1, [np.array(2, F)], expect=[np.array(2, F)])
    x = fill(rng, (2, 8, 4, 6), F)
    for op, attrs in (("DepthToSpace", {"mode": "CRD"}), ("DepthToSpace", {"mode": "DCR"}), ("SpaceToDepth", {})):
        case(op, 13, [x], {"blocksize": 2, **attrs})
    case("DepthToSpace", 1, [x], {"blocksize": 2})
    b, c, h, w = x.shape
    case("SpaceToDepth", 28, [x], {"blocksize": 2, "mode": "CRD"}, expect=[
        x.reshape(b, c, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 5, 2, 4).reshape(b, c * 4, h // 2, w // 2)])
    case("SpaceToDepth", 13, [x[:, :, :3]], {"blocksize": 2}, expect=[np.zeros((2, 32, 1, 3), F)], status=3, note="odd")
    for shape, target in (((3, 1), (2, 3, 4)), ((1,), (5,)), ((), (2, 2)), ((2, 1, 3), (1,)), ((1, 0), (3, 0)), ((4, 1, 1), (1, 5, 6))):
        y = fill(rng, shape, F)
        want = np.broadcast_shapes(shape, target)
        case("Expand", 13, [y, i(*target)], expect=[np.broadcast_to(y, want)], note=f"{shape}{target}")
    case("Tile", 13, [np.zeros((2, 0), F), i(2, 3)], expect=[np.zeros((4, 0), F)])
    case("Tile", 6, [x[0, 0], i(0, 2)], expect=[np.zeros((0, 12), F)])
    case("Tile", 1, [x[0, 0], np.array(3, F), np.array(1, F)], expect=[np.tile(x[0, 0], (1, 3))])
    y = np.arange(60, dtype=F).reshape(3, 4, 5)
    for s, e, a, st in (((0,), (2,), (0,), (1,)), ((-2,), (100,), (-1,), (1,)), ((4,), (-100,), (2,), (-1,)), ((3,), (0,), (1,), (-2,)),
                        ((1, 1), (3, 4), (0, 1), (1, 2)), ((-100,), (100,), (1,), (3,)), ((2,), (1,), (0,), (1,)), ((10,), (20,), (0,), (1,)),
                        ((-1,), (-9223372036854775808,), (2,), (-1,)), ((0,), (9223372036854775807,), (1,), (9223372036854775807,)),
                        ((3,), (-9223372036854775808,), (1,), (-9223372036854775807,))):
        index = [slice(None)] * 3
        for p, q, r, z in zip(s, e, a, st):
            q = None if z < 0 and q < -5 else q
            index[r] = slice(p, q, z)
        case("Slice", 13, [y, i(*s), i(*e), i(*a), i(*st)], expect=[y[tuple(index)]], note=f"{s}{e}{a}{st}")
    case("Slice", 11, [y, np.array([1], np.int32), np.array([3], np.int32)], expect=[y[1:3]])
    case("Slice", 1, [y], {"starts": [0, 1], "ends": [2, -1], "axes": [0, 2]}, expect=[y[:2, :, 1:-1]])
    case("Slice", 1, [y], {"starts": [1], "ends": [2]}, expect=[y[1:2]])
    case("Slice", 13, [y, i(0), i(1), i(5)], expect=[y[:1]], status=3, note="axis")
    case("Slice", 13, [y, i(0), i(1), i(0), i(0)], expect=[y[:1]], status=3, note="step 0")
    case("Transpose", 13, [y], {"perm": [0, 0, 1]}, expect=[np.zeros((3, 3, 4), F)], status=3, note="no permutation")


def join(case, rng):
    for t in TYPES:
        n = np.dtype(t).name
        x = [fill(rng, s, t) for s in ((2, 3), (2, 1), (2, 0), (2, 5))]
        case("Concat", 13, x, {"axis": 1}, expect=[np.concatenate(x, 1)], note=n)
        y = fill(rng, (2, 7), t)
        case("Split", 13, [y, i(3, 0, 4)], {"axis": -1}, outputs=3, expect=[y[:, :3], y[:, 3:3], y[:, 3:]], note=n)
    x = [fill(rng, (2, 3, 4), F) for _ in range(3)]
    for axis in (0, 1, 2, -2):
        case("Concat", 11, x, {"axis": axis}, expect=[np.concatenate(x, axis)])
    case("Concat", 4, x[:1], {"axis": 0}, expect=[x[0]])
    case("Concat", 1, x, expect=[np.concatenate(x, 1)])
    case("Concat", 13, [x[0], x[1][:, :, :2]], {"axis": 0}, expect=[np.zeros((4, 3, 4), F)], status=3, note="shapes")
    y = fill(rng, (6, 4), F)
    case("Split", 18, [y], {"num_outputs": 4}, outputs=4, expect=[y[:2], y[2:4], y[4:6], y[6:]])
    case("Split", 11, [y], {"split": [1, 2, 3]}, outputs=3, expect=[y[:1], y[1:3], y[3:]])
    case("Split", 2, [y], {"axis": 1}, outputs=2, expect=[y[:, :2], y[:, 2:]])


def pick(case, rng):
    for t in TYPES:
        n = np.dtype(t).name
        x = fill(rng, (4, 3, 2), t)
        case("Gather", 13, [x, np.array([[0, -1], [2, 3]], np.int32)], {"axis": 0}, expect=[x[np.array([[0, -1], [2, 3]])]], note=n)
        case("Gather", 13, [x, np.array(1, I)], {"axis": -1}, expect=[x[:, :, 1]], note=n)
        index = rng.integers(-3, 3, (2, 5, 2))
        case("GatherElements", 13, [x, index], {"axis": 1}, expect=[np.take_along_axis(x[:2], index, 1)], note=n)
        case("GatherND", 13, [x, np.array([[0, 1], [-1, 2]], I)], expect=[x[[0, -1], [1, 2]]], note=n)
        y = x[:3]
        if t is not INT4:
            case("ReverseSequence", 10, [y, i(1, 2, 3)], {"batch_axis": 0, "time_axis": 1}, note=n,
                 expect=[np.stack([np.concatenate([y[b, :k][::-1], y[b, k:]]) for b, k in enumerate((1, 2, 3))])])
            keep = np.array([True, False, True])
            case("Compress", 11, [x, keep], {"axis": 0}, expect=[x[:3][keep]], data_shaped=True, note=n)
            case("Compress", 11, [x, keep], expect=[x.ravel()[:3][keep]], data_shaped=True, note=n)
    x = fill(rng, (3, 4, 5), F)
    for axis in (0, 1, 2):
        for shape in ((), (2,), (0,), (2, 2)):
            index = rng.integers(-3, 3, shape)
            case("Gather", 13, [x, index], {"axis": axis}, expect=[np.take(x, index, axis)], note=f"{shape}")
        index = rng.integers(-3, 3, (3, 4, 5))
        case("GatherElements", 13, [x, index], {"axis": axis}, expect=[np.take_along_axis(x, index, axis)])
    case("Gather", 1, [x, i(0, 2)], expect=[x[[0, 2]]])
    case("Gather", 13, [x, i(3)], expect=[x[:1]], status=3, note="index past the end")
    case("Gather", 13, [x, i(-4)], expect=[x[:1]], status=3, note="index before the start")
    case("GatherElements", 13, [x, np.full((3, 4, 5), 9)], expect=[x], status=3, note="index past the end")
    case("GatherND", 13, [x, i(0, 4)], expect=[x[0, 0]], status=3, note="index past the end")
    case("GatherND", 12, [x, np.array([[[1, 2]], [[0, 0]], [[3, -1]]], I)], {"batch_dims": 1},
         expect=[np.array([[x[0, 1, 2]], [x[1, 0, 0]], [x[2, 3, -1]]], F)])
    case("GatherND", 11, [x, np.array([[1], [0]], I)], expect=[x[[1, 0]]])
    case("ReverseSequence", 10, [x, i(3, 1, 0, 2)], expect=[np.stack(
        [np.concatenate([x[:k, b][::-1], x[k:, b]]) for b, k in enumerate((3, 1, 0, 2))], 1)])
    case("ReverseSequence", 10, [x, i(4, 1, 0, 2)], expect=[x], status=3, note="too long")
    case("Compress", 9, [x, np.array([False] * 9)], {"axis": -1}, expect=[x[:, :, :0]], data_shaped=True)


def write(case, rng):
    for t in [F, np.int8, I, H, object]:
        n = np.dtype(t).name
        x, u = fill(rng, (4, 3), t), fill(rng, (2, 3), t)
        index = np.array([[0, 1, 3], [-1, 2, 0]], I)
        want = x.copy()
        for r in range(2):
            for c in range(3):
                want[index[r, c], c] = u[r, c]
        for op, opset in (("ScatterElements", 13), ("Scatter", 9), ("ScatterElements", 11)):
            case(op, opset, [x, index, u], expect=[want], note=n)
        want = x.copy()
        want[[1, -1]] = u
        case("ScatterND", 13, [x, np.array([[1], [-1]], I), u], expect=[want], note=n)
    for t in (F, D, H, ml_dtypes.bfloat16, np.int8, np.int32, I, np.uint8, np.uint64):
        for reduction, f in (("add", np.add), ("mul", np.multiply), ("max", np.maximum), ("min", np.minimum)):
            x, u = fill(rng, (5,), t), fill(rng, (4,), t)
            want = x.copy()
            for k, at in enumerate((1, 1, 3, 0)):
                want[at] = f(want[at], u[k])
            case("ScatterElements", 18, [x, i(1, 1, 3, 0), u], {"reduction": reduction}, expect=[want])
            case("ScatterND", 18, [x, np.array([[1], [1], [3], [0]], I), u], {"reduction": reduction}, expect=[want])
    x = fill(rng, (2, 3, 4), F)
    case("ScatterElements", 18, [x, np.array([[[0, -1]]], I), np.array([[[9, 8]]], F)], {"axis": 2})
    case("ScatterElements", 18, [x, np.array([[[0, 4]]], I), np.array([[[9, 8]]], F)], {"axis": 2}, expect=[x], status=3, note="index")
    case("ScatterND", 16, [x, np.array([[0, 0, 0], [1, 2, 3]], I), np.array([5, 6], F)])
    case("ScatterND", 16, [x, np.array([[0, 3]], I), np.zeros((1, 4), F)], expect=[x], status=3, note="index")
    cache, rows = fill(rng, (2, 3, 5, 2), F), fill(rng, (2, 3, 2, 2), F)
    for mode, at in (("linear", (1, 3)), ("circular", (4, 0))):
        want = cache.copy()
        for b in range(2):
            for r in range(2):
                want[b, :, (at[b] + r) % 5] = rows[b, :, r]
        case("TensorScatter", 24, [cache, rows, i(*at)], {"mode": mode}, expect=[want])
    for t in (INT4, object):
        cache, rows = fill(rng, (1, 4, 3), t), fill(rng, (1, 2, 3), t)
        want = cache.copy()
        want[:, 1:3] = rows
        case("TensorScatter", 24, [cache, rows, i(1)], expect=[want])
    cache, rows = fill(rng, (2, 3, 5, 2), F), fill(rng, (2, 3, 2, 2), F)
    case("TensorScatter", 24, [cache, rows, i(4, 0)], expect=[cache], status=3, note="past the end")
    case("TensorScatter", 24, [cache, rows, i(7, 10)], {"mode": "circular"}, note="further around")


def pads(case, rng):
    for t in [F, np.uint8, I, D, bool, INT4, object]:
        x = fill(rng, (3, 4), t)
        zero = "" if t is object else 0
        want = np.full((6, 7), zero, t)
        want[1:4, 2:6] = x
        case("Pad", 21, [x, i(1, 2, 2, 1)], expect=[want], note=np.dtype(t).name)
    x = np.arange(12, dtype=F).reshape(3, 4)
    for mode in ("reflect", "edge", "wrap"):
        case("Pad", 19, [x, i(1, 2, 2, 3)], {"mode": mode}, expect=[np.pad(x, ((1, 2), (2, 3)), mode)])
        case("Pad", 19, [x, i(0, 9, 0, 8)], {"mode": mode}, expect=[np.pad(x, ((0, 0), (9, 8)), mode)], note="far")
    case("Pad", 18, [x, i(1, 2), np.array(7, F), i(-1)], expect=[np.pad(x, ((0, 0), (1, 2)), constant_values=7)])
    case("Pad", 13, [x, i(-1, 1, 0, -2), np.array(5, F)], expect=[np.pad(x[1:, :2], ((0, 0), (1, 0)), constant_values=5)])
    case("Pad", 2, [x], {"pads": [0, 1, 1, 0], "value": 2.5}, expect=[np.pad(x, ((0, 1), (1, 0)), constant_values=2.5)])
    case("Pad", 2, [x], {"pads": [1, 1, 1, 1], "mode": "reflect"}, expect=[np.pad(x, 1, "reflect")])
    case("Pad", 1, [x], {"paddings": [1, 1, 0, 0], "mode": "edge"}, expect=[np.pad(x, ((1, 0), (1, 0)), "edge")])
    case("Pad", 13, [np.zeros((0, 2), F), i(1, 0, 1, 0), np.array(3, F)], expect=[np.full((2, 2), 3, F)])
    case("Pad", 13, [np.zeros((0, 2), F), i(1, 0, 1, 0)], {"mode": "edge"}, expect=[np.zeros((2, 2), F)], status=3, note="empty")
    case("Pad", 13, [x, i(1, 2)], expect=[x], status=3, note="too few")
    y = fill(rng, (2, 3, 4, 5), F)
    case("Pad", 13, [y, i(0, 1, 1, 2, 1, 0, 2, 1)], {"mode": "reflect"}, expect=[np.pad(y, ((0, 1), (1, 0), (1, 2), (2, 1)), "reflect")])
    for shape in ((4, 4), (2, 7), (5, 2), (3, 3)):
        case("CenterCropPad", 18, [x, i(*shape)])
    case("CenterCropPad", 18, [y, i(5, 2)], {"axes": [1, -1]})


def create(case, rng):
    for t in (F, I, bool, H, D, np.uint8):
        value = numpy_helper.from_array(np.array([1], t))
        case("ConstantOfShape", 9, [i(2, 3)], {"value": value}, expect=[np.ones((2, 3), t)], note=np.dtype(t).name)
    value = helper.make_tensor("v", 22, [1], [-3])
    case("ConstantOfShape", 21, [i(5)], {"value": value}, expect=[np.full(5, -3, INT4)])
    case("ConstantOfShape", 9, [i(0, 3)], expect=[np.zeros((0, 3), F)])
    case("ConstantOfShape", 9, [np.zeros(0, I)], expect=[np.zeros((), F)])
    for t, a in ((F, (1, 10, 2.5)), (D, (3, -3, -0.5)), (np.int32, (1, 9, 3)), (I, (10, -5, -4)), (np.int16, (0, 5, 1)), (F, (3, 3, 1))):
        case("Range", 11, [np.array(v, t) for v in a], expect=[np.arange(*a, dtype=t)])
    for a in ((2 ** 53 + 1, 2 ** 53 + 3, 1), (-(2 ** 62), -(2 ** 62) + 3, 1), (2 ** 62, 2 ** 62 - 3, -2), (5, 5, -1)):
        case("Range", 11, [np.array(v, I) for v in a], expect=[np.array(range(*a), I)])
    case("Range", 11, [np.array(v, I) for v in (1, 5, 0)], expect=[np.zeros(4, I)], status=3, note="delta 0")
    for k in (0, 1, -2, 9):
        for dtype, t in ((None, np.int32), (11, D), (9, bool)):
            case("EyeLike", 22, [np.zeros((3, 5), np.int32)], {"k": k, **({"dtype": dtype} if dtype else {})},
                 expect=[np.eye(3, 5, k, dtype=t)])
    case("EyeLike", 9, [np.zeros((4, 2), H)], expect=[np.eye(4, 2, dtype=H)])
    for axis in (-1, 0, 1):
        index = np.array([[0, 2, -1], [5, -9, 1]], I)
        want = np.where(np.arange(4) == np.where(index < 0, index + 4, index)[..., None], 7, 2).astype(F)
        case("OneHot", 11, [index, np.array(4, I), np.array([2, 7], F)], {"axis": axis}, expect=[np.moveaxis(want, -1, axis)])
    case("OneHot", 11, [np.array([1.0, 0], F), np.array([2], F), np.array(["no", "yes"], object)],
         expect=[np.array([["no", "yes"], ["yes", "no"]], object)])
    case("OneHot", 9, [i(-1, 0, 2, 3), np.array(3, I), i(2, 7)], expect=[np.array([[2, 2, 2], [7, 2, 2], [2, 2, 7], [2, 2, 2]], I)],
         note="negative indices are outside")
    case("OneHot", 9, [np.array(1, np.int32), np.array(3, np.int32), np.array([0, 1], I)], expect=[i(0, 1, 0)])
    x = fill(rng, (2, 4, 5), F)
    for upper in (0, 1):
        f = np.triu if upper else np.tril
        case("Trilu", 14, [x], {"upper": upper}, expect=[f(x)])
        for k in (-3, -1, 1, 4, 100, -100):
            case("Trilu", 14, [x, np.array(k, I)], {"upper": upper}, expect=[f(x, max(min(k, 50), -50))], note=f"k {k}")
    y = fill(rng, (3, 3), object)
    case("Trilu", 14, [y], expect=[np.where(np.triu(np.ones((3, 3), bool)), y, "")])
    for t in (bool, I, H):
        y = fill(rng, (3, 3), t)
        case("Trilu", 14, [y], expect=[np.triu(y)])
    case("Trilu", 14, [np.zeros((0, 3), F)], expect=[np.zeros((0, 3), F)])


def make(case, rng):
    for part in (shapes, order, join, pick, write, pads, create):
        part(case, rng)
