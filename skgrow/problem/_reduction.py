"""The one place where sums over samples are formed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

#: Bytes that a chunk of rows may take while a sum is formed, by device type. On a CPU a chunk should stay
#: near the caches; on an accelerator it should fill the machine.
CHUNK_BYTES = {"cpu": 2**25, "cuda": 2**30, "mps": 2**28}


def sum_over_samples(
    function: Callable[..., tuple[Tensor, ...]], *arrays: Tensor, bytes_per_row: int
) -> tuple[Tensor, ...]:
    """Return the sum of ``function(*chunk_of_arrays)`` over chunks of rows bounded by a memory budget.

    Gradients, Gram matrices, scores and losses all go through here: with samples spread over processes, one
    ``all_reduce`` of the results at this place makes each of them exact.

    Parameters
    ----------
    function : callable
        Takes equally long chunks of ``arrays`` and returns a tuple of tensors that add up.
    *arrays : Tensor of shape (n, ...)
        Cut along the first axis.
    bytes_per_row : int
        Memory that ``function`` needs per row.
    """
    n = arrays[0].shape[0]
    budget = CHUNK_BYTES.get(arrays[0].device.type, CHUNK_BYTES["cpu"])
    rows = max(1, min(n, budget // max(1, bytes_per_row)))
    if rows == n:
        return function(*arrays)
    total = function(*(array[:rows] for array in arrays))
    for start in range(rows, n, rows):
        part = function(*(array[start : start + rows] for array in arrays))
        total = tuple(t + p for t, p in zip(total, part, strict=True))
    return total


def gram_matrix(rows: Tensor) -> Tensor:
    """Return ``rows.T @ rows``; on a CPU by NumPy, which leaves out the half that symmetry gives."""
    if rows.device.type != "cpu":
        return rows.T @ rows
    array = rows.numpy()
    with np.errstate(all="ignore"):  # not finite: the callers' business, as with PyTorch
        return torch.from_numpy(array.T @ array)
