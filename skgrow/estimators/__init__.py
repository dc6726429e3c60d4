"""scikit-learn estimators, and functions beside them."""

from skgrow.estimators._growing_classifier import GrowingClassifier
from skgrow.estimators._growing_regressor import GrowingRegressor
from skgrow.estimators._mgopt_classifier import MGOptClassifier
from skgrow.estimators._mgopt_regressor import MGOptRegressor
from skgrow.estimators._onnx import register_onnx_converters
from skgrow.estimators._path import growing_path
from skgrow.estimators._preconditioned_classifier import PreconditionedMLPClassifier
from skgrow.estimators._preconditioned_regressor import PreconditionedMLPRegressor
from skgrow.estimators._sensli_classifier import SensLIClassifier
from skgrow.estimators._sensli_regressor import SensLIRegressor

__all__ = [
    "GrowingClassifier",
    "GrowingRegressor",
    "MGOptClassifier",
    "MGOptRegressor",
    "PreconditionedMLPClassifier",
    "PreconditionedMLPRegressor",
    "SensLIClassifier",
    "SensLIRegressor",
    "growing_path",
    "register_onnx_converters",
]
