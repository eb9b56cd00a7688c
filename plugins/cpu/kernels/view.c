/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies through a strided view: what Transpose, Slice, Expand, Tile and the like come down to. Elements are moved by
 * size, never by type.
 */
#include "cpu/kernels/support.h"

#define TILE 16

typedef struct wide {
    uint64_t half[2];
} wide;

#define BY_SIZE(size, body)                                                                                            \
    switch (size) {                                                                                                    \
    case 1: body(uint8_t); break;                                                                                      \
    case 2: body(uint16_t); break;                                                                                     \
    case 4: body(uint32_t); break;                                                                                     \
    case 8: body(uint64_t); break;                                                                                     \
    default: body(wide); break;                                                                                        \
    }

void cpu_strides(const int64_t *dims, uint32_t rank, int64_t *strides) {
    int64_t stride = 1;
    for (uint32_t i = rank; i-- > 0;) {
        strides[i] = stride;
        stride *= dims[i];
    }
}

void cpu_view_collapse(cpu_view *view) {
    uint32_t rank = 0;
    for (uint32_t d = 0; d < view->rank; d++) {
        if (view->dims[d] == 1) continue;
        if (rank > 0 && view->strides[rank - 1] == view->strides[d] * view->dims[d]) {
            view->dims[rank - 1] *= view->dims[d];
            view->strides[rank - 1] = view->strides[d];
        } else {
            view->dims[rank] = view->dims[d];
            view->strides[rank++] = view->strides[d];
        }
    }
    view->rank = rank;
}

uint64_t cpu_view_count(const cpu_view *view) { return cpu_extent(view->dims, 0, view->rank); }

void cpu_fill(void *target, const void *element, uint32_t size, uint64_t count) {
#define FILL(type)                                                                                                     \
    {                                                                                                                  \
        type value;                                                                                                    \
        memcpy(&value, element, sizeof(value));                                                                        \
        for (uint64_t i = 0; i < count; i++) ((type *)target)[i] = value;                                              \
    }
    BY_SIZE(size, FILL)
}

static void copy_strided(uint32_t size, const char *source, int64_t stride, char *target, uint64_t n) {
#define STRIDED(type)                                                                                                  \
    {                                                                                                                  \
        const type *in = (const type *)(const void *)source;                                                           \
        type *out = (type *)(void *)target;                                                                            \
        for (uint64_t i = 0; i < n; i++) out[i] = in[(int64_t)i * stride];                                             \
    }
    if (stride == 1)
        memcpy(target, source, n * size);
    else if (stride == 0)
        cpu_fill(target, source, size, n);
    else
        BY_SIZE(size, STRIDED)
}

/* Rows of `columns` elements whose neighbours in the source are `stride` apart, while rows are neighbours: by tiles, so
 * that lines of the source are used whole. */
static void copy_transposed(uint32_t size, const char *source, int64_t stride, char *target, uint64_t rows,
                            uint64_t columns) {
#define TRANSPOSED(type)                                                                                               \
    {                                                                                                                  \
        const type *in = (const type *)(const void *)source;                                                           \
        type *out = (type *)(void *)target;                                                                            \
        for (uint64_t r = 0; r < rows; r += TILE) {                                                                    \
            uint64_t r_end = rows - r < TILE ? rows : r + TILE;                                                        \
            for (uint64_t c = 0; c < columns; c += TILE) {                                                             \
                uint64_t c_end = columns - c < TILE ? columns : c + TILE;                                              \
                for (uint64_t i = r; i < r_end; i++)                                                                   \
                    for (uint64_t j = c; j < c_end; j++) out[i * columns + j] = in[(int64_t)i + (int64_t)j * stride];  \
            }                                                                                                          \
        }                                                                                                              \
    }
    BY_SIZE(size, TRANSPOSED)
}

void cpu_view_copy(const cpu_view *view, uint32_t size, const void *source, void *target, uint64_t first,
                   uint64_t last) {
    char *out = (char *)target + first * size;
    int64_t at[CPU_VIEW_RANK], offset = view->offset;
    uint64_t left = last - first, element = first;
    if (first >= last) return;
    if (view->rank == 0) {
        memcpy(out, (const char *)source + offset * size, size);
        return;
    }
    uint32_t inner = view->rank - 1;
    for (uint32_t d = view->rank; d-- > 0;) {
        at[d] = (int64_t)(element % (uint64_t)view->dims[d]);
        element /= (uint64_t)view->dims[d];
        offset += at[d] * view->strides[d];
    }
    uint64_t columns = (uint64_t)view->dims[inner];
    bool transposed = inner > 0 && view->strides[inner - 1] == 1 && view->strides[inner] != 1;
    while (left > 0) {
        const char *in = (const char *)source + offset * (int64_t)size;
        uint64_t n = columns - (uint64_t)at[inner];
        uint32_t d = inner; /* the dim that moves on */
        int64_t steps;
        if (transposed && at[inner] == 0 && left >= 2 * columns) {
            uint64_t rows = (uint64_t)(view->dims[inner - 1] - at[inner - 1]);
            if (rows > left / columns) rows = left / columns;
            copy_transposed(size, in, view->strides[inner], out, rows, columns);
            n = rows * columns;
            d = inner - 1;
            steps = (int64_t)rows;
        } else {
            if (n > left) n = left;
            copy_strided(size, in, view->strides[inner], out, n);
            steps = (int64_t)n;
        }
        out += n * size;
        left -= n;
        at[d] += steps;
        offset += steps * view->strides[d];
        while (at[d] == view->dims[d] && d > 0) {
            offset += view->strides[d - 1] - view->dims[d] * view->strides[d];
            at[d] = 0;
            at[--d]++;
        }
    }
}

partita_status cpu_view_run(const cpu_call *call, cpu_view *view, uint64_t begin, uint64_t end) {
    uint64_t first, last;
    if (cpu_view_count(view) != call->out[0].count)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the output has %llu elements, its inputs make %llu",
                        (unsigned long long)call->out[0].count, (unsigned long long)cpu_view_count(view));
    cpu_item_range(&call->out[0], begin, end, &first, &last);
    if (first >= last) return PARTITA_OK;
    cpu_view_collapse(view);
    cpu_view_copy(view, cpu_size(&call->in[0]), call->in[0].data, call->out[0].data, first, last);
    return PARTITA_OK;
}
