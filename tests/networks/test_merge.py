"""Merging collapses equal neurons; the predictions on the training data stay."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skgrow.networks import ACTIVATIONS, MLP, Activation, SideBySide, merge, widen

seeds = st.integers(0, 2**32 - 1)
RELU = Activation("relu")


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_network(sizes, seed, activation=RELU):
    n_parameters = sum((i + 1) * o for i, o in pairwise(sizes))
    return MLP(sizes, draw(n_parameters, seed=seed), activation)


def path_norm(network):
    """Of one hidden layer: sum of |a| |(w, b)|."""
    incoming = torch.cat([network.weights[0], network.biases[0][:, None]], 1).norm(dim=1)
    return float((incoming * network.weights[1].norm(dim=0)).sum())


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10 * float(expected.abs().max()))


def with_copies(network, copies, seed):
    """Add copies of the neurons: scaled for (leaky) ReLU, negated for odd functions; the function changes."""
    positive = torch.rand(len(copies), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.1
    signs = draw(len(copies), seed=seed).sign()
    factor = {"relu": positive, "leaky_relu": positive, "logistic": signs, "tanh": signs, "identity": signs}
    factor = factor[network.activation.name]
    W, b = network.weights[0][copies] * factor[:, None], network.biases[0][copies] * factor
    return widen(network, 0, W, b, draw(network.layer_sizes[-1], len(copies), seed=seed + 1))[0]


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("c", [1, 3])
@given(seed=seeds, copies=st.lists(st.integers(0, 2), max_size=12))
def test_copies_of_three_neurons_become_three_and_the_function_stays_everywhere(name, c, seed, copies):
    network = with_copies(random_network((2, 3, c), seed, Activation(name, 0.1)), copies, seed)
    X, elsewhere = draw(40, 2, seed=1), 10 * draw(50, 2, seed=2)
    H = network.hidden(X)[:, :3]
    constant = (H.amax(0) == H.amin(0)).sum()  # moves into the bias, on X
    merged, _ = merge(network, X)
    assert_same(merged(X), network(X))
    assert path_norm(merged) <= path_norm(network) * (1 + 1e-12)
    assert merged.layer_sizes[1] <= 3 - constant
    if merged.layer_sizes[1] == 3:  # else two of the three are on and off together on X
        assert_same(merged(elsewhere), network(elsewhere))


def sectors(network, X):
    """The different (pattern on X, sign of the outgoing weight) of ReLUs that are on somewhere, counted one by one."""
    on = (X @ network.weights[0].T + network.biases[0]) > 0
    pairs = zip(on.T, network.weights[1][0], strict=True)
    return {(tuple(pattern.tolist()), bool(a > 0)) for pattern, a in pairs if bool(pattern.any())}


@given(seed=seeds, n=st.integers(1, 12), d=st.integers(1, 3), width=st.integers(0, 40))
def test_one_relu_stays_per_sector_and_sign(seed, n, d, width):
    network, X = random_network((d, width, 1), seed), draw(n, d, seed=seed + 1)
    merged, _ = merge(network, X)
    assert_same(merged(X), network(X))
    assert path_norm(merged) <= path_norm(network) * (1 + 1e-12)
    assert merged.layer_sizes[1] <= len(sectors(network, X))
    if n > 1:
        assert sectors(merged, X) <= sectors(network, X)


@pytest.mark.parametrize("activation", [RELU, Activation("leaky_relu", 0.2)], ids=str)
def test_300_random_neurons_on_12_points_in_the_plane(activation):
    network, X = random_network((2, 300, 1), 0, activation), draw(12, 2, seed=1)
    merged, _ = merge(network, X)
    assert 60 < merged.layer_sizes[1] < 180  # there are 2 (n^2 - n + 2) = 268 pairs of a pattern and a sign
    if activation == RELU:
        assert merged.layer_sizes[1] == len(sectors(network, X))
    assert_same(merged(X), network(X))
    assert path_norm(merged) < path_norm(network)
    again, kept = merge(merged, X)
    assert again.layer_sizes == merged.layer_sizes
    assert kept.tolist() == list(range(merged.n_parameters))


def test_outgoing_weights_of_several_outputs_merge_only_along_one_direction():
    X = draw(10, 2).abs()
    W = draw(4, 2, seed=1).abs()  # on together, on all of X
    A = torch.tensor([[1.0, 2.0, -1.0, 1.0], [2.0, 4.0, -2.0, 1.0]], dtype=W.dtype)
    network = MLP.from_arrays([W, A], [W.new_zeros(4), W.new_zeros(2)], RELU)
    merged, _ = merge(network, X)
    assert merged.layer_sizes == (2, 3, 2)  # the second joins the first
    assert_same(merged(X), network(X))
    # the merged neuron is balanced
    assert float(merged.weights[0][0].norm()) == pytest.approx(float(merged.weights[1][:, 0].norm()))


@pytest.mark.parametrize("name", ["tanh", "logistic"])
def test_opposite_neurons_become_one(name):
    network = MLP.from_arrays(
        [torch.tensor([[1.0, -2.0], [-1.0, 2.0]]), torch.tensor([[3.0, 1.0]])],
        [torch.tensor([0.5, -0.5]), torch.zeros(1)],
        Activation(name),
    )
    merged, kept = merge(network, torch.randn(5, 2))
    assert merged.weights[0].tolist() == [[1.0, -2.0]]
    assert merged.weights[1].tolist() == [[2.0]]
    assert merged.biases[1].tolist() == [0.0 if name == "tanh" else 1.0]  # s(-t) = 1 - s(t)
    assert kept.tolist() == [0, 1, 4, 6, 8]


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(seed=seeds)
def test_deep_networks_merge_layer_by_layer(name, seed):
    network = random_network((2, 3, 3, 2), seed, Activation(name, 0.1))
    X = draw(30, 2, seed=3)
    copies = [0, 2, 2]
    A = draw(3, 3, seed=seed + 1)
    wider, _ = widen(network, 0, network.weights[0][copies], network.biases[0][copies], A)
    wider, _ = widen(wider, 1, wider.weights[1][copies], wider.biases[1][copies], A[:2])
    merged, kept = merge(wider, X)
    assert all(width <= 3 for width in merged.layer_sizes[1:3])
    assert_same(merged(X), wider(X))
    assert len(kept) == merged.n_parameters


def test_kept_says_where_the_parameters_were():
    """Without merging to be done it is the identity; of a group it is the place of the first member."""
    network = random_network((3, 4, 2), 0, Activation("tanh"))
    X = draw(20, 3, seed=1)
    same, kept = merge(network, X)
    assert torch.equal(same.theta, network.theta)
    assert kept.tolist() == list(range(network.n_parameters))
    wider, before = widen(network, 0, network.weights[0][1:3], network.biases[0][1:3], draw(2, 2, seed=2))
    merged, kept = merge(wider, X)
    assert torch.equal(kept, before)
    assert torch.equal(merged.weights[0], network.weights[0])


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "tanh"])
def test_tolerance_is_a_distance_of_directions(name):
    v = torch.tensor([0.6, 0.8], dtype=torch.float64)
    turned = v + 1e-4 * torch.tensor([-0.8, 0.6], dtype=torch.float64)
    V, A = torch.stack([v, turned]), torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    network = MLP.from_arrays([V[:, :1], A], [V[:, 1], A.new_zeros(1)], Activation(name))
    X = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    assert merge(network, X, tol=1e-5)[0].layer_sizes[1] == 2
    merged, _ = merge(network, X, tol=1e-3)
    assert merged.layer_sizes[1] == 1
    change = (merged(X) - network(X)).abs().max()
    assert float(change) <= 1e-3 * path_norm(network) * 5**0.5  # |z| is at most 5 ** 0.5


def test_constant_neurons_move_into_the_bias():
    W = torch.tensor([[-1.0], [1.0], [0.0], [1.0]])
    b = torch.tensor([-3.0, 5.0, 2.0, 0.0])
    A = torch.tensor([[7.0, 1.0, 10.0, 1.0]])
    network = MLP.from_arrays([W, A], [b, torch.zeros(1)], RELU)
    X = torch.tensor([[-1.0], [0.5], [2.0]])
    merged, _ = merge(network, X)
    assert merged.layer_sizes[1] == 2
    assert merged.biases[1].tolist() == [20.0]
    assert_same(merged(X), network(X))


def test_neurons_without_outgoing_weights_stay():
    wider, _ = widen(random_network((2, 2, 1), 0), 0, draw(5, 2, seed=1), draw(5, seed=2).abs(), draw(1, 5) * 0)
    assert merge(wider, draw(30, 2, seed=3))[0].layer_sizes[1] == 7


def test_networks_without_neurons_are_left_alone():
    network = random_network((2, 0, 3), 0)
    merged, kept = merge(network, draw(4, 2))
    assert torch.equal(merged.theta, network.theta)
    assert kept.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("network", "X", "tol", "message"),
    [
        (random_network((2, 2, 1), 0), draw(0, 2), 1e-6, "at least one sample; got none"),
        (random_network((2, 2, 1), 0), draw(3, 2), -1.0, "tol must not be negative; got -1.0"),
        (random_network((2, 2, 1), 0).with_smoothing([torch.ones(2)]), draw(3, 2), 1e-6, "without smoothing"),
        (
            random_network((2, 2, 1), 0, SideBySide([RELU, Activation("tanh")], [1])),
            draw(3, 2),
            1e-6,
            "of one activation",
        ),
    ],
)
def test_what_can_not_be_merged_is_named(network, X, tol, message):
    with pytest.raises(ValueError, match=message):
        merge(network, X, tol)
