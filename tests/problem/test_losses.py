"""Losses: derivatives, majorising parabolas, roots, least values, and the Gauss-Newton matrices built from them."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from sklearn.metrics import log_loss, mean_pinball_loss, mean_poisson_deviance

from skgrow.networks import MLP, Activation
from skgrow.problem import L2, CrossEntropy, Huber, Logistic, Poisson, Problem, Quantile, SquaredError

LOSSES = [
    SquaredError(),
    Poisson(),
    Huber(0.7),
    Quantile(0.1, 0.05),
    Quantile(0.5, 0.05),
    Quantile(0.9, 0.05),
    Logistic(),
    CrossEntropy(),
]
SMOOTH = [SquaredError(), Poisson(), Logistic(), CrossEntropy()]
ROBUST = [Huber(0.7), Huber(2.0), Quantile(0.1, 0.05), Quantile(0.5, 0.01), Quantile(0.9, 0.3)]
NAMED = {"ids": str}


def random_case(loss, seed=0, n=25, c=3):
    rng = np.random.default_rng(seed)
    F = rng.normal(size=(n, c))
    if isinstance(loss, CrossEntropy):
        Y = np.eye(c)[rng.integers(0, c, n)]
    elif isinstance(loss, Logistic):
        Y = rng.integers(0, 2, (n, c)).astype(float)
    else:
        Y = rng.poisson(2, (n, c)).astype(float) if isinstance(loss, Poisson) else 1.5 * rng.normal(size=(n, c))
    return torch.as_tensor(F), torch.as_tensor(Y)


# derivatives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@given(seed=st.integers(0, 2**16))
def test_negative_gradient_agrees_with_finite_differences(loss, seed):
    F, Y = random_case(loss, seed, n=5)
    E, step = loss.negative_gradient(F, Y), 1e-6
    for k in range(3):
        move = torch.zeros_like(F)
        move[:, k] = step
        difference = (loss.value(F - move, Y) - loss.value(F + move, Y)) / (2 * step)
        torch.testing.assert_close(difference, E[:, k], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", SMOOTH, **NAMED)
def test_curvature_of_smooth_losses_is_the_hessian(loss):
    F, Y = random_case(loss)
    for f, y, H in zip(F, Y, loss.hessian(F, Y), strict=True):
        exact = torch.func.hessian(lambda z, y=y: loss.value(z[None], y[None])[0])(f)
        torch.testing.assert_close(H, exact, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", ROBUST, **NAMED)
@given(y=st.floats(-3, 3), f=st.floats(-3, 3), other=st.floats(-10, 10))
def test_the_parabola_of_the_curvature_lies_above(loss, y, f, other):
    F, Y, G = (torch.tensor([[a]], dtype=torch.float64) for a in (f, y, other))
    step = float(G - F)
    parabola = (
        float(loss.value(F, Y))
        - float(loss.negative_gradient(F, Y)) * step
        + 0.5 * float(loss.curvature(F, Y)) * step**2
    )
    assert float(loss.value(G, Y)) <= parabola + 1e-9


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@given(seed=st.integers(0, 2**16))
def test_losses_are_convex(loss, seed):
    F, Y = random_case(loss, seed)
    G, _ = random_case(loss, seed + 1)
    tangent = loss.value(F, Y) - ((G - F) * loss.negative_gradient(F, Y)).sum(1)
    assert bool((loss.value(G, Y) >= tangent - 1e-9).all())


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@given(seed=st.integers(0, 2**16))
def test_root_and_diagonal_belong_to_the_hessian(loss, seed):
    F, Y = random_case(loss, seed)
    H, root = loss.hessian(F, Y), loss.curvature_root(F, Y)
    assert H.shape == (25, 3, 3)
    if root is None:
        torch.testing.assert_close(H, torch.eye(3).double().expand(25, 3, 3))
    else:
        torch.testing.assert_close(torch.einsum("knc,knd->ncd", root, root), H, rtol=1e-10, atol=1e-12)
    gap = torch.diag_embed(loss.curvature(F, Y)) - H
    assert float(torch.linalg.eigvalsh(gap).min()) > -1e-12
    assert float(torch.linalg.eigvalsh(H).min()) > -1e-12


def test_bounds_of_the_curvatures_of_probabilities():
    for loss, bound in ((Logistic(), 0.25), (CrossEntropy(), 0.5)):
        F, Y = random_case(loss)
        assert float(torch.linalg.eigvalsh(loss.hessian(3 * F, Y)).max()) <= bound + 1e-12
    F, Y = random_case(CrossEntropy())
    ones = torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(CrossEntropy().hessian(F, Y) @ ones, torch.zeros(25, 3).double(), rtol=0, atol=1e-13)


# values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@given(seed=st.integers(0, 2**16))
def test_values_are_not_negative(loss, seed):
    F, Y = random_case(loss, seed)
    value = loss.value(3 * F, Y)
    assert value.shape == (25,)
    assert bool((value >= 0).all())


@pytest.mark.parametrize(
    ("loss", "output"),
    [
        (SquaredError(), lambda Y: Y),
        (Huber(0.7), lambda Y: Y),
        (Quantile(0.5, 0.05), lambda Y: Y),
        (Poisson(), torch.log),
        (Logistic(), lambda Y: 60 * (2 * Y - 1)),
        (CrossEntropy(), lambda Y: 60 * Y),
    ],
    ids=["squared", "huber", "quantile", "poisson", "logistic", "classes"],
)
def test_a_perfect_fit_has_loss_zero(loss, output):
    _, Y = random_case(loss)
    Y = Y.clamp_min(1) if isinstance(loss, Poisson) else Y
    torch.testing.assert_close(loss.value(output(Y), Y), torch.zeros(25).double(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("tau", [0.05, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("epsilon", [1e-3, 0.1, 2.0])
def test_the_least_value_of_a_quantile_loss_is_zero(tau, epsilon):
    loss = Quantile(tau, epsilon)
    # where the gradient vanishes: r = eps (1 - 2 tau) / (1 - |2 tau - 1|)
    residual = epsilon * (1 - 2 * tau) / (1 - abs(2 * tau - 1))
    F, Y = torch.zeros(1, 1).double(), torch.full((1, 1), residual, dtype=torch.float64)
    rounding = 1e-13 * (epsilon + abs(residual))
    assert float(loss.negative_gradient(F, Y)) == pytest.approx(0, abs=1e-12)
    assert float(loss.value(F, Y)) == pytest.approx(0, abs=rounding)
    # beside it the loss is the integral of its derivative: nothing is cut off at zero
    steps = torch.linspace(0, 5 * epsilon, 2001, dtype=torch.float64)
    for side in (1, -1):
        Y = (residual + side * steps)[:, None]
        F = torch.zeros_like(Y)
        slope = side * loss.negative_gradient(F, Y)[:, 0]
        expected = torch.cat([steps[:1], torch.cumulative_trapezoid(slope, steps)])
        torch.testing.assert_close(loss.value(F, Y), expected, rtol=1e-5, atol=1e-6 * float(expected[-1]))


def test_a_count_of_zero_is_no_trouble():
    F = torch.tensor([[-3.0], [0.0], [2.0]]).double()
    Y = torch.zeros(3, 1).double()
    torch.testing.assert_close(Poisson().value(F, Y), F.exp()[:, 0])


@pytest.mark.parametrize("size", [50.0, 700.0, 1e5])
def test_cross_entropies_of_extreme_outputs_are_finite(size):
    for loss in (Logistic(), CrossEntropy()):
        F, Y = random_case(loss)
        F = size * torch.sign(F)
        for result in (loss.value(F, Y), loss.negative_gradient(F, Y), loss.hessian(F, Y), loss.curvature_root(F, Y)):
            assert torch.isfinite(result).all()


def test_values_agree_with_those_of_scikit_learn():
    F, Y = random_case(Poisson(), c=1)
    deviance = mean_poisson_deviance(Y[:, 0], F.exp()[:, 0])
    assert 2 * float(Poisson().value(F, Y).mean()) == pytest.approx(deviance, rel=1e-12)
    F, Y = random_case(Logistic(), c=1)
    assert float(Logistic().value(F, Y).mean()) == pytest.approx(log_loss(Y[:, 0], torch.sigmoid(F)[:, 0]), rel=1e-10)
    F, Y = random_case(CrossEntropy())
    assert float(CrossEntropy().value(F, Y).mean()) == pytest.approx(log_loss(Y, torch.softmax(F, 1)), rel=1e-10)


@pytest.mark.parametrize("loss", [Poisson(), Huber(0.7), Logistic(), CrossEntropy()], **NAMED)
def test_values_agree_with_the_private_losses_of_scikit_learn(loss):
    """Up to a term that does not depend on the output."""
    reference = pytest.importorskip("sklearn._loss")
    c = 3 if isinstance(loss, CrossEntropy) else 1
    F, Y = random_case(loss, c=c)
    theirs = {
        Poisson: reference.HalfPoissonLoss,
        Huber: lambda: reference.HuberLoss(delta=0.7),
        Logistic: reference.HalfBinomialLoss,
        CrossEntropy: lambda: reference.HalfMultinomialLoss(n_classes=3),
    }[type(loss)]()
    labels = Y.argmax(1).double().numpy() if c == 3 else Y[:, 0].numpy().copy()
    raw = F.numpy().copy() if c == 3 else F[:, 0].numpy().copy()
    gradient = theirs.gradient(labels, raw)
    np.testing.assert_allclose(-loss.negative_gradient(F, Y).numpy().reshape(gradient.shape), gradient, atol=1e-12)
    ours = loss.value(F, Y).numpy() - loss.value(0 * F, Y).numpy()
    np.testing.assert_allclose(ours, theirs.loss(labels, raw) - theirs.loss(labels, 0 * raw), atol=1e-12)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_rounding_changes_the_pinball_loss_within_epsilon(tau):
    for epsilon in (1e-2, 1e-4, 1e-6):
        loss = Quantile(tau, epsilon)
        F, Y = random_case(loss, c=1, n=200)
        exact = mean_pinball_loss(Y[:, 0], F[:, 0], alpha=tau)
        rounding = 0.5 * epsilon * np.log1p(1e2 / epsilon) + epsilon
        assert float(loss.value(F, Y).mean()) == pytest.approx(exact, abs=rounding)


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
def test_a_constant_minimises_at_the_statistic_it_stands_for(loss):
    """Mean, log mean, quantile, log odds: where the mean of E over the samples vanishes."""
    rng = np.random.default_rng(0)
    Y = torch.as_tensor(rng.poisson(2, (999, 1)).astype(float))
    if isinstance(loss, Logistic):
        Y = (Y > 2).double()
    elif isinstance(loss, CrossEntropy):
        Y = torch.eye(3).double()[Y[:, 0].clamp_max(2).long()]
    elif isinstance(loss, Quantile):
        Y = torch.as_tensor(rng.normal(size=(999, 1)))
    place = {
        SquaredError: lambda: Y.mean(0),
        Poisson: lambda: Y.mean(0).log(),
        Logistic: lambda: torch.logit(Y.mean(0)),
        CrossEntropy: lambda: Y.mean(0).log(),
        Quantile: lambda: Y.quantile(loss.quantile, 0),
        Huber: lambda: Y.new_tensor([brentq(lambda m: np.clip(Y.numpy() - m, -0.7, 0.7).mean(), 0, 9, xtol=1e-14)]),
    }[type(loss)]()
    E = loss.negative_gradient(place.expand_as(Y), Y).mean(0)
    if isinstance(loss, Quantile):  # near the kink it is rounded off, and between two samples the quantile is free
        off = 0.5 * loss.epsilon / (loss.epsilon + (Y - place).abs())
        assert float(E.abs().max()) <= float(off.mean()) + 1 / len(Y)
        return
    assert float(E.abs().max()) < 1e-12
    if not isinstance(loss, (SquaredError, Huber)):
        torch.testing.assert_close(loss.link(place[None]), Y.mean(0)[None])


def test_huber_is_the_squared_error_inside_and_pinball_outside():
    F, Y = random_case(Huber())
    torch.testing.assert_close(Huber(1e6).value(F, Y), SquaredError().value(F, Y))
    small = Huber(1e-9)
    torch.testing.assert_close(small.value(F, Y) / 1e-9, (Y - F).abs().sum(1), rtol=1e-6, atol=1e-6)


# networks ------------------------------------------------------------------------------------------------------


def network_case(loss, sizes, activation="tanh", seed=0, n=15, alpha=0.4):
    rng = np.random.default_rng(seed)
    p = sum((i + 1) * o for i, o in pairwise(sizes))
    network = MLP(sizes, torch.as_tensor(rng.normal(size=p)), Activation(activation))
    _, Y = random_case(loss, seed, n, sizes[-1])
    X = torch.as_tensor(rng.normal(size=(n, sizes[0])))
    return network, Problem(X, Y, torch.as_tensor(rng.uniform(0.1, 2, n)), loss, L2(alpha))


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@pytest.mark.parametrize("sizes", [(2, 3), (2, 4, 3), (2, 3, 4, 3)], ids=str)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gradient_agrees_with_automatic_differentiation(loss, sizes, activation):
    network, problem = network_case(loss, sizes, activation)
    value, gradient = problem.value_and_gradient(network)
    exact, at = torch.func.grad_and_value(lambda theta: problem.objective(network.with_theta(theta)))(network.theta)
    assert float(value) == pytest.approx(float(at), rel=1e-13)
    torch.testing.assert_close(gradient, exact, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@pytest.mark.parametrize("sizes", [(2, 3), (2, 4, 3), (2, 3, 4, 3), (2, 3, 2, 3, 3)], ids=str)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gauss_newton_matrix_by_its_formula(loss, sizes, activation):
    """Sum of g J^T H J; for classes the mean of the output biases has curvature one besides."""
    network, problem = network_case(loss, sizes, activation)
    J = torch.func.jacrev(lambda theta: network.with_theta(theta)(problem.X))(network.theta)  # (n, c, p)
    expected = torch.einsum("n,ncp,ncd,ndq->pq", problem.g, J, loss.hessian(network(problem.X), problem.Y), J)
    if isinstance(loss, CrossEntropy):
        places = network.slices[-1][1]
        expected[places, places] += 1 / 3
    value, gradient, gram = problem.gauss_newton(network)
    torch.testing.assert_close(gram, expected, rtol=1e-9, atol=1e-11)
    assert float(value) == pytest.approx(float(problem.data_loss(network)), rel=1e-13)
    torch.testing.assert_close(gradient, problem.at(0.0).value_and_gradient(network)[1], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", [SquaredError(), Poisson(), Logistic()], **NAMED)
def test_gauss_newton_matrix_of_a_linear_model_is_its_hessian(loss):
    network, problem = network_case(loss, (2, 3))
    hessian = torch.func.hessian(lambda theta: problem.data_loss(network.with_theta(theta)))(network.theta)
    torch.testing.assert_close(problem.gauss_newton(network)[2], hessian, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
def test_weights_are_repetitions(loss):
    network, problem = network_case(loss, (2, 4, 3), n=7)
    count = torch.tensor([1, 2, 3, 0, 1, 4, 2])
    weighted = Problem(problem.X, problem.Y, count.double(), loss, L2(0.4))
    repeated = Problem(*(a.repeat_interleave(count, 0) for a in (problem.X, problem.Y)), None, loss, L2(0.4))
    for ours, theirs in zip(
        (*weighted.value_and_gradient(network), *weighted.gauss_newton(network)),
        (*repeated.value_and_gradient(network), *repeated.gauss_newton(network)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
def test_an_offset_adds_to_the_outputs(loss):
    network, problem = network_case(loss, (2, 4, 3))
    biases = [*network.biases[:-1], network.biases[-1] + 0.3]
    moved = MLP.from_arrays(network.weights, biases, network.activation)
    shifted = Problem(
        problem.X, problem.Y, problem.sample_weight, loss, L2(0.0), offset=torch.full_like(problem.Y, 0.3)
    )
    plain = Problem(problem.X, problem.Y, problem.sample_weight, loss, L2(0.0))
    for ours, theirs in zip(
        (*shifted.value_and_gradient(network), *shifted.gauss_newton(network), shifted.negative_gradient(network)),
        (*plain.value_and_gradient(moved), *plain.gauss_newton(moved), plain.negative_gradient(moved)),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-13)


# scales --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [SquaredError(), Huber(0.7), Quantile(0.3, 0.05)], **NAMED)
def test_degree_is_that_of_homogeneity(loss):
    """In units s times smaller, tuning constants included, the loss is s^q times as large."""
    F, Y = random_case(loss)
    size = 7.0
    scaled = {
        SquaredError: SquaredError(),
        Huber: Huber(0.7 * size),
        Quantile: Quantile(0.3, 0.05 * size),
    }[type(loss)]
    torch.testing.assert_close(scaled.value(size * F, size * Y), size**loss.degree * loss.value(F, Y))


def test_normalisers_make_densities():
    """exp(-loss / phi) times the factor integrates to one over y, where the loss is not rounded."""
    y = torch.linspace(-60, 60, 400_001, dtype=torch.float64)[:, None]
    for loss in (SquaredError(), Quantile(0.3, 1e-5)):
        for phi in (0.5, 2.0):
            density = (-loss.value(torch.zeros_like(y), y) / phi + loss.log_normaliser(phi)).exp()
            assert float(torch.trapezoid(density, y[:, 0])) == pytest.approx(1, abs=2e-3)
    assert Logistic().log_normaliser(1.0) == CrossEntropy().log_normaliser(1.0) == 0
    assert CrossEntropy().n_observed(10.0, 3) == 20
    assert Logistic().n_observed(10.0, 3) == 30
