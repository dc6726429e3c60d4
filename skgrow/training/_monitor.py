"""What watches training: the loss curve and the flag that stops it."""

from __future__ import annotations

from typing import Any

from skgrow.networks import Network


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
