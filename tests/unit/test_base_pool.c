/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread pool: every index once, teams that meet at barriers, calls from several threads and from inside.
 */
#include "base/pool.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST = 4096, WORKERS = 4 };

typedef struct marks {
    pt_pool *pool;
    uint32_t count[MOST]; /* not atomic: a range belongs to one worker */
    atomic_uint calls, wrong;
    uint64_t grain, n;
} marks;

static void mark(void *user, uint64_t begin, uint64_t end, uint32_t worker) {
    marks *m = user;
    atomic_fetch_add(&m->calls, 1);
    if (worker >= pt_pool_workers(m->pool) || begin >= end || (end - begin < m->grain && m->n >= m->grain)) {
        atomic_fetch_add(&m->wrong, 1);
    }
    for (uint64_t i = begin; i < end; i++) m->count[i]++;
}

static void parallel_covers_every_index_once(void **state) {
    PT_UNUSED(state);
    static const uint64_t sizes[] = {0, 1, 2, 3, 7, 64, 1000, MOST};
    static const uint64_t grains[] = {0, 1, 3, 100, 10000};
    for (uint32_t workers = 1; workers <= WORKERS; workers++) {
        pt_pool *pool;
        assert_int_equal(pt_pool_create(workers, &pool), PARTITA_OK);
        assert_int_equal(pt_pool_workers(pool), workers);
        for (int round = 0; round < 20; round++) {
            for (size_t s = 0; s < PT_COUNT_OF(sizes); s++) {
                for (size_t g = 0; g < PT_COUNT_OF(grains); g++) {
                    marks *m = calloc(1, sizeof *m);
                    m->pool = pool;
                    m->grain = grains[g];
                    m->n = sizes[s];
                    pt_pool_parallel(pool, mark, m, sizes[s], grains[g]);
                    for (uint64_t i = 0; i < MOST; i++) assert_int_equal(m->count[i], i < sizes[s]);
                    assert_int_equal(atomic_load(&m->wrong), 0);
                    if (sizes[s] == 0) assert_int_equal(atomic_load(&m->calls), 0);
                    free(m);
                }
            }
        }
        pt_pool_destroy(pool);
    }
    pt_pool_destroy(NULL);
}

enum { STAGES = 50 };

typedef struct relay {
    uint32_t value[STAGES + 1][WORKERS]; /* each written by one member, read by all after the barrier */
    atomic_uint members, wrong;
} relay;

static void run_relay(void *user, pt_team *team, uint32_t worker, uint32_t count) {
    relay *r = user;
    atomic_fetch_add(&r->members, 1);
    r->value[0][worker] = 1;
    for (int stage = 0; stage < STAGES; stage++) {
        pt_team_barrier(team);
        uint32_t sum = 0;
        for (uint32_t i = 0; i < count; i++) sum += r->value[stage][i];
        if (sum != count + count * (uint32_t)stage) atomic_fetch_add(&r->wrong, 1);
        r->value[stage + 1][worker] = r->value[stage][worker] + 1;
    }
}

static void team_meets_at_barriers(void **state) {
    PT_UNUSED(state);
    pt_pool *pool;
    assert_int_equal(pt_pool_create(WORKERS, &pool), PARTITA_OK);
    for (uint32_t wanted = 0; wanted <= 2 * WORKERS; wanted++) {
        for (int round = 0; round < 10; round++) {
            relay *r = calloc(1, sizeof *r);
            pt_pool_team(pool, run_relay, r, wanted);
            assert_int_equal(atomic_load(&r->members), PT_MIN(PT_MAX(wanted, 1u), (uint32_t)WORKERS));
            assert_int_equal(atomic_load(&r->wrong), 0);
            free(r);
        }
    }
    pt_pool_destroy(pool);
}

static void run_nested(void *user, uint64_t begin, uint64_t end, uint32_t worker) {
    PT_UNUSED(worker);
    marks *m = user;
    for (uint64_t i = begin; i < end; i++) {
        marks *inner = calloc(1, sizeof *inner);
        inner->pool = m->pool;
        pt_pool_parallel(m->pool, mark, inner, 100, 1);
        if (atomic_load(&inner->calls) != 1) atomic_fetch_add(&m->wrong, 1);
        relay *r = calloc(1, sizeof *r);
        pt_pool_team(m->pool, run_relay, r, WORKERS);
        if (atomic_load(&r->members) != 1 || atomic_load(&r->wrong)) atomic_fetch_add(&m->wrong, 1);
        free(r);
        free(inner);
        m->count[i]++;
    }
}

static void calls_from_inside_run_inline(void **state) {
    PT_UNUSED(state);
    pt_pool *pool;
    assert_int_equal(pt_pool_create(WORKERS, &pool), PARTITA_OK);
    marks *m = calloc(1, sizeof *m);
    m->pool = pool;
    pt_pool_parallel(pool, run_nested, m, 64, 1);
    assert_int_equal(atomic_load(&m->wrong), 0);
    for (int i = 0; i < 64; i++) assert_int_equal(m->count[i], 1);
    free(m);
    pt_pool_destroy(pool);
}

static void *call_from_thread(void *argument) {
    pt_pool *pool = argument;
    uintptr_t wrong = 0;
    for (int round = 0; round < 100; round++) {
        marks *m = calloc(1, sizeof *m);
        m->pool = pool;
        pt_pool_parallel(pool, mark, m, 777, 5);
        for (uint64_t i = 0; i < MOST; i++) wrong += m->count[i] != (i < 777);
        free(m);
        relay *r = calloc(1, sizeof *r);
        pt_pool_team(pool, run_relay, r, 3);
        uint32_t members = atomic_load(&r->members);
        wrong += (members != 1 && members != 3) || atomic_load(&r->wrong);
        free(r);
    }
    return (void *)wrong;
}

static void several_threads_call_at_once(void **state) {
    PT_UNUSED(state);
    pt_pool *pool;
    pthread_t threads[6];
    assert_int_equal(pt_pool_create(3, &pool), PARTITA_OK);
    for (size_t i = 0; i < PT_COUNT_OF(threads); i++) pthread_create(&threads[i], NULL, call_from_thread, pool);
    for (size_t i = 0; i < PT_COUNT_OF(threads); i++) {
        void *wrong;
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    pt_pool_destroy(pool);
}

static void parked_workers_wake(void **state) {
    PT_UNUSED(state);
    pt_pool *pool;
    assert_int_equal(pt_pool_create(WORKERS, &pool), PARTITA_OK);
    for (int i = 0; i < 20; i++) {
        usleep(1000);
        relay *r = calloc(1, sizeof *r);
        pt_pool_team(pool, run_relay, r, WORKERS);
        assert_int_equal(atomic_load(&r->members), WORKERS);
        free(r);
    }
    pt_pool_destroy(pool);
}

static void creation_survives_failed_allocations(void **state) {
    PT_UNUSED(state);
    pt_pool *pool = NULL;
    for (int64_t k = 0; k < 2; k++) {
        pt_alloc_fail_after(k, true);
        assert_int_equal(pt_pool_create(2, &pool), PARTITA_OUT_OF_MEMORY);
        assert_null(pool);
    }
    pt_alloc_fail_after(-1, false);
    assert_true(pt_cpu_count() >= 1);
    assert_int_equal(pt_pool_create(0, &pool), PARTITA_OK);
    assert_int_equal(pt_pool_workers(pool), pt_cpu_count());
    pt_pool_destroy(pool);
}

/* ---- threads of the application ------------------------------------------------------------------ */

typedef struct lent {
    void (*fn)(void *arg, uint32_t worker);
    void *arg;
    uint32_t worker;
} lent;

static void *run_lent(void *user) {
    lent *l = user;
    l->fn(l->arg, l->worker);
    return NULL;
}

/* user: 1 lends threads, 0 has none to lend. */
static int32_t lend(void *user, void (*fn)(void *arg, uint32_t worker), void *arg, uint32_t count) {
    pthread_t threads[WORKERS];
    lent rows[WORKERS];
    if (!*(int *)user) return 0;
    for (uint32_t i = 1; i < count; i++) {
        rows[i] = (lent){fn, arg, i};
        if (pthread_create(&threads[i], NULL, run_lent, &rows[i]) != 0) abort();
    }
    fn(arg, 0);
    for (uint32_t i = 1; i < count; i++) pthread_join(threads[i], NULL);
    return 1;
}

typedef struct lent_team {
    atomic_uint arrived, early, count;
} lent_team;

static void meet(void *user, pt_team *team, uint32_t worker, uint32_t count) {
    lent_team *t = user;
    PT_UNUSED(worker);
    atomic_store(&t->count, count);
    atomic_fetch_add(&t->arrived, 1);
    pt_team_barrier(team);
    if (atomic_load(&t->arrived) != count) atomic_fetch_add(&t->early, 1);
}

static void threads_of_the_application_run_jobs(void **state) {
    PT_UNUSED(state);
    for (int lends = 0; lends < 2; lends++) {
        pt_pool *pool;
        lent_team team = {0};
        assert_int_equal(pt_pool_create_over(WORKERS, lend, &lends, &pool), PARTITA_OK);
        assert_int_equal(pt_pool_workers(pool), WORKERS);
        marks *m = calloc(1, sizeof *m);
        *m = (marks){.pool = pool, .grain = 1, .n = 1000};
        pt_pool_parallel(pool, mark, m, 1000, 1);
        for (uint32_t i = 0; i < 1000; i++) assert_int_equal(m->count[i], 1);
        assert_int_equal(m->wrong, 0);
        free(m);
        pt_pool_team(pool, meet, &team, WORKERS);
        assert_int_equal(team.count, lends ? WORKERS : 1);
        assert_int_equal(team.arrived, team.count);
        assert_int_equal(team.early, 0);
        pt_pool_destroy(pool);
    }
}

static void one_member(void *user, pt_team *team, uint32_t worker, uint32_t count) {
    pt_team_barrier(team);
    if (worker == 0) *(uint32_t *)user = count;
}

/* The child has the calling thread and none of the workers: work is done, and nobody is waited for. */
static void the_child_of_a_fork_works_alone(void **state) {
    PT_UNUSED(state);
    pt_pool *pool;
    int status;
    assert_int_equal(pt_pool_create(WORKERS, &pool), PARTITA_OK);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        marks *m = calloc(1, sizeof *m);
        uint32_t members = 0, missed = 0;
        alarm(20);
        m->pool = pool;
        m->n = MOST;
        pt_pool_parallel(pool, mark, m, MOST, 1);
        for (uint32_t i = 0; i < MOST; i++) missed += m->count[i] != 1;
        pt_pool_team(pool, one_member, &members, WORKERS);
        pt_pool_destroy(pool);
        _exit(missed == 0 && members == 1 && m->wrong == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    pt_pool_destroy(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parallel_covers_every_index_once),
        cmocka_unit_test(team_meets_at_barriers),
        cmocka_unit_test(calls_from_inside_run_inline),
        cmocka_unit_test(several_threads_call_at_once),
        cmocka_unit_test(parked_workers_wake),
        cmocka_unit_test(threads_of_the_application_run_jobs),
        cmocka_unit_test(the_child_of_a_fork_works_alone),
        cmocka_unit_test(creation_survives_failed_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
