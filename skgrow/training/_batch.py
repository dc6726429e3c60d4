"""Training batch by batch, with growth in between."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from skgrow.networks import Network
from skgrow.problem import L2, Problem
from skgrow.solvers import MiniBatchSolver
from skgrow.training._result import Progress
from skgrow.training._schedules import Schedule
from skgrow.training._task import Task

#: ``grown(network, problem, generator)``: a network with neurons or layers added and the places of its parameters.
Grown = Callable[[Network, Problem, torch.Generator], tuple[Network, Tensor | None]]


def train_batch(
    task: Task, solver: MiniBatchSolver, schedule: Schedule, before: Progress, grown: Grown | None = None
) -> tuple[Progress, float]:
    """Pass once over a batch, and let the network grow when the losses of the batches say so.

    Parameters
    ----------
    task : Task
        Of the batch.
    solver : MiniBatchSolver
        Takes the steps.
    schedule : Schedule
        Says when to grow.
    before : Progress
        So far.
    grown : callable, optional
        Lets a network grow.

    Returns
    -------
    progress : Progress
        After the batch.
    value : float
        Mean objective on it.

    Raises
    ------
    ValueError
        If the loss is not finite.
    """
    generator = torch.Generator().manual_seed(task.seed + before.epoch)
    total = task.problem().total_weight
    problem = task.problem(penalty=L2(before.alpha * total / before.total_weight))
    state: Any = solver.seeded(generator).start(before.network, problem)
    state.restore(before.moments)
    try:
        value = state.step()
    except torch.linalg.LinAlgError:  # of a matrix that is not finite
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("The loss on this batch is not finite; the estimator is unchanged.")
    network, kept = state.network, None
    losses = [*before.losses, value]
    if schedule.due(losses, before.epoch + 1):
        if grown is not None:
            network, kept = grown(network, problem, generator)
        losses = [value]
    moments = state.moments(network.n_parameters, kept)
    return replace(before, network=network, moments=moments, losses=losses, epoch=before.epoch + 1), value
