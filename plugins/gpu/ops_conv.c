/* SPDX-License-Identifier: Apache-2.0 */
/* Conv and ConvTranspose over one or two axes; a 1x1 convolution is a product. Windows are shared with pooling. */
#include "gpu/gpu.h"

/* Attribute list of the spatial axes as h, w: of a 1-D one h has `otherwise`. `from`: first element. */
static void window_ints(const gpu_node *node, const char *name, int32_t axes, int32_t from, int64_t otherwise,
                        int64_t *out) {
    uint32_t count;
    const int64_t *list = ptp_attribute_ints(node->block, &node->row, name, &count);
    out[0] = out[1] = otherwise;
    for (int32_t d = 0; d < axes && list && from + d < (int32_t)count; d++) out[2 - axes + d] = list[from + d];
}

void gpu_window_read(const gpu_node *node, const gpu_operand *x, const gpu_operand *y, const int64_t *kernel,
                     gpu_window *out) {
    int32_t axes = x->rank - 2;
    bool same_upper = gpu_string_is(node, "auto_pad", "SAME_UPPER", "NOTSET");
    bool same_lower = gpu_string_is(node, "auto_pad", "SAME_LOWER", "NOTSET");
    bool given = gpu_string_is(node, "auto_pad", "NOTSET", "NOTSET");
    window_ints(node, "strides", axes, 0, 1, out->stride);
    window_ints(node, "dilations", axes, 0, 1, out->dilation);
    window_ints(node, "pads", axes, 0, 0, out->before);
    window_ints(node, "pads", axes, axes, 0, out->after);
    for (int32_t d = 0; d < 2; d++) {
        int32_t axis = d - (2 - axes);
        out->in[d] = axis < 0 ? 1 : x->dims[2 + axis];
        out->out[d] = axis < 0 ? 1 : y->dims[2 + axis];
        out->kernel[d] = axis < 0 ? 1 : kernel[axis];
        if (given) continue;
        out->before[d] = out->after[d] = 0;
        if (!same_upper && !same_lower) continue;
        int64_t span = (out->kernel[d] - 1) * out->dilation[d] + 1;
        int64_t total = (out->out[d] - 1) * out->stride[d] + span - out->in[d];
        if (total < 0) total = 0;
        out->before[d] = same_upper ? total / 2 : total - total / 2;
        out->after[d] = total - out->before[d];
    }
}

partita_status gpu_window_need(gpu_plan *plan, const gpu_window *window) {
    const int64_t most = INT32_MAX / 4;
    for (int d = 0; d < 2; d++) {
        const struct {
            int64_t value, most;
            const char *what;
        } rows[] = {{gpu_times(window->kernel[d], window->dilation[d]), most, "a window spans"},
                    {window->stride[d], most, "a stride is"},
                    {window->before[d], most, "padding is"},
                    {window->after[d], most, "padding is"},
                    {window->in[d], INT32_MAX / 2, "an axis under a window has"},
                    {gpu_times(window->out[d], window->stride[d]), INT32_MAX - most, "windows walk"}};
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            partita_status status = gpu_plan_need(plan, rows[i].value, rows[i].most, rows[i].what);
            if (status != PARTITA_OK) return status;
        }
    }
    return PARTITA_OK;
}

bool gpu_check_window(gpu_check *check) {
    static const char *const modes[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"};
    static const char *const names[] = {"strides", "dilations", "pads", "kernel_shape"};
    const gpu_node *node = check->node;
    int32_t rank = node->inputs[0].rank;
    bool known = false;
    if (rank != 3 && rank != 4) {
        return gpu_refuse(check, PARTITA_REASON_RANK, "%d spatial axes, only 1 or 2", rank - 2);
    }
    for (int i = 0; i < 4; i++) known = known || gpu_string_is(node, "auto_pad", modes[i], "NOTSET");
    if (!known) {
        partita_str mode = ptp_attribute_str(node->block, &node->row, "auto_pad");
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "auto_pad %.*s", (int)mode.size, mode.data);
    }
    for (int i = 0; i < 4; i++) {
        uint32_t count, want = (uint32_t)(rank - 2) * (i == 2 ? 2 : 1);
        const int64_t *list = ptp_attribute_ints(node->block, &node->row, names[i], &count);
        for (uint32_t k = 0; k < count; k++) {
            if (list[k] < (i == 2 ? 0 : 1)) {
                return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "%s has %lld", names[i], (long long)list[k]);
            }
        }
        if (list && count != want) {
            return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "%s has %u numbers, not %u", names[i], count, want);
        }
    }
    return true;
}

static bool check_conv(gpu_check *check) {
    const gpu_node *node = check->node;
    const gpu_operand *w = &node->inputs[1];
    if (!gpu_check_window(check) || !gpu_need_same_dtype(check)) return false;
    if (w->rank != node->inputs[0].rank) {
        return gpu_refuse(check, PARTITA_REASON_RANK, "a filter of rank %d", w->rank);
    }
    int64_t group = gpu_int(node, "group", 1),
            channels = ptp_str_is(node->op, "Conv") ? w->dims[0] : node->inputs[0].dims[1];
    if (group < 1 || (channels >= 0 && channels % group != 0)) {
        return gpu_refuse(check, PARTITA_REASON_ATTRIBUTE, "group %lld of %lld channels", (long long)group,
                          (long long)channels);
    }
    return true;
}

static void params_window(gpu_call *call, const gpu_window *window) {
    for (int d = 0; d < 2; d++) gpu_param(call, window->in[d]);
    for (int d = 0; d < 2; d++) gpu_param(call, window->out[d]);
    for (int d = 0; d < 2; d++) gpu_param(call, window->kernel[d]);
    for (int d = 0; d < 2; d++) gpu_param(call, window->stride[d]);
    for (int d = 0; d < 2; d++) gpu_param(call, window->before[d]);
    for (int d = 0; d < 2; d++) gpu_param(call, window->dilation[d]);
}

static bool is_product(const gpu_window *window) {
    for (int d = 0; d < 2; d++) {
        if (window->kernel[d] != 1 || window->stride[d] != 1 || window->before[d] != 0 || window->after[d] != 0)
            return false;
    }
    return true;
}

static void bind_operands(const gpu_plan *plan, gpu_call *call, bool bias) {
    gpu_define(call, "HAS_BIAS", bias);
    gpu_bind(call, gpu_ref_in(plan, 0));
    gpu_bind(call, gpu_ref_in(plan, 1));
    gpu_bind(call, gpu_ref_in(plan, bias ? 2 : 1));
    gpu_bind(call, gpu_ref_out(plan, 0));
}

/* y[n, g] = w[g] x[n, g]: channels by pixels. */
static partita_status plan_product(gpu_plan *plan, int64_t group, bool bias) {
    const gpu_operand *x = &plan->node->inputs[0], *w = &plan->node->inputs[1];
    int64_t pixels = gpu_extent(x, 2, x->rank), in = w->dims[1], out = w->dims[0] / group;
    gpu_product product = {.m = out,
                           .n = pixels,
                           .k = in,
                           .a_row = in,
                           .a_column = 1,
                           .b_row = pixels,
                           .b_column = 1,
                           .bias_row = 1,
                           .alpha = 1,
                           .beta = 1,
                           .has_bias = bias,
                           .fixed_rows = true,
                           .batch_rank = 2,
                           .batch = {x->dims[0], group},
                           .a_batch = {0, out * in},
                           .b_batch = {group * in * pixels, in * pixels},
                           .bias_batch = {0, out}};
    return gpu_emit_product(plan, &product, gpu_ref_in(plan, 1), gpu_ref_in(plan, 0), gpu_ref_in(plan, bias ? 2 : 1),
                            gpu_ref_out(plan, 0));
}

/* The padded copy that convtile reads, by axis (h, w): phases of a channel, rows or columns of each. */
typedef struct conv_copy {
    int64_t phases[2], extent[2];
    int64_t channel; /* elements of a channel */
    bool needed;     /* else it equals x */
} conv_copy;

static conv_copy copy_layout(const gpu_window *window) {
    conv_copy copy = {.channel = 1};
    for (int d = 0; d < 2; d++) {
        int64_t reach = (window->kernel[d] - 1) * window->dilation[d];
        copy.phases[d] = window->kernel[d] == 1 ? 1 : window->stride[d];
        copy.extent[d] = window->out[d] + reach / window->stride[d];
        copy.channel *= copy.phases[d] * copy.extent[d];
        copy.needed =
            copy.needed || window->stride[d] != 1 || window->before[d] != 0 || copy.extent[d] != window->in[d];
    }
    return copy;
}

static partita_status emit_pad(gpu_plan *plan, const gpu_window *window, const conv_copy *copy, int64_t planes,
                               gpu_ref target) {
    bool rows = gpu_vector_width(plan->device) > 1 && (plan->device->caps.features & GPU_ON_CPU);
    int64_t across = rows ? 1 : copy->extent[1];
    int64_t items = across * copy->extent[0] * copy->phases[0] * copy->phases[1] * planes;
    gpu_call call;
    gpu_call_init(&call, "convpad");
    gpu_define(&call, "ROWS", rows);
    gpu_bind(&call, gpu_ref_in(plan, 0));
    gpu_bind(&call, target);
    gpu_param(&call, items);
    gpu_param_divisor(&call, across);
    gpu_param_divisor(&call, copy->extent[0]);
    gpu_param_divisor(&call, copy->phases[1]);
    gpu_param_divisor(&call, copy->phases[0]);
    gpu_param(&call, copy->extent[1]);
    for (int d = 0; d < 2; d++) gpu_param(&call, window->in[d]);
    for (int d = 0; d < 2; d++) gpu_param(&call, window->stride[d]);
    for (int d = 0; d < 2; d++) gpu_param(&call, window->before[d]);
    gpu_grid_linear(plan->device, &call, (uint64_t)items, rows ? 8 : 64);
    return gpu_emit(plan, &call);
}

/* The convolution as a product over a padded copy of x. *out_done is false where the copy is larger than a binding, or
 * the grid larger than a launch: the direct kernels need no more than x and y. */
static partita_status plan_tiles(gpu_plan *plan, const gpu_window *window, int64_t group, bool bias, bool *out_done) {
    const gpu_operand *x = &plan->node->inputs[0], *w = &plan->node->inputs[1];
    const gpu_caps *caps = &plan->device->caps;
    uint32_t width = gpu_vector_width(plan->device);
    int64_t out = w->dims[0] / group, planes = x->dims[0] * group, channels = x->dims[0] * x->dims[1];
    conv_copy copy = copy_layout(window);
    int64_t columns = (window->out[0] - 1) * copy.extent[1] + window->out[1];
    gpu_tile tile = gpu_tile_choose(plan, out, columns);
    bool on_cpu = (caps->features & GPU_ON_CPU) != 0;
    const uint32_t by_rows[3] = {on_cpu ? 2 : 8, 8, 1}, by_columns[3] = {tile.lanes ? tile.lanes
                                                                         : on_cpu   ? 8
                                                                                    : 64,
                                                                         1, 1};
    int64_t tile_n = (int64_t)tile.vectors * width * (tile.lanes ? tile.lanes : 1);
    int64_t tiles[3] = {(columns + tile_n - 1) / tile_n, (out + tile.rows - 1) / tile.rows, planes};
    bool whole = columns >= tile_n || tile.lanes != 0; /* else a tile of vectors reads past the last plane */
    int64_t elements = channels * copy.channel + (whole ? 0 : tile_n);
    *out_done = false;
    if (elements > GPU_MAX_ELEMENTS || (caps->max_binding && (uint64_t)elements * 4 > caps->max_binding)) {
        return PARTITA_OK;
    }
    for (int d = 0; d < 3; d++) {
        if (tiles[d] > UINT32_MAX || (caps->max_groups[d] && tiles[d] > caps->max_groups[d])) return PARTITA_OK;
    }
    *out_done = true;
    gpu_ref source = gpu_ref_in(plan, 0);
    if (copy.needed || !whole) {
        partita_status status = gpu_temp(plan, elements, 4, &source);
        if (status == PARTITA_OK) status = emit_pad(plan, window, &copy, channels, source);
        if (status != PARTITA_OK) return status;
    }
    gpu_call call;
    gpu_call_init(&call, "convtile");
    gpu_define(&call, "LANES", tile.lanes != 0);
    gpu_define(&call, "STRIDED", window->stride[0] != 1 || window->stride[1] != 1);
    gpu_define_tile(plan->device, &call, &tile);
    bind_operands(plan, &call, bias);
    call.bindings[0] = source;
    gpu_param(&call, out);
    gpu_param(&call, columns);
    gpu_param(&call, w->dims[1]);
    gpu_param(&call, w->dims[1] * window->kernel[0] * window->kernel[1]);
    gpu_param(&call, group);
    gpu_param(&call, copy.channel);
    for (int d = 0; d < 2; d++) gpu_param(&call, window->kernel[d]);
    gpu_param(&call, window->out[0] * window->out[1]);
    gpu_param(&call, window->out[1]);
    gpu_param_divisor(&call, copy.extent[1]);
    for (int d = 0; d < 2; d++) {
        gpu_param(&call, window->dilation[d] / window->stride[d]);
        gpu_param(&call, window->dilation[d] % window->stride[d]);
        gpu_param(&call, window->stride[d]);
    }
    gpu_param(&call, copy.phases[1] * copy.extent[0] * copy.extent[1]);
    gpu_param(&call, copy.extent[0] * copy.extent[1]);
    gpu_grid(&call, tile.lanes || tile.rows == 1 ? by_columns : by_rows,
             (uint64_t)tiles[0] * (tile.lanes ? tile.lanes : 1), (uint64_t)tiles[1], (uint64_t)tiles[2]);
    return gpu_emit(plan, &call);
}

/* Straight from x: what the copy is too large for. */
static partita_status plan_direct(gpu_plan *plan, const gpu_window *window, int64_t group, bool bias) {
    const gpu_device *device = plan->device;
    const gpu_operand *x = &plan->node->inputs[0], *w = &plan->node->inputs[1];
    bool on_cpu = (device->caps.features & GPU_ON_CPU) != 0;
    int64_t out = w->dims[0] / group;
    gpu_call call;
    uint32_t tile = out == 1 ? 1 : out < 8 || !on_cpu ? 4 : 8, width = gpu_vector_width(device);
    bool lanes = width == 1;
    gpu_call_init(&call, lanes ? "conv_lanes" : "conv");
    gpu_define(&call, "TILE_M", tile);
    if (lanes) gpu_define(&call, "TILE_V", 4);
    bind_operands(plan, &call, bias);
    gpu_param(&call, w->dims[1]);
    gpu_param(&call, out);
    gpu_param(&call, group);
    params_window(&call, window);
    if (lanes) {
        uint32_t local = on_cpu ? 8 : 64;
        uint64_t planes = (uint64_t)(x->dims[0] * group), tiles = (uint64_t)((out + tile - 1) / tile);
        uint64_t pixel_tiles = ((uint64_t)(window->out[0] * window->out[1]) + local * 4 - 1) / (local * 4);
        gpu_param(&call, (int64_t)planes);
        gpu_grid_linear(device, &call, tiles * pixel_tiles * planes * local, local);
        return gpu_emit(plan, &call);
    }
    const uint32_t on_host[3] = {1, 4, 1}, on_gpu[3] = {8, 8, 1};
    gpu_grid(&call, on_cpu ? on_host : on_gpu, ((uint64_t)window->out[1] + width - 1) / width, (uint64_t)window->out[0],
             (uint64_t)(x->dims[0] * group * ((out + tile - 1) / tile)));
    return gpu_emit(plan, &call);
}

static partita_status plan_conv(gpu_plan *plan) {
    const gpu_node *node = plan->node;
    const gpu_operand *w = &node->inputs[1];
    int64_t group = gpu_int(node, "group", 1);
    bool bias = gpu_input(node, 2) != NULL, done = false;
    gpu_window window;
    gpu_window_read(node, &node->inputs[0], &node->outputs[0], w->dims + 2, &window);
    partita_status status = gpu_window_need(plan, &window);
    if (status != PARTITA_OK) return status;
    bool product = is_product(&window);
    if (gpu_decide(plan, GPU_DECIDE_PRODUCT, product) && product) return plan_product(plan, group, bias);
    if (gpu_elements(&node->outputs[0]) == 0) return PARTITA_OK;
    status = plan_tiles(plan, &window, group, bias, &done);
    return status != PARTITA_OK || done ? status : plan_direct(plan, &window, group, bias);
}

/* Pads before of a transposed convolution, from the result's shape where they are not given. */
static void transpose_pads(const gpu_node *node, gpu_window *window, int32_t axes) {
    int64_t extra[2];
    uint32_t given;
    ptp_attribute_ints(node->block, &node->row, "output_shape", &given);
    bool same = gpu_string_is(node, "auto_pad", "SAME_UPPER", "NOTSET") ||
                gpu_string_is(node, "auto_pad", "SAME_LOWER", "NOTSET");
    if (given == 0 && !same) return;
    bool upper = gpu_string_is(node, "auto_pad", "SAME_UPPER", "NOTSET");
    window_ints(node, "output_padding", axes, 0, 0, extra);
    for (int d = 2 - axes; d < 2; d++) {
        int64_t span = (window->kernel[d] - 1) * window->dilation[d] + 1;
        int64_t total = window->stride[d] * (window->in[d] - 1) + extra[d] + span - window->out[d];
        if (total < 0) total = 0;
        window->before[d] = upper ? total / 2 : total - total / 2;
    }
}

/* Windows side by side: a product for each tap, then its pixels to their places. */
static partita_status plan_transpose_product(gpu_plan *plan, const gpu_window *window, int64_t group, bool bias) {
    const gpu_operand *x = &plan->node->inputs[0], *w = &plan->node->inputs[1];
    int64_t high = window->in[0], wide = window->in[1], pixels = high * wide, out = w->dims[1];
    int64_t taps = window->kernel[0] * window->kernel[1], in = w->dims[0] / group, planes = x->dims[0] * group;
    gpu_product product = {.m = out,
                           .n = pixels,
                           .k = in,
                           .a_row = taps,
                           .a_column = out * taps,
                           .b_row = pixels,
                           .b_column = 1,
                           .bias_row = 1,
                           .alpha = 1,
                           .beta = 1,
                           .has_bias = bias,
                           .fixed_rows = true,
                           .batch_rank = 3,
                           .batch = {x->dims[0], group, taps},
                           .a_batch = {0, in * out * taps, 1},
                           .b_batch = {group * in * pixels, in * pixels, 0},
                           .bias_batch = {0, out, 0}};
    gpu_move move = {.rank = 6,
                     .dims = {planes, out, high, window->kernel[0], wide, window->kernel[1]},
                     .from = {taps * out * pixels, pixels, wide, window->kernel[1] * out * pixels, 1, out * pixels},
                     .to = {out * taps * pixels, taps * pixels, window->kernel[0] * window->out[1], window->out[1],
                            window->kernel[1], 1}};
    gpu_ref parts;
    partita_status status = gpu_temp(plan, gpu_times(gpu_times(planes, taps), gpu_times(out, pixels)), 4, &parts);
    if (status != PARTITA_OK) return status;
    status = gpu_emit_product(plan, &product, gpu_ref_in(plan, 1), gpu_ref_in(plan, 0), gpu_ref_in(plan, bias ? 2 : 1),
                              parts);
    if (status != PARTITA_OK) return status;
    return gpu_emit_move(plan, &move, PARTITA_FLOAT32, parts, gpu_ref_out(plan, 0));
}

/* No two windows meet, and none is cut, whatever the dims. With batches and groups both the product had too many batch
 * axes. */
static bool is_transpose_product(const gpu_node *node, const gpu_window *window, int64_t group) {
    uint32_t given;
    int64_t extra[2];
    bool plain =
        gpu_string_is(node, "auto_pad", "NOTSET", "NOTSET") || gpu_string_is(node, "auto_pad", "VALID", "NOTSET");
    window_ints(node, "output_padding", node->inputs[0].rank - 2, 0, 0, extra);
    ptp_attribute_ints(node->block, &node->row, "output_shape", &given);
    for (int d = 0; d < 2; d++) {
        plain = plain && window->kernel[d] == window->stride[d] && window->dilation[d] == 1 && extra[d] == 0 &&
                window->before[d] == 0 && window->after[d] == 0;
    }
    return plain && given == 0 && group == 1;
}

static partita_status plan_conv_transpose(gpu_plan *plan) {
    const gpu_node *node = plan->node;
    const gpu_operand *x = &node->inputs[0], *w = &node->inputs[1];
    int64_t group = gpu_int(node, "group", 1), out = w->dims[1];
    gpu_window window;
    gpu_call call;
    gpu_window_read(node, x, &node->outputs[0], w->dims + 2, &window);
    transpose_pads(node, &window, x->rank - 2);
    partita_status status = gpu_window_need(plan, &window);
    if (status != PARTITA_OK) return status;
    bool bias = gpu_input(node, 2) != NULL;
    bool product = is_transpose_product(node, &window, group);
    if (gpu_decide(plan, GPU_DECIDE_PRODUCT, product) && product) {
        return plan_transpose_product(plan, &window, group, bias);
    }
    uint32_t tile = gpu_decide(plan, GPU_DECIDE_ROWS, out == 1) ? 1 : 4;
    gpu_call_init(&call, "convtranspose");
    gpu_define(&call, "TILE_M", tile);
    bind_operands(plan, &call, bias);
    gpu_param(&call, w->dims[0] / group);
    gpu_param(&call, out);
    gpu_param(&call, group);
    params_window(&call, &window);
    const uint32_t local[3] = {16, 4, 1};
    gpu_grid(&call, local, (uint64_t)window.out[1], (uint64_t)window.out[0],
             (uint64_t)(x->dims[0] * group * ((out + tile - 1) / tile)));
    return gpu_emit(plan, &call);
}

#define WINDOW "auto_pad,dilations,group,kernel_shape,pads,strides"
const gpu_op gpu_ops_conv[] = {
    {"Conv", 1, 28, "F", WINDOW, 3, 1, 0, 0, check_conv, plan_conv, NULL, 0.5f},
    {"ConvTranspose", 1, 28, "F", WINDOW ",output_padding,output_shape", 3, 1, 0, 0, check_conv, plan_conv_transpose,
     NULL, 0.1f},
    {0},
};
