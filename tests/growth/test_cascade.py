"""Growth on some of the rows, which goes on with more and more of them."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from sklearn.datasets import make_friedman1

from skgrow import GrowingClassifier, GrowingRegressor
from skgrow.growth import PolarSearch, _train
from skgrow.training import BUDGETS, Plateau, _regime

SMALL = {"max_neurons": 12, "max_stage_iter": 20, "random_state": 0, "search": PolarSearch(n_directions=40)}


@pytest.fixture
def short(monkeypatch):
    """Levels of 150, 600 and all rows; growth on the first two."""
    monkeypatch.setattr(_regime, "BUDGETS", replace(BUDGETS, cascade_rows=150, grown_rows=600))


def data(n=1600):
    X, y = make_friedman1(n + 500, n_features=5, noise=0.5, random_state=0)
    return X[:n], y[:n], X[n:], y[n:]


def rows_of(history):
    return [row for row in history if row["action"] == "rows"]


@pytest.mark.usefixtures("short")
def test_networks_go_on_with_more_rows_from_where_they_are():
    X, y, X_new, y_new = data()
    model = GrowingRegressor(**SMALL).fit(X, y)
    found = rows_of(model.history_)
    assert len(found) in (2, 4)  # two levels for one or two networks
    for row in found:
        parent = model.history_[row["parent"]]
        assert parent["activation"] == row["activation"]
        assert parent["architecture"][0] == row["architecture"][0]
    assert model.loss_ == pytest.approx(np.mean((model.predict(X) - y) ** 2) / np.var(y) / 2, rel=1e-4)
    some = GrowingRegressor(**SMALL).fit(X[:150], y[:150])
    assert model.score(X_new, y_new) > some.score(X_new, y_new)
    assert model.score(X_new, y_new) > 0.9
    assert 0.15 < model.noise_variance_ < 0.6  # 0.25 is true


@pytest.mark.usefixtures("short")
def test_on_the_last_rows_networks_are_trained_and_do_not_grow():
    X, y, *_ = data()
    model = GrowingRegressor(activation="tanh", encoding=None, **SMALL).fit(X, y)
    before, after = rows_of(model.history_)
    grown = [row for row in model.history_ if row["action"] == "grow" and row["parent"] is not None]
    assert after["architecture"] == model.history_[after["parent"]]["architecture"]
    assert after["architecture"][1] >= before["architecture"][1]
    assert after["alpha"] == before["alpha"] > 0  # the penalty is one of all rows
    assert model.history_[-1]["action"] == "rows"
    assert len(grown) > 0


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_with_rare_ones(n_classes):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1500, 4))
    edges = [[1.8], [0.0, 2.2]][n_classes - 2]
    y = np.digitize(X[:, 0] + X[:, 1] ** 2 - 1, edges)
    model = GrowingClassifier(**SMALL).fit(X[:1000], y[:1000])
    assert rows_of(model.history_)
    assert model.score(X[1000:], y[1000:]) > 0.93
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1.0)


@pytest.mark.usefixtures("short")
def test_a_linear_model_is_one_of_all_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(1000, 4))
    y = X @ [1.0, 2.0, -1.0, 0.5] + 0.3 * rng.normal(size=1000)
    model = GrowingRegressor(encoding=None, **SMALL).fit(X, y)
    assert model.predict(np.eye(4)) - model.predict(np.zeros((1, 4))) == pytest.approx([1, 2, -1, 0.5], abs=0.05)
    mean, deviation = model.predict(X, return_std=True)
    assert np.mean(np.abs(mean - y) < 1.645 * deviation) == pytest.approx(0.9, abs=0.03)


@pytest.mark.usefixtures("short")
def test_a_warm_start_goes_on_with_all_rows():
    X, y, X_new, y_new = data()
    model = GrowingRegressor(warm_start=True, **SMALL).fit(X, y)
    before = model.score(X_new, y_new)
    model.fit(X, y)
    assert not rows_of(model.history_)
    assert model.score(X_new, y_new) > before - 0.02


@pytest.mark.usefixtures("short")
def test_validation_data_judge_on_every_level():
    X, y, X_val, y_val = data()
    model = GrowingRegressor(**SMALL).fit(X, y, X_val=X_val, y_val=y_val)
    assert all(np.isfinite(row["validation_loss"]) for row in model.history_)
    assert model.best_validation_score_ == pytest.approx(model.score(X_val, y_val), abs=0.02)


@pytest.mark.usefixtures("short")
def test_equal_fits_and_weights():
    X, y, *_ = data(700)
    model = GrowingRegressor(activation="relu", encoding=None, **SMALL)
    first, second = (model.fit(X, y).predict(X[:5]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    weight = np.full(700, 3.0)
    np.testing.assert_array_equal(model.fit(X, y, weight).predict(X[:5]), first)


def levels(n, **settings):
    model = GrowingRegressor(**settings)
    return model._method()[2].of(model._settings(), n, 5, 1, np.zeros((1, 5))).levels(n)


def test_levels_are_four_times_as_large_as_the_one_before():
    assert levels(8000) == [8000]
    assert levels(8001) == [4000, 8001]
    assert levels(40_000) == [4000, 16_000, 40_000]
    assert levels(10**6) == [4000, 16_000, 64_000, 256_000, 10**6]


def test_ensembles_operators_and_certificates_see_all_rows_from_the_start():
    for settings in ({"n_members": 2}, {"operator": "gradient"}, {"penalty": "path", "alpha": 1e-2}):
        assert levels(40_000, **settings) == [40_000]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("at", [0, 1])
def test_an_interrupt_between_levels_keeps_the_networks_so_far(monkeypatch, at):
    X, y, *_ = data()
    calls, whole = count(), _train._Growth._further

    def further(*args, **settings):
        if next(calls) == at:
            raise KeyboardInterrupt
        return whole(*args, **settings)

    monkeypatch.setattr(_train._Growth, "_further", further)
    model = GrowingRegressor(**SMALL)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, y)
    assert model.stop_reason_ == "interrupted"
    assert model.score(X, y) > 0.7


@pytest.mark.usefixtures("short")
def test_a_linear_model_that_is_interrupted_stays(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(700, 3))
    y = X @ [1.0, 2.0, -1.0] + 0.3 * rng.normal(size=700)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_train, "refitted", interrupt)
    with pytest.warns(UserWarning, match="interrupted"):
        model = GrowingRegressor(encoding=None, **SMALL).fit(X, y)
    assert model.score(X, y) > 0.95


@pytest.mark.usefixtures("short")
def test_schedules_that_count_growths_see_all_rows_from_the_start():
    X, y, *_ = data(500)
    model = GrowingRegressor(activation="tanh", schedule=Plateau(max_growths=1), **SMALL).fit(X, y)
    assert not rows_of(model.history_)
