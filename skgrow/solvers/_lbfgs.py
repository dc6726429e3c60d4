"""L-BFGS: PyTorch's implementation with strong Wolfe line search, on hand-written gradients."""

from __future__ import annotations

import math
from inspect import unwrap
from typing import Any

import torch
from torch import Tensor

from skgrow.networks import Network
from skgrow.problem import Problem
from skgrow.solvers._constants import SOLVERS
from skgrow.solvers._state import Solver, SolverState


class LBFGS(Solver):
    """Limited-memory BFGS on all samples.

    Parameters
    ----------
    history_size : int, default=20
        Number of curvature pairs kept.
    """

    def __init__(self, history_size: int = 20) -> None:
        self.history_size = history_size

    def start(
        self,
        network: Network,
        problem: Problem,
        previous: object = None,  # noqa: ARG002
        kept: Tensor | None = None,  # noqa: ARG002
    ) -> LBFGSState:
        """Return the state of a run from ``network``; nothing is carried over from a previous run."""
        return LBFGSState(self, network, problem)


class _Optimizer(torch.optim.LBFGS):
    """PyTorch's L-BFGS, without its guard against compilation, which imports the compiler: seconds."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Note the parameters."""
        unwrap(torch.optim.Optimizer.add_param_group)(self, param_group)


class LBFGSState(SolverState):
    """A run of :class:`LBFGS`; ``step()`` is one iteration with its line search."""

    def __init__(self, solver: LBFGS, network: Network, problem: Problem) -> None:
        super().__init__(network, problem)
        self.objective = float(problem.objective(network))
        self.theta = network.theta.clone()
        self.trials: list[tuple[Network, Tensor, Tensor]] = []  # points with value and gradient
        self.optimizer = _Optimizer(
            [self.theta],
            max_iter=1,
            max_eval=SOLVERS.line_search_trials,
            history_size=solver.history_size,
            line_search_fn="strong_wolfe",
            tolerance_grad=0.0,
            tolerance_change=0.0,
        )

    def _closure(self) -> Tensor:
        for trial in self.trials:  # every iteration asks first where the one before ended
            if torch.equal(trial[0].theta, self.theta):
                self.theta.grad = trial[2].clone()
                return trial[1]
        network = self.network.with_theta(self.theta.clone())
        value, gradient = self.problem.value_and_gradient(network)
        self.trials.append((network, value, gradient))
        self.theta.grad = gradient.clone()
        return value

    def step(self) -> float:
        """Take one iteration; ``converged`` if the line search finds no lower objective."""
        self.optimizer.step(self._closure)
        # the line search ends at one of its trials
        ended = [trial for trial in self.trials if torch.equal(trial[0].theta, self.theta)]
        network = ended[0][0] if ended else self.network.with_theta(self.theta.clone())
        value = float(ended[0][1] if ended else self.problem.objective(network))
        self.trials = ended
        if not value < self.objective:
            self.converged = True
            return value if math.isnan(value) else self.objective
        self.network, self.objective = network, value
        return value
