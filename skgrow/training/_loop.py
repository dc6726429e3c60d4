"""The training loop: descend, let the policy act, keep what is better, remember everything."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skgrow._messages import warn
from skgrow.criteria import Criterion, Evidence, Objective, evidence
from skgrow.networks import Network
from skgrow.problem import FixedAlpha, Problem
from skgrow.training._history import History
from skgrow.training._monitor import Monitor
from skgrow.training._schedules import Schedule

T = TypeVar("T")


@dataclass
class Action:
    """What a policy proposes: another network that descent starts from.

    Parameters
    ----------
    name : str
        For the history.
    network : Network
        The proposal.
    base : Trained
        What it was derived from: the current network, or the best one so far.
    kept : Tensor or None
        Where the parameters of the base now stand (see :func:`skgrow.networks.widen`).
    must_gain : bool
        Whether the proposal is undone unless the criterion improves (and not only the loss does not rise).
    problem : Problem or None
        What to minimise, if not the base's problem: with the penalty that the penalty's rule gave it. Another rule
        than the base's stays from here on.
    """

    name: str
    network: Any
    base: Trained
    kept: Tensor | None = None
    must_gain: bool = False
    problem: Problem | None = None


@dataclass
class Trained:
    """A network with the problem that it solves, and what was measured on it.

    Attributes
    ----------
    network : Network
        The network.
    problem : Problem
        With the penalty that the network was trained with.
    following : Problem
        With the penalty that the penalty's rule would go on with.
    loss, criterion, validation_loss : float
        Training loss, value of the criterion, and loss on validation data, NaN without such.
    evidence : Evidence or None
        If it is known.
    state : SolverState or None
        Of the solver.
    row : int
        Of the history.
    loo : float
        Leave-one-out loss, NaN if it was not asked for beside the criterion.
    """

    network: Any
    problem: Problem
    following: Problem
    loss: float
    criterion: float
    evidence: Evidence | None
    validation_loss: float
    state: Any = None
    row: int = 0
    loo: float = math.nan

    @property
    def alpha(self) -> float:
        """Strength of the penalty."""
        return self.problem.alpha

    @property
    def settled(self) -> bool:
        """Whether its descent ended by itself: it converged, or became as slow as the schedule says."""
        return getattr(self.state, "settled", True)

    def entries(self, criterion: Criterion) -> dict[str, Any]:
        """Return what the history says of it, judged by this criterion."""
        known = self.evidence
        return {
            "architecture": self.network.layer_sizes,
            "n_parameters": self.network.n_parameters,
            "train_loss": self.loss,
            "validation_loss": self.validation_loss,
            "log_evidence": math.nan if known is None else known.log_evidence,
            "gcv": math.nan if known is None else known.gcv,
            "loo": self.loo,
            "alpha": self.alpha,
            "criterion": self.criterion,
        } | criterion.entries(self)


class Policy(Protocol):
    """The only thing in which the estimators' training differs.

    It may say by ``stop_reason`` why it has ended, see ``STOP_REASONS``.
    """

    def act(self, current: Trained, best: Trained, history: History) -> Action | None:
        """Answer with the next action, or None to end."""


def descend(
    network: Network,
    problem: Problem,
    solver: Any,
    schedule: Schedule,
    *,
    max_iter: int,
    monitor: Monitor,
    previous: Any = None,
    kept: Tensor | None = None,
) -> Any:
    """Minimise until the schedule finds progress too slow; the result is never worse than the start.

    Returns
    -------
    state
        The solver's state with the best ``network`` seen. After a non-finite objective, which is warned of once,
        or a KeyboardInterrupt, ``monitor.stopped`` is set; of a monitor that may diverge a non-finite objective only
        sets ``monitor.diverged``.
    """

    def begun() -> tuple[float, Any]:
        return float(problem.objective(network)), solver.start(network, problem, previous, kept)

    first, state = completed(begun, monitor)
    if not math.isfinite(first):
        _warn_not_finite(monitor)
    # mini-batch solvers report means over an epoch, which do not compare with the objective at the start
    best, best_value, values = network, first if state.monotone else math.inf, [first if state.monotone else math.inf]
    monitor.converged = monitor.due = False
    try:
        for _ in range(max_iter):
            if monitor.stopped:
                break
            value = state.step()
            if not math.isfinite(value):
                _warn_not_finite(monitor)
                break
            values.append(value)
            if state.monotone or value < best_value:
                best, best_value = state.network, value
            monitor.iteration(value)
            monitor.converged = state.converged
            monitor.due = not state.converged and schedule.due(values, monitor.epoch)
            if monitor.converged or monitor.due:
                break
    except KeyboardInterrupt:
        interrupted(monitor)
    except torch.linalg.LinAlgError:  # of a matrix that is not finite, though the objective still is
        _warn_not_finite(monitor)

    def is_worse() -> bool:
        return not float(problem.objective(best)) <= first

    if not state.monotone and best is not network and completed(is_worse, monitor):
        best = network
    state.network, state.settled = best, monitor.converged or monitor.due
    return state


def warn_unconverged(name: str, max_iter: int) -> None:
    """Warn that a budget of iterations was used up before training converged."""
    warn(
        f"Maximum iterations ({name}={max_iter}) reached and the optimization hasn't converged yet.",
        ConvergenceWarning,
    )


def interrupted(monitor: Monitor | None = None) -> None:
    """Tell the user, and stop training."""
    warn("Training interrupted by user.")
    if monitor is not None:
        monitor.stop("interrupted")


def completed(work: Callable[[], T], monitor: Monitor | None = None) -> T:
    """Return what work returns that the network so far cannot do without; if that is interrupted, it is done again.

    A second interrupt is raised.
    """
    try:
        return work()
    except KeyboardInterrupt:
        interrupted(monitor)
        return work()


def _warn_not_finite(monitor: Monitor) -> None:
    monitor.diverged = True
    if monitor.may_diverge:
        return
    warn(
        "The training loss is no longer finite; training goes back to the best weights and stops. "
        "A smaller learning_rate_init or standardized data may help.",
        ConvergenceWarning,
    )
    monitor.stop("not_finite")


def measured(network: Network, problem: Problem, criterion: Criterion, state: Any = None) -> Trained:
    """Return a network with its losses, its criterion, and the state of its solver.

    The penalty's rule says which penalty the network is taken to be trained with, if the solver has not asked it.
    """
    loss = float(problem.data_loss(network))
    solved, following, known = problem, problem, None
    if state is not None:
        solved, following, known = state.solved, state.problem, state.evidence
    if known is None and (criterion.needs_evidence or problem.rule.needs_evidence):
        curvature = problem.curvature_at(network)

        def evidence_at(problem: Problem, update: bool) -> Evidence:
            return evidence(network, problem, curvature, data_loss=loss, update=update)

        known, solved, following = problem.rule.judged(evidence_at, following)
        if problem.rule.follows and not loss < float(problem.data_loss(network.with_theta(0 * network.theta))):
            following = solved  # a network worse than none has no noise to tell
    value, validation_loss = criterion.value(network, solved, known), criterion.validation_loss(network)
    return Trained(network, solved, following, loss, value, known, validation_loss, state)


class _Stages:
    """Trains stage by stage: a stage is as many descents as the rule of the penalty asks for."""

    def __init__(
        self, solver: Any, schedule: Schedule, criterion: Criterion, max_iter: int, monitor: Monitor, state: Any
    ) -> None:
        self.solver, self.schedule, self.criterion = solver, schedule, criterion
        self.max_iter, self.monitor, self.state = max_iter, monitor, state

    def train(self, start: Network, problem: Problem, before: Trained | None, kept: Tensor | None) -> Trained:
        """Return the network trained from ``start``, which was made from the network trained ``before``."""

        def descended(problem: Problem, n_iter: int, previous: Trained | None) -> Trained:
            network, state, places = start, self.state if before is None else before.state, kept
            if previous is not None:
                network, state, places = previous.network, previous.state, None
            state = descend(
                network,
                problem,
                self.solver,
                self.schedule,
                max_iter=n_iter,
                monitor=self.monitor,
                previous=state,
                kept=places,
            )
            return completed(lambda: measured(state.network, problem, self.criterion, state), self.monitor)

        may_drift = before is None or not math.prod(before.network.layer_sizes)
        return problem.rule.stage(descended, problem, self.max_iter, monitor=self.monitor, may_drift=may_drift)

    def answer(self, proposal: Action, problem: Problem) -> tuple[Trained, FixedAlpha]:
        """Return the network trained from a proposal, never above the loss of its base if the rule can help it.

        Beside it stands the rule for the stages after it.
        """
        base, rule = proposal.base, problem.rule
        trained = self.train(proposal.network, problem, base, proposal.kept)
        for again in problem.rule.retries(base.problem, proposal.must_gain):
            if not trained.loss > base.loss or self.monitor.stopped:
                break
            if again.alpha == trained.alpha:  # this was it
                continue
            trained = self.train(proposal.network, again, base, proposal.kept)
            rule = problem.rule.after_retry()
        return trained, rule


def fit(
    network: Network,
    problem: Problem,
    solver: Any,
    policy: Policy,
    schedule: Schedule,
    *,
    max_iter: int,
    monitor: Monitor,
    history: History,
    criterion: Criterion | None = None,
    state: Any = None,
    begins_as: str = "start",
) -> Trained:
    """Train, act, train, ... and return the network of the best criterion.

    A proposal of the policy that would raise the training loss (for the criterion :class:`Objective` the objective) is
    undone, so that it never rises from a row of the history to those made from it.

    Parameters
    ----------
    network : Network
        To begin with.
    problem : Problem
        To minimise.
    solver : Solver
        Descends.
    policy : Policy
        Is asked after every stage.
    schedule : Schedule
        Says when a stage ends.
    max_iter : int
        Iterations of a descent.
    monitor : Monitor
        Watches.
    history : History
        Takes a row per stage. The clock goes on from the last one there is.
    criterion : Criterion, optional
        Says which network is the best; default: :class:`Objective`.
    state : SolverState, optional
        Of a network of the same parameters, from which the solver goes on.
    begins_as : str, default="start"
        The action of the first row.

    Returns
    -------
    Trained
        The best network; the path is in ``history``.

    Raises
    ------
    ValueError
        If the loss is not finite from the beginning.
    """
    criterion = Objective() if criterion is None else criterion
    started = time.perf_counter() - (history[-1]["time"] if history else 0.0)
    stages = _Stages(solver, schedule, criterion, max_iter, monitor, state)

    def record(trained: Trained, name: str, accepted: bool, parent: int | None) -> None:
        trained.row = len(history)
        row = {
            "time": time.perf_counter() - started,
            "epoch": monitor.epoch,
            "action": name,
            "parent": parent,
            "accepted": accepted,
            "stop_reason": None,
        } | trained.entries(criterion)
        history.append(row)
        monitor.stage(row, trained.network)

    here = torch.arange(network.n_parameters, device=network.theta.device)
    best = current = stages.train(network, problem, None, None if state is None else here)
    if not math.isfinite(current.loss):
        raise ValueError(
            f"The training loss must be finite; that of the first network is {current.loss}, and training ended there. "
            "standardize=True or other units of X and y may help."
        )
    try:
        record(current, begins_as, True, None)
        while not monitor.stopped:
            proposal = policy.act(current, best, history)
            if proposal is None or monitor.stopped:
                break
            base = proposal.base
            trained, rule = stages.answer(proposal, proposal.problem or base.problem)
            accepted = criterion.is_kept(trained, base) and (
                not proposal.must_gain or criterion.gains(trained, base, problem)
            )
            record(trained, proposal.name, accepted, base.row)
            current = trained if accepted else base
            for known in (current, best):
                known.problem = known.problem.ruled(rule)
            if criterion.becomes_best(current, best, accepted, problem):
                best = current
    except KeyboardInterrupt:
        interrupted(monitor)
    except torch.linalg.LinAlgError:
        _warn_not_finite(monitor)
    history[-1]["stop_reason"] = monitor.stop_reason or getattr(policy, "stop_reason", None) or "no_proposal"
    return best
