/* SPDX-License-Identifier: Apache-2.0 */
/* Out of a plan's JSON: the placement, which is each node's name and device, and the list of devices. */
#include "plan/pins.h"
#include <jansson.h>

static partita_status read_document(const char *text, json_t **out_document) {
    json_error_t error;
    json_t *document = json_loads(text, JSON_ALLOW_NUL, &error);
    if (!document) return pt_fail(PARTITA_BAD_INPUT, "the plan is no JSON: line %d: %s", error.line, error.text);
    if (json_integer_value(json_object_get(document, "schema")) != 1 ||
        !json_is_array(json_object_get(document, "nodes"))) {
        json_decref(document);
        return pt_fail(PARTITA_BAD_INPUT, "the plan has no 'schema' of 1 or no 'nodes'");
    }
    *out_document = document;
    return PARTITA_OK;
}

partita_status pt_plan_json_placement(const char *json,
                                      partita_status (*add)(void *user, const char *node, const char *op,
                                                            const char *device),
                                      void *user) {
    json_t *document, *row;
    size_t index;
    PT_TRY(read_document(json, &document));
    partita_status status = PARTITA_OK;
    json_array_foreach(json_object_get(document, "nodes"), index, row) {
        const char *name = json_string_value(json_object_get(row, "name"));
        const json_t *device = json_object_get(row, "device");
        if (!name)
            status = pt_fail(PARTITA_BAD_INPUT, "the plan's node %zu has no 'name'", index);
        else if (device && !json_is_string(device) && !json_is_null(device))
            status = pt_fail(PARTITA_BAD_INPUT, "the plan's node '%s' has a 'device' that is no name", name);
        else
            status = add(user, name, json_string_value(json_object_get(row, "op")), json_string_value(device));
        if (status != PARTITA_OK) break;
    }
    json_decref(document);
    return status;
}

partita_status pt_plan_json_devices(const char *json, pt_arena *arena, const char **out_list) {
    json_t *document, *row;
    size_t index;
    pt_text list = {0};
    PT_TRY(read_document(json, &document));
    json_array_foreach(json_object_get(document, "devices"), index, row) if (json_is_string(row))
        pt_text_printf(&list, "%s%s", list.size ? "," : "", json_string_value(row));
    json_decref(document);
    const char *copy = pt_arena_str(arena, pt_str(list.data ? list.data : "")).data;
    bool failed = list.failed || !copy;
    pt_text_deinit(&list);
    if (failed) return PT_OUT_OF_MEMORY();
    *out_list = copy;
    return PARTITA_OK;
}
