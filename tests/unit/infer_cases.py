# SPDX-License-Identifier: Apache-2.0
"""Inference against ONNX: every node test of the onnx package, and nodes of old opsets, in four ways.

plain     the input shapes are numbers: nothing less and nothing else than onnx.shape_inference says, and nothing that
          contradicts the shapes of the test's own outputs
constant  all inputs are constants: the same, with values
symbolic  every dim of an input is a name of its own, small integer inputs are constants: evaluated for the test's
          shapes, the outputs' dims are those of the test's outputs
actual    pt_node_infer_actual on the test's inputs

Prints a line PASS or FAIL for each operator. A shape that stays unknown is only right where data decides, or where it's
listed below.
"""
import collections
import os
import struct
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnx.defs
from onnx import TensorProto, helper, numpy_helper, shape_inference

warnings.filterwarnings("ignore")
SMALL = 64
# Outputs whose shape only data tells: nobody has to know them, in any way.
DATA_SHAPED = {"NonZero", "NonMaxSuppression", "Unique", "Compress", "ImageDecoder", "StringNormalizer", "StringSplit",
               "Loop", "If", "Scan", "SequenceMap"}
# Values of more than 64 elements, or floats, decide the shape: known in a run only.
RUN_ONLY = {"Range", "Resize", "Upsample", "OneHot", "GatherND"}
# onnx's inference says 16 where the operator's text, its test and its reference say 16 / 2 + 1.
ONNX_WRONG = {"STFT"}
# Shapes of elements are not taken from the file.
ELEMENTS = {"OptionalGetElement"}
KINDS = {"tensor_type": 1, "sparse_tensor_type": 2, "sequence_type": 3, "map_type": 4, "optional_type": 5}


def kind_of(type_proto):
    return KINDS.get(type_proto.WhichOneof("value"), 0)


def dims_of(type_proto):
    """Dims as numbers or None; None when the rank is not known."""
    if type_proto.WhichOneof("value") != "tensor_type" or not type_proto.tensor_type.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else None for d in type_proto.tensor_type.shape.dim]


def to_array(value):
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, (list, dict, onnx.SequenceProto, onnx.OptionalProto)) or value is None:
        return None
    return np.asarray(value)


def is_small_integer(array):
    return array.dtype.kind in "iub" and array.size <= SMALL


def variants(model, inputs):
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    del plain.graph.value_info[:]
    yield "plain", plain
    arrays = [to_array(v) for v in inputs]
    tensors = [i for i, (a, port) in enumerate(zip(arrays, plain.graph.input))
               if a is not None and a.dtype.kind not in "OUS" and kind_of(port.type) == 1]
    for name, chosen in (("constant", tensors), ("symbolic", [i for i in tensors if is_small_integer(arrays[i])])):
        other = onnx.ModelProto()
        other.CopyFrom(plain)
        kept = []
        for i, port in enumerate(plain.graph.input):
            if i in chosen:
                tensor = numpy_helper.from_array(arrays[i], port.name)
                tensor.data_type = port.type.tensor_type.elem_type
                other.graph.initializer.append(tensor)
                continue
            fresh = onnx.ValueInfoProto()
            fresh.CopyFrom(port)
            if name == "symbolic" and fresh.type.HasField("tensor_type"):
                for k, dim in enumerate(fresh.type.tensor_type.shape.dim):
                    dim.Clear()
                    dim.dim_param = f"d{i}_{k}"
            kept.append(fresh)
        del other.graph.input[:]
        other.graph.input.extend(kept)
        for port in other.graph.output:
            if port.type.HasField("tensor_type"):
                port.type.tensor_type.ClearField("shape")
        yield name, other


def pack_input(port, array):
    kind = kind_of(port.type)
    dtype = port.type.tensor_type.elem_type if kind == 1 else 0
    if array is None or kind != 1:
        return struct.pack("<IIiI", kind, dtype, -1, 0)
    plain = (set(range(1, 14)) | {TensorProto.BFLOAT16}) - {TensorProto.STRING}
    keeps = dtype in plain and array.dtype.kind not in "OUS" and array.size <= 4096
    data = np.ascontiguousarray(array).tobytes() if keeps else b""
    return (struct.pack("<IIi", kind, dtype, array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape)
            + struct.pack("<I", len(data)) + data)


def strip(graph):
    """Takes out what is declared about computed values."""
    del graph.value_info[:]
    for port in graph.output:
        if port.type.HasField("tensor_type"):
            port.type.tensor_type.ClearField("shape")
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                strip(attribute.g)


def inferred_by_onnx(model):
    if model.graph.node[0].op_type in ONNX_WRONG:
        return None
    # A dim of 0 in a file counts as not given: exporters write it so.
    if any(0 in (dims_of(port.type) or []) for port in model.graph.input):
        return None
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    strip(bare.graph)
    try:
        done = shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True)
    except Exception:
        return None
    return [dims_of(port.type) for port in done.graph.output]


def collect():
    from onnx.backend.test.case.node import collect_testcases
    for case in collect_testcases(None):
        model = case.model
        if "_expanded" in case.name or not case.data_sets or len(model.graph.node) != 1:
            continue
        if model.graph.node[0].domain not in ("", "ai.onnx.ml"):
            continue
        yield case.name, model, case.data_sets[0]


def old(opset, op, shapes, outputs=1, values=(), kind=TensorProto.FLOAT, **attributes):
    """A node of an old opset: inputs of these shapes, or of `values` by number of the input."""
    values = dict(values)
    names = [f"x{i}" if shape is not None or i in values else "" for i, shape in enumerate(shapes)]
    arrays = [np.asarray(values[i]) if i in values else None if shape is None else np.zeros(shape, np.float32)
              for i, shape in enumerate(shapes)]
    dtypes = [helper.np_dtype_to_tensor_dtype(a.dtype) if a is not None else 0 for a in arrays]
    dtypes = [kind if i not in values else d for i, d in enumerate(dtypes)]
    node = helper.make_node(op, names, [f"y{i}" for i in range(outputs)], **attributes)
    ports = [helper.make_tensor_value_info(n, t, a.shape) for n, t, a in zip(names, dtypes, arrays) if n]
    graph = helper.make_graph([node], op, ports, [onnx.ValueInfoProto(name=f"y{i}") for i in range(outputs)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    done = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    for port, found in zip(model.graph.output, done.graph.output):
        port.CopyFrom(found)
    truths = [dims_of(port.type) for port in done.graph.output]
    truths = [None if t is None or None in t else np.zeros(t, np.bool_) for t in truths]
    return f"{op}-{opset}", model, ([a for a in arrays if a is not None], truths)


def old_cases():
    ints = lambda *numbers: np.array(numbers, np.int64)
    image = (2, 3, 9, 10)
    yield old(1, "Add", [image, (3, 9)], broadcast=1, axis=1)
    yield old(6, "Mul", [image, (10,)], broadcast=1)
    yield old(1, "Max", [image, image])
    yield old(1, "Reshape", [image], shape=[2, -1, 5])
    yield old(1, "Squeeze", [(2, 1, 3, 1)], axes=[1, -1 + 4])
    yield old(11, "Squeeze", [(2, 1, 3, 1)], axes=[1, -1])
    yield old(1, "Unsqueeze", [(2, 3)], axes=[0, 3])
    yield old(11, "Unsqueeze", [(2, 3)], axes=[-1])
    yield old(1, "Slice", [image], starts=[1, -4], ends=[9, 9], axes=[1, 2])
    yield old(9, "Slice", [image], starts=[0], ends=[-1])
    yield old(10, "Slice", [image, None, None], values={1: ints(1), 2: ints(100)})
    yield old(2, "Split", [image], outputs=3, axis=3, split=[1, 2, 7])
    yield old(2, "Split", [image], outputs=3, axis=1)
    yield old(11, "Split", [image], outputs=2, axis=-1)
    yield old(2, "Pad", [image], pads=[0, 0, 1, 1, 0, 0, 2, 2], mode="reflect")
    yield old(7, "Upsample", [image], scales=[1.0, 1.0, 2.0, 1.5])
    yield old(9, "Upsample", [image, None], values={1: np.array([1, 1, 2, 0.5], np.float32)})
    yield old(10, "Resize", [image, None], values={1: np.array([1, 1, 2.2, 0.3], np.float32)})
    three = np.array([1, 1, 3, 3], np.float32)
    yield old(11, "Resize", [image, None, None], values={1: np.zeros(0, np.float32), 2: three})
    yield old(6, "Clip", [image], min=0.0, max=6.0)
    yield old(7, "Dropout", [image], outputs=2)
    yield old(10, "Dropout", [image], outputs=2)
    yield old(7, "BatchNormalization", [image] + [(3,)] * 4)
    yield old(9, "BatchNormalization", [image] + [(3,)] * 4)
    yield old(1, "TopK", [image], outputs=2, axis=1, k=2)
    yield old(10, "TopK", [image, None], outputs=2, values={1: ints(4)})
    for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2"):
        yield old(1, op, [image], axes=[1, 3])
        yield old(11, op, [image], axes=[-1], keepdims=0)
    yield old(1, "ArgMax", [image], axis=2)
    yield old(11, "ArgMin", [image], axis=-1, keepdims=0)
    yield old(6, "Cast", [image], to=TensorProto.INT64)
    yield old(1, "Softmax", [image])
    yield old(9, "Flatten", [image], axis=2)
    yield old(11, "Flatten", [image], axis=-1)
    yield old(6, "Tile", [image, None], values={1: ints(1, 2, 3, 4)})
    yield old(7, "Gemm", [(2, 3), (3, 4), (4,)])
    yield old(9, "Gemm", [(3, 2), (4, 3), (4,)], transA=1, transB=1)
    yield old(1, "Concat", [image, image], axis=1)
    yield old(4, "Concat", [image, image], axis=3)
    yield old(1, "AveragePool", [image], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    yield old(10, "AveragePool", [image], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    yield old(8, "MaxPool", [image], outputs=2, kernel_shape=[3, 2], auto_pad="SAME_UPPER", strides=[2, 3])
    yield old(10, "MaxPool", [image], kernel_shape=[3, 2], dilations=[2, 1], auto_pad="VALID")
    yield old(10, "MaxPool", [(2, 3, 1, 4)], kernel_shape=[2, 2], strides=[2, 2])
    yield old(11, "Conv", [(2, 3, 2, 4), (4, 3, 3, 3)], strides=[2, 2])
    yield old(1, "GlobalAveragePool", [image])
    yield old(1, "Conv", [image, (8, 3, 3, 3)], pads=[1, 1, 1, 1], strides=[2, 1])
    yield old(11, "Conv", [image, (6, 1, 3, 3)], group=3, dilations=[2, 2])
    yield old(1, "ConvTranspose", [image, (3, 5, 3, 3)], strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 0])
    yield old(11, "ConvTranspose", [image, (3, 5, 3, 3)], strides=[2, 2], auto_pad="SAME_LOWER")
    yield old(1, "DepthToSpace", [(2, 8, 3, 3)], blocksize=2)
    yield old(1, "SpaceToDepth", [(2, 2, 4, 6)], blocksize=2)
    yield old(7, "LSTM", [(5, 2, 4), (2, 24, 4), (2, 24, 6)], outputs=3, hidden_size=6, direction="bidirectional")
    yield old(7, "GRU", [(5, 2, 4), (1, 18, 4), (1, 18, 6)], outputs=2, hidden_size=6)
    off_on = np.array([0, 1], np.float32)
    yield old(9, "OneHot", [None, None, None], values={0: ints(1, 2), 1: ints(5), 2: off_on}, axis=0)
    yield old(1, "Gather", [image, None], values={1: ints(0, 1, 2, 0)}, axis=1)
    yield old(11, "GatherND", [image, None], values={1: np.array([[0, 1], [1, 2]], np.int64)})
    yield old(9, "Scatter", [image, None, image], values={1: np.zeros((2, 3, 9, 10), np.int64)})
    yield old(11, "CumSum", [image, None], values={1: np.int64(1)})
    yield old(8, "Expand", [(3, 1), None], values={1: ints(2, 1, 6)})
    yield old(9, "ConstantOfShape", [None], values={0: ints(2, 3)})
    yield old(11, "Range", [None, None, None], values={0: np.int64(10), 1: np.int64(4), 2: np.int64(-4)})
    yield old(9, "Where", [None, (3, 1), (2, 1, 4)], values={0: np.zeros((3, 4), np.bool_)})
    yield old(17, "LayerNormalization", [image, (9, 10)], outputs=3, axis=2)
    yield old(12, "Einsum", [(2, 3, 4), (2, 4, 5)], equation="bij,bjk->bik")
    yield old(12, "Einsum", [(2, 3, 4), (4, 5)], equation="...j,jk")


def numbers(text):
    return [] if text == "" else [None if d == "?" else int(d) for d in text.split(",")]


class Judge:
    def __init__(self):
        self.complaints = collections.defaultdict(list)
        self.counts = collections.Counter()

    def complain(self, operator, name, text):
        self.complaints[operator].append(f"{name}: {text}")

    def dims(self, operator, name, what, got, truth, complete):
        """`got` must not contradict `truth`; `complete`: and must be all of it."""
        if truth is None:
            return
        if got is None:
            if complete:
                self.complain(operator, name, f"{what}: rank unknown instead of {truth}")
        elif len(got) != len(truth) or any(g is not None and t is not None and g != t for g, t in zip(got, truth)):
            self.complain(operator, name, f"{what}: {got} instead of {truth}")
        elif complete and any(g is None and t is not None for g, t in zip(got, truth)):
            self.complain(operator, name, f"{what}: only {got} of {truth}")


def judge_case(judge, case, lines):
    operator, name, variant, model, by_onnx, truths = case
    judge.counts[operator] += 1
    for line in lines:
        if line[0] in ("load", "infer") or (line[0] == "actual" and line[1] != "0"):
            judge.complain(operator, name, f"{variant}: {line[-1]}")
            return
    outputs = [line for line in lines if line[0] == "output"]
    actuals = [line for line in lines if line[0] == "actual"]
    open_shape = operator in DATA_SHAPED or operator in ELEMENTS
    for i, port in enumerate(model.graph.output):
        kind, dtype, rank, inferred, evaluated = outputs[i][1:]
        if kind_of(port.type) == 0:
            continue  # onnx has no inference for this version
        if int(kind) != kind_of(port.type):
            judge.complain(operator, name, f"{variant}: kind {kind}")
            continue
        if int(kind) != 1:
            continue
        if int(dtype) != port.type.tensor_type.elem_type:
            judge.complain(operator, name, f"{variant}: dtype {dtype} instead of {port.type.tensor_type.elem_type}")
        inferred = numbers(inferred) if int(rank) >= 0 else None
        evaluated = numbers(evaluated) if int(rank) >= 0 else None
        truth = truths[i]
        if by_onnx is not None and operator not in ELEMENTS:
            judge.dims(operator, name, f"{variant}, onnx", inferred, by_onnx[i], True)
        all_known = variant == "constant" and not open_shape and all(
            0 not in (dims_of(p.type) or []) for p in model.graph.input)
        judge.dims(operator, name, f"{variant}", inferred, truth, all_known)
        complete = variant == "symbolic" and not open_shape and operator not in RUN_ONLY
        judge.dims(operator, name, f"{variant}, evaluated", evaluated, truth, complete)
    for i, line in enumerate(actuals):
        if int(line[2]) != 1 or variant != "plain" or int(actuals[i][4]) == -1 and open_shape:
            continue
        got = numbers(line[5]) if int(line[4]) >= 0 else None
        judge.dims(operator, name, "actual", got, truths[i], not open_shape)


def schema_text(schema, until):
    """A schema as infer_dump prints it."""
    many = lambda n: 2**32 - 1 if n >= 2**31 - 1 else n
    fields = [schema.domain, schema.name, schema.since_version, until, many(schema.min_input), many(schema.max_input),
              many(schema.min_output), many(schema.max_output)]
    for name, attribute in sorted(schema.attributes.items()):
        kind = {"SPARSE_TENSOR": "TENSOR", "TYPE_PROTO": ""}.get(attribute.type.name, attribute.type.name)
        number = onnx.AttributeProto.AttributeType.Value(kind) if kind else 0
        number = {1: 2, 2: 1, 6: 7, 7: 6}.get(number, number)  # the ABI has integers before floats
        default = "-"
        if attribute.default_value and attribute.default_value.name:
            value = helper.get_attribute_value(attribute.default_value)
            items = value if isinstance(value, (list, tuple)) else [value]
            # Version 1 of GRU has a typing error in its default.
            texts = [v.decode().replace("foward", "forward") if isinstance(v, bytes) else
                     f"{np.float32(v):.9g}" if isinstance(v, float) else str(v) for v in items]
            default = ",".join(texts)
        fields.append(f"{name} {number} {int(attribute.required)} {default}")
    return "\t".join(map(str, fields))


def judge_rows(program):
    schemas = collections.defaultdict(list)
    for schema in onnx.defs.get_all_schemas_with_history():
        schemas[schema.domain, schema.name].append(schema)
    wanted = []
    for key in sorted(schemas):
        history = sorted(schemas[key], key=lambda s: s.since_version)
        for schema, after in zip(history, history[1:] + [None]):
            # GroupNormalization 18 was replaced later, and is marked deprecated for that; it still has to run.
            if not schema.deprecated or schema.name == "GroupNormalization":
                wanted.append(schema_text(schema, after.since_version - 1 if after else 2**31 - 1))
    text = subprocess.run([program, "rows"], stdout=subprocess.PIPE, timeout=60).stdout.decode()
    rows = [line for line in text.splitlines() if not line.startswith("partita\t")]
    wrong = [f"{row!r} instead of {truth!r}" for row, truth in zip(rows, wanted)
             if row != truth and "GroupNormalization\t18" not in row]
    if wrong or len(rows) != len(wanted):
        print(f"FAIL rows of the operators: {len(rows)} for {len(wanted)} schemas, {len(wrong)} differ, {wrong[:1]}")
    else:
        print(f"PASS rows of the operators: {len(rows)} are those of onnx {onnx.__version__}")


def main():
    program = os.path.join(os.environ.get("PARTITA_BUILD", "build/release"), "tests", "infer_dump")
    judge_rows(program)
    cases, blocks = [], []
    for name, model, (inputs, outputs) in [*collect(), *old_cases()]:
        arrays = {port.name: to_array(v) for port, v in zip(model.graph.input, inputs)}
        truths = [a.shape if a is not None else None for a in map(to_array, outputs)]
        for variant, other in variants(model, inputs):
            data = other.SerializeToString()
            block = struct.pack("<I", len(data)) + data + struct.pack("<I", len(other.graph.input))
            blocks.append(block + b"".join(pack_input(p, arrays[p.name]) for p in other.graph.input))
            by_onnx = None if variant == "symbolic" else inferred_by_onnx(other)
            cases.append((model.graph.node[0].op_type, name, variant, other, by_onnx, truths))
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(struct.pack("<I", len(blocks)) + b"".join(blocks))
        file.flush()
        done = subprocess.run([program, file.name], stdout=subprocess.PIPE, timeout=600)
    if done.returncode != 0:
        print(f"FAIL infer_dump: exit code {done.returncode}")
        return 1
    answers = []
    for line in done.stdout.decode(errors="replace").splitlines():
        fields = line.split("\t")
        if fields[0] == "model":
            answers.append([])
        else:
            answers[-1].append(fields)
    judge = Judge()
    for case, lines in zip(cases, answers):
        judge_case(judge, case, lines)
    for operator in sorted(judge.counts):
        complaints = judge.complaints.get(operator, [])
        if complaints:
            print(f"FAIL inference of {operator}: {len(complaints)} complaints, first {complaints[0]}")
            for complaint in complaints[1:] if "--all" in sys.argv else []:
                print("    ", complaint)
        else:
            print(f"PASS inference of {operator}: {judge.counts[operator]} models")
    return 0


if __name__ == "__main__":
    sys.exit(main())
