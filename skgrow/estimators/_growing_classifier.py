"""GrowingClassifier: a network that finds its own size, for classes and label sets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import check_array, compute_sample_weight
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d

from skgrow.estimators._base import as_given
from skgrow.estimators._data import is_tensor, validate_sample_weight
from skgrow.estimators._growing import GrowingNetwork

if TYPE_CHECKING:
    from torch import Tensor


class GrowingClassifier(ClassifierMixin, GrowingNetwork):
    r"""Classification by a network that grows to the width its data needs, trained by cross-entropy.

    It grows as :class:`GrowingRegressor` does: the polar problem is solved for the indicator of the class minus the
    probabilities, the output layer is refitted by Newton steps, and the generalised Gauss-Newton matrix gives the
    weight decay, by the Laplace evidence, and the criterion that ends growth. None of it needs tuning.

    Parameters
    ----------
    class_weight : "balanced", dict or list of dict, default=None
        Weights of classes; ``"balanced"`` makes them inversely proportional to frequencies. Label sets take a list of
        dicts, one per label.

    hidden_layer_sizes : int or sequence of int, default=(0,)
        Widths at the start, of one or more hidden layers. Only the last one may start without neurons.

    activation : {"auto", "relu", "leaky_relu", "tanh", "logistic"}, default="auto"
        Of the hidden neurons. ``"auto"`` grows a ReLU and a tanh network and keeps the better one by
        ``criterion`` (or validation loss).

    negative_slope : float, default=0.01
        Slope of ``"leaky_relu"`` for negative arguments, in [0, 1).

    alpha : "auto" or float, default="auto"
        L2 penalty on weights and hidden biases, in the units of :class:`~sklearn.neural_network.MLPClassifier`.
        ``"auto"`` sets it by the evidence (MacKay 1992), on the Gauss-Newton matrix or, where that is dear, on its
        Kronecker approximation; then validation data may lower it in the end.

    criterion : {"evidence", "gcv"}, default="evidence"
        What says, without validation data, when growing ends and which stage and activation is returned: the log
        evidence, or the cross-entropy on new data estimated from the effective parameters. A gain of less than one nat
        in all counts as none.

    solver : {"auto", "lm", "lbfgs", "adam", "sgd"}, default="auto"
        Levenberg-Marquardt, L-BFGS, or mini-batches of Adam or SGD with Nesterov momentum. ``"auto"`` takes the
        first that is affordable for the size of data and network.

    schedule : {"plateau", "every", "at_epochs", "target_loss"} or schedule, default="plateau"
        When to grow: a name, or a component of :mod:`skgrow.growth` (:class:`~skgrow.growth.Plateau`,
        :class:`~skgrow.growth.Every`, :class:`~skgrow.growth.AtEpochs`, :class:`~skgrow.growth.TargetLoss`).

    search : {"polar", "random", "gradmax", "firefly"} or component, default="polar"
        How new neurons are found: :class:`~skgrow.growth.PolarSearch` or, as baselines,
        :class:`~skgrow.growth.RandomSearch`, :class:`~skgrow.growth.GradMax` and :class:`~skgrow.growth.Firefly`.

    grow_layer : {"last", "all", "best"}, default="last"
        Which hidden layers grow: the last one, all of them, or the one whose block promises the largest decrease of the
        loss per parameter.

    block_size : int or "auto", default="auto"
        Neurons added at a time; ``"auto"`` is 3, and twice the number of outputs if there are several. Three ReLU
        neurons can form a hat function.

    max_neurons : int, default=100
        Largest number of hidden neurons.

    max_extensions : int or None, default=None
        Blocks found one after the other while the old weights are frozen (Algorithm 2 of Feischl et al.), before
        all weights are trained again. None: as many as add about a quarter of the present width.

    max_stages : int, default=100
        Largest number of growths.

    n_exchanges : int, default=0
        Exchange steps after the growth: the neurons of least leave-out loss are dropped and the best new ones
        added, and the result is kept if it is better.

    merge_tol : float, default=1e-6
        Neurons whose directions are this close are merged, as are (leaky) ReLUs that are on and off on the same samples
        with outgoing weights of one direction: predictions on the training data do not change.

    n_iter_no_change : int, default=1
        Growths without improvement of ``criterion`` (or validation loss) after which growing ends.

    tol : float, default=1e-6
        Growing also ends when the best new block promises a smaller relative decrease of the loss.

    max_iter : int, default=200
        Solver iterations (epochs of ``"adam"`` and ``"sgd"``) between two growths at most; short descents on smoothed
        networks within a growth are not counted.

    batch_size : "auto" or int, default="auto"
        Of ``"adam"`` and ``"sgd"``; ``"auto"`` is ``min(200, n_samples)``.

    learning_rate_init : float, default=0.001
        Initial step size of ``"adam"`` and ``"sgd"``; it is halved on plateaus.

    early_stopping : "auto" or bool, default="auto"
        Whether to hold out ``validation_fraction`` of the data and stop growing by the validation loss instead of
        by ``criterion``. ``"auto"``: if there are more than 10000 samples or the Gauss-Newton matrix of 20 neurons is
        dear (many features or classes); then the network chosen is trained on all data in the end. Not used if
        ``X_val`` is given.

    validation_fraction : float, default=0.1
        Share of the data held out.

    standardize : bool, default=True
        Whether the network is trained on inputs and targets of mean zero and variance one. The fitted weights act
        on raw data in either case.

    warm_start : bool, default=False
        Whether ``fit`` goes on growing from the network fitted before.

    random_state : int, RandomState instance or None, default=None
        For the search directions, the validation split and the mini-batches. Pass an int for repeatable results.

    device : str, default="auto"
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:k"`` or ``"mps"``. ``"auto"`` takes a GPU where there is one and
        the work is large enough to pay; data that is a tensor on a GPU stays there.

    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of training. ``"auto"`` is float64, and float32 for mini-batch solvers and on devices without
        float64. Predictions have the precision of the data.

    verbose : bool or int, default=False
        Whether to log a line per growth stage.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; for label sets the numbers of the labels.

    coefs_ : list of ndarray
        Weights (in, out) of every layer, acting on raw inputs. Two classes have one output.

    intercepts_ : list of ndarray
        Biases of every layer.

    architecture_ : tuple of int
        ``(n_features, n_neurons, ..., n_outputs)``.

    activation_ : str
        Activation of the hidden neurons.

    history_ : list of dict
        One row per growth stage or exchange, as in :class:`GrowingRegressor`; losses are cross-entropies in nats.

    growth_indicator_ : float
        The constant :math:`C_{opt}` in [0, 2] of Feischl et al. (Theorem 25), of the negative functional gradient in
        place of the residual: twice the cosine of its angle to the best new block found.

    alpha_ : float
        L2 penalty used, in standardized units.

    effective_parameters_ : float
        Number of parameters that the data determines well.

    log_evidence_ : float
        Log marginal likelihood of the classes (Laplace approximation).

    loss_ : float
        Training cross-entropy of the fitted network.

    best_loss_ : float
        Smallest training cross-entropy reached on the path.

    loss_curve_ : list of float
        Objective after every solver iteration.

    validation_scores_ : list of float or None
        Share of the validation data's entropy that is explained (one minus its cross-entropy over that of constant
        probabilities) after every stage; None without validation data.

    n_iter_ : int
        Solver iterations in total.

    n_layers_ : int
        Number of layers, the input counted.

    n_outputs_ : int
        Number of outputs.

    out_activation_ : str
        ``"logistic"`` for two classes or label sets, ``"softmax"`` for more classes.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during fit, where all are strings.

    See Also
    --------
    GrowingRegressor : The same for numbers.
    sklearn.neural_network.MLPClassifier : Network of given width.

    References
    ----------
    M. Feischl, A. Rieder, F. Zehetgruber, "Towards optimal hierarchical training of neural networks", 2024.
    D. J. C. MacKay, "The evidence framework applied to classification networks", Neural Computation 4, 1992.
    A. Immer et al., "Scalable marginal likelihood estimation for model selection in deep learning", ICML 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgrow import GrowingClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = GrowingClassifier(random_state=0).fit(X, y)
    >>> clf.predict_proba(X[:2]).shape
    (2, 3)
    >>> clf.score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "class_weight": [None, StrOptions({"balanced"}), dict, list],
        **GrowingNetwork._parameter_constraints,
    }

    def __init__(
        self,
        *,
        class_weight: Any = None,
        hidden_layer_sizes: Any = (0,),
        activation: str = "auto",
        negative_slope: float = 0.01,
        alpha: str | float = "auto",
        criterion: str = "evidence",
        solver: str = "auto",
        schedule: Any = "plateau",
        search: Any = "polar",
        grow_layer: str = "last",
        block_size: str | int = "auto",
        max_neurons: int = 100,
        max_extensions: int | None = None,
        max_stages: int = 100,
        n_exchanges: int = 0,
        merge_tol: float = 1e-6,
        n_iter_no_change: int = 1,
        tol: float = 1e-6,
        max_iter: int = 200,
        batch_size: str | int = "auto",
        learning_rate_init: float = 0.001,
        early_stopping: str | bool = "auto",
        validation_fraction: float = 0.1,
        standardize: bool = True,
        warm_start: bool = False,
        random_state: Any = None,
        device: str = "auto",
        dtype: str = "auto",
        verbose: bool | int = False,
    ) -> None:
        self.class_weight = class_weight
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.negative_slope = negative_slope
        self.alpha = alpha
        self.criterion = criterion
        self.solver = solver
        self.schedule = schedule
        self.search = search
        self.grow_layer = grow_layer
        self.block_size = block_size
        self.max_neurons = max_neurons
        self.max_extensions = max_extensions
        self.max_stages = max_stages
        self.n_exchanges = n_exchanges
        self.merge_tol = merge_tol
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose

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
            if not multilabel and len(classes) < 2:
                raise ValueError(
                    f"{type(self).__name__} needs samples of at least 2 classes; got 1 class, {classes[0]!r}."
                )
            self.classes_, self._multilabel = classes, multilabel
        if multilabel != self._multilabel:
            raise ValueError(f"y must be {'a label indicator matrix' if self._multilabel else 'one class a sample'}.")
        if multilabel:
            if y.shape[1] != len(self.classes_):
                raise ValueError(f"y must have {len(self.classes_)} labels; got {y.shape[1]}.")
            return y.astype(float)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(f"y has classes {unknown.tolist()} that are not among {self.classes_.tolist()}.")
        place = np.searchsorted(self.classes_, y)
        return place.astype(float)[:, None] if len(self.classes_) == 2 else np.eye(len(self.classes_))[place]

    def _weights(self, y: Any, sample_weight: Any, n: int) -> Any:
        weight = validate_sample_weight(sample_weight, n)
        if self.class_weight is None:
            return weight
        labels = _as_labels(y, n)
        factors = compute_sample_weight(self.class_weight, labels)
        return validate_sample_weight(factors if weight is None else factors * weight, n)

    def _make_loss(self, samples: Any) -> Any:  # noqa: ARG002
        from skgrow import training

        single = len(self.classes_) == 2 or self._multilabel
        return training.Logistic() if single else training.CrossEntropy()

    def _store_network(self, network: Any, dtype: type) -> None:
        super()._store_network(network, dtype)
        self.out_activation_ = "logistic" if len(self.classes_) == 2 or self._multilabel else "softmax"

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> GrowingClassifier:
        """Update the network by one pass of Adam over a batch of data, and grow it when progress is slow.

        The first call fixes classes and standardization and grows a first network on its batch. Later calls train on
        their batch alone; when the losses of the batches have reached a plateau, in the sense of ``schedule``, one
        block of neurons is added.

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
        GrowingClassifier
            The updated estimator.

        Raises
        ------
        ValueError
            In the first call without ``classes``, for other classes than then, or for data that cannot be used.
        """
        given = None if classes is None else np.unique(np.asarray(classes))
        if hasattr(self, "coefs_"):
            if given is not None and not np.array_equal(given, self.classes_):
                raise ValueError(
                    f"classes must be {self.classes_.tolist()} as in the first call; got {given.tolist()}."
                )
            return self._update(X, y, sample_weight)
        if given is None:
            raise ValueError("classes must be passed on the first call to partial_fit; got classes=None.")
        from skgrow.estimators._data import validate_X
        from skgrow.estimators._run import Run

        if len(given) < 2:
            raise ValueError(f"classes must be at least 2 classes; got {given.tolist()}.")
        X = validate_X(self, X, reset=True)
        self.classes_, self._multilabel = given, _as_labels(y, len(X)).ndim == 2
        target = self._encode(y, len(X), reset=False)
        X, target, weight = self._with_missing(X, target, self._weights(y, sample_weight, len(X)))
        Run(self, X, target, weight, None, None).train()
        return self

    def _with_missing(self, X: Any, target: np.ndarray, weight: Any) -> tuple[Any, np.ndarray, Any]:
        """Join a row at the mean of X for every class that has none: its probability must not start at zero."""
        if self._multilabel:
            return X, target, weight
        single = target.shape[1] == 1
        present = np.array([1 - target.mean(), target.mean()]) if single else target.mean(0)
        missing = np.flatnonzero(present == 0)
        if not len(missing):
            return X, target, weight
        rows = missing.astype(float)[:, None] if single else np.eye(target.shape[1])[missing]
        if is_tensor(X):
            X = X.new_tensor(np.vstack([X.to("cpu").numpy(), np.tile(X.mean(0).to("cpu").numpy(), (len(missing), 1))]))
        else:
            X = np.vstack([X, np.tile(X.mean(0), (len(missing), 1))])
        weight = None if weight is None else np.concatenate([weight, np.ones(len(missing))])
        return X, np.vstack([target, rows]), weight

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
        return as_given(self._outputs(X), X)

    def _outputs(self, X: Any) -> Tensor:
        tensor, network = self._prediction_input(X)
        F = network(tensor)
        return F[:, 0] if len(self.classes_) == 2 and not self._multilabel else F

    def _multiclass(self) -> bool:
        return len(self.classes_) > 2 and not self._multilabel

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
        import torch
        from torch.nn.functional import logsigmoid

        F = self._outputs(X)
        F = torch.stack([-F, F], 1) if F.ndim == 1 else F
        logs = torch.log_softmax(F, 1) if self._multiclass() else logsigmoid(F)
        P = torch.softmax(F, 1) if self._multiclass() else torch.sigmoid(F)
        # near one the logarithm of what predict_proba returns, to the last bit
        return as_given(torch.where(P > 0.5, P.log(), logs), X)

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities of the classes, in the order of ``classes_``, or of the labels.

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Inputs.

        Returns
        -------
        ndarray or tensor of shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        import torch

        F = self._outputs(X)
        F = torch.stack([-F, F], 1) if F.ndim == 1 else F
        return as_given(torch.softmax(F, 1) if self._multiclass() else torch.sigmoid(F), X)

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
        import torch

        F = self._outputs(X)
        if self._multilabel:
            return as_given((F > 0).to(torch.int64), X)
        place = (F > 0).to(torch.int64) if F.ndim == 1 else F.argmax(1)
        if is_tensor(X) and self.classes_.dtype.kind in "biuf":
            return torch.as_tensor(self.classes_, device=place.device)[place]
        return self.classes_[place.to("cpu").numpy()]

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
    if type_of_target(y, input_name="y") == "multilabel-indicator":
        y = y.toarray() if hasattr(y, "toarray") else np.asarray(y)
    else:
        y = check_array(y, ensure_2d=False, dtype=None, input_name="y", ensure_min_samples=1)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
    if len(y) != n:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: [{n}, {len(y)}]")
    return y
