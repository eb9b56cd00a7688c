/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes: a thread and a queue each. Work has a simulated begin - the latest of when it was given, when its lane and its
 * resources were free and when what it depends on ended - and ends its declared time later, or when the real work is
 * done, if that is later. So a thread that wakes late doesn't make the device slower.
 */
#include "sim/sim.h"

#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>

#define SPIN_NS 40000u

uint64_t sim_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void sim_sleep_until(uint64_t ns) {
    uint64_t now = sim_now_ns();
    while (now + SPIN_NS < ns) {
        uint64_t until = ns - SPIN_NS;
        struct timespec wake = {(time_t)(until / 1000000000u), (long)(until % 1000000000u)};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &wake, NULL);
        now = sim_now_ns();
    }
    while (sim_now_ns() < ns) {}
}

/* ---- what must come first -------------------------------------------------------------------- */

static bool ranges_meet(const sim_range *a, const sim_range *b) {
    return a->memory == b->memory && a->begin < b->end && b->begin < a->end && (a->write || b->write);
}

static bool work_meets(const sim_work *work, const sim_range *ranges, uint32_t count) {
    for (uint32_t i = 0; i < work->range_count; i++) {
        for (uint32_t k = 0; k < count; k++) {
            if (ranges_meet(&work->ranges[i], &ranges[k])) return true;
        }
    }
    return false;
}

/* True while older work of other lanes touches the same memory. Of the same lane it can't be there any more. */
static bool is_blocked(const sim_work *work) {
    for (const sim_work *older = work->older; older; older = older->older) {
        if (older->lane != work->lane && work_meets(older, work->ranges, work->range_count)) return true;
    }
    return false;
}

bool sim_wait_range(ptp_device *device, sim_range range) {
    bool waited = false;
    pthread_mutex_lock(&device->lock);
    for (;;) {
        const sim_work *work = device->oldest;
        /* Work whose end is being signalled is over, and it may be its listener that asks. */
        while (work && (work->told || !work_meets(work, &range, 1))) work = work->newer;
        if (!work) break;
        waited = true;
        pthread_cond_wait(&device->changed, &device->lock);
    }
    pthread_mutex_unlock(&device->lock);
    return waited;
}

/* ---- running --------------------------------------------------------------------------------- */

static void pending_remove(ptp_device *device, sim_work *work) {
    if (work->older)
        work->older->newer = work->newer;
    else
        device->oldest = work->newer;
    if (work->newer)
        work->newer->older = work->older;
    else
        device->newest = work->older;
}

static uint64_t later(uint64_t a, uint64_t b) { return a > b ? a : b; }

/* Waits of work that nothing else orders; the error of a failed one becomes the work's. */
static partita_status await_points(sim_work *work) {
    const ptp_host *host = work->device->host;
    for (uint32_t i = 0; i < work->wait_count; i++) {
        if (!work->waits[i].timeline) continue;
        partita_status status = host->timeline_wait(host->self, work->waits[i].timeline, work->waits[i].value, 0);
        if (status != PARTITA_OK) {
            snprintf(work->message, sizeof(work->message), "what it waits for failed");
            return status;
        }
        work->ready_ns = sim_now_ns();
    }
    return PARTITA_OK;
}

/* Runs the work and lets its simulated time pass; returns the simulated end. */
static uint64_t work_pass(sim_work *work, sim_lane *lane) {
    ptp_device *device = work->device;
    uint32_t resources = work->lane == SIM_COMPUTE ? device->resource_count : 0;
    uint64_t begin, end;
    for (uint32_t i = 0; i < resources; i++) pthread_mutex_lock(&device->resources[i]->lock);
    begin = later(work->ready_ns, lane->free_ns);
    for (uint32_t i = 0; i < resources; i++) begin = later(begin, device->resources[i]->free_ns);
    end = begin + (uint64_t)(work->us * 1e3);
    if (work->status == PARTITA_OK) work->status = work->run(work, work->message, sizeof(work->message));
    if (sim_now_ns() < end)
        sim_sleep_until(end);
    else
        end = sim_now_ns();
    for (uint32_t i = resources; i-- > 0;) {
        device->resources[i]->free_ns = end;
        pthread_mutex_unlock(&device->resources[i]->lock);
    }
    if (work->lane == SIM_COMPUTE) atomic_fetch_add(&device->counters.busy_ns, end - begin);
    return end;
}

/* Tells whoever waits, takes the work out. The news goes first, so that nobody hears of later work before it. The
 * device's lock is held when it returns. */
static void work_finish(sim_lane *lane, sim_work *work, uint64_t end) {
    ptp_device *device = work->device;
    const ptp_host *host = device->host;
    pthread_mutex_lock(&device->lock);
    work->told = true;
    pthread_cond_broadcast(&device->changed);
    pthread_mutex_unlock(&device->lock);
    if (!work->sync && work->done.timeline) {
        host->timeline_signal(host->self, work->done.timeline, work->done.value, work->status,
                              work->status == PARTITA_OK ? NULL : work->message);
    }
    pthread_mutex_lock(&device->lock);
    lane->first = work->next;
    if (!lane->first) lane->last = NULL;
    lane->free_ns = end;
    for (sim_work *newer = device->config.in_order ? work->newer : NULL; newer; newer = newer->newer) {
        if (work_meets(newer, work->ranges, work->range_count)) newer->ready_ns = later(newer->ready_ns, end);
    }
    pending_remove(device, work);
    work->finished = true;
    pthread_cond_broadcast(&device->changed);
    if (!work->sync) work->destroy(work); /* else the caller goes on with it */
}

typedef struct lane_start {
    ptp_device *device;
    uint32_t lane;
} lane_start;

static void *lane_run(void *user) {
    lane_start *start = user;
    ptp_device *device = start->device;
    sim_lane *lane = &device->lanes[start->lane];
    cpu_free(device->host, start);
    prctl(PR_SET_TIMERSLACK, 1000UL);
    pthread_mutex_lock(&device->lock);
    for (;;) {
        sim_work *work = lane->first;
        uint64_t end;
        if (!work && device->closing) break;
        if (!work || (device->config.in_order && is_blocked(work))) {
            pthread_cond_wait(&device->changed, &device->lock);
            continue;
        }
        pthread_mutex_unlock(&device->lock);
        work->status = await_points(work);
        end = work_pass(work, lane);
        work_finish(lane, work, end);
    }
    pthread_mutex_unlock(&device->lock);
    return NULL;
}

/* ---- queueing -------------------------------------------------------------------------------- */

static void queue(ptp_device *device, uint32_t lane_index, sim_work *work) {
    sim_lane *lane = &device->lanes[lane_index];
    work->device = device;
    work->lane = lane_index;
    work->ready_ns = sim_now_ns();
    pthread_mutex_lock(&device->lock);
    if (lane->last)
        lane->last->next = work;
    else
        lane->first = work;
    lane->last = work;
    work->older = device->newest;
    if (device->newest)
        device->newest->newer = work;
    else
        device->oldest = work;
    device->newest = work;
    pthread_cond_broadcast(&device->changed);
    pthread_mutex_unlock(&device->lock);
}

partita_status sim_enqueue(ptp_device *device, uint32_t lane, sim_work *work) {
    const ptp_host *host = device->host;
    partita_status status;
    work->sync = !device->config.async;
    if (!work->sync) {
        queue(device, lane, work);
        return PARTITA_OK;
    }
    queue(device, lane, work);
    pthread_mutex_lock(&device->lock);
    while (!work->finished) pthread_cond_wait(&device->changed, &device->lock);
    pthread_mutex_unlock(&device->lock);
    status = work->status;
    if (status != PARTITA_OK)
        host->fail(host->self, status, work->message);
    else if (work->done.timeline) {
        host->timeline_signal(host->self, work->done.timeline, work->done.value, PARTITA_OK, NULL);
    }
    work->destroy(work);
    return status;
}

partita_status sim_lanes_start(ptp_device *device) {
    for (uint32_t i = 0; i < SIM_LANES; i++) {
        lane_start *start = cpu_alloc(device->host, sizeof(*start));
        if (!start) return PARTITA_OUT_OF_MEMORY;
        *start = (lane_start){device, i};
        if (pthread_create(&device->lanes[i].thread, NULL, lane_run, start) != 0) {
            cpu_free(device->host, start);
            return cpu_fail(device->host, PARTITA_OUT_OF_MEMORY, "no thread can be started");
        }
        device->lanes[i].started = true;
    }
    return PARTITA_OK;
}

void sim_lanes_stop(ptp_device *device) {
    pthread_mutex_lock(&device->lock);
    device->closing = true;
    pthread_cond_broadcast(&device->changed);
    pthread_mutex_unlock(&device->lock);
    for (uint32_t i = 0; i < SIM_LANES; i++) {
        if (device->lanes[i].started) pthread_join(device->lanes[i].thread, NULL);
        device->lanes[i].started = false;
    }
}
