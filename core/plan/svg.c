/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan as a picture: a lane per device, time downwards in the order of the steps, a line per crossing value. Drawn
 * here, since the layout follows from the plan and Graphviz would be the largest dependency of all.
 */
#include "plan/build.h"
#include "plan/words.h"
#include <inttypes.h>
#include <stdio.h>

#define LANE_WIDTH 260
#define ROW_HEIGHT 44
#define MARGIN     24
#define HEAD       56

/* At most `limit` bytes of it. */
static void escape(pt_text *out, partita_str text, size_t limit) {
    char shown[256];
    pt_str_show(text, shown, PT_MIN(limit, sizeof(shown) - 1) + 1);
    for (const char *at = shown; *at; at++) {
        char c = *at;
        if (c == '<')
            pt_text_append(out, PT_STR("&lt;"));
        else if (c == '&')
            pt_text_append(out, PT_STR("&amp;"));
        else if (c == '"')
            pt_text_append(out, PT_STR("&quot;"));
        else
            pt_text_append(out, (partita_str){at, 1});
    }
}

/* Lane of a device: the host's is the last. */
static uint32_t lane_of(const pt_plan *plan, uint32_t device) { return PT_MIN(device, plan->device_count); }
static int lane_x(uint32_t lane) { return MARGIN + (int)lane * LANE_WIDTH; }

static void box(const pt_plan *plan, uint32_t device, uint32_t row, partita_str title, const char *more, pt_text *out) {
    static const char *const colours[] = {"#cfe3f7", "#f7d9c4", "#d5efd0", "#e6d6f2", "#f7efc0", "#d0ecec"};
    uint32_t lane = lane_of(plan, device);
    int x = lane_x(lane), y = HEAD + (int)row * ROW_HEIGHT;
    const char *colour = lane == plan->device_count ? "#eeeeee" : colours[lane % PT_COUNT_OF(colours)];
    pt_text_printf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\" fill=\"%s\" stroke=\"#667\"/>\n",
                   x, y, LANE_WIDTH - 40, ROW_HEIGHT - 12, colour);
    pt_text_printf(out, "<text x=\"%d\" y=\"%d\">", x + 8, y + 14);
    escape(out, title, 34);
    pt_text_printf(out, "</text>\n<text x=\"%d\" y=\"%d\" class=\"more\">%s</text>\n", x + 8, y + 27, more);
}

/* Row of each unit's box: units of one cluster share it. Returns the number of rows. */
static uint32_t number_rows(const pt_plan *plan, uint32_t *row_of_cluster, uint32_t *row_of_node, pt_text *out) {
    uint32_t rows = 0;
    for (pt_id g = 0; g < plan->model->graphs.size; g++) {
        for (uint32_t i = 0; i < plan->graphs[g].step_count; i++) {
            pt_plan_step step = plan->graphs[g].steps[i];
            char more[96];
            if (step.is_node) {
                row_of_node[step.index] = rows;
                box(plan, PT_PLAN_HOST, rows++, pt_node_name(plan->model, step.index), "control flow", out);
                continue;
            }
            const pt_plan_cluster *cluster = &plan->clusters[step.index];
            snprintf(more, sizeof(more), "%u node%s, %.1f us", cluster->node_count, cluster->node_count == 1 ? "" : "s",
                     cluster->estimate_us);
            row_of_cluster[step.index] = rows;
            box(plan, cluster->device, rows++, pt_node_name(plan->model, cluster->nodes[0]), more, out);
        }
    }
    return rows;
}

static uint32_t row_of(const pt_plan *plan, pt_id node, const uint32_t *row_of_cluster, const uint32_t *row_of_node) {
    uint32_t unit = node == PT_NONE ? PT_NONE : plan->node_unit[node];
    if (unit == PT_NONE) return PT_NONE;
    return plan->units[unit].cluster == PT_NONE ? row_of_node[node] : row_of_cluster[plan->units[unit].cluster];
}

static void lines(const pt_plan *plan, const uint32_t *row_of_cluster, const uint32_t *row_of_node, pt_text *out) {
    pt_text scratch = {0};
    for (uint32_t i = 0; i < plan->edge_count; i++) {
        const pt_plan_edge *edge = &plan->edges[i];
        const pt_value *value = &plan->model->values.data[edge->value];
        uint32_t from = row_of(plan, value->producer, row_of_cluster, row_of_node), to = PT_NONE;
        for (size_t k = 0; k < value->uses.size && to == PT_NONE; k++) {
            pt_id node = value->uses.data[k].node;
            if (plan->node_unit[node] != PT_NONE && pt_plan_node_device(plan, node) == edge->to)
                to = row_of(plan, node, row_of_cluster, row_of_node);
        }
        if (from == PT_NONE || to == PT_NONE) continue;
        int x1 = lane_x(lane_of(plan, edge->from)) + LANE_WIDTH - 40, x2 = lane_x(lane_of(plan, edge->to));
        if (x2 < x1) x1 -= LANE_WIDTH - 40, x2 += LANE_WIDTH - 40;
        int y1 = HEAD + (int)from * ROW_HEIGHT + 16, y2 = HEAD + (int)to * ROW_HEIGHT + 16;
        pt_text_printf(out, "<path d=\"M%d %d C%d %d %d %d %d %d\" class=\"%s\"><title>", x1, y1, (x1 + x2) / 2, y1,
                       (x1 + x2) / 2, y2, x2, y2, pt_plan_route_name(edge));
        escape(out, pt_plan_value_name(plan, edge->value, &scratch), SIZE_MAX);
        pt_text_printf(out, ": %s, ", pt_plan_route_name(edge));
        pt_plan_print_bytes(edge, out);
        pt_text_printf(out, ", %.1f us</title></path>\n", edge->estimate_us);
    }
    pt_text_deinit(&scratch);
}

void pt_plan_print_svg(const pt_plan *plan, pt_text *out_text) {
    size_t nodes = plan->model->nodes.size;
    uint32_t *row_of_cluster = pt_calloc(plan->cluster_count + 1, sizeof(uint32_t));
    uint32_t *row_of_node = pt_calloc(nodes + 1, sizeof(uint32_t));
    pt_text body = {0};
    if (row_of_cluster && row_of_node) {
        uint32_t rows = number_rows(plan, row_of_cluster, row_of_node, &body);
        lines(plan, row_of_cluster, row_of_node, &body);
        int width = 2 * MARGIN + (int)(plan->device_count + 1) * LANE_WIDTH,
            height = HEAD + (int)rows * ROW_HEIGHT + MARGIN;
        pt_text_printf(
            out_text,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n<style>.more{font-size:10px;fill:#555}path{fill:none;stroke:#a33}"
            ".share{stroke:#999}.import{stroke:#393}</style>\n<rect width=\"100%%\" height=\"100%%\" "
            "fill=\"white\"/>\n",
            width, height);
        for (uint32_t lane = 0; lane <= plan->device_count; lane++)
            pt_text_printf(out_text, "<text x=\"%d\" y=\"36\" font-size=\"15\">%s</text>\n", lane_x(lane),
                           pt_plan_device_name(plan, lane));
        pt_text_append(out_text, pt_str(body.data ? body.data : ""));
        pt_text_printf(out_text, "</svg>\n");
    } else {
        out_text->failed = true;
    }
    out_text->failed |= body.failed;
    pt_text_deinit(&body);
    pt_free(row_of_cluster);
    pt_free(row_of_node);
}
