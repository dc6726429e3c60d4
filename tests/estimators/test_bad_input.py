"""Bad input is refused with scikit-learn's exceptions, and the message names the parameter."""

import contextlib

import numpy as np
import pytest
import torch
from scipy import sparse

from skgrow import GrowingRegressor
from skgrow.growth import PolarSearch
from skgrow.networks import Activation

X = np.random.default_rng(0).normal(size=(20, 3))
Y = X[:, 0]


def fit(X=X, y=Y, weight=None, /, parameters=None, **kwargs):
    return GrowingRegressor(
        **{"activation": "tanh", "max_neurons": 3, "search": PolarSearch(n_exchanges=0)} | (parameters or {})
    ).fit(X, y, weight, **kwargs)


def with_entry(array, value, place=3):
    array = np.array(array, dtype=float)
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("activation", "rellu", "relu"),
        ("activation", "identity", "tanh"),
        ("solver", "newton", "lbfgs"),
        ("criterion", "aic", "gcv"),
        ("alpha", "none", "auto"),
        ("alpha", -1.0, r"\[0.0, inf\)"),
        ("alpha", np.nan, r"\[0.0, inf\)"),
        ("schedule", "sometimes", "plateau"),
        ("search", "grid", "polar"),
        ("block_size", 0, r"\[1, inf\)"),
        ("block_size", 2.5, "int"),
        ("max_neurons", -1, r"\[0, inf\)"),
        ("patience", 0, r"\[1, inf\)"),
        ("min_decrease", -1e-3, r"\[0.0, inf\)"),
        ("max_stage_iter", 0, r"\[1, inf\)"),
        ("batch_size", 0, r"\[1, inf\)"),
        ("batch_size", "all", "auto"),
        ("learning_rate_init", 0.0, r"\(0.0, inf\)"),
        ("early_stopping", "yes", "bool"),
        ("validation_fraction", 1.0, r"\(0.0, 1.0\)"),
        ("standardize", "yes", "bool"),
        ("warm_start", "yes", "bool"),
        ("random_state", "seed", "RandomState"),
        ("dtype", "float16", "float64"),
        ("verbose", "loud", "bool"),
        ("device", 0, "str"),
    ],
)
def test_parameters_out_of_range(name, value, allowed):
    with pytest.raises(ValueError, match=rf"(?s)'{name}' parameter of GrowingRegressor must be .*{allowed}.*Got"):
        fit(parameters={name: value})


@pytest.mark.parametrize("slope", [1.0, -0.1, np.nan])
def test_slopes_out_of_range(slope):
    with pytest.raises(ValueError, match=rf"slope must lie in \[0, 1\); got {slope}"):
        fit(parameters={"activation": Activation("leaky_relu", slope)})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite(value):
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        fit(with_entry(X, value))
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        fit(sparse.csr_array(with_entry(X, value)))
    with pytest.raises(ValueError, match=r"Input y contains (NaN|infinity)"):
        fit(X, with_entry(Y, value))
    with pytest.raises(ValueError, match=r"Input sample_weight contains (NaN|infinity)"):
        fit(X, Y, with_entry(np.ones(20), value))
    with pytest.raises(ValueError, match=r"Input X contains (NaN|infinity)"):
        fit().predict(with_entry(X, value))
    with pytest.raises(ValueError, match="Input X contains NaN or infinity"):
        fit(torch.as_tensor(with_entry(X, value)), torch.as_tensor(Y))
    with pytest.raises(ValueError, match="y must be a finite tensor"):
        fit(torch.as_tensor(X), torch.as_tensor(with_entry(Y, value)))


def test_shapes_of_inputs():
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        fit(X[:, 0])
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        fit(torch.as_tensor(X[:, 0]), torch.as_tensor(Y))
    with pytest.raises(ValueError, match=r"dim 3|expected <= 2"):
        fit(X[None])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        fit(X[:0], Y[:0])
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        fit(X[:, :0])
    for empty in (X[:0], X[:, :0]):
        with pytest.raises(ValueError, match="minimum of 1 sample and 1 feature"):
            fit(torch.as_tensor(empty), torch.as_tensor(Y[: len(empty)]))


def test_shapes_of_targets():
    with pytest.raises(ValueError, match=r"y cannot be None|requires y to be passed"):
        fit(X, None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit(X, Y[:-1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit(torch.as_tensor(X), torch.as_tensor(Y[:-1]))
    with pytest.raises(ValueError, match=r"dim 3|got shape|must have shape"):
        fit(X, np.zeros((20, 2, 2)))


def test_targets_that_are_no_numbers():
    with pytest.raises(ValueError, match=r"could not convert string to float|dtype='numeric' is not compatible"):
        fit(X, np.array(["a", "b"] * 10))
    with pytest.raises(ValueError, match="could not convert string to float"):
        fit(X, np.array(["a", 1.0] * 10, dtype=object))
    with pytest.raises(ValueError, match="Complex data not supported"):
        fit(X + 1j)
    with pytest.raises(ValueError, match="Complex data not supported"):
        fit(torch.as_tensor(X + 1j), torch.as_tensor(Y))
    with pytest.raises(ValueError, match="Complex data not supported"):
        fit(X, Y + 1j)


def test_feature_counts_and_kinds_at_predict():
    est = fit()
    with pytest.raises(ValueError, match="X has 2 features, but GrowingRegressor is expecting 3 features"):
        est.predict(X[:, :2])
    with pytest.raises(ValueError, match="X has 2 features, but GrowingRegressor is expecting 3 features"):
        est.predict(torch.as_tensor(X[:, :2]))
    with pytest.raises(ValueError, match="Expected 2D array, got 1D array"):
        est.predict(X[0])
    with pytest.raises(ValueError, match="X has 2 features"):
        est.partial_fit(X[:, :2], Y)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        est.predict(X[:0])


def test_weights_that_cannot_be():
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        fit(X, Y, with_entry(np.ones(20), -1.0))
    with pytest.raises(ValueError, match="`sample_weight` must have at least one positive value"):
        fit(X, Y, np.zeros(20))
    with pytest.raises(ValueError, match=r"sample_weight.shape == \(19,\), expected \(20,\)"):
        fit(X, Y, np.ones(19))
    with pytest.raises(ValueError, match="Sample weights must be 1D array or scalar"):
        fit(X, Y, np.ones((20, 2)))
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight_val`"):
        fit(X, Y, X_val=X, y_val=Y, sample_weight_val=-np.ones(20))
    with pytest.raises(ValueError, match="`sample_weight` must have at least one positive value"):
        fit().partial_fit(X, Y, np.zeros(20))


def test_validation_data_that_do_not_fit():
    with pytest.raises(ValueError, match="y_val must be given with X_val; got y_val=None"):
        fit(X, Y, X_val=X)
    with pytest.raises(ValueError, match="X_val must be given with y_val; got X_val=None"):
        fit(X, Y, y_val=Y)
    with pytest.raises(ValueError, match="X_val must be given with sample_weight_val; got X_val=None"):
        fit(X, Y, sample_weight_val=np.ones(20))
    with pytest.raises(ValueError, match="X has 2 features, but GrowingRegressor is expecting 3"):
        fit(X, Y, X_val=X[:, :2], y_val=Y)
    with pytest.raises(ValueError, match=r"y_val must have as many outputs as y; got shapes \(20, 2\) and \(20,\)"):
        fit(X, Y, X_val=X, y_val=np.column_stack([Y, Y]))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        fit(X, Y, X_val=X, y_val=Y[:5])
    with pytest.raises(ValueError, match="X contains NaN"):
        fit(X, Y, X_val=with_entry(X, np.nan), y_val=Y)


def test_evidence_needs_a_penalty():
    with pytest.raises(ValueError, match="criterion='evidence' needs alpha > 0; got alpha=0"):
        fit(parameters={"criterion": "evidence", "alpha": 0.0})


def test_early_stopping_needs_two_samples():
    with pytest.raises(
        ValueError, match="early_stopping=True needs at least 2 different samples of positive weight; got n_samples = 1"
    ):
        fit(X[:1], Y[:1], parameters={"early_stopping": True})


def test_warm_start_needs_the_same_features_and_outputs():
    est = fit(parameters={"warm_start": True})
    with pytest.raises(ValueError, match="warm_start=True needs targets of 1 outputs as before"):
        est.fit(X, np.column_stack([Y, Y]))
    with pytest.raises(ValueError, match="X has 2 features"):
        est.fit(X[:, :2], Y)


def test_partial_fit_needs_the_same_outputs():
    est = fit()
    before = est.predict(X)
    with pytest.raises(ValueError, match="output"):
        est.partial_fit(X, np.column_stack([Y, Y]))
    np.testing.assert_array_equal(est.predict(X), before)


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "CPU", ""])
def test_devices_that_do_not_exist(device):
    with pytest.raises(ValueError, match=rf"device='{device}' is not available here; .*'auto', 'cpu'"):
        fit(parameters={"device": device})


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_cuda_device_that_is_not_there():
    with pytest.raises(ValueError, match=r"device='cuda' is not available here; .*'cpu'"):
        fit(parameters={"device": "cuda"})
    est = fit()
    expected = est.predict(X)  # a model fitted elsewhere predicts on what there is
    np.testing.assert_array_equal(est.set_params(device="cuda").predict(X), expected)


def test_a_failed_fit_leaves_no_half_fitted_model():
    est = GrowingRegressor(device="tpu")
    with pytest.raises(ValueError, match="device='tpu'"):
        est.fit(X, Y)
    assert not hasattr(est, "coefs_")


@pytest.mark.filterwarnings("ignore:The training loss is no longer finite")
@pytest.mark.parametrize(
    ("scale_x", "scale_y", "options"),
    [
        (1, 1e155, {}),
        (1e155, 1, {"activation": "tanh"}),
        (1e60, 1e60, {"solver": "adam"}),
        (1, 1e160, {"solver": "sgd", "early_stopping": True}),
        (1e25, 1, {"dtype": "float32"}),
        (1, 1e25, {"dtype": "float32"}),
    ],
)
def test_overflow_is_refused_or_leaves_finite_weights(scale_x, scale_y, options):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    y = X[:, 0] ** 2
    est = GrowingRegressor(standardize=False, max_neurons=6, random_state=0, **options)
    with contextlib.suppress(ValueError):
        est.fit(X * scale_x, y * scale_y)
        assert np.isfinite(est.predict(X * scale_x)).all()
    if not hasattr(est, "coefs_"):
        with pytest.raises(ValueError, match="must be finite"):
            est.fit(X * scale_x, y * scale_y)


def test_relative_weights_have_no_scale():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = X[:, 0] + 0.1 * rng.normal(size=60)
    weight = rng.uniform(0.1, 1, size=60)
    small, large = (
        GrowingRegressor(random_state=0, activation="tanh").fit(X, y, s * weight) for s in (2.0**-9, 2.0**5)
    )
    np.testing.assert_allclose(small.predict(X), large.predict(X), rtol=1e-6)
    assert small.effective_parameters_ > 1


@pytest.mark.parametrize(
    "search",
    [
        {"normalization": "foo"},
        {"n_thresholds": 0},
        {"n_directions": 0},
        {"max_extensions": 0},
        {"n_exchanges": -1},
        {"merge_tol": -1.0},
    ],
)
def test_parameters_of_the_search_are_checked(search):
    with pytest.raises(ValueError, match=next(iter(search))):
        GrowingRegressor(search=PolarSearch(**search)).fit(X, Y)


def test_a_further_batch_keeps_the_units_of_the_first():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(80, 2))
    b = A[:, 0] + 0.1 * rng.normal(size=80)
    for warm_start in (False, True):
        est = GrowingRegressor(alpha=0.0, random_state=0, activation="tanh", warm_start=warm_start).fit(A, b)
        est.set_params(learning_rate_init=1e-12)  # the loss is seen before the weights move
        for _ in range(2):
            with torch.no_grad():  # predictions are bounded
                residual = b * 5 - est.to_torch()(torch.as_tensor(A * 100))[:, 0].numpy()
            est.partial_fit(A * 100, b * 5)
            assert est.loss_curve_[-1] == pytest.approx(0.5 * np.mean(residual**2) / b.var(), rel=1e-5)
