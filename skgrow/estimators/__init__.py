"""scikit-learn estimators."""

from skgrow.estimators._growing_classifier import GrowingClassifier
from skgrow.estimators._growing_regressor import GrowingRegressor

__all__ = ["GrowingClassifier", "GrowingRegressor"]
