"""Components: their names, components of one's own, and what the estimators say of both."""

import inspect
import pickle
import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from torch.nn.functional import softplus

from skgrow import (
    GrowingClassifier,
    GrowingRegressor,
    MGOptClassifier,
    MGOptRegressor,
    PreconditionedMLPClassifier,
    PreconditionedMLPRegressor,
    SensLIClassifier,
    SensLIRegressor,
)
from skgrow.criteria import GCV, Criterion, LeaveOneOut, LogEvidence
from skgrow.estimators import REGISTRY
from skgrow.growth import Firefly, GradMax, PolarSearch, RandomSearch
from skgrow.insertion import Selection, Widening
from skgrow.multilevel import (
    BatchHierarchy,
    Cycle,
    DepthHierarchy,
    ResolutionHierarchy,
    SubspaceHierarchy,
    WidthHierarchy,
)
from skgrow.networks import Activation, CNNArchitecture, MLPArchitecture, ResNetArchitecture
from skgrow.preconditioning import FrobeniusPreconditioner, emsa, kfac, second_moment, sobolev
from skgrow.problem import L2, Huber, Loss, PathNorm, Penalty, Poisson, Quantile, SquaredError
from skgrow.solvers import LBFGS, Adam, AutoSolver, LevenbergMarquardt, StochasticGradient
from skgrow.training import AtEpochs, Every, Plateau, Schedule, TargetLoss

GROWING = GrowingRegressor, GrowingClassifier
INSERTING = SensLIRegressor, SensLIClassifier
MULTILEVEL = MGOptRegressor, MGOptClassifier
FIXED = PreconditionedMLPRegressor, PreconditionedMLPClassifier
ALL = [*GROWING, *INSERTING, *MULTILEVEL, *FIXED]
REGRESSORS = [pair[0] for pair in (GROWING, INSERTING, MULTILEVEL, FIXED)]
CLASSIFIERS = [pair[1] for pair in (GROWING, INSERTING, MULTILEVEL, FIXED)]


def family(estimator):
    """Return the pair that an estimator is of."""
    return next(pair for pair in (GROWING, INSERTING, MULTILEVEL, FIXED) if estimator in pair)


def data(estimator):
    """Images of 4 x 4 pixels, or their first two pixels, with a positive number or a class."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(48, 16))
    f = np.sin(2 * X[:, 0]) + 0.5 * np.abs(X[:, 1]) + 0.1 * rng.normal(size=48)
    y = f + 2 if estimator in REGRESSORS else np.digitize(f, [0.0, 0.8])
    return X[:, :2] if estimator in GROWING else X, y


#: Parameters of short fits, in which all components take part.
SMALL = {
    GROWING: {
        "activation": "tanh",
        "block_size": 2,
        "max_neurons": 4,
        "max_stage_iter": 8,
        "search": PolarSearch(8, 4, n_exchanges=0),
        "random_state": 0,
    },
    INSERTING: {"hidden_layer_sizes": (4, 4), "schedule": Every(2), "tau": 0.0, "max_iter": 7, "random_state": 0},
    MULTILEVEL: {"hidden_layer_sizes": (4,) * 5, "cycle": Cycle(check_every=2), "max_iter": 4, "random_state": 0},
    FIXED: {"hidden_layer_sizes": (4,), "max_iter": 4, "random_state": 0},
}

#: What the named mini-batch solvers of each pair are made with.
RATES = {
    GROWING: {"learning_rate_init": 0.001, "learning_rate": "adaptive"},
    INSERTING: {"learning_rate_init": 0.001, "learning_rate": "constant"},
    MULTILEVEL: {"learning_rate_init": 0.003, "learning_rate": "constant"},
    FIXED: {"learning_rate_init": 0.01, "learning_rate": "constant"},
}

IMAGES = CNNArchitecture((4, 4), (2, 3))


def components(estimator):
    """Return for every component parameter of an estimator what its names stand for."""
    rates = RATES[family(estimator)]
    solvers = {
        "auto": AutoSolver(mini_batch=Adam(**rates)),
        "lm": LevenbergMarquardt(),
        "lbfgs": LBFGS(),
        "adam": Adam(**rates),
        "sgd": StochasticGradient(**rates, momentum=0.9),
    }
    if estimator in MULTILEVEL:
        solvers = {name: solvers[name] for name in ("lbfgs", "adam", "sgd")}
    found = {
        "loss": {"squared_error": SquaredError(), "huber": Huber(), "quantile": Quantile(), "poisson": Poisson()},
        "penalty": {"l2": L2(), "path": PathNorm()},
        "criterion": {"loo": LeaveOneOut(), "gcv": GCV(), "evidence": LogEvidence()},
        "solver": solvers,
        "schedule": {
            "plateau": Plateau(),
            "every": Every(20),
            "at_epochs": AtEpochs((20, 40, 60)),
            "target_loss": TargetLoss(0.0),
        },
        "search": {"polar": PolarSearch(), "random": RandomSearch(), "gradmax": GradMax(), "firefly": Firefly()},
        "preconditioner": {
            "covariance": FrobeniusPreconditioner(),
            "second_moment": second_moment(),
            "kfac": kfac(),
            "sobolev": sobolev(),
            "emsa": emsa(),
        },
        "architecture": {"mlp": MLPArchitecture(), "resnet": ResNetArchitecture(), "cnn": CNNArchitecture()},
        "hierarchy": {
            "depth": DepthHierarchy(),
            "batch": BatchHierarchy(),
            "resolution": ResolutionHierarchy(),
            "width": WidthHierarchy(),
            "subspace": SubspaceHierarchy(),
        },
        "cycle": {name: Cycle(name) for name in ("full", "V", "W", "two-level")},
        "selection": {name: Selection(name) for name in ("max", "min", "random")},
    }
    return {kind: found[kind] for kind in inspect.signature(estimator).parameters if kind in found}


def others(estimator, kind, name):
    """Return further parameters that a component needs, or that let it matter."""
    found = {
        "path": {"activation": "relu", "alpha": 1.0},
        "resolution": {"architecture": IMAGES, "hidden_layer_sizes": ()},
        "width": {"architecture": "mlp", "hidden_layer_sizes": (4, 4)},
    }.get(name, {})
    if kind == "solver" and estimator in FIXED:
        found = {"preconditioner": None}
    if kind == "preconditioner" and estimator in GROWING:
        found = {"hidden_layer_sizes": (3,), "learning_rate_init": 0.02}
    if kind == "schedule":
        found = {"max_stage_iter": 25, "max_neurons": 8} if estimator in GROWING else {"max_iter": 45}
        found |= {"cycle": Cycle(check_every=15)} if estimator in MULTILEVEL else {}
    if kind == "cycle":
        found = {"hidden_layer_sizes": (4,) * 9, "n_levels": 2 if name == "two-level" else 3, "max_iter": 12}
    if kind == "hierarchy" and estimator in MULTILEVEL:
        found = found | {"cycle": Cycle("V", check_every=2, kappa=0.01)}
    return found


def outcome(estimator, parameters):
    """Return all weights of a short fit and what its stages were judged by, or the message of its error."""
    try:
        fitted = estimator(**SMALL[family(estimator)] | parameters).fit(*data(estimator))
    except ValueError as error:
        return str(error)
    judged = [row["criterion"] for row in fitted.history_]
    return np.concatenate([a.ravel() for a in [*fitted.coefs_, *fitted.intercepts_, np.array(judged)]])


def settings_of(estimator, parameters):
    """Return what a fit is given: all components with their parameters, in words."""
    est = estimator(**SMALL[family(estimator)] | parameters)
    vars(est).update(classes_=np.arange(3), _multilabel=False)  # which the targets say
    return repr(est._settings())


# names ---------------------------------------------------------------------------------------------------------


KINDS = [(estimator, kind) for estimator in ALL for kind in components(estimator)]


@pytest.mark.parametrize(("estimator", "kind"), KINDS)
def test_a_name_is_the_component_that_it_stands_for(estimator, kind):
    named = {}
    for name, component in components(estimator)[kind].items():
        rest = others(estimator, kind, name)
        named[name] = settings_of(estimator, rest | {kind: name})
        assert named[name] == settings_of(estimator, rest | {kind: component}), name
    assert len(set(named.values())) == len(named)


@pytest.mark.parametrize(("estimator", "kind"), [pair for pair in KINDS if pair[0] in REGRESSORS])
def test_components_are_used(estimator, kind):
    """Two of a kind lead to other networks; but images need a shape."""
    names = [name for name in components(estimator)[kind] if name != "cnn"][-2:]
    first, second = (outcome(estimator, others(estimator, kind, name) | {kind: name}) for name in names)
    assert first.dtype == second.dtype == float
    assert not np.array_equal(first, second)
    if kind == "architecture":
        assert "image" in outcome(estimator, {kind: "cnn"})


@pytest.mark.parametrize("estimator", ALL)
@pytest.mark.parametrize(("name", "solver"), [("adam", Adam), ("sgd", StochasticGradient)])
def test_named_solvers_have_the_rates_of_the_estimator(estimator, name, solver):
    usual = {"learning_rate_init": 0.1, "learning_rate": "constant", "batch_size": 20}
    usual |= {"momentum": 0.9, "new_layer_rate": 1.0} | ({"learning_rate": "adaptive"} if estimator in GROWING else {})
    other = {"learning_rate_init": 0.05, "learning_rate": "adaptive", "batch_size": 7}
    other |= {"momentum": 0.5, "new_layer_rate": 0.5}
    rest = {"preconditioner": None} if estimator in FIXED else {}
    asked, taken = parameters_of(estimator), parameters_of(solver)
    found = []
    for change in (None, *(key for key in other if key in asked and key in taken)):
        rates = usual | ({change: other[change]} if change else {})
        named = {key: value for key, value in rates.items() if key in asked}
        found.append(settings_of(estimator, rest | named | {"solver": name}))
        given = solver(**{key: value for key, value in rates.items() if key in taken})
        assert f"solver={given!r}" in found[-1], change
    assert len(set(found)) > 2


@pytest.mark.parametrize(("estimator", "kind"), KINDS)
def test_all_names_are_those_of_the_registry(estimator, kind):
    known = set(components(estimator)[kind])
    assert known == ({"lbfgs", "adam", "sgd"} if (estimator, kind) in allowed_less() else set(REGISTRY[kind]))


def allowed_less():
    return [(estimator, "solver") for estimator in MULTILEVEL]


@pytest.mark.parametrize("estimator", MULTILEVEL)
@pytest.mark.parametrize(
    ("hierarchy", "parameters"),
    [
        ("depth", {}),
        ("width", {"architecture": "mlp", "hidden_layer_sizes": (4, 4)}),
        ("resolution", {"architecture": IMAGES, "hidden_layer_sizes": ()}),
    ],
)
def test_the_hierarchy_follows_the_architecture(estimator, hierarchy, parameters):
    np.testing.assert_array_equal(
        outcome(estimator, parameters), outcome(estimator, parameters | {"hierarchy": hierarchy})
    )


@pytest.mark.parametrize(
    ("estimator", "parameters", "component"),
    [
        (GrowingRegressor, {"activation": "leaky_relu"}, {"activation": Activation("leaky_relu", 0.01)}),
        (GrowingRegressor, {"loss": "quantile", "quantile": 0.9}, {"loss": Quantile(0.9)}),
        (GrowingClassifier, {"activation": "tanh"}, {"activation": Activation("tanh")}),
        (SensLIRegressor, {"activation": "relu"}, {"activation": Activation("relu")}),
        (SensLIRegressor, {"loss": "quantile", "quantile": 0.1}, {"loss": Quantile(0.1)}),
        (
            SensLIRegressor,
            {"schedule": None, "max_iter": 45},
            {"schedule": Plateau(tol=1e-2, patience=10), "max_iter": 45},
        ),
        (SensLIRegressor, {"widen": True}, {"widen": Widening()}),
        (SensLIClassifier, {"widen": True}, {"widen": Widening("auto", block_size=1, max_neurons=1000)}),
        (
            MGOptRegressor,
            {"schedule": None, "max_iter": 30},
            {"schedule": Plateau(tol=0.1, patience=3), "max_iter": 30},
        ),
        (MGOptClassifier, {"activation": "tanh"}, {"activation": Activation("tanh")}),
        (PreconditionedMLPRegressor, {"loss": "quantile", "quantile": 0.9}, {"loss": Quantile(0.9)}),
        (PreconditionedMLPRegressor, {"activation": "logistic"}, {"activation": Activation("logistic")}),
    ],
    ids=str,
)
def test_what_stands_for_components_beside_the_registry(estimator, parameters, component):
    parameters, component = ({"preconditioner": None} | given for given in (parameters, component))
    assert settings_of(estimator, parameters) == settings_of(estimator, component)


@pytest.mark.parametrize(("estimator", "kind"), KINDS)
def test_unknown_names_are_refused_with_those_that_are_known(estimator, kind):
    for name in ("frobnicate", "", 3):
        with pytest.raises(ValueError, match=f"'{kind}' parameter of {estimator.__name__} must be") as caught:
            estimator(**SMALL[family(estimator)] | {kind: name}).fit(*data(estimator))
        names = set(re.findall("'([^']*)'", " ".join(re.findall(r"a str among \{([^}]*)\}", str(caught.value)))))
        assert names - ({"auto"} if kind == "hierarchy" else set()) == set(components(estimator)[kind])
        assert repr(name) in str(caught.value)


class Halting(Schedule):
    """Grows whenever so many epochs have passed."""

    def __init__(self, epochs=5, max_growths=None):
        self.epochs = epochs
        self.max_growths = max_growths

    def due(self, values, epoch):
        return epoch % self.epochs == 0


@pytest.mark.parametrize("estimator", [pair[1] for pair in (GROWING, INSERTING, MULTILEVEL)])
def test_a_name_joins_by_a_line_in_the_registry(estimator, monkeypatch):
    with pytest.raises(ValueError, match="'schedule' parameter"):
        estimator(schedule="halting").fit(*data(estimator))
    monkeypatch.setitem(REGISTRY["schedule"], "halting", Halting)
    rest = others(estimator, "schedule", "halting")
    added = outcome(estimator, rest | {"schedule": "halting"})
    np.testing.assert_array_equal(added, outcome(estimator, rest | {"schedule": Halting()}))
    assert not np.array_equal(added, outcome(estimator, rest | {"schedule": "every"}))
    with pytest.raises(ValueError, match="halting"):
        estimator(schedule="x").fit(*data(estimator))
    monkeypatch.delitem(REGISTRY["schedule"], "halting")
    with pytest.raises(ValueError, match=r"'schedule' parameter .* Got 'halting'"):
        estimator(schedule="halting").fit(*data(estimator))


@pytest.mark.parametrize("estimator", [*GROWING, *INSERTING, *MULTILEVEL])
def test_a_name_goes_with_its_line_of_the_registry(estimator, monkeypatch):
    monkeypatch.delitem(REGISTRY["schedule"], "every")
    with pytest.raises(ValueError, match=r"'schedule' parameter .* Got 'every'") as caught:
        estimator(schedule="every").fit(*data(estimator))
    assert "'plateau'" in str(caught.value)


@pytest.mark.parametrize("estimator", [*GROWING, *INSERTING, *MULTILEVEL])
def test_a_component_without_the_methods_needed_is_refused(estimator):
    with pytest.raises(ValueError, match=r"'schedule' parameter .*'due' and 'finished'"):
        estimator(schedule=PolarSearch()).fit(*data(estimator))


# components of one's own ---------------------------------------------------------------------------------------


class LogCosh(Loss):
    """About half the square of a residual that is small beside ``scale``, and the absolute value of a large one."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def value(self, F, Y):
        size = (Y - F).abs() / self.scale
        return self.scale**2 * (size + softplus(-2 * size) - np.log(2)).sum(1)

    def negative_gradient(self, F, Y):
        return self.scale * torch.tanh((Y - F) / self.scale)

    def curvature(self, F, Y):
        return 1 - torch.tanh((Y - F) / self.scale) ** 2


class AIC(Criterion):
    """Minus Akaike's criterion, or another that counts a parameter ``factor`` times."""

    def __init__(self, factor=2.0):
        self.factor = factor

    def value(self, network, problem, found):
        fit = problem.total_weight * np.log(2 * float(problem.data_loss(network)))
        return -fit - self.factor * found.effective_parameters

    def error(self, trained):
        return trained.evidence.gcv


class SmoothedL1(Penalty):
    """The sum of the absolute values of all parameters but the output biases, rounded off over ``width``."""

    def __init__(self, alpha=0.0, width=0.01):
        super().__init__(alpha)
        self.width = width

    def value(self, network, n):
        theta = network.theta[: network.slices[-1][1].start]
        return self.alpha / n * ((theta**2 + self.width**2).sqrt() - self.width).sum()

    def gradient(self, network, n):
        return self.alpha / n * self.pattern(network) * network.theta

    def pattern(self, network):
        return super().pattern(network) / (network.theta**2 + self.width**2).sqrt()


ADAM = {"solver": "adam", "alpha": 0.01, "learning_rate_init": 0.02}

#: Estimator, kind, component, its parameter and values of it that make a difference, and parameters beside it.
OWN = [
    *((estimator, "loss", LogCosh(0.5), {"scale": [0.02, 10.0]}, {}) for estimator in REGRESSORS),
    (GrowingClassifier, "schedule", Halting(2), {"epochs": [2, 5]}, ADAM),
    (SensLIClassifier, "schedule", Halting(2), {"epochs": [2, 3]}, {}),
    (MGOptClassifier, "schedule", Halting(2), {"epochs": [2, 3]}, {}),
    (GrowingRegressor, "criterion", AIC(), {"factor": [0.0, 1e4]}, {}),
    (GrowingRegressor, "penalty", SmoothedL1(), {"width": [0.01, 1.0]}, {"alpha": 0.1}),
]


@pytest.mark.parametrize(("estimator", "kind", "component", "grid", "parameters"), OWN)
def test_components_of_ones_own_are_fitted_copied_searched_and_stored(estimator, kind, component, grid, parameters):
    X, y = data(estimator)
    before = component.get_params()
    est = estimator(**SMALL[family(estimator)] | {kind: component} | parameters).fit(X, y)
    expected = est.predict(X)
    assert np.isfinite(est.coefs_[0]).all()
    assert getattr(est, kind) is component
    assert component.get_params() == before == {name: vars(component)[name] for name in before}
    np.testing.assert_array_equal(clone(est).fit(X, y).predict(X), expected)
    again = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(again.predict(X), expected)
    np.testing.assert_array_equal(again.fit(X, y).predict(X), expected)
    ((name, values),) = grid.items()
    fits = [clone(est).set_params(**{f"{kind}__{name}": value}).fit(X, y) for value in values]
    assert not all(np.array_equal(a, b) for a, b in zip(*(fit.coefs_ for fit in fits), strict=True))
    search = GridSearchCV(est, {f"{kind}__{name}": values}, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert getattr(getattr(search.best_estimator_, kind), name) == search.best_params_[f"{kind}__{name}"] in values
    assert component.get_params() == before


@pytest.mark.parametrize("estimator", REGRESSORS)
def test_a_loss_of_ones_own_is_the_one_minimised(estimator):
    X, y = data(estimator)
    given = {"loss": LogCosh(0.5), "standardize": False}
    est = estimator(**SMALL[family(estimator)] | given).fit(X, y)
    size = 2 * np.abs(y - est.predict(X))
    assert est.loss_ == pytest.approx(0.25 * np.mean(np.logaddexp(size, -size) - np.log(2)), rel=1e-4)


def test_a_loss_of_ones_own_is_between_squares_and_absolute_values():
    X, y = data(GrowingRegressor)
    spoilt = y + np.where(np.arange(len(y)) % 12 == 0, 40.0, 0.0)
    constants = [
        GrowingRegressor(loss=LogCosh(scale), max_neurons=0, standardize=False).fit(X, spoilt).predict(X[:1])
        for scale in (1e4, 0.3)
    ]
    assert constants[0] == pytest.approx(spoilt.mean(), rel=1e-5)
    assert constants[1] == pytest.approx(np.median(spoilt), abs=0.3)
    settings = SMALL[GROWING] | {"standardize": False, "max_stage_iter": 60}
    errors = [
        np.median(np.abs(GrowingRegressor(loss=loss, **settings).fit(X, spoilt).predict(X) - y))
        for loss in (LogCosh(0.3), "squared_error")
    ]
    assert errors[0] < 0.5 * errors[1]


def test_a_penalty_of_ones_own_is_the_one_minimised():
    X, y = data(GrowingRegressor)
    settings = {"activation": "tanh", "alpha": 0.5, "hidden_layer_sizes": (4,), "max_neurons": 4, "random_state": 0}
    settings |= {"standardize": False, "criterion": "gcv", "search": PolarSearch(n_exchanges=0)}
    for solver in ("lm", "lbfgs"):
        est = GrowingRegressor(penalty=SmoothedL1(width=0.01), solver=solver, **settings).fit(X, y)
        theta = np.concatenate([a.ravel() for a in [*est.coefs_, est.intercepts_[0]]])
        penalty = 0.5 / len(X) * np.sum(np.sqrt(theta**2 + 1e-4) - 0.01)
        loss = 0.5 * np.mean((y - est.predict(X)) ** 2)
        assert est.loss_ == pytest.approx(loss, rel=1e-9)
        assert est.loss_curve_[-1] == pytest.approx(loss + penalty, rel=1e-9)
        usual = GrowingRegressor(solver=solver, **settings).fit(X, y)
        small = [np.mean(np.abs(found.coefs_[0]) < 1e-3) for found in (est, usual)]
        assert small[0] > small[1] + 0.2  # absolute values make weights vanish


def test_the_evidence_sets_the_strength_of_a_penalty_of_ones_own():
    X, y = data(GrowingRegressor)
    est = GrowingRegressor(penalty=SmoothedL1(width=1.0), activation="tanh", max_neurons=6, random_state=0).fit(X, y)
    assert 0 < est.alpha_ < np.inf
    assert est.score(X, y) > 0.5


@pytest.mark.parametrize("factor", [0.0, 20.0])
def test_a_criterion_of_ones_own_chooses_the_stage(factor):
    X, y = data(GrowingRegressor)
    settings = {"activation": "tanh", "max_neurons": 12, "search": PolarSearch(n_exchanges=0), "random_state": 0}
    est = GrowingRegressor(criterion=AIC(factor), **settings).fit(X, y)
    accepted = [row for row in est.history_ if row["accepted"]]
    largest = max(row["criterion"] for row in accepted)
    value = -len(X) * np.log(2 * est.loss_) - factor * est.effective_parameters_
    assert largest - 1e-3 * abs(largest) <= value  # later stages have to be better by more than a trifle
    assert any(row["criterion"] == pytest.approx(value, rel=1e-9) for row in accepted)
    averaged = GrowingRegressor(criterion=AIC(factor), **settings | {"activation": "auto"}).fit(X, y)
    assert np.isfinite(averaged.predict(X)).all()


def test_the_more_a_parameter_counts_the_fewer_there_are():
    X, y = data(GrowingRegressor)
    settings = {"activation": "tanh", "max_neurons": 12, "search": PolarSearch(n_exchanges=0), "random_state": 0}
    sizes = [GrowingRegressor(criterion=AIC(factor), **settings).fit(X, y).n_parameters_ for factor in (0.0, 1e4)]
    assert sizes[0] > sizes[1] == 1


@pytest.mark.parametrize("estimator", GROWING)
def test_growth_follows_a_schedule_of_ones_own(estimator):
    settings = {"activation": "tanh", "block_size": 1, "patience": 5, "random_state": 0, "alpha": 1e-3}
    settings |= {"solver": "adam", "learning_rate_init": 0.01, "search": PolarSearch(n_exchanges=0)}
    est = estimator(**settings, schedule=Halting(5, max_growths=3)).fit(*data(estimator))
    assert [row["epoch"] for row in est.history_] == [5, 10, 15, 20]
    assert [row["action"] for row in est.history_] == ["start", "grow", "grow", "grow"]
    widths = [est.architecture_[1], *(est.partial_fit(*data(estimator)).architecture_[1] for _ in range(10))]
    assert [n for n, (before, after) in enumerate(pairwise(widths), 21) if after > before] == [25, 30]


class Patient(Halting):
    """Training goes on where a change was refused."""

    waits = True


@pytest.mark.parametrize("estimator", INSERTING)
def test_insertion_follows_a_schedule_of_ones_own(estimator):
    settings = {"hidden_layer_sizes": (4,), "max_iter": 18, "alpha": 1e-4, "random_state": 0}
    est = estimator(**settings, schedule=Halting(5, max_growths=2), tau=0).fit(*data(estimator))
    assert [row["epoch"] for row in est.history_] == [5, 10, 15]
    assert est.history_[-1]["reason"] == "the schedule has ended"
    assert len(est.architecture_) == 5
    refused = {
        kind: estimator(**settings, schedule=kind(5), tau=1e12).fit(*data(estimator)) for kind in (Halting, Patient)
    }
    assert refused[Halting].n_iter_ == 5
    assert refused[Patient].n_iter_ == 18


@pytest.mark.parametrize("estimator", MULTILEVEL)
def test_levels_follow_a_schedule_of_ones_own(estimator):
    est = estimator(
        hidden_layer_sizes=(4,) * 9, n_levels=3, max_iter=12, alpha=1e-4, schedule=Halting(4), random_state=0
    )
    est.fit(*data(estimator))
    assert [(row["level"], row["epoch"]) for row in est.history_][:2] == [(2, 4), (1, 8)]


# what the estimators say of themselves -------------------------------------------------------------------------


def parameters_of(estimator):
    return list(inspect.signature(estimator).parameters)


@pytest.mark.parametrize("estimator", ALL)
def test_constructors_have_at_most_31_parameters(estimator):
    assert len(parameters_of(estimator)) <= 31


@pytest.mark.parametrize("estimator", ALL)
def test_at_most_three_classes_stand_above_an_estimator(estimator):
    above = [cls for cls in estimator.__mro__[1:] if cls.__module__.partition(".")[0] == "skgrow"]
    assert len([cls for cls in above if cls.__name__ != "CallbackSupportMixin"]) <= 3  # scikit-learn's from version 1.9


@pytest.mark.parametrize("estimator", ALL)
def test_docstrings_list_every_parameter_once_in_the_order_of_the_constructor(estimator):
    section = inspect.cleandoc(estimator.__doc__).split("Attributes\n---")[0]
    assert re.findall(r"^(\w+) : ", section, flags=re.MULTILINE) == parameters_of(estimator)


@pytest.mark.parametrize(("estimator", "kind"), KINDS)
def test_docstrings_list_exactly_the_names_that_are_valid(estimator, kind):
    (line,) = re.findall(rf"^{kind} : (.*)$", inspect.cleandoc(estimator.__doc__), flags=re.MULTILINE)
    names = re.findall('"([^"]*)"', re.search(r"\{(.*?)\}", line)[1])
    assert len(set(names)) == len(names)
    assert set(names) - ({"auto"} if kind == "hierarchy" else set()) == set(components(estimator)[kind])


LATER = "hidden_layer_sizes activation solver preconditioner max_iter random_state"

#: Estimators, parameters whose text is the same in all of them, and those of them whose defaults differ.
SAME = [
    (ALL, "batch_size validation_fraction warm_start device verbose", ""),
    (ALL[2:], "learning_rate momentum dtype learning_rate_init early_stopping", "learning_rate_init early_stopping"),
    ([*MULTILEVEL, *FIXED], "tol n_iter_no_change", ""),
    ([*INSERTING, *MULTILEVEL], "architecture", "architecture"),
    (REGRESSORS, "loss quantile", ""),
    (CLASSIFIERS, "class_weight", ""),
    (GROWING, "hidden_layer_sizes solver preconditioner learning_rate_init random_state dtype", ""),
    (GROWING, "schedule search grow_layer max_neurons min_decrease max_stage_iter", ""),
    (GROWING, "block_size patience", "block_size patience"),
    (INSERTING, f"{LATER} schedule tau selection max_layers widen new_layer_rate patience", ""),
    (MULTILEVEL, f"{LATER} final_time hierarchy n_levels cycle schedule", ""),
    (FIXED, f"{LATER} stage_epochs report_layers", ""),
]


@pytest.mark.parametrize(("estimators", "names", "other_defaults"), SAME)
def test_the_same_parameter_has_the_same_docstring(estimators, names, other_defaults):
    testing = pytest.importorskip("sklearn.utils._testing")
    pytest.importorskip("numpydoc")
    if not hasattr(testing, "assert_docstring_consistency"):
        pytest.skip("this version of scikit-learn does not compare docstrings")
    testing.assert_docstring_consistency(
        list(estimators), include_params=names.split(), ignore_types=other_defaults.split()
    )


def count(est):
    return sum(a.size for a in [*est.coefs_, *est.intercepts_])


@pytest.mark.parametrize(
    ("estimator", "parameters"),
    [
        *((estimator, {}) for estimator in ALL),
        (GrowingRegressor, {"activation": "auto", "max_neurons": 12}),
        (GrowingRegressor, {"hidden_layer_sizes": (2, 0)}),
        *(
            (estimator, {"architecture": architecture, "hidden_layer_sizes": sizes, "standardize": False} | single)
            for pair, single in ((INSERTING, {}), (MULTILEVEL, {"n_levels": 1}))
            for estimator in pair
            for architecture, sizes in (("mlp", (4,)), (IMAGES, (3,)), (ResNetArchitecture(map_bias=False), (4, 4)))
        ),
    ],
    ids=str,
)
def test_parameters_are_counted(estimator, parameters):
    X, y = data(estimator)
    est = estimator(**SMALL[family(estimator)] | {"warm_start": True} | parameters).fit(X, y)
    assert est.n_parameters_ == count(est)
    assert est.n_parameters_ in {row["n_parameters"] for row in est.history_}
    est.fit(X, y)
    assert est.n_parameters_ == count(est)
    for _ in range(3):
        est.partial_fit(X, y)
        assert est.n_parameters_ == count(est)
