r"""What networks are trained on in the place of inputs, while the fitted network takes the inputs themselves.

Few samples in a space of many dimensions span a small part of it, and coordinates in this :class:`Span` say all. Along
the axes, a :class:`Spline` basis lets a network of few neurons bend along single features (Gorishniy, Rubachev and
Babenko 2022). Its functions are sums of ReLUs of one feature each, so a network on them is one network on the inputs
with one hidden layer more.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from skgrow.networks import MLP, Activation, ByLayer, SideBySide, with_inputs
from skgrow.prediction import ramp
from skgrow.problem._samples import Units


class Coordinates(ABC):
    """Functions of the inputs, in units of training, that networks are trained on."""

    #: Whether further data keep them.
    stays: ClassVar[bool] = True

    @abstractmethod
    def of(self, Z: Tensor) -> Tensor:
        """Return the coordinates of inputs, shape (n, n_coordinates)."""

    @abstractmethod
    def outward(self, network: MLP) -> MLP:
        """Return a network on coordinates as one on inputs."""

    @abstractmethod
    def inward(self, network: MLP) -> MLP:
        """Return such a network on inputs as one on coordinates."""

    @abstractmethod
    def complete(self, row: dict[str, Any]) -> None:
        """Make a row of the history one of the network on inputs."""

    def named(self, activation: str) -> str:
        """Return the name of the activation that a network of this one has on inputs."""
        return activation

    @abstractmethod
    def arrays(self, units: Units) -> dict[str, np.ndarray]:
        """Return what an estimator stores; see :func:`coordinates_of`."""

    def unseen(self, Z: Tensor, inside: Tensor) -> Tensor:  # noqa: ARG002
        """Return squared distances of inputs from what coordinates can tell, shape (n,)."""
        return Z.new_zeros(len(Z))


@dataclass(frozen=True)
class Span(Coordinates):
    """Coordinates in the span of the samples: penalised weights lie there.

    Parameters
    ----------
    basis : Tensor of shape (d, r)
        Orthonormal columns.
    """

    basis: Tensor

    stays = False

    @classmethod
    def of_samples(cls, Z: Tensor) -> Span:
        """Return the span of the rows of a matrix."""
        _, size, V = torch.linalg.svd(Z, full_matrices=False)
        rank = max(1, int((size > Z.shape[1] * torch.finfo(V.dtype).eps * size[0]).sum()))
        return cls(V[:rank].T.contiguous())

    def of(self, Z: Tensor) -> Tensor:
        """Return the coordinates of inputs, shape (n, r)."""
        return Z @ self.basis

    def outward(self, network: MLP) -> MLP:
        """Return a network on coordinates as one on inputs."""
        return with_inputs(network, self.basis.T)

    def inward(self, network: MLP) -> MLP:
        """Return such a network on inputs as one on coordinates."""
        return with_inputs(network, self.basis)

    def complete(self, row: dict[str, Any]) -> None:
        """Make a row of the history one of the network on inputs."""
        (d, rank), (inputs, *rest) = self.basis.shape, row["architecture"]
        if inputs == rank:
            row |= {"architecture": (d, *rest), "n_parameters": row["n_parameters"] + (d - rank) * rest[0]}

    def arrays(self, units: Units) -> dict[str, np.ndarray]:  # noqa: ARG002
        """Return what an estimator stores."""
        return {"basis": self.basis.to("cpu").numpy()}

    def unseen(self, Z: Tensor, inside: Tensor) -> Tensor:
        """Return squared distances of inputs from the span, shape (n,)."""
        return (Z.square().sum(1) - inside.square().sum(1)).clamp_min(0)


@dataclass(frozen=True)
class Spline(Coordinates):
    r"""The inputs, and beside them ramps along single features, which make up all piecewise linear functions of these.

    Between two neighbouring knots :math:`t < t'` of a feature lies the ramp
    :math:`\min(\max((x - t) / (t' - t), 0), 1)`, constant before and after: functions of ramps do not grow beyond the
    data. Ramps are centred and scaled, as inputs are.

    Parameters
    ----------
    feature : LongTensor of shape (k,)
        The features of all knots, ascending.
    knot : Tensor of shape (k,)
        Knots, ascending along every feature; one has none, or at least two of them.
    mean, scale : Tensor of shape (n_ramps,)
        Of the ramps.
    n_features : int
        Number of inputs.
    """

    feature: Tensor
    knot: Tensor
    mean: Tensor
    scale: Tensor
    n_features: int

    @classmethod
    def of_samples(cls, Z: Tensor, g: Tensor, feature: Tensor, knot: Tensor) -> Spline:
        """Return the spline of given knots, with means and deviations of its ramps.

        Parameters
        ----------
        Z : Tensor of shape (n, d)
            Inputs.
        g : Tensor of shape (n,)
            Weights of sum 1.
        feature, knot : Tensor of shape (k,)
            See :class:`Spline`.
        """
        n_ramps = int((feature[1:] == feature[:-1]).sum())
        plain = cls(feature, knot, knot.new_zeros(n_ramps), knot.new_ones(n_ramps), Z.shape[1])
        ramps = plain._ramps(Z)
        mean = g @ ramps
        return replace(plain, mean=mean, scale=(g @ (ramps - mean).square()).sqrt())

    @property
    def _lower(self) -> Tensor:
        """Places of the knots where ramps begin."""
        return (self.feature[1:] == self.feature[:-1]).nonzero()[:, 0]

    def _ramps(self, Z: Tensor) -> Tensor:
        lower = self._lower
        return ramp(Z[:, self.feature[lower]], self.knot[lower], self.knot[lower + 1])

    def of(self, Z: Tensor) -> Tensor:
        """Return the inputs and the ramps, shape (n, n_features + n_ramps)."""
        return torch.cat([Z, (self._ramps(Z) - self.mean) / self.scale], 1)

    def outward(self, network: MLP) -> MLP:
        """Return a network on inputs and ramps as one whose first layer has an identity per feature, a ReLU per knot.

        A ramp is the difference of two ReLUs, divided by the distance of their knots.
        """
        d, lower, network = self.n_features, self._lower, network.folded()
        first, *weights = network.weights
        bias, *biases = network.biases
        of_ramps = first[:, d:] / self.scale
        bias = bias - of_ramps @ self.mean
        of_ramps = of_ramps / (self.knot[lower + 1] - self.knot[lower])
        of_relus = first.new_zeros(len(first), len(self.knot))
        of_relus.index_add_(1, lower, of_ramps).index_add_(1, lower + 1, of_ramps, alpha=-1)
        eye = torch.eye(d, dtype=first.dtype, device=first.device)
        layer = torch.cat([eye, eye[self.feature]])
        shift = torch.cat([self.knot.new_zeros(d), -self.knot])
        activation = ByLayer(SideBySide([Activation("identity"), Activation("relu")], [d]), network.activation)
        arrays = [layer, torch.cat([first[:, :d], of_relus], 1), *weights], [shift, bias, *biases]
        return MLP.from_arrays(*arrays, activation)

    def inward(self, network: MLP) -> MLP:
        """Return a network with this first layer, on inputs in any units, as one on inputs and ramps.

        The slope between two knots is the sum of the coefficients of the feature's ReLUs up to there.
        """
        d, lower, like = self.n_features, self._lower, network.theta
        layer, first, *weights = network.weights
        shift, bias, *biases = network.biases
        of = torch.cat([torch.arange(d, device=like.device), self.feature])
        coefficients = first * layer[torch.arange(len(of), device=like.device), of]
        slopes = torch.cat([like.new_zeros(len(first), 1), coefficients[:, d:].cumsum(1)], 1)
        slopes = slopes[:, lower + 1] - slopes[:, torch.searchsorted(self.feature, self.feature[lower])]
        of_ramps = slopes * (self.knot[lower + 1] - self.knot[lower])
        bias = bias + first[:, :d] @ shift[:d] + of_ramps @ self.mean
        first = torch.cat([coefficients[:, :d], of_ramps * self.scale], 1)
        return MLP.from_arrays([first, *weights], [bias, *biases], cast(ByLayer, network.activation).rest)

    def complete(self, row: dict[str, Any]) -> None:
        """Make a row of the history one of the network on inputs."""
        (inputs, *rest), d, n_ramps = row["architecture"], self.n_features, len(self.mean)
        if inputs == d + n_ramps:
            layer = d + len(self.knot)
            added = (d + 1) * layer + (layer - inputs) * rest[0]
            row |= {"architecture": (d, layer, *rest), "n_parameters": row["n_parameters"] + added}

    def named(self, activation: str) -> str:
        """Return the name of the activation that a network of this one has on inputs."""
        return f"identity+relu, {activation}"

    def between(self, units: Units) -> Spline:
        """Return the spline of raw inputs as one of inputs in units of training."""
        shift, scale = self._units(units)
        return replace(self, knot=(self.knot - shift) / scale)

    def arrays(self, units: Units) -> dict[str, np.ndarray]:
        """Return what an estimator stores: knots on raw inputs."""
        shift, scale = self._units(units)
        found = {"feature": self.feature, "knot": self.knot * scale + shift, "mean": self.mean, "scale": self.scale}
        arrays = {name: array.to("cpu").numpy() for name, array in found.items()}
        return arrays | {"n_features": np.array(self.n_features)}

    def _units(self, units: Units) -> tuple[Tensor, Tensor]:
        """Return the means and scales of the knots' features, one for those that are constant."""
        shift, scale = (a.to(self.knot)[self.feature] for a in (units.x_mean, units.x_scale))
        return shift, scale.where(scale.isfinite(), torch.ones_like(scale))


def coordinates_of(arrays: dict[str, Any] | None, units: Units | None, like: Tensor) -> Coordinates | None:
    """Return the coordinates that an estimator has stored, in units of training; None of None.

    Parameters
    ----------
    arrays : dict of ndarray
        See :meth:`Coordinates.arrays`.
    units : Units or None
        Of training; None: of raw inputs.
    like : Tensor
        Gives type and device.
    """
    if arrays is None:
        return None
    found = {name: torch.as_tensor(array, device=like.device) for name, array in arrays.items()}
    if "basis" in found:
        return Span(found["basis"].to(like))
    feature, n_features = found.pop("feature"), int(found.pop("n_features"))
    known = {name: array.to(like.device, torch.float64) for name, array in found.items()}
    spline = Spline(feature, **known, n_features=n_features)
    spline = spline if units is None else spline.between(units)
    return replace(spline, **{name: getattr(spline, name).to(like) for name in known})
