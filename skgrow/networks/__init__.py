"""Networks as values (a parameter vector with a shape) and function-preserving surgery on them."""

from skgrow.networks._activations import ACTIVATIONS, Activation
from skgrow.networks._convert import from_torch, to_torch
from skgrow.networks._merge import merge
from skgrow.networks._mlp import MLP, LayerPass
from skgrow.networks._surgery import direct_sum, from_standardized, positions, prune, scale, widen

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Activation",
    "LayerPass",
    "direct_sum",
    "from_standardized",
    "from_torch",
    "merge",
    "positions",
    "prune",
    "scale",
    "to_torch",
    "widen",
]
