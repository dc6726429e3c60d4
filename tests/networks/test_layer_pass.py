"""The layer pass against autograd and finite differences."""

import itertools
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skgrow.networks import ACTIVATIONS, MLP, Activation, SideBySide

DEPTHS = [1, 2, 3]


def random_network(activation, depth, c, seed=0, d=4, width=5):
    generator = torch.Generator().manual_seed(seed)
    sizes = (d, *[width + i for i in range(depth)], c)
    n_parameters = sum((i + 1) * o for i, o in pairwise(sizes))
    theta = torch.randn(n_parameters, generator=generator, dtype=torch.float64)
    X = torch.randn(7, d, generator=generator, dtype=torch.float64)
    return MLP(sizes, theta, activation), X


def autograd_activation(activation):
    return {
        "identity": lambda Z: Z,
        "logistic": torch.sigmoid,
        "relu": torch.relu,
        "tanh": torch.tanh,
        "leaky_relu": lambda Z: torch.nn.functional.leaky_relu(Z, activation.slope),
    }[activation.name]


def reference(network, theta, X):
    """The network written in PyTorch's functions."""
    function = autograd_activation(network.activation)
    start = 0
    for layer, (i, o) in enumerate(zip(network.layer_sizes[:-1], network.layer_sizes[1:], strict=True)):
        W, b = theta[start : start + i * o].view(o, i), theta[start + i * o : start + (i + 1) * o]
        start += (i + 1) * o
        X = X @ W.T + b
        if layer < len(network.layer_sizes) - 2:
            X = function(X)
    return X


@pytest.mark.parametrize("c", [1, 2, 3])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_outputs_gradients_and_jacobians_equal_autograd(name, depth, c):
    network, X = random_network(Activation(name, 0.2), depth, c)
    theta = network.theta.clone().requires_grad_()
    output = reference(network, theta, X)
    state = network.forward_pass(X)
    torch.testing.assert_close(network(X), output, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(state.output, output, rtol=1e-10, atol=1e-10)

    delta = torch.linspace(-1, 2, 7 * c, dtype=torch.float64).view(7, c)
    (gradient,) = torch.autograd.grad((output * delta).sum(), theta, retain_graph=True)
    torch.testing.assert_close(network.gradient(state, delta), gradient, rtol=1e-10, atol=1e-10)

    jacobian = torch.func.jacrev(lambda t: reference(network, t, X))(network.theta)  # (n, c, p)
    torch.testing.assert_close(network.jacobian(state), jacobian.transpose(0, 1), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_backpropagated_derivatives_are_those_by_the_preactivations(name, depth):
    network, X = random_network(Activation(name), depth, 2)
    state = network.forward_pass(X)
    delta = torch.ones(7, 2, dtype=torch.float64)
    deltas = network.backward_pass(state, delta)
    assert [d.shape[1] for d in deltas] == list(network.layer_sizes[1:])
    for layer, d in enumerate(deltas):  # a shift of the bias moves all pre-activations of a neuron alike
        theta = network.theta.clone().requires_grad_()
        per_sample = torch.func.jacrev(lambda t: reference(network, t, X).sum(1))(theta)[:, network.slices[layer][1]]
        torch.testing.assert_close(d, per_sample.detach(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("names", "bounds"),
    [
        *itertools.product(
            [("relu", "tanh"), ("leaky_relu", "logistic"), ("leaky_relu", "leaky_relu")], [(0,), (2,), (5,)]
        ),
        *itertools.product([("identity", "relu", "tanh")], [(1, 3), (0, 2), (2, 2), (3, 5)]),
    ],
)
def test_activations_side_by_side_equal_autograd(names, bounds):
    parts = [Activation(name, slope) for name, slope in zip(names, (0.2, 0.4, 0.6), strict=False)]
    network, X = random_network(SideBySide(parts, bounds), 1, 2)

    def output(theta):
        pieces = network.with_theta(theta)
        Z = X @ pieces.weights[0].T + pieces.biases[0]
        cuts = itertools.pairwise([0, *bounds, 5])
        H = torch.cat([autograd_activation(part)(Z[:, i:j]) for part, (i, j) in zip(parts, cuts, strict=True)], 1)
        return H @ pieces.weights[1].T + pieces.biases[1]

    theta = network.theta.clone().requires_grad_()
    state = network.forward_pass(X)
    torch.testing.assert_close(state.output, output(theta), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(network(X), state.output, rtol=0, atol=0)
    jacobian = torch.func.jacrev(output)(network.theta)
    torch.testing.assert_close(network.jacobian(state), jacobian.transpose(0, 1), rtol=1e-10, atol=1e-10)


def test_what_activations_side_by_side_can_not_do_is_said():
    both = SideBySide([Activation("relu"), Activation("tanh")], [2])
    network, X = random_network(both, 1, 1)
    for parts, bounds in (
        ([both, Activation("relu")], [1]),
        ([Activation("relu")], []),
        ([Activation("relu")] * 2, []),
    ):
        with pytest.raises(
            ValueError, match="parts must be activations of one function each, one more than bounds; got"
        ):
            SideBySide(parts, bounds)
    with pytest.raises(ValueError, match="can not be smoothed; got activation 'relu\\+tanh'"):
        network.with_smoothing([torch.ones(5)])(X)
    with pytest.raises(ValueError, match=r"must be in ascending order; got \[1, 0\]"):
        both.of(torch.tensor([1, 0]))
    with pytest.raises(ValueError, match="only be inserted into a network of one activation"):
        network.insert(0, X)


def test_leading_axes_of_a_backward_pass_are_a_batch():
    network, X = random_network(Activation("tanh"), 2, 3)
    state = network.forward_pass(X)
    fields = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    together = network.backward_pass(state, fields)
    for k in range(4):
        for one, all_of_them in zip(network.backward_pass(state, fields[k]), together, strict=True):
            torch.testing.assert_close(all_of_them[k], one)


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_smoothed_networks_have_the_gradient_of_finite_differences(name, depth):
    network, X = random_network(Activation(name, 0.1), depth, 2)
    widths = [
        torch.full((size,), 0.5 + 0.1 * i, dtype=torch.float64) for i, size in enumerate(network.layer_sizes[1:-1])
    ]
    network = network.with_smoothing(widths)
    delta = torch.linspace(-1, 2, 14, dtype=torch.float64).view(7, 2)
    gradient = network.gradient(network.forward_pass(X), delta)
    step = 1e-6
    for i in range(0, network.n_parameters, 5):
        e = torch.zeros_like(network.theta)
        e[i] = step
        values = [float((network.with_theta(network.theta + s * e)(X) * delta).sum()) for s in (1, -1)]
        assert float(gradient[i]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", ["relu", "leaky_relu"])
def test_smoothing_is_continuously_differentiable_and_local(name):
    activation, width = Activation(name, 0.2), torch.tensor([0.5, 2.0], dtype=torch.float64)
    Z = torch.linspace(-3, 3, 6001, dtype=torch.float64)[:, None].expand(-1, 2).contiguous()
    sharp, smooth = activation.value(Z), activation.value(Z, width)
    outside = Z.abs() >= width
    torch.testing.assert_close(smooth[outside], sharp[outside], rtol=0, atol=1e-12)
    # the parabola touches both branches and departs most at the kink, by (1 - slope) width / 4
    torch.testing.assert_close((smooth - sharp).amax(0), (1 - activation.negative_slope) * width / 4)
    assert bool((smooth >= sharp - 1e-12).all())
    slope = activation.derivative(Z, smooth, width)
    assert float(slope.diff(dim=0).abs().max()) < 0.0021  # no jump: at most step / (2 width)
    central = (activation.value(Z + 1e-6, width) - activation.value(Z - 1e-6, width)) / 2e-6
    torch.testing.assert_close(slope, central, rtol=0, atol=1e-5)


def test_without_smoothing_the_network_is_the_sharp_one_again():
    network, X = random_network(Activation("relu"), 2, 1)
    smooth = network.with_smoothing([torch.full((size,), 0.3, dtype=torch.float64) for size in (5, 6)])
    assert float((smooth(X) - network(X)).abs().max()) > 1e-3
    assert torch.equal(smooth.with_smoothing(None)(X), network(X))


@pytest.mark.parametrize("name", ACTIVATIONS)
@given(z=st.floats(-30, 30).filter(lambda z: abs(z) > 1e-3))
def test_derivatives_of_activations(name, z):
    activation = Activation(name, 0.3)
    Z = torch.tensor([[z]], dtype=torch.float64)
    step = 1e-5
    central = (activation.value(Z + step) - activation.value(Z - step)) / (2 * step)
    torch.testing.assert_close(activation.derivative(Z, activation.value(Z)), central, rtol=1e-6, atol=1e-9)


def test_zero_belongs_to_the_negative_side_of_a_kink():
    Z = torch.zeros(1, 1)
    for activation, slope in ((Activation("relu"), 0.0), (Activation("leaky_relu", 0.25), 0.25)):
        assert float(activation.derivative(Z, activation.value(Z))) == slope


def test_hidden_layers():
    network, X = random_network(Activation("tanh"), 3, 2)
    inputs = network.forward_pass(X).inputs
    for depth in range(4):
        torch.testing.assert_close(network.hidden(X, depth), inputs[depth])
    torch.testing.assert_close(network.hidden(X), inputs[-1])
    torch.testing.assert_close(network.hidden(X) @ network.weights[-1].T + network.biases[-1], network(X))


def test_a_network_may_have_no_hidden_neuron():
    network = MLP((3, 0, 2), torch.tensor([1.0, -2.0]), Activation("relu"))
    X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(network(X), torch.tensor([[1.0, -2.0]]).expand(4, 2))
    state = network.forward_pass(X)
    torch.testing.assert_close(network.gradient(state, torch.ones(4, 2)), torch.tensor([4.0, 4.0]))
    assert network.jacobian(state).shape == (2, 4, 2)


def test_a_pass_changes_neither_the_network_nor_the_data():
    network, X = random_network(Activation("leaky_relu"), 2, 1)
    theta, copy = network.theta.clone(), X.clone()
    state = network.forward_pass(X)
    delta = torch.ones(7, 1, dtype=torch.float64)
    first = network.gradient(state, delta)
    network.jacobian(state)
    assert torch.equal(network.gradient(state, delta), first)
    assert torch.equal(network.theta, theta)
    assert torch.equal(X, copy)
    assert torch.equal(delta, torch.ones_like(delta))


def test_theta_must_have_the_right_length():
    with pytest.raises(ValueError, match=r"theta must have shape \(13,\) for layer_sizes \(2, 3, 1\); got \(12,\)"):
        MLP((2, 3, 1), torch.zeros(12), Activation("relu"))


def test_activations_are_checked():
    with pytest.raises(ValueError, match=r"activation must be one of .*'tanh'.*; got 'sine'"):
        Activation("sine")
    for slope in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"slope must lie in \[0, 1\); got {slope}"):
            Activation("leaky_relu", slope)


def test_repr_names_the_architecture():
    network, _ = random_network(Activation("tanh"), 1, 2)
    assert repr(network) == "MLP(layer_sizes=(4, 5, 2), activation='tanh')"
