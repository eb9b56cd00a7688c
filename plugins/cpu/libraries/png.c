/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PNG by libpng: palettes and few bits become 8-bit channels, of 16 bits the upper 8 stay.
 */
#include "cpu/kernels/library.h"

#include <png.h>
#include <setjmp.h>
#include <string.h>

typedef struct source {
    const uint8_t *bytes;
    size_t left;
} source;

static void on_read(png_structp png, png_bytep data, size_t size) {
    source *from = png_get_io_ptr(png);
    if (size > from->left) png_error(png, "cut off");
    memcpy(data, from->bytes, size);
    from->bytes += size;
    from->left -= size;
}

static void on_error(png_structp png, png_const_charp text) {
    (void)text;
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) { (void)png, (void)text; }

static bool read_image(png_structp png, png_infop info, const cpu_image *image) {
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
    png_read_info(png, info);
    uint64_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    if (width * height > CPU_IMAGE_MOST) return false;
    png_set_expand(png);
    png_set_strip_16(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    uint32_t channels = png_get_channels(png, info);
    if (channels < 1 || channels > 4 || png_get_rowbytes(png, info) != width * channels) return false;
    uint8_t *pixels = image->begin(image->context, width, height, channels);
    if (pixels == NULL) return false;
    for (int pass = 0; pass < passes; pass++)
        for (uint64_t y = 0; y < height; y++) png_read_row(png, pixels + y * width * channels, NULL);
    return true;
}

static bool decode(const uint8_t *bytes, size_t size, const cpu_image *image) {
    source from = {bytes, size};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, on_error, on_warning);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    volatile bool good = false;
    if (info != NULL && setjmp(png_jmpbuf(png)) == 0) {
        png_set_read_fn(png, &from, on_read);
        good = read_image(png, info, image);
    }
    png_destroy_read_struct(&png, &info, NULL);
    return good;
}

CPU_LIBRARY_EXPORT extern const cpu_image_library cpu_library_table;
const cpu_image_library cpu_library_table = {CPU_LIBRARY_VERSION, decode};
