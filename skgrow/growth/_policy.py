"""Growing hidden layers: Algorithms 1 and 2 of Feischl, Rieder and Zehetgruber as a policy of the loop."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from skgrow._tolerances import LARGEST_BALANCE, LEAST_WIDTH, MERGED_LOSS
from skgrow.growth._constants import GROWTH
from skgrow.growth._layers import append_inside, linearised_refit
from skgrow.growth._noise import exceeds_noise, permuted_shares
from skgrow.growth._polar import refit_decrease
from skgrow.growth._search import Block
from skgrow.networks import MLP, direct_sum, merge, positions, prune, widen
from skgrow.problem import FixedAlpha, Problem, head_of, joined, layer_problem
from skgrow.solvers._output_layer import leave_out_losses, refit_output
from skgrow.training import Action, History, Trained, interrupted, lowered


@dataclass(frozen=True)
class Proposal:
    """A block for a hidden layer (counted from 0), and its decrease of the loss per parameter."""

    layer: int
    block: Block
    gain: float


@dataclass
class GrowthPolicy:
    """Widen hidden layers at stationary points, exchange its worst neurons, and stop when neither pays.

    Between two calls of :meth:`act` the training loop optimises all weights (step 1 of Algorithm 1). A call adds
    blocks of neurons (Algorithm 2: the old weights stay frozen, up to ``max_extensions`` blocks are found one after
    the other, the new weights are optimised in between), refits the output layer and, for piecewise linear
    activations, lets the kinks settle on smoothed networks first.

    Parameters
    ----------
    descend : callable
        ``descend(network, problem)`` returns an optimised network, and the problem with the penalty that its rule goes
        on with.
    search : PolarSearch or other search
        Finds the blocks.
    schedule : object
        With ``finished(loss, n_growths)``.
    block_size : int
        Neurons per block.
    max_neurons : int
        Budget of hidden neurons.
    budget : str
        What that is, as a reason why growth ends.
    max_extensions : int or None
        Blocks per growth; None: as many as make about a quarter of the neurons there are.
    n_exchanges : int
        Exchange steps tried after a growth once the budget of neurons is reached.
    patience : int
        Growths without a better criterion after which growing ends.
    min_decrease : float
        Relative decrease of the loss that the best new block has to promise.
    generator : torch.Generator
        For the search.
    relax : bool
        Whether smoothed networks are used.
    grow_layer : {"last", "all", "best"}
        Which hidden layers grow: the last one, all of them, or the one whose block promises the largest decrease of
        the loss per added parameter.
    n_penalties : int
        Smaller penalties tried when growth has ended, as long as the criterion improves.
    merge_tol : float
        See :func:`skgrow.networks.merge`; equal neurons are merged before every growth.
    expensive : bool
        Whether a fit is expensive: then the indicator is taken from the block proposed, without a search of its own,
        and a growth that was undone ends growing.
    budget : str
        What ends growth when there is no room left.
    insists : bool
        Whether growth begins anew if it ends with more in the residual than in noise.
    """

    descend: Callable[[MLP, Problem], tuple[MLP, Problem]]
    search: Any
    schedule: Any
    block_size: int
    max_neurons: int
    max_extensions: int | None
    n_exchanges: int
    patience: int
    min_decrease: float
    generator: torch.Generator
    relax: bool = True
    grow_layer: str = "last"
    n_penalties: int = 0
    merge_tol: float = 1e-6
    expensive: bool = False
    budget: str = "max_neurons"
    insists: bool = True

    def __post_init__(self) -> None:
        self.stop_reason: str | None = None
        self.stages = 0
        self.exchanges = 0
        self.attempt = 0
        self.exchanged_row = self.penalty_row = -1
        self.stale = 0
        self.refining = False
        #: What growth began from, and what it began anew from with a small penalty, at which row and with which rule.
        self.origin: Trained | None = None
        self.anew: Trained | None = None
        self.anew_row, self.rule = -1, FixedAlpha()
        #: The last network grown with that penalty, if the evidence is asked again after every growth.
        self.held: Trained | None = None
        self._refitted: tuple[Problem, MLP, MLP] | None = None

    def act(self, current: Trained, best: Trained, history: History) -> Action | None:
        """Answer with a growth of the current network, an exchange in the best one, or None if neither pays."""
        last = history[-1]
        self.origin = self.origin or current
        if last["action"] == "grow":
            self.stale = 0 if best is current and last["accepted"] else self.stale + 1
        if not self.refining:
            action = self._growth(current, best, history)
            if action is not None:
                return action
            self.refining = True
            if self.anew is not None:
                best.problem = best.problem.ruled(self.rule)
                if best.row >= self.anew_row and self.rule.sets_penalty and self.held is None:
                    return self._asked_again(best, self.anew)
        return self._refinement(best)

    def _growth(self, current: Trained, best: Trained, history: History) -> Action | None:
        last = history[-1]
        if self.anew is not None and current.problem.loss.known_dispersion and self.rule.sets_penalty:
            return self._anew_by_evidence(current, self.anew, best, last)
        if self.expensive and not last["accepted"]:
            self.stop_reason = "undone"
            return None
        proposals = self.proposals(current.network, current.problem)
        decrease = max((p.block.score for p in proposals), default=0.0)
        last |= self.indicators(current.network, current.problem, proposals)
        room = self._room(current)
        self.stop_reason = self._ended(current, last, proposals, decrease, room)
        if self.stop_reason is not None:
            return self._insistence(current, best, history)
        self.stages += 1
        return self._grow(current, current.problem.rule.freed(current.problem), proposals, room)

    def _insistence(self, current: Trained, best: Trained, history: History) -> Action | None:
        """Grow although the rules say that growth has ended, if there is more in the residual than in noise.

        Two things end growth too early. The evidence has several fixed points, one of which switches all neurons off;
        and what waves bring only many neurons show, so that three growths may gain nothing. So growth begins anew with
        a small penalty that stays, until a criterion gains or the residual is noise.
        """
        base, begins = (best, True) if self.anew is None else (current, False)
        allowed = ("criterion", "min_decrease", "no_proposal", "undone") if begins else ("criterion",)
        if self.expensive or not self.insists or self.stop_reason not in allowed:
            return None
        if not begins and (best.row >= self.anew_row or not history[-1]["accepted"]):
            return None
        judged, problem = base, base.problem
        if begins and self.origin is not None and best.loss > GROWTH.little_explained * self.origin.loss:
            base = self.origin
        if self._room(base) <= 0 or not self._exceeds_noise(judged, n_above=0 if begins else GROWTH.noise_draws // 2):
            return None
        if begins:
            self.anew, self.anew_row, self.rule = base, len(history), problem.rule
            problem = replace(problem.rule.held(problem), support=0.0)
        return self._grow_anew(base, problem)

    def _anew_by_evidence(self, current: Trained, anew: Trained, best: Trained, last: dict[str, Any]) -> Action | None:
        """Ask the evidence again after every growth with the small penalty, as long as it prefers the wider network.

        Networks of classes can not be compared before: the evidence of a network that interpolates is large.
        """
        if last["action"] == "grow" and last["accepted"]:
            self.held = current
            return self._asked_again(current, anew)
        goes_on = best.row < self.anew_row or best is current
        if last["action"] != "penalty" or not goes_on or self.held is None:
            return None
        if self._room(self.held) <= 0 or not self._exceeds_noise(self.held, n_above=GROWTH.noise_draws // 2):
            return None
        return self._grow_anew(self.held, self.held.problem)

    def _asked_again(self, grown: Trained, anew: Trained) -> Action:
        """Let the evidence set the penalty of a network grown with a small one; it has to gain."""
        return Action("penalty", grown.network, anew, must_gain=True, problem=grown.problem.ruled(self.rule))

    def _exceeds_noise(self, base: Trained, *, n_above: int) -> bool:
        least = GROWTH.least_left * (self.origin or base).loss
        return exceeds_noise(base, self.search, self.block_size, least=least, n_above=n_above)

    def _room(self, base: Trained) -> int:
        return self.max_neurons - sum(base.network.layer_sizes[1:-1])

    def _grow_anew(self, base: Trained, problem: Problem) -> Action | None:
        proposals = self.proposals(base.network, problem)
        if not proposals:
            return None
        self.stages += 1
        return self._grow(base, problem, proposals, self._room(base))

    def _ended(
        self, current: Trained, last: dict[str, Any], proposals: list[Proposal], decrease: float, room: int
    ) -> str | None:
        """Return why growth ends, budgets last, or None if it goes on."""
        if self.schedule.finished(current.loss, self.stages):
            return "schedule"
        if self.stale >= self.patience:
            return "criterion"
        if not last["accepted"]:
            return "undone"
        if not decrease > 0:
            return "no_proposal"
        if decrease <= self.min_decrease * current.loss or not self._may_pay(current, proposals):
            return "min_decrease"
        return self.budget if room <= 0 else None

    def _may_pay(self, current: Trained, proposals: list[Proposal]) -> bool:
        """Whether a classifier that no validation data judge has a nat of likelihood left for each new parameter.

        That is Akaike's charge: growth could not pay it if it brought the loss to zero. A first block always may, since
        under a strong penalty a parameter counts for less than one.
        """
        problem, sizes = current.problem, current.network.layer_sizes
        judged = math.isfinite(current.validation_loss) or not problem.loss.known_dispersion
        if judged or not sizes[-2]:
            return True
        added = sum(len(p.block.b) * (sizes[p.layer] + 1 + sizes[p.layer + 2]) for p in proposals)
        return current.loss * problem.total_weight > added

    def _refinement(self, best: Trained) -> Action | None:
        if self.n_penalties > 0 and best.row != self.penalty_row:
            return self._smaller_penalty(best)
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
        return self._exchange(best, size, rank)

    def _smaller_penalty(self, best: Trained) -> Action:
        """Try a third of the penalty: the evidence took it for smaller networks, and growth can not raise the loss."""
        self.n_penalties -= 1
        self.penalty_row = best.row
        return Action("penalty", best.network, best, must_gain=True, problem=lowered(best.problem))

    # growth ------------------------------------------------------------------------------------------------

    def proposals(self, network: MLP, problem: Problem) -> list[Proposal]:
        """Return the best block of every layer that may grow, last layer first."""
        last = len(network.weights) - 2
        layers = [last] if self.grow_layer == "last" else range(last, -1, -1)
        found = []
        for layer in layers:
            inside = layer < last
            block = self._block_inside(network, problem, layer) if inside else self.best_block(network, problem)
            if block is not None:
                fan = network.layer_sizes[layer] + 1 + network.layer_sizes[layer + 2]
                found.append(Proposal(layer, block, block.score / (fan * len(block.b))))
        if self.grow_layer == "best" and found:
            return [max(found, key=lambda proposal: proposal.gain)]
        return found

    def _grow(self, base: Trained, problem: Problem, proposals: list[Proposal], room: int) -> Action:
        grown = merged = self.merged(base.network, problem)
        if merged is not base.network:
            proposals = self.proposals(merged, problem)
        for proposal in proposals:
            block = proposal.block.first(self.max_neurons - sum(grown.layer_sizes[1:-1]))
            if not len(block.b):
                break
            if proposal.layer == len(grown.weights) - 2:
                grown = self._grow_head(grown, problem, block, room)
            else:
                grown = append_inside(grown, problem, proposal.layer, block.W, block.b)
        grown, problem = self._settle(grown, problem)
        kept = positions(base.network, grown) if merged is base.network else None
        return Action("grow", grown, base, kept=kept, problem=problem)

    def _grow_head(self, network: MLP, problem: Problem, block: Block, room: int) -> MLP:
        """Algorithm 2 on the last hidden layer: blocks one after the other, while the old weights are frozen."""
        head, problem = head_of(network, problem)
        n_blocks = self.max_extensions
        if n_blocks is None:
            n_blocks = max(1, round(head.layer_sizes[1] / (GROWTH.widths_per_growth * self.block_size)))
        grown, added = self._append(head, problem, block), len(block.b)
        for _ in range(n_blocks - 1):
            if added >= room:
                break
            grown = self._optimise_new(head, grown, problem)
            following = self._block_of_head(grown, problem)
            if following is None:
                break
            following = following.first(room - added)
            grown = self._append(grown, problem, following)
            added += len(following.b)
        return joined(network, grown)

    def widened(self, network: MLP, problem: Problem) -> tuple[MLP, Tensor | None]:
        """Return the network with one more block and the places of its parameters there, or as it is."""
        room = self.max_neurons - sum(network.layer_sizes[1:-1])
        block = self.best_block(network, problem) if room > 0 else None
        if block is None:
            return network, None
        head, problem = head_of(network, problem)
        grown = joined(network, self._append(head, problem, block.first(room)))
        return grown, positions(network, grown)

    def merged(self, network: MLP, problem: Problem) -> MLP:
        """Return the network with equal neurons collapsed, the same one if there are none."""
        narrower, _ = merge(network, problem.X, self.merge_tol)
        if narrower.layer_sizes == network.layer_sizes:
            return network
        rise = float(problem.data_loss(narrower)) - float(problem.data_loss(network))
        return narrower if rise <= MERGED_LOSS * abs(float(problem.data_loss(network))) else network

    def _append(self, head: MLP, problem: Problem, block: Block) -> MLP:
        silent = block.W.new_zeros(head.layer_sizes[-1], len(block.b))
        return balance(self._refit(widen(head, 0, block.W, block.b, silent)[0], problem))

    def _refit(self, head: MLP, problem: Problem) -> MLP:
        """Refit the output layer; the last refit is remembered, since a block is scored before it is added."""
        if self._refitted is not None:
            on, start, refitted = self._refitted
            same = on is problem and start.layer_sizes == head.layer_sizes
            if same and torch.equal(start.theta, head.theta):
                return refitted
        refitted = refit_output(head, problem)
        self._refitted = problem, head, refitted
        return refitted

    def _optimise_new(self, frozen: MLP, grown: MLP, problem: Problem) -> MLP:
        """Algorithm 2, step 1: optimise the new neurons on what the frozen network leaves over, then join."""
        width = frozen.layer_sizes[1]
        everything = torch.arange(grown.layer_sizes[1], device=grown.theta.device)
        old, new = prune(grown, 0, everything[:width]), prune(grown, 0, everything[width:])
        zero = torch.zeros_like(new.biases[-1])
        new = MLP.from_arrays(new.weights, [*new.biases[:-1], zero], new.activation)
        rest = replace(problem, offset=problem.outputs(old))
        return direct_sum(old, self.descend(new, rest)[0])

    def _settle(self, network: MLP, problem: Problem) -> tuple[MLP, Problem]:
        """Descend on smoothed networks with ever less smoothing, and refit; return the problem to go on with, too."""
        if not (self.relax and network.activation.is_piecewise_linear):
            return network, problem
        settled = network
        for level in GROWTH.smoothing:
            settled = settled.with_smoothing(smoothing_widths(settled, problem, level))
            settled, problem = self.descend(settled, problem)
        settled = refit_output(balance(settled.with_smoothing(None)), problem)
        settled, problem = self.descend(settled, problem)
        better = bool(problem.objective(settled) < problem.objective(network))
        return settled if better else network, problem

    # exchange ----------------------------------------------------------------------------------------------

    def _exchange(self, base: Trained, size: int, rank: int) -> Action | None:
        reduced, problem = head_of(base.network, base.problem)
        for step in range(size):
            order = leave_out_losses(reduced, problem).argsort(stable=True)
            chosen = order[rank if step == 0 else 0]
            keep = torch.ones(len(order), dtype=torch.bool, device=order.device)
            keep[chosen] = False
            reduced = refit_output(prune(reduced, 0, keep.nonzero()[:, 0]), problem)
        block = self._block_of_head(reduced, problem, size)
        if block is None:
            return None
        exchanged = joined(base.network, self._append(reduced, problem, block))
        settled, problem = self._settle(exchanged, base.problem)
        return Action("exchange", settled, base, must_gain=True, problem=problem)

    # search ------------------------------------------------------------------------------------------------

    def best_block(
        self, network: MLP, problem: Problem, size: int | None = None, refit_all: bool = True
    ) -> Block | None:
        """Best new block of the last hidden layer, scored with a refit of the whole output layer, or of its bias.

        The score is the decrease of the objective by that refit.
        """
        head, problem = head_of(network, problem)
        return self._block_of_head(head, problem, size, refit_all)

    def _block_of_head(
        self, head: MLP, problem: Problem, size: int | None = None, refit_all: bool = True
    ) -> Block | None:
        F = problem.outputs(head)
        E = problem.loss.negative_gradient(F, problem.Y)
        basis = problem.basis(head)
        basis = basis if refit_all else basis[:, -1:]
        block = self._search(problem, problem.X, E, basis, head, 0, size, operator=problem.operator)
        if block is None or problem.loss.is_quadratic or not refit_all:
            return block
        outgoing = block.W.new_zeros(head.layer_sizes[-1], len(block.b))
        silent, _ = widen(head, 0, block.W, block.b, outgoing)
        gain = float(problem.objective(silent)) - float(problem.objective(self._refit(silent, problem)))
        return replace(block, score=gain) if gain > 0 else None

    def _block_inside(self, network: MLP, problem: Problem, layer: int) -> Block | None:
        if 0 in (network.layer_sizes[layer], network.layer_sizes[layer + 2]):
            return None
        inputs, E, basis = layer_problem(network, problem, layer)
        block = self._search(problem, inputs, E, basis, network, layer, None)
        if block is None:
            return None
        return replace(block, score=linearised_refit(network, problem, layer, block.W, block.b)[2])

    def _search(
        self,
        problem: Problem,
        X: Tensor,
        E: Tensor,
        basis: Tensor,
        network: MLP,
        layer: int,
        size: int | None,
        operator: Any = None,
    ) -> Block | None:
        if not X.shape[1]:
            return None
        return self.search.search(
            X,
            E,
            problem.g,
            network.activation.appended,
            block_size=size or self.block_size,
            basis=basis,
            live=network.weights[layer],
            support=min(GROWTH.largest_support, problem.support * (X.shape[1] + 2) / problem.total_weight),
            generator=self.generator,
            operator=operator,
        )

    def indicators(self, network: MLP, problem: Problem, proposals: list[Proposal]) -> dict[str, float]:
        """C_opt of Theorem 25, beside the decrease of the loss that the best block promises with a full refit.

        With the block R(W*) of unit norm, C_opt = 2 <r, R(W*)> / |r|: twice the cosine of the angle between
        the residual (the negative functional gradient) and the best new block, here with its own output bias.
        That block is searched for among all neurons, whatever the support of their kinks, and compared with the one
        proposed for the last hidden layer; if a fit is expensive it is that one.
        """
        proposed = [p.block for p in proposals if p.layer == len(network.weights) - 2]
        head, problem = head_of(network, replace(problem, support=0.0))
        E = problem.negative_gradient(head)
        size = 0.5 * float(E.square().sum(1) @ problem.g)
        score = 0.0
        if size > 0 and proposed:
            V = torch.cat([proposed[0].W, proposed[0].b[:, None]], 1)
            score = refit_decrease(problem.X, E, problem.g, head.activation.appended, V, problem.operator)
        if size > 0 and not (self.expensive and proposed):
            constant = problem.basis(head)[:, -1:]
            block = self._search(problem, problem.X, E, constant, head, 0, None, operator=problem.operator)
            score = max(score, 0.0 if block is None else block.score)
        cosine = math.sqrt(min(1.0, score / size)) if score > 0 else 0.0
        decrease = max((p.block.score for p in proposals), default=0.0)
        return {"indicator": 2 * cosine, "predicted_decrease": decrease}

    def indicator_of_noise(self, network: MLP, problem: Problem) -> float:
        """C_opt where the residual is noise: its mean over some permutations of the residual."""
        head, problem = head_of(network, problem)
        constant = problem.basis(head)[:, -1:]
        drawn = permuted_shares(self.search, problem, head, constant, head.activation.appended, self.block_size)
        return 2 * sum(map(math.sqrt, islice(drawn, 1, 1 + GROWTH.reported_draws))) / GROWTH.reported_draws

    def known_indicators(self, network: MLP, problem: Problem, row: dict[str, Any]) -> dict[str, float]:
        """Return what a row lacks of whether growing would pay, NaN if that was interrupted or cannot be computed."""
        known = {"indicator": math.nan, "predicted_decrease": math.nan, "indicator_noise": math.nan}
        try:
            if "indicator" not in row:
                known |= self.indicators(network, problem, self.proposals(network, problem))
            known["indicator_noise"] = self.indicator_of_noise(network, problem)
        except KeyboardInterrupt:
            interrupted()
        except torch.linalg.LinAlgError:
            pass
        return known | {name: row[name] for name in known if name in row}


def balance(network: MLP) -> MLP:
    """Scale the neurons of (leaky) ReLU layers so that incoming and outgoing weights have equal norms.

    The function is unchanged and the L2 penalty falls; of one hidden layer to the path norm, the least it can be.
    """
    if not network.activation.is_piecewise_linear:
        return network
    weights, biases = list(network.weights), list(network.biases)
    for layer in range(len(weights) - 1):
        incoming = (weights[layer].square().sum(1) + biases[layer].square()).sqrt()
        factor = (torch.linalg.vector_norm(weights[layer + 1], dim=0) / incoming).sqrt()
        bounded = factor.clamp(1 / LARGEST_BALANCE, LARGEST_BALANCE)
        factor = torch.where(torch.isfinite(factor) & (factor > 0), bounded, torch.ones_like(factor))
        weights[layer], biases[layer] = weights[layer] * factor[:, None], biases[layer] * factor
        weights[layer + 1] = weights[layer + 1] / factor
    return MLP.from_arrays(weights, biases, network.activation)


def smoothing_widths(network: MLP, problem: Problem, level: float) -> list[Tensor]:
    """Half widths of smoothing: ``level`` times the deviation of a neuron's pre-activation over the layer's width."""
    weight = problem.g.view(-1, len(problem.X)).sum(0)
    widths = []
    for layer in range(len(network.weights) - 1):
        inputs = network.hidden(problem.X, layer)
        Z = torch.addmm(network.biases[layer], inputs, network.weights[layer].T)
        deviation = (weight @ (Z - weight @ Z).square()).sqrt()
        widths.append((level / max(1, Z.shape[1]) * deviation).clamp_min(LEAST_WIDTH))
    return widths
