"""One fit of a network of fixed layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from skgrow.criteria import Objective, Validation
from skgrow.estimators._run import BudgetMonitor, Run
from skgrow.networks import MLP, Activation, Network, glorot
from skgrow.problem import L2
from skgrow.training import Every, FixedPolicy, History, Trained, fit


class FixedRun(Run):
    """Training without growth."""

    _kink_support = 0.0

    def _template(self, d: int, c: int) -> Network:
        estimator = self.estimator
        activation = Activation(estimator.activation, estimator.negative_slope)
        return MLP((d, *estimator._hidden_layer_sizes(), c), None, activation)

    def _work(self, n: int, d: int, c: int) -> float:
        return n * self._template(d, c).flops

    def _rates(self) -> dict[str, Any]:
        return super()._rates() | {"patience": 3 if self.estimator.learning_rate == "adaptive" else None}

    def _schedule(self) -> Any:
        return Every(self.estimator.stage_epochs)

    def _fit_networks(self) -> None:
        estimator, samples = self.estimator, self.samples
        generator = torch.Generator().manual_seed(self.seed)
        problem = self._problem(samples, penalty=L2(float(estimator.alpha)))
        criterion = Objective() if self.held_out is None else Validation(self._problem(self.held_out))
        network: Network = (
            glorot(self._template(samples.X.shape[1], problem.Y.shape[1]), self.seed, samples.X)
            if self.previous is None
            else self._fitted()
        )

        def report(trained: Trained) -> dict[str, Any]:
            return trained.state.report(trained.network, problem)

        patience = -(-estimator.n_iter_no_change // estimator.stage_epochs)
        policy = FixedPolicy(estimator.tol, patience, report if estimator.report_layers else None)
        monitor, history = BudgetMonitor(self, "mlp"), History()
        with self._threads():
            best = fit(
                network,
                problem,
                self._make_solver(generator),
                policy,
                self._schedule(),
                max_iter=estimator.max_iter,
                monitor=monitor,
                history=history,
                criterion=criterion,
            )
            if policy.report is not None and "gradient_norms" not in history[best.row]:
                history[best.row] |= policy.report(best)
        for row in history:
            row["activation"] = network.activation.name
        self.loss_curve = monitor.loss_curve
        self._store_common(best, problem, list(history))

    def _grown_on(self, network: Any, problem: Any, solver: Any, generator: Any) -> tuple[Any, Tensor | None]:  # noqa: ARG002
        return network, None
