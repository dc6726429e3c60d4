"""All searches for new neurons keep the same promises; the baselines find what their papers say."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skgrow.growth import Firefly, GradMax, PolarSearch, RandomSearch
from skgrow.networks import MLP, Activation
from skgrow.problem import Operator, Problem
from skgrow.solvers import refit_output

RELU = Activation("relu")
SEARCHES = {"polar": PolarSearch, "random": RandomSearch, "gradmax": GradMax, "firefly": Firefly}
ALL = pytest.mark.parametrize("name", SEARCHES)
BASELINES = pytest.mark.parametrize("name", ["random", "gradmax", "firefly"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_problem(n, d, c, seed):
    rng = np.random.default_rng(seed)
    X, E, g = rng.normal(size=(n, d)), rng.normal(size=(n, c)), rng.uniform(0.2, 1.8, size=n)
    g /= g.sum()
    E -= g @ E  # as after a refit of the output bias
    return torch.as_tensor(X), torch.as_tensor(E), torch.as_tensor(g)


def decrease(E, g, features, basis):
    """Decrease of half the squared error by the features, beyond that by the basis, with two least-squares fits."""
    root = np.sqrt(g.numpy())[:, None]

    def left(B):
        B, target = B.numpy() * root, E.numpy() * root
        return 0.5 * np.sum((target - B @ np.linalg.lstsq(B, target, rcond=1e-12)[0]) ** 2)

    return left(basis) - left(torch.cat([basis, features], 1))


def without(basis, E, g):
    """What a least-squares fit by the basis leaves of E."""
    root = g.sqrt()[:, None]
    return E - basis @ torch.linalg.lstsq(basis * root, E * root).solution


@ALL
@pytest.mark.parametrize("block_size", [1, 3, 4])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "logistic"])
@pytest.mark.parametrize(("d", "c"), [(1, 1), (2, 2), (5, 1)])
def test_score_is_the_decrease_after_a_refit(name, activation, d, c, block_size):
    rng = np.random.default_rng(block_size)
    X, Y = torch.as_tensor(rng.normal(size=(40, d))), torch.as_tensor(rng.normal(size=(40, c)))
    problem = Problem(X, Y, torch.as_tensor(rng.uniform(0.1, 3, size=40)))
    activation = Activation(activation)
    network = refit_output(MLP((d, 3, c), torch.as_tensor(rng.normal(size=3 * (d + 1) + 4 * c)), activation), problem)
    E, H = problem.negative_gradient(network), network.hidden(X)
    basis = torch.cat([H, torch.ones_like(H[:, :1])], 1)
    block = SEARCHES[name]().search(
        X,
        E,
        problem.g,
        activation,
        block_size=block_size,
        basis=basis,
        live=network.weights[0],
        generator=generator(),
    )
    assert block.W.shape == (len(block.b), d)
    assert 1 <= len(block.b) <= block_size
    found = decrease(E, problem.g, activation.value(X @ block.W.T + block.b), basis)
    assert block.score == pytest.approx(found, rel=1e-5)


@ALL
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_score_under_an_operator_is_the_decrease_of_its_residual(name, activation):
    """Here: the value and the slope in the first variable, two rows per sample."""

    def rule(f, x):
        along = torch.eye(2, dtype=x.dtype)[0].expand_as(x)
        return torch.cat([f(x), torch.func.jvp(f, (x,), (along,))[1]])

    shift, scale = torch.tensor([0.3, -0.1]), torch.tensor([2.0, 0.5])
    X, E, g = random_problem(30, 2, 1, seed=0)
    _, slope, _ = random_problem(30, 2, 1, seed=1)
    E, g = torch.cat([E, slope]), torch.cat([g, 3 * g]) / 4
    operator = Operator(rule, 2, shift, scale)
    basis = torch.cat([torch.ones(30, 1), torch.zeros(30, 1)]).to(X)
    activation = Activation(activation)
    block = SEARCHES[name]().search(
        X, E, g, activation, block_size=3, basis=basis, generator=generator(), operator=operator
    )
    features = operator(lambda x: activation.value(x @ block.W.T + block.b), X)
    assert block.score > 0
    assert block.score == pytest.approx(decrease(E, g, features, basis), rel=1e-5)


@ALL
@pytest.mark.parametrize("d", [1, 2, 6])
def test_nothing_is_found_if_and_only_if_there_is_no_residual(name, d):
    X, E, g = random_problem(30, d, 1, seed=d)
    search = SEARCHES[name]()
    assert search.search(X, 0 * E, g, RELU, block_size=3, generator=generator()) is None
    scores = [search.search(X, s * E, g, RELU, block_size=3, generator=generator()).score for s in (1e-9, 1.0, 1e9)]
    assert 0.001 < scores[1] / (0.5 * float(g @ E.square().sum(1))) <= 1
    np.testing.assert_allclose(scores, scores[1] * np.array([1e-18, 1.0, 1e18]), rtol=1e-6)


@ALL
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_sample_leaves_nothing_to_find(name, dtype):
    X, E, g = torch.zeros(1, 3, dtype=dtype), torch.zeros(1, 1, dtype=dtype), torch.ones(1, dtype=dtype)
    assert SEARCHES[name]().search(X, E, g, RELU, block_size=3, generator=generator()) is None


@ALL
def test_constant_inputs_and_float32_are_no_trouble(name):
    X, E, g = (a.float() for a in random_problem(30, 3, 2, seed=2))
    X[:, 1] = 7
    block = SEARCHES[name]().search(X, E, g, Activation("tanh"), block_size=2, generator=generator())
    assert block.W.dtype == torch.float32
    assert bool(torch.isfinite(block.W).all())
    assert block.score > 0


@ALL
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_searches_are_repeatable(name, activation):
    X, E, g = random_problem(60, 5, 2, seed=4)
    one, other = (
        SEARCHES[name]().search(X, E, g, Activation(activation), block_size=3, generator=generator(3)) for _ in range(2)
    )
    assert torch.equal(one.W, other.W)
    assert torch.equal(one.b, other.b)
    assert one.score == other.score


@ALL
@pytest.mark.parametrize("block_size", [1, 3])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("max_samples", [None, 25])
@pytest.mark.parametrize("d", [1, 4])
def test_weights_are_repetitions_and_there_is_no_order(name, d, max_samples, activation, block_size):
    X, E, _ = random_problem(30, d, 1, seed=9)
    count = torch.as_tensor(np.random.default_rng(0).integers(1, 4, size=30))
    rows = torch.arange(30).repeat_interleave(count)
    rows = rows[torch.randperm(len(rows), generator=generator())]
    search = SEARCHES[name](max_samples=max_samples)
    one, other = (
        search.search(*arrays, Activation(activation), block_size=block_size, generator=generator(3))
        for arrays in (
            (X, E, count / count.sum(dtype=torch.float64)),
            (X[rows], E[rows], torch.full((len(rows),), 1 / len(rows), dtype=X.dtype)),
        )
    )
    torch.testing.assert_close(one.W, other.W, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(one.b, other.b, rtol=1e-6, atol=1e-8)
    assert one.score == pytest.approx(other.score, rel=1e-9)


@pytest.mark.parametrize("search", [RandomSearch(n_candidates=0), Firefly(n_candidates=-1), Firefly(n_steps=0)])
def test_parameters_that_are_not_allowed_are_named(search):
    X, E, g = random_problem(10, 2, 1, seed=0)
    with pytest.raises(ValueError, match=r"n_\w+ must be at least 1; got (0|-1)"):
        clone(search).search(X, E, g, RELU, block_size=1, generator=generator())


# what they find ------------------------------------------------------------------------------------------------


@BASELINES
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("d", [2, 8])
def test_the_best_neuron_of_the_polar_search_is_no_worse_on_average(name, d, activation):
    """Of a ridge function, once the linear part is learned."""
    scores = []
    for seed in range(5):
        X, _, g = random_problem(200, d, 1, seed=seed)
        u = torch.randn(d, generator=generator(seed), dtype=torch.float64)
        linear = torch.cat([X, torch.ones_like(X[:, :1])], 1)
        E = without(linear, torch.sin(2 * X @ u / u.norm())[:, None], g)
        scores.append(
            [
                s.search(X, E, g, Activation(activation), block_size=1, basis=linear, generator=generator(seed)).score
                for s in (PolarSearch(), SEARCHES[name]())
            ]
        )
    polar, other = np.mean(scores, axis=0)
    assert polar >= other


@pytest.mark.parametrize("c", [1, 3])
def test_gradmax_starts_with_the_largest_gradient_of_linear_neurons(c):
    """Its first k neurons have the largest gradient norm of all k orthonormal incoming weights."""
    X, E, g = random_problem(50, 4, c, seed=c)
    Z = torch.cat([X, torch.ones_like(X[:, :1])], 1)
    block = GradMax().search(X, E, g, Activation("identity"), block_size=1, generator=generator())
    first = torch.cat([block.W, block.b[:, None]], 1)
    M = (E * g[:, None]).T @ Z

    def gradient(V):
        return torch.linalg.vector_norm(M @ (V / V.norm(dim=1, keepdim=True)).T, dim=0)

    rivals = torch.randn(20_000, 5, generator=generator(1), dtype=torch.float64)
    assert float(gradient(first)) >= float(gradient(rivals).max())
    assert float(gradient(first)) == pytest.approx(float(torch.linalg.matrix_norm(M, 2)), rel=1e-12)


def test_gradmax_explains_linear_residuals_of_white_inputs_by_pairs_of_relus():
    X, _, g = random_problem(50, 4, 1, seed=0)
    X = X - g @ X
    X = torch.linalg.qr(X * g.sqrt()[:, None]).Q / g.sqrt()[:, None]
    E = X @ torch.tensor([[1.0, 0.0], [2.0, 1.0], [0.0, -1.0], [0.5, 3.0]], dtype=X.dtype)
    E = E - g @ E
    block = GradMax().search(X, E, g, RELU, block_size=4, generator=generator())
    V = torch.cat([block.W, block.b[:, None]], 1)
    assert int(torch.linalg.matrix_rank(V)) == 2
    torch.testing.assert_close(V.sum(0), torch.zeros(5, dtype=V.dtype), atol=1e-12, rtol=0)
    assert block.score == pytest.approx(0.5 * float(g @ E.square().sum(1)), rel=1e-6)


def test_gradmax_falls_back_on_random_directions_where_linear_functions_see_nothing():
    """Its structural cap: of a residual orthogonal to them the singular vectors say nothing."""
    X, E, g = random_problem(50, 3, 1, seed=0)
    E = without(torch.cat([X, torch.ones_like(X[:, :1])], 1), E, g)
    blocks = [GradMax().search(X, E, g, RELU, block_size=3, generator=generator(seed)) for seed in range(2)]
    assert all(len(block.b) == 3 and block.score > 0 for block in blocks)
    assert float((blocks[0].W - blocks[1].W).abs().max()) > 0.1


@pytest.mark.parametrize("more", [{"n_candidates": 2000}, {"n_candidates": 2000, "n_steps": 50}])
def test_more_effort_finds_more_on_average(more):
    problems = [random_problem(80, 5, 1, seed=seed) for seed in range(6)]
    kind = Firefly if "n_steps" in more else RandomSearch

    def score(search):
        return np.mean([search.search(*p, RELU, block_size=1, generator=generator(1)).score for p in problems])

    assert score(kind(**more)) > score(kind(n_candidates=20)) > 0


def test_support_keeps_thresholds_away_from_the_ends():
    X, E, g = random_problem(100, 1, 1, seed=2)
    block = RandomSearch().search(X, E, g, RELU, block_size=3, support=0.2, generator=generator())
    active = g @ ((X @ block.W.T + block.b) > 0).double()
    assert bool(((active >= 0.17) & (active <= 0.83)).all())
