/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The base of the core: messages, element types, memory that fails on demand, arena, text, map, array, log, quotas.
 */
#include "base/base.h"
#include "base/cgroup.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void message_is_annotated_and_one_line(void **state) {
    PT_UNUSED(state);
    assert_int_equal(pt_fail(PARTITA_BAD_MODEL, "dim %d is\nnegative", 3), PARTITA_BAD_MODEL);
    assert_string_equal(pt_last_message(), "dim 3 is negative");
    assert_int_equal(pt_annotate(PARTITA_BAD_MODEL, "node %s", "a"), PARTITA_BAD_MODEL);
    assert_string_equal(pt_last_message(), "node a: dim 3 is negative");
    pt_fail(PARTITA_IO, "again: %s", pt_last_message());
    assert_string_equal(pt_last_message(), "again: node a: dim 3 is negative");
    pt_fail_copy(PARTITA_IO, pt_last_message());
    assert_string_equal(pt_last_message(), "again: node a: dim 3 is negative");
    for (int i = 0; i < 200; i++) pt_annotate(PARTITA_IO, "a rather long piece of context, number %d", i);
    assert_true(strlen(pt_last_message()) < 1024);
    assert_non_null(strstr(pt_last_message(), "number 199: "));
    pt_clear_message();
    assert_string_equal(pt_last_message(), "");
    pt_annotate(PARTITA_IO, "alone");
    assert_string_equal(pt_last_message(), "alone");
    assert_string_equal(pt_status_text(PARTITA_OK), "ok");
    assert_string_equal(pt_status_text(-5), "unknown status");
    assert_string_equal(pt_status_text(1000), "unknown status");
    assert_int_equal(pt_status_exit_code(PARTITA_UNPLACED), 3);
    assert_int_equal(pt_status_exit_code(99), 4);
}

static void dtypes_have_names_and_sizes(void **state) {
    PT_UNUSED(state);
    for (partita_dtype dtype = 1; dtype < PARTITA_DTYPE_COUNT; dtype++) {
        assert_int_equal(pt_dtype_from_name(pt_str(pt_dtype_name(dtype))), dtype);
    }
    assert_string_equal(pt_dtype_name(77), "undefined");
    assert_int_equal(pt_dtype_from_name(PT_STR("float33")), PARTITA_UNDEFINED);
    assert_int_equal(pt_dtype_bits(PARTITA_STRING), 0);
    assert_int_equal(pt_dtype_bits(1000), 0);
    static const struct {
        partita_dtype dtype;
        uint64_t count, bytes;
    } rows[] = {
        {PARTITA_FLOAT32, 3, 12},    {PARTITA_INT4, 3, 2},
        {PARTITA_INT4, 0, 0},        {PARTITA_UINT2, 5, 2},
        {PARTITA_UINT2, 4, 1},       {PARTITA_BOOL, 7, 7},
        {PARTITA_COMPLEX128, 2, 32}, {PARTITA_INT4, INT64_MAX, INT64_MAX / 2 + 1},
        {PARTITA_FLOAT6E2M3, 5, 4},  {PARTITA_FLOAT6E3M2, 4, 3},
    };
    uint64_t bytes;
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        assert_true(pt_dtype_bytes(rows[i].dtype, rows[i].count, &bytes));
        assert_true(bytes == rows[i].bytes);
    }
    assert_false(pt_dtype_bytes(PARTITA_FLOAT32, UINT64_MAX / 4 + 1, &bytes));
    assert_false(pt_dtype_bytes(PARTITA_INT16, INT64_MAX, &bytes));
    assert_false(pt_dtype_bytes(PARTITA_STRING, 1, &bytes));
    assert_false(pt_dtype_bytes(PARTITA_UNDEFINED, 1, &bytes));
}

static void shapes_are_counted_without_overflow(void **state) {
    PT_UNUSED(state);
    uint64_t count;
    assert_true(pt_dims_count(NULL, 0, &count) && count == 1);
    assert_true(pt_dims_count((int64_t[]){2, 3, 4}, 3, &count) && count == 24);
    assert_true(pt_dims_count((int64_t[]){INT64_MAX, INT64_MAX, 0}, 3, &count) && count == 0);
    assert_false(pt_dims_count((int64_t[]){INT64_MAX, 3}, 2, &count));
    assert_true(pt_dims_count((int64_t[]){INT64_MAX, 1}, 2, &count) && count == INT64_MAX);
    assert_false(pt_dims_count((int64_t[]){UINT32_MAX, INT64_C(0x100000001)}, 2, &count)); /* UINT64_MAX */
    assert_false(pt_dims_count((int64_t[]){0, -1}, 2, &count));
}

static void allocations_fail_on_demand(void **state) {
    PT_UNUSED(state);
    pt_alloc_fail_after(2, true);
    void *a = pt_malloc(8), *b = pt_calloc(2, 8), *c = pt_malloc(8), *d = pt_malloc(8);
    assert_non_null(a);
    assert_non_null(b);
    assert_null(c);
    assert_non_null(d);
    assert_int_equal(pt_alloc_count(), 4);
    pt_alloc_fail_after(0, false);
    assert_null(pt_malloc(8));
    assert_null(pt_calloc(1, 8));
    assert_null(pt_malloc_aligned(8, 64));
    assert_null(pt_realloc_array(a, 100, 8));
    pt_alloc_fail_after(-1, false);
    a = pt_realloc_array(a, 100, 8);
    assert_non_null(a);
    assert_null(pt_realloc_array(a, SIZE_MAX / 4, 8));
    assert_null(pt_calloc(SIZE_MAX / 4, 8));
    void *e = pt_malloc_aligned(100, 256), *zero = pt_malloc(0);
    assert_true(e && (uintptr_t)e % 256 == 0);
    assert_non_null(zero);
    void *all[] = {a, b, d, e, zero, NULL};
    for (size_t i = 0; i < PT_COUNT_OF(all); i++) pt_free(all[i]);
}

static void arena_is_zeroed_and_aligned(void **state) {
    PT_UNUSED(state);
    pt_arena arena = {0};
    uint32_t *first = pt_arena_array(&arena, 3, sizeof *first);
    first[0] = 7;
    for (size_t size = 0; size < 40000; size = size * 3 + 1) {
        unsigned char *block = pt_arena_alloc(&arena, size);
        assert_non_null(block);
        assert_int_equal((uintptr_t)block % 16, 0);
        for (size_t i = 0; i < size; i++) assert_int_equal(block[i], 0);
        memset(block, 0xff, size);
    }
    assert_int_equal(first[0], 7);
    assert_int_equal(first[1], 0);
    partita_str text = pt_arena_printf(&arena, "%s-%d", "a", 5), copy = pt_arena_str(&arena, text);
    assert_string_equal(copy.data, "a-5");
    assert_int_equal(copy.size, 3);
    assert_int_equal(pt_arena_str(&arena, (partita_str){NULL, 0}).data[0], 0);
    assert_null(pt_arena_array(&arena, SIZE_MAX / 2, 4));
    assert_null(pt_arena_alloc(&arena, SIZE_MAX));
    assert_null(pt_arena_alloc(&arena, SIZE_MAX - 64));
    pt_alloc_fail_after(0, false);
    assert_null(pt_arena_alloc(&arena, 1 << 20));
    assert_null(pt_arena_str(&arena, (partita_str){"x", SIZE_MAX}).data);
    pt_alloc_fail_after(-1, false);
    pt_arena_deinit(&arena);
    assert_null(arena.blocks);
    pt_arena_deinit(&arena);
    pt_arena_deinit(NULL);
}

static void text_grows_and_keeps_its_failure(void **state) {
    PT_UNUSED(state);
    pt_text text = {0};
    for (int i = 0; i < 100; i++) pt_text_printf(&text, "%d,", i);
    pt_text_append(&text, PT_STR("end"));
    assert_int_equal(text.size, 10 * 2 + 90 * 3 + 3);
    assert_int_equal(strlen(text.data), text.size);
    assert_false(text.failed);
    pt_alloc_fail_after(0, true);
    for (int i = 0; i < 1000; i++) pt_text_append(&text, PT_STR("more"));
    pt_alloc_fail_after(-1, false);
    assert_true(text.failed);
    size_t size = text.size;
    pt_text_append(&text, PT_STR("x"));
    assert_int_equal(text.size, size);
    pt_text_deinit(&text);
    pt_text_deinit(NULL);
}

/* Names of models: UTF-8 stays as it is, everything else does no harm. */
static void text_is_shown_clean(void **state) {
    PT_UNUSED(state);
    static const struct {
        const char *raw, *clean, *shown;
    } rows[] = {
        {"plain \"text\"", "plain \"text\"", "plain \"text\""},
        {"\xd1\x83\xd0\xb7 \xe2\x82\xac \xf0\x9f\x98\x80", "\xd1\x83\xd0\xb7 \xe2\x82\xac \xf0\x9f\x98\x80",
         "\xd1\x83\xd0\xb7 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"a\nb\x1b[2Jc\x7f", "a\nb\x1b[2Jc\x7f", "a b [2Jc "},
        {"\xc2\x9b", "\xc2\x9b", " "},        /* a control character of two bytes */
        {"\xff\x80x", "??x", "??x"},          /* no character's start */
        {"x\xe2\x82", "x??", "x??"},          /* cut off */
        {"\xc0\xaf", "??", "??"},             /* longer than it needs to be */
        {"\xed\xa0\x80", "???", "???"},       /* half of a pair */
        {"\xf4\x90\x80\x80", "????", "????"}, /* beyond the last one */
        {"\xef\xbf\xbf", "???", "???"},       /* none by definition */
    };
    for (size_t i = 0; i < PT_COUNT_OF(rows); i++) {
        pt_text text = {0};
        char shown[64], cut[3];
        pt_text_append_clean(&text, pt_str(rows[i].raw), false);
        assert_string_equal(text.data, rows[i].clean);
        pt_str_show(pt_str(rows[i].raw), shown, sizeof shown);
        assert_string_equal(shown, rows[i].shown);
        pt_str_show(pt_str(rows[i].raw), cut, sizeof cut);
        assert_true(strlen(cut) <= 2 && strncmp(cut, shown, strlen(cut)) == 0);
        pt_text_deinit(&text);
    }
    pt_fail(PARTITA_BAD_MODEL, "node '%s'", "a\x1b]0;b\xff\r\nc");
    assert_string_equal(pt_last_message(), "node 'a ]0;b?  c'");
}

static void map_finds_what_was_put(void **state) {
    PT_UNUSED(state);
    enum { COUNT = 5000 };
    pt_map map = {0};
    pt_arena arena = {0};
    assert_int_equal(pt_map_get(&map, PT_STR("a")), PT_NONE);
    for (uint32_t i = 0; i < COUNT; i++) { assert_true(pt_map_put(&map, pt_arena_printf(&arena, "key%u", i), i)); }
    assert_true(pt_map_put(&map, PT_STR("key7"), 70));
    assert_true(pt_map_put(&map, (partita_str){NULL, 0}, 9));
    assert_int_equal(map.size, COUNT + 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(pt_map_get(&map, pt_arena_printf(&arena, "key%u", i)), i == 7 ? 70 : i);
    }
    assert_int_equal(pt_map_get(&map, PT_STR("")), 9);
    assert_int_equal(pt_map_get(&map, PT_STR("key5000")), PT_NONE);
    pt_alloc_fail_after(0, false);
    uint32_t put = 0;
    while (put < 100000 && pt_map_put(&map, (partita_str){(const char *)&put, sizeof put}, put)) put++;
    pt_alloc_fail_after(-1, false);
    assert_true(put < 100000);
    assert_int_equal(pt_map_get(&map, PT_STR("key8")), 8);
    pt_map_deinit(&map);
    pt_arena_deinit(&arena);
    pt_map_deinit(NULL);
}

static void hash_depends_on_every_byte(void **state) {
    PT_UNUSED(state);
    unsigned char bytes[40] = {0};
    for (size_t size = 0; size <= sizeof bytes; size++) {
        uint64_t hash = pt_hash_bytes(bytes, size, 0);
        assert_true(hash != pt_hash_bytes(bytes, size, 1));
        if (size) assert_true(hash != pt_hash_bytes(bytes, size - 1, 0));
        for (size_t i = 0; i < size; i++) {
            bytes[i] ^= 0x10;
            assert_true(hash != pt_hash_bytes(bytes, size, 0));
            bytes[i] ^= 0x10;
        }
    }
}

static void array_grows_or_says_no(void **state) {
    PT_UNUSED(state);
    PT_ARRAY(uint32_t) ids = {0};
    for (uint32_t i = 0; i < 1000; i++) assert_true(pt_array_push(&ids, i));
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(ids.data[i], i);
    assert_true(pt_array_reserve(&ids, 5000));
    assert_false(pt_array_reserve(&ids, SIZE_MAX / 2));
    pt_alloc_fail_after(0, false);
    size_t size = ids.size;
    while (ids.size < ids.capacity) assert_true(pt_array_push(&ids, 1));
    assert_false(pt_array_push(&ids, 1));
    pt_alloc_fail_after(-1, false);
    assert_int_equal(ids.data[size - 1], 999);
    pt_array_deinit(&ids);
    assert_int_equal(ids.capacity, 0);
}

static void sums_are_checked(void **state) {
    PT_UNUSED(state);
    uint64_t u;
    int64_t i;
    assert_false(pt_mul_u64(UINT64_MAX, 2, &u));
    assert_false(pt_add_i64(INT64_MAX, 1, &i));
    assert_false(pt_sub_i64(INT64_MIN, 1, &i));
    assert_true(pt_align_u64(65, 64, &u) && u == 128);
    assert_true(pt_align_u64(64, 64, &u) && u == 64);
    assert_false(pt_align_u64(UINT64_MAX, 64, &u));
}

static void count_message(void *user, int32_t level, const char *message) {
    if (level == PARTITA_LOG_WARNING && strcmp(message, "x is 5") == 0) ++*(int *)user;
}

static void log_goes_to_the_callback(void **state) {
    PT_UNUSED(state);
    int count = 0;
    pt_log_set(count_message, &count);
    pt_log(PARTITA_LOG_WARNING, "x is %d", 5);
    pt_log_set(NULL, NULL);
    assert_int_equal(count, 1);
    uint64_t now = pt_now_ns();
    assert_true(pt_now_ns() >= now);
}

static void write_file(const char *root, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void quotas_of_both_versions(void **state) {
    PT_UNUSED(state);
    static const char *const files[][2] = {
        {"cpu.max", "max 100000\n"},
        {"a/cpu.max", "250000 100000\n"},
        {"a/b/cpu.max", "800000 100000\n"},
        {"cpu/docker/x/cpu.cfs_quota_us", "150000\n"},
        {"cpu/docker/x/cpu.cfs_period_us", "100000\n"},
        {"cpu/cpu.cfs_quota_us", "-1\n"},
        {"cpu/cpu.cfs_period_us", "100000\n"},
        {"odd/cpu.max", "bogus\n"},
    };
    char root[] = "/tmp/partita-cgroup-XXXXXX";
    assert_non_null(mkdtemp(root));
    for (size_t i = 0; i < PT_COUNT_OF(files); i++) write_file(root, files[i][0], files[i][1]);
    assert_int_equal(pt_cgroup_cpus("0::/a/b\n", root), 3);
    assert_int_equal(pt_cgroup_cpus("0::/a/b/missing\n", root), 3);
    assert_int_equal(pt_cgroup_cpus("0::/\n", root), 0);
    assert_int_equal(pt_cgroup_cpus("0::/../../a\n", root), 0);
    assert_int_equal(pt_cgroup_cpus("0::/odd", root), 0);
    assert_int_equal(pt_cgroup_cpus("5:cpuset:/a\n4:cpuacct,cpu:/docker/x\n0::/a\n", root), 2);
    assert_int_equal(pt_cgroup_cpus("4:cpuset,cpuacct:/docker/x\n", root), 0);
    assert_int_equal(pt_cgroup_cpus("nonsense\n:\n::\n", root), 0);
    assert_int_equal(pt_cgroup_cpus("", root), 0);
    for (size_t i = PT_COUNT_OF(files); i-- > 0;) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", root, files[i][0]);
        unlink(path);
        for (char *slash; (slash = strrchr(path, '/')) > path + strlen(root);) {
            *slash = '\0';
            rmdir(path);
        }
    }
    rmdir(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_is_annotated_and_one_line),
        cmocka_unit_test(dtypes_have_names_and_sizes),
        cmocka_unit_test(shapes_are_counted_without_overflow),
        cmocka_unit_test(allocations_fail_on_demand),
        cmocka_unit_test(arena_is_zeroed_and_aligned),
        cmocka_unit_test(text_grows_and_keeps_its_failure),
        cmocka_unit_test(text_is_shown_clean),
        cmocka_unit_test(map_finds_what_was_put),
        cmocka_unit_test(hash_depends_on_every_byte),
        cmocka_unit_test(array_grows_or_says_no),
        cmocka_unit_test(sums_are_checked),
        cmocka_unit_test(log_goes_to_the_callback),
        cmocka_unit_test(quotas_of_both_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
