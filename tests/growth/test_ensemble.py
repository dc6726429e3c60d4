"""Averages of averages, and what members of an ensemble go on from."""

import pickle
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skgrow import GrowingRegressor
from skgrow.criteria import GCV
from skgrow.growth import Member, PolarSearch, RandomSearch, average_of, combine_members, shares_of
from skgrow.growth._ensemble import Grown, grow_members, of_member, reweighted, starts_of
from skgrow.networks import MLP, Activation, average
from skgrow.problem import L2, FixedAlpha, Logistic, Problem, Samples
from skgrow.training import Data, GrowthRegime, Task, measured


def problem_of(n=40, seed=0):
    rng = np.random.default_rng(seed)
    X, Y = torch.as_tensor(rng.normal(size=(n, 2))), torch.as_tensor(rng.normal(size=(n, 1)))
    return Problem(X, Y, penalty=L2(0.5), rule=FixedAlpha())


FOUR = SimpleNamespace(n_members=4, n_jobs=1)


def judged(task):
    return GCV()


def task_of(problem):
    return SimpleNamespace(samples=problem, named=str)


def network(problem, name, sizes=(2, 3, 1), seed=0):
    generator = torch.Generator().manual_seed(seed)
    n_parameters = sum((i + 1) * o for i, o in pairwise(sizes))
    theta = 0.3 * torch.randn(n_parameters, generator=generator, dtype=torch.float64)
    trained = measured(MLP(sizes, theta, Activation(name)), problem, GCV())
    return Member(trained, name, task_of(problem))


def test_an_average_of_averages_is_the_average_of_their_networks_with_products_of_weights():
    problem, criterion = problem_of(), GCV()
    members = [average_of([network(problem, name, seed=seed) for name in ("relu", "tanh")], judged) for seed in (1, 2)]
    whole = average_of(members, judged)
    assert whole.name == "relu+tanh"
    assert [part.name for part in whole.parts] == ["relu", "relu", "tanh", "tanh"]
    assert sum(whole.shares) == pytest.approx(1)
    outer = shares_of([criterion.error(member.trained) for member in members])
    expected = [share * member.shares[i] for i in (0, 1) for share, member in zip(outer, members, strict=True)]
    assert whole.shares == pytest.approx(expected)
    X = problem.X
    outputs = sum(share * member.trained.network(X) for share, member in zip(outer, members, strict=True))
    torch.testing.assert_close(whole.trained.network(X), outputs)
    assert whole.trained.loss == pytest.approx(float(problem.data_loss(whole.trained.network)))
    optimism = [-member.trained.criterion - 2 * member.trained.loss for member in members]  # linear in the outputs
    assert -whole.trained.criterion - 2 * whole.trained.loss == pytest.approx(np.dot(outer, optimism))


def test_a_network_in_several_averages_has_its_neurons_once():
    problem = problem_of()
    line = network(problem, "identity", (2, 1, 1))
    members = [average_of([line, network(problem, "relu", seed=seed)], judged) for seed in (1, 2)]
    whole = average_of(members, judged)
    assert [part.name for part in whole.parts] == ["identity", "relu", "relu"]
    assert whole.parts[0] is line
    assert whole.trained.network.layer_sizes == (2, 7, 1)
    assert sum(whole.shares) == pytest.approx(1)
    half = [share / 2 for share in (1.0, 1.0)]
    assert average_of([line, line], judged).shares == pytest.approx([sum(half)])


@pytest.mark.parametrize("count", [2, 8, 30])
def test_alike_members_all_have_their_share(count):
    assert shares_of([1.0] * count) == pytest.approx([1 / count] * count)
    assert shares_of([1.0] * count + [1e3])[-1] == 0


def test_deep_networks_of_one_activation_are_averaged():
    problem = problem_of()
    deep = [network(problem, name, (2, 2, 3, 1), seed) for seed, name in enumerate(["relu", "tanh", "relu", "tanh"])]
    best = combine_members(deep, judged)
    groups = [average_of(deep[i::2], judged) for i in (0, 1)]
    assert best.trained.criterion == max(group.trained.criterion for group in groups)
    assert best.trained.network.layer_sizes == (2, 4, 6, 1)
    assert best.name in ("relu", "tanh")


def test_starts_are_those_of_the_members():
    problem = problem_of()
    parts = [
        network(problem, name, (2, width, 1), width).trained.network
        for name, width in (("relu", 2), ("relu", 3), ("tanh", 1))
    ]
    structure = [(0, "relu", (2,)), (1, "relu", (3,)), (1, "tanh", (1,))]
    starts = starts_of(average(parts, [0.2, 0.5, 0.3]), structure)
    assert {key: start.layer_sizes[1] for key, start in starts.items()} == {
        (0, "relu"): 2,
        (1, "relu"): 3,
        (1, "tanh"): 1,
    }
    assert {key: start.activation.name for key, start in starts.items()} == {key: key[1] for key in starts}
    assert set(starts_of(average(parts[1:], [0.5, 0.5]), ())) == {(0, "relu"), (0, "tanh")}
    assert starts_of(None, structure) == {}


def grown(number, report=None, stop_reason=""):
    problem = problem_of()
    rows = [{"member": number, "parent": None}]
    return Grown(number, [network(problem, "relu", seed=number)], False, False, rows, [1.0], stop_reason)


def test_what_a_process_returns_is_what_was_grown():
    problem = problem_of()
    before = grown(1)
    after = pickle.loads(pickle.dumps(grown(1).packed())).unpacked([task_of(problem)], [problem])
    (first,), (second,) = before.networks, after.networks
    assert torch.equal(first.trained.network.theta, second.trained.network.theta)
    assert second.trained.network.weights[0].data_ptr() == second.trained.network.theta.data_ptr()
    assert second.trained.criterion == first.trained.criterion
    assert second.trained.alpha == first.trained.alpha
    assert second.problem.X is problem.X
    assert second.trained.settled == first.trained.settled


def test_members_end_with_the_one_that_ends_the_fit():
    found = list(
        grow_members(lambda i, alphas, report: grown(i, stop_reason="callback" * (i == 1)), [], [], FOUR, None)
    )
    assert [member.number for member in found] == [0, 1]


@pytest.mark.parametrize("at", [0, 2])
def test_an_interrupt_keeps_the_members_before(at):
    def grow(number, alphas, report):
        if number == at:
            raise KeyboardInterrupt
        return grown(number)

    members = grow_members(grow, [], [], FOUR, None)
    if at == 0:
        with pytest.raises(KeyboardInterrupt):
            list(members)
    else:
        with pytest.warns(UserWarning, match="interrupted by user"):
            assert [member.number for member in members] == [0, 1]


def test_weights_of_members_are_random_numbers_of_the_same_sum():
    X = torch.arange(5000.0, dtype=torch.float64)[:, None]
    weight = torch.linspace(0.5, 1.5, 5000, dtype=torch.float64)
    repeats = torch.full((5000,), 4.0, dtype=torch.float64)
    for given, variance in (
        (Samples(X, X), 1),
        (Samples(X, X, weight), 1),
        (Samples(X, X, weight, None, repeats), 0.25),
    ):
        drawn = reweighted(given, np.random.default_rng(0))
        before = torch.ones(5000, dtype=torch.float64) if given.weight is None else given.weight
        factors = drawn.weight / before
        assert float(drawn.weight.sum()) == pytest.approx(float(before.sum()))
        assert drawn.X is given.X
        assert drawn.repeats is given.repeats
        assert float(factors.mean()) == pytest.approx(1, abs=5 * (variance / 5000) ** 0.5)
        assert float(factors.var()) == pytest.approx(variance, rel=0.2)


def test_members_are_samples_of_the_posterior():
    """Of a linear model with normal noise: mean and covariance of minimisers are the posterior's, to first order."""
    rng = np.random.default_rng(0)
    n, d, alpha = 400, 3, 2.0
    X = rng.normal(size=(n, d))
    y = X @ [1.0, -1.0, 0.5] + 0.7 * rng.normal(size=n)
    samples = Samples(torch.as_tensor(X), torch.as_tensor(y)[:, None])
    generator, found = np.random.default_rng(1), []
    for _ in range(2000):
        w = reweighted(samples, generator).weight.numpy()
        found.append(np.linalg.solve((X.T * w) @ X + alpha * np.eye(d), (X.T * w) @ y))
    matrix = X.T @ X + alpha * np.eye(d)
    centre = np.linalg.solve(matrix, X.T @ y)
    posterior = np.mean((y - X @ centre) ** 2) * np.linalg.inv(matrix)
    deviation = np.sqrt(posterior.diagonal())
    np.testing.assert_allclose(np.mean(found, 0), centre, atol=0.2 * deviation.min())
    np.testing.assert_allclose(np.std(found, 0), deviation, rtol=0.2)


@pytest.mark.parametrize("search", [PolarSearch(max_samples=None), RandomSearch(max_samples=7), object()])
def test_the_first_member_has_task_and_search_as_they_are(search):
    est = GrowingRegressor(random_state=0)
    settings = replace(est._settings(), search=search)
    X = np.random.default_rng(0).normal(size=(100, 3))
    task = Task.of(Data(X, X[:, 0]), settings, est._method()[2])
    first = of_member(0, [task], settings)
    assert first[0] == [task]
    assert first[1] is settings
    others = [(tasks[0], other) for tasks, other in (of_member(number, [task], settings) for number in range(1, 4))]
    assert len({task.seed, *(other.seed for other, _ in others)}) == 4
    for other, changed in others:
        assert other.units is task.units
        assert other.samples.X is task.samples.X
        if hasattr(search, "max_samples"):
            assert changed.search.max_samples == min(20, search.max_samples or 20)
            assert changed.search is not search
        assert other.samples.weight is None


def test_rows_of_classifiers_have_random_weights():
    settings = replace(GrowingRegressor(random_state=0)._settings(), loss=Logistic())
    X = np.random.default_rng(0).normal(size=(60, 3))
    task = Task.of(Data(X, (X[:, 0] > 0).astype(float)), settings, GrowthRegime)
    (first,), (second,) = (of_member(number, [task], settings)[0] for number in (1, 2))
    (again,) = of_member(2, [task], settings)[0]
    assert torch.equal(again.samples.weight, second.samples.weight)
    assert not torch.equal(first.samples.weight, second.samples.weight)
    assert float(first.samples.weight.sum()) == pytest.approx(60)
