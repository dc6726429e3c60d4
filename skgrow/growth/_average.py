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
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch

from skgrow.criteria import Criterion, Evidence, dispersion_of, per_observation
from skgrow.growth._constants import GROWTH
from skgrow.growth._member import Member
from skgrow.networks import ACTIVATIONS, MLP, average, with_inputs
from skgrow.training import Task, Trained, of_average


def shares_of(errors: Sequence[float]) -> list[float]:
    """Return the weights of networks in their average.

    Parameters
    ----------
    errors : sequence of float
        Their estimated errors.

    Returns
    -------
    list of float
        Of sum 1, none between 0 and 0.05 (of more than ten networks half of an equal weight); all of it for the first
        of the smallest errors if that is not positive, or none is finite.
    """
    least, least_share = min(errors), min(GROWTH.least_share, 0.5 / len(errors))
    if not 0 < least < math.inf:
        first = errors.index(least)
        return [float(i == first) for i in range(len(errors))]
    precisions = [least / error for error in errors]
    while True:
        total = sum(precisions)
        shares = [precision / total for precision in precisions]
        if all(share == 0 or share >= least_share for share in shares):
            return shares
        precisions[shares.index(min(share for share in shares if share > 0))] = 0.0


def averaged(members: Sequence[Trained], shares: Sequence[float], criterion: Criterion) -> Trained:
    """Return the average of trained networks of one hidden layer each, with what is known of it.

    Parameters
    ----------
    members : sequence of Trained
        On the same data, with evidence if that is not too expensive or ``criterion`` needs it.
    shares : sequence of float
        Their weights, of sum 1.
    criterion : Criterion
        That judged the networks.

    Returns
    -------
    Trained
        Its penalty is the geometric mean of theirs.
    """
    network = average([member.network for member in members], shares)
    problem = of_average([member.problem for member in members], shares)
    held_out = all(math.isfinite(member.validation_loss) for member in members)  # or all rows were trained on
    loss = float(problem.data_loss(network))
    validation_loss = criterion.validation_loss(network) if held_out else math.nan
    mean = Trained(network, problem, problem, loss, math.nan, None, validation_loss)
    unit = per_observation(problem.loss, problem.total_weight, network.layer_sizes[-1])

    def error(of_members: Iterable[float]) -> float:
        found = zip(members, of_members, shares, strict=True)
        return unit * loss + sum(share * (of_one - unit * one.loss) for one, of_one, share in found)

    known = [member.evidence for member in members if member.evidence is not None]
    if len(known) == len(members):
        mean.evidence = evidence_of_average(known, shares, mean, error(one.gcv for one in known))
    mean.criterion = criterion.of_average(mean, error(-member.criterion for member in members))
    return mean


def evidence_of_average(members: Sequence[Evidence], shares: Sequence[float], mean: Trained, gcv: float) -> Evidence:
    """Return the evidence of the average of networks.

    Effective parameters are linear in the outputs. The noise variance that they give leans low by some per cent:
    residual degrees of freedom are not linear. The marginal likelihood is that of any of the networks, all being as
    probable beforehand.
    """
    problem = mean.problem
    n, c = problem.total_weight, mean.network.layer_sizes[-1]
    effective = sum(share * one.effective_parameters for one, share in zip(members, shares, strict=True))
    dispersion = dispersion_of(problem.loss, problem.spread(mean.network, mean.loss), effective, n, c)
    log_evidence = float(np.logaddexp.reduce([one.log_evidence for one in members])) - math.log(len(members))
    return Evidence(mean.alpha, dispersion, effective, log_evidence, gcv)


def combine(
    grown: Sequence[Member],
    line: Member | None,
    criterion_on: Callable[[Task], Criterion],
    *,
    may_average: bool,
    goes_on: bool,
    max_neurons: int,
) -> Member:
    """Return the average of the networks that belong into it, or the one that is to stand alone.

    The linear model is given only if no network is estimated to be better, and joins the networks if their neurons fit
    into the budget; while networks have more neurons together, the worst by the criterion stay out. An average that
    training goes on from stays one, whatever its size.

    Parameters
    ----------
    grown : sequence of Member
        Networks, one per activation.
    line : Member or None
        The linear model.
    criterion_on : callable
        Gives the criterion that judged those of a task.
    may_average : bool
        Whether networks without the linear model may be averaged.
    goes_on : bool
        Whether they were grown from an average.
    max_neurons : int
        Budget.
    """
    best = max(grown, key=lambda member: member.trained.criterion)  # the first one, if equal
    networks, room = [member for member in grown if member.width], max_neurons - (0 if line is None else line.width)
    if goes_on and sum(member.width for member in networks) > room:
        line = None
    while not goes_on and sum(member.width for member in networks) > room:
        networks.remove(min(networks, key=lambda member: member.trained.criterion))
    members = [best]
    if line is not None:
        members = [line, *networks]
    elif may_average and networks:
        members = networks
    return average_of(members, criterion_on)


def average_of(members: Sequence[Member], criterion_on: Callable[[Task], Criterion]) -> Member:
    """Return the average of networks, or of averages of networks: the one network of all of them.

    Those of equal activation lie side by side. A network that is in several of the averages, as the linear model may
    be, is in theirs once. One that has all the weight is returned as it is.

    Parameters
    ----------
    members : sequence of Member
        One or more.
    criterion_on : callable
        Gives the criterion that judged those of a task.
    """
    if len(members) == 1:
        return members[0]
    shares = shares_of([criterion_on(member.task).error(member.trained) for member in members])
    kept = [(member, share) for member, share in zip(members, shares, strict=True) if share > 0]
    if len(kept) == 1:
        return kept[0][0]
    networks: dict[int, Member] = {}
    weights: dict[int, float] = {}
    for member, share in kept:
        for part, of_part in zip(member.parts or [member], member.shares, strict=True):
            networks[id(part)] = part
            weights[id(part)] = weights.get(id(part), 0.0) + share * of_part
    parts = sorted(networks.values(), key=lambda part: ACTIVATIONS.index(part.name))
    shares = [weights[id(part)] for part in parts]
    for part in parts:
        part.measure()
    widest = max(parts, key=lambda part: part.task.samples.X.shape[1])
    mean = averaged([_on(widest, part) for part in parts], shares, criterion_on(widest.task))
    return Member(mean, mean.network.activation.name, widest.task, parts, shares)


def _on(widest: Member, member: Member) -> Trained:
    """Return what is known of a network as of one on the coordinates of another: the first of these are its own."""
    trained, n_inputs = member.trained, widest.task.samples.X.shape[1]
    if member.task.samples.X.shape[1] == n_inputs:
        return trained
    first = torch.eye(trained.network.layer_sizes[0], n_inputs).to(trained.network.theta)
    problem = widest.problem.with_penalty(trained.problem.penalty)
    return replace(trained, network=with_inputs(cast(MLP, trained.network), first), problem=problem)


def combine_members(members: Sequence[Member], criterion_on: Callable[[Task], Criterion]) -> Member:
    """Return the average of the members of an ensemble, each a network or an average of networks.

    Deep networks of different activations have no sum: then those of one activation are averaged, of that which the
    criterion prefers.
    """
    kinds: dict[str, list[Member]] = {}
    for member in members:
        deep = len(member.trained.network.weights) > 2
        kinds.setdefault(member.name if deep else "", []).append(member)
    averages = [average_of(alike, criterion_on) for alike in kinds.values()]
    return max(averages, key=lambda member: member.trained.criterion)
