/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of com.microsoft's attention: which form and which core a node has, and what is refused.
 */
#include "cpu/kernels/ms_attention.h"

extern const cpu_kernel cpu_kernels_attention[], cpu_kernels_attention_fast[];

static void ms_release(const ptp_host *host, void *any) {
    cpu_ms_state *state = any;
    if (state != NULL && state->core_state != NULL) state->core->release(host, state->core_state);
    cpu_free(host, state);
}

static void form_of(const cpu_node *node, cpu_ms_state *state) {
    partita_str op = ptp_ref_str(node->block, node->row.op);
    state->image_of = cpu_ms_image_plain;
    state->quantised = ptp_str_is(op, "QAttention") != 0;
    if (ptp_str_is(op, "GroupQueryAttention")) {
        state->call_of = cpu_ms_group_call;
        state->image_of = cpu_ms_image_group;
    } else
        state->call_of = ptp_str_is(op, "MultiHeadAttention") ? cpu_ms_multi_call : cpu_ms_projected_call;
}

static bool quantised_cache(const cpu_node *node) {
    return cpu_attr_has(node, "k_quant_type") && !cpu_attr_is(node, "k_quant_type", "NONE");
}

static void attributes_read(const cpu_node *node, cpu_ms_state *state) {
    ptp_value_row value;
    bool group = state->image_of == cpu_ms_image_group;
    state->heads = cpu_attr_int(node, "num_heads", 1);
    state->grouped = group;
    state->kv_heads = group ? cpu_attr_int(node, "kv_num_heads", 1) : state->heads;
    state->causal = group ? cpu_attr_int(node, "causal", 1) != 0 : cpu_attr_int(node, "unidirectional", 0) != 0;
    state->rotary = group && cpu_attr_int(node, "do_rotary", 0) != 0;
    state->interleaved = cpu_attr_int(node, "rotary_interleaved", 0) != 0;
    state->window = group ? cpu_attr_int(node, "local_window_size", -1) : -1;
    state->sinks = group && (cpu_attr_int(node, "smooth_softmax", 0) == 1 || cpu_node_input(node, 11, &value));
    state->sliding = group && cpu_attr_int(node, "sliding_window_cache", 0) != 0;
    state->cache_bits = group && quantised_cache(node) ? (uint32_t)cpu_attr_int(node, "kv_cache_bit_width", 8) : 0;
    state->normalised = group && cpu_node_input(node, 14, &value);
    state->epsilons[0] = cpu_attr_float(node, "q_norm_epsilon", cpu_attr_float(node, "qk_norm_epsilon", 1e-6f));
    state->epsilons[1] = cpu_attr_float(node, "k_norm_epsilon", cpu_attr_float(node, "qk_norm_epsilon", 1e-6f));
    state->filter = cpu_attr_float(node, "mask_filter_value", -10000.0f);
}

/* The core's state begins with what the attributes of ONNX's operator say; here it is said by those of this one. */
static void core_set(const cpu_node *node, const cpu_ms_state *state) {
    cpu_attention_state *core = state->core_state;
    int64_t shown = cpu_attr_int(node, "qk_output", state->image_of == cpu_ms_image_group ? 0 : 1);
    core->causal = state->causal;
    core->scale = cpu_attr_float(node, "scale", 0);
    core->scaled = core->scale != 0;
    core->softcap = cpu_attr_float(node, "softcap", 0);
    core->left = state->window >= 0 && !state->sinks ? state->window - 1 : -1;
    core->right = -1;
    core->padded_mask = false;
    core->shown = shown == 2 ? CPU_ATTENTION_SOFTMAX : CPU_ATTENTION_BIASED;
}

static partita_status prepare_with(const cpu_node *node, const ptp_host *host, const cpu_kernel *core,
                                   void **out_state) {
    cpu_ints widths;
    cpu_ms_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    form_of(node, state);
    attributes_read(node, state);
    partita_status status = cpu_ints_attr(node, host, "qkv_hidden_sizes", &widths);
    if (status == PARTITA_OK && widths.given && widths.count != 3)
        status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "qkv_hidden_sizes has %u entries", widths.count);
    for (uint32_t i = 0; status == PARTITA_OK && widths.given && i < 3; i++) state->widths[i] = widths.at[i];
    state->core = core;
    if (status == PARTITA_OK) status = core->prepare(node, host, &state->core_state);
    if (status == PARTITA_OK) core_set(node, state);
    return status;
}

static partita_status reference_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    return prepare_with(node, host, &cpu_kernels_attention[0], out_state);
}

static partita_status fast_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_status status = prepare_with(node, host, &cpu_kernels_attention_fast[0], out_state);
    if (status == PARTITA_OK) ((cpu_ms_state *)*out_state)->micro = cpu_gemm_micro_of(node->level);
    return status;
}

/* Of these inputs only index types may differ from the operator's own type. */
static bool types_claim(const cpu_node *node, ptp_answer *answer, uint64_t indices, uint64_t bytes, uint64_t singles) {
    ptp_value_row value;
    partita_dtype type = cpu_output_dtype(node, 0);
    for (uint32_t i = 0; i < node->row.inputs.count; i++) {
        if (!cpu_node_input(node, i, &value)) continue;
        bool fits = (indices >> i & 1) != 0   ? value.dtype == PARTITA_INT32 || value.dtype == PARTITA_INT64
                    : (singles >> i & 1) != 0 ? value.dtype == PARTITA_FLOAT32
                    : (bytes >> i & 1) != 0   ? value.dtype == PARTITA_INT8 || value.dtype == PARTITA_UINT8
                                              : value.dtype == type;
        if (!fits) return cpu_refuse(answer, PARTITA_REASON_DTYPE, "input %u is of %s", i, cpu_dtype_name(value.dtype));
    }
    return true;
}

static bool heads_claim(const cpu_node *node, ptp_answer *answer) {
    if (cpu_attr_int(node, "num_heads", 0) >= 1) return true;
    return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "num_heads %lld",
                      (long long)cpu_attr_int(node, "num_heads", 0));
}

static bool absent(const cpu_node *node, ptp_answer *answer, uint32_t first, uint32_t last) {
    ptp_value_row value;
    for (uint32_t i = first; i <= last; i++)
        if (cpu_node_input(node, i, &value))
            return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "input %u is there, which is for other devices", i);
    return true;
}

static bool zero(const cpu_node *node, ptp_answer *answer, const char *name) {
    if (cpu_attr_int(node, name, 0) == 0) return true;
    return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "%s %lld", name, (long long)cpu_attr_int(node, name, 0));
}

static bool multi_claim(const cpu_node *node, ptp_answer *answer) {
    ptp_value_row value;
    if (cpu_node_input(node, 8, &value) && cpu_node_output(node, 3, &value))
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "scores of a past whose length is an input");
    return heads_claim(node, answer) && types_claim(node, answer, 1u << 4 | 1u << 8 | 1u << 9, 0, 0);
}

static bool projected_claim(const cpu_node *node, ptp_answer *answer) {
    return heads_claim(node, answer) && zero(node, answer, "do_rotary") &&
           zero(node, answer, "past_present_share_buffer") && absent(node, answer, 6, 6) &&
           types_claim(node, answer, 1u << 3, 0, 0);
}

static bool quantised_claim(const cpu_node *node, ptp_answer *answer) {
    return heads_claim(node, answer) && zero(node, answer, "do_rotary") &&
           zero(node, answer, "past_present_share_buffer") &&
           types_claim(node, answer, 1u << 5, 1u << 0 | 1u << 1 | 1u << 6 | 1u << 7, 0);
}

/* A cache of few bits has scales, a cache that slides a window to keep. */
static bool cache_claim(const cpu_node *node, ptp_answer *answer) {
    int64_t window = cpu_attr_int(node, "local_window_size", -1), bits = cpu_attr_int(node, "kv_cache_bit_width", 0);
    bool sliding = cpu_attr_int(node, "sliding_window_cache", 0) != 0;
    ptp_value_row value;
    if (window == 0 || window < -1 || (window > 0 && cpu_attr_int(node, "causal", 1) == 0))
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "a window of %lld keys", (long long)window);
    if (sliding && (window < 1 || cpu_node_output(node, 3, &value)))
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE,
                          "sliding_window_cache without a window, or with its scores");
    if (cpu_node_input(node, 14, &value) != cpu_node_input(node, 15, &value))
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "a norm of only one of Q and K");
    if (!quantised_cache(node)) return true;
    if (cpu_attr_is(node, "v_quant_type", "NONE") || (bits != 4 && bits != 8) ||
        cpu_input_dtype(node, 3) != (bits == 4 ? PARTITA_UINT8 : PARTITA_INT8))
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "a cache of %s with kv_cache_bit_width %lld",
                          cpu_dtype_name(cpu_input_dtype(node, 3)), (long long)bits);
    return true;
}

static bool group_claim(const cpu_node *node, ptp_answer *answer) {
    int64_t heads = cpu_attr_int(node, "num_heads", 0), shared = cpu_attr_int(node, "kv_num_heads", 0);
    int64_t shown = cpu_attr_int(node, "qk_output", 0);
    ptp_value_row value;
    if (heads < 1 || shared < 1 || heads % shared != 0)
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "%lld heads of Q for %lld of K", (long long)heads,
                          (long long)shared);
    if (shown < 0 || shown > 2) return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "qk_output %lld", (long long)shown);
    for (uint32_t i = 5; i < 10; i++)
        if (i != 7 && i != 8 && cpu_node_input(node, i, &value) &&
            value.dtype != (i == 9 ? PARTITA_INT64 : PARTITA_INT32))
            return cpu_refuse(answer, PARTITA_REASON_DTYPE, "input %u is of %s", i, cpu_dtype_name(value.dtype));
    bool codes = quantised_cache(node);
    return cache_claim(node, answer) && types_claim(node, answer, 1u << 5 | 1u << 6 | 1u << 9 | 1u << 16,
                                                    codes ? 1u << 3 | 1u << 4 : 0, 1u << 12 | 1u << 13);
}

/* The reference and the fast row of an operator. Both cores compute with float32, whatever the operator's type. */
#define ROWS(operator, kinds, claims)                                                                                  \
    ROW(operator, kinds, claims, reference_prepare, true), ROW(operator, kinds, claims, fast_prepare, false)
#define ROW(operator, kinds, claims, prepares, is_reference)                                                           \
    {                                                                                                                  \
        .op = operator, .domain = "com.microsoft", .since = 1, .until = CPU_NEWEST, .types = kinds,                    \
        .reference = is_reference, .claim = claims, .prepare = prepares, .release = ms_release,                        \
        .scratch = cpu_ms_attention_scratch, .items = cpu_ms_attention_items, .run = cpu_ms_attention_run              \
    }
#define FLOATS (CPU_TYPE(FLOAT32) | CPU_HALVES)
#define BYTES  (CPU_TYPE(INT8) | CPU_TYPE(UINT8))
const cpu_kernel cpu_kernels_ms_attention_rows[] = {
    ROWS("MultiHeadAttention", FLOATS, multi_claim),
    ROWS("Attention", FLOATS, projected_claim),
    ROWS("QAttention", BYTES, quantised_claim),
    ROWS("GroupQueryAttention", FLOATS, group_claim),
};
const uint32_t cpu_kernels_ms_attention_rows_count =
    sizeof(cpu_kernels_ms_attention_rows) / sizeof(cpu_kernels_ms_attention_rows[0]);
