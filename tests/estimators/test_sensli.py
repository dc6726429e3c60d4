"""SensLIRegressor and SensLIClassifier: what users of scikit-learn expect, on all three architectures."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_multilabel_classification
from sklearn.inspection import permutation_importance
from sklearn.metrics import mean_poisson_deviance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgrow import MGOptRegressor, SensLIClassifier, SensLIRegressor
from skgrow.datasets import make_spirals
from skgrow.insertion import Selection, Widening
from skgrow.networks import CNNArchitecture, ResNetArchitecture
from skgrow.solvers import Adam
from skgrow.training import AtEpochs, Every, Schedule

FAST = {"alpha": 1e-4, "max_iter": 40, "schedule": Every(10), "random_state": 0}
CNN = {"architecture": CNNArchitecture((8, 8), (4, 8)), "alpha": 1e-4, "random_state": 0}


def digits(n=400):
    X, y = load_digits(return_X_y=True)
    return X[:n], y[:n]


def waves(n=150, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 3))
    return X, np.sin(2 * X[:, 0]) * X[:, 1]


ARCHITECTURES = [
    {"architecture": "mlp", "hidden_layer_sizes": (10,)},
    {"architecture": "mlp", "hidden_layer_sizes": (6, 5), "activation": "leaky_relu"},
    {"architecture": "mlp", "hidden_layer_sizes": (10,), "activation": "tanh"},
    {"architecture": "resnet", "hidden_layer_sizes": (8, 6), "activation": "tanh"},
    {"architecture": CNNArchitecture((1, 8, 8), (3, [4, 4])), "hidden_layer_sizes": (5,)},
]


@pytest.mark.parametrize("settings", ARCHITECTURES)
def test_history_says_what_happened(settings):
    X, y = digits(200)
    clf = SensLIClassifier(**settings, **FAST, tau=0).fit(X, y)
    inserted = 0
    for row in clf.history_:
        assert len(row["merits"]) == len(row["merit_ratios"])
        assert row["decision"].split()[0] in ("insert", "train", "end")
        assert row["reason"]
        if row["parent"] is not None:
            before = clf.history_[row["parent"]]
            if row["accepted"]:
                assert row["train_loss"] <= before["train_loss"] * (1 + 1e-6) + 1e-7
            if row["action"] == "insert":
                inserted += 1
                assert before["decision"].startswith("insert at ")
                assert row["n_parameters"] > before["n_parameters"]
                assert len(row["merits"]) == len(before["merits"]) + 1
    assert inserted > 0
    assert (np.diff([row["epoch"] for row in clf.history_]) > 0).all()
    assert clf.n_iter_ == 40 == len(clf.loss_curve_)
    assert clf.history_[-1]["decision"] == "end"
    chosen = [row for row in clf.history_ if row["architecture"] == clf.architecture_]
    assert clf.merits_ in [row["merits"] for row in chosen]
    assert clf.best_loss_ <= clf.history_[0]["train_loss"]


@pytest.mark.parametrize("settings", ARCHITECTURES)
def test_fitted_networks_predict_as_their_torch_modules_and_copies(settings):
    X, y = digits(150)
    clf = SensLIClassifier(**settings, **FAST).fit(X, y)
    F = clf.decision_function(X)
    np.testing.assert_allclose(clf.to_torch()(torch.from_numpy(X)).detach().numpy(), F, rtol=1e-9, atol=1e-9)
    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    np.testing.assert_array_equal(clone(clf).fit(X, y).decision_function(X), F)
    tensors = clf.predict_proba(torch.from_numpy(X))
    assert isinstance(tensors, torch.Tensor)
    np.testing.assert_allclose(tensors.numpy(), clf.predict_proba(X), rtol=1e-12)
    np.testing.assert_allclose(clf.predict_proba(X).sum(1), 1)


@pytest.mark.parametrize("settings", ARCHITECTURES[:4])
@pytest.mark.parametrize("solver", ["auto", "lm", "lbfgs", "adam", "sgd"])
def test_every_solver_fits_a_function(settings, solver):
    X, y = waves()
    rate = 0.02 if solver == "sgd" else 0.01
    reg = SensLIRegressor(
        alpha=1e-4,
        **settings,
        solver=solver,
        schedule="every",
        max_iter=100,
        learning_rate_init=rate,
        batch_size=10,
        random_state=0,
    ).fit(X, y)
    assert reg.score(X, y) > 0.6  # 0.71 and more; a line explains nothing of a product
    assert reg.loss_ < reg.history_[0]["train_loss"] or len(reg.history_) == 1


def test_convolutional_network_on_digits():
    X, y = digits(1000)
    clf = SensLIClassifier(**CNN, max_iter=40, schedule=Every(15), learning_rate_init=0.003, max_layers=3).fit(X, y)
    X_test, y_test = load_digits(return_X_y=True)
    assert clf.score(X_test[1000:], y_test[1000:]) > 0.85  # 0.92
    assert len(clf.architecture_) == 5  # features, three convolutions, classes
    assert clf.coefs_[0].shape == (4, 1, 3, 3)
    assert len(clf.merits_) == 3


def test_convolutional_network_takes_colours_and_numbers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 3 * 6 * 4)) * 40 + 100
    y = X[:, :24].mean(1) - X[:, 24:48].mean(1)
    reg = SensLIRegressor(
        alpha=1e-4, architecture=CNNArchitecture((3, 6, 4), ((4,),)), activation="tanh", solver="lbfgs", random_state=0
    ).fit(X, y)
    assert reg.score(X, y) > 0.9
    units = next(module for module in reg.to_torch().modules() if isinstance(module, torch.nn.BatchNorm2d))
    np.testing.assert_allclose(units.running_mean, X.reshape(120, 3, -1).mean((0, 2)))
    np.testing.assert_allclose(units.running_var.sqrt(), X.reshape(120, 3, -1).std((0, 2)))


def test_multi_output_and_label_sets():
    X, y = waves()
    reg = SensLIRegressor(**FAST).fit(X, np.stack([y, -y], 1))
    assert reg.predict(X).shape == (150, 2)
    X, Y = make_multilabel_classification(100, random_state=0)
    clf = SensLIClassifier(architecture="resnet", **FAST).fit(X, Y)
    assert clf.predict(X).shape == Y.shape
    assert clf.score(X, Y) > 0.5


def test_string_labels_and_class_weight():
    X, y = make_spirals(200, random_state=0)
    names = np.array(["inner", "outer"])[y]
    settings = {"hidden_layer_sizes": (10,), "solver": "lbfgs", "max_iter": 100, "random_state": 0}
    clf = SensLIClassifier(**settings, class_weight={"inner": 5.0, "outer": 1.0}).fit(X, names)
    assert set(clf.predict(X)) <= {"inner", "outer"}
    plain = SensLIClassifier(**settings).fit(X, names)
    assert clf.predict_proba(X)[:, 0].mean() > plain.predict_proba(X)[:, 0].mean()


def test_weights_are_repetitions():
    X, y = waves(40)
    weight = np.random.default_rng(0).integers(1, 4, 40)
    settings = {"hidden_layer_sizes": (8,), "solver": "lm", "max_iter": 20, "random_state": 0}
    weighted = SensLIRegressor(**settings).fit(X, y, sample_weight=weight)
    repeated = SensLIRegressor(**settings).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-9)
    np.testing.assert_allclose(weighted.merits_, repeated.merits_, rtol=1e-6, atol=1e-12)


def test_in_pipeline_search_and_inspection():
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:120], y[:120]
    pipe = make_pipeline(
        StandardScaler(), SensLIRegressor(alpha=1e-4, hidden_layer_sizes=(8,), schedule=Every(5), max_iter=20)
    )
    search = GridSearchCV(
        pipe, {"sensliregressor__schedule__epochs": [5, 10], "sensliregressor__tau": [0.0, 2.0]}, cv=2
    ).fit(X, y)
    assert set(search.best_params_) == {"sensliregressor__schedule__epochs", "sensliregressor__tau"}
    assert len(cross_val_score(pipe, X, y, cv=3)) == 3
    found = permutation_importance(search.best_estimator_, X, y, n_repeats=2, random_state=0)
    assert found.importances.shape == (10, 2)


def test_validation_chooses_the_stage():
    X, y = waves(200)
    X_val, y_val = waves(200, seed=1)
    reg = SensLIRegressor(alpha=1e-4, hidden_layer_sizes=(20,), schedule=Every(20), tau=0, random_state=0)
    reg.fit(X, y, X_val=X_val, y_val=y_val)
    assert max(reg.validation_scores_) == pytest.approx(reg.score(X_val, y_val), abs=1e-5)
    held_out = SensLIRegressor(early_stopping=True, **FAST).fit(X, y)
    assert len(held_out.validation_scores_) == len(held_out.history_)
    assert SensLIRegressor(**FAST).fit(X, y).validation_scores_ is None


def test_warm_start_goes_on_from_the_fitted_network():
    X, y = waves()
    for settings in ARCHITECTURES[:4]:
        reg = SensLIRegressor(**settings, schedule="every", max_iter=30, warm_start=True, random_state=0).fit(X, y)
        depth, loss = len(reg.merits_), reg.loss_
        reg.fit(X, y)
        assert len(reg.merits_) >= depth
        assert reg.history_[0]["train_loss"] <= loss * (1 + 1e-5)
    X, y = digits(100)
    clf = SensLIClassifier(**CNN, max_iter=5, warm_start=True).fit(X, y)
    first = clf.loss_
    assert clf.fit(X, y).history_[0]["train_loss"] <= first * (1 + 1e-5)


def test_partial_fit_inserts_on_plateaus():
    X, y = waves(100)
    reg = SensLIRegressor(
        alpha=1e-4, hidden_layer_sizes=(6,), schedule=Every(5), max_iter=5, max_layers=3, tau=0, random_state=0
    )
    reg.partial_fit(X, y)
    loss = reg.loss_curve_[-1]
    for _ in range(30):
        reg.partial_fit(X, y)
    assert len(reg.architecture_) == 5
    assert reg.loss_curve_[-1] < loss
    X, y = digits(100)
    clf = SensLIClassifier(**CNN, max_iter=2, schedule=Every(3), tau=0)
    for _ in range(6):
        clf.partial_fit(X, y, classes=np.arange(10))
    assert len(clf.architecture_) > 4


def test_plateau_ends_where_nothing_is_inserted():
    X, y = waves(60)
    reg = SensLIRegressor(alpha=1e-4, hidden_layer_sizes=(4,), solver="lm", tau=1e12, max_iter=500, random_state=0).fit(
        X, y
    )
    assert reg.n_iter_ < 500
    assert len(reg.architecture_) == 3
    assert "below tau" in reg.history_[-1]["reason"]


def test_at_epochs_inserts_at_those_epochs():
    X, y = make_spirals(200, random_state=0)
    clf = SensLIClassifier(
        alpha=1e-4, hidden_layer_sizes=(5,), schedule=AtEpochs((10, 20)), tau=0, max_iter=30, random_state=0
    ).fit(X, y)
    assert [row["epoch"] for row in clf.history_] == [10, 20, 30]
    assert clf.architecture_ == (2, 5, 5, 5, 1)


def test_widening():
    X, y = waves()
    settings = {
        "hidden_layer_sizes": (3,),
        "schedule": Every(10),
        "max_iter": 100,
        "alpha": 1e-4,
        "learning_rate_init": 0.02,
    }
    reg = SensLIRegressor(**settings, widen=Widening(block_size=3), max_layers=1, random_state=0).fit(X, y)
    assert reg.architecture_[1] > 3
    assert len(reg.architecture_) == 3
    assert any(row["action"] == "widen" for row in reg.history_)
    both = SensLIRegressor(**settings, widen=Widening("both", block_size=3), random_state=0).fit(X, y)
    assert len(both.architecture_) > 3
    assert max(both.architecture_[1:-1]) > 3
    capped = SensLIRegressor(**settings, widen=Widening(max_neurons=4), max_layers=1, random_state=0).fit(X, y)
    assert capped.architecture_[1] <= 4


@pytest.mark.parametrize("activation", ["tanh", "logistic", "leaky_relu"])
def test_layers_that_were_inserted_are_widened(activation):
    X, y = waves()
    reg = SensLIRegressor(
        alpha=1e-4,
        hidden_layer_sizes=(3,),
        activation=activation,
        schedule=Every(5),
        tau=0.0,
        max_layers=3,
        widen=Widening("both"),
        max_iter=40,
        random_state=0,
    ).fit(X, y)
    decisions = "; ".join(row["decision"] for row in reg.history_)
    assert len(reg.architecture_) == 5
    assert "widen hidden layer 1" in decisions or "widen hidden layer 2" in decisions
    restored = pickle.loads(pickle.dumps(reg))
    np.testing.assert_allclose(restored.predict(X), reg.predict(X))
    assert reg.best_loss_ == pytest.approx(min(row["train_loss"] for row in reg.history_))


def test_new_layers_may_learn_at_another_rate():
    X, y = waves()
    settings = {
        "hidden_layer_sizes": (6,),
        "schedule": AtEpochs((5,)),
        "tau": 0,
        "alpha": 1e-4,
        "max_iter": 10,
        "random_state": 0,
    }
    usual = SensLIRegressor(**settings).fit(X, y)
    slow = SensLIRegressor(**settings, new_layer_rate=1e-8).fit(X, y)
    np.testing.assert_allclose(slow.coefs_[1], np.eye(6), atol=1e-6)  # the inserted layer has not moved
    assert abs(usual.coefs_[1] - np.eye(6)).max() > 1e-3
    np.testing.assert_allclose(usual.history_[0]["train_loss"], slow.history_[0]["train_loss"])


def test_settings_of_the_mini_batch_solvers_are_used():
    X, y = waves()
    found = [
        SensLIRegressor(hidden_layer_sizes=(5,), solver="sgd", max_iter=8, random_state=0, **more).fit(X, y).loss_
        for more in ({}, {"momentum": 0.0}, {"learning_rate_init": 0.01}, {"batch_size": 10})
    ]
    assert len(set(found)) == 4
    rough = {"solver": "sgd", "learning_rate_init": 0.5, "max_iter": 40, "schedule": Every(100), "random_state": 0}
    constant, adaptive = (
        SensLIRegressor(hidden_layer_sizes=(5,), learning_rate=kind, **rough).fit(X, y).loss_
        for kind in ("constant", "adaptive")
    )
    assert adaptive != constant


def test_merit_samples_and_norms_are_used():
    X, y = digits(300)
    settings = {**CNN, "max_iter": 3, "schedule": Every(2)}
    found = {
        norm: SensLIClassifier(**settings, selection=Selection(norm=norm)).fit(X, y).history_[0]["merits"]
        for norm in ("auto", "frobenius", "frobenius_scaled", "operator", "operator_1", "operator_2")
    }
    assert found["auto"] == found["operator"]
    assert len({tuple(merits) for merits in found.values()}) == 5
    part = SensLIClassifier(**settings, selection=Selection(merit_samples=200)).fit(X, y).history_[0]["merits"]
    assert part != found["operator"]
    np.testing.assert_allclose(part, found["operator"], rtol=0.5)  # of 200 of 300 rows 7 and 11 % larger


def test_interruption_keeps_the_network_so_far(interrupted):
    X, y = waves()
    solver = interrupted(Adam, at=26, learning_rate="constant")
    with pytest.warns(UserWarning, match="interrupted"):
        reg = SensLIRegressor(**FAST, solver=solver).fit(X, y)
    assert reg.n_iter_ == 25
    assert np.isfinite(reg.predict(X)).all()
    assert len(reg.merits_) == len(reg.architecture_) - 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"architecture": "cnn"}, "needs the shape of the images"),
        ({"architecture": CNNArchitecture((4, 8))}, "must multiply to the number of features, 64; got .* 32"),
        ({"architecture": CNNArchitecture((8,))}, "image_shape must be"),
        ({"architecture": CNNArchitecture((8, 8), (2, 2, 2, 2))}, "at least 16 x 16 pixels"),
        ({"architecture": CNNArchitecture((8, 8), ())}, "channels must give numbers"),
        ({"architecture": CNNArchitecture((8, 8)), "activation": "logistic"}, "needs activation in"),
        ({"widen": True, "selection": "min"}, "widen=True needs selection='max'"),
        ({"new_layer_rate": 0.1, "solver": "lbfgs"}, "new_layer_rate is for solver='adam' or 'sgd'"),
        ({"tau": -1.0}, "'tau' parameter .* must be a float in the range"),
        ({"hidden_layer_sizes": ()}, "at least one hidden layer"),
        ({"hidden_layer_sizes": (3, 0)}, "widths >= 1"),
        ({"architecture": ResNetArchitecture(map_bias=False)}, "map_bias=False needs standardize=False"),
        ({"selection": Selection(norm="nuclear")}, r"norm must be one of .*; got 'nuclear'"),
        ({"selection": Selection(merit_samples=0)}, "merit_samples must be None or >= 1; got 0"),
        ({"selection": Selection(n_insert=0)}, "n_insert must be >= 1; got 0"),
        ({"widen": Widening("never")}, "action must be one of .*; got 'never'"),
        ({"widen": Widening(block_size=0)}, "block_size must be >= 1; got 0"),
        ({"widen": Widening(max_neurons=0)}, "max_neurons must be >= 1; got 0"),
        ({"early_stopping": True, "validation_fraction": 2.0}, "'validation_fraction' parameter"),
    ],
)
def test_bad_parameters_are_refused(settings, message):
    X, y = digits(60)
    clf = SensLIClassifier(**settings)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, y)
    assert not hasattr(clf, "coefs_")


def test_thesis_counts_through_the_estimator():
    X, y = make_spirals(100, random_state=0)
    reg = SensLIRegressor(
        alpha=1e-4,
        architecture=ResNetArchitecture(map_bias=False),
        hidden_layer_sizes=(3, 3),
        standardize=False,
        activation="tanh",
        schedule=AtEpochs((3,)),
        tau=0,
        max_iter=5,
    ).fit(X, np.stack([y, 1 - y], 1))
    assert [row["n_parameters"] for row in reg.history_] == [33, 54]
    mlp = SensLIRegressor(alpha=1e-4, hidden_layer_sizes=(5,), schedule=AtEpochs((3,)), tau=0, max_iter=5)
    mlp.fit(X, np.stack([y, 1 - y], 1))
    assert [row["n_parameters"] for row in mlp.history_] == [27, 57]


class Fifth(Schedule):
    """A schedule of a user's own."""

    def due(self, values, epoch):
        return len(values) > 5

    def finished(self, loss, n_insertions):
        return n_insertions >= 2


@pytest.mark.parametrize("kind", [SensLIRegressor, MGOptRegressor])
def test_poisson_networks_without_output_biases(kind):
    """Their targets stay in units of counts: there is nothing to take up the logarithm of a mean."""
    X, y = waves()
    counts = np.random.default_rng(0).poisson(np.exp(1 + y))
    reg = kind(
        architecture=ResNetArchitecture(map_bias=False),
        hidden_layer_sizes=(6, 6, 6),
        loss="poisson",
        standardize=False,
        learning_rate_init=0.01,
        max_iter=60,
        random_state=0,
    ).fit(X, counts)
    ones = mean_poisson_deviance(counts, np.ones(len(counts)))  # of the network of zero weights
    assert mean_poisson_deviance(counts, reg.predict(X)) < 0.8 * ones
    reg.partial_fit(X, counts)
    assert [len(b) for b in reg.intercepts_][-1] == 0


def test_schedules_of_ones_own():
    X, y = waves()
    reg = SensLIRegressor(
        alpha=1e-4, hidden_layer_sizes=(5,), schedule=Fifth(), tau=0, max_iter=30, random_state=0
    ).fit(X, y)
    assert [row["epoch"] for row in reg.history_] == [5, 10, 15]
    assert len(reg.architecture_) == 5
    assert reg.history_[-1]["reason"] == "the schedule has ended"
