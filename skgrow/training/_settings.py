"""What the user has set, as plain values and components: the part that all methods share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skgrow.networks import Network
from skgrow.problem import Loss
from skgrow.solvers import Solver
from skgrow.training._schedules import Schedule


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of any method.

    Parameters
    ----------
    loss : Loss
        With ``epsilon`` of :class:`~skgrow.problem.Huber` in deviations of the noise.
    solver : Solver
        With its rates and its preconditioner.
    schedule : Schedule
        When to act.
    alpha : float or "auto"
        Strength of the penalty.
    standardize : bool
        Whether to train on inputs and targets of mean zero and variance one.
    early_stopping : bool, int or "auto"
        Whether to hold out validation data; a number: if there are more rows than that.
    validation_fraction : float
        Share of them.
    random_state : int
        Seed.
    device, dtype : str
        See :class:`Regime`.
    operator : object
        Specification of an operator, see :func:`skgrow.problem.make_operator`; None: none.
    n_channels : callable, optional
        ``n_channels(n_features)`` is the number of groups of features that share their units; default: all have their
        own.
    encoding : PiecewiseLinear or None
        Of single features.
    """

    loss: Loss
    solver: Solver
    schedule: Schedule
    alpha: Any
    standardize: bool
    early_stopping: Any
    validation_fraction: float
    random_state: int
    device: str
    dtype: str
    operator: Any = None
    n_channels: Callable[[int], int] | None = None
    encoding: Any = None

    def trainable(self, network: Network) -> Network:
        """Return a stored network in the form in which it is trained: here as it is."""
        return network

    def takes_shift(self, d: int, c: int) -> bool:  # noqa: ARG002
        """Whether the outputs have a bias, which takes up a shift in the units of the targets."""
        return True

    def work(self, n: int, d: int, c: int) -> float:
        """Return about how many operations a pass over n rows of d features and c outputs takes."""
        raise NotImplementedError
