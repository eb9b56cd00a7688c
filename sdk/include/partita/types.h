/* SPDX-License-Identifier: Apache-2.0 */
/**
 * Types that the application API, the plugin ABI and the core share.
 *
 * Standard headers only, C11 and C++17. Numbers in this file are ABI: rows are appended, never changed.
 */
#ifndef PARTITA_TYPES_H
#define PARTITA_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Status of a call. 0 is success. The columns: name, value, exit code of the command, text. */
typedef int32_t partita_status;

#define PARTITA_STATUS_ROWS(X)                                                                                         \
    X(OK, 0, 0, "ok")                                                                                                  \
    X(INVALID_ARGUMENT, 1, 1, "invalid argument")                                                                      \
    X(BAD_MODEL, 2, 2, "bad model")                                                                                    \
    X(BAD_INPUT, 3, 2, "bad input")                                                                                    \
    X(IO, 4, 2, "file cannot be read or written")                                                                      \
    X(UNPLACED, 5, 3, "no allowed device takes part of the model")                                                     \
    X(DEVICE_ABSENT, 6, 4, "device or plugin absent")                                                                  \
    X(DEVICE_FAILED, 7, 4, "device or plugin failed")                                                                  \
    X(DEVICE_LOST, 8, 4, "device lost")                                                                                \
    X(CANNOT_COMPILE, 9, 4, "the device cannot compile this part")                                                     \
    X(MISMATCH, 10, 5, "the numbers differ")                                                                           \
    X(OUT_OF_MEMORY, 11, 6, "out of memory")                                                                           \
    X(OVER_BUDGET, 12, 6, "over budget")                                                                               \
    X(CANCELLED, 13, 4, "cancelled")                                                                                   \
    X(DEADLINE, 14, 4, "deadline exceeded")                                                                            \
    X(UNSUPPORTED, 15, 2, "not supported")                                                                             \
    X(NOT_IN_VERSION, 16, 1, "not in this version")                                                                    \
    X(BUSY, 17, 4, "objects are still in use")                                                                         \
    X(DECLINED, 18, 4, "declined")                                                                                     \
    X(INTERNAL, 19, 4, "internal error")

enum {
#define X(name, value, exit_code, text) PARTITA_##name = value,
    PARTITA_STATUS_ROWS(X)
#undef X
};

/**
 * Element types. Values are those of ONNX's TensorProto.DataType (onnx.proto, IR version 14).
 * The columns: name, value, name as printed (numpy's where numpy has one), bits of one element.
 * Strings have 0 bits: they are blocks of offsets and bytes.
 */
#define PARTITA_DTYPE_ROWS(X)                                                                                          \
    X(UNDEFINED, 0, "undefined", 0)                                                                                    \
    X(FLOAT32, 1, "float32", 32)                                                                                       \
    X(UINT8, 2, "uint8", 8)                                                                                            \
    X(INT8, 3, "int8", 8)                                                                                              \
    X(UINT16, 4, "uint16", 16)                                                                                         \
    X(INT16, 5, "int16", 16)                                                                                           \
    X(INT32, 6, "int32", 32)                                                                                           \
    X(INT64, 7, "int64", 64)                                                                                           \
    X(STRING, 8, "string", 0)                                                                                          \
    X(BOOL, 9, "bool", 8)                                                                                              \
    X(FLOAT16, 10, "float16", 16)                                                                                      \
    X(FLOAT64, 11, "float64", 64)                                                                                      \
    X(UINT32, 12, "uint32", 32)                                                                                        \
    X(UINT64, 13, "uint64", 64)                                                                                        \
    X(COMPLEX64, 14, "complex64", 64)                                                                                  \
    X(COMPLEX128, 15, "complex128", 128)                                                                               \
    X(BFLOAT16, 16, "bfloat16", 16)                                                                                    \
    X(FLOAT8E4M3FN, 17, "float8e4m3fn", 8)                                                                             \
    X(FLOAT8E4M3FNUZ, 18, "float8e4m3fnuz", 8)                                                                         \
    X(FLOAT8E5M2, 19, "float8e5m2", 8)                                                                                 \
    X(FLOAT8E5M2FNUZ, 20, "float8e5m2fnuz", 8)                                                                         \
    X(UINT4, 21, "uint4", 4)                                                                                           \
    X(INT4, 22, "int4", 4)                                                                                             \
    X(FLOAT4E2M1, 23, "float4e2m1", 4)                                                                                 \
    X(FLOAT8E8M0, 24, "float8e8m0", 8)                                                                                 \
    X(UINT2, 25, "uint2", 2)                                                                                           \
    X(INT2, 26, "int2", 2)                                                                                             \
    X(FLOAT6E2M3, 27, "float6e2m3", 6)                                                                                 \
    X(FLOAT6E3M2, 28, "float6e3m2", 6)

typedef uint32_t partita_dtype;
enum {
#define X(name, value, text, bits) PARTITA_##name = value,
    PARTITA_DTYPE_ROWS(X)
#undef X
        PARTITA_DTYPE_COUNT = 29
};

/** What a value is. A dense tensor of strings is kind TENSOR with dtype STRING. */
#define PARTITA_KIND_ROWS(X)                                                                                           \
    X(NONE, 0, "none")                                                                                                 \
    X(TENSOR, 1, "tensor")                                                                                             \
    X(SPARSE, 2, "sparse")                                                                                             \
    X(SEQUENCE, 3, "sequence")                                                                                         \
    X(MAP, 4, "map")                                                                                                   \
    X(OPTIONAL, 5, "optional")

typedef uint32_t partita_kind;
enum {
#define X(name, value, text) PARTITA_KIND_##name = value,
    PARTITA_KIND_ROWS(X)
#undef X
        PARTITA_KIND_COUNT = 6
};

/**
 * Why a device does not take a unit. The columns: name, value, name as printed, text.
 * A "no" without a reason is a conformance failure.
 */
#define PARTITA_REASON_ROWS(X)                                                                                         \
    X(NONE, 0, "none", "")                                                                                             \
    X(OP, 1, "op", "no kernel for the operator")                                                                       \
    X(OPSET, 2, "opset", "no kernel for this version of the operator")                                                 \
    X(DTYPE, 3, "dtype", "no kernel for this element type")                                                            \
    X(ATTRIBUTE, 4, "attribute", "an attribute has a value that no kernel implements")                                 \
    X(RANK, 5, "rank", "rank outside what the kernel takes")                                                           \
    X(SHAPE, 6, "shape", "shape outside what the kernel takes")                                                        \
    X(DYNAMIC, 7, "dynamic", "output shape depends on data")                                                           \
    X(NOT_CONSTANT, 8, "not-constant", "an input must be constant")                                                    \
    X(KIND, 9, "kind", "the value is no dense tensor")                                                                 \
    X(MEMORY, 10, "memory", "exceeds a limit of the device's memory")                                                  \
    X(LIMIT, 11, "limit", "exceeds a limit of the device")                                                             \
    X(PRECISION, 12, "precision", "not exact enough for the precision asked for")                                      \
    X(CONTROL_FLOW, 13, "control-flow", "the device does not run nested graphs")                                       \
    X(POLICY, 14, "policy", "excluded by an option or a pin")                                                          \
    X(COMPILE, 15, "compile", "the device could not compile it")                                                       \
    X(FAILED, 16, "failed", "the device failed while running it")                                                      \
    X(SLOW, 17, "slow", "the device asks not to be given it")

enum {
#define X(name, value, text, long_text) PARTITA_REASON_##name = value,
    PARTITA_REASON_ROWS(X)
#undef X
        PARTITA_REASON_COUNT = 18
};

/** Borrowed bytes of UTF-8, not terminated. */
typedef struct partita_str {
    const char *data;
    size_t size;
} partita_str;

/** Level of a log message. */
enum { PARTITA_LOG_DEBUG = 0, PARTITA_LOG_INFO = 1, PARTITA_LOG_WARNING = 2, PARTITA_LOG_ERROR = 3 };

/** No index. */
#define PARTITA_NONE UINT32_MAX

#ifdef __cplusplus
}
#endif
#endif
