"""GrowingClassifier: probabilities, labels, weights, growth, and the places where a classifier is expected."""

import pickle
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris, load_wine, make_moons, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import compute_sample_weight, get_tags

from skgrow import GrowingClassifier, GrowingRegressor
from skgrow.growth import PolarSearch
from skgrow.training import Plateau

GROWN = {"activation": "tanh", "max_neurons": 4, "max_stage_iter": 40, "random_state": 0}
#: One growth in a few directions.
SMALL = GROWN | {"search": PolarSearch(8, 4, n_exchanges=0), "schedule": Plateau(max_growths=1)}


def two_classes(n=80, noise=0.25, seed=0):
    return make_moons(n, noise=noise, random_state=seed)


def three_classes():
    X, y = load_iris(return_X_y=True)
    return X[::2], y[::2]


def label_sets(n=80):
    return make_multilabel_classification(n, n_features=4, n_classes=3, n_labels=2, random_state=0)


DATA = {"two": two_classes, "three": three_classes, "sets": label_sets}


def entropy(P, Y):
    """Mean cross-entropy of indicator targets; of label sets summed over labels."""
    P, Y = np.asarray(P), np.asarray(Y)
    if Y.ndim == 1:
        return log_loss(Y, P)
    return -np.mean(np.sum(Y * np.log(P) + (1 - Y) * np.log1p(-P), axis=1))


@cache
def fitted(kind):
    X, y = DATA[kind]()
    return X, y, GrowingClassifier(**SMALL).fit(X, y)


# outputs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DATA)
def test_shapes_and_identities_of_the_predictions(kind):
    X, y, est = fitted(kind)
    n_columns = {"two": 2, "three": 3, "sets": 3}[kind]
    P, logs, F, labels = est.predict_proba(X), est.predict_log_proba(X), est.decision_function(X), est.predict(X)
    assert P.shape == logs.shape == (len(X), n_columns)
    assert F.shape == ((len(X),) if kind == "two" else P.shape)
    assert labels.shape == y.shape
    assert ((P >= 0) & (P <= 1)).all()
    np.testing.assert_allclose(np.exp(logs), P, rtol=1e-10)
    if kind == "sets":
        np.testing.assert_array_equal(labels, P > 0.5)
        np.testing.assert_array_equal(est.classes_, np.arange(3))
        np.testing.assert_allclose(P, 1 / (1 + np.exp(-F)), rtol=1e-12)
    else:
        np.testing.assert_allclose(P.sum(1), 1, rtol=1e-12)
        np.testing.assert_array_equal(labels, est.classes_[P.argmax(1)])
    if kind == "two":
        np.testing.assert_allclose(logs[:, 1] - logs[:, 0], F, rtol=1e-8, atol=1e-8)
    assert est.score(X, y) == pytest.approx(np.mean(np.all((labels == y).reshape(len(X), -1), axis=1)))
    assert est.n_outputs_ == est.architecture_[-1] == {"two": 1, "three": 3, "sets": 3}[kind]
    assert est.out_activation_ == ("softmax" if kind == "three" else "logistic")


@pytest.mark.parametrize("kind", DATA)
def test_the_loss_is_the_cross_entropy_of_the_training_data(kind):
    X, y, est = fitted(kind)
    assert est.loss_ == pytest.approx(entropy(est.predict_proba(X), y), rel=1e-8)


@pytest.mark.parametrize("kind", DATA)
def test_without_neurons_the_probabilities_are_the_frequencies(kind):
    X, y = DATA[kind]()
    P = GrowingClassifier(max_neurons=0).fit(X, y).predict_proba(X)
    frequencies = y.mean(0) if kind == "sets" else np.bincount(y) / len(y)
    np.testing.assert_allclose(P, np.tile(frequencies, (len(X), 1)), atol=1e-6)


def test_log_probabilities_are_accurate_where_probabilities_are_tiny():
    X, y = two_classes()
    est = GrowingClassifier(**SMALL, standardize=False).fit(X, y)
    est.intercepts_[-1] = est.intercepts_[-1] - 1000
    est._certainty = est._certainty - 1000
    logs = est.predict_log_proba(X)
    assert np.isfinite(logs).all()
    np.testing.assert_allclose(logs[:, 1], est.decision_function(X), rtol=1e-12)


@pytest.mark.parametrize(
    "names", [np.array(["no", "yes"]), np.array([-7, 3]), np.array([False, True]), np.array([0.0, 1.0])]
)
def test_classes_may_have_any_names(names):
    X, y = two_classes()
    plain, named = fitted("two")[-1], GrowingClassifier(**SMALL).fit(X, names[y])
    np.testing.assert_array_equal(named.classes_, names)
    assert named.predict(X).dtype == names.dtype
    np.testing.assert_array_equal(named.predict(X), names[plain.predict(X)])
    np.testing.assert_array_equal(named.predict_proba(X), plain.predict_proba(X))
    assert named.score(X, names[y]) == plain.score(X, y)


def test_object_labels_and_lists():
    X, y = three_classes()
    names = np.array(["setosa", "versicolor", "virginica"], dtype=object)[y]
    est = GrowingClassifier(**SMALL).fit(X.tolist(), names.tolist())
    assert set(est.predict(X)) <= set(names)
    assert est.score(X, names) > 0.9


def test_exchanging_two_classes_exchanges_their_probabilities():
    X, y = two_classes()
    P = fitted("two")[-1].predict_proba(X)
    Q = GrowingClassifier(**SMALL).fit(X, 1 - y).predict_proba(X)
    np.testing.assert_allclose(Q[:, ::-1], P, atol=0.02)


# weights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
def test_a_weight_is_a_repetition_and_weight_zero_an_absence(kind, solver):
    X, y = DATA[kind]()
    weight = np.random.default_rng(0).integers(0, 3, size=len(X))
    weighted = GrowingClassifier(**SMALL, solver=solver).fit(X, y, sample_weight=weight)
    repeated = GrowingClassifier(**SMALL, solver=solver).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight, axis=0))
    np.testing.assert_array_equal(weighted.predict_proba(X), repeated.predict_proba(X))
    assert weighted.log_evidence_ == pytest.approx(repeated.log_evidence_)


@pytest.mark.parametrize("class_weight", ["balanced", {0: 1, 1: 3, 2: 2}, {0: 0.5, 1: 1.25, 2: 1.5}])
def test_class_weights_are_sample_weights(class_weight):
    X, y = three_classes()
    X, y = X[10:], y[10:]
    by_class = GrowingClassifier(**SMALL, class_weight=class_weight).fit(X, y)
    by_sample = GrowingClassifier(**SMALL).fit(X, y, sample_weight=compute_sample_weight(class_weight, y))
    np.testing.assert_array_equal(by_class.predict_proba(X), by_sample.predict_proba(X))


def test_class_weights_multiply_sample_weights():
    X, y = three_classes()
    weight = np.random.default_rng(0).integers(1, 3, size=len(y))
    both = GrowingClassifier(**SMALL, class_weight={0: 2, 1: 1, 2: 1}).fit(X, y, sample_weight=weight)
    product = GrowingClassifier(**SMALL).fit(X, y, sample_weight=weight * np.where(y == 0, 2, 1))
    np.testing.assert_array_equal(both.predict_proba(X), product.predict_proba(X))


def test_string_classes_take_weights_by_their_names():
    X, y = two_classes()
    named = GrowingClassifier(**SMALL, class_weight={"a": 1, "b": 4}).fit(X, np.array(["a", "b"])[y])
    plain = GrowingClassifier(**SMALL, class_weight={0: 1, 1: 4}).fit(X, y)
    np.testing.assert_array_equal(named.predict_proba(X), plain.predict_proba(X))
    constant = GrowingClassifier(max_neurons=0, class_weight={0: 1, 1: 4}).fit(X, y)
    np.testing.assert_allclose(constant.predict_proba(X)[:, 1], 0.8, atol=1e-6)


# bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, y + 0.5), "Unknown label type"),
        (lambda X, y: (X, np.where(y == 0, np.nan, 1.0)), "NaN"),
        (lambda X, y: (np.where(X > 1, np.nan, X), y), "NaN"),
        (lambda X, y: (np.where(X > 1, np.inf, X), y), "infinity"),
        (lambda X, y: (X, y[:-1]), "inconsistent numbers of samples"),
        (lambda X, y: (X[:, 0], y), "Expected 2D array"),
        (lambda X, y: (X, None), "y"),
        (lambda X, y: (X, np.column_stack([y, 2 * y])), "y"),
    ],
    ids=["numbers", "NaN class", "NaN", "infinity", "too few", "no matrix", "no classes", "two outputs"],
)
def test_bad_data_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        GrowingClassifier(**SMALL).fit(*change(*two_classes()))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("class_weight", "equal"),
        ("criterion", "aic"),
        ("solver", "newton"),
        ("grow_layer", "first"),
        ("search", "genetic"),
        ("block_size", 0),
        ("hidden_layer_sizes", (0, 3)),
        ("hidden_layer_sizes", (-1,)),
        ("hidden_layer_sizes", (2.5,)),
    ],
)
def test_bad_parameters_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=name):
        GrowingClassifier(**SMALL | {name: value}).fit(*two_classes())


def test_bad_parameters_of_a_search_are_refused_by_name():
    with pytest.raises(ValueError, match=r"merge_tol must be >= 0; got -1\.0"):
        GrowingClassifier(**SMALL | {"search": PolarSearch(merge_tol=-1.0)}).fit(*two_classes())


def test_other_features_than_in_fit_are_refused():
    X, _, est = fitted("two")
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        with pytest.raises(ValueError, match="expecting 2 features"):
            getattr(est, method)(X[:, :1])


# containers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", DATA)
def test_tensors_in_tensors_out(kind, dtype):
    X, y = DATA[kind]()
    X, y = torch.as_tensor(X, dtype=dtype), torch.as_tensor(y)
    est = GrowingClassifier(**SMALL).fit(X, y)
    arrays = fitted(kind)[-1] if dtype == torch.float64 else GrowingClassifier(**SMALL).fit(X.numpy(), y.numpy())
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        result = getattr(est, method)(X)
        assert isinstance(result, torch.Tensor)
        np.testing.assert_array_equal(result, getattr(arrays, method)(X.numpy()))
    assert est.predict_proba(X).dtype == dtype
    assert est.score(X, y) == arrays.score(X.numpy(), y.numpy())


def test_tensors_with_string_classes():
    X, y = two_classes()
    names = np.array(["a", "b"])[y]
    est = GrowingClassifier(**SMALL).fit(torch.as_tensor(X), names)
    assert isinstance(est.predict_proba(torch.as_tensor(X)), torch.Tensor)
    assert est.predict(torch.as_tensor(X)).dtype == names.dtype


def test_frames_are_taken_and_their_names_remembered():
    X, y = two_classes()
    frame = pd.DataFrame(X, columns=["a", "b"])
    est = GrowingClassifier(**SMALL).fit(frame, pd.Series(np.array(["n", "y"])[y], dtype="category"))
    assert est.feature_names_in_.tolist() == ["a", "b"]
    np.testing.assert_array_equal(est.predict_proba(frame), fitted("two")[-1].predict_proba(X))
    with pytest.raises(ValueError, match="feature names should match"):
        est.predict(frame[["b", "a"]])


def test_a_column_of_classes_is_taken_with_a_warning():
    X, y = two_classes()
    with pytest.warns(UserWarning, match="column-vector y"):
        est = GrowingClassifier(**SMALL).fit(X, y[:, None])
    assert est.predict(X).shape == y.shape


def test_sparse_label_sets():
    from scipy import sparse

    X, y, plain = fitted("sets")
    est = GrowingClassifier(**SMALL).fit(sparse.csr_array(X), sparse.csr_matrix(y))
    np.testing.assert_array_equal(est.predict(X), plain.predict(X))


def test_pickle_and_clone():
    X, y = three_classes()
    est = GrowingClassifier(**SMALL, class_weight="balanced").fit(X, y)
    stored = pickle.dumps(est)
    assert b"torch" not in stored
    np.testing.assert_array_equal(pickle.loads(stored).predict_proba(X), est.predict_proba(X))
    copy = clone(est)
    assert repr(copy) == repr(est)
    assert not hasattr(copy, "classes_")


def test_tags():
    tags = get_tags(GrowingClassifier())
    assert tags.estimator_type == "classifier"
    assert tags.classifier_tags.multi_class
    assert tags.classifier_tags.multi_label
    assert tags.input_tags.sparse


@pytest.mark.parametrize("kind", DATA)
def test_the_torch_module_of_a_fit_is_its_decision_function(kind):
    X, _, est = fitted(kind)
    with torch.no_grad():
        F = est.to_torch()(torch.as_tensor(X, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(F[:, 0] if kind == "two" else F, est.decision_function(X), rtol=1e-10, atol=1e-10)


# scikit-learn's tools ------------------------------------------------------------------------------------------


def test_in_a_pipeline_and_a_grid_search():
    X, y = two_classes()
    pipeline = make_pipeline(StandardScaler(), GrowingClassifier(**SMALL))
    grid = {"growingclassifier__max_neurons": [0, 4]}
    search = GridSearchCV(pipeline, grid, cv=3, scoring="neg_log_loss").fit(X, y)
    assert search.best_params_ == {"growingclassifier__max_neurons": 4}
    assert search.predict_proba(X).shape == (len(X), 2)


def test_calibration():
    X, y = two_classes(120)
    est = CalibratedClassifierCV(GrowingClassifier(**SMALL), cv=3).fit(X, y)
    assert est.score(X, y) > 0.75  # 0.86; one class alone 0.5


@pytest.mark.parametrize("kind", ["two", "three"])
def test_cross_validated_probabilities_beat_the_frequencies(kind):
    X, y = DATA[kind]()
    P = cross_val_predict(GrowingClassifier(**SMALL), X, y, cv=3, method="predict_proba")
    np.testing.assert_allclose(P.sum(1), 1)
    frequencies = np.bincount(y) / len(y)
    assert log_loss(y, P) < 0.8 * -(frequencies @ np.log(frequencies))


# what is learned -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("solver", "activation"),
    [
        *(("auto", activation) for activation in ("relu", "leaky_relu", "tanh", "logistic")),
        *((solver, "relu") for solver in ("lm", "lbfgs", "adam")),
        ("lbfgs", "tanh"),
        ("adam", "logistic"),
    ],
)
def test_moons_are_told_apart_on_new_data(solver, activation):
    X, y = two_classes(150, noise=0.15)
    new, labels = two_classes(400, noise=0.15, seed=1)
    parameters = {"max_neurons": 8, "learning_rate_init": 0.02, "max_stage_iter": 60, "random_state": 0}
    est = GrowingClassifier(activation=activation, solver=solver, **parameters).fit(X, y)
    assert log_loss(labels, est.predict_proba(new)) < 0.45  # constant probabilities have log 2, lines 0.27
    assert est.score(new, labels) > 0.82


@pytest.mark.parametrize(("activation", "n"), [("relu", 150), ("relu", 300), ("tanh", 200)])
def test_growth_does_not_end_with_neurons_next_to_linear(activation, n):
    """A first block can end as a line, of cross-entropy 0.31; that line's penalty must not hold the next block."""
    new, labels = two_classes(4000, seed=99)
    errors = []
    for seed in range(3):
        est = GrowingClassifier(activation=activation, random_state=0).fit(*two_classes(n, seed=seed))
        errors.append(log_loss(labels, est.predict_proba(new)))
    assert np.median(errors) < 0.25  # medians are 0.15 to 0.20


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_growth_ends_where_less_likelihood_is_left_than_a_block_has_parameters(activation):
    X, y = load_wine(return_X_y=True)
    est = GrowingClassifier(activation=activation, random_state=0).fit(X, y)
    last = est.history_[-1]
    assert last["predicted_decrease"] > 0  # the search would have gone on
    assert last["train_loss"] * len(y) < 6 * (13 + 1 + 3)  # two neurons per class


def test_a_first_block_is_tried_however_many_parameters_it_has():
    X = np.random.default_rng(0).normal(size=(120, 40))  # 126 parameters, 83 nats
    y = (X[:, :3].sum(1) > 0).astype(int)
    est = GrowingClassifier(activation="tanh", random_state=0).fit(X, y)
    assert est.coefs_[0].shape[1] >= 3


@pytest.mark.parametrize(("n", "neurons"), [(239, 3), (240, 6)])
def test_blocks_are_of_six_with_ten_samples_per_weight(n, neurons):
    X, y = two_classes(n)
    est = GrowingClassifier(activation="tanh", schedule=Plateau(max_growths=1), random_state=0).fit(X, y)
    assert [row["architecture"] for row in est.history_] == [(2, 0, 1), (2, neurons, 1)]


def test_what_is_grown_beats_a_straight_line():
    X, y = two_classes(300, noise=0.2)
    new, labels = two_classes(1000, noise=0.2, seed=1)
    line = LogisticRegression().fit(X, y)
    est = GrowingClassifier(random_state=0, max_stage_iter=100).fit(X, y)
    assert log_loss(labels, est.predict_proba(new)) < 0.7 * log_loss(labels, line.predict_proba(new))


def test_classes_without_structure_are_given_their_frequencies():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.integers(0, 2, size=200)
    est = GrowingClassifier(random_state=0, activation="tanh").fit(X, y)
    frequency = y.mean()
    constant = -(frequency * np.log(frequency) + (1 - frequency) * np.log(1 - frequency))
    assert est.loss_ > constant - 0.05
    assert est.effective_parameters_ < 10


def test_penalty_grows_where_the_weights_needed_are_small():
    """Steep probabilities need large weights, a small penalty; gentle ones are the other way round."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    alphas = [
        GrowingClassifier(activation="tanh", max_neurons=3, random_state=0)
        .fit(X, rng.uniform(size=400) < 1 / (1 + np.exp(-slope * X[:, 0])))
        .alpha_
        for slope in (0.5, 8.0)
    ]
    assert alphas[0] > 3 * alphas[1] > 0  # 4.2 and 0.56


@pytest.mark.parametrize(("n", "d"), [(24, 3), (100, 300)])
def test_few_rows_are_not_learned_by_heart(n, d):
    """With a small penalty the evidence of a network that interpolates is large."""
    rng = np.random.default_rng(0)
    X, w = rng.normal(size=(n + 500, d)), rng.normal(size=d) / np.sqrt(d)
    y = (X @ w + 0.5 * rng.normal(size=n + 500) > 0).astype(int)
    est = GrowingClassifier(random_state=0).fit(X[:n], y[:n])
    assert log_loss(y[n:], est.predict_proba(X[n:])) < 0.72  # of chance .69, by heart 1.2


def test_the_linear_model_joins_where_networks_are_expensive():
    rng = np.random.default_rng(0)
    W, X = rng.normal(size=(60, 20)), rng.normal(size=(900, 60))
    y = (X @ W + rng.gumbel(size=(900, 20))).argmax(1)
    est = GrowingClassifier(encoding=None, max_neurons=60, max_stage_iter=30, random_state=0).fit(X[:600], y[:600])
    assert "identity" in est.hidden_activations_[0]
    found = log_loss(y[600:], est.predict_proba(X[600:]), labels=range(20))
    peers = [LogisticRegression(C=C).fit(X[:600], y[:600]).predict_proba(X[600:]) for C in (0.1, 0.3, 1.0)]
    assert found < 1.05 * min(log_loss(y[600:], peer, labels=range(20)) for peer in peers)


def test_separable_classes_leave_everything_finite():
    X = np.linspace(-1, 1, 40)[:, None]
    y = (X[:, 0] > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)  # without a penalty there is no minimum to converge to
        for parameters in ({}, {"alpha": 0.0, "criterion": "gcv"}, {"solver": "lbfgs"}):
            est = GrowingClassifier(**SMALL | parameters).fit(X, y)
            assert np.isfinite(est.predict_log_proba(X)).all()
            assert est.score(X, y) == 1


@pytest.mark.parametrize("kind", DATA)
def test_few_samples(kind):
    X, y = DATA[kind]()
    rows = np.unique(y, axis=0, return_index=True)[1][:3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est = GrowingClassifier(**SMALL).fit(X[rows], y[rows])
    assert np.isfinite(est.predict_proba(X)).all()


def test_a_label_that_all_or_none_have():
    X, y = label_sets()
    y = np.column_stack([y, np.ones(len(y), int), np.zeros(len(y), int)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        P = GrowingClassifier(**SMALL).fit(X, y).predict_proba(X)
    assert (P[:, 3] > 0.9).all()
    assert (P[:, 4] < 0.1).all()


@pytest.mark.parametrize("parameters", [{}, {"solver": "adam"}, {"early_stopping": True}, {"activation": "auto"}])
def test_a_random_state_makes_fits_equal(parameters):
    X, y = two_classes()
    few = {"max_stage_iter": 10, "search": PolarSearch(8, 4, n_exchanges=1)}
    one, other = (GrowingClassifier(**GROWN | few | parameters).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    assert [row["train_loss"] for row in one.history_] == [row["train_loss"] for row in other.history_]


# the path ------------------------------------------------------------------------------------------------------


def assert_loss_never_rises(history):
    for row in history:
        if row["parent"] is not None and row["accepted"]:
            before = history[row["parent"]]["train_loss"]
            assert row["train_loss"] <= before + 1e-12 * abs(before), row["action"]


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"solver": "lbfgs", "activation": "relu"},
        {"solver": "adam", "activation": "relu", "learning_rate_init": 0.02},
        {"hidden_layer_sizes": (3, 2), "grow_layer": "best"},
        {"criterion": "gcv", "search": PolarSearch(n_exchanges=2)},
        {"criterion": "loo"},
    ],
)
def test_the_loss_never_rises_along_the_path(kind, parameters):
    X, y = DATA[kind]()
    few = {"max_neurons": 6, "block_size": 2, "max_stage_iter": 20}
    est = GrowingClassifier(**GROWN | few | parameters).fit(X, y)
    assert_loss_never_rises(est.history_)
    assert est.best_loss_ == min(row["train_loss"] for row in est.history_)
    assert any(row["train_loss"] == pytest.approx(est.loss_) for row in est.history_)


@pytest.mark.parametrize("loss", ["squared_error", "huber", "quantile", "poisson"])
@pytest.mark.parametrize("parameters", [{}, {"solver": "lbfgs", "activation": "relu"}, {"grow_layer": "all"}])
def test_the_loss_of_a_regression_never_rises_along_the_path(loss, parameters):
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(80, 2))
    y = rng.poisson(np.exp(np.sin(2 * X[:, 0]) + 0.5 * X[:, 1])).astype(float)
    sizes = (2, 2) if "grow_layer" in parameters else (0,)
    few = GROWN | {"max_neurons": 6, "max_stage_iter": 20, "search": PolarSearch(16, 8, n_exchanges=1)}
    est = GrowingRegressor(loss=loss, hidden_layer_sizes=sizes, **few | parameters).fit(X, y)
    assert_loss_never_rises(est.history_)
    assert len(est.history_) > 1


# validation, warm start, partial fit ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", DATA)
def test_given_validation_data_decides(kind):
    X, y = DATA[kind]()
    est = GrowingClassifier(**SMALL).fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
    lowest = min(row["validation_loss"] for row in est.history_ if row["accepted"])
    found = entropy(est.predict_proba(X[1::2]), y[1::2])
    assert found == pytest.approx(lowest, rel=2e-3)
    assert max(est.validation_scores_) == pytest.approx(
        1 - lowest / entropy(np.tile(_frequencies(y[1::2]), (len(y[1::2]), 1)), y[1::2]), rel=1e-4
    )


def _frequencies(y):
    return y.mean(0) if y.ndim == 2 else np.bincount(y) / len(y)


def test_early_stopping_holds_data_out():
    X, y = two_classes()
    est = GrowingClassifier(**SMALL, early_stopping=True, validation_fraction=0.25).fit(X, y)
    assert len(est.validation_scores_) == len(est.history_)
    assert all(np.isfinite(row["validation_loss"]) for row in est.history_)
    assert fitted("two")[-1].validation_scores_ is None


def test_validation_classes_must_be_known():
    X, y = two_classes()
    with pytest.raises(ValueError, match=r"classes \[2\] that are not among \[0, 1\]"):
        GrowingClassifier(**SMALL).fit(X, y, X_val=X, y_val=y + 1)


def test_a_warm_start_goes_on_from_the_network_before():
    X, y = two_classes()
    est = GrowingClassifier(**GROWN | {"max_neurons": 2}, warm_start=True).fit(X, y)
    before = est.loss_
    est.set_params(max_neurons=6).fit(X, y)
    assert est.history_[0]["architecture"][1] == 2
    assert est.loss_ <= before * (1 + 1e-3)
    with pytest.raises(ValueError, match="not among"):
        est.fit(X, y + 1)


@pytest.mark.parametrize("kind", DATA)
def test_partial_fit_lowers_the_loss(kind):
    X, y = DATA[kind]()
    est = GrowingClassifier(**SMALL | {"learning_rate_init": 0.01}, alpha=1e-3)
    classes = np.arange(3) if kind != "two" else [0, 1]
    est.partial_fit(X[:20], y[:20], classes=classes)
    before = entropy(est.predict_proba(X), y)
    for _ in range(40):
        est.partial_fit(X, y)
    assert entropy(est.predict_proba(X), y) < before


def test_classes_may_be_missing_from_the_first_batch():
    X, y = three_classes()
    est = GrowingClassifier(**SMALL, learning_rate_init=0.02)
    first = y < 2
    est.partial_fit(X[first], y[first], classes=[0, 1, 2])
    np.testing.assert_array_equal(est.classes_, [0, 1, 2])
    P = est.predict_proba(X)
    assert P.shape == (len(X), 3)
    assert np.isfinite(P).all()
    assert np.isfinite(est.predict_log_proba(X)).all()
    assert set(est.predict(X[first])) <= {0, 1}
    for _ in range(150):
        est.partial_fit(X, y)
    assert est.score(X, y) > 0.85


def test_partial_fit_of_one_class_alone():
    X, y = two_classes()
    est = GrowingClassifier(**SMALL, learning_rate_init=0.05).partial_fit(X[y == 0], y[y == 0], classes=[0, 1])
    assert (est.predict(X) == 0).all()
    assert np.isfinite(est.predict_log_proba(X)).all()
    for _ in range(100):
        est.partial_fit(X, y)
    assert est.score(X, y) > 0.75


def test_partial_fit_refuses_wrong_classes():
    X, y = two_classes()
    with pytest.raises(ValueError, match="classes must be passed on the first call"):
        GrowingClassifier(**SMALL).partial_fit(X, y)
    with pytest.raises(ValueError, match="at least one class"):
        GrowingClassifier(**SMALL).partial_fit(X, np.zeros_like(y), classes=[])
    with pytest.raises(ValueError, match="not among"):
        GrowingClassifier(**SMALL).partial_fit(X, y, classes=[1, 2])
    est = GrowingClassifier(**SMALL).partial_fit(X, y, classes=[0, 1])
    with pytest.raises(ValueError, match="as in the first call"):
        est.partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="not among"):
        est.partial_fit(X, y + 1)
    est.partial_fit(X, y, classes=[1, 0])


def test_the_first_partial_fit_is_a_fit():
    X, y = two_classes()
    one, other = fitted("two")[-1], GrowingClassifier(**SMALL).partial_fit(X, y, classes=[0, 1])
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
