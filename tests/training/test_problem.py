"""Loss, gradient and Gauss-Newton matrix against dense formulas and finite differences."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from skgrow.networks import MLP, Activation
from skgrow.training import CHUNK_BYTES, Problem, sum_over_samples

ACTIVATIONS = ["relu", "leaky_relu", "tanh", "logistic", "identity"]


def random_case(activation="tanh", *, c=2, weighted=True, alpha=0.7, seed=0, n=11, layers=1):
    rng = np.random.default_rng(seed)
    sizes = (3, *[4] * layers, c)
    n_parameters = sum((i + 1) * o for i, o in pairwise(sizes))
    network = MLP(sizes, torch.as_tensor(rng.normal(size=n_parameters)), Activation(activation))
    X, Y = torch.as_tensor(rng.normal(size=(n, 3))), torch.as_tensor(rng.normal(size=(n, c)))
    weight = torch.as_tensor(rng.uniform(0.1, 2, size=n)) if weighted else None
    return network, Problem(X, Y, weight, alpha)


def assert_near(found, expected, tol=1e-13):
    """Up to rounding of sums, which is relative to their largest terms."""
    torch.testing.assert_close(found, expected, rtol=tol, atol=tol * float(expected.abs().max()))


def test_weights_are_normalised_and_count_observations():
    _, problem = random_case()
    assert float(problem.g.sum()) == pytest.approx(1, rel=1e-14)
    assert problem.total_weight == pytest.approx(float(problem.sample_weight.sum()))
    _, plain = random_case(weighted=False)
    torch.testing.assert_close(plain.g, torch.full((11,), 1 / 11, dtype=torch.float64))
    assert plain.total_weight == plain.n_samples == 11


@pytest.mark.parametrize("weighted", [False, True])
def test_values_by_their_formulas(weighted):
    network, problem = random_case(weighted=weighted)
    residual = problem.Y - network(problem.X)
    loss = 0.5 * float(sum(problem.g[j] * residual[j] @ residual[j] for j in range(11)))
    squares = sum(float(p.square().sum()) for p in [*network.weights, network.biases[0]])
    penalty = 0.7 / (2 * problem.total_weight) * squares  # the output bias is free
    assert float(problem.data_loss(network)) == pytest.approx(loss, rel=1e-12)
    assert float(problem.penalty(network)) == pytest.approx(penalty, rel=1e-12)
    assert float(problem.objective(network)) == pytest.approx(loss + penalty, rel=1e-12)
    torch.testing.assert_close(problem.negative_gradient(network), residual)
    mask = problem.penalty_weights(network)
    assert float(mask @ network.theta.square()) == pytest.approx(squares, rel=1e-12)


def test_objective_is_that_of_mlpregressor_but_for_the_biases():
    from sklearn.neural_network import MLPRegressor

    network, problem = random_case("relu", c=1, weighted=False)
    est = MLPRegressor(
        hidden_layer_sizes=(4,), alpha=0.7, max_iter=1, solver="sgd", learning_rate_init=1e-300, batch_size=11
    )
    with pytest.warns(UserWarning, match="Maximum iterations"):
        est.fit(problem.X.numpy(), problem.Y.numpy()[:, 0])
    weights = [torch.as_tensor(W.T.copy()) for W in est.coefs_]
    biases = [torch.as_tensor(b) for b in est.intercepts_]
    same = MLP.from_arrays(weights, biases, network.activation)
    bias_part = 0.7 / 22 * float(biases[0].square().sum())
    assert float(problem.objective(same)) - bias_part == pytest.approx(est.loss_, rel=1e-10)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("c", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_agrees_with_finite_differences(activation, weighted, c, layers):
    network, problem = random_case(activation, c=c, weighted=weighted, layers=layers)
    value, gradient = problem.value_and_gradient(network)
    assert float(value) == pytest.approx(float(replace(problem).objective(network)), rel=1e-13)
    step = 1e-6
    for i in range(network.n_parameters):
        e = torch.zeros_like(network.theta)
        e[i] = step
        ahead, behind = (float(problem.objective(network.with_theta(network.theta + s * e))) for s in (1, -1))
        assert float(gradient[i]) == pytest.approx((ahead - behind) / (2 * step), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("c", [1, 2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gauss_newton_matrix_by_its_formula(activation, weighted, c, layers):
    network, problem = random_case(activation, c=c, weighted=weighted, layers=layers)
    loss, gradient, gram = problem.gauss_newton(network)
    J = network.jacobian(network.forward_pass(problem.X))
    expected = sum(problem.g[j] * J[:, j].T @ J[:, j] for j in range(11))
    assert_near(gram, expected)
    assert float(loss) == pytest.approx(float(problem.data_loss(network)), rel=1e-13)
    problem.alpha = 0.0
    assert_near(gradient, problem.value_and_gradient(network)[1])


def test_gauss_newton_matrix_of_a_linear_model_is_its_hessian():
    rng = np.random.default_rng(0)
    X, Y = torch.as_tensor(rng.normal(size=(11, 3))), torch.as_tensor(rng.normal(size=(11, 2)))
    problem = Problem(X, Y, torch.as_tensor(rng.uniform(size=11)))
    network = MLP((3, 2), torch.zeros(8, dtype=torch.float64), Activation("identity"))
    hessian = torch.func.jacrev(torch.func.grad(lambda theta: problem.data_loss(network.with_theta(theta))))(
        network.theta
    )
    assert_near(problem.gauss_newton(network)[2], hessian)


@pytest.mark.parametrize("c", [1, 3])
def test_weights_are_repetitions(c):
    network, problem = random_case(c=c)
    count = torch.tensor([1, 2, 3, 1, 1, 2, 0, 1, 1, 4, 1])
    weighted = Problem(problem.X, problem.Y, count.double(), 0.7)
    repeated = Problem(*(a.repeat_interleave(count, 0) for a in (problem.X, problem.Y)), alpha=0.7)
    for ours, theirs in zip(
        (*weighted.value_and_gradient(network), *weighted.gauss_newton(network)),
        (*repeated.value_and_gradient(network), *repeated.gauss_newton(network)),
        strict=True,
    ):
        assert_near(ours, theirs)


@pytest.mark.parametrize("budget", [1, 2_000, 20_000])
def test_chunks_give_the_same_sums(budget, monkeypatch):
    network, problem = random_case(n=53, c=3)
    whole = problem.data_loss(network), *problem.value_and_gradient(network), *problem.gauss_newton(network)
    monkeypatch.setitem(CHUNK_BYTES, "cpu", budget)
    problem = replace(problem)  # which remembers nothing
    parts = problem.data_loss(network), *problem.value_and_gradient(network), *problem.gauss_newton(network)
    for ours, theirs in zip(parts, whole, strict=True):
        assert_near(ours, theirs)


def test_chunks_stay_within_the_budget(monkeypatch):
    monkeypatch.setitem(CHUNK_BYTES, "cpu", 1000)
    lengths = []

    def count(x, y):
        assert len(x) == len(y)
        lengths.append(len(x))
        return x.sum(0), y.sum()

    X, y = torch.arange(50.0).view(25, 2), torch.arange(25.0)
    total = sum_over_samples(count, X, y, bytes_per_row=150)
    assert max(lengths) == 6
    assert sum(lengths) == 25
    torch.testing.assert_close(total[0], X.sum(0))
    torch.testing.assert_close(total[1], y.sum())


@pytest.mark.parametrize("weighted", [False, True])
def test_the_mean_over_batches_is_the_whole(weighted):
    network, problem = random_case(weighted=weighted, n=12)
    batches = list(problem.batches(4, torch.Generator().manual_seed(0)))
    rows = torch.cat([batch.X for batch in batches])
    torch.testing.assert_close(rows.sort(0).values, problem.X.sort(0).values)
    value, gradient = problem.value_and_gradient(network)
    values, gradients = zip(*(batch.value_and_gradient(network) for batch in batches), strict=True)
    torch.testing.assert_close(torch.stack(values).mean(), value)
    torch.testing.assert_close(torch.stack(gradients).mean(0), gradient)


def test_an_offset_is_what_a_frozen_part_adds():
    network, problem = random_case()
    rest = replace(problem, offset=problem.outputs(network))
    zero = network.with_theta(torch.zeros_like(network.theta))
    assert float(rest.data_loss(zero)) == pytest.approx(float(problem.data_loss(network)), rel=1e-13)
    residual = problem.Y - problem.outputs(network)
    torch.testing.assert_close(rest.negative_gradient(network), residual - problem.outputs(network))
    shifted = replace(problem, Y=residual)
    for ours, theirs in zip(rest.gauss_newton(network), shifted.gauss_newton(network), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_losses_are_computed_once_but_where_parameters_move():
    passes = []

    class Counted(Problem):
        def count(self, network, gradients):
            passes.append(gradients)

    network, given = random_case()
    problem = Counted(given.X, given.Y, given.sample_weight, given.alpha)
    first = float(problem.data_loss(network))
    assert float(problem.objective(network)) > first
    twin = network.with_theta(network.theta)
    assert float(problem.data_loss(twin)) == first
    assert passes == [1 / 3, 1 / 3]
    problem.value_and_gradient(network)
    assert passes == [1 / 3, 1 / 3, 1.0]
    theta = network.theta.clone()
    moving = network.with_theta(theta)
    (batch,) = problem.batches(problem.n_samples, torch.Generator().manual_seed(0))
    assert float(batch.data_loss(moving)) == pytest.approx(first, rel=1e-12)
    theta.mul_(2)
    expected = float(replace(problem).data_loss(network.with_theta(2 * network.theta)))
    assert float(batch.data_loss(moving)) == pytest.approx(expected, rel=1e-12)
