# SPDX-License-Identifier: Apache-2.0
"""Einsum, GridSample, RoiAlign, MaxRoiPool."""
import itertools

import numpy as np
from onnx import helper
from onnx.reference import ReferenceEvaluator


def make(case, rng):
    def f(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    for equation, *shapes in [
            ("ij,jk->ik", (3, 4), (4, 5)), ("ij,jk", (3, 4), (4, 5)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
            ("ii->i", (4, 4)), ("ii", (4, 4)), ("ij->ji", (3, 4)), ("ij->", (3, 4)), ("ij->j", (3, 4)), ("ji", (3, 4)),
            ("i,j->ij", (3,), (4,)), ("i,i->", (3,), (3,)), ("...ij,...jk->...ik", (2, 5, 3, 4), (4, 6)),
            ("...ii->...i", (2, 3, 3)), ("b...,b...->b...", (2, 3, 4), (2, 1, 4)), ("...,...->...", (3, 4), (4,)),
            ("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4)), ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 5)),
            ("bhwc,hkc->bhwk", (2, 3, 4, 5), (3, 6, 5)), ("i j, j k -> i k", (3, 4), (4, 5)), ("Ab,bc->Ac", (3, 4),
                 (4, 5)),
            ("ij,ij->i", (3, 1), (3, 4)), ("bij,bjk->ikb", (2, 3, 4), (2, 4, 5)), ("bii->b", (2, 3, 3)),
            ("bhijd,bhkd->bikhj", (2, 3, 7, 2, 40), (2, 3, 33, 40)), ("ijk,ljk->il", (70, 3, 5), (90, 3, 5)),
            ("ijk,kjl->il", (9, 3, 5), (5, 3, 4)), ("bcij,dij->bdc", (2, 3, 4, 5), (6, 4, 5)), ("ab,ab->ab", (3, 4), (3, 4)),
            ("ij,kj->", (3, 4), (5, 4)), ("ij,jk,kl,lm->im", (3, 4), (4, 5), (5, 6), (6, 2)), ("i,j,k->kij", (2,), (3,), (4,)),
            ("ijk,jl,ik->li", (3, 4, 5), (4, 6), (3, 5)), ("bi,bi,bi->b", (3, 4), (3, 4), (3, 4)), ("ij,jk->ik", (70, 130), (130, 50)),
            ("a,ab->", (3,), (3, 4)), ("ij,jk->ik", (3, 0), (0, 5)), ("abcd->dbca", (2, 3, 4, 5)), ("iij,jk->ik", (3, 3, 4), (4, 5))]:
        case("Einsum", 12, [f(*s) for s in shapes], {"equation": equation}, rtol=1e-4, atol=1e-5)
    case("Einsum", 12, [rng.integers(-9, 9, (3, 4)), rng.integers(-9, 9, (4, 5))], {"equation": "ij,jk->ik"})
    for t in (np.int8, np.int32, np.int64, np.uint64):
        a, b = (rng.integers(np.iinfo(t).min, np.iinfo(t).max, shape, t) for shape in ((3, 4), (4, 5)))
        case("Einsum", 12, [a, b], {"equation": "ij,jk->ik"}, expect=[a @ b], note="exact")
        case("Einsum", 12, [a], {"equation": "ij->ji"}, expect=[a.T.copy()], note="exact")
    case("Einsum", 12, [f(3, 4), f(4, 5)], {"equation": "ij,jk->ik"}, as_type=np.float64)
    for mode, padding, align in itertools.product(["bilinear", "nearest", "bicubic"], ["zeros", "border",
         "reflection"], [0, 1]):
        grid = (rng.random((2, 4, 5, 2)) * 3 - 1.5).astype(np.float32)
        case("GridSample", 16, [f(2, 3, 6, 7), grid], {"mode": mode, "padding_mode": padding,
             "align_corners": align}, atol=1e-4)
        if mode != "bicubic":
            name = {"bilinear": "linear"}.get(mode, mode)
            grid = (rng.random((1, 3, 4, 5, 3)) * 3 - 1.5).astype(np.float32)
            case("GridSample", 20, [f(1, 2, 4, 6, 7), grid], {"mode": name, "padding_mode": padding,
                 "align_corners": align}, atol=1e-4)
    # Complex elements: each part for itself, against ONNX's reference on the parts.
    for mode, dtype in itertools.product(["linear", "cubic", "nearest"], [np.complex64, np.complex128]):
        grid = (rng.random((2, 4, 5, 2)) * 3 - 1.5).astype(np.float32)
        x, op = f(2, 3, 6, 7) + 1j * f(2, 3, 6, 7), ReferenceEvaluator(helper.make_node(
            "GridSample", ["x", "g"], ["y"], mode=mode))
        parts = [op.run(None, {"x": part.astype(np.float32), "g": grid})[0] for part in (x.real, x.imag)]
        case("GridSample", 20, [x.astype(dtype), grid], {"mode": mode},
             expect=[(parts[0] + 1j * parts[1]).astype(dtype)], atol=1e-4, note="complex")
    corner = rng.random((5, 2)).astype(np.float32) * 10
    boxes = np.concatenate([corner, corner + rng.random((5, 2)).astype(np.float32) * 12], 1)
    images = np.array([0, 1, 1, 0, 1], np.int64)
    for mode, ratio in itertools.product(["avg", "max"], [0, 2]):
        attrs = {"mode": mode, "sampling_ratio": ratio, "output_height": 3, "output_width": 4, "spatial_scale": 0.7}
        case("RoiAlign", 10, [f(2, 3, 12, 13), boxes, images], attrs, atol=1e-4)
        for transform in ("half_pixel", "output_half_pixel"):
            case("RoiAlign", 16, [f(2, 3, 12, 13), boxes, images],
                 attrs | {"coordinate_transformation_mode": transform}, atol=1e-4)
    rois = np.concatenate([images[:, None].astype(np.float32), boxes], 1)
    case("MaxRoiPool", 1, [f(2, 3, 12, 13), rois], {"pooled_shape": [3, 4], "spatial_scale": 0.7})
