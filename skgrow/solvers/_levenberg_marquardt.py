"""Levenberg-Marquardt: damped Gauss-Newton steps, with the penalty set by the evidence on request."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skgrow.criteria._evidence import Evidence, evidence, next_penalty
from skgrow.networks import MLP, Network
from skgrow.problem._curvature import linearised
from skgrow.problem._problem import Problem

#: Relative decrease of the objective by a step from which on the evidence sets the penalty.
_SETTLED = 0.05


class LevenbergMarquardt:
    r"""Solve :math:`(G + \tfrac{\alpha}{n} P + \mu I)\, s = -\nabla` and accept s if the objective falls.

    The damping follows Nielsen's rule: after a success it falls according to the ratio of the decrease got to the
    decrease predicted, after a failure it rises ever faster.

    Where ``problem.auto_alpha``, the penalty is updated by the evidence after every accepted step; where the dispersion
    is known, from the first step on that lowers the objective by less than a twentieth, since the evidence is a
    statement about minima. (Where it is estimated it has to follow the loss.)

    A neuron of a piecewise linear network whose kink has fewer than ``support`` samples per incoming weight on its
    smaller side keeps its direction: so few samples would be interpolated, with any direction as the price.

    Parameters
    ----------
    support : float, default=3
        Samples per incoming weight that a kink needs.
    """

    def __init__(self, *, support: float = 3.0) -> None:
        self.support = support

    def start(
        self,
        network: Network,
        problem: Problem,
        previous: object = None,  # noqa: ARG002
        kept: Tensor | None = None,  # noqa: ARG002
    ) -> LevenbergMarquardtState:
        """Return the state of a run from ``network``; nothing is carried over from a previous run."""
        return LevenbergMarquardtState(self, network, problem)


class LevenbergMarquardtState:
    """A run of :class:`LevenbergMarquardt`; ``step()`` advances it by one accepted step."""

    monotone = True

    def __init__(self, solver: LevenbergMarquardt, network: Network, problem: Problem) -> None:
        self.solver, self.network, self.problem = solver, network, problem
        self.evidence: Evidence | None = None
        self.converged = False
        self.settled = not problem.loss.known_dispersion
        self.growth = 2.0
        self._linearise()
        self.value = float(self.objective)
        largest = self.curvature.largest() if network.n_parameters else 1.0
        self.damping = 1e-3 * largest if largest > 0 else 1.0

    def _linearise(self) -> None:
        problem, network = self.problem, self.network
        loss, gradient, self.curvature = linearised(network, problem)
        self.penalised = problem.penalty_weights(network)
        self.data_loss = loss
        self.alpha = problem.alpha  # that the network was found with
        if problem.auto_alpha and self.settled:
            before = self.evidence
            self.evidence = evidence(
                network,
                float(loss),
                self.curvature,
                problem.total_weight,
                self.penalised,
                problem.alpha,
                loss=problem.loss,
            )
            # without noise to estimate, smaller penalties and larger weights can feed each other away from the evidence
            falls = before is not None and self.evidence.log_evidence < before.log_evidence
            if not (falls and problem.loss.known_dispersion):
                problem.alpha = next_penalty(self.evidence, problem.alpha, problem.loss)
        self.ridge = ratio = problem.alpha / problem.total_weight
        self.objective = loss + problem.penalty(network)
        self.gradient = gradient + ratio * self.penalised * network.theta
        frozen = unsupported(network, problem, self.solver.support)
        if frozen is not None:
            self.curvature.freeze(frozen)
            self.gradient[frozen] = 0

    def step(self) -> float:
        """Take one step that lowers the objective, or find that there is none (``converged``)."""
        gradient, damping = self.gradient, self.damping
        for _ in range(12):
            solution = self.curvature.solve(self.ridge, self.penalised, self.damping, -gradient[:, None])
            if solution is not None:
                step = solution[:, 0]
                trial = self.network.with_theta(self.network.theta + step)
                value = self.problem.objective(trial)
                predicted = 0.5 * (self.damping * (step @ step) - gradient @ step)
                gain = float(self.objective - value)
                if gain > 0 and self._stays_supported(trial):
                    # chained, so that values compare although the penalty moves
                    self.value *= float(value) / float(self.objective) if float(self.objective) else 1.0
                    self.settled = self.settled or gain < _SETTLED * abs(float(self.objective))
                    self._accept(trial, gain / max(float(predicted), 1e-300))
                    return self.value
            self.damping *= self.growth
            self.growth *= 2
        if self.problem.auto_alpha and not self.settled:  # a minimum for a penalty that the evidence has not seen
            self.settled, self.damping, self.growth = True, damping, 2.0
            self._linearise()
            return self.step()
        self.converged = True
        return self.value if math.isfinite(float(self.objective)) else math.nan

    def _stays_supported(self, trial: Network) -> bool:
        """Whether no kink slips where an operator, a derivative for example, sees it at too few samples."""
        problem, support = self.problem, self.solver.support
        if problem.operator is None:
            return True
        before, after = unsupported(self.network, problem, support), unsupported(trial, problem, support)
        return after is None or (before is not None and not bool((after & ~before).any()))

    def _accept(self, trial: Network, ratio: float) -> None:
        self.damping *= max(1 / 3, 1 - (2 * min(ratio, 1.0) - 1) ** 3)
        self.growth = 2.0
        self.network = trial
        self._linearise()


def unsupported(network: Network, problem: Problem, support: float) -> Tensor | None:
    """Positions of incoming weights of neurons whose kink has too few samples on its smaller side.

    Returns
    -------
    BoolTensor of shape (n_parameters,) or None
        None where every neuron is supported, the activation has no kinks, or the network is no MLP.
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
