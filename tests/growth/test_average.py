"""The average of networks: its weights, and what is estimated of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from skgrow.criteria import GCV, Evidence, LeaveOneOut, LogEvidence, Validation, evidence
from skgrow.growth import averaged, shares_of
from skgrow.networks import MLP, Activation
from skgrow.problem import L2, CrossEntropy, Logistic, Problem, SquaredError
from skgrow.training import Trained, measured

positive = st.floats(1e-6, 1e6)


@given(errors=st.lists(positive, min_size=1, max_size=4))
def test_uncorrelated_errors_have_their_least_mean_square(errors):
    shares = shares_of(errors)
    assert sum(shares) == pytest.approx(1)
    kept = [(share, error) for share, error in zip(shares, errors, strict=True) if share]
    least = 1 / sum(1 / error for _, error in kept)
    assert sum(share**2 * error for share, error in kept) == pytest.approx(least)
    for share, error in zip(shares, errors, strict=True):
        if share == 0:  # its weight would be below 0.05
            assert error > 19 * least * 0.999
        else:
            assert share >= 0.05


@pytest.mark.parametrize(
    ("errors", "shares"),
    [
        ((0.0, 1.0), (1, 0)),
        ((1.0, 0.0), (0, 1)),
        ((math.inf, 1.0), (0, 1)),
        ((1.0, math.inf), (1, 0)),
        ((math.inf, math.inf), (1, 0)),
        ((2.0, 2.0), (0.5, 0.5)),
        ((1.0, math.inf, 1.0), (0.5, 0, 0.5)),
        ((1.0, 1.0, 1e9), (0.5, 0.5, 0)),
        ((1e-3, 1.0, 0.0), (0, 0, 1)),
    ],
)
def test_what_can_not_be_weighed_stands_alone(errors, shares):
    assert shares_of(errors) == pytest.approx(shares)


def test_errors_come_from_validation_data_or_the_criterion():
    of_evidence = Evidence(1.0, 1.0, 3.0, -7.0, 0.25)
    assert LogEvidence().error(Trained(None, None, None, 0.1, -7.0, of_evidence, math.nan)) == 0.25
    assert LeaveOneOut().error(Trained(None, None, None, 0.1, -0.5, of_evidence, math.nan)) == 0.5
    assert Validation(None).error(Trained(None, None, None, 0.1, -0.3, of_evidence, 0.3)) == 0.3
    assert LogEvidence().error(Trained(None, None, None, 0.1, -math.inf, None, math.nan)) == math.inf


def trained_networks(loss, Y, alpha=1.0, widths=(3, 4)):
    rng = np.random.default_rng(0)
    problem = Problem(torch.as_tensor(rng.normal(size=(len(Y), 2))), torch.as_tensor(Y), loss=loss, penalty=L2(alpha))
    found = []
    for width, name in zip(widths, ("relu", "tanh"), strict=True):
        c = Y.shape[1]
        theta = torch.as_tensor(0.5 * rng.normal(size=3 * width + (width + 1) * c))
        network = MLP((2, width, c), theta, Activation(name))
        known = evidence(network, problem, problem.curvature_at(network), update=False)
        one = measured(network, problem, GCV())
        assert one.evidence == known
        assert one.criterion == -known.gcv
        assert one.loss == float(problem.data_loss(network))
        found.append(one)
    return problem, *found


LOSSES = {
    "squared error": (SquaredError(), np.random.default_rng(1).normal(size=(30, 2))),
    "logistic": (Logistic(), np.random.default_rng(1).integers(0, 2, (30, 1)).astype(float)),
    "cross-entropy": (CrossEntropy(), np.eye(3)[np.random.default_rng(1).integers(0, 3, 30)]),
}


@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("name", LOSSES)
def test_an_average_is_never_estimated_worse_than_its_networks_in_the_mean(name, share):
    """The loss is convex and the optimism linear."""
    problem, first, second = trained_networks(*LOSSES[name])
    mean = averaged([first, second], [share, 1 - share], GCV())
    X = problem.X
    torch.testing.assert_close(mean.network(X), share * first.network(X) + (1 - share) * second.network(X))
    assert mean.loss == pytest.approx(float(problem.data_loss(mean.network)))
    assert -mean.criterion <= -share * first.criterion - (1 - share) * second.criterion
    optimism = [-found.criterion - problem.loss.known_dispersion * found.loss for found in (first, second)]
    if problem.loss.known_dispersion:
        assert -mean.criterion - mean.loss == pytest.approx(share * optimism[0] + (1 - share) * optimism[1])
    assert -mean.criterion == pytest.approx(mean.evidence.gcv)
    by_evidence = averaged([first, second], [share, 1 - share], LogEvidence())
    expected = np.logaddexp(first.evidence.log_evidence, second.evidence.log_evidence) - np.log(2)
    assert by_evidence.criterion == pytest.approx(expected)


def test_with_validation_data_the_loss_there_is_the_criterion():
    _, first, second = trained_networks(*LOSSES["squared error"])
    other = trained_networks(SquaredError(), LOSSES["squared error"][1][::-1].copy())[0]
    judge = Validation(other)
    judged = [replace(one, validation_loss=judge.validation_loss(one.network)) for one in (first, second)]
    mean = averaged(judged, [0.4, 0.6], judge)
    assert mean.validation_loss == -mean.criterion == float(other.data_loss(mean.network))
    estimated = averaged([first, second], [0.4, 0.6], judge)  # trained on all rows in the end
    assert math.isnan(estimated.validation_loss)
    assert estimated.criterion == averaged([first, second], [0.4, 0.6], GCV()).criterion


def test_the_average_of_a_network_with_itself_is_that_network():
    _, first, _ = trained_networks(*LOSSES["squared error"])
    mean = averaged([first, first], [0.3, 0.7], GCV())
    assert mean.criterion == pytest.approx(first.criterion)
    assert mean.loss == pytest.approx(first.loss)
    assert mean.alpha == pytest.approx(first.alpha)
    for field in ("alpha", "dispersion", "effective_parameters", "log_evidence", "gcv"):
        assert getattr(mean.evidence, field) == pytest.approx(getattr(first.evidence, field))


def test_dispersion_is_the_loss_over_what_effective_parameters_leave():
    _, first, second = trained_networks(*LOSSES["squared error"])
    mean = averaged([first, second], [0.25, 0.75], GCV())
    effective = 0.25 * first.evidence.effective_parameters + 0.75 * second.evidence.effective_parameters
    assert mean.evidence.effective_parameters == pytest.approx(effective)
    assert mean.evidence.dispersion == pytest.approx(2 * 30 * mean.loss / (60 - effective))
