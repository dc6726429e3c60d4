"""To and from ``torch.nn``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from skgrow.networks._convnet import ConvNet
from skgrow.networks._mlp import MLP
from skgrow.networks._network import Network
from skgrow.networks._resnet import ResNet
from skgrow.prediction import Activation, ByLayer, SideBySide, activation_named

_MODULES = {"identity": nn.Identity, "logistic": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}
_NAMES: dict[type[nn.Module], str] = {kind: name for name, kind in _MODULES.items()} | {nn.LeakyReLU: "leaky_relu"}


def to_torch(network: Network) -> nn.Sequential:
    """Return the network as ``nn.Sequential`` of PyTorch's own layers, with copied parameters.

    An :class:`MLP` alternates ``nn.Linear`` and activations, if several of them share a layer :class:`ByColumns`; a
    :class:`ResNet` has :class:`Residual` blocks between two ``nn.Linear``; a :class:`ConvNet` starts with
    ``nn.Unflatten``, and standardizes images by an ``nn.BatchNorm2d`` in evaluation mode.
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
        layers += [layer, _activation_module(network.activation.of_layer(i))]
        if isinstance(network, ConvNet):
            if i in network.pooled:
                layers.append(nn.MaxPool2d(2))
            if i == network.n_convolutions - 1:
                layers.append(nn.Flatten())
    return nn.Sequential(*layers, maps[-1])


class ByColumns(nn.Module):
    """Applies modules to columns: to every one those from its bound to the next one's.

    Parameters
    ----------
    parts : sequence of nn.Module
        Of one row and column at a time.
    bounds : sequence of int
        First columns of all modules but the first.
    """

    def __init__(self, parts: Sequence[nn.Module], bounds: Sequence[int]) -> None:
        super().__init__()
        self.parts, self.bounds = nn.ModuleList(parts), tuple(bounds)

    def forward(self, x: Tensor) -> Tensor:
        """Return the columns one beside the other."""
        pieces = torch.tensor_split(x, self.bounds, -1)
        return torch.cat([part(piece) for part, piece in zip(self.parts, pieces, strict=True)], -1)

    def extra_repr(self) -> str:
        """Return where the columns are cut."""
        return f"bounds={self.bounds}"


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
    if isinstance(activation, SideBySide):
        return ByColumns([_activation_module(part) for part in activation.parts], activation.bounds)
    if activation.name == "leaky_relu":
        return nn.LeakyReLU(activation.slope)
    return _MODULES[activation.name]()


def layout_of(network: Network) -> dict[str, Any]:
    """Return in plain Python what, beside arrays and activation, makes a network: see :func:`from_layout`."""
    if isinstance(network, ResNet):
        return {"architecture": "resnet"}
    if not isinstance(network, ConvNet):
        activation = network.activation
        layers = (activation.first, activation.rest) if isinstance(activation, ByLayer) else (activation,)
        return {"architecture": "mlp", "bounds": tuple(layer.bounds for layer in layers)}
    units = None
    if network.units is not None:
        units = tuple(unit.to("cpu").numpy() for unit in network.units)
    lengths = tuple(len(stage) for stage in network.stages)
    return {"architecture": "cnn", "image_shape": network.image_shape, "stages": lengths, "units": units}


def from_layout(
    layout: dict[str, Any], weights: Sequence[Tensor], biases: Sequence[Tensor], name: str, slope: float
) -> Network:
    """Return the network of given arrays (biases of length 0 if there are none), activation and layout."""
    if layout["architecture"] == "mlp":
        return MLP.from_arrays(weights, biases, activation_named(name, slope, layout["bounds"]))
    activation = Activation(name, slope)
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
        If the module is not of that form, or mixes activations. Several can share the first layer (:class:`ByColumns`)
        and the last of two.
    """
    layers = list(module)
    linears, others = layers[::2], layers[1::2]
    if not layers or len(layers) % 2 == 0 or not all(isinstance(layer, nn.Linear) for layer in linears):
        raise ValueError(f"module must alternate nn.Linear and activations and end with nn.Linear; got {module}.")
    activations = [_activation_of(other) for other in others] or [Activation("identity")]
    if len(activations) > 2 and any(isinstance(activation, SideBySide) for activation in activations[1:]):
        raise ValueError(f"module must have two hidden layers at most if several activations share one; got {module}.")
    first, rest = activations[0], list(dict.fromkeys(activations[1:]))
    if len(rest) > 1 or (rest and rest[0] != first and not isinstance(first, SideBySide)):
        names = [activation.name for activation in activations]
        if len(set(names)) > 1:
            raise _not_one_activation(names)
        slopes = sorted({activation.slope for activation in activations})
        raise ValueError(f"module must have one negative_slope; got {slopes}.")
    weights = [cast(Tensor, layer.weight).detach().clone() for layer in linears]
    biases = [W.new_zeros(len(W)) for W in weights]
    for b, layer in zip(biases, linears, strict=True):
        if layer.bias is not None:
            b.copy_(cast(Tensor, layer.bias).detach())
    return MLP.from_arrays(weights, biases, ByLayer(first, rest[0]) if rest and rest[0] != first else first)


def _activation_of(module: nn.Module) -> Activation:
    """Return the activation that :func:`_activation_module` makes the module of."""
    if isinstance(module, ByColumns):
        return SideBySide([_activation_of(part) for part in module.parts], module.bounds)
    if type(module) not in _NAMES:
        raise _not_one_activation([type(module).__name__])
    return Activation(_NAMES[type(module)], getattr(module, "negative_slope", Activation.slope))


def _not_one_activation(found: Iterable[str]) -> ValueError:
    return ValueError(f"module must have one activation among {sorted(_NAMES.values())}; got {sorted(found)}.")
