"""Residual and convolutional networks against autograd, and layers inserted into all architectures."""

import pytest
import torch

from skgrow.networks import (
    MLP,
    Activation,
    ConvNet,
    IdentityLike,
    ResNet,
    direct_sum,
    from_standardized,
    map_gradient,
    merge,
    prune,
    to_torch,
    widen,
)
from skgrow.problem import Problem, head_of, joined


def random_network(kind, activation, seed=0):
    """Return a small network with random parameters, and data for it."""
    generator = torch.Generator().manual_seed(seed)

    def theta(count):
        return 0.4 * torch.randn(count, generator=generator, dtype=torch.float64)

    s = Activation(activation)
    if kind == "mlp":
        network, d = MLP((3, 4, 5, 2), theta(16 + 25 + 12), s), 3
    elif kind == "resnet":
        network, d = ResNet((3, 4, 5, 2, 2), theta(16 + 5 * 5 + 20 + 2 * 5 + 8 + 10), s), 3
    elif kind == "resnet of small steps":
        network, d = ResNet((3, 4, 5, 2, 2), theta(16 + 5 * 5 + 20 + 2 * 5 + 8 + 10), s, step=0.3), 3
    elif kind == "resnet without biases":
        network, d = ResNet((3, 4, 4, 2), theta(12 + 20 + 16 + 8), s, bias=False), 3
    else:  # odd sizes: the last row and column take no part in pooling
        network = ConvNet((2, 7, 6), ((3, 2), (4,)), (5, 2), theta(57 + 56 + 76 + 25 + 12), s)
        d = 84
    return network, torch.randn(11, d, generator=generator, dtype=torch.float64)


NETWORKS = [
    *(
        (kind, name)
        for kind in ("mlp", "resnet", "resnet of small steps", "resnet without biases")
        for name in ("relu", "leaky_relu", "tanh", "logistic")
    ),
    ("cnn", "relu"),
    ("cnn", "tanh"),
    ("cnn", "identity"),
]


@pytest.mark.parametrize(("kind", "activation"), NETWORKS)
def test_layer_pass_is_autograd(kind, activation):
    network, X = random_network(kind, activation)
    target = torch.linspace(-1, 1, 2 * len(X), dtype=torch.float64).view(len(X), 2)
    F = to_torch(network)(X)
    theta = network.theta.clone().requires_grad_()
    (network.with_theta(theta)(X) * target).sum().backward()
    expected = theta.grad
    state = network.forward_pass(X)
    torch.testing.assert_close(network(X), F, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state.output, F, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(network.gradient(state, target), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("kind", "activation"), NETWORKS)
def test_jacobian_rows_are_gradients(kind, activation):
    network, X = random_network(kind, activation)
    J = network.jacobian(network.forward_pass(X))
    for j in (0, 7):
        for c in (0, 1):
            seed = torch.zeros(len(X), 2, dtype=torch.float64)
            seed[j, c] = 1
            expected = network.gradient(network.forward_pass(X), seed)
            torch.testing.assert_close(J[c, j], expected, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("kind", "activation"), NETWORKS)
def test_inserted_layers_leave_the_function(kind, activation):
    network, X = random_network(kind, activation)
    before = network(X)
    exact = kind.startswith("resnet") or activation not in ("tanh", "logistic")
    for point in range(network.n_insertion_points):
        deeper, kept = network.insert(point, X)
        change = (deeper(X) - before).abs().max()
        assert change <= (1e-13 if exact else 2e-2)
        assert deeper.n_parameters > network.n_parameters
        assert (deeper.theta[kept] == network.theta).all()


@pytest.mark.parametrize("name", ["tanh", "logistic", "leaky_relu", "relu"])
@pytest.mark.parametrize("point", [0, 1])
def test_an_inserted_layer_takes_new_neurons(name, point):
    """They are neurons of the plain activation."""
    network, X = random_network("mlp", name)
    deeper, _ = network.insert(point, X)
    layer = point + 1
    W, b = torch.randn(2, deeper.layer_sizes[layer], dtype=X.dtype), torch.randn(2, dtype=X.dtype)
    V = torch.randn(deeper.layer_sizes[layer + 2], 2, dtype=X.dtype)
    silent, kept = widen(deeper, layer, W, b, 0 * V)
    torch.testing.assert_close(silent(X), deeper(X), rtol=1e-12, atol=1e-14)
    assert torch.equal(silent.theta[kept], deeper.theta)
    wider, _ = widen(deeper, layer, W, b, V)
    plain, folded = wider.folded(), deeper.folded()
    H = folded.hidden(X, layer)
    added = folded.activation.value(H @ W.T + b) @ V.T
    before = behind(folded, layer, X)
    torch.testing.assert_close(behind(plain, layer, X), before + added, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(plain(X), wider(X), rtol=1e-10, atol=1e-12)
    state = wider.forward_pass(X)
    torch.testing.assert_close(state.output, wider(X), rtol=1e-12, atol=1e-14)


def behind(network, layer, X):
    """What the map behind a hidden layer gives."""
    return network.hidden(X, layer + 1) @ network.weights[layer + 1].T + network.biases[layer + 1]


@pytest.mark.parametrize("name", ["tanh", "logistic", "leaky_relu"])
def test_surgery_keeps_what_was_inserted(name):
    network, X = random_network("mlp", name)
    deeper, _ = network.insert(0, X)
    everything = torch.arange(deeper.layer_sizes[2])
    torch.testing.assert_close(prune(deeper, 1, everything)(X), deeper(X), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(direct_sum(deeper, deeper)(X), 2 * deeper(X), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(merge(deeper, X)[0](X), deeper(X), rtol=1e-10, atol=1e-12)
    deepest, _ = network.insert(1, X)  # the layer inserted is the last
    head, problem = head_of(deepest, Problem(X, deepest(X)))
    torch.testing.assert_close(problem.outputs(head), deepest(X), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(joined(deepest, head)(X), deepest(X), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["tanh", "logistic", "leaky_relu", "relu"])
def test_inserted_activations_are_as_near_to_the_identity_as_documented(name):
    activation = Activation(name)
    x = torch.linspace(-1 if name in ("tanh", "leaky_relu") else 0, 1, 201, dtype=torch.float64)[:, None]
    layer = IdentityLike.of(activation, x)
    error = (layer.value(activation, x) - x).abs()
    if name == "tanh":
        assert (error <= 0.2**2 * x.abs() ** 3 / 3 + 1e-15).all()
    elif name == "logistic":
        assert (error <= 0.8**2 * (x - 0.5).abs() ** 3 / 12 + 1e-15).all()
    else:
        assert error.max() < 1e-15
    t = 1e-6
    slope = (layer.value(activation, x + t) - layer.value(activation, x - t)) / (2 * t)
    torch.testing.assert_close(slope[1:-1], layer.derivative(activation, x)[1:-1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("kind", "activation"), NETWORKS)
def test_folded_networks_are_plain_and_equal(kind, activation):
    network, X = random_network(kind, activation)
    deeper = network.insert(1, X)[0].insert(0, X)[0]
    moved = deeper.with_theta(deeper.theta + 0.1 * torch.sin(torch.arange(deeper.n_parameters)))
    folded = moved.folded()
    torch.testing.assert_close(folded(X), moved(X), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(to_torch(moved)(X), moved(X), rtol=1e-11, atol=1e-11)
    assert not any(getattr(folded, "inserted", ()))


@pytest.mark.parametrize(("kind", "activation"), NETWORKS)
def test_insertion_pairs_give_the_gradient_of_the_extended_network(kind, activation):
    network, X = random_network(kind, activation)
    target = torch.linspace(-1, 1, 2 * len(X), dtype=torch.float64).view(len(X), 2)
    state = network.forward_pass(X)
    pairs = network.insertion_pairs(state, network.backward_pass(state, target))
    assert len(pairs) == network.n_insertion_points
    for point, pair in enumerate(pairs):
        deeper, kept = network.insert(point, X)
        F = deeper.forward_pass(X)
        gradient = deeper.gradient(F, target)
        new = set(range(deeper.n_parameters)) - set(kept.tolist())
        maps = [i for i, (w, _) in enumerate(deeper.slices) if w.start in new]
        expected = gradient[deeper.slices[maps[-1]][0]]  # of a block the second map, the first has no gradient
        found = map_gradient(*pair).reshape(-1)
        if network.inserts_exactly:
            torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
        else:  # derivatives above were taken at the network as it is, the function has changed by O(h^2)
            assert (found - expected).norm() < 0.1 * expected.norm()
        if kind.startswith("resnet"):
            assert gradient[deeper.slices[maps[0]][0]].abs().max() == 0


def test_parameter_counts_of_the_thesis():
    mlp = MLP((2, 5, 2), torch.randn(27), Activation("relu"))
    resnet = ResNet((2, 3, 3, 2), torch.randn(33), Activation("tanh"), bias=False)
    X = torch.randn(4, 2)
    assert mlp.insert(0, X)[0].n_parameters == 57
    assert resnet.insert(1, X)[0].n_parameters == 54


@pytest.mark.parametrize("kind", ["resnet", "cnn"])
def test_change_of_units(kind):
    network, X = random_network(kind, "relu")
    if kind == "cnn":
        x_mean = torch.tensor([0.3, -1.0]).double().repeat_interleave(42)
        x_scale = torch.tensor([2.0, 0.5]).double().repeat_interleave(42)
    else:
        x_mean, x_scale = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([2.0, 0.1, 3.0]).double()
    y_mean, y_scale = torch.tensor([5.0, -1.0]).double(), torch.tensor([2.0, 0.3]).double()
    raw = from_standardized(network, x_mean, x_scale, y_mean, y_scale)
    expected = y_mean + y_scale * network((X - x_mean) / x_scale)
    torch.testing.assert_close(raw(X), expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(to_torch(raw)(X), expected, rtol=1e-11, atol=1e-11)
    back = from_standardized(raw, -x_mean / x_scale, 1 / x_scale, -y_mean / y_scale, 1 / y_scale)
    torch.testing.assert_close(back(X), network(X), rtol=1e-11, atol=1e-11)


def test_errors_name_what_is_wrong():
    relu = Activation("relu")
    with pytest.raises(ValueError, match="hidden layer"):
        MLP((2, 3), torch.zeros(9), relu).insert(0, torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"point must lie in \[0, 0\]; got 1"):
        MLP((2, 3, 1), torch.zeros(13), relu).insert(1, torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"at least 4 x 4 pixels"):
        ConvNet((1, 3, 3), ((2,), (2,)), (1,), torch.zeros(1), relu)
    with pytest.raises(ValueError, match="activation must be one of"):
        ConvNet((1, 4, 4), ((2,),), (1,), torch.zeros(1), Activation("logistic"))
    bare = ResNet((1, 2, 1), torch.zeros(4), relu, bias=False)
    one = torch.ones(1)
    with pytest.raises(ValueError, match="biases in the first and last map"):
        from_standardized(bare, one, one, one, one)


def test_networks_of_all_steps_are_the_same_functions():
    network, X = random_network("resnet", "tanh")
    other = network.with_step(0.25)
    assert other.step == 0.25
    torch.testing.assert_close(other(X), network(X), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(other.folded().theta, network.theta, rtol=1e-12, atol=1e-12)
