# SPDX-License-Identifier: Apache-2.0
"""The caches of com.microsoft's attention: of few bits, sliding, shared between steps, of beams; against onnxruntime.
Norms of Q and K, which its CPU lacks, against numpy."""
import sys

import numpy as np

MS = "com.microsoft"
NEAR = {"rtol": 1e-3, "atol": 2e-4}


def resident(total, room, window):
    """How many positions a sliding cache holds, by the operator's text."""
    step = room - window + 1
    return total if total <= room else total - step * -((room - total) // step)


def grouped(case, f, rng, i):
    g, h = int(rng.integers(1, 3)), 32
    n = g * int(rng.integers(1, 4))
    sliding, bits = i % 5 < 2, int([0, 8, 4][i % 3])
    packed, none_new = rng.random() < 0.3, i % 10 == 9
    prompt = rng.random() < 0.3 and not none_new
    s, past = int(rng.integers(1, 7)), 0 if prompt else int(rng.integers(1, 15))
    b = int(rng.integers(1, 3)) if prompt or s == 1 else 1
    window = int(rng.integers(1, 8)) if sliding or rng.random() < 0.3 else -1
    total = past + s
    room = window + int(rng.integers(0, 5)) if sliding else int(rng.choice([past, total, total + 3]))
    chunk = rng.random() < 0.2 and not none_new  # of which only the first rows count
    if chunk and not sliding:
        room = total + s
    if none_new:  # all keys lie in the cache
        b, packed, s, total, room = 1, False, min(s, past), past, past + int(rng.integers(0, 3))
    q, k, v = f(b, s, n * h), f(b, 0 if none_new else s, g * h), f(b, 0 if none_new else s, g * h)
    if packed:
        q, k, v = f(b, s, (n + 2 * g) * h), None, None
    attrs = {"num_heads": n, "kv_num_heads": g, "local_window_size": window, "sliding_window_cache": int(sliding)}
    lengths = np.full(b, total - 1, np.int32)
    if b > 1 and not prompt:
        lengths[1:] = rng.integers(s - 1, total, b - 1)
    inputs = [q, k, v, f(b, g, room, h), f(b, g, room, h), lengths, np.array([total], np.int32)] + [None] * 10
    if bits:
        few(inputs, attrs, rng, bits, (b, g, room, h))
    if rng.random() < 0.5:
        angles = rng.random((total + 3, h // 2)) * 6
        inputs[7:9] = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        attrs |= {"do_rotary": 1, "rotary_interleaved": i % 2}
    if rng.random() < 0.25:
        inputs[10] = f(int(rng.choice([1, b])), int(rng.choice([1, n])), s, total)
    if rng.random() < 0.25:
        inputs[11] = f(n)
    if window < 0 and not chunk and rng.random() < 0.3:
        attrs["causal"] = 0
    rows = np.minimum(s, lengths + 1)
    if chunk:
        rows = inputs[16] = np.array([rng.integers(0, min(s, last + 1) + 1) for last in lengths], np.int32)
    while inputs[-1] is None:
        inputs.pop()
    expect = truth("GroupQueryAttention", inputs, attrs)
    if expect is None:
        return
    for image in range(b):  # what is unspecified is as it is here: zeros, and the rest of a buffer
        expect[0][image, rows[image]:] = 0
        held = resident(lengths[image] + 1, room, window) if sliding else lengths[image] + 1
        for which in (1, 2):
            rest = expect[which][image, :, held:]
            rest[...] = 0
            old = inputs[2 + which][image, :, held:]
            if not sliding:
                rest[:, :old.shape[1]] = old
    case("GroupQueryAttention", 1, inputs, attrs, expect=expect, domain=MS, note=f"bits {bits}", **NEAR)


def few(inputs, attrs, rng, bits, shape):
    kind = np.int8 if bits == 8 else np.uint8
    info = np.iinfo(kind)
    b, g, room, h = shape
    each = rng.random() < 0.5
    for i in (0, 1):
        inputs[3 + i] = rng.integers(info.min, info.max + 1, (b, g, room, h * bits // 8)).astype(kind)
        inputs[12 + i] = ((rng.random([1, g, 1, h] if each else [1]) + 0.5) * (0.02 if bits == 8 else 0.3)).astype(np.float32)
    way = "PER_CHANNEL" if each else "PER_TENSOR"
    attrs |= {"k_quant_type": way, "v_quant_type": way, "kv_cache_bit_width": bits}


def truth(op, inputs, attrs):
    from make_cases import compute
    try:
        return [np.array(v) for v in compute(op, 1, inputs, attrs, 3, MS)]
    except Exception as error:
        print("lost:", op, attrs, str(error).splitlines()[0][:200], file=sys.stderr)
        return None


def buffers(case, f, rng, i):
    """One buffer for past and present, whose old rows are those of chosen beams."""
    n, h, beams = 2, 8, int(rng.integers(1, 4))
    b, s, past, room = beams * int(rng.integers(1, 3)), 1 if i % 2 else 2, int(rng.integers(0, 6)), 9
    inputs = [f(b, s, n * h), f(b, s, n * h), f(b, s, n * h), f(3 * n * h) if i % 3 == 0 else None, None,
              f(1, n, s, past + s) if i % 5 == 0 else None, f(b, n, room, h), f(b, n, room, h), np.array([past], np.int32)]
    if s == 1:
        inputs.append(rng.integers(0, beams, (b // beams, beams, room)).astype(np.int32))
        inputs[-1][:, :, past:] = 99  # what lies behind the past is nobody's
    attrs = {"num_heads": n, "unidirectional": i % 4 // 2}
    expect = truth("MultiHeadAttention", inputs, attrs)
    if expect is None:
        return
    for which in (1, 2):
        expect[which][:, :, past + s:] = inputs[5 + which][:, :, past + s:]
    case("MultiHeadAttention", 1, inputs, attrs, expect=expect, domain=MS, note="buffer", **NEAR)


def longer_keys(case, f, i):
    """Of queries that see no later key the last one sees all."""
    s, keys, past = 1 + i % 4, 1 + i * 3 % 7, i % 3
    inputs = [f(2, s, 16), f(2, keys, 16), f(2, keys, 16), None, None, None]
    if past:
        inputs += [f(2, 2, past, 8), f(2, 2, past, 8)]
    case("MultiHeadAttention", 1, inputs, {"num_heads": 2, "unidirectional": 1}, 3 if past else 1, domain=MS, **NEAR)


def norms(case, f, rng, i):
    """By the text: of each head, before the turning, which is left out here. The rest is onnxruntime's."""
    b, s, g, n, h = 1, int(rng.integers(1, 5)), 2, 4, 16
    past = i % 3 * 2
    inputs = [f(b, s, n * h), f(b, s, g * h), f(b, s, g * h), f(b, g, past, h), f(b, g, past, h),
              np.array([past + s - 1], np.int32), np.array([past + s], np.int32)]
    weights, attrs = (f(h) + 1, f(h) + 1), {"num_heads": n, "kv_num_heads": g}
    epsilons = {"qk_norm_epsilon": 1e-3} if i % 2 else {"q_norm_epsilon": 1e-2, "k_norm_epsilon": 0.5}
    normal = list(inputs)
    for at, name in ((0, "q_norm_epsilon"), (1, "k_norm_epsilon")):
        x = inputs[at].reshape(b, s, -1, h).astype(np.float64)
        epsilon = epsilons.get(name, epsilons.get("qk_norm_epsilon"))
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * weights[at]
        normal[at] = x.reshape(inputs[at].shape).astype(np.float32)
    expect = truth("GroupQueryAttention", normal, attrs)
    if i % 2:  # the three in one
        heads = [inputs[at].reshape(b, s, -1, h) for at in range(3)]
        inputs[:3] = np.concatenate(heads, 2).reshape(b, s, -1), None, None
    case("GroupQueryAttention", 1, inputs + [None] * 7 + list(weights), attrs | epsilons, expect=expect, domain=MS,
         note="norms", **NEAR)


def make(case, rng):
    f = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    for i in range(150):
        grouped(case, f, rng, i)
    for i in range(24):
        buffers(case, f, rng, i)
        longer_keys(case, f, i)
    for i in range(8):
        norms(case, f, rng, i)
