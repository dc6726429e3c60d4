r"""Problems of parts of a network: of its last hidden layer and the output, and of any hidden layer.

The last hidden layer and the output are a network with one hidden layer on the data :math:`x' = s(R_{L-2}(x))`, the
outputs of the layer below (Feischl, Rieder and Zehetgruber, section 4.1; the activation is missing there). What is
known of one hidden layer holds for this head.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from skgrow.networks import MLP, Network
from skgrow.problem._problem import Problem


def head_of(network: MLP, problem: Problem) -> tuple[MLP, Problem]:
    """Return the last hidden layer and the output as a network of one hidden layer, and its problem."""
    depth = len(network.weights)
    if depth == 2:
        return network, problem
    network = network.folded()
    head = MLP.from_arrays(network.weights[-2:], network.biases[-2:], network.activation)
    inputs = network.hidden(problem.X, depth - 2)
    operator = problem.operator
    if operator is not None:
        operator = operator.through(lambda x: network.hidden(x, depth - 2), problem.X)
    return head, replace(problem, X=inputs, operator=operator)


def joined(network: MLP, head: MLP) -> MLP:
    """Return the network with another head of equal inputs and outputs."""
    if len(network.weights) == 2:
        return head
    network = network.folded()
    weights, biases = network.weights[:-2] + head.weights, network.biases[:-2] + head.biases
    return MLP.from_arrays(weights, biases, network.activation)


def layer_problem(network: Network, problem: Problem, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return the polar problem of a hidden layer.

    Returns
    -------
    inputs : Tensor of shape (n, w_in)
        Of the layer.
    E : Tensor of shape (n, w_next)
        Backpropagated negative gradient :math:`E_k` at the pre-activations of the next layer.
    basis : Tensor of shape (n, w + 1)
        Features of the layer and the constant: at a stationary point E is orthogonal to them.
    """
    state = network.forward_pass(problem.X)
    i = network.hidden_maps[layer]
    E = network.backward_pass(state, problem.loss.negative_gradient(problem.outputs(network), problem.Y))[i + 1]
    H = state.inputs[i + 1]
    return state.inputs[i], E, torch.cat([H, H.new_ones(len(H), 1)], 1)
