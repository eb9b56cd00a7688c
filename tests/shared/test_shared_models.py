# SPDX-License-Identifier: Apache-2.0
"""Exported networks of a folder beside the project (graphs without weights, filled at random), equal to onnxruntime.
Skipped where the folder is absent."""
import os
import subprocess
import sys

import numpy as np
import onnxruntime

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
import common  # noqa: E402
from api import Context, Model, Session  # noqa: E402

SHARED = os.path.join(os.path.dirname(common.ROOT), "shared/models")
NAMES = ["mobilenet_v2", "resnet50", "bert_base", "lstm_lm", "bigru_rnn", "ssdlite320", "distilgpt2_past",
         "unet_sd_small", "whisper_tiny_encoder", "tiny_llama_past_q4", "resnet50_qdq"]
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


def truth(path, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.x64quantprecision", "1")
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
    want, names = truth(path, feeds)
    common.assert_outputs(outputs(path, feeds, devices), want, names)


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
for device in ("opencl", "vulkan"):
    for name in CLAIMED:
        path, feeds = filled(name)
        cases.run(f"{device} claims 90 % of {name}", claims, path, common.shapes_of(feeds), device)
    for name in ("det", "rec"):
        cases.run(f"{device} claims 90 % of {name}", claims, common.PATHS[name],
                  common.shapes_of(common.feeds_of(name)[0]), device)
cases.end()
