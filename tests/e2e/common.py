# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: the trained models with inputs of their own kind, the truth, the rule of judging."""
import json
import os
import subprocess
import sys
import traceback

import numpy as np

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
CACHE = os.environ.get("PARTITA_DEV_CACHE", os.path.join(ROOT, ".cache"))
MODELS = os.path.join(CACHE, "models")
BUILD = os.environ.get("PARTITA_BUILD", os.path.join(ROOT, "build/release"))
COMMAND = os.environ.get("PARTITA_COMMAND", os.path.join(BUILD, "bin/partita"))
OCR = os.path.join(MODELS, "rapidocr-onnxruntime/rapidocr_onnxruntime/models")
PATHS = {
    "det": os.path.join(OCR, "ch_PP-OCRv4_det_infer.onnx"),
    "rec": os.path.join(OCR, "ch_PP-OCRv4_rec_infer.onnx"),
    "cls": os.path.join(OCR, "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    "silero": os.path.join(MODELS, "silero-vad/silero_vad/data/silero_vad.onnx"),
    "magika": os.path.join(MODELS, "magika/magika/models/standard_v3_3/model.onnx"),
}
QUICK = "--quick" in sys.argv
RTOL, ATOL_OF_MAX = 1e-3, 1e-4


class Cases:
    """Prints a line a case; the driver counts them."""

    def __init__(self):
        self.failed = 0

    def run(self, name, function, *arguments):
        try:
            function(*arguments)
            print("PASS", name, flush=True)
        except Exception as error:  # a test's failure of any kind is a result
            self.failed += 1
            print("FAIL", f"{name}: {type(error).__name__}: {str(error)[:600]}".replace("\n", " "), flush=True)
            if not isinstance(error, AssertionError):
                traceback.print_exc()

    def skip(self, name, why, missing=()):
        """missing: what is not here, as tally.py names it: "driver:opencl"."""
        print("SKIP" + (f"[{','.join(missing)}]" if missing else ""), f"{name}: {why}".replace("\n", " "), flush=True)

    def end(self):
        sys.exit(1 if self.failed else 0)


def assert_close(got, want, what):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    if want.dtype.kind not in "fc":
        assert (got == want).all(), f"{what}: {int((got != want).sum())} of {want.size} elements differ"
        return
    assert got.dtype == want.dtype, f"{what}: type {got.dtype}, expected {want.dtype}"
    finite = np.abs(want[np.isfinite(want)])
    bound = RTOL * np.abs(want) + ATOL_OF_MAX * (finite.max() if finite.size else 0)
    with np.errstate(invalid="ignore"):
        fine = (np.abs(got - want) <= bound) | (got == want) | (np.isnan(got) & np.isnan(want))
    if not fine.all():
        worst = np.unravel_index(np.argmax(np.where(fine, -1, np.abs(got - want))), want.shape)
        raise AssertionError(f"{what}: {int((~fine).sum())} of {want.size} differ, worst {got[worst]} for {want[worst]}")


def assert_outputs(got, want, names):
    assert len(got) == len(want) == len(names), f"{len(got)} outputs, expected {len(want)}"
    for g, w, name in zip(got, want, names):
        assert_close(g, w, name)


def partita(*arguments, code=0, env=None, json_output=False):
    """Runs the command; returns (stdout, stderr), or the JSON document."""
    done = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=600,
                          env={**os.environ, **(env or {})})
    assert done.returncode == code, f"exit {done.returncode}, expected {code}: {done.stderr[-400:]}"
    if json_output:
        document = json.loads(done.stdout.strip().splitlines()[-1])
        assert document["schema"] == 1
        return document
    return done.stdout, done.stderr


# ---- inputs of the trained models ----------------------------------------------------------------


def picture():
    """The demonstration's picture as float32 [3, 480, 960] in -1 .. 1, blue first, as PP-OCR wants it."""
    source = os.path.join(CACHE, "demo/picture.png")
    raw = subprocess.run(["convert", source, "-depth", "8", "rgb:-"], capture_output=True, check=True).stdout
    image = np.frombuffer(raw, np.uint8).reshape(480, 960, 3)[:, :, ::-1]
    return np.ascontiguousarray((image.astype(np.float32) / 255 - 0.5).transpose(2, 0, 1) / 0.5)


def speech(chunks):
    """[chunks, 1, 576] at 16 kHz: 512 new samples behind 64 of the chunk before, as silero-vad feeds its model."""
    path = os.path.join(CACHE, "demo/speech.raw")
    if not os.path.exists(path):
        text = "Partita reads a model and asks every device which parts it can run, and at what cost. " * 3
        wave = subprocess.run(["espeak-ng", "--stdout", text], capture_output=True, check=True).stdout
        samples = np.frombuffer(wave[44:], np.int16).astype(np.float32) / 32768
        at = np.arange(int(len(samples) * 16000 / 22050)) * (22050 / 16000)
        np.interp(at, np.arange(len(samples)), samples).astype(np.float32).tofile(path)
    samples = np.fromfile(path, np.float32)
    padded = np.concatenate([np.zeros(64, np.float32), samples[:chunks * 512]])
    assert len(padded) == 64 + chunks * 512, "the speech is too short"
    return np.stack([padded[i * 512:i * 512 + 576] for i in range(chunks)])[:, None, :]


def bytes_of_files():
    """magika's feature: the first and last 1024 bytes of a file, 256 where it is shorter; files of this repository."""
    rows = []
    for name in ("README.md", "CMakeLists.txt", "dev", "tests/driver.py", "core/base/base.h", "LICENSE"):
        with open(os.path.join(ROOT, name), "rb") as file:
            data = np.frombuffer(file.read().strip(), np.uint8).astype(np.int32)
        row = np.full(2048, 256, np.int32)
        row[:min(len(data), 1024)] = data[:1024]
        tail = data[-1024:]
        row[2048 - len(tail):] = tail
        rows.append(row)
    return np.stack(rows)


def feeds_of(name):
    """Lists of feeds; a model with a state gets its first chunk here, see silero_chunks."""
    if name == "det":
        return [{"x": picture()[None, :, 64:288, 32:544]}, {"x": picture()[None, :, :160, :320]}]
    if name == "rec":
        return [{"x": picture()[None, :, 58:106, 40:360]}, {"x": picture()[None, :, 155:203, 40:552]}]
    if name == "cls":
        return [{"x": picture()[None, :, 58:106, 40:232]}]
    if name == "magika":
        return [{"bytes": bytes_of_files()}, {"bytes": bytes_of_files()[:1]}]
    chunk = speech(30)[20]
    return [{"input": chunk, "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(16000, np.int64)}]


def truth(path, feeds, cache={}):
    import onnxruntime
    if path not in cache:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 2
        cache[path] = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    session = cache[path]
    return session.run(None, feeds), [o.name for o in session.get_outputs()]


def shapes_of(feeds):
    return {name: np.asarray(value).shape for name, value in feeds.items()}
