# SPDX-License-Identifier: Apache-2.0
"""Exported networks of a folder beside the project (graphs without weights, filled at random), equal to onnxruntime.
Skipped where the folder is absent."""
import os
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
import common  # noqa: E402
from api import Context, Model, Session  # noqa: E402

SHARED = os.path.join(os.path.dirname(common.ROOT), "shared/models")
NAMES = ["mobilenet_v2", "resnet50", "bert_base", "lstm_lm", "bigru_rnn", "ssdlite320", "distilgpt2_past",
         "unet_sd_small", "whisper_tiny_encoder", "tiny_llama_past_q4"]
# The fill draws scales one by one, so the scale of a bias is not the product of those of its convolution, as
# onnxruntime's fused operators take for granted: optimised, it departs from itself by more than the range of the
# logits. As written, it computes in floats; sums in another order round to another step here and there.
STEPS = ["resnet50_qdq"]
# Share of FLOPs that a GPU plugin must take of these.
CLAIMED = ["mobilenet_v2", "resnet50", "bert_base"]
cases = common.Cases()


def filled(name):
    target = os.path.join(common.CACHE, "shared", name + ".onnx")
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        subprocess.run([sys.executable, os.path.join(SHARED, "fill.py"), os.path.join(SHARED, name + ".onnx"), target],
                       check=True, capture_output=True)
    return target, dict(np.load(target[:-5] + ".npz"))


def truth(path, feeds, optimise):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.x64quantprecision", "1")
    if not optimise:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds), [o.name for o in session.get_outputs()]


def outputs(path, feeds, devices):
    context = Context()
    model = Model(context, path)
    session = Session(model, devices, common.shapes_of(feeds))
    got = session.run(feeds)
    session.close()
    model.close()
    context.close()
    return got


def equal(name, devices):
    path, feeds = filled(name)
    want, names = truth(path, feeds, True)
    common.assert_outputs(outputs(path, feeds, devices), want, names)


def equal_but_steps(name, devices):
    """A step of the last quantiser, in one element of a hundred."""
    path, feeds = filled(name)
    want, _ = truth(path, feeds, False)
    graph = onnx.load(path).graph
    last = [n for n in graph.node if n.output[0] == graph.output[0].name][0]
    assert last.op_type == "DequantizeLinear", last.op_type
    step = [onnx.numpy_helper.to_array(t) for t in graph.initializer if t.name == last.input[1]][0].max()
    off = np.abs(outputs(path, feeds, devices)[0] - want[0]) / step
    assert off.max() < 1.01, f"{off.max()} steps"
    assert (off > 0.5).mean() <= 0.01, f"{(off > 0.5).mean():.3f} of the elements"


def claims(path, shapes, device):
    """Share of the FLOPs of the nodes that the device says yes to."""
    context = Context()
    model = Model(context, path)
    session = Session(model, f"cpu,{device}", shapes)
    nodes = session.plan_json()["nodes"]
    session.close()
    model.close()
    context.close()
    taken = sum(n["flops"] for n in nodes for a in n["answers"] if a["device"] == device and a["can"])
    share = taken / sum(n["flops"] for n in nodes)
    assert share >= 0.9, f"{share:.3f} of the FLOPs"


if not os.path.isdir(SHARED):
    cases.skip("shared models", "the folder is absent")
    cases.end()
for name in NAMES:
    cases.run(f"{name} on cpu", equal, name, "cpu")
for name in STEPS:
    cases.run(f"{name} on cpu, to a step", equal_but_steps, name, "cpu")
for device in ("opencl", "vulkan"):
    for name in CLAIMED:
        path, feeds = filled(name)
        cases.run(f"{device} claims 90 % of {name}", claims, path, common.shapes_of(feeds), device)
    for name in ("det", "rec"):
        cases.run(f"{device} claims 90 % of {name}", claims, common.PATHS[name],
                  common.shapes_of(common.feeds_of(name)[0]), device)
cases.end()
