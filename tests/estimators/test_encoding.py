"""Growing estimators on encoded features: one network, stored, converted, trained on."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV

from skgrow import (
    GrowingClassifier,
    GrowingRegressor,
    GrowthCurveDisplay,
    MGOptRegressor,
    PreconditionedMLPClassifier,
    PreconditionedMLPRegressor,
    SensLIRegressor,
)
from skgrow.growth import PolarSearch
from skgrow.problem import PiecewiseLinear

QUICK = {"random_state": 0, "max_stage_iter": 20, "max_neurons": 9, "search": PolarSearch(16, 8, n_exchanges=0)}
CLASSES = {"random_state": 0, "max_stage_iter": 40, "max_neurons": 12}


def bent(n, seed=0):
    """Return data bent along features 0 and 2; feature 1 acts linearly, feature 3 not at all, feature 4 is constant."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, 5)) * [1, 10, 1e-3, 1, 0] + [0, 0, 5, 0, 3]
    signal = np.sin(6 * X[:, 0]) + 0.1 * X[:, 1] + 2 * np.abs(1e3 * (X[:, 2] - 5))
    return X, signal + 0.2 * rng.normal(size=n)


@pytest.fixture(scope="module")
def data():
    X, y = bent(900)
    return X[:450], y[:450], X[450:], y[450:]


@pytest.fixture(scope="module")
def fitted(data):
    return GrowingRegressor(**QUICK).fit(*data[:2])


@pytest.fixture(scope="module")
def classifier(data):
    X, y, *_ = data
    return GrowingClassifier(**CLASSES).fit(X, y > y.mean())


def test_bent_features_have_knots_among_their_entries(fitted, data):
    assert [len(knots) > 0 for knots in fitted.knots_] == [True, False, True, False, False]
    for j in (0, 2):
        knots = fitted.knots_[j]
        assert (np.diff(knots) > 0).all()
        np.testing.assert_allclose([knots[0], knots[-1]], [data[0][:, j].min(), data[0][:, j].max()], rtol=1e-9)
        assert np.isclose(knots[:, None], data[0][:, j], rtol=1e-9, atol=0).any(1).all()


def test_the_fitted_network_is_one_network(fitted, data):
    X = data[2]
    n_knots = sum(map(len, fitted.knots_))
    d, layer, width, c = fitted.architecture_
    assert (d, layer, c) == (5, 5 + n_knots, 1)
    assert [W.shape for W in fitted.coefs_] == [(5, layer), (layer, width), (width, 1)]
    assert fitted.n_parameters_ == sum(W.size + b.size for W, b in zip(fitted.coefs_, fitted.intercepts_, strict=True))
    rows = [(row["architecture"], row["n_parameters"], row["activation"]) for row in fitted.history_]
    assert (fitted.architecture_, fitted.n_parameters_, fitted.activation_) in rows
    functions = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "identity": lambda z: z}
    H = X
    for W, b, names in zip(fitted.coefs_[:-1], fitted.intercepts_[:-1], fitted.hidden_activations_, strict=True):
        Z = H @ W + b
        H = np.column_stack([functions[name](Z[:, k]) for k, name in enumerate(names)])
    by_hand = (H @ fitted.coefs_[-1] + fitted.intercepts_[-1])[:, 0]
    np.testing.assert_allclose(fitted.predict(X), by_hand, rtol=1e-9)
    np.testing.assert_allclose(fitted.to_torch()(torch.as_tensor(X)).detach()[:, 0], by_hand, rtol=1e-9)


def test_bent_data_are_predicted_no_worse_than_without_knots(fitted, data):
    X, y, X_test, y_test = data
    without = GrowingRegressor(encoding=None, **QUICK).fit(X, y)
    assert all(len(knots) == 0 for knots in without.knots_)
    assert without.architecture_[0] == 5
    assert len(without.architecture_) == 3
    assert 1 - fitted.score(X_test, y_test) < 1.02 * (1 - without.score(X_test, y_test))  # noise is most of it


def test_kinks_of_many_features_need_fewer_neurons_with_knots():
    X = np.random.default_rng(0).uniform(-1, 1, size=(900, 6))
    y = np.abs(X).sum(1)
    settings = QUICK | {"max_neurons": 4, "activation": "relu"}
    scores = [
        GrowingRegressor(encoding=encoding, **settings).fit(X[:450], y[:450]).score(X[450:], y[450:])
        for encoding in ("auto", None)
    ]
    assert 1 - scores[0] < 0.2 * (1 - scores[1])


def test_neurons_are_those_that_were_grown(fitted):
    import matplotlib as mpl

    mpl.use("Agg")
    display = GrowthCurveDisplay.from_estimator(fitted, x="neurons")
    assert display.ax_.get_xlim()[1] < 2 * QUICK["max_neurons"]


def test_the_loss_is_that_of_the_stored_network(fitted, data):
    X, y, *_ = data
    np.testing.assert_allclose(2 * fitted.loss_, 1 - fitted.score(X, y), rtol=1e-6)


def test_deviations_cover(fitted, data):
    mean, std = fitted.predict(data[2], return_std=True)
    np.testing.assert_allclose(mean, fitted.predict(data[2]))
    assert 0.8 < np.mean(np.abs(data[3] - mean) < 1.645 * std) < 0.97
    far = data[2][:5] + np.array([0, 1000, 0, 0, 0])
    assert (fitted.predict(far, return_std=True)[1] > 2 * std[:5]).all()


def test_few_rows_are_fitted_as_without(data):
    X, y, *_ = data
    few = GrowingRegressor(activation="tanh", **QUICK).fit(X[:150], y[:150])
    without = GrowingRegressor(activation="tanh", encoding=None, **QUICK).fit(X[:150], y[:150])
    np.testing.assert_array_equal(few.predict(X), without.predict(X))


@pytest.mark.parametrize(
    "settings", [{"penalty": "path", "alpha": 0.5, "activation": "relu"}, {"operator": "gradient"}, {}]
)
def test_certificates_operators_and_wide_data_go_without(data, settings):
    X, y = data[0][:20], data[1][:20]
    if not settings:
        X = np.random.default_rng(0).normal(size=(40, 50))
        y = np.abs(X[:, 0])
    target = np.ones_like(X) if "operator" in settings else y[: len(X)]
    given = {"encoding": PiecewiseLinear(n_knots=5), **QUICK, "activation": "relu", **settings, "max_neurons": 0}
    assert len(GrowingRegressor(**given).fit(X, target).architecture_) == 3


@pytest.mark.parametrize("hidden", [(0,), (4, 0)])
def test_a_warm_start_goes_on_with_the_knots(data, hidden):  # the second is deep
    X, y, *_ = data
    model = GrowingRegressor(
        hidden_layer_sizes=hidden, warm_start=True, activation="tanh", **QUICK | {"max_neurons": 7}
    ).fit(X, y)
    knots, before = model.knots_, model.loss_
    assert sum(map(len, knots)) or len(hidden) > 1  # of deep networks the better one stands alone
    model.fit(X, y)
    for old, new in zip(knots, model.knots_, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-9)
    assert model.loss_ < 1.05 * before


def test_partial_fit_keeps_the_knots(data):
    X, y, X_test, y_test = data
    model = GrowingRegressor(activation="tanh", **QUICK).fit(X, y)
    knots, before = model.knots_, model.score(X_test, y_test)
    model.partial_fit(X_test[:100], y_test[:100])
    for old, new in zip(knots, model.knots_, strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-9)
    assert model.score(X_test, y_test) > 1 - 1.5 * (1 - before)


def test_weights_are_repetitions(data):
    X, y, X_test, _ = data
    weight = 1 + (np.random.default_rng(0).random(450) < 0.1)
    settings = QUICK | {"max_neurons": 3, "activation": "tanh"}
    by_weight = GrowingRegressor(**settings).fit(X, y, weight)
    by_rows = GrowingRegressor(**settings).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
    assert sum(map(len, by_weight.knots_))
    np.testing.assert_allclose(by_weight.predict(X_test), by_rows.predict(X_test), rtol=1e-9)


def test_classes_have_knots_too(classifier, data):
    X, y, X_test, y_test = data
    assert [len(knots) > 0 for knots in classifier.knots_][:4] == [True, False, True, False]
    without = GrowingClassifier(encoding=None, **CLASSES).fit(X, y > y.mean())
    losses = [log_loss(y_test > y.mean(), model.predict_proba(X_test)) for model in (classifier, without)]
    assert losses[0] < 1.05 * losses[1]


def test_copies_predict_the_same(fitted, classifier, data):
    for model in (fitted, classifier):
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(again.predict(data[2]), model.predict(data[2]))
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(fitted)).predict(data[2], return_std=True)[1],
        fitted.predict(data[2], return_std=True)[1],
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_onnx_has_the_knots(fitted, classifier, data, dtype):
    from onnxruntime import InferenceSession
    from skl2onnx import to_onnx

    from skgrow import register_onnx_converters

    register_onnx_converters()
    X = data[2][:50].astype(dtype)
    tol = 1e-9 if dtype == np.float64 else 2e-3
    session = InferenceSession(to_onnx(fitted, X[:1]).SerializeToString())
    np.testing.assert_allclose(session.run(None, {"X": X})[0][:, 0], fitted.predict(X), rtol=tol, atol=tol)
    graph = to_onnx(classifier, X[:1], options={"zipmap": False})
    found = InferenceSession(graph.SerializeToString()).run(None, {"X": X})[1]
    np.testing.assert_allclose(found, classifier.predict_proba(X), rtol=tol, atol=tol)


def test_knots_can_be_searched(data):
    X, y, *_ = data
    model = GrowingRegressor(encoding=PiecewiseLinear(), activation="tanh", **QUICK | {"max_neurons": 3})
    search = GridSearchCV(model, {"encoding__n_knots": [3, 9]}, cv=2).fit(X, y)
    assert max(map(len, search.best_estimator_.knots_)) == search.best_params_["encoding__n_knots"]
    assert clone(search.best_estimator_).encoding.n_knots == search.best_params_["encoding__n_knots"]


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("knots", "The 'encoding' parameter of GrowingRegressor must be"),
        (PiecewiseLinear(n_knots=2), "n_knots must be 'auto' or at least 3; got 2"),
    ],
)
def test_what_is_no_encoding_is_refused(data, encoding, message):
    model = GrowingRegressor(encoding=encoding)
    with pytest.raises(ValueError, match=message):
        model.fit(*data[:2])
    assert not hasattr(model, "coefs_")


FIXED = {"random_state": 0, "max_iter": 20, "encoding": "auto", "early_stopping": False}


@pytest.mark.parametrize(
    "model",
    [
        MGOptRegressor(architecture="mlp", hidden_layer_sizes=(16,), n_levels=2, **FIXED),
        PreconditionedMLPRegressor(hidden_layer_sizes=(8, 4), **FIXED),
        SensLIRegressor(hidden_layer_sizes=(8,), max_layers=2, **FIXED),
    ],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_networks_of_given_layers_stand_behind_the_knots(model, data):
    X, y, X_test, y_test = data
    fitted = clone(model).fit(X, y)
    n_knots = sum(map(len, fitted.knots_))
    assert n_knots > 0
    assert fitted.architecture_[:3] == (5, 5 + n_knots, model.hidden_layer_sizes[0])
    assert fitted.activation_.startswith("identity+relu, ")
    np.testing.assert_allclose(2 * fitted.loss_, 1 - fitted.score(X, y), rtol=1e-5)
    module = fitted.to_torch()
    np.testing.assert_allclose(module(torch.as_tensor(X_test)).detach()[:, 0], fitted.predict(X_test), rtol=1e-7)
    again = pickle.loads(pickle.dumps(fitted)).partial_fit(X, y)
    assert list(map(len, again.knots_)) == list(map(len, fitted.knots_))
    assert again.score(X_test, y_test) > fitted.score(X_test, y_test) - 0.1
    if isinstance(model, MGOptRegressor):
        coarse = fitted.coarsen(1)
        assert coarse.architecture_ == (5, 5 + n_knots, 8, 1)
        assert np.isfinite(coarse.predict(X_test)).all()


def test_residual_blocks_take_no_encoding(data):
    X, y = data[0][:50], data[1][:50]
    settings = {"architecture": "resnet", "hidden_layer_sizes": (4, 4), "max_iter": 2}
    assert not any(map(len, SensLIRegressor(encoding="auto", **settings).fit(X, y).knots_))
    with pytest.raises(ValueError, match="encoding needs architecture='mlp'; got PiecewiseLinear"):
        SensLIRegressor(encoding=PiecewiseLinear(), **settings).fit(X, y)


def test_classes_of_given_layers_have_knots(data):
    X, y, X_test, _ = data
    settings = {"hidden_layer_sizes": 8, "max_iter": 20, "random_state": 0}
    model = PreconditionedMLPClassifier(encoding="auto", **settings).fit(X, np.digitize(y, [0, 1]))
    assert [len(knots) > 0 for knots in model.knots_][:2] == [True, False]
    np.testing.assert_allclose(model.predict_proba(X_test).sum(1), 1)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_members_of_an_ensemble_share_the_knots(data, n_jobs):
    X, y, X_test, y_test = data
    settings = QUICK | {"max_neurons": 6, "max_stage_iter": 15}
    model = GrowingRegressor(n_members=2, n_jobs=n_jobs, warm_start=True, **settings).fit(X, y)
    n_knots = sum(map(len, model.knots_))
    assert model.architecture_[:2] == (5, 5 + n_knots)
    mean, std = model.predict(X_test, return_std=True)
    assert 0.75 < np.mean(np.abs(y_test - mean) < 1.645 * std) < 0.99
    np.testing.assert_allclose(model.to_torch()(torch.as_tensor(X_test)).detach()[:, 0], mean, rtol=1e-7, atol=1e-9)
    before = model.loss_
    assert model.fit(X, y).loss_ < 1.1 * before
    assert sum(map(len, model.knots_)) == n_knots
