/* SPDX-License-Identifier: Apache-2.0 */
/* Data movement: order, slices, joins, pads, gathers, and shapes that become data. */
#include "plugins/opencl/trial.h"

static void transpose(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(2, 3, 4, 5)), y = trial_out(t, PARTITA_FLOAT32, DIMS(4, 2, 5, 3));
    uint32_t i64 = trial_in(t, PARTITA_INT64, DIMS(3, 7)), turned = trial_out(t, PARTITA_INT64, DIMS(7, 3));
    uint32_t u8 = trial_in(t, PARTITA_UINT8, DIMS(5, 6)), bytes = trial_out(t, PARTITA_UINT8, DIMS(6, 5));
    trial_node(t, "Transpose", 13, x, NONE, NONE, y);
    bb_ints(&t->block, "perm", (int64_t[]){2, 0, 3, 1}, 4);
    trial_node(t, "Transpose", 13, i64, NONE, NONE, turned);
    trial_node(t, "Transpose", 13, u8, NONE, NONE, bytes);
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 3; b++)
            for (int c = 0; c < 4; c++)
                for (int d = 0; d < 5; d++)
                    FLOATS(y)[((c * 2 + a) * 5 + d) * 3 + b] = FLOATS(x)[((a * 3 + b) * 4 + c) * 5 + d];
    for (int a = 0; a < 3; a++)
        for (int b = 0; b < 7; b++) INT64S(turned)[b * 3 + a] = INT64S(i64)[a * 7 + b];
    for (int a = 0; a < 5; a++)
        for (int b = 0; b < 6; b++) BYTES(bytes)[b * 5 + a] = BYTES(u8)[a * 6 + b];
}

static void slice(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(6, 10)), y = trial_out(t, PARTITA_FLOAT32, DIMS(2, 5)),
             back = trial_out(t, PARTITA_FLOAT32, DIMS(6, 5));
    uint32_t old = trial_out(t, PARTITA_FLOAT32, DIMS(3, 10));
    uint32_t in[] = {x, trial_ints(t, 2, (int64_t[]){1, 0}), trial_ints(t, 2, (int64_t[]){4, 100}),
                     trial_ints(t, 2, (int64_t[]){0, -1}), trial_ints(t, 2, (int64_t[]){2, 2})};
    bb_node(&t->block, "Slice", 13, in, 5, &y, 1);
    uint32_t reversed[] = {x, trial_ints(t, 1, (int64_t[]){-2}), trial_ints(t, 1, (int64_t[]){-12}),
                           trial_ints(t, 1, (int64_t[]){1}), trial_ints(t, 1, (int64_t[]){-2})};
    bb_node(&t->block, "Slice", 13, reversed, 5, &back, 1);
    trial_node(t, "Slice", 1, x, NONE, NONE, old);
    bb_ints(&t->block, "starts", (int64_t[]){-3}, 1);
    bb_ints(&t->block, "ends", (int64_t[]){INT64_MAX}, 1);
    bb_ints(&t->block, "axes", (int64_t[]){0}, 1);
    for (int a = 0; a < 2; a++)
        for (int b = 0; b < 5; b++) FLOATS(y)[a * 5 + b] = FLOATS(x)[(1 + 2 * a) * 10 + 2 * b];
    for (int a = 0; a < 6; a++)
        for (int b = 0; b < 5; b++) FLOATS(back)[a * 5 + b] = FLOATS(x)[a * 10 + 8 - 2 * b];
    for (int i = 0; i < 30; i++) FLOATS(old)[i] = FLOATS(x)[30 + i];
}

static void concat_split(trial *t) {
    uint32_t in[3] = {trial_in(t, PARTITA_FLOAT32, DIMS(2, 3, 4)), trial_in(t, PARTITA_FLOAT32, DIMS(2, 1, 4)),
                      trial_in(t, PARTITA_FLOAT32, DIMS(2, 2, 4))};
    uint32_t joined = trial_out(t, PARTITA_FLOAT32, DIMS(2, 6, 4)),
             parts[2] = {trial_out(t, PARTITA_FLOAT32, DIMS(2, 2, 4)), trial_out(t, PARTITA_FLOAT32, DIMS(2, 4, 4))};
    bb_node(&t->block, "Concat", 13, in, 3, &joined, 1);
    bb_int(&t->block, "axis", -2);
    uint32_t split[] = {joined, trial_ints(t, 2, (int64_t[]){2, 4})};
    bb_node(&t->block, "Split", 13, split, 2, parts, 2);
    bb_int(&t->block, "axis", 1);
    static const int sizes[] = {3, 1, 2};
    for (int n = 0; n < 2; n++) {
        int at = 0;
        for (int k = 0; k < 3; k++)
            for (int c = 0; c < sizes[k]; c++, at++)
                for (int i = 0; i < 4; i++) {
                    float v = FLOATS(in[k])[(n * sizes[k] + c) * 4 + i];
                    FLOATS(joined)[(n * 6 + at) * 4 + i] = v;
                    if (at < 2)
                        FLOATS(parts[0])[(n * 2 + at) * 4 + i] = v;
                    else
                        FLOATS(parts[1])[(n * 4 + at - 2) * 4 + i] = v;
                }
    }
}

static void pad(trial *t) {
    static const char *const modes[] = {"constant", "reflect", "edge", "wrap"};
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(3, 5));
    uint32_t pads = trial_ints(t, 4, (int64_t[]){1, 3, 2, -1}),
             fill = trial_constant(t, PARTITA_FLOAT32, SCALAR_DIMS, (float[]){1.25f});
    for (int m = 0; m < 4; m++) {
        uint32_t y = trial_out(t, PARTITA_FLOAT32, DIMS(6, 7));
        trial_node(t, "Pad", 19, x, pads, fill, y);
        bb_string(&t->block, "mode", modes[m]);
        for (int a = 0; a < 6; a++)
            for (int b = 0; b < 7; b++) {
                int r = a - 1, c = b - 3;
                bool inside = r >= 0 && r < 3 && c >= 0 && c < 5;
                if (m == 1) {
                    r = r < 0 ? -r : r > 2 ? 4 - r : r;
                    c = c < 0 ? -c : c > 4 ? 8 - c : c;
                } else if (m == 2) {
                    r = r < 0 ? 0 : r > 2 ? 2 : r;
                    c = c < 0 ? 0 : c > 4 ? 4 : c;
                } else if (m == 3) {
                    r = (r + 3) % 3;
                    c = (c + 5) % 5;
                }
                FLOATS(y)[a * 7 + b] = m == 0 && !inside ? 1.25f : FLOATS(x)[r * 5 + c];
            }
    }
    uint32_t wide = trial_in(t, PARTITA_INT64, DIMS(3)), padded = trial_out(t, PARTITA_INT64, DIMS(5));
    trial_node(t, "Pad", 13, wide, trial_ints(t, 2, (int64_t[]){1, 1}),
               trial_constant(t, PARTITA_INT64, SCALAR_DIMS, (int64_t[]){-5000000000}), padded);
    INT64S(padded)[0] = INT64S(padded)[4] = -5000000000;
    memcpy(INT64S(padded) + 1, INT64S(wide), 24);
}

static void expand_tile(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(3, 1)), y = trial_out(t, PARTITA_FLOAT32, DIMS(2, 3, 4)),
             z = trial_out(t, PARTITA_FLOAT32, DIMS(6, 3));
    trial_node(t, "Expand", 13, x, trial_ints(t, 3, (int64_t[]){2, 3, 4}), NONE, y);
    trial_node(t, "Tile", 13, x, trial_ints(t, 2, (int64_t[]){2, 3}), NONE, z);
    for (int i = 0; i < 24; i++) FLOATS(y)[i] = FLOATS(x)[i / 4 % 3];
    for (int i = 0; i < 18; i++) FLOATS(z)[i] = FLOATS(x)[i / 3 % 3];
}

static void gather(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(4, 6, 3)), i64 = trial_in(t, PARTITA_INT64, DIMS(2, 2)),
             y = trial_out(t, PARTITA_FLOAT32, DIMS(4, 2, 2, 3));
    static const int64_t picks[] = {5, -1, 0, -6};
    trial_node(t, "Gather", 13, x, i64, NONE, y);
    bb_int(&t->block, "axis", 1);
    memcpy(INT64S(i64), picks, sizeof(picks));
    for (int a = 0; a < 4; a++)
        for (int j = 0; j < 4; j++)
            for (int c = 0; c < 3; c++)
                FLOATS(y)[(a * 4 + j) * 3 + c] = FLOATS(x)[(a * 6 + (picks[j] + 6) % 6) * 3 + c];
    uint32_t table = trial_in(t, PARTITA_INT64, DIMS(5)), i32 = trial_in(t, PARTITA_INT32, SCALAR_DIMS),
             one = trial_out(t, PARTITA_INT64, SCALAR_DIMS);
    trial_node(t, "Gather", 13, table, i32, NONE, one);
    bb_int(&t->block, "axis", 0);
    INT32S(i32)[0] = -2;
    INT64S(one)[0] = INT64S(table)[3];
}

static void gather_elements_nd(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(3, 4)), i = trial_in(t, PARTITA_INT64, DIMS(2, 4)),
             y = trial_out(t, PARTITA_FLOAT32, DIMS(2, 4));
    trial_node(t, "GatherElements", 13, x, i, NONE, y);
    bb_int(&t->block, "axis", 0);
    for (int k = 0; k < 8; k++) {
        INT64S(i)[k] = k % 4 - 1;
        FLOATS(y)[k] = FLOATS(x)[(INT64S(i)[k] + 3) % 3 * 4 + k % 4];
    }
    uint32_t data = trial_in(t, PARTITA_FLOAT32, DIMS(2, 3, 4)), tuples = trial_in(t, PARTITA_INT64, DIMS(2, 2, 1)),
             z = trial_out(t, PARTITA_FLOAT32, DIMS(2, 2, 4));
    trial_node(t, "GatherND", 13, data, tuples, NONE, z);
    bb_int(&t->block, "batch_dims", 1);
    for (int n = 0; n < 2; n++)
        for (int k = 0; k < 2; k++) {
            INT64S(tuples)[n * 2 + k] = n + k;
            for (int c = 0; c < 4; c++) FLOATS(z)[(n * 2 + k) * 4 + c] = FLOATS(data)[(n * 3 + n + k) * 4 + c];
        }
}

static void scatter(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(4, 3)), i = trial_in(t, PARTITA_INT64, DIMS(2, 1)),
             u = trial_in(t, PARTITA_FLOAT32, DIMS(2, 3)), y = trial_out(t, PARTITA_FLOAT32, DIMS(4, 3));
    trial_node(t, "ScatterND", 18, x, i, u, y);
    bb_string(&t->block, "reduction", "none");
    INT64S(i)[0] = 2;
    INT64S(i)[1] = -4;
    memcpy(FLOATS(y), FLOATS(x), 48);
    memcpy(FLOATS(y) + 6, FLOATS(u), 12);
    memcpy(FLOATS(y), FLOATS(u) + 3, 12);
}

/* Reshape and friends are aliases, also of inputs and constants that are outputs. */
static void aliases(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(2, 6)), a = trial_out(t, PARTITA_FLOAT32, DIMS(3, 4)),
             b = trial_out(t, PARTITA_FLOAT32, DIMS(12));
    uint32_t inner = trial_inner(t, PARTITA_FLOAT32, DIMS(2, 6)), c = trial_out(t, PARTITA_FLOAT32, DIMS(2, 1, 6)),
             d = trial_out(t, PARTITA_FLOAT32, DIMS(2, 6));
    uint32_t k = trial_constant(t, PARTITA_FLOAT32, DIMS(3), (float[]){1, 2, 3}),
             e = trial_out(t, PARTITA_FLOAT32, DIMS(1, 3));
    trial_node(t, "Reshape", 14, x, trial_ints(t, 2, (int64_t[]){3, 4}), NONE, a);
    trial_node(t, "Flatten", 13, x, NONE, NONE, b);
    bb_int(&t->block, "axis", 0);
    trial_node(t, "Neg", 13, x, NONE, NONE, inner);
    trial_node(t, "Unsqueeze", 13, inner, trial_ints(t, 1, (int64_t[]){1}), NONE, c);
    trial_node(t, "Identity", 13, inner, NONE, NONE, d);
    trial_node(t, "Unsqueeze", 13, k, trial_ints(t, 1, (int64_t[]){0}), NONE, e);
    for (int i = 0; i < 12; i++) {
        FLOATS(a)[i] = FLOATS(b)[i] = FLOATS(x)[i];
        FLOATS(c)[i] = FLOATS(d)[i] = -FLOATS(x)[i];
    }
    for (int i = 0; i < 3; i++) FLOATS(e)[i] = (float)(i + 1);
}

static void shapes(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(2, 3, 5)), shape = trial_out(t, PARTITA_INT64, DIMS(3)),
             part = trial_out(t, PARTITA_INT64, DIMS(2)), size = trial_out(t, PARTITA_INT64, SCALAR_DIMS);
    trial_node(t, "Shape", 15, x, NONE, NONE, shape);
    trial_node(t, "Shape", 15, x, NONE, NONE, part);
    bb_int(&t->block, "start", -2);
    trial_node(t, "Size", 13, x, NONE, NONE, size);
    for (int i = 0; i < 3; i++) INT64S(shape)[i] = (int64_t[]){2, 3, 5}[i];
    for (int i = 0; i < 2; i++) INT64S(part)[i] = (int64_t[]){3, 5}[i];
    INT64S(size)[0] = 30;
    uint32_t filled = trial_out(t, PARTITA_INT64, DIMS(2, 2)),
             value = trial_constant(t, PARTITA_INT64, DIMS(1), (int64_t[]){-7});
    trial_node(t, "ConstantOfShape", 9, trial_ints(t, 2, (int64_t[]){2, 2}), NONE, NONE, filled);
    bb_tensor(&t->block, "value", value);
    for (int i = 0; i < 4; i++) INT64S(filled)[i] = -7;
    uint32_t start = trial_in(t, PARTITA_INT64, SCALAR_DIMS), limit = trial_in(t, PARTITA_INT64, SCALAR_DIMS),
             delta = trial_in(t, PARTITA_INT64, SCALAR_DIMS), range = trial_out(t, PARTITA_INT64, DIMS(5));
    trial_node(t, "Range", 11, start, limit, delta, range);
    INT64S(start)[0] = 3;
    INT64S(limit)[0] = -7;
    INT64S(delta)[0] = -2;
    for (int i = 0; i < 5; i++) INT64S(range)[i] = 3 - 2 * i;
}

static void depth_space(trial *t) {
    static const char *const modes[] = {"DCR", "CRD"};
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(1, 8, 2, 3));
    for (int m = 0; m < 2; m++) {
        uint32_t y = trial_out(t, PARTITA_FLOAT32, DIMS(1, 2, 4, 6));
        trial_node(t, "DepthToSpace", 13, x, NONE, NONE, y);
        bb_int(&t->block, "blocksize", 2);
        bb_string(&t->block, "mode", modes[m]);
        for (int c = 0; c < 2; c++)
            for (int h = 0; h < 4; h++)
                for (int w = 0; w < 6; w++) {
                    int block = h % 2 * 2 + w % 2, from = m == 0 ? block * 2 + c : c * 4 + block;
                    FLOATS(y)[(c * 4 + h) * 6 + w] = FLOATS(x)[(from * 2 + h / 2) * 3 + w / 2];
                }
        if (m == 1) continue;
        uint32_t z = trial_out(t, PARTITA_FLOAT32, DIMS(1, 8, 2, 3));
        trial_node(t, "SpaceToDepth", 13, y, NONE, NONE, z);
        bb_int(&t->block, "blocksize", 2);
        memcpy(FLOATS(z), FLOATS(x), 48 * sizeof(float));
    }
}

/* Nothing to compute, nothing to touch. */
static void empty(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(0, 3)), y = trial_out(t, PARTITA_FLOAT32, DIMS(0, 3)),
             sum = trial_out(t, PARTITA_FLOAT32, DIMS(1, 3));
    uint32_t z = trial_in(t, PARTITA_FLOAT32, DIMS(2, 3)), joined = trial_out(t, PARTITA_FLOAT32, DIMS(2, 3));
    trial_node(t, "Relu", 14, x, NONE, NONE, y);
    trial_node(t, "ReduceSum", 13, x, trial_ints(t, 1, (int64_t[]){0}), NONE, sum);
    bb_int(&t->block, "keepdims", 1);
    trial_node(t, "Concat", 13, x, z, NONE, joined);
    bb_int(&t->block, "axis", 0);
    memcpy(FLOATS(joined), FLOATS(z), 24);
}

const trial_case cases_move[] = {
    {"transpose", transpose},
    {"slice", slice},
    {"concat and split", concat_split},
    {"pad", pad},
    {"expand and tile", expand_tile},
    {"gather", gather},
    {"gather elements and tuples", gather_elements_nd},
    {"scatter", scatter},
    {"aliases", aliases},
    {"shapes", shapes},
    {"depth and space", depth_space},
    {"empty", empty},
};
const unsigned cases_move_count = sizeof(cases_move) / sizeof(cases_move[0]);
