# SPDX-License-Identifier: Apache-2.0
"""Writes the models that the fuzzer mutates: small ones of every operator in every version.

    python seeds.py TARGET

They come from ONNX's node tests, from the cases of the cpu plugin's kernels, from the operators that make_operators.py
and test_contrib.py have nodes for, and from the schemas themselves (every version, required attributes, small inputs). A seed is one model
with inputs; the format is the one that corpus.c reads.
"""
import glob
import importlib
import os
import struct
import sys
import types

import numpy as np
import onnx
from onnx import helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
CACHE = os.environ.get("PARTITA_DEV_CACHE", os.path.join(os.path.dirname(TESTS), ".cache"))
PER_OPERATOR = 96  # seeds kept of one operator from one source
LARGEST = 24 * 1024  # bytes of a seed
TENSOR, SPARSE, SEQUENCE, MAP, OPTIONAL = 1, 2, 3, 4, 5
KINDS = {"tensor_type": TENSOR, "sparse_tensor_type": SPARSE, "sequence_type": SEQUENCE, "map_type": MAP,
         "optional_type": OPTIONAL}
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(int32)": np.int32,
         "tensor(bool)": np.bool_, "tensor(string)": object, "tensor(uint8)": np.uint8, "tensor(int8)": np.int8,
         "tensor(float16)": np.float16}


def record(model, inputs):
    """inputs: (kind, bytes) of each model input."""
    data = model.SerializeToString()
    out = struct.pack("<II", len(data), len(inputs)) + data
    return out + b"".join(struct.pack("<II", kind, len(value)) + value for kind, value in inputs)


class Seeds:
    def __init__(self):
        self.by_operator = {}

    def add(self, source, domain, op, seed):
        if len(seed) <= LARGEST:
            self.by_operator.setdefault((domain, op), {}).setdefault(source, []).append(seed)

    def write(self, path):
        out, count = [], 0
        for (domain, op), sources in sorted(self.by_operator.items()):
            kept = [seeds[i * len(seeds) // min(len(seeds), PER_OPERATOR)] for seeds in sources.values()
                    for i in range(min(len(seeds), PER_OPERATOR))]
            for text in (domain, op):
                out.append(struct.pack("<I", len(text.encode())) + text.encode())
            out.append(struct.pack("<I", len(kept)))
            out += kept
            count += len(kept)
        with open(path + ".new", "wb") as file:
            file.write(b"PTF1" + struct.pack("<I", len(self.by_operator)) + b"".join(out))
        os.replace(path + ".new", path)
        print(f"{len(self.by_operator)} operators, {count} seeds, {os.path.getsize(path)} bytes")


def kind_of(info):
    return KINDS.get(info.type.WhichOneof("value"), TENSOR)


def operators_of(graph):
    return {("" if n.domain == "ai.onnx" else n.domain, n.op_type) for n in graph.node}


# ---- ONNX's node tests -------------------------------------------------------------------------------


def from_tree(seeds):
    sys.path.insert(0, os.path.join(TESTS, "e2e"))
    import onnx_tree
    tree = os.path.join(CACHE, "onnx-tests")
    onnx_tree.make(tree)
    for path in sorted(glob.glob(os.path.join(tree, "*", "*", "model.onnx"))):
        data = os.path.join(os.path.dirname(path), "test_data_set_0")
        files = sorted(glob.glob(os.path.join(data, "input_*.pb")), key=lambda f: int(f.rsplit("_", 1)[1][:-3]))
        if os.path.getsize(path) + sum(map(os.path.getsize, files)) > LARGEST:
            continue
        model = onnx.load(path)
        names = {i.name for i in model.graph.initializer}
        infos = [i for i in model.graph.input if i.name not in names]
        if len(infos) != len(files):
            continue
        inputs = [(kind_of(info), open(file, "rb").read()) for info, file in zip(infos, files)]
        few = len(model.graph.node) <= 3
        for domain, op in operators_of(model.graph):
            seeds.add("few" if few else "many", domain, op, record(model, inputs))


# ---- the cases of the cpu plugin ---------------------------------------------------------------------


def typed(value):
    """TypeProto, kind and proto of a value as cases give it; None where it has none."""
    if isinstance(value, list):
        optional = type(value).__name__ == "Optional"
        if not value or isinstance(value[0], list):
            return None
        element = typed(value[0])
        if element is None:
            return None
        arrays = [np.asarray(v) for v in value]
        if optional:
            return (helper.make_optional_type_proto(element[0]), OPTIONAL,
                    numpy_helper.from_optional(arrays[0], "").SerializeToString())
        return (helper.make_sequence_type_proto(element[0]), SEQUENCE,
                numpy_helper.from_list(arrays, "").SerializeToString())
    array = np.asarray(value)
    if array.dtype.kind in "OUS":
        array = array.astype(object)
    proto = numpy_helper.from_array(array)
    return helper.make_tensor_type_proto(proto.data_type, list(array.shape)), TENSOR, proto.SerializeToString()


def one_node(op, domain, opset, inputs, attributes, outputs):
    names, infos, given = [], [], []
    for i, value in enumerate(inputs):
        names.append("" if value is None else f"in{i}")
        if value is not None:
            found = typed(value)
            if found is None:
                return None
            infos.append(helper.make_value_info(f"in{i}", found[0]))
            given.append(found[1:])
    node = helper.make_node(op, names, [f"out{i}" for i in range(outputs)], domain=domain, **attributes)
    graph = helper.make_graph([node], "seed", infos, [helper.make_empty_tensor_value_info(n) for n in node.output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)])
    return record(model, given)


def from_cases(seeds):
    folder = os.path.join(TESTS, "plugins/cpu")
    sys.path.insert(0, folder)
    import make_cases

    def case(op, opset, inputs, attrs=None, outputs=1, domain="", **_):
        try:
            seed = one_node(op, domain, opset, inputs, attrs or {}, outputs)
        except (TypeError, ValueError, KeyError, AttributeError, RuntimeError):
            seed = None  # a value that has no proto of its own
        if seed is not None:
            seeds.add("cases", domain, op, seed)

    for path in sorted(glob.glob(os.path.join(folder, "cases_*.py"))):
        module = importlib.import_module(os.path.basename(path)[:-3])
        assert isinstance(module, types.ModuleType) and make_cases
        module.make(case, np.random.default_rng(1))


def from_operators(seeds):
    sys.path.insert(0, TESTS)
    import operators_seeds
    for node, inputs in operators_seeds.rows():
        newest = onnx.defs.onnx_opset_version() if node.domain in ("", "ai.onnx") else 1
        values = [np.zeros((1,), np.float32) if v is not None and not isinstance(v, np.ndarray) else v for v in inputs]
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        try:
            seeds.add("operators", node.domain, node.op_type, one_node(
                node.op_type, node.domain, newest, values, attributes, len(node.output)))
        except (TypeError, ValueError):
            continue


def from_contrib(seeds):
    sys.path.insert(0, os.path.join(TESTS, "e2e"))
    import test_contrib
    for case in test_contrib.CASES + [row[1:] for row in test_contrib.OWN]:
        model, feeds = test_contrib.build(case)
        node = model.graph.node[0]
        given = [(TENSOR, numpy_helper.from_array(feeds[port.name]).SerializeToString()) for port in model.graph.input]
        seeds.add("contrib", node.domain, node.op_type, record(model, given))


# ---- the schemas -------------------------------------------------------------------------------------


def attribute_value(rng, kind):
    name = str(kind).rsplit(".", 1)[-1]
    if name == "INT":
        return int(rng.choice([0, 1, 2, 3]))
    if name == "FLOAT":
        return float(rng.choice([0.0, 0.5, 1.0, 2.0]))
    if name == "STRING":
        return str(rng.choice(["NONE", "linear", "constant", "a", "LESS"]))
    if name == "INTS":
        return [int(v) for v in rng.integers(0, 3, int(rng.integers(1, 5)))]
    if name == "FLOATS":
        return [float(v) for v in rng.standard_normal(int(rng.integers(1, 5)))]
    if name == "STRINGS":
        return ["a", "b", "c"][:int(rng.integers(1, 4))]
    if name == "TENSOR":
        return numpy_helper.from_array(rng.standard_normal((1,)).astype(np.float32))
    if name in ("GRAPH", "GRAPHS"):
        node = helper.make_node("Identity", ["in0"], ["inner"])
        return helper.make_graph([node], "body", [], [helper.make_empty_tensor_value_info("inner")])
    return None


def value_of(rng, kind, shape):
    if kind == object:
        return np.array(rng.choice(["a", "b", "cde", "1.5"], shape), object).reshape(shape)
    if np.dtype(kind).kind == "f":
        return rng.standard_normal(shape).astype(kind)
    return rng.integers(0, 3, shape).astype(kind)


def schema_seed(schema, rng, fill):
    constraints = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    chosen, inputs = {}, []
    rank = int(rng.integers(0, 6))
    shape = tuple(int(v) for v in rng.integers(1, 5, rank))
    most = min(schema.max_input, 6)
    for i in range(int(rng.integers(schema.min_input, max(most, schema.min_input) + 1))):
        slot = schema.inputs[min(i, len(schema.inputs) - 1)]
        allowed = [t for t in constraints.get(slot.type_str, [slot.type_str]) if t in TYPES] or ["tensor(float)"]
        kind = chosen.setdefault(slot.type_str, TYPES[str(rng.choice(allowed))])
        small = np.dtype(kind).kind in "iub" and rng.random() < 0.6
        inputs.append(value_of(rng, kind, (int(rng.integers(1, 5)),) if small else shape))
    attributes = {}
    for name, row in schema.attributes.items():
        if row.required or rng.random() < fill:
            value = attribute_value(rng, row.type)
            if value is not None:
                attributes[name] = value
    outputs = int(rng.integers(max(schema.min_output, 1), max(min(schema.max_output, 4), 1) + 1))
    return one_node(schema.name, schema.domain, schema.since_version, inputs, attributes, outputs)


def from_schemas(seeds):
    rng = np.random.default_rng(7)
    for schema in onnx.defs.get_all_schemas_with_history():
        for fill in (0.0, 0.2, 0.6):
            seed = schema_seed(schema, rng, fill)
            if seed is not None:
                seeds.add(f"schema {schema.since_version}", schema.domain, schema.name, seed)


def main():
    np.seterr(all="ignore")
    seeds = Seeds()
    for source in (from_tree, from_cases, from_operators, from_contrib, from_schemas):
        source(seeds)
    seeds.write(sys.argv[1])


if __name__ == "__main__":
    main()
