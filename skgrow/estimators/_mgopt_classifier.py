"""MGOptClassifier: multilevel training, for classes and label sets."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.utils._param_validation import StrOptions

from skgrow.estimators._classification import NetworkClassifier
from skgrow.estimators._mgopt import MultilevelNetwork


class MGOptClassifier(NetworkClassifier, MultilevelNetwork):
    r"""Classification by a network that is trained on several levels: MG/Opt.

    It is trained as :class:`MGOptRegressor` is, by cross-entropy.

    Parameters
    ----------
    class_weight : "balanced", dict or list of dict, default=None
        Weights of classes; ``"balanced"`` makes them inversely proportional to frequencies. Label sets take a list of
        dicts, one per label.

    architecture : {"resnet", "mlp", "cnn"}, default="resnet"
        A residual network :math:`z \leftarrow z + h V s(U z + b)` between linear maps; fully connected layers; or
        3 x 3 convolutions in stages that end in 2 x 2 max-pooling, with a dense head.

    hidden_layer_sizes : "auto", int or sequence of int, default="auto"
        Widths: of the residual state and then of the neurons inside every block (``"resnet"``: ``(32,) * 9`` has 8
        blocks), of the hidden layers (``"mlp"``), or of those of the head (``"cnn"``, may be empty). ``"auto"`` is
        ``(32,) * 9``, ``(128,)`` or ``()``.

    image_shape : tuple of int or None, default=None
        ``(channels, height, width)`` or ``(height, width)`` of the image that a row of X holds, for ``"cnn"``.

    channels : sequence of int or of sequence of int, default=(16, 32)
        Output channels of the convolutions, one number or several for every stage of ``"cnn"``.

    map_bias : bool, default=True
        Whether the linear maps in and out of ``"resnet"`` have biases; without them ``standardize`` must be False.

    activation : {"relu", "leaky_relu", "tanh", "logistic", "identity"}, default="relu"
        Of the hidden neurons; ``"cnn"`` takes ``"relu"``, ``"tanh"`` or ``"identity"``.

    negative_slope : float, default=0.01
        Slope of ``"leaky_relu"`` for negative arguments, in [0, 1).

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

    cycle : {"full", "V", "W", "two-level"}, default="full"
        How levels are visited: once in a correction (``"V"``), twice (``"W"``), or with one coarse level only
        (``"two-level"``). ``"full"`` trains from the coarsest level up first, and goes on with V-cycles.

    correction : bool or "exact", default=False
        Whether coarse objectives get the linear term that makes their gradient at the start the restricted fine one.
        Without it a correction is coarse training, and no theory says that it helps; with it one small coarse step is a
        direction of descent. True takes all gradients of a step from the same mini-batch (3.6), so that a coarse step
        costs a gradient on every finer level as well; ``"exact"`` takes the fine gradient from all data, once per
        correction.

    kappa : float, default=0.5
        A correction is computed where the coarse level sees more than this share of the squared norm of the exact
        gradient, in (0, 1).

    check_every : int, default=10
        Solver iterations (epochs of mini-batches) on the finest level between two corrections.

    coarse_iter : int, default=5
        Solver iterations of a coarse descent in a correction, K.

    regularization : float, default=0.0
        Lambda >= 0 of the term :math:`\frac{\lambda}{2} |t - t_0|^2` of coarse objectives, which keeps corrections
        short. With a linear term they need not be bounded below: many coarse iterations then want it.

    coarse_solver : {"adam", "sgd", "lbfgs"} or None, default=None
        Solver of the coarse levels; None: the same.

    coarse_learning_rate_init : float or None, default=None
        Its step size; None: that of the hierarchy, for a :class:`~skgrow.multilevel.DepthHierarchy` from
        ``learning_rate_init`` on the finest level to 1.5 times that on the coarsest.

    schedule : {"plateau", "every", "at_epochs", "target_loss"} or schedule, default="plateau"
        When a coarse level has been trained enough, with ``cycle="full"``: a name, or a component of
        :mod:`skgrow.growth`. ``"plateau"`` is here less than a tenth in three epochs.

    alpha : float, default=0.0001
        L2 penalty on weights and hidden biases, in the units of :class:`~sklearn.neural_network.MLPClassifier`.

    solver : {"adam", "sgd", "lbfgs"}, default="adam"
        Mini-batches of Adam or of SGD with Nesterov momentum, or L-BFGS.

    preconditioner : {"covariance", "second_moment", "kfac", "sobolev", "emsa"}, component or None, default=None
        Preconditioning of the gradients of ``solver="sgd"`` or ``"adam"`` by inner products
        on the layers' inputs and outputs: a name, or a :class:`~skgrow.preconditioning.FrobeniusPreconditioner`, whose
        parameters can be searched (``preconditioner__damping``). ``"kfac"`` and ``"emsa"`` choose their own step
        lengths. Coarse levels do without where they are subspaces, or ``coarse_solver`` is ``"lbfgs"``.

    batch_size : "auto" or int, default="auto"
        Of ``"adam"`` and ``"sgd"``; ``"auto"`` is ``min(200, n_samples)``.

    learning_rate : {"constant", "adaptive"}, default="constant"
        Of ``"adam"`` and ``"sgd"``; ``"adaptive"`` halves it when the loss has not fallen for three epochs.

    learning_rate_init : float, default=0.003
        Initial step size of ``"adam"`` and ``"sgd"``.

    momentum : float, default=0.9
        Of ``"sgd"``, in [0, 1).

    max_iter : int, default=200
        Largest number of epochs (solver iterations) on every level.

    tol : float, default=0.0001
        Gain of the objective, or of the validation loss, relative to its size, that counts as one.

    n_iter_no_change : int, default=10
        Epochs without such a gain after which training ends.

    target_loss : float or None, default=None
        Training ends with the first epoch whose mean objective (``loss_curve_``) is at most this, as where the noise of
        the data is known. A coarse level that gets there hands over to the next, one that starts there is passed over.

    early_stopping : "auto" or bool, default="auto"
        Whether to hold out ``validation_fraction`` of the data; then the stage of least validation loss is returned.
        ``"auto"``: if there are more than 100 samples. Not used if ``X_val`` is given.

    validation_fraction : float, default=0.1
        Share of the data held out.

    standardize : bool, default=True
        Whether the network is trained on inputs of mean zero and variance one (images: channel by
        channel). The fitted network acts on raw data in either case.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the network fitted before.

    random_state : int, RandomState instance or None, default=None
        For initial weights, mini-batches and the validation split. Pass an int for repeatable results.

    device : str, default="auto"
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:k"`` or ``"mps"``. ``"auto"`` takes a GPU where there is one and
        the work is large enough to pay; data that is a tensor on a GPU stays there.

    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of training. ``"auto"`` is float32 for mini-batch solvers and float64 for L-BFGS. Predictions have
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
        Names of features seen during fit, where all are strings.

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
        **MultilevelNetwork._parameter_constraints,
    }

    def __init__(
        self,
        *,
        class_weight: Any = None,
        architecture: str = "resnet",
        hidden_layer_sizes: Any = "auto",
        image_shape: Any = None,
        channels: Any = (16, 32),
        map_bias: bool = True,
        activation: str = "relu",
        negative_slope: float = 0.01,
        final_time: float = 2.0,
        hierarchy: Any = "auto",
        n_levels: int | str = "auto",
        cycle: str = "full",
        correction: bool | str = False,
        kappa: float = 0.5,
        check_every: int = 10,
        coarse_iter: int = 5,
        regularization: float = 0.0,
        coarse_solver: str | None = None,
        coarse_learning_rate_init: float | None = None,
        schedule: Any = "plateau",
        alpha: float = 1e-4,
        solver: str = "adam",
        preconditioner: Any = None,
        batch_size: str | int = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.003,
        momentum: float = 0.9,
        max_iter: int = 200,
        tol: float = 1e-4,
        n_iter_no_change: int = 10,
        target_loss: float | None = None,
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
        self.architecture = architecture
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.channels = channels
        self.map_bias = map_bias
        self.activation = activation
        self.negative_slope = negative_slope
        self.final_time = final_time
        self.hierarchy = hierarchy
        self.n_levels = n_levels
        self.cycle = cycle
        self.correction = correction
        self.kappa = kappa
        self.check_every = check_every
        self.coarse_iter = coarse_iter
        self.regularization = regularization
        self.coarse_solver = coarse_solver
        self.coarse_learning_rate_init = coarse_learning_rate_init
        self.schedule = schedule
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
        self.target_loss = target_loss
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
