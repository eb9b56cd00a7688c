# SPDX-License-Identifier: Apache-2.0
"""--max-memory: models of a few bytes that want gigabytes are refused, on every device, before they are allocated."""
import os
import resource
import tempfile

import onnx
import onnx.parser

import common
from common import partita

cases = common.Cases()
work = tempfile.TemporaryDirectory()

HEAD = '<ir_version: 8, opset_import: ["" : 17]>\n'
# Each wants 3.6 GB: of an output, within a part, in a sequence, in a body, where only data tells.
BOMBS = {
    "output": ("g (float[1] x) => (float[N, M] y) <int64[2] s = {30000, 30000}> { y = Expand(x, s) }", {}),
    "inside": ("g (int64[1] n) => (float y) { a = ConstantOfShape(n)  b = Exp(a)  y = ReduceMax <keepdims = 0> (b) }",
               {"n": 900000000}),
    "sequence": ("g (int64[1] n) => (seq(float[N]) y) { a = ConstantOfShape(n)  y = SequenceConstruct(a) }",
                 {"n": 900000000}),
    "body": ("g (float[2] x, bool c, int64[2] n) => (float y) { y = If (c) <then_branch = t () => (float t0) "
             "{ a = Expand(x, n)  b = Exp(a)  t0 = ReduceMax <keepdims = 0> (b) }, else_branch = e () => (float e0) "
             "{ e0 = ReduceMax <keepdims = 0> (x) }> }", {"x": "1,2", "c": 1, "n": "450000000,2"}),
    "data": ("g (float[1] x, int64[1] n) => (float[K] y) { a = NonZero(x)  b = Squeeze(a)  c = Cast <to = 1> (b)  "
             "d = Expand(c, n)  y = Exp(d) }", {"x": 1, "n": 900000000}),
}
# What cannot be refused to a device: operators that it lacks; what it allocates within a part, on threads of its own.
LACKING = {"sim:0": ["sequence", "inside", "body", "data"]}


def refused(name, device):
    text, inputs = BOMBS[name]
    path = os.path.join(work.name, name + ".onnx")
    onnx.save(onnx.parser.parse_model(HEAD + text), path)
    given = [word for key, value in inputs.items() for word in ("--input", f"{key}={value}")]
    _, words = partita("run", path, "--devices", device, "--max-memory", "1000000", *given, code=6)
    memory = "sim:0: " if device == "sim:0" else "host memory: "
    assert "1000000 are allowed" in words and "00000" in words and "node '" in words, words
    assert memory in words or "host memory: " in words, words


def nothing_was_allocated():
    kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert kib < 1 << 20, f"{kib} KiB"


for device in ("cpu", "reference", "sim:0", "cpu,sim:0"):
    for name in BOMBS:
        if name not in LACKING.get(device, []):
            cases.run(f"{name} on {device}", refused, name, device)
cases.run("nothing was allocated", nothing_was_allocated)
cases.end()
