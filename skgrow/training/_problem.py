"""A training problem: data, loss, sample weights and the L2 penalty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from skgrow.networks import MLP
from skgrow.training._losses import SquaredError
from skgrow.training._reduction import sum_over_samples


@dataclass
class Problem:
    r"""Minimise :math:`\sum_i g_i \ell(F(x_i), y_i) + \frac{\alpha}{2 n} |\theta|^2` over networks F.

    The penalty is on all weights and hidden biases; output biases are free. With unit weights this is
    the objective of :class:`~sklearn.neural_network.MLPRegressor`, there without penalty on biases.

    Parameters
    ----------
    X : Tensor of shape (n, d)
        Inputs.
    Y : Tensor of shape (n, c)
        Targets.
    sample_weight : Tensor of shape (n,), optional
        Not negative; ``g`` is this normalised to sum 1. Weights count observations: ``total_weight``, their
        sum, is the number of observations that the evidence sees.
    alpha : float, default=0
        Strength of the penalty.
    loss : SquaredError
        The loss.
    auto_alpha : bool, default=False
        Whether training may set ``alpha`` by the evidence.
    """

    X: Tensor
    Y: Tensor
    sample_weight: Tensor | None = None
    alpha: float = 0.0
    loss: SquaredError = field(default_factory=SquaredError)
    auto_alpha: bool = False

    def __post_init__(self) -> None:
        n = self.X.shape[0]
        if self.sample_weight is None:
            self.total_weight = float(n)
            self.g = self.X.new_full((n,), 1.0 / n)
        else:
            total = self.sample_weight.sum()
            self.total_weight = float(total)
            self.g = self.sample_weight / total

    @property
    def n_samples(self) -> int:
        """Number of rows."""
        return self.X.shape[0]

    def with_targets(self, Y: Tensor) -> Problem:
        """Return the same problem with other targets, for example residuals."""
        return replace(self, Y=Y)

    # penalty -----------------------------------------------------------------------------------------------

    def penalty_weights(self, network: MLP) -> Tensor:
        """Return 1 for every penalised parameter and 0 for the output biases, shape (n_parameters,)."""
        mask = torch.ones_like(network.theta)
        mask[network.slices[-1][1]] = 0
        return mask

    def penalty(self, network: MLP) -> Tensor:
        """Return the penalty term of the objective."""
        theta = network.theta[: network.slices[-1][1].start]
        return (theta @ theta) * (self.alpha / (2 * self.total_weight))

    # values and derivatives --------------------------------------------------------------------------------

    def _bytes_per_row(self, network: MLP, copies: int = 4) -> int:
        return copies * sum(network.layer_sizes) * self.X.element_size()

    def data_loss(self, network: MLP) -> Tensor:
        """Return the loss without the penalty."""

        def chunk(X: Tensor, Y: Tensor, g: Tensor) -> tuple[Tensor]:
            return (self.loss.value(network(X), Y) @ g,)

        return sum_over_samples(chunk, self.X, self.Y, self.g, bytes_per_row=self._bytes_per_row(network))[0]

    def objective(self, network: MLP) -> Tensor:
        """Return loss and penalty."""
        return self.data_loss(network) + self.penalty(network)

    def negative_gradient(self, network: MLP) -> Tensor:
        r"""Return the negative functional gradient :math:`E`, shape (n, c), without sample weights."""

        def chunk(X: Tensor, Y: Tensor) -> Tensor:
            return self.loss.negative_gradient(network(X), Y)

        rows = 2**22 // max(1, sum(network.layer_sizes)) + 1
        parts = [chunk(x, y) for x, y in zip(self.X.split(rows), self.Y.split(rows), strict=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def value_and_gradient(self, network: MLP) -> tuple[Tensor, Tensor]:
        """Return the objective and its gradient with respect to ``network.theta``."""

        def chunk(X: Tensor, Y: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
            state = network.forward_pass(X)
            delta = self.loss.negative_gradient(state.output, Y).mul_(-g[:, None])
            return self.loss.value(state.output, Y) @ g, network.gradient(state, delta)

        size = self._bytes_per_row(network, 6)
        value, gradient = sum_over_samples(chunk, self.X, self.Y, self.g, bytes_per_row=size)
        gradient[: network.slices[-1][1].start].add_(
            network.theta[: network.slices[-1][1].start], alpha=self.alpha / self.total_weight
        )
        return value + self.penalty(network), gradient

    def gauss_newton(self, network: MLP) -> tuple[Tensor, Tensor, Tensor]:
        r"""Return the data loss, its gradient and its Gauss-Newton matrix :math:`\sum_i g_i J_i^T J_i`.

        The Jacobian is formed in chunks bounded by a memory budget; the penalty is left out of all three.
        """

        def chunk(X: Tensor, Y: Tensor, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            state = network.forward_pass(X)
            E = self.loss.negative_gradient(state.output, Y)
            J = network.jacobian(state)
            J.mul_(g.sqrt()[:, None])
            J = J.view(-1, network.n_parameters)
            E = (E * g.sqrt()[:, None]).T.reshape(-1)
            return self.loss.value(state.output, Y) @ g, -(J.T @ E), gram_matrix(J)

        size = 2 * network.n_parameters * self.Y.shape[1] * self.X.element_size()
        return sum_over_samples(chunk, self.X, self.Y, self.g, bytes_per_row=size)  # type: ignore[return-value]

    # mini-batches ------------------------------------------------------------------------------------------

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[Problem]:
        """Yield problems on a random partition of the samples.

        Sample weights are rescaled so that the mean over batches of equal size is the whole problem; the
        penalty's factor is that of the whole problem.
        """
        n = self.n_samples
        order = torch.randperm(n, generator=generator).to(self.X.device)
        for rows in order.split(batch_size):
            batch = object.__new__(Problem)
            batch.X, batch.Y, batch.sample_weight = self.X[rows], self.Y[rows], self.sample_weight
            batch.alpha, batch.loss, batch.total_weight = self.alpha, self.loss, self.total_weight
            batch.auto_alpha = False
            batch.g = self.g[rows] * (n / len(rows))
            yield batch


def gram_matrix(J: Tensor) -> Tensor:
    """Return ``J.T @ J`` by column blocks on and above the diagonal: five eighths of the full product's work."""
    p = J.shape[1]
    if p < 64:
        return J.T @ J
    edges = [round(i * p / 4) for i in range(5)]
    gram = J.new_empty(p, p)
    for i in range(4):
        rows = slice(edges[i], edges[i + 1])
        beyond = slice(edges[i], p)
        torch.mm(J[:, rows].T, J[:, beyond], out=gram[rows, beyond])
        gram[edges[i + 1] :, rows] = gram[rows, edges[i + 1] :].T
    return gram
