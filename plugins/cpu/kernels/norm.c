/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference normalisations: batch, instance, layer, group, RMS, LRN, mean-variance and Lp, in double.
 */
#include "cpu/kernels/norm.h"
#include "cpu/kernels/reference.h"

partita_status cpu_norm_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    cpu_norm_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = NULL;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->epsilon = cpu_attr_float(node, "epsilon", 1e-5f);
    state->momentum = cpu_attr_float(node, "momentum", 0.9f);
    state->axis = cpu_attr_int(node, "axis", -1);
    state->groups = cpu_attr_int(node, "num_groups", 1);
    state->training = cpu_attr_int(node, "training_mode", 0) != 0;
    state->alpha = cpu_attr_float(node, "alpha", 1e-4f);
    state->beta = cpu_attr_float(node, "beta", 0.75f);
    state->bias = cpu_attr_float(node, "bias", 1.0f);
    state->size = cpu_attr_int(node, "size", 1);
    state->p = cpu_attr_int(node, "p", 2);
    partita_status status = cpu_ints_attr(node, host, "axes", &state->axes);
    if (status == PARTITA_OK)
        *out_state = state;
    else
        cpu_free(host, state);
    return status;
}

void cpu_norm_release(const ptp_host *host, void *state) { cpu_free(host, state); }

bool cpu_norm_batch_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row value;
    if (cpu_attr_int(node, "spatial", 1) == 0)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "spatial is 0: statistics per element");
    for (uint32_t i = 1; node->row.since < 14 && i < node->row.outputs.count; i++)
        if (cpu_node_output(node, i, &value))
            return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "output %u: training in version %d", i,
                              node->row.since);
    return true;
}

partita_status cpu_norm_channels(const cpu_call *call, uint32_t first, uint32_t count, uint64_t channels) {
    for (uint32_t i = first; i < first + count; i++)
        if (cpu_has_input(call, i) && call->in[i].count != channels)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u has %llu elements for %llu channels", i,
                            (unsigned long long)call->in[i].count, (unsigned long long)channels);
    return PARTITA_OK;
}

/* Mean and variance of elements x[at + i * stride], i < n. */
static void moments(const double *x, uint64_t n, double *out_mean, double *out_variance) {
    double sum = 0, squares = 0;
    for (uint64_t i = 0; i < n; i++) sum += x[i];
    *out_mean = n > 0 ? sum / (double)n : 0;
    for (uint64_t i = 0; i < n; i++) squares += (x[i] - *out_mean) * (x[i] - *out_mean);
    *out_variance = n > 0 ? squares / (double)n : 0;
}

/* Statistics of each channel over images and positions, and the running ones moved towards them. */
static void batch_train(const cpu_norm_state *state, const cpu_doubles *d, uint64_t images, uint64_t channels,
                        uint64_t size, uint64_t c, double *out_mean, double *out_variance) {
    double sum = 0, squares = 0, n = (double)(images * size);
    for (uint64_t i = 0; i < images * size; i++) sum += d->in[0][(i / size * channels + c) * size + i % size];
    *out_mean = sum / n;
    for (uint64_t i = 0; i < images * size; i++) {
        double off = d->in[0][(i / size * channels + c) * size + i % size] - *out_mean;
        squares += off * off;
    }
    *out_variance = squares / n;
    double keep = (double)state->momentum;
    if (d->out[1] != NULL) d->out[1][c] = d->in[3][c] * keep + *out_mean * (1 - keep);
    if (d->out[2] != NULL) d->out[2][c] = d->in[4][c] * keep + *out_variance * (1 - keep);
}

static partita_status batch_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    uint64_t images = x->rank > 0 ? (uint64_t)x->dims[0] : 1, channels = x->rank > 1 ? (uint64_t)x->dims[1] : 1;
    uint64_t size = cpu_extent(x->dims, 2, x->rank);
    partita_status status = cpu_norm_channels(call, 1, 4, channels);
    if (status != PARTITA_OK) return status;
    cpu_doubles_load(call, &d);
    for (uint64_t c = 0; c < channels; c++) {
        double mean = d.in[3][c], variance = d.in[4][c];
        if (state->training) batch_train(state, &d, images, channels, size, c, &mean, &variance);
        double scale = d.in[1][c] / sqrt(variance + (double)state->epsilon);
        for (uint64_t i = 0; i < images * size; i++) {
            uint64_t at = (i / size * channels + c) * size + i % size;
            d.out[0][at] = (d.in[0][at] - mean) * scale + d.in[2][c];
        }
    }
    cpu_doubles_store(call, &d);
    return PARTITA_OK;
}

static partita_status instance_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    if (x->rank < 2) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u has no channels", x->rank);
    uint64_t planes = (uint64_t)(x->dims[0] * x->dims[1]), channels = (uint64_t)x->dims[1];
    uint64_t size = cpu_extent(x->dims, 2, x->rank);
    partita_status status = cpu_norm_channels(call, 1, 2, channels);
    if (status != PARTITA_OK) return status;
    cpu_doubles_load(call, &d);
    for (uint64_t p = 0; p < planes; p++) {
        double mean, variance;
        moments(d.in[0] + p * size, size, &mean, &variance);
        double scale = d.in[1][p % channels] / sqrt(variance + (double)state->epsilon);
        for (uint64_t i = 0; i < size; i++)
            d.out[0][p * size + i] = (d.in[0][p * size + i] - mean) * scale + d.in[2][p % channels];
    }
    cpu_doubles_store(call, &d);
    return PARTITA_OK;
}

partita_status cpu_norm_rows(const cpu_call *call, uint64_t *out_rows, uint64_t *out_size) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    uint32_t axis;
    partita_status status = cpu_axis(call, state->axis, x->rank, &axis);
    if (status != PARTITA_OK) return status;
    *out_rows = cpu_extent(x->dims, 0, axis);
    *out_size = cpu_extent(x->dims, axis, x->rank);
    for (uint32_t i = 1; i < call->in_count; i++)
        if (cpu_has_input(call, i) && (call->in[i].count == 0 || *out_size % call->in[i].count != 0))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u does not fit the normalised dims", i);
    return PARTITA_OK;
}

/* Scale and bias may be broadcast over the normalised dims: offset of the element `i` of a row. */
static partita_status broadcast_walk(const cpu_call *call, uint32_t input, cpu_walk *walk) {
    const cpu_tensor *in[1] = {&call->in[input]};
    return cpu_walk_init(call, &call->out[0], in, 1, NULL, walk);
}

static partita_status broadcast_apply(const cpu_call *call, uint32_t input, const double *values, double *y, bool add) {
    cpu_walk walk;
    if (!cpu_has_input(call, input)) return PARTITA_OK;
    partita_status status = broadcast_walk(call, input, &walk);
    if (status != PARTITA_OK) return status;
    cpu_walk_seek(&walk, 0);
    for (uint64_t at = 0; at < call->out[0].count;) {
        uint64_t offset, run = cpu_walk_next(&walk, UINT64_MAX, &offset);
        for (uint64_t i = 0; i < run; i++) {
            double value = values[offset + i * walk.steps[0]];
            if (add)
                y[at + i] += value;
            else
                y[at + i] *= value;
        }
        at += run;
    }
    return PARTITA_OK;
}

static partita_status layer_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    uint64_t rows, size;
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_norm_rows(call, &rows, &size);
    if (status != PARTITA_OK) return status;
    cpu_doubles_load(call, &d);
    for (uint64_t r = 0; r < rows; r++) {
        double mean, variance;
        moments(d.in[0] + r * size, size, &mean, &variance);
        double inverse = 1 / sqrt(variance + (double)state->epsilon);
        for (uint64_t i = 0; i < size; i++) d.out[0][r * size + i] = (d.in[0][r * size + i] - mean) * inverse;
        if (d.out[1] != NULL) d.out[1][r] = mean;
        if (d.out[2] != NULL) d.out[2][r] = inverse;
    }
    status = broadcast_apply(call, 1, d.in[1], d.out[0], false);
    if (status == PARTITA_OK) status = broadcast_apply(call, 2, d.in[2], d.out[0], true);
    if (status == PARTITA_OK) cpu_doubles_store(call, &d);
    return status;
}

static partita_status rms_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    uint64_t rows, size;
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_norm_rows(call, &rows, &size);
    if (status != PARTITA_OK) return status;
    cpu_doubles_load(call, &d);
    for (uint64_t r = 0; r < rows; r++) {
        double squares = 0;
        for (uint64_t i = 0; i < size; i++) squares += d.in[0][r * size + i] * d.in[0][r * size + i];
        double inverse = 1 / sqrt(squares / (double)size + (double)state->epsilon);
        for (uint64_t i = 0; i < size; i++) d.out[0][r * size + i] = d.in[0][r * size + i] * inverse;
    }
    status = broadcast_apply(call, 1, d.in[1], d.out[0], false);
    if (status == PARTITA_OK) cpu_doubles_store(call, &d);
    return status;
}

partita_status cpu_norm_groups(const cpu_call *call, uint64_t *out_channels, uint64_t *out_size) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    if (x->rank < 2 || state->groups < 1 || x->dims[1] % state->groups != 0)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "channels cannot be divided into %lld groups",
                        (long long)state->groups);
    *out_channels = (uint64_t)x->dims[1];
    *out_size = cpu_extent(x->dims, 2, x->rank);
    if (call->in[1].count == call->in[2].count && call->in[1].count == (uint64_t)state->groups) return PARTITA_OK;
    return cpu_norm_channels(call, 1, 2, *out_channels);
}

static partita_status group_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    uint64_t channels, size, groups = (uint64_t)state->groups;
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_norm_groups(call, &channels, &size);
    if (status != PARTITA_OK) return status;
    uint64_t each = channels / groups;
    bool by_group = call->in[1].count == groups;
    cpu_doubles_load(call, &d);
    for (uint64_t g = 0; g < (uint64_t)call->in[0].dims[0] * groups; g++) {
        double mean, variance;
        moments(d.in[0] + g * each * size, each * size, &mean, &variance);
        for (uint64_t i = 0; i < each * size; i++) {
            uint64_t channel = g % groups * each + i / size, at = by_group ? channel / each : channel;
            double off = d.in[0][g * each * size + i] - mean;
            d.out[0][g * each * size + i] = off / sqrt(variance + (double)state->epsilon) * d.in[1][at] + d.in[2][at];
        }
    }
    cpu_doubles_store(call, &d);
    return PARTITA_OK;
}

static partita_status lrn_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    if (x->rank < 2) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u has no channels", x->rank);
    int64_t channels = x->dims[1], size = (int64_t)cpu_extent(x->dims, 2, x->rank);
    cpu_doubles_load(call, &d);
    for (int64_t n = 0; n < x->dims[0]; n++) {
        for (int64_t c = 0; c < channels; c++) {
            int64_t low = c - (state->size - 1) / 2, high = c + state->size / 2;
            if (low < 0) low = 0;
            if (high > channels - 1) high = channels - 1;
            for (int64_t i = 0; i < size; i++) {
                double squares = 0;
                for (int64_t k = low; k <= high; k++) {
                    double value = d.in[0][(n * channels + k) * size + i];
                    squares += value * value;
                }
                double base = (double)state->bias + (double)state->alpha / (double)state->size * squares;
                int64_t at = (n * channels + c) * size + i;
                d.out[0][at] = d.in[0][at] / pow(base, (double)state->beta);
            }
        }
    }
    cpu_doubles_store(call, &d);
    return PARTITA_OK;
}

/* Sums over the axes in `mask` are kept at the reduced position: its index among the kept dims. */
static uint64_t reduced_index(const cpu_tensor *x, uint32_t mask, uint64_t at) {
    uint64_t index = 0, step = 1;
    for (uint32_t d = x->rank; d-- > 0;) {
        uint64_t here = at % (uint64_t)x->dims[d];
        at /= (uint64_t)x->dims[d];
        if ((mask >> d & 1) != 0) continue;
        index += here * step;
        step *= (uint64_t)x->dims[d];
    }
    return index;
}

/* The sums lie behind the doubles in the scratch. */
static uint64_t variance_scratch(const cpu_call *call) {
    return cpu_doubles_scratch(call) + 2 * call->in[0].count * sizeof(double);
}

static partita_status variance_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    uint32_t mask = 0, axis;
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    static const int64_t usual[] = {0, 2, 3};
    uint32_t count = state->axes.given ? state->axes.count : 3;
    for (uint32_t i = 0; i < count; i++) {
        partita_status status = cpu_axis(call, state->axes.given ? state->axes.at[i] : usual[i], x->rank, &axis);
        if (status != PARTITA_OK) return status;
        mask |= 1u << axis;
    }
    cpu_doubles_load(call, &d);
    double *sums = d.out[0] + x->count, *squares = sums + x->count;
    memset(sums, 0, 2 * x->count * sizeof(double));
    uint64_t each = 1;
    for (uint32_t i = 0; i < x->rank; i++)
        if ((mask >> i & 1) != 0) each *= (uint64_t)x->dims[i];
    for (uint64_t i = 0; i < x->count; i++) sums[reduced_index(x, mask, i)] += d.in[0][i] / (double)each;
    for (uint64_t i = 0; i < x->count; i++) {
        uint64_t at = reduced_index(x, mask, i);
        squares[at] += (d.in[0][i] - sums[at]) * (d.in[0][i] - sums[at]) / (double)each;
    }
    for (uint64_t i = 0; i < x->count; i++) {
        uint64_t at = reduced_index(x, mask, i);
        d.out[0][i] = (d.in[0][i] - sums[at]) / (sqrt(squares[at]) + 1e-9);
    }
    cpu_doubles_store(call, &d);
    return PARTITA_OK;
}

static partita_status lp_reference(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    uint32_t axis;
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_axis(call, state->axis, x->rank, &axis);
    if (status != PARTITA_OK) return status;
    uint64_t n = (uint64_t)x->dims[axis], inner = cpu_extent(x->dims, axis + 1, x->rank);
    cpu_doubles_load(call, &d);
    for (uint64_t o = 0; n > 0 && o < x->count / n; o++) {
        const double *from = d.in[0] + o / inner * n * inner + o % inner;
        double *to = d.out[0] + (from - d.in[0]), norm = 0;
        for (uint64_t i = 0; i < n; i++)
            norm += state->p == 1 ? fabs(from[i * inner]) : from[i * inner] * from[i * inner];
        if (state->p != 1) norm = sqrt(norm);
        for (uint64_t i = 0; i < n; i++) to[i * inner] = norm == 0 ? 0 : from[i * inner] / norm;
    }
    cpu_doubles_store(call, &d);
    return PARTITA_OK;
}

#define ROW(operator, first, function, claimed)                                                                        \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = first, .until = CPU_NEWEST, .types = CPU_FLOATS, .reference = true,     \
        .prepare = cpu_norm_prepare, .release = cpu_norm_release, .scratch = cpu_doubles_scratch, .run = function,     \
        .claim = claimed                                                                                               \
    }
const cpu_kernel cpu_kernels_norm[] = {
    ROW("BatchNormalization", 1, batch_reference, cpu_norm_batch_claim),
    ROW("InstanceNormalization", 1, instance_reference, NULL),
    ROW("LayerNormalization", 17, layer_reference, NULL),
    ROW("RMSNormalization", 23, rms_reference, NULL),
    ROW("GroupNormalization", 18, group_reference, NULL),
    ROW("LRN", 1, lrn_reference, NULL),
    ROW("LpNormalization", 1, lp_reference, NULL),
    {.op = "MeanVarianceNormalization",
     .domain = "",
     .since = 9,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS,
     .reference = true,
     .prepare = cpu_norm_prepare,
     .release = cpu_norm_release,
     .scratch = variance_scratch,
     .run = variance_reference},
};
const uint32_t cpu_kernels_norm_count = sizeof(cpu_kernels_norm) / sizeof(cpu_kernels_norm[0]);
