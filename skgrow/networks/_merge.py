"""Merging neurons that have become equal on the training data (Maennel, Bousquet and Gelly)."""

from __future__ import annotations

import torch
from torch import Tensor

from skgrow.networks._mlp import MLP
from skgrow.networks._surgery import prune
from skgrow.prediction import SideBySide


def merge(network: MLP, X: Tensor, tol: float = 1e-6) -> tuple[MLP, Tensor]:
    r"""Collapse neurons that have become equal; the predictions on X stay.

    A hidden layer adds :math:`\sum_i a_i\, s(\langle v_i, z\rangle)` to the next one, with :math:`v_i = (w_i, b_i)` and
    :math:`z = (x, 1)`. In all hidden layers, one after the other:

    1. A neuron of constant output on X, such as a ReLU that is off on all samples, moves into the next bias.
    2. Neurons of equal :math:`v_i` become one with outgoing weights :math:`\sum_i a_i`. For (leaky) ReLU equal
       directions are enough, :math:`v_i = \lambda_i v` with :math:`\lambda_i > 0`: the sum is
       :math:`\sum_i \lambda_i a_i`. For the other activations, where :math:`s(-t) = 2 s(0) - s(t)`, neurons of
       opposite :math:`v_i` are equal too, up to a sign and a constant.
    3. (Leaky) ReLUs that are on and off together on X are linear there together. Where outgoing weights are
       :math:`a_i = \mu_i a` with :math:`\mu_i > 0`, one neuron :math:`v = \sum_i \mu_i v_i` stands for all: it lies in
       the convex cone of the :math:`v_i`, hence is on and off with them.

    Step 2 changes the function nowhere, steps 1 and 3 only off X; predictions change within rounding plus, if
    neurons are not quite equal, ``tol`` times :math:`\sum_i |a_i| |v_i| |z|`. Of one hidden layer the path norm
    :math:`\sum_i |a_i| |v_i|` never rises, and there is at most one neuron left per activation pattern and direction of
    the outgoing weights (a sign, for one output). Neurons without outgoing weights, as :func:`widen` can append them,
    stay.

    Parameters
    ----------
    network : MLP
        Without smoothing. Merged (leaky) ReLUs are balanced, :math:`|a| = |v|`, where the L2 penalty is smallest.
    X : Tensor of shape (n, d)
        Training inputs, n > 0.
    tol : float, default=1e-6
        Distance at which directions (of :math:`v_i`, and of outgoing weights in step 3) count as equal; for activations
        other than (leaky) ReLU, distance of the :math:`v_i` relative to their norm.

    Returns
    -------
    network : MLP
        The narrower network; a layer may be left without neurons.
    kept : LongTensor of shape (n_parameters now,)
        Where every parameter, or that of the first of its group of neurons, stood before: solver state is gathered from
        there.

    Raises
    ------
    ValueError
        For a smoothed network, one of several activations, no samples, or a negative ``tol``.

    References
    ----------
    H. Maennel, O. Bousquet, S. Gelly, "Gradient descent quantizes ReLU network features", 2018.

    Examples
    --------
    >>> import torch
    >>> from skgrow.networks import MLP, Activation, merge
    >>> W, a = torch.tensor([[1.0], [2.0], [-1.0]]), torch.tensor([[3.0, 1.0, 1.0]])
    >>> twice = MLP.from_arrays([W, a], [torch.zeros(3), torch.zeros(1)], Activation("relu"))
    >>> once, _ = merge(twice, torch.tensor([[-1.0], [1.0]]))
    >>> once.layer_sizes, once(torch.tensor([[-1.0], [1.0]])).flatten().tolist()
    ((1, 2, 1), [1.0, 5.0])
    """
    if any(width is not None for width in network.smoothing):
        raise ValueError("merge needs a network without smoothing; got a smoothed one.")
    if isinstance(network.activation, SideBySide):
        raise ValueError(f"merge needs a network of one activation; got {network.activation.name!r}.")
    if not len(X):
        raise ValueError("merge needs at least one sample; got none.")
    if not tol >= 0:
        raise ValueError(f"tol must not be negative; got {tol!r}.")
    network = network.folded()
    places = MLP(network.layer_sizes, torch.arange(network.n_parameters, device=X.device), network.activation)
    rules = [_fold_constant, _merge_equal]
    if network.activation.is_piecewise_linear:
        rules.append(_merge_sectors)
    for layer in range(len(network.weights) - 1):
        for rule in rules:
            network, keep = rule(network, layer, network.hidden(X, layer), tol)
            places = prune(places, layer, keep)
    return network, places.theta


def _fold_constant(network: MLP, layer: int, inputs: Tensor, tol: float) -> tuple[MLP, Tensor]:  # noqa: ARG001
    H = network.activation.value(torch.addmm(network.biases[layer], inputs, network.weights[layer].T))
    constant = H.amax(0) == H.amin(0)
    A, c = network.weights[layer + 1], network.biases[layer + 1]
    keep = (~constant).nonzero()[:, 0]
    return _replaced(
        network, layer, _incoming(network, layer)[keep], A[:, keep], c + A[:, constant] @ H[0, constant]
    ), keep


def _merge_equal(network: MLP, layer: int, inputs: Tensor, tol: float) -> tuple[MLP, Tensor]:  # noqa: ARG001
    V, A, c = _incoming(network, layer), network.weights[layer + 1], network.biases[layer + 1]
    size = torch.linalg.vector_norm(V, dim=1)
    if network.activation.is_piecewise_linear:
        U = V / size[:, None]
        label = _first_of_group(_distances(U, U) <= tol)
        factor, offset = size / size[label], torch.zeros_like(c)
    else:
        same, opposite = _distances(V, V), _distances(V, -V)
        label = _first_of_group(torch.minimum(same, opposite) <= tol * size)
        rows = torch.arange(len(V), device=V.device)
        factor = torch.where(same[rows, label] <= opposite[rows, label], 1.0, -1.0).to(V)
        offset = 2 * network.activation.value(V.new_zeros(())) * A[:, factor < 0].sum(1)
    keep, group = torch.unique(label, return_inverse=True)
    summed = A.new_zeros(len(A), len(keep)).index_add_(1, group, A * factor)
    return _replaced(network, layer, V[keep], summed, c + offset, group.bincount() > 1), keep


def _merge_sectors(network: MLP, layer: int, inputs: Tensor, tol: float) -> tuple[MLP, Tensor]:
    V, A = _incoming(network, layer), network.weights[layer + 1]
    pattern = torch.addmm(network.biases[layer], inputs, network.weights[layer].T) > 0
    _, sector = torch.unique(pattern, dim=1, return_inverse=True)
    size = torch.linalg.vector_norm(A, dim=0)
    U = (A / size).T  # NaN, equal to nothing, if no weight goes out
    label = _first_of_group((_distances(U, U) <= tol) & (sector[:, None] == sector))
    keep, group = torch.unique(label, return_inverse=True)
    factor = torch.nan_to_num(size / size[label], nan=1.0)
    summed = torch.zeros_like(V[keep]).index_add_(0, group, V * factor[:, None])
    return _replaced(network, layer, summed, A[:, keep], network.biases[layer + 1], group.bincount() > 1), keep


def _incoming(network: MLP, layer: int) -> Tensor:
    """Rows ``(w, b)`` of a layer."""
    return torch.cat([network.weights[layer], network.biases[layer][:, None]], 1)


def _distances(U: Tensor, V: Tensor) -> Tensor:
    # by differences: with inner products equal rows would be 1e-8 apart
    return torch.cdist(U, V, compute_mode="donot_use_mm_for_euclid_dist")


def _first_of_group(close: Tensor) -> Tensor:
    """For every neuron the first one of its group: members are close to the first, which is close to none before."""
    close = close.clone().fill_diagonal_(True)
    rows = torch.arange(len(close), device=close.device)
    if not len(rows):
        return rows
    leads = close.int().argmax(1) == rows
    found, first = (close & leads).int().max(1)
    return torch.where(found > 0, first, rows)


def _replaced(network: MLP, layer: int, V: Tensor, A: Tensor, c: Tensor, merged: Tensor | None = None) -> MLP:
    """Return the network with other neurons in a layer: incoming V, outgoing A, next bias c; merged ones balanced."""
    if merged is not None and network.activation.is_piecewise_linear:
        ratio = (torch.linalg.vector_norm(A, dim=0) / torch.linalg.vector_norm(V, dim=1)).sqrt()
        ratio = torch.where(merged & torch.isfinite(ratio) & (ratio > 0), ratio, torch.ones_like(ratio))
        V, A = V * ratio[:, None], A / ratio
    weights, biases = list(network.weights), list(network.biases)
    weights[layer], biases[layer] = V[:, :-1], V[:, -1]
    weights[layer + 1], biases[layer + 1] = A, c
    return MLP.from_arrays(weights, biases, network.activation)
