"""Where a fit is dear: rounds of the penalty, and what is not computed twice."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skgrow.criteria import Validation
from skgrow.growth import GrowthPolicy, PolarSearch
from skgrow.networks import MLP, Activation, glorot, widen
from skgrow.problem import L2, CrossEntropy, KroneckerCurvature, Problem
from skgrow.solvers import LBFGS, refit_output
from skgrow.training import History, InRounds, Monitor, Plateau, descend, fit


def digits(alpha, **settings):
    X, y = load_digits(return_X_y=True)
    X = torch.as_tensor((X - X.mean(0)) / np.maximum(X.std(0), 1e-3))[:500]
    Y = torch.as_tensor(np.eye(10)[y[:500]])
    return Problem(X, Y, None, CrossEntropy(), L2(alpha), curvature=KroneckerCurvature, support=3.0, **settings)


def growing(**settings):
    def short(network, on):
        return descend(network, on, LBFGS(), Plateau(), max_iter=5, monitor=Monitor()).network, on

    defaults = {"block_size": 6, "max_neurons": 12, "max_extensions": 1, "n_exchanges": 0}
    defaults["search"] = PolarSearch()
    return GrowthPolicy(
        descend=short,
        schedule=Plateau(max_growths=1),
        patience=1,
        min_decrease=1e-6,
        generator=torch.Generator().manual_seed(0),
        expensive=True,
        **defaults | settings,
    )


def start(problem, width=0):
    return glorot(MLP((64, width, 10), None, Activation("tanh")), 0, problem.X)


def grown(alpha, **settings):
    problem, history = digits(alpha, rule=InRounds()), History()
    run = {"max_iter": 200, "monitor": Monitor(), "history": history, "criterion": Validation(problem)}
    return fit(start(problem), problem, LBFGS(), growing(**settings), Plateau(), **run), history


@pytest.mark.parametrize("alpha", [0.1, 100.0])
def test_from_any_start_the_penalty_settles_where_the_evidence_asks_for_it(alpha):
    best, _ = grown(alpha)
    assert abs(math.log(best.evidence.alpha / best.alpha)) < 0.3


class Counted(PolarSearch):
    """A search that counts."""

    def search(self, *args, **kwargs):
        self.count = getattr(self, "count", 0) + 1
        return super().search(*args, **kwargs)


def test_growths_are_searched_for_once():
    search = Counted()
    _, history = grown(8.0, search=search)
    assert [row["action"] for row in history] == ["start", "grow"]
    assert search.count == 2  # to grow, and for the indicator of the last network


class Same:
    """A search that finds the same block again."""

    def __init__(self, block):
        self.block = block

    def search(self, *args, **kwargs):
        return self.block


def test_growths_are_refitted_once():
    """A block is scored by the refit that it is added with: to add it costs no further evaluations of the loss."""
    problem = digits(1.0)
    network = start(problem, 3)
    block = growing().best_block(network, problem)

    def evaluations(action):
        calls = []

        class Evaluated(CrossEntropy):
            def value(self, F, Y):
                calls.append(len(F))
                return super().value(F, Y)

        action(growing(search=Same(block)), replace(problem, loss=Evaluated()))
        return len(calls)

    to_score = evaluations(lambda policy, problem: policy.best_block(network, problem))
    assert evaluations(lambda policy, problem: policy.widened(network, problem)) == to_score > 3


def test_the_indicator_of_the_block_proposed_is_one_of_the_best_block():
    problem = digits(1.0)
    policy, network = growing(), start(problem, 3)
    proposed = policy.indicators(network, problem, policy.proposals(network, problem))["indicator"]
    policy.expensive = False
    searched = policy.indicators(network, problem, policy.proposals(network, problem))["indicator"]
    assert 0 < proposed <= 2
    assert proposed == pytest.approx(searched, rel=0.3)


def test_a_refit_with_another_penalty_is_another_refit():
    problem = digits(1.0)
    network = start(problem, 3)
    block = growing().best_block(network, problem)
    silent, _ = widen(network, 0, block.W, block.b, torch.zeros(10, len(block.b)).double())
    policy = growing(search=Same(block))
    for alpha in (1.0, 10.0, 1.0):
        wider, kept = policy.widened(network, problem.at(alpha))
        refitted = refit_output(silent, problem.at(alpha))
        torch.testing.assert_close(wider.theta, refitted.theta, rtol=1e-9, atol=1e-12)
        assert len(kept) == network.n_parameters


def test_the_first_factor_is_decomposed_once_per_problem():
    problem = digits(1.0)
    one, other = (KroneckerCurvature.of(start(problem, width), problem) for width in (2, 5))
    assert one.first is other.first
    lam, U = one.first
    torch.testing.assert_close((U * lam) @ U.T, one.factors[0][0], rtol=1e-10, atol=1e-12)
