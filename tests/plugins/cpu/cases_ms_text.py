# SPDX-License-Identifier: Apache-2.0
"""Tokenizer and MurmurHash3 of com.microsoft, against onnxruntime."""
import numpy as np

MS = "com.microsoft"
TEXTS = ["", " ", "a", "one two  three", "tab\tnew\nline", "Grüße aus Köln", "日本語 テキスト", "a,b;c  d", "😀 smile😀😀",
         "x" * 40, "12 apples, 3.5 pears", "__init__ self.x", "e\u0301 combining", "\x00 nul \x00", "aaa", "abababab"]
SEPARATORS = [[" "], [" ", ","], [","], [r"\s+"], [r"[ ,;]+"], [r"\s", r"[a-c]+"], ["a|ab|aba"], ["ü", "ö"], ["😀"], ["x*y"],
              [r"[^\w]"], ["(a)(b)?"], ["zzz"], [r"\d+", r"\.", " "], ["^a"], ["b$"], [".+"], [r"\pL+"]]
EXPRESSIONS = [r"\w+", r"[a-z]+", r"\d+(\.\d+)?", r"[^ ]+", "a|ab|aba", r"\pL+", "😀", r"(?i)[A-Z]+", "..", r"\b\w\w+\b", "^.",
               r"[\s\S]+", "zzz", r"[a-zA-Z0-9_]+", "."]


def drawn(rng, *shape):
    picks = rng.integers(0, len(TEXTS), shape)
    return np.array([TEXTS[i] for i in picks.ravel()], object).reshape(shape)


def make(case, rng):
    base = {"mark": 0, "mincharnum": 1, "pad_value": "#"}
    forms = [{"separators": s} for s in SEPARATORS] + [{"tokenexp": e} for e in EXPRESSIONS] + [{"separators": [""]}]
    for i, form in enumerate(forms):
        for mark in (0, 1):
            single = form.get("separators") == [""] or form.get("tokenexp") == "."
            for shortest in (1,) if single else (1, 2, 4):
                attrs = {"mark": mark, "mincharnum": shortest, "pad_value": ["#", "", "ü 日"][(i + mark) % 3]} | form
                for shape in ((3,), (2, 3), (1, 1)):
                    case("Tokenizer", 1, [drawn(rng, *shape)], attrs, domain=MS, data_shaped=True)
                case("Tokenizer", 1, [np.array(TEXTS, object)], attrs, domain=MS, data_shaped=True)
    for text in ([""], ["", " "], ["   "]):
        for form in ({"separators": [" "]}, {"separators": [""]}, {"tokenexp": "[a-z]"}):
            case("Tokenizer", 1, [np.array(text, object)], base | {"mark": 1} | form, domain=MS, data_shaped=True)
    # Of both kinds of expressions the separators count.
    case("Tokenizer", 1, [drawn(rng, 4)], base | {"separators": [" "], "tokenexp": "a"}, domain=MS, data_shaped=True)
    # Expressions over which a search that goes back and forth would never end.
    for form in ({"separators": ["(a+)+$"]}, {"tokenexp": "(a|aa)+$"}, {"separators": ["(.*)(.*)(.*)(.*)x"]}):
        case("Tokenizer", 1, [np.array(["a" * 3000 + "b", "ab"], object)], base | form, domain=MS, data_shaped=True)
    empty_matches(case, base)
    for bad in ("\udcff", "a\udcc0\udcaf", "\udced\udca0\udc80", "\udcf5\udc80\udc80\udc80", "\udce2\udc82", "\udc80"):
        for form in ({"separators": [" "]}, {"separators": [""]}, {"tokenexp": "[a-z]"}):
            wrong(case, [np.array(["fine", bad], object)], base | form)
    wrong(case, [np.array([[["a"]]], object)], base | {"separators": [" "]})
    wrong(case, [np.array(["日"], object)], base | {"separators": [r"\C$"]})
    hashes(case, rng)


def wrong(case, inputs, attrs):
    case("Tokenizer", 1, inputs, attrs, expect=[np.zeros((1,), object)], domain=MS, data_shaped=True, status=3)


def empty_matches(case, base):
    """An empty match takes a character with it; at a text's end onnxruntime reads behind it, so this is by hand."""
    a = np.array(["ab cd"], object)
    for form, want in (({"separators": ["x*"]}, []), ({"separators": [r"\b"]}, ["b", "d"]),
                       ({"tokenexp": "b*"}, ["b"]), ({"tokenexp": r"c*|\b"}, ["c"])):
        case("Tokenizer", 1, [a], base | form, expect=[np.array([want], object).reshape(1, len(want))], domain=MS,
             data_shaped=True, note="empty matches")


def hashes(case, rng):
    for attrs in ({}, {"positive": 0}, {"seed": 42}, {"seed": -3, "positive": 0}):
        for kind in (np.int32, np.uint32, np.int64, np.uint64, np.float32, np.float64):
            case("MurmurHash3", 1, [(rng.standard_normal((3, 5)) * 1000).astype(kind)], attrs, domain=MS)
        case("MurmurHash3", 1, [np.array(TEXTS + ["ab", "abc", "abcd"], object)], attrs, domain=MS)
