# SPDX-License-Identifier: Apache-2.0
"""Classical models on `cpu`, and all of them on `reference` too: predictions equal those of the library that trained
them, given the same float32 inputs. Labels, strings and keys are equal, probabilities within 1e-5, numbers within 1e-5 of
the larger of the number and the column's mean size; BOUNDS says where the exported graph itself departs by more.

    test_classical.py [--quick] [WORD...]     only models whose name holds a word
"""
import hashlib
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np

import common
from api import Context, Model, Session
from classical_bounds import BOUNDS

HERE = pathlib.Path(__file__).parent
FOLDER = pathlib.Path(common.CACHE) / "classical"
TOLERANCE = 1e-5


def made():
    """Makes the models unless those in the cache are of these scripts."""
    stamp = hashlib.sha256(b"".join((HERE / name).read_bytes() for name in (
        "classical_models.py", "classical_more.py", "../requirements.txt", "../requirements-classical.txt"))).hexdigest()
    mark = FOLDER / "made"
    if not mark.exists() or mark.read_text() != stamp:
        for old in FOLDER.glob("*.*"):
            old.unlink()
        subprocess.run([sys.executable, HERE / "classical_models.py", FOLDER], check=True, stderr=subprocess.DEVNULL)
        mark.write_text(stamp)
    return (FOLDER / "names.txt").read_text().split()


def assert_near(got, want, bound, relative, what):
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.size == want.size, f"{what}: {got.shape}, expected {want.shape}"
    got = got.reshape(want.shape)
    size = np.ones_like(want)
    if relative:
        column = np.abs(want).reshape(len(want), -1).mean(0).reshape(want.shape[1:]) if want.size else 0
        size = np.maximum(np.abs(want), column)
    with np.errstate(invalid="ignore"):
        off = np.where((got == want) | (np.isnan(got) & np.isnan(want)), 0, np.abs(got - want) / np.maximum(size, 1e-30))
    worst = float(np.nan_to_num(off, nan=np.inf).max()) if off.size else 0
    assert worst <= bound, f"{what}: off by {worst:.3g}, at most {bound:g}"
    return worst


def assert_expected(got, kind, want, bound, what):
    if kind == "exact":
        want = np.asarray(want)
        assert np.asarray(got).size == want.size, f"{what}: {np.asarray(got).shape}, expected {want.shape}"
        wrong = np.asarray(got).reshape(want.shape) != want
        assert not wrong.any(), f"{what}: {int(wrong.sum())} of {want.size} differ"
        return 0
    if kind == "maps":
        assert [list(row) for row in got] == [list(row) for row in want], f"{what}: other keys"
        return assert_near([list(row.values()) for row in got], [list(row.values()) for row in want], bound, False, what)
    if kind == "sequence":
        return max(assert_near(g, w, bound, False, what) for g, w in zip(got, want, strict=True))
    return assert_near(got, want, bound, kind == "number", what)


def equal(context, name, device):
    error = FOLDER / f"{name}.error"
    assert not error.exists(), f"was not made: {error.read_text()}"
    feeds, wanted = pickle.loads((FOLDER / f"{name}.pickle").read_bytes())
    model = Model(context, str(FOLDER / f"{name}.onnx"))
    session = Session(model, device, {n: v.shape for n, v in feeds.items()})
    got = session.run(feeds)
    worst = [assert_expected(got[output], kind, want, BOUNDS.get(name, TOLERANCE), f"output {output}")
             for output, kind, want in wanted]
    session.close()
    model.close()
    return max(worst)


def main():
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    cases = common.Cases()
    context = Context()
    names = [n for n in made() if not words or any(w in n for w in words)]
    if common.QUICK:
        names = names[::6]
    for name in names:
        for device in ("cpu", "reference"):
            cases.run(f"{name} on {device}", equal, context, name, device)
    context.close()
    cases.end()


if __name__ == "__main__":
    main()
