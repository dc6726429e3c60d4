"""scikit-learn estimators, and functions beside them."""

from skgrow.estimators._growing_classifier import GrowingClassifier
from skgrow.estimators._growing_regressor import GrowingRegressor
from skgrow.estimators._path import growing_path

__all__ = ["GrowingClassifier", "GrowingRegressor", "growing_path"]
