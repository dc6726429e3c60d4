"""A layer that passes its input on: what is inserted, so that the function stays."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from skgrow.networks._activations import Activation

#: Inputs of an inserted sigmoid are so much smaller than those of the layer before: curvature is felt by the square.
_SMALL = 0.1


@dataclass(frozen=True)
class IdentityLayer:
    r"""A layer :math:`y = h x + b` with :math:`k\,(s(y) - o) = x` on the data, exactly or nearly.

    ========== =================== ============ ==================== ==============================================
    activation h                   b            k                    :math:`k (s(y) - o)` against x
    ========== =================== ============ ==================== ==============================================
    identity   1                   0            1                    equal
    relu       1                   0            1                    equal, as x >= 0 behind a ReLU
    leaky_relu 1                   :math:`c_j`  1                    equal where :math:`x_j \ge -c_j`: on the data
    tanh       0.1                 0            10                   error at most :math:`h^2 |x|^3 / 3 < 0.0034`
    logistic   0.1                 -0.05        40                   error at most :math:`h^2 |x - 1/2|^3 / 12 < 0.0002`
    ========== =================== ============ ==================== ==============================================

    For ReLU this is Net2Net's and (4.11) of Kreis. The shifts :math:`c_j \ge 0` of the leaky ReLU are a tenth larger
    than the data needs. A sigmoid is nearly linear on small inputs, which is where the last two rows come from; the
    next weights are multiplied by k, which makes plain gradient descent stiffer. Residual networks need none of this.

    Attributes
    ----------
    scale : float
        h.
    bias : Tensor of shape (w,)
        b.
    gain : float
        k.
    offset : Tensor of shape (w,)
        o.
    """

    scale: float
    bias: Tensor
    gain: float
    offset: Tensor

    @classmethod
    def of(cls, activation: Activation, H: Tensor) -> IdentityLayer:
        """Return the layer to insert behind activations ``H`` of shape (n, w, ...)."""
        zero = H.new_zeros(H.shape[1])
        if activation.name == "tanh":
            return cls(_SMALL, zero, 1 / _SMALL, zero)
        if activation.name == "logistic":
            middle = zero + 0.5
            return cls(_SMALL, -_SMALL * middle, 4 / _SMALL, middle - _SMALL / 8)
        if activation.name == "leaky_relu":
            lowest = H.flatten(2).amin((0, 2)) if H.ndim > 2 else H.amin(0)
            shift = -1.1 * lowest.clamp_max(0)
            return cls(1.0, shift, 1.0, shift)
        return cls(1.0, zero, 1.0, zero)

    def slope(self, activation: Activation, H: Tensor) -> Tensor:
        """Return ``s'(y)`` at the inputs ``H``."""
        bias = self.bias.view(-1, *(1,) * (H.ndim - 2))
        Z = torch.add(bias, H, alpha=self.scale)
        return activation.derivative(Z, activation.value(Z))
