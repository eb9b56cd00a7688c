/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resize and Upsample to the nearest element, which moves elements and so takes every type: what numbers lose on their
 * way through double, complex numbers and strings.
 */
#include "cpu/kernels/resize.h"

extern const cpu_kernel cpu_kernels_resize_nearest[];
extern const uint32_t cpu_kernels_resize_nearest_count;

static bool nearest_claim(const cpu_node *node, ptp_answer *answer) {
    partita_str mode = ptp_attribute_str(node->block, &node->row, "mode");
    if (mode.size > 0 && !ptp_str_is(mode, "nearest"))
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "elements of this type can only be moved, not weighed");
    if (cpu_attr_is(node, "coordinate_transformation_mode", "tf_crop_and_resize"))
        return cpu_refuse(answer, PARTITA_REASON_ATTRIBUTE, "elements of this type have no extrapolation value");
    return true;
}

/* Where element `at` of the output's dims comes from. */
static uint64_t source_of(const cpu_resize_axis *axes, const cpu_tensor *x, const uint64_t *at) {
    uint64_t from = 0;
    for (uint32_t d = 0; d < x->rank; d++)
        from = from * axes[d].in + (axes[d].identity ? at[d] : (uint64_t)axes[d].index[at[d]]);
    return from;
}

static partita_status nearest_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *x = &call->in[0], *y = &call->out[0];
    uint64_t first, last, at[CPU_MAX_RANK] = {0}, size = cpu_size(x);
    cpu_resize_axis axes[CPU_MAX_RANK];
    partita_status status = cpu_resize_axes_make(call, axes);
    cpu_item_range(y, begin, end, &first, &last);
    uint64_t rest = first;
    for (uint32_t d = y->rank; status == PARTITA_OK && first < last && d-- > 0; rest /= axes[d].out)
        at[d] = rest % axes[d].out;
    for (uint64_t i = first; status == PARTITA_OK && i < last; i++) {
        memcpy((char *)y->data + i * size, (const char *)x->data + source_of(axes, x, at) * size, size);
        for (uint32_t d = y->rank; d-- > 0 && ++at[d] == axes[d].out;) at[d] = 0;
    }
    cpu_resize_axes_free(call, axes);
    return status;
}

static partita_status carried_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    return cpu_carry_prepare(node, host, cpu_kernels_resize_nearest, cpu_kernels_resize_nearest_count, out_state);
}

#define ROW(operator, first, last)                                                                                     \
    {.op = operator,                                                                                                   \
     .domain = "",                                                                                                     \
     .since = first,                                                                                                   \
     .until = last,                                                                                                    \
     .types = CPU_FIXED,                                                                                               \
     .reference = true,                                                                                                \
     .claim = nearest_claim,                                                                                           \
     .prepare = cpu_resize_prepare,                                                                                    \
     .release = cpu_free,                                                                                              \
     .items = cpu_items_elements,                                                                                      \
     .run = nearest_run},                                                                                              \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = first, .until = last, .types = CPU_TYPE(STRING), .reference = true,     \
        .claim = nearest_claim, .prepare = carried_prepare, .release = cpu_carry_release, .run = cpu_carry_run,        \
        .emit = true, .shaped = true                                                                                   \
    }
const cpu_kernel cpu_kernels_resize_nearest[] = {ROW("Resize", 10, CPU_NEWEST), ROW("Upsample", 1, 9)};
const uint32_t cpu_kernels_resize_nearest_count =
    sizeof(cpu_kernels_resize_nearest) / sizeof(cpu_kernels_resize_nearest[0]);
