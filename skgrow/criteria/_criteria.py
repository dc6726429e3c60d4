"""What says how good a trained network is: components that growth and selection ask."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

from sklearn.base import BaseEstimator

from skgrow._tolerances import SAME_OBJECTIVE
from skgrow.criteria._evidence import Evidence
from skgrow.criteria._leave_one_out import leave_one_out

if TYPE_CHECKING:
    from skgrow.networks import Network
    from skgrow.problem import Problem

#: Relative gain of a criterion that counts as one: less is no reason to exchange neurons or to keep more of them
#: (decision 6).
LEAST_GAIN = 1e-3


class Criterion(BaseEstimator):
    """Base of the criteria. A criterion of one's own defines :meth:`value`; larger values are better.

    If it estimates the loss on new data, the value is minus that estimate.
    """

    #: Name of the column of the history that holds the estimate, beside the column ``"criterion"``; None: no other one.
    column: ClassVar[str | None] = None

    #: Whether :meth:`value` needs the evidence.
    needs_evidence: ClassVar[bool] = True

    #: Whether it sees nothing but what is minimised, so that more training is never worse.
    sees_only_training: ClassVar[bool] = False

    def value(self, network: Network, problem: Problem, found: Evidence | None) -> float:
        """Return how good a network is.

        Parameters
        ----------
        network : Network
            At, or near, a minimum of the problem's objective.
        problem : Problem
            The training problem, with the penalty that the network was trained with.
        found : Evidence or None
            At the network, if it is known.
        """
        raise NotImplementedError

    def least_gain(self, problem: Problem) -> float:  # noqa: ARG002
        """Return the difference of values below which there is nothing but noise."""
        return 0.0

    def suited_to(self, problem: Problem, *, smooth: bool) -> Criterion:  # noqa: ARG002
        """Return this criterion, or the one that takes its place for networks (smooth or not) on a problem.

        Raises
        ------
        ValueError
            If there is none.
        """
        return self

    def validation_loss(self, network: Network) -> float:  # noqa: ARG002
        """Return the loss on validation data, NaN if there are none."""
        return math.nan

    def is_kept(self, trained: Any, base: Any) -> bool:
        """Whether a change may stay: it must not raise the training loss; if the penalty follows, its own objective."""
        problem = trained.problem
        if problem.rule.follows:
            return bool(problem.objective(trained.network) <= problem.objective(base.network))
        return trained.loss <= base.loss

    def gains(self, trained: Any, other: Any, problem: Problem) -> bool:
        """Whether a network is better than another one by more than a trifle."""
        if not math.isfinite(other.criterion):
            return trained.criterion > other.criterion
        least = max(self.least_gain(problem), LEAST_GAIN * abs(other.criterion))
        return trained.criterion > other.criterion + least

    def becomes_best(self, trained: Any, best: Any, accepted: bool, problem: Problem) -> bool:  # noqa: ARG002
        """Whether a trained network takes the place of the best one."""
        return self.gains(trained, best, problem)

    def error(self, trained: Any) -> float:
        """Return the estimated loss of a trained network on new data; infinite if it is not known."""
        return -trained.criterion

    def of_average(self, mean: Any, estimate: float) -> float:  # noqa: ARG002
        """Return the value of an average of networks, given its estimated loss on new data."""
        return -estimate

    def entries(self, trained: Any) -> dict[str, Any]:
        """Return the column of the history."""
        return {} if self.column is None else {self.column: -trained.criterion}


class GCV(Criterion):
    """Minus generalised cross-validation: the error on new data, all samples taken for equally influential.

    References
    ----------
    P. Craven, G. Wahba, "Smoothing noisy data with spline functions", Numerische Mathematik 31, 1979.
    """

    def value(self, network: Network, problem: Problem, found: Evidence | None) -> float:  # noqa: ARG002
        """Return minus the estimated loss on new data."""
        return -found.gcv if found else -math.inf

    def least_gain(self, problem: Problem) -> float:
        """Return a nat in total if the loss is in nats."""
        return 1 / problem.total_weight if problem.loss.known_dispersion else 0.0


class LeaveOneOut(GCV):
    """Minus the error on new data by leaving out one sample at a time; see :func:`leave_one_out`.

    It asks what a Newton step without a sample would predict. What a kink would do without a sample no Newton step
    tells, and an approximate curvature gives no leverages: there :class:`GCV` takes its place.
    """

    column = "loo"

    def value(self, network: Network, problem: Problem, found: Evidence | None) -> float:
        """Return minus the estimated loss on new data."""
        return -leave_one_out(network, problem, problem.alpha, found) if found else -math.inf

    def suited_to(self, problem: Problem, *, smooth: bool) -> Criterion:
        """Return this criterion for smooth networks without operator and with an exact curvature, else GCV."""
        return self if smooth and problem.operator is None and problem.curvature.is_exact else GCV()


class LogEvidence(Criterion):
    """The log evidence: which network is the most probable, see :func:`evidence`."""

    def value(self, network: Network, problem: Problem, found: Evidence | None) -> float:  # noqa: ARG002
        """Return the log evidence; minus infinity if it is not known."""
        return -math.inf if found is None or math.isnan(found.log_evidence) else found.log_evidence

    def least_gain(self, problem: Problem) -> float:
        """Return a nat if the loss is in nats."""
        return 1.0 if problem.loss.known_dispersion else 0.0

    def suited_to(self, problem: Problem, *, smooth: bool) -> Criterion:  # noqa: ARG002
        """Return this criterion.

        Raises
        ------
        ValueError
            Without a penalty: there is no prior then.
        """
        if problem.alpha == 0:
            raise ValueError("criterion='evidence' needs alpha > 0; got alpha=0, which criterion='gcv' allows.")
        return self

    def becomes_best(self, trained: Any, best: Any, accepted: bool, problem: Problem) -> bool:
        """Whether a trained network takes the place of the best one: of classes none whose penalty is held.

        Laplace's evidence of separable classes has no maximum: it grows as the penalty falls.
        """
        held = problem.rule.sets_penalty and not trained.problem.rule.sets_penalty
        unbounded = problem.loss.known_dispersion and problem.curvature.is_exact
        return not (held and unbounded) and super().becomes_best(trained, best, accepted, problem)

    def error(self, trained: Any) -> float:
        """Return the leave-one-out loss, or generalised cross-validation: the evidence estimates no error."""
        if math.isfinite(trained.loo):
            return float(trained.loo)
        return math.inf if trained.evidence is None else float(trained.evidence.gcv)

    def of_average(self, mean: Any, estimate: float) -> float:  # noqa: ARG002
        """Return the log evidence of the average."""
        return mean.evidence.log_evidence if mean.evidence is not None else -math.inf


class Validation(Criterion):
    """Minus the loss on validation data.

    Parameters
    ----------
    problem : Problem
        Of the validation data.
    """

    needs_evidence = False

    def __init__(self, problem: Problem) -> None:
        self.problem = problem

    def value(self, network: Network, problem: Problem, found: Evidence | None) -> float:  # noqa: ARG002
        """Return minus the loss on the validation data."""
        return -self.validation_loss(network)

    def validation_loss(self, network: Network) -> float:
        """Return the loss on the validation data."""
        return float(self.problem.data_loss(network))

    def of_average(self, mean: Any, estimate: float) -> float:
        """Return minus the loss of the average on the validation data; the estimate if it has seen them."""
        return -mean.validation_loss if math.isfinite(mean.validation_loss) else -estimate


class Objective(Criterion):
    """Minus the training objective. The data loss may rise if the penalty falls by more."""

    needs_evidence, sees_only_training = False, True

    def value(self, network: Network, problem: Problem, found: Evidence | None) -> float:  # noqa: ARG002
        """Return minus the objective."""
        return -float(problem.objective(network))

    def is_kept(self, trained: Any, base: Any) -> bool:
        """Whether a change may stay: it must not raise the objective, beyond rounding."""
        return trained.criterion >= base.criterion - SAME_OBJECTIVE * abs(base.criterion)

    def becomes_best(self, trained: Any, best: Any, accepted: bool, problem: Problem) -> bool:
        """Whether a trained network takes the place of the best one: every change that stays does."""
        return accepted or self.gains(trained, best, problem)
