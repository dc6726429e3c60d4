"""Which solver pays on a problem of given size."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from skgrow.networks import Network
from skgrow.problem import Problem, gauss_newton_work
from skgrow.solvers._first_order import Adam
from skgrow.solvers._lbfgs import LBFGS
from skgrow.solvers._levenberg_marquardt import LevenbergMarquardt

#: Floating-point operations of one Gauss-Newton matrix up to which Levenberg-Marquardt is taken.
GAUSS_NEWTON_WORK = 2.5e9

#: Samples up to which full-batch L-BFGS is taken.
FULL_BATCH_SAMPLES = 20_000


class AutoSolver:
    """Levenberg-Marquardt while its matrix is cheap, then L-BFGS on moderate data, Adam on large data.

    Parameters
    ----------
    second_order : LevenbergMarquardt
        For small problems.
    full_batch : LBFGS
        For problems in between.
    mini_batch : Adam
        For large ones.
    """

    def __init__(self, second_order: LevenbergMarquardt, full_batch: LBFGS, mini_batch: Adam) -> None:
        self.second_order, self.full_batch, self.mini_batch = second_order, full_batch, mini_batch

    def choose(self, network: Network, problem: Problem) -> Any:
        """Return the solver for a network on a problem."""
        n, c = problem.n_samples, problem.Y.shape[1]
        work = gauss_newton_work(n, c, network.n_parameters, by_rows=problem.operator is None)
        if work <= GAUSS_NEWTON_WORK and problem.curvature.is_exact:
            return self.second_order
        return self.full_batch if problem.n_samples <= FULL_BATCH_SAMPLES else self.mini_batch

    def start(self, network: Network, problem: Problem, previous: Any = None, kept: Tensor | None = None) -> Any:
        """Return the state of a run of the solver chosen."""
        return self.choose(network, problem).start(network, problem, previous, kept)
