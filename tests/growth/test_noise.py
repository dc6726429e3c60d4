"""The growth indicator over all neurons, what it is where there is nothing but noise, and growth that goes by that."""

from itertools import islice

import numpy as np
import pytest
import torch

from skgrow import GrowingRegressor
from skgrow.criteria import Objective
from skgrow.growth import GrowthPolicy, PolarSearch, exact_neuron, exceeds_noise, permuted_shares, polar_value
from skgrow.growth._constants import GROWTH
from skgrow.networks import MLP, Activation
from skgrow.problem import L2, CrossEntropy, Problem
from skgrow.training import Plateau, measured

RELU = Activation("relu")


def policy(**settings):
    defaults = {"search": PolarSearch(), "block_size": 3, "max_neurons": 30, "max_extensions": 1, "n_exchanges": 0}
    return GrowthPolicy(
        descend=lambda network, on: (network, on),
        schedule=Plateau(),
        patience=3,
        min_decrease=1e-6,
        generator=torch.Generator().manual_seed(0),
        **defaults | settings,
    )


def at_the_mean(x, y, activation=RELU, **settings):
    """Return the constant network and its problem."""
    X, Y = torch.as_tensor(x, dtype=torch.float64), torch.as_tensor(y, dtype=torch.float64)
    problem = Problem(X.reshape(len(X), -1), Y.reshape(len(Y), -1), penalty=L2(0.01), support=3.0, **settings)
    d, c = problem.X.shape[1], problem.Y.shape[1]
    return MLP((d, 0, c), problem.g @ problem.Y, activation), problem


# the indicator -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("y", [[1.0, -1, 0, 0, 0], [0.0, 0, 0, -1, 1]])
def test_kinks_next_to_the_ends_count(y):
    """The best neuron is alone with the end point: 2 cos = 2 (1 / 5) / (sqrt(2 / 5) sqrt(4 / 25)) = 1.5811."""
    network, problem = at_the_mean([-2.0, -1, 0, 1, 2], y)
    w, b = exact_neuron(problem.X, problem.Y, problem.g, RELU)
    value = float(polar_value(problem.X, problem.Y, problem.g, RELU, torch.cat([w, b])[None])[0])
    exact = 2 * value / float(problem.g @ problem.Y[:, 0].square()) ** 0.5
    assert exact == pytest.approx(2.5**0.5, rel=1e-9)
    one = policy(block_size=1).indicators(network, problem, [])["indicator"]
    assert one == pytest.approx(exact, rel=1e-9)
    assert policy().indicators(network, problem, [])["indicator"] >= exact


@pytest.mark.parametrize("seed", range(3))
def test_the_indicator_is_not_below_that_of_the_block_proposed(seed):
    x = np.random.default_rng(seed).uniform(-1, 1, 50)
    network, problem = at_the_mean(x, np.sin(6 * np.pi * x))
    growing = policy()
    proposals = growing.proposals(network, problem)
    found = growing.indicators(network, problem, proposals)
    size = 2 * float(problem.data_loss(network))
    assert found["indicator"] >= 2 * (2 * proposals[0].block.score / size) ** 0.5 * (1 - 1e-9)


class Counted(PolarSearch):
    """A search that counts."""

    count = 0

    def search(self, *args, **kwargs):
        self.count += 1
        return super().search(*args, **kwargs)


def trained(network, problem):
    return measured(network, problem, Objective())


# noise -----------------------------------------------------------------------------------------------------------


def drawn(network, problem, count, size=3):
    return np.array(
        list(islice(permuted_shares(PolarSearch(), problem, network, problem.basis(network), RELU, size), count))
    )


def test_shares_know_nothing_of_units():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 2)), rng.normal(size=30)
    one, other = drawn(*at_the_mean(x, y), 4), drawn(*at_the_mean(x, 1000 * y + 5), 4)
    np.testing.assert_allclose(one, other, rtol=1e-8)
    assert (one > 0).all()
    assert (one < 1).all()


def test_the_first_share_is_that_of_the_residual():
    x = np.linspace(-1, 1, 40)
    first, *others = drawn(*at_the_mean(x, np.abs(x)), 5)
    assert first > 0.98  # two kinks are enough
    assert max(others) < 0.7


def test_a_residual_of_zero_has_no_share():
    assert drawn(*at_the_mean(np.arange(5.0), np.ones(5)), 3).tolist() == [0, 0, 0]


def test_of_noise_the_residual_is_one_permutation_of_many():
    """Its rank among the permutations is uniform: it is above all nine in one of ten cases."""
    above = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = drawn(*at_the_mean(rng.normal(size=20), rng.normal(size=20)), 10)
        above += found[0] > found[1:].max()
    assert 1 <= above <= 10  # 4 expected; outside with probability 0.02


def test_shares_know_nothing_of_the_unit_of_weights():
    rng = np.random.default_rng(0)
    x, y, weight = rng.normal(size=30), rng.normal(size=30), torch.as_tensor(rng.uniform(0.1, 10, 30))
    one, other = (drawn(*at_the_mean(x, y, sample_weight=c * weight), 4) for c in (1, 1000))
    np.testing.assert_allclose(one, other, rtol=1e-9)


def test_means_of_several_observations_are_exchanged_with_single_ones():
    """Noise of means has a variance of one over the weight: what is found in it knows nothing of the weights."""
    above = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        weight = np.where(rng.random(20) < 0.3, 25.0, 1.0)
        case = at_the_mean(
            rng.normal(size=20), rng.normal(size=20) / weight**0.5, sample_weight=torch.as_tensor(weight)
        )
        found = drawn(*case, 5)
        above += found[0] > found[1:].max()
    assert 2 <= above <= 15  # 8 expected


WAVES = {
    "sine": lambda x: np.sin(6 * np.pi * x),
    "steps": lambda x: np.sign(np.sin(8 * x)),
    "corner": lambda x: np.abs(x - 0.3),
}


@pytest.mark.parametrize("f", WAVES.values(), ids=WAVES.keys())
def test_waves_are_above_noise(f):
    x = np.random.default_rng(0).uniform(-1, 1, 60)
    network, problem = at_the_mean(x, f(x))
    found = trained(network, problem)
    assert exceeds_noise(found, PolarSearch(), 3, least=0.1 * found.loss, n_above=0)


def test_classes_are_above_noise_where_they_have_something_in_common():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 4, (300, 2))
    board = np.floor(x).sum(1) % 2
    for y, expected in ((board, True), (rng.permutation(board), False)):
        X, Y = torch.as_tensor(x), torch.as_tensor(np.column_stack([1 - y, y]))
        problem = Problem(X, Y, None, CrossEntropy(), L2(1.0), support=3.0)
        network = MLP((2, 0, 2), torch.zeros(2, dtype=torch.float64), RELU)
        assert exceeds_noise(trained(network, problem), PolarSearch(), 6, least=0.03, n_above=0) is expected


def test_what_is_not_worth_the_time_is_not_compared_with_noise():
    x = np.random.default_rng(0).uniform(-1, 1, 60)
    network, problem = at_the_mean(x, np.abs(x))
    found = trained(network, problem)
    counted = Counted()
    assert not exceeds_noise(found, counted, 3, least=found.loss, n_above=0)
    assert counted.count == 0  # no share is larger than one
    assert not exceeds_noise(found, counted, 3, least=0.9999 * found.loss, n_above=0)
    assert counted.count == 1
    assert exceeds_noise(found, counted, 3, least=0.5 * found.loss, n_above=0)
    assert counted.count == 2 + GROWTH.noise_draws


def test_what_noise_would_remove_is_not_counted(monkeypatch):
    x = np.random.default_rng(0).uniform(-1, 1, 60)
    found = trained(*at_the_mean(x, np.abs(x)))
    draws = []

    def shares(*args):
        yield 0.5
        while True:
            draws.append(0.4)
            yield 0.4

    monkeypatch.setattr("skgrow.growth._noise.permuted_shares", shares)
    assert not exceeds_noise(found, None, 3, least=0.3 * found.loss, n_above=0)
    assert len(draws) == 14  # the mean of all 19 is then no less than 14 / 19 of 0.4: 0.5 less that is too little
    assert exceeds_noise(found, None, 3, least=0.1 * found.loss, n_above=0)


def test_noise_is_left_after_the_first_permutation_that_is_above():
    counted = Counted()
    rng = np.random.default_rng(0)
    network, problem = at_the_mean(rng.normal(size=50), rng.normal(size=50))
    assert not exceeds_noise(trained(network, problem), counted, 3, least=0.0, n_above=0)
    assert counted.count < 1 + GROWTH.noise_draws


# fits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "seed"), [("relu", 2), ("tanh", 3)])
def test_growth_finds_waves_of_few_samples(activation, seed):
    x = np.random.default_rng(seed).uniform(-1, 1, 50)
    est = GrowingRegressor(activation=activation, random_state=seed).fit(x[:, None], np.sin(6 * np.pi * x))
    new = np.linspace(-0.98, 0.98, 500)
    assert est.score(new[:, None], np.sin(6 * np.pi * new)) > 0.9
    for row in est.history_:
        if row["accepted"] and row["parent"] is not None:
            assert row["train_loss"] <= est.history_[row["parent"]]["train_loss"]


@pytest.mark.parametrize("n", [50, 200])
def test_growth_leaves_noise_alone(n):
    rng = np.random.default_rng(n)
    est = GrowingRegressor(activation="tanh", random_state=0).fit(rng.uniform(-1, 1, (n, 1)), rng.normal(size=n))
    assert est.architecture_[1] <= 1
    assert 0 < est.growth_indicator_noise_ < 1


def test_the_indicator_of_noise_falls_with_the_number_of_samples():
    """The best of a fixed set of neurons explains about a number over n of noise."""
    found = []
    for n in (50, 800):
        rng = np.random.default_rng(n)
        network, problem = at_the_mean(rng.normal(size=(n, 2)), rng.normal(size=n))
        found.append(policy().indicator_of_noise(network, problem))
    assert 0 < found[1] < 0.5 * found[0]


def test_constants_of_noise_make_a_test_at_one_in_twenty():
    assert 1 / (GROWTH.noise_draws + 1) == 0.05
