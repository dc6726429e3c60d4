"""The layer pass on arrays is that on tensors, for every architecture and activation."""

import numpy as np
import pytest
import torch

from skgrow.networks import ACTIVATIONS, MLP, Activation, ByLayer, ResNet, SideBySide, layout_of
from skgrow.prediction import ArrayNetwork, activation_named, rows_of
from skgrow.prediction._array_network import PASS_VALUES

KNOTS = SideBySide([Activation("identity"), Activation("relu")], [4])
NETWORKS = {
    **{name: MLP((4, 6, 2), None, Activation(name)) for name in ACTIVATIONS},
    "no hidden layer": MLP((4, 2), None, Activation("tanh")),
    "no neuron": MLP((4, 0, 2), None, Activation("tanh")),
    "deep": MLP((4, 6, 5, 3, 1), None, Activation("leaky_relu", 0.2)),
    "mixed": MLP((4, 6, 2), None, SideBySide([Activation("relu"), Activation("tanh")], [2])),
    "knots": MLP((4, 9, 6, 2), None, ByLayer(KNOTS, SideBySide([Activation("relu"), Activation("tanh")], [2]))),
    "residual": ResNet((4, 5, 3, 6, 2), None, Activation("tanh")),
    "residual without biases": ResNet((4, 5, 3, 2), None, Activation("relu"), bias=False),
    "no block": ResNet((4, 5, 2), None, Activation("relu")),
}


def both(name, dtype=np.float64):
    network = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(network.n_parameters, generator=generator, dtype=torch.float64)
    network = network.with_theta(theta.to(getattr(torch, np.dtype(dtype).name)))
    layout = layout_of(network)
    activation = activation_named(network.activation.name, network.activation.slope, layout.get("bounds", ((),)))
    weights, biases = [W.T.numpy() for W in network.weights], [b.numpy() for b in network.biases]
    return network, ArrayNetwork(weights, biases, activation, layout["architecture"] == "resnet")


def inputs(n=40, dtype=np.float64):
    return np.random.default_rng(1).normal(size=(n, 4)).astype(dtype)


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float32, 1e-5), (np.float64, 1e-13)])
@pytest.mark.parametrize("name", NETWORKS)
def test_arrays_and_tensors_have_one_output(name, dtype, rtol):
    network, arrays = both(name, dtype)
    X = inputs(dtype=dtype)
    found, expected = arrays(X), network(torch.as_tensor(X)).numpy()
    assert found.dtype == dtype
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


@pytest.mark.parametrize("name", [name for name in NETWORKS if "residual" not in name and "block" not in name])
def test_arrays_and_tensors_have_one_jacobian(name):
    network, arrays = both(name)
    X = inputs()
    state = network.forward_pass(torch.as_tensor(X))
    expected = network.jacobian(state).numpy()
    found = list(arrays.jacobians(X, network.n_parameters))
    assert len(found) == len(expected)
    some = [J for _, J, _ in arrays.jacobians(X, 4)]
    np.testing.assert_array_equal(some, [J[-4:] for _, J, _ in found])
    for k, (output, J, of_biases) in enumerate(found):
        np.testing.assert_allclose(output, state.output[:, k].numpy(), rtol=1e-13, atol=1e-13)
        np.testing.assert_allclose(J.T, expected[k], rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(of_biases.T, expected[k][:, network.slices[0][1]], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", ["knots", "residual"])
def test_chunks_change_nothing_but_rounding(name):
    _, arrays = both(name)
    X = inputs(10_000)
    assert len(rows_of(len(X), sum(map(len, arrays.weights)))) > 1
    np.testing.assert_allclose(arrays(X)[-7:], arrays(X[-7:]), rtol=1e-12)


def test_chunks_cover_all_rows_within_the_bound():
    for n, values in ((1, 3), (1000, 100), (5, 10 * PASS_VALUES)):
        rows = rows_of(n, values)
        assert [i for chunk in rows for i in range(n)[chunk]] == list(range(n))
        assert max(len(range(n)[chunk]) for chunk in rows) <= max(1, PASS_VALUES // values)


def test_overflow_is_no_warning():
    _, arrays = both("deep")
    assert not np.isfinite(arrays(np.full((1, 4), 1e308))).all()
