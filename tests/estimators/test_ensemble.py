"""n_members: several grown networks, averaged into one."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_wine, make_friedman1

from skgrow import GrowingClassifier, GrowingRegressor, GrowthCurveDisplay
from skgrow.growth import PolarSearch
from skgrow.networks import summands
from skgrow.solvers import LevenbergMarquardt
from skgrow.training import Plateau

SMALL = {"max_neurons": 8, "search": PolarSearch(n_exchanges=0), "max_stage_iter": 60, "random_state": 0}


def friedman(n=90):
    X, y = make_friedman1(n, noise=1.0, random_state=0)
    return X[:, :4], y


@pytest.fixture(scope="module")
def three():
    X, y = friedman()
    return GrowingRegressor(n_members=3, **SMALL).fit(X, y), X, y


def untimed(history):
    return [{key: repr(value) for key, value in row.items() if key != "time"} for row in history]


def test_the_network_is_the_weighted_mean_of_its_members(three):
    est, X, y = three
    shares = [part["share"] for part in est._posterior]
    assert sum(shares) == pytest.approx(1)
    assert {number for number, *_ in est._structure} == {0, 1, 2}
    assert est.architecture_[1] == sum(width for *_, (width,) in est._structure)
    names = [name for _, name, (width,) in est._structure for _ in range(width)]
    assert list(est.hidden_activations_[0]) == names
    assert est.activation_ == "+".join(dict.fromkeys(names))
    # the first member is what is fitted without others
    one = GrowingRegressor(**SMALL).fit(X, y)
    parts = summands(est._network(), [widths for *_, widths in est._structure])
    numbers = [number for number, *_ in est._structure]
    own = [share for number, share in zip(numbers, shares, strict=True) if number == 0]
    *_, y_mean, y_scale = est._scaling
    of_first = 0.0
    for number, part, known in zip(numbers, parts, est._posterior, strict=True):
        if number == 0:
            hidden = (part(torch.as_tensor(X)) - part.biases[-1]).numpy()
            of_first = of_first + hidden + known["share"] * (y_mean + y_scale * known["theta"][-1])
    np.testing.assert_allclose(of_first[:, 0] / sum(own), one.predict(X), rtol=1e-6)


def test_its_history_tells_the_members_apart(three):
    est = three[0]
    numbers = [row["member"] for row in est.history_]
    of_members = [number for number in numbers if number is not None]
    assert of_members == sorted(of_members)
    assert set(numbers) == {0, 1, 2, None}
    for row in est.history_:
        if row["parent"] is not None:
            parent = est.history_[row["parent"]]
            assert (parent["member"], parent["activation"]) == (row["member"], row["activation"])
    last = est.history_[-1]
    assert (last["action"], last["member"]) == ("average", None)
    assert last["architecture"] == est.architecture_
    assert last["n_parameters"] == est.n_parameters_
    assert last["train_loss"] == est.loss_
    assert est.n_iter_ == len(est.loss_curve_) == last["epoch"]


def test_max_neurons_are_those_of_a_member(three):
    est = three[0]
    for number in range(3):
        assert 0 < sum(width for n, _, (width,) in est._structure if n == number) <= 8
    assert est.architecture_[1] > 8


def test_processes_change_nothing(three):
    est, X, y = three
    again = clone(est).set_params(n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(again.predict(X, return_std=True), est.predict(X, return_std=True))
    assert untimed(again.history_) == untimed(est.history_)
    assert again.loss_curve_ == est.loss_curve_


def test_it_is_stored_whole(three):
    est, X, _ = three
    again = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(again.predict(X, return_std=True), est.predict(X, return_std=True))
    _, (low, high) = est.predict(X), est.target_range_
    assert low <= est.predict(X).min()
    assert est.predict(X).max() <= high + (high - low)
    inside = est.to_torch()(torch.as_tensor(X)).detach().numpy()[:, 0]
    np.testing.assert_allclose(est.predict(X), inside, rtol=1e-9)


def test_the_deviation_is_no_less_than_how_far_members_differ(three):
    est, X, _ = three
    far = X.mean(0) + 3 * (X - X.mean(0))
    parts = summands(est._network(), [widths for *_, widths in est._structure])
    *_, y_mean, y_scale = est._scaling
    total, outputs = est.to_torch()(torch.as_tensor(far)).detach().numpy()[:, 0], {}
    for part, known in zip(parts, est._posterior, strict=True):
        alone = (part(torch.as_tensor(far)) - part.biases[-1]).numpy()[:, 0] / known["share"] + y_mean[0]
        name = part.activation.name
        outputs.setdefault(name, []).append((known["share"], alone + y_scale[0] * known["theta"][-1]))
    least = 0.0
    for alike in outputs.values():
        shares, values = np.array([share for share, _ in alike]), np.array([value for _, value in alike])
        mean = shares @ values / shares.sum()
        variance = shares @ (values - mean) ** 2 / shares.sum()
        least = least + shares.sum() * np.sqrt(variance + (mean - total) ** 2)
    std = est.predict(far, return_std=True)[1]
    assert np.mean(std**2 >= (least**2 + est.noise_variance_) * (1 - 1e-6)) > 0.9  # outer kinks are moved away


def test_warm_start_goes_on_with_every_member_and_adds_further_ones(three):
    est, X, y = three
    more = clone(est).set_params(schedule=Plateau(max_growths=1), warm_start=True).fit(X, y)
    widths, loss = more._structure, more.loss_
    more.set_params(schedule=Plateau(max_growths=2), n_members=4).fit(X, y)
    starts = {
        (row["member"], row["activation"]): row["architecture"][1] for row in more.history_ if row["action"] == "start"
    }
    for number, name, (width,) in widths:
        if name != "identity":
            assert starts[number, name] == width
    assert {number for number, _ in starts} == {0, 1, 2, 3}
    assert starts[3, "relu"] == starts[3, "tanh"] == 0
    assert more.loss_ < loss
    with pytest.raises(ValueError, match=r"goes on from (\d) members; got n_members=1, allowed is at least \1"):
        more.set_params(n_members=1).fit(X, y)


def test_one_member_becomes_the_first_of_several():
    X, y = friedman(60)
    est = GrowingRegressor(schedule=Plateau(max_growths=1), warm_start=True, **SMALL).fit(X, y)
    est.set_params(n_members=2).fit(X, y)
    assert {number for number, *_ in est._structure} - {None} == {0, 1}


def test_an_interrupt_keeps_the_members_so_far(three, interrupted):
    _, X, y = three
    counting = interrupted(LevenbergMarquardt, at=10**9)
    one = GrowingRegressor(**SMALL | {"solver": counting}).fit(X, y)
    est = GrowingRegressor(n_members=3, **SMALL)
    est.set_params(solver=interrupted(LevenbergMarquardt, at=one.solver.begun + 5))
    with pytest.warns(UserWarning, match="interrupted by user"):
        est.fit(X, y)
    assert {row["member"] for row in est.history_} <= {0, 1, None}
    assert est.stop_reason_ == "interrupted"
    assert est.score(X, y) > 0.5


def test_partial_fit_lets_the_average_learn_and_grow(three):
    est, X, y = three
    est = pickle.loads(pickle.dumps(est)).set_params(schedule="every", learning_rate_init=1e-3)
    before = est.architecture_[1]
    for _ in range(30):
        est.partial_fit(X, y)
    assert before < est.architecture_[1] <= 3 * 8 + before
    with pytest.raises(ValueError, match="partial_fit leaves no uncertainty"):
        est.predict(X, return_std=True)
    est.set_params(warm_start=True, schedule=Plateau(max_growths=0)).fit(X, y)
    assert {number for number, *_ in est._structure} - {None} <= {0, 1, 2}


def test_weights_are_repetitions(three):
    _, X, y = three
    weight = np.random.default_rng(0).integers(1, 4, len(X))
    est = GrowingRegressor(n_members=2, **SMALL).fit(X, y, sample_weight=weight)
    again = clone(est).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_array_equal(est.predict(X), again.predict(X))


@pytest.mark.parametrize("settings", [{"early_stopping": True}, {"activation": "relu"}, {"loss": "huber"}])
def test_members_are_averaged_with_other_settings(settings):
    X, y = friedman(80)
    est = GrowingRegressor(n_members=2, **SMALL | settings).fit(X, y)
    assert {0, 1} <= {row["member"] for row in est.history_}
    assert est.architecture_[1] == sum(width for *_, (width,) in est._structure)
    assert est.score(X, y) > 0.5


def test_deep_members_lie_side_by_side():
    X, y = friedman(60)
    deep = {"hidden_layer_sizes": (2, 2), "max_neurons": 7, "max_stage_iter": 15, "activation": "tanh"}
    est = GrowingRegressor(n_members=2, **SMALL | deep, warm_start=True).fit(X, y)
    widths = [widths for *_, widths in est._structure]
    assert est.architecture_[1:-1] == tuple(np.sum(widths, 0))
    (first, _), (second, _) = widths
    assert not est.coefs_[1][:first, widths[0][1] :].any()
    assert not est.coefs_[1][first:, : widths[0][1]].any()
    assert second == first
    assert (est.predict(X, return_std=True)[1] > np.sqrt(est.noise_variance_)).all()
    est.fit(X, y)
    starts = [row["architecture"][1:-1] for row in est.history_ if row["action"] == "start"]
    assert starts == widths
    est.partial_fit(X, y)
    with pytest.raises(ValueError, match="members without weights between them; partial_fit has joined those"):
        est.fit(X, y)


def test_classes_are_averaged_before_the_softmax():
    X, y = load_wine(return_X_y=True)
    est = GrowingClassifier(n_members=2, activation="tanh", max_neurons=12, random_state=0).fit(X[::2], y[::2])
    assert {number for number, *_ in est._structure} == {0, 1}
    assert est.out_activation_ == "softmax"
    F = np.asarray(est.decision_function(X))
    log = np.log(est.predict_proba(X[::2]))
    np.testing.assert_allclose(log - log.mean(1, keepdims=True), (F - F.mean(1, keepdims=True))[::2], atol=1e-9)
    assert est.score(X, y) > 0.9


def test_a_path_norm_network_is_certified_alone():
    X, y = friedman(30)
    with pytest.raises(ValueError, match=r"penalty='path' needs n_members in \[1\]; got 2"):
        GrowingRegressor(penalty="path", alpha=1.0, n_members=2).fit(X, y)


@pytest.mark.skipif(
    not hasattr(GrowingRegressor, "set_callbacks"), reason="scikit-learn has callbacks from version 1.9"
)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_callbacks_see_every_stage_and_stop_all_members(three, n_jobs):
    _, X, y = three
    X, y = X[:40], y[:40]
    counter = Counter()
    settings = SMALL | {"activation": "tanh", "n_members": 3, "n_jobs": n_jobs}
    est = GrowingRegressor(**settings).set_callbacks(counter).fit(X, y)
    assert counter.stages == len(est.history_)
    counter = Counter(stop_after=sum(row["member"] == 0 for row in est.history_) + 1)
    est = GrowingRegressor(**settings).set_callbacks(counter).fit(X, y)
    assert est.stop_reason_ == "callback"
    assert {row["member"] for row in est.history_} - {None} == {0, 1}


class Counter:
    def __init__(self, stop_after=10**9):
        self.stop_after, self.stages = stop_after, 0

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **kwargs):
        pass

    def on_fit_task_end(self, estimator, context, **kwargs):
        self.stages += context.task_name == "growth stage"
        return context.task_name == "growth stage" and self.stages >= self.stop_after


def test_a_growth_curve_has_a_line_per_member_and_a_label_per_activation(three):
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("Agg")
    est = three[0]
    display = GrowthCurveDisplay.from_estimator(est)
    paths = {(row["member"], row["activation"]) for row in est.history_}
    assert len(display.line_) == len(paths)
    labels = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert len(labels) == len(set(labels))
    assert {"relu", "tanh", "returned"} <= set(labels)
    plt.close("all")
