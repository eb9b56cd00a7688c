/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arena: blocks of growing size out of which memory is handed in order, and freed at once. Blocks come zeroed, so
 * handing out costs an addition.
 */
#include "base/base.h"

#include <stdio.h>

enum { ALIGNMENT = 16, FIRST_BLOCK = 1024, LARGEST_BLOCK = 1 << 20 };

struct pt_arena_block {
    struct pt_arena_block *next;
    size_t used, capacity; /* of the bytes behind this header */
};

/* The header rounded up, so that what follows is aligned. */
#define HEADER ((sizeof(struct pt_arena_block) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT)

void pt_arena_deinit(pt_arena *arena) {
    if (!arena) return;
    for (struct pt_arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        pt_free(block);
    }
    *arena = (pt_arena){0};
}

static struct pt_arena_block *add_block(pt_arena *arena, size_t bytes) {
    struct pt_arena_block *top = arena->blocks;
    size_t capacity = top ? PT_MIN(top->capacity * 2, (size_t)LARGEST_BLOCK) : FIRST_BLOCK;
    size_t total;
    bool large = bytes > capacity;
    if (large) capacity = bytes;
    if (!pt_add_size(capacity, HEADER, &total)) return NULL;
    struct pt_arena_block *block = pt_calloc(1, total);
    if (!block) return NULL;
    block->capacity = capacity;
    if (large && top) {
        /* A block of its own goes behind the top, whose rest stays in use. */
        block->next = top->next;
        top->next = block;
    } else {
        block->next = top;
        arena->blocks = block;
    }
    return block;
}

void *pt_arena_alloc(pt_arena *arena, size_t bytes) {
    size_t size;
    if (!pt_add_size(bytes ? bytes : 1, ALIGNMENT - 1, &size)) return NULL;
    size -= size % ALIGNMENT;
    struct pt_arena_block *block = arena->blocks;
    if (!block || size > block->capacity - block->used) {
        block = add_block(arena, size);
        if (!block) return NULL;
    }
    char *memory = (char *)block + HEADER + block->used;
    block->used += size;
    arena->bytes += size;
    return memory;
}

void *pt_arena_array(pt_arena *arena, size_t count, size_t bytes) {
    size_t size;
    return pt_mul_size(count, bytes, &size) ? pt_arena_alloc(arena, size) : NULL;
}

partita_str pt_arena_str(pt_arena *arena, partita_str text) {
    size_t size;
    char *copy = pt_add_size(text.size, 1, &size) ? pt_arena_alloc(arena, size) : NULL;
    if (!copy) return (partita_str){NULL, 0};
    if (text.size) memcpy(copy, text.data, text.size);
    return (partita_str){copy, text.size};
}

partita_str pt_arena_printf(pt_arena *arena, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = size < 0 ? NULL : pt_arena_alloc(arena, (size_t)size + 1);
    if (!text) return (partita_str){NULL, 0};
    va_start(arguments, format);
    vsnprintf(text, (size_t)size + 1, format, arguments);
    va_end(arguments);
    return (partita_str){text, (size_t)size};
}
