"""Parameters: which names stand for which components, how they are validated, and what is made of them.

A name is one line in :data:`REGISTRY`; from it follow what the estimators accept, their error messages and what is
built. Classes are named by strings, so that nothing of PyTorch is imported before a fit.
"""

from __future__ import annotations

from importlib import import_module
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

#: For every kind of component its names, each with ``"module:class"`` or a callable that makes one. To add a name, add
#: a line; the values may also be classes.
REGISTRY: dict[str, dict[str, Any]] = {
    "loss": {
        "squared_error": "skgrow.problem:SquaredError",
        "huber": "skgrow.problem:Huber",
        "quantile": "skgrow.problem:Quantile",
        "poisson": "skgrow.problem:Poisson",
    },
    "penalty": {
        "l2": "skgrow.problem:L2",
        "path": "skgrow.problem:PathNorm",
    },
    "criterion": {
        "loo": "skgrow.criteria:LeaveOneOut",
        "gcv": "skgrow.criteria:GCV",
        "evidence": "skgrow.criteria:LogEvidence",
    },
    "encoding": {
        "auto": "skgrow.problem:PiecewiseLinear",
    },
    "solver": {
        "auto": "skgrow.solvers:AutoSolver",
        "lm": "skgrow.solvers:LevenbergMarquardt",
        "lbfgs": "skgrow.solvers:LBFGS",
        "adam": "skgrow.solvers:Adam",
        "sgd": "skgrow.solvers:StochasticGradient",
    },
    "schedule": {
        "plateau": "skgrow.training:Plateau",
        "every": "skgrow.training:Every",
        "at_epochs": "skgrow.training:AtEpochs",
        "target_loss": "skgrow.training:TargetLoss",
    },
    "search": {
        "polar": "skgrow.growth:PolarSearch",
        "random": "skgrow.growth:RandomSearch",
        "gradmax": "skgrow.growth:GradMax",
        "firefly": "skgrow.growth:Firefly",
    },
    "preconditioner": {
        "covariance": "skgrow.preconditioning:FrobeniusPreconditioner",
        "second_moment": "skgrow.preconditioning:second_moment",
        "kfac": "skgrow.preconditioning:kfac",
        "sobolev": "skgrow.preconditioning:sobolev",
        "emsa": "skgrow.preconditioning:emsa",
    },
    "architecture": {
        "mlp": "skgrow.networks:MLPArchitecture",
        "resnet": "skgrow.networks:ResNetArchitecture",
        "cnn": "skgrow.networks:CNNArchitecture",
    },
    "hierarchy": {
        "depth": "skgrow.multilevel:DepthHierarchy",
        "batch": "skgrow.multilevel:BatchHierarchy",
        "resolution": "skgrow.multilevel:ResolutionHierarchy",
        "width": "skgrow.multilevel:WidthHierarchy",
        "subspace": "skgrow.multilevel:SubspaceHierarchy",
    },
    "cycle": {
        "full": "skgrow.multilevel:Cycle",
        "V": "skgrow.multilevel:Cycle",
        "W": "skgrow.multilevel:Cycle",
        "two-level": "skgrow.multilevel:Cycle",
    },
    "selection": {
        "max": "skgrow.insertion:Selection",
        "min": "skgrow.insertion:Selection",
        "random": "skgrow.insertion:Selection",
    },
}

#: Kinds whose class takes the name itself as its first parameter.
_NAMED = ("cycle", "selection")

#: What a component of each kind must have.
_METHODS = {
    "loss": ["value", "negative_gradient", "curvature"],
    "penalty": ["value", "gradient", "pattern"],
    "criterion": ["value", "gains"],
    "encoding": ["of", "check"],
    "solver": ["start", "seeded"],
    "schedule": ["due", "finished"],
    "search": ["search", "check"],
    "preconditioner": ["start", "check"],
    "architecture": ["template", "n_channels"],
    "hierarchy": ["coarsen", "check"],
    "cycle": ["check"],
    "selection": ["check"],
}


class Names(StrOptions):
    """Constraint: one of the names that the registry has for a kind, at the time of validation."""

    def __init__(self, kind: str, only: tuple[str, ...] = ()) -> None:
        self.kind, self.only = kind, only
        self.type = str
        self.deprecated: set[str] = set()
        self.hidden = False

    @property
    def options(self) -> set[str]:
        """Names allowed."""
        return set(self.only or REGISTRY[self.kind])


def component(kind: str, only: tuple[str, ...] = ()) -> list[Any]:
    """Return the constraints of a parameter that takes a name or a component."""
    return [Names(kind, only), HasMethods(_METHODS[kind])]


def build(kind: str, given: Any, **defaults: Any) -> Any:
    """Return the component that a name stands for, or a copy of the one given.

    Parameters
    ----------
    kind : str
        Of component.
    given : str or component
        The user's choice.
    **defaults
        Parameters of a named component.
    """
    if not isinstance(given, str):
        return clone(given, safe=False)
    found = REGISTRY[kind][given]
    if isinstance(found, str):
        module, _, name = found.partition(":")
        found = getattr(import_module(module), name)
    return found(given, **defaults) if kind in _NAMED else found(**defaults)


def sizes_of(given: Any, name: str, least: int, needs: str) -> tuple[int, ...]:
    """Return widths of hidden layers as a tuple.

    Raises
    ------
    ValueError
        For anything but whole numbers of at least ``least``; the message says what the parameter needs.
    """
    sizes = np.atleast_1d(np.asarray(given))
    if sizes.ndim != 1 or (len(sizes) and sizes.dtype.kind not in "iu") or np.any(sizes < least):
        raise ValueError(f"{name} must be {needs}; got {given!r}.")
    return tuple(int(size) for size in sizes)


#: Constraints of the parameters that all estimators share.
SHARED: dict[str, list[Any]] = {
    "encoding": [None, *component("encoding")],
    "preconditioner": [None, *component("preconditioner")],
    "solver": component("solver"),
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "early_stopping": [StrOptions({"auto"}), "boolean", Interval(Integral, 0, None, closed="left")],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "warm_start": ["boolean"],
    "random_state": ["random_state"],
    "device": [str],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
    "standardize": ["boolean"],
    "verbose": ["verbose"],
}

#: Of those that train mini-batches for a number of epochs.
BY_EPOCHS: dict[str, list[Any]] = {
    "activation": [StrOptions({"relu", "leaky_relu", "tanh", "logistic", "identity"}), HasMethods(["same_as"])],
    "alpha": [StrOptions({"auto"}), Interval(Real, 0, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "adaptive"})],
    "momentum": [Interval(Real, 0, 1, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
}


def epoch_rates(estimator: Any, solver: str) -> dict[str, Any]:
    """Return the rates that the parameters :data:`BY_EPOCHS` give to a named mini-batch solver."""
    rates = {"learning_rate": estimator.learning_rate}
    return rates | {"momentum": estimator.momentum} if solver == "sgd" else rates


def activation_of(given: Any) -> Any:
    """Return the activation that a name stands for, or the one given."""
    from skgrow.networks import Activation

    return Activation(given) if isinstance(given, str) else given


def layers_of(given: Any, architecture: Any, start: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Return the widths of hidden layers of an architecture; ``"auto"`` is what its method starts with.

    Raises
    ------
    ValueError
        For no hidden layer, if the architecture needs one, and for widths below one.
    """
    if isinstance(given, str):
        return start[architecture.name]
    sizes = sizes_of(given, "hidden_layer_sizes", 1, "'auto' or widths >= 1")
    if not sizes and not architecture.may_be_shallow:
        raise ValueError(
            f"hidden_layer_sizes must have at least one hidden layer for architecture={architecture.name!r}; "
            f"got {given!r}."
        )
    return sizes
