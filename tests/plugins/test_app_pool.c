/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of the application's own under sessions: the work runs on them and on callers alone, whole or not at all, and
 * the numbers are those of any other pool.
 */
#include "world.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { WORKERS = 4, COUNT = 1 << 20, ROUNDS = 4 };

/* ---- the application's pool ------------------------------------------------------------------ */

typedef struct app_pool {
    pthread_t threads[WORKERS - 1];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool busy, ending, refuses;
    void (*fn)(void *arg, uint32_t worker);
    void *arg;
    uint32_t next, count, left; /* workers to be started, of the job, and not back yet */
    atomic_uint calls, refused, ran, wrong;
} app_pool;

static void run_one(app_pool *pool, uint32_t worker) {
    pool->fn(pool->arg, worker);
    atomic_fetch_add(&pool->ran, 1);
}

static void *app_thread(void *user) {
    app_pool *pool = user;
    pthread_mutex_lock(&pool->lock);
    while (!pool->ending) {
        if (!pool->busy || pool->next >= pool->count) {
            pthread_cond_wait(&pool->changed, &pool->lock);
            continue;
        }
        uint32_t worker = pool->next++;
        pthread_mutex_unlock(&pool->lock);
        run_one(pool, worker);
        pthread_mutex_lock(&pool->lock);
        pool->left--;
        pthread_cond_broadcast(&pool->changed);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int32_t app_run(void *user, void (*fn)(void *arg, uint32_t worker), void *arg, uint32_t count) {
    app_pool *pool = user;
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->calls, 1);
    if (count > WORKERS || count == 0) atomic_fetch_add(&pool->wrong, 1);
    if (pool->busy || pool->refuses || count > WORKERS) {
        atomic_fetch_add(&pool->refused, 1);
        pthread_mutex_unlock(&pool->lock);
        return 0;
    }
    pool->busy = true;
    pool->fn = fn;
    pool->arg = arg;
    pool->next = 1;
    pool->count = count;
    pool->left = count - 1;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    run_one(pool, 0);
    pthread_mutex_lock(&pool->lock);
    while (pool->left) pthread_cond_wait(&pool->changed, &pool->lock);
    pool->busy = false;
    pthread_mutex_unlock(&pool->lock);
    return 1;
}

static partita_thread_pool app_pool_open(app_pool *pool) {
    memset(pool, 0, sizeof(*pool));
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, NULL);
    for (int i = 0; i < WORKERS - 1; i++)
        assert_int_equal(pthread_create(&pool->threads[i], NULL, app_thread, pool), 0);
    return (partita_thread_pool){.size = sizeof(partita_thread_pool), .workers = WORKERS, .user = pool, .run = app_run};
}

static void app_pool_close(app_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->ending = true;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    for (int i = 0; i < WORKERS - 1; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    assert_int_equal(atomic_load(&pool->wrong), 0);
}

/* ---- sessions over it ------------------------------------------------------------------------ */

/* y = Neg(Abs(x)), on the cpu. */
static void open_world(world *w, const partita_thread_pool *pool) {
    pt_id x = world_begin(w, COUNT), a = world_node(w, "Abs", "a", x, PT_NONE);
    w->pool = pool;
    world_load(w, world_node(w, "Neg", "y", a, PT_NONE), "cpu", NULL, 0, NULL, 0);
}

static uint32_t thread_count(void) {
    DIR *tasks = opendir("/proc/self/task");
    uint32_t count = 0;
    assert_non_null(tasks);
    for (struct dirent *row = readdir(tasks); row; row = readdir(tasks)) count += row->d_name[0] != '.';
    closedir(tasks);
    return count;
}

typedef struct caller {
    const world *world;
    partita_session *session;
    float first;
    bool wrong;
} caller;

static void *call(void *user) {
    caller *me = user;
    float *numbers = malloc(COUNT * sizeof(float)), *result = malloc(COUNT * sizeof(float));
    for (int r = 0; r < ROUNDS && numbers && result; r++) {
        for (int i = 0; i < COUNT; i++) numbers[i] = (i % 2 ? 1.0f : -1.0f) * (me->first + (float)(i % 1000));
        me->wrong |= world_run_session(me->world, me->session, numbers, result) != PARTITA_OK;
        for (int i = 0; i < COUNT; i++) me->wrong |= result[i] != -(me->first + (float)(i % 1000));
    }
    me->wrong |= !numbers || !result;
    free(numbers);
    free(result);
    return NULL;
}

static void call_at_once(caller *callers, uint32_t count) {
    pthread_t threads[4];
    for (uint32_t i = 0; i < count; i++) assert_int_equal(pthread_create(&threads[i], NULL, call, &callers[i]), 0);
    for (uint32_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
    for (uint32_t i = 0; i < count; i++) assert_false(callers[i].wrong);
}

static void sessions_share_the_threads(void **state) {
    app_pool pool;
    world w;
    partita_session *second;
    PT_UNUSED(state);
    partita_thread_pool handed = app_pool_open(&pool);
    uint32_t threads = thread_count();
    open_world(&w, &handed);
    OK(partita_session_create(w.plan, NULL, &second));
    assert_int_equal(thread_count(), threads); /* none of the library's own */
    caller alone = {&w, w.session, 1, false};
    call(&alone);
    assert_false(alone.wrong);
    uint32_t calls = atomic_load(&pool.calls);
    assert_true(calls >= ROUNDS);
    assert_int_equal(atomic_load(&pool.refused), 0);
    assert_true(atomic_load(&pool.ran) > calls); /* more than one worker in each */
    assert_true(atomic_load(&pool.ran) <= calls * WORKERS);
    caller both[] = {{&w, w.session, 2, false}, {&w, second, 3, false}};
    call_at_once(both, 2);
    assert_true(atomic_load(&pool.calls) > calls);
    assert_int_equal(atomic_load(&pool.refused), 0); /* one context takes turns */
    partita_session_destroy(second);
    world_end(&w);
    app_pool_close(&pool);
}

/* Contexts know nothing of each other: who comes while the threads are taken works on its own thread. */
static void contexts_get_by_without_them(void **state) {
    app_pool pool;
    world w[2];
    PT_UNUSED(state);
    partita_thread_pool handed = app_pool_open(&pool);
    for (int i = 0; i < 2; i++) open_world(&w[i], &handed);
    caller callers[] = {{&w[0], w[0].session, 2, false}, {&w[1], w[1].session, 3, false}};
    call_at_once(callers, 2);
    pool.refuses = true;
    uint32_t ran = atomic_load(&pool.ran), refused = atomic_load(&pool.refused);
    call_at_once(callers, 2);
    assert_int_equal(atomic_load(&pool.ran), ran);
    assert_true(atomic_load(&pool.refused) > refused);
    for (int i = 0; i < 2; i++) world_end(&w[i]);
    app_pool_close(&pool);
}

static void incomplete_pools_are_refused(void **state) {
    app_pool pool;
    partita_context *context = NULL;
    PT_UNUSED(state);
    const partita_thread_pool handed = app_pool_open(&pool);
    partita_thread_pool small = handed, empty = handed;
    small.size = offsetof(partita_thread_pool, run);
    empty.run = NULL;
    const partita_thread_pool *const bad[] = {&small, &empty};
    for (size_t i = 0; i < PT_COUNT_OF(bad); i++) {
        const partita_context_options options = {.size = sizeof(options), .pool = bad[i]};
        assert_int_equal(partita_context_create(&options, &context), PARTITA_INVALID_ARGUMENT);
        assert_null(context);
        assert_non_null(strstr(partita_last_error(), "the thread pool is not complete"));
    }
    app_pool_close(&pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_share_the_threads),
        cmocka_unit_test(contexts_get_by_without_them),
        cmocka_unit_test(incomplete_pools_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
