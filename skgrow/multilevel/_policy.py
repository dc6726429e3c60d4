"""MG/Opt as a policy of the loop: coarse grid corrections between descents on the fine level."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch

from skgrow.multilevel._constants import MULTILEVEL
from skgrow.multilevel._hierarchies import Hierarchy
from skgrow.multilevel._level import Level, Work, corrected
from skgrow.multilevel._transfer import Transfer
from skgrow.networks import Network, glorot
from skgrow.problem import Problem, WeightedL2
from skgrow.solvers import MiniBatchState
from skgrow.training import Action, Every, FixedPolicy, History, Monitor, Trained, completed, descend, fit


def build_levels(hierarchy: Hierarchy, network: Network, problem: Problem, n_levels: int) -> list[Level]:
    """Return the levels of a network's problem, finest first; their networks are its restrictions.

    Raises
    ------
    ValueError
        If the hierarchy does not fit the network, or has not so many levels.
    """
    hierarchy.check(network, n_levels)
    work = Work(network, problem.n_samples, n_levels)
    levels = [Level(network, replace(problem, meter=work.meter(0)), work)]
    mass = torch.ones_like(network.theta)
    for level in range(1, n_levels):
        finer = levels[-1]
        coarse, transfer = hierarchy.coarsen(finer.network, finer.problem)
        X = hierarchy.inputs(finer.network, finer.problem.X)
        mass = transfer.adjoint(mass * transfer.apply(mass.new_ones(transfer.n_coarse)))
        penalty = WeightedL2(problem.alpha, mass)
        meter = work.meter(level)
        found = replace(problem, X=X, penalty=penalty, meter=meter)
        levels.append(Level(coarse, found, work, transfer))
    return levels


@dataclass
class MGOptPolicy(FixedPolicy):
    r"""Correct the network from coarser levels after every descent, until the criterion stands still.

    One correction (Algorithm 5, by recursion over the levels): if the coarse level sees more than the share
    ``kappa`` of the exact gradient, the coarse objective with its correction is descended from the restricted
    parameters; the prolonged way :math:`e = P(t - t_0)` is a direction of the fine level, and a backtracking line
    search that admits zero says how far to go. Between two corrections the loop descends, so they never follow each
    other at once.

    Parameters
    ----------
    levels : list of Level
        Finest first.
    solvers : list
        Of the levels.
    hierarchy : Hierarchy
        That made the levels.
    monitor : Monitor
        Its copies watch coarse descents.
    kappa : float
        In (0, 1).
    n_coarse : int
        Solver iterations of one coarse descent, K.
    correction : {False, True, "exact"}
        See :func:`corrected`.
    regularization : float
        Lambda of the coarse objectives.
    cycles : int
        How often a level descends and is corrected when it is visited: 1 for a V-cycle, 2 for a W-cycle.
    """

    levels: list[Level] = field(kw_only=True)
    solvers: list[Any] = field(kw_only=True)
    hierarchy: Hierarchy = field(kw_only=True)
    monitor: Monitor = field(kw_only=True)
    kappa: float = field(kw_only=True)
    n_coarse: int = field(kw_only=True)
    correction: Any = field(kw_only=True)
    regularization: float = field(kw_only=True)
    cycles: int = field(kw_only=True)

    def __post_init__(self) -> None:
        self._states: dict[int, Any] = {}

    def act(self, current: Trained, best: Trained, history: History) -> Action | None:
        """Answer with a corrected network, or the same one, or None to end."""
        proposal = super().act(current, best, history)
        if proposal is not None and len(self.levels) > 1:
            reports: list[dict[str, Any]] = []
            network = self.correct(0, current.network, current.following, reports)
            history[-1]["corrections"] = reports
            if network is not current.network:
                proposal = replace(proposal, name="correction", network=network)
        self.describe(history[-1])
        return proposal

    def describe(self, row: dict[str, Any]) -> None:
        """Complete a row of the history."""
        row.setdefault("corrections", [])
        row["level"] = 0
        row["work"] = list(self.levels[0].work.units)

    def correct(self, level: int, network: Network, problem: Problem, reports: list[dict[str, Any]]) -> Network:
        """Return the network after a correction from the next coarser level, itself if there is none that helps."""
        if self.hierarchy.moves:
            self._move(level, network, problem)
        coarse = self.levels[level + 1]
        transfer = _transfer(coarse)
        value, gradient = (part.clone() for part in problem.value_and_gradient(network))
        report: dict[str, Any] = {"level": level, "kappa_ratio": transfer.share(gradient), "accepted": False}
        report |= {"predicted": 0.0, "step": 0.0, "decrease": 0.0}
        reports.append(report)
        if not report["kappa_ratio"] > self.kappa:
            return network
        anchor = coarse.network.with_theta(transfer.restrict(network.theta))
        task = corrected(
            coarse.problem.at(problem.alpha),
            anchor,
            network,
            problem,
            gradient,
            transfer,
            kind=self.correction,
            regularization=self.regularization,
        )
        found = self._minimise(level + 1, anchor, task, reports)
        if found is anchor:
            return network
        away = transfer.apply(found.theta - anchor.theta)
        slope = float(gradient @ away)
        report["predicted"] = -slope
        length = 1.0
        for _ in range(MULTILEVEL.correction_trials):
            trial = network.with_theta(network.theta + length * away)
            decrease = float(value) - float(problem.objective(trial))
            if decrease > 0 and decrease >= -MULTILEVEL.correction_share * length * slope:
                report |= {"accepted": True, "step": length, "decrease": decrease}
                return trial
            length /= 2
        return network

    def _minimise(self, level: int, network: Network, problem: Problem, reports: list[dict[str, Any]]) -> Network:
        """Descend on a coarse level, with corrections from below.

        A corrected objective need not be bounded below, so a coarse descent may diverge; then its best point counts.
        """
        for _ in range(self.cycles if level + 1 < len(self.levels) else 1):
            monitor = self.monitor.aside()
            monitor.may_diverge = True
            previous = self._states.get(level)
            here = torch.arange(network.n_parameters, device=network.theta.device)
            state = descend(
                network,
                problem,
                self.solvers[level],
                Every(self.n_coarse),
                max_iter=self.n_coarse,
                monitor=monitor,
                previous=previous,
                kept=here,
            )
            self._states[level] = None if monitor.diverged else state
            network = state.network
            if monitor.stopped or monitor.diverged:
                break
            if level + 1 < len(self.levels):
                network = self.correct(level, network, problem, reports)
        return network

    def _move(self, level: int, network: Network, problem: Problem) -> None:
        coarse, transfer = self.hierarchy.coarsen(network, problem)
        self.levels[level + 1].network, self.levels[level + 1].transfer = coarse, transfer
        self._states.pop(level + 1, None)


def first_network(levels: list[Level], hierarchy: Hierarchy, seed: int, generator: torch.Generator) -> Network:
    """Return random weights for the finest network, prolonged from a coarse one if depth is to be smooth."""
    coarsest = levels[-1 if hierarchy.smooth else 0].network
    network = glorot(coarsest, seed, coarsest.theta)
    for level in reversed(range(1, len(levels)) if hierarchy.smooth else ()):
        network = hierarchy.refine(network, levels[level - 1].network, _transfer(levels[level]), generator)
    return network


def nested_iteration(
    levels: list[Level],
    solvers: list[Any],
    hierarchy: Hierarchy,
    *,
    seed: int,
    generator: torch.Generator,
    schedule: Any,
    target: float | None,
    max_iter: int,
    monitor: Monitor,
    history: History,
) -> tuple[Network, Any]:
    """Train from the coarsest level up to the second and return the prolonged network and state of the solver.

    On every level the schedule says when the next one is due; a level that starts at the target is passed over.
    Moments of the gradients are prolonged as gradients are: a coarse parameter shares its derivative among the fine
    ones that it stands for.
    """
    network, state, alpha = glorot(levels[-1].network, seed, levels[-1].network.theta), None, levels[0].problem.alpha
    for level in reversed(range(1, len(levels))):
        levels[level].problem = levels[level].problem.at(alpha)
        problem, row = levels[level].problem, len(history)
        there = target is not None and float(problem.objective(network)) <= target
        trained = fit(
            network,
            problem.ruled(problem.rule.in_turns()),
            solvers[level],
            FixedPolicy(tol=0.0, patience=0),  # one descent
            schedule,
            max_iter=0 if there else max_iter,
            monitor=monitor,
            history=history,
            state=state,
        )
        history[row] |= {"level": level, "work": list(levels[level].work.units), "corrections": []}
        if not monitor.stopped:
            history[row]["stop_reason"] = "schedule" if trained.settled else "max_iter"
        finer, transfer, alpha = levels[level - 1], _transfer(levels[level]), trained.following.alpha

        def refined() -> tuple[Network, Any]:
            finest = hierarchy.refine(trained.network, finer.network, transfer, generator)  # noqa: B023
            fresh = solvers[level - 1].start(finest, finer.problem)  # noqa: B023
            return finest, prolonged(trained.state, transfer, fresh)  # noqa: B023

        network, state = completed(refined, monitor)
    levels[0].problem = levels[0].problem.at(alpha)
    return network, state


def prolonged(state: Any, transfer: Transfer, fresh: Any) -> Any:
    """Return the fresh state of a solver on a fine level with the moments that it had on the coarse one."""
    if not isinstance(state, MiniBatchState) or not isinstance(fresh, MiniBatchState):
        return fresh
    if type(state.solver) is not type(fresh.solver):
        return fresh
    mass = transfer.mass(state.theta)
    powers = {"exp_avg": 1, "momentum_buffer": 1, "exp_avg_sq": 2}
    moments = state.moments(len(mass), None)
    fresh.restore(
        {name: transfer.apply(value / mass ** powers[name]) if value.ndim else value for name, value in moments.items()}
    )
    return fresh


def _transfer(level: Level) -> Transfer:
    return cast(Transfer, level.transfer)
