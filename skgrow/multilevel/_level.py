"""Levels of a multilevel problem: objectives with their coarse correction, and the count of work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from skgrow.multilevel._transfer import Transfer
from skgrow.networks import Network
from skgrow.problem import Penalty, PenaltySum, Problem, bounded


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

    def meter(self, level: int) -> Callable[[Network, float, int], None]:
        """Return what adds to the work of a level, see :class:`~skgrow.problem.Problem`."""

        def add(network: Network, gradients: float, n_samples: int) -> None:
            self.units[level] += gradients * network.flops * n_samples / self.unit

        return add


class Proximal(Penalty):
    r"""The term :math:`\frac{\lambda}{2} |t - t_0|^2` of a coarse objective.

    Parameters
    ----------
    strength : float
        The factor :math:`\lambda`.
    anchor : Network
        Of parameters :math:`t_0`.
    """

    def __init__(self, strength: float, anchor: Network) -> None:
        super().__init__()
        self.strength, self.anchor = strength, anchor

    def value(self, network: Network, n: float) -> Tensor:  # noqa: ARG002
        """Return the term."""
        away = network.theta - self.anchor.theta
        return 0.5 * self.strength * (away @ away)

    def gradient(self, network: Network, n: float) -> Tensor:  # noqa: ARG002
        """Return its gradient."""
        return self.strength * (network.theta - self.anchor.theta)

    def add_gradient(self, network: Network, n: float, gradient: Tensor) -> None:  # noqa: ARG002
        """Add its gradient to the vector given."""
        gradient.add_(network.theta - self.anchor.theta, alpha=bounded(self.strength, gradient.dtype))

    @property
    def is_quadratic(self) -> bool:
        """Always."""
        return True

    def curvature(self, network: Network, n: float) -> Tensor:  # noqa: ARG002
        """Return the factor, parameter by parameter."""
        return torch.full_like(network.theta, self.strength)


class CoarseCorrection(Penalty):
    r"""The linear term of a coarse objective, by which it sees the finer one.

    It is :math:`\langle R_g \nabla f(\theta) - \nabla f_H(t_0), t - t_0 \rangle`, so that the gradient of the coarse
    objective at :math:`t_0` is the restricted fine one.

    Parameters
    ----------
    anchor : Network
        Coarse network of parameters :math:`t_0`.
    coarse : Problem
        Whose objective is :math:`f_H`.
    fine : Network
        The finer network.
    problem : Problem
        Whose objective is f, the correction of its own level included.
    gradient : Tensor
        The exact gradient of f at the finer network.
    transfer : Transfer
        Between the levels.
    exact : bool
        Whether mini-batches take the restriction of the exact fine gradient, which needs no further fine gradients;
        otherwise both gradients are of the same mini-batch (3.6).
    """

    def __init__(
        self,
        anchor: Network,
        coarse: Problem,
        fine: Network,
        problem: Problem,
        gradient: Tensor,
        transfer: Transfer,
        exact: bool = False,
    ) -> None:
        super().__init__()
        self.anchor, self.coarse, self.fine, self.problem = anchor, coarse, fine, problem
        self.fine_gradient, self.transfer, self.exact = gradient, transfer, exact
        self.rows: tuple[Tensor, float] | None = None

    @cached_property
    def linear(self) -> Tensor:
        """Restricted fine gradient less the coarse one, at the anchor."""
        fine = self.fine_gradient
        if self.rows is not None and not self.exact:
            fine = self.problem.batch(*self.rows).value_and_gradient(self.fine)[1]
        own = self.coarse.value_and_gradient(self.anchor)[1]
        return self.transfer.restrict_gradient(fine) - own

    def value(self, network: Network, n: float) -> Tensor:  # noqa: ARG002
        """Return the term."""
        if network is self.anchor:
            return network.theta.new_zeros(())
        return self.linear @ (network.theta - self.anchor.theta)

    def gradient(self, network: Network, n: float) -> Tensor:  # noqa: ARG002
        """Return its gradient."""
        return self.linear

    def on_batch(self, batch: Problem, rows: Tensor, factor: float) -> CoarseCorrection:
        """Return the term on some rows; of all rows it is the same for every step."""
        if len(rows) == self.coarse.n_samples:
            return self
        found = self._of(batch.with_penalty(self.coarse.penalty.on_batch(batch, rows, factor)))
        found.rows = (rows, factor)
        return found

    def beside(self, alpha: float) -> CoarseCorrection:
        """Return the term for a coarse objective of another strength: the restricted gradient stays that of both."""
        found = self._of(self.coarse.at(alpha))
        found.rows = self.rows
        return found

    def _of(self, coarse: Problem) -> CoarseCorrection:
        rest = (self.fine, self.problem, self.fine_gradient, self.transfer, self.exact)
        return CoarseCorrection(self.anchor, coarse, *rest)

    @property
    def is_quadratic(self) -> bool:
        """It is linear."""
        return True

    def curvature(self, network: Network, n: float) -> Tensor:  # noqa: ARG002
        """Return zeros."""
        return torch.zeros_like(network.theta)


def corrected(
    coarse: Problem,
    anchor: Network,
    fine: Network,
    problem: Problem,
    gradient: Tensor,
    transfer: Transfer,
    *,
    kind: Any,
    regularization: float,
) -> Problem:
    r"""Return a coarse problem with the correction that makes it see the finer one.

    The objective is :math:`h(t) = f_H(t) + \frac{\lambda}{2} |t - t_0|^2 + \langle R_g \nabla f(\theta) - \nabla
    f_H(t_0), t - t_0 \rangle`.

    Parameters
    ----------
    coarse : Problem
        Whose objective is :math:`f_H`.
    anchor, fine, problem, gradient, transfer
        As in :class:`CoarseCorrection`.
    kind : {False, True, "exact"}
        Without the linear term; with it; with it from the exact fine gradient.
    regularization : float
        The factor :math:`\lambda`.
    """
    terms: list[Penalty] = [coarse.penalty]
    if regularization:
        terms.append(Proximal(regularization, anchor))
    if kind is not False:
        terms.append(CoarseCorrection(anchor, coarse, fine, problem, gradient, transfer, kind == "exact"))
    return coarse.with_penalty(PenaltySum(tuple(terms)))


@dataclass
class Level:
    """One level of a hierarchy.

    Parameters
    ----------
    network : Network
        Gives the architecture.
    problem : Problem
        Its objective.
    work : Work
        Counts the work on all levels.
    transfer : Transfer or None
        Between this level and the next finer one; None on the finest.
    """

    network: Network
    problem: Problem
    work: Work
    transfer: Transfer | None = None
