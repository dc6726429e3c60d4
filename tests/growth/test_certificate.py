"""Global optimality of path-norm penalised networks: certificate, duality gap, solver, growth and path."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar, nnls
from sklearn.exceptions import ConvergenceWarning

from skgrow import growing_path
from skgrow.growth import (
    CertificatePolicy,
    PolarSearch,
    constant_network,
    duality_gap,
    exact_neuron,
    path_norm,
    polar_maximum,
    polar_value,
)
from skgrow.networks import MLP, Activation
from skgrow.problem import L2, PathNorm, Problem, SquaredError
from skgrow.solvers import FullyCorrective
from skgrow.training import Action, History, Monitor, Plateau, fit

RELU = Activation("relu")
PIECEWISE_LINEAR = [RELU, Activation("leaky_relu", 0.1)]
SEARCH = PolarSearch(normalization="parameter")


def generator():
    return torch.Generator().manual_seed(0)


def path_problem(X, y, alpha, weight=None):
    X, y = (torch.as_tensor(a, dtype=torch.float64) for a in (X, y))
    weight = None if weight is None else torch.as_tensor(weight, dtype=torch.float64)
    return Problem(X, y[:, None] if y.ndim == 1 else y, weight, penalty=PathNorm(alpha))


def noisy_waves(n, d, c, seed, alpha=1.0):
    """A problem with ``alpha`` times its largest useful penalty."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    y = np.sin(3 * X @ rng.normal(size=(d, c))) + 0.4 * rng.normal(size=(n, c))
    problem = path_problem(X, y, 1.0)
    return problem.at(alpha * largest_alpha(problem))


def counted(problem):
    """The same problem, and a list with an entry for every evaluation of its objective."""
    evaluations = []

    class Counting(SquaredError):  # noqa: N818 (an error, but no exception)
        def value(self, F, Y):
            evaluations.append(len(F))
            return super().value(F, Y)

    return replace(problem, loss=Counting()), evaluations


def random_network(problem, width, seed, activation=RELU):
    rng = np.random.default_rng(seed)
    sizes = problem.X.shape[1], width, problem.Y.shape[1]
    n_parameters = (sizes[0] + 1) * width + (width + 1) * sizes[2]
    return MLP(sizes, torch.as_tensor(rng.normal(size=n_parameters)), activation)


def largest_alpha(problem, activation=RELU):
    return polar_maximum(problem, constant_network(problem, activation), SEARCH, generator())[0]


def total(problem, network):
    return float(problem.objective(network)) * problem.total_weight


def gap(problem, network):
    return duality_gap(problem, network, polar_maximum(problem, network, SEARCH, generator())[0])


def certify(problem, network=None, activation=RELU, **kwargs):
    history = History()
    trained = fit(
        constant_network(problem, activation) if network is None else network,
        problem,
        FullyCorrective(),
        CertificatePolicy(problem, generator(), **kwargs),
        Plateau(),
        max_iter=50,
        monitor=Monitor(),
        history=history,
    )
    return trained.network, history


def never_rises(history):
    """Beyond rounding."""
    return all(later["criterion"] >= row["criterion"] * (1 + 2e-15) for row, later in pairwise(history))


def dictionary_minimum(problem, V):
    """The minimum over networks whose neurons are rows of V, by an active set method.

    With a small multiple of the squared path norm added, the lasso is non-negative least squares.
    """
    X, y = problem.X.numpy(), problem.Y[:, 0].numpy()
    V = V / np.linalg.norm(V, axis=1, keepdims=True)
    H = np.maximum(X @ V[:, :-1].T + V[:, -1], 0)
    H = np.concatenate([H, -H], 1) - np.concatenate([H, -H], 1).mean(0)
    small = 1e-4
    weights, _ = nnls(np.vstack([H, np.full(H.shape[1], small)]), np.append(y - y.mean(), -problem.alpha / small))
    return 0.5 * ((y - y.mean() - H @ weights) ** 2).sum() + problem.alpha * weights.sum()


def circle(k):
    angle = np.arange(k) * 2 * np.pi / k
    return np.stack([np.cos(angle), np.sin(angle)], 1)


# known answers -------------------------------------------------------------------------------------------------


def test_thirty_samples_of_a_sine():
    x = np.linspace(-1, 1, 30)
    problem = path_problem(x[:, None], np.sin(4 * x), 1.0)
    assert largest_alpha(problem) == pytest.approx(2.793343, abs=5e-7)
    network, history = certify(problem)
    assert network.layer_sizes == (1, 2, 1)
    assert total(problem, network) == pytest.approx(6.383252963, abs=5e-10)
    assert gap(problem, network) < 1e-10
    assert history[-1]["indicator"] == pytest.approx(1, abs=1e-10)
    assert history[-1]["certified"]


@pytest.mark.parametrize("alpha", [0.01, 0.5, 1.4])
def test_two_samples_by_hand(alpha):
    """Targets -1, 1 at -1, 1: the best neuron is (1, 1)/sqrt 2 with output weight sqrt 2 - alpha."""
    problem = path_problem([[-1.0], [1.0]], [-1.0, 1.0], alpha)
    assert largest_alpha(problem) == pytest.approx(math.sqrt(2), rel=1e-14)
    network, _ = certify(problem)
    assert total(problem, network) == pytest.approx(math.sqrt(2) * alpha - alpha**2 / 2, rel=1e-12)
    assert float(path_norm(network)) == pytest.approx(math.sqrt(2) - alpha, rel=1e-12)


@pytest.mark.parametrize("activation", PIECEWISE_LINEAR, ids=str)
@pytest.mark.parametrize("d", [1, 2, 4])
def test_above_the_largest_alpha_the_constant_is_optimal_and_just_below_it_is_not(d, activation):
    problem = noisy_waves(20, d, 1, seed=d)
    largest = largest_alpha(problem, activation)
    for factor, empty in ((1, True), (1.5, True), (0.999, False)):
        task = problem.at(factor * largest)
        network, history = certify(task, activation=activation)
        assert (network.layer_sizes[1] == 0) == empty
        assert history[-1]["duality_gap"] <= 1e-8 * total(task, network)


# the polar problem ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [1, 2])
@pytest.mark.parametrize("activation", PIECEWISE_LINEAR, ids=str)
@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("d", [1, 2])
def test_sweeps_find_the_exact_maximum(d, grid, activation, c):
    """Also where samples repeat, lie on lines and have no residual."""
    for n in (1, 2, 3, 9, 25):
        rng = np.random.default_rng(n)
        X, Y = rng.normal(size=(n, d)), rng.normal(size=(n, c))
        if grid:
            X, Y = (2 * X).round(), Y.round()
        problem = path_problem(X, Y, 1.0, rng.dirichlet(np.ones(n)))
        maximum, w, b, exact = polar_maximum(problem, constant_network(problem, activation), SEARCH, generator())
        E = problem.Y - problem.g @ problem.Y
        reference = torch.cat(exact_neuron(problem.X, E, problem.g, activation, "parameter"))
        V = torch.stack([torch.cat([w, b]), reference])
        values = polar_value(problem.X, E, problem.g, activation, V, "parameter")
        size = float(E.abs().max())
        assert exact
        assert float(values[0]) == pytest.approx(float(values[1]), rel=1e-12, abs=1e-14 * size)
        assert maximum == pytest.approx(float(values[0]) * problem.total_weight, rel=1e-12, abs=1e-14 * size)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 12), d=st.integers(1, 2))
def test_polar_maximum_is_never_beaten_by_random_neurons(seed, n, d):
    rng = np.random.default_rng(seed)
    problem = path_problem(rng.integers(-2, 3, size=(n, d)), rng.normal(size=(n, 2)), 1.0)
    network = random_network(problem, 2, seed)
    maximum, w, b, exact = polar_maximum(problem, network, SEARCH, generator())
    E = problem.negative_gradient(network)
    E -= problem.g @ E
    rivals = torch.as_tensor(rng.normal(size=(500, d + 1)))
    values = polar_value(problem.X, E, problem.g, RELU, torch.cat([rivals, torch.cat([w, b])[None]]), "parameter")
    assert exact
    assert n * float(values[-1]) == pytest.approx(maximum, rel=1e-12, abs=1e-14)
    assert n * float(values.max()) <= maximum * (1 + 1e-12) + 1e-14


def test_with_more_features_or_samples_the_maximum_is_a_lower_bound_and_says_so():
    """A thousand samples in the plane are searched exactly. One of them of weight two is the same as two samples."""
    rng = np.random.default_rng(0)
    X, count = rng.normal(size=(1000, 2)), np.append(2, np.ones(999, dtype=int))
    y = np.sin(3 * X[:, 0]) + 0.4 * rng.normal(size=1000)
    few, many = path_problem(X, y, 1.0, count), path_problem(X.repeat(count, 0), y.repeat(count), 1.0)
    network = random_network(few, 3, seed=1)
    (exact, _, _, yes), (bound, _, _, no) = (polar_maximum(p, network, SEARCH, generator()) for p in (few, many))
    assert (yes, no) == (True, False)
    assert 0.99 * exact < bound <= exact * (1 + 1e-12)  # on four such problems within 2e-7
    _, history = certify(noisy_waves(30, 3, 1, seed=0, alpha=0.5))
    assert not any(history.column("certified"))


# the duality gap -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.02, 0.3])
def test_the_gap_bounds_the_distance_to_the_minimum(alpha):
    """The reference is the minimum over a dense dictionary with all neurons that bend at a sample."""
    problem = noisy_waves(20, 1, 1, seed=3, alpha=alpha)
    x = problem.X.numpy()
    bends = [np.hstack([sign * np.ones_like(x), -sign * x]) for sign in (1, -1)]
    reference = dictionary_minimum(problem, np.concatenate([circle(1_000), *bends]))
    network, _ = certify(problem)
    optimum = total(problem, network)
    assert optimum == pytest.approx(reference, rel=1e-9)
    assert optimum - gap(problem, network) <= reference
    for seed in range(20):
        start = random_network(problem, 1 + seed % 4, seed)
        assert gap(problem, start) >= total(problem, start) - optimum
        state = FullyCorrective().start(start, problem)
        for _ in range(2):
            state.step()
            assert gap(problem, state.network) >= total(problem, state.network) - optimum - 1e-12


def test_in_the_plane_no_dictionary_of_neurons_does_better():
    problem = noisy_waves(15, 2, 1, seed=4, alpha=0.1)
    network, _ = certify(problem)
    rng = np.random.default_rng(0)
    optimum = total(problem, network)
    assert optimum <= dictionary_minimum(problem, rng.normal(size=(3_000, 3))) <= optimum * 1.02


@given(seed=st.integers(0, 10**6), width=st.integers(0, 4), c=st.integers(1, 2))
def test_the_gap_is_not_negative(seed, width, c):
    problem = noisy_waves(8, 1, c, seed, alpha=0.3)
    assert gap(problem, random_network(problem, width, seed)) >= 0


def test_the_gap_needs_no_fitted_output_bias():
    """The residual is centred first: a bound whatever the bias, by half n times its distance squared from the best."""
    problem = noisy_waves(20, 1, 1, seed=0, alpha=0.3)
    network, _ = certify(problem)
    shifted = network.theta.clone()
    shifted[-1] += 0.7
    assert gap(problem, network.with_theta(shifted)) == pytest.approx(0.5 * 20 * 0.7**2, rel=1e-8)


# growth until the gap closes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "d", "activation"), [(20, 1, RELU), (60, 1, PIECEWISE_LINEAR[1]), (15, 2, PIECEWISE_LINEAR[1]), (30, 2, RELU)]
)
def test_growth_ends_at_the_global_minimum(n, d, activation):
    for seed in range(2):
        problem = noisy_waves(n, d, 1, seed)
        largest = largest_alpha(problem, activation)
        for alpha in (0.3, 0.02):
            task = problem.at(alpha * largest)
            network, history = certify(task, activation=activation)
            assert history[-1]["duality_gap"] <= 1e-8 * total(task, network)
            assert never_rises(history)
            assert len(history) < 20
            assert network.layer_sizes[1] <= n


def test_the_minimum_does_not_depend_on_the_start():
    problem = noisy_waves(30, 1, 1, seed=5, alpha=0.05)
    starts = [constant_network(problem, RELU), *(random_network(problem, 5, seed) for seed in range(4))]
    reached = [total(problem, certify(problem, start)[0]) for start in starts]
    np.testing.assert_allclose(reached, reached[0], rtol=1e-8)


@pytest.mark.parametrize("d", [1, 2])
def test_weights_are_repetitions(d):
    problem = noisy_waves(15, d, 1, seed=6, alpha=0.1)
    count = torch.as_tensor(np.random.default_rng(0).integers(1, 4, size=15))
    weighted = path_problem(problem.X, problem.Y, problem.alpha, count)
    repeated = path_problem(problem.X.repeat_interleave(count, 0), problem.Y.repeat_interleave(count, 0), problem.alpha)
    (one, one_history), (other, other_history) = certify(weighted), certify(repeated)
    assert total(weighted, one) == pytest.approx(total(repeated, other), rel=1e-8)
    assert total(weighted, other) == pytest.approx(total(repeated, other), rel=1e-12)
    assert one_history[0]["indicator"] == pytest.approx(other_history[0]["indicator"], rel=1e-12)
    assert one_history[0]["duality_gap"] == pytest.approx(other_history[0]["duality_gap"], rel=1e-9)


def test_the_predicted_decrease_is_that_by_the_best_neuron_alone():
    """With the best output weight and bias, found by a search on the line."""
    problem = noisy_waves(25, 2, 1, seed=7, alpha=0.3)
    start = constant_network(problem, RELU)
    _, history = certify(problem)
    _, w, b, _ = polar_maximum(problem, start, SEARCH, generator())
    h = torch.relu(problem.X @ w + b)

    def with_weight(a):
        bias = problem.g @ (problem.Y[:, 0] - a * h)
        network = MLP.from_arrays([w[None], a * torch.ones(1, 1).double()], [b, bias[None]], RELU)
        return float(problem.objective(network))

    found = minimize_scalar(with_weight, bracket=(-10, 0, 10), options={"xtol": 1e-12})
    assert float(problem.objective(start)) - found.fun == pytest.approx(history[0]["predicted_decrease"], rel=1e-9)


@pytest.mark.parametrize("d", [1, 2])
def test_two_outputs(d):
    problem = noisy_waves(20, d, 2, seed=8, alpha=0.1)
    network, history = certify(problem)
    assert never_rises(history)
    assert history[-1]["duality_gap"] <= 1e-7 * total(problem, network)
    assert 0 < network.layer_sizes[1] <= 40


def test_many_features_lower_the_objective_to_a_small_estimate_of_the_gap():
    problem = noisy_waves(40, 5, 1, seed=9, alpha=0.3)
    network, history = certify(problem)
    assert never_rises(history)
    assert history[-1]["duality_gap"] < 1e-3 * total(problem, network)


def test_the_budget_of_neurons_is_kept():
    network, history = certify(noisy_waves(40, 1, 1, seed=1, alpha=0.01), max_neurons=4)
    assert network.layer_sizes[1] <= 4
    assert history[-1]["duality_gap"] > 0


# the solver ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("d", "c"), [(1, 1), (2, 1), (2, 2), (4, 1)])
def test_no_step_raises_the_objective(d, c):
    for seed in range(5):
        problem = noisy_waves(20, d, c, seed, alpha=0.05)
        start = random_network(problem, 12, seed)
        state = FullyCorrective().start(start, problem)
        values = [float(problem.objective(start))]
        while not state.converged:
            values.append(state.step())
            assert float(problem.objective(state.network)) == pytest.approx(values[-1], rel=1e-12)
        assert all(after <= before * (1 + 1e-14) for before, after in pairwise(values))
        assert len(values) < 10  # each goes to a minimum within patterns: two steps today, and the second finds that
        assert values[-1] < 0.5 * values[0]


def patterns(network, problem):
    """On which side of the neurons' kinks the samples lie: -1, 0 or 1, shape (n, m)."""
    Z = torch.cat([problem.X, torch.ones_like(problem.X[:, :1])], 1)
    V = torch.cat([network.weights[0], network.biases[0][:, None]], 1)
    P, size = Z @ V.T, Z.norm(dim=1, keepdim=True) * V.norm(dim=1)
    return torch.where(P.abs() <= 1e-10 * size, 0.0, P.sign())


def free_moves(network, problem):
    """A basis of the parameters' changes that leave samples on the kinks they lie on, shape (p, k)."""
    Z = torch.cat([problem.X, torch.ones_like(problem.X[:, :1])], 1)
    (w, b), columns = network.slices[0], []
    for j, on in enumerate((patterns(network, problem) == 0).T):
        rows = Z[on] if bool(on.any()) else Z.new_zeros(1, Z.shape[1])
        _, size, V = torch.linalg.svd(rows)
        face = V[int((size > 1e-10 * Z.norm()).sum()) :]
        places = [*range(w.start + j * (Z.shape[1] - 1), w.start + (j + 1) * (Z.shape[1] - 1)), b.start + j]
        moves = Z.new_zeros(len(face), network.n_parameters)
        moves[:, places] = face
        columns.append(moves)
    rest = torch.eye(network.n_parameters, dtype=Z.dtype)[network.slices[1][0].start :]
    return torch.cat([*columns, rest]).T


@pytest.mark.parametrize("c", [1, 2, 3])
def test_the_solver_ends_at_a_minimum_within_the_activation_patterns(c):
    """Gradient and Hessian of the objective by automatic differentiation, along all changes that keep the patterns."""
    problem = noisy_waves(20, 2, c, seed=0, alpha=0.05)
    state = FullyCorrective().start(random_network(problem, 8, 0), problem)
    while not state.converged:
        state.step()
    network = state.network
    assert network.layer_sizes[1] > 2

    def objective(theta):
        return problem.objective(network.with_theta(theta))

    moves, gradient = free_moves(network, problem), torch.func.grad(objective)(network.theta)
    hessian = moves.T @ torch.func.hessian(objective)(network.theta) @ moves
    curvatures = torch.linalg.eigvalsh(hessian)
    start = random_network(problem, 8, 0)
    before = torch.func.grad(lambda theta: problem.objective(start.with_theta(theta)))(start.theta)
    assert float((gradient @ moves).norm()) < 1e-9 * float(before.norm())
    assert float(curvatures[0]) > -1e-9 * float(curvatures[-1])


@pytest.mark.parametrize(("d", "c", "most"), [(1, 1, 70), (2, 1, 80), (2, 2, 95)])
def test_it_is_newtons_method(d, c, most):
    """Few evaluations to the last digit: of such problems 19 to 25, 33 to 55, 53 to 70; with Hessians three times as
    large 105 to 155."""
    for seed in range(5):
        problem, evaluations = counted(noisy_waves(20, d, c, seed, alpha=0.05))
        state = FullyCorrective().start(random_network(problem, 12, seed), problem)
        while not state.converged:
            state.step()
        assert len(evaluations) < most


def test_merging_neurons_that_no_sample_separates_saves_rounds():
    """A neuron found beside a kink takes another one off it: 1427 evaluations for these, without merging 2383."""
    total_evaluations = 0
    for seed in range(3):
        for alpha in (0.3, 0.02, 0.002):
            problem, evaluations = counted(noisy_waves(15, 2, 1, seed, alpha))
            evaluations.clear()
            certify(problem)
            total_evaluations += len(evaluations)
    assert total_evaluations < 1900


def test_two_neurons_between_the_same_samples_become_one_at_once():
    problem = path_problem([[0.0], [1.0], [2.0], [3.0]], [0.0, 0.1, 1.0, 3.0], 0.1)
    W, b = torch.tensor([[1.0], [1.0], [-1.0]]).double(), torch.tensor([-1.2, -1.8, 1.5]).double()
    network = MLP.from_arrays([W, torch.ones(1, 3).double()], [b, torch.zeros(1).double()], RELU)
    state = FullyCorrective().start(network, problem)
    assert state.step() < float(problem.objective(network))
    assert state.network.layer_sizes[1] <= 2
    assert float(path_norm(state.network)) < float(path_norm(network))


@pytest.mark.parametrize(("n", "d"), [(20, 1), (15, 2)])
def test_linearly_dependent_neurons_are_thinned_out(n, d):
    """Without that these networks of 9 to 18 neurons have up to five more."""
    for seed in range(3):
        problem = noisy_waves(n, d, 1, seed, alpha=0.002)
        network, _ = certify(problem)
        H = network.hidden(problem.X)
        features = H - problem.g @ H
        assert int(torch.linalg.matrix_rank(features / features.norm(dim=0), rtol=1e-9)) == network.layer_sizes[1]


def test_what_is_no_lasso_over_neurons_is_refused():
    problem = noisy_waves(10, 1, 1, seed=0)
    network = constant_network(problem, RELU)
    solver = FullyCorrective()
    with pytest.raises(ValueError, match="one hidden layer of 'relu' or 'leaky_relu'"):
        solver.start(constant_network(problem, Activation("tanh")), problem)
    with pytest.raises(ValueError, match="one hidden layer"):
        solver.start(MLP((1, 1, 1, 1), torch.zeros(6).double(), RELU), problem)
    with pytest.raises(ValueError, match=r"PathNorm\(alpha\) with alpha > 0; got L2\(alpha=1\.0\)"):
        solver.start(network, Problem(problem.X, problem.Y, penalty=L2(1.0)))
    with pytest.raises(ValueError, match=r"alpha > 0; got PathNorm\(\)"):
        duality_gap(path_problem(problem.X, problem.Y, 0.0), network, 1.0)
    with pytest.raises(ValueError, match="double precision"):
        solver.start(MLP((1, 0, 1), torch.zeros(1), RELU), problem)
    with pytest.raises(ValueError, match="normalization='parameter'; got 'feature'"):
        polar_maximum(problem, network, PolarSearch(), generator())


def test_the_policy_adds_silent_unit_neurons():
    problem = noisy_waves(20, 2, 1, seed=0, alpha=0.2)
    policy, history = CertificatePolicy(problem, generator()), History([{"accepted": True}])
    network = constant_network(problem, RELU)
    action = policy.act(type("Trained", (), {"network": network})(), None, history)
    assert isinstance(action, Action)
    torch.testing.assert_close(action.network(problem.X), network(problem.X))
    sizes = torch.cat([action.network.weights[0], action.network.biases[0][:, None]], 1).norm(dim=1)
    torch.testing.assert_close(sizes, torch.ones_like(sizes))
    assert history[0]["indicator"] == pytest.approx(5, rel=1e-12)


# the path ------------------------------------------------------------------------------------------------------


def predict(X, network):
    (W, A), (b, c) = network
    return np.maximum(X @ W + b, 0) @ A + c


@pytest.fixture(scope="module")
def waves():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(40, 1))
    return X, np.sin(4 * X[:, 0]) + 0.1 * rng.normal(size=40)


def test_along_the_path_the_norm_rises_and_the_loss_falls(waves):
    X, y = waves
    alphas, networks, gaps = growing_path(X, y, n_alphas=12)
    norms, losses = [], []
    for network in networks:
        (W, A), (b, _) = network
        norms.append(np.sqrt((W**2).sum(0) + b**2) @ np.abs(A[:, 0]))
        losses.append(0.5 * ((y - predict(X, network)[:, 0]) ** 2).sum())
    assert norms[0] == pytest.approx(0, abs=1e-9)
    assert alphas[-1] == pytest.approx(0.01 * alphas[0])
    assert (np.diff(norms) > 0).all()
    assert (np.diff(losses) < 0).all()
    assert (gaps <= 1e-8 * (np.array(losses) + alphas * norms)).all()


def test_path_has_the_layout_of_mlp_regressor_and_descending_alphas(waves):
    X, y = waves
    alphas, networks, gaps = growing_path(X, np.stack([y, -y], 1), alphas=[0.5, 2.0])
    np.testing.assert_array_equal(alphas, [2.0, 0.5])
    assert gaps.shape == (2,)
    for coefs, intercepts in networks:
        width = len(intercepts[0])
        assert [a.shape for a in coefs] == [(1, width), (width, 2)]
        assert intercepts[1].shape == (2,)


def test_path_takes_weights_as_repetitions_and_leaves_out_those_of_zero(waves):
    X, y = waves
    count = np.random.default_rng(1).integers(0, 3, size=40)
    given = {"alphas": [1.0, 0.1]}
    _, weighted, _ = growing_path(X, y, sample_weight=count, **given)
    _, repeated, _ = growing_path(X.repeat(count, 0), y.repeat(count), **given)
    for one, other in zip(weighted, repeated, strict=True):
        np.testing.assert_allclose(predict(X, one), predict(X, other), atol=1e-12)


def test_path_of_a_constant_is_constant():
    _, networks, gaps = growing_path(np.arange(5.0)[:, None], np.full(5, 3.7), n_alphas=3)
    assert [len(intercepts[0]) for _, intercepts in networks] == [0, 0, 0]
    np.testing.assert_allclose(gaps, 0, atol=1e-12)


def test_path_warns_where_neurons_run_out(waves):
    with pytest.warns(ConvergenceWarning, match=r"duality gap at alpha=0\.001 is .*max_neurons"):
        growing_path(*waves, alphas=[1e-3], max_neurons=2)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alphas": [1.0, 0.0]}, "alphas must be a sequence of positive numbers"),
        ({"alphas": [np.nan]}, "Input alphas contains NaN"),
        ({"n_alphas": 0}, "n_alphas == 0, must be >= 1"),
        ({"eps": 0.0}, r"eps == 0\.0, must be > 0"),
        ({"max_neurons": 0}, "max_neurons == 0, must be >= 1"),
        ({"tol": -1.0}, r"tol == -1\.0, must be >= 0"),
        ({"activation": "tanh"}, "activation must be 'relu' or 'leaky_relu'; got 'tanh'"),
        ({"sample_weight": [-1.0] * 40}, "Negative values"),
    ],
)
def test_path_refuses_wrong_parameters(waves, parameters, message):
    with pytest.raises(ValueError, match=message):
        growing_path(*waves, **parameters)
