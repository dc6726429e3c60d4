"""Bases of coarse spaces: eigenvectors of a symmetric matrix, from the matrix or from products with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from sklearn.utils import check_random_state
from torch import Tensor

from skgrow._tolerances import ASYMMETRIC

ENDS = {"largest": "LA", "smallest": "SA"}


def eigenbasis(A: Any, m: int, which: str = "largest", *, random_state: Any = None) -> Tensor:
    """Return orthonormal eigenvectors of a symmetric matrix.

    Parameters
    ----------
    A : Tensor or array of shape (n, n)
        Symmetric matrix.
    m : int
        Number of eigenvectors, from 1 to n.
    which : {"largest", "smallest", "random"}, default="largest"
        Those of the largest or smallest eigenvalues, the extreme one first, or any m, each set equally likely.
    random_state : int, RandomState instance or None, default=None
        Draws the random ones.

    Returns
    -------
    Tensor of shape (n, m)
        One eigenvector a column, in double precision: what :class:`Subspace` takes.

    Raises
    ------
    ValueError
        If A is not symmetric, or m or ``which`` is not one of those allowed.

    Examples
    --------
    >>> import torch
    >>> from skgrow.multilevel import eigenbasis
    >>> eigenbasis(torch.diag(torch.tensor([1.0, 3.0, 2.0])), 2).abs()
    tensor([[0., 0.],
            [1., 0.],
            [0., 1.]], dtype=torch.float64)
    """
    A = as_symmetric(A)
    _check(m, len(A), which, [*ENDS, "random"])
    vectors = torch.linalg.eigh(A)[1]
    if which == "random":
        return vectors[:, check_random_state(random_state).permutation(len(A))[:m]]
    return vectors[:, :m] if which == "smallest" else vectors.flip(1)[:, :m]


def lanczos_basis(
    apply: Callable[[Tensor], Tensor],
    n: int,
    m: int,
    which: str = "largest",
    *,
    tol: float = 0.0,
    random_state: Any = None,
) -> Tensor:
    r"""Return orthonormal eigenvectors of a symmetric matrix of which only products with vectors are known.

    By the restarted Lanczos method of ARPACK, which is fast at an end of the spectrum where the gaps are wide relative
    to the whole. All of them (m = n) are taken from the dense matrix.

    Parameters
    ----------
    apply : callable
        :math:`v \mapsto A v` for tensors of shape (n,) in double precision.
    n : int
        Size of the matrix.
    m : int
        Number of eigenvectors, from 1 to n.
    which : {"largest", "smallest"}, default="largest"
        At which end of the spectrum; the extreme one comes first.
    tol : float, default=0
        Relative to the size of the spectrum, to which eigenvalues are found; 0 is the precision of the machine.
    random_state : int, RandomState instance or None, default=None
        Draws the first vector.

    Returns
    -------
    Tensor of shape (n, m)
        One eigenvector a column, in double precision; fewer than m columns if not all have converged.

    Raises
    ------
    ValueError
        If m or ``which`` is not one of those allowed.
    RuntimeError
        If no eigenvector has converged.

    Examples
    --------
    >>> import torch
    >>> from skgrow.multilevel import lanczos_basis
    >>> scale = torch.arange(100.0, dtype=torch.float64)
    >>> basis = lanczos_basis(lambda v: scale * v, 100, 2, random_state=0)
    >>> basis.square().argmax(0)
    tensor([99, 98])
    """
    _check(m, n, which, list(ENDS))
    if m == n:
        return eigenbasis(torch.stack([apply(e) for e in torch.eye(n, dtype=torch.float64)]).detach(), m, which)
    v0 = check_random_state(random_state).normal(size=n)

    def extreme(count: int, end: str, shift: float) -> tuple[np.ndarray, np.ndarray]:
        def product(v: np.ndarray) -> np.ndarray:
            return apply(torch.tensor(v)).detach().numpy() - shift * v

        operator = LinearOperator((n, n), product, dtype=np.float64)
        values, vectors = eigsh(operator, count, which=end, v0=v0, tol=tol)
        return values + shift, vectors

    try:
        # ARPACK's tolerance is relative to each eigenvalue: small ones are found as the far end of a shifted spectrum
        shift = float(extreme(1, "LA", 0.0)[0][0]) if tol and which == "smallest" else 0.0
        values, vectors = extreme(m, ENDS[which], shift)
    except ArpackNoConvergence as error:
        values, vectors = error.eigenvalues, error.eigenvectors
        if not len(values):
            raise RuntimeError(
                f"None of the m = {m} {which} eigenvectors has converged: their eigenvalues are too close together, "
                "or apply is not a symmetric operator."
            ) from error
    order = np.argsort(values if which == "smallest" else -values)
    return torch.from_numpy(vectors[:, order])


def as_symmetric(A: Any) -> Tensor:
    """Return a symmetric matrix, shape (n, n), in double precision; raise ValueError if it is none."""
    A = torch.as_tensor(A, dtype=torch.float64).detach()
    if A.ndim != 2 or A.shape[0] != A.shape[1]:
        raise ValueError(f"A must be a square matrix; got shape {tuple(A.shape)}.")
    difference = float((A - A.T).abs().max())
    if not difference <= ASYMMETRIC * float(A.abs().max()):
        raise ValueError(f"A must be finite and symmetric; got entries that differ from A.T by up to {difference:.3g}.")
    return (A + A.T) / 2


def _check(m: int, n: int, which: str, allowed: list[str]) -> None:
    if which not in allowed:
        raise ValueError(f"which must be one of {allowed}; got {which!r}.")
    if not 1 <= m <= n:
        raise ValueError(f"m must be in [1, {n}], the size of the matrix; got {m!r}.")
