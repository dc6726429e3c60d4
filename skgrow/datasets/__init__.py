"""Synthetic regression tasks with a known best error."""

from skgrow.datasets._ridge import free_knot_limit, make_ridge

__all__ = ["free_knot_limit", "make_ridge"]
