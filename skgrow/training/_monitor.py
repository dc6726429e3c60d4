"""What watches training: the loss curve and the flag that stops it."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import accumulate
from typing import Any

from skgrow.networks import Network

#: ``report(name, row, network)`` hears of a stage, and answers whether training is to stop; without a network the row
#: is of an auxiliary one.
Report = Callable[[str, dict[str, Any], Network | None], bool]

#: Why training ended, and what may help if that was too early.
STOP_REASONS = {
    "criterion": "the criterion (or validation loss, or objective) no longer improved",
    "min_decrease": "new neurons promise too small a decrease of the loss",
    "no_proposal": "nothing was found that would lower the loss",
    "tau": "the largest merit of a new layer is below tau",
    "undone": "the last change did not lower the loss, and was undone",
    "max_neurons": "the budget of neurons is used up; a larger max_neurons may predict better",
    "max_parameters": "without validation data no larger network is judged; early_stopping=True may predict better",
    "max_layers": "the budget of layers is used up; a larger max_layers may predict better",
    "schedule": "the schedule had no further change",
    "max_iter": "the budget of iterations is used up; a larger max_iter may lower the loss",
    "target_loss": "the target is reached",
    "duality_gap": "the network is optimal",
    "rival": "another activation was ahead",
    "callback": "a callback asked for it",
    "interrupted": "the user interrupted it",
    "not_finite": "the loss was no longer finite; a smaller learning_rate_init or standardized data may help",
}


class Monitor:
    """Watches training: keeps the loss curve and the stop flag. Subclasses talk to callbacks and logs."""

    #: Whether a loss that is not finite ends no more than the descent.
    may_diverge = False

    def __init__(self) -> None:
        self.epoch = 0
        self.loss_curve: list[float] = []
        self.stopped: bool = False
        self.stop_reason: str | None = None
        self.diverged: bool = False
        #: Whether the last descent found no lower objective, and whether the schedule found it too slow.
        self.converged, self.due = False, False

    def stop(self, reason: str) -> None:
        """End training, for one of the :data:`STOP_REASONS`; the first one counts."""
        if not self.stopped:
            self.stopped, self.stop_reason = True, reason

    def stands_still(self, tol: float, patience: float) -> bool:
        """Whether none of the last iterations has lowered the least objective by ``tol``, as MLPRegressor sees it."""
        if len(self.loss_curve) <= patience:
            return False
        last = self.loss_curve[-int(patience) - 1 :]
        least = list(accumulate(last, min, initial=min(self.loss_curve[: -len(last)], default=math.inf)))[1:-1]
        return all(value > best - tol for value, best in zip(last[1:], least, strict=True))

    def iteration(self, value: float) -> None:
        """Take note of one solver iteration (an epoch of a mini-batch solver)."""
        self.epoch += 1
        self.loss_curve.append(value)

    def stage(self, row: dict[str, Any], network: Network) -> None:
        """Take note of one stage."""

    def aside(self) -> Monitor:
        """Return a monitor for descents within an action: they are no epochs, but can stop training."""
        return _Aside(self)


class _Aside(Monitor):
    """Counts for itself and shares the stop flag of another monitor."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        super().__init__()

    @property
    def stopped(self) -> bool:
        """Whether training is to stop."""
        return self._monitor.stopped

    @stopped.setter
    def stopped(self, value: bool) -> None:
        self._monitor.stopped = self._monitor.stopped or value

    def stop(self, reason: str) -> None:
        """End training altogether."""
        self.stop_reason = reason
        self._monitor.stop(reason)


class StageMonitor(Monitor):
    """Tells somebody of the stages, who may stop training, and ends it when a budget or a target is reached.

    Parameters
    ----------
    task : Task
        Completes the rows.
    report : callable or None
        Hears of the stages.
    name : str
        Of what is trained.
    max_iter : float, default=inf
        Iterations in all stages together.
    target : float or None, default=None
        Objective at which training ends.
    """

    def __init__(
        self, task: Any, report: Report | None, name: str, max_iter: float = math.inf, target: float | None = None
    ) -> None:
        super().__init__()
        self.task, self.report, self.name, self.max_iter, self.target = task, report, name, max_iter, target

    def iteration(self, value: float) -> None:
        """Take note of one solver iteration."""
        super().iteration(value)
        if self.target is not None and value <= self.target:
            self.stop("target_loss")
        if self.epoch >= self.max_iter:
            self.stop("max_iter")

    def stage(self, row: dict[str, Any], network: Network) -> None:
        """Complete the row and report it."""
        self.task.complete(row)
        on = self.task.coordinates
        seen = network if on is None or on.stays else on.outward(network)
        if self.report is not None and self.report(self.name, row, seen):
            self.stop("callback")
