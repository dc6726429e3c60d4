"""What a fitted model tells: pictures of how it grew, and of what it makes of features."""

from skgrow.inspection._feature_effect import FeatureEffectDisplay
from skgrow.inspection._growth_curve import GrowthCurveDisplay

__all__ = ["FeatureEffectDisplay", "GrowthCurveDisplay"]
