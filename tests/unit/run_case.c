/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the cases of tests/unit/run, and running them. */
#include "run_case.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void run_check(partita_status status, const char *what) {
    if (status == PARTITA_OK) return;
    print_error("%s: %s: %s\n", what, partita_status_text(status), partita_last_error());
    fail();
}

static partita_value *read_value(char *text) {
    char *save = NULL;
    const char *dtype = strtok_r(text, " \n", &save), *shape = strtok_r(NULL, " \n", &save);
    int64_t dims[8];
    uint32_t rank = 0;
    uint64_t count = 1;
    for (const char *at = shape; *at && *at != '-'; at += strspn(at, "x")) {
        char *end;
        dims[rank] = strtoll(at, &end, 10);
        count *= (uint64_t)dims[rank++];
        at = end;
    }
    partita_dtype type = strcmp(dtype, "float32") == 0 ? PARTITA_FLOAT32
                         : strcmp(dtype, "int64") == 0 ? PARTITA_INT64
                                                       : PARTITA_BOOL;
    char *bytes = calloc(count + 1, 8);
    for (uint64_t i = 0; i < count; i++) {
        const char *word = strtok_r(NULL, " \n", &save);
        if (type == PARTITA_FLOAT32)
            ((float *)bytes)[i] = strtof(word, NULL);
        else if (type == PARTITA_INT64)
            ((int64_t *)bytes)[i] = strtoll(word, NULL, 10);
        else
            bytes[i] = (char)atoi(word);
    }
    partita_value *value = NULL;
    RUN_CHECK(partita_value_create(type, rank, dims, bytes, &value));
    free(bytes);
    return value;
}

void run_case_load(const char *name, run_case *out_case) {
    const char *source = getenv("PARTITA_TEST_SOURCE");
    char path[600], line[8192];
    memset(out_case, 0, sizeof(*out_case));
    snprintf(out_case->path, sizeof(out_case->path), "%s/unit/run/%s.onnx", source ? source : "tests", name);
    snprintf(path, sizeof(path), "%s/unit/run/%s.txt", source ? source : "tests", name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        char *first = strchr(line, ' '), *second = strchr(first + 1, ' ');
        if (strncmp(line, "input", 5) == 0)
            out_case->inputs[out_case->input_count++] = read_value(second + 1);
        else
            out_case->outputs[out_case->output_count++] = read_value(second + 1);
    }
    fclose(file);
}

void run_case_free(run_case *c) {
    for (uint32_t i = 0; i < c->input_count; i++) partita_value_release(c->inputs[i]);
    for (uint32_t i = 0; i < c->output_count; i++) partita_value_release(c->outputs[i]);
}

static bool floats_equal(const float *a, const float *b, uint64_t count) {
    double largest = 0;
    for (uint64_t i = 0; i < count; i++) largest = fmax(largest, fabs((double)b[i]));
    for (uint64_t i = 0; i < count; i++)
        if (!(fabs((double)a[i] - (double)b[i]) <= 1e-3 * fabs((double)b[i]) + 1e-4 * largest)) return false;
    return true;
}

bool run_case_equal(const run_case *c, partita_value *const *outputs) {
    for (uint32_t i = 0; i < c->output_count; i++) {
        partita_value_view got, want;
        if (!outputs[i] || partita_value_view_of(outputs[i], &got) || partita_value_view_of(c->outputs[i], &want))
            return false;
        if (got.dtype != want.dtype || got.rank != want.rank) return false;
        if (want.rank && memcmp(got.dims, want.dims, got.rank * sizeof(int64_t)) != 0) return false;
        char *data = malloc(want.bytes + 1);
        bool equal = partita_value_read(outputs[i], data, want.bytes) == PARTITA_OK;
        if (equal && want.dtype == PARTITA_FLOAT32)
            equal = floats_equal((float *)data, want.data, want.count);
        else if (equal)
            equal = memcmp(data, want.data, want.bytes) == 0;
        free(data);
        if (!equal) return false;
    }
    return true;
}

static void drop_message(void *user, int32_t level, const char *message) {
    (void)user;
    (void)level;
    (void)message;
}

partita_context *run_context(const char *key, ...) {
    partita_option rows[16];
    uint32_t count = 0;
    va_list list;
    va_start(list, key);
    for (; key; key = va_arg(list, const char *)) rows[count++] = (partita_option){key, va_arg(list, const char *)};
    va_end(list);
    partita_context_options options = {
        .size = sizeof(options), .options = rows, .option_count = count, .threads = 2, .log = drop_message};
    partita_context *context = NULL;
    RUN_CHECK(partita_context_create(&options, &context));
    return context;
}

partita_session *run_session(partita_context *context, const char *path, const char *devices, uint32_t seed) {
    partita_model *model = NULL;
    partita_plan *plan = NULL;
    partita_session *session = NULL;
    partita_plan_options options = {
        .size = sizeof(options), .devices = devices, .pin_random = seed > 0, .random_seed = seed};
    RUN_CHECK(partita_model_load_file(context, path, NULL, &model));
    RUN_CHECK(partita_plan_create(model, &options, &plan));
    RUN_CHECK(partita_session_create(plan, NULL, &session));
    partita_plan_destroy(plan);
    partita_model_destroy(model);
    return session;
}

partita_counters run_counters(partita_session *session) {
    partita_counters counters = {.size = sizeof(counters)};
    partita_session_counters(session, &counters);
    return counters;
}

void run_once_equal(partita_session *session, const run_case *c) {
    partita_value *outputs[CASE_MOST] = {NULL};
    RUN_CHECK(partita_session_run(session, NULL, c->inputs, c->input_count, outputs, c->output_count));
    assert_true(run_case_equal(c, outputs));
    for (uint32_t i = 0; i < c->output_count; i++) partita_value_release(outputs[i]);
}
