"""One fit of a network by multilevel training."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any

import torch

from skgrow import multilevel
from skgrow.criteria import Objective, Validation
from skgrow.estimators._fixed_run import FixedRun
from skgrow.estimators._run import BudgetMonitor, StageMonitor
from skgrow.networks import Network
from skgrow.problem import L2
from skgrow.training import Every, History, Monitor, Plateau, fit


class MGOptRun(FixedRun):
    """Training on several levels at once."""

    #: Many weights, no other guard against too much training: on fewer rows a tenth of them says nothing.
    _early_stopping_rows = 100

    def _template(self, d: int, c: int) -> Network:
        return self.estimator._template(d, c)

    def _schedule(self) -> Any:
        named = self.estimator.schedule == "plateau"
        schedule = Plateau(tol=0.1, patience=3) if named else super(FixedRun, self)._schedule()
        return _Until(schedule, self.estimator.target_loss)

    def _make_solvers(self, hierarchy: multilevel.Hierarchy, n_levels: int, generator: torch.Generator) -> list[Any]:
        """Return the solvers of all levels, finest first."""
        estimator, n = self.estimator, len(self.samples.X)
        solvers = [self._make_solver(generator)]
        coarse, size = copy(self), min(200 if estimator.batch_size == "auto" else estimator.batch_size, n)
        for step in hierarchy.steps(n_levels)[1:]:
            size = hierarchy.batch_size(size)
            coarse.estimator = copy(estimator)
            coarse.estimator.batch_size = size
            coarse.estimator.learning_rate_init = step * estimator.learning_rate_init
            if estimator.coarse_solver is not None:
                coarse.estimator.solver = estimator.coarse_solver
            if estimator.coarse_learning_rate_init is not None:
                coarse.estimator.learning_rate_init = estimator.coarse_learning_rate_init
            if hierarchy.moves or coarse.estimator.solver == "lbfgs":
                coarse.estimator.preconditioner = None
            solvers.append(coarse._make_solver(generator))
        return solvers

    def _fit_networks(self) -> None:
        estimator, samples = self.estimator, self.samples
        generator = torch.Generator().manual_seed(self.seed)
        whole = self._problem(samples, penalty=L2(float(estimator.alpha)))
        template = self._template(samples.X.shape[1], whole.Y.shape[1]) if self.previous is None else self._fitted()
        template = template.with_theta(samples.X.new_zeros(template.n_parameters))
        hierarchy = estimator._hierarchy()
        n_levels = estimator._count_levels(hierarchy, template)
        self.levels = levels = multilevel.build_levels(hierarchy, template, whole, n_levels)
        solvers = self._make_solvers(hierarchy, n_levels, generator)
        monitor, history = _FineMonitor(self, estimator.architecture), History()
        state = None
        with self._threads():
            if self.previous is not None:
                network = self._fitted()
            elif estimator.cycle == "full" and n_levels > 1 and not hierarchy.moves:
                network, state = multilevel.nested_iteration(
                    levels,
                    solvers,
                    hierarchy,
                    seed=self.seed,
                    generator=generator,
                    schedule=self._schedule(),
                    target=estimator.target_loss,
                    max_iter=estimator.max_iter,
                    monitor=_LevelMonitor(self, monitor),
                    history=history,
                )
            else:
                network = multilevel.first_network(levels, hierarchy, self.seed, generator)
            first = len(history)
            policy = multilevel.MGOptPolicy(
                estimator.tol,
                -(-estimator.n_iter_no_change // estimator.check_every),
                levels=levels,
                solvers=solvers,
                hierarchy=hierarchy,
                monitor=monitor,
                kappa=estimator.kappa,
                n_coarse=estimator.coarse_iter,
                correction=estimator.correction,
                regularization=estimator.regularization,
                cycles=2 if estimator.cycle == "W" else 1,
            )
            held_out = self.held_out
            best = fit(
                network,
                levels[0].problem,
                solvers[0],
                policy,
                Every(estimator.check_every),
                max_iter=estimator.max_iter,
                monitor=monitor,
                history=history,
                criterion=Objective() if held_out is None else Validation(self._problem(held_out)),
                state=state,
            )
        if "work" not in history[-1]:
            policy.describe(history[-1])
        for row in history:
            row["activation"] = network.activation.name
        self.loss_curve = monitor.loss_curve
        self._store_common(best, whole, list(history))
        finest = list(history[first:])
        estimator.best_loss_ = min(row["train_loss"] for row in finest)
        estimator.validation_scores_ = self._validation_scores(finest)
        estimator.n_levels_ = n_levels

    def _fitted(self) -> Network:
        return self.estimator._stepped(super()._fitted())


@dataclass
class _Until:
    """A schedule that is also due at a target."""

    schedule: Any
    target: float | None

    def due(self, values: list[float], epoch: int) -> bool:
        """Whether a coarse level has been trained enough."""
        return (self.target is not None and values[-1] <= self.target) or self.schedule.due(values, epoch)


class _FineMonitor(BudgetMonitor):
    """Ends training at the target, too."""

    def iteration(self, value: float) -> None:
        """Take note of one solver iteration."""
        super().iteration(value)
        target = self.run.estimator.target_loss
        self.stopped = self.stopped or (target is not None and value <= target)


class _LevelMonitor(StageMonitor):
    """Logs the coarse levels; an interruption there ends training on all levels."""

    def __init__(self, run: Any, finest: Monitor) -> None:
        self.finest = finest
        super().__init__(run, "coarse")

    @property
    def stopped(self) -> bool:
        """Whether training is to stop."""
        return self.finest.stopped

    @stopped.setter
    def stopped(self, value: bool) -> None:
        self.finest.stopped = value or self.finest.stopped

    def stage(self, row: dict[str, Any], network: Network) -> None:  # noqa: ARG002
        """Log the row."""
        self.log(row)
