/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Plans of the application: which devices are allowed, for which shapes costs are, and the planner's answer.
 */
#include "run/context.h"
#include <stdatomic.h>

void pt_plan_retain(partita_plan *plan) { atomic_fetch_add_explicit(&plan->references, 1, memory_order_relaxed); }

void partita_plan_destroy(partita_plan *plan) {
    if (!plan || atomic_fetch_sub_explicit(&plan->references, 1, memory_order_acq_rel) != 1) return;
    pt_plan_destroy(plan->plan);
    pt_arena_deinit(&plan->arena);
    partita_model_destroy(plan->model);
    pt_free(plan);
}

/* ---- devices --------------------------------------------------------------------------------- */

typedef struct device_set {
    PT_ARRAY(pt_device *) devices;
    uint32_t fallback;
} device_set;

static partita_status add_device(device_set *set, pt_device *device) {
    for (size_t i = 0; i < set->devices.size; i++)
        if (set->devices.data[i] == device) return PARTITA_OK;
    return pt_array_push(&set->devices, device) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status add_listed(pt_registry *registry, const char *list, device_set *set) {
    const char *whole = list;
    for (bool more = true; more;) {
        size_t size = strcspn(list, ",");
        partita_str name = {list, size};
        while (name.size && name.data[0] == ' ') name = (partita_str){name.data + 1, name.size - 1};
        while (name.size && name.data[name.size - 1] == ' ') name.size--;
        pt_device *device;
        if (!name.size) return pt_fail(PARTITA_INVALID_ARGUMENT, "the list of devices \"%s\" has an empty name", whole);
        PT_TRY(pt_registry_device(registry, name, &device));
        PT_TRY(add_device(set, device));
        more = list[size] == ',';
        list += size + more;
    }
    return PARTITA_OK;
}

/* Every device that needs no naming. Plugins without one, or that do not load, are silent here. */
static partita_status add_defaults(pt_registry *registry, device_set *set) {
    const uint32_t named_only = PTP_DEVICE_REFERENCE | PTP_DEVICE_SIMULATED | PTP_DEVICE_EMULATED;
    for (uint32_t i = 0; i < pt_registry_plugin_count(registry); i++) {
        pt_plugin *plugin = pt_registry_plugin(registry, i);
        if (plugin->lists_devices && plugin->kind_count == 0) continue; /* an operator set */
        if (pt_plugin_open(plugin) != PARTITA_OK) continue;
        for (uint32_t k = 0; k < plugin->device_count; k++) {
            ptp_device_info info;
            const char *name;
            pt_device *device;
            if (pt_plugin_device_info(plugin, k, &info, &name) != PARTITA_OK || (info.flags & named_only)) continue;
            if (pt_registry_device(registry, pt_str(name), &device) != PARTITA_OK) continue;
            PT_TRY(add_device(set, device));
        }
    }
    return set->devices.size ? PARTITA_OK : pt_fail(PARTITA_DEVICE_ABSENT, "no device was found");
}

static partita_status apply_choice(const partita_plan_options *options, device_set *set) {
    int32_t (*choose)(void *user, const partita_device_info *device) = PT_OPTION(options, partita_plan_options, choose);
    void *user = PT_OPTION(options, partita_plan_options, choose_user);
    pt_arena arena = {0};
    partita_status status = PARTITA_OK;
    size_t kept = 0;
    if (!choose) return PARTITA_OK;
    for (size_t i = 0; i < set->devices.size; i++) {
        pt_device *device = set->devices.data[i];
        partita_device_info info;
        PT_CHECK(pt_device_describe(&arena, device->name, device->plugin->name, &device->info, &info));
        if (choose(user, &info)) set->devices.data[kept++] = device;
    }
    set->devices.size = kept;
    if (!kept) status = pt_fail(PARTITA_DEVICE_ABSENT, "no device was chosen");
out:
    pt_arena_deinit(&arena);
    return status;
}

/* Those listed by the caller, else by the plan that is taken over, else by the environment. */
static partita_status find_devices(pt_registry *registry, const partita_plan_options *options, pt_arena *arena,
                                   device_set *set) {
    const char *list = PT_OPTION(options, partita_plan_options, devices);
    const char *json = PT_OPTION(options, partita_plan_options, plan_json);
    if (!list && json) PT_TRY(pt_plan_json_devices(json, arena, &list));
    if (!list || !*list) list = pt_env("PARTITA_DEVICES");
    set->fallback = PT_NONE;
    PT_TRY(list && *list ? add_listed(registry, list, set) : add_defaults(registry, set));
    PT_TRY(apply_choice(options, set));
    if (!PT_OPTION(options, partita_plan_options, fallback)) return PARTITA_OK;
    pt_device *device = pt_registry_fallback(registry);
    if (!device) return pt_fail(PARTITA_DEVICE_ABSENT, "no device has the role fallback");
    size_t before = set->devices.size;
    PT_TRY(add_device(set, device));
    if (set->devices.size > before) set->fallback = (uint32_t)before;
    return PARTITA_OK;
}

/* ---- nominal shapes -------------------------------------------------------------------------- */

static partita_status bind_dim(const pt_model *model, pt_dim dim, int64_t value, int64_t *values) {
    if (value < 0) return pt_fail(PARTITA_INVALID_ARGUMENT, "size %lld is negative", (long long)value);
    if (pt_dim_is_exact(dim)) {
        if (dim == value) return PARTITA_OK;
        return pt_fail(PARTITA_BAD_INPUT, "size %lld, the model says %lld", (long long)value, (long long)dim);
    }
    if (model->symbols.rows.data[pt_dim_symbol(dim)].op == PT_DIM_BASE) values[pt_dim_symbol(dim)] = value;
    return PARTITA_OK;
}

static partita_status apply_shape(const pt_model *model, const partita_input_shape *shape, int64_t *values) {
    const pt_graph *graph = &model->graphs.data[0];
    for (size_t i = 0; i < graph->inputs.size; i++) {
        const pt_value *input = &model->values.data[graph->inputs.data[i]];
        if (!pt_str_is(input->name, shape->input)) continue;
        if (input->type.rank < 0) return PARTITA_OK;
        if ((uint32_t)input->type.rank != shape->rank)
            return pt_fail(PARTITA_BAD_INPUT, "input '%s': rank %u, the model says %d", shape->input, shape->rank,
                           input->type.rank);
        for (uint32_t d = 0; d < shape->rank; d++) {
            partita_status status = bind_dim(model, input->type.dims[d], shape->dims[d], values);
            if (status) return pt_annotate(status, "input '%s', dim %u", shape->input, d);
        }
        return PARTITA_OK;
    }
    return pt_fail(PARTITA_INVALID_ARGUMENT, "the model has no input '%s'", shape->input);
}

static partita_status apply_dim(const pt_model *model, const partita_dim *dim, int64_t *values) {
    for (size_t i = 0; i < model->symbols.rows.size; i++) {
        const pt_symbol *symbol = &model->symbols.rows.data[i];
        if (symbol->op != PT_DIM_BASE || !symbol->name.size || !pt_str_is(symbol->name, dim->name)) continue;
        partita_status status = bind_dim(model, pt_dim_of_symbol((uint32_t)i), dim->value, values);
        return status == PARTITA_OK ? status : pt_annotate(status, "dim '%s'", dim->name);
    }
    return pt_fail(PARTITA_INVALID_ARGUMENT, "the model has no symbolic dim '%s'", dim->name);
}

/* Inputs with a default most likely have its shape. */
static void take_presets(const pt_model *model, int64_t *values) {
    const pt_graph *graph = &model->graphs.data[0];
    for (size_t i = 0; i < graph->inputs.size; i++) {
        const pt_value *input = &model->values.data[graph->inputs.data[i]];
        for (int32_t d = 0; input->preset && d < input->type.rank; d++) {
            pt_dim dim = input->type.dims[d];
            if (pt_dim_is_exact(dim) || model->symbols.rows.data[pt_dim_symbol(dim)].op != PT_DIM_BASE) continue;
            values[pt_dim_symbol(dim)] = input->preset->dims[d];
        }
    }
}

static partita_status find_nominal(const pt_model *model, const partita_plan_options *options, int64_t *values) {
    uint32_t dims = PT_OPTION(options, partita_plan_options, dim_count);
    uint32_t shapes = PT_OPTION(options, partita_plan_options, shape_count);
    for (size_t i = 0; i < model->symbols.rows.size; i++)
        values[i] = model->symbols.rows.data[i].op == PT_DIM_BASE ? 1 : PT_DIM_UNKNOWN;
    take_presets(model, values);
    for (uint32_t i = 0; i < dims; i++) PT_TRY(apply_dim(model, &options->dims[i], values));
    for (uint32_t i = 0; i < shapes; i++) PT_TRY(apply_shape(model, &options->shapes[i], values));
    return PARTITA_OK;
}

/* ---- the request ----------------------------------------------------------------------------- */

static const char *keep(pt_arena *arena, const char *text, bool *failed) {
    const char *copy = text ? pt_arena_str(arena, pt_str(text)).data : NULL;
    if (text && !copy) *failed = true;
    return copy;
}

static partita_status make_request(partita_plan *plan, const partita_plan_options *options) {
    pt_plan_request *request = &plan->request;
    pt_arena *arena = &plan->arena;
    const pt_model *model = plan->model->graph;
    device_set set = {0};
    bool failed = false;
    uint32_t pins = PT_OPTION(options, partita_plan_options, pin_count);
    partita_status status = find_devices(plan->model->context->registry, options, arena, &set);
    if (status != PARTITA_OK) goto out;
    pt_device **devices = pt_arena_array(arena, set.devices.size + 1, sizeof(*devices));
    int64_t *values = pt_arena_array(arena, model->symbols.rows.size + 1, sizeof(*values));
    pt_plan_pin *rows = pt_arena_array(arena, pins + 1, sizeof(*rows));
    if (!devices || !values || !rows) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    memcpy(devices, set.devices.data, set.devices.size * sizeof(*devices));
    for (uint32_t i = 0; i < pins; i++)
        rows[i] = (pt_plan_pin){keep(arena, options->pins[i].pattern, &failed),
                                keep(arena, options->pins[i].device, &failed)};
    PT_CHECK(find_nominal(model, options, values));
    if (PT_OPTION(options, partita_plan_options, objective) > PARTITA_OBJECTIVE_MEMORY)
        PT_CHECK(pt_fail(PARTITA_INVALID_ARGUMENT, "objective %u", options->objective));
    if (PT_OPTION(options, partita_plan_options, precision) != PARTITA_PRECISION_EXACT)
        PT_CHECK(pt_fail(PARTITA_NOT_IN_VERSION, "precision fast: not in this version"));
    *request = (pt_plan_request){.model = model,
                                 .devices = devices,
                                 .device_count = (uint32_t)set.devices.size,
                                 .fallback = set.fallback,
                                 .objective = PT_OPTION(options, partita_plan_options, objective),
                                 .precision = PT_OPTION(options, partita_plan_options, precision),
                                 .pins = rows,
                                 .pin_count = pins,
                                 .random = PT_OPTION(options, partita_plan_options, pin_random) != 0,
                                 .seed = PT_OPTION(options, partita_plan_options, random_seed),
                                 .base_values = values,
                                 .demoted = PT_NONE,
                                 .max_memory = PT_OPTION(options, partita_plan_options, max_memory)};
    request->plan_json = keep(arena, PT_OPTION(options, partita_plan_options, plan_json), &failed);
    plan->strict = PT_OPTION(options, partita_plan_options, strict) != 0;
    if (failed) status = PT_OUT_OF_MEMORY();
out:
    pt_array_deinit(&set.devices);
    return status;
}

static partita_status check_options(const partita_plan_options *options) {
    const partita_pin *pins = PT_OPTION(options, partita_plan_options, pins);
    const partita_dim *dims = PT_OPTION(options, partita_plan_options, dims);
    const partita_input_shape *shapes = PT_OPTION(options, partita_plan_options, shapes);
    uint32_t pin_count = PT_OPTION(options, partita_plan_options, pin_count);
    uint32_t dim_count = PT_OPTION(options, partita_plan_options, dim_count);
    uint32_t shape_count = PT_OPTION(options, partita_plan_options, shape_count);
    PT_REQUIRE((pins || !pin_count) && (dims || !dim_count) && (shapes || !shape_count));
    for (uint32_t i = 0; i < pin_count; i++) PT_REQUIRE(pins[i].pattern && pins[i].device);
    for (uint32_t i = 0; i < dim_count; i++) PT_REQUIRE(dims[i].name);
    for (uint32_t i = 0; i < shape_count; i++) PT_REQUIRE(shapes[i].input && (shapes[i].dims || !shapes[i].rank));
    return PARTITA_OK;
}

partita_status partita_plan_create(partita_model *model, const partita_plan_options *options, partita_plan **out_plan) {
    partita_status status = PARTITA_OK;
    PT_REQUIRE(model && out_plan);
    PT_TRY(check_options(options));
    partita_plan *plan = pt_calloc(1, sizeof(*plan));
    if (!plan) return PT_OUT_OF_MEMORY();
    atomic_init(&plan->references, 1);
    pt_model_retain(model);
    plan->model = model;
    PT_CHECK(make_request(plan, options));
    PT_CHECK(pt_plan_create_expanding(&plan->model, &plan->request, &plan->arena, &plan->plan));
    *out_plan = plan;
    plan = NULL;
out:
    partita_plan_destroy(plan);
    return status;
}

double partita_plan_estimate_us(const partita_plan *plan) { return plan ? plan->plan->estimate_us : 0; }
