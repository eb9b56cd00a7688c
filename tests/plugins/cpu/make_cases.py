#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes cases.bin: single nodes with inputs and the outputs that onnxruntime computed for them.

    python make_cases.py            needs onnx 1.23.2, onnxruntime 1.32.0, numpy

Where onnxruntime has no kernel for a type the case is computed in float32 and rounded. The C test reads the file and
runs every case on the reference and on every level of the machine.
"""
import importlib
import os
import pathlib
import struct
import sys

import ml_dtypes
import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper
from onnx.reference import ReferenceEvaluator

ort.set_default_logger_severity(4)
HERE = pathlib.Path(__file__).parent
TYPES = {np.dtype(t): c for t, c in {
    np.float32: 1, np.uint8: 2, np.int8: 3, np.uint16: 4, np.int16: 5, np.int32: 6, np.int64: 7, np.bool_: 9,
    np.float16: 10, np.float64: 11, np.uint32: 12, np.uint64: 13, np.complex64: 14, np.complex128: 15,
    ml_dtypes.bfloat16: 16, ml_dtypes.float8_e4m3fn: 17, ml_dtypes.float8_e4m3fnuz: 18, ml_dtypes.float8_e5m2: 19,
    ml_dtypes.float8_e5m2fnuz: 20, ml_dtypes.uint4: 21, ml_dtypes.int4: 22, ml_dtypes.float4_e2m1fn: 23,
    ml_dtypes.float8_e8m0fnu: 24, ml_dtypes.uint2: 25, ml_dtypes.int2: 26,
    ml_dtypes.float6_e2m3fn: 27, ml_dtypes.float6_e3m2fn: 28}.items()}
BITS = {21: 4, 22: 4, 23: 4, 25: 2, 26: 2, 27: 6, 28: 6}
SEQUENCE, OPTIONAL = 0x100, 0x200


class Optional(list):
    """An optional: no item or one."""


cases = []


def text(value):
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def attribute(name, value):
    out = text(name)
    if isinstance(value, onnx.TensorProto):
        return out + struct.pack("<II", 4, 1) + tensor(onnx.numpy_helper.to_array(value))
    if isinstance(value, int):
        return out + struct.pack("<IIq", 1, 1, value)
    if isinstance(value, float):
        return out + struct.pack("<IIf", 2, 1, value)
    if isinstance(value, (str, bytes)):
        data = value.encode() if isinstance(value, str) else value
        return out + struct.pack("<II", 3, len(data)) + data
    if len(value) > 0 and isinstance(value[0], (str, bytes)):
        items = [v.encode() if isinstance(v, str) else v for v in value]
        return out + struct.pack("<II", 8, len(items)) + b"".join(struct.pack("<I", len(v)) + v for v in items)
    if len(value) > 0 and isinstance(value[0], float):
        return out + struct.pack(f"<II{len(value)}f", 7, len(value), *value)
    return out + struct.pack(f"<II{len(value)}q", 6, len(value), *value)


def packed(array, bits):
    """Elements of less than a byte, low bits first."""
    fields = np.ascontiguousarray(array).view(np.uint8).reshape(-1, 1) >> np.arange(bits, dtype=np.uint8) & 1
    return np.packbits(fields.ravel(), bitorder="little").tobytes()


def code(array):
    return 8 if array.dtype.kind in "OUS" else TYPES[array.dtype]


def tensor(array, dtype=1):
    """dtype: of the elements of an empty sequence or optional."""
    if array is None:
        return struct.pack("<I", 0)
    if isinstance(array, list):
        mark = OPTIONAL if isinstance(array, Optional) else SEQUENCE
        item = array[0] if array and not isinstance(array[0], list) else None
        return (struct.pack("<II", mark | (dtype if item is None else code(np.asarray(item))), len(array))
                + b"".join(tensor(v) for v in array))
    array = np.asarray(array)
    if code(array) == 8:
        items = [str(v).encode(errors="surrogateescape") for v in array.ravel()]  # so that cases may hold any bytes
        offsets = np.cumsum([0] + [len(v) for v in items]).astype(np.uint64)
        data = offsets.tobytes() + b"".join(items)
    elif code(array) in BITS:
        data = packed(array, BITS[code(array)])
    else:
        data = np.ascontiguousarray(array).tobytes()
    return (struct.pack("<II", code(array), array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape)
            + struct.pack("<Q", len(data)) + data)


def compute(op, opset, inputs, attrs, count, domain):
    names = [f"i{i}" if v is not None else "" for i, v in enumerate(inputs)]
    node = helper.make_node(op, names, [f"o{i}" for i in range(count)], domain=domain, **attrs)
    infos = [helper.make_tensor_value_info(f"i{i}", code(np.asarray(v)), list(np.asarray(v).shape))
             for i, v in enumerate(inputs) if v is not None]
    outs = [helper.make_empty_tensor_value_info(f"o{i}") for i in range(count)]
    model = helper.make_model(helper.make_graph([node], "case", infos, outs),
                              opset_imports=[helper.make_opsetid(domain, opset)] + [helper.make_opsetid("", 20)] * (domain != ""),
                              ir_version=10 if opset < 24 else 11)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.x64quantprecision", "1")  # exact sums of 8-bit products
    options.intra_op_num_threads = 1  # DynamicQuantizeLSTM quantises what a thread has of the batch
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {f"i{i}": np.asarray(v) for i, v in enumerate(inputs) if v is not None})


def compute_onnx(op, opset, inputs, attrs, count, domain):
    """By onnx's own evaluator, which knows types that onnxruntime does not."""
    names = [f"i{i}" if v is not None else "" for i, v in enumerate(inputs)]
    node = helper.make_node(op, names, [f"o{i}" for i in range(count)], domain=domain, **attrs)
    infos = [helper.make_tensor_value_info(f"i{i}", code(v), list(v.shape)) for i, v in enumerate(inputs) if v is not None]
    outs = [helper.make_empty_tensor_value_info(f"o{i}") for i in range(count)]
    model = helper.make_model(helper.make_graph([node], "case", infos, outs),
                              opset_imports=[helper.make_opsetid(domain, opset)])
    found = ReferenceEvaluator(model).run(None, {f"i{i}": v for i, v in enumerate(inputs) if v is not None})
    return [np.asarray(v) for v in found]


def case(op, opset, inputs, attrs=None, outputs=1, expect=None, rtol=1e-5, atol=1e-5, domain="", as_type=None,
         data_shaped=False, note="", status=0):
    """as_type: inputs of float32 are given in this type, the expected outputs rounded to it. Inputs and outputs may be
    None (absent) and lists (sequences; Optional: optionals). status: what the run must fail with; `expect` then says the
    outputs' shapes only."""
    attrs = attrs or {}
    inputs = [v if v is None or isinstance(v, list) else np.asarray(v) for v in inputs]
    if as_type is not None:
        inputs = [v.astype(as_type) if v is not None and v.dtype == np.float32 else v for v in inputs]
        wide = [v.astype(np.float32) if v is not None and v.dtype == as_type else v for v in inputs]
    else:
        wide = inputs
    if expect is None:
        try:
            try:
                expect = compute(op, opset, wide, attrs, outputs, domain)
            except Exception:
                expect = compute_onnx(op, opset, wide, attrs, outputs, domain)
        except Exception as error:  # the script is run by hand: say what is lost
            print(f"lost: {op}-{opset} {note} {attrs}: {str(error).splitlines()[0][:150]}", file=sys.stderr)
            return
    if as_type is not None:
        expect = [v.astype(as_type) if v.dtype == np.float32 else v for v in expect]
        if as_type == np.float16:
            rtol, atol = max(rtol, 2e-3), max(atol, 2e-3)
    # Operators beyond the standard give all attributes that they need.
    known = onnx.defs.get_schema(op, opset, domain) if onnx.defs.has(op, opset, domain) else None
    filled = {name: helper.get_attribute_value(a.default_value) for name, a in known.attributes.items()
              if a.default_value.name} if known else {}
    filled.update(attrs)
    shown = {name: "tensor" if isinstance(value, onnx.TensorProto) else value for name, value in attrs.items()}
    out = text(f"{op}-{opset}{' ' + note if note else ''} {shown}") + text(op) + text(domain)
    out += struct.pack("<iIffI", known.since_version if known else opset, int(data_shaped) | status << 8, rtol, atol, len(filled))
    out += b"".join(attribute(name, value) for name, value in filled.items())
    out += struct.pack("<II", len(inputs), len(expect))
    out += b"".join(tensor(v) for v in inputs) + b"".join(tensor(v) for v in expect)
    cases.append(out)


def main():
    sys.path.insert(0, str(HERE))
    sys.modules["make_cases"] = sys.modules["__main__"]  # what modules of cases import is this one
    for path in sorted(HERE.glob("cases_*.py")):
        if len(sys.argv) > 1 and path.stem not in sys.argv[1:]:
            continue
        cases.clear()
        module = importlib.import_module(path.stem)
        module.make(case, np.random.default_rng(1))
        target = pathlib.Path(os.environ.get("CASES_OUT", HERE)) / (path.stem + ".bin")
        target.write_bytes(b"PTC1" + struct.pack("<I", len(cases)) + b"".join(cases))
        print(f"{target.name}: {len(cases)} cases, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
