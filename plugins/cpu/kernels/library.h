/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kernels want of other projects' libraries. Each is wrapped by a small shared object of plugins/cpu/libraries,
 * which is built where its library is found and opened at first use, so that loading the plugin pays for none.
 */
#ifndef CPU_KERNELS_LIBRARY_H
#define CPU_KERNELS_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The one symbol of each: a table of functions that begins with this number. */
#define CPU_LIBRARY_SYMBOL  "cpu_library_table"
#define CPU_LIBRARY_VERSION 2u
#define CPU_LIBRARY_EXPORT  __attribute__((visibility("default")))

/* Pixels of an encoded image may not be more: a few bytes can claim any size. */
#define CPU_IMAGE_MOST (UINT64_C(1) << 28)

/* Where a decoder puts its pixels: 1 to 4 channels of 8 bits, rows without gaps; of 2 and 4 the last is alpha. */
typedef struct cpu_image {
    void *context;
    /* Memory for an image of this size, zeroed, or NULL. */
    uint8_t *(*begin)(void *context, uint64_t width, uint64_t height, uint32_t channels);
} cpu_image;

typedef struct cpu_image_library {
    uint32_t version;
    /* False when the bytes are no image, or a broken one. */
    bool (*decode)(const uint8_t *bytes, size_t size, const cpu_image *image);
} cpu_image_library;

typedef struct cpu_regex_library {
    uint32_t version;
    /* NULL with a text in `error`. longest: of matches at one place the longest, not the one that is written first. */
    void *(*compile)(const char *pattern, size_t size, bool longest, char *error, size_t error_size);
    bool (*matches)(const void *regex, const char *text, size_t size); /* all of the text */
    /* The first match that begins at `from` or behind it; what lies before is still what the expression looks back at.
     */
    bool (*find)(const void *regex, const char *text, size_t size, size_t from, size_t *out_at, size_t *out_size);
    void (*release)(void *regex);
} cpu_regex_library;

typedef struct cpu_text_library {
    uint32_t version;
    int32_t (*lower)(int32_t point);
    int32_t (*upper)(int32_t point);
} cpu_text_library;

#endif
