"""SensLIClassifier: a network that deepens itself while it is trained, for classes and label sets."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.utils._param_validation import StrOptions

from skgrow.estimators._classification import NetworkClassifier
from skgrow.estimators._sensli import InsertingNetwork


class SensLIClassifier(NetworkClassifier, InsertingNetwork):
    r"""Classification by a network that inserts layers while it is trained, where the loss is most sensitive to them.

    It is trained as :class:`SensLIRegressor` is, by cross-entropy.

    Parameters
    ----------
    class_weight : "balanced", dict or list of dict, default=None
        Weights of classes; ``"balanced"`` makes them inversely proportional to frequencies. Label sets take a list of
        dicts, one per label.

    architecture : {"mlp", "resnet", "cnn"}, default="mlp"
        Fully connected layers; a residual network :math:`z \leftarrow z + V s(U z + b)` between linear maps; or 3 x 3
        convolutions in stages that end in 2 x 2 max-pooling, with a dense head.

    hidden_layer_sizes : "auto", int or sequence of int, default="auto"
        Widths at the start: of the hidden layers (``"mlp"``); of the residual state and then of the neurons inside
        every block (``"resnet"``: ``(3, 3)`` is one block of width 3); or of the hidden layers of the head
        (``"cnn"``, may be empty). ``"auto"`` is ``(100,)``, ``(100, 100)`` or ``()``.

    image_shape : tuple of int or None, default=None
        ``(channels, height, width)`` or ``(height, width)`` of the image that a row of X holds, for ``"cnn"``.

    channels : sequence of int or of sequence of int, default=(16, 32)
        Output channels of the convolutions at the start, one number or several for every stage of ``"cnn"``.

    map_bias : bool, default=True
        Whether the linear maps in and out of ``"resnet"`` have biases; without them ``standardize`` must be False.

    activation : {"relu", "leaky_relu", "tanh", "logistic", "identity"}, default="relu"
        Of the hidden neurons; ``"cnn"`` takes ``"relu"``, ``"tanh"`` or ``"identity"``. Behind sigmoids an inserted
        layer changes the function of an MLP or a convolutional network a little, see
        :class:`skgrow.networks.IdentityLike`; behind the others, and in residual networks, not at all.

    negative_slope : float, default=0.01
        Slope of ``"leaky_relu"`` for negative arguments, in [0, 1).

    schedule : {"plateau", "every", "at_epochs", "target_loss"} or schedule, default="plateau"
        When an insertion is considered: a name, or a component of :mod:`skgrow.growth`
        (:class:`~skgrow.training.Plateau`, :class:`~skgrow.training.Every`, :class:`~skgrow.training.AtEpochs`,
        :class:`~skgrow.training.TargetLoss`). ``"plateau"`` is here less than one per cent in ten epochs; on a plateau
        where nothing is inserted training ends.

    tau : float, default=1.0
        A layer is inserted where its merit is at least this multiple of the mean squared norm of the gradients of the
        weights there are (4.18). Not negative; larger values insert fewer layers.

    norm : {"auto", "frobenius", "frobenius_scaled", "operator", "operator_2", "operator_1"}, default="auto"
        Of the gradients that are compared, see :func:`skgrow.insertion.gradient_norm`. ``"auto"`` is the operator norm
        for convolutions and Frobenius' for the others.

    merit_samples : int or None, default=None
        Random rows on which merits are estimated; None: all.

    selection : {"max", "min", "random"}, default="max"
        Which positions are taken: those of largest merit or, to compare with, of smallest merit or random ones
        (both without a threshold).

    n_insert : int, default=1
        Layers inserted at once, at different positions.

    max_layers : int, default=5
        Largest number of hidden layers (``"mlp"``), blocks (``"resnet"``) or convolutions (``"cnn"``).

    widen : bool, default=False
        Whether hidden layers may also get new neurons (of ``"cnn"`` those of the head). They are found by the polar
        search, start without influence on the output, and their merit is compared with that of the neurons there
        are (4.20).

    action : {"auto", "both"}, default="auto"
        With ``widen=True``: insert or widen, whichever promises the larger first-order decrease of the loss per new
        parameter; or do both, each by its threshold.

    block_size : int, default=1
        Neurons added at a time with ``widen=True``.

    max_neurons : int, default=1000
        Largest number of neurons of a hidden layer with ``widen=True``.

    alpha : float, default=0.0001
        L2 penalty on weights and hidden biases, in the units of :class:`~sklearn.neural_network.MLPClassifier`.

    solver : {"auto", "lm", "lbfgs", "adam", "sgd"}, default="adam"
        Mini-batches of Adam or of SGD with Nesterov momentum; L-BFGS; Levenberg-Marquardt for small networks.
        ``"auto"`` takes Levenberg-Marquardt where it is affordable, L-BFGS on up to 20000 samples, else Adam.

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
        Epochs (solver iterations) in all.

    early_stopping : "auto" or bool, default="auto"
        Whether to hold out ``validation_fraction`` of the data; then the stage of least validation loss is returned.
        ``"auto"``: if there are more than 10000 samples. Not used if ``X_val`` is given.

    validation_fraction : float, default=0.1
        Share of the data held out.

    n_iter_no_change : int, default=3
        Stages without improvement of the validation loss after which training ends.

    standardize : bool, default=True
        Whether the network is trained on inputs of mean zero and variance one (images: channel by
        channel). The fitted network acts on raw data in either case.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the network fitted before.

    random_state : int, RandomState instance or None, default=None
        For initial weights, mini-batches, the validation split and random positions. Pass an int for repeatable
        results.

    device : str, default="auto"
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:k"`` or ``"mps"``. ``"auto"`` takes a GPU where there is one and
        the work is large enough to pay; data that is a tensor on a GPU stays there.

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
        Names of features seen during fit, where all are strings.

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
        **InsertingNetwork._parameter_constraints,
    }

    def __init__(
        self,
        *,
        class_weight: Any = None,
        architecture: str = "mlp",
        hidden_layer_sizes: Any = "auto",
        image_shape: Any = None,
        channels: Any = (16, 32),
        map_bias: bool = True,
        activation: str = "relu",
        negative_slope: float = 0.01,
        schedule: Any = "plateau",
        tau: float = 1.0,
        norm: str = "auto",
        merit_samples: int | None = None,
        selection: str = "max",
        n_insert: int = 1,
        max_layers: int = 5,
        widen: bool = False,
        action: str = "auto",
        block_size: int = 1,
        max_neurons: int = 1000,
        alpha: float = 1e-4,
        solver: str = "adam",
        preconditioner: Any = None,
        batch_size: str | int = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        momentum: float = 0.9,
        new_layer_rate: float = 1.0,
        max_iter: int = 200,
        early_stopping: str | bool = "auto",
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 3,
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
        self.schedule = schedule
        self.tau = tau
        self.norm = norm
        self.merit_samples = merit_samples
        self.selection = selection
        self.n_insert = n_insert
        self.max_layers = max_layers
        self.widen = widen
        self.action = action
        self.block_size = block_size
        self.max_neurons = max_neurons
        self.alpha = alpha
        self.solver = solver
        self.preconditioner = preconditioner
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.momentum = momentum
        self.new_layer_rate = new_layer_rate
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.standardize = standardize
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device
        self.dtype = dtype
        self.verbose = verbose
