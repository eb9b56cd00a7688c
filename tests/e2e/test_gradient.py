# SPDX-License-Identifier: Apache-2.0
"""Gradient against central differences in double, for every operator that has a derivative: static and symbolic shapes,
second order, other values than the named ones, what has no derivative. Forward numbers are those of onnx's evaluator."""
import os
import re
import tempfile
import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import api
import common
import gradient_cases

TRAINING = "ai.onnx.preview.training"
D = TensorProto.DOUBLE
STEP, RTOL, ATOL, SAMPLES = 1e-5, 2e-5, 2e-7, 8
cases = common.Cases()
context = api.Context(2)


def opsets(version):
    return [helper.make_opsetid("", version), helper.make_opsetid(TRAINING, 1)]


def info(name, array, symbolic=False):
    shape = [None] * array.ndim if symbolic and array.dtype.kind == "f" else array.shape
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape)


def make_model(nodes, feeds, outputs, version, constants=(), symbolic=False):
    inputs = [info(name, array, symbolic) for name, array in feeds.items() if name not in constants]
    initializers = [numpy_helper.from_array(feeds[name], name) for name in constants]
    results = [helper.make_tensor_value_info(name, D, None) for name in outputs]
    graph = helper.make_graph(nodes, "gradient", inputs, results, initializers)
    return helper.make_model(graph, opset_imports=opsets(version), ir_version=10)


def partita(model, feeds, device="reference"):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        onnx.save(model, path)
        loaded = api.Model(context, path)
        try:
            session = api.Session(loaded, devices=device)
            try:
                return session.run(feeds)
            finally:
                session.close()
        finally:
            loaded.close()


def forward_of(case, nodes, feeds, result):
    """A function of the feeds: onnx's evaluator where it runs the node, else this library's own."""
    model = make_model(nodes, feeds, [result], case.opset, case_constants(case))
    try:
        if case.opset < 7:
            raise NotImplementedError("onnx's evaluator takes old versions for new ones")
        evaluator = ReferenceEvaluator(model)

        def run(values):
            return evaluator.run(None, {k: v for k, v in values.items() if k not in case_constants(case)})[0]

        got = partita(model, feeds)[0]
        np.testing.assert_allclose(run(feeds), got, rtol=1e-9, atol=1e-11)
        return run
    except Exception:  # of any kind: it is not onnx's evaluator that is judged
        return lambda values: partita(model, values)[0]


def case_constants(case):
    return [f"x{i}" for i in case.constant if i < len(case.inputs) and case.inputs[i] is not None]


def differences(run, feeds, names, got, weights):
    """Single elements, and one random direction over all of them."""
    rng = np.random.default_rng(5)
    for name in names:
        x = feeds[name]
        assert got[name].shape == x.shape, f"{name}: shape {got[name].shape} for {x.shape}"
        directions = [np.zeros(x.shape) for _ in range(min(SAMPLES, x.size))]
        for direction, at in zip(directions, rng.permutation(x.size)):
            direction.reshape(-1)[at] = 1
        for direction in directions + [rng.uniform(-1, 1, x.shape)]:
            step = STEP if x.dtype == np.float64 else 1e-3
            ends = [run({**feeds, name: (x + sign * step * direction).astype(x.dtype)}) for sign in (1, -1)]
            want = ((ends[0] - ends[1]) * weights).sum() / (2 * step)
            mine = (got[name] * direction).sum()
            tolerance = (RTOL * max(1, abs(want)) + ATOL) * (1 if x.dtype == np.float64 else 100)
            assert abs(mine - want) <= tolerance, f"{name}: {mine} by Gradient, {want} by differences"


def first_order(case):
    """nodes of the forward graph, feeds, names that are differentiated."""
    feeds = {f"x{i}": np.asarray(x) for i, x in enumerate(case.inputs) if x is not None}
    names = [name for name, x in feeds.items() if x.dtype in (np.float64, np.float32)
             and int(name[1:]) not in (*case.fixed, *case.constant)]
    inputs = [f"x{i}" if x is not None else "" for i, x in enumerate(case.inputs)]
    outputs = [f"y{i}" for i in range(case.outputs)]
    nodes = [helper.make_node(case.op, inputs, outputs, **case.attributes)]
    if not any(feeds[name].dtype == np.float64 for name in names):
        nodes.append(helper.make_node("Cast", ["y0"], ["y"], to=D))
        return nodes, feeds, names, "y"
    return nodes, feeds, names, outputs[case.by]


def gradient_nodes(names, zs, y, suffix=""):
    return [helper.make_node("Gradient", [*names, *zs], [f"d{name}{suffix}" for name in names], domain=TRAINING, xs=names,
                             y=y, **({"zs": zs} if zs else {}))]


def check_case(case):
    nodes, feeds, names, result = first_order(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = forward_of(case, nodes, feeds, result)
        weights = np.random.default_rng(3).uniform(-1, 1, run(feeds).shape)
        whole = {**feeds, "w": weights}
        zs = [name for name in whole if name not in names]
        nodes = [*nodes, helper.make_node("Mul", [result, "w"], ["weighted"]), *gradient_nodes(names, zs, "weighted")]
        for symbolic in (False, True):
            model = make_model(nodes, whole, [f"d{name}" for name in names], case.opset, case_constants(case), symbolic)
            for index, output in enumerate(model.graph.output):
                output.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(feeds[names[index]].dtype)
            for device in ("reference", "cpu") if not symbolic else ("reference",):
                got = dict(zip(names, partita(model, whole, device)))
                differences(run, feeds, names, got, weights)


def check_second_order(case):
    """The gradient of a weighted sum of the first gradients."""
    nodes, feeds, names, result = first_order(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        weights = np.random.default_rng(3).uniform(-1, 1, partita(make_model(nodes, feeds, [result], case.opset), feeds)[0].shape)
        rng = np.random.default_rng(4)
        whole = {**feeds, "w": weights, **{f"v{name}": rng.uniform(-1, 1, feeds[name].shape) for name in names}}
        zs = [name for name in feeds if name not in names] + ["w"]
        nodes = [*nodes, helper.make_node("Mul", [result, "w"], ["weighted"]), *gradient_nodes(names, zs, "weighted")]
        for name in names:
            nodes += [helper.make_node("Mul", [f"d{name}", f"v{name}"], [f"m{name}"]),
                      helper.make_node("ReduceSum", [f"m{name}"], [f"s{name}"], keepdims=0)]
        nodes.append(helper.make_node("Sum", [f"s{name}" for name in names], ["first"]))
        first = make_model(nodes, whole, ["first"], case.opset)
        zs += [f"v{name}" for name in names]
        second = make_model([*nodes, *gradient_nodes(names, zs, "first", "2")], whole, [f"d{name}2" for name in names],
                            case.opset)
        got = dict(zip(names, partita(second, whole)))
        differences(lambda values: partita(first, values)[0], whole, names, got, np.ones(()))


def check_other_values():
    """H = X W at another value than its own, where that value also counts by itself; and a second use of one value."""
    rng = np.random.default_rng(6)
    feeds = {name: rng.uniform(-1, 1, (2, 2)) for name in ("X", "W", "H1")}
    nodes = [helper.make_node("MatMul", ["X", "W"], ["H"]), helper.make_node("Exp", ["H"], ["E"]),
             helper.make_node("Mul", ["E", "H1"], ["P"]), helper.make_node("Mul", ["P", "H"], ["Y"]),
             helper.make_node("Gradient", ["H1"], ["dH"], domain=TRAINING, xs=["H"], y="Y"),
             helper.make_node("Gradient", ["H1", "X", "H1"], ["dA", "dB"], domain=TRAINING, xs=["H", "W"], zs=["X"], y="Y")]
    at_given, at_named, _ = partita(make_model([*nodes, helper.make_node("Identity", ["H"], ["copy"])], feeds,
                                               ["dH", "dA", "copy"], 22), feeds)
    want = np.exp(feeds["H1"]) * feeds["H1"] * (1 + feeds["H1"])
    np.testing.assert_allclose(at_given, want, rtol=1e-12)
    np.testing.assert_allclose(at_named, want, rtol=1e-12)


def check_paths():
    """No way from x to y, an integer on the way, x that is y, an output that nobody wants, float32 and float16."""
    for dtype in (np.float16, np.float32, np.float64):
        feeds = {"x": np.array([1.5, 2.5], dtype), "z": np.array([2, 3], dtype)}
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        nodes = [helper.make_node("ArgMax", ["x"], ["i"], keepdims=0), helper.make_node("Cast", ["i"], ["c"], to=kind),
                 helper.make_node("Mul", ["c", "z"], ["y"]),
                 helper.make_node("Gradient", ["x", "z"], ["dx", "dz"], domain=TRAINING, xs=["x", "z"], y="y"),
                 helper.make_node("Gradient", ["x", "z"], ["", "ez"], domain=TRAINING, xs=["x", "z"], y="y"),
                 helper.make_node("Gradient", ["z"], ["one"], domain=TRAINING, xs=["z"], y="z")]
        model = make_model(nodes, feeds, ["dx", "dz", "ez", "one"], 22)
        for output in model.graph.output:
            output.type.tensor_type.elem_type = kind
        for device in ("reference", "cpu"):
            for got, want in zip(partita(model, feeds, device), ([0, 0], [1, 1], [1, 1], [1, 1])):
                assert got.dtype == dtype and got.tolist() == want, (got, want)


def check_scopes():
    """Names within a function and within a branch; captures."""
    inner = [helper.make_node("Mul", ["a", "b"], ["p"]), helper.make_node("Mul", ["p", "a"], ["q"]),
             helper.make_node("Gradient", ["a", "b"], ["da", "db"], domain=TRAINING, xs=["a", "b"], y="q")]
    function = helper.make_function("own", "f", ["a", "b"], ["da", "db"], inner, opsets(22))
    feeds = {"x": np.array([1.5, 2.0]), "b": np.array([3.0, -1.0])}
    model = make_model([helper.make_node("f", ["x", "b"], ["u", "v"], domain="own")], feeds, ["u", "v"], 22)
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    got = partita(model, feeds)
    np.testing.assert_allclose(got[0], 2 * feeds["x"] * feeds["b"])
    np.testing.assert_allclose(got[1], feeds["x"] ** 2)
    branch = helper.make_graph([helper.make_node("Mul", ["s", "x"], ["t"]),
                                helper.make_node("Gradient", ["x"], ["g"], domain=TRAINING, xs=["x"], y="t")],
                               "branch", [], [helper.make_tensor_value_info("g", D, None)])
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["n"])], "other", [],
                              [helper.make_tensor_value_info("n", D, None)])
    feeds["flag"] = np.array(True)
    nodes = [helper.make_node("Mul", ["x", "b"], ["s"]),
             helper.make_node("If", ["flag"], ["r"], then_branch=branch, else_branch=other)]
    got = partita(make_model(nodes, feeds, ["r"], 22), feeds)
    np.testing.assert_allclose(got[0], 2 * feeds["x"] * feeds["b"])


def check_refused(words, nodes, feeds=None):
    feeds = feeds or {"x": np.ones((2, 2)), "z": np.ones((2, 2))}
    try:
        partita(make_model(nodes, feeds, ["d"], 22), feeds)
    except api.Failure as failure:
        for word in words:
            assert word in str(failure), failure
        return
    raise AssertionError("was taken")


def gradient(inputs, **attributes):
    return helper.make_node("Gradient", inputs, ["d"], domain=TRAINING, name="grad", **attributes)


def refusals():
    square = helper.make_node("Mul", ["x", "z"], ["y"], name="square")
    det = helper.make_node("Det", ["x"], ["y"], name="volume")
    branch = [helper.make_graph([helper.make_node("Exp", ["x"], [name])], name, [],
                                [helper.make_tensor_value_info(name, D, None)]) for name in ("p", "q")]
    flow = helper.make_node("If", ["flag"], ["y"], name="fork", then_branch=branch[0], else_branch=branch[1])
    flag = {"x": np.ones(2), "flag": np.array(True)}
    yield "operator without derivative", ("'volume' (Det)", "'grad'", "no derivative"), [det, gradient(["x"], xs=["x"], y="y")]
    yield "control flow", ("'fork' (If)", "no derivative"), [flow, gradient(["x"], xs=["x"], y="y")], flag
    yield "unknown x", ("'nobody'", "xs", "grad"), [square, gradient(["x"], xs=["nobody"], y="y")]
    yield "unknown z", ("'nobody'", "zs"), [square, gradient(["x", "z"], xs=["x"], zs=["nobody"], y="y")]
    yield "unknown y", ("'nobody'", "attribute y"), [square, gradient(["x"], xs=["x"], y="nobody")]
    yield "too few inputs", ("1 inputs",), [square, gradient(["x"], xs=["x"], zs=["z"], y="y")]
    yield "named twice", ("named twice",), [square, gradient(["x", "x"], xs=["x"], zs=["x"], y="y")]
    yield "no x", ("xs",), [square, helper.make_node("Gradient", ["x"], ["d"], domain=TRAINING, name="grad", zs=["x"], y="y")]
    yield "integer y", ("floating-point",), [helper.make_node("Shape", ["x"], ["y"]), gradient(["x"], xs=["x"], y="y")]
    yield "y of itself", ("cycle",), [gradient(["x"], xs=["x"], y="w"), helper.make_node("Mul", ["d", "x"], ["w"])]
    yield "reduction", ("'scatter'", "reduction 'mul'"), [
        helper.make_node("ScatterElements", ["x", "i", "z"], ["y"], name="scatter", reduction="mul"),
        gradient(["x"], xs=["x"], y="y")], {"x": np.ones(3), "z": np.ones(1), "i": np.zeros(1, np.int64)}


def check_all_there(tested):
    """Every operator that rows.inc names has a case."""
    with open(os.path.join(common.ROOT, "core/gradient/rows.inc"), encoding="utf-8") as file:
        rows = set(re.findall(r"^ROW_\w+\((\w+), ", file.read(), re.M))
    assert rows == tested, f"without a case: {sorted(rows - tested)}; without a row: {sorted(tested - rows)}"


SMOOTH = ("Add", "Div", "MatMul", "Gemm", "Exp", "Tanh", "Sigmoid", "Softmax", "LogSoftmax", "Conv", "AveragePool", "MaxPool",
          "LayerNormalization", "ReduceMean", "ReduceSum", "Transpose", "Reshape", "Concat", "Gather", "Slice", "Relu", "Pow",
          "Gelu", "SoftmaxCrossEntropyLoss", "Where", "ConvTranspose")
everything = list(gradient_cases.all_cases())
seen = {}
for number, case in enumerate(everything):
    cases.run(case.name(number), check_case, case)
    if case.op in SMOOTH and case.opset >= 18 and case.by == 0 and not case.constant:
        seen.setdefault(case.op, []).append(number)
for op, numbers in seen.items():
    for number in numbers[1:3] if len(numbers) > 1 else numbers:
        cases.run("second order " + everything[number].name(number), check_second_order, everything[number])
cases.run("other values", check_other_values)
cases.run("paths", check_paths)
cases.run("scopes", check_scopes)
for name, *refused in refusals():
    cases.run("refused: " + name, check_refused, *refused)
cases.run("every row has a case", check_all_there, {case.op for case in everything})
cases.end()
