"""activation="auto": the average of a ReLU and a tanh network."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine, make_friedman1

from skgrow import GrowingClassifier, GrowingRegressor


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
    if 2 * best_rows(est)[0]["architecture"][1] <= max_neurons:  # room for both
        assert est.activation_ == "relu+tanh"
        assert max(tanh) <= max_neurons - best_rows(est)[0]["architecture"][1]


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
    with pytest.raises(ValueError, match=r"goes on with activation 'relu\+tanh'; got activation='tanh'"):
        est.set_params(activation="tanh").fit(X, y)


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
