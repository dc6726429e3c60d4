r"""The average of two networks, with weights that fall with their estimated errors on new data.

Two networks of different activations that were trained on the same data err in different places, and their average is
often better than either: with errors of mean squares :math:`c_1, c_2` that are not correlated, the weights

.. math::
    w_1 = \frac{c_2}{c_1 + c_2}, \qquad w_2 = \frac{c_1}{c_1 + c_2}

of Bates and Granger (1969) are the best ones, and bring the error to :math:`c_1 c_2 / (c_1 + c_2)`. Errors are
correlated, of course; but weights that take an estimated correlation into account are known to do worse than these
(Stock and Watson 2004), as does choosing the network of the smaller estimate, which differ by chance. Other losses take
the same weights.

The error of the average is estimated from its training loss S. How far training losses are too small, the optimism,
is linear in the outputs for the squared error, the cross-entropy and the Poisson deviance (Efron 2004), and taken to be
so for the other losses. So that of the average is the mean of its networks', and the error is

.. math::
    S + w_1 (c_1 - S_1) + w_2 (c_2 - S_2).
"""

from __future__ import annotations

import math

import numpy as np

from skgrow.networks import average
from skgrow.training._evidence import Evidence, dispersion_of, per_observation
from skgrow.training._loop import Trained
from skgrow.training._problem import Problem

#: A network whose weight would be smaller is left out.
_LEAST_SHARE = 0.05


def estimated_error(trained: Trained, criterion: str) -> float:
    """Return the estimated loss on new data, in the units of the criterion.

    Parameters
    ----------
    trained : Trained
        A trained network.
    criterion : {"loo", "gcv", "evidence"}
        What it was judged by. Validation data come first; for ``"evidence"``, which estimates no error, the answer is
        generalised cross-validation.

    Returns
    -------
    float
        Infinite where it is not known.
    """
    if math.isfinite(trained.validation_loss):
        return trained.validation_loss
    if criterion == "evidence":
        return math.inf if trained.evidence is None else trained.evidence.gcv
    return -trained.criterion


def share_of_first(first: float, second: float) -> float:
    """Return the weight of the first of two networks in their average.

    Parameters
    ----------
    first, second : float
        Estimated errors of the two.

    Returns
    -------
    float
        Between 0.05 and 0.95, or 0 or 1 where one of the two is to be left out.
    """
    if not (math.isfinite(first) and math.isfinite(second) and first > 0 and second > 0):
        return 1.0 if first <= second else 0.0
    share = second / (first + second)
    return round(share) if min(share, 1 - share) < _LEAST_SHARE else share


def averaged(
    first: Trained, second: Trained, share: float, problem: Problem, validation: Problem | None, criterion: str
) -> Trained:
    """Return the average of two trained networks of one hidden layer each, with what is known of it.

    Parameters
    ----------
    first, second : Trained
        On the same data, with evidence where it is not too dear or ``criterion`` needs it.
    share : float
        Weight of the first.
    problem : Problem
        The training problem.
    validation : Problem or None
        Of the validation data.
    criterion : {"loo", "gcv", "evidence"}
        Of the two networks, without validation data.

    Returns
    -------
    Trained
        Its penalty is the geometric mean of the two.
    """
    network = average(first.network, second.network, share)
    alpha = first.alpha if first.alpha == second.alpha else first.alpha**share * second.alpha ** (1 - share)
    mean = Trained(network, alpha, float(problem.data_loss(network)), math.nan, None, math.nan)
    unit = per_observation(problem.loss, problem.total_weight, network.layer_sizes[-1])

    def error(of_first: float, of_second: float) -> float:
        optimism = of_first - unit * first.loss, of_second - unit * second.loss
        return unit * mean.loss + share * optimism[0] + (1 - share) * optimism[1]

    if first.evidence is not None and second.evidence is not None:
        gcv = error(first.evidence.gcv, second.evidence.gcv)
        mean.evidence = evidence_of_average(first.evidence, second.evidence, share, mean, problem, gcv)
    if validation is not None:
        mean.validation_loss = float(validation.data_loss(network))
        mean.criterion = -mean.validation_loss
    elif criterion == "evidence":
        mean.criterion = mean.evidence.log_evidence if mean.evidence is not None else -math.inf
    else:
        mean.criterion = -error(-first.criterion, -second.criterion)
    return mean


def evidence_of_average(
    first: Evidence, second: Evidence, share: float, mean: Trained, problem: Problem, gcv: float
) -> Evidence:
    """Return the evidence of the average of two networks.

    Effective parameters are linear in the outputs. The noise variance that they give leans low by some per cent:
    residual degrees of freedom are not linear. The marginal likelihood is that of either network, one being as probable
    beforehand as the other.
    """
    n, c = problem.total_weight, mean.network.layer_sizes[-1]
    effective = share * first.effective_parameters + (1 - share) * second.effective_parameters
    dispersion = dispersion_of(problem.loss, mean.loss, effective, n, c)
    log_evidence = float(np.logaddexp(first.log_evidence, second.log_evidence)) - math.log(2)
    return Evidence(mean.alpha, dispersion, effective, log_evidence, gcv)
