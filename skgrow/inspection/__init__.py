"""What a fitted model tells: pictures of how it grew."""

from skgrow.inspection._growth_curve import GrowthCurveDisplay

__all__ = ["GrowthCurveDisplay"]
