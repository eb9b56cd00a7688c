# SPDX-License-Identifier: Apache-2.0
"""The counting of test programs' lines, held against texts as cmocka and the scripts print them."""
import os
import subprocess
import sys
import tempfile

from tally import NEEDED_IN_CI, Tally

HERE = os.path.dirname(os.path.abspath(__file__))
CMOCKA = """[==========] Running 4 test(s).
[ RUN      ] adds
some words
[       OK ] adds
[ RUN      ] imports
SKIP[driver:opencl] no OpenCL platform: clGetPlatformIDs gave -1001
[  SKIPPED ] imports
[ RUN      ] breaks
[  ERROR   ] --- 1 != 2
[   LINE   ] --- x.c:3: error: Failure!
[  FAILED  ] breaks
[ RUN      ] compiles
SKIP[tool:glslang] glslangValidator is not installed
[  SKIPPED ] compiles
[==========] 4 test(s) run.
[  PASSED  ] 1 test(s).
[  SKIPPED ] 2 test(s), listed below:
[  SKIPPED ] imports
[  SKIPPED ] compiles

 2 SKIPPED TEST(S)
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] breaks

 1 FAILED TEST(S)
"""
QUIET = """[==========] Running 1 test(s).
[ RUN      ] imports
[  SKIPPED ] imports
[==========] 1 test(s) run.
[  PASSED  ] 0 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] imports
"""
LINES = """PASS one
words of nobody
SKIP[driver:vulkan,driver:opencl] rec on cpu,vulkan: no driver: VK_ERROR
SKIP two: not yet
FAIL three: 1 of 2 differ
PASSING is no verdict
"""


def tally_of(method, text, code):
    tally = Tally()
    getattr(tally, method)("t", text, code)
    return tally


def cmocka_keeps_reasons():
    tally = tally_of("cmocka", CMOCKA, 1)
    assert tally.passed == 1 and tally.failed == ["t: breaks"], tally.failed
    assert [s.why for s in tally.skipped] == ["no OpenCL platform: clGetPlatformIDs gave -1001",
                                              "glslangValidator is not installed"], tally.skipped
    assert [s.missing for s in tally.skipped] == [("driver:opencl",), ("tool:glslang",)]
    assert [s.test for s in tally.skipped] == ["t: imports", "t: compiles"]


def a_skip_needs_a_reason():
    tally = tally_of("cmocka", QUIET, 0)
    assert tally.failed == ["t: imports: skipped without a reason"] and not tally.skipped
    tally = tally_of("lines", "SKIP two\nPASS one\n", 0)
    assert tally.failed == ["t: two: skipped without a reason"], tally.failed


def crashes_and_silence_fail():
    assert tally_of("cmocka", "[ RUN      ] adds\n", -11).failed == ["t: exit code -11"]
    assert tally_of("cmocka", "", 0).failed == ["t: ran no test"]
    assert tally_of("lines", "PASS one\n", 1).failed == ["t: exit code 1"]
    assert tally_of("lines", "nothing\n", 0).failed == ["t: ran no test"]


def scripts_count():
    tally = tally_of("lines", LINES, 1)
    assert tally.passed == 1 and tally.failed == ["t: three: 1 of 2 differ"], tally.failed
    assert tally.skipped[0].missing == ("driver:vulkan", "driver:opencl") and tally.skipped[0].why == "no driver: VK_ERROR"
    assert tally.skipped[1].missing == () and tally.skipped[1].why == "not yet"


def ci_demands_drivers():
    tally = tally_of("cmocka", CMOCKA, 1)
    tally.demand(NEEDED_IN_CI)
    assert len(tally.failed) == 2 and "driver:opencl must be here" in tally.failed[1], tally.failed
    tally = tally_of("lines", "PASS one\nSKIP two: the OpenCL driver or loader is fine\n", 0)
    tally.demand(NEEDED_IN_CI)
    assert not tally.failed, tally.failed


def whole_driver(ci):
    """The driver over a folder with one program that skips for want of a driver."""
    with tempfile.TemporaryDirectory() as build:
        folder = os.path.join(build, "release", "tests")
        os.makedirs(folder)
        program = os.path.join(folder, "test_skips")
        text = CMOCKA.replace("[  FAILED  ]", "[       OK ]").replace("'", "")
        with open(program, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\ncat <<'TEXT'\n" + text + "TEXT\n")
        os.chmod(program, 0o755)
        return subprocess.run([sys.executable, os.path.join(HERE, "driver.py"), "--build", build, "--only", "test_skips"],
                              env={**os.environ, "CI": ci}, capture_output=True, text=True, timeout=60)


def driver_without_ci():
    done = whole_driver("")
    assert done.returncode == 0, done.stdout
    assert "skipped: release/test_skips: imports: no OpenCL platform" in done.stdout, done.stdout
    assert done.stdout.strip().endswith("1 passed, 0 failed, 2 skipped"), done.stdout


def driver_in_ci():
    done = whole_driver("true")
    assert done.returncode == 1 and "driver:opencl must be here" in done.stdout, done.stdout


failed = 0
for function in (cmocka_keeps_reasons, a_skip_needs_a_reason, crashes_and_silence_fail, scripts_count, ci_demands_drivers,
                 driver_without_ci, driver_in_ci):
    title = function.__name__.replace("_", " ")
    try:
        function()
        print("PASS", title)
    except AssertionError as error:
        failed += 1
        print("FAIL", f"{title}: {error}".replace("\n", " "))
sys.exit(1 if failed else 0)
