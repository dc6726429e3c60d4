"""Surgery that preserves the function: direct sum, homogeneous scaling, widening, pruning, change of units.

Sums and scalings follow Feischl, Rieder and Zehetgruber, section 2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor

from skgrow.networks._constants import NETWORKS
from skgrow.networks._convnet import ConvNet
from skgrow.networks._mlp import MLP
from skgrow.networks._network import AnyNetwork, Network, places
from skgrow.prediction import Activation, SideBySide


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def direct_sum(first: MLP, second: MLP) -> MLP:
    r"""Return :math:`W \oplus W'`, whose realization is the sum of the two realizations, exactly.

    Hidden layers lie side by side (block diagonal weights), output weights are joined and output biases added.

    Parameters
    ----------
    first, second : MLP
        Of equal depth, inputs and outputs, and of equal activations; with one hidden layer the second may have
        another one.
    """
    _require(
        len(first.layer_sizes) == len(second.layer_sizes)
        and first.layer_sizes[0] == second.layer_sizes[0]
        and first.layer_sizes[-1] == second.layer_sizes[-1],
        "direct_sum needs networks of equal depth, inputs and outputs; "
        f"got layer_sizes {first.layer_sizes} and {second.layer_sizes}.",
    )
    first, second = first.folded(), second.folded()
    last = len(first.weights) - 1
    _require(last > 0, "direct_sum needs at least one hidden layer; got none.")
    activation = first.activation
    if not activation.appended.same_as(second.activation):
        _require(
            last == 1 and not isinstance(second.activation, SideBySide),
            "direct_sum needs equal activations, or one hidden layer and a second network of one activation; "
            f"got {activation} and {second.activation}, {last} hidden layer(s).",
        )
        activation = SideBySide([*activation.parts, second.activation], [*activation.bounds, first.layer_sizes[1]])
    weights, biases = [], []
    for i, (U, V) in enumerate(zip(first.weights, second.weights, strict=True)):
        if i == 0:
            weights.append(torch.cat([U, V]))
        elif i == last:
            weights.append(torch.cat([U, V], dim=1))
        else:
            weights.append(torch.block_diag(U, V))
        u, v = first.biases[i], second.biases[i]
        biases.append(u + v if i == last else torch.cat([u, v]))
    return MLP.from_arrays(weights, biases, activation)


def average(networks: Sequence[MLP], shares: Sequence[float]) -> MLP:
    """Return the network of the sum of ``shares`` times the realizations; :func:`summands` finds them again.

    Parameters
    ----------
    networks : sequence of MLP
        One or more of one hidden layer, with one activation each.
    shares : sequence of float
        As many.
    """
    return reduce(direct_sum, [_times(network, share) for network, share in zip(networks, shares, strict=True)])


def summands(network: MLP, widths: Sequence[Sequence[int]] | None = None) -> list[MLP]:
    """Return the networks whose direct sum a network is: the inverse of :func:`direct_sum`.

    The output bias stays with the first.

    Parameters
    ----------
    network : MLP
        The sum.
    widths : sequence of (sequence of int), optional
        Widths of the hidden layers of every summand; neurons beyond are the last one's. Default: a summand for each
        activation.

    Raises
    ------
    ValueError
        If the network is no such sum, since hidden neurons of one summand see those of another.
    """
    activation, sizes = network.activation, network.layer_sizes
    kinds: Sequence[Activation] = ()
    if widths is None:
        kinds = activation.parts
        widths = [(stop - start,) for start, stop in pairwise([0, *activation.bounds, sizes[1]])]
    if len(widths) == 1:
        return [network]
    found: list[MLP] = []
    starts, inside = [0] * len(sizes[1:-1]), 0
    for own in widths:
        stops = [i + size for i, size in zip(starts, own, strict=True)]
        stops = list(sizes[1:-1]) if len(found) == len(widths) - 1 else stops
        inputs = [slice(0, sizes[0]), *map(slice, starts, stops)]
        rows = [*inputs[1:], slice(0, sizes[-1])]
        weights = [W[i, j] for W, i, j in zip(network.weights, rows, inputs, strict=True)]
        *biases, c = [b[i] for b, i in zip(network.biases, rows, strict=True)]
        kind = kinds[len(found)] if kinds else activation.of(torch.arange(starts[0], stops[0]))
        found.append(MLP.from_arrays(weights, [*biases, torch.zeros_like(c) if found else c], kind))
        starts, inside = stops, inside + sum(int(W.count_nonzero()) for W in weights)
    _require(
        inside == sum(int(W.count_nonzero()) for W in network.weights),
        f"summands needs hidden layers in blocks of widths {[tuple(own) for own in widths]}; got weights between them.",
    )
    return found


def linear(W: Tensor, b: Tensor) -> MLP:
    r"""Return the network of :math:`x \mapsto W x + b` that has one neuron of activation ``"identity"`` per output.

    Parameters
    ----------
    W : Tensor of shape (c, d)
        Matrix.
    b : Tensor of shape (c,)
        Vector.
    """
    eye = torch.eye(len(W), dtype=W.dtype, device=W.device)
    return MLP.from_arrays([W, eye], [b, torch.zeros_like(b)], Activation("identity"))


def _times(network: MLP, factor: float) -> MLP:
    """Return the network of ``factor`` times the realization; only the output layer changes."""
    *weights, A = network.weights
    *biases, c = network.biases
    return network.with_arrays([*weights, factor * A], [*biases, factor * c])


def scale(network: MLP, factor: float) -> MLP:
    r"""Return :math:`\alpha W` with :math:`R(\alpha W) = \alpha R(W)`, spread evenly over the layers (eq. 6).

    Parameters
    ----------
    network : MLP
        With a positively homogeneous activation.
    factor : float
        Not negative; ``0`` gives all weights zero.
    """
    _require(
        network.activation.is_piecewise_linear or network.activation.name == "identity",
        f"scale needs a positively homogeneous activation; got {network.activation.name!r}.",
    )
    _require(factor >= 0, f"factor must not be negative; got {factor!r}.")
    network = network.folded()
    depth = len(network.weights)
    root = factor ** (1 / depth)
    weights = [root * W for W in network.weights]
    biases = [root ** (i + 1) * b for i, b in enumerate(network.biases)]
    return MLP.from_arrays(weights, biases, network.activation)


def widen(network: AnyNetwork, layer: int, W_in: Tensor, b_in: Tensor, W_out: Tensor) -> tuple[AnyNetwork, Tensor]:
    """Append neurons to a hidden layer; with ``W_out = 0`` the function is unchanged.

    Parameters
    ----------
    network : Network
        The network.
    layer : int
        Index of the hidden layer, from 0: of a residual network the block, of a convolutional one in the head.
    W_in : Tensor of shape (m, w_layer_inputs)
        Incoming weights of the new neurons.
    b_in : Tensor of shape (m,)
        Their biases.
    W_out : Tensor of shape (w_next, m)
        Their outgoing weights.

    Returns
    -------
    network : Network
        The wider network.
    kept : LongTensor of shape (n_parameters before,)
        Where every old parameter stands now: solver state moves along with it.
    """
    last = len(network.hidden_maps) - 1
    _require(0 <= layer <= last, f"layer must be a hidden layer in [0, {last}]; got {layer!r}.")
    i = network.hidden_maps[layer]
    weights, biases = list(network.weights), list(network.biases)
    like = network.inserted[i] if isinstance(network, MLP) else None
    if like is not None:  # in an inserted layer the new neurons have the plain activation, too
        W_in, b_in, W_out = W_in / like.slope, b_in / like.slope, W_out / like.gain
    weights[i] = torch.cat([weights[i], W_in])
    biases[i] = torch.cat([biases[i], b_in])
    weights[i + 1] = torch.cat([weights[i + 1], W_out], dim=1)
    wider = network.with_arrays(weights, biases)
    return wider, positions(network, wider)


def positions(old: Network, new: Network) -> Tensor:
    """Return the places in ``new.theta`` of the entries of ``old.theta``; old arrays are leading blocks of new ones."""
    return places(old, new, range(len(old.shapes)))


def prune(network: MLP, layer: int, keep: Tensor) -> MLP:
    """Keep only the neurons ``keep`` (indices, ascending if activations differ) of a hidden layer."""
    network = network.folded()
    weights, biases = list(network.weights), list(network.biases)
    weights[layer], biases[layer] = weights[layer][keep], biases[layer][keep]
    weights[layer + 1] = weights[layer + 1][:, keep]
    return MLP.from_arrays(weights, biases, network.activation.of(keep))


def without_outer_kinks(network: MLP, X: Tensor) -> MLP:
    """Return a network of (leaky) ReLUs that is linear beyond the data if no sample says otherwise.

    Neurons that are on at all samples are linear functions there, with a kink somewhere outside. It is moved far away,
    which changes nothing on the data. Other activations, and networks of more than one hidden layer, stay as they are.

    Parameters
    ----------
    network : MLP
        The network.
    X : Tensor of shape (n, d)
        The data.
    """
    if len(network.weights) != 2 or not network.activation.is_piecewise_linear or not len(X):
        return network
    (W, A), (b, c) = network.weights, network.biases
    Z = torch.addmm(b, X, W.T)
    shift = torch.where(Z.amin(0) > 0, NETWORKS.outer_kink * Z.amax(0), 0)
    return network.with_arrays([W, A], [b + shift, c - A @ shift])


def from_standardized(
    network: AnyNetwork, x_mean: Tensor, x_scale: Tensor, y_mean: Tensor, y_scale: Tensor
) -> AnyNetwork:
    r"""Map a network between standardized units to one between raw units, with the same function.

    If ``network`` takes :math:`(x - \mu_x)/\sigma_x` to :math:`(y - \mu_y)/\sigma_y`, the result takes x to y. The
    units of a convolutional network's channels become its ``units``, since a border of zeros admits no other way.
    An input of scale infinity (back: of scale zero) has weights zero.

    Raises
    ------
    ValueError
        If the units of a network without biases in its first or last map have a mean.
    """
    weights, biases = list(network.weights), list(network.biases)
    weights[-1] = y_scale[:, None] * weights[-1]
    biases[-1] = _shifted(y_scale * biases[-1] if len(biases[-1]) else biases[-1], y_mean)
    if isinstance(network, ConvNet):
        pixels = x_mean.numel() // network.image_shape[0]
        mean, scale = x_mean[::pixels], x_scale[::pixels]
        if network.units is not None:
            mean, scale = mean + scale * network.units[0], scale * network.units[1]
            mean, scale = mean.nan_to_num(0.0), scale.nan_to_num(1.0, posinf=torch.inf)
        return cast(AnyNetwork, network.with_units(mean, scale).with_arrays(weights, biases))
    known = x_scale.isfinite() & (x_scale > 0)
    weights[0] = torch.where(known, weights[0] / x_scale, torch.zeros_like(weights[0]))
    biases[0] = _shifted(biases[0], -(weights[0] @ x_mean))
    return network.with_arrays(weights, biases)


def with_inputs(network: MLP, B: Tensor) -> MLP:
    r"""Return the network of :math:`x \mapsto R(W)(Bx)`.

    Parameters
    ----------
    network : MLP
        The network.
    B : Tensor of shape (n_features, n_inputs)
        Of the inputs x those that the network takes.
    """
    first, *weights = network.weights
    return network.with_arrays([first @ B, *weights], network.biases)


def _shifted(bias: Tensor, shift: Tensor) -> Tensor:
    if len(bias) == len(shift):
        return bias + shift
    _require(not bool(shift.any()), "units with a mean need biases in the first and last map; the network has none.")
    return bias
