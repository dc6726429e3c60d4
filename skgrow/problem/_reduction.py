"""The one place where sums over samples are formed, and where the size of every chunk is decided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

#: Bytes that a chunk of rows may take while a sum is formed, by device type. On a CPU a chunk should stay
#: near the caches; on an accelerator it should fill the machine (decision 13).
CHUNK_BYTES = {"cpu": 2**25, "cuda": 2**30, "mps": 2**28}


@dataclass(frozen=True)
class ChunkBudgets:
    """What other chunks may take; like :data:`CHUNK_BYTES` they bound memory, and sums depend on them in rounding.

    Attributes
    ----------
    candidate_chunks : int
        Chunks of :data:`CHUNK_BYTES` that the features of candidate neurons may take together (decision 13).
    feature_values : int
        Features of neurons, one a sample, whose polar values are taken together (decision 13).
    arc_values : int
        Numbers that the matrices on the arcs of circles may have together (decision 13).
    output_values : int
        Numbers that a forward pass may leave behind if outputs are all that is wanted (decision 13).
    tangents : int
        Directions along which an operator is differentiated together (decision 13).
    curvature_rows : int
        Rows whose means are the Kronecker factors of a network of given layers (decision 32).
    """

    candidate_chunks: int = 4
    feature_values: int = 2**22
    arc_values: int = 2**20
    output_values: int = 2**22
    tangents: int = 64
    curvature_rows: int = 2000


CHUNKS = ChunkBudgets()


def rows_per_chunk(device_type: str, bytes_per_row: int, chunks: int = 1) -> int:
    """Return how many rows, at least one, take no more than so many chunks of :data:`CHUNK_BYTES`."""
    return max(1, chunks * CHUNK_BYTES.get(device_type, CHUNK_BYTES["cpu"]) // max(1, bytes_per_row))


def rows_within(values: int, values_per_row: int) -> int:
    """Return how many rows, at least one, have no more than so many values."""
    return max(1, values // values_per_row)


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
    rows = max(1, min(n, rows_per_chunk(arrays[0].device.type, bytes_per_row)))
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
