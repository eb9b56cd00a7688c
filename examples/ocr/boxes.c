/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the detector's map of probabilities to text boxes: connected regions over a threshold, their smallest turned
 * rectangle, scored by the mean probability, widened by what the detector was trained to shrink.
 */
#include "ocr.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define THRESHOLD     0.3f
#define BOX_THRESHOLD 0.5f
#define UNCLIP        1.6f
#define MIN_SIDE      3.0f

typedef struct point {
    float x, y;
} point;

/* A turned rectangle: centre, unit vector along its width, half width and half height. */
typedef struct turned {
    point centre, along;
    float half_width, half_height;
} turned;

/* Marks the region of 8-neighbours around `start` as visited; returns its pixels in `stack` order. */
static int flood(unsigned char *mask, int width, int height, int start, int *stack) {
    int count = 0, next = 0;
    stack[count++] = start;
    mask[start] = 0;
    while (next < count) {
        int x = stack[next] % width, y = stack[next] / width;
        next++;
        for (int dy = -1; dy <= 1; dy++) {
            for (int dx = -1; dx <= 1; dx++) {
                int nx = x + dx, ny = y + dy;
                if (nx < 0 || ny < 0 || nx >= width || ny >= height || !mask[ny * width + nx]) continue;
                mask[ny * width + nx] = 0;
                stack[count++] = ny * width + nx;
            }
        }
    }
    return count;
}

static float cross(point o, point a, point b) { return (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x); }

static int by_place(const void *a, const void *b) {
    const point *p = a, *q = b;
    return p->x != q->x ? (p->x > q->x) - (p->x < q->x) : (p->y > q->y) - (p->y < q->y);
}

/* Andrew's monotone chain; `points` is sorted in place, `hull` has room for count + 1. */
static int convex_hull(point *points, int count, point *hull) {
    qsort(points, (size_t)count, sizeof(*points), by_place);
    int size = 0;
    for (int pass = 0; pass < 2; pass++) {
        int start = size;
        for (int k = 0; k < count; k++) {
            point p = points[pass ? count - 1 - k : k];
            while (size >= start + 2 && cross(hull[size - 2], hull[size - 1], p) <= 0) size--;
            hull[size++] = p;
        }
        size--;
    }
    return size > 0 ? size : 1;
}

/* The rectangle of least area has a side along an edge of the hull. */
static turned smallest_rectangle(const point *hull, int count) {
    turned best = {hull[0], {1, 0}, 0.5f, 0.5f};
    float best_area = INFINITY;
    for (int i = 0; i < count; i++) {
        point a = hull[i], b = hull[(i + 1) % count];
        float length = hypotf(b.x - a.x, b.y - a.y);
        if (length == 0) continue;
        point u = {(b.x - a.x) / length, (b.y - a.y) / length};
        float low_u = INFINITY, high_u = -INFINITY, low_v = INFINITY, high_v = -INFINITY;
        for (int k = 0; k < count; k++) {
            float pu = hull[k].x * u.x + hull[k].y * u.y, pv = hull[k].y * u.x - hull[k].x * u.y;
            low_u = fminf(low_u, pu), high_u = fmaxf(high_u, pu);
            low_v = fminf(low_v, pv), high_v = fmaxf(high_v, pv);
        }
        float area = (high_u - low_u) * (high_v - low_v);
        if (area >= best_area) continue;
        float cu = (low_u + high_u) / 2, cv = (low_v + high_v) / 2;
        best_area = area;
        best = (turned){{cu * u.x - cv * u.y, cu * u.y + cv * u.x}, u, (high_u - low_u) / 2, (high_v - low_v) / 2};
    }
    return best;
}

/* Turns the description so that `along` points to the right within 45 degrees: width is then the reading direction. */
static turned upright(turned box) {
    for (int i = 0; i < 4 && !(box.along.x >= fabsf(box.along.y)); i++) {
        point u = box.along;
        float half = box.half_width;
        box.along = (point){-u.y, u.x};
        box.half_width = box.half_height;
        box.half_height = half;
    }
    return box;
}

static text_box corners(turned box, float scale_x, float scale_y, float score) {
    static const float sign_u[4] = {-1, 1, 1, -1}, sign_v[4] = {-1, -1, 1, 1};
    text_box out = {.score = score};
    for (int i = 0; i < 4; i++) {
        float u = sign_u[i] * box.half_width, v = sign_v[i] * box.half_height;
        out.x[i] = (box.centre.x + u * box.along.x - v * box.along.y) * scale_x;
        out.y[i] = (box.centre.y + u * box.along.y + v * box.along.x) * scale_y;
    }
    return out;
}

/* Top to bottom; boxes whose tops are less than half a line apart are one line, left to right. */
static int by_reading_order(const void *a, const void *b) {
    const text_box *p = a, *q = b;
    float line = fminf(p->y[3] - p->y[0], q->y[3] - q->y[0]) / 2;
    if (fabsf(p->y[0] - q->y[0]) > line) return p->y[0] < q->y[0] ? -1 : 1;
    return (p->x[0] > q->x[0]) - (p->x[0] < q->x[0]);
}

/* An insertion sort: the order by lines is no total order, which qsort may not be given. */
static void sort_boxes(text_box *boxes, int count) {
    for (int i = 1; i < count; i++)
        for (int k = i; k > 0 && by_reading_order(&boxes[k - 1], &boxes[k]) > 0; k--) {
            text_box swap = boxes[k];
            boxes[k] = boxes[k - 1];
            boxes[k - 1] = swap;
        }
}

/* The threshold, widened by one pixel to the right and down (a dilation by 2x2, as the model's authors use). */
static void threshold_map(const float *map, int width, int height, unsigned char *mask) {
    memset(mask, 0, (size_t)width * (size_t)height);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            if (!(map[y * width + x] > THRESHOLD)) continue;
            for (int dy = 0; dy < 2 && y + dy < height; dy++)
                for (int dx = 0; dx < 2 && x + dx < width; dx++) mask[(y + dy) * width + x + dx] = 1;
        }
}

int boxes_find(const float *map, int width, int height, float scale_x, float scale_y, text_box *out_boxes,
               int capacity) {
    int pixels = width * height, found = 0;
    unsigned char *mask = malloc((size_t)pixels);
    int *stack = malloc((size_t)pixels * sizeof(*stack));
    point *points = malloc(((size_t)pixels + 1) * sizeof(*points)),
          *hull = malloc(((size_t)pixels + 2) * sizeof(*hull));
    if (!mask || !stack || !points || !hull) found = -1;
    if (found == 0) threshold_map(map, width, height, mask);
    for (int start = 0; found >= 0 && start < pixels && found < capacity; start++) {
        if (!mask[start]) continue;
        int count = flood(mask, width, height, start, stack);
        double sum = 0;
        for (int i = 0; i < count; i++) {
            sum += (double)map[stack[i]];
            points[i] = (point){(float)(stack[i] % width), (float)(stack[i] / width)};
        }
        turned box = upright(smallest_rectangle(hull, convex_hull(points, count, hull)));
        float score = (float)(sum / count);
        if (score < BOX_THRESHOLD || 2 * fminf(box.half_width, box.half_height) < MIN_SIDE) continue;
        float area = 4 * box.half_width * box.half_height, perimeter = 4 * (box.half_width + box.half_height);
        float widen = area * UNCLIP / perimeter;
        box.half_width += widen;
        box.half_height += widen;
        out_boxes[found++] = corners(box, scale_x, scale_y, score);
    }
    free(mask);
    free(stack);
    free(points);
    free(hull);
    if (found > 0) sort_boxes(out_boxes, found);
    return found;
}
