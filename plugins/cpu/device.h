/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two devices of the plugin: `cpu` takes the fastest kernel of each node, `reference` the scalar one.
 */
#ifndef CPU_DEVICE_H
#define CPU_DEVICE_H

#include "cpu/program/program.h"

#include <stdatomic.h>

struct ptp_plugin {
    const ptp_host *host;
    uint32_t level; /* of this machine */
    atomic_uint open;
};

struct ptp_device {
    ptp_plugin *plugin;
    const ptp_host *host;
    cpu_program_config config;
    atomic_uint_fast64_t launches, busy_ns, weight_bytes;
};

partita_status cpu_device_ask(ptp_device *device, const ptp_ask *ask, ptp_answer *answers);

#endif
