/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JPEG 2000 by OpenJPEG, as a file of boxes or a bare codestream.
 */
#include "cpu/kernels/library.h"

#include <openjpeg.h>
#include <string.h>

typedef struct source {
    const uint8_t *bytes;
    uint64_t size, at;
} source;

static OPJ_SIZE_T on_read(void *data, OPJ_SIZE_T size, void *context) {
    source *from = context;
    uint64_t left = from->size - from->at;
    if (left == 0) return (OPJ_SIZE_T)-1;
    if (size > left) size = left;
    memcpy(data, from->bytes + from->at, size);
    from->at += size;
    return size;
}
static OPJ_OFF_T on_skip(OPJ_OFF_T size, void *context) {
    source *from = context;
    if (size < 0) return -1;
    uint64_t left = from->size - from->at, n = (uint64_t)size > left ? left : (uint64_t)size;
    from->at += n;
    return (OPJ_OFF_T)n;
}
static OPJ_BOOL on_seek(OPJ_OFF_T offset, void *context) {
    source *from = context;
    if (offset < 0 || (uint64_t)offset > from->size) return OPJ_FALSE;
    from->at = (uint64_t)offset;
    return OPJ_TRUE;
}
static void on_message(const char *text, void *context) { (void)text, (void)context; }

static uint8_t clamped(int64_t value) { return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value); }

/* A sample as 8 bits. */
static uint8_t sample_of(const opj_image_comp_t *c, uint64_t x, uint64_t y) {
    uint64_t column = x / c->dx, row = y / c->dy;
    if (column >= c->w) column = c->w - 1;
    if (row >= c->h) row = c->h - 1;
    int64_t value = c->data[row * c->w + column];
    if (c->sgnd) value += INT64_C(1) << (c->prec - 1);
    return clamped(c->prec > 8 ? value >> (c->prec - 8) : value * (INT64_C(1) << (8 - c->prec)));
}

/* Brightness and two differences of colour, as JFIF has them, to red, green and blue. */
static void rgb_of_ycc(uint8_t *p) {
    double y = p[0], cb = p[1] - 128.0, cr = p[2] - 128.0;
    p[0] = clamped((int64_t)(y + 1.402 * cr + 0.5));
    p[1] = clamped((int64_t)(y - 0.344136 * cb - 0.714136 * cr + 0.5));
    p[2] = clamped((int64_t)(y + 1.772 * cb + 0.5));
}

static bool take_pixels(const opj_image_t *from, const cpu_image *image) {
    uint64_t width = from->x1 - from->x0, height = from->y1 - from->y0;
    uint32_t channels = from->numcomps;
    for (uint32_t c = 0; c < channels; c++) {
        const opj_image_comp_t *comp = &from->comps[c];
        if (comp->data == NULL || comp->w < 1 || comp->h < 1 || comp->dx < 1 || comp->dy < 1 || comp->prec < 1 ||
            comp->prec > 31)
            return false;
    }
    uint8_t *pixels = image->begin(image->context, width, height, channels);
    if (pixels == NULL) return false;
    bool ycc = channels >= 3 && (from->color_space == OPJ_CLRSPC_SYCC || from->color_space == OPJ_CLRSPC_EYCC);
    for (uint64_t i = 0; i < width * height; i++) {
        for (uint32_t c = 0; c < channels; c++)
            pixels[i * channels + c] = sample_of(&from->comps[c], i % width, i / width);
        if (ycc) rgb_of_ycc(pixels + i * channels);
    }
    return true;
}

static bool read_image(opj_codec_t *codec, opj_stream_t *stream, const cpu_image *image) {
    opj_dparameters_t parameters;
    opj_image_t *decoded = NULL;
    opj_set_default_decoder_parameters(&parameters);
    opj_set_error_handler(codec, on_message, NULL);
    opj_set_warning_handler(codec, on_message, NULL);
    opj_set_info_handler(codec, on_message, NULL);
    bool good = opj_setup_decoder(codec, &parameters) && opj_read_header(stream, codec, &decoded) && decoded != NULL;
    good = good && decoded->x1 > decoded->x0 && decoded->y1 > decoded->y0 && decoded->numcomps >= 1 &&
           decoded->numcomps <= 4 &&
           (uint64_t)(decoded->x1 - decoded->x0) * (decoded->y1 - decoded->y0) <= CPU_IMAGE_MOST;
    good = good && opj_decode(codec, stream, decoded) && opj_end_decompress(codec, stream);
    good = good && take_pixels(decoded, image);
    if (decoded != NULL) opj_image_destroy(decoded);
    return good;
}

static bool decode(const uint8_t *bytes, size_t size, const cpu_image *image) {
    source from = {bytes, size, 0};
    bool bare = size >= 2 && bytes[0] == 0xff && bytes[1] == 0x4f;
    opj_codec_t *codec = opj_create_decompress(bare ? OPJ_CODEC_J2K : OPJ_CODEC_JP2);
    opj_stream_t *stream = opj_stream_create(1 << 16, OPJ_TRUE);
    bool good = false;
    if (codec != NULL && stream != NULL) {
        opj_stream_set_user_data(stream, &from, NULL);
        opj_stream_set_user_data_length(stream, size);
        opj_stream_set_read_function(stream, on_read);
        opj_stream_set_skip_function(stream, on_skip);
        opj_stream_set_seek_function(stream, on_seek);
        good = read_image(codec, stream, image);
    }
    if (stream != NULL) opj_stream_destroy(stream);
    if (codec != NULL) opj_destroy_codec(codec);
    return good;
}

CPU_LIBRARY_EXPORT extern const cpu_image_library cpu_library_table;
const cpu_image_library cpu_library_table = {CPU_LIBRARY_VERSION, decode};
