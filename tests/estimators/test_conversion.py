"""Targets and weights in any layout and byte order, missing labels, few samples, one class, rare classes held out."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV

from skgrow import (
    GrowingClassifier,
    GrowingRegressor,
    MGOptClassifier,
    MGOptRegressor,
    PreconditionedMLPClassifier,
    PreconditionedMLPRegressor,
    SensLIClassifier,
    SensLIRegressor,
    growing_path,
)
from skgrow.problem import CrossEntropy, Logistic, Samples

GROWING = {"activation": "tanh", "max_neurons": 3, "random_state": 0}
SHORT = {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0}
MGOPT = SHORT | {"architecture": "mlp", "early_stopping": False}

REGRESSORS = [
    GrowingRegressor(**GROWING),
    SensLIRegressor(**SHORT),
    MGOptRegressor(**MGOPT),
    PreconditionedMLPRegressor(**SHORT),
]
CLASSIFIERS = [
    GrowingClassifier(**GROWING),
    SensLIClassifier(**SHORT),
    MGOptClassifier(**MGOPT),
    PreconditionedMLPClassifier(**SHORT),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 2))
Y = np.round(4 * np.sin(X[:, 0]))
LABELS = np.array(["a", "b"])[(X[:, 0] > 0).astype(int)]
WEIGHT = RNG.integers(1, 4, size=24).astype(float)


def name_of(estimator):
    return type(estimator).__name__


regressors = pytest.mark.parametrize("est", REGRESSORS, ids=name_of)
classifiers = pytest.mark.parametrize("est", CLASSIFIERS, ids=name_of)
every = pytest.mark.parametrize("est", [*REGRESSORS, *CLASSIFIERS], ids=name_of)


def backward(array):
    """The same numbers, stored from the last row to the first."""
    return np.ascontiguousarray(array[::-1])[::-1]


def two_classes(est, y=None):
    return (Y if y is None else y) if "Regressor" in name_of(est) else (Y > 0).astype(float)


# layouts -------------------------------------------------------------------------------------------------------


@every
def test_strides_and_bytes_are_of_no_consequence(est):
    y = two_classes(est)
    expected = est.fit(X, y, WEIGHT).predict(X)
    for change in (backward, lambda a: a.astype(">f8"), lambda a: a.astype(np.longdouble), lambda a: a.astype(">i4")):
        found = est.fit(backward(X), change(y), backward(WEIGHT)).predict(X)
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(est.fit(X.astype(">f8"), y, WEIGHT.astype(">f8")).predict(X), expected)
    tensor = est.predict(torch.as_tensor(X))  # also classes become tensors
    np.testing.assert_array_equal(np.asarray(tensor, dtype=float), expected)


@every
def test_so_they_are_of_validation_data_and_batches(est):
    y = two_classes(est)
    given = {"X_val": X, "y_val": y, "sample_weight_val": WEIGHT}
    expected = est.fit(X, y, **given).partial_fit(X, y, sample_weight=WEIGHT).predict(X)
    given = {name: backward(value.astype(">f8")) for name, value in given.items()}
    est.fit(X, y, **given).partial_fit(X, backward(y.astype(">f8")), sample_weight=backward(WEIGHT))
    np.testing.assert_array_equal(est.predict(X), expected)


@every
def test_a_single_row_may_be_stored_backward(est):
    y = two_classes(est)
    one = slice(-1, -2, -1)  # NumPy counts it as contiguous, and PyTorch refuses its stride
    assert y[one].strides[0] < 0
    assert est.fit(X, y).partial_fit(X[one], y[one], sample_weight=WEIGHT[one]).predict(X[one]).shape == (1,)


@regressors
def test_several_outputs_and_several_labels_in_reverse(est):
    two = np.column_stack([Y, -Y])
    assert est.fit(X, two[:, ::-1]).predict(X).shape == (24, 2)
    classifier = next(c for c in CLASSIFIERS if name_of(c)[:5] == name_of(est)[:5])
    assert classifier.fit(X, (two > 0).astype(">i4")[:, ::-1]).predict(X).shape == (24, 2)


def test_operators_and_paths_take_any_layout():
    slope = np.cos(X)
    est = GrowingRegressor(operator="gradient", max_stage_iter=2, **GROWING | {"max_neurons": 1})
    assert est.fit(X, slope).score(X, slope.astype(">f8")[:, ::-1][:, ::-1]) == est.score(X, slope)
    _, ours, _ = growing_path(X, Y.astype(">f8")[::-1][::-1], alphas=[9.0])
    _, theirs, _ = growing_path(X, Y, alphas=[9.0])
    np.testing.assert_array_equal(ours[0][0][0], theirs[0][0][0])
    assert len(growing_path(X[::-1], Y[::-1], alphas=[9.0])[1]) == 1


def test_numbers_beyond_double_precision_are_refused():
    if np.finfo(np.longdouble).max == np.finfo(np.float64).max:
        pytest.skip("long double is double here")
    huge = Y.astype(np.longdouble)
    huge[0] = np.longdouble(10) ** 400
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="Input y contains infinity"):
        GrowingRegressor().fit(X, huge)
    with pytest.raises(ValueError, match="Complex data not supported"):
        GrowingRegressor().fit(torch.as_tensor(X), torch.as_tensor(Y + 1j))


# labels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing", [np.nan, None, pd.NA, float("nan")], ids=["np.nan", "None", "pandas.NA", "float('nan')"]
)
@classifiers
def test_missing_labels_are_refused(est, missing):
    labels = LABELS.astype(object)
    labels[3] = missing
    indicators = np.column_stack([Y > 0, Y < 0]).astype(int).astype(object)
    indicators[3, 0] = missing
    containers = [labels, labels.tolist(), pd.Series(labels), pd.Series(labels, dtype="category"), indicators]
    for y in containers:
        with pytest.raises(ValueError, match="Input y contains NaN"):
            est.fit(X, y)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        est.fit(X, LABELS, X_val=X, y_val=labels)
    with pytest.raises(ValueError, match="Input classes contains NaN"):
        type(est)().partial_fit(X, LABELS, classes=["a", "b", missing])


@classifiers
def test_strings_beside_numbers_are_refused(est):
    labels = LABELS.astype(object)
    labels[3] = 1
    with pytest.raises(TypeError, match="y must have labels of one kind"):
        est.fit(X, labels)


# few samples ---------------------------------------------------------------------------------------------------


@every
def test_early_stopping_needs_two_samples_of_positive_weight(est):
    y, one = two_classes(est), np.arange(24) == 3
    parameters = est.get_params()
    asks = type(est)(**parameters | {"early_stopping": True})
    with pytest.raises(
        ValueError, match="early_stopping=True needs at least 2 different samples of positive weight; got n_samples = 1"
    ):
        asks.fit(X[:1], y[:1])
    with pytest.raises(
        ValueError, match="early_stopping=True needs at least 2 different samples of positive weight; got n_samples = 1"
    ):
        asks.fit(X, y, one.astype(float))
    may = type(est)(**parameters | {"early_stopping": 0})  # if there are more than 0 samples
    assert may.fit(X, y, one.astype(float)).validation_scores_ is None
    assert may.fit(X[:1], y[:1]).validation_scores_ is None


@every
def test_a_batch_is_never_split(est):
    y = two_classes(est)
    classes = {} if "Regressor" in name_of(est) else {"classes": [0.0, 1.0]}
    asks = type(est)(**est.get_params() | {"early_stopping": True})
    asks.partial_fit(X[:1], y[:1], **classes)
    assert asks.validation_scores_ is None
    before = asks.predict(X)
    assert asks.partial_fit(X[:1], y[:1]).predict(X).shape == before.shape
    never = type(est)(**est.get_params() | {"early_stopping": False})
    fresh = type(est)(**asks.get_params())
    ours, theirs = (model.partial_fit(X, y, **classes).partial_fit(X, y) for model in (fresh, never))
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))


# one class, rare classes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [1.0, "only"])
@classifiers
def test_one_class_is_certain(est, label):
    y = np.full(24, label)
    for model in (
        est.fit(X, y),
        type(est)(**est.get_params()).partial_fit(X, y, classes=[label]).partial_fit(X, y),
        type(est)(**est.get_params() | {"early_stopping": True}).fit(X, y),
    ):
        assert model.classes_.tolist() == [label]
        assert model.predict(X).tolist() == y.tolist()
        np.testing.assert_array_equal(model.predict_proba(X), np.ones((24, 1)))
        np.testing.assert_array_equal(model.predict_log_proba(X), np.zeros((24, 1)))
        assert model.score(X, y) == 1
        assert all(np.isfinite(W).all() for W in model.coefs_)


@pytest.mark.parametrize("sizes", [(50, 9, 1), (3, 3, 3), (90, 10), (1, 40), (1, 1, 2)])
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_every_class_stays_in_the_training_part_and_has_its_share_of_the_other(sizes, fraction):
    sizes = np.array(sizes)
    place = np.repeat(np.arange(len(sizes)), sizes)
    target = place[:, None] if len(sizes) == 2 else np.eye(len(sizes))[place]
    loss = Logistic() if len(sizes) == 2 else CrossEntropy()
    rows = torch.arange(float(len(place)))[:, None]
    samples = Samples(rows, torch.as_tensor(target, dtype=torch.float64), None)
    train, held_out = samples.split(fraction, torch.Generator().manual_seed(0), loss.strata(samples.Y))
    assert sorted(torch.cat([train.X, held_out.X])[:, 0].tolist()) == rows[:, 0].tolist()
    kept, held = (np.bincount(place[part.X[:, 0].long().numpy()], minlength=len(sizes)) for part in (train, held_out))
    assert (kept >= 1).all()
    possible = int((sizes - 1).sum())
    assert held.sum() == min(possible, max(1, round(fraction * sizes.sum())))
    if held.sum() < possible:  # otherwise all have given what they can
        share = np.minimum(fraction * sizes, sizes - 1)
        assert (np.abs(held - share) <= 1.5).all()


def test_without_classes_any_rows_are_held_out():
    rows = torch.arange(20.0)[:, None]
    samples = Samples(rows, rows, None)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(3))
    train, held_out = samples.split(0.25, torch.Generator().manual_seed(3))
    torch.testing.assert_close(held_out.X[:, 0], order[:5].to(rows.dtype))
    torch.testing.assert_close(train.X[:, 0], order[5:].to(rows.dtype))


@classifiers
def test_rare_classes_are_learned_and_only_rare_ones_cannot_be_held_out(est):
    rare = np.r_[np.zeros(12), np.ones(11), 2.0]
    asks = type(est)(**est.get_params() | {"early_stopping": True})
    for seed in range(3):
        found = asks.set_params(random_state=seed).fit(X, rare)
        assert found.predict_proba(X).shape == (24, 3)
        assert len(found.validation_scores_) > 0
    with pytest.raises(ValueError, match="early_stopping=True needs a class of at least 2 samples"):
        asks.fit(X[:3], np.arange(3))
    assert asks.set_params(early_stopping=1).fit(X[:3], np.arange(3)).validation_scores_ is None


# parameters ----------------------------------------------------------------------------------------------------


def test_no_penalty_needs_another_criterion():
    search = GridSearchCV(GrowingClassifier(**GROWING), {"alpha": [0, 0.1], "criterion": ["evidence", "gcv"]}, cv=2)
    with pytest.warns(FitFailedWarning, match="needs alpha > 0; got alpha=0, which criterion='gcv' allows"):
        search.fit(X, LABELS)
    failed = np.isnan(search.cv_results_["mean_test_score"])
    assert failed.tolist() == [True, False, False, False]
