/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image formats that are simple enough to be read here; see library.h for the others and for what decoders do.
 */
#ifndef CPU_KERNELS_IMAGE_H
#define CPU_KERNELS_IMAGE_H

#include "cpu/kernels/library.h"

bool cpu_image_bmp(const uint8_t *bytes, size_t size, const cpu_image *image);
bool cpu_image_pnm(const uint8_t *bytes, size_t size, const cpu_image *image);

#endif
