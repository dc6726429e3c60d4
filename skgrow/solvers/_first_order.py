"""Mini-batch solvers: PyTorch's SGD and Adam, as functions, on hand-written gradients.

The classes of ``torch.optim`` would import PyTorch's compiler first, for more than a second.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from skgrow.networks import Network
from skgrow.problem import Problem
from skgrow.solvers._constants import SOLVERS
from skgrow.solvers._state import Solver, SolverState


class MiniBatchSolver(Solver):
    """What the two solvers share: epochs over random batches, state that survives growth, falling rates."""

    learning_rate_init: float
    learning_rate: str
    batch_size: Any
    new_layer_rate: float
    preconditioner: Any

    sees_all_rows = False

    def single(self, n: int) -> bool:  # noqa: ARG002
        """Whether single precision will do: yes, noise of the batches is larger."""
        return True

    def averages(self, theta: Tensor) -> dict[str, Tensor]:
        """Return what the solver remembers of past gradients, before the first, by PyTorch's names."""
        raise NotImplementedError

    def update(self, theta: Tensor, gradient: Tensor, averages: dict[str, Tensor], rate: float) -> None:
        """Take a step, in place, and remember the gradient."""
        raise NotImplementedError

    def newness(self, steps: float, born: Tensor) -> Tensor:  # noqa: ARG002
        """Return the factor of a step of parameters that were ``born`` after the first step."""
        return torch.ones_like(born)

    def start(
        self, network: Network, problem: Problem, previous: object = None, kept: Tensor | None = None
    ) -> MiniBatchState:
        """Return the state of a run; moments of the previous run are carried to the places ``kept``."""
        state = MiniBatchState(self, network, problem)
        if isinstance(previous, MiniBatchState) and kept is not None:
            state.inherit(previous, kept)
        return state


class MiniBatchState(SolverState):
    """A run of a mini-batch solver; ``step()`` is one epoch."""

    monotone = False

    def __init__(self, solver: MiniBatchSolver, network: Network, problem: Problem) -> None:
        super().__init__(network, problem)
        self.solver = solver
        self.theta = network.theta.clone()
        self.averages = solver.averages(self.theta)
        self.rate = solver.learning_rate_init
        self.best = float("inf")
        self.stale = 0
        start = None if solver.preconditioner is None else solver.preconditioner.start
        self.generator = torch.Generator().manual_seed(0) if solver.generator is None else solver.generator
        self.preconditioner = None if start is None else start(network, self.generator)
        self.factors: Tensor | None = None  # of the learning rate, parameter by parameter
        self.born: Tensor | None = None  # steps before each parameter came, where not zero for all
        self.batch_size = solver.rows(problem.n_samples)

    def inherit(self, previous: MiniBatchState, kept: Tensor) -> None:
        """Take over the moments of the previous run, zero for new parameters, whose rate may be another."""
        if len(kept) == len(self.theta):  # nothing new: the run goes on
            self.rate, self.best, self.stale = previous.rate, previous.best, previous.stale
        if self.preconditioner is not None and previous.preconditioner is not None:
            self.preconditioner.inherit(previous.preconditioner, self.network, kept)
        born = previous.born_by(len(self.theta), kept)
        self.born = born if bool(born.any()) else None
        if self.solver.new_layer_rate != 1 or previous.factors is not None:
            self.factors = torch.full_like(self.theta, self.solver.new_layer_rate)
            self.factors[kept] = 1.0 if previous.factors is None else previous.factors
        for name, value in self.averages.items():
            before = previous.averages.get(name)
            if before is not None and value.ndim:
                value[kept] = before
            elif before is not None:
                value.copy_(before)

    def moments(self, n_parameters: int, kept: Tensor | None) -> dict[str, Tensor]:
        """Return what a later run needs to go on, at the places ``kept`` of a network that has grown."""
        found = dict(self.averages)
        if kept is not None:
            for key, value in found.items():
                if value.ndim:
                    found[key] = value.new_zeros(n_parameters)
                    found[key][kept] = value
        if kept is not None or self.born is not None:
            places = torch.arange(n_parameters, device=self.theta.device) if kept is None else kept
            found["born"] = self.born_by(n_parameters, places)
        return found

    def restore(self, moments: dict[str, Tensor]) -> None:
        """Go on from :meth:`moments`."""
        born = moments.get("born")
        self.born = None if born is None else born.to(self.theta)
        for name, value in self.averages.items():
            if name in moments:
                value.copy_(moments[name])

    def born_by(self, n_parameters: int, kept: Tensor) -> Tensor:
        """Return for the parameters of a network that goes on from this one how many steps came before them."""
        count = float(self.averages.get("step", 0.0))
        born = self.theta.new_full((n_parameters,), count)
        born[kept] = 0.0 if self.born is None else self.born
        return born

    def step(self) -> float:
        """Run one epoch and return the mean objective seen; the learning rate halves on plateaus."""
        total = self.theta.new_zeros(())
        network = self.network.with_theta(self.theta)
        count = 0
        for batch in self.problem.batches(self.batch_size, self.generator):
            before = None if self.factors is None and self.born is None else self.theta.clone()
            if self.preconditioner is None:
                value, gradient = batch.value_and_gradient(network)
            else:
                value, gradient = self.preconditioner.step(network, batch)
            if self.preconditioner is not None and self.preconditioner.direct:
                self.theta.sub_(gradient)
            else:
                self.solver.update(self.theta, gradient, self.averages, self.rate)
            if before is not None:
                torch.addcmul(before, self._scale(), self.theta - before, out=self.theta)
            total += value
            count += 1
        self.network = self.network.with_theta(self.theta.clone())
        mean = float(total) / count
        self.stale = 0 if mean < self.best else self.stale + 1
        self.best = min(self.best, mean)
        if self.solver.learning_rate == "adaptive" and self.stale >= SOLVERS.rate_patience:
            self.stale = 0
            self.rate *= SOLVERS.rate_cut
        return mean

    def report(self, network: Network, problem: Problem) -> dict[str, Any]:
        """Return what the preconditioner says of a network's layers."""
        return {} if self.preconditioner is None else self.preconditioner.report(network, problem)

    def _scale(self) -> Tensor:
        """Return what a step is multiplied with, parameter by parameter."""
        scale = torch.ones_like(self.theta) if self.factors is None else self.factors
        if self.born is None:
            return scale
        return scale * self.solver.newness(float(self.averages.get("step", 0.0)), self.born)


def _fused(theta: Tensor) -> bool:
    """Whether PyTorch has a step in one kernel for parameters of this kind."""
    return theta.device.type in ("cpu", "cuda")


class StochasticGradient(MiniBatchSolver):
    """Stochastic gradient descent with Nesterov momentum, as in MLPRegressor.

    Parameters
    ----------
    learning_rate_init : float, default=0.001
        Initial step size.
    learning_rate : {"adaptive", "constant"}, default="adaptive"
        ``"adaptive"`` halves the step size after three epochs without progress.
    batch_size : "auto" or int, default="auto"
        ``"auto"`` is ``min(200, n_samples)``.
    momentum : float, default=0.9
        In [0, 1); 0 is plain gradient descent.
    new_layer_rate : float, default=1.0
        Factor of the step size of parameters that are new in a run that goes on from another.
    preconditioner : FrobeniusPreconditioner, optional
        Gradients pass through it on their way into the step.
    """

    def __init__(
        self,
        learning_rate_init: float = 0.001,
        *,
        learning_rate: str = "adaptive",
        batch_size: Any = "auto",
        momentum: float = 0.9,
        new_layer_rate: float = 1.0,
        preconditioner: Any = None,
    ) -> None:
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.momentum = momentum
        self.new_layer_rate = new_layer_rate
        self.preconditioner = preconditioner

    def averages(self, theta: Tensor) -> dict[str, Tensor]:
        """Return a momentum of zero, if there is to be one."""
        return {"momentum_buffer": torch.zeros_like(theta)} if self.momentum else {}

    def update(self, theta: Tensor, gradient: Tensor, averages: dict[str, Tensor], rate: float) -> None:
        """Take a step of :class:`torch.optim.SGD`."""
        sgd(
            [theta],
            [gradient],
            [averages.get("momentum_buffer")],
            fused=_fused(theta),
            weight_decay=0.0,
            momentum=self.momentum,
            lr=rate,
            dampening=0.0,
            nesterov=self.momentum > 0,
            maximize=False,
        )


class Adam(MiniBatchSolver):
    """Adam.

    Parameters
    ----------
    learning_rate_init : float, default=0.001
        Initial step size.
    learning_rate : {"adaptive", "constant"}, default="adaptive"
        ``"adaptive"`` halves the step size after three epochs without progress.
    batch_size : "auto" or int, default="auto"
        ``"auto"`` is ``min(200, n_samples)``.
    new_layer_rate : float, default=1.0
        Factor of the step size of parameters that are new in a run that goes on from another.
    preconditioner : FrobeniusPreconditioner, optional
        Gradients pass through it on their way into the step.
    """

    def __init__(
        self,
        learning_rate_init: float = 0.001,
        *,
        learning_rate: str = "adaptive",
        batch_size: Any = "auto",
        new_layer_rate: float = 1.0,
        preconditioner: Any = None,
    ) -> None:
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.new_layer_rate = new_layer_rate
        self.preconditioner = preconditioner

    def averages(self, theta: Tensor) -> dict[str, Tensor]:
        """Return moments of zero, and the number of steps."""
        count = torch.zeros((), dtype=torch.float32, device=theta.device if _fused(theta) else None)
        return {"exp_avg": torch.zeros_like(theta), "exp_avg_sq": torch.zeros_like(theta), "step": count}

    def update(self, theta: Tensor, gradient: Tensor, averages: dict[str, Tensor], rate: float) -> None:
        """Take a step of :class:`torch.optim.Adam`."""
        adam(
            [theta],
            [gradient],
            [averages["exp_avg"]],
            [averages["exp_avg_sq"]],
            [],
            [averages["step"]],
            fused=_fused(theta),
            amsgrad=False,
            beta1=SOLVERS.adam_mean,
            beta2=SOLVERS.adam_square,
            lr=rate,
            weight_decay=0.0,
            eps=SOLVERS.adam_offset,
            maximize=False,
        )

    def newness(self, steps: float, born: Tensor) -> Tensor:
        """Return the bias correction of averages as young as the parameters, over that of the oldest.

        Without it parameters that come later, whose averages start at zero, take steps up to seven times too large.
        """

        def correction(count: Tensor) -> Tensor:
            return (1 - SOLVERS.adam_square**count).sqrt() / (1 - SOLVERS.adam_mean**count)

        return correction(steps - born) / correction(born.new_tensor(steps))
