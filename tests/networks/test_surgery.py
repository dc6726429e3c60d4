"""Surgery preserves the function, on every input."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from skgrow.networks import (
    ACTIVATIONS,
    MLP,
    Activation,
    average,
    direct_sum,
    from_standardized,
    from_torch,
    linear,
    prune,
    scale,
    summands,
    to_torch,
    widen,
    without_outer_kinks,
)

seeds = st.integers(0, 2**32 - 1)
positives = st.floats(1e-3, 1e3)


def draw(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@st.composite
def networks(draw_from, names=ACTIVATIONS, depth=None, d=3, c=2):
    name = draw_from(st.sampled_from(names))
    hidden = draw_from(st.lists(st.integers(1, 4), min_size=depth or 1, max_size=depth or 3))
    sizes = (d, *hidden, c)
    n_parameters = sum((i + 1) * o for i, o in pairwise(sizes))
    return MLP(sizes, draw(n_parameters, draw_from(seeds)), Activation(name, 0.1))


X = draw((9, 3), 0)


def assert_same(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@given(data=st.data())
def test_direct_sum_realizes_the_sum(data):
    first = data.draw(networks())
    second = data.draw(networks([first.activation.name], depth=len(first.layer_sizes) - 2))
    both = direct_sum(first, second)
    assert_same(both(X), first(X) + second(X))
    widths = [a + b for a, b in zip(first.layer_sizes, second.layer_sizes, strict=True)]
    assert both.layer_sizes == (3, *widths[1:-1], 2)


@given(first=networks(depth=1), second=networks(depth=1), share=st.floats(0, 1), data=st.data())
def test_averages_have_both_activations_and_fall_apart_again(first, second, share, data):
    both = average([first, second], [share, 1 - share])
    assert_same(both(X), share * first(X) + (1 - share) * second(X))
    with torch.no_grad():
        assert_same(to_torch(both)(X), both(X))
    back = from_torch(to_torch(both))
    assert back.activation.name == both.activation.name
    assert_same(back(X), both(X))
    parts = summands(both)
    names = [first.activation.name, second.activation.name]
    assert [part.activation.name for part in parts] == list(dict.fromkeys(names))
    assert_same(sum(part(X) for part in parts), both(X))
    keep = torch.tensor(data.draw(st.lists(st.booleans(), min_size=both.layer_sizes[1], max_size=both.layer_sizes[1])))
    some, others = (prune(both, 0, k.nonzero()[:, 0]) for k in (keep, ~keep))
    assert_same(some(X) + others(X), both(X) + both.biases[-1])


@given(data=st.data(), depth=st.integers(1, 3), count=st.integers(2, 4))
def test_a_sum_of_networks_of_any_depth_falls_apart_by_their_widths(data, depth, count):
    name = data.draw(st.sampled_from(ACTIVATIONS))
    members = [data.draw(networks([name], depth)) for _ in range(count)]
    whole, widths = average(members, [1.0] * count), [member.layer_sizes[1:-1] for member in members]
    parts = summands(whole, widths)
    for part, member in zip(parts, members, strict=True):
        assert part.layer_sizes == member.layer_sizes
        assert part.activation == member.activation
        assert_same(part(X) - part.biases[-1], member(X) - member.biases[-1])
    assert_same(sum(part(X) for part in parts), whole(X))


def test_neurons_that_came_later_belong_to_the_last_summand():
    whole = average([network_of((3, 4, 2), "tanh"), network_of((3, 2, 2), "tanh")], [0.5, 0.5])
    wider, _ = widen(whole, 0, *(a.float() for a in (draw((2, 3), 0), draw(2, 1), draw((2, 2), 2))))
    assert [part.layer_sizes for part in summands(wider, [(4,), (2,)])] == [(3, 4, 2), (3, 4, 2)]


def test_weights_between_summands_are_refused():
    whole = average([network_of((3, 2, 2, 2)), network_of((3, 1, 2, 2))], [0.5, 0.5])
    joined = whole.with_theta(whole.theta + 1)
    with pytest.raises(ValueError, match=r"blocks of widths \[\(2, 2\), \(1, 2\)\]; got weights between them"):
        summands(joined, [(2, 2), (1, 2)])


def test_leaky_slopes_may_differ():
    first, second = (MLP((3, 2, 2), draw(14, seed), Activation("leaky_relu", seed / 10)) for seed in (1, 4))
    both = direct_sum(first, second)
    assert_same(both(X), first(X) + second(X))
    back = from_torch(to_torch(both))
    assert_same(back(X), both(X))
    again = nn.Linear(4, 4), to_torch(both)[1]
    module = nn.Sequential(*to_torch(both)[:2], *again, *again, nn.Linear(4, 1))
    with pytest.raises(ValueError, match="module must have two hidden layers at most if several activations share"):
        from_torch(module)


def test_neurons_appended_to_an_average_have_its_second_activation():
    both = average([network_of((3, 4, 2)), network_of((3, 4, 2), "tanh")], [0.5, 0.5])
    W, b, V = draw((2, 3), 0), draw(2, 1), draw((2, 2), 2)
    wider, _ = widen(both, 0, W.float(), b.float(), V.float())
    torch.testing.assert_close(wider(X.float()), (torch.tanh(X @ W.T + b) @ V.T).float())
    more = direct_sum(both, network_of((3, 1, 2), "tanh"))
    assert more.activation == both.activation


@pytest.mark.parametrize("shape", [(1, 3), (2, 3), (4, 2)])
def test_three_activations_side_by_side(shape):
    W, b = draw(shape, 0), draw(shape[0], 1)
    line = linear(W, b)
    x = draw((9, shape[1]), 2)
    assert_same(line(x), x @ W.T + b)
    n_parameters = 2 * (shape[1] + 1) + 3 * shape[0]
    networks = [line] + [
        MLP((shape[1], 2, shape[0]), draw(n_parameters, seed), Activation(name))
        for seed, name in enumerate(("relu", "tanh"))
    ]
    mean = average(networks, [0.5, 0.3, 0.2])
    assert mean.activation.name == "identity+relu+tanh"
    expected = 0.5 * networks[0](x) + 0.3 * networks[1](x) + 0.2 * networks[2](x)
    assert_same(mean(x), expected)
    with torch.no_grad():
        assert_same(to_torch(mean)(x), expected)
    assert from_torch(to_torch(mean)).activation == mean.activation
    parts = summands(mean)
    assert [part.activation.name for part in parts] == ["identity", "relu", "tanh"]
    assert_same(sum(part(x) for part in parts), expected)
    without = prune(mean, 0, torch.tensor([i for i in range(mean.layer_sizes[1]) if i not in (shape[0], shape[0] + 1)]))
    assert without.activation.name == "identity+tanh"
    assert_same(without(x), parts[0](x) + parts[2](x))


@given(network=networks(["relu", "leaky_relu", "identity"]), factor=st.floats(0, 1e6))
def test_scale_realizes_the_multiple(network, factor):
    expected = factor * network(X)
    unit = max(float(expected.abs().max()), 1e-300)
    assert_same(scale(network, factor)(X) / unit, expected / unit)


@given(network=networks(), m=st.integers(0, 3), seed=seeds, data=st.data())
def test_widening_with_silent_outputs_changes_nothing_and_says_where_parameters_went(network, m, seed, data):
    layer = data.draw(st.integers(0, len(network.layer_sizes) - 3))
    before, after = network.layer_sizes[layer], network.layer_sizes[layer + 2]
    zero = torch.zeros(after, m, dtype=torch.float64)
    wider, kept = widen(network, layer, draw((m, before), seed), draw(m, seed + 1), zero)
    assert_same(wider(X), network(X))
    assert wider.layer_sizes[layer + 1] == network.layer_sizes[layer + 1] + m
    assert torch.equal(wider.theta[kept], network.theta)
    assert len(torch.unique(kept)) == network.n_parameters
    # a gradient moves along with its parameters
    delta = torch.ones(9, 2, dtype=torch.float64)
    gradient = wider.gradient(wider.forward_pass(X), delta)
    torch.testing.assert_close(gradient[kept], network.gradient(network.forward_pass(X), delta))


@given(network=networks(depth=1), seed=seeds)
def test_widening_adds_the_new_neurons_times_their_outputs(network, seed):
    W, b, V = draw((2, 3), seed), draw(2, seed + 1), draw((2, 2), seed + 2)
    wider, _ = widen(network, 0, W, b, V)
    assert_same(wider(X), network(X) + network.activation.value(X @ W.T + b) @ V.T)


@given(network=networks(), seed=seeds, data=st.data())
def test_pruning_silent_neurons_changes_nothing(network, seed, data):
    layer = data.draw(st.integers(0, len(network.layer_sizes) - 3))
    width = network.layer_sizes[layer + 1]
    zero = torch.zeros(network.layer_sizes[layer + 2], 2, dtype=torch.float64)
    wider, _ = widen(network, layer, draw((2, network.layer_sizes[layer]), seed), draw(2, seed + 1), zero)
    pruned = prune(wider, layer, torch.arange(width))
    assert torch.equal(pruned.theta, network.theta)
    assert_same(pruned(X), network(X))


@given(network=networks(depth=1), data=st.data())
def test_a_network_is_the_direct_sum_of_its_parts(network, data):
    width = network.layer_sizes[1]
    keep = torch.tensor(data.draw(st.lists(st.booleans(), min_size=width, max_size=width)))
    first, second = (prune(network, 0, k.nonzero()[:, 0]) for k in (keep, ~keep))
    bias = network.biases[-1]
    assert_same(direct_sum(first, second)(X), network(X) + bias)


@given(network=networks(["relu", "leaky_relu"], depth=1))
def test_neurons_that_are_on_everywhere_become_linear_far_beyond_the_data(network):
    outward = without_outer_kinks(network, X)
    scale = 1 + float(network.theta.abs().max()) ** 2
    torch.testing.assert_close(outward(X) / scale, network(X) / scale, rtol=0, atol=1e-11)
    on = ((X @ network.weights[0].T + network.biases[0]) > 0).all(0)
    centre = X.mean(0)
    for t in (1.0, 3.0):  # times as far from the middle as the data
        Z = (centre + t * (X - centre)) @ outward.weights[0].T + outward.biases[0]
        assert (Z[:, on] > 0).all()
    assert torch.equal(outward.biases[0][~on], network.biases[0][~on])
    smooth = MLP(network.layer_sizes, network.theta, Activation("tanh"))
    assert without_outer_kinks(smooth, X) is smooth


@given(network=networks(), seed=seeds)
def test_units_can_be_changed(network, seed):
    x_mean, y_mean = draw(3, seed), draw(2, seed + 1)
    x_scale, y_scale = draw(3, seed + 2).exp(), draw(2, seed + 3).exp()
    raw = from_standardized(network, x_mean, x_scale, y_mean, y_scale)
    expected = network((X - x_mean) / x_scale) * y_scale + y_mean
    size = float(1 + expected.abs().max())
    # biases in raw units cancel against the means: rounding is relative to the terms of that sum
    terms = 1 + float((raw.weights[0].abs() @ x_mean.abs()).max())
    torch.testing.assert_close(raw(X) / size, expected / size, rtol=0, atol=1e-12 * terms)
    back = from_standardized(raw, -x_mean / x_scale, 1 / x_scale, -y_mean / y_scale, 1 / y_scale)
    torch.testing.assert_close(back.theta, network.theta, rtol=1e-9, atol=1e-10)


@given(network=networks())
def test_round_trip_through_torch(network):
    module = to_torch(network)
    with torch.no_grad():
        assert_same(module(X), network(X))
    back = from_torch(module)
    assert torch.equal(back.theta, network.theta)
    assert back.layer_sizes == network.layer_sizes
    assert back.activation.name == network.activation.name
    assert back.activation.negative_slope == network.activation.negative_slope


@settings(max_examples=10)
@given(network=networks())
def test_surgery_returns_new_networks(network):
    """Networks are values: changing the result does not change the source."""
    theta = network.theta.clone()
    for other in (from_torch(to_torch(network)), prune(network, 0, torch.arange(1)), direct_sum(network, network)):
        other.theta.zero_()
    module = to_torch(network)
    with torch.no_grad():
        module[0].weight.zero_()
    assert torch.equal(network.theta, theta)


def test_from_torch_takes_layers_without_bias():
    module = nn.Sequential(nn.Linear(3, 4, bias=False), nn.Tanh(), nn.Linear(4, 2))
    points = X.float()
    torch.testing.assert_close(from_torch(module)(points), module(points))


def test_a_linear_module_is_a_network_without_hidden_layer():
    module = nn.Sequential(nn.Linear(3, 2).double())
    network = from_torch(module)
    assert network.layer_sizes == (3, 2)
    assert_same(network(X), module(X).detach())


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(),
        nn.Sequential(nn.Linear(3, 2), nn.ReLU()),
        nn.Sequential(nn.ReLU(), nn.Linear(3, 2), nn.ReLU()),
        nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)),
    ],
    ids=["empty", "ends with activation", "starts with activation", "no activation"],
)
def test_from_torch_needs_alternating_modules(module):
    with pytest.raises(ValueError, match=r"module must alternate nn.Linear and activations and end with nn.Linear"):
        from_torch(module)


def test_from_torch_needs_one_known_activation():
    def module(first, second):
        return nn.Sequential(nn.Linear(3, 2), first, nn.Linear(2, 2), second, nn.Linear(2, 1))

    with pytest.raises(ValueError, match=r"module must have one activation among .*; got \['relu', 'tanh'\]"):
        from_torch(module(nn.ReLU(), nn.Tanh()))
    with pytest.raises(ValueError, match=r"module must have one activation among .*; got \['Softplus'\]"):
        from_torch(module(nn.Softplus(), nn.Softplus()))
    with pytest.raises(ValueError, match=r"module must have one negative_slope; got \[0.1, 0.2\]"):
        from_torch(module(nn.LeakyReLU(0.1), nn.LeakyReLU(0.2)))


def network_of(sizes, name="relu"):
    n_parameters = sum((i + 1) * o for i, o in pairwise(sizes))
    return MLP(sizes, torch.zeros(n_parameters), Activation(name))


def test_direct_sum_needs_networks_that_fit():
    base = network_of((3, 4, 2))
    for sizes in ((2, 4, 2), (3, 4, 1), (3, 4, 4, 2)):
        with pytest.raises(ValueError, match="direct_sum needs networks of equal depth, inputs and outputs"):
            direct_sum(base, network_of(sizes))
    both = direct_sum(base, network_of((3, 4, 2), "tanh"))
    deep = [network_of((3, 4, 4, 2), name) for name in ("relu", "tanh")]
    for first, second in ((base, both), deep):
        with pytest.raises(ValueError, match=r"direct_sum needs equal activations, or one hidden layer and a second"):
            direct_sum(first, second)
    with pytest.raises(ValueError, match="direct_sum needs at least one hidden layer"):
        direct_sum(network_of((3, 2)), network_of((3, 2)))


def test_scale_needs_a_homogeneous_activation_and_a_factor_that_is_not_negative():
    for name in ("tanh", "logistic"):
        with pytest.raises(ValueError, match=f"scale needs a positively homogeneous activation; got '{name}'"):
            scale(network_of((3, 4, 2), name), 2.0)
    with pytest.raises(ValueError, match=r"factor must not be negative; got -1.0"):
        scale(network_of((3, 4, 2)), -1.0)


@pytest.mark.parametrize("layer", [-1, 1, 5])
def test_only_hidden_layers_can_be_widened(layer):
    with pytest.raises(ValueError, match=rf"layer must be a hidden layer in \[0, 0\]; got {layer}"):
        widen(network_of((3, 4, 2)), layer, torch.zeros(1, 3), torch.zeros(1), torch.zeros(2, 1))
