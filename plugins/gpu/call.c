/* SPDX-License-Identifier: Apache-2.0 */
/* Putting one launch together: macros, bindings, params and grid. */
#include "gpu/gpu.h"
#include <stdarg.h>
#include <stdio.h>

void gpu_call_init(gpu_call *call, const char *kernel) {
    call->kernel = kernel;
    call->body = NULL;
    call->defines[0] = 0;
    call->defines_size = 0;
    call->binding_count = 0;
    call->param_count = 0;
    call->fused = call->overflow = false;
    call->wide = 0;
    for (int d = 0; d < 3; d++) call->local[d] = call->groups[d] = 1;
}

static void define_append(gpu_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void define_append(gpu_call *call, const char *format, ...) {
    size_t room = sizeof(call->defines) - call->defines_size;
    va_list list;
    va_start(list, format);
    int n = vsnprintf(call->defines + call->defines_size, room, format, list);
    va_end(list);
    if (n < 0 || (size_t)n >= room)
        call->overflow = true;
    else
        call->defines_size += (uint32_t)n;
}

void gpu_define(gpu_call *call, const char *name, int64_t value) {
    define_append(call, "#define %s %lld\n", name, (long long)value);
}

void gpu_define_text(gpu_call *call, const char *name, const char *text) {
    define_append(call, "#define %s %s\n", name, text);
}

void gpu_define_type(gpu_call *call, partita_dtype dtype) {
    const gpu_type *type = gpu_type_of(dtype);
    if (!type || !type->computed) {
        call->overflow = true;
        return;
    }
    define_append(call, "#define S %s\n#define T %s\n#define T_FLOAT %d\n#define T_SIGNED %d\n", type->stored,
                  type->computed, type->letter == 'F', type->computed[0] != 'u');
}

void gpu_define_word(gpu_call *call, partita_dtype dtype) {
    const gpu_type *type = gpu_type_of(dtype);
    if (!type)
        call->overflow = true;
    else
        define_append(call, "#define S %s\n", gpu_word_of(type->bytes));
}

void gpu_bind(gpu_call *call, gpu_ref ref) {
    if (call->binding_count == GPU_MAX_BINDINGS)
        call->overflow = true;
    else
        call->bindings[call->binding_count++] = ref;
}

static void param_append(gpu_call *call, uint32_t word) {
    if (call->param_count == GPU_MAX_PARAMS)
        call->overflow = true;
    else
        call->params[call->param_count++] = word;
}

void gpu_param(gpu_call *call, int64_t value) {
    if (value > (int64_t)UINT32_MAX || value < -GPU_MAX_ELEMENTS) call->wide = value;
    param_append(call, (uint32_t)value);
}

void gpu_param_float(gpu_call *call, float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof(word));
    param_append(call, word);
}

/* n / d = (mul_hi(n, m) + n) >> s with s = ceil(log2 d), m = floor(2^32 (2^s - d) / d) + 1, for n below 2^31. */
void gpu_param_divisor(gpu_call *call, int64_t divisor) {
    if (divisor < 1) divisor = 1;
    if (divisor > GPU_MAX_ELEMENTS) {
        call->wide = divisor;
        divisor = 1;
    }
    uint32_t shift = 0;
    while (shift < 31 && (1ll << shift) < divisor) shift++;
    uint64_t multiplier = ((1ull << 32) * ((1ull << shift) - (uint64_t)divisor)) / (uint64_t)divisor + 1;
    gpu_param(call, divisor);
    param_append(call, (uint32_t)multiplier);
    param_append(call, shift);
}

/* Spreads `groups` over x and y, since x alone may be bounded at 65,535. */
static void groups_spread(const gpu_device *device, gpu_call *call, uint64_t groups) {
    uint64_t limit = device->caps.max_groups[0] ? device->caps.max_groups[0] : 65535;
    uint64_t x = groups < limit ? groups : 32768;
    uint64_t y = x ? (groups + x - 1) / x : 0;
    if (groups > UINT32_MAX) call->wide = groups > INT64_MAX ? INT64_MAX : (int64_t)groups;
    call->groups[0] = (uint32_t)x;
    call->groups[1] = (uint32_t)y;
    call->groups[2] = 1;
}

void gpu_grid_linear(const gpu_device *device, gpu_call *call, uint64_t n, uint32_t local) {
    call->local[0] = local;
    call->local[1] = call->local[2] = 1;
    groups_spread(device, call, (n + local - 1) / local);
}

void gpu_grid_rows(gpu_plan *plan, gpu_call *call, uint64_t rows, uint64_t length) {
    const gpu_device *device = plan->device;
    /* a group's shared memory holds a word of 8 bytes per work-item */
    bool able = (device->caps.features & GPU_ON_CPU) == 0 && device->caps.shared_bytes >= 128 * 8;
    bool cooperative = able && gpu_decide(plan, GPU_DECIDE_ROWS, length >= 64);
    gpu_define(call, "COOPERATIVE", cooperative);
    if (!cooperative) {
        gpu_grid_linear(device, call, rows, device->caps.features & GPU_ON_CPU ? 8 : 64);
        return;
    }
    call->local[0] = 128 <= device->caps.max_group ? 128 : 64;
    call->local[1] = call->local[2] = 1;
    groups_spread(device, call, rows);
}

void gpu_grid(gpu_call *call, const uint32_t local[3], uint64_t x, uint64_t y, uint64_t z) {
    const uint64_t items[3] = {x, y, z};
    for (int d = 0; d < 3; d++) {
        uint64_t groups = (items[d] + local[d] - 1) / local[d];
        if (groups > UINT32_MAX) call->wide = groups > INT64_MAX ? INT64_MAX : (int64_t)groups;
        call->local[d] = local[d];
        call->groups[d] = (uint32_t)groups;
    }
}
