/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plugin `cpu`: every operator on the host's cores and in the host's memory. Compiling and running is the
 * program's.
 */
#include "cpu/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct ptp_executable {
    ptp_device *device;
    cpu_program *program;
};

enum { DEVICE_CPU = 0, DEVICE_REFERENCE = 1, DEVICE_COUNT = 2 };

static const ptp_option_row option_rows[] = {
    {sizeof(ptp_option_row), 0, "level", "auto|baseline|avx2|avx512", "auto",
     "highest level of instructions that kernels use; PARTITA_CPU_LEVEL sets it too"},
    {sizeof(ptp_option_row), 0, "threads", "int", "0", "workers of one part; 0: all of the host's"},
};

static const char *level_name(uint32_t level) {
    return level == CPU_LEVEL_AVX512 ? "avx512" : level == CPU_LEVEL_AVX2 ? "avx2" : "baseline";
}

static bool level_is_known(const char *name) {
    static const char *const names[] = {"auto", "baseline", "avx2", "avx512"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

/* The environment is not the caller's request, so that a level that can't be had warns instead of failing. */
static void level_warn(const ptp_host *host, uint32_t level) {
    const char *wanted = secure_getenv("PARTITA_CPU_LEVEL");
    char text[200];
    if (wanted == NULL || !*wanted || strcmp(wanted, "auto") == 0) return;
    if (level_is_known(wanted) && strcmp(wanted, level_name(level)) == 0) return;
    snprintf(text, sizeof(text), "cpu-level: PARTITA_CPU_LEVEL is '%.40s', %s; kernels use %s", wanted,
             level_is_known(wanted) ? "which this machine has not" : "none of auto, baseline, avx2, avx512",
             level_name(level));
    host->log(host->self, PARTITA_LOG_WARNING, text);
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static partita_status plugin_start(const ptp_host *host, ptp_plugin **out_plugin) {
    ptp_plugin *plugin = cpu_alloc(host, sizeof(*plugin));
    *out_plugin = plugin;
    if (plugin == NULL) return PARTITA_OUT_OF_MEMORY;
    plugin->host = host;
    plugin->level = cpu_level_detect();
    level_warn(host, plugin->level);
    return PARTITA_OK;
}

static partita_status plugin_stop(ptp_plugin *plugin) {
    if (plugin == NULL) return PARTITA_OK;
    if (atomic_load(&plugin->open) > 0) return cpu_fail(plugin->host, PARTITA_BUSY, "devices are open");
    cpu_free(plugin->host, plugin);
    return PARTITA_OK;
}

static uint32_t plugin_device_count(ptp_plugin *plugin) {
    (void)plugin;
    return DEVICE_COUNT;
}

static const ptp_option_row *plugin_options(ptp_plugin *plugin, uint32_t index, uint32_t *out_count) {
    (void)plugin;
    (void)index;
    *out_count = sizeof(option_rows) / sizeof(option_rows[0]);
    return option_rows;
}

static void info_fill(const ptp_host *host, uint32_t level, bool reference, uint32_t workers, ptp_device_info *out) {
    ptp_device_info info = {.size = sizeof(info)};
    double rate = level == CPU_LEVEL_BASELINE ? 12e3 : 45e3;
    uint32_t size = out->size;
    if (workers == 0) workers = host->workers(host->self);
    info.flags =
        PTP_DEVICE_ALL_KINDS | PTP_DEVICE_CONCURRENT | (reference ? PTP_DEVICE_REFERENCE : PTP_DEVICE_FALLBACK);
    snprintf(info.kind, sizeof(info.kind), "%s", reference ? "reference" : "cpu");
    if (reference)
        snprintf(info.description, sizeof(info.description), "scalar kernels, one worker per node");
    else
        snprintf(info.description, sizeof(info.description), "%u host cores, %s", workers, level_name(level));
    snprintf(info.vendor, sizeof(info.vendor), "Partita");
    snprintf(info.driver, sizeof(info.driver), "0.1");
    snprintf(info.resources[0], sizeof(info.resources[0]), "host-cores");
    info.flops_per_us = reference ? 800 : rate * workers;
    info.bytes_per_us = reference ? 1e3 : 12e3;
    info.launch_us = 2;
    memcpy(out, &info, size < sizeof(info) ? size : sizeof(info));
    out->size = size;
}

static partita_status plugin_peek(ptp_plugin *plugin, uint32_t index, ptp_device_info *out_info) {
    if (index >= DEVICE_COUNT) return cpu_fail(plugin->host, PARTITA_INVALID_ARGUMENT, "no device %u", index);
    info_fill(plugin->host, plugin->level, index == DEVICE_REFERENCE, 0, out_info);
    return PARTITA_OK;
}

static partita_status option_apply(const ptp_host *host, cpu_program_config *config, const ptp_option *option) {
    if (strcmp(option->name, "level") == 0) {
        if (!level_is_known(option->value))
            return cpu_fail(host, PARTITA_INVALID_ARGUMENT, "level: no level '%s'", option->value);
        if (strcmp(option->value, "avx512") == 0 && config->level < CPU_LEVEL_AVX512)
            return cpu_fail(host, PARTITA_DEVICE_ABSENT, "level: this machine has no AVX-512 with VNNI and BF16");
        if (strcmp(option->value, "avx2") == 0 && config->level < CPU_LEVEL_AVX2)
            return cpu_fail(host, PARTITA_DEVICE_ABSENT, "level: this machine has no AVX2 with FMA");
        config->level = cpu_level_lower(option->value, config->level);
        return PARTITA_OK;
    }
    if (strcmp(option->name, "threads") == 0) {
        char *end;
        long threads = strtol(option->value, &end, 10);
        if (end == option->value || *end != '\0' || threads < 0 || threads > 4096)
            return cpu_fail(host, PARTITA_INVALID_ARGUMENT, "threads: '%s' is no number from 0 to 4096", option->value);
        config->workers = (uint32_t)threads;
        return PARTITA_OK;
    }
    return cpu_fail(host, PARTITA_INVALID_ARGUMENT, "no option '%s'", option->name);
}

static partita_status plugin_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                                  ptp_device **out_device) {
    partita_status status = PARTITA_OK;
    *out_device = NULL;
    if (index >= DEVICE_COUNT) return cpu_fail(plugin->host, PARTITA_INVALID_ARGUMENT, "no device %u", index);
    ptp_device *device = cpu_alloc(plugin->host, sizeof(*device));
    if (device == NULL) return PARTITA_OUT_OF_MEMORY;
    device->plugin = plugin;
    device->host = plugin->host;
    device->config =
        (cpu_program_config){.host = plugin->host, .level = plugin->level, .reference = index == DEVICE_REFERENCE};
    for (uint32_t i = 0; i < option_count && status == PARTITA_OK; i++)
        status = option_apply(plugin->host, &device->config, &options[i]);
    if (status != PARTITA_OK) {
        cpu_free(plugin->host, device);
        return status;
    }
    atomic_fetch_add(&plugin->open, 1);
    *out_device = device;
    return PARTITA_OK;
}

static void plugin_close(ptp_device *device) {
    if (device == NULL) return;
    atomic_fetch_sub(&device->plugin->open, 1);
    cpu_free(device->host, device);
}

static partita_status device_info(ptp_device *device, ptp_device_info *out_info) {
    info_fill(device->host, device->config.level, device->config.reference, device->config.workers, out_info);
    return PARTITA_OK;
}

static partita_status device_compile(ptp_device *device, ptp_compile *compile, ptp_executable **out_executable) {
    ptp_executable *executable = cpu_alloc(device->host, sizeof(*executable));
    *out_executable = NULL;
    if (executable == NULL) return PARTITA_OUT_OF_MEMORY;
    executable->device = device;
    partita_status status = cpu_program_create(&device->config, compile, &executable->program);
    if (status != PARTITA_OK) {
        cpu_free(device->host, executable);
        return status;
    }
    atomic_fetch_add(&device->weight_bytes, cpu_program_weight_bytes(executable->program));
    *out_executable = executable;
    return PARTITA_OK;
}

static partita_status device_usage(ptp_device *device, ptp_usage *out_usage) {
    ptp_usage usage = {.size = sizeof(usage)};
    uint32_t size = out_usage->size;
    usage.weight_bytes = atomic_load(&device->weight_bytes);
    usage.launches = atomic_load(&device->launches);
    usage.busy_ns = atomic_load(&device->busy_ns);
    memcpy(out_usage, &usage, size < sizeof(usage) ? size : sizeof(usage));
    out_usage->size = size;
    return PARTITA_OK;
}

static void executable_destroy(ptp_executable *executable) {
    if (executable == NULL) return;
    atomic_fetch_sub(&executable->device->weight_bytes, cpu_program_weight_bytes(executable->program));
    cpu_program_destroy(executable->program);
    cpu_free(executable->device->host, executable);
}

static partita_status executable_ports(ptp_executable *executable, ptp_port *inputs, ptp_port *outputs) {
    cpu_program_ports(executable->program, inputs, outputs);
    return PARTITA_OK;
}

static partita_status executable_resize(ptp_executable *executable, ptp_resize *resize, ptp_instance **out_instance) {
    return cpu_frame_create(executable->program, resize, (cpu_frame **)out_instance);
}

static void executable_release(ptp_executable *executable, ptp_instance *instance) {
    (void)executable;
    cpu_frame_destroy((cpu_frame *)instance);
}

static partita_status executable_exec(ptp_executable *executable, ptp_instance *instance, const ptp_exec *exec) {
    ptp_device *device = executable->device;
    const ptp_host *host = device->host;
    uint64_t begin;
    partita_status status = PARTITA_OK;
    for (uint32_t i = 0; i < exec->wait_count && status == PARTITA_OK; i++)
        if (exec->waits[i].timeline != NULL)
            status = host->timeline_wait(host->self, exec->waits[i].timeline, exec->waits[i].value, 0);
    if (status != PARTITA_OK) return status;
    begin = now_ns();
    status = cpu_frame_run((const cpu_frame *)instance, exec);
    atomic_fetch_add(&device->launches, 1);
    atomic_fetch_add(&device->busy_ns, now_ns() - begin);
    if (status == PARTITA_OK && exec->done.timeline != NULL)
        host->timeline_signal(host->self, exec->done.timeline, exec->done.value, PARTITA_OK, NULL);
    return status;
}

static const ptp_plugin_vtable plugin_vtable = {
    .size = sizeof(ptp_plugin_vtable),
    .start = plugin_start,
    .stop = plugin_stop,
    .device_count = plugin_device_count,
    .open = plugin_open,
    .close = plugin_close,
    .peek = plugin_peek,
    .options = plugin_options,
};

static const ptp_device_vtable device_vtable = {
    .size = sizeof(ptp_device_vtable),
    .info = device_info,
    .ask = cpu_device_ask,
    .compile = device_compile,
    .usage = device_usage,
};

static const ptp_executable_vtable executable_vtable = {
    .size = sizeof(ptp_executable_vtable),
    .destroy = executable_destroy,
    .ports = executable_ports,
    .resize = executable_resize,
    .release = executable_release,
    .exec = executable_exec,
};

PTP_DEFINE_PLUGIN("cpu", "0.1", &plugin_vtable, &device_vtable, &executable_vtable, NULL, NULL)
