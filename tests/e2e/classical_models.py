# SPDX-License-Identifier: Apache-2.0
"""Makes the classical models of test_classical.py: trained on scikit-learn's own data sets, exported to ONNX, with inputs
and what the library itself predicts for them.

    python classical_models.py FOLDER        needs requirements.txt and requirements-classical.txt

Per model FOLDER gets NAME.onnx and NAME.pickle: feeds by input, and a list of expectations. An expectation is
(output, kind, values); kind says how they are compared: "exact" (labels, strings, whole numbers), "probability" (within
1e-5), "number" (within 1e-5 of the largest of the column), "maps" (ZipMap: keys equal, values as probabilities).
"""
import functools
import logging
import os
import pathlib
import pickle
import re
import sys
import warnings

import numpy as np
import skl2onnx.common._container
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn import (calibration, cluster, compose, cross_decomposition, datasets, decomposition, discriminant_analysis,
                     ensemble, feature_extraction, feature_selection, gaussian_process, impute,
                     kernel_approximation, linear_model, mixture, model_selection, multiclass, multioutput, naive_bayes,
                     neighbors, neural_network, pipeline, preprocessing, random_projection, svm, tree)

ROWS = 80
SEED = 7
cases = {}


def plain_numbers(make):
    """protobuf takes no booleans where it wants whole numbers; skl2onnx gives some."""
    def make_node(*arguments, **attributes):
        for name, value in attributes.items():
            if isinstance(value, list) and any(isinstance(v, (bool, np.bool_)) for v in value):
                attributes[name] = [int(v) for v in value]
        return make(*arguments, **attributes)
    return make_node


skl2onnx.common._container.make_node = plain_numbers(skl2onnx.common._container.make_node)


def case(name):
    def keep(function):
        assert name not in cases, name
        cases[name] = function
        return function
    return keep


@functools.cache
def data(name, missing=False):
    """Features as float32, target, split into what is learned and what is asked."""
    loaded = getattr(datasets, f"load_{name}")()
    x, y = loaded.data.astype(np.float32), loaded.target
    if missing:
        x = x.copy()
        x[np.random.default_rng(SEED).random(x.shape) < 0.1] = np.nan
    stratify = y if name not in ("diabetes", "linnerud") else None
    parts = model_selection.train_test_split(x, y, test_size=min(ROWS, len(x) // 3), random_state=SEED, stratify=stratify)
    return parts[0], parts[1], parts[2], parts[3]


def scaled(model):
    return pipeline.make_pipeline(preprocessing.StandardScaler(), model)


def export(model, x, options=None, **more):
    types = more.pop("types", [("X", FloatTensorType([None, x.shape[1]]))] if hasattr(x, "shape") else None)
    return convert_sklearn(model, initial_types=types, options=options, **more)


# ---- regression ------------------------------------------------------------------------------------------------------


def regression(name, make, source="diabetes", missing=False, spread=False, one_target=True, **options):
    @case(name)
    def run():
        x, asked, y, _ = data(source, missing)
        y = y if y.ndim == 1 or not one_target else y[:, 0]
        y = y.astype(np.float64)
        model = make()
        model.fit(x, y)
        found = model.predict(asked)
        want = [(0, "number", np.asarray(found).reshape(len(asked), -1))]
        keys = {}
        if spread:
            keys = {id(model): {"return_std": True}}
            mean, std = model.predict(asked, return_std=True)
            want = [(0, "number", mean.reshape(len(asked), -1)), (1, "number", std.reshape(-1))]
        return export(model, x, keys or None, **options), {"X": asked}, want


lm = linear_model
for name, make in {
    "linear_regression": lm.LinearRegression,
    "ridge": lambda: lm.Ridge(alpha=0.3),
    "ridge_cv": lm.RidgeCV,
    "lasso": lambda: lm.Lasso(alpha=0.1),
    "elastic_net": lambda: lm.ElasticNet(alpha=0.01),
    "lars": lambda: lm.Lars(random_state=SEED),
    "lasso_lars": lambda: lm.LassoLars(alpha=0.1),
    "omp": lm.OrthogonalMatchingPursuit,
    "bayesian_ridge": lm.BayesianRidge,
    "ard": lm.ARDRegression,
    "huber": lambda: lm.HuberRegressor(max_iter=1000),
    "theil_sen": lambda: lm.TheilSenRegressor(random_state=SEED, max_subpopulation=200),
    "ransac": lambda: lm.RANSACRegressor(random_state=SEED),
    "sgd_regressor": lambda: scaled(lm.SGDRegressor(random_state=SEED)),
    "poisson": lambda: lm.PoissonRegressor(max_iter=500),
    "gamma": lambda: lm.GammaRegressor(max_iter=500),
    "tweedie": lambda: lm.TweedieRegressor(power=1.5, max_iter=500),
    "quantile_regressor": lambda: lm.QuantileRegressor(alpha=0.01, solver="highs"),
    "linear_svr": lambda: scaled(svm.LinearSVR(random_state=SEED, max_iter=20000)),
    "svr_rbf": lambda: svm.SVR(C=50),
    "svr_linear": lambda: svm.SVR(kernel="linear", C=10),
    "svr_poly": lambda: svm.SVR(kernel="poly", degree=2, C=10),
    "svr_sigmoid": lambda: scaled(svm.SVR(kernel="sigmoid", C=10)),
    "nu_svr": lambda: svm.NuSVR(C=50),
    "knn_regressor": neighbors.KNeighborsRegressor,
    "knn_regressor_distance": lambda: neighbors.KNeighborsRegressor(weights="distance"),
    "radius_regressor": lambda: neighbors.RadiusNeighborsRegressor(radius=0.3),
    "tree_regressor": lambda: tree.DecisionTreeRegressor(random_state=SEED),
    "extra_tree_regressor": lambda: tree.ExtraTreeRegressor(random_state=SEED),
    "forest_regressor": lambda: ensemble.RandomForestRegressor(40, random_state=SEED),
    "extra_trees_regressor": lambda: ensemble.ExtraTreesRegressor(40, random_state=SEED),
    "boosting_regressor": lambda: ensemble.GradientBoostingRegressor(random_state=SEED),
    "boosting_regressor_huber": lambda: ensemble.GradientBoostingRegressor(loss="huber", random_state=SEED),
    "hist_regressor": lambda: ensemble.HistGradientBoostingRegressor(random_state=SEED),
    "adaboost_regressor": lambda: ensemble.AdaBoostRegressor(random_state=SEED),
    "bagging_regressor": lambda: ensemble.BaggingRegressor(random_state=SEED),
    "voting_regressor": lambda: ensemble.VotingRegressor(
        [("a", lm.LinearRegression()), ("b", tree.DecisionTreeRegressor(max_depth=4, random_state=SEED))]),
    "stacking_regressor": lambda: ensemble.StackingRegressor(
        [("a", lm.Ridge()), ("b", ensemble.RandomForestRegressor(10, random_state=SEED))]),
    "mlp_regressor": lambda: scaled(neural_network.MLPRegressor(hidden_layer_sizes=(20, 10), max_iter=300, random_state=SEED)),
    "pls": lambda: cross_decomposition.PLSRegression(4),
    "pipeline_poly": lambda: pipeline.make_pipeline(preprocessing.PolynomialFeatures(2), lm.Ridge()),
    "pipeline_pca": lambda: pipeline.make_pipeline(decomposition.PCA(5), lm.LinearRegression()),
    "pipeline_kbins": lambda: pipeline.make_pipeline(
        preprocessing.KBinsDiscretizer(5, encode="onehot-dense", quantile_method="linear"), lm.Ridge()),
}.items():
    regression(name, make)
regression("hist_regressor_missing", lambda: ensemble.HistGradientBoostingRegressor(random_state=SEED), missing=True)
regression("gaussian_process_regressor", lambda: gaussian_process.GaussianProcessRegressor(
    gaussian_process.kernels.RBF(1.0) + gaussian_process.kernels.WhiteKernel(0.5), alpha=1e-2, normalize_y=True))
regression("gaussian_process_std", lambda: gaussian_process.GaussianProcessRegressor(
    gaussian_process.kernels.RBF(0.5), alpha=0.5, normalize_y=False), spread=True)
for name, make in {
    "multi_output_regressor": lambda: multioutput.MultiOutputRegressor(ensemble.GradientBoostingRegressor(
        n_estimators=10, random_state=SEED)),
    "multi_task_lasso": lambda: lm.MultiTaskLasso(alpha=0.1),
    "multi_task_elastic_net": lambda: lm.MultiTaskElasticNet(alpha=0.1),
    "multi_target_forest": lambda: ensemble.RandomForestRegressor(10, random_state=SEED),
    "multi_target_knn": neighbors.KNeighborsRegressor,
}.items():
    regression(name, make, source="linnerud", one_target=False)


# ---- classification --------------------------------------------------------------------------------------------------

CITIES = np.array(["Ávila", "北京", "Zürich", "Oslo", "a", "b", "c", "d", "e", "f"], object)


def classification(name, make, source="iris", strings=False, zipmap=False, missing=False, scores="auto", prepare=None,
                   **options):
    @case(name)
    def run():
        x, asked, y, _ = data(source, missing)
        if prepare is not None:
            x, asked = prepare(x), prepare(asked)
        if strings:
            y = CITIES[y]
        model = make()
        model.fit(x, y)
        last = model.steps[-1][1] if isinstance(model, pipeline.Pipeline) else model
        labels = model.predict(asked)
        keys = {"zipmap": zipmap}
        want = [(0, "exact", labels.astype(object) if strings else labels.astype(np.int64))]
        if scores == "auto" and hasattr(model, "predict_proba"):
            found = model.predict_proba(asked)
            if zipmap:
                want.append((1, "maps", [dict(zip(model.classes_.tolist(), row)) for row in found]))
            else:
                want.append((1, "probability", found))
        elif scores == "raw":
            keys["raw_scores"] = True
            found = model.decision_function(asked)
            want.append((1, "number", found if found.ndim == 2 else np.stack([-found, found], 1)))
            if isinstance(last, svm.LinearSVC):
                del keys["zipmap"]
        return export(model, x, {id(last): keys}, **options), {"X": asked}, want


for name, make in {
    "logistic": lambda: lm.LogisticRegression(max_iter=5000),
    "logistic_cv": lambda: lm.LogisticRegressionCV(
        Cs=3, cv=3, max_iter=5000, use_legacy_attributes=False, l1_ratios=(0,), scoring="neg_log_loss"),
    "sgd_log": lambda: scaled(lm.SGDClassifier(loss="log_loss", random_state=SEED)),
    "svc_rbf": lambda: svm.SVC(probability=True, random_state=SEED),
    "svc_linear": lambda: svm.SVC(kernel="linear", probability=True, random_state=SEED),
    "svc_poly": lambda: svm.SVC(kernel="poly", probability=True, random_state=SEED),
    "svc_sigmoid": lambda: scaled(svm.SVC(kernel="sigmoid", probability=True, random_state=SEED)),
    "nu_svc": lambda: svm.NuSVC(nu=0.2, probability=True, random_state=SEED),
    "knn": neighbors.KNeighborsClassifier,
    "knn_distance": lambda: neighbors.KNeighborsClassifier(weights="distance"),
    "knn_manhattan": lambda: neighbors.KNeighborsClassifier(metric="manhattan"),
    "radius_classifier": lambda: neighbors.RadiusNeighborsClassifier(radius=2.0),
    "gaussian_nb": naive_bayes.GaussianNB,
    "lda": discriminant_analysis.LinearDiscriminantAnalysis,
    "qda": discriminant_analysis.QuadraticDiscriminantAnalysis,
    "tree": lambda: tree.DecisionTreeClassifier(random_state=SEED),
    "extra_tree": lambda: tree.ExtraTreeClassifier(random_state=SEED),
    "forest": lambda: ensemble.RandomForestClassifier(40, random_state=SEED),
    "extra_trees": lambda: ensemble.ExtraTreesClassifier(40, random_state=SEED),
    "boosting": lambda: ensemble.GradientBoostingClassifier(n_estimators=30, random_state=SEED),
    "hist": lambda: ensemble.HistGradientBoostingClassifier(max_iter=30, random_state=SEED),
    "adaboost": lambda: ensemble.AdaBoostClassifier(random_state=SEED),
    "bagging": lambda: ensemble.BaggingClassifier(random_state=SEED),
    "voting_soft": lambda: ensemble.VotingClassifier(
        [("a", lm.LogisticRegression(max_iter=5000)), ("b", tree.DecisionTreeClassifier(max_depth=2))], voting="soft",
        flatten_transform=False),
    "voting_hard": lambda: ensemble.VotingClassifier(
        [("a", lm.LogisticRegression(max_iter=5000)), ("b", tree.DecisionTreeClassifier(max_depth=2)),
         ("c", naive_bayes.GaussianNB())], voting="hard", flatten_transform=False),
    "stacking": lambda: ensemble.StackingClassifier(
        [("a", ensemble.RandomForestClassifier(10, random_state=SEED)), ("b", naive_bayes.GaussianNB())]),
    "one_vs_rest": lambda: multiclass.OneVsRestClassifier(lm.LogisticRegression(max_iter=5000)),
    "one_vs_one": lambda: multiclass.OneVsOneClassifier(lm.LogisticRegression(max_iter=5000)),
    "calibrated_sigmoid": lambda: calibration.CalibratedClassifierCV(lm.LogisticRegression(max_iter=5000), cv=3),
    "calibrated_isotonic": lambda: calibration.CalibratedClassifierCV(
        naive_bayes.GaussianNB(), method="isotonic", cv=3),
    "mlp": lambda: scaled(neural_network.MLPClassifier((16,), max_iter=300, random_state=SEED)),
    "pipeline_select": lambda: pipeline.make_pipeline(feature_selection.SelectKBest(k=2), lm.LogisticRegression()),
}.items():
    classification(name, make)
for name, make in {
    "ridge_classifier": lm.RidgeClassifier,
    "perceptron": lambda: scaled(lm.Perceptron(random_state=SEED)),
    "linear_svc": lambda: scaled(svm.LinearSVC(random_state=SEED, max_iter=20000)),
    "svc_rbf_raw": lambda: svm.SVC(),
    "sgd_hinge": lambda: scaled(lm.SGDClassifier(random_state=SEED)),
}.items():
    classification(name, make, scores="raw")
    classification(name + "_binary", make, source="breast_cancer", scores="raw")
for name, make in {
    "logistic_binary": lambda: scaled(lm.LogisticRegression()),
    "svc_rbf_binary": lambda: scaled(svm.SVC(probability=True, random_state=SEED)),
    "forest_binary": lambda: ensemble.RandomForestClassifier(30, random_state=SEED),
    "boosting_binary": lambda: ensemble.GradientBoostingClassifier(n_estimators=30, random_state=SEED),
    "hist_binary": lambda: ensemble.HistGradientBoostingClassifier(max_iter=30, random_state=SEED),
    "adaboost_binary": lambda: ensemble.AdaBoostClassifier(random_state=SEED),
    "mlp_binary": lambda: scaled(neural_network.MLPClassifier((16,), max_iter=300, random_state=SEED)),
    "calibrated_binary": lambda: calibration.CalibratedClassifierCV(
        tree.DecisionTreeClassifier(max_depth=4, random_state=SEED), cv=3),
    "stacking_binary": lambda: ensemble.StackingClassifier(
        [("a", tree.DecisionTreeClassifier(max_depth=3, random_state=SEED)), ("b", naive_bayes.GaussianNB())]),
    "gaussian_nb_binary": naive_bayes.GaussianNB,
    "tree_binary": lambda: tree.DecisionTreeClassifier(max_depth=5, random_state=SEED),
}.items():
    classification(name, make, source="breast_cancer")
for name, make in {
    "digits_forest": lambda: ensemble.RandomForestClassifier(60, random_state=SEED),
    "digits_logistic": lambda: pipeline.make_pipeline(preprocessing.MinMaxScaler(), lm.LogisticRegression()),
    "digits_svc": lambda: svm.SVC(probability=True, random_state=SEED),
    "digits_multinomial_nb": naive_bayes.MultinomialNB,
    "digits_complement_nb": naive_bayes.ComplementNB,
    "digits_bernoulli_nb": lambda: naive_bayes.BernoulliNB(binarize=4.0),
    "digits_pca_knn": lambda: pipeline.make_pipeline(decomposition.PCA(12), neighbors.KNeighborsClassifier(3)),
    "digits_svd_logistic": lambda: pipeline.make_pipeline(
        decomposition.TruncatedSVD(15, random_state=SEED), lm.LogisticRegression(max_iter=5000)),
    "digits_mlp": lambda: neural_network.MLPClassifier((30,), max_iter=60, random_state=SEED),
}.items():
    classification(name, make, source="digits")
classification("hist_missing", lambda: ensemble.HistGradientBoostingClassifier(max_iter=30, random_state=SEED),
               source="wine", missing=True)
classification("imputed_forest", lambda: pipeline.make_pipeline(
    impute.SimpleImputer(strategy="median"), ensemble.RandomForestClassifier(20, random_state=SEED)), source="wine",
    missing=True)
classification("imputed_logistic", lambda: pipeline.make_pipeline(
    impute.SimpleImputer(), preprocessing.StandardScaler(), lm.LogisticRegression()), source="wine", missing=True)
for name, make in {
    "logistic": lambda: lm.LogisticRegression(max_iter=5000),
    "forest": lambda: ensemble.RandomForestClassifier(20, random_state=SEED),
    "svc": lambda: svm.SVC(probability=True, random_state=SEED),
    "knn": neighbors.KNeighborsClassifier,
    "gaussian_nb": naive_bayes.GaussianNB,
}.items():
    classification(name + "_strings_zipmap", make, strings=True, zipmap=True)
classification("hist_strings", lambda: ensemble.HistGradientBoostingClassifier(max_iter=20, random_state=SEED), strings=True)
classification("logistic_zipmap", lambda: lm.LogisticRegression(max_iter=5000), zipmap=True)
classification("forest_ml_1", lambda: ensemble.RandomForestClassifier(10, random_state=SEED), zipmap=True,
               target_opset={"": 11, "ai.onnx.ml": 1})
classification("svc_ml_1", lambda: svm.SVC(probability=True, random_state=SEED), target_opset={"": 11, "ai.onnx.ml": 1})


@case("categorical_nb")
def categorical_nb():
    x, asked, y, _ = data("iris")
    whole = lambda v: np.clip(v.astype(np.int64), 0, 6)
    model = naive_bayes.CategoricalNB(min_categories=7).fit(whole(x), y)
    graph = export(model, x, {id(model): {"zipmap": False}}, types=[("X", Int64TensorType([None, 4]))])
    return graph, {"X": whole(asked)}, [(0, "exact", model.predict(whole(asked))),
                                        (1, "probability", model.predict_proba(whole(asked)))]


@case("multi_output_classifier")
def multi_output_classifier():
    x, asked, y, _ = data("wine")
    both = np.stack([y, (x[:, 0] > 13).astype(np.int64)], 1)
    model = multioutput.MultiOutputClassifier(tree.DecisionTreeClassifier(max_depth=3, random_state=SEED)).fit(x, both)
    graph = export(model, x, {id(model): {"zipmap": False}})
    return graph, {"X": asked}, [(0, "exact", model.predict(asked)),
                                 (1, "sequence", [np.asarray(p) for p in model.predict_proba(asked)])]


# ---- what is learned without a target --------------------------------------------------------------------------------


def unsupervised(name, make, outputs, source="iris", **options):
    """outputs: (kind, method) by output."""
    @case(name)
    def run():
        x, asked, _, _ = data(source)
        model = make().fit(x)
        return export(model, x, **options), {"X": asked}, [(i, kind, np.asarray(getattr(model, method)(asked)))
                                                           for i, (kind, method) in enumerate(outputs)]


for name, make, outputs in (
    ("kmeans", lambda: cluster.KMeans(4, n_init=3, random_state=SEED), [("exact", "predict"), ("number", "transform")]),
    ("mini_batch_kmeans", lambda: cluster.MiniBatchKMeans(4, n_init=3, random_state=SEED),
     [("exact", "predict"), ("number", "transform")]),
    ("mixture_full", lambda: mixture.GaussianMixture(3, random_state=SEED),
     [("exact", "predict"), ("probability", "predict_proba")]),
    ("mixture_diag", lambda: mixture.GaussianMixture(3, covariance_type="diag", random_state=SEED),
     [("exact", "predict"), ("probability", "predict_proba")]),
    ("mixture_tied", lambda: mixture.GaussianMixture(3, covariance_type="tied", random_state=SEED),
     [("exact", "predict"), ("probability", "predict_proba")]),
    ("mixture_spherical", lambda: mixture.GaussianMixture(3, covariance_type="spherical", random_state=SEED),
     [("exact", "predict"), ("probability", "predict_proba")]),
    ("mixture_bayesian", lambda: mixture.BayesianGaussianMixture(n_components=3, random_state=SEED),
     [("exact", "predict"), ("probability", "predict_proba")]),
    ("one_class_svm", lambda: svm.OneClassSVM(nu=0.2), [("exact", "predict"), ("number", "decision_function")]),
    ("local_outlier_factor", lambda: neighbors.LocalOutlierFactor(10, novelty=True),
     [("exact", "predict"), ("number", "decision_function")]),
):
    unsupervised(name, make, outputs)
unsupervised("isolation_forest", lambda: ensemble.IsolationForest(n_estimators=20, random_state=SEED),
             [("exact", "predict"), ("number", "decision_function")], target_opset={"": 18, "ai.onnx.ml": 3})
for name, make in {
    "standard_scaler": preprocessing.StandardScaler,
    "min_max_scaler": preprocessing.MinMaxScaler,
    "max_abs_scaler": preprocessing.MaxAbsScaler,
    "robust_scaler": preprocessing.RobustScaler,
    "normalizer_l1": lambda: preprocessing.Normalizer("l1"),
    "normalizer_l2": preprocessing.Normalizer,
    "normalizer_max": lambda: preprocessing.Normalizer("max"),
    "binarizer": lambda: preprocessing.Binarizer(threshold=1.5),
    "power_transformer": preprocessing.PowerTransformer,
    "polynomial_features": lambda: preprocessing.PolynomialFeatures(3),
    "kbins_ordinal": lambda: preprocessing.KBinsDiscretizer(4, encode="ordinal", quantile_method="linear"),
    "pca": lambda: decomposition.PCA(3),
    "pca_whiten": lambda: decomposition.PCA(3, whiten=True),
    "incremental_pca": lambda: decomposition.IncrementalPCA(2),
    "kernel_pca": lambda: decomposition.KernelPCA(2, kernel="rbf"),
    "truncated_svd": lambda: decomposition.TruncatedSVD(2, random_state=SEED),
    "random_projection": lambda: random_projection.GaussianRandomProjection(3, random_state=SEED),
    "variance_threshold": lambda: feature_selection.VarianceThreshold(0.5),
    "column_transformer": lambda: compose.ColumnTransformer(
        [("a", preprocessing.StandardScaler(), [0, 1]), ("b", preprocessing.KBinsDiscretizer(
            3, encode="onehot-dense", quantile_method="linear"), [2])], remainder="passthrough"),
    "feature_union": lambda: pipeline.FeatureUnion([("a", preprocessing.StandardScaler()), ("b", decomposition.PCA(2))]),
}.items():
    unsupervised(name, make, [("number", "transform")])


@case("knn_imputer")
def knn_imputer():
    x, asked, _, _ = data("wine", True)
    model = impute.KNNImputer(n_neighbors=3).fit(x)
    return export(model, x), {"X": asked}, [(0, "number", model.transform(asked))]



# ---- strings ---------------------------------------------------------------------------------------------------------


def table():
    """Wine with two columns of names made of its numbers."""
    x, asked, y, _ = data("wine")
    kinds = np.array(["rosé", "rouge", "blanc", "北", ""], object)

    def names(v):
        return np.stack([kinds[np.clip(v[:, 0] - 11, 0, 4).astype(int)], kinds[np.clip(v[:, 10] * 3, 0, 3).astype(int)]], 1)
    return x, asked, y, names


@case("one_hot_strings")
def one_hot_strings():
    x, asked, _, names = table()
    model = preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(names(x))
    given = names(asked)
    given[0, 0] = "never seen"
    return (export(model, x, types=[("X", StringTensorType([None, 2]))]), {"X": given},
            [(0, "number", model.transform(given))])


@case("ordinal_strings")
def ordinal_strings():
    x, asked, _, names = table()
    model = preprocessing.OrdinalEncoder().fit(np.concatenate([names(x), names(asked)]))
    return (export(model, x, types=[("X", StringTensorType([None, 2]))]), {"X": names(asked)},
            [(0, "number", model.transform(names(asked)))])


@case("label_encoder_strings")
def label_encoder_strings():
    x, asked, _, names = table()
    model = preprocessing.LabelEncoder().fit(np.concatenate([names(x), names(asked)])[:, 0])
    return (export(model, x, types=[("X", StringTensorType([None]))]), {"X": names(asked)[:, 0]},
            [(0, "exact", model.transform(names(asked)[:, 0]))])


def mixed(name, last, **options):
    @case(name)
    def run():
        import pandas
        x, asked, y, names = table()

        def frame(v):
            return pandas.DataFrame({"a": v[:, 0], "b": v[:, 1], "s": names(v)[:, 0], "t": names(v)[:, 1]})
        model = pipeline.make_pipeline(compose.ColumnTransformer([
            ("numbers", pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler()), ["a", "b"]),
            ("names", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["s", "t"])]), last())
        model.fit(frame(x), CITIES[y])
        types = [(n, (StringTensorType if n in "st" else FloatTensorType)([None, 1])) for n in "abst"]
        graph = export(model, x, {id(model.steps[-1][1]): {"zipmap": options.get("zipmap", False)}}, types=types)
        feeds = {n: frame(asked)[n].to_numpy().astype(object if n in "st" else np.float32).reshape(-1, 1) for n in "abst"}
        found = model.predict_proba(frame(asked))
        scores = ((1, "maps", [dict(zip(model.classes_.tolist(), row)) for row in found]) if options.get("zipmap")
                  else (1, "probability", found))
        return graph, feeds, [(0, "exact", model.predict(frame(asked))), scores]


mixed("columns_logistic", lambda: lm.LogisticRegression(max_iter=5000))
mixed("columns_forest", lambda: ensemble.RandomForestClassifier(20, random_state=SEED), zipmap=True)


@functools.cache
def sentences():
    """Lines of the descriptions of scikit-learn's data sets, and which set each is of."""
    texts, of = [], []
    for number, name in enumerate(("iris", "wine", "breast_cancer", "diabetes")):
        lines = [" ".join(re.findall("[A-Za-z0-9]+", line)) for line in getattr(datasets, f"load_{name}")().DESCR.split("\n")]
        found = [line for line in lines if len(line) > 25]
        texts += found
        of += [number] * len(found)
    return np.array(texts, object), np.array(of)


def text(name, vectorizer, last):
    @case(name)
    def run():
        texts, y = sentences()
        asked = np.arange(len(texts)) % 4 == 0
        model = pipeline.make_pipeline(vectorizer(), last())
        model.fit(texts[~asked], y[~asked])
        graph = export(model, None, {id(model.steps[-1][1]): {"zipmap": False}} if hasattr(model, "predict_proba") else None,
                       types=[("X", StringTensorType([None, 1]))])
        want = ([(0, "exact", model.predict(texts[asked])), (1, "probability", model.predict_proba(texts[asked]))]
                if hasattr(model, "predict_proba") else [(0, "number", model.transform(texts[asked]))])
        return graph, {"X": texts[asked].reshape(-1, 1)}, want


words = feature_extraction.text
text("text_tfidf_logistic", words.TfidfVectorizer, lambda: lm.LogisticRegression(max_iter=5000))
text("text_tfidf_bigrams_sublinear", lambda: words.TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
     lambda: lm.LogisticRegression(max_iter=5000))
text("text_count_naive_bayes", words.CountVectorizer, naive_bayes.MultinomialNB)
text("text_count_binary_forest", lambda: words.CountVectorizer(binary=True, stop_words=["the", "of"]),
     lambda: ensemble.RandomForestClassifier(20, random_state=SEED))
text("text_tfidf_svd", words.TfidfVectorizer, lambda: decomposition.TruncatedSVD(5, random_state=SEED))


# ---- XGBoost, LightGBM, CatBoost -------------------------------------------------------------------------------------


def boosted(name, make, convert, source, missing=False, zipmap=False):
    @case(name)
    def run():
        x, asked, y, _ = data(source, missing)
        model = make()
        model.fit(x, y)
        graph = convert(model, x)
        if source == "diabetes":
            return graph, {graph.graph.input[0].name: asked}, [(0, "number", model.predict(asked).reshape(-1, 1))]
        found = model.predict_proba(asked)
        labels = np.asarray(model.predict(asked)).reshape(-1).astype(np.int64)
        kind = ("maps", [dict(enumerate(row)) for row in found]) if zipmap else ("probability", found)
        return graph, {graph.graph.input[0].name: asked}, [(0, "exact", labels), (1, *kind)]


def of_xgboost(model, x):
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType as Floats
    return convert_xgboost(model, initial_types=[("X", Floats([None, x.shape[1]]))], target_opset=15)


def of_lightgbm(model, x):
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType as Floats
    return convert_lightgbm(model, initial_types=[("X", Floats([None, x.shape[1]]))], target_opset=15, zipmap=False)


def of_catboost(model, x):
    import onnx
    path = pathlib.Path(os.environ["CLASSICAL_FOLDER"]) / "catboost.tmp"
    model.save_model(str(path), format="onnx")
    graph = onnx.load(path)
    path.unlink()
    return graph


def xgb(kind, **more):
    import xgboost
    return getattr(xgboost, kind)(n_estimators=30, max_depth=4, random_state=SEED, n_jobs=2, **more)


def lgbm(kind, **more):
    import lightgbm
    return getattr(lightgbm, kind)(n_estimators=30, random_state=SEED, verbose=-1, n_jobs=2, **more)


def cat(kind, **more):
    import catboost
    return getattr(catboost, kind)(iterations=30, depth=4, random_seed=SEED, verbose=0, thread_count=2,
                                   allow_writing_files=False, **more)


boosted("xgboost_regressor", lambda: xgb("XGBRegressor"), of_xgboost, "diabetes")
boosted("xgboost_regressor_missing", lambda: xgb("XGBRegressor"), of_xgboost, "diabetes", missing=True)
boosted("xgboost_forest_regressor", lambda: xgb("XGBRFRegressor"), of_xgboost, "diabetes")
boosted("xgboost_binary", lambda: xgb("XGBClassifier"), of_xgboost, "breast_cancer")
boosted("xgboost_multiclass", lambda: xgb("XGBClassifier"), of_xgboost, "wine")
boosted("xgboost_missing", lambda: xgb("XGBClassifier"), of_xgboost, "wine", missing=True)
boosted("lightgbm_regressor", lambda: lgbm("LGBMRegressor"), of_lightgbm, "diabetes")
boosted("lightgbm_regressor_missing", lambda: lgbm("LGBMRegressor"), of_lightgbm, "diabetes", missing=True)
boosted("lightgbm_binary", lambda: lgbm("LGBMClassifier"), of_lightgbm, "breast_cancer")
boosted("lightgbm_multiclass", lambda: lgbm("LGBMClassifier"), of_lightgbm, "wine")
boosted("lightgbm_missing", lambda: lgbm("LGBMClassifier"), of_lightgbm, "wine", missing=True)
boosted("lightgbm_dart", lambda: lgbm("LGBMClassifier", boosting_type="dart"), of_lightgbm, "breast_cancer")
boosted("catboost_regressor", lambda: cat("CatBoostRegressor"), of_catboost, "diabetes")
boosted("catboost_binary", lambda: cat("CatBoostClassifier"), of_catboost, "breast_cancer", zipmap=True)
boosted("catboost_multiclass", lambda: cat("CatBoostClassifier"), of_catboost, "wine", zipmap=True)
boosted("catboost_missing", lambda: cat("CatBoostClassifier"), of_catboost, "wine", missing=True, zipmap=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["CLASSICAL_FOLDER"] = str(folder)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for name, run in cases.items():
        if len(sys.argv) > 2 and not any(word in name for word in sys.argv[2:]):
            continue
        try:
            graph, feeds, want = run()
            (folder / f"{name}.onnx").write_bytes(graph.SerializeToString())
            (folder / f"{name}.pickle").write_bytes(pickle.dumps((feeds, want)))
        except Exception as error:  # said by the test, which misses the model
            (folder / f"{name}.error").write_text(f"{type(error).__name__}: {error}"[:600])
            print(f"{name}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr, flush=True)
    (folder / "names.txt").write_text("\n".join(cases))


if __name__ == "__main__":
    sys.modules["classical_models"] = sys.modules["__main__"]  # what classical_more imports is this one
    import classical_more  # noqa: F401, its cases join those of this file
    main()
