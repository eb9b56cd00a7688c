/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a plugin may ask of a compilation: whether to go on, and the part as an ONNX model.
 */
#include "onnx/writer.h"
#include "run/part.h"

/* Constants of so many bytes are written as references. */
enum { REFERENCE_BYTES = 1025 };

partita_status pt_job_progress(ptp_job *job, float done, const char *what) {
    if (job->progress && job->progress(job->user, done, what ? what : "") != 0)
        return pt_fail(PARTITA_CANCELLED, "compiling was cancelled");
    return PARTITA_OK;
}

/* Operators of the host's own have no meaning to another parser. */
static partita_status check_nodes(const pt_part *part) {
    for (uint32_t i = 0; i < part->block->data->nodes.count; i++) {
        const pt_node *node = &part->model->nodes.data[part->block->nodes[i]];
        if (pt_str_is(node->domain, "partita"))
            return pt_fail(PARTITA_UNSUPPORTED, "ONNX has no operator %.*s", PT_STR_ARG(node->op));
    }
    return PARTITA_OK;
}

partita_status pt_job_onnx(ptp_job *job, const void **out_bytes, uint64_t *out_size) {
    const pt_part *part = job->part;
    partita_status status = PARTITA_OK;
    if (!part) return pt_fail(PARTITA_INVALID_ARGUMENT, "there is no part to write");
    pthread_mutex_lock(&job->lock);
    if (!job->onnx) {
        const pt_onnx_part rows = {.nodes = part->nodes,
                                   .node_count = part->node_count,
                                   .inputs = part->input_values,
                                   .input_count = part->input_count,
                                   .outputs = part->output_values,
                                   .output_count = part->output_count,
                                   .external_from = REFERENCE_BYTES};
        PT_CHECK(check_nodes(part));
        PT_CHECK(pt_onnx_write_part(part->model, &rows, &job->onnx, &job->onnx_size));
    }
    *out_bytes = job->onnx;
    *out_size = job->onnx_size;
out:
    pthread_mutex_unlock(&job->lock);
    return status;
}
