r"""How sensitive the loss is to layers that are not yet there (Kreis, chapter 4).

A layer inserted by :meth:`skgrow.networks.Network.insert` leaves the function as it is, and the constraint that holds
it there has the multiplier :math:`-\nabla_{W_{new}} f`. Its squared norm, the *merit* of the position, is to first
order the decrease of the loss per unit of step length of gradient descent in the new weights alone. No deeper network
is built for it: with the inputs x and the backpropagated derivatives d of one pass through the present network the
gradient is :math:`\sum_j d_j x_j^T`, position by position.

If a unit in front of an inserted ReLU is off, the new unit lies on the kink, and its derivative is taken as zero, as
PyTorch does. A step that switches such units on lowers the loss by another amount than the merit says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from skgrow.networks import Network, map_gradient
from skgrow.problem import Problem, sum_over_samples

#: Norms of gradients of matrices and kernels: (B.1a) to (B.1e) of Kreis.
NORMS = ("frobenius", "frobenius_scaled", "operator", "operator_2", "operator_1")


@dataclass(frozen=True)
class Sensitivity:
    """Merits of all insertion points of a network.

    Attributes
    ----------
    merits : list of float
        Squared norms of the gradients of the layers not yet there.
    reference : float
        Mean squared norm of the gradients of the weight matrices (kernels) that are there.
    decreases : list of float
        Squared Frobenius norms: first-order decreases of the loss by unit steps.
    vanishing : bool
        Whether all merits are zero up to rounding: every gradient, a sum over samples, is below the root of the machine
        precision times the sum of the norms of its terms. So they are at a stationary point of an MLP (Remark 4.6),
        where the gradient of the next layer's weights determines that of the new one.
    gradients : list of Tensor
        The gradients themselves.
    """

    merits: list[float]
    reference: float
    decreases: list[float]
    vanishing: bool
    gradients: list[Tensor]

    @property
    def ratios(self) -> list[float]:
        """Merits over the reference: what (4.18) compares with its threshold."""
        if self.reference > 0:
            return [merit / self.reference for merit in self.merits]
        return [math.inf if merit > 0 else 0.0 for merit in self.merits]


def sensitivity(network: Network, problem: Problem, norm: str = "frobenius") -> Sensitivity:
    r"""Return the merits of all insertion points, from one forward-backward pass over a problem's data.

    Parameters
    ----------
    network : Network
        The network as it is.
    problem : Problem
        Whose data loss is differentiated (the penalty is left out).
    norm : {"frobenius", "frobenius_scaled", "operator", "operator_2", "operator_1"}, default="frobenius"
        See :func:`gradient_norm`.

    Raises
    ------
    ValueError
        For a network without insertion points.
    """
    count = network.n_insertion_points
    if count == 0:
        raise ValueError(f"a layer can only be inserted if there is a hidden layer; got {network!r}.")
    sizes: list[tuple[int, ...]] = []

    def chunk(X: Tensor, Y: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        state = network.forward_pass(X)
        deltas = network.backward_pass(state, problem.loss.negative_gradient(state.output, Y).mul_(-g[:, None]))
        new, old = network.insertion_pairs(state, deltas), list(zip(deltas, state.inputs, strict=True))
        sizes[:] = [x.shape[2:] for _, x in (*new, *old)]
        bounds = torch.stack([_norms(d) @ _norms(x) for d, x in new])
        return (bounds, *(map_gradient(d, x) for d, x in (*new, *old)))

    size = 8 * network.n_activations * problem.X.element_size()
    bounds, *gradients = sum_over_samples(chunk, problem.X, problem.Y, problem.g, bytes_per_row=size)
    norms = [gradient_norm(G, norm, s) for G, s in zip(gradients, sizes, strict=True)]
    decreases = [float(G.square().sum()) for G in gradients[:count]]
    rounding = math.sqrt(torch.finfo(problem.X.dtype).eps)
    vanishing = all(math.sqrt(d) <= rounding * float(bound) for d, bound in zip(decreases, bounds, strict=True))
    reference = sum(norms[count:]) / len(norms[count:])
    return Sensitivity(norms[:count], reference, decreases, vanishing, gradients[:count])


def _norms(A: Tensor) -> Tensor:
    return torch.linalg.vector_norm(A.flatten(1), dim=1)


def gradient_norm(gradient: Tensor, norm: str, image: tuple[int, ...] = ()) -> float:
    r"""Return the squared norm of the gradient of a weight matrix (out, in), or of a kernel (out, in, k, k).

    - ``"frobenius"``: the sum of squares (B.1a);
    - ``"frobenius_scaled"``: their mean (B.1b), comparable between layers of different sizes;
    - ``"operator"``: the largest squared singular value of the linear map (B.1c). That of a convolution is taken on
      periodic images of the size ``image``: by the Fourier transform it is a small matrix per frequency (Sedghi, Gupta
      and Long 2019);
    - ``"operator_2"``, ``"operator_1"``: with the operator norms :math:`s_l` of the maps to single output channels, all
      of whose input channels see one image, the sum :math:`\sum_l s_l^2` (B.1d) and the square of the sum
      :math:`(\sum_l s_l)^2` (B.1e). For matrices :math:`s_l` is the norm of row l.
    """
    if norm not in NORMS:
        raise ValueError(f"norm must be one of {list(NORMS)}; got {norm!r}.")
    if gradient.numel() == 0:
        return 0.0
    if norm == "frobenius":
        return float(gradient.square().sum())
    if norm == "frobenius_scaled":
        return float(gradient.square().mean())
    if gradient.ndim > 2:
        if norm != "operator":
            gradient = gradient.sum(1, keepdim=True)
        # a kernel larger than the image would be cut off; padding leaves its transform's maximum an upper bound
        size = [max(a, b) for a, b in zip(image, gradient.shape[2:], strict=True)]
        symbols = torch.fft.rfft2(gradient, s=size).flatten(2).permute(2, 0, 1)  # (frequencies, out, in)
        singular = torch.linalg.matrix_norm(symbols, 2).amax() if norm == "operator" else symbols[..., 0].abs().amax(0)
    else:
        singular = torch.linalg.matrix_norm(gradient, 2) if norm == "operator" else _norms(gradient)
    return float(singular.sum().square() if norm == "operator_1" else singular.square().sum())
