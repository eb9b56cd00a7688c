# SPDX-License-Identifier: Apache-2.0
"""What test_inference.py compares: models without what they say about computed values, in variants; their inference by
ONNX and by Partita; the shapes that runs give."""
import glob
import itertools
import json
import os
import re
import struct
import subprocess
import tempfile
import warnings

import numpy as np
import onnx
from onnx import AttributeProto, numpy_helper, shape_inference

import common
import onnx_tree

warnings.filterwarnings("ignore")
PROGRAM = os.path.join(common.BUILD, "tests/infer_dump")
TREE = os.path.join(common.CACHE, "onnx-tests")
SHARED = os.path.join(os.path.dirname(common.ROOT), "shared/models")
SMALL = 64
KINDS = {"tensor_type": 1, "sparse_tensor_type": 2, "sequence_type": 3, "map_type": 4, "optional_type": 5}


# ---- types: (kind, dtype, key dtype, dims or None, element or None) --------------------------------


def type_of_proto(proto):
    """Dims are numbers, names or None. None when nothing is known."""
    which = proto.WhichOneof("value")
    if which is None:
        return None
    item = getattr(proto, which)
    if which == "map_type":
        element = type_of_proto(item.value_type)
        tensor = element is not None and element[0] == 1
        return 4, element[1] if tensor else 0, item.key_type, None, None if tensor else element
    if which in ("sequence_type", "optional_type"):
        return KINDS[which], 0, 0, None, type_of_proto(item.elem_type)
    dims = None
    if item.HasField("shape"):
        dims = [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in item.shape.dim]
    return KINDS[which], item.elem_type, 0, dims, None


def dim_of_text(text):
    """A number, None, or (letter and row of the symbol, its number or None)."""
    if text[0] not in "sd":
        return None if text == "?" else int(text)
    symbol, _, number = text.partition("=")
    return symbol, None if number == "?" else int(number)


def type_of_text(text):
    match = re.fullmatch(r"(\d+) (\d+) (\d+)(?: \[([^\]]*)\])?(?: \((.*)\))?", text)
    kind, dtype, key = (int(match[i]) for i in (1, 2, 3))
    dims = None if match[4] is None else [dim_of_text(d) for d in match[4].split(",") if d]
    return kind, dtype, key, dims, type_of_text(match[5]) if match[5] else None


# ---- models ----------------------------------------------------------------------------------------


class Case:
    """A model without what it says about computed values; values of its inputs and outputs where they are known."""

    def __init__(self, name, model, inputs, outputs=None, folder=None):
        self.name, self.model, self.folder = name, model, folder
        self.inputs, self.outputs = dict(inputs), outputs or {}
        strip(model.graph)
        weights = lighten(model.graph)
        self.inputs.update(weights if self.inputs or folder else {})
        fixed = {tensor.name for tensor in model.graph.initializer}
        kept = [port for port in model.graph.input if port.name not in fixed]
        del model.graph.input[:]
        model.graph.input.extend(kept)
        model.ir_version = max(model.ir_version, 4)  # initializers need not be inputs


def graphs_of(node):
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.name, attribute.g
        for graph in attribute.graphs:
            yield attribute.name, graph


def strip(graph, main=True):
    """Takes out the shapes of computed values and of the bodies' inputs. Those of elements too: they need not be true of
    each (test_loop13_seq declares numbers where its run gives lists), and Partita believes none."""
    del graph.value_info[:]
    for port in graph.output:
        forget(port.type)
    for port in graph.input:
        if not main or not port.type.HasField("tensor_type"):
            forget(port.type)
    for attribute in itertools.chain.from_iterable(node.attribute for node in graph.node):
        forget(attribute.tp)
    for _, body in itertools.chain.from_iterable(map(graphs_of, graph.node)):
        strip(body, False)


def forget(type_proto):
    which = type_proto.WhichOneof("value")
    if which in ("tensor_type", "sparse_tensor_type"):
        getattr(type_proto, which).ClearField("shape")
    elif which in ("sequence_type", "optional_type"):
        forget(getattr(type_proto, which).elem_type)


def is_hollow(tensor):
    """The folder beside the project has networks whose weights were taken out."""
    fields = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data")
    return np.prod(tensor.dims, dtype=np.int64) > SMALL and not any(len(getattr(tensor, field)) for field in fields)


def lighten(graph):
    """Large weights become inputs of their shape: inference does not look at them."""
    given = {port.name for port in graph.input}
    heavy = {t.name: onnx.TensorProto.FromString(t.SerializeToString()) for t in graph.initializer
             if np.prod(t.dims, dtype=np.int64) > SMALL and (t.data_type in (1, 10, 11, 16) or is_hollow(t))}
    kept = [tensor for tensor in graph.initializer if tensor.name not in heavy]
    for name, tensor in heavy.items():
        if name not in given:
            graph.input.append(onnx.helper.make_tensor_value_info(name, tensor.data_type, tensor.dims))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return heavy


def read_value(path, type_proto):
    """A TensorProto; lists and arrays for what holds tensors. None when there is no such file."""
    which = type_proto.WhichOneof("value")
    kinds = {"sequence_type": onnx.SequenceProto, "optional_type": onnx.OptionalProto, "map_type": onnx.MapProto}
    proto = kinds.get(which, onnx.TensorProto)()
    if not os.path.exists(path):
        return None
    with open(path, "rb") as file:
        proto.ParseFromString(file.read())
    read = {"sequence_type": numpy_helper.to_list, "optional_type": numpy_helper.to_optional}
    return read[which](proto) if which in read else proto


def node_cases():
    onnx_tree.make(TREE)
    folders = sorted(os.path.dirname(p) for p in glob.glob(os.path.join(TREE, "*/*/model.onnx")))
    for folder in folders[::16] if common.QUICK else folders:
        model = onnx.load(os.path.join(folder, "model.onnx"))
        data = os.path.join(folder, "test_data_set_0")
        read = lambda what, ports: {port.name: read_value(os.path.join(data, f"{what}_{i}.pb"), port.type)
                                    for i, port in enumerate(ports)}
        constants = {tensor.name for tensor in model.graph.initializer}
        yield Case(os.path.basename(folder), model,
                   read("input", [port for port in model.graph.input if port.name not in constants]),
                   read("output", model.graph.output), folder)


def feeds_for(name, path, model):
    """Inputs of the trained models, and of those whose file says what they are like; {} for others."""
    for known in ("det", "rec", "cls", "silero", "magika"):
        if os.path.realpath(common.PATHS[known]) == os.path.realpath(path):
            return common.feeds_of(known)[0]
    samples = [p.value for p in model.metadata_props if p.key == "sample_inputs"]
    random = np.random.default_rng(0)
    return {name: random.uniform(low, high, shape).astype(dtype) if np.dtype(dtype).kind == "f"
            else random.integers(int(low), int(high) + 1, shape).astype(dtype)
            for name, (dtype, shape, low, high) in json.loads(samples[0] if samples else "{}").items()}


def network_cases():
    paths = sorted(glob.glob(os.path.join(common.MODELS, "**/*.onnx"), recursive=True))
    paths += sorted(glob.glob(os.path.join(SHARED, "*.onnx")))
    for folder in filter(None, os.environ.get("PARTITA_TEST_MODELS", "").split(":")):
        paths += sorted(glob.glob(os.path.join(folder, "**/*.onnx"), recursive=True))
    for path in paths[::4] if common.QUICK else paths:
        name, model = os.path.relpath(path, os.path.dirname(os.path.dirname(path))), onnx.load(path)
        feeds = feeds_for(name, path, model)
        yield Case(name, model, {name: numpy_helper.from_array(array) for name, array in feeds.items()})


# ---- variants --------------------------------------------------------------------------------------


def copy_of(model):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def with_data(case):
    """Small integer inputs as initializers."""
    model = copy_of(case.model)
    for port in list(model.graph.input):
        tensor = case.inputs.get(port.name)
        if not isinstance(tensor, onnx.TensorProto) or tensor.data_type not in (2, 3, 4, 5, 6, 7, 9, 12, 13):
            continue
        if np.prod(tensor.dims, dtype=np.int64) <= SMALL:
            fixed = onnx.TensorProto()
            fixed.CopyFrom(tensor)
            fixed.name = port.name
            model.graph.initializer.append(fixed)
            model.graph.input.remove(port)
    return model


def each_dim(model, change):
    for i, port in enumerate(list(model.graph.input)):
        if port.type.HasField("tensor_type"):
            for k, dim in enumerate(port.type.tensor_type.shape.dim):
                change(dim, f"{i}_{k}")
    return model


def name_zero(dim, place):
    """Exporters write 0, -1 and "?" where they mean any, and Partita takes it so."""
    if dim.HasField("dim_value") and dim.dim_value <= 0 or dim.dim_param == "?":
        dim.dim_param = f"d{place}"


def name_all(dim, place):
    if not dim.dim_param:
        dim.dim_param = f"d{place}"


def variants(case):
    yield "plain", each_dim(copy_of(case.model), name_zero)
    if case.folder:
        yield "data", each_dim(with_data(case), name_zero)
        yield "symbols", each_dim(with_data(case), name_all)
    yield "open", each_dim(with_data(case), lambda dim, place: dim.Clear())
    bare = with_data(case)
    for port in bare.graph.input:
        forget(port.type)
    yield "bare", bare


PRIMES = [n for n in range(11, 9000) if all(n % k for k in range(2, int(n**0.5) + 1))]


def dims_given(case, model):
    """Dims of the inputs for evaluation: those of the test's, or a prime for each name. None: not known."""
    names, given = {}, {}
    for port in model.graph.input:
        wanted = type_of_proto(port.type)
        truth = case.inputs.get(port.name)
        dims = wanted[3] if wanted and wanted[0] == 1 else None
        for name in filter(lambda d: isinstance(d, str), dims or []):
            names.setdefault(name, PRIMES[len(names)])
        if isinstance(truth, onnx.TensorProto):
            given[port.name] = list(truth.dims)
        elif dims is not None and None not in dims:
            given[port.name] = [names.get(d, d) for d in dims]
    for port in model.graph.input:
        wanted, dims = type_of_proto(port.type), given.get(port.name)
        if dims is not None and wanted[3] is not None:
            names.update({w: d for w, d in zip(wanted[3], dims) if isinstance(w, str)})
    return given, names


# ---- both inferences -------------------------------------------------------------------------------


def walk(graph, path, found):
    for port in itertools.chain(graph.input, graph.output, graph.value_info):
        found[path, port.name] = type_of_proto(port.type)
    for node in graph.node:
        for name, body in graphs_of(node):
            first = next((o for o in node.output if o), "")
            walk(body, f"{path}/{first}.{name}", found)


def by_onnx(model):
    """{(path of the graph, value): type}, and what ONNX complains of."""
    complaint = None
    try:
        done = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:  # of several types
        complaint = str(error)
        try:
            done = shape_inference.infer_shapes(model, data_prop=True)
        except Exception:
            return {}, complaint
    found = {}
    walk(done.graph, "", found)
    return found, complaint


def pack(model, given):
    data = model.SerializeToString()
    parts = [struct.pack("<I", len(data)), data]
    parts.append(struct.pack("<I", len(model.graph.input)))
    for port in model.graph.input:
        dims = given.get(port.name)
        rank = -1 if dims is None else len(dims)
        parts.append(struct.pack("<IIi", 0, 0, rank) + struct.pack(f"<{max(rank, 0)}qI", *(dims or []), 0))
    return b"".join(parts)


def by_partita(blocks):
    """For each block ({(path, value): type}, complaint)."""
    with tempfile.NamedTemporaryFile(suffix=".bin") as file:
        file.write(struct.pack("<I", len(blocks)))
        for block in blocks:
            file.write(block)
        file.flush()
        done = subprocess.run([PROGRAM, "values", file.name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=900)
    assert done.returncode == 0, f"infer_dump: exit code {done.returncode}: {done.stderr.decode()[-2000:]}"
    answers = []
    for line in done.stdout.decode(errors="replace").split("\n"):
        fields = line.split("\t")
        if fields[0] == "model":
            answers.append([{}, None])
        elif fields[0] == "value":
            answers[-1][0][fields[1], fields[2]] = type_of_text(fields[3])
        elif fields[0]:
            answers[-1][1] = fields[-1]
    assert len(answers) == len(blocks), f"infer_dump: {len(answers)} answers for {len(blocks)} models"
    return answers


# ---- what runs give --------------------------------------------------------------------------------


def shape_of(value):
    """A tuple for a tensor, a list of them for a sequence; None for anything else."""
    if isinstance(value, list):
        return [shape_of(item) for item in value]
    if isinstance(value, onnx.TensorProto):
        return tuple(value.dims)
    return value.shape if isinstance(value, (np.ndarray, np.generic)) else None


def array_of(value):
    if not isinstance(value, onnx.TensorProto):
        return value
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.data_type)
    return np.zeros(value.dims, dtype) if is_hollow(value) else numpy_helper.to_array(value)


def run_by_ort(model, feeds):
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    return dict(zip(names, map(shape_of, session.run(names, feeds))))


def run_by_reference(model, feeds):
    from onnx.reference import ReferenceEvaluator
    found = ReferenceEvaluator(model).run(None, feeds, intermediate=True)
    return {name: shape_of(value) for name, value in found.items()}


def run(case):
    """{value of the main graph: shape}, by onnxruntime, or the reference where that does not take the model."""
    own = {name: shape_of(value) for name, value in case.outputs.items() if value is not None}
    if any(port.name not in case.inputs for port in case.model.graph.input):
        return own
    feeds = {port.name: array_of(case.inputs[port.name]) for port in case.model.graph.input}
    model, given = copy_of(case.model), {port.name for port in case.model.graph.output}
    for name in itertools.chain.from_iterable(node.output for node in model.graph.node):
        if name and name not in given:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    for way in (run_by_ort, run_by_reference):
        try:
            shapes = way(model, feeds)
        except Exception:  # of many types: the other one is tried
            continue
        # The reference gives [2, 1] in one test, where the test says [2].
        if all(shapes.get(name) == shape for name, shape in own.items()):
            return shapes
    return own
