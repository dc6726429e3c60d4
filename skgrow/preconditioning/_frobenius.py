r"""The Frobenius-type preconditioner: inner products on layer spaces make one on the space of weight matrices.

With :math:`R_X` on the inputs and :math:`R_Y` on the pre-activations of a layer, the gradient with respect to
:math:`(A, B)_{X \to Y} = \mathrm{tr}(R_X^{-1} A^T R_Y B)` is :math:`R_Y^{-1} G R_X` for the usual gradient G (Kreis,
Lemma 5.2; (5.10) of the text prints an inverse too many). Data-driven inner products make it K-FAC's (Martens and
Grosse 2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from sklearn.base import BaseEstimator, clone
from torch import Tensor

from skgrow.networks import LayerPass, Network, patches
from skgrow.preconditioning._inner_products import INNER_PRODUCTS, Covariance, Euclidean, InnerProduct, SecondMoment
from skgrow.training import Loss, Problem

#: Steps between two adaptations of the damping, and the factor per step (Martens and Grosse, section 6.5).
_ADAPT_EVERY, _ADAPT_FACTOR = 5, 19 / 20

#: Times that a step of the quadratic model is cut to a quarter where it would raise the objective of its batch.
_BACKTRACKS = 8


class FrobeniusPreconditioner(BaseEstimator):
    r"""Preconditioning of weight gradients by inner products on the layers' inputs and outputs.

    Used as ``preconditioner=`` of an estimator with ``solver="sgd"`` or ``"adam"``, or on a PyTorch model, see
    :meth:`attach`. Where the input side is a second moment about zero, the bias is a weight of the input 1, as in
    K-FAC: the mean of the inputs and the bias are then decoupled by the inverse. A centred covariance knows no
    constant, and predefined inner products have none; with them, and in convolutional layers' place of it, biases are
    preconditioned by :math:`R_Y^{-1}` alone.

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
        Steps between two inversions.
    rescale : bool, default=False
        Whether a step is as long as the quadratic model of the batch says (then the learning rate is not used). It is
        shortened where it would raise the objective of its batch.
    exact_momentum : bool, default=False
        Whether the step before is mixed in, by the same model in two directions.

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


def component(given: Any) -> InnerProduct:
    """Return an inner product for a name, or a fresh copy of a component."""
    if isinstance(given, str):
        if given not in INNER_PRODUCTS:
            raise ValueError(f"inner products are {sorted(INNER_PRODUCTS)} or components; got {given!r}.")
        return INNER_PRODUCTS[given]()
    if not isinstance(given, InnerProduct):
        raise ValueError(f"inner products are {sorted(INNER_PRODUCTS)} or components; got {given!r}.")
    return clone(given)


@dataclass
class Layer:
    """One map with its two sides."""

    input: InnerProduct
    output: InnerProduct
    homogeneous: bool
    eigen: tuple[Tensor, ...] | None = None

    def damp(self, gamma: float, split: str) -> None:
        """Give damping to both sides."""
        pi, root = 1.0, gamma
        if split == "pi" and isinstance(self.input, Covariance) and isinstance(self.output, Covariance):
            root = math.sqrt(gamma)
            variances = self.input.mean_variance(), self.output.mean_variance()
            if min(variances) > 0:
                pi = math.sqrt(variances[0] / variances[1])
        for side, damping in ((self.input, pi * root), (self.output, root / pi)):
            side.damp(damping)
            if isinstance(side, Covariance):
                side.refresh()
        self.eigen = None

    def divide(self, G: Tensor) -> Tensor:
        r"""Return :math:`R_Y^{-1} G R_X` of a gradient (out, in)."""
        return self.output.solve(self.input.apply(G).T).T

    def divide_by_sum(self, G: Tensor, rho: float) -> Tensor:
        """Return D with rho (D A + B D) = G, up to the damping of both sides."""
        if self.eigen is None:
            assert isinstance(self.input, Covariance) and isinstance(self.output, Covariance)  # noqa: S101, PT018
            self.eigen = (*torch.linalg.eigh(self.input.covariance()), *torch.linalg.eigh(self.output.covariance()))
        lam, U, mu, V = self.eigen
        damping = self.input.damping_ + self.output.damping_
        total = lam.clamp_min(0) + mu.clamp_min(0)[:, None] + damping
        return V @ ((V.T @ G @ U) / (rho * total)) @ U.T


def make_layers(
    settings: FrobeniusPreconditioner, shapes: Sequence[tuple[Any, bool, str]], like: Tensor
) -> list[Layer]:
    """Return the sides of all maps, given the shapes of their weights, whether they have biases, and names."""
    layers = []
    for i, (shape, bias, name) in enumerate(shapes):
        inner, outer = component(settings.input), component(settings.output)
        if inner.only_ends and i > 0:
            inner = Euclidean()
        if outer.only_ends and i < len(shapes) - 1:
            outer = Euclidean()
        fan_in = math.prod(shape[1:])
        homogeneous = bias and isinstance(inner, Covariance) and not inner.centered
        inner.bind(fan_in + homogeneous, like, "input", name)
        outer.bind(shape[0], like, "output", name)
        layers.append(Layer(inner, outer, homogeneous))
    return layers


class State:
    """A run of a preconditioner on a network: moments of all maps, damping, the step before."""

    def __init__(self, settings: FrobeniusPreconditioner, network: Network, generator: torch.Generator) -> None:
        self.settings, self.generator = settings, generator
        shapes = [
            (shape, bias, f"layer {i}")
            for i, (shape, bias) in enumerate(zip(network.shapes, network.has_bias, strict=True))
        ]
        self.layers = make_layers(settings, shapes, network.theta)
        self.steps = 0
        self.factor = 1.0  # of the damping, where it adapts
        self.rho = 1.0
        self.previous: Tensor | None = None
        self.promised = math.nan

    @property
    def direct(self) -> bool:
        """Whether steps have a length of their own, and need no optimizer."""
        return self.settings.rescale or self.settings.exact_momentum or self.settings.combine == "sum"

    def inherit(self, previous: State, network: Network, kept: Tensor) -> None:
        """Take over moments, padded where layers have grown; new layers start anew."""
        starts = {w.start: i for i, (w, _) in enumerate(network.slices)}
        firsts = [int(kept[w.start]) if w.stop > w.start else -1 for w, _ in previous_slices(previous)]
        for layer, first in zip(previous.layers, firsts, strict=True):
            i = starts.get(first)
            if i is None:
                continue
            fresh = self.layers[i]
            for name in ("input", "output"):
                old, new = copy(getattr(layer, name)), getattr(fresh, name)  # the old run may go on, too
                if not old.learns:
                    continue
                if old.size_ != new.size_:
                    _widen(old, new.size_, layer.homogeneous and name == "input")
                setattr(fresh, name, old)
        self.steps, self.factor, self.rho = previous.steps, previous.factor, previous.rho
        if previous.previous is not None:
            self.previous = network.theta.new_zeros(network.n_parameters)
            self.previous[kept] = previous.previous

    # one step ----------------------------------------------------------------------------------------------

    def step(self, network: Network, batch: Problem) -> tuple[Tensor, Tensor]:
        """Return the objective of a batch, and its preconditioned gradient or, if ``direct``, minus the step itself."""
        self.slices = network.slices
        state = network.forward_pass(batch.X)
        if batch.offset is not None:
            state = replace(state, output=state.output + batch.offset)
        value, E = batch.loss.value_and_negative_gradient(state.output, batch.Y)
        deltas = network.backward_pass(state, E * -batch.g[:, None])
        gradient = network.gradient_of(deltas, state)
        free = network.slices[-1][1].start
        gradient[:free].add_(network.theta[:free], alpha=batch.alpha / batch.total_weight)
        objective = value @ batch.g + batch.penalty(network)
        self._learn(network, batch, state, E)
        gamma = self.settings.gamma(self.steps) * self.factor
        if self.steps % self.settings.inverse_every == 0:
            for layer in self.layers:
                layer.damp(gamma, self.settings.split)
        if self.settings.combine == "sum":
            direction = self._sylvester_step(network, batch, gradient, float(objective))
        else:
            direction = self.divide(network, gradient)
            if self.direct:
                direction = self._model_step(network, batch, state, gradient, direction, gamma, float(objective))
        self.steps += 1
        return objective, direction

    def divide(self, network: Network, gradient: Tensor) -> Tensor:
        """Return the preconditioned gradient, map by map."""
        return self._map_by_map(network, gradient, lambda layer, G: layer.divide(G))

    def _map_by_map(self, network: Network, gradient: Tensor, divide: Callable[[Layer, Tensor], Tensor]) -> Tensor:
        found = torch.empty_like(gradient)
        for layer, (w, b), shape in zip(self.layers, network.slices, network.shapes, strict=True):
            if w.start == w.stop:  # a layer that is still empty
                found[b] = gradient[b]
                continue
            G, g = gradient[w].view(shape[0], -1), gradient[b]
            if layer.homogeneous:
                D = divide(layer, torch.cat([G, g[:, None]], 1))
                found[w], found[b] = D[:, :-1].reshape(-1), D[:, -1]
                continue
            found[w] = divide(layer, G).reshape(-1)
            if len(g):
                found[b] = layer.output.solve(g[None])[0]
        return found

    def _learn(self, network: Network, batch: Problem, state: LayerPass, E: Tensor) -> None:
        sides = [s for layer in self.layers for s in (layer.input, layer.output) if isinstance(s, Covariance)]
        if not any(side.due() for side in sides):
            for side in sides:
                side.skip()
            return
        weight = batch.g / batch.g.sum()
        needed = any(layer.output.learns for layer in self.layers)
        seeds = None
        if needed:
            seeds = fisher_seeds(batch.loss, state.output, E, self.settings.fisher, self.generator)
        deltas = network.backward_pass(state, seeds) if seeds is not None else []
        if seeds is not None and seeds.ndim == 3:
            deltas = [d.flatten(0, 1) for d in deltas]
        for i, (layer, x) in enumerate(zip(self.layers, state.inputs, strict=True)):
            if 0 in network.shapes[i]:
                continue
            learn(layer, x, deltas[i] if deltas else None, weight)

    # the quadratic model -----------------------------------------------------------------------------------

    def _model_step(
        self,
        network: Network,
        batch: Problem,
        state: LayerPass,
        gradient: Tensor,
        direction: Tensor,
        gamma: float,
        objective: float,
    ) -> Tensor:
        """Return minus the step of K-FAC: length, and share of the step before, by the model of the batch."""
        directions = [-direction]
        if self.settings.exact_momentum and self.previous is not None:
            directions.append(self.previous)
        D = torch.stack(directions, 1)
        ridge = gamma + batch.alpha / batch.total_weight
        tangents = [_tangent(network, batch.X, d) for d in directions]
        roots = batch.loss.curvature_root(state.output, batch.Y)
        seen = [t if roots is None else torch.einsum("knc,nc->nk", roots, t) for t in tangents]
        flat = torch.stack([(s * batch.g.sqrt()[:, None]).reshape(-1) for s in seen], 1)
        quadratic = flat.T @ flat + ridge * (D.T @ D)
        linear = D.T @ gradient
        if not bool(torch.isfinite(quadratic).all() and torch.isfinite(linear).all()):
            return direction  # the loop finds that the loss is no longer finite
        best = torch.linalg.lstsq(quadratic.double(), -linear.double()[:, None]).solution[:, 0].to(D)
        step, promised = D @ best, float(linear @ best + 0.5 * best @ quadratic @ best)
        for _ in range(_BACKTRACKS):  # a bad model must not raise the loss
            got = float(batch.objective(network.with_theta(network.theta + step))) - objective
            if got <= 0:
                break
            self._adapt(0.0)
            step = step / 4
        else:
            step = torch.zeros_like(step)
        if (self.steps + 1) % _ADAPT_EVERY == 0:
            self._adapt(got / promised if promised < 0 else 0.0)
        self.previous = step
        return -step

    def _adapt(self, ratio: float) -> None:
        if self.settings.adapt is None:
            return
        if ratio > 0.75:
            self.factor *= _ADAPT_FACTOR**_ADAPT_EVERY
        elif not ratio >= 0.25:
            self.factor /= _ADAPT_FACTOR**_ADAPT_EVERY

    def _sylvester_step(self, network: Network, batch: Problem, gradient: Tensor, objective: float) -> Tensor:
        """Return minus the step of the extended method of successive approximations, with rho raised as needed."""
        self.rho = max(0.9 * self.rho, 1e-8)
        for _ in range(30):
            rho = self.rho
            step = self._map_by_map(network, gradient, lambda layer, G, rho=rho: layer.divide_by_sum(G, rho))  # type: ignore[misc]
            if float(batch.objective(network.with_theta(network.theta - step))) <= objective:
                return step
            self.rho *= 2
        return torch.zeros_like(gradient)

    # what there is to see ----------------------------------------------------------------------------------

    def report(self, network: Network, problem: Problem) -> dict[str, Any]:
        r"""Return norms of the gradient by maps, and the spectra of the moments.

        The Frobenius-type norm of the gradient is :math:`\sqrt{\sum P_{kl} G_{kl}}` with the preconditioned gradient P.
        """
        _, gradient = problem.value_and_gradient(network)
        divided = self.divide(network, gradient)
        plain, typed = [], []
        for w, b in network.slices:
            plain.append(float(torch.linalg.vector_norm(gradient[w.start : b.stop])))
            typed.append(math.sqrt(max(float(gradient[w.start : b.stop] @ divided[w.start : b.stop]), 0.0)))
        found: dict[str, Any] = {"gradient_norms": plain, "preconditioned_norms": typed}
        for name in ("input", "output"):
            sides = [getattr(layer, name) for layer in self.layers]
            if all(isinstance(side, Covariance) for side in sides):
                spectra = [torch.linalg.eigvalsh(side.covariance()).clamp_min(0) for side in sides]
                found[f"{name}_spectra"] = [s.to("cpu").double().numpy() for s in spectra]
        return found


def previous_slices(state: State) -> list[tuple[slice, slice]]:
    """Return the places of weights and biases in the network that a state was last used on."""
    return getattr(state, "slices", [])


def _widen(side: InnerProduct, size: int, homogeneous: bool) -> None:
    """Pad a side; the constant 1 of a homogeneous input stays last."""
    old = side.size_
    side.widen(size)
    if homogeneous and isinstance(side, Covariance):
        order = torch.tensor([*range(old - 1), *range(old, size), old - 1], device=side.mean_.device)
        side.mean_, side.diagonal_, side.rows_ = side.mean_[order], side.diagonal_[order], side.rows_[:, order]
        if side.moment_ is not None:
            side.moment_ = side.moment_[order][:, order]
        if side.inverse_ is not None:
            side.inverse_ = side.inverse_[order][:, order]


def learn(layer: Layer, x: Tensor, d: Tensor | None, weight: Tensor) -> None:
    """Give samples to the sides of a map: its inputs, and derivatives of single losses (k draws of every row)."""
    scale = 1.0
    if x.ndim == 4:
        x = patches(x)
    if x.ndim == 3:  # pixels by pixels: inputs summed over them, derivatives averaged
        pixels = x.shape[1]
        scale = math.sqrt(pixels)
        x, input_weight = x.flatten(0, 1), (weight / pixels).repeat_interleave(pixels)
    else:
        input_weight = weight
    if layer.homogeneous:
        x = torch.cat([x, x.new_ones(len(x), 1)], 1)
    if layer.input.learns:
        layer.input.update(x * scale if scale != 1 else x, input_weight)
    if layer.output.learns and d is not None:
        if d.ndim == 4:
            d = d.flatten(2).transpose(1, 2).flatten(0, 1)
        draws = len(d) // len(input_weight)
        # k draws of a row are added up: their sum is its Fisher matrix
        rows = d * math.sqrt(draws) if draws > 1 else d
        layer.output.update(rows, (input_weight / draws).repeat(draws) if draws > 1 else input_weight)


def fisher_seeds(loss: Loss, F: Tensor, E: Tensor, fisher: str, generator: torch.Generator) -> Tensor:
    r"""Return derivatives at the outputs whose second moment is the curvature of the loss, shape (n, c) or (k, n, c).

    Of targets drawn from the model :math:`E[d d^T]` is the Fisher matrix H, which for these losses is the curvature.
    Any :math:`d = \sum_k \varepsilon_k r_k` with the rows r of a root of H and independent signs has the same moment,
    whatever the loss: this is what ``"mc"`` draws.
    """
    if fisher == "empirical":
        return -E
    roots = loss.curvature_root(F, F)
    n, c = F.shape
    if roots is None:
        roots = torch.eye(c, dtype=F.dtype, device=F.device).unsqueeze(1).expand(c, n, c)
    if fisher == "exact":
        return roots
    signs = torch.randint(0, 2, roots.shape[:2], generator=generator).to(F) * 2 - 1
    return torch.einsum("kn,knc->nc", signs, roots)


def _tangent(network: Network, X: Tensor, direction: Tensor) -> Tensor:
    """Return the derivative of the outputs along a direction of the parameters."""
    return torch.func.jvp(lambda theta: network.with_theta(theta)(X), (network.theta,), (direction,))[1]


#: Short names that estimators take.
PRECONDITIONERS: dict[str, Callable[[], FrobeniusPreconditioner]] = {
    "covariance": FrobeniusPreconditioner,
    "second_moment": lambda: FrobeniusPreconditioner(input="second_moment", output="second_moment"),
    "kfac": kfac,
    "sobolev": lambda: FrobeniusPreconditioner(input="sobolev", output="euclidean"),
    "emsa": lambda: FrobeniusPreconditioner(input="second_moment", output="second_moment", combine="sum"),
}


def as_preconditioner(given: Any) -> FrobeniusPreconditioner | None:
    """Return a preconditioner for a name, or the one given.

    Raises
    ------
    ValueError
        For an unknown name, or parameters that cannot be used.
    """
    if given is None:
        return None
    if isinstance(given, str):
        if given not in PRECONDITIONERS:
            raise ValueError(f"preconditioner must be one of {sorted(PRECONDITIONERS)}; got {given!r}.")
        return PRECONDITIONERS[given]()
    given.check()
    return given
