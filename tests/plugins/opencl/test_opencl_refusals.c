/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One case per "no" of the GPU plugins: the reason, and words of the text with its numbers. A refusal that vanished
 * without a kernel that does the work would be an attribute ignored.
 */
#include "plugins/opencl/run_part.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include "skip.h"

static const dims8 image = {4, {1, 4, 8, 8}};

/* A float32 input of [1, 4, 8, 8], and an output like it. */
static uint32_t image_in(trial *t) { return trial_in(t, PARTITA_FLOAT32, image); }
static uint32_t image_out(trial *t) { return trial_out(t, PARTITA_FLOAT32, image); }
static void one(trial *t, const char *op, int32_t since) {
    uint32_t x = image_in(t);
    trial_node(t, op, since, x, NONE, NONE, image_out(t));
}
static void two(trial *t, const char *op, int32_t since) {
    uint32_t x = image_in(t), y = image_in(t);
    trial_node(t, op, since, x, y, NONE, image_out(t));
}

static void no_operator(trial *t) { one(t, "TopK", 11); }
static void other_domain(trial *t) {
    one(t, "Relu", 1);
    t->block.nodes[0].domain = bb_text(&t->block, "com.example");
}
static void old_version(trial *t) { two(t, "Add", 6); }
static void new_version(trial *t) { one(t, "Relu", 99); }
static void half_floats(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT16, image);
    trial_node(t, "Relu", 14, x, NONE, NONE, trial_out(t, PARTITA_FLOAT16, image));
}
static void strings(trial *t) {
    one(t, "Identity", 16);
    t->block.values[0].dtype = t->block.values[1].dtype = PARTITA_STRING;
}
static void mixed_types(trial *t) {
    uint32_t x = image_in(t), y = trial_in(t, PARTITA_INT32, image);
    trial_node(t, "Add", 14, x, y, NONE, image_out(t));
}
static void rank_nine(trial *t) {
    one(t, "Relu", 14);
    const int64_t dims[9] = {1, 1, 1, 1, 1, 1, 1, 1, 2};
    t->block.values[0].rank = t->block.values[1].rank = 9;
    t->block.values[0].dims = t->block.values[1].dims = bb_put(&t->block, dims, sizeof(dims), 9);
}
static void rank_unknown(trial *t) {
    one(t, "Relu", 14);
    t->block.values[0].rank = -1;
}
static void data_shaped(trial *t) {
    one(t, "Relu", 14);
    t->block.values[0].flags |= PTP_VALUE_DATA_SHAPED;
}
static void sequence(trial *t) {
    one(t, "Identity", 16);
    t->block.values[0].kind = PARTITA_KIND_SEQUENCE;
}
static void too_many(trial *t) {
    one(t, "Relu", 14);
    const int64_t dims[4] = {70000, 70000, 1, 1};
    t->block.values[0].dims = t->block.values[1].dims = bb_put(&t->block, dims, sizeof(dims), 4);
}
static void too_large(trial *t) {
    one(t, "Relu", 14);
    t->block.values[0].dtype = t->block.values[1].dtype = PARTITA_INT64;
    const int64_t dims[4] = {2000, 1000000, 1, 1};
    t->block.values[0].dims = t->block.values[1].dims = bb_put(&t->block, dims, sizeof(dims), 4);
}
static void nested(trial *t) {
    one(t, "If", 16);
    const uint32_t body = 0;
    t->block.nodes[0].bodies = bb_put(&t->block, &body, 4, 1);
}
static void unknown_attribute(trial *t) {
    one(t, "Relu", 14);
    bb_float(&t->block, "slope", 0.1f);
}
static void extra_output(trial *t) {
    uint32_t x = image_in(t), out[2] = {image_out(t), trial_out(t, PARTITA_BOOL, image)};
    bb_node(&t->block, "Dropout", 13, &x, 1, out, 2);
}
static void dropout_training(trial *t) {
    uint32_t x = image_in(t), training = trial_constant(t, PARTITA_BOOL, SCALAR_DIMS, (uint8_t[]){1});
    trial_node(t, "Dropout", 13, x, NONE, training, image_out(t));
}
static void dropout_unknown(trial *t) {
    uint32_t x = image_in(t), training = trial_in(t, PARTITA_BOOL, SCALAR_DIMS);
    trial_node(t, "Dropout", 13, x, NONE, training, image_out(t));
}
static void batch_norm(trial *t, const char *attribute, int64_t value) {
    uint32_t in[5] = {image_in(t)}, y = image_out(t);
    for (int i = 1; i < 5; i++) in[i] = trial_in(t, PARTITA_FLOAT32, DIMS(4));
    bb_node(&t->block, "BatchNormalization", 7, in, 5, &y, 1);
    bb_int(&t->block, attribute, value);
}
static void batch_training(trial *t) { batch_norm(t, "training_mode", 1); }
static void batch_spatial(trial *t) { batch_norm(t, "spatial", 0); }
static void layer_stash(trial *t) {
    uint32_t x = image_in(t), scale = trial_in(t, PARTITA_FLOAT32, DIMS(8));
    trial_node(t, "LayerNormalization", 17, x, scale, NONE, image_out(t));
    bb_int(&t->block, "stash_type", PARTITA_FLOAT16);
}
static void layer_scale(trial *t) {
    uint32_t x = image_in(t), scale = trial_in(t, PARTITA_FLOAT32, DIMS(1));
    trial_node(t, "LayerNormalization", 17, x, scale, NONE, image_out(t));
}
static void groups(trial *t) {
    uint32_t x = image_in(t), scale = trial_in(t, PARTITA_FLOAT32, DIMS(4)),
             bias = trial_in(t, PARTITA_FLOAT32, DIMS(4));
    trial_node(t, "GroupNormalization", 21, x, scale, bias, image_out(t));
    bb_int(&t->block, "num_groups", 3);
}
static void conv_3d(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(1, 2, 4, 4, 4)),
             w = trial_in(t, PARTITA_FLOAT32, DIMS(2, 2, 1, 1, 1));
    trial_node(t, "Conv", 11, x, w, NONE, trial_out(t, PARTITA_FLOAT32, DIMS(1, 2, 4, 4, 4)));
}
static void conv_node(trial *t) {
    uint32_t x = image_in(t), w = trial_in(t, PARTITA_FLOAT32, DIMS(4, 4, 1, 1));
    trial_node(t, "Conv", 11, x, w, NONE, image_out(t));
}
static void conv_auto_pad(trial *t) {
    conv_node(t);
    bb_string(&t->block, "auto_pad", "SOME");
}
static void conv_pads(trial *t) {
    conv_node(t);
    bb_ints(&t->block, "pads", (int64_t[]){0, -1, 0, 0}, 4);
}
static void conv_strides(trial *t) {
    conv_node(t);
    bb_ints(&t->block, "strides", (int64_t[]){2}, 1);
}
static void conv_group(trial *t) {
    conv_node(t);
    bb_int(&t->block, "group", 3);
}
static void pool_indices(trial *t) {
    uint32_t x = image_in(t), out[2] = {image_out(t), trial_out(t, PARTITA_INT64, image)};
    bb_node(&t->block, "MaxPool", 12, &x, 1, out, 2);
    bb_ints(&t->block, "kernel_shape", (int64_t[]){1, 1}, 2);
}
static void pool_bytes(trial *t) {
    uint32_t x = trial_in(t, PARTITA_UINT8, image);
    trial_node(t, "MaxPool", 12, x, NONE, NONE, trial_out(t, PARTITA_UINT8, image));
    bb_ints(&t->block, "kernel_shape", (int64_t[]){1, 1}, 2);
}
static void pool_window(trial *t) { one(t, "MaxPool", 12); }
static void slice_starts(trial *t) {
    uint32_t in[3] = {image_in(t), trial_in(t, PARTITA_INT64, DIMS(1)), trial_in(t, PARTITA_INT64, DIMS(1))},
             y = image_out(t);
    bb_node(&t->block, "Slice", 13, in, 3, &y, 1);
}
static void slice_axes(trial *t) {
    uint32_t in[4] = {image_in(t), trial_ints(t, 1, (int64_t[]){0}), trial_ints(t, 1, (int64_t[]){1}),
                      trial_ints(t, 1, (int64_t[]){4})},
             y = image_out(t);
    bb_node(&t->block, "Slice", 13, in, 4, &y, 1);
}
static void pad_mode(trial *t) {
    uint32_t x = image_in(t), pads = trial_ints(t, 8, (int64_t[8]){0});
    trial_node(t, "Pad", 19, x, pads, NONE, image_out(t));
    bb_string(&t->block, "mode", "mirror");
}
static void pad_unknown(trial *t) {
    uint32_t x = image_in(t), pads = trial_in(t, PARTITA_INT64, DIMS(8));
    trial_node(t, "Pad", 13, x, pads, NONE, image_out(t));
}
static void pad_short(trial *t) {
    uint32_t x = image_in(t), pads = trial_ints(t, 4, (int64_t[4]){0});
    trial_node(t, "Pad", 13, x, pads, NONE, image_out(t));
}
static void pad_half(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT16, DIMS(2)), pads = trial_ints(t, 2, (int64_t[2]){0});
    uint32_t fill = trial_constant(t, PARTITA_FLOAT16, SCALAR_DIMS, (uint16_t[]){0x3c00});
    trial_node(t, "Pad", 13, x, pads, fill, trial_out(t, PARTITA_FLOAT16, DIMS(2)));
}
static void depth_mode(trial *t) {
    one(t, "DepthToSpace", 13);
    bb_string(&t->block, "mode", "RCD");
}
static void depth_rank(trial *t) {
    uint32_t x = trial_in(t, PARTITA_FLOAT32, DIMS(4, 2, 2));
    trial_node(t, "DepthToSpace", 13, x, NONE, NONE, trial_out(t, PARTITA_FLOAT32, DIMS(1, 4, 4)));
}
static void gather_axis(trial *t) {
    uint32_t x = image_in(t), i = trial_in(t, PARTITA_INT64, SCALAR_DIMS);
    trial_node(t, "Gather", 13, x, i, NONE, trial_out(t, PARTITA_FLOAT32, DIMS(1, 4, 8)));
    bb_int(&t->block, "axis", 4);
}
static void gather_index(trial *t) {
    uint32_t x = image_in(t), i = trial_in(t, PARTITA_UINT8, SCALAR_DIMS);
    trial_node(t, "Gather", 13, x, i, NONE, trial_out(t, PARTITA_FLOAT32, DIMS(4, 8, 8)));
}
static void gather_batches(trial *t) {
    uint32_t x = image_in(t), i = trial_in(t, PARTITA_INT64, DIMS(1, 1));
    trial_node(t, "GatherND", 13, x, i, NONE, image_out(t));
    bb_int(&t->block, "batch_dims", 2);
}
static void scatter_sum(trial *t) {
    uint32_t x = image_in(t), i = trial_in(t, PARTITA_INT64, DIMS(1, 4)), u = trial_in(t, PARTITA_FLOAT32, DIMS(1));
    trial_node(t, "ScatterND", 18, x, i, u, image_out(t));
    bb_string(&t->block, "reduction", "add");
}
static void reduce_axes(trial *t) {
    uint32_t x = image_in(t), axes = trial_in(t, PARTITA_INT64, DIMS(1));
    trial_node(t, "ReduceSum", 13, x, axes, NONE, image_out(t));
}
static void reduce_outside(trial *t) {
    one(t, "ReduceSum", 11);
    bb_ints(&t->block, "axes", (int64_t[]){7}, 1);
}
static void reduce_nothing(trial *t) {
    one(t, "ReduceL2", 18);
    bb_int(&t->block, "noop_with_empty_axes", 1);
}
static void softmax_axis(trial *t) {
    one(t, "Softmax", 13);
    bb_int(&t->block, "axis", -5);
}
static void cumsum_axis(trial *t) {
    uint32_t x = image_in(t), axis = trial_in(t, PARTITA_INT64, SCALAR_DIMS);
    trial_node(t, "CumSum", 14, x, axis, NONE, image_out(t));
}
static void gemm_rank(trial *t) { two(t, "Gemm", 13); }
static void matmul_scalar(trial *t) {
    uint32_t x = image_in(t), y = trial_in(t, PARTITA_FLOAT32, SCALAR_DIMS);
    trial_node(t, "MatMul", 13, x, y, NONE, image_out(t));
}
static void clip_vector(trial *t) {
    uint32_t x = image_in(t), low = trial_in(t, PARTITA_FLOAT32, DIMS(8));
    trial_node(t, "Clip", 13, x, low, NONE, image_out(t));
}
static void mod_floats(trial *t) {
    two(t, "Mod", 13);
    bb_int(&t->block, "fmod", 0);
}
static void pow_mixed(trial *t) {
    uint32_t x = trial_in(t, PARTITA_INT32, image), y = image_in(t);
    trial_node(t, "Pow", 15, x, y, NONE, trial_out(t, PARTITA_INT32, image));
}
static void pow_wide(trial *t) {
    uint32_t x = image_in(t), y = trial_in(t, PARTITA_INT64, image);
    trial_node(t, "Pow", 15, x, y, NONE, image_out(t));
}
static void cast_half(trial *t) {
    uint32_t x = image_in(t);
    trial_node(t, "Cast", 13, x, NONE, NONE, trial_out(t, PARTITA_FLOAT16, image));
    bb_int(&t->block, "to", PARTITA_FLOAT16);
}
static void where_mixed(trial *t) {
    uint32_t c = trial_in(t, PARTITA_BOOL, image), x = image_in(t), y = trial_in(t, PARTITA_INT32, image);
    trial_node(t, "Where", 16, c, x, y, image_out(t));
}
static void gelu_form(trial *t) {
    one(t, "Gelu", 20);
    bb_string(&t->block, "approximate", "erf");
}
static void resize_node(trial *t) {
    uint32_t in[4] = {image_in(t), NONE, trial_constant(t, PARTITA_FLOAT32, DIMS(4), (float[]){1, 1, 1, 1}), NONE},
             y = image_out(t);
    bb_node(&t->block, "Resize", 18, in, 3, &y, 1);
}
static void resize_mode(trial *t) {
    resize_node(t);
    bb_string(&t->block, "mode", "lanczos");
}
static void resize_coordinates(trial *t) {
    resize_node(t);
    bb_string(&t->block, "coordinate_transformation_mode", "tilted");
}
static void resize_rounding(trial *t) {
    resize_node(t);
    bb_string(&t->block, "nearest_mode", "odd");
}
static void resize_antialias(trial *t) {
    resize_node(t);
    bb_int(&t->block, "antialias", 1);
}
static void resize_aspect(trial *t) {
    resize_node(t);
    bb_string(&t->block, "keep_aspect_ratio_policy", "not_larger");
}
static void resize_scales(trial *t) {
    uint32_t x = image_in(t), scales = trial_in(t, PARTITA_FLOAT32, DIMS(4));
    trial_node(t, "Resize", 13, x, NONE, scales, image_out(t));
}
static void resize_bytes(trial *t) {
    uint32_t x = trial_in(t, PARTITA_UINT8, image),
             scales = trial_constant(t, PARTITA_FLOAT32, DIMS(4), (float[]){1, 1, 1, 1});
    trial_node(t, "Resize", 13, x, NONE, scales, trial_out(t, PARTITA_UINT8, image));
    bb_string(&t->block, "mode", "linear");
}
static void resize_region(trial *t) {
    resize_node(t);
    bb_string(&t->block, "coordinate_transformation_mode", "tf_crop_and_resize");
}
static void lstm_node(trial *t) {
    uint32_t in[3] = {trial_in(t, PARTITA_FLOAT32, DIMS(2, 1, 3)), trial_in(t, PARTITA_FLOAT32, DIMS(1, 8, 3)),
                      trial_in(t, PARTITA_FLOAT32, DIMS(1, 8, 2))};
    uint32_t y = trial_out(t, PARTITA_FLOAT32, DIMS(2, 1, 1, 2));
    bb_node(&t->block, "LSTM", 14, in, 3, &y, 1);
}
static void lstm_activation(trial *t) {
    lstm_node(t);
    bb_strings(&t->block, "activations", (const char *[]){"Sigmoid", "Elu", "Tanh"}, 3);
}
static void lstm_alpha(trial *t) {
    lstm_node(t);
    bb_floats(&t->block, "activation_alpha", (float[]){0.5f}, 1);
}
static void lstm_direction(trial *t) {
    lstm_node(t);
    bb_string(&t->block, "direction", "sideways");
}
static void constant_value(trial *t) {
    uint32_t y = image_out(t), many = trial_constant(t, PARTITA_FLOAT32, DIMS(3), NULL);
    trial_node(t, "ConstantOfShape", 9, trial_ints(t, 4, image.dims), NONE, NONE, y);
    bb_tensor(&t->block, "value", many);
}
static void range_vector(trial *t) {
    uint32_t a = trial_in(t, PARTITA_INT64, DIMS(2)), b = trial_in(t, PARTITA_INT64, SCALAR_DIMS);
    trial_node(t, "Range", 11, a, b, b, trial_out(t, PARTITA_INT64, DIMS(2)));
}

static const struct {
    const char *name;
    void (*build)(trial *t);
    uint32_t reason;
    const char *words; /* of the text */
} refusals[] = {
#define R(build, reason, words)                                                                                        \
    { #build, build, PARTITA_REASON_##reason, words }
    R(no_operator, OP, "TopK"),
    R(other_domain, OP, "com.example.Relu"),
    R(old_version, OPSET, "Add-6; kernels are for versions 7 to 28"),
    R(new_version, OPSET, "Relu-99"),
    R(half_floats, DTYPE, "float16"),
    R(strings, DTYPE, "string"),
    R(mixed_types, DTYPE, "float32 and int32"),
    R(rank_nine, RANK, "rank 9, at most 8"),
    R(rank_unknown, RANK, "no known rank"),
    R(data_shaped, DYNAMIC, "depends on data"),
    R(sequence, KIND, "no dense tensor"),
    R(too_many, LIMIT, "4900000000 elements, at most 2147483647"),
    R(too_large, MEMORY, "16000000000 bytes, one buffer at most"),
    R(nested, CONTROL_FLOW, "nested graphs"),
    R(unknown_attribute, ATTRIBUTE, "slope of Relu"),
    R(extra_output, ATTRIBUTE, "output 1"),
    R(dropout_training, ATTRIBUTE, "training_mode is 1"),
    R(dropout_unknown, NOT_CONSTANT, "training_mode"),
    R(batch_training, ATTRIBUTE, "training_mode 1"),
    R(batch_spatial, ATTRIBUTE, "spatial 0"),
    R(layer_stash, ATTRIBUTE, "stash_type 10"),
    R(layer_scale, SHAPE, "input 1 has 1 elements for 8"),
    R(groups, ATTRIBUTE, "3 groups of 4 channels"),
    R(conv_3d, RANK, "3 spatial axes"),
    R(conv_auto_pad, ATTRIBUTE, "auto_pad SOME"),
    R(conv_pads, ATTRIBUTE, "pads has -1"),
    R(conv_strides, ATTRIBUTE, "strides has 1 numbers, not 2"),
    R(conv_group, ATTRIBUTE, "group 3 of 4 channels"),
    R(pool_indices, ATTRIBUTE, "output 1"),
    R(pool_bytes, DTYPE, "uint8"),
    R(pool_window, ATTRIBUTE, "kernel_shape"),
    R(slice_starts, NOT_CONSTANT, "starts"),
    R(slice_axes, ATTRIBUTE, "axis 4 with step 1 of rank 4"),
    R(pad_mode, ATTRIBUTE, "mode mirror"),
    R(pad_unknown, NOT_CONSTANT, "pads"),
    R(pad_short, ATTRIBUTE, "rank 4"),
    R(pad_half, DTYPE, "float16"),
    R(depth_mode, ATTRIBUTE, "mode RCD"),
    R(depth_rank, RANK, "rank 3, only 4"),
    R(gather_axis, ATTRIBUTE, "axis 4 of rank 4"),
    R(gather_index, DTYPE, "uint8"),
    R(gather_batches, ATTRIBUTE, "batch_dims 2"),
    R(scatter_sum, ATTRIBUTE, "reduction add"),
    R(reduce_axes, NOT_CONSTANT, "axes"),
    R(reduce_outside, ATTRIBUTE, "rank 4"),
    R(reduce_nothing, ATTRIBUTE, "noop_with_empty_axes"),
    R(softmax_axis, ATTRIBUTE, "axis -5 of rank 4"),
    R(cumsum_axis, NOT_CONSTANT, "axis"),
    R(gemm_rank, RANK, "ranks 4 and 4"),
    R(matmul_scalar, RANK, "ranks 4 and 0"),
    R(clip_vector, SHAPE, "bound 1"),
    R(mod_floats, ATTRIBUTE, "fmod 0"),
    R(pow_mixed, DTYPE, "int32 to the power of float32"),
    R(pow_wide, DTYPE, "exponents of int64 that may be above 2^24"),
    R(cast_half, DTYPE, "float32 to float16"),
    R(where_mixed, DTYPE, "float32 and int32"),
    R(gelu_form, ATTRIBUTE, "approximate is erf"),
    R(resize_mode, ATTRIBUTE, "mode lanczos"),
    R(resize_coordinates, ATTRIBUTE, "tilted"),
    R(resize_rounding, ATTRIBUTE, "nearest_mode odd"),
    R(resize_antialias, ATTRIBUTE, "antialias 1"),
    R(resize_aspect, ATTRIBUTE, "not_larger"),
    R(resize_scales, NOT_CONSTANT, "scales"),
    R(resize_bytes, DTYPE, "linear of uint8"),
    R(resize_region, NOT_CONSTANT, "roi"),
    R(lstm_activation, ATTRIBUTE, "activation 1 of direction 0"),
    R(lstm_alpha, ATTRIBUTE, "activation_alpha has 1 numbers"),
    R(lstm_direction, ATTRIBUTE, "direction sideways"),
    R(constant_value, ATTRIBUTE, "value has 12 bytes"),
    R(range_vector, SHAPE, "input 0 has rank 1"),
#undef R
};

/* Starts the plugin and opens its device; false when the machine has none. */
static bool device_open(fake_host *fake, ptp_device **out_device) {
    fake_host_init(fake);
    partita_status status = fake_host_start(fake, "opencl");
    if (status == PARTITA_DEVICE_ABSENT) return false;
    assert_int_equal(status, PARTITA_OK);
    assert_int_equal(fake->info->plugin->open(fake->plugin, 0, NULL, 0, out_device), PARTITA_OK);
    return true;
}

static void each_refusal(void **state) {
    (void)state;
    fake_host fake;
    ptp_device *device;
    if (!device_open(&fake, &device)) SKIP_BECAUSE("driver:opencl", "%s", fake.message);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        ptp_device_info info = {.size = sizeof(info)};
        fake.info->device->info(device, &info);
        if (refusals[i].build == too_large && info.domains[0].max_buffer >= UINT64_C(16000000000))
            continue; /* it fits */
        trial *t = malloc(sizeof(*t));
        uint32_t unit = 0;
        ptp_answer answer = {.size = sizeof(answer)};
        trial_init(t);
        refusals[i].build(t);
        ptp_ask ask = {.size = sizeof(ask), .block = bb_finish(&t->block), .units = &unit, .count = 1};
        assert_int_equal(fake.info->device->ask(device, &ask, &answer), PARTITA_OK);
        if (answer.can != PTP_NO || answer.reason != refusals[i].reason || !strstr(answer.text, refusals[i].words)) {
            fail_msg("%s: can %u, reason %u, not %u: '%s' without '%s'", refusals[i].name, answer.can, answer.reason,
                     refusals[i].reason, answer.text, refusals[i].words);
        }
        ptp_executable *executable = NULL; /* what is refused does not compile either, and says the same */
        ptp_compile compile = {.size = sizeof(compile),
                               .block = ask.block,
                               .weights = t->block.weights,
                               .weight_count = t->block.weight_count};
        assert_int_equal(fake.info->device->compile(device, &compile, &executable), PARTITA_CANNOT_COMPILE);
        assert_non_null(strstr(fake.message, refusals[i].words));
        trial_free(t);
        free(t);
    }
    fake.info->plugin->close(device);
    assert_int_equal(fake.info->plugin->stop(fake.plugin), PARTITA_OK);
    assert_int_equal(fake.live, 0);
}

/* A unit of control flow is refused whatever is in it. */
static void control_flow_unit(void **state) {
    (void)state;
    fake_host fake;
    ptp_device *device;
    if (!device_open(&fake, &device)) SKIP_BECAUSE("driver:opencl", "%s", fake.message);
    trial *t = malloc(sizeof(*t));
    trial_init(t);
    one(t, "Relu", 14);
    bb_finish(&t->block);
    ((ptp_unit_row *)((char *)t->block.block + t->block.block->units.offset))->kind = PTP_UNIT_CONTROL_FLOW;
    assert_int_equal(part_ask(&fake, device, t), PARTITA_DECLINED);
    assert_non_null(strstr(fake.message, "nested graphs"));
    trial_free(t);
    free(t);
    fake.info->plugin->close(device);
    assert_int_equal(fake.info->plugin->stop(fake.plugin), PARTITA_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_refusal), cmocka_unit_test(control_flow_unit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
