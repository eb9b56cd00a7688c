# SPDX-License-Identifier: Apache-2.0
"""The operator set contrib against onnxruntime: one node of each operator, in three ways.

rows    what an operator takes is what onnxruntime's schema says
shapes  what inference says with a name for each dim of the inputs, evaluated for the case's shapes, and for a run with
        these shapes, is what onnxruntime's results have
bodies  the bodies in ONNX, as functions of a model, give onnxruntime's numbers

Where onnxruntime has no kernel, the truth is numpy in double, or the shape by the operator's text.
"""
import math
import os
import re
import struct
import subprocess
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper, parser

import common
import contrib_schemas

MS = "com.microsoft"
rng = np.random.default_rng(7)
cases = common.Cases()
PROGRAM = os.path.join(common.BUILD, "tests/infer_dump")


def f(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def q(dtype, *shape):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def u8(*shape):
    return q(np.uint8, *shape)


def scale(value=0.02):
    return np.float32(value)


def i32(*numbers):
    return np.array(numbers, np.int32)


Z8, Z = np.uint8(128), np.uint8(3)

# operator, inputs (None: absent), outputs, attributes, domain. An input within a list is a constant.
CASES = [
    ("SimplifiedLayerNormalization", [f(2, 3, 8), f(8)], 1, dict(epsilon=1e-3), ""),
    ("Affine", [f(2, 3)], 1, dict(alpha=1.5, beta=-0.5), ""),
    ("Attention", [f(2, 5, 8), f(8, 24), f(24)], 1, dict(num_heads=2)),
    ("Attention", [f(2, 5, 8), f(8, 24), f(24), None, f(2, 2, 2, 3, 4)], 2, dict(num_heads=2, unidirectional=1)),
    ("Attention", [f(2, 5, 8), f(8, 20), f(20)], 1, dict(num_heads=2, qkv_hidden_sizes=[8, 8, 4])),
    ("BiasGelu", [f(2, 3, 8), f(8)], 1, {}),
    ("CDist", [f(3, 4), f(5, 4)], 1, dict(metric="euclidean")),
    ("CDist", [f(3, 4), f(5, 4)], 1, dict(metric="sqeuclidean")),
    ("Crop", [f(2, 3, 9, 8)], 1, dict(border=[1, 2, 3, 0]), ""),
    ("Crop", [f(2, 3, 9, 8)], 1, dict(border=[1, 2, 0, 0], scale=[4, 5]), ""),
    ("DequantizeLinear", [u8(3, 4), scale(), Z8], 1, {}),
    ("QuantizeLinear", [f(3, 4), scale(), Z8], 1, {}),
    ("DynamicQuantizeMatMul", [f(2, 3, 4), [u8(4, 5)], [scale()], [Z8]], 1, {}),
    ("DynamicQuantizeMatMul", [f(2, 3, 4), [u8(4, 5)], [scale()], [Z8], [f(5)]], 1, {}),
    ("DynamicQuantizeLSTM", [f(5, 2, 4), [u8(1, 4, 24)], [u8(1, 6, 24)], f(1, 48), None, f(1, 2, 6), f(1, 2, 6), None,
                             [np.float32([0.01])], [np.uint8([128])], [np.float32([0.01])], [np.uint8([128])]], 3,
     dict(hidden_size=6)),
    ("EmbedLayerNormalization", [rng.integers(0, 9, (2, 4)).astype(np.int32), rng.integers(0, 2, (2, 4)).astype(np.int32),
                                 f(9, 8), f(6, 8), f(2, 8), f(8), f(8)], 2, {}),
    ("EmbedLayerNormalization", [rng.integers(0, 9, (2, 4)).astype(np.int32), None, f(9, 8), f(6, 8), None, f(8), f(8),
                                 np.int32([[1, 1, 1, 0], [1, 1, 0, 0]])], 3, {}),
    ("FastGelu", [f(2, 3, 8)], 1, {}),
    ("FastGelu", [f(2, 3, 8), f(8)], 1, {}),
    ("FusedConv", [f(1, 3, 9, 8), f(4, 3, 3, 3), f(4)], 1, dict(activation="Relu", pads=[1, 0, 1, 0], strides=[2, 1])),
    ("FusedConv", [f(1, 4, 9, 8), f(4, 1, 3, 3)], 1, dict(activation="Relu", group=4, dilations=[2, 1])),
    ("FusedGemm", [f(3, 4), f(4, 5), f(5)], 1, dict(activation="Relu", alpha=0.5)),
    ("FusedGemm", [f(4, 3), f(5, 4), f(5)], 1, dict(activation="Tanh", transA=1, transB=1)),
    ("FusedGemm", [f(3, 4), f(4, 5)], 1, dict(activation="LeakyRelu", activation_alpha=0.3)),
    ("FusedMatMul", [f(2, 3, 4), f(2, 4, 5)], 1, dict(alpha=0.25)),
    ("FusedMatMul", [f(2, 4, 3), f(4, 5)], 1, dict(transA=1)),
    ("FusedMatMul", [f(2, 3, 4), f(5, 4)], 1, dict(transB=1, alpha=2.0)),
    ("FusedMatMul", [f(2, 4, 3), f(2, 5, 4)], 1, dict(transA=1, transB=1)),
    ("FusedMatMul", [f(3, 2, 4), f(4, 2, 5)], 1, dict(transBatchA=1, transBatchB=1)),
    ("FusedMatMul", [f(4, 2, 3), f(4, 2, 5)], 1, dict(transA=1, transBatchA=1, transBatchB=1)),
    ("GatherBlockQuantized", [u8(4, 16), rng.integers(0, 4, (2, 3)).astype(np.int64), f(4, 2)], 1,
     dict(block_size=16, gather_axis=0, quantize_axis=1)),
    ("Gelu", [f(2, 3)], 1, {}),
    ("GroupQueryAttention", [f(1, 4, 32), f(1, 4, 16), f(1, 4, 16), None, None, i32(3), [i32(4)]], 3,
     dict(num_heads=4, kv_num_heads=2)),
    ("GroupQueryAttention", [f(1, 1, 32), f(1, 1, 16), f(1, 1, 16), f(1, 2, 5, 8), f(1, 2, 5, 8), i32(5), [i32(6)]], 3,
     dict(num_heads=4, kv_num_heads=2)),
    ("GroupQueryAttention", [f(1, 4, 64), None, None, None, None, i32(3), [i32(4)]], 3,
     dict(num_heads=4, kv_num_heads=2)),
    ("ImageScaler", [f(2, 3, 4, 5)], 1, dict(scale=0.5, bias=[0.25, -1.0, 2.0]), ""),
    ("Inverse", [f(2, 3, 3)], 1, {}),
    ("MatMulIntegerToFloat", [u8(2, 3, 4), u8(4, 5), scale(), scale(), Z8, Z8], 1, {}),
    ("MatMulIntegerToFloat", [u8(3, 4), u8(4, 5), scale(), scale(), None, None, f(5)], 1, {}),
    ("MatMulNBits", [f(2, 3, 32), [u8(6, 1, 16)], [f(6)]], 1, dict(K=32, N=6, bits=4, block_size=32)),
    ("MurmurHash3", [np.array([["a", "", "Zürich 123"]], object)], 1, {}),
    ("MurmurHash3", [f(2, 3)], 1, dict(positive=0, seed=7)),
    ("MultiHeadAttention", [f(2, 5, 8), f(2, 7, 8), f(2, 7, 12)], 1, dict(num_heads=2)),
    ("MultiHeadAttention", [f(2, 5, 8), f(2, 5, 8), f(2, 5, 8), None, None, None, f(2, 2, 3, 4), f(2, 2, 3, 4)], 3,
     dict(num_heads=2)),
    ("MultiHeadAttention", [f(2, 5, 8), f(2, 2, 7, 4), f(2, 2, 7, 4)], 1, dict(num_heads=2)),
    ("NhwcMaxPool", [u8(1, 9, 8, 3)], 1, dict(kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0])),
    ("NhwcMaxPool", [q(np.int8, 2, 9, 3)], 1, dict(kernel_shape=[3], strides=[2], pads=[1, 0])),
    ("NhwcMaxPool", [u8(1, 5, 6, 7, 2)], 1, dict(kernel_shape=[2, 3, 3], strides=[1, 2, 2])),
    ("ParametricSoftplus", [f(2, 3)], 1, dict(alpha=0.7, beta=2.0), ""),
    ("QAttention", [u8(2, 5, 8), [u8(8, 24)], f(24), scale(), scale(), None, Z8, Z8], 1, dict(num_heads=2)),
    ("QEmbedLayerNormalization",
     [rng.integers(0, 9, (2, 4)).astype(np.int32), rng.integers(0, 2, (2, 4)).astype(np.int32), [u8(9, 8)], [u8(6, 8)],
      [u8(2, 8)], [u8(8)], [u8(8)], None, *[[scale()]] * 5, *[[Z8]] * 5], 2, {}),
    ("QGemm", [u8(3, 4), scale(), Z8, u8(4, 5), scale(), Z8], 1, {}),
    ("QGemm", [u8(4, 3), scale(), Z8, u8(5, 4), scale(), Z8, None, scale(1.0), Z8], 1, dict(transA=1, transB=1)),
    ("QLinearAdd", [u8(2, 1, 4), scale(), Z8, u8(3, 4), scale(), Z, scale(0.05), Z8], 1, {}),
    ("QLinearMul", [u8(2, 3, 4), scale(), Z8, u8(4), scale(), Z, scale(0.05), Z8], 1, {}),
    ("QLinearAdd", [q(np.int8, 3, 4), scale(), np.int8(3), q(np.int8, 3, 4), scale(), np.int8(0), scale(0.05),
                    np.int8(-1)], 1, {}),
    ("QLinearAveragePool", [u8(1, 3, 9, 8), scale(), Z8, scale(), Z8], 1,
     dict(kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0])),
    ("QLinearAveragePool", [u8(1, 9, 8, 3), scale(), Z8, scale(), Z8], 1,
     dict(kernel_shape=[3, 2], channels_last=1, auto_pad="SAME_UPPER")),
    ("QLinearConcat", [scale(0.05), Z8, u8(2, 3), scale(), Z8, u8(2, 4), scale(0.1), Z], 1, dict(axis=1)),
    ("QLinearConv", [u8(1, 4, 9, 8), scale(), Z8, [u8(6, 2, 3, 3)], [scale()], [Z], scale(0.5), Z8], 1,
     dict(group=2, pads=[1, 0, 1, 0], strides=[2, 1])),
    ("QLinearConv", [u8(2, 9, 8, 4), scale(), Z8, [q(np.int8, 6, 4, 3, 3)], [np.full(6, 0.02, np.float32)],
                     [np.zeros(6, np.int8)], scale(0.5), Z8, [i32(1, -200, 3, 4, 5, 600)]], 1,
     dict(channels_last=1, strides=[2, 1], auto_pad="SAME_UPPER")),
    ("QLinearConv", [q(np.int8, 2, 9, 4), scale(), np.int8(1), [q(np.int8, 6, 4, 3)], [scale()], [np.int8(0)], scale(0.5),
                     np.int8(-5)], 1, dict(channels_last=1, dilations=[2])),
    ("QLinearConv", [u8(1, 5, 6, 4, 3), scale(), Z8, [u8(2, 3, 2, 2, 2)], [scale()], [Z], scale(0.5), Z8], 1,
     dict(channels_last=1)),
    ("QLinearGlobalAveragePool", [u8(2, 3, 4, 5), scale(), Z8, scale(), Z8], 1, {}),
    ("QLinearGlobalAveragePool", [u8(2, 4, 5, 3), scale(), Z8, scale(), Z8], 1, dict(channels_last=1)),
    ("QLinearLeakyRelu", [u8(2, 3), scale(), Z8, scale(), Z8], 1, dict(alpha=0.2)),
    ("QLinearSigmoid", [u8(2, 3), scale(), Z8, scale(1 / 256), np.uint8(0)], 1, {}),
    ("QLinearSoftmax", [u8(2, 3, 4), scale(), Z8, scale(1 / 256), np.uint8(0)], 1, dict(axis=-1, opset=13)),
    ("QLinearSoftmax", [u8(2, 3, 4), scale(), Z8, scale(1 / 256), np.uint8(0)], 1, dict(axis=1, opset=12)),
    ("QLinearWhere", [np.array([[True], [False]]), u8(2, 3), scale(), Z8, u8(3), scale(), Z, scale(0.05), Z8], 1, {}),
    ("QLinearWhere", [np.array([True, False, True]), q(np.int8, 2, 1, 3), scale(), np.int8(3), q(np.int8, 2, 1), scale(),
                      np.int8(0), scale(0.05), np.int8(-1)], 1, {}),
    ("QuickGelu", [f(2, 3)], 1, dict(alpha=1.5)),
    ("RotaryEmbedding", [f(2, 3, 8), np.arange(6, dtype=np.int64).reshape(2, 3), f(6, 2), f(6, 2)], 1, dict(num_heads=2)),
    ("RotaryEmbedding", [f(2, 2, 3, 4), np.int64([0]), f(6, 2), f(6, 2)], 1, {}),
    ("Scale", [f(2, 3)], 1, dict(scale=0.3), ""),
    ("ScaledTanh", [f(2, 3)], 1, dict(alpha=1.7, beta=0.6), ""),
    ("SkipLayerNormalization", [f(2, 3, 8), f(2, 3, 8), f(8), f(8)], 1, {}),
    ("SkipLayerNormalization", [f(2, 3, 8), f(2, 3, 8), f(8), None, f(8)], [0, 3], {}),
    ("SkipSimplifiedLayerNormalization", [f(2, 3, 8), f(2, 3, 8), f(8)], 1, {}),
    ("SkipSimplifiedLayerNormalization", [f(2, 3, 8), f(2, 3, 8), f(8), f(8)], [0, 3], {}),
    ("Tokenizer", [np.array([["a b", "c d e"]], object)], 1,
     dict(mark=0, mincharnum=1, pad_value="#", separators=[" "])),
    ("Trilu", [f(2, 3, 4)], 1, dict(upper=0)),
    ("Trilu", [f(3, 4), [np.int64(1)]], 1, {}),
]


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def bias_softmax(data, bias):
    return softmax((data.astype(np.float64) + bias).reshape(data.shape[0], -1)).reshape(data.shape)


def bias_split_gelu(x, bias):
    left, right = np.split(x.astype(np.float64) + bias, 2, -1)
    erf = np.vectorize(math.erf)
    return left * right * 0.5 * (1 + erf(right / np.sqrt(2)))


def group_norm_first(*inputs):
    return np.moveaxis(group_norm(np.moveaxis(inputs[0], 1, -1), *inputs[1:]), -1, 1)


def swish_group_norm_first(*inputs):
    return np.moveaxis(swish_group_norm(np.moveaxis(inputs[0], 1, -1), *inputs[1:]), -1, 1)


def group_norm(x, gamma, beta):
    n, h, w, c = x.shape
    folded = x.astype(np.float64).reshape(n, h * w, 2, c // 2)
    mean, deviation = folded.mean((1, 3), keepdims=True), folded.std((1, 3), keepdims=True)
    return ((folded - mean) / np.sqrt(deviation ** 2 + 1e-5)).reshape(x.shape) * gamma + beta


def swish_group_norm(*inputs):
    y = group_norm(*inputs)
    return y / (1 + np.exp(-y))


def conv_windows(x, w, b, strides):
    """No padding; x [N, spatial..., C], w [M, kernel..., C]."""
    n = x.ndim - 2
    windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), w.shape[1:-1], tuple(range(1, n + 1)))
    windows = windows[(slice(None), *(slice(None, None, step) for step in strides))]
    return np.tensordot(windows, np.moveaxis(w, -1, 1), (list(range(n + 1, windows.ndim)), list(range(1, n + 2)))) + b


def conv_last(x, w, b):
    return conv_windows(x, w, b, (1, 2))


def conv_line(x, w, b):
    return conv_windows(x, w, b, (2,))


def conv_volume(x, w, b):
    return conv_windows(x, w, b, (1, 1, 1))


def solve_turned(a, b):
    return np.linalg.solve(a.T, b)


def only_shape(*shape):
    return lambda *inputs: shape


# As CASES, with the function that computes the result. onnxruntime's CPU has none of these.
OWN = [
    (bias_softmax, "BiasSoftmax", [f(2, 3, 4), f(2, 3, 4)], 1, dict(axis=1, is_inner_broadcast=0)),
    (bias_softmax, "BiasSoftmax", [f(2, 3, 4), f(2, 1, 4)], 1, dict(axis=1, is_inner_broadcast=1)),
    (bias_split_gelu, "BiasSplitGelu", [f(2, 3, 8), f(8)], 1, {}),
    (group_norm, "GroupNorm", [f(2, 3, 4, 6), f(6), f(6)], 1, dict(activation=0, groups=2)),
    (swish_group_norm, "GroupNorm", [f(2, 3, 4, 6), f(6), f(6)], 1, dict(activation=1, groups=2)),
    (group_norm_first, "GroupNorm", [f(2, 6, 3, 4), f(6), f(6)], 1, dict(activation=0, groups=2, channels_last=0)),
    (swish_group_norm_first, "GroupNorm", [f(2, 6, 3, 4), f(6), f(6)], 1, dict(activation=1, groups=2, channels_last=0)),
    (conv_line, "NhwcConv", [f(2, 9, 3), f(4, 3, 3), f(4)], 1, dict(strides=[2])),
    (conv_volume, "NhwcConv", [f(1, 4, 5, 6, 2), f(3, 2, 2, 3, 2), f(3)], 1, {}),
    (conv_last, "NhwcConv", [f(2, 6, 7, 3), f(4, 3, 2, 3), f(4)], 1, dict(strides=[1, 2])),
    (np.linalg.solve, "Solve", [f(4, 4) + 3 * np.eye(4, dtype=np.float32), f(4, 3)], 1, {}),
    (solve_turned, "Solve", [f(4, 4) + 3 * np.eye(4, dtype=np.float32), f(4)], 1, dict(transposed=1)),
    (only_shape(2, 5, 8), "MultiHeadAttention", [f(2, 5, 2, 3, 4)], 1, dict(num_heads=2)),
    (only_shape(2, 5, 8), "MultiHeadAttention", [f(2, 5, 8), f(2, 7, 2, 2, 4)], 1, dict(num_heads=2)),
]

# What ONNX had on trial until opset 9.
OLD = ("Affine", "Crop", "ImageScaler", "ParametricSoftplus", "Scale", "ScaledTanh")


def dtype_of(array):
    return helper.np_dtype_to_tensor_dtype(array.dtype) if array.dtype != object else TensorProto.STRING


def build(case, symbolic=False, functions=(), domain=None):
    """The model, its feeds, its inputs as arrays. symbolic: each dim has a name of its own."""
    op, inputs, outputs, attributes = case[:4]
    domain = domain if domain is not None else case[4] if len(case) > 4 else MS
    wanted = range(outputs) if isinstance(outputs, int) else outputs
    names, ports, constants, feeds = [], [], [], {}
    for i, value in enumerate(inputs):
        names.append("" if value is None else f"x{i}")
        if isinstance(value, list):
            constants.append(numpy_helper.from_array(np.asarray(value[0]), f"x{i}"))
        elif value is not None:
            array = np.asarray(value)
            shape = [f"d{i}_{k}" for k in range(array.ndim)] if symbolic else array.shape
            ports.append(helper.make_tensor_value_info(f"x{i}", dtype_of(array), shape))
            feeds[f"x{i}"] = array
    node = helper.make_node(op, names, [f"y{i}" if i in wanted else "" for i in range(max(wanted) + 1)], "node",
                            domain=domain, **attributes)
    graph = helper.make_graph([node], "contrib", ports, [onnx.ValueInfoProto(name=f"y{i}") for i in wanted], constants)
    opsets = [helper.make_opsetid("", 9 if op in OLD else 17), helper.make_opsetid(MS, 1)]
    opsets += [helper.make_opsetid("body", 1)] * bool(functions)
    return helper.make_model(graph, opset_imports=opsets, functions=list(functions), ir_version=10), feeds


def truth(case):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    model, feeds = build(case)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


# ---- shapes --------------------------------------------------------------------------------------


def dump(models):
    """Lines of infer_dump for each (model, feeds)."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(struct.pack("<I", len(models)))
        for model, feeds in models:
            data = model.SerializeToString()
            file.write(struct.pack("<I", len(data)) + data + struct.pack("<I", len(feeds)))
            for array in feeds.values():
                raw = b"" if array.dtype == object else array.tobytes()
                file.write(struct.pack("<IIi", 1, dtype_of(array), array.ndim)
                           + struct.pack(f"<{array.ndim}q", *array.shape) + struct.pack("<I", len(raw)) + raw)
        file.flush()
        done = subprocess.run([PROGRAM, file.name], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"infer_dump: exit code {done.returncode}"
    return [[line.split("\t") for line in block.splitlines()[1:]] for block in done.stdout.split("model\t")[1:]]


def judge_shapes(case, lines, want, complete):
    """`want`: arrays, or one shape."""
    if isinstance(want, tuple):
        want = [np.zeros(want, np.float32)]
    for line in lines:
        assert line[0] in ("output", "actual") and (line[0] == "output" or line[1] == "0"), line[-1]
    # What is constant is not handed to the inference of a run here.
    constant = any(isinstance(value, list) for value in case[1])
    for kind, at in (("output", 5), ("actual", 5))[:1 if constant else 2]:
        found = [line for line in lines if line[0] == kind]
        assert len(found) == len(want), f"{kind}: {len(found)} outputs"
        for line, array in zip(found, want):
            dtype = int(line[2] if kind == "output" else line[3])
            dims = line[at].split(",") if line[at] else []
            assert dtype == dtype_of(array), f"{kind}: type {dtype}, expected {dtype_of(array)}"
            assert len(dims) == array.ndim, f"{kind}: {dims}, expected {array.shape}"
            known = [int(d) if d != "?" else None for d in dims]
            assert all(d == w or (d is None and not complete) for d, w in zip(known, array.shape)), \
                f"{kind}: {dims}, expected {array.shape}"


# ---- numbers -------------------------------------------------------------------------------------


def bodies():
    """name -> functions of the domain body, in order."""
    with open(os.path.join(common.ROOT, "plugins/contrib/bodies.txt"), encoding="utf-8") as source:
        text = re.sub(r"(?m)^#.*\n", "", source.read())
    found = {}
    for block in re.split(r"(?m)^function ", text)[1:]:
        title, _, body = block.partition("\n")
        found.setdefault(title.split(".")[0], []).append((title, parser.parse_function(body)))
    return found


def run(model, feeds, devices, count, env=None):
    with tempfile.TemporaryDirectory() as folder:
        path, inputs, outputs = (os.path.join(folder, name) for name in ("model.onnx", "in.npz", "out.npz"))
        onnx.save(model, path)
        np.savez(inputs, **feeds)
        common.partita("run", path, "--devices", devices, "--inputs", inputs, "--outputs", outputs, env=env)
        with np.load(outputs) as got:
            return [got[info.name] for info in model.graph.output][:count]


def close(got, want, name):
    for g, w in zip(got, want):
        if w.dtype.kind in "iu" and w.dtype != np.int64:  # a rounding at the half may go either way
            assert g.dtype == w.dtype and g.shape == w.shape, f"{name}: {g.dtype}{g.shape}"
            assert (np.abs(g.astype(int) - w.astype(int)) <= 1).all(), f"{name}: {g} for {w}"
        else:
            common.assert_close(g, w, name)


# Which body computes the case: judged by expansion too, here it is named. Default: the first.
def body_of(case):
    op, inputs, attributes = case[0], case[1], case[3]
    last = {"FastGelu": 1, "SkipLayerNormalization": 4, "SkipSimplifiedLayerNormalization": 3, "MatMulIntegerToFloat": 6,
            "DynamicQuantizeMatMul": 4}
    if op in last:
        return int(len(inputs) > last[op] and inputs[last[op]] is not None)
    if op == "FusedMatMul":
        return sum(weight * attributes.get(name, 0) for name, weight in
                   (("transA", 1), ("transBatchA", 2), ("transB", 4), ("transBatchB", 8)))
    if op == "FusedGemm":
        return ["", "Relu", "LeakyRelu", "Sigmoid", "Tanh"].index(attributes["activation"])
    if op == "QLinearSoftmax":
        return int(attributes["opset"] >= 13)
    if op == "GroupNorm":
        return attributes["activation"] + 2 * (not attributes.get("channels_last", 1))
    if op == "QLinearConv":
        return np.ndim(inputs[0]) - 2 if attributes.get("channels_last") else 0
    if op in ("NhwcConv", "NhwcMaxPool"):
        return np.ndim(inputs[0]) - 3
    if op == "Crop":
        return int("scale" in attributes)
    if op == "CDist":
        return int(attributes["metric"] == "euclidean")
    return None if attributes.get("channels_last") else 0


def judge_body(case, function, want):
    """As a function of the model's own, in a domain that no operator set has."""
    mine = onnx.FunctionProto()
    mine.CopyFrom(function)
    mine.domain = "body"
    model, feeds = build(case, functions=[mine], domain="body")
    node = model.graph.node[0]
    given = {a.name for a in node.attribute}
    for name in mine.attribute:  # the defaults of the schema
        if name not in given and name in DEFAULTS:
            node.attribute.append(helper.make_attribute(name, DEFAULTS[name]))
    close(run(model, feeds, "cpu", len(want)), want, "body")


DEFAULTS = {"epsilon": 1e-12, "alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0, "upper": 1, "auto_pad": "NOTSET",
            "ceil_mode": 0, "group": 1}


def own_truth(case):
    result = case[0](*(np.asarray(value) for value in case[2]))
    return result if isinstance(result, tuple) else [result.astype(np.float32)]


def main():
    texts, wanted = bodies(), []
    for case in CASES:
        try:
            wanted.append((case, truth(case)))
        except Exception as error:
            wanted.append((case, error))
    wanted += [(case[1:], own_truth(case)) for case in OWN]
    answers = dump([build(case, symbolic=True) for case, _ in wanted])
    for number, ((case, want), lines) in enumerate(zip(wanted, answers)):
        name = f"{case[0]}-{number}"
        if isinstance(want, Exception):
            cases.run(f"truth {name}", raise_it, want)
            continue
        cases.run(f"shapes {name}", judge_shapes, case, lines, want, case[0] != "Tokenizer")
        functions, chosen = texts.get(case[0]), body_of(case)
        if functions and chosen is not None:
            cases.run(f"body {name}", judge_body, case, functions[chosen][1], want)
    cases.run("rows are onnxruntime's schemas", judge_rows)
    cases.run("inputs that are left out", left_out)
    cases.run("random nodes", random_nodes, 5 if common.QUICK else 20)
    cases.end()


# ---- random nodes --------------------------------------------------------------------------------


def random_value(value):
    if isinstance(value, (list, tuple)):
        return [random_value(v) for v in (list(value) * 2)[:rng.integers(0, 2 * len(value) + 1)]] or value
    if isinstance(value, float):
        return float(rng.choice([value, 0, -1, np.inf, np.nan]))
    if isinstance(value, int):
        return int(rng.choice([value, 0, -1, 1, 2, 7, -2**31, 2**31, -2**63, 2**63 - 1]))
    return str(rng.choice([value, "", "SAME_LOWER", "none"]))


def random_input(value):
    if rng.random() < 0.5 or value is None:
        return value
    array = np.asarray(value[0] if isinstance(value, list) else value)
    if rng.random() < 0.1:
        return None
    changed = np.zeros(rng.integers(0, 8, rng.integers(0, 6)), array.dtype)
    return [changed] if isinstance(value, list) and changed.dtype != object else changed


def random_nodes(rounds):
    """Wrong ranks, dims, attributes and absent inputs are an error or a shape, never a crash."""
    models, answered = [], 0
    for case in CASES + [case[1:] for case in OWN]:
        for _ in range(rounds):
            op, inputs, outputs, attributes = case[:4]
            mutant = (op, [random_input(v) for v in inputs], outputs,
                      {k: random_value(v) for k, v in attributes.items()}, *case[4:])
            models.append(build(mutant, symbolic=rng.random() < 0.5))
    for lines in dump(models):
        assert lines, "no answer"
        answered += lines[0][0] == "output"
    assert 0 < answered < len(models), f"{answered} of {len(models)} were shapes"


def left_out():
    """Inputs that an operator needs, and those among them that it does not."""
    needed = ("BiasGelu", [None, f(8)], 1, {})
    free = ("QLinearSigmoid", [u8(2, 3), scale(), None, scale(), Z8], 1, {})
    wrong, fine = dump([build(needed), build(free)])
    assert wrong[0][0] == "infer" and "input 0 is left out" in wrong[0][2], wrong
    assert fine[0][0] == "output", fine


def judge_rows():
    found = list(contrib_schemas.differences())
    assert not found, "\n".join(found)


def raise_it(error):
    raise error


if __name__ == "__main__":
    main()
