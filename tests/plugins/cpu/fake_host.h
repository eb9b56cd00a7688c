/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small host for tests of kernels and programs: memory, a pool, values, failures. It counts what is alive, so that a
 * test can say that nothing leaked.
 */
#ifndef TESTS_FAKE_HOST_H
#define TESTS_FAKE_HOST_H

#include <partita/plugin.h>

/* What a run gave for one output port. */
typedef struct fake_output {
    ptp_tensor tensor;
    int64_t dims[16];
    ptp_value *value;
    void *owned;
} fake_output;

typedef struct fake_run {
    fake_output *outputs;
    uint32_t count;
} fake_run;

/* The table; one for the process. `workers`: of the pool. */
const ptp_host *fake_host_start(uint32_t workers);
void fake_host_stop(void);
/* Shapes that `infer` answers: of the block's values by row. */
void fake_host_shapes(const ptp_block *block, const ptp_shape *shapes);
const char *fake_host_failure(void);
int64_t fake_host_alive(void); /* blocks and values */

#endif
