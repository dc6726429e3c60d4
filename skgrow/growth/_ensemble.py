r"""Members of an ensemble: what makes them differ, what they go on from, and how they are grown beside each other.

The first member is the network that would be grown alone. Each search of the others sees a random part of the rows,
drawn anew, as the trees of stochastic gradient boosting do (Friedman 2002). It says where neurons begin, not what they
learn, and leads to other optima of the one problem of all rows: evidence and estimated errors are of all of them.

Members of classifiers differ in their rows as well: the weight of every observation is multiplied with a random number
of the standard exponential distribution, and the sum of all weights is kept (the Bayesian bootstrap; Rubin 1981). With
relative weights :math:`r_i` of mean and variance one, and the penalty that all rows ask for, a member minimises
:math:`\sum_i r_i \ell_i(\theta) + \tfrac\alpha2 |\theta|^2`. To first order its parameters are

.. math::
    \theta = \hat\theta - H^{-1} \sum_i (r_i - 1) \nabla \ell_i(\hat\theta),

of covariance :math:`H^{-1} \big(\sum_i \nabla \ell_i \nabla \ell_i^T\big) H^{-1}`, which is that of the Laplace
approximation: members are samples of the posterior (Newton and Raftery 1994), and their average is its mean.

That is so for the penalty and the number of observations of all rows. To the evidence, random weights would look like
signal, as weighted residuals have twice the optimism; with Kish's effective number of weights it would see half the
observations, and ask for too simple networks. So the penalty is that of the first member, the sum of weights is kept,
and what is said of a member in the end is measured on all rows as they are. There the optimism of its loss is that of
any network, :math:`\operatorname{tr} H^{-1} \sum_i \nabla^2 \ell_i` parameters, since weights are independent of the
targets: estimated errors compare, and those of the average follow as for any other one.

The mean of K samples has a squared error larger by one K-th of their variance. Regressions have nothing to set against
that, and their rows keep their weights; log-losses have, since the mean is less certain than the mode.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from skgrow._messages import warn
from skgrow.growth._constants import GROWTH
from skgrow.growth._member import Member
from skgrow.networks import MLP, Network, summands
from skgrow.problem import Problem, Samples
from skgrow.training import Report, Task, interrupted

#: Of every part of an average the number of its member (None: of all), its activation and the widths of its layers.
Structure = Sequence[tuple[int | None, str, tuple[int, ...]]]


@dataclass
class Grown:
    """What one member of an ensemble has grown.

    Parameters
    ----------
    number : int
        Of the member.
    networks : list of Member
        One per activation.
    may_average : bool
        Whether they may be averaged without the linear model.
    goes_on : bool
        Whether they were grown from networks fitted before.
    history, loss_curve : list
        Of all of them.
    stop_reason : str
        Why the whole fit is to end; empty if it goes on.
    found : dict
        Further results.
    """

    number: int
    networks: list[Member]
    may_average: bool
    goes_on: bool
    history: list[dict[str, Any]]
    loss_curve: list[float]
    stop_reason: str
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """Largest value of the criterion."""
        return max(network.trained.criterion for network in self.networks)

    def packed(self) -> Grown:
        """Return it without the state of solvers, which does not leave the process."""
        for network in self.networks:
            trained = network.trained
            network.trained = replace(trained, state=SimpleNamespace(settled=trained.settled))
        return self

    def unpacked(self, tasks: Sequence[Task], problems: Sequence[Problem]) -> Grown:
        """Return it with the tasks and problems of the fit in place of copies of them."""
        for network in self.networks:
            trained = network.trained
            place = [problem.X.shape[1] for problem in problems].index(trained.problem.X.shape[1])
            problem = problems[place]
            network.task, own = tasks[place], problem.at(trained.alpha)
            theta = trained.network.theta
            network.trained = replace(trained, network=trained.network.with_theta(theta), problem=own, following=own)
        return self


#: ``grow(number, alphas, report)`` grows a member; ``alphas`` are the penalties of the first one, by activation.
Grow = Callable[[int, dict[str, float], "Report | None"], Grown]


def of_member(number: int, tasks: Sequence[Task], settings: Any) -> tuple[list[Task], Any]:
    """Return the tasks of a member, with its random numbers and weights, and the settings, with its search.

    The first one has those given. Weights are random where the noise is known.
    """
    if not number:
        return list(tasks), settings
    seed = int(np.random.SeedSequence([tasks[0].seed, number]).generate_state(1)[0])
    search, (n, d) = clone(settings.search, safe=False), tasks[-1].samples.X.shape
    if hasattr(search, "max_samples"):  # a component of one's own may have none
        rows = max(d + 2, math.ceil(GROWTH.searched_share * n))
        search.max_samples = rows if search.max_samples is None else min(rows, search.max_samples)
    found = []
    for task in tasks:
        generator, samples, everything = np.random.default_rng(seed), task.samples, task.everything
        if task.loss.known_dispersion:
            samples = reweighted(samples, generator)
            everything = None if everything is None else reweighted(everything, generator)
        found.append(replace(task, seed=seed, samples=samples, everything=everything))
    return found, replace(settings, search=search)


def reweighted(samples: Samples, generator: np.random.Generator) -> Samples:
    """Return the samples with the weight of every observation times a standard exponential number, of the same sum.

    The factor of a row that stands for several observations is their mean.
    """
    n = np.ones(len(samples.X)) if samples.repeats is None else samples.repeats.to("cpu", torch.float64).numpy()
    weight = torch.as_tensor(generator.standard_gamma(n) / n).to(samples.X)
    total = float(len(weight)) if samples.weight is None else float(samples.weight.sum())
    weight = weight if samples.weight is None else weight * samples.weight
    return replace(samples, weight=weight * (total / weight.sum()))


def starts_of(previous: Network | None, structure: Structure) -> dict[tuple[int | None, str], MLP]:
    """Return the networks that training goes on from, by number of the member (None: of all) and activation.

    Raises
    ------
    ValueError
        If a deep network has weights between members.
    """
    if previous is None:
        return {}
    network = cast(MLP, previous)
    if not structure:
        parts = [(part.activation.name, part) for part in summands(network)]
        return {(None if name == "identity" else 0, name): part for name, part in parts}
    try:
        found = zip(structure, summands(network, [widths for *_, widths in structure]), strict=True)
    except ValueError as error:
        raise ValueError(
            "warm_start=True goes on from members without weights between them; partial_fit has joined those of a "
            "deep network. Allowed is warm_start=False."
        ) from error
    return {(number, name): part for (number, name, _), part in found if part.layer_sizes[1]}


def require_fitting(starts: dict[tuple[int | None, str], MLP], settings: Any) -> None:
    """Raise ValueError for networks that training can not go on from with these settings."""
    before = 1 + max((number or 0 for number, _ in starts), default=0)
    if before > settings.n_members:
        raise ValueError(
            f"warm_start=True goes on from {before} members; got n_members={settings.n_members}, allowed is at least "
            f"{before}."
        )
    for start in starts.values() if settings.certifies else ():
        known = start.activation.is_piecewise_linear or start.activation.name == "identity"
        if not known or start.depth != 1:
            raise ValueError(
                "penalty='path' with warm_start=True goes on from one hidden layer of 'relu' or 'leaky_relu' "
                f"neurons; got a fitted network of layers {start.layer_sizes} with activation "
                f"{start.activation.name!r}; allowed is warm_start=False."
            )


def grow_members(
    grow: Grow, tasks: Sequence[Task], problems: Sequence[Problem], settings: Any, report: Report | None
) -> Iterator[Grown]:
    """Yield what the members grow, in their order; an interrupt, or a stop for all, ends with those there are.

    The first one is grown in this process. In other ones the stages are reported when the member is done.

    Parameters
    ----------
    grow : callable
        ``grow(number, alphas, report)`` grows a member, all but the first with given penalties.
    tasks, problems : sequence of Task, of Problem
        Of all of them: on the features, and on their encoding.
    settings : GrowthSettings
        With numbers of members and of processes.
    report : callable or None
        Hears of the stages, and may stop the fit.

    Raises
    ------
    KeyboardInterrupt
        If it comes before there is a member.
    """
    grown = grow(0, {}, report)
    yield grown
    alphas, n_members = {}, settings.n_members
    if grown.networks[0].problem.loss.known_dispersion:
        alphas = {network.label: network.trained.alpha for network in grown.networks}
    beside = n_members > 1 and not grown.stop_reason and effective_n_jobs(settings.n_jobs) > 1
    if beside:
        others = _beside(grow, alphas, settings, report)
    else:
        others = (grow(number, alphas, report) for number in range(1, n_members))
    with closing(others):
        while not grown.stop_reason:
            try:
                following = next(others, None)
            except KeyboardInterrupt:
                interrupted()
                return
            if following is None:
                return
            grown = following.unpacked(tasks, problems) if beside else following
            yield grown


def _beside(grow: Grow, alphas: dict[str, float], settings: Any, report: Report | None) -> Generator[Grown]:
    """Yield all members but the first, grown in processes."""
    jobs = (delayed(_in_process)(grow, number, alphas, report is not None) for number in range(1, settings.n_members))
    for grown, stages, said in Parallel(settings.n_jobs, return_as="generator")(jobs):
        for text, category in said:
            warn(text, category)
        stops = report is not None and any(report(*stage) for stage in stages)
        yield replace(grown, stop_reason=grown.stop_reason or ("callback" if stops else ""))


def _in_process(grow: Grow, number: int, alphas: dict[str, float], reports: bool) -> tuple[Grown, list[Any], list[Any]]:
    """Return what a member has grown, its stages, and what it has warned of."""
    stages: list[Any] = []

    def record(name: str, row: dict[str, Any], network: Any) -> bool:
        stages.append((name, row, network))
        return False

    with warnings.catch_warnings(record=True) as said:
        grown = grow(number, alphas, record if reports else None)
    return grown.packed(), stages, [(str(found.message), found.category) for found in said]
