"""Who sets the strength of the penalty, and when: rules as statements."""

import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skgrow.criteria import GCV, Objective, evidence
from skgrow.networks import MLP, Activation
from skgrow.problem import (
    L2,
    CrossEntropy,
    FixedAlpha,
    Huber,
    Logistic,
    PathNorm,
    Poisson,
    Problem,
    Quantile,
    SquaredError,
)
from skgrow.solvers import LBFGS, Adam, LevenbergMarquardt
from skgrow.training import (
    Action,
    ByEvidence,
    Every,
    History,
    InRounds,
    Monitor,
    Plateau,
    fit,
    lowered,
    measured,
    of_average,
)

KNOWN = [Logistic(), CrossEntropy()]
ESTIMATED = [SquaredError(), Huber(0.7), Poisson(), Quantile(0.3, 0.1)]
NAMED = {"ids": lambda value: type(value).__name__}
SOLVERS = {"lm": LevenbergMarquardt(), "lbfgs": LBFGS(), "adam": Adam(0.01)}


def random_case(loss=None, seed=0, *, n=40, alpha=0.7, rule=None, width=3):
    loss = SquaredError() if loss is None else loss
    rng = np.random.default_rng(seed)
    network = MLP((2, width, 2), torch.as_tensor(0.5 * rng.normal(size=5 * width + 2)), Activation("tanh"))
    X = rng.normal(size=(n, 2))
    right = (np.sin(2 * X[:, 0]) + 0.3 * rng.normal(size=n) > 0).astype(float)
    Y = np.stack([right, 1 - right], 1)
    problem = Problem(torch.as_tensor(X), torch.as_tensor(Y), loss=loss, penalty=L2(alpha))
    return network, problem.ruled(FixedAlpha() if rule is None else rule)


class Proposals:
    """A policy that proposes given networks, one after the other."""

    def __init__(self, *networks, must_gain=False):
        self.networks, self.must_gain = iter(networks), must_gain

    def act(self, current, best, history):
        network = next(self.networks, None)
        return None if network is None else Action("grow", network, current, must_gain=self.must_gain)


def trained(network, problem, solver, *proposals, max_iter=200, schedule=None, criterion=None):
    history = History()
    best = fit(
        network,
        problem,
        SOLVERS[solver],
        Proposals(*proposals),
        Every(10**9) if schedule is None else schedule,
        max_iter=max_iter,
        monitor=Monitor(),
        history=history,
        criterion=criterion,
    )
    return best, history


def next_strength(network, problem):
    """The strength that the evidence asks for at a network."""
    found = evidence(network, problem, problem.curvature_at(network))
    return problem.loss.plug_in_factor * found.alpha


# a fixed strength ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("loss", [SquaredError(), CrossEntropy()], **NAMED)
@settings(max_examples=5)
@given(alpha=st.sampled_from([0.0, 1e-6, 0.3, 1e3]), seed=st.integers(0, 2**16))
def test_a_fixed_strength_never_changes(solver, loss, alpha, seed):
    network, problem = random_case(loss, seed, alpha=alpha)
    wider = random_case(seed=seed, width=5)[0]
    for criterion in (Objective(), GCV()):
        best, history = trained(network, problem, solver, wider, max_iter=5, criterion=criterion)
        assert history.column("alpha") == [alpha, alpha]
        assert best.problem is best.following is problem


def test_rules_say_what_they_are():
    rules = [FixedAlpha(), ByEvidence(), InRounds(), InRounds(2)]
    names = ["FixedAlpha()", "ByEvidence()", "InRounds(n_rounds=6)", "InRounds(n_rounds=2)"]
    assert [repr(rule) for rule in rules] == names


@pytest.mark.parametrize("loss", [*KNOWN, *ESTIMATED], **NAMED)
def test_a_fixed_strength_is_freed_and_retried_by_nobody(loss):
    network, problem = random_case(loss)
    rule = problem.rule
    assert not rule.sets_penalty
    assert not rule.needs_evidence
    assert rule.freed(problem) is problem
    assert rule.held(problem) is problem
    assert list(rule.retries(problem, must_gain=False)) == list(rule.retries(problem, must_gain=True)) == []
    assert rule.after_retry() is rule
    follower = rule.follow(problem)
    assert follower.update(problem, network, 1.0, problem.curvature_at(network)) is problem
    follower.moved(1.0, 1.0)
    assert not follower.overlooked()
    assert follower.evidence is None


def test_the_evidence_under_a_fixed_strength_is_that_of_the_strength():
    network, problem = random_case()
    found = measured(network, problem, GCV()).evidence
    assert found.alpha == 0.7
    assert found == evidence(network, problem, problem.curvature_at(network), update=False)


# by the evidence -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [SquaredError(), Logistic(), CrossEntropy()], **NAMED)
@pytest.mark.parametrize("alpha", [1e-3, 0.7, 50.0])
def test_levenberg_marquardt_ends_where_the_evidence_asks_for_no_other_strength(loss, alpha):
    network, problem = random_case(loss, alpha=alpha, rule=ByEvidence(), n=100)
    best, _ = trained(network, problem, "lm", max_iter=500)
    asked = next_strength(best.network, best.problem)
    assert asked == pytest.approx(best.problem.alpha, rel=1e-2)
    assert best.alpha == best.problem.alpha != alpha
    # at the end the evidence may fall by its rounding, and then the strength stays that of the step before
    assert best.following.alpha == pytest.approx(problem.loss.plug_in_factor * best.evidence.alpha, rel=1e-6)
    assert best.following.alpha == pytest.approx(asked, rel=1e-6)


@pytest.mark.parametrize("loss", [SquaredError(), Huber(0.7), CrossEntropy()], **NAMED)
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_after_a_descent_of_another_solver_the_strength_is_iterated(loss, solver):
    """Five steps from that of the descent, if the evidence is asked for."""
    network, problem = random_case(loss, rule=ByEvidence())
    best, _ = trained(network, problem, solver, max_iter=20, criterion=GCV())
    expected = problem
    for _ in range(5):
        expected = expected.at(next_strength(best.network, expected))
    assert best.alpha == pytest.approx(expected.alpha, rel=1e-12)
    assert best.following is best.problem
    best, _ = trained(network, problem, solver, max_iter=20)  # nobody asks
    assert best.problem is problem
    assert best.evidence is None


def test_where_nothing_is_penalised_the_strength_stays():
    _, problem = random_case(rule=ByEvidence())
    empty = MLP((2, 0, 2), torch.tensor([0.4, 0.6], dtype=torch.float64), Activation("tanh"))
    assert measured(empty, problem, GCV()).problem is problem
    best, _ = trained(empty, problem, "lm")
    assert best.problem is problem


@pytest.mark.parametrize("rule", [ByEvidence(), InRounds()], **NAMED)
def test_growth_starts_with_less_penalty_if_the_noise_is_known(rule):
    """Where descents take turns with the evidence they would take too long with less."""
    for loss in KNOWN:
        _, problem = random_case(loss, rule=rule)
        assert rule.freed(problem).alpha == pytest.approx((0.3 if type(rule) is ByEvidence else 1) * 0.7, rel=1e-15)
        assert rule.freed(problem).rule is rule
    for loss in ESTIMATED:
        _, problem = random_case(loss, rule=rule)
        assert rule.freed(problem) is problem


@pytest.mark.parametrize("loss", [*KNOWN, *ESTIMATED], **NAMED)
@pytest.mark.parametrize("alpha", [1e-3, 1e5])
def test_growth_begins_anew_with_a_small_penalty_that_stays(loss, alpha):
    """Whatever fixed point of the evidence the network before has come to."""
    _, problem = random_case(loss, alpha=alpha, rule=ByEvidence())
    held = problem.rule.held(problem)
    assert held.alpha == pytest.approx(0.01 * problem.loss.first_alpha, rel=1e-15)
    assert not held.rule.sets_penalty


@given(alpha=st.floats(1e-6, 1e6))
@pytest.mark.parametrize("penalty", [L2, PathNorm])
def test_growths_are_tried_again_with_shares_of_the_penalty_that_stay(penalty, alpha):
    problem = random_case(rule=ByEvidence())[1].with_penalty(penalty(alpha))
    again = list(problem.rule.retries(problem, must_gain=False))
    assert [one.alpha for one in again] == [alpha, alpha / 2, alpha / 4]
    (once,) = problem.rule.retries(problem, must_gain=True)  # that adds no neurons
    assert once.alpha == alpha
    for one in (*again, once):
        assert type(one.penalty) is penalty
        assert not one.rule.sets_penalty
    assert problem.rule.after_retry() is problem.rule


def test_in_rounds_growths_are_tried_again_with_the_penalty_of_before_alone():
    _, problem = random_case(rule=InRounds())
    for must_gain in (True, False):
        (once,) = problem.rule.retries(problem, must_gain=must_gain)
        assert once.alpha == problem.alpha
        assert not once.rule.sets_penalty
    assert problem.rule.after_retry() == InRounds(1)
    assert problem.rule.after_retry().n_rounds == 1
    assert problem.rule.needs_evidence
    assert problem.rule.sets_penalty


# rounds --------------------------------------------------------------------------------------------------------


class Rounds:
    """Descents whose next strength is a function of the present one; what they were asked for is kept."""

    def __init__(self, follows, *, iterations=10**9):
        self.follows, self.iterations, self.monitor = follows, iterations, Monitor()
        self.asked, self.starts = [], []

    def descend(self, problem, max_iter, previous):
        self.asked.append((problem.alpha, max_iter))
        self.starts.append(previous)
        self.monitor.epoch += min(max_iter, self.iterations)
        return SimpleNamespace(
            problem=problem, following=problem.at(self.follows(problem.alpha)), alpha=problem.alpha, row=len(self.asked)
        )

    def stage(self, rule, *, max_iter=200, may_drift=True):
        _, problem = random_case(rule=rule)
        found = rule.stage(self.descend, problem, max_iter, monitor=self.monitor, may_drift=may_drift)
        assert found.row == len(self.asked)
        assert self.starts[0] is None
        assert [start.row for start in self.starts[1:]] == list(range(1, len(self.asked)))
        return found


@pytest.mark.parametrize("rule", [FixedAlpha(), ByEvidence()], **NAMED)
def test_one_descent_makes_a_stage(rule):
    rounds = Rounds(lambda alpha: 100 * alpha)
    rounds.stage(rule)
    assert rounds.asked == [(0.7, 200)]


@pytest.mark.parametrize("n_rounds", [1, 2, 6])
def test_rounds_end_after_so_many_although_the_strength_moves_on(n_rounds):
    """The last one is to the end; all before are rough."""
    rounds = Rounds(lambda alpha: 2 * alpha)
    rounds.stage(InRounds(n_rounds))
    assert [alpha for alpha, _ in rounds.asked] == [0.7 * 2**k for k in range(n_rounds)]
    lengths = [length for _, length in rounds.asked]
    assert lengths[-1] == 200
    assert all(length < 200 for length in lengths[:-1])


@pytest.mark.parametrize("target", [1e-3, 1e3])
@pytest.mark.parametrize("may_drift", [True, False])
def test_rounds_end_when_the_strength_has_settled(target, may_drift):
    """Within 0.3 in logs: then there is one descent to the end, with that strength or the last step of it."""
    rounds = Rounds(lambda alpha: target * (alpha / target) ** 0.1)
    found = rounds.stage(InRounds(), may_drift=may_drift)
    moves = [abs(math.log(after / before)) for (before, _), (after, _) in pairwise(rounds.asked)]
    assert all(move > 0.3 for move in moves[:-1])
    assert moves[-1] < 0.3
    assert (moves[-1] == 0) == (not may_drift)
    assert [length == 200 for _, length in rounds.asked] == [False] * len(moves) + [True]
    assert abs(math.log(found.following.alpha / found.alpha)) < 0.3
    assert found.alpha == pytest.approx(target, rel=0.3)


def test_where_the_rough_descent_has_ended_already_there_is_no_other_one():
    rounds = Rounds(lambda alpha: 1.1 * alpha, iterations=7)
    rounds.stage(InRounds())
    assert len(rounds.asked) == 1


def test_short_stages_are_never_rough():
    rounds = Rounds(lambda alpha: 2 * alpha)
    rounds.stage(InRounds(3), max_iter=20)
    assert [length for _, length in rounds.asked] == [20, 20, 20]


def test_rounds_end_when_training_is_stopped():
    rounds = Rounds(lambda alpha: 2 * alpha)
    rounds.monitor.stopped = True
    rounds.stage(InRounds())
    assert len(rounds.asked) == 1


@pytest.mark.parametrize("loss", [SquaredError(), CrossEntropy()], **NAMED)
@pytest.mark.parametrize("alpha", [1e-3, 50.0])
def test_in_rounds_solvers_end_near_the_strength_that_the_evidence_asks_for(loss, alpha):
    network, problem = random_case(loss, alpha=alpha, rule=InRounds(), n=100)
    best, _ = trained(network, problem, "lbfgs", schedule=Plateau(1e-6, 20))
    asked = next_strength(best.network, best.problem)
    assert abs(math.log(asked / best.alpha)) < 0.3
    assert best.following.alpha == pytest.approx(asked, rel=1e-12)


# the loop ------------------------------------------------------------------------------------------------------


def test_after_a_retry_in_rounds_there_is_one_round():
    """A proposal that cannot fit is tried again with the penalty of before; from then on there is one descent."""
    network, problem = random_case(CrossEntropy(), rule=InRounds(), alpha=0.1)
    seen = []

    class Watching(Proposals):
        def act(self, current, best, history):
            seen.append((current.problem.rule, best.problem.rule))
            return super().act(current, best, history)

    poor = network.with_theta(torch.zeros_like(network.theta))  # a stationary point but for the output biases
    history = History()
    fit(
        network,
        problem,
        SOLVERS["lbfgs"],
        Watching(network, poor, network),
        Plateau(),
        max_iter=100,
        monitor=Monitor(),
        history=history,
    )
    assert history.column("accepted")[2] is False
    assert seen[:2] == [(InRounds(), InRounds())] * 2
    assert seen[2:] == [(InRounds(1), InRounds(1))] * 2


# others --------------------------------------------------------------------------------------------------------


@given(data=st.lists(st.tuples(st.floats(1e-6, 1e6), st.floats(0.01, 1)), min_size=1, max_size=4))
def test_the_penalty_of_an_average_is_the_geometric_mean(data):
    _, problem = random_case()
    alphas, weights = zip(*data, strict=True)
    shares = [weight / sum(weights) for weight in weights]
    found = of_average([problem.at(alpha) for alpha in alphas], shares)
    logs = sum(share * math.log(alpha) for share, alpha in zip(shares, alphas, strict=True))
    assert found.alpha == pytest.approx(math.exp(logs), rel=1e-9)
    same = [problem.at(0.3), problem.at(0.3)]
    assert of_average(same, [0.2, 0.8]) is same[0]  # to the last bit


@pytest.mark.parametrize("rule", [FixedAlpha(), ByEvidence(), InRounds()], **NAMED)
def test_a_lowered_penalty_is_a_third_and_stays(rule):
    _, problem = random_case(rule=rule)
    found = lowered(problem)
    assert found.alpha == 0.7 / 3
    assert not found.rule.sets_penalty
    assert (problem.alpha, problem.rule) == (0.7, rule)
