"""Data of more features than samples: networks are trained in the span of the samples."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV

from skgrow import GrowingClassifier, GrowingRegressor, GrowthCurveDisplay
from skgrow.growth import PolarSearch
from skgrow.training import Plateau

ALPHAS = np.logspace(-3, 5, 30)


def data(n=60, d=80, n_new=200, seed=0, kind="regression"):
    """Three factors of ten that the features share say what y is."""
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n + n_new, 10))
    X = 0.5 * Z @ rng.normal(size=(10, d)) + rng.normal(size=(n + n_new, d))
    f = Z[:, :3].sum(1)
    y = (f > 0).astype(int) if kind == "classes" else f + 0.3 * rng.normal(size=n + n_new)
    return X[:n], y[:n], X[n:], y[n:]


def units(est):
    return tuple(est._scaling[:2])


@pytest.mark.parametrize("activation", ["auto", "relu", "tanh"])
@pytest.mark.parametrize("settings", [{}, {"early_stopping": True}, {"solver": "adam"}], ids=str)
def test_incoming_weights_are_combinations_of_the_samples(activation, settings):
    X, y, X_val, y_val = data()
    est = GrowingRegressor(
        activation=activation,
        search=PolarSearch(n_exchanges=0),
        schedule=Plateau(max_growths=1),
        random_state=0,
        **settings,
    )
    est.fit(X, y, **({} if est.early_stopping is True else {"X_val": X_val, "y_val": y_val}))
    assert est.architecture_[1] > 0
    assert est.architecture_[0] == est.coefs_[0].shape[0] == 80
    mean, scale = units(est)  # with held-out samples other units, but the same span about
    W = est.coefs_[0] * scale[:, None]
    if "early_stopping" not in settings:
        rows = (X - mean) / scale
        outside = W - np.linalg.pinv(rows) @ (rows @ W)
        assert np.linalg.norm(outside) <= 1e-6 * np.linalg.norm(W)
    loss = np.mean((est.predict(X) - y) ** 2) / 2 / y.var()
    if "early_stopping" not in settings:
        assert loss == pytest.approx(est.loss_, rel=1e-5, abs=1e-8)


def test_what_is_learned_is_as_good_as_few_features_allow():
    X, y, X_new, y_new = data(100, 1000)
    ours, peer = (est.fit(X, y).score(X_new, y_new) for est in (GrowingRegressor(random_state=0), RidgeCV(ALPHAS)))
    assert ours > peer - 0.03  # 0.957 and 0.959
    X, y, X_new, y_new = data(100, 1000, kind="classes")
    line = GridSearchCV(LogisticRegression(max_iter=2000), {"C": np.logspace(-4, 2, 7)})
    ours, peer = (est.fit(X, y).score(X_new, y_new) for est in (GrowingClassifier(random_state=0), line))
    assert ours > peer - 0.06  # 0.915 and 0.935


def test_features_that_are_copies_are_one_feature_of_larger_scale():
    """The same kernel, and so about the same function; the search starts from other coordinates."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(260, 4))
    y = np.sin(X[:, 0]) + 0.5 * X[:, 1] + 0.05 * rng.normal(size=260)
    X, y, X_new = X[:60], y[:60], X[60:]
    settings = {
        "activation": "tanh",
        "standardize": False,
        "alpha": 0.5,
        "search": PolarSearch(n_exchanges=0),
        "schedule": Plateau(max_growths=1),
    }
    est = GrowingRegressor(random_state=0, **settings)
    one = clone(est).fit(5 * X, y)
    many = clone(est).fit(np.repeat(X, 25, 1), y)  # 100 features of rank 4
    assert one.architecture_[1] == many.architecture_[1] > 0
    difference = np.mean((one.predict(5 * X_new) - many.predict(np.repeat(X_new, 25, 1))) ** 2)
    assert difference < 1e-3 * np.var(y)  # 3e-7


def test_the_deviation_knows_directions_without_samples():
    """That of ridge regression with all features."""
    X, y, X_new, _ = data()
    est = GrowingRegressor(random_state=0, schedule=Plateau(max_growths=0)).fit(X, y)
    assert set(est.hidden_activations_[0]) == {"identity"}
    mean, scale = units(est)
    A, B = (np.column_stack([(Z - mean) / scale, np.ones(len(Z))]) for Z in (X, X_new))
    matrix = A.T @ A + est.alpha_ * np.diag([1.0] * 80 + [0.0])
    expected = est.noise_variance_ * (1 + np.sum(B * np.linalg.solve(matrix, B.T).T, 1))
    np.testing.assert_allclose(est.predict(X_new, return_std=True)[1] ** 2, expected, rtol=1e-6)
    np.testing.assert_allclose(
        est.predict(X_new), B @ np.linalg.solve(matrix, A.T @ (y - y.mean())) + y.mean(), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_deviations_of_networks_grow_away_from_the_span(activation):
    X, y, X_val, y_val = data()
    est = GrowingRegressor(
        activation=activation, search=PolarSearch(n_exchanges=0), schedule=Plateau(max_growths=1), random_state=0
    )
    est.fit(X, y, X_val=X_val, y_val=y_val)
    mean, scale = units(est)
    rows = (X - mean) / scale
    away = np.random.default_rng(0).normal(size=80)
    away -= np.linalg.pinv(rows) @ (rows @ away)
    points = mean + scale * (rows[0] + np.array([[0.0], [1.0], [3.0]]) * away)
    assert est.architecture_[1] > 0
    f, std = est.predict(points, return_std=True)
    np.testing.assert_allclose(f, f[0], rtol=1e-8)
    assert std[0] < std[1] < std[2]


@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_warm_start_and_batches_go_on_from_the_same_function(kind):
    X, y, X_new, y_new = data(kind=kind)
    estimator = GrowingClassifier if kind == "classes" else GrowingRegressor
    est = estimator(search=PolarSearch(n_exchanges=0), schedule=Plateau(max_growths=1), random_state=0).fit(X, y)
    again = pickle.loads(pickle.dumps(est)).set_params(warm_start=True, schedule=Plateau(max_growths=2)).fit(X, y)
    assert again.loss_ <= est.loss_ * 1.05
    again = pickle.loads(pickle.dumps(est)).partial_fit(X_new, y_new)
    assert again.score(X, y) > 0.5
    assert again.coefs_[0].shape[0] == 80


def test_a_validation_set_is_seen_through_the_span():
    X, y, X_new, y_new = data()
    est = GrowingRegressor(activation="tanh", search=PolarSearch(n_exchanges=0), random_state=0).fit(
        X, y, X_val=X_new, y_val=y_new
    )
    best = max(row["criterion"] for row in est.history_ if row["accepted"])
    assert np.mean((est.predict(X_new) - y_new) ** 2) / 2 / y.var() == pytest.approx(-best, rel=1e-6)


@pytest.mark.parametrize("criterion", ["loo", "evidence"])
def test_few_noisy_samples_are_not_interpolated(criterion):
    """The iteration of the evidence would end there, with next to no noise."""
    rng = np.random.RandomState(0)
    w, X = rng.normal(size=25) / 5, rng.normal(size=(15, 25))
    y = X @ w + 0.3 * rng.normal(size=15)
    X_new = rng.normal(size=(500, 25))
    y_new = X_new @ w + 0.3 * rng.normal(size=500)
    est = GrowingRegressor(
        criterion=criterion, schedule=Plateau(max_growths=1), search=PolarSearch(n_exchanges=0), random_state=0
    ).fit(X, y)
    assert "identity" in est.hidden_activations_[0]
    assert est.score(X_new, y_new) > 0.2
    mean, std = est.predict(X_new, return_std=True)
    assert np.mean(np.abs(y_new - mean) < 1.96 * std) > 0.9
    assert est.noise_variance_ > 0.01


def test_rows_of_the_history_are_of_networks_of_all_features():
    X, y, *_ = data(30)
    est = GrowingRegressor(schedule=Plateau(max_growths=1), search=PolarSearch(n_exchanges=0), random_state=0).fit(X, y)
    assert all(row["architecture"][0] == 80 for row in est.history_)
    for row in est.history_:
        d, h, c = row["architecture"]
        assert row["n_parameters"] == (d + 1) * h + (h + 1) * c
    pytest.importorskip("matplotlib").use("Agg")
    assert GrowthCurveDisplay.from_estimator(est).returned is not None


@pytest.mark.parametrize(("d", "held_out"), [(60, False), (245, True), (1000, False)])
def test_validation_data_are_held_out_where_the_evidence_is_dear(d, held_out):
    """Of 260 samples; of fewer than 250 that see more features it is not."""
    n = 260 if d < 260 else 100
    X, y, *_ = data(n, d, n_new=1)
    Y = np.column_stack([y] * 6)
    est = GrowingRegressor(activation="tanh", schedule=Plateau(max_growths=0), random_state=0).fit(X, Y)
    assert (est.validation_scores_ is not None) == held_out


def test_counts_without_penalty_may_be_fitted_exactly():
    """Then the objective is zero, and ratios of it are not."""
    rng = np.random.RandomState(0)
    X, w = rng.normal(size=(2, 5)), rng.normal(size=5) / np.sqrt(5)
    y = np.abs(X @ w + 0.3 * rng.normal(size=2))
    settings = {
        "max_neurons": 12,
        "schedule": Plateau(max_growths=2),
        "search": PolarSearch(n_exchanges=0),
        "max_stage_iter": 50,
    }
    est = GrowingRegressor(loss="poisson", alpha=0, criterion="gcv", random_state=0, **settings).fit(X, y)
    assert np.isfinite(est.predict(X)).all()
