"""A fit that fails leaves the estimator as it was, an interrupted one the network so far; warnings name its line."""

import inspect
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from skgrow import (
    GrowingClassifier,
    GrowingRegressor,
    MGOptClassifier,
    MGOptRegressor,
    PreconditionedMLPClassifier,
    PreconditionedMLPRegressor,
    SensLIClassifier,
    SensLIRegressor,
    growing_path,
)
from skgrow.growth import PolarSearch
from skgrow.multilevel import DepthHierarchy
from skgrow.problem import Problem
from skgrow.solvers import LevenbergMarquardt
from skgrow.training import Task

GROWING = {
    "block_size": 2,
    "max_neurons": 2,
    "max_stage_iter": 4,
    "search": PolarSearch(4, 4, n_exchanges=1),
    "random_state": 0,
}
SHORT = {"hidden_layer_sizes": (4, 4), "max_iter": 6, "random_state": 0}
MGOPT = SHORT | {"hidden_layer_sizes": (4,) * 3, "early_stopping": False}

ESTIMATORS = [
    GrowingRegressor(**GROWING),
    SensLIRegressor(**SHORT),
    MGOptRegressor(**MGOPT),
    PreconditionedMLPRegressor(**SHORT),
    GrowingClassifier(**GROWING),
    SensLIClassifier(**SHORT),
    MGOptClassifier(**MGOPT),
    PreconditionedMLPClassifier(**SHORT),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 2))
WIDER = RNG.normal(size=(30, 3))


def targets(est, X, n_classes=2):
    return X[:, 0] if "Regressor" in type(est).__name__ else np.digitize(X[:, 0], np.linspace(-0.5, 0.5, n_classes - 1))


def fresh(est, **parameters):
    return clone(est).set_params(**parameters)


every = pytest.mark.parametrize("est", ESTIMATORS, ids=lambda est: type(est).__name__)


class BrokenError(Exception):
    pass


def breaking(monkeypatch, method, owner, error, at=1):
    """Let a method fail at its call of this number; return the calls there were."""
    calls, works = [], getattr(owner, method)

    def fails(*args, **kwargs):
        calls.append(None)
        if len(calls) == at:
            raise error
        return works(*args, **kwargs)

    monkeypatch.setattr(owner, method, fails)
    return calls


def same_state(ours, theirs):
    """Whether two states of an estimator hold the same objects under the same names."""
    return list(ours) == list(theirs) and all(ours[name] is theirs[name] for name in ours)


# failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "owner", "at"), [("objective", Problem, 2), ("data_loss", Problem, 1), ("raw", Task, 1)]
)
@every
def test_a_first_fit_that_fails_leaves_nothing(est, method, owner, at, monkeypatch):
    new = fresh(est)
    before = dict(vars(new))
    classes = {} if "Regressor" in type(est).__name__ else {"classes": [0, 1]}
    for learn in (lambda: new.fit(X, targets(est, X)), lambda: new.partial_fit(X, targets(est, X), **classes)):
        with monkeypatch.context() as patched:
            calls = breaking(patched, method, owner, BrokenError, at)
            with pytest.raises(BrokenError):
                learn()
            assert len(calls) == at
        assert same_state(vars(new), before)
        with pytest.raises(NotFittedError):
            check_is_fitted(new)
    learn()  # and it can still learn
    check_is_fitted(new)


@every
def test_data_that_are_refused_leave_nothing(est):
    new = fresh(est, early_stopping=True)
    y = targets(est, X)
    for arguments in ((X[:1], y[:1]), (X, y[:-1]), (X, y, np.zeros(16))):
        with pytest.raises(ValueError, match=r"samples|positive"):
            new.fit(*arguments)
        with pytest.raises(NotFittedError):
            check_is_fitted(new)
    with pytest.raises(ValueError, match="y_val must be given"):
        new.fit(X, y, X_val=X)
    assert not hasattr(new, "n_features_in_")


@pytest.mark.parametrize(("method", "owner"), [("objective", Problem), ("raw", Task)])
@every
def test_a_refit_that_fails_leaves_the_old_model_whole(est, method, owner, monkeypatch):
    model = fresh(est).fit(X, targets(est, X))
    before, predictions = dict(vars(model)), model.predict(X)
    for warm_start, arguments in ((False, (WIDER, targets(est, WIDER, 4))), (True, (X, targets(est, X)))):
        model.set_params(warm_start=warm_start)
        with monkeypatch.context() as patched:
            breaking(patched, method, owner, BrokenError)
            with pytest.raises(BrokenError):
                model.fit(*arguments)
        model.set_params(warm_start=False)
        assert same_state(vars(model), before)
        np.testing.assert_array_equal(model.predict(X), predictions)


@every
def test_a_batch_that_fails_leaves_the_old_model_whole(est, monkeypatch):
    model = fresh(est).fit(X, targets(est, X))
    model.partial_fit(X, targets(est, X))  # with moments to be kept
    before, predictions = dict(vars(model)), model.predict(X)
    moments = {name: value.copy() for name, value in model._moments.items()}
    for error in (BrokenError, KeyboardInterrupt):
        with monkeypatch.context() as patched:
            breaking(patched, "raw", Task, error)
            with pytest.raises(error):
                model.partial_fit(X, targets(est, X))
        assert same_state(vars(model), before)
        for name, value in moments.items():
            np.testing.assert_array_equal(model._moments[name], value)
        np.testing.assert_array_equal(model.predict(X), predictions)


def test_a_refit_forgets_what_only_other_parameters_teach():
    est = GrowingRegressor(**GROWING, penalty="path", alpha=0.5).fit(X, X[:, 0])
    assert est.duality_gap_ >= 0
    est.set_params(penalty="l2", alpha="auto").fit(X, X[:, 0])
    assert not hasattr(est, "duality_gap_")
    assert not hasattr(est, "certified_")


# interrupts ----------------------------------------------------------------------------------------------------

#: What training and what comes after it call, wherever they are.
MOMENTS = [
    (Problem, "objective"),
    (Problem, "data_loss"),
    (Problem, "outputs"),
    (Problem, "value_and_gradient"),
    (Problem, "curvature_at"),
    (Task, "validation_scores"),
    (Task, "raw"),
    (DepthHierarchy, "refine"),
]


def interrupting(patched, at):
    """Interrupt the call of this number of all that are listed; return the names of those there were."""
    called = []

    def counted(name, works):
        def counts(*args, **kwargs):
            called.append(name)
            if len(called) == at:
                raise KeyboardInterrupt
            return works(*args, **kwargs)

        return counts

    for owner, name in MOMENTS:
        patched.setattr(owner, name, counted(name, getattr(owner, name)))
    return called


@pytest.mark.parametrize(
    "parameters", [{}, {"early_stopping": True}, {"report_layers": True}, {"activation": "tanh"}], ids=str
)
@every
def test_an_interrupt_returns_the_network_so_far(est, parameters, monkeypatch):
    if not set(parameters) <= set(est.get_params()):
        pytest.skip("a parameter of others")
    y = targets(est, X)
    with monkeypatch.context() as patched:
        called = interrupting(patched, None)
        fresh(est, **parameters).fit(X, y)
    n = len(called)
    for at in sorted({*np.linspace(n // 3, n, 5).astype(int).tolist(), *range(n - 3, n + 1)}):
        model = fresh(est, **parameters)
        with monkeypatch.context() as patched, pytest.warns(UserWarning, match="interrupted by user") as caught:  # noqa: PT031
            interrupting(patched, at)
            model.fit(X, y)
            line = inspect.currentframe().f_lineno - 1
        told = [w for w in caught if "interrupted" in str(w.message)]
        assert [(Path(w.filename).name, w.lineno) for w in told] == [(Path(__file__).name, line)], called[at - 1]
        assert np.isfinite(model.predict(X).astype(float)).all()
        assert model.history_
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some are warm enough to be trained further
            model.partial_fit(X, y)


@every
def test_an_interrupt_before_training_leaves_nothing(est, monkeypatch):
    new = fresh(est)
    breaking(monkeypatch, "problem", Task, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        new.fit(X, targets(est, X))
    with pytest.raises(NotFittedError):
        check_is_fitted(new)


@every
def test_a_second_interrupt_at_the_end_is_raised(est, monkeypatch):
    new = fresh(est)
    interrupts = (KeyboardInterrupt() for _ in range(2))
    monkeypatch.setattr(Task, "raw", lambda *_: (_ for _ in ()).throw(next(interrupts)))
    with pytest.warns(UserWarning, match="interrupted"), pytest.raises(KeyboardInterrupt):
        new.fit(X, targets(est, X))
    with pytest.raises(NotFittedError):
        check_is_fitted(new)


# lines ---------------------------------------------------------------------------------------------------------


def lines_of(caught, text):
    return {Path(w.filename).name for w in caught if text in str(w.message)}


def test_warnings_point_at_the_users_line(interrupted):
    here, y = Path(__file__).name, X[:, 0]
    est = GrowingRegressor(**GROWING)
    with pytest.warns(UserWarning, match="interrupted") as caught:  # noqa: PT031
        est.set_params(solver=interrupted(LevenbergMarquardt, at=3)).fit(X, y)
        make_pipeline(StandardScaler(), est.set_params(solver=interrupted(LevenbergMarquardt, at=3))).fit(X, y)
        cross_val_score(est.set_params(solver=interrupted(LevenbergMarquardt, at=3)), X, y, cv=2)
    assert lines_of(caught, "interrupted") == {here}
    with pytest.warns(UserWarning, match="column-vector") as caught:  # noqa: PT031
        GrowingRegressor(**GROWING).fit(X, y[:, None])
        GrowingClassifier(**GROWING).fit(X, (y > 0)[:, None])
    assert lines_of(caught, "column-vector") == {here}
    with pytest.warns(ConvergenceWarning) as caught:  # noqa: PT031
        growing_path(X, np.sin(9 * y), alphas=[1e-3], max_neurons=1)
        PreconditionedMLPRegressor(preconditioner=None, solver="sgd", learning_rate_init=1e9, **SHORT).fit(X, y)
    assert lines_of(caught, "duality gap") == lines_of(caught, "no longer finite") == {here}
