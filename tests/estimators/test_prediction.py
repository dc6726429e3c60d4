"""Prediction: without PyTorch in a process of its own, validation as scikit-learn's, small pickles."""

import inspect
import pickle
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.neural_network import MLPRegressor

from skgrow import (
    GrowingClassifier,
    GrowingRegressor,
    MGOptClassifier,
    MGOptRegressor,
    PreconditionedMLPClassifier,
    PreconditionedMLPRegressor,
    SensLIClassifier,
    SensLIRegressor,
)
from skgrow.growth import PolarSearch
from skgrow.networks import Activation
from skgrow.problem import PiecewiseLinear, SquaredError

FEW = {"max_neurons": 3, "max_stage_iter": 5, "random_state": 0}
SHORT = {"max_iter": 3, "random_state": 0}
SHORT_DEEP = SHORT | {"hidden_layer_sizes": (4, 3)}
REGRESSORS = [
    GrowingRegressor(**FEW),
    GrowingRegressor(**FEW, activation="leaky_relu", standardize=False),
    GrowingRegressor(**FEW | {"max_neurons": 8}, n_members=2),
    GrowingRegressor(**FEW, hidden_layer_sizes=(3, 0), activation="tanh"),
    GrowingRegressor(**FEW, activation="logistic", loss="huber"),
    GrowingRegressor(**FEW, loss="quantile", quantile=0.2),
    GrowingRegressor(**FEW, loss="poisson"),
    GrowingRegressor(**FEW, dtype="float32"),
    GrowingRegressor(**FEW, penalty="path", alpha=0.1, activation="relu"),
    SensLIRegressor(**SHORT),
    SensLIRegressor(**SHORT, architecture="resnet", activation="tanh"),
    MGOptRegressor(**SHORT),
    MGOptRegressor(**SHORT, architecture="mlp", loss="poisson"),
    PreconditionedMLPRegressor(**SHORT_DEEP, activation=Activation("leaky_relu", 0.2)),
]
CLASSIFIERS = [
    GrowingClassifier(**FEW),
    GrowingClassifier(**FEW, activation="tanh", standardize=False),
    SensLIClassifier(**SHORT),
    MGOptClassifier(**SHORT),
    PreconditionedMLPClassifier(**SHORT_DEEP, activation="identity"),
]


def data(n=50):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(n, 4))
    return X, np.rint(4 * np.abs(X[:, 0]) + X[:, 1] ** 2 + 0.1 * rng.normal(size=n)) + 1


def targets(estimator, X, y, kind):
    if estimator in REGRESSORS:
        return y if kind == 0 else np.column_stack([y, y[::-1]])
    return [y > 2, np.digitize(y, [2, 4]), np.column_stack([y > 2, y > 3])][kind].astype(int)


def answers(estimator, X):
    """Everything that the estimator says of X."""
    found = {}
    for name in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        if hasattr(estimator, name):
            found[name] = getattr(estimator, name)(X)
    if getattr(estimator, "_posterior", None) is not None:
        found["std"] = estimator.predict(X, return_std=True)[1]
    return found


@pytest.fixture(scope="module")
def zoo():
    X, y = data()
    knotted = make_friedman1(500, noise=0.5, random_state=0)
    wide = np.random.default_rng(0).normal(size=(20, 30))
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for estimator in [*REGRESSORS, *CLASSIFIERS]:
            for kind in (0, 1, 2) if estimator in CLASSIFIERS else (0, 1) if estimator in REGRESSORS[:3] else (0,):
                fitted = type(estimator)(**estimator.get_params(deep=False)).fit(X, targets(estimator, X, y, kind))
                found.append((fitted, X))
        found.append((GrowingRegressor(**FEW, activation="tanh").fit(*knotted), knotted[0]))
        assert found[-1][0].activation_.startswith("identity+relu, ")
        found.append((GrowingRegressor(**FEW, activation="tanh").fit(wide, wide[:, 0]), wide))
        assert found[-1][0]._coordinates.keys() == {"basis"}
    return found


def test_a_process_that_only_predicts_never_imports_pytorch(zoo, tmp_path):
    said = [answers(estimator, X) for estimator, X in zoo]
    frames = pd.DataFrame(zoo[0][1], columns=list("abcd"))
    named = GrowingRegressor(**FEW).fit(frames, frames["a"])
    (tmp_path / "zoo.pickle").write_bytes(pickle.dumps((zoo, named, frames)))
    answering = textwrap.indent(inspect.getsource(answers), " " * 8)
    code = f"""if True:
        import pickle, sys
        from pathlib import Path
        from scipy import sparse

        path = Path({str(tmp_path)!r})
        zoo, named, frames = pickle.loads((path / "zoo.pickle").read_bytes())

{answering}
        said = [answers(estimator, X) for estimator, X in zoo]
        named.predict(frames, return_std=True)
        zoo[0][0].predict(sparse.csr_array(zoo[0][1]))
        (path / "said.pickle").write_bytes(pickle.dumps(said))
        sys.exit("torch" in sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True)
    for ours, theirs in zip(said, pickle.loads((tmp_path / "said.pickle").read_bytes()), strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            np.testing.assert_array_equal(theirs[name], value)


def test_predictions_are_the_outputs_of_the_torch_module(zoo):
    for estimator, X in zoo:
        with torch.no_grad():
            expected = estimator.to_torch()(torch.as_tensor(X, dtype=torch.float64)).numpy()
        np.testing.assert_allclose(estimator._outputs(X), expected, rtol=1e-9, atol=1e-9)


def test_tensors_are_answered_as_arrays_are(zoo):
    for estimator, X in zoo:
        tensors = answers(estimator, torch.as_tensor(X))
        for name, value in answers(estimator, X).items():
            assert isinstance(tensors[name], torch.Tensor)
            np.testing.assert_array_equal(tensors[name].numpy(), value)


def test_a_loss_with_a_link_of_its_own_predicts_by_it():
    class TwofoldError(SquaredError):
        def link(self, F):
            return 2 * F

    X, y = data()
    plain = GrowingRegressor(**FEW).fit(X, y)
    assert plain.out_activation_ == "identity"
    est = GrowingRegressor(loss=TwofoldError(), **FEW).fit(X, y)
    assert est.out_activation_ is None
    est.target_range_ = None
    np.testing.assert_allclose(est.predict(X), 2 * plain.predict(X))


# validation ----------------------------------------------------------------------------------------------------


def bad_inputs(X):
    def entry(value):
        bad = X.copy()
        bad[3, 1] = value
        return bad

    return {
        "nan": entry(np.nan),
        "infinity": entry(np.inf),
        "few features": X[:, :3],
        "no rows": X[:0],
        "one dimension": X[0],
        "three dimensions": X[None],
        "complex": X + 1j,
        "objects": entry(np.nan).astype(object),
        "a frame": pd.DataFrame(entry(np.nan)),
        "sparse": sparse.csr_array(X[:, :3]),
    }


@pytest.mark.parametrize("case", bad_inputs(data()[0]))
def test_wrong_inputs_meet_the_words_of_scikit_learn(case):
    X, y = data()
    bad = bad_inputs(X)[case]
    ours, theirs = GrowingRegressor(**FEW).fit(X, y), MLPRegressor(max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.fit(X, y)
    raised = []
    for estimator in (ours, theirs):
        with pytest.raises((ValueError, TypeError)) as error:
            estimator.predict(bad)
        raised.append((error.type, str(error.value).replace("MLPRegressor", "GrowingRegressor")))
    assert raised[0] == raised[1]


def test_names_of_features_are_compared():
    X, y = data()
    frame = pd.DataFrame(X, columns=list("abcd"))
    with_names, without = GrowingRegressor(**FEW).fit(frame, y), GrowingRegressor(**FEW).fit(X, y)
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        with_names.predict(X)
    with pytest.warns(UserWarning, match="X has feature names, but"):
        without.predict(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        with_names.predict(frame.rename(columns={"a": "e"}))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, np.int64, bool, object, ">f8"])
def test_other_layouts_of_the_same_numbers_are_the_same(dtype):
    X, y = data()
    X = np.rint(X)
    est = GrowingRegressor(**FEW).fit(X + 0.1 * data()[0], y)
    expected, given = est.predict(X), np.abs(X).astype(dtype) if dtype is bool else X.astype(dtype)
    expected = est.predict(np.abs(X)) if dtype is bool else expected
    read_only = given.copy()
    read_only.flags.writeable = False
    for array in (given, np.asfortranarray(given), given[::-1][::-1], read_only, np.repeat(given, 2, 1)[:, ::2]):
        np.testing.assert_allclose(est.predict(array), expected, rtol=1e-12)


# pickles -------------------------------------------------------------------------------------------------------


def test_models_of_ten_neurons_are_small():
    X, y = load_diabetes(return_X_y=True)
    est = GrowingRegressor(max_neurons=10, search=PolarSearch(n_exchanges=0), random_state=0).fit(X, y)
    assert est.architecture_[1] >= 9
    assert len(pickle.dumps(est)) < 20_000


@pytest.mark.parametrize("noise", [0.0, 0.1, 1.0])
def test_deviations_are_stored_as_exactly_as_it_shows(noise, monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(60, 2))
    y = np.sin(3 * X[:, 0]) + X[:, 1] + noise * rng.normal(size=60)
    est = GrowingRegressor(n_members=2, **FEW).fit(X, y)
    monkeypatch.setattr("skgrow.growth._member.SAME_VARIANCE", 0.0)
    whole = GrowingRegressor(n_members=2, **FEW).fit(X, y)
    assert {member["root"].dtype for member in whole._posterior} == {np.dtype(float)}
    for ours, theirs in zip(est._posterior, whole._posterior, strict=True):
        assert ours["root"].nbytes <= (0.5 if noise else 1) * theirs["root"].nbytes
    far = np.concatenate([X, 3 * X])
    np.testing.assert_allclose(est.predict(far, True)[1], whole.predict(far, True)[1], rtol=1e-5)


def test_given_knots_are_stored_too():
    X, y = data(200)
    est = GrowingRegressor(encoding=PiecewiseLinear(4), **FEW).fit(X, y)
    again = pickle.loads(pickle.dumps(est))
    np.testing.assert_array_equal(again.predict(X, True), est.predict(X, True))
