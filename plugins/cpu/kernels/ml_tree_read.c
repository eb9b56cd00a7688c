/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ensembles of trees out of attributes: the lists of TreeEnsembleClassifier and TreeEnsembleRegressor, which name nodes
 * by tree and number, and those of TreeEnsemble, which have nodes and leaves by position.
 */
#include "cpu/kernels/ml_tree.h"

#include <stdio.h>
#include <stdlib.h>

static partita_status same_count(const ptp_host *host, const char *name, const ml_list *list, uint32_t count,
                                 bool optional) {
    if (list->count == count || (optional && list->count == 0)) return PARTITA_OK;
    return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%s has %u entries, there are %u", name, list->count, count);
}

/* ---- nodes by tree and number ---- */

typedef struct named {
    int64_t tree, node;
    uint32_t at;
} named;

static int named_compare(const void *a, const void *b) {
    const named *x = a, *y = b;
    if (x->tree != y->tree) return x->tree < y->tree ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

typedef struct old_source {
    ml_list trees, ids, true_ids, false_ids, modes;
    ml_list leaf_trees, leaf_nodes, leaf_targets, leaf_weights;
    const ptp_block *block;
    const ptp_ref *mode_refs;
    uint32_t mode_count;
    named *names; /* sorted */
    uint8_t *mode_of;
    uint32_t *children, *roots, *leaf_of; /* leaf_of: by node, its leaf */
} old_source;

static ml_mode old_mode(const ml_source *source, uint32_t i) {
    return (ml_mode)((const old_source *)source->user)->mode_of[i];
}

static const char *const mode_names[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE",    "BRANCH_GT",
                                         "BRANCH_EQ",  "BRANCH_NEQ", "BRANCH_MEMBER", "LEAF"};

static partita_status old_lists(const cpu_node *node, const ptp_host *host, const char *prefix, old_source *old,
                                ml_source *source) {
    char name[4][32], tensor[48];
    static const char *const parts[] = {"treeids", "nodeids", "ids", "weights"};
    for (int i = 0; i < 4; i++) snprintf(name[i], sizeof(name[i]), "%s_%s", prefix, parts[i]);
    snprintf(tensor, sizeof(tensor), "%s_as_tensor", name[3]);
    const struct {
        const char *name, *tensor;
        ml_list *list;
    } rows[] = {
        {"nodes_treeids", NULL, &old->trees},
        {"nodes_nodeids", NULL, &old->ids},
        {"nodes_truenodeids", NULL, &old->true_ids},
        {"nodes_falsenodeids", NULL, &old->false_ids},
        {"nodes_featureids", NULL, &source->features},
        {"nodes_values", "nodes_values_as_tensor", &source->splits},
        {"nodes_missing_value_tracks_true", NULL, &source->missing},
        {name[0], NULL, &old->leaf_trees},
        {name[1], NULL, &old->leaf_nodes},
        {name[2], NULL, &old->leaf_targets},
        {name[3], tensor, &old->leaf_weights},
    };
    const uint32_t node_lists = 7, count = sizeof(rows) / sizeof(rows[0]);
    for (uint32_t i = 0; i < count; i++) {
        partita_status status = ml_list_read(node, host, rows[i].name, rows[i].tensor, rows[i].list);
        uint32_t expected = i < node_lists ? old->trees.count : old->leaf_trees.count;
        if (status == PARTITA_OK) status = same_count(host, rows[i].name, rows[i].list, expected, i == 6);
        if (status != PARTITA_OK) return status;
    }
    source->count = old->trees.count;
    if (source->count == 0) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "there are no nodes");
    if (source->count > INT32_MAX / 2) return cpu_fail(host, PARTITA_CANNOT_COMPILE, "too many nodes");
    return PARTITA_OK;
}

static partita_status old_modes(const cpu_node *node, const ptp_host *host, old_source *old, uint32_t count) {
    ptp_attribute_row row;
    if (!ptp_attribute_find(node->block, &node->row, "nodes_modes", &row) || row.type != PTP_ATTRIBUTE_STRINGS ||
        row.data.count != count)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "nodes_modes has not %u entries", count);
    const ptp_ref *refs = ptp_ref_data(node->block, row.data);
    for (uint32_t i = 0; i < count; i++) {
        partita_str text = ptp_ref_str(node->block, refs[i]);
        uint8_t mode = 0;
        while (mode <= ML_IS_LEAF && !ptp_str_is(text, mode_names[mode])) mode++;
        if (mode > ML_IS_LEAF || mode == ML_IN)
            return cpu_fail(host, PARTITA_CANNOT_COMPILE, "node %u has the mode %.*s", i, (int)text.size, text.data);
        old->mode_of[i] = mode;
    }
    return PARTITA_OK;
}

static partita_status names_sort(const ptp_host *host, old_source *old, uint32_t count) {
    bool sorted = true;
    for (uint32_t i = 0; i < count; i++) {
        old->names[i] = (named){ml_list_int(&old->trees, i), ml_list_int(&old->ids, i), i};
        sorted = sorted && (i == 0 || named_compare(&old->names[i - 1], &old->names[i]) < 0);
    }
    if (!sorted) qsort(old->names, count, sizeof(*old->names), named_compare);
    for (uint32_t i = 1; i < count; i++)
        if (named_compare(&old->names[i - 1], &old->names[i]) == 0)
            return cpu_fail(host, PARTITA_CANNOT_COMPILE, "tree %lld has two nodes %lld", (long long)old->names[i].tree,
                            (long long)old->names[i].node);
    return PARTITA_OK;
}

static uint32_t name_find(const old_source *old, uint32_t count, int64_t tree, int64_t node) {
    const named key = {tree, node, 0};
    const named *found = bsearch(&key, old->names, count, sizeof(key), named_compare);
    return found != NULL ? found->at : UINT32_MAX;
}

/* Children by position; the node of each tree that is nobody's child is its root. */
static partita_status old_links(const ptp_host *host, old_source *old, uint32_t count, uint32_t *out_roots) {
    uint8_t *has_parent = cpu_alloc(host, count);
    if (has_parent == NULL) return PARTITA_OUT_OF_MEMORY;
    partita_status status = PARTITA_OK;
    for (uint32_t i = 0; status == PARTITA_OK && i < count; i++) {
        if (old->mode_of[i] == ML_IS_LEAF) continue;
        for (uint32_t side = 0; side < 2 && status == PARTITA_OK; side++) {
            int64_t tree = ml_list_int(&old->trees, i), id = ml_list_int(side ? &old->true_ids : &old->false_ids, i);
            uint32_t child = name_find(old, count, tree, id);
            if (child == UINT32_MAX) {
                status = cpu_fail(host, PARTITA_CANNOT_COMPILE,
                                  "node %lld of tree %lld leads to node %lld, which is "
                                  "not there",
                                  (long long)ml_list_int(&old->ids, i), (long long)tree, (long long)id);
                break;
            }
            has_parent[child] = 1;
            old->children[2 * i + side] = old->mode_of[child] == ML_IS_LEAF ? ML_LEAF | old->leaf_of[child] : child;
        }
    }
    /* Trees in the order of their numbers. */
    uint32_t roots = 0;
    for (uint32_t i = 0, root = UINT32_MAX; status == PARTITA_OK && i < count; i++) {
        const named *name = &old->names[i];
        if (!has_parent[name->at] && root != UINT32_MAX)
            status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "tree %lld has two roots, nodes %lld and %lld",
                              (long long)name->tree, (long long)ml_list_int(&old->ids, root), (long long)name->node);
        if (!has_parent[name->at]) root = name->at;
        if (i + 1 < count && old->names[i + 1].tree == name->tree) continue;
        if (root == UINT32_MAX)
            status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "tree %lld has no root: its nodes lead in circles",
                              (long long)name->tree);
        else
            old->roots[roots++] = old->mode_of[root] == ML_IS_LEAF ? ML_LEAF | old->leaf_of[root] : root;
        root = UINT32_MAX;
    }
    *out_roots = roots;
    cpu_free(host, has_parent);
    return status;
}

/* Weights in the order of their leaves. Those of nodes that are no leaves say nothing. A leaf of a regressor of one
 * target has one weight: exporters that turn a classifier into such a regressor repeat it by class, and mean the first.
 */
static partita_status old_leaves(const ptp_host *host, old_source *old, uint32_t count, bool single, ml_ensemble *e) {
    for (uint32_t i = 0; i < count; i++)
        if (old->mode_of[i] == ML_IS_LEAF) old->leaf_of[i] = e->leaf_count++;
    e->leaves = cpu_alloc(host, ((uint64_t)e->leaf_count + 1) * sizeof(*e->leaves));
    e->weights = cpu_alloc(host, ((uint64_t)old->leaf_trees.count + 1) * sizeof(*e->weights));
    if (e->leaves == NULL || e->weights == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < old->leaf_trees.count; i++) {
            int64_t tree = ml_list_int(&old->leaf_trees, i), id = ml_list_int(&old->leaf_nodes, i);
            int64_t target = ml_list_int(&old->leaf_targets, i);
            uint32_t at = name_find(old, count, tree, id);
            if (at == UINT32_MAX)
                return cpu_fail(host, PARTITA_CANNOT_COMPILE,
                                "a weight is for node %lld of tree %lld, which is not "
                                "there",
                                (long long)id, (long long)tree);
            if (target < 0 || target >= e->targets)
                return cpu_fail(host, PARTITA_CANNOT_COMPILE, "a weight is for target %lld of %u", (long long)target,
                                e->targets);
            if (old->mode_of[at] != ML_IS_LEAF) continue;
            ml_span *leaf = &e->leaves[old->leaf_of[at]];
            if (single && leaf->count > 0) continue;
            if (pass == 1)
                e->weights[leaf->first + leaf->count] =
                    (ml_weight){ml_list_real(&old->leaf_weights, i), (uint32_t)target};
            leaf->count++;
        }
        for (uint32_t l = 0, first = 0; pass == 0 && l < e->leaf_count; l++) {
            e->leaves[l].first = first;
            first += e->leaves[l].count;
            e->weight_count = first;
            e->leaves[l].count = 0;
        }
    }
    return PARTITA_OK;
}

static partita_status base_read(const cpu_node *node, const ptp_host *host, ml_ensemble *e) {
    ml_list base;
    partita_status status = ml_list_read(node, host, "base_values", "base_values_as_tensor", &base);
    if (status != PARTITA_OK || base.count == 0) return status;
    if (base.count != e->targets && base.count != 1)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%u base values for %u targets", base.count, e->targets);
    e->base = cpu_alloc(host, e->targets * sizeof(*e->base));
    if (e->base == NULL) return PARTITA_OUT_OF_MEMORY;
    for (uint32_t i = 0; i < base.count; i++) e->base[i] = ml_list_real(&base, i);
    return PARTITA_OK;
}

static partita_status aggregate_read(const cpu_node *node, const ptp_host *host, ml_ensemble *e) {
    static const char *const names[] = {"AVERAGE", "SUM", "MIN", "MAX"};
    ptp_attribute_row row;
    e->aggregate = ML_SUM;
    if (!ptp_attribute_find(node->block, &node->row, "aggregate_function", &row)) return PARTITA_OK;
    partita_str text = ptp_attribute_str(node->block, &node->row, "aggregate_function");
    int64_t number = cpu_attr_int(node, "aggregate_function", -1);
    for (uint32_t i = 0; row.type == PTP_ATTRIBUTE_STRING && i < 4; i++)
        if (ptp_str_is(text, names[i])) number = i;
    if (number < ML_AVERAGE || number > ML_MAX)
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "aggregate_function is none of AVERAGE, SUM, MIN, MAX");
    e->aggregate = (ml_aggregate)number;
    return PARTITA_OK;
}

/* Of a classifier `targets` are its labels; of a regressor (0) n_targets. */
static partita_status targets_read(const cpu_node *node, const ptp_host *host, uint32_t targets, ml_ensemble *e,
                                   const ml_list *ids) {
    int64_t most = 1, given = targets > 0 ? targets : cpu_attr_int(node, "n_targets", 0);
    for (uint32_t i = 0; given == 0 && i < ids->count; i++)
        if (ml_list_int(ids, i) >= most) most = ml_list_int(ids, i) + 1;
    if (given == 0) given = most;
    if (given < 1 || given > INT32_MAX / (2 * ML_BLOCK))
        return cpu_fail(host, PARTITA_CANNOT_COMPILE, "%lld targets", (long long)given);
    e->targets = (uint32_t)given;
    return PARTITA_OK;
}

partita_status ml_ensemble_read(const cpu_node *node, const ptp_host *host, const char *prefix, uint32_t targets,
                                ml_ensemble *e) {
    old_source old = {.block = node->block};
    ml_source source = {.host = host, .mode = old_mode, .user = &old};
    e->host = host;
    partita_status status = old_lists(node, host, prefix, &old, &source);
    if (status == PARTITA_OK) status = targets_read(node, host, targets, e, &old.leaf_targets);
    if (status == PARTITA_OK) status = aggregate_read(node, host, e);
    if (status == PARTITA_OK) status = base_read(node, host, e);
    if (status != PARTITA_OK) return status;
    uint64_t n = source.count, numbers = 4 * n * sizeof(uint32_t);
    char *block = cpu_alloc(host, n * sizeof(named) + numbers + n);
    if (block == NULL) return PARTITA_OUT_OF_MEMORY;
    old.names = (named *)(void *)block;
    old.children = (uint32_t *)(void *)(block + n * sizeof(named));
    old.roots = old.children + 2 * n;
    old.leaf_of = old.roots + n;
    old.mode_of = (uint8_t *)(old.leaf_of + n);
    status = old_modes(node, host, &old, source.count);
    if (status == PARTITA_OK) status = names_sort(host, &old, source.count);
    if (status == PARTITA_OK) status = old_leaves(host, &old, source.count, targets == 0 && e->targets == 1, e);
    if (status == PARTITA_OK) status = old_links(host, &old, source.count, &e->root_count);
    source.children = old.children;
    source.roots = old.roots;
    e->wide = ml_is_wide(node, &source.splits);
    if (status == PARTITA_OK) status = ml_ensemble_pack(e, &source, ml_feature_count(node));
    if (status == PARTITA_OK && e->node_count + e->leaf_count != source.count)
        status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "%u nodes cannot be reached from a root: they lead in circles",
                          source.count - e->node_count - e->leaf_count);
    cpu_free(host, block);
    return status;
}
