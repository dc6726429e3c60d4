"""What an estimator says of a fit: why training ended, whether it converged, its best score; and short messages."""

import logging
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

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
from skgrow.growth import PolarSearch
from skgrow.multilevel import Cycle
from skgrow.solvers import Adam, AutoSolver, LevenbergMarquardt, StochasticGradient
from skgrow.training import STOP_REASONS, GrowthRegime, Plateau

GROWING = {"activation": "tanh", "search": PolarSearch(n_exchanges=0), "random_state": 0}
SHORT = {"hidden_layer_sizes": (8,), "random_state": 0}
MGOPT = {"architecture": "mlp", "early_stopping": False, **SHORT}

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, size=(60, 1))
Y = np.sin(3 * X[:, 0]) + 0.05 * RNG.normal(size=60)
NOISE = RNG.normal(size=60)
LABELS = (Y > 0).astype(int)

BY_EPOCHS = [
    SensLIRegressor(**SHORT),
    MGOptRegressor(**MGOPT),
    PreconditionedMLPRegressor(**SHORT),
    SensLIClassifier(**SHORT),
    MGOptClassifier(**MGOPT),
    PreconditionedMLPClassifier(**SHORT),
]
ESTIMATORS = [
    GrowingRegressor(max_neurons=2, **GROWING),
    GrowingClassifier(max_neurons=2, **GROWING),
    *(clone(est).set_params(max_iter=8) for est in BY_EPOCHS),
]


def name_of(est):
    return type(est).__name__


every = pytest.mark.parametrize("est", ESTIMATORS, ids=name_of)
by_epochs = pytest.mark.parametrize("est", BY_EPOCHS, ids=name_of)


def targets(est):
    return Y if "Regressor" in name_of(est) else LABELS


# why training ended --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("est", "y", "reason"),
    [
        (GrowingRegressor(max_neurons=3, **GROWING), Y, "max_neurons"),
        (GrowingRegressor(max_neurons=3, **GROWING | {"activation": "auto"}), Y, "max_neurons"),
        (GrowingRegressor(**GROWING), NOISE, "criterion"),
        (GrowingRegressor(**GROWING), np.ones(60), "no_proposal"),
        (GrowingRegressor(min_decrease=10, **GROWING), Y, "min_decrease"),
        (GrowingRegressor(schedule=Plateau(max_growths=1), **GROWING), Y, "schedule"),
        (GrowingRegressor(penalty="path", alpha=1, random_state=0), Y, "duality_gap"),
        (GrowingRegressor(penalty="path", alpha=0.01, max_neurons=1, random_state=0), Y, "max_neurons"),
        (GrowingClassifier(max_neurons=0, **GROWING), LABELS, "max_neurons"),
        (GrowingClassifier(**GROWING), LABELS, "min_decrease"),
        (SensLIRegressor(max_iter=5, schedule="every", **SHORT), Y, "max_iter"),
        (SensLIRegressor(tau=1e9, solver="lbfgs", **SHORT), Y, "tau"),
        (SensLIRegressor(max_layers=1, solver="lbfgs", **SHORT), Y, "max_layers"),
        (SensLIRegressor(schedule=Plateau(max_growths=0), solver="lbfgs", **SHORT), Y, "schedule"),
        (MGOptRegressor(cycle=Cycle("V", target_loss=1.0), max_iter=50, **MGOPT), Y, "target_loss"),
        (MGOptRegressor(tol=1, n_iter_no_change=1, **MGOPT), Y, "criterion"),
        (MGOptRegressor(max_iter=12, n_iter_no_change=np.inf, tol=1, **MGOPT), Y, "max_iter"),
        (PreconditionedMLPRegressor(tol=1, n_iter_no_change=1, **SHORT), Y, "criterion"),
        (PreconditionedMLPRegressor(max_iter=12, n_iter_no_change=np.inf, tol=1, **SHORT), Y, "max_iter"),
        (PreconditionedMLPRegressor(solver="lbfgs", preconditioner=None, max_iter=3, **SHORT), Y, "max_iter"),
    ],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_why_training_ended(est, y, reason):
    est.fit(X, y)
    assert est.stop_reason_ == reason
    said = [row["stop_reason"] for row in est.history_ if row["stop_reason"] is not None]
    assert reason in said
    assert set(said) <= set(STOP_REASONS)
    for activation in {row["activation"] for row in est.history_ if row["action"] == "start"}:  # last on its path
        path = [r for r in est.history_ if r["activation"] == activation and r["action"] not in ("average", "linear")]
        assert path[-1]["stop_reason"] is not None or "MGOpt" in name_of(est)
    assert est.history_[-1]["stop_reason"] == reason or est.history_[-1]["action"] in ("average", "linear")


def test_a_budget_by_the_evidence_is_another_one(monkeypatch):
    monkeypatch.setattr(GrowthRegime, "most_neurons", lambda self, room, *_: min(room, 3))
    assert GrowingRegressor(max_neurons=3, **GROWING).fit(X, Y).stop_reason_ == "max_neurons"
    assert GrowingRegressor(max_neurons=9, **GROWING).fit(X, Y).stop_reason_ == "max_parameters"


@every
@pytest.mark.filterwarnings("ignore")
def test_interrupts_are_reasons(est, interrupted):
    solver = interrupted(LevenbergMarquardt if "Growing" in name_of(est) else Adam, at=3)
    rest = {"preconditioner": None} if "Preconditioned" in name_of(est) else {}
    assert clone(est).set_params(solver=solver, **rest).fit(X, targets(est)).stop_reason_ == "interrupted"


def test_divergence_is_a_reason():
    est = PreconditionedMLPRegressor(preconditioner=None, learning_rate_init=1e30, max_iter=50, **SHORT)
    with pytest.warns(ConvergenceWarning, match="no longer finite"):
        est.fit(X, Y)
    assert est.stop_reason_ == "not_finite"


@every
@pytest.mark.filterwarnings("ignore")
def test_the_log_says_it_with_a_hint(est, caplog):
    logger = logging.getLogger("skgrow")
    logger.addHandler(caplog.handler)
    try:
        est = clone(est).set_params(verbose=True).fit(X, targets(est))
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.messages[-1] == f"training ended by {est.stop_reason_}: {STOP_REASONS[est.stop_reason_]}"
    assert "larger max_neurons" in STOP_REASONS["max_neurons"]


# convergence ---------------------------------------------------------------------------------------------------


@by_epochs
def test_a_budget_that_ends_training_is_warned_of(est):
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(max_iter=4\) reached .* hasn't converged yet"):
        found = clone(est).set_params(max_iter=4).fit(X, targets(est))
    assert found.n_iter_ == 4


@by_epochs
def test_training_that_has_converged_is_not_warned_of(est):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        quick = {"solver": "lbfgs"} | ({"preconditioner": None} if "Preconditioned" in name_of(est) else {})
        clone(est).set_params(alpha=0.1, max_iter=1000, **quick).fit(X, targets(est))
        if "SensLI" in name_of(est):  # a schedule of given epochs trains until the budget ends
            clone(est).set_params(max_iter=9, schedule="every").fit(X, targets(est))
        else:  # the budget ends when progress has
            stale = 10 if "MGOpt" in name_of(est) else 15  # after a first stage of 10 or 5 epochs
            ends = clone(est).set_params(max_iter=20, tol=1.0, n_iter_no_change=stale).fit(X, targets(est))
            assert (ends.n_iter_, ends.stop_reason_) == (20, "criterion")


def test_a_stage_that_needs_its_whole_budget_is_warned_of():
    short = GrowingRegressor(max_neurons=1, max_stage_iter=3, solver="adam", **GROWING)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(max_stage_iter=3\) reached"):
        short.fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        GrowingRegressor(max_neurons=3, **GROWING).fit(X, Y)
        GrowingRegressor(max_neurons=3, **GROWING | {"activation": "auto"}).fit(X, Y)
        GrowingClassifier(**GROWING).fit(X, LABELS)


@pytest.mark.parametrize("Estimator", [MGOptRegressor, PreconditionedMLPRegressor])
def test_without_limit_on_stale_epochs_the_budget_ends_training(Estimator):
    parameters = MGOPT if Estimator is MGOptRegressor else SHORT
    est = Estimator(n_iter_no_change=np.inf, tol=1.0, max_iter=45, **parameters)
    with pytest.warns(ConvergenceWarning, match="hasn't converged"):  # as MLPRegressor
        est.fit(X, Y)
    assert est.n_iter_ == 45


# scores --------------------------------------------------------------------------------------------------------


@every
@pytest.mark.filterwarnings("ignore")
def test_the_best_validation_score(est):
    y = targets(est)
    assert clone(est).set_params(early_stopping=False).fit(X, y).best_validation_score_ is None
    found = clone(est).set_params(early_stopping=True).fit(X, y)
    assert found.best_validation_score_ == max(found.validation_scores_)
    if "Regressor" in name_of(est):
        found = clone(est).fit(X[:40], y[:40], X_val=X[40:], y_val=y[40:])
        # weights are kept in the precision of the data, training may be in single precision
        assert found.best_validation_score_ == pytest.approx(found.score(X[40:], y[40:]), rel=1e-3)


# batches -------------------------------------------------------------------------------------------------------

RATE = 1e-3


@pytest.mark.parametrize(
    ("solver", "rate", "moves"),
    [
        ("sgd", RATE, "gradient"),
        (StochasticGradient(5 * RATE), 5 * RATE, "gradient"),
        ("adam", RATE, "sign"),
        (Adam(5 * RATE), 5 * RATE, "sign"),
        ("auto", RATE, "sign"),
        (AutoSolver(mini_batch=StochasticGradient(5 * RATE)), 5 * RATE, "gradient"),
        ("lbfgs", RATE, "sign"),
        ("lm", RATE, "sign"),
    ],
)
@pytest.mark.parametrize("Estimator", [GrowingRegressor, SensLIRegressor, MGOptRegressor, PreconditionedMLPRegressor])
def test_a_batch_is_learned_by_the_solver_given(Estimator, solver, rate, moves):
    if Estimator is MGOptRegressor and isinstance(solver, str) and solver in ("lm", "auto"):
        pytest.skip("no solver of it")
    parameters = {"learning_rate_init": RATE, "standardize": False, "random_state": 0, "alpha": 0.0, "solver": solver}
    parameters |= {"preconditioner": None} if Estimator is not MGOptRegressor else MGOPT
    parameters |= {"max_neurons": 0, "activation": "tanh"} if Estimator is GrowingRegressor else {"max_iter": 1} | SHORT
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        est = Estimator(**parameters).fit(X, Y)
    before = est.intercepts_[-1][0]
    residual = 0.5 + Y - est.predict(X)
    est.partial_fit(X, 0.5 + Y)  # one step: the batch has less than 200 rows
    step = residual.mean() if moves == "gradient" else np.sign(residual.mean())
    if moves == "gradient":
        step *= 1 + 0.9  # Nesterov's momentum adds itself to the first step
    assert est.intercepts_[-1][0] - before == pytest.approx(rate * step, rel=1e-2)  # single precision


# messages ------------------------------------------------------------------------------------------------------


@every
def test_messages_are_short_whatever_was_given(est):
    many = list(range(100_000))
    for name in ("alpha", "solver", "validation_fraction", "random_state"):
        with pytest.raises(ValueError, match=f"'{name}' parameter of {name_of(est)}") as raised:
            clone(est).set_params(**{name: many}).fit(X, targets(est))
        assert len(str(raised.value)) < 2500
    with pytest.raises(ValueError, match="hidden_layer_sizes") as raised:
        clone(est).set_params(hidden_layer_sizes=[-size for size in many]).fit(X, targets(est))
    assert len(str(raised.value)) < 2500


def test_messages_on_classes_show_some_of_each():
    many = np.arange(500)
    est = SensLIClassifier(max_iter=1, schedule="every", **SHORT).partial_fit(X, LABELS, classes=many)
    for y, classes in ((LABELS - 1, None), (LABELS + 0.0, many + 1)):
        with pytest.raises(ValueError, match=r"class") as raised:
            est.partial_fit(X, y, classes=classes)
        assert len(str(raised.value)) < 300
        assert "[0, 1, 2, 3" in str(raised.value)
