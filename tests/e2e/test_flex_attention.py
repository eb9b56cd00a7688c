# SPDX-License-Identifier: Apache-2.0
"""FlexAttention with bodies where ONNX's own tests have none: both at once, captures, branches, functions, bad bodies."""
import json
import os
import subprocess
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import common

PREVIEW = "ai.onnx.preview"
F = TensorProto.FLOAT
SHAPES = {"Q": (2, 4, 3, 8), "K": (2, 2, 5, 8), "V": (2, 2, 5, 6)}
cases = common.Cases()


def body(op, operand=None, inputs=1, outputs=1, name="scores"):
    """A body of one node; without an operator it gives back what it got. `operand` may be a value outside."""
    nodes = [helper.make_node(op, [name, *([operand] if operand else [])], ["changed"])] if op else []
    result = "changed" if op else name
    return helper.make_graph(nodes, "body", [helper.make_tensor_value_info(name if i == 0 else f"i{i}", F, [None] * 4)
                                             for i in range(inputs)],
                             [helper.make_tensor_value_info(result, F, [None] * 4)] * outputs,
                             [numpy_helper.from_array(np.float32(0.25), "quarter")])


def flex(**attributes):
    return helper.make_node("FlexAttention", ["Q", "K", "V"], ["Y"], domain=PREVIEW, **attributes)


def model(nodes, functions=(), inputs=None):
    infos = [helper.make_tensor_value_info(name, F, shape) for name, shape in (inputs or SHAPES).items()]
    graph = helper.make_graph(nodes, "flex", infos, [helper.make_tensor_value_info("Y", F, None)])
    opsets = [helper.make_opsetid("", 26), helper.make_opsetid(PREVIEW, 1), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=12)


def attention(feeds, scores=lambda x: x, weights=lambda x: x):
    """By the operator's text, in double."""
    q, k, v = (feeds[name].astype(np.float64) for name in "QKV")
    k, v = (np.repeat(x, q.shape[1] // x.shape[1], 1) for x in (k, v))
    x = scores(q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[3]))
    x = np.exp(x - x.max(-1, keepdims=True))
    return (weights(x / x.sum(-1, keepdims=True)) @ v).astype(np.float32)


def run(proto, feeds, want):
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(proto, os.path.join(folder, "model.onnx"))
        data = os.path.join(folder, "test_data_set_0")
        os.makedirs(data)
        for what, values in (("input", list(feeds.values())), ("output", [want])):
            for i, value in enumerate(values):
                with open(os.path.join(data, f"{what}_{i}.pb"), "wb") as file:
                    file.write(numpy_helper.from_array(value).SerializeToString())
        for device in ("cpu", "reference"):
            done = subprocess.run([common.COMMAND, "test", "--devices", device, "--json", folder], capture_output=True,
                                  text=True)
            row = json.loads(done.stdout.strip().splitlines()[-1])["cases"][0]
            assert row["passed"], f"{device}: {row['text']}"


def good(name, proto, want):
    rng = np.random.default_rng(3)
    feeds = {info.name: rng.standard_normal([d.dim_value for d in info.type.tensor_type.shape.dim]).astype(np.float32)
             for info in proto.graph.input}
    cases.run(name, lambda: run(proto, feeds, want(feeds)))


def bad(name, proto, text):
    def check():
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model.onnx")
            onnx.save(proto, path)
            done = subprocess.run([common.COMMAND, "inspect", path], capture_output=True, text=True)
            assert done.returncode not in (0, -6, -11) and text in done.stderr, (done.returncode, done.stderr[-300:])

    cases.run(name, check)


def half(x):
    return x * 0.25


good("no body", model([flex()]), attention)
good("both bodies", model([flex(score_mod=body("Mul", "quarter"), prob_mod=body("Mul", "quarter"))]),
     lambda feeds: attention(feeds, half, half))
good("bodies that change nothing", model([flex(score_mod=body(None), prob_mod=body(None))]), attention)
good("a captured value", model([flex(score_mod=body("Add", "B"))], inputs=SHAPES | {"B": (3, 5)}),
     lambda feeds: attention(feeds, lambda x: x + feeds["B"]))
good("a captured value that a later node of the file computes",
     model([flex(score_mod=body("Add", "C")), helper.make_node("Neg", ["B"], ["C"])],
           inputs=SHAPES | {"B": (3, 5)}), lambda feeds: attention(feeds, lambda x: x - feeds["B"]))
branch = [helper.make_graph([helper.make_node("FlexAttention", ["Q", "K", "V"], ["out"], domain=PREVIEW, **mods)],
                            "branch", [], [helper.make_tensor_value_info("out", F, None)])
          for mods in ({"score_mod": body("Mul", "quarter")}, {})]
good("in a branch",
     model([helper.make_node("ReduceMax", ["Q"], ["most"], keepdims=0),
            helper.make_node("Greater", ["most", "most"], ["never"]),
            helper.make_node("If", ["never"], ["Y"], then_branch=branch[1], else_branch=branch[0])]),
     lambda feeds: attention(feeds, half))
function = helper.make_function("own", "Attend", ["Q", "K", "V"], ["Y"], [flex(score_mod=body("Mul", "quarter"))],
                                [helper.make_opsetid("", 26), helper.make_opsetid(PREVIEW, 1)])
good("in functions that are called twice",
     model([helper.make_node("Attend", ["Q", "K", "V"], ["one"], domain="own"),
            helper.make_node("Attend", ["Q", "K", "V"], ["two"], domain="own"),
            helper.make_node("Add", ["one", "two"], ["Y"])], [function]),
     lambda feeds: 2 * attention(feeds, half))
bad("a body of two inputs", model([flex(score_mod=body("Mul", "quarter", inputs=2))]), "2 inputs and 1 outputs")
bad("a body of two outputs", model([flex(prob_mod=body("Mul", "quarter", outputs=2))]), "1 inputs and 2 outputs")
bad("a body of unknown values", model([flex(prob_mod=body("Mul", "nowhere"))]), "nowhere")
bad("an unknown attribute", model([flex(prob_mod=body("Mul", "quarter"), other=1)]), "other")
twice = flex(prob_mod=body("Mul", "quarter"))
twice.attribute.append(twice.attribute[0])
bad("an attribute twice", model([twice]), "prob_mod")
short = flex(prob_mod=body("Mul", "quarter"))
del short.input[2]
bad("too few inputs", model([short]), "2 inputs")
cases.end()
