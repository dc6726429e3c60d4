"""Sensitivity-based layer insertion (SensLI, Kreis' Algorithm 6) as a policy of the training loop."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from skgrow.insertion._sensitivity import Sensitivity, sensitivity
from skgrow.networks import Network, widen
from skgrow.problem import Problem, layer_problem
from skgrow.training import Action, History, Trained


@dataclass(frozen=True)
class NewNeurons:
    """New neurons of one hidden layer: their merit (4.20), its ratio to the columns' and the decrease they promise."""

    layer: int
    W: Tensor
    b: Tensor
    ratio: float
    decrease: float
    cost: int


@dataclass
class InsertionPolicy:
    r"""Insert the layers to which the loss is most sensitive, and stop if it is sensitive to none.

    Between two calls of :meth:`act` the training loop optimises all weights. A call takes the merits of all positions
    (see :func:`sensitivity`) and inserts where they are largest, if they reach ``tau`` times the mean squared
    norm of the gradients there are (4.18). The history keeps merits, ratios, the decision and its reason.

    Parameters
    ----------
    problem : Problem
        What is being minimised.
    schedule : object
        With ``finished(loss, n_insertions)`` and ``waits``: whether training goes on after an insertion was refused.
    norm : str
        Of the merits, see :func:`gradient_norm`.
    merit_samples : int or None
        Rows that merits are estimated on; None: all.
    tau : float
        Threshold.
    n_insert : int
        Layers inserted at once, at different positions.
    max_layers : int
        Budget of layers that can be inserted: hidden layers, blocks or convolutions.
    selection : {"max", "min", "random"}
        Which positions are taken; the latter two are for comparison, and look at no threshold.
    generator : torch.Generator
        For random positions and rows.
    patience : int or None
        Stages without a better criterion after which training ends.
    widen : bool
        Whether hidden layers may also get new neurons, found by ``search``.
    action : {"auto", "both"}
        With ``widen``: the better of the two by first-order decrease per new parameter, or each by its threshold.
    search : PolarSearch or other search, optional
        Finds new neurons.
    block_size : int
        Neurons added at a time.
    max_neurons : int
        Budget of neurons of one hidden layer.
    """

    problem: Problem
    schedule: Any
    norm: str
    merit_samples: int | None
    tau: float
    n_insert: int
    max_layers: int
    selection: str
    generator: torch.Generator
    patience: int | None = None
    widen: bool = False
    action: str = "auto"
    search: Any = None
    block_size: int = 1
    max_neurons: int = 1000
    stop_reason: str | None = field(default=None, init=False)
    insertions: int = field(default=0, init=False)
    stale: int = field(default=0, init=False)
    undone: int = field(default=0, init=False)
    waiting: int = field(default=0, init=False)

    def act(self, current: Trained, best: Trained, history: History) -> Action | None:
        """Answer with an insertion, with more training of the same network, or None to end."""
        last, self.problem = history[-1], current.problem
        self.stale = 0 if best is current and last["accepted"] else self.stale + 1
        grown, kept, decision, reason = self._decide(current, last)
        if grown is None and self._goes_on(current, history):
            last |= {"decision": "train on", "reason": reason}
            here = torch.arange(current.network.n_parameters, device=current.network.theta.device)
            return Action("train", current.network, current, kept=here, problem=current.following)
        last |= {"decision": decision, "reason": reason}
        if grown is None:
            return None
        self.insertions += 1
        return Action(decision.split()[0], grown, current, kept=kept, problem=current.following)

    def measure(self, network: Network, row: dict[str, Any]) -> Sensitivity:
        """Return the merits of a network, and write them to its row of the history."""
        problem = self.problem
        if self.merit_samples is not None and self.merit_samples < problem.n_samples:
            problem = next(problem.batches(self.merit_samples, self.generator))
        found = sensitivity(network, problem, self.norm)
        row |= {"merits": found.merits, "merit_ratios": found.ratios, "merit_reference": found.reference}
        return found

    # decisions ---------------------------------------------------------------------------------------------

    def _goes_on(self, current: Trained, history: History) -> bool:
        """Whether the same network is to be trained on: the schedule waits, and training has moved last time."""
        last = history[-1]
        ended = self.schedule.finished(current.loss, self.insertions)
        stuck = last["action"] == "train" and not last["train_loss"] < history[last["parent"]]["train_loss"]
        return self.schedule.waits and not ended and not stuck and not self._out_of_patience()

    def _out_of_patience(self) -> bool:
        return self.patience is not None and self.stale >= self.patience

    def _decide(self, current: Trained, last: dict[str, Any]) -> tuple[Network | None, Tensor | None, str, str]:
        """Return the network to go on with, or None, the places of old parameters, the decision and its reason."""
        network = current.network
        found = self.measure(network, last)
        refused, self.stop_reason = None, None
        if last["action"] != "train" and not last["accepted"]:
            self.undone += 1
            self.waiting = self.undone + 1
        self.waiting = max(0, self.waiting - 1)
        if self.waiting:  # the longer, the more often
            refused, self.stop_reason = (
                "a change was undone, since the loss had not fallen below that before it",
                "undone",
            )
        elif self._out_of_patience():
            refused, self.stop_reason = f"{self.stale} stages without a better criterion", "criterion"
        elif self.schedule.finished(current.loss, self.insertions):
            refused, self.stop_reason = "the schedule has ended", "schedule"
        if refused is not None:
            return None, None, "end", refused
        return self._proposal(network, found)

    def extended(self, network: Network) -> tuple[Network, Tensor | None]:
        """Return the network with what pays inserted and the places of its parameters there, or as it is."""
        grown, kept, _, _ = self._proposal(network, self.measure(network, {}))
        return (network, None) if grown is None else (grown, kept)

    def _proposal(self, network: Network, found: Sensitivity) -> tuple[Network | None, Tensor | None, str, str]:
        points, reason = self._points(network, found)
        widening = self._widening(network) if self.widen and self.selection == "max" else None
        if widening is not None and widening.ratio < self.tau:
            reason += f"; new neurons have {widening.ratio:.3g} times the mean merit, below tau = {self.tau:g}"
            widening = None
        if widening is not None and points and self.action == "auto":
            insertion = found.decreases[points[0]] / found.gradients[points[0]].numel()
            if insertion >= widening.decrease / widening.cost:
                widening = None
            else:
                points = []
        return self._grown(network, points, widening, reason)

    def _points(self, network: Network, found: Sensitivity) -> tuple[list[int], str]:
        """Return the positions to insert at, best first, and why (or why there are none)."""
        count = len(found.merits)
        room = min(self.n_insert, self.max_layers - network.depth, count)
        if room <= 0:
            self.stop_reason = "max_layers"
            return [], f"there are max_layers = {self.max_layers} layers"
        if found.vanishing:
            self.stop_reason = "no_proposal"
            return [], (
                "all merits are zero up to rounding: at a stationary point no layer helps to first order "
                "(insert earlier, or train on other data)"
            )
        if self.selection == "random":
            order = torch.randperm(count, generator=self.generator).tolist()
            return order[:room], "chosen at random"
        order = sorted(range(count), key=lambda i: found.merits[i], reverse=self.selection == "max")[:room]
        ratios = found.ratios
        if self.selection == "min":
            return order, f"smallest merit, {ratios[order[0]]:.3g} times the mean"
        order = [i for i in order if ratios[i] >= self.tau]
        if not order:
            self.stop_reason = "tau"
            return [], f"the largest merit is {max(ratios):.3g} times the mean, below tau = {self.tau:g}"
        return order, f"largest merit, {ratios[order[0]]:.3g} times the mean"

    def _grown(
        self, network: Network, points: list[int], widening: NewNeurons | None, reason: str
    ) -> tuple[Network | None, Tensor | None, str, str]:
        if not points and widening is None:
            return None, None, "end", reason
        kept = torch.arange(network.n_parameters, device=network.theta.device)
        before, exact, decisions = network, network.inserts_exactly or not points, []
        if widening is not None:  # first, since insertion moves layers
            fan_out = network.shapes[network.hidden_maps[widening.layer] + 1][0]
            silent = widening.W.new_zeros(fan_out, len(widening.b))
            network, kept = widen(network, widening.layer, widening.W, widening.b, silent)
            decisions.append(f"widen hidden layer {widening.layer} by {len(widening.b)}")
            reason = f"new neurons have {widening.ratio:.3g} times the mean merit" + (f"; {reason}" if points else "")
        for point in sorted(points, reverse=True):  # from the back, so that earlier positions stay where they are
            network, moved = network.insert(point, self.problem.X)
            kept = moved[kept]
        if points:
            decisions.append("insert at " + ", ".join(str(point) for point in sorted(points)))
        if exact:
            self.problem.note_same_function(network, before)
        return network, kept, " and ".join(decisions), reason

    # widening ----------------------------------------------------------------------------------------------

    def _widening(self, network: Network) -> NewNeurons | None:
        """Return the best new neurons of any hidden layer, by first-order decrease per parameter."""
        found, columns = [], []
        for layer in range(len(network.hidden_maps)):
            inputs, E, basis = layer_problem(network, self.problem, layer)
            E = E * self.problem.g[:, None]
            columns.append((E.T @ basis[:, :-1]).square().sum(0))
            found.append(self._neurons(network, layer, inputs, E, basis))
        reference = float(torch.cat(columns).mean()) if sum(len(c) for c in columns) else 0.0
        best = max((w for w in found if w is not None), key=lambda w: w.decrease / w.cost, default=None)
        if best is None:
            return None
        ratio = best.decrease / len(best.b) / reference if reference > 0 else float("inf")
        return replace(best, ratio=ratio)

    def _neurons(self, network: Network, layer: int, inputs: Tensor, E: Tensor, basis: Tensor) -> NewNeurons | None:
        """Return the best new neurons of one hidden layer; ``E`` has sample weights."""
        i, g = network.hidden_maps[layer], self.problem.g
        room = min(self.block_size, self.max_neurons - network.shapes[i][0])
        if room <= 0 or 0 in (inputs.shape[1], E.shape[1]):
            return None
        block = self.search.search(
            inputs,
            torch.where(g[:, None] > 0, E / g[:, None], 0),
            g,
            network.activation,
            block_size=room,
            basis=basis,
            live=network.weights[i],
            generator=self.generator,
        )
        if block is None:
            return None
        W, b = block.W, block.b
        if network.activation.is_piecewise_linear:  # of the size of the neurons there are, so that merits compare
            size = torch.linalg.vector_norm(torch.cat([W, b[:, None]], 1), dim=1)
            usual = torch.linalg.vector_norm(torch.cat([network.weights[i], network.biases[i][:, None]], 1), dim=1)
            factor = usual.mean() / size if len(usual) and float(usual.mean()) > 0 else 1 / size
            W, b = W * factor[:, None], b * factor
        features = network.activation.value(torch.addmm(b, inputs, W.T))
        decrease = float((E.T @ features).square().sum())
        return NewNeurons(layer, W, b, 0.0, decrease, len(b) * (inputs.shape[1] + 1 + E.shape[1]))
