/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Element-wise steps. A result that one later step alone reads is put off: when that step is element-wise too and walks
 * the same elements, both become one kernel and the value between them never exists; when it is not, gpu_emit writes
 * the value just before it is bound.
 */
#include "gpu/chain.h"
#include "gpu/executable.h"

void gpu_pointwise_init(gpu_pointwise *pointwise, const gpu_plan *plan, partita_dtype type) {
    const gpu_operand *out = &plan->node->outputs[0];
    memset(pointwise, 0, sizeof(*pointwise));
    pointwise->rank = out->rank;
    memcpy(pointwise->dims, out->dims, sizeof(out->dims));
    pointwise->type = type;
    pointwise->stored = gpu_type_of(out->dtype)->stored;
    pointwise->result = gpu_ref_out(plan, 0);
}

void gpu_pointwise_add(gpu_pointwise *pointwise, const char *name, const gpu_operand *operand, gpu_ref ref,
                       const char *computed) {
    uint32_t at = pointwise->count++;
    gpu_variable *variable = &pointwise->variables[at];
    const gpu_type *type = gpu_type_of(operand->dtype);
    int64_t strides[GPU_MAX_RANK];
    pointwise->names[at] = name;
    variable->stored = computed && strcmp(computed, "word") == 0 ? gpu_word_of(type->bytes) : type->stored;
    variable->computed = !computed ? type->computed : strcmp(computed, "word") == 0 ? variable->stored : computed;
    variable->ref = ref;
    variable->elements = gpu_elements(operand);
    gpu_strides(operand->dims, operand->rank, strides);
    int32_t shift = pointwise->rank - operand->rank;
    for (int32_t d = 0; d < pointwise->rank; d++) {
        variable->strides[d] = d < shift || operand->dims[d - shift] == 1 ? 0 : strides[d - shift];
    }
}

static uint32_t mode_choose(gpu_plan *plan, const gpu_chain *chain, const gpu_variable *variable) {
    bool whole = variable->elements == chain->elements, one = variable->elements == 1;
    uint32_t own = whole ? GPU_READ_WHOLE : one ? GPU_READ_ONE : GPU_READ_STRIDED;
    uint32_t mode = (uint32_t)gpu_decide(plan, GPU_DECIDE_READ, own);
    return (mode == GPU_READ_WHOLE && !whole) || (mode == GPU_READ_ONE && !one) ? own : mode;
}

/* A chain of one term. */
static void chain_begin(gpu_plan *plan, gpu_chain *chain, const gpu_pointwise *pointwise) {
    memset(chain, 0, sizeof(*chain));
    chain->rank = pointwise->rank;
    memcpy(chain->dims, pointwise->dims, sizeof(chain->dims));
    chain->elements = 1;
    for (int32_t d = 0; d < chain->rank; d++) chain->elements *= chain->dims[d];
    chain->count = pointwise->count;
    memcpy(chain->variables, pointwise->variables, sizeof(chain->variables));
    for (uint32_t i = 0; i < chain->count; i++) {
        chain->variables[i].mode = mode_choose(plan, chain, &chain->variables[i]);
    }
    chain->term_count = 1;
    gpu_term *term = &chain->terms[0];
    term->expression = pointwise->expression;
    term->read_count = pointwise->count;
    for (uint32_t i = 0; i < pointwise->count; i++) {
        term->reads[i] = (gpu_read){pointwise->names[i], false, (uint8_t)i};
    }
    term->scalar_count = pointwise->scalar_count;
    memcpy(term->scalars, pointwise->scalars, sizeof(term->scalars));
    chain->type = pointwise->type;
    chain->stored = pointwise->stored;
    chain->result = pointwise->result;
}

static bool same_ref(gpu_ref a, gpu_ref b) { return a.kind == b.kind && a.index == b.index; }

static bool any_strided(const gpu_chain *chain) {
    for (uint32_t i = 0; i < chain->count; i++) {
        if (chain->variables[i].mode == GPU_READ_STRIDED) return true;
    }
    return false;
}

/* Index of an equal variable, or of a new one; GPU_MAX_VARIABLES when there is no room. */
static uint32_t variable_add(gpu_chain *chain, const gpu_variable *variable) {
    for (uint32_t i = 0; i < chain->count; i++) {
        const gpu_variable *have = &chain->variables[i];
        if (same_ref(have->ref, variable->ref) && have->mode == variable->mode &&
            strcmp(have->stored, variable->stored) == 0 && strcmp(have->computed, variable->computed) == 0 &&
            memcmp(have->strides, variable->strides, sizeof(have->strides)) == 0) {
            return i;
        }
    }
    if (chain->count == GPU_MAX_VARIABLES) return GPU_MAX_VARIABLES;
    chain->variables[chain->count] = *variable;
    return chain->count++;
}

/* The chain `later` with its variable `at` computed by `earlier`, into `out`; false when they do not go together. */
static bool chains_join(const gpu_device *device, const gpu_chain *earlier, const gpu_chain *later, uint32_t at,
                        gpu_chain *out) {
    const gpu_variable *read = &later->variables[at];
    bool typed = later->type == PARTITA_FLOAT32 || later->type == PARTITA_UNDEFINED;
    bool same_dims =
        earlier->rank == later->rank && memcmp(earlier->dims, later->dims, (size_t)later->rank * sizeof(int64_t)) == 0;
    if (!typed || strcmp(read->computed, "f32") != 0 || strcmp(read->stored, "f32") != 0) return false;
    if (earlier->elements != later->elements || read->elements != later->elements) return false;
    if (!same_dims && any_strided(earlier) && any_strided(later)) return false;
    if (earlier->term_count + later->term_count > GPU_MAX_TERMS) return false;
    *out = *earlier;
    if (!same_dims && any_strided(later)) {
        out->rank = later->rank;
        memcpy(out->dims, later->dims, sizeof(out->dims));
    }
    uint8_t moved[GPU_MAX_VARIABLES];
    for (uint32_t i = 0; i < later->count; i++) {
        uint32_t index = i == at ? 0 : variable_add(out, &later->variables[i]);
        if (index == GPU_MAX_VARIABLES) return false;
        moved[i] = (uint8_t)index;
    }
    for (uint32_t t = 0; t < later->term_count; t++) {
        gpu_term *term = &out->terms[out->term_count + t];
        *term = later->terms[t];
        for (uint32_t r = 0; r < term->read_count; r++) {
            gpu_read *one = &term->reads[r];
            if (one->term) {
                one->index = (uint8_t)(one->index + out->term_count);
            } else if (one->index == at) {
                *one = (gpu_read){one->name, true, (uint8_t)(out->term_count - 1)};
            } else {
                one->index = moved[one->index];
            }
        }
    }
    out->term_count += later->term_count;
    out->stored = later->stored;
    out->result = later->result;
    return gpu_chain_fits(device, out);
}

/* Takes the chain that writes `ref` out of those put off. */
static bool pending_take(gpu_plan *plan, gpu_ref ref, gpu_chain *out) {
    gpu_array *pending = &plan->instance->pending;
    gpu_chain *chains = pending->data;
    for (uint32_t i = 0; i < pending->count; i++) {
        if (!same_ref(chains[i].result, ref)) continue;
        *out = chains[i];
        memmove(&chains[i], &chains[i + 1], (pending->count - i - 1) * sizeof(*chains));
        pending->count--;
        return true;
    }
    return false;
}

partita_status gpu_pending_flush(gpu_plan *plan, const gpu_call *call) {
    gpu_chain chain;
    for (uint32_t i = 0; i < call->binding_count && plan->instance->pending.count > 0; i++) {
        if (!pending_take(plan, call->bindings[i], &chain)) continue;
        partita_status status = gpu_chain_emit(plan, &chain);
        if (status != PARTITA_OK) return status;
    }
    return PARTITA_OK;
}

/* Whether the result can wait: one step reads it, nothing else does. */
static bool can_wait(const gpu_plan *plan, const gpu_chain *chain) {
    if (!plan->executable->fuse || chain->result.kind != GPU_REF_VALUE) return false;
    const gpu_value *value = &plan->executable->values[chain->result.index];
    return value->uses == 1 && value->home == GPU_HOME_SCRATCH && value->root == chain->result.index &&
           chain->type == PARTITA_FLOAT32 && strcmp(chain->stored, "f32") == 0;
}

partita_status gpu_emit_pointwise(gpu_plan *plan, const gpu_pointwise *pointwise) {
    gpu_chain chain, earlier, joined;
    chain_begin(plan, &chain, pointwise);
    if (chain.elements == 0) return PARTITA_OK;
    if (!plan->instance) return gpu_chain_emit(plan, &chain);
    for (uint32_t i = 0; i < chain.count && plan->instance->pending.count > 0;) {
        if (!pending_take(plan, chain.variables[i].ref, &earlier)) {
            i++;
            continue;
        }
        bool join = chains_join(plan->device, &earlier, &chain, i, &joined);
        if (gpu_decide(plan, GPU_DECIDE_JOIN, join) && join) {
            chain = joined;
            i = 0;
            continue;
        }
        partita_status status = gpu_chain_emit(plan, &earlier);
        if (status != PARTITA_OK) return status;
        i++;
    }
    if (!can_wait(plan, &chain)) return gpu_chain_emit(plan, &chain);
    gpu_chain *added = gpu_array_add(&plan->instance->pending, plan->device->host, 1, sizeof(chain));
    if (!added) return PARTITA_OUT_OF_MEMORY;
    *added = chain;
    return PARTITA_OK;
}
