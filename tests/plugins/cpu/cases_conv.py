# SPDX-License-Identifier: Apache-2.0
"""Conv and ConvTranspose with all their attributes."""
import itertools

import numpy as np


def make(case, rng):
    def f(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    def conv(x, w, bias=True, opset=11, op="Conv", as_type=None, **attrs):
        features = w[0] if op == "Conv" else w[1] * attrs.get("group", 1)
        case(op, opset, [f(*x), f(*w)] + ([f(features)] if bias else []), attrs, rtol=1e-4, atol=1e-4,
             note=f"{x} {w}{' bias' if bias else ''}", as_type=as_type)

    conv((1, 1, 5), (1, 1, 3), bias=False)
    conv((2, 3, 9), (4, 3, 3), pads=[1, 1], strides=[2])
    conv((1, 8, 30), (16, 8, 3), dilations=[3], pads=[3, 3])
    conv((1, 3, 8, 8), (4, 3, 3, 3), bias=False)
    conv((2, 3, 17, 15), (5, 3, 3, 3), pads=[1, 1, 1, 1])
    conv((1, 3, 17, 15), (5, 3, 3, 3), pads=[0, 1, 2, 3], strides=[2, 1])
    conv((1, 4, 20, 33), (20, 4, 1, 1))
    conv((1, 4, 20, 33), (20, 4, 1, 1), strides=[2, 2])
    conv((1, 64, 9, 9), (100, 64, 1, 1))
    conv((1, 64, 7, 7), (100, 64, 3, 3), pads=[1, 1, 1, 1])
    conv((1, 4, 12, 12), (6, 2, 3, 3), group=2, pads=[1, 1, 1, 1])
    conv((1, 6, 12, 40), (12, 1, 3, 3), group=6, pads=[1, 1, 1, 1])
    conv((1, 3, 1, 1), (4, 3, 1, 1))
    conv((1, 3, 1, 6), (4, 3, 2, 2), strides=[2, 2])
    conv((1, 6, 2, 1), (6, 1, 3, 3), group=6, strides=[2, 3])
    conv((1, 2, 3, 3), (2, 2, 3, 3), pads=[2, 2, 2, 2], dilations=[2, 2])
    conv((1, 2, 30, 30), (3, 2, 3, 3), pads=[6, 6, 6, 6], dilations=[6, 6])
    conv((1, 3, 5, 6, 7), (4, 3, 2, 3, 3), pads=[0, 1, 1, 1, 1, 1])
    conv((1, 4, 5, 6, 7), (4, 1, 3, 3, 3), group=4, pads=[1] * 6)
    conv((1, 3, 224, 20), (8, 3, 7, 7), strides=[2, 2], pads=[3, 3, 3, 3])
    conv((0, 3, 8, 8), (4, 3, 3, 3))
    for mode, stride in itertools.product(["SAME_UPPER", "SAME_LOWER", "VALID"], [1, 2, 3]):
        conv((1, 2, 10, 11), (3, 2, 4, 3), auto_pad=mode, strides=[stride, stride])
    for k, s, d, width in itertools.product([3, 5], [1, 2, 3], [1, 2], [7, 37, 64]):
        p = d * (k - 1) // 2
        conv((1, 3, 11, width), (3, 1, k, k), group=3, strides=[s, s], pads=[p] * 4, dilations=[d, d])
    conv((1, 3, 10, 50), (3, 1, 1, 7), group=3, pads=[0, 3, 0, 3])
    conv((1, 16, 50), (16, 1, 31), group=16, pads=[15, 15])
    conv((1, 3, 6, 6), (3, 1, 3, 3), group=3, pads=[4, 4, 4, 4])
    conv((1, 3, 8, 8), (4, 3, 3, 3), as_type=np.float64)
    conv((1, 3, 8, 8), (4, 3, 3, 3), as_type=np.float16)

    conv((2, 4, 3, 4, 3, 5), (6, 2, 1, 2, 2, 3), group=2, strides=[1, 2, 1, 2], pads=[0, 1, 0, 1, 0, 1, 1, 1])
    conv((1, 1, 2, 3, 6, 5), (1, 1, 1, 1, 2, 2), bias=False, strides=[1, 1, 2, 2], auto_pad="SAME_UPPER")
    conv((1, 2, 3, 4, 3, 5), (3, 2, 2, 2, 1, 2), dilations=[2, 1, 1, 3], as_type=np.float64)

    def transpose(*args, **kwargs):
        conv(*args, op="ConvTranspose", **kwargs)

    transpose((1, 3, 5), (3, 2, 3), bias=False)
    transpose((2, 3, 5, 6), (3, 4, 3, 3))
    transpose((1, 3, 5, 6), (3, 4, 2, 2), strides=[2, 2])
    transpose((1, 24, 13, 17), (24, 24, 2, 2), strides=[2, 2])
    transpose((1, 24, 13, 17), (24, 1, 2, 2), strides=[2, 2])
    transpose((1, 3, 5, 6), (3, 4, 3, 3), strides=[3, 2], pads=[1, 0, 1, 1], output_padding=[1, 1])
    transpose((1, 4, 5, 6), (4, 2, 3, 3), strides=[2, 2], group=2)
    transpose((1, 4, 5, 6), (4, 1, 3, 3), strides=[2, 2], group=4, pads=[1, 1, 1, 1])
    transpose((1, 3, 5, 6), (3, 2, 3, 3), dilations=[2, 3])
    transpose((1, 3, 5, 6), (3, 2, 3, 3), strides=[3, 2], output_shape=[10, 8])
    transpose((1, 3, 3, 3), (3, 2, 3, 3), strides=[3, 2], output_shape=[10, 8])
    transpose((1, 3, 4, 5), (3, 2, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER")
    transpose((1, 3, 4, 5), (3, 2, 3, 3), strides=[2, 2], auto_pad="SAME_LOWER")
    transpose((1, 3, 4, 5), (3, 2, 4, 4), strides=[1, 1], auto_pad="SAME_LOWER")
    transpose((1, 2, 3, 4, 3), (2, 3, 2, 2, 2), strides=[2, 1, 2])
    transpose((1, 3, 5, 6), (3, 4, 2, 2), strides=[2, 2], as_type=np.float64)
