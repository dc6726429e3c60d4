"""A training problem: data, loss, sample weights and the L2 penalty."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from skgrow.networks import MLP, Network
from skgrow.problem._losses import Loss, SquaredError
from skgrow.problem._operators import Operator
from skgrow.problem._reduction import gram_matrix, sum_over_samples


@dataclass
class Problem:
    r"""Minimise :math:`\sum_i g_i \ell(F(x_i), y_i) + \text{penalty}` over networks F.

    The penalty is :math:`\frac{\alpha}{2 n} |\theta|^2` on all weights and hidden biases; output biases are free.
    With unit weights this is the objective of :class:`~sklearn.neural_network.MLPRegressor`, there without penalty on
    biases. The path penalty of a network with one hidden layer is
    :math:`\frac{\alpha}{n} \sum_j |a_j| |(w_j, b_j)|`, which the former is for balanced (leaky) ReLU neurons.

    Parameters
    ----------
    X : Tensor of shape (n, d)
        Inputs.
    Y : Tensor of shape (n, c)
        Targets; with an operator of q components (n q, c), component by component.
    sample_weight : Tensor of shape (n,), optional
        Not negative; ``g`` is this normalised to sum 1 (over all rows of Y). Weights count observations:
        ``total_weight``, their sum, is the number of observations that the evidence sees.
    alpha : float, default=0
        Strength of the penalty.
    loss : Loss, default=SquaredError()
        The loss.
    auto_alpha : bool, default=False
        Whether training may set ``alpha`` by the evidence.
    operator : Operator, optional
        Linear operator H: its image HF is fitted instead of F.
    penalty_kind : {"l2", "path"}, default="l2"
        The penalty.
    curvature_kind : {"dense", "kronecker"}, default="dense"
        What the evidence is computed from.
    offset : Tensor of shape of Y, optional
        Added to the outputs: what a frozen part of the network contributes.
    """

    X: Tensor
    Y: Tensor
    sample_weight: Tensor | None = None
    alpha: float = 0.0
    loss: Loss = field(default_factory=SquaredError)
    auto_alpha: bool = False
    operator: Operator | None = None
    penalty_kind: str = "l2"
    curvature_kind: str = "dense"
    offset: Tensor | None = None

    def __post_init__(self) -> None:
        rows, copies = len(self.Y), len(self.Y) // len(self.X)
        if self.sample_weight is None:
            self.total_weight = float(rows)
            self.g = self.X.new_full((rows,), 1.0 / rows)
        else:
            weight = self.sample_weight.repeat(copies)
            total = weight.sum()
            self.total_weight = float(total)
            self.g = weight / total
        #: Data losses of networks, by identity: networks are values. None where parameters move under a network.
        self._losses: WeakKeyDictionary[Network, Tensor] | None = WeakKeyDictionary()

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.X.shape[0]

    @property
    def n_observed(self) -> float:
        """Number of scalar observations."""
        return self.loss.n_observed(self.total_weight, self.Y.shape[1])

    @cached_property
    def input_gram(self) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Weighted Gram matrix of the inputs and the constant, and where it is finite its eigendecomposition."""

        def chunk(X: Tensor, g: Tensor) -> tuple[Tensor]:
            rows = torch.cat([X, X.new_ones(len(X), 1)], 1) * g.sqrt()[:, None]
            return (gram_matrix(rows),)

        size = 4 * self.X.shape[1] * self.X.element_size()
        (gram,) = sum_over_samples(chunk, self.X, self.g, bytes_per_row=size)
        return gram, torch.linalg.eigh(gram) if bool(torch.isfinite(gram).all()) else None

    # penalty -----------------------------------------------------------------------------------------------

    def penalty_weights(self, network: Network) -> Tensor:
        """Return 1 for every penalised parameter and 0 for the output biases, shape (n_parameters,)."""
        mask = torch.ones_like(network.theta)
        mask[network.slices[-1][1]] = 0
        return mask

    def penalty(self, network: Network) -> Tensor:
        """Return the penalty term of the objective."""
        if self.penalty_kind == "path":
            incoming = (network.weights[0].square().sum(1) + network.biases[0].square()).sqrt()
            outgoing = torch.linalg.vector_norm(network.weights[1], dim=0)
            return (incoming @ outgoing) * (self.alpha / self.total_weight)
        theta = network.theta[: network.slices[-1][1].start]
        return (theta @ theta) * (self.alpha / (2 * self.total_weight))

    def add_penalty_gradient(self, network: Network, gradient: Tensor) -> None:
        """Add the gradient of the L2 penalty to the vector given."""
        free = network.slices[-1][1].start
        gradient[:free].add_(network.theta[:free], alpha=self.alpha / self.total_weight)

    def count(self, network: Network, gradients: float) -> None:
        """Take note of work on this problem, in gradients of it (a loss is a third of one); here nobody asks."""

    # values and derivatives --------------------------------------------------------------------------------

    def outputs(self, network: Network) -> Tensor:
        """Return the outputs, or their images under the operator, shape of Y."""
        F = network(self.X) if self.operator is None else self.operator(network, self.X)
        return F if self.offset is None else F + self.offset

    def basis(self, network: MLP) -> Tensor:
        """Return what the output weights multiply: last hidden features and the constant, shape (rows, w + 1)."""

        def features(points: Tensor) -> Tensor:
            H = network.hidden(points)
            return torch.cat([H, H.new_ones(len(H), 1)], 1)

        return features(self.X) if self.operator is None else self.operator(features, self.X)

    def _sum(self, chunk: Callable[..., tuple[Tensor, ...]], copies: float, network: Network) -> tuple[Tensor, ...]:
        """Sum over samples in chunks bounded by memory; ``chunk(X, Y, g, offset)``, offset 0 where there is none."""
        size = int(copies * network.n_activations * self.X.element_size())
        if self.offset is None:
            return sum_over_samples(lambda X, Y, g: chunk(X, Y, g, 0), self.X, self.Y, self.g, bytes_per_row=size)
        return sum_over_samples(chunk, self.X, self.Y, self.g, self.offset, bytes_per_row=size)

    def data_loss(self, network: Network) -> Tensor:
        """Return the loss without the penalty; of the same network it is computed once."""
        known = None if self._losses is None else self._losses.get(network)
        return self._noted(network, self._data_loss(network)) if known is None else known

    def note_same_function(self, network: Network, other: Network) -> None:
        """Take note that a network has the function of another one: if that one's loss is known, so is its."""
        if self._losses is not None and other in self._losses:
            self._losses[network] = self._losses[other]

    def _noted(self, network: Network, value: Tensor) -> Tensor:
        if self._losses is not None:
            self._losses[network] = value
        return value

    def _data_loss(self, network: Network) -> Tensor:
        self.count(network, 1 / 3)
        if self.operator is not None:
            return self.loss.value(self.outputs(network), self.Y) @ self.g

        def chunk(X: Tensor, Y: Tensor, g: Tensor, offset: Tensor) -> tuple[Tensor]:
            return (self.loss.value(network(X) + offset, Y) @ g,)

        return self._sum(chunk, 4, network)[0]

    def objective(self, network: Network) -> Tensor:
        """Return loss and penalty."""
        return self.data_loss(network) + self.penalty(network)

    def negative_gradient(self, network: Network) -> Tensor:
        r"""Return the negative functional gradient :math:`E`, shape of Y, without sample weights."""
        rows = 2**22 // max(1, network.n_activations) + 1
        if self.operator is not None or self.offset is not None or len(self.X) <= rows:
            return self.loss.negative_gradient(self.outputs(network), self.Y)
        pairs = zip(self.X.split(rows), self.Y.split(rows), strict=True)
        return torch.cat([self.loss.negative_gradient(network(x), y) for x, y in pairs])

    def value_and_gradient(self, network: Network) -> tuple[Tensor, Tensor]:
        """Return the objective and its gradient with respect to ``network.theta``."""
        value, gradient = self._value_and_gradient(network)
        self.add_penalty_gradient(network, gradient)
        return value + self.penalty(network), gradient

    def _value_and_gradient(self, network: Network) -> tuple[Tensor, ...]:
        self.count(network, 1.0)
        if self.operator is not None:
            found = torch.func.vjp(self._outputs_of(network), network.theta)
            F, pull_back = found[0], found[1]
            value, E = self.loss.value_and_negative_gradient(F, self.Y)
            return self._noted(network, value @ self.g), pull_back(E.mul_(-self.g[:, None]))[0]

        def chunk(X: Tensor, Y: Tensor, g: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
            state = network.forward_pass(X)
            value, E = self.loss.value_and_negative_gradient(state.output + offset, Y)
            return value @ g, network.gradient(state, E.mul_(-g[:, None]))

        value, gradient = self._sum(chunk, 6, network)
        return self._noted(network, value), gradient

    def _outputs_of(self, network: Network) -> Callable[[Tensor], Tensor]:
        return lambda theta: self.outputs(network.with_theta(theta))

    def gauss_newton(self, network: Network) -> tuple[Tensor, Tensor, Tensor]:
        r"""Return the data loss, its gradient and its Gauss-Newton matrix :math:`\sum_i g_i J_i^T H_i J_i`.

        Here :math:`H_i` is the curvature of the loss. The Jacobian is formed in chunks bounded by a memory budget; the
        penalty is left out of all three. Where the loss has a direction without curvature, the mean of all outputs, the
        matrix is completed by that of half the squared mean of the output biases, which fixes the constant that
        cross-entropy leaves open and nothing else.
        """
        if self.operator is not None:
            value, gradient = self._value_and_gradient(network)
            return value, gradient, self._operator_gauss_newton(network)

        def chunk(X: Tensor, Y: Tensor, g: Tensor, offset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            value, gradient, rows = self._linearised(network, X, Y, g, offset)
            return value, gradient, gram_matrix(rows)

        copies = 2 * network.n_parameters * self.Y.shape[1] / network.n_activations
        value, gradient, gram = self._sum(chunk, copies, network)
        if not self.loss.is_separable:
            places = network.slices[-1][1]
            gram[places, places] += 1 / self.Y.shape[1]
        return value, gradient, gram

    def gauss_newton_rows(self, network: Network) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor] | None]:
        """Return the data loss, its gradient, a matrix R with the Gauss-Newton matrix R^T R, and its factors.

        R has a row per sample and output, and one more where :meth:`gauss_newton` completes the matrix. Its first
        columns are the products of the two factors, see :class:`RowCurvature`; None for convolutions.
        """
        offset = 0 if self.offset is None else self.offset
        value, gradient, rows = self._linearised(network, self.X, self.Y, self.g, offset)
        if not self.loss.is_separable:
            constant = rows.new_zeros(1, network.n_parameters)
            constant[:, network.slices[-1][1]] = self.Y.shape[1] ** -0.5
            rows = torch.cat([rows, constant])
        w, d = network.shapes[0][:2]
        if len(network.shapes[0]) > 2 or len(network.shapes) == 1:
            return value, gradient, rows, None
        # the derivatives by the biases are those by the pre-activations
        places = network.slices[0][1]
        if places.stop - places.start < w:
            return value, gradient, rows, None
        inputs = self.X.repeat(len(rows) // len(self.X), 1)
        inputs = torch.cat([inputs, inputs.new_zeros(len(rows) - len(inputs), d)])
        return value, gradient, rows, (rows[:, places], inputs)

    def _linearised(
        self, network: Network, X: Tensor, Y: Tensor, g: Tensor, offset: Tensor | int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of some samples, its gradient, and the roots of curvature times their Jacobian."""
        state = network.forward_pass(X)
        F = state.output + offset
        J = network.jacobian(state, self.loss.curvature_root(F, Y))
        J.mul_(g.sqrt()[:, None])
        J = J.view(-1, network.n_parameters)
        if self.loss.is_quadratic:  # the root times E is E itself, and one product with J costs least
            E = (self.loss.negative_gradient(F, Y) * g.sqrt()[:, None]).T.reshape(-1)
            gradient = -(J.T @ E)
        else:
            gradient = network.gradient(state, self.loss.negative_gradient(F, Y).mul_(-g[:, None]))
        return self.loss.value(F, Y) @ g, gradient, J

    def _operator_gauss_newton(self, network: Network) -> Tensor:
        outputs, theta = self._outputs_of(network), network.theta
        unit = torch.eye(len(theta), dtype=theta.dtype, device=theta.device)
        along = torch.func.vmap(lambda e: torch.func.jvp(outputs, (theta,), (e,))[1], chunk_size=64)
        J = along(unit).permute(2, 1, 0)  # (c, rows, p)
        root = self.loss.curvature_root(self.outputs(network), self.Y)
        J = J if root is None else torch.einsum("knc,cnp->knp", root, J)
        return gram_matrix((J * self.g.sqrt()[:, None]).reshape(-1, network.n_parameters))

    # mini-batches ------------------------------------------------------------------------------------------

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[Self]:
        """Yield problems on a random partition of the samples.

        Sample weights are rescaled so that the mean over batches of equal size is the whole problem; the
        penalty's factor is that of the whole problem. With an operator there is one batch of all.
        """
        if self.operator is not None or self.offset is not None:  # rows belong together: one batch of all
            batch = copy(self)
            batch._losses = None
            yield batch
            return
        n = self.n_samples
        order = torch.randperm(n, generator=generator).to(self.X.device)
        for rows in order.split(batch_size):
            yield self._batch(rows, n / len(rows))

    def _batch(self, rows: Tensor, factor: float) -> Self:
        """Return the problem on some rows, whose weights are multiplied with a factor."""
        batch = copy(self)
        batch.__dict__.pop("input_gram", None)
        batch.X, batch.Y, g = (array.index_select(0, rows) for array in (self.X, self.Y, self.g))
        batch.g = g.mul_(factor)
        batch.auto_alpha, batch._losses = False, None
        return batch
