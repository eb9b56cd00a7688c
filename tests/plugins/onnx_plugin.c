/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin with a parser of its own, as far as that goes: it takes everything, and on compiling writes the part as ONNX
 * and the weights that the model refers to below the folder that the option `folder` names. Then it cannot compile.
 */
#include <partita/block.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOST(call, ...) host->call(host->self, __VA_ARGS__)

struct ptp_plugin {
    const ptp_host *host;
};

struct ptp_device {
    const ptp_host *host;
    char folder[512];
    unsigned written;
};

static partita_status fail(const ptp_host *host, partita_status code, const char *text) {
    HOST(fail, code, text);
    return code;
}

static void out(void *to, const void *from, uint32_t size) {
    uint32_t theirs;
    memcpy(&theirs, to, sizeof(theirs));
    memcpy(to, from, theirs < size ? theirs : size);
    memcpy(to, &theirs, sizeof(theirs));
}

/* ---- writing --------------------------------------------------------------------------------- */

static int write_file(const char *path, const void *bytes, uint64_t size) {
    FILE *file = fopen(path, "wb");
    int written = file && (size == 0 || fwrite(bytes, 1, (size_t)size, file) == size);
    return file && fclose(file) == 0 && written;
}

/* The bytes of a weight where its file has them; NULL when it lies in none. The caller frees. */
static void *read_weight(const ptp_weight *weight) {
    char *bytes = weight->fd >= 0 ? malloc((size_t)weight->bytes + 1) : NULL;
    if (!bytes) return NULL;
    if (pread(weight->fd, bytes, (size_t)weight->bytes, (off_t)weight->fd_offset) == (ssize_t)weight->bytes)
        return bytes;
    free(bytes);
    return NULL;
}

static int write_weights(const ptp_compile *compile, const char *folder) {
    int fine = 1;
    for (uint32_t i = 0; i < compile->weight_count && fine; i++) {
        const ptp_weight *weight =
            (const ptp_weight *)(const void *)((const char *)compile->weights + (size_t)i * compile->weights->size);
        char path[640];
        void *from_file = read_weight(weight);
        if (weight->value) continue;
        snprintf(path, sizeof(path), "%s/weight/%llu", folder, (unsigned long long)weight->id);
        fine = write_file(path, from_file ? from_file : weight->data, weight->bytes);
        free(from_file);
    }
    return fine;
}

static partita_status device_compile(ptp_device *device, ptp_compile *compile, ptp_executable **out_executable) {
    const ptp_host *host = device->host;
    const void *bytes, *again;
    uint64_t size, size_again;
    char folder[560], path[640];
    *out_executable = NULL;
    partita_status status = HOST(job_onnx, compile->job, &bytes, &size);
    if (status == PARTITA_OK) status = HOST(job_onnx, compile->job, &again, &size_again);
    if (status != PARTITA_OK) return status;
    if (again != bytes || size_again != size) return fail(host, PARTITA_INTERNAL, "the model moved");
    snprintf(folder, sizeof(folder), "%s/%u", device->folder, device->written++);
    mkdir(folder, 0700);
    snprintf(path, sizeof(path), "%s/weight", folder);
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/model.onnx", folder);
    if (!write_file(path, bytes, size) || !write_weights(compile, folder))
        return fail(host, PARTITA_IO, "the folder cannot be written to");
    return fail(host, PARTITA_CANNOT_COMPILE, "the part was written");
}

/* ---- device and plugin ----------------------------------------------------------------------- */

static partita_status device_info(ptp_device *device, ptp_device_info *out_info) {
    ptp_device_info info = {
        .size = sizeof(info), .kind = "onnx", .description = "a parser of ONNX", .resources = {{"onnx"}}};
    (void)device;
    info.flags = PTP_DEVICE_SIMULATED | PTP_DEVICE_ALL_KINDS;
    info.flops_per_us = info.bytes_per_us = 1e6;
    out(out_info, &info, sizeof(info));
    return PARTITA_OK;
}

static partita_status device_ask(ptp_device *device, const ptp_ask *ask, ptp_answer *answers) {
    (void)device;
    for (uint32_t i = 0; i < ask->count; i++) {
        ptp_answer answer = {.size = sizeof(answer), .can = PTP_YES};
        out((char *)answers + (size_t)i * answers->size, &answer, sizeof(answer));
    }
    return PARTITA_OK;
}

static partita_status plugin_start(const ptp_host *host, ptp_plugin **out_plugin) {
    ptp_plugin *plugin = calloc(1, sizeof(*plugin));
    *out_plugin = plugin;
    if (!plugin) return fail(host, PARTITA_OUT_OF_MEMORY, "out of memory");
    plugin->host = host;
    return PARTITA_OK;
}

static partita_status plugin_stop(ptp_plugin *plugin) {
    free(plugin);
    return PARTITA_OK;
}

static uint32_t plugin_device_count(ptp_plugin *plugin) {
    (void)plugin;
    return 1;
}

static partita_status plugin_open(ptp_plugin *plugin, uint32_t index, const ptp_option *options, uint32_t option_count,
                                  ptp_device **out_device) {
    ptp_device *device = calloc(1, sizeof(*device));
    (void)index;
    *out_device = device;
    if (!device) return fail(plugin->host, PARTITA_OUT_OF_MEMORY, "out of memory");
    device->host = plugin->host;
    for (uint32_t i = 0; i < option_count; i++)
        snprintf(device->folder, sizeof(device->folder), "%s", options[i].value);
    return PARTITA_OK;
}

static void plugin_close(ptp_device *device) { free(device); }

static const ptp_option_row *plugin_options(ptp_plugin *plugin, uint32_t index, uint32_t *out_count) {
    static const ptp_option_row rows[] = {{sizeof(ptp_option_row), 0, "folder", "string", ".", "where parts go"}};
    (void)plugin;
    (void)index;
    *out_count = 1;
    return rows;
}

/* Nothing is ever compiled, so that nothing is ever run. */
static void executable_destroy(ptp_executable *executable) { (void)executable; }
static partita_status executable_ports(ptp_executable *executable, ptp_port *inputs, ptp_port *outputs) {
    (void)executable, (void)inputs, (void)outputs;
    return PARTITA_INTERNAL;
}
static partita_status executable_resize(ptp_executable *executable, ptp_resize *resize, ptp_instance **out_instance) {
    (void)executable, (void)resize;
    *out_instance = NULL;
    return PARTITA_INTERNAL;
}
static void executable_release(ptp_executable *executable, ptp_instance *instance) { (void)executable, (void)instance; }
static partita_status executable_exec(ptp_executable *executable, ptp_instance *instance, const ptp_exec *exec) {
    (void)executable, (void)instance, (void)exec;
    return PARTITA_INTERNAL;
}

static const ptp_plugin_vtable plugin_table = {.size = sizeof(ptp_plugin_vtable),
                                               .start = plugin_start,
                                               .stop = plugin_stop,
                                               .device_count = plugin_device_count,
                                               .open = plugin_open,
                                               .close = plugin_close,
                                               .options = plugin_options};
static const ptp_device_vtable device_table = {
    .size = sizeof(ptp_device_vtable), .info = device_info, .ask = device_ask, .compile = device_compile};
static const ptp_executable_vtable executable_table = {.size = sizeof(ptp_executable_vtable),
                                                       .destroy = executable_destroy,
                                                       .ports = executable_ports,
                                                       .resize = executable_resize,
                                                       .release = executable_release,
                                                       .exec = executable_exec};

PTP_DEFINE_PLUGIN("onnx", "1.0", &plugin_table, &device_table, &executable_table, NULL, NULL)
