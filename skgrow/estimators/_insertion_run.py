"""One fit of a network that inserts its layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skgrow.criteria import Objective, Validation
from skgrow.estimators._run import BudgetMonitor, Run
from skgrow.growth import PolarSearch
from skgrow.insertion import InsertionPolicy
from skgrow.networks import Network, glorot
from skgrow.problem import L2
from skgrow.training import History, Plateau, fit


class InsertionRun(Run):
    """Training that pauses now and then, to insert a layer where the loss is most sensitive to it."""

    #: Random neurons have to move more than new ones that were searched for.
    _kink_support = 0.0

    def _work(self, n: int, d: int, c: int) -> float:
        return n * self.estimator._template(d, c).flops

    def _schedule(self) -> Any:
        if self.estimator.schedule == "plateau":
            return Plateau(tol=1e-2, patience=10)
        return super()._schedule()

    def _rates(self) -> dict[str, Any]:
        estimator = self.estimator
        return {
            "patience": 3 if estimator.learning_rate == "adaptive" else None,
            "new_factor": estimator.new_layer_rate,
        }

    def _policy(self, problem: Any, generator: torch.Generator, patience: int | None) -> InsertionPolicy:
        estimator = self.estimator
        norm = estimator.norm
        if norm == "auto":
            norm = "operator" if estimator.architecture == "cnn" else "frobenius"
        return InsertionPolicy(
            problem=problem,
            schedule=self._schedule(),
            norm=norm,
            merit_samples=estimator.merit_samples,
            tau=estimator.tau,
            n_insert=estimator.n_insert,
            max_layers=estimator.max_layers,
            selection=estimator.selection,
            generator=generator,
            patience=patience,
            widen=estimator.widen,
            action=estimator.action,
            search=PolarSearch(),
            block_size=estimator.block_size,
            max_neurons=estimator.max_neurons,
        )

    def _fit_networks(self) -> None:
        estimator, samples = self.estimator, self.samples
        generator = torch.Generator().manual_seed(self.seed)
        problem = self._problem(samples, penalty=L2(float(estimator.alpha)))
        criterion = Objective() if self.held_out is None else Validation(self._problem(self.held_out))
        if self.previous is None:
            template = estimator._template(samples.X.shape[1], problem.Y.shape[1])
            network: Network = glorot(template, self.seed, samples.X)
        else:
            network = self._fitted()
        policy = self._policy(problem, generator, None if self.held_out is None else estimator.n_iter_no_change)
        monitor, history = BudgetMonitor(self, estimator.architecture), History()
        with self._threads():
            best = fit(
                network,
                problem,
                self._make_solver(generator),
                policy,
                policy.schedule,
                max_iter=estimator.max_iter,
                monitor=monitor,
                history=history,
                criterion=criterion,
            )
            ended = {"decision": "end", "reason": f"max_iter = {estimator.max_iter} epochs have passed"}
            for row in (history[-1], history[best.row]):
                row.update({key: value for key, value in ended.items() if key not in row})
                if "merits" not in row:
                    policy.measure(best.network, row)
        for row in history:
            row["activation"] = network.activation.name
        self.loss_curve = monitor.loss_curve
        self._store_common(best, problem, list(history))
        last = history[best.row]
        estimator.merits_, estimator.merit_ratios_ = last["merits"], last["merit_ratios"]

    def _grown_on(self, network: Any, problem: Any, solver: Any, generator: Any) -> tuple[Any, Tensor | None]:  # noqa: ARG002
        return self._policy(problem, generator, None).extended(network)
