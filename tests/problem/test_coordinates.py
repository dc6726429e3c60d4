"""Coordinates: a network on them is the same function as the network on inputs that is stored, and comes back."""

import numpy as np
import pytest
import torch

from skgrow.networks import MLP, Activation, ByLayer, SideBySide, from_layout, from_torch, glorot, layout_of, to_torch
from skgrow.problem import Samples, Span, Spline, Units, coordinates_of

ACTIVATION = [Activation("relu"), Activation("tanh"), SideBySide([Activation("tanh"), Activation("relu")], [2])]


def data(n=60, d=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)) * 10.0 ** np.arange(-2, d - 2) + np.arange(d) * 1000.0
    return Samples.build(X, rng.normal(size=(n, 2)))


def units_of(samples):
    return Units.of(samples, standardize=True)


def in_units(samples, units):
    return units.apply(samples, torch.device("cpu"), torch.float64).X


def spline_of(Z, knots={0: [0.0, 0.25, 0.5, 1.0], 2: [0.0, 0.4, 0.9, 1.0], 3: [0.0, 1.0]}):  # noqa: B006
    """Return a spline of knots given as shares of the ranges of features."""
    feature = torch.cat([torch.full((len(at),), j) for j, at in knots.items()])
    low, high = Z.aminmax(dim=0)
    knot = torch.cat([low[j] + (high[j] - low[j]) * torch.tensor(at, dtype=Z.dtype) for j, at in knots.items()])
    return Spline.of_samples(Z, torch.full((len(Z),), 1 / len(Z), dtype=Z.dtype), feature, knot)


def span_of(Z):
    return Span.of_samples(Z[:3])


def network_on(coordinates, Z, activation, hidden=(5,)):
    inputs = coordinates.of(Z).shape[1]
    return glorot(MLP((inputs, *hidden, 2), None, activation), 0, Z)


def test_ramps_are_piecewise_linear_functions_of_one_feature():
    Z = in_units(data(), units_of(data()))
    spline = spline_of(Z)
    features = spline.of(Z)
    torch.testing.assert_close(features[:, :4], Z, rtol=0, atol=0)
    ramps = features[:, 4:]
    assert ramps.shape[1] == 7  # one fewer than knots, feature by feature
    torch.testing.assert_close(ramps.mean(0), torch.zeros(7).to(Z), atol=1e-12, rtol=0)
    torch.testing.assert_close(ramps.square().mean(0), torch.ones(7).to(Z), rtol=1e-12, atol=0)
    # every function that is linear between the knots of feature 0 and constant beyond is a combination of its ramps
    knots, values = spline.knot[:4].numpy(), np.array([1.0, -2.0, 0.5, 3.0])
    x = torch.linspace(float(knots[0]) - 3, float(knots[-1]) + 3, 101, dtype=Z.dtype)
    points = torch.zeros(101, 4, dtype=Z.dtype)
    points[:, 0] = x
    A = torch.cat([torch.ones(101, 1), spline.of(points)[:, 4:7]], 1)
    wanted = torch.as_tensor(np.interp(x.numpy(), knots, values))[:, None]
    torch.testing.assert_close(A @ torch.linalg.lstsq(A, wanted).solution, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("activation", ACTIVATION)
@pytest.mark.parametrize("make", [spline_of, span_of])
def test_a_network_on_coordinates_is_one_on_inputs_and_comes_back(make, activation):
    Z = in_units(data(), units_of(data()))
    coordinates = make(Z)
    network = network_on(coordinates, Z, activation)
    outward = coordinates.outward(network)
    far = torch.cat([Z[:3] if make is span_of else Z, Z[:3] * (1 if make is span_of else 50)])
    torch.testing.assert_close(outward(far), network(coordinates.of(far)), rtol=1e-9, atol=1e-9)
    back = coordinates.inward(outward)
    assert (back.layer_sizes, back.activation) == (network.layer_sizes, network.activation)
    torch.testing.assert_close(back.theta, network.theta, rtol=1e-9, atol=1e-9)


def test_deep_networks_keep_their_layers():
    Z = in_units(data(), units_of(data()))
    spline = spline_of(Z)
    network = network_on(spline, Z, Activation("tanh"), (3, 4))
    outward = spline.outward(network)
    assert outward.layer_sizes == (4, 4 + 10, 3, 4, 2)
    torch.testing.assert_close(outward(Z), network(spline.of(Z)), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(spline.inward(outward).theta, network.theta, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("make", [spline_of, span_of])
def test_stored_coordinates_are_those_of_other_units(make):
    samples, others = data(), data(n=50, seed=1)
    units, new = units_of(samples), units_of(others)
    coordinates = make(in_units(samples, units))
    network = network_on(coordinates, in_units(samples, units), Activation("tanh"))
    raw = units.outward(coordinates.outward(network))
    again = coordinates_of(coordinates.arrays(units), new if make is spline_of else units, samples.X)
    if make is span_of:  # of the same units: new samples have a span of their own
        assert not again.stays
        torch.testing.assert_close(again.basis, coordinates.basis, rtol=0, atol=0)
        return
    inner = again.inward(new.inward(raw))
    predicted = new.y_mean + new.y_scale * inner(again.of(in_units(others, new)))
    torch.testing.assert_close(predicted, raw(others.X), rtol=1e-6, atol=1e-6)


def test_rows_of_the_history_count_what_is_stored():
    Z = in_units(data(), units_of(data()))
    for coordinates in (spline_of(Z), span_of(Z)):
        network = network_on(coordinates, Z, Activation("relu"))
        row = {"architecture": network.layer_sizes, "n_parameters": network.n_parameters}
        coordinates.complete(row)
        stored = coordinates.outward(network)
        assert row == {"architecture": stored.layer_sizes, "n_parameters": stored.n_parameters}
        assert coordinates.named("relu") == stored.activation.name


def test_a_feature_that_is_constant_in_new_data_stays_where_it_was():
    samples = data()
    units = units_of(samples)
    spline = spline_of(in_units(samples, units))
    constant = Samples.build(samples.X.clone().index_fill_(1, torch.tensor([2]), float(samples.X[0, 2])), samples.Y)
    new = units_of(constant)
    assert torch.isinf(new.x_scale[2])
    again = coordinates_of(spline.arrays(units), new, samples.X)
    found, wanted = again.of(in_units(constant, new))[:, 7:10], spline.of(in_units(samples, units))[:1, 7:10]
    torch.testing.assert_close(found, wanted.expand_as(found), rtol=1e-9, atol=1e-9)


def test_only_a_span_leaves_something_unseen():
    Z = in_units(data(), units_of(data()))
    spline, span = spline_of(Z), span_of(Z)
    assert not spline.unseen(Z, spline.of(Z)).any()
    distance = (Z - span.of(Z) @ span.basis.T).square().sum(1)
    torch.testing.assert_close(span.unseen(Z, span.of(Z)), distance, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATION)
def test_layers_of_their_own_activation_equal_autograd_and_are_converted(activation):
    Z = in_units(data(), units_of(data()))
    network = spline_of(Z).outward(network_on(spline_of(Z), Z, activation))
    assert isinstance(network.activation, ByLayer)
    module = to_torch(network)
    torch.testing.assert_close(module(Z).detach(), network(Z), rtol=1e-12, atol=1e-12)
    state = network.forward_pass(Z)
    module(Z).sum().backward()
    wanted = torch.cat([parameter.grad.reshape(-1) for parameter in module.parameters()])
    torch.testing.assert_close(network.gradient(state, torch.ones_like(state.output)), wanted, rtol=1e-10, atol=1e-10)
    known = layout_of(network), network.weights, network.biases, network.activation.name, network.activation.slope
    again = from_layout(*known)
    assert again.activation == network.activation
    torch.testing.assert_close(again.theta, network.theta, rtol=0, atol=0)
    torch.testing.assert_close(from_torch(module).theta, network.theta, rtol=0, atol=0)
    assert from_torch(module).activation == network.activation


def test_what_an_activation_by_layer_can_not_do_is_said():
    by_layer = ByLayer(Activation("relu"), Activation("tanh"))
    with pytest.raises(ValueError, match="activation 'relu, tanh' is a function in every layer only"):
        by_layer.value(torch.zeros(1, 1))
    with pytest.raises(ValueError, match="first and rest must be activations of one layer"):
        ByLayer(by_layer, Activation("tanh"))
    Z = in_units(data(), units_of(data()))
    network = spline_of(Z).outward(network_on(spline_of(Z), Z, Activation("relu")))
    with pytest.raises(ValueError, match="only be inserted into a network of one activation"):
        network.insert(0, Z)
