# SPDX-License-Identifier: Apache-2.0
"""The rows of the operator set contrib as they are written, and onnxruntime's schemas of the same operators."""
import os
import re

import onnx
import onnxruntime.capi.onnxruntime_pybind11_state as ort

import common

FOLDER = os.path.join(common.ROOT, "plugins/contrib")
TYPES = {"FLOAT32": "float", "FLOAT64": "double"}


def source(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return re.sub(r"/\*.*?\*/", "", file.read(), flags=re.S)


def split(text):
    """Arguments between commas that stand in no brackets."""
    return [part.strip() for part in re.split(r",\s*(?![^()]*\))", text.strip())]


def calls(text, name):
    """The arguments of each NAME(...), whose brackets may nest once more or twice."""
    inner = r"[^()]*(?:\((?:[^()]*(?:\([^()]*\))?)*\)[^()]*)*"
    return [split(found) for found in re.findall(rf"(?m)^{name}\(({inner})\)", text)]


def type_sets():
    text = source("types.inc")
    names = dict(re.findall(r"#define (\w+)\s+([^\n]*)", text))

    def types(expression):
        found = set()
        for part in re.findall(r"BIT\(\w+\)|\w+", expression):
            kind = re.fullmatch(r"BIT\((\w+)\)", part)
            found |= {TYPES.get(kind[1], kind[1].lower())} if kind else types(names[part])
        return found

    return {name: (letters.strip('"'), [types(" ".join(e.split())) for e in sets])
            for name, letters, *sets in calls(text, "TYPES")}


def literal(text):
    text = text.strip(", ")
    return text.strip('"') if text.startswith('"') else text.rstrip("f")


def attribute_sets():
    text, found = source("attributes.inc"), {}
    for block in re.split(r"(?m)^SET\(", text)[1:]:
        name, rest = block.split(",", 1)
        found[name] = {attribute: (kind, how, literal(value) if how == "HAS" else None) for how, kind, attribute, value
                       in re.findall(r"(NEED|MAY|HAS)\((\w+), (\w+)((?:, [^()]*)?)\)", rest)}
    return found


def schemas():
    return {s.name: s for s in ort.get_all_operator_schema() if s.domain == "com.microsoft"}


def kernel_types():
    """operator -> type parameter -> types of its kernels for the CPU."""
    found = {}
    for kernel in ort.get_all_opkernel_def():
        if kernel.domain == "com.microsoft" and kernel.provider == "CPUExecutionProvider":
            for name, types in kernel.type_constraints.items():
                found.setdefault(kernel.op_name, {}).setdefault(name, set()).update(t[7:-1] for t in types)
    return found


def default_of(attribute):
    data = attribute._default_value
    if not data:
        return None
    return onnx.helper.get_attribute_value(onnx.AttributeProto.FromString(data))


def attribute_differences(name, ours, theirs):
    for attribute in sorted(set(ours) ^ set(theirs)):
        yield f"{name}: attribute {attribute} is only {'here' if attribute in ours else 'there'}"
    for attribute in sorted(set(ours) & set(theirs)):
        kind, how, value = ours[attribute]
        other = theirs[attribute]
        if kind != str(other.type).rsplit(".", 1)[-1]:
            yield f"{name}: attribute {attribute} is of {kind}"
        if (how == "NEED") != other.required:
            yield f"{name}: attribute {attribute} is {how}"
        default = default_of(other)
        same = default is None or (value is not None and (
            value == default.decode() if isinstance(default, bytes) else abs(float(value) - default) <= 1e-6 * abs(default)))
        if not same:
            yield f"{name}: attribute {attribute} defaults to {value} instead of {default}"


def input_differences(name, letters, sets, schema, kernels):
    letters = letters.rstrip(".+")
    constraints = {t.type_param_str: {text[7:-1] for text in t.allowed_type_strs} for t in schema.type_constraints}
    for i, port in enumerate(schema.inputs):
        want = constraints.get(port.typeStr, {port.typeStr[7:-1]}) | kernels.get(port.typeStr, set())
        have = sets[ord(letters[i]) - ord("a")] if i < len(letters) and letters[i] != "." else None
        if have != want:
            yield f"{name}: input {port.name} takes {have}, not {want}"
    for i, port in enumerate(schema.inputs):
        for k, other in enumerate(schema.inputs[:i]):
            joined = max(i, k) < len(letters) and letters[i] == letters[k]
            if (port.typeStr == other.typeStr) != joined:
                yield f"{name}: inputs {other.name} and {port.name} are of one type {'here' if joined else 'there'} only"


OTHERS = ("Solve",)  # skl2onnx writes it for Gaussian processes; onnxruntime does not know it


def differences():
    """Lines that say where a row is not what onnxruntime's schema says."""
    types, attributes, theirs, kernels = type_sets(), attribute_sets(), schemas(), kernel_types()
    text = source("operators.inc")
    rows = calls(text, "ROW") + calls(text, "ROW_WITH")
    for domain, name, in_min, in_max, absent, out_min, out_max, _, _, _, own, *_ in rows:
        if domain != '"com.microsoft"' or name in OTHERS:
            continue
        schema = theirs[name]
        limits = [int(v) if v != "MANY" else 2**31 - 1 for v in (in_min, in_max, out_min, out_max)]
        if limits != [schema.min_input, schema.max_input, schema.min_output, schema.max_output]:
            yield f"{name}: {limits} inputs and outputs"
        optional = {i for i, port in enumerate(schema.inputs) if str(port.option).endswith("Optional")}
        left_out = {int(i) for i in re.findall(r"AT\((\d+)\)", absent)} | set(range(limits[0], len(schema.inputs)))
        if not left_out >= optional:
            yield f"{name}: inputs {sorted(left_out)} may be left out, not {sorted(optional)}"
        yield from attribute_differences(name, attributes[own], schema.attributes)
        yield from input_differences(name, *types[name], schema, kernels.get(name, {}))
