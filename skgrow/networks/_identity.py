"""Activations that pass their input on: with them a layer can be inserted so that the function stays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skgrow.networks._constants import NETWORKS
from skgrow.prediction import Activation


@dataclass(frozen=True)
class IdentityLike:
    r"""An activation :math:`t(z) = k\,(s(h z + b) - o)` that is the identity on the data, exactly or nearly.

    A layer inserted behind activations x has the weights I, the bias 0 and this activation:

    ========== === ================= ===== ================= ========================================================
    s          h   b                 k     o                 t(x) against x
    ========== === ================= ===== ================= ========================================================
    identity   1   0                 1     0                 equal
    relu       1   0                 1     0                 equal, as x >= 0 behind a ReLU
    leaky_relu 1   :math:`c_j`       1     :math:`c_j`       equal if :math:`x_j \ge -c_j`, as on the data
    tanh       0.2 0                 5     0                 error at most :math:`h^2 |x|^3 / 3 < 0.0134`
    logistic   0.8 -0.4              5     0.4               error at most :math:`h^2 |x - 1/2|^3 / 12 < 0.0067`
    ========== === ================= ===== ================= ========================================================

    For ReLU this is Net2Net's layer and (4.11) of Kreis. The shifts :math:`c_j \ge 0` of the leaky ReLU are a tenth
    larger than the data needs. A sigmoid is nearly linear on small inputs, which is where the last two rows come
    from. :meth:`fold` writes it as a plain activation between other weights; to train it as it is keeps the new
    weights, and those behind them, of the size of the others.

    Attributes
    ----------
    slope : float
        h.
    bias : Tensor of shape (w,)
        b.
    gain : float
        k.
    offset : Tensor of shape (w,)
        o.
    """

    slope: float
    bias: Tensor
    gain: float
    offset: Tensor

    @classmethod
    def of(cls, activation: Activation, H: Tensor) -> IdentityLike:
        """Return the activation to insert behind activations ``H`` of shape (n, w, ...)."""
        zero = H.new_zeros(H.shape[1])
        if activation.name == "tanh":
            h = NETWORKS.tanh_slope
            return cls(h, zero, 1 / h, zero)
        if activation.name == "logistic":
            h = NETWORKS.logistic_slope
            return cls(h, zero - h / 2, 4 / h, zero + 0.5 - h / 8)
        if activation.name == "leaky_relu":
            lowest = H.flatten(2).amin((0, 2)) if H.ndim > 2 else H.amin(0)
            shift = -NETWORKS.leaky_shift * lowest.clamp_max(0)
            return cls(1.0, shift, 1.0, shift)
        return cls(1.0, zero, 1.0, zero)

    def _inner(self, Z: Tensor) -> Tensor:
        return torch.add(_along(self.bias, Z), Z, alpha=self.slope)

    def value(self, activation: Activation, Z: Tensor) -> Tensor:
        """Return ``t(Z)``."""
        return (activation.value(self._inner(Z)) - _along(self.offset, Z)).mul_(self.gain)

    def derivative(self, activation: Activation, Z: Tensor) -> Tensor:
        """Return ``t'(Z)``."""
        inner = self._inner(Z)
        return activation.derivative(inner, activation.value(inner)) * (self.gain * self.slope)

    def like(self, tensor: Tensor) -> IdentityLike:
        """Return the activation with the precision of a tensor, on its device."""
        return IdentityLike(self.slope, self.bias.to(tensor), self.gain, self.offset.to(tensor))

    def wider(self, width: int) -> IdentityLike:
        """Return the activation of a layer of more neurons: of those appended it is :math:`k s(h z)`."""
        more = width - len(self.bias)
        bias, offset = (torch.nn.functional.pad(values, (0, more)) for values in (self.bias, self.offset))
        return self if more == 0 else IdentityLike(self.slope, bias, self.gain, offset)

    def fold(self, weights: list[Tensor], biases: list[Tensor], i: int) -> None:
        """Rewrite map i, before the activation, and the next one, so that the activation between them is plain.

        A shift in front of a convolution, which sees zeros beyond the border, can not be folded.
        """
        weights[i], biases[i] = weights[i] * self.slope, biases[i] * self.slope + self.bias
        weights[i + 1] = weights[i + 1] * self.gain
        if bool(self.offset.any()):
            biases[i + 1] = biases[i + 1] - weights[i + 1] @ self.offset


def _along(values: Tensor, Z: Tensor) -> Tensor:
    """Return one value per neuron or channel in a shape that broadcasts over Z, whose samples come first."""
    return values.view(-1, *(1,) * (Z.ndim - 2))
