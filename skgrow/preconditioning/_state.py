"""A run of the preconditioner: moments of all layers, damping, step lengths, and what there is to see."""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from skgrow._tolerances import LEAST_RHO
from skgrow.networks import MLP, LayerPass, Network
from skgrow.preconditioning._constants import PRECONDITIONING
from skgrow.preconditioning._covariance import Covariance
from skgrow.preconditioning._inner_products import eigenvalues
from skgrow.preconditioning._layers import Layer, fisher_seeds, learn, make_layers, widen_side
from skgrow.problem import Problem


class State:
    """A run of a preconditioner on a network: moments of all maps, damping, the step before."""

    def __init__(self, settings: Any, network: Network, generator: torch.Generator) -> None:
        self.settings, self.generator, self.slices = settings, generator, network.slices
        shapes = [
            (shape, bias, f"layer {i}")
            for i, (shape, bias) in enumerate(zip(network.shapes, network.has_bias, strict=True))
        ]
        self.layers = make_layers(settings, shapes, network.theta)
        self.steps = self.since_start = 0
        self.factor = 1.0  # of the damping, if it adapts
        self.rho = 1.0
        self.previous: Tensor | None = None
        self.promised = math.nan

    @property
    def direct(self) -> bool:
        """Whether steps have a length of their own, and need no optimizer."""
        return self.settings.rescale or self.settings.exact_momentum or self.settings.combine == "sum"

    def inherit(self, previous: State, network: Network, kept: Tensor) -> None:
        """Take over moments, padded if layers have grown; new layers start anew."""
        starts = {w.start: i for i, (w, _) in enumerate(network.slices)}
        firsts = [int(kept[w.start]) if w.stop > w.start else -1 for w, _ in previous.slices]
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
                    widen_side(old, new.size_, layer.homogeneous and name == "input")
                setattr(fresh, name, old)
        self.steps, self.factor, self.rho = previous.steps, previous.factor, previous.rho
        if len(kept) == network.n_parameters:  # nothing has grown: the run goes on
            self.since_start = previous.since_start
        if previous.previous is not None:
            self.previous = network.theta.new_zeros(network.n_parameters)
            self.previous[kept] = previous.previous

    # one step ----------------------------------------------------------------------------------------------

    def step(self, network: Network, batch: Problem) -> tuple[Tensor, Tensor]:
        """Return the objective of a batch, and its preconditioned gradient or, if ``direct``, minus the step itself."""
        self.slices = network.slices
        batch.count(network, 1.0)
        state = network.forward_pass(batch.X)
        if batch.offset is not None:
            state = replace(state, output=state.output + batch.offset)
        value, E = batch.loss.value_and_negative_gradient(state.output, batch.Y)
        deltas = network.backward_pass(state, E * -batch.g[:, None])
        gradient = network.gradient_of(deltas, state)
        batch.penalty.add_gradient(network, batch.total_weight, gradient)
        objective = value @ batch.g + batch.penalty_of(network)
        self._learn(network, batch, state, E)
        gamma = self.settings.gamma(self.steps) * self.factor
        if self.settings.inverts(self.steps, self.since_start):
            for layer in self.layers:
                layer.damp(gamma, self.settings.split)
        if self.settings.combine == "sum":
            direction = self._sylvester_step(network, batch, gradient, float(objective))
        else:
            direction = self.divide(network, gradient)
            if self.direct:
                direction = self._model_step(network, batch, state, gradient, direction, gamma, float(objective))
        self.steps += 1
        self.since_start += 1
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
            g = gradient[b] if b.stop > b.start else None
            D, d = layer.affine(gradient[w].view(shape[0], -1), g, lambda G, layer=layer: divide(layer, G))  # type: ignore[misc]
            found[w].view_as(D).copy_(D)
            if d is not None:
                found[b] = d
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
        tangents = [_tangent(network, state, batch.X, d) for d in directions]
        roots = batch.loss.curvature_root(state.output, batch.Y)
        seen = [t if roots is None else torch.einsum("knc,nc->nk", roots, t) for t in tangents]
        flat = torch.stack([(s * batch.g.sqrt()[:, None]).reshape(-1) for s in seen], 1)
        quadratic = flat.T @ flat + ridge * (D.T @ D)
        linear = D.T @ gradient
        if not bool(torch.isfinite(quadratic).all() and torch.isfinite(linear).all()):
            return direction  # the loop finds that the loss is no longer finite
        driver = "gelsd" if D.device.type == "cpu" else None  # "gelsy" reads memory that it has not written
        best = torch.linalg.lstsq(quadratic.double(), -linear.double()[:, None], driver=driver).solution[:, 0].to(D)
        step, promised = D @ best, float(linear @ best + 0.5 * best @ quadratic @ best)
        for _ in range(PRECONDITIONING.cuts):  # a bad model must not raise the loss
            got = float(batch.objective(network.with_theta(network.theta + step))) - objective
            if got <= 0:
                break
            self._adapt(0.0)
            step = step / PRECONDITIONING.cut
        else:
            step = torch.zeros_like(step)
        if (self.steps + 1) % PRECONDITIONING.adapt_every == 0:
            self._adapt(got / promised if promised < 0 else 0.0)
        self.previous = step
        return -step

    def _adapt(self, ratio: float) -> None:
        if self.settings.adapt is None:
            return
        factor = PRECONDITIONING.adapt_factor**PRECONDITIONING.adapt_every
        if ratio > PRECONDITIONING.good_ratio:
            self.factor *= factor
        elif not ratio >= PRECONDITIONING.bad_ratio:
            self.factor /= factor

    def _sylvester_step(self, network: Network, batch: Problem, gradient: Tensor, objective: float) -> Tensor:
        """Return minus the step of the extended method of successive approximations, with rho raised as needed."""
        self.rho = max(PRECONDITIONING.rho_fall * self.rho, LEAST_RHO)
        for _ in range(PRECONDITIONING.rho_tries):
            rho = self.rho
            step = self._map_by_map(network, gradient, lambda layer, G, rho=rho: layer.divide_by_sum(G, rho))  # type: ignore[misc]
            if float(batch.objective(network.with_theta(network.theta - step))) <= objective:
                return step
            self.rho *= PRECONDITIONING.rho_rise
        return torch.zeros_like(gradient)

    # what there is to see ----------------------------------------------------------------------------------

    def report(self, network: Network, problem: Problem) -> dict[str, Any]:
        r"""Return norms of the gradient by maps, and the spectra of the moments.

        The Frobenius-type norm of the gradient is :math:`\sqrt{\sum P_{kl} G_{kl}}` with the preconditioned gradient P.
        """
        _, gradient = problem.value_and_gradient(network)
        try:
            divided = self.divide(network, gradient)
        except torch.linalg.LinAlgError:  # of moments that are not finite
            divided = torch.full_like(gradient, math.nan)
        plain, typed = [], []
        for w, b in network.slices:
            plain.append(float(torch.linalg.vector_norm(gradient[w.start : b.stop])))
            typed.append(math.sqrt(max(float(gradient[w.start : b.stop] @ divided[w.start : b.stop]), 0.0)))
        found: dict[str, Any] = {"gradient_norms": plain, "preconditioned_norms": typed}
        for name in ("input", "output"):
            sides = [getattr(layer, name) for layer in self.layers]
            if all(isinstance(side, Covariance) for side in sides):
                spectra = [eigenvalues(side.covariance()).clamp_min(0) for side in sides]
                found[f"{name}_spectra"] = [s.to("cpu").double().numpy() for s in spectra]
        return found


def _tangent(network: Network, state: LayerPass, X: Tensor, direction: Tensor) -> Tensor:
    """Return the derivative of the outputs along a direction of the parameters."""
    if not isinstance(network, MLP):
        return torch.func.jvp(lambda theta: network.with_theta(theta)(X), (network.theta,), (direction,))[1]
    along = network.with_theta(direction)
    found = state.inputs[0].new_zeros(())
    for i, (x, W) in enumerate(zip(state.inputs, network.weights, strict=True)):
        inner = torch.addmm(along.biases[i], x, along.weights[i].T)
        inner = inner if i == 0 else inner.addmm_(found, W.T)
        found = inner * state.slopes[i] if i < len(state.slopes) else inner
    return found
