# SPDX-License-Identifier: Apache-2.0
"""A machine without OpenCL or Vulkan: clear words, exit 4 when the device is asked for, silence when it is not.

The loader libraries are hidden from the command by a private mount namespace (unshare), or, where that is not allowed,
this is reported as skipped.
"""
import glob
import os
import subprocess

import common

cases = common.Cases()
CLS = common.PATHS["cls"]


def hidden(patterns, *arguments):
    """Runs the command where files of these patterns are empty."""
    files = [f for pattern in patterns for f in glob.glob(pattern)]
    script = "".join(f"mount --bind /dev/null '{os.path.realpath(f)}' && " for f in files) + 'exec "$@"'
    return subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", common.COMMAND, *arguments], capture_output=True,
                          text=True, timeout=300)


def may_unshare():
    return subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode == 0


HIDE = {
    "no libOpenCL.so.1": ("opencl", "libOpenCL.so.1", ["/usr/lib/*/libOpenCL.so.1", "/usr/local/cuda*/targets/*/lib/libOpenCL.so.1"]),
    "no OpenCL driver": ("opencl", "OpenCL", ["/etc/OpenCL/vendors/*.icd"]),
    "no libvulkan.so.1": ("vulkan", "libvulkan.so.1", ["/usr/lib/*/libvulkan.so.1"]),
    "no Vulkan driver": ("vulkan", "Vulkan", ["/usr/share/vulkan/icd.d/*.json", "/etc/vulkan/icd.d/*.json"]),
}


def asked_for(device, named, patterns):
    done = hidden(patterns, "run", CLS, "--devices", device)
    assert done.returncode == 4, f"exit {done.returncode}: {done.stderr}"
    assert named in done.stderr, done.stderr


def not_asked_for(device, named, patterns):
    done = hidden(patterns, "run", CLS, "--shape", "x=1x3x48x192")
    assert done.returncode == 0 and done.stderr == "", f"exit {done.returncode}: {done.stderr}"


def doctor_names_it(device, named, patterns):
    done = hidden(patterns, "doctor")
    assert done.returncode == 0 and named in done.stdout and "problem" in done.stdout, done.stdout + done.stderr


for title, arguments in HIDE.items():
    for function in (asked_for, not_asked_for, doctor_names_it):
        name = f"{title}: {function.__name__.replace('_', ' ')}"
        if may_unshare():
            cases.run(name, function, *arguments)
        else:
            cases.skip(name, "unshare -m is not allowed here")
cases.end()
