# SPDX-License-Identifier: Apache-2.0
"""ONNX's operators that are functions, on devices that lack them: their bodies in real plans, on two devices.

Numbers are those of ONNX's own node tests. Two simulated devices leave the operator out, so that a case which runs was
expanded; once they take everything else, once nothing but the operators of the body. Placement is at random, and over
the seeds both devices compute.
"""
import json
import os
import subprocess

import onnx

import common
import onnx_tree

TREE = os.path.join(common.CACHE, "onnx-tests")
onnx_tree.make(TREE)
cases = common.Cases()
SEEDS = (1, 2) if common.QUICK else (1, 2, 3, 4, 5)
# Operators that simulated devices do not run: the host does, so that it needs no body of theirs.
HOST = {"If", "Loop", "Scan", "SequenceMap"}
# Functions of ONNX that have no body here.
LACKING = {"CausalConvWithState", "LinearAttention", "Range"}


def operators_of(nodes):
    """Of the nodes and of their bodies."""
    for node in nodes:
        yield node.op_type
        for attribute in node.attribute:
            for graph in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
                yield from operators_of(graph.node)


def type_of(graph, name):
    return next((value.type for value in graph.input if value.name == name), onnx.TypeProto()).SerializeToString()


def function_of(node, version, graph):
    """The body of the node as the model's opset has it, as ONNX builds it; None when the operator is no function."""
    try:
        schema = onnx.defs.get_schema(node.op_type, version, "")
    except onnx.defs.SchemaError:
        return None
    function = onnx.FunctionProto()
    if schema.has_function:
        function.ParseFromString(schema.get_function_with_opset_version(schema.function_opset_versions[0]))
        return function
    if not schema.has_context_dependent_function or node.op_type in HOST:
        return None
    function.ParseFromString(schema.get_context_dependent_function_with_opset_version(
        max(v for v in schema.context_dependent_function_opset_versions), node.SerializeToString(),
        [type_of(graph, name) for name in node.input]))
    return function


def primitives(function):
    """Operators of the body; a function within it may be taken as it is."""
    return set(operators_of(function.node))


def find_cases():
    """Folders by operator, of node tests that are one node which is a function."""
    found = {}
    for name in sorted(os.listdir(os.path.join(TREE, "node"))):
        folder = os.path.join(TREE, "node", name)
        model = onnx.load(os.path.join(folder, "model.onnx"))
        version = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
        if len(model.graph.node) != 1 or model.graph.node[0].domain not in ("", "ai.onnx"):
            continue
        op = model.graph.node[0].op_type
        function = function_of(model.graph.node[0], version, model.graph)
        if function is not None and op not in LACKING:
            found.setdefault(op, []).append((folder, primitives(function)))
    return found


def options(op, allowed, seed):
    words = ["--devices", "sim:0,sim:1", "--pin", f"random:{seed}", "--json"]
    for device in ("sim:0", "sim:1"):
        words += ["--option", f"{device}.ops={','.join(sorted(allowed))}" if allowed else f"{device}.not_ops={op}"]
    return words


def placed(folder, op, allowed, seed):
    document = common.partita("plan", os.path.join(folder, "model.onnx"), *options(op, allowed, seed), json_output=True)
    assert [node["op"] for node in document["nodes"]] == [op], document["nodes"]
    return {cluster["device"] for cluster in document["clusters"]}


def check(op, rows, only_body):
    used = set()
    for seed in SEEDS:
        for allowed in sorted({tuple(sorted(body)) for _, body in rows}) if only_body else [()]:
            folders = [folder for folder, body in rows if not only_body or tuple(sorted(body)) == allowed]
            done = subprocess.run([common.COMMAND, "test", *options(op, allowed, seed), *folders], capture_output=True,
                                  text=True, timeout=600)
            document = json.loads(done.stdout.strip().splitlines()[-1])
            assert len(document["cases"]) == len(folders), document
            wrong = [f"{os.path.basename(c['case'])}: {c['text']}" for c in document["cases"] if not c["passed"]]
            assert not wrong, f"seed {seed}: {len(wrong)} of {len(folders)}: {wrong[0]}"
            used |= placed(folders[0], op, allowed, seed)
    size = len(rows[0][1] - HOST)
    assert used <= {"sim:0", "sim:1"} and (size < 2 or len(used) == 2), (used, rows[0][1])


def main():
    found = find_cases()
    assert {"MeanVarianceNormalization", "AffineGrid", "HardSwish", "DynamicQuantizeLinear"} <= set(found), sorted(found)
    for op, rows in found.items():
        rows = rows[:2] if common.QUICK else rows
        cases.run(f"{op}, {len(rows)} cases, nobody has it", check, op, rows, False)
        cases.run(f"{op}, {len(rows)} cases, devices have the body's operators only", check, op, rows, True)
    depend = {schema.name for schema in onnx.defs.get_all_schemas()
              if schema.has_context_dependent_function and schema.domain == ""} - HOST
    without_numbers = depend - LACKING - set(found)
    assert without_numbers <= {"Bernoulli"}, without_numbers
    cases.skip("functions that depend on their node", f"{len(LACKING)} operators have no body here: {', '.join(sorted(LACKING))}")
    cases.end()


main()
