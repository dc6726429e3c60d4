"""What a stored network says of arrays, by NumPy alone: activations, the layer pass, links, standard deviations."""

from skgrow.prediction._activations import ACTIVATIONS, Activation, ByLayer, SideBySide, activation_named
from skgrow.prediction._array_network import ArrayNetwork, rows_of
from skgrow.prediction._deviation import encoded, packed, standard_deviation, unpacked
from skgrow.prediction._links import LINKS, log_softmax, probabilities, ramp

__all__ = [
    "ACTIVATIONS",
    "LINKS",
    "Activation",
    "ArrayNetwork",
    "ByLayer",
    "SideBySide",
    "activation_named",
    "encoded",
    "log_softmax",
    "packed",
    "probabilities",
    "ramp",
    "rows_of",
    "standard_deviation",
    "unpacked",
]
