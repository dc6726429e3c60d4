"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from skgrow.networks._identity import IdentityLike
from skgrow.networks._network import LayerPass, Network, places
from skgrow.prediction import Activation, ByLayer, SideBySide


class MLP(Network):
    r"""A fully connected network, held as one flat parameter vector.

    The realization is :math:`x_0 = x,\; y_i = x_{i-1} W_i^T + b_i,\; x_i = s(y_i)` for the hidden layers and
    :math:`y_L` for the output. Networks are values: nothing here changes ``theta`` in place, and surgery returns
    new networks.

    Parameters
    ----------
    layer_sizes : sequence of int
        ``(n_features, hidden widths ..., n_outputs)``; a hidden width may be zero.
    theta : Tensor of shape (n_parameters,)
        ``W_1`` (row by row), ``b_1``, ``W_2``, ``b_2``, ...
    activation : Activation
        Of all hidden layers; :class:`ByLayer` if that of the first is another one.
    smoothing : sequence of (Tensor or None), optional
        Per hidden layer the half widths of smoothing of a piecewise linear activation, one per neuron.
    inserted : sequence of (IdentityLike or None), optional
        Per hidden layer what stands for its activation, if the layer was inserted by :meth:`insert`.

    Examples
    --------
    >>> import torch
    >>> from skgrow.networks import MLP, Activation
    >>> hat = MLP.from_arrays(
    ...     [torch.tensor([[1.0], [1.0], [1.0]]), torch.tensor([[1.0, -2.0, 1.0]])],
    ...     [torch.tensor([0.0, -1.0, -2.0]), torch.tensor([0.0])],
    ...     Activation("relu"),
    ... )
    >>> hat(torch.tensor([[0.0], [1.0], [1.5], [3.0]])).flatten().tolist()
    [0.0, 1.0, 0.5, 0.0]
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        theta: Tensor | None,
        activation: Activation,
        smoothing: Sequence[Tensor | None] | None = None,
        inserted: Sequence[IdentityLike | None] | None = None,
    ) -> None:
        self.layer_sizes = tuple(int(size) for size in layer_sizes)
        shapes = [(o, i) for i, o in pairwise(self.layer_sizes)]
        super().__init__(shapes, [True] * len(shapes), theta, activation)
        self.smoothing = tuple(smoothing) if smoothing is not None else (None,) * (len(shapes) - 1)
        self.inserted = tuple(inserted) if inserted is not None else (None,) * (len(shapes) - 1)

    @classmethod
    def from_arrays(
        cls,
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        activation: Activation,
        inserted: Sequence[IdentityLike | None] | None = None,
    ) -> MLP:
        """Build a network from ``W_i`` of shape (w_i, w_{i-1}) and ``b_i`` of shape (w_i,)."""
        sizes = [weights[0].shape[1], *(W.shape[0] for W in weights)]
        parts = [part.reshape(-1) for pair in zip(weights, biases, strict=True) for part in pair]
        return cls(sizes, torch.cat(parts), activation, None, inserted)

    def with_smoothing(self, smoothing: Sequence[Tensor | None] | None) -> MLP:
        """Return the same parameters with kinks smoothed over the given half widths (None: not at all)."""
        return MLP(self.layer_sizes, self.theta, self.activation, smoothing, self.inserted)

    def like(self, tensor: Tensor) -> MLP:
        """Return the network with the precision of a tensor, on its device."""
        inserted = [None if layer is None else layer.like(tensor) for layer in self.inserted]
        return MLP(self.layer_sizes, self.theta.to(tensor), self.activation, self.smoothing, inserted)

    def with_arrays(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> MLP:
        """Return the network of other weights and biases; layers may have got more neurons."""
        pairs = zip(self.inserted, weights[:-1], strict=True)
        inserted = [None if layer is None else layer.wider(len(W)) for layer, W in pairs]
        return MLP.from_arrays(weights, biases, self.activation, inserted)

    def folded(self) -> MLP:
        """Return the network of plain activations with the same function."""
        if not any(self.inserted):
            return self
        weights, biases = list(self.weights), list(self.biases)
        for i, layer in enumerate(self.inserted):
            if layer is not None:
                layer.fold(weights, biases, i)
        return MLP.from_arrays(weights, biases, self.activation)

    @property
    def depth(self) -> int:
        """Number of hidden layers."""
        return len(self.shapes) - 1

    @property
    def hidden_maps(self) -> range:
        """All maps but the last."""
        return range(len(self.shapes) - 1)

    def hidden(self, X: Tensor, depth: int | None = None) -> Tensor:
        """Return the post-activation of hidden layer ``depth`` (default: the last), shape (n, w)."""
        stop = len(self.weights) - 1 if depth is None else depth
        for i in range(stop):
            Z = affine(self.weights[i], self.biases[i], X)
            layer, activation = self.inserted[i], self.activation.of_layer(i)
            X = activation.value(Z, self.smoothing[i]) if layer is None else layer.value(activation, Z)
        return X

    def __call__(self, X: Tensor) -> Tensor:
        """Return the output, shape (n, c)."""
        return affine(self.weights[-1], self.biases[-1], self.hidden(X))

    def forward_pass(self, X: Tensor) -> LayerPass:
        """Return inputs and activation slopes of every layer, and the output."""
        inputs, slopes = [X], []
        for i, (W, b) in enumerate(zip(self.weights[:-1], self.biases[:-1], strict=True)):
            Z = affine(W, b, inputs[-1])
            layer, width, activation = self.inserted[i], self.smoothing[i], self.activation.of_layer(i)
            H = activation.value(Z, width) if layer is None else layer.value(activation, Z)
            slopes.append(activation.derivative(Z, H, width) if layer is None else layer.derivative(activation, Z))
            inputs.append(H)
        return LayerPass(inputs, slopes, affine(self.weights[-1], self.biases[-1], inputs[-1]))

    def backward_pass(self, state: LayerPass, output_delta: Tensor) -> list[Tensor]:
        """Backpropagate per-sample derivatives with respect to the output; see :class:`Network`."""
        deltas = [output_delta]
        for W, slope in zip(reversed(self.weights[1:]), reversed(state.slopes), strict=True):
            deltas.append(torch.matmul(W.T, deltas[-1].mT).mT.mul_(slope))
        return deltas[::-1]

    # insertion ---------------------------------------------------------------------------------------------

    @property
    def n_insertion_points(self) -> int:
        """One after every hidden layer."""
        return len(self.weights) - 1

    def insert(self, point: int, X: Tensor) -> tuple[MLP, Tensor]:
        """Insert a layer after hidden layer ``point`` that leaves the function as it is, see :class:`IdentityLike`."""
        self._require_point(point)
        if isinstance(self.activation, (SideBySide, ByLayer)):
            raise ValueError(f"a layer can only be inserted into a network of one activation; got {self!r}.")
        H = self.hidden(X, point + 1)
        weights, biases, inserted = list(self.weights), list(self.biases), list(self.inserted)
        weights.insert(point + 1, torch.eye(H.shape[1], dtype=H.dtype, device=H.device))
        biases.insert(point + 1, H.new_zeros(H.shape[1]))
        plain = self.activation.name in ("relu", "identity")
        inserted.insert(point + 1, None if plain else IdentityLike.of(self.activation, H))
        deeper = MLP.from_arrays(weights, biases, self.activation, inserted)
        return deeper, places(self, deeper, [i + (i > point) for i in range(len(self.weights))])

    def insertion_pairs(self, state: LayerPass, deltas: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return derivatives at the new pre-activations and the new layers' inputs, point by point."""
        pairs = []
        for H, d, W in zip(state.inputs[1:], deltas[1:], self.weights[1:], strict=True):
            slope = IdentityLike.of(self.activation, H).derivative(self.activation, H)
            pairs.append((torch.matmul(d, W).mul_(slope), H))
        return pairs


def affine(W: Tensor, b: Tensor, X: Tensor) -> Tensor:
    """Return ``X W^T + b``, stored neuron by neuron: products of many samples and few neurons are faster so."""
    return torch.addmm(b.unsqueeze(1), W, X.T).T
