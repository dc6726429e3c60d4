"""Deviations of predictions, from the Laplace approximation at a grown network or an average of several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from skgrow.networks import MLP, summands
from skgrow.problem import Coordinates, Units, sum_over_samples


def standard_deviation(
    network: MLP,
    units: Units,
    members: Sequence[dict[str, Any]],
    noise: Tensor,
    X: Tensor,
    on: Coordinates | None = None,
) -> Tensor:
    """Return the deviation of y: of an average the mean of its activations', seen from the average, and noise.

    The formula of Buckland, Burnham and Augustin (1997), which takes their errors for wholly correlated. Of several
    networks of an activation, members of an ensemble, the variance is the larger one of the mean of their variances and
    of that by which they differ: members are samples of the posterior, so both are the same thing, as far as the
    posterior is the normal distribution around one optimum.

    Parameters
    ----------
    network : MLP
        On raw units.
    units : Units
        Of training.
    members : sequence of dict
        What is known of each network of the average, see :meth:`Member.posterior`, with tensors.
    noise : Tensor of shape (c,)
        Variance of the noise.
    X : Tensor of shape (n, d)
        Raw inputs.
    on : Coordinates, optional
        Of training; of weights that these do not tell no sample says anything, and there is but the prior.

    Returns
    -------
    Tensor of shape (n, c)
    """
    s = units
    inner = cast(MLP, s.inward(network))
    inner = inner if on is None else on.inward(inner)
    dtype = inner.theta.dtype
    parts = []
    widths = [tuple(len(bias) for bias in known["biases"][:-1]) for known in members]
    for part, known in zip(summands(inner, widths), members, strict=True):
        first, *weights = part.weights
        *weights, A = first[:, : known["n_inputs"]], *weights
        biases = [torch.as_tensor(bias, device=X.device, dtype=dtype) for bias in known["biases"]]
        parts.append((known, part.with_arrays([*weights, A / known["share"]], biases)))
    found: list[Tensor] = []

    def chunk(rows: Tensor) -> tuple[Tensor]:
        inputs = (rows.to(dtype) - s.x_mean) / s.x_scale
        Z = inputs if on is None else on.of(inputs)
        unseen = None if on is None else on.unseen(inputs, Z)
        mean, deviation = inner(Z), rows.new_zeros((), dtype=dtype)
        kinds: dict[tuple[str, int], list[tuple[Tensor, Tensor, Tensor]]] = {}
        for known, alone in parts:
            state, root = alone.forward_pass(Z[:, : known["n_inputs"]]), known["root"]
            J = alone.jacobian(state)
            variance = (J[..., -len(root) :] @ root).square().sum(-1).T
            if unseen is not None:
                slopes = J[..., alone.slices[0][1]].square().sum(-1).T
                variance = variance + known["unseen"] * unseen[:, None] * slopes
            share = mean.new_full((1, 1), known["share"])
            kinds.setdefault((alone.activation.name, known["n_inputs"]), []).append((share, state.output, variance))
        for alike in kinds.values():
            shares, outputs, variances = (torch.stack(column) for column in zip(*alike, strict=True))
            share = shares.sum()
            centre = (shares * outputs).sum(0) / share
            within = (shares * variances).sum(0) / share
            between = (shares * (outputs - centre).square()).sum(0) / share
            deviation = deviation + share * (torch.maximum(within, between) + (centre - mean).square()).sqrt()
        found.append(((deviation * s.y_scale).square() + noise).sqrt())
        return (rows.new_zeros(()),)

    sum_over_samples(chunk, X, bytes_per_row=16 * inner.n_parameters * inner.layer_sizes[-1])
    return torch.cat(found)
