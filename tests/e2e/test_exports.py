# SPDX-License-Identifier: Apache-2.0
"""What exporters write, as the smallest graphs that have it, against what onnxruntime computes for them now."""
import os
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import common

cases = common.Cases()
work = tempfile.TemporaryDirectory()
rng = np.random.default_rng(0)
node = helper.make_node
CUT = ("--devices", "cpu,sim:0", "--pin", "random:3")


def path(name):
    return os.path.join(work.name, name)


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def same(nodes, inputs, outputs, *feeds, weights=(), opset=17):
    """Of each feed the outputs are onnxruntime's, on the cpu alone and on two devices that take turns."""
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights]
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(model, path("m.onnx"))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path("m.onnx"), options, providers=["CPUExecutionProvider"])
    for feed in feeds:
        want = session.run(None, feed)
        np.savez(path("in.npz"), **feed)
        for devices in (("--devices", "cpu"), CUT):
            common.partita("run", path("m.onnx"), *devices, "--inputs", path("in.npz"), "--outputs", path("out.npz"))
            got = np.load(path("out.npz"))
            for output, array in zip(outputs, want):
                common.assert_close(got[output.name], array, output.name)


def a_list_that_a_loop_fills():
    """Behind the loop the elements' type is still known, which decides whose kernels take what reads them."""
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    body = helper.make_graph(
        [node("Add", ["a", "x"], ["b"]), node("SequenceInsert", ["l", "b"], ["m"]), node("Identity", ["c"], ["d"])],
        "body", [value("i", [], TensorProto.INT64), value("c", [], TensorProto.BOOL), value("a", None),
                 helper.make_value_info("l", sequence)],
        [value("d", [], TensorProto.BOOL), value("b", None), helper.make_value_info("m", sequence)])
    same([node("SequenceEmpty", [], ["none"], dtype=TensorProto.FLOAT),
          node("Loop", ["trips", "", "x", "none"], ["last", "list"], body=body),
          node("ConcatFromSequence", ["list"], ["stack"], axis=1, new_axis=1), node("Relu", ["stack"], ["y"])],
         [value("x", ["n", 3]), value("trips", [], TensorProto.INT64)], [value("y", None), value("last", None)],
         *({"x": floats(n, 3), "trips": np.array(trips)} for n, trips in ((2, 1), (4, 5))))


def lists_of_two_branches():
    """Elements have the shape of the branch that was taken."""
    sequence = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))

    def branch(name, axis):
        return helper.make_graph([node("Concat", ["x", "x"], [name + "c"], axis=axis),
                                  node("SequenceConstruct", [name + "c", name + "c"], [name])], name, [],
                                 [helper.make_value_info(name, sequence)])

    same([node("If", ["c"], ["s"], then_branch=branch("a", 0), else_branch=branch("b", 1)),
          node("SequenceAt", ["s", "one"], ["e"]), node("Relu", ["e"], ["y"]), node("Shape", ["e"], ["shape"]),
          node("ConcatFromSequence", ["s"], ["z"], axis=0)],
         [value("x", [2, 3]), value("c", [], TensorProto.BOOL)],
         [value("y", None), value("z", None), value("shape", None, TensorProto.INT64)],
         *({"x": floats(2, 3), "c": np.array(truth)} for truth in (True, False)), weights=[("one", np.int64(1))])


def a_scale_for_every_element():
    """F.rms_norm without a weight becomes a scale of ones in the input's shape."""
    same([node("Shape", ["x"], ["s"]), node("ConstantOfShape", ["s"], ["ones"], value=helper.make_tensor(
          "v", TensorProto.FLOAT, [1], [1.0])), node("RMSNormalization", ["x", "ones"], ["y"], axis=-1),
          node("RMSNormalization", ["x", "rows"], ["z"], axis=-1)],
         [value("x", ["a", "b", 8])], [value("y", None), value("z", None)], {"x": floats(2, 3, 8)},
         weights=[("rows", floats(3, 1))], opset=23)


def halves():
    """Products of float16 are made in float32, but each operator's result is rounded as the reference rounds it."""
    half = TensorProto.FLOAT16
    weights = {"k": floats(8, 3, 3, 3), "b": floats(8), "w": floats(8, 6), "c": floats(6), "u": floats(6, 6)}
    nodes = [node("Conv", ["x", "k", "b"], ["a"], pads=[1, 1, 1, 1]), node("Relu", ["a"], ["r"]),
             node("MaxPool", ["r"], ["m"], kernel_shape=[2, 2], strides=[2, 2]), node("GlobalAveragePool", ["m"], ["g"]),
             node("Flatten", ["g"], ["f"]), node("Gemm", ["f", "w", "c"], ["y"]), node("MatMul", ["y", "u"], ["p"]),
             node("MatMul", ["y", "u"], ["q"]), node("Add", ["p", "q"], ["z"])]
    graph = helper.make_graph(nodes, "g", [value("x", ["n", 3, "h", "w"], half)], [value("z", None, half),
                              value("y", None, half)],
                              [numpy_helper.from_array(v.astype(np.float16), k) for k, v in weights.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path("m.onnx"))
    for n, h in ((1, 8), (3, 14)):
        np.savez(path("in.npz"), x=floats(n, 3, h, h + 2).astype(np.float16))
        got = {}
        for devices in (("--devices", "reference"), ("--devices", "cpu"), CUT):
            common.partita("run", path("m.onnx"), *devices, "--inputs", path("in.npz"), "--outputs", path("out.npz"))
            got[devices] = dict(np.load(path("out.npz")))
        want = got.pop(("--devices", "reference"))
        for outputs in got.values():
            for name, array in want.items():
                assert outputs[name].dtype == np.float16 and outputs[name].shape == array.shape, name
                assert np.allclose(outputs[name].astype(float), array.astype(float), rtol=2e-3, atol=2e-3), name


def corners_of_an_odd_scale():
    """Before version 19 align_corners counts whole elements of the result, as PyTorch and onnxruntime do."""
    for mode in ("linear", "cubic"):
        same([node("Resize", ["x", "", "s"], ["y"], mode=mode, coordinate_transformation_mode="align_corners",
                   cubic_coeff_a=-0.75)], [value("x", ["n", 2, "h", "w"])], [value("y", None)], {"x": floats(1, 2, 7, 9)},
             {"x": floats(2, 2, 10, 5)}, weights=[("s", np.array([1, 1, 1.7, 0.6], np.float32))], opset=17)


for function in (corners_of_an_odd_scale, halves, lists_of_two_branches, a_list_that_a_loop_fills, a_scale_for_every_element):
    cases.run(function.__name__.replace("_", " "), function)
cases.end()
