"""activation="auto": the average of a ReLU and a tanh network, and of the linear model where that is best."""

import pickle
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_wine, make_friedman1, make_regression
from sklearn.linear_model import Ridge

from skgrow import GrowingClassifier, GrowingRegressor
from skgrow.criteria import GCV
from skgrow.growth import PolarSearch, shares_of
from skgrow.solvers import LevenbergMarquardt
from skgrow.training import Plateau

NETWORKS = {"relu", "tanh"}


def friedman(n=100):
    X, y = make_friedman1(n, noise=1.0, random_state=0)
    return X[:, :4], y


def members(est):
    """The activations of the networks in an average."""
    return set(est.hidden_activations_[0])


def best_rows(est):
    """The row of the largest criterion of every activation."""
    rows = {name: [row for row in est.history_ if row["activation"] == name] for name in ("relu", "tanh")}
    return [max(found, key=lambda row: row["accepted"] * 1e9 + row["criterion"]) for found in rows.values()]


@pytest.mark.parametrize("settings", [{}, {"criterion": "gcv"}, {"early_stopping": True}, {"loss": "huber"}])
def test_predictions_are_those_of_both_networks_weighted_by_the_inverse_of_their_errors(settings):
    X, y = friedman()
    few = {"schedule": Plateau(max_growths=2), "search": PolarSearch(n_exchanges=1), "random_state": 0}
    est = GrowingRegressor(**few, **settings).fit(X, y)
    relu, tanh = (clone(est).set_params(activation=name).fit(X, y) for name in ("relu", "tanh"))
    errors = [-max(row["criterion"] for row in found.history_ if row["accepted"]) for found in (relu, tanh)]
    share = errors[1] / sum(errors)
    assert members(est) == NETWORKS
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


@pytest.fixture(scope="module")
def fitted():
    X, y = friedman()
    return GrowingRegressor(search=PolarSearch(n_exchanges=1), random_state=0).fit(X, y)


def test_the_last_row_of_the_history_is_the_average(fitted):
    (X, y), est = friedman(), fitted
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
    est = GrowingRegressor(alpha=0.01, search=PolarSearch(n_exchanges=0), random_state=0).fit(X, y)
    assert members(est) >= NETWORKS
    assert est.alpha_ == 0.01


def test_classes_are_averaged_before_the_softmax():
    X, y = load_wine(return_X_y=True)
    est = GrowingClassifier(random_state=0).fit(X, y)
    assert members(est) >= NETWORKS
    relu, tanh = (clone(est).set_params(activation=name).fit(X, y) for name in ("relu", "tanh"))
    logits = [np.log(found.predict_proba(X)) for found in (relu, tanh, est)]
    relu, tanh, both = (F - F.mean(1, keepdims=True) for F in logits)
    line = np.column_stack([X, np.ones(len(X))])
    parts = np.column_stack([relu.ravel(), tanh.ravel(), np.kron(line, np.eye(3))])
    shares = np.linalg.lstsq(parts, both.ravel())[0]
    np.testing.assert_allclose(parts @ shares, both.ravel(), atol=1e-6)
    assert (shares[:2] >= 0.05 - 1e-9).all()
    if "identity" in members(est):  # the linear model has the rest
        assert shares[:2].sum() <= 0.95 + 1e-9
    else:
        assert shares[:2].sum() == pytest.approx(1)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_neurons": 3},
        {"hidden_layer_sizes": (2, 2), "max_neurons": 10, "search": PolarSearch(n_exchanges=0), "max_stage_iter": 20},
        {"max_neurons": 0},
        {"activation": "relu"},
    ],
    ids=["no room for both", "deep", "no neurons", "one activation"],
)
def test_one_network_stands_alone(settings):
    X, y = friedman(60)
    est = GrowingRegressor(random_state=0, **settings).fit(X, y)
    assert "+" not in est.activation_
    assert all(row["action"] != "average" for row in est.history_)
    assert all(set(names) == {est.activation_} for names in est.hidden_activations_ if len(names))


@pytest.mark.parametrize("max_neurons", [4, 9, 12])
def test_both_together_stay_within_the_budget(max_neurons):
    X, y = friedman()
    est = GrowingRegressor(max_neurons=max_neurons, search=PolarSearch(n_exchanges=0), random_state=0).fit(X, y)
    assert est.architecture_[1] <= max_neurons
    relu, tanh = ([r["architecture"][1] for r in est.history_ if r["activation"] == s] for s in ("relu", "tanh"))
    assert max(relu + tanh) <= max_neurons
    left = max_neurons - best_rows(est)[0]["architecture"][1]
    if 2 * left >= max_neurons:  # room for both
        assert members(est) >= NETWORKS
        assert max(tanh) <= left
    else:  # all of it, to compete
        assert max(tanh) > left


def test_a_much_worse_network_is_left_out():
    x = np.linspace(-1, 1, 60)[:, None]
    y = np.abs(x[:, 0]) + np.maximum(0, x[:, 0] - 0.5)
    est = GrowingRegressor(search=PolarSearch(n_exchanges=0), random_state=0).fit(x, y)
    assert members(est) == {"relu"}


def test_warm_start_goes_on_with_both_networks():
    X, y = friedman()
    est = GrowingRegressor(
        schedule=Plateau(max_growths=1), search=PolarSearch(n_exchanges=0), warm_start=True, random_state=0
    ).fit(X, y)
    first, loss = sum(est.hidden_activations_[0] != "identity"), est.loss_
    est.set_params(schedule=Plateau(max_growths=3)).fit(X, y)
    assert members(est) >= NETWORKS
    assert est.architecture_[1] > first
    assert est.loss_ < loss
    starts = [row for row in est.history_ if row["action"] == "start"]
    assert sum(row["architecture"][1] for row in starts) == first
    name = re.escape(est.activation_)
    with pytest.raises(ValueError, match=f"goes on with activation '{name}'; got activation='tanh', allowed is 'auto'"):
        est.set_params(activation="tanh").fit(X, y)


@pytest.mark.parametrize("at", [1, 12])
def test_an_interrupted_warm_start_keeps_both_networks(at, interrupted):
    X, y = friedman()
    est = GrowingRegressor(
        schedule=Plateau(max_growths=1), search=PolarSearch(n_exchanges=0), warm_start=True, random_state=0
    ).fit(X, y)
    loss, widths = est.loss_, [name for name in est.hidden_activations_[0] if name != "identity"]
    est.set_params(solver=interrupted(LevenbergMarquardt, at=at))
    with pytest.warns(UserWarning, match="interrupted by user"):
        est.fit(X, y)
    assert est.solver.begun == at
    assert members(est) >= NETWORKS
    assert len(est.hidden_activations_[0]) >= len(widths)
    assert est.loss_ <= loss * (1 + 1e-3)  # the weights of the two are new ones


def test_warm_start_leaves_room_for_both_networks():
    X, y = friedman()
    est = GrowingRegressor(
        schedule=Plateau(max_growths=1), search=PolarSearch(n_exchanges=0), warm_start=True, random_state=0
    ).fit(X, y)
    for max_neurons in (est.architecture_[1] + 3, est.architecture_[1] - 1):
        est.set_params(max_neurons=max_neurons, schedule=Plateau(max_growths=5)).fit(X, y)
        assert members(est) >= NETWORKS
        assert est.architecture_[1] <= est.max_neurons or est.history_[-1]["action"] == "average"


def test_the_deviation_is_between_those_of_the_networks_where_these_agree():
    X, y = friedman()
    est = GrowingRegressor(schedule=Plateau(max_growths=2), search=PolarSearch(n_exchanges=0), random_state=0).fit(X, y)
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
    np.testing.assert_allclose(std, expected, rtol=1e-5)


def test_noise_and_coverage_of_an_average():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, size=(1200, 2))
    y = np.sin(2 * X[:, 0]) + np.abs(X[:, 1]) + 0.3 * rng.normal(size=1200)
    est = GrowingRegressor(search=PolarSearch(n_exchanges=0), random_state=0).fit(X[:200], y[:200])
    assert members(est) >= NETWORKS
    assert est.noise_variance_ == pytest.approx(0.09, rel=3 * (2 / 200) ** 0.5)  # three standard errors
    mean, std = est.predict(X[200:], return_std=True)
    inside = np.mean(np.abs(y[200:] - mean) < 1.96 * std)
    assert inside == pytest.approx(0.95, abs=0.03)  # of 1000 samples three standard errors are 0.021


def test_partial_fit_lets_the_average_learn_and_grow():
    X, y = friedman(400)
    est = GrowingRegressor(
        schedule="every", search=PolarSearch(n_exchanges=0), learning_rate_init=1e-3, random_state=0
    ).partial_fit(X[:200], y[:200])
    assert members(est) == NETWORKS
    widths, n_relu = {est.architecture_[1]}, int(np.sum(est.hidden_activations_[0] == "relu"))
    for _ in range(60):
        est.partial_fit(X[200:], y[200:])
        widths.add(est.architecture_[1])
    assert len(widths) > 1
    assert np.sum(est.hidden_activations_[0] == "relu") == n_relu  # new ones are tanh
    assert list(est.hidden_activations_[0][:n_relu]) == ["relu"] * n_relu
    # 0.84; the linear model has 0.65 and the noise, with the feature left out, leaves about 0.87
    assert est.score(X[200:], y[200:]) > Ridge().fit(X[200:], y[200:]).score(X[200:], y[200:]) + 0.1


def test_an_average_is_stored_whole():
    X, y = load_diabetes(return_X_y=True)
    est = GrowingRegressor(search=PolarSearch(n_exchanges=0), random_state=0).fit(X[:150], y[:150])
    again = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(again.predict(X), est.predict(X))
    mean, std = est.predict(X, return_std=True)
    assert (std > np.sqrt(est.noise_variance_)).all()
    assert (std < 3 * y.std()).all()
    np.testing.assert_array_equal(mean, est.predict(X))


# the linear model ----------------------------------------------------------------------------------------------


def nearly_linear(n=60, d=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, X @ rng.normal(size=d) + 0.3 * rng.normal(size=n)


def standardized(est, X):
    """Return inputs in units of training."""
    mean, scale = est._scaling[:2]
    return (X - mean) / scale


def test_where_nothing_is_better_the_linear_model_joins():
    X, y = nearly_linear()
    est = GrowingRegressor(schedule=Plateau(max_growths=2), search=PolarSearch(n_exchanges=1), random_state=0).fit(X, y)
    assert sum(est.hidden_activations_[0] == "identity") == 1
    row = next(row for row in est.history_ if row["action"] == "linear")
    assert row["loo"] <= min(
        found["loo"] if found["activation"] == "tanh" else found["gcv"] for found in best_rows(est)
    )
    assert 0 < row["indicator"] < 2
    relu, tanh = (clone(est).set_params(activation=name).fit(X, y) for name in ("relu", "tanh"))
    Z = standardized(est, X)
    line = Ridge(row["alpha"]).fit(Z, y)
    parts = [line.predict(Z), relu.predict(X), tanh.predict(X)]
    errors = [row["loo"], *(-max(r["criterion"] for r in found.history_ if r["accepted"]) for found in (relu, tanh))]
    shares = shares_of(errors)
    names = ("identity", "relu", "tanh")
    assert members(est) == {name for name, share in zip(names, shares, strict=True) if share > 0}
    np.testing.assert_allclose(est.predict(X), np.array(shares) @ parts, rtol=1e-9)
    std = est.predict(X, return_std=True)[1]
    assert (std > np.sqrt(est.noise_variance_)).all()
    assert (std < 2 * np.sqrt(est.noise_variance_)).all()


def test_where_something_is_better_it_does_not(fitted):
    assert "identity" not in members(fitted)
    assert [row["activation"] for row in fitted.history_ if row["action"] == "linear"] == ["identity"]


@pytest.fixture(scope="module")
def alone():
    """Of as many features as samples a network learns next to nothing."""
    X, y = make_regression(600, 100, n_informative=10, noise=10, random_state=0)
    est = GrowingRegressor(schedule=Plateau(max_growths=1), search=PolarSearch(n_exchanges=0), random_state=0)
    return est.fit(X[:100], y[:100]), X, y


def test_it_can_be_best_alone(alone):
    est, X, y = alone
    assert members(est) == {"identity"}
    assert est.architecture_ == (100, 1, 1)
    assert est.history_[-1]["action"] == "linear"
    assert est.history_[-1]["indicator"] == est.growth_indicator_
    assert est.n_iter_ == len(est.loss_curve_)
    Z = standardized(est, X)
    ridge = Ridge(est.alpha_).fit(Z[:100], y[:100])
    np.testing.assert_allclose(est.predict(X), ridge.predict(Z), rtol=1e-6)
    np.testing.assert_allclose(est.coefs_[0] @ est.coefs_[1], (ridge.coef_ / est._scaling[1])[:, None], rtol=1e-6)


def test_its_deviation_is_that_of_ridge_regression(alone):
    est, X, _ = alone
    Z = np.column_stack([standardized(est, X), np.ones(len(X))])
    matrix = Z[:100].T @ Z[:100] + est.alpha_ * np.diag([1.0] * 100 + [0.0])
    expected = est.noise_variance_ * (1 + np.sum(Z * np.linalg.solve(matrix, Z.T).T, 1))
    np.testing.assert_allclose(est.predict(X, return_std=True)[1] ** 2, expected, rtol=1e-5)


def test_alone_it_is_stored_converted_and_trained_on(alone):
    est, X, y = alone
    again = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(again.predict(X), est.predict(X))
    again.set_params(schedule="every", learning_rate_init=1e-3)
    for _ in range(25):
        again.partial_fit(X, y)
    assert members(again) == {"identity", "tanh"}
    assert again.architecture_[1] > 1
    assert again.score(X, y) > 0.9
    again.set_params(warm_start=True, schedule=Plateau(max_growths=2)).fit(X[:, :], y)
    assert again.score(X, y) > 0.95


def test_warm_start_from_it_alone_grows_networks(alone):
    est, X, y = alone
    again = pickle.loads(pickle.dumps(est)).set_params(warm_start=True)
    with pytest.raises(
        ValueError, match="goes on with activation 'identity'; got activation='relu', allowed is 'auto'"
    ):
        again.set_params(activation="relu").fit(X, y)
    bent = y + 60 * np.abs(X[:, 0])
    again.set_params(activation="auto").fit(X, bent)
    assert {row["action"] for row in again.history_} >= {"start", "grow", "linear"}
    assert members(again) & NETWORKS
    assert again.score(X, bent) > est.score(X, bent) + 0.05  # 0.97 instead of 0.84


@pytest.mark.parametrize("max_neurons", [0, 1, 4])
def test_it_stays_within_the_budget(max_neurons):
    X, y = nearly_linear()
    est = GrowingRegressor(max_neurons=max_neurons, search=PolarSearch(n_exchanges=0), random_state=0).fit(X, y)
    assert est.architecture_[1] <= max_neurons
    assert ("identity" in members(est)) == (max_neurons > 0)


@pytest.mark.parametrize(
    "settings",
    [{"early_stopping": True}, {"loss": "huber"}, {"alpha": 0.1}, {"criterion": "evidence"}, {"solver": "adam"}],
    ids=str,
)
def test_linear_data_are_learned_with_any_settings(settings):
    X, y = nearly_linear(200)
    est = GrowingRegressor(
        schedule=Plateau(max_growths=1),
        search=PolarSearch(n_exchanges=0),
        max_stage_iter=50,
        random_state=0,
        **settings,
    ).fit(X[:100], y[:100])
    assert "identity" in members(est) or "early_stopping" in settings  # ten samples hardly tell
    line = Ridge(0.1).fit(X[:100], y[:100])
    assert est.score(X[100:], y[100:]) > line.score(X[100:], y[100:]) - 0.03


def test_several_outputs_and_classes_have_a_linear_model():
    X, y = nearly_linear(100)
    Y = np.column_stack([y, 2 * X[:, 0] - y])
    est = GrowingRegressor(schedule=Plateau(max_growths=1), search=PolarSearch(n_exchanges=0), random_state=0).fit(X, Y)
    assert sum(est.hidden_activations_[0] == "identity") == 2
    assert est.score(X, Y) > 0.9
    classes = np.digitize(y, [-1, 1])
    est = GrowingClassifier(search=PolarSearch(n_exchanges=0), random_state=0).fit(X, classes)
    assert sum(est.hidden_activations_[0] == "identity") == 3
    assert est.score(X, classes) > 0.85


class InterruptedAtTheLine(GCV):
    """Generalised cross-validation, which the user interrupts when the linear model is judged."""

    def value(self, network, problem, found):
        if len(network.weights) == 1:
            raise KeyboardInterrupt
        return super().value(network, problem, found)


def test_an_interrupt_while_it_is_fitted_keeps_the_networks():
    X, y = nearly_linear()
    est = GrowingRegressor(schedule=Plateau(max_growths=1), search=PolarSearch(n_exchanges=0), random_state=0)
    assert "identity" in members(est.set_params(criterion="gcv").fit(X, y))
    with pytest.warns(UserWarning, match="interrupted by user"):
        est.set_params(criterion=InterruptedAtTheLine()).fit(X, y)
    assert members(est) == NETWORKS


def test_a_warm_start_does_not_exceed_the_budget_for_it():
    X, y = nearly_linear(40)
    est = GrowingRegressor(max_neurons=12, warm_start=True, search=PolarSearch(n_exchanges=0), random_state=0)
    for _ in range(3):
        assert est.fit(X, y).architecture_[1] <= 12
    rng = np.random.default_rng(0)
    Y = X @ rng.normal(size=(5, 7))
    est = GrowingRegressor(max_neurons=8, warm_start=True, search=PolarSearch(n_exchanges=0), random_state=0).fit(
        X, np.abs(Y)
    )
    assert est.fit(X, Y + 0.3 * rng.normal(size=Y.shape)).architecture_[1] <= 8


def test_a_deep_network_goes_on_without_it():
    X, y = nearly_linear(40)
    est = GrowingRegressor(
        hidden_layer_sizes=(2, 2), max_neurons=8, max_stage_iter=20, search=PolarSearch(n_exchanges=0), random_state=0
    )
    est.fit(X, y).set_params(warm_start=True, hidden_layer_sizes=(0,)).fit(X, y)
    assert len(est.architecture_) == 4
    assert "identity" not in members(est)
