"""MGOptRegressor and MGOptClassifier: what users of scikit-learn expect, known optima, work, coarse networks."""

import pickle
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import max_pool2d

from skgrow import MGOptClassifier, MGOptRegressor
from skgrow.multilevel import BatchHierarchy, Cycle, DepthHierarchy, SubspaceHierarchy, WidthHierarchy
from skgrow.networks import CNNArchitecture
from skgrow.problem import SquaredError
from skgrow.solvers import LBFGS, Adam
from skgrow.training import Every

SMALL = {"hidden_layer_sizes": (6,) * 5, "alpha": 1e-4, "max_iter": 20, "random_state": 0}
CNN = {"architecture": CNNArchitecture((8, 8), (3, 4)), "alpha": 1e-4, "max_iter": 20, "random_state": 0}
#: Training goes on to the last epoch.
ON = {"tol": 0.0, "n_iter_no_change": 10**6}

#: Parameters by hierarchies; whether the level has a network of its own.
SETTINGS = {
    "constant": {"hierarchy": DepthHierarchy("constant")},
    "linear": {"hierarchy": DepthHierarchy("linear", "adjoint", 0.5)},
    "narrow blocks": {"hierarchy": "width", "hidden_layer_sizes": (5, 4, 8)},
    "width": {"architecture": "mlp", "hidden_layer_sizes": (8, 4)},
    "batch": {"hierarchy": BatchHierarchy(2)},
    "subspace": {"hierarchy": SubspaceHierarchy(3), "hidden_layer_sizes": (4,) * 3},
}


def waves(n=60, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, (n, 3))
    return X, np.sin(2 * X[:, 0]) * X[:, 1]


def digits(n=150):
    X, y = load_digits(return_X_y=True)
    return X[:n], y[:n]


def corrections(estimator):
    return [found for row in estimator.history_ for found in row["corrections"]]


# what is learnt ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(
    ("cycle", "correction", "solver"), [("full", True, "adam"), ("W", "exact", "sgd"), ("two-level", False, "lbfgs")]
)
def test_every_hierarchy_cycle_and_solver(name, cycle, correction, solver):
    X, y = waves()
    cycle = Cycle(cycle, correction=correction, check_every=3, coarse_iter=2)
    settings = SMALL | SETTINGS[name] | {"cycle": cycle, "solver": solver, "max_iter": 12}
    reg = MGOptRegressor(**settings, learning_rate_init=0.02, batch_size=20, **ON)
    reg.fit(X, y)
    assert reg.n_levels_ == 2
    assert reg.loss_ < reg.loss_curve_[0]
    assert reg.loss_ < 0.5  # of a constant
    assert len(corrections(reg)) >= 3
    again = pickle.loads(pickle.dumps(reg))
    np.testing.assert_array_equal(again.predict(X), reg.predict(X))
    np.testing.assert_array_equal(clone(reg).fit(X, y).predict(X), reg.predict(X))


def test_convolutions_on_two_and_three_resolutions():
    X, y = digits(300)
    for channels, n_levels in (((4, 8), 2), ((4, 4, 8), 3)):
        settings = CNN | {"architecture": CNNArchitecture((8, 8), channels)}
        clf = MGOptClassifier(**settings, n_levels=n_levels, learning_rate_init=0.02).fit(X, y)
        assert clf.n_levels_ == n_levels
        assert clf.score(X, y) > 0.85  # 0.93 and more
        assert [row["level"] for row in clf.history_][:n_levels] == list(range(n_levels))[::-1]


def test_preconditioned_levels():
    X, y = waves()
    losses = {}
    for name, settings in {
        "plain": {"preconditioner": None},
        "kfac": {},
        "V": {"cycle": Cycle("V", correction=True, check_every=5)},
        "subspace": {"hierarchy": SubspaceHierarchy(3)},
        "lbfgs below": {"cycle": Cycle(coarse_solver="lbfgs")},
    }.items():
        reg = MGOptRegressor(**SMALL | {"preconditioner": "kfac", "max_iter": 12} | settings, batch_size=60).fit(X, y)
        losses[name] = reg.loss_
    plain = losses.pop("plain")
    assert max(losses.values()) < 0.75 * plain  # 0.37 to 0.58 of it


class Watched(Adam):
    """Adam that remembers its runs: the size of the network, of the batches, and of the first steps."""

    runs: ClassVar[list] = []

    def start(self, network, *args):
        state = super().start(network, *args)
        self.runs.append((network.n_parameters, state.batch_size, state.rate))
        return state


class CountedRows(SquaredError):  # noqa: N818
    """The squared error, which remembers how many rows it was asked about at once."""

    rows: ClassVar[set] = set()

    def value_and_negative_gradient(self, F, Y):
        self.rows.add(len(F))
        return super().value_and_negative_gradient(F, Y)


@pytest.fixture
def watched():
    Watched.runs.clear()
    return Watched(learning_rate_init=0.01, learning_rate="constant", batch_size=30)


def visited(column):
    """Values of a column of the runs by the size of their network and batch, in the order of the first visits."""
    return dict.fromkeys((run[0], run[column]) for run in Watched.runs)


@pytest.mark.parametrize(("cycle", "order"), [("full", [3, 10, 30]), ("V", [30, 10, 3])])
def test_batch_sizes_of_levels(watched, cycle, order):
    X, y = waves()
    CountedRows.rows.clear()
    settings = {"hierarchy": BatchHierarchy(3), "n_levels": 3, "solver": watched, "loss": CountedRows()}
    reg = MGOptRegressor(**SMALL, **settings, cycle=Cycle(cycle, kappa=0.01)).fit(X, y)
    assert list(visited(1)) == [(reg.n_parameters_, size) for size in order]
    assert CountedRows.rows == {3, 10, 30, 60}  # gradients of all rows for the corrections


def test_networks_of_other_depth_have_the_same_batches(watched):
    X, y = waves()
    reg = MGOptRegressor(**SMALL, solver=watched).fit(X, y)
    assert list(visited(1)) == [(reg.coarsen().n_parameters_, 30), (reg.n_parameters_, 30)]


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("coarse", ["adam", "sgd", "lbfgs"])
def test_coarse_levels_may_have_another_solver(solver, coarse):
    X, y = waves()
    reg = MGOptRegressor(
        **SMALL,
        solver=solver,
        cycle=Cycle(coarse_solver=coarse, coarse_learning_rate_init=0.01),
        learning_rate_init=0.01,
    ).fit(X, y)
    assert reg.loss_ < reg.loss_curve_[0]


@pytest.mark.parametrize(
    ("hierarchy", "n_levels", "asked", "expected"),
    [
        ("depth", 3, None, [0.01, 0.01 * 1.5**0.5, 0.015]),
        ("depth", 1, None, [0.01]),
        ("depth", 3, 0.5, [0.01, 0.5, 0.5]),
        ("batch", 3, None, [0.01, 0.01, 0.01]),
    ],
)
def test_step_sizes_of_levels(watched, hierarchy, n_levels, asked, expected):
    """Coarse levels of depth take larger steps, unless the user says which."""
    cycle = Cycle(kappa=0.01, coarse_learning_rate_init=asked)
    MGOptRegressor(**SMALL, hierarchy=hierarchy, n_levels=n_levels, solver=watched, cycle=cycle).fit(*waves())
    levels = dict.fromkeys(Watched.runs)  # from the coarsest up
    assert len(levels) == n_levels
    assert [rate for *_, rate in levels] == pytest.approx(expected[::-1])


# known optima -----------------------------------------------------------------------------------------------


def least_squares(X, Y, rank):
    """Return the sum of squares that the best affine map of given rank leaves."""
    A = np.c_[X, np.ones(len(X))]
    F = A @ np.linalg.lstsq(A, Y, rcond=None)[0]
    mean = F.mean(0)
    U, s, Vt = np.linalg.svd(F - mean, full_matrices=False)
    s[rank:] = 0
    return float(((Y - mean - (U * s) @ Vt) ** 2).sum())


@pytest.mark.parametrize(
    ("settings", "rank"),
    [
        ({"hidden_layer_sizes": (2, 3, 3, 3, 3), "hierarchy": DepthHierarchy("constant")}, 2),
        ({"hidden_layer_sizes": (2, 3, 3, 3, 3), "hierarchy": DepthHierarchy("linear", "injection")}, 2),
        ({"hidden_layer_sizes": (2, 4, 4), "hierarchy": "width"}, 2),
        ({"architecture": "mlp", "hidden_layer_sizes": (2,), "hierarchy": "width"}, 2),
        ({"architecture": "mlp", "hidden_layer_sizes": (4, 4), "hierarchy": "width"}, 3),
        ({"architecture": "mlp", "hidden_layer_sizes": (2,), "hierarchy": "batch"}, 2),
        ({"architecture": "mlp", "hidden_layer_sizes": (2,), "hierarchy": SubspaceHierarchy(3)}, 2),
    ],
)
@pytest.mark.parametrize(("cycle", "correction", "solver"), [("V", True, "lbfgs"), ("W", "exact", "adam")])
def test_linear_networks_reach_least_squares_of_their_rank(settings, rank, cycle, correction, solver):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    Y = X @ rng.normal(size=(4, 3)) + 0.5 * rng.normal(size=(60, 3)) + 1
    reg = MGOptRegressor(
        **settings,
        activation="identity",
        cycle=Cycle(cycle, correction=correction),
        solver=solver,
        learning_rate_init=0.03,
        learning_rate="adaptive",
        alpha=0.0,
        standardize=False,
        batch_size=60,
        max_iter=200 if solver == "adam" else 60,
        dtype="float64",
        random_state=0,
        **ON,
    ).fit(X, Y)
    got, best = float(((Y - reg.predict(X)) ** 2).sum()), least_squares(X, Y, rank)
    # to 1e-6 by L-BFGS, to 1e-3 in so many epochs by Adam
    assert best * (1 - 1e-9) < got < best * (1 + (5e-3 if solver == "adam" else 1e-5))


@pytest.mark.parametrize("cycle", ["full", "V"])
def test_linear_convolutions_interpolate_few_images(cycle):
    X, y = digits(20)
    reg = MGOptRegressor(
        **CNN | {"max_iter": 60, "alpha": 0.0},
        activation="identity",
        solver="lbfgs",
        cycle=Cycle(cycle, correction=cycle == "V"),
        **ON,
    ).fit(X, y)
    assert reg.loss_ < 1e-4


# the history ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_full_batch_objectives_never_rise_and_accepted_corrections_lower_them(name, solver):
    X, y = waves()
    cycle = Cycle("V", correction=solver != "adam", kappa=0.01, check_every=3, coarse_iter=2)
    settings = SMALL | SETTINGS[name] | {"cycle": cycle, "solver": solver}
    reg = MGOptRegressor(**settings, batch_size=60, **ON).fit(X, y)
    rows = [row for row in reg.history_ if row["accepted"]]
    for before, after in pairwise(rows):
        assert after["criterion"] >= before["criterion"] - 1e-7
        assert after["epoch"] > before["epoch"]  # never two corrections in a row
    assert any(found["accepted"] for found in corrections(reg)) or (solver, name) == ("adam", "width")
    for found in corrections(reg):
        assert (found["decrease"] > 0) == found["accepted"]
    assert set(corrections(reg)[0]) == {"level", "kappa_ratio", "predicted", "step", "decrease", "accepted"}


def test_rows_of_nested_iteration_come_first_coarsest_first():
    X, y = waves()
    reg = MGOptRegressor(**SMALL | {"hidden_layer_sizes": (6,) * 9}, n_levels=3, schedule=Every(5), **ON).fit(X, y)
    assert [row["level"] for row in reg.history_] == [2, 1, 0, 0]
    assert [len(row["architecture"]) - 3 for row in reg.history_] == [2, 4, 8, 8]
    assert [row["epoch"] for row in reg.history_] == [5, 10, 10, 20]
    assert [row["parent"] for row in reg.history_] == [None, None, None, 2]
    assert (np.diff([row["time"] for row in reg.history_]) >= 0).all()
    work = np.array([row["work"] for row in reg.history_])
    assert (np.diff(work, axis=0) >= 0).all()
    np.testing.assert_array_equal(work[:2, 0], 0)
    np.testing.assert_array_equal(work[0, :2], 0)
    assert reg.n_iter_ == len(reg.loss_curve_) == 20
    assert reg.best_loss_ == min(row["train_loss"] for row in reg.history_ if row["level"] == 0)
    reg = MGOptRegressor(**SMALL, schedule=Every(20), cycle=Cycle(check_every=1), **ON).fit(X, y)
    assert len(reg.history_) == 21
    assert (np.diff([row["time"] for row in reg.history_]) >= 0).all()


@pytest.mark.parametrize("batch_size", [7, 30, 60])
def test_single_level_costs_its_epochs_and_the_losses_of_its_stages(batch_size):
    X, y = waves()
    reg = MGOptRegressor(**SMALL | {"max_iter": 23}, n_levels=1, batch_size=batch_size, **ON).fit(X, y)
    assert len(reg.history_) == 3
    assert reg.history_[-1]["work"] == [pytest.approx(23 + (1 + 3) / 3)]
    assert not corrections(reg)


@pytest.mark.parametrize("correction", [False, True, "exact"])
def test_cost_grows_linearly_with_blocks(correction):
    # the unit is a gradient of the finest network, itself linear in blocks
    X, y = waves()
    settings = {"batch_size": 30, "schedule": Every(3), "max_iter": 6}
    for kind in ("V", "full"):
        cycle = Cycle(kind, correction=correction, kappa=0.01, check_every=3)
        fixed, growing = [], []
        for blocks in (2, 4, 8):
            shared = settings | {"hidden_layer_sizes": (4,) * (blocks + 1), "cycle": cycle} | ON
            deepest = int(np.log2(blocks))
            for found, n_levels in ((fixed, 2), (growing, deepest)):
                reg = MGOptRegressor(**shared, n_levels=n_levels, random_state=0).fit(X, y)
                found.append(sum(reg.history_[-1]["work"]))
        assert fixed[2] < 1.1 * fixed[0]
        if correction is not True:  # whose batches ask all finer levels for gradients
            assert growing[2] - growing[1] < 0.7 * (growing[1] - growing[0])


def test_w_cycles_visit_coarse_levels_more_often():
    X, y = waves()
    visits, work = {}, {}
    for cycle in ("V", "W"):
        reg = MGOptRegressor(
            **SMALL | {"hidden_layer_sizes": (6,) * 9},
            n_levels=3,
            cycle=Cycle(cycle, kappa=0.01, check_every=5),
            **ON,
        ).fit(X, y)
        visits[cycle] = [sum(found["level"] == level for found in corrections(reg)) for level in (0, 1)]
        work[cycle] = reg.history_[-1]["work"][2]
    assert visits["V"][0] == visits["V"][1] == visits["W"][0] == 3
    assert visits["W"][1] == 6
    assert work["W"] > 1.5 * work["V"]  # on the coarsest


def test_two_level_has_one_coarse_level():
    X, y = waves()
    deep = SMALL | {"hidden_layer_sizes": (4,) * 17, "max_iter": 2}
    assert MGOptRegressor(**deep).fit(X, y).n_levels_ == 3
    assert MGOptRegressor(**deep, cycle="two-level").fit(X, y).n_levels_ == 2
    assert MGOptRegressor(**deep, cycle="two-level", n_levels=1).fit(X, y).n_levels_ == 1
    assert MGOptRegressor(**deep, cycle="V", n_levels=5).fit(X, y).n_levels_ == 5


def test_kappa_close_to_one_leaves_a_training_without_corrections():
    X, y = waves()
    reg = MGOptRegressor(**SMALL, cycle=Cycle("V", kappa=1 - 1e-7, check_every=5), **ON).fit(X, y)
    assert len(corrections(reg)) == 3
    for found in corrections(reg):
        assert not found["accepted"]
        assert found["kappa_ratio"] <= 1 - 1e-7
    assert reg.history_[-1]["work"][1] == 0
    assert any(found["accepted"] for found in corrections(clone(reg).set_params(cycle__kappa=0.01).fit(X, y)))


def test_target_loss_ends_every_level():
    X, y = waves()
    settings = SMALL | {"learning_rate_init": 0.02, "max_iter": 400, "cycle": Cycle(target_loss=0.2)} | ON
    reg = MGOptRegressor(**settings, schedule=Every(400)).fit(X, y)
    assert reg.history_[0]["epoch"] < 400
    assert reg.n_iter_ < 400
    assert reg.loss_curve_[-1] <= 0.2 < min(reg.loss_curve_[:-1], default=1)


# interruption and divergence --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "V"])
@pytest.mark.parametrize(("solver", "coarse"), [("adam", Adam), ("lbfgs", LBFGS)])
def test_interruption_in_a_coarse_level_leaves_a_fine_network(interrupted, kind, solver, coarse):
    X, y = waves()
    coarse = interrupted(coarse, at=4)
    reg = MGOptRegressor(
        **SMALL, cycle=Cycle(kind, kappa=0.01, check_every=5, coarse_solver=coarse), solver=solver, **ON
    )
    with pytest.warns(UserWarning, match="interrupted"):
        reg.fit(X, y)
    assert coarse.begun == 4
    assert reg.architecture_ == (3, *(6,) * 5, 1)
    assert np.isfinite(reg.predict(X)).all()
    assert reg.n_iter_ == (5 if kind == "V" else 0)
    assert reg.history_[0]["epoch"] == (5 if kind == "V" else 3)
    assert all("work" in row and "level" in row for row in reg.history_)
    loss = reg.loss_
    assert reg.set_params(cycle__coarse_solver=None, warm_start=True).fit(X, y).loss_ < loss


class InterruptedDepth(DepthHierarchy):
    """Found anew before every correction, as subspaces are, and one of those times is interrupted."""

    moves = True

    def coarsen(self, network, problem=None):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 3:  # the first is to find out what there is
            raise KeyboardInterrupt
        return super().coarsen(network, problem)


def test_interruption_while_a_coarse_level_is_found_leaves_a_fine_network():
    X, y = waves()
    cycle = Cycle("V", kappa=0.01, check_every=5)
    reg = MGOptRegressor(**SMALL, cycle=cycle, hierarchy=InterruptedDepth(), solver="lbfgs", **ON)
    with pytest.warns(UserWarning, match="interrupted"):
        reg.fit(X, y)
    assert reg.n_iter_ == 10
    assert np.isfinite(reg.predict(X)).all()
    assert all("work" in row and "level" in row for row in reg.history_)
    loss = reg.loss_
    assert reg.set_params(hierarchy="depth", warm_start=True).fit(X, y).loss_ < loss


def test_a_diverging_coarse_level_does_not_end_fine_training(recwarn):
    X, y = waves()
    reg = MGOptRegressor(
        **SMALL,
        cycle=Cycle("V", correction=True, coarse_solver="sgd", coarse_learning_rate_init=1e8, check_every=5),
        **ON,
    ).fit(X, y)
    assert reg.n_iter_ == 20
    assert not any(found["accepted"] for found in corrections(reg))
    assert not [w for w in recwarn.list if "finite" in str(w.message)]


# coarse networks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "subspace"])
def test_coarse_networks_are_estimators(name):
    X, y = waves()
    reg = MGOptRegressor(**SMALL | SETTINGS[name]).fit(X, y)
    coarse = reg.coarsen()
    expected = {
        "constant": (3, 6, 6, 6, 1),
        "linear": (3, 6, 6, 6, 1),
        "narrow blocks": (3, 5, 2, 4, 1),
        "width": (3, 4, 2, 1),
        "batch": (3, 6, 6, 6, 6, 6, 1),
    }[name]
    assert coarse.architecture_ == expected == (3, *coarse.hidden_layer_sizes, 1)
    assert coarse.n_levels_ == 1
    assert coarse.predict(X).shape == y.shape
    assert np.isfinite(coarse.score(X, y))
    again = pickle.loads(pickle.dumps(coarse))
    np.testing.assert_array_equal(again.predict(X), coarse.predict(X))
    np.testing.assert_allclose(
        coarse.to_torch()(torch.from_numpy(X)).detach().numpy()[:, 0], coarse.predict(X), rtol=1e-9, atol=1e-12
    )
    assert reg.architecture_ != expected or name == "batch"  # as it was
    before = coarse.predict(X)
    for _ in range(3):
        coarse.partial_fit(X, y)
    assert coarse.architecture_ == expected
    assert not np.array_equal(coarse.predict(X), before)
    loss = np.mean((coarse.predict(X) - y) ** 2)
    coarse.set_params(warm_start=True, batch_size=60).fit(X, y)
    assert coarse.architecture_ == expected
    assert np.mean((coarse.predict(X) - y) ** 2) < loss
    fresh = clone(coarse).fit(X, y)
    assert fresh.architecture_ == expected


def test_pairwise_equal_blocks_are_an_euler_scheme_of_twice_the_step():
    X, y = waves()
    reg = MGOptRegressor(**SMALL, hierarchy=DepthHierarchy("constant"), activation="tanh").fit(X, y)
    for k in (1, 2, 5, 6):  # U and V of blocks 1 and 3
        reg.coefs_[k + 2] = reg.coefs_[k].copy()
        reg.intercepts_[k + 2] = reg.intercepts_[k].copy()
    coarse = reg.coarsen()
    state = X @ reg.coefs_[0] + reg.intercepts_[0]
    for k in (1, 5):
        state = state + 2 * np.tanh(state @ reg.coefs_[k] + reg.intercepts_[k]) @ reg.coefs_[k + 1]
    expected = (state @ reg.coefs_[-1] + reg.intercepts_[-1])[:, 0]
    np.testing.assert_allclose(coarse.predict(X), expected, rtol=1e-10, atol=1e-10)


def test_coarse_levels_of_three():
    X, y = load_iris(return_X_y=True)
    clf = MGOptClassifier(**SMALL | {"hidden_layer_sizes": (6,) * 9}, n_levels=3).fit(X, y)
    assert [clf.coarsen(level).architecture_ for level in (1, 2)] == [(4, *(6,) * 5, 3), (4, *(6,) * 3, 3)]
    assert [clf.coarsen(level).n_levels_ for level in (1, 2)] == [2, 1]
    np.testing.assert_allclose(
        clf.coarsen(1).coarsen(1).predict_proba(X), clf.coarsen(2).predict_proba(X), rtol=1e-6, atol=1e-7
    )
    np.testing.assert_allclose(clf.coarsen(2).predict_proba(X).sum(1), 1, rtol=1e-6)
    assert clf.coarsen().set_params(warm_start=True).fit(X, y).n_levels_ == 2
    for level in (0, 3, -1, 1.5):
        with pytest.raises(ValueError, match=rf"level must be an integer in \[1, 2\]; got {level}"):
            clf.coarsen(level)


def test_coarse_convolutions_predict_pooled_images():
    X, y = digits(200)
    settings = CNN | {"architecture": CNNArchitecture((8, 8), (3, 4, 4))}
    clf = MGOptClassifier(**settings, n_levels=3, learning_rate_init=0.02).fit(X, y)
    pooled = X
    for level, size in ((1, 4), (2, 2)):
        pooled = max_pool2d(torch.from_numpy(pooled).view(-1, 1, 2 * size, 2 * size), 2).reshape(len(X), -1).numpy()
        coarse = clf.coarsen(level)
        assert coarse.n_features_in_ == size**2
        assert coarse.architecture.image_shape == (1, size, size)
        for mine, before in zip(coarse.coefs_, clf.coefs_, strict=True):
            np.testing.assert_array_equal(mine, before)
        assert coarse.predict_proba(pooled).shape == (200, 10)
        with pytest.raises(ValueError, match="features"):
            coarse.predict(X)
        score = coarse.score(pooled, y)
        coarse.partial_fit(pooled, y)
        coarse.set_params(warm_start=True).fit(pooled, y)
        assert coarse.score(pooled, y) > score - 0.05
        assert clone(coarse).fit(pooled, y).architecture_ == coarse.architecture_


def test_what_has_no_coarse_network():
    X, y = waves()
    with pytest.raises(ValueError, match="no coarse networks: its level is a subspace"):
        MGOptRegressor(**SMALL | SETTINGS["subspace"]).fit(X, y).coarsen()
    with pytest.raises(ValueError, match="level must be"):
        MGOptRegressor(**SMALL, n_levels=1).fit(X, y).coarsen()


# scikit-learn -----------------------------------------------------------------------------------------------


def test_hierarchies_levels_and_preconditioners_can_be_searched():
    X, y = waves()
    reg = MGOptRegressor(
        **SMALL | {"max_iter": 3, "hidden_layer_sizes": (4,) * 5}, hierarchy=DepthHierarchy("constant")
    )
    grid = {
        "hierarchy__interpolation": ["constant", "linear"],
        "n_levels": [1, 3],
        "preconditioner": [None, "second_moment"],
    }
    search = GridSearchCV(
        make_pipeline(StandardScaler(), reg), {f"mgoptregressor__{name}": v for name, v in grid.items()}, cv=2
    ).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert set(search.best_params_) == {f"mgoptregressor__{name}" for name in grid}
    assert reg.hierarchy.interpolation == "constant"
    assert not hasattr(reg, "coefs_")


@pytest.mark.parametrize("cycle", ["full", "V"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_weights_are_repetitions(cycle, solver):
    X, y = waves(30)
    weight = np.random.default_rng(0).integers(0, 4, 30)
    cycle = Cycle(cycle, correction=cycle == "V", check_every=5)
    settings = SMALL | {"cycle": cycle, "solver": solver, "batch_size": 200, "alpha": 1.0}
    weighted = MGOptRegressor(**settings).fit(X, y, sample_weight=weight)
    repeated = MGOptRegressor(**settings).fit(np.repeat(X, weight, 0), np.repeat(y, weight))
    np.testing.assert_array_equal(weighted.predict(X), repeated.predict(X))


@pytest.mark.parametrize("name", SETTINGS)
def test_warm_start_goes_on(name):
    X, y = waves()
    settings = SMALL | SETTINGS[name] | {"solver": "lbfgs", "warm_start": True, "cycle": "full"}
    reg = MGOptRegressor(**settings).fit(X, y)
    loss, objective = reg.loss_, reg.history_[-1]["criterion"]
    reg.fit(X, y)
    assert reg.history_[0]["level"] == 0
    assert reg.history_[-1]["criterion"] >= objective * (1 + 1e-9)
    assert reg.loss_ <= loss * (1 + 1e-6)


def test_warm_start_keeps_the_network_and_its_levels():
    X, y = waves()
    reg = MGOptRegressor(**SMALL, warm_start=True).fit(X, y)
    reg.set_params(hidden_layer_sizes=(6,) * 9, cycle="V").fit(X, y)
    assert reg.architecture_ == (3, *(6,) * 5, 1)
    assert reg.coarsen().architecture_ == (3, *(6,) * 3, 1)
    with pytest.raises(ValueError, match="n_levels <= 3 with 4 blocks"):
        reg.set_params(n_levels=4).fit(X, y)


def test_partial_fit():
    X, y = waves()
    reg = MGOptRegressor(**SMALL).partial_fit(X, y)
    first = reg.loss_curve_[-1]
    for _ in range(20):
        reg.partial_fit(X, y)
    assert reg.loss_ == reg.loss_curve_[-1] < first
    assert reg.best_loss_ == min(reg.loss_curve_)
    assert reg.architecture_ == (3, *(6,) * 5, 1)
    X, y = digits(100)
    clf = MGOptClassifier(**CNN)
    for part in (slice(0, 50), slice(50, 100)):
        clf.partial_fit(X[part], y[part], classes=np.arange(10))
    assert clf.predict_proba(X).shape == (100, 10)


def test_fit_forgets_partial_fits():
    X, y = waves()
    reg = MGOptRegressor(**SMALL).fit(X, y).partial_fit(X, y)
    reg.set_params(hidden_layer_sizes=(5,) * 3).fit(X, y).partial_fit(X, y)
    other = MGOptRegressor(**SMALL | {"hidden_layer_sizes": (5,) * 3}).fit(X, y).partial_fit(X, y)
    np.testing.assert_array_equal(reg.predict(X), other.predict(X))


def test_random_states():
    X, y = waves()
    found = [MGOptRegressor(**SMALL | {"random_state": seed, "max_iter": 3}).fit(X, y).predict(X) for seed in (0, 1)]
    assert abs(found[0] - found[1]).max() > 1e-3


def test_precision():
    X, y = waves()
    found = []
    for dtype in ("float32", "float64"):
        reg = MGOptRegressor(**SMALL | {"max_iter": 5}, dtype=dtype, activation="tanh", batch_size=60).fit(X, y)
        assert reg.predict(X).dtype == np.float64
        assert reg.predict(X.astype(np.float32)).dtype == np.float64  # as MLPRegressor
        found.append(reg.predict(X))
    np.testing.assert_allclose(*found, rtol=1e-2, atol=1e-3)
    reg.fit(X.astype(np.float32), y)
    assert reg.coefs_[0].dtype == np.float32
    assert reg.coarsen().coefs_[0].dtype == np.float32


def test_two_classes_label_sets_and_several_targets():
    X, y = load_iris(return_X_y=True)
    names = np.array(["a", "b"])[(y > 0).astype(int)]
    clf = MGOptClassifier(**SMALL, learning_rate_init=0.02).fit(X, names)
    assert clf.score(X, names) > 0.95
    assert clf.out_activation_ == "logistic"
    assert clf.coarsen().predict(X).dtype == names.dtype
    names = names[np.random.default_rng(0).permutation(len(names))]  # nothing to be learnt but how frequent they are
    settings = SMALL | {"solver": "lbfgs", "alpha": 100.0, "learning_rate_init": 0.02}
    for weight, share in ((1.0, 2 / 3), (20.0, 40 / 41)):
        clf = MGOptClassifier(**settings, class_weight={"a": 1.0, "b": weight}).fit(X, names)
        np.testing.assert_allclose(clf.predict_proba(X)[:, 1].mean(), share, atol=0.02)
    X, Y = make_multilabel_classification(80, random_state=0)
    clf = MGOptClassifier(**SMALL, cycle=Cycle("V", correction=True)).fit(X, Y)
    assert clf.predict(X).shape == clf.coarsen().predict(X).shape == Y.shape
    X, y = waves()
    reg = MGOptRegressor(**SMALL, loss="huber").fit(X, np.stack([y, -y], 1))
    assert reg.predict(X).shape == (60, 2)


def test_validation_scores_are_those_of_the_finest_level():
    X, y = waves(100)
    X_val, y_val = waves(100, seed=1)
    reg = MGOptRegressor(**SMALL | {"solver": "lbfgs"}, cycle=Cycle(check_every=4), **ON)
    reg.fit(X, y, X_val=X_val, y_val=y_val)
    assert len(reg.validation_scores_) == sum(row["level"] == 0 for row in reg.history_)
    assert max(reg.validation_scores_) == pytest.approx(reg.score(X_val, y_val), abs=1e-5)
    held_out = MGOptClassifier(**SMALL, early_stopping=True).fit(*load_iris(return_X_y=True))
    assert np.isfinite(held_out.validation_scores_).all()


# bad input --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"hidden_layer_sizes": (6,) * 7, "n_levels": 3},
            "n_levels=3 .* n_levels <= 2 with 6 blocks, or for 3 levels multiples of 4 blocks such as 4 or 8",
        ),
        ({"hidden_layer_sizes": (6,) * 4}, "multiples of 2 blocks such as 2 or 4"),
        ({"hidden_layer_sizes": (6, 4, 5)}, "whose blocks have one width"),
        ({"n_levels": 4}, "n_levels=4 does not fit"),
        ({"architecture": "mlp", "hierarchy": "depth"}, "DepthHierarchy needs a residual network"),
        ({"architecture": "mlp", "hidden_layer_sizes": (5,)}, "n_levels <= 1, or widths that 2 divides"),
        ({"hierarchy": "resolution"}, "ResolutionHierarchy needs a convolutional network"),
        ({"hierarchy": "x"}, "'hierarchy' parameter of MGOptRegressor must be .* Got 'x'"),
        ({"hierarchy": WidthHierarchy(1)}, "factor must be at least 2; got 1"),
        ({"hierarchy": BatchHierarchy(1)}, "factor must be at least 2; got 1"),
        ({"hierarchy": SubspaceHierarchy(0)}, r"dimension must lie in \[1, \d+\], the number of parameters; got 0"),
        ({"hierarchy": SubspaceHierarchy(), "n_levels": 3}, "n_levels=3 does not fit"),
        ({"hierarchy": DepthHierarchy("x")}, r"interpolation must be one of \['constant', 'linear'\]; got 'x'"),
        ({"hierarchy": DepthHierarchy(restriction="x")}, "restriction must be one of .* got 'x'"),
        ({"cycle": "two-level", "n_levels": 3}, "cycle='two-level' needs n_levels <= 2; got n_levels=3"),
        ({"cycle": "X"}, "'cycle' parameter .* Got 'X'"),
        ({"n_levels": 0}, "'n_levels' parameter .* Got 0"),
        ({"cycle": Cycle("X")}, r"kind must be one of .*; got 'X'"),
        ({"cycle": Cycle(kappa=0.0)}, r"kappa must lie in \(0, 1\); got 0.0"),
        ({"cycle": Cycle(kappa=1.0)}, r"kappa must lie in \(0, 1\); got 1.0"),
        ({"cycle": Cycle(coarse_iter=0)}, "coarse_iter must be >= 1; got 0"),
        ({"cycle": Cycle(check_every=0)}, "check_every must be >= 1; got 0"),
        ({"cycle": Cycle(regularization=-1.0)}, "regularization must be >= 0; got -1.0"),
        ({"cycle": Cycle(correction="x")}, "correction must be True, False or 'exact'; got 'x'"),
        ({"cycle": Cycle(target_loss=0.0)}, "target_loss must be None or > 0; got 0.0"),
        ({"cycle": Cycle(coarse_learning_rate_init=0.0)}, "coarse_learning_rate_init must be None or > 0; got 0.0"),
        ({"cycle": Cycle(coarse_solver="lm")}, "coarse_solver must be None, 'lbfgs', 'adam', 'sgd' .*; got 'lm'"),
        ({"final_time": 0.0}, "'final_time' parameter"),
        ({"solver": "lbfgs", "preconditioner": "kfac"}, "preconditioner needs solver='sgd' or 'adam'"),
    ],
)
def test_bad_parameters_are_refused(settings, message):
    reg = MGOptRegressor(**SMALL | settings)
    with pytest.raises(ValueError, match=message):
        reg.fit(*waves(20))
    assert not hasattr(reg, "coefs_")
