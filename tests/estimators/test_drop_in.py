"""GrowingRegressor in the places where a scikit-learn regressor is expected, and the data it takes."""

import logging
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.inspection import PartialDependenceDisplay, permutation_importance
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from skgrow import GrowingRegressor
from skgrow.growth import PolarSearch
from skgrow.training import Plateau

SMALL = {
    "activation": "tanh",
    "max_neurons": 6,
    "search": PolarSearch(n_exchanges=0),
    "max_stage_iter": 60,
    "random_state": 0,
}


def waves(n=100, d=3, noise=0.1, seed=0):
    """A function of which noise leaves 0.988 to be explained; networks of these settings explain 0.98."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n, d))
    return X, np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] + noise * rng.normal(size=n)


@pytest.fixture(scope="module")
def fitted():
    X, y = waves()
    return GrowingRegressor(**SMALL).fit(X, y)


# scikit-learn's tools ------------------------------------------------------------------------------------------


def test_in_a_pipeline():
    X, y = waves()
    pipeline = make_pipeline(StandardScaler(), GrowingRegressor(**SMALL)).fit(X, y)
    assert pipeline.score(X, y) > 0.9


def test_in_a_grid_search_also_over_parameters_of_components():
    X, y = waves()
    est = GrowingRegressor(**SMALL, schedule=Plateau())
    grid = {"schedule__patience": [1, 4], "search__n_directions": [8], "max_neurons": [1, 6]}
    search = GridSearchCV(est, grid, cv=3).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert search.best_params_["max_neurons"] == 6
    assert search.best_estimator_.schedule.patience == search.best_params_["schedule__patience"]
    assert est.schedule.patience == 3
    assert not hasattr(est, "coefs_")


def test_cross_validation_in_parallel_equals_that_in_sequence():
    X, y = waves()
    est = GrowingRegressor(**SMALL)
    scores = cross_val_score(est, X, y, cv=3)
    assert (scores > 0.8).all()
    np.testing.assert_allclose(cross_val_score(est, X, y, cv=3, n_jobs=2), scores, rtol=1e-9)
    assert cross_val_predict(est, X, y, cv=3).shape == y.shape


def test_with_a_transformed_target():
    X, y = waves()
    est = TransformedTargetRegressor(GrowingRegressor(**SMALL), func=np.log, inverse_func=np.exp)
    assert est.fit(X, np.exp(y)).score(X, np.exp(y)) > 0.9


def test_bagging_averages_its_members():
    X, y = waves()
    bag = BaggingRegressor(GrowingRegressor(**SMALL), n_estimators=3, random_state=0).fit(X, y)
    members = np.mean([m.predict(X[:, f]) for m, f in zip(bag.estimators_, bag.estimators_features_, strict=True)], 0)
    np.testing.assert_allclose(bag.predict(X), members, rtol=1e-12)
    assert bag.score(X, y) > 0.85


def test_stacking():
    X, y = waves()
    stack = StackingRegressor([("grown", GrowingRegressor(**SMALL)), ("ridge", RidgeCV())], cv=3).fit(X, y)
    assert stack.score(X, y) > 0.9


def test_permutation_importance_finds_the_variable_that_matters(fitted):
    X, y = waves()
    importance = permutation_importance(fitted, X, y, n_repeats=3, random_state=0).importances_mean
    assert importance.argmax() == 0
    assert importance.argmin() == 2


def test_partial_dependence(fitted):
    import matplotlib as mpl

    mpl.use("Agg")
    X, _ = waves()
    display = PartialDependenceDisplay.from_estimator(fitted, X, [0, (0, 1)], grid_resolution=5)
    (curve,) = display.pd_results[0]["average"]
    grid = display.pd_results[0]["grid_values"][0]
    for value, average in zip(grid, curve, strict=True):
        moved = X.copy()
        moved[:, 0] = value
        assert average == pytest.approx(fitted.predict(moved).mean())
    mpl.pyplot.close("all")


def test_fitted_attributes_are_laid_out_as_in_mlpregressor():
    X, y = waves()
    Y = np.column_stack([y, -y])
    for target in (y, Y):
        ours = GrowingRegressor(**SMALL).fit(X, target)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = MLPRegressor(hidden_layer_sizes=(ours.architecture_[1],), activation="tanh", max_iter=2).fit(
                X, target
            )
        assert [a.shape for a in ours.coefs_] == [a.shape for a in theirs.coefs_]
        assert [a.shape for a in ours.intercepts_] == [a.shape for a in theirs.intercepts_]
        for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
            assert getattr(ours, name) == getattr(theirs, name)
        theirs.coefs_, theirs.intercepts_ = ours.coefs_, ours.intercepts_
        np.testing.assert_allclose(theirs.predict(X), ours.predict(X), rtol=1e-12, atol=1e-12)


def test_tags():
    tags = get_tags(GrowingRegressor())
    assert tags.target_tags.multi_output
    assert tags.target_tags.required
    assert tags.input_tags.sparse
    assert not tags.input_tags.allow_nan
    assert not tags.non_deterministic
    assert not tags._skip_test


def test_unfitted_estimators_say_so():
    for method in ("predict", "to_torch"):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(GrowingRegressor(), method)(*([np.ones((1, 1))] if method == "predict" else []))


# kinds of data -------------------------------------------------------------------------------------------------


def test_outputs_have_the_shape_of_the_targets():
    X, y = waves()
    for target in (y, y[:, None], np.column_stack([y, y**2, -y])):
        est = GrowingRegressor(**SMALL)
        if target.shape[1:] == (1,):
            with pytest.warns(UserWarning, match="column-vector y"):
                est.fit(X, target)
        else:
            est.fit(X, target)
        mean, std = est.predict(X[:7], return_std=True)
        expected = (7,) if target.size == len(X) else (7, 3)
        assert mean.shape == std.shape == expected


def test_outputs_that_are_copies_are_predicted_alike():
    X, y = waves()
    est = GrowingRegressor(**SMALL).fit(X, np.column_stack([y, 3 * y - 5]))
    prediction = est.predict(X)
    np.testing.assert_allclose(prediction[:, 1], 3 * prediction[:, 0] - 5, atol=1e-6)


def test_numbers_do_not_depend_on_how_the_rows_are_stored():
    X, y = waves()
    est = GrowingRegressor(**SMALL).fit(X, y)
    by_column = np.asfortranarray(X)
    np.testing.assert_array_equal(est.predict(by_column), est.predict(X))
    np.testing.assert_array_equal(GrowingRegressor(**SMALL).fit(by_column, y).predict(X), est.predict(X))


def test_frames_are_taken_and_their_names_remembered():
    X, y = waves()
    plain = GrowingRegressor(**SMALL).fit(X, y).predict(X)
    names = ["a", "b", "c"]
    for frame, target in (
        (pd.DataFrame(X, columns=names), pd.Series(y)),
        (pl.DataFrame(X, schema=names), pl.Series(y)),
    ):
        est = GrowingRegressor(**SMALL).fit(frame, target)
        assert est.feature_names_in_.tolist() == names
        np.testing.assert_array_equal(est.predict(frame), plain)
        with pytest.raises(ValueError, match="feature names should match"):
            est.predict(frame[["b", "a", "c"]])
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            est.predict(X)


@pytest.mark.parametrize("container", [sparse.csr_array, sparse.csc_matrix, sparse.coo_array])
def test_sparse_inputs_are_the_same_as_dense_ones(container):
    X, y = waves()
    X[np.abs(X) < 1] = 0
    plain = GrowingRegressor(**SMALL).fit(X, y)
    est = GrowingRegressor(**SMALL).fit(container(X), y)
    np.testing.assert_array_equal(est.predict(container(X)), plain.predict(X))


def test_lists_integers_and_half_precision_are_converted():
    X, y = waves()
    whole, target = (10 * X).astype(int), (10 * y).astype(int)
    plain = GrowingRegressor(**SMALL).fit(whole.astype(float), target.astype(float)).predict(whole)
    assert plain.dtype == np.float64
    np.testing.assert_array_equal(GrowingRegressor(**SMALL).fit(whole, target).predict(whole), plain)
    as_lists = GrowingRegressor(**SMALL).fit(whole.tolist(), target.tolist())
    np.testing.assert_array_equal(as_lists.predict(whole.tolist()), plain)
    half = GrowingRegressor(**SMALL).fit(X.astype(np.float16), y.astype(np.float16))
    assert half.predict(X.astype(np.float16)).dtype in (np.float32, np.float64)
    assert half.score(X, y) > 0.9


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", ["auto", "adam"])
def test_precision_in_is_precision_out(dtype, solver):
    X, y = waves()
    est = GrowingRegressor(**SMALL, solver=solver).fit(X.astype(dtype), y.astype(dtype))
    assert {a.dtype for a in [*est.coefs_, *est.intercepts_]} == {np.dtype(dtype)}
    mean, std = est.predict(X.astype(dtype), return_std=True)
    assert mean.dtype == std.dtype == dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("solver", ["lm", "lbfgs", "adam", "sgd"])
def test_training_in_either_precision(dtype, solver):
    X, y = waves()
    est = GrowingRegressor(**SMALL, solver=solver, dtype=dtype, learning_rate_init=0.02).fit(X, y)
    assert est.score(X, y) > (0.4 if solver == "sgd" else 0.8)  # six neurons, and SGD in a poor valley


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("outputs", [1, 2])
def test_tensors_in_tensors_out(dtype, outputs):
    X, y = waves()
    y = y if outputs == 1 else np.column_stack([y, -y])
    X, y = torch.as_tensor(X, dtype=dtype), torch.as_tensor(y, dtype=dtype)
    est = GrowingRegressor(**SMALL).fit(X, y)
    mean, std = est.predict(X, return_std=True)
    for result in (mean, std):
        assert isinstance(result, torch.Tensor)
        assert result.dtype == dtype
        assert result.shape == y.shape
    arrays = GrowingRegressor(**SMALL).fit(X.numpy(), y.numpy())
    np.testing.assert_array_equal(mean, arrays.predict(X.numpy()))
    assert isinstance(est.predict(X.numpy()), np.ndarray)


def test_fitting_changes_no_input():
    X, y = waves()
    weight = np.linspace(0.5, 2, len(y))
    copies = X.copy(), y.copy(), weight.copy()
    for array in (X, y, weight):
        array.setflags(write=False)
    torch.set_warn_always(True)  # PyTorch warns of each thing once per process
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            GrowingRegressor(**SMALL | {"max_stage_iter": 200}).fit(X, y, weight).predict(X, return_std=True)
    finally:
        torch.set_warn_always(False)
    for array, copy in zip((X, y, weight), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


# weights -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "adam"])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_weight_is_a_repetition_and_weight_zero_an_absence(activation, solver):
    X, y = waves(60)
    weight = np.random.default_rng(0).integers(0, 4, size=60)
    parameters = SMALL | {"activation": activation, "solver": solver}
    weighted = GrowingRegressor(**parameters).fit(X, y, sample_weight=weight)
    repeated = GrowingRegressor(**parameters).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    for ours, theirs in zip(weighted.predict(X, True), repeated.predict(X, True), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert weighted.log_evidence_ == pytest.approx(repeated.log_evidence_, nan_ok=True)


def test_the_order_of_rows_is_of_no_consequence():
    X, y = waves()
    order = np.random.default_rng(0).permutation(len(y))
    one, other = GrowingRegressor(**SMALL).fit(X, y), GrowingRegressor(**SMALL).fit(X[order], y[order])
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_weights_of_one_are_no_weights():
    X, y = waves()
    for weight in (np.ones(100), 1.0, torch.ones(100)):
        est = GrowingRegressor(**SMALL).fit(X, y, sample_weight=weight)
        np.testing.assert_array_equal(est.predict(X), GrowingRegressor(**SMALL).fit(X, y).predict(X))


# keeping and copying -------------------------------------------------------------------------------------------


def test_pickle_and_joblib(fitted, tmp_path):
    X, _ = waves()
    joblib.dump(fitted, tmp_path / "model.joblib")
    for copy in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "model.joblib")):
        for ours, theirs in zip(copy.predict(X, True), fitted.predict(X, True), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert [row["train_loss"] for row in copy.history_] == [row["train_loss"] for row in fitted.history_]


def test_skops_needs_to_trust_the_class_and_those_of_components(fitted):
    skops = pytest.importorskip("skops.io")
    X, y = waves()
    named = clone(fitted).set_params(search="polar").fit(X, y)
    classes = [f"{cls.__module__}.{cls.__qualname__}" for cls in (GrowingRegressor, PolarSearch)]
    for est, needed in ((named, classes[:1]), (fitted, classes)):
        data = skops.dumps(est)
        assert skops.get_untrusted_types(data=data) == needed
        np.testing.assert_array_equal(skops.loads(data, trusted=needed).predict(X), est.predict(X))


def test_no_torch_object_is_held(fitted):
    stored = pickle.dumps(fitted)
    assert b"torch" not in stored
    assert not any(isinstance(value, (torch.Tensor, torch.nn.Module)) for value in vars(fitted).values())


def test_clone_copies_parameters_only(fitted):
    copy = clone(fitted)
    ours, theirs = ({name: repr(value) for name, value in est.get_params().items()} for est in (copy, fitted))
    assert ours == theirs
    assert copy.search is not fitted.search
    assert not hasattr(copy, "coefs_")


@pytest.mark.parametrize("parameters", [{}, {"solver": "adam"}, {"early_stopping": True}, {"activation": "auto"}])
def test_a_random_state_makes_fits_equal(parameters):
    X, y = waves()
    one, other = (GrowingRegressor(**SMALL | parameters).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    assert [row["train_loss"] for row in one.history_] == [row["train_loss"] for row in other.history_]


def test_global_random_states_are_neither_used_nor_changed():
    X, y = waves()
    states = []
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        states.append(GrowingRegressor(**SMALL | {"solver": "adam"}).fit(X, y).predict(X))
        np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), before[1])
    np.testing.assert_array_equal(*states)


def test_the_path_norm_neither_draws_from_nor_moves_numpys_generator():
    X, y = waves(40)
    coefficients = []
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002
        before = np.random.get_state()  # noqa: NPY002
        est = GrowingRegressor(penalty="path", alpha=0.01, activation="relu", max_neurons=6, random_state=0).fit(X, y)
        coefficients.append(np.concatenate([a.ravel() for a in est.coefs_]))
        after = np.random.get_state()  # noqa: NPY002
        np.testing.assert_array_equal(after[1], before[1])
        assert after[2:] == before[2:]
    np.testing.assert_array_equal(*coefficients)


def test_threads_are_left_alone():
    X, y = waves(30)
    before = torch.get_num_threads()
    GrowingRegressor(**SMALL).fit(X, y)
    assert torch.get_num_threads() == before


# validation, warm start, partial fit ---------------------------------------------------------------------------


def test_given_validation_data_decides():
    X, y = waves(200)
    est = GrowingRegressor(**SMALL).fit(X[:150], y[:150], X_val=X[150:], y_val=y[150:])
    best = min((row for row in est.history_ if row["accepted"]), key=lambda row: row["validation_loss"])
    assert est.architecture_ == best["architecture"]
    unit = y[:150].std()
    loss = 0.5 * np.mean((y[150:] - est.predict(X[150:])) ** 2) / unit**2
    assert best["validation_loss"] == pytest.approx(loss, rel=1e-9)
    index = est.history_.index(best)
    assert est.validation_scores_[index] == pytest.approx(est.score(X[150:], y[150:]), rel=1e-9)


def test_validation_weights_count():
    X, y = waves(200)
    keep = np.random.default_rng(0).random(50) < 0.5
    weighted = GrowingRegressor(**SMALL).fit(
        X[:150], y[:150], X_val=X[150:], y_val=y[150:], sample_weight_val=keep.astype(float)
    )
    fewer = GrowingRegressor(**SMALL).fit(X[:150], y[:150], X_val=X[150:][keep], y_val=y[150:][keep])
    ours = [row["validation_loss"] for row in weighted.history_]
    np.testing.assert_allclose(ours, [row["validation_loss"] for row in fewer.history_], rtol=1e-9)


def test_early_stopping_holds_out_a_share():
    X, y = waves(200)
    est = GrowingRegressor(**SMALL, early_stopping=True, validation_fraction=0.25).fit(X, y)
    assert len(est.validation_scores_) == len(est.history_)
    assert max(est.validation_scores_) > 0.9
    assert np.isfinite([row["validation_loss"] for row in est.history_]).all()
    assert GrowingRegressor(**SMALL).fit(X, y).validation_scores_ is None


def test_warm_start_grows_on():
    X, y = waves(noise=0.01)
    est = GrowingRegressor(**SMALL | {"max_neurons": 3}, warm_start=True).fit(X, y)
    small, score = est.architecture_[1], est.score(X, y)
    assert small == 3
    est.set_params(max_neurons=9).fit(X, y)
    assert est.history_[0]["architecture"] == (3, small, 1)
    assert est.architecture_[1] > small
    assert est.score(X, y) > score


def test_warm_start_on_the_same_data_never_loses():
    X, y = waves()
    est = GrowingRegressor(**SMALL | {"alpha": 1e-4}, warm_start=True).fit(X, y)
    losses = [est.loss_, est.fit(X, y).loss_, est.fit(X, y).loss_]
    assert losses[1] <= losses[0] * (1 + 1e-6)
    assert losses[2] <= losses[1] * (1 + 1e-6)


def test_without_warm_start_fit_forgets():
    X, y = waves()
    est = GrowingRegressor(**SMALL).fit(X, y)
    first = est.predict(X)
    est.fit(X[:, :2], -y)
    assert est.n_features_in_ == 2
    np.testing.assert_array_equal(est.fit(X, y).predict(X), first)


def test_partial_fit_learns_from_batches():
    X, y = waves(1000)
    est = GrowingRegressor(**SMALL, learning_rate_init=0.01)
    est.partial_fit(X[:60], y[:60])
    start = est.score(X, y)
    assert start > 0
    for _ in range(10):
        for rows in np.array_split(np.arange(60, 1000), 10):
            est.partial_fit(X[rows], y[rows])
    assert est.score(X, y) > max(start, 0.9)  # 0.977, then 0.984
    assert est.architecture_ == (3, est.coefs_[0].shape[1], 1)


def test_first_partial_fit_is_fit():
    X, y = waves()
    np.testing.assert_array_equal(
        GrowingRegressor(**SMALL).partial_fit(X, y).predict(X), GrowingRegressor(**SMALL).fit(X, y).predict(X)
    )


def test_partial_fit_grows_on_plateaus():
    X, y = waves(200)
    est = GrowingRegressor(**SMALL | {"max_neurons": 2}, schedule="every")
    est.partial_fit(X, y).set_params(max_neurons=8)
    for _ in range(25):
        est.partial_fit(X, y)
    assert 2 < est.architecture_[1] <= 8
    assert est.n_iter_ == len(est.loss_curve_)


def test_partial_fit_goes_on_after_pickling():
    X, y = waves(200)
    straight = GrowingRegressor(**SMALL).fit(X, y)
    stored = GrowingRegressor(**SMALL).fit(X, y)
    for _ in range(3):
        straight.partial_fit(X[:100], y[:100])
        stored = pickle.loads(pickle.dumps(stored)).partial_fit(X[:100], y[:100])
    np.testing.assert_array_equal(straight.predict(X), stored.predict(X))


# uncertainty ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("activation", "seed"), [("relu", 0), ("tanh", 1)])
def test_intervals_of_95_percent_cover_about_95_percent(activation, seed):
    X, y = waves(1500, 2, noise=0.3, seed=seed)
    est = GrowingRegressor(activation=activation, random_state=0).fit(X[:500], y[:500])
    mean, std = est.predict(X[500:], return_std=True)
    inside = np.mean(np.abs(y[500:] - mean) < 1.96 * std)
    assert inside == pytest.approx(0.95, abs=0.04)  # of 1000 samples three standard errors are 0.021


def test_standard_deviations_cover_each_output():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(1200, 1))
    Y = np.column_stack([np.sin(2 * X[:, 0]), 50 * X[:, 0] ** 2]) + rng.normal(size=(1200, 2)) * [0.2, 20.0]
    est = GrowingRegressor(activation="tanh", random_state=0).fit(X[:400], Y[:400])
    mean, std = est.predict(X[400:], return_std=True)
    covered = np.mean(np.abs(Y[400:] - mean) < 1.96 * std, axis=0)
    np.testing.assert_allclose(covered, 0.95, atol=0.045)  # of 800 samples three standard errors are 0.023


def test_far_from_the_data_predictions_are_less_certain(fitted):
    near = fitted.predict(np.zeros((1, 3)), return_std=True)[1]
    far = fitted.predict(np.full((1, 3), 20.0), return_std=True)[1]
    assert far > near
    assert near**2 >= fitted.noise_variance_


def test_standard_deviations_do_not_depend_on_the_batch(fitted):
    X, _ = waves()
    whole = fitted.predict(X, return_std=True)[1]
    single = np.concatenate([fitted.predict(X[i : i + 1], return_std=True)[1] for i in range(len(X))])
    np.testing.assert_allclose(single, whole, rtol=1e-9)


# callbacks and logs --------------------------------------------------------------------------------------------


class StageCounter:
    """Counts growth stages; asks to stop after ``stop_after`` of them."""

    def __init__(self, stop_after=10**9):
        self.stop_after = stop_after
        self.stages, self.begun, self.ended, self.scores = 0, 0, 0, []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **kwargs):
        self.begun += context.task_name != "growth stage"

    def on_fit_task_end(self, estimator, context, **kwargs):
        self.ended += context.task_name != "growth stage"
        if context.task_name == "growth stage":
            self.stages += 1
        return self.stages >= self.stop_after


callbacks = pytest.mark.skipif(
    not hasattr(GrowingRegressor, "set_callbacks"), reason="scikit-learn has callbacks from version 1.9"
)


@callbacks
def test_callbacks_see_every_stage():
    X, y = waves()
    counter = StageCounter()
    est = GrowingRegressor(**SMALL | {"activation": "auto", "max_neurons": 30}).set_callbacks(counter).fit(X, y)
    assert est.history_[-1]["action"] == "average"
    assert counter.stages == len(est.history_) > 2
    assert counter.begun == counter.ended == 1


@callbacks
@pytest.mark.parametrize("activation", ["tanh", "auto"])
def test_a_callback_can_stop_the_growth(activation):
    X, y = waves()
    counter = StageCounter(stop_after=2)
    est = GrowingRegressor(**SMALL | {"activation": activation}).set_callbacks(counter).fit(X, y)
    assert len(est.history_) == counter.stages == 2
    assert np.isfinite(est.predict(X)).all()


@callbacks
def test_scoring_monitor():
    from sklearn.callback import ScoringMonitor

    X, y = waves()
    monitor = ScoringMonitor(scoring="r2")
    est = GrowingRegressor(**SMALL).set_callbacks(monitor).fit(X, y)
    log = monitor.get_logs()
    (scores,) = [column for name, column in log.data_as_pandas.items() if "r2" in str(name)]
    assert len(scores) == len(est.history_) + 1  # every stage and the whole
    assert np.isclose(scores, est.score(X, y)).any()


def test_verbose_logs_a_line_per_stage(caplog):
    X, y = waves()
    logger = logging.getLogger("skgrow")
    level, propagate = logger.level, logger.propagate
    try:
        with caplog.at_level(logging.INFO, logger="skgrow"):
            logger.addHandler(caplog.handler)
            est = GrowingRegressor(**SMALL, verbose=True).fit(X, y)
        lines = {record.getMessage() for record in caplog.records}
        assert len(lines) == len(est.history_) + 1  # and why growth ended
        assert any("grow" in line and "neurons" in line for line in lines)
        caplog.clear()
        GrowingRegressor(**SMALL).fit(X, y)
        assert not caplog.records
    finally:
        logger.removeHandler(caplog.handler)
        logger.setLevel(level)
        logger.propagate = propagate


# devices -------------------------------------------------------------------------------------------------------


def test_diabetes_is_predicted_as_well_as_by_ridge():
    X, y = load_diabetes(return_X_y=True)
    errors = [
        -cross_val_score(est, X, y, cv=3, scoring="neg_root_mean_squared_error").mean()
        for est in (
            GrowingRegressor(search=PolarSearch(n_exchanges=0), random_state=0),
            RidgeCV(np.logspace(-4, 2, 13)),
        )
    ]
    assert errors[0] <= 1.03 * errors[1]


@pytest.mark.gpu
def test_a_gpu_finds_what_the_cpu_finds():
    X, y = waves()
    on_cpu = GrowingRegressor(**SMALL, device="cpu").fit(X, y)
    on_gpu = GrowingRegressor(**SMALL, device="cuda").fit(X, y)
    assert on_gpu.score(X, y) == pytest.approx(on_cpu.score(X, y), abs=0.01)
    tensor = torch.as_tensor(X, device="cuda")
    prediction = GrowingRegressor(**SMALL).fit(tensor, torch.as_tensor(y, device="cuda")).predict(tensor)
    assert prediction.device.type == "cuda"
    np.testing.assert_allclose(prediction.cpu(), on_gpu.predict(X), rtol=1e-6, atol=1e-6)
