"""The effect of every feature: how predictions change along it, on average over the data."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.inspection import partial_dependence
from sklearn.utils import resample
from sklearn.utils._optional_dependencies import check_matplotlib_support
from sklearn.utils.validation import check_is_fitted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: Rows over which effects are averaged, and panels, if the caller says nothing.
_AVERAGED_ROWS, _PANELS = 300, 9


class FeatureEffectDisplay:
    """Effects of single features: partial dependences about their means, with the knots of the network's encoding.

    A panel for each feature shows how the prediction changes along it, averaged over the data (Friedman 2001); for an
    additive model that is the model. Dots are knots, ticks at the bottom the deciles of the data.

    It is best made by :meth:`from_estimator`.

    Parameters
    ----------
    grids : list of ndarray
        Values of each feature.
    effects : list of ndarray
        Mean prediction at these, minus its mean.
    knots : list of ndarray
        Knots of each feature.
    deciles : list of ndarray
        Deciles of each feature.
    names : list of str
        Of the features.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes
        Panels that are drawn, in order of the features.
    figure_ : matplotlib Figure
        The figure.

    See Also
    --------
    GrowthCurveDisplay : How the network grew.
    sklearn.inspection.PartialDependenceDisplay : Two features at a time, and single samples.

    References
    ----------
    J. H. Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29, 2001.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skgrow import FeatureEffectDisplay, GrowingRegressor
    >>> X, y = make_friedman1(500, noise=0.5, random_state=0)
    >>> est = GrowingRegressor(activation="tanh", max_neurons=6, random_state=0).fit(X, y)
    >>> display = FeatureEffectDisplay.from_estimator(est, X, features=[2, 3])
    >>> [axis.get_xlabel() for axis in display.axes_]
    ['x2', 'x3']
    """

    axes_: NDArray[Any]
    figure_: Figure

    def __init__(
        self,
        *,
        grids: Sequence[NDArray[Any]],
        effects: Sequence[NDArray[Any]],
        knots: Sequence[NDArray[Any]],
        deciles: Sequence[NDArray[Any]],
        names: Sequence[str],
    ) -> None:
        self.grids = grids
        self.effects = effects
        self.knots = knots
        self.deciles = deciles
        self.names = names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        features: Sequence[int | str] | None = None,
        target: Any = None,
        ax: Sequence[Axes] | None = None,
        line_kw: dict[str, Any] | None = None,
    ) -> FeatureEffectDisplay:
        """Draw the effects of features in a fitted estimator.

        Parameters
        ----------
        estimator : estimator of this package
            Fitted, for one output.
        X : array-like of shape (n_samples, n_features)
            Data to average over; of more than 300 rows so many are drawn.
        features : sequence of int or str, optional
            Numbers or names of features; default: the nine of the largest effects.
        target : class label, optional
            Of a classifier the class whose probability is shown; default: the last one.
        ax : sequence of matplotlib Axes, optional
            As many as features; default: those of a new figure.
        line_kw : dict, optional
            Passed to ``ax.plot`` for the effects.

        Returns
        -------
        FeatureEffectDisplay
            The display, drawn.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        ValueError
            For a feature or a class that there is not, or several outputs.
        ImportError
            Without matplotlib.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator, "coefs_")
        names = [str(name) for name in getattr(estimator, "feature_names_in_", [])]
        columns = X if hasattr(X, "iloc") else np.asarray(X)
        if len(columns) > _AVERAGED_ROWS:
            columns = resample(columns, replace=False, n_samples=_AVERAGED_ROWS, random_state=0)
        d = estimator.n_features_in_
        chosen = list(range(d)) if features is None else [_place(name, names, d) for name in features]
        row, sign = _row_of(estimator, target)
        found = [_effect(estimator, columns, j, row, sign) for j in chosen]
        if features is None:
            sizes = [np.ptp(effect) for _, effect in found]
            largest = sorted(np.argsort(sizes)[::-1][:_PANELS].tolist())
            chosen, found = [chosen[k] for k in largest], [found[k] for k in largest]
        table = np.asarray(columns, dtype=float)
        display = cls(
            grids=[grid for grid, _ in found],
            effects=[effect for _, effect in found],
            knots=[estimator.knots_[j] for j in chosen],
            deciles=[np.quantile(table[:, j], np.linspace(0.1, 0.9, 9)) for j in chosen],
            names=[names[j] if names else f"x{j}" for j in chosen],
        )
        return display.plot(ax=ax, line_kw=line_kw)

    def plot(self, *, ax: Sequence[Axes] | None = None, line_kw: dict[str, Any] | None = None) -> FeatureEffectDisplay:
        """Draw.

        Parameters
        ----------
        ax : sequence of matplotlib Axes, optional
            As many as features; default: those of a new figure.
        line_kw : dict, optional
            Passed to ``ax.plot`` for the effects.

        Returns
        -------
        FeatureEffectDisplay
            The display itself.

        Raises
        ------
        ValueError
            For another number of axes than of features.
        ImportError
            Without matplotlib.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        n = len(self.grids)
        if ax is None:
            width = min(3, n)
            _, axes = plt.subplots(
                ceil(n / width), width, figsize=(3.2 * width, 2.4 * ceil(n / width)), sharey=True, squeeze=False
            )
            for unused in axes.flat[n:]:
                unused.remove()
            axes[0, 0].figure.set_layout_engine("constrained")
            self.axes_ = axes.ravel()[:n]
        else:
            self.axes_ = np.asarray(ax, dtype=object).ravel()
        if len(self.axes_) != n:
            raise ValueError(f"ax must have as many axes as there are features, {n}; got {len(self.axes_)}.")
        self.figure_ = self.axes_[0].figure
        parts = zip(self.axes_, self.grids, self.effects, self.knots, self.deciles, self.names, strict=True)
        for k, (axis, grid, effect, knots, deciles, name) in enumerate(parts):
            (line,) = axis.plot(grid, effect, **({"color": "C0"} | (line_kw or {})))
            inside = knots[(knots >= grid[0]) & (knots <= grid[-1])]
            axis.plot(inside, np.interp(inside, grid, effect), "o", markersize=4, color=line.get_color())
            axis.vlines(deciles, 0, 0.04, transform=axis.get_xaxis_transform(), color="black", lw=0.8)
            axis.set_xlabel(name)
            if k % 3 == 0:
                axis.set_ylabel("effect")
        return self


def _place(name: int | str, names: Sequence[str], d: int) -> int:
    if isinstance(name, str) and name in names:
        return names.index(name)
    if not isinstance(name, str) and name in range(d):
        return int(name)
    raise ValueError(f"features must be among {list(names) or f'0 to {d - 1}'}; got {name!r}.")


def _row_of(estimator: Any, target: Any) -> tuple[int, float]:
    """Return which row of averages is shown, of a classifier that of a class, and with which sign."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        if estimator.n_outputs_ > 1:
            raise ValueError(f"estimator must have one output; got {estimator.n_outputs_}.")
        return 0, 1.0
    labels = np.asarray(classes).tolist()
    if target is not None and target not in labels:
        raise ValueError(f"target must be one of {labels}; got {target!r}.")
    place = len(labels) - 1 if target is None else labels.index(target)
    return (0, 2.0 * place - 1) if len(labels) == 2 else (place, 1.0)


def _effect(estimator: Any, X: Any, j: int, row: int, sign: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return values of a feature, and the mean prediction at these minus its mean."""
    found = partial_dependence(estimator, X, [j], percentiles=(0, 1), grid_resolution=100, method="brute")
    grid, average = np.asarray(found["grid_values"][0], dtype=float), sign * found["average"][row]
    return grid, average - average.mean()
