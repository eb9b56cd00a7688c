/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pins compiled once: patterns without metacharacters are compared as text, since saved pin files name hundreds of
 * nodes and a regular expression per pin and node would cost more than the planning.
 */
#include "plan/pins.h"
#include <regex.h>

typedef struct compiled_pin {
    bool of_op; /* matches the operator instead of the name */
    bool is_literal;
    partita_str literal; /* in the arena */
    regex_t expression;
    uint32_t device;
} compiled_pin;

struct pt_pins {
    const pt_plan *plan;
    pt_arena arena;
    PT_ARRAY(compiled_pin) rows;
    pt_map by_name; /* of a saved plan: device, offset by one so that the host has a number */
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

static partita_status compile(pt_pins *pins, const pt_plan_pin *pin) {
    compiled_pin row = {0};
    PT_TRY(pt_plan_find_device(pins->plan, pin->device, &row.device));
    partita_str pattern = pt_str(pin->pattern);
    row.of_op = strncmp(pin->pattern, "op:", 3) == 0;
    if (row.of_op) pattern = (partita_str){pattern.data + 3, pattern.size - 3};
    char *text = pt_arena_alloc(&pins->arena, pattern.size + 1);
    partita_str whole = pt_arena_printf(&pins->arena, "^(%.*s)$", PT_STR_ARG(pattern));
    if (!text || !whole.data) return PT_OUT_OF_MEMORY();
    size_t size;
    row.is_literal = unescape(pattern, text, &size);
    if (row.is_literal) {
        row.literal = (partita_str){text, size};
    } else {
        int code = regcomp(&row.expression, whole.data, REG_EXTENDED | REG_NOSUB);
        if (code != 0) {
            char cause[160];
            regerror(code, &row.expression, cause, sizeof(cause));
            return pt_fail(PARTITA_INVALID_ARGUMENT, "pin '%s': %s", pin->pattern, cause);
        }
    }
    if (pt_array_push(&pins->rows, row)) return PARTITA_OK;
    if (!row.is_literal) regfree(&row.expression);
    return PT_OUT_OF_MEMORY();
}

static partita_status add_by_name(void *user, const char *node, const char *device) {
    pt_pins *pins = user;
    uint32_t index;
    PT_TRY(pt_plan_find_device(pins->plan, device, &index));
    partita_str key = pt_arena_str(&pins->arena, pt_str(node));
    if (!key.data || !pt_map_put(&pins->by_name, key, index == PT_PLAN_HOST ? 0 : index + 1)) return PT_OUT_OF_MEMORY();
    return PARTITA_OK;
}

partita_status pt_pins_create(const pt_plan *plan, const pt_plan_request *request, pt_pins **out_pins) {
    partita_status status = PARTITA_OK;
    pt_pins *pins = pt_calloc(1, sizeof(*pins));
    if (!pins) return PT_OUT_OF_MEMORY();
    pins->plan = plan;
    for (uint32_t i = 0; i < request->pin_count; i++) PT_CHECK(compile(pins, &request->pins[i]));
    if (request->plan_json) PT_CHECK(pt_plan_json_placement(request->plan_json, add_by_name, pins));
    *out_pins = pins;
    pins = NULL;
out:
    pt_pins_destroy(pins);
    return status;
}

void pt_pins_destroy(pt_pins *pins) {
    if (!pins) return;
    for (size_t i = 0; i < pins->rows.size; i++)
        if (!pins->rows.data[i].is_literal) regfree(&pins->rows.data[i].expression);
    pt_array_deinit(&pins->rows);
    pt_map_deinit(&pins->by_name);
    pt_arena_deinit(&pins->arena);
    pt_free(pins);
}

/* `text` is terminated: names lie in the model's arena. */
static bool matches(const compiled_pin *pin, partita_str text) {
    if (pin->is_literal) return pt_str_equal(pin->literal, text);
    return regexec(&pin->expression, text.data, 0, NULL, 0) == 0;
}

bool pt_pins_find(const pt_pins *pins, pt_id node, uint32_t *out_device) {
    const pt_model *model = pins->plan->model;
    const pt_node *n = &model->nodes.data[node];
    for (uint32_t i = 0; i < n->source_count; i++) {
        const pt_source *source = &model->sources.data[n->sources[i]];
        for (size_t k = pins->rows.size; k-- > 0;) {
            const compiled_pin *pin = &pins->rows.data[k];
            if (!matches(pin, pin->of_op ? source->op : source->name)) continue;
            *out_device = pin->device;
            return true;
        }
        uint32_t saved = pt_map_get(&pins->by_name, source->name);
        if (saved == PT_NONE) continue;
        *out_device = saved == 0 ? PT_PLAN_HOST : saved - 1;
        return true;
    }
    return false;
}
