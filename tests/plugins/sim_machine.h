/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A machine of two simulated devices and a part to run on them, without a session.
 */
#ifndef TESTS_PLUGINS_SIM_MACHINE_H
#define TESTS_PLUGINS_SIM_MACHINE_H

#include "host_stub.h"
#include "plugin/block.h"

#include <setjmp.h>

#include <cmocka.h>

#include "ok.h"

enum { COUNT = 1024, BYTES = COUNT * 4 };

/* A machine of two devices: options are "sim:0.key", "value" pairs up to a NULL. */
typedef struct machine {
    pt_registry *registry;
    pt_device *device[2];
    stub_timeline timeline; /* of copies and runs */
    uint64_t at;            /* its value behind the latest of them */
} machine;

void machine_open(machine *m, const char *const *options);
void machine_close(machine *m);
ptp_buffer *machine_alloc(pt_device *device, uint64_t bytes);
void machine_release(pt_device *device, ptp_buffer *buffer);
ptp_usage machine_usage(pt_device *device);
/* On device `d`: of each side either the buffer or the address. */
partita_status machine_copy(machine *m, uint32_t d, ptp_buffer *source, const void *source_data, ptp_buffer *target,
                            void *target_data, uint64_t bytes);
/* Until the device's earlier work on the buffer is over, whatever became of it. */
void machine_wait_quiet(machine *m, uint32_t d, ptp_buffer *buffer);
#define MACHINE(m, ...)                                                                                                \
    machine m;                                                                                                         \
    machine_open(&m, (const char *const[]){__VA_ARGS__, NULL})

/* y = Relu(Add(x, w)), as a part. */
typedef struct part {
    pt_model *model;
    pt_block *block;
    int64_t *symbols;
    pt_id x, w, s, y, add, relu;
    float weight[COUNT];
    pt_device *device;
    ptp_executable *executable;
    ptp_instance *instance;
    ptp_resize resize;
    ptp_shape shapes[8];
} part;

void part_build(part *p);
/* Compiles and sizes it. */
partita_status part_compile(part *p, pt_device *device);
partita_status part_exec(part *p, machine *m, ptp_buffer *x, ptp_buffer *y, ptp_buffer *scratch);
/* x to the device, the part, y back: enqueued at once, and waited for. */
partita_status part_pass(part *p, machine *m, const float *x, float *y);
void part_destroy(part *p);

void fill_floats(float *data, float first);
/* The latest failure says this. */
void assert_message(const char *piece);

#endif
