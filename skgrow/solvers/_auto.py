"""Which solver pays on a problem of given size."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor

from skgrow.networks import Network
from skgrow.problem import Problem, gauss_newton_work
from skgrow.solvers._first_order import Adam
from skgrow.solvers._lbfgs import LBFGS
from skgrow.solvers._levenberg_marquardt import LevenbergMarquardt
from skgrow.solvers._state import Solver, SolverState

#: Floating-point operations of one Gauss-Newton matrix up to which Levenberg-Marquardt is taken: above that its large
#: matrices cost more than they gain (decision 13).
GAUSS_NEWTON_WORK = 2.5e9

#: Samples up to which full-batch L-BFGS is taken: above that a step on all data is expensive (decision 13).
FULL_BATCH_SAMPLES = 20_000

#: Samples above which single precision will do: far beyond those of full batches (decision 13).
SINGLE_PRECISION_SAMPLES = 10 * FULL_BATCH_SAMPLES


class AutoSolver(Solver):
    """Levenberg-Marquardt while its matrix is cheap, then L-BFGS on moderate data, Adam on large data.

    Parameters
    ----------
    second_order : LevenbergMarquardt, optional
        For small problems.
    full_batch : LBFGS, optional
        For problems in between.
    mini_batch : Adam, optional
        For large ones.
    """

    def __init__(
        self,
        second_order: LevenbergMarquardt | None = None,
        full_batch: LBFGS | None = None,
        mini_batch: Adam | None = None,
    ) -> None:
        self.second_order, self.full_batch, self.mini_batch = second_order, full_batch, mini_batch

    @property
    def batch_size(self) -> Any:
        """Rows per step of the mini-batch solver."""
        return (self.mini_batch or Adam()).batch_size

    def single(self, n: int) -> bool:
        """Whether single precision will do on n rows: far beyond those of full batches."""
        return n > SINGLE_PRECISION_SAMPLES

    def seeded(self, generator: torch.Generator) -> Self:
        """Return the solver with a generator of random numbers."""
        mini_batch = (self.mini_batch or Adam()).seeded(generator)
        return type(self)(self.second_order, self.full_batch, mini_batch)

    def near_minimum(self) -> Solver:
        """Return the solver without mini-batches: their first steps lead away from a minimum."""
        full_batch: Any = self.full_batch or LBFGS()
        return type(self)(self.second_order, full_batch, full_batch)

    def choose(self, network: Network, problem: Problem) -> Solver:
        """Return the solver for a network on a problem."""
        n, c = problem.n_samples, problem.Y.shape[1]
        work = gauss_newton_work(n, c, network.n_parameters, by_rows=problem.operator is None)
        if work <= GAUSS_NEWTON_WORK and problem.curvature.is_exact:
            return self.second_order or LevenbergMarquardt()
        if problem.n_samples <= FULL_BATCH_SAMPLES:
            return self.full_batch or LBFGS()
        return self.mini_batch or Adam()

    def start(
        self, network: Network, problem: Problem, previous: Any = None, kept: Tensor | None = None
    ) -> SolverState:
        """Return the state of a run of the solver chosen."""
        return self.choose(network, problem).start(network, problem, previous, kept)
