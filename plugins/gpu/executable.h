/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executables and instances. An executable knows where each value lives in kind (a port, scratch, a weight); an
 * instance, for fixed shapes, knows offsets, params and grids: a flat list of launches that exec only fills with
 * buffers.
 */
#ifndef GPU_EXECUTABLE_H
#define GPU_EXECUTABLE_H

#include "gpu/gpu.h"

/* Growable array of the host's memory. */
typedef struct gpu_array {
    void *data;
    uint32_t count, capacity;
} gpu_array;

/* Where a value's bytes are. */
enum { GPU_HOME_NONE = 0, GPU_HOME_INPUT, GPU_HOME_OUTPUT, GPU_HOME_SCRATCH, GPU_HOME_WEIGHT };

typedef struct gpu_weight_ref {
    struct gpu_weight_entry *entry; /* of the device's pool; NULL: in `buffer`, which the executable owns */
    ptp_buffer *buffer;
    uint64_t offset;
    uint64_t bytes;
} gpu_weight_ref;

typedef struct gpu_value {
    uint32_t root; /* row whose storage it shares; itself, unless an alias */
    uint32_t home; /* of a root: GPU_HOME_* */
    uint32_t port; /* of INPUT and OUTPUT */
    uint32_t uses; /* inputs that read it on the device; of an output of the part one more */
    gpu_weight_ref weight;
} gpu_value;

typedef struct gpu_step {
    const gpu_op *op;
    uint32_t node;
    uint32_t first_decision;
} gpu_step;

/* What gpu_decide returned when the part was compiled. */
typedef struct gpu_decision {
    uint64_t value;
    uint32_t kind; /* GPU_DECIDE_* */
} gpu_decision;

/* An output that is no storage of its own: copied from `row` at the end. */
typedef struct gpu_tail {
    uint32_t row;
    uint32_t port;
} gpu_tail;

struct ptp_executable {
    gpu_device *device;
    const ptp_block *block;
    uint32_t value_count, step_count, tail_count, input_count, output_count;
    gpu_value *values;
    gpu_step *steps;     /* one more, for the tails */
    gpu_array decisions; /* gpu_decision; none where all dims are exact */
    gpu_tail *tails;
    ptp_buffer *small_weights; /* all those below the pool's size */
    uint64_t small_bytes;
    bool fuse;                  /* chains of element-wise steps become one kernel */
    const void **constant_data; /* what plans read on the host, by row */
    uint64_t *constant_bytes;
    gpu_node node; /* reused by resize, which is thread-compatible */
};

/* A launch whose bindings are places; exec turns them into buffers. */
typedef struct gpu_place {
    uint32_t home;  /* GPU_HOME_* */
    uint32_t index; /* port, or row of a weight */
    uint64_t offset;
    uint64_t bytes;
} gpu_place;

typedef struct gpu_temp_range {
    uint64_t bytes, offset;
} gpu_temp_range;

typedef struct gpu_planned {
    gpu_program *program;
    const char *name;
    uint32_t groups[3];
    uint32_t first_binding, binding_count;
    uint32_t first_param, param_count;
} gpu_planned;

/* How gpu_decide decides: by the dims, as it did when the part was compiled, or so that this can be done again. */
enum { GPU_FORM_FREE = 0, GPU_FORM_REPLAY, GPU_FORM_RECORD };

struct gpu_instance {
    uint32_t form;                   /* GPU_FORM_* */
    uint32_t decision, decision_end; /* of the step under way */
    bool lost;                       /* a decision, for want of memory */
    gpu_array launches;              /* gpu_planned */
    gpu_array refs;                  /* gpu_ref, by binding */
    gpu_array params;                /* uint32_t */
    gpu_array temps;                 /* gpu_temp_range */
    gpu_array pending;               /* while planning: gpu_chain, element-wise results that are not written yet */
    uint64_t *offsets;               /* of roots in scratch, by row */
    uint64_t *bytes;                 /* of values, by row */
    gpu_place *places;               /* by binding */
    gpu_launch *ready;               /* what submit takes, filled per exec */
    gpu_binding *bound;
    uint64_t scratch_bytes;
    void *record; /* the backend's */
};

void *gpu_alloc(const ptp_host *host, uint64_t count, uint64_t size); /* zeroed; NULL, and the host told */
void gpu_array_free(gpu_array *array, const ptp_host *host);
/* Room for `count` more elements; NULL, and the host told. */
void *gpu_array_add(gpu_array *array, const ptp_host *host, uint32_t count, uint64_t size);

/* storage.c: weights on the device, and offsets in scratch. */
partita_status gpu_weights_upload(ptp_executable *executable, ptp_compile *compile);
void gpu_weights_release(ptp_executable *executable);
void gpu_weights_free(gpu_device *device);
partita_status gpu_storage_plan(const ptp_executable *executable, struct gpu_instance *instance);

/* form.c: shapes in which every symbol has a number of its own. `dims`: room for those of all values. *out_open is
 * false when all dims are exact. */
partita_status gpu_form_shapes(const ptp_executable *executable, ptp_shape *out_shapes, int64_t *dims, bool *out_open);
/* Of step `step`, or of the tails. */
void gpu_decisions_begin(ptp_executable *executable, struct gpu_instance *instance, uint32_t step);

/* limits.c: whether the device can make the launch. */
partita_status gpu_check_call(gpu_plan *plan, const gpu_call *call);

/* resize.c. `record`: these are the shapes of gpu_form_shapes. */
partita_status gpu_instance_create(ptp_executable *executable, const ptp_shape *shapes, bool record,
                                   struct gpu_instance **out_instance);
void gpu_instance_destroy(ptp_executable *executable, struct gpu_instance *instance);
partita_status gpu_exec(ptp_executable *executable, ptp_instance *instance, const ptp_exec *exec);

#endif
