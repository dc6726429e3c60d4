"""What the growing estimators share: their parameters."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from skgrow.estimators._trained import TrainedNetwork


class GrowingNetwork(TrainedNetwork):
    """Base of the growing estimators."""

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 0, None, closed="left")],
        "activation": [StrOptions({"auto", "relu", "leaky_relu", "tanh", "logistic"})],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "criterion": [StrOptions({"loo", "gcv", "evidence"})],
        "search": [StrOptions({"polar", "random", "gradmax", "firefly"}), HasMethods(["search"])],
        "grow_layer": [StrOptions({"last", "all", "best"})],
        "block_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_neurons": [Interval(Integral, 0, None, closed="left")],
        "max_extensions": [None, Interval(Integral, 1, None, closed="left")],
        "max_stages": [Interval(Integral, 0, None, closed="left")],
        "n_exchanges": [Interval(Integral, 0, None, closed="left")],
        "merge_tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        **TrainedNetwork._parameter_constraints,
    }

    @property
    def hidden_activations_(self) -> list[np.ndarray]:
        """Name of the activation of every hidden neuron, layer by layer."""
        names, bounds = self.activation_.split("+"), self._layout.get("bounds", ())
        return [np.repeat(names, np.diff([0, *bounds, width])) for width in self.architecture_[1:-1]]

    def _run(self) -> Any:
        from skgrow.estimators._growth_run import GrowthRun

        return GrowthRun

    def _hidden_layer_sizes(self) -> tuple[int, ...]:
        """Return the widths at the start, one number or more."""
        given = self.hidden_layer_sizes
        sizes = np.atleast_1d(np.asarray(given))
        if sizes.ndim != 1 or not len(sizes) or sizes.dtype.kind not in "iu" or np.any(sizes < 0):
            raise ValueError(f"hidden_layer_sizes must be one or more widths >= 0; got {given!r}.")
        if np.any(sizes[:-1] == 0):
            raise ValueError(
                f"hidden_layer_sizes: only the last hidden layer may start without neurons; got {given!r}."
            )
        return tuple(int(size) for size in sizes)
