# SPDX-License-Identifier: Apache-2.0
"""Every operator of ONNX in every version with every type: which of them `cpu` takes.

For each schema of the installed package, and for each type that one of its type parameters may have, a model of one node
is planned on `cpu` alone and on `reference` alone, its inputs of unknown shape. coverage_refused.txt names what is
refused, an operator's version, its types and the reason a line; it may only shrink. What only a body or a second list of types makes
whole (If, Loop, Scan, SequenceMap, Gradient) has tests of its own.

    python test_coverage.py [--why]         --why: what the refusals say
"""
import ctypes
import os
import re
import sys

import onnx
from onnx import TensorProto, helper

import api
import common

LIST = os.path.join(common.TESTS, "e2e/coverage_refused.txt")
SKIPPED = {"If", "Loop", "Scan", "SequenceMap", "Gradient", "FlexAttention"}
NUMBERS = {"float": "FLOAT", "double": "DOUBLE"}
# What a required attribute may be, where its type alone does not say.
VALUES = {"to": 1, "dtype": 1, "equation": "ij->ji", "kernel_shape": [2, 2], "mode": "TF", "ngram_counts": [0],
          "ngram_indexes": [0], "max_gram_length": 1, "min_gram_length": 1, "max_skip_count": 0, "perm": [0],
          "blocksize": 2, "pooled_shape": [2, 2], "shape": [2], "num_heads": 2, "axes": [0], "size": 3, "to_type": 1,
          "body": None, "direction": "LEFT", "R": 1.0, "alpha": 1.0, "beta": 1.0, "epsilon": 1.0, "norm_coefficient": 1.0,
          "ratio": 0.5, "height_scale": 2.0, "width_scale": 2.0, "lambd": 1.0, "starts": [0], "ends": [1],
          "paddings": [0, 0], "pads": [0, 0], "scales": [1.0, 1.0], "repeats": [1], "k": 1, "value": 1.0,
          "tile_size": 2, "output_shape": [2, 2], "q_num_heads": 1, "kv_num_heads": 1, "hidden_size": 2}
# The mode in which an operator takes types that it cannot weigh: strings can be picked, not interpolated.
PICKING = {("GridSample", "tensor(string)"): {"mode": "nearest"}}
# Inputs that may not stand beside others of their node.
OMITTED = {("Attention", "past_key"), ("Attention", "past_value")}
# Attributes by which a type parameter of outputs alone is chosen.
CHOOSERS = ("to", "dtype", "output_datatype", "output_dtype")


def number_of(name):
    return TensorProto.DataType.Value(NUMBERS.get(name, name.upper()))


def type_of(text):
    """A TypeProto of `tensor(float)`, `seq(tensor(int8))` and their like."""
    kind, inner = re.fullmatch(r"(\w+)\((.*)\)", text).groups() if "(" in text else ("tensor", text)
    if kind in ("tensor", "sparse_tensor"):
        return (helper.make_tensor_type_proto if kind == "tensor" else helper.make_sparse_tensor_type_proto)(
            number_of(inner), None)
    if kind == "seq":
        return helper.make_sequence_type_proto(type_of(inner))
    if kind == "optional":
        return helper.make_optional_type_proto(type_of(inner))
    key, _, value = inner.partition(",")
    return helper.make_map_type_proto(number_of(key.strip()), type_of(value.strip()))


def preferred(types):
    for text in ("tensor(float)", "tensor(int64)", "seq(tensor(float))"):
        if text in types:
            return text
    return sorted(types)[0]


def related(schema, text):
    """SequenceInsert has a parameter for the sequence and one for its items; BitCast keeps the count of bits."""
    if schema.name == "BitCast":
        return {"T1": text}
    if schema.name != "SequenceInsert":
        return {}
    inner = text[4:-1] if text.startswith("seq") else text
    return {"T": inner, "S": f"seq({inner})"}


def attributes_of(schema, chosen):
    """Those that must be given, and the one by which an output's type is chosen."""
    given = {}
    for name, attribute in schema.attributes.items():
        if name in CHOOSERS and (chosen is not None or attribute.required):
            given[name] = TensorProto.FLOAT if chosen is None else chosen
            if str(attribute.type).endswith("STRING"):
                given[name] = TensorProto.DataType.Name(given[name])
        elif attribute.required:
            kind = str(attribute.type).split(".")[-1]
            value = VALUES.get(name, {"INT": 1, "FLOAT": 1.0, "STRING": "NONE", "INTS": [1], "FLOATS": [1.0],
                                      "STRINGS": ["a"]}.get(kind))
            if kind == "TENSOR":
                value = helper.make_tensor("v", TensorProto.FLOAT, [1], [1.0])
            given[name] = value
    return given


def parameters_of(schema):
    """Type parameters, and of each the types it may have; `only_out`: no input has it."""
    rows = {c.type_param_str: list(c.allowed_type_strs) for c in schema.type_constraints}
    inputs = {i.type_str for i in schema.inputs}
    return rows, inputs


def model_of(schema, types, chosen):
    inputs, outputs, infos, results = [], [], [], []
    for i, formal in enumerate(schema.inputs):
        if (schema.name, formal.name) in OMITTED:
            inputs.append("")
            continue
        inputs.append(f"i{i}")
        infos.append(onnx.ValueInfoProto(name=f"i{i}", type=type_of(types.get(formal.type_str, formal.type_str))))
    for i, formal in enumerate(schema.outputs):
        if i > 0 and str(formal.option).endswith("Optional"):
            break
        outputs.append(f"o{i}")
        results.append(onnx.ValueInfoProto(name=f"o{i}"))
    attributes = attributes_of(schema, chosen)
    for text in types.values():
        attributes |= PICKING.get((schema.name, text), {})
    node = helper.make_node(schema.name, inputs, outputs, domain=schema.domain, **attributes)
    imports = [helper.make_opsetid(schema.domain, schema.since_version)]
    if schema.domain != "":
        imports.append(helper.make_opsetid("", 22))
    graph = helper.make_graph([node], "coverage", infos, results)
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def asked(context, model, device):
    """None when the device takes the model, or why not."""
    data = model.SerializeToString()
    handle, plan = ctypes.c_void_p(), ctypes.c_void_p()
    try:
        api.check(api.LIB.partita_model_load_memory(context, data, ctypes.c_uint64(len(data)), None,
                                                     ctypes.byref(handle)))
        options = api.sized(api.PlanOptions, devices=device)
        api.check(api.LIB.partita_plan_create(handle, ctypes.byref(options), ctypes.byref(plan)))
        return None
    except api.Failure as failure:
        return str(failure)
    finally:
        api.LIB.partita_plan_destroy(plan)
        api.LIB.partita_model_destroy(handle)


def main():
    context = ctypes.c_void_p()
    paths = (ctypes.c_char_p * 1)(os.path.join(api.BUILD, "lib/partita/plugins").encode())
    options = api.sized(api.ContextOptions, threads=1, plugin_paths=paths, plugin_path_count=1)
    api.check(api.LIB.partita_context_create(ctypes.byref(options), ctypes.byref(context)))
    holes, why, total = {}, {}, 0
    for schema in sorted(onnx.defs.get_all_schemas_with_history(), key=lambda s: (s.domain, s.name, s.since_version)):
        if schema.name in SKIPPED or schema.deprecated:
            continue
        rows, of_inputs = parameters_of(schema)
        usual = {name: preferred(types) for name, types in rows.items()}
        for name, types in rows.items() or {"": [""]}.items():
            for text in sorted(types):
                chosen = None
                if text and name not in of_inputs:
                    if not any(a in schema.attributes for a in CHOOSERS) or not text.startswith("tensor"):
                        continue
                    chosen = type_of(text).tensor_type.elem_type
                elif any(text not in types_out for other, types_out in rows.items() if other not in of_inputs):
                    chosen = TensorProto.FLOAT  # the input's own type is none that the output may have
                if schema.name == "BitCast":
                    chosen = type_of(text).tensor_type.elem_type
                total += 1
                model = model_of(schema, usual | ({name: text} if text else {}) | related(schema, text), chosen)
                refused = asked(context, model, b"cpu") or asked(context, model, b"reference")
                if refused is not None:
                    key = f"{schema.domain + '::' if schema.domain else ''}{schema.name}-{schema.since_version} {name}"
                    holes.setdefault(key, []).append(text.replace(" ", ""))
                    why.setdefault(key, refused)
    api.LIB.partita_context_destroy(context)
    if "--why" in sys.argv:
        for key in holes:
            print(f"{key}: {' '.join(holes[key])}\n        {why[key]}")
    with open(LIST) as file:
        rows = (line.partition("; ")[0].partition(": ") for line in file if line[0] != "#")
        known = {key: set(types.split()) for key, _, types in rows}
    cases = common.Cases()
    for key, types in holes.items():
        more = set(types) - known.get(key, set())
        if more:
            print("FAIL", f"{key}: {' '.join(sorted(more))} refused: {why[key]}")
            cases.failed += 1
    for key, types in known.items():
        taken = types - set(holes.get(key, []))
        if taken:
            print("FAIL", f"{key}: {' '.join(sorted(taken))} is taken, but coverage_refused.txt names it")
            cases.failed += 1
    count = sum(len(types) for types in holes.values())
    print("PASS" if not cases.failed else "FAIL", f"{total - count} of {total} operators with a version and a type taken")
    cases.end()


if __name__ == "__main__":
    main()
