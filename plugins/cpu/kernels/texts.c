/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strings as a kernel makes them: their bytes behind each other, and where each ends.
 */
#include "cpu/kernels/texts.h"

static void *grow(cpu_texts *t, void *old, uint64_t used, uint64_t bytes) {
    void *block = cpu_alloc(t->host, bytes);
    if (block == NULL)
        t->failed = true;
    else if (used > 0)
        memcpy(block, old, used);
    cpu_free(t->host, old);
    return block;
}

void cpu_texts_put(cpu_texts *t, const char *bytes, uint64_t size) {
    if (t->failed || size == 0) return;
    if (t->size + size > t->size_room) {
        t->size_room = 2 * (t->size + size) + 256;
        t->bytes = grow(t, t->bytes, t->size, t->size_room);
        if (t->failed) return;
    }
    memcpy(t->bytes + t->size, bytes, size);
    t->size += size;
}

void cpu_texts_end(cpu_texts *t) {
    if (t->failed) return;
    if (t->count + 2 > t->count_room) {
        t->count_room = 2 * t->count + 64;
        t->offsets = grow(t, t->offsets, (t->count > 0 ? t->count + 1 : 0) * sizeof(*t->offsets),
                          t->count_room * sizeof(*t->offsets));
        if (t->failed) return;
    }
    t->offsets[++t->count] = t->size;
}

void cpu_texts_add(cpu_texts *t, const char *bytes, uint64_t size) {
    cpu_texts_put(t, bytes, size);
    cpu_texts_end(t);
}

partita_status cpu_texts_give(const cpu_call *call, cpu_texts *t, uint32_t rank, const int64_t *dims) {
    static const uint64_t nothing = 0;
    const ptp_host *host = call->host;
    ptp_value *value = NULL;
    if (t->failed) return PARTITA_OUT_OF_MEMORY;
    partita_status status = host->value_new_strings(host->self, rank, dims, t->offsets != NULL ? t->offsets : &nothing,
                                                    t->bytes != NULL ? t->bytes : "", &value);
    if (status == PARTITA_OK) status = cpu_call_set(call, 0, value);
    if (value != NULL) host->value_release(host->self, value);
    return status;
}

void cpu_texts_free(cpu_texts *t) {
    cpu_free(t->host, t->offsets);
    cpu_free(t->host, t->bytes);
}
