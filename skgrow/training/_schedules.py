"""When to grow: components that say that descent has become too slow to go on, and when growth ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

from sklearn.base import BaseEstimator


class Schedule(BaseEstimator):
    """Base of the schedules. A schedule of one's own defines :meth:`due`."""

    #: Whether training goes on after a change was refused.
    waits: ClassVar[bool] = False

    #: Growths after which growth ends; None: no limit.
    max_growths: int | None = None

    def due(self, values: list[float], epoch: int) -> bool:
        """Whether to grow.

        Parameters
        ----------
        values : list of float
            Objectives since the last growth; the first is the start's, infinite for a mini-batch solver.
        epoch : int
            Solver iterations (epochs of a mini-batch solver) since the start of ``fit``.
        """
        raise NotImplementedError

    def finished(self, loss: float, n_growths: int) -> bool:  # noqa: ARG002
        """Whether growth is to end at this training loss, after so many growths."""
        return self.max_growths is not None and n_growths >= self.max_growths


class Plateau(Schedule):
    """Grow when the objective has almost stopped falling.

    Parameters
    ----------
    tol : float, default=1e-3
        Relative decrease of the objective per epoch that still counts as progress.
    patience : int, default=3
        Consecutive epochs without progress after which the network grows.
    max_growths : int or None, default=None
        Growths after which growth ends.

    Examples
    --------
    >>> from skgrow.training import Plateau
    >>> Plateau(patience=2).due([1.0, 0.5, 0.5, 0.5], epoch=3)
    True
    """

    def __init__(self, tol: float = 1e-3, patience: int = 3, max_growths: int | None = None) -> None:
        self.tol = tol
        self.patience = patience
        self.max_growths = max_growths

    def due(self, values: list[float], epoch: int) -> bool:  # noqa: ARG002
        """Whether to grow, given the objectives since the last growth (the first is the start's)."""
        if len(values) <= self.patience:
            return False
        best = min(values[: -self.patience])
        if math.isinf(best):  # of a mini-batch solver the objective at the start is unknown
            return False
        return min(values[-self.patience :]) >= best - self.tol * abs(best)


class Every(Schedule):
    """Grow every ``epochs`` epochs, whatever the progress.

    Parameters
    ----------
    epochs : int, default=20
        Solver iterations (epochs of a mini-batch solver) between growths.
    max_growths : int or None, default=None
        Growths after which growth ends.
    """

    waits = True

    def __init__(self, epochs: int = 20, max_growths: int | None = None) -> None:
        self.epochs = epochs
        self.max_growths = max_growths

    def due(self, values: list[float], epoch: int) -> bool:  # noqa: ARG002
        """Whether to grow, given the objectives since the last growth (the first is the start's)."""
        return len(values) > self.epochs


class AtEpochs(Schedule):
    """Grow at given epochs, counted from the start of ``fit``; after the last growth train until the budget ends.

    If the solver has converged before, the network grows at once.

    Parameters
    ----------
    epochs : sequence of int, default=(20, 40, 60)
        Increasing epochs; there are as many growths.
    """

    waits = True

    def __init__(self, epochs: Sequence[int] = (20, 40, 60)) -> None:
        self.epochs = epochs

    def due(self, values: list[float], epoch: int) -> bool:
        """Whether one of the epochs has been passed since the last growth."""
        start = epoch - (len(values) - 1)
        return any(start < at <= epoch for at in self.epochs)

    def finished(self, loss: float, n_growths: int) -> bool:  # noqa: ARG002
        """Whether all growths have been."""
        return n_growths >= len(self.epochs)


class TargetLoss(Plateau):
    """Grow on plateaus until the training loss has reached a target.

    Parameters
    ----------
    target : float, default=0.0
        Training loss, half the mean squared error in the units the network is trained in: targets of unit variance
        if the estimator standardizes.
    tol : float, default=1e-3
        As in :class:`Plateau`.
    patience : int, default=3
        As in :class:`Plateau`.
    max_growths : int or None, default=None
        Growths after which growth ends.
    """

    def __init__(
        self, target: float = 0.0, tol: float = 1e-3, patience: int = 3, max_growths: int | None = None
    ) -> None:
        super().__init__(tol=tol, patience=patience, max_growths=max_growths)
        self.target = target

    def finished(self, loss: float, n_growths: int) -> bool:
        """Whether the target is reached, or the number of growths."""
        return loss <= self.target or super().finished(loss, n_growths)
