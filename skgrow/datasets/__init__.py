"""Synthetic tasks: regression with a known best error, and spirals."""

from skgrow.datasets._ridge import free_knot_limit, free_knots, make_ridge, sum_density
from skgrow.datasets._spirals import make_spirals

__all__ = ["free_knot_limit", "free_knots", "make_ridge", "make_spirals", "sum_density"]
