# SPDX-License-Identifier: Apache-2.0
"""ai.onnx.ml: linear models, support vector machines, scalers, encoders. Where onnxruntime and the specification differ,
the specification's result is written here."""
import numpy as np
from onnx import TensorProto, helper

ML = "ai.onnx.ml"
F, I, O = np.float32, np.int64, object
FEATURES = (np.float32, np.float64, np.int64, np.int32)


def flat(values):
    return [float(v) for v in np.asarray(values, F).ravel()]


def labels(n, text):
    return {"classlabels_strings": [f"é{i}" for i in range(n)]} if text else {"classlabels_ints": list(range(5, 5 + n))}


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def logistic(x):
    return 1 / (1 + np.exp(-x))


AFTER = {"NONE": lambda x: x, "SOFTMAX": softmax, "LOGISTIC": logistic,
         "SOFTMAX_ZERO": lambda x: np.where(np.abs(x) <= 1e-7, 0, np.exp(x - x.max(-1, keepdims=True)))
         / np.where(np.abs(x) <= 1e-7, 0, np.exp(x - x.max(-1, keepdims=True))).sum(-1, keepdims=True)}


def named(pick, given):
    names = given.get("classlabels_strings") or given.get("classlabels_ints") or given["classlabels_int64s"]
    return np.array([names[i] for i in pick], O if isinstance(names[0], str) else I)


def linear(case, rng):
    for kind in FEATURES:
        x = (rng.standard_normal((70, 5)) * 3).astype(kind)
        for after, f in AFTER.items():
            for n in (2, 3, 5):
                for text in (False, True):
                    c, b = rng.standard_normal((n, 5)).astype(F), rng.standard_normal(n).astype(F)
                    raw = x.astype(float) @ c.T.astype(float) + b
                    case("LinearClassifier", 1, [x], {"coefficients": flat(c), "intercepts": flat(b), "post_transform": after,
                                                      **labels(n, text)}, domain=ML,
                         expect=[named(raw.argmax(1), labels(n, text)), f(raw).astype(F)])
            c = rng.standard_normal((1, 5)).astype(F)
            raw = x.astype(float) @ c.T.astype(float) + F(0.3)
            case("LinearClassifier", 1, [x], {"coefficients": flat(c), "intercepts": flat([0.3]), "post_transform": after,
                                              **labels(2, True)}, domain=ML, note="one score",
                 expect=[named((raw[:, 0] > 0).astype(int), labels(2, True)), f(np.concatenate([-raw, raw], 1)).astype(F)])
            for n in (1, 3):
                c, b = rng.standard_normal((n, 5)).astype(F), rng.standard_normal(n).astype(F)
                raw = x.astype(float) @ c.T.astype(float)
                case("LinearRegressor", 1, [x], {"coefficients": flat(c), "intercepts": flat(b), "targets": n,
                                                 "post_transform": after}, domain=ML, expect=[f(raw + b).astype(F)])
        case("LinearRegressor", 1, [x[0]], {"coefficients": flat(c), "targets": 3}, domain=ML,
             expect=[(x[:1].astype(float) @ c.T.astype(float)).astype(F)], note="no intercepts, one row")
    for after, values in (("PROBIT", [[0.02425, 0.975, 0.5]]),):
        case("LinearRegressor", 1, [np.array(values, F)], {"coefficients": flat(np.eye(3)), "targets": 3,
                                                           "post_transform": after}, domain=ML,
             expect=[np.array([[-1.9729610, 1.9599640, 0]], F)])
    one = np.array([[1.0], [-1.0]], F)
    for given, want in (({"classlabels_ints": [4]}, np.array([4, 0])), ({"classlabels_strings": ["yes"]},
                                                                         np.array(["yes", ""], O))):
        case("LinearClassifier", 1, [one], {"coefficients": [1.0], "intercepts": [0.0], **given}, domain=ML,
             expect=[want, one], note="one label")


def svm(case, rng):
    for kind in FEATURES:
        x = (rng.standard_normal((40, 4)) * 2).astype(kind)
        for shape in ("LINEAR", "POLY", "RBF", "SIGMOID"):
            params = {"kernel_type": shape, "kernel_params": flat([0.1, 0.5, 2.0])}
            for n in (2, 4):
                each = [2, 3, 1, 4][:n]
                pairs = n * (n - 1) // 2
                for sure in (False, True):
                    given = dict(params, coefficients=flat(rng.standard_normal((n - 1, sum(each)))), vectors_per_class=each,
                                 support_vectors=flat(rng.standard_normal((sum(each), 4))),
                                 rho=flat(rng.standard_normal(pairs)))
                    if sure:
                        given.update(prob_a=flat(-np.abs(rng.standard_normal(pairs))), prob_b=flat(rng.standard_normal(pairs)))
                    for text in (False, True):
                        case("SVMClassifier", 1, [x], {**given, **labels(n, text)}, outputs=2, domain=ML, rtol=1e-4, atol=1e-4)
                    case("SVMClassifier", 1, [x], {**given, **labels(n, False), "post_transform": "LOGISTIC"}, outputs=2,
                         domain=ML, rtol=1e-4, atol=1e-4)
            if kind == np.float32:
                given = dict(params, coefficients=flat(rng.standard_normal(6)), n_supports=6, rho=[0.25],
                             support_vectors=flat(rng.standard_normal((6, 4))))
                for one in (0, 1):
                    case("SVMRegressor", 1, [x], {**given, "one_class": one}, domain=ML, rtol=1e-4, atol=1e-4)
        c = rng.standard_normal((3, 4)).astype(F)
        raw = x.astype(float) @ c.T.astype(float) + 0.5
        case("SVMClassifier", 1, [x], {"coefficients": flat(c), "rho": [0.5], "kernel_type": "LINEAR", **labels(3, False)},
             domain=ML, expect=[named(raw.argmax(1), labels(3, False)), raw.astype(F)], note="no vectors")
        case("SVMRegressor", 1, [x], {"coefficients": flat(c[0]), "rho": [0.5], "kernel_type": "LINEAR"}, domain=ML,
             expect=[raw[:, :1].astype(F)], note="no vectors")


def features(case, rng):
    for kind in FEATURES:
        for shape in ((7, 5), (2, 3, 5), (5,), (0, 5)):
            x = (rng.standard_normal(shape) * 3).astype(kind)
            wide, scale, offset = x.astype(float), rng.standard_normal(5).astype(F), rng.standard_normal(5).astype(F)
            case("Binarizer", 1, [x], {"threshold": 0.5}, domain=ML, expect=[(wide > 0.5).astype(kind)])
            case("Scaler", 1, [x], {"scale": flat(scale), "offset": flat(offset)}, domain=ML,
                 expect=[((wide - offset) * scale).astype(F)])
            case("Scaler", 1, [x], {"scale": [2.0], "offset": [1.0]}, domain=ML, expect=[((wide - 1) * 2).astype(F)])
            for norm, size in (("MAX", lambda v: np.abs(v).max(-1, keepdims=True, initial=0)),
                               ("L1", lambda v: np.abs(v).sum(-1, keepdims=True)),
                               ("L2", lambda v: np.sqrt((v * v).sum(-1, keepdims=True)))):
                by = size(wide)
                case("Normalizer", 1, [x], {"norm": norm}, domain=ML,
                     expect=[(wide / np.where(by == 0, 1, by)).astype(F)])
            y, places = x.copy(), np.arange(x.size) % 3 == 0
            y.reshape(-1)[places] = -1
            floats = x.dtype.kind == "f"
            for values in ([9, 2, 3, 4, 5], [9]):
                full = np.broadcast_to(np.array(values, kind), x.shape)
                attrs = ({"imputed_value_floats": flat(values), "replaced_value_float": -1.0} if floats
                         else {"imputed_value_int64s": values, "replaced_value_int64": -1})
                case("Imputer", 1, [y], attrs, domain=ML, expect=[np.where(y == -1, full, y).astype(kind)])
                if floats:
                    z = np.where(y == -1, np.nan, y).astype(kind)
                    case("Imputer", 1, [z], {"imputed_value_floats": flat(values), "replaced_value_float": float("nan")},
                         domain=ML, expect=[np.where(np.isnan(z), full, z).astype(kind)])
            for places in (np.array([1, 4, 0]), np.array([[3]]), np.array([], I), np.array([-1])):
                want = x[..., places.ravel()]
                case("ArrayFeatureExtractor", 1, [x, places], domain=ML, expect=[want if x.ndim > 1 else want[None]])
            case("ArrayFeatureExtractor", 1, [x, np.array([5])], domain=ML, status=3, note="past the end",
                 expect=[np.zeros((*x.shape[:-1], 1) if x.ndim > 1 else (1, 1), kind)])
            if x.ndim < 3:
                rows = x.reshape(-1, 5)
                case("FeatureVectorizer", 1, [x, x], {"inputdimensions": [5, 5]}, domain=ML,
                     expect=[np.concatenate([rows, rows], 1).astype(F)])
                case("FeatureVectorizer", 1, [x, x], {"inputdimensions": [7, 2]}, domain=ML, note="filled and cut",
                     expect=[np.concatenate([rows, np.zeros((len(rows), 2)), rows[:, :2]], 1).astype(F)])
    whole = np.array([2**53 + 1, 5], I)
    case("Imputer", 1, [whole], {"imputed_value_int64s": [2**53 + 3], "replaced_value_int64": 5}, domain=ML,
         expect=[np.array([2**53 + 1, 2**53 + 3])])
    text = np.array([["a", "b", "c"], ["dd", "", "é"]], O)
    case("ArrayFeatureExtractor", 1, [text, np.array([2, 0])], domain=ML, expect=[text[:, [2, 0]]])
    case("ArrayFeatureExtractor", 1, [text[1], np.array([1])], domain=ML, expect=[text[1:, 1:2]])


TENSORS = {np.int16: TensorProto.INT16, np.int32: TensorProto.INT32, np.int64: TensorProto.INT64,
           np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE}


def tensor(kind, values):
    return helper.make_tensor("t", TENSORS[kind], [len(values)], [kind(v) for v in values])


def encoders(case, rng):
    text, whole = np.array([["a", "b", "zz"], ["é", "a", ""]], O), np.array([[1, 2, 3], [4, 5, -6]], I)
    reals = np.array([1, 2.5, np.nan, -0.0, 7], F)
    for version in (2, 4):
        for x, keys in ((text, {"keys_strings": ["a", "b", "é"]}), (whole, {"keys_int64s": [1, 2, -6]}),
                        (reals, {"keys_floats": [1.0, float("nan"), 0.0]})):
            found = np.vectorize(lambda v: {"a": 0, "b": 1, "é": 2, 1: 0, 2: 1, -6: 2, 0.0: 2}.get(v, 1 if v != v else 3))(
                x if x.dtype == O else x.astype(object))
            for values, kind in (({"values_strings": ["x", "yy", "é"], "default_string": "?"}, O),
                                 ({"values_int64s": [3, 4, 5], "default_int64": 8}, I),
                                 ({"values_floats": [3.0, 4.0, 5.5], "default_float": 0.5}, F)):
                table = np.array(list(values.values())[0] + [list(values.values())[1]], kind)
                case("LabelEncoder", version, [x], {**keys, **values}, domain=ML, expect=[table[found]])
    for kind in TENSORS:
        for to in TENSORS:
            x = np.array([[1, 2, 3], [9, 9, 2]])
            want = np.where(x == 1, 5, np.where(x == 2, 7, 42)).astype(to)
            case("LabelEncoder", 4, [x.astype(kind)], {"keys_tensor": tensor(kind, [1, 2, 2]), "values_tensor": tensor(to, [5, 6, 7]),
                                              "default_tensor": tensor(to, [42])}, domain=ML, expect=[want],
                 note=f"{kind.__name__} to {to.__name__}")
    many = list(range(3000))
    case("LabelEncoder", 4, [np.arange(2990, 3010)], {"keys_tensor": tensor(np.int64, many), "values_tensor": tensor(
        np.float64, many), "default_tensor": tensor(np.float64, [-1])}, domain=ML, note="many",
         expect=[np.concatenate([np.arange(2990, 3000), np.full(10, -1)]).astype(float)])
    case("LabelEncoder", 1, [text], {"classes_strings": ["a", "b", "é"], "default_int64": -5}, domain=ML,
         expect=[np.array([[0, 1, -5], [2, 0, -5]])])
    case("LabelEncoder", 1, [np.array([0, 2, 7, -1])], {"classes_strings": ["a", "b", "é"], "default_string": "?"}, domain=ML,
         expect=[np.array(["a", "é", "?", "?"], O)])
    cats = {"cats_strings": ["a", "b", "é"], "cats_int64s": [7, 8, 9]}
    case("CategoryMapper", 1, [text], {**cats, "default_int64": -5}, domain=ML, expect=[np.array([[7, 8, -5], [9, 7, -5]])])
    case("CategoryMapper", 1, [np.array([7, 9, 1])], {**cats, "default_string": "?"}, domain=ML,
         expect=[np.array(["a", "é", "?"], O)])
    case("OneHotEncoder", 1, [text], {"cats_strings": ["a", "é", "q"]}, domain=ML,
         expect=[(text[..., None] == np.array(["a", "é", "q"], O)).astype(F)])
    case("OneHotEncoder", 1, [text], {"cats_strings": ["a", "é"], "zeros": 0}, domain=ML, status=3, note="unknown",
         expect=[np.zeros((2, 3, 2), F)])
    for kind in FEATURES:
        x = np.array([[0, 1, 3.7], [-1, 0, 9]]).astype(kind)
        case("OneHotEncoder", 1, [x], {"cats_int64s": [0, 1, -1, 3]}, domain=ML,
             expect=[(x.astype(I)[..., None] == np.array([0, 1, -1, 3])).astype(F)])


def make(case, rng):
    for part in (linear, svm, features, encoders):
        part(case, rng)
