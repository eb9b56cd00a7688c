# SPDX-License-Identifier: Apache-2.0
"""Bytes that a plan announces are those that move: counted by the session, and where they move - by `sim` itself, and by
a preloaded library between the plugins and their OpenCL or Vulkan. A part reads back what crosses, and nothing else.

Every case is a process of its own, this script again with the library preloaded. The second run is looked at: by then
weights are on their devices.
"""
import collections
import ctypes
import json
import os
import subprocess
import sys

import numpy as np

import common
import plan_judge

SHIM = os.path.join(common.BUILD, "tests/intercept.so")
KINDS = ("cl_read", "cl_write", "cl_copy", "cl_map", "cl_host_copy", "vk_copy", "unknown")
HOST = "(host)"


# ---- in the process that is watched --------------------------------------------------------------


def counted():
    numbers = (ctypes.c_uint64 * len(KINDS))()
    ctypes.CDLL(None).intercept_read(numbers)
    return dict(zip(KINDS, numbers))


def snapshot(session):
    return {"counted": counted(), "moved": session.counters()["bytes_copied"],
            "edges": [(e["bytes_moved"], e["copies"]) for e in session.explain_json()["edges"]],
            "devices": {d.device.decode(): d.copied_bytes for d in session.devices()}}


def watched(name, devices, seed):
    from api import Context, Model, Session
    context = Context()
    model = Model(context, common.PATHS[name])
    feeds = common.feeds_of(name)[0]
    session = Session(model, devices, common.shapes_of(feeds), seed=seed, measure=True)
    want, names = common.truth(common.PATHS[name], feeds)
    common.assert_outputs(session.run(feeds), want, names)
    before = snapshot(session)
    common.assert_outputs(session.run(feeds), want, names)
    after = snapshot(session)
    result = {"before": before, "after": after, "plan": session.plan_json()}
    session.close()
    model.close()
    context.close()
    print(json.dumps(result))


# ---- in the test ---------------------------------------------------------------------------------


def expected_traffic(plan, sizes):
    """Bytes that leave each device and arrive there. A staged value arrives once, and what is announced beyond that is its
    way to the host, unless the host has or sees it anyway."""
    leaves, arrives = collections.Counter(), collections.Counter()
    for edge in plan["edges"]:
        size = sizes[edge["value"]]
        if edge["route"] == "staged":
            assert edge["bytes"] in (size, 2 * size), edge
            leaves[edge["from"]] += edge["bytes"] - size
            arrives[edge["to"]] += size
        elif edge["route"] == "copy":
            assert edge["bytes"] == size, edge
            into_host = edge["to"] in (HOST, "cpu")
            (leaves if into_host else arrives)[edge["from" if into_host else "to"]] += size
        else:
            assert edge["bytes"] == 0, edge
    return leaves, arrives


def judge(name, devices, seed, conditional=False):
    command = [sys.executable, os.path.abspath(__file__), "--watched", name, devices, str(seed)]
    done = subprocess.run(command, env={**os.environ, "LD_PRELOAD": SHIM}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr.strip()[-500:]
    result = json.loads(done.stdout.strip().splitlines()[-1])
    before, after, plan = result["before"], result["after"], result["plan"]
    edges = [a[0] - b[0] for a, b in zip(after["edges"], before["edges"])]
    moved = after["moved"] - before["moved"]
    announced = sum(e["bytes"] for e in plan["edges"])
    if conditional:  # of the branches that were not taken nothing moves
        taken = [m > 0 or e["bytes"] == 0 for m, e in zip(edges, plan["edges"])]
    else:
        taken = [True] * len(edges)
        assert moved == announced, f"{announced} bytes announced, {moved} moved"
    for edge, bytes_moved, t in zip(plan["edges"], edges, taken):
        known = edge["bytes"] > 0 or not conditional  # 0 is also what the planner says of sizes that only data tells
        assert not t or not known or bytes_moved == edge["bytes"], f"{edge}: {bytes_moved} moved"
    assert sum(edges) == moved, f"the edges count {sum(edges)} bytes, the session {moved}"

    seen = {k: after["counted"][k] - before["counted"][k] for k in KINDS}
    assert after["counted"]["unknown"] == 0, "a function that moves bytes and is not watched"
    by_device = {d: after["devices"][d] - before["devices"][d] for d in after["devices"]}
    assert sum(by_device.values()) == moved, f"the devices count {by_device}, the session {moved}"
    opencl = seen["cl_read"] + seen["cl_write"] + seen["cl_copy"] + seen["cl_host_copy"]
    assert opencl == sum(v for d, v in by_device.items() if d.startswith("opencl")), (seen, by_device)
    assert seen["vk_copy"] == sum(v for d, v in by_device.items() if d.startswith("vulkan")), (seen, by_device)
    assert seen["cl_map"] == 0, "outputs of OpenCL are copied, not mapped"
    assert plan["edges"], "nothing crosses: the case says nothing"
    if conditional:
        return
    path = common.PATHS[name]
    leaves, arrives = expected_traffic(plan, plan_judge.sizes_of(path, common.feeds_of(name)[0]))
    if "opencl" in by_device:
        assert seen["cl_read"] == leaves["opencl"], f"reads {seen['cl_read']}, crossing outputs {leaves['opencl']}"
        assert seen["cl_write"] == arrives["opencl"], f"writes {seen['cl_write']}, inputs {arrives['opencl']}"
        assert seen["cl_copy"] == 0 and seen["cl_host_copy"] == 0, seen
    for device, count in by_device.items():
        assert count == leaves[device] + arrives[device], f"{device}: {count}, {leaves[device]} + {arrives[device]}"


def missing(device):
    probe = subprocess.run([common.COMMAND, "devices", "--json"], capture_output=True, text=True, timeout=60)
    names = [d["name"] for d in json.loads(probe.stdout.strip().splitlines()[-1])["devices"]]
    return device.split(":")[0] not in {n.split(":")[0] for n in names}


def main():
    cases = common.Cases()
    seeds = range(2) if common.QUICK else range(5)
    rows = [("rec", False), ("magika", False), ("silero", True)]
    for devices in ("sim:0,sim:1", "cpu,sim:0,sim:1", "cpu,opencl", "cpu,vulkan", "cpu,opencl,vulkan"):
        absent = [d for d in devices.split(",") if missing(d)]
        for name, conditional in rows[:1] if common.QUICK else rows:
            for seed in seeds:
                title = f"{name} on {devices}, random:{seed}"
                if not os.path.exists(SHIM):
                    cases.skip(title, f"{SHIM} was not built", ["library:intercept"])
                elif absent:
                    cases.skip(title, f"no device {', '.join(absent)}", [f"driver:{d.split(':')[0]}" for d in absent])
                else:
                    cases.run(title, judge, name, devices, seed, conditional)
    cases.end()


if __name__ == "__main__":
    if "--watched" in sys.argv:
        watched(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
