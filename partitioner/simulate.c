/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The overlapped model, as a deterministic list schedule:
 * - a cluster takes launch + the sum of its units; devices of one resource run one cluster at a time
 * - it starts when all its inputs are on its device; its outputs exist when it ends
 * - each lane is first in, first out; transfers are issued when the producer ends, in the order of tensors, then of
 *   devices; what costs nothing (shared memory) uses no lane
 * - a free resource never waits: it takes the ready cluster with the longest way to the end, then the smallest id
 * - inputs leave the host at 0; the end is that of the last cluster, or the arrival of the last output on the host
 */
#include "partitioner/schedule.h"

partita_status pt_part_schedule_init(pt_part_schedule *s, const pt_part_clustering *clustering) {
    const pt_part_model *m = clustering->model;
    const pt_part_problem *p = m->problem;
    size_t k = m->devices, clusters = (size_t)m->units + 2, uses = p->tensors ? p->first_consumer[p->tensors] : 0;
    size_t arrivals = uses + p->tensors;
    *s = (pt_part_schedule){.model = m, .clustering = clustering};
    bool ok = true;
#define ARRAY(field, count) ok = ok && (s->field = pt_arena_array(&s->arena, (count), sizeof *s->field)) != NULL
    ARRAY(arrival, arrivals);
    ARRAY(waiter, uses);
    ARRAY(first_arrival, clusters + 1);
    ARRAY(by_producer, arrivals);
    ARRAY(issue_order, arrivals);
    ARRAY(work, clusters);
    ARRAY(rank, clusters);
    ARRAY(start, clusters);
    ARRAY(end, clusters);
    ARRAY(pending, clusters);
    ARRAY(stamp, clusters);
    ARRAY(event, arrivals + clusters);
    ARRAY(ready, clusters);
    ARRAY(first_ready, k + 1);
    ARRAY(ready_count, k);
    ARRAY(busy, k);
    ARRAY(channel_free, k * k);
    ARRAY(load, k + k * k);
#undef ARRAY
    return ok ? PARTITA_OK : PT_OUT_OF_MEMORY();
}

void pt_part_schedule_deinit(pt_part_schedule *s) {
    if (s) pt_arena_deinit(&s->arena);
}

/* ---- heaps: smallest key first, then smallest id ----------------------------------------------- */

static bool before(pt_part_event a, pt_part_event b) { return a.key != b.key ? a.key < b.key : a.id < b.id; }

static void heap_push(pt_part_event *heap, uint32_t *size, int64_t key, uint32_t id) {
    uint32_t i = (*size)++;
    pt_part_event item = {key, id};
    for (; i > 0 && before(item, heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = item;
}

static pt_part_event heap_pop(pt_part_event *heap, uint32_t *size) {
    pt_part_event top = heap[0], item = heap[--*size];
    uint32_t i = 0;
    for (uint32_t child; (child = 2 * i + 1) < *size; i = child) {
        if (child + 1 < *size && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], item)) break;
        heap[i] = heap[child];
    }
    heap[i] = item;
    return top;
}

/* ---- what there is to do ------------------------------------------------------------------------ */

/* The cluster that makes a tensor; the host is the one behind the last. */
static uint32_t producer_of(const pt_part_schedule *s, uint32_t tensor) {
    uint32_t unit = s->model->problem->producer[tensor];
    return unit == PT_NONE ? s->clustering->count : s->clustering->of[unit];
}

/* Which devices need the tensor: those of consumers in other clusters, and the host for an output. */
static uint32_t targets_of(const pt_part_schedule *s, uint32_t tensor, uint32_t home, const uint32_t *device) {
    const pt_part_problem *p = s->model->problem;
    uint32_t producer = producer_of(s, tensor), targets = 0;
    for (uint32_t c = p->first_consumer[tensor]; c < p->first_consumer[tensor + 1]; c++) {
        uint32_t unit = p->consumers[c];
        if (s->clustering->of[unit] != producer) targets |= UINT32_C(1) << device[unit];
    }
    if (pt_part_is_output(p, tensor) && home != s->model->host) targets |= UINT32_C(1) << s->model->host;
    return targets;
}

static void list_arrivals(pt_part_schedule *s, const uint32_t *device) {
    const pt_part_problem *p = s->model->problem;
    const uint32_t *of = s->clustering->of;
    uint32_t waiters = 0, mark = 0;
    memset(s->stamp, 0, ((size_t)s->clustering->count + 1) * sizeof *s->stamp);
    s->arrivals = 0;
    for (uint32_t t = 0; t < p->tensors; t++) {
        uint32_t producer = producer_of(s, t);
        uint32_t home = p->producer[t] == PT_NONE ? s->model->host : device[p->producer[t]];
        uint32_t targets = targets_of(s, t, home, device);
        mark++; /* a cluster waits once for a tensor: it's on one device only */
        for (uint32_t to = 0; to < s->model->devices; to++) {
            if (!(targets >> to & 1)) continue;
            pt_part_arrival *arrival = &s->arrival[s->arrivals++];
            *arrival = (pt_part_arrival){.tensor = t, .from = home, .to = to, .first_waiter = waiters};
            for (uint32_t c = p->first_consumer[t]; c < p->first_consumer[t + 1]; c++) {
                uint32_t unit = p->consumers[c], cluster = of[unit];
                if (device[unit] != to || cluster == producer || s->stamp[cluster] == mark) continue;
                s->stamp[cluster] = mark;
                s->waiter[waiters++] = cluster;
                s->pending[cluster]++;
            }
            arrival->waiters = waiters - arrival->first_waiter;
        }
    }
}

/* A counting sort by producing cluster; the order of tensors stays. */
static void sort_arrivals(pt_part_schedule *s) {
    uint32_t clusters = s->clustering->count, *first = s->first_arrival;
    memset(first, 0, ((size_t)clusters + 2) * sizeof *first);
    for (uint32_t i = 0; i < s->arrivals; i++) first[producer_of(s, s->arrival[i].tensor) + 1]++;
    for (uint32_t c = 0; c <= clusters; c++) first[c + 1] += first[c];
    for (uint32_t i = 0; i < s->arrivals; i++) s->by_producer[first[producer_of(s, s->arrival[i].tensor)]++] = i;
    for (uint32_t c = clusters + 1; c > 0; c--) first[c] = first[c - 1];
    first[0] = 0;
}

static void sum_work(pt_part_schedule *s) {
    const pt_part_clustering *c = s->clustering;
    for (uint32_t i = 0; i < c->count; i++) s->work[i] = s->model->launch[c->device[i]];
    for (uint32_t u = 0; u < s->model->units; u++) {
        s->work[c->of[u]] += pt_part_unit_cost(s->model, u, c->device[c->of[u]]);
    }
}

/* Ids are topological, so the last comes first. */
static void rank_clusters(pt_part_schedule *s) {
    for (uint32_t c = s->clustering->count; c-- > 0;) {
        int64_t longest = 0;
        for (uint32_t i = s->first_arrival[c]; i < s->first_arrival[c + 1]; i++) {
            const pt_part_arrival *arrival = &s->arrival[s->by_producer[i]];
            int64_t after = 0;
            for (uint32_t w = 0; w < arrival->waiters; w++) {
                after = PT_MAX(after, s->rank[s->waiter[arrival->first_waiter + w]]);
            }
            longest = PT_MAX(longest, after + pt_part_tau(s->model, arrival->tensor, arrival->from, arrival->to));
        }
        s->rank[c] = s->work[c] + longest;
    }
}

/* ---- how it goes -------------------------------------------------------------------------------- */

static void make_ready(pt_part_schedule *s, uint32_t cluster) {
    uint32_t resource = s->model->resource[s->clustering->device[cluster]];
    heap_push(s->ready + s->first_ready[resource], &s->ready_count[resource], -s->rank[cluster], cluster);
}

static void arrive(pt_part_schedule *s, const pt_part_arrival *arrival) {
    for (uint32_t w = 0; w < arrival->waiters; w++) {
        uint32_t cluster = s->waiter[arrival->first_waiter + w];
        if (--s->pending[cluster] == 0) make_ready(s, cluster);
    }
}

/* Everything that a cluster (or the host) made goes on its way. */
static void issue(pt_part_schedule *s, uint32_t producer, int64_t now) {
    const pt_part_model *m = s->model;
    for (uint32_t i = s->first_arrival[producer]; i < s->first_arrival[producer + 1]; i++) {
        pt_part_arrival *arrival = &s->arrival[s->by_producer[i]];
        arrival->start = arrival->end = now;
        if (arrival->from == arrival->to) {
            arrive(s, arrival);
            continue;
        }
        int64_t tau = pt_part_tau(m, arrival->tensor, arrival->from, arrival->to);
        if (tau > 0) {
            uint32_t channel = m->channel[arrival->from * m->devices + arrival->to];
            arrival->start = PT_MAX(now, s->channel_free[channel]);
            arrival->end = s->channel_free[channel] = arrival->start + tau;
            s->load[m->devices + channel] += tau;
        }
        s->issue_order[s->issued++] = s->by_producer[i];
        heap_push(s->event, &s->events, arrival->end, s->clustering->count + s->by_producer[i]);
    }
}

static void dispatch(pt_part_schedule *s, int64_t now) {
    for (uint32_t r = 0; r < s->model->devices; r++) {
        if (s->busy[r] || s->ready_count[r] == 0) continue;
        uint32_t cluster = heap_pop(s->ready + s->first_ready[r], &s->ready_count[r]).id;
        s->busy[r] = true;
        s->start[cluster] = now;
        s->end[cluster] = now + s->work[cluster];
        s->load[r] += s->work[cluster];
        heap_push(s->event, &s->events, s->end[cluster], cluster);
    }
}

static int64_t run(pt_part_schedule *s) {
    uint32_t clusters = s->clustering->count;
    int64_t now = 0;
    for (uint32_t c = 0; c < clusters; c++) {
        if (s->pending[c] == 0) make_ready(s, c);
    }
    issue(s, clusters, 0);
    for (;;) {
        /* All that happens at one moment happens before anything new starts. */
        while (s->events > 0 && s->event[0].key == now) {
            uint32_t id = heap_pop(s->event, &s->events).id;
            if (id >= clusters) {
                arrive(s, &s->arrival[id - clusters]);
                continue;
            }
            s->busy[s->model->resource[s->clustering->device[id]]] = false;
            issue(s, id, now);
        }
        dispatch(s, now);
        if (s->events == 0) return now;
        now = s->event[0].key;
    }
}

static void prepare(pt_part_schedule *s) {
    const pt_part_clustering *c = s->clustering;
    uint32_t k = s->model->devices;
    s->events = s->issued = 0;
    memset(s->pending, 0, ((size_t)c->count + 1) * sizeof *s->pending);
    memset(s->busy, 0, k * sizeof *s->busy);
    memset(s->ready_count, 0, k * sizeof *s->ready_count);
    memset(s->first_ready, 0, (k + 1) * sizeof *s->first_ready);
    memset(s->channel_free, 0, (size_t)k * k * sizeof *s->channel_free);
    memset(s->load, 0, (k + (size_t)k * k) * sizeof *s->load);
    for (uint32_t i = 0; i < c->count; i++) s->first_ready[s->model->resource[c->device[i]] + 1]++;
    for (uint32_t r = 0; r < k; r++) s->first_ready[r + 1] += s->first_ready[r];
}

void pt_part_simulate(pt_part_schedule *s, const uint32_t *device, pt_part_value *out_value) {
    uint32_t k = s->model->devices;
    prepare(s);
    list_arrivals(s, device);
    sort_arrivals(s);
    sum_work(s);
    rank_clusters(s);
    out_value->latency = run(s);
    out_value->period = out_value->second_load = 0;
    for (uint32_t i = 0; i < k + k * k; i++) {
        if (s->load[i] >= out_value->period) {
            out_value->second_load = out_value->period;
            out_value->period = s->load[i];
        } else {
            out_value->second_load = PT_MAX(out_value->second_load, s->load[i]);
        }
    }
}
