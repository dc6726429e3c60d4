"""The two sides of every layer: what they learn from samples and how they divide a gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from sklearn.base import clone
from torch import Tensor

from skgrow.networks import patches
from skgrow.preconditioning._covariance import Covariance, SecondMoment
from skgrow.preconditioning._inner_products import Euclidean, InnerProduct, Sobolev
from skgrow.problem import Loss

#: Short names.
INNER_PRODUCTS = {
    "euclidean": Euclidean,
    "covariance": Covariance,
    "second_moment": SecondMoment,
    "sobolev": Sobolev,
}


def component(given: Any) -> InnerProduct:
    """Return an inner product for a name, or a fresh copy of a component."""
    if isinstance(given, str):
        if given not in INNER_PRODUCTS:
            raise ValueError(f"inner products are {sorted(INNER_PRODUCTS)} or components; got {given!r}.")
        return INNER_PRODUCTS[given]()
    if not isinstance(given, InnerProduct):
        raise ValueError(f"inner products are {sorted(INNER_PRODUCTS)} or components; got {given!r}.")
    return clone(given)


@dataclass
class Layer:
    """One map with its two sides."""

    input: InnerProduct
    output: InnerProduct
    homogeneous: bool
    centred: bool = False
    unit: float = 1.0  # of the inputs' mean: the root of the number of pixels of a convolution
    eigen: tuple[Tensor, ...] | None = None

    def damp(self, gamma: float, split: str) -> None:
        """Give damping to both sides."""
        pi, root = 1.0, gamma
        if split == "pi" and isinstance(self.input, Covariance) and isinstance(self.output, Covariance):
            root = math.sqrt(gamma)
            variances = self.input.mean_variance(), self.output.mean_variance()
            if min(variances) > 0 and max(variances) < math.inf:
                pi = math.sqrt(variances[0] / variances[1])
        for side, damping in ((self.input, pi * root), (self.output, root / pi)):
            side.damp(damping)
            if isinstance(side, Covariance):
                side.refresh()
        self.eigen = None

    def divide(self, G: Tensor) -> Tensor:
        r"""Return :math:`R_Y^{-1} G R_X` of a gradient (out, in)."""
        return self.input.apply(self.output.solve(G.T).T)  # in this order the result's rows are contiguous

    def divide_by_sum(self, G: Tensor, rho: float) -> Tensor:
        """Return D with rho (D A + B D) = G, up to the damping of both sides."""
        if self.eigen is None:
            assert isinstance(self.input, Covariance) and isinstance(self.output, Covariance)  # noqa: S101, PT018
            self.eigen = (*torch.linalg.eigh(self.input.covariance()), *torch.linalg.eigh(self.output.covariance()))
        lam, U, mu, V = self.eigen
        damping = self.input.damping_ + self.output.damping_
        total = lam.clamp_min(0) + mu.clamp_min(0)[:, None] + damping
        return V @ ((V.T @ G @ U) / (rho * total)) @ U.T

    def affine(self, G: Tensor, g: Tensor | None, divide: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor | None]:
        """Return the preconditioned gradients of weights and bias.

        Second moments have the bias as a weight of the input 1. With a centred covariance the layer is
        :math:`y = W (x - m) + c` with the mean m of its inputs, whose c is divided by the output side alone: moments of
        centred inputs know nothing of the direction m, in which steps would otherwise be as long as the damping allows.
        """
        if g is None:
            return divide(G), None
        if self.homogeneous:
            D = divide(torch.cat([G, g[:, None]], 1))
            return D[:, :-1], D[:, -1]
        bias = self.output.solve(g[None])[0]
        if not self.centred:
            return divide(G), bias
        mean = self.input.mean_ / self.unit
        D = divide(G - g[:, None] * mean)
        return D, bias - D @ mean


def make_layers(settings: Any, shapes: Sequence[tuple[Any, bool, str]], like: Tensor) -> list[Layer]:
    """Return the sides of all maps, given the shapes of their weights, whether they have biases, and names."""
    layers = []
    for i, (shape, bias, name) in enumerate(shapes):
        inner, outer = component(settings.input), component(settings.output)
        if inner.only_ends and i > 0:
            inner = Euclidean()
        if outer.only_ends and i < len(shapes) - 1:
            outer = Euclidean()
        fan_in = math.prod(shape[1:])
        homogeneous = bias and isinstance(inner, Covariance) and not inner.centered
        inner.bind(fan_in + homogeneous, like, "input", name)
        outer.bind(shape[0], like, "output", name)
        centred = bias and isinstance(inner, Covariance) and inner.centered
        layers.append(Layer(inner, outer, homogeneous, centred))
    return layers


def learn(layer: Layer, x: Tensor, d: Tensor | None, weight: Tensor) -> None:
    """Give samples to the sides of a map: its inputs, and derivatives of single losses (k draws of every row)."""
    scale = 1.0
    if x.ndim == 4:
        x = patches(x)
    if x.ndim == 3:  # pixels by pixels: inputs summed over them, derivatives averaged
        pixels = x.shape[1]
        scale = layer.unit = math.sqrt(pixels)
        x, input_weight = x.flatten(0, 1), (weight / pixels).repeat_interleave(pixels)
    else:
        input_weight = weight
    if layer.homogeneous:
        x = torch.cat([x, x.new_ones(len(x), 1)], 1)
    if layer.input.learns:
        layer.input.update(x * scale if scale != 1 else x, input_weight)
    if layer.output.learns and d is not None:
        if d.ndim == 4:
            d = d.flatten(2).transpose(1, 2).flatten(0, 1)
        draws = len(d) // len(input_weight)
        # k draws of a row are added up: their sum is its Fisher matrix
        rows = d * math.sqrt(draws) if draws > 1 else d
        layer.output.update(rows, (input_weight / draws).repeat(draws) if draws > 1 else input_weight)


def fisher_seeds(loss: Loss, F: Tensor, E: Tensor, fisher: str, generator: torch.Generator) -> Tensor:
    r"""Return derivatives at the outputs whose second moment is the curvature of the loss, shape (n, c) or (k, n, c).

    Of targets drawn from the model :math:`E[d d^T]` is the Fisher matrix H, which for these losses is the curvature.
    Any :math:`d = \sum_k \varepsilon_k r_k` with the rows r of a root of H and independent signs has the same moment,
    whatever the loss: this is what ``"mc"`` draws.
    """
    if fisher == "empirical":
        return -E
    roots = loss.curvature_root(F, F)
    n, c = F.shape
    if fisher == "exact":
        return torch.eye(c, dtype=F.dtype, device=F.device).unsqueeze(1).expand(c, n, c) if roots is None else roots
    signs = torch.randint(0, 2, (c, n), generator=generator).to(F) * 2 - 1
    return signs.T if roots is None else torch.einsum("kn,knc->nc", signs, roots)


def widen_side(side: InnerProduct, size: int, homogeneous: bool) -> None:
    """Pad a side; the constant 1 of a homogeneous input stays last."""
    old = side.size_
    side.widen(size)
    if homogeneous and isinstance(side, Covariance):
        order = torch.tensor([*range(old - 1), *range(old, size), old - 1], device=side.mean_.device)
        side.mean_, side.diagonal_, side.rows_ = side.mean_[order], side.diagonal_[order], side.rows_[:, order]
        if side.moment_ is not None:
            side.moment_ = side.moment_[order][:, order]
        if side.inverse_ is not None:
            side.inverse_ = side.inverse_[order][:, order]
