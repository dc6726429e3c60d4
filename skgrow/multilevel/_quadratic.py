"""Multilevel optimization of strongly convex quadratics: gradient descent and coarse grid corrections."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state, check_scalar
from torch import Tensor

from skgrow.multilevel._bases import as_symmetric
from skgrow.multilevel._transfer import Transfer


@dataclass(frozen=True)
class Correction:
    r"""A coarse grid correction, or why there was none.

    Attributes
    ----------
    iteration : int
        Which iteration it took the place of.
    share : float
        :math:`|P P^+ \nabla f|^2 / |\nabla f|^2`, to be compared with kappa.
    computed : bool
        Whether the share and the restricted gradient were large enough; what follows is zero otherwise.
    predicted : float
        Decrease of the coarse objective over the step made, divided by the scale of the restriction.
    decrease : float
        Decrease of f. It is the one predicted, up to rounding, as the Galerkin matrix is exact on the range of P.
    """

    iteration: int
    share: float
    computed: bool
    predicted: float = 0.0
    decrease: float = 0.0


@dataclass(frozen=True)
class QuadraticResult:
    r"""What :func:`mgopt_quadratic` returns.

    Attributes
    ----------
    theta : ndarray or Tensor of shape (n,)
        The last iterate, of the kind that A was.
    losses : ndarray of shape (n_iter + 1,)
        :math:`f(\theta^k)`.
    distances : ndarray of shape (n_iter + 1,)
        :math:`|\theta^k - A^{-1} b|`.
    corrections : list of Correction
        One for every iteration at which a correction was considered.
    """

    theta: Any
    losses: np.ndarray
    distances: np.ndarray
    corrections: list[Correction]


def mgopt_quadratic(
    A: Any,
    b: Any,
    transfer: Transfer,
    *,
    theta0: Any = None,
    learning_rate: float = 0.01,
    n_iter: int = 200,
    kappa: float = 0.5,
    least_gradient: float = 0.0,
    check_every: int = 1,
    correct_at: Collection[int] | None = None,
    coarse_steps: int | None = None,
    correction_step: float = 1.0,
    noise: Sequence[float] | None = None,
    random_state: Any = None,
) -> QuadraticResult:
    r"""Minimize :math:`f(\theta) = \frac12 \theta^T A \theta - b^T \theta` by descent and coarse grid corrections.

    The coarse problem is that of Galerkin, :math:`A_H = R A P` and :math:`b_H = R b` with :math:`R = c P^T`. With the
    linear term of MG/Opt the coarse objective h has the gradient :math:`A_H s + R \nabla f(\theta)` at
    :math:`t_0 + s`, whatever the :math:`t_0` to which :math:`\theta` is restricted. The correction is :math:`e = P s`,
    with s the minimizer :math:`-A_H^{-1} R \nabla f(\theta)`, or the end of some gradient steps from zero.

    With the minimizer f becomes as small as it can be on :math:`\theta + \mathrm{range}(P)`. If P spans eigenvectors of
    A, the error loses its components in that space and keeps the others: its norm becomes
    :math:`|(I - P P^+)(\theta - A^{-1} b)|`.

    Parameters
    ----------
    A : array or Tensor of shape (n, n)
        Symmetric, positive definite.
    b : array or Tensor of shape (n,)
        Right-hand side.
    transfer : Transfer
        From n parameters to fewer, with a prolongation of full rank.
    theta0 : array or Tensor of shape (n,) or None, default=None
        Where to start; None is zero.
    learning_rate : float, default=0.01
        Of gradient steps on both levels. They converge below 2 over the largest eigenvalue, on the coarse level that
        of :math:`A_H`.
    n_iter : int, default=200
        Gradient steps and corrections together.
    kappa : float, default=0.5
        In (0, 1): a correction is made if the coarse level sees a greater share of the squared norm of the gradient.
    least_gradient : float, default=0.0
        Nor is one made if the norm of the restricted gradient is smaller.
    check_every : int, default=1
        Corrections are considered in iterations 0, ``check_every``, 2 ``check_every`` and so on, but not in two that
        follow each other.
    correct_at : collection of int or None, default=None
        Or in these iterations only; empty for gradient descent alone.
    coarse_steps : int or None, default=None
        Gradient steps on the coarse level; None minimizes exactly.
    correction_step : float, default=1.0
        Factor of the correction.
    noise : (float, float) or None, default=None
        Bounds (p, q) of the noise of gradient estimates: the gradient at v becomes :math:`A_k v - b_k` with
        :math:`A_k = A + u u^T - \frac{p^2}{3} I` and :math:`b_k = b + \epsilon 1`, where the entries of u and the
        number :math:`\epsilon` are drawn uniformly from (-p, p) and (-q, q) in every step. On the coarse level the
        matrix and the vector are :math:`R A_k P` and :math:`R b_k`; the linear term of h is exact.
    random_state : int, RandomState instance or None, default=None
        Draws the noise.

    Returns
    -------
    QuadraticResult
        Last iterate, losses, distances to the minimizer, corrections.

    Raises
    ------
    ValueError
        If A is not symmetric or not positive definite, shapes do not fit, the prolongation has not full rank, or a
        number is out of range.
    TypeError
        If a number is of the wrong type.

    Notes
    -----
    This is Algorithm 4 of the thesis. Whether to correct is decided with the exact gradient, as there; with a
    prolongation of orthonormal columns and c = 1 the share is that of Algorithm 4. Figures 3.1 and 3.2 use such
    prolongations, but compare norms that are not squared: their :math:`|R \nabla f| \ge \kappa_1 |\nabla f|` and
    :math:`|R \nabla f| \ge \kappa_2` with 0.5 and 0.001 are ``kappa=0.25`` and ``least_gradient=0.001`` here. The
    noise is that of Appendix B.2, with the outer product of u in place of the inner one and less its mean
    :math:`\frac{p^2}{3} I`, instead of :math:`\frac{2p}{3} I`, so that estimates are unbiased.

    Which eigenvectors suit a correction: if d is the error's component for the eigenvalue :math:`\lambda` in the
    beginning, a correction of l steps in that eigenvector after k steps of descent lowers f by
    :math:`\frac{\lambda}{2} d^2 (1 - \alpha \lambda)^{2k} (1 - (1 - \alpha \lambda)^{2l})` (without noise). So
    :math:`\alpha k` and :math:`\alpha l` decide, not the rate :math:`\alpha` alone, and the start, since from zero
    :math:`d = -b_\lambda / \lambda` is large where the eigenvalue is small.

    References
    ----------
    S. G. Nash, A multigrid approach to discretized optimization problems, Optimization Methods and Software 14, 2000.
    L. Kreis, doctoral thesis, Section 3.3.1 and Appendix B.2.

    Examples
    --------
    The slow half of a problem is solved on the coarse level, while gradient steps solve the other half.

    >>> import numpy as np
    >>> from skgrow.multilevel import Subspace, eigenbasis, mgopt_quadratic
    >>> A, b = np.diag(np.linspace(0.01, 2, 20)), np.ones(20)
    >>> transfer = Subspace(eigenbasis(A, 10, "smallest"))
    >>> descent = mgopt_quadratic(A, b, transfer, learning_rate=0.5, n_iter=50, correct_at=())
    >>> both = mgopt_quadratic(A, b, transfer, learning_rate=0.5, n_iter=50, correct_at=[10])
    >>> print(f"{descent.distances[-1]:.0f} {both.distances[-1]:.0e}")
    78 ...e-1...
    """
    as_given = (lambda v: v) if isinstance(A, Tensor) else np.asarray
    A = as_symmetric(A)
    b = _vector(b, "b", A)
    theta = _vector(torch.zeros_like(b) if theta0 is None else theta0, "theta0", A)
    if transfer.n_fine != len(b):
        raise ValueError(f"transfer must have n_fine = {len(b)}, the size of A; got {transfer.n_fine}.")
    for name, number in (("learning_rate", learning_rate), ("correction_step", correction_step)):
        check_scalar(number, name, Real, min_val=0, include_boundaries="neither")
    check_scalar(kappa, "kappa", Real, min_val=0, max_val=1, include_boundaries="neither")
    check_scalar(least_gradient, "least_gradient", Real, min_val=0)
    for name, count in (("n_iter", n_iter), ("check_every", check_every), ("coarse_steps", coarse_steps)):
        if count is not None:
            check_scalar(count, name, Integral, min_val=1)
    iterations = _iterations(n_iter, check_every, correct_at)
    perturbation = _perturbation(noise, random_state)

    P = torch.stack([transfer.apply(e) for e in torch.eye(transfer.n_coarse, dtype=A.dtype, device=A.device)], 1)
    rank = int(torch.linalg.matrix_rank(P))
    if rank < transfer.n_coarse:
        raise ValueError(f"transfer must have a prolongation of rank {transfer.n_coarse}; got one of rank {rank}.")
    A_coarse = transfer.scale * (P.T @ A @ P)
    minimizer = torch.cholesky_solve(b[:, None], _cholesky(A))[:, 0]

    def loss(theta: Tensor) -> float:
        return float(theta @ (A @ theta)) / 2 - float(b @ theta)

    def coarse_step(theta: Tensor, g: Tensor) -> Tensor:
        """Return where h is smallest, or gradient steps down h end, from t0; g is the restricted gradient."""
        if coarse_steps is None:
            return -torch.linalg.solve(A_coarse, g)
        start, s = P @ transfer.restrict(theta), torch.zeros_like(g)
        for _ in range(coarse_steps):
            s = s - learning_rate * (g + A_coarse @ s + transfer.restrict_gradient(perturbation(start + P @ s)))
        return s

    losses, distances, corrections = [loss(theta)], [float(torch.linalg.norm(theta - minimizer))], []
    corrected = False
    for k in range(n_iter):
        gradient = A @ theta - b
        considered, corrected = k in iterations and not corrected, False
        if considered:
            g, share = transfer.restrict_gradient(gradient), transfer.share(gradient)
            corrected = share > kappa and float(torch.linalg.norm(g)) >= least_gradient
        if corrected:
            s = correction_step * coarse_step(theta, g)
            predicted = -float(s @ g + s @ (A_coarse @ s) / 2) / transfer.scale
            theta = theta + P @ s
        else:
            theta = theta - learning_rate * (gradient + perturbation(theta))
        losses.append(loss(theta))
        distances.append(float(torch.linalg.norm(theta - minimizer)))
        if corrected:
            corrections.append(Correction(k, share, True, predicted, losses[-2] - losses[-1]))
        elif considered:
            corrections.append(Correction(k, share, False))
    return QuadraticResult(as_given(theta), np.array(losses), np.array(distances), corrections)


def _vector(values: Any, name: str, A: Tensor) -> Tensor:
    vector = torch.as_tensor(values, dtype=A.dtype, device=A.device).detach()
    if vector.shape != A.shape[:1] or not bool(vector.isfinite().all()):
        raise ValueError(f"{name} must be a finite vector of shape ({len(A)},); got shape {tuple(vector.shape)}.")
    return vector


def _cholesky(A: Tensor) -> Tensor:
    factor, failed = torch.linalg.cholesky_ex(A)
    if failed:
        least = float(torch.linalg.eigvalsh(A)[0])
        raise ValueError(f"A must be positive definite; got one whose smallest eigenvalue is {least:.3g}.")
    return factor


def _iterations(n_iter: int, check_every: int, correct_at: Collection[int] | None) -> Collection[int]:
    if correct_at is None:
        return range(0, n_iter, check_every)
    if check_every > 1:
        raise ValueError(f"check_every must be 1 where correct_at is given; got {check_every!r}.")
    if not set(correct_at) <= set(range(n_iter)):
        raise ValueError(f"correct_at must have whole numbers in [0, {n_iter - 1}]; got {correct_at!r}.")
    return set(correct_at)


def _perturbation(noise: Sequence[float] | None, random_state: Any) -> Callable[[Tensor], Tensor]:
    """Return the function that draws what an estimate of the gradient at v has too much."""
    if noise is None:
        return torch.zeros_like
    if np.shape(noise) != (2,):
        raise ValueError(f"noise must be None or two numbers >= 0; got {noise!r}.")
    p, q = (check_scalar(bound, "noise", Real, min_val=0) for bound in noise)
    rng = check_random_state(random_state)

    def draw(v: Tensor) -> Tensor:
        u = torch.as_tensor(rng.uniform(-p, p, len(v)), dtype=v.dtype, device=v.device)
        return u * (u @ v) - p**2 / 3 * v - rng.uniform(-q, q)

    return draw
