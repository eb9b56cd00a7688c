/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The definitions once more, for tests.
 */
#include "unit/partitioner_truth.h"

#include <stdlib.h>

enum { MOST_DEVICES = 8 };

truth truth_create(const pt_part_problem *p) {
    uint32_t k = p->devices;
    truth t = {p, calloc((size_t)p->tensors * k * k + 1, sizeof *t.tau)};
    for (uint32_t i = 0; i < p->tensors; i++) {
        int64_t *tau = t.tau + (size_t)i * k * k, kib = (int64_t)((p->bytes[i] + 1023) / 1024);
        for (uint32_t d = 0; d < k; d++) {
            for (uint32_t e = 0; e < k; e++) {
                tau[d * k + e] = d == e ? 0 : p->link_latency[d * k + e] + p->link_per_kib[d * k + e] * kib;
                for (uint32_t way = 1; d != e && way < p->lines; way++) {
                    size_t at = ((size_t)way * k + d) * k + e;
                    tau[d * k + e] = PT_MIN(tau[d * k + e], p->link_latency[at] + p->link_per_kib[at] * kib);
                }
            }
        }
        /* As often as there are devices: every route is found whatever the order is. */
        for (uint32_t round = 0; round < k; round++) {
            for (uint32_t d = 0; d < k; d++) {
                for (uint32_t e = 0; e < k; e++) {
                    for (uint32_t v = 0; v < k; v++) {
                        tau[d * k + e] = PT_MIN(tau[d * k + e], tau[d * k + v] + tau[v * k + e]);
                    }
                }
            }
        }
    }
    return t;
}

void truth_destroy(truth *t) { free(t->tau); }

static int64_t tau_of(const truth *t, uint32_t tensor, uint32_t d, uint32_t e) {
    uint32_t k = t->p->devices;
    return t->tau[((size_t)tensor * k + d) * k + e];
}

bool truth_feasible(const truth *t, const uint32_t *device) {
    const pt_part_problem *p = t->p;
    uint32_t of_group[2] = {PT_NONE, PT_NONE}; /* the random problems have two groups */
    for (uint32_t u = 0; u < p->units; u++) {
        if (p->cost[u * p->devices + device[u]] >= PT_PART_INFINITE) return false;
        if (p->pinned && p->pinned[u] != PT_NONE && p->pinned[u] != device[u]) return false;
        if (!p->group || p->group[u] == PT_NONE) continue;
        uint32_t *group = &of_group[p->group[u]];
        if (*group != PT_NONE && *group != device[u]) return false;
        *group = device[u];
    }
    return true;
}

static uint32_t home_of(const truth *t, uint32_t tensor, const uint32_t *device) {
    return t->p->producer[tensor] == PT_NONE ? t->p->host : device[t->p->producer[tensor]];
}

int64_t truth_additive(const truth *t, const uint32_t *device) {
    const pt_part_problem *p = t->p;
    int64_t sum = 0;
    for (uint32_t u = 0; u < p->units; u++) sum += p->cost[u * p->devices + device[u]];
    for (uint32_t i = 0; i < p->tensors; i++) {
        bool there[MOST_DEVICES] = {false};
        uint32_t home = home_of(t, i, device);
        for (uint32_t c = p->first_consumer[i]; c < p->first_consumer[i + 1]; c++)
            there[device[p->consumers[c]]] = true;
        if (p->is_output[i]) there[p->host] = true;
        for (uint32_t e = 0; e < p->devices; e++) sum += there[e] ? tau_of(t, i, home, e) : 0;
    }
    return sum;
}

bool truth_next(const truth *t, uint32_t *device) {
    for (uint32_t u = 0; u < t->p->units; u++) {
        if (++device[u] < t->p->devices) return true;
        device[u] = 0;
    }
    return false;
}

void truth_greedy(const truth *t, uint32_t first, uint32_t *device) {
    const pt_part_problem *p = t->p;
    for (uint32_t u = 0; u < p->units; u++) {
        device[u] = first;
        for (uint32_t d = 0; device[u] == PT_NONE || p->cost[u * p->devices + device[u]] >= PT_PART_INFINITE; d++) {
            device[u] = d;
        }
    }
}

/* Spreads the smallest index over units that an edge joins and that `same` holds equal; numbers by (depth, index). */
static uint32_t spread(const truth *t, const uint32_t *device, const uint32_t *depth, uint32_t *cluster) {
    const pt_part_problem *p = t->p;
    for (uint32_t u = 0; u < p->units; u++) cluster[u] = u;
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < p->tensors; i++) {
            uint32_t u = p->producer[i];
            for (uint32_t c = p->first_consumer[i]; u != PT_NONE && c < p->first_consumer[i + 1]; c++) {
                uint32_t v = p->consumers[c];
                if (device[u] != device[v] || depth[u] != depth[v] || cluster[u] == cluster[v]) continue;
                cluster[u] = cluster[v] = PT_MIN(cluster[u], cluster[v]);
                changed = true;
            }
        }
    }
    uint32_t *number = calloc(p->units + 1, sizeof *number), count = 0;
    for (uint32_t d = 0; d < p->units; d++) {
        for (uint32_t u = 0; u < p->units; u++) {
            if (cluster[u] == u && depth[u] == d) number[u] = count++;
        }
    }
    for (uint32_t u = 0; u < p->units; u++) cluster[u] = number[cluster[u]];
    free(number);
    return count;
}

uint32_t truth_clusters(const truth *t, const uint32_t *device, uint32_t *cluster) {
    const pt_part_problem *p = t->p;
    uint32_t *depth = calloc(p->units + 1, sizeof *depth);
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 0; i < p->tensors; i++) {
            uint32_t u = p->producer[i];
            for (uint32_t c = p->first_consumer[i]; u != PT_NONE && c < p->first_consumer[i + 1]; c++) {
                uint32_t v = p->consumers[c], needed = depth[u] + (device[u] != device[v]);
                if (depth[v] >= needed) continue;
                depth[v] = needed;
                changed = true;
            }
        }
    }
    uint32_t count = spread(t, device, depth, cluster);
    free(depth);
    return count;
}

uint32_t truth_components(const truth *t, const uint32_t *device, uint32_t *component) {
    uint32_t *depth = calloc(t->p->units + 1, sizeof *depth);
    uint32_t count = spread(t, device, depth, component);
    free(depth);
    return count;
}

/* Takes away, again and again, clusters that nothing left leads to. */
bool truth_acyclic(const truth *t, const uint32_t *cluster, uint32_t clusters) {
    const pt_part_problem *p = t->p;
    bool *gone = calloc(clusters + 1, sizeof *gone), *led_to = calloc(clusters + 1, sizeof *led_to), progress = true;
    uint32_t left = clusters;
    while (progress) {
        progress = false;
        memset(led_to, 0, clusters);
        for (uint32_t i = 0; i < p->tensors; i++) {
            if (p->producer[i] == PT_NONE || gone[cluster[p->producer[i]]]) continue;
            for (uint32_t c = p->first_consumer[i]; c < p->first_consumer[i + 1]; c++) {
                if (cluster[p->consumers[c]] != cluster[p->producer[i]]) led_to[cluster[p->consumers[c]]] = true;
            }
        }
        for (uint32_t c = 0; c < clusters; c++) {
            if (gone[c] || led_to[c]) continue;
            gone[c] = progress = true;
            left--;
        }
    }
    free(gone);
    free(led_to);
    return left == 0;
}

/* ---- schedule ------------------------------------------------------------------------------------ */

enum { WAITING, RUNNING, ENDED };

typedef struct simulation {
    const truth *t;
    const uint32_t *device, *cluster;
    uint32_t clusters;
    int64_t *there; /* [tensors][devices]: when it's there; -1: not on its way */
    int64_t *work, *rank, *end, lane[MOST_DEVICES * MOST_DEVICES];
    uint32_t *where; /* [clusters] */
    int *state;
    int64_t load[MOST_DEVICES + MOST_DEVICES * MOST_DEVICES];
} simulation;

static uint32_t cluster_of_producer(const simulation *s, uint32_t tensor) {
    uint32_t u = s->t->p->producer[tensor];
    return u == PT_NONE ? PT_NONE : s->cluster[u];
}

static bool is_needed(const simulation *s, uint32_t tensor, uint32_t d) {
    const pt_part_problem *p = s->t->p;
    if (p->is_output[tensor] && d == p->host) return true;
    for (uint32_t c = p->first_consumer[tensor]; c < p->first_consumer[tensor + 1]; c++) {
        if (s->device[p->consumers[c]] == d) return true;
    }
    return false;
}

static void send(simulation *s, uint32_t producer, int64_t now) {
    const pt_part_problem *p = s->t->p;
    for (uint32_t i = 0; i < p->tensors; i++) {
        if (cluster_of_producer(s, i) != producer) continue;
        uint32_t home = home_of(s->t, i, s->device);
        s->there[i * p->devices + home] = now;
        for (uint32_t e = 0; e < p->devices; e++) {
            if (e == home || !is_needed(s, i, e)) continue;
            int64_t tau = tau_of(s->t, i, home, e), *there = &s->there[i * p->devices + e];
            uint32_t lane = p->channel[home * p->devices + e];
            *there = now;
            if (tau == 0) continue;
            *there = s->lane[lane] = PT_MAX(now, s->lane[lane]) + tau;
            s->load[p->devices + lane] += tau;
        }
    }
}

static bool is_ready(const simulation *s, uint32_t c, int64_t now) {
    const pt_part_problem *p = s->t->p;
    if (s->state[c] != WAITING) return false;
    for (uint32_t i = 0; i < p->tensors; i++) {
        for (uint32_t j = p->first_consumer[i]; j < p->first_consumer[i + 1]; j++) {
            if (s->cluster[p->consumers[j]] != c || cluster_of_producer(s, i) == c) continue;
            int64_t there = s->there[i * p->devices + s->where[c]];
            if (there < 0 || there > now) return false;
        }
    }
    return true;
}

static void start_best(simulation *s, uint32_t resource, int64_t now) {
    uint32_t best = PT_NONE;
    for (uint32_t c = 0; c < s->clusters; c++) {
        if (s->t->p->resource[s->where[c]] != resource) continue;
        if (s->state[c] == RUNNING) return;
        if (is_ready(s, c, now) && (best == PT_NONE || s->rank[c] > s->rank[best])) best = c;
    }
    if (best == PT_NONE) return;
    s->state[best] = RUNNING;
    s->end[best] = now + s->work[best];
    s->load[resource] += s->work[best];
}

/* The next moment at which a cluster ends or a tensor arrives; -1 when nothing is under way. */
static int64_t next_moment(const simulation *s, int64_t now) {
    const pt_part_problem *p = s->t->p;
    int64_t next = -1;
    for (uint32_t c = 0; c < s->clusters; c++) {
        if (s->state[c] == RUNNING && (next < 0 || s->end[c] < next)) next = s->end[c];
    }
    for (uint32_t i = 0; i < p->tensors * p->devices; i++) {
        if (s->there[i] > now && (next < 0 || s->there[i] < next)) next = s->there[i];
    }
    return next;
}

static void prepare(simulation *s) {
    const pt_part_problem *p = s->t->p;
    for (uint32_t u = 0; u < p->units; u++) {
        uint32_t c = s->cluster[u];
        if (s->work[c] < 0) s->work[c] = p->launch[s->device[u]];
        s->work[c] += p->cost[u * p->devices + s->device[u]];
        s->where[c] = s->device[u];
    }
    /* As many rounds as there are clusters: no order is needed. */
    for (uint32_t round = 0; round <= s->clusters; round++) {
        for (uint32_t c = 0; c < s->clusters; c++) s->rank[c] = PT_MAX(s->rank[c], s->work[c]);
        for (uint32_t i = 0; i < p->tensors; i++) {
            uint32_t from = cluster_of_producer(s, i);
            if (from == PT_NONE) continue;
            if (p->is_output[i]) {
                int64_t way = s->work[from] + tau_of(s->t, i, s->where[from], p->host);
                s->rank[from] = PT_MAX(s->rank[from], way);
            }
            for (uint32_t j = p->first_consumer[i]; j < p->first_consumer[i + 1]; j++) {
                uint32_t to = s->cluster[p->consumers[j]];
                if (to == from) continue;
                int64_t way = s->work[from] + tau_of(s->t, i, s->where[from], s->where[to]) + s->rank[to];
                s->rank[from] = PT_MAX(s->rank[from], way);
            }
        }
    }
}

void truth_simulate(const truth *t, const uint32_t *device, const uint32_t *cluster, uint32_t clusters,
                    int64_t *out_latency, int64_t *out_period) {
    const pt_part_problem *p = t->p;
    simulation s = {.t = t, .device = device, .cluster = cluster, .clusters = clusters};
    s.there = malloc(((size_t)p->tensors * p->devices + 1) * sizeof *s.there);
    s.work = malloc((clusters + 1) * sizeof *s.work);
    s.rank = calloc(clusters + 1, sizeof *s.rank);
    s.end = calloc(clusters + 1, sizeof *s.end);
    s.where = calloc(clusters + 1, sizeof *s.where);
    s.state = calloc(clusters + 1, sizeof *s.state);
    for (uint32_t i = 0; i < p->tensors * p->devices; i++) s.there[i] = -1;
    for (uint32_t c = 0; c < clusters; c++) s.work[c] = -1;
    prepare(&s);
    send(&s, PT_NONE, 0);
    int64_t now = 0;
    for (int64_t next = 0; next >= 0;) {
        now = next;
        for (uint32_t c = 0; c < clusters; c++) {
            if (s.state[c] != RUNNING || s.end[c] != now) continue;
            s.state[c] = ENDED;
            send(&s, c, now);
        }
        for (uint32_t r = 0; r < p->devices; r++) start_best(&s, r, now);
        next = next_moment(&s, now);
    }
    *out_latency = now;
    *out_period = 0;
    for (uint32_t i = 0; i < PT_COUNT_OF(s.load); i++) *out_period = PT_MAX(*out_period, s.load[i]);
    for (uint32_t c = 0; c < clusters; c++) {
        if (s.state[c] != ENDED) *out_latency = -1;
    }
    free(s.there);
    free(s.work);
    free(s.rank);
    free(s.end);
    free(s.where);
    free(s.state);
}
