"""The path penalty with its certificate, and merging, through the estimator."""

import numpy as np
import pytest
import torch

from skgrow import GrowingClassifier, GrowingRegressor, growing_path
from skgrow.networks import from_torch, merge

X = np.linspace(-1, 1, 30)[:, None]
y = np.sin(4 * X[:, 0])


def path_objective(est, X, y, alpha):
    incoming = np.sqrt((est.coefs_[0] ** 2).sum(0) + est.intercepts_[0] ** 2)
    path_norm = incoming @ np.linalg.norm(est.coefs_[1], axis=1)
    return 0.5 * np.sum((y - est.predict(X)) ** 2) + alpha * path_norm


def test_known_answer():
    est = GrowingRegressor(penalty="path", alpha=1.0, standardize=False).fit(X, y)
    assert est.architecture_ == (1, 2, 1)
    assert path_objective(est, X, y, 1.0) == pytest.approx(6.383252963, abs=1e-9)
    assert est.certified_
    assert 0 <= est.duality_gap_ < 1e-8
    assert est.history_[-1]["indicator"] == pytest.approx(1, abs=1e-6)


def test_the_constant_is_optimal_beyond_the_largest_penalty():
    assert growing_path(X, y, n_alphas=1)[0][0] == pytest.approx(2.793343, abs=5e-7)
    for alpha, grown in ((2.79, True), (2.80, False)):
        est = GrowingRegressor(penalty="path", alpha=alpha, standardize=False).fit(X, y)
        assert (est.architecture_[1] > 0) == grown


def test_the_estimator_is_a_point_of_the_path():
    alphas, networks, gaps = growing_path(X, y, alphas=[0.3])
    est = GrowingRegressor(penalty="path", alpha=0.3, standardize=False).fit(X, y)
    (coefs, intercepts), alpha = networks[0], alphas[0]
    F = np.maximum(X @ coefs[0] + intercepts[0], 0) @ coefs[1] + intercepts[1]
    norm = np.sqrt((coefs[0] ** 2).sum(0) + intercepts[0] ** 2) @ np.abs(coefs[1][:, 0])
    optimum = 0.5 * np.sum((y - F[:, 0]) ** 2) + alpha * norm
    assert path_objective(est, X, y, alpha) == pytest.approx(optimum, abs=1e-7)
    assert gaps[0] < 1e-7


def test_above_two_features_the_gap_is_an_estimate():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(40, 3))
    est = GrowingRegressor(penalty="path", alpha=3.0, random_state=0).fit(A, np.abs(A[:, 0]))
    assert not est.certified_
    assert est.duality_gap_ >= 0
    assert est.score(A, np.abs(A[:, 0])) > 0.5  # 0.91; a line explains next to nothing


def test_path_penalty_in_units_of_y():
    first = GrowingRegressor(penalty="path", alpha=0.5).fit(X, y)
    second = GrowingRegressor(penalty="path", alpha=0.5).fit(X, 1000 * y)
    np.testing.assert_allclose(second.predict(X), 1000 * first.predict(X), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"alpha": "auto"},
        {"alpha": 0.0},
        {"loss": "huber"},
        {"activation": "tanh"},
        {"hidden_layer_sizes": (3,)},
        {"early_stopping": True},
        {"dtype": "float32"},
    ],
)
def test_what_the_path_penalty_refuses(settings):
    est = GrowingRegressor(penalty="path", **({"alpha": 1.0} | settings))
    with pytest.raises(ValueError, match=next(iter(settings))):
        est.fit(X, y)
    assert not hasattr(est, "coefs_")


@pytest.mark.parametrize(
    ("settings", "got"),
    [({"activation": "tanh"}, "activation 'tanh'"), ({"activation": "relu", "hidden_layer_sizes": (2, 2)}, "layers")],
)
def test_the_path_penalty_goes_on_from_one_hidden_layer_of_relus(settings, got):
    X, y = np.linspace(-1, 1, 20)[:, None], np.sin(np.linspace(-3, 3, 20))
    est = GrowingRegressor(warm_start=True, max_neurons=6, random_state=0, **settings).fit(X, y)
    est.set_params(penalty="path", alpha=0.1, hidden_layer_sizes=(0,), activation="auto")
    with pytest.raises(ValueError, match=f"warm_start=True goes on from one hidden layer of 'relu'.*{got}"):
        est.fit(X, y)
    assert est.set_params(warm_start=False).fit(X, y).certified_


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("kind", [GrowingRegressor, GrowingClassifier])
def test_no_equal_neurons_are_left(kind, activation):
    rng = np.random.default_rng(1)
    A = rng.normal(size=(60, 2))
    target = np.abs(A[:, 0]) + 0.1 * rng.normal(size=60)
    target = target if kind is GrowingRegressor else target > 0.7
    est = kind(activation=activation, random_state=0, max_neurons=12).fit(A, target)
    network = from_torch(est.to_torch())
    assert merge(network, torch.as_tensor(A))[0].layer_sizes == network.layer_sizes


@pytest.mark.parametrize("search", ["polar", "random", "gradmax", "firefly"])
def test_every_search_grows(search):
    rng = np.random.default_rng(2)
    A = rng.uniform(-1, 1, size=(120, 3))
    target = np.sin(2 * A.sum(1))
    est = GrowingRegressor(search=search, activation="tanh", max_neurons=9, random_state=0).fit(A, target)
    losses = [row["train_loss"] for row in est.history_ if row["accepted"]]
    assert losses[-1] < 0.2 * losses[0]
