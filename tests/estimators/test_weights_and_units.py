"""Weights that are no observations, columns that say nothing, numbers far from zero, rates: right values."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_friedman1
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.metrics import mean_poisson_deviance, roc_auc_score

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
from skgrow.growth import PolarSearch

SENSLI, MGOPT = {"hidden_layer_sizes": (4,), "max_iter": 20}, {"hidden_layer_sizes": (6, 6, 6), "max_iter": 20}
PRECONDITIONED = {"hidden_layer_sizes": (8,), "max_iter": 20}
REGRESSORS = [
    GrowingRegressor(activation="tanh", max_neurons=5, search=PolarSearch(n_exchanges=0), random_state=0),
    SensLIRegressor(**SENSLI, random_state=0),
    MGOptRegressor(**MGOPT, random_state=0),
    PreconditionedMLPRegressor(**PRECONDITIONED, random_state=0),
]
CLASSIFIERS = [
    GrowingClassifier(activation="tanh", max_neurons=4, random_state=0),
    SensLIClassifier(**SENSLI, random_state=0),
    MGOptClassifier(**MGOPT, random_state=0),
    PreconditionedMLPClassifier(**PRECONDITIONED, random_state=0),
]
NAMED = {"ids": lambda est: type(est).__name__}
regressors = pytest.mark.parametrize("est", REGRESSORS, **NAMED)
classifiers = pytest.mark.parametrize("est", CLASSIFIERS, **NAMED)
everyone = pytest.mark.parametrize("est", [*REGRESSORS, *CLASSIFIERS], **NAMED)
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = make_friedman1(120, n_features=6, noise=0.5, random_state=0)


def targets(est):
    return (y > np.median(y)).astype(int) if est in CLASSIFIERS else y


def same(ours, theirs):
    pairs = zip([*ours.coefs_, *ours.intercepts_], [*theirs.coefs_, *theirs.intercepts_], strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


# weights -----------------------------------------------------------------------------------------------------------


@everyone
def test_equal_weights_and_copies_of_all_rows_change_nothing(est):
    alone = clone(est).fit(X, targets(est))
    assert same(clone(est).fit(X, targets(est), sample_weight=np.full(120, 1000.0)), alone)
    assert same(clone(est).fit(np.vstack([X, X]), np.tile(targets(est), 2)), alone)


def test_copies_do_not_hide_the_noise():
    X, y = make_friedman1(200, noise=1.0, random_state=0)
    rows = np.r_[:200, :60]
    model = GrowingRegressor(activation="tanh", search=PolarSearch(n_exchanges=0), random_state=0)
    once, copied = (clone(model).fit(X[i], y[i]) for i in (np.arange(200), rows))
    assert 0.6 < copied.noise_variance_ < 1.7  # 1 is true; copies as observations gave .44
    spread = [model.predict(X, return_std=True)[1].mean() for model in (copied, once)]
    assert spread[0] == pytest.approx(spread[1], rel=0.5)


def test_a_table_of_few_values_is_no_handful_of_observations():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (1000, 2)).astype(float)
    chance = 0.2 + 0.5 * (X[:, 0] != X[:, 1])
    labels = (rng.random(1000) < chance).astype(int)
    found = GrowingClassifier(random_state=0).fit(X, labels).predict_proba(X)[:, 1]
    for cell in np.unique(X, axis=0):
        rows = (cell == X).all(1)
        assert found[rows][0] == pytest.approx(labels[rows].mean(), abs=0.05)  # a standard error is .03


def rare(n, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 8))
    return X, (rng.random(n) < 1 / (1 + np.exp(4.2 - 1.2 * X[:, 0] - X[:, 1] + 0.8 * X[:, 2]))).astype(int)


def test_class_weights_are_no_observations():
    X, labels = rare(600, 1)
    X_test, y_test = rare(5000, 99)
    peer = LogisticRegression(class_weight="balanced").fit(X, labels)
    ours = GrowingClassifier(class_weight="balanced", random_state=0).fit(X, labels)
    areas = [roc_auc_score(y_test, model.predict_proba(X_test)[:, 1]) for model in (ours, peer)]
    assert areas[0] > areas[1] - 0.02


@classifiers
def test_equal_class_weights_change_nothing(est):
    labels = targets(est)
    alone = clone(est).fit(X, labels)
    assert same(clone(est).set_params(class_weight={0: 1000, 1: 1000}).fit(X, labels), alone)


@classifiers
def test_balanced_class_weights_sum_sample_weights(est):
    labels, weight = (y > np.quantile(y, 0.8)).astype(int), np.random.default_rng(0).uniform(0.5, 2, 120)
    sums = np.bincount(labels, weight)
    factors = dict(enumerate(weight.sum() / (2 * sums)))
    ours = clone(est).set_params(class_weight="balanced").fit(X, labels, sample_weight=weight)
    assert same(ours, clone(est).set_params(class_weight=factors).fit(X, labels, sample_weight=weight))


# columns -----------------------------------------------------------------------------------------------------------


@everyone
@pytest.mark.parametrize("value", [1.0, 0.1, 1.7e9 + 1])
def test_a_constant_column_says_nothing(est, value):
    wider = np.c_[np.full(120, value), X]
    other = wider.copy()
    other[:, 0] *= 2
    model = clone(est).fit(wider, targets(est))
    assert not model.coefs_[0][0].any()
    np.testing.assert_array_equal(model.predict(other), model.predict(wider))
    assert max(np.abs(W).max() for W in model.coefs_) < 1e4
    assert model.score(wider.astype(np.float32), targets(est)) == pytest.approx(
        model.score(wider, targets(est)), abs=0.02
    )


@regressors
def test_a_column_that_varies_later_is_learned_then(est):
    wider = np.c_[X, np.full(120, 5.0)]
    model = clone(est).set_params(learning_rate_init=0.01).fit(wider, y)
    scores = []
    for seed in range(60):
        wider[:, -1] = np.random.default_rng(seed).normal(5, 2, 120)
        scores.append(model.score(wider, y + 3 * wider[:, -1]))
        model.partial_fit(wider, y + 3 * wider[:, -1])
    assert np.abs(model.coefs_[0][-1]).max() > 0
    assert scores[-1] > (1 + scores[0]) / 2  # at least half of the way to 1


@pytest.mark.parametrize("est", [REGRESSORS[1], REGRESSORS[2], REGRESSORS[3]], **NAMED)
def test_rare_levels_are_learned(est):
    rng = np.random.default_rng(0)
    levels, effect, z = rng.integers(0, 60, 900), rng.normal(size=60), rng.normal(size=900)
    table, signal = np.c_[np.eye(60)[levels], z], effect[levels] + z
    sizes = (20,) * (3 if isinstance(est, MGOptRegressor) else 1)
    model = clone(est).set_params(hidden_layer_sizes=sizes, max_iter=150).fit(table[:600], signal[:600])
    assert model.score(table[600:], signal[600:]) > 0.9  # of standard deviations .5 and less


# numbers far from zero ---------------------------------------------------------------------------------------------


@everyone
@pytest.mark.parametrize("offset", [2459000.5, 1.7e9])
def test_dates_and_seconds_are_numbers_as_others(est, offset):
    z = np.round(X * 2**10) / 2**10  # exact at every offset
    target = targets(est) if est in CLASSIFIERS else np.round(y * 2**10) / 2**10
    near = clone(est).fit(z, target)
    far = clone(est).fit(z + offset, target if est in CLASSIFIERS else target + offset)
    score = far.score(z + offset, target if est in CLASSIFIERS else target + offset)
    assert score == pytest.approx(near.score(z, target), abs=0.02)
    if est in REGRESSORS:
        single = clone(est).fit(z.astype(np.float32), target + offset)
        assert single.score(z.astype(np.float32), target + offset) == pytest.approx(near.score(z, target), abs=0.02)


@everyone
@pytest.mark.parametrize("size", [1e39, 1e-42])
def test_inputs_of_any_size(est, size):
    near, far = (clone(est).fit(factor * X, targets(est)) for factor in (1.0, size))
    assert far.score(size * X, targets(est)) == pytest.approx(near.score(X, targets(est)), abs=0.02)


@everyone
def test_inputs_beyond_double_precision_are_refused(est):
    with pytest.raises(ValueError, match="X must have means and deviations within the range of float64"):
        clone(est).fit(1e-315 * X, targets(est))


def test_precision_of_what_is_stored():
    single, double = X.astype(np.float32), X + 1e6
    assert GrowingRegressor(max_neurons=3, random_state=0).fit(single, y).coefs_[0].dtype == np.float32
    model = GrowingRegressor(max_neurons=3, random_state=0).fit(double.astype(np.float32), y)
    assert model.coefs_[0].dtype == np.float64
    assert model.predict(double.astype(np.float32)).dtype == np.float64


# counts ------------------------------------------------------------------------------------------------------------


def rates(n, seed, intercept):
    rng = np.random.default_rng(seed)
    X, exposure = rng.normal(size=(n, 4)), rng.uniform(0.1, 1, n)
    mean = np.exp(intercept + 0.8 * X[:, 0] - 0.5 * X[:, 1])
    return X, rng.poisson(mean * exposure) / exposure, exposure


@pytest.mark.parametrize("intercept", [-3.0, 0.0])
def test_rates_over_an_exposure(intercept):
    X, rate, exposure = rates(500, 0, intercept)
    X_test, y_test, weight = rates(4000, 1, intercept)
    settings = {"loss": "poisson", "activation": "tanh", "search": PolarSearch(n_exchanges=0), "random_state": 0}
    models = PoissonRegressor(alpha=1e-4), GrowingRegressor(**settings)
    found = [model.fit(X, rate, sample_weight=exposure).predict(X_test) for model in models]
    errors = [mean_poisson_deviance(y_test, p, sample_weight=weight) for p in found]
    constant = mean_poisson_deviance(y_test, np.full(4000, np.average(rate, weights=exposure)), sample_weight=weight)
    assert errors[1] < min(constant, 1.1 * errors[0])


@regressors
def test_counts_of_which_one_is_not_zero(est):
    counts = np.zeros(120)
    counts[7] = 1.0
    found = clone(est).set_params(loss="poisson").fit(X, counts)
    assert np.isfinite(found.intercepts_[-1]).all()
    assert found.predict(X).max() <= 1.5
