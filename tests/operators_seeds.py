# SPDX-License-Identifier: Apache-2.0
"""Nodes of the operators that ONNX has no test of one node for, as make_operators.py wants them: a node, and for each
input an array, a type, or None where it is absent."""
import numpy as np
from onnx import TensorProto, helper

X = np.ones((2, 3), np.float32)
IMAGE = np.ones((1, 2, 8, 8), np.float32)
ML = "ai.onnx.ml"
LINEAR = {"coefficients": [1.0] * 6, "intercepts": [0.0, 0.0]}
SVM = {"kernel_type": "LINEAR", "kernel_params": [0.0, 0.0, 3.0], "coefficients": [1.0, 1.0],
       "support_vectors": [1.0] * 6, "rho": [0.0]}
TREE = {"nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0], "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0], "nodes_hitrates": [1.0, 1.0, 1.0], "nodes_missing_value_tracks_true": [0, 0, 0]}
CLASSES = {"class_treeids": [0, 0], "class_nodeids": [1, 2], "class_ids": [0, 1], "class_weights": [1.0, 1.0],
           "classlabels_int64s": [0, 1]}
TARGETS = {"target_treeids": [0, 0], "target_nodeids": [1, 2], "target_ids": [0, 0], "target_weights": [1.0, 2.0],
           "n_targets": 1}


def map_type(key, value):
    return helper.make_map_type_proto(key, helper.make_tensor_type_proto(value, []))


def rows():
    def node(op, inputs, outputs=1, domain="", **attributes):
        names = [f"in{i}" if x is not None else "" for i, x in enumerate(inputs)]
        made = helper.make_node(op, names, [f"out{i}" for i in range(outputs)], domain=domain, **attributes)
        return made, inputs

    yield node("GlobalLpPool", [IMAGE], p=2)
    yield node("MaxRoiPool", [IMAGE, np.array([[0, 0, 0, 4, 4]], np.float32)], pooled_shape=[2, 2])
    yield node("Multinomial", [X], sample_size=4)
    yield node("RandomNormal", [], shape=[2, 3])
    yield node("RandomNormalLike", [X])
    yield node("RandomUniform", [], shape=[2, 3])
    yield node("RandomUniformLike", [X])
    yield node("Bernoulli", [X])
    for same in (TensorProto.INT16, TensorProto.COMPLEX128, TensorProto.INT4, TensorProto.INT2):
        yield node("BitCast", [X], to=same)
    yield node("GridSample", [IMAGE, np.zeros((1, 2, 2, 2), np.float32)], mode="nearest")
    yield node("Upsample", [IMAGE, np.array([1, 1, 2, 2], np.float32)], mode="nearest")
    yield node("Upsample", [IMAGE], mode="nearest", height_scale=2.0, width_scale=2.0)
    yield node("Tile", [X, np.array(2, np.float32), np.array(0, np.float32)])
    yield node("Scatter", [X, np.zeros((1, 3), np.int64), np.ones((1, 3), np.float32)])
    series = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2, 3]))
    place = np.array(0, np.int64)
    yield node("SequenceAt", [series, place])
    yield node("SequenceConstruct", [X, X])
    yield node("SequenceEmpty", [])
    yield node("SequenceErase", [series, place])
    yield node("SequenceLength", [series])
    yield node("ConcatFromSequence", [series], axis=0)
    yield node("Optional", [X])
    yield node("CastMap", [map_type(TensorProto.INT64, TensorProto.FLOAT)], domain=ML)
    yield node("CategoryMapper", [np.array(["a"], object)], domain=ML, cats_strings=["a"], cats_int64s=[1])
    yield node("DictVectorizer", [map_type(TensorProto.STRING, TensorProto.FLOAT)], domain=ML, string_vocabulary=["a", "b"])
    yield node("FeatureVectorizer", [X, X], domain=ML, inputdimensions=[3, 3])
    yield node("Imputer", [X], domain=ML, imputed_value_floats=[0.0])
    yield node("Imputer", [X.astype(np.int64)], domain=ML, imputed_value_int64s=[0], replaced_value_int64=1)
    yield node("LinearClassifier", [X], 2, domain=ML, classlabels_ints=[0, 1], **LINEAR)
    yield node("LinearRegressor", [X], domain=ML, targets=2, **LINEAR)
    yield node("Normalizer", [X], domain=ML, norm="L2")
    yield node("OneHotEncoder", [X.astype(np.int64)], domain=ML, cats_int64s=[0, 1])
    yield node("OneHotEncoder", [np.full((2, 3), "a", object)], domain=ML, cats_strings=["a", "b"])
    yield node("SVMClassifier", [X], 2, domain=ML, classlabels_ints=[0, 1], vectors_per_class=[1, 1], **SVM)
    yield node("SVMRegressor", [X], domain=ML, n_supports=2, **SVM)
    yield node("Scaler", [X], domain=ML, offset=[0.0], scale=[1.0])
    yield node("TreeEnsembleClassifier", [X], 2, domain=ML, **TREE, **CLASSES)
    yield node("TreeEnsembleRegressor", [X], domain=ML, **TREE, **TARGETS)
    yield node("ZipMap", [X], domain=ML, classlabels_int64s=[0, 1, 2])
    yield node("LabelEncoder", [np.array([1, 2], np.int64)], domain=ML, keys_int64s=[1], values_strings=["a"],
               classes_strings=["a", "b"])
    yield node("LabelEncoder", [np.array(["a", "b"], object)], domain=ML, keys_strings=["a"], values_int64s=[1],
               classes_strings=["a", "b"])
    yield node("LabelEncoder", [X], domain=ML, keys_floats=[1.0], values_floats=[2.0])
    training = "ai.onnx.preview.training"
    rate, step = np.array(0.1, np.float32), np.array(0, np.int64)
    yield node("Adagrad", [rate, step, X, X, X], 2, domain=training)
    yield node("Adam", [rate, step, X, X, X, X], 3, domain=training)
    yield node("Momentum", [rate, step, X, X, X], 2, domain=training, alpha=0.9, beta=0.9, mode="standard", norm_coefficient=0.0)
