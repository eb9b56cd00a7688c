# SPDX-License-Identifier: Apache-2.0
"""Random placements over the trained models: the same outputs as onnxruntime, no cycle, no sanitizer report.

    python soak.py --build build [--release N] [--sanitized N] [--pocl N] [--lavapipe N]

Each placement runs in a process of its own, with a seed that names it; what is done is kept in .cache/soak.json, so that
an interrupted soak goes on where it stopped. --fresh forgets.
"""
import argparse
import json
import os
import subprocess
import sys

TESTS = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(TESTS)
CACHE = os.environ.get("PARTITA_DEV_CACHE", os.path.join(ROOT, ".cache"))
NAMES = ["det", "rec", "cls", "silero", "magika"]
# Drivers map where shadow memory would be guarded. A runtime that guesses at the size of thread-local blocks of libraries
# opened at run time crashes in its leak check behind PoCL (GCC 12): it is to leave those alone.
ASAN_OPTIONS = "detect_leaks=1:protect_shadow_gap=0:intercept_tls_get_addr=0"
RELEASE_SETS = ["cpu,opencl", "cpu,vulkan", "cpu,opencl,vulkan", "opencl,vulkan,cpu"]


def inputs(name):
    """Archives of one feed and of onnxruntime's outputs for it."""
    sys.path.insert(0, os.path.join(TESTS, "e2e"))
    import numpy as np

    import common
    folder = os.path.join(CACHE, "soak")
    os.makedirs(folder, exist_ok=True)
    given, expected = os.path.join(folder, name + ".in.npz"), os.path.join(folder, name + ".out.npz")
    if not os.path.exists(expected):
        feeds = common.feeds_of(name)[-1]
        want, names = common.truth(common.PATHS[name], feeds)
        np.savez(given, **feeds)
        np.savez(expected, **dict(zip(names, want)))
    atol = max(float(np.abs(a).max()) for a in np.load(expected).values()) * 1e-4
    return common.PATHS[name], given, expected, atol


def place(build, devices, name, seed):
    path, given, expected, atol = inputs(name)
    env = dict(os.environ, ASAN_OPTIONS=ASAN_OPTIONS,
               LSAN_OPTIONS=f"suppressions={TESTS}/lsan.supp:print_suppressions=0", UBSAN_OPTIONS="print_stacktrace=1")
    command = [os.path.join(build, "bin/partita"), "run", path, "--devices", devices, "--pin", f"random:{seed}",
               "--strict", "--inputs", given, "--compare", expected, "--rtol", "1e-3", "--atol", repr(atol)]
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=1200)
    except subprocess.TimeoutExpired:
        return "time limit of 1200 s"
    return "" if done.returncode == 0 else f"exit {done.returncode}: {done.stderr.strip()[-800:]}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--release", type=int, default=200)
    parser.add_argument("--sanitized", type=int, default=50, help="on simulated devices")
    parser.add_argument("--pocl", type=int, default=5, help="sanitized, on PoCL")
    parser.add_argument("--lavapipe", type=int, default=5, help="sanitized, on lavapipe")
    parser.add_argument("--fresh", action="store_true")
    options = parser.parse_args()
    release, sanitized = (os.path.abspath(os.path.join(options.build, p)) for p in ("release", "asan-ubsan"))
    os.environ["PARTITA_BUILD"] = release
    store = os.path.join(CACHE, "soak.json")
    done = {}
    if os.path.exists(store) and not options.fresh:
        with open(store) as file:
            done = json.load(file)
    jobs = [(release, RELEASE_SETS[i % len(RELEASE_SETS)], NAMES[i % len(NAMES)], i) for i in range(options.release)]
    jobs += [(sanitized, "cpu,sim:0,sim:1", NAMES[i % len(NAMES)], 1000 + i) for i in range(options.sanitized)]
    jobs += [(sanitized, "cpu,opencl", NAMES[i % len(NAMES)], 2000 + i) for i in range(options.pocl)]
    jobs += [(sanitized, "cpu,vulkan", NAMES[i % len(NAMES)], 3000 + i) for i in range(options.lavapipe)]
    for build, devices, name, seed in jobs:
        key = f"{os.path.basename(build)} {devices} {name} random:{seed}"
        if done.get(key) == "":
            continue
        done[key] = place(build, devices, name, seed)
        print("ok    " if done[key] == "" else "FAILED", key, done[key], flush=True)
        with open(store + ".new", "w") as file:
            json.dump(done, file, indent=0)
        os.replace(store + ".new", store)
    failed = sum(1 for verdict in done.values() if verdict)
    print(f"{len(done) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
