"""Solvers and descent: never worse than the start, known optima, trouble on the way."""

import itertools
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skgrow.criteria import GCV, LeaveOneOut, LogEvidence, Objective, Validation
from skgrow.networks import MLP, Activation, widen
from skgrow.problem import L2, Logistic, Problem
from skgrow.solvers import LBFGS, Adam, AutoSolver, LevenbergMarquardt, StochasticGradient
from skgrow.training import Action, ByEvidence, Every, History, Monitor, Plateau, descend, fit


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def make(name, rate=0.01):
    return {
        "lm": LevenbergMarquardt,
        "lbfgs": LBFGS,
        "adam": lambda: Adam(rate, batch_size=16),
        "sgd": lambda: StochasticGradient(rate, batch_size=16),
        "auto": lambda: AutoSolver(mini_batch=Adam(rate, batch_size=16)),
    }[name]().seeded(generator())


SOLVERS = ["lm", "lbfgs", "adam", "sgd", "auto"]


def random_case(activation="tanh", seed=0, alpha=1e-2, n=60, width=5, c=2):
    rng = np.random.default_rng(seed)
    theta = torch.as_tensor(rng.normal(size=width * 4 + (width + 1) * c))
    network = MLP((3, width, c), theta, Activation(activation))
    X = torch.as_tensor(rng.normal(size=(n, 3)))
    Y = torch.sin(X[:, :c]) + 0.1 * torch.as_tensor(rng.normal(size=(n, c)))
    weight = torch.as_tensor(rng.uniform(0, 2, size=n))
    return network, Problem(X, Y, weight, penalty=L2(alpha), support=3.0)


def run(network, problem, solver, max_iter=40, schedule=None, monitor=None):
    return descend(network, problem, solver, schedule or Every(10**9), max_iter=max_iter, monitor=monitor or Monitor())


@pytest.mark.filterwarnings("ignore:The training loss is no longer finite")
@pytest.mark.parametrize("rate", [1e-3, 1e-2, 1.0])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_descent_never_ends_worse_than_it_began(solver, activation, rate):
    network, problem = random_case(activation)
    start = float(problem.objective(network))
    state = run(network, problem, make(solver, rate), max_iter=15)
    assert float(problem.objective(state.network)) <= start
    again = run(state.network, problem, make(solver, rate), max_iter=5)
    assert float(problem.objective(again.network)) <= float(problem.objective(state.network))


@pytest.mark.parametrize("solver", SOLVERS)
def test_descent_makes_progress(solver):
    network, problem = random_case()
    state = run(network, problem, make(solver), max_iter=60)
    assert float(problem.objective(state.network)) < 0.5 * float(problem.objective(network))


@pytest.mark.parametrize("solver", ["lm", "lbfgs"])
def test_full_batch_solvers_are_monotone_and_reach_a_stationary_point(solver):
    network, problem = random_case(c=1, width=3)
    monitor = Monitor()
    state = run(network, problem, make(solver), max_iter=1000, monitor=monitor)
    assert all(after <= before for before, after in itertools.pairwise(monitor.loss_curve))
    gradient = problem.value_and_gradient(state.network)[1]
    start = problem.value_and_gradient(network)[1]
    assert float(gradient.norm()) < 1e-5 * float(start.norm())


@pytest.mark.parametrize("solver", SOLVERS)
def test_descent_from_a_minimum_stays(solver):
    """Nothing is lower, so the weights that come back are no worse and hardly other."""
    network, problem = random_case(c=1, width=3)
    best = run(network, problem, LevenbergMarquardt(), max_iter=2000).network
    value = float(problem.objective(best))
    state = run(best, problem, make(solver), max_iter=10)
    assert value * (1 - 1e-6) <= float(problem.objective(state.network)) <= value


def linear_case(seed=0, c=2, alpha=0.0):
    rng = np.random.default_rng(seed)
    X = torch.as_tensor(rng.normal(size=(40, 4)) @ rng.normal(size=(4, 4)))
    Y = torch.as_tensor(rng.normal(size=(40, c)) + X[:, :c].numpy())
    network = MLP((4, c), torch.as_tensor(rng.normal(size=5 * c)), Activation("identity"))
    return network, Problem(X, Y, torch.as_tensor(rng.uniform(0.5, 2, size=40)), penalty=L2(alpha))


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_levenberg_marquardt_solves_linear_least_squares_in_a_few_steps(alpha):
    network, problem = linear_case(alpha=alpha)
    g = problem.g[:, None]
    A = torch.cat([problem.X, torch.ones(40, 1, dtype=torch.float64)], 1)
    ridge = torch.diag(torch.tensor([1.0] * 4 + [0.0], dtype=torch.float64)) * alpha / problem.total_weight
    exact = torch.linalg.solve(A.T @ (g * A) + ridge, A.T @ (g * problem.Y))
    state = run(network, problem, LevenbergMarquardt(), max_iter=12)
    torch.testing.assert_close(state.network.weights[0], exact[:-1].T, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(state.network.biases[0], exact[-1], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("solver", ["lm", "lbfgs"])
def test_linear_networks_reach_the_reduced_rank_optimum(solver, width):
    """Twice the least loss is tr Syy minus the leading eigenvalues of Syx Sxx^-1 Sxy (Baldi and Hornik)."""
    rng = np.random.default_rng(width)
    X = rng.normal(size=(200, 5)) @ rng.normal(size=(5, 5))
    Y = X @ rng.normal(size=(5, 4)) + rng.normal(size=(200, 4))
    X, Y = (A - A.mean(0) for A in (X, Y))
    Sxx, Sxy, Syy = X.T @ X / 200, X.T @ Y / 200, Y.T @ Y / 200
    leading = np.linalg.eigvalsh(Sxy.T @ np.linalg.solve(Sxx, Sxy))[::-1][:width]
    problem = Problem(torch.as_tensor(X), torch.as_tensor(Y))
    theta = torch.as_tensor(0.5 * rng.normal(size=6 * width + (width + 1) * 4))
    network = MLP((5, width, 4), theta, Activation("identity"))
    state = run(network, problem, make(solver), max_iter=2000)
    assert 2 * float(problem.data_loss(state.network)) == pytest.approx(np.trace(Syy) - leading.sum(), rel=1e-8)


def test_levenberg_marquardt_leaves_kinks_without_support_where_they_are():
    network, problem = random_case("relu", width=2, n=30)
    theta = network.theta.clone()
    theta[network.slices[0][1]] = torch.tensor([100.0, 0.0], dtype=torch.float64)  # first kink: beyond the data
    network = network.with_theta(theta)
    state = run(network, replace(problem, support=2.0), LevenbergMarquardt(), max_iter=10)
    torch.testing.assert_close(state.network.weights[0][0], network.weights[0][0], rtol=0, atol=0)
    assert not torch.equal(state.network.weights[0][1], network.weights[0][1])


@pytest.mark.parametrize("at_minimum", [False, True])
def test_of_classes_the_penalty_waits_until_descent_has_settled(at_minimum):
    """The evidence is a statement about minima; at one it is asked at once."""
    network, problem = random_case(c=1)
    problem = Problem(problem.X, (problem.Y > 0).to(problem.Y), penalty=L2(0.5), loss=Logistic())
    if at_minimum:
        network = run(network, problem, LevenbergMarquardt(), max_iter=500).network
    state, waited = LevenbergMarquardt().start(network, problem.ruled(ByEvidence())), 0
    while state.problem.alpha == 0.5:
        before = float(problem.objective(state.network))
        state.step()
        drop = 1 - float(problem.objective(state.network)) / before
        assert (state.problem.alpha == 0.5) == (drop >= 0.05)
        waited += state.problem.alpha == 0.5
    assert state.evidence is not None
    assert (state.solved.alpha == 0.5) != at_minimum  # the penalty of the step itself
    assert (waited == 0) == at_minimum


def test_auto_takes_second_order_then_full_batch_then_mini_batch_with_size():
    solver = AutoSolver()

    def choice(n, width):
        X = torch.zeros(1, 20).expand(n, 20)
        network = MLP((20, width, 1), torch.zeros(22 * width + 1), Activation("tanh"))
        return type(solver.choose(network, Problem(X, X[:, :1])))

    assert choice(1_000, 10) is LevenbergMarquardt
    assert choice(10_000, 200) is LBFGS
    assert choice(200_000, 200) is Adam


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_mini_batches_are_repeatable(solver):
    results = []
    for _ in range(2):
        network, problem = random_case()
        results.append(run(network, problem, make(solver), max_iter=5).network.theta)
    assert torch.equal(*results)


@pytest.mark.parametrize(("solver", "names"), [("adam", {"exp_avg", "exp_avg_sq"}), ("sgd", {"momentum_buffer"})])
def test_moments_move_along_when_a_layer_is_widened(solver, names):
    network, problem = random_case()
    solver = make(solver)
    state = run(network, problem, solver, max_iter=3)
    zeros = torch.zeros(2, 2, dtype=torch.float64)
    wider, kept = widen(state.network, 0, torch.ones(2, 3, dtype=torch.float64), zeros[0], zeros)
    grown = solver.start(wider, problem, state, kept)
    before, after = state.averages, grown.averages
    assert names <= set(after)
    new = torch.ones(wider.n_parameters, dtype=torch.bool)
    new[kept] = False
    for name in names:
        assert torch.equal(after[name][kept], before[name])
        assert bool((after[name][new] == 0).all())
        assert float(before[name].abs().max()) > 0
    assert np.isfinite(grown.step())


def test_learning_rates_fall_on_plateaus():
    network, problem = random_case()
    state = make("sgd", rate=5.0).start(network, problem)
    for _ in range(30):
        state.step()
    assert state.rate < 5.0


# the schedule and trouble on the way ---------------------------------------------------------------------------


def test_descent_ends_when_the_schedule_says_so():
    network, problem = random_case()
    for epochs in (1, 4):
        monitor = Monitor()
        run(network, problem, LBFGS(), schedule=Every(epochs), monitor=monitor)
        assert monitor.epoch == len(monitor.loss_curve) == epochs
    monitor = Monitor()
    run(network, problem, LBFGS(), schedule=Plateau(tol=0.5, patience=2), max_iter=1000, monitor=monitor)
    assert monitor.epoch < 50


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_divergence_warns_once_and_goes_back(solver):
    network, problem = random_case("relu")
    start = float(problem.objective(network))
    monitor = Monitor()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        state = run(network, problem, make(solver, rate=1e200), monitor=monitor)
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert "learning_rate_init" in str(caught[0].message)
    assert monitor.stopped
    assert bool(torch.isfinite(state.network.theta).all())
    assert float(problem.objective(state.network)) <= start


class Interrupted:
    """A solver that is interrupted at a given step."""

    def __init__(self, solver, step):
        self.solver, self.steps = solver, itertools.count()
        self.last = step

    def start(self, network, problem, previous=None, kept=None):
        state = self.solver.start(network, problem, previous, kept)
        original = state.step

        def step():
            if next(self.steps) == self.last:
                raise KeyboardInterrupt
            return original()

        state.step = step
        return state


@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam"])
@pytest.mark.parametrize("step", [0, 3])
def test_an_interrupt_keeps_the_best_so_far(solver, step):
    network, problem = random_case()
    monitor = Monitor()
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        state = run(network, problem, Interrupted(make(solver), step), monitor=monitor)
    assert monitor.stopped
    assert monitor.epoch == step
    if step:
        same = run(network, problem, make(solver), max_iter=step)
        assert torch.equal(state.network.theta, same.network.theta)
    else:
        assert torch.equal(state.network.theta, network.theta)


# the loop ------------------------------------------------------------------------------------------------------


class Proposals:
    """A policy that proposes given networks, one after the other."""

    def __init__(self, *networks, must_gain=False):
        self.networks, self.must_gain, self.seen = iter(networks), must_gain, []

    def act(self, current, best, history):
        self.seen.append((current, best))
        network = next(self.networks, None)
        return None if network is None else Action("try", network, current, must_gain=self.must_gain)


def loop(network, problem, policy, **kwargs):
    history = History()
    best = fit(network, problem, LBFGS(), policy, Every(3), max_iter=3, monitor=Monitor(), history=history, **kwargs)
    return best, history


def test_a_proposal_that_raises_the_loss_is_undone():
    network, problem = random_case()
    awful = network.with_theta(1e3 * torch.ones_like(network.theta))
    policy = Proposals(awful, awful)
    best, history = loop(network, problem, policy)
    assert history.column("action") == ["start", "try", "try"]
    assert history.column("accepted") == [True, False, False]
    assert history.column("parent") == [None, 0, 0]
    assert all(current is best for current, _ in policy.seen)
    assert best.row == 0


def test_accepted_proposals_descend():
    network, problem = random_case()
    trained = run(network, problem, LevenbergMarquardt(), max_iter=200).network
    best, history = loop(network, problem, Proposals(trained))
    assert history.column("accepted") == [True, True]
    losses = history.column("train_loss")
    assert losses[1] < losses[0]
    assert best.row == 1
    assert best.loss == losses[1] == float(problem.data_loss(best.network))


def test_history_rows_say_what_was_measured():
    network, problem = random_case()
    validation = Problem(problem.X[:10], problem.Y[:10])
    best, history = loop(network, problem, Proposals(network), criterion=Validation(validation))
    assert len(history) == 2
    expected = {
        "time", "epoch", "action", "parent", "accepted", "architecture", "n_parameters", "train_loss",
        "validation_loss", "log_evidence", "gcv", "loo", "alpha", "criterion",
    }  # fmt: skip
    for row in history:
        assert expected <= set(row)
        assert row["architecture"] == (3, 5, 2)
        assert row["n_parameters"] == 32
        assert row["criterion"] == -row["validation_loss"]
        assert np.isnan(row["log_evidence"])
    assert history.column("epoch") == sorted(history.column("epoch"))
    assert best.validation_loss == float(validation.data_loss(best.network))


def test_the_criterion_is_what_was_asked_for():
    network, problem = random_case()
    validation = Problem(problem.X[:10], problem.Y[:10])
    for criterion in (None, Objective(), Validation(validation), LogEvidence(), GCV(), LeaveOneOut()):
        best, (row,) = loop(network, problem, Proposals(), criterion=criterion)
        expected = {
            Objective: -float(problem.objective(best.network)),
            Validation: -float(validation.data_loss(best.network)),
            LogEvidence: row["log_evidence"],
            GCV: -row["gcv"],
            LeaveOneOut: -row["loo"],
        }
        assert best.criterion == row["criterion"] == expected[type(criterion or Objective())]


def test_a_proposal_that_must_gain_is_undone_without_gain():
    network, problem = random_case()
    best, _ = loop(network, problem, Proposals())
    opposite = Problem(problem.X, -problem.Y)  # the lower the training loss, the higher the validation loss
    _, history = loop(
        best.network,
        problem,
        Proposals(best.network, must_gain=True),
        criterion=Validation(opposite),
    )
    assert history.column("train_loss")[1] <= history.column("train_loss")[0]
    assert history.column("accepted") == [True, False]


def test_parameters_that_come_later_take_adams_first_steps_as_if_they_were_first():
    network, problem = random_case()
    adam = make("adam")
    state = run(network, problem, adam, max_iter=50)
    zeros = torch.zeros(2, 2, dtype=torch.float64)
    wider, kept = widen(state.network, 0, torch.ones(2, 3, dtype=torch.float64), zeros[0], zeros)
    new = torch.ones(wider.n_parameters, dtype=torch.bool)
    new[kept] = False
    full = Adam(adam.learning_rate_init, batch_size=problem.n_samples).seeded(adam.generator)
    late, fresh = full.start(wider, problem, state, kept), full.start(wider, problem)
    for _ in range(3):
        before = late.theta.clone()
        late.step()
        step = (late.theta - before)[new].abs()
        assert step.max() <= 1.01 * adam.learning_rate_init  # without the correction up to seven times
    before = fresh.theta.clone()
    fresh.step()
    once = full.start(wider, problem, state, kept)
    once.step()
    torch.testing.assert_close(once.theta[new], fresh.theta[new], rtol=1e-4, atol=1e-12)  # Adam's epsilon
    # what a later run needs comes back
    moments = late.moments(wider.n_parameters, None)
    again = full.start(late.network, problem)
    again.restore(moments)
    assert torch.equal(again.born, late.born)
    late.step()
    again.step()
    torch.testing.assert_close(again.theta, late.theta, rtol=1e-12, atol=1e-14)


def test_rates_of_new_parameters_and_constant_rates():
    network, problem = random_case()
    adam = make("adam")
    state = run(network, problem, adam, max_iter=3)
    zeros = torch.zeros(2, 2, dtype=torch.float64)
    wider, kept = widen(state.network, 0, torch.ones(2, 3, dtype=torch.float64), zeros[0], zeros)
    rate = adam.learning_rate_init
    usual, slow = (
        Adam(rate, batch_size=1000, new_layer_rate=factor).seeded(adam.generator).start(wider, problem, state, kept)
        for factor in (1.0, 0.25)
    )
    usual.step()
    slow.step()
    new = torch.ones(wider.n_parameters, dtype=torch.bool)
    new[kept] = False
    torch.testing.assert_close(slow.theta[kept], usual.theta[kept])
    change = usual.theta - wider.theta
    torch.testing.assert_close((slow.theta - wider.theta)[new], 0.25 * change[new])
    constant = StochasticGradient(5.0, learning_rate="constant").seeded(adam.generator)
    run_on = constant.start(network, problem)
    for _ in range(30):
        run_on.step()
    assert run_on.rate == 5.0
