/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread pool that CPU work of the core and of plugins shares. Sized by affinity mask and cgroup quota.
 * The calling thread is always one of the workers, so a pool of 1 starts no thread. In the child of a fork the workers
 * of a pool made before are gone: there the calling thread does all of the work.
 */
#ifndef PT_BASE_POOL_H
#define PT_BASE_POOL_H

#include "base/base.h"

typedef struct pt_pool pt_pool;
typedef struct pt_team pt_team;

/* Cores this process may use: affinity mask, cut by the cgroup's cpu.max; at least 1. */
uint32_t pt_cpu_count(void);
/* `threads`: workers in all, the caller's thread included; 0: pt_cpu_count(). */
partita_status pt_pool_create(uint32_t threads, pt_pool **out_pool);
/*
 * A pool over the application's threads: `run` runs fn(arg, worker) for worker 0 .. count - 1 at once, worker 0 on the
 * calling thread, and returns when all did; 0 and none is run when it cannot. `workers`: the most it runs.
 */
typedef int32_t (*pt_pool_run_fn)(void *user, void (*fn)(void *arg, uint32_t worker), void *arg, uint32_t count);
partita_status pt_pool_create_over(uint32_t workers, pt_pool_run_fn run, void *user, pt_pool **out_pool);
/* Joins the workers. Accepts NULL. */
void pt_pool_destroy(pt_pool *pool);
uint32_t pt_pool_workers(const pt_pool *pool);

typedef void (*pt_range_fn)(void *user, uint64_t begin, uint64_t end, uint32_t worker);
/*
 * Runs fn over [0, n) in ranges of at least `grain`; returns when all are done. Thread-safe: calls from several
 * threads take turns at the workers; a call from inside a worker runs inline.
 */
void pt_pool_parallel(pt_pool *pool, pt_range_fn fn, void *user, uint64_t n, uint64_t grain);

typedef void (*pt_team_fn)(void *user, pt_team *team, uint32_t worker, uint32_t count);
/*
 * Runs fn on `n` workers at once (n is cut to the pool's size; fn is told the count); returns when all are done.
 * When the pool is taken by another thread, fn runs with count 1 on the calling thread.
 */
void pt_pool_team(pt_pool *pool, pt_team_fn fn, void *user, uint32_t n);
/* Waits until all workers of the team are here; memory written before is seen after. */
void pt_team_barrier(pt_team *team);

#endif
