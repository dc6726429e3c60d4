"""What all estimators share: parameters of training, fitting, partial fitting."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any, ClassVar, Self

from sklearn.base import _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from skgrow.estimators import _callbacks
from skgrow.estimators._base import FittedNetwork
from skgrow.estimators._data import validate_sample_weight, validate_X


class TrainedNetwork(_callbacks.CallbackSupportMixin, FittedNetwork):
    """Base of all estimators: subclasses say what targets, loss, score and the way of training are."""

    _parameter_constraints: ClassVar[dict] = {
        "negative_slope": [Interval(Real, 0, 1, closed="left")],
        "preconditioner": [
            None,
            StrOptions({"covariance", "second_moment", "kfac", "sobolev", "emsa"}),
            HasMethods(["start", "check"]),
        ],
        "solver": [StrOptions({"auto", "lm", "lbfgs", "adam", "sgd"})],
        "schedule": [StrOptions({"plateau", "every", "at_epochs", "target_loss"}), HasMethods(["due", "finished"])],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "early_stopping": [StrOptions({"auto"}), "boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "device": [str],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "standardize": ["boolean"],
        "verbose": ["verbose"],
    }

    #: What only some of the estimators have as parameters, as every fit sees them.
    operator: Any = None
    penalty: str = "l2"

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: sparse inputs are accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # what subclasses define --------------------------------------------------------------------------------

    def _run(self) -> Any:
        """Return the class of one fit, a subclass of ``Run``."""
        raise NotImplementedError

    def _encode(self, y: Any, n: int, *, reset: bool) -> Any:
        """Return validated targets as numbers, shape (n,) or (n, c); learn what they are if ``reset``."""
        raise NotImplementedError

    def _make_loss(self, samples: Any) -> Any:
        """Return the loss on targets in the units of training."""
        raise NotImplementedError

    def _target_kind(self) -> str:
        """Return the units of targets, see ``Scaling.of``."""
        return "none"

    def _n_channels(self, n_features: int) -> int:
        """Return the number of groups of features that share their units."""
        return n_features

    def _make_operator(self, samples: Any, scaling: Any) -> Any:  # noqa: ARG002
        """Return the operator on functions of inputs in the units of training, or None."""
        return None

    def _weights(self, y: Any, sample_weight: Any, n: int) -> Any:  # noqa: ARG002
        return validate_sample_weight(sample_weight, n)

    # fitting -----------------------------------------------------------------------------------------------

    @_callbacks.with_callbacks
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

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Training inputs. Sparse matrices are made dense.
        y : {array-like, tensor} of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), optional
            Not negative. Whole numbers count observations: weight 2 is the same as repeating the row. Other weights
            are relative, and are scaled to the number of rows of positive weight.
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
        previous = self._network() if self.warm_start and hasattr(self, "coefs_") else None
        X = validate_X(self, X, reset=previous is None)
        target = self._encode(y, len(X), reset=previous is None)
        if previous is not None:
            self._require_outputs(target, "warm_start=True needs targets of")
        weight = self._weights(y, sample_weight, len(X))
        given = self._validate_validation(X_val, y_val, sample_weight_val, target)
        if previous is not None and self.activation not in ("auto", self.activation_):
            options = self._parameter_constraints["activation"][0].options
            raise ValueError(
                f"warm_start=True goes on with activation {self.activation_!r}; got activation={self.activation!r}, "
                f"allowed is {self.activation_ if self.activation_ in options else 'auto'!r}."
            )
        self._run()(self, X, target, weight, given, previous).train()
        return self

    def _validate_validation(self, X_val: Any, y_val: Any, weight: Any, y: Any) -> tuple[Any, Any, Any] | None:
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

    def _update(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """Train a fitted network on a further batch."""
        X = validate_X(self, X, reset=False)
        target = self._encode(y, len(X), reset=False)
        self._require_outputs(target, "y must have")
        weight = self._weights(y, sample_weight, len(X))
        self._run()(self, X, target, weight, None, self._network(), keep_units=True).update()
        return self

    def _require_outputs(self, target: Any, needs: str) -> None:
        found = 1 if target.ndim == 1 or self.operator is not None else target.shape[1]
        if found != self.n_outputs_:
            raise ValueError(f"{needs} {self.n_outputs_} outputs as before; got {found}.")
