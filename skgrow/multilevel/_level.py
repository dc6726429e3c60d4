"""Levels of a multilevel problem: objectives with their coarse correction, and the count of work."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import Any, Self, cast
from weakref import WeakKeyDictionary

from torch import Tensor

from skgrow.multilevel._transfer import Transfer
from skgrow.networks import Network
from skgrow.problem import Problem


@dataclass
class Work:
    """Work units, level by level: one is the gradient of the finest network on all data, a loss a third of it.

    Parameters
    ----------
    network : Network
        The finest.
    n_samples : int
        Number of samples.
    n_levels : int
        Number of levels.
    """

    network: Network
    n_samples: int
    n_levels: int
    units: list[float] = field(init=False)

    def __post_init__(self) -> None:
        self.unit = self.network.flops * self.n_samples
        self.units = [0.0] * self.n_levels


@dataclass
class Correction:
    r"""What is added to a coarse objective so that it sees the finer one.

    The objective is :math:`h(t) = f_H(t) + \langle R_g \nabla f(\theta) - \nabla f_H(t_0), t - t_0 \rangle +
    \frac{\lambda}{2} |t - t_0|^2`, its gradient at :math:`t_0` the restricted fine one.

    Parameters
    ----------
    kind : {False, True, "exact"}
        Without the linear term; with it, on a mini-batch by gradients of the same mini-batch (3.6); or on a mini-batch
        with the restriction of the exact fine gradient, which needs no further fine gradients.
    regularization : float
        The factor lambda.
    anchor : Network
        Coarse network of parameters t_0.
    fine : Network
        The finer network.
    problem : LevelProblem
        Whose objective is f, the correction of its own level included.
    gradient : Tensor
        The exact gradient of f at the finer network.
    transfer : Transfer
        Between the levels.
    """

    kind: Any
    regularization: float
    anchor: Network
    fine: Network
    problem: LevelProblem
    gradient: Tensor
    transfer: Transfer


class LevelProblem(Problem):
    """The problem of one level: counts its work, and may carry a correction."""

    level: int
    work: Work
    weights: Tensor | None
    correction: Correction | None
    _linear: Tensor | None
    _rows: tuple[Tensor, float] | None

    @classmethod
    def of(cls, problem: Problem, level: int, work: Work, X: Tensor | None = None, mass: Tensor | None = None) -> Self:
        """Return a problem as that of a level, possibly with other inputs.

        ``mass`` says how many parameters of the finest level each one stands for; that often it is penalised.
        """
        found = object.__new__(cls)
        found.__dict__.update(problem.__dict__)
        found.__dict__.pop("input_gram", None)
        found.X = problem.X if X is None else X
        found.level, found.work, found.weights = level, work, mass
        found.correction, found._linear, found._rows = None, None, None
        found._losses = WeakKeyDictionary()
        return found

    def corrected(self, correction: Correction) -> Self:
        """Return the problem with a correction."""
        found = copy(self)
        found.correction, found._linear = correction, None
        return found

    # data and penalty, counted -----------------------------------------------------------------------------

    def count(self, network: Network, gradients: float) -> None:
        """Add to the work of the level."""
        self.work.units[self.level] += gradients * network.flops * self.n_samples / self.work.unit

    def penalty(self, network: Network) -> Tensor:
        """Return the penalty, and the terms of the correction."""
        if self.weights is None:
            value = super().penalty(network)
        else:
            free = network.slices[-1][1].start
            theta = network.theta[:free]
            value = (theta * theta) @ self.weights[:free] * (self.alpha / (2 * self.total_weight))
        if self.correction is None:
            return value
        away = network.theta - self.correction.anchor.theta
        value = value + 0.5 * self.correction.regularization * (away @ away)
        if self.correction.kind is False or network is self.correction.anchor:
            return value
        return value + self.linear @ away

    def add_penalty_gradient(self, network: Network, gradient: Tensor) -> None:
        """Add the gradient of :meth:`penalty` to the vector given."""
        self._add_own_gradient(network, gradient)
        if self.correction is None:
            return
        if self.correction.regularization:
            gradient.add_(network.theta - self.correction.anchor.theta, alpha=self.correction.regularization)
        if self.correction.kind is not False:
            gradient.add_(self.linear)

    def _add_own_gradient(self, network: Network, gradient: Tensor) -> None:
        if self.weights is None:
            super().add_penalty_gradient(network, gradient)
            return
        free = network.slices[-1][1].start
        scale = self.alpha / self.total_weight
        gradient[:free].addcmul_(network.theta[:free], self.weights[:free], value=scale)

    @property
    def linear(self) -> Tensor:
        """The linear term of the correction: restricted fine gradient less the coarse one, at the anchor."""
        if self._linear is None:
            correction = cast(Correction, self.correction)
            gradient = correction.gradient
            if self._rows is not None and correction.kind is True:
                batch = correction.problem._batch(*self._rows)
                gradient = batch.value_and_gradient(correction.fine)[1]
            own = self._value_and_gradient(correction.anchor)[1]
            self._add_own_gradient(correction.anchor, own)
            self._linear = correction.transfer.restrict_gradient(gradient) - own
        return self._linear

    def _batch(self, rows: Tensor, factor: float) -> Self:
        batch = super()._batch(rows, factor)
        batch._linear, batch._rows = None, (rows, factor)
        if len(rows) == self.n_samples and self.correction is not None and self.correction.kind is not False:
            batch._linear = self.linear  # of all rows it is the same for every step
        return batch


@dataclass
class Level:
    """One level of a hierarchy.

    Parameters
    ----------
    network : Network
        Gives the architecture.
    problem : LevelProblem
        Its objective.
    transfer : Transfer or None
        Between this level and the next finer one; None on the finest.
    """

    network: Network
    problem: LevelProblem
    transfer: Transfer | None = None
