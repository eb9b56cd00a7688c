# SPDX-License-Identifier: Apache-2.0
"""Makes the functions that operators are expanded into: core/op/functions.inc out of what ONNX defines, core/op/bodies.inc
and those of operator sets out of the text beside them.

    python make_functions.py [--write]

What ONNX defines is for operators whose function is the same for every node. In a text, "when CONDITION: " before a
statement becomes the name of its node: it is there for nodes that fulfil it (core/onnx/when.c). Without --write the
files that are there are compared: PASS or FAIL.
"""
import os
import re
import sys

import onnx
from onnx import parser

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STANDARD = os.path.join(ROOT, "core/op/functions.inc")
DEPENDING = os.path.join(ROOT, "core/op/bodies")
SETS = [os.path.join(ROOT, path) for path in ("plugins/contrib/bodies", "tests/plugins/operator_bodies")]
HEAD = "/* SPDX-License-Identifier: Apache-2.0 */\n/*\n * {}\n * Made by tests/make_functions.py.\n */\n/* clang-format off */\n"
COLUMNS = 112


def literal(data):
    """C string literals of the bytes."""
    lines, line = [], ""
    for byte in data:
        char = chr(byte)
        piece = char if 32 <= byte < 127 and char not in '"\\?' else f"\\{byte:03o}"
        if len(line) + len(piece) > COLUMNS:
            lines.append(line)
            line = ""
        line += piece
    return "\n".join(f'    "{text}"' for text in lines + [line])


def packed(function):
    function.ClearField("doc_string")
    for node in function.node:
        node.ClearField("doc_string")
    return function.SerializeToString(deterministic=True)


def write_rows(rows):
    out = ""
    for domain, name, since, data in sorted(rows):
        out += f'ROW_FUNCTION("{domain}", "{name}", {since}, {len(data)},\n{literal(data)})\n'
    return out + "#undef ROW_FUNCTION\n"


def standard():
    rows = []
    for schema in onnx.defs.get_all_schemas_with_history():
        if not schema.has_function:
            continue
        function = onnx.FunctionProto()
        function.ParseFromString(schema.get_function_with_opset_version(schema.function_opset_versions[0]))
        rows.append((schema.domain, schema.name, schema.since_version, packed(function)))
    return HEAD.format("Functions of the standard, sorted: ROW_FUNCTION(domain, name, since, bytes, text).") + write_rows(rows)


def read_bodies(path):
    """Titles and functions of a text."""
    with open(path + ".txt", encoding="utf-8") as source:
        text = re.sub(r"(?m)^#.*\n", "", source.read())
    for block in re.split(r"(?m)^function ", text)[1:]:
        title, _, body = block.partition("\n")
        conditions = re.findall(r"(?m)^    when ([^:]*): ", body)
        function = parser.parse_function(re.sub(r"(?m)^    when [^:]*: ", "    [when] ", body))
        for node in function.node:
            if node.name == "when":
                node.name = f"when {conditions.pop(0)}"
        assert not conditions, title
        yield title, function


def depending():
    """Of the standard, those whose function depends on the node; several versions may share one."""
    rows = []
    for title, function in read_bodies(DEPENDING):
        name, *versions = title.split()
        data = packed(function)
        rows += [("", name, int(version), data) for version in versions]
    out = HEAD.format("Bodies of the standard that depend on the node, sorted; the text file of this name is the source.")
    return out + write_rows(rows)


def bodies(path):
    by_name = {}
    for title, function in read_bodies(path):
        by_name.setdefault(title.split(".")[0], []).append(packed(function))
    out = HEAD.format("Bodies of operators: BODIES(name, BODY(bytes, text) for each); the text file of this name is the source.")
    for name, functions in sorted(by_name.items()):
        pieces = "\n".join(f"BODY({len(data)},\n{literal(data)})" for data in functions)
        out += f"BODIES({name},\n{pieces})\n"
    return out + "#undef BODIES\n#undef BODY\n"


def main():
    wrong = []
    for path, text in [(STANDARD, standard()), (DEPENDING + ".inc", depending()), *((path + ".inc", bodies(path)) for path in SETS)]:
        if "--write" in sys.argv[1:]:
            with open(path, "w", encoding="utf-8") as target:
                target.write(text)
            continue
        with open(path, encoding="utf-8") as target:
            if target.read() != text:
                wrong.append(os.path.relpath(path, ROOT))
    if wrong:
        print(f"FAIL {', '.join(wrong)}: run tests/make_functions.py --write")
        return 1
    print("PASS functions are those of ONNX and of the texts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
