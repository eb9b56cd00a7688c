/* SPDX-License-Identifier: Apache-2.0 */
/* A placement out of a plan's JSON: of its rows of nodes, name and device. */
#include "plan/pins.h"
#include <jansson.h>

partita_status pt_plan_json_placement(const char *json,
                                      partita_status (*add)(void *user, const char *node, const char *device),
                                      void *user) {
    json_error_t error;
    json_t *document = json_loads(json, 0, &error), *row;
    size_t index;
    partita_status status = PARTITA_OK;
    if (!document) return pt_fail(PARTITA_BAD_INPUT, "the plan is no JSON: line %d: %s", error.line, error.text);
    json_t *nodes = json_object_get(document, "nodes");
    if (json_integer_value(json_object_get(document, "schema")) != 1 || !json_is_array(nodes))
        status = pt_fail(PARTITA_BAD_INPUT, "the plan has no 'schema' of 1 or no 'nodes'");
    json_array_foreach(nodes, index, row) {
        if (status != PARTITA_OK) break;
        const char *name = json_string_value(json_object_get(row, "name"));
        const char *device = json_string_value(json_object_get(row, "device"));
        if (!name)
            status = pt_fail(PARTITA_BAD_INPUT, "the plan's node %zu has no 'name'", index);
        else if (device)
            status = add(user, name, device);
    }
    json_decref(document);
    return status;
}
