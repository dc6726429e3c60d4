r"""The Frobenius-type preconditioner: inner products on layer spaces make one on the space of weight matrices.

With :math:`R_X` on the inputs and :math:`R_Y` on the pre-activations of a layer, the gradient with respect to
:math:`(A, B)_{X \to Y} = \mathrm{tr}(R_X^{-1} A^T R_Y B)` is :math:`R_Y^{-1} G R_X` for the usual gradient G (Kreis,
Lemma 5.2; (5.10) of the text prints an inverse too many). Data-driven inner products make it K-FAC's (Martens and
Grosse 2015).
"""

from __future__ import annotations

from typing import Any

import torch
from sklearn.base import BaseEstimator, clone

from skgrow.networks import Network
from skgrow.preconditioning._constants import PRECONDITIONING
from skgrow.preconditioning._covariance import Covariance, SecondMoment
from skgrow.preconditioning._layers import component
from skgrow.preconditioning._state import State


class FrobeniusPreconditioner(BaseEstimator):
    r"""Preconditioning of weight gradients by inner products on the layers' inputs and outputs.

    Used as ``preconditioner=`` of an estimator with ``solver="sgd"`` or ``"adam"``, or on a PyTorch model, see
    :meth:`attach`. If the input side is a second moment about zero, the bias is a weight of the input 1, as in
    K-FAC. If it is a centred covariance, a layer is taken as :math:`y = W (x - m) + c` with the mean m of its
    inputs, and the gradient of c is preconditioned by :math:`R_Y^{-1}` alone: a covariance knows nothing of the mean,
    along which steps would otherwise be as long as the damping allows. With predefined inner products biases have
    :math:`R_Y^{-1}` alone.

    Parameters
    ----------
    input : str or InnerProduct, default="covariance"
        On the inputs of every layer: ``"euclidean"``, ``"covariance"``, ``"second_moment"``, ``"sobolev"`` (first
        layer) or a component.
    output : str or InnerProduct, default="covariance"
        On the pre-activations: the same; ``"sobolev"`` is for the last layer.
    damping : float or callable, default=0.01
        :math:`\gamma > 0`, added to the moments; a callable takes the number of the step.
    split : {"equal", "pi"}, default="equal"
        How damping goes to the two sides: :math:`\gamma` to each, or :math:`\pi \sqrt\gamma` and
        :math:`\sqrt\gamma / \pi` with :math:`\pi^2` the ratio of the mean variances.
    adapt : {None, "lm"}, default=None
        ``"lm"`` adapts :math:`\gamma` every five steps by the ratio of the objective's decrease to the quadratic
        model's.
    combine : {"product", "sum"}, default="product"
        ``"product"`` divides by the product of both sides' moments; ``"sum"`` solves the Sylvester equation
        :math:`\rho (D A + B D) = G` of the extended method of successive approximations, with :math:`\rho` raised until
        the objective falls.
    fisher : {"mc", "exact", "empirical"}, default="mc"
        Derivatives that the output side sees: of targets drawn from the model, one random draw per sample; all of them
        (as many backward passes as outputs); or of the data's own targets.
    inverse_every : int, default=1
        Steps between two inversions. The first three steps, also those after growth, are preceded by one each (Martens
        and Grosse, algorithm 2): there moments change most.
    rescale : bool, default=False
        Whether a step is as long as the quadratic model of the batch says (then the learning rate is not used). It is
        shortened if it would raise the objective of its batch.
    exact_momentum : bool, default=False
        Whether the step before is mixed in, by the same model in two directions, which also gives the length.

    References
    ----------
    L. Kreis, "Classical optimization techniques for neural network training", chapter 5.
    J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML 2015.
    Q. Li et al., "Maximum principle based algorithms for deep learning", JMLR 2018 (extended MSA).

    Examples
    --------
    >>> from skgrow.preconditioning import FrobeniusPreconditioner, SecondMoment
    >>> FrobeniusPreconditioner(input=SecondMoment(decay=0.9), damping=0.1)
    FrobeniusPreconditioner(damping=0.1, input=SecondMoment(decay=0.9))
    """

    def __init__(  # noqa: PLR0917
        self,
        input: Any = "covariance",  # noqa: A002
        output: Any = "covariance",
        damping: Any = 0.01,
        split: str = "equal",
        adapt: str | None = None,
        combine: str = "product",
        fisher: str = "mc",
        inverse_every: int = 1,
        rescale: bool = False,
        exact_momentum: bool = False,
    ) -> None:
        self.input = input
        self.output = output
        self.damping = damping
        self.split = split
        self.adapt = adapt
        self.combine = combine
        self.fisher = fisher
        self.inverse_every = inverse_every
        self.rescale = rescale
        self.exact_momentum = exact_momentum

    def check(self) -> None:
        """Raise ValueError for parameters that cannot be used."""
        for name, allowed in (
            ("split", ("equal", "pi")),
            ("adapt", (None, "lm")),
            ("combine", ("product", "sum")),
            ("fisher", ("mc", "exact", "empirical")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {list(allowed)}; got {getattr(self, name)!r}.")
        if not callable(self.damping) and not self.damping > 0:
            raise ValueError(f"damping must be > 0 or a callable of the step; got {self.damping!r}.")
        if self.adapt == "lm" and not (self.rescale or self.exact_momentum):
            raise ValueError("adapt='lm' compares with the quadratic model, hence needs rescale or exact_momentum.")
        if self.inverse_every < 1:
            raise ValueError(f"inverse_every must be at least 1; got {self.inverse_every!r}.")
        sides = [component(self.input), component(self.output)]
        if self.combine == "sum" and not all(isinstance(s, Covariance) and s.structure == "dense" for s in sides):
            raise ValueError("combine='sum' needs dense covariances or second moments as input and output.")

    def gamma(self, step: int) -> float:
        """Return the damping of a step."""
        found = float(self.damping(step)) if callable(self.damping) else float(self.damping)
        if not found > 0:
            raise ValueError(f"damping must be > 0; got {found!r} at step {step}.")
        return found

    def inverts(self, step: int, since_start: int) -> bool:
        """Return whether moments are inverted before a step, given its number and that since start or growth."""
        return step % self.inverse_every == 0 or since_start < PRECONDITIONING.first_inversions

    def start(self, network: Network, generator: torch.Generator, previous: Any = None, kept: Any = None) -> State:
        """Return the state of a run, which goes on from a previous one on a network that may have grown."""
        self.check()
        state = State(self, network, generator)
        if isinstance(previous, State) and kept is not None:
            state.inherit(previous, network, kept)
        return state

    def attach(self, model: torch.nn.Module, *, unsupported: str = "error") -> Any:
        """Precondition a PyTorch model's gradients; see :class:`AttachedPreconditioner`.

        Parameters
        ----------
        model : torch.nn.Module
            Of ``nn.Linear`` and ``nn.Conv2d``; other layers with parameters are an error, or left as they are.
        unsupported : {"error", "skip"}, default="error"
            What to do about those.

        Returns
        -------
        AttachedPreconditioner
            Its ``step()`` belongs between ``loss.backward()`` and the step of any optimizer.
        """
        from skgrow.preconditioning._attached import AttachedPreconditioner

        self.check()
        return AttachedPreconditioner(self, model, unsupported)


def kfac(
    damping: float = 0.01, *, inverse_every: int = 10, update_every: int = 1, decay: float = 0.95
) -> FrobeniusPreconditioner:
    r"""Return K-FAC as Martens and Grosse have it: second moments, pi damping, adapted damping, rescaling, momentum.

    Parameters
    ----------
    damping : float, default=0.01
        At the start; it adapts.
    inverse_every, update_every : int
        Periods of inverses and of moments.
    decay : float, default=0.95
        Of the moments.

    Returns
    -------
    FrobeniusPreconditioner
    """
    moment = SecondMoment(decay=decay, update_every=update_every)
    return FrobeniusPreconditioner(
        input=moment,
        output=clone(moment),
        damping=damping,
        split="pi",
        adapt="lm",
        inverse_every=inverse_every,
        rescale=True,
        exact_momentum=True,
    )


def second_moment() -> FrobeniusPreconditioner:
    """Return a preconditioner by second moments on both sides."""
    return FrobeniusPreconditioner(input="second_moment", output="second_moment")


def sobolev() -> FrobeniusPreconditioner:
    """Return a preconditioner by a Sobolev inner product on the inputs of the first layer."""
    return FrobeniusPreconditioner(input="sobolev", output="euclidean")


def emsa() -> FrobeniusPreconditioner:
    """Return the layer step of the extended method of successive approximations (Li et al.)."""
    return FrobeniusPreconditioner(input="second_moment", output="second_moment", combine="sum")
