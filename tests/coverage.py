# SPDX-License-Identifier: Apache-2.0
"""Line coverage of the reference kernels by the node tests on `reference` and by the cases of the cpu plugin,
of its libraries and of maps.

    python coverage.py --build build/coverage [--least 95] [--missing FILE] [--keep]

--missing prints the lines of one file that nothing ran; --keep counts what earlier runs left, without running again.
"""
import argparse
import glob
import json
import os
import re
import subprocess
import sys

from driver import environment

TESTS = os.path.dirname(os.path.abspath(__file__))
# Files of the fast device, and what is made for one level of the processor.
FAST = re.compile(r"_fast\.c$|_avx|_baseline\.c$|vectors|gemm|depthwise|softmax_rows|vector_math|elementwise_avx2|level\.c$")


def run(build):
    for old in glob.glob(os.path.join(build, "**/*.gcda"), recursive=True):
        os.remove(old)
    env = environment(build)
    cache = os.environ.get("PARTITA_DEV_CACHE", os.path.join(os.path.dirname(TESTS), ".cache"))
    sys.path.insert(0, os.path.join(TESTS, "e2e"))
    import onnx_tree
    tree = os.path.join(cache, "onnx-tests")
    onnx_tree.make(tree)
    folders = [f for f in glob.glob(os.path.join(tree, "*", "*")) if os.path.isdir(f)]
    subprocess.run([os.path.join(build, "bin/partita"), "test", "--devices", "reference", *folders], env=env,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for script in ("plugins/cpu/test_cases.py", "e2e/test_libraries.py", "e2e/test_maps.py"):
        subprocess.run([sys.executable, os.path.join(TESTS, script)], env=env, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)


def lines_of(build):
    """Per file: line number to whether anything ran it."""
    found = {}
    objects = os.path.join(build, "plugins/cpu/kernels")
    data = glob.glob(os.path.join(objects, "**/*.gcda"), recursive=True)
    text = subprocess.run(["gcov", "--json-format", "--stdout", *data], capture_output=True, text=True, cwd=objects).stdout
    for document in text.splitlines():
        for file in json.loads(document)["files"]:
            path = file["file"]
            if "cpu/kernels/" not in path or FAST.search(path):
                continue
            lines = found.setdefault(path.split("cpu/kernels/")[-1], {})
            for line in file["lines"]:
                lines[line["line_number"]] = lines.get(line["line_number"], False) or line["count"] > 0
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--least", type=float, default=95)
    parser.add_argument("--missing")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    build = os.path.abspath(options.build)
    if not options.keep:
        run(build)
    found = lines_of(build)
    for path, lines in sorted(found.items(), key=lambda item: sum(item[1].values()) / max(len(item[1]), 1)):
        print(f"{100 * sum(lines.values()) / max(len(lines), 1):6.1f} % of {len(lines):4} lines  {path}")
        if options.missing == path:
            print("    " + " ".join(str(n) for n, ran in sorted(lines.items()) if not ran))
    ran, count = sum(sum(lines.values()) for lines in found.values()), sum(map(len, found.values()))
    share = 100 * ran / max(count, 1)
    print(f"{'PASS' if share >= options.least else 'FAIL'} coverage of the reference kernels: {share:.1f} % of {count} lines")
    return 0 if share >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
