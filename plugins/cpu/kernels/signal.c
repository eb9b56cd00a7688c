/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DFT and STFT, in double. A line is one signal along the axis; workers take their share of the lines, each with tables
 * of its own.
 */
#include "cpu/kernels/fft.h"
#include "cpu/kernels/support.h"

typedef struct signal_state {
    bool inverse, one_sided, axis_input;
    int64_t axis;
} signal_state;

static partita_status signal_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    signal_state *state = cpu_alloc(host, sizeof(*state));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    bool frames = ptp_str_is(ptp_ref_str(node->block, node->row.op), "STFT");
    state->inverse = cpu_attr_int(node, "inverse", 0) != 0;
    state->one_sided = cpu_attr_int(node, "onesided", frames ? 1 : 0) != 0;
    state->axis_input = node->row.since >= 20;
    state->axis = cpu_attr_int(node, "axis", state->axis_input ? -2 : 1);
    *out_state = state;
    return PARTITA_OK;
}

/* Input `index` as one number, `otherwise` where it is absent. */
static partita_status scalar_of(const cpu_call *call, uint32_t index, const char *what, int64_t otherwise,
                                int64_t *out) {
    cpu_ints given;
    partita_status status = cpu_ints_input(call, index, &given);
    *out = otherwise;
    if (status != PARTITA_OK || !given.given) return status;
    if (given.count != 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "%s must be one number", what);
    *out = given.at[0];
    return PARTITA_OK;
}

/* The transform of one worker and the signal it works on. */
typedef struct bench {
    cpu_fft fft;
    cpu_complex *memory, *line;
} bench;

static partita_status bench_init(const cpu_call *call, uint64_t n, bool single, bench *out) {
    uint64_t room = cpu_fft_room(n);
    *out = (bench){0};
    if (room == 0) return cpu_fail(call->host, PARTITA_BAD_INPUT, "a transform of %llu points", (unsigned long long)n);
    out->memory = cpu_alloc(call->host, (room + n) * sizeof(*out->memory));
    if (out->memory == NULL) return PARTITA_OUT_OF_MEMORY;
    out->line = out->memory + room;
    cpu_fft_init(&out->fft, n, single, out->memory);
    return PARTITA_OK;
}

/* Shares of the work: as many as there are workers, where there is enough for all. */
static uint64_t signal_items(const cpu_call *call) {
    uint64_t shares = call->out[0].count / CPU_ITEM + 1;
    return shares < call->workers ? shares : call->workers;
}

static void share_of(const cpu_call *call, uint64_t lines, uint64_t begin, uint64_t end, uint64_t *first,
                     uint64_t *last) {
    uint64_t items = signal_items(call), each = lines / items, rest = lines % items;
    *first = begin * each + (begin < rest ? begin : rest);
    *last = end * each + (end < rest ? end : rest);
}

static cpu_complex load(const cpu_tensor *in, uint64_t element, uint32_t parts) {
    double pair[2] = {0, 0};
    cpu_load_doubles(in->dtype, in->data, element * parts, parts, pair);
    return (cpu_complex){pair[0], pair[1]};
}

/* ---- DFT ---- */

typedef struct dft {
    uint64_t length, taken, given; /* points; of them read; bins or points that come out */
    uint64_t inner;                /* elements between two points of a line */
    uint64_t in_dim, lines;
    uint32_t in_parts, out_parts;
} dft;

static partita_status dft_geometry(const cpu_call *call, dft *out) {
    const signal_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    int64_t axis = state->axis, length, dims[CPU_MAX_RANK];
    uint32_t d;
    partita_status status = PARTITA_OK;
    if (in->rank < 2 || in->dims[in->rank - 1] < 1 || in->dims[in->rank - 1] > 2)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the input's last dim must be 1 or 2");
    if (state->axis_input) status = scalar_of(call, 2, "axis", axis, &axis);
    if (status == PARTITA_OK) status = cpu_axis(call, axis, in->rank, &d);
    if (status != PARTITA_OK) return status;
    if (d == in->rank - 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "the axis is the one of the parts");
    bool back = state->inverse && state->one_sided;
    status = scalar_of(call, 1, "dft_length", back ? 2 * (in->dims[d] - 1) : in->dims[d], &length);
    if (status != PARTITA_OK) return status;
    if (length < 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "a transform of %lld points", (long long)length);
    memcpy(dims, in->dims, in->rank * sizeof(*dims));
    out->length = (uint64_t)length;
    out->in_dim = (uint64_t)in->dims[d];
    out->given = state->one_sided && !state->inverse ? out->length / 2 + 1 : out->length;
    out->taken = back ? out->length / 2 + 1 : out->length;
    if (out->taken > out->in_dim) out->taken = out->in_dim;
    out->in_parts = (uint32_t)in->dims[in->rank - 1];
    out->out_parts = back ? 1 : 2;
    out->inner = cpu_extent(in->dims, d + 1, in->rank - 1);
    out->lines = cpu_extent(in->dims, 0, d) * out->inner;
    dims[d] = (int64_t)out->given;
    dims[in->rank - 1] = out->out_parts;
    return cpu_expect(call, 0, in->rank, dims);
}

/* The points of a line; of a one-sided spectrum the other side is its mirror image. */
static void dft_load(const cpu_tensor *in, const dft *d, bool mirror, bool turn, uint64_t line, cpu_complex *x) {
    uint64_t at = line / d->inner * d->in_dim * d->inner + line % d->inner, n = d->length;
    memset(x, 0, n * sizeof(*x));
    for (uint64_t i = 0; i < d->taken; i++) {
        cpu_complex point = load(in, at + i * d->inner, d->in_parts);
        if (mirror && (i == 0 || 2 * i == n)) point.im = 0;
        if (turn) point.im = -point.im;
        x[i] = point;
        if (mirror && i > 0 && 2 * i != n) x[n - i] = (cpu_complex){point.re, -point.im};
    }
}

static partita_status dft_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const signal_state *state = call->state;
    const cpu_tensor *out = &call->out[0];
    uint64_t first, last;
    bench own;
    dft d = {0};
    partita_status status = dft_geometry(call, &d);
    if (status != PARTITA_OK) return status;
    share_of(call, d.lines, begin, end, &first, &last);
    if (first == last) return PARTITA_OK;
    /* ONNX's data has the rounding of numpy, which inverts complex numbers of float32 in float32. */
    bool single = state->inverse && !state->one_sided && out->dtype == PARTITA_FLOAT32;
    status = bench_init(call, d.length, single, &own);
    if (status != PARTITA_OK) return status;
    double scale = state->inverse ? (double)d.length : 1;
    for (uint64_t line = first; line < last; line++) {
        uint64_t at = line / d.inner * d.given * d.inner + line % d.inner;
        dft_load(&call->in[0], &d, state->inverse && state->one_sided, state->inverse, line, own.line);
        cpu_fft_run(&own.fft, own.line);
        /* The inverse is the conjugate of the transform of the conjugate. */
        for (uint64_t i = 0; i < d.given; i++) {
            double pair[2] = {own.line[i].re / scale, (state->inverse ? -own.line[i].im : own.line[i].im) / scale};
            cpu_store_doubles(out->dtype, out->data, (at + i * d.inner) * d.out_parts, d.out_parts, pair);
        }
    }
    cpu_free(call->host, own.memory);
    return PARTITA_OK;
}

/* ---- STFT ---- */

typedef struct stft {
    uint64_t step, length, bins, frames, samples;
    uint32_t parts;
    const cpu_tensor *window;
} stft;

static partita_status stft_geometry(const cpu_call *call, stft *out) {
    const signal_state *state = call->state;
    const cpu_tensor *in = &call->in[0];
    int64_t step, length;
    *out = (stft){.window = cpu_has_input(call, 2) ? &call->in[2] : NULL};
    /* Exporters leave the last axis, of 1, out. */
    int64_t parts = in->rank == 2 ? 1 : in->dims[2];
    if ((in->rank != 2 && in->rank != 3) || parts < 1 || parts > 2)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the signal must be [batch, length, 1 or 2]");
    if (out->window != NULL && out->window->rank != 1)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "the window must be of rank 1");
    partita_status status = scalar_of(call, 1, "frame_step", 0, &step);
    if (status == PARTITA_OK)
        status = scalar_of(call, 3, "frame_length", out->window != NULL ? out->window->dims[0] : in->dims[1], &length);
    if (status != PARTITA_OK) return status;
    if (step < 1) return cpu_fail(call->host, PARTITA_BAD_INPUT, "frame_step is %lld", (long long)step);
    if (length < 1 || length > in->dims[1] || (out->window != NULL && out->window->dims[0] != length))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "frames of %lld do not fit the signal of %lld or the window",
                        (long long)length, (long long)in->dims[1]);
    if (state->one_sided && parts == 2)
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "one side is not enough for a complex signal");
    out->step = (uint64_t)step;
    out->length = (uint64_t)length;
    out->samples = (uint64_t)in->dims[1];
    out->parts = (uint32_t)parts;
    out->bins = state->one_sided ? out->length / 2 + 1 : out->length;
    out->frames = (out->samples - out->length) / out->step + 1;
    int64_t dims[4] = {in->dims[0], (int64_t)out->frames, (int64_t)out->bins, 2};
    return cpu_expect(call, 0, 4, dims);
}

static partita_status stft_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    uint64_t first, last;
    bench own;
    stft s = {0};
    partita_status status = stft_geometry(call, &s);
    if (status != PARTITA_OK) return status;
    share_of(call, (uint64_t)in->dims[0] * s.frames, begin, end, &first, &last);
    if (first == last) return PARTITA_OK;
    status = bench_init(call, s.length, false, &own);
    if (status != PARTITA_OK) return status;
    for (uint64_t line = first; line < last; line++) {
        uint64_t at = line / s.frames * s.samples + line % s.frames * s.step;
        for (uint64_t i = 0; i < s.length; i++) {
            double weight = 1;
            if (s.window != NULL) cpu_load_doubles(s.window->dtype, s.window->data, i, 1, &weight);
            cpu_complex point = load(in, at + i, s.parts);
            own.line[i] = (cpu_complex){point.re * weight, point.im * weight};
        }
        cpu_fft_run(&own.fft, own.line);
        cpu_store_doubles(out->dtype, out->data, line * s.bins * 2, s.bins * 2, &own.line[0].re);
    }
    cpu_free(call->host, own.memory);
    return PARTITA_OK;
}

#define SIGNAL_ROW(name, runs)                                                                                         \
    {                                                                                                                  \
        .op = name, .domain = "", .since = 17, .until = CPU_NEWEST, .types = CPU_FLOATS, .reference = true,            \
        .prepare = signal_prepare, .release = cpu_free, .items = signal_items, .run = runs                             \
    }
const cpu_kernel cpu_kernels_signal[] = {SIGNAL_ROW("DFT", dft_run), SIGNAL_ROW("STFT", stft_run)};
const uint32_t cpu_kernels_signal_count = sizeof(cpu_kernels_signal) / sizeof(cpu_kernels_signal[0]);
