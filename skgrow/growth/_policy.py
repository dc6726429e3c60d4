"""Growing one hidden layer: Algorithms 1 and 2 of Feischl, Rieder and Zehetgruber as a policy of the loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from skgrow.growth._refit import leave_out_losses, refit_output
from skgrow.growth._search import Block, PolarSearch
from skgrow.networks import MLP, direct_sum, prune, widen
from skgrow.training import Action, History, Problem, Trained

#: Half widths of smoothing, relative to the spread of a neuron's pre-activation over the number of neurons.
_SMOOTHING = (2.0, 0.5)


@dataclass
class GrowthPolicy:
    """Widen the hidden layer at stationary points, exchange its worst neurons, and stop when neither pays.

    Between two calls of :meth:`act` the training loop optimises all weights (step 1 of Algorithm 1). A call adds
    blocks of neurons (Algorithm 2: the old weights stay frozen, up to ``max_extensions`` blocks are found one after
    the other, the new weights are optimised in between), refits the output layer and, for piecewise linear
    activations, lets the kinks settle on smoothed networks first.

    Parameters
    ----------
    problem : Problem
        What is being minimised.
    descend : callable
        ``descend(network, problem)`` returns an optimised network.
    search : PolarSearch
        Finds the blocks.
    schedule : object
        With ``finished(loss, n_growths)``.
    block_size : int
        Neurons per block.
    max_neurons : int
        Budget of hidden neurons.
    max_extensions : int or None
        Blocks per growth; None: as many as make about a quarter of the neurons there are.
    max_stages : int
        Budget of growths.
    n_exchanges : int
        Exchange steps tried after a growth once the budget of neurons is reached.
    patience : int
        Growths without a better criterion after which growing ends.
    tol : float
        Relative decrease of the loss that the best new block has to promise.
    generator : torch.Generator
        For the search.
    relax : bool
        Whether smoothed networks are used.
    support : float
        Samples per incoming weight that a kink needs.
    """

    problem: Problem
    descend: Callable[[MLP, Problem], MLP]
    search: PolarSearch
    schedule: Any
    block_size: int
    max_neurons: int
    max_extensions: int | None
    max_stages: int
    n_exchanges: int
    patience: int
    tol: float
    generator: torch.Generator
    relax: bool = True
    support: float = 3.0

    def __post_init__(self) -> None:
        self.stages = 0
        self.exchanges = 0
        self.attempt = 0
        self.exchanged_row = -1
        self.stale = 0
        self.refining = False

    def act(self, current: Trained, best: Trained, history: History) -> Action | None:
        """Answer with a growth of the current network, an exchange in the best one, or None where neither pays."""
        last = history[-1]
        if last["action"] == "grow":
            self.stale = 0 if best is current and last["accepted"] else self.stale + 1
        if not self.refining:
            action = self._growth(current, history)
            if action is not None:
                return action
            self.refining = True
        return self._refinement(best)

    def _growth(self, current: Trained, history: History) -> Action | None:
        last = history[-1]
        block = self.best_block(current.network)
        last |= self.indicators(current.network, current.loss, block)
        room = self.max_neurons - current.network.layer_sizes[-2]
        ended = (
            self.schedule.finished(current.loss, self.stages)
            or self.stale >= self.patience
            or not last["accepted"]
            or room <= 0
            or self.stages >= self.max_stages
        )
        if ended or block is None or block.score <= self.tol * current.loss:
            return None
        self.stages += 1
        self.problem.alpha = current.alpha
        return self._grow(current, block, room)

    def _refinement(self, best: Trained) -> Action | None:
        width = best.network.layer_sizes[-2]
        if best.row != self.exchanged_row:
            self.exchanged_row, self.attempt = best.row, 0
        # from one network each attempt drops other neurons: a block or one, of the least leave-out loss or the next
        size = min(self.block_size if self.attempt % 2 == 0 else 1, width)
        rank = self.attempt // 2
        if self.exchanges >= self.n_exchanges or width == 0 or rank > width - size:
            return None
        self.exchanges += 1
        self.attempt += 1
        self.problem.alpha = best.alpha
        return self._exchange(best, size, rank)

    # growth ------------------------------------------------------------------------------------------------

    def _grow(self, base: Trained, block: Block, room: int) -> Action:
        network = base.network
        n_blocks = self.max_extensions
        if n_blocks is None:
            n_blocks = max(1, round(network.layer_sizes[-2] / (4 * self.block_size)))
        grown, added = self._append(network, block, room), len(block.b)
        for _ in range(n_blocks - 1):
            if added >= room:
                break
            grown = self._optimise_new(network, grown)
            following = self.best_block(grown)
            if following is None:
                break
            grown = self._append(grown, following, room - added)
            added += len(following.b)
        grown = self._settle(grown)
        return Action("grow", grown, base, kept=_kept(network, grown))

    def widened(self, network: MLP) -> tuple[MLP, Tensor | None]:
        """Return the network with one more block and the places of its parameters there, or as it is."""
        room = self.max_neurons - network.layer_sizes[-2]
        block = self.best_block(network) if room > 0 else None
        if block is None:
            return network, None
        grown = self._append(network, block, room)
        return grown, _kept(network, grown)

    def _append(self, network: MLP, block: Block, room: int) -> MLP:
        W, b = block.W[:room], block.b[:room]
        silent = W.new_zeros(network.layer_sizes[-1], len(b))
        wider, _ = widen(network, len(network.weights) - 2, W, b, silent)
        return balance(refit_output(wider, self.problem))

    def _optimise_new(self, frozen: MLP, grown: MLP) -> MLP:
        """Algorithm 2, step 1: optimise the new neurons on what the frozen network leaves over, then join."""
        width = frozen.layer_sizes[-2]
        everything = torch.arange(grown.layer_sizes[-2], device=grown.theta.device)
        last = len(grown.weights) - 2
        old, new = prune(grown, last, everything[:width]), prune(grown, last, everything[width:])
        zero = torch.zeros_like(new.biases[-1])
        new = MLP.from_arrays(new.weights, [*new.biases[:-1], zero], new.activation)
        rest = self.problem.with_targets(self.problem.negative_gradient(old))
        rest.alpha = self.problem.alpha
        return direct_sum(old, self.descend(new, rest))

    def _settle(self, network: MLP) -> MLP:
        """Descend on smoothed networks with ever less smoothing, and refit."""
        if not (self.relax and network.activation.is_piecewise_linear):
            return network
        width = max(1, network.layer_sizes[-2])
        settled = network
        for level in _SMOOTHING:
            settled = settled.with_smoothing(smoothing_widths(settled, self.problem, level / width))
            settled = self.descend(settled, self.problem)
        settled = self.descend(refit_output(balance(settled.with_smoothing(None)), self.problem), self.problem)
        better = bool(self.problem.objective(settled) < self.problem.objective(network))
        return settled if better else network

    # exchange ----------------------------------------------------------------------------------------------

    def _exchange(self, base: Trained, size: int, rank: int) -> Action | None:
        reduced = base.network
        for step in range(size):
            order = leave_out_losses(reduced, self.problem).argsort(stable=True)
            chosen = order[rank if step == 0 else 0]
            keep = torch.ones(len(order), dtype=torch.bool, device=order.device)
            keep[chosen] = False
            reduced = refit_output(prune(reduced, len(reduced.weights) - 2, keep.nonzero()[:, 0]), self.problem)
        block = self.best_block(reduced, size)
        if block is None:
            return None
        return Action("exchange", self._settle(self._append(reduced, block, size)), base, must_gain=True)

    # search ------------------------------------------------------------------------------------------------

    def best_block(self, network: MLP, size: int | None = None, refit_all: bool = True) -> Block | None:
        """Best new block, scored with a refit of the whole output layer, or of its bias alone."""
        problem = self.problem
        E = problem.negative_gradient(network)
        basis = None
        if refit_all:
            H = network.hidden(problem.X)
            basis = torch.cat([H, H.new_ones(len(H), 1)], 1)
        return self.search.search(
            problem.X,
            E,
            problem.g,
            network.activation,
            block_size=size or self.block_size,
            basis=basis,
            live=network.weights[0],
            support=min(0.25, self.support * (problem.X.shape[1] + 2) / problem.total_weight),
            generator=self.generator,
        )

    def indicators(self, network: MLP, loss: float, block: Block | None) -> dict[str, float]:
        """C_opt of Theorem 25, and the decrease of the loss that the best block promises with a full refit.

        With the block R(W*) of unit norm, C_opt = 2 <r, R(W*)> / |r|: twice the cosine of the angle between
        the residual and the best new block, here with its own output bias.
        """
        alone = self.best_block(network, refit_all=False) if loss > 0 else None
        cosine = math.sqrt(min(1.0, alone.score / loss)) if alone is not None else 0.0
        return {"indicator": 2 * cosine, "predicted_decrease": block.score if block is not None else 0.0}


def balance(network: MLP) -> MLP:
    """Scale every neuron of a (leaky) ReLU layer so that incoming and outgoing weights have equal norms.

    The function is unchanged and the L2 penalty falls to the path norm, the least it can be.
    """
    if not network.activation.is_piecewise_linear or len(network.weights) != 2:
        return network
    (W, V), (b, c) = network.weights, network.biases
    incoming = (W.square().sum(1) + b.square()).sqrt()
    outgoing = torch.linalg.vector_norm(V, dim=0)
    factor = (outgoing / incoming).sqrt()
    factor = torch.where(torch.isfinite(factor) & (factor > 0), factor.clamp(1e-4, 1e4), torch.ones_like(factor))
    return MLP.from_arrays([W * factor[:, None], V / factor], [b * factor, c], network.activation)


def smoothing_widths(network: MLP, problem: Problem, level: float) -> list[Tensor]:
    """Half widths of smoothing per neuron: ``level`` times the standard deviation of its pre-activation."""
    X, g = problem.X, problem.g
    Z = torch.addmm(network.biases[0], X, network.weights[0].T)
    deviation = (g @ (Z - g @ Z).square()).sqrt()
    return [(level * deviation).clamp_min(1e-12)]


def _kept(before: MLP, after: MLP) -> Tensor:
    m = after.layer_sizes[-2] - before.layer_sizes[-2]
    W = before.theta.new_zeros(m, before.layer_sizes[-3])
    return widen(before, len(before.weights) - 2, W, W.new_zeros(m), W.new_zeros(before.layer_sizes[-1], m))[1]
