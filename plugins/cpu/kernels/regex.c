/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RegexFullMatch, by RE2.
 */
#include "cpu/kernels/libraries.h"

typedef struct regex_state {
    const cpu_regex_library *library;
    void *regex;
} regex_state;

static partita_status regex_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str pattern = ptp_attribute_str(node->block, &node->row, "pattern");
    char error[200] = "no memory";
    const void *table;
    regex_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    partita_status status = cpu_library_open(host, CPU_LIBRARY_REGEX, &table);
    if (status != PARTITA_OK) return status;
    state->library = table;
    state->regex =
        state->library->compile(pattern.data != NULL ? pattern.data : "", pattern.size, false, error, sizeof(error));
    return state->regex != NULL ? PARTITA_OK : cpu_fail(host, PARTITA_BAD_MODEL, "the pattern: %s", error);
}

static void regex_release(const ptp_host *host, void *state) {
    regex_state *r = state;
    if (r != NULL && r->regex != NULL) r->library->release(r->regex);
    cpu_free(host, r);
}

static partita_status regex_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const regex_state *state = call->state;
    uint8_t *out = call->out[0].data;
    uint64_t first, last;
    cpu_strings texts;
    partita_status status = cpu_expect_like(call, 0, &call->in[0]);
    if (status == PARTITA_OK) status = cpu_strings_of(call, &call->in[0], &texts);
    if (status != PARTITA_OK) return status;
    cpu_item_range(&call->out[0], begin, end, &first, &last);
    for (uint64_t i = first; i < last; i++) {
        partita_str text = cpu_string_at(&texts, i);
        out[i] = state->library->matches(state->regex, text.data, text.size);
    }
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_regex[] = {{.op = "RegexFullMatch",
                                         .domain = "",
                                         .since = 20,
                                         .until = CPU_NEWEST,
                                         .types = CPU_TYPE(STRING),
                                         .reference = true,
                                         .prepare = regex_prepare,
                                         .release = regex_release,
                                         .items = cpu_items_elements,
                                         .run = regex_run}};
const uint32_t cpu_kernels_regex_count = sizeof(cpu_kernels_regex) / sizeof(cpu_kernels_regex[0]);
