/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services that plugins get from this room - failure texts, log, memory, workers - and the bracket around every call
 * into a plugin, which turns what the plugin said into this thread's message.
 */
#include "base/budget.h"
#include "plugin/internal.h"

#include <stdio.h>

/* How deep this thread is inside calls of plugins, and whether the innermost one gave a text. */
static PT_THREAD_LOCAL uint32_t call_depth;
static PT_THREAD_LOCAL bool call_failed;

/* ---- services -------------------------------------------------------------------------------- */

static void host_fail(void *self, partita_status code, const char *message) {
    pt_plugin *plugin = self;
    if (call_depth) {
        pt_fail_copy(code, message);
        call_failed = true;
        return;
    }
    pthread_mutex_lock(&plugin->stray->lock);
    snprintf(plugin->stray->message, sizeof(plugin->stray->message), "%s", message ? message : "");
    plugin->stray->set = true;
    pthread_mutex_unlock(&plugin->stray->lock);
}

static void host_log(void *self, int32_t level, const char *message) {
    pt_plugin *plugin = self;
    pt_log_to(&plugin->registry->log, level, "%s: %s", plugin->name, message ? message : "");
}

/* In front of every block of a plugin: whose budget it spends. */
typedef struct block_head {
    void *start;
    pt_budget *budget; /* held; NULL */
    uint64_t bytes;
} block_head;
enum { HEAD_BYTES = 32 };
_Static_assert(sizeof(block_head) <= HEAD_BYTES, "the head lies in front of the smallest alignment");

static void *host_alloc(void *self, uint64_t bytes, uint64_t alignment) {
    PT_UNUSED(self);
    uint64_t front = PT_MAX(alignment, HEAD_BYTES), size; /* the block stays aligned, and the head has room */
    if (alignment > 1u << 30 || (alignment & (alignment - 1)) != 0) return NULL;
    if (!pt_add_u64(front, bytes, &size) || size > SIZE_MAX) return NULL;
    pt_budget *budget = pt_spender_budget();
    if (pt_budget_take(budget, size) != PARTITA_OK) return NULL;
    char *start = pt_malloc_aligned((size_t)size, (size_t)front);
    if (!start) {
        pt_budget_give(budget, size);
        return NULL;
    }
    block_head *head = (block_head *)(start + front) - 1;
    *head = (block_head){start, budget, size};
    pt_budget_retain(budget);
    return start + front;
}

static void host_free(void *self, void *block) {
    PT_UNUSED(self);
    if (!block) return;
    const block_head head = ((block_head *)block)[-1];
    pt_free(head.start);
    pt_budget_give(head.budget, head.bytes);
    pt_budget_release(head.budget);
}

static uint32_t host_workers(void *self) {
    pt_pool *pool = ((pt_plugin *)self)->registry->pool;
    return pool ? pt_pool_workers(pool) : 1;
}

/* Work of a spender on the pool's threads. */
typedef struct range_call {
    pt_range_fn fn;
    void *user;
    pt_spender *spender;
} range_call;

static void range_enter(void *user, uint64_t begin, uint64_t end, uint32_t worker) {
    const range_call *call = user;
    pt_spender *before = pt_spender_enter(call->spender);
    call->fn(call->user, begin, end, worker);
    pt_spender_enter(before);
}

static void host_parallel(void *self, void (*fn)(void *user, uint64_t begin, uint64_t end, uint32_t worker), void *user,
                          uint64_t n, uint64_t grain) {
    pt_pool *pool = ((pt_plugin *)self)->registry->pool;
    range_call call = {fn, user, pt_spender_current()};
    if (pool && pt_spender_budget())
        pt_pool_parallel(pool, range_enter, &call, n, grain);
    else if (pool)
        pt_pool_parallel(pool, fn, user, n, grain);
    else if (n)
        fn(user, 0, n, 0);
}

typedef struct team_call {
    void (*fn)(void *user, ptp_team *team, uint32_t worker, uint32_t count);
    void *user;
    pt_spender *spender;
} team_call;

static void team_enter(void *user, pt_team *team, uint32_t worker, uint32_t count) {
    const team_call *call = user;
    pt_spender *before = pt_spender_enter(call->spender);
    call->fn(call->user, (ptp_team *)team, worker, count);
    pt_spender_enter(before);
}

static void host_team(void *self, void (*fn)(void *user, ptp_team *team, uint32_t worker, uint32_t count), void *user,
                      uint32_t n) {
    pt_pool *pool = ((pt_plugin *)self)->registry->pool;
    team_call call = {fn, user, pt_spender_current()};
    if (pool)
        pt_pool_team(pool, team_enter, &call, n);
    else
        fn(user, NULL, 0, 1);
}

static void host_team_barrier(ptp_team *team) {
    if (team) pt_team_barrier((pt_team *)team);
}

partita_status pt_plugin_make_host(pt_plugin *plugin) {
    ptp_host *host = pt_calloc(1, sizeof(*host));
    pt_stray *stray = pt_calloc(1, sizeof(*stray));
    if (!host || !stray) {
        pt_free(host);
        pt_free(stray);
        return PT_OUT_OF_MEMORY();
    }
    pthread_mutex_init(&stray->lock, NULL);
    *host = plugin->registry->services;
    host->size = sizeof(*host);
    host->abi = plugin->info->abi;
    host->self = plugin;
    host->fail = host_fail;
    host->log = host_log;
    host->alloc = host_alloc;
    host->free = host_free;
    host->workers = host_workers;
    host->parallel = host_parallel;
    host->team = host_team;
    host->team_barrier = host_team_barrier;
    plugin->host = host;
    plugin->stray = stray;
    return PARTITA_OK;
}

void pt_stray_destroy(pt_stray *stray) {
    if (!stray) return;
    pthread_mutex_destroy(&stray->lock);
    pt_free(stray);
}

/* ---- the bracket ----------------------------------------------------------------------------- */

void pt_plugin_begin(pt_plugin *plugin) {
    PT_UNUSED(plugin);
    call_depth++;
    call_failed = false;
}

void pt_plugin_keep_message(void) {
    if (call_depth) call_failed = true;
}

/* A plugin that failed on another thread of its own left the text aside. */
static bool take_stray(pt_plugin *plugin, partita_status status) {
    bool set;
    pthread_mutex_lock(&plugin->stray->lock);
    set = plugin->stray->set;
    if (set) pt_fail_copy(status, plugin->stray->message);
    plugin->stray->set = false;
    pthread_mutex_unlock(&plugin->stray->lock);
    return set;
}

partita_status pt_plugin_finish(pt_plugin *plugin, const char *what, partita_status status) {
    bool told = call_failed;
    call_depth--;
    call_failed = false;
    if (status == PARTITA_OK) return PARTITA_OK;
    if (!pt_status_is_valid(status)) {
        pt_fail(PARTITA_INTERNAL, "returned %d, which is no status", (int)status);
        status = PARTITA_INTERNAL;
    } else if (!told && !take_stray(plugin, status)) {
        pt_fail(status, "%s", pt_status_text(status));
    }
    return what ? pt_annotate(status, "%s", what) : status;
}

void pt_device_begin(pt_device *device) {
    pt_device_slot *slot = (pt_device_slot *)device;
    if (!(device->info.flags & PTP_DEVICE_CONCURRENT)) pthread_mutex_lock(&slot->calls);
    pt_plugin_begin(device->plugin);
}

partita_status pt_device_finish(pt_device *device, partita_status status) {
    pt_device_slot *slot = (pt_device_slot *)device;
    status = pt_plugin_finish(device->plugin, device->name, status);
    if (!(device->info.flags & PTP_DEVICE_CONCURRENT)) pthread_mutex_unlock(&slot->calls);
    return status;
}
