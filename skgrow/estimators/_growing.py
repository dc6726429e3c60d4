"""GrowingRegressor and GrowingClassifier: networks that find their own size."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skgrow.estimators._base import BaseNetwork, as_given
from skgrow.estimators._classifier import NetworkClassifier
from skgrow.estimators._data import is_tensor, shareable
from skgrow.estimators._parameters import SHARED, build, component, sizes_of
from skgrow.estimators._regressor import NetworkRegressor
from skgrow.prediction import standard_deviation

if TYPE_CHECKING:
    from skgrow.growth import GrowthSettings
    from skgrow.problem import Penalty
    from skgrow.training import Regime


class Growing(BaseNetwork):
    """What the two growing estimators share: their parameters, and how they are trained."""

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 0, None, closed="left")],
        "activation": [StrOptions({"auto", "relu", "leaky_relu", "tanh", "logistic"}), HasMethods(["same_as"])],
        "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
        "criterion": component("criterion"),
        "schedule": component("schedule"),
        "search": component("search"),
        "grow_layer": [StrOptions({"last", "all", "best"})],
        "block_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_neurons": [Interval(Integral, 0, None, closed="left")],
        "max_stage_iter": [Interval(Integral, 1, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "min_decrease": [Interval(Real, 0, None, closed="left")],
        "n_members": [Interval(Integral, 1, None, closed="left")],
        "n_jobs": [None, Integral],
        **SHARED,
    }

    _posterior: Any

    @property
    def hidden_activations_(self) -> list[np.ndarray]:
        """Name of the activation of every hidden neuron, layer by layer."""
        layers = list(zip(self.activation_.split(", "), self._layout["bounds"], strict=True))
        layers += layers[-1:] * (len(self.architecture_) - 2 - len(layers))
        return [
            np.repeat(names.split("+"), np.diff([0, *bounds, width]))
            for (names, bounds), width in zip(layers, self.architecture_[1:-1], strict=False)
        ]

    def _method(self) -> tuple[Callable[..., Any], Callable[..., Any] | None, type[Regime]]:
        from skgrow.growth import grow, train
        from skgrow.training import GrowthRegime

        return train, grow, GrowthRegime

    def _growth_settings(self, penalty: Penalty, operator: Any) -> GrowthSettings:
        from skgrow.growth import GrowthSettings
        from skgrow.networks import Activation
        from skgrow.problem import PathNorm

        certifies = isinstance(penalty, PathNorm)
        averages = isinstance(self.activation, str) and self.activation == "auto"
        names = (["relu"] if certifies else ["relu", "tanh"]) if averages else [self.activation]
        search = build("search", self.search)
        search.check()
        return GrowthSettings(
            **self._shared_settings(),
            schedule=build("schedule", self.schedule),
            operator=operator,
            activations=[Activation(name) if isinstance(name, str) else name for name in names],
            averages=averages and not certifies,
            sizes=self._hidden_layer_sizes(),
            penalty=penalty,
            certifies=certifies,
            criterion=build("criterion", self.criterion),
            search=search,
            grow_layer=self.grow_layer,
            block_size=self.block_size,
            max_neurons=self.max_neurons,
            patience=self.patience,
            min_decrease=self.min_decrease,
            max_iter=self.max_stage_iter,
            n_members=self.n_members,
            n_jobs=self.n_jobs,
            structure=getattr(self, "_structure", ()),
        )

    def _hidden_layer_sizes(self) -> tuple[int, ...]:
        """Return the widths at the start, one number or more."""
        given = self.hidden_layer_sizes
        sizes = sizes_of(given, "hidden_layer_sizes", 0, "one or more widths >= 0")
        if not sizes:
            raise ValueError(f"hidden_layer_sizes must be one or more widths >= 0; got {given!r}.")
        if 0 in sizes[:-1]:
            raise ValueError(
                f"hidden_layer_sizes: only the last hidden layer may start without neurons; got {given!r}."
            )
        return sizes

    def _forget(self) -> None:
        self._posterior = None


class GrowingRegressor(Growing, NetworkRegressor):
    r"""Regression by a network that grows to the width its data needs.

    The network starts without hidden neurons. Whenever training becomes slow it is widened by the neurons that
    lower the loss the most (the polar problem), and trained on; growth ends when it no longer pays. No part of it
    needs tuning: the weight decay is set by the evidence framework, and the Gauss-Newton matrix that gives the
    evidence also says when to stop, without a validation set.

    Parameters
    ----------
    loss : {"squared_error", "huber", "quantile", "poisson"} or Loss, default="squared_error"
        Half the squared error; Huber's loss, linear for residuals beyond 1.35 standard deviations of the noise
        (:class:`~skgrow.problem.Huber` takes another number); the pinball loss of a quantile (rounded off over a
        hundredth of the targets' deviation); half the Poisson deviance with log link, for counts or other y >= 0. Or a
        component of :mod:`skgrow.problem`.

    quantile : float, default=0.5
        Quantile of ``loss="quantile"``, in (0, 1).

    operator : None, "gradient", ("directional", v) or callable, default=None
        A linear operator H: the network F is fitted so that HF meets y. ``"gradient"`` takes y of shape (n_samples,
        n_features), ``("directional", v)`` the derivatives along the vector v. A callable ``operator(f, X)`` gets a
        function f from tensors (n, n_features) to (n, k), k functions in columns, and returns their images in a
        tensor (n, k); derivatives by :func:`torch.func.jvp`. ``sample_weight`` takes quadrature weights.
        ``predict`` gives F, ``score`` compares HF with y.

    penalty : {"l2", "path"} or Penalty, default="l2"
        ``"path"`` minimises half the sum of squared errors plus ``alpha`` times the path norm
        :math:`\sum_j |a_j| |(w_j, b_j)|` over (leaky) ReLU networks of any width, with a certificate: see
        :func:`growing_path`. The units are those of training, so ``standardize=False`` keeps those of the data. A
        component of :mod:`skgrow.problem` gets its strength from ``alpha``.

    hidden_layer_sizes : int or sequence of int, default=(0,)
        Widths at the start, of one or more hidden layers. Only the last one may start without neurons.

    activation : {"auto", "relu", "leaky_relu", "tanh", "logistic"} or Activation, default="auto"
        Of the hidden neurons; :class:`skgrow.networks.Activation` takes another slope of the leaky ReLU than 0.01.
        ``"auto"`` grows a ReLU and a tanh network of one hidden layer each and averages them, with weights inversely
        proportional to their estimated errors on new data (Bates and Granger 1969): the fitted network has the neurons
        of both, the ReLUs first. The better one by ``criterion`` (or validation loss) stands alone where the other's
        weight would be below 0.05, where both together have more than ``max_neurons`` neurons (of which tanh gets what
        ReLU leaves, or all if ReLU has taken more than half), and where there is more than one hidden layer. Where the
        linear model is best by ``criterion`` it joins the average, with a neuron of activation ``"identity"`` per
        output, or stands alone (not with operators, nor where it would be expensive).

    encoding : "auto", PiecewiseLinear or None, default="auto"
        Of single features: with ``"auto"`` the network also sees piecewise linear functions of those that the evidence
        of an additive model finds bent, with knots where these pay (:class:`~skgrow.problem.PiecewiseLinear`, which
        also takes a number of knots; Gorishniy, Rubachev and Babenko 2022). The fitted network then has a first hidden
        layer of the features themselves and a ReLU per knot. Not for wide data, operators, path norms, residual blocks
        and convolutions, and not for few rows. None: never.

    alpha : "auto" or float, default="auto"
        L2 penalty on weights and hidden biases, in the units of
        :class:`~sklearn.neural_network.MLPRegressor`. ``"auto"`` sets it by the evidence (MacKay 1992; Foresee
        and Hagan 1997), twice as large since one network stands in for the average over the posterior. With
        validation data and solvers other than Levenberg-Marquardt it is 0.01.

    criterion : {"loo", "gcv", "evidence"} or Criterion, default="loo"
        What says, without validation data, when growing ends and which stage is returned: the error
        on new data, estimated by leaving out one sample at a time (a Newton step for each; Allen 1974, Rad and Maleki
        2020) or by generalised cross-validation, which takes all samples for equally influential, or the log evidence.
        The evidence is consistent and prefers narrower networks; the other two usually predict better, and the first
        is safer on heavy-tailed data. ReLU networks and operators take ``"gcv"`` for ``"loo"``: what a kink does
        without a sample is nothing that a Newton step could tell.

    solver : {"auto", "lm", "lbfgs", "adam", "sgd"} or Solver, default="auto"
        Levenberg-Marquardt, L-BFGS, or mini-batches of Adam or SGD with Nesterov momentum. ``"auto"`` takes the
        first that is affordable for the size of data and network.

    schedule : {"plateau", "every", "at_epochs", "target_loss"} or Schedule, default="plateau"
        When to grow, and when growth ends: a name, or a component of :mod:`skgrow.training`
        (:class:`~skgrow.training.Plateau`, :class:`~skgrow.training.Every`, :class:`~skgrow.training.AtEpochs`,
        :class:`~skgrow.training.TargetLoss`); the first two have a budget of growths, ``max_growths``.

    search : {"polar", "random", "gradmax", "firefly"} or Search, default="polar"
        How new neurons are found, how many blocks at a time, how often neurons are exchanged afterwards and which are
        merged: :class:`~skgrow.growth.PolarSearch` or, as baselines, :class:`~skgrow.growth.RandomSearch`,
        :class:`~skgrow.growth.GradMax` and :class:`~skgrow.growth.Firefly`.

    grow_layer : {"last", "all", "best"}, default="last"
        Which hidden layers grow: the last one, all of them, or the one whose block promises the largest decrease of the
        loss per parameter.

    block_size : int or "auto", default=3
        Neurons added at a time; ``"auto"`` is 3, or 6 where there are ten samples for each of their weights, and at
        least twice the number of outputs if there are several. Three ReLU neurons can form a hat function.

    max_neurons : int, default=100
        Largest number of hidden neurons; ``stop_reason_`` says whether it has ended growth.

    patience : int, default=3
        Growths without improvement of ``criterion`` (or validation loss) after which growing ends. Of more than 8000
        rows networks grow on 4000 first and on more later; there it is one, and no neurons are exchanged. Ensembles,
        operators, ``penalty="path"`` and schedules with a number of growths see all rows from the start.

    min_decrease : float, default=1e-6
        Growing also ends when the best new block promises a smaller relative decrease of the loss.

    max_stage_iter : int, default=200
        Solver iterations (epochs of ``"adam"`` and ``"sgd"``) between two growths at most; short descents on smoothed
        networks within a growth are not counted. A ConvergenceWarning says if the network returned needed them all
        and the schedule is none of given epochs.

    n_members : int, default=1
        Members of an ensemble, each grown as a fit of one is, with ``max_neurons`` of its own; the fitted network is
        their average, with weights inversely proportional to their estimated errors on new data, and has the
        neurons of all. The first member is what is fitted without others. With ``penalty="path"`` there is but one.

    n_jobs : int or None, default=None
        Processes in which members are grown, by joblib; None is 1, -1 all processors. The result does not depend on
        it; callbacks and the log hear of the stages of a member in another process when it is done.

    preconditioner : {"covariance", "second_moment", "kfac", "sobolev", "emsa"}, component or None, default=None
        Preconditioning of the gradients of ``solver="sgd"`` (which ``"auto"`` then is) or ``"adam"`` by inner products
        on the layers' inputs and outputs: a name, or a :class:`~skgrow.preconditioning.FrobeniusPreconditioner`, whose
        parameters can be searched (``preconditioner__damping``). ``"kfac"`` and ``"emsa"`` choose their own step
        lengths.

    batch_size : "auto" or int, default="auto"
        Of ``"adam"`` and ``"sgd"``; ``"auto"`` is ``min(200, n_samples)``.

    learning_rate_init : float, default=0.001
        Initial step size of ``"adam"`` and ``"sgd"``; it is halved on plateaus.

    early_stopping : "auto", bool or int, default="auto"
        Whether to hold out ``validation_fraction`` of the data and stop growing by the validation loss instead of
        by ``criterion``. ``"auto"``: if there are more than 10000 samples or 250 features and outputs (of
        at most as many samples as features: samples and outputs). Not used if ``X_val`` is given.

    validation_fraction : float, default=0.1
        Share of the data held out; of classes the same share of each, while one sample of each stays for training.
        ``partial_fit`` holds out nothing.

    standardize : bool, default=True
        Whether the network is trained on inputs and targets of mean zero and variance one. The fitted weights act
        on raw data in either case.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the network fitted before.

    random_state : int, RandomState instance or None, default=None
        For the search directions, the validation split and the mini-batches. Pass an int for repeatable results.

    device : str, default="auto"
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:k"`` or ``"mps"``. ``"auto"`` takes a GPU if there is one and
        the work is large enough to pay; data that is a tensor on a GPU stays there. Other data are predicted on the
        CPU, except by convolutional networks.

    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of training. ``"auto"`` is float64, and float32 for mini-batch solvers and on devices without
        float64. Predictions have the precision of the data.

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
        ``(n_features, n_neurons, ..., n_outputs)``.

    activation_ : str
        Activation of the hidden neurons, of an average ``"relu+tanh"`` or, with the linear model,
        ``"identity+relu+tanh"``.

    hidden_activations_ : list of ndarray of shape (n_neurons,)
        Name of the activation of every hidden neuron, layer by layer.

    history_ : list of dict
        One row per growth stage or exchange, for a network that goes on with more rows (``"rows"``: of more than 8000,
        networks grow on 4000 first), and for the linear model and an average: ``time`` in seconds, ``epoch``,
        ``action``, ``parent`` (row it was made from), ``accepted``, ``architecture``, ``n_parameters``,
        ``train_loss``, ``validation_loss`` (half the mean squared error in standardized units, summed over outputs),
        ``log_evidence``, ``gcv``, ``loo``, ``alpha``, ``criterion``, ``indicator``, ``predicted_decrease``,
        ``indicator_noise``, ``activation``, ``member`` (of an ensemble; None for rows of all); with ``penalty="path"``
        ``duality_gap`` and ``certified``.
        ``pandas.DataFrame(est.history_)`` is a table.

    growth_indicator_ : float
        The constant :math:`C_{opt}` in [0, 2] of Feischl et al. (Theorem 25) at the fitted network: where it is
        small no network of moderate size can be added that halves the loss. Twice the cosine of the angle
        between the residual and the best new block found. Of an average that of the network of larger weight.

    growth_indicator_noise_ : float
        What the same search finds in noise: :math:`C_{opt}` where the rows of the residual are permuted. Only an
        indicator well above it says that something is left to be found. NaN with ``penalty="path"``.

    alpha_ : float
        L2 penalty used, in standardized units; of an average the weighted geometric mean.

    duality_gap_ : float
        With ``penalty="path"``: bound on how far the objective (a sum over samples, in units of training) is from its
        global minimum.

    certified_ : bool
        With ``penalty="path"``: whether that is a bound; with more than two features it is an estimate from below.

    noise_variance_ : float or ndarray of shape (n_outputs,)
        Estimated variance of the noise, in squared units of y; NaN for losses ``"quantile"`` and ``"poisson"``.

    effective_parameters_ : float
        Number of parameters that the data determines well; of an average the weighted mean.

    log_evidence_ : float
        Log marginal likelihood of y (Laplace approximation); of an average that of its networks, all as probable
        beforehand. NaN where it was too expensive to compute.

    loss_ : float
        Training loss of the fitted network: half the mean squared error in standardized units, summed over outputs.
        After ``partial_fit`` the mean objective on its batch.

    best_loss_ : float
        Smallest training loss reached on the path.

    loss_curve_ : list of float
        Objective after every solver iteration.

    validation_scores_ : list of float or None
        Share of the loss of a constant that is explained on the validation data after every stage, R^2 for the squared
        error; None without validation data.

    best_validation_score_ : float or None
        Largest of them of a stage that was not undone; None without validation data.

    stop_reason_ : str
        Why growth ended: ``"criterion"`` (not better after ``patience`` growths), ``"min_decrease"`` (new neurons
        promise less, or fewer nats than they have parameters), ``"no_proposal"`` (none lower the loss), ``"undone"``
        (the last growth was), ``"max_neurons"`` (growth had gone on, and a larger number may predict better),
        ``"max_parameters"`` (no larger network is judged without validation data; ``early_stopping=True`` may predict
        better), ``"schedule"``, with ``penalty="path"`` ``"duality_gap"`` (closed), or
        ``"callback"``, ``"interrupted"`` or ``"not_finite"``. Of an average that of the network of largest weight; the
        last rows of all paths have theirs in ``history_``.

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
    sklearn.neural_network.MLPRegressor : Network of given width.

    References
    ----------
    M. Feischl, A. Rieder, F. Zehetgruber, "Towards optimal hierarchical training of neural networks", 2024.
    D. J. C. MacKay, "A practical Bayesian framework for backpropagation networks", Neural Computation 4, 1992.
    J. M. Bates, C. W. J. Granger, "The combination of forecasts", Operational Research Quarterly 20, 1969.
    S. T. Buckland, K. P. Burnham, N. H. Augustin, "Model selection: an integral part of inference", Biometrics 53,
    1997.
    F. D. Foresee, M. T. Hagan, "Gauss-Newton approximation to Bayesian learning", ICNN 1997.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skgrow import GrowingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> est = GrowingRegressor(random_state=0).fit(X, y)
    >>> est.predict(X[:2]).shape
    (2,)
    >>> est.score(X, y) > 0.5
    True
    """

    _parameter_constraints: ClassVar[dict] = {
        **NetworkRegressor._parameter_constraints,
        "operator": [None, StrOptions({"gradient"}), tuple, callable],
        "penalty": component("penalty"),
        **Growing._parameter_constraints,
    }

    def __init__(
        self,
        *,
        loss: Any = "squared_error",
        quantile: float = 0.5,
        operator: Any = None,
        penalty: Any = "l2",
        hidden_layer_sizes: Any = (0,),
        activation: Any = "auto",
        encoding: Any = "auto",
        alpha: str | float = "auto",
        criterion: Any = "loo",
        solver: Any = "auto",
        schedule: Any = "plateau",
        search: Any = "polar",
        grow_layer: str = "last",
        block_size: str | int = 3,
        max_neurons: int = 100,
        patience: int = 3,
        min_decrease: float = 1e-6,
        max_stage_iter: int = 200,
        n_members: int = 1,
        n_jobs: int | None = None,
        preconditioner: Any = None,
        batch_size: str | int = "auto",
        learning_rate_init: float = 0.001,
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
        self.operator = operator
        self.penalty = penalty
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.encoding = encoding
        self.alpha = alpha
        self.criterion = criterion
        self.solver = solver
        self.schedule = schedule
        self.search = search
        self.grow_layer = grow_layer
        self.block_size = block_size
        self.max_neurons = max_neurons
        self.patience = patience
        self.min_decrease = min_decrease
        self.max_stage_iter = max_stage_iter
        self.n_members = n_members
        self.n_jobs = n_jobs
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

    # fitting -----------------------------------------------------------------------------------------------

    def _settings(self) -> GrowthSettings:
        if self.operator is None:
            self._check_penalty()
        elif not self._loss().is_quadratic or self.grow_layer != "last" or self._certifies():
            raise ValueError(
                "operator needs loss='squared_error', penalty='l2' and grow_layer='last'; got "
                f"loss={self.loss!r}, penalty={self.penalty!r}, grow_layer={self.grow_layer!r}."
            )
        elif self.preconditioner is not None:
            raise ValueError(
                f"operator needs preconditioner=None; got preconditioner={self.preconditioner!r}, "
                f"operator={self.operator!r}."
            )
        return self._growth_settings(build("penalty", self.penalty), self.operator)

    def _certifies(self) -> bool:
        """Whether the path-norm problem is solved, to certified optimality."""
        from skgrow.problem import PathNorm

        return isinstance(build("penalty", self.penalty), PathNorm)

    def _count_outputs(self, target: Any) -> int:
        return super()._count_outputs(target) if self.operator is None else 1

    def _check_penalty(self) -> None:
        """Raise ValueError if ``penalty="path"`` meets what it can not be combined with."""
        if not self._certifies():
            return
        allowed = {
            "activation": ("auto", "relu", "leaky_relu"),
            "early_stopping": ("auto", False),
            "preconditioner": (None,),
            "dtype": ("auto", "float64"),
            "n_members": (1,),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"penalty='path' needs {name} in {list(values)}; got {getattr(self, name)!r}.")
        if not self._loss().is_quadratic:
            raise ValueError(f"penalty='path' needs loss in ['squared_error']; got {self.loss!r}.")
        if isinstance(self.alpha, str) or not self.alpha > 0:
            raise ValueError(f"penalty='path' needs a number alpha > 0; got {self.alpha!r}.")
        if self._hidden_layer_sizes() != (0,):
            raise ValueError(f"penalty='path' needs hidden_layer_sizes=(0,); got {self.hidden_layer_sizes!r}.")

    def _fitted_values(self, X: Any, y: Any) -> Any:
        return self.predict(X) if self.operator is None else self._image(X, y)

    def _image(self, X: Any, y: Any) -> np.ndarray:
        """Return the operator applied to the network, in the layout of y."""
        import torch

        from skgrow.problem import Samples, Units, make_operator

        points, network = self._on_device(self._prediction_input(X))
        target = shareable(np.asarray(y.detach().to("cpu") if is_tensor(y) else y))
        samples = Samples(points, torch.as_tensor(target.reshape(len(points), -1)).to(points))
        operator = make_operator(self.operator, samples, Units.of(samples, standardize=False), points)
        operator.unit = 1.0
        return operator.unstacked(operator(network, points)).to("cpu").numpy().reshape(target.shape)

    # prediction --------------------------------------------------------------------------------------------

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Predict, on request with standard deviations.

        Predictions lie within the range of the training targets widened by half its length on each side.

        Parameters
        ----------
        X : {array-like, sparse matrix, tensor} of shape (n_samples, n_features)
            Inputs; predictions for a tensor are tensors on its device.
        return_std : bool, default=False
            Whether to return the standard deviation of the predictive distribution of y, noise included, from
            the Laplace approximation on the Gauss-Newton matrix. Networks of more than 2000 parameters
            use the uncertainty of the output layer alone. An average is uncertain as its networks are, and by how far
            they differ from it (Buckland, Burnham and Augustin 1997).

        Returns
        -------
        y : ndarray or tensor of shape (n_samples,) or (n_samples, n_outputs)
            Predictions.
        std : ndarray or tensor of the same shape
            Only with ``return_std``.
        """
        if return_std and getattr(self, "_posterior", None) is None:
            self._require_deviations()
        F = self._outputs(X)
        mean = self._mean(F)
        if not return_std:
            return as_given(mean, X)
        std = self._standard_deviation(X).astype(F.dtype)
        return as_given(mean, X), as_given(std[:, 0] if self._y_ndim == 1 else std, X)

    def _require_deviations(self) -> None:
        """Raise ValueError: why there are no deviations of a fit that has not left any."""
        if not self._loss().is_quadratic or self.operator is not None or self._certifies():
            raise ValueError(
                "return_std=True needs loss='squared_error', operator=None and penalty='l2'; got "
                f"loss={self.loss!r}, operator={self.operator!r}, penalty={self.penalty!r}."
            )
        check_is_fitted(self)
        raise ValueError("return_std=True needs a call of fit: partial_fit leaves no uncertainty.")

    def _standard_deviation(self, X: Any) -> np.ndarray:
        """Return the deviation of y, shape (n, n_outputs), in double precision."""
        X = self._prediction_input(X)
        X = X.to("cpu").numpy() if is_tensor(X) else X
        noise = np.atleast_1d(self.noise_variance_)
        known = self._scaling, self._coordinates, self._posterior, noise
        return standard_deviation(self._array_network(np.float64), *known, X.astype(np.float64, copy=False))


class GrowingClassifier(Growing, NetworkClassifier):
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

    activation : {"auto", "relu", "leaky_relu", "tanh", "logistic"} or Activation, default="auto"
        Of the hidden neurons; :class:`skgrow.networks.Activation` takes another slope of the leaky ReLU than 0.01.
        ``"auto"`` grows a ReLU and a tanh network of one hidden layer each and averages them, with weights inversely
        proportional to their estimated losses on new data (Bates and Granger 1969): the fitted network has the neurons
        of both, the ReLUs first. The better one by ``criterion`` (or validation loss) stands alone where the other's
        weight would be below 0.05, where both together have more than ``max_neurons`` neurons (of which tanh gets what
        ReLU leaves, or all if ReLU has taken more than half), and where there is more than one hidden layer or a fit is
        expensive (see ``early_stopping``). Where the linear model is best by ``criterion`` it joins the average, with a
        neuron of activation ``"identity"`` per output, or stands alone.

    encoding : "auto", PiecewiseLinear or None, default="auto"
        Of single features: with ``"auto"`` the network also sees piecewise linear functions of those that the evidence
        of an additive model finds bent, with knots where these pay (:class:`~skgrow.problem.PiecewiseLinear`, which
        also takes a number of knots; Gorishniy, Rubachev and Babenko 2022). The fitted network then has a first hidden
        layer of the features themselves and a ReLU per knot. Not for wide data, operators, path norms, residual blocks
        and convolutions, and not for few rows. None: never.

    alpha : "auto" or float, default="auto"
        L2 penalty on weights and hidden biases, in the units of :class:`~sklearn.neural_network.MLPClassifier`.
        ``"auto"`` sets it by the evidence (MacKay 1992), on the Gauss-Newton matrix or, where that is expensive, on its
        Kronecker approximation; then validation data may lower it in the end.

    criterion : {"evidence", "loo", "gcv"} or Criterion, default="evidence"
        What says, without validation data, when growing ends and which stage is returned: the log evidence, or the
        cross-entropy on new data estimated by leaving out one sample at a time or from the effective parameters. A gain
        of less than one nat in all counts as none, and growth ends where fewer nats are left than new neurons would
        have parameters. ReLU networks, and all where the Gauss-Newton matrix is expensive, take ``"gcv"`` for
        ``"loo"``.

    solver : {"auto", "lm", "lbfgs", "adam", "sgd"} or Solver, default="auto"
        Levenberg-Marquardt, L-BFGS, or mini-batches of Adam or SGD with Nesterov momentum. ``"auto"`` takes the
        first that is affordable for the size of data and network.

    schedule : {"plateau", "every", "at_epochs", "target_loss"} or Schedule, default="plateau"
        When to grow, and when growth ends: a name, or a component of :mod:`skgrow.training`
        (:class:`~skgrow.training.Plateau`, :class:`~skgrow.training.Every`, :class:`~skgrow.training.AtEpochs`,
        :class:`~skgrow.training.TargetLoss`); the first two have a budget of growths, ``max_growths``.

    search : {"polar", "random", "gradmax", "firefly"} or Search, default="polar"
        How new neurons are found, how many blocks at a time, how often neurons are exchanged afterwards and which are
        merged: :class:`~skgrow.growth.PolarSearch` or, as baselines, :class:`~skgrow.growth.RandomSearch`,
        :class:`~skgrow.growth.GradMax` and :class:`~skgrow.growth.Firefly`.

    grow_layer : {"last", "all", "best"}, default="last"
        Which hidden layers grow: the last one, all of them, or the one whose block promises the largest decrease of the
        loss per parameter.

    block_size : int or "auto", default="auto"
        Neurons added at a time; ``"auto"`` is 3, or 6 where there are ten samples for each of their weights, and at
        least twice the number of outputs if there are several. Three ReLU neurons can form a hat function.

    max_neurons : int, default=100
        Largest number of hidden neurons; ``stop_reason_`` says whether it has ended growth.

    patience : int, default=1
        Growths without improvement of ``criterion`` (or validation loss) after which growing ends. Of more than 8000
        rows networks grow on 4000 first and on more later; there it is one, and no neurons are exchanged. Ensembles,
        operators, ``penalty="path"`` and schedules with a number of growths see all rows from the start.

    min_decrease : float, default=1e-6
        Growing also ends when the best new block promises a smaller relative decrease of the loss.

    max_stage_iter : int, default=200
        Solver iterations (epochs of ``"adam"`` and ``"sgd"``) between two growths at most; short descents on smoothed
        networks within a growth are not counted. A ConvergenceWarning says if the network returned needed them all
        and the schedule is none of given epochs.

    n_members : int, default=1
        Members of an ensemble, each grown as a fit of one is, with ``max_neurons`` of its own; the fitted network is
        their average, with weights inversely proportional to their estimated losses on new data, and has the
        neurons of all. The first member is what is fitted without others. Logits are averaged, before the softmax.

    n_jobs : int or None, default=None
        Processes in which members are grown, by joblib; None is 1, -1 all processors. The result does not depend on
        it; callbacks and the log hear of the stages of a member in another process when it is done.

    preconditioner : {"covariance", "second_moment", "kfac", "sobolev", "emsa"}, component or None, default=None
        Preconditioning of the gradients of ``solver="sgd"`` (which ``"auto"`` then is) or ``"adam"`` by inner products
        on the layers' inputs and outputs: a name, or a :class:`~skgrow.preconditioning.FrobeniusPreconditioner`, whose
        parameters can be searched (``preconditioner__damping``). ``"kfac"`` and ``"emsa"`` choose their own step
        lengths.

    batch_size : "auto" or int, default="auto"
        Of ``"adam"`` and ``"sgd"``; ``"auto"`` is ``min(200, n_samples)``.

    learning_rate_init : float, default=0.001
        Initial step size of ``"adam"`` and ``"sgd"``; it is halved on plateaus.

    early_stopping : "auto", bool or int, default="auto"
        Whether to hold out ``validation_fraction`` of the data and stop growing by the validation loss instead of
        by ``criterion``. ``"auto"``: if there are more than 10000 samples or the Gauss-Newton matrix of 20 neurons is
        expensive (many features or classes); then the network chosen is trained on all data in the end. Not used if
        ``X_val`` is given.

    validation_fraction : float, default=0.1
        Share of the data held out; of classes the same share of each, while one sample of each stays for training.
        ``partial_fit`` holds out nothing.

    standardize : bool, default=True
        Whether the network is trained on inputs of mean zero and variance one. The fitted weights act on
        raw data in either case.

    warm_start : bool, default=False
        Whether ``fit`` goes on from the network fitted before.

    random_state : int, RandomState instance or None, default=None
        For the search directions, the validation split and the mini-batches. Pass an int for repeatable results.

    device : str, default="auto"
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:k"`` or ``"mps"``. ``"auto"`` takes a GPU if there is one and
        the work is large enough to pay; data that is a tensor on a GPU stays there. Other data are predicted on the
        CPU, except by convolutional networks.

    dtype : {"auto", "float32", "float64"}, default="auto"
        Precision of training. ``"auto"`` is float64, and float32 for mini-batch solvers and on devices without
        float64. Predictions have the precision of the data.

    verbose : bool or int, default=False
        Whether to log a line per stage.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels; for label sets the numbers of the labels.

    coefs_ : list of ndarray
        Weights (in, out) of every layer, acting on raw inputs. Two classes have one output.

    intercepts_ : list of ndarray
        Biases of every layer.

    knots_ : list of ndarray
        Knots of every feature, in its units, ascending; empty for one that has none.

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

    growth_indicator_noise_ : float
        What the same search finds in noise, as in :class:`GrowingRegressor`.

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

    best_validation_score_ : float or None
        Largest of them of a stage that was not undone; None without validation data.

    stop_reason_ : str
        Why growth ended: ``"criterion"`` (not better after ``patience`` growths), ``"min_decrease"`` (new neurons
        promise less, or fewer nats than they have parameters), ``"no_proposal"`` (none lower the loss), ``"undone"``
        (the last growth was), ``"max_neurons"`` (growth had gone on, and a larger number may predict better),
        ``"max_parameters"`` (no larger network is judged without validation data; ``early_stopping=True`` may predict
        better), ``"schedule"``, with ``penalty="path"`` ``"duality_gap"`` (closed), or
        ``"callback"``, ``"interrupted"`` or ``"not_finite"``. Of an average that of the network of largest weight; the
        last rows of all paths have theirs in ``history_``.

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
        **Growing._parameter_constraints,
    }

    def __init__(
        self,
        *,
        class_weight: Any = None,
        hidden_layer_sizes: Any = (0,),
        activation: Any = "auto",
        encoding: Any = "auto",
        alpha: str | float = "auto",
        criterion: Any = "evidence",
        solver: Any = "auto",
        schedule: Any = "plateau",
        search: Any = "polar",
        grow_layer: str = "last",
        block_size: str | int = "auto",
        max_neurons: int = 100,
        patience: int = 1,
        min_decrease: float = 1e-6,
        max_stage_iter: int = 200,
        n_members: int = 1,
        n_jobs: int | None = None,
        preconditioner: Any = None,
        batch_size: str | int = "auto",
        learning_rate_init: float = 0.001,
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
        self.encoding = encoding
        self.alpha = alpha
        self.criterion = criterion
        self.solver = solver
        self.schedule = schedule
        self.search = search
        self.grow_layer = grow_layer
        self.block_size = block_size
        self.max_neurons = max_neurons
        self.patience = patience
        self.min_decrease = min_decrease
        self.max_stage_iter = max_stage_iter
        self.n_members = n_members
        self.n_jobs = n_jobs
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

    def _settings(self) -> GrowthSettings:
        from skgrow.problem import L2

        return self._growth_settings(L2(), None)
