"""The training loop: what becomes of proposals."""

import pytest
import torch

from skgrow.criteria import Validation
from skgrow.networks import MLP, Activation
from skgrow.problem import L2, Problem
from skgrow.solvers import SolverState
from skgrow.training import Action, ByEvidence, History, Monitor, Plateau, fit


class Once:
    """A policy with a single proposal, from the first network."""

    def __init__(self, network, must_gain=False):
        self.network, self.must_gain = network, must_gain

    def act(self, current, best, history):
        name = "exchange" if self.must_gain else "grow"
        return None if len(history) > 1 else Action(name, self.network, current, must_gain=self.must_gain)


class Biased:
    """A solver that ends with the output bias ``rule(start, penalty)``; the loss is half its square."""

    def __init__(self, rule):
        self.rule = rule

    def start(self, network, problem, previous=None, kept=None):
        return BiasedState(network, problem, self.rule)


class BiasedState(SolverState):
    monotone = False

    def __init__(self, network, problem, rule):
        super().__init__(network, problem)
        self.rule, self.converged = rule, True

    def step(self):
        theta = self.network.theta.clone()
        theta[-1] = self.rule(float(theta[-1]), self.problem.alpha)
        self.network = self.network.with_theta(theta)
        return float(self.problem.objective(self.network))


def constant(bias):
    return MLP((1, 0, 1), torch.tensor([bias], dtype=torch.float64), Activation("relu"))


def history_of(rule, **settings):
    X = torch.zeros(4, 1, dtype=torch.float64)
    problem = Problem(X, X, penalty=L2(1.0), rule=ByEvidence())
    history = History()
    fit(
        constant(3.0),
        problem,
        Biased(rule),
        Once(constant(2.0), **settings),
        Plateau(),
        max_iter=5,
        monitor=Monitor(),
        history=history,
        criterion=Validation(problem),
    )
    return history


def test_a_growth_that_would_raise_the_loss_goes_on_with_a_smaller_penalty():
    start, grown = history_of(lambda bias, alpha: 0.6 if bias == 3 else alpha)
    assert grown["accepted"]
    assert grown["alpha"] == 0.5  # that of before, one, is tried in vain
    assert grown["train_loss"] == pytest.approx(0.125)
    assert grown["train_loss"] <= start["train_loss"]


def test_a_growth_that_raises_the_loss_with_any_penalty_is_undone():
    _, grown = history_of(lambda bias, alpha: 0.1 if bias == 3 else 1 + alpha)
    assert not grown["accepted"]


def test_an_exchange_keeps_the_penalty():
    _, exchanged = history_of(lambda bias, alpha: 0.6 if bias == 3 else alpha, must_gain=True)
    assert not exchanged["accepted"]
    assert exchanged["alpha"] == 1.0
