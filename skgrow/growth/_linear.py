"""The linear model: what networks have to be better than."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from skgrow.criteria import Criterion, LogEvidence
from skgrow.growth._constants import GROWTH
from skgrow.networks import MLP, Activation
from skgrow.problem import Curvature, DenseCurvature, FixedAlpha, Problem
from skgrow.solvers import output_gauss_newton, refit_output
from skgrow.training import Trained, by_leave_one_out, falling_penalties, first_fixed_point, measured


def linear_model(problem: Problem, criterion: Criterion) -> Trained:
    """Return the linear model, a network without hidden layer.

    If the evidence sets the penalty, it is the fixed point met first from large penalties, see
    :func:`skgrow.training.first_fixed_point`, and of classes less as long as the leave-one-out loss falls.

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
    if not problem.rule.sets_penalty:
        return measured(_minimised(network, problem), problem, criterion)
    problem, network = _with_penalty(problem, network)
    trained = measured(_minimised(network, problem), problem, criterion)
    judged = problem.loss.known_dispersion and isinstance(criterion, LogEvidence)
    if not judged or trained.evidence is None:
        return trained
    return by_leave_one_out(trained, lambda model, on: measured(_minimised(model.network, on), on, criterion))


def linear_model_by_validation(
    problem: Problem, criterion: Criterion, descended: Callable[[MLP, Problem], MLP]
) -> Trained:
    """Return the linear model with the penalty, of some a decade apart, that validation data prefer.

    Penalties fall until two in turn are no better.

    Parameters
    ----------
    problem : Problem
        Without operator.
    criterion : Criterion
        With validation data.
    descended : callable
        ``descended(network, problem)`` is a network of a smaller objective.
    """
    d, c = problem.X.shape[1], problem.Y.shape[1]
    network = MLP((d, c), problem.X.new_zeros((d + 1) * c), Activation("identity"))
    best, failures = None, 0
    for on in falling_penalties(problem, _largest(problem)):
        network = descended(network, on)
        trained = measured(network, on, criterion)
        failures += 1
        if best is None or criterion.gains(trained, best, problem):
            best, failures = trained, 0
        if failures == 2:
            break
    return cast(Trained, best)


def refitted(network: MLP, problem: Problem, criterion: Criterion) -> Trained:
    """Return a linear model trained on another problem."""
    return measured(_minimised(network, problem), problem, criterion)


def _largest(problem: Problem) -> float:
    """Return the largest sum of squares of a feature."""
    return problem.total_weight * float((problem.g @ problem.X.square()).max())


def _with_penalty(problem: Problem, network: MLP) -> tuple[Problem, MLP]:
    """Return the problem of the best penalty, and a network next to its minimum."""
    largest = _largest(problem)
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
