# SPDX-License-Identifier: Apache-2.0
"""Attention and its kin, against ONNX's own evaluator: onnxruntime has no windows, no bfloat16 and other masks."""
import ml_dtypes
import numpy as np

from make_cases import compute_onnx


def operands(f, rng, form, batch, heads, kv_heads, length, keys, width, v_width):
    """Q, K and V, and the attributes that tell their heads."""
    if form == 4:
        return [f(batch, heads, length, width), f(batch, kv_heads, keys, width), f(batch, kv_heads, keys, v_width)], {}
    return ([f(batch, length, heads * width), f(batch, keys, kv_heads * width), f(batch, keys, kv_heads * v_width)],
            {"q_num_heads": heads, "kv_num_heads": kv_heads})


def mask(f, rng, kind, whole):
    """A mask that broadcasts to `whole`; a boolean one may hide whole rows."""
    rank = int(rng.integers(2, 5))
    shape = [n if rng.random() < 0.6 or i == 3 else 1 for i, n in enumerate(whole)][4 - rank:]
    if kind == "bool":
        return rng.random(shape) < 0.6
    values = f(*shape)
    values[rng.random(shape) < 0.2] = -np.inf
    return values


def attention(case, f, rng, opset, i):
    batch, kv_heads, group = (int(rng.integers(1, 4)) for _ in range(3))
    length = [1, int(rng.integers(2, 9)), 70][int(rng.integers(0, 10)) // 4 if i else 2]
    keys, width, v_width = int(rng.integers(1, 40)), int(rng.integers(1, 20)), int(rng.integers(1, 20))
    heads = kv_heads * group
    inputs, attrs = operands(f, rng, int(rng.integers(3, 5)), batch, heads, kv_heads, length, keys, width, v_width)
    cache = rng.choice(["none", "past", "padded"] if opset >= 24 else ["none", "past"])
    past = int(rng.integers(1, 20)) if cache == "past" else 0
    kind = rng.choice(["none", "bool", "float"])
    total = past + keys
    inputs.append(None if kind == "none" else mask(f, rng, kind, (batch, heads, length, total)))
    if kind != "none" and opset >= 24 and total > 2 and rng.random() < 0.3:
        inputs[3] = np.ascontiguousarray(inputs[3][..., :total - 1])
    if cache == "past":
        inputs += [f(batch, kv_heads, past, width), f(batch, kv_heads, past, v_width)]
    elif cache == "padded":
        inputs += [None, None, rng.integers(0, keys + 1, batch)]
    if rng.random() < 0.4:
        attrs["is_causal"] = 1
    if rng.random() < 0.3:
        attrs["scale"] = float(np.float32(rng.random()))
    if rng.random() < 0.3:
        attrs["softcap"] = float(np.float32(rng.random() * 3 + 0.5))
    if opset >= 25 and rng.random() < 0.5:
        attrs["left_window_size"] = int(rng.integers(-1, 10))
        attrs["right_window_size"] = int(rng.integers(-1, 10))
    outputs = 4 if rng.random() < 0.6 else 1
    if outputs == 4:
        # The evaluator shows the capped scores where the raw ones are asked for.
        attrs["qk_matmul_output_mode"] = int(rng.integers(1 if "softcap" in attrs else 0, 4))
    run(case, "Attention", opset, inputs, attrs, outputs, rng.choice(["float32", "float32", "float64", "float16"]),
        length=length)


def run(case, op, opset, inputs, attrs, outputs, dtype, domain="", length=0):
    """Expected values by ONNX's evaluator in double; float16 by it in float16, whose steps it rounds."""
    kind = np.dtype(dtype) if dtype != "bfloat16" else np.dtype(ml_dtypes.bfloat16)
    given = [v.astype(kind) if v is not None and v.dtype == np.float32 else v for v in inputs]
    wide = [v.astype(np.float64) if v is not None and v.dtype == kind and dtype != "float16" else v for v in given]
    if op == "Attention" and wide[3] is not None:
        # The evaluator takes the length of the queries from a mask that is broadcast over them.
        wide[3] = np.repeat(wide[3], int(length) if wide[3].shape[-2] == 1 else 1, -2)
    expect = compute_onnx(op, opset, wide, attrs, outputs, domain)
    expect = [np.ascontiguousarray(v).astype(kind) if v.dtype.kind in "fV" else v for v in expect]
    tolerance = {"float16": 4e-3, "bfloat16": 3e-2}.get(dtype, 2e-5)
    case(op, opset, given, attrs, expect=expect, rtol=tolerance, atol=tolerance, domain=domain)


def rotary(case, f, rng):
    batch, heads, length, half = (int(rng.integers(1, 5)) for _ in range(4))
    rest = int(rng.integers(0, 2)) * 3
    width = 2 * half + rest
    attrs = {"interleaved": int(rng.integers(0, 2))}
    if rest:
        attrs["rotary_embedding_dim"] = 2 * half
    if rng.random() < 0.5:
        x = f(batch, length, heads * width)
        attrs["num_heads"] = heads
    else:
        x = f(batch, heads, length, width)
    if rng.random() < 0.5:
        angles, places = f(7, half), rng.integers(0, 7, (batch, length))
    else:
        angles, places = f(batch, length, half), None
    run(case, "RotaryEmbedding", 23, [x, np.cos(angles), np.sin(angles), places], attrs, 1,
        rng.choice(["float32", "float16", "bfloat16"]))


def linear(case, f, rng, rule):
    batch, length, kv_heads, group, keys, values = (int(rng.integers(1, 5)) for _ in range(6))
    inputs = [f(batch, length, kv_heads * group * keys), f(batch, length, kv_heads * keys) * np.float32(0.5),
              f(batch, length, kv_heads * values)]
    inputs.append(f(batch, kv_heads, keys, values) if rng.random() < 0.5 else None)
    each = kv_heads * (keys if rng.random() < 0.5 else 1)
    inputs.append(-np.abs(f(batch, length, each)) if "gated" in rule else None)
    rates = kv_heads if rng.random() < 0.5 else 1
    inputs.append(rng.random((batch, length, rates)).astype(np.float32) if "delta" in rule else None)
    attrs = {"update_rule": rule, "q_num_heads": kv_heads * group, "kv_num_heads": kv_heads}
    if rng.random() < 0.3:
        attrs["scale"] = 0.75
    case("LinearAttention", 27, inputs, attrs,
         expect=compute_onnx("LinearAttention", 27, inputs, attrs, 2, ""), rtol=1e-4, atol=1e-5)


def causal(case, f, rng, activation):
    batch, channels, length, width = (int(rng.integers(1, 6)) for _ in range(4))
    inputs = [f(batch, channels, length), f(channels, 1, width), f(channels) if rng.random() < 0.5 else None,
              f(batch, channels, width - 1) if rng.random() < 0.5 else None]
    attrs = {"activation": activation}
    run(case, "CausalConvWithState", 27, inputs, attrs, 2, rng.choice(["float32", "float16"]))


def flex(case, f, rng):
    batch, kv_heads, group, length, keys, width, v_width = (int(rng.integers(1, 6)) for _ in range(7))
    q, k = f(batch, kv_heads * group, length, width), f(batch, kv_heads, keys, width)
    v = f(batch, kv_heads, keys, v_width)
    attrs = {"scale": 0.3} if rng.random() < 0.5 else {}
    run(case, "FlexAttention", 1, [q, k, v], attrs, 1, rng.choice(["float32", "float64", "float16"]),
        "ai.onnx.preview")


def pieces(case, f, rng):
    """The two ends of a FlexAttention with bodies."""
    batch, kv_heads, group, length, keys, width = (int(rng.integers(1, 6)) for _ in range(6))
    q, k = f(batch, kv_heads * group, length, width), f(batch, kv_heads, keys, width)
    weights, v = np.abs(f(batch, kv_heads * group, length, keys)), f(batch, kv_heads, keys, width)
    attrs = {"scale": 0.3} if rng.random() < 0.5 else {}
    scores = q.astype(np.float64) @ np.repeat(k, group, 1).transpose(0, 1, 3, 2) * attrs.get("scale", width ** -0.5)
    case("FlexScores", 1, [q, k], attrs, expect=[scores.astype(np.float32)], domain="partita")
    case("FlexScores", 1, [q.astype(np.float64), k.astype(np.float64)], attrs, expect=[scores], domain="partita")
    case("FlexScores", 1, [q.astype(np.float16), k.astype(np.float16)], attrs, expect=[scores.astype(np.float32)],
         rtol=1e-2, atol=1e-2, domain="partita")
    summed = weights.astype(np.float64) @ np.repeat(v, group, 1)
    case("FlexValues", 1, [weights, v], expect=[summed.astype(np.float32)], domain="partita")
    case("FlexValues", 1, [weights, f(batch, kv_heads, keys + 1, width)], expect=[summed.astype(np.float32)],
         status=3, domain="partita")


def refused(case, f):
    """Shapes that do not fit: the run says so."""
    bad = 3
    q, k = f(2, 4, 3, 8), f(2, 2, 5, 8)
    y = np.zeros((2, 4, 3, 8), np.float32)
    for inputs in ([q, f(2, 3, 5, 8), f(2, 3, 5, 8)], [q, k, f(2, 2, 6, 8)], [q, f(2, 2, 5, 7), k],
                   [q, k, k, f(3, 7)], [q, k, k, f(2, 1, 1, 1, 1)], [q, k, k, None, f(2, 2, 3, 7), f(2, 2, 3, 8)],
                   [q, k, k, None, f(2, 2, 3, 8), f(2, 2, 4, 8)], [q, k, k, None, None, None, np.array([1], np.int64)]):
        case("Attention", 24, inputs, expect=[y], status=bad, note="bad shapes")
    x = f(2, 3, 4)
    for inputs, attrs in (([x, f(5, 2), f(5, 2), np.full((2, 3), 5, np.int64)], {"num_heads": 1}),
                          ([x, f(5, 2), f(5, 3)], {"num_heads": 1}), ([x, f(2, 3, 2), f(2, 3, 2)], {"num_heads": 3}),
                          ([x, f(2, 3, 2), f(2, 3, 2)], {"num_heads": 1, "rotary_embedding_dim": 3})):
        case("RotaryEmbedding", 23, inputs, attrs, expect=[x], status=bad, note="bad shapes")
    heads = {"q_num_heads": 2, "kv_num_heads": 1, "update_rule": "linear"}
    state = np.zeros((2, 1, 2, 4), np.float32)
    for inputs, attrs in (([x, f(2, 3, 3), x], heads), ([x, f(2, 3, 2), x, f(2, 1, 2, 3)], heads),
                          ([x, f(2, 3, 2), x], heads | {"update_rule": "gated"}),
                          ([x, f(2, 3, 2), x, None, x], heads), ([x, f(2, 3, 2), x], heads | {"q_num_heads": 0})):
        case("LinearAttention", 27, inputs, attrs, expect=[np.zeros((2, 3, 8), np.float32), state], status=bad,
             note="bad shapes")
    for inputs in ([x, f(2, 1, 2)], [x, f(3, 1, 2), f(2)], [x, f(3, 1, 2), None, f(2, 3, 2)]):
        case("CausalConvWithState", 27, inputs, expect=[x, f(2, 3, 1)], status=bad, note="bad shapes")


def make(case, rng):
    def f(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    for opset in (23, 24, 25):
        for i in range(60):
            attention(case, f, rng, opset, i)
    # Several blocks of queries, whose last keys differ.
    long = [f(1, 4, 200, 17), f(1, 2, 200, 17), f(1, 2, 200, 40)]
    for attrs in ({}, {"is_causal": 1}, {"left_window_size": 20, "right_window_size": 3}):
        for more in ([], [None, f(1, 2, 30, 17), f(1, 2, 30, 40)], [None, None, None, np.array([140])]):
            run(case, "Attention", 25, long + more + [None] * (1 - len(more)), attrs, 1, "float32")
    q = f(1, 2, 4, 8)
    for precision in (1, 10, 11, 16):
        case("Attention", 23, [q, f(1, 2, 5, 8), f(1, 2, 5, 8)], {"softmax_precision": precision},
             rtol=2e-2 if precision in (10, 16) else 1e-5, atol=2e-2 if precision in (10, 16) else 1e-5)
    # The scores as the product left them, also where they are capped behind it.
    k, v = f(1, 2, 5, 8), f(1, 2, 5, 8)
    raw = compute_onnx("Attention", 24, [q, k, v], {}, 4, "")
    capped = compute_onnx("Attention", 24, [q, k, v], {"softcap": 1.5}, 4, "")
    case("Attention", 24, [q, k, v], {"softcap": 1.5}, expect=capped[:3] + raw[3:])
    # A mask for one key is for all of them, from version 24 on for the first.
    one = f(4, 1)
    case("Attention", 23, [q, k, v, one], expect=raw[:1])
    first = np.broadcast_to(v[:, :, :1], q.shape)
    case("Attention", 24, [q, k, v, one], expect=[first])
    # What lies behind a mask counts for nothing, whatever it is.
    poisoned = k.copy()
    poisoned[..., 3:, :] = np.nan
    case("Attention", 24, [q, poisoned, v, np.zeros((4, 5), bool)], expect=[np.zeros_like(q)], note="nothing to see")
    for rule in ("linear", "gated", "delta", "gated_delta"):
        for _ in range(8):
            linear(case, f, rng, rule)
    for activation in ("none", "silu", "swish"):
        for _ in range(8):
            causal(case, f, rng, activation)
    for _ in range(24):
        rotary(case, f, rng)
        flex(case, f, rng)
    for _ in range(6):
        pieces(case, f, rng)
    refused(case, f)
