"""What the search finds in noise: the scale on which the growth indicator is read."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from skgrow.growth._constants import GROWTH
from skgrow.growth._polar import orthonormal
from skgrow.networks import MLP, Activation
from skgrow.problem import Problem, head_of
from skgrow.training import Trained


def permuted_shares(
    search: Any, problem: Problem, head: MLP, basis: Tensor, activation: Activation, block_size: int
) -> Iterator[float]:
    """Yield which share of the residual's square a block removes, then of the residual in ever new orders of its rows.

    Under the null hypothesis that the residual is noise, rows times the roots of their weights are exchangeable: the
    variance of a mean of w observations is one over w. What the basis explains is left out on either side, and kinks
    may lie anywhere, since those of the permutations do so, too. Without neurons this is an exact permutation test.

    Parameters
    ----------
    search : Search
        Finds the blocks.
    problem : Problem
        Of the head.
    head : MLP
        Network of one hidden layer whose residual is looked at.
    basis : Tensor of shape (rows, k)
        What is refitted together with the block.
    activation : Activation
        Of the block.
    block_size : int
        Neurons of the block.
    """
    root = problem.g.sqrt()[:, None]
    Q = orthonormal(basis, root)
    residual = problem.negative_gradient(head) * root
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(len(residual))
    while True:
        target = residual[rows.to(residual.device)]
        target = target - Q @ (Q.T @ target)
        size = 0.5 * float(target.square().sum())
        block = None
        if size > 0:
            block = search.search(
                problem.X,
                target / root,
                problem.g,
                activation,
                block_size=block_size,
                basis=basis,
                live=head.weights[0],
                support=0.0,
                generator=generator,
                operator=problem.operator,
            )
        yield 0.0 if block is None else min(1.0, max(0.0, block.score / size))
        rows = torch.randperm(len(residual), generator=generator)


def exceeds_noise(trained: Trained, search: Any, block_size: int, *, least: float, n_above: int) -> bool:
    """Whether blocks find more in the residual of a trained network than in noise, and that is worth growing for.

    A few blocks of piecewise linear neurons are searched for at once, whatever the activation, but no more than one
    neuron for four samples.

    Parameters
    ----------
    trained : Trained
        The network.
    search : Search
        Finds the blocks.
    block_size : int
        Neurons of one.
    least : float
        What they have to remove of the loss, beyond what they remove of noise.
    n_above : int
        Permutations in which they may find at least as much. The next one ends the test.
    """
    if not trained.loss > least:  # whatever share they find
        return False
    head, problem = head_of(trained.network, trained.problem)
    most = max(block_size, problem.n_samples // GROWTH.samples_per_neuron)
    size = min(GROWTH.noise_blocks * block_size, most)
    drawn = permuted_shares(search, problem, head, problem.basis(head), Activation("relu"), size)
    found, mean = next(drawn), 0.0
    if not found * trained.loss > least:
        return False
    for share in islice(drawn, GROWTH.noise_draws):
        n_above -= share >= found
        mean += share / GROWTH.noise_draws  # of all draws it is no less than of those so far
        if n_above < 0 or not (found - mean) * trained.loss > least * (1 - mean):
            return False
    return True
