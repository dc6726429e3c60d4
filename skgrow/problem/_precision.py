"""Numbers that a precision has not: what takes the place of zero, and of those beyond the largest."""

from __future__ import annotations

import torch

from skgrow._tolerances import TINY, TINY_SINGLE


def tiny(dtype: torch.dtype) -> float:
    """Return what takes the place of zero in numbers of a precision."""
    return TINY if dtype == torch.float64 else TINY_SINGLE


def bounded(value: float, dtype: torch.dtype) -> float:
    """Return a number, not negative, or the largest one that the precision has: PyTorch refuses larger ones."""
    return min(value, torch.finfo(dtype).max)
