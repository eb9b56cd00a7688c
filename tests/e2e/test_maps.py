# SPDX-License-Identifier: Apache-2.0
"""Maps of ai.onnx.ml: ZipMap, CastMap, DictVectorizer on `cpu` and `reference`, against their specification."""
import os
import tempfile

import numpy as np
from onnx import TensorProto, helper

import common
from api import Context, Failure, Model, Session

KEYS = {int: TensorProto.INT64, str: TensorProto.STRING}
TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float64): TensorProto.DOUBLE, np.dtype(np.int64): TensorProto.INT64,
         np.dtype(object): TensorProto.STRING}


def map_type(given):
    """The type of a map: that of its keys and of its values."""
    key = KEYS[type(next(iter(given)))]
    value = np.array(list(given.values()), object if isinstance(next(iter(given.values())), str) else None)
    return helper.make_map_type_proto(key, helper.make_tensor_type_proto(TYPES[value.dtype], []))


def run(context, device, op, given, attributes):
    node = helper.make_node(op, ["x"], ["y"], domain="ai.onnx.ml", **attributes)
    kind = map_type(given) if isinstance(given, dict) else helper.make_tensor_type_proto(TYPES[given.dtype], given.shape)
    graph = helper.make_graph([node], "maps", [helper.make_value_info("x", kind)], [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("ai.onnx.ml", 1)], ir_version=10)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        with open(path, "wb") as file:
            file.write(model.SerializeToString())
        loaded = Model(context, path)
        session = Session(loaded, device)
        try:
            return session.run({"x": given})[0]
        finally:
            session.close()
            loaded.close()


def equal(context, device, want, op, given, attributes):
    got = run(context, device, op, given, attributes)
    if isinstance(want, list):
        assert len(got) == len(want), f"{len(got)} maps, expected {len(want)}"
        for g, w in zip(got, want):
            assert list(g) == list(w) and np.array_equal(list(g.values()), np.array(list(w.values()), np.float32)), f"{g} for {w}"
        return
    common.assert_close(got, want, op)


def fails(context, device, word, op, given, attributes):
    try:
        run(context, device, op, given, attributes)
    except Failure as error:
        assert word in str(error), f"{error} does not say {word}"
        return
    raise AssertionError("it ran")


def f32(**values):
    return {int(k[1:]): np.float32(v) for k, v in values.items()}


scores = np.array([[0.25, 0.5, 0.25], [1, 0, 0]], np.float32)
CASES = [
    ([{4: 0.25, -5: 0.5, 6: 0.25}, {4: 1, -5: 0, 6: 0}], "ZipMap", scores, {"classlabels_int64s": [4, -5, 6]}),
    ([{"a": 0.25, "é": 0.5, "": 0.25}, {"a": 1, "é": 0, "": 0}], "ZipMap", scores, {"classlabels_strings": ["a", "é", ""]}),
    ([{4: 0.25, 5: 0.5, 6: 0.25}], "ZipMap", scores[0], {"classlabels_int64s": [4, 5, 6]}),
    ([], "ZipMap", scores[:0], {"classlabels_int64s": [4, 5, 6]}),
    (np.array([[7, 2.5, -1]], np.float32), "CastMap", f32(_9=-1, _1=7, _3=2.5), {}),
    (np.array([[7, 2, -1]], np.int64), "CastMap", f32(_9=-1, _1=7, _3=2.5), {"cast_to": "TO_INT64"}),
    (np.array([[0, 7, 0, 2.5]], np.float32), "CastMap", f32(_1=7, _3=2.5), {"map_form": "SPARSE", "max_map": 4}),
    (np.array([["x", "yy"]], object), "CastMap", {5: "yy", 2: "x"}, {"cast_to": "TO_STRING"}),
    (np.array([["7.000000", "2.500000"]], object), "CastMap", f32(_1=7, _3=2.5), {"cast_to": "TO_STRING"}),
    (np.array([["0.f", "7.000000", "0.f"]], object), "CastMap", f32(_1=7),
     {"cast_to": "TO_STRING", "map_form": "SPARSE", "max_map": 3}),  # as onnxruntime fills it
    (np.array([[2.5, -4]], np.float32), "CastMap", {1: "2.5", 2: "-4"}, {}),
    (np.array([[9007199254740993, -4]], np.int64), "CastMap", {1: "9007199254740993", 2: "-4"}, {"cast_to": "TO_INT64"}),
    (np.array([[4, 8, 0, 0]], np.float32), "DictVectorizer", {"c": np.float32(8), "a": np.float32(4)},
     {"string_vocabulary": ["a", "c", "b", "z"]}),
    (np.array([[0, 8, 4]], np.float64), "DictVectorizer", {7: 4.0, 3: 8.0}, {"int64_vocabulary": [1, 3, 7]}),
    (np.array([[0, 8, 4]], np.int64), "DictVectorizer", {"é": 4, "b": 8}, {"string_vocabulary": ["a", "b", "é"]}),
    (np.array([["", "q", "ü"]], object), "DictVectorizer", {7: "ü", 3: "q"}, {"int64_vocabulary": [1, 3, 7]}),
]
BAD = [
    ("columns", "ZipMap", scores, {"classlabels_int64s": [1, 2]}),
    ("class labels", "ZipMap", scores, {}),
    ("max_map", "CastMap", f32(_4=1), {"map_form": "SPARSE", "max_map": 4}),
    ("no number", "CastMap", {1: "many"}, {}),
    ("map_form", "CastMap", f32(_4=1), {"map_form": "THIN"}),
    ("vocabulary", "DictVectorizer", f32(_4=1), {}),
    ("vocabulary", "DictVectorizer", f32(_4=1), {"string_vocabulary": ["a"]}),
]

if __name__ == "__main__":
    context = Context()
    cases = common.Cases()
    for device in ("cpu", "reference"):
        for i, (want, op, given, attributes) in enumerate(CASES):
            cases.run(f"{op} {i} on {device}", equal, context, device, want, op, given, attributes)
        for i, (word, op, given, attributes) in enumerate(BAD):
            cases.run(f"bad {op} {i} on {device}", fails, context, device, word, op, given, attributes)
    context.close()
    cases.end()
