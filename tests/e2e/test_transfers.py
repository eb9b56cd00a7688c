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


def path_of(name):
    """"data": shapes that only data tells."""
    return os.path.join(common.TESTS, "unit/run/data.onnx") if name == "data" else common.PATHS[name]


def feeds_of(name):
    if name == "data":
        return {"x": np.sin(np.arange(20, dtype=np.float32)).reshape(4, 5)}
    return common.feeds_of(name)[0]


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
    model = Model(context, path_of(name))
    feeds = feeds_of(name)
    session = Session(model, devices, common.shapes_of(feeds), seed=seed, measure=True)
    want, names = common.truth(path_of(name), feeds)
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


def expected_traffic(plan, sizes, moved):
    """Bytes that leave each device and arrive there. A staged value arrives once, and what is announced beyond that is its
    way to the host, unless the host has or sees it anyway."""
    leaves, arrives = collections.Counter(), collections.Counter()
    for edge, bytes_moved in zip(plan["edges"], moved):
        size = sizes[edge["value"]]
        if edge["route"] == "staged":
            assert bytes_moved in (size, 2 * size), edge
            leaves[edge["from"]] += bytes_moved - size
            arrives[edge["to"]] += size
        elif edge["route"] == "copy":
            assert bytes_moved == size, edge
            into_host = edge["to"] in (HOST, "cpu")
            (leaves if into_host else arrives)[edge["from" if into_host else "to"]] += size
        elif bytes_moved:  # a size that only data tells lies in memory of its own, which is not imported
            assert bytes_moved == size and edge["at_most"], edge
            arrives[edge["to"]] += size
    return leaves, arrives


def judge(name, devices, seed, conditional=False):
    command = [sys.executable, os.path.abspath(__file__), "--watched", name, devices, str(seed)]
    done = subprocess.run(command, env={**os.environ, "LD_PRELOAD": SHIM}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr.strip()[-500:]
    result = json.loads(done.stdout.strip().splitlines()[-1])
    before, after, plan = result["before"], result["after"], result["plan"]
    edges = [a[0] - b[0] for a, b in zip(after["edges"], before["edges"])]
    moved = after["moved"] - before["moved"]
    known = [e["at_most"] == e["bytes"] for e in plan["edges"]]  # else only data tells, and a bound may be announced
    for edge, bytes_moved, is_known in zip(plan["edges"], edges, known):
        if bytes_moved == 0 and conditional:
            continue  # of branches that are not taken nothing moves
        fits = edge["bytes"] <= bytes_moved <= (edge["at_most"] if edge["at_most"] is not None else bytes_moved)
        assert fits and (bytes_moved == edge["bytes"] or not is_known), f"{edge}: {bytes_moved} moved"
    if name == "data" and devices == "sim:0,sim:1":
        assert not all(known) and None not in [e["at_most"] for e in plan["edges"]], plan["edges"]
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
    path = path_of(name)
    leaves, arrives = expected_traffic(plan, plan_judge.sizes_of(path, feeds_of(name)), edges)
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
    rows = [("data", False), ("rec", False), ("magika", False), ("silero", True)]
    for devices in ("sim:0,sim:1", "cpu,sim:0,sim:1", "cpu,opencl", "cpu,vulkan", "cpu,opencl,vulkan"):
        absent = [d for d in devices.split(",") if missing(d)]
        for name, conditional in rows[:2] if common.QUICK else rows:
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
