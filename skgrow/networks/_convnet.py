"""Convolutional networks on rows that are images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, linear, max_pool2d

from skgrow.networks._identity import IdentityLike
from skgrow.networks._network import LayerPass, Network, places
from skgrow.prediction import Activation

#: Activations for convolutions: what is inserted with the others has shifts, which meet zeros at the border.
CONVOLUTION_ACTIVATIONS = ("identity", "relu", "tanh")


class ConvNet(Network):
    r"""Stages of 3 x 3 convolutions, each ended by 2 x 2 max-pooling, and a dense head.

    Convolutions keep the size of the image (a border of zeros), every one is followed by the activation; pooling halves
    the size, rounded down.

    Parameters
    ----------
    image_shape : tuple of int
        ``(channels, height, width)``: a row of X holds an image in this order.
    stages : sequence of sequence of int
        Channels of the convolutions, stage by stage.
    dense : sequence of int
        Widths of the head: hidden layers, then outputs.
    theta : Tensor of shape (n_parameters,)
        Weights and bias, map by map; kernels have shape (out, in, 3, 3).
    activation : Activation
        ``"relu"``, ``"tanh"`` or ``"identity"``.
    units : tuple of (Tensor of shape (channels,), Tensor of shape (channels,)), optional
        Means and scales of the channels, by which images are standardized first.
    inserted : sequence of (IdentityLike or None), optional
        Per convolution what stands for its activation, if it was inserted by :meth:`insert`.

    Examples
    --------
    >>> import torch
    >>> from skgrow.networks import Activation, ConvNet
    >>> network = ConvNet(
    ...     (1, 8, 8),
    ...     ((4,), (8,)),
    ...     (10,),
    ...     torch.zeros(1 * 9 * 4 + 4 + 4 * 9 * 8 + 8 + 32 * 10 + 10),
    ...     Activation("relu"),
    ... )
    >>> network(torch.zeros(5, 64)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        stages: Sequence[Sequence[int]],
        dense: Sequence[int],
        theta: Tensor | None,
        activation: Activation,
        units: tuple[Tensor, Tensor] | None = None,
        inserted: Sequence[IdentityLike | None] | None = None,
    ) -> None:
        if activation.name not in CONVOLUTION_ACTIVATIONS:
            raise ValueError(f"activation must be one of {list(CONVOLUTION_ACTIVATIONS)}; got {activation.name!r}.")
        self.image_shape = tuple(image_shape)
        self.stages = tuple(tuple(stage) for stage in stages)
        self.dense = tuple(dense)
        self.units = units
        channels, height, width = self.image_shape
        features = channels * height * width
        convolutions, self.n_pixels = [], []
        shapes: list[tuple[int, ...]] = []
        for stage in self.stages:
            for wider in stage:
                shapes.append((wider, channels, 3, 3))
                convolutions.append(wider)
                self.n_pixels.append(height * width)
                channels = wider
            height, width = height // 2, width // 2
            if not height * width:
                raise ValueError(
                    f"{len(self.stages)} stages of 2 x 2 pooling need images of at least {2 ** len(self.stages)} x "
                    f"{2 ** len(self.stages)} pixels; got image_shape {self.image_shape}."
                )
        self.layer_sizes = (features, *convolutions, *self.dense)
        size = channels * height * width
        for wider in self.dense:
            shapes.append((wider, size))
            size = wider
        super().__init__(shapes, [True] * len(shapes), theta, activation)
        ends, count = set(), 0
        for stage in self.stages:
            count += len(stage)
            ends.add(count - 1)
        self.n_convolutions, self.pooled = count, ends
        self.inserted = tuple(inserted) if inserted is not None else (None,) * count

    @classmethod
    def from_arrays(
        cls,
        image_shape: Sequence[int],
        lengths: Sequence[int],
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        activation: Activation,
        units: tuple[Tensor, Tensor] | None = None,
        inserted: Sequence[IdentityLike | None] | None = None,
    ) -> ConvNet:
        """Build a network from its kernels, matrices and biases and the numbers of convolutions of the stages."""
        stages, at = [], 0
        for length in lengths:
            stages.append([W.shape[0] for W in weights[at : at + length]])
            at += length
        dense = [W.shape[0] for W in weights[at:]]
        parts = [part.reshape(-1) for pair in zip(weights, biases, strict=True) for part in pair]
        return cls(image_shape, stages, dense, torch.cat(parts), activation, units, inserted)

    def like(self, tensor: Tensor) -> ConvNet:
        """Return the network with the precision of a tensor, on its device."""
        inserted = [None if layer is None else layer.like(tensor) for layer in self.inserted]
        mean, scale = (None, None) if self.units is None else (unit.to(tensor) for unit in self.units)
        units = None if mean is None or scale is None else (mean, scale)
        rest = (self.activation, units, inserted)
        return ConvNet(self.image_shape, self.stages, self.dense, self.theta.to(tensor), *rest)

    def with_arrays(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> ConvNet:
        """Return the network of other weights and biases; the stages stay as long as they are."""
        return self._of([len(stage) for stage in self.stages], weights, biases, self.inserted)

    def with_units(self, mean: Tensor, scale: Tensor) -> ConvNet:
        """Return the network that first standardizes the channels of its images."""
        rest = (self.activation, (mean, scale), self.inserted)
        return ConvNet(self.image_shape, self.stages, self.dense, self.theta, *rest)

    def folded(self) -> ConvNet:
        """Return the network of plain activations with the same function."""
        weights, biases = list(self.weights), list(self.biases)
        for i, layer in enumerate(self.inserted):
            if layer is not None:
                layer.fold(weights, biases, i)
        return self._of([len(stage) for stage in self.stages], weights, biases, None)

    def _of(
        self,
        lengths: Sequence[int],
        weights: Sequence[Tensor],
        biases: Sequence[Tensor],
        inserted: Sequence[IdentityLike | None] | None,
    ) -> ConvNet:
        return ConvNet.from_arrays(self.image_shape, lengths, weights, biases, self.activation, self.units, inserted)

    @property
    def depth(self) -> int:
        """Number of convolutions."""
        return self.n_convolutions

    @property
    def n_activations(self) -> int:
        """Numbers that a forward pass leaves behind per sample."""
        images = sum(c * p for c, p in zip(self.layer_sizes[1:], self.n_pixels, strict=False))
        return self.layer_sizes[0] + images + self.weights[self.n_convolutions].shape[1] + sum(self.dense)

    @property
    def flops(self) -> float:
        """Multiplications and additions of one forward and backward pass, per sample: six per weight and pixel."""
        kernels = sum(W.numel() * p for W, p in zip(self.weights, self.n_pixels, strict=False))
        return 6.0 * (kernels + sum(W.numel() for W in self.weights[self.n_convolutions :]))

    @property
    def hidden_maps(self) -> range:
        """The maps into the hidden layers of the head."""
        return range(self.n_convolutions, len(self.shapes) - 1)

    # the layer pass ----------------------------------------------------------------------------------------

    def images(self, X: Tensor) -> Tensor:
        """Return rows as images (n, channels, height, width), standardized."""
        images = X.reshape(-1, *self.image_shape)
        if self.units is None:
            return images
        mean, scale = (unit.view(-1, 1, 1) for unit in self.units)
        return (images - mean) / scale

    def __call__(self, X: Tensor) -> Tensor:
        """Return the output, shape (n, c)."""
        x = self.images(X)
        for i in range(self.n_convolutions):
            x = self._convolved(i, conv2d(x, self.weights[i], self.biases[i], padding=1))
            x = max_pool2d(x, 2) if i in self.pooled else x
        x = x.flatten(1)
        for i in range(self.n_convolutions, len(self.weights) - 1):
            x = self.activation.value(linear(x, self.weights[i], self.biases[i]))
        return linear(x, self.weights[-1], self.biases[-1])

    def _convolved(self, i: int, Z: Tensor) -> Tensor:
        layer = self.inserted[i] if i < self.n_convolutions else None
        return self.activation.value(Z) if layer is None else layer.value(self.activation, Z)

    def forward_pass(self, X: Tensor) -> LayerPass:
        """Return inputs of every map, slopes of every activation, the output, and where the maxima lie."""
        x = self.images(X)
        inputs, slopes = [], []
        maxima: list[tuple[Tensor, Tensor]] = []
        for i in range(len(self.weights) - 1):
            if i == self.n_convolutions:
                x = x.flatten(1)
            inputs.append(x)
            convolves = i < self.n_convolutions
            W, b = self.weights[i], self.biases[i]
            Z = conv2d(x, W, b, padding=1) if convolves else linear(x, W, b)
            x = self._convolved(i, Z)
            layer = self.inserted[i] if convolves else None
            slopes.append(self.activation.derivative(Z, x) if layer is None else layer.derivative(self.activation, Z))
            if i in self.pooled:
                pooled, where = max_pool2d(x, 2, return_indices=True)
                maxima.append((x, where))
                x = pooled
        x = x.flatten(1)
        return LayerPass([*inputs, x], slopes, linear(x, self.weights[-1], self.biases[-1]), maxima)

    def backward_pass(self, state: LayerPass, output_delta: Tensor) -> list[Tensor]:
        """Backpropagate per-sample derivatives with respect to the output; see :class:`Network`."""
        deltas = [output_delta]
        for i in reversed(range(len(self.weights) - 1)):
            deltas.append(self._below(i + 1, deltas[-1], state).mul_(state.slopes[i]))
        return deltas[::-1]

    def _below(self, i: int, delta: Tensor, state: LayerPass) -> Tensor:
        """Return derivatives at the outputs of the activation below map i, through the pooling between them."""
        lead = delta.shape[: -1 if i >= self.n_convolutions else -3]
        if i >= self.n_convolutions:
            below = torch.matmul(delta, self.weights[i])
        else:
            flat = delta.flatten(0, -4) if len(lead) > 1 else delta
            below = conv_transpose2d(flat, self.weights[i], padding=1).view(*lead, *state.inputs[i].shape[1:])
        if i - 1 not in self.pooled:
            return below
        x, where = state.extra[sorted(self.pooled).index(i - 1)]
        below = below.reshape(*lead, *where.shape[1:])
        full = below.new_zeros(*lead, *x.shape[1:])
        full.flatten(-2).scatter_(-1, where.expand(below.shape).flatten(-2), below.flatten(-2))
        return full

    # insertion ---------------------------------------------------------------------------------------------

    @property
    def n_insertion_points(self) -> int:
        """One behind every convolution."""
        return self.n_convolutions

    def insert(self, point: int, X: Tensor) -> tuple[ConvNet, Tensor]:  # noqa: ARG002
        """Insert a convolution behind convolution ``point``, whose kernel has ones in the middle."""
        self._require_point(point)
        weights, biases = list(self.weights), list(self.biases)
        channels = weights[point].shape[0]
        kernel = weights[point].new_zeros(channels, channels, 3, 3)
        kernel[:, :, 1, 1] = torch.eye(channels, dtype=kernel.dtype, device=kernel.device)
        weights.insert(point + 1, kernel)
        biases.insert(point + 1, kernel.new_zeros(channels))
        inserted = list(self.inserted)
        plain = self.activation.name in ("relu", "identity")
        inserted.insert(point + 1, None if plain else IdentityLike.of(self.activation, kernel))
        lengths, first = [], 0
        for stage in self.stages:
            lengths.append(len(stage) + (first <= point < first + len(stage)))
            first += len(stage)
        deeper = self._of(lengths, weights, biases, inserted)
        return deeper, places(self, deeper, [i + (i > point) for i in range(len(self.weights))])

    def insertion_pairs(self, state: LayerPass, deltas: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return derivatives at the new convolutions' outputs and the images they take, point by point."""
        pairs = []
        order = sorted(self.pooled)
        for point in range(self.n_convolutions):
            x = state.extra[order.index(point)][0] if point in self.pooled else state.inputs[point + 1]
            slope = IdentityLike.of(self.activation, x[:1]).derivative(self.activation, x)
            pairs.append((self._below(point + 1, deltas[point + 1], state).mul_(slope), x))
        return pairs
