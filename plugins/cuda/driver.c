/* SPDX-License-Identifier: Apache-2.0 */
/* The driver libcuda.so.1, opened at run time and never linked. */
#include "cuda/cu.h"
#include <dlfcn.h>

partita_status cu_check(const ptp_host *host, const cu_driver *driver, CUresult result, const char *what) {
    const char *name = NULL;
    if (result == CUDA_SUCCESS) return PARTITA_OK;
    if (driver->GetErrorName(result, &name) != CUDA_SUCCESS || !name) name = "an unknown CUresult";
    partita_status status = PARTITA_DEVICE_FAILED;
    if (result == CUDA_ERROR_OUT_OF_MEMORY) status = PARTITA_OUT_OF_MEMORY;
    if (result == CUDA_ERROR_ILLEGAL_ADDRESS || result == CUDA_ERROR_LAUNCH_FAILED) status = PARTITA_DEVICE_LOST;
    return gpu_fail(host, status, "%s: %s (%d)", what, name, (int)result);
}

partita_status cu_driver_open(const ptp_host *host, cu_driver *out_driver, int *out_count) {
    cu_driver driver = {.library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL)};
    if (!driver.library) return gpu_fail(host, PARTITA_DEVICE_ABSENT, "no NVIDIA driver: %s", dlerror());
    const struct {
        const char *symbol;
        void *slot;
    } rows[] = {
#define CU(name, symbol, type) {symbol, &driver.name},
#include "cuda/functions.inc"
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        void *address = dlsym(driver.library, rows[i].symbol);
        if (!address) {
            cu_driver_close(&driver);
            return gpu_fail(host, PARTITA_DEVICE_ABSENT, "the NVIDIA driver libcuda.so.1 is too old: it has no %s",
                            rows[i].symbol);
        }
        memcpy(rows[i].slot, &address, sizeof(address));
    }
    CUresult result = driver.Init(0);
    if (result == CUDA_SUCCESS) result = driver.DriverGetVersion(&driver.version);
    if (result == CUDA_SUCCESS) result = driver.DeviceGetCount(out_count);
    if (result != CUDA_SUCCESS || *out_count <= 0) {
        const char *name = NULL;
        if (result != CUDA_SUCCESS) driver.GetErrorName(result, &name);
        gpu_fail(host, PARTITA_DEVICE_ABSENT, "the NVIDIA driver libcuda.so.1 finds no GPU%s%s", name ? ": " : "",
                 name ? name : "");
        cu_driver_close(&driver);
        return PARTITA_DEVICE_ABSENT;
    }
    *out_driver = driver;
    return PARTITA_OK;
}

void cu_driver_close(cu_driver *driver) {
    if (driver->library) dlclose(driver->library);
    driver->library = NULL;
}
