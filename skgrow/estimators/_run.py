"""One fit of any estimator: data on the device, the problem, the solver, and what is left on the estimator."""

from __future__ import annotations

import math
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.utils import check_random_state
from threadpoolctl import ThreadpoolController
from torch import Tensor

from skgrow.estimators import _callbacks
from skgrow.estimators._base import network_attributes
from skgrow.estimators._data import Samples, Scaling, resolve_device
from skgrow.networks import MLP, Activation, Network, from_standardized
from skgrow.preconditioning import as_preconditioner
from skgrow.problem import DenseCurvature, KroneckerCurvature, Problem
from skgrow.solvers import (
    FULL_BATCH_SAMPLES,
    LBFGS,
    Adam,
    AutoSolver,
    LevenbergMarquardt,
    StochasticGradient,
    refit_output,
)
from skgrow.training import SCHEDULES, Monitor, Trained

#: Entries of X, or of a mini-batch, up to which one thread is used on a CPU.
_SINGLE_THREAD_SIZE = 50_000


@cache
def _thread_pools() -> ThreadpoolController:
    """Return the thread pools of the process: to find them takes milliseconds, as long as a small fit."""
    return ThreadpoolController()


class Run:
    """One fit: data on the device, problem and solver, and what they leave on the estimator."""

    #: Samples per incoming weight that Levenberg-Marquardt asks of a kink that it moves.
    _kink_support = 3.0

    #: Rows beyond which ``early_stopping="auto"`` holds out validation data, as in HistGradientBoosting.
    _early_stopping_rows = 10_000

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        weight: Any,
        validation: tuple[Any, Any, Any] | None,
        previous: Network | None,
        keep_units: bool = False,
    ) -> None:
        self.estimator, self.previous, self.y_ndim = estimator, previous, y.ndim
        self.callback_data = {"X": X, "y": y}
        self.x_dtype = np.float32 if str(X.dtype).endswith("float32") else np.float64
        random_state = check_random_state(estimator.random_state)
        self.seed = int(random_state.randint(2**31 - 1))
        n, d = X.shape
        c = 1 if y.ndim == 1 else y.shape[1]
        self.device = resolve_device(estimator.device, self._work(n, d, c), X)
        self.curvature_kind = self._curvature_kind(n, d, c)
        self.dtype = self._resolve_dtype(n)
        samples = Samples.build(X, y, weight, self.device, self.dtype)
        held_out, self.everything = None, None
        if validation is not None:
            held_out = Samples.build(*validation, self.device, self.dtype)
        elif self._stops_early(n, d, c):
            self.everything = samples
            generator = torch.Generator().manual_seed(self.seed)
            samples, held_out = samples.split(estimator.validation_fraction, generator)
        samples = samples.merged()
        kind = "size" if estimator.operator is not None else estimator._target_kind()
        if keep_units:
            x_mean, x_scale, y_mean, y_scale = (
                torch.as_tensor(a, device=self.device, dtype=self.dtype) for a in estimator._scaling
            )
            self.scaling = Scaling(x_mean, x_scale, y_mean, y_scale, kind == "log")
        else:
            self.scaling = Scaling.of(samples, estimator.standardize, kind, estimator._n_channels(d))
        self.samples = self.scaling.apply(samples)
        self.held_out = self.scaling.apply(held_out) if held_out is not None else None
        if self.everything is not None:
            self.everything = self.scaling.apply(self.everything.merged())
        self.loss_curve: list[float] = []
        self.loss = estimator._make_loss(self.samples)
        self.operator = estimator._make_operator(samples, self.scaling)
        if self.operator is not None:  # one network output, whatever the number of components
            self.y_ndim = 1
            self.scaling.y_mean = self.scaling.y_mean[:1]
            self.scaling.y_scale = self.scaling.y_scale[:1] / self.operator.unit

    # what subclasses define --------------------------------------------------------------------------------

    def _work(self, n: int, d: int, c: int) -> float:
        """Return about how many operations a pass over the data takes."""
        raise NotImplementedError

    def _curvature_kind(self, n: int, d: int, c: int) -> str:  # noqa: ARG002
        return "dense"

    def _first_order(self, n: int) -> bool:
        """Return whether single precision will do: with mini-batches."""
        solver = self.estimator.solver
        large = n > 10 * FULL_BATCH_SAMPLES or self.estimator.preconditioner is not None
        return solver in ("adam", "sgd") or (solver == "auto" and large)

    def _stops_early(self, n: int, d: int, c: int) -> bool:  # noqa: ARG002
        """Return whether validation data are held out."""
        choice = self.estimator.early_stopping
        if choice == "auto":
            return n > self._early_stopping_rows
        if choice and n < 2:
            raise ValueError(f"early_stopping=True needs at least 2 samples; got n_samples = {n}.")
        return bool(choice)

    def _fit_networks(self) -> None:
        """Train, and store the results."""
        raise NotImplementedError

    def _grown_on(self, network: Any, problem: Any, solver: Any, generator: Any) -> tuple[Any, Tensor | None]:
        """Return a network that ``partial_fit`` lets grow and the places of its parameters, or as it is."""
        raise NotImplementedError

    # parts of a fit ----------------------------------------------------------------------------------------

    def train(self) -> None:
        """Train and store what was found."""
        _callbacks.enable_logging(self.estimator.verbose)
        self.context = _callbacks.open_task(self.estimator, None)
        self._fit_networks()
        _callbacks.close_task(self.context, self.estimator, self.callback_data, self._reconstruction)

    def _resolve_dtype(self, n: int) -> torch.dtype:
        estimator = self.estimator
        if self.device.type == "mps":
            if estimator.dtype == "float64":
                raise ValueError("dtype='float64' is not available on device 'mps'; allowed there: 'auto', 'float32'.")
            return torch.float32
        if estimator.dtype != "auto":
            return getattr(torch, estimator.dtype)
        return torch.float32 if self._first_order(n) else torch.float64

    def _threads(self) -> Any:
        """On small data one thread: there is nothing to share, and on busy cores threads wait for each other."""
        rows, columns = self.samples.X.shape
        if self._first_order(rows):
            rows = min(rows, 200 if self.estimator.batch_size == "auto" else self.estimator.batch_size)
        if self.device.type == "cpu" and rows * columns <= _SINGLE_THREAD_SIZE:
            return _thread_pools().limit(limits=1)
        return nullcontext()

    def _problem(self, samples: Samples, **settings: Any) -> Problem:
        Y = samples.Y if self.operator is None else self.operator.stacked(samples.Y)
        return Problem(
            samples.X,
            Y,
            samples.weight,
            loss=self.loss,
            operator=self.operator,
            curvature=KroneckerCurvature if self.curvature_kind == "kronecker" else DenseCurvature,
            **settings,
        )

    def _rates(self) -> dict[str, Any]:
        """Return further settings of the mini-batch solvers."""
        return {}

    def _make_solver(self, generator: torch.Generator) -> Any:
        estimator = self.estimator
        preconditioner = as_preconditioner(estimator.preconditioner)
        if preconditioner is not None and (
            estimator.solver not in ("auto", "sgd", "adam") or self.operator is not None
        ):
            raise ValueError(
                "preconditioner needs solver='sgd' or 'adam', and no operator; got "
                f"solver={estimator.solver!r}, operator={estimator.operator!r}."
            )
        batch_size = None if estimator.batch_size == "auto" else estimator.batch_size
        rates = {"learning_rate": estimator.learning_rate_init, "batch_size": batch_size, "generator": generator}
        rates |= self._rates() | {"preconditioner": preconditioner}
        if estimator.solver == "sgd" or (estimator.solver == "auto" and preconditioner is not None):
            return StochasticGradient(momentum=getattr(estimator, "momentum", 0.9), **rates)
        adam = Adam(**rates)
        lm, lbfgs = LevenbergMarquardt(support=self._kink_support), LBFGS()
        if estimator.solver == "auto":
            return AutoSolver(lm, lbfgs, adam)
        return {"lm": lm, "lbfgs": lbfgs, "adam": adam}[estimator.solver]

    def _schedule(self) -> Any:
        schedule = self.estimator.schedule
        return SCHEDULES[schedule]() if isinstance(schedule, str) else schedule

    def update(self) -> None:
        """Train the fitted network on a further batch, and grow it on a plateau (``partial_fit``)."""
        estimator = self.estimator
        generator = torch.Generator().manual_seed(self.seed + estimator.n_iter_)
        problem = self._problem(self.samples)
        problem = problem.at(estimator.alpha_ * problem.total_weight / estimator._total_weight)
        rates = {"learning_rate": estimator.learning_rate_init, "generator": generator}
        rates["preconditioner"] = as_preconditioner(estimator.preconditioner)
        adam = Adam(batch_size=None if estimator.batch_size == "auto" else estimator.batch_size, **rates)
        state = adam.start(self._fitted(), problem)
        moments = getattr(estimator, "_moments", None) or {}
        state.restore({key: torch.as_tensor(value.copy()) for key, value in moments.items()})
        value = state.step()
        if not math.isfinite(value):
            raise ValueError("The loss on this batch is not finite; the estimator is unchanged.")
        network, kept = state.network, None
        losses = [*getattr(estimator, "_batch_losses", []), value]
        schedule = self._schedule()
        if schedule.due(losses, estimator.n_iter_ + 1):
            network, kept = self._grown_on(network, problem, adam, generator)
            losses = [value]
        found = state.moments(network.n_parameters, kept)
        estimator._moments = {key: value.to("cpu").numpy() for key, value in found.items()}
        estimator._batch_losses = losses
        estimator.loss_curve_ = [*estimator.loss_curve_, value]
        estimator.n_iter_ += 1
        estimator.loss_, estimator.best_loss_ = value, min(estimator.best_loss_, value)
        self._forget()
        estimator._store_network(self._raw(network), self.x_dtype)

    def _forget(self) -> None:
        """Drop what is no longer true after a further batch."""

    # results -----------------------------------------------------------------------------------------------

    def _fitted(self) -> Network:
        """Return the estimator's network in the units of this run."""
        s = self.scaling
        raw = self.estimator._network(self.device, self.dtype)
        return from_standardized(raw, -s.x_mean / s.x_scale, 1 / s.x_scale, -s.y_mean / s.y_scale, 1 / s.y_scale)

    def _raw(self, network: Network) -> Network:
        s = self.scaling
        return from_standardized(network, s.x_mean, s.x_scale, s.y_mean, s.y_scale)

    def _store_common(self, trained: Trained, problem: Any, history: list[dict[str, Any]]) -> None:
        """Store what every estimator has."""
        estimator = self.estimator
        for name in ("_moments", "_batch_losses"):  # of batches before this fit
            estimator.__dict__.pop(name, None)
        estimator._store_network(self._raw(trained.network), self.x_dtype)
        estimator._total_weight = problem.total_weight
        estimator._y_ndim = self.y_ndim
        s = self.scaling
        estimator._scaling = [a.to("cpu").numpy() for a in (s.x_mean, s.x_scale, s.y_mean, s.y_scale)]
        estimator.history_ = history
        estimator.loss_curve_ = self.loss_curve
        estimator.n_iter_ = len(self.loss_curve)
        estimator.loss_ = trained.loss
        estimator.best_loss_ = min(row["train_loss"] for row in history)
        estimator.alpha_ = trained.alpha
        estimator.validation_scores_ = self._validation_scores(history)

    def complete(self, row: dict[str, Any]) -> None:
        """Make a row of the history one of the fitted network, where training has another one."""

    def _validation_scores(self, history: list[dict[str, Any]]) -> list[float] | None:
        if self.held_out is None:
            return None
        problem = self._problem(self.held_out)
        d, c = self.samples.X.shape[1], problem.Y.shape[1]
        constant = MLP((d, 0, c), problem.X.new_zeros(c), Activation("relu"))
        total = float(problem.data_loss(refit_output(constant, problem)))
        return [1 - row["validation_loss"] / total if total > 0 else math.nan for row in history]

    def _reconstruction(self, network: Network | None = None) -> dict[str, Any]:
        """Return the attributes that a callback's copy of the estimator needs to predict."""
        if network is None:
            found = {name: getattr(self.estimator, name) for name in self.estimator._network_names}
        else:
            found = network_attributes(self._raw(network), self.x_dtype)
        return found | {"_y_ndim": self.y_ndim}


class StageMonitor(Monitor):
    """Keeps the loss curve of one path, logs its stages and passes them to the callbacks."""

    def __init__(self, run: Run, name: str) -> None:
        super().__init__()
        self.run, self.name = run, name

    def stage(self, row: dict[str, Any], network: Network) -> None:
        """Log the row and call the callbacks, which may ask to stop."""
        run = self.run
        run.complete(row)
        self.log(row)
        stop = _callbacks.report_stage(
            run.context, run.estimator, run.callback_data, lambda: run._reconstruction(network)
        )
        self.stopped = self.stopped or stop

    def log(self, row: dict[str, Any]) -> None:
        """Log the row."""
        run = self.run
        if run.estimator.verbose:
            _callbacks.logger.info(
                "%s %s to %s neurons%s: loss %.6g, criterion %.6g (%.2f s)",
                self.name,
                row["action"],
                "-".join(map(str, row["architecture"])),
                "" if row["accepted"] else " (undone)",
                row["train_loss"],
                row["criterion"],
                row["time"],
            )


class BudgetMonitor(StageMonitor):
    """Also stops training when all epochs of the estimator's ``max_iter`` have passed, in all stages together."""

    def iteration(self, value: float) -> None:
        """Take note of one solver iteration."""
        super().iteration(value)
        self.stopped = self.stopped or self.epoch >= self.run.estimator.max_iter
