"""The training loop: descend, let the policy act, keep what is better, remember everything."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from skgrow.criteria._evidence import Evidence, evidence, next_penalty
from skgrow.criteria._leave_one_out import leave_one_out
from skgrow.networks import Network
from skgrow.problem._curvature import curvature_of
from skgrow.problem._problem import Problem
from skgrow.training._history import History

#: Relative gain of the criterion that counts as one: less is no reason to exchange neurons or to keep more of them.
_LEAST_GAIN = 1e-3


#: A solver that does not set the penalty itself descends again while the evidence moves it by more than this, in logs.
#: Until then so many iterations are enough: the evidence knows the size of the penalty long before the end of descent.
_PENALTY_ROUNDS, _PENALTY_MOVED, _ROUGH_ITERATIONS = 6, 0.3, 25

#: A growth that would raise the loss is tried again with these shares of the penalty of before.
_PENALTY_SHARES = (1.0, 0.5, 0.25)


class Schedule(Protocol):
    """Says when descent is too slow to go on."""

    def due(self, values: list[float], epoch: int) -> bool:
        """Whether to stop descending, given the objectives so far and the epoch counted from the start of fit."""


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
    """

    name: str
    network: Any
    base: Trained
    kept: Tensor | None = None
    must_gain: bool = False


@dataclass
class Trained:
    """A network with what was measured on it."""

    network: Any
    alpha: float
    loss: float
    criterion: float
    evidence: Evidence | None
    validation_loss: float
    state: Any = None
    row: int = 0

    def entries(self, criterion: str) -> dict[str, Any]:
        """Return what the history says of it, judged by this criterion."""
        known = self.evidence
        return {
            "architecture": self.network.layer_sizes,
            "n_parameters": self.network.n_parameters,
            "train_loss": self.loss,
            "validation_loss": self.validation_loss,
            "log_evidence": math.nan if known is None else known.log_evidence,
            "gcv": math.nan if known is None else known.gcv,
            "loo": -self.criterion if criterion == "loo" else math.nan,
            "alpha": self.alpha,
            "criterion": self.criterion,
        }


class Policy(Protocol):
    """The only thing in which the estimators' training differs."""

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
    first = float(problem.objective(network))
    if not math.isfinite(first):
        _warn_not_finite(monitor)
    state = solver.start(network, problem, previous, kept)
    # mini-batch solvers report means over an epoch, which do not compare with the objective at the start
    best, best_value, values = network, first if state.monotone else math.inf, [first if state.monotone else math.inf]
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
            if state.converged or schedule.due(values, monitor.epoch):
                break
    except KeyboardInterrupt:
        _warn_interrupted(monitor)
    if not state.monotone and best is not network and not float(problem.objective(best)) <= first:
        best = network
    state.network = best
    return state


def _warn_interrupted(monitor: Monitor) -> None:
    warnings.warn("Training interrupted by user.", stacklevel=3)
    monitor.stopped = True


def _warn_not_finite(monitor: Monitor) -> None:
    monitor.diverged = True
    if monitor.may_diverge:
        return
    warnings.warn(
        "The training loss is no longer finite; training goes back to the best weights and stops. "
        "A smaller learning_rate_init or standardized data may help.",
        ConvergenceWarning,
        stacklevel=3,
    )
    monitor.stopped = True


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
    validation: Problem | None = None,
    criterion: str = "objective",
    state: Any = None,
) -> Trained:
    """Train, act, train, ... and return the network of the best criterion.

    Solvers go on from ``state``, where one is given, of a network of the same parameters, and the clock from the
    last row of a history that is not empty.

    The ``criterion`` is ``"validation"`` (minus the validation loss), ``"loo"`` (minus the leave-one-out loss),
    ``"gcv"`` (minus generalised cross-validation), ``"evidence"`` (the log evidence) or ``"objective"`` (minus the
    objective). A proposal of
    the policy that would raise the training loss is undone, so that the loss never rises from a row of the history
    to those made from it.

    Returns
    -------
    Trained
        The best network; the path is in ``history``.
    """
    started = time.perf_counter() - (history[-1]["time"] if history else 0.0)
    in_rounds = problem.curvature_kind == "kronecker"

    def train(start: Network, before: Trained | None, kept: Tensor | None) -> Trained:
        def run(start: Network, n_iter: int, previous: Any, kept: Tensor | None) -> Trained:
            state = descend(
                start, problem, solver, schedule, max_iter=n_iter, monitor=monitor, previous=previous, kept=kept
            )
            return measured(state.network, problem, validation, criterion, state)

        previous = before.state if before is not None else state
        if not (problem.auto_alpha and in_rounds):
            trained = run(start, max_iter, previous, kept)
        else:
            first = before is None or not math.prod(before.network.layer_sizes)
            trained = _in_rounds(run, start, previous, kept, problem, monitor, max_iter, may_drift=first)
        problem.alpha = trained.alpha
        return trained

    def record(trained: Trained, name: str, accepted: bool, parent: int | None) -> None:
        trained.row = len(history)
        row = {
            "time": time.perf_counter() - started,
            "epoch": monitor.epoch,
            "action": name,
            "parent": parent,
            "accepted": accepted,
        } | trained.entries(criterion)
        history.append(row)
        monitor.stage(row, trained.network)

    # of a log likelihood, less than one in total says nothing
    least = problem.loss.known_dispersion * (
        {"evidence": 1.0, "loo": 1 / problem.total_weight, "gcv": 1 / problem.total_weight}.get(criterion, 0.0)
    )
    here = torch.arange(network.n_parameters, device=network.theta.device)
    best = current = train(network, None, None if state is None else here)
    record(current, "start", True, None)
    try:
        while not monitor.stopped:
            proposal = policy.act(current, best, history)
            if proposal is None or monitor.stopped:
                break
            base = proposal.base
            trained = train(proposal.network, base, proposal.kept)
            # exchanges do not widen, and where descent is dear smaller penalties are tried in the end
            once = proposal.must_gain or problem.curvature_kind == "kronecker"
            for share in _PENALTY_SHARES[:1] if once else _PENALTY_SHARES:
                if not (trained.loss > base.loss and problem.auto_alpha) or monitor.stopped:
                    break
                # a larger penalty may raise the loss; with the one of before a wider network may still exchange loss
                # for smaller weights, with less it does not
                if share * base.alpha == trained.alpha:  # this was it
                    continue
                problem.alpha, problem.auto_alpha = share * base.alpha, False
                trained = train(proposal.network, base, proposal.kept)
                problem.auto_alpha = True
                in_rounds = False  # larger networks would ask for larger penalties still
            accepted = _not_higher(trained, base, criterion) and (
                not proposal.must_gain or _gains(trained, base, least)
            )
            record(trained, proposal.name, accepted, base.row)
            current = trained if accepted else base
            problem.alpha = current.alpha
            if _gains(current, best, least) or (criterion == "objective" and accepted):
                best = current
    except KeyboardInterrupt:
        _warn_interrupted(monitor)
    except torch.linalg.LinAlgError:
        _warn_not_finite(monitor)
    problem.alpha = best.alpha
    return best


def _in_rounds(
    run: Callable[[Network, int, Any, Tensor | None], Trained],
    start: Network,
    previous: Any,
    kept: Tensor | None,
    problem: Problem,
    monitor: Monitor,
    max_iter: int,
    *,
    may_drift: bool,
) -> Trained:
    """Descend and set the penalty in turn, roughly at first, and to the end once the penalty has settled."""
    rough = max_iter > _ROUGH_ITERATIONS
    for left in reversed(range(_PENALTY_ROUNDS)):
        rough = rough and left > 0
        n_iter, epoch = _ROUGH_ITERATIONS if rough else max_iter, monitor.epoch
        trained = run(start, n_iter, previous, kept)
        settled = abs(math.log(max(problem.alpha, 1e-300) / max(trained.alpha, 1e-300))) < _PENALTY_MOVED
        ended = monitor.epoch - epoch < n_iter or not rough
        if monitor.stopped or (settled and ended):
            break
        if settled:
            rough = False
            if not may_drift:  # a slightly larger penalty might raise the loss
                problem.alpha = trained.alpha
        start, previous, kept = trained.network, trained.state, None
    return trained


def _not_higher(trained: Trained, base: Trained, criterion: str) -> bool:
    if criterion == "objective":  # the data loss may rise where the penalty falls by more
        return trained.criterion >= base.criterion - 1e-14 * abs(base.criterion)
    return trained.loss <= base.loss


def _gains(trained: Trained, other: Trained, least: float) -> bool:
    """Whether the criterion is better by more than a trifle, ``least`` or relatively."""
    if not math.isfinite(other.criterion):
        return trained.criterion > other.criterion
    return trained.criterion > other.criterion + max(least, _LEAST_GAIN * abs(other.criterion))


def measured(
    network: Network,
    problem: Problem,
    validation: Problem | None,
    criterion: str,
    state: Any,
) -> Trained:
    """Return a network with its losses and its criterion (see :func:`fit`), and with the state of its solver."""
    loss, alpha = float(problem.data_loss(network)), getattr(state, "alpha", problem.alpha)
    found = getattr(state, "evidence", None)
    sets_penalty = problem.auto_alpha and problem.curvature_kind == "kronecker"
    if found is None and (criterion in ("evidence", "gcv", "loo") or sets_penalty):
        curvature = curvature_of(network, problem)
        mask = problem.penalty_weights(network)
        many = problem.auto_alpha and problem.curvature_kind == "dense"
        for _ in range(5 if many else 1):
            found = evidence(
                network, loss, curvature, problem.total_weight, mask, problem.alpha, problem.auto_alpha, problem.loss
            )
            problem.alpha = next_penalty(found, problem.alpha, problem.loss)
        alpha = problem.alpha if many else alpha  # of the stages to come
    validation_loss = float(validation.data_loss(network)) if validation is not None else math.nan
    value = {
        "validation": lambda: -validation_loss,
        "gcv": lambda: -found.gcv if found else -math.inf,
        "loo": lambda: -leave_one_out(network, problem, alpha, found) if found else -math.inf,
        "evidence": lambda: found.log_evidence if found else -math.inf,
        "objective": lambda: -float(problem.objective(network)),
    }[criterion]()
    return Trained(network, alpha, loss, value, found, validation_loss, state)
