/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread pool. One call at a time holds the turn and publishes its job in one atomic word: (epoch, tickets left,
 * members running). A worker takes part by taking a ticket; when the caller finds no piece left it withdraws the
 * remaining tickets, so that a worker that wakes late costs nothing. Who waits spins for some microseconds, then
 * sleeps on a futex.
 */
#include "base/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    SPIN_NS = 30000,
    PIECES_PER_WORKER = 4, /* more pieces than workers even out what takes unequal time */
    MOST_WORKERS = 1024,
    CACHE_LINE = 64,
};

/* The word of a job. Fields of 16 bits hold MOST_WORKERS easily. */
#define JOB_RUNNING(word) ((uint32_t)(word)&0xffffu)
#define JOB_TICKETS(word) ((uint32_t)((word) >> 16) & 0xffffu)
#define JOB_ONE_RUNNING   UINT64_C(1)
#define JOB_ONE_TICKET    (UINT64_C(1) << 16)
#define JOB_ALL_TICKETS   (UINT64_C(0xffff) << 16)

/* A number on which threads wait for a change. */
typedef struct event {
    _Alignas(CACHE_LINE) atomic_uint value;
    atomic_uint sleepers;
} event;

struct pt_team {
    pt_pool *pool;
    uint32_t count;
    event generation;
    _Alignas(CACHE_LINE) atomic_uint arrived;
};

/* What the holder of the turn has asked for; written while no member runs. */
typedef struct job {
    pt_range_fn range_fn; /* either this */
    pt_team_fn team_fn;   /* or this */
    void *user;
    uint64_t n, pieces;
    pt_team *team;
    uint32_t tickets; /* given out at first */
} job;

struct pt_pool {
    uint32_t workers; /* threads started and the caller */
    uint64_t spin_ns;
    pt_pool_run_fn borrowed; /* the application's threads run the jobs; NULL: own ones do */
    void *borrowed_user;
    pthread_t *threads;
    uint32_t forks; /* of the process when the pool was made */
    pthread_mutex_t turn;
    job job;
    uint32_t epoch; /* under the turn */
    _Alignas(CACHE_LINE) _Atomic uint64_t word;
    _Alignas(CACHE_LINE) _Atomic uint64_t next_piece;
    event posted; /* a new job, or the end */
    event done;   /* the last member left */
    atomic_bool ending;
};

/* How often this process is the child of a fork: a child has the thread that forked and none of the others. */
static atomic_uint forks;
static pthread_once_t forks_once = PTHREAD_ONCE_INIT;
static void count_fork(void) { atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed); }
static void watch_forks(void) { pthread_atfork(NULL, NULL, count_fork); }

static bool is_forked(const pt_pool *pool) { return atomic_load_explicit(&forks, memory_order_relaxed) != pool->forks; }

/* Which pool this thread is working for, so that a call from inside runs inline. */
static PT_THREAD_LOCAL struct {
    const pt_pool *pool;
    uint32_t worker;
} current;

static void futex(atomic_uint *word, int operation, uint32_t value) {
    /* A wake-up without cause, a signal or a changed value all lead to looking again. */
    syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

/* Returns when the event's value differs from `seen`. */
static void event_wait(event *e, uint32_t seen, uint64_t spin_ns) {
    if (spin_ns) {
        uint64_t end = pt_now_ns() + spin_ns;
        do {
            for (int i = 0; i < 32; i++) {
                if (atomic_load_explicit(&e->value, memory_order_acquire) != seen) return;
                pt_cpu_relax();
            }
        } while (pt_now_ns() < end);
    }
    atomic_fetch_add(&e->sleepers, 1);
    while (atomic_load(&e->value) == seen) futex(&e->value, FUTEX_WAIT_PRIVATE, seen);
    atomic_fetch_sub(&e->sleepers, 1);
}

/* Sequentially consistent on both sides: either the sleeper sees the value or the signaller sees the sleeper. */
static void event_signal(event *e) {
    atomic_fetch_add(&e->value, 1);
    if (atomic_load(&e->sleepers) > 0) futex(&e->value, FUTEX_WAKE_PRIVATE, INT_MAX);
}

static void run_pieces(pt_pool *pool, uint32_t worker) {
    const job *j = &pool->job;
    uint64_t size = j->n / j->pieces, extra = j->n % j->pieces;
    for (;;) {
        uint64_t piece = atomic_fetch_add_explicit(&pool->next_piece, 1, memory_order_relaxed);
        if (piece >= j->pieces) return;
        uint64_t begin = piece * size + PT_MIN(piece, extra);
        j->range_fn(j->user, begin, begin + size + (piece < extra), worker);
    }
}

static void run_member(pt_pool *pool, uint32_t worker) {
    const job *j = &pool->job;
    if (j->team) {
        j->team_fn(j->user, j->team, worker, j->team->count);
    } else {
        run_pieces(pool, worker);
    }
}

/* Takes a ticket of the job there is; false when none is left. */
static bool take_ticket(pt_pool *pool, uint32_t *out_worker) {
    uint64_t word = atomic_load_explicit(&pool->word, memory_order_relaxed);
    do {
        if (JOB_TICKETS(word) == 0) return false;
    } while (!atomic_compare_exchange_weak_explicit(&pool->word, &word, word - JOB_ONE_TICKET + JOB_ONE_RUNNING,
                                                    memory_order_acquire, memory_order_relaxed));
    *out_worker = 1 + pool->job.tickets - JOB_TICKETS(word);
    return true;
}

static void *worker_main(void *argument) {
    pt_pool *pool = argument;
    uint32_t seen = 0;
    current.pool = pool;
    while (!atomic_load_explicit(&pool->ending, memory_order_acquire)) {
        uint32_t worker;
        if (take_ticket(pool, &worker)) {
            current.worker = worker;
            run_member(pool, worker);
            uint64_t before = atomic_fetch_sub(&pool->word, JOB_ONE_RUNNING);
            if (JOB_RUNNING(before) == 1 && JOB_TICKETS(before) == 0) event_signal(&pool->done);
            continue;
        }
        event_wait(&pool->posted, seen, pool->spin_ns);
        seen = atomic_load_explicit(&pool->posted.value, memory_order_acquire);
    }
    return NULL;
}

/* Publishes the job, runs the caller's share, returns when no member runs. The turn is held. */
static void run_job(pt_pool *pool) {
    pool->epoch++;
    atomic_store_explicit(&pool->next_piece, 0, memory_order_relaxed);
    atomic_store(&pool->word, (uint64_t)pool->epoch << 32 | (uint64_t)pool->job.tickets << 16);
    event_signal(&pool->posted);

    const pt_pool *outer_pool = current.pool;
    uint32_t outer_worker = current.worker;
    current.pool = pool;
    current.worker = 0;
    run_member(pool, 0);
    current.pool = outer_pool;
    current.worker = outer_worker;

    /* A team's tickets are needed, they are all taken by its first barrier or soon after; pieces are all gone. */
    if (!pool->job.team) atomic_fetch_and(&pool->word, ~JOB_ALL_TICKETS);
    for (;;) {
        uint32_t seen = atomic_load(&pool->done.value);
        uint64_t word = atomic_load(&pool->word);
        if (JOB_RUNNING(word) == 0 && JOB_TICKETS(word) == 0) return;
        event_wait(&pool->done, seen, pool->spin_ns);
    }
}

/* One member on a thread of the application's. */
static void run_borrowed(void *argument, uint32_t worker) {
    pt_pool *pool = argument;
    const pt_pool *outer_pool = current.pool;
    uint32_t outer_worker = current.worker;
    current.pool = pool;
    current.worker = worker;
    run_member(pool, worker);
    current.pool = outer_pool;
    current.worker = outer_worker;
}

/* Runs the job on all members there are to be; a caller that is left alone does it alone. The turn is held. */
static void run_members(pt_pool *pool) {
    if (!pool->borrowed) {
        run_job(pool);
        return;
    }
    atomic_store(&pool->next_piece, 0);
    if (pool->borrowed(pool->borrowed_user, run_borrowed, pool, pool->job.tickets + 1)) return;
    if (pool->job.team) pool->job.team->count = 1;
    run_borrowed(pool, 0);
}

/* The worker id for code that runs inline: the one this thread has in the pool already. */
static uint32_t inline_worker(const pt_pool *pool) { return current.pool == pool ? current.worker : 0; }

void pt_pool_parallel(pt_pool *pool, pt_range_fn fn, void *user, uint64_t n, uint64_t grain) {
    if (n == 0) return;
    uint64_t pieces = PT_MIN(n / (grain ? grain : 1), (uint64_t)pool->workers * PIECES_PER_WORKER);
    if (pieces <= 1 || pool->workers == 1 || current.pool || is_forked(pool)) {
        fn(user, 0, n, inline_worker(pool));
        return;
    }
    pthread_mutex_lock(&pool->turn);
    uint32_t tickets = (uint32_t)PT_MIN(pieces, (uint64_t)pool->workers) - 1;
    pool->job = (job){.range_fn = fn, .user = user, .n = n, .pieces = pieces, .tickets = tickets};
    run_members(pool);
    pthread_mutex_unlock(&pool->turn);
}

void pt_pool_team(pt_pool *pool, pt_team_fn fn, void *user, uint32_t n) {
    pt_team team = {.pool = pool, .count = PT_MIN(PT_MAX(n, 1u), pool->workers)};
    if (current.pool || is_forked(pool) || (team.count > 1 && pthread_mutex_trylock(&pool->turn) != 0)) team.count = 1;
    if (team.count == 1) {
        fn(user, &team, 0, 1);
        return;
    }
    pool->job = (job){.team_fn = fn, .user = user, .team = &team, .tickets = team.count - 1};
    run_members(pool);
    pthread_mutex_unlock(&pool->turn);
}

void pt_team_barrier(pt_team *team) {
    if (team->count == 1) return;
    uint32_t generation = atomic_load(&team->generation.value);
    if (atomic_fetch_add(&team->arrived, 1) + 1 == team->count) {
        /* Nobody arrives anew before the generation changes. */
        atomic_store(&team->arrived, 0);
        event_signal(&team->generation);
    } else {
        event_wait(&team->generation, generation, team->pool->spin_ns);
    }
}

/* Threads of the pool take no signals: those belong to the program. */
static uint32_t start_threads(pt_pool *pool, uint32_t wanted) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    uint32_t started = 0;
    while (started < wanted && pthread_create(&pool->threads[started], NULL, worker_main, pool) == 0) {
        pthread_setname_np(pool->threads[started], "partita-pool");
        started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

static partita_status create_pool(uint32_t workers, pt_pool **out_pool) {
    pt_pool *pool = pt_malloc_aligned(sizeof *pool, CACHE_LINE);
    if (!pool) return PT_OUT_OF_MEMORY();
    memset(pool, 0, sizeof *pool);
    pool->threads = pt_calloc(workers, sizeof *pool->threads);
    if (!pool->threads) {
        pt_free(pool);
        return PT_OUT_OF_MEMORY();
    }
    pthread_once(&forks_once, watch_forks);
    pool->forks = atomic_load(&forks);
    pthread_mutex_init(&pool->turn, NULL);
    /* Spinning takes the core from the thread that is waited for when there are more threads than cores. */
    pool->spin_ns = workers <= pt_cpu_count() ? SPIN_NS : 0;
    *out_pool = pool;
    return PARTITA_OK;
}

partita_status pt_pool_create(uint32_t threads, pt_pool **out_pool) {
    uint32_t workers = PT_MIN(threads ? threads : pt_cpu_count(), (uint32_t)MOST_WORKERS);
    pt_pool *pool;
    PT_TRY(create_pool(workers, &pool));
    uint32_t started = start_threads(pool, workers - 1);
    pool->workers = started + 1;
    if (pool->workers < workers) {
        pt_log(PARTITA_LOG_WARNING, "thread pool has %u of %u workers: no more threads can be started", pool->workers,
               workers);
    }
    *out_pool = pool;
    return PARTITA_OK;
}

partita_status pt_pool_create_over(uint32_t workers, pt_pool_run_fn run, void *user, pt_pool **out_pool) {
    pt_pool *pool;
    PT_TRY(create_pool(PT_MIN(PT_MAX(workers, 1u), (uint32_t)MOST_WORKERS), &pool));
    pool->workers = PT_MIN(PT_MAX(workers, 1u), (uint32_t)MOST_WORKERS);
    pool->borrowed = run;
    pool->borrowed_user = user;
    *out_pool = pool;
    return PARTITA_OK;
}

void pt_pool_destroy(pt_pool *pool) {
    if (!pool) return;
    if (!is_forked(pool)) {
        atomic_store(&pool->ending, true);
        event_signal(&pool->posted);
        for (uint32_t i = 0; !pool->borrowed && i + 1 < pool->workers; i++) pthread_join(pool->threads[i], NULL);
        pthread_mutex_destroy(&pool->turn);
    }
    pt_free(pool->threads);
    pt_free(pool);
}

uint32_t pt_pool_workers(const pt_pool *pool) { return pool->workers; }
