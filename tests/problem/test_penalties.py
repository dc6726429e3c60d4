"""Penalties: gradients against finite differences of the whole objective, strengths, the path norm and the decay."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skgrow.networks import MLP, Activation
from skgrow.problem import (
    L2,
    CrossEntropy,
    Huber,
    Logistic,
    Operator,
    PathNorm,
    Penalty,
    PenaltySum,
    Poisson,
    Problem,
    Quantile,
    SquaredError,
    WeightedL2,
    derivative,
    gradient,
)
from skgrow.solvers import LBFGS

SIZES = (2, 3, 2)
N_PARAMETERS = 17
OUTPUT_BIASES = slice(15, 17)
LOSSES = [SquaredError(), Poisson(), Huber(0.7), Quantile(0.3, 0.05), Logistic(), CrossEntropy()]
NAMED = {"ids": lambda value: type(value).__name__}


class Rounded(Penalty):
    """A penalty of one's own: the absolute values of all parameters but the output biases, rounded off at zero."""

    def value(self, network, n):
        theta = network.theta[: OUTPUT_BIASES.start]
        return self.alpha / n * ((theta.square() + 0.01).sqrt() - 0.1).sum()

    def gradient(self, network, n):
        return self.alpha / n * network.theta / (network.theta.square() + 0.01).sqrt() * self.pattern(network)


def masses():
    """Factors of a weighted decay; some parameters are not penalised."""
    return torch.as_tensor(np.random.default_rng(3).integers(0, 4, N_PARAMETERS).astype(float))


PENALTIES = {
    "l2": L2(2.0),
    "weighted": WeightedL2(2.0, masses()),
    "weighted by ones": WeightedL2(2.0),
    "path": PathNorm(2.0),
    "own": Rounded(2.0),
    "sum": PenaltySum((PathNorm(2.0), WeightedL2(0.7, masses()), L2(0.3))),
    "none": L2(),
}


def mixed(f, X):
    """A first-order differential operator with variable coefficients."""
    return derivative(torch.tensor([1.0, 0.0]))(f, X) + X[:, 1:] * f(X)


OPERATORS = {
    "none": None,
    "gradient": (gradient(2), 2),
    "directional": (derivative(torch.tensor([0.6, -2.0])), 1),
    "callable": (mixed, 1),
    "offset": None,
    "callable and offset": (mixed, 1),
}


def network_of(seed=0, *, silent="nothing", activation="tanh"):
    """A network; its first neuron may have no weights of one side."""
    network = MLP(SIZES, torch.as_tensor(np.random.default_rng(seed).normal(size=N_PARAMETERS)), Activation(activation))
    weights, biases = [W.clone() for W in network.weights], [b.clone() for b in network.biases]
    if silent == "incoming":
        weights[0][0], biases[0][0] = 0, 0
    elif silent == "outgoing":
        weights[1][:, 0] = 0
    return MLP.from_arrays(weights, biases, network.activation)


def problem_of(penalty, loss=None, operator="none", seed=0, n=7):
    loss = SquaredError() if loss is None else loss
    rng = np.random.default_rng(seed)
    X, rows = torch.as_tensor(rng.normal(size=(n, 2))), n
    built = None
    if OPERATORS[operator] is not None:
        shift, scale = torch.as_tensor(rng.normal(size=2)), torch.as_tensor(rng.uniform(0.5, 3, 2))
        built = Operator(*OPERATORS[operator], shift, scale)
        rows = n * built.n_components
    if isinstance(loss, CrossEntropy):
        Y = np.eye(2)[rng.integers(0, 2, rows)]
    elif isinstance(loss, Logistic):
        Y = rng.integers(0, 2, (rows, 2)).astype(float)
    else:
        Y = rng.poisson(2, (rows, 2)).astype(float)
    offset = torch.as_tensor(rng.normal(size=(rows, 2))) if "offset" in operator else None
    weight = torch.as_tensor(rng.uniform(0.3, 2, n))
    return Problem(X, torch.as_tensor(Y), weight, loss, penalty, operator=built, offset=offset)


def slopes(function, theta, directions=None, step=1e-6):
    """Central differences of a function of the parameters, along directions (rows) or all axes."""
    directions = torch.eye(len(theta), dtype=theta.dtype) if directions is None else directions
    return torch.stack([(function(theta + step * v) - function(theta - step * v)) / (2 * step) for v in directions])


# gradients -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@pytest.mark.parametrize("kind", PENALTIES)
def test_the_gradient_of_an_objective_agrees_with_finite_differences(kind, loss, operator):
    network, problem = network_of(), problem_of(PENALTIES[kind], loss, operator)
    value, found = problem.value_and_gradient(network)
    assert float(value) == pytest.approx(float(replace(problem).objective(network)), rel=1e-13)
    directions = torch.as_tensor(np.random.default_rng(1).normal(size=(4, N_PARAMETERS)))
    expected = slopes(lambda theta: problem.objective(network.with_theta(theta)), network.theta, directions)
    torch.testing.assert_close(directions @ found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("silent", ["nothing", "incoming", "outgoing"])
@pytest.mark.parametrize("kind", PENALTIES)
def test_the_gradient_of_a_penalty_agrees_with_finite_differences(kind, silent):
    """Alone it is known to more digits. Where a neuron has no weights, the path norm has its mean slope, zero."""
    penalty, network = PENALTIES[kind], network_of(silent=silent)
    expected = slopes(lambda theta: penalty.value(network.with_theta(theta), 5.0), network.theta)
    found = penalty.gradient(network, 5.0)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)
    assert bool((found[OUTPUT_BIASES] == 0).all())
    assert bool(found.any()) == (kind != "none")


@pytest.mark.parametrize("silent", ["nothing", "incoming", "outgoing"])
@pytest.mark.parametrize("kind", PENALTIES)
def test_a_gradient_is_added_as_it_is_returned(kind, silent):
    penalty, network = PENALTIES[kind], network_of(silent=silent)
    start = torch.as_tensor(np.random.default_rng(1).normal(size=N_PARAMETERS))
    given = start.clone()
    penalty.add_gradient(network, 5.0, given)
    torch.testing.assert_close(given, start + penalty.gradient(network, 5.0), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("kind", PENALTIES)
def test_of_batches_the_mean_penalty_is_the_whole(kind):
    network, problem = network_of(), problem_of(PENALTIES[kind], n=12)
    parts = [part.value_and_gradient(network) for part in problem.batches(4, torch.Generator().manual_seed(0))]
    for found, expected in zip(zip(*parts, strict=True), problem.value_and_gradient(network), strict=True):
        torch.testing.assert_close(sum(found) / 3, expected, rtol=1e-12, atol=1e-14)


def test_a_penalty_of_ones_own_is_minimised():
    network, problem = network_of(), problem_of(Rounded(2.0))
    state = LBFGS().start(network, problem)
    while not state.converged:
        state.step()
    slope = problem.value_and_gradient(state.network)[1]
    assert float(slope.norm()) < 1e-5 * float(problem.value_and_gradient(network)[1].norm())


# strengths -----------------------------------------------------------------------------------------------------


@given(factor=st.just(0.0) | st.floats(1e-9, 1e6), seed=st.integers(0, 2**16))
@pytest.mark.parametrize("kind", [name for name in PENALTIES if name not in ("sum", "none")])
def test_value_and_gradient_are_proportional_to_the_strength(kind, factor, seed):
    penalty, network = PENALTIES[kind], network_of(seed)
    other = penalty.with_alpha(2.0 * factor)
    assert type(other) is type(penalty)
    assert (other.alpha, penalty.alpha) == (2.0 * factor, 2.0)
    torch.testing.assert_close(other.value(network, 5.0), factor * penalty.value(network, 5.0), rtol=1e-12, atol=0.0)
    expected = factor * penalty.gradient(network, 5.0)
    torch.testing.assert_close(other.gradient(network, 5.0), expected, rtol=1e-12, atol=0.0)
    assert torch.equal(other.pattern(network), penalty.pattern(network))  # the strength is not in it
    same = penalty.value(network, 10.0)  # twice the data, half the share
    torch.testing.assert_close(same, penalty.value(network, 5.0) / 2, rtol=1e-13, atol=0.0)


@given(alpha=st.floats(0, 1e6), seed=st.integers(0, 2**16))
def test_the_strength_of_a_sum_is_that_of_its_first_term(alpha, seed):
    network, (first, *others) = network_of(seed), PENALTIES["sum"].terms
    found = PENALTIES["sum"].with_alpha(alpha)
    assert (found.alpha, PENALTIES["sum"].alpha) == (alpha, 2.0)
    terms = [first.with_alpha(alpha), *others]
    expected = sum(term.value(network, 5.0) for term in terms)
    torch.testing.assert_close(found.value(network, 5.0), expected, rtol=1e-13, atol=0.0)
    expected = sum(term.gradient(network, 5.0) for term in terms)
    torch.testing.assert_close(found.gradient(network, 5.0), expected, rtol=1e-12, atol=1e-15)
    assert torch.equal(found.pattern(network), first.pattern(network))


def test_masses_count_how_often_a_parameter_is_penalised():
    """Two neurons of a finer network that are the same are one of twice the mass."""
    coarse = network_of()
    twice = torch.tensor([0, 0, 1, 1, 2, 2])
    weights, biases = coarse.weights, coarse.biases
    fine = MLP.from_arrays([weights[0][twice], weights[1][:, twice]], [biases[0][twice], biases[1]], coarse.activation)
    penalty = WeightedL2(2.0, torch.full((N_PARAMETERS,), 2.0, dtype=torch.float64))
    torch.testing.assert_close(penalty.value(coarse, 5.0), L2(2.0).value(fine, 5.0), rtol=1e-13, atol=0.0)
    assert bool((penalty.pattern(coarse)[OUTPUT_BIASES] == 0).all())


# parabolas -----------------------------------------------------------------------------------------------------


@given(seed=st.integers(0, 2**16))
@pytest.mark.parametrize("kind", ["l2", "weighted", "weighted by ones", "none"])
def test_a_decay_is_its_own_parabola(kind, seed):
    penalty, network = PENALTIES[kind], network_of(seed)
    pattern = penalty.pattern(network)
    expected = penalty.alpha / 10 * (network.theta * pattern) @ network.theta
    torch.testing.assert_close(penalty.value(network, 5.0), expected, rtol=1e-13, atol=0.0)
    torch.testing.assert_close(penalty.gradient(network, 5.0), penalty.alpha / 5 * pattern * network.theta)


def balanced(seed, activation="relu"):
    """A network whose neurons have incoming and outgoing weights of equal norms."""
    network = network_of(seed, activation=activation)
    (W, A), (b, c) = network.weights, network.biases
    size = torch.cat([W, b[:, None]], 1).norm(dim=1) / A.norm(dim=0)
    return MLP.from_arrays([W, A * size], [b, c], network.activation)


@given(seed=st.integers(0, 2**16))
def test_the_path_norm_is_at_most_the_decay_and_equal_if_neurons_are_balanced(seed):
    network = network_of(seed)
    decay, path = L2(2.0), PathNorm(2.0)
    assert float(path.value(network, 5.0)) <= float(decay.value(network, 5.0))
    network = balanced(seed)
    torch.testing.assert_close(path.value(network, 5.0), decay.value(network, 5.0), rtol=1e-12, atol=0.0)
    torch.testing.assert_close(path.gradient(network, 5.0), decay.gradient(network, 5.0), rtol=1e-12, atol=1e-15)


@given(seed=st.integers(0, 2**16), factor=st.floats(1e-2, 1e2))
def test_the_path_norm_belongs_to_the_function(seed, factor):
    """A (leaky) ReLU network is the same with neurons of other sizes: so is this penalty, unlike the decay."""
    network = network_of(seed, activation="relu")
    (W, A), (b, c) = network.weights, network.biases
    other = MLP.from_arrays([factor * W, A / factor], [factor * b, c], network.activation)
    torch.testing.assert_close(PathNorm(2.0).value(other, 5.0), PathNorm(2.0).value(network, 5.0))


@given(seed=st.integers(0, 2**16), size=st.sampled_from([1e-3, 1e-1, 1.0, 10.0]))
def test_the_parabola_of_the_path_norm_lies_above_and_touches(seed, size):
    network, penalty = balanced(seed), PathNorm(2.0)
    away = size * torch.as_tensor(np.random.default_rng(seed + 1).normal(size=N_PARAMETERS))

    def parabola(step):
        tangent = penalty.value(network, 5.0) + penalty.gradient(network, 5.0) @ step
        return tangent + penalty.alpha / 10 * (step * penalty.pattern(network)) @ step

    there = penalty.value(network.with_theta(network.theta + away), 5.0)
    assert float(there) <= float(parabola(away)) * (1 + 1e-12)
    torch.testing.assert_close(parabola(0 * away), penalty.value(network, 5.0), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("kind", PENALTIES)
def test_the_ridge_of_a_problem_is_the_factor_of_the_parabola(kind):
    problem = problem_of(PENALTIES[kind])
    assert problem.alpha == PENALTIES[kind].alpha
    assert problem.ridge == problem.alpha / problem.total_weight
