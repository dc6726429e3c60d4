"""What fitted skgrow networks have in common: arrays in MLPRegressor's layout, prediction, conversion."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skgrow.estimators._data import is_tensor, resolve_device, validate_X, writable

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from skgrow.networks import MLP


class FittedNetwork(BaseEstimator):
    """Holds a network as NumPy arrays ``coefs_`` (in, out) and ``intercepts_``, as MLPRegressor does."""

    activation_: str
    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]

    def _store_network(self, network: MLP, dtype: type) -> None:
        self.coefs_ = [W.T.to("cpu").numpy().astype(dtype, order="C") for W in network.weights]
        self.intercepts_ = [b.to("cpu").numpy().astype(dtype) for b in network.biases]
        self.architecture_ = network.layer_sizes
        self.n_layers_ = len(network.layer_sizes)
        self.n_outputs_ = network.layer_sizes[-1]
        self.out_activation_ = "identity"

    def _network(self, device: Any = "cpu", dtype: Any = None) -> MLP:
        """Return the fitted network on raw units."""
        import torch

        from skgrow.networks import MLP, Activation

        weights = [torch.as_tensor(W.T.copy(), device=device, dtype=dtype) for W in self.coefs_]
        biases = [torch.as_tensor(b.copy(), device=device, dtype=dtype) for b in self.intercepts_]
        return MLP.from_arrays(weights, biases, Activation(self.activation_, self._negative_slope))

    def to_torch(self) -> torch.nn.Sequential:
        """Return the fitted network as ``torch.nn.Sequential``, on raw inputs and targets.

        Returns
        -------
        torch.nn.Sequential
            Alternating ``nn.Linear`` and activation modules; maps (n, n_features) to (n, n_outputs).
        """
        from skgrow.networks import to_torch

        check_is_fitted(self)
        return to_torch(self._network())

    def _prediction_input(self, X: Any) -> tuple[Tensor, MLP]:
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


def as_given(result: Tensor, X: Any) -> Any:
    """Return a result as a tensor where X was one, else as an array."""
    return result if is_tensor(X) else result.to("cpu").numpy()
