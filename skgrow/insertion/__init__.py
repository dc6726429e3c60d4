"""SensLI: layers inserted where the loss is most sensitive to them."""

from skgrow.insertion._policy import InsertionPolicy
from skgrow.insertion._sensitivity import NORMS, Sensitivity, gradient_norm, sensitivity

__all__ = [
    "NORMS",
    "InsertionPolicy",
    "Sensitivity",
    "gradient_norm",
    "sensitivity",
]
