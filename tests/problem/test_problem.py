"""Loss, gradient and Gauss-Newton matrix against dense formulas and finite differences; problems are values."""

from dataclasses import FrozenInstanceError, fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skgrow.criteria import GCV
from skgrow.networks import MLP, Activation
from skgrow.problem import CHUNK_BYTES, L2, FixedAlpha, Logistic, PathNorm, Problem, sum_over_samples
from skgrow.solvers import LBFGS, LevenbergMarquardt
from skgrow.training import Action, ByEvidence, Every, History, InRounds, Monitor, fit

ACTIVATIONS = ["relu", "leaky_relu", "tanh", "logistic", "identity"]


def random_case(activation="tanh", *, c=2, weighted=True, alpha=0.7, seed=0, n=11, layers=1):
    rng = np.random.default_rng(seed)
    sizes = (3, *[4] * layers, c)
    n_parameters = sum((i + 1) * o for i, o in pairwise(sizes))
    network = MLP(sizes, torch.as_tensor(rng.normal(size=n_parameters)), Activation(activation))
    X, Y = torch.as_tensor(rng.normal(size=(n, 3))), torch.as_tensor(rng.normal(size=(n, c)))
    weight = torch.as_tensor(rng.uniform(0.1, 2, size=n)) if weighted else None
    return network, Problem(X, Y, weight, penalty=L2(alpha))


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
    assert float(problem.penalty_of(network)) == pytest.approx(penalty, rel=1e-12)
    assert float(problem.objective(network)) == pytest.approx(loss + penalty, rel=1e-12)
    torch.testing.assert_close(problem.negative_gradient(network), residual)
    mask = problem.penalty.pattern(network)
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
    torch.testing.assert_close(gradient, problem.at(0.0).value_and_gradient(network)[1], rtol=1e-11, atol=1e-13)


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
    weighted = Problem(problem.X, problem.Y, count.double(), penalty=L2(0.7))
    repeated = Problem(*(a.repeat_interleave(count, 0) for a in (problem.X, problem.Y)), penalty=L2(0.7))
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


def counted(problem):
    """The problem with a meter, and the gradients that it has counted."""
    passes = []
    return replace(problem, meter=lambda network, gradients, n_samples: passes.append(gradients)), passes


def test_losses_are_computed_once_but_where_parameters_move():
    network, problem = random_case()
    problem, passes = counted(problem)
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


# values --------------------------------------------------------------------------------------------------------


def test_a_problem_is_frozen():
    _, problem = random_case()
    names = [field.name for field in fields(problem)]
    assert {"X", "Y", "loss", "penalty", "rule", "operator", "curvature", "offset", "meter", "g"} <= set(names)
    for name in [*names, "alpha", "ridge"]:
        with pytest.raises(FrozenInstanceError):
            setattr(problem, name, getattr(problem, name))


def test_another_strength_is_another_problem_of_the_same_data():
    network, problem = random_case()
    assert problem.at(problem.alpha) is problem
    other = problem.at(2.5)
    assert (problem.alpha, other.alpha) == (0.7, 2.5)
    assert type(other.penalty) is type(problem.penalty)
    for field in fields(problem):
        if field.name not in ("penalty", "_known"):
            assert getattr(other, field.name) is getattr(problem, field.name)
    expected = problem.objective(network) + 1.8 / (2 * problem.total_weight) * (
        problem.penalty.pattern(network) @ network.theta.square()
    )
    torch.testing.assert_close(other.objective(network), expected, rtol=1e-13, atol=0.0)
    assert other.at(0.7) is not problem  # a problem knows of no other one
    assert float(other.at(0.7).objective(network)) == float(problem.objective(network))


def test_another_rule_is_another_problem():
    _, problem = random_case()
    rule = ByEvidence()
    other = problem.ruled(rule)
    assert other.rule is rule
    assert other.ruled(rule) is other
    assert problem.rule is not rule
    assert (other.penalty, other.g) == (problem.penalty, problem.g)


CHANGES = {
    "at": lambda problem: problem.at(3.0),
    "ruled": lambda problem: problem.ruled(ByEvidence()),
    "with_penalty": lambda problem: problem.with_penalty(PathNorm(0.2)),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("first", ["given", "changed"])
@pytest.mark.parametrize("gradient", [False, True])
def test_what_is_known_of_the_data_is_shared(how, first, gradient):
    """Whoever is asked first: neither the loss nor the Gram matrix of the inputs is computed again."""
    network, problem = random_case()
    problem, passes = counted(problem)
    asked, other = problem, CHANGES[how](problem)
    if first == "changed":
        asked, other = other, asked
    if gradient:
        asked.value_and_gradient(network)
    loss = float(asked.data_loss(network))
    assert float(other.data_loss(network)) == loss
    assert float(other.objective(network)) == loss + float(other.penalty_of(network))
    assert passes == ([1.0] if gradient else [1 / 3])
    assert other.input_gram[0] is asked.input_gram[0]


def test_other_data_share_nothing():
    network, problem = random_case()
    problem, passes = counted(problem)
    problem.data_loss(network)
    for other in (replace(problem, Y=-problem.Y), problem.batch(torch.arange(5), 11 / 5), problem.double()):
        other.data_loss(network)
    assert passes == [1 / 3] * 4


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("offset", [True, False])
def test_a_batch_has_the_weights_and_offsets_of_its_rows(weighted, offset):
    network, problem = random_case(n=12)
    rng = np.random.default_rng(0)
    given = {"sample_weight": torch.as_tensor(rng.uniform(0.3, 2, 12)) if weighted else None}
    if offset:
        given["offset"] = torch.as_tensor(rng.normal(size=problem.Y.shape))
    problem = replace(problem, **given)
    parts = [problem.batch(rows, 3.0) for rows in torch.arange(12).split(4)]
    loss = sum(float(part.data_loss(network)) for part in parts) / 3
    assert loss == pytest.approx(float(problem.data_loss(network)), rel=1e-13)
    gradient = sum(part.value_and_gradient(network)[1] for part in parts) / 3
    torch.testing.assert_close(gradient, problem.value_and_gradient(network)[1], rtol=1e-12, atol=1e-14)
    for part in parts:  # what is made anew has the same weights
        again = replace(part)
        torch.testing.assert_close(again.g, part.g, rtol=1e-14, atol=0)
        assert again.total_weight == part.total_weight == problem.total_weight
        assert float(again.objective(network)) == pytest.approx(float(part.objective(network)), rel=1e-13)


@pytest.mark.parametrize("batch", [True, False])
def test_a_problem_in_double_precision_is_so_in_all_its_parts(batch):
    _, problem = random_case(n=12)
    weight = torch.as_tensor(np.random.default_rng(0).uniform(0.3, 2, 12))
    problem = replace(problem, sample_weight=weight, offset=0.1 * problem.Y)
    arrays = {name: getattr(problem, name).float() for name in ("X", "Y", "sample_weight", "offset")}
    single = replace(problem, **arrays)
    single = single.batch(torch.arange(5), 12 / 5) if batch else single
    double = single.double()
    assert {part.dtype for part in (double.X, double.Y, double.g, double.sample_weight, double.offset)} == {
        torch.float64
    }
    torch.testing.assert_close(double.g, single.g.double(), rtol=1e-6, atol=0)
    torch.testing.assert_close(replace(double).g, double.g, rtol=1e-15, atol=0)
    assert double.total_weight == pytest.approx(single.total_weight, rel=1e-6)  # single precision has seven digits


def test_the_meter_is_told_of_samples_and_gradients():
    network, problem = random_case(n=12)
    notes = []
    problem = replace(problem, meter=lambda *what: notes.append(what))
    problem.value_and_gradient(network)
    for batch in problem.batches(5, torch.Generator().manual_seed(0)):
        batch.data_loss(network)
    assert [note[0] for note in notes] == [network] * 4
    assert [note[1:] for note in notes] == [(1.0, 12), (1 / 3, 5), (1 / 3, 5), (1 / 3, 2)]


class Once:
    """A policy with a single proposal, from the first network."""

    def __init__(self, network):
        self.network = network

    def act(self, current, best, history):
        return Action("try", self.network, current) if len(history) == 1 else None


RULES = {"fixed": FixedAlpha(), "evidence": ByEvidence(), "rounds": InRounds(), "one round": InRounds(1)}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("solver", [LevenbergMarquardt(), LBFGS()], ids=lambda solver: type(solver).__name__)
@settings(max_examples=6)
@given(seed=st.integers(0, 2**16), alpha=st.sampled_from([1e-3, 0.7, 30.0]), loss=st.sampled_from([None, Logistic()]))
def test_training_does_not_change_the_problem_it_is_given(rule, solver, seed, alpha, loss):
    network, problem = random_case(seed=seed, alpha=alpha)
    if loss is not None:
        problem = replace(problem, Y=(problem.Y > 0).to(problem.Y), loss=loss)
    problem = problem.ruled(RULES[rule])
    given = {field.name: getattr(problem, field.name) for field in fields(problem)}
    values = {name: value.clone() for name, value in given.items() if isinstance(value, torch.Tensor)}
    objective = float(problem.objective(network))
    policy, history = Once(network.with_theta(0.5 * network.theta)), History()
    trained = fit(
        network, problem, solver, policy, Every(5), max_iter=5, monitor=Monitor(), history=history, criterion=GCV()
    )
    assert len(history) == 2
    for name, value in given.items():
        assert getattr(problem, name) is value
    for name, value in values.items():
        assert torch.equal(getattr(problem, name), value)
    assert problem.alpha == problem.penalty.alpha == alpha
    assert float(replace(problem).objective(network)) == pytest.approx(objective, rel=1e-14)
    assert history[trained.row]["alpha"] == trained.problem.alpha == trained.alpha
    if rule == "fixed":
        assert {row["alpha"] for row in history} == {alpha}
