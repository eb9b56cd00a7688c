/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads cpu.max (version 2) or cpu.cfs_quota_us and cpu.cfs_period_us (version 1) of a group and of all above it.
 * What cannot be read or parsed sets no limit.
 */
#include "base/cgroup.h"

#include <stdio.h>
#include <stdlib.h>

enum { PATH_BYTES = 4096 };

/* The start of a file as text; false when it can't be read. */
static bool read_text(const char *path, char *text, size_t capacity) {
    FILE *file = fopen(path, "re");
    if (!file) return false;
    size_t size = fread(text, 1, capacity - 1, file);
    fclose(file);
    text[size] = '\0';
    return size > 0;
}

static bool read_file_in(const char *folder, const char *name, char *text, size_t capacity) {
    char path[PATH_BYTES + 64];
    int size = snprintf(path, sizeof path, "%s/%s", folder, name);
    return size > 0 && (size_t)size < sizeof path && read_text(path, text, capacity);
}

static uint32_t cores_of(long long quota, long long period) {
    if (quota <= 0 || period <= 0) return 0;
    long long cores = quota / period + (quota % period != 0);
    return cores > 1 << 20 ? 0 : (uint32_t)cores;
}

static uint32_t cores_of_v2(const char *folder) {
    char text[128];
    long long quota, period;
    if (!read_file_in(folder, "cpu.max", text, sizeof text)) return 0;
    return sscanf(text, "%lld %lld", &quota, &period) == 2 ? cores_of(quota, period) : 0;
}

static uint32_t cores_of_v1(const char *folder) {
    char quota[64], period[64];
    if (!read_file_in(folder, "cpu.cfs_quota_us", quota, sizeof quota)) return 0;
    if (!read_file_in(folder, "cpu.cfs_period_us", period, sizeof period)) return 0;
    return cores_of(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

static uint32_t smaller_limit(uint32_t a, uint32_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }

/* The limits of root/mount/group and of every folder above it, up to root/mount. */
static uint32_t walk_up(const char *root, const char *mount, partita_str group, uint32_t (*read)(const char *)) {
    char folder[PATH_BYTES];
    int base = snprintf(folder, sizeof folder, "%s%s%s", root, *mount ? "/" : "", mount);
    if (base < 0 || (size_t)base >= sizeof folder) return 0;
    int size = snprintf(folder, sizeof folder, "%s%s%s%.*s", root, *mount ? "/" : "", mount, PT_STR_ARG(group));
    /* In a namespace of its own a group may lie outside what is mounted: then the mount's top is all there is. */
    if (size < 0 || (size_t)size >= sizeof folder || strstr(folder + base, "..")) { folder[base] = '\0'; }
    uint32_t limit = 0;
    for (;;) {
        limit = smaller_limit(limit, read(folder));
        char *slash = strrchr(folder + base, '/');
        if (!slash) return limit;
        *slash = '\0';
    }
}

static bool has_controller(partita_str list, const char *name) {
    size_t size = strlen(name);
    for (size_t begin = 0; begin <= list.size;) {
        const char *comma = begin < list.size ? memchr(list.data + begin, ',', list.size - begin) : NULL;
        size_t end = comma ? (size_t)(comma - list.data) : list.size;
        if (end - begin == size && memcmp(list.data + begin, name, size) == 0) return true;
        begin = end + 1;
    }
    return false;
}

uint32_t pt_cgroup_cpus(const char *membership, const char *root) {
    uint32_t limit = 0;
    for (const char *line = membership; *line;) {
        size_t size = strcspn(line, "\n");
        /* hierarchy:controllers:/group */
        const char *first = memchr(line, ':', size);
        const char *second = first ? memchr(first + 1, ':', size - (size_t)(first + 1 - line)) : NULL;
        if (second) {
            partita_str controllers = {first + 1, (size_t)(second - first - 1)};
            partita_str group = {second + 1, size - (size_t)(second + 1 - line)};
            if (group.size == 1) group.size = 0; /* "/" */
            if (controllers.size == 0) {
                limit = smaller_limit(limit, walk_up(root, "", group, cores_of_v2));
            } else if (has_controller(controllers, "cpu")) {
                uint32_t here = walk_up(root, "cpu", group, cores_of_v1);
                if (here == 0) here = walk_up(root, "cpu,cpuacct", group, cores_of_v1);
                limit = smaller_limit(limit, here);
            }
        }
        line += size + (line[size] == '\n');
    }
    return limit;
}
