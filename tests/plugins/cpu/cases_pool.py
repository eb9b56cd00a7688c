# SPDX-License-Identifier: Apache-2.0
"""Pooling."""
import itertools

import numpy as np


def make(case, rng):
    def f(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    for op in ("MaxPool", "AveragePool", "LpPool"):
        newest = {"MaxPool": 12, "AveragePool": 19, "LpPool": 18}[op]
        oldest = {"MaxPool": 1, "AveragePool": 7, "LpPool": 2}[op]
        case(op, oldest, [f(1, 2, 8, 9)], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]})
        for shape, k in [((2, 3, 12), [3]), ((1, 2, 7, 9), [2, 3]), ((1, 2, 5, 6, 7), [2, 3, 2])]:
            n = len(k)
            for s, p, ceil in itertools.product([1, 2], [0, 1], [0, 1]):
                if op == "LpPool" and ceil:
                    continue
                attrs = {"kernel_shape": k, "strides": [s] * n, "pads": [p] * 2 * n}
                if op != "LpPool":
                    attrs["ceil_mode"] = ceil
                case(op, newest, [f(*shape)], attrs)
                if op == "AveragePool":
                    case(op, newest, [f(*shape)], attrs | {"count_include_pad": 1})
        for pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
            case(op, newest, [f(1, 2, 8, 9)], {"kernel_shape": [4, 3], "strides": [2, 2], "auto_pad": pad})
        case(op, newest, [f(1, 2, 11, 12)], {"kernel_shape": [3, 3], "dilations": [2, 3], "pads": [1, 1, 1, 1]})
        case(op, newest, [f(1, 2, 40, 50)], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]})
        if op != "LpPool":  # a window larger than the input, by less than a stride
            case(op, newest, [f(1, 2, 1, 5)], {"kernel_shape": [2, 2], "strides": [2, 2]})
            case(op, newest, [f(1, 2, 3, 1)], {"kernel_shape": [4, 3], "strides": [2, 3]})
        case("Global" + op, 1 if op != "LpPool" else 2, [f(2, 3, 7, 5)])
        case("Global" + op, 1 if op != "LpPool" else 2, [f(2, 3, 7)], as_type=np.float64)
    case("LpPool", 18, [f(1, 2, 8, 9)], {"kernel_shape": [3, 3], "p": 3})
    case("LpPool", 11, [f(1, 2, 8, 9)], {"kernel_shape": [3, 3], "p": 1})
    for order in (0, 1):
        case("MaxPool", 12, [f(2, 2, 7, 9)], {"kernel_shape": [3, 2], "storage_order": order, "strides": [2, 2],
                                              "pads": [1, 1, 1, 0]}, outputs=2)
        case("MaxPool", 8, [f(2, 2, 9)], {"kernel_shape": [3], "storage_order": order}, outputs=2)
        case("MaxPool", 12, [f(1, 2, 4, 5, 6)], {"kernel_shape": [2, 2, 2], "storage_order": order}, outputs=2)
    x = rng.integers(-100, 100, (1, 2, 8, 9))
    case("MaxPool", 12, [x.astype(np.int8)], {"kernel_shape": [3, 3], "pads": [1] * 4})
    case("MaxPool", 12, [(x + 100).astype(np.uint8)], {"kernel_shape": [3, 3]})
    case("MaxPool", 12, [f(1, 2, 8, 9)], {"kernel_shape": [3, 3]}, as_type=np.float64)
    case("AveragePool", 19, [f(1, 2, 8, 9)], {"kernel_shape": [3, 3], "pads": [1] * 4}, as_type=np.float16)
    values, places = f(1, 1, 2, 2), np.array([[[[5, 7], [13, 15]]]], np.int64)
    case("MaxUnpool", 11, [values, places], {"kernel_shape": [2, 2], "strides": [2, 2]})
    # onnxruntime counts indices in the shape that is asked for, ONNX's own results in the one that the window gives.
    asked = np.zeros((1, 1, 5, 5), np.float32)
    asked[0, 0, [1, 1, 3, 3], [1, 3, 1, 3]] = values.ravel()
    case("MaxUnpool", 9, [values, places, np.array(asked.shape, np.int64)], {"kernel_shape": [2, 2], "strides": [2, 2]},
         expect=[asked])
    many_dims(case, f)


def many_dims(case, f):
    """Over four spatial dims, which onnxruntime does not pool."""
    x, kernel, strides, pads = f(2, 2, 3, 4, 5, 3), (1, 2, 3, 2), (1, 2, 1, 2), (0, 1, 1, 0)
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in pads)], constant_values=np.nan)
    numbers = np.pad(np.arange(x.size).reshape(x.shape), [(0, 0), (0, 0), *((p, p) for p in pads)])
    shape = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(x.shape[2:], pads, kernel, strides)]
    windows = np.empty((*x.shape[:2], *shape, int(np.prod(kernel))), np.float64)
    places = np.zeros(windows.shape, np.int64)
    for at in np.ndindex(*shape):
        cut = (..., *(slice(i * s, i * s + k) for i, s, k in zip(at, strides, kernel)))
        windows[(slice(None), slice(None), *at)] = padded[cut].reshape(*x.shape[:2], -1)
        places[(slice(None), slice(None), *at)] = numbers[cut].reshape(*x.shape[:2], -1)
    attrs = {"kernel_shape": list(kernel), "strides": list(strides), "pads": [*pads, *pads]}
    best = np.nanargmax(windows, -1)[..., None]
    case("MaxPool", 12, [x], attrs, outputs=2, expect=[np.nanmax(windows, -1).astype(np.float32),
                                                      np.take_along_axis(places, best, -1)[..., 0]])
    case("AveragePool", 19, [x], attrs, expect=[np.nanmean(windows, -1).astype(np.float32)])
    case("AveragePool", 19, [x], attrs | {"count_include_pad": 1},
         expect=[(np.nansum(windows, -1) / windows.shape[-1]).astype(np.float32)])
    case("LpPool", 18, [x], attrs | {"p": 3}, expect=[np.cbrt(np.nansum(np.abs(windows) ** 3, -1)).astype(np.float32)])
