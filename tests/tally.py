# SPDX-License-Identifier: Apache-2.0
"""Counting what test programs print: passes, failures, and skips with what was missing and why.

cmocka programs mark a skip by `SKIP[what] reason` before cmocka's own line (tests/skip.h); scripts print `PASS name`,
`FAIL name: why` and `SKIP name: why` or `SKIP[what] name: why`. `what` names the thing that is missing: `driver:opencl`,
`plugin:vulkan`, `tool:glslang`. A skip without a reason is a failure.
"""
import re
from typing import NamedTuple

# What a machine of continuous integration has: a test that misses it there fails.
NEEDED_IN_CI = {"driver:opencl", "driver:vulkan", "plugin:opencl", "plugin:vulkan"}
MARK = re.compile(r"SKIP(?:\[([a-z]+:[a-z0-9_.-]+(?:,[a-z]+:[a-z0-9_.-]+)*)\])? (.*)")


class Skip(NamedTuple):
    test: str
    why: str
    missing: tuple = ()


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def skip(self, test, why, missing=()):
        if why:
            self.skipped.append(Skip(test, why, tuple(missing)))
        else:
            self.failed.append(f"{test}: skipped without a reason")

    def cmocka(self, label, text, code):
        """Lines between `[ RUN      ] name` and the verdict belong to the test; the summary repeats names."""
        fresh, skips, passed, name, mark = [], 0, 0, None, None
        for line in text.splitlines():
            verdict = re.match(r"\[( RUN |  PASSED|       OK|  FAILED|  SKIPPED)\s*\] (.*)", line)
            marked = MARK.match(line)
            if verdict is None:
                mark = marked or mark
                continue
            kind, rest = verdict.group(1).strip(), verdict.group(2).strip()
            if kind == "RUN":
                name, mark = rest, None
            elif kind == "PASSED":
                passed += int(re.match(r"\d+", rest).group())
            elif kind == "SKIPPED" and name == rest:
                skips += 1
                what, why = mark.groups() if mark else ("", "")
                self.skip(f"{label}: {name}", why.strip(), what.split(",") if what else ())
                name = None
            elif kind == "FAILED" and not re.search(r"\d+ test", rest) and rest not in fresh:
                fresh.append(rest)
        self.passed += passed
        self.failed.extend(f"{label}: {test}" for test in fresh)
        if code != 0 and not fresh:
            self.failed.append(f"{label}: exit code {code}")
        if code == 0 and passed == 0 and skips == 0:
            self.failed.append(f"{label}: ran no test")

    def lines(self, label, text, code):
        seen = failures = 0
        for line in text.splitlines():
            marked = MARK.match(line)
            verdict, _, rest = line.partition(" ")
            if verdict == "PASS":
                self.passed += 1
            elif verdict == "FAIL":
                failures += 1
                self.failed.append(f"{label}: {rest}")
            elif marked:
                test, _, why = marked.group(2).partition(": ")
                self.skip(f"{label}: {test}", why.strip(), marked.group(1).split(",") if marked.group(1) else ())
            else:
                continue
            seen += 1
        if code != 0 and failures == 0:
            self.failed.append(f"{label}: exit code {code}")
        if code == 0 and seen == 0:
            self.failed.append(f"{label}: ran no test")

    def demand(self, needed):
        """Skips for want of what must be there become failures."""
        for skip in self.skipped:
            gone = sorted(needed.intersection(skip.missing))
            if gone:
                self.failed.append(f"{skip.test}: skipped, but {', '.join(gone)} must be here: {skip.why}")
