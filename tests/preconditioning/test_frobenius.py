"""The preconditioner against dense linear algebra, identities of the theory, and PyTorch models."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from skgrow.networks import MLP, Activation, ConvNet, ResNet, glorot, to_torch, widen
from skgrow.preconditioning import (
    Covariance,
    Euclidean,
    Fixed,
    FrobeniusPreconditioner,
    SecondMoment,
    Sobolev,
    emsa,
    kfac,
    second_moment,
    sobolev,
)
from skgrow.preconditioning._state import _tangent
from skgrow.problem import CrossEntropy, Logistic, Problem, SquaredError
from skgrow.solvers import Adam, StochasticGradient
from skgrow.training import Every, Monitor, descend


def task(kind="mlp", loss="cross_entropy", n=25, seed=0, activation="tanh"):
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        "mlp": (MLP((4, 5, 3, 3), None, Activation(activation)), 4),
        "resnet": (ResNet((4, 5, 4, 3), None, Activation(activation)), 4),
        "cnn": (ConvNet((2, 4, 4), ((3,),), (3,), None, Activation("tanh")), 32),
    }
    network, d = shapes[kind]
    X = torch.randn(n, d, generator=generator, dtype=torch.float64)
    if loss == "cross_entropy":
        Y = torch.nn.functional.one_hot(torch.randint(3, (n,), generator=generator), 3).double()
        return glorot(network, seed, X), Problem(X, Y, loss=CrossEntropy())
    return glorot(network, seed, X), Problem(X, torch.randn(n, 3, generator=generator, dtype=torch.float64))


def started(settings, network, seed=0):
    return settings.start(network, torch.Generator().manual_seed(seed))


def second(rows):
    return rows.T @ rows / len(rows)


BATCH = {"window": "batch"}


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_it_is_the_inverse_of_a_kronecker_product(loss):
    network, problem = task(loss=loss)
    settings = FrobeniusPreconditioner(
        input=SecondMoment(**BATCH), output=SecondMoment(**BATCH), damping=0.1, fisher="empirical"
    )
    state = started(settings, network)
    _, found = state.step(network, problem)
    _, gradient = problem.value_and_gradient(network)
    layers = network.forward_pass(problem.X)
    E = problem.loss.negative_gradient(layers.output, problem.Y)
    for (w, b), x, d in zip(network.slices, layers.inputs, network.backward_pass(layers, -E), strict=True):
        inputs = torch.cat([x, x.new_ones(len(x), 1)], 1)
        A, B = (second(rows) + 0.1 * torch.eye(rows.shape[1], dtype=torch.float64) for rows in (inputs, d))
        G = torch.cat([gradient[w].view(d.shape[1], -1), gradient[b][:, None]], 1)
        dense = torch.linalg.solve(torch.kron(B, A), G.reshape(-1)).view_as(G)
        torch.testing.assert_close(found[w].view(d.shape[1], -1), dense[:, :-1], rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(found[b], dense[:, -1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kind", ["mlp", "resnet", "cnn"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
def test_exact_moments_are_kfacs(kind, loss):
    """Per-sample Jacobians by autograd, the Hessian of the loss in the outputs: the factors of Martens and Grosse."""
    network, problem = task(kind, loss, n=6)
    settings = FrobeniusPreconditioner(input=SecondMoment(), output=SecondMoment(), fisher="exact")
    state = started(settings, network)
    state.step(network, problem)
    layers = network.forward_pass(problem.X)
    n, c = layers.output.shape
    P = torch.softmax(layers.output, 1)
    for i, (layer, shape) in enumerate(zip(state.layers, network.shapes, strict=True)):
        A, B = 0.0, 0.0
        for j in range(n):
            one = problem.X[j : j + 1]
            pass_j = network.forward_pass(one)
            seeds = torch.eye(c, dtype=torch.float64)[:, None]
            D = network.backward_pass(pass_j, seeds)[i][:, 0].reshape(c, shape[0], -1)  # (c, out, pixels)
            H = torch.diag(P[j]) - torch.outer(P[j], P[j]) if loss == "cross_entropy" else torch.eye(c).double()
            x = pass_j.inputs[i]
            rows = nn.functional.unfold(x, 3, padding=1)[0].T if x.ndim == 4 else x
            if layer.homogeneous:
                rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1)
            A = A + rows.T @ rows / n
            B = B + torch.einsum("kop,kl,lqp->oq", D, H, D) / (n * D.shape[2])
        torch.testing.assert_close(layer.input.moment_, A, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(layer.output.moment_, B, rtol=1e-9, atol=1e-11)


def test_drawn_moments_converge_to_the_exact_ones():
    for loss in (CrossEntropy(), SquaredError()):
        network, problem = task()
        copies = 20  # as many draws a step
        problem = replace(problem, X=problem.X.repeat(copies, 1), Y=problem.Y.repeat(copies, 1), loss=loss)
        moments = {}
        for fisher, steps in (("exact", 1), ("mc", 100)):
            inner = SecondMoment(window="all")
            state = started(FrobeniusPreconditioner(input=inner, output=inner, fisher=fisher), network)
            for _ in range(steps):
                state.step(network, problem)
            moments[fisher] = [layer.output.moment_ for layer in state.layers]
        for drawn, exact in zip(moments["mc"], moments["exact"], strict=True):
            assert (drawn - exact).norm() < 0.05 * exact.norm()


def test_gradient_of_the_inner_product_represents_the_derivative():
    """(g, D) = tr(R_X^-1 g^T R_Y D) is the derivative of the loss in every direction D."""
    _, problem = task()
    rng = np.random.default_rng(0)

    def spd(size):
        M = rng.normal(size=(size, size))
        return M @ M.T + np.eye(size)

    single = MLP((4, 3), None, Activation("tanh"))
    single = glorot(single, 0, problem.X)
    RX, RY = spd(4), spd(3)
    state = started(FrobeniusPreconditioner(input=Fixed(RX), output=Fixed(RY)), single)
    _, g = state.step(single, problem)
    W, b = g[:12].view(3, 4).numpy(), g[12:].numpy()
    _, gradient = problem.value_and_gradient(single)
    for _ in range(5):
        D, delta = rng.normal(size=(3, 4)), rng.normal(size=3)
        inner = np.trace(np.linalg.inv(RX) @ W.T @ RY @ D) + b @ RY @ delta
        step = torch.as_tensor(np.concatenate([D.ravel(), delta]))
        assert inner == pytest.approx(float(gradient @ step), rel=1e-9)
        t = 1e-6
        slope = float(
            problem.objective(single.with_theta(single.theta + t * step))
            - problem.objective(single.with_theta(single.theta - t * step))
        ) / (2 * t)
        assert inner == pytest.approx(slope, rel=1e-5)


def test_a_step_does_not_see_linear_coordinates():
    """With second moments and vanishing damping a step is the same function in any linear coordinates of the inputs."""
    network, problem = task(n=60)
    generator = torch.Generator().manual_seed(5)
    T = torch.randn(4, 4, generator=generator, dtype=torch.float64) + 2 * torch.eye(4)
    shift = torch.randn(4, generator=generator, dtype=torch.float64)
    moved = Problem(problem.X @ T.T + shift, problem.Y, loss=problem.loss)
    inverse = torch.linalg.inv(T)
    weights, biases = list(network.weights), list(network.biases)
    weights[0] = weights[0] @ inverse
    biases[0] = biases[0] - weights[0] @ shift
    twin = network.with_arrays(weights, biases)
    torch.testing.assert_close(twin(moved.X), network(problem.X))
    outputs = []
    for net, prob in ((network, problem), (twin, moved)):
        settings = FrobeniusPreconditioner(
            input=SecondMoment(**BATCH), output=SecondMoment(**BATCH), damping=1e-12, fisher="exact"
        )
        # the last hidden outputs' moments have full rank where the layers do not widen
        _, direction = started(settings, net).step(net, prob)
        first = torch.zeros_like(direction)
        first[: net.slices[0][1].stop] = direction[: net.slices[0][1].stop]
        outputs.append(net.with_theta(net.theta - 1e-3 * first / 1)(prob.X) - net(prob.X))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-3, atol=1e-3 * float(outputs[0].abs().max()))
    plain = []
    for net, prob in ((network, problem), (twin, moved)):
        _, gradient = prob.value_and_gradient(net)
        plain.append(net.with_theta(net.theta - 1e-3 * gradient)(prob.X) - net(prob.X))
    assert (plain[0] - plain[1]).norm() > 0.1 * plain[0].norm()


def test_centred_covariances_see_the_bias_at_the_mean():
    """y = W (x - m) + c: without damping of the weights the step is that of the homogeneous second moment."""
    _, problem = task()
    shifted = Problem(problem.X + torch.tensor([3.0, -2.0, 1.0, 0.5]).double(), problem.Y, loss=problem.loss)
    network = glorot(MLP((4, 3), None, Activation("tanh")), 0, shifted.X)
    steps = []
    for inner in (Covariance(**BATCH), SecondMoment(**BATCH)):
        settings = FrobeniusPreconditioner(input=inner, output="euclidean", damping=1e-12)
        steps.append(started(settings, network).step(network, shifted)[1])
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-5, atol=1e-8)


def test_tangents_are_those_of_the_outputs():
    for kind in ("mlp", "resnet", "cnn"):
        network, problem = task(kind)
        direction = torch.randn(network.n_parameters, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        found = _tangent(network, network.forward_pass(problem.X), problem.X, direction)
        t = 1e-6
        ends = [network.with_theta(network.theta + sign * t * direction)(problem.X) for sign in (1, -1)]
        torch.testing.assert_close(found, (ends[0] - ends[1]) / (2 * t), rtol=1e-6, atol=1e-7)


def test_pi_splits_the_damping():
    network, problem = task()
    state = started(
        FrobeniusPreconditioner(input="second_moment", output="second_moment", damping=0.04, split="pi"), network
    )
    state.step(network, problem)
    for layer in state.layers:
        a, b = layer.input, layer.output
        assert a.damping_ * b.damping_ == pytest.approx(0.04)
        assert a.damping_ / b.damping_ == pytest.approx(a.mean_variance() / b.mean_variance())


def test_rescaled_steps_minimise_the_quadratic_model():
    network, problem = task("mlp", "squared_error")
    settings = FrobeniusPreconditioner(
        input="second_moment", output="second_moment", damping=0.1, rescale=True, fisher="exact"
    )
    state = started(settings, network)
    _, minus = state.step(network, problem)
    _, gradient = problem.value_and_gradient(network)
    gram = problem.gauss_newton(network)[2] + 0.1 * torch.eye(network.n_parameters, dtype=torch.float64)
    delta = -minus
    assert float(delta @ gradient + delta @ gram @ delta) == pytest.approx(0, abs=1e-10 * float(gradient @ gradient))
    momentum = settings.set_params(exact_momentum=True)
    state = started(momentum, network)
    _, first = state.step(network, problem)
    moved = network.with_theta(network.theta - first)
    _, minus = state.step(moved, problem)
    _, gradient = problem.value_and_gradient(moved)
    gram = problem.gauss_newton(moved)[2] + 0.1 * torch.eye(network.n_parameters, dtype=torch.float64)
    residual = gradient - gram @ minus
    assert abs(float(residual @ first)) < 1e-9  # stationary along the step before as well


def test_damping_adapts_to_the_reduction_ratio():
    network, problem = task("mlp", "squared_error")
    for start, falls in ((1e3, True), (1e-8, None)):
        state = started(kfac(damping=start), network)
        net = network
        for _ in range(10):
            _, minus = state.step(net, problem)
            net = net.with_theta(net.theta - minus)
        assert (state.factor < 1) is falls if falls is not None else state.factor != 1
    state._adapt(0.1)
    up = state.factor
    state._adapt(0.5)
    assert state.factor == up
    state._adapt(0.9)
    assert state.factor < up


def test_extended_msa_solves_the_sylvester_equation():
    network, problem = task("mlp", "squared_error")
    state = started(emsa().set_params(damping=1e-9, fisher="empirical"), network)
    objective, minus = state.step(network, problem)
    _, gradient = problem.value_and_gradient(network)
    rho = state.rho
    for layer, (w, b) in zip(state.layers, network.slices, strict=True):
        out = b.stop - b.start
        D = torch.cat([minus[w].view(out, -1), minus[b][:, None]], 1)
        G = torch.cat([gradient[w].view(out, -1), gradient[b][:, None]], 1)
        A, B = layer.input.covariance(), layer.output.covariance()
        torch.testing.assert_close(rho * (D @ A + B @ D), G, rtol=1e-5, atol=1e-7)
    assert problem.objective(network.with_theta(network.theta - minus)) <= objective


@pytest.mark.parametrize("preset", [FrobeniusPreconditioner, second_moment, kfac, emsa, sobolev])
@pytest.mark.parametrize("kind", ["mlp", "resnet", "cnn"])
def test_every_preset_lowers_the_loss(preset, kind):
    network, problem = task(kind, n=100)
    generator = torch.Generator().manual_seed(0)
    solver = StochasticGradient(0.01, momentum=0.0, batch_size=50, preconditioner=preset())
    solver = solver.seeded(generator)
    end = descend(network, problem, solver, Every(10**6), max_iter=15, monitor=Monitor()).network
    assert problem.objective(end) < 0.99 * problem.objective(network)


def test_kfac_needs_fewer_steps_than_gradient_descent():
    X = torch.randn(300, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = (X[:, 0] * X[:, 1] > 0).long() + (X[:, 2] > 0.5).long()
    problem = Problem(X, nn.functional.one_hot(labels, 3).double(), loss=CrossEntropy())
    network = glorot(MLP((4, 10, 10, 10, 3), None, Activation("logistic")), 0, X)
    losses = []
    for preconditioner in (None, kfac(damping=0.1)):
        solver = StochasticGradient(0.3, batch_size=100, preconditioner=preconditioner)
        solver = solver.seeded(torch.Generator().manual_seed(0))
        end = descend(network, problem, solver, Every(10**6), max_iter=60, monitor=Monitor()).network
        losses.append(float(problem.objective(end)))
    assert losses[1] < 0.5 * losses[0]


def test_state_survives_widening_and_insertion():
    network, problem = task("mlp", "squared_error", n=50)
    generator = torch.Generator().manual_seed(0)
    settings = FrobeniusPreconditioner(input="second_moment", output="covariance", damping=0.1)
    solver = Adam(0.01, batch_size=25, preconditioner=settings).seeded(generator)
    state = descend(network, problem, solver, Every(10**6), max_iter=3, monitor=Monitor())
    old = state.preconditioner.layers
    zero = torch.zeros(3, 2, dtype=torch.float64)
    wider, kept = widen(state.network, 0, torch.randn(2, 4, dtype=torch.float64), zero[0], zero)
    grown = solver.start(wider, problem, state, kept)
    new = grown.preconditioner.layers
    assert new[1].input.size_ == 8
    order = [*range(5), 7]  # the constant stays last
    torch.testing.assert_close(new[1].input.moment_[order][:, order], old[1].input.moment_)
    assert old[1].input.size_ == 6  # the old run can go on
    assert new[0].output.size_ == 7
    assert grown.preconditioner.steps == state.preconditioner.steps
    assert math.isfinite(grown.step())
    deeper, kept = wider.insert(0, problem.X)
    inserted = solver.start(deeper, problem, grown, kept)
    first = inserted.preconditioner.layers[0].output
    assert torch.equal(first.moment_, grown.preconditioner.layers[0].output.moment_)
    assert inserted.preconditioner.layers[1].input.updates_ == 0
    moved = inserted.preconditioner.layers[2].input
    assert torch.equal(moved.moment_, grown.preconditioner.layers[1].input.moment_)
    assert math.isfinite(inserted.step())


def test_first_steps_and_those_after_growth_see_moments_of_their_own():
    """Inverses lag behind moments later on; a new layer must not be divided by undamped moments until they are due."""
    network, problem = task("mlp", "squared_error", n=50)
    moment = SecondMoment(window="batch")
    settings = FrobeniusPreconditioner(moment, moment, damping=0.1, fisher="empirical", inverse_every=10)
    state = started(settings, network)
    fresh = []
    for _ in range(12):
        _, found = state.step(network, problem)
        _, expected = started(settings, network).step(network, problem)
        fresh.append(torch.allclose(found, expected, rtol=1e-9))
        network = network.with_theta(network.theta - 0.1 * found)
    assert fresh == [step < 3 or step == 10 for step in range(12)]
    on = settings.start(network, torch.Generator(), state, torch.arange(network.n_parameters))
    assert not settings.inverts(on.steps, on.since_start)  # the same network goes on as if nothing had happened
    deeper, kept = network.insert(0, problem.X)
    grown = settings.start(deeper, torch.Generator().manual_seed(0), state, kept)
    grown.step(deeper, problem)
    assert [(layer.input.damping_, layer.output.damping_) for layer in grown.layers] == [(0.1, 0.1)] * 4


def test_predefined_inner_products_stand_at_the_ends():
    network, _ = task()
    state = started(FrobeniusPreconditioner(input=Sobolev(), output=Sobolev()), network)
    kinds = [(type(layer.input), type(layer.output)) for layer in state.layers]
    assert kinds == [(Sobolev, Euclidean), (Euclidean, Euclidean), (Euclidean, Sobolev)]


def test_reports_have_norms_and_spectra():
    network, problem = task()
    state = started(FrobeniusPreconditioner(damping=0.5), network)
    state.step(network, problem)
    found = state.report(network, problem)
    _, gradient = problem.value_and_gradient(network)
    total = math.sqrt(sum(norm**2 for norm in found["gradient_norms"]))
    assert total == pytest.approx(float(gradient.norm()))
    typed = math.sqrt(sum(norm**2 for norm in found["preconditioned_norms"]))
    assert typed == pytest.approx(math.sqrt(float(gradient @ state.divide(network, gradient))))
    assert [len(s) for s in found["input_spectra"]] == [4, 5, 3]
    assert all((np.diff(s) >= 0).all() for s in found["output_spectra"])


# PyTorch models ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("inner", [SecondMoment(), Covariance()])
def test_on_a_torch_model_it_does_the_same(kind, inner):
    network, problem = task(kind)
    model = to_torch(network)
    settings = FrobeniusPreconditioner(input=inner, output=inner, damping=0.1, fisher="empirical")
    attached = settings.attach(model)
    F = model(problem.X)
    nn.functional.cross_entropy(F, problem.Y).backward()
    attached.step()
    found = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    _, expected = started(settings, network).step(network, problem)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_a_torch_model_trains_with_any_optimizer():
    torch_generator = torch.Generator().manual_seed(0)
    _, problem = task("cnn", n=100)
    network, _ = task("cnn")
    for fisher in ("mc", "empirical"):
        model = to_torch(network)
        attached = FrobeniusPreconditioner(fisher=fisher, damping=0.1, inverse_every=2).attach(model)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        losses = []
        for _ in range(20):
            optimizer.zero_grad()
            F = model(problem.X)
            if fisher == "mc":
                attached.sample(F, "cross_entropy", torch_generator)
            loss = nn.functional.cross_entropy(F, problem.Y)
            loss.backward()
            attached.step()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < 0.9 * losses[0]
        attached.detach()
        model(problem.X)
        assert not attached.inputs


def test_drawn_targets_of_a_model_have_the_fishers_moment():
    network, problem = task(n=2000)
    model = to_torch(network)
    attached = FrobeniusPreconditioner(input="second_moment", output="second_moment").attach(model)
    F = model(problem.X)
    attached.sample(F, "cross_entropy", torch.Generator().manual_seed(0))
    nn.functional.cross_entropy(F, problem.Y).backward()
    attached.step()
    exact = started(FrobeniusPreconditioner(input="second_moment", output="second_moment", fisher="exact"), network)
    exact.step(network, problem)
    for drawn, known in zip(attached.layers, exact.layers, strict=True):
        difference = drawn.output.moment_ - known.output.moment_
        assert difference.norm() < 0.1 * known.output.moment_.norm()


def test_errors_name_what_is_wrong():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 1))
    with pytest.raises(ValueError, match=r"unsupported='skip' .*: 1 \(LayerNorm\)"):
        FrobeniusPreconditioner(fisher="empirical").attach(model)
    FrobeniusPreconditioner(fisher="empirical").attach(model, unsupported="skip")
    with pytest.raises(ValueError, match="has no nn"):
        FrobeniusPreconditioner().attach(nn.Sequential(nn.Tanh()))
    with pytest.raises(ValueError, match="need the objective"):
        kfac().attach(model, unsupported="skip")
    with pytest.raises(ValueError, match="for skgrow's own networks"):
        FrobeniusPreconditioner(fisher="exact").attach(model, unsupported="skip")
    plain = nn.Sequential(nn.Linear(3, 1))
    attached = FrobeniusPreconditioner().attach(plain)
    plain(torch.zeros(2, 3)).sum().backward()
    with pytest.raises(RuntimeError, match="needs sample"):
        attached.step()
    with pytest.raises(ValueError, match="kind must be"):
        attached.sample(plain(torch.zeros(2, 3)), "hinge")
    network, problem = task()
    for settings, message in [
        ({"damping": 0.0}, "damping must be > 0"),
        ({"damping": -1}, "damping must be > 0"),
        ({"split": "x"}, "split must be one of"),
        ({"adapt": "x"}, "adapt must be one of"),
        ({"adapt": "lm"}, "needs rescale or exact_momentum"),
        ({"combine": "x"}, "combine must be one of"),
        ({"fisher": "x"}, "fisher must be one of"),
        ({"inverse_every": 0}, "inverse_every must be at least 1"),
        ({"input": "x"}, "inner products are"),
        ({"combine": "sum", "input": "euclidean"}, "combine='sum' needs dense"),
        ({"input": Fixed(np.eye(2))}, "must be 4 x 4 for the input of layer 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            started(FrobeniusPreconditioner(**settings), network)
    state = started(FrobeniusPreconditioner(damping=lambda step: 1.0 - step), network)
    state.step(network, problem)
    with pytest.raises(ValueError, match=r"got 0\.0 at step 1"):
        state.step(network, problem)


def test_logistic_loss_draws_its_own_fisher():
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    problem = Problem(X, (X[:, :1] > 0).double(), loss=Logistic())
    network = glorot(MLP((3, 4, 1), None, Activation("tanh")), 0, X)
    state = started(FrobeniusPreconditioner(input="second_moment", output="second_moment"), network)
    state.step(network, problem)
    P = torch.sigmoid(network(X))
    assert float(state.layers[-1].output.moment_) == pytest.approx(float((P * (1 - P)).mean()))
