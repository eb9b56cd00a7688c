/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures: binary PPM in, colours between pixels out. */
#include "ocr.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The next number of a PPM's head; comments run from # to the end of the line. */
static int read_number(FILE *file) {
    int c = fgetc(file), value = 0;
    while (isspace(c) || c == '#') {
        if (c == '#')
            while (c != '\n' && c != EOF) c = fgetc(file);
        c = fgetc(file);
    }
    if (!isdigit(c)) return -1;
    for (; isdigit(c) && value < 1 << 24; c = fgetc(file)) value = value * 10 + (c - '0');
    return value;
}

bool picture_read(const char *path, picture *out_picture) {
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "ocr: %s: %s\n", path, strerror(errno));
        return false;
    }
    memset(out_picture, 0, sizeof(*out_picture));
    bool fine = fgetc(file) == 'P' && fgetc(file) == '6';
    int width = fine ? read_number(file) : -1, height = fine ? read_number(file) : -1;
    fine = width > 0 && height > 0 && width <= 16384 && height <= 16384 && read_number(file) == 255;
    size_t bytes = fine ? (size_t)width * (size_t)height * 3 : 0;
    unsigned char *pixels = fine ? malloc(bytes) : NULL;
    fine = pixels && fread(pixels, 1, bytes, file) == bytes;
    fclose(file);
    if (!fine) {
        fprintf(stderr, "ocr: %s is no whole binary PPM of 8 bits, at most 16384 pixels wide and high\n", path);
        free(pixels);
        return false;
    }
    *out_picture = (picture){width, height, pixels};
    return true;
}

void picture_deinit(picture *image) {
    free(image->pixels);
    image->pixels = NULL;
}

static int clamp(int value, int high) { return value < 0 ? 0 : value > high ? high : value; }

void picture_sample(const picture *image, float x, float y, float out_rgb[3]) {
    int left = (int)x - (x < 0), top = (int)y - (y < 0);
    float fx = x - (float)left, fy = y - (float)top;
    const unsigned char *rows[2];
    int columns[2];
    for (int i = 0; i < 2; i++) {
        rows[i] = image->pixels + (size_t)clamp(top + i, image->height - 1) * (size_t)image->width * 3;
        columns[i] = clamp(left + i, image->width - 1) * 3;
    }
    for (int c = 0; c < 3; c++) {
        float upper = (float)rows[0][columns[0] + c] * (1 - fx) + (float)rows[0][columns[1] + c] * fx;
        float lower = (float)rows[1][columns[0] + c] * (1 - fx) + (float)rows[1][columns[1] + c] * fx;
        out_rgb[c] = upper * (1 - fy) + lower * fy;
    }
}
