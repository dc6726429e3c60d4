"""Predictions far from the data: within the range of the targets and a margin, in every form of the model."""

import pickle

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.datasets import make_friedman1
from sklearn.metrics import mean_poisson_deviance

from skgrow import (
    GrowingClassifier,
    GrowingRegressor,
    MGOptClassifier,
    MGOptRegressor,
    PreconditionedMLPClassifier,
    PreconditionedMLPRegressor,
    SensLIClassifier,
    SensLIRegressor,
)
from skgrow.estimators._regressor import TARGET_MARGIN
from skgrow.networks import ResNetArchitecture

REGRESSORS = [
    GrowingRegressor(max_neurons=6, random_state=0),
    SensLIRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0),
    MGOptRegressor(hidden_layer_sizes=(4, 4, 4), max_iter=5, random_state=0),
    PreconditionedMLPRegressor(hidden_layer_sizes=(6,), max_iter=10, random_state=0),
]
CLASSIFIERS = [
    GrowingClassifier(max_neurons=6, random_state=0),
    SensLIClassifier(hidden_layer_sizes=(4,), max_iter=5, random_state=0),
    MGOptClassifier(hidden_layer_sizes=(4, 4, 4), max_iter=5, random_state=0),
    PreconditionedMLPClassifier(hidden_layer_sizes=(6,), max_iter=10, random_state=0),
]
regressors = pytest.mark.parametrize("est", REGRESSORS, ids=lambda est: type(est).__name__)
classifiers = pytest.mark.parametrize("est", CLASSIFIERS, ids=lambda est: type(est).__name__)
X, y = make_friedman1(120, n_features=5, noise=0.5, random_state=0)
FAR = 1e6 * np.random.default_rng(0).normal(size=(50, 5))


@regressors
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_predictions_stay_near_the_targets(est):
    est.fit(X, y)
    np.testing.assert_array_equal(est.target_range_, [[y.min()], [y.max()]])
    far, width = est.predict(FAR), np.ptp(y)
    assert far.min() >= y.min() - TARGET_MARGIN * width
    assert far.max() <= y.max() + TARGET_MARGIN * width
    assert np.ptp(far) > width  # some are at the bounds, which are not those of the targets
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(est)).predict(FAR), far)
    # nothing is cut off among the data
    with torch.no_grad():
        inside = est.to_torch()(torch.as_tensor(X))[:, 0].numpy()
    np.testing.assert_allclose(est.predict(X), inside, rtol=1e-10)


@regressors
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_batch_of_other_targets_widens_the_range(est):
    est.fit(X, np.c_[y, -y]).partial_fit(X, np.c_[y + 5, -y])
    np.testing.assert_allclose(est.target_range_, [[y.min(), -y.max()], [y.max() + 5, -y.min()]])


def test_rates_do_not_explode():
    rng = np.random.default_rng(0)
    counts = rng.poisson(np.exp(X[:, 0]))
    est = GrowingRegressor(loss="poisson", max_neurons=4, random_state=0).fit(X, counts)
    assert est.predict(FAR).max() <= (1 + TARGET_MARGIN) * counts.max()


def test_a_trend_may_go_on():
    x = np.linspace(0, 1, 80)[:, None]
    est = GrowingRegressor(random_state=0).fit(x, 3 * x[:, 0])
    assert est.predict([[1.3]])[0] == pytest.approx(3.9, rel=0.02)
    assert est.predict([[100.0]])[0] == pytest.approx(3 * (1 + TARGET_MARGIN))


@classifiers
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_probabilities_are_no_closer_to_certainty_than_on_the_samples(est, n_classes):
    labels = np.digitize(y, np.quantile(y, np.arange(1, n_classes) / n_classes))
    est.fit(X, labels)
    near, far = est.predict_proba(X), est.predict_proba(FAR)
    raw = est.decision_function(X)
    raw = np.c_[-raw, raw] / 2 if n_classes == 2 else raw
    np.testing.assert_allclose(near, softmax(raw, axis=1), rtol=1e-4)  # nothing is cut off among the samples
    assert far.min() >= near.min() / n_classes
    np.testing.assert_allclose(far.sum(1), 1)
    np.testing.assert_array_equal(est.predict(FAR), far.argmax(1))
    np.testing.assert_allclose(est.predict_log_proba(FAR), np.log(far))
    assert np.abs(est.decision_function(FAR)).max() > 2 * np.abs(raw).max()  # scores still tell far samples apart


@classifiers
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_labels_are_no_more_certain_either(est):
    labels = np.c_[y > np.median(y), X[:, 0] > 0.5].astype(int)
    est.fit(X, labels)
    near, far = est.predict_proba(X), est.predict_proba(FAR)
    assert (far.min(0) >= near.min(0) * (1 - 1e-4)).all()
    assert (far.max(0) <= near.max(0) * (1 + 1e-4)).all()
    np.testing.assert_array_equal(est.predict(FAR), far > 0.5)


@pytest.mark.parametrize("map_bias", [True, False])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_loss_of_rare_counts_is_that_of_the_predictions(map_bias):
    """With biases outputs are logarithms in units of the mean, without them of the counts themselves."""
    counts = (np.random.default_rng(0).random(120) < 0.2).astype(float)
    sizes = {"hidden_layer_sizes": (4, 4, 4), "architecture": ResNetArchitecture(map_bias=map_bias)}
    est = MGOptRegressor(
        loss="poisson", standardize=False, early_stopping=False, max_iter=5, random_state=0, **sizes
    ).fit(X, counts)
    unit = counts.mean() if map_bias else 1.0
    deviance = mean_poisson_deviance(counts, est.predict(X)) / 2
    assert est.loss_ == pytest.approx(deviance / unit, rel=1e-4)  # training is in single precision
