# SPDX-License-Identifier: Apache-2.0
"""The command's contract: JSON keys, exit codes, inputs and outputs, plans as files, bytes that were announced."""
import json
import os
import signal
import subprocess
import tempfile
import time

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import common
from common import partita

cases = common.Cases()
work = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(work.name, name)


def save(name, nodes, inputs, outputs, initializers=(), opset=17, **more):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)
    onnx.save(model, path(name))
    return path(name)


def value(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def small_model():
    weight = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(3, 4), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"], name="mm"), helper.make_node("Relu", ["h"], ["y"], name="act")]
    return save("small.onnx", nodes, [value("x", TensorProto.FLOAT, ["n", 3])], [value("y", TensorProto.FLOAT, ["n", 4])],
                [weight])


SMALL = small_model()


def devices():
    document = partita("devices", "--json", json_output=True)
    names = {d["name"] for d in document["devices"]}
    assert {"cpu", "reference"} <= names, names
    cpu = next(d for d in document["devices"] if d["name"] == "cpu")
    assert "fallback" in cpu["roles"] and "default" in cpu["roles"] and cpu["resources"], cpu
    reference = next(d for d in document["devices"] if d["name"] == "reference")
    assert "default" not in reference["roles"]
    for device in document["devices"]:
        if "emulated" in device["roles"] or "simulated" in device["roles"]:
            assert "default" not in device["roles"], device
    document = partita("devices", "--options", "--json", json_output=True)
    assert all({"device", "name", "type", "default", "text"} <= set(row) for row in document["options"])


def inspect():
    document = partita("inspect", SMALL, "--json", json_output=True)
    for key in ("inputs", "outputs", "opsets", "operators", "parameters", "flops", "weight_bytes", "load_ms",
                "private_mib", "peak_mib"):
        assert key in document, f"no key {key}"
    assert document["operators"] == {"MatMul": 1, "Relu": 1}, document["operators"]
    assert document["parameters"] == 12


def plan():
    document = partita("plan", SMALL, "--devices", "cpu", "--dim", "n=2", "--json", json_output=True)
    for key in ("objective", "estimate_us", "lower_bound_us", "devices", "clusters", "edges", "nodes", "demotions"):
        assert key in document, f"no key {key}"
    assert [n["name"] for n in document["nodes"]] == ["mm", "act"]
    for node in document["nodes"]:
        assert node["device"] == "cpu" or node["removed_by"], node
        for answer in node["answers"]:
            assert {"device", "can", "code", "reason"} <= set(answer), answer
    assert document["lower_bound_us"] <= document["estimate_us"] + 1e-9
    text, _ = partita("plan", SMALL, "--devices", "cpu", "--why", "--dot", path("p.dot"), "--svg", path("p.svg"), "-o",
                      path("p.json"))
    assert "mm" in text and "act" in text
    assert open(path("p.dot")).read().startswith("digraph")
    assert "<svg" in open(path("p.svg")).read()
    again = partita("plan", SMALL, "--plan", path("p.json"), "--devices", "cpu", "--json", json_output=True)
    assert [n["device"] for n in again["nodes"]] == [n["device"] for n in json.load(open(path("p.json")))["nodes"]]


def every_source_node():
    for name in ("rec", "silero"):
        document = partita("plan", common.PATHS[name], "--devices", "cpu", "--json", json_output=True)
        model = onnx.load(common.PATHS[name])

        def count(graph):
            bodies = [a.g for n in graph.node for a in n.attribute if a.type == onnx.AttributeProto.GRAPH]
            return len(graph.node) + sum(count(b) for b in bodies)

        assert len(document["nodes"]) == count(model.graph), (len(document["nodes"]), count(model.graph))
        bare = [n["name"] for n in document["nodes"] if not n["device"] and not n["removed_by"]]
        assert not bare, bare[:5]
        silent = [n["name"] for n in document["nodes"] for a in n["answers"]
                  if not a["can"] and not (a["code"] and a["reason"])]
        assert not silent, silent[:5]


def run():
    x = np.array([[1, -2, 3], [0, 1, 0]], np.float32)
    want = np.maximum(x @ np.arange(12, dtype=np.float32).reshape(3, 4), 0)
    np.savez(path("in.npz"), x=x)
    np.savez(path("good.npz"), y=want)
    np.savez(path("bad.npz"), y=want + 1)
    np.save(path("x.npy"), x)
    x.tofile(path("x.bin"))
    open(path("x.pb"), "wb").write(numpy_helper.from_array(x, "x").SerializeToString())
    common_options = ("--devices", "cpu")
    for given in (("--inputs", path("in.npz")), ("--input", f"x=@{path('x.npy')}"), ("--input", f"x=@{path('x.pb')}"),
                  ("--input", f"x=@{path('x.bin')}", "--dim", "n=2"), ("--input", "x=1,-2,3,0,1,0", "--dim", "n=2")):
        partita("run", SMALL, *common_options, *given, "--outputs", path("out.npz"), "--compare", path("good.npz"))
        got = np.load(path("out.npz"))["y"]
        assert np.array_equal(got, want), got
    partita("run", SMALL, *common_options, "--inputs", path("in.npz"), "--compare", path("bad.npz"), code=5)
    partita("run", SMALL, *common_options, "--inputs", path("in.npz"), "--compare", path("bad.npz"), "--atol", "2")
    partita("run", SMALL, *common_options, "--inputs", path("in.npz"), "--outputs", path("out.json"))
    document = json.load(open(path("out.json")))
    assert document["y"] == {"type": "tensor", "dtype": "float32", "shape": [2, 4],
                             "data": want.reshape(-1).tolist()}, document
    first, _ = partita("run", SMALL, *common_options, "--seed", "7")
    assert (first, "") == (partita("run", SMALL, *common_options, "--seed", "7")[0], "")


def bench():
    document = partita("bench", SMALL, "--devices", "cpu", "--rounds", "5", "--json", json_output=True)
    for key in ("load_ms", "first_ms", "min_ms", "median_ms", "p90_ms", "p99_ms", "n", "throughput", "rss_mib", "devices"):
        assert key in document, f"no key {key}"
    assert document["n"] == 5 and document["devices"] == ["cpu"]
    document = partita("bench", SMALL, "--devices", "cpu", "--rounds", "9", "--in-flight", "3", "--json", json_output=True)
    assert document["n"] == 9


def explain():
    document = partita("explain", SMALL, "--devices", "cpu", "--json", json_output=True)
    assert all("measured_us" in c for c in document["clusters"]), document
    document = partita("explain", SMALL, "--devices", "cpu,sim:0", "--pin", "mm=sim:0", "--json", json_output=True)
    assert document["edges"]
    assert all({"measured_us", "bytes_moved", "copies"} <= set(e) for e in document["edges"])


def usage_errors():
    partita("frobnicate", code=1)
    partita("run", code=1)
    partita("run", SMALL, "--no-such", code=1)
    partita("run", SMALL, "--threads", "many", code=1)
    partita("run", SMALL, "--dim", "nobody=3", code=1)
    _, words = partita("profile", SMALL, code=1)
    assert "not in this version" in words
    _, words = partita("run", SMALL, "--precision", "fast", code=1)
    assert "not in this version" in words
    for command in ("devices", "inspect", "plan", "explain", "run", "bench", "test", "doctor", "help"):
        text, _ = partita(command, "--help")
        assert command in text


def model_errors():
    _, words = partita("run", path("absent.onnx"), "--devices", "cpu", code=2)
    assert "absent.onnx" in words, words
    open(path("broken.onnx"), "wb").write(open(SMALL, "rb").read()[:-9])
    _, words = partita("run", path("broken.onnx"), "--devices", "cpu", code=2)
    assert "broken.onnx" in words, words
    bad = save("bad.onnx", [helper.make_node("MatMul", ["x", "x"], ["y"], name="odd")],
               [value("x", TensorProto.FLOAT, [2, 3])], [value("y", TensorProto.FLOAT, None)])
    _, words = partita("run", bad, "--devices", "cpu", code=2)
    assert "odd" in words, words
    np.savez(path("wrong.npz"), x=np.zeros((2, 5), np.float32))
    _, words = partita("run", SMALL, "--devices", "cpu", "--inputs", path("wrong.npz"), code=2)
    assert "x" in words, words
    np.savez(path("wrong.npz"), x=np.zeros((2, 3), np.int64))
    partita("run", SMALL, "--devices", "cpu", "--inputs", path("wrong.npz"), code=2)
    np.savez(path("wrong.npz"), z=np.zeros((2, 3), np.float32))
    partita("run", SMALL, "--devices", "cpu", "--inputs", path("wrong.npz"), code=2)


def device_errors():
    _, words = partita("run", SMALL, "--devices", "nonesuch", code=4)
    assert "nonesuch" in words, words
    _, words = partita("run", SMALL, "--devices", "cpu", "--option", "cpu.nonesuch=1", code=1)
    assert "nonesuch" in words, words
    strange = save("strange.onnx", [helper.make_node("NobodyKnows", ["x"], ["y"], name="odd", domain="org.nobody")],
                   [value("x", TensorProto.FLOAT, [2])], [value("y", TensorProto.FLOAT, [2])])
    model = onnx.load(strange)
    model.opset_import.append(helper.make_opsetid("org.nobody", 1))
    onnx.save(model, strange)
    _, words = partita("run", strange, "--devices", "cpu", code=3)
    assert "odd" in words and "cpu" in words, words


def strings_through():
    model = save("strings.onnx", [helper.make_node("Identity", ["s"], ["t"])], [value("s", TensorProto.STRING, ["n"])],
                 [value("t", TensorProto.STRING, ["n"])])
    texts = np.array(["ab", "", "größe 漢"])
    np.savez(path("s.npz"), s=texts)
    partita("run", model, "--devices", "cpu", "--inputs", path("s.npz"), "--outputs", path("t.npz"))
    assert np.load(path("t.npz"))["t"].tolist() == texts.tolist()


def test_command():
    folder = path("tests/one")
    os.makedirs(folder + "/test_data_set_0")
    os.link(SMALL, folder + "/model.onnx")
    x = np.ones((1, 3), np.float32)
    y = np.maximum(x @ np.arange(12, dtype=np.float32).reshape(3, 4), 0)
    for name, array in (("input_0", x), ("output_0", y)):
        open(f"{folder}/test_data_set_0/{name}.pb", "wb").write(numpy_helper.from_array(array).SerializeToString())
    text, _ = partita("test", path("tests"), "--devices", "cpu")
    assert text.strip().splitlines()[-1] == "1 passed, 0 failed, 0 skipped", text
    open(f"{folder}/test_data_set_0/output_0.pb", "wb").write(numpy_helper.from_array(y + 1).SerializeToString())
    text, _ = partita("test", path("tests"), "--devices", "cpu", code=5)
    assert text.strip().splitlines()[-1] == "0 passed, 1 failed, 0 skipped", text
    json.dump({"rtol": 1e-3, "atol": 3}, open(folder + "/data.json", "w"))
    partita("test", path("tests"), "--devices", "cpu")


def test_of_wrong_folders():
    """What a case lacks, or has too much of, is a failure of it; devices that are absent are one of the command."""
    x = np.ones((1, 3), np.float32)
    y = np.maximum(x @ np.arange(12, dtype=np.float32).reshape(3, 4), 0)
    root = path("wrong")
    for name, outputs, tolerance, _ in WRONG_CASES:
        data = f"{root}/{name}/test_data_set_0"
        os.makedirs(data)
        os.link(SMALL, f"{root}/{name}/model.onnx")
        for i, array in enumerate([x] + [y] * outputs):
            file = f"{data}/output_{i - 1}.pb" if i else f"{data}/input_0.pb"
            open(file, "wb").write(numpy_helper.from_array(array).SerializeToString())
        if tolerance is not None:
            open(f"{root}/{name}/data.json", "w", encoding="utf-8").write(tolerance)
    os.symlink(root, root + "/leads_back")
    document = partita("test", root, "--devices", "cpu", "--json", code=5, json_output=True)
    texts = {os.path.basename(c["case"]): c["text"] for c in document["cases"]}
    assert sorted(texts) == sorted(c[0] for c in WRONG_CASES), texts
    for name, _, _, words in WRONG_CASES:
        assert (words in texts[name]) if words else texts[name] == "", (name, texts[name])
    _, words = partita("test", root, "--devices", "nonesuch", code=4)
    assert "nonesuch" in words, words


# Name, output files, data.json, words of the failure.
WRONG_CASES = [
    ("fine", 1, '{"rtol": 1e-3}', ""),
    ("no_output", 0, None, "no output_*.pb"),
    ("two_outputs", 2, None, "the model has 1 outputs"),
    ("no_json", 1, '{"rtol": ', "data.json: no JSON"),
    ("a_list", 1, "[]", "data.json: no object"),
    ("no_number", 1, '{"atol": "1"}', "'atol' is no number"),
]


def deadline():
    _, words = partita("run", common.PATHS["det"], "--devices", "cpu", "--shape", "x=1x3x960x960", "--deadline", "1", code=4)
    assert "deadline" in words, words


def interrupt():
    """Ctrl-C ends a run on a device that hangs, with words, as the signal does; a second one or an earlier one too."""
    hang = ["--devices", "sim:0", "--option", "sim:0.hang_exec=1", "--option", "sim:0.hang_us=60000000"]
    for command in ("run", "explain"):
        for wait in (0.5, 2, 8):  # until it runs
            process = subprocess.Popen([common.COMMAND, command, SMALL, *hang], stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            time.sleep(wait)
            process.send_signal(signal.SIGINT)
            started = time.monotonic()
            _, words = process.communicate(timeout=30)
            assert process.returncode == -signal.SIGINT and "interrupted" in words, (process.returncode, words)
            assert time.monotonic() - started < 10
            if "cancelled" in words:
                break
        assert "interrupted: the run was cancelled, and sim:0 has not come back" in words, words


def memory_limit():
    _, words = partita("run", SMALL, "--devices", "cpu", "--max-memory", "1", code=6)
    assert "cpu" in words and "48 bytes" in words, words
    partita("run", SMALL, "--devices", "cpu", "--max-memory", "100000")
    _, words = partita("plan", SMALL, "--devices", "sim:0", "--max-memory", "1", code=6)
    assert "sim:0" in words, words


def doctor():
    document = partita("doctor", "--json", json_output=True)
    assert {"findings", "problems"} <= set(document)
    assert any(f["id"] == "plugin-cpu" and f["ok"] for f in document["findings"])


def generated_texts():
    assert ".TH PARTITA" in partita("help", "--man")[0]
    assert "complete -F" in partita("help", "--completion")[0]


for function in (devices, inspect, plan, every_source_node, run, bench, explain, usage_errors, model_errors,
                 device_errors, strings_through, test_command, test_of_wrong_folders, deadline, interrupt, memory_limit, doctor,
                 generated_texts):
    cases.run(function.__name__.replace("_", " "), function)
cases.end()
