/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan as a value: which device runs which unit, in what clusters, with which crossing edges, at what estimated
 * cost, and what every device answered. Immutable once made; printed, saved, pinned, loaded back.
 */
#ifndef PT_PLAN_PLAN_H
#define PT_PLAN_PLAN_H

#include "graph/model.h"
#include "plugin/block.h"
#include "plugin/registry.h"

/* Where the host itself runs a control-flow node: printed "(host)". */
#define PT_PLAN_HOST PT_NONE

/* What a plan minimises: numbers of PARTITA_OBJECTIVE_*. */
enum { PT_PLAN_LATENCY, PT_PLAN_THROUGHPUT, PT_PLAN_MEMORY };

/*
 * A unit of the plan. The pieces of a group are units of their own, and either they are placed or the group is: it is
 * `expanded` or whole. A unit that is not placed has PT_PLAN_HOST for its device and no cluster.
 */
typedef struct pt_plan_unit {
    uint32_t kind; /* PTP_UNIT_* */
    pt_id graph;
    pt_id *nodes; /* in topological order */
    uint32_t node_count;
    uint32_t parent;  /* group it is a piece of; PT_NONE */
    bool expanded;    /* a group whose pieces are placed instead */
    bool pinned;      /* the user chose the device: an offer does not move it */
    uint32_t device;  /* index into plan->devices; PT_PLAN_HOST: control flow run by the host */
    uint32_t cluster; /* PT_NONE when expanded or host-run */
} pt_plan_unit;

/* Answer of one device to one unit. */
typedef struct pt_plan_answer {
    uint8_t can;        /* PTP_NO, PTP_YES; PTP_ONLY_IF is resolved before */
    uint8_t reason;     /* partita_reason */
    bool demoted;       /* the claim was withdrawn: compile or run failed */
    bool as_pieces;     /* of a group: the device refused it for the reason told here, and takes each of its pieces */
    double us;          /* at nominal shapes */
    double whole;       /* factor that the device's latest offer puts on `us`: fusion; 1 without one */
    const char *source; /* "measured", "cluster", "unit", "roofline", "pieces" */
    const char *text;   /* in the plan's arena */
    uint64_t weight_bytes, scratch_bytes;
} pt_plan_answer;

/* A run of nodes of one graph on one device, compiled as one part. */
typedef struct pt_plan_cluster {
    pt_id graph;
    uint32_t device;
    pt_id *nodes; /* in topological order */
    uint32_t node_count;
    uint32_t *groups; /* rows of units: those in it that the device took whole */
    uint32_t group_count;
    pt_id *inputs; /* values from outside that are no constants, each once */
    uint32_t input_count;
    pt_id *outputs; /* values needed outside (other clusters, host-run nodes and their bodies, graph outputs) */
    uint32_t output_count;
    double unit_us; /* sum of its units, without launch and without what offers told */
    double estimate_us;
    const char *source; /* where the estimate comes from */
} pt_plan_cluster;

#define PT_PLAN_NO_BOUND UINT64_MAX

/* A value that crosses from one device to another (or to or from the host's memory, device PT_PLAN_HOST). */
typedef struct pt_plan_edge {
    pt_id value;
    uint32_t from, to; /* devices */
    uint64_t bytes; /* at nominal shapes; those that will be moved: 0 for share and import, and where only data tells */
    uint64_t at_most; /* the same number; where only data tells its bound, PT_PLAN_NO_BOUND when nothing gives one */
    uint32_t route;   /* PTP_ROUTE_SHARE, _IMPORT, _COPY */
    bool staged;      /* a COPY through host memory in two steps */
    double estimate_us;
} pt_plan_edge;

/* One step of one graph's execution, in the order that the planner's simulator decided. */
typedef struct pt_plan_step {
    bool is_node;   /* true: a control-flow node run by the host; false: a cluster */
    uint32_t index; /* pt_id of the node, or row of clusters */
} pt_plan_step;

typedef struct pt_plan_graph {
    pt_plan_step *steps;
    uint32_t step_count;
    uint32_t first_unit, unit_count;
    bool hostable; /* alive, and the host can run every node around it */
    bool hosted;   /* the host does: its nodes are parts and steps. Else a device runs it with a node around it */
} pt_plan_graph;

typedef struct pt_plan_demotion {
    const char *cluster; /* name of its first source node and the count: "conv1 and 12 more" */
    uint32_t device;
    uint32_t reason;
    const char *text;
} pt_plan_demotion;

typedef struct pt_plan {
    pt_arena arena;
    const pt_model *model; /* borrowed */
    pt_device **devices;   /* the set, in the order of preference */
    uint32_t device_count;
    uint32_t fallback; /* index of the device that --fallback added as last resort; PT_NONE */
    uint32_t objective, precision;
    int64_t *symbol_values; /* nominal, evaluated: what costs are for; [model->symbols.rows.size] */
    pt_plan_unit *units;
    uint32_t unit_count;
    pt_plan_answer *answers; /* [unit * device_count + device] */
    uint32_t *node_unit;     /* unit that each node is placed by; PT_NONE for dead nodes */
    uint32_t *node_piece;    /* each node's own unit: another one than node_unit's where its group is whole */
    bool has_groups;
    pt_plan_cluster *clusters;
    uint32_t cluster_count;
    pt_plan_edge *edges;
    uint32_t edge_count;
    pt_plan_graph *graphs; /* by graph of the model */
    PT_ARRAY(pt_plan_demotion) demotions;
    double estimate_us, lower_bound_us;
    const char *candidate; /* which candidate placement won */
} pt_plan;

/* Pins, resolved by the caller from options. */
typedef struct pt_plan_pin {
    const char *pattern; /* POSIX extended regular expression over whole source node names, or "op:Conv" */
    const char *device;
} pt_plan_pin;

typedef struct pt_plan_request {
    const pt_model *model;
    pt_device **devices; /* allowed, in order of preference */
    uint32_t device_count;
    uint32_t fallback; /* index of the last-resort device; PT_NONE */
    uint32_t objective, precision;
    const pt_plan_pin *pins;
    uint32_t pin_count;
    bool random; /* each unit to a random willing device; a willing device that got nothing gets one */
    uint64_t seed;
    const int64_t *base_values;     /* nominal sizes of base symbols, PT_DIM_UNKNOWN elsewhere; [symbols] */
    const char *plan_json;          /* placement to take over; NULL */
    const struct pt_plan *previous; /* to be replaced: its answers hold and nobody is asked again; NULL */
    bool expanded; /* `previous` is of the model that this one expands nodes of: all are asked, and what was withdrawn
                      there is withdrawn here, of a node that is expanded from all that it became */
    uint32_t demoted; /* cluster of `previous` that its device failed: the claim is withdrawn; PT_NONE */
    uint32_t demoted_reason;
    const char *demoted_text;
    uint64_t max_memory;
} pt_plan_request;

/* Units, ask, place, offer, clusters, edges, steps. UNPLACED naming the node with each device's reason. */
partita_status pt_plan_create(const pt_plan_request *request, pt_plan **out_plan);
/* Nodes that no allowed device takes, alone or in a group. */
partita_status pt_plan_unclaimed(const pt_plan_request *request, pt_arena *arena, pt_id **out_nodes,
                                 uint32_t *out_count);
/* A cluster as the block of a part, with the groups in it that its device took whole. */
partita_status pt_plan_cluster_block(const pt_plan *plan, const pt_plan_cluster *cluster, pt_block **out_block);
/* Bytes of weights that the device holds for its clusters. */
uint64_t pt_plan_weight_bytes(const pt_plan *plan, uint32_t device);
void pt_plan_destroy(pt_plan *plan);

/* Measurements of `explain`, beside the estimates; arrays by cluster and by edge; NULL for a plan that did not run. */
typedef struct pt_plan_measured {
    const double *cluster_us;
    const double *edge_us;
    const uint64_t *edge_bytes;
    const uint64_t *edge_copies;
} pt_plan_measured;

/* Devices of a plan's JSON, comma-separated, "" when it names none; BAD_INPUT when it is no plan. */
partita_status pt_plan_json_devices(const char *json, pt_arena *arena, const char **out_list);
/* As `partita plan --json` prints it, on one line. Released by pt_free. */
partita_status pt_plan_to_json(const pt_plan *plan, const pt_plan_measured *measured, char **out_json);
void pt_plan_print(const pt_plan *plan, const pt_plan_measured *measured, bool why, pt_text *out_text);
void pt_plan_print_dot(const pt_plan *plan, pt_text *out_text);
void pt_plan_print_svg(const pt_plan *plan, pt_text *out_text);

#endif
