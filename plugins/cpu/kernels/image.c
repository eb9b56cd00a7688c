/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ImageDecoder: which format the bytes are, and the decoder's pixels in the channels that are asked for. What cannot be
 * decoded gives an image without pixels, as ONNX has it; a decoder that was left out is an error.
 */
#include "cpu/kernels/image.h"
#include "cpu/kernels/libraries.h"

typedef bool (*decode_fn)(const uint8_t *bytes, size_t size, const cpu_image *image);

/* Formats by their first bytes, '?' standing for any. `own`, or a library. */
typedef struct format {
    const char *start;
    uint32_t length;
    decode_fn own;
    cpu_library library;
} format;
static const format formats[] = {
    {"\x89PNG\r\n\x1a\n", 8, NULL, CPU_LIBRARY_PNG},
    {"\xff\xd8\xff", 3, NULL, CPU_LIBRARY_JPEG},
    {"II*\0", 4, NULL, CPU_LIBRARY_TIFF},
    {"MM\0*", 4, NULL, CPU_LIBRARY_TIFF},
    {"II+\0", 4, NULL, CPU_LIBRARY_TIFF},
    {"MM\0+", 4, NULL, CPU_LIBRARY_TIFF},
    {"RIFF????WEBP", 12, NULL, CPU_LIBRARY_WEBP},
    {"\0\0\0\x0cjP  \r\n\x87\n", 12, NULL, CPU_LIBRARY_JPEG2000},
    {"\xff\x4f\xff\x51", 4, NULL, CPU_LIBRARY_JPEG2000},
    {"BM", 2, cpu_image_bmp, 0},
    {"P?", 2, cpu_image_pnm, 0},
};

enum { RGB, BGR, GRAY };

typedef struct picture {
    const ptp_host *host;
    uint8_t *pixels;
    uint64_t width, height;
    uint32_t channels;
    bool no_memory;
} picture;

static partita_status image_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    uint32_t *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    *out_state = state;
    partita_str name = ptp_attribute_str(node->block, &node->row, "pixel_format");
    *state = ptp_str_is(name, "BGR") ? BGR : ptp_str_is(name, "Grayscale") ? GRAY : RGB;
    if (*state == RGB && name.size > 0 && !ptp_str_is(name, "RGB"))
        return cpu_fail(host, PARTITA_BAD_MODEL, "pixel_format is none of RGB, BGR and Grayscale");
    return PARTITA_OK;
}

static uint8_t *picture_begin(void *context, uint64_t width, uint64_t height, uint32_t channels) {
    picture *p = context;
    if (width < 1 || height < 1 || width > CPU_IMAGE_MOST || height > CPU_IMAGE_MOST ||
        width * height > CPU_IMAGE_MOST || p->pixels != NULL)
        return NULL;
    p->pixels = cpu_alloc(p->host, width * height * channels);
    p->no_memory = p->pixels == NULL;
    p->width = width;
    p->height = height;
    p->channels = channels;
    return p->pixels;
}

static const format *format_of(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        const format *f = &formats[i];
        uint32_t same = 0;
        while (same < f->length && same < size && (f->start[same] == '?' || (uint8_t)f->start[same] == bytes[same]))
            same++;
        if (same == f->length) return f;
    }
    return NULL;
}

/* Brightness by the weights of Rec. 601, in 16 bits of fraction. */
static uint8_t gray_of(const uint8_t *rgb) {
    return (uint8_t)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

static void convert(const picture *p, uint32_t order, uint8_t *out) {
    uint32_t colours = p->channels < 3 ? 1 : 3;
    for (uint64_t i = 0; i < p->width * p->height; i++) {
        const uint8_t *in = p->pixels + i * p->channels;
        uint8_t rgb[3] = {in[0], in[colours / 3], in[colours / 3 * 2]};
        if (order == GRAY) {
            out[i] = gray_of(rgb);
            continue;
        }
        for (uint32_t c = 0; c < 3; c++) out[3 * i + c] = rgb[order == BGR ? 2 - c : c];
    }
}

static partita_status picture_decode(const cpu_call *call, picture *p) {
    const cpu_tensor *in = &call->in[0];
    const cpu_image image = {p, picture_begin};
    const format *f = format_of(in->data, in->count);
    const void *table = NULL;
    if (f == NULL) return PARTITA_OK;
    partita_status status = f->own == NULL ? cpu_library_open(call->host, f->library, &table) : PARTITA_OK;
    if (status != PARTITA_OK) return status;
    decode_fn decode = f->own != NULL ? f->own : ((const cpu_image_library *)table)->decode;
    if (decode(in->data, in->count, &image)) return PARTITA_OK;
    if (p->no_memory) return PARTITA_OUT_OF_MEMORY;
    p->width = p->height = 0;
    return PARTITA_OK;
}

static partita_status image_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    uint32_t order = *(const uint32_t *)call->state;
    picture p = {.host = call->host};
    if (call->in[0].rank != 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "the encoded bytes must be of rank 1");
    partita_status status = picture_decode(call, &p);
    int64_t dims[3] = {(int64_t)p.height, (int64_t)p.width, order == GRAY ? 1 : 3};
    if (status == PARTITA_OK) status = cpu_call_alloc(call, 0, 3, dims);
    if (status == PARTITA_OK && p.width > 0) convert(&p, order, call->out[0].data);
    cpu_free(call->host, p.pixels);
    return status;
}

const cpu_kernel cpu_kernels_image[] = {{.op = "ImageDecoder",
                                         .domain = "",
                                         .since = 20,
                                         .until = CPU_NEWEST,
                                         .types = CPU_TYPE(UINT8),
                                         .reference = true,
                                         .prepare = image_prepare,
                                         .release = cpu_free,
                                         .run = image_run,
                                         .emit = true}};
const uint32_t cpu_kernels_image_count = sizeof(cpu_kernels_image) / sizeof(cpu_kernels_image[0]);
