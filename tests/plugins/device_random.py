# SPDX-License-Identifier: Apache-2.0
"""Random single nodes of every operator that the GPU plugins claim, odd ones among them: scalars, empty tensors, eight
axes, axes of 1, steps below 0, indices from the end, pads without balance. The truth is computed by make_cases.case.

    CASES_OUT=FOLDER device_random.py [SEED]     writes FOLDER/random.bin
"""
import os
import pathlib
import struct
import sys

import numpy as np
from onnx import TensorProto, helper

sys.path.insert(0, str(pathlib.Path(__file__).parent / "cpu"))
import make_cases

F, I, L = np.float32, np.int32, np.int64
rng = np.random.default_rng(int(sys.argv[1]) if len(sys.argv) > 1 and __name__ == "__main__" else 20)


def pick(*items):
    return items[rng.integers(len(items))]


def between(low, high):
    return int(rng.integers(low, high + 1))


def chance(share):
    return rng.random() < share


def shape(low, high, most=6, empty=0.04):
    dims = [1 if chance(0.25) else between(1, most) for _ in range(between(low, high))]
    if dims and chance(empty):
        dims[between(0, len(dims) - 1)] = 0
    return tuple(dims)


def values(dims, dtype=F):
    if dtype == np.bool_:
        return rng.random(dims) < 0.5
    if np.dtype(dtype).kind == "f":
        return np.asarray(rng.standard_normal(dims) * 2, dtype)
    low = 0 if np.dtype(dtype).kind == "u" else -9
    return np.asarray(rng.integers(low, 10, dims), dtype)


def ints(*items):
    return np.array(items, L)


def broadcast_pair(low=0, high=6):
    whole = shape(low, high)
    sides = []
    for _ in range(2):
        cut = whole[between(0, len(whole)):] if chance(0.4) else whole
        sides.append(tuple(1 if chance(0.3) else d for d in cut))
    return sides


# ---- element by element ----

UNARY = """Abs Acos Asin Atan Ceil Cos Elu Erf Exp Floor HardSigmoid HardSwish LeakyRelu Log Mish Neg Reciprocal Relu Round
Selu Sigmoid Sign Sin Softplus Softsign Sqrt Tan Tanh ThresholdedRelu Celu Sinh Cosh Asinh Acosh Atanh Gelu IsNaN IsInf
Identity""".split()


def unary(case):
    op = pick(*UNARY)
    x = values(shape(0, 8))
    if op in ("Log", "Sqrt"):
        x = np.abs(x)
    if op in ("Acos", "Asin", "Atanh"):
        x = np.clip(x, -0.9, 0.9)
    if op == "Acosh":
        x = 1 + np.abs(x)
    if op in ("IsNaN", "IsInf") and x.size:
        x.flat[0] = pick(np.nan, np.inf, -np.inf)
    attrs = {"alpha": 0.3} if op in ("Elu", "LeakyRelu", "Celu", "ThresholdedRelu", "HardSigmoid") and chance(0.5) else {}
    if op == "Gelu":
        attrs = {"approximate": pick("none", "tanh")}
    case(op, 20, [x], attrs, rtol=1e-4)


def binary(case):
    a, b = broadcast_pair()
    op = pick("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Equal", "PRelu")
    dtype = F if op == "PRelu" else pick(F, F, I, L) if op != "Mod" else pick(I, L, F)
    x, y = values(a, dtype), values(b, dtype)
    if op in ("Div", "Mod"):
        y = np.asarray(np.where(y == 0, 1, y), dtype)
    if op == "Pow":
        x, y = np.abs(x) + np.asarray(1, dtype), np.asarray(np.abs(y) % 4, dtype)
    if op == "PRelu":
        y = values(tuple(pick(1, d) for d in a))
    attrs = {"fmod": 1} if op == "Mod" and dtype == F else {}
    case(op, 16, [x, y], attrs, rtol=1e-4)


def logic(case):
    a, b = broadcast_pair()
    op = pick("And", "Or", "Xor", "Not")
    case(op, 16, [values(a, np.bool_)] + ([] if op == "Not" else [values(b, np.bool_)]))


def several(case):
    op = pick("Sum", "Mean", "Max", "Min", "Where", "Clip", "Cast")
    a, b = broadcast_pair()
    if op == "Where":
        case(op, 16, [values(a, np.bool_), values(a, dtype := pick(F, L, np.uint8)), values(b, dtype)])
    elif op == "Clip":
        dtype = pick(F, I, L)
        bounds = [np.array(-2, dtype) if chance(0.7) else None, np.array(3, dtype) if chance(0.7) else None]
        case(op, 13, [values(a, dtype), *bounds])
    elif op == "Cast":
        to = pick(TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL, TensorProto.UINT8,
                  TensorProto.INT8)
        dtype = pick(F, I, L, np.bool_, np.uint8)
        x = np.abs(values(a, dtype)) if dtype == F else values(a, dtype)
        case(op, 13, [x], {"to": int(to)})
    else:
        third = tuple(1 for _ in a)
        case(op, 13, [values(a), values(b), values(third)][:between(1, 3)])


# ---- windows ----

def window(axes, size):
    kernel = [between(1, 4) for _ in range(axes)]
    attrs = {"kernel_shape": kernel, "strides": [between(1, 3) for _ in range(axes)]}
    if chance(0.4):
        attrs["dilations"] = [between(1, 2) for _ in range(axes)]
    auto = pick("NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")
    if auto != "NOTSET":
        attrs["auto_pad"] = auto
        if auto.startswith("SAME"):  # pads below 0, where a stride passes over elements, are onnxruntime's own
            attrs.pop("dilations", None)
            attrs["strides"] = [min(s, k) for s, k in zip(attrs["strides"], kernel)]
    else:
        attrs["pads"] = [between(0, kernel[i % axes] - 1) for i in range(2 * axes)]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, attrs.get("dilations", [1] * axes))]
    return attrs, tuple(max(s, between(1, size)) for s in spans)


def conv(case):
    axes, group = pick(1, 2, 2), pick(1, 1, 2, 3)
    attrs, image = window(axes, 14)
    inside, outside = pick(1, 1, 3), pick(1, 2, 9, 17)
    x = values((pick(1, 1, 2, 0) if chance(0.1) else pick(1, 2), group * inside, *image))
    w = values((group * outside, inside, *attrs["kernel_shape"]))
    bias = [values((group * outside,))] if chance(0.5) else []
    case("Conv", 11, [x, w, *bias], attrs | {"group": group}, rtol=1e-4, atol=1e-4, note=f"{x.shape} {w.shape}")


def conv_transpose(case):
    axes, group = pick(1, 2, 2), pick(1, 1, 2)
    attrs, image = window(axes, 8)
    if attrs.get("auto_pad", "NOTSET") == "NOTSET" and chance(0.5):
        attrs["output_padding"] = [between(0, s - 1) for s in attrs["strides"]]
    spans = [(k - 1) * d + 1 for k, d in zip(attrs["kernel_shape"], attrs.get("dilations", [1] * axes))]
    if "pads" in attrs:
        attrs["pads"] = [min(p, spans[i % axes] - 1) for i, p in enumerate(attrs["pads"])]
    inside, outside = pick(1, 3), pick(1, 2, 5)
    x, w = values((pick(1, 2), group * inside, *image)), values((group * inside, outside, *attrs["kernel_shape"]))
    bias = [values((group * outside,))] if chance(0.5) else []
    case("ConvTranspose", 11, [x, w, *bias], attrs | {"group": group}, rtol=1e-4, atol=1e-4, note=f"{x.shape} {w.shape}")


def pool(case):
    op, axes = pick("MaxPool", "AveragePool"), pick(1, 2, 2)
    attrs, image = window(axes, 12)
    if "pads" in attrs:
        attrs["pads"] = [min(p, attrs["kernel_shape"][i % axes] - 1) for i, p in enumerate(attrs["pads"])]
    if attrs.get("auto_pad", "NOTSET") == "NOTSET":
        attrs["ceil_mode"] = between(0, 1)
    if op == "AveragePool":
        attrs["count_include_pad"] = between(0, 1)
    case(op, 19 if op == "AveragePool" else 12, [values((pick(1, 2), pick(1, 3), *image))], attrs, note=str(image))


def whole_pool(case):
    case(pick("GlobalAveragePool", "GlobalMaxPool"), 1, [values((pick(1, 2), 3, *shape(1, 3, empty=0)))])


# ---- products ----

def matmul(case):
    if chance(0.5):
        m, k, n = between(1, 20), between(1, 40), pick(1, 7, 33)
        a, b = (k, m) if (ta := between(0, 1)) else (m, k), (n, k) if (tb := between(0, 1)) else (k, n)
        c = [values(pick((m, n), (1, n), (n,), (m, 1), (), (1,)))] if chance(0.7) else []
        case("Gemm", 13, [values(a), values(b), *c],
             {"transA": ta, "transB": tb, "alpha": 0.5, "beta": pick(1.0, 0.25)}, rtol=1e-4, atol=1e-4)
        return
    batch = [tuple(s) for s in broadcast_pair(0, 4)]
    m, k, n = between(1, 9), pick(1, 5, 0) if chance(0.1) else between(1, 17), between(1, 20)
    a = (k,) if chance(0.15) else (*batch[0], m, k)
    b = (k,) if chance(0.15) else (*batch[1], k, n)
    case("MatMul", 13, [values(a), values(b)], rtol=1e-4, atol=1e-4, note=f"{a} {b}")


# ---- moving ----

ANY = [F, L, I, np.uint8, np.int16, np.float16, np.float64, np.bool_]


def slices(case):
    x = values(shape(1, 8), pick(*ANY))
    axes = sorted(rng.permutation(x.ndim)[:between(1, x.ndim)].tolist())
    steps = [pick(1, 1, 2, -1, -2, 7) for _ in axes]
    far = 2**31 if chance(0.2) else 9
    starts = [between(-far, far) for _ in axes]
    ends = [between(-far, far) for _ in axes]
    axes = [a - x.ndim if chance(0.3) else a for a in axes]
    case("Slice", 13, [x, ints(*starts), ints(*ends), ints(*axes), ints(*steps)], note=f"{x.shape} {starts} {ends} {steps}")


def pads(case):
    x = values(shape(1, 6, empty=0), pick(F, L, I, np.uint8))
    mode = pick("constant", "reflect", "edge", "wrap")
    axes = sorted(rng.permutation(x.ndim)[:between(1, x.ndim)].tolist())
    low = [0 if mode != "constant" or chance(0.5) else -between(0, (x.shape[a] - 1) // 2) for a in axes]
    most = [x.shape[a] - 1 if mode in ("reflect", "wrap") else pick(2, 40) for a in axes]
    amounts = [pick(low[i % len(axes)], between(0, max(most[i % len(axes)], 0))) for i in range(2 * len(axes))]
    fill = np.array(7, x.dtype) if mode == "constant" and chance(0.6) else None
    case("Pad", 19, [x, ints(*amounts), fill, ints(*axes)], {"mode": mode}, note=f"{x.shape} {amounts}")


def arrange(case):
    op = pick("Transpose", "Concat", "Split", "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "Flatten", "Reshape",
              "Squeeze", "Unsqueeze")
    dtype = pick(*ANY)
    x = values(shape(1, 8), dtype)
    axis = between(-x.ndim, x.ndim - 1)
    if op == "Transpose":
        case(op, 13, [x], {"perm": rng.permutation(x.ndim).tolist()} if chance(0.8) else {})
    elif op == "Concat":
        parts = [values(tuple(between(0, 4) if d == axis % x.ndim else n for d, n in enumerate(x.shape)), dtype)
                 for _ in range(between(0, 3))]
        case(op, 13, [x, *parts], {"axis": axis})
    elif op == "Split":
        n = x.shape[axis]
        cut = between(0, n)
        case(op, 13, [x, ints(cut, n - cut)], {"axis": axis}, outputs=2)
    elif op == "Expand":
        x = values(tuple(1 if chance(0.5) else n for n in x.shape), dtype)
        case(op, 13, [x, ints(*([between(1, 3)] if x.ndim < 8 and chance(0.4) else []), *[max(n, 1) for n in x.shape])])
    elif op == "Tile":
        case(op, 13, [x[:, None] if x.ndim < 3 else x, ints(*[between(0 if chance(0.05) else 1, 3) for _ in
                                                              range(x.ndim + (x.ndim < 3))])])
    elif op == "DepthToSpace":
        b = between(1, 3)
        case(op, 13, [values((pick(1, 2), b * b * between(1, 3), between(1, 4), between(1, 4)))],
             {"blocksize": b, "mode": pick("DCR", "CRD")})
    elif op == "SpaceToDepth":
        b = between(1, 3)
        case(op, 13, [values((pick(1, 2), between(1, 3), b * between(1, 3), b * between(1, 3)))], {"blocksize": b})
    elif op == "Flatten":
        case(op, 13, [x], {"axis": between(0, x.ndim)})
    elif op == "Reshape":
        case(op, 14, [x, ints(-1) if x.size else ints(0, *[1] * (x.ndim - 1))] if x.size else [x, ints(*x.shape[::-1])],
             {} if x.size else {"allowzero": 1})
    elif op == "Squeeze":
        case(op, 13, [x[:, None], ints(1)])
    elif x.ndim < 8:
        case(op, 13, [x, ints(between(0, x.ndim))])


def gathers(case):
    op = pick("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND")
    x = values(shape(1, 6, empty=0), pick(F, L, np.uint8))
    axis = between(0, x.ndim - 1)
    n, kind = x.shape[axis], pick(I, L)
    if op == "Gather":
        case(op, 13, [x, np.asarray(rng.integers(-n, n, shape(0, 2)), kind)], {"axis": axis - (x.ndim if chance(0.3) else 0)})
    elif op == "GatherElements":
        dims = tuple(between(1, n + 2) if d == axis else between(1, m) for d, m in enumerate(x.shape))
        case(op, 13, [x, np.asarray(rng.integers(-n, n, dims), kind)], {"axis": axis})
    elif op == "ScatterElements":
        dims = tuple(between(1, n) if d == axis else m for d, m in enumerate(x.shape))
        index = np.argsort(rng.random((*dims[:axis], n, *dims[axis + 1:])), axis=axis)
        index = np.take(index, range(dims[axis]), axis=axis)
        case(op, 16, [x, np.asarray(index - n * pick(0, 1), kind), values(dims, x.dtype)], {"axis": axis})
    elif op == "GatherND":
        batch = between(0, x.ndim - 1)
        length = between(1, x.ndim - batch)
        outer = (*x.shape[:batch], *shape(0, 2, 3, empty=0))
        at = np.stack([rng.integers(-m, m, outer) for m in x.shape[batch:batch + length]], axis=-1)
        if at.ndim > batch:
            case(op, 13, [x, np.asarray(at, L)], {"batch_dims": batch}, note=f"{x.shape} {at.shape}")
    else:
        length = between(1, x.ndim)
        cells = int(np.prod(x.shape[:length]))
        flat = rng.permutation(cells)[:between(1, cells)]
        at = np.stack(np.unravel_index(flat, x.shape[:length]), axis=-1)
        case(op, 16, [x, np.asarray(at, L), values((len(flat), *x.shape[length:]), x.dtype)])


# ---- along axes ----

def reduce(case):
    op = pick("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
              "ReduceLogSumExp", "ReduceSumSquare")
    x = values(shape(0, 8, 5, empty=0), F if op in ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceProd") else pick(F, F, I))
    if op == "ReduceLogSum":
        x = np.abs(x) + F(0.1)
    attrs = {"keepdims": between(0, 1)}
    axes = rng.permutation(x.ndim)[:between(0, x.ndim)]
    inputs = [x, ints(*[int(a) - (x.ndim if chance(0.3) else 0) for a in axes])] if len(axes) else [x]
    if not len(axes) and chance(0.3):
        attrs["noop_with_empty_axes"] = 1
    case(op, 18, inputs, attrs, rtol=1e-4, atol=1e-4, note=str(x.shape))


def lines(case):
    op = pick("Softmax", "LogSoftmax", "ArgMax", "ArgMin", "CumSum")
    x = values(shape(1, *pick((5, 6), (2, 90)), empty=0.02))
    axis = between(-x.ndim, x.ndim - 1)
    if op == "CumSum":
        case(op, 14, [x, np.array(axis, pick(I, L))], {"exclusive": between(0, 1), "reverse": between(0, 1)}, rtol=1e-4)
    elif op.startswith("Arg"):
        case(op, 13, [np.round(x)], {"axis": axis, "keepdims": between(0, 1), "select_last_index": between(0, 1)})
    else:
        case(op, pick(11, 13), [x], {"axis": axis}, rtol=1e-4)


def norm(case):
    op = pick("BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization")
    x = values((pick(1, 2), pick(2, 4), *shape(1, 3, 7, empty=0)))
    c = x.shape[1]
    if op == "BatchNormalization":
        case(op, 15, [x, values((c,)), values((c,)), values((c,)), np.abs(values((c,))) + F(0.1)], rtol=1e-3, atol=1e-3)
    elif op == "InstanceNormalization":
        case(op, 6, [x, values((c,)), values((c,))], rtol=1e-3, atol=1e-3)
    elif op == "GroupNormalization":
        case(op, 21, [x, values((c,)), values((c,))], {"num_groups": pick(1, 2, c)}, rtol=1e-3, atol=1e-3)
    else:
        axis = between(-x.ndim, x.ndim - 1)
        dims = x.shape[axis:]
        more = [values(dims)] if op.startswith("Layer") and chance(0.6) else []
        case(op, 17 if op.startswith("Layer") else 23, [x, values(dims), *more], {"axis": axis}, rtol=1e-3, atol=1e-3)


def resize(case):
    axes = pick(1, 2)
    x = values((pick(1, 2), 2, *[between(1, 7) for _ in range(axes)]))
    mode = pick("nearest", "linear", "cubic")
    attrs = {"mode": mode, "coordinate_transformation_mode": pick("half_pixel", "pytorch_half_pixel", "align_corners",
                                                                  "asymmetric", "half_pixel_symmetric")}
    if mode == "nearest":
        attrs["nearest_mode"] = pick("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    if mode == "cubic":
        attrs |= {"cubic_coeff_a": pick(-0.75, -0.5), "exclude_outside": between(0, 1)}
    if chance(0.5):
        sizes = ints(*x.shape[:2], *[between(1, 12) for _ in range(axes)])
        case("Resize", 19, [x, None, None, sizes], attrs, rtol=1e-3, atol=1e-3, note=f"{x.shape} {sizes}")
    else:
        scales = np.array([1, 1, *[pick(0.5, 1.0, 2.0, 3.0, 1.5) for _ in range(axes)]], F)
        whole = all(n * s == np.floor(n * s) for n, s in zip(x.shape, scales))
        agreed = attrs["coordinate_transformation_mode"] not in ("align_corners", "half_pixel_symmetric")
        if all(n * s >= 1 for n, s in zip(x.shape, scales)) and (whole or agreed):  # else onnxruntime and ONNX differ
            case("Resize", 19, [x, None, scales], attrs, rtol=1e-3, atol=1e-3, note=f"{x.shape} {scales}")


def recurrent(case):
    op = pick("LSTM", "LSTM", "GRU", "RNN")
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    steps, batch, width, units = between(1, 5), between(1, 3), between(1, 6), between(1, 9)
    direction = pick("forward", "reverse", "bidirectional")
    d = 2 if direction == "bidirectional" else 1
    attrs = {"hidden_size": units, "direction": direction}
    if op == "GRU":
        attrs["linear_before_reset"] = between(0, 1)
    if chance(0.2):
        attrs["clip"] = 0.7
    inputs = [values((steps, batch, width)), values((d, gates * units, width)), values((d, gates * units, units)),
              values((d, 2 * gates * units)) if chance(0.7) else None,
              np.asarray(rng.integers(1, steps + 1, batch), I) if chance(0.5) else None,
              values((d, batch, units)) if chance(0.5) else None]
    if op == "LSTM":
        inputs += [values((d, batch, units)) if chance(0.5) else None, values((d, 3 * units)) if chance(0.3) else None]
    case(op, 14, inputs, attrs, outputs=3 if op == "LSTM" else 2, rtol=1e-3, atol=1e-3, note=f"{steps} {batch} {width} "
         f"{[v is not None for v in inputs[3:]]}")


def shapes(case):
    op = pick("Shape", "Size", "ConstantOfShape", "Range")
    if op == "Shape":
        case(op, 15, [values(shape(0, 8))], {"start": between(-3, 3), "end": between(-3, 6)})
    elif op == "Size":
        case(op, 13, [values(shape(0, 8))])
    elif op == "ConstantOfShape":
        case(op, 9, [ints(*shape(0, 4))], {"value": helper.make_tensor("v", pick(1, 7), [1], [3])})
    else:
        start, step = between(-5, 5), pick(1, 2, -1)
        case(op, 11, [np.array(start, L), np.array(start + step * between(0, 9), L), np.array(step, L)])


FAMILIES = [(unary, 45), (binary, 50), (logic, 12), (several, 35), (conv, 60), (conv_transpose, 40), (pool, 50),
            (whole_pool, 6), (matmul, 40), (slices, 40), (pads, 40), (arrange, 60), (gathers, 50), (reduce, 50), (lines, 40),
            (norm, 40), (resize, 50), (recurrent, 40), (shapes, 20)]


def main():
    for family, count in FAMILIES:
        for _ in range(count):
            family(make_cases.case)
    body = b"PTC1" + struct.pack("<I", len(make_cases.cases)) + b"".join(make_cases.cases)
    (pathlib.Path(os.environ["CASES_OUT"]) / "random.bin").write_bytes(body)
    print(f"random.bin: {len(make_cases.cases)} cases")


if __name__ == "__main__":
    main()
