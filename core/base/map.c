/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash of bytes, and a map from bytes to numbers with open addressing. The capacity is a power of two and at most
 * three quarters full. Nothing iterates over the map: what it holds never shows its order.
 */
#include "base/base.h"

struct pt_map_slot {
    partita_str key;
    uint64_t hash; /* never 0 in a slot that is taken */
    uint32_t value;
};

static uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 29;
    x *= UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 32);
}

uint64_t pt_hash_bytes(const void *data, size_t size, uint64_t seed) {
    const unsigned char *bytes = data;
    uint64_t hash = mix(seed ^ (uint64_t)size);
    size_t left = size;
    for (; left >= 8; left -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = mix(hash ^ word) + word;
    }
    uint64_t tail = 0;
    for (size_t i = 0; i < left; i++) tail |= (uint64_t)bytes[i] << (8 * i);
    return mix(hash ^ tail) + seed;
}

void pt_map_deinit(pt_map *map) {
    if (!map) return;
    pt_free(map->slots);
    *map = (pt_map){0};
}

static uint64_t key_hash(partita_str key) {
    uint64_t hash = pt_hash_bytes(key.data, key.size, 0);
    return hash ? hash : 1;
}

/* The slot with the key, or the empty one where it would go. The map isn't full. */
static struct pt_map_slot *find(struct pt_map_slot *slots, size_t capacity, partita_str key, uint64_t hash) {
    size_t i = (size_t)hash & (capacity - 1);
    while (slots[i].hash && !(slots[i].hash == hash && pt_str_equal(slots[i].key, key))) i = (i + 1) & (capacity - 1);
    return &slots[i];
}

static bool grow(pt_map *map) {
    size_t capacity = map->capacity ? map->capacity * 2 : 16;
    if (capacity < map->capacity) return false;
    struct pt_map_slot *slots = pt_calloc(capacity, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < map->capacity; i++) {
        struct pt_map_slot *slot = &map->slots[i];
        if (slot->hash) *find(slots, capacity, slot->key, slot->hash) = *slot;
    }
    pt_free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
    return true;
}

bool pt_map_put(pt_map *map, partita_str key, uint32_t value) {
    uint64_t hash = key_hash(key);
    if (map->capacity) {
        struct pt_map_slot *slot = find(map->slots, map->capacity, key, hash);
        if (slot->hash) {
            slot->value = value;
            return true;
        }
    }
    if (map->size >= map->capacity / 4 * 3 && !grow(map)) return false;
    *find(map->slots, map->capacity, key, hash) = (struct pt_map_slot){key, hash, value};
    map->size++;
    return true;
}

uint32_t pt_map_get(const pt_map *map, partita_str key) {
    if (!map->capacity) return PT_NONE;
    const struct pt_map_slot *slot = find(map->slots, map->capacity, key, key_hash(key));
    return slot->hash ? slot->value : PT_NONE;
}
