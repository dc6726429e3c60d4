"""Merits of layers not yet there: against autograd on extended networks, finite differences, and known norms."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from skgrow.growth import PolarSearch
from skgrow.insertion import NORMS, InsertionPolicy, gradient_norm, sensitivity
from skgrow.networks import MLP, Activation, ConvNet, ResNet, glorot, to_torch
from skgrow.problem import CrossEntropy, Problem, SquaredError
from skgrow.solvers import LevenbergMarquardt
from skgrow.training import Every, History, Monitor, Trained, descend

KINDS = ["mlp", "leaky mlp", "resnet", "cnn"]


def task(kind, loss=None, n=40, seed=0):
    """Return a network of one of the architectures and a weighted problem."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "cnn":
        network, d = ConvNet((1, 6, 5), ((3,), (4, 2)), (6, 3), None, Activation("relu")), 30
    elif kind == "resnet":
        network, d = ResNet((4, 5, 3, 5, 3), None, Activation("tanh")), 4
    else:
        network, d = MLP((4, 6, 5, 3), None, Activation("leaky_relu" if "leaky" in kind else "relu")), 4
    X = torch.randn(n, d, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (n,), generator=generator)
    Y = torch.nn.functional.one_hot(labels, 3).double()
    weight = torch.rand(n, generator=generator, dtype=torch.float64) + 0.5
    problem = Problem(X, Y, weight, loss=CrossEntropy() if loss is None else loss)
    return glorot(network, seed, X), problem


def autograd_gradients(network, problem):
    """Return the gradients of all weight arrays by autograd (on the folded network, here the same weights)."""
    module = to_torch(network)
    F = module(problem.X)
    value = (torch.log_softmax(F, 1) * problem.Y).sum(1).neg() @ problem.g
    value.backward()
    return [p.grad for p in module.parameters() if p.ndim > 1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", NORMS)
def test_merits_are_those_of_the_extended_network(kind, norm):
    network, problem = task(kind)
    found = sensitivity(network, problem, norm)
    present = autograd_gradients(network, problem)
    sizes = [(6, 5), (3, 2), (3, 2), (), ()] if kind == "cnn" else [()] * len(present)
    reference = np.mean([gradient_norm(G, norm, s) for G, s in zip(present, sizes, strict=True)])
    assert math.isclose(found.reference, reference, rel_tol=1e-10)
    for point, merit in enumerate(found.merits):
        deeper, kept = network.insert(point, problem.X)
        new = set(range(deeper.n_parameters)) - set(kept.tolist())
        places = [i for i, (w, _) in enumerate(deeper.slices) if w.start in new]
        gradient = autograd_gradients(deeper, problem)[places[-1]]
        torch.testing.assert_close(found.gradients[point], gradient, rtol=1e-10, atol=1e-13)
        image = [(6, 5), (3, 2), (3, 2)][point] if kind == "cnn" else ()
        assert math.isclose(merit, gradient_norm(gradient, norm, image), rel_tol=1e-10)
        assert math.isclose(found.decreases[point], float(gradient.square().sum()), rel_tol=1e-10)
    assert found.ratios == [merit / found.reference for merit in found.merits]
    assert not found.vanishing


@pytest.mark.parametrize("kind", KINDS)
def test_first_order_decrease_is_that_of_a_small_step(kind):
    network, problem = task(kind)
    found = sensitivity(network, problem)
    for point, G in enumerate(found.gradients):
        deeper, kept = network.insert(point, problem.X)
        new = set(range(deeper.n_parameters)) - set(kept.tolist())
        place = [w for w, _ in deeper.slices if w.start in new][-1]
        step = torch.zeros_like(deeper.theta)
        step[place] = G.reshape(-1)
        t, start = 1e-6, deeper.theta.clone()
        if kind in ("mlp", "cnn"):  # units at zero are on the kink of the new ReLU: held off, as by s'(0) = 0
            bias = next(b for w, b in deeper.slices if w.start in new)
            start[bias] = -1e-4

        def loss(sign, deeper=deeper, start=start, step=step, t=t):
            return float(problem.data_loss(deeper.with_theta(start + sign * t * step)))

        slope = (loss(1) - loss(-1)) / (2 * t)
        assert math.isclose(slope, found.decreases[point], rel_tol=3e-3 if kind in ("mlp", "cnn") else 1e-6)


@pytest.mark.parametrize("shape", [(3, 2), (2, 4, 3, 3)])
def test_norms_of_matrices_and_kernels(shape):
    G = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert math.isclose(gradient_norm(G, "frobenius", (5, 6)), float((G**2).sum()))
    assert math.isclose(gradient_norm(G, "frobenius_scaled", (5, 6)), float((G**2).mean()))
    if len(shape) == 2:
        assert math.isclose(gradient_norm(G, "operator"), float(torch.linalg.matrix_norm(G, 2)) ** 2)
        rows = G.norm(dim=1)
        assert math.isclose(gradient_norm(G, "operator_2"), float((rows**2).sum()))
        assert math.isclose(gradient_norm(G, "operator_1"), float(rows.sum()) ** 2)


def periodic_convolution_matrix(K, height, width):
    """Return the matrix of the periodic convolution by a kernel (out, in, 3, 3), pixel by pixel."""
    out, into = K.shape[:2]
    A = torch.zeros(out, height, width, into, height, width, dtype=K.dtype)
    for i in range(height):
        for j in range(width):
            for a in range(3):
                for b in range(3):
                    A[:, i, j, :, (i + a - 1) % height, (j + b - 1) % width] += K[:, :, a, b]
    return A.reshape(out * height * width, into * height * width)


def test_operator_norms_of_kernels_are_those_of_periodic_convolutions():
    K = torch.randn(2, 3, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    whole = torch.linalg.matrix_norm(periodic_convolution_matrix(K, 5, 4), 2)
    assert math.isclose(gradient_norm(K, "operator", (5, 4)), float(whole) ** 2, rel_tol=1e-10)
    single = [
        float(torch.linalg.matrix_norm(periodic_convolution_matrix(K[k : k + 1].sum(1, keepdim=True), 5, 4), 2))
        for k in range(2)
    ]
    assert math.isclose(gradient_norm(K, "operator_2", (5, 4)), sum(s**2 for s in single), rel_tol=1e-10)
    assert math.isclose(gradient_norm(K, "operator_1", (5, 4)), sum(single) ** 2, rel_tol=1e-10)


def test_merits_vanish_at_a_stationary_point_of_an_mlp_and_not_elsewhere():
    generator = torch.Generator().manual_seed(0)
    X = torch.rand(30, 2, generator=generator, dtype=torch.float64)
    Y = X[:, :1] + X[:, 1:]
    # positive neurons are linear here, so least squares of the output is a stationary point: the residual is zero
    network = MLP.from_arrays(
        [torch.eye(2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)],
        [torch.zeros(2, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)],
        Activation("relu"),
    )
    problem = Problem(X, Y)
    assert sensitivity(network, problem).vanishing
    moved = network.with_theta(network.theta * 1.01)
    assert not sensitivity(moved, problem).vanishing
    noisy = Problem(X, Y + torch.randn(30, 1, generator=generator, dtype=torch.float64))
    start = glorot(MLP((2, 3, 1), None, Activation("tanh")), 0, X)
    end = descend(start, noisy, LevenbergMarquardt(), Every(10**6), max_iter=500, monitor=Monitor()).network
    before, after = sensitivity(start, noisy), sensitivity(end, noisy)
    assert after.merits[0] < 1e-6 * before.merits[0]  # of any stationary point, Remark 4.6


def policy(problem, **settings):
    defaults = {
        "schedule": Every(5),
        "norm": "frobenius",
        "merit_samples": None,
        "tau": 0.0,
        "n_insert": 1,
        "max_layers": 9,
        "selection": "max",
        "generator": torch.Generator().manual_seed(0),
        "search": PolarSearch(),
    }
    return InsertionPolicy(problem=problem, **{**defaults, **settings})


def trained(network, problem, row=0):
    loss = float(problem.data_loss(network))
    return Trained(network, problem, problem, loss, -loss, None, math.nan, None, row)


def first_row(**more):
    return History([{"action": "start", "accepted": True, "parent": None, "train_loss": 1.0, **more}])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("selection", ["max", "min", "random"])
def test_policy_inserts_where_it_says(kind, selection):
    network, problem = task(kind)
    now, history = trained(network, problem), first_row()
    action = policy(problem, selection=selection).act(now, now, history)
    row = history[-1]
    assert action.name == "insert"
    assert action.network.depth == network.depth + 1
    torch.testing.assert_close(action.network(problem.X), network(problem.X), rtol=1e-12, atol=1e-12)
    if selection != "random":
        best = (np.argmax if selection == "max" else np.argmin)(row["merits"])
        assert row["decision"] == f"insert at {best}"
    assert len(row["merits"]) == len(row["merit_ratios"]) == network.n_insertion_points
    assert row["reason"]


@pytest.mark.parametrize("kind", [*KINDS, "tanh mlp"])
@pytest.mark.parametrize("settings", [{}, {"n_insert": 2}, {"widen": True, "action": "both"}])
def test_the_loss_of_an_unchanged_function_is_not_computed_again(kind, settings):
    network, problem = task(kind)
    if kind == "tanh mlp":  # its insertions change the function a little
        network = glorot(MLP((4, 6, 5, 3), None, Activation("tanh")), 0, problem.X)
    passes = []
    problem = replace(problem, meter=lambda network, gradients, n_samples: passes.append(gradients))
    now, history = trained(network, problem), first_row()
    grown = policy(problem, **settings).act(now, now, history).network
    passes.clear()
    value = float(problem.data_loss(grown))
    assert len(passes) == (kind == "tanh mlp")
    assert value == pytest.approx(float(replace(problem).data_loss(grown)), rel=1e-12)


def test_several_layers_at_once_keep_function_and_places():
    for kind in KINDS:
        network, problem = task(kind)
        now, history = trained(network, problem), first_row()
        action = policy(problem, n_insert=3).act(now, now, history)
        points = network.n_insertion_points
        assert action.network.depth == network.depth + min(3, points)
        torch.testing.assert_close(action.network(problem.X), network(problem.X), rtol=1e-11, atol=1e-12)
        assert (action.network.theta[action.kept] == network.theta).all()


def test_threshold_budget_and_patience_refuse_with_reasons():
    network, problem = task("mlp")
    now = trained(network, problem)
    for settings, reason in [
        ({"tau": 1e9}, "below tau = 1e"),
        ({"max_layers": 2}, "max_layers = 2"),
    ]:
        history = first_row()
        action = policy(problem, **settings).act(now, now, history)
        assert action.name == "train"
        assert action.network is network
        assert history[-1]["decision"] == "train on"
        assert reason in history[-1]["reason"]
    other, history = trained(network, problem, row=5), first_row()
    stopped = policy(problem, patience=1)
    assert stopped.act(now, other, history) is None
    assert history[-1]["reason"] == "1 stages without a better criterion"
    history = first_row()
    history[0] |= {"action": "insert", "accepted": False}
    undone = policy(problem)
    assert undone.act(now, now, history).name == "train"
    assert "undone" in history[-1]["reason"]


def test_vanishing_merits_are_refused_with_an_explanation():
    X = torch.rand(20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    network, problem = glorot(MLP((2, 4, 1), None, Activation("relu")), 0, X), None
    problem = Problem(X, network(X))
    now, history = trained(network, problem), first_row()
    policy(problem).act(now, now, history)
    assert "zero up to rounding" in history[-1]["reason"]


def test_merits_on_a_sample_of_rows_are_near():
    network, problem = task("mlp", n=4000)
    whole, part = {}, {}
    policy(problem).measure(network, whole)
    policy(problem, merit_samples=1000).measure(network, part)
    assert part["merits"] != whole["merits"]
    np.testing.assert_allclose(part["merits"], whole["merits"], rtol=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_widening_takes_the_neuron_of_largest_merit_per_parameter(kind):
    network, problem = task(kind, SquaredError())
    now, history = trained(network, problem), first_row()
    action = policy(problem, widen=True, max_layers=network.depth, block_size=2).act(now, now, history)
    wider = action.network
    assert action.name == "widen"
    torch.testing.assert_close(wider(problem.X), network(problem.X), rtol=1e-12, atol=1e-12)
    assert (wider.theta[action.kept] == network.theta).all()
    # (4.20) by autograd: the gradient of the new outgoing weights, against the mean over the columns there are
    leaf = wider.theta.clone().requires_grad_()
    problem.loss.value(wider.with_theta(leaf)(problem.X), problem.Y).backward(problem.g)
    columns = [leaf.grad[wider.slices[j + 1][0]].view(wider.shapes[j + 1]).square().sum(0) for j in wider.hidden_maps]
    grown = [len(column) - network.shapes[i][0] for column, i in zip(columns, network.hidden_maps, strict=True)]
    (layer,) = [layer for layer, more in enumerate(grown) if more]
    assert history[-1]["decision"] == f"widen hidden layer {layer} by {grown[layer]}"
    new = columns[layer][-grown[layer] :]
    columns[layer] = columns[layer][: -grown[layer]]
    said = float(re.fullmatch(r"new neurons have (\S+) times the mean merit", history[-1]["reason"]).group(1))
    assert said == pytest.approx(float(new.mean() / torch.cat(columns).mean()), rel=5e-3)  # three digits


def test_both_widens_and_inserts_at_one_checkpoint():
    network, problem = task("mlp", SquaredError())
    now, history = trained(network, problem), first_row()
    action = policy(problem, widen=True, action="both").act(now, now, history)
    assert history[-1]["decision"].startswith("widen hidden layer")
    assert " and insert at " in history[-1]["decision"]
    assert action.network.depth == network.depth + 1
    torch.testing.assert_close(action.network(problem.X), network(problem.X), rtol=1e-12, atol=1e-12)
    assert len(action.kept) == network.n_parameters
    assert len(set(action.kept.tolist())) == network.n_parameters


def test_errors_name_what_is_wrong():
    X = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="only be inserted if there is a hidden layer"):
        sensitivity(MLP((2, 1), None, Activation("relu")), Problem(X, X[:, :1]))
    with pytest.raises(ValueError, match="norm must be one of"):
        gradient_norm(X, "nuclear")
