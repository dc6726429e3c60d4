"""What a run of any solver has."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from skgrow.networks import Network
from skgrow.problem import Problem


class SolverState:
    """A run of a solver. A solver of one's own has ``start(network, problem, ...)``, which returns such a state.

    Attributes
    ----------
    network : Network
        So far.
    problem : Problem
        That goes on being minimised: a rule may have changed the strength of its penalty.
    converged : bool
        Whether :meth:`step` finds no lower objective.
    """

    #: Whether :meth:`step` returns the objective, and never raises it; else the mean of what it saw on its way.
    monotone: ClassVar[bool] = True

    def __init__(self, network: Network, problem: Problem) -> None:
        self.network, self.problem, self.converged = network, problem, False

    @property
    def solved(self) -> Problem:
        """The problem, with the strength of the penalty that the network was found with."""
        return self.problem

    @property
    def evidence(self) -> Any:
        """The evidence at the network, if it is known; else None."""
        return None

    def step(self) -> float:
        """Go on, and return the objective."""
        raise NotImplementedError

    def report(self, network: Network, problem: Problem) -> dict[str, Any]:  # noqa: ARG002
        """Return further entries of the history for a network."""
        return {}


class Solver:
    """What all solvers have: hyperparameters, and :meth:`start`."""

    def start(
        self, network: Network, problem: Problem, previous: Any = None, kept: Tensor | None = None
    ) -> SolverState:
        """Return the state of a run.

        Parameters
        ----------
        network : Network
            To begin with.
        problem : Problem
            To minimise.
        previous : SolverState, optional
            Of the run before, from which averages may be carried over.
        kept : Tensor, optional
            Places of that run's parameters among those of the network.
        """
        raise NotImplementedError
