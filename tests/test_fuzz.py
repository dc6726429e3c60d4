"""Random fits to awkward small data: a fixed profile of ``benchmarks.fuzz``; and that its checks see faults.

``python -m benchmarks.fuzz --small --fits 1 --first SEED`` repeats a case that fails.
"""

import numpy as np
import pytest

import skgrow

fuzz = pytest.importorskip("benchmarks.fuzz", reason="needs a checkout, where the benchmarks are")

BLOCKS, CASES = 6, 10  # every case is fitted twice


@pytest.mark.parametrize("block", range(BLOCKS))
def test_nothing_goes_wrong(block):
    seeds = range(CASES * block, CASES * (block + 1))
    reports = [fuzz.check(fuzz.Case.of(seed, small=True)) for seed in seeds]
    assert [(r.case.seed, r.case.name, *found) for r in reports for found in r.complaints] == []
    assert sum(bool(r.refused) for r in reports) <= CASES / 2  # a case that is refused shows nothing


def test_all_estimators_take_part():
    names = {fuzz.Case.of(seed, small=True).name for seed in range(BLOCKS * CASES)}
    assert names == {name for name in skgrow.__all__ if name.endswith(("Regressor", "Classifier"))}


# what the checks see -----------------------------------------------------------------------------------------------


def a_case():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(12, 2))
    params = {"random_state": 0, "activation": "tanh", **fuzz.SMALL_SEARCH, **fuzz.SMALL_GROWTH}
    return fuzz.Case(0, "GrowingRegressor", params, X, np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=12))


def spoil(monkeypatch, change):
    """Let ``change(estimator, X, sample_weight)`` follow every fit."""
    fit = skgrow.GrowingRegressor.fit

    def spoiled(self, X, y, sample_weight=None, **kwargs):
        fit(self, X, y, sample_weight, **kwargs)
        change(self, X, sample_weight)
        return self

    monkeypatch.setattr(skgrow.GrowingRegressor, "fit", spoiled)


def fail(estimator, X, weight):
    raise ValueError("not of skgrow")


def make_nan(estimator, X, weight):
    estimator.intercepts_[-1][:] = np.nan


def shift(estimator, X, weight):
    estimator.intercepts_[-1] += 10


def misreport(estimator, X, weight):
    estimator.loss_ *= 2


def rise(estimator, X, weight):
    row = next(row for row in estimator.history_ if row["parent"] is not None and row["accepted"])
    row["train_loss"] = 2 * estimator.history_[row["parent"]]["train_loss"]


def draw(estimator, X, weight):
    np.random.rand()  # noqa: NPY002


def last_longer(estimator, X, weight):
    while True:
        pass


def nudge(estimator, by):
    estimator.intercepts_[-1] *= 1 + 1e-12 * float(by)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("exception", fail),
        ("non-finite", make_nan),
        ("worse", shift),
        ("loss_", misreport),
        ("history rises", rise),
        ("leak", draw),
        ("too long", last_longer),
    ],
)
def test_a_fault_would_be_seen(kind, change, monkeypatch):
    monkeypatch.setattr(fuzz, "LIMIT", 1.0)
    assert fuzz.check(a_case()).complaints == []
    spoil(monkeypatch, change)
    assert kind in {found for found, _ in fuzz.check(a_case()).complaints}


@pytest.mark.parametrize(
    ("kind", "way", "change"),
    [
        ("refit", fuzz.same_again, lambda estimator, X, weight: nudge(estimator, np.random.default_rng().random())),
        ("row order", fuzz.other_order, lambda estimator, X, weight: nudge(estimator, X[0, 0])),
        ("repetition", fuzz.repeated, lambda estimator, X, weight: nudge(estimator, len(X))),
        ("uniform", fuzz.uniform_weights, lambda estimator, X, weight: nudge(estimator, weight is None)),
    ],
)
def test_a_difference_in_the_last_digits_would_be_seen(kind, way, change, monkeypatch):
    spoil(monkeypatch, change)
    case = a_case()
    report = fuzz.Report(case)
    way(report, case.fit(), np.random.default_rng(0))
    assert [found for found, _ in report.complaints] == [kind]
