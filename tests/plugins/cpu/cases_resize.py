# SPDX-License-Identifier: Apache-2.0
"""Resize and Upsample."""
import itertools

import numpy as np

from make_cases import compute_onnx


def make(case, rng):
    def f(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def scaled(inputs, attrs):
        """align_corners of a length that is no whole number: of version 19 as ONNX's own evaluator has it, of older ones
        as the text, onnxruntime and PyTorch have it, with the whole length."""
        case("Resize", 13, inputs, attrs)
        if attrs["coordinate_transformation_mode"] == "align_corners":
            case("Resize", 19, inputs, attrs, expect=compute_onnx("Resize", 19, inputs, attrs, 1, ""))

    none = np.zeros(0, np.float32)
    transforms = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    for transform, rounding, scale in itertools.product(
            transforms, ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"], [2.0, 0.7, 1.7]):
        scaled([f(1, 2, 5, 6), none, np.array([1, 1, scale, scale], np.float32)],
               {"mode": "nearest", "coordinate_transformation_mode": transform, "nearest_mode": rounding})
    for mode, transform, scale in itertools.product(["linear", "cubic"], transforms, [2.0, 0.6, 1.7]):
        scaled([f(1, 2, 5, 6), none, np.array([1, 1, scale, scale * 1.1], np.float32)],
               {"mode": mode, "coordinate_transformation_mode": transform})
        case("Resize", 13, [f(1, 2, 5, 6), None, None, np.array([1, 2, 9, 3], np.int64)],
             {"mode": mode, "coordinate_transformation_mode": transform})
    for a, exclude in itertools.product([-0.5, -0.75], [0, 1]):
        case("Resize", 13, [f(1, 1, 5, 6), none, np.array([1, 1, 2, 1.5], np.float32)],
             {"mode": "cubic", "cubic_coeff_a": a, "exclude_outside": exclude})
    for mode in ("nearest", "linear", "cubic"):
        case("Resize", 13, [f(1, 1, 5, 6), np.array([0, 0, 0.4, 0.6, 1, 1, 1.2, 1.7], np.float32), None,
                            np.array([1, 1, 3, 4], np.int64)],
             {"mode": mode, "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 10.0})
        case("Resize", 19, [f(1, 2, 7, 5), None, np.array([1, 1, 2, 2.3], np.float32)],
             {"mode": mode, "coordinate_transformation_mode": "half_pixel_symmetric"})
        case("Resize", 18, [f(1, 2, 7, 5), None, None, np.array([9, 4], np.int64)], {"mode": mode, "axes": [2, 3]})
        case("Resize", 18, [f(1, 2, 7, 5), None, np.array([2.0, 0.5], np.float32)], {"mode": mode, "axes": [3, 2]})
    for policy, size in itertools.product(["not_larger", "not_smaller"], [[7, 8], [3, 9], [10, 3]]):
        case("Resize", 18, [f(1, 2, 5, 6), None, None, np.array(size, np.int64)],
             {"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": policy})
        case("Resize", 18, [f(1, 2, 5, 6), None, None, np.array(size, np.int64)],
             {"mode": "nearest", "axes": [2, 3], "keep_aspect_ratio_policy": policy})
    for mode, exclude, scale in itertools.product(["linear", "cubic"], [0, 1], [0.6, 0.3, 1.5]):
        case("Resize", 18, [f(1, 1, 9, 10), None, np.array([1, 1, scale, scale], np.float32)],
             {"mode": mode, "antialias": 1, "exclude_outside": exclude}, note="antialias")
    case("Resize", 11, [f(1, 1, 4, 4), none, np.array([1, 1, 2, 2], np.float32)], {"mode": "nearest",
         "coordinate_transformation_mode": "tf_half_pixel_for_nn"})
    case("Resize", 13, [f(2, 3, 8), none, np.array([1, 1, 1.5], np.float32)], {"mode": "linear"})
    case("Resize", 13, [f(1, 2, 3, 4, 5), none, np.array([1, 1, 2, 1.5, 2], np.float32)], {"mode": "linear"})
    case("Resize", 13, [f(3, 4, 5), none, np.array([2, 2, 2], np.float32)], {"mode": "nearest"})
    for scale in (2.0, 0.6, 1.7):
        for mode in ("nearest", "linear"):
            case("Resize", 10, [f(1, 2, 5, 6), np.array([1, 1, scale, scale], np.float32)], {"mode": mode})
            if scale >= 1:
                case("Upsample", 9, [f(1, 2, 5, 6), np.array([1, 1, scale, scale], np.float32)], {"mode": mode})
                case("Upsample", 7, [f(1, 2, 5, 6)], {"mode": mode, "scales": [1.0, 1.0, scale, scale]})
    case("Resize", 13, [rng.integers(0, 255, (1, 2, 5, 6)).astype(np.uint8), none, np.array([1, 1, 2, 2],
         np.float32)], {"mode": "nearest"})
    steps = np.array([0, 0, 250, 250, 0, 0], np.uint8).reshape(1, 1, 6)
    for t, shift in ((np.uint8, 0), (np.int8, -128)):
        x = (steps.astype(np.int16) + shift).astype(t)
        wide = compute_onnx("Resize", 13, [x.astype(np.float64), none, np.array([1, 1, 2], np.float32)], {"mode": "cubic"}, 1, "")[0]
        assert wide.min() < np.iinfo(t).min and wide.max() > np.iinfo(t).max
        case("Resize", 13, [x, none, np.array([1, 1, 2], np.float32)], {"mode": "cubic"}, note="beyond the type",
             expect=[np.clip(np.trunc(wide), np.iinfo(t).min, np.iinfo(t).max).astype(t)])
    case("Resize", 13, [rng.integers(-100, 100, (1, 2, 5, 6)).astype(np.int32), none, np.array([1, 1, 2, 2],
         np.float32)], {"mode": "nearest"})
    case("Resize", 13, [f(1, 2, 5, 6), none, np.array([1, 1, 2, 2], np.float32)], {"mode": "nearest"},
         as_type=np.float16)
