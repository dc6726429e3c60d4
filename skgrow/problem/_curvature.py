r"""Curvature of the data loss in the parameters, as the evidence needs it: dense, or a Kronecker product per layer.

The dense Gauss-Newton matrix is exact and costs :math:`n c p^2`. Its Kronecker approximation (Martens and Grosse 2015)
replaces the mean of products, layer by layer, by the product of means,

.. math:: \sum_j g_j \, (\tilde x_j \tilde x_j^T) \otimes \sum_k d_{jk} d_{jk}^T \approx A \otimes B,

with layer inputs :math:`\tilde x` (a one for the bias joined) and backpropagated curvature roots :math:`d_{jk}`.
It costs no more than c gradients, and the evidence taken with it chooses penalties as well (Immer et al. 2021).

Of fewer rows than parameters the dense matrix :math:`R^T R` is not formed in training: what is asked of it,
damped, follows from :math:`R R^T` by the identity of Woodbury.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import torch
from scipy.linalg.lapack import dtrtri, strtri
from torch import Tensor

from skgrow._tolerances import CHOLESKY_FACTOR, CHOLESKY_TRIES
from skgrow.networks import Network, patches
from skgrow.problem._precision import bounded, tiny
from skgrow.problem._reduction import CHUNKS, gram_matrix, sum_over_samples

if TYPE_CHECKING:
    from skgrow.problem._problem import Problem


class DenseCurvature:
    """The Gauss-Newton matrix.

    Parameters
    ----------
    gram : Tensor of shape (p, p)
        Positive semidefinite.
    """

    #: Whether the matrix is exact, and so good for steps and leverages.
    is_exact: ClassVar[bool] = True

    def __init__(self, gram: Tensor) -> None:
        self.gram = gram

    @staticmethod
    def of(network: Network, problem: Problem) -> DenseCurvature:
        """Return the curvature of a problem's data loss at a network."""
        problem.count(network, (1 + 2 * problem.Y.shape[1]) / 3)
        return problem.linearised(network)[2]

    def is_finite(self) -> bool:
        """Whether all entries are: none is larger than the largest on the diagonal."""
        return bool(torch.isfinite(self.gram.diagonal()).all())

    def largest(self) -> float:
        """Return the largest diagonal entry."""
        return float(self.gram.diagonal().max())

    def damped(self, ridge: float, penalised: Tensor) -> tuple[float, Tensor]:
        """Return log determinant and diagonal of the inverse of the matrix plus ``ridge * diag(penalised)``."""
        factor = damped_cholesky(self.gram, bounded(ridge, penalised.dtype) * penalised)
        return 2 * float(factor.diagonal().log().sum()), inverse_diagonal(factor)

    def solve(self, ridge: float, penalised: Tensor, damping: float, b: Tensor) -> Tensor | None:
        """Return the matrix plus ``ridge * diag(penalised) + damping * identity``, inverted, times the columns of b.

        None if the sum is not positive definite to rounding.
        """
        factor, info = torch.linalg.cholesky_ex(_with_diagonal(self.gram, ridge * penalised + damping))
        return None if int(info) else torch.cholesky_solve(b, factor)

    def freeze(self, frozen: Tensor) -> None:
        """Let the parameters with True have no curvature."""
        self.gram[frozen] = 0
        self.gram[:, frozen] = 0


class RowCurvature(DenseCurvature):
    r"""The Gauss-Newton matrix :math:`R^T R` of fewer rows than parameters.

    With :math:`R = (R_1, R_0)`, for penalised and free parameters, and damping s and :math:`s_0` of the two,

    .. math::
        K = I + R_1 R_1^T / s, \qquad S = R_0^T K^{-1} R_0 + s_0 I, \qquad
        |H| = s^{p_1} |K| |S| ,

    and the inverse follows by blocks. All costs are those of matrices as large as R.

    Parameters
    ----------
    rows : Tensor of shape (m, p)
        R; free parameters are the last ones.
    n_free : int
        Number of free parameters.
    first : (Tensor of shape (m, w), Tensor of shape (m, d)), optional
        Derivatives and inputs whose products, row by row, are the first w d columns: those of incoming weights. Their
        part of :math:`R_1 R_1^T` is the product, entry by entry, of two much smaller Gram matrices.
    """

    def __init__(self, rows: Tensor, n_free: int, first: tuple[Tensor, Tensor] | None = None) -> None:
        self.rows, self.n_free, self.first = rows, n_free, first

    @cached_property
    def gram(self) -> Tensor:  # type: ignore[override]
        """The matrix itself."""
        return gram_matrix(self.rows)

    @cached_property
    def _kernel(self) -> Tensor:
        rows = self.rows[:, : -self.n_free]
        if self.first is None:
            return rows @ rows.T
        D, A = self.first
        rest = rows[:, D.shape[1] * A.shape[1] :]
        return torch.addmm((D @ D.T).mul_(A @ A.T), rest, rest.T)

    def is_finite(self) -> bool:
        """Whether all entries are."""
        return bool(torch.isfinite(self.rows.square().sum()))

    def largest(self) -> float:
        """Return the largest diagonal entry."""
        return float(self.rows.square().sum(0).max())

    def freeze(self, frozen: Tensor) -> None:
        """Let the parameters with True have no curvature."""
        self.rows = self.rows.masked_fill(frozen, 0.0)
        if self.first is not None:
            D, A = self.first
            neurons = frozen[: D.shape[1] * A.shape[1]].view(D.shape[1], -1)
            whole = bool((neurons == neurons[:, :1]).all())
            self.first = (D.masked_fill(neurons[:, 0], 0.0), A) if whole else None
        for name in ("gram", "_kernel"):
            self.__dict__.pop(name, None)

    def _factors(self, ridge: float, free_ridge: float) -> tuple[float, Tensor, Tensor, Tensor] | None:
        """Return s, the Cholesky factor of K, its inverse times R_0, and the Cholesky factor of S."""
        m, limits = len(self.rows), torch.finfo(self.rows.dtype)
        size = float(self._kernel.diagonal().mean())
        if not math.isfinite(size):
            return None
        s = max(ridge, m * limits.eps * size, limits.tiny)
        factor = damped_cholesky(self._kernel / s, self.rows.new_ones(m))
        free = torch.linalg.solve_triangular(factor, self.rows[:, -self.n_free :], upper=False)
        schur = damped_cholesky(gram_matrix(free), free.new_full((self.n_free,), free_ridge))
        return s, factor, free, schur

    def damped(self, ridge: float, penalised: Tensor) -> tuple[float, Tensor]:  # noqa: ARG002
        """Return log determinant and diagonal of the inverse of the matrix plus ``ridge * diag(penalised)``.

        With ``first``, every entry of the incoming weights of a neuron is their mean.
        """
        found = self._factors(ridge, 0.0)
        if found is None:
            raise torch.linalg.LinAlgError("The Gauss-Newton matrix is not finite.")
        s, factor, free, schur = found
        rows, means = self.rows[:, : -self.n_free], self.rows.new_zeros(0)
        log_det = rows.shape[1] * math.log(s) + 2 * float(factor.diagonal().log().sum() + schur.diagonal().log().sum())
        # the inverse is 1 / s minus R^T B R
        seen = torch.linalg.solve_triangular(
            factor.T, torch.linalg.solve_triangular(schur, free.T, upper=False).T, upper=True
        )
        B = (torch.cholesky_inverse(factor) - seen @ seen.T) / s**2
        if self.first is not None:
            D, A = self.first
            d = A.shape[1]
            means = (D * ((B * (A @ A.T)) @ D)).sum(0).div_(d).repeat_interleave(d)
            rows = rows[:, len(means) :]
        diagonal = 1 / s - torch.cat([means, (rows * (B @ rows)).sum(0)])
        return log_det, torch.cat([diagonal, torch.cholesky_inverse(schur).diagonal()])

    def solve(self, ridge: float, penalised: Tensor, damping: float, b: Tensor) -> Tensor | None:  # noqa: ARG002
        """Return the matrix plus ``ridge * diag(penalised) + damping * identity``, inverted, times the columns of b.

        None if the sum is not positive definite to rounding.
        """
        found = self._factors(ridge + damping, damping)
        if found is None:
            return None
        s, factor, free, schur = found
        R1, R0 = self.rows[:, : -self.n_free], self.rows[:, -self.n_free :]
        b1, b0 = b[: -self.n_free], b[-self.n_free :]
        seen = torch.linalg.solve_triangular(factor, R1 @ b1 / s, upper=False)
        x0 = torch.cholesky_solve(b0 - free.T @ seen, schur)
        r = b1 - R1.T @ (R0 @ x0)
        x1 = (r - R1.T @ torch.cholesky_solve(R1 @ r / s, factor)) / s
        return torch.cat([x1, x0])


class KroneckerCurvature:
    """A Kronecker product per layer; parameters of different layers are taken as uncorrelated.

    Parameters
    ----------
    factors : list of (Tensor of shape (w_in + 1, w_in + 1), Tensor of shape (w_out, w_out))
        A and B of every layer; A of shape (w_in, w_in) if it has no bias.
    first : (Tensor of shape (w_in + 1,), Tensor of shape (w_in + 1, w_in + 1)), optional
        Eigenvalues and eigenvectors of the first A, if they are known.
    has_bias : sequence of bool, optional
        Which layers have one; default: all.
    rank : int, optional
        Rank of the matrix that is approximated, at most: its rows. Only so many eigenvalues, the largest, are not
        zero; without that a network of more parameters than rows would seem to be determined by fewer rows than it is.
    """

    is_exact: ClassVar[bool] = False

    def __init__(
        self,
        factors: list[tuple[Tensor, Tensor]],
        first: tuple[Tensor, Tensor] | None = None,
        has_bias: Sequence[bool] | None = None,
        rank: int | None = None,
    ) -> None:
        self.factors = factors
        self.first = first
        self.has_bias = [True] * len(factors) if has_bias is None else has_bias
        self.rank = rank

    @classmethod
    def of(cls, network: Network, problem: Problem) -> KroneckerCurvature:
        """Return the curvature of a problem's data loss at a network."""
        loss, has_bias = problem.loss, network.has_bias
        known = len(network.shapes[0]) == 2 and has_bias[0]
        A, first = problem.input_gram if known else (None, None)
        problem.count(network, (1 + 2 * problem.Y.shape[1]) / 3)

        def chunk(X: Tensor, Y: Tensor, g: Tensor) -> tuple[Tensor, ...]:
            state = network.forward_pass(X)
            n, c = state.output.shape
            seed = loss.curvature_root(state.output, Y)
            if seed is None:
                seed = torch.eye(c, dtype=X.dtype, device=X.device).unsqueeze(1).expand(c, n, c)
            found = []
            root = g.sqrt()[:, None]
            for i, (x, d) in enumerate(zip(state.inputs, network.backward_pass(state, seed * root), strict=True)):
                if i > 0 or not known:
                    found.append(gram_matrix(_input_rows(x, root, has_bias[i])))
                found.append(gram_matrix(_derivative_rows(d)))
            return tuple(found)

        size = (4 + 2 * problem.Y.shape[1]) * network.n_activations * problem.X.element_size()
        parts = sum_over_samples(chunk, problem.X, problem.Y, problem.g, bytes_per_row=size)
        parts = parts if A is None else (A, *parts)
        return cls(list(zip(parts[::2], parts[1::2], strict=True)), first, has_bias, problem.Y.numel())

    def is_finite(self) -> bool:
        """Whether all entries are."""
        return all(bool(torch.isfinite(part).all()) for pair in self.factors for part in pair)

    def largest(self) -> float:
        """Return the largest diagonal entry."""
        return max(float(A.diagonal().max() * B.diagonal().max()) for A, B in self.factors if len(B) and len(A))

    def damped(self, ridge: float, penalised: Tensor) -> tuple[float, Tensor]:  # noqa: ARG002
        """Return log determinant and diagonal of the inverse of the matrix plus ``ridge`` times the identity.

        Output biases count as penalised here: a constant for all networks of one problem, about.
        """
        log_det, diagonals = 0.0, []
        for (values, U, V), bias in zip(self._spectra, self.has_bias, strict=True):
            damped = (values + ridge).clamp_min(tiny(values.dtype))
            log_det += float(damped.log().sum())
            inverse = V.square() @ damped.reciprocal() @ U.square().T
            diagonals += [inverse[:, :-1].reshape(-1), inverse[:, -1]] if bias else [inverse.reshape(-1)]
        return log_det, torch.cat(diagonals)

    @cached_property
    def _spectra(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """The eigenvalues of every layer, shape (w_out, w_in + 1), and the eigenvectors of A and of B."""
        found = []
        for i, (A, B) in enumerate(self.factors):
            lam, U = eigen(A) if i > 0 or self.first is None else self.first
            mu, V = eigen(B)
            found.append((mu.clamp_min(0)[:, None] * lam.clamp_min(0), U, V))
        every = torch.cat([values.flatten() for values, _, _ in found])
        if self.rank is None or self.rank >= len(every):
            return found
        least = every.topk(self.rank).values[-1]
        return [(torch.where(values < least, 0.0, values), U, V) for values, U, V in found]


class SampledKroneckerCurvature(KroneckerCurvature):
    """The same from a sample of the rows: factors are means, and it is taken again and again during training."""

    @classmethod
    def of(cls, network: Network, problem: Problem) -> KroneckerCurvature:
        """Return the curvature of a problem's data loss at a network."""
        n = problem.n_samples
        if n > CHUNKS.curvature_rows:
            rows = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: CHUNKS.curvature_rows]
            problem = problem.batch(rows.to(problem.X.device), n / CHUNKS.curvature_rows)
        found = super().of(network, problem)
        found.rank = n * problem.Y.shape[1]
        return found


def eigen(A: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues and eigenvectors of a symmetric matrix, whose values may repeat."""
    try:
        lam, U = torch.linalg.eigh(A)
    except torch.linalg.LinAlgError:  # in single precision that happens
        lam, U = torch.linalg.eigh(A.to("cpu", torch.float64))
    return lam.to(A), U.to(A)


def _input_rows(x: Tensor, root: Tensor, bias: bool) -> Tensor:
    """Return rows whose Gram matrix is A; of a convolution a row per pixel."""
    if x.ndim > 2:
        x = patches(x)
        root = root.repeat_interleave(x.shape[1], 0)
        x = x.flatten(0, 1)
    return (torch.cat([x, x.new_ones(len(x), 1)], 1) if bias else x) * root


def _derivative_rows(d: Tensor) -> Tensor:
    """Return rows whose Gram matrix is B; of a convolution the mean over pixels (Grosse and Martens 2016)."""
    if d.ndim > 3:
        d = d.flatten(3).transpose(2, 3) / math.sqrt(math.prod(d.shape[3:]))
    return d.flatten(0, -2)


Curvature = DenseCurvature | KroneckerCurvature


def _with_diagonal(gram: Tensor, added: Tensor) -> Tensor:
    """Return a matrix plus a diagonal one."""
    matrix = gram.clone()
    matrix.diagonal().add_(added)
    return matrix


def damped_cholesky(gram: Tensor, damping: Tensor) -> Tensor:
    """Cholesky factor of ``gram + diag(damping)``, with as much more damping as rounding makes necessary."""
    extra = float(gram.diagonal().mean()) * torch.finfo(gram.dtype).eps
    matrix = _with_diagonal(gram, damping)
    for _ in range(CHOLESKY_TRIES):
        factor, info = torch.linalg.cholesky_ex(matrix)
        if int(info) == 0:
            return factor
        extra = max(CHOLESKY_FACTOR * extra, tiny(gram.dtype))
        matrix.diagonal().add_(extra)
    raise torch.linalg.LinAlgError("The Gauss-Newton matrix is not finite.")


def inverse_diagonal(factor: Tensor) -> Tensor:
    """Return the diagonal of the inverse of a matrix, of its Cholesky factor: a triangle is cheaper to invert."""
    if factor.device.type != "cpu":
        return torch.cholesky_inverse(factor).diagonal()
    invert = dtrtri if factor.dtype == torch.float64 else strtri
    inverse, _ = invert(factor.numpy().T, lower=0)  # as LAPACK stores it, the transpose
    return torch.from_numpy(inverse).square().sum(1)


def gauss_newton_work(n_samples: int, n_outputs: int, n_parameters: int, *, by_rows: bool = True) -> float:
    """Return the floating-point operations of one Gauss-Newton matrix and its factorisation, in the cheaper form.

    Without ``by_rows``, as under an operator, there is but the one over parameters.
    """
    rows = n_samples * n_outputs
    small, large = sorted((rows, n_parameters)) if by_rows else (n_parameters, rows)
    return 2.0 * large * small**2 + small**3
