r"""Linear operators on functions: the network F is fitted so that HF, and not F itself, meets the targets.

This is the operator of eq. (2) of Feischl, Rieder and Zehetgruber. Derivative data and linear differential equations
are of this form; with quadrature weights as sample weights the loss is the squared residual norm.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Function = Callable[[Tensor], Tensor]


class Operator:
    """A linear operator applied to many scalar functions at once, in the units a network is trained in.

    Parameters
    ----------
    rule : callable
        ``rule(f, X)``: f maps points (n, d) to (n, k), k functions in columns; returns their images in columns, with
        ``n * n_components`` rows, component by component.
    n_components : int
        Rows per sample.
    shift, scale : Tensor of shape (d,)
        The network's inputs are ``(x - shift) / scale``; the rule sees functions of x.
    unit : float, default=1.0
        Images are divided by it.
    given : tuple of two Tensors of shape (n, d), optional
        Training points in units of training, and as they were given. The rule sees these, to the last bit, and not what
        is left of them after a change of units and back, so that it can tell boundary points by comparison.
    """

    def __init__(
        self,
        rule: Callable[[Function, Tensor], Tensor],
        n_components: int,
        shift: Tensor,
        scale: Tensor,
        unit: float = 1.0,
        given: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.rule, self.n_components, self.shift, self.scale, self.unit = rule, n_components, shift, scale, unit
        self.given = given

    def __call__(self, function: Function, X: Tensor) -> Tensor:
        """Return the images of the columns of ``function`` at the points X, shape (n * n_components, k)."""
        shift, scale = self.shift.to(X), self.scale.to(X)
        return self.rule(lambda x: function((x - shift) / scale), self._as_given(X, X * scale + shift)) / self.unit

    def _as_given(self, X: Tensor, back: Tensor) -> Tensor:
        """Return the training points as given where ``X`` are these, otherwise ``back``."""
        if self.given is None or not torch.equal(self.given[0].to(X), X):
            return back
        return self.given[1].to(X)

    def typical_size(self, X: Tensor) -> float:
        """Return the root mean square of the images of random functions of the network's inputs, of size one."""
        size = float(self(_random_functions(X), X).square().mean().sqrt())
        return size if 0 < size < math.inf else 1.0

    def through(self, inner: Function, X: Tensor) -> Composed:
        """Return the operator on functions of the features ``inner(x)``, at the points X."""
        return Composed(self, inner, X)

    def stacked(self, Y: Tensor) -> Tensor:
        """Return targets (n, n_components * c) as rows (n * n_components, c), component by component."""
        return torch.cat(Y.chunk(self.n_components, dim=1))

    def unstacked(self, F: Tensor) -> Tensor:
        """Undo :meth:`stacked`."""
        return torch.cat(F.chunk(self.n_components), dim=1)


class Composed(Operator):
    """An operator applied to functions of features: ``H (f o inner)``, always at the same points."""

    def __init__(self, operator: Operator, inner: Function, points: Tensor) -> None:
        self.operator, self.inner, self.points = operator, inner, points
        self.n_components = operator.n_components

    def __call__(self, function: Function, X: Tensor) -> Tensor:
        """Return the images at the points; of X, their features, the precision alone is needed."""
        return self.operator(lambda x: function(self.inner(x).to(X)), self.points).to(X)


def derivative(direction: Tensor) -> Callable[[Function, Tensor], Tensor]:
    """Return the rule of the derivative along a vector of shape (d,)."""

    def rule(f: Function, X: Tensor) -> Tensor:
        return torch.func.jvp(f, (X,), (direction.to(X).expand_as(X).contiguous(),))[1]

    return rule


def gradient(d: int) -> Callable[[Function, Tensor], Tensor]:
    """Return the rule of all d partial derivatives, one after the other."""
    partial = [derivative(unit) for unit in torch.eye(d, dtype=torch.float64)]

    def rule(f: Function, X: Tensor) -> Tensor:
        return torch.cat([along(f, X) for along in partial])

    return rule


def is_linear(rule: Callable[[Function, Tensor], Any], X: Tensor, tol: float = 1e-6) -> bool:
    r"""Whether ``rule`` maps two random functions and their combination linearly and column by column."""
    mix = torch.tensor([[1.0, 0.0, 1.7], [0.0, 1.0, -0.6]]).to(X)
    pair = _random_functions(X)
    separate = torch.cat([rule(lambda x: pair(x)[:, :1], X), rule(lambda x: pair(x)[:, 1:], X)], 1)
    together = rule(lambda x: pair(x) @ mix, X)
    return bool((together - separate @ mix).abs().max() <= tol * together.abs().max().clamp_min(tol))


def _random_functions(X: Tensor) -> Function:
    """Return two smooth random functions in columns."""
    generator = torch.Generator().manual_seed(0)
    W, phase = torch.randn(X.shape[1], 2, generator=generator).to(X), torch.randn(2, generator=generator).to(X)
    return lambda x: torch.sin(x @ W + phase) + 0.5 * phase
