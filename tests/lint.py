# SPDX-License-Identifier: Apache-2.0
"""Style and static checks: `./dev lint`.

    python3 lint.py [--tidy]

Files and functions have limits, dependencies point one way, every file says what it is for. --tidy runs clang-tidy too.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FILE_LIMIT = 600
# One header is what the plugin ABI promises to be.
LONG_FILES = {"sdk/include/partita/plugin.h"}
# Case tables of the tests read better on one line a case.
COLUMNS = {".py": 140}
ONE_LINE = r"cases_[a-z]+\.py$|\.cmake$"
# What a room may include, besides itself and the SDK: dependencies point one way (docs/architecture.md).
ROOMS = {
    "core/base": [], "core/graph": ["base"], "core/onnx": ["base", "graph"], "core/op": ["base", "graph"],
    "core/pass": ["base", "graph", "op"], "core/plugin": ["base", "graph", "op"],
    "core/plan": ["base", "graph", "op", "pass", "plugin", "partitioner"],
    "core/run": ["base", "graph", "onnx", "op", "pass", "plugin", "plan", "partitioner"],
    "partitioner": ["base"],
}
ROOM_NAMES = {"base", "graph", "onnx", "op", "pass", "plugin", "plan", "run", "partitioner"}
problems = []


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line for line in out.splitlines() if os.path.exists(os.path.join(ROOT, line))]


def problem(path, line, text):
    problems.append(f"{path}:{line}: {text}")


def check_text(path, lines):
    for number, line in enumerate(lines, 1):
        if line.rstrip("\n") != line.rstrip():
            problem(path, number, "white space at the end of the line")
        if "\t" in line:
            problem(path, number, "a tab")
        limit = COLUMNS.get(os.path.splitext(path)[1], 120)
        if re.search(ONE_LINE, path):
            continue
        if len(line.rstrip("\n")) > limit and not path.endswith((".inc", ".md", ".json")):
            problem(path, number, f"{len(line) - 1} columns, at most {limit}")
    if lines and not lines[-1].endswith("\n"):
        problem(path, len(lines), "no newline at the end")
    if len(lines) > FILE_LIMIT and path not in LONG_FILES:
        problem(path, FILE_LIMIT, f"{len(lines)} lines, at most {FILE_LIMIT}: split by subject")


def check_head(path, lines):
    head = "".join(lines[:4])
    if "SPDX-License-Identifier: Apache-2.0" not in head:
        problem(path, 1, "no SPDX line")
    if path.endswith((".c", ".h")) and not re.search(r"/\*", "".join(lines[1:12])):
        problem(path, 2, "no comment that says what the file is for")


def check_includes(path, lines):
    room = next((r for r in ROOMS if path.startswith(r + "/")), None)
    for number, line in enumerate(lines, 1):
        match = re.match(r'#include "([a-z_]+)/', line)
        if not match:
            continue
        target = match.group(1)
        if room and target in ROOM_NAMES and target != room.split("/")[-1] and target not in ROOMS[room]:
            problem(path, number, f"{room} may not include {target}")
        if path.startswith("plugins/") and target in ROOM_NAMES:
            problem(path, number, "a plugin includes the SDK and folders of plugins only")


def check_words(path, lines):
    for number, line in enumerate(lines, 1):
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line) and not path.endswith("lint.py"):
            problem(path, number, "a promise of later work: it needs an issue or an answer now")
        if path.startswith(("core/", "partitioner/", "plugins/")) and re.search(r"\b(abort|exit|printf)\(", line) \
                and not path.startswith("core/base/log"):
            problem(path, number, "libraries never abort, exit or print")


def main():
    sources = [p for p in tracked("*.c", "*.h", "*.inc", "*.py", "*.cmake", "dev", "*.cl", "*.cpp")
               if not p.startswith("third_party/")]
    for path in sources:
        with open(os.path.join(ROOT, path), encoding="utf-8") as file:
            lines = file.readlines()
        check_text(path, lines)
        check_head(path, lines)
        if path.endswith((".c", ".h")):
            check_includes(path, lines)
            check_words(path, lines)
    code = [p for p in sources if p.endswith((".c", ".h"))]
    if shutil.which("clang-format") and "--no-format" not in sys.argv:
        done = subprocess.run(["clang-format", "--dry-run", "-Werror", *code], cwd=ROOT, capture_output=True, text=True)
        for line in done.stderr.splitlines():
            if "code should be clang-formatted" in line:
                problems.append(line)
    if "--tidy" in sys.argv:
        files = [p for p in code if p.endswith(".c") and p.startswith(("core/", "partitioner/", "tools/"))]
        done = subprocess.run(["clang-tidy", "-p", "build/dev", "--quiet", *files], cwd=ROOT, capture_output=True, text=True)
        problems.extend(line for line in done.stdout.splitlines() if "warning:" in line or "error:" in line)
    print("\n".join(problems))
    print(f"{len(sources)} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
