"""Members of an ensemble: what makes them differ, what they go on from, and how they are grown beside each other.

The first member is the network that would be grown alone. The others have random numbers of their own, and each of
their searches for neurons sees a random part of the rows, drawn anew, as the trees of stochastic gradient boosting do
(Friedman 2002). In all else every member sees all rows: descent, penalty and criterion are those of the one problem.
So members are different optima of it. Their estimated errors compare, and their evidence counts the observations that
there are: resampled rows, as in bagging, would be fewer observations, ask for stronger penalties and fewer neurons, and
an average of networks that are too simple is too simple.
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
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.utils.parallel import Parallel, delayed

from skgrow._messages import warn
from skgrow.growth._constants import GROWTH
from skgrow.growth._member import Member
from skgrow.networks import MLP, Network, summands
from skgrow.problem import Problem
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
            network.task, own = tasks[place], problems[place].at(trained.alpha)
            theta = trained.network.theta
            network.trained = replace(trained, network=trained.network.with_theta(theta), problem=own, following=own)
        return self


Grow = Callable[[int, "Report | None"], Grown]


def of_member(number: int, tasks: Sequence[Task], settings: Any) -> tuple[list[Task], Any]:
    """Return the tasks with the random numbers of a member, and the settings with its search.

    The first one has those given.
    """
    if not number:
        return list(tasks), settings
    tasks = [replace(t, seed=int(np.random.SeedSequence([t.seed, number]).generate_state(1)[0])) for t in tasks]
    search, (n, d) = clone(settings.search, safe=False), tasks[-1].samples.X.shape
    if hasattr(search, "max_samples"):  # a component of one's own may have none
        rows = max(d + 2, math.ceil(GROWTH.searched_share * n))
        search.max_samples = rows if search.max_samples is None else min(rows, search.max_samples)
    return tasks, replace(settings, search=search)


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

    In other processes the stages are reported when the member is done.

    Parameters
    ----------
    grow : callable
        ``grow(number, report)`` grows a member.
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
    n_members, beside = settings.n_members, settings.n_members > 1 and effective_n_jobs(settings.n_jobs) > 1
    found = _beside(grow, settings, report) if beside else (grow(number, report) for number in range(n_members))
    with closing(found):
        for number in range(n_members):
            try:
                grown = next(found)
            except KeyboardInterrupt:
                if not number:
                    raise
                interrupted()
                return
            yield grown.unpacked(tasks, problems) if beside else grown
            if grown.stop_reason:
                return


def _beside(grow: Grow, settings: Any, report: Report | None) -> Generator[Grown]:
    """Yield the members, grown in processes."""
    jobs = (delayed(_in_process)(grow, number, report is not None) for number in range(settings.n_members))
    for grown, stages, said in Parallel(settings.n_jobs, return_as="generator")(jobs):
        for text, category in said:
            warn(text, category)
        stops = report is not None and any(report(*stage) for stage in stages)
        yield replace(grown, stop_reason=grown.stop_reason or ("callback" if stops else ""))


def _in_process(grow: Grow, number: int, reports: bool) -> tuple[Grown, list[Any], list[Any]]:
    """Return what a member has grown, its stages, and what it has warned of."""
    stages: list[Any] = []

    def record(name: str, row: dict[str, Any], network: Any) -> bool:
        stages.append((name, row, network))
        return False

    with warnings.catch_warnings(record=True) as said:
        grown = grow(number, record if reports else None)
    return grown.packed(), stages, [(str(found.message), found.category) for found in said]
