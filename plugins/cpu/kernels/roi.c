/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RoiAlign and MaxRoiPool, in double.
 */
#include "cpu/kernels/reference.h"

typedef struct roi_state {
    bool maximum, half_pixel;
    int64_t height, width, sampling;
    double scale;
} roi_state;

static partita_status roi_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    cpu_ints pooled;
    partita_status status = cpu_ints_attr(node, host, "pooled_shape", &pooled);
    roi_state *state = cpu_alloc(host, sizeof(*state));
    *out_state = state;
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->maximum = cpu_attr_is(node, "mode", "max");
    /* Before version 16 there was no shift by half a pixel. */
    state->half_pixel =
        node->row.since >= 16 && !cpu_attr_is(node, "coordinate_transformation_mode", "output_half_pixel");
    state->height = pooled.count == 2 ? pooled.at[0] : cpu_attr_int(node, "output_height", 1);
    state->width = pooled.count == 2 ? pooled.at[1] : cpu_attr_int(node, "output_width", 1);
    state->sampling = cpu_attr_int(node, "sampling_ratio", 0);
    state->scale = (double)cpu_attr_float(node, "spatial_scale", 1);
    return status;
}

/* One corner of a bilinear sample: its weight and place; what lies outside by more than a pixel counts 0. */
static double sample(const roi_state *state, const double *plane, int64_t rows, int64_t columns, double y, double x,
                     double so_far, bool first) {
    double sum = 0, most = -INFINITY;
    if (!(y >= -1 && y <= (double)rows && x >= -1 && x <= (double)columns)) /* a NaN is outside */
        return state->maximum ? (first ? 0 : fmax(so_far, 0)) : so_far;
    y = y < 0 ? 0 : y;
    x = x < 0 ? 0 : x;
    int64_t y0 = (int64_t)y, x0 = (int64_t)x;
    if (y0 >= rows - 1) y = (double)(y0 = rows - 1);
    if (x0 >= columns - 1) x = (double)(x0 = columns - 1);
    int64_t y1 = y0 + 1 < rows ? y0 + 1 : rows - 1, x1 = x0 + 1 < columns ? x0 + 1 : columns - 1;
    double fy = y - (double)y0, fx = x - (double)x0;
    double parts[4] = {(1 - fy) * (1 - fx) * plane[y0 * columns + x0], (1 - fy) * fx * plane[y0 * columns + x1],
                       fy * (1 - fx) * plane[y1 * columns + x0], fy * fx * plane[y1 * columns + x1]};
    for (uint32_t i = 0; i < 4; i++) {
        sum += parts[i];
        most = fmax(most, parts[i]);
    }
    if (!state->maximum) return so_far + sum;
    return first ? most : fmax(so_far, most);
}

/* Samples of one bin in a direction, and in all: more is no sampling of a picture, and would never end. */
#define GRID_MAX (1 << 20)
static int64_t grid_of(const roi_state *state, double size) {
    if (state->sampling > 0) return state->sampling < GRID_MAX ? state->sampling : GRID_MAX + 1;
    return size > 0 ? (int64_t)fmin(ceil(size), GRID_MAX + 1) : 0;
}

/* False when a bin would have more than GRID_MAX samples. */
static bool align_bins(const roi_state *state, const double *plane, int64_t rows, int64_t columns, const double *roi,
                       double *y) {
    double shift = state->half_pixel ? 0.5 : 0;
    double left = roi[0] * state->scale - shift, top = roi[1] * state->scale - shift;
    double width = roi[2] * state->scale - shift - left, height = roi[3] * state->scale - shift - top;
    if (!state->half_pixel) {
        width = fmax(width, 1);
        height = fmax(height, 1);
    }
    double bin_height = height / (double)state->height, bin_width = width / (double)state->width;
    int64_t grid_rows = grid_of(state, bin_height), grid_columns = grid_of(state, bin_width);
    if (grid_rows * grid_columns > GRID_MAX) return false;
    double count = (double)(grid_rows > 0 && grid_columns > 0 ? grid_rows * grid_columns : 1);
    for (int64_t bin = 0; bin < state->height * state->width; bin++) {
        double result = 0;
        for (int64_t g = 0; g < grid_rows * grid_columns; g++) {
            double at_y = top + (double)(bin / state->width) * bin_height +
                          ((double)(g / grid_columns) + 0.5) * bin_height / (double)grid_rows;
            double at_x = left + (double)(bin % state->width) * bin_width +
                          ((double)(g % grid_columns) + 0.5) * bin_width / (double)grid_columns;
            result = sample(state, plane, rows, columns, at_y, at_x, result, g == 0);
        }
        y[bin] = state->maximum ? result : result / count;
    }
    return true;
}

static void pool_bins(const roi_state *state, const double *plane, int64_t rows, int64_t columns, const double *roi,
                      double *y) {
    double left = round(roi[0] * state->scale), top = round(roi[1] * state->scale);
    double width = fmax(round(roi[2] * state->scale) - left + 1, 1),
           height = fmax(round(roi[3] * state->scale) - top + 1, 1);
    double bin_height = height / (double)state->height, bin_width = width / (double)state->width;
    for (int64_t bin = 0; bin < state->height * state->width; bin++) {
        double row = (double)(bin / state->width), column = (double)(bin % state->width), most = -INFINITY;
        int64_t y0 = (int64_t)fmin(fmax(floor(row * bin_height) + top, 0), (double)rows);
        int64_t y1 = (int64_t)fmin(fmax(ceil((row + 1) * bin_height) + top, 0), (double)rows);
        int64_t x0 = (int64_t)fmin(fmax(floor(column * bin_width) + left, 0), (double)columns);
        int64_t x1 = (int64_t)fmin(fmax(ceil((column + 1) * bin_width) + left, 0), (double)columns);
        for (int64_t i = y0; i < y1; i++)
            for (int64_t j = x0; j < x1; j++) most = fmax(most, plane[i * columns + j]);
        y[bin] = y1 <= y0 || x1 <= x0 ? 0 : most;
    }
}

static partita_status roi_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const roi_state *state = call->state;
    const cpu_tensor *x = &call->in[0], *rois = &call->in[1];
    bool pooling = call->in_count < 3; /* MaxRoiPool: the image's number stands in front of the box */
    int64_t each = pooling ? 5 : 4;
    cpu_doubles d;
    (void)begin, (void)end, (void)worker;
    if (x->rank != 4 || rois->rank != 2 || rois->dims[1] != each ||
        (!pooling && call->in[2].count != (uint64_t)rois->dims[0]))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the shapes of X and the regions do not fit each other");
    int64_t channels = x->dims[1], rows = x->dims[2], columns = x->dims[3], bins = state->height * state->width;
    if (state->height < 1 || state->width < 1 || call->out[0].count != (uint64_t)(rois->dims[0] * channels * bins))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has another shape than the regions");
    cpu_doubles_load(call, &d);
    for (int64_t r = 0; r < rois->dims[0]; r++) {
        const double *roi = d.in[1] + r * each;
        double image = pooling ? roi[0] : d.in[2][r];
        if (!(image >= 0 && image < (double)x->dims[0]))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "region %lld is of image %g of %lld", (long long)r, image,
                            (long long)x->dims[0]);
        for (int64_t c = 0; c < channels; c++) {
            const double *plane = d.in[0] + ((int64_t)image * channels + c) * rows * columns;
            double *y = d.out[0] + (r * channels + c) * bins;
            if (pooling)
                pool_bins(state, plane, rows, columns, roi + 1, y);
            else if (!align_bins(state, plane, rows, columns, roi, y))
                return cpu_fail(call->host, PARTITA_BAD_INPUT, "region %lld has bins of more than %d samples",
                                (long long)r, GRID_MAX);
        }
    }
    cpu_doubles_store(call, &d);
    return PARTITA_OK;
}

#define ROW(operator, first)                                                                                           \
    {                                                                                                                  \
        .op = operator, .domain = "", .since = first, .until = CPU_NEWEST, .types = CPU_FLOATS, .reference = true,     \
        .prepare = roi_prepare, .release = cpu_free, .scratch = cpu_doubles_scratch, .run = roi_run                    \
    }
const cpu_kernel cpu_kernels_roi[] = {ROW("RoiAlign", 10), ROW("MaxRoiPool", 1)};
const uint32_t cpu_kernels_roi_count = sizeof(cpu_kernels_roi) / sizeof(cpu_kernels_roi[0]);
