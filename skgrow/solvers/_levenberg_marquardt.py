"""Levenberg-Marquardt: damped Gauss-Newton steps, with the strength of the penalty by the rule of the problem."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from skgrow._tolerances import TINY
from skgrow.networks import MLP, Network
from skgrow.problem import Problem
from skgrow.solvers._constants import SOLVERS
from skgrow.solvers._state import Solver, SolverState


class LevenbergMarquardt(Solver):
    r"""Solve :math:`(G + \tfrac{\alpha}{n} P + \mu I)\, s = -\nabla` and accept s if the objective falls.

    The damping follows Nielsen's rule: after a success it falls according to the ratio of the decrease got to the
    decrease predicted, after a failure it rises ever faster.

    The rule of the problem is shown every new network, and may change the strength of the penalty there.

    A neuron of a piecewise linear network whose kink has fewer than ``problem.support`` samples per incoming weight on
    its smaller side keeps its direction: so few samples would be interpolated, with any direction as the price.
    """

    def start(
        self,
        network: Network,
        problem: Problem,
        previous: object = None,  # noqa: ARG002
        kept: Tensor | None = None,  # noqa: ARG002
    ) -> LevenbergMarquardtState:
        """Return the state of a run from ``network``; nothing is carried over from a previous run."""
        return LevenbergMarquardtState(network, problem)


class LevenbergMarquardtState(SolverState):
    """A run of :class:`LevenbergMarquardt`; ``step()`` advances it by one accepted step."""

    def __init__(self, network: Network, problem: Problem) -> None:
        super().__init__(network, problem)
        self.follower = problem.rule.follow(problem)
        self.growth = SOLVERS.damping_rise
        self._linearise()
        self.value = float(self.objective)
        largest = self.curvature.largest() if network.n_parameters else 1.0
        self.damping = SOLVERS.first_damping * largest if largest > 0 else 1.0

    @property
    def solved(self) -> Problem:
        """The problem, with the strength of the penalty that the network was found with."""
        return self._solved

    @property
    def evidence(self) -> Any:
        """The evidence at the network, if the rule has taken it."""
        return self.follower.evidence

    def _linearise(self) -> None:
        network = self.network
        loss, gradient, self.curvature = self.problem.linearised(network)
        self._solved = self.problem
        self.problem = problem = self.follower.update(self.problem, network, float(loss), self.curvature)
        self.penalised = problem.penalty.pattern(network)
        self.objective = loss + problem.penalty_of(network)
        self.gradient = gradient + problem.penalty.gradient(network, problem.total_weight)
        frozen = unsupported(network, problem, problem.support)
        if frozen is not None:
            self.curvature.freeze(frozen)
            self.gradient[frozen] = 0

    def step(self) -> float:
        """Take one step that lowers the objective, or find that there is none (``converged``)."""
        gradient, damping = self.gradient, self.damping
        for _ in range(SOLVERS.damping_tries):
            solution = self.curvature.solve(self.problem.ridge, self.penalised, self.damping, -gradient[:, None])
            if solution is not None:
                step = solution[:, 0]
                trial = self.network.with_theta(self.network.theta + step)
                value = self.problem.objective(trial)
                predicted = 0.5 * (self.damping * (step @ step) - gradient @ step)
                gain = float(self.objective - value)
                if gain > 0 and self._stays_supported(trial):
                    # chained, so that values compare although the penalty moves
                    self.value *= float(value) / float(self.objective) if float(self.objective) else 1.0
                    self.follower.moved(gain, float(self.objective))
                    self._accept(trial, gain / max(float(predicted), TINY))
                    return self.value
            self.damping *= self.growth
            self.growth *= SOLVERS.damping_rise
        if self.follower.overlooked():
            self.damping, self.growth = damping, SOLVERS.damping_rise
            self._linearise()
            return self.step()
        self.converged = True
        return self.value if math.isfinite(float(self.objective)) else math.nan

    def _stays_supported(self, trial: Network) -> bool:
        """Whether no kink slips where an operator, a derivative for example, sees it at too few samples."""
        problem, support = self.problem, self.problem.support
        if problem.operator is None:
            return True
        before, after = unsupported(self.network, problem, support), unsupported(trial, problem, support)
        return after is None or (before is not None and not bool((after & ~before).any()))

    def _accept(self, trial: Network, ratio: float) -> None:
        self.damping *= max(SOLVERS.least_damping_factor, 1 - (2 * min(ratio, 1.0) - 1) ** 3)
        self.growth = SOLVERS.damping_rise
        self.network = trial
        self._linearise()


def unsupported(network: Network, problem: Problem, support: float) -> Tensor | None:
    """Positions of incoming weights of neurons whose kink has too few samples on its smaller side.

    Returns
    -------
    BoolTensor of shape (n_parameters,) or None
        None if every neuron is supported, the activation has no kinks, or the network is no MLP.
    """
    if support <= 0 or not network.activation.is_piecewise_linear or not isinstance(network, MLP):
        return None
    mask = None
    X, n = problem.X, len(problem.X)
    weighted = problem.operator is None
    g = problem.g if weighted else X.new_full((n,), 1 / n)
    for layer, W in enumerate(network.weights[:-1]):
        active = ((X @ W.T + network.biases[layer]) > 0).to(X.dtype).T @ g
        count = torch.minimum(active, 1 - active) * (problem.total_weight if weighted else n)
        weak = count < support * (W.shape[1] + 2)
        if bool(weak.any()):
            if mask is None:
                mask = torch.zeros(network.n_parameters, dtype=torch.bool, device=X.device)
            mask[network.slices[layer][0]] = weak.repeat_interleave(W.shape[1])
        if layer + 2 < len(network.weights):
            X = network.hidden(problem.X, layer + 1)
    return mask
