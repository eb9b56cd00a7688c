# SPDX-License-Identifier: Apache-2.0
"""Makes the files beside it, with onnx 1.23.2 and numpy: python make.py

encodings.onnx  an initializer for every element type and every way to write it
encodings.txt   what onnx.numpy_helper reads from them: name, type, dims, bytes as hex, one line each
features.onnx   functions, bodies, constants, sparse tensors, all kinds of values
*.pb            a value of each kind
"""
import os

import ml_dtypes
import numpy as np
from onnx import AttributeProto, MapProto, TensorProto as T, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(3)
# Types that onnx.helper writes into int32_data and friends, and the numbers to write.
SMALL = [T.UINT8, T.INT8, T.UINT16, T.INT16, T.INT32, T.INT64, T.UINT32, T.UINT64, T.BOOL]
FLOATS = [T.FLOAT, T.DOUBLE, T.FLOAT16, T.BFLOAT16, T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ,
          T.FLOAT8E8M0, T.FLOAT4E2M1]
PACKED = [T.UINT4, T.INT4, T.UINT2, T.INT2]


def numbers(dtype, count):
    if dtype in (T.FLOAT8E8M0,):
        return np.exp2(random.integers(-4, 4, count)).astype(np.float32)
    if dtype in FLOATS:
        return random.normal(size=count).astype(np.float64)
    if dtype == T.BOOL:
        return random.integers(0, 2, count).astype(bool)
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    low, high = (ml_dtypes.iinfo if dtype in PACKED else np.iinfo)(kind).min, \
        (ml_dtypes.iinfo if dtype in PACKED else np.iinfo)(kind).max
    return random.integers(int(low), int(high), count, dtype=np.uint64 if low == 0 else np.int64, endpoint=True)


def packed_bytes(array, dtype):
    """The bytes of raw_data, which numpy_helper spells one element a byte where types are smaller."""
    bits = {T.UINT4: 4, T.INT4: 4, T.FLOAT4E2M1: 4, T.UINT2: 2, T.INT2: 2}.get(dtype)
    if bits is None:
        return array.astype(array.dtype.newbyteorder("<")).tobytes() if array.dtype.byteorder == ">" else array.tobytes()
    codes = array.reshape(-1).view(np.uint8) & ((1 << bits) - 1)
    per = 8 // bits
    codes = np.concatenate([codes, np.zeros(-len(codes) % per, np.uint8)]).reshape(-1, per)
    return bytes(sum(int(c) << (bits * i) for i, c in enumerate(row)) for row in codes)


def encodings():
    tensors, lines = [], []
    for dtype in SMALL + FLOATS + PACKED + [T.COMPLEX64, T.COMPLEX128]:
        for dims in ([3, 5], [0, 2], []):
            count = int(np.prod(dims))
            name = f"{T.DataType.Name(dtype).lower()}_{'x'.join(map(str, dims)) or 'scalar'}"
            if dtype in (T.COMPLEX64, T.COMPLEX128):
                values = random.normal(size=count) + 1j * random.normal(size=count)
            else:
                values = numbers(dtype, count)
            typed = helper.make_tensor(name + "_typed", dtype, dims, values)
            array = numpy_helper.to_array(typed)
            raw = T(name=name + "_raw", data_type=dtype, dims=dims, raw_data=packed_bytes(array, dtype))
            assert np.array_equal(numpy_helper.to_array(raw).reshape(-1).view(np.uint8), array.reshape(-1).view(np.uint8))
            for tensor in (typed, raw):
                tensors.append(tensor)
                lines.append(f"{tensor.name} {dtype} {','.join(map(str, dims)) or '-'} "
                             f"{packed_bytes(array, dtype).hex() or '-'}")
    # One that is large enough to be referenced although it is in a typed field.
    big = random.normal(size=20000).astype(np.float32)
    tensors.append(helper.make_tensor("float_big_typed", T.FLOAT, [20000], big))
    tensors.append(helper.make_tensor("strings", T.STRING, [2, 2], [b"", b"abc", "\u00e9".encode(), b"x\0y"]))
    lines.append("strings 8 2,2 " + b"abc\xc3\xa9x\0y".hex())
    graph = helper.make_graph([], "encodings", [], [], tensors)
    with open(os.path.join(HERE, "encodings.onnx"), "wb") as file:
        file.write(helper.make_model(graph, ir_version=14, opset_imports=[helper.make_opsetid("", 26)])
                   .SerializeToString())
    with open(os.path.join(HERE, "encodings.txt"), "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")
    digest = int(np.frombuffer(big.tobytes(), np.uint32).astype(np.uint64).sum())
    print("sum of float_big_typed's words:", digest)


def info(name, dims, dtype=T.FLOAT):
    return helper.make_tensor_value_info(name, dtype, dims)


def reference(name, refers_to):
    return AttributeProto(name=name, type=AttributeProto.FLOAT, ref_attr_name=refers_to)


def features():
    node = helper.make_node
    inner = helper.make_function(
        "local", "Inner", ["p"], ["q"],
        [node("LeakyRelu", ["p"], ["q"], name="leaky")], [helper.make_opsetid("", 16)], ["alpha"])
    inner.node[0].attribute.append(reference("alpha", "alpha"))
    outer = helper.make_function(
        "local", "Outer", ["a", "b"], ["c", "a"],
        [node("Constant", [], ["k"]), node("Mul", ["a", "k"], ["m"]),
         node("Inner", ["m"], ["i"], domain="local", name="in"), node("Add", ["i", "b"], ["c"])],
        [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)], ["slope"],
        [helper.make_attribute("factor", 3.0)])
    outer.node[0].attribute.append(reference("value_float", "factor"))
    outer.node[2].attribute.append(reference("alpha", "slope"))
    then = helper.make_graph([node("Neg", ["f"], ["t"])], "then", [], [info("t", None)])
    other = helper.make_graph([node("Add", ["f", "bias"], ["e"], name="plus")], "else", [], [info("e", None)],
                              [numpy_helper.from_array(np.float32([7]), "bias")])
    body = helper.make_graph(
        [node("Identity", ["keep"], ["keep_out"]), node("Mul", ["state", "w"], ["state_out"])], "body",
        [info("turn", [], T.INT64), info("keep", [], T.BOOL), info("state", ["N", 3])],
        [info("keep_out", [], T.BOOL), info("state_out", ["N", 3])])
    nodes = [
        node("Identity", ["late"], ["z"]),  # before what it reads
        node("Outer", ["x", "w"], ["f", "g"], domain="local", name="call", slope=0.25),
        node("If", ["cond"], ["branch"], name="choice", then_branch=then, else_branch=other),
        node("Loop", ["trips", "", "branch"], ["late"], body=body),
        node("Constant", [], ["trips"], name="n", value_int=3),
        node("Constant", [], ["strings"], value_strings=["a", "", "bc"]),
        node("Constant", [], ["shape"], value_ints=[1, -1]),
        node("Constant", [], ["sparse"], sparse_value=helper.make_sparse_tensor(
            helper.make_tensor("v", T.FLOAT, [2], [1.0, 2.0]), helper.make_tensor("i", T.INT64, [2, 2], [0, 1, 2, 0]),
            [3, 4])),
        node("Optional", [], ["maybe"], type=helper.make_tensor_type_proto(T.FLOAT, [2])),
        node("Special", ["x", "shape"], ["own"], domain="com.example", level=4, names=["a", "b"],
             table=helper.make_tensor("t", T.INT4, [3], [1, -2, 3])),
    ]
    inputs = [info("x", ["N", 3]), info("cond", [], T.BOOL), info("any", [0, -1, "?", "", 2]), info("w", [3]),
              helper.make_tensor_sequence_value_info("list", T.INT64, ["N"]),
              helper.make_value_info("map", helper.make_map_type_proto(
                  T.STRING, helper.make_tensor_type_proto(T.FLOAT, None)))]
    outputs = [info("z", [9, 9]), info("own", ["N", "other", 5]), info("g", None), info("maybe", None)]
    graph = helper.make_graph(nodes, "features", inputs, outputs,
                              [numpy_helper.from_array(np.float32([1, 2, 3]), "w")], "unread text",
                              [info("f", ["N", 77])],
                              sparse_initializer=[helper.make_sparse_tensor(
                                  helper.make_tensor("s", T.INT8, [1], [5]), helper.make_tensor("si", T.INT64, [1], [3]),
                                  [2, 2])])
    model = helper.make_model(graph, ir_version=10, producer_name="make.py", doc_string="what it is",
                              opset_imports=[helper.make_opsetid("ai.onnx", 18), helper.make_opsetid("local", 1)],
                              functions=[inner, outer])
    helper.set_model_props(model, {"author": "nobody", "empty": ""})
    with open(os.path.join(HERE, "features.onnx"), "wb") as file:
        file.write(model.SerializeToString())


def values():
    files = {
        "tensor": numpy_helper.from_array(np.float32([[1, 2, 3], [4, 5, 6]]), "t"),
        "strings": helper.make_tensor("s", T.STRING, [2], [b"a", b"bc"]),
        "sequence": numpy_helper.from_list([np.int64([1, 2]), np.int64([[3]])], "q"),
        "nested": numpy_helper.from_list([[np.float32([1])], [np.float32([2]), np.float32([3])]], "n"),
        "map_int": numpy_helper.from_dict({3: np.float32(0.5), -4: np.float32(0.25)}, "m"),
        "map_text": MapProto(name="k", key_type=T.STRING, string_keys=[b"x", b"yz"],
                             values=numpy_helper.from_list([np.int64([1, 2]), np.int64([3])])),
        "optional": numpy_helper.from_optional(np.float32([7, 8]), "o"),
        "optional_sequence": numpy_helper.from_optional([np.float32([7])], "os"),
        "none": numpy_helper.from_optional(None, "none"),
        "sparse": helper.make_sparse_tensor(helper.make_tensor("v", T.DOUBLE, [2], [1.5, 2.5]),
                                            helper.make_tensor("i", T.INT64, [2], [1, 5]), [2, 3]),
    }
    for name, value in files.items():
        with open(os.path.join(HERE, name + ".pb"), "wb") as file:
            file.write(value.SerializeToString())


encodings()
features()
values()
