# SPDX-License-Identifier: Apache-2.0
"""Cases of test_gradient.py: nodes with inputs, by operator. Each operator with a derivative is here."""
import numpy as np

RNG = np.random.default_rng(20)


class Case:
    """One node. `inputs`: arrays, None where absent; doubles are differentiated unless `fixed` names their position.
    `outputs`: how many; `by`: which of them is differentiated; `constant`: positions that are initializers."""

    def __init__(self, op, *inputs, opset=22, outputs=1, by=0, fixed=(), constant=(), **attributes):
        self.op, self.inputs, self.opset, self.outputs, self.by = op, inputs, opset, outputs, by
        self.fixed, self.constant, self.attributes = fixed, constant, attributes

    def name(self, index):
        detail = ",".join(f"{key}={value}" for key, value in self.attributes.items())
        return f"{self.op}-{self.opset} #{index} {detail}".strip()


def f(*shape, low=-2.0, high=2.0):
    return RNG.uniform(low, high, shape)


def apart(*shape):
    """No two elements near each other or near 0: comparisons do not change within a step."""
    count = int(np.prod(shape, dtype=int))
    return ((RNG.permutation(count) - count // 2 + 0.5) * (4.0 / max(count, 8))).reshape(shape)


def i(*values):
    return np.array(values, np.int64)


def unary():
    for op, low, high in (("Abs", .2, 2), ("Acos", -.9, .9), ("Acosh", 1.1, 3), ("Asin", -.9, .9), ("Asinh", -2, 2),
                          ("Atan", -2, 2), ("Atanh", -.9, .9), ("Ceil", .1, .9), ("Cos", -2, 2), ("Cosh", -2, 2),
                          ("Erf", -2, 2), ("Exp", -2, 2), ("Floor", .1, .9), ("HardSwish", -2.9, 2.9), ("Identity", -2, 2),
                          ("Log", .1, 2), ("Mish", -2, 2), ("Neg", -2, 2), ("Reciprocal", .3, 2), ("Round", .6, 1.4),
                          ("Sigmoid", -2, 2), ("Sign", .2, 2), ("Sin", -2, 2), ("Sinh", -2, 2), ("Softplus", -2, 2),
                          ("Softsign", -2, 2), ("Sqrt", .1, 2), ("Tan", -1, 1), ("Tanh", -2, 2)):
        yield Case(op, f(3, 4, low=low, high=high))
    for op in ("Abs", "Relu", "Elu", "Celu", "LeakyRelu", "Selu", "HardSigmoid", "Gelu", "HardSwish"):
        yield Case(op, apart(3, 5))
    yield Case("HardSwish", f(4, low=3.1, high=5))
    yield Case("HardSwish", f(4, low=-5, high=-3.1))
    for op, attributes in (("Elu", {"alpha": .7}), ("Celu", {"alpha": .7}), ("LeakyRelu", {"alpha": .3}),
                           ("Selu", {"alpha": 1.3, "gamma": .8}), ("HardSigmoid", {"alpha": .4, "beta": .3}),
                           ("Gelu", {"approximate": "tanh"}), ("Shrink", {"bias": .3, "lambd": .6}),
                           ("ThresholdedRelu", {"alpha": .4})):
        yield Case(op, apart(2, 7), **attributes)
    yield Case("Swish", f(2, 3), opset=24, alpha=.8)
    yield Case("Clip", apart(3, 4), np.array(-.83), np.array(.77), outputs=1)
    yield Case("Clip", apart(3, 4), None, np.array(.77))
    yield Case("Clip", apart(3, 4), opset=6, min=-.83, max=.77)
    yield Case("Cast", f(3), to=11)
    yield Case("CastLike", f(3), f(2))
    yield Case("Dropout", f(3, 4))
    yield Case("DequantizeLinear", np.array([[3, 200, 7], [1, 2, 255]], np.uint8), np.array(.3, np.float32),
               np.array(9, np.uint8), fixed=())
    yield Case("DequantizeLinear", np.array([[3, -100, 7], [1, 2, 127]], np.int8), np.array([.3, .1, 2.], np.float32),
               axis=1)


def binary():
    shapes = (((2, 3), (2, 3)), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 1, 3), (4, 1)), ((), (2, 2)), ((1, 1), (3, 2)))
    for op in ("Add", "Sub", "Mul", "Div", "Pow"):
        for a, b in shapes:
            yield Case(op, f(*a, low=.5), f(*b, low=.5))
    for a, b in shapes:
        yield Case("PRelu", apart(4, 2, 3), f(*b) if len(b) < 3 and b in ((3,), (2, 3), ()) else f(3))
        both = apart(24)
        count = int(np.prod(a, dtype=int))
        x, y = both[:count].reshape(a), both[count:count + int(np.prod(b, dtype=int))].reshape(b)
        for op in ("Max", "Min"):
            yield Case(op, x, y)
        yield Case("Sum", f(*a), f(*b))
        yield Case("Mean", f(*a), f(*b), f(1))
        whole = np.broadcast_shapes(a, b)
        yield Case("Where", RNG.integers(0, 2, whole).astype(bool), f(*a), f(*b))
    yield Case("Mod", np.array([3.7, -4.3, 5.9]), np.array([1.5, 2.0, -1.3]), fmod=1)
    yield Case("Pow", f(2, 3, low=.5), i(2, -1, 3))
    yield Case("Pow", f(3), np.array(3.0), fixed=(1,))
    yield Case("Pow", np.array([0, 0, 0, 1.5]), np.array([0., 1, 2, 0]), fixed=(1,))
    yield Case("Add", f(2, 3, 4), f(3), opset=6, axis=1, broadcast=1)
    yield Case("Mul", f(2, 3, 4), f(3, 4), opset=6, broadcast=1)
    yield Case("Div", f(2, 3, 4), f(2, 3, low=.5), opset=6, broadcast=1, axis=0)
    yield Case("SwiGLU", f(2, 3), f(2, 3), opset=28, alpha=1.2)


def products():
    for a, b in (((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
                 ((2, 1, 2, 3), (4, 3, 2)), ((4, 2, 3), (3,)), ((3,), (4, 3, 2))):
        yield Case("MatMul", f(*a), f(*b))
    for ta in (0, 1):
        for tb in (0, 1):
            for c in ((4,), (2, 4), (2, 1), ()):
                yield Case("Gemm", f(3, 2) if ta else f(2, 3), f(4, 3) if tb else f(3, 4), f(*c), transA=ta, transB=tb,
                           alpha=.7, beta=1.3)
    yield Case("Gemm", f(2, 3), f(3, 4))
    for equation, shapes in (("ij,jk->ik", ((2, 3), (3, 4))), ("bij,bjk,k->bi", ((2, 3, 4), (2, 4, 5), (5,))),
                             ("ij->i", ((2, 3),)), ("i,j->ij", ((2,), (3,))), ("ij,kl->", ((2, 3), (2, 2)))):
        yield Case("Einsum", *(f(*shape) for shape in shapes), equation=equation)


def windows():
    for attributes in ({}, {"strides": [2, 3]}, {"dilations": [2, 1]}, {"pads": [1, 0, 2, 1]},
                       {"pads": [1, 2, 0, 1], "strides": [2, 2], "dilations": [1, 2]}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]},
                       {"auto_pad": "SAME_LOWER"}, {"auto_pad": "VALID"}, {"group": 2},
                       {"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 1]}):
        group = attributes.get("group", 1)
        yield Case("Conv", f(2, 4, 6, 7), f(6, 4 // group, 3, 2), f(6), **attributes)
    yield Case("Conv", f(2, 3, 9), f(2, 3, 4), strides=[2])
    yield Case("Conv", f(1, 2, 4, 5, 4), f(2, 1, 2, 2, 2), group=2)
    for attributes in ({}, {"strides": [2, 3]}, {"dilations": [2, 1]}, {"pads": [1, 0, 2, 1]},
                       {"strides": [3, 2], "output_padding": [2, 1]}, {"strides": [2, 2], "output_shape": [7, 9]},
                       {"auto_pad": "SAME_UPPER", "strides": [2, 2]}, {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
                       {"group": 2, "strides": [2, 1]}):
        yield Case("ConvTranspose", f(2, 4, 4, 5), f(4, 3, 3, 2), f(3 * attributes.get("group", 1)), **attributes)
    pools = ({"kernel_shape": [2, 3]}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]},
             {"kernel_shape": [2, 2], "dilations": [2, 1]}, {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]},
             {"kernel_shape": [3, 3], "auto_pad": "SAME_LOWER", "strides": [2, 2]},
             {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1})
    for attributes in pools:
        yield Case("MaxPool", apart(2, 2, 6, 7), **attributes)
        yield Case("AveragePool", f(2, 2, 6, 7), **attributes)
        yield Case("AveragePool", f(2, 2, 6, 7), count_include_pad=1, **attributes)
        yield Case("LpPool", f(2, 2, 6, 7), **attributes)
    yield Case("LpPool", f(2, 2, 6, 7), kernel_shape=[2, 2], p=3)
    yield Case("MaxPool", apart(2, 3, 9), kernel_shape=[3], strides=[2])
    yield Case("MaxPool", apart(1, 2, 4, 4, 4), kernel_shape=[2, 2, 2], outputs=2)
    yield Case("MaxPool", apart(1, 2, 4, 4), opset=7, kernel_shape=[2, 2])
    for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):
        yield Case(op, apart(2, 3, 4, 5))
    yield Case("GlobalLpPool", f(2, 3, 4), p=3)


def reductions():
    for op in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"):
        x = np.abs(apart(2, 3, 4)) + .2 if op == "LogSum" else apart(2, 3, 4)
        for axes, attributes in ((i(1), {}), (i(0, -1), {"keepdims": 0}), (None, {}), (None, {"keepdims": 0}),
                                 (None, {"noop_with_empty_axes": 1}), (i(), {"keepdims": 0})):
            if op == "SumSquare" and "noop_with_empty_axes" in attributes or op.startswith("L") and "noop_with_empty_axes" in attributes:
                continue
            yield Case("Reduce" + op, x, axes, constant=(1,), **attributes)
        yield Case("Reduce" + op, x, i(1), keepdims=0)
        yield Case("Reduce" + op, x, opset=11, axes=[0, 2], keepdims=0)
    for zeros in ((0,), (0, 5), (0, 1)):
        x = f(2, 3, low=.5)
        x.reshape(-1)[list(zeros)] = 0
        yield Case("ReduceProd", x, i(1), constant=(1,))
    for reverse in (0, 1):
        for exclusive in (0, 1):
            yield Case("CumSum", f(3, 4), np.array(1), reverse=reverse, exclusive=exclusive)


def norms():
    for axis in (0, 1, -1):
        for op in ("Softmax", "LogSoftmax"):
            yield Case(op, f(2, 3, 4), axis=axis)
            yield Case(op, f(2, 3, 4), axis=max(axis, 0), opset=11)
        for p in (1, 2):
            yield Case("LpNormalization", apart(3, 4, 2), axis=axis, p=p)
        shape = f(2, 3, 4).shape[axis:]
        yield Case("LayerNormalization", f(2, 3, 4), f(*shape), f(*shape), axis=axis)
        yield Case("LayerNormalization", f(2, 3, 4), f(*shape), axis=axis, outputs=3, by=1, stash_type=11)
        yield Case("LayerNormalization", f(2, 3, 4), f(*shape), axis=axis, outputs=3, by=2, stash_type=11)
        yield Case("RMSNormalization", f(2, 3, 4), f(*shape), axis=axis, opset=23)
    yield Case("Hardmax", apart(3, 4))
    for opset, attributes in ((9, {}), (15, {}), (7, {})):
        yield Case("BatchNormalization", f(2, 3, 4, 2), f(3), f(3), f(3), f(3, low=.5), opset=opset, **attributes)
    yield Case("BatchNormalization", f(5, 3), f(3), f(3), f(3), f(3, low=.5), opset=15)
    for by in (0, 1, 2):
        yield Case("BatchNormalization", f(2, 3, 4, 2), f(3), f(3), f(3), f(3, low=.5), opset=15, outputs=3, by=by,
                   training_mode=1, momentum=.7)
    yield Case("InstanceNormalization", f(2, 3, 4, 2), f(3), f(3))
    yield Case("GroupNormalization", f(2, 4, 3, 2), f(4), f(4), opset=21, num_groups=2, stash_type=11)
    yield Case("GroupNormalization", f(2, 4, 3, 2), f(2), f(2), opset=18, num_groups=2)
    for size in (1, 2, 3, 4):
        yield Case("LRN", f(2, 5, 3, 2), size=size, alpha=.4, beta=.6, bias=1.2)
    yield Case("MeanVarianceNormalization", f(2, 3, 4, 2), axes=[0, 2, 3])
    for reduction in ("none", "mean", "sum"):
        for weighted in (False, True):
            for ignore in ({}, {"ignore_index": 1}, {"ignore_index": -1}):
                labels = RNG.integers(0, 3, (4, 2))
                if ignore:
                    labels[0] = ignore["ignore_index"]
                rest = [f(3, low=.2)] if weighted else []
                for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"):
                    yield Case(op, f(4, 3, 2), labels, *rest, reduction=reduction, **ignore)
    yield Case("SoftmaxCrossEntropyLoss", f(4, 3), RNG.integers(0, 3, 4), outputs=2, by=1)


def movement():
    x = f(2, 3, 4)
    yield Case("Reshape", x, i(4, -1), constant=(1,))
    yield Case("Reshape", x, i(0, 12))
    yield Case("Flatten", x, axis=2)
    yield Case("Squeeze", f(2, 1, 3), i(1), constant=(1,))
    yield Case("Unsqueeze", x, i(0, -1), constant=(1,))
    yield Case("Transpose", x)
    yield Case("Transpose", x, perm=[1, 2, 0])
    yield Case("Concat", x, f(2, 1, 4), f(2, 2, 4), axis=1)
    yield Case("Concat", x, x[:1], axis=-3)
    yield Case("Split", x, i(1, 2), outputs=2, by=1, axis=1, constant=(1,))
    yield Case("Split", x, outputs=2, by=0, axis=2, num_outputs=2)
    yield Case("Split", x, outputs=3, by=2, axis=1, opset=11)
    yield Case("Slice", x, i(0, 3), i(2, -9), i(1, 2), i(1, -2))
    yield Case("Slice", x, opset=9, starts=[1], ends=[3], axes=[1])
    for mode in ("constant", "reflect", "edge", "wrap"):
        yield Case("Pad", x, i(1, 0, 2, 0, 2, 1), mode=mode)
    yield Case("Pad", x, i(1, -1, 2, 0, 2, -1), np.array(.7))
    yield Case("Pad", x, i(1, 2), None, i(-2), opset=21)
    yield Case("Pad", x, opset=2, pads=[1, 0, 0, 0, 2, 1], value=.3)
    for axis in (0, 1, -1):
        yield Case("Gather", x, np.array([[0, 1], [-1, 0]]), axis=axis)
        yield Case("Gather", x, np.array(1, np.int32), axis=axis)
    yield Case("GatherElements", x, RNG.integers(-3, 3, (2, 5, 4)), axis=1)
    yield Case("GatherND", x, np.array([[0, 1], [1, -1], [0, 1]]))
    yield Case("GatherND", x, np.array([[0], [2]]), batch_dims=1)
    index = np.array([[[0, 2, 1, 3], [1, 0, 3, 2]]])
    for op, opset in (("ScatterElements", 18), ("Scatter", 9)):
        yield Case(op, x, index, f(1, 2, 4), axis=2, opset=opset)
    yield Case("ScatterElements", x, np.zeros((1, 2, 4), np.int64), f(1, 2, 4), axis=2, reduction="add")
    yield Case("ScatterND", x, np.array([[0, 1], [1, 2]]), f(2, 4))
    yield Case("ScatterND", x, np.array([[0, 1], [0, 1]]), f(2, 4), reduction="add")
    yield Case("Expand", f(3, 1), i(2, 1, 4))
    yield Case("Tile", x, i(2, 1, 3))
    yield Case("DepthToSpace", f(2, 8, 2, 3), blocksize=2)
    yield Case("DepthToSpace", f(2, 8, 2, 3), blocksize=2, mode="CRD")
    yield Case("SpaceToDepth", f(2, 2, 4, 6), blocksize=2)
    yield Case("ReverseSequence", f(4, 3, 2), i(1, 3, 4), batch_axis=1, time_axis=0)
    yield Case("Trilu", f(2, 3, 4), np.array(1), upper=1)
    yield Case("Trilu", f(4, 3), upper=0)
    yield Case("CenterCropPad", x, i(5, 2), axes=[0, 2])
    yield Case("Compress", x, np.array([True, False, True]), axis=1)
    yield Case("Compress", x, np.array([True, False, True, True]))
    yield Case("OneHot", RNG.integers(-3, 3, (2, 2)), np.array(4), np.array([.2, 1.7]))
    yield Case("TopK", apart(3, 5), i(2), axis=1, outputs=2)
    yield Case("TopK", apart(3, 5), i(2), axis=0, largest=0, outputs=2)
    yield Case("MaxUnpool", f(1, 1, 2, 2), np.array([[[[5, 7], [13, 15]]]]), kernel_shape=[2, 2], strides=[2, 2])
    yield Case("TensorScatter", f(2, 4, 3), f(2, 2, 3), i(1, 0), opset=24, axis=1)
    yield Case("Resize", f(1, 2, 3, 4), None, np.array([1, 1, 2, 1.5], np.float32), mode="nearest", constant=(2,))
    for mode in ("linear", "cubic"):
        for how in ("half_pixel", "align_corners", "asymmetric"):
            yield Case("Resize", f(1, 2, 3, 4), None, np.array([1, 1, 2, 1.5], np.float32), mode=mode,
                       coordinate_transformation_mode=how, constant=(2,))
        yield Case("Resize", f(1, 2, 5, 4), None, None, i(3, 7), mode=mode, axes=[2, 3], antialias=1)
    yield Case("Resize", f(1, 1, 5, 4), np.array([0, 0, .2, .1, 1, 1, 1.2, .8]), None, i(1, 1, 3, 6), mode="linear",
               coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=3.0, fixed=(1,))
    for mode in ("nearest", "linear"):
        yield Case("Upsample", f(1, 2, 3, 4), np.array([1, 1, 2, 3], np.float32), opset=9, mode=mode, constant=(1,))
        yield Case("Resize", f(1, 2, 3, 4), np.array([1, 1, 2, 3], np.float32), opset=10, mode=mode, constant=(1,))
    yield Case("Upsample", f(1, 2, 3, 4), opset=7, mode="nearest", scales=[1.0, 1.0, 2.0, 3.0])
    yield Case("EyeLike", f(3, 4))
    yield Case("Slice", x, i(1), i(3), i(1), opset=10)


def all_cases():
    for family in (unary, binary, products, windows, reductions, norms, movement):
        yield from family()
