/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU quota of this process's control group, versions 1 and 2. Apart from pool.h so that a test can show it a tree
 * of its own.
 */
#ifndef PT_BASE_CGROUP_H
#define PT_BASE_CGROUP_H

#include "base/base.h"

/*
 * The smallest quota on the way from the group to the root, in whole cores, rounded up; 0 when there is none.
 * `membership`: text of /proc/self/cgroup. `root`: where the control groups are mounted, /sys/fs/cgroup.
 */
uint32_t pt_cgroup_cpus(const char *membership, const char *root);

#endif
