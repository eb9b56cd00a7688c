# SPDX-License-Identifier: Apache-2.0
"""Makes docs/operators.md: which versions of which operators run, for which types, on which devices.

    python make_operators.py [--write]

Devices are asked through the plugin ABI alone. For each operator, each of its versions and each type that the version
takes, models of one node are made out of ONNX's own node tests (operators_seeds.py has those that ONNX does not test);
a type counts when one of them is a yes. Without --write the file that is there is compared: PASS or FAIL.
"""
import collections
import os
import re
import struct
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import operators_seeds
from e2e import onnx_tree

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
CACHE = os.environ.get("PARTITA_DEV_CACHE", os.path.join(ROOT, ".cache"))
BUILD = os.environ.get("PARTITA_BUILD", os.path.join(ROOT, "build/release"))
TARGET = os.path.join(ROOT, "docs", "operators.md")
DEVICES = ["cpu", "reference", "opencl", "vulkan"]
DOMAINS = {"": "ai.onnx", "ai.onnx.ml": "ai.onnx.ml", "ai.onnx.preview": "ai.onnx.preview",
           "ai.onnx.preview.training": "ai.onnx.preview.training"}
# Models tried for one operator, version and type; the first of them that a device takes settles it.
SEEDS = 10
SHORT = {"float": "f32", "double": "f64", "float16": "f16", "bfloat16": "bf16", "string": "string", "bool": "bool",
         "complex64": "c64", "complex128": "c128", "float8e4m3fn": "f8e4m3fn", "float8e4m3fnuz": "f8e4m3fnuz",
         "float8e5m2": "f8e5m2", "float8e5m2fnuz": "f8e5m2fnuz", "float8e8m0": "f8e8m0", "float6e2m3": "f6e2m3",
         "float6e3m2": "f6e3m2", "float4e2m1": "f4e2m1",
         **{f"{sign}int{bits}": f"{'u' if sign else 'i'}{bits}" for sign in ("", "u") for bits in (2, 4, 8, 16, 32, 64)}}
ORDER = list(SHORT.values())
FAMILIES = {"float": ["f32", "f64", "f16", "bf16"], "int": [f"{s}{b}" for s in "iu" for b in (8, 16, 32, 64)],
            "int4": ["i2", "i4", "u2", "u4"], "float8": ["f8e4m3fn", "f8e4m3fnuz", "f8e5m2", "f8e5m2fnuz"],
            "complex": ["c64", "c128"]}
# What libpartita does itself where no device takes it.
HOST = dict.fromkeys(["Constant", "If", "Loop", "Scan", "SequenceMap"], "(host)")
Seed = collections.namedtuple("Seed", "node inputs values")  # inputs: TypeProto or None; values: arrays by index


# ---- seeds ----------------------------------------------------------------------------------------


def seed_of(folder):
    """A test of one node, with the values of its inputs."""
    model = onnx.load(os.path.join(folder, "model.onnx"))
    if len(model.graph.node) != 1:
        return None
    node, types, values = model.graph.node[0], [], {}
    known = {v.name: (i, v.type) for i, v in enumerate(model.graph.input)}
    weights = {w.name: w for w in model.graph.initializer}
    for position, name in enumerate(node.input):
        if name in known:
            index, kind = known[name]
            types.append(kind)
            path = os.path.join(folder, "test_data_set_0", f"input_{index}.pb")
            if kind.WhichOneof("value") == "tensor_type" and os.path.exists(path):
                tensor = TensorProto()
                with open(path, "rb") as file:
                    tensor.ParseFromString(file.read())
                values[position] = numpy_helper.to_array(tensor)
        elif name in weights:
            values[position] = numpy_helper.to_array(weights[name])
            types.append(helper.make_tensor_type_proto(weights[name].data_type, values[position].shape))
        else:
            types.append(None)
    return Seed(node, types, values)


def collect_seeds():
    seeds = collections.defaultdict(list)
    tree = os.path.join(CACHE, "onnx-tests")
    onnx_tree.make(tree)
    for name in sorted(os.listdir(os.path.join(tree, "node"))):
        seed = seed_of(os.path.join(tree, "node", name))
        if seed:
            seeds[seed.node.domain, seed.node.op_type].append(seed)
    for node, inputs in operators_seeds.rows():
        values = {i: x for i, x in enumerate(inputs) if isinstance(x, np.ndarray)}
        types = [None if x is None else
                 helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
                 if isinstance(x, np.ndarray) else x for x in inputs]
        seeds[node.domain, node.op_type].insert(0, Seed(node, types, values))
    return seeds


# ---- a seed as a model of another version and type ------------------------------------------------


def element(text):
    """"tensor(float)" is "float", "seq(tensor(float))" too."""
    found = re.search(r"tensor\((\w+)\)", text)
    return found.group(1) if found else None


def varied_input(schema):
    """The type variable that has the most types among the inputs, and those types."""
    best, types = None, []
    constraints = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    for formal in schema.inputs:
        allowed = constraints.get(formal.type_str, [formal.type_str])
        names = sorted({element(t) for t in allowed if element(t)}, key=list(SHORT).index)
        if len(names) > len(types):
            best, types = formal.type_str, names
    return best, types


def formals(schema, count):
    """The formal parameter of each of `count` inputs; the last one may be variadic."""
    rows = list(schema.inputs)
    return [rows[min(i, len(rows) - 1)] if rows else None for i in range(count)]


def with_type(kind, dtype):
    copy = onnx.TypeProto()
    copy.CopyFrom(kind)
    at = copy
    while at.WhichOneof("value") in ("sequence_type", "optional_type"):
        at = getattr(at, at.WhichOneof("value")).elem_type
    if at.WhichOneof("value") == "tensor_type":
        at.tensor_type.elem_type = dtype
    return copy


# What first versions called an input or attribute of today, and what they need that no later one has.
OLD_NAMES = {"K": "k", "pads": "paddings"}
OLD_NEEDS = {"consumed_inputs": [0, 0, 0, 1, 1]}
AttributeProto = onnx.AttributeProto


def attribute_of(schema, name, value):
    """The value as the version's attribute of that name, or of its old name; None where it has none."""
    name = name if name in schema.attributes else OLD_NAMES.get(name, name)
    if name not in schema.attributes:
        return None
    wanted = int(schema.attributes[name].type)
    if wanted in (AttributeProto.INT, AttributeProto.FLOAT) and isinstance(value, list):
        value = value[0]
    if wanted == AttributeProto.STRING and name == "to":
        value = TensorProto.DataType.Name(value)
    return helper.make_attribute(name, float(value) if wanted == AttributeProto.FLOAT else value, attr_type=wanted)


def attributes_of(seed, schema, newest):
    """Old versions have attributes where newer ones have inputs: axes, pads, k."""
    made = [attribute_of(schema, a.name, helper.get_attribute_value(a)) for a in seed.node.attribute]
    names = {f.name for f in schema.inputs}
    for i, formal in enumerate(formals(newest, len(seed.inputs))):
        if formal and formal.name not in names and i in seed.values and seed.values[i].size:
            made.append(attribute_of(schema, formal.name, seed.values[i].reshape(-1).tolist()))
    given = {a.name for a in made if a}
    made += [helper.make_attribute(k, v) for k, v in OLD_NEEDS.items()
             if k in schema.attributes and schema.attributes[k].required and k not in given]
    return [a for a in made if a]


def variant(seed, schema, newest, variable, dtype, constants):
    """A model with the node at the schema's version, inputs of the variable as `dtype`; None where it can't be made.
    constants: small inputs behind the first are initializers, not inputs."""
    node = onnx.NodeProto()
    node.CopyFrom(seed.node)
    del node.attribute[:]
    node.attribute.extend(attributes_of(seed, schema, newest))
    count = min(len(seed.inputs), schema.max_input)
    if count < schema.min_input:
        return None
    del node.input[count:]
    del node.output[schema.max_output:]
    inputs, weights = [], []
    for i, formal in enumerate(formals(schema, count)):
        kind = seed.inputs[i]
        if kind is None:
            node.input[i] = ""
            continue
        varied = formal.type_str == variable and dtype is not None
        if varied:
            kind = with_type(kind, dtype)
        node.input[i] = f"in{i}"
        if constants and i > 0 and i in seed.values and seed.values[i].size <= 64:
            value = seed.values[i]
            if varied:
                with np.errstate(all="ignore"):
                    value = value.astype(helper.tensor_dtype_to_np_dtype(dtype)) if dtype != TensorProto.STRING else value
            weights.append(numpy_helper.from_array(value, f"in{i}"))
        else:
            inputs.append(helper.make_value_info(f"in{i}", kind))
    outputs = [onnx.ValueInfoProto(name=o) for o in node.output if o]
    graph = helper.make_graph([node], "g", inputs, outputs, weights)
    versions = {node.domain: schema.since_version}
    versions.setdefault("", 17)
    return helper.make_model(graph, ir_version=10,
                             opset_imports=[helper.make_opsetid(d, v) for d, v in versions.items()])


def models_of(seeds, schema, newest, variable, dtype):
    made = set()
    for seed in seeds[:SEEDS]:
        for constants in (False, True):
            try:
                model = variant(seed, schema, newest, variable, dtype, constants)
            except (TypeError, ValueError, OverflowError, AttributeError):
                continue  # the value has no such type
            data = model.SerializeToString() if model else b""
            if data and data not in made:
                made.add(data)
                yield data


# ---- questions and answers ------------------------------------------------------------------------


def ask(models):
    """For each model the devices that said yes; None where the model was not accepted."""
    program = os.path.join(BUILD, "tests", "ask_dump")
    with tempfile.NamedTemporaryFile() as file:
        for data in models:
            file.write(struct.pack("<I", len(data)) + data)
        file.flush()
        done = subprocess.run([program, file.name, *DEVICES], capture_output=True, text=True, timeout=900)
    lines = done.stdout.splitlines()
    absent = re.match(rf"({'|'.join(DEVICES)}): (.*)", done.stderr)
    if done.returncode != 0 and absent:
        print(f"SKIP[driver:{absent.group(1)}] docs/operators.md: {absent.group(2)}")
        raise SystemExit(1 if "--write" in sys.argv else 0)
    if done.returncode != 0 or len(lines) != len(models):
        raise SystemExit(f"ask_dump: exit {done.returncode}, {len(lines)} answers: {done.stderr[-400:]}")
    return [None if line.startswith("-") else {d for d, letter in zip(DEVICES, line) if letter == "y"} for line in lines]


def known_versions():
    """Versions of our own rows: first and last."""
    program = os.path.join(BUILD, "tests", "ask_dump")
    rows = collections.defaultdict(list)
    for line in subprocess.run([program, "rows"], capture_output=True, text=True, check=True).stdout.splitlines():
        domain, name, since, until = line.split("\t")
        rows[domain, name].append((int(since), int(until)))
    return rows


def questions():
    """(domain, operator) -> version -> type -> models; a type of None where inputs have none to vary."""
    seeds, schemas = collect_seeds(), collections.defaultdict(dict)
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain in DOMAINS and not schema.deprecated:
            schemas[schema.domain, schema.name][schema.since_version] = schema
    asked = {}
    for key, versions in schemas.items():
        newest = versions[max(versions)]
        asked[key] = {}
        for version, schema in sorted(versions.items()):
            variable, types = varied_input(schema)
            asked[key][version] = {t: list(models_of(seeds[key], schema, newest, variable,
                                                     None if t is None else getattr(TensorProto, t.upper())))
                                   for t in types or [None]}
    return schemas, asked


def answers(asked):
    """(domain, operator) -> device -> version -> types."""
    flat = [(key, version, kind, data) for key, versions in asked.items() for version, kinds in versions.items()
            for kind, models in kinds.items() for data in models]
    found = collections.defaultdict(lambda: {d: collections.defaultdict(set) for d in DEVICES})
    for (key, version, kind, _), yes in zip(flat, ask([row[3] for row in flat])):
        for device in yes or ():
            found[key][device][version].add(kind)
    return found


# ---- the document ---------------------------------------------------------------------------------


def ranges(versions, every):
    """"1-6, 13": neighbours of the operator's own list of versions are joined."""
    runs = []
    for version in every:
        if version not in versions:
            runs.append(None)
        elif runs and runs[-1]:
            runs[-1][1] = version
        else:
            runs.append([version, version])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in filter(None, runs))


def short(types):
    """Short names in a fixed order; families that are there as a whole by one name."""
    left = {SHORT[t] for t in types if t}
    words = []
    for name, members in FAMILIES.items():
        if left.issuperset(members):
            words.append(name)
            left.difference_update(members)
    return " ".join(words + sorted(left, key=ORDER.index))


def cell(of_device, types, every):
    """Types of the newest version that the device takes, and the versions where it does not take all."""
    taken = sorted(v for v in every if of_device[v])
    if not taken:
        return ""
    of_newest = of_device[taken[-1]]
    text = "all" if of_newest.issuperset(types) else short(of_newest) or "all"
    return text if taken == every else f"{text} ({ranges(taken, every)})"


def row(key, schemas, found, known):
    every = sorted(schemas)
    types = varied_input(schemas[every[-1]])[1]
    cells = [cell(found[d], set(types), every) or HOST.get(key[1], "") for d in DEVICES]
    cells = ["=" if i and c and c == cells[i - 1] else c for i, c in enumerate(cells)]
    strange = [v for v in every if not any(a <= v <= b for a, b in known)]
    versions = ", ".join(map(str, every)) + (f"; not {', '.join(map(str, strange))}" if strange else "")
    return f"| {key[1]} | {versions} | {short(types)} | {' | '.join(cells)} |"


def document(schemas, found, rows):
    families = "; ".join(f"`{name}` {' '.join(members)}" for name, members in FAMILIES.items())
    lines = ["# Operators", "",
             "Made by `./dev docs`: the plugins are asked, through the ABI, about nodes of each operator, version and type of",
             "the `onnx` package. Not to be edited; a test fails when it is no longer what they answer.", "",
             "Types are those of the operator's type variable that has the most, in the newest version; a cell says which of",
             "them the device takes, and behind them the versions, where it does not take all. `=`: as in the cell before.",
             "`(host)`: libpartita runs it itself, its bodies on the devices. Empty: a no. `cuda` is asked only where there",
             f"is a GPU; `sim` takes what `cpu` takes. Families of types: {families}.", ""]
    for device in DEVICES:
        whole = sum(1 for key in schemas for v in schemas[key] if found[key][device][v])
        lines.append(f"- `{device}` takes {whole} of {sum(map(len, schemas.values()))} pairs of operator and version")
    for domain, title in DOMAINS.items():
        keys = sorted(k for k in schemas if k[0] == domain)
        lines += ["", f"## {title}", "",
                  f"{len(keys)} operators, {sum(len(schemas[k]) for k in keys)} pairs of operator and version.", "",
                  "| operator | versions | types | " + " | ".join(DEVICES) + " |", "|---" * (len(DEVICES) + 3) + "|"]
        lines += [row(key, schemas[key], found[key], rows[key]) for key in keys]
    beyond = sorted(key for key in rows if key[0] not in DOMAINS)
    if beyond:
        lines += ["", "## Beyond the standard", "", "Operators with rows of our own; nobody is asked about them here.", "",
                  "| domain | operator | versions |", "|---|---|---|"]
        lines += [f"| {key[0]} | {key[1]} | {', '.join(str(first) for first, _ in rows[key])} |" for key in beyond]
    return "\n".join(lines) + "\n"


def main():
    schemas, asked = questions()
    text = document(schemas, answers(asked), known_versions())
    if "--write" in sys.argv:
        with open(TARGET, "w", encoding="utf-8") as file:
            file.write(text)
        return 0
    old = ""
    if os.path.exists(TARGET):
        with open(TARGET, encoding="utf-8") as file:
            old = file.read()
    if old == text:
        print("PASS docs/operators.md is what the plugins say")
        return 0
    differ = [line.split("|")[1].strip() for line in set(text.splitlines()) ^ set(old.splitlines()) if line.startswith("|")]
    print(f"FAIL docs/operators.md: run ./dev docs; {', '.join(sorted(set(differ))[:12])} differ")
    return 1


if __name__ == "__main__":
    sys.exit(main())
