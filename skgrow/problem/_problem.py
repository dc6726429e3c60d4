"""A training problem: data, sample weights, loss and penalty."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, Self
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from skgrow.networks import MLP, Network
from skgrow.problem._curvature import Curvature, DenseCurvature, RowCurvature, eigen
from skgrow.problem._losses import Loss, SquaredError
from skgrow.problem._operators import Operator
from skgrow.problem._penalties import L2, FixedAlpha, Penalty
from skgrow.problem._reduction import CHUNKS, gram_matrix, rows_within, sum_over_samples


@dataclass(frozen=True, eq=False)
class Problem:
    r"""Minimise :math:`\sum_i g_i \ell(F(x_i), y_i) + \text{penalty}` over networks F.

    With unit weights and the penalty :class:`L2` this is the objective of
    :class:`~sklearn.neural_network.MLPRegressor`, there without penalty on biases. A problem is a value: another
    strength of the penalty makes another problem (:meth:`at`), which shares what is known of the data.

    Parameters
    ----------
    X : Tensor of shape (n, d)
        Inputs.
    Y : Tensor of shape (n, c)
        Targets; with an operator of q components (n q, c), component by component.
    sample_weight : Tensor of shape (n,), optional
        Not negative; ``g`` is this normalised to sum 1 (over all rows of Y). ``total_weight``, their sum, is the
        number of observations that the evidence sees.
    loss : Loss, default=SquaredError()
        The loss.
    penalty : Penalty, default=L2()
        The penalty, with its strength ``alpha``.
    rule : FixedAlpha or other rule, default=FixedAlpha()
        Who sets the strength of the penalty during training.
    operator : Operator, optional
        Linear operator H: its image HF is fitted instead of F.
    curvature : type, default=DenseCurvature
        What :meth:`curvature_at` returns: :class:`DenseCurvature` or :class:`KroneckerCurvature`.
    offset : Tensor of shape of Y, optional
        Added to the outputs: what a frozen part of the network contributes.
    support : float, default=0.0
        Samples per incoming weight that a kink needs on its smaller side, for Levenberg-Marquardt to move it and for a
        search to propose it.
    meter : callable, optional
        ``meter(network, gradients, n_samples)`` takes note of work on this problem, in gradients on so many samples (a
        loss is a third of one).
    repeats : Tensor of shape (n,), optional
        How many observations a row stands for, of which one is left out at a time; default: the row as a whole.
    whole : float, optional
        Of a batch: ``total_weight`` of the problem that it is one of. Default: the sum of the weights.

    Attributes
    ----------
    g : Tensor of shape (n,) or (n q,)
        Normalised weights.
    total_weight : float
        Their sum before that.
    """

    X: Tensor
    Y: Tensor
    sample_weight: Tensor | None = None
    loss: Loss = field(default_factory=SquaredError)
    penalty: Penalty = field(default_factory=L2)
    rule: FixedAlpha = field(default_factory=FixedAlpha)
    operator: Operator | None = None
    curvature: type[Curvature] = DenseCurvature
    offset: Tensor | None = None
    support: float = 0.0
    meter: Callable[[Network, float, int], None] | None = None
    repeats: Tensor | None = None
    whole: float | None = None
    g: Tensor = field(init=False)
    total_weight: float = field(init=False)
    _known: _Known = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows, copies = len(self.Y), len(self.Y) // len(self.X)
        if self.sample_weight is None:
            total_weight = float(rows)
            g = self.X.new_full((rows,), 1.0 / rows)
        else:
            weight = self.sample_weight.repeat(copies)
            total = weight.sum() if self.whole is None else self.whole
            total_weight = float(total)
            g = weight / total
        self.__dict__.update(g=g, total_weight=total_weight, _known=_Known())

    def _with(self, **changes: Any) -> Self:
        """Return the problem with other fields, and what is known of the data."""
        found = copy(self)
        found.__dict__.update(changes)
        return found

    def at(self, alpha: float) -> Self:
        """Return the problem with another strength of its penalty; the same one if it has this strength."""
        return self if alpha == self.alpha else self._with(penalty=self.penalty.with_alpha(alpha))

    def with_penalty(self, penalty: Penalty) -> Self:
        """Return the problem with another penalty."""
        return self._with(penalty=penalty)

    def ruled(self, rule: FixedAlpha) -> Self:
        """Return the problem with another rule for the strength of its penalty."""
        return self if rule is self.rule else self._with(rule=rule)

    def double(self) -> Self:
        """Return the problem in double precision."""
        names = ("X", "Y", "sample_weight", "offset", "repeats")
        given: dict[str, Any] = {name: getattr(self, name) for name in names}
        doubled: dict[str, Any] = {name: array if array is None else array.double() for name, array in given.items()}
        return replace(self, **doubled)._with(_known=_Known(losses=None))

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return self.X.shape[0]

    @property
    def n_observed(self) -> float:
        """Number of scalar observations."""
        return self.loss.n_observed(self.total_weight, self.Y.shape[1])

    @property
    def alpha(self) -> float:
        """Strength of the penalty."""
        return self.penalty.alpha

    @property
    def ridge(self) -> float:
        """Factor of the penalty's curvature: its strength over the total weight."""
        return self.penalty.alpha / self.total_weight

    @property
    def input_gram(self) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Weighted Gram matrix of the inputs and the constant, and if it is finite its eigendecomposition."""
        if self._known.input_gram is None:
            self._known.input_gram = self._input_gram()
        return self._known.input_gram

    def _input_gram(self) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        def chunk(X: Tensor, g: Tensor) -> tuple[Tensor]:
            rows = torch.cat([X, X.new_ones(len(X), 1)], 1) * g.sqrt()[:, None]
            return (gram_matrix(rows),)

        size = 4 * self.X.shape[1] * self.X.element_size()
        (gram,) = sum_over_samples(chunk, self.X, self.g, bytes_per_row=size)
        return gram, eigen(gram) if bool(torch.isfinite(gram).all()) else None

    def count(self, network: Network, gradients: float) -> None:
        """Take note of work on this problem, in gradients of it."""
        if self.meter is not None:
            self.meter(network, gradients, self.n_samples)

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
        """Sum over samples in chunks bounded by memory; ``chunk(X, Y, g, offset)``, offset 0 if there is none."""
        size = int(copies * network.n_activations * self.X.element_size())
        if self.offset is None:
            return sum_over_samples(lambda X, Y, g: chunk(X, Y, g, 0), self.X, self.Y, self.g, bytes_per_row=size)
        return sum_over_samples(chunk, self.X, self.Y, self.g, self.offset, bytes_per_row=size)

    def data_loss(self, network: Network) -> Tensor:
        """Return the loss without the penalty; of the same network it is computed once."""
        losses = self._known.losses
        known = None if losses is None else losses.get(network)
        return self._noted(network, self._data_loss(network)) if known is None else known

    def note_same_function(self, network: Network, other: Network) -> None:
        """Take note that a network has the function of another one: if that one's loss is known, so is its."""
        losses = self._known.losses
        if losses is not None and other in losses:
            losses[network] = losses[other]

    def _noted(self, network: Network, value: Tensor) -> Tensor:
        if self._known.losses is not None:
            self._known.losses[network] = value
        return value

    def _data_loss(self, network: Network) -> Tensor:
        self.count(network, 1 / 3)
        if self.operator is not None:
            return self.loss.value(self.outputs(network), self.Y) @ self.g

        def chunk(X: Tensor, Y: Tensor, g: Tensor, offset: Tensor) -> tuple[Tensor]:
            return (self.loss.value(network(X) + offset, Y) @ g,)

        return self._sum(chunk, 4, network)[0]

    def spread(self, network: Network, data_loss: float) -> float:
        """Return the mean of what the dispersion is estimated from; ``data_loss`` is the network's."""
        if self.loss.is_homogeneous:
            return self.loss.degree * data_loss
        if self.operator is not None:
            return float(self.loss.spread(self.outputs(network), self.Y) @ self.g)

        def chunk(X: Tensor, Y: Tensor, g: Tensor, offset: Tensor) -> tuple[Tensor]:
            return (self.loss.spread(network(X) + offset, Y) @ g,)

        return float(self._sum(chunk, 4, network)[0])

    def penalty_of(self, network: Network) -> Tensor:
        """Return the penalty term of the objective."""
        return self.penalty.value(network, self.total_weight)

    def objective(self, network: Network) -> Tensor:
        """Return loss and penalty."""
        return self.data_loss(network) + self.penalty_of(network)

    def negative_gradient(self, network: Network) -> Tensor:
        r"""Return the negative functional gradient :math:`E`, shape of Y, without sample weights."""
        width = max(1, network.n_activations)
        rows = rows_within(CHUNKS.output_values + width, width)
        if self.operator is not None or self.offset is not None or len(self.X) <= rows:
            return self.loss.negative_gradient(self.outputs(network), self.Y)
        pairs = zip(self.X.split(rows), self.Y.split(rows), strict=True)
        return torch.cat([self.loss.negative_gradient(network(x), y) for x, y in pairs])

    def value_and_gradient(self, network: Network) -> tuple[Tensor, Tensor]:
        """Return the objective and its gradient with respect to ``network.theta``."""
        value, gradient = self._value_and_gradient(network)
        self.penalty.add_gradient(network, self.total_weight, gradient)
        return value + self.penalty_of(network), gradient

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
        penalty is left out of all three. If the loss has a direction without curvature, the mean of all outputs, the
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

        R has a row per sample and output, and one more if :meth:`gauss_newton` completes the matrix. Its first
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
        along = torch.func.vmap(lambda e: torch.func.jvp(outputs, (theta,), (e,))[1], chunk_size=CHUNKS.tangents)
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
            yield self._with(_known=_Known(losses=None))
            return
        n = self.n_samples
        order = torch.randperm(n, generator=generator).to(self.X.device)
        for rows in order.split(batch_size):
            yield self.batch(rows, n / len(rows))

    def batch(self, rows: Tensor, factor: float) -> Self:
        """Return the problem on some rows, whose weights are multiplied with a factor."""
        X, Y, g = (array.index_select(0, rows) for array in (self.X, self.Y, self.g))
        offset, repeats, weight = (
            None if array is None else array.index_select(0, rows)
            for array in (self.offset, self.repeats, self.sample_weight)
        )
        weight = X.new_full((len(X),), factor) if weight is None else weight * factor
        known = {"g": g.mul_(factor), "sample_weight": weight, "whole": self.total_weight}
        rest = {"offset": offset, "repeats": repeats, "rule": FixedAlpha(), "_known": _Known(losses=None)}
        found = self._with(X=X, Y=Y, **known, **rest)
        found.__dict__["penalty"] = self.penalty.on_batch(found, rows, factor)
        return found

    # curvature ---------------------------------------------------------------------------------------------

    def curvature_at(self, network: Network) -> Curvature:
        """Return the curvature of the data loss at a network, of the problem's kind."""
        return self.curvature.of(network, self)

    def linearised(self, network: Network) -> tuple[Tensor, Tensor, DenseCurvature]:
        """Return the data loss at a network, its gradient, and its Gauss-Newton matrix in the form that costs less."""
        n, c = self.Y.shape
        if self.operator is None and n * c < network.n_parameters:
            loss, gradient, rows, first = self.gauss_newton_rows(network)
            return loss, gradient, RowCurvature(rows, c, first)
        loss, gradient, gram = self.gauss_newton(network)
        return loss, gradient, DenseCurvature(gram)


@dataclass
class _Known:
    """What is known of a problem's data, shared by all strengths of its penalty."""

    #: Data losses of networks, by identity: networks are values. None where parameters move under a network.
    losses: WeakKeyDictionary[Network, Tensor] | None = field(default_factory=WeakKeyDictionary)
    input_gram: tuple[Tensor, tuple[Tensor, Tensor] | None] | None = None

    def __reduce__(self) -> Any:
        """Leave what is known behind: it is known by the identity of networks."""
        return _Known, (None,) if self.losses is None else ()
