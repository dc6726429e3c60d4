"""Multilevel training: levels, solvers and the order in which they are visited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from sklearn.base import BaseEstimator, clone

from skgrow.multilevel._hierarchies import Hierarchy
from skgrow.multilevel._level import Level
from skgrow.multilevel._policy import MGOptPolicy, build_levels, first_network, nested_iteration
from skgrow.networks import Activation, Architecture, Network, ResNet
from skgrow.solvers import MiniBatchSolver, Solver
from skgrow.training import (
    Every,
    History,
    Monitor,
    Report,
    Result,
    Schedule,
    Settings,
    StageMonitor,
    Task,
    completed,
    fit,
    stages_of,
)


class Cycle(BaseEstimator):
    """In which order levels are visited, and how.

    Parameters
    ----------
    kind : {"full", "V", "W", "two-level"}, default="full"
        ``"full"`` trains the coarsest level first and goes up when progress gets slow, with corrections from coarse
        levels on the finest; the others start there: V-cycles, W-cycles (a level is corrected twice when it is
        visited), or two levels.
    correction : bool or "exact", default=False
        Whether a coarse objective has the linear term by which it sees the finer one, on mini-batches by gradients of
        the same mini-batch; ``"exact"`` takes the exact fine gradient. Without it corrections are cheaper, and were
        found faster in practice.
    kappa : float, default=0.5
        In (0, 1): a coarse level is visited if it sees more than this share of the fine gradient's norm.
    check_every : int, default=10
        Solver iterations on the finest level between two corrections.
    coarse_iter : int, default=5
        Solver iterations of a coarse level per correction.
    regularization : float, default=0.0
        Factor of half the squared distance from the restricted parameters in a coarse objective.
    coarse_solver : str, Solver or None, default=None
        Of the coarse levels; None: that of the finest.
    coarse_learning_rate_init : float or None, default=None
        Of the coarse levels; None: that of the finest times the steps of the hierarchy.
    target_loss : float or None, default=None
        Training objective at which training ends, on the finest level; a coarse level is left when it is reached there.
    """

    def __init__(
        self,
        kind: str = "full",
        *,
        correction: bool | str = False,
        kappa: float = 0.5,
        check_every: int = 10,
        coarse_iter: int = 5,
        regularization: float = 0.0,
        coarse_solver: Any = None,
        coarse_learning_rate_init: float | None = None,
        target_loss: float | None = None,
    ) -> None:
        self.kind = kind
        self.correction = correction
        self.kappa = kappa
        self.check_every = check_every
        self.coarse_iter = coarse_iter
        self.regularization = regularization
        self.coarse_solver = coarse_solver
        self.coarse_learning_rate_init = coarse_learning_rate_init
        self.target_loss = target_loss

    def check(self) -> None:
        """Raise ValueError for parameters that cannot be used."""
        kinds = ["full", "V", "W", "two-level"]
        if self.kind not in kinds:
            raise ValueError(f"Cycle: kind must be one of {kinds}; got {self.kind!r}.")
        if self.correction not in (True, False, "exact"):
            raise ValueError(f"Cycle: correction must be True, False or 'exact'; got {self.correction!r}.")
        if not 0 < self.kappa < 1:
            raise ValueError(f"Cycle: kappa must lie in (0, 1); got {self.kappa!r}.")
        for name in ("check_every", "coarse_iter"):
            if getattr(self, name) < 1:
                raise ValueError(f"Cycle: {name} must be >= 1; got {getattr(self, name)!r}.")
        if self.regularization < 0:
            raise ValueError(f"Cycle: regularization must be >= 0; got {self.regularization!r}.")
        for name in ("coarse_learning_rate_init", "target_loss"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"Cycle: {name} must be None or > 0; got {value!r}.")


@dataclass(frozen=True, kw_only=True)
class MGOptSettings(Settings):
    """Settings of multilevel training; see :class:`~skgrow.MGOptRegressor`.

    Parameters
    ----------
    architecture : Architecture
        Of the network.
    sizes : tuple of int
        Hidden layers of the finest level.
    activation : Activation
        Of the hidden neurons.
    final_time : float
        Of a residual network: its steps have this length together.
    hierarchy : Hierarchy
        Of the levels.
    n_levels : int or "auto"
        Their number.
    cycle : Cycle
        In which order they are visited.
    coarse_solver : Solver or None
        Of the coarse levels.
    max_iter, tol, n_iter_no_change
        As in :class:`~skgrow.preconditioning.FixedSettings`.
    """

    architecture: Architecture
    sizes: tuple[int, ...]
    activation: Activation
    final_time: float
    hierarchy: Hierarchy
    n_levels: Any
    cycle: Cycle
    coarse_solver: Solver | None
    max_iter: int
    tol: float
    n_iter_no_change: float

    def template(self, d: int, c: int) -> Network:
        """Return a network of zero weights on the finest level."""
        standardized = self.standardize
        return self.trainable(self.architecture.template(d, self.sizes, c, self.activation, standardized=standardized))

    def trainable(self, network: Network) -> Network:
        """Return a residual network in Euler steps of the final time over their number, others as they are."""
        if not isinstance(network, ResNet):
            return network
        return network.with_step(self.final_time / max(1, network.n_blocks))

    def takes_shift(self, d: int, c: int) -> bool:
        """Whether the outputs have a bias."""
        return self.template(d, c).has_bias[-1]

    def work(self, n: int, d: int, c: int) -> float:
        """Return about how many operations a pass over the data takes."""
        return n * self.template(d, c).flops

    def count_levels(self, network: Network) -> int:
        """Return the number of levels.

        Raises
        ------
        ValueError
            If the hierarchy does not fit the network, or has not so many.
        """
        two = self.cycle.kind == "two-level"
        if self.n_levels == "auto":
            self.hierarchy.check(network, 2)
            return 2 if two else self.hierarchy.levels(network)
        if two and self.n_levels > 2:
            raise ValueError(f"cycle='two-level' needs n_levels <= 2; got n_levels={self.n_levels!r}.")
        self.hierarchy.check(network, self.n_levels)
        return int(self.n_levels)


class _Until(Schedule):
    """A schedule that is also due at a target."""

    def __init__(self, schedule: Schedule, target: float | None) -> None:
        self.schedule, self.target = schedule, target

    def due(self, values: list[float], epoch: int) -> bool:
        """Whether a coarse level has been trained enough."""
        return (self.target is not None and values[-1] <= self.target) or self.schedule.due(values, epoch)


class _CoarseMonitor(Monitor):
    """Reports the coarse levels; an interruption there ends training on all levels."""

    def __init__(self, report: Report | None, finest: Monitor) -> None:
        self.finest, self.report = finest, report
        super().__init__()

    @property
    def stopped(self) -> bool:
        """Whether training is to stop."""
        return self.finest.stopped

    @stopped.setter
    def stopped(self, value: bool) -> None:
        self.finest.stopped = value or self.finest.stopped

    def stop(self, reason: str) -> None:
        """End training on all levels."""
        self.stop_reason = reason
        self.finest.stop(reason)

    def stage(self, row: dict[str, Any], network: Network) -> None:  # noqa: ARG002
        """Report the row."""
        if self.report is not None:
            self.report("coarse", row, None)


def train(task: Task, settings: MGOptSettings, report: Report | None = None) -> Result:
    """Train a network on several levels.

    Parameters
    ----------
    task : Task
        What is to be trained on.
    settings : MGOptSettings
        What the user has set.
    report : callable, optional
        Hears of the stages.

    Returns
    -------
    Result
        ``found`` has the number of levels.
    """
    cycle, hierarchy = settings.cycle, settings.hierarchy
    task = task.encoded(settings.encoding)
    generator = task.generator()
    whole, criterion = task.penalised(), task.criterion()
    previous = task.previous
    template = settings.template(task.samples.X.shape[1], whole.Y.shape[1]) if previous is None else previous
    template = template.with_theta(task.samples.X.new_zeros(template.n_parameters))
    n_levels = settings.count_levels(template)
    levels = build_levels(hierarchy, template, whole, n_levels)
    solvers = _solvers(settings, n_levels, len(task.samples.X), generator)
    monitor = StageMonitor(task, report, settings.architecture.name, settings.max_iter, cycle.target_loss)
    history = History()
    with task.threads():
        network, state = previous, None
        if network is None:
            network, state = _first(
                task, settings, levels, solvers, generator, _CoarseMonitor(report, monitor), history
            )
        first = len(history)
        policy = MGOptPolicy(
            settings.tol,
            stages_of(settings.n_iter_no_change, cycle.check_every),
            least=criterion.least_gain(whole),
            levels=levels,
            solvers=solvers,
            hierarchy=hierarchy,
            monitor=monitor,
            kappa=cycle.kappa,
            n_coarse=cycle.coarse_iter,
            correction=cycle.correction,
            regularization=cycle.regularization,
            cycles=2 if cycle.kind == "W" else 1,
        )
        best = fit(
            network,
            levels[0].problem,
            solvers[0],
            policy,
            Every(cycle.check_every),
            max_iter=settings.max_iter,
            monitor=monitor,
            history=history,
            criterion=criterion,
            state=state,
        )
    if "work" not in history[-1]:
        policy.describe(history[-1])
    for row in history:
        row["activation"] = task.named(network.activation.name)
    finest = list(history[first:])
    return Result(
        best,
        list(history),
        monitor.loss_curve,
        min(row["train_loss"] for row in finest),
        completed(lambda: task.validation_scores(finest), monitor),
        policy.ended(history, monitor, settings),
        {"n_levels_": n_levels},
        task,
    )


def _first(
    task: Task,
    settings: MGOptSettings,
    levels: list[Level],
    solvers: list[Solver],
    generator: torch.Generator,
    monitor: Monitor,
    history: History,
) -> tuple[Network, Any]:
    """Return the network that the finest level starts with, and a state of its solver: trained on coarse levels."""
    cycle, hierarchy = settings.cycle, settings.hierarchy
    if cycle.kind != "full" or len(levels) == 1 or hierarchy.moves:
        return first_network(levels, hierarchy, task.seed, generator), None
    return nested_iteration(
        levels,
        solvers,
        hierarchy,
        seed=task.seed,
        generator=generator,
        schedule=_Until(settings.schedule, cycle.target_loss),
        target=cycle.target_loss,
        max_iter=settings.max_iter,
        monitor=monitor,
        history=history,
    )


def _solvers(settings: MGOptSettings, n_levels: int, n: int, generator: torch.Generator) -> list[Solver]:
    """Return the solvers of all levels, finest first."""
    fine, hierarchy = settings.solver, settings.hierarchy
    found = [fine.seeded(generator)]
    size = fine.rows(n)
    for step in hierarchy.steps(n_levels)[1:]:
        size = hierarchy.batch_size(size)
        coarse = clone(fine if settings.coarse_solver is None else settings.coarse_solver)
        if isinstance(coarse, MiniBatchSolver):
            rate = settings.cycle.coarse_learning_rate_init
            coarse.batch_size = size
            coarse.learning_rate_init = step * coarse.learning_rate_init if rate is None else rate
            if hierarchy.moves:
                coarse.preconditioner = None
        found.append(coarse.seeded(generator))
    return found
