"""Neural networks that grow to the size their data needs, with scikit-learn's interface.

Public names are imported when they are first used: ``import skgrow`` loads neither PyTorch nor scikit-learn.
"""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "FeatureEffectDisplay",
    "GrowingClassifier",
    "GrowingRegressor",
    "GrowthCurveDisplay",
    "MGOptClassifier",
    "MGOptRegressor",
    "PreconditionedMLPClassifier",
    "PreconditionedMLPRegressor",
    "SensLIClassifier",
    "SensLIRegressor",
    "__version__",
    "growing_path",
    "register_onnx_converters",
]

_MODULE_OF = {
    "FeatureEffectDisplay": "skgrow.inspection",
    "GrowingClassifier": "skgrow.estimators",
    "GrowingRegressor": "skgrow.estimators",
    "GrowthCurveDisplay": "skgrow.inspection",
    "MGOptClassifier": "skgrow.estimators",
    "MGOptRegressor": "skgrow.estimators",
    "PreconditionedMLPClassifier": "skgrow.estimators",
    "PreconditionedMLPRegressor": "skgrow.estimators",
    "SensLIClassifier": "skgrow.estimators",
    "SensLIRegressor": "skgrow.estimators",
    "growing_path": "skgrow.estimators",
    "register_onnx_converters": "skgrow.estimators",
}

if TYPE_CHECKING:
    from skgrow.estimators import (
        GrowingClassifier,
        GrowingRegressor,
        MGOptClassifier,
        MGOptRegressor,
        PreconditionedMLPClassifier,
        PreconditionedMLPRegressor,
        SensLIClassifier,
        SensLIRegressor,
        growing_path,
        register_onnx_converters,
    )
    from skgrow.inspection import FeatureEffectDisplay, GrowthCurveDisplay
else:

    def __getattr__(name):
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
