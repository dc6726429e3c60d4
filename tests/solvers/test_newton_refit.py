"""The output layer of losses that are not quadratic: Newton's method against reference solutions; leave-out losses."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from skgrow.networks import MLP, Activation, prune, widen
from skgrow.problem import L2, CrossEntropy, Huber, Logistic, Poisson, Problem, Quantile
from skgrow.solvers import SOLVERS, leave_out_losses, refit_output

LOSSES = [Poisson(), Huber(0.5), Logistic(), CrossEntropy()]
#: Relative distance to the optimum: the parabolas above Huber's loss converge linearly.
CLOSE = {Poisson: 1e-6, Huber: 1e-4, Logistic: 1e-6, CrossEntropy: 1e-6}
NAMED = {"ids": lambda loss: type(loss).__name__}


def random_case(loss, seed=0, *, sizes=(3, 4, 2), activation="tanh", alpha=1.0, n=60, weighted=True, size=1.0):
    rng = np.random.default_rng(seed)
    p = sum((i + 1) * o for i, o in pairwise(sizes))
    network = MLP(sizes, torch.as_tensor(size * rng.normal(size=p)), Activation(activation))
    c = sizes[-1]
    if isinstance(loss, CrossEntropy):
        Y = np.eye(c)[rng.integers(0, c, n)]
    elif isinstance(loss, Logistic):
        Y = rng.integers(0, 2, (n, c)).astype(float)
    else:
        Y = rng.poisson(2, (n, c)).astype(float) if isinstance(loss, Poisson) else rng.standard_t(2, (n, c))
    X = torch.as_tensor(rng.normal(size=(n, sizes[0])))
    weight = torch.as_tensor(rng.uniform(0.2, 2, n)) if weighted else None
    return network, Problem(X, torch.as_tensor(Y), weight, loss, L2(alpha))


def output_gradient(network, problem):
    return problem.value_and_gradient(network)[1][network.slices[-1][0].start :]


def least_objective(network, problem):
    """By BFGS on the output layer alone."""
    start = network.slices[-1][0].start

    def value(output):
        theta = network.theta.clone()
        theta[start:] = torch.as_tensor(output)
        at, gradient = problem.value_and_gradient(network.with_theta(theta))
        return float(at), gradient[start:].numpy()

    found = minimize(value, np.zeros(len(network.theta) - start), jac=True, options={"gtol": 1e-10, "maxiter": 2000})
    return found.fun


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("sizes", [(3, 4, 2), (3, 2, 3, 2), (3, 0, 2)], ids=str)
def test_a_refit_reaches_the_optimum(loss, activation, sizes):
    network, problem = random_case(loss, activation=activation, sizes=sizes)
    refitted = refit_output(network, problem)
    start = network.slices[-1][0].start
    assert torch.equal(refitted.theta[:start], network.theta[:start])
    assert float(problem.objective(refitted)) == pytest.approx(least_objective(network, problem), rel=CLOSE[type(loss)])


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
def test_refits_again_and_again_become_stationary(loss):
    network, problem = random_case(loss)
    for _ in range(10):
        network = refit_output(network, problem)
    assert float(output_gradient(network, problem).abs().max()) < 1e-4


@pytest.mark.parametrize("loss", [*LOSSES, Quantile(0.2, 0.05)], **NAMED)
@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**16),
    width=st.sampled_from([0, 1, 5, 30]),
    alpha=st.sampled_from([0.0, 1e-6, 1.0, 1e4]),
    size=st.sampled_from([0.1, 1.0, 10.0]),
)
def test_a_refit_never_raises_the_objective(loss, seed, width, alpha, size):
    network, problem = random_case(loss, seed, sizes=(3, width, 2), alpha=alpha, n=20, size=size)
    refitted = refit_output(network, problem)
    assert torch.isfinite(refitted.theta).all()
    assert float(problem.objective(refitted)) <= float(problem.objective(network))


@pytest.mark.parametrize("c", [1, 3])
def test_logistic_regression_is_the_refit_of_fixed_features(c):
    loss = Logistic() if c == 1 else CrossEntropy()
    network, problem = random_case(loss, sizes=(3, 4, c), alpha=2.0, weighted=False, n=100)
    features = network.hidden(problem.X).numpy()
    labels = problem.Y.argmax(1).numpy() if c > 1 else problem.Y[:, 0].numpy()
    reference = LogisticRegression(C=1 / problem.alpha, tol=1e-10, max_iter=5000).fit(features, labels)
    refitted = refit_output(refit_output(network, problem), problem)
    F = refitted(problem.X).numpy()
    P = reference.predict_proba(features)
    ours = torch.softmax(torch.as_tensor(F), 1).numpy() if c > 1 else 1 / (1 + np.exp(-F[:, 0]))
    np.testing.assert_allclose(ours, P if c > 1 else P[:, 1], atol=1e-5)


def test_without_features_the_constant_is_the_mean():
    network, problem = random_case(Poisson(), sizes=(3, 0, 2))
    refitted = refit_output(network, problem)
    torch.testing.assert_close(refitted.biases[-1].exp(), problem.g @ problem.Y, rtol=1e-5, atol=0)


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
def test_an_offset_is_taken_into_account(loss):
    network, problem = random_case(loss)
    offset = 0.5 * torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    shifted = Problem(problem.X, problem.Y, problem.sample_weight, loss, L2(1.0), offset=offset)
    refitted = refit_output(network, shifted)
    assert float(shifted.objective(refitted)) == pytest.approx(least_objective(network, shifted), rel=CLOSE[type(loss)])


@pytest.mark.parametrize("loss", [*LOSSES, Quantile(0.2, 0.05)], **NAMED)
def test_single_precision(loss):
    network, problem = random_case(loss)
    single = MLP(network.layer_sizes, network.theta.float(), network.activation)
    offset = torch.full((60, 2), 0.1)
    for shift in (None, offset):
        coarse = Problem(
            problem.X.float(), problem.Y.float(), problem.sample_weight.float(), loss, L2(1.0), offset=shift
        )
        refitted = refit_output(single, coarse)
        assert refitted.theta.dtype == torch.float32
        assert float(coarse.objective(refitted)) < float(coarse.objective(single))
        assert leave_out_losses(refitted, coarse).dtype == torch.float32


def test_separable_classes_stay_finite():
    X = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]
    Y = (X > 0).double()
    for alpha in (0.0, 1e-8):
        problem = Problem(X, Y, None, Logistic(), L2(alpha))
        network = MLP(
            (1, 3, 1), torch.randn(10, generator=torch.Generator().manual_seed(0)).double(), Activation("tanh")
        )
        refitted = refit_output(network, problem)
        assert torch.isfinite(refitted.theta).all()
        assert float(problem.data_loss(refitted)) < 0.1


# leave-out losses ----------------------------------------------------------------------------------------------


def output_objective(network, problem):
    share = problem.alpha / (2 * problem.total_weight) * network.weights[-1].square().sum()
    return float(problem.data_loss(network) + share)


def refit_fully(network, problem):
    for _ in range(8):
        network = refit_output(network, problem)
    return network


@pytest.mark.parametrize("loss", [*LOSSES, Quantile(0.3, 0.1)], **NAMED)
@given(seed=st.integers(0, 2**16), alpha=st.sampled_from([0.0, 1.0]))
@settings(max_examples=20)
def test_leave_out_losses_are_not_negative(loss, seed, alpha):
    network, problem = random_case(loss, seed, alpha=alpha)
    losses = leave_out_losses(network, problem)
    assert losses.shape == (4,)
    assert torch.isfinite(losses).all()
    assert bool((losses >= 0).all())


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
def test_leave_out_losses_agree_to_second_order_where_little_is_lost(loss):
    """A neuron whose feature is weak is lost cheaply: there the quadratic model of the loss is accurate."""
    network, problem = random_case(loss, alpha=0.5, n=400)
    weak, _ = widen(
        network,
        0,
        0.1 * network.weights[0][:1].flip(1),
        network.biases[0][:1],
        torch.zeros(2, 1, dtype=torch.float64),
    )
    fitted = refit_fully(weak, problem)
    without = refit_fully(prune(fitted, 0, torch.arange(4)), problem)
    rise = output_objective(without, problem) - output_objective(fitted, problem)
    assert float(leave_out_losses(fitted, problem)[-1]) == pytest.approx(rise, rel=0.1, abs=1e-6)


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
def test_the_neuron_that_matters_least_is_found(loss):
    network, problem = random_case(loss, n=200, alpha=0.1)
    fitted = refit_fully(network, problem)
    rises = []
    for j in range(4):
        keep = torch.tensor([k for k in range(4) if k != j])
        rises.append(output_objective(refit_fully(prune(fitted, 0, keep), problem), problem))
    predicted = leave_out_losses(fitted, problem)
    assert rises[int(predicted.argmin())] - min(rises) < 0.3 * (max(rises) - min(rises)) + 1e-6


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
def test_a_copy_of_a_neuron_can_be_left_out_for_nothing(loss):
    network, problem = random_case(loss, alpha=0.0)
    twins, _ = widen(network, 0, network.weights[0][:1], network.biases[0][:1], torch.ones(2, 1).double())
    losses = leave_out_losses(refit_fully(twins, problem), problem)
    assert float(losses[0]) < 1e-6
    assert float(losses[-1]) < 1e-6


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
def test_without_the_matrix_the_minimum_is_the_same(loss, monkeypatch):
    network, problem = random_case(loss, sizes=(3, 7, 5))
    values = []
    for unknowns in (1000, 10):
        constants = dataclasses.replace(SOLVERS, dense_unknowns=unknowns, newton_steps=30)
        monkeypatch.setattr("skgrow.solvers._output_layer.SOLVERS", constants)
        refitted = refit_output(network, problem)
        values.append(float(problem.objective(refitted)))
        assert bool((leave_out_losses(refitted, problem) >= 0).all())
    assert values[1] == pytest.approx(values[0], rel=CLOSE[type(loss)])
    assert values[0] < 0.95 * float(problem.objective(network))


def test_many_classes_take_no_matrix_of_all_output_weights():
    """150 classes and 270 neurons: the matrix alone would take 13 GB."""
    rng = np.random.default_rng(0)
    c, width = 150, 270
    network = MLP(
        (4, width, c), torch.as_tensor(0.1 * rng.normal(size=5 * width + (width + 1) * c)), Activation("tanh")
    )
    Y = torch.as_tensor(np.eye(c)[np.arange(300) // 2])
    problem = Problem(torch.as_tensor(rng.normal(size=(300, 4))), Y, loss=CrossEntropy(), penalty=L2(1.0))
    before = float(problem.objective(network))
    assert float(problem.objective(refit_output(network, problem))) < 0.9 * before
    assert leave_out_losses(network, problem).shape == (width,)
