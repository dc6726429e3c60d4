"""The terms of coarse objectives as penalties: gradients for every loss and operator, strengths, mini-batches."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skgrow.multilevel import CoarseCorrection, Identity, Proximal, WidthHierarchy, build_levels, corrected
from skgrow.networks import MLP, Activation, glorot
from skgrow.problem import (
    L2,
    CrossEntropy,
    Huber,
    Logistic,
    Operator,
    PenaltySum,
    Poisson,
    Problem,
    Quantile,
    SquaredError,
    derivative,
    gradient,
)

TANH = Activation("tanh")
LOSSES = [SquaredError(), Poisson(), Huber(0.7), Quantile(0.3, 0.05), Logistic(), CrossEntropy()]
NAMED = {"ids": lambda value: type(value).__name__}


def mixed(f, X):
    """A first-order differential operator with variable coefficients."""
    return derivative(torch.tensor([1.0, 0.0]))(f, X) + X[:, 1:] * f(X)


OPERATORS = {
    "none": None,
    "gradient": (gradient(2), 2),
    "directional": (derivative(torch.tensor([0.6, -2.0])), 1),
    "callable": (mixed, 1),
    "offset": None,
}


def problem_of(loss, operator="none", n=8, alpha=0.7):
    rng = np.random.default_rng(0)
    X, rows, built = torch.as_tensor(rng.normal(size=(n, 2))), n, None
    if OPERATORS[operator] is not None:
        built = Operator(*OPERATORS[operator], torch.tensor([0.3, -0.1]), torch.tensor([2.0, 0.5]))
        rows = n * built.n_components
    labels = rng.integers(0, 2, (rows, 2)).astype(float)
    if isinstance(loss, CrossEntropy):
        labels[:, 1] = 1 - labels[:, 0]
    offset = torch.as_tensor(rng.normal(size=(rows, 2))) if operator == "offset" else None
    weight = torch.as_tensor(rng.uniform(0.3, 2, n))
    return Problem(X, torch.as_tensor(labels), weight, loss, L2(alpha), operator=built, offset=offset)


def coarse_problem(kind, loss=None, operator="none", regularization=0.4):
    """Return a corrected coarse problem, its anchor, a network off it, its level, and the restricted gradient."""
    problem = problem_of(SquaredError() if loss is None else loss, operator)
    template = MLP((2, 4, 2), None, TANH)
    network = glorot(template, 0, template.theta.double())
    fine, coarse = build_levels(WidthHierarchy(), network, problem, 2)
    anchor = coarse.network.with_theta(coarse.transfer.restrict(network.theta))
    slope = fine.problem.value_and_gradient(network)[1]
    found = corrected(
        coarse.problem, anchor, network, fine.problem, slope, coarse.transfer, kind=kind, regularization=regularization
    )
    away = torch.as_tensor(np.random.default_rng(1).normal(size=anchor.n_parameters))
    network = anchor.with_theta(anchor.theta + 0.2 * away)
    return found, anchor, network, coarse, coarse.transfer.restrict_gradient(slope)


def slopes(function, theta, directions, step=1e-6):
    """Central differences of a function of the parameters along directions."""
    return torch.stack([(function(theta + step * v) - function(theta - step * v)) / (2 * step) for v in directions])


def directions_of(network):
    return torch.as_tensor(np.random.default_rng(2).normal(size=(4, network.n_parameters)))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@pytest.mark.parametrize("kind", [False, True, "exact"])
def test_the_gradient_of_a_coarse_objective_agrees_with_finite_differences(kind, loss, operator):
    problem, anchor, network, coarse, restricted = coarse_problem(kind, loss, operator)
    value, found = problem.value_and_gradient(network)
    assert float(value) == pytest.approx(float(replace(problem).objective(network)), rel=1e-13)
    directions = directions_of(network)
    expected = slopes(lambda theta: problem.objective(network.with_theta(theta)), network.theta, directions)
    torch.testing.assert_close(directions @ found, expected, rtol=1e-6, atol=1e-7)
    start = coarse.problem.value_and_gradient(anchor)[1] if kind is False else restricted
    torch.testing.assert_close(problem.value_and_gradient(anchor)[1], start, rtol=1e-11, atol=1e-13)


def terms_of(kind, regularization):
    problem, anchor, network, *_ = coarse_problem(kind, regularization=regularization)
    return problem, anchor, network, problem.penalty.terms


@pytest.mark.parametrize("kind", [False, True, "exact"])
@pytest.mark.parametrize("regularization", [0.0, 0.4])
def test_a_correction_is_a_sum_of_penalties(kind, regularization):
    problem, _, _, (own, *others) = terms_of(kind, regularization)
    assert isinstance(problem.penalty, PenaltySum)
    expected = [*([Proximal] if regularization else []), *([] if kind is False else [CoarseCorrection])]
    assert [type(term) for term in others] == expected
    assert (own.alpha, problem.alpha) == (0.7, 0.7)


@pytest.mark.parametrize("kind", [True, "exact"])
def test_the_terms_by_their_formulas(kind):
    problem, anchor, network, (_, proximal, linear) = terms_of(kind, 0.4)
    *_, coarse, restricted = coarse_problem(kind)
    away = network.theta - anchor.theta
    torch.testing.assert_close(proximal.value(network, 5.0), 0.2 * away @ away, rtol=1e-13, atol=0.0)
    torch.testing.assert_close(proximal.gradient(network, 5.0), 0.4 * away, rtol=1e-13, atol=0.0)
    slope = restricted - coarse.problem.value_and_gradient(anchor)[1]
    torch.testing.assert_close(linear.value(network, 5.0), slope @ away, rtol=1e-11, atol=1e-14)
    torch.testing.assert_close(linear.gradient(network, 5.0), slope, rtol=1e-11, atol=1e-14)
    for term in (proximal, linear):
        assert float(term.value(anchor, 5.0)) == 0
        given = torch.ones_like(network.theta)
        term.add_gradient(network, 5.0, given)
        torch.testing.assert_close(given, 1 + term.gradient(network, 5.0), rtol=1e-14, atol=1e-15)
    assert torch.equal(problem.penalty.pattern(network), coarse.problem.penalty.pattern(network))


@pytest.mark.parametrize("kind", [True, "exact"])
@given(alpha=st.floats(1e-6, 1e3))
def test_another_strength_is_that_inside_the_correction_too(kind, alpha):
    """At the anchor the gradient is the restricted one, whatever the strength, and is that of the objective."""
    problem, anchor, network, _, restricted = coarse_problem(kind)
    found = problem.at(alpha)
    assert (found.alpha, problem.alpha) == (alpha, 0.7)
    torch.testing.assert_close(found.value_and_gradient(anchor)[1], restricted, rtol=1e-9, atol=1e-12 * (1 + alpha))
    away = network.theta - anchor.theta
    decay = found.penalty.terms[0]
    slope = restricted - problem.with_penalty(decay).value_and_gradient(anchor)[1]
    n = problem.total_weight
    expected = decay.value(network, n) + 0.2 * away @ away + slope @ away
    torch.testing.assert_close(found.penalty.value(network, n), expected, rtol=1e-9, atol=1e-12 * (1 + alpha))


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@pytest.mark.parametrize("kind", [False, True, "exact"])
def test_the_gradient_on_some_rows_agrees_with_finite_differences(kind, loss):
    problem, _, network, *_ = coarse_problem(kind, loss)
    batch, directions = problem.batch(torch.tensor([1, 2, 6]), 8 / 3), directions_of(network)
    expected = slopes(lambda theta: batch.objective(network.with_theta(theta)), network.theta, directions)
    torch.testing.assert_close(directions @ batch.value_and_gradient(network)[1], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@pytest.mark.parametrize("kind", [False, True, "exact"])
def test_mini_batches_average_to_the_whole(kind, loss):
    problem, _, network, *_ = coarse_problem(kind, loss)
    parts = [part.value_and_gradient(network) for part in problem.batches(4, torch.Generator().manual_seed(0))]
    assert len(parts) == 2
    for found, expected in zip(zip(*parts, strict=True), problem.value_and_gradient(network), strict=True):
        torch.testing.assert_close(sum(found) / 2, expected, rtol=1e-11, atol=1e-13)


def test_a_batch_of_a_corrected_level_has_its_own_correction_on_the_batch():
    """Of three levels the middle one is corrected when the coarsest one is."""
    middle, anchor, *_ = coarse_problem(True)
    identity = Identity(anchor.n_parameters)
    slope = middle.value_and_gradient(anchor)[1]
    problem = corrected(middle, anchor, anchor, middle, slope, identity, kind=True, regularization=0.0)
    rows, factor = torch.tensor([1, 2, 6]), 8 / 3
    batch = problem.batch(rows, factor)
    same = middle.batch(rows, factor).value_and_gradient(anchor)[1]
    torch.testing.assert_close(batch.value_and_gradient(anchor)[1], same, rtol=1e-11, atol=1e-13)
    # no transfer and no other level: the term is zero, also on the batch
    assert float(batch.penalty.terms[-1].linear.abs().max()) < 1e-13


@pytest.mark.parametrize("kind", [True, "exact"])
def test_a_batch_of_all_rows_has_the_term_of_the_whole(kind):
    """It is not computed again for every step."""
    problem, _, _, (*_, linear) = terms_of(kind, 0.4)
    (batch,) = problem.batches(8, torch.Generator().manual_seed(0))
    assert batch.penalty.terms[-1] is linear
