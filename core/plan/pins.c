/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins compiled once: patterns without metacharacters are compared as text, since saved pin files name hundreds of
 * nodes and a regular expression per pin and node would cost more than the planning.
 */
#include "plan/pins.h"
#include <regex.h>

#define NOT_SAVED (UINT32_MAX - 1) /* the host is another one: PT_PLAN_HOST */

/* Rows count from 0 in the order given, so that the last one of those that match can be told. */
typedef struct expression_pin {
    bool of_op; /* matches the operator instead of the name */
    regex_t expression;
    uint32_t row;
} expression_pin;

struct pt_pins {
    const pt_plan *plan;
    pt_arena arena;
    uint32_t *devices; /* by row */
    bool *repeated;    /* by row: a later one has the same plain text */
    PT_ARRAY(expression_pin) expressions;
    pt_map names, ops; /* of patterns that are plain text: the last row */
    uint32_t *saved;   /* by source: device of a saved plan; NOT_SAVED. NULL without one */
};

partita_status pt_plan_find_device(const pt_plan *plan, const char *name, uint32_t *out_device) {
    *out_device = PT_PLAN_HOST;
    if (strcmp(name, "(host)") == 0) return PARTITA_OK;
    size_t size = strlen(name);
    for (uint32_t i = 0; i < plan->device_count; i++) {
        const char *other = plan->devices[i]->name;
        size_t common = PT_MIN(size, strlen(other));
        const char *longer = size > common ? name : other;
        if (strncmp(name, other, common) != 0 || (longer[common] && strcmp(longer + common, ":0") != 0)) continue;
        *out_device = i;
        return PARTITA_OK;
    }
    return pt_fail(PARTITA_DEVICE_ABSENT, "device '%s' is not among those of the plan", name);
}

/* The text that a pattern stands for when it has no metacharacter but escaped ones; false when it has. */
static bool unescape(partita_str pattern, char *out, size_t *out_size) {
    *out_size = 0;
    for (size_t i = 0; i < pattern.size; i++) {
        char c = pattern.data[i];
        if (c == '\\' && i + 1 < pattern.size)
            c = pattern.data[++i];
        else if (strchr("^$.[]|()*+?{}\\", c))
            return false;
        out[(*out_size)++] = c;
    }
    return true;
}

static partita_status compile(pt_pins *pins, const pt_plan_pin *pin, uint32_t row) {
    PT_TRY(pt_plan_find_device(pins->plan, pin->device, &pins->devices[row]));
    expression_pin e = {.row = row, .of_op = strncmp(pin->pattern, "op:", 3) == 0};
    partita_str pattern = pt_str(e.of_op ? pin->pattern + 3 : pin->pattern);
    char *text = pt_arena_alloc(&pins->arena, pattern.size + 1);
    partita_str whole = pt_arena_printf(&pins->arena, "^(%.*s)$", PT_STR_ARG(pattern));
    size_t size;
    if (!text || !whole.data) return PT_OUT_OF_MEMORY();
    if (unescape(pattern, text, &size)) {
        pt_map *map = e.of_op ? &pins->ops : &pins->names;
        uint32_t before = pt_map_get(map, (partita_str){text, size});
        if (before != PT_NONE) pins->repeated[before] = true;
        return pt_map_put(map, (partita_str){text, size}, row) ? PARTITA_OK : PT_OUT_OF_MEMORY();
    }
    int code = regcomp(&e.expression, whole.data, REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
        char cause[160];
        regerror(code, &e.expression, cause, sizeof(cause));
        return pt_fail(code == REG_ESPACE ? PARTITA_OUT_OF_MEMORY : PARTITA_INVALID_ARGUMENT, "pin '%s': %s",
                       pin->pattern, cause);
    }
    if (pt_array_push(&pins->expressions, e)) return PARTITA_OK;
    regfree(&e.expression);
    return PT_OUT_OF_MEMORY();
}

/* Several nodes of a model may have one name: the first of them is the first row of that name in a saved plan. */
typedef struct saved_nodes {
    const pt_pins *pins;
    pt_map names;   /* to the source that the next row of the name stands for */
    uint32_t *next; /* by source: the next one of that name; PT_NONE */
    pt_arena arena;
    uint32_t unknown; /* rows that stand for no source */
    const char *first_unknown;
} saved_nodes;

static partita_status take_row(void *user, const char *node, const char *op, const char *device) {
    saved_nodes *saved = user;
    uint32_t source = pt_map_get(&saved->names, pt_str(node));
    /* A node of that name that is another operator is one that the saved plan lacks, or all of them are of another
     * model. */
    while (source != PT_NONE && op && !pt_str_is(saved->pins->plan->model->sources.data[source].op, op))
        source = saved->next[source];
    if (source == PT_NONE) {
        if (!device || saved->unknown++) return PARTITA_OK;
        saved->first_unknown = pt_arena_str(&saved->arena, pt_str(node)).data;
        return saved->first_unknown ? PARTITA_OK : PT_OUT_OF_MEMORY();
    }
    if (device) PT_TRY(pt_plan_find_device(saved->pins->plan, device, &saved->pins->saved[source]));
    partita_str name = saved->pins->plan->model->sources.data[source].name;
    return pt_map_put(&saved->names, name, saved->next[source]) ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

static partita_status read_saved(pt_pins *pins, const char *json, saved_nodes *saved) {
    const pt_model *model = pins->plan->model;
    *saved = (saved_nodes){.pins = pins};
    pins->saved = pt_arena_array(&pins->arena, model->sources.size + 1, sizeof(uint32_t));
    saved->next = pt_arena_array(&saved->arena, model->sources.size + 1, sizeof(uint32_t));
    if (!pins->saved || !saved->next) return PT_OUT_OF_MEMORY();
    for (size_t i = model->sources.size; i-- > 0;) {
        pins->saved[i] = NOT_SAVED;
        saved->next[i] = pt_map_get(&saved->names, model->sources.data[i].name);
        if (!pt_map_put(&saved->names, model->sources.data[i].name, (uint32_t)i)) return PT_OUT_OF_MEMORY();
    }
    return pt_plan_json_placement(json, take_row, saved);
}

static void saved_nodes_deinit(saved_nodes *saved) {
    pt_map_deinit(&saved->names);
    pt_arena_deinit(&saved->arena);
}

partita_status pt_pins_create(const pt_plan *plan, const pt_plan_request *request, pt_pins **out_pins) {
    partita_status status = PARTITA_OK;
    pt_pins *pins = pt_calloc(1, sizeof(*pins));
    if (!pins) return PT_OUT_OF_MEMORY();
    pins->plan = plan;
    pins->devices = pt_arena_array(&pins->arena, request->pin_count + 1, sizeof(uint32_t));
    pins->repeated = pt_arena_array(&pins->arena, request->pin_count + 1, sizeof(bool));
    if (!pins->devices || !pins->repeated) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    for (uint32_t i = 0; i < request->pin_count; i++) PT_CHECK(compile(pins, &request->pins[i], i));
    if (request->plan_json) {
        saved_nodes saved;
        status = read_saved(pins, request->plan_json, &saved);
        saved_nodes_deinit(&saved);
        if (status != PARTITA_OK) goto out;
    }
    *out_pins = pins;
    pins = NULL;
out:
    pt_pins_destroy(pins);
    return status;
}

void pt_pins_destroy(pt_pins *pins) {
    if (!pins) return;
    for (size_t i = 0; i < pins->expressions.size; i++) regfree(&pins->expressions.data[i].expression);
    pt_array_deinit(&pins->expressions);
    pt_map_deinit(&pins->names);
    pt_map_deinit(&pins->ops);
    pt_arena_deinit(&pins->arena);
    pt_free(pins);
}

/* The last row that matches a source node; PT_NONE. Texts are terminated: they lie in the model's arena. */
static uint32_t last_match(const pt_pins *pins, const pt_source *source) {
    uint32_t name = pt_map_get(&pins->names, source->name), op = pt_map_get(&pins->ops, source->op);
    uint32_t last = name == PT_NONE ? op : op == PT_NONE ? name : PT_MAX(name, op);
    for (size_t i = pins->expressions.size; i-- > 0;) {
        const expression_pin *e = &pins->expressions.data[i];
        if (last != PT_NONE && e->row < last) break;
        const char *text = e->of_op ? source->op.data : source->name.data;
        if (regexec(&e->expression, text ? text : "", 0, NULL, 0) == 0) return e->row;
    }
    return last;
}

bool pt_pins_find(const pt_pins *pins, pt_id node, uint32_t *out_device) {
    const pt_model *model = pins->plan->model;
    const pt_node *n = &model->nodes.data[node];
    for (uint32_t i = 0; i < n->source_count; i++) {
        const pt_source *source = &model->sources.data[n->sources[i]];
        uint32_t row = last_match(pins, source), saved = pins->saved ? pins->saved[n->sources[i]] : NOT_SAVED;
        if (row == PT_NONE && saved == NOT_SAVED) continue;
        *out_device = row != PT_NONE ? pins->devices[row] : saved;
        return true;
    }
    return false;
}

/* ---- what matches nothing -------------------------------------------------------------------- */

/* Of rules, one by one; a pin file of another model has hundreds. */
#define MOST_WARNINGS 8u

/* What a rule has to do with source nodes. */
typedef struct pin_hits {
    bool matches;     /* one that a live node carries */
    uint32_t removed; /* one that a pass removed; PT_NONE */
} pin_hits;

static void hit(pin_hits *hits, const pt_model *model, uint32_t source) {
    if (model->sources.data[source].removed_by)
        hits->removed = hits->removed == PT_NONE ? source : hits->removed;
    else
        hits->matches = true;
}

static void find_hits(const pt_pins *pins, pin_hits *hits) {
    const pt_model *model = pins->plan->model;
    for (uint32_t i = 0; i < model->sources.size; i++) {
        const pt_source *source = &model->sources.data[i];
        uint32_t name = pt_map_get(&pins->names, source->name), op = pt_map_get(&pins->ops, source->op);
        if (name != PT_NONE) hit(&hits[name], model, i);
        if (op != PT_NONE) hit(&hits[op], model, i);
    }
    for (size_t k = 0; k < pins->expressions.size; k++) {
        const expression_pin *e = &pins->expressions.data[k];
        for (uint32_t i = 0; i < model->sources.size && !hits[e->row].matches; i++) {
            const char *text = e->of_op ? model->sources.data[i].op.data : model->sources.data[i].name.data;
            if (regexec(&e->expression, text ? text : "", 0, NULL, 0) == 0) hit(&hits[e->row], model, i);
        }
    }
}

static void warn_of_pin(const pt_model *model, const pt_plan_pin *pin, const pin_hits *hits) {
    if (hits->removed == PT_NONE) {
        pt_log(PARTITA_LOG_WARNING,
               "pin-unmatched: pin '%s=%s' matches none of the model's %zu nodes and places nothing (--pin)",
               pin->pattern, pin->device, model->sources.size);
        return;
    }
    const pt_source *source = &model->sources.data[hits->removed];
    pt_log(
        PARTITA_LOG_WARNING,
        "pin-unmatched: pin '%s=%s' matches only nodes that passes removed ('%.*s' by %s) and places nothing (--pin)",
        pin->pattern, pin->device, PT_STR_ARG(source->name), source->removed_by);
}

static partita_status check_saved(pt_pins *pins, const char *json) {
    const pt_model *model = pins->plan->model;
    saved_nodes saved;
    uint32_t missing = 0, first = 0;
    partita_status status = read_saved(pins, json, &saved);
    for (uint32_t i = 0; status == PARTITA_OK && i < model->sources.size; i++)
        if (pins->saved[i] == NOT_SAVED && !model->sources.data[i].removed_by && missing++ == 0) first = i;
    if (status == PARTITA_OK && saved.unknown)
        pt_log(PARTITA_LOG_WARNING,
               "plan-node-unknown: %u nodes of the saved plan, first '%s', are not in the model and place nothing "
               "(--plan)",
               saved.unknown, saved.first_unknown);
    if (missing)
        pt_log(
            PARTITA_LOG_WARNING,
            "plan-node-missing: %u nodes of the model, first '%.*s', have no device in the saved plan and are placed "
            "anew (--plan)",
            missing, PT_STR_ARG(model->sources.data[first].name));
    saved_nodes_deinit(&saved);
    return status;
}

partita_status pt_pins_check(const pt_plan *plan, const pt_plan_request *request) {
    pt_pins *pins = NULL;
    partita_status status = PARTITA_OK;
    uint32_t unmatched = 0;
    if (!request->pin_count && !request->plan_json) return PARTITA_OK;
    pin_hits *hits = pt_calloc(request->pin_count + 1, sizeof(*hits));
    if (!hits) return PT_OUT_OF_MEMORY();
    PT_CHECK(pt_pins_create(plan, request, &pins));
    for (uint32_t i = 0; i < request->pin_count; i++) hits[i].removed = PT_NONE;
    find_hits(pins, hits);
    for (uint32_t i = 0; i < request->pin_count; i++)
        if (!hits[i].matches && !pins->repeated[i] && unmatched++ < MOST_WARNINGS)
            warn_of_pin(plan->model, &request->pins[i], &hits[i]);
    if (unmatched > MOST_WARNINGS)
        pt_log(PARTITA_LOG_WARNING, "pin-unmatched: %u more pins match nothing and place nothing (--pin)",
               unmatched - MOST_WARNINGS);
    if (request->plan_json) status = check_saved(pins, request->plan_json);
out:
    pt_pins_destroy(pins);
    pt_free(hits);
    return status;
}
