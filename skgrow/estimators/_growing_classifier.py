"""GrowingClassifier: a network that finds its own size, for classes and label sets."""

from __future__ import annotations

from typing import Any, ClassVar

from sklearn.utils._param_validation import StrOptions

from skgrow.estimators._classification import NetworkClassifier
from skgrow.estimators._growing import GrowingNetwork


class GrowingClassifier(NetworkClassifier, GrowingNetwork):
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
        Of the hidden neurons. ``"auto"`` grows a ReLU and a tanh network of one hidden layer each and averages them,
        with weights inversely proportional to their estimated losses on new data (Bates and Granger 1969): the fitted
        network has the neurons of both, the ReLUs first. The better one by ``criterion`` (or validation loss) stands
        alone where the other's weight would be below 0.05, where both together have more than ``max_neurons``
        neurons (of which tanh gets what ReLU leaves, or all if ReLU has taken more than half), and where there is more
        than one hidden layer or a fit is dear (see ``early_stopping``). Where the linear model is best by ``criterion``
        it joins the average, with a neuron of activation ``"identity"`` per output, or stands alone.

    negative_slope : float, default=0.01
        Slope of ``"leaky_relu"`` for negative arguments, in [0, 1).

    alpha : "auto" or float, default="auto"
        L2 penalty on weights and hidden biases, in the units of :class:`~sklearn.neural_network.MLPClassifier`.
        ``"auto"`` sets it by the evidence (MacKay 1992), on the Gauss-Newton matrix or, where that is dear, on its
        Kronecker approximation; then validation data may lower it in the end.

    criterion : {"evidence", "loo", "gcv"}, default="evidence"
        What says, without validation data, when growing ends and which stage is returned: the log
        evidence, or the cross-entropy on new data estimated by leaving out one sample at a time or from the effective
        parameters. A gain of less than one nat in all counts as none, and growth ends where fewer nats are left than
        new neurons would have parameters. ReLU networks, and all where the Gauss-Newton matrix is dear, take ``"gcv"``
        for ``"loo"``.

    solver : {"auto", "lm", "lbfgs", "adam", "sgd"}, default="auto"
        Levenberg-Marquardt, L-BFGS, or mini-batches of Adam or SGD with Nesterov momentum. ``"auto"`` takes the
        first that is affordable for the size of data and network.

    schedule : {"plateau", "every", "at_epochs", "target_loss"} or schedule, default="plateau"
        When to grow: a name, or a component of :mod:`skgrow.growth` (:class:`~skgrow.training.Plateau`,
        :class:`~skgrow.training.Every`, :class:`~skgrow.training.AtEpochs`, :class:`~skgrow.training.TargetLoss`).

    search : {"polar", "random", "gradmax", "firefly"} or component, default="polar"
        How new neurons are found: :class:`~skgrow.growth.PolarSearch` or, as baselines,
        :class:`~skgrow.growth.RandomSearch`, :class:`~skgrow.growth.GradMax` and :class:`~skgrow.growth.Firefly`.

    grow_layer : {"last", "all", "best"}, default="last"
        Which hidden layers grow: the last one, all of them, or the one whose block promises the largest decrease of the
        loss per parameter.

    block_size : int or "auto", default="auto"
        Neurons added at a time; ``"auto"`` is 3, or 6 where there are ten samples for each of their weights, and at
        least twice the number of outputs if there are several. Three ReLU neurons can form a hat function.

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

    preconditioner : {"covariance", "second_moment", "kfac", "sobolev", "emsa"}, component or None, default=None
        Preconditioning of the gradients of ``solver="sgd"`` (which ``"auto"`` then is) or ``"adam"`` by inner products
        on the layers' inputs and outputs: a name, or a :class:`~skgrow.preconditioning.FrobeniusPreconditioner`, whose
        parameters can be searched (``preconditioner__damping``). ``"kfac"`` and ``"emsa"`` choose their own step
        lengths.

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
        Activation of the hidden neurons, of an average ``"relu+tanh"`` or, with the linear model,
        ``"identity+relu+tanh"``.

    hidden_activations_ : list of ndarray of shape (n_neurons,)
        Name of the activation of every hidden neuron, layer by layer.

    history_ : list of dict
        One row per growth stage or exchange, as in :class:`GrowingRegressor`; losses are cross-entropies in nats.

    growth_indicator_ : float
        The constant :math:`C_{opt}` in [0, 2] of Feischl et al. (Theorem 25), of the negative functional gradient in
        place of the residual: twice the cosine of its angle to the best new block found.

    alpha_ : float
        L2 penalty used, in standardized units; of an average the weighted geometric mean.

    effective_parameters_ : float
        Number of parameters that the data determines well; of an average the weighted mean.

    log_evidence_ : float
        Log marginal likelihood of the classes (Laplace approximation); of an average that of its networks, all as
        probable beforehand.

    loss_ : float
        Training cross-entropy of the fitted network.
        After ``partial_fit`` the mean objective on its batch.

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
    J. M. Bates, C. W. J. Granger, "The combination of forecasts", Operational Research Quarterly 20, 1969.
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
        preconditioner: Any = None,
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
        self.preconditioner = preconditioner
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
