"""The multilayer perceptron and its layer pass, the primitive everything else is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import torch
from torch import Tensor

from skgrow.networks._activations import Activation


@dataclass(frozen=True)
class LayerPass:
    r"""What one forward-backward pass leaves behind at every layer.

    For layer :math:`i = 1, \dots, L` with pre-activation :math:`y_i = x_{i-1} W_i^T + b_i`:

    Attributes
    ----------
    inputs : list of Tensor of shape (n, w_{i-1})
        The layer inputs :math:`x_{i-1}`.
    slopes : list of Tensor of shape (n, w_i)
        The derivatives :math:`s'(y_i)` of the hidden layers (one fewer than layers).
    output : Tensor of shape (n, c)
        The network output.
    """

    inputs: list[Tensor]
    slopes: list[Tensor]
    output: Tensor


class MLP:
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
        Of all hidden layers.
    smoothing : sequence of (Tensor or None), optional
        Per hidden layer the half widths of smoothing of a piecewise linear activation, one per neuron.

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
        theta: Tensor,
        activation: Activation,
        smoothing: Sequence[Tensor | None] | None = None,
    ) -> None:
        self.layer_sizes = tuple(int(size) for size in layer_sizes)
        expected = sum((i + 1) * o for i, o in pairwise(self.layer_sizes))
        if theta.shape != (expected,):
            raise ValueError(
                f"theta must have shape ({expected},) for layer_sizes {self.layer_sizes}; got {tuple(theta.shape)}."
            )
        self.theta = theta
        self.activation = activation
        self.smoothing = tuple(smoothing) if smoothing is not None else (None,) * (len(self.layer_sizes) - 2)

    @classmethod
    def from_arrays(cls, weights: Sequence[Tensor], biases: Sequence[Tensor], activation: Activation) -> MLP:
        """Build a network from ``W_i`` of shape (w_i, w_{i-1}) and ``b_i`` of shape (w_i,)."""
        sizes = [weights[0].shape[1], *(W.shape[0] for W in weights)]
        parts = [part.reshape(-1) for pair in zip(weights, biases, strict=True) for part in pair]
        return cls(sizes, torch.cat(parts), activation)

    def with_theta(self, theta: Tensor) -> MLP:
        """Return the same architecture with other parameters."""
        return MLP(self.layer_sizes, theta, self.activation, self.smoothing)

    def with_smoothing(self, smoothing: Sequence[Tensor | None] | None) -> MLP:
        """Return the same parameters with kinks smoothed over the given half widths (None: not at all)."""
        return MLP(self.layer_sizes, self.theta, self.activation, smoothing)

    @property
    def n_parameters(self) -> int:
        """Number of parameters, biases included."""
        return self.theta.numel()

    @cached_property
    def slices(self) -> list[tuple[slice, slice]]:
        """For every layer the places of its weights and of its biases in ``theta``."""
        places, start = [], 0
        for i, o in pairwise(self.layer_sizes):
            places.append((slice(start, start + i * o), slice(start + i * o, start + (i + 1) * o)))
            start += (i + 1) * o
        return places

    @cached_property
    def weights(self) -> list[Tensor]:
        """Views ``W_i`` of shape (w_i, w_{i-1})."""
        sizes = pairwise(self.layer_sizes)
        return [self.theta[w].view(o, i) for (w, _), (i, o) in zip(self.slices, sizes, strict=True)]

    @cached_property
    def biases(self) -> list[Tensor]:
        """Views ``b_i`` of shape (w_i,)."""
        return [self.theta[b] for _, b in self.slices]

    def hidden(self, X: Tensor, depth: int | None = None) -> Tensor:
        """Return the post-activation of hidden layer ``depth`` (default: the last), shape (n, w)."""
        stop = len(self.weights) - 1 if depth is None else depth
        for i in range(stop):
            X = self.activation.value(torch.addmm(self.biases[i], X, self.weights[i].T), self.smoothing[i])
        return X

    def __call__(self, X: Tensor) -> Tensor:
        """Return the output, shape (n, c)."""
        return torch.addmm(self.biases[-1], self.hidden(X), self.weights[-1].T)

    def forward_pass(self, X: Tensor) -> LayerPass:
        """Return inputs and activation slopes of every layer, and the output."""
        inputs, slopes = [X], []
        for W, b, width in zip(self.weights[:-1], self.biases[:-1], self.smoothing, strict=True):
            Z = torch.addmm(b, inputs[-1], W.T)
            H = self.activation.value(Z, width)
            slopes.append(self.activation.derivative(Z, H, width))
            inputs.append(H)
        return LayerPass(inputs, slopes, torch.addmm(self.biases[-1], inputs[-1], self.weights[-1].T))

    def backward_pass(self, state: LayerPass, output_delta: Tensor) -> list[Tensor]:
        r"""Backpropagate per-sample derivatives with respect to the output.

        Parameters
        ----------
        state : LayerPass
            Of the same network.
        output_delta : Tensor of shape (..., n, c)
            :math:`d_L = dL_j / dy_L` per sample; leading axes are a batch of such fields.

        Returns
        -------
        list of Tensor of shape (..., n, w_i)
            :math:`d_i = dL_j / dy_i` for all layers, first to last.
        """
        deltas = [output_delta]
        for W, slope in zip(reversed(self.weights[1:]), reversed(state.slopes), strict=True):
            deltas.append(torch.matmul(deltas[-1], W).mul_(slope))
        return deltas[::-1]

    def gradient(self, state: LayerPass, output_delta: Tensor) -> Tensor:
        r"""Return :math:`\sum_j d_{i,j}^T x_{i-1,j}` (and :math:`\sum_j d_{i,j}` for biases) as one flat vector.

        Parameters
        ----------
        state : LayerPass
            Of the same network.
        output_delta : Tensor of shape (n, c)
            Derivative of the objective with respect to the output, sample weights included.
        """
        grad = torch.empty_like(self.theta)
        deltas = self.backward_pass(state, output_delta)
        for (w, b), d, x in zip(self.slices, deltas, state.inputs, strict=True):
            torch.mm(d.T, x, out=grad[w].view(d.shape[1], x.shape[1]))
            torch.sum(d, 0, out=grad[b])
        return grad

    def jacobian(self, state: LayerPass, seed: Tensor | None = None) -> Tensor:
        r"""Return the derivatives of outputs, or of combinations of them, by all parameters.

        Row ``[k, j]`` is :math:`d_i \otimes x_{i-1}` layer by layer, with the backward pass started at ``seed[k, j]``.

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
        jac = self.theta.new_empty(len(seed), n, self.n_parameters)
        for (w, b), d, x in zip(self.slices, self.backward_pass(state, seed), state.inputs, strict=True):
            out = jac[..., w].view(len(seed), n, d.shape[-1], x.shape[-1])
            torch.mul(d.unsqueeze(-1), x.unsqueeze(-2), out=out)
            jac[..., b] = d
        return jac

    def __repr__(self) -> str:
        return f"MLP(layer_sizes={self.layer_sizes}, activation={self.activation.name!r})"
