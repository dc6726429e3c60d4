"""activation="auto": the average of a ReLU and a tanh network."""

import itertools
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine, make_friedman1

from skgrow import GrowingClassifier, GrowingRegressor
from skgrow.training._levenberg_marquardt import LevenbergMarquardtState


def friedman(n=100):
    X, y = make_friedman1(n, noise=1.0, random_state=0)
    return X[:, :4], y


def best_rows(est):
    """The row of the largest criterion of every activation."""
    rows = {name: [row for row in est.history_ if row["activation"] == name] for name in ("relu", "tanh")}
    return [max(found, key=lambda row: row["accepted"] * 1e9 + row["criterion"]) for found in rows.values()]


@pytest.mark.parametrize("settings", [{}, {"criterion": "gcv"}, {"early_stopping": True}, {"loss": "huber"}])
def test_predictions_are_those_of_both_networks_weighted_by_the_inverse_of_their_errors(settings):
    X, y = friedman()
    est = GrowingRegressor(n_exchanges=1, random_state=0, **settings).fit(X, y)
    relu, tanh = (clone(est).set_params(activation=name).fit(X, y) for name in ("relu", "tanh"))
    errors = [-max(row["criterion"] for row in found.history_ if row["accepted"]) for found in (relu, tanh)]
    share = errors[1] / sum(errors)
    assert est.activation_ == "relu+tanh"
    expected = share * relu.predict(X) + (1 - share) * tanh.predict(X)
    np.testing.assert_allclose(est.predict(X), expected, rtol=1e-9)
    widths = [found.architecture_[1] for found in (relu, tanh)]
    assert est.architecture_ == (4, sum(widths), 1)
    assert list(est.hidden_activations_[0]) == ["relu"] * widths[0] + ["tanh"] * widths[1]
    shares = [share, 1 - share]
    effective = [found.effective_parameters_ for found in (relu, tanh)]
    assert est.effective_parameters_ == pytest.approx(np.dot(shares, effective), rel=1e-9)
    assert est.alpha_ == pytest.approx(relu.alpha_**share * tanh.alpha_ ** (1 - share), rel=1e-9)
    expected = np.logaddexp(relu.log_evidence_, tanh.log_evidence_) - np.log(2)
    assert est.log_evidence_ == pytest.approx(expected, rel=1e-9)


def test_the_last_row_of_the_history_is_the_average():
    X, y = friedman()
    est = GrowingRegressor(random_state=0).fit(X, y)
    row, best = est.history_[-1], best_rows(est)
    assert row["action"] == "average"
    assert row["activation"] == est.activation_
    assert row["architecture"] == est.architecture_
    assert row["n_parameters"] == sum(a.size for a in est.coefs_ + est.intercepts_)
    assert row["train_loss"] == est.loss_
    assert row["loo"] == -row["criterion"]
    assert row["criterion"] > min(found["criterion"] for found in best)
    assert row["n_parameters"] == sum(found["n_parameters"] for found in best) - 1  # one output bias
    errors = [-found["criterion"] for found in best]
    heavier = best[0] if errors[0] < errors[1] else best[1]
    assert est.growth_indicator_ == row["indicator"] == heavier["indicator"]
    variance = 2 * est.loss_ * len(X) / (len(X) - est.effective_parameters_) * y.var()
    assert est.noise_variance_ == pytest.approx(variance)
    assert np.isfinite([row["gcv"], row["log_evidence"]]).all()


def test_a_penalty_given_is_the_one_used():
    X, y = friedman()
    est = GrowingRegressor(alpha=0.01, n_exchanges=0, random_state=0).fit(X, y)
    assert est.activation_ == "relu+tanh"
    assert est.alpha_ == 0.01


def test_classes_are_averaged_before_the_softmax():
    X, y = load_wine(return_X_y=True)
    est = GrowingClassifier(random_state=0).fit(X, y)
    assert est.activation_ == "relu+tanh"
    relu, tanh = (clone(est).set_params(activation=name).fit(X, y) for name in ("relu", "tanh"))
    logits = [np.log(found.predict_proba(X)) for found in (relu, tanh, est)]
    centred = [F - F.mean(1, keepdims=True) for F in logits]
    share = np.vdot(centred[2] - centred[1], centred[0] - centred[1]) / np.sum((centred[0] - centred[1]) ** 2)
    assert 0.05 < share < 0.95
    np.testing.assert_allclose(centred[2], share * centred[0] + (1 - share) * centred[1], atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_neurons": 3},
        {"hidden_layer_sizes": (2, 2), "max_neurons": 10, "n_exchanges": 0, "max_iter": 20},
        {"max_neurons": 0},
        {"activation": "relu"},
    ],
    ids=["no room for both", "deep", "no neurons", "one activation"],
)
def test_one_network_stands_alone(settings):
    X, y = friedman(60)
    est = GrowingRegressor(random_state=0, **settings).fit(X, y)
    assert est.activation_ in ("relu", "tanh")
    assert all(row["action"] != "average" for row in est.history_)
    assert all(set(names) == {est.activation_} for names in est.hidden_activations_ if len(names))


@pytest.mark.parametrize("max_neurons", [4, 9, 12])
def test_both_together_stay_within_the_budget(max_neurons):
    X, y = friedman()
    est = GrowingRegressor(max_neurons=max_neurons, n_exchanges=0, random_state=0).fit(X, y)
    assert est.architecture_[1] <= max_neurons
    relu, tanh = ([r["architecture"][1] for r in est.history_ if r["activation"] == s] for s in ("relu", "tanh"))
    assert max(relu + tanh) <= max_neurons
    left = max_neurons - best_rows(est)[0]["architecture"][1]
    if 2 * left >= max_neurons:  # room for both
        assert est.activation_ == "relu+tanh"
        assert max(tanh) <= left
    else:  # all of it, to compete
        assert max(tanh) > left


def test_a_much_worse_network_is_left_out():
    x = np.linspace(-1, 1, 60)[:, None]
    est = GrowingRegressor(random_state=0).fit(x, np.abs(x[:, 0]) + np.maximum(0, x[:, 0] - 0.5))
    assert est.activation_ == "relu"


def test_warm_start_goes_on_with_both_networks():
    X, y = friedman()
    est = GrowingRegressor(max_stages=1, n_exchanges=0, warm_start=True, random_state=0).fit(X, y)
    first, loss = est.architecture_, est.loss_
    est.set_params(max_stages=3).fit(X, y)
    assert est.activation_ == "relu+tanh"
    assert est.architecture_[1] > first[1]
    assert est.loss_ < loss
    starts = [row for row in est.history_ if row["action"] == "start"]
    assert sum(row["architecture"][1] for row in starts) == first[1]
    with pytest.raises(
        ValueError, match=r"goes on with activation 'relu\+tanh'; got activation='tanh', allowed is 'auto'"
    ):
        est.set_params(activation="tanh").fit(X, y)


@pytest.mark.parametrize("step", [0, 12])
def test_an_interrupted_warm_start_keeps_both_networks(step, monkeypatch):
    X, y = friedman()
    est = GrowingRegressor(max_stages=1, n_exchanges=0, warm_start=True, random_state=0).fit(X, y)
    loss, widths = est.loss_, list(est.hidden_activations_[0])
    steps, original = itertools.count(), LevenbergMarquardtState.step

    def interrupted(state):
        if next(steps) == step:
            raise KeyboardInterrupt
        return original(state)

    monkeypatch.setattr(LevenbergMarquardtState, "step", interrupted)
    with pytest.warns(UserWarning, match="interrupted by user"):
        est.fit(X, y)
    assert est.activation_ == "relu+tanh"
    assert len(est.hidden_activations_[0]) >= len(widths)
    assert est.loss_ <= loss * (1 + 1e-3)  # the weights of the two are new ones


def test_warm_start_leaves_room_for_both_networks():
    X, y = friedman()
    est = GrowingRegressor(max_stages=1, n_exchanges=0, warm_start=True, random_state=0).fit(X, y)
    for max_neurons in (est.architecture_[1] + 3, est.architecture_[1] - 1):
        est.set_params(max_neurons=max_neurons, max_stages=5).fit(X, y)
        assert est.activation_ == "relu+tanh"
        assert est.architecture_[1] <= est.max_neurons or est.history_[-1]["action"] == "average"


def test_the_deviation_is_between_those_of_the_networks_where_these_agree():
    X, y = friedman()
    est = GrowingRegressor(n_exchanges=0, random_state=0).fit(X, y)
    relu, tanh = (clone(est).set_params(activation=name).fit(X, y) for name in ("relu", "tanh"))
    (mean, std), (f, s), (g, t) = (found.predict(X, return_std=True) for found in (est, relu, tanh))
    share = np.vdot(mean - g, f - g) / np.sum((f - g) ** 2)
    noise = est.noise_variance_
    ratios = [noise / found.noise_variance_ for found in (relu, tanh)]  # one noise for both
    # no sample is beyond the outer kinks, which the deviations do without
    parts = [
        np.sqrt((d**2 - found.noise_variance_) * ratio + (h - mean) ** 2)
        for found, d, h, ratio in zip((relu, tanh), (s, t), (f, g), ratios, strict=True)
    ]
    expected = np.sqrt((share * parts[0] + (1 - share) * parts[1]) ** 2 + noise)
    np.testing.assert_allclose(std, expected, rtol=1e-6)


def test_noise_and_coverage_of_an_average():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(1200, 2))
    y = np.sin(2 * X[:, 0]) + np.abs(X[:, 1]) + 0.3 * rng.normal(size=1200)
    est = GrowingRegressor(n_exchanges=0, random_state=0).fit(X[:200], y[:200])
    assert est.activation_ == "relu+tanh"
    assert est.noise_variance_ == pytest.approx(0.09, rel=0.2)
    mean, std = est.predict(X[200:], return_std=True)
    inside = np.mean(np.abs(y[200:] - mean) < 1.96 * std)
    assert 0.93 < inside < 0.98


def test_partial_fit_lets_the_average_learn_and_grow():
    X, y = friedman(400)
    est = GrowingRegressor(random_state=0, schedule="every", learning_rate_init=1e-3).partial_fit(X[:200], y[:200])
    assert est.activation_ == "relu+tanh"
    widths, n_relu = {est.architecture_[1]}, int(np.sum(est.hidden_activations_[0] == "relu"))
    for _ in range(60):
        est.partial_fit(X[200:], y[200:])
        widths.add(est.architecture_[1])
    assert len(widths) > 1
    assert np.sum(est.hidden_activations_[0] == "relu") == n_relu  # new ones are tanh
    assert list(est.hidden_activations_[0][:n_relu]) == ["relu"] * n_relu
    assert est.score(X[200:], y[200:]) > 0.8


def test_an_average_is_stored_whole():
    X, y = load_diabetes(return_X_y=True)
    est = GrowingRegressor(random_state=0).fit(X[:150], y[:150])
    again = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(again.predict(X), est.predict(X))
    mean, std = est.predict(X, return_std=True)
    assert (std > np.sqrt(est.noise_variance_)).all()
    assert (std < 3 * y.std()).all()
    np.testing.assert_array_equal(mean, est.predict(X))
