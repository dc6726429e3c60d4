"""Numbers that single precision has not, as parameters of all estimators."""

import warnings

import numpy as np
import pytest

import skgrow
from skgrow.preconditioning import Covariance, FrobeniusPreconditioner
from skgrow.problem import Huber

FEW = {
    "Growing": {"max_neurons": 3, "max_stage_iter": 4},
    "SensLI": {"hidden_layer_sizes": (4,), "max_iter": 4},
    "MGOpt": {"architecture": "resnet", "hidden_layer_sizes": (4, 4, 4), "max_iter": 4},
    "PreconditionedMLP": {"hidden_layer_sizes": (4,), "max_iter": 4},
}
ESTIMATORS = [f"{method}{task}" for method in FEW for task in ("Regressor", "Classifier")]


def fitted(name, **parameters):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (40, 2))
    y = np.sin(2 * X[:, 0]) + X[:, 1] ** 2
    few = next(few for method, few in FEW.items() if name.startswith(method))
    est = getattr(skgrow, name)(**few, dtype="float32", random_state=0, **parameters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a loss that is no longer finite is said to be
        est.fit(X, np.digitize(y, [0.3, 0.9]) if name.endswith("Classifier") else y)
    found = est.predict_proba(X) if name.endswith("Classifier") else est.predict(X)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("alpha", [1e39, 1e300])
def test_penalties(name, alpha):
    fitted(name, alpha=alpha)


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name.endswith("Regressor")])
def test_widths_of_huber(name):
    fitted(name, loss=Huber(1e300))


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if not name.startswith("Growing")])
@pytest.mark.parametrize("structure", ["dense", "lowrank"])
@pytest.mark.parametrize("combine", ["product", "sum"])
@pytest.mark.parametrize("damping", [1e-300, 1e300])
def test_damping(name, structure, combine, damping):
    if combine == "sum" and structure != "dense":
        pytest.skip("refused")
    moment = Covariance(structure=structure, rank=2)
    fitted(name, preconditioner=FrobeniusPreconditioner(moment, moment, damping, combine=combine))
