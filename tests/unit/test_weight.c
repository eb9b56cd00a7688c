/* SPDX-License-Identifier: Apache-2.0 */
/* Recipes: weights whose bytes are made when somebody wants them, once for all who do, and go with the last one. */
#include "graph/weight.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>

#include <cmocka.h>

#define OK(call) assert_int_equal(call, PARTITA_OK)

enum { BYTES = 3 * PT_WEIGHT_SMALL, THREADS = 8 };

typedef struct cook {
    _Atomic int made, destroyed;
    partita_status status;
    pt_weight *of; /* bytes are one more than these; NULL: 1, 2, 3, ... */
    uint64_t bytes;
} cook;

static partita_status make(const void *state, void *out_data) {
    cook *c = (cook *)(uintptr_t)state;
    const void *from = NULL;
    c->made++;
    if (c->status != PARTITA_OK) return c->status;
    if (c->of) PT_TRY(pt_weight_align(c->of, 1, &from, NULL));
    for (uint64_t i = 0; i < c->bytes; i++)
        ((unsigned char *)out_data)[i] = (unsigned char)(from ? ((const unsigned char *)from)[i] + 1u : i + 1);
    if (c->of) pt_weight_unalign(c->of, from);
    return PARTITA_OK;
}

static void destroy(void *state) { ((cook *)state)->destroyed++; }

static pt_weight *create(cook *c, uint64_t bytes) {
    pt_weight *weight = NULL;
    c->bytes = bytes;
    OK(pt_weight_create_recipe(&(pt_recipe){make, destroy, c}, bytes, &weight));
    return weight;
}

static void check_bytes(const void *data, uint64_t bytes, int first) {
    for (uint64_t i = 0; i < bytes; i++)
        assert_int_equal(((const unsigned char *)data)[i], (unsigned char)(i + (uint64_t)first));
}

static void bytes_live_as_long_as_they_are_held(void **state) {
    PT_UNUSED(state);
    cook c = {0};
    const void *data, *again;
    uint64_t copied = 0;
    pt_weight *weight = create(&c, BYTES);
    assert_null(weight->data);
    assert_int_equal(c.made, 0);
    OK(pt_weight_align(weight, 64, &data, &copied));
    OK(pt_weight_align(weight, 16, &again, &copied));
    assert_ptr_equal(data, again);
    assert_int_equal((uintptr_t)data % 64, 0);
    check_bytes(data, BYTES, 1);
    assert_int_equal(c.made, 1);
    assert_int_equal(copied, 0);
    pt_weight_unalign(weight, data);
    check_bytes(again, BYTES, 1);
    pt_weight_unalign(weight, again);
    assert_null(weight->aligned);
    OK(pt_weight_align(weight, 16, &data, NULL)); /* the last holder may be the weight itself */
    assert_int_equal(c.made, 2);
    pt_weight_drop_pages(weight);
    check_bytes(data, BYTES, 1);
    assert_int_equal(c.destroyed, 0);
    pt_weight_release(weight);
    assert_int_equal(c.destroyed, 1);
}

static void small_ones_are_made_at_once(void **state) {
    PT_UNUSED(state);
    for (uint64_t bytes = 0; bytes <= PT_WEIGHT_SMALL; bytes += PT_WEIGHT_SMALL / 2) {
        cook c = {0};
        pt_weight *weight = create(&c, bytes);
        assert_int_equal(c.made, 1);
        assert_int_equal(c.destroyed, 1);
        assert_null(weight->recipe);
        check_bytes(weight->data, bytes, 1);
        pt_weight_release(weight);
    }
}

static void recipes_are_made_of_recipes(void **state) {
    PT_UNUSED(state);
    cook first = {0}, second = {0};
    const void *data;
    first.of = NULL;
    pt_weight *weight = create(&first, BYTES);
    second.of = weight;
    pt_weight *next = create(&second, BYTES);
    OK(pt_weight_align(next, 16, &data, NULL));
    check_bytes(data, BYTES, 2);
    assert_int_equal(first.made, 1);
    assert_null(weight->aligned); /* given back when the second was done */
    pt_weight_unalign(next, data);
    pt_weight_release(next);
    pt_weight_release(weight);
}

static void failures_are_those_of_the_recipe(void **state) {
    PT_UNUSED(state);
    for (uint64_t bytes = 100; bytes <= BYTES; bytes += BYTES - 100) {
        cook c = {.status = PARTITA_IO, .bytes = bytes};
        pt_weight *weight = NULL;
        const void *data;
        partita_status status = pt_weight_create_recipe(&(pt_recipe){make, destroy, &c}, bytes, &weight);
        assert_int_equal(status, bytes <= PT_WEIGHT_SMALL ? PARTITA_IO : PARTITA_OK);
        if (status == PARTITA_OK) {
            assert_int_equal(pt_weight_align(weight, 16, &data, NULL), PARTITA_IO);
            c.status = PARTITA_OK; /* and it may work the next time */
            OK(pt_weight_align(weight, 16, &data, NULL));
            check_bytes(data, bytes, 1);
            pt_weight_release(weight);
        }
        assert_int_equal(c.destroyed, 1);
    }
    for (int64_t k = 0;; k++) {
        cook c = {.bytes = BYTES};
        pt_weight *weight = NULL;
        const void *data = NULL;
        pt_alloc_fail_after(k, true);
        partita_status status = pt_weight_create_recipe(&(pt_recipe){make, destroy, &c}, BYTES, &weight);
        if (status == PARTITA_OK) status = pt_weight_align(weight, 16, &data, NULL);
        pt_alloc_fail_after(-1, false);
        pt_weight_release(weight);
        assert_int_equal(c.destroyed, 1);
        if (status == PARTITA_OK) break;
        assert_int_equal(status, PARTITA_OUT_OF_MEMORY);
    }
}

static void *hold(void *user) {
    pt_weight *weight = user;
    const void *data;
    for (int i = 0; i < 200; i++) {
        if (pt_weight_align(weight, 16, &data, NULL) != PARTITA_OK) return user;
        if (((const unsigned char *)data)[BYTES - 1] != (unsigned char)(BYTES + 1)) return user;
        pt_weight_unalign(weight, data);
    }
    return NULL;
}

static void many_threads_share_what_is_made(void **state) {
    PT_UNUSED(state);
    cook first = {0}, second = {0};
    pthread_t threads[THREADS];
    pt_weight *weight = create(&first, BYTES);
    second.of = weight;
    pt_weight *next = create(&second, BYTES);
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, hold, next), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_null(next->aligned);
    pt_weight_release(next);
    pt_weight_release(weight);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_live_as_long_as_they_are_held), cmocka_unit_test(small_ones_are_made_at_once),
        cmocka_unit_test(recipes_are_made_of_recipes),         cmocka_unit_test(failures_are_those_of_the_recipe),
        cmocka_unit_test(many_threads_share_what_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
