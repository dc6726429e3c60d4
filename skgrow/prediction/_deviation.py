"""Deviations of predictions, from the Laplace approximation at a grown network or an average of several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from skgrow.prediction._activations import Activation
from skgrow.prediction._array_network import ArrayNetwork, rows_of
from skgrow.prediction._links import ramp


def standard_deviation(
    network: ArrayNetwork,
    scaling: Sequence[np.ndarray],
    coordinates: dict[str, np.ndarray] | None,
    members: Sequence[dict[str, Any]],
    noise: np.ndarray,
    X: np.ndarray,
) -> np.ndarray:
    """Return the deviation of y: of an average the mean of its activations', seen from the average, and noise.

    The formula of Buckland, Burnham and Augustin (1997), which takes their errors for wholly correlated. Of several
    networks of an activation, members of an ensemble, the variance is the larger one of the mean of their variances and
    of that by which they differ: members are samples of the posterior, so both are the same thing, as far as the
    posterior is the normal distribution around one optimum.

    Parameters
    ----------
    network : ArrayNetwork
        On raw units.
    scaling : sequence of ndarray
        Means and scales of the inputs, and of the targets, in training.
    coordinates : dict of ndarray or None
        On which members were trained, see :meth:`skgrow.problem.Coordinates.arrays`; of weights that these do not tell
        no sample says anything, and there is but the prior.
    members : sequence of dict
        What is known of each network of the average, see :meth:`skgrow.growth.Member.posterior`.
    noise : ndarray of shape (c,)
        Variance of the noise.
    X : ndarray of shape (n, d)
        Raw inputs.

    Returns
    -------
    ndarray of shape (n, c)
    """
    y_mean, y_scale = scaling[2:]
    known = [(member, _network_of(member), unpacked(member["root"])) for member in members]
    found = []
    with np.errstate(all="ignore"):
        for rows in rows_of(len(X), 2 * max(len(root) for *_, root in known)):
            Z, unseen = encoded(X[rows], scaling, coordinates)
            mean = (network(X[rows]) - y_mean) / y_scale
            kinds: dict[tuple[str, int], list[tuple[float, np.ndarray, np.ndarray]]] = {}
            for member, alone, root in known:
                outputs = [
                    (F, np.square(root.T @ J).sum(0) + member["unseen"] * unseen * np.square(d).sum(0))
                    for F, J, d in alone.jacobians(Z[:, : len(alone.weights[0])], len(root))
                ]
                F, variance = (np.stack(column, 1) for column in zip(*outputs, strict=True))
                kind = alone.activation.name, len(alone.weights[0])
                kinds.setdefault(kind, []).append((member["share"], F, variance))
            found.append(np.sqrt(np.square(_deviation(kinds.values(), mean) * y_scale) + noise))
    return np.concatenate(found)


def _deviation(kinds: Any, mean: np.ndarray) -> np.ndarray:
    """Return the deviation of the average, in units of training."""
    deviation = np.zeros_like(mean)
    for alike in kinds:
        shares, outputs, variances = (np.stack(column) for column in zip(*alike, strict=True))
        share = shares.sum()
        centre = np.tensordot(shares, outputs, 1) / share
        within = np.tensordot(shares, variances, 1) / share
        between = np.tensordot(shares, np.square(outputs - centre), 1) / share
        deviation += share * np.sqrt(np.maximum(within, between) + np.square(centre - mean))
    return deviation


def _network_of(member: dict[str, Any]) -> ArrayNetwork:
    """Return a network of an average, in units and coordinates of training."""
    sizes, theta, weights, biases = member["layer_sizes"], member["theta"].astype(np.float64), [], []
    for width, following in pairwise(sizes):
        W, b, theta = np.split(theta, [width * following, (width + 1) * following])
        weights.append(W.reshape(following, width).T)
        biases.append(b)
    return ArrayNetwork(weights, biases, Activation(member["activation"], member["slope"]))


def encoded(
    X: np.ndarray, scaling: Sequence[np.ndarray], coordinates: dict[str, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return what members were trained on, shape (n, n_coordinates), and squared distances from it, shape (n,).

    The same as :meth:`skgrow.problem.Coordinates.of` and ``unseen``, of raw inputs.
    """
    Z, unseen = (X - scaling[0]) / scaling[1], np.zeros(len(X))
    if coordinates is None:
        return Z, unseen
    if "basis" in coordinates:
        inside = Z @ coordinates["basis"]
        return inside, np.maximum(np.square(Z).sum(1) - np.square(inside).sum(1), 0.0)
    feature, knot = coordinates["feature"], coordinates["knot"]
    lower = np.flatnonzero(feature[1:] == feature[:-1])
    ramps = ramp(X[:, feature[lower]], knot[lower], knot[lower + 1])
    return np.concatenate([Z, (ramps - coordinates["mean"]) / coordinates["scale"]], 1), unseen


def packed(root: np.ndarray, n_bytes: int) -> np.ndarray:
    """Return the upper triangle of a square matrix, row by row, with 3, 4 or 8 bytes for every number.

    Three bytes are the leading ones of single precision, whose shape is then (n_numbers, 3).
    """
    triangle = root[_upper(len(root))]
    if n_bytes > 3:
        return triangle.astype(f"<f{n_bytes}")
    bits = triangle.astype("<f4").view("<u4") + np.uint32(0x80)  # to the nearest
    return bits.view(np.uint8).reshape(-1, 4)[:, 1:].copy()


def unpacked(triangle: np.ndarray) -> np.ndarray:
    """Return the matrix in double precision, zero below the diagonal: the inverse of :func:`packed`."""
    if triangle.ndim == 2:
        words = np.zeros((len(triangle), 4), np.uint8)
        words[:, 1:] = triangle
        triangle = words.view("<f4")[:, 0]
    n = int(np.sqrt(2 * len(triangle)))  # n (n + 1) / 2 entries
    root = np.zeros((n, n))
    root[_upper(n)] = triangle
    return root


def _upper(n: int) -> np.ndarray:
    return ~np.tri(n, k=-1, dtype=bool)
