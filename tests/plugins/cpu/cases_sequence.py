# SPDX-License-Identifier: Apache-2.0
"""Sequences, optionals, text, random numbers (their bounds, not their values), Col2Im."""
import numpy as np
from make_cases import Optional

F, I = np.float32, np.int64


def i(value):
    return np.array(value, I)


def text(*values):
    return np.array(values, object)


def sequences(case, rng):
    a, b, c = (rng.standard_normal(s).astype(F) for s in ((2, 3), (2, 1), (2, 2)))
    s, t = text("x", "yy"), text("", "z", "w")
    for items in ([a, b, c], [s, t]):
        n = str(items[0].dtype)
        case("SequenceConstruct", 11, items, expect=[items], note=n)
        for at in (0, 1, -1):
            case("SequenceAt", 11, [items, i(at)], data_shaped=True, expect=[items[at]], note=n)
        case("SequenceLength", 11, [items], expect=[i(len(items))], note=n)
        case("SequenceErase", 11, [items], expect=[items[:-1]], note=n)
        case("SequenceErase", 11, [items, np.array(0, np.int32)], expect=[items[1:]], note=n)
        case("SequenceInsert", 11, [items, items[0]], expect=[items + items[:1]], note=n)
        case("SequenceInsert", 11, [items, items[0], i(-1)], expect=[items[:-1] + items[:1] + items[-1:]], note=n)
        case("SequenceInsert", 11, [items, items[0], i(len(items))], expect=[items + items[:1]], note=n)
        case("Identity", 16, [items], expect=[items], note=n)
    case("SequenceAt", 11, [[a, b], i(2)], data_shaped=True, expect=[a], status=3, note="past the end")
    case("SequenceErase", 11, [[a, b], i(-3)], expect=[[a]], status=3, note="before the start")
    case("SequenceInsert", 11, [[a, b], a, i(3)], expect=[[a]], status=3, note="past the end")
    case("SequenceErase", 11, [[]], expect=[[]], status=3, note="empty")
    case("SequenceEmpty", 11, [], {"dtype": 1}, expect=[[]])
    case("SequenceLength", 11, [[]], expect=[i(0)])
    case("SequenceInsert", 11, [[], a], expect=[[a]])
    case("ConcatFromSequence", 11, [[a, b, c]], {"axis": 1}, data_shaped=True, expect=[np.concatenate([a, b, c], 1)])
    case("ConcatFromSequence", 11, [[a, a]], {"axis": -1, "new_axis": 1}, data_shaped=True, expect=[np.stack([a, a], -1)])
    case("ConcatFromSequence", 11, [[a, a]], {"axis": 0, "new_axis": 1}, data_shaped=True, expect=[np.stack([a, a])])
    case("ConcatFromSequence", 11, [[s, t]], {"axis": 0}, expect=[np.concatenate([s, t])])
    case("ConcatFromSequence", 11, [[np.array([["a", "b"]], object), np.array([["c", "d"]], object)]], {"axis": 1},
         expect=[np.array([["a", "b", "c", "d"]], object)])
    case("ConcatFromSequence", 11, [[s, s]], {"axis": 1, "new_axis": 1}, expect=[np.stack([s, s], 1)])
    case("ConcatFromSequence", 11, [[a, b]], {"axis": 0}, data_shaped=True, expect=[a], status=3, note="shapes")
    case("ConcatFromSequence", 11, [[]], {"axis": 0}, data_shaped=True, expect=[a], status=3, note="empty")
    x = rng.standard_normal((5, 4)).astype(F)
    case("SplitToSequence", 11, [x], expect=[[x[k:k + 1] for k in range(5)]])
    case("SplitToSequence", 11, [x], {"keepdims": 0, "axis": 1}, expect=[[x[:, k] for k in range(4)]])
    case("SplitToSequence", 11, [x, i(2)], expect=[[x[:2], x[2:4], x[4:]]])
    case("SplitToSequence", 11, [x, i(2 ** 63 - 1)], expect=[[x]])
    case("SplitToSequence", 11, [x, np.array([3, 0, 2])], {"keepdims": 0}, expect=[[x[:3], x[3:3], x[3:]]])
    case("SplitToSequence", 11, [t, i(2)], expect=[[t[:2], t[2:]]])
    case("SplitToSequence", 11, [x, np.array([3, 3])], expect=[[x]], status=3, note="too long")
    case("SplitToSequence", 11, [x, i(0)], expect=[[x]], status=3, note="pieces of 0")
    case("Optional", 15, [a], expect=[Optional([a])])
    case("Optional", 15, [[a, b]], expect=[Optional([[a, b]])])
    case("OptionalHasElement", 18, [Optional([a])], expect=[np.array(True)])
    case("OptionalHasElement", 18, [Optional([])], expect=[np.array(False)])
    case("OptionalHasElement", 18, [a], expect=[np.array(True)])
    case("OptionalGetElement", 18, [Optional([a])], data_shaped=True, expect=[a])
    case("OptionalGetElement", 18, [Optional([s])], expect=[s])
    case("OptionalGetElement", 18, [Optional([[a, b]])], expect=[[a, b]])
    case("OptionalGetElement", 18, [a], data_shaped=True, expect=[a])
    case("OptionalGetElement", 18, [Optional([])], data_shaped=True, expect=[a], status=3, note="empty")
    case("Identity", 16, [Optional([a])], expect=[Optional([a])])


def texts(case, rng):
    case("StringConcat", 20, [text("a", "b", ""), text(".com", "", "x")], expect=[text("a.com", "b", "x")])
    case("StringConcat", 20, [np.array([["a"], ["b"]], object), text("1", "2")], expect=[np.array([["a1", "a2"], ["b1", "b2"]], object)])
    case("StringConcat", 20, [np.array([], object), np.array("x", object)], expect=[np.array([], object)])
    x = text("hello world !", "  a   b c ", "", "é è")
    for attrs in ({}, {"delimiter": " "}, {"maxsplit": 1}, {"delimiter": "l", "maxsplit": 2}, {"delimiter": "world"}, {"delimiter": ""}):
        pieces = [v.split(attrs.get("delimiter") or None, attrs.get("maxsplit", -1)) for v in x]
        most = max(map(len, pieces))
        case("StringSplit", 20, [x], attrs, data_shaped=True,
             expect=[np.array([p + [""] * (most - len(p)) for p in pieces], object), np.array([len(p) for p in pieces], I)])
    words = text("Monday", "tuesday", "Wednesday", "École")
    for action, f in (("NONE", str), ("LOWER", str.lower), ("UPPER", str.upper)):
        case("StringNormalizer", 10, [words], {"case_change_action": action, "is_case_sensitive": 1, "stopwords": ["monday", "tuesday"]},
             data_shaped=True, expect=[text(*(f(w) for w in words if w != "tuesday"))])
        case("StringNormalizer", 10, [words[None]], {"case_change_action": action, "stopwords": ["monday", "ÉCOLE"]},
             data_shaped=True, expect=[text(*(f(w) for w in words[1:3]))[None]])
    case("StringNormalizer", 10, [words[:1]], {"stopwords": ["MONDAY"]}, data_shaped=True, expect=[text("")])
    case("StringNormalizer", 10, [words], {"case_change_action": "LOWER"}, data_shaped=True, expect=[text(*(w.lower() for w in words))])


def chance(case, rng):
    """Only what is sure: bounds through the tolerance, kinds of numbers, certain outcomes."""
    for op, opset, attrs in (("RandomUniform", 22, {"low": 3.0, "high": 5.0}), ("RandomUniform", 1, {"low": 3.0, "high": 5.0, "seed": 7.0})):
        case(op, opset, [], {"shape": [5, 4], **attrs}, expect=[np.full((5, 4), 4, F)], atol=1, rtol=0)
    case("RandomUniformLike", 22, [np.zeros((3, 2), F)], {"dtype": 11}, expect=[np.full((3, 2), 0.5)], atol=0.5, rtol=0)
    case("RandomNormal", 22, [], {"shape": [400], "mean": 2.0, "scale": 0.01}, expect=[np.full(400, 2, F)], atol=0.06, rtol=0)
    case("RandomNormalLike", 1, [np.zeros((30,), F)], {"mean": -2.0, "scale": 0.0}, expect=[np.full(30, -2, F)])
    case("Bernoulli", 15, [np.array([0, 1, 0, 1], F)], expect=[np.array([0, 1, 0, 1], F)])
    case("Bernoulli", 22, [np.array([0, 1], F)], {"dtype": 7}, expect=[np.array([0, 1], I)])
    case("Multinomial", 7, [np.array([[-1000, 0, -1000], [0, -1000, -1000]], F)], {"sample_size": 4},
         expect=[np.array([[1] * 4, [0] * 4], np.int32)])
    x = np.ones(50, F)
    case("Dropout", 13, [x, np.array(0.0, F), np.array(True)], expect=[x, np.ones(50, bool)])
    case("Dropout", 13, [x, np.array(0.5, F), np.array(True)], expect=[np.ones(50, F)], atol=1, rtol=0)


def images(case, rng):
    x = rng.standard_normal((1, 5, 5)).astype(F)
    case("Col2Im", 18, [x, np.array([5, 5]), np.array([1, 5])])
    for dtype in (np.bool_, np.complex64, np.complex128):  # the truth is ONNX's reference: bools are or-ed
        x = rng.integers(0, 2, (1, 9, 25)) if dtype == np.bool_ else rng.standard_normal((1, 9, 25)) * (1 + 2j)
        case("Col2Im", 18, [x.astype(dtype), np.array([5, 5]), np.array([3, 3])], {"pads": [1, 1, 1, 1]})
    case("Col2Im", 18, [rng.standard_normal((2, 12, 12)).astype(F), np.array([4, 5]), np.array([2, 2])])
    case("Col2Im", 18, [rng.standard_normal((1, 9, 4)).astype(F), np.array([5, 5]), np.array([3, 3])], {"strides": [2, 2]})
    case("Col2Im", 18, [rng.standard_normal((1, 4, 5)).astype(F), np.array([6, 6]), np.array([2, 2])], {"dilations": [1, 5], "strides": [1, 5]})
    case("Col2Im", 18, [rng.standard_normal((1, 5, 15)).astype(F), np.array([5, 5]), np.array([1, 5])], {"pads": [0, 1, 0, 1]})
    case("Col2Im", 18, [rng.standard_normal((1, 8, 12)).astype(F), np.array([3, 4, 3]), np.array([2, 2, 2])])
    case("Col2Im", 18, [rng.standard_normal((1, 8, 13)).astype(F), np.array([3, 4, 3]), np.array([2, 2, 2])],
         expect=[np.zeros((1, 1, 3, 4, 3), F)], status=3, note="columns")


def make(case, rng):
    for part in (sequences, texts, chance, images):
        part(case, rng)
