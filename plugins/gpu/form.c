/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forms of kernels that must not follow from the dims of a run, since a resize builds no programs: which axes are one,
 * how an input is read, how large a tile is. A part with open dims is planned once, when it is compiled, with a number
 * of its own for each symbol, so that only what holds for all of its values is seen; what was decided then is decided
 * again at each resize, where it fits, which is checked.
 */
#include "gpu/executable.h"

uint64_t gpu_decide(gpu_plan *plan, uint32_t kind, uint64_t value) {
    struct gpu_instance *instance = plan->instance;
    if (!instance || instance->form == GPU_FORM_FREE) return value;
    gpu_array *decisions = &plan->executable->decisions;
    if (instance->form == GPU_FORM_RECORD) {
        gpu_decision *added = gpu_array_add(decisions, plan->device->host, 1, sizeof(*added));
        if (added) *added = (gpu_decision){value, kind};
        instance->lost = instance->lost || !added;
        return value;
    }
    const gpu_decision *at = (const gpu_decision *)decisions->data + instance->decision;
    if (instance->decision >= instance->decision_end || at->kind != kind) return value;
    instance->decision++;
    return at->value;
}

void gpu_decisions_begin(ptp_executable *executable, struct gpu_instance *instance, uint32_t step) {
    gpu_step *steps = executable->steps;
    if (instance->form == GPU_FORM_RECORD) steps[step].first_decision = executable->decisions.count;
    instance->decision = steps[step].first_decision;
    instance->decision_end =
        step < executable->step_count ? steps[step + 1].first_decision : executable->decisions.count;
}

/* ---- axes ------------------------------------------------------------------------------------------------------- */

enum { AXIS_DROP = 0, AXIS_KEEP = 1, AXIS_MERGE = 2 };

/* One number for what becomes of all axes; with `how` NULL by the dims alone, else as `how` says; -1: it does not fit.
 */
static int64_t axes_join(int64_t *dims, int64_t *const *strides, int32_t count, int32_t rank, const uint64_t *how,
                         int32_t *out_rank) {
    uint64_t done = 0;
    int32_t kept = 0;
    for (int32_t d = 0; d < rank; d++) {
        bool merge = kept > 0;
        for (int32_t s = 0; s < count && merge; s++) {
            bool one = how && (dims[d] == 1 || dims[kept - 1] == 1);
            merge = one || strides[s][kept - 1] == strides[s][d] * dims[d];
        }
        uint64_t action = how ? *how >> (2 * d) & 3u : dims[d] == 1 ? AXIS_DROP : merge ? AXIS_MERGE : AXIS_KEEP;
        if ((action == AXIS_DROP && dims[d] != 1) || (action == AXIS_MERGE && !merge)) return -1;
        done |= action << (2 * d);
        if (action == AXIS_DROP) continue;
        bool whole = action == AXIS_KEEP || dims[d] != 1; /* an axis of 1 adds nothing to the one it joins */
        if (action == AXIS_KEEP)
            dims[kept++] = dims[d];
        else
            dims[kept - 1] *= dims[d];
        for (int32_t s = 0; s < count && whole; s++) strides[s][kept - 1] = strides[s][d];
    }
    if (kept == 0) {
        dims[0] = 1;
        for (int32_t s = 0; s < count; s++) strides[s][0] = 0;
        kept = 1;
    }
    *out_rank = kept;
    return (int64_t)done;
}

int32_t gpu_collapse(gpu_plan *plan, int64_t *dims, int64_t *const *strides, int32_t count, int32_t rank) {
    int64_t trial[16], copies[GPU_MAX_BINDINGS][16], *lists[GPU_MAX_BINDINGS] = {0};
    int32_t joined = rank;
    memcpy(trial, dims, (size_t)rank * sizeof(*dims));
    for (int32_t s = 0; s < count; s++) {
        memcpy(copies[s], strides[s], (size_t)rank * sizeof(*dims));
        lists[s] = copies[s];
    }
    uint64_t own = (uint64_t)axes_join(trial, lists, count, rank, NULL, &joined);
    uint64_t how = plan ? gpu_decide(plan, GPU_DECIDE_AXES, own) : own;
    if (how != own) {
        int64_t again[16];
        memcpy(again, dims, (size_t)rank * sizeof(*dims));
        for (int32_t s = 0; s < count; s++) memcpy(copies[s], strides[s], (size_t)rank * sizeof(*dims));
        if (axes_join(again, lists, count, rank, &how, &joined) >= 0) {
            memcpy(trial, again, sizeof(trial));
        } else {
            for (int32_t s = 0; s < count; s++) memcpy(copies[s], strides[s], (size_t)rank * sizeof(*dims));
            memcpy(trial, dims, (size_t)rank * sizeof(*dims));
            axes_join(trial, lists, count, rank, NULL, &joined);
        }
    }
    memcpy(dims, trial, (size_t)joined * sizeof(*dims));
    for (int32_t s = 0; s < count; s++) memcpy(strides[s], copies[s], (size_t)joined * sizeof(*dims));
    return joined;
}

/* ---- numbers for symbols ---------------------------------------------------------------------------------------- */

static bool is_prime(int64_t n) {
    for (int64_t d = 2; d * d <= n; d++) {
        if (n % d == 0) return false;
    }
    return n > 1;
}

/* A symbol's name, where the block holds it, and its number. */
typedef struct numbered {
    uint32_t name;
    int64_t number;
} numbered;

static bool is_taken(const gpu_array *table, int64_t number) {
    const numbered *rows = table->data;
    for (uint32_t i = 0; i < table->count; i++) {
        if (rows[i].number == number) return true;
    }
    return false;
}

/* A prime of its own, a little above the nominal value, so that thresholds are where they would be. 0: no memory. */
static int64_t number_of(const ptp_host *host, gpu_array *table, ptp_ref name, int64_t nominal) {
    const numbered *rows = table->data;
    for (uint32_t i = 0; i < table->count && name.count > 0; i++) {
        if (rows[i].name == name.offset) return rows[i].number;
    }
    int64_t number = nominal < 2 ? 2 : nominal > 1 << 20 ? 1 << 20 : nominal;
    while (!is_prime(number) || is_taken(table, number)) number++;
    numbered *added = gpu_array_add(table, host, 1, sizeof(*added));
    if (!added) return 0;
    *added = (numbered){name.count > 0 ? name.offset : 0, number};
    return number;
}

partita_status gpu_form_shapes(const ptp_executable *executable, ptp_shape *out_shapes, int64_t *dims, bool *out_open) {
    const ptp_host *host = executable->device->host;
    const ptp_block *block = executable->block;
    gpu_array table = {0};
    partita_status status = PARTITA_OK;
    *out_open = false;
    for (uint32_t row = 0; row < executable->value_count && status == PARTITA_OK; row++) {
        ptp_value_row value = ptp_value_at(block, row);
        const int64_t *declared = ptp_ref_data(block, value.dims), *nominal = ptp_ref_data(block, value.nominal);
        const ptp_ref *names = ptp_ref_data(block, value.dim_names);
        out_shapes[row] = (ptp_shape){.rank = value.rank, .dims = dims};
        for (int32_t d = 0; d < value.rank && status == PARTITA_OK; d++) {
            *dims = declared[d];
            if (*dims < 0) {
                *out_open = true;
                *dims = number_of(host, &table, d < (int32_t)value.dim_names.count ? names[d] : (ptp_ref){0, 0},
                                  d < (int32_t)value.nominal.count ? nominal[d] : 16);
            }
            if (*dims++ == 0 && declared[d] < 0) status = PARTITA_OUT_OF_MEMORY;
        }
    }
    gpu_array_free(&table, host);
    return status;
}
