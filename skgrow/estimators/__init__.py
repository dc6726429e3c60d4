"""scikit-learn estimators, and functions beside them."""

from skgrow.estimators._growing_classifier import GrowingClassifier
from skgrow.estimators._growing_regressor import GrowingRegressor
from skgrow.estimators._path import growing_path
from skgrow.estimators._sensli_classifier import SensLIClassifier
from skgrow.estimators._sensli_regressor import SensLIRegressor

__all__ = ["GrowingClassifier", "GrowingRegressor", "SensLIClassifier", "SensLIRegressor", "growing_path"]
