/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a quantised group becomes. Its first operator decides: it has a QLinear form, or it only moves elements and does
 * so with integers as well. Behind an operator a clamp that the QuantizeLinear makes needless goes, and what moves
 * elements there moves integers.
 */
#include "cpu/kernels/support.h"
#include "cpu/program/groups.h"

#include <math.h>

#define LONGEST 16 /* operators of a group that are looked at */

/* What a DequantizeLinear reads or a QuantizeLinear makes. */
typedef struct quantised {
    uint32_t bytes, scale, zero; /* values; zero may be PARTITA_NONE */
    partita_dtype dtype;
    bool single; /* one scale for all */
    int64_t axis;
} quantised;

typedef struct chain {
    cpu_group *group;
    const ptp_block *block;
    ptp_node_row ops[LONGEST];
    uint32_t rows[LONGEST];
    uint32_t count;
    bool ends; /* in one QuantizeLinear */
    quantised out;
    uint32_t to; /* output of the operator that the rule replaces */
} chain;

static bool is_op(const ptp_block *block, const ptp_node_row *node, const char *op) {
    return ptp_str_is(ptp_ref_str(block, node->op), op) != 0;
}

static bool is_border(const ptp_block *block, const ptp_node_row *node, const char *op) {
    partita_str domain = ptp_ref_str(block, node->domain);
    return is_op(block, node, op) && (domain.size == 0 || ptp_str_is(domain, "com.microsoft"));
}

static bool listed(const ptp_block *block, const ptp_node_row *node, const char *const *names, size_t count) {
    if (node->domain.count > 0) return false;
    for (size_t i = 0; i < count; i++)
        if (is_op(block, node, names[i])) return true;
    return false;
}
#define LISTED(block, node, names) listed(block, node, names, sizeof(names) / sizeof(names[0]))

/* Through these a QuantizeLinear is drawn up, and a DequantizeLinear down. */
static const char *const passable[] = {"MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"};
/* These do with integers what they do with numbers of one scale. */
static const char *const moving[] = {
    "DepthToSpace", "Expand",  "Flatten", "Gather",       "GatherElements", "Identity", "MaxPool",   "ReduceMax",
    "ReduceMin",    "Reshape", "Slice",   "SpaceToDepth", "Squeeze",        "Tile",     "Transpose", "Unsqueeze",
};

static uint32_t input_of(const ptp_block *block, const ptp_node_row *node, uint32_t index) {
    return ptp_ref_id(block, node->inputs, index);
}
static uint32_t output_of(const ptp_block *block, const ptp_node_row *node) {
    return ptp_ref_id(block, node->outputs, 0);
}

static uint64_t count_of(const ptp_block *block, const ptp_value_row *value) {
    uint64_t count = 1;
    const int64_t *dims = ptp_ref_data(block, value->dims);
    for (int32_t i = 0; i < value->rank; i++) count *= dims[i] > 0 ? (uint64_t)dims[i] : 0;
    return count;
}

static bool is_constant(const ptp_block *block, uint32_t value) {
    return value != PARTITA_NONE && (ptp_value_at(block, value).flags & PTP_VALUE_CONSTANT) != 0;
}

/* Scale and zero point of a DequantizeLinear or QuantizeLinear whose integers are of this type. */
static bool parameters_of(const ptp_block *block, const ptp_node_row *node, partita_dtype dtype, quantised *out) {
    *out = (quantised){.scale = input_of(block, node, 1),
                       .zero = input_of(block, node, 2),
                       .dtype = dtype,
                       .axis = ptp_attribute_int(block, node, "axis", 1)};
    if (!is_constant(block, out->scale) || (out->zero != PARTITA_NONE && !is_constant(block, out->zero))) return false;
    if (ptp_attribute_int(block, node, "block_size", 0) != 0) return false;
    ptp_value_row scale = ptp_value_at(block, out->scale);
    uint64_t scales = count_of(block, &scale);
    out->single = scales == 1;
    if (scale.dtype != PARTITA_FLOAT32 || scale.rank > 1) return false;
    if (out->zero == PARTITA_NONE) return true;
    ptp_value_row zero = ptp_value_at(block, out->zero);
    return zero.dtype == dtype && count_of(block, &zero) == scales;
}

/* A number of a small constant, by its type. */
static bool number_of(const ptp_block *block, uint32_t value, double *out) {
    if (!is_constant(block, value)) return false;
    ptp_value_row row = ptp_value_at(block, value);
    if (row.data.count == 0 || count_of(block, &row) != 1) return false;
    const void *data = ptp_ref_data(block, row.data);
    switch (row.dtype) {
    case PARTITA_FLOAT32: *out = (double)*(const float *)data; return true;
    case PARTITA_INT8: *out = *(const int8_t *)data; return true;
    case PARTITA_UINT8: *out = *(const uint8_t *)data; return true;
    default: return false;
    }
}

static bool same_numbers(const ptp_block *block, const quantised *a, const quantised *b) {
    double scales[2], zeros[2] = {0, 0};
    if (a->dtype != b->dtype || !a->single || !b->single) return false;
    if (!number_of(block, a->scale, &scales[0]) || !number_of(block, b->scale, &scales[1])) return false;
    if (a->zero != PARTITA_NONE && !number_of(block, a->zero, &zeros[0])) return false;
    if (b->zero != PARTITA_NONE && !number_of(block, b->zero, &zeros[1])) return false;
    return scales[0] == scales[1] && zeros[0] == zeros[1] && scales[0] > 0;
}

static bool is_byte(partita_dtype dtype) { return dtype == PARTITA_INT8 || dtype == PARTITA_UINT8; }

/* The integers behind a float value of the group; what moves them on the way is made to move integers. */
static bool integers_of(chain *c, uint32_t value, quantised *out) {
    const ptp_block *block = c->block;
    ptp_value_row row;
    if (value == PARTITA_NONE) return false;
    row = ptp_value_at(block, value);
    if (row.producer == PARTITA_NONE || row.dtype != PARTITA_FLOAT32 || (row.flags & PTP_VALUE_DATA_SHAPED))
        return false;
    ptp_node_row node = ptp_node_at(block, row.producer);
    if (node.unit != c->group->unit || row.rank < 0) return false;
    if (is_border(block, &node, "DequantizeLinear")) {
        uint32_t bytes = input_of(block, &node, 0);
        if (bytes == PARTITA_NONE || !parameters_of(block, &node, ptp_value_at(block, bytes).dtype, out)) return false;
        out->bytes = bytes;
        return true;
    }
    if (!LISTED(block, &node, passable) || node.outputs.count != 1) return false;
    if (!integers_of(c, input_of(block, &node, 0), out) || !out->single || !is_byte(out->dtype)) return false;
    uint32_t inputs[8];
    if (node.inputs.count > 8) return false;
    for (uint32_t i = 0; i < node.inputs.count; i++) inputs[i] = i == 0 ? out->bytes : input_of(block, &node, i);
    cpu_group_emit(c->group, &node, NULL, NULL, inputs, node.inputs.count, value);
    cpu_group_retype(c->group, value, out->dtype);
    out->bytes = value;
    return true;
}

/* One scale for the activations of input `index`. */
static bool activation_of(chain *c, uint32_t index, quantised *out) {
    return integers_of(c, input_of(c->block, &c->ops[0], index), out) && out->single && is_byte(out->dtype);
}

/* Constant or not, with one scale or one for each entry of `axis`. */
static bool weight_of(chain *c, uint32_t index, int64_t axis, quantised *out) {
    if (!integers_of(c, input_of(c->block, &c->ops[0], index), out) || !is_byte(out->dtype)) return false;
    if (out->single) return true;
    ptp_value_row row = ptp_value_at(c->block, out->bytes);
    int64_t rank = row.rank, has = out->axis < 0 ? out->axis + rank : out->axis;
    return has == (axis < 0 ? axis + rank : axis);
}

/* A bias of integers, or constant floats that become such where a QuantizeLinear follows. */
static bool bias_of(chain *c, uint32_t index, quantised *out, uint32_t *out_value) {
    *out_value = input_of(c->block, &c->ops[0], index);
    *out = (quantised){.scale = PARTITA_NONE};
    if (*out_value == PARTITA_NONE) return true;
    if (is_constant(c->block, *out_value)) return c->ends && ptp_value_at(c->block, *out_value).rank == 1;
    if (!integers_of(c, *out_value, out)) return false;
    *out_value = out->bytes;
    return out->dtype == PARTITA_INT32;
}

/* The floats of a constant; NULL when the block doesn't show them and nobody else does. */
static const float *floats_of(const chain *c, uint32_t value, uint64_t *out_count) {
    ptp_value_row row = ptp_value_at(c->block, value);
    const ptp_compile *compile = c->group->compile;
    *out_count = count_of(c->block, &row);
    if (row.data.count > 0) return ptp_ref_data(c->block, row.data);
    if (compile == NULL || row.weight >= compile->weight_count) return NULL;
    return ((const ptp_weight *)((const char *)compile->weights + (size_t)row.weight * compile->weights->size))->data;
}

/* The integers of a convolution's bias count products of the other scales; its own scale must say the same. */
static bool bias_fits(const chain *c, const quantised *x, const quantised *w, const quantised *bias) {
    uint64_t counts[3], n;
    if (bias->scale == PARTITA_NONE) return true;
    const float *of_x = floats_of(c, x->scale, &counts[0]), *of_w = floats_of(c, w->scale, &counts[1]);
    const float *of_bias = floats_of(c, bias->scale, &counts[2]);
    if (of_x == NULL || of_w == NULL || of_bias == NULL) return true;
    n = counts[1] > counts[2] ? counts[1] : counts[2];
    if ((counts[1] != 1 && counts[1] != n) || (counts[2] != 1 && counts[2] != n)) return false;
    for (uint64_t i = 0; i < n; i++) {
        float product = of_x[0] * of_w[counts[1] == 1 ? 0 : i];
        if (fabsf(of_bias[counts[2] == 1 ? 0 : i] - product) > 0.01f * fabsf(product)) return false;
    }
    return true;
}

/* ---- operators with a QLinear form ---- */

static void emit(chain *c, const char *op, const char *domain, const uint32_t *inputs, uint32_t count) {
    while (count > 0 && inputs[count - 1] == PARTITA_NONE) count--;
    cpu_group_emit(c->group, &c->ops[0], op, domain, inputs, count, c->to);
}

static bool make_conv(chain *c) {
    quantised x, w, b;
    uint32_t bias;
    if (!c->ends || !activation_of(c, 0, &x) || !weight_of(c, 1, 0, &w) || !bias_of(c, 2, &b, &bias)) return false;
    const uint32_t inputs[] = {x.bytes, x.scale, x.zero, w.bytes, w.scale, w.zero, c->out.scale, c->out.zero, bias};
    if (x.dtype != c->out.dtype || !bias_fits(c, &x, &w, &b)) return false;
    cpu_group_emit(c->group, &c->ops[0], "QLinearConv", "", inputs, bias == PARTITA_NONE ? 8 : 9, c->to);
    return true;
}

/* The one node that reads the value; false when there are others, or it leaves the graph. */
static bool only_reader(const chain *c, uint32_t value, ptp_node_row *out_node) {
    ptp_graph_row graph = ptp_graph_at(c->block, 0);
    uint32_t readers = 0;
    if (value == PARTITA_NONE || (ptp_value_at(c->block, value).flags & PTP_VALUE_OUTPUT) != 0) return false;
    for (uint32_t i = 0; i < graph.node_count && readers < 2; i++) {
        ptp_node_row node = ptp_node_at(c->block, graph.first_node + i);
        for (uint32_t k = 0; k < node.inputs.count; k++)
            if (ptp_ref_id(c->block, node.inputs, k) == value) {
                *out_node = node;
                readers++;
            }
    }
    return readers == 1;
}

/* onnxruntime leaves a product alone that is followed by a clamp which no QuantizeLinear makes needless; the bias of a
 * product of matrices becomes part of it first, and only one of a number for each column may. */
static bool is_left_alone(const chain *c) {
    ptp_node_row next, after;
    uint32_t value = output_of(c->block, &c->ops[0]);
    ptp_value_row y = ptp_value_at(c->block, value);
    if (!only_reader(c, value, &next)) return false;
    if (is_op(c->block, &c->ops[0], "MatMul") && is_op(c->block, &next, "Add") && y.rank == 2) {
        uint32_t first = input_of(c->block, &next, 0);
        uint32_t other = first == value ? input_of(c->block, &next, 1) : first;
        if (other == PARTITA_NONE || ptp_value_at(c->block, other).rank != 1) return true;
        if (!only_reader(c, output_of(c->block, &next), &after)) return false;
        next = after;
    }
    bool clamps = is_op(c->block, &next, "Relu") || is_op(c->block, &next, "Clip");
    return clamps && only_reader(c, output_of(c->block, &next), &after);
}

/* The DequantizeLinear of constant weights [K, N] with scales for blocks of K, for columns, or one. */
static bool packed_weight_of(chain *c, uint32_t value, ptp_node_row *out_node) {
    const ptp_block *block = c->block;
    if (value == PARTITA_NONE || ptp_value_at(block, value).producer == PARTITA_NONE) return false;
    *out_node = ptp_node_at(block, ptp_value_at(block, value).producer);
    if (out_node->unit != c->group->unit || !is_border(block, out_node, "DequantizeLinear")) return false;
    uint32_t w = input_of(block, out_node, 0), scale = input_of(block, out_node, 1),
             zero = input_of(block, out_node, 2);
    if (!is_constant(block, w) || !is_constant(block, scale) || (zero != PARTITA_NONE && !is_constant(block, zero)))
        return false;
    ptp_value_row codes = ptp_value_at(block, w), scales = ptp_value_at(block, scale);
    ptp_node_row reader;
    int64_t axis = ptp_attribute_int(block, out_node, "axis", 1);
    bool blocks = ptp_attribute_int(block, out_node, "block_size", 0) > 0;
    if (codes.rank != 2 || scales.dtype != PARTITA_FLOAT32 || cpu_dtype_bits(codes.dtype) > 8 ||
        cpu_dtype_is_float(codes.dtype) || cpu_dtype_is_minifloat(codes.dtype) || !only_reader(c, w, &reader))
        return false;
    return blocks ? axis == 0 && scales.rank == 2 : scales.rank == 0 || (scales.rank == 1 && axis == 1);
}

/* A product of floats with weights that are dequantised. */
static bool make_unpacked(chain *c) {
    const ptp_block *block = c->block;
    ptp_node_row node = c->ops[0], weight;
    uint32_t bias = input_of(block, &node, 2), inputs[5] = {input_of(block, &node, 0)};
    bool gemm = is_op(block, &node, "Gemm");
    if (c->ends || c->group->nodes.count != 2 || !packed_weight_of(c, input_of(block, &node, 1), &weight)) return false;
    if (is_left_alone(c) || ptp_value_at(block, inputs[0]).dtype != PARTITA_FLOAT32) return false;
    if (gemm &&
        (ptp_attribute_int(block, &node, "transA", 0) != 0 || ptp_attribute_int(block, &node, "transB", 0) != 0 ||
         ptp_attribute_float(block, &node, "alpha", 1) != 1.0f))
        return false;
    if (gemm && bias != PARTITA_NONE &&
        (ptp_attribute_float(block, &node, "beta", 1) != 1.0f || ptp_value_at(block, bias).rank != 1))
        return false;
    for (uint32_t i = 0; i < 3; i++) inputs[i + 1] = input_of(block, &weight, i);
    inputs[4] = gemm ? bias : PARTITA_NONE;
    node.attributes = weight.attributes;
    cpu_group_emit(c->group, &node, "MatMulDequantised", "cpu", inputs, inputs[4] == PARTITA_NONE ? 4 : 5, c->to);
    return true;
}

static bool make_matmul(chain *c) {
    quantised a, b;
    if (make_unpacked(c)) return true;
    if (!activation_of(c, 0, &a) || !weight_of(c, 1, -1, &b) || (!c->ends && is_left_alone(c))) return false;
    if (c->ends) {
        const uint32_t inputs[] = {a.bytes, a.scale, a.zero, b.bytes, b.scale, b.zero, c->out.scale, c->out.zero};
        if (a.dtype != c->out.dtype) return false;
        cpu_group_emit(c->group, &c->ops[0], "QLinearMatMul", "", inputs, 8, c->to);
        return true;
    }
    const uint32_t inputs[] = {a.bytes, b.bytes, a.scale, b.scale, a.zero, b.zero};
    emit(c, "MatMulIntegerToFloat", "com.microsoft", inputs, 6);
    return true;
}

static bool make_gemm(chain *c) {
    quantised a, b, d;
    uint32_t bias;
    int64_t turned = ptp_attribute_int(c->block, &c->ops[0], "transB", 0);
    if (make_unpacked(c)) return true;
    if (!c->ends && is_left_alone(c)) return false;
    if (!activation_of(c, 0, &a) || !weight_of(c, 1, turned ? 0 : 1, &b) || !bias_of(c, 2, &d, &bias)) return false;
    if (bias != PARTITA_NONE && ptp_attribute_float(c->block, &c->ops[0], "beta", 1) != 1.0f) return false;
    uint32_t inputs[] = {a.bytes, a.scale, a.zero, b.bytes, b.scale, b.zero, bias, c->out.scale, c->out.zero};
    if (c->ends && a.dtype != c->out.dtype) return false;
    emit(c, "QGemm", "com.microsoft", inputs, c->ends ? 9 : 7);
    return true;
}

static bool make_unary(chain *c) {
    char name[64] = "QLinear";
    quantised x;
    partita_str op = ptp_ref_str(c->block, c->ops[0].op);
    if (!c->ends || !activation_of(c, 0, &x) || x.dtype != c->out.dtype || op.size > 40) return false;
    memcpy(name + 7, op.data, op.size);
    const uint32_t inputs[] = {x.bytes, x.scale, x.zero, c->out.scale, c->out.zero};
    emit(c, name, "com.microsoft", inputs, 5);
    if (is_op(c->block, &c->ops[0], "Softmax")) cpu_group_attribute(c->group, "opset", c->ops[0].since);
    return true;
}

/* onnxruntime computes signed bytes as unsigned ones, but for a constant that is one number. */
static bool stays_signed(const chain *c, const quantised *x) {
    return x->dtype == PARTITA_INT8 && is_constant(c->block, x->bytes) && ptp_value_at(c->block, x->bytes).rank == 0;
}

static bool make_binary(chain *c) {
    quantised a, b;
    bool times = is_op(c->block, &c->ops[0], "Mul");
    if (!c->ends || !activation_of(c, 0, &a) || !activation_of(c, 1, &b)) return false;
    if (a.dtype != c->out.dtype || b.dtype != c->out.dtype || stays_signed(c, &a) || stays_signed(c, &b)) return false;
    const uint32_t inputs[] = {a.bytes, a.scale, a.zero, b.bytes, b.scale, b.zero, c->out.scale, c->out.zero};
    emit(c, times ? "QLinearMul" : "QLinearAdd", "com.microsoft", inputs, 8);
    return true;
}

static bool make_concat(chain *c) {
    uint32_t count = c->ops[0].inputs.count, inputs[3 * 32 + 2] = {c->out.scale, c->out.zero};
    if (!c->ends || count > 32) return false;
    for (uint32_t i = 0; i < count; i++) {
        quantised x;
        if (!activation_of(c, i, &x) || x.dtype != c->out.dtype) return false;
        inputs[2 + 3 * i] = x.bytes;
        inputs[3 + 3 * i] = x.scale;
        inputs[4 + 3 * i] = x.zero;
    }
    cpu_group_emit(c->group, &c->ops[0], "QLinearConcat", "com.microsoft", inputs, 2 + 3 * count, c->to);
    return true;
}

static bool make_moving(chain *c) {
    quantised x;
    uint32_t inputs[8];
    const ptp_node_row *node = &c->ops[0];
    if (!c->ends || node->outputs.count != 1 || node->inputs.count > 8 || !activation_of(c, 0, &x)) return false;
    if (!same_numbers(c->block, &x, &c->out)) return false;
    for (uint32_t i = 0; i < node->inputs.count; i++) inputs[i] = i == 0 ? x.bytes : input_of(c->block, node, i);
    cpu_group_emit(c->group, node, NULL, NULL, inputs, node->inputs.count, c->to);
    return true;
}

typedef struct rule {
    const char *op;
    bool (*make)(chain *c);
} rule;

static const rule rules[] = {
    {"Add", make_binary}, {"AveragePool", make_unary},       {"Concat", make_concat},   {"Conv", make_conv},
    {"Gemm", make_gemm},  {"GlobalAveragePool", make_unary}, {"LeakyRelu", make_unary}, {"MatMul", make_matmul},
    {"Mul", make_binary}, {"Sigmoid", make_unary},           {"Softmax", make_unary},
};

/* ---- the chain ---- */

/* The range of a clamp; false when it isn't known. */
static bool clip_range(const ptp_block *block, const ptp_node_row *node, double *low, double *high) {
    *low = -(double)INFINITY;
    *high = (double)INFINITY;
    if (is_op(block, node, "Relu")) {
        *low = 0;
        return true;
    }
    if (!is_op(block, node, "Clip") || node->domain.count > 0) return false;
    if (node->since < 11) {
        *low = (double)ptp_attribute_float(block, node, "min", -INFINITY);
        *high = (double)ptp_attribute_float(block, node, "max", INFINITY);
        return true;
    }
    uint32_t least = input_of(block, node, 1), most = input_of(block, node, 2);
    return (least == PARTITA_NONE || number_of(block, least, low)) &&
           (most == PARTITA_NONE || number_of(block, most, high));
}

/* Whether saturation of the QuantizeLinear does what the clamp does. */
static bool is_needless(const ptp_block *block, const ptp_node_row *node, const quantised *to) {
    double low, high, scale, zero = 0, least = to->dtype == PARTITA_INT8 ? -128 : 0;
    if (!to->single || !number_of(block, to->scale, &scale) || !clip_range(block, node, &low, &high)) return false;
    if (to->zero != PARTITA_NONE && !number_of(block, to->zero, &zero)) return false;
    if (is_op(block, node, "Relu")) return zero == least;
    return rint((double)(float)(low / scale)) + zero <= least &&
           rint((double)(float)(high / scale)) + zero >= least + 255;
}

/* Operators in order, and the one QuantizeLinear behind them. */
static bool chain_read(cpu_group *group, chain *c) {
    const ptp_block *block = group->block;
    uint32_t quantisers = 0;
    *c = (chain){.group = group, .block = block};
    for (uint32_t i = 0; i < group->nodes.count; i++) {
        uint32_t row = ptp_ref_id(block, group->nodes, i);
        ptp_node_row node = ptp_node_at(block, row);
        if (is_border(block, &node, "DequantizeLinear")) continue;
        if (is_border(block, &node, "QuantizeLinear")) {
            uint32_t to = output_of(block, &node);
            if (quantisers++ > 0 || to == PARTITA_NONE) return false;
            ptp_value_row value = ptp_value_at(block, to);
            if (!is_byte(value.dtype) || !parameters_of(block, &node, value.dtype, &c->out) || !c->out.single)
                return false;
            c->out.bytes = to;
            continue;
        }
        if (c->count == LONGEST || node.bodies.count > 0) return false;
        c->rows[c->count] = row;
        c->ops[c->count++] = node;
    }
    c->ends = quantisers == 1;
    return c->count > 0;
}

/* Values in between whose shape only data tells have no place in a frame. */
static bool shapes_known(const chain *c) {
    for (uint32_t i = 0; i < c->count; i++) {
        uint32_t value = output_of(c->block, &c->ops[i]);
        if (value == PARTITA_NONE || c->ops[i].outputs.count != 1) return false;
        ptp_value_row row = ptp_value_at(c->block, value);
        if (row.rank < 0 || row.kind != PARTITA_KIND_TENSOR || row.dtype != PARTITA_FLOAT32 ||
            (row.flags & PTP_VALUE_DATA_SHAPED) != 0)
            return false;
    }
    return true;
}

/* The operator that is replaced: those in front of it only move its inputs. */
static uint32_t main_of(const chain *c) {
    for (uint32_t i = 0; i < c->count; i++)
        if (!LISTED(c->block, &c->ops[i], passable)) return i;
    return 0;
}

static const rule *rule_of(const chain *c) {
    static const rule moves = {"", make_moving};
    if (c->ops[0].domain.count > 0) return NULL;
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (is_op(c->block, &c->ops[0], rules[i].op)) return &rules[i];
    return LISTED(c->block, &c->ops[0], moving) ? &moves : NULL;
}

bool cpu_group_rewrite(cpu_group *group) {
    chain c;
    if (!chain_read(group, &c) || !shapes_known(&c)) return false;
    group->anchor = c.rows[c.count - 1];
    uint32_t moved = main_of(&c);
    c.count -= moved;
    memmove(c.ops, c.ops + moved, sizeof(c.ops[0]) * c.count);
    const rule *found = rule_of(&c);
    if (found == NULL || (!c.ends && c.count > 1)) return false;
    uint32_t next = 1;
    c.to = output_of(group->block, &c.ops[0]);
    if (next < c.count && found->make != make_moving && is_needless(group->block, &c.ops[next], &c.out))
        c.to = output_of(group->block, &c.ops[next++]);
    for (uint32_t i = next; i < c.count; i++)
        if (!LISTED(group->block, &c.ops[i], passable)) return false;
    if (c.ends && next == c.count)
        c.to = c.out.bytes;
    else if (c.ends)
        cpu_group_retype(group, c.to, c.out.dtype);
    if (!found->make(&c)) return false;
    for (uint32_t from = c.to; next < c.count; next++) {
        uint32_t inputs[8], to = next + 1 == c.count ? c.out.bytes : output_of(group->block, &c.ops[next]);
        const ptp_node_row *node = &c.ops[next];
        if (node->inputs.count > 8) return false;
        for (uint32_t i = 0; i < node->inputs.count; i++) inputs[i] = i == 0 ? from : input_of(group->block, node, i);
        cpu_group_emit(group, node, NULL, NULL, inputs, node->inputs.count, to);
        if (to != c.out.bytes) cpu_group_retype(group, to, c.out.dtype);
        from = to;
    }
    return true;
}
