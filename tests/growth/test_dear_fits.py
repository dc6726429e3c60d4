"""Where a fit is dear: rounds of the penalty, and what is not computed twice."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skgrow.criteria import Validation
from skgrow.growth import GrowthPolicy, PolarSearch, _policy
from skgrow.networks import MLP, Activation, glorot
from skgrow.problem import L2, CrossEntropy, KroneckerCurvature, Problem
from skgrow.solvers import LBFGS
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
    return GrowthPolicy(
        descend=short,
        search=PolarSearch(),
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


def test_growths_searched_once_and_refitted_once(monkeypatch):
    searches, refits, search, refit = [], [], PolarSearch.search, _policy.refit_output

    def counted_search(self, *args, **kwargs):
        searches.append(1)
        return search(self, *args, **kwargs)

    def counted_refit(network, problem):
        refits.append(1)
        return refit(network, problem)

    monkeypatch.setattr(PolarSearch, "search", counted_search)
    monkeypatch.setattr(_policy, "refit_output", counted_refit)
    _, history = grown(8.0)
    assert [row["action"] for row in history] == ["start", "grow"]
    assert len(searches) == len(refits) == 2  # to grow, and for the indicator of the last network


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
    policy = growing()
    network = start(problem, 3)
    one = policy._refit(network, problem)
    assert policy._refit(network, problem) is one
    assert policy._refit(network, problem.at(10.0)) is not one


def test_the_first_factor_is_decomposed_once_per_problem():
    problem = digits(1.0)
    one, other = (KroneckerCurvature.of(start(problem, width), problem) for width in (2, 5))
    assert one.first is other.first
    lam, U = one.first
    torch.testing.assert_close((U * lam) @ U.T, one.factors[0][0], rtol=1e-10, atol=1e-12)
