/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Det, Inverse and Solve by elimination with row pivots, and AffineGrid: places in the input for each place of the
 * output.
 */
#include "cpu/kernels/reference.h"

static void swap(double *a, double *b) {
    double kept = *a;
    *a = *b;
    *b = kept;
}

/* ---- Det ------------------------------------------------------------------------------------- */

/* Destroys the matrix. */
static double determinant(double *matrix, int64_t n) {
    double product = 1;
    for (int64_t column = 0; column < n; column++) {
        int64_t pivot = column;
        for (int64_t row = column + 1; row < n; row++)
            if (fabs(matrix[row * n + column]) > fabs(matrix[pivot * n + column])) pivot = row;
        double *top = matrix + column * n, *from = matrix + pivot * n;
        for (int64_t i = 0; pivot != column && i < n; i++) swap(&top[i], &from[i]);
        product *= pivot != column ? -top[column] : top[column];
        if (top[column] == 0) return product;
        for (int64_t row = column + 1; row < n; row++) {
            double factor = matrix[row * n + column] / top[column];
            for (int64_t i = column + 1; i < n; i++) matrix[row * n + i] -= factor * top[i];
        }
    }
    return product;
}

CPU_DOUBLES_KERNEL(det_run) {
    const cpu_tensor *x = &call->in[0];
    if (x->rank < 2 || x->dims[x->rank - 1] != x->dims[x->rank - 2])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "an input of rank %u holds no square matrices", x->rank);
    partita_status status = cpu_expect(call, 0, x->rank - 2, x->dims);
    if (status != PARTITA_OK) return status;
    int64_t n = x->dims[x->rank - 1];
    /* The doubles of the input are this call's own. */
    double *matrices = call->scratch;
    for (uint64_t i = 0; i < call->out[0].count; i++) d->out[0][i] = determinant(matrices + (int64_t)i * n * n, n);
    return PARTITA_OK;
}

/* ---- Inverse, of com.microsoft ---------------------------------------------------------------- */

/* Gauss and Jordan, with row pivots; the matrix becomes the unit, the unit its inverse. False when it has none. */
static bool inverted(double *matrix, double *inverse, int64_t n) {
    for (int64_t i = 0; i < n * n; i++) inverse[i] = i % (n + 1) == 0;
    for (int64_t column = 0; column < n; column++) {
        int64_t pivot = column;
        for (int64_t row = column + 1; row < n; row++)
            if (fabs(matrix[row * n + column]) > fabs(matrix[pivot * n + column])) pivot = row;
        double scale = matrix[pivot * n + column];
        if (scale == 0) return false;
        for (int64_t i = 0; i < n; i++) {
            double left = matrix[pivot * n + i], right = inverse[pivot * n + i];
            matrix[pivot * n + i] = matrix[column * n + i];
            inverse[pivot * n + i] = inverse[column * n + i];
            matrix[column * n + i] = left / scale;
            inverse[column * n + i] = right / scale;
        }
        for (int64_t row = 0; row < n; row++) {
            double factor = matrix[row * n + column];
            for (int64_t i = 0; row != column && i < n; i++) {
                matrix[row * n + i] -= factor * matrix[column * n + i];
                inverse[row * n + i] -= factor * inverse[column * n + i];
            }
        }
    }
    return true;
}

CPU_DOUBLES_KERNEL(inverse_run) {
    const cpu_tensor *x = &call->in[0];
    if (x->rank < 2 || x->dims[x->rank - 1] != x->dims[x->rank - 2])
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "an input of rank %u holds no square matrices", x->rank);
    partita_status status = cpu_expect_like(call, 0, x);
    int64_t n = x->dims[x->rank - 1];
    /* The doubles of the input are this call's own. */
    double *matrices = call->scratch;
    for (uint64_t at = 0; status == PARTITA_OK && at < x->count; at += (uint64_t)(n * n))
        if (!inverted(matrices + at, d->out[0] + at, n))
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "matrix %llu is singular",
                            (unsigned long long)(at / (uint64_t)(n * n)));
    return status;
}

/* ---- Solve, of com.microsoft ------------------------------------------------------------------ */

/* Elimination with row pivots, then backwards; the right sides [n, count] become the solutions. False: singular. */
static bool solved(double *matrix, double *right, int64_t n, int64_t count) {
    for (int64_t column = 0; column < n; column++) {
        int64_t pivot = column;
        for (int64_t row = column + 1; row < n; row++)
            if (fabs(matrix[row * n + column]) > fabs(matrix[pivot * n + column])) pivot = row;
        if (matrix[pivot * n + column] == 0) return false;
        for (int64_t i = 0; pivot != column && i < n; i++) swap(&matrix[pivot * n + i], &matrix[column * n + i]);
        for (int64_t i = 0; pivot != column && i < count; i++)
            swap(&right[pivot * count + i], &right[column * count + i]);
        for (int64_t row = column + 1; row < n; row++) {
            double factor = matrix[row * n + column] / matrix[column * n + column];
            for (int64_t i = column + 1; i < n; i++) matrix[row * n + i] -= factor * matrix[column * n + i];
            for (int64_t i = 0; i < count; i++) right[row * count + i] -= factor * right[column * count + i];
        }
    }
    for (int64_t row = n - 1; row >= 0; row--) {
        for (int64_t i = 0; i < count; i++) {
            double sum = right[row * count + i];
            for (int64_t k = row + 1; k < n; k++) sum -= matrix[row * n + k] * right[k * count + i];
            right[row * count + i] = sum / matrix[row * n + row];
        }
    }
    return true;
}

static partita_status solve_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    bool *turned = cpu_alloc(host, sizeof(*turned));
    *out_state = turned;
    if (turned == NULL) return PARTITA_OUT_OF_MEMORY;
    *turned = cpu_attr_int(node, "transposed", 0) != 0;
    return PARTITA_OK;
}

CPU_DOUBLES_KERNEL(solve_run) {
    const cpu_tensor *a = &call->in[0], *b = &call->in[1];
    int64_t n = a->rank == 2 ? a->dims[0] : 0;
    if (a->rank != 2 || a->dims[1] != n || (b->rank != 1 && b->rank != 2) || b->dims[0] != n)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the inputs are no square matrix and its right sides");
    partita_status status = cpu_expect_like(call, 0, b);
    if (status != PARTITA_OK) return status;
    /* The doubles of the inputs are this call's own. */
    double *matrix = call->scratch;
    for (int64_t row = 0; *(const bool *)call->state && row < n; row++)
        for (int64_t column = 0; column < row; column++) swap(&matrix[row * n + column], &matrix[column * n + row]);
    if (b->count > 0) memcpy(d->out[0], d->in[1], b->count * sizeof(double));
    if (!solved(matrix, d->out[0], n, b->rank == 2 ? b->dims[1] : 1))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the matrix is singular");
    return PARTITA_OK;
}

/* ---- AffineGrid ------------------------------------------------------------------------------ */

static partita_status grid_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    bool *aligned = cpu_alloc(host, sizeof(*aligned));
    *out_state = aligned;
    if (aligned == NULL) return PARTITA_OUT_OF_MEMORY;
    *aligned = cpu_attr_int(node, "align_corners", 0) != 0;
    return PARTITA_OK;
}

/* Place `i` of `n` between -1 and 1: from centre to centre, or from edge to edge of the outermost. */
static double grid_place(bool aligned, int64_t i, int64_t n) {
    if (aligned) return n > 1 ? -1 + 2 * (double)i / (double)(n - 1) : -1;
    return -1 + (2 * (double)i + 1) / (double)n;
}

CPU_DOUBLES_KERNEL(grid_run) {
    const bool *aligned = call->state;
    const cpu_tensor *theta = &call->in[0];
    cpu_ints size;
    int64_t dims[5], at[3] = {0};
    partita_status status = cpu_ints_input(call, 1, &size);
    if (status != PARTITA_OK) return status;
    uint32_t axes = size.count - 2;
    if ((size.count != 4 && size.count != 5) || theta->rank != 3 || theta->dims[0] != size.at[0] ||
        theta->dims[1] != (int64_t)axes || theta->dims[2] != (int64_t)axes + 1)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "matrices and size do not fit each other");
    dims[0] = size.at[0];
    for (uint32_t i = 0; i < axes; i++) dims[i + 1] = size.at[i + 2];
    dims[axes + 1] = axes;
    status = cpu_expect(call, 0, axes + 2, dims);
    if (status != PARTITA_OK) return status;
    int64_t places = (int64_t)cpu_extent(dims, 1, axes + 1);
    for (int64_t i = 0; i < dims[0] * places; i++) {
        const double *matrix = d->in[0] + i / places * axes * (axes + 1);
        int64_t rest = i % places;
        for (uint32_t axis = axes; axis-- > 0; rest /= dims[axis + 1]) at[axis] = rest % dims[axis + 1];
        /* Coordinates count from the last axis: x, y and z. */
        for (uint32_t row = 0; row < axes; row++, matrix += axes + 1) {
            double sum = matrix[axes];
            for (uint32_t c = 0; c < axes; c++)
                sum += matrix[c] * grid_place(*aligned, at[axes - 1 - c], dims[axes - c]);
            d->out[0][i * axes + row] = sum;
        }
    }
    return PARTITA_OK;
}

const cpu_kernel cpu_kernels_det[] = {
    {.op = "Det",
     .domain = "",
     .since = 11,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS,
     .reference = true,
     .scratch = cpu_doubles_scratch,
     .run = det_run},
    {.op = "Inverse",
     .domain = "com.microsoft",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS,
     .reference = true,
     .scratch = cpu_doubles_scratch,
     .run = inverse_run},
    {.op = "Solve",
     .domain = "com.microsoft",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_TYPE(FLOAT32) | CPU_TYPE(FLOAT64),
     .reference = true,
     .prepare = solve_prepare,
     .release = cpu_free,
     .scratch = cpu_doubles_scratch,
     .run = solve_run},
    {.op = "AffineGrid",
     .domain = "",
     .since = 20,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS,
     .reference = true,
     .prepare = grid_prepare,
     .release = cpu_free,
     .scratch = cpu_doubles_scratch,
     .run = grid_run},
};
const uint32_t cpu_kernels_det_count = sizeof(cpu_kernels_det) / sizeof(cpu_kernels_det[0]);
