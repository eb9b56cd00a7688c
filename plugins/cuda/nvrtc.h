/* SPDX-License-Identifier: Apache-2.0 */
/* NVIDIA's compiler for kernels at run time, opened by dlopen; it needs no GPU. */
#ifndef CU_NVRTC_H
#define CU_NVRTC_H

#include "gpu/backend.h"
#include <nvrtc.h>

typedef struct cu_nvrtc {
    void *library;
    nvrtcResult (*create)(nvrtcProgram *, const char *, const char *, int, const char *const *, const char *const *);
    nvrtcResult (*destroy)(nvrtcProgram *);
    nvrtcResult (*compile)(nvrtcProgram, int, const char *const *);
    nvrtcResult (*cubin_size)(nvrtcProgram, size_t *);
    nvrtcResult (*cubin)(nvrtcProgram, char *);
    nvrtcResult (*log_size)(nvrtcProgram, size_t *);
    nvrtcResult (*log)(nvrtcProgram, char *);
    const char *(*error)(nvrtcResult);
} cu_nvrtc;

/* PARTITA_DEVICE_ABSENT when there is no libnvrtc. */
partita_status cu_nvrtc_open(const ptp_host *host, cu_nvrtc *out_nvrtc);
void cu_nvrtc_close(cu_nvrtc *nvrtc);
/* Machine code for compute capability `capability` (80: 8.0); *out_code is freed by host->free. */
partita_status cu_nvrtc_compile(const cu_nvrtc *nvrtc, const ptp_host *host, int capability, const gpu_source *source,
                                void **out_code);

#endif
