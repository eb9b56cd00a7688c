/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generator of element-wise kernels: one expression over broadcast inputs. An input is read at the result's own
 * index when it has as many elements, at 0 when it has one, else through strides; the text says which, so that the
 * common cases divide nothing.
 */
#include "gpu/gpu.h"
#include <stdarg.h>
#include <stdio.h>

typedef struct writer {
    char *text;
    size_t size, capacity;
    bool overflow;
} writer;

static void put(writer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(writer *out, const char *format, ...) {
    va_list list;
    va_start(list, format);
    int n = vsnprintf(out->text + out->size, out->capacity - out->size, format, list);
    va_end(list);
    if (n < 0 || (size_t)n >= out->capacity - out->size)
        out->overflow = true;
    else
        out->size += (size_t)n;
}

void gpu_pointwise_init(gpu_pointwise *pointwise, const gpu_plan *plan, partita_dtype type) {
    const gpu_operand *out = &plan->node->outputs[0];
    memset(pointwise, 0, sizeof(*pointwise));
    pointwise->rank = out->rank;
    memcpy(pointwise->dims, out->dims, sizeof(out->dims));
    pointwise->type = type;
    pointwise->stored = gpu_type_of(out->dtype)->stored;
    pointwise->result = gpu_ref_out(plan, 0);
}

void gpu_pointwise_add(gpu_pointwise *pointwise, const char *name, const gpu_operand *operand, gpu_ref ref,
                       const char *computed) {
    gpu_variable *variable = &pointwise->variables[pointwise->count++];
    const gpu_type *type = gpu_type_of(operand->dtype);
    int64_t strides[GPU_MAX_RANK];
    variable->name = name;
    variable->stored = computed && strcmp(computed, "word") == 0 ? gpu_word_of(type->bytes) : type->stored;
    variable->computed = !computed ? type->computed : strcmp(computed, "word") == 0 ? variable->stored : computed;
    variable->ref = ref;
    variable->elements = gpu_elements(operand);
    gpu_strides(operand->dims, operand->rank, strides);
    int32_t shift = pointwise->rank - operand->rank;
    for (int32_t d = 0; d < pointwise->rank; d++) {
        variable->strides[d] = d < shift || operand->dims[d - shift] == 1 ? 0 : strides[d - shift];
    }
}

/* How each variable is read. */
enum { READ_WHOLE, READ_ONE, READ_STRIDED };

static uint32_t modes_choose(const gpu_pointwise *pointwise, int64_t n, uint32_t *modes) {
    uint32_t strided = 0;
    for (uint32_t i = 0; i < pointwise->count; i++) {
        const gpu_variable *variable = &pointwise->variables[i];
        modes[i] = variable->elements == n ? READ_WHOLE : variable->elements == 1 ? READ_ONE : READ_STRIDED;
        strided += modes[i] == READ_STRIDED;
    }
    return strided;
}

/* The text: declarations, indices, the expression. `base` is the first param of the strides. */
static void text_write(writer *out, const gpu_pointwise *pointwise, const uint32_t *modes, uint32_t strided,
                       int32_t rank, uint32_t base) {
    put(out, "KERNEL%u(pointwise", pointwise->count + 1);
    for (uint32_t i = 0; i < pointwise->count; i++) {
        put(out, ", IN(%u, %s, b%u)", i, pointwise->variables[i].stored, i);
    }
    put(out, ", OUT(%u, %s, result))\nu32 i = LINEAR_ID;\nif (i < P(0)) {\n", pointwise->count, pointwise->stored);
    if (strided > 0) {
        uint32_t extents = base + strided * (uint32_t)rank, k = 0;
        put(out, "u32 rest = i;\nu32 next;\nu32 c;\n");
        for (uint32_t s = 0; s < strided; s++) put(out, "u32 at%u = 0u;\n", s);
        for (int32_t d = rank - 1; d > 0; d--) {
            put(out, "next = QUOTIENT(rest, %u, %d);\nc = rest - next * EXTENT(%u, %d);\n", extents, d, extents, d);
            for (uint32_t s = 0; s < strided; s++) put(out, "at%u += c * P(%u);\n", s, base + s * rank + d);
            put(out, "rest = next;\n");
        }
        for (uint32_t s = 0; s < strided; s++) put(out, "at%u += rest * P(%u);\n", s, base + s * rank);
        for (uint32_t i = 0; i < pointwise->count; i++) {
            if (modes[i] == READ_STRIDED) {
                put(out, "%s %s = CAST(%s, LOAD(b%u, at%u));\n", pointwise->variables[i].computed,
                    pointwise->variables[i].name, pointwise->variables[i].computed, i, k++);
            }
        }
    }
    for (uint32_t i = 0; i < pointwise->count; i++) {
        if (modes[i] == READ_STRIDED) continue;
        put(out, "%s %s = CAST(%s, LOAD(b%u, %s));\n", pointwise->variables[i].computed, pointwise->variables[i].name,
            pointwise->variables[i].computed, i, modes[i] == READ_WHOLE ? "i" : "0u");
    }
    put(out, "STORE(result, i, CAST(%s, %s));\n}\nKERNEL_END\n", pointwise->stored, pointwise->expression);
}

partita_status gpu_emit_pointwise(gpu_plan *plan, const gpu_pointwise *pointwise) {
    gpu_call call;
    char body[4096];
    writer out = {body, 0, sizeof(body), false};
    uint32_t modes[GPU_MAX_BINDINGS];
    int64_t dims[GPU_MAX_RANK], strides[GPU_MAX_BINDINGS][GPU_MAX_RANK], *lists[GPU_MAX_BINDINGS], n = 1;
    for (int32_t d = 0; d < pointwise->rank; d++) n *= pointwise->dims[d];
    uint32_t strided = modes_choose(pointwise, n, modes), k = 0;
    int32_t rank = pointwise->rank;
    memcpy(dims, pointwise->dims, sizeof(dims));
    for (uint32_t i = 0; i < pointwise->count; i++) {
        if (modes[i] != READ_STRIDED) continue;
        memcpy(strides[k], pointwise->variables[i].strides, sizeof(strides[k]));
        lists[k] = strides[k];
        k++;
    }
    gpu_strides(pointwise->dims, rank, strides[k]);
    lists[k] = strides[k]; /* the result's own, so that merging keeps its order */
    rank = gpu_collapse(dims, lists, (int32_t)strided + 1, rank);
    gpu_call_init(&call, "pointwise");
    if (pointwise->type != PARTITA_UNDEFINED) gpu_define_type(&call, pointwise->type);
    if (pointwise->scalar_count > 0) gpu_define_text(&call, "P0", "PF(1)");
    if (pointwise->scalar_count > 1) gpu_define_text(&call, "P1", "PF(2)");
    if (strided > 0) gpu_define(&call, "RANK", rank);
    text_write(&out, pointwise, modes, strided, rank, 1 + pointwise->scalar_count);
    if (out.overflow) return gpu_fail(plan->device->host, PARTITA_INTERNAL, "generated kernel is too long");
    call.body = body;
    for (uint32_t i = 0; i < pointwise->count; i++) gpu_bind(&call, pointwise->variables[i].ref);
    gpu_bind(&call, pointwise->result);
    gpu_param(&call, n);
    for (uint32_t s = 0; s < pointwise->scalar_count; s++) gpu_param_float(&call, pointwise->scalars[s]);
    for (uint32_t s = 0; s < strided; s++) {
        for (int32_t d = 0; d < rank; d++) gpu_param(&call, strides[s][d]);
    }
    for (int32_t d = 1; d < rank && strided > 0; d++) {
        if (rank <= 4)
            gpu_param_divisor(&call, dims[d]);
        else
            gpu_param(&call, dims[d]);
    }
    gpu_grid_linear(plan->device, &call, (uint64_t)n, 256 <= plan->device->caps.max_group ? 256 : 64);
    return gpu_emit(plan, &call);
}
