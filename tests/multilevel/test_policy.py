"""MG/Opt as a policy of the loop: coherence, line search, cycles, nested iteration, interruption."""

import math
from dataclasses import replace
from itertools import count, pairwise

import pytest
import torch

from skgrow.multilevel import (
    BatchHierarchy,
    DepthHierarchy,
    MGOptPolicy,
    ResolutionHierarchy,
    SubspaceHierarchy,
    WidthHierarchy,
    build_levels,
    corrected,
    first_network,
    nested_iteration,
)
from skgrow.networks import MLP, Activation, ConvNet, ResNet, glorot
from skgrow.problem import L2, Problem
from skgrow.solvers import LBFGS, Adam, StochasticGradient
from skgrow.training import Every, History, Monitor, Trained, descend, fit

TANH = Activation("tanh")
N = 24
RESNET = ResNet((3, 4, *(4,) * 8, 2), None, TANH, step=0.25)
CASES = {
    "constant": (DepthHierarchy("constant"), RESNET),
    "linear": (DepthHierarchy("linear"), RESNET),
    "half": (DepthHierarchy("linear", "injection", scale=0.5), RESNET),
    "width": (WidthHierarchy(), MLP((3, 8, 4, 2), None, TANH)),
    "narrow blocks": (WidthHierarchy(), ResNet((3, 5, 8, 4, 2), None, TANH, step=0.5)),
    "batch": (BatchHierarchy(), MLP((3, 5, 2), None, TANH)),
    "resolution": (ResolutionHierarchy(), ConvNet((1, 8, 8), ((2,), (2,), (3,)), (2,), None, TANH)),
}


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def data(d, alpha=0.3):
    X = rand(N, d, seed=1)
    Y = torch.stack([X[:, 0] * X[:, 1], torch.sin(2 * X[:, -1])], 1)
    return Problem(X, Y, penalty=L2(alpha))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def sgd(rate, momentum=0.0, batch_size=N):
    solver = StochasticGradient(rate, learning_rate="constant", momentum=momentum, batch_size=batch_size)
    return solver.seeded(generator())


def adam(rate=0.01, batch_size=N):
    return Adam(rate, learning_rate="constant", batch_size=batch_size).seeded(generator())


def recorded(solver, states):
    """The solver, which from now on appends the states that it starts to a list."""
    start = solver.start

    def noted(*args):
        states.append(start(*args))
        return states[-1]

    solver.start = noted
    return solver


def interrupted(solver, at):
    """The solver, whose steps are interrupted at the given one."""
    start, steps = solver.start, count()

    def start_to_be_interrupted(*args):
        state = start(*args)
        step = state.step

        def step_or_interrupt():
            if next(steps) == at:
                raise KeyboardInterrupt
            return step()

        state.step = step_or_interrupt
        return state

    solver.start = start_to_be_interrupted
    return solver


class Straight:
    """A solver that goes along minus the gradient, whether the objective falls or not."""

    monotone, converged = True, False

    def __init__(self, rate):
        self.rate = rate

    def start(self, network, problem, previous=None, kept=None):
        state = Straight(self.rate)
        state.network, state.problem = network, problem
        return state

    def step(self):
        gradient = self.problem.value_and_gradient(self.network)[1]
        self.network = self.network.with_theta(self.network.theta - self.rate * gradient)
        return float(self.problem.objective(self.network))


def make(case, n_levels=2, solver=None, seed=0, alpha=0.3, **settings):
    """Return a policy with its levels, and a network."""
    solver = solver() if callable(solver) else solver
    hierarchy, template = CASES[case] if isinstance(case, str) else case
    network = glorot(template, seed, template.theta.double())
    levels = build_levels(hierarchy, network, data(template.layer_sizes[0], alpha), n_levels)
    settings = {"kappa": 1e-6, "n_coarse": 1, "correction": True, "regularization": 0.0, "cycles": 1} | settings
    policy = MGOptPolicy(
        0.0,
        10**9,
        levels=levels,
        solvers=[sgd(1e-3) if solver is None else solver] * n_levels,
        hierarchy=hierarchy,
        monitor=Monitor(),
        **settings,
    )
    return policy, network


def correction_of(policy, level, network, problem):
    """Return what the policy adds to the problem of the next level."""
    coarse = policy.levels[level + 1]
    anchor = coarse.network.with_theta(coarse.transfer.restrict(network.theta))
    gradient = problem.value_and_gradient(network)[1].clone()
    given = coarse.problem, anchor, network, problem, gradient, coarse.transfer
    return anchor, corrected(*given, kind=policy.correction, regularization=policy.regularization)


def dense(transfer):
    return torch.stack([transfer.apply(e) for e in torch.eye(transfer.n_coarse, dtype=torch.float64)], 1)


# coherence (Lemma 2.34) -------------------------------------------------------------------------------------


def way(policy, level, network, problem):
    """Return how far one correction goes."""
    reports = []
    found = policy.correct(level, network, problem, reports)
    assert reports[0]["accepted"]
    assert reports[0]["step"] == 1
    return found.theta - network.theta


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", [True, "exact"])
def test_one_gradient_step_on_the_coarse_level_is_a_projected_gradient_step(case, kind):
    rate = 1e-3
    policy, network = make(case, solver=sgd(rate), correction=kind, regularization=0.7)
    fine = policy.levels[0].problem
    transfer = policy.levels[1].transfer
    away = way(policy, 0, network, fine)
    P, gradient = dense(transfer), fine.value_and_gradient(network)[1]
    expected = -rate * transfer.scale * P @ (P.T @ gradient)
    assert float((away - expected).norm() / expected.norm()) < 1e-10
    assert gradient @ away < 0


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", [True, "exact"])
def test_coherence_on_the_second_coarse_level(case, kind):
    # there the fine objective is itself a corrected one; its gradient is put together by hand
    rate, lam = 1e-3, 0.7
    policy, network = make(case, 3, sgd(rate), correction=kind, regularization=lam)
    fine, (_, middle, coarse) = policy.levels[0].problem, policy.levels
    anchor, problem = correction_of(policy, 0, network, fine)
    here = anchor.with_theta(anchor.theta + 0.05 * rand(anchor.n_parameters, seed=3))
    gradient = (
        middle.problem.value_and_gradient(here)[1]
        + middle.transfer.restrict_gradient(fine.value_and_gradient(network)[1])
        - middle.problem.value_and_gradient(anchor)[1]
        + lam * (here.theta - anchor.theta)
    )
    away = way(policy, 1, here, problem)
    P = dense(coarse.transfer)
    expected = -rate * coarse.transfer.scale * P @ (P.T @ gradient)
    assert float((away - expected).norm() / expected.norm()) < 1e-10


def test_without_a_correction_the_step_is_that_of_the_coarse_objective():
    rate = 1e-3
    policy, network = make("linear", solver=sgd(rate), correction=False)
    away = way(policy, 0, network, policy.levels[0].problem)
    coarse, transfer = policy.levels[1], policy.levels[1].transfer
    anchor = coarse.network.with_theta(transfer.restrict(network.theta))
    expected = -rate * transfer.apply(coarse.problem.value_and_gradient(anchor)[1])
    assert float((away - expected).norm() / expected.norm()) < 1e-10


# one correction ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [*CASES, "subspace"])
@pytest.mark.parametrize(
    ("kind", "solver"),
    [(True, lambda: sgd(0.05)), (True, lambda: adam(0.05, 8)), ("exact", lambda: adam(0.05, 8)), (False, LBFGS)],
    ids=["True-sgd", "True-adam", "exact-adam", "False-lbfgs"],
)
def test_corrections_never_raise_the_objective_and_report_what_they_did(case, kind, solver):
    subspace = case == "subspace"
    given = (SubspaceHierarchy(4), CASES["width"][1]) if subspace else case
    policy, network = make(given, 2 if subspace else 3, solver, correction=kind, n_coarse=3, seed=2)
    problem = policy.levels[0].problem
    for _ in range(2):
        before, gradient = problem.value_and_gradient(network)
        reports = []
        found = policy.correct(0, network, problem, reports)
        top = next(r for r in reports if r["level"] == 0)
        assert 0 < top["kappa_ratio"] <= 1 + 1e-12
        decrease = float(before) - float(problem.objective(found))
        assert top["decrease"] == pytest.approx(decrease, abs=1e-15)
        assert top["accepted"] == (decrease > 0) == (found is not network) == (top["step"] > 0)
        if top["accepted"]:
            assert top["step"] in (1.0, 0.5, 0.25, 0.125)
            assert top["step"] * top["predicted"] == pytest.approx(-float(gradient @ (found.theta - network.theta)))
            assert decrease >= 1e-4 * top["step"] * top["predicted"]
        network = found


def test_with_the_correction_small_steps_are_always_accepted():
    for case in CASES:
        for seed in range(3):
            policy, network = make(case, 3, sgd(1e-3), seed=seed)
            reports = []
            policy.correct(0, network, policy.levels[0].problem, reports)
            assert all(r["accepted"] and r["step"] == 1 for r in reports), case
            assert len(reports) == 2


def test_a_long_way_is_cut_or_left():
    for rate, accepted in ((2.0, True), (1e6, False)):
        policy, network = make("batch", solver=Straight(rate), alpha=0.0)
        reports = []
        found = policy.correct(0, network, policy.levels[0].problem, reports)
        assert reports[0]["accepted"] == accepted
        assert (found is network) != accepted
        assert reports[0]["predicted"] > 0
        assert (reports[0]["decrease"] > 0) == accepted
        assert reports[0]["step"] < 1


def test_no_way_is_no_correction():
    policy, network = make("constant", solver=Straight(0.0))
    reports = []
    assert policy.correct(0, network, policy.levels[0].problem, reports) is network
    assert not reports[0]["accepted"]


def test_kappa_close_to_one_suppresses_corrections_and_costs_one_gradient():
    policy, network = make("constant", 3, kappa=1 - 1e-9)
    units = policy.levels[0].work.units
    reports = []
    assert policy.correct(0, network, policy.levels[0].problem, reports) is network
    assert len(reports) == 1
    assert reports[0]["kappa_ratio"] < 1 - 1e-9
    assert (reports[0]["accepted"], reports[0]["predicted"]) == (False, 0.0)
    assert units == [1, 0, 0]


def test_regularisation_keeps_corrections_short():
    lengths = []
    for lam in (0.0, 1.0, 100.0):
        policy, network = make("linear", regularization=lam)
        anchor, problem = correction_of(policy, 0, network, policy.levels[0].problem)
        found = descend(anchor, problem, LBFGS(), Every(10**9), max_iter=20, monitor=Monitor()).network
        lengths.append(float((found.theta - anchor.theta).norm()))
    assert lengths[0] > lengths[1] > 10 * lengths[2]


def test_a_diverging_coarse_descent_is_a_failed_correction(recwarn):
    for kind in (False, True):
        policy, network = make("constant", 3, sgd(1e9, 0.9), correction=kind, n_coarse=40)
        problem = policy.levels[0].problem
        assert policy.correct(0, network, problem, []) is network
        assert not policy.monitor.stopped
        policy.solvers = [sgd(1e-3, 0.9)] * 3  # without the moments of before, which are not finite
        assert policy.correct(0, network, problem, []) is not network
    assert not recwarn.list


# cycles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cycles", "visits"), [(1, [0, 1, 2]), (2, [0, 1, 2, 2, 1, 2, 2])])
def test_levels_are_visited_once_by_v_and_twice_by_w_cycles(cycles, visits):
    policy, network = make("constant", 4, sgd(1e-3), cycles=cycles)
    reports = []
    policy.correct(0, network, policy.levels[0].problem, reports)
    assert [r["level"] for r in reports] == visits


@pytest.mark.parametrize("kind", [False, True])
def test_coarse_levels_of_a_v_cycle_cost_less_than_the_fine_one(kind):
    # with 10 fine steps to 5 coarse ones, as the estimators have it
    for case in ("constant", "linear", "width", "resolution"):
        for n_levels in (2, 3):
            for solver in (sgd(1e-3), LBFGS()):
                policy, network = make(case, n_levels, solver, correction=kind, n_coarse=5)
                units = policy.levels[0].work.units
                state = solver.start(network, policy.levels[0].problem)
                for _ in range(10):
                    state.step()
                fine = units[0]
                policy.correct(0, state.network, policy.levels[0].problem, [])
                assert 0 < sum(units[1:]) < fine


def test_moments_of_coarse_levels_go_on():
    states = []
    policy, network = make("constant", 3, recorded(adam(), states))
    for steps in (1, 2, 3):
        network = policy.correct(0, network, policy.levels[0].problem, [])
        sizes = [policy.levels[level].network.layer_sizes for level in (1, 2)]
        assert [state.network.layer_sizes for state in states[-2:]] == sizes
        assert [float(state.averages["step"]) for state in states[-2:]] == [steps, steps]


def test_moving_subspaces_are_found_anew():
    states, bases = [], []
    policy, network = make((SubspaceHierarchy(3), CASES["width"][1]), 2, recorded(adam(), states), n_coarse=3)
    for _ in range(2):
        network = policy.correct(0, network, policy.levels[0].problem, [])
        bases.append(policy.levels[1].transfer.basis)
        assert float(states[-1].averages["step"]) == 3  # moments of other coordinates are forgotten
    assert not torch.allclose(*bases)


# in the loop ------------------------------------------------------------------------------------------------


def loop(policy, network, max_iter, every=3):
    class Budget(Monitor):
        def iteration(self, value):
            super().iteration(value)
            self.stopped = self.stopped or self.epoch >= max_iter

    monitor, history = Budget(), History()
    policy.monitor = monitor
    trained = fit(
        network,
        policy.levels[0].problem,
        policy.solvers[0],
        policy,
        Every(every),
        max_iter=max_iter,
        monitor=monitor,
        history=history,
    )
    return trained, history


@pytest.mark.parametrize("case", [*CASES, "subspace"])
@pytest.mark.parametrize(
    ("kind", "solver"), [(True, lambda: sgd(0.02, 0.9)), (False, lambda: adam(0.02)), (True, LBFGS)]
)
def test_the_criterion_never_falls_on_full_batches(case, solver, kind):
    subspace = case == "subspace"
    given = (SubspaceHierarchy(4), CASES["width"][1]) if subspace else case
    policy, network = make(given, 2 if subspace else 3, solver, correction=kind, n_coarse=2)
    trained, history = loop(policy, network, 8, every=2)
    rows = [row for row in history if row["accepted"]]
    assert len(history) >= 4
    assert len(rows) == len(history)
    for before, after in pairwise(rows):
        assert after["criterion"] >= before["criterion"] - 1e-14
        top = before["corrections"][0]
        assert (after["action"] == "correction") == top["accepted"]
        assert not top["accepted"] or top["decrease"] > 0
        assert after["epoch"] > before["epoch"]  # fine training between two corrections
    assert -trained.criterion == pytest.approx(-rows[-1]["criterion"])
    assert all(row["level"] == 0 for row in rows[:-1])
    work = torch.tensor([row["work"] for row in history[:-1]])
    assert (work.diff(dim=0) >= 0).all()


# starts -----------------------------------------------------------------------------------------------------


def test_depth_starts_from_a_prolonged_network_and_width_does_not():
    policy, _ = make("constant", 3)
    found = first_network(policy.levels, policy.hierarchy, 5, generator())
    for k in range(0, 8, 4):
        for j in range(k + 1, k + 4):
            assert torch.equal(found.weights[1 + 2 * j], found.weights[1 + 2 * k])
            assert torch.equal(found.weights[2 + 2 * j], found.weights[2 + 2 * k])
    policy, _ = make("width")
    found = first_network(policy.levels, policy.hierarchy, 5, generator())
    assert torch.equal(found.theta, glorot(found, 5, found.theta).theta)


def nested(policy, target=None):
    history = History()
    network, state = nested_iteration(
        policy.levels,
        policy.solvers,
        policy.hierarchy,
        seed=0,
        generator=generator(),
        schedule=Every(4),
        target=target,
        max_iter=6,
        monitor=Monitor(),
        history=history,
    )
    return network, state, history


@pytest.mark.parametrize("case", CASES)
def test_nested_iteration_trains_the_coarsest_level_first(case):
    policy, template = make(case, 3, adam())
    network, state, history = nested(policy)
    assert [row["level"] for row in history] == [2, 1]
    assert [row["architecture"] for row in history] == [policy.levels[k].network.layer_sizes for k in (2, 1)]
    assert network.layer_sizes == template.layer_sizes
    assert [row["epoch"] for row in history] == [4, 8]
    assert history[0]["time"] <= history[1]["time"]
    assert history[0]["work"][:2] == [0, 0]
    assert history[1]["work"][0] == 0 < history[1]["work"][1]
    assert history[1]["work"][2] == history[0]["work"][2]
    assert all(row["corrections"] == [] for row in history)
    assert float(state.averages["step"]) == 8


def test_levels_that_start_at_the_target_are_passed_over():
    policy, _ = make("constant", 3, adam())
    found, _, history = nested(policy, target=100.0)
    assert [row["epoch"] for row in history] == [0, 0]
    start = first_network(policy.levels, policy.hierarchy, 0, generator())
    torch.testing.assert_close(found.theta, start.theta)


def carried_over(case, coarse, fine):
    """Return the state of the coarse level's solver at its end, that of the fine level's to begin with, a transfer."""
    states = []
    policy, _ = make(case, 2)
    policy.solvers = [fine, recorded(coarse, states)]
    _, state, _ = nested(policy)
    return states[-1], state, policy.levels[1].transfer


def test_levels_of_the_same_parameters_keep_the_moments():
    coarse, fine, _ = carried_over("batch", adam(), adam())
    assert float(coarse.averages["step"]) == 4
    for name, value in coarse.averages.items():
        assert torch.equal(fine.averages[name], value)
        assert fine.averages[name] is not value


@pytest.mark.parametrize("make_solver", [adam, lambda: sgd(0.01, 0.9)], ids=["adam", "sgd"])
def test_constant_prolongation_shares_moments_among_blocks(make_solver):
    coarse, fine, transfer = carried_over("constant", make_solver(), make_solver())
    old, found = coarse.averages, fine.averages
    b, size, after = transfer.before, transfer.size, transfer.after
    for name, factor in (("exp_avg", 2), ("exp_avg_sq", 4)) if "exp_avg" in old else (("momentum_buffer", 2),):
        assert float(old[name].abs().max()) > 0
        blocks = old[name][b:-after].view(-1, size).repeat_interleave(2, 0).reshape(-1)
        torch.testing.assert_close(found[name][b:-after], blocks / factor, rtol=1e-14, atol=0.0)
        torch.testing.assert_close(found[name][:b], old[name][:b], rtol=0.0, atol=0.0)
        torch.testing.assert_close(found[name][-after:], old[name][-after:], rtol=0.0, atol=0.0)


def test_solvers_of_other_kinds_start_anew():
    solvers = [adam, lambda: sgd(0.01, 0.9), lambda: sgd(0.01), LBFGS]
    for make_coarse in solvers:
        for make_fine in solvers:
            _, found, _ = carried_over("constant", make_coarse(), make_fine())
            if type(make_coarse()) is not type(make_fine()):
                assert not any(bool(value.any()) for value in getattr(found, "averages", {}).values())
            assert math.isfinite(found.step())


# interruption -----------------------------------------------------------------------------------------------


def interrupt(policy, level, at):
    """Interrupt the gradient of this number on a level."""
    calls, problem = iter(range(10**6)), policy.levels[level].problem

    def meter(network, gradients, n_samples):
        if gradients == 1 and next(calls) == at:
            raise KeyboardInterrupt
        problem.meter(network, gradients, n_samples)

    policy.levels[level].problem = replace(problem, meter=meter)


@pytest.mark.parametrize("solver", [adam, LBFGS])
@pytest.mark.parametrize("at", [0, 1, 7])
def test_interruption_of_a_coarse_descent_ends_training_with_the_fine_network(solver, at):
    policy, network = make("constant", 3, solver, n_coarse=3)
    interrupt(policy, 1, at)
    with pytest.warns(UserWarning, match="interrupted"):
        trained, history = loop(policy, network, 30)
    assert trained.network.layer_sizes == network.layer_sizes
    assert torch.isfinite(trained.network.theta).all()
    assert trained.criterion == history[-1]["criterion"] >= history[0]["criterion"]
    assert policy.monitor.stopped
    assert policy.monitor.epoch < 30


@pytest.mark.parametrize("level", [1, 2])
def test_interruption_of_nested_iteration_goes_up_at_once(level):
    policy, template = make("constant", 3, adam())
    interrupt(policy, level, 2)
    with pytest.warns(UserWarning, match="interrupted"):
        network, _, history = nested(policy)
    assert network.layer_sizes == template.layer_sizes
    assert [row["level"] for row in history] == [2, 1]
    assert [row["epoch"] for row in history] == ([4, 6] if level == 1 else [2, 2])
    assert torch.isfinite(network.theta).all()


def test_the_policy_ends_where_the_criterion_stands_still():
    policy, network = make("batch", solver=LBFGS())
    policy.patience = 2
    problem = policy.levels[0].problem
    value = -float(problem.objective(network))
    current = Trained(network, problem, problem, 1.0, value, None, math.nan)
    history = History()
    answers = []
    for _ in range(4):
        history.append({"accepted": True, "criterion": value})
        answers.append(policy.act(current, current, history))
    assert answers[0] is not None
    assert answers[1] is not None
    assert answers[2] is None
    assert history[2]["corrections"] == []
    assert len(history[1]["corrections"]) == 1
