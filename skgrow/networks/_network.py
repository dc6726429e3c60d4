"""What all networks are: a flat parameter vector cut into maps, and the layer pass, from which all else is made."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Self, TypeVar

import torch
from torch import Tensor

from skgrow.prediction import Activation


@dataclass(frozen=True)
class LayerPass:
    r"""What one forward-backward pass leaves behind at every map.

    A map takes :math:`x` to :math:`y = x W^T + b` (or is a convolution); activations lie between maps.

    Attributes
    ----------
    inputs : list of Tensor of shape (n, ...)
        The inputs of all maps, first to last.
    slopes : list of Tensor of shape (n, ...)
        The derivatives :math:`s'` of the activations, first to last.
    output : Tensor of shape (n, c)
        The network output.
    """

    inputs: list[Tensor]
    slopes: list[Tensor]
    output: Tensor
    extra: list[Any] = field(default_factory=list)


class Network(ABC):
    r"""A network as a value: one flat vector of parameters, read as weights and biases of its maps.

    Nothing here changes ``theta`` in place, and surgery returns new networks.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Shapes of the weights: (out, in), or (out, in, k, k) of a convolution.
    has_bias : sequence of bool
        Which maps have a bias.
    theta : Tensor of shape (n_parameters,) or None
        ``W_1`` (row by row), ``b_1``, ``W_2``, ``b_2``, ...; None for zeros.
    activation : Activation
        Of all hidden layers.
    """

    #: Sizes of the layers, inputs first, outputs last; what lies between is the architecture's.
    layer_sizes: tuple[int, ...]

    def __init__(
        self,
        shapes: Sequence[tuple[int, ...]],
        has_bias: Sequence[bool],
        theta: Tensor | None,
        activation: Activation,
    ) -> None:
        self.shapes = tuple(shapes)
        self.has_bias = tuple(has_bias)
        self.activation = activation
        self._read(torch.zeros(self.slices[-1][1].stop, dtype=torch.float64) if theta is None else theta)

    def _read(self, theta: Tensor) -> None:
        """Take a vector of parameters, and cut it."""
        expected = self.slices[-1][1].stop
        if theta.shape != (expected,):
            raise ValueError(
                f"theta must have shape ({expected},) for layer_sizes {self.layer_sizes}; got {tuple(theta.shape)}."
            )
        self.theta = theta
        # made with the network and not when first used: there a transform of PyTorch may be at work, whose tensors do
        # not outlive it
        pairs = list(zip(self.slices, self.shapes, strict=True))
        #: Views of the weights.
        self.weights: list[Tensor] = [theta[w].view(shape) for (w, _), shape in pairs]
        #: Views of the biases, of length 0 if a map has none.
        self.biases: list[Tensor] = [theta[b] for (_, b), _ in pairs]

    # the arrays --------------------------------------------------------------------------------------------

    def with_theta(self, theta: Tensor) -> Self:
        """Return the same architecture with other parameters."""
        found = object.__new__(type(self))
        found.__dict__.update(self.__dict__)
        found._read(theta)
        return found

    def like(self, tensor: Tensor) -> Self:
        """Return the network with the precision of a tensor, on its device."""
        return self.with_theta(self.theta.to(tensor))

    @abstractmethod
    def with_arrays(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Self:
        """Return the network of other weights and biases, whose shapes may differ (a missing bias has length 0)."""

    def folded(self) -> Self:
        """Return the network of plain activations with the same function; see :meth:`insert`."""
        return self

    @property
    def n_parameters(self) -> int:
        """Number of parameters, biases included."""
        return self.theta.numel()

    @property
    def n_activations(self) -> int:
        """Numbers that a forward pass leaves behind per sample: what memory is reckoned by."""
        return sum(self.layer_sizes)

    @property
    def flops(self) -> float:
        """Multiplications and additions of one forward and backward pass, per sample: six per weight."""
        return 6.0 * sum(prod(shape) for shape in self.shapes)

    @cached_property
    def slices(self) -> list[tuple[slice, slice]]:
        """For every map the places of its weights and of its biases in ``theta``."""
        places, start = [], 0
        for shape, bias in zip(self.shapes, self.has_bias, strict=True):
            middle = start + prod(shape)
            end = middle + shape[0] * bias
            places.append((slice(start, middle), slice(middle, end)))
            start = end
        return places

    @property
    @abstractmethod
    def depth(self) -> int:
        """Number of layers of the kind that can be inserted: hidden layers, blocks or convolutions."""

    @property
    @abstractmethod
    def hidden_maps(self) -> Sequence[int]:
        """Places of the maps into the hidden layers that neurons can be added to; the next map takes them on."""

    # the layer pass ----------------------------------------------------------------------------------------

    @abstractmethod
    def __call__(self, X: Tensor) -> Tensor:
        """Return the output, shape (n, c)."""

    @abstractmethod
    def forward_pass(self, X: Tensor) -> LayerPass:
        """Return inputs of every map, slopes of every activation, and the output."""

    @abstractmethod
    def backward_pass(self, state: LayerPass, output_delta: Tensor) -> list[Tensor]:
        r"""Backpropagate per-sample derivatives with respect to the output.

        Parameters
        ----------
        state : LayerPass
            Of the same network.
        output_delta : Tensor of shape (..., n, c)
            Derivative of an objective with respect to the output, per sample; leading axes are a batch of such fields.

        Returns
        -------
        list of Tensor of shape (..., n, ...)
            The derivatives :math:`d_i = dL_j / dy_i` at the outputs of all maps, first to last.
        """

    def gradient(self, state: LayerPass, output_delta: Tensor) -> Tensor:
        r"""Return :math:`\sum_j d_{i,j}^T x_{i-1,j}` (and :math:`\sum_j d_{i,j}` for biases) as one flat vector.

        Parameters
        ----------
        state : LayerPass
            Of the same network.
        output_delta : Tensor of shape (n, c)
            Derivative of the objective with respect to the output, sample weights included.
        """
        return self.gradient_of(self.backward_pass(state, output_delta), state)

    def gradient_of(self, deltas: list[Tensor], state: LayerPass) -> Tensor:
        """Return the gradient, one flat vector, from the derivatives at the outputs of all maps."""
        parts = []
        for shape, bias, d, x in zip(self.shapes, self.has_bias, deltas, state.inputs, strict=True):
            image = len(shape) > 2
            parts.append((map_gradient(d, x) if image else torch.mm(d.T, x)).view(-1))
            if bias:
                parts.append(torch.sum(d, (0, 2, 3) if image else 0))
        return torch.cat(parts)

    def jacobian(self, state: LayerPass, seed: Tensor | None = None) -> Tensor:
        r"""Return the derivatives of outputs, or of combinations of them, by all parameters.

        Row ``[k, j]`` is :math:`d_i \otimes x_{i-1}` map by map, with the backward pass started at ``seed[k, j]``.

        Parameters
        ----------
        state : LayerPass
            Of the same network.
        seed : Tensor of shape (k, n, c), optional
            Combinations of outputs, per sample; default: every output by itself, k = c.

        Returns
        -------
        Tensor of shape (k, n, n_parameters)
        """
        n, c = state.output.shape
        if seed is None:
            seed = torch.eye(c, dtype=self.theta.dtype, device=self.theta.device).unsqueeze(1).expand(c, n, c)
        k = len(seed)
        jac = self.theta.new_empty(k, n, self.n_parameters)
        for (w, b), shape, d, x in zip(
            self.slices, self.shapes, self.backward_pass(state, seed), state.inputs, strict=True
        ):
            if len(shape) > 2:
                jac[..., w] = torch.einsum("knop,npc->knoc", d.flatten(3), patches(x)).flatten(2)
                jac[..., b] = d.flatten(3).sum(-1)
                continue
            out = jac[..., w].view(k, n, d.shape[-1], x.shape[-1])
            torch.mul(d.unsqueeze(-1), x.unsqueeze(-2), out=out)
            if b.stop > b.start:
                jac[..., b] = d
        return jac

    # insertion ---------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def n_insertion_points(self) -> int:
        """Number of places where a layer can be inserted."""

    @property
    def inserts_exactly(self) -> bool:
        """Whether an inserted layer leaves the function on the training data as it is, not only nearly."""
        return self.activation.name not in ("tanh", "logistic")

    @abstractmethod
    def insert(self, point: int, X: Tensor) -> tuple[Self, Tensor]:
        """Insert a layer that leaves the function on the data X as it is.

        Parameters
        ----------
        point : int
            In [0, ``n_insertion_points``).
        X : Tensor of shape (n, n_inputs)
            The training data.

        Returns
        -------
        network : Network
            The deeper network.
        kept : LongTensor of shape (n_parameters before,)
            Where every old parameter stands now: solver state moves along with it.
        """

    @abstractmethod
    def insertion_pairs(self, state: LayerPass, deltas: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return, for every insertion point, what the gradient of the layer not yet inserted is made of.

        Parameters
        ----------
        state : LayerPass
            Of this network.
        deltas : list of Tensor
            Of its backward pass.

        Returns
        -------
        list of (Tensor, Tensor)
            Derivatives at the outputs of the new map that receives a gradient, and its inputs:
            :func:`map_gradient` of them is what a backward pass of the deeper network would give.
        """

    def _require_point(self, point: int) -> None:
        if self.n_insertion_points == 0:
            raise ValueError(f"a layer can only be inserted if there is a hidden layer; got {self!r}.")
        if not 0 <= point < self.n_insertion_points:
            raise ValueError(f"point must lie in [0, {self.n_insertion_points - 1}]; got {point!r}.")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(layer_sizes={self.layer_sizes}, activation={self.activation.name!r})"


AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def glorot(network: AnyNetwork, seed: int, like: Tensor) -> AnyNetwork:
    """Return a network of random weights and biases as in MLPRegressor: uniform, by Glorot and Bengio (2010).

    Parameters
    ----------
    network : Network
        Gives the architecture.
    seed : int
        Of the random numbers.
    like : Tensor
        Gives type and device.
    """
    generator = torch.Generator().manual_seed(seed)
    gain = 2.0 if network.activation.name == "logistic" else 6.0
    parts = []
    for shape, (w, b) in zip(network.shapes, network.slices, strict=True):
        bound = math.sqrt(gain / ((shape[0] + shape[1]) * prod(shape[2:])))
        uniform = torch.rand(b.stop - w.start, generator=generator, dtype=torch.float64)
        parts.append(bound * (2 * uniform - 1))
    return network.with_theta(torch.cat(parts).to(like))


def map_gradient(delta: Tensor, inputs: Tensor) -> Tensor:
    """Return the gradient of a map's weights: ``delta.T @ inputs``, or of a 3 x 3 convolution its correlation."""
    if delta.ndim == 2:
        return delta.T @ inputs
    kernel = inputs.new_empty(delta.shape[1], inputs.shape[1], 3, 3)
    found = torch.ops.aten.convolution_backward(
        delta, inputs, kernel, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, [False, True, False]
    )
    return found[1]


def patches(images: Tensor) -> Tensor:
    """Return the 3 x 3 neighbourhoods of all pixels, shape (n, pixels, channels * 9), zero beyond the border."""
    return torch.nn.functional.unfold(images, 3, padding=1).transpose(1, 2)


def places(old: Network, new: Network, index: Sequence[int]) -> Tensor:
    """Return where the parameters of ``old`` stand in ``new``, whose map ``index[i]`` is the old map i.

    Old arrays are leading blocks of new ones.
    """
    everywhere = torch.arange(new.n_parameters, device=new.theta.device)
    parts = []
    for i, shape in zip(index, old.shapes, strict=True):
        w, b = new.slices[i]
        block = everywhere[w].view(new.shapes[i])[: shape[0], : shape[1]]
        parts += [block.reshape(-1), everywhere[b][: shape[0]]]
    return torch.cat(parts)
