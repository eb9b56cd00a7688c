# SPDX-License-Identifier: Apache-2.0
"""Style and static checks: `./dev lint`, and a part of `./dev test`.

    python3 lint.py [--tidy]

Files and functions have limits, dependencies point one way, every file says what it is for. Prints a line `PASS kind` or
`FAIL kind: problems` for each kind of check. --tidy runs clang-tidy too.
"""
import fnmatch
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FILE_LIMIT = 600
# 60 is the rule, 65 what no reason helps against; a test may tell a longer story.
FUNCTION_LIMIT, TEST_FUNCTION_LIMIT = 65, 100
# Formatting differs between versions: the one of Debian 12.
CLANG = "14"
# One header is what the plugin ABI promises to be.
LONG_FILES = {"sdk/include/partita/plugin.h"}
# Case tables of the tests read better on one line a case.
COLUMNS = {".py": 140}
ONE_LINE = r"cases_[a-z]+\.py$|\.cmake$"
# What a room may include, besides itself and the SDK: dependencies point one way (docs/architecture.md).
ROOMS = {
    "core/base": [], "core/graph": ["base"], "core/onnx": ["base", "graph"], "core/op": ["base", "graph"],
    "core/gradient": ["base", "graph", "op"], "core/pass": ["base", "graph", "op"], "core/plugin": ["base", "graph", "op"],
    "core/plan": ["base", "graph", "op", "pass", "plugin", "partitioner"],
    "core/run": ["base", "graph", "onnx", "op", "gradient", "pass", "plugin", "plan", "partitioner"],
    "partitioner": ["base"],
}
ROOM_NAMES = {"base", "graph", "onnx", "op", "pass", "plugin", "plan", "run", "partitioner"}
KINDS = ["white space", "columns", "length of files", "length of functions", "head of files", "dependencies", "words",
         "format", "tidy"]
problems = {kind: [] for kind in KINDS}


def walked():
    """Every file of a copy that git does not know, but for what .gitignore names."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [f for f in folders if f not in ("build", ".cache", ".venv", ".git", "__pycache__")]
        yield from (os.path.relpath(os.path.join(folder, f), ROOT) for f in files if not f.endswith(".pyc"))


def tracked(*patterns):
    try:
        out = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        paths = [line for line in out.splitlines() if os.path.exists(os.path.join(ROOT, line))]
    except (OSError, subprocess.CalledProcessError):
        paths = sorted(walked())
    return [path for path in paths if not patterns or any(fnmatch.fnmatch(path, pattern) for pattern in patterns)]


def problem(kind, path, line, text):
    problems[kind].append(f"{path}:{line}: {text}")


def check_text(path, lines):
    for number, line in enumerate(lines, 1):
        if line.rstrip("\n") != line.rstrip():
            problem("white space", path, number, "white space at the end of the line")
        if "\t" in line:
            problem("white space", path, number, "a tab")
        limit = COLUMNS.get(os.path.splitext(path)[1], 120)
        if re.search(ONE_LINE, path):
            continue
        if len(line.rstrip("\n")) > limit and not path.endswith((".inc", ".md", ".json")):
            problem("columns", path, number, f"{len(line) - 1} columns, at most {limit}")
    if lines and not lines[-1].endswith("\n"):
        problem("white space", path, len(lines), "no newline at the end")
    made = any("Made by tests/" in line for line in lines[:5])  # nobody reads it: its source is read
    if len(lines) > FILE_LIMIT and path not in LONG_FILES and not made:
        problem("length of files", path, FILE_LIMIT, f"{len(lines)} lines, at most {FILE_LIMIT}: split by subject")


def check_head(path, lines):
    head = "".join(lines[:4])
    if "SPDX-License-Identifier: Apache-2.0" not in head:
        problem("head of files", path, 1, "no SPDX line")
    if path.endswith((".c", ".h")) and not re.search(r"/\*", "".join(lines[1:12])):
        problem("head of files", path, 2, "no comment that says what the file is for")


def check_includes(path, lines):
    room = next((r for r in ROOMS if path.startswith(r + "/")), None)
    for number, line in enumerate(lines, 1):
        match = re.match(r'#include "([a-z_]+)/', line)
        if not match:
            continue
        target = match.group(1)
        if room and target in ROOM_NAMES and target != room.split("/")[-1] and target not in ROOMS[room]:
            problem("dependencies", path, number, f"{room} may not include {target}")
        if path.startswith("plugins/") and target in ROOM_NAMES:
            problem("dependencies", path, number, "a plugin includes the SDK and folders of plugins only")


def check_words(path, lines):
    for number, line in enumerate(lines, 1):
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", line) and not path.endswith("lint.py"):
            problem("words", path, number, "a promise of later work: it needs an issue or an answer now")
        if path.startswith(("core/", "partitioner/", "plugins/")) and re.search(r"\b(abort|exit|printf)\(", line) \
                and not path.startswith("core/base/log"):
            problem("words", path, number, "libraries never abort, exit or print")


def check_functions(path, lines):
    """From a definition's first line, which starts in the first column, to its closing brace."""
    start, limit = None, TEST_FUNCTION_LIMIT if path.startswith("tests/") else FUNCTION_LIMIT
    for number, line in enumerate(lines, 1):
        if re.match(r"[A-Za-z_].*\(", line) and not line.rstrip().endswith((";", ",", "\\")) or \
                re.match(r"[A-Za-z_][A-Za-z0-9_ *]*\([^;]*,$", line.rstrip()):
            start = number
        elif line.rstrip() == "}" and start is not None:
            if number - start + 1 > limit:
                problem("length of functions", path, start, f"{number - start + 1} lines, at most {limit}")
            start = None


def clang_tool(name):
    """The tool of the version that the files are formatted by; None when it is not installed."""
    for command in (f"{name}-{CLANG}", name):
        if shutil.which(command):
            text = subprocess.run([command, "--version"], capture_output=True, text=True).stdout
            if re.search(rf"version {CLANG}\.", text):
                return command
    problem(name.split("-")[1], name, 0, f"version {CLANG} is not installed")
    return None


def check_format(code):
    command = clang_tool("clang-format")
    if not command:
        return
    done = subprocess.run([command, "--dry-run", "-Werror", *code], cwd=ROOT, capture_output=True, text=True)
    for line in done.stderr.splitlines():
        if "code should be clang-formatted" in line:
            problems["format"].append(line)


def check_tidy(code):
    command = clang_tool("clang-tidy")
    if not command:
        return
    files = [p for p in code if p.endswith(".c") and p.startswith(("core/", "partitioner/", "tools/"))]
    done = subprocess.run([command, "-p", "build/dev", "--quiet", *files], cwd=ROOT, capture_output=True, text=True)
    problems["tidy"].extend(line for line in done.stdout.splitlines() if "warning:" in line or "error:" in line)


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
            check_functions(path, lines)
    code = [p for p in sources if p.endswith((".c", ".h"))]
    check_format(code)
    if "--tidy" in sys.argv:
        check_tidy(code)
    for kind in KINDS:
        if kind == "tidy" and "--tidy" not in sys.argv:
            continue
        for line in problems[kind]:
            print(" ", line)
        print(f"FAIL {kind}: {len(problems[kind])} problems" if problems[kind] else f"PASS {kind}")
    return 1 if any(problems.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
