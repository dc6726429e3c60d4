"""To and from ``torch.nn``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from skgrow.networks._activations import Activation
from skgrow.networks._convnet import ConvNet
from skgrow.networks._mlp import MLP
from skgrow.networks._network import Network
from skgrow.networks._resnet import ResNet

_MODULES = {"identity": nn.Identity, "logistic": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}


def to_torch(network: Network) -> nn.Sequential:
    """Return the network as ``nn.Sequential`` of PyTorch's own layers, with copied parameters.

    An :class:`MLP` alternates ``nn.Linear`` and activations; a :class:`ResNet` has :class:`Residual` blocks between two
    ``nn.Linear``; a :class:`ConvNet` starts with ``nn.Unflatten``, and standardizes images by an ``nn.BatchNorm2d`` in
    evaluation mode.
    """
    network = network.folded()
    maps = [_map_module(W, b) for W, b in zip(network.weights, network.biases, strict=True)]
    if isinstance(network, ResNet):
        pairs = zip(maps[1:-1:2], maps[2:-1:2], strict=True)
        blocks = [Residual(inner, _activation_module(network.activation), outer) for inner, outer in pairs]
        return nn.Sequential(maps[0], *blocks, maps[-1])
    layers: list[nn.Module] = []
    if isinstance(network, ConvNet):
        layers += _image_modules(network)
    for i, layer in enumerate(maps[:-1]):
        layers += [layer, _activation_module(network.activation)]
        if isinstance(network, ConvNet):
            if i in network.pooled:
                layers.append(nn.MaxPool2d(2))
            if i == network.n_convolutions - 1:
                layers.append(nn.Flatten())
    return nn.Sequential(*layers, maps[-1])


class Residual(nn.Sequential):
    """Adds to its input what its modules make of it."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` plus the output of the modules."""
        return x + super().forward(x)


def _map_module(W: Tensor, b: Tensor) -> nn.Module:
    settings: dict[str, Any] = {"bias": len(b) > 0, "dtype": W.dtype, "device": W.device}
    module: nn.Linear | nn.Conv2d
    if W.ndim == 2:
        module = nn.utils.skip_init(nn.Linear, W.shape[1], W.shape[0], **settings)
    else:
        module = nn.utils.skip_init(nn.Conv2d, W.shape[1], W.shape[0], 3, padding=1, **settings)
    with torch.no_grad():
        module.weight.copy_(W)
        if module.bias is not None:
            module.bias.copy_(b)
    return module


def _image_modules(network: ConvNet) -> list[nn.Module]:
    modules: list[nn.Module] = [nn.Unflatten(1, network.image_shape)]
    if network.units is not None:
        mean, scale = network.units
        norm = nn.BatchNorm2d(len(mean), eps=0.0, momentum=0.0, affine=False, dtype=mean.dtype, device=mean.device)
        cast(Tensor, norm.running_mean).copy_(mean)
        cast(Tensor, norm.running_var).copy_(scale.square())
        modules.append(norm.eval())
    return modules


def _activation_module(activation: Activation) -> nn.Module:
    if activation.name == "leaky_relu":
        return nn.LeakyReLU(activation.slope)
    return _MODULES[activation.name]()


def layout_of(network: Network) -> dict[str, Any]:
    """Return in plain Python what, beside arrays and activation, makes a network: see :func:`from_layout`."""
    if isinstance(network, ResNet):
        return {"architecture": "resnet"}
    if not isinstance(network, ConvNet):
        return {"architecture": "mlp"}
    units = None
    if network.units is not None:
        units = tuple(unit.to("cpu").numpy() for unit in network.units)
    lengths = tuple(len(stage) for stage in network.stages)
    return {"architecture": "cnn", "image_shape": network.image_shape, "stages": lengths, "units": units}


def from_layout(
    layout: dict[str, Any], weights: Sequence[Tensor], biases: Sequence[Tensor], activation: Activation
) -> Network:
    """Return the network of given arrays (biases of length 0 where there are none) and :func:`layout_of`."""
    if layout["architecture"] == "mlp":
        return MLP.from_arrays(weights, biases, activation)
    if layout["architecture"] == "resnet":
        return ResNet.from_arrays(weights, biases, activation)
    units = layout["units"]
    if units is not None:
        units = tuple(torch.as_tensor(unit).to(weights[0]) for unit in units)
    return ConvNet.from_arrays(layout["image_shape"], layout["stages"], weights, biases, activation, units)


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
