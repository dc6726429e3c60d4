"""What the user of growth has set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skgrow.criteria import Criterion
from skgrow.growth._ensemble import Structure
from skgrow.growth._search import Search
from skgrow.networks import Activation
from skgrow.problem import Penalty
from skgrow.training import Settings


@dataclass(frozen=True, kw_only=True)
class GrowthSettings(Settings):
    """Settings of growth; see :class:`~skgrow.GrowingRegressor`.

    Parameters
    ----------
    activations : sequence of Activation
        One network is grown for each.
    averages : bool
        Whether they are averaged, with the linear model as a further candidate.
    sizes : tuple of int
        Widths at the start.
    penalty : Penalty
        Its strength is ``alpha``.
    certifies : bool
        Whether the path-norm problem is solved, to certified optimality.
    criterion : Criterion
        Judges networks if there are no validation data.
    search : Search
        Finds new neurons.
    grow_layer, block_size, max_neurons, patience, min_decrease
        See :class:`GrowthPolicy`.
    max_iter : int
        Iterations of a stage.
    n_members : int
        Of an ensemble.
    n_jobs : int or None
        Processes for them.
    structure : sequence
        Of the network that training goes on from, see :data:`Structure`; empty if it is that of one member.
    """

    activations: Sequence[Activation]
    averages: bool
    sizes: tuple[int, ...]
    penalty: Penalty
    certifies: bool
    criterion: Criterion
    search: Search
    grow_layer: str
    block_size: Any
    max_neurons: int
    patience: int
    min_decrease: float
    max_iter: int
    n_members: int = 1
    n_jobs: int | None = None
    structure: Structure = ()

    def work(self, n: int, d: int, c: int) -> float:
        """Return about how many operations a pass over the data takes."""
        return 2.0 * n * (d + c) * self.max_neurons
