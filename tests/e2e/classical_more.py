# SPDX-License-Identifier: Apache-2.0
"""More models of classical_models.py: what trees tell beyond their predictions, ties of forests, hashed and target-encoded
columns, objectives and categories of boosting, kernels of Gaussian processes, models of models."""
import numpy as np
from classical_models import (SEED, boosted, case, cat, classification, data, export, lgbm, mixed, of_catboost, of_lightgbm,
                              of_xgboost, regression, scaled, table, unsupervised, xgb)
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType
from sklearn import (calibration, ensemble, feature_extraction, gaussian_process, impute, linear_model, mixture,
                     model_selection, multiclass, neighbors, neural_network, pipeline, preprocessing, svm, tree)

lm = linear_model
kernels = gaussian_process.kernels

# An even number of trees: where they vote evenly the first class wins.
for count in (6, 10, 20):
    classification(f"extra_trees_ties_{count}", lambda count=count: ensemble.ExtraTreesClassifier(count, random_state=SEED),
                   source="breast_cancer")
classification("forest_ties_strings", lambda: ensemble.RandomForestClassifier(4, max_features=1, random_state=SEED),
               source="breast_cancer", strings=True, zipmap=True)
for name, make in {
    "boosting_zero": lambda: ensemble.GradientBoostingClassifier(n_estimators=10, init="zero", random_state=SEED),
    "bagging_columns": lambda: ensemble.BaggingClassifier(lm.LogisticRegression(), max_features=0.6, random_state=SEED),
    "voting_weighted": lambda: ensemble.VotingClassifier(
        [("a", lm.LogisticRegression(max_iter=5000)), ("b", ensemble.RandomForestClassifier(10, random_state=SEED))],
        voting="soft", weights=np.array([1.0, 3.0]), flatten_transform=False),
    "calibrated_svc": lambda: scaled(calibration.CalibratedClassifierCV(svm.LinearSVC(random_state=SEED), cv=3)),
    "ovr_forest": lambda: multiclass.OneVsRestClassifier(ensemble.RandomForestClassifier(6, random_state=SEED)),
    "grid_svc": lambda: model_selection.GridSearchCV(svm.SVC(probability=True, random_state=SEED), {"C": [0.5, 5]}),
    "knn_cosine": lambda: neighbors.KNeighborsClassifier(3, metric="cosine"),
    "nca_knn": lambda: pipeline.make_pipeline(preprocessing.StandardScaler(), neighbors.NeighborhoodComponentsAnalysis(
        2, random_state=SEED), neighbors.KNeighborsClassifier(3)),
    "quantile_logistic": lambda: pipeline.make_pipeline(preprocessing.QuantileTransformer(n_quantiles=30),
                                                        lm.LogisticRegression()),
    "mlp_logistic": lambda: scaled(neural_network.MLPClassifier((10, 5), activation="logistic", max_iter=300,
                                                                random_state=SEED)),
}.items():
    classification(name, make, source="wine")
for name, make in {
    "process_matern_3": lambda: gaussian_process.GaussianProcessRegressor(kernels.Matern(nu=1.5), alpha=0.1, optimizer=None),
    "process_rational": lambda: gaussian_process.GaussianProcessRegressor(
        kernels.RationalQuadratic(), alpha=0.1, optimizer=None),
    "process_sine": lambda: gaussian_process.GaussianProcessRegressor(
        kernels.DotProduct() + 2 * kernels.RBF(3.0), alpha=0.5, optimizer=None),
    "knn_minkowski_3": lambda: neighbors.KNeighborsRegressor(4, p=3),
    "boosting_quantile": lambda: ensemble.GradientBoostingRegressor(loss="quantile", alpha=0.7, random_state=SEED),
    "adaboost_square": lambda: ensemble.AdaBoostRegressor(n_estimators=10, loss="square", random_state=SEED),
}.items():
    regression(name, make)
classification("process_classifier", lambda: scaled(gaussian_process.GaussianProcessClassifier(optimizer=None)),
               source="breast_cancer")
regression("forest_ml_5", lambda: ensemble.RandomForestRegressor(20, random_state=SEED),
           target_opset={"": 19, "ai.onnx.ml": 5})
unsupervised("one_class_sgd", lambda: scaled(lm.SGDOneClassSVM(random_state=SEED)), [("exact", "predict")])
unsupervised("random_trees", lambda: ensemble.RandomTreesEmbedding(6, max_depth=3, random_state=SEED, sparse_output=False),
             [("number", "transform")])
unsupervised("mixture_bayesian_diag", lambda: mixture.BayesianGaussianMixture(
    n_components=2, covariance_type="diag", random_state=SEED), [("exact", "predict"), ("probability", "predict_proba")])
mixed("columns_boosting", lambda: ensemble.GradientBoostingClassifier(n_estimators=10, random_state=SEED))


@case("multi_label_ovr")
def multi_label_ovr():
    x, asked, y, _ = data("wine")
    both = np.stack([y == 0, x[:, 0] > 13, x[:, 3] > 20], 1).astype(np.int64)
    model = multiclass.OneVsRestClassifier(lm.LogisticRegression(max_iter=5000)).fit(x, both)
    return (export(model, x, {id(model): {"zipmap": False}}), {"X": asked},
            [(0, "exact", model.predict(asked)), (1, "probability", model.predict_proba(asked))])


# ---- the way through trees -------------------------------------------------------------------------------------------


def paths(name, make, source):
    """Decision paths as texts of 0 and 1 a tree, and leaves."""
    @case(name)
    def run():
        x, asked, y, _ = data(source)
        model = make().fit(x, y)
        found = model.decision_path(asked)
        marks, ends = (found[0], found[1]) if isinstance(found, tuple) else (found, [0, found.shape[1]])
        texts = np.array([["".join(str(v) for v in row[a:b]) for a, b in zip(ends[:-1], ends[1:])]
                          for row in marks.toarray()], object)
        leaves = np.asarray(model.apply(asked)).reshape(len(asked), -1).astype(np.int64)
        given = {"decision_path": True, "decision_leaf": True}
        if source == "diabetes":
            want = [(0, "number", model.predict(asked).reshape(-1, 1))]
        else:
            given["zipmap"] = False
            want = [(0, "exact", model.predict(asked)), (1, "probability", model.predict_proba(asked))]
        want += [(len(want), "exact", texts), (len(want) + 1, "exact", leaves)]
        return export(model, x, {id(model): given}), {"X": asked}, want


paths("tree_path", lambda: tree.DecisionTreeClassifier(max_depth=4, random_state=SEED), "wine")
paths("forest_path", lambda: ensemble.RandomForestClassifier(5, max_depth=4, random_state=SEED), "wine")
paths("tree_regressor_path", lambda: tree.DecisionTreeRegressor(max_depth=4, random_state=SEED), "diabetes")
paths("forest_regressor_path", lambda: ensemble.RandomForestRegressor(4, max_depth=4, random_state=SEED), "diabetes")


# ---- names -----------------------------------------------------------------------------------------------------------


def hashed(name, **options):
    @case(name)
    def run():
        x, asked, _, names = table()
        model = feature_extraction.FeatureHasher(input_type="string", **options).fit(names(x)[:, :1])
        given = names(asked)[:, :1]
        return (export(model, x, types=[("X", StringTensorType([None, 1]))]), {"X": given},
                [(0, "number", model.transform(given).toarray())])


hashed("hasher", n_features=32)
hashed("hasher_unsigned", n_features=7, alternate_sign=False)
hashed("hasher_integers", n_features=16, dtype=np.int64)


@case("target_encoder")
def target_encoder():
    x, asked, y, names = table()
    model = preprocessing.TargetEncoder(random_state=SEED).fit(names(x), (y > 0).astype(np.int64))
    return (export(model, x, types=[("X", StringTensorType([None, 2]))]), {"X": names(asked)},
            [(0, "number", model.transform(names(asked)))])


@case("ordinal_unknown")
def ordinal_unknown():
    x, asked, _, names = table()
    model = preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(names(x))
    given = names(asked)
    given[0, 0] = "never seen"
    return (export(model, x, types=[("X", StringTensorType([None, 2]))]), {"X": given},
            [(0, "number", model.transform(given))])


@case("label_binarizer_strings")
def label_binarizer_strings():
    x, asked, _, names = table()
    model = preprocessing.LabelBinarizer(neg_label=-1, pos_label=3).fit(np.concatenate([names(x), names(asked)])[:, 0])
    return (export(model, x, types=[("X", StringTensorType([None]))]), {"X": names(asked)[:, 0]},
            [(0, "number", model.transform(names(asked)[:, 0]))])


@case("imputed_strings")
def imputed_strings():
    x, asked, _, names = table()
    model = impute.SimpleImputer(strategy="constant", missing_values="", fill_value="né").fit(names(x))
    return (export(model, x, types=[("X", StringTensorType([None, 2]))]), {"X": names(asked)},
            [(0, "exact", model.transform(names(asked)))])


# ---- numbers that are no float32 -------------------------------------------------------------------------------------


def of_type(name, make, kind, declared, source="digits"):
    @case(name)
    def run():
        x, asked, y, _ = data(source)
        x, asked = x.astype(kind), asked.astype(kind)
        model = make().fit(x, y)
        graph = export(model, x, {id(model): {"zipmap": False}}, types=[("X", declared([None, x.shape[1]]))])
        return graph, {"X": asked}, [(0, "exact", model.predict(asked)), (1, "probability", model.predict_proba(asked))]


of_type("forest_int64", lambda: ensemble.RandomForestClassifier(10, random_state=SEED), np.int64, Int64TensorType)
of_type("logistic_double", lambda: lm.LogisticRegression(max_iter=5000), np.float64, DoubleTensorType, "wine")


# ---- boosting --------------------------------------------------------------------------------------------------------


@case("lightgbm_categories")
def lightgbm_categories():
    rng = np.random.default_rng(SEED)
    x = np.concatenate([rng.integers(0, 60, (500, 2)), rng.standard_normal((500, 2))], 1).astype(np.float32)
    model = lgbm("LGBMRegressor", min_child_samples=3, max_cat_to_onehot=2)
    model.fit(x, (x[:, 0] % 7 > 3) * 2.0 + x[:, 1] % 3 + x[:, 2], categorical_feature=[0, 1])
    asked = x[:80].copy()
    asked[0, 0], asked[1, 1] = 99, np.nan
    return of_lightgbm(model, x), {"X": asked}, [(0, "number", model.predict(asked).reshape(-1, 1))]


@case("lightgbm_ranker")
def lightgbm_ranker():
    x, asked, y, _ = data("wine")
    model = lgbm("LGBMRanker").fit(x, y, group=[len(x)])
    return of_lightgbm(model, x), {"X": asked}, [(0, "number", model.predict(asked).reshape(-1, 1))]


for objective in ("poisson", "tweedie", "huber"):
    boosted(f"lightgbm_{objective}", lambda objective=objective: lgbm("LGBMRegressor", objective=objective), of_lightgbm,
            "diabetes")
for objective in ("count:poisson", "reg:tweedie", "reg:absoluteerror"):
    boosted(f"xgboost_{objective.split(':')[1]}", lambda objective=objective: xgb("XGBRegressor", objective=objective),
            of_xgboost, "diabetes")
boosted("xgboost_digits", lambda: xgb("XGBClassifier"), of_xgboost, "digits")
boosted("catboost_digits", lambda: cat("CatBoostClassifier"), of_catboost, "digits", zipmap=True)
boosted("catboost_quantile", lambda: cat("CatBoostRegressor", loss_function="Quantile"), of_catboost, "diabetes")
boosted("catboost_nan_max", lambda: cat("CatBoostRegressor", nan_mode="Max"), of_catboost, "diabetes", missing=True)


@case("catboost_strings")
def catboost_strings():
    x, asked, y, _ = data("iris")
    model = cat("CatBoostClassifier")
    model.fit(x, np.array(["Ávila", "北京", "Oslo"])[y])
    graph = of_catboost(model, x)
    found = model.predict_proba(asked)
    return (graph, {graph.graph.input[0].name: asked},
            [(0, "exact", model.predict(asked).reshape(-1).astype(object)),
             (1, "maps", [dict(zip(model.classes_.tolist(), row)) for row in found])])
