"""Training of a network that stays as it is, as a policy of the loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from skgrow.training._history import History
from skgrow.training._loop import Action, Trained, warn_unconverged
from skgrow.training._monitor import Monitor


def stages_of(n_epochs: float, length: int) -> float:
    """Return the number of stages of a length that reach over so many epochs, which may be infinite."""
    return n_epochs if math.isinf(n_epochs) else math.ceil(n_epochs / length)


@dataclass
class FixedPolicy:
    """Train on, stage by stage, until the criterion stands still.

    Parameters
    ----------
    tol : float
        Gain of the criterion that counts, relative to its size.
    patience : float
        Stages without one after which training ends.
    report : callable, optional
        ``report(trained)`` returns further entries of the history's row.
    least : float, default=0.0
        Gain of the criterion that does not count, whatever its size.
    """

    tol: float
    patience: float
    report: Callable[[Trained], dict[str, Any]] | None = None
    least: float = 0.0
    stop_reason: str | None = field(default=None, init=False)
    stale: int = field(default=0, init=False)
    reference: float = field(default=float("-inf"), init=False)

    def act(self, current: Trained, best: Trained, history: History) -> Action | None:  # noqa: ARG002
        """Answer with the same network, or None to end."""
        last = history[-1]
        if self.report is not None:
            last |= self.report(current)
        if self.stands_still(last):
            self.stop_reason = "criterion"
            return None
        here = torch.arange(current.network.n_parameters, device=current.network.theta.device)
        return Action("train", current.network, current, kept=here, problem=current.following)

    def stands_still(self, last: dict[str, Any]) -> bool:
        """Whether the criterion does, at the stage of this row of the history."""
        least = max(self.least, self.tol * abs(self.reference))
        if last["accepted"] and not last["criterion"] <= self.reference + least:
            self.stale, self.reference = 0, last["criterion"]
        else:
            self.stale += 1
        return self.stale >= self.patience

    def ended(self, history: History, monitor: Monitor, settings: Any) -> str:
        """Return why training ended, and warn if that was its budget of iterations alone."""
        last = history[-1]
        if monitor.stop_reason == "max_iter":  # before the policy was asked about the last stage
            if self.stands_still(last):
                last["stop_reason"] = "criterion"
            elif not (monitor.converged or monitor.stands_still(settings.tol, settings.n_iter_no_change)):
                warn_unconverged("max_iter", settings.max_iter)
        return last["stop_reason"]
