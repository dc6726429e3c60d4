"""The race of activations in an expensive fit: only the first one that leads goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from skgrow.growth._constants import GROWTH
from skgrow.networks import Network
from skgrow.training import Report, StageMonitor, Task


class RaceMonitor(StageMonitor):
    """Also ends the path of an activation that is behind after the first growth."""

    def __init__(self, task: Task, report: Report | None, name: str, rival: Sequence[float]) -> None:
        super().__init__(task, report, name)
        self.rival, self.rows, self.beaten = rival, 0, False

    def stage(self, row: dict[str, Any], network: Network) -> None:
        """Take note of one stage."""
        super().stage(row, network)
        self.rows += 1
        behind = len(self.rival) >= self.rows and row["criterion"] < self.rival[self.rows - 1]
        self.beaten = self.rows == GROWTH.race_rows and behind and not self.stopped
        if self.beaten:
            self.stop("rival")
