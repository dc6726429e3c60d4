"""The growth curve: how loss or evidence changed with the size of the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D
    from numpy.typing import NDArray

_X_LABELS = {"n_parameters": "Parameters", "neurons": "Hidden neurons", "time": "Time (s)"}

_METRIC_LABELS = {
    "train_loss": "Training loss",
    "validation_loss": "Validation loss",
    "log_evidence": "Log evidence",
    "loo": "Estimated error on new data (leave-one-out)",
    "gcv": "Estimated error on new data (GCV)",
    "criterion": "Criterion (larger is better)",
    "indicator": "Growth indicator",
    "predicted_decrease": "Predicted decrease of the loss",
    "alpha": "L2 penalty",
}

#: Metrics that are logarithms already.
_LOGARITHMS = ("log_evidence",)

_MARKERS: dict[str, dict[str, Any]] = {
    "exchange, kept": {"marker": "D", "markersize": 5, "linestyle": "none"},
    "exchange, undone": {"marker": "D", "markersize": 5, "linestyle": "none", "fillstyle": "none"},
    "growth, undone": {"marker": "x", "markersize": 6, "linestyle": "none"},
}

_RETURNED: dict[str, Any] = {
    "marker": "o",
    "markersize": 13,
    "fillstyle": "none",
    "color": "black",
    "linestyle": "none",
    "zorder": 4,
}


class GrowthCurveDisplay:
    """Growth curve of a fitted estimator, in width or depth.

    One line per activation (and member of an ensemble, in one color) leads through the growths (insertions) that were
    accepted, and the average of networks is a point of its own; markers show exchanges, growths that were undone, and
    the stage whose network was returned. An axis is logarithmic where all its values are positive and span a decade.

    It is best made by :meth:`from_estimator`.

    Parameters
    ----------
    history : list of dict
        Rows as in ``history_`` of the estimators.

    returned : int or None, default=None
        Number of the row whose network was returned; None: unknown.

    x : {"n_parameters", "neurons", "time"}, default="n_parameters"
        What the horizontal axis shows.

    metric : str, default="train_loss"
        Entry of the rows that the vertical axis shows: ``"train_loss"``, ``"validation_loss"``,
        ``"log_evidence"``, ``"loo"``, ``"gcv"``, ``"criterion"``, ``"indicator"``,
        ``"predicted_decrease"`` or ``"alpha"``.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes drawn on.

    figure_ : matplotlib Figure
        Its figure.

    line_ : list of matplotlib Line2D
        Growth paths, one per activation and member, and the average.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skgrow import GrowingRegressor, GrowthCurveDisplay
    >>> X, y = load_diabetes(return_X_y=True)
    >>> est = GrowingRegressor(activation="tanh", max_neurons=6, random_state=0).fit(X, y)
    >>> display = GrowthCurveDisplay.from_estimator(est, metric="log_evidence")
    >>> display.ax_.get_xlabel()
    'Parameters'
    """

    ax_: Axes
    figure_: Figure | SubFigure
    line_: list[Line2D]

    def __init__(
        self,
        *,
        history: Sequence[dict[str, Any]],
        returned: int | None = None,
        x: str = "n_parameters",
        metric: str = "train_loss",
    ) -> None:
        self.history = history
        self.returned = returned
        self.x = x
        self.metric = metric

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        ax: Any = None,
        x: str = "n_parameters",
        metric: str = "train_loss",
        line_kw: dict[str, Any] | None = None,
    ) -> GrowthCurveDisplay:
        """Draw the growth curve of a fitted estimator.

        Parameters
        ----------
        estimator : GrowingRegressor, GrowingClassifier, SensLIRegressor or SensLIClassifier
            Fitted.
        ax : matplotlib Axes, optional
            Axes to draw on; default: those of a new figure.
        x : {"n_parameters", "neurons", "time"}, default="n_parameters"
            What the horizontal axis shows.
        metric : str, default="train_loss"
            Entry of ``estimator.history_`` that the vertical axis shows.
        line_kw : dict, optional
            Passed to ``ax.plot`` for the growth paths.

        Returns
        -------
        GrowthCurveDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            For an unknown ``x`` or ``metric``, or a metric that was not computed in this fit.
        ImportError
            Without matplotlib.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator, "history_")
        display = cls(history=estimator.history_, returned=_returned_row(estimator), x=x, metric=metric)
        return display.plot(ax=ax, line_kw=line_kw)

    def plot(self, *, ax: Any = None, line_kw: dict[str, Any] | None = None) -> GrowthCurveDisplay:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on; default: those of a new figure.
        line_kw : dict, optional
            Passed to ``ax.plot`` for the growth paths.

        Returns
        -------
        GrowthCurveDisplay
            The display itself.

        Raises
        ------
        ValueError
            For an unknown ``x`` or ``metric``, or a metric that was not computed in this fit.
        ImportError
            Without matplotlib.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        places = _column(self.history, self.x, _X_LABELS, "x")
        values = _column(self.history, self.metric, _METRIC_LABELS, "metric")
        there = np.isfinite(values)
        if not there.any():
            raise ValueError(
                f"metric={self.metric!r} was not computed in this fit; its history has {_computed(self.history)}."
            )
        if ax is None:
            _, ax = plt.subplots(layout="constrained")

        marked = _marked(self.history)
        grown = there & ~np.logical_or.reduce(list(marked.values()))
        keys = [(row.get("activation", ""), row.get("member")) for row in self.history]
        self.line_, colors = [], dict[str, Any]()
        for name, member in dict.fromkeys(keys):
            path = np.array([key == (name, member) for key in keys])
            options: dict[str, Any] = {"marker": ".", "label": name or None}
            if name in colors:  # of another member
                options = {"marker": ".", "color": colors[name]}
            (line,) = ax.plot(places[path & grown], values[path & grown], **options | (line_kw or {}))
            colors.setdefault(name, line.get_color())
            self.line_.append(line)
            for label, rows in marked.items():
                style = {"color": line.get_color()} | _MARKERS[label]
                ax.plot(places[path & there & rows], values[path & there & rows], **style)
        shown = [label for label, rows in marked.items() if (rows & there).any()]
        self._decorate(ax, places[there], values[there], shown)
        if self.returned is not None and there[self.returned]:
            ax.plot(places[self.returned], values[self.returned], label="returned", **_RETURNED)
        ax.legend()
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _decorate(self, ax: Any, places: NDArray, values: NDArray, shown: Sequence[str]) -> None:
        """Choose the scales, name the axes and explain the markers."""
        if _spans_decades(places):
            ax.set_xscale("log")
        elif self.x == "neurons":
            ax.xaxis.get_major_locator().set_params(integer=True)
        if _spans_decades(values) and self.metric not in _LOGARITHMS:
            ax.set_yscale("log")
        ax.set(xlabel=_X_LABELS[self.x], ylabel=_METRIC_LABELS[self.metric])
        for label in shown:
            ax.plot([], [], color="gray", label=label, **_MARKERS[label])


def _spans_decades(values: NDArray) -> bool:
    """Whether a logarithmic axis suits the values: all positive, and of more than one order of magnitude."""
    return bool((values > 0).all() and values.max() >= 10 * values.min())


def _marked(history: Sequence[dict[str, Any]]) -> dict[str, NDArray[np.bool_]]:
    """Return which rows get a marker, by its label; the others form the growth paths."""
    accepted = np.array([bool(row["accepted"]) for row in history])
    exchange = np.array([row["action"] == "exchange" for row in history])
    return {
        "exchange, kept": exchange & accepted,
        "exchange, undone": exchange & ~accepted,
        "growth, undone": ~exchange & ~accepted,
    }


def _column(history: Sequence[dict[str, Any]], name: str, known: dict[str, str], parameter: str) -> NDArray[np.float64]:
    """Return one entry of every row, NaN where it is missing."""
    if name not in known:
        raise ValueError(f"{parameter} must be one of {list(known)}; got {name!r}.")
    if name == "neurons":
        return np.array([_n_neurons(row) for row in history], dtype=float)
    return np.array([row.get(name, np.nan) for row in history], dtype=float)


def _n_neurons(row: dict[str, Any]) -> int:
    """Return the number of hidden neurons of a row; those of an encoding are none."""
    encoded = ", " in row.get("activation", "")
    return sum(row["architecture"][2 if encoded else 1 : -1])


def _computed(history: Sequence[dict[str, Any]]) -> list[str]:
    known = _METRIC_LABELS
    return [name for name in known if np.isfinite(_column(history, name, known, "metric")).any()]


def _returned_row(estimator: Any) -> int | None:
    """Return the number of the row whose network the estimator holds, None where it has been trained on since."""
    for i, row in enumerate(estimator.history_):
        same = (
            row["accepted"]
            and row["activation"] == estimator.activation_
            and tuple(row["architecture"]) == tuple(estimator.architecture_)
        )
        if same and np.isclose(row["train_loss"], estimator.loss_, rtol=1e-9, atol=0):
            return i
    return None
