# SPDX-License-Identifier: Apache-2.0
"""Single nodes on the devices of the GPU plugins, against what onnxruntime computes for them now. What a device takes at ask
it must compute; the Vulkan device runs under the validation layer, which must have nothing to say."""
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
# Options of the devices: each line is a run over all cases.
RUNS = [
    ("opencl", []),
    ("vulkan", ["-o", "validation=1"]),
    ("vulkan", ["-o", "validation=1", "-o", "push_descriptors=0", "-o", "staged=1"]),
]


def main():
    build = pathlib.Path(os.environ["PARTITA_BUILD"])
    program = build / "tests" / "device_cases"
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run([sys.executable, HERE / "cpu" / "make_cases.py"], env=os.environ | {"CASES_OUT": folder},
                              stdout=subprocess.PIPE, text=True)
        if made.returncode != 0:
            print("FAIL device cases: make_cases.py failed")
            return 1
        files = sorted(pathlib.Path(folder).glob("*.bin"))
        for plugin, options in RUNS:
            label = " ".join([plugin, *options[1::2]])
            if not (build / "lib/partita/plugins" / f"{plugin}.so").exists():
                print(f"SKIP {label}: the plugin was not built")
                continue
            done = subprocess.run([program, plugin, *files, *options], stdout=subprocess.PIPE, text=True)
            for line in done.stdout.splitlines():
                verdict, _, rest = line.partition(" ")
                if verdict in ("PASS", "FAIL", "SKIP"):
                    print(f"{verdict} {label}: {rest}")
            failed += done.returncode != 0
            if done.returncode != 0:
                print(f"FAIL {label}: {done.stdout.splitlines()[-1] if done.stdout else done.returncode}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
