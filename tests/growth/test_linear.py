"""The linear model, and its penalty by the evidence."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from sklearn.datasets import load_wine, make_regression
from sklearn.linear_model import BayesianRidge, LogisticRegression, PoissonRegressor, Ridge

from skgrow.criteria import GCV, LeaveOneOut, LogEvidence, Validation, evidence
from skgrow.growth import linear_model, linear_model_by_validation
from skgrow.problem import L2, CrossEntropy, Logistic, Poisson, Problem, SquaredError
from skgrow.training import ByEvidence


def problem_of(X, Y, weight=None, **settings):
    Y = Y[:, None] if Y.ndim == 1 else Y
    weight = None if weight is None else torch.as_tensor(weight)
    return Problem(torch.as_tensor(X), torch.as_tensor(Y).double(), weight, **settings)


def data(n, d, noise=0.5, seed=0, c=1):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * rng.uniform(0.2, 2, d)
    return X, X @ rng.normal(size=(d, c)) + noise * rng.normal(size=(n, c)) + 1.0


@pytest.mark.parametrize(("n", "d", "c"), [(40, 5, 1), (40, 5, 3), (8, 12, 1), (8, 12, 2), (8, 8, 1)])
@pytest.mark.parametrize("weighted", [False, True])
def test_of_squares_it_is_ridge_regression(n, d, c, weighted):
    X, Y = data(n, d, c=c)
    weight = np.random.default_rng(1).integers(1, 4, n).astype(float) if weighted else None
    found = linear_model(problem_of(X, Y, weight, penalty=L2(0.7)), GCV())
    ridge = Ridge(0.7).fit(X, Y, weight)
    np.testing.assert_allclose(found.network.weights[0], np.reshape(ridge.coef_, (c, d)), atol=1e-9)
    np.testing.assert_allclose(found.network.biases[0], np.ravel(ridge.intercept_), atol=1e-9)
    assert found.alpha == 0.7
    assert found.evidence.gcv == -found.criterion


@pytest.mark.parametrize(("loss", "peer"), [(Logistic(), LogisticRegression), (CrossEntropy(), LogisticRegression)])
def test_of_classes_it_is_logistic_regression(loss, peer):
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    y = y if isinstance(loss, CrossEntropy) else (y > 0).astype(int)
    Y = np.eye(3)[y] if isinstance(loss, CrossEntropy) else y
    found = linear_model(problem_of(X, Y, loss=loss, penalty=L2(0.5)), LogEvidence())
    peer = peer(C=2.0, tol=1e-10, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(found.network.weights[0], peer.coef_, atol=2e-3)


def test_of_counts_it_is_poisson_regression():
    X, F = data(200, 3, 0.0)
    y = np.random.default_rng(0).poisson(np.exp(0.3 * F[:, 0])).astype(float)
    found = linear_model(problem_of(X, y, loss=Poisson(), penalty=L2(2.0)), GCV())
    peer = PoissonRegressor(alpha=0.01, tol=1e-10).fit(X, y)
    np.testing.assert_allclose(found.network.weights[0][0], peer.coef_, atol=1e-4)


@pytest.mark.parametrize(("n", "d"), [(100, 6), (60, 20), (25, 40)])
def test_the_penalty_is_next_to_the_fixed_point_of_the_evidence(n, d):
    X, Y = data(n, d)
    found = linear_model(problem_of(X, Y, penalty=L2(1.0), rule=ByEvidence()), GCV())
    ridge = found.alpha / SquaredError.plug_in_factor
    problem = problem_of(X, Y, penalty=L2(ridge))
    there = linear_model(problem, GCV()).network
    following = evidence(there, problem, problem.curvature_at(there)).alpha
    assert following == pytest.approx(ridge, rel=0.5)
    if n > d:  # otherwise theirs ends at interpolation
        peer = BayesianRidge(max_iter=10_000, tol=1e-10).fit(X, Y[:, 0])
        assert ridge == pytest.approx(peer.lambda_ / peer.alpha_, rel=0.5)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_as_many_features_as_samples_are_no_reason_to_give_up(scale):
    """From zero weights, and from interpolation, the iteration of the evidence runs away."""
    scores = []
    for seed in range(3):
        X, y = make_regression(600, 100, n_informative=10, noise=10, random_state=seed)
        X, y = X * scale, (y - y.mean()) / y.std()
        found = linear_model(problem_of(X[:100], y[:100], penalty=L2(1e-2), rule=ByEvidence()), LeaveOneOut())
        error = y[100:] - found.network(torch.as_tensor(X[100:])).numpy()[:, 0]
        scores.append(1 - np.mean(error**2) / y[100:].var())
    assert min(scores) > 0.85


def test_without_noise_there_is_next_to_no_penalty():
    X, Y = data(30, 6, noise=0.0)
    found = linear_model(problem_of(X, Y, penalty=L2(1.0), rule=ByEvidence()), LeaveOneOut())
    np.testing.assert_allclose(found.network(torch.as_tensor(X)), Y, atol=1e-6)


@pytest.mark.parametrize("loss", [SquaredError(), Logistic()])
def test_where_nothing_is_linear_the_mean_is_left(loss):
    rng = np.random.default_rng(3)
    X, y = rng.normal(size=(60, 5)), rng.integers(0, 2, 60).astype(float)
    y = y - np.linalg.lstsq(X, y - y.mean(), rcond=None)[0] @ X.T if isinstance(loss, SquaredError) else y
    found = linear_model(problem_of(X, y, loss=loss, penalty=L2(1.0), rule=ByEvidence()), LogEvidence())
    outputs = found.network(torch.as_tensor(X))
    assert outputs.std() < 0.1
    constants = linear_model(
        problem_of(np.zeros((60, 2)), y, loss=loss, penalty=L2(1.0), rule=ByEvidence()), LogEvidence()
    )
    assert constants.network(torch.zeros(1, 2, dtype=torch.float64)).item() == pytest.approx(
        y.mean() if isinstance(loss, SquaredError) else np.log(y.mean() / (1 - y.mean())), abs=1e-6
    )


def test_separable_classes_leave_a_finite_penalty():
    X, y = load_wine(return_X_y=True)
    X = (X - X.mean(0)) / X.std(0)
    found = linear_model(
        problem_of(X, np.eye(3)[y], loss=CrossEntropy(), penalty=L2(1.0), rule=ByEvidence()), LogEvidence()
    )
    assert 0.3 < found.alpha < 5
    assert found.loss < 0.1


@pytest.mark.parametrize("d", [3, 20])
def test_validation_data_judge_if_there_are_any(d):
    X, Y = data(30, d)
    problem, validation = problem_of(X[:15], Y[:15], penalty=L2(0.1)), problem_of(X[15:], Y[15:])
    found = linear_model(problem, Validation(validation))
    assert found.validation_loss == -found.criterion == pytest.approx(float(validation.data_loss(found.network)))


def classes(n, slope, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, (rng.random(n) < expit(slope * X[:, 0])).astype(float)


def test_weights_of_separable_classes_have_no_size():
    X, y = classes(100, 1e6)
    found = linear_model(problem_of(X, y, loss=Logistic(), penalty=L2(1.0), rule=ByEvidence()), LogEvidence())
    new, labels = classes(1000, 1e6, seed=1)
    outputs = found.network(torch.as_tensor(new))[:, 0].numpy()
    assert np.logaddexp(0, -(2 * labels - 1) * outputs).mean() < 0.02  # under the penalty of the evidence .09
    assert found.loo < 0.05


def test_the_leave_one_out_loss_leaves_the_penalty_of_the_evidence_where_it_is_right():
    X, y = classes(300, 1.0)
    problem = problem_of(X, y, loss=Logistic(), penalty=L2(1.0), rule=ByEvidence())
    found = linear_model(problem, LogEvidence())
    fixed = problem_of(X, y, loss=Logistic(), penalty=L2(found.alpha / Logistic.plug_in_factor))
    there = linear_model(fixed, LogEvidence()).network
    assert evidence(there, fixed, fixed.curvature_at(there)).alpha == pytest.approx(fixed.alpha, rel=0.5)


@pytest.mark.parametrize("slope", [0.3, 3.0])
def test_validation_data_choose_a_penalty_near_the_best(slope):
    (X, y), (X_val, y_val) = classes(60, slope), classes(2000, slope, seed=1)
    held_out = problem_of(X_val, y_val, loss=Logistic())
    problem = problem_of(X, y, loss=Logistic(), penalty=L2(1.0), rule=ByEvidence())

    def descended(network, on):
        return linear_model(on, GCV()).network

    found = linear_model_by_validation(problem, Validation(held_out), descended)
    peers = [LogisticRegression(C=C).fit(X, y).predict_log_proba(X_val) for C in np.logspace(-4, 3, 15)]
    best = min(-logs[np.arange(2000), y_val.astype(int)].mean() for logs in peers)
    assert -found.criterion < best + 0.01
