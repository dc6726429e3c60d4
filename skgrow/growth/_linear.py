"""The linear model: what networks have to be better than."""

from __future__ import annotations

import math
from dataclasses import replace
from operator import itemgetter

from skgrow.criteria import evidence
from skgrow.networks import MLP, Activation
from skgrow.problem import DenseCurvature, Problem, curvature_of
from skgrow.solvers._output_layer import output_gauss_newton, refit_output
from skgrow.training import Trained, measured

#: The largest penalty tried is this power of ten of the one as large as the largest sum of squares; decades below.
_LARGEST, _DECADES = 1, 10


def linear_model(problem: Problem, validation: Problem | None, criterion: str) -> Trained:
    """Return the linear model, a network without hidden layer.

    Where ``problem.auto_alpha``, its penalty is the fixed point of the evidence iteration that is met first from large
    penalties, or where there is none that of the largest evidence: next to zero weights, and next to interpolation, the
    iteration would run away.

    Parameters
    ----------
    problem : Problem
        Without operator.
    validation : Problem or None
        Of the validation data.
    criterion : {"validation", "loo", "gcv", "evidence"}
        As in :func:`skgrow.training.fit`.

    Returns
    -------
    Trained
        With the penalty used, and its evidence.
    """
    d, c = problem.X.shape[1], problem.Y.shape[1]
    network = MLP((d, c), problem.X.new_zeros((d + 1) * c), Activation("identity"))
    problem, network = _with_penalty(problem, network) if problem.auto_alpha else (problem, network)
    return measured(_minimised(network, problem), problem, validation, criterion, None)


def _with_penalty(problem: Problem, network: MLP) -> tuple[Problem, MLP]:
    """Return the problem of the best penalty, and a network next to its minimum."""
    fixed, n, mask = replace(problem, auto_alpha=False), problem.total_weight, problem.penalty_weights(network)
    d, c = network.layer_sizes
    unit = n * float((problem.g @ problem.X.square()).max())
    if not unit > 0:  # all inputs are zero
        return fixed, network
    # of squares it is the same everywhere
    curvature = DenseCurvature(output_gauss_newton(network, problem)) if problem.loss.is_quadratic else None

    def at(alpha: float, start: MLP) -> tuple[float, float, MLP]:
        """Return the next penalty, the log evidence up to a constant, at its best dispersion, and the minimiser."""
        fixed.alpha = alpha
        network = _minimised(start, fixed)
        there = curvature_of(network, problem) if curvature is None else curvature
        loss = float(problem.data_loss(network))
        known = evidence(network, loss, there, n, mask, alpha, loss=problem.loss)
        value = known.log_evidence
        if not problem.loss.known_dispersion:
            n_observed = problem.loss.n_observed(n, c)
            squares = max(2 * n * float(fixed.objective(network)), 1e-300)
            value = d * c * math.log(alpha) - there.damped(alpha / n, mask)[0] - (n_observed - c) * math.log(squares)
            if n_observed - known.effective_parameters < c:  # nothing is left to tell the noise by
                value = -math.inf
        return known.alpha, value, network

    alpha = unit * 10.0**_LARGEST
    upper: tuple[float, float, MLP] | None = None
    best = -math.inf, alpha, network
    for _ in range(_DECADES):
        following, value, network = at(alpha, network)
        slope = math.log(max(following, 1e-300) / alpha)
        if slope < 0:
            upper = alpha, slope, network
        elif upper is not None:  # the fixed point is between: interpolated
            share = upper[1] / (upper[1] - slope)
            return replace(fixed, alpha=problem.loss.plug_in_factor * upper[0] * (alpha / upper[0]) ** share), network
        best = max(best, (value, alpha, network), key=itemgetter(0))
        alpha /= 10
    return replace(fixed, alpha=problem.loss.plug_in_factor * best[1]), best[2]


def _minimised(network: MLP, problem: Problem) -> MLP:
    value = float(problem.objective(network))
    while True:
        network, before = refit_output(network, problem), value
        value = float(problem.objective(network))
        if problem.loss.is_quadratic or not value < before - 1e-6 * abs(before):
            return network
