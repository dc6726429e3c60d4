"""One fit of a growing estimator."""

from __future__ import annotations

import math
import time
import warnings
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from sklearn.base import is_classifier
from torch import Tensor

from skgrow.criteria import GCV, Criterion, LeaveOneOut, LogEvidence, Validation
from skgrow.estimators._grown import EVIDENCE_PARAMETERS, Grown
from skgrow.estimators._run import Run, StageMonitor
from skgrow.growth import (
    SEARCHES,
    CertificatePolicy,
    GrowthPolicy,
    averaged,
    constant_network,
    linear_model,
    shares_of,
)
from skgrow.networks import (
    MLP,
    Activation,
    Network,
    direct_sum,
    glorot,
    linear,
    summands,
    with_inputs,
)
from skgrow.problem import L2, FixedAlpha, PathNorm, Problem, gauss_newton_work
from skgrow.solvers import FullyCorrective, refit_output
from skgrow.training import ByEvidence, History, InRounds, Monitor, Plateau, Trained, descend, fit

#: Inputs plus outputs above which the evidence of even a dozen neurons is too dear, and validation is used.
_EARLY_STOPPING_FEATURES = 250

#: The evidence uses the dense Gauss-Newton matrix where, at so many neurons, it takes no more operations than this.
_DENSE_NEURONS, _DENSE_WORK = 20, 1e10

#: Samples up to which coordinates in their span take the place of features that are more.
_SPANNED_ROWS = 2000

#: Operations beyond which no linear model is fitted.
_LINEAR_WORK = 1e11

#: Samples behind each weight of a block of more than three neurons.
_SAMPLES_PER_WEIGHT = 10

#: Rows of the history after which the second activation is compared with the first: the start and one growth.
_RACE_ROWS = 2


class GrowthRun(Run):
    """Growth of one network per activation, to the size that the criterion prefers.

    Of fewer samples than features the penalised weights lie in the span of the samples: networks are trained on the
    coordinates there.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        known = self.samples if self.everything is None else self.everything
        n, d = known.X.shape
        #: Orthonormal columns that span the samples, where there are fewer of them than features.
        self.basis: Tensor | None = None
        if self._spans(n, d) and not settings.get("keep_units"):
            _, size, V = torch.linalg.svd(known.X, full_matrices=False)
            rank = max(1, int((size > d * torch.finfo(V.dtype).eps * size[0]).sum()))
            self.basis = V[:rank].T.contiguous()
            for part in (self.samples, self.everything, self.held_out):
                if part is not None:
                    part.X = part.X @ self.basis

    def _spans(self, n: int, d: int) -> bool:
        """Whether coordinates in the span of the samples take the place of the features."""
        return n <= d and n <= _SPANNED_ROWS and self.estimator.operator is None

    def complete(self, row: dict[str, Any]) -> None:
        """Count the features, not the coordinates."""
        if self.basis is not None and row["architecture"][0] == self.basis.shape[1]:
            (d, rank), (_, *rest) = self.basis.shape, row["architecture"]
            row |= {"architecture": (d, *rest), "n_parameters": row["n_parameters"] + (d - rank) * rest[0]}

    def _raw(self, network: Network) -> Network:
        return super()._raw(network if self.basis is None else with_inputs(cast(MLP, network), self.basis.T))

    def _fitted(self) -> Network:
        network = super()._fitted()
        return network if self.basis is None else with_inputs(cast(MLP, network), self.basis)

    def _work(self, n: int, d: int, c: int) -> float:
        return 2.0 * n * (d + c) * self.estimator.max_neurons

    def _curvature_kind(self, n: int, d: int, c: int) -> str:
        d = n if self._spans(n, d) else d
        work = gauss_newton_work(n, c, (d + 1 + c) * _DENSE_NEURONS)
        return "kronecker" if is_classifier(self.estimator) and work > _DENSE_WORK else "dense"

    def _first_order(self, n: int) -> bool:
        if self.estimator.penalty == "path":
            return False
        return self.curvature_kind == "kronecker" or super()._first_order(n)

    def _stops_early(self, n: int, d: int, c: int) -> bool:
        if self.estimator.penalty == "path":  # the duality gap judges
            return False
        columns = (n if self._spans(n, d) else d) + c
        dear = columns > _EARLY_STOPPING_FEATURES or self.curvature_kind == "kronecker"
        return super()._stops_early(n, d, c) or (self.estimator.early_stopping == "auto" and dear and n > 10)

    def _fit_networks(self) -> None:
        """Grow one network per activation, and store their average or the better one."""
        estimator = self.estimator
        names = ["relu", "tanh"] if estimator.activation == "auto" else [estimator.activation]
        if estimator.activation == "auto" and estimator.penalty == "path":
            names = ["relu"]
        parts = [] if self.previous is None else summands(cast(MLP, self._fitted()))
        fitted = {part.activation.name: part for part in parts}
        line_before = fitted.pop("identity", None)
        starts: dict[str, MLP | None] = {**fitted} or dict.fromkeys(names)
        depths = {len(estimator._hidden_layer_sizes()), *(part.depth for part in parts)}
        shallow = self.curvature_kind == "dense" and depths == {1}
        averages = shallow and len(starts) == 2
        neurons = {name: 0 if start is None else start.layer_sizes[1] for name, start in starts.items()}
        room = estimator.max_neurons - (0 if line_before is None or not fitted else line_before.layer_sizes[1])
        grown: list[Grown] = []
        history: list[dict[str, Any]] = []
        self.rival: list[float] = []
        stopped = False
        for name, start in starts.items():
            if stopped and start is None:
                break
            others = sum(neurons.values()) - neurons[name]
            shared = averages and (bool(fitted) or 2 * others <= estimator.max_neurons)
            with self._threads():
                trained, problem, rows, monitor = self._grow(name, start, room - others * shared, stopped)
            if self.curvature_kind == "kronecker":  # where a fit is dear
                self.rival = [row["criterion"] for row in rows]
            self._extend(history, trained, rows, monitor)
            grown.append(Grown(trained, problem, name))
            neurons[name], stopped = trained.network.layer_sizes[1], monitor.stopped
        best, members = max(grown, key=lambda found: found.trained.criterion), grown  # the first one, if equal
        line = None
        if shallow and estimator.activation == "auto" and estimator.penalty == "l2" and (line_before or not stopped):
            line = self._line(grown, history)
        joined = [found for found in (line, *grown) if found is not None and found.width]
        fits = sum(found.width for found in joined) <= estimator.max_neurons
        if line is not None and (fits or not fitted):
            best, members = line, joined
        elif not averages or min(neurons.values()) == 0:
            members = [best]
        if len(members) > 1 and (fitted or fits):
            with self._threads():
                best = self._averaged(members, history)
        self._store(best, history)

    def _extend(
        self, history: list[dict[str, Any]], trained: Trained, rows: list[dict[str, Any]], monitor: Any
    ) -> None:
        """Append the rows of one network, and count its epochs."""
        offset = len(history)
        for row in rows:
            parent = row["parent"]
            history.append(row | {"activation": monitor.name, "parent": None if parent is None else parent + offset})
        trained.row += offset
        self.loss_curve += monitor.loss_curve

    def _averaged(self, members: list[Grown], history: list[dict[str, Any]]) -> Grown:
        """Return the average of networks, or the better one where the others' weights would be too small."""
        criterion = self._judge()
        shares = shares_of([criterion.error(found.trained) for found in members])
        members = [found for found, share in zip(members, shares, strict=True) if share > 0]
        shares = [share for share in shares if share > 0]
        if len(members) == 1:
            return members[0]
        for found in members:
            found.measure()
        problem = members[0].problem
        mean = averaged([found.trained for found in members], shares, criterion)
        seconds = [max(row["time"] for row in history if row["activation"] == found.name) for found in members]
        row = history[members[int(np.argmax(shares))].trained.row] | {
            "time": sum(seconds),
            "epoch": len(self.loss_curve),
            "action": "average",
            "parent": None,
            "activation": mean.network.activation.name,
        }
        row |= mean.entries(criterion)
        mean.row = len(history)
        history.append(row)
        StageMonitor(self, row["activation"]).stage(row, mean.network)
        return Grown(mean, problem, row["activation"], members, shares)

    def _line(self, grown: list[Grown], history: list[dict[str, Any]]) -> Grown | None:
        """Return the linear model where no network is estimated to be better, and None elsewhere."""
        estimator, started = self.estimator, time.perf_counter()
        problem, criterion = self._criterion(smooth=True)
        n, d, c = problem.n_samples, problem.X.shape[1], problem.Y.shape[1]
        if problem.operator is not None or c > estimator.max_neurons:
            return None
        p = (d + 1) * c
        if gauss_newton_work(n, c, p) + 10 * p**3 > _LINEAR_WORK:
            return None
        try:
            with self._threads():
                plain = linear_model(problem, criterion)
        except torch.linalg.LinAlgError:
            return None
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=2)
            return None
        W, b = plain.network.weights[0], plain.network.biases[0]
        trained = replace(plain, network=linear(W, b), row=len(history))
        seconds = time.perf_counter() - started
        row = {"time": seconds, "epoch": 0, "action": "linear", "parent": None, "accepted": True}
        row |= trained.entries(criterion) | {"activation": "identity"}
        history.append(row)
        StageMonitor(self, "identity").stage(row, trained.network)
        if not trained.criterion >= max(found.trained.criterion for found in grown):
            return None
        wider = direct_sum(trained.network, MLP((d, 0, c), torch.zeros_like(b), Activation("relu")))
        generator = torch.Generator().manual_seed(self.seed)
        monitor, solver = Monitor(), self._make_solver(generator)
        policy = self._policy(problem, solver, self._schedule(), estimator.max_neurons, monitor, generator)
        try:
            row |= policy.indicators(wider, problem, policy.proposals(wider, problem))
        except (KeyboardInterrupt, torch.linalg.LinAlgError):
            row |= {"indicator": math.nan, "predicted_decrease": math.nan}
        return Grown(trained, problem, "identity", plain=cast(MLP, plain.network))

    def _judge(self) -> Criterion:
        """Return the criterion, before it is suited to the networks."""
        if self.held_out is not None:
            return Validation(self._problem(self.held_out))
        return {"loo": LeaveOneOut, "gcv": GCV, "evidence": LogEvidence}[self.estimator.criterion]()

    def _criterion(self, smooth: bool) -> tuple[Problem, Criterion]:
        """Return the problem and the criterion."""
        estimator = self.estimator
        auto = estimator.alpha == "auto"
        # a prior of unit weights where the noise is known; elsewhere the noise is small, as a rule
        alpha = (1.0 if self.loss.known_dispersion else 1e-2) if auto else float(estimator.alpha)
        rule: FixedAlpha = FixedAlpha()
        if auto:
            rule = InRounds() if self.curvature_kind == "kronecker" else ByEvidence()
        if auto and self.curvature_kind == "kronecker":  # between unit weights and unit sums of d inputs
            alpha *= math.sqrt(self.samples.X.shape[1])
        penalty = PathNorm(alpha) if estimator.penalty == "path" else L2(alpha)
        problem = self._problem(self.samples, penalty=penalty, rule=rule)
        return problem, self._judge().suited_to(problem, smooth=smooth)

    def _grow(
        self, name: str, start: MLP | None, max_neurons: int, stopped: bool
    ) -> tuple[Trained, Any, list[dict[str, Any]], Any]:
        """Grow a network of one activation, from ``start`` if there is one; leave that as it is if ``stopped``."""
        estimator, samples = self.estimator, self.samples
        if estimator.penalty == "path":
            return self._certified(name, start)
        generator = torch.Generator().manual_seed(self.seed)
        smooth = not Activation(name, estimator.negative_slope).is_piecewise_linear
        problem, criterion = self._criterion(smooth)
        d, c = samples.X.shape[1], problem.Y.shape[1]
        solver = self._make_solver(generator)
        schedule = self._schedule()
        if self.held_out is None and self.curvature_kind == "dense":
            max_neurons = min(max_neurons, max(1, (EVIDENCE_PARAMETERS - c) // (d + 1 + c)))
        monitor = RaceMonitor(self, name)
        monitor.stopped = stopped
        policy = self._policy(problem, solver, schedule, max_neurons, monitor, generator)
        if start is None:
            shape = MLP((d, *estimator._hidden_layer_sizes(), c), None, Activation(name, estimator.negative_slope))
            network = glorot(shape, self.seed, samples.X)
            network = refit_output(network, problem)
        elif start.activation.name != cast(str, estimator.activation_):  # of an average
            network = refit_output(start, problem)
        else:
            network = start
        history = History()
        best = fit(
            network,
            problem,
            solver,
            policy,
            schedule,
            max_iter=estimator.max_iter,
            monitor=monitor,
            history=history,
            criterion=criterion,
        )
        if "indicator" not in history[best.row] and not monitor.beaten:
            try:
                proposals = policy.proposals(best.network, best.problem)
                history[best.row] |= policy.indicators(best.network, best.problem, proposals)
            except (KeyboardInterrupt, torch.linalg.LinAlgError):
                history[best.row] |= {"indicator": math.nan, "predicted_decrease": math.nan}
        best.network = policy.merged(best.network, best.problem)
        if self.everything is not None and self.curvature_kind == "kronecker" and not monitor.stopped:
            self._refit(best, solver, history, monitor)
        return best, problem, history, monitor

    def _certified(self, name: str, start: MLP | None) -> tuple[Trained, Any, list[dict[str, Any]], Any]:
        """Minimise the path-norm problem, as far as the budget goes to global optimality."""
        estimator = self.estimator
        problem = self._problem(self.samples, penalty=PathNorm(float(estimator.alpha)))
        activation = Activation(name, estimator.negative_slope)
        network = constant_network(problem, activation) if start is None else start
        generator = torch.Generator().manual_seed(self.seed)
        policy = CertificatePolicy(problem, generator, max_neurons=estimator.max_neurons)
        monitor, history = RaceMonitor(self, name), History()
        best = fit(
            network,
            problem,
            FullyCorrective(),
            policy,
            Plateau(),
            max_iter=estimator.max_iter,
            monitor=monitor,
            history=history,
        )
        last = history[best.row]
        if "duality_gap" not in last:  # interrupted
            last |= {"indicator": math.nan, "duality_gap": math.inf, "certified": False, "predicted_decrease": math.nan}
        estimator.duality_gap_, estimator.certified_ = last["duality_gap"], last["certified"]
        return best, problem, history, monitor

    def _refit(self, best: Trained, solver: Any, history: list[dict[str, Any]], monitor: Any) -> None:
        """Train the network chosen on all rows, those held out included, with the penalty found."""
        assert self.everything is not None  # noqa: S101
        problem = self._problem(self.everything, penalty=L2(best.alpha))
        state = descend(
            best.network, problem, solver, Plateau(), max_iter=self.estimator.max_iter, monitor=monitor.aside()
        )
        row = history[best.row] | {"action": "refit", "parent": None, "validation_loss": math.nan}
        best.network, best.row = state.network, len(history)
        best.loss = row["train_loss"] = float(problem.data_loss(best.network))
        history.append(row)

    def _policy(
        self, problem: Any, solver: Any, schedule: Any, max_neurons: int, monitor: Any, generator: torch.Generator
    ) -> Any:
        estimator = self.estimator
        rough = Plateau(tol=5e-2, patience=2)
        block, sizes = estimator.block_size, (problem.n_samples, problem.X.shape[1], problem.Y.shape[1])

        def descended(network: MLP, on: Problem) -> tuple[MLP, Problem]:
            state = descend(network, on, solver, rough, max_iter=25, monitor=monitor.aside())
            return state.network, state.problem

        return GrowthPolicy(
            descend=descended,
            search=SEARCHES[estimator.search]() if isinstance(estimator.search, str) else estimator.search,
            schedule=schedule,
            block_size=_auto_block(*sizes) if block == "auto" else block,
            max_neurons=max_neurons,
            max_extensions=estimator.max_extensions,
            max_stages=estimator.max_stages,
            n_exchanges=estimator.n_exchanges,
            patience=estimator.n_iter_no_change,
            tol=estimator.tol,
            generator=generator,
            relax=self._second_order() and self.curvature_kind == "dense",
            grow_layer=estimator.grow_layer,
            n_penalties=3 if problem.rule.sets_penalty and self.curvature_kind == "kronecker" else 0,
            expensive=self.curvature_kind == "kronecker",
            merge_tol=estimator.merge_tol,
        )

    def _second_order(self) -> bool:
        estimator = self.estimator
        return estimator.solver in ("auto", "lm", "lbfgs") and estimator.preconditioner is None

    def _grown_on(self, network: Any, problem: Any, solver: Any, generator: Any) -> tuple[Any, Tensor | None]:
        neurons = self.estimator.max_neurons
        policy = self._policy(problem, solver, self._schedule(), neurons, Monitor(), generator)
        d, c = network.layer_sizes[0], network.layer_sizes[-1]
        if network.activation.name == "identity":
            network = direct_sum(network, MLP((d, 0, c), network.theta.new_zeros(c), Activation("tanh")))
        return policy.widened(network, problem)

    def _forget(self) -> None:
        self.estimator._posterior = self.estimator._basis = None

    # results -----------------------------------------------------------------------------------------------

    def _store(self, found: Grown, history: list[dict[str, Any]]) -> None:
        trained = found.trained
        self._store_common(trained, found.problem, history)
        self.estimator.growth_indicator_ = history[trained.row].get("indicator", math.nan)
        self._store_evidence(found)

    def _store_evidence(self, found: Grown) -> None:
        """Store what the curvature at the fitted network says: evidence, noise and uncertainty."""
        estimator, trained, problem = self.estimator, found.trained, found.problem
        p, c = trained.network.n_parameters, trained.network.layer_sizes[-1]
        if not found.parts:
            found.measure()
        summary = trained.evidence
        estimator.effective_parameters_ = summary.effective_parameters if summary is not None else float(p)
        scale = self.scaling.y_scale.to("cpu").numpy().astype(float)
        estimator.log_evidence_ = math.nan
        if summary is not None and trained.alpha > 0:
            estimator.log_evidence_ = summary.log_evidence - problem.total_weight * float(np.log(scale).sum())
        if problem.loss.known_dispersion:
            return
        noise = summary.dispersion if summary is not None else problem.loss.degree * trained.loss / c
        variance = noise * scale**2 if estimator._has_variance() else np.full(len(scale), math.nan)
        estimator.noise_variance_ = float(variance[0]) if self.y_ndim == 1 else variance
        self._forget()
        estimator._basis = None if self.basis is None else self.basis.to("cpu").numpy()
        if not problem.loss.is_quadratic or problem.operator is not None:
            return
        parts = zip(found.parts or [found], found.shares, strict=True)
        members = [part.posterior(share, noise) for part, share in parts]
        estimator._posterior = members if None not in members else None


class RaceMonitor(StageMonitor):
    """Also ends the path of an activation that is behind after the first growth."""

    def __init__(self, run: GrowthRun, name: str) -> None:
        super().__init__(run, name)
        self.rival = run.rival
        self.rows, self.beaten = 0, False

    def stage(self, row: dict[str, Any], network: Network) -> None:
        """Take note of one stage."""
        super().stage(row, network)
        self.rows += 1
        behind = len(self.rival) >= self.rows and row["criterion"] < self.rival[self.rows - 1]
        self.beaten = self.rows == _RACE_ROWS and behind and not self.stopped
        self.stopped = self.stopped or self.beaten


def _auto_block(n: int, d: int, n_outputs: int) -> int:
    """Neurons per block: three, six with ten samples for each of their weights, two for each of several outputs."""
    block = 6 if n >= _SAMPLES_PER_WEIGHT * 6 * (d + 1 + n_outputs) else 3
    return max(block, 2 * n_outputs) if n_outputs > 1 else block
