# SPDX-License-Identifier: Apache-2.0
"""Single nodes on the devices of the GPU plugins - the cases of the cpu plugin's tests and random ones - against what
onnxruntime computes for them now. What a device takes at ask it must compute; the Vulkan device runs under the validation
layer, which must have nothing to say. For CUDA, without a GPU, the kernels are compiled by NVRTC.

    test_device_cases.py [--quick]
"""
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
# Plugin, options of device_cases, whether --quick has it, folder of the plugin below the build's (None: that of plugins).
OTHER_WAYS = ["validation=1", "push_descriptors=0", "staged=1", "kernels=device"]
RUNS = [
    ("opencl", [], True, None),
    ("vulkan", ["-o", "validation=1"], True, None),
    ("vulkan", [word for way in OTHER_WAYS for word in ("-o", way)], False, None),
    ("cuda", [], False, None),
    ("nvrtc", ["-c"], False, "tests/nvrtc"),
]


def main():
    build = pathlib.Path(os.environ["PARTITA_BUILD"])
    program = build / "tests" / "device_cases"
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for maker in ("cpu/make_cases.py", "device_random.py"):
            made = subprocess.run([sys.executable, HERE / maker], env=os.environ | {"CASES_OUT": folder},
                                  stdout=subprocess.PIPE, text=True)
            if made.returncode != 0:
                print(f"FAIL device cases: {maker} failed")
                return 1
        files = sorted(pathlib.Path(folder).glob("*.bin"))
        for plugin, options, quick, where in RUNS:
            if "--quick" in sys.argv and not quick:
                continue
            label = " ".join([plugin, *options[1::2]])
            where = build / (where or "lib/partita/plugins")
            if not (where / f"{plugin}.so").exists():
                print(f"SKIP[plugin:{plugin}] {label}: the plugin was not built")
                continue
            done = subprocess.run([program, plugin, *files, *options], stdout=subprocess.PIPE, text=True,
                                  env=os.environ | {"PARTITA_PLUGIN_PATH": str(where)})
            for line in done.stdout.splitlines():
                verdict, _, rest = line.partition(" ")
                if verdict in ("PASS", "FAIL") or verdict.startswith("SKIP"):
                    print(f"{verdict} {label}: {rest}")
            failed += done.returncode != 0
            if done.returncode != 0:
                print(f"FAIL {label}: {done.stdout.splitlines()[-1] if done.stdout else done.returncode}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
