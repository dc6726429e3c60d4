"""The exact output layer, leave-out losses, balance, and what growth neuron by neuron reaches."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skgrow.growth import balance, exact_neuron, smoothing_widths
from skgrow.multilevel import Proximal
from skgrow.networks import MLP, Activation, prune, widen
from skgrow.problem import (
    L2,
    Huber,
    Logistic,
    PathNorm,
    Penalty,
    PenaltySum,
    Poisson,
    Problem,
    SquaredError,
    WeightedL2,
)
from skgrow.solvers import leave_out_losses, output_gauss_newton, refit_output

RELU = Activation("relu")
SMOOTH_OR_NOT = ["relu", "leaky_relu", "tanh", "logistic"]


def random_case(activation, seed, *, c=2, width=5, alpha=0.3, layers=1):
    rng = np.random.default_rng(seed)
    sizes = (3, *[width] * layers, c)
    n_parameters = sum((i + 1) * o for i, o in pairwise(sizes))
    network = MLP(sizes, torch.as_tensor(rng.normal(size=n_parameters)), Activation(activation))
    X, Y = torch.as_tensor(rng.normal(size=(30, 3))), torch.as_tensor(rng.normal(size=(30, c)))
    return network, Problem(X, Y, torch.as_tensor(rng.uniform(0, 2, size=30)), penalty=L2(alpha))


def output_objective(network, problem):
    """Loss plus the share of the penalty that belongs to the output weights."""
    share = problem.alpha / (2 * problem.total_weight) * network.weights[-1].square().sum()
    return float(problem.data_loss(network) + share)


@pytest.mark.parametrize("activation", SMOOTH_OR_NOT)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
@pytest.mark.parametrize("layers", [1, 2])
def test_refit_is_stationary_in_the_output_layer_and_leaves_the_rest(activation, alpha, layers):
    network, problem = random_case(activation, 1, alpha=alpha, layers=layers)
    refitted = refit_output(network, problem)
    _, gradient = problem.value_and_gradient(refitted)
    start = network.slices[-1][0].start
    assert float(gradient[start:].abs().max()) < 1e-10
    assert torch.equal(refitted.theta[:start], network.theta[:start])
    assert float(problem.objective(refitted)) <= float(problem.objective(network))


class Quartic(Penalty):
    """A penalty of one's own: value and gradient alone."""

    def value(self, network, n):
        return self.alpha / (4 * n) * network.theta[: network.slices[-1][1].start].pow(4).sum()

    def gradient(self, network, n):
        return self.alpha / n * self.pattern(network) * network.theta**3


def penalty_of(kind, network):
    rng = np.random.default_rng(7)
    one, other = (torch.as_tensor(rng.uniform(0, 3, network.n_parameters)) for _ in range(2))
    away = network.with_theta(network.theta + torch.as_tensor(rng.normal(size=network.n_parameters)))
    return {
        "l2": L2(0.3),
        "weighted": WeightedL2(2.0, one),
        "sum": PenaltySum((WeightedL2(2.0, one), L2(0.5), WeightedL2(1.0, other))),
        "proximal": PenaltySum((L2(0.3), Proximal(0.2, away))),
        "path": PathNorm(0.2),
        "sum with path": PenaltySum((WeightedL2(2.0, one), PathNorm(0.2))),
        "quartic": Quartic(0.1),
    }[kind]


@pytest.mark.parametrize("loss", [SquaredError(), Poisson(), Huber(0.7), Logistic()], ids=lambda v: type(v).__name__)
@pytest.mark.parametrize("kind", ["l2", "weighted", "sum", "proximal", "path", "sum with path", "quartic"])
def test_refit_is_stationary_whatever_the_penalty(kind, loss):
    network, problem = random_case("tanh", 1)
    problem = replace(problem, Y=(problem.Y > 0).to(problem.Y), loss=loss, penalty=penalty_of(kind, network))
    refitted = refit_output(network, problem)
    assert float(problem.objective(refitted)) < float(problem.objective(network))
    start = network.slices[-1][0].start
    before, after = (float(problem.value_and_gradient(n)[1][start:].abs().max()) for n in (network, refitted))
    if kind in ("path", "sum with path", "quartic"):  # parabolas in turn, with linear convergence
        assert after < 1e-2 * before
        again = refitted
        for _ in range(10):
            again = refit_output(again, problem)
        assert float(problem.value_and_gradient(again)[1][start:].abs().max()) < 1e-3 * before
    else:
        assert after < (1e-10 if loss.is_quadratic else 1e-3)  # Newton's method ends at a relative gain of 1e-7


@pytest.mark.parametrize("kind", ["weighted", "sum", "proximal"])
def test_leave_out_losses_are_those_of_the_penalty(kind):
    network, problem = random_case("tanh", 2)
    problem = replace(problem, penalty=penalty_of(kind, network))
    full = refit_output(network, problem)
    (w, _), curvature = full.slices[-1], problem.penalty.curvature(full, problem.total_weight)
    gram = output_gauss_newton(full, problem) + torch.diag(curvature[w.start :])
    width, c = full.layer_sizes[-2:]
    losses = []
    for j in range(width):  # of the quadratic function with the outgoing weights of a neuron fixed at zero
        gone = torch.arange(c) * width + j
        rest = torch.tensor([i for i in range(len(gram)) if i not in gone])
        schur = gram[gone][:, gone] - gram[gone][:, rest] @ torch.linalg.solve(gram[rest][:, rest], gram[rest][:, gone])
        a = full.weights[-1][:, j]
        losses.append(float(0.5 * a @ schur @ a))
    np.testing.assert_allclose(leave_out_losses(network, problem), losses, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(leave_out_losses(full, problem), losses, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("width", [0, 1, 40])
def test_refit_never_raises_the_objective(width):
    """Also without neurons, and with more neurons than samples."""
    network, problem = random_case("relu", width, width=width, alpha=0.0)
    once = refit_output(network, problem)
    assert float(problem.objective(once)) <= float(problem.objective(network))
    assert float(problem.objective(refit_output(once, problem))) <= float(problem.objective(once))


@pytest.mark.parametrize("activation", SMOOTH_OR_NOT)
@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_leave_out_losses_equal_refits_without_each_neuron(activation, alpha):
    network, problem = random_case(activation, 2, alpha=alpha)
    full = output_objective(refit_output(network, problem), problem)
    rises = []
    for j in range(5):
        rest = torch.tensor([k for k in range(5) if k != j])
        rises.append(output_objective(refit_output(prune(network, 0, rest), problem), problem) - full)
    np.testing.assert_allclose(leave_out_losses(network, problem), rises, rtol=1e-7, atol=1e-10)


def test_a_copy_of_a_neuron_can_be_left_out_for_nothing():
    network, problem = random_case("tanh", 3, alpha=0.0, c=1)
    W, b = network.weights[0][:1], network.biases[0][:1]
    twins, _ = widen(network, 0, W, b, W.new_ones(1, 1))
    losses = leave_out_losses(twins, problem)
    assert float(losses[0]) < 1e-10
    assert float(losses[-1]) < 1e-10
    assert float(losses[1:-1].min()) > 1e-6


@pytest.mark.parametrize("activation", SMOOTH_OR_NOT)
@pytest.mark.parametrize("layers", [1, 2])
def test_output_block_of_the_gauss_newton_matrix(activation, layers):
    network, problem = random_case(activation, 4, layers=layers)
    _, _, gram = problem.gauss_newton(network)
    block = output_gauss_newton(network, problem)
    torch.testing.assert_close(block, gram[-len(block) :, -len(block) :], rtol=1e-12, atol=1e-14)


# balance and smoothing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@given(seed=st.integers(0, 2**16))
def test_balance_keeps_the_function_and_makes_the_penalty_least(activation, seed):
    network, problem = random_case(activation, seed)
    balanced = balance(network)
    torch.testing.assert_close(balanced(problem.X), network(problem.X), rtol=1e-12, atol=1e-12)
    incoming = torch.cat([balanced.weights[0], balanced.biases[0][:, None]], 1).norm(dim=1)
    torch.testing.assert_close(incoming, balanced.weights[1].norm(dim=0), rtol=1e-10, atol=0)
    assert float(problem.penalty_of(balanced)) <= float(problem.penalty_of(network)) * (1 + 1e-12)
    path_norm = (
        torch.cat([network.weights[0], network.biases[0][:, None]], 1).norm(dim=1) * network.weights[1].norm(dim=0)
    ).sum()
    least = problem.alpha / problem.total_weight * path_norm
    torch.testing.assert_close(problem.penalty_of(balanced), least, rtol=1e-10, atol=0)


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_only_homogeneous_neurons_can_be_balanced(activation):
    network, _ = random_case(activation, 0)
    assert balance(network) is network


def test_balance_survives_silent_neurons():
    network, problem = random_case("relu", 0)
    silent, _ = widen(network, 0, torch.zeros(1, 3).double(), torch.zeros(1).double(), torch.ones(2, 1).double())
    unused, _ = widen(network, 0, torch.ones(1, 3).double(), torch.zeros(1).double(), torch.zeros(2, 1).double())
    for wider in (silent, unused):
        torch.testing.assert_close(balance(wider)(problem.X), network(problem.X), rtol=1e-12, atol=1e-12)


def test_smoothing_widths_are_in_units_of_the_spread_of_the_preactivations():
    network, problem = random_case("relu", 5)
    (widths,) = smoothing_widths(network, problem, 0.25)
    Z = problem.X @ network.weights[0].T + network.biases[0]
    covariance = np.cov(Z.numpy(), rowvar=False, aweights=problem.g.numpy(), ddof=0)
    np.testing.assert_allclose(widths, 0.25 / Z.shape[1] * np.sqrt(covariance.diagonal()), rtol=1e-10)


# growing neuron by neuron --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(5, 1), (10, 1), (20, 1), (40, 1), (6, 2), (12, 2)])
@pytest.mark.parametrize("seed", [0, 1])
def test_frozen_directions_and_refitted_outputs_interpolate_n_points_with_n_neurons(n, d, seed):
    """Each best neuron has a feature outside the span of those before: the rank rises by one at a time."""
    rng = np.random.default_rng(seed)
    X, Y = torch.as_tensor(rng.uniform(-1, 1, size=(n, d))), torch.as_tensor(rng.normal(size=(n, 1)))
    problem = Problem(X, Y)
    network = refit_output(MLP((d, 0, 1), torch.zeros(1, dtype=X.dtype), RELU), problem)
    start = float(problem.data_loss(network))
    for _ in range(n):
        w, b = exact_neuron(X, problem.negative_gradient(network), problem.g, RELU)
        network, _ = widen(network, 0, w[None], b, w.new_zeros(1, 1))
        network = refit_output(network, problem)
        if float(problem.data_loss(network)) <= 1e-16 * start:
            break
    assert float(problem.data_loss(network)) <= 1e-16 * start
    assert network.layer_sizes[1] <= n


class WithoutOutputBias(Problem):
    """Maennel, Bousquet and Gelly's networks have no output bias: it stays zero."""

    def value_and_gradient(self, network):
        value, gradient = super().value_and_gradient(network)
        gradient[network.slices[-1][1]] = 0
        return value, gradient


def flow(network, problem, step=0.1, n_steps=4000):
    """Gradient descent with steps small enough to follow the gradient flow."""
    theta = network.theta.clone()
    moving = network.with_theta(theta)
    for _ in range(n_steps):
        theta -= step * problem.value_and_gradient(moving)[1]
    return network.with_theta(theta)


def test_five_point_staircase():
    """Half the sum of squares falls 3/2, 3/5, 13/30, 1/3, 0 with four neurons (notes on Maennel et al., A2-10)."""
    X = torch.arange(-2.0, 3.0, dtype=torch.float64)[:, None]
    Y = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0], dtype=torch.float64)[:, None]
    problem = WithoutOutputBias(X, Y)
    network = MLP((1, 0, 1), torch.zeros(1, dtype=X.dtype), RELU)
    stairs = [5 * float(problem.data_loss(network))]
    for _ in range(4):
        E = problem.negative_gradient(network)
        w, b = exact_neuron(X, E, problem.g, RELU, "parameter")
        size = 1e-4 / torch.cat([w, b]).norm()
        sign = torch.sign(E.T @ torch.relu(X @ w[:, None] + b))
        network, _ = widen(network, 0, size * w[None], size * b, 1e-4 * sign)
        network = flow(network, problem)
        stairs.append(5 * float(problem.data_loss(network)))
    np.testing.assert_allclose(stairs, [3 / 2, 3 / 5, 13 / 30, 1 / 3, 0], atol=2e-3)
