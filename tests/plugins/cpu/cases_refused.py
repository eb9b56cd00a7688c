# SPDX-License-Identifier: Apache-2.0
"""What kernels refuse: shapes, types and attributes that do not fit each other. Inference finds most of them before a
kernel does, but not what a run tells only, nor do other hosts infer."""
import itertools

import numpy as np

F, I, ML = np.float32, np.int64, "ai.onnx.ml"
BAD, CANNOT = 3, 9


def make(case, rng):
    numbers = itertools.count()

    def f(*shape):
        return rng.standard_normal(shape).astype(F)

    def i(*numbers):
        return np.array(numbers, I)

    def no(op, opset, inputs, attrs=None, shape=(2, 3), status=BAD, domain="", like=F, outputs=1):
        """shape: that of the outputs, as the host says it."""
        case(op, opset, inputs, attrs or {}, outputs=outputs, status=status, domain=domain, note=f"refused {next(numbers)}",
             expect=[np.zeros(shape, like)] * outputs)

    scatter_and_gather(no, case, f, i)
    windows(no, case, f, i)
    lists(no, case, f, i)
    classical(no, f, i)


def scatter_and_gather(no, case, f, i):
    x, at = f(2, 3), np.zeros((1, 3), I)
    no("ScatterElements", 18, [x, at, f(1, 3)], {"reduction": "median"}, status=CANNOT)
    no("ScatterElements", 18, [x.astype(np.complex64), at, f(1, 3).astype(np.complex64)], {"reduction": "add"},
       status=CANNOT, like=np.complex64)
    no("ScatterElements", 18, [x, at, f(1, 3).astype(np.float64)])
    no("ScatterElements", 18, [x, at.astype(F), f(1, 3)])
    no("ScatterElements", 18, [x, at, f(1, 2)])
    no("ScatterElements", 18, [x, np.zeros((1, 4), I), f(1, 4)])
    no("ScatterND", 18, [x, np.zeros((1, 3), I), f(1)])
    no("ScatterND", 18, [x, np.zeros((2, 1), I), f(1, 3)])
    for dtype in (np.int16, np.uint16, np.uint32):
        for reduction, combine in (("add", np.add), ("mul", np.multiply), ("max", np.maximum), ("min", np.minimum)):
            values, more = np.array([[3, 7, 9]], dtype), np.array([[5, 2, 9]], dtype)
            case("ScatterElements", 18, [values, at, more], {"reduction": reduction}, expect=[combine(values, more)])
    no("Gather", 13, [x, np.zeros((2,), F)], shape=(2, 3))
    no("Gather", 13, [x, i(0)], shape=(2, 3))
    no("GatherElements", 13, [x, i(0)], shape=(1,))
    no("GatherElements", 13, [x, np.zeros((3, 3), I)], {"axis": 1}, shape=(3, 3))
    no("GatherND", 13, [x, np.zeros((1, 3), I)], shape=(1,))
    no("GatherND", 13, [x, np.zeros((1, 1), I)], {"batch_dims": 5}, shape=(1, 3))
    no("GatherND", 13, [x, np.zeros((1, 1), I)], shape=(2, 3))
    no("ReverseSequence", 10, [x, i(1, 1)], {"time_axis": 2, "batch_axis": 0})
    no("ReverseSequence", 10, [x, i(1)], {"time_axis": 1, "batch_axis": 0})


def windows(no, case, f, i):
    x, w = np.zeros((1, 1, 3, 3), np.uint8), np.zeros((2, 1, 2, 2), np.uint8)
    scale, zero = np.array(1, F), np.array(0, np.uint8)
    good = [x, scale, zero, w, scale, zero, scale, zero]
    for place, value in ((1, f(2)), (4, f(3)), (8, np.zeros(3, np.int32))):
        no("QLinearConv", 10, good[:place] + [value] + good[place + 1:], shape=(1, 2, 2, 2), like=np.uint8)
    no("ConvInteger", 10, [x, w, np.uint8([1, 1])], shape=(1, 2, 2, 2), like=np.int32)
    no("ConvInteger", 10, [x, w], {"strides": [1] * 40}, shape=(1, 2, 2, 2), like=np.int32, status=CANNOT)
    image, kernel = f(1, 2, 4, 4), f(3, 2, 2, 2)
    no("Conv", 11, [image, f(3, 2, 2)], shape=(1, 3, 3, 3))
    no("Conv", 11, [image, kernel], {"group": 2}, shape=(1, 3, 3, 3))
    no("Conv", 11, [image, kernel], {"dilations": [0, 1]}, shape=(1, 3, 3, 3))
    no("RoiAlign", 16, [image, f(2, 3), i(0, 0)], shape=(2, 2, 1, 1))
    no("RoiAlign", 16, [image, f(2, 4), i(0, 0)], shape=(3, 2, 1, 1))
    no("RoiAlign", 16, [image, f(2, 4), i(0, 7)], shape=(2, 2, 1, 1))
    case("RoiAlign", 16, [image, np.array([[-30, -30, -20, -20], [1, 1, 9, 9]], F), i(0, 0)],
         {"mode": "max", "output_height": 2, "output_width": 2, "sampling_ratio": 2}, note="outside")
    no("RoiAlign", 16, [image, np.array([[0, 0, 1e9, 1e9]], F), i(0)], shape=(1, 2, 1, 1))


def lists(no, case, f, i):
    x = f(2, 3)
    no("Pad", 13, [x, i(0, 0, 0, 0)], {"mode": "mirror"}, status=CANNOT)
    no("Pad", 13, [x, i(0, 0, 0, 0), np.zeros((2,), F)])
    no("Pad", 13, [x, i(0, -9, 0, 7)], shape=(2, 1))
    no("Pad", 13, [x, np.zeros((1, 4), I)])
    no("Pad", 13, [x, np.zeros((400,), I)])
    case("Pad", 13, [np.array(3, F), np.zeros((0,), I)], expect=[np.array(3, F)], note="scalar")
    no("CenterCropPad", 18, [x, i(2)])
    no("Einsum", 12, [x, x], {"equation": "ij->i"}, status=CANNOT)
    for equation, shape in (("ijk,ij->i", (2,)), ("ij,ji->i", (2,)), ("ij,ij->k", (2,)), ("ij,ij->i", (3,))):
        no("Einsum", 12, [x, x], {"equation": equation}, shape)
    no("Shape", 15, [x], shape=(3,), like=I)
    no("Shape", 15, [x], shape=(1, 2), like=I)
    no("Tile", 13, [x, i(1, 1)], shape=(2, 4))
    no("Expand", 13, [x, i(3)], shape=(3,))
    four, cache = f(1, 2, 3, 4), f(5, 2)
    no("RotaryEmbedding", 23, [four, cache.astype(np.float64), cache, np.zeros((1, 3), I)], shape=(1, 2, 3, 4), status=CANNOT)
    no("RotaryEmbedding", 23, [four, cache, cache, np.zeros((1, 3), np.int32)], shape=(1, 2, 3, 4), status=CANNOT)
    no("RotaryEmbedding", 23, [four, cache, cache, np.zeros((1, 2), I)], shape=(1, 2, 3, 4))
    at, form = np.zeros((1, 3), I), dict(shape=(1, 2, 3, 4), domain="com.microsoft", status=CANNOT)
    no("RotaryEmbedding", 1, [four, at, cache, cache.astype(np.float64)], **form)
    no("RotaryEmbedding", 1, [four, at.astype(np.int32), cache, cache], **form)


LINEAR = dict(coefficients=[1.0] * 6, intercepts=[0.0, 0.0])
SVM = dict(kernel_type="LINEAR", kernel_params=[0.0, 0.0, 3.0], coefficients=[1.0, 1.0], support_vectors=[1.0] * 6,
           rho=[0.0])


def classical(no, f, i):
    x = f(2, 3)

    def regressor(op, good, change, status=CANNOT, rows=x):
        no(op, 1, [rows], {**good, **change}, shape=(2, 2 if op == "LinearRegressor" else 1), status=status, domain=ML)

    def classifier(op, good, change, status=CANNOT):
        no(op, 1, [x], {**good, "classlabels_ints": [0, 1], **change}, shape=(2,), like=I, outputs=1, status=status,
           domain=ML)

    for change in (dict(coefficients=[1.0] * 5), dict(intercepts=[0.0] * 3), dict(coefficients=[1.0] * 8)):
        regressor("LinearRegressor", {**LINEAR, "targets": 2}, change)
    classifier("LinearClassifier", LINEAR, dict(classlabels_ints=[0, 1, 2]))
    for change in (dict(kernel_params=[1.0]), dict(kernel_type="CUBIC"), dict(support_vectors=[1.0] * 5),
                   dict(support_vectors=[1.0] * 8), dict(coefficients=[1.0])):
        regressor("SVMRegressor", {**SVM, "n_supports": 2}, change)
    per = {**SVM, "vectors_per_class": [1, 1]}
    for change in (dict(vectors_per_class=[2]), dict(coefficients=[1.0]), dict(rho=[]), dict(vectors_per_class=[-1, 1])):
        classifier("SVMClassifier", per, change)
    no("Scaler", 1, [x], dict(offset=[0.0, 1.0], scale=[1.0]), domain=ML)
    no("Imputer", 1, [x], dict(imputed_value_int64s=[1]), domain=ML, status=CANNOT)
    no("Normalizer", 1, [x], dict(norm="L7"), domain=ML, status=CANNOT)
    no("FeatureVectorizer", 1, [x, np.zeros((2, 1), bool)], dict(inputdimensions=[3, 1]), shape=(2, 4), domain=ML, status=CANNOT)
    no("FeatureVectorizer", 1, [x], dict(inputdimensions=[-3]), domain=ML, status=CANNOT)
    no("FeatureVectorizer", 1, [x], dict(inputdimensions=[3, 3]), domain=ML, status=CANNOT)
    no("FeatureVectorizer", 1, [x, f(3, 1)], dict(inputdimensions=[2, 1]), domain=ML)
    no("ArrayFeatureExtractor", 1, [x, np.zeros((1,), F)], shape=(2, 1), domain=ML, status=CANNOT)
