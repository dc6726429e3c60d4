"""scikit-learn estimators."""

from skgrow.estimators._growing import GrowingRegressor

__all__ = ["GrowingRegressor"]
