/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows bitmaps: palettes of 1, 2, 4 and 8 bits, run lengths of 4 and 8, 16 and 32 bits by masks, 24 bits.
 */
#include "cpu/kernels/image.h"

#include <string.h>

enum { PLAIN = 0, RUNS8 = 1, RUNS4 = 2, MASKS = 3, MASKS_ALPHA = 6 };

typedef struct bitmap {
    const uint8_t *bytes;
    size_t size, pixels; /* offset of the pixels */
    uint64_t width, height;
    uint32_t bits, packing, masks[3], colours;
    const uint8_t *palette;
    uint32_t entry; /* bytes of an entry */
    bool top_down;
} bitmap;

static uint32_t number(const bitmap *b, size_t at, uint32_t bytes) {
    uint32_t value = 0;
    for (uint32_t i = 0; i < bytes; i++)
        if (at + i < b->size) value |= (uint32_t)b->bytes[at + i] << (8 * i);
    return value;
}

static bool read_header(bitmap *b) {
    uint32_t header = number(b, 14, 4), used = 0, masks = 0;
    if (b->size < 26 || header > b->size - 14) return false;
    b->pixels = number(b, 10, 4);
    if (header == 12) {
        b->width = number(b, 18, 2);
        b->height = number(b, 20, 2);
        b->bits = number(b, 24, 2);
        b->entry = 3;
    } else if (header >= 40) {
        int32_t width = (int32_t)number(b, 18, 4);
        int64_t height = (int32_t)number(b, 22, 4);
        if (width < 1) return false;
        b->width = (uint64_t)width;
        b->top_down = height < 0;
        b->height = (uint64_t)(height < 0 ? -height : height);
        b->bits = number(b, 28, 2);
        b->packing = number(b, 30, 4);
        b->entry = 4;
        used = number(b, 46, 4);
    } else {
        return false;
    }
    b->masks[0] = b->bits == 16 ? 0x7c00 : 0xff0000;
    b->masks[1] = b->bits == 16 ? 0x03e0 : 0x00ff00;
    b->masks[2] = b->bits == 16 ? 0x001f : 0x0000ff;
    if (b->packing == MASKS || b->packing == MASKS_ALPHA) {
        for (uint32_t i = 0; i < 3; i++) b->masks[i] = number(b, 54 + 4 * i, 4);
        if (header == 40) masks = b->packing == MASKS ? 12 : 16;
    }
    size_t palette = 14 + header + masks;
    b->colours = b->bits <= 8 ? (used > 0 && used < 1u << b->bits ? used : 1u << b->bits) : 0;
    if (palette > b->size || b->pixels > b->size) return false;
    b->palette = b->bytes + palette;
    if (b->colours > (b->size - palette) / b->entry) b->colours = (uint32_t)((b->size - palette) / b->entry);
    return true;
}

static void put_colour(const bitmap *b, uint32_t index, uint8_t *rgb) {
    if (index >= b->colours) return; /* stays black */
    const uint8_t *entry = b->palette + (size_t)index * b->entry;
    for (uint32_t c = 0; c < 3; c++) rgb[c] = entry[2 - c];
}

static uint8_t masked(uint32_t value, uint32_t mask) {
    if (mask == 0) return 0;
    uint32_t shift = (uint32_t)__builtin_ctz(mask), most = mask >> shift;
    return (uint8_t)((uint64_t)((value & mask) >> shift) * 255 / most);
}

static uint8_t *row_of(const bitmap *b, uint8_t *pixels, uint64_t y) {
    return pixels + (b->top_down ? y : b->height - 1 - y) * b->width * 3;
}

static bool read_plain(const bitmap *b, uint8_t *pixels) {
    uint64_t stride = (b->width * b->bits + 31) / 32 * 4, least = (b->width * b->bits + 7) / 8;
    uint64_t left = b->size - b->pixels;
    /* The last row may lack its filling. */
    if ((b->height - 1) * stride + least > left) return false;
    for (uint64_t y = 0; y < b->height; y++) {
        size_t at = b->pixels + y * stride;
        uint8_t *rgb = row_of(b, pixels, y);
        for (uint64_t x = 0; x < b->width; x++, rgb += 3) {
            if (b->bits <= 8) {
                uint64_t bit = x * b->bits;
                uint32_t shift = 8 - b->bits - (uint32_t)(bit % 8);
                put_colour(b, (uint32_t)(b->bytes[at + bit / 8] >> shift) & ((1u << b->bits) - 1), rgb);
            } else if (b->bits == 24) {
                for (uint32_t c = 0; c < 3; c++) rgb[c] = b->bytes[at + 3 * x + 2 - c];
            } else {
                uint32_t value = number(b, at + x * (b->bits / 8), b->bits / 8);
                for (uint32_t c = 0; c < 3; c++) rgb[c] = masked(value, b->masks[c]);
            }
        }
    }
    return true;
}

/* Run lengths: a count and an index (two of 4 bits), or 0 and an escape: end of line, end, a jump, or raw indices. */
static bool read_runs(const bitmap *b, uint8_t *pixels) {
    uint64_t x = 0, y = 0, per = b->packing == RUNS4 ? 2 : 1;
    for (size_t at = b->pixels; at + 2 <= b->size && y < b->height;) {
        uint32_t count = b->bytes[at], what = b->bytes[at + 1];
        at += 2;
        if (count == 0 && what == 0) {
            x = 0;
            y++;
            continue;
        }
        if (count == 0 && what == 1) return true;
        if (count == 0 && what == 2) {
            if (at + 2 > b->size) return false;
            x += b->bytes[at];
            y += b->bytes[at + 1];
            at += 2;
            continue;
        }
        bool raw = count == 0;
        uint64_t n = raw ? what : count, bytes = (n + per - 1) / per;
        if (raw && bytes > b->size - at) return false;
        for (uint64_t i = 0; i < n && x < b->width; i++, x++) {
            uint32_t pair = raw ? b->bytes[at + i / per] : what;
            put_colour(b, per == 1 ? pair : i % 2 == 0 ? pair >> 4 : pair & 15, row_of(b, pixels, y) + 3 * x);
        }
        if (raw) at += bytes + bytes % 2;
    }
    return y >= b->height;
}

bool cpu_image_bmp(const uint8_t *bytes, size_t size, const cpu_image *image) {
    bitmap b = {.bytes = bytes, .size = size};
    if (!read_header(&b) || b.width < 1 || b.height < 1 || b.width > CPU_IMAGE_MOST) return false;
    bool indexed = b.bits == 1 || b.bits == 2 || b.bits == 4 || b.bits == 8;
    bool wide = b.bits == 16 || b.bits == 32;
    bool known = (b.packing == PLAIN && (indexed || wide || b.bits == 24)) || (b.packing == RUNS8 && b.bits == 8) ||
                 (b.packing == RUNS4 && b.bits == 4) || ((b.packing == MASKS || b.packing == MASKS_ALPHA) && wide);
    if (!known) return false;
    uint8_t *pixels = image->begin(image->context, b.width, b.height, 3);
    if (pixels == NULL) return false;
    return b.packing == RUNS8 || b.packing == RUNS4 ? read_runs(&b, pixels) : read_plain(&b, pixels);
}
