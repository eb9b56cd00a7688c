/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds and reads the text in a picture:
 *     ocr --det DETECTOR.onnx --rec RECOGNISER.onnx [--devices LIST] PICTURE.ppm
 * With --demo it does so three times, on one device, on the planner's choice, and cut over three devices.
 */
#include "ocr.h"
#include <stdio.h>
#include <string.h>

#define MAX_LINES 256

typedef struct arguments {
    const char *model_paths[2], *devices, *pins[2], *picture;
    bool demo;
} arguments;

static bool parse(int argc, char **argv, arguments *out) {
    memset(out, 0, sizeof(*out));
    for (int i = 1; i < argc; i++) {
        const char **value = strcmp(argv[i], "--det") == 0        ? &out->model_paths[DETECTOR]
                             : strcmp(argv[i], "--rec") == 0      ? &out->model_paths[RECOGNISER]
                             : strcmp(argv[i], "--devices") == 0  ? &out->devices
                             : strcmp(argv[i], "--det-pins") == 0 ? &out->pins[DETECTOR]
                             : strcmp(argv[i], "--rec-pins") == 0 ? &out->pins[RECOGNISER]
                                                                  : NULL;
        if (strcmp(argv[i], "--demo") == 0)
            out->demo = true;
        else if (value && i + 1 < argc)
            *value = argv[++i];
        else if (!value && argv[i][0] != '-' && !out->picture)
            out->picture = argv[i];
        else
            return false;
    }
    bool pinned = out->pins[DETECTOR] && out->pins[RECOGNISER];
    return out->model_paths[DETECTOR] && out->model_paths[RECOGNISER] && out->picture && (pinned || !out->demo);
}

static int read_once(partita_model *const models[2], const arguments *given, const picture *image) {
    static text_line lines[MAX_LINES];
    reader self;
    bool pinned = given->pins[DETECTOR] && given->pins[RECOGNISER];
    partita_plan_options options = {.size = sizeof(options), .devices = given->devices};
    int count = -1;
    if (reader_open(&self, models, &options, pinned ? given->pins : NULL, image))
        count = reader_read(&self, image, lines, MAX_LINES);
    for (int i = 0; i < count; i++) printf("%s\n", lines[i].text);
    reader_close(&self);
    return count < 0;
}

int main(int argc, char **argv) {
    arguments given;
    if (!parse(argc, argv, &given)) {
        fprintf(stderr,
                "usage: ocr --det MODEL --rec MODEL [--devices LIST] [--det-pins FILE --rec-pins FILE] [--demo] "
                "PICTURE.ppm\n");
        return 1;
    }
    picture image = {0};
    partita_context *context = NULL;
    partita_model *models[2] = {NULL, NULL};
    int code = 1;
    if (!picture_read(given.picture, &image)) return 2;
    partita_status status = partita_context_create(NULL, &context);
    for (int i = 0; i < 2 && status == PARTITA_OK; i++)
        status = partita_model_load_file(context, given.model_paths[i], NULL, &models[i]);
    if (status != PARTITA_OK) {
        fprintf(stderr, "ocr: %s\n", partita_last_error());
        code = partita_status_exit_code(status);
    } else {
        code = given.demo ? demo_run(models, given.pins, &image) : read_once(models, &given, &image);
    }
    partita_model_destroy(models[0]);
    partita_model_destroy(models[1]);
    partita_context_destroy(context);
    picture_deinit(&image);
    return code;
}
