/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least host that a plugin can live in: memory, messages and timelines, nothing of libpartita. For tests that load
 * one plugin's .so and speak the ABI to it.
 */
#ifndef TESTS_FAKE_HOST_H
#define TESTS_FAKE_HOST_H

#include <partita/plugin.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ptp_timeline {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t value;
    partita_status code;
};

typedef struct fake_host {
    ptp_host host;
    char message[2048]; /* of the last failure */
    char refused[256];
    uint32_t errors;    /* messages logged as errors */
    uint32_t backwards; /* signals of a value that is not above the timeline's */
    int64_t live;       /* blocks that were not freed */
    int64_t fail_after; /* allocations until one fails; below 0: none does */
    void *library;
    const ptp_plugin_info *info;
    ptp_plugin *plugin;
} fake_host;

static void fake_fail(void *self, partita_status code, const char *message) {
    (void)code;
    snprintf(((fake_host *)self)->message, sizeof(((fake_host *)self)->message), "%s", message);
}
static void fake_log(void *self, int32_t level, const char *message) {
    if (level < PARTITA_LOG_ERROR) return;
    __atomic_add_fetch(&((fake_host *)self)->errors, 1, __ATOMIC_RELAXED);
    fprintf(stderr, "%s\n", message);
}
static void *fake_alloc(void *self, uint64_t bytes, uint64_t alignment) {
    fake_host *fake = self;
    if (fake->fail_after >= 0 && fake->fail_after-- == 0) return NULL;
    uint64_t align = alignment < 16 ? 16 : alignment;
    __atomic_add_fetch(&fake->live, 1, __ATOMIC_RELAXED);
    return aligned_alloc(align, (bytes + align - 1) / align * align + (bytes == 0 ? align : 0));
}
static void fake_free(void *self, void *block) {
    if (block) __atomic_sub_fetch(&((fake_host *)self)->live, 1, __ATOMIC_RELAXED);
    free(block);
}
static uint32_t fake_workers(void *self) {
    (void)self;
    return 1;
}
static void fake_signal(void *self, ptp_timeline *timeline, uint64_t value, partita_status code, const char *message) {
    if (code != PARTITA_OK) fake_fail(self, code, message ? message : "");
    pthread_mutex_lock(&timeline->lock);
    if (value <= timeline->value) __atomic_add_fetch(&((fake_host *)self)->backwards, 1, __ATOMIC_RELAXED);
    timeline->value = value;
    timeline->code = code;
    pthread_cond_broadcast(&timeline->changed);
    pthread_mutex_unlock(&timeline->lock);
}
static partita_status fake_wait(void *self, ptp_timeline *timeline, uint64_t value, uint64_t deadline_ns) {
    (void)self;
    (void)deadline_ns;
    pthread_mutex_lock(&timeline->lock);
    while (timeline->value < value) pthread_cond_wait(&timeline->changed, &timeline->lock);
    partita_status code = timeline->code;
    pthread_mutex_unlock(&timeline->lock);
    return code;
}
static int32_t fake_stopped(void *self, ptp_run *run) {
    (void)self;
    (void)run;
    return 0;
}
static void fake_trace(void *self, ptp_run *run, const char *name, uint64_t begin_ns, uint64_t end_ns, uint32_t lane) {
    (void)self;
    (void)run;
    (void)name;
    (void)begin_ns;
    (void)end_ns;
    (void)lane;
}
static void fake_refuse(void *self, const char *message) {
    snprintf(((fake_host *)self)->refused, sizeof(((fake_host *)self)->refused), "%s", message);
}

static inline void fake_timeline_init(ptp_timeline *timeline) {
    memset(timeline, 0, sizeof(*timeline));
    pthread_mutex_init(&timeline->lock, NULL);
    pthread_cond_init(&timeline->changed, NULL);
}

static inline void fake_host_init(fake_host *fake) {
    memset(fake, 0, sizeof(*fake));
    fake->fail_after = -1;
    fake->host = (ptp_host){.size = sizeof(ptp_host),
                            .abi = PTP_ABI_VERSION,
                            .self = fake,
                            .fail = fake_fail,
                            .log = fake_log,
                            .alloc = fake_alloc,
                            .free = fake_free,
                            .workers = fake_workers,
                            .timeline_signal = fake_signal,
                            .timeline_wait = fake_wait,
                            .run_stopped = fake_stopped,
                            .trace = fake_trace};
}

/* Loads NAME.so from PARTITA_PLUGIN_PATH and starts it. The status is that of start. */
static inline partita_status fake_host_start(fake_host *fake, const char *name) {
    char path[4096];
    const char *folder = getenv("PARTITA_PLUGIN_PATH");
    snprintf(path, sizeof(path), "%s/%s.so", folder ? folder : ".", name);
    fake->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!fake->library) {
        snprintf(fake->message, sizeof(fake->message), "%s", dlerror());
        return PARTITA_IO;
    }
    ptp_query_fn query;
    void *symbol = dlsym(fake->library, "partita_plugin_query");
    memcpy(&query, &symbol, sizeof(query));
    ptp_query question = {.size = sizeof(question), .abi_min = 1, .abi_max = 1, .self = fake, .refuse = fake_refuse};
    fake->info = query ? query(&question) : NULL;
    if (!fake->info) return PARTITA_INVALID_ARGUMENT;
    return fake->info->plugin->start(&fake->host, &fake->plugin);
}

#endif
