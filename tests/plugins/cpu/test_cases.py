# SPDX-License-Identifier: Apache-2.0
"""Single nodes on the kernels of the cpu plugin, against what onnxruntime computes for them now."""
import os
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent


def main():
    program = pathlib.Path(os.environ["PARTITA_BUILD"]) / "tests" / "cpu_cases"
    if not program.exists():
        print("SKIP cpu cases: the cpu plugin was not built")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run([sys.executable, HERE / "make_cases.py"], env=os.environ | {"CASES_OUT": folder},
                              stdout=subprocess.PIPE, text=True)
        if made.returncode != 0:
            print("FAIL cpu cases: make_cases.py failed")
            return 1
        files = sorted(pathlib.Path(folder).glob("*.bin"))
        return subprocess.run([program, *files]).returncode


if __name__ == "__main__":
    sys.exit(main())
