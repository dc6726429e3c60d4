r"""Growth inside deep networks: the linearised problem of any hidden layer.

A neuron h added to an earlier layer with outgoing weights a changes the pre-activations above by :math:`h a^T`, and
the output to first order by :math:`J_k h a`, with :math:`J_k = \partial F/\partial y_{k+1}` (section 4.2). The loss
changes by :math:`-\langle E_k, h a^T\rangle` with :math:`E_k = J_k^T E`, the backpropagated negative gradient: the
polar problem again. The linearised least-squares problem :math:`|E - J_k h a|^2` (in the metric of the curvature)
gives the weights a and a decrease of the loss, comparable across layers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skgrow._tolerances import LINEARISED_RIDGE, SPANNED_SQUARE
from skgrow.growth._constants import GROWTH
from skgrow.networks import MLP
from skgrow.problem import Problem, damped_cholesky, gram_matrix, layer_problem, sum_over_samples


def linearised_refit(network: MLP, problem: Problem, layer: int, W: Tensor, b: Tensor) -> tuple[Tensor, Tensor, float]:
    r"""Solve the linearised problem for the outgoing weights of new neurons in a hidden layer.

    The part of the new features in the span of the old ones is left to the old ones.

    Returns
    -------
    V : Tensor of shape (w_next, m)
        Outgoing weights of the new neurons.
    C : Tensor of shape (w + 1, m)
        New features are ``basis @ C`` plus what is orthogonal to the basis: the old weights and the bias above
        change by ``-V @ C.T``.
    decrease : float
        Of the linearised loss.
    """
    g = problem.g
    _, _, basis = layer_problem(network, problem, layer)
    inputs = network.hidden(problem.X, layer)
    features = network.activation.value(torch.addmm(b, inputs, W.T))
    root = g.sqrt()[:, None]
    C = torch.linalg.lstsq(basis * root, features * root, driver="gelsd" if g.device.type == "cpu" else None).solution
    rest = features - basis @ C
    # in the span of the old ones: rounding alone
    rest = rest * (g @ rest.square() > SPANNED_SQUARE * (g @ features.square()))
    n_next, m = network.layer_sizes[layer + 2], len(b)

    def chunk(X: Tensor, Y: Tensor, g: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        state = network.forward_pass(X)
        n, c = state.output.shape
        seed = problem.loss.curvature_root(state.output, Y)
        if seed is None:
            seed = torch.eye(c, dtype=X.dtype, device=X.device).unsqueeze(1).expand(c, n, c)
        E = problem.loss.negative_gradient(state.output, Y)
        rows = network.backward_pass(state, seed)[layer + 1] * g.sqrt()[:, None]  # (c, n, w_next)
        J = (rows[..., None] * rest[:, None, :]).reshape(-1, n_next * m)
        moments = (network.backward_pass(state, E)[layer + 1] * g[:, None]).T @ rest
        return gram_matrix(J), moments

    size = 2 * problem.Y.shape[1] * n_next * (m + 2) * problem.X.element_size()
    gram, moments = sum_over_samples(chunk, problem.X, problem.Y, g, rest, bytes_per_row=size)
    ridge = gram.diagonal().mean() * LINEARISED_RIDGE + problem.ridge
    factor = damped_cholesky(gram, torch.full_like(gram[0], float(ridge)))
    solution = torch.cholesky_solve(moments.reshape(-1, 1), factor)[:, 0]
    return solution.view(n_next, m), C, 0.5 * float(solution @ moments.reshape(-1))


def append_inside(network: MLP, problem: Problem, layer: int, W: Tensor, b: Tensor) -> MLP:
    """Return the network with new neurons in a hidden layer, their outgoing weights by the linearised problem.

    The step is halved until the objective is not above that of the same network with outgoing weights zero, which
    leaves the function as it is and is what remains at the worst.
    """
    V, C, _ = linearised_refit(network, problem, layer, W, b)
    weights, biases = list(network.weights), list(network.biases)
    weights[layer], biases[layer] = torch.cat([weights[layer], W]), torch.cat([biases[layer], b])
    above, bias = network.weights[layer + 1], network.biases[layer + 1]
    change = V @ C.T

    def at(step: float) -> MLP:
        weights[layer + 1] = torch.cat([above - step * change[:, :-1], step * V], 1)
        biases[layer + 1] = bias - step * change[:, -1]
        return MLP.from_arrays(weights, biases, network.activation)

    silent = at(0.0)
    highest = float(problem.objective(silent))
    for k in range(GROWTH.halvings):
        grown = at(0.5**k)
        if float(problem.objective(grown)) <= highest:
            return grown
    return silent
