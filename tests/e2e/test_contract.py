# SPDX-License-Identifier: Apache-2.0
"""The command's contract: every command and option is there or says `not in this version`, and every JSON document has
the fields that programs read, each of its type."""
import json
import os
import subprocess
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import common
from common import partita

cases = common.Cases()
work = tempfile.TemporaryDirectory()
NUMBER, TEXT, LIST, MAP, FLAG = (int, float), str, list, dict, bool
MAYBE_TEXT = (str, type(None))

PLACING = ("devices fallback strict option precision threads objective pin plan dim shape seed plugin-path isolate layers "
           "max-memory copy-weights").split()
FEEDING = PLACING + ["inputs", "input"]
RUNNING = FEEDING + ["deadline"]
# Options of each command, and of those which a later version has.
OPTIONS = {
    "devices": ["options", "option", "plugin-path"],
    "inspect": ["fusions", "copy-weights", "threads", "plugin-path"],
    "plan": FEEDING + ["output", "why", "dot", "svg", "html", "measure", "diff"],
    "explain": RUNNING + ["output", "dot", "svg"],
    "run": RUNNING + ["outputs", "compare", "rtol", "atol"],
    "bench": RUNNING + ["seconds", "rounds", "in-flight", "tune"],
    "test": PLACING + ["deadline", "time-limit", "rtol", "atol"],
    "profile": ["output"],
    "conformance": ["level", "report", "verify"],
    "new-plugin": [],
    "cache": [],
    "doctor": ["plugin-path"],
    "help": ["man", "completion"],
}
LATER = {"isolate", "layers", "fusions", "html", "measure", "diff", "tune", "level", "report", "verify"}
LATER_COMMANDS = {"profile", "conformance", "new-plugin", "cache"}

CLUSTER = {"id": NUMBER, "device": TEXT, "nodes": LIST, "estimate_us": NUMBER, "source": TEXT}
EDGE = {"value": TEXT, "from": TEXT, "to": TEXT, "bytes": NUMBER, "at_most": NUMBER, "route": TEXT, "estimate_us": NUMBER}
ANSWER = {"device": TEXT, "can": FLAG, "code": TEXT, "reason": TEXT, "us": NUMBER}
NODE = {"name": TEXT, "op": TEXT, "domain": TEXT, "device": MAYBE_TEXT, "removed_by": MAYBE_TEXT, "answers": [ANSWER]}
PLAN = {"objective": TEXT, "estimate_us": NUMBER, "lower_bound_us": NUMBER, "devices": LIST, "clusters": [CLUSTER],
        "edges": [EDGE], "nodes": [NODE], "demotions": LIST}
EXPLAIN = {**PLAN, "clusters": [{**CLUSTER, "measured_us": NUMBER}],
           "edges": [{**EDGE, "measured_us": NUMBER, "bytes_moved": NUMBER, "copies": NUMBER}]}
PORT = {"name": TEXT, "kind": TEXT, "dtype": TEXT, "shape": LIST}
DEVICE = {"name": TEXT, "kind": TEXT, "plugin": TEXT, "description": TEXT, "vendor": TEXT, "driver": TEXT, "roles": LIST,
          "resources": LIST, "memory_bytes": NUMBER, "flops_per_us": NUMBER, "bytes_per_us": NUMBER}
PLUGIN = {"name": TEXT, "path": TEXT, "version": TEXT, "status": TEXT, "loaded": FLAG, "message": TEXT, "abi": NUMBER,
          "devices": NUMBER, "operators": NUMBER}
CROSSING = ["--devices", "cpu,sim:0", "--pin", "mm=sim:0", "--pin", "act=cpu"]
# Arguments, and the fields of the document; a list of one holds the fields of each item.
DOCUMENTS = {
    "devices": (["devices"], {"plugins": [PLUGIN], "devices": [DEVICE]}),
    "devices --options": (["devices", "--options"], {
        "options": [{"device": TEXT, "name": TEXT, "type": TEXT, "default": TEXT, "text": TEXT}]}),
    "inspect": (["inspect", "{model}"], {
        "inputs": [PORT], "outputs": [PORT], "opsets": [{"domain": TEXT, "version": NUMBER}], "operators": MAP,
        "parameters": NUMBER, "flops": NUMBER, "weight_bytes": NUMBER, "load_ms": NUMBER, "private_mib": NUMBER,
        "peak_mib": NUMBER}),
    "plan": (["plan", "{model}", *CROSSING], PLAN),
    "explain": (["explain", "{model}", *CROSSING], EXPLAIN),
    "run": (["run", "{model}", "--devices", "cpu"], {"load_ms": NUMBER, "run_ms": NUMBER, "outputs": MAP}),
    "bench": (["bench", "{model}", "--devices", "cpu", "--rounds", "3"], {
        "load_ms": NUMBER, "first_ms": NUMBER, "min_ms": NUMBER, "median_ms": NUMBER, "p90_ms": NUMBER, "p99_ms": NUMBER,
        "n": NUMBER, "throughput": NUMBER, "rss_mib": NUMBER, "devices": LIST}),
    "test": (["test", "{cases}", "--devices", "cpu"], {
        "passed": NUMBER, "failed": NUMBER, "skipped": NUMBER,
        "cases": [{"case": TEXT, "passed": FLAG, "code": NUMBER, "text": TEXT}]}),
    "doctor": (["doctor"], {"problems": NUMBER, "findings": [{"id": TEXT, "ok": FLAG, "text": TEXT}]}),
    "help": (["help"], {"commands": [{"name": TEXT, "arguments": TEXT, "in_version": FLAG, "text": TEXT, "options": [
        {"name": TEXT, "argument": MAYBE_TEXT, "in_version": FLAG, "text": TEXT}]}]}),
}


def make_files():
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    weight = numpy_helper.from_array(np.ones((3, 4), np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["h"], name="mm"),
                               helper.make_node("Relu", ["h"], ["r"], name="act"),
                               helper.make_node("Identity", ["r"], ["y"], name="same")], "g", [x], [y], [weight])
    folder = os.path.join(work.name, "cases", "one")
    os.makedirs(os.path.join(folder, "test_data_set_0"))
    path = os.path.join(folder, "model.onnx")
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    for name, array in (("input_0", np.ones((1, 3), np.float32)), ("output_0", np.full((1, 4), 3, np.float32))):
        with open(os.path.join(folder, "test_data_set_0", name + ".pb"), "wb") as file:
            file.write(numpy_helper.from_array(array).SerializeToString())
    return {"model": path, "cases": os.path.join(work.name, "cases")}


def check(value, wanted, where):
    if isinstance(wanted, dict):
        assert isinstance(value, dict), f"{where} is {type(value).__name__}"
        for key, kind in wanted.items():
            assert key in value, f"{where} has no {key}"
            check(value[key], kind, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert isinstance(value, list) and value, f"{where} is no list, or empty"
        for i, item in enumerate(value):
            check(item, wanted[0], f"{where}[{i}]")
    else:
        fits = isinstance(value, wanted) and (wanted is FLAG or not isinstance(value, bool))
        assert fits, f"{where} is {type(value).__name__}: {value}"


def document_has(arguments, fields, files):
    done = subprocess.run([common.COMMAND, *[a.format(**files) for a in arguments], "--json"], capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    document = json.loads(lines[-1])
    assert document["schema"] == 1 and len(lines) == 1, f"{len(lines)} lines"
    # `answers` of a node that a pass removed, and of an edge list of one device, may be empty.
    for node in document.get("nodes", []) if "nodes" in fields else []:
        if node["removed_by"]:
            assert node["device"] is None and node["answers"] == [], node
    if "nodes" in fields:
        document["nodes"] = [n for n in document["nodes"] if not n["removed_by"]]
    check(document, fields, arguments[0])


def commands():
    rows = {c["name"]: c for c in partita("help", "--json", json_output=True)["commands"]}
    assert set(rows) == set(OPTIONS), set(rows) ^ set(OPTIONS)
    for name, row in rows.items():
        assert row["in_version"] == (name not in LATER_COMMANDS), name
        options = {o["name"]: o for o in row["options"]}
        missing = [o for o in OPTIONS[name] + ["json", "help"] if o not in options]
        assert not missing, f"{name}: {missing}"
        if name == "test":
            assert "inputs" not in options
        if name not in LATER_COMMANDS:
            wrong = [o["name"] for o in row["options"] if o["in_version"] == (o["name"] in LATER)]
            assert not wrong, f"{name}: {wrong}"
    return rows


def help_lists_options(name, row):
    for arguments in ((name, "--help"), ("help", name)):
        text, words = partita(*arguments)
        assert not words and text.startswith(f"usage: partita {name}"), text
        silent = [o["name"] for o in row["options"] if f"--{o['name']}" not in text]
        assert not silent, silent
        assert row["text"] in text
    one = partita(name, "--help", "--json", json_output=True)["commands"]
    assert [c["name"] for c in one] == [name]


def later_ones_say_so(rows):
    for name, row in rows.items():
        if not row["in_version"]:
            _, words = partita(name, "x", code=1)
            assert words == f"partita: {name}: not in this version\n", words
            continue
        for option in row["options"]:
            if option["in_version"]:
                continue
            value = ["x"] if option["argument"] else []
            _, words = partita(name, "--" + option["name"], *value, code=1)
            assert words == f"partita: --{option['name']}: not in this version\n", words


def short_forms():
    plain, _ = partita("--help")
    assert partita("-h")[0] == plain == partita("help")[0]
    assert partita("run", "-h")[0] == partita("run", "--help")[0]
    for code in "0123456":
        assert f"\n  {code}  " in plain, plain
    for variable in ("PLUGIN_PATH", "DEVICES", "LAYERS", "CACHE_DIR", "LOG", "CPU_LEVEL"):
        assert f"PARTITA_{variable}" in plain, variable


def man_page_covers(rows):
    page = partita("help", "--man")[0].replace("\\-", "-")
    for name, row in rows.items():
        assert f"\n.B {name}" in page, name
        silent = [o["name"] for o in row["options"] if f"\n.B --{o['name']}" not in page]
        assert not silent, silent


def main():
    files = make_files()
    for title, (arguments, fields) in DOCUMENTS.items():
        cases.run(f"fields of {title}", document_has, arguments, fields, files)
    cases.run("commands and options", commands)
    rows = {c["name"]: c for c in partita("help", "--json", json_output=True)["commands"]}
    for name, row in rows.items():
        cases.run(f"help of {name}", help_lists_options, name, row)
    cases.run("later ones say so", later_ones_say_so, rows)
    cases.run("short forms and the general help", short_forms)
    cases.run("the man page covers all", man_page_covers, rows)
    cases.end()


if __name__ == "__main__":
    main()
