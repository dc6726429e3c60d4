"""The evidence sets the penalty of networks of given layers: what it does to noise, and to what was asked for."""

from itertools import product

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.datasets import make_blobs

from skgrow import (
    MGOptClassifier,
    MGOptRegressor,
    PreconditionedMLPClassifier,
    PreconditionedMLPRegressor,
    SensLIClassifier,
    SensLIRegressor,
)

REGRESSORS = [
    SensLIRegressor(hidden_layer_sizes=(20,), learning_rate_init=0.01, random_state=0),
    MGOptRegressor(hidden_layer_sizes=(8,) * 5, n_levels=2, max_iter=60, random_state=0),
    PreconditionedMLPRegressor(hidden_layer_sizes=(20,), max_iter=60, random_state=0),
]
CLASSIFIERS = [
    SensLIClassifier(hidden_layer_sizes=(20,), learning_rate_init=0.01, random_state=0),
    MGOptClassifier(hidden_layer_sizes=(8,) * 5, max_iter=60, random_state=0),
    PreconditionedMLPClassifier(hidden_layer_sizes=(20,), max_iter=60, random_state=0),
]
NAMED = {"ids": lambda estimator: type(estimator).__name__}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def line(noise, n=90):
    rng = np.random.default_rng(0)
    X, X_new, w = rng.normal(size=(n, 6)), rng.normal(size=(500, 6)), rng.normal(size=6)
    return X, X @ w + noise * rng.normal(size=n), X_new, X_new @ w


@pytest.mark.parametrize("estimator", REGRESSORS, **NAMED)
def test_much_noise_asks_for_a_large_penalty_and_gets_nearer_to_the_truth(estimator):
    X, y, X_new, f = line(noise=6.0)
    penalised, free = (estimator.set_params(alpha=alpha).fit(X, y).predict(X_new) - f for alpha in ("auto", 1e-4))
    assert np.std(penalised) < 0.8 * np.std(free)
    estimator.set_params(alpha="auto")
    noisy = estimator.fit(X, y).alpha_
    X, y, *_ = line(noise=0.0)
    assert estimator.fit(X, y).alpha_ < 0.3 * noisy


@pytest.mark.parametrize("estimator", CLASSIFIERS, **NAMED)
def test_labels_without_reason_are_not_learned(estimator):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 5)), rng.integers(0, 2, 100)
    P = estimator.set_params(alpha="auto").fit(X, y).predict_proba(rng.normal(size=(300, 5)))
    assert np.abs(P[:, 1] - 0.5).mean() < 0.2
    X, y = make_blobs(100, 2, centers=2, cluster_std=0.5, random_state=0)
    assert estimator.fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize("n_bits", [2, 3])
@pytest.mark.parametrize("estimator", [SensLIClassifier, MGOptClassifier, PreconditionedMLPClassifier])
def test_parity_is_learned_from_its_table(estimator, n_bits):
    X = np.array(list(product([0.0, 1.0], repeat=n_bits)))
    y = X.sum(axis=1) % 2
    model = estimator(random_state=0).fit(X, y)
    assert model.score(X, y) == 1.0
    assert model.alpha_ == 1e-4


@pytest.mark.parametrize("estimator", [*REGRESSORS, *CLASSIFIERS], **NAMED)
def test_a_number_stays_and_its_evidence_is_not_asked_for(estimator):
    X, y, *_ = line(noise=1.0, n=60)
    y = (y > 0).astype(int) if is_classifier(estimator) else y
    estimator.set_params(alpha=0.3).fit(X, y)
    assert estimator.alpha_ == 0.3
    assert {row["alpha"] for row in estimator.history_} == {0.3}
    assert all(np.isnan(row["log_evidence"]) for row in estimator.history_)
    estimator.set_params(alpha="auto").fit(X, y)
    assert any(np.isfinite(row["log_evidence"]) for row in estimator.history_)


def test_batches_go_on_with_the_penalty_found():
    X, y, *_ = line(noise=1.0, n=60)
    for estimator in REGRESSORS:
        found = estimator.set_params(alpha="auto").fit(X, y).alpha_
        assert estimator.partial_fit(X, y).alpha_ == found
