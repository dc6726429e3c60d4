"""What all regressors share: targets, losses, predictions and the score."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from sklearn.base import MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import Interval

from skgrow.estimators._base import BaseNetwork, all_or_nothing, as_given
from skgrow.estimators._callbacks import with_callbacks
from skgrow.estimators._data import is_tensor, validate_y
from skgrow.estimators._parameters import build, component
from skgrow.prediction import LINKS

if TYPE_CHECKING:
    from skgrow.networks import Network
    from skgrow.problem import Loss
    from skgrow.training import Result, Task


#: By how much predictions may leave the range of the training targets, in lengths of it (decision 28).
TARGET_MARGIN = 0.5


class NetworkRegressor(MultiOutputMixin, RegressorMixin, BaseNetwork):
    """Base of the regressors."""

    _parameter_constraints: ClassVar[dict] = {
        "loss": component("loss"),
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    loss: Any
    quantile: float
    target_range_: np.ndarray | None

    def _loss(self) -> Loss:
        of_name = {"quantile": self.quantile} if isinstance(self.loss, str) and self.loss == "quantile" else {}
        return build("loss", self.loss, **of_name)

    def _encode(self, y: Any, n: int, *, reset: bool) -> Any:
        y = validate_y(y, n)
        self._loss().check_targets(y, reset=reset)
        return y

    @all_or_nothing
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Update the network by one pass over a batch of data, and grow it when progress is slow.

        The first call fixes the standardization and trains a first network on its batch. Later calls train on
        their batch alone; when the losses of the batches have reached a plateau, in the sense of ``schedule``, the
        network grows. Passes are made by ``solver`` if it takes mini-batches, and by Adam otherwise, with the initial
        rate in every call. What is known of the noise stays that of the last ``fit``.

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Inputs.
        y : {array-like, tensor} of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights.

        Returns
        -------
        self
            The updated estimator.
        """
        if hasattr(self, "coefs_"):
            return self._update(X, y, sample_weight)
        return self._fit(self._validated(X, y, sample_weight, None, None, None), may_hold_out=False)

    def predict(self, X: Any) -> Any:
        """Predict, within the range of the training targets widened by half its length on each side.

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Inputs; predictions for a tensor are tensors on its device.

        Returns
        -------
        ndarray or tensor of shape (n_samples,) or (n_samples, n_outputs)
        """
        return as_given(self._mean(self._outputs(X)), X)

    def _said_of_targets(self, task: Task) -> dict[str, Any]:
        found = None if task.target_range is None else task.target_range.to("cpu").numpy().astype(float)
        return super()._said_of_targets(task) | {"target_range_": found, "out_activation_": task.loss.link_name}

    def _store(self, task: Task, result: Result) -> None:
        super()._store(task, result)
        if task.target_range is not None:
            self._bound_loss(task, result.trained.network)

    def _bound_loss(self, task: Task, network: Network) -> None:
        """Make ``loss_`` that of the predictions if the network leaves their bounds on the training data."""
        import torch

        problem, units, F = task.problem(), task.units, task.outputs(network)
        low, high = (F.new_tensor(bound) for bound in cast(Any, self._bounds()))
        if task.loss.target_units == "log":  # outputs are logarithms, with or without units
            low, high = (bound.clamp_min(0).log() - units.y_mean.cpu() for bound in (low, high))
        else:
            low, high = ((bound - units.y_mean.cpu()) / units.y_scale.cpu() for bound in (low, high))
        bounded = F.clamp(low, high)
        if not torch.equal(bounded, F):
            loss = task.loss.value(bounded, problem.Y.to("cpu", F.dtype))
            self.loss_ = float(loss @ problem.g.to("cpu", F.dtype))
            self.best_loss_ = min(self.best_loss_, self.loss_)

    def _widen(self, task: Task, network: Network) -> None:  # noqa: ARG002
        if self.target_range_ is not None:
            (low, high), (least, largest) = self.target_range_, self._said_of_targets(task)["target_range_"]
            self.target_range_ = np.stack([np.minimum(low, least), np.maximum(high, largest)])

    def _bounds(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the smallest and the largest prediction of every output; None if there are no bounds."""
        if self.target_range_ is None:
            return None
        low, high = self.target_range_
        return low - TARGET_MARGIN * (high - low), high + TARGET_MARGIN * (high - low)

    def _mean(self, F: np.ndarray) -> np.ndarray:
        """Return predictions from outputs, shape (n,) or (n, n_outputs)."""
        mean, bounds = self._linked(F), self._bounds()
        if bounds is not None:
            low, high = (bound.astype(F.dtype, copy=False) for bound in bounds)
            mean = np.minimum(np.maximum(mean, low), high)
        return mean[:, 0] if self._y_ndim == 1 else mean

    def _linked(self, F: np.ndarray) -> np.ndarray:
        if self.out_activation_ is None:  # of a loss of one's own
            import torch

            return self._loss().link(torch.as_tensor(F)).numpy()
        with np.errstate(over="ignore"):
            return LINKS[self.out_activation_](F)

    def _fitted_values(self, X: Any, y: Any) -> Any:  # noqa: ARG002
        """Return what the score compares with y, in its layout."""
        return self.predict(X)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the coefficient of determination R^2 of the predictions (of their images under an operator).

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Inputs.
        y : {array-like, tensor} of shape (n_samples,) or (n_samples, n_outputs)
            True targets.
        sample_weight : array-like of shape (n_samples,), optional
            Weights.

        Returns
        -------
        float
            At most 1; with several outputs their mean.
        """
        found = self._fitted_values(X, y)
        arrays = [a.detach().to("cpu").numpy() if is_tensor(a) else a for a in (y, found, sample_weight)]
        return r2_score(arrays[0], arrays[1], sample_weight=arrays[2])
