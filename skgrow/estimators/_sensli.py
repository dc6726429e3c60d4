"""SensLIRegressor and SensLIClassifier: networks that deepen themselves while they are trained."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from skgrow.estimators._base import BaseNetwork
from skgrow.estimators._classifier import NetworkClassifier
from skgrow.estimators._parameters import BY_EPOCHS, SHARED, activation_of, build, component, epoch_rates, layers_of
from skgrow.estimators._regressor import NetworkRegressor

if TYPE_CHECKING:
    from skgrow.insertion import InsertionSettings
    from skgrow.training import Regime

#: Hidden layers at the start, if none are given.
_SENSLI_START: dict[str, tuple[int, ...]] = {"mlp": (100,), "resnet": (100, 100), "cnn": ()}


class Inserting(BaseNetwork):
    """What the two layer-inserting estimators share: their parameters, and how they are trained."""

    _parameter_constraints: ClassVar[dict] = {
        **SHARED,
        **BY_EPOCHS,
        "architecture": component("architecture"),
        "hidden_layer_sizes": [StrOptions({"auto"}), "array-like", Interval(Integral, 1, None, closed="left")],
        "schedule": [None, *component("schedule")],
        "tau": [Interval(Real, 0, None, closed="left")],
        "selection": component("selection"),
        "max_layers": [Interval(Integral, 0, None, closed="left")],
        "widen": ["boolean", HasMethods(["check"])],
        "new_layer_rate": [Interval(Real, 0, None, closed="neither")],
        "patience": [Interval(Integral, 1, None, closed="left")],
    }

    def _method(self) -> tuple[Callable[..., Any], Callable[..., Any] | None, type[Regime]]:
        from skgrow.insertion import insert, train
        from skgrow.training import Regime

        return train, insert, Regime

    def _settings(self) -> InsertionSettings:
        from skgrow.growth import PolarSearch
        from skgrow.insertion import InsertionSettings, Widening
        from skgrow.training import Plateau

        architecture, selection = build("architecture", self.architecture), build("selection", self.selection)
        widening = (Widening() if self.widen else None) if isinstance(self.widen, bool) else clone(self.widen)
        for part in (selection, widening):
            if part is not None:
                part.check()
        if widening is not None and selection.kind != "max":
            raise ValueError(f"widen=True needs selection='max'; got selection={self.selection!r}.")
        shared = self._shared_settings()
        if self.new_layer_rate != 1 and not hasattr(shared["solver"], "new_layer_rate"):
            raise ValueError(
                "new_layer_rate is for solver='adam' or 'sgd'; got "
                f"new_layer_rate={self.new_layer_rate!r}, solver={self.solver!r}."
            )
        return InsertionSettings(
            **shared,
            schedule=Plateau(tol=1e-2, patience=10) if self.schedule is None else build("schedule", self.schedule),
            n_channels=architecture.n_channels,
            architecture=architecture,
            sizes=layers_of(self.hidden_layer_sizes, architecture, _SENSLI_START),
            activation=activation_of(self.activation),
            selection=selection,
            tau=self.tau,
            max_layers=self.max_layers,
            widening=widening,
            search=PolarSearch(),
            max_iter=self.max_iter,
            patience=self.patience,
        )

    def _rates(self, solver: str) -> dict[str, Any]:
        return super()._rates(solver) | epoch_rates(self, solver) | {"new_layer_rate": self.new_layer_rate}


class SensLIRegressor(Inserting, NetworkRegressor):
    r"""Regression by a network that inserts layers while it is trained, where the loss is most sensitive to them.

    Training starts with a shallow network. When the schedule says so, the *merit* of a new layer is computed for every
    position at once: the squared norm of the gradient that its weights would have, a product of what one
    forward-backward pass leaves behind. A layer that leaves the function as it is goes where the merit is largest, if
    it is large beside the gradients of the weights there are; the state of the solver is kept, and training goes on.

    Parameters
    ----------
    loss : {"squared_error", "huber", "quantile", "poisson"} or Loss, default="squared_error"
        Half the squared error; Huber's loss, linear for residuals beyond 1.35 standard deviations of the noise
        (:class:`~skgrow.problem.Huber` takes another number); the pinball loss of a quantile (rounded off over a
        hundredth of the targets' deviation); half the Poisson deviance with log link, for counts or other y >= 0. Or a
        component of :mod:`skgrow.problem`.

    quantile : float, default=0.5
        Quantile of ``loss="quantile"``, in (0, 1).

    architecture : {"mlp", "resnet", "cnn"} or Architecture, default="mlp"
        Fully connected layers; a residual network :math:`z \leftarrow z + V s(U z + b)` between linear maps, see
        :class:`~skgrow.networks.ResNetArchitecture`; or 3 x 3 convolutions in stages that end in 2 x 2 max-pooling,
        with a dense head. Convolutions need the shape of the images: ``architecture=CNNArchitecture(image_shape=(28,
        28))``, see :class:`~skgrow.networks.CNNArchitecture`.

    hidden_layer_sizes : "auto", int or sequence of int, default="auto"
        Widths at the start: of the hidden layers (``"mlp"``); of the residual state and then of the neurons inside
        every block (``"resnet"``: ``(3, 3)`` is one block of width 3); or of the hidden layers of the head
        (``"cnn"``, may be empty). ``"auto"`` is ``(100,)``, ``(100, 100)`` or ``()``.

    activation : {"relu", "leaky_relu", "tanh", "logistic", "identity"} or Activation, default="relu"
        Of the hidden neurons; :class:`skgrow.networks.Activation` takes another slope of the leaky ReLU than 0.01.
        ``"cnn"`` takes ``"relu"``, ``"tanh"`` or ``"identity"``. Behind sigmoids an inserted
        layer changes the function of an MLP or a convolutional network a little, see
        :class:`skgrow.networks.IdentityLike`; behind the others, and in residual networks, not at all.

    schedule : {"plateau", "every", "at_epochs", "target_loss"}, Schedule or None, default=None
        When an insertion is considered: a name, or a component of :mod:`skgrow.training`
        (:class:`~skgrow.training.Plateau`, :class:`~skgrow.training.Every`, :class:`~skgrow.training.AtEpochs`,
        :class:`~skgrow.training.TargetLoss`). None is ``Plateau(tol=1e-2, patience=10)``: less than one per cent in ten
        epochs. If nothing is inserted on a plateau, training ends.

    tau : float, default=1.0
        A layer is inserted where its merit is at least this multiple of the mean squared norm of the gradients of the
        weights there are (4.18). Not negative; larger values insert fewer layers.

    selection : {"max", "min", "random"} or Selection, default="max"
        Which positions are taken: those of largest merit or, to compare with, of smallest merit or random ones
        (both without a threshold). :class:`~skgrow.insertion.Selection` also says by which norm, on how many rows, and
        how many layers at once.

    max_layers : int, default=5
        Largest number of hidden layers (``"mlp"``), blocks (``"resnet"``) or convolutions (``"cnn"``).

    widen : bool or Widening, default=False
        Whether hidden layers may also get new neurons (of ``"cnn"`` those of the head). They are found by the polar
        search, start without influence on the output, and their merit is compared with that of the neurons there
        are (4.20). :class:`~skgrow.insertion.Widening` says how many at a time, and whether beside layers or instead.

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

    solver : {"auto", "lm", "lbfgs", "adam", "sgd"} or Solver, default="adam"
        Mini-batches of Adam or of SGD with Nesterov momentum; L-BFGS; Levenberg-Marquardt for small networks.
        ``"auto"`` takes Levenberg-Marquardt if it is affordable, L-BFGS on up to 20000 samples, else Adam.

    preconditioner : {"covariance", "second_moment", "kfac", "sobolev", "emsa"}, component or None, default=None
        Preconditioning of the gradients of ``solver="sgd"`` (which ``"auto"`` then is) or ``"adam"`` by inner products
        on the layers' inputs and outputs: a name, or a :class:`~skgrow.preconditioning.FrobeniusPreconditioner`, whose
        parameters can be searched (``preconditioner__damping``). ``"kfac"`` and ``"emsa"`` choose their own step
        lengths.

    batch_size : "auto" or int, default="auto"
        Of ``"adam"`` and ``"sgd"``; ``"auto"`` is ``min(200, n_samples)``.

    learning_rate : {"constant", "adaptive"}, default="constant"
        Of ``"adam"`` and ``"sgd"``; ``"adaptive"`` halves it when the loss has not fallen for three epochs.

    learning_rate_init : float, default=0.001
        Initial step size of ``"adam"`` and ``"sgd"``.

    momentum : float, default=0.9
        Of ``"sgd"``, in [0, 1).

    new_layer_rate : float, default=1.0
        Factor of the learning rate of parameters that are inserted during training (``"adam"`` and ``"sgd"``).

    max_iter : int, default=200
        Epochs (solver iterations) in all. A ConvergenceWarning says if they ended the last stage before ``schedule``
        did, while the objective fell by 1e-4 an epoch, unless the schedule is one of given epochs.

    patience : int, default=3
        Stages without improvement of the evidence or validation loss after which training ends.

    early_stopping : "auto", bool or int, default="auto"
        Whether to hold out ``validation_fraction`` of the data; then the stage of least validation loss is returned.
        A number: if there are more samples than that; ``"auto"``: 10000. Not used if ``X_val`` is given.

    validation_fraction : float, default=0.1
        Share of the data held out; of classes the same share of each, while one sample of each stays for training.
        ``partial_fit`` holds out nothing.

    standardize : bool, default=True
        Whether the network is trained on inputs and targets of mean zero and variance one (images: channel by
        channel). The fitted network acts on raw data in either case.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the network fitted before.

    random_state : int, RandomState instance or None, default=None
        For initial weights, mini-batches, the validation split and random positions. Pass an int for repeatable
        results.

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
        Weights of every map: (in, out) of matrices, (out, in, 3, 3) of convolutions.

    intercepts_ : list of ndarray
        Biases of every map; of length 0 where there are none.

    target_range_ : ndarray of shape (2, n_outputs) or None
        Smallest and largest training targets; None with an operator. Predictions leave this range by at most half its
        length. :meth:`to_torch` gives the network without bounds.

    knots_ : list of ndarray
        Knots of every feature, in its units, ascending; empty for one that has none.

    architecture_ : tuple of int
        Sizes of the layers: ``(n_features, hidden layers ..., n_outputs)``; of residual networks
        ``(n_features, width, neurons of block 1, ..., n_outputs)``; of convolutional ones
        ``(n_features, channels ..., hidden layers of the head ..., n_outputs)``.

    activation_ : str
        Activation of the hidden neurons.

    history_ : list of dict
        One row per stage: time, epoch, what was done before it (``action``), architecture, losses; then the ``merits``
        of all positions, ``merit_ratios`` to the mean squared norm of the present gradients (``merit_reference``),
        the ``decision`` and its ``reason``.

    merits_ : list of float
        Merits of all positions of the fitted network: squared norms of the gradients of layers not yet there.

    merit_ratios_ : list of float
        The same over the mean squared norm of the gradients of the weights there are: values above ``tau`` say that
        more depth would pay.

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
        Why training ended: ``"criterion"`` (none better in ``patience`` stages), ``"tau"`` (no merit
        reaches it), ``"no_proposal"`` (merits are zero), ``"undone"`` (the last insertion was), ``"max_layers"`` (a
        larger number may predict better), ``"schedule"``, ``"max_iter"``,
        ``"callback"``, ``"interrupted"`` or ``"not_finite"``.

    n_parameters_ : int
        Number of weights and biases.

    n_iter_ : int
        Solver iterations in total.

    n_layers_ : int
        Number of maps plus one.

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
    SensLIClassifier : The same for classes.
    GrowingRegressor : Grows in width instead.
    sklearn.neural_network.MLPRegressor : Network of given layers.

    References
    ----------
    L. Kreis, "Classical optimization techniques for neural network training", chapter 4: sensitivity-based layer
    insertion (SensLI), Algorithm 6.
    H. Sedghi, V. Gupta, P. M. Long, "The singular values of convolutional layers", ICLR 2019.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skgrow import SensLIRegressor
    >>> X, y = make_friedman1(n_samples=200, random_state=0)
    >>> reg = SensLIRegressor(hidden_layer_sizes=20, schedule="every", max_layers=2, alpha=1e-4, random_state=0)
    >>> reg.fit(X, y).architecture_
    (10, 20, 20, 1)
    """

    _parameter_constraints: ClassVar[dict] = {
        **NetworkRegressor._parameter_constraints,
        **Inserting._parameter_constraints,
    }

    def __init__(
        self,
        *,
        loss: Any = "squared_error",
        quantile: float = 0.5,
        architecture: Any = "mlp",
        hidden_layer_sizes: Any = "auto",
        activation: Any = "relu",
        schedule: Any = None,
        tau: float = 1.0,
        selection: Any = "max",
        max_layers: int = 5,
        widen: Any = False,
        encoding: Any = None,
        alpha: str | float = "auto",
        solver: Any = "adam",
        preconditioner: Any = None,
        batch_size: str | int = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        momentum: float = 0.9,
        new_layer_rate: float = 1.0,
        max_iter: int = 200,
        patience: int = 3,
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
        self.architecture = architecture
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.schedule = schedule
        self.tau = tau
        self.selection = selection
        self.max_layers = max_layers
        self.widen = widen
        self.encoding = encoding
        self.alpha = alpha
        self.solver = solver
        self.preconditioner = preconditioner
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.new_layer_rate = new_layer_rate
        self.max_iter = max_iter
        self.patience = patience
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose


class SensLIClassifier(Inserting, NetworkClassifier):
    r"""Classification by a network that inserts layers while it is trained, where the loss is most sensitive to them.

    It is trained as :class:`SensLIRegressor` is, by cross-entropy.

    Parameters
    ----------
    class_weight : "balanced", dict or list of dict, default=None
        Weights of classes; ``"balanced"`` makes them inversely proportional to frequencies. Label sets take a list of
        dicts, one per label.

    architecture : {"mlp", "resnet", "cnn"} or Architecture, default="mlp"
        Fully connected layers; a residual network :math:`z \leftarrow z + V s(U z + b)` between linear maps, see
        :class:`~skgrow.networks.ResNetArchitecture`; or 3 x 3 convolutions in stages that end in 2 x 2 max-pooling,
        with a dense head. Convolutions need the shape of the images: ``architecture=CNNArchitecture(image_shape=(28,
        28))``, see :class:`~skgrow.networks.CNNArchitecture`.

    hidden_layer_sizes : "auto", int or sequence of int, default="auto"
        Widths at the start: of the hidden layers (``"mlp"``); of the residual state and then of the neurons inside
        every block (``"resnet"``: ``(3, 3)`` is one block of width 3); or of the hidden layers of the head
        (``"cnn"``, may be empty). ``"auto"`` is ``(100,)``, ``(100, 100)`` or ``()``.

    activation : {"relu", "leaky_relu", "tanh", "logistic", "identity"} or Activation, default="relu"
        Of the hidden neurons; :class:`skgrow.networks.Activation` takes another slope of the leaky ReLU than 0.01.
        ``"cnn"`` takes ``"relu"``, ``"tanh"`` or ``"identity"``. Behind sigmoids an inserted
        layer changes the function of an MLP or a convolutional network a little, see
        :class:`skgrow.networks.IdentityLike`; behind the others, and in residual networks, not at all.

    schedule : {"plateau", "every", "at_epochs", "target_loss"}, Schedule or None, default=None
        When an insertion is considered: a name, or a component of :mod:`skgrow.training`
        (:class:`~skgrow.training.Plateau`, :class:`~skgrow.training.Every`, :class:`~skgrow.training.AtEpochs`,
        :class:`~skgrow.training.TargetLoss`). None is ``Plateau(tol=1e-2, patience=10)``: less than one per cent in ten
        epochs. If nothing is inserted on a plateau, training ends.

    tau : float, default=1.0
        A layer is inserted where its merit is at least this multiple of the mean squared norm of the gradients of the
        weights there are (4.18). Not negative; larger values insert fewer layers.

    selection : {"max", "min", "random"} or Selection, default="max"
        Which positions are taken: those of largest merit or, to compare with, of smallest merit or random ones
        (both without a threshold). :class:`~skgrow.insertion.Selection` also says by which norm, on how many rows, and
        how many layers at once.

    max_layers : int, default=5
        Largest number of hidden layers (``"mlp"``), blocks (``"resnet"``) or convolutions (``"cnn"``).

    widen : bool or Widening, default=False
        Whether hidden layers may also get new neurons (of ``"cnn"`` those of the head). They are found by the polar
        search, start without influence on the output, and their merit is compared with that of the neurons there
        are (4.20). :class:`~skgrow.insertion.Widening` says how many at a time, and whether beside layers or instead.

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

    solver : {"auto", "lm", "lbfgs", "adam", "sgd"} or Solver, default="adam"
        Mini-batches of Adam or of SGD with Nesterov momentum; L-BFGS; Levenberg-Marquardt for small networks.
        ``"auto"`` takes Levenberg-Marquardt if it is affordable, L-BFGS on up to 20000 samples, else Adam.

    preconditioner : {"covariance", "second_moment", "kfac", "sobolev", "emsa"}, component or None, default=None
        Preconditioning of the gradients of ``solver="sgd"`` (which ``"auto"`` then is) or ``"adam"`` by inner products
        on the layers' inputs and outputs: a name, or a :class:`~skgrow.preconditioning.FrobeniusPreconditioner`, whose
        parameters can be searched (``preconditioner__damping``). ``"kfac"`` and ``"emsa"`` choose their own step
        lengths.

    batch_size : "auto" or int, default="auto"
        Of ``"adam"`` and ``"sgd"``; ``"auto"`` is ``min(200, n_samples)``.

    learning_rate : {"constant", "adaptive"}, default="constant"
        Of ``"adam"`` and ``"sgd"``; ``"adaptive"`` halves it when the loss has not fallen for three epochs.

    learning_rate_init : float, default=0.001
        Initial step size of ``"adam"`` and ``"sgd"``.

    momentum : float, default=0.9
        Of ``"sgd"``, in [0, 1).

    new_layer_rate : float, default=1.0
        Factor of the learning rate of parameters that are inserted during training (``"adam"`` and ``"sgd"``).

    max_iter : int, default=200
        Epochs (solver iterations) in all. A ConvergenceWarning says if they ended the last stage before ``schedule``
        did, while the objective fell by 1e-4 an epoch, unless the schedule is one of given epochs.

    patience : int, default=3
        Stages without improvement of the evidence or validation loss after which training ends.

    early_stopping : "auto", bool or int, default="auto"
        Whether to hold out ``validation_fraction`` of the data; then the stage of least validation loss is returned.
        A number: if there are more samples than that; ``"auto"``: 10000. Not used if ``X_val`` is given.

    validation_fraction : float, default=0.1
        Share of the data held out; of classes the same share of each, while one sample of each stays for training.
        ``partial_fit`` holds out nothing.

    standardize : bool, default=True
        Whether the network is trained on inputs of mean zero and variance one (images: channel by
        channel). The fitted network acts on raw data in either case.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the network fitted before.

    random_state : int, RandomState instance or None, default=None
        For initial weights, mini-batches, the validation split and random positions. Pass an int for repeatable
        results.

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
        Weights of every map: (in, out) of matrices, (out, in, 3, 3) of convolutions.

    intercepts_ : list of ndarray
        Biases of every map; of length 0 where there are none.

    knots_ : list of ndarray
        Knots of every feature, in its units, ascending; empty for one that has none.

    architecture_ : tuple of int
        Sizes of the layers: ``(n_features, hidden layers ..., n_outputs)``; of residual networks
        ``(n_features, width, neurons of block 1, ..., n_outputs)``; of convolutional ones
        ``(n_features, channels ..., hidden layers of the head ..., n_outputs)``.

    activation_ : str
        Activation of the hidden neurons.

    history_ : list of dict
        One row per stage: time, epoch, what was done before it (``action``), architecture, losses; then the ``merits``
        of all positions, ``merit_ratios`` to the mean squared norm of the present gradients (``merit_reference``),
        the ``decision`` and its ``reason``.

    merits_ : list of float
        Merits of all positions of the fitted network: squared norms of the gradients of layers not yet there.

    merit_ratios_ : list of float
        The same over the mean squared norm of the gradients of the weights there are: values above ``tau`` say that
        more depth would pay.

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
        Why training ended: ``"criterion"`` (none better in ``patience`` stages), ``"tau"`` (no merit
        reaches it), ``"no_proposal"`` (merits are zero), ``"undone"`` (the last insertion was), ``"max_layers"`` (a
        larger number may predict better), ``"schedule"``, ``"max_iter"``,
        ``"callback"``, ``"interrupted"`` or ``"not_finite"``.

    n_parameters_ : int
        Number of weights and biases.

    n_iter_ : int
        Solver iterations in total.

    n_layers_ : int
        Number of maps plus one.

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
    SensLIRegressor : The same for numbers.
    GrowingClassifier : Grows in width instead.
    sklearn.neural_network.MLPClassifier : Network of given layers.

    References
    ----------
    L. Kreis, "Classical optimization techniques for neural network training", chapter 4: sensitivity-based layer
    insertion (SensLI), Algorithm 6.
    H. Sedghi, V. Gupta, P. M. Long, "The singular values of convolutional layers", ICLR 2019.

    Examples
    --------
    >>> from skgrow import SensLIClassifier
    >>> from skgrow.datasets import make_spirals
    >>> X, y = make_spirals(random_state=0)
    >>> clf = SensLIClassifier(hidden_layer_sizes=(10,), solver="lbfgs", random_state=0).fit(X, y)
    >>> len(clf.merits_) == len(clf.architecture_) - 2  # one per hidden layer
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        "class_weight": [None, StrOptions({"balanced"}), dict, list],
        **Inserting._parameter_constraints,
    }

    def __init__(
        self,
        *,
        class_weight: Any = None,
        architecture: Any = "mlp",
        hidden_layer_sizes: Any = "auto",
        activation: Any = "relu",
        schedule: Any = None,
        tau: float = 1.0,
        selection: Any = "max",
        max_layers: int = 5,
        widen: Any = False,
        encoding: Any = None,
        alpha: str | float = "auto",
        solver: Any = "adam",
        preconditioner: Any = None,
        batch_size: str | int = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        momentum: float = 0.9,
        new_layer_rate: float = 1.0,
        max_iter: int = 200,
        patience: int = 3,
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
        self.architecture = architecture
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.schedule = schedule
        self.tau = tau
        self.selection = selection
        self.max_layers = max_layers
        self.widen = widen
        self.encoding = encoding
        self.alpha = alpha
        self.solver = solver
        self.preconditioner = preconditioner
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.new_layer_rate = new_layer_rate
        self.max_iter = max_iter
        self.patience = patience
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
