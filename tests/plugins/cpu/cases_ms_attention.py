# SPDX-License-Identifier: Apache-2.0
"""Attention of com.microsoft, against onnxruntime."""
import numpy as np

from make_cases import compute

MS = "com.microsoft"
NEAR = {"rtol": 1e-3, "atol": 2e-4}


def padding(rng, kind, batch, rows, total, past=0):
    """A mask in one of its shapes."""
    lengths = rng.integers(1, total + 1, batch)
    if kind == "lengths":
        return lengths.astype(np.int32)
    if kind == "spans":
        starts = rng.integers(0, lengths)
        return np.concatenate([lengths, starts]).astype(np.int32)
    keys = (np.arange(total) < lengths[:, None]).astype(np.int32)
    if kind == "keys":
        return keys
    if kind == "all":
        mask = rng.integers(0, 2, (batch, rows, total)).astype(np.int32)
        mask[:, :, 0] = 1
        return mask
    return None


def multi_head(case, f, rng, i):
    b, n, h = int(rng.integers(1, 4)), int(rng.integers(1, 5)), int(rng.integers(1, 12)) * 2
    s, keys = int(rng.integers(1, 9)), int(rng.integers(1, 20))
    v = h if i % 3 else int(rng.integers(1, 12)) * 2
    form = ["dense", "packed", "packed_kv", "cache", "past"][i % 5]
    past = int(rng.integers(1, 9)) if form == "past" else 0
    attrs = {"num_heads": n}
    if form in ("packed", "packed_kv"):
        v = h
    if form in ("packed", "past"):
        keys = s
    if form == "past":
        v = h
    q, k, value = f(b, s, n * h), f(b, keys, n * h), f(b, keys, n * v)
    apart = [q, k, value]
    heads = [t.reshape(b, -1, n, h) for t in apart if form in ("packed", "packed_kv")]
    if form == "packed":
        q, k, value = np.stack(heads, 3), None, None
    elif form == "packed_kv":
        k, value = np.stack(heads[1:], 3), None
    elif form == "cache":
        k, value = f(b, n, keys, h), f(b, n, keys, v)
    bias = f(n * (2 * h + v)) if rng.random() < 0.5 and form in ("dense", "past") else None
    total = past + keys
    kind = rng.choice(["none", "lengths", "keys", "all"]) if form != "packed" and form != "past" else "none"
    if kind == "lengths" and past:
        kind = "keys"
    mask = padding(rng, kind, b, s, total)
    extra = f(int(rng.choice([1, b])), int(rng.choice([1, n])), s, total) if rng.random() < 0.4 else None
    if rng.random() < 0.3 and keys == s:  # else onnxruntime lets the last query see all keys
        attrs["unidirectional"] = 1
    if rng.random() < 0.3:
        attrs["scale"] = 0.3
    if rng.random() < 0.2:
        attrs["mask_filter_value"] = -50.0
    inputs = [q, k, value, bias, mask, extra]
    outputs = 1
    if form == "past":
        inputs += [f(b, n, past, h), f(b, n, past, v)]
        outputs = 3
    elif form != "cache" and i % 2:
        outputs = 3
    # onnxruntime's CPU takes no packed ones: they are what they are apart.
    truth = {"expect": compute("MultiHeadAttention", 1, apart + inputs[3:], attrs, outputs, MS)} if heads else {}
    case("MultiHeadAttention", 1, inputs, attrs, outputs, domain=MS, note=form, **truth, **NEAR)


def projected(case, f, rng, i):
    b, n, h = int(rng.integers(1, 4)), int(rng.integers(1, 5)), int(rng.integers(1, 10)) * 2
    s, inner = int(rng.integers(1, 9)), int(rng.integers(1, 40))
    past = int(rng.integers(1, 9)) if i % 3 == 0 else 0
    v = h if past or i % 2 else int(rng.integers(1, 10))
    attrs = {"num_heads": n, "unidirectional": i % 2}
    if v != h:
        attrs["qkv_hidden_sizes"] = [n * h, n * h, n * v]
    total = past + s
    kind = ["none", "lengths", "spans", "keys", "all"][i % 5]
    if past and kind in ("lengths", "spans"):
        kind = "keys"
    mask = padding(rng, kind, b, s, total)
    columns = n * (2 * h + v)
    extra = f(int(rng.choice([1, b])), int(rng.choice([1, n])), s, total) if i % 4 == 3 else None
    inputs = [f(b, s, inner), f(inner, columns), f(columns) if i % 7 else None, mask,
              f(2, b, n, past, h) if past else None, extra]
    case("Attention", 1, inputs, attrs, 2 if past or (v == h and i % 4 == 0) else 1, domain=MS, note=kind, **NEAR)
    if v != h:
        return
    q = lambda kind, *shape: rng.integers(*((0, 256) if kind == np.uint8 else (-128, 128)), shape).astype(kind)
    weight = [np.uint8, np.int8][i % 2]
    each = i % 4 > 1
    scale = (np.abs(f(*(columns,) if each else ())) * 0.002 + 0.001).astype(np.float32)
    zero = q(weight, columns) if each else q(weight)
    if each and weight == np.int8:
        zero[:] = 0
    inputs = [q(np.uint8, b, s, inner), q(weight, inner, columns), f(columns), np.array(0.01, np.float32), scale,
              padding(rng, kind, b, s, total), q(np.uint8), zero, f(2, b, n, past, h) if past else None]
    case("QAttention", 1, inputs, {"num_heads": n, "unidirectional": i % 2}, 2 if past else 1, domain=MS, note=kind,
         **NEAR)


def grouped(case, f, rng, i):
    shared = int(rng.integers(1, 4))
    group = int(rng.integers(1, 4))
    heads, h = shared * group, int(rng.integers(1, 5)) * 8
    prompt = i % 3 == 0
    b = int(rng.integers(1, 4)) if prompt or i % 3 == 1 else 1
    s = int(rng.integers(2, 9)) if i % 3 != 1 else 1
    buffer = i % 2 * int(rng.integers(1, 6))
    past = 0 if prompt else int(rng.integers(1, 12))
    total = past + s
    room = 0 if prompt and not buffer else past + (s + buffer if buffer else 0)
    attrs = {"num_heads": heads, "kv_num_heads": shared}
    packed = rng.random() < 0.3
    if packed:
        q, k, v = f(b, s, (heads + 2 * shared) * h), None, None
    else:
        q, k, v = f(b, s, heads * h), f(b, s, shared * h), f(b, s, shared * h)
    lengths = np.full(b, total - 1, np.int32)
    if not prompt and s == 1 and b > 1:
        lengths[1:] = rng.integers(0, total, b - 1)
    cosine = sine = None
    if rng.random() < 0.6:
        angles = rng.random((total + 3, h // 2 if rng.random() < 0.6 or h < 16 else h // 4)) * 6
        cosine, sine = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        if cosine.shape[1] % 8:
            cosine, sine = None, None
        else:
            attrs |= {"do_rotary": 1, "rotary_interleaved": int(rng.integers(0, 2))}
    if rng.random() < 0.4:
        attrs["local_window_size"] = int(rng.integers(1, 10))
    if rng.random() < 0.3:
        attrs["softcap"] = 2.5
    if rng.random() < 0.3:
        attrs["scale"] = 0.2
    extra = f(int(rng.choice([1, b])), int(rng.choice([1, heads])), s, total) if rng.random() < 0.3 else None
    sink = f(heads) if rng.random() < 0.2 else None
    if sink is None and rng.random() < 0.15:
        attrs["smooth_softmax"] = 1
    inputs = [q, k, v, f(b, shared, room, h), f(b, shared, room, h), lengths, np.array([total], np.int32), cosine, sine,
              None, extra, sink]
    while inputs[-1] is None:
        inputs.pop()
    kinds = {np.float32: NEAR, np.float16: {"rtol": 2e-2, "atol": 1e-2}}
    kind = np.float16 if i % 6 == 5 else np.float32
    inputs = [v.astype(kind) if v is not None and v.dtype == np.float32 else v for v in inputs]
    grouped_case(case, inputs, attrs, total, **kinds[kind])


def grouped_case(case, inputs, attrs, total, **near):
    """Rows of the caches that hold no key are whatever they were: onnxruntime and this one leave the past's."""
    from make_cases import compute
    try:
        expect = [np.array(v) for v in compute("GroupQueryAttention", 1, inputs, attrs, 3, MS)]
    except Exception as error:
        import sys
        print("lost:", attrs, str(error).splitlines()[0][:200], file=sys.stderr)
        return
    for which, past in ((1, inputs[3]), (2, inputs[4])):
        for b, last in enumerate(inputs[5]):
            rest = expect[which][b, :, last + 1:]
            rest[...] = 0
            old = past[b, :, last + 1:]
            rest[:, :old.shape[1]] = old
    case("GroupQueryAttention", 1, inputs, attrs, expect=expect, domain=MS, **near)


def make(case, rng):
    f = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    for i in range(60):
        multi_head(case, f, rng, i)
        projected(case, f, rng, i)
        grouped(case, f, rng, i)
