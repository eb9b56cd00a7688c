/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers: a counter-based generator, so that element i depends on the seed and i alone, whoever computes it. A
 * node without a seed takes one from its name and from how often it was run, as in a loop each turn needs numbers of
 * its own: the same model gives the same numbers from its start on. Dropout, which is one of them only when it trains,
 * stands here too.
 */
#include "cpu/kernels/support.h"

enum { NORMAL, UNIFORM, BERNOULLI, MULTINOMIAL, DROPOUT };

typedef struct random_state {
    uint32_t kind;
    uint64_t seed;
    float a, b; /* mean and scale, or low and high; of Dropout its ratio in opsets before 12 */
    bool ratio_input;
    uint64_t *draws; /* runs so far; NULL: the node has a seed, which alone decides */
} random_state;

/* The finaliser of splitmix64 over the counter. */
static uint64_t random_bits(uint64_t seed, uint64_t i) {
    uint64_t z = seed + (i + 1) * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* In [0, 1). */
static double random_unit(uint64_t seed, uint64_t i) { return (double)(random_bits(seed, i) >> 11) * 0x1p-53; }

static double random_normal(uint64_t seed, uint64_t i) {
    double u = 1 - random_unit(seed, 2 * i), v = random_unit(seed, 2 * i + 1);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* The seed of this run. Called once in each, so that one worker makes all numbers of a run. */
static uint64_t seed_of(const random_state *state) {
    if (state->draws == NULL) return state->seed;
    return random_bits(state->seed, __atomic_fetch_add(state->draws, 1, __ATOMIC_RELAXED));
}

static partita_status random_prepare(const cpu_node *node, const ptp_host *host, void **out_state) {
    partita_str op = ptp_ref_str(node->block, node->row.op), name = ptp_ref_str(node->block, node->row.name);
    ptp_attribute_row row;
    random_state *state = cpu_alloc(host, sizeof(*state) + sizeof(*state->draws));
    if (state == NULL) return PARTITA_OUT_OF_MEMORY;
    state->draws = (uint64_t *)(state + 1);
    state->kind = op.size > 12 && memcmp(op.data, "RandomNormal", 12) == 0 ? NORMAL
                  : ptp_str_is(op, "Bernoulli")                            ? BERNOULLI
                  : ptp_str_is(op, "Multinomial")                          ? MULTINOMIAL
                  : ptp_str_is(op, "Dropout")                              ? DROPOUT
                                                                           : UNIFORM;
    if (ptp_str_is(op, "RandomNormal")) state->kind = NORMAL;
    state->a = state->kind == NORMAL    ? cpu_attr_float(node, "mean", 0)
               : state->kind == DROPOUT ? cpu_attr_float(node, "ratio", 0.5f)
                                        : cpu_attr_float(node, "low", 0);
    state->b = state->kind == NORMAL ? cpu_attr_float(node, "scale", 1) : cpu_attr_float(node, "high", 1);
    state->ratio_input = node->row.since >= 12;
    state->seed = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < name.size; i++)
        state->seed = (state->seed ^ (uint8_t)name.data[i]) * UINT64_C(0x100000001b3);
    if (ptp_attribute_find(node->block, &node->row, "seed", &row)) {
        float real = cpu_attr_float(node, "seed", 0);
        state->seed = row.type == PTP_ATTRIBUTE_INT ? (uint64_t)cpu_attr_int(node, "seed", 0) : cpu_float_bits(real);
        state->draws = NULL;
    }
    *out_state = state;
    return PARTITA_OK;
}

static partita_status random_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const random_state *state = call->state;
    const cpu_tensor *out = &call->out[0];
    uint64_t seed = seed_of(state);
    if (call->in_count > 0) {
        partita_status status = cpu_expect_like(call, 0, &call->in[0]);
        if (status != PARTITA_OK) return status;
    }
    for (uint64_t i = 0; i < out->count; i++) {
        double value, p;
        if (state->kind == NORMAL) {
            value = (double)state->a + (double)state->b * random_normal(seed, i);
        } else if (state->kind == UNIFORM) {
            value = (double)state->a + ((double)state->b - (double)state->a) * random_unit(seed, i);
        } else {
            cpu_load_doubles(call->in[0].dtype, call->in[0].data, i, 1, &p);
            value = random_unit(seed, i) < p;
        }
        cpu_store_doubles(out->dtype, out->data, i, 1, &value);
    }
    return PARTITA_OK;
}

/* Class by the cumulative sum of exp(x), x unnormalised log probabilities. */
static partita_status multinomial_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)begin, (void)end, (void)worker;
    const random_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0];
    if (in->rank != 2 || out->rank != 2 || out->dims[0] != in->dims[0] || (in->dims[1] == 0 && out->count > 0))
        return cpu_fail(call->host, PARTITA_BAD_INPUT, "input must be [batch, classes]");
    uint64_t classes = (uint64_t)in->dims[1], seed = seed_of(state);
    for (uint64_t i = 0; i < out->count; i++) {
        uint64_t row = i / (uint64_t)out->dims[1] * classes;
        double top = -INFINITY, total = 0, sum = 0, x;
        for (uint64_t c = 0; c < classes; c++) {
            cpu_load_doubles(in->dtype, in->data, row + c, 1, &x);
            top = x > top ? x : top;
        }
        if (!isfinite(top)) top = 0;
        for (uint64_t c = 0; c < classes; c++) {
            cpu_load_doubles(in->dtype, in->data, row + c, 1, &x);
            total += exp(x - top);
        }
        double wanted = random_unit(seed, i) * total;
        int64_t pick = (int64_t)classes - 1;
        for (uint64_t c = 0; c < classes; c++) {
            cpu_load_doubles(in->dtype, in->data, row + c, 1, &x);
            sum += exp(x - top);
            if (sum <= wanted) continue;
            pick = (int64_t)c;
            break;
        }
        cpu_store_int64s(out->dtype, out->data, i, 1, &pick);
    }
    return PARTITA_OK;
}

/* ---- Dropout: the identity, unless an input says that it trains ---- */

static bool may_train(const cpu_call *call) { return cpu_has_input(call, 2); }

static uint64_t dropout_items(const cpu_call *call) { return may_train(call) ? 1 : cpu_items_elements(call); }

static partita_status dropout_run(const cpu_call *call, uint64_t begin, uint64_t end, uint32_t worker) {
    (void)worker;
    const random_state *state = call->state;
    const cpu_tensor *in = &call->in[0], *out = &call->out[0], *mask = cpu_has_output(call, 1) ? &call->out[1] : NULL;
    bool trains =
        state->ratio_input && may_train(call) && call->in[2].count == 1 && *(const uint8_t *)call->in[2].data != 0;
    float ratio = 0.5f;
    uint64_t first, last, size = cpu_size(in);
    partita_status status = cpu_expect_like(call, 0, in);
    if (status == PARTITA_OK && mask != NULL) status = cpu_expect_like(call, 1, in);
    if (status != PARTITA_OK) return status;
    if (cpu_has_input(call, 1) && call->in[1].count == 1)
        cpu_load_floats(call->in[1].dtype, call->in[1].data, 0, 1, &ratio);
    cpu_item_range(out, begin, end, &first, &last);
    if (may_train(call)) last = out->count;
    uint64_t seed = trains ? seed_of(state) : 0;
    if (!trains && out->data != in->data && first < last)
        memcpy((char *)out->data + first * size, (const char *)in->data + first * size, (last - first) * size);
    for (uint64_t i = first; (trains || mask != NULL) && i < last; i++) {
        double keep = !trains || random_unit(seed, i) >= (double)ratio, value;
        if (trains) {
            cpu_load_doubles(in->dtype, in->data, i, 1, &value);
            value = keep != 0 ? value / (1 - (double)ratio) : 0;
            cpu_store_doubles(out->dtype, out->data, i, 1, &value);
        }
        if (mask != NULL) cpu_store_doubles(mask->dtype, mask->data, i, 1, &keep);
    }
    return PARTITA_OK;
}

/* The type that `dtype` says, or the input's where it says none. */
static bool random_claim(const cpu_node *node, ptp_answer *answer) {
    partita_dtype dtype = cpu_output_dtype(node, 0);
    if ((CPU_NUMBERS | CPU_TYPE(BOOL)) >> dtype & 1) return true;
    return cpu_refuse(answer, PARTITA_REASON_DTYPE, "no random numbers of type %s", cpu_dtype_name(dtype));
}

#define RANDOM_ROW(name, all, runs)                                                                                    \
    {                                                                                                                  \
        .op = name, .domain = "", .since = 1, .until = CPU_NEWEST, .types = all, .reference = true,                    \
        .claim = random_claim, .prepare = random_prepare, .release = cpu_free, .run = runs                             \
    }

const cpu_kernel cpu_kernels_random[] = {
    RANDOM_ROW("RandomNormal", CPU_FLOATS, random_run),
    RANDOM_ROW("RandomUniform", CPU_FLOATS, random_run),
    RANDOM_ROW("RandomNormalLike", CPU_FIXED | CPU_TYPE(STRING), random_run),
    RANDOM_ROW("RandomUniformLike", CPU_FIXED | CPU_TYPE(STRING), random_run),
    RANDOM_ROW("Bernoulli", CPU_FLOATS, random_run),
    RANDOM_ROW("Multinomial", CPU_FLOATS, multinomial_run),
    {.op = "Dropout",
     .domain = "",
     .since = 1,
     .until = CPU_NEWEST,
     .types = CPU_FLOATS | CPU_FLOAT8,
     .reference = true,
     .prepare = random_prepare,
     .release = cpu_free,
     .items = dropout_items,
     .run = dropout_run,
     .in_place = true},
};
const uint32_t cpu_kernels_random_count = sizeof(cpu_kernels_random) / sizeof(cpu_kernels_random[0]);
