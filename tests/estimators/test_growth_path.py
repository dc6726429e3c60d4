"""What a growth path promises: the loss never rises, budgets hold, and the data says when to stop."""

import functools
import itertools
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.exceptions import ConvergenceWarning

from skgrow import GrowingRegressor
from skgrow.growth import PolarSearch
from skgrow.networks import from_torch
from skgrow.solvers import LevenbergMarquardt
from skgrow.training import AtEpochs, Every, Plateau, TargetLoss


def waves(n=120, d=2, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n, d))
    return X, np.sin(2 * X[:, 0]) + 0.5 * np.abs(X[:, -1]) + noise * rng.normal(size=n)


@functools.cache
def fitted(n=120, size=1.0, **parameters):
    """A fit to waves that several tests look at; none changes it."""
    X, y = waves(n)
    return GrowingRegressor(random_state=0, **parameters).fit(X, size * y)


#: One exchange. It is one object, so that equal fits are known as such.
ONE = PolarSearch(n_exchanges=1)


def two_outputs():
    X, y = waves(80, 3, seed=2)
    return X, np.column_stack([y, 100 * X[:, 1] ** 2])


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X[:150], y[:150]


def friedman():
    return make_friedman1(n_samples=100, noise=1.0, random_state=0)


DATA = {
    "line": lambda: waves(60, 1),
    "plane": waves,
    "two outputs": two_outputs,
    "diabetes": diabetes,
    "friedman": friedman,
}


def assert_losses_fall(history):
    """The training loss of an accepted row is at most that of the row it was made from."""
    assert history[0]["parent"] is None
    for row in history:
        if row["parent"] is not None and row["accepted"]:
            assert history[row["parent"]]["accepted"]
            assert row["train_loss"] <= history[row["parent"]]["train_loss"]


ALPHAS = ["auto", 0.0, 1e-3, 1.0]
ACTIVATIONS = ["relu", "leaky_relu", "tanh", "logistic"]


@pytest.mark.parametrize(
    ("data", "alpha", "activation"),
    [  # every pair meets once
        (data, ALPHAS[j], ACTIVATIONS[(i + j) % 4]) for (i, data), j in itertools.product(enumerate(DATA), range(4))
    ],
)
def test_training_loss_never_rises_along_the_growth_path(data, alpha, activation):
    X, y = DATA[data]()
    est = GrowingRegressor(
        activation=activation,
        alpha=alpha,
        max_neurons=6,
        search=PolarSearch(16, 8, n_exchanges=2),
        max_stage_iter=25,
        random_state=0,
    ).fit(X, y)
    assert len(est.history_) > 1
    assert_losses_fall(est.history_)


@pytest.mark.parametrize(
    ("solver", "alpha", "activation"),
    [  # every pair meets
        (solver, alpha, ("relu", "tanh")[(i + j) % 2])
        for (i, solver), (j, alpha) in itertools.product(
            enumerate(["lm", "lbfgs", "adam", "sgd"]), enumerate(["auto", 0.0, 1e-2])
        )
    ],
)
def test_training_loss_never_rises_whatever_the_solver(solver, activation, alpha):
    X, y = waves(80)
    est = GrowingRegressor(
        activation=activation,
        alpha=alpha,
        solver=solver,
        max_neurons=6,
        search=PolarSearch(16, 8, n_exchanges=2),
        max_stage_iter=20,
        learning_rate_init=0.02,
        random_state=0,
    ).fit(X, y)
    assert len(est.history_) > 1
    assert_losses_fall(est.history_)


def test_training_loss_never_rises_with_validation_data():
    X, y = waves(150)
    est = GrowingRegressor(
        activation="relu", early_stopping=True, max_neurons=12, search=PolarSearch(n_exchanges=2), random_state=0
    ).fit(X, y)
    assert_losses_fall(est.history_)


def test_history_describes_the_path():
    est = fitted()
    *stages, last = est.history_
    relu = [row for row in stages if row["activation"] == "relu"]
    assert {row["activation"] for row in stages} == {"relu", "tanh", "identity"}
    assert last["action"] == "average"
    assert last["parent"] is None
    assert relu[0]["action"] == "start"
    assert relu[0]["architecture"] == (2, 0, 1)
    for row in est.history_:
        d, h, c = row["architecture"]
        assert row["n_parameters"] == (d + 1) * h + (h + 1) * c
    assert {row["action"] for row in stages} == {"start", "grow", "exchange", "linear"}
    assert [row["activation"] for row in stages if row["action"] == "linear"] == ["identity"]
    assert all(a["epoch"] <= b["epoch"] and a["time"] <= b["time"] for a, b in itertools.pairwise(relu))
    for row in relu[1:]:
        if row["action"] == "grow":
            assert row["architecture"][1] > relu[row["parent"]]["architecture"][1]
        else:
            assert row["architecture"][1] == relu[row["parent"]]["architecture"][1]


def test_parents_are_rows_of_the_history():
    X, y = waves()
    est = GrowingRegressor(max_neurons=6, random_state=0).fit(X, y)
    for row in est.history_:
        if row["parent"] is not None:
            parent = est.history_[row["parent"]]
            assert parent["activation"] == row["activation"]
            assert parent["accepted"]
            assert parent["epoch"] <= row["epoch"]


@pytest.mark.parametrize("criterion", ["loo", "gcv", "evidence"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_stage_of_the_largest_criterion_is_returned(criterion, activation):
    X, y = waves()
    few = {"max_neurons": 12, "search": PolarSearch(16, 8, n_exchanges=1), "random_state": 0}
    est = GrowingRegressor(criterion=criterion, activation=activation, **few).fit(X, y)
    smooth = activation == "tanh"
    for row in est.history_:
        estimate = "loo" if criterion == "loo" and smooth else "gcv"
        assert row["criterion"] == (row["log_evidence"] if criterion == "evidence" else -row[estimate])
        assert np.isnan(row["loo"]) == (estimate == "gcv" or criterion == "evidence")
    accepted = [row for row in est.history_ if row["accepted"]]
    largest = max(row["criterion"] for row in accepted)
    # later stages have to be better by more than a trifle
    best = next(row for row in accepted if row["criterion"] >= largest - 1e-3 * abs(largest))
    assert est.activation_ == best["activation"] == activation
    assert est.architecture_ == best["architecture"]
    assert est.loss_ == best["train_loss"]
    assert est.alpha_ == best["alpha"]
    assert est.best_loss_ == min(row["train_loss"] for row in est.history_)


def test_loss_is_half_the_mean_squared_error_in_standardized_units():
    X, Y = two_outputs()
    est = GrowingRegressor(max_neurons=6, search=PolarSearch(n_exchanges=0), random_state=0).fit(X, Y)
    residual = (Y - est.predict(X)) / Y.std(axis=0)
    assert est.loss_ == pytest.approx(0.5 * (residual**2).sum(axis=1).mean(), rel=1e-9)


def test_indicator_lies_between_0_and_2_and_predicts_the_next_decrease():
    """C_opt is twice the cosine between the residual and the best new block (Feischl et al., Theorem 25)."""
    X, y = waves(d=1)
    est = GrowingRegressor(activation="relu", search=PolarSearch(n_exchanges=0), random_state=0).fit(X, y)
    known = [row for row in est.history_ if "indicator" in row]
    assert known
    for row in known:
        assert 0 <= row["indicator"] <= 2
        assert 0 <= row["predicted_decrease"] <= row["train_loss"]
    start = known[0]  # no neurons yet, and the indicator is over all neurons: those that may be added remove no more
    assert 0.9 * (start["indicator"] / 2) ** 2 <= start["predicted_decrease"] / start["train_loss"]
    assert start["predicted_decrease"] / start["train_loss"] <= (start["indicator"] / 2) ** 2 * (1 + 1e-9)
    assert 0 <= est.growth_indicator_ <= 2


def test_growing_gains_at_least_what_the_indicator_predicts():
    """Without penalty, a block with a refit already has the predicted decrease; training does not undo it."""
    X, y = waves(noise=0.0)
    est = GrowingRegressor(
        activation="tanh", alpha=0.0, search=PolarSearch(n_exchanges=0), max_neurons=9, random_state=0
    ).fit(X, y)
    grown = [row for row in est.history_ if row["action"] == "grow" and row["accepted"]]
    assert grown
    for row in grown:
        before = est.history_[row["parent"]]
        assert row["train_loss"] <= before["train_loss"] - before["predicted_decrease"] * (1 - 1e-6)


def test_loss_curve_counts_iterations():
    est = fitted(activation="relu")
    assert est.n_iter_ == len(est.loss_curve_) >= est.history_[-1]["epoch"]
    assert np.isfinite(est.loss_curve_).all()


# budgets -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_neurons", [0, 1, 4, 7])
def test_width_stays_within_its_budget(max_neurons):
    X, y = waves(d=3, noise=0.01)
    est = GrowingRegressor(max_neurons=max_neurons, search=PolarSearch(n_exchanges=1), random_state=0).fit(X, y)
    assert all(row["architecture"][1] <= max_neurons for row in est.history_)
    assert est.architecture_ == (3, est.coefs_[0].shape[1], 1)


def test_without_neurons_the_network_is_the_mean():
    X, y = waves()
    est = GrowingRegressor(max_neurons=0).fit(X, y)
    np.testing.assert_allclose(est.predict(X), y.mean(), rtol=1e-12)


@pytest.mark.parametrize("max_growths", [0, 1, 2])
def test_number_of_growths_stays_within_its_budget(max_growths):
    X, y = waves(noise=0.01)
    est = GrowingRegressor(
        activation="relu", schedule=Plateau(max_growths=max_growths), search=PolarSearch(n_exchanges=0), random_state=0
    ).fit(X, y)
    assert sum(row["action"] == "grow" for row in est.history_) == max_growths


@pytest.mark.parametrize(("block_size", "max_extensions"), [(1, 1), (2, 1), (3, 2)])
def test_growths_add_so_many_blocks(block_size, max_extensions):
    X, y = waves(noise=0.01)
    est = GrowingRegressor(
        activation="tanh",
        block_size=block_size,
        max_neurons=8,
        search=PolarSearch(max_extensions=max_extensions, n_exchanges=0),
        random_state=0,
    ).fit(X, y)
    grown = [row for row in est.history_ if row["action"] == "grow"]
    assert len(grown) > 1
    for row in grown:
        added = row["architecture"][1] - est.history_[row["parent"]]["architecture"][1]
        assert 1 <= added <= block_size * max_extensions


def test_number_of_exchanges_stays_within_its_budget():
    X, y = waves()
    for n_exchanges in (0, 2):
        est = GrowingRegressor(
            activation="relu", max_neurons=6, search=PolarSearch(n_exchanges=n_exchanges), random_state=0
        ).fit(X, y)
        found = sum(row["action"] == "exchange" for row in est.history_)
        assert min(1, n_exchanges) <= found <= n_exchanges


# when growing ends ---------------------------------------------------------------------------------------------


def test_a_few_far_samples_are_not_bent_to():
    """Of log-normal inputs a few samples have all the influence, which the mean of GCV hides."""
    rng = np.random.default_rng(3)
    X = np.exp(1.2 * rng.normal(size=(600, 5)))
    y = X[:, 0] + 0.5 * X[:, 1] + 0.2 * X[:, 2] ** 0.7 * X[:, 0] ** 0.5 + 0.3 * X[:, 3] * rng.normal(size=600)
    scores = [
        GrowingRegressor(criterion=criterion, max_neurons=12, search=PolarSearch(n_exchanges=0), random_state=0)
        .fit(X[:300], y[:300])
        .score(X[300:], y[300:])
        for criterion in ("loo", "gcv")
    ]
    assert scores[0] > scores[1] + 0.02  # by 0.03 and more


@pytest.mark.parametrize("criterion", ["loo", "gcv", "evidence"])
def test_noise_is_not_fitted(criterion):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), rng.normal(size=200)
    est = GrowingRegressor(criterion=criterion, random_state=0).fit(X, y)
    # so many parameters, fitted to noise, explain their share of the samples: 0.07
    assert est.effective_parameters_ < 15
    assert est.score(X, y) < 0.15


def test_more_structure_needs_more_effective_parameters():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(150, 1))
    effective = [
        GrowingRegressor(activation="tanh", search=PolarSearch(n_exchanges=0), random_state=0)
        .fit(X, np.sin(k * X[:, 0]) + 0.02 * rng.normal(size=150))
        .effective_parameters_
        for k in (1, 10)
    ]
    assert effective[0] < effective[1]


def test_noise_variance_is_found():
    """The estimate of the variance is within three standard errors, sqrt(2 / n), of the true one."""
    X, y = waves(600, noise=0.3)
    est = GrowingRegressor(search=PolarSearch(n_exchanges=0), random_state=0).fit(X, y)
    assert est.noise_variance_ == pytest.approx(0.09, rel=3 * (2 / 600) ** 0.5)


def test_noise_variance_is_in_squared_units_of_each_output():
    X, Y = two_outputs()
    few = {"max_neurons": 6, "search": PolarSearch(n_exchanges=0), "random_state": 0}
    est = GrowingRegressor(**few).fit(X, Y)
    scaled = GrowingRegressor(**few).fit(X, Y * np.array([1.0, 16.0]))
    np.testing.assert_allclose(scaled.noise_variance_ / est.noise_variance_, [1, 256], rtol=1e-9)
    single = GrowingRegressor(**few).fit(X, Y[:, 0])
    assert isinstance(single.noise_variance_, float)


def test_log_evidence_is_a_density_of_the_targets():
    """In units s times larger the density of n targets is s^-n times as large."""
    logs = [fitted(size=size, activation="relu").log_evidence_ for size in (1.0, 8.0)]
    assert logs[1] - logs[0] == pytest.approx(-120 * np.log(8), rel=1e-9)


@pytest.mark.parametrize("schedule", ["plateau", "every", Plateau(patience=1), Every(epochs=5), TargetLoss(target=0.2)])
def test_schedules(schedule):
    X, y = waves(60)
    est = GrowingRegressor(activation="tanh", schedule=schedule, max_neurons=6, random_state=0).fit(X, y)
    assert est.score(X, y) > 0.5  # 0.81 and more


def test_growth_ends_at_the_target_loss():
    X, y = waves(noise=0.0)
    free = GrowingRegressor(activation="relu", search=PolarSearch(n_exchanges=0), max_neurons=30, random_state=0).fit(
        X, y
    )
    est = GrowingRegressor(
        activation="relu",
        search=PolarSearch(n_exchanges=0),
        max_neurons=30,
        schedule=TargetLoss(target=0.02),
        random_state=0,
    ).fit(X, y)
    accepted = [row["train_loss"] for row in est.history_ if row["accepted"]]
    assert accepted[-1] <= 0.02 < accepted[-2]
    assert est.architecture_[1] < free.architecture_[1]


def test_growth_happens_at_given_epochs():
    X, y = waves(60)
    est = GrowingRegressor(
        activation="tanh",
        solver="adam",
        alpha=1e-3,
        schedule=AtEpochs(epochs=(5, 12)),
        search=PolarSearch(n_exchanges=0),
        max_stage_iter=40,
        learning_rate_init=0.01,
        random_state=0,
    ).fit(X, y)
    assert [row["epoch"] for row in est.history_[:2]] == [5, 12]


def test_search_component_is_used(interrupted):
    X, y = waves()
    search = interrupted(PolarSearch, at=None)
    est = GrowingRegressor(activation="tanh", search=search, random_state=0).fit(X, y)
    assert search.begun > 1
    plain = fitted(activation="tanh")
    np.testing.assert_array_equal(est.predict(X), plain.predict(X))
    coarse = GrowingRegressor(activation="tanh", search=PolarSearch(4, 4), random_state=0).fit(X, y)
    assert not np.array_equal(coarse.predict(X), plain.predict(X))
    assert coarse.score(X, y) > plain.score(X, y) - 0.1


# data the fit must come through --------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("solver", ["auto", "lbfgs", "adam"])
def test_few_samples(n, activation, solver):
    rng = np.random.default_rng(n)
    X, y = rng.normal(size=(n, 3)), rng.normal(size=n)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est = GrowingRegressor(activation=activation, solver=solver, max_stage_iter=20, random_state=0).fit(X, y)
        mean, std = est.predict(X, return_std=True)
    assert np.isfinite(mean).all()
    assert (std >= 0).all()
    rounding = 1e-6 if solver == "adam" else 1e-12  # mini-batch solvers work in single precision
    assert ((mean - y) ** 2).sum() <= ((y - y.mean()) ** 2).sum() + rounding
    if n == 1:
        np.testing.assert_allclose(mean, y, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 3.25, -1e12, 1e-12])
@pytest.mark.parametrize("columns", [1, 2])
def test_a_constant_target_is_fitted_without_warnings(value, columns):
    X, _ = waves(30)
    y = np.full((30, columns), value)
    y = y[:, 0] if columns == 1 else y
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est = GrowingRegressor(random_state=0).fit(X, y)
        mean, std = est.predict(X, return_std=True)
    np.testing.assert_allclose(mean, y, rtol=1e-12)
    assert np.isfinite(std).all()
    assert est.growth_indicator_ == 0


def test_constant_columns_change_nothing():
    X, y = waves(60)
    padded = np.column_stack([np.full(60, 7.0), X, np.zeros(60), np.full(60, 1e9)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est = GrowingRegressor(random_state=0, activation="relu").fit(padded, y)
    plain = GrowingRegressor(random_state=0, activation="relu").fit(X, y)
    assert est.score(padded, y) == pytest.approx(plain.score(X, y), abs=0.03)
    moved = padded + np.array([1.0, 0.0, 0.0, 1.0, 0.0])  # nothing was learnt along them
    np.testing.assert_allclose(est.predict(moved), est.predict(padded), atol=0.05)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_only_constant_columns_give_the_mean(activation):
    _, y = waves(40)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est = GrowingRegressor(activation=activation, random_state=0).fit(np.full((40, 2), 3.0), y)
    np.testing.assert_allclose(est.predict(np.full((2, 2), 3.0)), y.mean(), atol=1e-6)


def test_duplicated_rows_with_different_targets_give_their_mean():
    X = np.repeat(np.arange(4.0), 25)[:, None]
    rng = np.random.default_rng(0)
    y = np.array([0.0, 2.0, -1.0, 3.0])[X[:, 0].astype(int)] + 0.1 * rng.normal(size=100)
    est = GrowingRegressor(random_state=0).fit(X, y)
    means = [y[X[:, 0] == k].mean() for k in range(4)]
    np.testing.assert_allclose(est.predict(np.arange(4.0)[:, None]), means, atol=0.06)  # 3 standard errors


@pytest.mark.parametrize(
    ("solver", "size", "tolerance", "activation"),
    [
        ("lm", 1e-12, 1e-6, "relu"),
        ("lm", 1e12, 1e-6, "tanh"),
        # powers of two leave every rounding as it is, also in solvers that would magnify rounding errors
        ("lm", 2.0**-40, 1e-12, "tanh"),
        ("lbfgs", 2.0**-40, 1e-12, "relu"),
        ("lbfgs", 2.0**40, 1e-12, "tanh"),
        ("adam", 2.0**-40, 1e-12, "tanh"),
        ("adam", 2.0**40, 1e-12, "relu"),
    ],
)
def test_results_scale_with_the_target(solver, size, tolerance, activation):
    X, _ = waves(60)
    parameters = {"activation": activation, "solver": solver, "max_stage_iter": 30, "max_neurons": 6, "search": ONE}
    plain, scaled = fitted(60, **parameters), fitted(60, size, **parameters)
    np.testing.assert_allclose(scaled.predict(X) / size, plain.predict(X), rtol=tolerance, atol=tolerance)
    assert scaled.noise_variance_ / size**2 == pytest.approx(plain.noise_variance_, rel=tolerance)


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_the_fit_is_as_good_in_any_units(size):
    X, y = waves(60)
    for solver in ("lbfgs", "adam"):
        est = GrowingRegressor(
            activation="tanh",
            solver=solver,
            max_neurons=9,
            search=PolarSearch(n_exchanges=0),
            max_stage_iter=100,
            learning_rate_init=0.02,
            random_state=0,
        )
        assert est.fit(X, size * y).score(X, size * y) > 0.8


@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_results_do_not_depend_on_the_units_of_the_inputs(size):
    X, y = waves(60)
    plain = fitted(60, activation="relu", max_neurons=6, search=ONE)
    scaled = clone(plain).fit(X * [size, 1 / size], y)
    np.testing.assert_allclose(scaled.predict(X * [size, 1 / size]), plain.predict(X), rtol=1e-6, atol=1e-6)


def test_far_offsets_of_the_inputs_do_no_harm():
    X, y = waves(100)
    near = GrowingRegressor(activation="relu", random_state=0).fit(X, y).score(X, y)
    far = GrowingRegressor(activation="relu", random_state=0).fit(X + 1e6, y).score(X + 1e6, y)
    assert far == pytest.approx(near, abs=1e-2)


def test_without_standardization_training_is_in_raw_units():
    X, y = waves()
    est = GrowingRegressor(standardize=False, random_state=0).fit(X, y)
    assert est.loss_ == pytest.approx(0.5 * np.mean((y - est.predict(X)) ** 2), rel=1e-9)
    assert est.score(X, y) > 0.9


# trouble while training ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("activation", ["relu", "auto"])
def test_divergence_warns_once_and_keeps_the_best_weights(solver, activation):
    X, y = waves(60)
    est = GrowingRegressor(solver=solver, activation=activation, learning_rate_init=1e25, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        est.fit(X, y)
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert "no longer finite" in str(caught[0].message)
    assert all(np.isfinite(a).all() for a in [*est.coefs_, *est.intercepts_])
    assert est.score(X, y) >= -1e-6  # the start is the mean


@pytest.mark.parametrize("activation", ["tanh", "auto"])
@pytest.mark.parametrize(
    ("kind", "at"),
    [("solver", 1), ("solver", 2), ("solver", 30), ("search", 1), ("search", 2), ("search", 5)],
)
def test_keyboard_interrupt_keeps_the_model_so_far(kind, at, activation, interrupted):
    """While weights are optimised, and while new neurons are looked for."""
    X, y = waves()
    component = interrupted(LevenbergMarquardt if kind == "solver" else PolarSearch, at=at)
    est = GrowingRegressor(activation=activation, random_state=0, **{kind: component})
    with pytest.warns(UserWarning, match="interrupted by user"):
        est.fit(X, y)
    if kind == "solver":
        assert component.begun == at
    assert np.isfinite(est.predict(X)).all()
    assert est.score(X, y) >= -1e-12
    if at > 10:
        assert est.score(X, y) > 0.1


@pytest.mark.parametrize("activation", ["relu", "auto"])
def test_beyond_the_data_the_deviation_grows_and_does_not_jump(activation):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 10, 200)
    est = GrowingRegressor(activation=activation, search=PolarSearch(n_exchanges=1), random_state=0)
    est.fit(x[:, None], np.sin(x) + 0.15 * rng.normal(size=200))
    _, std = est.predict(np.linspace(-2, 12, 281)[:, None], return_std=True)
    assert std[40:240].max() < 0.25  # the noise, 0.15, and what is not known: 0.21 at most
    assert std.max() < 3  # at the ends, two beyond the data, 1.5
    assert (np.abs(np.diff(std)) < 0.15).all()


def test_the_torch_module_of_a_fit_is_the_same_function():
    torch = pytest.importorskip("torch")
    X, y = two_outputs()
    est = GrowingRegressor(max_neurons=9, search=PolarSearch(n_exchanges=0), random_state=0).fit(X, y)
    module = est.to_torch()
    expected = est.predict(X)
    with torch.no_grad():
        np.testing.assert_allclose(
            module(torch.as_tensor(X)), expected, rtol=1e-12, atol=1e-12 * np.abs(expected).max()
        )
    assert from_torch(module).layer_sizes == est.architecture_
