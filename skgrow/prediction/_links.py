"""From outputs to predictions: links, and probabilities and their logarithms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import expit, log_expit

#: Predictions from outputs, by the names that :attr:`skgrow.problem.Loss.link_name` gives.
LINKS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"identity": np.asarray, "exp": np.exp}


def log_softmax(F: np.ndarray) -> np.ndarray:
    """Return logarithms of probabilities that sum to one, shape (n, c)."""
    F = F - F.max(1, keepdims=True)
    return F - np.log(np.exp(F).sum(1, keepdims=True))


def probabilities(F: np.ndarray, *, of_classes: bool, logarithm: bool = False) -> np.ndarray:
    """Return probabilities, at least the smallest normal number, or their logarithms.

    Parameters
    ----------
    F : ndarray of shape (n, c)
        Logarithms of probabilities up to a constant, or log odds.
    of_classes : bool
        Whether they sum to one; else every one is that of a label.
    logarithm : bool, default=False
        Near one the logarithm of what is returned without, to the last bit; accurate also where probabilities are tiny.
    """
    if of_classes:
        logs = log_softmax(F)
        P = np.exp(logs)
        P /= P.sum(1, keepdims=True)
    else:
        P = expit(F)
    if logarithm:
        logs = logs if of_classes else log_expit(F)
        return np.where(P > 0.5, np.log(P, where=P > 0.5, out=np.zeros_like(P)), logs)
    return np.maximum(P, np.finfo(P.dtype).tiny)  # never zero: their logarithms are finite


def ramp(x: Any, low: Any, high: Any) -> Any:
    """Return the functions that rise from zero to one between two knots each: arrays, or tensors, that broadcast."""
    return ((x - low) / (high - low)).clip(0, 1)
