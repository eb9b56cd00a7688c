/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packs an ensemble of trees: see ml_tree.h.
 */
#include "cpu/kernels/ml_tree.h"

void ml_ensemble_deinit(ml_ensemble *ensemble) {
    void *const blocks[] = {ensemble->nodes,   ensemble->wide_nodes, ensemble->roots,   ensemble->leaves,
                            ensemble->weights, ensemble->sets,       ensemble->members, ensemble->base};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++)
        if (blocks[i] != NULL) cpu_free(ensemble->host, blocks[i]);
}

/* A branch brought to the two kinds that are evaluated. */
typedef struct branch {
    double split;
    uint32_t feature; /* with flags */
    bool exchange;    /* true and false children */
} branch;

static partita_status branch_make(const ml_ensemble *ensemble, const ml_source *source, uint32_t i, branch *out) {
    ml_mode mode = source->mode(source, i);
    int64_t feature = ml_list_int(&source->features, i);
    bool missing = source->missing.count > 0 && ml_list_int(&source->missing, i) != 0;
    double split = ml_list_real(&source->splits, i);
    if (feature < 0 || feature > ML_FEATURE)
        return cpu_fail(source->host, PARTITA_CANNOT_COMPILE, "node %u tests feature %lld", i, (long long)feature);
    *out = (branch){split, (uint32_t)feature, mode == ML_GT || mode == ML_GTE || mode == ML_NEQ};
    if (mode == ML_LT || mode == ML_GTE) {
        /* Below the threshold is at most the next lower number; below the lowest there is nothing. */
        double lowest = -(double)INFINITY;
        out->split = split == lowest  ? (double)NAN
                     : ensemble->wide ? nextafter(split, lowest)
                                      : (double)nextafterf((float)split, -INFINITY);
    }
    if (mode == ML_EQ || mode == ML_NEQ) out->feature |= ML_EQUAL;
    if (mode == ML_IN) out->feature |= ML_EQUAL | ML_MEMBER;
    /* A NaN is unequal to everything, and fails every other test. */
    if (mode == ML_NEQ || missing) {
        if (!out->exchange) out->feature |= ML_MISSING;
    } else if (out->exchange) {
        out->feature |= ML_MISSING;
    }
    return PARTITA_OK;
}

static void node_write(ml_ensemble *ensemble, uint32_t at, const branch *b, const uint32_t *sets, uint32_t source) {
    bool member = (b->feature & ML_MEMBER) != 0;
    if (ensemble->wide) {
        ml_wide_node *node = &ensemble->wide_nodes[at];
        node->split = member ? (double)sets[source] : b->split;
        node->feature = b->feature;
    } else {
        ml_node *node = &ensemble->nodes[at];
        node->split = member ? cpu_bits_float(sets[source]) : (float)b->split;
        node->feature = b->feature;
    }
}

static uint32_t *next_of(ml_ensemble *ensemble, uint32_t at) {
    return ensemble->wide ? ensemble->wide_nodes[at].next : ensemble->nodes[at].next;
}

/* One walk over a tree, depth first. A node's place is where it was first met; `place` of those not met is 0, of those
 * whose descendants are being walked it has `OPEN` set, so that a way back to one of them is a cycle. */
#define OPEN 0x80000000u

typedef struct frame {
    uint32_t node, place, turn;
    bool exchange;
} frame;

typedef struct pack {
    ml_ensemble *ensemble;
    const ml_source *source;
    uint32_t *place; /* by source node: 1 + place */
    frame *stack;
    uint32_t depth, used;
    int64_t most; /* features */
} pack;

static partita_status pack_open(pack *p, uint32_t node) {
    branch b = {0};
    partita_status status = branch_make(p->ensemble, p->source, node, &b);
    if (status != PARTITA_OK) return status;
    if ((int64_t)(b.feature & ML_FEATURE) >= p->most)
        return cpu_fail(p->source->host, PARTITA_CANNOT_COMPILE, "node %u tests feature %u of %lld", node,
                        b.feature & ML_FEATURE, (long long)p->most);
    ml_ensemble *e = p->ensemble;
    if ((int64_t)(b.feature & ML_FEATURE) >= e->features) e->features = (b.feature & ML_FEATURE) + 1;
    ml_walk walk = (b.feature & ML_EQUAL) != 0     ? ML_WALK_MIXED
                   : (b.feature & ML_MISSING) != 0 ? ML_WALK_TRUE
                                                   : ML_WALK_FALSE;
    if (p->used == 0) e->walk = walk;
    if (walk != e->walk || isnan(b.split)) e->walk = ML_WALK_MIXED;
    node_write(e, p->used, &b, p->source->sets, node);
    p->place[node] = (p->used + 1) | OPEN;
    p->stack[p->depth++] = (frame){node, p->used++, 0, b.exchange};
    return PARTITA_OK;
}

static partita_status pack_tree(pack *p, uint32_t root, uint32_t *out_root) {
    const ml_source *source = p->source;
    const ptp_host *host = source->host;
    if ((root & ML_LEAF) != 0) {
        *out_root = root;
        return PARTITA_OK;
    }
    partita_status status = (p->place[root] == 0) ? pack_open(p, root) : PARTITA_OK;
    *out_root = (p->place[root] & ~OPEN) - 1;
    while (status == PARTITA_OK && p->depth > 0) {
        frame *f = &p->stack[p->depth - 1];
        if (f->turn == 2) {
            p->place[f->node] &= ~OPEN;
            p->depth--;
            continue;
        }
        /* The true branch first: it lies behind its parent. */
        uint32_t side = 1 - f->turn++, child = source->children[2 * f->node + (f->exchange ? 1 - side : side)];
        uint32_t *next = &next_of(p->ensemble, f->place)[side];
        if ((child & ML_LEAF) != 0) {
            *next = child;
        } else if (p->place[child] == 0) {
            *next = p->used;
            status = pack_open(p, child);
        } else if ((p->place[child] & OPEN) != 0) {
            status = cpu_fail(host, PARTITA_CANNOT_COMPILE, "node %u leads back to itself", child);
        } else {
            *next = p->place[child] - 1;
        }
    }
    return status;
}

partita_status ml_ensemble_pack(ml_ensemble *ensemble, const ml_source *source, int64_t given_features) {
    const ptp_host *host = source->host;
    uint64_t count = source->count, size = ensemble->wide ? sizeof(ml_wide_node) : sizeof(ml_node);
    pack p = {.ensemble = ensemble, .source = source, .most = given_features >= 0 ? given_features : INT64_MAX};
    p.place = cpu_alloc(host, (count + 1) * sizeof(*p.place));
    p.stack = cpu_alloc(host, (count + 1) * sizeof(*p.stack));
    void *nodes = cpu_alloc(host, (count + 1) * size);
    if (ensemble->wide)
        ensemble->wide_nodes = nodes;
    else
        ensemble->nodes = nodes;
    ensemble->roots = cpu_alloc(host, ((uint64_t)ensemble->root_count + 1) * sizeof(*ensemble->roots));
    partita_status status = p.place == NULL || p.stack == NULL || nodes == NULL || ensemble->roots == NULL
                                ? PARTITA_OUT_OF_MEMORY
                                : PARTITA_OK;
    for (uint32_t t = 0; status == PARTITA_OK && t < ensemble->root_count; t++)
        status = pack_tree(&p, source->roots[t], &ensemble->roots[t]);
    ensemble->node_count = p.used;
    cpu_free(host, p.stack);
    cpu_free(host, p.place);
    return status;
}
