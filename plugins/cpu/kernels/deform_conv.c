/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DeformConv over one to three spatial dims, in double. For each place of the output its taps are sampled once, from
 * between the elements and with 0 outside the input, and then weighed for all features.
 */
#include "cpu/kernels/conv.h"
#include "cpu/kernels/reference.h"

#define CORNERS (1 << CPU_SPATIAL)

typedef struct deform_state {
    cpu_window_attrs window;
    int64_t offset_group;
} deform_state;

typedef struct deform {
    cpu_conv conv;
    int64_t offset_group, group_channels; /* groups of offsets and the channels of one */
} deform;

/* Where a tap lies: its corners inside the input and their weights. */
typedef struct tap {
    uint32_t corners;
    int64_t at[CORNERS];
    double weight[CORNERS];
} tap;

static partita_status deform_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    deform_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    state->offset_group = cpu_attr_int(node, "offset_group", 1);
    return cpu_window_attrs_read(node, host, &state->window);
}

static uint64_t deform_scratch(const cpu_call *call) {
    const cpu_tensor *w = &call->in[1];
    uint64_t taps = w->rank > 2 ? cpu_extent(w->dims, 2, w->rank) : 1;
    return cpu_doubles_scratch(call) + sizeof(double) * (uint64_t)call->in[0].dims[1] * taps;
}

static bool has_dims(const cpu_tensor *tensor, const cpu_tensor *y, int64_t channels) {
    if (tensor->rank != y->rank || tensor->dims[0] != y->dims[0] || tensor->dims[1] != channels) return false;
    return memcmp(tensor->dims + 2, y->dims + 2, (y->rank - 2) * sizeof(*y->dims)) == 0;
}

static partita_status deform_make(const cpu_call *call, deform *d) {
    const deform_state *state = call->state;
    const cpu_tensor *y = &call->out[0];
    partita_status status = cpu_conv_make(call, &state->window, &call->in[0], &call->in[1], y, &d->conv);
    if (status != PARTITA_OK) return status;
    const cpu_window *g = &d->conv.window;
    d->offset_group = state->offset_group;
    if (d->offset_group < 1 || d->offset_group > d->conv.channels || d->conv.channels % d->offset_group != 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%lld groups of offsets for %lld channels",
                        (long long)d->offset_group, (long long)d->conv.channels);
    d->group_channels = d->conv.channels / d->offset_group;
    int64_t taps = d->offset_group * g->kernel_size;
    bool fits = has_dims(&call->in[2], y, taps * g->spatial);
    fits = fits && (!cpu_has_input(call, 3) || call->in[3].count == (uint64_t)d->conv.features);
    fits = fits && (!cpu_has_input(call, 4) || has_dims(&call->in[4], y, taps));
    return fits ? PARTITA_OK : cpu_fail(call->host, PARTITA_BAD_INPUT, "offset, B or mask do not fit the output");
}

/* The corners around a point. A dim that the tensors do not have has one element, at 0. */
static void tap_make(const cpu_window *g, const double *point, tap *out) {
    int64_t base[CPU_SPATIAL];
    double part[CPU_SPATIAL];
    out->corners = 0;
    for (uint32_t i = 0; i < CPU_SPATIAL; i++) {
        if (!(point[i] > -1 && point[i] < (double)g->in[i])) return;
        base[i] = (int64_t)floor(point[i]);
        part[i] = point[i] - (double)base[i];
    }
    for (uint32_t corner = 0; corner < CORNERS; corner++) {
        int64_t at = 0;
        double weight = 1;
        bool inside = true;
        for (uint32_t i = 0; i < CPU_SPATIAL; i++) {
            bool far = (corner >> i & 1u) != 0;
            int64_t c = base[i] + far;
            inside = inside && c >= 0 && c < g->in[i];
            at = at * g->in[i] + c;
            weight *= far ? part[i] : 1 - part[i];
        }
        if (!inside || weight == 0) continue;
        out->at[out->corners] = at;
        out->weight[out->corners++] = weight;
    }
}

static void place_of(const int64_t *dims, int64_t index, int64_t *at) {
    for (uint32_t i = CPU_SPATIAL; i-- > 0; index /= dims[i]) at[i] = index % dims[i];
}

/* All channels' taps at output place `place` of image `n`, to `taps` [channels, kernel]. */
static void place_sample(const deform *d, const cpu_doubles *doubles, int64_t n, int64_t place, double *taps) {
    const cpu_window *g = &d->conv.window;
    int64_t at[CPU_SPATIAL], k_at[CPU_SPATIAL], skip = CPU_SPATIAL - (int64_t)g->spatial;
    place_of(g->out, place, at);
    for (int64_t i = 0; i < d->offset_group * g->kernel_size; i++) {
        int64_t group = i / g->kernel_size, k = i % g->kernel_size, row = n * d->offset_group * g->kernel_size + i;
        const double *offset = doubles->in[2] + row * g->spatial * g->out_size + place;
        double mask = doubles->in[4] != NULL ? doubles->in[4][row * g->out_size + place] : 1, point[CPU_SPATIAL];
        tap t;
        place_of(g->kernel, k, k_at);
        for (int64_t s = 0; s < CPU_SPATIAL; s++)
            point[s] = (double)(at[s] * g->stride[s] - g->pad[s] + k_at[s] * g->dilation[s]) +
                       (s < skip ? 0 : offset[(s - skip) * g->out_size]);
        tap_make(g, point, &t);
        for (int64_t c = group * d->group_channels; c < (group + 1) * d->group_channels; c++) {
            const double *x = doubles->in[0] + (n * d->conv.channels + c) * g->in_size;
            double sum = 0;
            for (uint32_t j = 0; j < t.corners; j++) sum += t.weight[j] * x[t.at[j]];
            taps[c * g->kernel_size + k] = sum * mask;
        }
    }
}

static partita_status deform_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    deform d;
    cpu_doubles doubles;
    partita_status status = deform_make(call, &d);
    if (status != PARTITA_OK) return status;
    const cpu_conv *conv = &d.conv;
    int64_t out_size = conv->window.out_size, length = conv->group_channels * conv->window.kernel_size;
    double *taps = (double *)call->scratch + (cpu_doubles_scratch(call) / sizeof(double));
    cpu_doubles_load(call, &doubles);
    for (int64_t i = 0; i < conv->images * out_size; i++) {
        int64_t n = i / out_size, place = i % out_size;
        place_sample(&d, &doubles, n, place, taps);
        for (int64_t m = 0; m < conv->features; m++) {
            const double *x = taps + m / conv->group_features * length, *w = doubles.in[1] + m * length;
            double sum = doubles.in[3] != NULL ? doubles.in[3][m] : 0;
            for (int64_t j = 0; j < length; j++) sum += x[j] * w[j];
            doubles.out[0][(n * conv->features + m) * out_size + place] = sum;
        }
    }
    cpu_doubles_store(call, &doubles);
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_deform_conv[] = {{.op = "DeformConv",
                                               .domain = "",
                                               .since = 19,
                                               .until = CPU_NEWEST,
                                               .types = CPU_FLOATS,
                                               .reference = true,
                                               .prepare = deform_prepare,
                                               .release = cpu_free,
                                               .scratch = deform_scratch,
                                               .run = deform_run}};
const uint32_t cpu_kernels_deform_conv_count = sizeof(cpu_kernels_deform_conv) / sizeof(cpu_kernels_deform_conv[0]);
