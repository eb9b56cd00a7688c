/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The generator of element-wise kernels: a chain of expressions over broadcast inputs. An input is read at the result's
 * own index when it has as many elements, at 0 when it has one, else through strides; the text says which, so that the
 * common cases divide nothing.
 */
#include "gpu/chain.h"
#include "gpu/executable.h"
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

/* Params of a launch: the index space collapsed, and strides of the variables that need them. */
typedef struct layout {
    int32_t rank;
    uint32_t strided, scalars;
    int64_t dims[GPU_MAX_RANK];
    int64_t strides[GPU_MAX_BINDINGS][GPU_MAX_RANK];
} layout;

/* plan NULL: only to know what fits. */
static void layout_compute(gpu_plan *plan, const gpu_chain *chain, layout *out) {
    int64_t *lists[GPU_MAX_BINDINGS];
    out->strided = out->scalars = 0;
    memcpy(out->dims, chain->dims, sizeof(out->dims));
    for (uint32_t i = 0; i < chain->count; i++) {
        if (chain->variables[i].mode != GPU_READ_STRIDED) continue;
        memcpy(out->strides[out->strided], chain->variables[i].strides, sizeof(out->strides[0]));
        lists[out->strided] = out->strides[out->strided];
        out->strided++;
    }
    for (uint32_t t = 0; t < chain->term_count; t++) out->scalars += chain->terms[t].scalar_count;
    /* the result's own strides, so that merging axes keeps its order */
    gpu_strides(chain->dims, chain->rank, out->strides[out->strided]);
    lists[out->strided] = out->strides[out->strided];
    out->rank = gpu_collapse(plan, out->dims, lists, (int32_t)out->strided + 1, chain->rank);
}

bool gpu_chain_fits(const gpu_device *device, const gpu_chain *chain) {
    layout at;
    if (device->caps.max_bindings && chain->count + 1 > device->caps.max_bindings) return false;
    layout_compute(NULL, chain, &at);
    uint32_t rank = (uint32_t)at.rank, extents = (rank - 1) * (rank <= 4 ? 3u : 1u);
    return 1 + at.scalars + (at.strided ? at.strided * rank + extents : 0) <= GPU_MAX_PARAMS;
}

/* Where strided variables are read, as at0, at1, .. `base`: first param of the strides. */
static void indices_write(writer *out, const layout *at, uint32_t base) {
    uint32_t rank = (uint32_t)at->rank, extents = base + at->strided * rank;
    put(out, "u32 rest = i;\nu32 next;\nu32 c;\n");
    for (uint32_t s = 0; s < at->strided; s++) put(out, "u32 at%u = 0u;\n", s);
    for (uint32_t d = rank - 1; d > 0; d--) {
        put(out, "next = QUOTIENT(rest, %u, %u);\nc = rest - next * EXTENT(%u, %u);\n", extents, d, extents, d);
        for (uint32_t s = 0; s < at->strided; s++) put(out, "at%u += c * P(%u);\n", s, base + s * rank + d);
        put(out, "rest = next;\n");
    }
    for (uint32_t s = 0; s < at->strided; s++) put(out, "at%u += rest * P(%u);\n", s, base + s * rank);
}

static void term_write(writer *out, const gpu_chain *chain, uint32_t t, uint32_t *scalar) {
    const gpu_term *term = &chain->terms[t];
    bool last = t + 1 == chain->term_count;
    for (uint32_t s = 0; s < term->scalar_count; s++) {
        put(out, "#undef P%u\n#define P%u PF(%u)\n", s, s, (*scalar)++);
    }
    if (!last) put(out, "f32 t%u;\n", t);
    put(out, "{\n");
    for (uint32_t r = 0; r < term->read_count; r++) {
        const gpu_read *read = &term->reads[r];
        const char *type = read->term ? "f32" : chain->variables[read->index].computed;
        put(out, "%s %s = %s%u;\n", type, read->name, read->term ? "t" : "v", read->index);
    }
    if (last)
        put(out, "STORE(result, i, CAST(%s, %s));\n}\n", chain->stored, term->expression);
    else
        put(out, "t%u = CAST(f32, %s);\n}\n", t, term->expression);
}

static void text_write(writer *out, const gpu_chain *chain, const layout *at) {
    uint32_t strided = 0, scalar = 1;
    put(out, "KERNEL%u(pointwise", chain->count + 1);
    for (uint32_t i = 0; i < chain->count; i++) put(out, ", IN(%u, %s, b%u)", i, chain->variables[i].stored, i);
    put(out, ", OUT(%u, %s, result))\nu32 i = LINEAR_ID;\nif (i < P(0)) {\n", chain->count, chain->stored);
    if (at->strided > 0) indices_write(out, at, 1 + at->scalars);
    for (uint32_t i = 0; i < chain->count; i++) {
        const char *type = chain->variables[i].computed;
        uint32_t mode = chain->variables[i].mode;
        if (mode == GPU_READ_STRIDED)
            put(out, "%s v%u = CAST(%s, LOAD(b%u, at%u));\n", type, i, type, i, strided++);
        else
            put(out, "%s v%u = CAST(%s, LOAD(b%u, %s));\n", type, i, type, i, mode == GPU_READ_WHOLE ? "i" : "0u");
    }
    for (uint32_t t = 0; t < chain->term_count; t++) term_write(out, chain, t, &scalar);
    put(out, "}\nKERNEL_END\n");
}

partita_status gpu_chain_emit(gpu_plan *plan, const gpu_chain *chain) {
    gpu_device *device = plan->device;
    gpu_call call;
    layout at;
    char body[8192];
    writer out = {body, 0, sizeof(body), false};
    layout_compute(plan, chain, &at);
    gpu_call_init(&call, "pointwise");
    if (chain->type != PARTITA_UNDEFINED) gpu_define_type(&call, chain->type);
    if (at.strided > 0) gpu_define(&call, "RANK", at.rank);
    text_write(&out, chain, &at);
    if (out.overflow) return gpu_fail(device->host, PARTITA_INTERNAL, "generated kernel is too long");
    call.body = body;
    for (uint32_t i = 0; i < chain->count; i++) gpu_bind(&call, chain->variables[i].ref);
    gpu_bind(&call, chain->result);
    gpu_param(&call, chain->elements);
    for (uint32_t t = 0; t < chain->term_count; t++) {
        for (uint32_t s = 0; s < chain->terms[t].scalar_count; s++) gpu_param_float(&call, chain->terms[t].scalars[s]);
    }
    for (uint32_t s = 0; s < at.strided; s++) {
        for (int32_t d = 0; d < at.rank; d++) gpu_param(&call, at.strides[s][d]);
    }
    for (int32_t d = 1; d < at.rank && at.strided > 0; d++) {
        if (at.rank <= 4)
            gpu_param_divisor(&call, at.dims[d]);
        else
            gpu_param(&call, at.dims[d]);
    }
    gpu_grid_linear(device, &call, (uint64_t)chain->elements, 256 <= device->caps.max_group ? 256 : 64);
    call.fused = chain->term_count > 1;
    return gpu_emit(plan, &call);
}
