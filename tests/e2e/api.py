# SPDX-License-Identifier: Apache-2.0
"""libpartita through ctypes, as far as the tests need it: one session run many times, from many threads, with counters."""
import ctypes as c
import json
import os

import numpy as np

BUILD = os.environ.get("PARTITA_BUILD", "build/release")
DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
          10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128"}
NUMBERS = {np.dtype(name): number for number, name in DTYPES.items()}
STRING, MAP = 8, 4


class Failure(Exception):
    def __init__(self, status, message):
        super().__init__(f"{message} (status {status})")
        self.status = status


class Str(c.Structure):
    _fields_ = [("data", c.c_char_p), ("size", c.c_size_t)]


class ValueInfo(c.Structure):
    _fields_ = [("size", c.c_uint32), ("kind", c.c_uint32), ("name", c.c_char_p), ("dtype", c.c_uint32),
                ("key_dtype", c.c_uint32), ("element", c.c_uint32), ("rank", c.c_int32),
                ("dims", c.POINTER(c.c_int64)), ("dim_names", c.POINTER(c.c_char_p))]


class View(c.Structure):
    _fields_ = [("size", c.c_uint32), ("kind", c.c_uint32), ("dtype", c.c_uint32), ("rank", c.c_uint32),
                ("dims", c.POINTER(c.c_int64)), ("data", c.c_void_p), ("bytes", c.c_uint64),
                ("offsets", c.POINTER(c.c_uint64)), ("count", c.c_uint64), ("device", c.c_char_p)]


class ContextOptions(c.Structure):
    _fields_ = [("size", c.c_uint32), ("threads", c.c_uint32), ("plugin_paths", c.POINTER(c.c_char_p)),
                ("plugin_path_count", c.c_uint32), ("option_count", c.c_uint32), ("options", c.c_void_p),
                ("pool", c.c_void_p), ("log", c.c_void_p), ("log_user", c.c_void_p)]


class Pin(c.Structure):
    _fields_ = [("pattern", c.c_char_p), ("device", c.c_char_p)]


class InputShape(c.Structure):
    _fields_ = [("input", c.c_char_p), ("rank", c.c_uint32), ("reserved", c.c_uint32), ("dims", c.POINTER(c.c_int64))]


class PlanOptions(c.Structure):
    _fields_ = [("size", c.c_uint32), ("objective", c.c_uint32), ("devices", c.c_char_p), ("fallback", c.c_uint32),
                ("strict", c.c_uint32), ("precision", c.c_uint32), ("pin_count", c.c_uint32), ("pins", c.POINTER(Pin)),
                ("random_seed", c.c_uint64), ("pin_random", c.c_uint32), ("dim_count", c.c_uint32),
                ("dims", c.c_void_p), ("shapes", c.POINTER(InputShape)), ("shape_count", c.c_uint32),
                ("reserved", c.c_uint32), ("plan_json", c.c_char_p), ("max_memory", c.c_uint64),
                ("choose", c.c_void_p), ("choose_user", c.c_void_p)]


class SessionOptions(c.Structure):
    _fields_ = [("size", c.c_uint32), ("measure", c.c_uint32), ("max_shapes_bytes", c.c_uint64),
                ("progress", c.c_void_p), ("progress_user", c.c_void_p)]


class RunOptions(c.Structure):
    _fields_ = [("size", c.c_uint32), ("reserved", c.c_uint32), ("deadline_ms", c.c_uint64)]


class Counters(c.Structure):
    _fields_ = [("size", c.c_uint32), ("parts", c.c_uint32)] + [
        (name, c.c_uint64) for name in ("plans", "compiles", "resizes", "resize_ns_max", "runs", "copies",
                                        "bytes_copied", "imports", "host_waits", "demotions")]


class DeviceUsage(c.Structure):
    _fields_ = [("size", c.c_uint32), ("parts", c.c_uint32), ("device", c.c_char_p), ("launches", c.c_uint64),
                ("busy_us", c.c_double), ("flops", c.c_double), ("copied_bytes", c.c_uint64)]


class EdgeUsage(c.Structure):
    _fields_ = [("size", c.c_uint32), ("staged", c.c_uint32), ("value", c.c_char_p), ("source", c.c_char_p),
                ("target", c.c_char_p), ("route", c.c_char_p), ("bytes_moved", c.c_uint64), ("copies", c.c_uint64),
                ("runs", c.c_uint64)]


def load():
    lib = c.CDLL(os.path.join(BUILD, "lib/libpartita.so"))
    lib.partita_last_error.restype = c.c_char_p
    lib.partita_model_input.restype = lib.partita_model_output.restype = c.POINTER(ValueInfo)
    lib.partita_value_item.restype = c.c_void_p
    lib.partita_request_output.restype = c.c_void_p
    lib.partita_plan_estimate_us.restype = c.c_double
    for name in ("context", "model", "plan", "session", "request"):
        getattr(lib, f"partita_{name}_destroy").argtypes = [c.c_void_p]
    lib.partita_value_release.argtypes = [c.c_void_p]
    lib.partita_value_view_of.argtypes = [c.c_void_p, c.c_void_p]
    lib.partita_text_destroy.argtypes = [c.c_void_p]
    lib.partita_value_item.argtypes = [c.c_void_p, c.c_uint64]
    lib.partita_request_wait.argtypes = [c.c_void_p, c.c_uint64]
    lib.partita_request_cancel.argtypes = [c.c_void_p]
    return lib


LIB = load()


def check(status):
    if status != 0:
        raise Failure(status, (LIB.partita_last_error() or b"").decode())


def sized(kind, **fields):
    item = kind(**fields)
    item.size = c.sizeof(kind)
    return item


def make_value(array):
    value = c.c_void_p()
    if isinstance(array, dict):
        items = [make_value(np.array(list(part), object if isinstance(next(iter(part), ""), str) else None))
                 for part in (array.keys(), array.values())]
        row = (c.c_void_p * 2)(*[v.value for v in items])
        check(LIB.partita_value_create_container(MAP, 0, row, c.c_uint64(2), c.byref(value)))
        for item in items:
            LIB.partita_value_release(item)
        return value
    dims = (c.c_int64 * max(array.ndim, 1))(*array.shape)
    if array.dtype.kind in "UO":
        texts = [str(t).encode() for t in array.reshape(-1)]
        strings = (Str * max(len(texts), 1))(*[Str(t, len(t)) for t in texts])
        check(LIB.partita_value_create_strings(array.ndim, dims, strings, c.byref(value)))
        return value
    array = array.copy(order="C")
    check(LIB.partita_value_create(NUMBERS[array.dtype], array.ndim, dims, array.ctypes.data_as(c.c_void_p),
                                   c.byref(value)))
    return value


def read_value(value):
    view = sized(View)
    check(LIB.partita_value_view_of(value, c.byref(view)))
    if view.kind in (3, 5):
        return [read_value(LIB.partita_value_item(value, i)) for i in range(view.count)]
    if view.kind == 4:
        keys, values = (read_value(LIB.partita_value_item(value, i)) for i in range(2))
        return dict(zip(keys.tolist(), values.tolist()))
    shape = tuple(view.dims[i] for i in range(view.rank))
    if view.dtype == STRING:
        blob = c.string_at(view.data, view.offsets[view.count]) if view.count else b""
        texts = [blob[view.offsets[i]:view.offsets[i + 1]].decode() for i in range(view.count)]
        return np.array(texts, dtype=object).reshape(shape)
    dtype = np.dtype(DTYPES.get(view.dtype, "uint8"))
    if view.bytes == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(c.string_at(view.data, view.bytes), dtype).reshape(shape).copy()


class Context:
    def __init__(self, threads=0):
        self.handle = c.c_void_p()
        options = sized(ContextOptions, threads=threads)
        check(LIB.partita_context_create(c.byref(options), c.byref(self.handle)))

    def close(self):
        LIB.partita_context_destroy(self.handle)


class Model:
    def __init__(self, context, path):
        self.handle = c.c_void_p()
        check(LIB.partita_model_load_file(context.handle, path.encode(), None, c.byref(self.handle)))
        count = LIB.partita_model_input_count(self.handle), LIB.partita_model_output_count(self.handle)
        self.inputs = [LIB.partita_model_input(self.handle, i).contents.name.decode() for i in range(count[0])]
        self.outputs = [LIB.partita_model_output(self.handle, i).contents.name.decode() for i in range(count[1])]

    def close(self):
        LIB.partita_model_destroy(self.handle)


class Session:
    """Plan and session of a model on a set of devices."""

    def __init__(self, model, devices=None, shapes=None, seed=None, pins=None, measure=False, strict=True, plan=None,
                 fallback=False):
        self.model, self.plan, self.handle = model, c.c_void_p(), c.c_void_p()
        options = sized(PlanOptions, devices=devices.encode() if devices else None, strict=strict, fallback=fallback)
        if seed is not None:
            options.pin_random, options.random_seed = 1, seed
        if plan:
            options.plan_json = plan.encode()
        if pins:
            rows = (Pin * len(pins))(*[Pin(a.encode(), b.encode()) for a, b in pins])
            options.pins, options.pin_count = rows, len(pins)
        if shapes:
            dims = {name: (c.c_int64 * max(len(shape), 1))(*shape) for name, shape in shapes.items()}
            rows = (InputShape * len(shapes))(*[InputShape(n.encode(), len(shapes[n]), 0, dims[n]) for n in shapes])
            options.shapes, options.shape_count = rows, len(shapes)
        check(LIB.partita_plan_create(model.handle, c.byref(options), c.byref(self.plan)))
        session = sized(SessionOptions, measure=measure)
        try:
            check(LIB.partita_session_create(self.plan, c.byref(session), c.byref(self.handle)))
        except Failure:
            LIB.partita_plan_destroy(self.plan)
            raise

    def run(self, feeds, deadline_ms=0):
        inputs = [make_value(feeds[name] if isinstance(feeds[name], dict) else np.asarray(feeds[name])) for name in self.model.inputs]
        row = (c.c_void_p * max(len(inputs), 1))(*[v.value for v in inputs])
        outputs = (c.c_void_p * max(len(self.model.outputs), 1))()
        options = sized(RunOptions, deadline_ms=deadline_ms)
        try:
            check(LIB.partita_session_run(self.handle, c.byref(options), row, len(inputs), outputs,
                                          len(self.model.outputs)))
            return [read_value(c.c_void_p(v)) for v in outputs[:len(self.model.outputs)]]
        finally:
            for value in inputs:
                LIB.partita_value_release(value)
            for value in outputs:
                LIB.partita_value_release(value)

    def text(self, function, handle):
        out = c.c_void_p()
        check(getattr(LIB, function)(handle, c.byref(out)))
        text = c.string_at(out).decode()
        LIB.partita_text_destroy(out)
        return text

    def plan_json(self):
        return json.loads(self.text("partita_plan_json", self.plan))

    def explain_json(self):
        return json.loads(self.text("partita_session_explain_json", self.handle))

    def counters(self):
        counters = sized(Counters)
        LIB.partita_session_counters(self.handle, c.byref(counters))
        return {name: getattr(counters, name) for name, _ in Counters._fields_[1:]}

    def rows(self, function, kind):
        found = []
        while True:
            item = sized(kind)
            if getattr(LIB, function)(self.handle, len(found), c.byref(item)) != 0:
                return found
            found.append(item)

    def devices(self):
        return self.rows("partita_session_device", DeviceUsage)

    def edges(self):
        return self.rows("partita_session_edge", EdgeUsage)

    def close(self):
        LIB.partita_session_destroy(self.handle)
        LIB.partita_plan_destroy(self.plan)
