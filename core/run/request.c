/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs in the background: a thread per request, with its deadline and cancellation. Callers leave when the deadline has
 * passed or soon after they cancelled; what the run needs lives on until a device that hangs is back.
 */
#include "run/runner.h"
#include "run/value_parts.h"
#include <stdatomic.h>

/* From the deadline until the caller leaves: devices that listen are back by then. */
#define PATIENCE_NS UINT64_C(5000000)
/* The same from cancelling, which nobody has planned for. */
#define CANCEL_PATIENCE_NS UINT64_C(100000000)

struct partita_request {
    _Atomic uint32_t references; /* the caller's and the thread's */
    pt_request run;
    partita_value **inputs, **bound, **outputs; /* held */
    uint32_t input_count, output_count;
    pthread_t thread;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t ended;
    uint64_t cancelled_ns; /* when the caller cancelled; 0: it did not */
    bool done;             /* for the caller: it has come back, or was left */
    bool finished;         /* the thread has come back */
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

static void free_values(partita_value **values, uint32_t count) {
    for (uint32_t i = 0; values && i < count; i++) partita_value_release(values[i]);
    pt_free(values);
}

static void release_request(partita_request *request) {
    if (atomic_fetch_sub(&request->references, 1) != 1) return;
    free_values(request->inputs, request->input_count);
    free_values(request->bound, request->output_count);
    free_values(request->outputs, request->output_count);
    pt_free(request->message);
    pthread_cond_destroy(&request->ended);
    pthread_mutex_destroy(&request->lock);
    pt_request_deinit(&request->run);
    pt_free(request);
}

/* What was computed apart goes where the caller wants it. Under the lock: the caller is still there. */
static partita_status deliver(partita_request *request) {
    for (uint32_t i = 0; i < request->output_count; i++) {
        partita_value *bound = request->bound[i], *made = request->outputs[i];
        if (!bound || bound == made) continue;
        PT_TRY(partita_value_write(bound, made->data, made->bytes));
        partita_value_retain(bound);
        partita_value_release(made);
        request->outputs[i] = bound;
    }
    return PARTITA_OK;
}

static void *run_request(void *user) {
    partita_request *request = user;
    partita_session *session = request->run.session;
    partita_status status = pt_request_run(&request->run, request->inputs, request->input_count, request->bound,
                                           request->outputs, request->output_count);
    pthread_mutex_lock(&request->lock);
    bool stranded = request->done;
    if (!stranded) {
        if (status == PARTITA_OK) status = deliver(request);
        request->status = status;
        request->message = status == PARTITA_OK ? NULL : copy_message();
        request->done = true;
    }
    request->finished = true;
    pthread_cond_broadcast(&request->ended);
    pthread_mutex_unlock(&request->lock);
    if (stranded) pt_request_unmark_stuck(&request->run);
    pt_session_leave(session, stranded);
    release_request(request);
    return NULL;
}

/* It was to stop and has not come back: nobody waits for it any more. Under the lock. */
static void strand(partita_request *request) {
    pt_request_mark_stuck(&request->run);
    request->status = pt_request_fail_stopped(&request->run);
    if (request->run.stuck_count)
        pt_fail(request->status, "%s, and %s has not come back",
                request->status == PARTITA_CANCELLED ? "the run was cancelled" : "deadline exceeded",
                request->run.stuck[0]->name);
    request->message = copy_message();
    request->done = true;
    pt_session_strand(request->run.session);
}

static uint64_t earlier(uint64_t a, uint64_t b) { return !a || (b && b < a) ? b : a; }

/* When callers leave a run that has not come back; 0: never. */
static uint64_t leaves_at(const partita_request *request) {
    uint64_t at = 0, cancelled = request->cancelled_ns ? request->cancelled_ns + CANCEL_PATIENCE_NS : 0;
    if (request->run.deadline_ns && !pt_add_u64(request->run.deadline_ns, PATIENCE_NS, &at)) at = 0;
    return earlier(at, cancelled);
}

/* Waits for the end until `until_ns` (0: for ever), but no longer than callers stay. */
static void await(partita_request *request, uint64_t until_ns) {
    while (!request->done) {
        uint64_t leave = leaves_at(request), now = pt_now_ns();
        if (leave && leave <= now) {
            strand(request);
        } else {
            if (until_ns && until_ns <= now) return;
            pt_cond_wait_until(&request->ended, &request->lock, earlier(leave, until_ns));
        }
    }
}

/* `apart`: values that share no memory with the caller. */
static partita_status hold_values(partita_value *const *values, uint32_t count, bool apart,
                                  partita_value ***out_values) {
    partita_value **held = *out_values = pt_calloc(count + 1, sizeof(*held));
    if (!held) return PT_OUT_OF_MEMORY();
    for (uint32_t i = 0; values && i < count; i++) {
        if (apart && values[i]) {
            PT_TRY(pt_value_own(values[i], &held[i]));
            continue;
        }
        partita_value_retain(values[i]);
        held[i] = values[i];
    }
    return PARTITA_OK;
}

partita_status partita_request_start(partita_session *session, const partita_run_options *options,
                                     partita_value *const *inputs, uint32_t input_count, partita_value *const *bound,
                                     uint32_t output_count, partita_request **out_request) {
    partita_status status = PARTITA_OK;
    PT_REQUIRE(session && out_request && (inputs || !input_count));
    partita_request *request = pt_calloc(1, sizeof(*request));
    if (!request) return PT_OUT_OF_MEMORY();
    atomic_init(&request->references, 1);
    pt_request_init(&request->run, session, options);
    request->run.apart = true;
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
    pt_spender *before = pt_spender_enter(&request->run.spender); /* for the copies of inputs */
    status = hold_values(inputs, input_count, request->run.apart, &request->inputs);
    pt_spender_enter(before);
    if (status != PARTITA_OK) goto out;
    PT_CHECK(hold_values(bound, output_count, false, &request->bound));
    PT_CHECK(hold_values(NULL, output_count, false, &request->outputs));
    pt_session_enter(session);
    atomic_fetch_add(&request->references, 1);
    if (pthread_create(&request->thread, NULL, run_request, request)) {
        pt_session_leave(session, false);
        atomic_fetch_sub(&request->references, 1);
        status = pt_fail(PARTITA_OUT_OF_MEMORY, "no thread could be started");
        goto out;
    }
    *out_request = request;
    request = NULL;
out:
    if (request) release_request(request);
    return status;
}

partita_status partita_request_wait(partita_request *request, uint64_t timeout_ms) {
    uint64_t ns, until = 0;
    partita_status status;
    PT_REQUIRE(request);
    if (timeout_ms != UINT64_MAX && pt_mul_u64(timeout_ms, 1000000, &ns) && !pt_add_u64(pt_now_ns(), ns, &until))
        until = 0;
    pthread_mutex_lock(&request->lock);
    await(request, until);
    if (!request->done)
        status = pt_fail(PARTITA_DEADLINE, "still running");
    else if (request->status == PARTITA_OK)
        status = PARTITA_OK;
    else
        status = pt_fail_copy(request->status, request->message ? request->message : pt_status_text(request->status));
    pthread_mutex_unlock(&request->lock);
    return status;
}

void partita_request_cancel(partita_request *request) {
    if (!request) return;
    pt_request_stop(&request->run);
    pthread_mutex_lock(&request->lock);
    if (!request->cancelled_ns) request->cancelled_ns = pt_now_ns();
    pthread_cond_broadcast(&request->ended); /* who waits leaves earlier now */
    pthread_mutex_unlock(&request->lock);
}

partita_value *partita_request_output(partita_request *request, uint32_t index) {
    if (!request) return NULL;
    pthread_mutex_lock(&request->lock);
    bool good = request->done && request->status == PARTITA_OK && index < request->output_count;
    pthread_mutex_unlock(&request->lock);
    return good ? request->outputs[index] : NULL;
}

void partita_request_destroy(partita_request *request) {
    if (!request) return;
    pt_request_stop(&request->run);
    pthread_mutex_lock(&request->lock);
    await(request, 0);
    bool stranded = !request->finished;
    pthread_mutex_unlock(&request->lock);
    if (stranded)
        pthread_detach(request->thread);
    else
        pthread_join(request->thread, NULL);
    release_request(request);
}

partita_status pt_request_run_apart(partita_session *session, const partita_run_options *options,
                                    partita_value *const *inputs, uint32_t input_count, partita_value **outputs,
                                    uint32_t output_count) {
    partita_request *request;
    PT_TRY(partita_request_start(session, options, inputs, input_count, outputs, output_count, &request));
    partita_status status = partita_request_wait(request, UINT64_MAX);
    for (uint32_t i = 0; status == PARTITA_OK && i < output_count; i++) {
        if (outputs[i]) continue; /* bound: filled */
        outputs[i] = request->outputs[i];
        request->outputs[i] = NULL;
    }
    partita_request_destroy(request);
    return status;
}
