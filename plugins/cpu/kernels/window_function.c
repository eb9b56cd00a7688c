/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HannWindow, HammingWindow, BlackmanWindow and MelWeightMatrix: tables that are made of a few numbers, in double.
 */
#include "cpu/kernels/support.h"

/* A window is a[2] cos(2x) - a[1] cos(x) + a[0], x going once around; summed in this order its peak is 1. */
typedef struct window_shape {
    const char *op;
    double a[3];
} window_shape;
static const window_shape window_shapes[] = {
    {"HannWindow", {0.5, 0.5, 0}},
    {"HammingWindow", {25.0 / 46, 21.0 / 46, 0}},
    {"BlackmanWindow", {0.42, 0.5, 0.08}},
};

typedef struct window_state {
    const window_shape *shape;
    bool periodic;
} window_state;

static partita_status window_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    window_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    state->periodic = cpu_attr_int(node, "periodic", 1) != 0;
    for (size_t i = 0; i < sizeof(window_shapes) / sizeof(window_shapes[0]); i++)
        if (ptp_str_is(ptp_ref_str(node->block, node->row.op), window_shapes[i].op)) state->shape = &window_shapes[i];
    return PARTITA_OK;
}

/* A symmetric window of one point is 0 / 0, as the operator's function has it. */
static partita_status window_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const window_state *state = call->state;
    const cpu_tensor *out = &call->out[0];
    const double *a = state->shape->a;
    uint64_t first, last;
    cpu_ints size;
    partita_status status = cpu_ints_input(call, 0, &size);
    if (status != PARTITA_OK) return status;
    if (size.count != 1 || size.at[0] < 0) return cpu_fail(call->host, PARTITA_BAD_INPUT, "size must be one length");
    status = cpu_expect(call, 0, 1, size.at);
    if (status != PARTITA_OK) return status;
    cpu_item_range(out, begin, end, &first, &last);
    double around = (double)(state->periodic ? out->count : out->count - 1);
    for (uint64_t i = first; i < last; i++) {
        double x = 6.283185307179586 * (double)i / around, value = a[2] * cos(2 * x) - a[1] * cos(x) + a[0];
        cpu_store_doubles(out->dtype, out->data, i, 1, &value);
    }
    return PARTITA_OK;
}

/* ---- MelWeightMatrix ---- */

static double mel_of(double hertz) { return 2595 * log1p(hertz / 700) / log(10); }
static double hertz_of(double mel) { return 700 * expm1(mel / 2595 * log(10)); }

typedef struct mel {
    int64_t bands, length, rate;
    double low, high;
} mel;

static partita_status mel_inputs(const cpu_call *call, mel *out) {
    int64_t *numbers[3] = {&out->bands, &out->length, &out->rate};
    double *edges[2] = {&out->low, &out->high};
    for (uint32_t i = 0; i < 3; i++) {
        cpu_ints given;
        partita_status status = cpu_ints_input(call, i, &given);
        if (status != PARTITA_OK) return status;
        if (given.count != 1 || given.at[0] < 0)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u must be one number, not negative", i);
        *numbers[i] = given.at[0];
    }
    for (uint32_t i = 0; i < 2; i++) {
        const cpu_tensor *edge = &call->in[3 + i];
        if (edge->count != 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u must be one number", 3 + i);
        cpu_load_doubles(edge->dtype, edge->data, 0, 1, edges[i]);
    }
    if (out->rate < 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "a sample rate of 0");
    return PARTITA_OK;
}

/* The bin of the spectrum where edge `i` of the bands lies, kept where a bin number can be. */
static int64_t mel_bin(const mel *m, int64_t i, int64_t bins) {
    double low = mel_of(m->low), step = (mel_of(m->high) - low) / (double)(m->bands + 2);
    double bin = floor((double)(m->length + 1) * hertz_of((double)i * step + low) / (double)m->rate);
    double most = 4 * (double)bins + 4;
    return !(bin > -most) ? (int64_t)-most : bin > most ? (int64_t)most : (int64_t)bin;
}

static void mel_put(const cpu_tensor *out, int64_t bin, int64_t band, double value) {
    if (bin < 0 || bin >= out->dims[0]) return;
    cpu_store_doubles(out->dtype, out->data, (uint64_t)(bin * out->dims[1] + band), 1, &value);
}

static partita_status mel_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const cpu_tensor *out = &call->out[0];
    mel m;
    partita_status status = mel_inputs(call, &m);
    int64_t dims[2] = {m.length / 2 + 1, m.bands};
    if (status == PARTITA_OK) status = cpu_expect(call, 0, 2, dims);
    if (status != PARTITA_OK) return status;
    memset(out->data, 0, out->bytes);
    for (int64_t band = 0; band < m.bands; band++) {
        int64_t left = mel_bin(&m, band, dims[0]), peak = mel_bin(&m, band + 1, dims[0]),
                right = mel_bin(&m, band + 2, dims[0]);
        if (left == peak) mel_put(out, peak, band, 1);
        for (int64_t j = left; left != peak && j <= peak; j++)
            mel_put(out, j, band, (double)(j - left) / (double)(peak - left));
        for (int64_t j = peak; j < right; j++) mel_put(out, j, band, (double)(right - j) / (double)(right - peak));
    }
    return PARTITA_OK;
}

#define WINDOW_ROW(name, prepares, releases, item, runs)                                                               \
    {                                                                                                                  \
        .op = name, .domain = "", .since = 17, .until = CPU_NEWEST, .types = CPU_INDEX, .reference = true,             \
        .prepare = prepares, .release = releases, .items = item, .run = runs                                           \
    }
const cpu_kernel cpu_kernels_window_function[] = {
    WINDOW_ROW("HannWindow", window_prepare, cpu_free, cpu_items_elements, window_run),
    WINDOW_ROW("HammingWindow", window_prepare, cpu_free, cpu_items_elements, window_run),
    WINDOW_ROW("BlackmanWindow", window_prepare, cpu_free, cpu_items_elements, window_run),
    WINDOW_ROW("MelWeightMatrix", NULL, NULL, NULL, mel_run),
};
const uint32_t cpu_kernels_window_function_count =
    sizeof(cpu_kernels_window_function) / sizeof(cpu_kernels_window_function[0]);
