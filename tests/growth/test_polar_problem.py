"""The polar problem: its value, its exact solution in one and two dimensions, and the multi-start search."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skgrow.growth import PolarSearch, ascend, draw_rows, exact_neuron, polar_value
from skgrow.growth._constants import GROWTH
from skgrow.networks import MLP, Activation, widen
from skgrow.problem import Problem
from skgrow.solvers import refit_output

RELU = Activation("relu")
PIECEWISE_LINEAR = [RELU, Activation("leaky_relu", 0.1)]
NORMALIZATIONS = ["feature", "parameter"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_problem(n, d, c, seed):
    rng = np.random.default_rng(seed)
    X, E, g = rng.normal(size=(n, d)), rng.normal(size=(n, c)), rng.uniform(0.2, 1.8, size=n)
    g /= g.sum()
    E -= g @ E  # as after a refit of the output bias
    return torch.as_tensor(X), torch.as_tensor(E), torch.as_tensor(g)


def random_neurons(X, count, seed):
    """Half of them uniform on the sphere of (w, b), half with a kink close to a sample."""
    rng = np.random.default_rng(seed)
    V = rng.normal(size=(count, X.shape[1] + 1))
    near = X.numpy()[rng.integers(len(X), size=count // 2)]
    V[: count // 2, -1] = -(V[: count // 2, :-1] * near).sum(1) + 0.1 * rng.normal(size=count // 2)
    return torch.as_tensor(V)


def value_by_definition(X, E, g, activation, v, normalization):
    h = activation.value(X @ v[:-1] + v[-1])
    inner = torch.stack([(g * h * E[:, k]).sum() for k in range(E.shape[1])])
    if normalization == "parameter":
        return inner.norm() / v.norm()
    spread = (g * (h - (g * h).sum()).square()).sum().sqrt()
    return inner.norm() / spread if spread > 0 else torch.zeros_like(spread)  # silent on the data


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("activation", [*PIECEWISE_LINEAR, Activation("tanh"), Activation("logistic")], ids=str)
def test_polar_value_is_its_definition(activation, normalization):
    X, E, g = random_problem(15, 3, 2, seed=1)
    V = random_neurons(X, 20, seed=2)
    found = polar_value(X, E, g, activation, V, normalization)
    expected = torch.stack([value_by_definition(X, E, g, activation, v, normalization) for v in V])
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_polar_value_names_the_normalizations():
    X, E, g = random_problem(4, 1, 1, seed=0)
    with pytest.raises(ValueError, match="normalization must be 'feature' or 'parameter'; got 'path'"):
        polar_value(X, E, g, RELU, torch.ones(1, 2, dtype=X.dtype), "path")


# exact solutions -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("activation", PIECEWISE_LINEAR, ids=str)
@pytest.mark.parametrize(("n", "d"), [(2, 1), (7, 1), (25, 1), (3, 2), (8, 2), (20, 2)])
def test_exact_neuron_is_never_beaten_by_100000_random_neurons(n, d, activation, normalization, c):
    X, E, g = random_problem(n, d, c, seed=n + 10 * d + c)
    w, b = exact_neuron(X, E, g, activation, normalization)
    best = float(polar_value(X, E, g, activation, torch.cat([w, b])[None], normalization))
    rivals = polar_value(X, E, g, activation, random_neurons(X, 100_000, seed=n), normalization)
    assert float(rivals.max()) <= best * (1 + 1e-9)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize("d", [1, 2])
@given(data=st.data())
def test_exact_neuron_is_a_maximum_also_on_grids_with_ties_and_zero_residuals(d, normalization, data):
    """Collinear and repeated samples are where an arrangement of kinks degenerates."""
    integers = st.integers(-3, 3)
    rows = data.draw(st.lists(st.tuples(*[integers] * (d + 1)), min_size=2, max_size=9))
    table = torch.tensor(rows, dtype=torch.float64)
    X, E = table[:, :d], table[:, d:]
    g = torch.full((len(X),), 1 / len(X), dtype=X.dtype)
    E = E - g @ E
    w, b = exact_neuron(X, E, g, RELU, normalization)
    best = float(polar_value(X, E, g, RELU, torch.cat([w, b])[None], normalization))
    rivals = polar_value(X, E, g, RELU, random_neurons(X, 2_000, seed=0), normalization)
    assert float(rivals.max()) <= best * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(("n", "d"), [(40, 1), (210, 1), (30, 2), (80, 2)])
def test_exact_neuron_is_never_beaten_by_the_search(n, d, normalization):
    X, E, g = random_problem(n, d, 2, seed=n + d)
    activation = Activation("leaky_relu", 0.2)
    w, b = exact_neuron(X, E, g, activation, normalization)
    best = float(polar_value(X, E, g, activation, torch.cat([w, b])[None], normalization))
    search = PolarSearch(normalization=normalization)
    block = search.search(X, E, g, activation, block_size=1, generator=generator())
    v = torch.cat([block.W[0], block.b])[None]
    value = float(polar_value(X, E, g, activation, v, normalization))
    assert value <= best * (1 + 1e-9)
    refitted = 0.5 * float(polar_value(X, E, g, activation, v)) ** 2
    assert block.score == pytest.approx(refitted, rel=1e-9)
    if n <= GROWTH.searched_plane_rows or d == 1:  # where the search promises the maximum
        assert value == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("activation", PIECEWISE_LINEAR, ids=str)
@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e9])
def test_exact_neuron_has_the_same_feature_in_any_units(scale, d, activation):
    """Also in units of its own for every column."""
    X, E, g = random_problem(25, d, 1, seed=d)
    (w, b), units = exact_neuron(X, E, g, activation), scale * X.new_tensor([1.0, 1e-3][:d])
    best = float(polar_value(X, E, g, activation, torch.cat([w, b])[None]))
    scaled = X * units
    w, b = exact_neuron(scaled, E, g, activation)
    assert float(polar_value(scaled, E, g, activation, torch.cat([w, b])[None])) == pytest.approx(best, rel=1e-9)
    shifted = scaled + 10 * units  # costs a digit
    w, b = exact_neuron(shifted, E, g, activation)
    assert float(polar_value(shifted, E, g, activation, torch.cat([w, b])[None])) == pytest.approx(best, rel=1e-8)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_exact_neuron_is_no_rounding_error(d, seed):
    """Also where few samples have a residual, the neuron's feature stands out of the rounding of ``Xw + b``."""
    X, E, g = random_problem(12, d, 1, seed)
    E[2 + seed :] = 0
    E -= g @ E
    w, b = exact_neuron(X, E, g, RELU)
    h = torch.relu(X @ w + b)
    assert float(h.max()) > 1e-9 * float(torch.cat([w, b]).norm())
    assert float(torch.cat([w, b]).norm()) < 1e9


def test_five_points_by_hand():
    """Maennel, Bousquet and Gelly's data at f = 0: the maxima of G and, at the kinks of +-2, its minima."""
    X = torch.arange(-2.0, 3.0, dtype=torch.float64)[:, None]
    E = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0], dtype=torch.float64)[:, None]
    g = torch.full((5,), 0.2, dtype=torch.float64)
    w, b = exact_neuron(X, E, g, RELU, "parameter")
    v = torch.cat([w, b])
    torch.testing.assert_close(v / v.norm(), torch.tensor([0.0, 1.0], dtype=torch.float64), atol=1e-12, rtol=0)
    angle = torch.arange(8 * 12_500, dtype=torch.float64) * (2 * torch.pi / 100_000)
    G = 5 * polar_value(X, E, g, RELU, torch.stack([angle.cos(), angle.sin()], 1), "parameter")
    peak = (G.roll(1) < G) & (G.roll(-1) < G) & (G > 1e-9)
    valley = (G.roll(1) > G) & (G.roll(-1) > G) & (G > 1e-9)
    np.testing.assert_allclose(G[peak], [2 * 2**0.5, 3, 2 * 2**0.5], rtol=1e-12)
    np.testing.assert_allclose(angle[peak], torch.pi * np.array([0.25, 0.5, 0.75]), rtol=1e-12)
    kinks = (-torch.tan(angle[valley])).sort().values
    np.testing.assert_allclose(G[valley], 6 / 5**0.5, rtol=1e-3)
    np.testing.assert_allclose(kinks, [-2, 2], rtol=1e-3)


@pytest.mark.parametrize("d", [1, 2])
@given(data=st.data())
def test_parameter_polar_value_vanishes_if_and_only_if_the_residual_does(d, data):
    """With biases ridge functions of distinct kinks are independent (notes on Maennel et al., A2-2)."""
    points = data.draw(st.lists(st.tuples(*[st.integers(-5, 5)] * d), min_size=1, max_size=8, unique=True))
    E = data.draw(st.lists(st.integers(-4, 4), min_size=len(points), max_size=len(points)))
    X = torch.tensor(points, dtype=torch.float64)
    E = torch.tensor(E, dtype=torch.float64)[:, None]
    g = torch.full((len(X),), 1 / len(X), dtype=X.dtype)
    w, b = exact_neuron(X, E, g, RELU, "parameter")
    value = float(polar_value(X, E, g, RELU, torch.cat([w, b])[None], "parameter"))
    if bool((E == 0).all()):
        assert value == 0
    else:
        assert value > 1e-4


@pytest.mark.parametrize("d", [1, 2, 6])
def test_search_finds_a_neuron_if_and_only_if_there_is_a_residual(d):
    X, E, g = random_problem(30, d, 1, seed=d)
    assert PolarSearch().search(X, 0 * E, g, RELU, block_size=1, generator=generator()) is None
    for size in (1e-9, 1.0, 1e9):
        block = PolarSearch().search(X, size * E, g, RELU, block_size=1, generator=generator())
        assert 0.01 < block.score / (0.5 * size**2 * float(g @ E.square().sum(1))) <= 1


@pytest.mark.parametrize("activation", ["tanh", "logistic", "identity"])
def test_exact_neuron_needs_a_piecewise_linear_activation(activation):
    X, E, g = random_problem(5, 1, 1, seed=0)
    with pytest.raises(ValueError, match=f"needs 'relu' or 'leaky_relu'; got '{activation}'"):
        exact_neuron(X, E, g, Activation(activation))


def test_exact_neuron_needs_one_or_two_features():
    X, E, g = random_problem(5, 3, 1, seed=0)
    with pytest.raises(ValueError, match="1 or 2 features; got 3"):
        exact_neuron(X, E, g, RELU)


# predicted decreases -------------------------------------------------------------------------------------------


def trained_start(activation, d, c, seed, weighted=True):
    """A network of three neurons with its output layer refitted, and its problem."""
    rng = np.random.default_rng(seed)
    X, Y = torch.as_tensor(rng.normal(size=(40, d))), torch.as_tensor(rng.normal(size=(40, c)))
    weight = torch.as_tensor(rng.uniform(0.1, 3, size=40)) if weighted else None
    problem = Problem(X, Y, weight)
    theta = torch.as_tensor(rng.normal(size=3 * (d + 1) + 4 * c))
    return refit_output(MLP((d, 3, c), theta, activation), problem), problem


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "logistic"])
@pytest.mark.parametrize("c", [1, 3])
def test_first_order_decrease_agrees_with_finite_differences(activation, c):
    """Adding h with output weights eps a, a = E^T h / |E^T h|, changes the loss by -eps P |(w, b)| + O(eps^2)."""
    activation = Activation(activation)
    network, problem = trained_start(activation, 2, c, seed=c)
    E = problem.negative_gradient(network)
    for v in random_neurons(problem.X, 5, seed=3):
        h = activation.value(problem.X @ v[:-1] + v[-1])
        moment = (problem.g * h) @ E
        a = moment / moment.norm()

        def loss(eps):
            return float(problem.data_loss(widen(network, 0, v[None, :-1], v[-1:], eps * a[:, None])[0]))  # noqa: B023

        slope = (loss(1e-3) - loss(-1e-3)) / 2e-3  # the loss is quadratic in eps: no truncation error
        predicted = float(polar_value(problem.X, E, problem.g, activation, v[None], "parameter")) * float(v.norm())
        assert slope == pytest.approx(-predicted, rel=1e-7, abs=1e-10)


@pytest.mark.parametrize("block_size", [1, 2, 3, 5])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "logistic"])
@pytest.mark.parametrize(("d", "c"), [(1, 1), (2, 2), (5, 1)])
def test_score_is_the_decrease_of_the_loss_after_a_refit(activation, d, c, block_size):
    network, problem = trained_start(Activation(activation), d, c, seed=block_size)
    H = network.hidden(problem.X)
    block = PolarSearch().search(
        problem.X,
        problem.negative_gradient(network),
        problem.g,
        network.activation,
        block_size=block_size,
        basis=torch.cat([H, torch.ones_like(H[:, :1])], 1),
        live=network.weights[0],
        generator=generator(),
    )
    assert block.W.shape == (len(block.b), d)
    assert 1 <= len(block.b) <= block_size
    wider, _ = widen(network, 0, block.W, block.b, block.W.new_zeros(c, len(block.b)))
    decrease = float(problem.data_loss(network) - problem.data_loss(refit_output(wider, problem)))
    assert block.score > 0
    assert block.score == pytest.approx(decrease, rel=1e-5)  # the search regularises its Gram matrices by 1e-10


@pytest.mark.parametrize("kind", ["silent", "duplicate"])
def test_score_is_right_beside_neurons_that_add_nothing(kind):
    """The span of the basis counts, not its columns: a silent neuron or a copy of another changes no score."""
    rng = np.random.default_rng(0)
    X, Y = torch.as_tensor(rng.normal(size=(40, 2))), torch.as_tensor(rng.normal(size=(40, 1)))
    problem = Problem(X, Y)
    network = refit_output(MLP((2, 2, 1), torch.as_tensor(rng.normal(size=9)), RELU), problem)
    H, one = network.hidden(X), torch.ones_like(X[:, :1])
    useless = torch.zeros_like(one) if kind == "silent" else H[:, :1]
    E = problem.negative_gradient(network)
    blocks = [
        PolarSearch().search(X, E, problem.g, RELU, block_size=3, basis=basis, generator=generator())
        for basis in (torch.cat([H, one], 1), torch.cat([useless, H, one], 1))
    ]
    assert blocks[1].score == pytest.approx(blocks[0].score, rel=1e-8)
    torch.testing.assert_close(blocks[1].W, blocks[0].W)


@pytest.mark.parametrize("d", [1, 3])
def test_a_hat_is_found_as_three_parallel_neurons(d):
    """A residual that is a hat function is explained by one block of three entirely."""
    n = 170
    X = torch.randn(n, d, generator=generator(1), dtype=torch.float64)
    u = torch.randn(d, generator=generator(2), dtype=torch.float64) if d > 1 else torch.ones(1, dtype=torch.float64)
    u /= u.norm()
    p = X @ u
    left, middle, right = (float(p.sort().values[i]) for i in (39, 79, 119))  # quantiles the search looks at
    hat = torch.minimum((p - left) / (middle - left), (right - p) / (right - middle)).clamp_min(0)
    g = torch.full((n,), 1 / n, dtype=torch.float64)
    E = (hat - g @ hat)[:, None]
    block = PolarSearch().search(X, E, g, RELU, block_size=3, live=u[None], generator=generator())
    assert block.score == pytest.approx(0.5 * float(g @ E.square()), rel=1e-8)
    norms = block.W.norm(dim=1)
    torch.testing.assert_close((block.W @ u).abs(), norms)
    torch.testing.assert_close((-block.b / (block.W @ u)).sort().values, p.new_tensor([left, middle, right]))


# properties of the search --------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_ascent_lowers_no_start(activation):
    activation = Activation(activation)
    X, E, g = random_problem(50, 4, 2, seed=0)
    V = random_neurons(X, 200, seed=1)
    before = polar_value(X, E, g, activation, V)
    after = polar_value(X, E, g, activation, ascend(X, E, g, activation, V))
    assert bool((after >= before).all())
    assert bool((after > 1.05 * before).double().mean() > 0.5)


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_value_of_a_relu_neuron_depends_on_its_direction_alone(normalization):
    X, E, g = random_problem(30, 3, 2, seed=5)
    V = random_neurons(X, 50, seed=6)
    values = [polar_value(X, E, g, RELU, size * V, normalization) for size in (1e-6, 1.0, 1e6)]
    torch.testing.assert_close(values[0], values[1], rtol=1e-9, atol=0)
    torch.testing.assert_close(values[2], values[1], rtol=1e-9, atol=0)


def search_twice(first, second, activation, **kwargs):
    search = PolarSearch(max_samples=kwargs.pop("max_samples", None))
    return [
        search.search(*arrays, activation, generator=generator(3), block_size=kwargs.get("block_size", 3))
        for arrays in (first, second)
    ]


@pytest.mark.parametrize("block_size", [1, 3])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("max_samples", [None, 25])
@pytest.mark.parametrize("d", [1, 4])
def test_search_takes_weights_as_repetitions_and_sees_no_order(d, max_samples, activation, block_size):
    X, E, _ = random_problem(30, d, 1, seed=9)
    count = torch.as_tensor(np.random.default_rng(0).integers(1, 4, size=30))
    weighted = X, E, count / count.sum(dtype=torch.float64)
    rows = torch.arange(30).repeat_interleave(count)
    rows = rows[torch.randperm(len(rows), generator=generator())]
    repeated = X[rows], E[rows], torch.full((len(rows),), 1 / len(rows), dtype=X.dtype)
    one, other = search_twice(
        weighted, repeated, Activation(activation), max_samples=max_samples, block_size=block_size
    )
    torch.testing.assert_close(one.W, other.W, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(one.b, other.b, rtol=1e-6, atol=1e-8)
    assert one.score == pytest.approx(other.score, rel=1e-9)


def test_search_is_repeatable():
    data = random_problem(60, 5, 2, seed=4)
    one, other = search_twice(data, data, RELU)
    assert torch.equal(one.W, other.W)
    assert torch.equal(one.b, other.b)
    assert one.score == other.score


def test_drawn_rows_follow_the_weights():
    X, _, _ = random_problem(5, 2, 1, seed=0)
    g = torch.tensor([0.5, 0.25, 0.25, 0.0, 0.0], dtype=X.dtype)
    rows = draw_rows(X, g, 40_000, generator())
    share = torch.bincount(rows, minlength=5) / 40_000
    np.testing.assert_allclose(share, g, atol=0.01)  # four standard deviations


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_search_on_one_sample_finds_nothing(dtype):
    X, E, g = torch.zeros(1, 3, dtype=dtype), torch.zeros(1, 1, dtype=dtype), torch.ones(1, dtype=dtype)
    assert PolarSearch().search(X, E, g, RELU, block_size=3, generator=generator()) is None


def test_support_keeps_kinks_away_from_the_ends():
    X, E, g = random_problem(100, 1, 1, seed=2)
    block = PolarSearch().search(X, E, g, RELU, block_size=3, support=0.2, generator=generator())
    active = ((X @ block.W.T + block.b) > 0).double().mean(0)
    assert bool(((active >= 0.19) & (active <= 0.81)).all())
