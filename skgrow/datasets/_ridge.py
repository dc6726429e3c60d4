r"""Ridge functions on the unit cube, and how well piecewise linear functions can approximate them.

The tasks are those of Feischl, Rieder and Zehetgruber, "Towards optimal hierarchical training of neural networks",
section 6: :math:`y = g(t)` with :math:`t = x_1 + \dots + x_d` and x uniform on :math:`[0, 1]^d`. A network of one
hidden ReLU layer that has found the direction is a piecewise linear function of t with one knot per neuron, so the
error of the best free-knot approximation of g under the density of t is the error to aim at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.interpolate import BSpline
from sklearn.utils import check_random_state


class _Profile(NamedTuple):
    """A ridge function of d variables: the profile g of their sum, and its second derivative."""

    n_features: int
    value: Callable[[Any], Any]
    curvature: Callable[[Any], Any]


_PROFILES = {
    "2d": _Profile(2, lambda t: t**2 / 2, lambda t: 1.0 + 0 * t),
    "3d": _Profile(3, lambda t: t**2 / 3, lambda t: 2 / 3 + 0 * t),
    "root": _Profile(2, lambda t: t ** (2 / 3), lambda t: -2 / 9 * t ** (-4 / 3)),
    "10d": _Profile(10, lambda t: t**2 / 10, lambda t: 1 / 5 + 0 * t),
}


def make_ridge(
    profile: str = "2d", n_samples: int = 2000, *, random_state: Any = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Generate a ridge function of uniformly distributed points.

    Parameters
    ----------
    profile : {"2d", "3d", "root", "10d"}, default="2d"
        The function of :math:`t = x_1 + \dots + x_d`:

        - ``"2d"``: :math:`t^2 / 2` of 2 variables
        - ``"3d"``: :math:`t^2 / 3` of 3 variables
        - ``"root"``: :math:`t^{2/3}` of 2 variables, of unbounded curvature at the origin
        - ``"10d"``: :math:`t^2 / 10` of 10 variables

    n_samples : int, default=2000
        Number of points.

    random_state : int, RandomState instance or None, default=None
        For the points. Pass an int for repeatable results.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
        Points, uniform on the unit cube.
    y : ndarray of shape (n_samples,)
        Values, without noise.

    Raises
    ------
    ValueError
        For an unknown profile or a negative number of points.

    See Also
    --------
    free_knot_limit : The error to aim at.

    Examples
    --------
    >>> from skgrow.datasets import make_ridge
    >>> X, y = make_ridge("3d", 4, random_state=0)
    >>> X.shape, y.shape
    ((4, 3), (4,))
    >>> bool((abs(y - X.sum(1) ** 2 / 3) < 1e-12).all())
    True
    """
    found = _look_up(profile)
    if n_samples < 0:
        raise ValueError(f"n_samples must not be negative; got {n_samples!r}.")
    X = check_random_state(random_state).uniform(size=(n_samples, found.n_features))
    return X, found.value(X.sum(axis=1))


def free_knot_limit(profile: str, n_neurons: int) -> float:
    r"""Return the root mean squared error of the best piecewise linear approximation of a ridge profile.

    To leading order in the number :math:`N` of pieces, with p the density of t,

    .. math:: \frac{N^{-2}}{\sqrt{720}} \Big( \int \big(g''(t)^2\, p(t)\big)^{1/5} dt \Big)^{5/2}, \qquad
        N = n_{neurons} + 1:

    on a piece of length h the best linear function leaves :math:`g''^2 p\, h^5 / 720` of the squared error, and
    pieces are best when each leaves the same.

    Parameters
    ----------
    profile : {"2d", "3d", "root", "10d"}
        As in :func:`make_ridge`.
    n_neurons : int
        Number of knots, not negative.

    Returns
    -------
    float
        The asymptotic limit.

    Raises
    ------
    ValueError
        For an unknown profile or a negative number of neurons.

    References
    ----------
    C. de Boor, "Good approximation by splines with variable knots", 1973.

    Examples
    --------
    >>> from skgrow.datasets import free_knot_limit
    >>> print(f"{free_knot_limit('2d', 42):.1e}")
    7.2e-05
    """
    if n_neurons < 0:
        raise ValueError(f"n_neurons must not be negative; got {n_neurons!r}.")
    density = _knot_density(profile)
    pieces = range(_look_up(profile).n_features)
    integral = sum(quad(density, k, k + 1)[0] for k in pieces)
    return float(integral**2.5 / np.sqrt(720) / (n_neurons + 1) ** 2)


def sum_density(n_features: int) -> Callable[[Any], Any]:
    """Return the density of the sum of uniform variables (Irwin and Hall): the cardinal B-spline.

    Parameters
    ----------
    n_features : int
        Number of variables, at least 1.
    """
    spline = BSpline.basis_element(np.arange(n_features + 1), extrapolate=False)
    return lambda t: np.nan_to_num(spline(t)).clip(0)


def free_knots(profile: str, n_knots: int, interval: tuple[float, float]) -> NDArray[np.float64]:
    """Return asymptotically optimal knots inside an interval: equal shares of the knot density's integral.

    Parameters
    ----------
    profile : {"2d", "3d", "root", "10d"}
        As in :func:`make_ridge`.
    n_knots : int
        Number of knots.
    interval : tuple of float
        Positive start and end of the range of t.

    Returns
    -------
    ndarray of shape (n_knots,)
        In increasing order, inside the interval.
    """
    grid = np.union1d(np.linspace(*interval, 4001), np.geomspace(*interval, 4001))
    middle = (grid[1:] + grid[:-1]) / 2
    share = np.append(0, np.cumsum(_knot_density(profile)(middle) * np.diff(grid)))
    return np.interp(np.arange(1, n_knots + 1) / (n_knots + 1) * share[-1], share, grid)


def _knot_density(profile: str) -> Callable[[Any], Any]:
    found = _look_up(profile)
    density = sum_density(found.n_features)
    return lambda t: (found.curvature(t) ** 2 * density(t)) ** 0.2


def _look_up(profile: str) -> _Profile:
    if profile not in _PROFILES:
        raise ValueError(f"profile must be one of {sorted(_PROFILES)}; got {profile!r}.")
    return _PROFILES[profile]
