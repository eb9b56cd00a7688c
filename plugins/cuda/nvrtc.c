/* SPDX-License-Identifier: Apache-2.0 */
/* See nvrtc.h. */
#include "cuda/nvrtc.h"
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

partita_status cu_nvrtc_open(const ptp_host *host, cu_nvrtc *out_nvrtc) {
    static const char *const names[] = {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2", "libnvrtc.so"};
    cu_nvrtc nvrtc = {0};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !nvrtc.library; i++) {
        nvrtc.library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    }
    if (!nvrtc.library) return gpu_fail(host, PARTITA_DEVICE_ABSENT, "no CUDA compiler: libnvrtc.so: %s", dlerror());
    const struct {
        const char *name;
        void *slot;
    } rows[] = {{"nvrtcCreateProgram", &nvrtc.create},   {"nvrtcDestroyProgram", &nvrtc.destroy},
                {"nvrtcCompileProgram", &nvrtc.compile}, {"nvrtcGetCUBINSize", &nvrtc.cubin_size},
                {"nvrtcGetCUBIN", &nvrtc.cubin},         {"nvrtcGetProgramLogSize", &nvrtc.log_size},
                {"nvrtcGetProgramLog", &nvrtc.log},      {"nvrtcGetErrorString", &nvrtc.error}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        void *symbol = dlsym(nvrtc.library, rows[i].name);
        if (!symbol) {
            cu_nvrtc_close(&nvrtc);
            return gpu_fail(host, PARTITA_DEVICE_ABSENT, "libnvrtc.so has no %s", rows[i].name);
        }
        memcpy(rows[i].slot, &symbol, sizeof(symbol));
    }
    *out_nvrtc = nvrtc;
    return PARTITA_OK;
}

void cu_nvrtc_close(cu_nvrtc *nvrtc) {
    if (nvrtc->library) dlclose(nvrtc->library);
    nvrtc->library = NULL;
}

static partita_status fail_with_log(const cu_nvrtc *nvrtc, const ptp_host *host, nvrtcProgram program, const char *name,
                                    nvrtcResult result) {
    size_t size = 0;
    char *log = NULL;
    if (nvrtc->log_size(program, &size) == NVRTC_SUCCESS && size > 1) log = host->alloc(host->self, size + 1, 16);
    if (log && nvrtc->log(program, log) != NVRTC_SUCCESS) log[0] = 0;
    if (log) log[size] = 0;
    gpu_fail(host, PARTITA_CANNOT_COMPILE, "kernel %s: %s: %s", name, nvrtc->error(result), log ? log : "");
    if (log) host->free(host->self, log);
    return PARTITA_CANNOT_COMPILE;
}

partita_status cu_nvrtc_compile(const cu_nvrtc *nvrtc, const ptp_host *host, int capability, const gpu_source *source,
                                void **out_code) {
    char arch[48];
    snprintf(arch, sizeof(arch), "--gpu-architecture=sm_%d", capability);
    const char *const options[] = {arch, "--std=c++17"};
    nvrtcProgram program;
    nvrtcResult result = nvrtc->create(&program, source->text, source->name, 0, NULL, NULL);
    if (result != NVRTC_SUCCESS) return gpu_fail(host, PARTITA_OUT_OF_MEMORY, "NVRTC: %s", nvrtc->error(result));
    partita_status status = PARTITA_OK;
    size_t size = 0;
    void *code = NULL;
    result = nvrtc->compile(program, 2, options);
    if (result == NVRTC_SUCCESS) result = nvrtc->cubin_size(program, &size);
    if (result != NVRTC_SUCCESS || size == 0) {
        status = fail_with_log(nvrtc, host, program, source->name, result);
        goto out;
    }
    code = host->alloc(host->self, size, 64);
    if (!code) {
        status = gpu_fail(host, PARTITA_OUT_OF_MEMORY, "no memory for %zu bytes of code", size);
        goto out;
    }
    result = nvrtc->cubin(program, code);
    if (result != NVRTC_SUCCESS) {
        status = fail_with_log(nvrtc, host, program, source->name, result);
        goto out;
    }
    *out_code = code;
    code = NULL;
out:
    if (code) host->free(host->self, code);
    nvrtc->destroy(&program);
    return status;
}
