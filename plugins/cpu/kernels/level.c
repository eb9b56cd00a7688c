/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instructions kernels may use. The compiler's run-time support reads cpuid and what the system saves of the
 * registers, so a level is reported only when both are there.
 */
#include "cpu/kernels/kernel.h"

#include <stdlib.h>

#if defined(__x86_64__)
static uint32_t level_of_machine(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return CPU_LEVEL_BASELINE;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni") &&
        __builtin_cpu_supports("avx512bf16"))
        return CPU_LEVEL_AVX512;
    return CPU_LEVEL_AVX2;
}
#else
static uint32_t level_of_machine(void) { return CPU_LEVEL_BASELINE; }
#endif

uint32_t cpu_level_lower(const char *name, uint32_t level) {
    if (name == NULL) return level;
    if (strcmp(name, "baseline") == 0) return CPU_LEVEL_BASELINE;
    if (strcmp(name, "avx2") == 0 && level > CPU_LEVEL_AVX2) return CPU_LEVEL_AVX2;
    return level;
}

uint32_t cpu_level_detect(void) { return cpu_level_lower(secure_getenv("PARTITA_CPU_LEVEL"), level_of_machine()); }
