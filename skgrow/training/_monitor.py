"""What watches training: the loss curve and the flag that stops it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from skgrow.networks import Network

#: ``report(name, row, network)`` hears of a stage, and answers whether training is to stop; without a network the row
#: is of an auxiliary one.
Report = Callable[[str, dict[str, Any], Network | None], bool]


class Monitor:
    """Watches training: keeps the loss curve and the stop flag. Subclasses talk to callbacks and logs."""

    #: Whether a loss that is not finite ends no more than the descent.
    may_diverge = False

    def __init__(self) -> None:
        self.epoch = 0
        self.loss_curve: list[float] = []
        self.stopped: bool = False
        self.diverged: bool = False

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
        reached = self.target is not None and value <= self.target
        self.stopped = self.stopped or self.epoch >= self.max_iter or reached

    def stage(self, row: dict[str, Any], network: Network) -> None:
        """Complete the row and report it."""
        self.task.complete(row)
        if self.report is not None and self.report(self.name, row, network):
            self.stopped = True
