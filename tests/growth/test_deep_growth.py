"""Growth inside deep networks: first-order decreases, the head, linearised refits, and the paths that come of them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skgrow import GrowingClassifier, GrowingRegressor
from skgrow.growth import PolarSearch, append_inside, balance, linearised_refit
from skgrow.networks import MLP, Activation, merge, widen
from skgrow.problem import (
    L2,
    CrossEntropy,
    Huber,
    Logistic,
    Poisson,
    Problem,
    Quantile,
    SquaredError,
    head_of,
    joined,
    layer_problem,
)
from skgrow.solvers import refit_output

LOSSES = [SquaredError(), Poisson(), Huber(0.8), Quantile(0.3, 0.1), Logistic(), CrossEntropy()]
SIZES = [(3, 4, 2), (3, 4, 3, 2), (3, 2, 4, 3, 2)]


def targets_for(loss, rng, n, c):
    if isinstance(loss, CrossEntropy):
        return np.eye(c)[rng.integers(0, c, n)]
    if isinstance(loss, Logistic):
        return rng.integers(0, 2, (n, c)).astype(float)
    return rng.poisson(1.5, (n, c)).astype(float) if isinstance(loss, Poisson) else rng.normal(size=(n, c))


def random_case(loss=None, sizes=(3, 4, 3, 2), activation="tanh", *, alpha=0.0, seed=0, n=40):
    loss = SquaredError() if loss is None else loss
    rng = np.random.default_rng(seed)
    p = sum((i + 1) * o for i, o in pairwise(sizes))
    network = MLP(sizes, torch.as_tensor(0.7 * rng.normal(size=p)), Activation(activation))
    X = torch.as_tensor(rng.normal(size=(n, sizes[0])))
    Y = torch.as_tensor(targets_for(loss, rng, n, sizes[-1]))
    weight = torch.as_tensor(rng.uniform(0.2, 2, n))
    return network, Problem(X, Y, weight, loss, L2(alpha))


def new_neurons(network, layer, m=2, seed=0):
    rng = np.random.default_rng(seed)
    W = torch.as_tensor(rng.normal(size=(m, network.layer_sizes[layer])))
    b, A = torch.as_tensor(rng.normal(size=m)), torch.as_tensor(rng.normal(size=(network.layer_sizes[layer + 2], m)))
    return W, b, A


# the layer problem ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_first_order_decrease_of_new_neurons_in_any_layer(loss, sizes, activation):
    """Neurons h with outgoing weights eps A lower the loss by eps <E_k, h A^T> to first order."""
    network, problem = random_case(loss, sizes, activation)
    for layer in range(len(sizes) - 2):
        inputs, E, basis = layer_problem(network, problem, layer)
        assert inputs.shape == (40, sizes[layer])
        assert E.shape == (40, sizes[layer + 2])
        torch.testing.assert_close(basis[:, :-1], network.hidden(problem.X, layer + 1))
        torch.testing.assert_close(basis[:, -1], torch.ones_like(basis[:, -1]))
        W, b, A = new_neurons(network, layer)
        H = network.activation.value(inputs @ W.T + b)
        predicted = float(((E * problem.g[:, None]) * (H @ A.T)).sum())
        step = 1e-6
        ahead, behind = (float(problem.data_loss(widen(network, layer, W, b, s * step * A)[0])) for s in (1, -1))
        assert predicted == pytest.approx((behind - ahead) / (2 * step), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_the_layer_problem_of_the_last_layer_is_that_of_the_head(loss):
    network, problem = random_case(loss)
    head, of_head = head_of(network, problem)
    for ours, theirs in zip(layer_problem(network, problem, 1), layer_problem(head, of_head, 0), strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(layer_problem(network, problem, 1)[1], problem.negative_gradient(network))


def test_at_a_stationary_point_of_the_layer_above_the_gradient_is_orthogonal_to_the_basis():
    network, problem = random_case(activation="relu")
    network = refit_output(network, problem)
    _, E, basis = layer_problem(network, problem, 1)
    torch.testing.assert_close((basis * problem.g[:, None]).T @ E, torch.zeros(4, 2).double(), rtol=0, atol=1e-12)


# the head ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_head_is_the_network_on_the_features_below(loss, sizes):
    network, problem = random_case(loss, sizes)
    head, of_head = head_of(network, problem)
    assert head.layer_sizes == sizes[-3:]
    torch.testing.assert_close(of_head.outputs(head), problem.outputs(network), rtol=1e-13, atol=1e-13)
    assert float(of_head.data_loss(head)) == pytest.approx(float(problem.data_loss(network)), rel=1e-13)
    back = joined(network, head)
    assert back.layer_sizes == network.layer_sizes
    assert torch.equal(back.theta, network.theta)


@given(seed=st.integers(0, 2**16), width=st.integers(0, 5))
def test_another_head_changes_the_network_as_it_changes_the_head(seed, width):
    network, problem = random_case(seed=seed)
    head, of_head = head_of(network, problem)
    rng = np.random.default_rng(seed)
    sizes = (head.layer_sizes[0], width, head.layer_sizes[-1])
    other = MLP(sizes, torch.as_tensor(rng.normal(size=sum((i + 1) * o for i, o in pairwise(sizes)))), head.activation)
    whole = joined(network, other)
    assert whole.layer_sizes == (3, 4, width, 2)
    torch.testing.assert_close(whole(problem.X), other(of_head.X), rtol=1e-12, atol=1e-12)
    assert float(problem.data_loss(whole)) == pytest.approx(float(of_head.data_loss(other)), rel=1e-12)


@pytest.mark.parametrize("offset", [False, True])
def test_an_offset_stays_with_the_head(offset):
    network, problem = random_case()
    if offset:
        problem = replace(problem, offset=torch.full_like(problem.Y, 0.3))
    head, of_head = head_of(network, problem)
    torch.testing.assert_close(of_head.negative_gradient(head), problem.negative_gradient(network))
    torch.testing.assert_close(layer_problem(network, problem, 1)[1], problem.negative_gradient(network))


# linearised refits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("c", [1, 2])
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_in_the_last_layer_the_linearised_refit_is_the_exact_one(c, activation):
    """For the squared error nothing is lost: the decrease is that of a refit, and that which the search scores."""
    network, problem = random_case(sizes=(3, 4, 3, c), activation=activation)
    network = refit_output(network, problem)
    W, b, A = new_neurons(network, 1)
    V, C, decrease = linearised_refit(network, problem, 1, W, b)
    assert V.shape == (c, 2)
    assert C.shape == (4, 2)
    silent, _ = widen(network, 1, W, b, torch.zeros_like(A))
    exact = float(problem.data_loss(network) - problem.data_loss(refit_output(silent, problem)))
    assert decrease == pytest.approx(exact, rel=1e-5)  # a ridge of 1e-8
    grown = append_inside(network, problem, 1, W, b)
    assert float(problem.data_loss(network) - problem.data_loss(grown)) == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_score_of_the_search_is_the_linearised_decrease_in_the_last_layer(activation):
    network, problem = random_case(sizes=(3, 4, 3, 1), activation=activation)
    network = refit_output(network, problem)
    inputs, E, basis = layer_problem(network, problem, 1)
    generator = torch.Generator().manual_seed(0)
    block = PolarSearch().search(
        inputs, E, problem.g, network.activation, block_size=2, basis=basis, generator=generator
    )
    assert linearised_refit(network, problem, 1, block.W, block.b)[2] == pytest.approx(block.score, rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES[:2] + LOSSES[4:], ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_linearised_decrease_is_that_of_its_quadratic_model(loss, layer):
    """The directional derivative along the solution is twice the decrease: the minimum of a parabola."""
    network, problem = random_case(loss, (3, 3, 4, 3, 2), seed=1)
    W, b, _ = new_neurons(network, layer)
    V, C, decrease = linearised_refit(network, problem, layer, W, b)
    assert decrease > 0

    def at(step):
        weights, biases = list(network.weights), list(network.biases)
        weights[layer], biases[layer] = torch.cat([weights[layer], W]), torch.cat([biases[layer], b])
        change = V @ C.T
        weights[layer + 1] = torch.cat([weights[layer + 1] - step * change[:, :-1], step * V], 1)
        biases[layer + 1] = biases[layer + 1] - step * change[:, -1]
        return float(problem.data_loss(MLP.from_arrays(weights, biases, network.activation)))

    assert (at(-1e-5) - at(1e-5)) / 2e-5 == pytest.approx(2 * decrease, rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**16), layer=st.integers(0, 2), alpha=st.sampled_from([0.0, 1.0]))
def test_neurons_added_inside_never_raise_the_objective(loss, activation, seed, layer, alpha):
    network, problem = random_case(loss, (3, 3, 4, 3, 2), activation, alpha=alpha, seed=seed, n=20)
    W, b, _ = new_neurons(network, layer, m=3, seed=seed)
    grown = append_inside(network, problem, layer, W, b)
    assert grown.layer_sizes[layer + 1] == network.layer_sizes[layer + 1] + 3
    # new neurons without outgoing weights still pay for their incoming ones
    incoming = alpha / (2 * problem.total_weight) * float(W.square().sum() + b.square().sum())
    assert float(problem.objective(grown)) <= (float(problem.objective(network)) + incoming) * (1 + 1e-12)
    if alpha == 0:
        assert float(problem.data_loss(grown)) <= float(problem.data_loss(network)) * (1 + 1e-12)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_neurons_of_wide_layers_and_few_samples(activation):
    """More neurons than samples: the new features are in the span of the old ones, and nothing may break."""
    network, problem = random_case(sizes=(3, 15, 15, 2), activation=activation, n=8)
    for layer in (0, 1):
        W, b, _ = new_neurons(network, layer, m=4)
        V, C, decrease = linearised_refit(network, problem, layer, W, b)
        assert torch.isfinite(V).all()
        assert torch.isfinite(C).all()
        assert decrease >= 0
        grown = append_inside(network, problem, layer, W, b)
        assert float(problem.objective(grown)) <= float(problem.objective(network)) * (1 + 1e-12)


def test_the_step_is_not_charged_for_the_incoming_weights():
    """Whatever the penalty on W, outgoing weights that lower the objective are taken: W is paid for in any case."""
    network, problem = random_case(sizes=(3, 4, 3, 1), alpha=1.0)
    for layer in (0, 1):
        W, b, A = new_neurons(network, layer)
        silent, _ = widen(network, layer, 5 * W, b, torch.zeros_like(A))
        grown = append_inside(network, problem, layer, 5 * W, b)
        assert float(problem.objective(grown)) < float(problem.objective(silent))


def test_a_copy_of_a_neuron_promises_nothing():
    network, problem = random_case()
    for layer in (0, 1):
        twin = network.weights[layer][:1], network.biases[layer][:1]
        V, _, decrease = linearised_refit(network, problem, layer, *twin)
        other = new_neurons(network, layer, m=1)[:2]
        assert decrease < 1e-6 * linearised_refit(network, problem, layer, *other)[2]
        grown = append_inside(network, problem, layer, *twin)
        assert float(problem.objective(grown)) <= float(problem.objective(network)) * (1 + 1e-12)
        assert torch.isfinite(V).all()


# balance and merging in depth ----------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@settings(max_examples=20)
@given(seed=st.integers(0, 2**16))
def test_balance_keeps_the_function_of_deep_networks_and_lowers_the_penalty(activation, sizes, seed):
    network, problem = random_case(sizes=sizes, activation=activation, alpha=1.0, seed=seed)
    balanced = balance(network)
    torch.testing.assert_close(balanced(problem.X), network(problem.X), rtol=1e-11, atol=1e-11)
    for step in range(30):
        following = balance(balanced)
        assert float(problem.penalty_of(following)) <= float(problem.penalty_of(balanced)) * (1 + 1e-12), step
        balanced = following


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_neurons_merged_after_an_addition_of_twins_leave_the_function(activation):
    network, problem = random_case(activation=activation)
    twins, _ = widen(network, 0, network.weights[0][:1], network.biases[0][:1], torch.ones(3, 1).double())
    narrower, _ = merge(twins, problem.X)
    assert narrower.layer_sizes[1] <= network.layer_sizes[1]
    torch.testing.assert_close(narrower(problem.X), twins(problem.X), rtol=1e-11, atol=1e-11)


# whole fits ----------------------------------------------------------------------------------------------------


def ridge_data(n=90, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, 2))
    return X, np.sin(3 * np.abs(X[:, 0] + X[:, 1])) + 0.05 * rng.normal(size=n)


DEEP = {
    "hidden_layer_sizes": (2, 2),
    "max_neurons": 14,
    "block_size": 2,
    "max_stage_iter": 25,
    "search": PolarSearch(n_exchanges=0),
    "random_state": 0,
}


def assert_path_is_sound(est, grow_layer):
    depth = len(est.architecture_)
    for row in est.history_:
        assert len(row["architecture"]) == depth
        assert sum(row["architecture"][1:-1]) <= 14
        if row["parent"] is None:
            continue
        before = est.history_[row["parent"]]
        if row["accepted"]:
            assert row["train_loss"] <= before["train_loss"] * (1 + 1e-12)
        if row["action"] == "grow":
            change = [new - old for old, new in zip(before["architecture"], row["architecture"], strict=True)]
            if grow_layer == "last":
                assert max(change[1:-2], default=0) <= 0
            if grow_layer == "best":
                assert sum(difference > 0 for difference in change) <= 1
    grown = [row for row in est.history_ if row["action"] == "grow" and row["accepted"]]
    assert grown


@pytest.mark.parametrize(
    ("grow_layer", "activation", "solver"),
    [  # every pair meets
        ("last", "tanh", "lm"),
        ("last", "relu", "lbfgs"),
        ("all", "tanh", "lbfgs"),
        ("all", "relu", "lm"),
        ("best", "tanh", "lm"),
        ("best", "relu", "lbfgs"),
    ],
)
def test_deep_networks_grow_where_they_may(grow_layer, activation, solver):
    X, y = ridge_data()
    settings = DEEP | {"search": PolarSearch(n_exchanges=1)}
    est = GrowingRegressor(**settings, grow_layer=grow_layer, activation=activation, solver=solver)
    est.fit(X, y)
    assert_path_is_sound(est, grow_layer)
    assert len(est.architecture_) == 4
    assert est.history_[0]["architecture"] == (2, 2, 2, 1)
    assert est.score(X, y) > 0.6


@pytest.mark.parametrize("grow_layer", ["last", "all", "best"])
def test_deep_classifiers_grow_where_they_may(grow_layer):
    X, y = ridge_data()
    est = GrowingClassifier(**DEEP, grow_layer=grow_layer, activation="tanh", early_stopping=True)
    est.fit(X, np.digitize(y, [0.0, 0.7]))
    assert_path_is_sound(est, grow_layer)


@pytest.mark.parametrize(("loss", "grow_layer"), [("huber", "all"), ("quantile", "best"), ("poisson", "all")])
def test_deep_networks_grow_for_other_losses(loss, grow_layer):
    X, y = ridge_data()
    est = GrowingRegressor(**DEEP, grow_layer=grow_layer, activation="tanh", loss=loss, early_stopping=True)
    est.fit(X, np.exp(y))
    assert_path_is_sound(est, grow_layer)


@pytest.mark.parametrize("grow_layer", ["last", "all", "best"])
def test_the_last_hidden_layer_may_start_without_neurons(grow_layer):
    X, y = ridge_data()
    est = GrowingRegressor(**DEEP | {"hidden_layer_sizes": (3, 0)}, grow_layer=grow_layer, activation="tanh")
    est.fit(X, y)
    assert est.history_[0]["architecture"] == (2, 3, 0, 1)
    assert est.architecture_[2] > 0
    assert est.score(X, y) > 0.5


@pytest.mark.parametrize("grow_layer", ["all", "best"])
def test_layers_that_merging_has_emptied_break_nothing(grow_layer):
    """Without structure in the data whole layers become constant and merge away."""
    rng = np.random.default_rng(0)
    for seed in range(2):
        X, y = rng.uniform(size=(20, 5)), rng.integers(0, 4, 20).astype(float)
        est = GrowingRegressor(**DEEP | {"random_state": seed}, grow_layer=grow_layer, solver="lbfgs").fit(X, y)
        assert np.isfinite(est.predict(X)).all()


@pytest.mark.parametrize(
    ("kind", "grow_layer"), [(GrowingRegressor, "all"), (GrowingClassifier, "last"), (GrowingClassifier, "best")]
)
def test_a_network_whose_layers_are_empty_starts_anew(kind, grow_layer):
    """On inputs that are all equal every neuron is a constant and merges away, in inner layers, too."""
    X, y = ridge_data()
    y = np.digitize(y, [0.0, 0.7])
    est = kind(**DEEP, grow_layer=grow_layer, activation="relu", warm_start=True).fit(0 * X, y)
    assert 0 in est.architecture_[1:-2]
    before = est.loss_
    est.partial_fit(X, y).fit(X, y)
    assert min(est.architecture_) > 0
    assert est.loss_ < 0.8 * before


def test_deep_and_shallow_of_one_layer_are_the_same_with_one_hidden_layer():
    X, y = ridge_data(60)
    fits = [
        GrowingRegressor(activation="tanh", grow_layer=grow_layer, max_neurons=6, random_state=0).fit(X, y).predict(X)
        for grow_layer in ("last", "all", "best")
    ]
    np.testing.assert_array_equal(fits[1], fits[0])
    np.testing.assert_array_equal(fits[2], fits[0])
