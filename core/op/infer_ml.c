/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The domains ai.onnx.ml and ai.onnx.preview.training.
 */
#include "op/infer.h"

/* Entries of a list; 0 when there is none. */
static uint32_t entries(const pt_infer *infer, const char *name) {
    const pt_attribute *attribute = pt_node_attribute(infer->node, name);
    return attribute ? attribute->count : 0;
}

static bool has_strings(const pt_infer *infer, const char *name) { return entries(infer, name) > 0; }

partita_status pt_op_infer_same_as_float(pt_infer *infer) {
    pt_infer_tensor(infer, 0, PARTITA_FLOAT32);
    pt_infer_shape_like(infer, 0, pt_infer_in(infer, 0));
    return infer->status;
}

partita_status pt_op_infer_array_feature(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0), *places = pt_infer_in(infer, 1);
    int64_t count;
    pt_infer_tensor(infer, 0, in->dtype);
    if (in->rank < 1) return infer->status;
    pt_dim picked = pt_infer_count(places, &count) ? count : PT_DIM_UNKNOWN;
    if (in->rank == 1) {
        pt_dim *dims = pt_infer_rank(infer, 0, 2);
        dims[0] = 1;
        dims[1] = picked;
    } else {
        pt_infer_shape_like(infer, 0, in)[in->rank - 1] = picked;
    }
    return infer->status;
}

partita_status pt_op_infer_cast_map(pt_infer *infer) {
    bool text = pt_infer_string_is(infer, "cast_to", "TO_STRING"),
         whole = pt_infer_string_is(infer, "cast_to", "TO_INT64");
    pt_infer_tensor(infer, 0, text ? PARTITA_STRING : whole ? PARTITA_INT64 : PARTITA_FLOAT32);
    pt_dim *dims = pt_infer_rank(infer, 0, 2);
    dims[0] = 1;
    if (pt_infer_string_is(infer, "map_form", "SPARSE")) {
        dims[1] = pt_infer_number(infer, pt_node_int(infer->node, "max_map", 1));
    }
    return infer->status;
}

partita_status pt_op_infer_category_mapper(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    pt_infer_tensor(infer, 0, in->dtype == PARTITA_STRING ? PARTITA_INT64 : PARTITA_STRING);
    pt_infer_shape_like(infer, 0, in);
    return infer->status;
}

partita_status pt_op_infer_dict_vectorizer(pt_infer *infer) {
    uint32_t columns = entries(infer, "string_vocabulary");
    pt_infer_tensor(infer, 0, pt_infer_in(infer, 0)->dtype);
    pt_dim *dims = pt_infer_rank(infer, 0, 2);
    dims[0] = 1;
    dims[1] = columns ? columns : entries(infer, "int64_vocabulary");
    return infer->status;
}

partita_status pt_op_infer_feature_vectorizer(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    const pt_attribute *widths = pt_infer_ints(infer, "inputdimensions");
    pt_infer_tensor(infer, 0, PARTITA_FLOAT32);
    pt_dim *dims = pt_infer_rank(infer, 0, 2), width = 0;
    dims[0] = in->rank == 1 ? 1 : in->rank == 2 ? in->dims[0] : PT_DIM_UNKNOWN;
    bool given = widths && widths->count;
    for (uint32_t i = 0; i < (given ? widths->count : infer->input_count); i++) {
        const pt_infer_value *part = pt_infer_in(infer, i);
        pt_dim own = part->rank > 0 ? part->dims[part->rank - 1] : PT_DIM_UNKNOWN;
        width = pt_infer_add(infer, width, given ? pt_infer_number(infer, widths->ints[i]) : own);
    }
    dims[1] = width;
    return infer->status;
}

/* Of the keys or values that a LabelEncoder since version 2 has. */
static partita_dtype encoder_type(const pt_infer *infer, const char *strings, const char *ints, const char *floats,
                                  const char *in_tensor) {
    const pt_attribute *tensor = pt_node_attribute(infer->node, in_tensor);
    if (has_strings(infer, strings)) return PARTITA_STRING;
    if (has_strings(infer, ints)) return PARTITA_INT64;
    if (has_strings(infer, floats)) return PARTITA_FLOAT32;
    return tensor && tensor->count == 1 ? tensor->tensors[0]->dtype : PARTITA_UNDEFINED;
}

partita_status pt_op_infer_label_encoder(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    partita_dtype keys = PARTITA_UNDEFINED, values = in->dtype == PARTITA_STRING ? PARTITA_INT64 : PARTITA_STRING;
    if (infer->since > 1) {
        keys = encoder_type(infer, "keys_strings", "keys_int64s", "keys_floats", "keys_tensor");
        values = encoder_type(infer, "values_strings", "values_int64s", "values_floats", "values_tensor");
    }
    if (keys && in->dtype && keys != in->dtype) {
        return pt_infer_fail(infer, "an input of %s for keys of %s", pt_dtype_name(in->dtype), pt_dtype_name(keys));
    }
    pt_infer_tensor(infer, 0, values);
    pt_infer_shape_like(infer, 0, in);
    return infer->status;
}

static pt_dim rows_of(const pt_infer_value *in) {
    return in->rank == 1 ? 1 : in->rank >= 2 ? in->dims[0] : PT_DIM_UNKNOWN;
}

/* Columns of scores of a linear classifier: its intercepts, or rows of coefficients; a lone one stands for two classes.
 */
static pt_dim linear_scores(pt_infer *infer, uint32_t labels) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    uint32_t targets = entries(infer, "intercepts");
    int64_t features;
    if (!targets && in->rank > 0 && pt_infer_exact(infer, in->dims[in->rank - 1], &features) && features > 0) {
        targets = (uint32_t)(entries(infer, "coefficients") / features);
    }
    if (!targets) targets = labels;
    return targets == 1 && labels == 2 ? 2 : targets;
}

/* Of a support vector machine: probabilities by class, or decisions by pair of classes. */
static pt_dim svm_scores(const pt_infer *infer, uint32_t labels) {
    const pt_attribute *vectors = pt_infer_ints(infer, "vectors_per_class");
    int64_t sum = 0;
    for (uint32_t i = 0; vectors && i < vectors->count; i++) sum += vectors->ints[i] != 0;
    if (sum == 0 || has_strings(infer, "prob_a") || labels <= 2) return labels;
    return (pt_dim)labels * (labels - 1) / 2;
}

/* Labels and scores. */
partita_status pt_op_infer_classifier(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    uint32_t texts = entries(infer, "classlabels_strings"), ints = entries(infer, "classlabels_ints");
    uint32_t labels = texts ? texts : ints ? ints : entries(infer, "classlabels_int64s");
    pt_infer_tensor(infer, 0, texts ? PARTITA_STRING : PARTITA_INT64);
    pt_infer_tensor(infer, 1, PARTITA_FLOAT32);
    pt_infer_rank(infer, 0, 1)[0] = rows_of(in);
    pt_dim *dims = pt_infer_rank(infer, 1, 2);
    dims[0] = rows_of(in);
    dims[1] = labels;
    if (pt_str_is(infer->node->op, "LinearClassifier")) dims[1] = linear_scores(infer, labels);
    if (pt_str_is(infer->node->op, "SVMClassifier")) dims[1] = svm_scores(infer, labels);
    return infer->status;
}

/* One more than the largest number of a list; at least 1. */
static int64_t largest_of(const pt_infer *infer, const char *name) {
    const pt_attribute *list = pt_infer_ints(infer, name);
    int64_t most = 1;
    for (uint32_t i = 0; list && i < list->count; i++)
        if (list->ints[i] >= most && list->ints[i] < INT64_MAX) most = list->ints[i] + 1;
    return most;
}

partita_status pt_op_infer_regressor(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    bool ensemble = pt_str_is(infer->node->op, "TreeEnsemble");
    int64_t targets = pt_node_int(infer->node, "n_targets", pt_node_int(infer->node, "targets", 0));
    if (targets <= 0) targets = largest_of(infer, ensemble ? "leaf_targetids" : "target_ids");
    pt_infer_tensor(infer, 0, ensemble ? in->dtype : PARTITA_FLOAT32);
    pt_dim *dims = pt_infer_rank(infer, 0, 2);
    dims[0] = rows_of(in);
    dims[1] = pt_infer_number(infer, targets);
    return infer->status;
}

partita_status pt_op_infer_one_hot_encoder(pt_infer *infer) {
    const pt_infer_value *in = pt_infer_in(infer, 0);
    bool text = in->dtype == PARTITA_STRING;
    pt_infer_tensor(infer, 0, PARTITA_FLOAT32);
    if (in->rank < 0) return infer->status;
    pt_dim *dims = pt_infer_rank(infer, 0, (int64_t)in->rank + 1);
    if (!dims) return infer->status;
    memcpy(dims, in->dims, (size_t)in->rank * sizeof *dims);
    dims[in->rank] = entries(infer, text ? "cats_strings" : "cats_int64s");
    return infer->status;
}

/* A sequence of maps from label to score. */
partita_status pt_op_infer_zip_map(pt_infer *infer) {
    pt_infer_value map = {.kind = PARTITA_KIND_MAP, .dtype = PARTITA_FLOAT32, .rank = -1};
    map.key_dtype = has_strings(infer, "classlabels_strings") ? PARTITA_STRING : PARTITA_INT64;
    pt_infer_value *out = pt_infer_out(infer, 0);
    out->kind = PARTITA_KIND_SEQUENCE;
    out->element = pt_infer_make_type(infer, &map);
    return infer->status;
}

/* New values of the tensors and of what is kept about each; the inputs start with rate and step. */
partita_status pt_op_infer_optimizer(pt_infer *infer) {
    bool adam = pt_str_is(infer->node->op, "Adam");
    uint32_t per_tensor = adam ? 4 : 3, tensors = (infer->input_count - 2) / per_tensor;
    for (uint32_t i = 0; i < infer->output_count && tensors; i++) {
        uint32_t group = i / tensors;
        /* Inputs: tensors, gradients, then what is kept; gradients have no output. */
        uint32_t from = 2 + (group ? group + 1 : 0) * tensors + i % tensors;
        pt_infer_like(infer, i, pt_infer_in(infer, from));
    }
    return infer->status;
}
