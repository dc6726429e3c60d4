"""The linear model: what networks have to be better than."""

from __future__ import annotations

from skgrow.criteria import Criterion
from skgrow.growth._constants import GROWTH
from skgrow.networks import MLP, Activation
from skgrow.problem import Curvature, DenseCurvature, FixedAlpha, Problem
from skgrow.solvers import output_gauss_newton, refit_output
from skgrow.training import Trained, first_fixed_point, measured


def linear_model(problem: Problem, criterion: Criterion) -> Trained:
    """Return the linear model, a network without hidden layer.

    If the evidence sets the penalty, it is the fixed point met first from large penalties, see
    :func:`skgrow.training.first_fixed_point`.

    Parameters
    ----------
    problem : Problem
        Without operator.
    criterion : Criterion
        As in :func:`skgrow.training.fit`.

    Returns
    -------
    Trained
        With the penalty used, and its evidence.
    """
    d, c = problem.X.shape[1], problem.Y.shape[1]
    network = MLP((d, c), problem.X.new_zeros((d + 1) * c), Activation("identity"))
    if problem.rule.sets_penalty:
        problem, network = _with_penalty(problem, network)
    return measured(_minimised(network, problem), problem, criterion)


def _with_penalty(problem: Problem, network: MLP) -> tuple[Problem, MLP]:
    """Return the problem of the best penalty, and a network next to its minimum."""
    largest = problem.total_weight * float((problem.g @ problem.X.square()).max())
    if not largest > 0:  # all inputs are zero
        return problem.ruled(FixedAlpha()), network
    # of squares it is the same everywhere
    known = DenseCurvature(output_gauss_newton(network, problem)) if problem.loss.is_quadratic else None

    def curvature_at(network: MLP) -> Curvature:
        return problem.curvature_at(network) if known is None else known

    return first_fixed_point(problem, network, _minimised, largest, curvature_at)


def _minimised(network: MLP, problem: Problem) -> MLP:
    value = float(problem.objective(network))
    while True:
        network, before = refit_output(network, problem), value
        value = float(problem.objective(network))
        if problem.loss.is_quadratic or not value < before - GROWTH.linear_tol * abs(before):
            return network
