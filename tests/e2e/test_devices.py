# SPDX-License-Identifier: Apache-2.0
"""The trained models over several devices: by the planner's choice, and by random pins where every device computes."""
import sys

import numpy as np

import common
from api import Context, Failure, Model, Session

SETS = ("cpu,opencl", "cpu,vulkan", "cpu,opencl,vulkan")
SEEDS = range(10)
context = Context()
cases = common.Cases()


def judge(name, devices, seed):
    path = common.PATHS[name]
    model = Model(context, path)
    feeds = common.feeds_of(name)[0]
    session = Session(model, devices, common.shapes_of(feeds), seed=seed, measure=True)
    try:
        want, names = common.truth(path, feeds)
        common.assert_outputs(session.run(feeds), want, names)
        if name == "silero":
            state = np.zeros((2, 1, 128), np.float32)
            ours = theirs = state
            for chunk in common.speech(30)[18:24]:
                feed = {"input": chunk, "sr": feeds["sr"]}
                got = session.run({**feed, "state": ours})
                want, _ = common.truth(path, {**feed, "state": theirs})
                common.assert_outputs(got, want, names)
                ours, theirs = got[1], want[1]
        if seed is not None:
            idle = [d.device.decode() for d in session.devices() if d.launches == 0]
            assert not idle, f"{idle} did nothing"
        assert session.counters()["demotions"] == 0, session.plan_json()["demotions"]
    finally:
        session.close()
        model.close()


def present(device):
    try:
        model = Model(context, common.PATHS["cls"])
        Session(model, device, {"x": (1, 3, 48, 192)}, fallback=True).close()
        return None
    except Failure as error:
        return str(error)


missing = {device: present(device) for device in ("opencl", "vulkan")}
for devices in SETS:
    absent = [f"{d}: {missing[d]}" for d in devices.split(",") if missing.get(d)]
    for name in common.PATHS:
        if absent:
            cases.skip(f"{name} on {devices}", "; ".join(absent),
                       [f"driver:{d}" for d in devices.split(",") if missing.get(d)])
            continue
        cases.run(f"{name} on {devices}, planned", judge, name, devices, None)
        for seed in SEEDS:
            cases.run(f"{name} on {devices}, random:{seed}", judge, name, devices, seed)
context.close()
sys.stdout.flush()
cases.end()
