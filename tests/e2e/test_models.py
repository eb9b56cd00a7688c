# SPDX-License-Identifier: Apache-2.0
"""The trained models on the device `cpu` (and, for a sample, `reference`), equal to onnxruntime."""
import numpy as np

import common
from api import Context, Model, Session

context = Context()
cases = common.Cases()


def equal(name, devices):
    model = Model(context, common.PATHS[name])
    feeds = common.feeds_of(name)
    session = Session(model, devices, common.shapes_of(feeds[0]))
    for feed in feeds:
        want, names = common.truth(common.PATHS[name], feed)
        common.assert_outputs(session.run(feed), want, names)
    session.close()
    model.close()


def silero_state(devices, chunks):
    """State carried from chunk to chunk on both sides, so that errors would add up."""
    path = common.PATHS["silero"]
    model = Model(context, path)
    state = np.zeros((2, 1, 128), np.float32)
    session = Session(model, devices, {"input": (1, 576), "state": (2, 1, 128), "sr": ()})
    ours, theirs, spoken = state, state, 0
    for chunk in common.speech(chunks):
        rate = np.array(16000, np.int64)
        got = session.run({"input": chunk, "state": ours, "sr": rate})
        want, names = common.truth(path, {"input": chunk, "state": theirs, "sr": rate})
        common.assert_outputs(got, want, names)
        ours, theirs = got[1], want[1]
        spoken += float(got[0].max()) > 0.5
    assert spoken > chunks // 4, f"only {spoken} of {chunks} chunks are speech: the input says nothing"
    counters = session.counters()
    assert counters["plans"] == 1 and counters["demotions"] == 0, counters
    session.close()
    model.close()


def widths(count):
    """Many widths on one session: one plan, one compile per part, a resize under a millisecond."""
    path = common.PATHS["rec"]
    model = Model(context, path)
    session = Session(model, "cpu", {"x": (1, 3, 48, 320)})
    strip = common.picture()[None, :, 155:203, :]
    parts = session.counters()["compiles"]
    for i in range(count):
        width = 64 + 8 * i
        feed = {"x": np.ascontiguousarray(strip[:, :, :, :width])}
        got = session.run(feed)
        if i % 10 == 0:
            want, names = common.truth(path, feed)
            common.assert_outputs(got, want, names)
    counters = session.counters()
    assert counters["plans"] == 1, counters
    assert counters["compiles"] == parts == counters["parts"], counters
    assert counters["resizes"] >= count, counters
    assert counters["resize_ns_max"] < 1_000_000, counters
    session.close()
    model.close()


for name in common.PATHS:
    cases.run(f"{name} on cpu", equal, name, "cpu")
cases.run("silero on cpu, state over 100 chunks", silero_state, "cpu", 100)
cases.run("rec on cpu, 100 widths", widths, 100)
if not common.QUICK:
    for name in ("cls", "magika", "silero"):
        cases.run(f"{name} on reference", equal, name, "reference")
context.close()
cases.end()
