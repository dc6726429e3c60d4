"""PreconditionedMLPRegressor and PreconditionedMLPClassifier: given layers, trained in better coordinates."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from skgrow.estimators._base import BaseNetwork
from skgrow.estimators._classifier import NetworkClassifier
from skgrow.estimators._parameters import BY_EPOCHS, SHARED, activation_of, epoch_rates, sizes_of
from skgrow.estimators._regressor import NetworkRegressor

if TYPE_CHECKING:
    from skgrow.preconditioning import FixedSettings
    from skgrow.training import Regime


class Preconditioned(BaseNetwork):
    """What the two estimators of given layers share: their parameters, and how they are trained."""

    _parameter_constraints: ClassVar[dict] = {
        **SHARED,
        **BY_EPOCHS,
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "stage_epochs": [Interval(Integral, 1, None, closed="left")],
        "report_layers": ["boolean"],
    }

    def _method(self) -> tuple[Callable[..., Any], Callable[..., Any] | None, type[Regime]]:
        from skgrow.preconditioning import train
        from skgrow.training import Regime

        return train, None, Regime

    def _settings(self) -> FixedSettings:
        from skgrow.preconditioning import FixedSettings
        from skgrow.training import Every

        return FixedSettings(
            **self._shared_settings(),
            schedule=Every(self.stage_epochs),
            sizes=sizes_of(self.hidden_layer_sizes, "hidden_layer_sizes", 1, "widths >= 1"),
            activation=activation_of(self.activation),
            max_iter=self.max_iter,
            stage_epochs=self.stage_epochs,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
            report_layers=self.report_layers,
        )

    def _rates(self, solver: str) -> dict[str, Any]:
        return super()._rates(solver) | epoch_rates(self, solver)


class PreconditionedMLPRegressor(Preconditioned, NetworkRegressor):
    r"""Regression by a network of given layers, whose gradients are preconditioned layer by layer.

    It takes the place of :class:`~sklearn.neural_network.MLPRegressor` where plain gradients are slow, in deep networks
    of sigmoids above all, and of the other estimators as the network that does not grow. Autoencoders are
    ``fit(X, X)``.

    Parameters
    ----------
    loss : {"squared_error", "huber", "quantile", "poisson"} or Loss, default="squared_error"
        Half the squared error; Huber's loss, linear for residuals beyond 1.35 standard deviations of the noise
        (:class:`~skgrow.problem.Huber` takes another number); the pinball loss of a quantile (rounded off over a
        hundredth of the targets' deviation); half the Poisson deviance with log link, for counts or other y >= 0. Or a
        component of :mod:`skgrow.problem`.

    quantile : float, default=0.5
        Quantile of ``loss="quantile"``, in (0, 1).

    hidden_layer_sizes : int or sequence of int, default=(100,)
        Widths of the hidden layers.

    activation : {"relu", "leaky_relu", "tanh", "logistic", "identity"} or Activation, default="relu"
        Of the hidden neurons; :class:`skgrow.networks.Activation` takes another slope of the leaky ReLU than 0.01.

    preconditioner : {"covariance", "second_moment", "kfac", "sobolev", "emsa"}, component or None, default="kfac"
        By what inner products on the layers' inputs and outputs gradients are preconditioned: a name, or a
        :class:`~skgrow.preconditioning.FrobeniusPreconditioner`, whose parameters can be searched
        (``preconditioner__damping``). None: the network is trained as it is. ``"kfac"`` and ``"emsa"`` choose their own
        step lengths; for the others ``learning_rate_init`` matters.

    encoding : "auto", PiecewiseLinear or None, default=None
        Of single features: with ``"auto"`` the network also sees piecewise linear functions of those that the evidence
        of an additive model finds bent, with knots where these pay (:class:`~skgrow.problem.PiecewiseLinear`, which
        also takes a number of knots; Gorishniy, Rubachev and Babenko 2022). The fitted network then has a first hidden
        layer of the features themselves and a ReLU per knot. Not for wide data, operators, path norms, residual blocks
        and convolutions, and not for few rows. None: never.

    alpha : "auto" or float, default="auto"
        L2 penalty on weights and hidden biases, in the units of :class:`~sklearn.neural_network.MLPRegressor`.
        ``"auto"`` sets it by the evidence (MacKay 1992) between descents, on the Gauss-Newton matrix or, where that is
        expensive, on its Kronecker approximation. Then the stage of largest evidence is returned if no validation data
        judge; with a number it is the stage of least objective. Fewer than ten distinct rows get 1e-4.

    solver : {"auto", "lm", "lbfgs", "adam", "sgd"} or Solver, default="sgd"
        Mini-batches of SGD with Nesterov momentum, or of Adam; without a preconditioner also L-BFGS,
        Levenberg-Marquardt for small networks, or ``"auto"``: the first that is affordable of Levenberg-Marquardt,
        L-BFGS and Adam.

    batch_size : "auto" or int, default="auto"
        Of ``"adam"`` and ``"sgd"``; ``"auto"`` is ``min(200, n_samples)``.

    learning_rate : {"constant", "adaptive"}, default="constant"
        Of ``"adam"`` and ``"sgd"``; ``"adaptive"`` halves it when the loss has not fallen for three epochs.

    learning_rate_init : float, default=0.01
        Initial step size of ``"adam"`` and ``"sgd"``.

    momentum : float, default=0.9
        Of ``"sgd"``, in [0, 1).

    max_iter : int, default=200
        Epochs (solver iterations) in all. A ConvergenceWarning says if they were used up while the objective fell
        by ``tol``.

    tol : float, default=1e-4
        Relative gain of the objective (or evidence, or validation loss) that counts as progress.

    n_iter_no_change : int or np.inf, default=10
        Epochs without progress after which training ends; ``np.inf``: never.

    stage_epochs : int, default=5
        Epochs of a stage: after each there is a row of the history, and the validation loss is looked at.

    report_layers : bool, default=False
        Whether rows of the history have norms of the gradient layer by layer (``gradient_norms``), in the norm of the
        preconditioner (``preconditioned_norms``), and the eigenvalues of the moments of inputs and derivatives
        (``input_spectra``, ``output_spectra``).

    early_stopping : "auto", bool or int, default="auto"
        Whether to hold out ``validation_fraction`` of the data; then the stage of least validation loss is returned.
        A number: if there are more samples than that; ``"auto"``: 10000. Not used if ``X_val`` is given.

    validation_fraction : float, default=0.1
        Share of the data held out; of classes the same share of each, while one sample of each stays for training.
        ``partial_fit`` holds out nothing.

    standardize : bool, default=True
        Whether the network is trained on inputs and targets of mean zero and variance one. The fitted weights act on
        raw data in either case.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the network fitted before.

    random_state : int, RandomState instance or None, default=None
        For initial weights, mini-batches, random draws of the preconditioner and the validation split. Pass an int for
        repeatable results.

    device : str, default="auto"
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:k"`` or ``"mps"``. ``"auto"`` takes a GPU if there is one and
        the work is large enough to pay; data that is a tensor on a GPU stays there. Other data are predicted on the
        CPU, except by convolutional networks.

    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of training. ``"auto"`` is float32 for mini-batch solvers and float64 for the others. Predictions have
        the precision of the data.

    verbose : bool or int, default=False
        Whether to log a line per stage.

    Attributes
    ----------
    coefs_ : list of ndarray
        Weights (in, out) of every layer, acting on raw inputs.

    intercepts_ : list of ndarray
        Biases of every layer.

    target_range_ : ndarray of shape (2, n_outputs) or None
        Smallest and largest training targets; None with an operator. Predictions leave this range by at most half its
        length. :meth:`to_torch` gives the network without bounds.

    knots_ : list of ndarray
        Knots of every feature, in its units, ascending; empty for one that has none.

    architecture_ : tuple of int
        ``(n_features, hidden widths ..., n_outputs)``.

    activation_ : str
        Activation of the hidden neurons.

    history_ : list of dict
        One row per stage: time, epoch, losses and, with ``report_layers``, what it says there.

    alpha_ : float
        L2 penalty used.

    loss_ : float
        Training loss of the fitted network, without the penalty, in the units of training.
        After ``partial_fit`` the mean objective on its batch.

    best_loss_ : float
        Smallest training loss of the stages.

    loss_curve_ : list of float
        Objective after every solver iteration; of mini-batch solvers its mean over the batches of the epoch.

    validation_scores_ : list of float or None
        Share of the validation loss of a constant that is explained after every stage; None without validation data.

    best_validation_score_ : float or None
        Largest of them of a stage that was not undone; None without validation data.

    stop_reason_ : str
        Why training ended: ``"criterion"`` (no progress in ``n_iter_no_change`` epochs), ``"max_iter"``,
        ``"callback"``, ``"interrupted"`` or ``"not_finite"``.

    n_parameters_ : int
        Number of weights and biases.

    n_iter_ : int
        Solver iterations in total.

    n_layers_ : int
        Number of layers, the input counted.

    n_outputs_ : int
        Number of outputs.

    out_activation_ : str or None
        ``"identity"``; ``"exp"`` of ``loss="poisson"``; None of a loss with a link of its own.

    n_features_in_ : int
        Number of features seen during fit.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of features seen during fit, if all are strings.

    See Also
    --------
    PreconditionedMLPClassifier : The same for classes.
    sklearn.neural_network.MLPRegressor : Trained by Adam, SGD or L-BFGS as they are.

    References
    ----------
    L. Kreis, "Classical optimization techniques for neural network training", chapter 5.
    J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skgrow import PreconditionedMLPRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> reg = PreconditionedMLPRegressor(hidden_layer_sizes=(20, 20), max_iter=30, random_state=0).fit(X, y)
    >>> reg.score(X, y) > 0.5
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **NetworkRegressor._parameter_constraints,
        **Preconditioned._parameter_constraints,
    }

    def __init__(
        self,
        *,
        loss: Any = "squared_error",
        quantile: float = 0.5,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        preconditioner: Any = "kfac",
        encoding: Any = None,
        alpha: str | float = "auto",
        solver: Any = "sgd",
        batch_size: str | int = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.01,
        momentum: float = 0.9,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        stage_epochs: int = 5,
        report_layers: bool = False,
        early_stopping: str | bool | int = "auto",
        validation_fraction: float = 0.1,
        standardize: bool = True,
        warm_start: bool = False,
        random_state: Any = None,
        device: str = "auto",
        dtype: str = "auto",
        verbose: bool | int = False,
    ) -> None:
        self.loss = loss
        self.quantile = quantile
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.preconditioner = preconditioner
        self.encoding = encoding
        self.alpha = alpha
        self.solver = solver
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.stage_epochs = stage_epochs
        self.report_layers = report_layers
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose


class PreconditionedMLPClassifier(Preconditioned, NetworkClassifier):
    r"""Classification by a network of given layers, whose gradients are preconditioned layer by layer.

    It takes the place of :class:`~sklearn.neural_network.MLPClassifier` where plain gradients are slow, in deep
    networks of sigmoids above all, and of the other estimators as the network that does not grow.

    Parameters
    ----------
    class_weight : "balanced", dict or list of dict, default=None
        Weights of classes; ``"balanced"`` makes them inversely proportional to frequencies. Label sets take a list of
        dicts, one per label.

    hidden_layer_sizes : int or sequence of int, default=(100,)
        Widths of the hidden layers.

    activation : {"relu", "leaky_relu", "tanh", "logistic", "identity"} or Activation, default="relu"
        Of the hidden neurons; :class:`skgrow.networks.Activation` takes another slope of the leaky ReLU than 0.01.

    preconditioner : {"covariance", "second_moment", "kfac", "sobolev", "emsa"}, component or None, default="kfac"
        By what inner products on the layers' inputs and outputs gradients are preconditioned: a name, or a
        :class:`~skgrow.preconditioning.FrobeniusPreconditioner`, whose parameters can be searched
        (``preconditioner__damping``). None: the network is trained as it is. ``"kfac"`` and ``"emsa"`` choose their own
        step lengths; for the others ``learning_rate_init`` matters.

    encoding : "auto", PiecewiseLinear or None, default=None
        Of single features: with ``"auto"`` the network also sees piecewise linear functions of those that the evidence
        of an additive model finds bent, with knots where these pay (:class:`~skgrow.problem.PiecewiseLinear`, which
        also takes a number of knots; Gorishniy, Rubachev and Babenko 2022). The fitted network then has a first hidden
        layer of the features themselves and a ReLU per knot. Not for wide data, operators, path norms, residual blocks
        and convolutions, and not for few rows. None: never.

    alpha : "auto" or float, default="auto"
        L2 penalty on weights and hidden biases, in the units of :class:`~sklearn.neural_network.MLPClassifier`.
        ``"auto"`` sets it by the evidence (MacKay 1992) between descents, on the Gauss-Newton matrix or, where that is
        expensive, on its Kronecker approximation. Then the stage of largest evidence is returned if no validation data
        judge; with a number it is the stage of least objective. Fewer than ten distinct rows get 1e-4.

    solver : {"auto", "lm", "lbfgs", "adam", "sgd"} or Solver, default="sgd"
        Mini-batches of SGD with Nesterov momentum, or of Adam; without a preconditioner also L-BFGS,
        Levenberg-Marquardt for small networks, or ``"auto"``: the first that is affordable of Levenberg-Marquardt,
        L-BFGS and Adam.

    batch_size : "auto" or int, default="auto"
        Of ``"adam"`` and ``"sgd"``; ``"auto"`` is ``min(200, n_samples)``.

    learning_rate : {"constant", "adaptive"}, default="constant"
        Of ``"adam"`` and ``"sgd"``; ``"adaptive"`` halves it when the loss has not fallen for three epochs.

    learning_rate_init : float, default=0.01
        Initial step size of ``"adam"`` and ``"sgd"``.

    momentum : float, default=0.9
        Of ``"sgd"``, in [0, 1).

    max_iter : int, default=200
        Epochs (solver iterations) in all. A ConvergenceWarning says if they were used up while the objective fell
        by ``tol``.

    tol : float, default=1e-4
        Relative gain of the objective (or evidence, or validation loss) that counts as progress.

    n_iter_no_change : int or np.inf, default=10
        Epochs without progress after which training ends; ``np.inf``: never.

    stage_epochs : int, default=5
        Epochs of a stage: after each there is a row of the history, and the validation loss is looked at.

    report_layers : bool, default=False
        Whether rows of the history have norms of the gradient layer by layer (``gradient_norms``), in the norm of the
        preconditioner (``preconditioned_norms``), and the eigenvalues of the moments of inputs and derivatives
        (``input_spectra``, ``output_spectra``).

    early_stopping : "auto", bool or int, default="auto"
        Whether to hold out ``validation_fraction`` of the data; then the stage of least validation loss is returned.
        A number: if there are more samples than that; ``"auto"``: 10000. Not used if ``X_val`` is given.

    validation_fraction : float, default=0.1
        Share of the data held out; of classes the same share of each, while one sample of each stays for training.
        ``partial_fit`` holds out nothing.

    standardize : bool, default=True
        Whether the network is trained on inputs of mean zero and variance one. The fitted weights act on
        raw data in either case.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the network fitted before.

    random_state : int, RandomState instance or None, default=None
        For initial weights, mini-batches, random draws of the preconditioner and the validation split. Pass an int for
        repeatable results.

    device : str, default="auto"
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:k"`` or ``"mps"``. ``"auto"`` takes a GPU if there is one and
        the work is large enough to pay; data that is a tensor on a GPU stays there. Other data are predicted on the
        CPU, except by convolutional networks.

    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of training. ``"auto"`` is float32 for mini-batch solvers and float64 for the others. Predictions have
        the precision of the data.

    verbose : bool or int, default=False
        Whether to log a line per stage.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; for label sets the numbers of the labels.

    coefs_ : list of ndarray
        Weights (in, out) of every layer, acting on raw inputs.

    intercepts_ : list of ndarray
        Biases of every layer.

    knots_ : list of ndarray
        Knots of every feature, in its units, ascending; empty for one that has none.

    architecture_ : tuple of int
        ``(n_features, hidden widths ..., n_outputs)``.

    activation_ : str
        Activation of the hidden neurons.

    history_ : list of dict
        One row per stage: time, epoch, losses and, with ``report_layers``, what it says there.

    alpha_ : float
        L2 penalty used.

    loss_ : float
        Training loss of the fitted network, without the penalty: cross-entropy in nats.
        After ``partial_fit`` the mean objective on its batch.

    best_loss_ : float
        Smallest training loss of the stages.

    loss_curve_ : list of float
        Objective after every solver iteration; of mini-batch solvers its mean over the batches of the epoch.

    validation_scores_ : list of float or None
        Share of the validation data's entropy that is explained after every stage; None without validation data.

    best_validation_score_ : float or None
        Largest of them of a stage that was not undone; None without validation data.

    stop_reason_ : str
        Why training ended: ``"criterion"`` (no progress in ``n_iter_no_change`` epochs), ``"max_iter"``,
        ``"callback"``, ``"interrupted"`` or ``"not_finite"``.

    n_parameters_ : int
        Number of weights and biases.

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
        Names of features seen during fit, if all are strings.

    See Also
    --------
    PreconditionedMLPRegressor : The same for numbers.
    sklearn.neural_network.MLPClassifier : Trained by Adam, SGD or L-BFGS as they are.

    References
    ----------
    L. Kreis, "Classical optimization techniques for neural network training", chapter 5.
    J. Martens, R. Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML 2015.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgrow import PreconditionedMLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = PreconditionedMLPClassifier(hidden_layer_sizes=(10, 10), activation="logistic", random_state=0).fit(X, y)
    >>> clf.score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "class_weight": [None, StrOptions({"balanced"}), dict, list],
        **Preconditioned._parameter_constraints,
    }

    def __init__(
        self,
        *,
        class_weight: Any = None,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        preconditioner: Any = "kfac",
        encoding: Any = None,
        alpha: str | float = "auto",
        solver: Any = "sgd",
        batch_size: str | int = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.01,
        momentum: float = 0.9,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        stage_epochs: int = 5,
        report_layers: bool = False,
        early_stopping: str | bool | int = "auto",
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
        self.preconditioner = preconditioner
        self.encoding = encoding
        self.alpha = alpha
        self.solver = solver
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.stage_epochs = stage_epochs
        self.report_layers = report_layers
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
