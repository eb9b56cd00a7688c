/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the OpenCL plugin: a thin layer that gives the shared GPU part buffers, programs and one in-order queue.
 */
#ifndef CL_OPENCL_H
#define CL_OPENCL_H

#include "gpu/backend.h"
#include "gpu/order.h"
#include "opencl/api.h"

struct ptp_buffer {
    gpu_buffer gpu; /* first */
    cl_mem mem;
    void *host;     /* memory of the host's that it wraps, mapped for it between batches; NULL: the device's own */
    uint64_t batch; /* that last took it */
};

struct ptp_device {
    gpu_device gpu; /* first */
    cl_device_id id;
    bool sub_device; /* id is ours to release */
    cl_context context;
    cl_command_queue queue; /* in order, profiled */
    pthread_mutex_t lock;   /* guards the queue, kernel arguments and the number of the batch */
    uint64_t batch;
    gpu_order order; /* of completions whose point is not signalled */
};

struct ptp_plugin {
    gpu_plugin gpu; /* first */
    cl_device_id *ids;
};

/* device.c */
partita_status cl_device_describe(const ptp_host *host, cl_device_id id, ptp_device_info *info, gpu_caps *caps);
partita_status cl_route(ptp_device *device, ptp_route *route);

/* memory.c */
extern const ptp_memory_vtable cl_memory_vtable;
partita_status cl_buffer_alloc(gpu_device *device, uint64_t bytes, ptp_buffer **out_buffer);
void cl_buffer_free(gpu_device *device, ptp_buffer *buffer);
partita_status cl_buffer_upload(gpu_device *device, ptp_buffer *buffer, uint64_t offset, const void *data,
                                uint64_t bytes);

/* What a batch of commands touches of the host's memory is unmapped before and mapped after it, which is when the host
 * may read or write it again. Under the lock: begin, take for each buffer of the batch (NULL and the device's own ones
 * too), the commands, give for each buffer again; *io_last is the latest command's event, if any. */
void cl_batch_begin(ptp_device *device);
cl_int cl_batch_take(ptp_device *device, ptp_buffer *buffer);
cl_int cl_batch_give(ptp_device *device, ptp_buffer *buffer, cl_event *io_last);

/* submit.c */
extern const gpu_backend_vtable cl_backend;
/* Signals `done` when `last` is complete; takes over the references of both events. `first`: of the same batch, or
 * NULL. The lock is held. */
partita_status cl_signal_after(ptp_device *device, cl_event first, cl_event last, ptp_point done);
/* Waits until no callback is under way. */
void cl_wait_idle(ptp_device *device);

/* Hands the cause to the host; returns the status that fits the code. */
partita_status cl_failed(const ptp_host *host, cl_int code, const char *what);

#endif
