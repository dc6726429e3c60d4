"""Transfer operators: how parameters and gradients go between a fine and a coarse level."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class Transfer(ABC):
    r"""A prolongation :math:`P` of coarse parameters to fine ones, and the restrictions that belong to it.

    Gradients are restricted by :math:`R_g = c P^T`, always: then
    :math:`\langle R_g g, v \rangle = c \langle g, P v \rangle`, and the prolongation of a coarse step down
    :math:`R_g \nabla f` is a direction of descent of f. Parameters are restricted by :meth:`restrict`, by default the
    pseudo-inverse, the one restriction that gives back what was prolonged and changes the others least.

    Parameters
    ----------
    n_fine, n_coarse : int
        Numbers of parameters.
    scale : float, default=1
        The factor c > 0. With 1 the restricted gradient is that of :math:`t \mapsto f(P t)`, hence of the size of the
        gradients of a coarse objective that resembles it.
    """

    def __init__(self, n_fine: int, n_coarse: int, scale: float = 1.0) -> None:
        if not scale > 0:
            raise ValueError(f"scale must be > 0; got {scale!r}.")
        self.n_fine, self.n_coarse, self.scale = n_fine, n_coarse, scale

    @abstractmethod
    def apply(self, coarse: Tensor) -> Tensor:
        """Return P t, shape (n_fine,), for t of shape (n_coarse,)."""

    @abstractmethod
    def adjoint(self, fine: Tensor) -> Tensor:
        """Return the product of the transpose of P with a fine vector, shape (n_coarse,)."""

    @abstractmethod
    def pinv(self, fine: Tensor) -> Tensor:
        """Return the product of the pseudo-inverse of P with a fine vector, shape (n_coarse,)."""

    def restrict(self, fine: Tensor) -> Tensor:
        """Return the restriction of parameters, shape (n_coarse,)."""
        return self.pinv(fine)

    def restrict_gradient(self, gradient: Tensor) -> Tensor:
        """Return c times the adjoint of a fine gradient, shape (n_coarse,)."""
        return self.adjoint(gradient) * self.scale

    def share(self, gradient: Tensor) -> float:
        r"""Return which share of a gradient the coarse level sees: :math:`|P P^+ g|^2 / |g|^2`, in [0, 1].

        For prolongations with orthonormal columns, up to a factor, this is :math:`|P R_g g|^2 / |g|^2` of Algorithm 4
        and :math:`|R_g g|^2 / |g|^2` of Algorithm 5 for the c with which these norms can not exceed that of g.
        """
        total = float(gradient @ gradient)
        seen = float(self.adjoint(gradient) @ self.pinv(gradient))
        return seen / total if total > 0 else 0.0

    def mass(self, like: Tensor) -> Tensor:
        r"""Return for how many fine parameters each coarse one stands: the row sums of :math:`P^T P`, (n_coarse,).

        This is the diagonal matrix :math:`P^T P` itself, or if that is none, as for linear interpolation, the lumped
        one.
        """
        return self.adjoint(self.apply(like.new_ones(self.n_coarse)))


class Identity(Transfer):
    """Levels of the same parameters (Example 3.38).

    Parameters
    ----------
    n : int
        Their number.
    """

    def __init__(self, n: int) -> None:
        super().__init__(n, n)

    def apply(self, coarse: Tensor) -> Tensor:
        """Return the vector."""
        return coarse

    def adjoint(self, fine: Tensor) -> Tensor:
        """Return the vector."""
        return fine

    def pinv(self, fine: Tensor) -> Tensor:
        """Return the vector."""
        return fine


class Subspace(Transfer):
    """Coarse parameters are coordinates in a basis.

    Parameters
    ----------
    basis : Tensor of shape (n_fine, n_coarse)
        Orthonormal columns; see :func:`eigenbasis` and :func:`lanczos_basis`.
    scale : float, default=1
        See :class:`Transfer`.
    """

    def __init__(self, basis: Tensor, scale: float = 1.0) -> None:
        super().__init__(basis.shape[0], basis.shape[1], scale)
        self.basis = basis

    def apply(self, coarse: Tensor) -> Tensor:
        """Return the vector of given coordinates."""
        return self.basis @ coarse

    def adjoint(self, fine: Tensor) -> Tensor:
        """Return the coordinates of the projection."""
        return self.basis.T @ fine

    def pinv(self, fine: Tensor) -> Tensor:
        """Return the coordinates of the projection."""
        return self.adjoint(fine)


class Blocks(Transfer):
    """A matrix that acts on the blocks of a deep network, between parameters that both levels share.

    Parameters
    ----------
    matrix : Tensor of shape (n_fine_blocks, n_coarse_blocks)
        Fine blocks as combinations of coarse ones: :func:`constant` or :func:`linear` interpolation.
    size : int
        Parameters of one block.
    before, after : int
        Parameters in front of and behind the blocks.
    restriction : {"pinv", "adjoint", "injection"}, default="pinv"
        How parameters are restricted: by the pseudo-inverse; by weighted means, the transpose over its row sums (half
        the transpose in Examples 3.35 and 3.36; for linear interpolation that does not give back what was
        prolonged); or by taking every second block.
    scale : float, default=1
        See :class:`Transfer`.
    """

    def __init__(
        self,
        matrix: Tensor,
        size: int,
        before: int = 0,
        after: int = 0,
        *,
        restriction: str = "pinv",
        scale: float = 1.0,
    ) -> None:
        fine, coarse = matrix.shape
        super().__init__(before + fine * size + after, before + coarse * size + after, scale)
        self.matrix, self.size, self.before, self.after, self.restriction = matrix, size, before, after, restriction
        inverse = torch.linalg.pinv(matrix)
        injection = torch.zeros_like(inverse)
        injection[torch.arange(coarse), torch.arange(coarse) * (fine // coarse)] = 1
        self._restrictions = {"pinv": inverse, "injection": injection, "adjoint": matrix.T / matrix.sum(0)[:, None]}

    def _on_blocks(self, matrix: Tensor, vector: Tensor) -> Tensor:
        end = len(vector) - self.after
        blocks = vector[self.before : end].view(-1, self.size)
        return torch.cat([vector[: self.before], (matrix.to(blocks) @ blocks).reshape(-1), vector[end:]])

    def apply(self, coarse: Tensor) -> Tensor:
        """Return the interpolated blocks."""
        return self._on_blocks(self.matrix, coarse)

    def adjoint(self, fine: Tensor) -> Tensor:
        """Return the sums that the transpose makes of blocks."""
        return self._on_blocks(self.matrix.T, fine)

    def pinv(self, fine: Tensor) -> Tensor:
        """Return the blocks whose interpolation is nearest."""
        return self._on_blocks(self._restrictions["pinv"], fine)

    def restrict(self, fine: Tensor) -> Tensor:
        """Return the restriction chosen."""
        return self._on_blocks(self._restrictions[self.restriction], fine)


def constant(n_coarse: int) -> Tensor:
    """Return constant interpolation: two fine blocks equal to each coarse one, shape (2 n_coarse, n_coarse)."""
    return torch.eye(n_coarse, dtype=torch.float64).repeat_interleave(2, 0)


def linear(n_coarse: int) -> Tensor:
    """Return linear interpolation, shape (2 n_coarse, n_coarse): odd blocks are means, the last repeats its neighbour.

    Examples
    --------
    >>> from skgrow.multilevel import linear
    >>> linear(2)
    tensor([[1.0000, 0.0000],
            [0.5000, 0.5000],
            [0.0000, 1.0000],
            [0.0000, 1.0000]], dtype=torch.float64)
    """
    matrix = constant(n_coarse)
    odd = torch.arange(n_coarse - 1)
    matrix[2 * odd + 1] = 0.5 * (matrix[2 * odd] + matrix[2 * odd + 2])
    return matrix


class Aggregation(Transfer):
    r"""Neurons in groups: the fine ones are copies of the coarse ones, which share their outgoing weights equally.

    So prolongation keeps the function: weights become :math:`E_{out} W E_{in}^T D_{in}^{-1}`, with the membership E
    and the sizes D of the groups. Its pseudo-inverse takes means over the groups of incoming weights and biases and
    sums over the groups of outgoing weights.

    Parameters
    ----------
    shapes : sequence of (int, int)
        Of the fine weights.
    has_bias : sequence of bool
        Which maps have a bias.
    groups : sequence of (int, int)
        Sizes of the groups of outputs and of inputs of every map.
    """

    def __init__(
        self, shapes: Sequence[tuple[int, ...]], has_bias: Sequence[bool], groups: Sequence[tuple[int, int]]
    ) -> None:
        self.maps = [
            (shape[0] // a, a, shape[1] // b, b, bias)
            for shape, (a, b), bias in zip(shapes, groups, has_bias, strict=True)
        ]
        self._coarse = [count for o, _, i, _, bias in self.maps for count in (o * i, o * bias)]
        self._fine = [count for o, a, i, b, bias in self.maps for count in (o * a * i * b, o * a * bias)]
        super().__init__(sum(self._fine), sum(self._coarse))

    def _on_maps(
        self, vector: Tensor, sizes: list[int], weight: Callable[..., Tensor], bias: Callable[..., Tensor]
    ) -> Tensor:
        parts = vector.split(sizes)
        found = []
        for (o, a, i, b, _), W, v in zip(self.maps, parts[::2], parts[1::2], strict=True):
            found += [weight(W, o, a, i, b).reshape(-1), bias(v, a).reshape(-1)]
        return torch.cat(found)

    def apply(self, coarse: Tensor) -> Tensor:
        """Return the network of copied neurons."""
        return self._on_maps(
            coarse,
            self._coarse,
            lambda W, o, a, i, b: W.view(o, 1, i, 1).expand(o, a, i, b) / b,
            lambda v, a: v.repeat_interleave(a),
        )

    def adjoint(self, fine: Tensor) -> Tensor:
        """Return sums over groups of outputs, means over groups of inputs."""
        return self._on_maps(
            fine,
            self._fine,
            lambda W, o, a, i, b: W.view(o, a, i, b).sum((1, 3)) / b,
            lambda v, a: v.view(-1, a).sum(1),
        )

    def pinv(self, fine: Tensor) -> Tensor:
        """Return means over groups of outputs, sums over groups of inputs."""
        return self._on_maps(
            fine,
            self._fine,
            lambda W, o, a, i, b: W.view(o, a, i, b).sum((1, 3)) / a,
            lambda v, a: v.view(-1, a).mean(1),
        )
