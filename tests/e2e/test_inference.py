# SPDX-License-Identifier: Apache-2.0
"""Type and shape inference against ONNX's own (strict, with data propagation, types checked) and against what runs give.

Models: ONNX's node tests, the trained models, the exported networks of a folder beside the project where it is there,
those of the folders in PARTITA_TEST_MODELS. What a file says about computed values is taken out first. Variants:

plain    the inputs as the file has them
data     small integer inputs are initializers of the test's values
symbols  the same, and every other dim of an input is a name of its own
open     every dim of an input is unknown
bare     no input has a shape

In each, of every value of every graph: what ONNX knows, Partita knows too, and equally. A name of ONNX may be a number
or an expression here, which is worth the same for the test's shapes; a name that ONNX made up and hands on from an
input to an output stays linked. inference_differences.txt lists where ONNX is wrong, and why; where a run tells, it must
contradict ONNX. Numbers, and dims evaluated for the test's inputs, are those of a run: of the test's outputs, and of all
values of the main graph as onnxruntime (or else ONNX's reference) computes them.

Wrong dims, ranks and types of inputs of single nodes: what ONNX refuses, Partita refuses while it loads; what Partita
refuses while it loads, onnxruntime does not run.

Prints a line PASS or FAIL for each operator; `--all` prints every complaint.
"""
import collections
import fnmatch
import os
import sys

import numpy as np
import onnx

import common
from inference_models import (array_of, by_onnx, by_partita, copy_of, dims_given, graphs_of, network_cases, node_cases,
                              pack, run, run_by_ort, variants)

LIST = os.path.join(common.TESTS, "e2e/inference_differences.txt")


# ---- comparing -------------------------------------------------------------------------------------


def fault_of_dims(ours, theirs, names):
    if theirs is None:
        return ""
    if ours is None:
        return "rank unknown"
    if len(ours) != len(theirs):
        return "rank"
    for k, (a, b) in enumerate(zip(ours, theirs)):
        if isinstance(b, int) and a != b:
            return f"dim {k} " + ("differs" if isinstance(a, int) else "unknown")
        if b is not None and a is None:
            return f"dim {k} unknown"
        if b in names and isinstance(a, tuple) and a[1] != names[b]:
            return f"dim {k}: {b} is {names[b]}"
    return ""


def fault_of_types(ours, theirs, names):
    """What is less or different in ours; "" when nothing is."""
    if theirs is None:
        return ""
    if ours is None:
        return "type unknown"
    if ours[0] != theirs[0]:
        return f"kind {ours[0]} for {theirs[0]}"
    if theirs[1] and ours[1] != theirs[1]:
        return f"type {ours[1]} for {theirs[1]}"
    if theirs[2] and ours[2] != theirs[2]:
        return f"type of keys {ours[2]} for {theirs[2]}"
    return fault_of_dims(ours[3], theirs[3], names) or fault_of_types(ours[4], theirs[4], names)


def producers(graph, path, found):
    """{(path, value): node, its operator for inputs of bodies}"""
    for node in graph.node:
        for output in node.output:
            found[path, output] = node
        for name, body in graphs_of(node):
            first = next((o for o in node.output if o), "")
            inside = f"{path}/{first}.{name}"
            found.update({(inside, port.name): node for port in body.input})
            producers(body, inside, found)


def dims_of_inputs(node, path, found):
    """All dims of a node's inputs, which may be values of a graph around its own."""
    dims = []
    for name in node.input:
        around = path
        while around and (around, name) not in found:
            around = around.rpartition("/")[0]
        kind = found.get((around, name))
        dims += kind[3] or [] if kind else []
    return dims


def fault_of_link(node, path, ours, theirs, got, wanted):
    """Names that ONNX made up: one that an output has from an input is at least some dim of an input for us, too."""
    if not ours or not theirs or ours[3] is None or theirs[3] is None or any(graphs_of(node)):
        return ""
    made = set(filter(lambda d: isinstance(d, str), dims_of_inputs(node, path, wanted)))
    given = {dim[0] for dim in dims_of_inputs(node, path, got) if isinstance(dim, tuple)}
    for k, (a, b) in enumerate(zip(ours[3], theirs[3])):
        if b in made and isinstance(a, tuple) and a[0][0] == "d" and a[0] not in given:
            return f"dim {k} is no longer {b}"
    return ""


def producer_of(model, name):
    return next((node.op_type for node in model.graph.node if name in node.output), "input")


def text_of(kind):
    if kind is None:
        return "?"
    dims = "" if kind[3] is None else str(kind[3])
    return f"{kind[0]}.{kind[1]}{dims}" + (f"({text_of(kind[4])})" if kind[4] else "")


def contradicts(theirs, shape):
    """True when ONNX's type is not that of a run."""
    if not isinstance(shape, tuple) or theirs[3] is None:
        return False
    return len(theirs[3]) != len(shape) or any(isinstance(a, int) and a != b for a, b in zip(theirs[3], shape))


class Judge:
    def __init__(self):
        self.complaints = collections.defaultdict(list)  # of an operator
        self.counts, self.judged = collections.Counter(), collections.Counter()
        self.listed = {}  # (operator, case): how often
        with open(LIST) as file:
            for line in file:
                if line.strip() and not line.startswith("#"):
                    self.listed[tuple(line.split()[:2])] = 0

    def is_listed(self, operator, case):
        for key in self.listed:
            if fnmatch.fnmatch(operator, key[0]) and fnmatch.fnmatch(case, key[1]):
                self.listed[key] += 1
                return True
        return False

    def against_onnx(self, case, variant, model, ours, theirs, shapes):
        (got, failure), (wanted, complaint) = ours, theirs
        made, names = {}, dims_given(case, model)[1]
        producers(model.graph, "", made)
        self.counts["models, " + ("neither takes" if failure and complaint else "only ONNX takes" if failure
                                  else "only Partita takes" if complaint else "both take")] += 1
        if failure:
            if not complaint:
                self.complaints[model.graph.node[-1].op_type].append(f"{case.name}, {variant}: refused: {failure}")
            return
        for key, theirs_type in wanted.items():
            if theirs_type is None:
                continue
            operator = made[key].op_type if key in made else "input"
            self.counts["values"] += 1
            self.judged[operator] += 1
            fault = fault_of_types(got.get(key), theirs_type, names) if key in got else "no such value"
            if not fault and key in made:
                fault = fault_of_link(made[key], key[0], got[key], theirs_type, got, wanted)
            if not fault:
                continue
            shape = shapes.get(key[1]) if key[0] == "" else None
            if self.is_listed(operator, case.name):
                self.counts["values where ONNX is wrong, listed"] += 1
                if shape is None or contradicts(theirs_type, shape):
                    continue
                fault += " (listed, but the run does not contradict ONNX)"
            self.complaints[operator].append(f"{case.name}, {variant}: {key[0]} '{key[1]}': {fault}: "
                                             f"{text_of(got.get(key))} for {text_of(theirs_type)}")

    def against_run(self, case, variant, ours, shapes):
        for name, shape in shapes.items():
            kind = ours[0].get(("", name))
            items = [(kind, shape)] if isinstance(shape, tuple) else [(kind and kind[4], item) for item in shape or []]
            for of_item, dims in items:
                if of_item is None or of_item[0] != 1 or of_item[3] is None or dims is None:
                    continue
                self.counts["values against runs"] += 1
                known = [d[1] if isinstance(d, tuple) else d for d in of_item[3]]
                if len(known) != len(dims) or any(a is not None and a != b for a, b in zip(known, dims)):
                    operator = producer_of(case.model, name)
                    self.complaints[operator].append(f"{case.name}, {variant}: '{name}': {known}, the run gives {dims}")

    def end(self):
        for operator in sorted(set(self.judged) | set(self.complaints)):
            complaints = self.complaints.get(operator, [])
            if not complaints:
                print(f"PASS inference of {operator}: {self.judged[operator]} values")
                continue
            print(f"FAIL inference of {operator}: {len(complaints)} complaints, first {complaints[0][:400]}")
            for complaint in complaints[1:] if "--all" in sys.argv else []:
                print("    ", complaint)
        unused = [key for key, count in self.listed.items() if not count]
        if unused and not common.QUICK:
            print(f"FAIL {os.path.basename(LIST)}: {unused} are of no use")
        for what in sorted(self.counts):
            print(f"{what}: {self.counts[what]}")


# ---- refused ---------------------------------------------------------------------------------------


def mutations(case):
    """The model with one input that is of another type, rank or dim."""
    for i, port in enumerate(case.model.graph.input):
        if not port.type.HasField("tensor_type"):
            continue
        ways = {"type": lambda t: setattr(t, "elem_type", 6 if t.elem_type == 1 else 1),
                "rank + 1": lambda t: setattr(t.shape.dim.add(), "dim_value", 2),
                "rank - 1": lambda t: t.shape.dim.pop() if t.shape.dim else None}
        for k in range(len(port.type.tensor_type.shape.dim)):
            ways[f"dim {k} + 1"] = lambda t, k=k: setattr(t.shape.dim[k], "dim_value", t.shape.dim[k].dim_value + 1)
        for name, change in ways.items():
            model = copy_of(case.model)
            change(model.graph.input[i].type.tensor_type)
            if model.graph.input[i] != port:
                yield f"input {i}: {name}", model


def feeds_of(case, model):
    """The test's own values where they fit the inputs, else zeros; None where an input is no tensor."""
    feeds = {}
    for port in model.graph.input:
        kind = port.type.tensor_type
        if not kind.elem_type:
            return None
        dims, dtype = [d.dim_value for d in kind.shape.dim], onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        own = case.inputs.get(port.name)
        fits = isinstance(own, onnx.TensorProto) and list(own.dims) == dims and own.data_type == kind.elem_type
        feeds[port.name] = array_of(own) if fits else np.zeros(dims, dtype)
    return feeds


def onnxruntime_runs(case, model):
    try:
        run_by_ort(model, feeds_of(case, model))
    except Exception:  # of many types: it does not run
        return False
    return True


def refusals(cases, judge):
    """The tests of single nodes; of each operator one with --quick."""
    rows, seen = [], collections.Counter()
    for case in cases:
        if case.folder and len(case.model.graph.node) == 1:
            operator = case.model.graph.node[0].op_type
            seen[operator] += 1
            if seen[operator] == 1 or not common.QUICK:
                rows += [(case, what, model) for what, model in mutations(case)]
    for (case, what, model), ours in zip(rows, by_partita([pack(model, {}) for _, _, model in rows])):
        operator, theirs = model.graph.node[0].op_type, by_onnx(model)[1]
        judge.counts["wrong inputs"] += 1
        way = f"{case.name}: {what}"
        if theirs and ours[1]:
            judge.counts["wrong inputs that both refuse to load"] += 1
        elif theirs:
            listed = judge.is_listed(operator, "loads:" + case.name)
            judge.counts["wrong inputs that only ONNX refuses" + (", listed" if listed else "")] += 1
            if not listed:
                judge.complaints[operator].append(f"{way}: loads, ONNX says {' '.join(theirs.split())[:250]}")
        elif ours[1]:
            judge.counts["wrong inputs that only Partita refuses at once"] += 1
            if onnxruntime_runs(case, model):
                judge.complaints[operator].append(f"{way}: runs in onnxruntime, Partita says {ours[1][:250]}")


def inference(cases, judge):
    rows, blocks, shapes = [], [], {}
    for case in cases:
        for variant, model in variants(case):
            rows.append((case, variant, model))
            blocks.append(pack(model, dims_given(case, model)[0]))
    for (case, variant, model), ours in zip(rows, by_partita(blocks)):
        if case.name not in shapes:
            shapes[case.name] = run(case) if case.inputs or case.outputs else {}
            judge.counts["models"] += 1
            judge.counts["models that were run"] += len(shapes[case.name]) > 0
        judge.against_onnx(case, variant, model, ours, by_onnx(model), shapes[case.name])
        judge.against_run(case, variant, ours, shapes[case.name])


def main():
    judge = Judge()
    cases = [*node_cases(), *network_cases()]
    inference(cases, judge)
    refusals(cases, judge)
    judge.end()
    return 1 if judge.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
