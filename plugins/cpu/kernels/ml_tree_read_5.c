/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attributes of TreeEnsemble: nodes and leaves by position, sets of members.
 */
#include "cpu/kernels/ml_tree.h"

typedef struct new_source {
    ml_list modes, true_ids, false_ids, true_leaves, false_leaves, roots, leaf_targets, leaf_weights, members;
} new_source;

static ml_mode new_mode(const ml_source *source, uint32_t i) {
    return (ml_mode)ml_list_int(&((const new_source *)source->user)->modes, i);
}

static partita_status lists_read(const cpu_node *node, const ptp_host *host, new_source *from, ml_source *source) {
    enum { NODES, LEAVES, FREE };
    const struct {
        const char *name;
        ml_list *list;
        int length;
        bool optional;
    } rows[] = {
        {"nodes_modes", &from->modes, NODES, false},
        {"nodes_featureids", &source->features, NODES, false},
        {"nodes_splits", &source->splits, NODES, false},
        {"nodes_truenodeids", &from->true_ids, NODES, false},
        {"nodes_falsenodeids", &from->false_ids, NODES, false},
        {"nodes_trueleafs", &from->true_leaves, NODES, false},
        {"nodes_falseleafs", &from->false_leaves, NODES, false},
        {"nodes_missing_value_tracks_true", &source->missing, NODES, true},
        {"leaf_weights", &from->leaf_weights, LEAVES, false},
        {"leaf_targetids", &from->leaf_targets, LEAVES, false},
        {"tree_roots", &from->roots, FREE, false},
        {"membership_values", &from->members, FREE, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        partita_status status = ml_list_read(node, host, rows[i].name, rows[i].name, rows[i].list);
        if (status != PARTITA_OK) return status;
        const ml_list *like = rows[i].length == NODES ? &from->modes : &from->leaf_weights;
        if (rows[i].length == FREE || (rows[i].optional && rows[i].list->count == 0)) continue;
        if (rows[i].list->count != like->count)
            return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%s has %u entries, not %u", rows[i].name,
                            rows[i].list->count, like->count);
    }
    source->count = from->modes.count;
    if (source->count == 0 || source->count > INT32_MAX / 2)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%u nodes", source->count);
    for (uint32_t i = 0; i < source->count; i++)
        if (new_mode(source, i) > ML_IN)
            return cpu_fail(host, PARTITA_CANNOT_COMPILE, "node %u has the mode %d", i, (int)new_mode(source, i));
    return PARTITA_OK;
}

static partita_status leaves_read(const cpu_node *node, const ptp_host *host, const new_source *from, ml_ensemble *e) {
    int64_t targets = cpu_attr_int(node, "n_targets", 0);
    uint32_t n = from->leaf_weights.count;
    for (uint32_t i = 0; !cpu_attr_has(node, "n_targets") && i < n; i++)
        if (ml_list_int(&from->leaf_targets, i) >= targets) targets = ml_list_int(&from->leaf_targets, i) + 1;
    if (targets < 1 || targets > INT32_MAX / (2 * ML_BLOCK))
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%lld targets", (long long)targets);
    e->targets = (uint32_t)targets;
    e->leaf_count = e->weight_count = n;
    e->leaves = cpu_alloc(host, ((uint64_t)n + 1) * sizeof(*e->leaves));
    e->weights = cpu_alloc(host, ((uint64_t)n + 1) * sizeof(*e->weights));
    if (e->leaves == NULL || e->weights == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < n; i++) {
        int64_t target = ml_list_int(&from->leaf_targets, i);
        if (target < 0 || target >= targets)
            return cpu_fail(host, PARTITA_CANNOT_COMPILE, "leaf %u is for target %lld of %lld", i, (long long)target,
                            (long long)targets);
        e->leaves[i] = (ml_span){i, 1};
        e->weights[i] = (ml_weight){ml_list_real(&from->leaf_weights, i), (uint32_t)target};
    }
    return PARTITA_OK;
}

/* Sets in the order of the nodes that test them, each ended by a NaN. */
static partita_status sets_read(const ptp_host *host, const new_source *from, const ml_source *source, uint32_t *sets,
                                ml_ensemble *e) {
    uint32_t wanted = 0, at = 0, n = from->members.count;
    for (uint32_t i = 0; i < source->count; i++)
        if (new_mode(source, i) == ML_IN) sets[i] = wanted++;
    e->set_count = wanted;
    e->sets = cpu_alloc(host, ((uint64_t)wanted + 1) * sizeof(*e->sets));
    e->members = cpu_alloc(host, ((uint64_t)n + 1) * sizeof(*e->members));
    if (e->sets == NULL || e->members == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < n; i++) e->members[i] = ml_list_real(&from->members, i);
    for (uint32_t s = 0; s < wanted; s++, at++) {
        e->sets[s].first = at;
        while (at < n && !isnan(e->members[at])) at++;
        if (at >= n)
            return cpu_fail(host, PARTITA_CANNOT_COMPILE, "membership_values end before set %u of %u", s + 1, wanted);
        e->sets[s].count = at - e->sets[s].first;
    }
    if (at != n) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "membership_values has more than %u sets", wanted);
    return PARTITA_OK;
}

/* The child of one side, or an error where it is out of range. */
static partita_status child_read(const ptp_host *host, const ml_list *ids, const ml_list *leaves, uint32_t i,
                                 uint32_t nodes, uint32_t leaf_count, uint32_t *out) {
    int64_t id = ml_list_int(ids, i);
    bool leaf = ml_list_int(leaves, i) != 0;
    if (id < 0 || id >= (int64_t)(leaf ? leaf_count : nodes))
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "node %u leads to %s %lld, there are %u", i,
                        leaf ? "leaf" : "node", (long long)id, leaf ? leaf_count : nodes);
    *out = (uint32_t)id | (leaf ? ML_LEAF : 0);
    return PARTITA_OK;
}

partita_status ml_ensemble_read_5(const cpu_node *node, const ptp_host *host, ml_ensemble *e) {
    new_source from = {0};
    ml_source source = {.host = host, .mode = new_mode, .user = &from};
    int64_t aggregate = cpu_attr_int(node, "aggregate_function", ML_SUM);
    e->host = host;
    if (aggregate < ML_AVERAGE || aggregate > ML_MAX)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "aggregate_function %lld is unknown", (long long)aggregate);
    e->aggregate = (ml_aggregate)aggregate;
    partita_status status = lists_read(node, host, &from, &source);
    if (status == PARTITA_OK) status = leaves_read(node, host, &from, e);
    if (status != PARTITA_OK) return status;
    uint64_t n = source.count, trees = from.roots.count;
    uint32_t *children = cpu_alloc(host, (3 * n + trees) * sizeof(*children)), *sets = children + 2 * n;
    if (children == NULL) return PARTITA_OUT_OF_MEMORY;
    uint32_t *roots = sets + n;
    status = sets_read(host, &from, &source, sets, e);
    for (uint32_t i = 0; status == PARTITA_OK && i < n; i++) {
        status =
            child_read(host, &from.false_ids, &from.false_leaves, i, source.count, e->leaf_count, &children[2 * i]);
        if (status == PARTITA_OK)
            status = child_read(host, &from.true_ids, &from.true_leaves, i, source.count, e->leaf_count,
                                &children[2 * i + 1]);
    }
    for (uint32_t t = 0; status == PARTITA_OK && t < trees; t++) {
        int64_t root = ml_list_int(&from.roots, t);
        if (root < 0 || root >= (int64_t)n)
            status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "tree %u starts at node %lld of %u", t, (long long)root,
                              source.count);
        roots[t] = (uint32_t)root;
    }
    e->root_count = (uint32_t)trees;
    e->wide = ml_is_wide(node, &source.splits);
    source.children = children;
    source.roots = roots;
    source.sets = sets;
    if (status == PARTITA_OK) status = ml_ensemble_pack(e, &source, ml_feature_count(node));
    cpu_free(host, children);
    return status;
}
