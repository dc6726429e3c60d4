"""MGOptRegressor and MGOptClassifier: networks trained on several levels at once."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import check_is_fitted

from skgrow.estimators._base import BaseNetwork
from skgrow.estimators._classifier import NetworkClassifier
from skgrow.estimators._parameters import (
    BY_EPOCHS,
    SHARED,
    Names,
    activation_of,
    build,
    component,
    epoch_rates,
    layers_of,
)
from skgrow.estimators._regressor import NetworkRegressor

if TYPE_CHECKING:
    from skgrow.multilevel import MGOptSettings
    from skgrow.networks import MLP
    from skgrow.training import Regime

#: Hidden layers of the finest level, if none are given.
_MGOPT_START: dict[str, tuple[int, ...]] = {"mlp": (128,), "resnet": (32,) * 9, "cnn": ()}

#: Hierarchies, if none is given.
_HIERARCHY = {"resnet": "depth", "mlp": "width", "cnn": "resolution"}


class Multilevel(BaseNetwork):
    """What the two multilevel estimators share: their parameters, how they are trained, and their coarse networks."""

    _parameter_constraints: ClassVar[dict] = {
        **SHARED,
        **BY_EPOCHS,
        "architecture": component("architecture"),
        "hidden_layer_sizes": [StrOptions({"auto"}), "array-like", Interval(Integral, 1, None, closed="left")],
        "final_time": [Interval(Real, 0, None, closed="neither")],
        "hierarchy": [StrOptions({"auto"}), *component("hierarchy")],
        "n_levels": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "cycle": component("cycle"),
        "schedule": [None, *component("schedule")],
        "solver": component("solver", only=("lbfgs", "adam", "sgd")),
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    }

    n_levels_: int
    _scaling: list[Any]

    def _method(self) -> tuple[Callable[..., Any], Callable[..., Any] | None, type[Regime]]:
        from skgrow.multilevel import train
        from skgrow.training import Regime

        return train, None, Regime

    def _settings(self) -> MGOptSettings:
        from skgrow.multilevel import MGOptSettings
        from skgrow.training import Plateau

        architecture, cycle = build("architecture", self.architecture), build("cycle", self.cycle)
        cycle.check()
        coarse = cycle.coarse_solver
        if isinstance(coarse, str) and coarse not in Names("solver", ("lbfgs", "adam", "sgd")).options:
            raise ValueError(f"Cycle: coarse_solver must be None, 'lbfgs', 'adam', 'sgd' or a solver; got {coarse!r}.")
        return MGOptSettings(
            **self._shared_settings(),
            schedule=Plateau(tol=0.1, patience=3) if self.schedule is None else build("schedule", self.schedule),
            n_channels=architecture.n_channels,
            architecture=architecture,
            sizes=layers_of(self.hidden_layer_sizes, architecture, _MGOPT_START),
            activation=activation_of(self.activation),
            final_time=self.final_time,
            hierarchy=self._hierarchy(architecture.name),
            n_levels=self.n_levels,
            cycle=cycle,
            coarse_solver=None if coarse is None else self._coarse_solver(coarse),
            max_iter=self.max_iter,
            tol=self.tol,
            n_iter_no_change=self.n_iter_no_change,
        )

    def _coarse_solver(self, given: Any) -> Any:
        if given == "lbfgs":
            return build("solver", given)
        return self._solver(given)

    def _hierarchy(self, architecture: str) -> Any:
        return build("hierarchy", _HIERARCHY[architecture] if self.hierarchy == "auto" else self.hierarchy)

    def _rates(self, solver: str) -> dict[str, Any]:
        return super()._rates(solver) | epoch_rates(self, solver)

    # coarse networks ---------------------------------------------------------------------------------------

    def coarsen(self, level: int = 1) -> Self:
        """Return the network of a coarse level as an estimator of its own, smaller and faster.

        Its parameters are those of the fitted network, restricted; nothing is trained. Neighbouring blocks of a
        network that was trained on several levels from the coarsest up are alike, so their mean may do. Go on with
        ``partial_fit``, or with ``fit`` and ``warm_start=True``.

        Parameters
        ----------
        level : int, default=1
            In [1, ``n_levels_ - 1``].

        Returns
        -------
        estimator : same class
            Fitted, with ``hidden_layer_sizes`` and ``architecture`` of the coarse network. With the
            hierarchy ``"resolution"`` it predicts from rows that hold max-pooled images.

        Raises
        ------
        ValueError
            For a level that the estimator does not have, or has no network of its own.
        """
        from skgrow.networks import CNNArchitecture, ConvNet
        from skgrow.problem import coordinates_of

        check_is_fitted(self)
        if level not in range(1, self.n_levels_):
            raise ValueError(f"level must be an integer in [1, {self.n_levels_ - 1}]; got {level!r}.")
        settings = self._settings()
        hierarchy = settings.hierarchy
        if hierarchy.moves:
            raise ValueError(f"{hierarchy!r} has no coarse networks: its level is a subspace of the fine parameters.")
        network = settings.trainable(self._network())
        on = coordinates_of(self._coordinates, None, network.theta)
        network = network if on is None else on.inward(cast("MLP", network))
        for _ in range(level):
            network = hierarchy.coarsen(network)[0]
        sizes = network.layer_sizes
        found = clone(self)
        found.__dict__.update({name: value for name, value in vars(self).items() if name not in self.get_params()})
        n_levels = self.n_levels_ - level
        two = settings.cycle.kind == "two-level"
        found.set_params(n_levels="auto" if two and n_levels > 1 else n_levels)
        if isinstance(network, ConvNet):
            shape = settings.architecture.shape(self.n_features_in_)
            found.set_params(architecture=CNNArchitecture(network.image_shape, network.stages))
            if sizes[0] != self.n_features_in_:
                found._pool(sizes[0], shape, level)
        else:
            found.set_params(hidden_layer_sizes=sizes[1:-1])
        stored = network if on is None else on.outward(cast("MLP", network))
        found._store_network(stored, self.coefs_[0].dtype.type)
        found._moments, found._batch_losses = {}, []
        found.n_levels_ = n_levels
        found.loss_ = float("nan")
        return found

    def _pool(self, n_features: int, shape: tuple[int, int, int], level: int) -> None:
        """Take on images that have been max-pooled ``level`` times."""
        mean, scale, *rest = self._scaling
        step = 2**level
        height, width = (size // step for size in shape[1:])
        pooled = [a.reshape(shape)[:, ::step, ::step][:, :height, :width].reshape(-1) for a in (mean, scale)]
        self._scaling = [*pooled, *rest]
        self.n_features_in_ = n_features
        self.__dict__.pop("feature_names_in_", None)


class MGOptRegressor(Multilevel, NetworkRegressor):
    r"""Regression by a network that is trained on several levels: MG/Opt.

    A residual network of many blocks is a fine Euler scheme of a differential equation, one of half the blocks and
    twice the step a coarse scheme of the same. Training on the coarse one is cheaper, and what it learns can be
    prolonged.
    By default training starts on the coarsest level and goes up whenever progress gets slow there (nested iteration,
    the first half of full multigrid); moments of the solver are prolonged, too. On the finest level every so many
    epochs a *coarse grid correction* is tried: coarse training from the restricted network, whose way is prolonged and
    gone as far as a line search on the true loss allows, never to a worse one.

    Other hierarchies are those of mini-batches, of image resolutions, of widths and of subspaces.

    Parameters
    ----------
    loss : {"squared_error", "huber", "quantile", "poisson"} or Loss, default="squared_error"
        Half the squared error; Huber's loss, linear for residuals beyond 1.35 standard deviations of the noise
        (:class:`~skgrow.problem.Huber` takes another number); the pinball loss of a quantile (rounded off over a
        hundredth of the targets' deviation); half the Poisson deviance with log link, for counts or other y >= 0. Or a
        component of :mod:`skgrow.problem`.

    quantile : float, default=0.5
        Quantile of ``loss="quantile"``, in (0, 1).

    architecture : {"mlp", "resnet", "cnn"} or Architecture, default="resnet"
        Fully connected layers; a residual network :math:`z \leftarrow z + V s(U z + b)` between linear maps, see
        :class:`~skgrow.networks.ResNetArchitecture`; or 3 x 3 convolutions in stages that end in 2 x 2 max-pooling,
        with a dense head. Convolutions need the shape of the images: ``architecture=CNNArchitecture(image_shape=(28,
        28))``, see :class:`~skgrow.networks.CNNArchitecture`.

    hidden_layer_sizes : "auto", int or sequence of int, default="auto"
        Widths: of the residual state and then of the neurons inside every block (``"resnet"``: ``(32,) * 9`` has 8
        blocks), of the hidden layers (``"mlp"``), or of those of the head (``"cnn"``, may be empty). ``"auto"`` is
        ``(32,) * 9``, ``(128,)`` or ``()``.

    activation : {"relu", "leaky_relu", "tanh", "logistic", "identity"} or Activation, default="relu"
        Of the hidden neurons; :class:`skgrow.networks.Activation` takes another slope of the leaky ReLU than 0.01.
        ``"cnn"`` takes ``"relu"``, ``"tanh"`` or ``"identity"``.

    final_time : float, default=2.0
        Of the differential equation that ``"resnet"`` discretises: the step h is this over the number of blocks.

    hierarchy : {"auto", "depth", "batch", "resolution", "width", "subspace"} or component, default="auto"
        What coarse levels are: networks of half the blocks (``"resnet"``), the same network with smaller mini-batches,
        with smaller images (``"cnn"``), networks of half the neurons (``"mlp"``, ``"resnet"``), or a subspace of the
        parameters; a name, or a component of :mod:`skgrow.multilevel` such as
        :class:`~skgrow.multilevel.DepthHierarchy`. ``"auto"`` is ``"depth"`` for ``"resnet"``, ``"width"`` for
        ``"mlp"`` and ``"resolution"`` for ``"cnn"``.

    n_levels : "auto" or int, default="auto"
        Number of levels, the finest included; 1 trains the network alone. ``"auto"`` is two, or for ``"depth"`` as many
        as leave four blocks to the coarsest level.

    cycle : {"full", "V", "W", "two-level"} or Cycle, default="full"
        In which order levels are visited: ``"full"`` trains the coarsest level first and goes up as the schedule says,
        with corrections from coarse levels on the finest; the others start on the finest level, with V-cycles, W-cycles
        or two levels. :class:`~skgrow.multilevel.Cycle` has the settings of corrections and coarse levels, and a
        target.

    schedule : {"plateau", "every", "at_epochs", "target_loss"}, Schedule or None, default=None
        When training goes from a coarse level to the next finer one: a name, or a component of :mod:`skgrow.training`.
        None is ``Plateau(tol=0.1, patience=3)``: less than a tenth in three epochs.

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

    solver : {"adam", "sgd", "lbfgs"} or Solver, default="adam"
        Mini-batches of Adam or of SGD with Nesterov momentum, or L-BFGS.

    preconditioner : {"covariance", "second_moment", "kfac", "sobolev", "emsa"}, component or None, default=None
        Preconditioning of the gradients of ``solver="sgd"`` or ``"adam"`` by inner products on the layers' inputs and
        outputs: a name, or a :class:`~skgrow.preconditioning.FrobeniusPreconditioner`, whose
        parameters can be searched (``preconditioner__damping``). ``"kfac"`` and ``"emsa"`` choose their own step
        lengths. Coarse levels do without if they are subspaces, or if the cycle's ``coarse_solver`` is ``"lbfgs"``.

    batch_size : "auto" or int, default="auto"
        Of ``"adam"`` and ``"sgd"``; ``"auto"`` is ``min(200, n_samples)``.

    learning_rate : {"constant", "adaptive"}, default="constant"
        Of ``"adam"`` and ``"sgd"``; ``"adaptive"`` halves it when the loss has not fallen for three epochs.

    learning_rate_init : float, default=0.003
        Initial step size of ``"adam"`` and ``"sgd"``.

    momentum : float, default=0.9
        Of ``"sgd"``, in [0, 1).

    max_iter : int, default=200
        Largest number of epochs (solver iterations) on every level. A ConvergenceWarning says if those of the finest
        were used up while the objective fell by ``tol``.

    tol : float, default=1e-4
        Relative gain of the objective (or evidence, or validation loss) that counts as progress.

    n_iter_no_change : int or np.inf, default=10
        Epochs without progress after which training ends; ``np.inf``: never.

    early_stopping : "auto", bool or int, default=100
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
        For initial weights, mini-batches and the validation split. Pass an int for repeatable results.

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

    n_levels_ : int
        Number of levels.

    history_ : list of dict
        One row per stage, coarse levels of nested iteration first: time in seconds, epoch, ``level`` (0 is the finest),
        architecture, losses; ``work``, the gradients so far of every level in units of one of the finest network on
        all data (a loss counts a third); and ``corrections``, those computed after the stage: level, ``kappa_ratio``,
        ``predicted`` decrease to first order, ``step`` of the line search, ``decrease`` got, ``accepted``. With the
        subspace hierarchy the gradients that find the subspace are counted on the fine level.

    alpha_ : float
        L2 penalty used.

    loss_ : float
        Training loss of the fitted network, without the penalty, in the units of training.
        After ``partial_fit`` the mean objective on its batch.

    best_loss_ : float
        Smallest training loss of the stages on the finest level.

    loss_curve_ : list of float
        Objective after every solver iteration on the finest level; of mini-batch solvers its mean over the batches of
        the epoch.

    validation_scores_ : list of float or None
        Share of the validation loss of a constant that is explained after every stage on the finest level; None without
        validation data.

    best_validation_score_ : float or None
        Largest of them of a stage that was not undone; None without validation data.

    stop_reason_ : str
        Why training ended: ``"criterion"`` (no progress in ``n_iter_no_change`` epochs), ``"max_iter"``,
        ``"target_loss"``, ``"callback"``, ``"interrupted"`` or ``"not_finite"``.

    n_parameters_ : int
        Number of weights and biases.

    n_iter_ : int
        Solver iterations on the finest level.

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
    MGOptClassifier : The same for classes.
    skgrow.multilevel.mgopt_quadratic : The method on quadratic problems.
    PreconditionedMLPRegressor : Trains a network of given layers on one level.

    References
    ----------
    L. Kreis, "Classical optimization techniques for neural network training", chapter 3: multigrid optimization,
    Algorithm 5.
    S. G. Nash, "A multigrid approach to discretized optimization problems", Optimization Methods and Software 14, 2000.
    C. von Planta, A. Kopanicakova, R. Krause, "Training of deep residual networks with stochastic MG/OPT", 2021.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from skgrow import MGOptRegressor
    >>> X, y = make_friedman1(n_samples=200, random_state=0)
    >>> reg = MGOptRegressor(hidden_layer_sizes=(16,) * 9, random_state=0).fit(X, y)
    >>> [row["level"] for row in reg.history_][:2]
    [1, 0]
    >>> reg.coarsen(1).architecture_  # half the blocks
    (10, 16, 16, 16, 16, 16, 1)
    """

    _parameter_constraints: ClassVar[dict] = {
        **NetworkRegressor._parameter_constraints,
        **Multilevel._parameter_constraints,
    }

    def __init__(
        self,
        *,
        loss: Any = "squared_error",
        quantile: float = 0.5,
        architecture: Any = "resnet",
        hidden_layer_sizes: Any = "auto",
        activation: Any = "relu",
        final_time: float = 2.0,
        hierarchy: Any = "auto",
        n_levels: str | int = "auto",
        cycle: Any = "full",
        schedule: Any = None,
        encoding: Any = None,
        alpha: str | float = "auto",
        solver: Any = "adam",
        preconditioner: Any = None,
        batch_size: str | int = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.003,
        momentum: float = 0.9,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        early_stopping: str | bool | int = 100,
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
        self.final_time = final_time
        self.hierarchy = hierarchy
        self.n_levels = n_levels
        self.cycle = cycle
        self.schedule = schedule
        self.encoding = encoding
        self.alpha = alpha
        self.solver = solver
        self.preconditioner = preconditioner
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose


class MGOptClassifier(Multilevel, NetworkClassifier):
    r"""Classification by a network that is trained on several levels: MG/Opt.

    It is trained as :class:`MGOptRegressor` is, by cross-entropy.

    Parameters
    ----------
    class_weight : "balanced", dict or list of dict, default=None
        Weights of classes; ``"balanced"`` makes them inversely proportional to frequencies. Label sets take a list of
        dicts, one per label.

    architecture : {"mlp", "resnet", "cnn"} or Architecture, default="resnet"
        Fully connected layers; a residual network :math:`z \leftarrow z + V s(U z + b)` between linear maps, see
        :class:`~skgrow.networks.ResNetArchitecture`; or 3 x 3 convolutions in stages that end in 2 x 2 max-pooling,
        with a dense head. Convolutions need the shape of the images: ``architecture=CNNArchitecture(image_shape=(28,
        28))``, see :class:`~skgrow.networks.CNNArchitecture`.

    hidden_layer_sizes : "auto", int or sequence of int, default="auto"
        Widths: of the residual state and then of the neurons inside every block (``"resnet"``: ``(32,) * 9`` has 8
        blocks), of the hidden layers (``"mlp"``), or of those of the head (``"cnn"``, may be empty). ``"auto"`` is
        ``(32,) * 9``, ``(128,)`` or ``()``.

    activation : {"relu", "leaky_relu", "tanh", "logistic", "identity"} or Activation, default="relu"
        Of the hidden neurons; :class:`skgrow.networks.Activation` takes another slope of the leaky ReLU than 0.01.
        ``"cnn"`` takes ``"relu"``, ``"tanh"`` or ``"identity"``.

    final_time : float, default=2.0
        Of the differential equation that ``"resnet"`` discretises: the step h is this over the number of blocks.

    hierarchy : {"auto", "depth", "batch", "resolution", "width", "subspace"} or component, default="auto"
        What coarse levels are: networks of half the blocks (``"resnet"``), the same network with smaller mini-batches,
        with smaller images (``"cnn"``), networks of half the neurons (``"mlp"``, ``"resnet"``), or a subspace of the
        parameters; a name, or a component of :mod:`skgrow.multilevel` such as
        :class:`~skgrow.multilevel.DepthHierarchy`. ``"auto"`` is ``"depth"`` for ``"resnet"``, ``"width"`` for
        ``"mlp"`` and ``"resolution"`` for ``"cnn"``.

    n_levels : "auto" or int, default="auto"
        Number of levels, the finest included; 1 trains the network alone. ``"auto"`` is two, or for ``"depth"`` as many
        as leave four blocks to the coarsest level.

    cycle : {"full", "V", "W", "two-level"} or Cycle, default="full"
        In which order levels are visited: ``"full"`` trains the coarsest level first and goes up as the schedule says,
        with corrections from coarse levels on the finest; the others start on the finest level, with V-cycles, W-cycles
        or two levels. :class:`~skgrow.multilevel.Cycle` has the settings of corrections and coarse levels, and a
        target.

    schedule : {"plateau", "every", "at_epochs", "target_loss"}, Schedule or None, default=None
        When training goes from a coarse level to the next finer one: a name, or a component of :mod:`skgrow.training`.
        None is ``Plateau(tol=0.1, patience=3)``: less than a tenth in three epochs.

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

    solver : {"adam", "sgd", "lbfgs"} or Solver, default="adam"
        Mini-batches of Adam or of SGD with Nesterov momentum, or L-BFGS.

    preconditioner : {"covariance", "second_moment", "kfac", "sobolev", "emsa"}, component or None, default=None
        Preconditioning of the gradients of ``solver="sgd"`` or ``"adam"`` by inner products on the layers' inputs and
        outputs: a name, or a :class:`~skgrow.preconditioning.FrobeniusPreconditioner`, whose
        parameters can be searched (``preconditioner__damping``). ``"kfac"`` and ``"emsa"`` choose their own step
        lengths. Coarse levels do without if they are subspaces, or if the cycle's ``coarse_solver`` is ``"lbfgs"``.

    batch_size : "auto" or int, default="auto"
        Of ``"adam"`` and ``"sgd"``; ``"auto"`` is ``min(200, n_samples)``.

    learning_rate : {"constant", "adaptive"}, default="constant"
        Of ``"adam"`` and ``"sgd"``; ``"adaptive"`` halves it when the loss has not fallen for three epochs.

    learning_rate_init : float, default=0.003
        Initial step size of ``"adam"`` and ``"sgd"``.

    momentum : float, default=0.9
        Of ``"sgd"``, in [0, 1).

    max_iter : int, default=200
        Largest number of epochs (solver iterations) on every level. A ConvergenceWarning says if those of the finest
        were used up while the objective fell by ``tol``.

    tol : float, default=1e-4
        Relative gain of the objective (or evidence, or validation loss) that counts as progress.

    n_iter_no_change : int or np.inf, default=10
        Epochs without progress after which training ends; ``np.inf``: never.

    early_stopping : "auto", bool or int, default=100
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
        For initial weights, mini-batches and the validation split. Pass an int for repeatable results.

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

    n_levels_ : int
        Number of levels.

    history_ : list of dict
        One row per stage, coarse levels of nested iteration first: time in seconds, epoch, ``level`` (0 is the finest),
        architecture, losses; ``work``, the gradients so far of every level in units of one of the finest network on
        all data (a loss counts a third); and ``corrections``, those computed after the stage: level, ``kappa_ratio``,
        ``predicted`` decrease to first order, ``step`` of the line search, ``decrease`` got, ``accepted``. With the
        subspace hierarchy the gradients that find the subspace are counted on the fine level.

    alpha_ : float
        L2 penalty used.

    loss_ : float
        Training loss of the fitted network, without the penalty: cross-entropy in nats.
        After ``partial_fit`` the mean objective on its batch.

    best_loss_ : float
        Smallest training loss of the stages on the finest level.

    loss_curve_ : list of float
        Objective after every solver iteration on the finest level; of mini-batch solvers its mean over the batches of
        the epoch.

    validation_scores_ : list of float or None
        Share of the validation data's entropy that is explained after every stage on the finest level; None without
        validation data.

    best_validation_score_ : float or None
        Largest of them of a stage that was not undone; None without validation data.

    stop_reason_ : str
        Why training ended: ``"criterion"`` (no progress in ``n_iter_no_change`` epochs), ``"max_iter"``,
        ``"target_loss"``, ``"callback"``, ``"interrupted"`` or ``"not_finite"``.

    n_parameters_ : int
        Number of weights and biases.

    n_iter_ : int
        Solver iterations on the finest level.

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
    MGOptRegressor : The same for numbers.
    skgrow.multilevel.mgopt_quadratic : The method on quadratic problems.
    PreconditionedMLPClassifier : Trains a network of given layers on one level.

    References
    ----------
    L. Kreis, "Classical optimization techniques for neural network training", chapter 3: multigrid optimization,
    Algorithm 5.
    S. G. Nash, "A multigrid approach to discretized optimization problems", Optimization Methods and Software 14, 2000.
    C. von Planta, A. Kopanicakova, R. Krause, "Training of deep residual networks with stochastic MG/OPT", 2021.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skgrow import MGOptClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MGOptClassifier(hidden_layer_sizes=(16,) * 9, random_state=0).fit(X, y)
    >>> clf.n_levels_, clf.architecture_ == (4,) + (16,) * 9 + (3,)
    (2, True)
    """

    _parameter_constraints: ClassVar[dict] = {
        "class_weight": [None, StrOptions({"balanced"}), dict, list],
        **Multilevel._parameter_constraints,
    }

    def __init__(
        self,
        *,
        class_weight: Any = None,
        architecture: Any = "resnet",
        hidden_layer_sizes: Any = "auto",
        activation: Any = "relu",
        final_time: float = 2.0,
        hierarchy: Any = "auto",
        n_levels: str | int = "auto",
        cycle: Any = "full",
        schedule: Any = None,
        encoding: Any = None,
        alpha: str | float = "auto",
        solver: Any = "adam",
        preconditioner: Any = None,
        batch_size: str | int = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.003,
        momentum: float = 0.9,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: float = 10,
        early_stopping: str | bool | int = 100,
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
        self.final_time = final_time
        self.hierarchy = hierarchy
        self.n_levels = n_levels
        self.cycle = cycle
        self.schedule = schedule
        self.encoding = encoding
        self.alpha = alpha
        self.solver = solver
        self.preconditioner = preconditioner
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
