"""Networks as values (a parameter vector with a shape) and function-preserving surgery on them."""

from skgrow.networks._architectures import Architecture, CNNArchitecture, MLPArchitecture, ResNetArchitecture
from skgrow.networks._convert import ByColumns, Residual, from_layout, from_torch, layout_of, to_torch
from skgrow.networks._convnet import CONVOLUTION_ACTIVATIONS, ConvNet
from skgrow.networks._identity import IdentityLike
from skgrow.networks._merge import merge
from skgrow.networks._mlp import MLP
from skgrow.networks._network import LayerPass, Network, glorot, map_gradient, patches
from skgrow.networks._resnet import ResNet
from skgrow.networks._surgery import (
    average,
    direct_sum,
    from_standardized,
    linear,
    positions,
    prune,
    scale,
    summands,
    widen,
    with_inputs,
    without_outer_kinks,
)
from skgrow.prediction import ACTIVATIONS, Activation, ByLayer, SideBySide

__all__ = [
    "ACTIVATIONS",
    "CONVOLUTION_ACTIVATIONS",
    "MLP",
    "Activation",
    "Architecture",
    "ByColumns",
    "ByLayer",
    "CNNArchitecture",
    "ConvNet",
    "IdentityLike",
    "LayerPass",
    "MLPArchitecture",
    "Network",
    "ResNet",
    "ResNetArchitecture",
    "Residual",
    "SideBySide",
    "average",
    "direct_sum",
    "from_layout",
    "from_standardized",
    "from_torch",
    "glorot",
    "layout_of",
    "linear",
    "map_gradient",
    "merge",
    "patches",
    "positions",
    "prune",
    "scale",
    "summands",
    "to_torch",
    "widen",
    "with_inputs",
    "without_outer_kinks",
]
