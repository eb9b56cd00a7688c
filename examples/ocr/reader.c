/* SPDX-License-Identifier: Apache-2.0 */
/* The reader: plans and sessions of the two models, the picture in, lines of text out. */
#include "ocr.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SIDE    960 /* of the detector's input */
#define SIDE_STEP   32  /* its sides are multiples of this */
#define LINE_HEIGHT 48  /* of the recogniser's input */
#define LINE_WIDTH  320 /* at least; longer lines are wider */
#define MIN_SCORE   0.5f

static bool failed(const char *what) {
    fprintf(stderr, "ocr: %s: %s\n", what, partita_last_error());
    return false;
}

static int64_t round_side(float side) {
    int64_t steps = (int64_t)(side / SIDE_STEP + 0.5f);
    return (steps < 1 ? 1 : steps) * SIDE_STEP;
}

void reader_nominal_shapes(const picture *image, int64_t out_detector[4], int64_t out_recogniser[4]) {
    float side = (float)(image->width > image->height ? image->width : image->height);
    float scale = side > MAX_SIDE ? MAX_SIDE / side : 1;
    int64_t detector[4] = {1, 3, round_side((float)image->height * scale), round_side((float)image->width * scale)};
    int64_t recogniser[4] = {1, 3, LINE_HEIGHT, LINE_WIDTH};
    memcpy(out_detector, detector, sizeof(detector));
    memcpy(out_recogniser, recogniser, sizeof(recogniser));
}

/* ---- opening --------------------------------------------------------------------------------- */

partita_pin *pins_read(const char *path, uint32_t *out_count) {
    FILE *file = fopen(path, "r");
    if (!file) return NULL;
    /* One block: the rows, and behind them the text they point into. */
    enum { MAX_PINS = 2048, MAX_TEXT = 1 << 18 };
    partita_pin *pins = calloc(1, MAX_PINS * sizeof(*pins) + MAX_TEXT);
    char *text = pins ? (char *)(pins + MAX_PINS) : NULL, *end = text ? text + MAX_TEXT : NULL;
    uint32_t count = 0;
    while (pins && count < MAX_PINS && end - text > 1 && fgets(text, (int)(end - text), file)) {
        text[strcspn(text, "\n")] = '\0';
        char *equals = strrchr(text, '=');
        if (!equals || text[0] == '#') continue;
        *equals = '\0';
        pins[count++] = (partita_pin){text, equals + 1};
        text = equals + 1 + strlen(equals + 1) + 1;
    }
    fclose(file);
    *out_count = count;
    return pins;
}

bool reader_open(reader *self, partita_model *const models[2], const partita_plan_options *options,
                 const char *const pin_files[2], const picture *image) {
    memset(self, 0, sizeof(*self));
    int64_t shapes[2][4];
    reader_nominal_shapes(image, shapes[DETECTOR], shapes[RECOGNISER]);
    self->characters = partita_model_metadata(models[RECOGNISER], "character");
    if (!self->characters) {
        fprintf(stderr, "ocr: the recogniser has no dictionary: metadata key 'character'\n");
        return false;
    }
    for (int i = 0; i < 2; i++) {
        partita_input_shape shape = {partita_model_input(models[i], 0)->name, 4, 0, shapes[i]};
        partita_plan_options plan = *options;
        partita_session_options session = {.size = sizeof(session), .measure = 1};
        partita_pin *pins = NULL;
        plan.shapes = &shape;
        plan.shape_count = 1;
        if (pin_files) {
            pins = pins_read(pin_files[i], &plan.pin_count);
            if (!pins) return fprintf(stderr, "ocr: cannot read %s\n", pin_files[i]), false;
            plan.pins = pins;
        }
        self->models[i] = models[i];
        partita_status status = partita_plan_create(models[i], &plan, &self->plans[i]);
        free(pins);
        if (status != PARTITA_OK) return failed("planning");
        if (partita_session_create(self->plans[i], &session, &self->sessions[i]) != PARTITA_OK)
            return failed("compiling");
    }
    return true;
}

void reader_close(reader *self) {
    for (int i = 0; i < 2; i++) {
        partita_session_destroy(self->sessions[i]);
        partita_plan_destroy(self->plans[i]);
    }
    memset(self, 0, sizeof(*self));
}

/* ---- running --------------------------------------------------------------------------------- */

/* Runs a model with one input [1, 3, height, width]; the first output is the caller's. */
static partita_value *run_model(partita_session *session, float *data, int64_t height, int64_t width) {
    int64_t dims[4] = {1, 3, height, width};
    uint64_t bytes = (uint64_t)(3 * height * width) * sizeof(float);
    partita_value *input = NULL, *output = NULL;
    if (partita_value_create_borrowed(PARTITA_FLOAT32, 4, dims, data, bytes, &input) != PARTITA_OK ||
        partita_session_run(session, NULL, &input, 1, &output, 1) != PARTITA_OK)
        failed("running");
    partita_value_release(input);
    return output;
}

/* Writes the colour at (x, y) as the models want it: planes of blue, green, red, scaled to -1 .. 1. */
static void put_pixel(const picture *image, float x, float y, float *planes, int64_t plane, int64_t at) {
    float rgb[3];
    picture_sample(image, x, y, rgb);
    for (int c = 0; c < 3; c++) planes[c * plane + at] = (rgb[2 - c] / 255 - 0.5f) / 0.5f;
}

static int detect(reader *self, const picture *image, text_box *boxes, int capacity) {
    int64_t shape[4], unused[4];
    reader_nominal_shapes(image, shape, unused);
    int64_t height = shape[2], width = shape[3];
    float scale_x = (float)image->width / (float)width, scale_y = (float)image->height / (float)height;
    float *data = malloc((size_t)(3 * height * width) * sizeof(float));
    if (!data) return -1;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++)
            put_pixel(image, ((float)x + 0.5f) * scale_x - 0.5f, ((float)y + 0.5f) * scale_y - 0.5f, data,
                      height * width, y * width + x);
    partita_value *output = run_model(self->sessions[DETECTOR], data, height, width);
    partita_value_view view = {.size = sizeof(view)};
    int found = -1;
    if (output && partita_value_view_of(output, &view) == PARTITA_OK && view.rank == 4)
        found = boxes_find(view.data, (int)view.dims[3], (int)view.dims[2], (float)image->width / (float)view.dims[3],
                           (float)image->height / (float)view.dims[2], boxes, capacity);
    partita_value_release(output);
    free(data);
    return found;
}

/* Greedy CTC: the best class of each step, repeats and blanks dropped. Class 0 is blank, the last a space. */
static void decode(const char *characters, const float *scores, int64_t steps, int64_t classes, text_line *line) {
    int64_t before = 0;
    size_t size = 0;
    double sum = 0;
    int kept = 0;
    for (int64_t t = 0; t < steps; t++, scores += classes) {
        int64_t best = 0;
        for (int64_t c = 1; c < classes; c++)
            if (scores[c] > scores[best]) best = c;
        bool skip = best == 0 || best == before;
        before = best;
        if (skip) continue;
        const char *character = characters;
        for (int64_t k = 1; k < best && *character; k++) {
            character += strcspn(character, "\n");
            if (*character) character++;
        }
        size_t length = best == classes - 1 ? 1 : strcspn(character, "\n");
        if (size + length + 1 > sizeof(line->text)) break;
        memcpy(line->text + size, best == classes - 1 ? " " : character, length);
        size += length;
        sum += (double)scores[best];
        kept++;
    }
    line->text[size] = '\0';
    line->score = kept ? (float)(sum / kept) : 0;
}

/* Straightens the box into the recogniser's input and reads it. */
static bool recognise(reader *self, const picture *image, text_line *line) {
    const text_box *box = &line->box;
    float across = hypotf(box->x[1] - box->x[0], box->y[1] - box->y[0]);
    float down = hypotf(box->x[3] - box->x[0], box->y[3] - box->y[0]);
    int64_t filled = (int64_t)ceilf(LINE_HEIGHT * across / fmaxf(down, 1));
    int64_t width = filled > LINE_WIDTH ? filled : LINE_WIDTH;
    float *data = calloc((size_t)(3 * LINE_HEIGHT * width), sizeof(float));
    if (!data) return false;
    for (int64_t y = 0; y < LINE_HEIGHT; y++)
        for (int64_t x = 0; x < filled; x++) {
            float u = ((float)x + 0.5f) / (float)filled, v = ((float)y + 0.5f) / LINE_HEIGHT;
            float px = box->x[0] + u * (box->x[1] - box->x[0]) + v * (box->x[3] - box->x[0]);
            float py = box->y[0] + u * (box->y[1] - box->y[0]) + v * (box->y[3] - box->y[0]);
            put_pixel(image, px, py, data, LINE_HEIGHT * width, y * width + x);
        }
    partita_value *output = run_model(self->sessions[RECOGNISER], data, LINE_HEIGHT, width);
    partita_value_view view = {.size = sizeof(view)};
    bool fine = output && partita_value_view_of(output, &view) == PARTITA_OK && view.rank == 3;
    if (fine) decode(self->characters, view.data, view.dims[1], view.dims[2], line);
    partita_value_release(output);
    free(data);
    return fine;
}

int reader_read(reader *self, const picture *image, text_line *out_lines, int capacity) {
    text_box *boxes = calloc((size_t)capacity, sizeof(*boxes));
    int found = boxes ? detect(self, image, boxes, capacity) : -1, kept = 0;
    for (int i = 0; i < found; i++) {
        out_lines[kept].box = boxes[i];
        if (!recognise(self, image, &out_lines[kept]))
            found = -1;
        else if (out_lines[kept].score >= MIN_SCORE && out_lines[kept].text[0])
            kept++;
    }
    free(boxes);
    return found < 0 ? -1 : kept;
}
