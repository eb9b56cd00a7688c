# SPDX-License-Identifier: Apache-2.0
"""ONNX's own backend tests on the devices `cpu` and `reference`.

nodes_not_yet.txt names the cases that do not pass yet, with the reason; each is counted as skipped. A case that is not
named there must pass, and one that is named but passes is a failure too: the list may only shrink.
"""
import json
import os
import re
import subprocess

import common
import onnx_tree

TREE = os.path.join(common.CACHE, "onnx-tests")
onnx_tree.make(TREE)
cases = common.Cases()
not_yet = {}
with open(os.path.join(common.TESTS, "e2e/nodes_not_yet.txt")) as file:
    for line in file:
        if line.strip() and not line.startswith("#"):
            name, _, why = line.strip().partition(": ")
            not_yet[name] = why

folders = sorted(os.path.join(path, name) for path in (os.path.join(TREE, kind) for kind in os.listdir(TREE)
                                                       if not kind.startswith(".")) for name in os.listdir(path))
assert len(folders) == onnx_tree.COUNT, f"{len(folders)} of {onnx_tree.COUNT} cases are there"
if common.QUICK:
    folders = folders[::16]
for device in ("cpu", "reference"):
    # VGG19 by the sums as they are written, under the sanitizers and beside other work, takes more than a minute.
    done = subprocess.run([common.COMMAND, "test", "--devices", device, "--time-limit", "300", "--json", *folders],
                          capture_output=True, text=True)
    rows = json.loads(done.stdout.strip().splitlines()[-1])["cases"]
    for row in rows:
        name = os.path.basename(row["case"])
        label = f"{name} on {device}"
        if row["code"] == -1:
            print("FAIL", f"{label}: {row['text']}")
            cases.failed += 1
        elif row["passed"] and name in not_yet:
            print("FAIL", f"{label}: passes, but nodes_not_yet.txt names it")
            cases.failed += 1
        elif row["passed"]:
            print("PASS", label)
        elif name in not_yet:
            cases.skip(label, not_yet[name])
        else:
            print("FAIL", f"{label}: {re.sub(chr(10), ' ', row['text'])[:300]}")
            cases.failed += 1
    assert len(rows) == len(folders), f"{len(rows)} of {len(folders)} cases ran on {device}"
cases.end()
