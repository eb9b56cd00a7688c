/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operators that change how a tensor is described but not its bytes, and those that give the description itself.
 */
#include "cpu/kernels/support.h"

extern const cpu_kernel cpu_kernels_shape[];
extern const uint32_t cpu_kernels_shape_count;

#define COPY_ITEM 65536 /* bytes */

static uint64_t copy_items(const cpu_call *call) {
    return call->out[0].bytes / COPY_ITEM + (call->out[0].bytes % COPY_ITEM != 0);
}

static partita_status copy_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    if (in->bytes != out->bytes)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "%llu bytes cannot take a shape of %llu",
                        (unsigned long long)in->bytes, (unsigned long long)out->bytes);
    uint64_t first = begin * COPY_ITEM, last = end * COPY_ITEM < in->bytes ? end * COPY_ITEM : in->bytes;
    if (first < last && out->data != in->data)
        memcpy((char *)out->data + first, (const char *)in->data + first, last - first);
    return PARTITA_OK;
}

static partita_status carried_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    return cpu_carry_prepare(node, host, cpu_kernels_shape, cpu_kernels_shape_count, out_state);
}

/* ---- Identity of what is no dense tensor of numbers ---- */

static bool claim_tensor(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row value;
    if (cpu_node_input(node, 0, &value) && value.kind == PARTITA_KIND_TENSOR) return true;
    return cpu_refuse(answer, PARTITA_REASON_KIND, "input 0 is no tensor");
}

static bool claim_handle(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row value;
    if (cpu_node_input(node, 0, &value) && (value.kind != PARTITA_KIND_TENSOR || value.dtype == PARTITA_STRING))
        return true;
    return cpu_refuse(answer, PARTITA_REASON_KIND, "input 0 is a dense tensor");
}

static partita_status handle_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    return cpu_call_set(call, 0, call->in[0].value);
}

/* ---- Shape, Size ---- */

typedef struct range_state {
    int64_t start, end;
} range_state;

static partita_status shape_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    range_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->start = cpu_attr_int(node, "start", 0);
    state->end = cpu_attr_int(node, "end", INT64_MAX);
    *out_state = state;
    return PARTITA_OK;
}

static int64_t range_clamp(int64_t at, int64_t rank) {
    if (at < 0) at += rank;
    return at < 0 ? 0 : at > rank ? rank : at;
}

static partita_status shape_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const range_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    int64_t start = range_clamp(state->start, in->rank), stop = range_clamp(state->end, in->rank);
    int64_t n = stop > start ? stop - start : 0;
    partita_status status = cpu_expect(call, 0, 1, &n);
    if (status != PARTITA_OK) return status;
    if (n > 0) memcpy(call->out[0].data, in->dims + start, (size_t)n * sizeof(int64_t));
    return PARTITA_OK;
}

static partita_status size_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    partita_status status = cpu_expect(call, 0, 0, NULL);
    if (status == PARTITA_OK) *(int64_t *)call->out[0].data = (int64_t)call->in[0].count;
    return status;
}

#define VIEW_ROW(name)                                                                                                 \
    {.op = name,                                                                                                       \
     .domain = "",                                                                                                     \
     .since = 1,                                                                                                       \
     .until = CPU_NEWEST,                                                                                              \
     .types = CPU_FIXED | CPU_PACKED,                                                                                  \
     .reference = true,                                                                                                \
     .items = copy_items,                                                                                              \
     .run = copy_run,                                                                                                  \
     .in_place = true,                                                                                                 \
     .view = true},                                                                                                    \
        CPU_CARRIED_STRINGS(name, carried_prepare, 0, true)
#define PLAIN_ROW(name, prepares, runs)                                                                                \
    {                                                                                                                  \
        .op = name, .domain = "", .since = 1, .until = CPU_NEWEST, .types = CPU_EVERY, .reference = true,              \
        .prepare = prepares, .release = cpu_free, .run = runs                                                          \
    }

const cpu_kernel cpu_kernels_shape[] = {
    VIEW_ROW("Reshape"),
    VIEW_ROW("Flatten"),
    VIEW_ROW("Squeeze"),
    VIEW_ROW("Unsqueeze"),
    {.op = "BitCast",
     .domain = "",
     .since = 26,
     .until = CPU_NEWEST,
     .types = CPU_FIXED | CPU_PACKED,
     .reference = true,
     .items = copy_items,
     .run = copy_run,
     .in_place = true,
     .view = true},
    {.op = "Identity",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FIXED | CPU_PACKED,
     .reference = true,
     .claim = claim_tensor,
     .items = copy_items,
     .run = copy_run,
     .in_place = true,
     .view = true},
    {.op = "Identity",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = ~UINT64_C(0),
     .reference = true,
     .claim = claim_handle,
     .run = handle_run,
     .emit = true},
    PLAIN_ROW("Shape", shape_prepare, shape_run),
    PLAIN_ROW("Size", NULL, size_run),
};
const uint32_t cpu_kernels_shape_count = sizeof(cpu_kernels_shape) / sizeof(cpu_kernels_shape[0]);
