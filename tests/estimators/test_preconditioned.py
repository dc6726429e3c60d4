"""PreconditionedMLPRegressor and -Classifier, and the preconditioner as a parameter of the other estimators."""

import ctypes
import pickle
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgrow import (
    GrowingClassifier,
    GrowingRegressor,
    PreconditionedMLPClassifier,
    PreconditionedMLPRegressor,
    SensLIClassifier,
    SensLIRegressor,
)
from skgrow.growth import PolarSearch
from skgrow.insertion import Widening
from skgrow.networks import CNNArchitecture
from skgrow.preconditioning import Covariance, FrobeniusPreconditioner, SecondMoment, Sobolev
from skgrow.training import Every

NAMES = ["covariance", "second_moment", "kfac", "sobolev", "emsa"]


def waves(n=150, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 3))
    return X, np.sin(2 * X[:, 0]) * X[:, 1]


def digits(n=300):
    X, y = load_digits(return_X_y=True)
    return X[:n], y[:n]


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("name", [*NAMES, None])
def test_every_activation_and_preset(activation, name):
    X, y = digits(150)
    clf = PreconditionedMLPClassifier(
        hidden_layer_sizes=(15, 10),
        activation=activation,
        preconditioner=name,
        max_iter=10,
        batch_size=50,
        random_state=0,
    )
    clf.set_params(learning_rate_init=0.003 if name == "covariance" else 0.01).fit(X, y)
    assert clf.loss_ < clf.loss_curve_[0]
    assert clf.architecture_ == (64, 15, 10, 10)
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    np.testing.assert_array_equal(clone(clf).fit(X, y).predict_proba(X), clf.predict_proba(X))


@pytest.mark.parametrize("solver", ["auto", "lm", "lbfgs", "adam", "sgd"])
def test_every_solver_without_a_preconditioner(solver):
    X, y = waves()
    reg = PreconditionedMLPRegressor(
        hidden_layer_sizes=(15,),
        preconditioner=None,
        alpha=1e-4,
        solver=solver,
        batch_size=10,
        max_iter=200,
        random_state=0,
    ).fit(X, y)
    assert reg.score(X, y) > (0.5 if solver == "sgd" else 0.7)  # 0.60 and more; a line explains nothing of a product


def test_kfac_trains_deep_sigmoids_where_gradients_stand_still():
    X, y = digits(600)
    settings = {"hidden_layer_sizes": (40,) * 4, "activation": "logistic", "alpha": 1e-4, "max_iter": 40}
    settings["random_state"] = 0
    preconditioned = PreconditionedMLPClassifier(**settings).fit(X, y)
    plain = [
        PreconditionedMLPClassifier(**settings, preconditioner=None, learning_rate_init=rate).fit(X, y).loss_
        for rate in (0.01, 0.1, 1.0)
    ]
    assert preconditioned.loss_ < 0.2 * min(plain)


def test_autoencoder_and_label_sets():
    X, _ = digits(200)
    reg = PreconditionedMLPRegressor(
        hidden_layer_sizes=(30, 8, 30),
        activation="tanh",
        batch_size=50,
        max_iter=40,
        standardize=False,
        random_state=0,
    ).fit(X / 16, X / 16)
    assert reg.predict(X / 16).shape == X.shape
    flat = [a.ravel() for a in (X / 16, reg.predict(X / 16))]
    assert np.corrcoef(*flat)[0, 1] > 0.9
    X, Y = make_multilabel_classification(100, random_state=0)
    clf = PreconditionedMLPClassifier(hidden_layer_sizes=(10,), max_iter=20, random_state=0).fit(X, Y)
    assert clf.predict(X).shape == Y.shape


def test_parameters_of_the_preconditioner_can_be_searched():
    X, y = waves(60)
    est = make_pipeline(
        StandardScaler(),
        PreconditionedMLPRegressor(
            hidden_layer_sizes=(8,),
            max_iter=5,
            preconditioner=FrobeniusPreconditioner(input=SecondMoment(), output=SecondMoment()),
        ),
    )
    name = "preconditionedmlpregressor__preconditioner__"
    search = GridSearchCV(est, {f"{name}damping": [0.1, 1.0], f"{name}input__decay": [0.5, 0.9]}, cv=2).fit(X, y)
    assert set(search.best_params_) == {f"{name}damping", f"{name}input__decay"}
    assert not hasattr(est[-1].preconditioner.input, "size_")  # clones learn, components do not


@pytest.mark.parametrize("name", ["kfac", "second_moment", FrobeniusPreconditioner(damping=0.1)])
@pytest.mark.parametrize(
    "estimator",
    [
        SensLIRegressor(
            hidden_layer_sizes=(6,), alpha=1e-4, schedule=Every(5), tau=0, widen=Widening("both"), max_iter=20
        ),
        SensLIRegressor(
            architecture="resnet",
            hidden_layer_sizes=(6, 4),
            alpha=1e-4,
            schedule=Every(5),
            tau=0,
            max_iter=20,
            activation="tanh",
        ),
        GrowingRegressor(
            activation="tanh", max_neurons=6, max_stage_iter=10, search=PolarSearch(n_exchanges=1), solver="sgd"
        ),
        GrowingRegressor(
            activation="relu",
            max_neurons=6,
            max_stage_iter=10,
            search=PolarSearch(n_exchanges=1),
            hidden_layer_sizes=(2, 0),
            grow_layer="all",
        ),
    ],
)
def test_it_works_with_growth_and_insertion(estimator, name):
    X, y = waves(100)
    est = clone(estimator).set_params(
        preconditioner=name, alpha=1e-4, random_state=0, learning_rate_init=0.01, batch_size=50
    )
    est.fit(X, y)
    assert len({row["n_parameters"] for row in est.history_}) > 1
    for row in est.history_:
        if row["parent"] is not None and row["accepted"]:
            assert row["train_loss"] <= est.history_[row["parent"]]["train_loss"] * (1 + 1e-5) + 1e-7


def test_classifiers_and_convolutions_take_it():
    X, y = digits(200)
    clf = GrowingClassifier(activation="relu", preconditioner="kfac", max_neurons=6, max_stage_iter=5, random_state=0)
    assert clf.fit(X[:, ::4], y).score(X[:, ::4], y) > 0.5
    cnn = SensLIClassifier(
        architecture=CNNArchitecture((8, 8), (4,)), preconditioner="kfac", alpha=1e-4, max_iter=10, random_state=0
    )
    assert cnn.fit(X, y).score(X, y) > 0.7


def test_history_reports_layers():
    X, y = waves()
    reg = PreconditionedMLPRegressor(
        hidden_layer_sizes=(6, 5), preconditioner="covariance", stage_epochs=2, max_iter=8, report_layers=True
    ).fit(X, y)
    assert [row["epoch"] for row in reg.history_] == [2, 4, 6, 8]
    for row in reg.history_[:-1]:
        assert len(row["gradient_norms"]) == len(row["preconditioned_norms"]) == 3
        assert [len(s) for s in row["input_spectra"]] == [3, 6, 5]
        assert [len(s) for s in row["output_spectra"]] == [6, 5, 1]
    assert "gradient_norms" not in PreconditionedMLPRegressor(max_iter=4).fit(X, y).history_[0]


@pytest.mark.parametrize("structure", ["dense", "lowrank"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_are_reported_of_a_training_that_has_diverged(structure, dtype):
    """Moments that are not finite have no spectrum, and training goes back to the best weights."""
    X, y = waves(60)
    moment = Covariance(structure=structure, rank=2)
    reg = PreconditionedMLPRegressor(
        hidden_layer_sizes=(5,),
        preconditioner=FrobeniusPreconditioner(input=moment, output=moment),
        loss="poisson",
        learning_rate_init=1e3,
        dtype=dtype,
        max_iter=6,
        report_layers=True,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning, match="no longer finite"):
        reg.fit(X, np.exp(y))
    assert np.isfinite(reg.predict(X)).all()
    assert "gradient_norms" in reg.history_[-1]


def test_a_covariance_does_not_depend_on_its_damping():
    X = torch.as_tensor(np.random.default_rng(0).normal(size=(30, 4)))
    for structure in ("dense", "diagonal", "lowrank"):
        inner = Covariance(structure=structure, rank=3).bind(4, X)
        inner.update(X)
        before = inner.covariance()
        inner.damp(1e20)
        torch.testing.assert_close(inner.covariance(), before)


@pytest.fixture
def filled_memory():
    """Return what fills fresh memory with a byte, where the C library can do that."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    perturb = -6  # M_PERTURB of glibc
    yield lambda byte: mallopt and mallopt(perturb, byte)
    if mallopt:
        mallopt(perturb, 0)


def test_equal_fits_of_kfac_are_equal(filled_memory):
    """To the last bit, whatever lies in memory that is not yet written."""
    X, y = waves(60)
    fits = []
    for k in range(10):
        filled_memory(1 if k % 2 else 255)
        reg = PreconditionedMLPRegressor(
            hidden_layer_sizes=(8,), preconditioner="kfac", max_iter=30, dtype="float64", random_state=0
        )
        fits.append(np.concatenate([a.ravel() for a in reg.fit(X, y).coefs_]))
    for other in fits[1:]:
        np.testing.assert_array_equal(other, fits[0])


def test_training_ends_when_it_stands_still_and_goes_on_with_warm_start():
    X, y = waves(40)
    reg = PreconditionedMLPRegressor(
        hidden_layer_sizes=(5,), preconditioner=None, alpha=1e-4, solver="lm", warm_start=True, random_state=0
    ).fit(X, y)
    assert reg.n_iter_ < 200
    loss = reg.loss_
    assert reg.fit(X, y).loss_ <= loss * (1 + 1e-9)
    for _ in range(3):
        reg.partial_fit(X, y)
    X_val, y_val = X[::2], y[::2]  # targets within the range of those of training, beyond which predictions are bounded
    held = PreconditionedMLPRegressor(max_iter=40, random_state=0).fit(X, y, X_val=X_val, y_val=y_val)
    assert max(held.validation_scores_) == pytest.approx(held.score(X_val, y_val), abs=1e-5)


def test_predefined_inner_products_on_images():
    X, y = digits(200)
    smooth = FrobeniusPreconditioner(input=Sobolev(order=-1, grid=(8, 8)), output="euclidean")
    clf = PreconditionedMLPClassifier(preconditioner=smooth, learning_rate_init=0.1, max_iter=20, random_state=0)
    assert clf.fit(X, y).score(X, y) > 0.9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "lbfgs"}, "preconditioner needs solver='sgd' or 'adam'"),
        ({"preconditioner": "x"}, "'preconditioner' parameter"),
        ({"preconditioner": FrobeniusPreconditioner(damping=0)}, "damping must be > 0"),
        (
            {"preconditioner": FrobeniusPreconditioner(input=Sobolev(grid=(2, 2)))},
            "must be 3 x 3 for the input of layer 0",
        ),
        ({"preconditioner": FrobeniusPreconditioner(output=Covariance(rank=0))}, "rank must be at least 1"),
        ({"hidden_layer_sizes": (0,)}, "widths >= 1"),
    ],
)
def test_bad_parameters_are_refused(settings, message):
    X, y = waves(30)
    reg = PreconditionedMLPRegressor(**settings)
    with pytest.raises(ValueError, match=message):
        reg.fit(X, y)
    assert not hasattr(reg, "coefs_")
    with pytest.raises(ValueError, match="preconditioner needs"):
        GrowingRegressor(preconditioner="kfac", solver="lm").fit(X, y)
    with pytest.raises(ValueError, match="penalty='path' needs preconditioner in"):
        GrowingRegressor(penalty="path", alpha=1.0, preconditioner="kfac").fit(X, y)
