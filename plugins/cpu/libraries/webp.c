/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebP by libwebp; of a moving picture nothing.
 */
#include "cpu/kernels/library.h"

#include <webp/decode.h>

static bool decode(const uint8_t *bytes, size_t size, const cpu_image *image) {
    WebPBitstreamFeatures features;
    if (WebPGetFeatures(bytes, size, &features) != VP8_STATUS_OK || features.width < 1 || features.height < 1)
        return false;
    uint64_t width = (uint64_t)features.width, height = (uint64_t)features.height;
    uint32_t channels = features.has_alpha ? 4 : 3;
    if (width * height > CPU_IMAGE_MOST) return false;
    uint8_t *pixels = image->begin(image->context, width, height, channels);
    if (pixels == NULL) return false;
    size_t room = width * height * channels;
    int stride = (int)(width * channels);
    return (channels == 4 ? WebPDecodeRGBAInto : WebPDecodeRGBInto)(bytes, size, pixels, room, stride) != NULL;
}

CPU_LIBRARY_EXPORT extern const cpu_image_library cpu_library_table;
const cpu_image_library cpu_library_table = {CPU_LIBRARY_VERSION, decode};
