/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of com.microsoft. An item is one head of K and V of one image: its operands are gathered (projected,
 * biased, turned, put behind the past), the masks become one, and ONNX's own Attention does the rest.
 */
#include "cpu/kernels/ms_attention.h"

#include <float.h>
#include <math.h>

enum { IN_COSINE = 7, IN_SINE = 8, IN_PLACES = 9, IN_K_SCALE = 12, IN_V_SCALE = 13, IN_NORMS = 14 };

/* ---- one item -------------------------------------------------------------------------------- */

/* The room of a worker, in floats. */
typedef struct room {
    uint64_t q, k, v, y, mask, shown, x, w, core, all;
} room;

static uint64_t step(uint64_t *at, int64_t a, int64_t b) {
    uint64_t here = *at;
    *at += cpu_blocks((uint64_t)a * (uint64_t)b, 16) * 16;
    return here;
}

static bool projects(const cpu_ms_call *c) { return c->q.input == CPU_MS_NONE; }
/* A key of zeros in front of the others stands for what the softmax has besides them. */
static int64_t sinks(const cpu_ms_state *state) { return state->sinks ? 1 : 0; }
static bool masked(const cpu_ms_item *it) {
    return it->c->mask != CPU_MS_NONE || it->c->bias != CPU_MS_NONE || it->state->sinks || it->c->last_sees_all;
}

/* The call of ONNX's Attention on the item; `dims` holds the shapes. */
typedef struct core_call {
    cpu_call call;
    cpu_tensor in[7], out[4];
    int64_t q[4], k[4], v[4], y[4], scores[4], one[1], valid[1];
} core_call;

static cpu_tensor tensor4(const int64_t *dims, void *data) {
    uint64_t count = (uint64_t)dims[0] * (uint64_t)dims[1] * (uint64_t)dims[2] * (uint64_t)dims[3];
    return (cpu_tensor){.kind = PARTITA_KIND_TENSOR,
                        .dtype = PARTITA_FLOAT32,
                        .rank = 4,
                        .dims = dims,
                        .count = count,
                        .bytes = count * sizeof(float),
                        .data = data};
}

static void core_make(const cpu_ms_item *it, core_call *core) {
    const cpu_ms_call *c = it->c;
    int64_t keys = it->image.total + sinks(it->state), rows = it->image.rows;
    const int64_t q[4] = {1, c->group, rows, c->width}, k[4] = {1, 1, keys, c->width}, v[4] = {1, 1, keys, c->v_width};
    const int64_t y[4] = {1, c->group, rows, c->v_width}, scores[4] = {1, c->group, rows, keys};
    memset(core, 0, sizeof(*core));
    memcpy(core->q, q, sizeof(q));
    memcpy(core->k, k, sizeof(k));
    memcpy(core->v, v, sizeof(v));
    memcpy(core->y, y, sizeof(y));
    memcpy(core->scores, scores, sizeof(scores));
    core->in[0] = tensor4(core->q, it->q);
    core->in[1] = tensor4(core->k, it->k);
    core->in[2] = tensor4(core->v, it->v);
    if (masked(it)) core->in[3] = tensor4(core->scores, it->mask);
    /* Under causality the keys behind the last query's place are hidden, which tells the core the first one's. */
    core->one[0] = 1;
    bool causal = it->state->causal && !c->last_sees_all;
    core->valid[0] = causal ? it->image.place + rows + sinks(it->state) : keys;
    core->in[6] = (cpu_tensor){.kind = PARTITA_KIND_TENSOR,
                               .dtype = PARTITA_INT64,
                               .rank = 1,
                               .dims = core->one,
                               .count = 1,
                               .bytes = sizeof(int64_t),
                               .data = core->valid};
    core->out[0] = tensor4(core->y, it->y);
    if (c->shown != CPU_MS_NONE) core->out[3] = tensor4(core->scores, it->shown);
    core->call = (cpu_call){.state = it->state->core_state,
                            .in = core->in,
                            .out = core->out,
                            .in_count = 7,
                            .out_count = 4,
                            .scratch = it->core,
                            .workers = 1,
                            .host = it->call->host};
}

/* The core's room depends on how many rows there are, and not only upwards. */
static uint64_t core_floats(const cpu_ms_item *like) {
    uint64_t most = 0;
    cpu_ms_item it = *like;
    core_call core;
    for (int64_t rows = 0; rows <= 17; rows++) {
        it.image.rows = rows < 17 && rows < like->image.rows ? rows : like->image.rows;
        core_make(&it, &core);
        uint64_t bytes = it.state->core->scratch(&core.call);
        if (bytes > most) most = bytes;
    }
    return cpu_blocks(most, 64) * 16;
}

static void room_of(const cpu_call *call, const cpu_ms_call *c, room *r) {
    const cpu_ms_state *state = call->state;
    int64_t keys = c->seen + 1, width = c->width > c->v_width ? c->width : c->v_width;
    cpu_ms_item it = {
        .call = call, .state = state, .c = c, .image = {.rows = c->rows, .place = c->past, .total = c->seen}};
    uint64_t at = 0;
    r->q = step(&at, c->group * c->rows, c->width);
    r->k = step(&at, keys, c->width);
    r->v = step(&at, keys, c->v_width);
    r->y = step(&at, c->group * c->rows, c->v_width);
    r->mask = step(&at, masked(&it) ? c->group * c->rows : 0, keys);
    r->shown = step(&at, c->shown != CPU_MS_NONE ? c->group * c->rows : 0, keys);
    int64_t inner = projects(c) ? call->in[0].dims[2] : 0, columns = state->micro != NULL ? state->micro->columns : 1;
    r->x = step(&at, projects(c) ? c->rows : 0, inner);
    r->w = step(&at, inner, 2 * width + columns);
    r->core = at;
    r->all = at + core_floats(&it);
}

/* ---- operands -------------------------------------------------------------------------------- */

static float number_at(const cpu_tensor *t, uint64_t i) {
    float value;
    cpu_load_floats(t->dtype, t->data, i, 1, &value);
    return value;
}

/* The image's rows of input 0, without its zero point; its scale comes later. */
static void projected_load(const cpu_ms_item *it) {
    const cpu_tensor *x = &it->call->in[0];
    uint64_t n = (uint64_t)it->c->rows * (uint64_t)x->dims[2];
    cpu_load_floats(x->dtype, x->data, (uint64_t)it->batch * n, n, it->x);
    if (!it->state->quantised || !cpu_has_input(it->call, 6)) return;
    float zero = number_at(&it->call->in[6], 0);
    for (uint64_t i = 0; i < n; i++) it->x[i] -= zero;
}

/* `width` columns of the weights, from `first` on, without their zero points: [inner, width]. */
static void weights_load(const cpu_ms_item *it, int64_t first, int64_t width, float *to) {
    const cpu_tensor *w = &it->call->in[1];
    for (int64_t i = 0; i < w->dims[0]; i++)
        cpu_load_floats(w->dtype, w->data, (uint64_t)(i * w->dims[1] + first), (uint64_t)width, to + i * width);
    if (!it->state->quantised || !cpu_has_input(it->call, 7)) return;
    const cpu_tensor *zeros = &it->call->in[7];
    for (int64_t j = 0; j < width; j++) {
        float zero = number_at(zeros, zeros->count == 1 ? 0 : (uint64_t)(first + j));
        for (int64_t i = 0; i < w->dims[0]; i++) to[i * width + j] -= zero;
    }
}

static void product_double(const float *x, const float *w, int64_t m, int64_t n, int64_t k, float *to) {
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++) sum += (double)x[i * k + p] * (double)w[p * n + j];
            to[i * n + j] = (float)sum;
        }
    }
}

static void rows_project(const cpu_ms_item *it, const cpu_ms_rows *from, int64_t head, int64_t width, float *to) {
    int64_t first = from->first + head * from->head, inner = it->call->in[0].dims[2], rows = it->c->rows;
    const cpu_gemm_micro *micro = it->state->micro;
    float *packed = it->w + inner * width;
    weights_load(it, first, width, it->w);
    if (micro == NULL) {
        product_double(it->x, it->w, rows, width, inner, to);
    } else {
        cpu_gemm_pack(micro, (uint64_t)inner, (uint64_t)width, it->w, width, 1, packed);
        cpu_gemm gemm = {.micro = micro,
                         .m = (uint64_t)rows,
                         .n = (uint64_t)width,
                         .k = (uint64_t)inner,
                         .a = it->x,
                         .a_row = inner,
                         .a_column = 1,
                         .packed = packed,
                         .c = to,
                         .c_row = width,
                         .alpha = 1};
        cpu_gemm_run(&gemm, 0, gemm.m, 0, cpu_blocks(gemm.n, micro->columns));
    }
    for (int64_t j = 0; it->state->quantised && j < width; j++) {
        const cpu_tensor *scales = &it->call->in[4];
        float scale =
            number_at(&it->call->in[3], 0) * number_at(scales, scales->count == 1 ? 0 : (uint64_t)(first + j));
        for (int64_t i = 0; i < rows; i++) to[i * width + j] *= scale;
    }
}

/* Rows [rows, width] of one head, with its bias. */
static void rows_load(const cpu_ms_item *it, const cpu_ms_rows *from, int64_t head, int64_t rows, int64_t width,
                      float *to) {
    if (from->input == CPU_MS_NONE) {
        rows_project(it, from, head, width, to);
    } else {
        const cpu_tensor *t = &it->call->in[from->input];
        int64_t at = from->first + it->batch * from->batch + head * from->head;
        for (int64_t i = 0; i < rows; i++)
            cpu_load_floats(t->dtype, t->data, (uint64_t)(at + i * from->row), (uint64_t)width, to + i * width);
    }
    if (from->bias == CPU_MS_NONE) return;
    const cpu_tensor *bias = &it->call->in[from->bias];
    for (int64_t j = 0; j < width; j++) {
        float value = number_at(bias, (uint64_t)(from->bias_first + head * width + j));
        for (int64_t i = 0; i < rows; i++) to[i * width + j] += value;
    }
}

/* Divides rows by their root mean square; `which`: 0 for Q, 1 for K. */
static void rows_norm(const cpu_ms_item *it, uint32_t which, int64_t rows, float *x) {
    const cpu_tensor *weights = &it->call->in[IN_NORMS + which];
    int64_t width = it->c->width;
    if (!it->state->normalised) return;
    for (int64_t i = 0; i < rows; i++, x += width) {
        double sum = 0;
        for (int64_t j = 0; j < width; j++) sum += (double)x[j] * (double)x[j];
        double factor = 1 / sqrt(sum / (double)width + (double)it->state->epsilons[which]);
        for (int64_t j = 0; j < width; j++)
            x[j] = (float)((double)x[j] * factor * (double)number_at(weights, (uint64_t)j));
    }
}

/* Turns rows by the angles of their places, of which the first is that of key `first`; what is behind the caches' width
 * stays. */
static partita_status rows_turn(const cpu_ms_item *it, int64_t first, int64_t rows, float *x) {
    const cpu_call *call = it->call;
    if (!it->state->rotary) return PARTITA_OK;
    const cpu_tensor *cosine = &call->in[IN_COSINE], *sine = &call->in[IN_SINE];
    int64_t half = cosine->dims[1];
    for (int64_t i = 0; i < rows; i++, x += it->c->width) {
        int64_t place = it->image.first + first + i;
        if (cpu_has_input(call, IN_PLACES))
            place = cpu_index(&call->in[IN_PLACES], (uint64_t)(it->batch * it->c->rows + i));
        if (place < 0 || place >= cosine->dims[0])
            return cpu_fail(call->host, PARTITA_BAD_INPUT, "position %lld of %lld", (long long)place,
                            (long long)cosine->dims[0]);
        for (int64_t j = 0; j < half; j++) {
            int64_t a = it->state->interleaved ? 2 * j : j, b = it->state->interleaved ? 2 * j + 1 : j + half;
            double c = (double)number_at(cosine, (uint64_t)(place * half + j));
            double s = (double)number_at(sine, (uint64_t)(place * half + j)), left = (double)x[a], right = (double)x[b];
            x[a] = (float)(left * c - right * s);
            x[b] = (float)(left * s + right * c);
        }
    }
    return PARTITA_OK;
}

static partita_status operands_load(cpu_ms_item *it) {
    const cpu_ms_call *c = it->c;
    const cpu_ms_cache k_cache = {c->past_k, c->present_k, IN_K_SCALE, 0, 0, c->width};
    const cpu_ms_cache v_cache = {c->past_v, c->present_v, IN_V_SCALE, c->past_v_first, c->present_v_first, c->v_width};
    int64_t head = it->head, skip = sinks(it->state), rows = it->image.rows, news = it->image.total - it->image.past;
    float *k = it->k + skip * c->width, *v = it->v + skip * c->v_width, *new_k = k + it->image.past * c->width;
    partita_status status = PARTITA_OK;
    if (projects(c)) projected_load(it);
    for (int64_t g = 0; g < c->group && status == PARTITA_OK; g++) {
        float *q = it->q + g * rows * c->width;
        rows_load(it, &c->q, head * c->group + g, rows, c->width, q);
        rows_norm(it, 0, rows, q);
        status = rows_turn(it, it->image.place, rows, q);
    }
    if (status != PARTITA_OK) return status;
    memset(it->k, 0, (size_t)(skip * c->width) * sizeof(float));
    memset(it->v, 0, (size_t)(skip * c->v_width) * sizeof(float));
    cpu_ms_past_load(it, &k_cache, k);
    cpu_ms_past_load(it, &v_cache, v);
    rows_load(it, &c->k, head, news, c->width, new_k);
    rows_load(it, &c->v, head, news, c->v_width, v + it->image.past * c->v_width);
    rows_norm(it, 1, news, new_k);
    status = rows_turn(it, it->image.past, news, new_k);
    if (status != PARTITA_OK) return status;
    cpu_ms_present_store(it, &k_cache, k);
    cpu_ms_present_store(it, &v_cache, v);
    return PARTITA_OK;
}

/* ---- masks ----------------------------------------------------------------------------------- */

static float bias_at(const cpu_ms_item *it, int64_t head, int64_t row, int64_t key) {
    const cpu_tensor *t = &it->call->in[it->c->bias];
    int64_t batch = t->dims[0] == 1 ? 0 : it->batch;
    if (t->dims[1] == 1) head = 0;
    return number_at(t, (uint64_t)(((batch * t->dims[1] + head) * t->dims[2] + row) * t->dims[3] + key));
}

/* With a key for the sink the core's window would hide that too, so the window is here. */
static float mask_at(const cpu_ms_item *it, int64_t head, int64_t row, int64_t key) {
    const cpu_ms_state *state = it->state;
    float value = 0;
    if (state->sinks && state->window >= 0 && key <= it->image.place + row - state->window) return -INFINITY;
    if (it->c->last_sees_all && row + 1 < it->image.rows && key > it->image.place + row) return -INFINITY;
    if (it->c->mask != CPU_MS_NONE && cpu_ms_hidden(it->call, it->c, it->batch, row, key)) value = state->filter;
    return it->c->bias != CPU_MS_NONE ? value + bias_at(it, head, row, it->image.first + key) : value;
}

static void mask_make(const cpu_ms_item *it) {
    const cpu_ms_call *c = it->c;
    int64_t skip = sinks(it->state);
    float *to = it->mask;
    for (int64_t g = 0; masked(it) && g < c->group; g++) {
        int64_t head = it->head * c->group + g;
        for (int64_t row = 0; row < it->image.rows; row++) {
            if (skip > 0) *to++ = c->sink != CPU_MS_NONE ? number_at(&it->call->in[c->sink], (uint64_t)head) : 0;
            for (int64_t key = 0; key < it->image.total; key++) *to++ = mask_at(it, head, row, key);
        }
    }
}

/* ---- results --------------------------------------------------------------------------------- */

/* Scores that no query sees show as 0 or as the least number, as each operator has it. */
static void results_store(const cpu_ms_item *it) {
    const cpu_ms_call *c = it->c;
    const cpu_tensor *y = &it->call->out[0];
    int64_t rows = it->image.rows, skip = sinks(it->state), keys = it->image.total + skip;
    uint32_t size = cpu_size(y);
    for (int64_t g = 0; g < c->group; g++) {
        int64_t head = it->head * c->group + g;
        for (int64_t row = 0; row < c->rows; row++) {
            int64_t at = ((it->batch * c->rows + row) * c->heads + head) * c->v_width;
            if (row < rows)
                cpu_store_floats(y->dtype, y->data, (uint64_t)at, (uint64_t)c->v_width,
                                 it->y + (g * rows + row) * c->v_width);
            else
                memset((uint8_t *)y->data + at * size, 0, (size_t)(c->v_width * size));
            if (c->shown == CPU_MS_NONE) continue;
            const cpu_tensor *shown = &it->call->out[c->shown];
            at = ((it->batch * c->heads + head) * c->rows + row) * c->total;
            memset((uint8_t *)shown->data + at * cpu_size(shown), 0, (size_t)(c->total * cpu_size(shown)));
            if (row >= rows) continue;
            float *scores = it->shown + (g * rows + row) * keys + skip;
            for (int64_t key = 0; key < it->image.total; key++)
                if (scores[key] == -INFINITY) scores[key] = it->state->grouped ? 0 : -FLT_MAX;
            cpu_store_floats(shown->dtype, shown->data, (uint64_t)at, (uint64_t)it->image.total, scores);
        }
    }
}

static partita_status item_run(cpu_ms_item *it) {
    partita_status status = it->state->image_of(it->call, it->c, it->batch, &it->image);
    core_call core;
    if (status == PARTITA_OK) status = operands_load(it);
    if (status != PARTITA_OK) return status;
    mask_make(it);
    core_make(it, &core);
    uint64_t items = it->state->core->items != NULL ? it->state->core->items(&core.call) : 1;
    if (it->image.rows > 0) status = it->state->core->run(&core.call, 0, items, 0);
    if (status == PARTITA_OK) results_store(it);
    return status;
}

uint64_t cpu_ms_attention_items(const cpu_call *call) {
    const cpu_ms_state *state = call->state;
    cpu_ms_call c;
    if (state->call_of(call, &c) != PARTITA_OK) return 1; /* `run` says why */
    return (uint64_t)(c.batch * c.kv_heads);
}

uint64_t cpu_ms_attention_scratch(const cpu_call *call) {
    const cpu_ms_state *state = call->state;
    cpu_ms_call c;
    room r;
    if (state->call_of(call, &c) != PARTITA_OK) return 0;
    room_of(call, &c, &r);
    return call->workers * r.all * sizeof(float);
}

/* With data the longest image may be shorter than the caches allow, never longer: each worker's room fits. */
partita_status cpu_ms_attention_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    const cpu_ms_state *state = call->state;
    cpu_ms_call c;
    room r;
    partita_status status = state->call_of(call, &c);
    if (status != PARTITA_OK) return status;
    room_of(call, &c, &r);
    float *own = (float *)call->scratch + worker * r.all;
    for (uint64_t i = begin; status == PARTITA_OK && i < end && i < (uint64_t)(c.batch * c.kv_heads); i++) {
        cpu_ms_item it = {.call = call,
                          .state = state,
                          .c = &c,
                          .batch = (int64_t)i / c.kv_heads,
                          .head = (int64_t)i % c.kv_heads,
                          .q = own + r.q,
                          .k = own + r.k,
                          .v = own + r.v,
                          .y = own + r.y,
                          .mask = own + r.mask,
                          .shown = own + r.shown,
                          .x = own + r.x,
                          .w = own + r.w,
                          .core = own + r.core};
        status = item_run(&it);
    }
    return status;
}
