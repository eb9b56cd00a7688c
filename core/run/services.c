/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of the plugins' services table that need values, timelines, runs and inference. Every function only translates.
 */
#include "op/schema.h"
#include "run/context.h"
#include "run/part.h"
#include "run/run.h"
#include "run/timeline.h"
#include "run/value.h"
#include <stdio.h>

/* This thread's message is that of a service which failed. */
static PT_THREAD_LOCAL bool service_failed;

static partita_status service_status(partita_status status) {
    if (status != PARTITA_OK) pt_plugin_keep_message();
    service_failed = status != PARTITA_OK;
    return status;
}

static void timeline_signal(void *self, ptp_timeline *timeline, uint64_t value, partita_status code,
                            const char *message) {
    PT_UNUSED(self);
    char text[64];
    if (!pt_status_is_valid(code)) {
        snprintf(text, sizeof(text), "signalled %d, which is no status", (int)code);
        message = text;
        code = PARTITA_INTERNAL;
    }
    /* work that failed on a thread of the plugin's, for a reason that only the host knew */
    if (code != PARTITA_OK && service_failed && !(message && message[0])) message = pt_last_message();
    service_failed = false;
    if (timeline) pt_timeline_signal((pt_timeline *)timeline, value, code, message);
}

static partita_status timeline_wait(void *self, ptp_timeline *timeline, uint64_t value, uint64_t deadline_ns) {
    PT_UNUSED(self);
    return timeline ? pt_timeline_wait((pt_timeline *)timeline, value, deadline_ns) : PARTITA_OK;
}

static int32_t run_stopped(void *self, ptp_run *run) {
    PT_UNUSED(self);
    return run ? pt_run_stopped(run) : 0;
}

static partita_status run_alloc_output(void *self, ptp_run *run, uint32_t index, partita_dtype dtype, uint32_t rank,
                                       const int64_t *dims, ptp_tensor *out) {
    PT_UNUSED(self);
    return service_status(pt_run_alloc_output(run, index, dtype, rank, dims, out));
}

static partita_status run_set_output(void *self, ptp_run *run, uint32_t index, ptp_value *value) {
    PT_UNUSED(self);
    return pt_run_set_output(run, index, pt_value_from_handle(value));
}

static partita_kind value_kind(void *self, const ptp_value *value) {
    PT_UNUSED(self);
    return value ? pt_value_from_handle(value)->kind : PARTITA_KIND_NONE;
}

static partita_status value_tensor(void *self, const ptp_value *value, ptp_tensor *out) {
    PT_UNUSED(self);
    partita_value *v = pt_value_from_handle(value);
    if (!v || (v->kind != PARTITA_KIND_TENSOR && v->kind != PARTITA_KIND_SPARSE))
        return pt_fail(PARTITA_INVALID_ARGUMENT, "the value is no tensor");
    pt_value_to_tensor(v, out);
    return PARTITA_OK;
}

static partita_status value_strings(void *self, const ptp_value *value, const uint64_t **out_offsets,
                                    const char **out_bytes, uint64_t *out_count) {
    PT_UNUSED(self);
    partita_value *v = pt_value_from_handle(value);
    if (!v || v->kind != PARTITA_KIND_TENSOR || v->dtype != PARTITA_STRING)
        return pt_fail(PARTITA_INVALID_ARGUMENT, "the value is no tensor of strings");
    *out_offsets = v->offsets;
    *out_bytes = v->data;
    *out_count = v->count;
    return PARTITA_OK;
}

static partita_status value_sparse(void *self, const ptp_value *value, ptp_value **out_values,
                                   ptp_value **out_indices) {
    PT_UNUSED(self);
    partita_value *v = pt_value_from_handle(value);
    if (!v || v->kind != PARTITA_KIND_SPARSE) return pt_fail(PARTITA_INVALID_ARGUMENT, "the value is no sparse tensor");
    *out_values = pt_value_handle(v->items[0]);
    *out_indices = pt_value_handle(v->items[1]);
    return PARTITA_OK;
}

static uint64_t value_count(void *self, const ptp_value *value) {
    PT_UNUSED(self);
    return value ? pt_value_from_handle(value)->item_count : 0;
}

static ptp_value *value_item(void *self, const ptp_value *value, uint64_t index) {
    PT_UNUSED(self);
    return pt_value_handle(partita_value_item(pt_value_from_handle(value), index));
}

static partita_status new_value(partita_status status, ptp_value **made) {
    if (status == PARTITA_OK) pt_value_count_later(pt_value_from_handle(*made));
    return status;
}

static partita_status value_new_tensor(void *self, partita_dtype dtype, uint32_t rank, const int64_t *dims,
                                       ptp_value **out) {
    PT_UNUSED(self);
    return new_value(pt_value_create_dense(dtype, rank, dims, (partita_value **)out), out);
}

static partita_status value_new_strings(void *self, uint32_t rank, const int64_t *dims, const uint64_t *offsets,
                                        const char *bytes, ptp_value **out) {
    PT_UNUSED(self);
    return new_value(pt_value_create_text(rank, dims, offsets, bytes, (partita_value **)out), out);
}

static partita_status value_new_sparse(void *self, uint32_t rank, const int64_t *dims, ptp_value *values,
                                       ptp_value *indices, ptp_value **out) {
    PT_UNUSED(self);
    return new_value(pt_value_create_sparse(rank, dims, pt_value_from_handle(values), pt_value_from_handle(indices),
                                            (partita_value **)out),
                     out);
}

static partita_status value_new_container(void *self, partita_kind kind, partita_dtype dtype, ptp_value *const *items,
                                          uint64_t n, ptp_value **out) {
    PT_UNUSED(self);
    return new_value(pt_value_create_container(kind, dtype, (partita_value *const *)items, n, (partita_value **)out),
                     out);
}

static void value_retain(void *self, ptp_value *value) {
    PT_UNUSED(self);
    partita_value_retain(pt_value_from_handle(value));
}

static void value_release(void *self, ptp_value *value) {
    PT_UNUSED(self);
    partita_value_release(pt_value_from_handle(value));
}

static partita_status infer(void *self, ptp_infer *handle, uint32_t node, const ptp_tensor *inputs, uint32_t n,
                            ptp_shape *out_shapes, int64_t *dims, uint32_t m) {
    PT_UNUSED(self);
    return service_status(pt_part_infer(handle, node, inputs, n, out_shapes, dims, m));
}

static partita_status job_progress(void *self, ptp_job *job, float done, const char *what) {
    PT_UNUSED(self);
    return job ? pt_job_progress(job, done, what) : PARTITA_OK;
}

static partita_status job_onnx(void *self, ptp_job *job, const void **out_bytes, uint64_t *out_size) {
    PT_UNUSED(self);
    if (!job) return pt_fail(PARTITA_INVALID_ARGUMENT, "no compilation is named");
    return pt_job_onnx(job, out_bytes, out_size);
}

static void trace(void *self, ptp_run *run, const char *name, uint64_t begin_ns, uint64_t end_ns, uint32_t lane) {
    PT_UNUSED(self);
    PT_UNUSED(run);
    PT_UNUSED(name);
    PT_UNUSED(begin_ns);
    PT_UNUSED(end_ns);
    PT_UNUSED(lane);
}

const ptp_host *pt_run_services(void) {
    static const ptp_host table = {
        .size = sizeof(ptp_host),
        .abi = PTP_ABI_VERSION,
        .timeline_signal = timeline_signal,
        .timeline_wait = timeline_wait,
        .run_stopped = run_stopped,
        .run_alloc_output = run_alloc_output,
        .run_set_output = run_set_output,
        .value_kind = value_kind,
        .value_tensor = value_tensor,
        .value_strings = value_strings,
        .value_sparse = value_sparse,
        .value_count = value_count,
        .value_item = value_item,
        .value_new_tensor = value_new_tensor,
        .value_new_strings = value_new_strings,
        .value_new_sparse = value_new_sparse,
        .value_new_container = value_new_container,
        .value_retain = value_retain,
        .value_release = value_release,
        .infer = infer,
        .job_progress = job_progress,
        .job_onnx = job_onnx,
        .trace = trace,
    };
    return &table;
}
