"""One fit of a growing estimator: from validated data to fitted attributes."""

from __future__ import annotations

import math
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits
from torch import Tensor

from skgrow import growth, training
from skgrow.estimators import _callbacks
from skgrow.estimators._data import Samples, Scaling, resolve_device
from skgrow.networks import MLP, Activation, from_standardized
from skgrow.training import Trained

#: Rows above which ``early_stopping="auto"`` holds out a validation set, as in HistGradientBoosting.
_EARLY_STOPPING_ROWS = 10_000

#: Inputs plus outputs above which the evidence of even a dozen neurons is too dear, and validation is used.
_EARLY_STOPPING_FEATURES = 250

#: Parameters up to which the evidence is computed, and up to which the whole covariance is kept.
_EVIDENCE_PARAMETERS = 3000
_COVARIANCE_PARAMETERS = 2000

#: The evidence uses the dense Gauss-Newton matrix where, at so many neurons, it takes no more operations than this.
_DENSE_NEURONS, _DENSE_WORK = 20, 1e10

#: Rows of the history after which the second activation is compared with the first: the start and one growth.
_RACE_ROWS = 2

#: Entries of X up to which one thread is used on a CPU.
_SINGLE_THREAD_SIZE = 50_000


class Run:
    """One fit: data on the device, the problem, solver and policy, and what they leave on the estimator."""

    def __init__(
        self,
        estimator: Any,
        X: Any,
        y: Any,
        weight: Any,
        validation: tuple[Any, Any, Any] | None,
        previous: MLP | None,
        keep_units: bool = False,
    ) -> None:
        self.estimator, self.previous, self.y_ndim = estimator, previous, y.ndim
        self.callback_data = {"X": X, "y": y}
        self.x_dtype = np.float32 if str(X.dtype).endswith("float32") else np.float64
        random_state = check_random_state(estimator.random_state)
        self.seed = int(random_state.randint(2**31 - 1))
        n, d = X.shape
        c = 1 if y.ndim == 1 else y.shape[1]
        self.device = resolve_device(estimator.device, 2.0 * n * (d + c) * estimator.max_neurons, X)
        work = training.gauss_newton_work(n, c, (d + 1 + c) * _DENSE_NEURONS)
        self.curvature_kind = "kronecker" if is_classifier(estimator) and work > _DENSE_WORK else "dense"
        self.dtype = self._resolve_dtype(n)
        samples = Samples.build(X, y, weight, self.device, self.dtype)
        held_out, self.everything = None, None
        if validation is not None:
            held_out = Samples.build(*validation, self.device, self.dtype)
        elif self._stops_early(n, d + c):
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
            self.scaling = Scaling.of(samples, estimator.standardize, kind)
        self.samples = self.scaling.apply(samples)
        self.held_out = self.scaling.apply(held_out) if held_out is not None else None
        if self.everything is not None:
            self.everything = self.scaling.apply(self.everything.merged())
        self.loss = estimator._make_loss(self.samples)
        self.operator = estimator._make_operator(samples, self.scaling)
        if self.operator is not None:  # one network output, whatever the number of components
            self.y_ndim = 1
            self.scaling.y_mean = self.scaling.y_mean[:1]
            self.scaling.y_scale = self.scaling.y_scale[:1] / self.operator.unit

    def _resolve_dtype(self, n: int) -> torch.dtype:
        estimator = self.estimator
        if self.device.type == "mps":
            if estimator.dtype == "float64":
                raise ValueError("dtype='float64' is not available on device 'mps'; allowed there: 'auto', 'float32'.")
            return torch.float32
        if estimator.dtype != "auto":
            return getattr(torch, estimator.dtype)

        if estimator.penalty == "path":
            return torch.float64
        if self.curvature_kind == "kronecker":
            return torch.float32
        first_order = estimator.solver in ("adam", "sgd") or (
            estimator.solver == "auto" and n > 10 * training.FULL_BATCH_SAMPLES
        )
        return torch.float32 if first_order else torch.float64

    def _stops_early(self, n: int, n_columns: int) -> bool:
        choice = self.estimator.early_stopping
        if self.estimator.penalty == "path":  # the duality gap judges
            return False
        if choice == "auto":
            dear = n_columns > _EARLY_STOPPING_FEATURES or self.curvature_kind == "kronecker"
            return n > _EARLY_STOPPING_ROWS or (n > 10 and dear)
        if choice and n < 2:
            raise ValueError(f"early_stopping=True needs at least 2 samples; got n_samples = {n}.")
        return bool(choice)

    def train(self) -> None:
        """Grow one network per activation and store the best."""
        estimator = self.estimator
        _callbacks.enable_logging(estimator.verbose)
        self.context = _callbacks.open_task(estimator, None)
        names = ["relu", "tanh"] if estimator.activation == "auto" else [estimator.activation]
        if estimator.activation == "auto" and estimator.penalty == "path":
            names = ["relu"]
        if self.previous is not None:
            names = [self.previous.activation.name]
        best: tuple[Trained, Any, str, int] | None = None
        history: list[dict[str, Any]] = []
        self.loss_curve: list[float] = []
        self.rival: list[float] = []
        for name in names:
            with self._threads():
                trained, problem, rows, monitor = self._grow(name)
            if self.curvature_kind == "kronecker":  # where a fit is dear
                self.rival = [row["criterion"] for row in rows]
            offset = len(history)
            for row in rows:
                parent = row["parent"]
                history.append(row | {"activation": name, "parent": None if parent is None else parent + offset})
            self.loss_curve += monitor.loss_curve
            if best is None or trained.criterion > best[0].criterion:
                best = trained, problem, name, offset
            if monitor.stopped and not monitor.beaten:
                break
        assert best is not None  # noqa: S101
        self._store(*best, history)
        _callbacks.close_task(self.context, estimator, self.callback_data, self._reconstruction)

    def _threads(self) -> Any:
        """On small data one thread: there is nothing to share, and on busy cores threads wait for each other."""
        if self.device.type == "cpu" and self.samples.X.numel() <= _SINGLE_THREAD_SIZE:
            return threadpool_limits(1)
        return nullcontext()

    def _grow(self, name: str) -> tuple[Trained, Any, list[dict[str, Any]], Any]:

        estimator, samples = self.estimator, self.samples
        if estimator.penalty == "path":
            return self._certified(name)
        generator = torch.Generator().manual_seed(self.seed)
        auto = estimator.alpha == "auto"
        # a prior of unit weights where the noise is known; elsewhere the noise is small, as a rule
        alpha = (1.0 if self.loss.known_dispersion else 1e-2) if auto else float(estimator.alpha)
        problem = self._problem(samples, alpha=alpha, auto_alpha=auto, penalty_kind=estimator.penalty)
        validation = None if self.held_out is None else self._problem(self.held_out)
        d, c = samples.X.shape[1], problem.Y.shape[1]
        solver = self._make_solver(generator)
        schedule = self._schedule()
        max_neurons = estimator.max_neurons
        criterion = estimator.criterion if validation is None else "validation"
        if criterion == "evidence" and problem.alpha == 0:
            raise ValueError("criterion='evidence' needs alpha > 0; got alpha=0.")
        if validation is None and problem.curvature_kind == "dense":
            max_neurons = min(max_neurons, max(1, (_EVIDENCE_PARAMETERS - c) // (d + 1 + c)))
        monitor = StageMonitor(self, name)
        policy = self._policy(problem, solver, schedule, max_neurons, monitor, generator)
        if self.previous is None:
            sizes = (d, *estimator._hidden_layer_sizes(), c)
            network = glorot(sizes, Activation(name, estimator.negative_slope), self.seed, samples.X)
            network = growth.refit_output(network, problem)
        else:
            network = self._fitted()
        history = training.History()
        best = training.fit(
            network,
            problem,
            solver,
            policy,
            schedule,
            max_iter=estimator.max_iter,
            monitor=monitor,
            history=history,
            validation=validation,
            criterion=criterion,
        )
        if "indicator" not in history[best.row]:
            try:
                decrease = max((p.block.score for p in policy.proposals(best.network)), default=0.0)
                history[best.row] |= policy.indicators(best.network, decrease)
            except (KeyboardInterrupt, torch.linalg.LinAlgError):
                history[best.row] |= {"indicator": math.nan, "predicted_decrease": math.nan}
        best.network = policy.merged(best.network)
        if self.everything is not None and self.curvature_kind == "kronecker" and not monitor.stopped:
            self._refit(best, solver, history, monitor)
        return best, problem, history, monitor

    def _certified(self, name: str) -> tuple[Trained, Any, list[dict[str, Any]], Any]:
        """Minimise the path-norm problem, as far as the budget goes to global optimality."""
        estimator = self.estimator
        problem = self._problem(self.samples, alpha=float(estimator.alpha), penalty_kind="path")
        activation = Activation(name, estimator.negative_slope)
        network = growth.constant_network(problem, activation) if self.previous is None else self._fitted()
        generator = torch.Generator().manual_seed(self.seed)
        policy = growth.CertificatePolicy(problem, generator, max_neurons=estimator.max_neurons)
        monitor, history = StageMonitor(self, name), training.History()
        best = training.fit(
            network,
            problem,
            growth.FullyCorrective(),
            policy,
            growth.Plateau(),
            max_iter=estimator.max_iter,
            monitor=monitor,
            history=history,
            criterion="objective",
        )
        last = history[best.row]
        if "duality_gap" not in last:  # interrupted
            last |= {"indicator": math.nan, "duality_gap": math.inf, "certified": False, "predicted_decrease": math.nan}
        estimator.duality_gap_, estimator.certified_ = last["duality_gap"], last["certified"]
        return best, problem, history, monitor

    def _refit(self, best: Trained, solver: Any, history: list[dict[str, Any]], monitor: Any) -> None:
        """Train the network chosen on all rows, those held out included, with the penalty found."""
        assert self.everything is not None  # noqa: S101
        problem = self._problem(self.everything, alpha=best.alpha)
        state = training.descend(
            best.network, problem, solver, growth.Plateau(), max_iter=self.estimator.max_iter, monitor=monitor.aside()
        )
        row = history[best.row] | {"action": "refit", "parent": None, "validation_loss": math.nan}
        best.network, best.row = state.network, len(history)
        best.loss = row["train_loss"] = float(problem.data_loss(best.network))
        history.append(row)

    def _problem(self, samples: Samples, **settings: Any) -> training.Problem:
        Y = samples.Y if self.operator is None else self.operator.stacked(samples.Y)
        return training.Problem(
            samples.X,
            Y,
            samples.weight,
            loss=self.loss,
            operator=self.operator,
            curvature_kind=self.curvature_kind,
            **settings,
        )

    def _make_solver(self, generator: torch.Generator) -> Any:

        estimator = self.estimator
        batch_size = None if estimator.batch_size == "auto" else estimator.batch_size
        rates = {"learning_rate": estimator.learning_rate_init, "batch_size": batch_size, "generator": generator}
        if estimator.solver == "sgd":
            return training.StochasticGradient(**rates)
        adam = training.Adam(**rates)
        lm, lbfgs = training.LevenbergMarquardt(), training.LBFGS()
        if estimator.solver == "auto":
            return training.AutoSolver(lm, lbfgs, adam)
        return {"lm": lm, "lbfgs": lbfgs, "adam": adam}[estimator.solver]

    def _schedule(self) -> Any:

        schedule = self.estimator.schedule
        return growth.SCHEDULES[schedule]() if isinstance(schedule, str) else schedule

    def _policy(
        self, problem: Any, solver: Any, schedule: Any, max_neurons: int, monitor: Any, generator: torch.Generator
    ) -> Any:

        estimator = self.estimator
        rough = growth.Plateau(tol=5e-2, patience=2)

        def descend(network: MLP, on: training.Problem) -> MLP:
            return training.descend(network, on, solver, rough, max_iter=25, monitor=monitor.aside()).network

        return growth.GrowthPolicy(
            problem=problem,
            descend=descend,
            search=growth.SEARCHES[estimator.search]() if isinstance(estimator.search, str) else estimator.search,
            schedule=schedule,
            block_size=_auto_block(problem.Y.shape[1]) if estimator.block_size == "auto" else estimator.block_size,
            max_neurons=max_neurons,
            max_extensions=estimator.max_extensions,
            max_stages=estimator.max_stages,
            n_exchanges=estimator.n_exchanges,
            patience=estimator.n_iter_no_change,
            tol=estimator.tol,
            generator=generator,
            relax=estimator.solver in ("auto", "lm", "lbfgs") and self.curvature_kind == "dense",
            grow_layer=estimator.grow_layer,
            n_penalties=3 if problem.auto_alpha and self.curvature_kind == "kronecker" else 0,
            merge_tol=estimator.merge_tol,
        )

    def update(self) -> None:
        """Train the fitted network on a further batch, and grow it on a plateau (``partial_fit``)."""
        estimator = self.estimator
        generator = torch.Generator().manual_seed(self.seed + estimator.n_iter_)
        problem = self._problem(self.samples)
        problem.alpha = estimator.alpha_ * problem.total_weight / estimator._total_weight
        rates = {"learning_rate": estimator.learning_rate_init, "generator": generator}
        adam = training.Adam(batch_size=None if estimator.batch_size == "auto" else estimator.batch_size, **rates)
        state = adam.start(self._fitted(), problem)
        moments = getattr(estimator, "_moments", None) or {}
        for key, value in moments.items():
            kind = self.dtype if value.ndim else torch.float32
            state.optimizer.state[state.theta][key] = torch.as_tensor(value.copy(), dtype=kind)
            if value.ndim:
                state.optimizer.state[state.theta][key] = state.optimizer.state[state.theta][key].to(self.device)
        value = state.step()
        if not math.isfinite(value):
            raise ValueError("The loss on this batch is not finite; the estimator is unchanged.")
        network, kept = state.network, None
        losses = [*getattr(estimator, "_batch_losses", []), value]
        schedule = self._schedule()
        if schedule.due(losses, estimator.n_iter_ + 1):
            policy = self._policy(problem, adam, schedule, estimator.max_neurons, training.Monitor(), generator)
            network, kept = policy.widened(network)
            losses = [value]
        estimator._moments = _moved_moments(state, network, kept)
        estimator._batch_losses = losses
        estimator.loss_curve_ = [*estimator.loss_curve_, value]
        estimator.n_iter_ += 1
        estimator._covariance_root = None
        estimator._store_network(self._raw(network), self.x_dtype)

    # results -----------------------------------------------------------------------------------------------

    def _fitted(self) -> MLP:
        """Return the estimator's network in the units of this run."""
        s = self.scaling
        raw = self.estimator._network(self.device, self.dtype)
        return from_standardized(raw, -s.x_mean / s.x_scale, 1 / s.x_scale, -s.y_mean / s.y_scale, 1 / s.y_scale)

    def _raw(self, network: MLP) -> MLP:

        s = self.scaling
        return from_standardized(network, s.x_mean, s.x_scale, s.y_mean, s.y_scale)

    def _store(self, trained: Trained, problem: Any, name: str, offset: int, history: list[dict[str, Any]]) -> None:

        estimator, network = self.estimator, trained.network
        estimator._store_network(self._raw(network), self.x_dtype)
        estimator.activation_ = name
        estimator._negative_slope = estimator.negative_slope
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
        estimator.growth_indicator_ = history[trained.row + offset]["indicator"]
        estimator.validation_scores_ = self._validation_scores(history)
        self._store_evidence(trained, problem)

    def _store_evidence(self, trained: Trained, problem: Any) -> None:
        """Store what the curvature at the fitted network says: evidence, noise and uncertainty."""
        estimator, network = self.estimator, trained.network
        n, p, c = problem.total_weight, network.n_parameters, network.layer_sizes[-1]
        found, curvature, covariance = trained.evidence, None, None
        dense = problem.curvature_kind == "dense"
        if not dense or (p <= _EVIDENCE_PARAMETERS and training.gauss_newton_work(problem.n_samples, c, p) < 4e11):
            curvature = training.curvature_of(network, problem)
        mask = problem.penalty_weights(network)
        if curvature is not None and curvature.is_finite():
            alpha = max(trained.alpha, 1e-12)
            found = training.evidence(network, trained.loss, curvature, n, mask, alpha, False, problem.loss)
        estimator.effective_parameters_ = found.effective_parameters if found is not None else float(p)
        scale = self.scaling.y_scale.to("cpu").numpy().astype(float)
        estimator.log_evidence_ = math.nan
        if found is not None and trained.alpha > 0:
            estimator.log_evidence_ = found.log_evidence - n * float(np.log(scale).sum())
        if problem.loss.known_dispersion:
            return
        noise = found.dispersion if found is not None else problem.loss.degree * trained.loss / c
        variance = noise * scale**2 if estimator._has_variance() else np.full(len(scale), math.nan)
        estimator.noise_variance_ = float(variance[0]) if self.y_ndim == 1 else variance
        if not problem.loss.is_quadratic or problem.operator is not None:
            estimator._covariance_root = None
            return
        if isinstance(curvature, training.DenseCurvature) and curvature.is_finite() and p <= _COVARIANCE_PARAMETERS:
            covariance = _covariance_root(curvature.gram, mask, trained.alpha, noise, n)
        elif math.isfinite(trained.loss):
            gram = growth.output_gauss_newton(network, problem)
            covariance = _covariance_root(gram, mask[-len(gram) :], trained.alpha, noise, n)
        estimator._covariance_root = None if covariance is None else covariance.to("cpu").numpy()

    def _validation_scores(self, history: list[dict[str, Any]]) -> list[float] | None:
        if self.held_out is None:
            return None
        problem = self._problem(self.held_out)
        d, c = self.samples.X.shape[1], problem.Y.shape[1]
        constant = MLP((d, 0, c), problem.X.new_zeros(c), Activation("relu"))
        total = float(problem.data_loss(growth.refit_output(constant, problem)))
        return [1 - row["validation_loss"] / total if total > 0 else math.nan for row in history]

    def _reconstruction(self, network: MLP | None = None) -> dict[str, Any]:
        """Return the attributes that a callback's copy of the estimator needs to predict."""
        if network is None:
            names = (
                "coefs_",
                "intercepts_",
                "activation_",
                "_negative_slope",
                "n_outputs_",
                "architecture_",
                "_y_ndim",
            )
            return {name: getattr(self.estimator, name) for name in names}
        raw = self._raw(network)
        return {
            "coefs_": [W.T.to("cpu").numpy().astype(self.x_dtype, order="C") for W in raw.weights],
            "intercepts_": [b.to("cpu").numpy().astype(self.x_dtype) for b in raw.biases],
            "activation_": network.activation.name,
            "_negative_slope": network.activation.slope,
            "n_outputs_": network.layer_sizes[-1],
            "architecture_": network.layer_sizes,
            "_y_ndim": self.y_ndim,
        }


class StageMonitor(training.Monitor):
    """Keeps the loss curve of one growth path, logs its stages and passes them to the callbacks."""

    def __init__(self, run: Run, name: str) -> None:
        super().__init__()
        self.run, self.name = run, name
        self.rows, self.beaten = 0, False

    def stage(self, row: dict[str, Any], network: MLP) -> None:
        """Log the row and call the callbacks, which may ask to stop."""
        run = self.run
        if run.estimator.verbose:
            _callbacks.logger.info(
                "%s %s to %d neurons%s: loss %.6g, criterion %.6g (%.2f s)",
                self.name,
                row["action"],
                row["architecture"][-2],
                "" if row["accepted"] else " (undone)",
                row["train_loss"],
                row["criterion"],
                row["time"],
            )
        stop = _callbacks.report_stage(
            run.context, run.estimator, run.callback_data, lambda: run._reconstruction(network)
        )
        # a race between activations: who is behind after the first growth does not go on
        self.rows += 1
        behind = len(run.rival) >= self.rows and row["criterion"] < run.rival[self.rows - 1]
        self.beaten = self.rows == _RACE_ROWS and behind and not self.stopped
        self.stopped = self.stopped or stop or self.beaten


def _auto_block(n_outputs: int) -> int:
    """Neurons per block: three, and of several classes one towards and one away from each."""
    return 3 if n_outputs == 1 else max(3, 2 * n_outputs)


def glorot(sizes: tuple[int, ...], activation: Activation, seed: int, like: Tensor) -> MLP:
    """Return a network of random weights as in MLPRegressor: uniform, of a width by Glorot and Bengio (2010)."""
    generator = torch.Generator().manual_seed(seed)
    gain = 2.0 if activation.name == "logistic" else 6.0
    parts = []
    for fan_in, fan_out in pairwise(sizes):
        bound = math.sqrt(gain / (fan_in + fan_out))
        uniform = torch.rand((fan_in + 1) * fan_out, generator=generator, dtype=torch.float64)
        parts.append(bound * (2 * uniform - 1))
    return MLP(sizes, torch.cat(parts).to(like), activation)


def _covariance_root(gram: Tensor, mask: Tensor, alpha: float, noise: float, n: float) -> Tensor:
    """Return R with R R^T the covariance of the parameters, noise / n times the inverse of the damped matrix."""
    factor = training.damped_cholesky(gram, alpha / n * mask)
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    return torch.linalg.solve_triangular(factor, eye, upper=False).T * math.sqrt(noise / n)


def _moved_moments(state: Any, network: MLP, kept: Tensor | None) -> dict[str, np.ndarray]:
    """Return Adam's moments as arrays, at the places ``kept`` of a network that has grown."""
    found = {}
    for key, value in state.optimizer.state[state.theta].items():
        moved = value
        if kept is not None and value.ndim:
            moved = value.new_zeros(network.n_parameters)
            moved[kept] = value
        found[key] = moved.to("cpu").numpy()
    return found
