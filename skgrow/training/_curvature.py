r"""Curvature of the data loss in the parameters, as the evidence needs it: dense, or a Kronecker product per layer.

The dense Gauss-Newton matrix is exact and costs :math:`n c p^2`. Its Kronecker approximation (Martens and Grosse 2015)
replaces the mean of products, layer by layer, by the product of means,

.. math:: \sum_j g_j \, (\tilde x_j \tilde x_j^T) \otimes \sum_k d_{jk} d_{jk}^T \approx A \otimes B,

with layer inputs :math:`\tilde x` (a one for the bias joined) and backpropagated curvature roots :math:`d_{jk}`.
It costs no more than c gradients, and the evidence taken with it chooses penalties as well (Immer et al. 2021).
"""

from __future__ import annotations

import torch
from torch import Tensor

from skgrow.networks import Network
from skgrow.training._problem import Problem
from skgrow.training._reduction import gram_matrix, sum_over_samples


class DenseCurvature:
    """The Gauss-Newton matrix.

    Parameters
    ----------
    gram : Tensor of shape (p, p)
        Positive semidefinite.
    """

    def __init__(self, gram: Tensor) -> None:
        self.gram = gram

    def is_finite(self) -> bool:
        """Whether all entries are."""
        return bool(torch.isfinite(self.gram).all())

    def largest(self) -> float:
        """Return the largest diagonal entry."""
        return float(self.gram.diagonal().max())

    def damped(self, ridge: float, penalised: Tensor) -> tuple[float, Tensor]:
        """Return log determinant and diagonal of the inverse of the matrix plus ``ridge * diag(penalised)``."""
        factor = damped_cholesky(self.gram, ridge * penalised)
        return 2 * float(factor.diagonal().log().sum()), torch.cholesky_inverse(factor).diagonal()


class KroneckerCurvature:
    """A Kronecker product per layer; parameters of different layers are taken as uncorrelated.

    Parameters
    ----------
    factors : list of (Tensor of shape (w_in + 1, w_in + 1), Tensor of shape (w_out, w_out))
        A and B of every layer.
    first : (Tensor of shape (w_in + 1,), Tensor of shape (w_in + 1, w_in + 1)), optional
        Eigenvalues and eigenvectors of the first A, where they are known.
    """

    def __init__(self, factors: list[tuple[Tensor, Tensor]], first: tuple[Tensor, Tensor] | None = None) -> None:
        self.factors = factors
        self.first = first

    @classmethod
    def of(cls, network: Network, problem: Problem) -> KroneckerCurvature:
        """Return the curvature of a problem's data loss at a network."""
        loss = problem.loss
        A, first = problem.input_gram

        def chunk(X: Tensor, Y: Tensor, g: Tensor) -> tuple[Tensor, ...]:
            state = network.forward_pass(X)
            n, c = state.output.shape
            seed = loss.curvature_root(state.output, Y)
            if seed is None:
                seed = torch.eye(c, dtype=X.dtype, device=X.device).unsqueeze(1).expand(c, n, c)
            found = []
            root = g.sqrt()[:, None]
            for i, (x, d) in enumerate(zip(state.inputs, network.backward_pass(state, seed * root), strict=True)):
                if i > 0:
                    inputs = torch.cat([x, x.new_ones(n, 1)], 1) * root
                    found.append(gram_matrix(inputs))
                rows = d.flatten(0, 1)
                found.append(gram_matrix(rows))
            return tuple(found)

        size = (4 + 2 * problem.Y.shape[1]) * network.n_activations * problem.X.element_size()
        parts = sum_over_samples(chunk, problem.X, problem.Y, problem.g, bytes_per_row=size)
        return cls(list(zip([A, *parts[1::2]], parts[::2], strict=True)), first)

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
        for i, (A, B) in enumerate(self.factors):
            lam, U = torch.linalg.eigh(A) if i > 0 or self.first is None else self.first
            mu, V = torch.linalg.eigh(B)
            values = (mu.clamp_min(0)[:, None] * lam.clamp_min(0) + ridge).clamp_min(1e-300)
            log_det += float(values.log().sum())
            inverse = V.square() @ values.reciprocal() @ U.square().T
            diagonals += [inverse[:, :-1].reshape(-1), inverse[:, -1]]
        return log_det, torch.cat(diagonals)


Curvature = DenseCurvature | KroneckerCurvature


def curvature_of(network: Network, problem: Problem) -> Curvature:
    """Return the curvature of the kind that the problem asks for."""
    if problem.curvature_kind == "kronecker":
        return KroneckerCurvature.of(network, problem)
    return DenseCurvature(problem.gauss_newton(network)[2])


def damped_cholesky(gram: Tensor, damping: Tensor) -> Tensor:
    """Cholesky factor of ``gram + diag(damping)``, with as much more damping as rounding makes necessary."""
    extra = float(gram.diagonal().mean()) * torch.finfo(gram.dtype).eps
    matrix = gram + torch.diag(damping)
    for _ in range(40):
        factor, info = torch.linalg.cholesky_ex(matrix)
        if int(info) == 0:
            return factor
        extra = max(10 * extra, 1e-300)
        matrix = matrix + extra * torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    raise torch.linalg.LinAlgError("The Gauss-Newton matrix is not finite.")
