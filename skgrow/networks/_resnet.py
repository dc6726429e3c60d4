"""Residual networks of two-weight blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import linear

from skgrow.networks._constants import NETWORKS
from skgrow.networks._network import LayerPass, Network, places
from skgrow.prediction import Activation


class ResNet(Network):
    r"""A residual network of constant width between linear maps.

    The realization is :math:`z_0 = W_{in} x + b_{in}`, then block by block
    :math:`z_k = z_{k-1} + h\, V_k\, s(U_k z_{k-1} + b_k)`, and the output :math:`W_{out} z_K + b_{out}`: an explicit
    Euler scheme of step h.

    Parameters
    ----------
    layer_sizes : sequence of int
        ``(n_features, width, neurons of block 1, ..., neurons of block K, n_outputs)``; there may be no block.
    theta : Tensor of shape (n_parameters,)
        ``W_in``, ``b_in``, ``U_1``, ``b_1``, ``V_1``, ..., ``W_out``, ``b_out``.
    activation : Activation
        Inside the blocks.
    bias : bool, default=True
        Whether the maps in and out have biases.
    step : float, default=1
        The step h. Networks of any step are the same functions, with other V; the step says how far a change of the
        parameters reaches. :meth:`folded` is the network of step one.

    Examples
    --------
    >>> import torch
    >>> from skgrow.networks import Activation, ResNet
    >>> ResNet((2, 3, 3, 2), torch.zeros(33), Activation("tanh"), bias=False).n_parameters
    33
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        theta: Tensor | None,
        activation: Activation,
        bias: bool = True,
        step: float = 1.0,
    ) -> None:
        self.step = step
        self.layer_sizes = tuple(int(size) for size in layer_sizes)
        d, width, *blocks, c = self.layer_sizes
        shapes, has_bias = [(width, d)], [bias]
        for m in blocks:
            shapes += [(m, width), (width, m)]
            has_bias += [True, False]
        super().__init__([*shapes, (c, width)], [*has_bias, bias], theta, activation)

    @classmethod
    def from_arrays(
        cls, weights: Sequence[Tensor], biases: Sequence[Tensor], activation: Activation, step: float = 1.0
    ) -> ResNet:
        """Build a network from its weights and biases (length 0 if there are none), map by map."""
        blocks = [U.shape[0] for U in weights[1:-1:2]]
        sizes = (weights[0].shape[1], weights[0].shape[0], *blocks, weights[-1].shape[0])
        parts = [part.reshape(-1) for pair in zip(weights, biases, strict=True) for part in pair]
        return cls(sizes, torch.cat(parts), activation, len(biases[-1]) > 0, step)

    def with_arrays(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> ResNet:
        """Return the network of other weights and biases (length 0 if there are none)."""
        return ResNet.from_arrays(weights, biases, self.activation, self.step)

    def with_step(self, step: float) -> ResNet:
        """Return the same function as an Euler scheme of another step."""
        weights = list(self.weights)
        weights[2:-1:2] = [V * (self.step / step) for V in weights[2:-1:2]]
        return ResNet.from_arrays(weights, self.biases, self.activation, step)

    def folded(self) -> ResNet:
        """Return the same function as an Euler scheme of step one."""
        return self if self.step == 1 else self.with_step(1.0)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return self.n_blocks

    @property
    def n_blocks(self) -> int:
        """Number of residual blocks."""
        return len(self.layer_sizes) - 3

    @property
    def n_activations(self) -> int:
        """Numbers that a forward pass leaves behind per sample."""
        return sum(self.layer_sizes) + self.n_blocks * self.layer_sizes[1]

    @property
    def hidden_maps(self) -> range:
        """The first maps of the blocks."""
        return range(1, len(self.shapes) - 1, 2)

    def _map(self, i: int, x: Tensor) -> Tensor:
        return linear(x, self.weights[i], self.biases[i] if self.has_bias[i] else None)

    def __call__(self, X: Tensor) -> Tensor:
        """Return the output, shape (n, c)."""
        z = self._map(0, X)
        for k in range(self.n_blocks):
            H = self.activation.value(self._map(1 + 2 * k, z))
            z = torch.addmm(z, H, self.weights[2 + 2 * k].T, alpha=self.step)
        return self._map(-1, z)

    def forward_pass(self, X: Tensor) -> LayerPass:
        """Return inputs of every map, slopes inside every block, and the output."""
        z = self._map(0, X)
        inputs, slopes = [X], []
        for k in range(self.n_blocks):
            Z = self._map(1 + 2 * k, z)
            H = self.activation.value(Z)
            slopes.append(self.activation.derivative(Z, H))
            inputs += [z, H]
            z = torch.addmm(z, H, self.weights[2 + 2 * k].T, alpha=self.step)
        return LayerPass([*inputs, z], slopes, self._map(-1, z))

    def backward_pass(self, state: LayerPass, output_delta: Tensor) -> list[Tensor]:
        """Backpropagate per-sample derivatives with respect to the output; see :class:`Network`."""
        deltas = [output_delta]
        scaled = torch.matmul(output_delta, self.weights[-1] * self.step)  # h times the derivative at the state
        for k in reversed(range(self.n_blocks)):
            inside = torch.matmul(scaled, self.weights[2 + 2 * k]).mul_(state.slopes[k])
            deltas += [scaled, inside]
            pair = scaled.flatten(0, -2), inside.flatten(0, -2)
            scaled = torch.addmm(*pair, self.weights[1 + 2 * k], alpha=self.step).view_as(scaled)
        return [*deltas, scaled if self.step == 1 else scaled / self.step][::-1]

    # insertion ---------------------------------------------------------------------------------------------

    @property
    def _scale(self) -> float:
        scales = {"tanh": NETWORKS.tanh_block, "logistic": NETWORKS.logistic_block}
        return scales.get(self.activation.name, 1.0)

    @property
    def n_insertion_points(self) -> int:
        """Before every block and behind the last."""
        return self.n_blocks + 1

    @property
    def inserts_exactly(self) -> bool:
        """Always: the new block adds zero."""
        return True

    def insert(self, point: int, X: Tensor) -> tuple[ResNet, Tensor]:  # noqa: ARG002
        r"""Insert a block with ``point`` blocks before it: U is c I, b and V are zero.

        Any U leaves the function as it is; it says what the new neurons see before it is trained itself. With c = 1
        tanh is nearly linear on states of size one, and so is the new block. Hence c = 2 for tanh and, since
        :math:`1 / (1 + e^{-2t}) = (1 + \tanh t) / 2`, c = 4 for the logistic function; c = 1 for the others.
        """
        self._require_point(point)
        width = self.layer_sizes[1]
        weights, biases = list(self.weights), list(self.biases)
        at = 1 + 2 * point
        eye = torch.eye(width, dtype=self.theta.dtype, device=self.theta.device)
        weights[at:at] = [self._scale * eye, torch.zeros_like(eye)]
        biases[at:at] = [eye.new_zeros(width), eye.new_zeros(0)]
        deeper = self.with_arrays(weights, biases)
        index = [i if i < at else i + 2 for i in range(len(self.weights))]
        return deeper, places(self, deeper, index)

    def insertion_pairs(self, state: LayerPass, deltas: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Return derivatives at the states and what the new blocks' V would multiply, point by point."""
        # maps at even places end in states, those at odd places start from them
        outside = [deltas[0] * self.step, *deltas[2:-1:2]]
        at_state = zip(outside, state.inputs[1::2], strict=True)
        return [(d, self.activation.value(self._scale * z)) for d, z in at_state]
