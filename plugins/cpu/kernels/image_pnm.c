/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Portable images: P1 to P6, and the arbitrary map P7. Values are scaled to 8 bits.
 */
#include "cpu/kernels/image.h"

#include <string.h>

typedef struct portable {
    const uint8_t *bytes;
    size_t size, at;
    uint64_t width, height, most;
    uint32_t channels;
} portable;

static bool is_space(uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

static void skip_space(portable *p) {
    while (p->at < p->size && (is_space(p->bytes[p->at]) || p->bytes[p->at] == '#')) {
        if (p->bytes[p->at] == '#')
            while (p->at < p->size && p->bytes[p->at] != '\n' && p->bytes[p->at] != '\r') p->at++;
        else
            p->at++;
    }
}

/* The next decimal number, at most `digits` of it. */
static bool take_number(portable *p, uint32_t digits, uint64_t *out) {
    uint32_t taken = 0;
    skip_space(p);
    *out = 0;
    for (; p->at < p->size && taken < digits && p->bytes[p->at] >= '0' && p->bytes[p->at] <= '9'; p->at++, taken++)
        *out = *out * 10 + (p->bytes[p->at] - '0');
    return taken > 0;
}

static bool take_word(portable *p, const char *word) {
    size_t n = strlen(word);
    if (p->size - p->at <= n || memcmp(p->bytes + p->at, word, n) != 0 || !is_space(p->bytes[p->at + n])) return false;
    p->at += n;
    return true;
}

/* P7: lines of a key and its value, to ENDHDR. */
static bool read_map_header(portable *p) {
    uint64_t depth = 0;
    for (skip_space(p); !take_word(p, "ENDHDR"); skip_space(p)) {
        if (p->at >= p->size) return false;
        uint64_t *value = take_word(p, "WIDTH")    ? &p->width
                          : take_word(p, "HEIGHT") ? &p->height
                          : take_word(p, "DEPTH")  ? &depth
                          : take_word(p, "MAXVAL") ? &p->most
                                                   : NULL;
        if (value != NULL && !take_number(p, 9, value)) return false;
        if (value == NULL)
            while (p->at < p->size && p->bytes[p->at] != '\n') p->at++;
    }
    p->channels = (uint32_t)depth;
    return depth >= 1 && depth <= 4;
}

static uint8_t scaled(uint64_t value, uint64_t most) {
    if (value >= most) return 255;
    return (uint8_t)((value * 510 + most) / (2 * most));
}

static bool read_text(portable *p, bool bits, uint8_t *pixels) {
    for (uint64_t i = 0; i < p->width * p->height * p->channels; i++) {
        uint64_t value;
        if (!take_number(p, bits ? 1 : 9, &value) || value > p->most) return false;
        pixels[i] = bits ? (value != 0 ? 0 : 255) : scaled(value, p->most);
    }
    return true;
}

static bool read_bits(const portable *p, uint8_t *pixels) {
    uint64_t stride = (p->width + 7) / 8;
    if (p->height > (p->size - p->at) / stride) return false;
    for (uint64_t y = 0; y < p->height; y++)
        for (uint64_t x = 0; x < p->width; x++)
            pixels[y * p->width + x] = p->bytes[p->at + y * stride + x / 8] >> (7 - x % 8) & 1 ? 0 : 255;
    return true;
}

static bool read_bytes(const portable *p, uint8_t *pixels) {
    uint64_t count = p->width * p->height * p->channels, each = p->most > 255 ? 2 : 1;
    const uint8_t *in = p->bytes + p->at;
    if (count * each > p->size - p->at) return false;
    for (uint64_t i = 0; i < count; i++)
        pixels[i] = scaled(each == 1 ? in[i] : (uint64_t)in[2 * i] << 8 | in[2 * i + 1], p->most);
    return true;
}

bool cpu_image_pnm(const uint8_t *bytes, size_t size, const cpu_image *image) {
    portable p = {.bytes = bytes, .size = size, .at = 2, .most = 1, .channels = 1};
    uint8_t kind = size > 3 && is_space(bytes[2]) ? bytes[1] : 0;
    if (kind < '1' || kind > '7') return false;
    bool bits = kind == '1' || kind == '4';
    if (kind == '7') {
        if (!read_map_header(&p)) return false;
    } else {
        p.channels = kind == '3' || kind == '6' ? 3 : 1;
        if (!take_number(&p, 9, &p.width) || !take_number(&p, 9, &p.height)) return false;
        if (!bits && !take_number(&p, 9, &p.most)) return false;
    }
    if (p.most < 1 || p.most > 65535 || p.at >= p.size) return false;
    bool text = kind <= '3';
    if (!text && !is_space(bytes[p.at++])) return false; /* one blank before the bytes */
    uint8_t *pixels = image->begin(image->context, p.width, p.height, p.channels);
    if (pixels == NULL) return false;
    return text ? read_text(&p, bits, pixels) : kind == '4' ? read_bits(&p, pixels) : read_bytes(&p, pixels);
}
