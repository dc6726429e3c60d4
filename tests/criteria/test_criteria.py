"""Criteria as components: values, least gains, where others take their place, and one of one's own in training."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from skgrow.criteria import (
    GCV,
    Criterion,
    LeaveOneOut,
    LogEvidence,
    Objective,
    Validation,
    evidence,
    leave_one_out,
)
from skgrow.networks import MLP, Activation
from skgrow.problem import (
    L2,
    CrossEntropy,
    FixedAlpha,
    KroneckerCurvature,
    Logistic,
    Operator,
    Poisson,
    Problem,
    Quantile,
    SquaredError,
    derivative,
)
from skgrow.solvers import LBFGS, LevenbergMarquardt
from skgrow.training import Action, BetweenDescents, ByEvidence, Every, History, Monitor, fit, measured

KNOWN = [Logistic(), CrossEntropy()]
ESTIMATED = [SquaredError(), Poisson(), Quantile(0.3, 0.1)]
ESTIMATES = [GCV(), LeaveOneOut(), LogEvidence()]
NAMED = {"ids": lambda value: type(value).__name__}


def random_case(loss=None, seed=0, *, n=40, width=3, alpha=0.7):
    loss = SquaredError() if loss is None else loss
    rng = np.random.default_rng(seed)
    network = MLP((2, width, 2), torch.as_tensor(rng.normal(size=5 * width + 2)), Activation("tanh"))
    Y = np.eye(2)[rng.integers(0, 2, n)]
    weight = torch.as_tensor(rng.uniform(0.5, 2, n))
    return network, Problem(torch.as_tensor(rng.normal(size=(n, 2))), torch.as_tensor(Y), weight, loss, L2(alpha))


def criteria():
    return [*ESTIMATES, Objective(), Validation(random_case(seed=1)[1])]


# values --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [*KNOWN, *ESTIMATED], **NAMED)
def test_values_are_what_the_criteria_are_named_after(loss):
    network, problem = random_case(loss)
    other = random_case(loss, seed=1)[1]
    found = evidence(network, problem, problem.curvature_at(network), update=False)
    assert GCV().value(network, problem, found) == -found.gcv
    assert LogEvidence().value(network, problem, found) == found.log_evidence
    loo = leave_one_out(network, problem, problem.alpha, found)
    assert LeaveOneOut().value(network, problem, found) == -loo
    assert loo != found.gcv
    assert Objective().value(network, problem, None) == -float(problem.objective(network))
    assert Validation(other).value(network, problem, None) == -float(other.data_loss(network))
    for criterion in ESTIMATES:  # nothing is known
        assert criterion.needs_evidence
        assert criterion.value(network, problem, None) == -math.inf
    assert not Objective().needs_evidence
    assert not Validation(other).needs_evidence


@pytest.mark.parametrize("criterion", criteria(), **NAMED)
def test_measured_networks_are_judged_by_their_criterion(criterion):
    network, problem = random_case()
    trained = measured(network, problem, criterion)
    assert (trained.evidence is not None) == criterion.needs_evidence
    assert trained.criterion == criterion.value(network, problem, trained.evidence)
    assert trained.criterion == trained.entries(criterion)["criterion"]
    if isinstance(criterion, Validation):
        assert trained.validation_loss == float(criterion.problem.data_loss(network))
    else:
        assert math.isnan(trained.validation_loss)
        assert math.isnan(criterion.validation_loss(network))


def test_the_history_has_a_column_for_leaving_out_one_sample():
    network, problem = random_case()
    for criterion in criteria():
        trained = measured(network, problem, criterion)
        loo = trained.entries(criterion)["loo"]
        assert loo == -trained.criterion if isinstance(criterion, LeaveOneOut) else math.isnan(loo)


@pytest.mark.parametrize("criterion", criteria(), **NAMED)
def test_the_error_is_an_estimate_of_the_loss_on_new_data(criterion):
    network, problem = random_case()
    trained = measured(network, problem, criterion)
    expected = trained.evidence.gcv if isinstance(criterion, LogEvidence) else -trained.criterion
    assert criterion.error(trained) == expected
    if isinstance(criterion, LogEvidence):
        assert criterion.error(replace(trained, loo=0.3)) == 0.3  # what is known beside it
        assert criterion.error(replace(trained, evidence=None)) == math.inf


def test_averages_are_judged_by_the_estimate_but_for_what_is_known_of_them():
    found = evidence(*random_case(), random_case()[1].curvature_at(random_case()[0]), update=False)
    mean = SimpleNamespace(evidence=found, validation_loss=0.4)
    assert GCV().of_average(mean, 0.3) == LeaveOneOut().of_average(mean, 0.3) == Objective().of_average(mean, 0.3)
    assert GCV().of_average(mean, 0.3) == -0.3
    assert Validation(None).of_average(mean, 0.3) == -0.4
    assert LogEvidence().of_average(mean, 0.3) == found.log_evidence
    assert LogEvidence().of_average(SimpleNamespace(evidence=None), 0.3) == -math.inf


# gains ---------------------------------------------------------------------------------------------------------


def test_the_least_gain_is_a_nat_if_the_loss_is_in_nats():
    for loss in KNOWN:
        problem = random_case(loss)[1]
        assert LogEvidence().least_gain(problem) == 1.0
        assert GCV().least_gain(problem) == LeaveOneOut().least_gain(problem) == 1 / problem.total_weight
    for loss in ESTIMATED:
        assert {criterion.least_gain(random_case(loss)[1]) for criterion in criteria()} == {0.0}
    for loss in KNOWN:
        problem = random_case(loss)[1]
        assert Objective().least_gain(problem) == Validation(problem).least_gain(problem) == 0.0


def valued(value, loss=0.0):
    return SimpleNamespace(criterion=value, loss=loss, problem=SimpleNamespace(rule=FixedAlpha()))


@given(value=st.floats(-1e3, 1e3), change=st.floats(-5, 5))
@pytest.mark.parametrize("loss", [SquaredError(), Logistic()], **NAMED)
@pytest.mark.parametrize("criterion", criteria(), **NAMED)
def test_a_gain_is_more_than_a_trifle(criterion, loss, value, change):
    """A thousandth of the value, or the least gain."""
    problem = random_case(loss)[1]
    least = max(criterion.least_gain(problem), 1e-3 * abs(value))
    found = criterion.gains(valued(value + change), valued(value), problem)
    assert found == (value + change > value + least)
    assert not criterion.gains(valued(value), valued(value), problem)


@pytest.mark.parametrize("criterion", criteria(), **NAMED)
def test_anything_is_a_gain_over_what_is_not_known(criterion):
    problem = random_case()[1]
    assert criterion.gains(valued(-1e9), valued(-math.inf), problem)
    assert not criterion.gains(valued(-math.inf), valued(-math.inf), problem)
    assert not criterion.gains(valued(-math.inf), valued(-1e9), problem)
    assert not criterion.gains(valued(math.nan), valued(-1.0), problem)


@pytest.mark.parametrize("criterion", criteria(), **NAMED)
def test_what_stays_and_what_becomes_the_best(criterion):
    """A change must not raise the loss; the objective asks for its own value, and every change that stays is better."""
    problem = random_case()[1]
    lower, higher = valued(-3.0, 1.0), valued(-2.0, 2.0)
    if isinstance(criterion, Objective):
        assert criterion.is_kept(higher, lower)
        assert not criterion.is_kept(lower, higher)
        assert criterion.is_kept(valued(-2.0 * (1 + 1e-15)), higher)  # rounding
        assert criterion.becomes_best(valued(-2.0), higher, True, problem)
        assert not criterion.becomes_best(valued(-2.0), higher, False, problem)
    else:
        assert criterion.is_kept(lower, higher)
        assert not criterion.is_kept(higher, lower)
        assert not criterion.becomes_best(valued(-2.0), higher, True, problem)
    assert criterion.is_kept(higher, higher)
    assert criterion.becomes_best(higher, lower, False, problem)


def test_under_a_penalty_that_follows_a_change_must_not_raise_what_it_minimises():
    """The loss may rise with the penalty, the objective under the penalty of the change may not."""
    network, problem = random_case()
    smaller = network.with_theta(0.9 * network.theta)
    for alpha in (1e-8, 1e8):
        after = problem.at(alpha).ruled(BetweenDescents())
        change = SimpleNamespace(network=smaller, problem=after, loss=float(after.data_loss(smaller)))
        base = SimpleNamespace(network=network, problem=problem, loss=float(problem.data_loss(network)))
        better = float(after.objective(smaller)) <= float(after.objective(network))
        assert GCV().is_kept(change, base) == better
        assert better or alpha < 1


# where they fit ------------------------------------------------------------------------------------------------


def operator_problem():
    _, problem = random_case()
    operator = Operator(derivative(torch.tensor([1.0, 0.0])), 1, torch.zeros(2), torch.ones(2))
    return replace(problem, operator=operator)


def test_leaving_out_one_sample_needs_newton_steps_and_leverages():
    """Kinks, operators and approximate curvatures have none: there it is cross-validation with equal leverages."""
    _, problem = random_case()
    criterion = LeaveOneOut()
    assert criterion.suited_to(problem, smooth=True) is criterion
    kronecker = replace(problem, curvature=KroneckerCurvature)
    for where, smooth in ((problem, False), (operator_problem(), True), (kronecker, True)):
        assert type(criterion.suited_to(where, smooth=smooth)) is GCV


@pytest.mark.parametrize("criterion", [GCV(), LogEvidence(), Objective(), Validation(None)], **NAMED)
@pytest.mark.parametrize("smooth", [True, False])
def test_other_criteria_suit_everything(criterion, smooth):
    _, problem = random_case()
    for where in (problem, operator_problem(), replace(problem, curvature=KroneckerCurvature)):
        assert criterion.suited_to(where, smooth=smooth) is criterion


@pytest.mark.parametrize("smooth", [True, False])
def test_without_a_penalty_there_is_no_evidence(smooth):
    _, problem = random_case(alpha=0.0)
    with pytest.raises(ValueError, match="criterion='evidence' needs alpha > 0; got alpha=0"):
        LogEvidence().suited_to(problem, smooth=smooth)
    for criterion in (GCV(), LeaveOneOut(), Objective(), Validation(None)):
        criterion.suited_to(problem, smooth=smooth)


@pytest.mark.parametrize("criterion", criteria(), **NAMED)
def test_criteria_are_components(criterion):
    if isinstance(criterion, Validation):
        assert criterion.get_params(deep=False) == {"problem": criterion.problem}
    else:
        assert type(clone(criterion)) is type(criterion)
        assert criterion.get_params() == {}


# one of one's own ----------------------------------------------------------------------------------------------


class Thrift(Criterion):
    """Minus the loss, and a price per parameter."""

    needs_evidence = False
    column = "cost"

    def __init__(self, price=0.0):
        self.price = price

    def value(self, network, problem, found):
        return -float(problem.data_loss(network)) - self.price * network.n_parameters


class AsksForEvidence(Criterion):
    """The number of parameters that the data leave undetermined."""

    def value(self, network, problem, found):
        return network.n_parameters - found.effective_parameters


class Proposals:
    """A policy that proposes given networks, one after the other."""

    def __init__(self, *networks):
        self.networks = iter(networks)

    def act(self, current, best, history):
        network = next(self.networks, None)
        return None if network is None else Action("grow", network, current)


@pytest.mark.parametrize("price", [0.0, 1.0])
def test_a_criterion_of_ones_own_says_which_network_is_the_best(price):
    """Wider networks fit better; a high price is not worth it."""
    network, problem = random_case(width=1, alpha=1e-3)
    criterion, history = Thrift(price), History()
    wider = [random_case(width=width)[0] for width in (4, 8)]
    best = fit(
        network,
        problem,
        LBFGS(),
        Proposals(*wider),
        Every(100),
        max_iter=100,
        monitor=Monitor(),
        history=history,
        criterion=criterion,
    )
    assert history.column("accepted") == [True, True, True]
    assert history.column("n_parameters") == [7, 22, 42]
    for row in history:
        assert row["criterion"] == -row["cost"] == pytest.approx(-row["train_loss"] - price * row["n_parameters"])
        assert math.isnan(row["gcv"])
    assert best.row == (0 if price else 2)
    assert best.criterion == max(history.column("criterion"))
    assert criterion.error(best) == -best.criterion
    assert clone(criterion).price == price


@pytest.mark.parametrize("rule", [None, ByEvidence()], ids=["fixed", "evidence"])
@pytest.mark.parametrize("solver", [LevenbergMarquardt(), LBFGS()], **NAMED)
def test_a_criterion_of_ones_own_is_given_the_evidence(rule, solver):
    network, problem = random_case()
    problem, history = problem if rule is None else problem.ruled(rule), History()
    best = fit(
        network,
        problem,
        solver,
        Proposals(),
        Every(30),
        max_iter=30,
        monitor=Monitor(),
        history=history,
        criterion=AsksForEvidence(),
    )
    assert best.criterion == network.n_parameters - best.evidence.effective_parameters > 0
    assert history[0]["gcv"] == best.evidence.gcv
