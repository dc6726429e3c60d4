"""What the layer-inserting estimators share: their parameters, and the network they start with."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from skgrow.estimators._architecture import ArchitectureNetwork

if TYPE_CHECKING:
    from skgrow.networks import Network


class InsertingNetwork(ArchitectureNetwork):
    """Base of the layer-inserting estimators."""

    _parameter_constraints: ClassVar[dict] = {
        "tau": [Interval(Real, 0, None, closed="left")],
        "norm": [StrOptions({"auto", "frobenius", "frobenius_scaled", "operator", "operator_2", "operator_1"})],
        "merit_samples": [None, Interval(Integral, 1, None, closed="left")],
        "selection": [StrOptions({"max", "min", "random"})],
        "n_insert": [Interval(Integral, 1, None, closed="left")],
        "max_layers": [Interval(Integral, 0, None, closed="left")],
        "widen": ["boolean"],
        "action": [StrOptions({"auto", "both"})],
        "block_size": [Interval(Integral, 1, None, closed="left")],
        "max_neurons": [Interval(Integral, 1, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "adaptive"})],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "new_layer_rate": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        **ArchitectureNetwork._parameter_constraints,
    }

    #: At the start, where none are given.
    _start: ClassVar[dict[str, tuple[int, ...]]] = {"mlp": (100,), "resnet": (100, 100), "cnn": ()}

    selection: str
    widen: bool
    new_layer_rate: float

    def _run(self) -> Any:
        from skgrow.estimators._insertion_run import InsertionRun

        return InsertionRun

    def _template(self, n_features: int, n_outputs: int) -> Network:
        """Return a network of the architecture at the start."""
        if self.widen and self.selection != "max":
            raise ValueError(f"widen=True needs selection='max'; got selection={self.selection!r}.")
        if self.new_layer_rate != 1 and self.solver not in ("adam", "sgd"):
            raise ValueError(
                "new_layer_rate is for solver='adam' or 'sgd'; got "
                f"new_layer_rate={self.new_layer_rate!r}, solver={self.solver!r}."
            )
        return super()._template(n_features, n_outputs)
