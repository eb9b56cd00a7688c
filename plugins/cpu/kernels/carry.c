/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Elements that have no address of their own, carried through kernels that move whole bytes: a packed type as one code
 * per byte, a string as the number of the input's string that it is. See support.h.
 */
#include "cpu/kernels/support.h"

typedef struct carry_state {
    const cpu_kernel *inner;
    void *inner_state;
} carry_state;

/* What the inner kernel sees, and where its data goes. `runner` and `call` are first: kernels hand them back. */
typedef struct carry {
    cpu_runner runner;
    const cpu_call *outer;
    cpu_call call;
    cpu_tensor *in, *out;
    void **owned; /* by input, then by output */
    int64_t (*dims)[CPU_MAX_RANK];
    cpu_strings *strings; /* by input */
} carry;

partita_status cpu_carry_prepare(const cpu_node *node, const ptp_host *host, const cpu_kernel *rows, uint32_t count,
                                 void **out_state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    carry_state *state = cpu_alloc(host, sizeof(*state));
    partita_status status = PARTITA_OK;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < count && state->inner == NULL; i++) {
        const cpu_kernel *row = &rows[i];
        if (row->run == cpu_carry_run || (row->types & CPU_TYPE(UINT8)) == 0 || !ptp_str_is(op, row->op)) continue;
        if (node->row.since >= row->since && node->row.since <= row->until) state->inner = row;
    }
    if (state->inner == NULL)
        status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "no kernel for elements of whole bytes");
    else if (state->inner->prepare != NULL)
        status = state->inner->prepare(node, host, &state->inner_state);
    if (status != PARTITA_OK && state->inner == NULL)
        cpu_free(host, state);
    else
        *out_state = state; /* released with what the inner kernel may have left in it */
    return status;
}

void cpu_carry_release(const ptp_host *host, void *state) {
    carry_state *carried = state;
    if (carried == NULL) return;
    if (carried->inner->release != NULL && carried->inner_state != NULL)
        carried->inner->release(host, carried->inner_state);
    cpu_free(host, carried);
}

static bool is_packed(partita_dtype dtype) { return dtype < 64 && (CPU_PACKED >> dtype & 1) != 0; }

/* A tensor's stand-in of bytes or numbers, with room for its elements. */
static partita_status stand_in(const cpu_call *call, cpu_tensor *tensor, void **out_owned) {
    tensor->dtype = tensor->dtype == PARTITA_STRING ? PARTITA_INT64 : PARTITA_UINT8;
    tensor->bytes = tensor->count * cpu_dtype_bits(tensor->dtype) / 8;
    tensor->value = NULL;
    tensor->data = *out_owned = cpu_alloc(call->host, tensor->bytes);
    return *out_owned != NULL ? PARTITA_OK : PARTITA_OUT_OF_MEMORY;
}

static partita_status carry_inputs(carry *c) {
    const cpu_call *outer = c->outer;
    uint64_t base = 1; /* 0 is the empty string, as it is the zero of numbers */
    for (uint32_t i = 0; i < outer->in_count; i++) {
        const cpu_tensor *in = &outer->in[i];
        partita_status status = PARTITA_OK;
        if (in->kind != PARTITA_KIND_TENSOR) continue;
        if (is_packed(in->dtype)) {
            status = stand_in(outer, &c->in[i], &c->owned[i]);
            if (status == PARTITA_OK) cpu_unpack(in->dtype, in->data, 0, in->count, c->in[i].data);
        } else if (in->dtype == PARTITA_STRING) {
            status = cpu_strings_of(outer, in, &c->strings[i]);
            if (status == PARTITA_OK) status = stand_in(outer, &c->in[i], &c->owned[i]);
            for (uint64_t j = 0; status == PARTITA_OK && j < in->count; j++)
                ((int64_t *)c->in[i].data)[j] = (int64_t)(base + j);
            base += in->count;
        }
        if (status != PARTITA_OK) return status;
    }
    return PARTITA_OK;
}

/* Room for the numbers of an output of strings. */
static partita_status carry_alloc(const cpu_call *call, uint32_t index, uint32_t rank, const int64_t *dims) {
    carry *c = (carry *)(void *)call->runner;
    cpu_tensor *out = &call->out[index];
    if (rank > 0) memcpy(c->dims[index], dims, rank * sizeof(*dims));
    *out = (cpu_tensor){.kind = PARTITA_KIND_TENSOR, .dtype = PARTITA_STRING, .rank = rank, .dims = c->dims[index]};
    if (!cpu_shape_size(PARTITA_UINT8, rank, dims, &out->count, &out->bytes))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "output %u is too large", index);
    return stand_in(call, out, &c->owned[call->in_count + index]);
}

/* Memory for outputs whose shape is known before the run. */
static partita_status carry_outputs(carry *c, const cpu_kernel *inner, bool emit) {
    for (uint32_t o = 0; o < c->outer->out_count && !inner->emit; o++) {
        cpu_tensor *out = &c->out[o];
        partita_status status = PARTITA_OK;
        if (out->kind == PARTITA_KIND_NONE) continue;
        if (emit)
            status = carry_alloc(&c->call, o, out->rank, out->dims);
        else if (is_packed(out->dtype))
            status = stand_in(&c->call, out, &c->owned[c->outer->in_count + o]);
        if (status != PARTITA_OK) return status;
    }
    return PARTITA_OK;
}

static partita_status carry_inner(carry *c, const cpu_kernel *inner) {
    partita_status status = PARTITA_OK;
    uint64_t scratch = inner->scratch != NULL ? inner->scratch(&c->call) : 0;
    uint64_t items = inner->items != NULL ? inner->items(&c->call) : 1;
    if (scratch > 0) {
        c->call.scratch = cpu_alloc(c->call.host, scratch);
        if (c->call.scratch == NULL) return PARTITA_OUT_OF_MEMORY;
    }
    if (items > 0) status = inner->run(&c->call, 0, items, 0);
    cpu_free(c->call.host, c->call.scratch);
    return status;
}

/* The string that number `pick` stands for. */
static partita_str carry_string(const carry *c, int64_t pick) {
    uint64_t at = (uint64_t)pick - 1;
    for (uint32_t i = 0; pick > 0 && i < c->call.in_count; i++) {
        const cpu_strings *strings = &c->strings[i];
        if (at < strings->count) return cpu_string_at(strings, at);
        at -= strings->count;
    }
    return (partita_str){"", 0};
}

static partita_status carry_strings(carry *c, uint32_t index) {
    const ptp_host *host = c->call.host;
    const cpu_tensor *out = &c->out[index];
    const int64_t *picks = out->data;
    uint64_t total = 0;
    uint64_t *offsets = cpu_alloc(host, (out->count + 1) * sizeof(*offsets));
    char *bytes = NULL;
    ptp_value *value = NULL;
    partita_status status = PARTITA_OUT_OF_MEMORY;
    if (offsets == NULL) return status;
    for (uint64_t i = 0; i < out->count; i++) total += carry_string(c, picks[i]).size;
    bytes = cpu_alloc(host, total);
    if (bytes == NULL) goto out;
    for (uint64_t i = 0; i < out->count; i++) {
        partita_str text = carry_string(c, picks[i]);
        memcpy(bytes + offsets[i], text.data, text.size);
        offsets[i + 1] = offsets[i] + text.size;
    }
    status = host->value_new_strings(host->self, out->rank, out->dims, offsets, bytes, &value);
    if (status == PARTITA_OK) status = cpu_call_set(c->outer, index, value);
    if (value != NULL) host->value_release(host->self, value);
out:
    cpu_free(host, bytes);
    cpu_free(host, offsets);
    return status;
}

static partita_status carry_back(carry *c) {
    for (uint32_t o = 0; o < c->outer->out_count; o++) {
        const cpu_tensor *given = &c->outer->out[o];
        partita_status status = PARTITA_OK;
        if (c->owned[c->outer->in_count + o] == NULL) continue;
        if (is_packed(given->dtype))
            cpu_pack(given->dtype, c->out[o].data, c->out[o].count, given->data);
        else
            status = carry_strings(c, o);
        if (status != PARTITA_OK) return status;
    }
    return PARTITA_OK;
}

partita_status cpu_carry_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const carry_state *state = call->state;
    const ptp_host *host = call->host;
    uint64_t ins = call->in_count, outs = call->out_count;
    carry c = {.runner = {carry_alloc, NULL}, .outer = call, .call = *call}; /* kernels of bytes set no values */
    bool emit = false;
    partita_status status = PARTITA_OUT_OF_MEMORY;
    c.in = cpu_alloc(host, ins * sizeof(*c.in));
    c.out = cpu_alloc(host, outs * sizeof(*c.out));
    c.owned = cpu_alloc(host, (ins + outs) * sizeof(*c.owned));
    c.dims = cpu_alloc(host, outs * sizeof(*c.dims));
    c.strings = cpu_alloc(host, ins * sizeof(*c.strings));
    if (c.in == NULL || c.out == NULL || c.owned == NULL || c.dims == NULL || c.strings == NULL) goto out;
    if (ins > 0) memcpy(c.in, call->in, ins * sizeof(*c.in));
    if (outs > 0) memcpy(c.out, call->out, outs * sizeof(*c.out));
    for (uint32_t o = 0; o < outs; o++) emit |= call->out[o].dtype == PARTITA_STRING;
    c.call.state = state->inner_state;
    c.call.in = c.in;
    c.call.out = c.out;
    c.call.runner = &c.runner;
    c.call.workers = 1;
    c.call.scratch = NULL;
    status = carry_inputs(&c);
    if (status == PARTITA_OK) status = carry_outputs(&c, state->inner, emit);
    if (status == PARTITA_OK) status = carry_inner(&c, state->inner);
    if (status == PARTITA_OK) status = carry_back(&c);
out:
    for (uint64_t i = 0; c.owned != NULL && i < ins + outs; i++) cpu_free(host, c.owned[i]);
    cpu_free(host, c.in);
    cpu_free(host, c.out);
    cpu_free(host, c.owned);
    cpu_free(host, c.dims);
    cpu_free(host, c.strings);
    return status;
}
