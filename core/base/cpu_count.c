/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many cores this process may use: its affinity mask, cut by the quota of its control group.
 */
#include "base/cgroup.h"
#include "base/pool.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

/* The kernel refuses a mask that is smaller than its own, so the size is doubled until it fits. */
static uint32_t affinity_cpus(void) {
    for (size_t cpus = 1024; cpus <= 1 << 20; cpus *= 2) {
        size_t bytes = CPU_ALLOC_SIZE(cpus);
        cpu_set_t *set = CPU_ALLOC(cpus);
        if (!set) return 1;
        CPU_ZERO_S(bytes, set);
        int failed = sched_getaffinity(0, bytes, set);
        int count = failed ? 0 : CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
        if (!failed) return count > 0 ? (uint32_t)count : 1;
        if (errno != EINVAL) break;
    }
    return 1;
}

uint32_t pt_cpu_count(void) {
    uint32_t cpus = affinity_cpus();
    char membership[4096];
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (!file) return cpus;
    size_t size = fread(membership, 1, sizeof membership - 1, file);
    fclose(file);
    membership[size] = '\0';
    uint32_t quota = pt_cgroup_cpus(membership, "/sys/fs/cgroup");
    return quota != 0 && quota < cpus ? quota : cpus;
}
