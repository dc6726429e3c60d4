"""What a run of any solver has."""

from __future__ import annotations

from copy import copy
from typing import Any, ClassVar, Self

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skgrow.networks import Network
from skgrow.problem import Problem
from skgrow.solvers._constants import SOLVERS


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


class Solver(BaseEstimator):
    """Base of the solvers: components with hyperparameters, from which :meth:`start` makes a run."""

    #: Draws random numbers, see :meth:`seeded`; no hyperparameter.
    generator: torch.Generator | None = None

    #: Rows per step; solvers on all rows do not use it.
    batch_size: Any = "auto"

    #: Whether steps see all rows, at least on moderate data.
    sees_all_rows: ClassVar[bool] = True

    def rows(self, n: int) -> int:
        """Return the number of rows per step, of n: with ``batch_size="auto"`` 200 at most."""
        return min(SOLVERS.batch_rows if self.batch_size == "auto" else self.batch_size, n)

    def single(self, n: int) -> bool:  # noqa: ARG002
        """Whether single precision will do on n rows."""
        return False

    def seeded(self, generator: torch.Generator) -> Self:
        """Return the solver with a generator of random numbers, if it needs one."""
        found = copy(self)
        found.generator = generator
        return found

    def near_minimum(self) -> Solver:
        """Return the solver of networks that were trained on some of the rows."""
        return self

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
