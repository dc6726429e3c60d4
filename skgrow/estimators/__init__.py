"""scikit-learn estimators, and functions beside them."""

from skgrow.estimators._growing import GrowingClassifier, GrowingRegressor
from skgrow.estimators._mgopt import MGOptClassifier, MGOptRegressor
from skgrow.estimators._onnx import register_onnx_converters
from skgrow.estimators._parameters import REGISTRY
from skgrow.estimators._path import growing_path
from skgrow.estimators._preconditioned import PreconditionedMLPClassifier, PreconditionedMLPRegressor
from skgrow.estimators._sensli import SensLIClassifier, SensLIRegressor

__all__ = [
    "REGISTRY",
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
