# SPDX-License-Identifier: Apache-2.0
"""What kernels of com.microsoft refuse: shapes, types and attributes that do not fit each other."""
import itertools

import numpy as np

F, I, U = np.float32, np.int64, np.uint8
BAD, CANNOT = 3, 9


def make(case, rng):
    numbers = itertools.count()

    def f(*shape):
        return rng.standard_normal(shape).astype(F)

    def no(op, inputs, change, attrs=None, shape=(2, 3), status=BAD, like=F, more=None):
        """change: input to what stands there instead; shape: that of the first output, as the host says it."""
        inputs = [change.get(k, v) for k, v in enumerate(inputs)] + [v for k, v in sorted(change.items()) if k >= len(inputs)]
        expect = [np.zeros(shape, like), *(more or [])]
        case(op, 1, inputs, attrs or {}, outputs=len(expect), status=status, domain="com.microsoft", expect=expect,
             note=f"refused {next(numbers)}")

    blocks(no, f)
    norms(no, f)
    products(no, f)
    heads(no, f)
    groups(no, f)


def blocks(no, f):
    attrs = {"K": 32, "N": 4, "bits": 4, "block_size": 16}
    good = [f(2, 32), np.zeros((4, 2, 8), U), f(4, 2), np.zeros((4, 1), U), np.zeros(32, np.int32), f(4)]

    def nbits(change, status=BAD, shape=(2, 4), **other):
        no("MatMulNBits", good, change, {**attrs, **other}, shape, status)

    for name, value in (("bits", 5), ("block_size", 17), ("K", 0), ("weight_prepacked", 1)):
        nbits({}, CANNOT, **{name: value})
    nbits({1: np.zeros((4, 2, 8), np.int8)}, CANNOT)
    nbits({4: np.zeros(32, I)}, CANNOT)
    for change in ({0: f(2, 31)}, {1: np.zeros((4, 2, 7), U)}, {3: np.zeros(3, U)}, {4: np.zeros(31, np.int32)},
                   {4: np.full(32, 9, np.int32)}, {5: f(3)}):
        nbits(change)
    nbits({}, shape=(2, 5))
    table = [np.zeros((3, 8), U), np.zeros(2, I), f(3, 1)]
    form = {"bits": 4, "block_size": 16, "quantize_axis": 1, "gather_axis": 0}
    for change, other in (({}, {"bits": 3}), ({}, {"block_size": 24}), ({1: np.zeros(2, F)}, {}),
                          ({2: np.zeros((3, 1), np.int32)}, {})):
        no("GatherBlockQuantized", table, change, {**form, **other}, (2, 16), CANNOT)
    for change, shape in (({2: f(3, 2)}, (2, 16)), ({3: np.zeros((3, 2), U)}, (2, 16)), ({}, (2, 15))):
        no("GatherBlockQuantized", table, change, form, shape)


def norms(no, f):
    x, g = f(2, 3, 8), f(8)
    for change in ({1: f(2, 3, 7)}, {2: f(7)}, {3: f(7)}, {4: f(7)}, {1: f(5, 3, 8)}):
        no("SkipLayerNormalization", [x, x, g, g, g], change, {"epsilon": 1e-5}, (2, 3, 8))
    words, none = np.zeros((2, 4), np.int32), np.zeros((2,), np.int32)
    good = [words, words, f(9, 8), f(6, 8), f(2, 8), g, g, words]
    for change in ({2: f(9, 7)}, {0: words + 9}, {0: none}, {1: none}, {7: none}, {8: none}):
        no("EmbedLayerNormalization", good, change, {"epsilon": 1e-5}, (2, 4, 8), more=[none])
    codes, one, zero = np.zeros((9, 8), U), np.array(1, F), np.array(3, U)
    quantised = [words, words, codes, codes, codes, codes[0], codes[0], None, *[one] * 5, *[zero] * 5]
    for change in ({9: f(0)}, {13: None}, {17: np.zeros(2, U)}):
        no("QEmbedLayerNormalization", quantised, change, {"epsilon": 1e-5}, (2, 4, 8), more=[none])


def products(no, f):
    a, b, one, zero = np.zeros((2, 4), U), np.zeros((4, 3), U), np.array(1, F), np.array(3, U)
    good = [a, b, one, one, zero, zero, f(3)]
    for change in ({3: f(2)}, {4: np.zeros(2, U)}, {2: f(2)}, {5: np.zeros(2, U)}, {6: f(4)}):
        no("MatMulIntegerToFloat", good, change)
    no("MatMulIntegerToFloat", good, {}, shape=(2, 4))
    gemm = [a, one, zero, b, one, zero, np.zeros(3, np.int32)]
    turned = {"transA": 0, "transB": 0, "alpha": 1.0}
    for change in ({3: np.zeros((5, 3), U)}, {3: np.zeros((1, 4, 3), U)}, {6: np.zeros(2, np.int32)}, {2: np.zeros(2, U)}):
        no("QGemm", gemm, change, turned)
    no("QGemm", gemm, {3: np.zeros((4, 3), F)}, turned, status=CANNOT)


def heads(no, f):
    q, attrs = f(2, 3, 8), {"num_heads": 2}
    good = [q, q, q]

    def multi(change, status=BAD, shape=(2, 3, 8), **other):
        no("MultiHeadAttention", good, change, {**attrs, **other}, shape, status)

    multi({}, CANNOT, num_heads=0)
    multi({1: q.astype(np.float64)}, CANNOT)
    packed = f(2, 3, 2, 2, 4)
    for change in ({1: f(3, 3, 8)}, {1: f(2, 4, 8)}, {1: f(2, 3, 6)}, {2: None}, {1: None, 2: None}, {0: f(2, 3, 7)},
                   {1: packed}, {3: f(23)}, {4: np.zeros(5, np.int32)}, {4: np.zeros((1, 1, 1, 1, 1), np.int32)},
                   {5: f(3, 2, 3, 3)}, {5: f(1, 2, 4, 3)}):
        multi({4: None, 3: None, **change} if 5 in change else {3: None, **change} if 4 in change else change)
    no("MultiHeadAttention", [f(2, 3, 2, 2, 4)], {}, attrs, (2, 3, 8))
    no("MultiHeadAttention", [*good, None, None, None, f(2, 2, 1, 3), f(2, 2, 1, 4)], {}, attrs, (2, 3, 8))
    x, w = f(2, 3, 8), f(8, 24)
    for change, other in (({1: f(7, 24)}, {}), ({1: f(8, 23)}, {}), ({2: f(23)}, {}), ({3: None, 4: f(2, 2, 2, 1, 3)}, {}),
                          ({}, {"qkv_hidden_sizes": [8, 4, 12]})):
        no("Attention", [x, w, f(24)], change, {**attrs, **other}, (2, 3, 8))
    for other in ({"qkv_hidden_sizes": [8, 8]}, {"do_rotary": 1}, {"past_present_share_buffer": 1}):
        no("Attention", [x, w, f(24)], {}, {**attrs, **other}, (2, 3, 8), CANNOT)
    one, zero = np.array(1, F), np.array(3, U)
    quantised = [np.zeros((2, 3, 8), U), np.zeros((8, 24), U), f(24), one, one, None, zero, zero]
    for change in ({3: f(2)}, {4: f(2)}, {6: np.zeros(2, U)}, {7: np.zeros(2, U)}):
        no("QAttention", quantised, change, attrs, (2, 3, 8))


def groups(no, f):
    past, lengths, total = f(1, 1, 2, 8), np.array([2], np.int32), np.array([3], np.int32)
    good = [f(1, 1, 16), f(1, 1, 8), f(1, 1, 8), past, past, lengths, total]
    present = [np.zeros((1, 1, 3, 8), F)] * 2

    def group(change, status=BAD, **other):
        attrs = {"num_heads": 2, "kv_num_heads": 1, **other}
        change = {k: None for k in range(len(good), max(change, default=0))} | change
        no("GroupQueryAttention", good, change, attrs, (1, 1, 16), status, more=present)

    for other in ({"num_heads": 3, "kv_num_heads": 2}, {"qk_output": 7}, {"local_window_size": 0},
                  {"sliding_window_cache": 1}):
        group({}, CANNOT, **other)
    group({5: lengths.astype(I)}, CANNOT)
    group({14: f(8)}, CANNOT)
    for change in ({0: f(1, 1, 15)}, {1: f(1, 1, 7)}, {1: None}, {5: np.zeros(2, np.int32)}, {11: f(3)}, {3: None},
                   {3: f(1, 1, 2, 7)}, {4: f(1, 1, 1, 8)}, {6: total + 9}, {5: lengths + 9}, {10: f(1, 3, 1, 3)}):
        group(change)
    turns = np.zeros((4, 4), F)
    for change in ({7: turns}, {7: turns, 8: f(4, 3)}, {7: turns, 8: turns, 9: np.zeros((1, 2), I)}):
        group(change, do_rotary=1)
