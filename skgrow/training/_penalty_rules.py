r"""Who sets the strength of the penalty: rules that go by the evidence (beside :class:`~skgrow.problem.FixedAlpha`).

The strength :math:`\alpha` is a hyperparameter of a Gaussian prior, and the evidence has a fixed point for it
(:mod:`skgrow.criteria`). Second-order solvers iterate it while they descend; behind other solvers it is iterated after
the descent, or descent and iteration take turns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from skgrow._tolerances import TINY
from skgrow.criteria import Evidence, evidence, leave_one_out
from skgrow.networks import Network
from skgrow.problem import Curvature, FixedAlpha, Follower, Problem


@dataclass(frozen=True)
class PenaltyConstants:
    """Values that users do not set; each belongs to a page of ``docs/decisions``, and all are listed in decision 25.

    Attributes
    ----------
    settled_decrease : float
        Relative decrease of the objective by a step from which on the evidence sets the penalty, if the noise is known:
        the evidence is a statement about minima (decision 11).
    steps_after_descent : int
        Steps of the fixed-point iteration after a descent of a solver that does not follow the evidence itself
        (decision 5).
    share_at_growth : float
        Share of its penalty with which a network grows if the noise is known: with all of it new neurons may stay next
        to linear (decision 11).
    share_held : float
        Share of the first penalty with which growth begins anew: so little that no neuron is switched off (decision 5).
    retried_shares : tuple of float
        Shares of the penalty of before with which a growth that would raise the loss is tried again: with less penalty
        a wider network can hardly raise it (decision 5).
    turns : int
        Turns of descent and iteration, if they take turns, at most (decision 12).
    moved : float
        Change of the logarithm of the penalty that asks for another turn (decision 12).
    turn_iterations : int
        Iterations of every turn but the last: the evidence knows the size of the penalty long before the end of descent
        (decision 12).
    short_turns, short_iterations : int
        Turns of one stage, and iterations of each turn but the last, if networks of given layers are trained stage by
        stage (decision 32).
    of_few_rows : float
        Penalty of networks of given layers on rows too few for the evidence: that of ``MLPRegressor`` (decision 32).
    largest_power, decades : int
        Of a linear model the largest penalty tried is this power of ten times the largest sum of squares, and there are
        so many, a decade apart: they bracket the first fixed point from above (decision 8).
    smaller_penalties, lowering : int
        Smaller penalties tried at the end of an expensive fit, each the one before divided by this: the evidence took
        the penalty for smaller networks (decision 12).
    judged_penalties, judged_gain : int, float
        Smaller penalties of classes that their leave-one-out loss judges, at most; its relative decrease by a third of
        the penalty that counts: less is noise (decision 11).
    """

    settled_decrease: float = 0.05
    steps_after_descent: int = 5
    share_at_growth: float = 0.3
    share_held: float = 0.01
    retried_shares: tuple[float, ...] = (1.0, 0.5, 0.25)
    turns: int = 6
    moved: float = 0.3
    turn_iterations: int = 25
    short_turns: int = 20
    short_iterations: int = 10
    of_few_rows: float = 1e-4
    largest_power: int = 1
    decades: int = 10
    smaller_penalties: int = 3
    lowering: int = 3
    judged_penalties: int = 10
    judged_gain: float = 0.025


PENALTY = PenaltyConstants()


def next_penalty(found: Evidence, problem: Problem) -> Problem:
    """Return the problem with the next penalty; if nothing is penalised yet, the same one."""
    return problem if found.alpha == problem.alpha else problem.at(problem.loss.plug_in_factor * found.alpha)


class ByEvidence(FixedAlpha):
    """The evidence sets the strength: during descents of Levenberg-Marquardt, after those of other solvers.

    Growth starts with less of the penalty if the noise is known, and is tried again with the penalty of before, a half
    and a quarter of it, if it would raise the training loss: with the same penalty a wider network may exchange loss
    for smaller weights, with less it hardly can.
    """

    sets_penalty = True

    def follow(self, problem: Problem) -> Follower:
        """Return what takes the evidence at the networks that a descent comes to."""
        return _EvidenceFollower(problem)

    def judged(self, evidence_at: Any, problem: Problem) -> tuple[Evidence, Problem, Problem]:
        """Return the evidence at a network, the problem that it solves, and the same one to go on with."""
        for _ in range(PENALTY.steps_after_descent):
            found = evidence_at(problem, True)
            problem = next_penalty(found, problem)
        return found, problem, problem

    def freed(self, problem: Problem) -> Problem:
        """Return the problem that growth starts with: the evidence took the penalty for a smaller network.

        If the noise is estimated, larger weights and less noise would feed each other, and nothing is changed.
        """
        return problem.at(problem.alpha * PENALTY.share_at_growth) if problem.loss.known_dispersion else problem

    def held(self, problem: Problem) -> Problem:
        """Return the problem with a small penalty that stays: the evidence is asked again when the network fits.

        It has several fixed points. At that of a network that explains little, the penalty switches all neurons off.
        """
        return problem.at(PENALTY.share_held * problem.loss.first_alpha).ruled(FixedAlpha())

    def retries(self, problem: Problem, must_gain: bool) -> Iterator[Problem]:
        """Yield the problem with shares of its penalty; one only for a change that adds no neurons."""
        for share in PENALTY.retried_shares[:1] if must_gain else PENALTY.retried_shares:
            yield problem.at(share * problem.alpha).ruled(FixedAlpha())


@dataclass(frozen=True)
class InRounds(ByEvidence):
    """Descent and steps of the evidence's fixed point take turns: for solvers and curvatures too coarse to follow.

    Parameters
    ----------
    n_rounds : int, default=6
        Turns at most.
    """

    n_rounds: int = PENALTY.turns

    needs_evidence = True

    def judged(self, evidence_at: Any, problem: Problem) -> tuple[Evidence, Problem, Problem]:
        """Return the evidence at a network, the problem that it solves, and that of the next turn."""
        found = evidence_at(problem, True)
        return found, problem, next_penalty(found, problem)

    def stage(self, descend: Any, problem: Problem, max_iter: int, *, monitor: Any, may_drift: bool) -> Any:
        """Return what is trained in one stage: roughly at first, and to the end once the penalty has settled."""
        rough, trained = max_iter > PENALTY.turn_iterations, None
        for left in reversed(range(self.n_rounds)):
            rough = rough and left > 0
            n_iter, epoch = PENALTY.turn_iterations if rough else max_iter, monitor.epoch
            trained = descend(problem, n_iter, trained)
            problem = trained.following
            settled = abs(math.log(max(problem.alpha, TINY) / max(trained.alpha, TINY))) < PENALTY.moved
            ended = monitor.epoch - epoch < n_iter or not rough
            if monitor.stopped or (settled and ended):
                break
            if settled:
                rough = False
                if not may_drift:  # a slightly larger penalty might raise the loss
                    problem = trained.problem
        return trained

    def freed(self, problem: Problem) -> Problem:
        """Return the problem itself: with less penalty its descents would take too long."""
        return problem

    def retries(self, problem: Problem, must_gain: bool) -> Iterator[Problem]:  # noqa: ARG002
        """Yield the problem with the penalty of before: smaller ones are tried in the end."""
        return super().retries(problem, must_gain=True)

    def after_retry(self) -> InRounds:
        """Return the rule with one round: larger networks would ask for larger penalties still."""
        return InRounds(1)


@dataclass(frozen=True)
class BetweenDescents(InRounds):
    """The evidence sets the strength between the descents of networks of given layers.

    The penalty follows the network, up and down, so that the training loss may rise with it. It is the fixed point of
    the evidence for the weights as they are, which need not be a minimum: weights far from a minimum are no reason for
    a penalty far from what they allow.

    Parameters
    ----------
    n_rounds : int, default=1
        Descents of one stage at most: with one, the stages themselves are the turns.
    """

    n_rounds: int = 1

    follows = True

    def follow(self, problem: Problem) -> Follower:  # noqa: ARG002
        """Return what leaves the penalty alone during a descent: chance weights would be taken for noise."""
        return Follower()

    def in_turns(self) -> BetweenDescents:
        """Return the rule for long stages: of many short descents."""
        return BetweenDescents(PENALTY.short_turns)

    def judged(self, evidence_at: Any, problem: Problem) -> tuple[Evidence, Problem, Problem]:
        """Return the evidence under the penalty that a network asks for, the problem it solves, and the next one."""
        following = problem
        for _ in range(PENALTY.steps_after_descent):
            found = evidence_at(following, True)
            following = next_penalty(found, following)
        return found, problem, following

    def stage(self, descend: Any, problem: Problem, max_iter: int, *, monitor: Any, may_drift: bool) -> Any:  # noqa: ARG002
        """Return what is trained in one stage: roughly until the penalty has settled, and then to the end."""
        settled, trained = False, None
        for left in reversed(range(self.n_rounds)):
            whole = settled or not left
            trained = descend(problem, max_iter if whole else PENALTY.short_iterations, trained)
            problem = trained.following
            settled = abs(math.log(problem.alpha / trained.alpha)) < PENALTY.moved
            if monitor.stopped or (whole and settled):
                break
        return trained

    def retries(self, problem: Problem, must_gain: bool) -> Iterator[Problem]:  # noqa: ARG002
        """Yield nothing: the loss may rise with the penalty."""
        yield from ()


class _EvidenceFollower(Follower):
    """Takes the evidence at the networks that a descent comes to, once that has settled."""

    def __init__(self, problem: Problem) -> None:
        # if the noise is estimated, it has to follow the loss from the beginning
        self.settled = not problem.loss.known_dispersion

    def update(self, problem: Problem, network: Network, loss: float, curvature: Curvature) -> Problem:
        """Return the problem with the penalty that the evidence asks for."""
        if not self.settled:
            return problem
        before, self.evidence = self.evidence, evidence(network, problem, curvature, data_loss=loss)
        # without noise to estimate, smaller penalties and larger weights can feed each other away from the evidence
        falls = before is not None and self.evidence.log_evidence < before.log_evidence
        return problem if falls and problem.loss.known_dispersion else next_penalty(self.evidence, problem)

    def moved(self, gain: float, objective: float) -> None:
        """Take note that a step has lowered the objective by a gain."""
        self.settled = self.settled or gain < PENALTY.settled_decrease * abs(objective)

    def overlooked(self) -> bool:
        """Whether descent has ended before the evidence was taken; then it is from now on."""
        before, self.settled = self.settled, True
        return not before


def falling_penalties(problem: Problem, largest: float) -> Iterator[Problem]:
    """Yield the problem of a linear model with penalties a decade apart, given a feature's largest sum of squares."""
    for power in range(PENALTY.decades):
        yield problem.at(largest * 10.0 ** (PENALTY.largest_power - power)).ruled(FixedAlpha())


def first_fixed_point(
    problem: Problem,
    network: Network,
    minimised: Callable[[Any, Problem], Any],
    largest: float,
    curvature_at: Callable[[Any], Curvature],
) -> tuple[Problem, Any]:
    """Return the problem of a linear model with its best penalty, and a network next to the minimum.

    The penalty is the fixed point of the evidence iteration that is met first from large penalties, or if there is none
    that of the largest evidence: next to zero weights, and next to interpolation, the iteration would run away.

    Parameters
    ----------
    problem : Problem
        Of the linear model.
    network : MLP
        With zero weights.
    minimised : callable
        ``minimised(network, problem)`` is the minimiser of a problem, from a network.
    largest : float
        Largest sum of squares of a feature.
    curvature_at : callable
        Of a network.
    """
    fixed, n = problem.ruled(FixedAlpha()), problem.total_weight
    mask = problem.penalty.pattern(network)
    d, c = network.layer_sizes

    def at(alpha: float, start: Any) -> tuple[float, float, Any]:
        """Return the next penalty, the log evidence up to a constant, at its best dispersion, and the minimiser."""
        task = fixed.at(alpha)
        network = minimised(start, task)
        there = curvature_at(network)
        known = evidence(network, task, there)
        value = known.log_evidence
        if not problem.loss.known_dispersion and problem.loss.is_homogeneous:
            n_observed = problem.loss.n_observed(n, c)
            squares = max(2 * n * float(task.objective(network)), TINY)
            value = d * c * math.log(alpha) - there.damped(alpha / n, mask)[0] - (n_observed - c) * math.log(squares)
            if n_observed - known.effective_parameters < c:  # nothing is left to tell the noise by
                value = -math.inf
        return known.alpha, value, network

    upper: tuple[float, float, Any] | None = None
    best = -math.inf, largest, network
    for on in falling_penalties(problem, largest):
        alpha = on.alpha
        following, value, network = at(alpha, network)
        slope = math.log(max(following, TINY) / alpha)
        if slope < 0:
            upper = alpha, slope, network
        elif upper is not None:  # the fixed point is between: interpolated
            share = upper[1] / (upper[1] - slope)
            return fixed.at(problem.loss.plug_in_factor * upper[0] * (alpha / upper[0]) ** share), network
        best = max(best, (value, alpha, network), key=itemgetter(0))
    return fixed.at(problem.loss.plug_in_factor * best[1]), best[2]


def of_average(problems: Sequence[Problem], shares: Sequence[float]) -> Problem:
    """Return the problem that an average of networks is said to solve: its penalty is the geometric mean of theirs."""
    alphas = [problem.alpha for problem in problems]
    if len(set(alphas)) == 1:
        return problems[0]
    return problems[0].at(math.prod(alpha**share for alpha, share in zip(alphas, shares, strict=True)))


def by_leave_one_out(trained: Any, trained_on: Callable[[Any, Problem], Any]) -> Any:
    """Return a network of classes trained with less penalty, as long as its leave-one-out loss falls.

    If the data do not determine the parameters of a network, a Newton step says nothing of what less penalty would make
    of it without a sample, and the penalty stays.

    Half the classes of a plane are told apart by weights of any size, and the evidence, whose prior is Gaussian, holds
    them back. It goes on to say which network is the most probable: the value of the criterion stays.

    Parameters
    ----------
    trained : Trained
        With evidence.
    trained_on : callable
        ``trained_on(trained, problem)`` is the network trained further, on a problem with less penalty.
    """
    best, network = replace(trained, loo=_loo(trained)), trained.network
    determined = not network.hidden_maps or network.n_parameters <= trained.problem.total_weight
    for _ in range(PENALTY.judged_penalties if determined else 0):
        following = trained_on(best, lowered(best.problem))
        if following.evidence is None:
            break
        following = replace(following, loo=_loo(following), criterion=trained.criterion, row=trained.row)
        if not following.loo < (1 - PENALTY.judged_gain) * best.loo:
            break
        best = following
    return best


def _loo(trained: Any) -> float:
    return leave_one_out(trained.network, trained.problem, trained.alpha, trained.evidence)


def lowered(problem: Problem) -> Problem:
    """Return the problem with a third of its penalty, to stay: the evidence took it for smaller networks."""
    return problem.at(problem.alpha / PENALTY.lowering).ruled(FixedAlpha())
