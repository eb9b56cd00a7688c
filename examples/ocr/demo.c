/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demonstration: the same picture read on one device, on the planner's choice of three, and cut across all three by
 * pins. It fails when the texts differ or when the cut did not do what it claims.
 */
#include "ocr.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MAX_LINES       256
#define DEVICES         "cpu,opencl,vulkan"
#define LEAST_SHARE     0.2 /* of the FLOPs, for each device of the third run */
#define LEAST_CROSSINGS 3   /* edges in each of the six directions, over both models */

static const char *const devices[3] = {"cpu", "opencl", "vulkan"};
static const char *const model_names[2] = {"detector", "recogniser"};

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* "opencl:0" and "opencl" are one device. */
static int device_index(const char *name) {
    for (int i = 0; i < 3; i++) {
        size_t size = strlen(devices[i]);
        if (strncmp(name, devices[i], size) == 0 && (name[size] == '\0' || strcmp(name + size, ":0") == 0)) return i;
    }
    return -1;
}

static void print_plans(const reader *self) {
    for (int i = 0; i < 2; i++) {
        char *text;
        printf("  plan of the %s\n", model_names[i]);
        if (partita_session_explain_print(self->sessions[i], &text) != PARTITA_OK) continue;
        for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) printf("    %s\n", line);
        partita_text_destroy(text);
    }
}

/* What the devices did, over both models. */
typedef struct totals {
    double flops[3], busy_us[3];
    uint64_t launches[3], bytes_moved;
    uint32_t crossings[3][3], imports[3][3];
    uint64_t import_bytes[3][3];
} totals;

static totals sum_up(const reader *self) {
    totals sum = {0};
    for (int i = 0; i < 2; i++) {
        partita_device_usage device = {.size = sizeof(device)};
        for (uint32_t k = 0; partita_session_device(self->sessions[i], k, &device) == PARTITA_OK; k++) {
            int index = device_index(device.device);
            if (index < 0) continue;
            sum.flops[index] += device.flops;
            sum.busy_us[index] += device.busy_us;
            sum.launches[index] += device.launches;
        }
        partita_edge_usage edge = {.size = sizeof(edge)};
        for (uint32_t k = 0; partita_session_edge(self->sessions[i], k, &edge) == PARTITA_OK; k++) {
            int from = device_index(edge.from), to = device_index(edge.to);
            sum.bytes_moved += edge.bytes_moved;
            if (from < 0 || to < 0 || from == to) continue;
            sum.crossings[from][to]++;
            if (strcmp(edge.route, "import") != 0) continue;
            sum.imports[from][to]++;
            sum.import_bytes[from][to] += edge.bytes_moved;
        }
    }
    return sum;
}

static void print_totals(const totals *sum) {
    double all = sum->flops[0] + sum->flops[1] + sum->flops[2];
    for (int i = 0; i < 3; i++) {
        if (sum->launches[i] == 0) continue;
        printf("  %-8s %5.1f %% of the FLOPs, %llu parts run, busy %.1f ms\n", devices[i],
               all > 0 ? 100 * sum->flops[i] / all : 0, (unsigned long long)sum->launches[i], sum->busy_us[i] / 1e3);
    }
    printf("  bytes moved between memories: %llu\n", (unsigned long long)sum->bytes_moved);
}

/* The claims about the third run. Returns the number that do not hold. */
static int check_cut(const totals *sum) {
    int wrong = 0;
    double all = sum->flops[0] + sum->flops[1] + sum->flops[2];
    for (int from = 0; from < 3; from++) {
        if (sum->launches[from] == 0) wrong++, printf("  FAILED: %s did nothing\n", devices[from]);
        if (!(sum->flops[from] >= LEAST_SHARE * all))
            wrong++, printf("  FAILED: %s has less than a fifth of the FLOPs\n", devices[from]);
        for (int to = 0; to < 3; to++) {
            if (from == to) continue;
            printf("  %s -> %s: %u edges, %u of them imported\n", devices[from], devices[to], sum->crossings[from][to],
                   sum->imports[from][to]);
            if (sum->crossings[from][to] < LEAST_CROSSINGS)
                wrong++, printf("  FAILED: fewer than %d edges\n", LEAST_CROSSINGS);
            bool imported = sum->imports[from][to] == sum->crossings[from][to] && sum->import_bytes[from][to] == 0;
            if (from == 0 && !imported) wrong++, printf("  FAILED: not all imported with 0 bytes copied\n");
        }
    }
    return wrong;
}

static int same_text(const text_line *a, int a_count, const text_line *b, int b_count) {
    if (a_count != b_count) return 0;
    for (int i = 0; i < a_count; i++)
        if (strcmp(a[i].text, b[i].text) != 0) return 0;
    return 1;
}

int demo_run(partita_model *const models[2], const char *const pin_files[2], const picture *image) {
    static text_line first[MAX_LINES], lines[MAX_LINES];
    static const struct {
        const char *title, *devices;
        bool pinned;
    } runs[3] = {{"on the CPU", "cpu", false},
                 {"the planner's choice over " DEVICES, DEVICES, false},
                 {"cut over " DEVICES " by pins", DEVICES, true}};
    int first_count = 0, wrong = 0;
    for (int i = 0; i < 3; i++) {
        printf("\n%d. %s\n", i + 1, runs[i].title);
        reader self;
        partita_plan_options options = {.size = sizeof(options), .devices = runs[i].devices, .strict = 1};
        double start = now_ms();
        bool open = reader_open(&self, models, &options, runs[i].pinned ? pin_files : NULL, image);
        double opened = now_ms();
        int count = open ? reader_read(&self, image, lines, MAX_LINES) : -1;
        double read = now_ms();
        if (count < 0) {
            reader_close(&self);
            return 1;
        }
        for (int k = 0; k < count; k++) printf("  \"%s\" (%.2f)\n", lines[k].text, (double)lines[k].score);
        printf("  planned and compiled in %.0f ms, found and read %d lines in %.0f ms\n", opened - start, count,
               read - opened);
        print_plans(&self);
        totals sum = sum_up(&self);
        print_totals(&sum);
        if (i == 0) {
            memcpy(first, lines, sizeof(first));
            first_count = count;
            if (count == 0) wrong++, printf("  FAILED: no text found\n");
        } else if (!same_text(first, first_count, lines, count)) {
            wrong++, printf("  FAILED: the text differs from the first run's\n");
        }
        if (runs[i].pinned) wrong += check_cut(&sum);
        reader_close(&self);
    }
    printf("\n%s\n", wrong ? "the demonstration failed" : "the three runs agree");
    return wrong != 0;
}
