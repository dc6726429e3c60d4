"""Training with layers inserted where the loss is most sensitive to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from sklearn.base import BaseEstimator

from skgrow._tolerances import PROGRESS, PROGRESS_PATIENCE
from skgrow.insertion._policy import InsertionPolicy
from skgrow.networks import Activation, Architecture, Network, glorot
from skgrow.problem import Problem
from skgrow.training import History, Report, Result, Settings, StageMonitor, Task, completed, fit, warn_unconverged


class Selection(BaseEstimator):
    """At which positions layers are inserted.

    Parameters
    ----------
    kind : {"max", "min", "random"}, default="max"
        At the largest merits; for comparison, at the smallest or at random positions, whatever the threshold.
    norm : {"auto", "frobenius", "frobenius_scaled", "operator", "operator_2", "operator_1"}, default="auto"
        Of the gradients that are compared, see :func:`gradient_norm`. ``"auto"`` is the operator norm for convolutions
        and Frobenius' for the others.
    merit_samples : int or None, default=None
        Rows that merits are estimated on; None: all.
    n_insert : int, default=1
        Layers inserted at once, at different positions.
    """

    def __init__(
        self, kind: str = "max", *, norm: str = "auto", merit_samples: int | None = None, n_insert: int = 1
    ) -> None:
        self.kind = kind
        self.norm = norm
        self.merit_samples = merit_samples
        self.n_insert = n_insert

    def check(self) -> None:
        """Raise ValueError for parameters that cannot be used."""
        norms = ["auto", "frobenius", "frobenius_scaled", "operator", "operator_2", "operator_1"]
        for name, allowed in (("kind", ["max", "min", "random"]), ("norm", norms)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"Selection: {name} must be one of {allowed}; got {getattr(self, name)!r}.")
        if self.merit_samples is not None and self.merit_samples < 1:
            raise ValueError(f"Selection: merit_samples must be None or >= 1; got {self.merit_samples!r}.")
        if self.n_insert < 1:
            raise ValueError(f"Selection: n_insert must be >= 1; got {self.n_insert!r}.")


class Widening(BaseEstimator):
    """New neurons in hidden layers, beside new layers.

    Parameters
    ----------
    action : {"auto", "both"}, default="auto"
        ``"auto"`` takes the better of a layer and of neurons by first-order decrease per new parameter, ``"both"`` each
        of them that reaches the threshold.
    block_size : int, default=1
        Neurons added at a time.
    max_neurons : int, default=1000
        Largest width of a hidden layer.
    """

    def __init__(self, action: str = "auto", *, block_size: int = 1, max_neurons: int = 1000) -> None:
        self.action = action
        self.block_size = block_size
        self.max_neurons = max_neurons

    def check(self) -> None:
        """Raise ValueError for parameters that cannot be used."""
        if self.action not in ("auto", "both"):
            raise ValueError(f"Widening: action must be one of ['auto', 'both']; got {self.action!r}.")
        for name in ("block_size", "max_neurons"):
            if getattr(self, name) < 1:
                raise ValueError(f"Widening: {name} must be >= 1; got {getattr(self, name)!r}.")


@dataclass(frozen=True, kw_only=True)
class InsertionSettings(Settings):
    """Settings of layer insertion; see :class:`~skgrow.SensLIRegressor`.

    Parameters
    ----------
    architecture : Architecture
        Of the network.
    sizes : tuple of int
        Hidden layers at the start.
    activation : Activation
        Of the hidden neurons.
    selection : Selection
        Where layers are inserted.
    tau : float
        Threshold of the merits.
    max_layers : int
        Budget of hidden layers, blocks or convolutions.
    widening : Widening or None
        Of new neurons.
    search : object or None
        Finds new neurons.
    max_iter : int
        Epochs.
    patience : int
        Stages without a better validation loss after which training ends.
    """

    architecture: Architecture
    sizes: tuple[int, ...]
    activation: Activation
    selection: Selection
    tau: float
    max_layers: int
    widening: Widening | None
    search: Any
    max_iter: int
    patience: int

    def template(self, d: int, c: int) -> Network:
        """Return a network of the architecture at the start."""
        standardized = self.standardize
        return self.architecture.template(d, self.sizes, c, self.activation, standardized=standardized)

    def takes_shift(self, d: int, c: int) -> bool:
        """Whether the outputs have a bias."""
        return self.template(d, c).has_bias[-1]

    def work(self, n: int, d: int, c: int) -> float:
        """Return about how many operations a pass over the data takes."""
        return n * self.template(d, c).flops


def train(task: Task, settings: InsertionSettings, report: Report | None = None) -> Result:
    """Train, and insert layers now and then.

    Parameters
    ----------
    task : Task
        What is to be trained on.
    settings : InsertionSettings
        What the user has set.
    report : callable, optional
        Hears of the stages.

    Returns
    -------
    Result
        ``found`` has the merits of positions and their ratios to the gradients there are.
    """
    task = task.encoded(settings.encoding)
    generator = task.generator()
    problem, criterion = task.penalised(), task.criterion()
    problem = problem.ruled(problem.rule.in_turns())  # a stage ends where layers are considered
    if task.previous is None:
        template = settings.template(task.samples.X.shape[1], problem.Y.shape[1])
        network: Network = glorot(template, task.seed, task.samples.X)
    else:
        network = task.previous
    policy = _policy(settings, problem, generator, None if criterion.sees_only_training else settings.patience)
    monitor = StageMonitor(task, report, settings.architecture.name, settings.max_iter)
    history = History()
    with task.threads():
        best = fit(
            network,
            problem,
            settings.solver.seeded(generator),
            policy,
            settings.schedule,
            max_iter=settings.max_iter,
            monitor=monitor,
            history=history,
            criterion=criterion,
        )
        ended = {"decision": "end", "reason": f"max_iter = {settings.max_iter} epochs have passed"}
        for row in (history[-1], history[best.row]):
            row.update({key: value for key, value in ended.items() if key not in row})
            if "merits" not in row:
                completed(lambda: policy.measure(best.network, row), monitor)  # noqa: B023
    for row in history:
        row["activation"] = task.named(network.activation.name)
    reason = history[-1]["stop_reason"]
    settled = monitor.converged or monitor.due or monitor.stands_still(PROGRESS, PROGRESS_PATIENCE)
    if reason == "max_iter" and not (settled or settings.schedule.waits):
        warn_unconverged("max_iter", settings.max_iter)
    last = history[best.row]
    return Result(
        best,
        list(history),
        monitor.loss_curve,
        min(row["train_loss"] for row in history),
        completed(lambda: task.validation_scores(history), monitor),
        reason,
        {"merits_": last["merits"], "merit_ratios_": last["merit_ratios"]},
        task,
    )


def insert(task: Task, settings: InsertionSettings, network: Network, problem: Problem, generator: Any) -> Any:  # noqa: ARG001
    """Return a network with what pays inserted and the places of its parameters, or as it is (``partial_fit``)."""
    return _policy(settings, problem, generator, None).extended(network)


def _policy(
    settings: InsertionSettings, problem: Problem, generator: torch.Generator, patience: int | None
) -> InsertionPolicy:
    selection, widening = settings.selection, settings.widening
    norm = selection.norm
    if norm == "auto":
        norm = "operator" if settings.architecture.name == "cnn" else "frobenius"
    neurons = Widening() if widening is None else widening
    return InsertionPolicy(
        problem=problem,
        schedule=settings.schedule,
        norm=norm,
        merit_samples=selection.merit_samples,
        tau=settings.tau,
        n_insert=selection.n_insert,
        max_layers=settings.max_layers,
        selection=selection.kind,
        generator=generator,
        patience=patience,
        widen=widening is not None,
        action=neurons.action,
        search=settings.search,
        block_size=neurons.block_size,
        max_neurons=neurons.max_neurons,
    )
