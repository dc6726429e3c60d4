"""Effects of features: those of an additive function are its terms."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skgrow import FeatureEffectDisplay, GrowingClassifier, GrowingRegressor
from skgrow.growth import PolarSearch
from skgrow.problem import PiecewiseLinear

#: One block found in a few directions.
SMALL = {
    "activation": "tanh",
    "max_neurons": 3,
    "max_stage_iter": 20,
    "search": PolarSearch(8, 4, n_exchanges=0),
    "random_state": 0,
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(400, 3))
    return X, 2 * np.abs(X[:, 0]) - X[:, 1]


@pytest.fixture(scope="module")
def fitted(data):
    encoding = PiecewiseLinear(n_knots=5)
    return GrowingRegressor(encoding=encoding, activation="tanh", max_neurons=3, max_stage_iter=30).fit(*data)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_effects_of_an_additive_function_are_its_terms(fitted, data):
    display = FeatureEffectDisplay.from_estimator(fitted, data[0])
    assert display.names == ["x0", "x1", "x2"]
    terms = [lambda x: 2 * np.abs(x), lambda x: -x, lambda x: 0 * x]
    for grid, effect, term in zip(display.grids, display.effects, terms, strict=True):
        np.testing.assert_allclose(effect, term(grid) - term(grid).mean(), atol=0.15)
    for axis, knots, grid in zip(display.axes_, fitted.knots_, display.grids, strict=True):
        curve, dots = axis.get_lines()
        np.testing.assert_array_equal(curve.get_xdata(), grid)
        assert set(dots.get_xdata()) <= set(knots)
        assert len(dots.get_xdata()) >= 3


def test_the_largest_effects_are_shown_if_there_are_many(data):
    rng = np.random.default_rng(0)
    X = np.hstack([data[0], rng.uniform(size=(400, 9))])
    est = GrowingRegressor(**SMALL).fit(X, data[1])
    display = FeatureEffectDisplay.from_estimator(est, X)
    assert len(display.names) == 9
    assert {"x0", "x1"} <= set(display.names)


def test_names_axes_and_style_are_those_asked_for(data):
    import pandas as pd

    frame = pd.DataFrame(data[0], columns=["height", "width", "depth"])
    est = GrowingRegressor(**SMALL).fit(frame, data[1])
    _, axes = plt.subplots(1, 2)
    display = FeatureEffectDisplay.from_estimator(
        est, frame, features=["width", 0], ax=axes, line_kw={"color": "black"}
    )
    assert [axis.get_xlabel() for axis in axes] == ["width", "height"]
    assert display.figure_ is axes[0].figure
    assert display.axes_[0].get_lines()[0].get_color() == "black"
    with pytest.raises(ValueError, match="ax must have as many axes as there are features, 2; got 1"):
        display.plot(ax=axes[:1])


def test_classes_show_the_probability_of_one(data):
    X, y = data
    two = GrowingClassifier(**SMALL).fit(X, y > 0.5)
    last, first = (FeatureEffectDisplay.from_estimator(two, X, target=target) for target in (None, False))
    np.testing.assert_allclose(last.effects, -np.array(first.effects))
    assert last.effects[1][0] > last.effects[1][-1]  # falls along feature 1
    three = GrowingClassifier(**SMALL)
    three.fit(X, np.digitize(y, [0, 1]))
    effects = [FeatureEffectDisplay.from_estimator(three, X, target=k).effects for k in range(3)]
    np.testing.assert_allclose(np.sum(effects, 0), 0, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"features": [3]}, "features must be among 0 to 2; got 3"),
        ({"features": ["height"]}, "features must be among 0 to 2; got 'height'"),
    ],
)
def test_what_there_is_not_is_said(fitted, data, settings, message):
    with pytest.raises(ValueError, match=message):
        FeatureEffectDisplay.from_estimator(fitted, data[0], **settings)


def test_what_can_not_be_drawn_is_said(data):
    X, y = data
    with pytest.raises(NotFittedError):
        FeatureEffectDisplay.from_estimator(GrowingRegressor(), X)
    several = GrowingRegressor(max_neurons=2, max_stage_iter=5, activation="tanh").fit(X[:50], X[:50])
    with pytest.raises(ValueError, match="estimator must have one output; got 3"):
        FeatureEffectDisplay.from_estimator(several, X)
    two = GrowingClassifier(max_neurons=2, max_stage_iter=5, activation="tanh").fit(X[:50], y[:50] > 0.5)
    with pytest.raises(ValueError, match=r"target must be one of \[False, True\]; got 'yes'"):
        FeatureEffectDisplay.from_estimator(two, X, target="yes")
