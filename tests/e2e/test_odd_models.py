# SPDX-License-Identifier: Apache-2.0
"""Models that are right but unusual, through the whole command: names of any kind, nodes of one name or none, graphs
without nodes, outputs that are inputs, constants or one another; and what is taken back from their plans.
"""
import json
import os
import subprocess
import tempfile
import xml.dom.minidom

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import common

cases = common.Cases()
work = tempfile.TemporaryDirectory()
node = helper.make_node
CUT = ("--devices", "cpu,sim:0", "--pin", "random:3")
X = np.array([[1, -2, 3], [-4, 5, -6]], np.float32)
W = np.arange(6, dtype=np.float32).reshape(2, 3)


def path(name):
    return os.path.join(work.name, name)


def value(name, shape=("n", 3), kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def save(nodes, inputs, outputs, weights=(), change=lambda data: data):
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with open(path("m.onnx"), "wb") as file:
        file.write(change(model.SerializeToString()))
    return path("m.onnx")


def partita(*arguments, code=0):
    done = subprocess.run([common.COMMAND, *arguments], capture_output=True, timeout=120)
    assert done.returncode == code, f"{arguments}: exit {done.returncode}: {done.stderr.decode(errors='replace')}"
    return done.stdout.decode(), done.stderr.decode()


def last_json(*arguments, code=0):
    return json.loads(partita(*arguments, "--json", code=code)[0].splitlines()[-1])


def gives(model, want, *options, **inputs):
    np.savez(path("in.npz"), **inputs)
    partita("run", model, *options, "--inputs", path("in.npz"), "--outputs", path("out.npz"))
    got = np.load(path("out.npz"))
    assert sorted(got.files) == sorted(want), got.files
    for name, array in want.items():
        common.assert_close(got[name], array, name)


def names(inner, source, sink):
    """Text for people stays on its lines and pictures can be read, whatever the names; JSON keeps them."""
    model = save([node("Relu", [source], ["h"], name=inner), node("Neg", ["h"], [sink], name=inner + inner)],
                 [value(source)], [value(sink)])
    gives(model, {sink: -np.maximum(X, 0)}, *CUT, **{source: X})
    text, _ = partita("plan", model, *CUT, "--why", "--dot", path("p.dot"), "--svg", path("p.svg"))
    for shown in (text, open(path("p.dot"), encoding="utf-8").read()):
        assert not any(c in shown for c in "\x1b\x01\t\x9b"), repr(shown)
    assert sum(line.endswith((" cpu", " sim:0")) for line in text.splitlines()) >= 2, text
    xml.dom.minidom.parse(path("p.svg"))
    document = last_json("plan", model, *CUT)
    assert [n["name"] for n in document["nodes"]] == [inner, inner + inner]
    assert "\x1b" not in partita("run", model, "--devices", "cpu")[0]
    assert "\x1b" not in partita("inspect", model)[0]
    assert list(last_json("run", model, "--devices", "cpu")["outputs"]) == [sink]
    assert last_json("inspect", model)["inputs"][0]["name"] == source


def no_utf8():
    def spoil(data):
        return data.replace(b"inner", b"i\xff\x80er").replace(b"sink", b"s\xfenk").replace(b"source", b"sourc\xc3")

    model = save([node("Relu", ["source"], ["h"], name="inner"), node("Neg", ["h"], ["sink"])], [value("source")],
                 [value("sink")], change=spoil)
    text, _ = partita("plan", model, *CUT, "--why", "--svg", path("p.svg"))
    assert "i??er (Relu): " in text, text
    xml.dom.minidom.parse(path("p.svg"))
    assert last_json("inspect", model)["outputs"][0]["name"] == "s?nk"
    assert list(last_json("run", model, "--devices", "cpu")["outputs"]) == ["s?nk"]
    partita("run", model, "--devices", "cpu", "--outputs", path("out.json"))
    assert list(json.load(open(path("out.json"), encoding="utf-8"))) == ["s?nk"]
    broken = save([node("Relu", ["nope"], ["y"])], [value("x")], [value("y")],
                  change=lambda data: data.replace(b"nope", b"n\xff\x1be"))
    error = last_json("run", broken, "--devices", "cpu", code=2)["error"]
    assert "n? e" in error["message"], error


def one_name_for_all():
    """A plan is taken back node by node, also where names do not tell them apart."""
    model = save([node(op, [f"v{i}"], [f"v{i + 1}"], name="same") for i, op in enumerate(["Relu", "Neg", "Abs", "Sign"])],
                 [value("v0")], [value("v4")])
    gives(model, {"v4": np.sign(np.abs(-np.maximum(X, 0)))}, *CUT, v0=X)
    partita("plan", model, *CUT, "-o", path("p.json"))
    saved = json.load(open(path("p.json"), encoding="utf-8"))
    again = last_json("plan", model, "--plan", path("p.json"))
    assert len({n["device"] for n in saved["nodes"]}) == 2
    assert [n["device"] for n in again["nodes"]] == [n["device"] for n in saved["nodes"]]
    for wrong in (3, ["cpu"], {}):
        saved["nodes"][1]["device"] = wrong
        json.dump(saved, open(path("q.json"), "w", encoding="utf-8"))
        _, words = partita("plan", model, "--plan", path("q.json"), code=2)
        assert "'same'" in words and "'device'" in words, words
    del saved["nodes"][1]
    json.dump(saved, open(path("q.json"), "w", encoding="utf-8"))
    _, words = partita("plan", model, "--plan", path("q.json"))
    assert "plan-node-missing: 1 nodes" in words, words


def no_name_and_no_order():
    model = save([node("Neg", ["a"], ["y"]), node("Relu", ["x"], ["a"])], [value("x")], [value("y")])
    gives(model, {"y": -np.maximum(X, 0)}, *CUT, x=X)
    assert [n["name"] for n in last_json("plan", model, *CUT)["nodes"]] == ["#0:Neg", "#1:Relu"]


def outputs_of_all_sorts():
    model = save([node("Relu", ["x"], ["y"])], [value("x"), value("unused", ("m", 5), TensorProto.INT64)],
                 [value("x"), value("w", [2, 3]), value("y"), value("y")], [numpy_helper.from_array(W, "w")])
    given = {"x": X, "unused": np.zeros((1, 5), np.int64)}
    for options in (("--devices", "cpu"), CUT, ("--devices", "sim:1")):
        gives(model, {"x": X, "w": W, "y": np.maximum(X, 0)}, *options, **given)


def numbers_that_wrap():
    """What is known of numbers when a model is loaded is what their type holds."""
    for a, b, bound in (([200], [100], [50]), ([30000], [30000], [0]), ([2 ** 31 - 1], [1], [0])):
        for kind in (np.uint8, np.int16, np.int32):
            if max(a) > np.iinfo(kind).max or np.iinfo(kind).max == sum(a + b):
                continue
            weights = [numpy_helper.from_array(np.array(v, kind), name) for v, name in ((a, "a"), (b, "b"), (bound, "c"))]
            outputs = [value(name, (1,), dtype) for name, dtype in (("g", TensorProto.BOOL), ("w", TensorProto.INT64),
                                                                    ("m", weights[0].data_type))]
            model = save([node("Add", ["a", "b"], ["s"]), node("Greater", ["s", "c"], ["g"]),
                          node("Cast", ["s"], ["w"], to=TensorProto.INT64), node("Max", ["s", "c"], ["m"])], [], outputs, weights)
            s, c = np.add(*(np.array(v, kind) for v in (a, b))), np.array(bound, kind)
            gives(model, {"g": s > c, "w": s.astype(np.int64), "m": np.maximum(s, c)}, "--devices", "cpu")


def slices_of_nothing():
    """Slices without elements are equal: there is one of them, though the tensor holds none."""
    outputs = [value("y", None), *(value(name, ("k",), TensorProto.INT64) for name in ("first", "inverse", "counts"))]
    for shape, axis, kept in (((3, 0), 0, (1, 0)), ((0, 5), 1, (0, 1))):
        model = save([node("Unique", ["x"], ["y", "first", "inverse", "counts"], axis=axis)], [value("x", ("a", "b"))], outputs)
        n = shape[axis]
        gives(model, {"y": np.zeros(kept, np.float32), "first": np.array([0]), "inverse": np.zeros(n, np.int64),
                      "counts": np.array([n])}, "--devices", "cpu", x=np.zeros(shape, np.float32))


def nothing_at_all():
    model = save([], [], [])
    assert last_json("run", model, "--devices", "cpu")["outputs"] == {}
    assert last_json("plan", model, "--devices", "cpu")["nodes"] == []
    partita("run", model, "--devices", "cpu", "--outputs", path("none.npz"))
    assert np.load(path("none.npz")).files == []


def nothing_for_numpy():
    """What an .npz cannot hold is named with its kind, and the file is one all the same."""
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None)
    model = save([node("SequenceConstruct", ["x", "x"], ["s"])], [value("x")], [sequence])
    _, words = partita("run", model, "--devices", "cpu", "--outputs", path("none.npz"))
    assert "partita: warning: npz-cannot-hold: output 's' (sequence)" in words, words
    assert np.load(path("none.npz")).files == []


def zeros_within_a_string():
    model = save([node("Identity", ["s"], ["t"])], [value("s", ["n"], TensorProto.STRING)],
                 [value("t", ["n"], TensorProto.STRING)])
    texts = np.array(["a\0b", "\0c", "", "dddd"])
    np.savez(path("in.npz"), s=texts)
    partita("run", model, "--devices", "cpu", "--inputs", path("in.npz"), "--outputs", path("out.npz"))
    assert np.load(path("out.npz"))["t"].tolist() == texts.tolist()


def elements_of_none():
    model = save([node("MatMul", ["x", "w"], ["y"]), node("ReduceSum", ["y"], ["s"], keepdims=0)],
                 [value("x", ("n", 2))], [value("y"), value("s", [])], [numpy_helper.from_array(W, "w")])
    x = np.zeros((0, 2), np.float32)
    for options in (("--devices", "cpu"), CUT):
        gives(model, {"y": x @ W, "s": np.float32(0)}, *options, x=x)


def a_long_chain():
    count = 10000
    nodes = [node("Neg" if i % 2 else "Abs", [f"v{i}"], [f"v{i + 1}"]) for i in range(count)]
    model = save(nodes, [value("v0")], [value(f"v{count}")])
    gives(model, {f"v{count}": -np.abs(X)}, "--devices", "cpu", v0=X)


def bodies_in_bodies():
    """Each body takes values from all graphs around it."""
    def body(depth):
        if depth == 0:
            nodes = [node("Add", ["x", "k"], ["o0"])]
        else:
            other = helper.make_graph([node("Sub", ["x", "k"], [f"e{depth}"])], f"else{depth}", [],
                                      [value(f"e{depth}", None)])
            nodes = [node("If", ["c"], [f"t{depth}"], then_branch=body(depth - 1), else_branch=other),
                     node("Mul", [f"t{depth}", "x"], [f"o{depth}"])]
        return helper.make_graph(nodes, f"body{depth}", [], [value(f"o{depth}", None)])

    other = helper.make_graph([node("Neg", ["x"], ["q"])], "else", [], [value("q", None)])
    model = save([node("Relu", ["xx"], ["x"]), node("If", ["c"], ["y"], then_branch=body(12), else_branch=other)],
                 [value("xx"), value("c", [], TensorProto.BOOL)], [value("y", None)],
                 [numpy_helper.from_array(np.float32(0.5), "k")])
    x = np.maximum(X / 8, 0)
    for truth, want in ((True, (x + np.float32(0.5)) * x ** 12), (False, -x)):
        for options in (("--devices", "cpu"), CUT):
            gives(model, {"y": want.astype(np.float32)}, *options, xx=X / 8, c=np.array(truth))


def no_trip_at_all():
    body = helper.make_graph(
        [node("Add", ["a", "x"], ["b"]), node("Identity", ["b"], ["s"]), node("Identity", ["c"], ["d"])], "body",
        [value("i", [], TensorProto.INT64), value("c", [], TensorProto.BOOL), value("a", [1, 3])],
        [value("d", [], TensorProto.BOOL), value("b", [1, 3]), value("s", [1, 3])])
    model = save([node("Loop", ["trips", "", "x"], ["last", "all"], body=body)],
                 [value("x", [1, 3]), value("trips", [], TensorProto.INT64)],
                 [value("last", [1, 3]), value("all", ("t", 1, 3))])
    x = X[:1]
    for trips in (0, 1, 3):
        each = np.stack([x * (i + 2) for i in range(trips)]) if trips else np.zeros((0, 1, 3), np.float32)
        for options in (("--devices", "cpu"), CUT):
            gives(model, {"last": x * (trips + 1), "all": each}, *options, x=x, trips=np.int64(trips))


def numbers_of_a_loop():
    """Random numbers without a seed are others in each turn, and from the start of a session the same; with one they stay."""
    for seed in ({}, {"seed": 2.0}):
        body = helper.make_graph([node("RandomUniform", [], ["r"], shape=[2], **seed), node("Identity", ["c"], ["d"])], "body",
                                 [value("i", [], TensorProto.INT64), value("c", [], TensorProto.BOOL)],
                                 [value("d", [], TensorProto.BOOL), value("r", [2])])
        model = save([node("Loop", ["trips", ""], ["all"], body=body)], [value("trips", [], TensorProto.INT64)],
                     [value("all", ("t", 2))])
        for name in ("out.npz", "again.npz"):
            np.savez(path("in.npz"), trips=np.int64(4))
            partita("run", model, "--devices", "cpu", "--inputs", path("in.npz"), "--outputs", path(name))
        drawn = np.load(path("out.npz"))["all"]
        assert np.array_equal(drawn, np.load(path("again.npz"))["all"]), drawn
        assert len(np.unique(drawn)) == (2 if seed else 8), drawn


for title, arguments in (("quotes", ('a"b\\c', "x<&>", "y'y")), ("lines and escapes", ("a\nb\x1b[2J\x01", "x\nx", "y\ty")),
                         ("long texts of other scripts", ("узел" * 20, "вход", "出力")), ("C1 controls", ("a\x9bb", "x", "y"))):
    cases.run(f"names with {title}", names, *arguments)
for function in (no_utf8, one_name_for_all, no_name_and_no_order, outputs_of_all_sorts, slices_of_nothing,
                 numbers_that_wrap, nothing_at_all, nothing_for_numpy, zeros_within_a_string, elements_of_none, a_long_chain,
                 bodies_in_bodies, no_trip_at_all, numbers_of_a_loop):
    cases.run(function.__name__.replace("_", " "), function)
cases.end()
