# SPDX-License-Identifier: Apache-2.0
"""Runs the tests, counts them, and ends with the line `N passed, N failed, N skipped`.

Two kinds: cmocka programs (each of their tests counts), and Python scripts that use the built command and libraries
against an independent truth (tally.py says which lines count). A program that crashes or runs out of time is one more
failure. Skips are listed with their reasons; in continuous integration (CI=true) some of them are failures.
"""
import argparse
import os
import re
import subprocess
import sys
import time

from soak import ASAN_OPTIONS
from tally import NEEDED_IN_CI, Tally

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TESTS = os.path.join(ROOT, "tests")

# Scripts below tests/, whether --quick runs them, and their time limit in seconds.
SCRIPTS = [
    ("lint.py", True, 300),
    ("test_driver.py", True, 60),
    ("make_operators.py", True, 300),
    ("make_types.py", True, 60),
    ("make_functions.py", True, 60),
    ("unit/infer_cases.py", True, 600),
    ("e2e/test_models.py", True, 900),
    ("e2e/test_nodes.py", True, 900),
    ("fuzz/test_fuzz.py", True, 300),
    ("e2e/test_coverage.py", True, 120),
    ("e2e/test_inference.py", True, 600),
    ("e2e/test_libraries.py", True, 300),
    ("e2e/test_flex_attention.py", True, 120),
    ("e2e/test_gradient.py", True, 600),
    ("e2e/test_contrib.py", True, 120),
    ("e2e/test_quantised.py", True, 120),
    ("e2e/test_optimised.py", True, 120),
    ("plugins/cpu/test_cases.py", True, 600),
    ("plugins/test_device_cases.py", True, 1500),
    ("plugins/test_device_programs.py", True, 600),
    ("plugins/test_part_onnx.py", True, 600),
    ("e2e/test_command.py", True, 600),
    ("e2e/test_bad_input.py", True, 300),
    ("e2e/test_max_memory.py", True, 300),
    ("e2e/test_functions.py", True, 300),
    ("e2e/test_contract.py", True, 300),
    ("e2e/test_odd_models.py", True, 300),
    ("e2e/test_exports.py", True, 300),
    ("e2e/test_install.py", True, 300),
    ("e2e/test_plans.py", True, 600),
    ("e2e/test_transfers.py", False, 1200),
    ("e2e/test_devices.py", False, 1500),
    ("e2e/test_absent.py", False, 300),
    ("e2e/test_maps.py", True, 120),
    ("e2e/test_classical.py", False, 1500),
    ("shared/test_shared_models.py", False, 1500),
]
# Scripts that a preset other than release runs too, and their time limit.
SCRIPTS_OF = {"asan-ubsan": [("e2e/test_nodes.py", 1800), ("fuzz/test_fuzz.py", 1800)]}
# Unit programs too slow, or pointless, under a sanitizer.
SANITIZED = {
    "asan-ubsan": lambda name: True,
    "tsan": lambda name: re.search(r"pool|timeline|run|api|session|sim|registry|values|vulkan|opencl_device|gpu_order", name),
}


def run(command, env, limit):
    try:
        done = subprocess.run(command, env=env, timeout=limit, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL)
        return done.stdout.decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").decode(errors="replace") + f"\ntime limit of {limit} s\n", -1


def unit_programs(folder):
    folder = os.path.join(folder, "tests")
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [(n, os.path.join(folder, n)) for n in names
            if n.startswith("test_") and os.access(os.path.join(folder, n), os.X_OK) and os.path.isfile(os.path.join(folder, n))]


def environment(build):
    env = dict(os.environ)
    env.update(PARTITA_PLUGIN_PATH=os.path.join(build, "lib/partita/plugins"), PARTITA_TEST_SOURCE=TESTS,
               PARTITA_BUILD=build, PARTITA_COMMAND=os.path.join(build, "bin/partita"), PYTHONPATH=TESTS,
               ASAN_OPTIONS=ASAN_OPTIONS,
               LSAN_OPTIONS=f"suppressions={TESTS}/lsan.supp:print_suppressions=0",
               TSAN_OPTIONS=f"suppressions={TESTS}/tsan.supp:halt_on_error=1",
               UBSAN_OPTIONS="print_stacktrace=1")
    return env


def report(label, text, before, tally, started):
    fresh = tally.failed[before:]
    print(f"{'FAILED' if fresh else 'ok':6} {label} ({time.time() - started:.1f} s)", flush=True)
    if fresh:
        print("\n".join("    " + line for line in text.splitlines()[-40:]), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", help="release, asan-ubsan, tsan, or part of a test's name")
    options = parser.parse_args()
    base = os.path.abspath(options.build)
    presets = ["release"] if options.quick else ["release", "asan-ubsan", "tsan"]
    wanted = None
    if options.only in ("release", "asan-ubsan", "tsan"):
        presets = [options.only]
    elif options.only:
        wanted = options.only
    tally = Tally()
    for preset in presets:
        build = os.path.join(base, preset)
        for name, path in unit_programs(build):
            if preset in SANITIZED and not SANITIZED[preset](name):
                continue
            if wanted and wanted not in name:
                continue
            label, started, before = f"{preset}/{name}", time.time(), len(tally.failed)
            text, code = run([path], environment(build), 600)
            tally.cmocka(label, text, code)
            report(label, text, before, tally, started)
        scripts = SCRIPTS_OF.get(preset, [])
        if preset == "release":
            scripts = [(script, limit) for script, quick, limit in SCRIPTS if quick or not options.quick]
        for script, limit in scripts:
            if wanted and wanted not in script:
                continue
            started, before = time.time(), len(tally.failed)
            command = [sys.executable, os.path.join(TESTS, script)] + (["--quick"] if options.quick else [])
            text, code = run(command, environment(build), limit)
            label = script if preset == "release" else f"{preset}/{script}"
            tally.lines(label, text, code)
            report(label, text, before, tally, started)
    if not wanted and not os.path.exists("/dev/nvidia0"):
        built = os.path.exists(os.path.join(base, "release/lib/partita/plugins/cuda.so"))
        tally.skip("cuda", "no NVIDIA GPU on this machine" if built else "not built, nvcc is absent", ["device:cuda"])
    if os.environ.get("CI") == "true":
        tally.demand(NEEDED_IN_CI)
    for skip in tally.skipped:
        print(f"skipped: {skip.test}: {skip.why}")
    for failure in tally.failed:
        print("failed:", failure)
    print(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    return 1 if tally.failed or tally.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
