"""SensLI: layers inserted where the loss is most sensitive to them."""

from skgrow.insertion._policy import InsertionPolicy
from skgrow.insertion._sensitivity import NORMS, Sensitivity, gradient_norm, sensitivity
from skgrow.insertion._train import InsertionSettings, Selection, Widening, insert, train

__all__ = [
    "NORMS",
    "InsertionPolicy",
    "InsertionSettings",
    "Selection",
    "Sensitivity",
    "Widening",
    "gradient_norm",
    "insert",
    "sensitivity",
    "train",
]
