r"""Which features a network may bend along by itself, and where: knots that pay for themselves in an additive model.

The ramps of a :class:`Spline` with independent normal coefficients are a random walk along the feature. In the additive
model of a linear function and such walks, the log evidence says what a feature's walk would bring: with the residual T
of what is in the model, the ramps P without their part in it, and s and u the eigenvalues of :math:`P^T P` and the
coordinates of :math:`P^T T` in its eigenvectors, it grows, at the best noise variance of f free observations of c
outputs, by

.. math::
    \frac{f c}{2} \log \frac{|T|^2}{|T|^2 - \sum_k u_k^2 / (s_k + \lambda)} - \frac c2 \sum_k \log(1 + s_k / \lambda)

at most, over the ratio :math:`\lambda` of noise and steps. Features join the model one after the other, the one of
the largest gain first, each with the number of knots that gains the most, as long as that is more than chance brings
among so many candidates. So few rows, and features that act linearly or only together, get no knots.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skgrow._tolerances import SPANNED_SQUARE, TINY
from skgrow.networks import MLP, Activation
from skgrow.prediction import ramp
from skgrow.problem._constants import ENCODING
from skgrow.problem._coordinates import Spline
from skgrow.problem._samples import weighted_quantiles

if TYPE_CHECKING:
    from skgrow.problem._problem import Problem


class PiecewiseLinear(BaseEstimator):
    """Piecewise linear functions of single features, as further inputs of a network.

    Beside every feature stand ramps between knots, entries of it at quantiles: functions of them bend at the knots and
    are constant beyond the data (Gorishniy, Rubachev and Babenko 2022). The fitted network has them as ReLUs in its
    first hidden layer.

    Parameters
    ----------
    n_knots : int or "auto", default="auto"
        Knots of every feature, the smallest and the largest entry included, at least 3; features of fewer values have
        one at each, those of two values none. ``"auto"``: by the evidence 5, 9, 17 or none, feature by feature.

    References
    ----------
    Y. Gorishniy, I. Rubachev, A. Babenko, "On embeddings for numerical features in tabular deep learning", NeurIPS
    2022.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skgrow import GrowingRegressor
    >>> X, y = make_friedman1(500, noise=0.5, random_state=0)
    >>> est = GrowingRegressor(max_neurons=6, random_state=0).fit(X, y)
    >>> [len(knots) for knots in est.knots_]
    [5, 5, 5, 0, 0, 0, 0, 0, 0, 0]
    """

    def __init__(self, n_knots: int | str = "auto") -> None:
        self.n_knots = n_knots

    def check(self) -> None:
        """Raise ValueError for a number of knots that is not possible."""
        if self.n_knots != "auto" and not (isinstance(self.n_knots, int | np.integer) and self.n_knots >= 3):
            raise ValueError(f"n_knots must be 'auto' or at least 3; got {self.n_knots!r}.")

    def may_take(self, n_observed: float, n: int, d: int) -> bool:
        """Whether d features of n rows, which stand for so many observations, may get knots."""
        if self.n_knots != "auto":
            return True
        enough = n_observed >= ENCODING.knots[0] * ENCODING.samples_per_knot
        return enough and min(n, _most_rows(d)) >= ENCODING.least_rows_per_feature * d

    def of(self, problem: Problem) -> Spline | None:
        """Return the spline for a problem, None if no feature gets knots."""
        self.check()
        X, g = problem.X, problem.g
        if not self.may_take(problem.total_weight, *X.shape):
            return None
        if self.n_knots == "auto":
            knots = _chosen(problem)
        else:
            grids = ((j, knots_of(X[:, j], g, int(self.n_knots))) for j in range(X.shape[1]))
            knots = {j: knot for j, knot in grids if knot is not None}
        if not knots:
            return None
        features = torch.tensor(sorted(knots), device=X.device)
        feature = features.repeat_interleave(torch.tensor([len(knots[int(j)]) for j in features], device=X.device))
        return Spline.of_samples(X, g, feature, torch.cat([knots[int(j)] for j in features]).to(X))


def knots_of(x: Tensor, g: Tensor, n_knots: int) -> Tensor | None:
    """Return knots of one feature, ascending; None if it has fewer than three values.

    Parameters
    ----------
    x : Tensor of shape (n,)
        Its entries.
    g : Tensor of shape (n,)
        Weights of sum 1.
    n_knots : int
        How many; of fewer values all.

    Notes
    -----
    One value, as zero among counts, takes no more than its share of the weight: most knots would lie on it.
    """
    values, place = x.unique(return_inverse=True)
    if len(values) > n_knots:
        share = g.new_zeros(len(values)).index_add_(0, place, g)
        while float(share.max()) > 1.01 * float(share.sum()) / (n_knots - 1):
            share = share.clamp_max(float(share.sum()) / (n_knots - 1))
        levels = [i / (n_knots - 1) for i in range(1, n_knots - 1)]
        inner = weighted_quantiles(values[:, None], share / share.sum(), levels)
        values = torch.cat([values[:1], *inner, values[-1:]]).unique()
    return values if len(values) > 2 else None


def _most_rows(d: int) -> int:
    """Return how many rows choose knots of d features, at most."""
    return min(ENCODING.choosing_rows, ENCODING.choosing_entries // d)


def _chosen(problem: Problem) -> dict[int, Tensor]:
    """Return the knots of the features that get some."""
    d, c = problem.X.shape[1], problem.Y.shape[1]
    most = _most_rows(d)
    constant = MLP((d, 0, c), problem.X.new_zeros(c), Activation("identity"))
    rows = slice(None, None, math.ceil(problem.n_samples / most))
    some = problem.negative_gradient(constant)[rows]
    X, E, g = (a.to("cpu", torch.float64) for a in (problem.X[rows], some, problem.g[rows]))
    model = _Additive(X, E, g / g.sum(), problem.total_weight * len(X) / problem.n_samples)
    while model.grow():
        pass
    return model.knots


class _Additive:
    """An additive model, to which features are added one after the other.

    Parameters
    ----------
    X : Tensor of shape (n, d)
        Inputs.
    E : Tensor of shape (n, c)
        What is to be explained.
    g : Tensor of shape (n,)
        Weights of sum 1.
    n_observed : float
        How many observations the rows amount to.
    """

    def __init__(self, X: Tensor, E: Tensor, g: Tensor, n_observed: float) -> None:
        self.X, self.g, self.root = X, g, g.sqrt()[:, None]
        U, size, _ = torch.linalg.svd(self.root * torch.cat([torch.ones_like(X[:, :1]), X], 1), full_matrices=False)
        #: Orthonormal columns that span what is in the model.
        self.known = [U[:, size > len(X) * torch.finfo(U.dtype).eps * size[0]]]
        self.T = self._without(self.root * E)
        self.free = n_observed - self.known[0].shape[1]
        self.knots: dict[int, Tensor] = {}
        left = [j for j in range(X.shape[1]) if knots_of(X[:, j], g, 3) is not None]
        self.least = 1 + math.log(max(1, len(left) * len(ENCODING.knots)))
        self.affordable = [m for m in ENCODING.knots if m * ENCODING.samples_per_knot <= n_observed]
        self.tried = min([ENCODING.tried_knots, *self.affordable[-1:]])
        #: Ramps of the features left, without their part in the model, shape (n, m) each.
        self.first = {j: self._ramps(j, self.tried) for j in left} if self.affordable else {}

    def _without(self, A: Tensor) -> Tensor:
        for Q in self.known:
            A = A - Q @ (Q.T @ A)
        return A

    def _ramps(self, j: int, n_knots: int) -> Tensor:
        knots = self._grid(j, n_knots)
        return self._without(self.root * ramp(self.X[:, j : j + 1], knots[:-1], knots[1:]))

    def _grid(self, j: int, n_knots: int) -> Tensor:
        found = knots_of(self.X[:, j], self.g, n_knots)
        return self.X[:0, j] if found is None else found

    def _gain(self, P: Tensor) -> tuple[float, Tensor, float]:
        """Return what ramps would add to the log evidence, the residual then, and their effective parameters."""
        c = self.T.shape[1]
        s, V = torch.linalg.eigh(P.T @ P)
        s = s.clamp_min(0)
        U = V.T @ (P.T @ self.T)
        total = self.T.square().sum()
        if not float(s[-1] * len(s)) > SPANNED_SQUARE or not float(total) > 0:
            return -math.inf, self.T, 0.0
        low, high, count = ENCODING.noise_ratios
        ratio = s[-1] * torch.logspace(math.log10(low), math.log10(high), count, dtype=s.dtype)[:, None]
        left = total - (U.square().sum(1) / (s + ratio)).sum(1)
        gain = 0.5 * c * (self.free * (total / left.clamp_min(TINY * total)).log() - (1 + s / ratio).log().sum(1))
        best = int(gain.argmax())
        shrunk = U / (s + ratio[best])[:, None]
        return float(gain[best]), self.T - P @ (V @ shrunk), float((s / (s + ratio[best])).sum())

    def grow(self) -> bool:
        """Add the feature of the largest gain; return whether one was added."""
        if not self.first:
            return False
        j = max(self.first, key=lambda j: self._gain(self.first[j])[0])
        found = []
        for n_knots in self.affordable:
            P = self.first[j] if n_knots == self.tried else self._ramps(j, n_knots)
            found.append((*self._gain(P), n_knots, P))
        gain, T, effective, n_knots, P = max(found, key=lambda candidate: candidate[0])
        if not gain > self.least:
            return False
        self.knots[j], self.T, self.free = self._grid(j, n_knots), T, self.free - effective
        U, size, _ = torch.linalg.svd(P, full_matrices=False)
        Q = U[:, size > math.sqrt(SPANNED_SQUARE)]
        self.known.append(Q)
        self.first = {i: A - Q @ (Q.T @ A) for i, A in self.first.items() if i != j}
        return True
