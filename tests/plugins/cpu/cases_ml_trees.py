# SPDX-License-Identifier: Apache-2.0
"""Ensembles of trees of ai.onnx.ml, random ones, against an evaluation of them here; broken ones."""
import numpy as np
from onnx import TensorProto, helper

ML = "ai.onnx.ml"
F = np.float32
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"]
TEST = [np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal]
FEATURES = (np.float32, np.float64, np.int64, np.int32)
SUM, AVERAGE = "SUM", "AVERAGE"


def tree(rng, modes, missing, depth=0):
    """A leaf is a list of (target, weight); a branch is (mode, feature, split, missing, true, false)."""
    if depth == 5 or rng.random() < (0.1 if depth == 0 else 0.25):
        return [(int(rng.integers(3)), float(F(rng.standard_normal())))]
    mode = int(rng.choice(modes))
    split = sorted({float(v) for v in rng.integers(-4, 5, 3)}) if mode == 6 else float(rng.integers(-4, 5))
    return (mode, int(rng.integers(6)), split, int(rng.integers(2)) if missing == 2 else missing,
            tree(rng, modes, missing, depth + 1), tree(rng, modes, missing, depth + 1))


def leaf_of(node, row):
    while isinstance(node, tuple):
        mode, feature, split, missing, yes, no = node
        value = row[feature]
        taken = value in split if mode == 6 else bool(TEST[mode](value, split))
        node = yes if taken or (np.isnan(value) and missing) else no
    return node


def totals(forest, x, aggregate, base):
    out = np.zeros((len(x), 3))
    for r, row in enumerate(x.astype(float)):
        found = [pair for one in forest for pair in leaf_of(one, row)]
        for target in range(3):
            weights = [w for t, w in found if t == target]
            if weights:
                out[r, target] = {"SUM": sum, "AVERAGE": lambda v: sum(v) / len(forest), "MIN": min, "MAX": max}[aggregate](weights)
    return out + (base if base is not None else 0)


def by_number(forest, prefix, double=False, order=None):
    """The lists of TreeEnsembleClassifier and TreeEnsembleRegressor."""
    rows, weights = [], []

    def add(t, node):
        row = [t, sum(r[0] == t for r in rows), "LEAF", 0, 0.0, 0, 0, 0]
        rows.append(row)
        if isinstance(node, list):
            weights.extend((t, row[1], target, weight) for target, weight in node)
            return row[1]
        row[2:6] = MODES[node[0]], node[1], node[2], node[3]
        row[6], row[7] = add(t, node[4]), add(t, node[5])
        return row[1]
    for t, one in enumerate(forest):
        add(t, one)
    if order is not None:
        rows = [rows[i] for i in order.permutation(len(rows))]
    names = ("treeids", "nodeids", "modes", "featureids", "values", "missing_value_tracks_true", "truenodeids", "falsenodeids")
    attrs = {f"nodes_{name}": [row[i] for row in rows] for i, name in enumerate(names)}
    attrs.update({f"{prefix}_{name}": [row[i] for row in weights] for i, name in enumerate(("treeids", "nodeids", "ids", "weights"))})
    for name in ("nodes_values", f"{prefix}_weights") if double else ():
        values = attrs.pop(name)
        attrs[f"{name}_as_tensor"] = helper.make_tensor("t", TensorProto.DOUBLE, [len(values)], values)
    return attrs


KINDS = {np.float32: TensorProto.FLOAT, np.float64: TensorProto.DOUBLE, np.float16: TensorProto.FLOAT16}


def by_place(forest, kind):
    """The lists of TreeEnsemble."""
    nodes, leaves, roots, members = [], [], [], {}

    def add(node):
        if isinstance(node, list):
            leaves.append(node[0])
            return len(leaves) - 1, 1
        at = len(nodes)
        nodes.append([node[0], node[1], 0.0 if node[0] == 6 else node[2], node[3], 0, 0, 0, 0])
        if node[0] == 6:
            members[at] = node[2]
        nodes[at][4], nodes[at][6] = add(node[4])
        nodes[at][5], nodes[at][7] = add(node[5])
        return at, 0
    for one in forest:
        at, leaf = add(one)
        if leaf:  # a tree that is a leaf: a node whose branches are the same
            nodes.append([0, 0, 0.0, 0, at, at, 1, 1])
            at = len(nodes) - 1
        roots.append(at)
    column = lambda i: [n[i] for n in nodes]
    number = lambda values: helper.make_tensor("t", KINDS[kind], [len(values)], values)
    attrs = {"tree_roots": roots, "nodes_modes": helper.make_tensor("m", TensorProto.UINT8, [len(nodes)], column(0)),
             "nodes_featureids": column(1), "nodes_splits": number(column(2)), "nodes_missing_value_tracks_true": column(3),
             "nodes_truenodeids": column(4), "nodes_falsenodeids": column(5), "nodes_trueleafs": column(6),
             "nodes_falseleafs": column(7), "leaf_targetids": [t for t, _ in leaves],
             "leaf_weights": number([w for _, w in leaves]), "n_targets": 3}
    if members:
        attrs["membership_values"] = number([v for at in sorted(members) for v in [*members[at], float("nan")]])
    return attrs


def asked(rng, rows, kind, nan):
    x = np.round(rng.standard_normal((rows, 6)) * 4) / 2
    if nan and np.dtype(kind).kind == "f":
        x[rng.random(x.shape) < 0.2] = np.nan
    return x.astype(kind)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def ensembles(case, rng):
    sets = [[0], [1], [2], [3], [4, 0], [5, 3], [0, 1, 2, 3, 4, 5]]
    for i in range(28):
        modes, missing = sets[i % 7], i // 7 % 3
        forest = [tree(rng, modes, missing) for _ in range(int(rng.integers(1, 20)))]
        for kind in FEATURES:
            x = asked(rng, int(rng.integers(1, 70)), kind, i % 2)
            aggregate = ("SUM", "AVERAGE", "MIN", "MAX")[(i + i // 7) % 4]
            base = rng.standard_normal(3).astype(F) if i % 3 == 0 else None
            attrs = by_number(forest, "target", double=kind == np.float64 and i % 2 == 0, order=rng if i % 5 == 4 else None)
            if base is not None:
                attrs["base_values"] = [float(v) for v in base]
            case("TreeEnsembleRegressor", 3 if kind == np.float64 and i % 2 == 0 else 1, [x],
                 {**attrs, "n_targets": 3, "aggregate_function": aggregate}, domain=ML,
                 expect=[totals(forest, x, aggregate, base).astype(F)])
            sums = totals(forest, x, "SUM", base)
            attrs = by_number(forest, "class")
            if base is not None:
                attrs["base_values"] = [float(v) for v in base]
            text = i % 2 == 0
            names = np.array(["x", "ÿ", "zz"], object) if text else np.array([7, 8, -9])
            case("TreeEnsembleClassifier", 1, [x], {**attrs, "post_transform": "SOFTMAX", **(
                {"classlabels_strings": list(names)} if text else {"classlabels_int64s": [int(v) for v in names]})}, domain=ML,
                 expect=[names[sums.argmax(1)], softmax(sums).astype(F)])
        for kind in KINDS:
            every = [tree(rng, [*modes, 6], missing) for _ in range(8)]
            x = asked(rng, 20, kind, i % 2)
            attrs = by_place([round_leaves(one, kind) for one in every], kind)
            want = totals([round_leaves(one, kind) for one in every], x, aggregate, None)
            near = {"rtol": 2e-3, "atol": 2e-3} if kind == np.float16 else {}
            number = ["AVERAGE", "SUM", "MIN", "MAX"].index(aggregate)
            case("TreeEnsemble", 5, [x], {**attrs, "aggregate_function": number}, domain=ML, expect=[want.astype(kind)], **near)
            if i == 0 and kind != np.float16:
                case("TreeEnsemble", 5, [x], {**attrs, "aggregate_function": number, "post_transform": 1}, domain=ML,
                     expect=[softmax(want).astype(kind)])


def round_leaves(node, kind):
    if isinstance(node, list):
        return [(t, float(kind(w))) for t, w in node]
    return (*node[:4], round_leaves(node[4], kind), round_leaves(node[5], kind))


def two_classes(case, rng):
    x = asked(rng, 40, F, False)
    for positive in (False, True):
        forest = [(0, 1, 0.0, 0, [(0, 0.4)], [(0, 0.1 if positive else -0.7)]), (0, 2, 1.0, 0, [(0, 0.2)], [(0, 0.3)])]
        score = totals(forest, x, "SUM", None)[:, :1]
        for after in ("NONE", "LOGISTIC", "SOFTMAX"):
            half = positive and after == "NONE"
            both = np.concatenate([1 - score if half else -score, score], 1)
            both = {"NONE": lambda v: v, "LOGISTIC": lambda v: 1 / (1 + np.exp(-v)), "SOFTMAX": softmax}[after](both)
            case("TreeEnsembleClassifier", 3, [x], {**by_number(forest, "class"), "classlabels_int64s": [4, 9],
                                                    "post_transform": after}, domain=ML, note="one score",
                 expect=[np.where(score[:, 0] > (0.5 if half else 0), 9, 4), both.astype(F)])


def told_apart(case, rng):
    """Votes of 0.1 (float) that are as many for one class as for the other: the first class, as in the forest."""
    x = np.zeros((4, 6), F)
    vote = float(F(0.1))
    forest = [(0, 1, 0.0, 0, [(0, 0.0)], [(0, vote)]) if i % 2 else (0, 1, 0.0, 0, [(0, vote)], [(0, 0.0)]) for i in range(10)]
    case("TreeEnsembleClassifier", 1, [x], {**by_number(forest, "class"), "classlabels_int64s": [0, 1]}, domain=ML, note="a half",
         expect=[np.zeros(4, np.int64), np.full((4, 2), 0.5, F)])
    # Repeated weights of the only target: the first.
    forest = [(0, 1, 0.0, 0, [(0, 3.0), (0, 3.0), (0, 5.0)], [(0, 4.0)]) for _ in range(2)]
    case("TreeEnsembleRegressor", 1, [x], {**by_number(forest, "target"), "n_targets": 1}, domain=ML, note="repeated",
         expect=[np.full((4, 1), 6.0, F)])


CANNOT = 9  # PARTITA_CANNOT_COMPILE


def broken(case, rng):
    """What must be refused when the model is compiled."""
    forest = [(0, 1, 0.0, 0, [(0, 1.0)], (3, 2, 1.0, 0, [(1, 2.0)], [(2, 3.0)]))]
    x, good = asked(rng, 3, F, False), {**by_number(forest, "target"), "n_targets": 3}
    for note, change in (("unknown child", {"nodes_truenodeids": [7, 0, 3, 0, 0]}), ("circle", {"nodes_falsenodeids": [2, 0, 2, 0, 0]}),
                         ("no root", {"nodes_falsenodeids": [2, 0, 0, 0, 0]}), ("feature", {"nodes_featureids": [6, 0, 0, 0, 0]}),
                         ("negative feature", {"nodes_featureids": [-1, 0, 0, 0, 0]}), ("two nodes", {"nodes_nodeids": [0, 1, 2, 3, 3]}),
                         ("mode", {"nodes_modes": ["BRANCH_WHAT", "LEAF", "BRANCH_GT", "LEAF", "LEAF"]}),
                         ("lengths", {"nodes_values": [0.0, 1.0]}), ("target", {"target_ids": [0, 1, 3]}),
                         ("weight's node", {"target_nodeids": [1, 3, 9]}), ("weights", {"target_weights": [1.0]}),
                         ("base", {"base_values": [1.0, 2.0]}), ("aggregate", {"aggregate_function": "MEAN"}),
                         ("transform", {"post_transform": "HARDMAX"})):
        case("TreeEnsembleRegressor", 1, [x], {**good, **change}, domain=ML, status=CANNOT, note=note, expect=[np.zeros((3, 3), F)])
    good = by_place(forest, F)
    for note, change in (("unknown child", {"nodes_truenodeids": [9, 0]}),
                         ("unknown leaf", {"nodes_trueleafs": [1, 1], "nodes_truenodeids": [3, 0]}),
                         ("circle", {"nodes_falsenodeids": [0, 2]}), ("root", {"tree_roots": [2]}), ("lengths", {"nodes_trueleafs": [1]}),
                         ("feature", {"nodes_featureids": [1, 99]}), ("target", {"leaf_targetids": [0, 1, 5]}),
                         ("mode", {"nodes_modes": helper.make_tensor("m", TensorProto.UINT8, [2], [0, 7])}),
                         ("no members", {"nodes_modes": helper.make_tensor("m", TensorProto.UINT8, [2], [0, 6])}),
                         ("aggregate", {"aggregate_function": 4}), ("transform", {"post_transform": 5})):
        case("TreeEnsemble", 5, [x], {**good, **change}, domain=ML, status=CANNOT, note=note, expect=[np.zeros((3, 3), F)])


def make(case, rng):
    for part in (ensembles, two_classes, told_apart, broken):
        part(case, rng)
