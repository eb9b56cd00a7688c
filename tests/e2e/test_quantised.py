# SPDX-License-Identifier: Apache-2.0
"""Quantised groups on `cpu` equal optimised onnxruntime to the last step: operators between DequantizeLinear and
QuantizeLinear, weights of few bits, and networks of both. Models are made here, with fixed seeds."""
import os
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import common
from api import Context, Model, Session

LOWEST = {np.dtype(np.uint8): 0, np.dtype(np.int8): -128}


class Builder:
    """A graph that grows at its end, with activations of one quantised type."""

    def __init__(self, seed, dtype):
        self.random, self.dtype = np.random.default_rng(seed), np.dtype(dtype)
        self.nodes, self.constants, self.inputs, self.outputs, self.feeds, self.count = [], [], [], [], {}, 0
        self.scales, self.parameters = {}, {}

    def name(self):
        self.count += 1
        return f"v{self.count}"

    def constant(self, array):
        name = self.name()
        self.constants.append(numpy_helper.from_array(np.array(array, order="C"), name))
        return name

    def packed(self, kind, array):
        name = self.name()
        self.constants.append(helper.make_tensor(name, kind, array.shape, array.ravel().tolist()))
        return name

    def node(self, op, *inputs, **attributes):
        name = self.name()
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def integers(self, *shape):
        low = LOWEST[self.dtype]
        return self.random.integers(low, low + 256, shape).astype(self.dtype)

    def scale(self, step=None, lowest=False):
        """Names of a scale and a zero point for activations."""
        step = np.float32(self.random.uniform(0.01, 0.1) if step is None else step)
        zero = LOWEST[self.dtype] + (0 if lowest else int(self.random.integers(90, 160)))
        names = self.constant(step), self.constant(np.array(zero, self.dtype))
        self.scales[names[0]] = step
        return names

    def dequantise(self, value, parameters, **attributes):
        name = self.node("DequantizeLinear", value, *parameters, **attributes)
        self.parameters[name] = parameters
        return name

    def requantise(self, value, parameters=None, **how):
        parameters = parameters or self.scale(**how)
        return self.dequantise(self.node("QuantizeLinear", value, *parameters), parameters)

    def end(self, value, parameters=None, **how):
        self.outputs.append(self.requantise(value, parameters, **how))

    def input(self, *shape):
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        self.feeds[name] = (self.random.standard_normal(shape) * 2.5).astype(np.float32)
        return name

    def activation(self, *shape):
        return self.requantise(self.input(*shape))

    def weight(self, shape, axis=None):
        scales = self.random.uniform(0.001, 0.01, () if axis is None else shape[axis]).astype(np.float32)
        names = self.constant(scales), self.constant(np.zeros(scales.shape, np.int8))
        self.scales[names[0]] = scales
        codes = self.constant(self.random.integers(-127, 128, shape).astype(np.int8))
        return self.dequantise(codes, names, **({} if axis is None else {"axis": axis}))

    def bias(self, n, x, w, off=1):
        """Integers of the product of both scales, which may say another one."""
        scales = np.float32(off) * self.scales[self.parameters[x][0]] * self.scales[self.parameters[w][0]]
        names = self.constant(scales.astype(np.float32)), self.constant(np.zeros(scales.shape, np.int32))
        codes = self.constant(self.random.integers(-3000, 3000, n).astype(np.int32))
        return self.dequantise(codes, names, **({"axis": 0} if scales.ndim else {}))

    def model(self, opset=21):
        outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in self.outputs]
        graph = helper.make_graph(self.nodes, "quantised", self.inputs, outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def conv(b, how, group=1, off=1):
    channels, features, size = 4 * group, 6 * group, int(b.random.choice([1, 3, 5]))
    if how == "depthwise":
        group = channels = features = 11
    x = b.activation(2, channels, 13, 9)
    w = b.weight((features, channels // group, size, size), 0 if b.random.random() < 0.5 else None)
    bias = b.constant(b.random.standard_normal(features).astype(np.float32)) if how == "floats" else b.bias(features, x, w, off)
    return b.node("Conv", x, w, bias, group=group, strides=[int(b.random.integers(1, 3))] * 2, pads=[size // 2] * 4)


def conv_ends(b, how):
    y = conv(b, how, 2 if how == "groups" else 1, 1.5 if how == "other scale" else 1)
    if how == "relu":
        b.end(b.node("Relu", y), lowest=True)
    elif how == "relu that stays":
        b.end(b.node("Relu", y))
    elif how == "clip":
        b.end(b.node("Clip", y, b.constant(np.float32(0)), b.constant(np.float32(6))), step=6 / 255, lowest=True)
    elif how == "moved":
        b.end(b.node("MaxPool", b.node("Transpose", y, perm=[0, 1, 3, 2]), kernel_shape=[2, 2]))
    else:
        b.end(y)


def matmul(b, how):
    m, k, n = (int(v) for v in b.random.integers(1, 40, 3))
    x = b.activation(2, m, k)
    other = b.activation(2, k, n) if how == "two activations" else b.weight((k, n), 1 if how == "columns" else None)
    y = b.node("MatMul", x, other)
    b.outputs.append(y) if how == "floats" else b.end(y)


def gemm(b, how):
    m, k, n = (int(v) for v in b.random.integers(1, 40, 3))
    turned = int(b.random.integers(0, 2))
    x, w = b.activation(m, k), b.weight((n, k) if turned else (k, n), 1 - turned if how == "columns" else None)
    c = b.constant(b.random.standard_normal(n).astype(np.float32)) if how == "bias of floats" else b.bias(n, x, w)
    y = b.node("Gemm", x, w, c, transB=turned)
    b.outputs.append(y) if how == "floats" else b.end(y)


def pair(op):
    def make(b, how):
        shape = (1, 5, 7, 11)
        other = {"channels": (5, 1, 1), "one": (), "same": shape}[how.split()[0]]
        parameters = b.scale(0.02)
        x = b.requantise(b.input(*shape), parameters)
        # Scales that divide each other make ties.
        y = b.dequantise(b.constant(b.integers(*other)), b.scale(0.01))
        result = b.node(op, *((y, x) if "turned" in how else (x, y)))
        b.end(b.node("Relu", result), step=0.02, lowest=True) if "relu" in how else b.end(result, step=0.02)
    return make


def unary(op, **attributes):
    def make(b, how):
        x = b.activation(2, 5, 8, 6)
        y = b.node(op, x, **attributes)
        if how == "same scale":
            b.end(y, b.parameters[x])
        else:
            b.end(y, step=1 / 256 if op in ("Sigmoid", "Softmax") else None, lowest=op in ("Sigmoid", "Softmax"))
    return make


def concat(b, how):
    b.end(b.node("Concat", *[b.activation(2, n, 5) for n in (3, 1, 4)], axis=1))


def resize(b, how):
    x = b.activation(1, 3, 6, 9)
    scales = b.constant(np.array([1, 1, 2, 4], np.float32))
    b.end(b.node("Resize", x, "", scales, mode="linear", coordinate_transformation_mode=how), b.parameters[x])


def attention(b, how):
    """Products of activations whose inputs were moved; scales that make ties; a mask that leaves equal rows."""
    x = b.activation(1, 10, 16)

    def linear():
        y = b.requantise(b.node("MatMul", x, b.weight((16, 16))), step=0.02)
        return b.requantise(b.node("Add", b.dequantise(b.constant(b.integers(16)), b.scale(0.01)), y), step=0.02)

    def heads(y, perm):
        return b.node("Transpose", b.node("Reshape", y, b.constant(np.array([1, 10, 4, 4]))), perm=perm)

    q, k, v = linear(), linear(), linear()
    s = b.requantise(b.node("MatMul", heads(q, [0, 2, 1, 3]), heads(k, [0, 2, 3, 1])), step=0.03)
    s = b.requantise(b.node("Softmax", s, axis=-1), step=1 / 255, lowest=True)
    y = b.node("Transpose", b.node("MatMul", s, heads(v, [0, 2, 1, 3])), perm=[0, 2, 1, 3])
    b.end(b.node("Reshape", y, b.constant(np.array([1, 10, 16]))), step=0.02)


def network(b, how):
    """A small residual network with what comes between its convolutions."""
    def block(x, channels, features, group=1, ends="Relu"):
        w = b.weight((features, channels // group, 3, 3), 0)
        y = b.node("Conv", x, w, b.bias(features, x, w), group=group, pads=[1] * 4)
        return b.requantise(b.node("Relu", y), step=0.05, lowest=True) if ends else b.requantise(y, step=0.05)

    x = block(b.activation(1, 3, 24, 20), 3, 16)
    pooled = b.requantise(b.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), b.parameters[x])
    y = block(block(pooled, 16, 16, 16), 16, 16, ends=None)
    y = b.requantise(b.node("Relu", b.node("Add", y, pooled)), step=0.06, lowest=True)
    gate = b.requantise(b.node("Sigmoid", b.requantise(b.node("GlobalAveragePool", y))), step=1 / 256, lowest=True)
    y = b.requantise(b.node("Mul", y, gate), step=0.04)
    y = b.requantise(b.node("Concat", y, b.requantise(b.node("AveragePool", y, kernel_shape=[3, 3], pads=[1] * 4)), axis=1))
    y = b.requantise(b.node("GlobalAveragePool", y))
    y = b.requantise(b.node("Flatten", y), b.parameters[y])
    w = b.weight((10, 32), 0)
    b.end(b.node("Gemm", y, w, b.bias(10, y, w), transB=1))


def few_bits(kind):
    """Weights that are dequantised before a product of floats."""
    def make(b, how):
        form, op, rows = how.split()
        k, n, block = 100, 33, 32
        low, high = {TensorProto.INT4: (-8, 8), TensorProto.UINT4: (0, 16), TensorProto.UINT8: (0, 256)}[kind]
        shape = {"blocks": (-(-k // block), n), "columns": (n,), "one": ()}[form]
        w = b.packed(kind, b.random.integers(low, high, (k, n)))
        zero = b.packed(kind, np.array(b.random.integers(low // 2, high // 2, shape)))
        scale = b.constant(b.random.uniform(0.01, 0.05, shape).astype(np.float32))
        attributes = {"blocks": {"axis": 0, "block_size": block}, "columns": {"axis": 1}, "one": {}}[form]
        y = b.node(op, b.input(int(rows), k), b.node("DequantizeLinear", w, scale, zero, **attributes))
        b.outputs.append(y)
    return make


def clamped(b, how):
    """A product that onnxruntime leaves alone for the clamp behind it."""
    few_bits(TensorProto.UINT4)(b, "blocks MatMul 3")
    y = b.outputs.pop()
    if how == "add":
        y = b.node("Add", y, b.constant(b.random.standard_normal(33).astype(np.float32)))
    b.outputs.append(b.node("Tanh", b.node("Relu", y)))


def both():
    for dtype in (np.uint8, np.int8):
        for make, hows in (
            (conv_ends, ("plain", "groups", "depthwise", "floats", "other scale", "relu", "relu that stays", "clip", "moved")),
            (matmul, ("one", "columns", "two activations", "floats")),
            (gemm, ("one", "columns", "bias of floats", "floats")),
            (pair("Add"), ("same", "same turned", "channels", "channels turned", "one", "same relu")),
            (pair("Mul"), ("same", "channels turned", "one")),
            (unary("Sigmoid"), ("plain",)), (unary("LeakyRelu", alpha=0.1), ("plain", "same scale")),
            (unary("Softmax", axis=-1), ("plain",)), (unary("Softmax", axis=1), ("plain",)),
            (unary("GlobalAveragePool"), ("plain", "same scale")),
            (unary("AveragePool", kernel_shape=[2, 3], pads=[1, 1, 1, 1], count_include_pad=1), ("plain",)),
            (unary("MaxPool", kernel_shape=[2, 2]), ("plain", "same scale")),
            (unary("Transpose", perm=[3, 0, 1, 2]), ("same scale",)), (unary("Flatten"), ("same scale", "plain")),
            (unary("Erf"), ("plain",)), (concat, ("plain",)), (resize, ("half_pixel", "asymmetric")),
        ):
            for how in hows:
                yield dtype, make, how
    for make, how in ((unary("AveragePool", kernel_shape=[2, 2]), "same scale"), (attention, "plain"), (network, "plain")):
        yield np.uint8, make, how
    for kind in (TensorProto.INT4, TensorProto.UINT4, TensorProto.UINT8):
        for how in ("blocks MatMul 1", "blocks Gemm 9", "columns MatMul 3", "one MatMul 2"):
            yield np.uint8, few_bits(kind), how
    for how in ("plain", "add"):
        yield np.uint8, clamped, how


def truth(path, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def equal(context, make, how, dtype, seeds):
    for seed in range(seeds):
        builder = Builder(seed, dtype)
        make(builder, how)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            onnx.save(builder.model(), path)
            want = truth(path, builder.feeds)
            model = Model(context, path)
            session = Session(model, "cpu")
            try:
                got = session.run(builder.feeds)
            finally:
                session.close()
                model.close()
        for g, w in zip(got, want):
            assert g.shape == w.shape, f"seed {seed}: shape {g.shape}, expected {w.shape}"
            # A step of a quantised output is far above this; sums of floats differ in their last bits.
            wrong = np.abs(g.astype(np.float64) - w) > 2e-6 * np.abs(w).max(initial=0)
            assert not wrong.any(), f"seed {seed}: {int(wrong.sum())} of {wrong.size} elements differ"


if __name__ == "__main__":
    context = Context()
    cases = common.Cases()
    for dtype, make, how in both():
        title = getattr(make, "__qualname__", "").split(".")[0]
        cells = [cell.cell_contents for cell in make.__closure__ or ()]
        title += "".join(f" {cell}" for cell in cells if not callable(cell))
        cases.run(f"{title} {how} {np.dtype(dtype)}", equal, context, make, how, dtype, 2 if common.QUICK else 4)
    context.close()
    cases.end()
