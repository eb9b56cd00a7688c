# SPDX-License-Identifier: Apache-2.0
"""Writes detector.pins and recogniser.pins: placements that cut each model into runs of equal work and deal them to
cpu, opencl and vulkan so that every direction between two of the three is crossed.

    python make_pins.py FOLDER_OF_MODELS

Needs the package onnx. Integer nodes (shape arithmetic) are left to the planner: a device need not take them.
"""
import os
import sys

import numpy as np
import onnx
from onnx import shape_inference

HERE = os.path.dirname(os.path.abspath(__file__))
# cpu>opencl>vulkan>cpu crosses three directions, cpu>vulkan>opencl>cpu the other three.
ROUND = ["cpu", "opencl", "vulkan", "cpu", "vulkan", "opencl"]
MODELS = [("ch_PP-OCRv4_det_infer.onnx", "detector.pins", [1, 3, 480, 960], (2, 3, 4)),
          ("ch_PP-OCRv4_rec_infer.onnx", "recogniser.pins", [1, 3, 48, 320], (2, 3))]


def flops(node, shapes, constants):
    out = shapes.get(node.output[0])
    if out is None:
        return 0
    size = int(np.prod(out))
    if node.op_type in ("Conv", "ConvTranspose"):
        weight = constants[node.input[1]]
        per_output = int(np.prod(weight[1:] if node.op_type == "Conv" else weight[:1] + weight[2:]))
        if node.op_type == "ConvTranspose":
            size = int(np.prod(shapes[node.input[0]])) // weight[0]
            per_output = int(np.prod(weight))
        return 2 * size * per_output
    if node.op_type in ("MatMul", "Gemm"):
        left = shapes.get(node.input[0])
        return 2 * size * (left[-1] if left else 1)
    return size


def nodes_with_work(path, shape):
    """The nodes with float outputs, and the FLOPs of each at this input shape."""
    model = onnx.load(path)
    for dim, value in zip(model.graph.input[0].type.tensor_type.shape.dim, shape):
        dim.ClearField("dim_param")
        dim.dim_value = value
    model = shape_inference.infer_shapes(model, data_prop=True)
    constants = {t.name: list(t.dims) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = list(node.attribute[0].t.dims)
    values = list(model.graph.value_info) + list(model.graph.output) + list(model.graph.input)
    types = {v.name: v.type.tensor_type for v in values}
    shapes = {n: [d.dim_value for d in t.shape.dim] for n, t in types.items() if t.HasField("shape")}
    nodes = [n for n in model.graph.node
             if n.op_type != "Constant" and n.output[0] in types
             and types[n.output[0]].elem_type == onnx.TensorProto.FLOAT]
    return nodes, [flops(n, shapes, constants) for n in nodes]


def deal(work, runs, offset):
    """Device of each node when run after run of equal work is dealt; `offset` moves the cuts within big nodes."""
    total, done, devices = sum(work), 0, []
    for cost in work:
        run = min(int((done + cost * offset) * runs / total), runs - 1)
        done += cost
        devices.append(ROUND[run % len(ROUND)])
    return devices


def shares(work, devices):
    return {d: sum(w for w, e in zip(work, devices) if e == d) / sum(work) for d in ("cpu", "opencl", "vulkan")}


def make(path, target, shape, rounds):
    nodes, work = nodes_with_work(path, shape)
    deals = [deal(work, len(ROUND) * r + 1, k / 20) for r in rounds for k in range(20)]
    best = max(deals, key=lambda d: min(shares(work, d).values()))
    print(target, {d: round(s, 3) for d, s in shares(work, best).items()})
    with open(os.path.join(HERE, target), "w") as file:
        file.write("# Made by make_pins.py.\n")
        for node, device in zip(nodes, best):
            name = node.name.replace(".", "\\.")
            file.write(f"{name}={device}\n")


if __name__ == "__main__":
    for name, target, shape, rounds in MODELS:
        make(os.path.join(sys.argv[1], name), target, shape, rounds)
