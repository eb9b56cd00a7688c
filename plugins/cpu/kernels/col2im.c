/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Col2Im: blocks of columns are added where they came from, in any number of spatial dims. An item is one plane of the
 * image, summed in double; of bools that is whether any is true.
 */
#include "cpu/kernels/support.h"

#define CHUNK 256

typedef struct col2im_state {
    cpu_ints strides, pads, dilations;
} col2im_state;

typedef struct col2im_plan {
    uint32_t rank; /* spatial */
    int64_t image[CPU_MAX_RANK], block[CPU_MAX_RANK], steps[CPU_MAX_RANK];
    int64_t stride[CPU_MAX_RANK], pad[CPU_MAX_RANK], dilation[CPU_MAX_RANK];
    uint64_t pixels, taps, columns;
} col2im_plan;

static partita_status col2im_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    col2im_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    partita_status status = cpu_ints_attr(node, host, "strides", &state->strides);
    if (status == PARTITA_OK) status = cpu_ints_attr(node, host, "pads", &state->pads);
    if (status == PARTITA_OK) status = cpu_ints_attr(node, host, "dilations", &state->dilations);
    return status;
}

static partita_status plan_init(const cpu_call *call, col2im_plan *p) {
    const col2im_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    cpu_ints image, block;
    partita_status status = cpu_ints_input(call, 1, &image);
    if (status == PARTITA_OK) status = cpu_ints_input(call, 2, &block);
    if (status != PARTITA_OK) return status;
    uint32_t n = image.count;
    if (n == 0 || n + 2 > CPU_MAX_RANK || block.count != n || in->rank != 3 ||
        (state->strides.count != 0 && state->strides.count != n) ||
        (state->pads.count != 0 && state->pads.count != 2 * n) ||
        (state->dilations.count != 0 && state->dilations.count != n))
        return cpu_fail(call->host, PARTITA_BAD_INPUT,
                        "image_shape, block_shape and attributes have different lengths");
    *p = (col2im_plan){.rank = n, .pixels = 1, .taps = 1, .columns = 1};
    for (uint32_t d = 0; d < n; d++) {
        p->image[d] = image.at[d];
        p->block[d] = block.at[d];
        p->stride[d] = state->strides.count > 0 ? state->strides.at[d] : 1;
        p->dilation[d] = state->dilations.count > 0 ? state->dilations.at[d] : 1;
        p->pad[d] = state->pads.count > 0 ? state->pads.at[d] : 0;
        int64_t after = state->pads.count > 0 ? state->pads.at[n + d] : 0, limit = INT32_MAX;
        if (p->image[d] < 1 || p->block[d] < 1 || p->stride[d] < 1 || p->dilation[d] < 1 || p->image[d] > limit ||
            p->block[d] > limit || p->dilation[d] > limit || p->pad[d] > limit || after > limit)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "spatial dim %u is impossible", d);
        int64_t room = p->image[d] + p->pad[d] + after - p->dilation[d] * (p->block[d] - 1) - 1;
        p->steps[d] = room < 0 ? 0 : room / p->stride[d] + 1;
        if (__builtin_mul_overflow(p->pixels, (uint64_t)p->image[d], &p->pixels) ||
            __builtin_mul_overflow(p->taps, (uint64_t)p->block[d], &p->taps) ||
            __builtin_mul_overflow(p->columns, (uint64_t)p->steps[d], &p->columns))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "the image is too large");
    }
    if ((uint64_t)in->dims[1] % p->taps != 0 || (uint64_t)in->dims[2] != p->columns)
        return cpu_fail(call->host, PARTITA_BAD_INPUT,
                        "input is [%lld, %lld, %lld], the image needs [., . * %llu, %llu]", (long long)in->dims[0],
                        (long long)in->dims[1], (long long)in->dims[2], (unsigned long long)p->taps,
                        (unsigned long long)p->columns);
    int64_t dims[CPU_MAX_RANK] = {in->dims[0], in->dims[1] / (int64_t)p->taps};
    memcpy(dims + 2, p->image, n * sizeof(*dims));
    return cpu_expect(call, 0, n + 2, dims);
}

/* Pixel of column `column` under tap `tap`, -1 in the padding. */
static int64_t pixel_of(const col2im_plan *p, uint64_t tap, uint64_t column) {
    int64_t pixel = 0, scale = 1;
    for (uint32_t d = p->rank; d-- > 0;) {
        int64_t t = (int64_t)(tap % (uint64_t)p->block[d]), c = (int64_t)(column % (uint64_t)p->steps[d]);
        int64_t at = c * p->stride[d] + t * p->dilation[d] - p->pad[d];
        if (at < 0 || at >= p->image[d]) return -1;
        pixel += at * scale;
        scale *= p->image[d];
        tap /= (uint64_t)p->block[d];
        column /= (uint64_t)p->steps[d];
    }
    return pixel;
}

static uint64_t col2im_items(const cpu_call *call) {
    const cpu_tensor *out = &call->out[0];
    return out->rank < 2 || out->count == 0 ? 1 : (uint64_t)out->dims[0] * (uint64_t)out->dims[1];
}

static partita_status col2im_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    col2im_plan p;
    double chunk[2 * CHUNK];
    partita_dtype part;
    partita_status status = plan_init(call, &p);
    if (status != PARTITA_OK || out->count == 0) return status;
    uint64_t parts = cpu_parts(out->dtype, &part), size = p.taps * p.columns;
    double *plane = cpu_alloc(call->host, p.pixels * parts * sizeof(*plane));
    if (plane == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint64_t item = begin; item < end; item++) {
        memset(plane, 0, p.pixels * parts * sizeof(*plane));
        for (uint64_t e = 0; e < size; e += CHUNK) {
            uint64_t n = size - e < CHUNK ? size - e : CHUNK;
            cpu_load_doubles(part, in->data, (item * size + e) * parts, n * parts, chunk);
            for (uint64_t i = 0; i < n; i++) {
                int64_t pixel = pixel_of(&p, (e + i) / p.columns, (e + i) % p.columns);
                for (uint64_t k = 0; pixel >= 0 && k < parts; k++)
                    plane[(uint64_t)pixel * parts + k] += chunk[i * parts + k];
            }
        }
        cpu_store_doubles(part, out->data, item * p.pixels * parts, p.pixels * parts, plane);
    }
    cpu_free(call->host, plane);
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_col2im[] = {
    {.op = "Col2Im",
     .domain = "",
     .since = 18,
     .until = CPU_NEWEST,
     .types = CPU_NUMBERS | CPU_TYPE(BOOL) | CPU_TYPE(COMPLEX64) | CPU_TYPE(COMPLEX128),
     .reference = true,
     .prepare = col2im_prepare,
     .release = cpu_free,
     .items = col2im_items,
     .run = col2im_run},
};
const uint32_t cpu_kernels_col2im_count = sizeof(cpu_kernels_col2im) / sizeof(cpu_kernels_col2im[0]);
