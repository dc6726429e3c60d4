"""Losses: value, negative functional gradient and curvature, per sample."""

from __future__ import annotations

from torch import Tensor


class SquaredError:
    r"""Half the squared error, :math:`\ell(f, y) = \tfrac12 |y - f|^2`, summed over outputs.

    Its negative functional gradient is the residual and its curvature with respect to f is the identity, so
    Gauss-Newton and an output-layer refit are exact least squares.
    """

    @staticmethod
    def value(F: Tensor, Y: Tensor) -> Tensor:
        """Return the loss of every sample, shape (n,)."""
        return (Y - F).square().sum(1).mul_(0.5)

    @staticmethod
    def negative_gradient(F: Tensor, Y: Tensor) -> Tensor:
        r"""Return :math:`E = -d\ell/df`, shape (n, c)."""
        return Y - F
