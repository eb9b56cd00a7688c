# SPDX-License-Identifier: Apache-2.0
"""Every operator with mutated attributes, shapes, values, types: each case ends with a status, whose words name node and
cause.

    test_fuzz.py [--quick] [--cases N] [--seed S] [--op NAME]

PARTITA_FUZZ_CASES is the number of cases of each operator where --cases does not say it.
"""
import os
import subprocess
import sys

FUZZ = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(FUZZ))
CACHE = os.environ.get("PARTITA_DEV_CACHE", os.path.join(ROOT, ".cache"))
BUILD = os.environ.get("PARTITA_BUILD", os.path.join(ROOT, "build/release"))


def main():
    arguments = [a for a in sys.argv[1:] if a != "--quick"]
    if "--cases" not in arguments:
        arguments += ["--cases", os.environ.get("PARTITA_FUZZ_CASES", "10" if "--quick" in sys.argv else "50")]
    program, seeds = os.path.join(BUILD, "tests/fuzz_operators"), os.path.join(CACHE, "fuzz/seeds.bin")
    os.makedirs(os.path.dirname(seeds), exist_ok=True)
    subprocess.run([sys.executable, os.path.join(FUZZ, "seeds.py"), seeds], check=True, stderr=subprocess.DEVNULL)
    # The sanitizers' options are the program's own: an allocator that says no instead of ending the process.
    env = {**os.environ, "PARTITA_PLUGIN_PATH": os.path.join(BUILD, "lib/partita/plugins")}
    env.pop("ASAN_OPTIONS", None)
    return subprocess.run([program, seeds, *arguments], env=env).returncode


if __name__ == "__main__":
    sys.exit(main())
