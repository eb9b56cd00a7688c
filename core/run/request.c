/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs in the background: a thread per request, with its deadline and cancellation.
 */
#include "run/runner.h"
#include <stdatomic.h>

struct partita_request {
    pt_request run;
    partita_value **inputs, **bound, **outputs; /* held */
    uint32_t input_count, output_count;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t ended;
    bool done;
    partita_status status;
    char *message;
};

void pt_request_stop(pt_request *request) {
    atomic_store(&request->cancelled, true);
    pthread_mutex_lock(&request->lock);
    if (request->waiting) {
        pthread_mutex_lock(&request->waiting->lock);
        pthread_cond_broadcast(&request->waiting->moved);
        pthread_mutex_unlock(&request->waiting->lock);
    }
    pthread_mutex_unlock(&request->lock);
}

static char *copy_message(void) {
    size_t size = strlen(pt_last_message()) + 1;
    char *copy = pt_malloc(size);
    if (copy) memcpy(copy, pt_last_message(), size);
    return copy;
}

static void *run_request(void *user) {
    partita_request *request = user;
    partita_session *session = request->run.session;
    partita_status status = pt_request_run(&request->run, request->inputs, request->input_count, request->bound,
                                           request->outputs, request->output_count);
    char *message = status == PARTITA_OK ? NULL : copy_message();
    pt_session_leave(session);
    pthread_mutex_lock(&request->lock);
    request->status = status;
    request->message = message;
    request->done = true;
    pthread_cond_broadcast(&request->ended);
    pthread_mutex_unlock(&request->lock);
    return NULL;
}

static void free_values(partita_value **values, uint32_t count) {
    for (uint32_t i = 0; values && i < count; i++) partita_value_release(values[i]);
    pt_free(values);
}

static void free_request(partita_request *request) {
    free_values(request->inputs, request->input_count);
    free_values(request->bound, request->output_count);
    free_values(request->outputs, request->output_count);
    pt_free(request->message);
    pthread_cond_destroy(&request->ended);
    pthread_mutex_destroy(&request->lock);
    pt_request_deinit(&request->run);
    pt_free(request);
}

static partita_status hold_values(partita_value *const *values, uint32_t count, partita_value ***out_values) {
    partita_value **held = pt_calloc(count + 1, sizeof(*held));
    if (!held) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; values && i < count; i++) {
        partita_value_retain(values[i]);
        held[i] = values[i];
    }
    *out_values = held;
    return PARTITA_OK;
}

partita_status partita_request_start(partita_session *session, const partita_run_options *options,
                                     partita_value *const *inputs, uint32_t input_count, partita_value *const *bound,
                                     uint32_t output_count, partita_request **out_request) {
    partita_status status = PARTITA_OK;
    if (!session || !out_request || (input_count && !inputs))
        return pt_fail(PARTITA_INVALID_ARGUMENT, "a pointer is NULL");
    partita_request *request = pt_calloc(1, sizeof(*request));
    if (!request) return PT_OUT_OF_MEMORY();
    pt_request_init(&request->run, session, options);
    pthread_mutex_init(&request->lock, NULL);
    request->input_count = input_count;
    request->output_count = output_count;
    status = pt_cond_init(&request->ended);
    if (status != PARTITA_OK) {
        pthread_mutex_destroy(&request->lock);
        pt_request_deinit(&request->run);
        pt_free(request);
        return status;
    }
    PT_CHECK(hold_values(inputs, input_count, &request->inputs));
    PT_CHECK(hold_values(bound, output_count, &request->bound));
    PT_CHECK(hold_values(NULL, output_count, &request->outputs));
    pt_session_enter(session);
    if (pthread_create(&request->thread, NULL, run_request, request)) {
        pt_session_leave(session);
        status = pt_fail(PARTITA_OUT_OF_MEMORY, "no thread could be started");
        goto out;
    }
    *out_request = request;
    request = NULL;
out:
    if (request) free_request(request);
    return status;
}

partita_status partita_request_wait(partita_request *request, uint64_t timeout_ms) {
    uint64_t ns, deadline = 0;
    partita_status status;
    if (timeout_ms != UINT64_MAX && pt_mul_u64(timeout_ms, 1000000, &ns) && !pt_add_u64(pt_now_ns(), ns, &deadline))
        deadline = 0;
    pthread_mutex_lock(&request->lock);
    bool in_time = true;
    while (!request->done && in_time) in_time = pt_cond_wait_until(&request->ended, &request->lock, deadline);
    if (!request->done)
        status = pt_fail(PARTITA_DEADLINE, "still running");
    else if (request->status == PARTITA_OK)
        status = PARTITA_OK;
    else
        status = pt_fail_copy(request->status, request->message ? request->message : "");
    pthread_mutex_unlock(&request->lock);
    return status;
}

void partita_request_cancel(partita_request *request) {
    if (request) pt_request_stop(&request->run);
}

partita_value *partita_request_output(partita_request *request, uint32_t index) {
    pthread_mutex_lock(&request->lock);
    bool good = request->done && request->status == PARTITA_OK && index < request->output_count;
    pthread_mutex_unlock(&request->lock);
    return good ? request->outputs[index] : NULL;
}

void partita_request_destroy(partita_request *request) {
    if (!request) return;
    pt_request_stop(&request->run);
    pthread_join(request->thread, NULL);
    free_request(request);
}
