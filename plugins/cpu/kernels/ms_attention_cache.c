/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caches of keys and values of com.microsoft's attention: of the operator's type or of few bits, with all that was
 * before or only what a window of it needs.
 */
#include "cpu/kernels/ms_attention.h"

#include <math.h>

/*
 * A cache that keeps a window drops rows only when it is full, as many as let the next ones in without dropping more:
 * so what it holds depends on the number of positions alone, not on the steps in which they came.
 */
int64_t cpu_ms_resident(int64_t total, int64_t room, int64_t window) {
    int64_t step = room - window + 1;
    return total <= room ? total : total - step * ((total - room + step - 1) / step);
}

static int64_t row_bytes(const cpu_ms_item *it, const cpu_tensor *cache, int64_t width) {
    return it->state->cache_bits > 0 ? width * it->state->cache_bits / 8 : width * cpu_size(cache);
}

static float scale_of(const cpu_ms_item *it, const cpu_ms_cache *cache, int64_t column) {
    const cpu_tensor *scales = &it->call->in[cache->scale];
    return ((const float *)scales->data)[scales->count == 1 ? 0 : it->head * cache->width + column];
}

/* Codes of 4 bits are unsigned, the first in the low half of a byte. */
static void row_decode(const cpu_ms_item *it, const cpu_ms_cache *cache, const uint8_t *from, float *to) {
    for (int64_t j = 0; j < cache->width; j++) {
        int32_t code = it->state->cache_bits == 8 ? (int8_t)from[j] : (from[j / 2] >> 4 * (j % 2) & 15) - 8;
        to[j] = (float)code * scale_of(it, cache, j);
    }
}

/* Rounds a row to codes and back; `to` NULL: the codes are not kept. */
static void row_encode(const cpu_ms_item *it, const cpu_ms_cache *cache, float *row, uint8_t *to) {
    bool bytes = it->state->cache_bits == 8;
    float least = bytes ? -128 : -8, most = bytes ? 127 : 7;
    for (int64_t j = 0; j < cache->width; j++) {
        float scale = scale_of(it, cache, j), code = rintf(row[j] / scale);
        code = code >= least ? (code > most ? most : code) : least; /* what is no number as well */
        row[j] = code * scale;
        if (to == NULL) continue;
        if (bytes)
            to[j] = (uint8_t)(int8_t)code;
        else
            to[j / 2] = (uint8_t)(j % 2 == 0 ? (int32_t)code + 8 : to[j / 2] | ((int32_t)code + 8) << 4);
    }
}

/* The image whose cache has old row i of this one. */
static int64_t beam_of(const cpu_ms_item *it, int64_t i) {
    const cpu_tensor *beams = &it->call->in[it->c->beams];
    int64_t width = beams->dims[1];
    return it->batch / width * width + ((const int32_t *)beams->data)[it->batch * beams->dims[2] + i];
}

void cpu_ms_past_load(const cpu_ms_item *it, const cpu_ms_cache *cache, float *rows) {
    const cpu_ms_call *c = it->c;
    if (cache->past == CPU_MS_NONE || it->image.past == 0) return;
    const cpu_tensor *past = &it->call->in[cache->past];
    int64_t head = it->batch * c->kv_heads + it->head, at = cache->past_first + head * c->past_room * cache->width;
    if (c->beams != CPU_MS_NONE) {
        for (int64_t i = 0; i < it->image.past; i++) {
            at = ((beam_of(it, i) * c->kv_heads + it->head) * c->past_room + i) * cache->width;
            cpu_load_floats(past->dtype, past->data, (uint64_t)at, (uint64_t)cache->width, rows + i * cache->width);
        }
        return;
    }
    if (it->state->cache_bits == 0) {
        cpu_load_floats(past->dtype, past->data, (uint64_t)at, (uint64_t)(it->image.past * cache->width), rows);
        return;
    }
    int64_t bytes = row_bytes(it, past, cache->width);
    const uint8_t *from = (const uint8_t *)past->data + head * c->past_room * bytes;
    for (int64_t i = 0; i < it->image.past; i++) row_decode(it, cache, from + i * bytes, rows + i * cache->width);
}

/* The rows of the old cache behind the used ones stay, as they would in one that is written where it lies. */
void cpu_ms_present_store(const cpu_ms_item *it, const cpu_ms_cache *cache, float *rows) {
    const cpu_ms_call *c = it->c;
    const cpu_ms_image *image = &it->image;
    int64_t width = cache->width, head = it->batch * c->kv_heads + it->head, dropped = image->total - image->kept;
    bool writes = cache->present != CPU_MS_NONE, codes = it->state->cache_bits > 0;
    if (!writes && !codes) return;
    const cpu_tensor *out = writes ? &it->call->out[cache->present] : NULL;
    int64_t at = cache->present_first + head * c->present_room * width;
    int64_t bytes = writes ? row_bytes(it, out, width) : 0;
    uint8_t *target =
        writes ? (uint8_t *)out->data + (codes ? head * c->present_room * bytes : at * cpu_size(out)) : NULL;
    for (int64_t i = image->past; codes && i < image->total; i++)
        row_encode(it, cache, rows + i * width, writes && i >= dropped ? target + (i - dropped) * bytes : NULL);
    if (!writes) return;
    int64_t begin = image->past > dropped ? image->past : dropped;
    if (!codes)
        cpu_store_floats(out->dtype, out->data, (uint64_t)(at + (begin - dropped) * width),
                         (uint64_t)((image->total - begin) * width), rows + begin * width);
    int64_t used = image->kept;
    if (cache->past != CPU_MS_NONE) {
        const cpu_tensor *past = &it->call->in[cache->past];
        int64_t first = cache->past_first * (codes ? 0 : cpu_size(past));
        const uint8_t *old = (const uint8_t *)past->data + first + head * c->past_room * bytes;
        if (image->past > dropped) memcpy(target, old + dropped * bytes, (size_t)((image->past - dropped) * bytes));
        int64_t stay = c->past_room < c->present_room ? c->past_room : c->present_room;
        if (!it->state->sliding && stay > used) {
            memcpy(target + used * bytes, old + used * bytes, (size_t)((stay - used) * bytes));
            used = stay;
        }
    }
    memset(target + used * bytes, 0, (size_t)((c->present_room - used) * bytes));
}
