"""What all classifiers share: classes and label sets, cross-entropy, probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy import sparse
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import check_array, compute_class_weight, compute_sample_weight
from sklearn.utils._missing import is_pandas_na, is_scalar_nan
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skgrow._messages import shown
from skgrow.estimators._base import BaseNetwork, all_or_nothing, as_given
from skgrow.estimators._callbacks import with_callbacks
from skgrow.estimators._data import is_tensor, one_column, shareable, validate_sample_weight, validate_X
from skgrow.prediction import log_softmax, probabilities

if TYPE_CHECKING:
    from skgrow.networks import Network
    from skgrow.problem import Loss
    from skgrow.training import Result, Task


class NetworkClassifier(ClassifierMixin, BaseNetwork):
    """Base of the classifiers.

    Two classes have one output. A single class has one, too, and a cross-entropy that is always zero.
    """

    class_weight: Any

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: sparse inputs, multi-class and multi-label targets."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # fitting -----------------------------------------------------------------------------------------------

    def _encode(self, y: Any, n: int, *, reset: bool) -> Any:
        y = _as_labels(y, n)
        multilabel = y.ndim == 2
        if reset:
            classes = np.arange(y.shape[1]) if multilabel else np.unique(y)
            self.classes_, self._multilabel = classes, multilabel
        if multilabel != self._multilabel:
            raise ValueError(f"y must be {'a label indicator matrix' if self._multilabel else 'one class a sample'}.")
        if multilabel:
            if y.shape[1] != len(self.classes_):
                raise ValueError(f"y must have {len(self.classes_)} labels; got {y.shape[1]}.")
            return y.astype(float)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y has classes {shown(unknown)} that are not among {shown(self.classes_)}.")
        place = np.searchsorted(self.classes_, y)
        return place.astype(float)[:, None] if len(self.classes_) == 2 else np.eye(len(self.classes_))[place]

    def _emphasis(self, y: Any, weight: Any, n: int) -> Any:
        """Return the class weights of the samples; ``"balanced"`` by sums of sample weights."""
        if self.class_weight is None:
            return None
        labels = _as_labels(y, n)
        if self._multilabel:
            return compute_sample_weight(self.class_weight, labels)
        present, place = np.unique(labels, return_inverse=True)
        factors = compute_class_weight(self.class_weight, classes=present, y=labels)
        if isinstance(self.class_weight, str) and weight is not None:
            sums = np.bincount(place, weight)
            factors = weight.sum() / (np.count_nonzero(sums) * np.where(sums > 0, sums, 1.0))
        return validate_sample_weight(factors[place], n, "class_weight")

    def _loss(self) -> Loss:
        from skgrow.problem import CrossEntropy, Logistic

        return Logistic() if len(self.classes_) == 2 or self._multilabel else CrossEntropy()

    def _store(self, task: Task, result: Result) -> None:
        super()._store(task, result)
        self._certainty = self._certainty_of(task, result.trained.network)

    def _widen(self, task: Task, network: Network) -> None:
        (low, high), (least, largest) = self._certainty, self._certainty_of(task, network)
        self._certainty = np.stack([np.minimum(low, least), np.maximum(high, largest)])

    def _certainty_of(self, task: Task, network: Network) -> np.ndarray:
        """Return the range of the log odds, or of more than two classes of the log probabilities, on the samples."""
        F = task.outputs(network).numpy()
        F = log_softmax(F) if self._multiclass() else F
        return np.stack([F.min(0), F.max(0)])

    def _bounded_outputs(self, X: Any) -> np.ndarray:
        """Return what probabilities are made of, shape (n, n_classes) or (n, n_labels).

        Log odds, or more than two classes' logarithms up to a constant, as certain as on the samples at most: a network
        that is linear beyond the data would be certain there of what no sample tells.
        """
        F = self._outputs(X)
        if getattr(self, "_certainty", None) is not None:  # a callback's copy of an estimator in training has none
            low, high = self._certainty.astype(F.dtype)
            F = np.maximum(log_softmax(F), low) if self._multiclass() else np.minimum(np.maximum(F, low), high)
        return np.concatenate([-F, F], 1) if self._has_one_output() else F

    def _said_of_targets(self, task: Task) -> dict[str, Any]:
        return super()._said_of_targets(task) | {"out_activation_": "softmax" if self._multiclass() else "logistic"}

    @all_or_nothing
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Update the network by one pass over a batch of data, and grow it when progress is slow.

        The first call fixes classes and standardization and trains a first network on its batch. Later calls train on
        their batch alone; when the losses of the batches have reached a plateau, in the sense of ``schedule``, the
        network grows. Passes are made by ``solver`` if it takes mini-batches, and by Adam otherwise, with the initial
        rate in every call.

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Inputs.
        y : {array-like, tensor} of shape (n_samples,) or (n_samples, n_labels)
            Classes, or an indicator matrix of labels.
        classes : array-like of shape (n_classes,), optional
            All classes that will ever come; needed in the first call, may be left out after it.
        sample_weight : array-like of shape (n_samples,), optional
            Weights.

        Returns
        -------
        self
            The updated estimator.

        Raises
        ------
        ValueError
            In the first call without ``classes``, for other classes than then, or for data that cannot be used.
        """
        given = None if classes is None else np.unique(_sortable(classes, "classes"))
        if hasattr(self, "coefs_"):
            if given is not None and not np.array_equal(given, self.classes_):
                raise ValueError(f"classes must be {shown(self.classes_)} as in the first call; got {shown(given)}.")
            return self._update(X, y, sample_weight)
        if given is None:
            raise ValueError("classes must be passed on the first call to partial_fit; got classes=None.")
        if not len(given):
            raise ValueError("classes must be at least one class; got none.")
        X = validate_X(self, X, reset=True)
        self.classes_, self._multilabel = given, _as_labels(y, len(X)).ndim == 2
        target = self._encode(y, len(X), reset=False)
        from skgrow.training import Data

        weight = validate_sample_weight(sample_weight, len(X))
        emphasis = self._emphasis(y, weight, len(X))
        X, target, weight, emphasis = self._with_missing(X, target, weight, emphasis)
        return self._fit(Data(X, target, weight, emphasis), may_hold_out=False)

    def _with_missing(self, X: Any, target: np.ndarray, *rows: Any) -> tuple[Any, ...]:
        """Join a row at the mean of X for every class that has none: its probability must not start at zero."""
        if self._multilabel:
            return X, target, *rows
        single = len(self.classes_) == 2
        present = np.array([1 - target.mean(), target.mean()]) if single else target.mean(0)
        missing = np.flatnonzero(present == 0)
        if not len(missing):
            return X, target, *rows
        added = missing.astype(float)[:, None] if single else np.eye(target.shape[1])[missing]
        if is_tensor(X):
            X = X.new_tensor(np.vstack([X.to("cpu").numpy(), np.tile(X.mean(0).to("cpu").numpy(), (len(missing), 1))]))
        else:
            X = np.vstack([X, np.tile(X.mean(0), (len(missing), 1))])
        ones = np.ones(len(missing))
        return X, np.vstack([target, added]), *(None if row is None else np.concatenate([row, ones]) for row in rows)

    # prediction --------------------------------------------------------------------------------------------

    def decision_function(self, X: Any) -> Any:
        """Return the outputs of the network: log odds, or unnormalised log probabilities of more than two classes.

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Inputs; results for a tensor are tensors on its device.

        Returns
        -------
        ndarray or tensor of shape (n_samples,), (n_samples, n_classes) or (n_samples, n_labels)
            One column for two classes.
        """
        F = self._outputs(X)
        return as_given(F[:, 0] if self._has_one_output() else F, X)

    def _has_one_output(self) -> bool:
        return len(self.classes_) == 2 and not self._multilabel

    def _multiclass(self) -> bool:
        return len(self.classes_) != 2 and not self._multilabel

    def predict_log_proba(self, X: Any) -> Any:
        """Return logarithms of the probabilities, accurate also where these are tiny.

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray or tensor of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        F = self._bounded_outputs(X)
        return as_given(probabilities(F, of_classes=self._multiclass(), logarithm=True), X)

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities of the classes, in the order of ``classes_``, or of the labels; a single class has one.

        None is closer to zero or one than those of the training samples.

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray or tensor of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        return as_given(probabilities(self._bounded_outputs(X), of_classes=self._multiclass()), X)

    def predict(self, X: Any) -> Any:
        """Return the most probable class, or the labels of probability above one half.

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray or tensor of shape (n_samples,) or (n_samples, n_labels)
            A tensor for a tensor where classes are numbers.
        """
        F = self._outputs(X)
        if self._multilabel:
            return as_given((F > 0).astype(np.int64), X)
        found = self.classes_[(F[:, 0] > 0).astype(np.intp) if self._has_one_output() else F.argmax(1)]
        return as_given(found, X) if found.dtype.kind in "biuf" else found

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of the predicted classes; of label sets, the share that is right in every label.

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Inputs.
        y : {array-like, tensor} of shape (n_samples,) or (n_samples, n_labels)
            True classes or labels.
        sample_weight : array-like of shape (n_samples,), optional
            Weights.

        Returns
        -------
        float
            In [0, 1].
        """
        from sklearn.metrics import accuracy_score

        arrays = [a.detach().to("cpu").numpy() if is_tensor(a) else a for a in (y, self.predict(X), sample_weight)]
        return accuracy_score(arrays[0], arrays[1], sample_weight=arrays[2])


def _as_labels(y: Any, n: int) -> np.ndarray:
    """Return classes of shape (n,) or an indicator matrix (n, n_labels) as an array."""
    if y is None:
        raise ValueError("requires y to be passed, but the target y is None.")
    y = y.detach().to("cpu").numpy() if is_tensor(y) else y
    y = y.toarray() if sparse.issparse(y) else _sortable(y, "y")
    if type_of_target(y, input_name="y") != "multilabel-indicator":
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y", ensure_min_samples=1)
        y = one_column(y)
        check_classification_targets(y)
    if len(y) != n:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: [{n}, {len(y)}]")
    return shareable(y)


def _sortable(labels: Any, name: str) -> np.ndarray:
    """Return labels as an array.

    Raises
    ------
    ValueError
        For missing labels.
    TypeError
        For strings beside numbers, which have no order.
    """
    given = np.asarray(labels)
    if given.dtype.kind not in "OUST":
        return given
    values = np.asarray(labels, dtype=object).ravel()  # a list with NaN has become strings
    if any(value is None or is_scalar_nan(value) or is_pandas_na(value) for value in values):
        raise ValueError(f"Input {name} contains NaN.")
    strings = sum(isinstance(value, str) for value in values)
    if 0 < strings < len(values):
        raise TypeError(f"{name} must have labels of one kind; got strings beside labels that are none.")
    return given
