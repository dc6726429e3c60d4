"""What a fit leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from skgrow.networks import Network
from skgrow.training._loop import Trained
from skgrow.training._task import Task


@dataclass(frozen=True)
class Result:
    """What a fit leaves, in the units of training.

    Parameters
    ----------
    trained : Trained
        The network, its problem with the penalty used, and its losses.
    history : list of dict
        A row per stage.
    loss_curve : list of float
        Objective after every solver iteration.
    best_loss : float
        Smallest training loss reached on the path.
    validation_scores : list of float or None
        Of the rows of the history.
    stop_reason : str
        Why training ended, one of :data:`STOP_REASONS`.
    found : dict
        What the method reports beyond that, by the names of fitted attributes.
    task : Task or None
        The task of the network, if the method has chosen other coordinates.
    """

    trained: Trained
    history: list[dict[str, Any]]
    loss_curve: list[float]
    best_loss: float
    validation_scores: list[float] | None
    stop_reason: str
    found: dict[str, Any] = field(default_factory=dict)
    task: Task | None = None

    @property
    def best_validation_score(self) -> float | None:
        """Largest validation score of what was not undone; None without validation data."""
        if self.validation_scores is None:
            return None
        rows = self.history[-len(self.validation_scores) :]
        scores = [score for score, row in zip(self.validation_scores, rows, strict=True) if row["accepted"]]
        return max((score for score in scores if math.isfinite(score)), default=math.nan)


@dataclass(frozen=True)
class Progress:
    """What training batch by batch goes on from.

    Parameters
    ----------
    network : Network
        In the units of training.
    alpha, total_weight : float
        Strength of the penalty, and the total weight of the samples that it is for.
    moments : dict of Tensor
        What the solver remembers.
    losses : list of float
        Of the batches since the last growth.
    epoch : int
        Iterations so far.
    """

    network: Network
    alpha: float
    total_weight: float
    moments: dict[str, Tensor]
    losses: list[float]
    epoch: int
