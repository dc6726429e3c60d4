r"""Inner products on layer spaces: the parts a preconditioner is made of (Kreis, sections 2.5 and 5.3).

Every class is a component: its parameters are hyperparameters, and a clone of it is bound to one side of one layer,
where it keeps what it learns from samples.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skgrow._tolerances import ASYMMETRIC_ENTRY, ASYMMETRIC_INNER


class InnerProduct(BaseEstimator, ABC):
    r"""An inner product :math:`(u, v) = u^T R v` on a layer space.

    A clone is bound by :meth:`bind`; then :meth:`update` learns from samples, and :meth:`apply` and :meth:`solve`
    multiply rows by R and its inverse.
    """

    #: Whether the inner product has a meaning on inputs of the first and outputs of the last layer only.
    only_ends = False

    #: Whether it changes with the samples.
    learns = False

    def bind(self, size: int, like: Tensor, side: str = "input", layer: str = "layer") -> Self:
        """Prepare for a space of ``size`` dimensions.

        Parameters
        ----------
        size : int
            Number of dimensions.
        like : Tensor
            Gives type and device.
        side : {"input", "output"}, default="input"
            Of the layer: its inputs x, or its pre-activations y.
        layer : str, default="layer"
            Its name, for messages.

        Returns
        -------
        self
            Bound.

        Raises
        ------
        ValueError
            If the parameters do not fit the space; the message names the layer.
        """
        self.size_, self.side_, self.layer_ = size, side, layer
        self._zero = like.new_zeros(())
        return self

    def update(self, samples: Tensor, weight: Tensor | None = None) -> None:
        """Learn from rows of samples, of weights of sum 1: inputs x, or derivatives dL/dy of single losses."""

    @abstractmethod
    def apply(self, v: Tensor) -> Tensor:
        """Return ``v @ R``, shape (..., size)."""

    @abstractmethod
    def solve(self, v: Tensor) -> Tensor:
        """Return ``v @ inverse(R)``, shape (..., size)."""

    def damp(self, damping: float) -> None:
        """Set what is added to the moments of samples; predefined inner products need none."""

    def widen(self, size: int) -> None:
        """Go on with a space that has gained dimensions at its end."""
        raise ValueError(f"{self!r} is made for {self.size_} dimensions of {self.layer_}, which has grown to {size}.")

    def spectrum(self) -> Tensor:
        """Return the eigenvalues of R, ascending."""
        eye = torch.eye(self.size_, dtype=self._zero.dtype, device=self._zero.device)
        matrix = self.apply(eye)
        return eigenvalues((matrix + matrix.T) / 2)


def eigenvalues(matrix: Tensor) -> Tensor:
    """Return the eigenvalues of a symmetric matrix, ascending; of one that is not finite NaN."""
    if not bool(torch.isfinite(matrix).all()):
        return matrix.new_full((len(matrix),), math.nan)
    return torch.linalg.eigvalsh(matrix.double()).to(matrix)


class Euclidean(InnerProduct):
    """The usual inner product: gradients stay as they are.

    Examples
    --------
    >>> import torch
    >>> from skgrow.preconditioning import Euclidean
    >>> Euclidean().bind(2, torch.zeros(1)).apply(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2.]])
    """

    def apply(self, v: Tensor) -> Tensor:
        """Return ``v``."""
        return v

    def solve(self, v: Tensor) -> Tensor:
        """Return ``v``."""
        return v

    def widen(self, size: int) -> None:
        """Go on with more dimensions."""
        self.size_ = size


class _Spectral(InnerProduct):
    """A matrix that is known beforehand, as its eigenvectors and eigenvalues."""

    def _matrix(self, size: int) -> np.ndarray:
        raise NotImplementedError

    def _power(self) -> float:
        return 1.0

    def bind(self, size: int, like: Tensor, side: str = "input", layer: str = "layer") -> Self:
        """Prepare for a space; see :class:`InnerProduct`."""
        super().bind(size, like, side, layer)
        matrix = np.asarray(self._matrix(size), dtype=float)
        if matrix.shape != (size, size):
            raise ValueError(
                f"{type(self).__name__} must be {size} x {size} for the {side} of {layer}; got shape {matrix.shape}."
            )
        near = ASYMMETRIC_INNER * np.abs(matrix).max(initial=0)
        if not np.allclose(matrix, matrix.T, rtol=ASYMMETRIC_ENTRY, atol=near):
            raise ValueError(f"{type(self).__name__} for the {side} of {layer} must be symmetric.")
        values, vectors = np.linalg.eigh(matrix)
        if size and not values[0] > 0:
            raise ValueError(
                f"{type(self).__name__} for the {side} of {layer} must be positive definite; its smallest eigenvalue "
                f"is {values[0]:.3g}."
            )
        self.values_ = torch.as_tensor(values ** self._power()).to(like)
        self.vectors_ = torch.as_tensor(vectors).to(like)
        return self

    def apply(self, v: Tensor) -> Tensor:
        """Return ``v @ R``."""
        return ((v @ self.vectors_) * self.values_) @ self.vectors_.T

    def solve(self, v: Tensor) -> Tensor:
        """Return ``v @ inverse(R)``."""
        return ((v @ self.vectors_) / self.values_) @ self.vectors_.T


class Fixed(_Spectral):
    """A symmetric positive definite matrix of your own.

    Parameters
    ----------
    matrix : array-like, tensor or scipy.sparse.linalg.LinearOperator of shape (size, size)
        R itself, for layers of that size. Used on all of a network's layers they must be of one size.

    Examples
    --------
    >>> import torch
    >>> from skgrow.preconditioning import Fixed
    >>> Fixed([[2.0, 0.0], [0.0, 4.0]]).bind(2, torch.zeros(1)).solve(torch.tensor([[1.0, 2.0]]))
    tensor([[0.5000, 0.5000]])
    """

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix

    def _matrix(self, size: int) -> np.ndarray:  # noqa: ARG002
        if hasattr(self.matrix, "matmat"):  # a linear operator
            return self.matrix @ np.eye(self.matrix.shape[1])
        if isinstance(self.matrix, Tensor):
            return self.matrix.detach().to("cpu").numpy()
        return np.asarray(self.matrix.toarray() if hasattr(self.matrix, "toarray") else self.matrix, dtype=float)


class Sobolev(_Spectral):
    r"""The Sobolev inner product :math:`R = (I + L)^s` of functions on a grid or a graph with Laplacian L.

    It is for layers whose coordinates are places: inputs of the first layer or outputs of the last one (pixels, times).
    Elsewhere the Euclidean inner product takes its place.

    Parameters
    ----------
    order : float, default=1.0
        s; negative orders smooth.
    grid : int or tuple of int, optional
        Shape of the grid, neighbours of distance 1 joined; default: a line.
    graph : array-like or sparse matrix of shape (size, size), optional
        Symmetric weights of edges, in place of a grid.

    Examples
    --------
    >>> import torch
    >>> from skgrow.preconditioning import Sobolev
    >>> Sobolev().bind(3, torch.zeros(1)).apply(torch.eye(3)).round(decimals=4) + 0.0
    tensor([[ 2., -1.,  0.],
            [-1.,  3., -1.],
            [ 0., -1.,  2.]])
    """

    only_ends = True

    def __init__(self, order: float = 1.0, grid: Any = None, graph: Any = None) -> None:
        self.order = order
        self.grid = grid
        self.graph = graph

    def _power(self) -> float:
        return self.order

    def _matrix(self, size: int) -> np.ndarray:
        if self.graph is not None:
            weights = self.graph.toarray() if hasattr(self.graph, "toarray") else np.asarray(self.graph, dtype=float)
            if (weights < 0).any():
                raise ValueError(f"graph must have weights >= 0; the smallest is {weights.min()}.")
            return np.eye(len(weights)) + np.diag(weights.sum(1)) - weights
        shape: Sequence[int] = (size,) if self.grid is None else tuple(np.atleast_1d(self.grid))
        laplacian = np.zeros((1, 1))
        for n in shape:
            ends = np.ones(n) * 2
            ends[[0, -1]] -= 1
            line = np.diag(ends) - np.eye(n, k=1) - np.eye(n, k=-1)
            laplacian = np.kron(laplacian, np.eye(n)) + np.kron(np.eye(len(laplacian)), line)
        return np.eye(len(laplacian)) + laplacian
