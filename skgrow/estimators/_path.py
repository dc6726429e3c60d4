"""The path of globally optimal networks over the strength of the path-norm penalty."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state, check_scalar, check_X_y

from skgrow._messages import warn
from skgrow.estimators._data import shareable, validate_sample_weight

Network = tuple[list[NDArray[np.float64]], list[NDArray[np.float64]]]


def growing_path(
    X: ArrayLike,
    y: ArrayLike,
    *,
    alphas: ArrayLike | None = None,
    n_alphas: int = 20,
    eps: float = 1e-2,
    sample_weight: ArrayLike | None = None,
    max_neurons: int = 100,
    activation: str = "relu",
    tol: float = 1e-8,
    random_state: int | np.random.RandomState | None = 0,
) -> tuple[NDArray[np.float64], list[Network], NDArray[np.float64]]:
    r"""Compute globally optimal networks of one hidden layer over a grid of penalties, from strong to weak.

    For every alpha, with :math:`F(x) = c + \sum_j a_j\, s(w_j \cdot x + b_j)`, this minimises

    .. math:: \sum_i \tfrac{\gamma_i}{2} |y_i - F(x_i)|^2 + \alpha \sum_j |a_j|\, |(w_j, b_j)|

    over all widths, where :math:`\gamma_i` are the sample weights: a lasso over all (leaky) ReLU neurons. Neurons
    are added until the duality gap closes, each network starting from the one before. Inputs are taken as they are: the
    penalty depends on their units.

    With one feature, and with two of at most 1000 samples, the gap is a bound on how far the network is from the
    global minimum. With more, the most useful new neuron is searched for and may be missed: the gap is an estimate from
    below.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Inputs.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets.
    alphas : array-like of shape (n_alphas,), default=None
        Positive penalties. None: ``n_alphas`` of them, from the least one of which the constant is optimal down to
        ``eps`` times that, equidistant on a logarithmic scale.
    n_alphas : int, default=20
        Number of penalties without ``alphas``.
    eps : float, default=1e-2
        Smallest penalty over the largest without ``alphas``.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights; whole numbers count repetitions, others are scaled to a mean of one.
    max_neurons : int, default=100
        Budget of neurons.
    activation : {"relu", "leaky_relu"}, default="relu"
        Activation; the leaky one has slope 0.01 on the negative side.
    tol : float, default=1e-8
        Duality gap, relative to the objective, at which a network counts as optimal.
    random_state : int, RandomState instance or None, default=0
        For the search with many features.

    Returns
    -------
    alphas : ndarray of shape (n_alphas,)
        In descending order.
    networks : list of (coefs, intercepts)
        For every alpha the arrays of :class:`~sklearn.neural_network.MLPRegressor`: ``coefs`` of shapes (n_features,
        width) and (width, n_outputs), ``intercepts`` of shapes (width,) and (n_outputs,).
    dual_gaps : ndarray of shape (n_alphas,)
        Duality gaps, in units of the objective above.

    Raises
    ------
    ValueError
        For parameters that are not allowed.

    Warns
    -----
    ConvergenceWarning
        Where a gap is larger than ``tol`` times the objective.

    Examples
    --------
    >>> import numpy as np
    >>> from skgrow import growing_path
    >>> X = np.linspace(-1, 1, 30)[:, None]
    >>> alphas, networks, gaps = growing_path(X, np.sin(4 * X[:, 0]), n_alphas=4)
    >>> alphas.round(4)
    array([2.7933, 0.6018, 0.1297, 0.0279])
    >>> bool(gaps.max() < 1e-8)
    True
    >>> _, [(coefs, intercepts)], _ = growing_path(X, np.sin(4 * X[:, 0]), alphas=[1.0])
    >>> coefs[0].shape
    (1, 2)
    """
    points, targets = check_X_y(X, y, multi_output=True, y_numeric=True, dtype=np.float64)
    points, targets = shareable(points), shareable(targets)
    weight = validate_sample_weight(sample_weight, len(points))
    check_scalar(n_alphas, "n_alphas", Integral, min_val=1)
    check_scalar(eps, "eps", Real, min_val=0, max_val=1, include_boundaries="right")
    check_scalar(max_neurons, "max_neurons", Integral, min_val=1)
    check_scalar(tol, "tol", Real, min_val=0)
    if activation not in ("relu", "leaky_relu"):
        raise ValueError(f"activation must be 'relu' or 'leaky_relu'; got {activation!r}.")
    if alphas is not None:
        grid = np.sort(check_array(alphas, ensure_2d=False, dtype=np.float64, input_name="alphas"))[::-1]
        if grid.ndim != 1 or not (grid > 0).all():
            raise ValueError(f"alphas must be a sequence of positive numbers; got {alphas!r}.")

    import torch

    from skgrow.growth import PolarSearch, constant_network, polar_maximum
    from skgrow.growth._certificate import optimal_path
    from skgrow.networks import Activation
    from skgrow.problem import Problem, Samples

    samples = Samples.build(points, targets, weight).merged().observed()
    problem = Problem(samples.X, samples.Y, samples.weight)
    generator = torch.Generator().manual_seed(int(check_random_state(random_state).randint(2**31 - 1)))
    network = constant_network(problem, Activation(activation))
    if alphas is None:
        largest = polar_maximum(problem, network, PolarSearch(normalization="parameter"), generator)[0]
        noise = np.finfo(float).resolution * max(1.0, problem.total_weight * float(np.abs(targets).max()))
        grid = np.geomspace(1, eps, n_alphas) * max(largest, noise)
    networks: list[Network] = []
    gaps: list[float] = []
    path = optimal_path(problem, network, grid, max_neurons=max_neurons, tol=tol, generator=generator)
    for alpha, (trained, gap) in zip(grid, path, strict=False):
        weights, biases = trained.network.weights, trained.network.biases
        networks.append(([W.T.numpy().copy() for W in weights], [b.numpy().copy() for b in biases]))
        gaps.append(gap)
        if gap > tol * -trained.criterion * problem.total_weight:
            warn(
                f"The duality gap at alpha={alpha:.3g} is {gap:.3g}; a larger max_neurons may help.",
                ConvergenceWarning,
            )
    return grid[: len(gaps)], networks, np.array(gaps)
