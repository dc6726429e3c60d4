"""The evidence on models linear in their parameters, where Laplace's approximation is exact."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from skgrow.criteria import evidence
from skgrow.networks import MLP, Activation, prune
from skgrow.problem import L2, Problem, damped_cholesky
from skgrow.solvers import LevenbergMarquardt
from skgrow.training import Every, Monitor, descend


def linear_data(c, seed=0, n=30, d=4):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * [3.0, 1.0, 0.3, 0.1][:d]
    return X, X @ rng.normal(size=(d, c)) + 0.7 * rng.normal(size=(n, c)) + 2.0


def log_marginal_likelihood(X, Y, precision, noise):
    """Of y = Xw + b + e, w ~ N(0, 1/precision), e ~ N(0, noise), b flat: the density of n - 1 contrasts of y.

    With orthonormal contrasts the flat bias integrates out up to a factor sqrt(1 / n), that of its direction.
    """
    n = len(X)
    contrasts = np.linalg.svd(np.ones((1, n)))[2][1:]
    A = contrasts @ X
    covariance = noise * np.eye(n - 1) + A @ A.T / precision
    logs = [multivariate_normal.logpdf(contrasts @ y, cov=covariance) for y in Y.T]
    return sum(logs) - 0.5 * Y.shape[1] * np.log(n)


def at_the_minimum(X, Y, alpha):
    """The penalised least-squares network, its problem, and the evidence there."""
    d, c = X.shape[1], Y.shape[1]
    problem = Problem(torch.as_tensor(X), torch.as_tensor(Y), penalty=L2(alpha))
    network = MLP((d, c), torch.zeros((d + 1) * c, dtype=torch.float64), Activation("identity"))
    network = descend(network, problem, LevenbergMarquardt(), Every(10**9), max_iter=100, monitor=Monitor()).network
    return network, problem, evidence_of(network, problem)


def evidence_of(network, problem, update=True):
    return evidence(network, problem, problem.gauss_newton(network)[2], update=update)


@pytest.mark.parametrize("alpha", [1e-3, 0.5, 50.0])
@pytest.mark.parametrize("c", [1, 2])
def test_log_evidence_is_the_exact_marginal_likelihood(c, alpha):
    X, Y = linear_data(c)
    _, _, found = at_the_minimum(X, Y, alpha)
    exact = log_marginal_likelihood(X, Y, alpha / found.dispersion, found.dispersion)
    assert found.log_evidence == pytest.approx(exact, rel=1e-8)


@pytest.mark.parametrize("alpha", [1e-3, 0.5, 50.0])
@pytest.mark.parametrize("c", [1, 2])
def test_effective_parameters_are_the_sum_of_shares_of_eigenvalues(c, alpha):
    """gamma = sum lambda / (lambda + alpha) over the eigenvalues of the centred X^T X, per output; and the biases."""
    X, Y = linear_data(c)
    network, problem, found = at_the_minimum(X, Y, alpha)
    eigenvalues = np.linalg.eigvalsh((X - X.mean(0)).T @ (X - X.mean(0)))
    gamma = c * (eigenvalues / (eigenvalues + alpha)).sum()
    assert found.effective_parameters == pytest.approx(gamma + c, rel=1e-9)
    squares = 2 * len(X) * float(problem.data_loss(network))
    assert found.dispersion == pytest.approx(squares / (c * len(X) - gamma - c), rel=1e-9)
    weights = float(network.weights[0].square().sum())
    assert found.alpha == pytest.approx(gamma * found.dispersion / weights, rel=1e-9)


@pytest.mark.parametrize("c", [1, 2])
def test_the_fixed_point_maximises_the_marginal_likelihood(c):
    X, Y = linear_data(c)
    d = X.shape[1]
    problem = Problem(torch.as_tensor(X), torch.as_tensor(Y), penalty=L2(1e-2))
    network = MLP((d, c), torch.ones((d + 1) * c, dtype=torch.float64), Activation("identity"))
    solver = LevenbergMarquardt()
    for _ in range(60):  # alternately the weights and the penalty
        network = descend(network, problem, solver, Every(10**9), max_iter=20, monitor=Monitor()).network
        problem = problem.at(evidence_of(network, problem).alpha)
    found = evidence_of(network, problem)
    assert found.alpha == pytest.approx(problem.alpha, rel=1e-6)
    best = minimize(
        lambda logs: -log_marginal_likelihood(X, Y, *np.exp(logs)), [0.0, 0.0], method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-12},
    )  # fmt: skip
    precision, noise = np.exp(best.x)
    assert found.dispersion == pytest.approx(noise, rel=1e-4)
    assert problem.alpha / found.dispersion == pytest.approx(precision, rel=1e-4)
    assert found.log_evidence == pytest.approx(-best.fun, rel=1e-8)


@pytest.mark.parametrize("alpha", [1e-3, 50.0])
@pytest.mark.parametrize("c", [1, 2])
def test_gcv_counts_the_trace_of_the_hat_matrix(c, alpha):
    """Craven and Wahba's criterion."""
    X, Y = linear_data(c)
    n = len(X)
    _, _, found = at_the_minimum(X, Y, alpha)
    A = np.column_stack([X, np.ones(n)])
    hat = A @ np.linalg.solve(A.T @ A + alpha * np.diag([1.0] * X.shape[1] + [0.0]), A.T)
    error = np.mean((Y - hat @ Y) ** 2)
    assert found.gcv == pytest.approx(error / (1 - np.trace(hat) / n) ** 2, rel=1e-9)
    assert found.effective_parameters == pytest.approx(c * np.trace(hat), rel=1e-9)


def test_without_penalty_there_is_no_evidence():
    X, Y = linear_data(1)
    network, problem, _ = at_the_minimum(X, Y, 0.0)
    found = evidence_of(network, problem, update=False)
    assert np.isnan(found.log_evidence)
    assert found.effective_parameters == pytest.approx(5, rel=1e-9)
    assert np.isfinite(found.gcv)


@pytest.mark.parametrize("n", [40, 9])
def test_effective_parameters_of_hidden_layers_count_more(n):
    """1.4 times (Kim and Gu); the estimate is infinite where the data are too few."""
    X, Y = linear_data(1, n=n)
    theta = torch.as_tensor(np.random.default_rng(0).normal(size=13))
    network = MLP((4, 2, 1), theta, Activation("tanh"))
    problem = Problem(torch.as_tensor(X), torch.as_tensor(Y), penalty=L2(1e-6))
    found = evidence_of(network, problem)
    share = 1.4 * found.effective_parameters / n
    expected = 2 * float(problem.data_loss(network)) / (1 - share) ** 2 if share < 1 else np.inf
    assert found.gcv == pytest.approx(expected)
    assert np.isfinite(found.gcv) == (n == 40)


def test_without_update_alpha_stays():
    X, Y = linear_data(1)
    network, problem, _ = at_the_minimum(X, Y, 0.5)
    assert evidence_of(network, problem, update=False).alpha == 0.5


def test_weights_count_observations():
    X, Y = linear_data(1)
    count = np.random.default_rng(1).integers(1, 4, size=len(X))
    network, _, repeated = at_the_minimum(np.repeat(X, count, 0), np.repeat(Y, count, 0), 0.5)
    weighted = Problem(torch.as_tensor(X), torch.as_tensor(Y), torch.as_tensor(count).double(), penalty=L2(0.5))
    found = evidence_of(network, weighted)
    for name in ("alpha", "dispersion", "effective_parameters", "log_evidence"):
        assert getattr(found, name) == pytest.approx(getattr(repeated, name), rel=1e-10)


def test_units_of_the_targets_shift_the_log_evidence():
    """With targets s times as large the density of the n - 1 contrasts of an output is s^(1 - n) times as large."""
    X, Y = linear_data(2)
    _, _, found = at_the_minimum(X, Y, 0.5)
    _, _, scaled = at_the_minimum(X, 10 * Y, 0.5)
    assert scaled.log_evidence == pytest.approx(found.log_evidence - (Y.size - 2) * np.log(10), rel=1e-9)
    assert scaled.dispersion == pytest.approx(100 * found.dispersion, rel=1e-9)
    assert scaled.alpha == pytest.approx(found.alpha, rel=1e-6)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_order_of_neurons_changes_nothing(activation):
    rng = np.random.default_rng(0)
    X, Y = torch.as_tensor(rng.normal(size=(40, 2))), torch.as_tensor(rng.normal(size=(40, 1)))
    network = MLP((2, 4, 1), torch.as_tensor(rng.normal(size=17)), Activation(activation))
    problem = Problem(X, Y, penalty=L2(0.1))
    one, other = (evidence_of(n, problem) for n in (network, prune(network, 0, torch.tensor([2, 0, 3, 1]))))
    assert one.log_evidence == pytest.approx(other.log_evidence, rel=1e-10)
    assert one.alpha == pytest.approx(other.alpha, rel=1e-9)


def test_effective_parameters_lie_between_the_free_and_all():
    rng = np.random.default_rng(0)
    X, Y = torch.as_tensor(rng.normal(size=(200, 2))), torch.as_tensor(rng.normal(size=(200, 1)))
    network = MLP((2, 4, 1), torch.as_tensor(rng.normal(size=17)), Activation("tanh"))
    gammas = [
        evidence_of(network, Problem(X, Y, penalty=L2(alpha))).effective_parameters
        for alpha in 10.0 ** np.arange(-6, 7)
    ]
    assert gammas == sorted(gammas, reverse=True)
    assert 16 < gammas[0] <= 17
    assert 1 <= gammas[-1] < 1.01


def test_damped_cholesky_is_exact_where_it_can_be_and_regularises_where_it_must():
    rng = np.random.default_rng(0)
    A = torch.as_tensor(rng.normal(size=(3, 5)))
    damping = torch.full((5,), 0.1, dtype=torch.float64)
    factor = damped_cholesky(A.T @ A, damping)
    torch.testing.assert_close(factor @ factor.T, A.T @ A + torch.diag(damping), rtol=1e-12, atol=1e-12)
    singular = damped_cholesky(A.T @ A, 0 * damping)
    torch.testing.assert_close(singular @ singular.T, A.T @ A, rtol=0, atol=1e-6)
    with pytest.raises(torch.linalg.LinAlgError, match="not finite"):
        damped_cholesky(torch.full((2, 2), float("nan"), dtype=torch.float64), damping[:2])
