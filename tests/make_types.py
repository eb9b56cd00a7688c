# SPDX-License-Identifier: Apache-2.0
"""Writes sdk/rows/types.inc, which input types belong together in each operator, out of onnx's schemas; without --write
compares only.

A row: the first version with these rules, a letter for each input (those of one letter have one type, but for large
letters; `.`: any; a last `+`: the last one goes on), and the types that each letter's inputs may have in this and later
versions of the operator.
"""
import os
import sys

import onnx

PATH = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sdk/rows/types.inc")
NAMES = {"float": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "int64": 7, "string": 8, "bool": 9,
         "float16": 10, "double": 11, "uint32": 12, "uint64": 13, "complex64": 14, "complex128": 15, "bfloat16": 16,
         "float8e4m3fn": 17, "float8e4m3fnuz": 18, "float8e5m2": 19, "float8e5m2fnuz": 20, "uint4": 21, "int4": 22,
         "float4e2m1": 23, "float8e8m0": 24, "uint2": 25, "int2": 26, "float6e2m3": 27, "float6e3m2": 28}
FLOATS = 1 << 1 | 1 << 10 | 1 << 11 | 1 << 16
HEAD = """/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Made by tests/make_types.py out of the schemas of the package onnx. ROW_TYPES(domain, name, since, letters, types...):
 * inputs of one small letter have one type, of a large one each its own; '.' any; a last '+' goes on with the one before.
 * types: one set for each letter, as bits 1 << dtype, of this and later versions of the operator; where it has float32
 * it has the other floats too.
 */
"""


def types_of(schema, type_str):
    allowed = next((c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == type_str), [type_str])
    bits = 0
    for name in allowed:
        if not name.startswith("tensor("):
            return None  # sequences, maps and optionals are inference's
        bits |= 1 << NAMES[name[7:-1]]
    return bits | (FLOATS if bits & 2 else 0)


def letters_of(schema):
    names, out = [], ""
    for slot in schema.inputs:
        variadic = slot.option == onnx.defs.OpSchema.FormalParameterOption.Variadic
        if types_of(schema, slot.type_str) is None:
            out += "."
        else:
            if slot.type_str not in names:
                names.append(slot.type_str)
            out += chr(ord("A" if variadic and not slot.is_homogeneous else "a") + names.index(slot.type_str))
        if variadic:
            out += "+"
    return out


def rows():
    families = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        families.setdefault((schema.domain, schema.name), []).append(schema)
    for (domain, name), family in sorted(families.items()):
        family.sort(key=lambda s: s.since_version)
        last = None
        for schema in family:
            letters = letters_of(schema)
            if letters == last or not letters.strip(".+") and last is None:
                continue
            last = letters
            slots, sets = {}, []
            for later in family[family.index(schema):]:
                for i, slot in enumerate(later.inputs):
                    slots[i] = slots.get(i, 0) | (types_of(later, slot.type_str) or 0)
            for letter in sorted(set(letters) - set(".+"), key=str.lower):
                sets.append(0)
                for i, found in enumerate(letters.rstrip("+")):
                    sets[-1] |= slots[i] if found == letter else 0
            yield domain, name, schema.since_version, letters, sets


def text():
    lines = [HEAD]
    for domain, name, since, letters, sets in rows():
        masks = ", ".join(f"0x{s:x}" for s in sets) or "0"
        lines.append(f'ROW_TYPES("{domain}", "{name}", {since}, "{letters}", {masks})\n')
    return "".join(lines)


def main():
    made = text()
    if "--write" in sys.argv:
        with open(PATH, "w") as file:
            file.write(made)
        return 0
    with open(PATH) as file:
        same = file.read() == made
    print("PASS types.inc" if same else "FAIL types.inc: is not what make_types.py --write makes")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
