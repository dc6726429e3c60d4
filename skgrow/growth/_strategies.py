r"""Other ways to find new neurons, with the interface of the polar search: baselines to compare it with.

They differ in the neurons they propose. What is taken is scored alike: by the exact decrease of half the squared error
when the block is added and the output refitted.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from skgrow._tolerances import DEPENDENT, SPANNED, TINY
from skgrow.growth._constants import GROWTH
from skgrow.growth._polar import ascend, neuron_features, orthonormal, polar_value
from skgrow.growth._search import (
    Block,
    PolarSearch,
    Search,
    _block,
    _double,
    _normal,
    _one_by_one,
    _weighted_quantiles,
)
from skgrow.networks import Activation
from skgrow.problem import Operator


class _Given(NamedTuple):
    """What a search is called with, in double precision."""

    X: Tensor
    E: Tensor
    g: Tensor
    activation: Activation
    support: float
    generator: torch.Generator
    operator: Operator | None


class _Strategy(Search):
    """A search that proposes neurons and takes, one by one, those that lower the loss the most after a refit."""

    max_samples: int | None

    def _propose(self, given: _Given, size: int) -> Tensor:
        """Return candidates, rows ``(w, b)``."""
        raise NotImplementedError

    def search(
        self,
        X: Tensor,
        E: Tensor,
        g: Tensor,
        activation: Activation,
        *,
        block_size: int,
        basis: Tensor | None = None,
        live: Tensor | None = None,  # noqa: ARG002
        support: float = 0.0,
        generator: torch.Generator,
        operator: Operator | None = None,
    ) -> Block | None:
        """Return a block of new neurons, or None if nothing lowers the loss.

        Parameters
        ----------
        X : Tensor of shape (n, d)
            Layer inputs.
        E : Tensor of shape (n, c)
            Negative functional gradient.
        g : Tensor of shape (n,)
            Sample weights of sum 1.
        activation : Activation
            Of the new neurons.
        block_size : int
            Neurons per block. There are fewer if further ones are in the span of the others.
        basis : Tensor of shape (n, k), optional
            Features that are refitted together with the block; default: the constant.
        live : Tensor of shape (w, d), optional
            Weights of neurons that exist; not used.
        support : float, default=0
            Share of the sample weight that must lie on either side of a random threshold.
        generator : torch.Generator
            On the CPU; makes the search repeatable.
        operator : Operator, optional
            Applied to the neurons; then E, g and basis have its rows.

        Returns
        -------
        Block or None
            Its score is a decrease of half the squared error, in squared units of E.

        Raises
        ------
        ValueError
            For parameters of the component that are not allowed.
        """
        for name, value in self.get_params().items():
            if name in ("n_candidates", "n_steps") and not value >= 1:
                raise ValueError(f"{name} must be at least 1; got {value!r}.")
        like = X
        if operator is None:
            X, E, g, basis = PolarSearch(max_samples=self.max_samples)._subsample(X, E, g, basis, generator)
        X, E, g = _double(X), _double(E), _double(g)
        root = g.sqrt()[:, None]
        Q = orthonormal(E.new_ones(len(E), 1) if basis is None else _double(basis), root)
        V = self._propose(_Given(X, E, g, activation, support, generator, operator), block_size)
        features = neuron_features(X, activation, V, operator) * root
        rest = features - Q @ (Q.T @ features)
        norm = torch.linalg.vector_norm(rest, dim=0)
        usable = norm > SPANNED * torch.linalg.vector_norm(features, dim=0)
        rest = rest * (usable / norm.clamp_min(TINY))
        score, chosen = _one_by_one(rest.T.contiguous(), E * root, rest.new_ones(len(V)), block_size)
        return _block(V[chosen].to(like), 0.5 * score) if score > 0 else None


class RandomSearch(_Strategy):
    """Take the best of random neurons: the one of largest decrease, then the best one given the first, and so on.

    Directions are drawn from a normal distribution in standardised inputs, thresholds from the projected samples, and
    slopes of smooth neurons log-uniformly.

    Parameters
    ----------
    n_candidates : int, default=512
        Neurons drawn; :class:`PolarSearch` tries about as many.
    max_samples : int or None, default=4000
        The search sees at most so many samples, drawn by weight.
    max_extensions, n_exchanges, merge_tol
        As for :class:`PolarSearch`.
    """

    def __init__(
        self,
        n_candidates: int = 512,
        max_samples: int | None = 4000,
        *,
        max_extensions: int | None = None,
        n_exchanges: int | str = "auto",
        merge_tol: float = 1e-6,
    ) -> None:
        self.n_candidates = n_candidates
        self.max_samples = max_samples
        self.max_extensions = max_extensions
        self.n_exchanges = n_exchanges
        self.merge_tol = merge_tol

    def _propose(self, given: _Given, size: int) -> Tensor:  # noqa: ARG002
        return _random_neurons(given, self.n_candidates)


class GradMax(_Strategy):
    r"""Start new neurons where the gradient of their outgoing weights is largest under a linear activation.

    With outgoing weights zero, neurons of incoming weights :math:`v = (w, b)` have the gradient :math:`E^T_g s(Zv)`,
    :math:`Z = (X, 1)`. For :math:`s(t) = t` its norm over orthonormal v is largest for the right singular vectors of
    the c x (d + 1) matrix :math:`E^T_g Z`, by falling singular value.

    The rank of the matrix, at most c, caps what is found: the residual of a network that has learned the linear part
    of its targets is orthogonal to Z, and nothing is left for the singular vectors to say. Neurons of a block beyond
    the rank have random directions in the orthogonal complement. For (leaky) ReLU each singular vector comes with both
    signs, that of larger gradient first. Smooth neurons are scaled to pre-activations of mean square 1.

    Parameters
    ----------
    max_samples : int or None, default=4000
        The search sees at most so many samples, drawn by weight.
    max_extensions, n_exchanges, merge_tol
        As for :class:`PolarSearch`.

    References
    ----------
    U. Evci, B. van Merrienboer, T. Unterthiner, M. Vladymyrov, F. Pedregosa, "GradMax: growing neural networks using
    gradient information", ICLR 2022.
    """

    def __init__(
        self,
        max_samples: int | None = 4000,
        *,
        max_extensions: int | None = None,
        n_exchanges: int | str = "auto",
        merge_tol: float = 1e-6,
    ) -> None:
        self.max_samples = max_samples
        self.max_extensions = max_extensions
        self.n_exchanges = n_exchanges
        self.merge_tol = merge_tol

    def _propose(self, given: _Given, size: int) -> Tensor:
        X, E, g, activation, _, generator, operator = given
        d = X.shape[1]
        coordinates = torch.eye(d + 1, dtype=X.dtype, device=X.device)
        Z = neuron_features(X, Activation("identity"), coordinates, operator)
        root = g.sqrt()[:, None]
        _, gain, V = torch.linalg.svd((E * root).T @ (Z * root), full_matrices=False)
        V = V[gain > DEPENDENT * torch.linalg.vector_norm(E * root) * torch.linalg.vector_norm(Z * root)]
        further = _normal((size if len(V) <= d else 0, d + 1), generator, X)
        further = further - (further @ V.T) @ V
        further = further / torch.linalg.vector_norm(further, dim=1, keepdim=True)
        if activation.is_piecewise_linear:
            both = torch.stack([V, -V], 1)
            values = polar_value(X, E, g, activation, both.flatten(0, 1), "parameter", operator=operator)
            first = values.view(len(V), 2).argmax(1)
            V = torch.where((first == 0)[:, None, None], both, -both).flatten(0, 1)
        V = torch.cat([V, further])[:size]
        if activation.is_piecewise_linear:
            return V
        inner = X @ V[:, :-1].T + V[:, -1]
        mean_square = g.view(-1, len(X)).sum(0) / g.sum() @ inner.square()
        return V / mean_square.sqrt().clamp_min(TINY)[:, None]


class Firefly(_Strategy):
    """Take random neurons of largest first-order decrease after a few steps of ascent on it.

    The decrease is counted per norm of the centred feature. It knows nothing of the other neurons: the neurons of
    a block may resemble each other and those that exist.

    Parameters
    ----------
    n_candidates : int, default=128
        Neurons drawn, as by :class:`RandomSearch`.
    n_steps : int, default=5
        Steps of ascent.
    max_samples : int or None, default=4000
        The search sees at most so many samples, drawn by weight.
    max_extensions, n_exchanges, merge_tol
        As for :class:`PolarSearch`.

    References
    ----------
    L. Wu, B. Liu, P. Stone, Q. Liu, "Firefly neural architecture descent: a general approach for growing neural
    networks", NeurIPS 2020.
    """

    def __init__(
        self,
        n_candidates: int = 128,
        n_steps: int = 5,
        max_samples: int | None = 4000,
        *,
        max_extensions: int | None = None,
        n_exchanges: int | str = "auto",
        merge_tol: float = 1e-6,
    ) -> None:
        self.n_candidates = n_candidates
        self.n_steps = n_steps
        self.max_samples = max_samples
        self.max_extensions = max_extensions
        self.n_exchanges = n_exchanges
        self.merge_tol = merge_tol

    def _propose(self, given: _Given, size: int) -> Tensor:
        X, E, g, activation, _, _, operator = given
        V = _random_neurons(given, self.n_candidates)
        V = ascend(X, E, g, activation, V, n_steps=self.n_steps, operator=operator)
        values = polar_value(X, E, g, activation, V, operator=operator)
        return V[values.argsort(descending=True, stable=True)[:size]]


def _random_neurons(given: _Given, count: int) -> Tensor:
    """Draw neurons ``(w, b)``: normal directions in standardised inputs, thresholds between samples.

    A threshold lies anywhere between a random quantile of the projection and the next sample: kinks that fall on
    samples leave ties, and derivatives there are undefined.
    """
    X, _, g, activation, support, generator, _ = given
    weight = g.view(-1, len(X)).sum(0)  # of the points, for an operator of several components
    weight = weight / weight.sum()
    scale = (weight @ (X - weight @ X).square()).sqrt()
    W = _normal((count, X.shape[1]), generator, X) * torch.where(scale > 0, 1 / scale, torch.zeros_like(scale))
    uniform = torch.rand(3, count, 1, generator=generator, dtype=torch.float64).to(X)
    P = W @ X.T
    ordered, order = P.sort(dim=1)
    levels = support + (1 - 2 * support) * uniform[0]
    below = _weighted_quantiles(ordered, weight[order].cumsum(1), levels)
    above = torch.where(below < P, P, torch.inf).amin(1, keepdim=True)
    above = torch.where(torch.isfinite(above), above, below)
    V = torch.cat([W, uniform[1] * (below - above) - below], 1)
    if activation.is_piecewise_linear:
        return V
    low, high = GROWTH.random_slopes
    deviation = ((P - (P @ weight)[:, None]).square() @ weight).sqrt().clamp_min(TINY)
    return V * low * (high / low) ** uniform[2] / deviation[:, None]
