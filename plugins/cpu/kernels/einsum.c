/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Einsum: the equation becomes one stride per operand and label; the output is walked label by label, and for each of
 * its elements the labels that it lacks are summed over. Floats in double, integers in 64 bits that wrap.
 */
#include "cpu/kernels/einsum.h"

#define LABELS        CPU_EINSUM_LABELS
#define ELLIPSIS      52
#define ELLIPSIS_DIMS 16

static int32_t label_of(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    return -1;
}

/* Reads up to `stop`; false for a character that is no part of an equation. */
static bool term_read(const char **at, const char *end, cpu_einsum_term *out) {
    memset(out, 0, sizeof(*out));
    for (; *at < end && **at != ',' && **at != '-'; (*at)++) {
        if (**at == ' ') continue;
        if (**at == '.') {
            if (end - *at < 3 || (*at)[1] != '.' || (*at)[2] != '.' || out->ellipsis) return false;
            *at += 2;
            out->ellipsis = true;
            out->labels[out->count++] = ELLIPSIS;
            continue;
        }
        int32_t label = label_of(**at);
        if (label < 0 || out->count >= CPU_MAX_RANK + 1) return false;
        out->labels[out->count++] = (uint8_t)label;
    }
    return true;
}

/* Without an arrow the output has the ellipsis and then, in order, the labels that occur once. */
static void output_imply(cpu_einsum *state) {
    uint32_t seen[LABELS] = {0};
    bool ellipsis = false;
    for (uint32_t i = 0; i < state->in_count; i++) {
        ellipsis = ellipsis || state->in[i].ellipsis;
        for (uint32_t j = 0; j < state->in[i].count; j++) seen[state->in[i].labels[j]]++;
    }
    if (ellipsis) state->out.labels[state->out.count++] = ELLIPSIS;
    state->out.ellipsis = ellipsis;
    for (uint8_t label = 0; label < ELLIPSIS; label++)
        if (seen[label] == 1) state->out.labels[state->out.count++] = label;
}

static bool equation_read(partita_str text, cpu_einsum *state) {
    const char *at = text.data, *end = text.data + text.size;
    while (state->in_count < CPU_DOUBLES_IN) {
        if (!term_read(&at, end, &state->in[state->in_count++])) return false;
        if (at == end || *at != ',') break;
        at++;
    }
    if (at == end) {
        output_imply(state);
        return true;
    }
    if (end - at < 2 || at[0] != '-' || at[1] != '>') return false;
    at += 2;
    return term_read(&at, end, &state->out) && at == end;
}

partita_status cpu_einsum_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str text = ptp_attribute_str(node->block, &node->row, "equation");
    cpu_einsum *state = cpu_alloc(host, sizeof(*state));
    *out_state = NULL;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    if (!equation_read(text, state) || state->in_count != node->row.inputs.count) {
        cpu_free(host, state);
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "equation '%.*s' for %u inputs", (int)text.size, text.data,
                        node->row.inputs.count);
    }
    *out_state = state;
    return PARTITA_OK;
}

bool cpu_einsum_claim(const cpu_node *node, ptp_answer *answer) {
    if (node->row.inputs.count <= CPU_DOUBLES_IN) return true;
    return cpu_refuse(answer, PARTITA_REASON_LIMIT, "%u inputs, at most %d", node->row.inputs.count, CPU_DOUBLES_IN);
}

static partita_status operand_bind(const cpu_call *call, const cpu_einsum_term *named_by, uint32_t operand,
                                   cpu_einsum_loops *l) {
    const cpu_tensor *x = &call->in[operand];
    uint32_t named = named_by->count - named_by->ellipsis;
    if (!cpu_has_input(call, operand)) return cpu_fail(call->host, PARTITA_BAD_INPUT, "operand %u is absent", operand);
    if (x->rank < named || (!named_by->ellipsis && x->rank != named))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "operand %u has rank %u, its term %u labels", operand, x->rank,
                        named);
    uint32_t covered = x->rank - named, dim = x->rank;
    int64_t step = 1;
    if (covered > ELLIPSIS_DIMS) return cpu_fail(call->host, PARTITA_BAD_INPUT, "the ellipsis covers %u dims", covered);
    for (uint32_t i = named_by->count; i-- > 0;) {
        uint32_t repeat = named_by->labels[i] == ELLIPSIS ? covered : 1;
        for (uint32_t r = 0; r < repeat; r++) {
            uint32_t label = named_by->labels[i] == ELLIPSIS ? ELLIPSIS + r : named_by->labels[i];
            int64_t size = x->dims[--dim];
            if (l->size[label] < 0 || l->size[label] == 1) l->size[label] = size;
            if (size != 1 && size != l->size[label])
                return cpu_fail(call->host, PARTITA_BAD_INPUT, "operand %u: a dim of %lld where another has %lld",
                                operand, (long long)size, (long long)l->size[label]);
            if (size != 1) l->stride[operand][label] += step;
            step *= size;
        }
    }
    return PARTITA_OK;
}

partita_status cpu_einsum_bind(const cpu_call *call, cpu_einsum_loops *l) {
    const cpu_einsum *state = call->state;
    bool in_out[LABELS] = {false};
    uint64_t count = 1;
    memset(l, 0, sizeof(*l));
    for (uint32_t i = 0; i < LABELS; i++) l->size[i] = -1; /* no operand has it */
    for (uint32_t i = 0; i < state->in_count; i++) {
        partita_status status = operand_bind(call, &state->in[i], i, l);
        if (status != PARTITA_OK) return status;
    }
    for (uint32_t i = 0; i < state->out.count; i++) {
        uint32_t label = state->out.labels[i];
        if (label != ELLIPSIS) {
            if (l->size[label] < 0)
                return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has a label that no input has");
            l->out[l->out_count++] = (uint8_t)label;
        }
        for (uint32_t r = ELLIPSIS_DIMS; label == ELLIPSIS && r-- > 0;)
            if (l->size[ELLIPSIS + r] >= 0) l->out[l->out_count++] = (uint8_t)(ELLIPSIS + r);
    }
    for (uint32_t i = 0; i < l->out_count; i++) {
        in_out[l->out[i]] = true;
        count *= (uint64_t)l->size[l->out[i]];
    }
    for (uint32_t label = 0; label < LABELS; label++)
        if (l->size[label] >= 0 && !in_out[label]) l->sum[l->sum_count++] = (uint8_t)label;
    if (count != call->out[0].count)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape than the equation");
    return PARTITA_OK;
}

/* Moves the counters of `labels` on by one and the offsets with them; false behind the last. */
static bool advance(const cpu_einsum_loops *l, const uint8_t *labels, uint32_t count, int64_t *at, uint32_t operands,
                    int64_t *offsets) {
    for (uint32_t i = count; i-- > 0;) {
        uint8_t label = labels[i];
        at[i]++;
        for (uint32_t o = 0; o < operands; o++) offsets[o] += l->stride[o][label];
        if (at[i] < l->size[label]) return true;
        for (uint32_t o = 0; o < operands; o++) offsets[o] -= l->stride[o][label] * at[i];
        at[i] = 0;
    }
    return false;
}

/* `empty`: a label that is summed over has no place. */
#define EINSUM_SUMS(name, type)                                                                                        \
    static void name(const cpu_einsum_loops *l, uint32_t operands, const type *const *in, bool empty, type *out) {     \
        int64_t at[LABELS] = {0}, offsets[CPU_DOUBLES_IN] = {0};                                                       \
        do {                                                                                                           \
            int64_t inner_at[LABELS] = {0}, inner[CPU_DOUBLES_IN];                                                     \
            type sum = 0;                                                                                              \
            memcpy(inner, offsets, sizeof(inner));                                                                     \
            if (!empty) do {                                                                                           \
                    type product = 1;                                                                                  \
                    for (uint32_t o = 0; o < operands; o++) product *= in[o][inner[o]];                                \
                    sum += product;                                                                                    \
                } while (advance(l, l->sum, l->sum_count, inner_at, operands, inner));                                 \
            *out++ = sum;                                                                                              \
        } while (advance(l, l->out, l->out_count, at, operands, offsets));                                             \
    }
EINSUM_SUMS(sums_double, double)
EINSUM_SUMS(sums_uint64, uint64_t)

static partita_status einsum_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    cpu_einsum_loops l;
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_einsum_bind(call, &l);
    if (status != PARTITA_OK || call->out[0].count == 0) return status;
    bool empty = false;
    for (uint32_t i = 0; i < l.sum_count; i++) empty = empty || l.size[l.sum[i]] == 0;
    if (!cpu_dtype_is_float(call->in[0].dtype)) {
        cpu_integers integers;
        cpu_integers_load(call, &integers);
        sums_uint64(&l, call->in_count, integers.in, empty, integers.out);
        cpu_integers_store(call, &integers);
        return PARTITA_OK;
    }
    cpu_doubles_load(call, &d);
    sums_double(&l, call->in_count, d.in, empty, d.out[0]);
    cpu_doubles_store(call, &d);
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_einsum[] = {
    {.op = "Einsum",
     .domain = "",
     .since = 12,
     .until = CPU_NEWEST,
     .types = CPU_NUMBERS,
     .reference = true,
     .claim = cpu_einsum_claim,
     .prepare = cpu_einsum_prepare,
     .release = cpu_free,
     .scratch = cpu_doubles_scratch,
     .run = einsum_run},
};
const uint32_t cpu_kernels_einsum_count = sizeof(cpu_kernels_einsum) / sizeof(cpu_kernels_einsum[0]);
