"""Training by growth: one network per activation, to the size that the criterion prefers, and their average."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch

from skgrow.criteria import Criterion
from skgrow.growth._average import combine
from skgrow.growth._certificate import CertificatePolicy, constant_network
from skgrow.growth._constants import GROWTH
from skgrow.growth._linear import linear_model
from skgrow.growth._member import Member
from skgrow.growth._policy import GrowthPolicy
from skgrow.growth._search import Search
from skgrow.networks import MLP, Activation, Network, direct_sum, glorot, linear, summands
from skgrow.problem import Penalty, Problem
from skgrow.solvers import FullyCorrective, Solver, refit_output
from skgrow.training import (
    GrowthRegime,
    History,
    Monitor,
    Plateau,
    Report,
    Result,
    Settings,
    StageMonitor,
    Task,
    Trained,
    completed,
    descend,
    fit,
    interrupted,
    warn_unconverged,
)


@dataclass(frozen=True, kw_only=True)
class GrowthSettings(Settings):
    """Settings of growth; see :class:`~skgrow.GrowingRegressor`.

    Parameters
    ----------
    activations : sequence of Activation
        One network is grown for each.
    averages : bool
        Whether they are averaged, with the linear model as a further candidate.
    sizes : tuple of int
        Widths at the start.
    penalty : Penalty
        Its strength is ``alpha``.
    certifies : bool
        Whether the path-norm problem is solved, to certified optimality.
    criterion : Criterion
        Judges networks if there are no validation data.
    search : Search
        Finds new neurons.
    grow_layer, block_size, max_neurons, patience, min_decrease
        See :class:`GrowthPolicy`.
    max_iter : int
        Iterations of a stage.
    """

    activations: Sequence[Activation]
    averages: bool
    sizes: tuple[int, ...]
    penalty: Penalty
    certifies: bool
    criterion: Criterion
    search: Search
    grow_layer: str
    block_size: Any
    max_neurons: int
    patience: int
    min_decrease: float
    max_iter: int

    def work(self, n: int, d: int, c: int) -> float:
        """Return about how many operations a pass over the data takes."""
        return 2.0 * n * (d + c) * self.max_neurons


def train(task: Task, settings: GrowthSettings, report: Report | None = None) -> Result:
    """Grow networks, and return their average or the one that stands alone.

    Parameters
    ----------
    task : Task
        With a :class:`~skgrow.training.GrowthRegime`.
    settings : GrowthSettings
        What the user has set.
    report : callable, optional
        Hears of the stages.

    Returns
    -------
    Result
        ``found`` has the growth indicator, evidence, noise and, for ``return_std``, the covariance of the parameters.
    """
    return _Growth(task, settings, report).result()


def grow(task: Task, settings: GrowthSettings, network: Network, problem: Problem, generator: Any) -> Any:
    """Return a network with one more block and the places of its parameters, or as it is (``partial_fit``)."""
    problem = replace(problem, support=GROWTH.kink_support)
    policy = _policy(task, settings, settings.solver, settings.max_neurons, Monitor(), generator)
    d, c = network.layer_sizes[0], network.layer_sizes[-1]
    if network.activation.name == "identity":
        constant = MLP((d, 0, c), network.theta.new_zeros(c), Activation("tanh"))
        network = direct_sum(cast(MLP, network), constant)
    return policy.widened(cast(MLP, network), problem)


def _policy(
    task: Task, settings: GrowthSettings, solver: Solver, max_neurons: int, monitor: Monitor, generator: torch.Generator
) -> GrowthPolicy:
    regime, search = cast(GrowthRegime, task.regime), settings.search
    rough = Plateau(tol=GROWTH.rough_tol, patience=GROWTH.rough_patience)

    def descended(network: MLP, on: Problem) -> tuple[MLP, Problem]:
        state = descend(network, on, solver, rough, max_iter=GROWTH.rough_iterations, monitor=monitor.aside())
        return state.network, state.problem

    n, d = task.samples.X.shape
    return GrowthPolicy(
        descend=descended,
        search=search,
        schedule=settings.schedule,
        block_size=regime.block_size(n, d, 1 if task.operator is not None else task.samples.Y.shape[1]),
        max_neurons=max_neurons,
        max_extensions=search.max_extensions,
        n_exchanges=regime.n_exchanges,
        merge_tol=search.merge_tol,
        patience=settings.patience,
        min_decrease=settings.min_decrease,
        generator=generator,
        relax=regime.relaxes,
        grow_layer=settings.grow_layer,
        n_penalties=regime.n_penalties,
        expensive=regime.is_expensive,
    )


@dataclass(frozen=True)
class _Start:
    """What a network is grown from: name of its activation, what it is trained on, and a network that there is."""

    name: str
    task: Task
    network: MLP | None = None

    @property
    def label(self) -> str:
        """Name of the activation on the features themselves."""
        return self.task.named(self.name)


class _Growth:
    """One fit: members are grown one after the other, with one history."""

    def __init__(self, task: Task, settings: GrowthSettings, report: Report | None) -> None:
        self.task, self.settings, self.report = task, settings, report
        self.regime: GrowthRegime = task.regime
        self.history: list[dict[str, Any]] = []
        self.loss_curve: list[float] = []
        self.found: dict[str, Any] = {}
        #: Of networks on the features, and on their encoding.
        self.tasks = [task]
        #: Values of the criterion that the activation before has reached, if a fit is expensive.
        self.rival: list[float] = []
        self.stopped, self.stop_reason = False, ""

    def result(self) -> Result:
        """Grow all members, combine them, and say what is known of the outcome."""
        task, settings = self.task, self.settings
        parts = [] if task.previous is None else summands(cast(MLP, task.previous))
        if settings.certifies:
            self._require_certifiable(parts)
        line_before = next((part for part in parts if part.activation.name == "identity"), None)
        fitted = [part for part in parts if part is not line_before]
        starts = [_Start(part.activation.name, task, part) for part in fitted] or self._starts()
        shallow = not self.regime.is_expensive and {len(settings.sizes), *(part.depth for part in parts)} == {1}
        may_average = shallow and len(starts) > 1
        widths = [0 if start.network is None else start.network.layer_sizes[1] for start in starts]
        room = settings.max_neurons - (line_before.layer_sizes[1] if line_before is not None and fitted else 0)
        grown: list[Member] = []
        for i, start in enumerate(starts):
            if self.stopped and start.network is None:
                break
            others = sum(widths) - widths[i]
            shares_room = may_average and (bool(fitted) or 2 * others <= settings.max_neurons)
            budget = room - others * shares_room
            try:
                with task.threads():
                    member = self._member(start, budget)
            except KeyboardInterrupt:
                if not grown:
                    raise
                interrupted()
                self.stopped, self.stop_reason = True, "interrupted"
                if start.network is None:
                    break
                with task.threads():
                    member = self._member(start, budget)
            grown.append(member)
            widths[i] = member.width
        line = None
        if shallow and settings.averages and (line_before is not None or not self.stopped):
            line = self._line(grown)
        with task.threads():
            best = completed(
                lambda: combine(
                    grown,
                    line,
                    self._criterion,
                    may_average=may_average and min(widths) > 0,
                    goes_on=bool(fitted),
                    max_neurons=settings.max_neurons,
                )
            )
        if best.parts:
            self.history.append(completed(lambda: self._row_of_average(best)))
            completed(lambda: self._report_average(best))
        reason = self._reason(best, grown)
        unsettled = [part for part in best.parts or [best] if not part.trained.settled]
        if unsettled and not (self.stop_reason or getattr(settings.schedule, "waits", False)):
            warn_unconverged("max_stage_iter", settings.max_iter)
        return completed(lambda: self._said_of(best, reason))

    @staticmethod
    def _require_certifiable(parts: Sequence[MLP]) -> None:
        """Raise ValueError for a fitted network that the path-norm problem does not have."""
        for part in parts:
            known = part.activation.is_piecewise_linear or part.activation.name == "identity"
            if not known or part.depth != 1:
                raise ValueError(
                    "penalty='path' with warm_start=True goes on from one hidden layer of 'relu' or 'leaky_relu' "
                    f"neurons; got a fitted network of layers {part.layer_sizes} with activation "
                    f"{part.activation.name!r}; allowed is warm_start=False."
                )

    # problems ----------------------------------------------------------------------------------------------

    def _starts(self) -> list[_Start]:
        """Return what a first fit grows: a network of every activation on the features, and on their encoding."""
        task, settings = self.task, self.settings
        encoded = task.encoded(settings.encoding)
        self.tasks += [] if encoded is task else [encoded]
        return [_Start(activation.name, on) for on in self.tasks for activation in settings.activations]

    def _criterion(self, task: Task) -> Criterion:
        """Return what judges: validation data, if there are any."""
        return task.validation() or self.settings.criterion

    def _problem(self, task: Task, *, smooth: bool) -> tuple[Problem, Criterion]:
        """Return the problem at the start, and the criterion for smooth networks or others."""
        penalty = self.settings.penalty.with_alpha(self.regime.first_alpha(task.samples.X.shape[1]))
        problem = task.problem(penalty=penalty, rule=self.regime.rule, support=GROWTH.kink_support)
        return problem, self._criterion(task).suited_to(problem, smooth=smooth)

    def _activation(self, name: str) -> Activation:
        """Return an activation by its name, with the slope that was set."""
        return next((a for a in self.settings.activations if a.name == name), Activation(name))

    # members -----------------------------------------------------------------------------------------------

    def _member(self, start: _Start, max_neurons: int) -> Member:
        """Grow a network of one activation, from one that there is; leave that as it is if ``stopped``."""
        monitor = _RaceMonitor(start.task, self.report, start.label, self.rival)
        if self.stopped:
            monitor.stop(self.stop_reason)
        history = History()
        grown = self._certified if self.settings.certifies else self._grown
        trained = grown(start, max_neurons, monitor, history)
        if self.regime.is_expensive and not monitor.beaten:
            self.rival = [row["criterion"] for row in history]
        offset = len(self.history)
        for row in history:
            parent = row["parent"]
            said = {"activation": start.label, "parent": None if parent is None else parent + offset}
            self.history.append(row | said)
        trained.row += offset
        self.loss_curve += monitor.loss_curve
        self.stopped = monitor.stopped
        reason = next(row["stop_reason"] for row in reversed(history) if row["stop_reason"])
        if reason in ("callback", "interrupted", "not_finite"):  # it ends the whole fit
            self.stop_reason = reason
        return Member(trained, start.name, start.task, stop_reason=reason)

    def _grown(self, start: _Start, max_neurons: int, monitor: _RaceMonitor, history: History) -> Trained:
        task, settings, before = start.task, self.settings, start.network
        generator, activation = task.generator(), self._activation(start.name)
        problem, criterion = self._problem(task, smooth=not activation.is_piecewise_linear)
        d, c = task.samples.X.shape[1], problem.Y.shape[1]
        solver = settings.solver.seeded(generator)
        room, max_neurons = max_neurons, self.regime.most_neurons(max_neurons, d, c, task.held_out is not None)
        policy = _policy(task, settings, solver, max_neurons, monitor, generator)
        policy.budget = "max_neurons" if max_neurons == room else "max_parameters"
        if before is None or 0 in before.layer_sizes[1:-2]:  # behind a layer without neurons new ones would see nothing
            network = glorot(MLP((d, *settings.sizes, c), None, activation), task.seed, task.samples.X)
            network = refit_output(network, problem)
        elif before.activation != cast(Network, task.previous).activation:  # of an average
            network = refit_output(before, problem)
        else:
            network = before
        best = fit(
            network,
            problem,
            solver,
            policy,
            settings.schedule,
            max_iter=settings.max_iter,
            monitor=monitor,
            history=history,
            criterion=criterion,
        )
        if "indicator" not in history[best.row] and not monitor.beaten:
            history[best.row] |= _indicators(policy, best.network, best.problem)
        best.network = completed(lambda: policy.merged(best.network, best.problem), monitor)
        if task.everything is not None and self.regime.is_expensive and not monitor.stopped:
            try:
                self._refit(task, best, solver, history, monitor)
            except KeyboardInterrupt:
                interrupted(monitor)
        return best

    def _certified(
        self,
        start: _Start,
        max_neurons: int,  # noqa: ARG002
        monitor: _RaceMonitor,
        history: History,
    ) -> Trained:
        """Minimise the path-norm problem, as far as the budget goes to global optimality."""
        task, settings = self.task, self.settings
        problem = task.problem(penalty=settings.penalty.with_alpha(float(settings.alpha)))
        network = start.network or constant_network(problem, self._activation(start.name))
        policy = CertificatePolicy(problem, task.generator(), max_neurons=settings.max_neurons)
        best = fit(
            network,
            problem,
            FullyCorrective(),
            policy,
            Plateau(),
            max_iter=settings.max_iter,
            monitor=monitor,
            history=history,
        )
        last = history[best.row]
        if "duality_gap" not in last:  # interrupted
            last |= {"indicator": math.nan, "duality_gap": math.inf, "certified": False, "predicted_decrease": math.nan}
        self.found |= {"duality_gap_": last["duality_gap"], "certified_": last["certified"]}
        return best

    def _refit(self, task: Task, best: Trained, solver: Solver, history: History, monitor: Monitor) -> None:
        """Train the network chosen on all rows, those held out included, with the penalty found."""
        problem = task.problem(task.everything, penalty=best.problem.penalty, support=GROWTH.kink_support)
        max_iter = self.settings.max_iter
        state = descend(best.network, problem, solver, Plateau(), max_iter=max_iter, monitor=monitor.aside())
        row = history[best.row] | {"action": "refit", "parent": None, "stop_reason": None, "validation_loss": math.nan}
        best.network, best.row = state.network, len(history)
        best.loss = row["train_loss"] = float(problem.data_loss(best.network))
        history.append(row)

    def _line(self, grown: Sequence[Member]) -> Member | None:
        """Return the linear model, or the additive one, if no network is estimated to be better, else None."""
        found = [line for line in map(self._linear, self.tasks) if line is not None]
        line = max(found, key=lambda member: member.trained.criterion, default=None)
        if line is None or not line.trained.criterion >= max(member.trained.criterion for member in grown):
            return None
        task, (d, *_, c) = line.task, line.network.layer_sizes
        wider = direct_sum(
            cast(MLP, line.trained.network),
            MLP((d, 0, c), torch.zeros_like(line.network.biases[0]), Activation("relu")),
        )
        generator = task.generator()
        solver = self.settings.solver.seeded(generator)
        policy = _policy(task, self.settings, solver, self.settings.max_neurons, Monitor(), generator)
        self.history[line.trained.row] |= _indicators(policy, wider, line.problem)
        return line

    def _linear(self, task: Task) -> Member | None:
        """Return the linear model of a task, None if that is too expensive, or was interrupted."""
        started = time.perf_counter()
        problem, criterion = self._problem(task, smooth=True)
        n, d, c = problem.n_samples, problem.X.shape[1], problem.Y.shape[1]
        too_wide = problem.operator is not None or c > self.settings.max_neurons
        if too_wide or not self.regime.fits_linear_model(n, c, (d + 1) * c):
            return None
        try:
            with task.threads():
                plain = linear_model(problem, criterion)
        except torch.linalg.LinAlgError:
            return None
        except KeyboardInterrupt:
            interrupted()
            return None
        W, b = plain.network.weights[0], plain.network.biases[0]
        trained = replace(plain, network=linear(W, b), row=len(self.history))
        line = Member(trained, "identity", task, plain=cast(MLP, plain.network))
        seconds = time.perf_counter() - started
        row = {"time": seconds, "epoch": 0, "action": "linear", "parent": None, "accepted": True, "stop_reason": None}
        row |= trained.entries(criterion) | {"activation": line.label}
        self.history.append(row)
        StageMonitor(task, self.report, line.label).stage(row, trained.network)
        return line

    def _row_of_average(self, best: Member) -> dict[str, Any]:
        """Return the row of an average, made from that of the member of largest weight."""
        history, mean = self.history, best.trained
        times = [max(row["time"] for row in history if row["activation"] == part.label) for part in best.parts]
        row = history[best.parts[int(np.argmax(best.shares))].trained.row] | {
            "time": sum(times),
            "epoch": len(self.loss_curve),
            "action": "average",
            "parent": None,
            "stop_reason": None,
            "activation": best.label,
        }
        mean.row = len(history)
        return row | mean.entries(self._criterion(best.task))

    def _report_average(self, best: Member) -> None:
        StageMonitor(best.task, self.report, best.label).stage(self.history[-1], best.trained.network)

    # results -----------------------------------------------------------------------------------------------

    def _reason(self, best: Member, grown: Sequence[Member]) -> str:
        """Return why growth ended: of all of it, or of the network of largest weight that has grown."""
        shares = zip(best.shares, best.parts or [best], strict=True)
        reasons = [part.stop_reason for _, part in sorted(shares, key=lambda pair: -pair[0]) if part.stop_reason]
        leader = max(grown, key=lambda member: member.trained.criterion)
        return next((reason for reason in (self.stop_reason, *reasons) if reason), leader.stop_reason)

    def _said_of(self, best: Member, reason: str) -> Result:
        """Return the result: evidence, noise and uncertainty from the curvature at the network."""
        task, trained, problem = self.task, best.trained, best.problem
        history = self.history
        p, c = trained.network.n_parameters, trained.network.layer_sizes[-1]
        if not best.parts:
            best.measure()
        known = trained.evidence
        scale = task.units.y_scale.to("cpu").numpy().astype(float)
        log_evidence = math.nan
        if known is not None and trained.alpha > 0:
            log_evidence = known.log_evidence - problem.total_weight * float(np.log(scale).sum())
        found = self.found | {
            "growth_indicator_": history[trained.row].get("indicator", math.nan),
            "effective_parameters_": known.effective_parameters if known is not None else float(p),
            "log_evidence_": log_evidence,
        }
        if not problem.loss.known_dispersion:
            noise = known.dispersion if known is not None else problem.loss.degree * trained.loss / c
            variance = noise * scale**2 if problem.loss.has_variance else np.full(len(scale), math.nan)
            found["noise_variance_"] = float(variance[0]) if task.y_ndim == 1 else variance
            found["_posterior"] = self._posterior(best, noise)
        return Result(
            trained,
            history,
            self.loss_curve,
            min(row["train_loss"] for row in history),
            task.validation_scores(history),
            reason,
            found,
            best.task,
        )

    def _posterior(self, best: Member, noise: float) -> list[dict[str, Any]] | None:
        """Return what ``return_std`` needs of every member, None if that is not known."""
        if not best.problem.loss.is_quadratic or best.problem.operator is not None:
            return None
        parts = zip(best.parts or [best], best.shares, strict=True)
        members = [part.posterior(share, noise) for part, share in parts]
        return None if None in members else cast(list[dict[str, Any]], members)


def _indicators(policy: GrowthPolicy, network: MLP, problem: Problem) -> dict[str, float]:
    """Return whether growing would pay, NaN if that was interrupted or cannot be computed."""
    try:
        return policy.indicators(network, problem, policy.proposals(network, problem))
    except KeyboardInterrupt:
        interrupted()
    except torch.linalg.LinAlgError:
        pass
    return {"indicator": math.nan, "predicted_decrease": math.nan}


class _RaceMonitor(StageMonitor):
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
