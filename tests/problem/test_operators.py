"""Operators: derivatives of networks, stacking, linearity, and problems that are fitted through them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skgrow.growth import GrowthPolicy, PolarSearch
from skgrow.networks import MLP, Activation, widen
from skgrow.problem import L2, Huber, Operator, Problem, derivative, gradient, is_linear
from skgrow.solvers import refit_output
from skgrow.training import Plateau

SIZES = [(2, 4, 1), (2, 3, 4, 1), (2, 0, 1)]


def random_network(sizes=(2, 4, 1), activation="tanh", seed=0):
    rng = np.random.default_rng(seed)
    p = sum((i + 1) * o for i, o in pairwise(sizes))
    return MLP(sizes, torch.as_tensor(rng.normal(size=p)), Activation(activation))


def points(n=9, d=2, seed=0):
    return torch.as_tensor(np.random.default_rng(seed).normal(size=(n, d)))


def standardized(rule, n_components, seed=0, d=2):
    rng = np.random.default_rng(seed)
    shift, scale = torch.as_tensor(rng.normal(size=d)), torch.as_tensor(rng.uniform(0.5, 3, d))
    return Operator(rule, n_components, shift, scale)


def plain(rule, n_components, d=2):
    return Operator(rule, n_components, torch.zeros(d).double(), torch.ones(d).double())


def mixed(f, X):
    """A first-order differential operator with variable coefficients and a boundary condition."""
    along = derivative(torch.tensor([1.0, 0.0]))(f, X)
    return torch.where(X[:, :1] > 0.5, f(X), along + X[:, 1:] * f(X))


def laplacian(f, X):
    """Second derivatives, by nested transforms of PyTorch."""

    def second(unit):
        tangent = unit.to(X).expand_as(X).contiguous()
        return torch.func.jvp(lambda x: torch.func.jvp(f, (x,), (tangent,))[1], (X,), (tangent,))[1]

    return second(torch.tensor([1.0, 0.0])) + second(torch.tensor([0.0, 1.0]))


OPERATORS = {
    "gradient": (gradient(2), 2),
    "directional": (derivative(torch.tensor([0.6, -2.0])), 1),
    "mixed": (mixed, 1),
    "laplacian": (laplacian, 1),
    "identity": (lambda f, X: f(X), 1),
}


# rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "logistic", "relu"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_rules_are_derivatives(activation, sizes):
    network, X = random_network(sizes, activation), points()
    leaf = X.clone().requires_grad_()
    (exact,) = torch.autograd.grad(network(leaf).sum() + 0 * leaf.sum(), leaf)
    torch.testing.assert_close(gradient(2)(network, X), exact.T.reshape(-1, 1))
    direction = torch.tensor([0.3, -1.7], dtype=torch.float64)
    torch.testing.assert_close(derivative(direction)(network, X), exact @ direction[:, None])
    if activation != "relu":
        step = 1e-6 * direction
        difference = (network(X + step) - network(X - step)) / 2e-6
        torch.testing.assert_close(derivative(direction)(network, X), difference, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", OPERATORS)
def test_columns_are_mapped_one_by_one(kind):
    rule, n_components = OPERATORS[kind]
    operator, X = standardized(rule, n_components), points()
    network = random_network((2, 4, 3))
    together = operator(network, X)
    assert together.shape == (9 * n_components, 3)
    for k in range(3):
        torch.testing.assert_close(together[:, k : k + 1], operator(lambda x, k=k: network(x)[:, k : k + 1], X))


@pytest.mark.parametrize("kind", OPERATORS)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**16))
def test_units_of_inputs_are_changed_inside(kind, seed):
    """On functions of standardized inputs the operator is the rule on functions of raw inputs."""
    rule, n_components = OPERATORS[kind]
    operator, raw = standardized(rule, n_components, seed), points(seed=seed)
    network = random_network(seed=seed)
    X = (raw - operator.shift) / operator.scale
    expected = rule(lambda x: network((x - operator.shift) / operator.scale), X * operator.scale + operator.shift)
    torch.testing.assert_close(operator(network, X), expected)
    if kind == "gradient":
        ours = operator(network, X).view(2, -1)
        theirs = gradient(2)(network, X).view(2, -1) / operator.scale[:, None]
        torch.testing.assert_close(ours, theirs)


def test_through_features_is_the_composition():
    operator, X = standardized(*OPERATORS["mixed"]), points()
    network = random_network((2, 3, 4, 1))
    composed = operator.through(lambda x: network.hidden(x, 1), X)
    head = MLP.from_arrays(network.weights[1:], network.biases[1:], network.activation)
    torch.testing.assert_close(composed(head, network.hidden(X, 1)), operator(network, X))
    assert composed.n_components == operator.n_components


def test_functions_of_features_may_have_another_precision():
    """Searches are in double precision, and the features as precise as the problem."""
    operator, X = standardized(*OPERATORS["mixed"]), points().float()
    network = random_network((2, 3, 4, 1)).like(X)
    composed = operator.through(lambda x: network.hidden(x, 1), X)
    head = MLP.from_arrays(network.weights[1:], network.biases[1:], network.activation)
    single, double = (composed(head.like(H), H) for H in (network.hidden(X, 1), network.hidden(X, 1).double()))
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(double.float(), single)


@given(n=st.integers(1, 6), components=st.integers(1, 4), c=st.integers(1, 3))
def test_stacking_goes_component_by_component(n, components, c):
    operator = plain(lambda f, X: f(X), components)
    Y = torch.arange(n * components * c, dtype=torch.float64).view(n, components * c)
    stacked = operator.stacked(Y)
    assert stacked.shape == (n * components, c)
    assert torch.equal(operator.unstacked(stacked), Y)
    for q in range(components):
        assert torch.equal(stacked[q * n : (q + 1) * n], Y[:, q * c : (q + 1) * c])


# linearity -----------------------------------------------------------------------------------------------------

NONLINEAR = {
    "square": lambda f, X: f(X) ** 2,
    "absolute": lambda f, X: f(X).abs(),
    "shift": lambda f, X: f(X) + 1e-3,
    "product": lambda f, X: f(X) * derivative(torch.tensor([1.0, 0.0]))(f, X),
    "reversed columns": lambda f, X: f(X).flip(1),
    "sum of columns": lambda f, X: f(X).sum(1, keepdim=True).expand(-1, f(X).shape[1]),
    "normalised": lambda f, X: f(X) / f(X).norm(),
}


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_linear_rules_are_accepted(kind, size):
    assert is_linear(OPERATORS[kind][0], size * points())


def test_other_linear_rules_are_accepted():
    kernel = torch.as_tensor(np.random.default_rng(0).normal(size=(9, 9)))
    for rule in (
        lambda f, X: kernel @ f(X),
        lambda f, X: f(X) - f(X).mean(0),
        lambda f, X: 1e8 * f(X),
        lambda f, X: f(X**2) - f(torch.zeros_like(X)),
        lambda f, X: 0 * f(X),
    ):
        assert is_linear(rule, points())


@pytest.mark.parametrize("kind", NONLINEAR)
def test_rules_that_are_not_linear_are_refused(kind):
    assert not is_linear(NONLINEAR[kind], points())


# problems ------------------------------------------------------------------------------------------------------


def operator_problem(kind, sizes, activation="tanh", *, alpha=0.5, weighted=True, offset=False, seed=0):
    rng = np.random.default_rng(seed)
    rule, n_components = OPERATORS[kind]
    operator, X = standardized(rule, n_components), points()
    Y = operator.stacked(torch.as_tensor(rng.normal(size=(9, n_components))))
    weight = torch.as_tensor(rng.uniform(0.2, 2, 9)) if weighted else None
    shift = torch.as_tensor(rng.normal(size=Y.shape)) if offset else None
    return random_network(sizes, activation, seed), Problem(
        X, Y, weight, penalty=L2(alpha), operator=operator, offset=shift
    )


@pytest.mark.parametrize(
    ("kind", "sizes", "offset"),
    [(kind, SIZES[j], (i + j) % 2 == 1) for i, kind in enumerate(OPERATORS) for j in range(2)],  # every pair meets
    ids=str,
)
def test_gradient_and_gauss_newton_agree_with_finite_differences(kind, sizes, offset):
    network, problem = operator_problem(kind, sizes, offset=offset)
    value, slope = problem.value_and_gradient(network)
    loss, data_slope, gram = problem.gauss_newton(network)
    fresh = replace(problem)  # remembers no loss
    assert float(value) == pytest.approx(float(fresh.objective(network)), rel=1e-12)
    assert float(loss) == pytest.approx(float(fresh.data_loss(network)), rel=1e-12)
    step, columns = 1e-6, []
    for i in range(network.n_parameters):
        e = torch.zeros_like(network.theta)
        e[i] = step
        ahead, behind = (network.with_theta(network.theta + s * e) for s in (1, -1))
        change = float(problem.objective(ahead) - problem.objective(behind)) / (2 * step)
        assert float(slope[i]) == pytest.approx(change, rel=1e-5, abs=1e-7)
        columns.append((problem.outputs(ahead) - problem.outputs(behind))[:, 0] / (2 * step))
    J = torch.stack(columns, 1)
    torch.testing.assert_close(gram, (J * problem.g[:, None]).T @ J, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(data_slope, problem.at(0.0).value_and_gradient(network)[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_a_network_can_be_used_after_an_operator_has_seen_it_first(sizes):
    """Its arrays are made with it, not in a transform of PyTorch that is over by then."""
    network, problem = operator_problem("laplacian", sizes)
    expected = network.with_theta(network.theta)(problem.X)
    images = problem.outputs(network)
    torch.testing.assert_close(network(problem.X), expected)
    torch.testing.assert_close(problem.outputs(network), images)


def test_the_identity_changes_nothing():
    network, problem = operator_problem("identity", (2, 4, 1))
    same = Problem(problem.X, problem.Y, problem.sample_weight, penalty=L2(0.5))
    for ours, theirs in zip(
        (*problem.value_and_gradient(network), *problem.gauss_newton(network), problem.basis(network)),
        (*same.value_and_gradient(network), *same.gauss_newton(network), same.basis(network)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_other_losses_have_their_curvature_under_an_operator():
    network, problem = operator_problem("mixed", (2, 4, 1))
    problem = replace(problem, loss=Huber(0.5))
    J = torch.func.jacrev(lambda theta: problem.outputs(network.with_theta(theta))[:, 0])(network.theta)
    weight = problem.g * problem.loss.curvature(problem.outputs(network), problem.Y)[:, 0]
    torch.testing.assert_close(problem.gauss_newton(network)[2], (J * weight[:, None]).T @ J)


@pytest.mark.parametrize("kind", OPERATORS)
def test_weights_are_repeated_for_every_component_and_count_repetitions(kind):
    network, problem = operator_problem(kind, (2, 4, 1))
    q = problem.operator.n_components
    torch.testing.assert_close(problem.g, problem.sample_weight.repeat(q) / problem.sample_weight.sum() / q)
    count = torch.tensor([1, 2, 1, 3, 1, 1, 2, 1, 1])
    weighted = Problem(problem.X, problem.Y, count.double(), penalty=L2(0.5), operator=problem.operator)
    rows = problem.operator.unstacked(problem.Y).repeat_interleave(count, 0)
    repeated = Problem(
        problem.X.repeat_interleave(count, 0),
        problem.operator.stacked(rows),
        penalty=L2(0.5),
        operator=problem.operator,
    )
    assert weighted.total_weight == repeated.total_weight == 13 * q
    torch.testing.assert_close(weighted.value_and_gradient(network)[1], repeated.value_and_gradient(network)[1])


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_outputs_are_the_basis_times_the_output_weights(kind, sizes):
    network, problem = operator_problem(kind, sizes)
    basis = problem.basis(network)
    assert basis.shape == (len(problem.Y), sizes[-2] + 1)
    coefficients = torch.cat([network.weights[-1], network.biases[-1][:, None]], 1).T
    torch.testing.assert_close(basis @ coefficients, problem.outputs(network))


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_a_refit_is_stationary_through_an_operator(kind, sizes):
    network, problem = operator_problem(kind, sizes)
    refitted = refit_output(network, problem)
    assert float(problem.objective(refitted)) <= float(problem.objective(network))
    slope = problem.value_and_gradient(refitted)[1][network.slices[-1][0].start :]
    assert float(slope.abs().max()) < 1e-9


@pytest.mark.parametrize("kind", OPERATORS)
@pytest.mark.parametrize("sizes", SIZES[:2], ids=str)
def test_new_neurons_of_the_last_layer_are_scored_through_the_operator(kind, sizes):
    """Also of a deep network, whose last layers are searched as a network on the features below."""
    network, problem = operator_problem(kind, sizes, alpha=0.0)
    network = refit_output(network, problem)
    policy = GrowthPolicy(
        descend=lambda network, problem: (network, problem),
        search=PolarSearch(),
        schedule=Plateau(),
        block_size=2,
        max_neurons=20,
        max_extensions=1,
        n_exchanges=0,
        patience=1,
        min_decrease=0.0,
        generator=torch.Generator().manual_seed(0),
    )
    block = policy.best_block(network, problem)
    silent, _ = widen(network, len(sizes) - 3, block.W, block.b, torch.zeros(1, len(block.b)).double())
    decrease = float(problem.data_loss(network)) - float(problem.data_loss(refit_output(silent, problem)))
    assert block.score > 0
    assert block.score == pytest.approx(decrease, rel=1e-5)  # the search regularises its Gram matrices


def test_the_rule_sees_training_points_to_the_last_bit():
    given_points = torch.linspace(0, 2, 401, dtype=torch.float64)[:, None]
    shift, scale = given_points.mean(0), given_points.std(0)
    seen = []

    def rule(f, X):
        seen.append(X)
        return f(X)

    X = (given_points - shift) / scale
    operator = Operator(rule, 1, shift, scale, given=(X, given_points))
    values = operator(lambda x: x**2, X)
    assert torch.equal(seen[0], given_points)
    torch.testing.assert_close(values, X**2)
    operator(lambda x: x**2, X[1:])  # other points are changed back
    torch.testing.assert_close(seen[1], given_points[1:])
