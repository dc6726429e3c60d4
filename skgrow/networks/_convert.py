"""To and from ``torch.nn``."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from skgrow.networks._activations import Activation
from skgrow.networks._mlp import MLP

_MODULES = {"identity": nn.Identity, "logistic": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}


def to_torch(network: MLP) -> nn.Sequential:
    """Return the network as ``nn.Sequential`` of ``nn.Linear`` and activations, with copied parameters."""
    layers: list[nn.Module] = []
    for W, b in zip(network.weights, network.biases, strict=True):
        linear = nn.utils.skip_init(nn.Linear, W.shape[1], W.shape[0], dtype=W.dtype, device=W.device)
        with torch.no_grad():
            linear.weight.copy_(W)
            linear.bias.copy_(b)
        layers += [linear, _activation_module(network.activation)]
    return nn.Sequential(*layers[:-1])


def _activation_module(activation: Activation) -> nn.Module:
    if activation.name == "leaky_relu":
        return nn.LeakyReLU(activation.slope)
    return _MODULES[activation.name]()


def from_torch(module: nn.Sequential) -> MLP:
    """Return an :class:`MLP` with the parameters (copied) of alternating ``nn.Linear`` and activation modules.

    Raises
    ------
    ValueError
        If the module is not of that form, or mixes activations.
    """
    layers = list(module)
    linears, others = layers[::2], layers[1::2]
    if not layers or len(layers) % 2 == 0 or not all(isinstance(layer, nn.Linear) for layer in linears):
        raise ValueError(f"module must alternate nn.Linear and activations and end with nn.Linear; got {module}.")
    names = {kind: name for name, kind in _MODULES.items()} | {nn.LeakyReLU: "leaky_relu"}
    found = {names.get(type(other), type(other).__name__) for other in others} or {"identity"}
    if len(found) > 1 or not found <= set(names.values()):
        raise ValueError(f"module must have one activation among {sorted(names.values())}; got {sorted(found)}.")
    slopes = {float(getattr(other, "negative_slope", 0.01)) for other in others} or {0.01}
    if len(slopes) > 1:
        raise ValueError(f"module must have one negative_slope; got {sorted(slopes)}.")
    weights = [cast(Tensor, layer.weight).detach().clone() for layer in linears]
    biases = [W.new_zeros(len(W)) for W in weights]
    for b, layer in zip(biases, linears, strict=True):
        if layer.bias is not None:
            b.copy_(cast(Tensor, layer.bias).detach())
    return MLP.from_arrays(weights, biases, Activation(found.pop(), slopes.pop()))
