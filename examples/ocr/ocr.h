/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading text in a picture with the PP-OCR detector and recogniser: the pieces of the example program. Partita is used
 * through its public API alone.
 */
#ifndef EXAMPLES_OCR_OCR_H
#define EXAMPLES_OCR_OCR_H

#include <partita/partita.h>
#include <stdbool.h>

/* RGB, 8 bits each, rows from the top. */
typedef struct picture {
    int width, height;
    unsigned char *pixels; /* [height, width, 3] */
} picture;

/* Reads a binary PPM (P6). False with a message on stderr. */
bool picture_read(const char *path, picture *out_picture);
void picture_deinit(picture *image);
/* Colour at a point between pixels, bilinear, edges repeated. */
void picture_sample(const picture *image, float x, float y, float out_rgb[3]);

/* A text line: a rectangle that may be turned. Corners clockwise from the upper left, in pixels of the picture. */
typedef struct text_box {
    float x[4], y[4];
    float score;
} text_box;

/*
 * Boxes from the detector's map of probabilities [height, width], whose pixel is `scale_x` by `scale_y` pixels of the
 * picture, in reading order. Returns their number, at most `capacity`; -1 when memory is out.
 * As PP-OCR's own post-processing (DB, https://arxiv.org/abs/1911.08947): threshold 0.3, mean score 0.5, unclip 1.6.
 */
int boxes_find(const float *map, int width, int height, float scale_x, float scale_y, text_box *out_boxes,
               int capacity);

typedef struct text_line {
    text_box box;
    char text[512];
    float score;
} text_line;

/* The two models under one choice of devices. */
typedef struct reader {
    partita_model *models[2]; /* detector, recogniser; borrowed */
    partita_session *sessions[2];
    partita_plan *plans[2];
    const char *characters; /* of the recogniser's metadata: one a line; borrowed */
} reader;

enum { DETECTOR = 0, RECOGNISER = 1 };

/* Finds and reads. Returns the number of lines, at most `capacity`; -1 with a message on stderr. */
int reader_read(reader *self, const picture *image, text_line *out_lines, int capacity);
/* Shapes that reader_read will run the detector and, typically, the recogniser at: what plans are priced for. */
void reader_nominal_shapes(const picture *image, int64_t out_detector[4], int64_t out_recogniser[4]);

/* The three runs of the demonstration: 0 when every check holds. */
int demo_run(partita_model *const models[2], const char *const pin_files[2], const picture *image);
/* The pins of a file, "PATTERN=DEVICE" a line; NULL when it cannot be read. Freed with free(), texts and all. */
partita_pin *pins_read(const char *path, uint32_t *out_count);
/* Plans and sessions for both models. False with a message on stderr. */
bool reader_open(reader *self, partita_model *const models[2], const partita_plan_options *options,
                 const char *const pin_files[2], const picture *image);
void reader_close(reader *self);

#endif
