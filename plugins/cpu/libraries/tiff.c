/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TIFF by libtiff, whose own conversion to RGBA knows every kind of sample; of several pictures the first.
 */
#include "cpu/kernels/library.h"

#include <string.h>
#include <tiffio.h>

typedef struct source {
    const uint8_t *bytes;
    uint64_t size, at;
} source;

static tmsize_t on_read(thandle_t handle, void *data, tmsize_t size) {
    source *from = handle;
    uint64_t left = from->at < from->size ? from->size - from->at : 0, n = size > 0 ? (uint64_t)size : 0;
    if (n > left) n = left;
    memcpy(data, from->bytes + (n > 0 ? from->at : 0), n);
    from->at += n;
    return (tmsize_t)n;
}
static tmsize_t on_write(thandle_t handle, void *data, tmsize_t size) {
    (void)handle, (void)data, (void)size;
    return 0;
}
static toff_t on_seek(thandle_t handle, toff_t offset, int whence) {
    source *from = handle;
    from->at = whence == SEEK_SET ? offset : whence == SEEK_CUR ? from->at + offset : from->size + offset;
    return from->at;
}
static int on_close(thandle_t handle) {
    (void)handle;
    return 0;
}
static toff_t on_size(thandle_t handle) { return ((source *)handle)->size; }
static int on_message(TIFF *tiff, void *context, const char *module, const char *format, va_list values) {
    (void)tiff, (void)context, (void)module, (void)format, (void)values;
    return 1; /* said enough: nothing goes to stderr */
}

/* Words of alpha, blue, green and red, from high to low, as four bytes in place. */
static void bytes_of_words(uint8_t *pixels, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        uint32_t word;
        memcpy(&word, pixels + 4 * i, sizeof(word));
        pixels[4 * i] = TIFFGetR(word);
        pixels[4 * i + 1] = TIFFGetG(word);
        pixels[4 * i + 2] = TIFFGetB(word);
        pixels[4 * i + 3] = TIFFGetA(word);
    }
}

static bool read_image(TIFF *tiff, const cpu_image *image) {
    uint32_t width = 0, height = 0;
    char text[1024];
    if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width) || !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height) ||
        width < 1 || height < 1 || (uint64_t)width * height > CPU_IMAGE_MOST || !TIFFRGBAImageOK(tiff, text))
        return false;
    uint8_t *pixels = image->begin(image->context, width, height, 4);
    if (pixels == NULL) return false;
    if (!TIFFReadRGBAImageOriented(tiff, width, height, (uint32_t *)(void *)pixels, ORIENTATION_TOPLEFT, 1))
        return false;
    bytes_of_words(pixels, (uint64_t)width * height);
    return true;
}

static bool decode(const uint8_t *bytes, size_t size, const cpu_image *image) {
    source from = {bytes, size, 0};
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (options == NULL) return false;
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_message, NULL);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_message, NULL);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)(4 * CPU_IMAGE_MOST));
    TIFF *tiff =
        TIFFClientOpenExt("image", "rm", &from, on_read, on_write, on_seek, on_close, on_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    if (tiff == NULL) return false;
    bool good = read_image(tiff, image);
    TIFFClose(tiff);
    return good;
}

CPU_LIBRARY_EXPORT extern const cpu_image_library cpu_library_table;
const cpu_image_library cpu_library_table = {CPU_LIBRARY_VERSION, decode};
