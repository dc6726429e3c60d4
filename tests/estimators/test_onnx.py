"""Estimators converted by skl2onnx predict in onnxruntime what they predict themselves."""

import ctypes
import shutil
import subprocess
import sys

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_diabetes
from sklearn.ensemble import StackingRegressor
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgrow import (
    GrowingClassifier,
    GrowingRegressor,
    MGOptClassifier,
    MGOptRegressor,
    PreconditionedMLPClassifier,
    PreconditionedMLPRegressor,
    SensLIClassifier,
    SensLIRegressor,
    register_onnx_converters,
)
from skgrow.growth import PolarSearch
from skgrow.networks import (
    ACTIVATIONS,
    CONVOLUTION_ACTIVATIONS,
    Activation,
    CNNArchitecture,
    ResNetArchitecture,
)
from skgrow.training import Every

TOLERANCES = {np.float32: {"rtol": 1e-4, "atol": 1e-5}, np.float64: {"rtol": 1e-8, "atol": 1e-12}}

GROWING = (
    GrowingRegressor,
    GrowingClassifier,
    {"max_neurons": 3, "search": PolarSearch(n_exchanges=0), "max_stage_iter": 5},
)
PRECONDITIONED = PreconditionedMLPRegressor, PreconditionedMLPClassifier, {"hidden_layer_sizes": (4, 3), "max_iter": 4}
INSERTING = {"tau": 0, "schedule": Every(2), "max_layers": 4, "max_iter": 4}
SENSLI = SensLIRegressor, SensLIClassifier, {"hidden_layer_sizes": (4,), **INSERTING}
RESNET = SensLIRegressor, SensLIClassifier, {"architecture": "resnet", "hidden_layer_sizes": (4, 3), **INSERTING}
MGOPT = MGOptRegressor, MGOptClassifier, {"hidden_layer_sizes": (4, 3, 3), "max_iter": 4}
IMAGES = {"architecture": CNNArchitecture((2, 4, 5), ([2, 3], 3)), "hidden_layer_sizes": (3,)}
CONVOLVING = SensLIRegressor, SensLIClassifier, {**IMAGES, **INSERTING}
ALL = [GROWING, PRECONDITIONED, SENSLI, RESNET, MGOPT, CONVOLVING]

#: Every architecture with every activation, and corners of them.
CASES = [
    *((kind, {"activation": Activation(s, 0.3)}) for kind in ALL[1:-1] for s in ACTIVATIONS),
    *((GROWING, {"activation": Activation(s, 0.3)}) for s in ACTIVATIONS[1:]),
    *((CONVOLVING, {"activation": s}) for s in CONVOLUTION_ACTIVATIONS),
    (CONVOLVING, {"standardize": False, "hidden_layer_sizes": ()}),
    (MGOPT, {"standardize": False, "architecture": ResNetArchitecture(map_bias=False)}),
    (GROWING, {"max_neurons": 0}),
    (GROWING, {"activation": "auto", "max_neurons": 12}),
    (GROWING, {"hidden_layer_sizes": (2, 2)}),
]


def data():
    rng = np.random.default_rng(0)
    X = rng.normal(3, 2, size=(60, 40))
    return X, X[:, :2] + np.sin(X[:, 2:4])


def targets():
    Y = data()[1]
    two, three = (Y[:, 0] > 3).astype(int), np.digitize(Y[:, 0], [2, 4])
    regression = {"one": Y[:, 0], "poisson": np.rint(np.abs(Y))}
    return regression, {
        "two": two,
        "three": 2 * three - 1,
        "two strings": np.array(["größer", "no"])[two],
        "three strings": np.array(["a", "b", "c"], dtype=object)[three],
        "truth values": two > 0,
        "floats": three.astype(float),
        "label sets": (Y > 3).astype(int),
    }


@pytest.fixture(scope="module")
def run():
    """Return a function that converts a model and returns the outputs in onnxruntime by name."""
    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    from skl2onnx import to_onnx

    register_onnx_converters()

    def outputs(model, X, **settings):
        stored = to_onnx(model, X[:1], **settings).SerializeToString()
        session = runtime.InferenceSession(stored, providers=["CPUExecutionProvider"])
        found = {}
        for declared, output in zip(session.get_outputs(), session.run(None, {"X": X}), strict=True):
            if declared.type.startswith("tensor"):
                assert declared.shape[1:] == list(output.shape[1:])
            found[declared.name] = output
        return found

    return outputs


def assert_near(found, wanted, dtype, model=None):
    """Up to rounding, relative to the largest entry; convolutions are computed in single precision."""
    convolves = isinstance(getattr(model, "architecture", None), CNNArchitecture)
    tolerance = TOLERANCES[np.float32 if convolves else dtype]
    atol = tolerance["atol"] * max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(found, wanted, rtol=tolerance["rtol"], atol=atol)


def check_regressor(run, reg):
    for dtype in TOLERANCES:
        X = data()[0].astype(dtype)
        (found,) = run(reg, X).values()
        assert found.dtype == dtype
        wanted = reg.predict(X)
        assert found.shape == (len(X), reg.n_outputs_)
        assert_near(found.reshape(wanted.shape), wanted, dtype, reg)


def check_classifier(run, clf):
    for dtype in TOLERANCES:
        X = data()[0].astype(dtype)
        found = run(clf, X, options={"zipmap": False})
        assert found["probabilities"].dtype == dtype
        assert found["label"].dtype == (object if clf.classes_.dtype.kind in "UO" else np.int64)
        np.testing.assert_array_equal(found["label"], clf.predict(X))
        assert_near(found["probabilities"], clf.predict_proba(X), dtype, clf)
        assert (found["probabilities"] > 0).all()


@pytest.mark.parametrize(("kind", "others"), CASES)
def test_networks(run, kind, others):
    X, Y = data()
    regressor, _, settings = kind
    check_regressor(run, regressor(**settings | others, random_state=0).fit(X, Y))


@pytest.mark.parametrize("task", targets()[0])
@pytest.mark.parametrize(("regressor", "_", "settings"), ALL)
def test_regressors(run, regressor, _, settings, task):
    loss = task if task == "poisson" else "huber"
    check_regressor(run, regressor(**settings, loss=loss, random_state=0).fit(data()[0], targets()[0][task]))


@pytest.mark.parametrize("task", targets()[1])
def test_kinds_of_classes(run, task):
    _, classifier, settings = PRECONDITIONED
    check_classifier(run, classifier(**settings, random_state=0).fit(data()[0], targets()[1][task]))


@pytest.mark.parametrize("task", ["two", "three", "label sets"])
@pytest.mark.parametrize(("_", "classifier", "settings"), ALL)
def test_classifiers(run, _, classifier, settings, task):
    check_classifier(run, classifier(**settings, random_state=0).fit(data()[0], targets()[1][task]))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_inserted_layers_are_folded(run, activation):
    regressor, _, settings = SENSLI
    X, Y = data()
    reg = regressor(**settings, activation=activation, alpha=1e-4, random_state=0).fit(X, Y)
    assert len(reg.architecture_) > 3
    check_regressor(run, reg)


def test_fitted_in_single_precision(run):
    X, Y = data()
    regressor, _, settings = PRECONDITIONED
    check_regressor(run, regressor(**settings, random_state=0).fit(X.astype(np.float32), Y))


def test_whole_numbers_are_taken_as_single_precision(run):
    X, Y = data()
    X = np.rint(X).astype(np.int64)
    regressor, _, settings = PRECONDITIONED
    reg = regressor(**settings, random_state=0).fit(X, Y)
    (found,) = run(reg, X).values()
    assert found.dtype == np.float32
    assert_near(found, reg.predict(X), np.float32)


# options -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    _, classifier, settings = PRECONDITIONED
    return classifier(**settings, random_state=0).fit(data()[0], targets()[1]["three strings"])


def test_probabilities_as_dictionaries_are_the_default(run, fitted):
    X = data()[0].astype(np.float32)
    found = run(fitted, X)
    np.testing.assert_array_equal(found["output_label"], fitted.predict(X))
    for row, wanted in zip(found["output_probability"], fitted.predict_proba(X), strict=True):
        assert list(row) == ["a", "b", "c"]
        assert_near(list(row.values()), wanted, np.float32)


def test_probabilities_as_columns(run, fitted):
    X = data()[0]
    found = run(fitted, X, options={"zipmap": "columns"})
    columns = np.column_stack([found[name] for name in ("sa", "sb", "sc")])
    assert_near(columns, fitted.predict_proba(X), np.float64)


def test_places_instead_of_class_labels(run, fitted):
    X = data()[0]
    found = run(fitted, X, options={"zipmap": False, "nocl": True})
    np.testing.assert_array_equal(fitted.classes_[found["label"]], fitted.predict(X))


def test_class_labels_as_a_further_output(run, fitted):
    found = run(fitted, data()[0], options={"zipmap": False, "output_class_labels": True})
    np.testing.assert_array_equal(found["class_labels"], fitted.classes_)


def test_scores_instead_of_probabilities(run, fitted):
    X = data()[0]
    found = run(fitted, X, options={"zipmap": False, "raw_scores": True})
    assert_near(found["probabilities"], fitted.decision_function(X), np.float64)


# inside other models -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCES)
def test_in_pipelines_and_searches(run, dtype):
    X, Y = data()
    X = X.astype(dtype)
    regressor, classifier, settings = PRECONDITIONED
    reg = make_pipeline(StandardScaler(), regressor(**settings, random_state=0)).fit(X, Y)
    assert_near(run(reg, X)["variable"], reg.predict(X), dtype)
    pipeline = make_pipeline(StandardScaler(), classifier(**settings, random_state=0))
    clf = GridSearchCV(pipeline, {"preconditionedmlpclassifier__alpha": [1e-4]}, cv=2).fit(X, targets()[1]["three"])
    found = run(clf, X, options={"zipmap": False})
    np.testing.assert_array_equal(found["label"], clf.predict(X))
    assert_near(found["probabilities"], clf.predict_proba(X), dtype)


@pytest.mark.parametrize("task", ["two", "three strings"])
def test_calibrated(run, task):
    """Calibration starts from the scores."""
    X = data()[0]
    _, classifier, settings = PRECONDITIONED
    clf = CalibratedClassifierCV(classifier(**settings, random_state=0), cv=2).fit(X, targets()[1][task])
    found = run(clf, X, options={"zipmap": False})
    np.testing.assert_array_equal(found["label"], clf.predict(X))
    np.testing.assert_allclose(found["probabilities"], clf.predict_proba(X), rtol=1e-6)


def test_stacked(run):
    X, Y = data()
    regressor, _, settings = PRECONDITIONED
    reg = StackingRegressor([("network", regressor(**settings, random_state=0))], cv=2).fit(X, Y[:, 0])
    np.testing.assert_allclose(run(reg, X)["variable"][:, 0], reg.predict(X), rtol=1e-6)


# what is missing -----------------------------------------------------------------------------------------------


def test_without_skl2onnx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"skgrow\[onnx\]"):
        register_onnx_converters()


@pytest.mark.parametrize("classifies", [False, True])
def test_a_graph_compiles_to_c(classifies, tmp_path):
    pytest.importorskip("emx_onnx_cgen")
    pytest.importorskip("skl2onnx")
    from skl2onnx import to_onnx

    register_onnx_converters()
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")
    X, y = load_diabetes(return_X_y=True)
    X, few = X[:100].astype(np.float32), {"max_neurons": 4, "max_stage_iter": 10, "random_state": 0}
    target = np.digitize(y[:100], [100, 200]) if classifies else y[:100]
    est = (GrowingClassifier if classifies else GrowingRegressor)(**few).fit(X, target)
    onnx = to_onnx(est, X[:1], options={"zipmap": False} if classifies else {})
    (tmp_path / "model.onnx").write_bytes(onnx.SerializeToString())
    command = [sys.executable, "-m", "emx_onnx_cgen", "compile", "model.onnx", "model.c", "--input-dim", "X:0=1"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", "model.so", "model.c", "-lm"], cwd=tmp_path, check=True)
    model = ctypes.CDLL(str(tmp_path / "model.so")).model
    label, found = np.zeros(1, np.int64), np.zeros(3 if classifies else 1, np.float32)
    for row in X[:20]:
        model(*(a.ctypes.data_as(ctypes.c_void_p) for a in ((row, label, found) if classifies else (row, found))))
        expected = est.predict_proba(row[None])[0] if classifies else est.predict(row[None])
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        if classifies:
            assert label[0] == est.predict(row[None])[0]
