"""What all estimators are: a fit in four lines, a network stored as arrays, and its conversion."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skgrow._messages import shorten
from skgrow.estimators._callbacks import CallbackSupportMixin, Reporter, with_callbacks
from skgrow.estimators._data import is_tensor, shareable, validate_sample_weight, validate_X
from skgrow.estimators._parameters import build
from skgrow.prediction import ArrayNetwork, activation_named

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from skgrow.networks import Network
    from skgrow.problem import Loss
    from skgrow.training import Data, Regime, Result, Settings, Task


F = TypeVar("F", bound=Callable[..., Any])


def all_or_nothing(method: F) -> F:
    """Make a method that learns leave the estimator as it was if it fails, or is interrupted before it has a result.

    Whatever was given, the message stays readable.
    """

    @wraps(method)
    def learns(self: BaseNetwork, *args: Any, **kwargs: Any) -> Any:
        before = vars(self).copy()
        try:
            return method(self, *args, **kwargs)
        except BaseException as error:
            self.__dict__ = before
            shorten(error)
            raise

    return cast(F, learns)


class BaseNetwork(CallbackSupportMixin, BaseEstimator):
    """Base of all estimators: subclasses say what targets and losses are, and how a network is trained.

    The network is held as NumPy arrays ``coefs_`` (in, out) and ``intercepts_``, as MLPRegressor does.
    """

    activation_: str
    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    alpha_: float
    n_iter_: int
    loss_curve_: list[float]
    best_loss_: float
    _scaling: list[np.ndarray]
    _coordinates: dict[str, np.ndarray] | None
    _moments: dict[str, np.ndarray]
    _batch_losses: list[float]

    #: What a copy of the estimator needs to predict.
    _network_names: ClassVar[tuple[str, ...]] = (
        "coefs_",
        "intercepts_",
        "activation_",
        "architecture_",
        "n_layers_",
        "n_outputs_",
        "n_parameters_",
        "_negative_slope",
        "_layout",
    )

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: sparse inputs are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # what subclasses define --------------------------------------------------------------------------------

    @abstractmethod
    def _settings(self) -> Settings:
        """Return what the user has set, as plain values and components."""

    @abstractmethod
    def _method(self) -> tuple[Callable[..., Result], Callable[..., Any] | None, type[Regime]]:
        """Return how a network is trained, what lets it grow between batches, and the regime of both."""

    @abstractmethod
    def _encode(self, y: Any, n: int, *, reset: bool) -> Any:
        """Return validated targets as numbers, shape (n,) or (n, c); learn what they are if ``reset``."""

    @abstractmethod
    def _loss(self) -> Loss:
        """Return the loss."""

    def _emphasis(self, y: Any, weight: Any, n: int) -> Any:  # noqa: ARG002
        """Return by what the loss of each sample is multiplied besides its weight."""
        return None

    @property
    def knots_(self) -> list[np.ndarray]:
        """Knots of every feature, in its units."""
        known = self._coordinates or {}
        feature, knot = (np.asarray(known.get(name, ())) for name in ("feature", "knot"))
        return [knot[feature == j] for j in range(self.n_features_in_)]

    # fitting -----------------------------------------------------------------------------------------------

    @all_or_nothing
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train the network, and let it grow.

        An interrupt (Ctrl-C) ends training and keeps the network so far; before there is one, and a second time while
        results are computed, it is raised. After that, and after any error, the estimator is as it was before.

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Training inputs. Sparse matrices are made dense.
        y : {array-like, tensor} of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), optional
            Not negative; only their ratios count, and equal weights are the same as none. Weight 2 is the same as
            repeating the row. A repeated row is a copy, no further observation, unless other rows of the same inputs
            have other targets: then inputs and targets have few values, and observations agree by chance. Noise and
            penalty see the number of observations that all rows amount to (Kish 1965).
        X_val : {array-like, sparse matrix, tensor} of shape (n_val, n_features), optional
            Validation inputs; then the validation loss decides when growing ends, and which stage is returned.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), optional
            Validation targets.
        sample_weight_val : array-like of shape (n_val,), optional
            Weights of the validation samples.

        Returns
        -------
        self
            The fitted estimator.

        Raises
        ------
        ValueError
            For data or parameters that cannot be used; the message names them, the value got and those allowed.
        """
        return self._fit(self._validated(X, y, sample_weight, X_val, y_val, sample_weight_val))

    def _fit(self, data: Data, *, may_hold_out: bool = True) -> Self:
        """Train on validated data."""
        from skgrow.training import Task, completed

        settings = self._settings() if may_hold_out else self._batch_settings()
        train, _, regime = self._method()
        task = Task.of(data, settings, regime)
        report = Reporter(self, {"X": data.X, "y": data.y}, lambda network: self._reconstruction(task, network))
        result = train(task, settings, report)
        completed(lambda: self._store(result.task or task, result))
        report.close(result.stop_reason)
        return self

    def _validated(self, X: Any, y: Any, sample_weight: Any, X_val: Any, y_val: Any, weight_val: Any) -> Data:
        from skgrow.training import Data

        previous = self._network() if self.warm_start and hasattr(self, "coefs_") else None
        if previous is None:
            self._unlearn()
        X = validate_X(self, X, reset=previous is None)
        target = self._encode(y, len(X), reset=previous is None)
        if previous is not None:
            self._require_outputs(target, "warm_start=True needs targets of")
        weight = validate_sample_weight(sample_weight, len(X))
        emphasis = self._emphasis(y, weight, len(X))
        validation = self._validated_validation(X_val, y_val, weight_val, target)
        if previous is not None:
            self._require_activation()
        coordinates = None if previous is None else self._coordinates
        return Data(X, target, weight, emphasis, validation, previous, coordinates=coordinates)

    def _require_activation(self) -> None:
        """Raise ValueError if ``activation`` is not that of the fitted network, behind its encoding."""
        asked, fitted = getattr(self.activation, "name", self.activation), self.activation_.rpartition(", ")[2]
        if asked != "auto" and {asked} != set(fitted.split("+")):
            options = self._parameter_constraints["activation"][0].options
            raise ValueError(
                f"warm_start=True goes on with activation {fitted!r}; got activation={self.activation!r}, "
                f"allowed is {fitted if fitted in options else 'auto'!r}."
            )

    def _unlearn(self) -> None:
        """Drop what another fit has learned: with other parameters there may be less to learn."""
        for name in [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]:
            delattr(self, name)

    def _validated_validation(self, X_val: Any, y_val: Any, weight: Any, y: Any) -> tuple[Any, Any, Any] | None:
        if X_val is None:
            for name, value in (("y_val", y_val), ("sample_weight_val", weight)):
                if value is not None:
                    raise ValueError(f"X_val must be given with {name}; got X_val=None.")
            return None
        if y_val is None:
            raise ValueError("y_val must be given with X_val; got y_val=None.")
        X_val = validate_X(self, X_val, reset=False)
        y_val = self._encode(y_val, len(X_val), reset=False)
        if y_val.shape[1:] != y.shape[1:]:
            raise ValueError(f"y_val must have as many outputs as y; got shapes {y_val.shape} and {y.shape}.")
        return X_val, y_val, validate_sample_weight(weight, len(X_val), "sample_weight_val")

    def _require_outputs(self, target: Any, needs: str) -> None:
        found = self._count_outputs(target)
        if found != self.n_outputs_:
            raise ValueError(f"{needs} {self.n_outputs_} outputs as before; got {found}.")

    def _count_outputs(self, target: Any) -> int:
        """Return the number of outputs of a network for targets of shape (n,) or (n, c)."""
        return 1 if target.ndim == 1 else target.shape[1]

    def _batch_settings(self) -> Settings:
        """Return the settings for a batch of ``partial_fit``, of which nothing is held out: that belongs to fit."""
        return replace(self._settings(), early_stopping=False)

    def _update(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """Train a fitted network on a further batch, and let it grow on a plateau."""
        import torch

        from skgrow.training import Data, Progress, Task, train_batch

        X = validate_X(self, X, reset=False)
        target = self._encode(y, len(X), reset=False)
        self._require_outputs(target, "y must have")
        weight = validate_sample_weight(sample_weight, len(X))
        known = self._network(), self._scaling, self._coordinates
        data = Data(X, target, weight, self._emphasis(y, weight, len(X)), None, *known)
        settings = self._batch_settings()
        _, grow, regime = self._method()
        task = Task.of(data, settings, regime)
        moments = {key: torch.as_tensor(value.copy()) for key, value in self._moments.items()}
        network = cast("Network", task.previous)
        before = Progress(network, self.alpha_, self._total_weight, moments, self._batch_losses, self.n_iter_)
        solver, grown = self._batch_solver(settings.solver), None
        if grow is not None:

            def grown(network: Network, problem: Any, generator: torch.Generator) -> Any:
                return grow(task, settings, network, problem, generator)

        after, value = train_batch(task, solver, settings.schedule, before, grown)
        self._moments = {key: moment.to("cpu").numpy() for key, moment in after.moments.items()}
        self._batch_losses = after.losses
        self.loss_curve_ = [*self.loss_curve_, value]
        self.n_iter_ = after.epoch
        self.loss_, self.best_loss_ = value, min(self.best_loss_, value)
        self._forget()
        s = task.units
        self._scaling = [a.to("cpu").numpy() for a in (s.x_mean, s.x_scale, s.y_mean, s.y_scale)]
        self._store_network(task.raw(after.network), task.input_dtype)
        self._widen(task, after.network)
        return self

    def _widen(self, task: Task, network: Network) -> None:
        """Take note of the targets of a further batch, and of what the network makes of it."""

    def _forget(self) -> None:
        """Drop what is no longer true after a further batch."""

    # components --------------------------------------------------------------------------------------------

    def _shared_settings(self) -> dict[str, Any]:
        """Return the settings that all methods share, but for the schedule."""
        return {
            "loss": self._loss(),
            "solver": self._solver(),
            "encoding": self._encoding(),
            "alpha": self.alpha,
            "standardize": self.standardize,
            "early_stopping": self.early_stopping,
            "validation_fraction": self.validation_fraction,
            "random_state": int(check_random_state(self.random_state).randint(2**31 - 1)),
            "device": self.device,
            "dtype": self.dtype,
        }

    def _encoding(self) -> Any:
        """Return the encoding of the features, None for none.

        Raises
        ------
        ValueError
            For an encoding of the inputs of residual blocks or convolutions.
        """
        if self.encoding is None:
            return None
        found = build("encoding", self.encoding)
        found.check()
        architecture = build("architecture", getattr(self, "architecture", "mlp"))
        if architecture.name == "mlp":
            return found
        if not isinstance(self.encoding, str):
            raise ValueError(
                f"encoding needs architecture='mlp'; got {self.encoding!r} and {self.architecture!r}, "
                "allowed is 'auto' or None."
            )
        return None

    def _solver(self, given: Any = None) -> Any:
        """Return the solver: a named one has the estimator's rates, batch size and preconditioner.

        Raises
        ------
        ValueError
            For a preconditioner with a solver that takes none.
        """
        given = self.solver if given is None else given
        preconditioner = None if self.preconditioner is None else build("preconditioner", self.preconditioner)
        if preconditioner is not None:
            preconditioner.check()
            takes = given in ("auto", "sgd", "adam") if isinstance(given, str) else hasattr(given, "preconditioner")
            if not takes:
                raise ValueError(f"preconditioner needs solver='sgd' or 'adam'; got solver={given!r}.")
        if not isinstance(given, str):
            found = build("solver", given)
            asked = getattr(found, "preconditioner", None)
            if preconditioner is not None and asked is None:
                found.preconditioner = preconditioner
            elif asked is not None:
                found.preconditioner = build("preconditioner", asked)
            return found
        if given == "auto" and preconditioner is not None:
            given = "sgd"
        if given in ("sgd", "adam"):
            return build("solver", given, **self._rates(given), preconditioner=preconditioner)
        if given == "auto":
            return build("solver", "auto", mini_batch=build("solver", "adam", **self._rates("adam")))
        return build("solver", given)

    def _batch_solver(self, solver: Any) -> Any:
        """Return the solver of ``partial_fit``: the one given, or its part, that takes mini-batches, or Adam."""
        from skgrow.solvers import MiniBatchSolver

        found = solver if isinstance(solver, MiniBatchSolver) else getattr(solver, "mini_batch", None)
        return build("solver", "adam", **self._rates("adam")) if found is None else found

    def _rates(self, solver: str) -> dict[str, Any]:  # noqa: ARG002
        """Return the parameters of a named mini-batch solver."""
        return {"learning_rate_init": self.learning_rate_init, "batch_size": self.batch_size}

    # results -----------------------------------------------------------------------------------------------

    def _store(self, task: Task, result: Result) -> None:
        """Store what a fit has left, as arrays and numbers."""
        self._moments, self._batch_losses = {}, []
        trained, s = result.trained, task.units
        self._store_network(task.raw(trained.network), task.input_dtype)
        self._total_weight = trained.problem.total_weight
        self._scaling = [a.to("cpu").numpy() for a in (s.x_mean, s.x_scale, s.y_mean, s.y_scale)]
        self._coordinates = None if task.coordinates is None else task.coordinates.arrays(s)
        self.history_ = result.history
        self.loss_curve_ = result.loss_curve
        self.n_iter_ = len(result.loss_curve)
        self.loss_ = trained.loss
        self.best_loss_ = result.best_loss
        self.alpha_ = trained.alpha
        self.validation_scores_ = result.validation_scores
        self.best_validation_score_ = result.best_validation_score
        self.stop_reason_ = result.stop_reason
        for name, value in (self._said_of_targets(task) | result.found).items():
            setattr(self, name, value)

    def _reconstruction(self, task: Task, network: Network | None) -> dict[str, Any]:
        """Return the attributes that a callback's copy of the estimator needs to predict."""
        if network is None:
            found = {name: getattr(self, name) for name in self._network_names}
        else:
            found = network_attributes(task.raw(network), task.input_dtype)
        return found | self._said_of_targets(task)

    def _said_of_targets(self, task: Task) -> dict[str, Any]:
        """Return the attributes that say what predictions look like."""
        return {"_y_ndim": task.y_ndim}

    def _store_network(self, network: Network, dtype: type) -> None:
        for name, value in network_attributes(network, dtype).items():
            setattr(self, name, value)

    def _network(self, device: Any = "cpu", dtype: Any = None) -> Network:
        """Return the fitted network on raw units."""
        import torch

        from skgrow.networks import from_layout

        arrays = [a.T if a.ndim == 2 else a for a in self.coefs_]
        weights = [torch.as_tensor(a.copy(), device=device, dtype=dtype) for a in arrays]
        biases = [torch.as_tensor(b.copy(), device=device, dtype=dtype) for b in self.intercepts_]
        return from_layout(self._layout, weights, biases, self.activation_, self._negative_slope)

    def to_torch(self) -> torch.nn.Sequential:
        """Return the fitted network as ``torch.nn.Sequential``, on raw inputs and targets.

        Returns
        -------
        torch.nn.Sequential
            Of PyTorch's own layers as far as there are such, see :func:`skgrow.networks.to_torch`; maps
            (n, n_features) to (n, n_outputs).
        """
        from skgrow.networks import to_torch

        check_is_fitted(self)
        return to_torch(self._network())

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the network's outputs for X as given, shape (n, n_outputs), on the CPU.

        PyTorch is needed for convolutions and for tensors on accelerators, whose device computes.
        """
        X = self._prediction_input(X)
        on_cpu = not is_tensor(X) or X.device.type == "cpu"
        if on_cpu and self._layout["architecture"] != "cnn":
            array = X.numpy() if is_tensor(X) else X
            # of inputs in single precision the network's own, or nothing would be left of distant ones
            dtype = np.result_type(array, self.coefs_[0])
            return self._array_network(dtype)(array.astype(dtype, copy=False))
        tensor, network = self._on_device(X)
        return network(tensor).to("cpu").numpy()

    def _array_network(self, dtype: Any) -> ArrayNetwork:
        """Return the fitted network on raw units, of NumPy arrays."""
        weights, biases = ([a.astype(dtype, copy=False) for a in arrays] for arrays in (self.coefs_, self.intercepts_))
        activation = activation_named(self.activation_, self._negative_slope, self._layout.get("bounds", ((),)))
        return ArrayNetwork(weights, biases, activation, self._layout["architecture"] == "resnet")

    def _prediction_input(self, X: Any) -> Any:
        """Return validated X, an array or a tensor."""
        if not hasattr(self, "coefs_"):
            check_is_fitted(self)
        return validate_X(self, X, reset=False)

    def _on_device(self, X: Any) -> tuple[Tensor, Network]:
        """Return validated X as a tensor on the device of prediction, and the network there."""
        import torch

        from skgrow.training import resolve_device

        device = X.device if is_tensor(X) else torch.device("cpu")
        if not is_tensor(X) and self.device != "auto":
            with suppress(ValueError):  # fitted on a machine with another device: the CPU will do
                device = resolve_device(self.device, 0.0)
        if device.type == "mps":
            tensor = torch.as_tensor(X, device=device, dtype=torch.float32)
        else:  # the precision as in _outputs
            tensor = torch.as_tensor(X, device=device)
            tensor = tensor.to(torch.promote_types(tensor.dtype, getattr(torch, self.coefs_[0].dtype.name)))
        return tensor, self._network(device, tensor.dtype)


def network_attributes(network: Network, dtype: type) -> dict[str, Any]:
    """Return what an estimator stores of a network: NumPy arrays, numbers and names."""
    from skgrow.networks import layout_of

    network = network.folded()
    arrays = [W.T if W.ndim == 2 else W for W in network.weights]
    return {
        "coefs_": [W.to("cpu").numpy().astype(dtype, order="C") for W in arrays],
        "intercepts_": [b.to("cpu").numpy().astype(dtype) for b in network.biases],
        "activation_": network.activation.name,
        "architecture_": network.layer_sizes,
        "n_layers_": len(network.weights) + 1,
        "n_outputs_": network.layer_sizes[-1],
        "n_parameters_": network.n_parameters,
        "_negative_slope": network.activation.slope,
        "_layout": layout_of(network),
    }


def as_given(result: np.ndarray, X: Any) -> Any:
    """Return a result as a tensor where X is if X is one, else as it is."""
    if not is_tensor(X):
        return result
    import torch

    return torch.as_tensor(shareable(result), device=X.device)
