r"""The average of networks, with weights that fall with their estimated errors on new data.

Networks of different activations that were trained on the same data err in different places, and their average is
often better than any of them: with errors of mean squares :math:`c_i` that are not correlated, the weights

.. math::
    w_i = \frac{1 / c_i}{\sum_j 1 / c_j}

of Bates and Granger (1969) are the best ones, and bring the error to :math:`1 / \sum_j c_j^{-1}`. Errors are
correlated, of course; but weights that take estimated correlations into account are known to do worse than these
(Stock and Watson 2004), as does choosing the network of the smallest estimate, which differ by chance. Other losses
take the same weights.

The error of the average is estimated from its training loss S. How far training losses are too small, the optimism,
is linear in the outputs for the squared error, the cross-entropy and the Poisson deviance (Efron 2004), and taken to be
so for the other losses. So that of the average is the mean of its networks', and the error is

.. math::
    S + \sum_i w_i (c_i - S_i).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from skgrow.criteria._evidence import Evidence, dispersion_of, per_observation
from skgrow.networks import average
from skgrow.problem._problem import Problem
from skgrow.training._loop import Trained

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


def shares_of(errors: Sequence[float]) -> list[float]:
    """Return the weights of networks in their average.

    Parameters
    ----------
    errors : sequence of float
        Their estimated errors.

    Returns
    -------
    list of float
        Of sum 1, none between 0 and 0.05; all of it for the first of the smallest errors where that is not positive,
        or none is finite.
    """
    least = min(errors)
    if not 0 < least < math.inf:
        first = errors.index(least)
        return [float(i == first) for i in range(len(errors))]
    precisions = [least / error for error in errors]
    while True:
        total = sum(precisions)
        shares = [precision / total for precision in precisions]
        if all(share == 0 or share >= _LEAST_SHARE for share in shares):
            return shares
        precisions[shares.index(min(share for share in shares if share > 0))] = 0.0


def averaged(
    members: Sequence[Trained], shares: Sequence[float], problem: Problem, validation: Problem | None, criterion: str
) -> Trained:
    """Return the average of trained networks of one hidden layer each, with what is known of it.

    Parameters
    ----------
    members : sequence of Trained
        On the same data, with evidence where it is not too dear or ``criterion`` needs it.
    shares : sequence of float
        Their weights, of sum 1.
    problem : Problem
        The training problem.
    validation : Problem or None
        Of the validation data.
    criterion : {"loo", "gcv", "evidence"}
        Of the networks, without validation data.

    Returns
    -------
    Trained
        Its penalty is the geometric mean of theirs.
    """
    network = average([member.network for member in members], shares)
    alphas = [member.alpha for member in members]
    alpha = alphas[0] if len(set(alphas)) == 1 else math.prod(a**share for a, share in zip(alphas, shares, strict=True))
    mean = Trained(network, alpha, float(problem.data_loss(network)), math.nan, None, math.nan)
    unit = per_observation(problem.loss, problem.total_weight, network.layer_sizes[-1])

    def error(of_members: Iterable[float]) -> float:
        found = zip(members, of_members, shares, strict=True)
        return unit * mean.loss + sum(share * (of_one - unit * one.loss) for one, of_one, share in found)

    known = [member.evidence for member in members if member.evidence is not None]
    if len(known) == len(members):
        mean.evidence = evidence_of_average(known, shares, mean, problem, error(one.gcv for one in known))
    if validation is not None:
        mean.validation_loss = float(validation.data_loss(network))
        mean.criterion = -mean.validation_loss
    elif criterion == "evidence":
        mean.criterion = mean.evidence.log_evidence if mean.evidence is not None else -math.inf
    else:
        mean.criterion = -error(-member.criterion for member in members)
    return mean


def evidence_of_average(
    members: Sequence[Evidence], shares: Sequence[float], mean: Trained, problem: Problem, gcv: float
) -> Evidence:
    """Return the evidence of the average of networks.

    Effective parameters are linear in the outputs. The noise variance that they give leans low by some per cent:
    residual degrees of freedom are not linear. The marginal likelihood is that of any of the networks, all being as
    probable beforehand.
    """
    n, c = problem.total_weight, mean.network.layer_sizes[-1]
    effective = sum(share * one.effective_parameters for one, share in zip(members, shares, strict=True))
    dispersion = dispersion_of(problem.loss, mean.loss, effective, n, c)
    log_evidence = float(np.logaddexp.reduce([one.log_evidence for one in members])) - math.log(len(members))
    return Evidence(mean.alpha, dispersion, effective, log_evidence, gcv)
