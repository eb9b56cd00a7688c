/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the plugin `cuda`: the driver opened at run time, devices on their primary contexts, one stream each, and
 * the thread that waits for what was enqueued. What is about operators lies in plugins/gpu.
 */
#ifndef CU_CU_H
#define CU_CU_H

#include "cuda/nvrtc.h"
#include <cudaTypedefs.h>
#include <stdbool.h>
#include <string.h>

#define CU_ALIGNMENT 256u

typedef struct cu_driver {
    void *library;
    int version;
#define CU(name, symbol, type) type name;
#include "cuda/functions.inc"
} cu_driver;

struct ptp_plugin {
    gpu_plugin gpu; /* first */
    cu_driver driver;
    cu_nvrtc nvrtc;
};

struct ptp_buffer {
    gpu_buffer gpu; /* first */
    CUdeviceptr address;
};

/* What was enqueued up to an event, and what is to be signalled then. */
typedef struct cu_pending {
    struct cu_pending *next;
    CUevent event;
    ptp_point done;
} cu_pending;

struct ptp_device {
    gpu_device gpu; /* first */
    ptp_plugin *plugin;
    const ptp_host *host;
    const cu_driver *driver;
    CUdevice ordinal;
    CUcontext context;
    CUstream stream;
    int capability;
    pthread_mutex_t lock; /* guards what follows; work is enqueued under it */
    pthread_cond_t filled;
    cu_pending *first, *last;
    pthread_t waiter;
    bool running, stopping;
};

struct gpu_program {
    CUmodule module;
    CUfunction function;
    uint32_t local[3];
};

/* PARTITA_DEVICE_ABSENT, the cause named, without driver or GPU. */
partita_status cu_driver_open(const ptp_host *host, cu_driver *out_driver, int *out_count);
void cu_driver_close(cu_driver *driver);

partita_status cu_device_describe(const ptp_plugin *plugin, int index, ptp_device_info *out_info, gpu_caps *out_caps,
                                  int *out_capability);
partita_status cu_device_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                              ptp_device **out_device);
void cu_device_close(ptp_device *device);

/* Makes the device's context current on this thread until cu_leave. */
partita_status cu_enter(ptp_device *device);
void cu_leave(ptp_device *device);
/* The status of a result, told to the host with what was tried. */
partita_status cu_check(const ptp_host *host, const cu_driver *driver, CUresult result, const char *what);

/* Signals `done` when all that was enqueued before is complete. Under the lock, in the context. */
partita_status cu_signal_after(ptp_device *device, ptp_point done);
partita_status cu_waiter_start(ptp_device *device);
void cu_waiter_stop(ptp_device *device);

partita_status cu_buffer_alloc(gpu_device *device, uint64_t bytes, ptp_buffer **out_buffer);
void cu_buffer_free(gpu_device *device, ptp_buffer *buffer);
partita_status cu_buffer_upload(gpu_device *device, ptp_buffer *buffer, uint64_t offset, const void *data,
                                uint64_t bytes);
partita_status cu_program_create(gpu_device *device, const gpu_source *source, gpu_program **out_program);
void cu_program_destroy(gpu_device *device, gpu_program *program);
partita_status cu_submit(gpu_device *device, const gpu_batch *batch);
extern const ptp_memory_vtable cu_memory_vtable;

#endif
