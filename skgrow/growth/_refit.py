"""The exact output layer: ridge least squares on the hidden features, and leave-out losses from it."""

from __future__ import annotations

import torch
from torch import Tensor

from skgrow.networks import MLP
from skgrow.training import Problem, sum_over_samples


def _feature_gram(network: MLP, problem: Problem) -> tuple[Tensor, Tensor]:
    """Weighted Gram matrix of the hidden features and the constant, and their products with the targets."""

    def chunk(X: Tensor, Y: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        H = network.hidden(X)
        B = torch.cat([H, torch.ones_like(H[:, :1]) if H.shape[1] else X.new_ones(len(X), 1)], 1)
        weighted = (B * g[:, None]).T
        return weighted @ B, weighted @ Y

    size = 4 * sum(network.layer_sizes) * problem.X.element_size()
    gram, moments = sum_over_samples(chunk, problem.X, problem.Y, problem.g, bytes_per_row=size)
    return gram, moments


def _output_gram(network: MLP, problem: Problem) -> tuple[Tensor, Tensor]:
    """Return the same with the penalty on the diagonal."""
    gram, moments = _feature_gram(network, problem)
    penalised = gram.diagonal()[:-1]
    penalised += problem.alpha / problem.total_weight
    return gram, moments


def _unit_diagonal(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Gram matrix in double precision scaled to a unit diagonal, and the scale."""
    gram = gram.to("cpu", torch.float64) if gram.device.type == "mps" else gram.to(torch.float64)
    scale = gram.diagonal().clamp_min(torch.finfo(gram.dtype).tiny).rsqrt()
    return gram * scale[:, None] * scale, scale


def refit_output(network: MLP, problem: Problem) -> MLP:
    """Return the network with the output layer that minimises the objective, all other weights fixed."""
    gram, moments = _output_gram(network, problem)
    unit, scale = _unit_diagonal(gram)
    inverse = torch.linalg.pinv(unit, hermitian=True, rtol=len(unit) * torch.finfo(unit.dtype).eps)
    solution = (scale[:, None] * (inverse @ (scale[:, None] * moments.to(scale)))).to(gram)
    theta = network.theta.clone()
    w, b = network.slices[-1]
    theta[w] = solution[:-1].T.reshape(-1)
    theta[b] = solution[-1]
    refitted = network.with_theta(theta)
    return refitted if bool(problem.objective(refitted) <= problem.objective(network)) else network


def leave_out_losses(network: MLP, problem: Problem) -> Tensor:
    r"""Return, per last hidden neuron, by how much the objective rises without it after an exact refit.

    With the inverse Gram matrix :math:`K` of the refitted output layer and output weights :math:`a_j`, that is
    :math:`|a_j|^2 / (2 K_{jj})`: no refit is needed to know it.

    Returns
    -------
    Tensor of shape (w,)
        Not negative; about 0 for a neuron in the span of the others.
    """
    gram, moments = _output_gram(network, problem)
    unit, scale = _unit_diagonal(gram)
    # a small ridge, not a pseudo-inverse: two equal neurons have to see that each can stand in for the other
    unit = unit + 1e-12 * torch.eye(len(unit), dtype=unit.dtype, device=unit.device)
    inverse = torch.linalg.inv(unit)
    solution = inverse @ (scale[:, None] * moments.to(scale))
    width = network.layer_sizes[-2]
    diagonal = inverse.diagonal()[:width].clamp_min(torch.finfo(unit.dtype).tiny)
    return (solution[:width].square().sum(1) / (2 * diagonal)).to(gram)


def output_gauss_newton(network: MLP, problem: Problem) -> Tensor:
    """Return the block of the Gauss-Newton matrix of the squared error that belongs to the output layer.

    Returns
    -------
    Tensor of shape (q, q)
        Over the last q parameters: output weights row by row, then output biases.
    """
    gram, _ = _feature_gram(network, problem)
    c, w = network.layer_sizes[-1], network.layer_sizes[-2]
    eye = torch.eye(c, dtype=gram.dtype, device=gram.device)
    full = torch.kron(eye, gram)  # output by output: weights, bias
    places = torch.arange(len(full), device=gram.device).view(c, w + 1)
    order = torch.cat([places[:, :-1].reshape(-1), places[:, -1]])
    return full[order][:, order]
