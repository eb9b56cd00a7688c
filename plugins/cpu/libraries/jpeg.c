/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JPEG by libjpeg-turbo, with its exact transform and the smooth upsampling that ONNX asks for, which are its defaults.
 */
#include "cpu/kernels/library.h"

#include <stdio.h> /* before jpeglib.h, which needs it */

#include <jpeglib.h>

#include <jerror.h>
#include <setjmp.h>

#define SCANS 500 /* of a progressive image: more are an attack */

typedef struct decoder {
    struct jpeg_decompress_struct jpeg; /* first: what callbacks get */
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf back;
} decoder;

static void on_error(j_common_ptr jpeg) { longjmp(((decoder *)jpeg)->back, 1); }
static void on_message(j_common_ptr jpeg) { (void)jpeg; }
/* Of the warnings only the one that data ends early counts: the rest of the picture would be made up. */
static void on_level(j_common_ptr jpeg, int level) {
    if (level < 0 && jpeg->err->msg_code == JWRN_JPEG_EOF) jpeg->err->num_warnings++;
}
static void on_progress(j_common_ptr jpeg) {
    if (((decoder *)jpeg)->jpeg.input_scan_number > SCANS) on_error(jpeg);
}

/* Ink to light. Adobe writes ink turned around, which the numbers then are already. */
static void rgb_of_cmyk(const uint8_t *ink, uint64_t count, bool turned, uint8_t *rgb) {
    for (uint64_t i = 0; i < count; i++) {
        uint32_t k = turned ? ink[4 * i + 3] : 255u - ink[4 * i + 3];
        for (uint32_t c = 0; c < 3; c++) {
            uint32_t v = (turned ? ink[4 * i + c] : 255u - ink[4 * i + c]) * k + 128;
            rgb[3 * i + c] = (uint8_t)((v + (v >> 8)) >> 8);
        }
    }
}

static bool read_image(decoder *d, const uint8_t *bytes, size_t size, const cpu_image *image) {
    struct jpeg_decompress_struct *jpeg = &d->jpeg;
    jpeg_mem_src(jpeg, bytes, (unsigned long)size);
    jpeg_read_header(jpeg, TRUE);
    bool ink = jpeg->num_components == 4, gray = jpeg->num_components == 1;
    jpeg->out_color_space = ink ? JCS_CMYK : gray ? JCS_GRAYSCALE : JCS_RGB;
    uint64_t width = jpeg->image_width, height = jpeg->image_height;
    uint32_t channels = gray ? 1 : 3;
    if (width * height > CPU_IMAGE_MOST) return false;
    uint8_t *pixels = image->begin(image->context, width, height, channels);
    if (pixels == NULL) return false;
    jpeg_start_decompress(jpeg);
    JSAMPARRAY row = jpeg->mem->alloc_sarray((j_common_ptr)jpeg, JPOOL_IMAGE, (JDIMENSION)(width * 4), 1);
    for (uint64_t y = 0; y < height; y++) {
        JSAMPROW target = pixels + y * width * channels;
        jpeg_read_scanlines(jpeg, ink ? row : &target, 1);
        if (ink) rgb_of_cmyk(row[0], width, jpeg->saw_Adobe_marker, target);
    }
    jpeg_finish_decompress(jpeg);
    return jpeg->err->num_warnings == 0;
}

static bool decode(const uint8_t *bytes, size_t size, const cpu_image *image) {
    decoder d = {0};
    volatile bool good = false;
    d.jpeg.err = jpeg_std_error(&d.errors);
    d.errors.error_exit = on_error;
    d.errors.output_message = on_message;
    d.errors.emit_message = on_level;
    if (setjmp(d.back) == 0) {
        jpeg_create_decompress(&d.jpeg);
        d.progress.progress_monitor = on_progress;
        d.jpeg.progress = &d.progress;
        good = read_image(&d, bytes, size, image);
    }
    jpeg_destroy_decompress(&d.jpeg);
    return good;
}

CPU_LIBRARY_EXPORT extern const cpu_image_library cpu_library_table;
const cpu_image_library cpu_library_table = {CPU_LIBRARY_VERSION, decode};
