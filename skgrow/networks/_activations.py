"""Activation functions with their derivatives, and graduated smoothing of the piecewise linear ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

#: Names accepted wherever skgrow takes an activation, as in :class:`~sklearn.neural_network.MLPRegressor`
#: plus ``"leaky_relu"``.
ACTIVATIONS = ("identity", "logistic", "relu", "leaky_relu", "tanh")


@dataclass(frozen=True)
class Activation:
    r"""An activation function :math:`s` and its derivative.

    The (leaky) ReLU :math:`s(z) = \max(z, \delta z)` can be smoothed: on :math:`|z| \le \varepsilon` the kink is
    replaced by the parabola that makes :math:`s` continuously differentiable. Descent on a smoothed network
    sees the mean of the gradient over the samples near a kink and not the jumps from sample to sample, which
    otherwise hold a kink where it is.

    Parameters
    ----------
    name : {"identity", "logistic", "relu", "leaky_relu", "tanh"}
        The function.
    slope : float, default=0.01
        Slope of ``"leaky_relu"`` on the negative side, in [0, 1).
    """

    name: str
    slope: float = 0.01

    def __post_init__(self) -> None:
        if self.name not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {list(ACTIVATIONS)}; got {self.name!r}.")
        if not 0 <= self.slope < 1:
            raise ValueError(f"slope must lie in [0, 1); got {self.slope!r}.")

    @property
    def appended(self) -> Activation:
        """Activation of neurons appended to a layer."""
        return self

    def of(self, neurons: Tensor) -> Activation:  # noqa: ARG002
        """Return the activation of some neurons (indices in ascending order) of a layer."""
        return self

    @property
    def negative_slope(self) -> float:
        """Slope on the negative side of a piecewise linear activation."""
        return self.slope if self.name == "leaky_relu" else 0.0

    @property
    def is_piecewise_linear(self) -> bool:
        """Whether the function is the (leaky) ReLU, hence positively homogeneous of degree one."""
        return self.name in ("relu", "leaky_relu")

    def value(self, Z: Tensor, width: Tensor | None = None) -> Tensor:
        """Return ``s(Z)``; ``width`` is the half width of smoothing per neuron (last axis of ``Z``)."""
        if self.name == "identity":
            return Z
        if self.name == "tanh":
            return torch.tanh(Z)
        if self.name == "logistic":
            return torch.sigmoid(Z)
        if width is None:
            positive = Z.clamp_min(0)
        else:
            positive = width * self._ramp(Z, width).square_() + (Z - width).clamp_min_(0)
        delta = self.negative_slope
        return positive if delta == 0 else positive.mul_(1 - delta).add_(Z, alpha=delta)

    def derivative(self, Z: Tensor, H: Tensor, width: Tensor | None = None) -> Tensor:
        """Return ``s'(Z)``, given also ``H = s(Z)``; zero is counted to the negative side of a kink."""
        if self.name == "identity":
            return torch.ones_like(Z)
        if self.name == "tanh":
            return torch.addcmul(torch.ones((), dtype=H.dtype, device=H.device), H, H, value=-1)
        if self.name == "logistic":
            return H - H * H
        delta = self.negative_slope
        if width is None:  # sign() costs a third of a comparison with its change of type
            return torch.sign(H) if delta == 0 else torch.sign(H).clamp_min_(delta)
        ramp = self._ramp(Z, width)
        return ramp if delta == 0 else ramp.mul_(1 - delta).add_(delta)

    @staticmethod
    def _ramp(Z: Tensor, width: Tensor) -> Tensor:
        return (Z / (2 * width)).add_(0.5).clamp_(0, 1)


@dataclass(frozen=True)
class SideBySide(Activation):
    """Two activations in one layer: its first neurons have the one, all others the other.

    The activation of the direct sum of two networks with one hidden layer each.

    Parameters
    ----------
    name : str
        Of both, such as ``"relu+tanh"``.
    slope : float, default=0.01
        Slope of ``"leaky_relu"`` on the negative side, in [0, 1).
    n_first : int, default=0
        Neurons of the first activation.
    """

    n_first: int = 0

    def __post_init__(self) -> None:
        if len(self.parts) != 2:
            raise ValueError(f"activation must be two names joined by '+'; got {self.name!r}.")

    @classmethod
    def of_parts(cls, first: Activation, second: Activation, n_first: int) -> SideBySide:
        """Return the activation whose first ``n_first`` neurons have the first one."""
        slope = second.slope if second.name == "leaky_relu" else first.slope
        return cls(f"{first.name}+{second.name}", slope, n_first)

    @cached_property
    def parts(self) -> tuple[Activation, ...]:
        """Both activations."""
        return tuple(Activation(name, self.slope) for name in self.name.split("+"))

    @property
    def appended(self) -> Activation:
        """The second one."""
        return self.parts[1]

    def of(self, neurons: Tensor) -> Activation:
        """Return the activation of some neurons (indices in ascending order) of a layer."""
        n_first = int((neurons < self.n_first).sum())
        if n_first in (0, len(neurons)):
            return self.parts[n_first == 0]
        return SideBySide(self.name, self.slope, n_first)

    def value(self, Z: Tensor, width: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return ``s(Z)``, without smoothing."""
        k, (first, second) = self.n_first, self.parts
        return torch.cat([first.value(Z[:, :k]), second.value(Z[:, k:])], 1)

    def derivative(self, Z: Tensor, H: Tensor, width: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return ``s'(Z)``, given also ``H = s(Z)``."""
        k, (first, second) = self.n_first, self.parts
        return torch.cat([first.derivative(Z[:, :k], H[:, :k]), second.derivative(Z[:, k:], H[:, k:])], 1)
