"""Training of a network that stays as it is, as a policy of the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from skgrow.training._history import History
from skgrow.training._loop import Action, Trained


@dataclass
class FixedPolicy:
    """Train on, stage by stage, until the criterion stands still.

    Parameters
    ----------
    tol : float
        Gain of the criterion that counts, relative to its size.
    patience : int
        Stages without one after which training ends.
    report : callable, optional
        ``report(trained)`` returns further entries of the history's row.
    """

    tol: float
    patience: int
    report: Callable[[Trained], dict[str, Any]] | None = None
    stale: int = field(default=0, init=False)
    reference: float = field(default=float("-inf"), init=False)

    def act(self, current: Trained, best: Trained, history: History) -> Action | None:  # noqa: ARG002
        """Answer with the same network, or None to end."""
        last = history[-1]
        if self.report is not None:
            last |= self.report(current)
        if last["accepted"] and not last["criterion"] <= self.reference + self.tol * abs(self.reference):
            self.stale, self.reference = 0, last["criterion"]
        else:
            self.stale += 1
        if self.stale >= self.patience:
            return None
        here = torch.arange(current.network.n_parameters, device=current.network.theta.device)
        return Action("train", current.network, current, kept=here)
