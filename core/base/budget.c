/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting bytes against limits, across threads.
 */
#include "base/budget.h"
#include <stdatomic.h>
#include <stdio.h>

struct pt_budget {
    _Atomic uint32_t references;
    uint64_t limit;
    _Atomic uint64_t used;
    char name[64];
};

static PT_THREAD_LOCAL pt_spender *current;

partita_status pt_budget_create(const char *name, uint64_t limit, pt_budget **out_budget) {
    pt_budget *budget = pt_calloc(1, sizeof(*budget));
    if (!budget) return PT_OUT_OF_MEMORY();
    atomic_init(&budget->references, 1);
    budget->limit = limit;
    snprintf(budget->name, sizeof(budget->name), "%s", name);
    *out_budget = budget;
    return PARTITA_OK;
}

void pt_budget_retain(pt_budget *budget) {
    if (budget) atomic_fetch_add_explicit(&budget->references, 1, memory_order_relaxed);
}

void pt_budget_release(pt_budget *budget) {
    if (budget && atomic_fetch_sub_explicit(&budget->references, 1, memory_order_acq_rel) == 1) pt_free(budget);
}

static partita_status refuse(const pt_budget *budget, uint64_t bytes, uint64_t used) {
    pt_spender *spender = current;
    partita_status status =
        pt_fail(PARTITA_OUT_OF_MEMORY, "%s: %llu bytes are needed, %llu are allowed, of which %llu are in use",
                budget->name, (unsigned long long)bytes, (unsigned long long)budget->limit, (unsigned long long)used);
    if (!spender) return status;
    pthread_mutex_lock(&spender->lock);
    if (!spender->refused) snprintf(spender->refusal, sizeof(spender->refusal), "%s", pt_last_message());
    spender->refused = true;
    pthread_mutex_unlock(&spender->lock);
    return status;
}

partita_status pt_budget_take(pt_budget *budget, uint64_t bytes) {
    uint64_t used, after;
    if (!budget) return PARTITA_OK;
    used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    do {
        if (!pt_add_u64(used, bytes, &after) || after > budget->limit) return refuse(budget, bytes, used);
    } while (!atomic_compare_exchange_weak_explicit(&budget->used, &used, after, memory_order_relaxed,
                                                    memory_order_relaxed));
    return PARTITA_OK;
}

void pt_budget_add(pt_budget *budget, uint64_t bytes) {
    if (budget) atomic_fetch_add_explicit(&budget->used, bytes, memory_order_relaxed);
}

void pt_budget_give(pt_budget *budget, uint64_t bytes) {
    if (budget) atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);
}

uint64_t pt_budget_used(const pt_budget *budget) {
    return budget ? atomic_load_explicit(&budget->used, memory_order_relaxed) : 0;
}

/* ---- spenders -------------------------------------------------------------------------------- */

void pt_spender_init(pt_spender *spender, pt_budget *budget) {
    *spender = (pt_spender){.budget = budget};
    pthread_mutex_init(&spender->lock, NULL);
}

void pt_spender_deinit(pt_spender *spender) { pthread_mutex_destroy(&spender->lock); }

pt_spender *pt_spender_enter(pt_spender *spender) {
    pt_spender *before = current;
    current = spender;
    return before;
}

pt_spender *pt_spender_current(void) { return current; }

pt_budget *pt_spender_budget(void) { return current ? current->budget : NULL; }

partita_status pt_spender_status(pt_spender *spender, partita_status status) {
    if (status == PARTITA_OK) return status;
    pthread_mutex_lock(&spender->lock);
    if (spender->refused) status = pt_fail_copy(PARTITA_OUT_OF_MEMORY, spender->refusal);
    pthread_mutex_unlock(&spender->lock);
    return status;
}

bool pt_spender_clear(pt_spender *spender) {
    pthread_mutex_lock(&spender->lock);
    bool refused = spender->refused;
    spender->refused = false;
    pthread_mutex_unlock(&spender->lock);
    return refused;
}
