import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from skgrow import GrowingRegressor, GrowthCurveDisplay
from skgrow.growth import PolarSearch

plt = pytest.importorskip("matplotlib.pyplot")


@pytest.fixture(autouse=True)
def _no_screen():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def row(action, neurons, loss, *, accepted=True, activation="relu", evidence=np.nan, time=1.0):
    return {
        "time": time,
        "action": action,
        "accepted": accepted,
        "architecture": (2, neurons, 1),
        "n_parameters": 4 * neurons + 1,
        "train_loss": loss,
        "validation_loss": np.nan,
        "log_evidence": evidence,
        "criterion": evidence,
        "alpha": 1.0,
        "activation": activation,
    }


@pytest.fixture
def fitted():
    """What the display reads of an estimator that grew two networks and kept an exchange in the first."""
    history = [
        row("start", 0, 0.5, evidence=-30.0, time=0.1),
        row("grow", 3, 0.1, evidence=-10.0),
        row("grow", 6, 0.02, evidence=5.0) | {"indicator": 0.5},
        row("grow", 9, 0.03, evidence=3.0, accepted=False),
        row("exchange", 6, 0.04, evidence=2.0, accepted=False),
        row("exchange", 6, 0.01, evidence=8.0),
        row("start", 0, 0.5, evidence=-30.0, activation="tanh"),
        row("grow", 3, 0.2, evidence=-20.0, activation="tanh"),
    ]
    est = GrowingRegressor()
    est.history_, est.activation_, est.architecture_, est.loss_ = history, "relu", (2, 6, 1), 0.01
    return est


@pytest.fixture
def draw(fitted):
    return partial(GrowthCurveDisplay.from_estimator, fitted)


def labels(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def artist(display, label):
    (found,) = [line for line in display.ax_.get_lines() if line.get_label() == label]
    return found


def test_one_line_per_activation_through_the_accepted_growths(draw):
    display = draw()
    relu, tanh = display.line_
    np.testing.assert_array_equal(relu.get_xydata(), [[1, 0.5], [13, 0.1], [25, 0.02]])
    np.testing.assert_array_equal(tanh.get_xydata(), [[1, 0.5], [13, 0.2]])
    assert [line.get_label() for line in display.line_] == ["relu", "tanh"]


def test_exchanges_and_undone_growths_are_marked_and_explained(draw):
    display = draw()
    assert labels(display) == ["relu", "tanh", "exchange, kept", "exchange, undone", "growth, undone", "returned"]
    drawn = {tuple(point) for line in display.ax_.get_lines() for point in line.get_xydata().tolist()}
    assert {(25, 0.01), (25, 0.04), (37, 0.03)} <= drawn


def test_the_stage_returned_is_marked(draw):
    np.testing.assert_array_equal(artist(draw(), "returned").get_xydata(), [[25, 0.01]])


def test_no_stage_is_marked_after_further_training(draw, fitted):
    fitted.architecture_ = (2, 7, 1)
    assert "returned" not in labels(draw())


@pytest.mark.parametrize(
    ("x", "metric", "scales"),
    [
        ("n_parameters", "train_loss", ("log", "log")),
        ("neurons", "train_loss", ("linear", "log")),
        ("time", "log_evidence", ("log", "linear")),
        ("n_parameters", "alpha", ("log", "linear")),
    ],
)
def test_axes_are_named_and_logarithmic_where_positive_over_a_decade(draw, x, metric, scales):
    display = draw(x=x, metric=metric)
    assert (display.ax_.get_xscale(), display.ax_.get_yscale()) == scales
    assert display.ax_.get_xlabel()
    assert display.ax_.get_ylabel()


def test_evidence_is_never_drawn_on_a_logarithmic_axis(draw, fitted):
    for entry in fitted.history_:
        entry["log_evidence"] = entry["log_evidence"] + 31 if entry["log_evidence"] < 0 else 100.0
    assert draw(metric="log_evidence").ax_.get_yscale() == "linear"


def test_rows_without_the_metric_are_left_out(draw):
    relu, tanh = draw(metric="indicator").line_
    np.testing.assert_array_equal(relu.get_xydata(), [[25, 0.5]])
    assert len(tanh.get_xydata()) == 0


def test_given_axes_and_line_options_are_used(draw):
    figure, ax = plt.subplots()
    display = draw(ax=ax, line_kw={"linestyle": "--", "label": "mine"})
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert {line.get_linestyle() for line in display.line_} == {"--"}
    assert labels(display)[0] == "mine"


def test_a_display_can_be_drawn_again(draw):
    display = draw()
    first = display.figure_
    assert display.plot() is display
    assert display.figure_ is not first


def test_unknown_options_are_named_with_those_allowed(draw):
    with pytest.raises(ValueError, match=r"x must be one of \['n_parameters', 'neurons', 'time'\]; got 'epoch'"):
        draw(x="epoch")
    with pytest.raises(ValueError, match=r"metric must be one of \['train_loss', .*\]; got 'loss'"):
        draw(metric="loss")


def test_a_metric_that_was_not_computed_is_refused_with_those_that_were(draw):
    with pytest.raises(ValueError, match=r"metric='validation_loss' was not computed .*\['train_loss', 'log_e"):
        draw(metric="validation_loss")


def test_an_estimator_that_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        GrowthCurveDisplay.from_estimator(GrowingRegressor())


def test_a_fitted_estimator_shows_its_history_and_the_stage_it_returned():
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(80, 1))
    est = GrowingRegressor(max_neurons=6, search=PolarSearch(n_exchanges=1), random_state=0).fit(X, np.sin(6 * X[:, 0]))
    display = GrowthCurveDisplay.from_estimator(est)
    assert {line.get_label() for line in display.line_} == {"relu", "tanh", "identity"}
    n_parameters = sum(a.size for a in [*est.coefs_, *est.intercepts_])
    np.testing.assert_allclose(artist(display, "returned").get_xydata(), [[n_parameters, est.loss_]])


def test_the_module_loads_neither_torch_nor_matplotlib():
    code = "import sys, skgrow.inspection; sys.exit(bool({'torch', 'matplotlib'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
