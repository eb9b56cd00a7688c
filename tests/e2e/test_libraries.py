# SPDX-License-Identifier: Apache-2.0
"""What the cpu plugin takes from other projects' libraries, and what it says where one was left out.

Images: ONNX's own files of every format, cut off and spoilt at random; bitmaps, portable maps and PNGs of every kind,
written here. Expressions: what RE2 and Python agree on, and ones that hang backtracking matchers. Letters: cases of
other alphabets.
"""
import glob
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time
import zlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import api
import common
import onnx_tree

TREE = os.path.join(common.CACHE, "onnx-tests")
DEVICES = ("cpu", "reference")


def save(folder, op, kind, out, **attributes):
    path = os.path.join(folder, "model.onnx")
    node = helper.make_node(op, ["x"], ["y"], **attributes)
    graph = helper.make_graph([node], "one", [helper.make_tensor_value_info("x", kind, ["n"])],
                              [helper.make_tensor_value_info("y", out, None)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


class Node:
    """One operator on each device, the answers being equal."""

    def __init__(self, context, *arguments, **attributes):
        with tempfile.TemporaryDirectory() as folder:
            self.model = api.Model(context, save(folder, *arguments, **attributes))
        self.sessions = [api.Session(self.model, devices=device) for device in DEVICES]

    def __call__(self, x):
        first, *others = [session.run({"x": x})[0] for session in self.sessions]
        for other in others:
            assert first.shape == other.shape and (first == other).all()
        return first

    def close(self):
        for session in self.sessions:
            session.close()
        self.model.close()


def image(context, data, pixel_format="RGB"):
    node = Node(context, "ImageDecoder", TensorProto.UINT8, TensorProto.UINT8, pixel_format=pixel_format)
    try:
        return node(np.frombuffer(data, np.uint8))
    finally:
        node.close()


# ---- pictures written here: a few rows of pixels, [height, width, channels] of 8 bits ----

def picture(rng, channels=3, height=5, width=7):
    return rng.integers(0, 256, (height, width, channels), dtype=np.uint8)


def bits_of(rows, bits):
    """Rows of numbers as big-endian fields of bytes."""
    out = []
    for row in rows:
        text = "".join(f"{v:0{bits}b}" for v in row)
        out.append(int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big"))
    return out


def png(rows, width, bits, colour, extra=b"", interlaced=False):
    """rows: the bytes of each line."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    head = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra
            + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))) + chunk(b"IEND", b""))


def bmp(pixels, width, height, bits, packing=0, palette=b"", masks=b"", header=40):
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, abs(height), 1, bits)
    else:
        info = struct.pack("<IiiHHIIIIII", header, width, height, 1, bits, packing, len(pixels), 0, 0, 0, 0) + masks
        info += bytes(header - 40 - len(masks) if header > 40 else 0)
    offset = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + info + palette + pixels


def padded(rows, size=4):
    return b"".join(row + bytes(-len(row) % size) for row in rows)


def gray(rgb):
    r, g, b = (rgb[..., k].astype(np.uint32) for k in range(3))
    return ((r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16).astype(np.uint8)[..., None]


def check_portable(context, rng):
    rgb, grey = picture(rng), picture(rng, 1)
    height, width = rgb.shape[:2]
    size = f"{width} # a note\n{height}\n"
    texts = " ".join(str(v) for v in rgb.ravel())
    bits = grey[..., 0] > 127
    wide = rgb.astype(np.uint16) * 257
    want_bits = np.where(bits, 0, 255).astype(np.uint8)[..., None].repeat(3, 2)
    alpha = np.concatenate([rgb, grey], 2)
    for data, want in (
            (f"P3\n{size}255\n{texts}\n".encode(), rgb), (f"P6 {size}255\n".encode() + rgb.tobytes(), rgb),
            (f"P6\n{size}65535\n".encode() + wide.astype(">u2").tobytes(), rgb),
            (f"P5\n{size}255\n".encode() + grey.tobytes(), grey.repeat(3, 2)),
            (f"P2\n{size}15\n{' '.join(str(v // 17) for v in grey.ravel())}".encode(), (grey // 17 * 17).repeat(3, 2)),
            (f"P4\n{size}".encode() + b"".join(bits_of(bits.astype(int), 1)), want_bits),
            (f"P1\n{size}{''.join('01'[int(v)] for v in bits.ravel())}".encode(), want_bits),
            (f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n".encode()
             + alpha.tobytes(), rgb)):
        got = image(context, data)
        assert got.shape == want.shape and (got == want).all(), data[:20]
        assert (image(context, data, "BGR") == want[..., ::-1]).all()
        assert (image(context, data, "Grayscale") == gray(want)).all()
        assert image(context, data[:20]).shape == (0, 0, 3)


def check_bitmaps(context, rng):
    rgb = picture(rng)
    height, width = rgb.shape[:2]
    lines = [row[:, ::-1].tobytes() for row in rgb]
    palette = rng.integers(0, 256, (256, 4), dtype=np.uint8)
    cases = [(bmp(padded(lines[::-1]), width, height, 24), rgb), (bmp(padded(lines), width, -height, 24), rgb),
             (bmp(padded(lines[::-1]), width, height, 24, header=12), rgb),
             (bmp(padded(lines[::-1]), width, height, 24, header=124), rgb)]
    for bits in (1, 4, 8):
        index = rng.integers(0, 1 << bits, (height, width))
        colours = palette[:1 << bits]
        data = padded(bits_of(index, bits)[::-1])
        cases.append((bmp(data, width, height, bits, palette=colours.tobytes()), colours[index][..., 2::-1]))
        short = b"".join(c[:3].tobytes() for c in colours)
        cases.append((bmp(data, width, height, bits, palette=short, header=12), colours[index][..., 2::-1]))
    wide = np.concatenate([rgb[..., ::-1], rgb[..., :1]], 2)
    cases.append((bmp(wide[::-1].tobytes(), width, height, 32), rgb))
    masks = struct.pack("<III", 0xf800, 0x07e0, 0x001f)
    five = rng.integers(0, 1 << 16, (height, width)).astype(np.uint16)
    want = np.stack([(five >> 11 & 31) * 255 // 31, (five >> 5 & 63) * 255 // 63, (five & 31) * 255 // 31], -1)
    cases.append((bmp(padded([row.tobytes() for row in five[::-1]]), width, height, 16, 3, masks=masks), want))
    runs = bytes([3, 1, 0, 4, 2, 3, 4, 5, 0, 0, 7, 6, 0, 0, 0, 2, 2, 1, 1, 9, 0, 0, 0, 1])
    index = np.zeros((height, width), int)
    index[4], index[3], index[1, 2] = [1, 1, 1, 2, 3, 4, 5], 6, 9
    want = palette[index][..., 2::-1].copy()
    want[index == 0] = 0  # what no run fills stays black
    cases.append((bmp(runs, width, height, 8, 1, palette=palette.tobytes()), want))
    for data, want in cases:
        got = image(context, data)
        assert got.shape == want.shape and (got == want).all(), (data[14:40], got[..., 0], want[..., 0])
    assert image(context, cases[0][0][:-40]).shape == (0, 0, 3)


def check_png(context, rng):
    rgb, grey = picture(rng), picture(rng, 1)
    width = rgb.shape[1]
    index = rng.integers(0, 16, rgb.shape[:2])
    palette = rng.integers(0, 256, (16, 3), dtype=np.uint8)
    chunk = b"PLTE" + palette.tobytes()
    plte = struct.pack(">I", 48) + chunk + struct.pack(">I", zlib.crc32(chunk))
    wide = (rgb.astype(np.uint16) << 8 | rgb[..., ::-1]).astype(">u2")
    alpha = np.concatenate([rgb, grey], 2)
    for data, want in ((png([r.tobytes() for r in rgb], width, 8, 2), rgb),
                       (png([r.tobytes() for r in grey], width, 8, 0), grey.repeat(3, 2)),
                       (png(bits_of(grey[..., 0] // 17, 4), width, 4, 0), (grey // 17 * 17).repeat(3, 2)),
                       (png(bits_of(index, 4), width, 4, 3, plte), palette[index]),
                       (png([r.tobytes() for r in alpha], width, 8, 6), rgb),
                       (png([r.tobytes() for r in np.concatenate([grey, grey], 2)], width, 8, 4), grey.repeat(3, 2)),
                       (png([r.tobytes() for r in wide], width, 16, 2), rgb)):
        got = image(context, data)
        assert got.shape == want.shape and (got == want).all()
        assert image(context, data[:-30]).shape == (0, 0, 3)
    bomb = png([b"\0"], 1, 8, 0)
    bomb = bomb[:16] + struct.pack(">II", 0x7fffffff, 0x7fffffff) + bomb[24:29]
    bomb += struct.pack(">I", zlib.crc32(bomb[12:29]))
    assert image(context, bomb).shape == (0, 0, 3)


def check_spoilt(context, rng):
    """ONNX's files, cut off or with bytes changed: an image, or none; never an error."""
    node = Node(context, "ImageDecoder", TensorProto.UINT8, TensorProto.UINT8)
    files = sorted(glob.glob(os.path.join(TREE, "node", "test_image_decoder_decode_*_rgb", "test_data_set_0/input_0.pb")))
    assert len(files) == 7, files
    for path in files:
        with open(path, "rb") as file:
            data = numpy_helper.to_array(TensorProto.FromString(file.read())).copy()
        whole = node(data).shape
        assert whole == (32, 32, 3), (path, whole)
        for round_ in range(40 if common.QUICK else 200):
            if round_ % 2:
                got = node(data[:rng.integers(0, len(data))])
            else:
                spoilt = data.copy()
                spoilt[rng.integers(4, len(data), 1 + round_ // 20)] = rng.integers(0, 256)
                got = node(spoilt)
            assert got.ndim == 3 and got.shape[2] == 3
    for size in (0, 1, 2, 3, 50):
        assert node(rng.integers(0, 256, size).astype(np.uint8)).shape == (0, 0, 3)
    node.close()


# ---- text ----

def match(context, pattern, texts):
    node = Node(context, "RegexFullMatch", TensorProto.STRING, TensorProto.BOOL, pattern=pattern)
    try:
        return [bool(v) for v in node(np.array(texts, object))]
    finally:
        node.close()


def check_expressions(context, rng):
    texts = ["", "a", "ab", "aab", "abc", "a.c", "ABC", "123", "a1", "2024-01-31", "x@y.com", "äöü", "a\nb", "日本", " a "]
    for pattern in ("", "a", "a*b", ".*", ".", "..", "[a-c]+", "[^a]*", r"\d+", r"\w\d?", r"(\d{4})-(\d\d)-(\d\d)", "(?i)abc",
                    r"\S+@\S+\.(com|org)", "a|ab|abc", "(?s).*", r"a\.c", "^a$", "[äöü]+", "(ab?)*", "(?:a|b){2,3}"):
        want = [re.fullmatch(pattern, text) is not None for text in texts]
        assert match(context, pattern, texts) == want, pattern
    assert match(context, r"\pL+", ["日本", "a1"]) == [True, False]
    start = time.monotonic()
    assert match(context, "(a*)*b", ["a" * 20000]) == [False]
    assert match(context, "(a|a|a?)*" * 20 + "c", ["a" * 5000]) == [False]
    assert time.monotonic() - start < 20
    for bad in ("(", "[z-a]", r"(a)\1", "(?=a)", "a**{1001}", "*"):
        try:
            match(context, bad, ["a"])
            raise AssertionError(f"{bad!r} is taken")
        except api.Failure as failure:
            assert "pattern" in str(failure), failure
    alphabet = list("ab(|)*+?[]^$.\\{}1,-:dw ")
    for _ in range(50 if common.QUICK else 300):
        pattern = "".join(rng.choice(alphabet, rng.integers(1, 12)))
        try:
            match(context, pattern, ["", "a", "ab1"])
        except api.Failure as failure:
            assert "pattern" in str(failure), failure


def check_letters(context, rng):
    texts = ["ÀÉÎ", "straße", "ΣΑΣ", "Привет", "İi", "ǅ", "𐐀", "plain", "日本"]
    for action, change in (("LOWER", str.lower), ("UPPER", str.upper)):
        node = Node(context, "StringNormalizer", TensorProto.STRING, TensorProto.STRING, case_change_action=action)
        got = node(np.array(texts, object))
        # One letter for one: where Python writes two, the letter stays or changes to another single one.
        for text, new in zip(texts, got):
            want = "".join(change(c) if len(change(c)) == 1 else c for c in text)
            assert len(new) == len(text), (text, new)
            assert all(a == b or len(change(c)) > 1 for a, b, c in zip(new, want, text)), (text, new, want)
        node.close()


def check_left_out(context, rng):
    """The plugin without the folder of its libraries: a clear error, and only of what needs one."""
    with tempfile.TemporaryDirectory() as folder:
        plugins = os.path.join(folder, "plugins")
        shutil.copytree(os.path.join(common.BUILD, "lib/partita/plugins"), plugins, ignore=shutil.ignore_patterns("cpu"))
        environment = os.environ | {"PARTITA_PLUGIN_PATH": plugins}

        def run(test):
            command = [common.COMMAND, "test", "--devices", "cpu", os.path.join(TREE, "node", test)]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            return done.returncode, done.stdout + done.stderr
        for test, library in (("test_regex_full_match_basic", "re2"), ("test_image_decoder_decode_png_rgb", "png"),
                              ("test_image_decoder_decode_webp_rgb", "webp")):
            code, text = run(test)
            assert code != 0 and f"library {library}" in text, text
        for test in ("test_image_decoder_decode_bmp_rgb", "test_strnormalizer_export_monday_casesensintive_lower"):
            code, text = run(test)
            assert code == 0, text


def main():
    onnx_tree.make(TREE)
    cases = common.Cases()
    if not os.path.isdir(os.path.join(common.BUILD, "lib/partita/plugins/cpu")):
        cases.skip("libraries", "none was built")
        return cases.end()
    context = api.Context()
    for check in (check_portable, check_bitmaps, check_png, check_spoilt, check_expressions, check_letters,
                  check_left_out):
        cases.run(check.__name__, check, context, np.random.default_rng(1))
    context.close()
    cases.end()


if __name__ == "__main__":
    main()
