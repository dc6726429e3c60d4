"""The layer pass of a stored network on arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from skgrow.prediction._activations import Activation

#: Numbers that a pass may leave behind at a time. It bounds memory; chunks that stay in a cache are faster, too.
PASS_VALUES = 2**16


@dataclass(frozen=True, slots=True)
class ArrayNetwork:
    """A network without convolutions, as NumPy arrays.

    Parameters
    ----------
    weights : sequence of ndarray
        Of all maps, shape (in, out).
    biases : sequence of ndarray
        Shape (out,), or (0,) of a map without.
    activation : Activation
        Of the hidden layers.
    residual : bool, default=False
        Whether pairs of maps between the first and the last are blocks, see :class:`skgrow.networks.ResNet`.
    """

    weights: Sequence[np.ndarray]
    biases: Sequence[np.ndarray]
    activation: Activation
    residual: bool = False

    def __call__(self, X: np.ndarray) -> np.ndarray:
        """Return the output, shape (n, c), in the type of X."""
        with np.errstate(all="ignore"):  # not finite: the callers' business, as with PyTorch
            chunks = [self._output(X[rows].T) for rows in rows_of(len(X), sum(map(len, self.weights)))]
        return chunks[0].T if len(chunks) == 1 else np.concatenate(chunks, 1).T

    def _output(self, H: np.ndarray) -> np.ndarray:
        """Return the output for inputs of shape (d, n), in its layout: what neurons share lies side by side."""
        last = len(self.weights) - 1
        if not self.residual:
            for i in range(last):
                H = self._map(i, H)
                self.activation.of_layer(i).apply(H)
            return self._map(last, H)
        state = self._map(0, H)
        for i in range(1, last, 2):
            H = self._map(i, state)
            self.activation.apply(H)
            state += self._map(i + 1, H)
        return self._map(last, state)

    def _map(self, i: int, H: np.ndarray) -> np.ndarray:
        Z = self.weights[i].T @ H
        if len(self.biases[i]):
            Z += self.biases[i][:, None]
        return Z

    def jacobians(self, X: np.ndarray, n_last: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield for every output its values, its derivatives by the last parameters, and by the first map's biases.

        Of networks without blocks. Parameters are in the order of :class:`skgrow.networks.Network`: map by map the
        weights of every neuron, then the biases.

        Parameters
        ----------
        X : ndarray of shape (n, n_inputs)
            Inputs.
        n_last : int
            Number of parameters.

        Yields
        ------
        output : ndarray of shape (n,)
        jacobian : ndarray of shape (n_last, n)
        of_biases : ndarray of shape (width, n)
        """
        n, inputs, slopes = len(X), [np.ascontiguousarray(X.T)], []
        for i in range(len(self.weights) - 1):
            H, activation = self._map(i, inputs[-1]), self.activation.of_layer(i)
            activation.apply(H)
            inputs.append(H)
            slopes.append(activation.slopes(H))
        output = self._map(-1, inputs[-1])
        for k in range(len(output)):
            delta = np.zeros_like(output)
            delta[k] = 1.0
            deltas = [delta]
            for W, slope in zip(reversed(self.weights[1:]), reversed(slopes), strict=True):
                deltas.append(W @ deltas[-1] * slope)
            parts: list[np.ndarray] = []
            for d, x in zip(deltas, reversed(inputs), strict=True):
                if sum(map(len, parts)) < n_last:
                    parts = [(d[:, None] * x).reshape(-1, n), d, *parts]
            yield output[k], np.concatenate(parts)[-n_last:], deltas[-1]


def rows_of(n: int, values_per_row: int) -> list[slice]:
    """Return chunks of n rows that have at most :data:`PASS_VALUES` numbers, or one row each."""
    step = max(1, PASS_VALUES // max(1, values_per_row))
    return [slice(start, start + step) for start in range(0, n, step)]
