"""Training by growth: one network per activation, to the size that the criterion prefers, and their average."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
import torch

from skgrow.criteria import Criterion, LogEvidence
from skgrow.growth._average import average_of, combine, combine_members
from skgrow.growth._certificate import CertificatePolicy, constant_network
from skgrow.growth._constants import GROWTH
from skgrow.growth._ensemble import Grown, Structure, grow_members, of_member, require_fitting, starts_of
from skgrow.growth._linear import linear_model, linear_model_by_validation, refitted
from skgrow.growth._member import Member
from skgrow.growth._policy import GrowthPolicy
from skgrow.growth._race import RaceMonitor
from skgrow.growth._settings import GrowthSettings
from skgrow.networks import MLP, Activation, Network, direct_sum, glorot, linear
from skgrow.problem import FixedAlpha, Problem
from skgrow.solvers import FullyCorrective, Solver, refit_output
from skgrow.training import (
    BUDGETS,
    GrowthRegime,
    History,
    Monitor,
    Plateau,
    Report,
    Result,
    StageMonitor,
    Task,
    Trained,
    by_leave_one_out,
    completed,
    descend,
    fit,
    interrupted,
    measured,
    warn_unconverged,
)


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
    encoded = task.encoded(settings.encoding)
    tasks = [task] if encoded is task else [task, encoded]
    levels = task.regime.levels(task.samples.X.shape[0]) if task.previous is None else []
    if len(levels) < 2:
        return _Growth(tasks, settings, report).result()
    first = [on.of_rows(levels[0]) for on in tasks]
    return _Growth(first, settings, report, levels=levels[1:], full=tasks).result()


def grow(task: Task, settings: GrowthSettings, network: Network, problem: Problem, generator: Any) -> Any:
    """Return a network with one more block and the places of its parameters, or as it is (``partial_fit``)."""
    problem = replace(problem, support=GROWTH.kink_support)
    budget = settings.n_members * settings.max_neurons
    policy = _policy(task, settings, settings.solver, budget, Monitor(), generator)
    d, c = network.layer_sizes[0], network.layer_sizes[-1]
    if network.activation.name == "identity":
        constant = MLP((d, 0, c), network.theta.new_zeros(c), Activation("tanh"))
        network = direct_sum(cast(MLP, network), constant)
    return policy.widened(cast(MLP, network), problem)


def _policy(
    task: Task,
    settings: GrowthSettings,
    solver: Solver,
    max_neurons: int,
    monitor: Monitor,
    generator: torch.Generator,
    *,
    begins: bool = False,
    goes_on: bool = False,
) -> GrowthPolicy:
    """Return the policy of a network: of one that ``begins`` on some of the rows, or ``goes_on`` with more."""
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
        n_exchanges=0 if begins or goes_on else regime.n_exchanges,
        merge_tol=search.merge_tol,
        patience=1 if begins or goes_on else settings.patience,
        min_decrease=settings.min_decrease,
        generator=generator,
        relax=regime.relaxes,
        grow_layer=settings.grow_layer,
        n_penalties=regime.n_penalties,
        expensive=regime.is_expensive,
        insists=not goes_on,
    )


def _grown(
    tasks: Sequence[Task],
    settings: GrowthSettings,
    levels: Sequence[int],
    number: int,
    alphas: dict[str, float],
    report: Report | None,
) -> Grown:
    """Return what one member of an ensemble grows."""
    return _Growth(tasks, settings, report, number, alphas, levels).grow()


@dataclass(frozen=True)
class _Start:
    """What a network is grown from: name of its activation, what it is trained on, and a network that there is.

    The member of an ensemble is trained on weighted rows, and judged on the ``whole`` task, of all rows as they are.
    ``before`` is the row of the history of a network that has grown on fewer rows.
    """

    name: str
    task: Task
    whole: Task
    network: MLP | None = None
    before: int | None = None

    @property
    def label(self) -> str:
        """Name of the activation on the features themselves."""
        return self.task.named(self.name)


class _Growth:
    """One fit: networks are grown one after the other, with one history, and combined.

    Parameters
    ----------
    tasks : sequence of Task
        Of the fit: on the features, and on their encoding if they have one.
    settings : GrowthSettings
        Of the fit.
    report : callable or None
        Hears of the stages.
    number : int
        Of the member of an ensemble that is grown.
    alphas : dict
        Penalties that are given, by the label of the start.
    levels, full : sequence of int, of Task
        Numbers of rows that networks are trained on after those of the tasks, and the tasks of all rows.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        settings: GrowthSettings,
        report: Report | None,
        number: int = 0,
        alphas: dict[str, float] | None = None,
        levels: Sequence[int] = (),
        full: Sequence[Task] = (),
    ) -> None:
        self.wholes, (self.tasks, self.settings) = tasks, of_member(number, tasks, settings)
        self.task = task = self.tasks[0]
        self.report, self.number, self.alphas = report, number, alphas or {}
        self.levels, self.full = levels, full
        self.regime: GrowthRegime = task.regime
        self.starts = starts_of(task.previous, settings.structure)
        self.history: list[dict[str, Any]] = []
        self.loss_curve: list[float] = []
        self.found: dict[str, Any] = {}
        #: Values of the criterion that the activation before has reached, if a fit is expensive.
        self.rival: list[float] = []
        self.stopped, self.stop_reason = False, ""

    @property
    def is_shallow(self) -> bool:
        """Whether networks of one hidden layer are grown, which the linear model may join."""
        return {len(self.settings.sizes), *(start.depth for start in self.starts.values())} == {1}

    def result(self) -> Result:
        """Grow all members, combine them, and say what is known of the outcome."""
        task, settings = self.task, self.settings
        require_fitting(self.starts, settings)
        grow, problems = (
            partial(_grown, self.tasks, settings, self.levels),
            [self._problem(on, smooth=True)[0] for on in self.tasks],
        )
        members = []
        for member in grow_members(grow, self.tasks, problems, settings, self.report):
            self._take(member)
            members.append(member)
        grown = [network for member in members for network in member.networks]
        line = None
        if self.is_shallow and settings.averages and ((None, "identity") in self.starts or not self.stopped):
            line = self._line(max(min(map(self._error, member.networks)) for member in members))
        with task.threads():
            best = completed(lambda: self._combined(members, line))
        if self.levels and not self.stopped:
            best = self._on_more_rows(best)
        if best.parts:
            self.history.append(completed(lambda: self._row_of_average(best)))
            completed(lambda: self._report_average(best))
        reason = self._reason(best, grown)
        unsettled = [part for part in best.parts or [best] if not part.trained.settled]
        if unsettled and not (self.stop_reason or getattr(settings.schedule, "waits", False)):
            warn_unconverged("max_stage_iter", settings.max_iter)
        return completed(lambda: self._said_of(best, reason))

    def grow(self) -> Grown:
        """Grow the networks of one member."""
        settings = self.settings
        fitted = {name: start for (number, name), start in self.starts.items() if number == self.number}
        pairs = list(zip(self.tasks, self.wholes, strict=True))
        starts = [_Start(name, *pairs[0], network) for name, network in fitted.items()] or [
            _Start(activation.name, *pair) for pair in pairs for activation in settings.activations
        ]
        may_average = self.is_shallow and len(starts) > 1 and not self.regime.is_expensive
        widths = [0 if start.network is None else start.network.layer_sizes[1] for start in starts]
        line_before = self.starts.get((None, "identity"))
        room = settings.max_neurons - (line_before.layer_sizes[1] if line_before is not None and fitted else 0)
        grown: list[Member] = []
        for i, start in enumerate(starts):
            if self.stopped and start.network is None:
                break
            others = sum(widths) - widths[i]
            shares_room = may_average and (bool(fitted) or 2 * others <= settings.max_neurons)
            budget = room - others * shares_room
            try:
                with self.task.threads():
                    member = self._member(start, budget)
            except KeyboardInterrupt:
                if not grown:
                    raise
                interrupted()
                self.stopped, self.stop_reason = True, "interrupted"
                if start.network is None:
                    break
                with self.task.threads():
                    member = self._member(start, budget)
            grown.append(member)
            widths[i] = member.width
        may_average = may_average and min(widths) > 0
        rest = self.history, self.loss_curve, self.stop_reason, self.found
        return Grown(self.number, grown, may_average, bool(fitted), *rest)

    def _take(self, member: Grown) -> None:
        """Take note of what a member has grown."""
        offset = len(self.history)
        for row in member.history:
            self.history.append(row | {"parent": None if row["parent"] is None else row["parent"] + offset})
        for network in member.networks:
            network.trained.row += offset
        self.loss_curve += member.loss_curve
        self.found |= member.found
        self.stop_reason = member.stop_reason
        self.stopped = bool(member.stop_reason)

    def _combined(self, members: Sequence[Grown], line: Member | None) -> Member:
        """Return the average of all members, each of which is that of its networks and the linear model."""
        found = []
        for member in members:
            networks = member.networks
            if self.regime.is_expensive:  # the others have ended early
                networks = [max(networks, key=lambda network: network.trained.criterion)]
            joins = line is not None and self._error(line) <= min(map(self._error, networks))
            found.append(
                combine(
                    networks,
                    line if joins else None,
                    self._criterion,
                    may_average=member.may_average,
                    goes_on=member.goes_on,
                    max_neurons=self.settings.max_neurons,
                )
            )
        return combine_members(found, self._criterion)

    # more rows ---------------------------------------------------------------------------------------------

    def _on_more_rows(self, best: Member) -> Member:
        """Return the average of the best of the networks, trained on more and more rows, and in the end on all."""
        full = {id(task): whole for task, whole in zip(self.wholes, self.full, strict=True)}
        parts = sorted(best.parts or [best], key=self._error)[: GROWTH.carried]
        for i, part in enumerate(parts):
            if self.stopped:
                break
            others = sum(part.width for part in parts) - part.width
            parts[i] = self._through_levels(part, full[id(part.task)], self.settings.max_neurons - others)
        self.task, self.regime = self.full[0], self.full[0].regime
        with self.task.threads():
            return completed(lambda: average_of(parts, self._criterion))

    def _through_levels(self, part: Member, whole: Task, max_neurons: int) -> Member:
        """Return a network, or the linear model, trained on more and more rows."""
        paid = False
        for rows in self.levels:
            self.task = whole if rows == self.levels[-1] else whole.of_rows(rows)
            self.regime = self.task.regime
            begins, grows = len(self.history), paid or self.regime.grows_on
            try:
                with self.task.threads():
                    if part.plain is None:
                        part = self._further(part, self.task, max_neurons, grows=grows)
                    else:
                        part = self._line_on(part, self.task)
            except KeyboardInterrupt:
                interrupted()
                self.stopped, self.stop_reason = True, "interrupted"
            except torch.linalg.LinAlgError:
                break
            if self.stopped:
                break
            first = self.history[begins]["criterion"]
            paid = part.trained.criterion - first > GROWTH.still_pays * abs(first)
        return part

    def _further(self, part: Member, task: Task, max_neurons: int, *, grows: bool) -> Member:
        """Return a network trained on more rows, on which it may grow on, with the penalty that it has."""
        self.alphas, self.rival = {part.label: part.trained.alpha}, []
        network = cast(MLP, part.trained.network)
        start = _Start(part.name, task, task, network, part.trained.row)
        try:
            further = self._member(start, max_neurons if grows else part.width)
        finally:
            self.alphas = {}
        if not grows:
            further.stop_reason = self.stop_reason or part.stop_reason
        return further

    def _line_on(self, line: Member, task: Task) -> Member:
        """Return the linear model trained on more rows, with the penalty that it has."""
        penalty, criterion = line.problem.penalty, self._criterion(task)
        problem = task.problem(penalty=penalty, support=GROWTH.kink_support)
        plain = refitted(cast(MLP, line.plain), problem, criterion.suited_to(problem, smooth=True))
        if task.everything is not None and self.regime.is_expensive:  # as the networks, which validation data judge
            everything = task.problem(task.everything, penalty=penalty, support=GROWTH.kink_support)
            whole = refitted(cast(MLP, plain.network), everything, criterion)
            plain = replace(plain, network=whole.network, loss=whole.loss, validation_loss=math.nan)
        row = self.history[line.trained.row] | {"action": "rows", "parent": line.trained.row}
        W, b = plain.network.weights[0], plain.network.biases[0]
        trained = replace(plain, network=linear(W, b), row=len(self.history))
        row |= trained.entries(criterion)
        self.history.append(row)
        StageMonitor(task, self.report, line.label).stage(row, trained.network)
        return Member(trained, "identity", task, plain=cast(MLP, plain.network), number=None)

    # problems ----------------------------------------------------------------------------------------------

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
        title = start.label if self.settings.n_members == 1 else f"{start.label} of member {self.number}"
        monitor = RaceMonitor(start.task, self.report, title, self.rival)
        if self.stopped:
            monitor.stop(self.stop_reason)
        history = History()
        grown = self._certified if self.settings.certifies else self._grown
        trained = grown(start, max_neurons, monitor, history)
        if self.alphas and start.whole is not start.task:
            trained = completed(lambda: self._on_all_rows(trained, start), monitor)
        if self.regime.is_expensive and not monitor.beaten:
            self.rival = [row["criterion"] for row in history]
        offset = len(self.history)
        for row in history:
            parent = row["parent"]
            place = start.before if parent is None else parent + offset
            self.history.append(row | {"activation": start.label, "member": self.number, "parent": place})
        trained.row += offset
        self.loss_curve += monitor.loss_curve
        self.stopped = monitor.stopped and not monitor.beaten
        reason = next(row["stop_reason"] for row in reversed(history) if row["stop_reason"])
        if monitor.stopped and not monitor.beaten:  # perhaps after growth
            reason = monitor.stop_reason or reason
        if reason in ("callback", "interrupted", "not_finite"):  # it ends the whole fit
            self.stop_reason = reason
        return Member(trained, start.name, start.whole, stop_reason=reason, number=self.number)

    def _on_all_rows(self, trained: Trained, start: _Start) -> Trained:
        """Return a network trained on weighted rows with what is measured on all rows as they are."""
        problem = start.whole.problem(penalty=trained.problem.penalty, support=GROWTH.kink_support)
        smooth = not self._activation(start.name).is_piecewise_linear
        criterion = self._criterion(start.whole).suited_to(problem, smooth=smooth)
        return replace(measured(trained.network, problem, criterion), state=trained.state, row=trained.row)

    def _grown(self, start: _Start, max_neurons: int, monitor: RaceMonitor, history: History) -> Trained:
        task, settings, before = start.task, self.settings, start.network
        generator, activation = task.generator(), self._activation(start.name)
        problem, criterion = self._problem(task, smooth=not activation.is_piecewise_linear)
        if start.label in self.alphas:
            problem = problem.at(self.alphas[start.label]).ruled(FixedAlpha())
        d, c = task.samples.X.shape[1], problem.Y.shape[1]
        solver = settings.solver.seeded(generator)
        schedule = settings.schedule
        if start.before is not None:
            solver, schedule = getattr(solver, "near_minimum", lambda: solver)(), Plateau(tol=GROWTH.further_tol)
        room, max_neurons = max_neurons, self.regime.most_neurons(max_neurons, d, c, task.held_out is not None)
        policy = _policy(
            task,
            settings,
            solver,
            max_neurons,
            monitor,
            generator,
            begins=bool(self.levels),
            goes_on=start.before is not None,
        )
        policy.budget = "max_neurons" if max_neurons == room else "max_parameters"
        policy.n_penalties *= start.label not in self.alphas
        if before is None or 0 in before.layer_sizes[1:-2]:  # behind a layer without neurons new ones would see nothing
            network = glorot(MLP((d, *settings.sizes, c), None, activation), task.seed, task.samples.X)
            network = refit_output(network, problem)
        elif len(self.starts) > 1:  # of an average
            network = refit_output(before, problem)
        else:
            network = before
        best = fit(
            network,
            problem,
            solver,
            policy,
            schedule,
            max_iter=settings.max_iter,
            monitor=monitor,
            history=history,
            criterion=criterion,
            begins_as="start" if start.before is None else "rows",
        )
        if not monitor.beaten:
            row = history[best.row]
            row |= policy.known_indicators(best.network, best.problem, row)
        best.network = completed(lambda: policy.merged(best.network, best.problem), monitor)
        judged = problem.loss.known_dispersion and isinstance(criterion, LogEvidence) and best.evidence is not None
        judged = judged and problem.rule.sets_penalty and problem.curvature.is_exact and task.operator is None
        if judged and not monitor.stopped:
            best = self._with_less_penalty(best, solver, criterion, history, monitor)
        if task.everything is not None and self.regime.is_expensive and not monitor.stopped:
            try:
                self._refit(task, best, solver, history, monitor)
            except KeyboardInterrupt:
                interrupted(monitor)
        return best

    def _with_less_penalty(
        self, best: Trained, solver: Solver, criterion: Criterion, history: History, monitor: Monitor
    ) -> Trained:
        """Lower the penalty of a network of classes as long as its leave-one-out loss falls."""
        schedule, max_iter = self.settings.schedule, self.settings.max_iter

        def trained_on(trained: Trained, problem: Problem) -> Trained:
            state = descend(trained.network, problem, solver, schedule, max_iter=max_iter, monitor=monitor.aside())
            return measured(state.network, problem, criterion, state)

        try:
            found = by_leave_one_out(best, trained_on)
        except KeyboardInterrupt:
            interrupted(monitor)
            return best
        history[best.row]["loo"] = found.loo
        if found.problem is not best.problem:
            row = history[best.row] | {"action": "penalty", "parent": best.row}
            row["stop_reason"], history[-1]["stop_reason"] = history[-1]["stop_reason"], None  # stands in the last row
            found = replace(found, row=len(history))
            row |= found.entries(criterion)
            history.append(row)
            monitor.stage(row, found.network)
        return found

    def _certified(
        self,
        start: _Start,
        max_neurons: int,  # noqa: ARG002
        monitor: RaceMonitor,
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
        best.validation_loss = math.nan
        history.append(row)

    def _error(self, member: Member) -> float:
        """Return the estimated error of a network on new data."""
        return self._criterion(member.task).error(member.trained)

    def _line(self, largest: float) -> Member | None:
        """Return the linear model, or the additive one, if its estimated error is no larger, else None."""
        found = [line for line in map(self._linear, self.tasks) if line is not None]
        line = min(found, key=self._error, default=None)
        if line is None or not self._error(line) <= largest:
            return None
        task, (d, *_, c) = line.task, line.network.layer_sizes
        room = MLP((d, 0, c), torch.zeros_like(line.network.biases[0]), Activation("relu"))
        wider = direct_sum(cast(MLP, line.trained.network), room)
        generator = task.generator()
        solver = self.settings.solver.seeded(generator)
        policy = _policy(task, self.settings, solver, self.settings.max_neurons, Monitor(), generator)
        row = self.history[line.trained.row]
        row |= policy.known_indicators(wider, line.problem, row)
        return line

    def _linear(self, task: Task) -> Member | None:
        """Return the linear model of a task, None if that is too expensive, or was interrupted."""
        started = time.perf_counter()
        problem, criterion = self._problem(task, smooth=True)
        n, d, c = problem.n_samples, problem.X.shape[1], problem.Y.shape[1]
        too_wide = problem.operator is not None or c > self.settings.max_neurons
        expensive = self.regime.is_expensive
        if too_wide or not (expensive or self.regime.fits_linear_model(n, c, (d + 1) * c)):
            return None
        try:
            with task.threads():
                model = partial(self._line_by_validation, task) if expensive else linear_model
                plain = model(problem, criterion)
        except torch.linalg.LinAlgError:
            return None
        except KeyboardInterrupt:
            interrupted()
            return None
        W, b = plain.network.weights[0], plain.network.biases[0]
        trained = replace(plain, network=linear(W, b), row=len(self.history))
        line = Member(trained, "identity", task, plain=cast(MLP, plain.network), number=None)
        seconds = time.perf_counter() - started
        row = {"time": seconds, "epoch": 0, "action": "linear", "parent": None, "accepted": True, "stop_reason": None}
        row |= trained.entries(criterion) | {"activation": line.label, "member": self._number_of_all}
        self.history.append(row)
        StageMonitor(task, self.report, line.label).stage(row, trained.network)
        return line

    def _line_by_validation(self, task: Task, problem: Problem, criterion: Criterion) -> Trained:
        """Return the linear model whose penalty validation data prefer, trained on all rows in the end."""
        solver = self.settings.solver.seeded(task.generator())

        def descended(network: MLP, on: Problem) -> MLP:
            state = descend(network, on, solver, Plateau(), max_iter=self.settings.max_iter, monitor=Monitor())
            return cast(MLP, state.network)

        line = linear_model_by_validation(problem, criterion, descended)
        if task.everything is None:
            return line
        everything = task.problem(task.everything, penalty=line.problem.penalty, support=GROWTH.kink_support)
        network = descended(cast(MLP, line.network), everything)
        loss = float(everything.data_loss(network))
        return replace(line, network=network, loss=loss, validation_loss=math.nan)

    def _row_of_average(self, best: Member) -> dict[str, Any]:
        """Return the row of an average, made from that of the member of largest weight."""
        history, mean = self.history, best.trained
        paths = [(history[part.trained.row]["member"], part.label) for part in best.parts]
        times = [max(row["time"] for row in history if (row["member"], row["activation"]) == path) for path in paths]
        row = history[best.parts[int(np.argmax(best.shares))].trained.row] | {
            "time": sum(times),
            "epoch": len(self.loss_curve),
            "action": "average",
            "parent": None,
            "stop_reason": None,
            "activation": best.label,
            "member": self._number_of_all,
        }
        mean.row = len(history)
        return row | mean.entries(self._criterion(best.task))

    def _report_average(self, best: Member) -> None:
        StageMonitor(best.task, self.report, best.label).stage(self.history[-1], best.trained.network)

    # results -----------------------------------------------------------------------------------------------

    @property
    def _number_of_all(self) -> int | None:
        """What stands for the member in rows of the history that belong to all."""
        return 0 if self.settings.n_members == 1 else None

    def _structure(self, best: Member) -> Structure:
        """Return what tells the members of an ensemble apart again."""
        if self.settings.n_members == 1:
            return []
        found: list[tuple[int | None, str, tuple[int, ...]]] = []
        for part in best.parts or [best]:
            entry = part.number, part.name, part.trained.network.layer_sizes[1:-1]
            if found and found[-1][:2] == entry[:2]:  # on the features, and on their encoding
                entry = (*entry[:2], tuple(a + b for a, b in zip(found.pop()[2], entry[2], strict=True)))
            found.append(entry)
        return found

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
            "growth_indicator_noise_": history[trained.row].get("indicator_noise", math.nan),
            "effective_parameters_": known.effective_parameters if known is not None else float(p),
            "log_evidence_": log_evidence,
            "_structure": self._structure(best),
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
            trained.loss if self.levels else min(row["train_loss"] for row in history),
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
        most = BUDGETS.covariance_parameters / math.sqrt(self.settings.n_members)
        members = [part.posterior(share, noise, most) for part, share in parts]
        return None if None in members else cast(list[dict[str, Any]], members)
