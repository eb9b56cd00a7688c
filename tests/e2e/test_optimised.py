# SPDX-License-Identifier: Apache-2.0
"""Networks as onnxruntime's own tools leave them: saved by sessions at each level of optimisation, fused by its optimizer
of transformers, quantised in three ways; on `cpu`, against onnxruntime.

Each file must hold operators of com.microsoft that it is here for. A quantised network may round a number the other way
where float sums differ in their last bit, which then is seen in all that follows: two of three inputs must be equal.
"""
import collections
import logging
import os
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

import common
from api import Context, Model, Session

logging.disable(logging.WARNING)
ort.set_default_logger_severity(4)
LEVELS = {"basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC, "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
          "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL}
cases = common.Cases()


class Network:
    """Nodes behind each other; a method stands for an operator and returns its output's name."""

    def __init__(self, name, *ports):
        self.rng = np.random.default_rng(11)
        self.name, self.ports, self.nodes, self.weights = name, ports, [], []

    def weight(self, value):
        self.weights.append(numpy_helper.from_array(np.asarray(value), f"w{len(self.weights)}"))
        return self.weights[-1].name

    def random(self, *shape, scale=0.2):
        return self.weight((self.rng.standard_normal(shape) * scale).astype(np.float32))

    def __getattr__(self, op):
        def add(*inputs, outputs=1, **attributes):
            names = [f"{op}{len(self.nodes)}_{i}" for i in range(outputs)]
            self.nodes.append(helper.make_node(op, [v if isinstance(v, str) else self.weight(v) for v in inputs], names,
                                               f"{op}{len(self.nodes)}", **attributes))
            return names[0]
        return add

    def linear(self, x, inner, outer):
        return self.Add(self.MatMul(x, self.random(inner, outer)), self.random(outer))

    def build(self, y):
        inputs = [helper.make_tensor_value_info(*port) for port in self.ports]
        graph = helper.make_graph(self.nodes, self.name, inputs, [helper.make_tensor_value_info(y, 1, None)], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def convolutions():
    n = Network("convolutions", ("x", TensorProto.FLOAT, ["b", 3, 24, 24]))
    conv = lambda x, inner, outer, size, **more: n.Conv(x, n.random(outer, inner, size, size), n.random(outer), **more)
    a = n.Relu(conv("x", 3, 16, 3, strides=[2, 2], pads=[1] * 4))
    y = n.Relu(conv(a, 1, 16, 3, pads=[1] * 4, group=16))
    y = n.MaxPool(n.Relu(n.Add(conv(y, 16, 16, 1), a)), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    y = n.Concat(y, n.AveragePool(a, kernel_shape=[2, 2], strides=[2, 2]), axis=1)
    y = n.LeakyRelu(conv(y, 32, 16, 3, pads=[2] * 4, dilations=[2, 2]), alpha=0.1)
    y = n.Mul(y, n.Sigmoid(conv(n.Relu(conv(n.GlobalAveragePool(y), 16, 4, 1)), 4, 16, 1)))
    return n.build(n.Softmax(n.Gemm(n.Flatten(n.GlobalAveragePool(y)), n.random(16, 10), n.random(10)), axis=-1))


def products():
    n = Network("products", ("x", TensorProto.FLOAT, ["b", "s", 16]))
    half, one = np.float32(0.5), np.float32(1)
    h = n.linear("x", 16, 32)
    h = n.Mul(n.Mul(h, half), n.Add(n.Erf(n.Div(h, np.float32(np.sqrt(2)))), one))
    h = n.linear(h, 32, 8)
    h = n.Mul(h, n.Sigmoid(n.Mul(h, np.float32(1.702))))
    scores = n.Mul(n.MatMul(h, n.Transpose(h, perm=[0, 2, 1])), np.float32(0.125))
    return n.build(n.MatMul(n.Softmax(scores, axis=-1), h))


def recurrent():
    n = Network("recurrent", ("x", TensorProto.FLOAT, ["s", "b", 12]))
    y = n.LSTM("x", n.random(2, 80, 12), n.random(2, 80, 20), n.random(2, 160), hidden_size=20, direction="bidirectional",
               outputs=3)
    y = n.Reshape(n.Transpose(y, perm=[0, 2, 1, 3]), np.int64([0, 0, 40]))
    return n.build(n.linear(y, 40, 5))


def transformer():
    """As BERT is exported, which is what the optimizer looks for."""
    n = Network("transformer", *((name, TensorProto.INT64, ["b", "s"]) for name in ("ids", "types", "mask")))
    heads, width = 4, 64

    def norm(x):
        return n.LayerNormalization(x, n.random(width), n.random(width), axis=-1, epsilon=1e-12)

    def turned(x, perm):
        return n.Transpose(n.Reshape(n.linear(x, width, width), np.int64([0, 0, heads, width // heads])), perm=perm)

    mask = n.Cast(n.Unsqueeze(n.Unsqueeze("mask", np.int64([1])), np.int64([2])), to=TensorProto.FLOAT)
    mask = n.Mul(n.Sub(np.float32(1), mask), np.float32(-10000))
    length = n.Unsqueeze(n.Gather(n.Shape("ids"), np.int64(1)), np.int64([0]))
    places = n.Slice(np.arange(32, dtype=np.int64)[None], np.int64([0]), length, np.int64([1]))
    y = n.Add(n.Gather(n.random(99, width), "ids"), n.Gather(n.random(2, width), "types"))
    y = norm(n.Add(y, n.Gather(n.random(32, width), places)))
    for _ in range(2):
        q, v, k = turned(y, [0, 2, 1, 3]), turned(y, [0, 2, 1, 3]), turned(y, [0, 2, 3, 1])
        scores = n.Add(n.Div(n.MatMul(q, k), np.float32(4)), mask)
        mixed = n.Transpose(n.MatMul(n.Softmax(scores, axis=-1), v), perm=[0, 2, 1, 3])
        mixed = n.Reshape(mixed, np.int64([0, 0, width]))
        y = norm(n.Add(n.linear(mixed, width, width), y))
        h = n.linear(y, width, 96)
        h = n.Mul(n.Mul(h, n.Add(n.Erf(n.Div(h, np.float32(np.sqrt(2)))), np.float32(1))), np.float32(0.5))
        y = norm(n.Add(n.linear(h, 96, width), y))
    return n.build(y)


def feeds_of(model, rng):
    feeds = {}
    for port in model.graph.input:
        dims = [d.dim_value or {"b": 2, "s": 7}[d.dim_param] for d in port.type.tensor_type.shape.dim]
        if port.type.tensor_type.elem_type == TensorProto.FLOAT:
            feeds[port.name] = rng.standard_normal(dims).astype(np.float32)
        elif port.name == "mask":
            feeds[port.name] = (np.arange(dims[1]) < np.array([[dims[1]], [4]])).astype(np.int64)
        else:
            feeds[port.name] = rng.integers(0, 2 if port.name == "types" else 99, dims)
    return feeds


class Samples(CalibrationDataReader):
    def __init__(self, model):
        rng = np.random.default_rng(2)
        self.left = iter([feeds_of(model, rng) for _ in range(4)])

    def get_next(self):
        return next(self.left, None)


def save_session(source, target, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.optimized_model_filepath = target
    ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def save_static(source, target, form, activations, weights):
    quantize_static(source, target, Samples(onnx.load(source)), quant_format=form, activation_type=activations,
                    weight_type=weights, extra_options={"DefaultTensorType": TensorProto.FLOAT})


def save_dynamic(source, target):
    quantize_dynamic(source, target, weight_type=QuantType.QInt8, extra_options={"DefaultTensorType": TensorProto.FLOAT})


def outputs_of(path, feeds, level=ort.GraphOptimizationLevel.ORT_DISABLE_ALL):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.intra_op_num_threads = 1  # DynamicQuantizeLSTM quantises what a thread has of the batch
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def judge(context, path, needs, quantised):
    model = onnx.load(path)
    found = collections.Counter(node.op_type for node in model.graph.node if node.domain == "com.microsoft")
    assert not set(needs) - set(found), f"has no {set(needs) - set(found)}, but {dict(found)}"
    rng, loaded, wrong = np.random.default_rng(5), Model(context, path), []
    for _ in range(3):
        feeds = feeds_of(model, rng)
        session = Session(loaded, "cpu", {name: value.shape for name, value in feeds.items()})
        got = session.run(feeds)
        session.close()
        try:
            common.assert_outputs(got, outputs_of(path, feeds), [o.name for o in model.graph.output])
        except AssertionError as error:
            wrong.append(str(error))
    loaded.close()
    assert len(wrong) <= (1 if quantised else 0), "; ".join(wrong)


# Network, how it is made before its session, level: what it must hold.
QDQ = (QuantFormat.QDQ, QuantType.QUInt8, QuantType.QInt8)
CODES = (QuantFormat.QOperator, QuantType.QUInt8, QuantType.QUInt8)
PLAN = [
    (convolutions, None, {"extended": ["FusedConv"]}),
    (convolutions, (save_static, *QDQ), {
        "extended": ["QLinearAdd", "QLinearConcat", "QLinearLeakyRelu", "QLinearAveragePool", "QLinearGlobalAveragePool",
                     "QLinearSigmoid", "QLinearMul", "QLinearSoftmax", "QGemm"],
        "all": ["QLinearConv", "NhwcMaxPool"]}),
    (convolutions, (save_static, *CODES), {"basic": ["QLinearAdd"], "all": ["QLinearConv", "NhwcMaxPool"]}),
    (convolutions, (save_dynamic,), {"extended": ["DynamicQuantizeMatMul"]}),
    (products, None, {"extended": ["BiasGelu", "QuickGelu", "FusedMatMul"], "all": ["BiasGelu"]}),
    (products, (save_static, *QDQ), {"extended": ["QLinearMul", "QLinearSigmoid"], "all": ["QLinearSoftmax"]}),
    (products, (save_dynamic,), {"basic": [], "all": ["DynamicQuantizeMatMul", "Gelu"]}),
    (recurrent, (save_dynamic,), {"basic": ["DynamicQuantizeLSTM"], "all": ["DynamicQuantizeLSTM"]}),
    (transformer, None, {"basic": [], "extended": ["FusedMatMul", "BiasGelu"], "all": ["FusedMatMul"]}),
    (transformer, (save_dynamic,), {"basic": [], "all": ["MatMulIntegerToFloat", "DynamicQuantizeMatMul"]}),
]


def fused(context, at):
    try:
        from onnxruntime.transformers import optimizer
        import sympy  # noqa: F401: the optimizer needs it for shapes
    except ImportError as error:
        cases.skip("transformer fused", str(error), ("package:sympy",))
        return
    made = optimizer.optimize_model(at("transformer"), model_type="bert", num_heads=4, hidden_size=64, opt_level=0)
    made.save_model_to_file(at("fused"))
    cases.run("transformer fused", judge, context, at("fused"),
              ["Attention", "EmbedLayerNormalization", "SkipLayerNormalization", "BiasGelu"], False)
    save_dynamic(at("fused"), at("codes"))
    cases.run("transformer fused save_dynamic", judge, context, at("codes"), ["QAttention", "QEmbedLayerNormalization"], True)


def main():
    context = Context()
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name + ".onnx")
        for build, make, levels in PLAN:
            source = at(build.__name__)
            onnx.save(build(), source)
            if make is not None:
                made = at(f"{build.__name__}-{make[0].__name__}")
                make[0](source, made, *make[1:])
                source = made
            for level, needs in levels.items():
                name = f"{os.path.basename(source)[:-5]} {[str(v).split('.')[-1] for v in (make or ())[1:2]]} {level}"
                save_session(source, at("saved"), level)
                cases.run(name, judge, context, at("saved"), needs, make is not None)
        fused(context, at)
    context.close()
    cases.end()


if __name__ == "__main__":
    main()
