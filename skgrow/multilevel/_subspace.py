"""A network as a function of coordinates of its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from torch import Tensor

from skgrow.networks import LayerPass, Network


class SubspaceNetwork(Network):
    r"""The network of parameters :math:`\theta_0 + V (t - V^T \theta_0)`, with parameters t.

    Parameters
    ----------
    network : Network
        Of parameters theta_0.
    basis : Tensor of shape (n_parameters, m)
        V, with orthonormal columns.
    theta : Tensor of shape (m,)
        Coordinates t.
    """

    def __init__(self, network: Network, basis: Tensor, theta: Tensor) -> None:
        self.layer_sizes = network.layer_sizes
        super().__init__([(1, basis.shape[1])], [False], theta, network.activation)
        self.network, self.basis = network, basis
        self.start = basis.T @ network.theta

    @property
    def embedded(self) -> Network:
        """The network of parameters at these coordinates (solvers change them in place)."""
        return self.network.with_theta(self.network.theta + self.basis @ (self.theta - self.start))

    def with_theta(self, theta: Tensor) -> SubspaceNetwork:
        """Return the network of other coordinates."""
        return SubspaceNetwork(self.network, self.basis, theta)

    @property
    def n_activations(self) -> int:
        """Numbers that a forward pass leaves behind per sample."""
        return self.network.n_activations

    @property
    def flops(self) -> float:
        """Multiplications and additions of one forward and backward pass, per sample."""
        return self.network.flops

    def __call__(self, X: Tensor) -> Tensor:
        """Return the output, shape (n, c)."""
        return self.embedded(X)

    def forward_pass(self, X: Tensor) -> LayerPass:
        """Return the layer pass of the network."""
        return self.embedded.forward_pass(X)

    def backward_pass(self, state: LayerPass, output_delta: Tensor) -> list[Tensor]:
        """Backpropagate in the network."""
        return self.embedded.backward_pass(state, output_delta)

    def gradient_of(self, deltas: list[Tensor], state: LayerPass) -> Tensor:
        """Return the derivatives by the coordinates."""
        return self.basis.T @ self.embedded.gradient_of(deltas, state)

    # what coordinates do not have --------------------------------------------------------------------------

    @property
    def depth(self) -> int:
        """None of its layers can be doubled."""
        return 0

    @property
    def hidden_maps(self) -> Sequence[int]:
        """No map takes further neurons."""
        return ()

    @property
    def n_insertion_points(self) -> int:
        """No layer can be inserted."""
        return 0

    def with_arrays(self, weights: Sequence[Tensor], biases: Sequence[Tensor]) -> NoReturn:
        """Refuse: coordinates belong to a fixed architecture."""
        raise NotImplementedError("a network of coordinates has no arrays of its own.")

    def insert(self, point: int, X: Tensor) -> NoReturn:
        """Refuse: coordinates belong to a fixed architecture."""
        raise NotImplementedError("no layer can be inserted into a network of coordinates.")

    def insertion_pairs(self, state: LayerPass, deltas: list[Tensor]) -> list[tuple[Tensor, Tensor]]:  # noqa: ARG002
        """Return no pairs."""
        return []
