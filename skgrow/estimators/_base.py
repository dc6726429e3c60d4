"""What fitted skgrow networks have in common: arrays in MLPRegressor's layout, prediction, conversion."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skgrow.estimators._data import is_tensor, resolve_device, validate_X, writable

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from skgrow.networks import Network


class FittedNetwork(BaseEstimator):
    """Holds a network as NumPy arrays ``coefs_`` (in, out) and ``intercepts_``, as MLPRegressor does."""

    activation_: str
    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]

    #: What a copy of the estimator needs to predict.
    _network_names: ClassVar[tuple[str, ...]] = (
        "coefs_",
        "intercepts_",
        "activation_",
        "architecture_",
        "n_layers_",
        "n_outputs_",
        "_negative_slope",
        "_layout",
    )

    def _store_network(self, network: Network, dtype: type) -> None:
        for name, value in network_attributes(network, dtype).items():
            setattr(self, name, value)
        self.out_activation_ = "identity"

    def _network(self, device: Any = "cpu", dtype: Any = None) -> Network:
        """Return the fitted network on raw units."""
        import torch

        from skgrow.networks import from_layout

        arrays = [a.T if a.ndim == 2 else a for a in self.coefs_]
        weights = [torch.as_tensor(a.copy(), device=device, dtype=dtype) for a in arrays]
        biases = [torch.as_tensor(b.copy(), device=device, dtype=dtype) for b in self.intercepts_]
        return from_layout(self._layout, weights, biases, self.activation_, self._negative_slope)

    def to_torch(self) -> torch.nn.Sequential:
        """Return the fitted network as ``torch.nn.Sequential``, on raw inputs and targets.

        Returns
        -------
        torch.nn.Sequential
            Of PyTorch's own layers as far as there are such, see :func:`skgrow.networks.to_torch`; maps
            (n, n_features) to (n, n_outputs).
        """
        from skgrow.networks import to_torch

        check_is_fitted(self)
        return to_torch(self._network())

    def _prediction_input(self, X: Any) -> tuple[Tensor, Network]:
        """Return validated X as a tensor on the device of prediction, and the network there."""
        import torch

        check_is_fitted(self)
        X = validate_X(self, X, reset=False)
        device = X.device if is_tensor(X) else torch.device("cpu")
        if not is_tensor(X) and self.device != "auto":
            with suppress(ValueError):  # fitted on a machine with another device: the CPU will do
                device = resolve_device(self.device, 0.0)
        if device.type == "mps":
            X = X.to(torch.float32) if is_tensor(X) else X.astype(np.float32)
        tensor = torch.as_tensor(writable(X), device=device)
        return tensor, self._network(device, tensor.dtype)


def network_attributes(network: Network, dtype: type) -> dict[str, Any]:
    """Return what an estimator stores of a network: NumPy arrays, numbers and names."""
    from skgrow.networks import layout_of

    network = network.folded()
    arrays = [W.T if W.ndim == 2 else W for W in network.weights]
    return {
        "coefs_": [W.to("cpu").numpy().astype(dtype, order="C") for W in arrays],
        "intercepts_": [b.to("cpu").numpy().astype(dtype) for b in network.biases],
        "activation_": network.activation.name,
        "architecture_": network.layer_sizes,
        "n_layers_": len(network.weights) + 1,
        "n_outputs_": network.layer_sizes[-1],
        "_negative_slope": network.activation.slope,
        "_layout": layout_of(network),
    }


def as_given(result: Tensor, X: Any) -> Any:
    """Return a result as a tensor where X was one, else as an array."""
    return result if is_tensor(X) else result.to("cpu").numpy()
