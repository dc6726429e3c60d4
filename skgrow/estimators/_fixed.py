"""What the estimators of fixed layers share: their parameters."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from skgrow.estimators._trained import TrainedNetwork


class FixedNetwork(TrainedNetwork):
    """Base of the estimators of fixed layers."""

    _parameter_constraints: ClassVar[dict] = {
        **{name: c for name, c in TrainedNetwork._parameter_constraints.items() if name != "schedule"},
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"relu", "leaky_relu", "tanh", "logistic", "identity"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "adaptive"})],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "stage_epochs": [Interval(Integral, 1, None, closed="left")],
        "report_layers": ["boolean"],
        "early_stopping": ["boolean"],
    }

    def _run(self) -> Any:
        from skgrow.estimators._fixed_run import FixedRun

        return FixedRun

    def _hidden_layer_sizes(self) -> tuple[int, ...]:
        given = self.hidden_layer_sizes
        sizes = np.atleast_1d(np.asarray(given))
        if sizes.ndim != 1 or (len(sizes) and sizes.dtype.kind not in "iu") or np.any(sizes < 1):
            raise ValueError(f"hidden_layer_sizes must be widths >= 1; got {given!r}.")
        return tuple(int(size) for size in sizes)
