/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Budgets: how many bytes of one memory may be held at once, and who spends them. A thread that works for somebody who
 * has a budget of host memory spends it by whatever counts its blocks: values, and what plugins allocate.
 */
#ifndef PT_BASE_BUDGET_H
#define PT_BASE_BUDGET_H

#include "base/base.h"
#include <pthread.h>

/* Reference-counted: a block may be freed after its session. NULL is a budget without end. Thread-safe. */
typedef struct pt_budget pt_budget;
/* `name` of the memory, copied. */
partita_status pt_budget_create(const char *name, uint64_t limit, pt_budget **out_budget);
void pt_budget_retain(pt_budget *budget);
void pt_budget_release(pt_budget *budget);
/* OUT_OF_MEMORY naming memory, need and limit; the spender of this thread remembers it. */
partita_status pt_budget_take(pt_budget *budget, uint64_t bytes);
/* Counts what is held in any case. */
void pt_budget_add(pt_budget *budget, uint64_t bytes);
void pt_budget_give(pt_budget *budget, uint64_t bytes);
uint64_t pt_budget_used(const pt_budget *budget);

/* Somebody who spends, with threads that come and go. */
typedef struct pt_spender {
    pt_budget *budget;    /* of host memory; borrowed */
    pthread_mutex_t lock; /* guards what follows */
    bool refused;
    char refusal[256]; /* the first one */
} pt_spender;

void pt_spender_init(pt_spender *spender, pt_budget *budget);
void pt_spender_deinit(pt_spender *spender);
/* This thread works for `spender` (NULL: nobody) from now on. Returns whom it worked for, to be entered again. */
pt_spender *pt_spender_enter(pt_spender *spender);
/* Whom this thread works for; NULL. */
pt_spender *pt_spender_current(void);
/* The budget of host memory that this thread spends; NULL. */
pt_budget *pt_spender_budget(void);
/* What a failure comes to: OUT_OF_MEMORY with the refusal as this thread's message when there was one, else `status`.
 */
partita_status pt_spender_status(pt_spender *spender, partita_status status);
/* True when there was a refusal since the last call. */
bool pt_spender_clear(pt_spender *spender);

#endif
