# SPDX-License-Identifier: Apache-2.0
"""Parts as ONNX models, as a plugin with a parser of its own gets them: onnx's checker takes each, and where the part is
the whole model, onnxruntime computes from it what ONNX's own case expects.

    test_part_onnx.py [--quick]
"""
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
from onnx import numpy_helper

EVERY = 9  # with --quick one case in so many
SET = "test_data_set_0"


def tensors_of(case, kind, infos):
    """Name to array; None when the case has values that are no tensors."""
    found = {}
    for index, info in enumerate(infos):
        path = case / SET / f"{kind}_{index}.pb"
        if info.type.WhichOneof("value") != "tensor_type" or not path.exists():
            return None
        found[info.name] = numpy_helper.to_array(onnx.load_tensor(path))
    return found


def has_ranks(graph):
    """The checker wants a shape of every port, which a port of unknown rank does not have."""
    def ranked(kind):
        name = kind.WhichOneof("value")
        if name in ("sequence_type", "optional_type"):
            return ranked(getattr(kind, name).elem_type)
        return name == "map_type" or getattr(kind, name).HasField("shape")
    return all(ranked(info.type) for info in [*graph.input, *graph.output])


def compare(case, model, part, path):
    """Why the part does not compute what the case expects; None when it does or cannot be asked."""
    initial = {tensor.name for tensor in model.graph.initializer}
    inputs = tensors_of(case, "input", [info for info in model.graph.input if info.name not in initial])
    outputs = tensors_of(case, "output", model.graph.output)
    whole = len(part.graph.node) == len(model.graph.node) and len(part.graph.output) == len(model.graph.output)
    if inputs is None or outputs is None or not whole:
        return None, False
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        given = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        expected = given.run(None, inputs)
    except Exception:  # noqa: BLE001 - onnxruntime does not run every case
        return None, False
    needed = {info.name for info in part.graph.input}
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [info.name for info in model.graph.output]
    got = session.run(names, {name: value for name, value in inputs.items() if name in needed})
    for name, a, b in zip(names, got, expected):
        if a.dtype != b.dtype or a.shape != b.shape:
            return f"{name} is {a.dtype}{a.shape}, expected {b.dtype}{b.shape}", True
        if a.dtype.kind in "fc" and not numpy.allclose(a, b, rtol=1e-5, atol=1e-6, equal_nan=True):
            return f"{name} differs", True
        if a.dtype.kind not in "fc" and not numpy.array_equal(a, b):
            return f"{name} differs", True
    return None, True


def check(case, folder, command):
    """(problem or None, parts written, parts that were compared)"""
    done = subprocess.run([*command, "test", case, "--devices", "onnx,cpu", "--option", f"onnx.folder={folder}"],
                          capture_output=True, text=True)
    if done.returncode != 0 and not any(pathlib.Path(folder).iterdir()):
        return " ".join((done.stdout + done.stderr).strip().splitlines()[:1]), 0, 0
    parts, compared = 0, 0
    model = onnx.load(case / "model.onnx")
    for path in sorted(pathlib.Path(folder).glob("*/model.onnx")):
        part = onnx.load(path)
        try:
            if has_ranks(part.graph):
                onnx.checker.check_model(str(path), full_check=False)
                parts += 1
        except onnx.checker.ValidationError as error:
            return f"checker: {error}".splitlines()[0], parts, compared
        problem, asked = compare(case, model, part, str(path))
        compared += asked
        if problem:
            return problem, parts, compared
    return None, parts, compared


def main():
    build = pathlib.Path(os.environ["PARTITA_BUILD"])
    tree = pathlib.Path(os.environ["PARTITA_DEV_CACHE"]) / "onnx-tests" / "node"
    command = [os.environ.get("PARTITA_COMMAND", str(build / "bin" / "partita"))]
    os.environ["PARTITA_PLUGIN_PATH"] = str(build / "tests" / "plugins" / "onnx")
    cases = sorted(case for case in tree.iterdir() if (case / SET).is_dir())
    if "--quick" in sys.argv:
        cases = cases[::EVERY]
    parts = compared = failed = 0
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            problem, written, asked = check(case, folder, command)
        parts += written
        compared += asked
        if problem:
            failed += 1
            print(f"FAIL {case.name} as ONNX: {problem}")
    verdict = "FAIL" if failed or not compared else "PASS"
    print(f"{verdict} parts as ONNX: {len(cases)} cases, {parts} parts pass the checker, {compared} compared, {failed} failed")
    return 1 if verdict == "FAIL" else 0


if __name__ == "__main__":
    sys.exit(main())
