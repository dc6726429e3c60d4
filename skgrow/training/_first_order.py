"""Mini-batch solvers: PyTorch's SGD and Adam on hand-written gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from skgrow.networks import MLP
from skgrow.training._problem import Problem


class _MiniBatch:
    """What the two solvers share: epochs over random batches, state that survives growth, falling rates."""

    def __init__(
        self, *, learning_rate: float, batch_size: int | None, generator: torch.Generator, patience: int = 3
    ) -> None:
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.generator = generator
        self.patience = patience

    def optimizer(self, theta: Tensor) -> torch.optim.Optimizer:
        """Return PyTorch's optimizer of ``theta``."""
        raise NotImplementedError

    def start(
        self, network: MLP, problem: Problem, previous: object = None, kept: Tensor | None = None
    ) -> MiniBatchState:
        """Return the state of a run; moments of the previous run are carried to the places ``kept``."""
        state = MiniBatchState(self, self.optimizer, network, problem)
        if isinstance(previous, MiniBatchState) and kept is not None:
            state.inherit(previous, kept)
        return state


class MiniBatchState:
    """A run of a mini-batch solver; ``step()`` is one epoch."""

    monotone = False

    def __init__(
        self,
        solver: _MiniBatch,
        make_optimizer: Callable[[Tensor], torch.optim.Optimizer],
        network: MLP,
        problem: Problem,
    ) -> None:
        self.solver, self.network, self.problem = solver, network, problem
        self.converged = False
        self.theta = network.theta.clone()
        self.theta.grad = torch.zeros_like(self.theta)
        self.optimizer = make_optimizer(self.theta)
        self.best = float("inf")
        self.stale = 0
        size = solver.batch_size if solver.batch_size is not None else min(200, problem.n_samples)
        self.batch_size = min(size, problem.n_samples)

    def inherit(self, previous: MiniBatchState, kept: Tensor) -> None:
        """Take over the moments of the previous run, zero for new parameters."""
        old = previous.optimizer.state.get(previous.theta, {})
        for name, value in old.items():
            if isinstance(value, Tensor) and value.shape == previous.theta.shape:
                moved = torch.zeros_like(self.theta)
                moved[kept] = value
                self.optimizer.state[self.theta][name] = moved
            else:
                self.optimizer.state[self.theta][name] = value.clone() if isinstance(value, Tensor) else value

    def step(self) -> float:
        """Run one epoch and return the mean objective seen; the learning rate halves on plateaus."""
        total = self.theta.new_zeros(())
        network = self.network.with_theta(self.theta)
        count = 0
        for batch in self.problem.batches(self.batch_size, self.solver.generator):
            value, self.theta.grad = batch.value_and_gradient(network)
            self.optimizer.step()
            total += value
            count += 1
        self.network = self.network.with_theta(self.theta.clone())
        mean = float(total) / count
        self.stale = 0 if mean < self.best else self.stale + 1
        self.best = min(self.best, mean)
        if self.stale >= self.solver.patience:
            self.stale = 0
            for group in self.optimizer.param_groups:
                group["lr"] *= 0.5
        return mean


class StochasticGradient(_MiniBatch):
    """Stochastic gradient descent with Nesterov momentum 0.9, as in MLPRegressor.

    Parameters
    ----------
    learning_rate : float
        Initial step size.
    batch_size : int or None
        None for ``min(200, n_samples)``.
    generator : torch.Generator
        Draws the batches.
    patience : int, default=3
        Epochs without progress after which the learning rate is halved.
    """

    def optimizer(self, theta: Tensor) -> torch.optim.Optimizer:
        """Return PyTorch's optimizer of ``theta``."""
        return torch.optim.SGD([theta], lr=self.learning_rate, momentum=0.9, nesterov=True)


class Adam(_MiniBatch):
    """Adam.

    Parameters
    ----------
    learning_rate : float
        Initial step size.
    batch_size : int or None
        None for ``min(200, n_samples)``.
    generator : torch.Generator
        Draws the batches.
    patience : int, default=3
        Epochs without progress after which the learning rate is halved.
    """

    def optimizer(self, theta: Tensor) -> torch.optim.Optimizer:
        """Return PyTorch's optimizer of ``theta``."""
        return torch.optim.Adam([theta], lr=self.learning_rate)
