/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reference normalisations: batch, instance, layer, group, RMS, LRN, mean-variance and Lp, in double.
 */
#include "cpu/kernels/norm.h"
#include "cpu/kernels/reference.h"

partita_status cpu_norm_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    cpu_norm_state *state = cpu_alloc(host, sizeof(*state));
    ptp_value_row statistics;
    *out_state = NULL;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->epsilon = cpu_attr_float(node, "epsilon", 1e-5f);
    state->momentum = cpu_attr_float(node, "momentum", 0.9f);
    state->axis = cpu_attr_int(node, "axis", -1);
    state->groups = cpu_attr_int(node, "num_groups", 1);
    /* Before version 14 the statistics are asked for by having outputs. */
    bool asked = node->row.since < 14 && cpu_node_output(node, 1, &statistics) && !cpu_attr_int(node, "is_test", 0);
    state->training = cpu_attr_int(node, "training_mode", asked) != 0;
    state->by_element = cpu_attr_int(node, "spatial", 1) == 0;
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

partita_status cpu_norm_channels(const cpu_call *call, uint32_t first, uint32_t count, uint64_t channels) {
    for (uint32_t i = first; i < first + count; i++)
        if (!cpu_has_input(call, i) || call->in[i].count != channels)
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u has %llu elements for %llu channels", i,
                            (unsigned long long)call->in[i].count, (unsigned long long)channels);
    return PARTITA_OK;
}

/* Elements that are normalised together: `runs` of `size` neighbours, `step` apart. */
typedef struct set {
    uint64_t runs, size, step;
} set;

static double mean_of(const double *x, set s) {
    double sum = 0;
    for (uint64_t r = 0; r < s.runs; r++)
        for (uint64_t i = 0; i < s.size; i++) sum += x[r * s.step + i];
    return s.runs * s.size > 0 ? sum / (double)(s.runs * s.size) : 0;
}

/* Mean of the squares of the distances from `mean`. */
static double spread_of(const double *x, set s, double mean) {
    double squares = 0;
    for (uint64_t r = 0; r < s.runs; r++)
        for (uint64_t i = 0; i < s.size; i++) squares += (x[r * s.step + i] - mean) * (x[r * s.step + i] - mean);
    return s.runs * s.size > 0 ? squares / (double)(s.runs * s.size) : 0;
}

static void set_scale(const double *x, double *y, set s, double mean, double scale, double shift) {
    for (uint64_t r = 0; r < s.runs; r++)
        for (uint64_t i = 0; i < s.size; i++) y[r * s.step + i] = (x[r * s.step + i] - mean) * scale + shift;
}

/* In training the statistics are those of the batch, and the running ones, outputs 1 and 2, move towards them. Old
 * versions give the batch's own as outputs 3 and 4. */
CPU_DOUBLES_KERNEL(batch_reference) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    uint64_t channels = cpu_extent(x->dims, 1, state->by_element ? x->rank : x->rank < 2 ? x->rank : 2);
    set s = {.runs = x->rank > 0 ? (uint64_t)x->dims[0] : 1};
    s.size = state->by_element ? 1 : cpu_extent(x->dims, 2, x->rank);
    s.step = channels * s.size;
    partita_status status = cpu_norm_channels(call, 1, 4, channels);
    for (uint32_t i = 1; status == PARTITA_OK && i < call->out_count; i++)
        if (cpu_has_output(call, i)) status = cpu_expect_like(call, i, &call->in[3]);
    if (status != PARTITA_OK) return status;
    for (uint64_t c = 0; c < channels; c++) {
        const double *from = d->in[0] + c * s.size;
        double mean = d->in[3][c], variance = d->in[4][c], keep = (double)state->momentum;
        double running[2] = {mean, variance};
        if (state->training) {
            mean = mean_of(from, s);
            variance = spread_of(from, s, mean);
            running[0] = running[0] * keep + mean * (1 - keep);
            running[1] = running[1] * keep + variance * (1 - keep);
        }
        const double results[4] = {running[0], running[1], mean, variance};
        for (uint32_t i = 0; i < 4; i++)
            if (d->out[i + 1] != NULL) d->out[i + 1][c] = results[i];
        set_scale(from, d->out[0] + c * s.size, s, mean, d->in[1][c] / sqrt(variance + (double)state->epsilon),
                  d->in[2][c]);
    }
    return PARTITA_OK;
}

CPU_DOUBLES_KERNEL(instance_reference) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    if (x->rank < 2) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u has no channels", x->rank);
    uint64_t planes = (uint64_t)(x->dims[0] * x->dims[1]), channels = (uint64_t)x->dims[1];
    set s = {.runs = 1, .size = cpu_extent(x->dims, 2, x->rank)};
    partita_status status = cpu_norm_channels(call, 1, 2, channels);
    if (status != PARTITA_OK) return status;
    for (uint64_t p = 0; p < planes; p++) {
        const double *from = d->in[0] + p * s.size;
        double mean = mean_of(from, s), variance = spread_of(from, s, mean);
        set_scale(from, d->out[0] + p * s.size, s, mean,
                  d->in[1][p % channels] / sqrt(variance + (double)state->epsilon), d->in[2][p % channels]);
    }
    return PARTITA_OK;
}

static bool broadcasts(const cpu_tensor *from, const cpu_tensor *to) {
    if (from->rank > to->rank) return false;
    for (uint32_t i = 1; i <= from->rank; i++) {
        int64_t dim = from->dims[from->rank - i];
        if (dim != 1 && dim != to->dims[to->rank - i]) return false;
    }
    return true;
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
        if (cpu_has_input(call, i) && !broadcasts(&call->in[i], x))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "input %u cannot be broadcast to input 0", i);
    return PARTITA_OK;
}

/* Scale and bias may be broadcast over the normalised dims, and differ from row to row. */
static partita_status broadcast_apply(const cpu_call *call, uint32_t input, const double *values, double *y, bool add) {
    const cpu_tensor *in[1] = {&call->in[input]};
    cpu_walk walk;
    if (!cpu_has_input(call, input)) return PARTITA_OK;
    partita_status status = cpu_walk_init(call, &call->out[0], in, 1, NULL, &walk);
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

/* Rows around their mean or, for RMSNormalization, around 0. */
static partita_status rows_scale(const cpu_call *call, const cpu_doubles *d, bool centred) {
    const cpu_norm_state *state = call->state;
    uint64_t rows, size;
    partita_status status = cpu_norm_rows(call, &rows, &size);
    if (status != PARTITA_OK) return status;
    set s = {.runs = 1, .size = size};
    for (uint64_t r = 0; r < rows; r++) {
        const double *from = d->in[0] + r * size;
        double mean = centred ? mean_of(from, s) : 0;
        double inverse = 1 / sqrt(spread_of(from, s, mean) + (double)state->epsilon);
        set_scale(from, d->out[0] + r * size, s, mean, inverse, 0);
        if (d->out[1] != NULL) d->out[1][r] = mean;
        if (d->out[2] != NULL) d->out[2][r] = inverse;
    }
    status = broadcast_apply(call, 1, d->in[1], d->out[0], false);
    return status == PARTITA_OK ? broadcast_apply(call, 2, d->in[2], d->out[0], true) : status;
}

CPU_DOUBLES_KERNEL(layer_reference) { return rows_scale(call, d, true); }
CPU_DOUBLES_KERNEL(rms_reference) { return rows_scale(call, d, false); }

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

CPU_DOUBLES_KERNEL(group_reference) {
    const cpu_norm_state *state = call->state;
    uint64_t channels, size, groups = (uint64_t)state->groups;
    partita_status status = cpu_norm_groups(call, &channels, &size);
    if (status != PARTITA_OK || call->in[0].count == 0) return status; /* none divide into any number of groups */
    uint64_t each = channels / groups;
    bool by_group = call->in[1].count == groups;
    set group = {.runs = 1, .size = each * size}, plane = {.runs = 1, .size = size};
    for (uint64_t g = 0; g < (uint64_t)call->in[0].dims[0] * groups; g++) {
        const double *from = d->in[0] + g * group.size;
        double mean = mean_of(from, group), inverse = 1 / sqrt(spread_of(from, group, mean) + (double)state->epsilon);
        for (uint64_t c = 0; c < each; c++) {
            uint64_t at = by_group ? g % groups : g % groups * each + c;
            set_scale(from + c * size, d->out[0] + g * group.size + c * size, plane, mean, inverse * d->in[1][at],
                      d->in[2][at]);
        }
    }
    return PARTITA_OK;
}

CPU_DOUBLES_KERNEL(lrn_reference) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    if (x->rank < 2) return cpu_fail(call->host, PARTITA_BAD_INPUT, "rank %u has no channels", x->rank);
    int64_t channels = x->dims[1], size = (int64_t)cpu_extent(x->dims, 2, x->rank);
    for (int64_t n = 0; n < x->dims[0]; n++) {
        for (int64_t c = 0; c < channels; c++) {
            int64_t low = c - (state->size - 1) / 2, high = c + state->size / 2;
            if (low < 0) low = 0;
            if (high > channels - 1) high = channels - 1;
            for (int64_t i = 0; i < size; i++) {
                double squares = 0;
                for (int64_t k = low; k <= high; k++) {
                    double value = d->in[0][(n * channels + k) * size + i];
                    squares += value * value;
                }
                double base = (double)state->bias + (double)state->alpha / (double)state->size * squares;
                int64_t at = (n * channels + c) * size + i;
                d->out[0][at] = d->in[0][at] / pow(base, (double)state->beta);
            }
        }
    }
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

CPU_DOUBLES_KERNEL(variance_reference) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    uint32_t mask = 0, axis;
    static const int64_t usual[] = {0, 2, 3};
    uint32_t count = state->axes.given ? state->axes.count : 3;
    for (uint32_t i = 0; i < count; i++) {
        partita_status status = cpu_axis(call, state->axes.given ? state->axes.at[i] : usual[i], x->rank, &axis);
        if (status != PARTITA_OK) return status;
        mask |= 1u << axis;
    }
    double *sums = d->out[0] + x->count, *squares = sums + x->count;
    memset(sums, 0, 2 * x->count * sizeof(double));
    uint64_t each = 1;
    for (uint32_t i = 0; i < x->rank; i++)
        if ((mask >> i & 1) != 0) each *= (uint64_t)x->dims[i];
    for (uint64_t i = 0; i < x->count; i++) sums[reduced_index(x, mask, i)] += d->in[0][i] / (double)each;
    for (uint64_t i = 0; i < x->count; i++) {
        uint64_t at = reduced_index(x, mask, i);
        squares[at] += (d->in[0][i] - sums[at]) * (d->in[0][i] - sums[at]) / (double)each;
    }
    for (uint64_t i = 0; i < x->count; i++) {
        uint64_t at = reduced_index(x, mask, i);
        d->out[0][i] = (d->in[0][i] - sums[at]) / (sqrt(squares[at]) + 1e-9);
    }
    return PARTITA_OK;
}

CPU_DOUBLES_KERNEL(lp_reference) {
    const cpu_norm_state *state = call->state;
    const cpu_tensor *x = &call->in[0];
    uint32_t axis;
    partita_status status = cpu_axis(call, state->axis, x->rank, &axis);
    if (status != PARTITA_OK) return status;
    uint64_t n = (uint64_t)x->dims[axis], inner = cpu_extent(x->dims, axis + 1, x->rank);
    set s = {.runs = n, .size = 1, .step = inner};
    for (uint64_t o = 0; n > 0 && o < x->count / n; o++) {
        uint64_t at = o / inner * n * inner + o % inner;
        double norm = 0;
        for (uint64_t i = 0; state->p == 1 && i < n; i++) norm += fabs(d->in[0][at + i * inner]);
        if (state->p != 1) norm = sqrt(spread_of(d->in[0] + at, s, 0) * (double)n);
        set_scale(d->in[0] + at, d->out[0] + at, s, 0, norm == 0 ? 0 : 1 / norm, 0);
    }
    return PARTITA_OK;
}

#define ROW(operator, first, function, room)                                                                           \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = first, .until = CPU_NEWEST, .types = CPU_FLOATS, .reference = true,     \
        .prepare = cpu_norm_prepare, .release = cpu_free, .scratch = room, .run = function                             \
    }
const cpu_kernel cpu_kernels_norm[] = {
    ROW("BatchNormalization", 1, batch_reference, cpu_doubles_scratch),
    ROW("InstanceNormalization", 1, instance_reference, cpu_doubles_scratch),
    ROW("LayerNormalization", 17, layer_reference, cpu_doubles_scratch),
    ROW("RMSNormalization", 23, rms_reference, cpu_doubles_scratch),
    ROW("GroupNormalization", 18, group_reference, cpu_doubles_scratch),
    ROW("LRN", 1, lrn_reference, cpu_doubles_scratch),
    ROW("LpNormalization", 1, lp_reference, cpu_doubles_scratch),
    ROW("MeanVarianceNormalization", 9, variance_reference, variance_scratch),
};
const uint32_t cpu_kernels_norm_count = sizeof(cpu_kernels_norm) / sizeof(cpu_kernels_norm[0]);
