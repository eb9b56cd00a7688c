/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts: clusters compiled by their devices, with their ports, weights and sized instances.
 */
#ifndef PT_RUN_PART_H
#define PT_RUN_PART_H

#include "plan/plan.h"
#include "plugin/block.h"
#include "run/value.h"
#include <pthread.h>

/* An executable at fixed shapes. Held by layouts and by launches; idle ones are kept up to a number per part. */
typedef struct pt_instance {
    ptp_instance *handle;
    uint32_t holders; /* under the part's lock */
    uint64_t used;
    uint64_t scratch_bytes;
    uint32_t scratch_alignment;
    uint32_t key_size;
    int64_t *key;     /* dims of the block's values, behind the struct */
    uint64_t *bounds; /* by output: bytes of a bounded one; PTP_NO_BOUND. Behind the key */
} pt_instance;

/* Looked through by hash: rows lie side by side, since a new size looks into every part. */
typedef struct pt_instance_row {
    uint64_t hash;
    pt_instance *instance;
} pt_instance_row;

/* Inference of one part at run time, for ptp_host.infer. */
struct ptp_infer {
    const pt_model *model;
    const pt_block *block;
};

struct ptp_job {
    int32_t (*progress)(void *user, float done, const char *what);
    void *user;
    const struct pt_part *part; /* that is compiled; NULL: none yet, and what follows is not there */
    pthread_mutex_t lock;       /* guards what follows */
    void *onnx;                 /* once the plugin asked for it */
    uint64_t onnx_size;
};

typedef struct pt_part {
    pt_device *device;
    uint32_t cluster;
    const pt_model *model;
    const pt_id *nodes; /* of the cluster's graph, in order */
    uint32_t node_count;
    pt_block *block;
    const pt_id *input_values, *output_values; /* by port */
    uint32_t input_count, output_count;
    ptp_weight *weights;
    partita_value **weight_values; /* of strings and sparse weights */
    ptp_infer infer;
    ptp_executable *executable;
    ptp_port *inputs, *outputs;
    uint32_t *port_rows;  /* row of values of each input port */
    uint32_t key_size;    /* dims of all rows, one rank more each */
    bool dynamic;         /* has an output that is not static */
    bool serial;          /* calls of exec take turns */
    pthread_mutex_t turn; /* held during a call of a serial one */
    pthread_mutex_t lock; /* guards the instances; resize is thread-compatible */
    PT_ARRAY(pt_instance_row) instances;
    uint64_t clock;
} pt_part;

/* Dims of an input port as they are in this run; rank -1: not known. */
typedef struct pt_port_shape {
    int32_t rank;
    const int64_t *dims;
} pt_port_shape;

/* CANNOT_COMPILE and other failures of the device with its name in front. */
partita_status pt_part_create(const pt_plan *plan, uint32_t cluster, ptp_job *job, pt_part **out_part);
void pt_part_destroy(pt_part *part);
/* Puts the part's first node in front of this thread's message: "node 'x' and 3 more: ". */
partita_status pt_part_annotate(const pt_part *part, partita_status status);
/*
 * The instance for these shapes of the input ports, the rest by the symbols. *out_new: made by this call. Given back by
 * pt_part_release_instance.
 */
partita_status pt_part_acquire_instance(pt_part *part, const int64_t *symbol_values, const pt_port_shape *inputs,
                                        pt_instance **out_instance, bool *out_new);
/* shapes.c: BAD_INPUT naming node and cause when these shapes fit no output. Before an instance is made. */
partita_status pt_part_check_shapes(const pt_part *part, const int64_t *symbol_values, const pt_port_shape *inputs);
void pt_part_release_instance(pt_part *part, pt_instance *instance);
/* The service ptp_host.infer. */
partita_status pt_part_infer(ptp_infer *infer, uint32_t node, const ptp_tensor *inputs, uint32_t count,
                             ptp_shape *out_shapes, int64_t *dims, uint32_t output_count);
/* job.c: services of a compilation. */
partita_status pt_job_progress(ptp_job *job, float done, const char *what);
partita_status pt_job_onnx(ptp_job *job, const void **out_bytes, uint64_t *out_size);

#endif
