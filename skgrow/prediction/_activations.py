"""Activation functions with their derivatives, of tensors and of arrays, and smoothing of the piecewise linear ones.

Training computes with tensors, prediction with arrays. Both forms of a function stand side by side, and nothing here
imports PyTorch before there is a tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

if TYPE_CHECKING:
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

    def same_as(self, other: Activation) -> bool:
        """Whether the other one is the same function."""
        return self.name == other.name and self.negative_slope == other.negative_slope

    @property
    def parts(self) -> tuple[Activation, ...]:
        """Activations of one function each in a layer."""
        return (self,)

    @property
    def bounds(self) -> tuple[int, ...]:
        """Where the neurons of every part but the first begin."""
        return ()

    @property
    def appended(self) -> Activation:
        """Activation of neurons appended to a layer."""
        return self.parts[-1]

    def of(self, neurons: Tensor) -> Activation:  # noqa: ARG002
        """Return the activation of some neurons (indices in ascending order) of a layer."""
        return self

    def of_layer(self, i: int) -> Activation:  # noqa: ARG002
        """Return the activation of hidden layer i, from 0."""
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
            return Z.tanh()
        if self.name == "logistic":
            return Z.sigmoid()
        if width is None:
            positive = Z.clamp_min(0)
        else:
            positive = width * self._ramp(Z, width).square_() + (Z - width).clamp_min_(0)
        delta = self.negative_slope
        return positive if delta == 0 else positive.mul_(1 - delta).add_(Z, alpha=delta)

    def derivative(self, Z: Tensor, H: Tensor, width: Tensor | None = None) -> Tensor:
        """Return ``s'(Z)``, given also ``H = s(Z)``; zero is counted to the negative side of a kink."""
        if self.name == "identity":
            return Z.new_ones(Z.shape)
        if self.name == "tanh":
            return H.new_ones(()).addcmul(H, H, value=-1)
        if self.name == "logistic":
            return H - H * H
        delta = self.negative_slope
        if width is None:  # sign() costs a third of a comparison with its change of type
            return H.sign() if delta == 0 else H.sign().clamp_min_(delta)
        ramp = self._ramp(Z, width)
        return ramp if delta == 0 else ramp.mul_(1 - delta).add_(delta)

    def apply(self, Z: np.ndarray) -> None:
        """Replace an array Z of shape (w, n), a row for every neuron, by ``s(Z)``, without smoothing."""
        if self.name == "tanh":
            np.tanh(Z, out=Z)
        elif self.name == "logistic":
            expit(Z, out=Z)
        elif self.is_piecewise_linear:
            delta = self.negative_slope
            np.maximum(Z, 0.0 if delta == 0 else delta * Z, out=Z)

    def slopes(self, H: np.ndarray) -> np.ndarray:
        """Return ``s'(Z)`` without smoothing, given an array ``H = s(Z)``."""
        if self.name == "identity":
            return np.ones_like(H)
        if self.name == "tanh":
            return 1 - H * H
        if self.name == "logistic":
            return H - H * H
        return np.where(H > 0, 1.0, self.negative_slope)

    @staticmethod
    def _ramp(Z: Tensor, width: Tensor) -> Tensor:
        return (Z / (2 * width)).add_(0.5).clamp_(0, 1)


@dataclass(frozen=True, init=False)
class SideBySide(Activation):
    """Several activations in one layer: every neuron has the one of its part.

    The activation of the direct sum of networks with one hidden layer each. Its name is theirs joined, such as
    ``"relu+tanh"``.

    Parameters
    ----------
    parts : sequence of Activation
        Two or more, each with one function.
    bounds : sequence of int
        Where the neurons of every part but the first begin, ascending; all others are of the last one.
    """

    parts: tuple[Activation, ...] = (Activation("relu"), Activation("tanh"))
    bounds: tuple[int, ...] = (0,)

    def __init__(self, parts: Sequence[Activation], bounds: Sequence[int]) -> None:
        if any(isinstance(part, SideBySide) for part in parts) or len(parts) != len(bounds) + 1 or len(parts) < 2:
            raise ValueError(f"parts must be activations of one function each, one more than bounds; got {parts}.")
        values = {"name": "+".join(part.name for part in parts), "slope": parts[0].slope}
        for key, value in (values | {"parts": tuple(parts), "bounds": tuple(bounds)}).items():
            object.__setattr__(self, key, value)

    def of(self, neurons: Tensor) -> Activation:
        """Return the activation of some neurons of a layer, indices in ascending order."""
        if bool((neurons.diff() <= 0).any()):
            raise ValueError(f"neurons of several activations must be in ascending order; got {neurons.tolist()}.")
        starts = [int((neurons < bound).sum()) for bound in self.bounds]
        sizes = [stop - start for start, stop in pairwise([0, *starts, len(neurons)])]
        left = [i for i, size in enumerate(sizes) if size] or [len(sizes) - 1]
        parts = [self.parts[i] for i in left]
        return parts[0] if len(left) == 1 else SideBySide(parts, [starts[i - 1] for i in left[1:]])

    def value(self, Z: Tensor, width: Tensor | None = None) -> Tensor:
        """Return ``s(Z)``; it can not be smoothed."""
        if width is not None:
            raise ValueError(f"a layer of several activations can not be smoothed; got activation {self.name!r}.")
        import torch

        pieces = zip(self.parts, Z.tensor_split(self.bounds, 1), strict=True)
        return torch.cat([part.value(piece) for part, piece in pieces], 1)

    def derivative(self, Z: Tensor, H: Tensor, width: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Return ``s'(Z)``, given also ``H = s(Z)``."""
        import torch

        pieces = zip(self.parts, Z.tensor_split(self.bounds, 1), H.tensor_split(self.bounds, 1), strict=True)
        return torch.cat([part.derivative(z, h) for part, z, h in pieces], 1)

    def _pieces(self, Z: np.ndarray) -> Iterator[tuple[Activation, np.ndarray]]:
        """Yield the parts, each with a view of its rows."""
        for part, (start, stop) in zip(self.parts, pairwise([0, *self.bounds, len(Z)]), strict=True):
            yield part, Z[start:stop]

    def apply(self, Z: np.ndarray) -> None:
        """Replace an array Z of shape (w, n) by ``s(Z)``."""
        for part, piece in self._pieces(Z):
            part.apply(piece)

    def slopes(self, H: np.ndarray) -> np.ndarray:
        """Return ``s'(Z)``, given an array ``H = s(Z)``."""
        return np.concatenate([part.slopes(piece) for part, piece in self._pieces(H)])


@dataclass(frozen=True, init=False)
class ByLayer(Activation):
    """A first hidden layer of another activation than the layers behind it: a network behind a fixed first layer.

    Its name is theirs joined, such as ``"identity+relu, tanh"``.

    Parameters
    ----------
    first, rest : Activation
        Of the first hidden layer, and of the others.
    """

    first: Activation = Activation("relu")
    rest: Activation = Activation("tanh")

    def __init__(self, first: Activation, rest: Activation) -> None:
        if isinstance(first, ByLayer) or isinstance(rest, ByLayer):
            raise ValueError(f"first and rest must be activations of one layer; got {first} and {rest}.")
        values = {"name": f"{first.name}, {rest.name}", "slope": rest.slope, "first": first, "rest": rest}
        for key, value in values.items():
            object.__setattr__(self, key, value)

    def of_layer(self, i: int) -> Activation:
        """Return the activation of hidden layer i, from 0."""
        return self.first if i == 0 else self.rest

    def value(self, Z: Tensor, width: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Raise ValueError: which function it is depends on the layer."""
        raise ValueError(f"activation {self.name!r} is a function in every layer only; see of_layer.")

    derivative = apply = slopes = value  # type: ignore[assignment]


def activation_named(name: str, slope: float, bounds: Sequence[Sequence[int]] = ((),)) -> Activation:
    """Return the activation of a stored network.

    Parameters
    ----------
    name : str
        See :class:`SideBySide` and :class:`ByLayer`.
    slope : float
        Of leaky ReLUs on the negative side.
    bounds : sequence of (sequence of int)
        Of the first hidden layer, and of the others if their activation is another one.
    """
    layers = []
    for names, own in zip(name.split(", "), bounds, strict=True):
        parts = [Activation(part, slope) for part in names.split("+")]
        layers.append(parts[0] if len(parts) == 1 else SideBySide(parts, own))
    return layers[0] if len(layers) == 1 else ByLayer(*layers)
