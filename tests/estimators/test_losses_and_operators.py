"""GrowingRegressor with other losses than the squared error, and fitted through linear operators."""

import pickle
from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import mean_pinball_loss, mean_poisson_deviance, r2_score

from skgrow import GrowingRegressor
from skgrow.growth import PolarSearch
from skgrow.problem import Huber
from skgrow.training import Plateau

SMALL = {
    "activation": "tanh",
    "max_neurons": 6,
    "max_stage_iter": 30,
    "search": PolarSearch(n_exchanges=1),
    "random_state": 0,
}


def counts(n=200, seed=0, factor=1.0):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n, 2))
    mean = factor * np.exp(np.sin(2 * X[:, 0]) + 0.5 * X[:, 1])
    return X, rng.poisson(mean).astype(float), mean


def waves(n=150, seed=0, noise=0.1):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n, 1))
    return X, np.sin(2 * X[:, 0]) + noise * rng.normal(size=n)


# Poisson -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("solver", ["auto", "lbfgs", "adam"])
def test_poisson_means_are_positive_and_better_than_a_constant(activation, solver):
    X, y, _ = counts()
    new, y_new, mean = counts(seed=1)
    parameters = SMALL | {"activation": activation, "learning_rate_init": 0.02}
    est = GrowingRegressor(loss="poisson", solver=solver, **parameters).fit(X, y)
    prediction = est.predict(new)
    assert (prediction > 0).all()
    constant = mean_poisson_deviance(y_new, np.full(len(y_new), y.mean()))
    least = mean_poisson_deviance(y_new, mean)
    assert mean_poisson_deviance(y_new, prediction) < least + 0.4 * (constant - least)


def test_without_neurons_a_poisson_regression_predicts_the_mean():
    X, y, _ = counts()
    np.testing.assert_allclose(GrowingRegressor(loss="poisson", max_neurons=0).fit(X, y).predict(X), y.mean())


def test_the_loss_of_a_poisson_regression_is_half_the_deviance():
    X, y, mean = counts()
    est = GrowingRegressor(loss="poisson", **SMALL).fit(X, y)
    assert 2 * est.loss_ * y.mean() == pytest.approx(mean_poisson_deviance(y, est.predict(X)), rel=1e-8)
    raw = GrowingRegressor(loss="poisson", standardize=False, **SMALL).fit(X, y)
    assert raw.score(X, y) > 0.8 * r2_score(y, mean)  # as much as the true mean explains


@pytest.mark.parametrize("columns", [1, 2])
def test_negative_counts_and_only_zeros_are_refused(columns):
    X, y, _ = counts()
    y = y if columns == 1 else np.column_stack([y, y])
    with pytest.raises(ValueError, match=r"loss='poisson' needs y >= 0; the smallest value of y is -1.0"):
        GrowingRegressor(loss="poisson", **SMALL).fit(X, y - 1)
    with pytest.raises(ValueError, match="some y > 0"):
        GrowingRegressor(loss="poisson", **SMALL).fit(X, 0 * y)


def test_several_counts_at_once_and_one_that_is_always_zero():
    X, y, mean = counts()
    est = GrowingRegressor(loss="poisson", **SMALL).fit(X, np.column_stack([y, 3 * y, 0 * y]))
    prediction = est.predict(X)
    assert prediction.shape == (len(X), 3)
    assert np.isfinite(prediction).all()
    assert (prediction[:, 2] < 1e-6).all()
    for column, factor in enumerate((1, 3)):
        assert r2_score(factor * y, prediction[:, column]) > 0.8 * r2_score(y, mean)


# Huber ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_gross_outliers_leave_a_huber_regression_alone(activation):
    X, y = waves()
    clean = np.sin(2 * X[:, 0])
    spoilt = y.copy()
    spoilt[::10] += 40 * np.random.default_rng(1).uniform(0.5, 1, len(y[::10]))
    parameters = SMALL | {"activation": activation}
    errors = {
        loss: np.mean((GrowingRegressor(loss=loss, **parameters).fit(X, spoilt).predict(X) - clean) ** 2)
        for loss in ("huber", "squared_error", "quantile")
    }
    assert errors["huber"] < 0.05
    assert errors["quantile"] < 0.1
    assert errors["squared_error"] > 10 * errors["huber"]


def test_on_clean_data_huber_is_about_as_good_as_the_squared_error():
    X, y = waves()
    clean = np.sin(2 * X[:, 0])
    for loss in ("huber", "squared_error"):
        prediction = GrowingRegressor(loss=loss, **SMALL).fit(X, y).predict(X)
        assert np.mean((prediction - clean) ** 2) < 0.01  # the variance of the noise


def test_a_large_epsilon_makes_huber_the_squared_error():
    """The targets are standardized differently, so equality is that of good fits."""
    X, y = waves()
    plain = GrowingRegressor(**SMALL, alpha=1e-4, schedule=Plateau(max_growths=1)).fit(X, y)
    huber = GrowingRegressor(loss=Huber(1e6), alpha=1e-4, schedule=Plateau(max_growths=1), **SMALL).fit(X, y)
    residuals = [np.mean((est.predict(X) - y) ** 2) for est in (plain, huber)]
    assert residuals[1] == pytest.approx(residuals[0], rel=0.1)


# quantiles -----------------------------------------------------------------------------------------------------


def fan(n, seed=0):
    """Noise whose deviation rises with x from 0.2 to 1.2."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(0, 1, size=(n, 1))
    return X, np.sin(4 * X[:, 0]) + (0.2 + X[:, 0]) * rng.normal(size=n)


@pytest.mark.parametrize(("tau", "activation"), [(0.1, "tanh"), (0.5, "relu"), (0.9, "tanh")])
def test_coverage_of_quantiles(tau, activation):
    X, y = fan(500)
    new, y_new = fan(2000, seed=1)
    est = GrowingRegressor(loss="quantile", quantile=tau, **SMALL | {"activation": activation}).fit(X, y)
    below = y_new <= est.predict(new)
    assert below.mean() == pytest.approx(tau, abs=0.06)
    for part in (new[:, 0] < 0.5, new[:, 0] >= 0.5):  # conditionally, too
        assert below[part].mean() == pytest.approx(tau, abs=0.1)
    truth = np.sin(4 * new[:, 0]) + (0.2 + new[:, 0]) * norm.ppf(tau)
    least, constant = (mean_pinball_loss(y_new, f, alpha=tau) for f in (truth, np.full(2000, np.quantile(y, tau))))
    # measured: 3 to 17 % of the way
    assert mean_pinball_loss(y_new, est.predict(new), alpha=tau) < least + 0.4 * (constant - least)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_without_neurons_the_prediction_is_the_quantile(tau):
    X, y = fan(499)
    est = GrowingRegressor(loss="quantile", quantile=tau, max_neurons=0).fit(X, y)
    assert np.mean(y <= est.predict(X)) == pytest.approx(tau, abs=0.02)


def test_quantiles_of_counts_are_fitted():
    """Many residuals are exactly zero there, where the pinball loss is sharpest."""
    X, y, _ = counts(factor=2.0)
    for tau in (0.5, 0.9):
        est = GrowingRegressor(loss="quantile", quantile=tau, **SMALL).fit(X, y)
        constant = np.full(len(y), np.quantile(y, tau))
        assert mean_pinball_loss(y, est.predict(X), alpha=tau) < 0.8 * mean_pinball_loss(y, constant, alpha=tau)


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 1.5, np.nan, "median"])
def test_quantiles_outside_are_refused(value):
    with pytest.raises(ValueError, match="quantile"):
        GrowingRegressor(loss="quantile", quantile=value, **SMALL).fit(*waves())


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (Huber(0.0), "epsilon must be > 0; got 0.0"),
        (Huber(-1.0), "epsilon must be > 0; got -1.0"),
        ("absolute", "'loss' parameter of GrowingRegressor"),
        (None, "'loss' parameter of GrowingRegressor"),
    ],
    ids=str,
)
def test_other_bad_losses_are_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        GrowingRegressor(loss=loss, **SMALL).fit(*waves())


# all losses ----------------------------------------------------------------------------------------------------

ALL = ["squared_error", "huber", "quantile", "poisson"]


@pytest.mark.parametrize(
    ("loss", "size", "activation"),
    [  # every pair meets
        (loss, size, ("tanh", "relu")[(i + j) % 2])
        for (i, loss), (j, size) in product(enumerate(ALL), enumerate([1000.0, 2.0**-20]))
    ],
)
def test_predictions_scale_with_the_target(loss, size, activation):
    X, y, _ = counts(100)
    y = y + 0.3 * np.random.default_rng(0).uniform(size=len(y))
    parameters = SMALL | {"activation": activation, "max_neurons": 4, "search": PolarSearch(n_exchanges=0)}
    one, other = (GrowingRegressor(loss=loss, **parameters).fit(X, s * y) for s in (1, size))
    np.testing.assert_allclose(other.predict(X) / size, one.predict(X), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("loss", ALL)
def test_a_weight_is_a_repetition(loss):
    X, y, _ = counts(80)
    weight = np.random.default_rng(0).integers(0, 3, size=80)
    weighted = GrowingRegressor(loss=loss, **SMALL).fit(X, y, sample_weight=weight)
    repeated = GrowingRegressor(loss=loss, **SMALL).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_array_equal(weighted.predict(X), repeated.predict(X))


@pytest.mark.parametrize("loss", ALL)
@pytest.mark.parametrize("columns", [1, 2])
def test_shapes_tensors_and_pickles(loss, columns):
    X, y, _ = counts(60)
    y = y if columns == 1 else np.column_stack([y, y + 1])
    small = SMALL | {"max_neurons": 3, "max_stage_iter": 10}
    est = GrowingRegressor(loss=loss, **small).fit(X, y)
    assert est.predict(X).shape == y.shape
    copy = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(copy.predict(X), est.predict(X))
    tensor = (
        GrowingRegressor(loss=loss, **small).fit(torch.as_tensor(X), torch.as_tensor(y)).predict(torch.as_tensor(X))
    )
    assert isinstance(tensor, torch.Tensor)
    np.testing.assert_array_equal(tensor, est.predict(X))


@pytest.mark.parametrize("loss", ALL)
def test_constant_targets_are_fitted_without_warnings(loss):
    X, _, _ = counts(30)
    est = GrowingRegressor(loss=loss, **SMALL).fit(X, np.full(30, 3.25))
    np.testing.assert_allclose(est.predict(X), 3.25, rtol=1e-3)


@pytest.mark.parametrize("loss", ALL)
def test_partial_fit_lowers_the_loss(loss):
    X, y, _ = counts(120)
    est = GrowingRegressor(loss=loss, learning_rate_init=0.01, alpha=1e-3, **SMALL).partial_fit(X[:30], y[:30])

    def error():
        residual = y - est.predict(X)
        return np.mean(np.abs(residual) if loss in ("quantile", "huber") else residual**2)

    before = error()
    for _ in range(20):
        est.partial_fit(X, y)
    assert error() < before


@pytest.mark.parametrize("loss", ALL[1:])
def test_standard_deviations_are_those_of_the_squared_error_alone(loss):
    X, y, _ = counts(60)
    est = GrowingRegressor(loss=loss, **SMALL).fit(X, y)
    with pytest.raises(ValueError, match="return_std=True needs loss='squared_error'"):
        est.predict(X, return_std=True)


# operators -----------------------------------------------------------------------------------------------------


PLAIN = SMALL | {"search": PolarSearch(16, 8, n_exchanges=0), "max_stage_iter": 20}


def derivative(f, X):
    return torch.func.jvp(f, (X,), (torch.ones_like(X),))[1]


def with_value_at_zero(of_f):
    """The operator: f itself at x = 0, another operator elsewhere."""
    return lambda f, X: torch.where(X == 0, f(X), of_f(f, X))


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_a_function_from_its_derivative_and_one_value(activation):
    x = np.linspace(0, 3, 31)
    target = np.where(x == 0, 0.0, np.cos(x))
    est = GrowingRegressor(
        operator=with_value_at_zero(derivative), alpha=1e-8, **PLAIN | {"activation": activation, "max_stage_iter": 30}
    ).fit(x[:, None], target)
    np.testing.assert_allclose(est.predict(x[:, None]), np.sin(x), atol=0.02)


def test_relu_networks_are_fitted_to_derivatives_as_well():
    x = np.linspace(0, 3, 31)
    est = GrowingRegressor(
        operator=with_value_at_zero(derivative),
        **PLAIN | {"activation": "relu", "max_neurons": 12},
    ).fit(x[:, None], np.where(x == 0, 0.0, np.cos(x)))
    assert np.abs(est.predict(x[:, None]) - np.sin(x)).max() < 0.15


@pytest.mark.parametrize(("activation", "tolerance"), [("tanh", 0.02), ("relu", 0.1)])
def test_a_linear_differential_equation(activation, tolerance):
    """y' = -y, y(0) = 1: the targets are one at zero and zero elsewhere."""
    x = np.linspace(0, 2, 21)
    weight = np.where(x == 0, 20.0, 1.0)
    operator = with_value_at_zero(lambda f, X: derivative(f, X) + f(X))
    errors = []
    for max_neurons in (1, 8):
        est = GrowingRegressor(
            operator=operator,
            # between samples jumps of a ReLU network are not seen: the penalty keeps them down
            alpha=1e-8 if activation == "tanh" else "auto",
            **PLAIN
            | {
                "activation": activation,
                "max_neurons": max_neurons,
                "block_size": 3 if max_neurons > 1 else 1,
            },
        ).fit(x[:, None], (x == 0).astype(float), sample_weight=weight)
        errors.append(np.abs(est.predict(x[:, None]) - np.exp(-x)).max())
    assert errors[1] < tolerance
    assert errors[1] < errors[0]


def test_a_boundary_point_is_told_by_comparison_on_any_grid():
    """On 401 points zero is not zero any more after a change of units and back."""
    x = np.linspace(0, 2, 401)
    est = GrowingRegressor(
        operator=with_value_at_zero(lambda f, X: derivative(f, X) + f(X)),
        **PLAIN | {"activation": "relu", "max_neurons": 3, "block_size": 3},
    ).fit(x[:, None], (x == 0).astype(float), sample_weight=np.where(x == 0, 200.0, 1.0))
    assert np.abs(est.predict(x[:, None]) - np.exp(-x)).max() < 0.05  # 0.016; without the boundary value about 1


def test_gradients_give_a_function_up_to_a_constant():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(50, 2)) * [1.0, 5.0] + [0.0, 3.0]
    truth = np.sin(2 * X[:, 0]) + 0.1 * X[:, 0] * X[:, 1]
    slopes = np.column_stack([2 * np.cos(2 * X[:, 0]) + 0.1 * X[:, 1], 0.1 * X[:, 0]])
    est = GrowingRegressor(operator="gradient", **PLAIN | {"max_neurons": 9}).fit(X, slopes)
    prediction = est.predict(X)
    assert prediction.shape == (50,)
    assert est.n_outputs_ == 1
    difference = prediction - truth
    assert difference.std() < 0.1 * truth.std()
    module, points = est.to_torch(), torch.as_tensor(X, dtype=torch.float64).requires_grad_()
    (found,) = torch.autograd.grad(module(points).sum(), points)
    assert np.mean((found.numpy() - slopes) ** 2) < 0.05 * np.mean(slopes**2)


@pytest.mark.parametrize("v", [[0.6, 0.8], (0, 2)])
def test_directional_derivatives(v):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(60, 2))
    along = np.column_stack([2 * np.cos(2 * X[:, 0]), X[:, 1]]) @ np.asarray(v, float)
    est = GrowingRegressor(operator=("directional", v), **PLAIN | {"max_neurons": 9}).fit(X, along)
    step = 1e-5 * np.asarray(v, float)
    found = (est.predict(X + step) - est.predict(X - step)) / 2e-5
    assert np.mean((found - along) ** 2) < 0.05 * np.mean(along**2)


def test_the_gradient_in_one_dimension_is_the_directional_derivative():
    x = np.linspace(-1, 1, 40)[:, None]
    few = PLAIN | {"max_neurons": 3, "max_stage_iter": 10}
    one = GrowingRegressor(operator="gradient", **few).fit(x, np.cos(x[:, 0]))
    other = GrowingRegressor(operator=("directional", [1.0]), **few).fit(x, np.cos(x[:, 0]))
    np.testing.assert_allclose(one.predict(x), other.predict(x), rtol=1e-6, atol=1e-6)


def second_derivative(f, X):
    return torch.func.jvp(lambda x: derivative(f, x), (X,), (torch.ones_like(X),))[1]


def test_a_boundary_value_problem_of_second_order():
    """y'' = -y, y(0) = 0, y(2) = sin 2."""
    x = np.linspace(0, 2, 17)
    ends = (x == 0) | (x == 2)
    est = GrowingRegressor(
        operator=lambda f, X: torch.where((X == 0) | (X == 2), f(X), second_derivative(f, X) + f(X)),
        alpha=1e-8,
        **PLAIN | {"activation": "tanh", "max_neurons": 3, "max_stage_iter": 15},
    ).fit(x[:, None], np.where(ends, np.sin(x), 0.0), sample_weight=np.where(ends, 10.0, 1.0))
    np.testing.assert_allclose(est.predict(x[:, None]), np.sin(x), atol=0.02)


@pytest.mark.parametrize(("sizes", "solver"), [((0,), "lm"), ((3, 2), "adam"), ((3, 0), "lm")], ids=str)
def test_operators_in_single_precision(sizes, solver):
    """Of a constant, and of layers without neurons, a derivative has no curvature at all."""
    x = np.linspace(0, 2, 30)
    few = {"max_stage_iter": 10, "max_neurons": 8, "hidden_layer_sizes": sizes, "solver": solver}
    few["search"] = PolarSearch(n_exchanges=0)
    est = GrowingRegressor(operator=("directional", [1.0]), dtype="float32", **PLAIN | few)
    prediction = est.fit(x[:, None], np.cos(2 * x)).predict(x[:, None])
    assert np.isfinite(prediction).all()
    assert len(est.history_) > 1
    assert est.loss_ < min(0.25, est.history_[0]["train_loss"] + 1e-6)  # half the mean square of the target: 0.5


def test_the_identity_as_an_operator_is_plain_regression():
    X, y = waves(80)
    parameters = SMALL | {"search": PolarSearch(n_exchanges=0), "max_neurons": 4}
    est = GrowingRegressor(operator=lambda f, X: f(X), **parameters).fit(X, y)
    assert est.score(X, y) == pytest.approx(GrowingRegressor(**parameters).fit(X, y).score(X, y), abs=0.05)


def test_weights_are_repetitions_with_an_operator():
    x = np.linspace(-1, 1, 30)[:, None]
    weight = np.random.default_rng(0).integers(1, 3, size=30)
    few = PLAIN | {"max_neurons": 3, "max_stage_iter": 10}
    fits = [
        GrowingRegressor(operator="gradient", **few).fit(x, np.cos(2 * x[:, 0]), sample_weight=weight),
        GrowingRegressor(operator="gradient", **few).fit(np.repeat(x, weight, 0), np.repeat(np.cos(2 * x), weight)),
    ]
    np.testing.assert_array_equal(*(est.predict(x) for est in fits))


def test_the_loss_never_rises_along_the_path_of_an_operator():
    x = np.linspace(-1, 1, 50)[:, None]
    for solver in ("lm", "lbfgs"):
        est = GrowingRegressor(operator="gradient", solver=solver, **PLAIN | {"max_stage_iter": 10}).fit(
            x, np.cos(4 * x[:, 0])
        )
        for row in est.history_:
            if row["parent"] is not None and row["accepted"]:
                assert row["train_loss"] <= est.history_[row["parent"]]["train_loss"]
        assert len(est.history_) > 1


@pytest.mark.parametrize(("size", "solver"), [(1e-3, "lm"), (1e3, "lbfgs")])
def test_the_fit_of_gradients_is_as_good_in_any_units(size, solver):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(40, 2))
    slopes = np.column_stack([2 * np.cos(2 * X[:, 0]), 0.3 + 0 * X[:, 1]])
    est = GrowingRegressor(operator="gradient", solver=solver, **PLAIN).fit(size * X, slopes / size)
    difference = np.ravel(est.predict(size * X)) - np.sin(2 * X[:, 0]) - 0.3 * X[:, 1]
    assert difference.std() < 0.05


@pytest.mark.parametrize(
    ("operator", "columns", "message"),
    [
        ("laplace", 1, "operator"),
        (("directional",), 1, "operator must be"),
        (("along", [1.0, 0.0]), 1, "operator must be"),
        (("directional", [1.0, 0.0, 0.0]), 1, r"vector v of shape \(2,\)"),
        (("directional", [1.0, np.nan]), 1, "finite vector v"),
        (("directional", ["a", "b"]), 1, "finite vector v"),
        (("directional", [1.0, 0.0]), 2, r"y of shape \(n_samples,\)"),
        ("gradient", 1, r"y of shape \(n_samples, 2\)"),
        ("gradient", 3, r"y of shape \(n_samples, 2\)"),
        (3, 1, "operator"),
    ],
    ids=str,
)
def test_operators_that_do_not_fit_are_refused(operator, columns, message):
    X, y, _ = counts(30)
    y = y if columns == 1 else np.column_stack([y] * columns)
    with pytest.raises(ValueError, match=message):
        GrowingRegressor(operator=operator, **PLAIN).fit(X, y)


NOT_OPERATORS = {
    "square": (lambda f, X: f(X) ** 2, "must be linear"),
    "shift": (lambda f, X: f(X) + 1, "must be linear"),
    "mixed columns": (lambda f, X: f(X).flip(1), "must be linear"),
    "row": (lambda f, X: f(X)[:1], "as many rows and columns"),
    "column": (lambda f, X: f(X).sum(1), "as many rows and columns"),
    "array": (lambda f, X: f(X).detach().numpy(), "must return a tensor"),
}


@pytest.mark.parametrize("kind", NOT_OPERATORS)
def test_callables_that_are_no_operators_are_refused(kind):
    operator, message = NOT_OPERATORS[kind]
    X, y, _ = counts(30)
    with pytest.raises(ValueError, match=message):
        GrowingRegressor(operator=operator, **PLAIN).fit(X, y)


@pytest.mark.parametrize(
    "parameters", [{"loss": "huber"}, {"penalty": "path", "activation": "relu"}, {"grow_layer": "all"}], ids=str
)
def test_operators_go_with_the_squared_error_alone(parameters):
    X, y, _ = counts(30)
    with pytest.raises(ValueError, match="operator needs loss='squared_error'"):
        GrowingRegressor(operator=("directional", [1.0, 0.0]), **PLAIN | parameters).fit(X, y)
