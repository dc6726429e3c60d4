r"""Penalties: value, gradient and curvature as functions of a network's parameters; and who sets their strength.

A penalty is :math:`\frac{\alpha}{n} R(\theta)` with a strength :math:`\alpha \ge 0` and the total weight n of the
samples. Its curvature is that of a parabola :math:`\frac{\alpha}{2 n} \theta^T P \theta` with a diagonal matrix P.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Self

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from skgrow.networks import Network
from skgrow.problem._precision import bounded

if TYPE_CHECKING:
    from skgrow.problem._problem import Problem


class Penalty(BaseEstimator):
    """Base of the penalties. A penalty of one's own defines :meth:`value` and :meth:`gradient`.

    Parameters
    ----------
    alpha : float, default=0.0
        Strength, not negative.
    """

    def __init__(self, alpha: float = 0.0) -> None:
        self.alpha = alpha

    @property
    def is_quadratic(self) -> bool:
        """Whether :meth:`curvature` is the same everywhere, and with the gradient all that there is to know."""
        return False

    def with_alpha(self, alpha: float) -> Self:
        """Return the same penalty of another strength."""
        found = copy(self)
        found.alpha = alpha
        return found

    def beside(self, alpha: float) -> Penalty:  # noqa: ARG002
        """Return this term of a sum whose first term gets another strength: as a rule the same."""
        return self

    def value(self, network: Network, n: float) -> Tensor:
        """Return the penalty of a network trained on samples of total weight n."""
        raise NotImplementedError

    def gradient(self, network: Network, n: float) -> Tensor:
        """Return the gradient with respect to ``network.theta``, shape (n_parameters,)."""
        raise NotImplementedError

    def add_gradient(self, network: Network, n: float, gradient: Tensor) -> None:
        """Add the gradient to the vector given."""
        gradient.add_(self.gradient(network, n))

    def pattern(self, network: Network) -> Tensor:
        """Return the diagonal of P, shape (n_parameters,): here 1, and 0 for the output biases."""
        mask = torch.ones_like(network.theta)
        mask[network.slices[-1][1]] = 0
        return mask

    def curvature(self, network: Network, n: float) -> Tensor:
        """Return the second derivatives of a parabola that touches the penalty, shape (n_parameters,).

        Where the penalty has no parabola above it, as may be so of one of your own, it is a guess at its size.
        """
        return bounded(self.alpha / n, network.theta.dtype) * self.pattern(network)

    def on_batch(self, batch: Problem, rows: Tensor, factor: float) -> Penalty:  # noqa: ARG002
        """Return the penalty of a problem on some rows, whose weights were multiplied with a factor: the same."""
        return self


class L2(Penalty):
    r"""The weight decay :math:`\frac{\alpha}{2 n} |\theta|^2` of all weights and hidden biases; output biases are free.

    With unit weights of the samples this is the penalty of :class:`~sklearn.neural_network.MLPRegressor`, which leaves
    out all biases.

    Parameters
    ----------
    alpha : float, default=0.0
        Strength, not negative.
    """

    @property
    def is_quadratic(self) -> bool:
        """Always."""
        return True

    def value(self, network: Network, n: float) -> Tensor:
        """Return the penalty of a network trained on samples of total weight n."""
        theta = network.theta[: network.slices[-1][1].start]
        return (theta @ theta) * (self.alpha / (2 * n))

    def gradient(self, network: Network, n: float) -> Tensor:
        """Return the gradient, shape (n_parameters,)."""
        return self.curvature(network, n) * network.theta

    def add_gradient(self, network: Network, n: float, gradient: Tensor) -> None:
        """Add the gradient to the vector given."""
        free = network.slices[-1][1].start
        gradient[:free].add_(network.theta[:free], alpha=bounded(self.alpha / n, gradient.dtype))


class WeightedL2(Penalty):
    r"""The weight decay :math:`\frac{\alpha}{2 n} \sum_k m_k \theta_k^2` over all parameters but the output biases.

    On a coarse level ``weights`` says how many parameters of the finest level a coarse one stands for.

    Parameters
    ----------
    alpha : float, default=0.0
        Strength, not negative.
    weights : Tensor of shape (n_parameters,), optional
        The factors m, not negative; those of the output biases are not used. None: ones.
    """

    def __init__(self, alpha: float = 0.0, weights: Tensor | None = None) -> None:
        super().__init__(alpha)
        self.weights = weights

    @property
    def is_quadratic(self) -> bool:
        """Always."""
        return True

    def value(self, network: Network, n: float) -> Tensor:
        """Return the penalty of a network trained on samples of total weight n."""
        weights = self.pattern(network) if self.weights is None else self.weights
        free = network.slices[-1][1].start
        theta = network.theta[:free]
        return (theta * theta) @ weights[:free] * (self.alpha / (2 * n))

    def gradient(self, network: Network, n: float) -> Tensor:
        """Return the gradient, shape (n_parameters,)."""
        return self.curvature(network, n) * network.theta

    def add_gradient(self, network: Network, n: float, gradient: Tensor) -> None:
        """Add the gradient to the vector given."""
        weights = self.pattern(network) if self.weights is None else self.weights
        free = network.slices[-1][1].start
        gradient[:free].addcmul_(network.theta[:free], weights[:free], value=bounded(self.alpha / n, gradient.dtype))

    def pattern(self, network: Network) -> Tensor:
        """Return the diagonal of P, shape (n_parameters,): the factors, and 0 for the output biases."""
        mask = super().pattern(network)
        return mask if self.weights is None else mask * self.weights


class PathNorm(Penalty):
    r"""The path norm :math:`\frac{\alpha}{n} \sum_j |a_j|\,|(w_j, b_j)|` of a network with one hidden layer.

    For (leaky) ReLU neurons it is the least weight decay among all networks of the same function: each neuron has that
    if its incoming and outgoing weights have equal norms. There the parabola of the weight decay touches it from above,
    which gives its curvature. A neuron of no incoming or no outgoing weight contributes no gradient to the other side.

    Parameters
    ----------
    alpha : float, default=0.0
        Strength, not negative.
    """

    def value(self, network: Network, n: float) -> Tensor:
        """Return the penalty of a network trained on samples of total weight n."""
        incoming = (network.weights[0].square().sum(1) + network.biases[0].square()).sqrt()
        outgoing = torch.linalg.vector_norm(network.weights[1], dim=0)
        return (incoming @ outgoing) * (self.alpha / n)

    def gradient(self, network: Network, n: float) -> Tensor:
        """Return the gradient, shape (n_parameters,)."""
        (W, A), (b, c) = network.weights, network.biases
        incoming = (W.square().sum(1) + b.square()).sqrt()
        outgoing = torch.linalg.vector_norm(A, dim=0)
        ratio = self.alpha / n
        along = ratio * torch.where(incoming > 0, outgoing / incoming, 0.0)
        across = ratio * torch.where(outgoing > 0, incoming / outgoing, 0.0)
        parts = (W * along[:, None], b * along, A * across, torch.zeros_like(c))
        return torch.cat([part.reshape(-1) for part in parts])

    def curvature(self, network: Network, n: float) -> Tensor:
        r"""Return second derivatives of parabolas in :math:`|a_j|`, or :math:`|(w_j, b_j)|`, that lie above.

        At present weights, as of iteratively reweighted least squares; where one side vanishes those of the weight
        decay.
        """
        (W, A), (b, c) = network.weights, network.biases
        incoming = (W.square().sum(1) + b.square()).sqrt()
        outgoing = torch.linalg.vector_norm(A, dim=0)
        both = (incoming > 0) & (outgoing > 0)
        along, across = (torch.where(both, q, 1.0) for q in (outgoing / incoming, incoming / outgoing))
        parts = (along[:, None].expand_as(W), along, across.expand_as(A), torch.zeros_like(c))
        return self.alpha / n * torch.cat([part.reshape(-1) for part in parts])


class PenaltySum(Penalty):
    """The sum of several penalties; its strength is that of the first.

    Parameters
    ----------
    terms : tuple of Penalty
        At least one.
    """

    def __init__(self, terms: tuple[Penalty, ...]) -> None:
        super().__init__(terms[0].alpha)
        self.terms = terms

    @property
    def is_quadratic(self) -> bool:
        """Whether all terms are."""
        return all(term.is_quadratic for term in self.terms)

    def with_alpha(self, alpha: float) -> PenaltySum:
        """Return the sum with another strength of its first term."""
        first, *others = self.terms
        return PenaltySum((first.with_alpha(alpha), *(term.beside(alpha) for term in others)))

    def value(self, network: Network, n: float) -> Tensor:
        """Return the penalty of a network trained on samples of total weight n."""
        value = self.terms[0].value(network, n)
        for term in self.terms[1:]:
            value = value + term.value(network, n)
        return value

    def gradient(self, network: Network, n: float) -> Tensor:
        """Return the gradient, shape (n_parameters,)."""
        return torch.stack([term.gradient(network, n) for term in self.terms]).sum(0)

    def add_gradient(self, network: Network, n: float, gradient: Tensor) -> None:
        """Add the gradient to the vector given."""
        for term in self.terms:
            term.add_gradient(network, n, gradient)

    def pattern(self, network: Network) -> Tensor:
        """Return the diagonal of P of the first term, shape (n_parameters,)."""
        return self.terms[0].pattern(network)

    def curvature(self, network: Network, n: float) -> Tensor:
        """Return the sum of the terms' curvatures, shape (n_parameters,)."""
        return torch.stack([term.curvature(network, n) for term in self.terms]).sum(0)

    def on_batch(self, batch: Problem, rows: Tensor, factor: float) -> PenaltySum:
        """Return the sum of the terms' penalties on some rows."""
        return PenaltySum(tuple(term.on_batch(batch, rows, factor) for term in self.terms))


class FixedAlpha:
    """Rule of the penalty's strength: it stays as it is given. Other rules derive from this one.

    A rule is asked at four points: by a second-order solver at every new network (:meth:`follow`), after a descent
    (:meth:`judged`), before a growth (:meth:`freed`, or :meth:`held` if growth begins anew), and after a growth that
    would raise the loss (:meth:`retries`). It also says whether one descent makes a stage or several (:meth:`stage`).
    Nobody else changes the strength.
    """

    #: Whether training may change the strength.
    sets_penalty: ClassVar[bool] = False

    #: Whether the evidence is needed even if nothing else asks for it.
    needs_evidence: ClassVar[bool] = False

    #: Whether the strength may rise from a stage to the next. Then the training loss may rise, too, and a stage is
    #: undone only if it raises what it minimises.
    follows: ClassVar[bool] = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def follow(self, problem: Problem) -> Follower:  # noqa: ARG002
        """Return what goes along with one descent of a second-order solver."""
        return Follower()

    def judged(self, evidence_at: Any, problem: Problem) -> tuple[Any, Problem, Problem]:
        """Return the evidence at a network, the problem that it solves, and the problem to go on with.

        Parameters
        ----------
        evidence_at : callable
            ``evidence_at(problem, update)`` is the evidence at the network under the penalty of a problem.
        problem : Problem
            That descent ended with.
        """
        return evidence_at(problem, False), problem, problem

    def stage(self, descend: Any, problem: Problem, max_iter: int, *, monitor: Any, may_drift: bool) -> Any:  # noqa: ARG002
        """Return what is trained in one stage: by one descent.

        Parameters
        ----------
        descend : callable
            ``descend(problem, max_iter, previous)`` descends from the network ``previous``, None for the start.
        problem : Problem
            At the start.
        max_iter : int
            Iterations of a descent.
        monitor : Monitor
            Counts the iterations.
        may_drift : bool
            Whether the strength may change between the descents although little is gained by it.
        """
        return descend(problem, max_iter, None)

    def in_turns(self) -> FixedAlpha:
        """Return the rule for long stages of networks of given layers."""
        return self

    def freed(self, problem: Problem) -> Problem:
        """Return the problem that growth starts with."""
        return problem

    def held(self, problem: Problem) -> Problem:
        """Return the problem of growth that goes on whatever the criterion says: the strength stays."""
        return problem

    def retries(self, problem: Problem, must_gain: bool) -> Iterator[Problem]:  # noqa: ARG002
        """Yield problems to try again with after a growth from ``problem`` that would raise the loss."""
        yield from ()

    def after_retry(self) -> FixedAlpha:
        """Return the rule for the stages after such a retry."""
        return self


class Follower:
    """What a rule does during one descent of a second-order solver: here nothing."""

    #: The evidence at the last network, if it was taken.
    evidence: Any = None

    def update(self, problem: Problem, network: Network, loss: float, curvature: Any) -> Problem:  # noqa: ARG002
        """Return the problem to go on with from a new network, whose data loss and curvature are given."""
        return problem

    def moved(self, gain: float, objective: float) -> None:
        """Take note that a step has lowered the objective by a gain."""

    def overlooked(self) -> bool:
        """Whether descent has ended at a network that :meth:`update` has not looked at yet; then it looks now."""
        return False
