# SPDX-License-Identifier: Apache-2.0
"""Element-wise operators: unary, binary with broadcasting, comparisons, logic, variadic; Clip, Where, Pow, Mod, shifts."""
import ml_dtypes
import numpy as np

F, D, H, B = np.float32, np.float64, np.float16, ml_dtypes.bfloat16
INTS = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]
NAN, INF = float("nan"), float("inf")

# operator, opset, attributes, values
UNARY = [
    ("Abs", 13, {}, "any"), ("Acos", 22, {}, "unit"), ("Acosh", 22, {}, "above"), ("Asin", 22, {}, "unit"),
    ("Asinh", 22, {}, "any"), ("Atan", 22, {}, "any"), ("Atanh", 22, {}, "unit"), ("Ceil", 13, {}, "any"),
    ("Celu", 12, {"alpha": 2.0}, "any"), ("Cos", 22, {}, "any"), ("Cosh", 22, {}, "any"), ("Elu", 22, {"alpha": 0.5}, "any"),
    ("Erf", 13, {}, "any"), ("Exp", 13, {}, "any"), ("Floor", 13, {}, "any"), ("Gelu", 20, {}, "any"),
    ("Gelu", 20, {"approximate": "tanh"}, "any"), ("HardSigmoid", 22, {"alpha": 0.3, "beta": 0.4}, "any"),
    ("HardSwish", 22, {}, "any"), ("LeakyRelu", 16, {"alpha": 0.1}, "any"), ("Log", 13, {}, "positive"),
    ("Mish", 22, {}, "any"), ("Neg", 13, {}, "any"), ("Reciprocal", 13, {}, "any"), ("Relu", 14, {}, "any"),
    ("Round", 22, {}, "halves"), ("Selu", 22, {}, "any"), ("Shrink", 9, {"lambd": 1.5, "bias": 0.5}, "any"),
    ("Sigmoid", 13, {}, "any"), ("Sign", 13, {}, "any"), ("Sin", 22, {}, "any"), ("Sinh", 22, {}, "any"),
    ("Softplus", 22, {}, "any"), ("Softsign", 22, {}, "any"), ("Sqrt", 13, {}, "positive"),
    ("Swish", 24, {"alpha": 1.5}, "any"), ("Tan", 22, {}, "unit"), ("Tanh", 13, {}, "any"),
    ("ThresholdedRelu", 22, {"alpha": 0.7}, "any"), ("Identity", 25, {}, "any"),
]


def values(kind, rng):
    x = rng.standard_normal(43) * 3
    if kind == "unit":
        return np.clip(x / 8, -0.99, 0.99)
    if kind == "above":
        return 1 + np.abs(x)
    if kind == "positive":
        return np.concatenate([np.abs(x), [0, 1e-6, 1e6]])
    if kind == "halves":
        return np.concatenate([np.arange(-4, 4.5, 0.5), x])
    return np.concatenate([x, [0.0, -0.0, 0.5, -0.5, 12.0, -12.0, 30.0, -30.0]])


# What numpy says where the libraries' own float32 is not the best there is.
TRUTH = {
    "Erf": lambda x, a: np.vectorize(__import__("math").erf)(x),
    "Gelu": lambda x, a: (0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x ** 3)))
                          if a.get("approximate") == "tanh" else
                          0.5 * x * (1 + np.vectorize(__import__("math").erf)(x / np.sqrt(2)))),
    "Exp": lambda x, a: np.exp(x), "Tanh": lambda x, a: np.tanh(x), "Log": lambda x, a: np.log(x),
    "Sigmoid": lambda x, a: 1 / (1 + np.exp(-x)), "Softplus": lambda x, a: np.logaddexp(0, x),
    "Mish": lambda x, a: x * np.tanh(np.logaddexp(0, x)), "Swish": lambda x, a: x / (1 + np.exp(-a["alpha"] * x)),
    "Elu": lambda x, a: np.where(x < 0, a["alpha"] * (np.exp(x) - 1), x),
    "Celu": lambda x, a: np.maximum(0, x) + np.minimum(0, a["alpha"] * (np.exp(x / a["alpha"]) - 1)),
    "HardSigmoid": lambda x, a: np.clip(np.float32(a["alpha"]) * x + np.float32(a["beta"]), 0, 1),
}


def unary(case, rng):
    for op, opset, attrs, kind in UNARY:
        x = values(kind, rng)
        for t, rtol in ((F, 1.5e-6), (D, 1e-12), (H, 1e-3), (B, 8e-3)):
            if op in ("Celu",) and t != F:
                continue
            v = x.astype(t)
            if op == "Cosh" or op == "Sinh":
                v = np.clip(v, -8, 8).astype(t)
            expect = None
            if op in ("HardSwish", "Shrink") and t == D:  # computed with float32 attributes
                rtol = 1e-6
            if op in TRUTH:
                with np.errstate(all="ignore"):
                    expect = [TRUTH[op](v.astype(D), attrs).astype(t)]
            elif t in (D, H, B):
                expect = "wide"
            case_any(case, op, opset, [v], attrs, expect, rtol)
    special = np.array([NAN, INF, -INF, 0.0, -0.0, 88.0, 89.5, -88.0, -104.5, 3e38, -3e38, 1e-40], F)
    with np.errstate(all="ignore"):
        for op in ("Exp", "Tanh", "Erf", "Sigmoid", "Log"):
            case(op, 13, [special], expect=[TRUTH[op](special.astype(D), {}).astype(F)], rtol=1.5e-6, atol=1e-44,
                 note="special")
        for op, f in (("Relu", lambda x: np.maximum(x, 0)), ("Abs", np.abs), ("Neg", np.negative), ("Sign", np.sign),
                      ("Floor", np.floor), ("Sqrt", np.sqrt)):
            case(op, 13, [special], expect=[f(special)], atol=0, rtol=0, note="special")
    for op, types in (("Abs", INTS), ("Neg", INTS[:4]), ("Sign", INTS), ("Relu", INTS[:4]), ("BitwiseNot", INTS)):
        f = {"Abs": np.abs, "Neg": np.negative, "Sign": np.sign, "Relu": lambda x: np.maximum(x, 0),
             "BitwiseNot": np.bitwise_not}[op]
        for t in types:
            info = np.iinfo(t)
            x = np.array([info.min, info.min + 1, 0, 1, 5, info.max], t)
            with np.errstate(all="ignore"):
                case(op, {"BitwiseNot": 18, "Relu": 14}.get(op, 13), [x], expect=[f(x).astype(t)], atol=0, rtol=0)
    for t in INTS:
        x = np.array([0, 1, 2, 3], t)
        case("Erf", 9, [x], expect=[np.array([0, 0, 0, 0], t)])
        case("Shrink", 9, [np.array([0, 1, 2, 9], t)], {"lambd": 1.5, "bias": 1.0}, expect=[np.array([0, 0, 1, 8], t)])
    case("Not", 1, [np.array([[True, False]])])
    for shape in ((), (0,), (2, 0, 3), (1,), (2, 3, 4)):
        case("Relu", 13, [rng.standard_normal(shape).astype(F)], note=f"{shape}")
    for op, opset in (("Relu", 1), ("Sigmoid", 1), ("Exp", 6), ("LeakyRelu", 1), ("Elu", 1), ("HardSigmoid", 1),
                      ("Selu", 1), ("Neg", 1), ("Floor", 1), ("ThresholdedRelu", 10)):
        x = rng.standard_normal(9).astype(F)
        case(op, opset, [x], expect=None if opset != 1 else [old_unary(op, x)], note="old")


def old_unary(op, x):
    return {"Relu": np.maximum(x, 0), "Sigmoid": 1 / (1 + np.exp(-x)), "LeakyRelu": np.where(x < 0, np.float32(0.01) * x, x),
            "Elu": np.where(x < 0, np.exp(x) - 1, x), "HardSigmoid": np.clip(0.2 * x + 0.5, 0, 1), "Neg": -x,
            "Selu": np.where(x > 0, 1.0507 * x, 1.0507 * (1.6732 * np.exp(x) - 1.6732)), "Floor": np.floor(x)
            }[op].astype(np.float32)


def case_any(case, op, opset, inputs, attrs, expect, rtol):
    """Types that the libraries lack are computed in float32 or by onnx's evaluator, and rounded."""
    t = inputs[0].dtype
    if isinstance(expect, str):
        expect = None
        if t in (np.dtype(H), np.dtype(B)):
            case(op, opset, [v.astype(F) for v in inputs], attrs, as_type=t.type, rtol=rtol, atol=rtol)
            return
    case(op, opset, inputs, attrs, expect=expect, rtol=rtol, atol=(1e-6 if op == "Gelu" else 4e-7) if t == np.dtype(F) else rtol)


SHAPES = [((), ()), ((3,), ()), ((), (3,)), ((2, 3), (3,)), ((3,), (2, 3)), ((2, 3, 4), (3, 1)), ((2, 1, 4), (1, 3, 1)),
          ((0, 3), (1, 3)), ((2, 3, 5, 7), (3, 1, 1)), ((2, 3, 5, 7), (2, 1, 1, 1)), ((1, 37), (5, 1)), ((40,), (40,)),
          ((2, 1, 3, 1, 2), (1, 4, 1, 5, 1)), ((1, 1), (1,)), ((6, 8), (6, 1))]


def binary(case, rng):
    for op in ("Add", "Sub", "Mul", "Div"):
        for a, b in SHAPES:
            x, y = rng.standard_normal(a), rng.uniform(0.5, 2, b)
            case(op, 14, [x.astype(F), y.astype(F)], note=f"{a}{b}", rtol=1e-6)
        f = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}.get(op)
        for t in INTS:
            info = np.iinfo(t)
            x, y = np.array([info.min, info.max, 5, 7, info.min], t), np.array([3, 3, 2, 9, 1], t)
            with np.errstate(all="ignore"):
                want = f(x, y) if f else np.array([int(int(p) / int(q)) if abs(int(p)) < 2**50 else
                                                   (abs(int(p)) // int(q)) * (1 if p > 0 else -1) for p, q in zip(x, y)], t)
            case(op, 14, [x, y], expect=[want.astype(t)], atol=0, rtol=0)
        for t in (D, H, B):
            case_any(case, op, 14, [rng.standard_normal((2, 3)).astype(t), rng.uniform(1, 2, 3).astype(t)], {}, "wide", 1e-2)
    case("Div", 14, [np.array([7, -7, -128, 1], np.int8), np.array([0, 2, -1, -1], np.int8)],
         expect=[np.array([0, -3, -128, -1], np.int8)], note="by zero and overflow")
    for opset in (1, 6):
        x, y = rng.standard_normal((2, 3, 4, 5)).astype(F), rng.standard_normal((3, 4)).astype(F)
        case("Add", opset, [x, y], {"broadcast": 1, "axis": 1}, expect=[x + y[None, :, :, None]])
        case("Mul", opset, [x, y[0, :1].reshape(())], {"broadcast": 1}, expect=[x * y[0, 0]])
        case("Sub", opset, [x, x[0, 0]], {"broadcast": 1}, expect=[x - x[0, 0]])
    b = rng.integers(0, 2, (2, 3)).astype(bool)
    case("And", 1, [b, b[:, 0]], {"broadcast": 1, "axis": 0}, expect=[b & b[:, :1]])
    for op in ("And", "Or", "Xor"):
        case(op, 7, [rng.integers(0, 2, (4, 9)).astype(bool), rng.integers(0, 2, (9,)).astype(bool)])
    for op, opset, f in (("Equal", 13, np.equal), ("Greater", 13, np.greater), ("GreaterOrEqual", 16, np.greater_equal),
                         ("Less", 13, np.less), ("LessOrEqual", 16, np.less_equal)):
        for t in [F, D, H, B] + INTS + ([bool] if op == "Equal" else []):
            x, y = rng.integers(0, 3, (3, 17)).astype(t), rng.integers(0, 3, (17,)).astype(t)
            case(op, opset, [x, y], expect=[f(x, y)])
        case(op, opset, [np.array([NAN, 1, NAN], F), np.array([1, NAN, NAN], F)],
             expect=[f(np.array([NAN, 1, NAN]), np.array([1, NAN, NAN]))], note="nan")
    case("Equal", 19, [np.array([["a", "bb"], ["", "c"]], object), np.array(["a", "c"], object)],
         expect=[np.array([[True, False], [False, True]])])
    for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
        for t in INTS:
            case(op, 18, [rng.integers(0, 100, (3, 4)).astype(t), rng.integers(0, 100, (4,)).astype(t)])
    for t in INTS[4:]:
        for d in ("LEFT", "RIGHT"):
            bits = 8 * np.dtype(t).itemsize
            x, y = np.array([1, 255, 7, 200, 3], t), np.array([1, 2, 3, 0, bits - 1], t)
            case("BitShift", 11, [x, y], {"direction": d},
                 expect=[(np.left_shift(x, y) if d == "LEFT" else np.right_shift(x, y)).astype(t)])
            case("BitShift", 11, [x, np.array(bits, t)], {"direction": d}, expect=[np.zeros(5, t)], note="all out")
    x = np.array([-8, -1, 5, -128, 100], np.int8)
    case("BitShift", 28, [x, np.array([1, 9, 1, -1, 7], np.int8)], {"direction": "RIGHT"},
         expect=[np.array([-4, -1, 2, -1, 0], np.int8)])
    case("BitShift", 28, [x, np.array([1, 9, 1, -1, 7], np.int8)], {"direction": "LEFT"},
         expect=[np.array([-16, 0, 10, 0, 0], np.int8)])
    for t in INTS:
        x, y = np.array([7, 5, 100, 9, 0, 3], t), np.array([3, 5, 7, 2, 4, 0], t)
        if t in INTS[:4]:
            x, y = np.array([-7, 7, -7, 7, 0, 3, np.iinfo(t).min], t), np.array([3, -3, -3, 3, 5, 0, -1], t)
        with np.errstate(all="ignore"):
            zero = y == 0
            safe = np.where(zero, 1, y).astype(t)
            case("Mod", 13, [x, y], expect=[np.where(zero, 0, np.mod(x, safe)).astype(t)])
            case("Mod", 13, [x, y], {"fmod": 1}, expect=[np.where(zero, 0, np.fmod(x, safe)).astype(t)])
    for t in (F, D, H, B):
        x, y = np.array([-7.5, 7.5, -7.5, 7.5, 0, 2], t), np.array([2, -2, -2, 2, 5, INF], t)
        case("Mod", 13, [x, y], {"fmod": 1}, expect=[np.fmod(x.astype(D), y.astype(D)).astype(t)])
        case("Mod", 28, [x, y], expect=[np.mod(x.astype(D), y.astype(D)).astype(t)])
    x, s = rng.standard_normal((2, 3, 4)).astype(F), rng.uniform(0, 1, (3, 1)).astype(F)
    case("PRelu", 16, [x, s])
    case("PRelu", 6, [x, s[:, 0]], expect=[np.where(x < 0, x * s, x)])
    case("PRelu", 1, [x, s[:1, 0]], expect=[np.where(x < 0, x * s[0], x)])
    case("PRelu", 16, [np.array([-3, 4], np.int32), np.array([2], np.int32)])
    a, g = rng.standard_normal(40).astype(F), rng.standard_normal(40).astype(F)
    case("SwiGLU", 28, [a, g], {"alpha": 1.25}, expect=[(a / (1 + np.exp(-1.25 * a.astype(D))) * g).astype(F)], rtol=2e-6)
    case("Add", 14, [np.zeros((2, 3), F), np.zeros((4,), F)], expect=[np.zeros((2, 3), F)], status=3, note="no broadcast")


def more(case, rng):
    for op, opset in (("Max", 13), ("Min", 13), ("Sum", 13), ("Mean", 13)):
        for shapes in (((3,),), ((2, 3), (3,)), ((2, 1), (1, 3), ()), ((300, 3), (3,), (300, 1), (1,))):
            case(op, opset, [rng.standard_normal(s).astype(F) for s in shapes], note=f"{shapes}")
        for t in (D, H, B):
            case_any(case, op, opset, [rng.standard_normal((2, 3)).astype(t) for _ in range(3)], {}, "wide", 1e-2)
        for t in INTS if op in ("Max", "Min") else []:
            case(op, opset, [rng.integers(0, 100, (2, 3)).astype(t), rng.integers(0, 100, (3,)).astype(t)])
        x = [rng.standard_normal((2, 3)).astype(F) for _ in range(2)]
        for old in (1, 6):
            case(op, old, x, expect=[{"Max": np.maximum, "Min": np.minimum, "Sum": np.add,
                                      "Mean": lambda p, q: (p + q) / 2}[op](*x)])
    case("Max", 13, [np.array([1, NAN, 3], F), np.array([NAN, 1, 2], F)], expect=[np.array([NAN, NAN, 3], F)])
    for t in [F, D, H, B] + INTS:
        x = rng.integers(0, 9, (3, 5)).astype(t)
        lo, hi = np.array(2, t), np.array(6, t)
        case("Clip", 13, [x, lo, hi], expect=[np.clip(x, lo, hi)])
        case("Clip", 13, [x, None, hi], expect=[np.minimum(x, hi)])
        case("Clip", 13, [x, lo], expect=[np.maximum(x, lo)])
        case("Clip", 13, [x], expect=[x])
    x = np.array([-INF, -1, 0, 1, NAN, INF], F)
    case("Clip", 6, [x], {"min": -0.5, "max": 0.5}, expect=[np.clip(x, -0.5, 0.5)])
    case("Clip", 6, [x[1:4]], expect=[x[1:4]])
    case("Clip", 1, [x], {"max": 0.5}, expect=[np.minimum(x, F(0.5))])
    case("Clip", 6, [x], {"min": -0.5}, note="the schema's bound")
    case("Clip", 13, [x, np.array(2, F), np.array(1, F)], expect=[np.array([1, 1, 1, 1, NAN, 1], F)], note="crossed")
    for t in [F, D, H, B, bool, np.complex64, np.complex128] + INTS:
        c = rng.integers(0, 2, (3, 1)).astype(bool)
        x, y = rng.integers(0, 2, (1, 4)).astype(t), rng.integers(0, 2, (3, 4)).astype(t)
        case("Where", 16, [c, x, y], expect=[np.where(c, x, y)], note=str(np.dtype(t)))
    case("Where", 16, [np.array([True, False]), np.array(["a", "b"], object), np.array("zz", object)],
         expect=[np.array(["a", "zz"], object)])
    for tx, ty in ((F, F), (F, np.int64), (F, D), (D, D), (D, F), (H, H), (B, B), (np.int32, np.int32), (np.int64, np.int64),
                   (np.int32, F), (F, np.int32), (np.int64, np.uint8)):
        x, y = rng.integers(1, 5, (2, 3)).astype(tx), rng.integers(0, 4, (3,)).astype(ty)
        case("Pow", 15, [x, y], expect=[np.power(x.astype(D), y.astype(D)).astype(tx)], rtol=1e-2 if tx in (H, B) else 1e-6)
    case("Pow", 15, [np.array([-1, -1, 1000], F), np.array([16777217, 16777216, 2], np.int64)], rtol=1e-7, note="odd")
    case("Pow", 15, [np.array([1.0001, 1.001], F), np.array([300000.3, 30000.03], D)], rtol=1e-6, note="digits")
    x = np.array([-2.5, 0, 2, 9, INF, -INF], F)
    for e in (2, 0.5, 3, -1, 0):
        with np.errstate(all="ignore"):
            case("Pow", 13, [x[:5], np.array(e, F)], expect=[np.power(x[:5], F(e))], note=f"to {e}")
    case("Pow", 1, [np.abs(x[:4]).reshape(2, 2), np.array([1, 2], F)], {"broadcast": 1, "axis": 0},
         expect=[np.abs(x[:4]).reshape(2, 2) ** np.array([[1], [2]], F)])
    case("Pow", 12, [np.array([-1, -1, 2], np.int64), np.array([-1, -2, -1], np.int64)],
         expect=[np.array([-1, 1, 0], np.int64)])
    x = np.array([NAN, INF, -INF, 0, 1], F)
    case("IsNaN", 13, [x])
    for t in (D, H, B):
        case("IsNaN", 20, [x.astype(t)], expect=[np.isnan(x)])
        case("IsInf", 20, [x.astype(t)], expect=[np.isinf(x)])
    case("IsInf", 10, [x])
    case("IsInf", 10, [x], {"detect_negative": 0})
    case("IsInf", 10, [x], {"detect_positive": 0})
    for t in (ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2):
        y = np.array([NAN, 1, INF], F).astype(t)
        case("IsNaN", 20, [y], expect=[np.isnan(y.astype(F))])
        case("IsInf", 20, [y], expect=[np.isinf(y.astype(F))])
    for opset, attrs in ((1, {"is_test": 1}), (6, {}), (7, {}), (10, {}), (13, {}), (22, {})):
        x = rng.standard_normal((2, 3)).astype(F)
        case("Dropout", opset, [x], attrs, expect=[x])
        mask = np.ones((2, 3), bool if opset >= 10 else F)
        case("Dropout", opset, [x], attrs, expect=[x, mask], note="mask")
    case("Dropout", 13, [x, np.array(0.5, F), np.array(False)], expect=[x])


def make(case, rng):
    unary(case, rng)
    binary(case, rng)
    more(case, rng)
