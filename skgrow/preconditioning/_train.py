"""Training of a network of given layers, with or without a preconditioner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skgrow.networks import MLP, Activation, Network, glorot
from skgrow.training import (
    Every,
    FixedPolicy,
    History,
    Report,
    Result,
    Settings,
    StageMonitor,
    Task,
    Trained,
    completed,
    fit,
    stages_of,
)


@dataclass(frozen=True, kw_only=True)
class FixedSettings(Settings):
    """Settings of training without growth; see :class:`~skgrow.PreconditionedMLPRegressor`.

    Parameters
    ----------
    sizes : tuple of int
        Hidden layers.
    activation : Activation
        Of the hidden neurons.
    max_iter : int
        Epochs.
    stage_epochs : int
        Epochs per row of the history.
    tol : float
        Gain of the criterion that counts, relative to its size.
    n_iter_no_change : int
        Epochs without one after which training ends.
    report_layers : bool
        Whether rows hold norms and damping of every layer.
    """

    sizes: tuple[int, ...]
    activation: Activation
    max_iter: int
    stage_epochs: int
    tol: float
    n_iter_no_change: float
    report_layers: bool

    def template(self, d: int, c: int) -> Network:
        """Return a network of zero weights."""
        return MLP((d, *self.sizes, c), None, self.activation)

    def work(self, n: int, d: int, c: int) -> float:
        """Return about how many operations a pass over the data takes."""
        return n * self.template(d, c).flops


def train(task: Task, settings: FixedSettings, report: Report | None = None) -> Result:
    """Train a network of given layers.

    Parameters
    ----------
    task : Task
        What is to be trained on.
    settings : FixedSettings
        What the user has set.
    report : callable, optional
        Hears of the stages.

    Returns
    -------
    Result
        Of the best stage.
    """
    task = task.encoded(settings.encoding)
    generator = task.generator()
    problem, criterion = task.penalised(), task.criterion()
    network = task.previous
    if network is None:
        network = glorot(settings.template(task.samples.X.shape[1], problem.Y.shape[1]), task.seed, task.samples.X)

    def layers(trained: Trained) -> dict[str, Any]:
        return trained.state.report(trained.network, problem)

    patience = stages_of(settings.n_iter_no_change, settings.stage_epochs)
    reported = layers if settings.report_layers else None
    policy = FixedPolicy(settings.tol, patience, reported, criterion.least_gain(problem))
    monitor, history = StageMonitor(task, report, "mlp", settings.max_iter), History()
    with task.threads():
        best = fit(
            network,
            problem,
            settings.solver.seeded(generator),
            policy,
            Every(settings.stage_epochs),
            max_iter=settings.max_iter,
            monitor=monitor,
            history=history,
            criterion=criterion,
        )
        if policy.report is not None and "gradient_norms" not in history[best.row]:
            history[best.row] |= completed(lambda: layers(best), monitor)
    for row in history:
        row["activation"] = task.named(network.activation.name)
    return Result(
        best,
        list(history),
        monitor.loss_curve,
        min(row["train_loss"] for row in history),
        completed(lambda: task.validation_scores(history), monitor),
        policy.ended(history, monitor, settings),
        task=task,
    )
