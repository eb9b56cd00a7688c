# SPDX-License-Identifier: Apache-2.0
"""Losses, optimizers, determinants and grids, against numpy by the operators' text."""
import numpy as np

TRAINING = "ai.onnx.preview.training"


def losses(case, f, rng):
    shapes = [(3, 5), (1, 4), (2, 3, 4), (2, 5, 3, 2), (1, 3, 2, 2, 2), (0, 3)]
    for op, opsets in (("NegativeLogLikelihoodLoss", (12, 13, 22)), ("SoftmaxCrossEntropyLoss", (12, 13))):
        for shape in shapes:
            for reduction in ("none", "sum", "mean"):
                for weighted in (False, True):
                    for ignored in (None, -1, 1):
                        target = rng.integers(0, shape[1], (shape[0],) + shape[2:])
                        attrs = {"reduction": reduction}
                        if ignored is not None:
                            attrs["ignore_index"] = ignored
                            target.ravel()[:1] = ignored
                        scores, weights = f(*shape), np.abs(f(shape[1])) + np.float32(0.1) if weighted else None
                        one(case, op, int(rng.choice(opsets)), scores, target.astype(rng.choice([np.int32, np.int64])),
                            weights, attrs)
    x = f(2, 3)
    for target in ([0, 3], [-1, 0], [0, 1, 2], [[0, 1]]):
        case("NegativeLogLikelihoodLoss", 13, [x, np.array(target, np.int64)], expect=[np.float32(0)], status=3)
    case("NegativeLogLikelihoodLoss", 13, [x, np.array([0, 1], np.int64), f(4)], expect=[np.float32(0)], status=3)
    case("SoftmaxCrossEntropyLoss", 13, [f(3), np.array(0, np.int64)], expect=[np.float32(0)], status=3)
    case("NegativeLogLikelihoodLoss", 13, [f(2, 3), np.array([2, 1], np.int64)], as_type=np.float64)
    case("SoftmaxCrossEntropyLoss", 13, [f(2, 3), np.array([2, 1], np.int64)], as_type=np.float16)


def one(case, op, opset, scores, target, weights, attrs):
    """By the operators' text, in double. An ignored place has the weight 0."""
    wide, ignored = scores.astype(np.float64), attrs.get("ignore_index")
    if op == "SoftmaxCrossEntropyLoss":
        wide = wide - wide.max(1, keepdims=True) if wide.size else wide
        wide = wide - np.log(np.exp(wide).sum(1, keepdims=True))
    counts = np.ones(target.shape, bool) if ignored is None else target != ignored
    safe = np.where(counts, target, 0).astype(np.int64)
    each = (np.ones(scores.shape[1]) if weights is None else weights.astype(np.float64))[safe] * counts
    loss = -np.take_along_axis(wide, safe[:, None], 1)[:, 0] * each
    with np.errstate(all="ignore"):
        reduced = {"none": loss, "sum": loss.sum(), "mean": loss.sum() / each.sum()}[attrs["reduction"]]
    expect = [np.asarray(reduced, np.float32)]
    if op == "SoftmaxCrossEntropyLoss":
        expect.append(wide.astype(np.float32))
    case(op, opset, [scores, target, weights], attrs, expect=expect)


def optimizers(case, f, rng):
    for op, groups, attrs in (("Adagrad", 3, {"decay_factor": 0.1, "epsilon": 1e-3, "norm_coefficient": 0.01}),
                              ("Adagrad", 3, {}), ("Adam", 4, {}),
                              ("Adam", 4, {"alpha": 0.8, "beta": 0.95, "norm_coefficient": 0.1,
                                           "norm_coefficient_post": 0.2, "epsilon": 1e-3}),
                              ("Momentum", 3, {"mode": "standard", "alpha": 0.9, "beta": 0.2,
                                               "norm_coefficient": 0.01}),
                              ("Momentum", 3, {"mode": "nesterov", "alpha": 0.9, "beta": 0.2,
                                               "norm_coefficient": 0.01})):
        for tensors in (1, 2, 3):
            for count in (0, 3):
                for kind in (np.float32, np.float64):
                    shapes = [tuple(rng.integers(1, 30, rng.integers(0, 4))) for _ in range(tensors)]
                    inputs = [np.array(0.1, np.float32), np.array(count, np.int64)]
                    for g in range(groups):
                        inputs += [(np.abs(f(*shape)) if g > 1 else f(*shape)).astype(kind) for shape in shapes]
                    wide = [np.asarray(v, np.float64) if v.dtype != np.int64 else v for v in inputs]
                    filled = {"alpha": 0.9, "beta": 0.999, "epsilon": 1e-6, "norm_coefficient": 0.0,
                              "norm_coefficient_post": 0.0, "decay_factor": 0.0} | attrs
                    expect = [v.astype(kind).reshape(shapes[i % tensors])
                              for i, v in enumerate(steps(op, wide, tensors, filled))]
                    case(op, 1, inputs, attrs, expect=expect, domain=TRAINING)
    x = f(3)
    standard = {"mode": "standard", "alpha": 0.9, "beta": 0.2, "norm_coefficient": 0.01}
    rate, count = np.float32(0.1), np.int64(1)
    for inputs in ([rate, count, x, x, f(4)], [rate, count, x, x], [f(2), count, x, x, x], [rate, count, x, f(3, 1), x]):
        case("Momentum", 1, inputs, standard, expect=[x, x], status=3, domain=TRAINING)


def steps(op, inputs, tensors, a):
    """New values by the operators' text."""
    rate, count = float(inputs[0]), int(inputs[1])
    out = []
    for t in range(tensors):
        x, g, *kept = inputs[2 + t::tensors]
        g = a["norm_coefficient"] * x + g
        if op == "Adagrad":
            h = kept[0] + g * g
            out.append([x - rate / (1 + count * a["decay_factor"]) * g / (np.sqrt(h) + a["epsilon"]), h])
        elif op == "Adam":
            v, h = a["alpha"] * kept[0] + (1 - a["alpha"]) * g, a["beta"] * kept[1] + (1 - a["beta"]) * g * g
            step = rate * np.sqrt(1 - a["beta"] ** count) / (1 - a["alpha"] ** count) if count > 0 else rate
            out.append([(1 - a["norm_coefficient_post"]) * (x - step * v / (np.sqrt(h) + a["epsilon"])), v, h])
        else:
            v = a["alpha"] * kept[0] + (a["beta"] if count > 0 else 1) * g
            out.append([x - rate * (g + a["alpha"] * v if a["mode"] == "nesterov" else v), v])
    return [out[t][group] for group in range(len(out[0])) for t in range(tensors)]


def matrices(case, f, rng):
    for shape in [(1, 1), (2, 2), (3, 3), (5, 5), (4, 3, 3), (2, 3, 4, 4), (0, 2, 2), (2, 0, 0), (17, 17)]:
        x = f(*shape)
        for kind in (np.float32, np.float64):
            case("Det", 22, [x.astype(kind)], expect=[np.asarray(np.linalg.det(x.astype(np.float64)), kind)])
    case("Det", 22, [np.zeros((3, 3), np.float32)], expect=[np.float32(0)])
    case("Det", 22, [np.array([[0, 2], [3, 0]], np.float32)], expect=[np.float32(-6)])
    case("Det", 22, [f(2, 3)], expect=[np.float32(0)], status=3)
    for size in ([2, 3, 5, 6], [1, 1, 1, 4], [2, 3, 2, 3, 4], [1, 2, 1, 1, 5]):
        for aligned in (0, 1):
            axes = len(size) - 2
            theta = f(size[0], axes, axes + 1)
            lines = [np.linspace(-1, 1, n) if aligned else (2 * np.arange(n) + 1) / n - 1 for n in size[2:]]
            places = np.meshgrid(*lines, indexing="ij")
            ones = np.stack([*places[::-1], np.ones(size[2:])], -1)
            grid = np.einsum("nij,...j->n...i", theta.astype(np.float64), ones)
            case("AffineGrid", 20, [theta, np.array(size, np.int64)], {"align_corners": aligned},
                 expect=[grid.astype(np.float32)])
    for size in ([2, 3, 5], [3, 3, 5, 6], [2, 3, 4, 5, 6]):
        case("AffineGrid", 20, [f(2, 2, 3), np.array(size, np.int64)], expect=[f(2, 5, 6, 2)], status=3)


def make(case, rng):
    def f(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    losses(case, f, rng)
    optimizers(case, f, rng)
    matrices(case, f, rng)
