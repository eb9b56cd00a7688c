/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Optimising a model at load: the default passes, with the fallback device as the evaluator of what only numbers tell.
 */
#include "pass/pass.h"
#include "run/fold.h"

typedef struct evaluator {
    pt_registry *registry;
    pt_device *device;
    bool looked; /* for the device: it is opened when the first node is folded */
} evaluator;

/* A computed value as a tensor of the model. */
static partita_status add_tensor(pt_model *model, const partita_value *value, pt_tensor **out_tensor) {
    uint64_t *offsets = NULL;
    pt_weight *weight;
    if (value->kind != PARTITA_KIND_TENSOR || value->storage == PT_STORAGE_DEVICE)
        return pt_fail(PARTITA_UNSUPPORTED, "only tensors are folded");
    if (value->dtype == PARTITA_STRING) {
        offsets = pt_arena_array(&model->arena, (size_t)value->count + 1, sizeof(*offsets));
        if (!offsets) return PT_OUT_OF_MEMORY();
        memcpy(offsets, value->offsets, ((size_t)value->count + 1) * sizeof(*offsets));
    }
    void *copy = pt_malloc_aligned(value->bytes ? (size_t)value->bytes : 1, 64);
    if (!copy) return PT_OUT_OF_MEMORY();
    if (value->bytes) memcpy(copy, value->data, (size_t)value->bytes);
    PT_TRY(pt_weight_create_owned(copy, value->bytes, &weight));
    PT_TRY(pt_model_add_tensor(model, value->dtype, value->rank, value->dims, weight, out_tensor));
    (*out_tensor)->offsets = offsets;
    return PARTITA_OK;
}

static partita_status evaluate(void *user, pt_model *model, pt_id node, pt_tensor **out_tensors) {
    evaluator *e = user;
    uint32_t count = model->nodes.data[node].output_count;
    partita_status status = PARTITA_OK;
    if (!e->looked) e->device = pt_registry_fallback(e->registry);
    e->looked = true;
    if (!e->device) return pt_fail(PARTITA_DEVICE_ABSENT, "no device computes constants");
    partita_value **values = pt_calloc(count + 1, sizeof(*values));
    if (!values) return PT_OUT_OF_MEMORY();
    PT_CHECK(pt_fold_node(e->device, model, node, values));
    for (uint32_t i = 0; i < count; i++) {
        out_tensors[i] = NULL;
        if (values[i]) PT_CHECK(add_tensor(model, values[i], &out_tensors[i]));
    }
out:
    for (uint32_t i = 0; i < count; i++) partita_value_release(values[i]);
    pt_free(values);
    return status;
}

partita_status pt_model_optimize(pt_model *model, pt_registry *registry) {
    evaluator e = {.registry = registry};
    pt_pass_options options = {.evaluate = evaluate, .user = &e};
    return pt_model_run_passes(model, &options);
}
