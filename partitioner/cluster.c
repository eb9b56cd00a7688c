/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clusters. "Maximal connected convex groups" are neither unique nor jointly acyclic; grouping by the number of
 * crossings on the way is both: every edge between two clusters increases the depth.
 */
#include "partitioner/schedule.h"

partita_status pt_part_clustering_init(pt_part_clustering *c, const pt_part_model *model) {
    size_t size = (size_t)model->units + 1;
    *c = (pt_part_clustering){.model = model};
    c->of = pt_arena_array(&c->arena, size, sizeof *c->of);
    c->device = pt_arena_array(&c->arena, size, sizeof *c->device);
    c->depth = pt_arena_array(&c->arena, size, sizeof *c->depth);
    c->root = pt_arena_array(&c->arena, size, sizeof *c->root);
    c->slot = pt_arena_array(&c->arena, size, sizeof *c->slot);
    return c->of && c->device && c->depth && c->root && c->slot ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

void pt_part_clustering_deinit(pt_part_clustering *c) {
    if (c) pt_arena_deinit(&c->arena);
}

static uint32_t find_root(uint32_t *root, uint32_t i) {
    while (root[i] != i) {
        root[i] = root[root[i]];
        i = root[i];
    }
    return i;
}

/* The smaller index becomes the root, so that a root is the first unit of its component. */
static void join(uint32_t *root, uint32_t a, uint32_t b) {
    a = find_root(root, a);
    b = find_root(root, b);
    if (a < b) {
        root[b] = a;
    } else {
        root[a] = b;
    }
}

/* Ids by (depth of the root, root): a counting sort over roots, which come by index. */
static void number_clusters(pt_part_clustering *c, const uint32_t *device) {
    uint32_t units = c->model->units;
    memset(c->slot, 0, ((size_t)units + 1) * sizeof *c->slot);
    c->count = 0;
    for (uint32_t i = 0; i < units; i++) {
        if (c->root[i] != i) continue;
        c->slot[c->depth[i] + 1]++; /* depth < units */
        c->count++;
    }
    for (uint32_t d = 0; d < units; d++) c->slot[d + 1] += c->slot[d];
    for (uint32_t i = 0; i < units; i++) {
        if (c->root[i] != i) continue;
        c->of[i] = c->slot[c->depth[i]]++;
        c->device[c->of[i]] = device[i];
    }
    for (uint32_t i = 0; i < units; i++) c->of[i] = c->of[c->root[i]];
}

void pt_part_cluster_canonical(pt_part_clustering *c, const uint32_t *device) {
    const pt_part_model *m = c->model;
    memset(c->depth, 0, m->units * sizeof *c->depth);
    for (uint32_t i = 0; i < m->units; i++) c->root[i] = i;
    for (uint32_t u = 0; u < m->units; u++) {
        PT_PART_FOR_EACH_CONSUMER(m, u, v) {
            c->depth[v] = PT_MAX(c->depth[v], c->depth[u] + (device[u] != device[v]));
        }
    }
    for (uint32_t u = 0; u < m->units; u++) {
        PT_PART_FOR_EACH_CONSUMER(m, u, v) {
            if (device[u] == device[v] && c->depth[u] == c->depth[v]) join(c->root, u, v);
        }
    }
    for (uint32_t i = 0; i < m->units; i++) c->root[i] = find_root(c->root, i);
    number_clusters(c, device);
}

/* Longest ways over the quotient; false when it has a cycle. A cluster's units are a list from its root on. */
static bool quotient_depths(pt_part_clustering *c, const uint32_t *next_member, uint32_t *edges, uint32_t *queue) {
    const pt_part_model *m = c->model;
    uint32_t head = 0, tail = 0, roots = 0;
    for (uint32_t u = 0; u < m->units; u++) {
        PT_PART_FOR_EACH_CONSUMER(m, u, v) edges[c->root[v]] += c->root[u] != c->root[v];
    }
    for (uint32_t i = 0; i < m->units; i++) {
        roots += c->root[i] == i;
        if (c->root[i] == i && edges[i] == 0) queue[tail++] = i;
    }
    for (; head < tail; head++) {
        for (uint32_t u = queue[head]; u != PT_NONE; u = next_member[u]) {
            PT_PART_FOR_EACH_CONSUMER(m, u, v) {
                uint32_t to = c->root[v];
                if (to == queue[head]) continue;
                c->depth[to] = PT_MAX(c->depth[to], c->depth[queue[head]] + 1);
                if (--edges[to] == 0) queue[tail++] = to;
            }
        }
    }
    return tail == roots;
}

partita_status pt_part_cluster_given(pt_part_clustering *c, const uint32_t *device, const uint32_t *cluster) {
    uint32_t units = c->model->units;
    pt_arena arena = {0};
    partita_status status = PARTITA_OK;
    uint32_t *next_member = pt_arena_array(&arena, units, sizeof *next_member);
    uint32_t *last_member = pt_arena_array(&arena, units, sizeof *last_member);
    uint32_t *edges = pt_arena_array(&arena, units, sizeof *edges);
    uint32_t *queue = pt_arena_array(&arena, units, sizeof *queue);
    if (!next_member || !last_member || !edges || !queue) {
        status = PT_OUT_OF_MEMORY();
        goto out;
    }
    memset(c->depth, 0, units * sizeof *c->depth);
    memset(c->slot, 0xff, units * sizeof *c->slot); /* first unit by the caller's number */
    memset(next_member, 0xff, units * sizeof *next_member);
    for (uint32_t i = 0; i < units; i++) {
        if (cluster[i] >= units) {
            status = pt_fail(PARTITA_INVALID_ARGUMENT, "unit %u has cluster %u of %u", i, cluster[i], units);
            goto out;
        }
        uint32_t first = c->slot[cluster[i]];
        if (first == PT_NONE) {
            c->slot[cluster[i]] = first = i;
        } else if (device[first] != device[i]) {
            status = pt_fail(PARTITA_INVALID_ARGUMENT, "cluster %u spans devices %u and %u", cluster[i], device[first],
                             device[i]);
            goto out;
        } else {
            next_member[last_member[first]] = i;
        }
        c->root[i] = first;
        last_member[first] = i;
    }
    if (quotient_depths(c, next_member, edges, queue)) {
        number_clusters(c, device);
    } else {
        status = pt_fail(PARTITA_INVALID_ARGUMENT, "the clusters form a cycle");
    }
out:
    pt_arena_deinit(&arena);
    return status;
}
