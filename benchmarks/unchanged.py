"""Whether a refactoring changed a result: small fits in every mode, compared bit by bit.

    python -m benchmarks.unchanged save FILE             fit all cases with the skgrow that is imported
    python -m benchmarks.unchanged compare OLD NEW       print every difference of two such files
    python -m benchmarks.unchanged checkouts OLD NEW     both, for the packages of two checkouts (directories)

``compare`` and ``checkouts`` exit with 1 where there is a difference. ``--only SUBSTRING`` picks cases by their names,
``--perturb SUBSTRING`` draws other data for some, to see that a difference is reported. ``save --checkout DIR`` fails
unless skgrow comes from there; to fit with another checkout than the one of this file:

    PYTHONPATH=DIR python -P benchmarks/unchanged.py save FILE --checkout DIR

Of every fit all public attributes that end in an underscore are kept, history and loss curve included (but not the
seconds in ``time``), and predictions for new points with their probabilities and deviations. Floating-point numbers
have to be equal, NaN to NaN; so have types, precisions and shapes. Results depend on machine and libraries (and on the
number of threads, which is one here): compare files of one machine.

Cases are written with the parameters of version 0.1.0. Where these are renamed or move into components the cases stay
as they are, and ``translated`` says what became of them.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"

import argparse
import inspect
import pickle
import pkgutil
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

#: Attributes that only the newer side may have.
NEW = frozenset({"n_parameters_"})

#: Entries of rows of the history, and attributes, that measure time.
TIMES = frozenset({"time"})

#: Cases that do not repeat themselves to the last bit, and why; their numbers may differ by ``RELATIVE`` of the largest
#: of their array. There are none since ``repeat_least_squares``.
TOLERANT: dict[str, str] = {}
RELATIVE = 1e-6


# from the parameters of version 0.1.0 to those of the skgrow that is imported ---------------------------------------


def translated(cls, params):
    """Return the parameters that the constructor of ``cls`` takes for those of version 0.1.0.

    Always all parameters of a case come together, also where one is changed before a second fit (see ``changed``), so
    that a component can be made of several. Parameters not given have the defaults of ``cls``; where a default of
    0.1.0 is no longer one, it is given here.

    Parameters
    ----------
    cls : type
        An estimator, or a component of any room.
    params : dict
        By the names of version 0.1.0; a copy.
    """
    known = set(inspect.signature(cls).parameters)
    if "epsilon" in params and "epsilon" not in known:
        epsilon = params.pop("epsilon")
        if params.get("loss") == "huber":
            params["loss"] = component("problem", "Huber", epsilon=epsilon)
    if "negative_slope" in params and "negative_slope" not in known:
        slope = params.pop("negative_slope")
        if params.get("activation") == "leaky_relu":
            params["activation"] = component("networks", "Activation", name="leaky_relu", slope=slope)
    for before, after in (("n_iter_no_change", "patience"), ("tol", "min_decrease"), ("max_iter", "max_stage_iter")):
        if before in params and before not in known:
            params[after] = params.pop(before)
    for group in (_search, _architecture, _insertion, _cycle):
        group(known, params)
    unknown = sorted(set(params) - known)
    if not unknown:
        return params
    raise TypeError(f"{cls.__name__} has no parameters {unknown}: write in translated() what became of them.")


def _taken(known, params, *names):
    """Take parameters that an estimator no longer has."""
    return {name: params.pop(name) for name in names if name in params and name not in known}


def _search(known, params):
    """Give blocks, exchanges and merging to the search, the number of growths to the schedule."""
    moved = _taken(known, params, "max_extensions", "n_exchanges", "merge_tol")
    if moved:
        classes = {"polar": "PolarSearch", "random": "RandomSearch", "gradmax": "GradMax", "firefly": "Firefly"}
        search = params.get("search", "polar")
        search = component("growth", classes[search]) if isinstance(search, str) else search
        params["search"] = search.set_params(**moved)
    moved = _taken(known, params, "max_stages")
    if moved:
        classes = {"plateau": "Plateau", "every": "Every", "target_loss": "TargetLoss"}
        schedule = params.get("schedule", "plateau")
        schedule = component("training", classes[schedule]) if isinstance(schedule, str) else schedule
        params["schedule"] = schedule.set_params(max_growths=moved["max_stages"])


def _architecture(known, params):
    """Give images and maps to the architecture."""
    if "architecture" not in known or "image_shape" in known:
        return
    moved = _taken(known, params, "image_shape", "channels", "map_bias")
    name = params.get("architecture", "resnet" if "final_time" in known else "mlp")
    if name == "cnn":
        moved.pop("map_bias", None)
        params["architecture"] = component("networks", "CNNArchitecture", **moved)
    elif name == "resnet" and "map_bias" in moved:
        params["architecture"] = component("networks", "ResNetArchitecture", map_bias=moved["map_bias"])


def _insertion(known, params):
    """Give norms and numbers to the selection, blocks of neurons to the widening."""
    moved = _taken(known, params, "norm", "merit_samples", "n_insert")
    if moved:
        params["selection"] = component("insertion", "Selection", kind=params.get("selection", "max"), **moved)
    if "widen" in known:
        moved = _taken(known, params, "action", "block_size", "max_neurons")
        if params.get("widen") and moved:
            params["widen"] = component("insertion", "Widening", **moved)
    if "tau" in known and "norm" not in known and params.get("schedule") == "plateau":
        params["schedule"] = None


def _cycle(known, params):
    """Give corrections, coarse levels and the target to the cycle."""
    moved = _taken(
        known,
        params,
        "correction",
        "kappa",
        "check_every",
        "coarse_iter",
        "regularization",
        "coarse_solver",
        "coarse_learning_rate_init",
        "target_loss",
    )
    if "cycle" not in known:
        params.update(moved)
        return
    if moved:
        params["cycle"] = component("multilevel", "Cycle", kind=params.get("cycle", "full"), **moved)
    if "kappa" not in known and params.get("schedule") == "plateau":
        params["schedule"] = None
    if "kappa" not in known and params.get("early_stopping") == "auto":
        params["early_stopping"] = 100


def make(cls, **params):
    """Return an estimator, by the name of its class and its parameters in version 0.1.0."""
    found = getattr(import_module("skgrow"), cls)
    return found(**translated(found, params))


def changed(estimator, **params):
    """Set all parameters of an estimator again, by their names in version 0.1.0."""
    return estimator.set_params(**translated(type(estimator), params))


def component(room, cls, **params):
    """Return a component, by its room in skgrow, the name of its class and its parameters in version 0.1.0.

    Where it is no longer in that room it is looked for in the others.
    """
    rooms = [found.name for found in pkgutil.iter_modules(import_module("skgrow").__path__) if found.ispkg]
    for name in sorted(rooms, key=lambda name: name != room):
        found = getattr(import_module(f"skgrow.{name}"), cls, None)
        if found is not None:
            return found(**translated(found, params))
    raise AttributeError(f"No room of skgrow has {cls}: write in component() what became of it.")


# data ---------------------------------------------------------------------------------------------------------------


@dataclass
class Data:
    """Samples to fit and others to predict."""

    X: Any
    y: Any
    X_new: Any
    y_new: Any

    @classmethod
    def of(cls, X, y, n):
        """Fit the first ``n`` rows."""
        return cls(X[:n], y[:n], X[n:], y[n:])


def numbers(seed, n=70, d=2, outputs=1, noise=0.1):
    """A smooth wave and a kink."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n + 25, d)) * 2 + 1
    phase = np.arange(outputs)
    Y = np.sin(X[:, [0]] + phase) + np.abs(X[:, [-1]] - phase) + noise * rng.normal(size=(n + 25, outputs))
    return Data.of(X, Y[:, 0] if outputs == 1 else Y, n)


def pair(seed):
    """Two outputs."""
    return numbers(seed, n=60, outputs=2)


def line(seed, d=4, n=40, noise=0.5, bend=0.0):
    """A linear function, a little bent."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n + 25, d))
    y = X @ np.arange(1, d + 1) + bend * np.sin(3 * X[:, 0]) + noise * rng.normal(size=n + 25)
    return Data.of(X, y, n)


def bent(seed):
    """A function on which the linear model is best by criterion, but not alone."""
    return line(seed, d=6, n=40, noise=1.0, bend=1.0)


def noise(seed):
    """A linear function under noise, of few samples."""
    return line(seed, d=8, n=25, noise=8.0)


def wide(seed):
    """Fewer samples than features."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(55, 3)) @ rng.normal(size=(3, 60)) + 0.1 * rng.normal(size=(55, 60))
    return Data.of(X, np.tanh(X[:, 0]) + X[:, 1] + 0.05 * rng.normal(size=55), 30)


def counts(seed):
    """Poisson counts."""
    data, rng = numbers(seed), np.random.default_rng(seed)
    data.y, data.y_new = (rng.poisson(np.exp(0.5 * y)).astype(float) for y in (data.y, data.y_new))
    return data


def slopes(seed):
    """Gradients of a function of two variables."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (50, 2))
    Y = np.stack([2 * np.cos(2 * X[:, 0]) * X[:, 1], np.sin(2 * X[:, 0])], 1)
    return Data.of(X, Y + 0.01 * rng.normal(size=Y.shape), 25)


def along(seed):
    """Derivatives along a direction."""
    data = slopes(seed)
    data.y, data.y_new = data.y @ [1.0, -1.0], data.y_new @ [1.0, -1.0]
    return data


def curve(seed, n=40):
    """A function of one variable."""
    rng = np.random.default_rng(seed)
    X = np.sort(rng.uniform(-1, 1, (n + 25, 1)), axis=0)
    order = rng.permutation(n + 25)
    y = np.sin(4 * X[:, 0]) + 0.1 * rng.normal(size=n + 25)
    return Data.of(X[order], y[order], n)


def in_single(seed):
    """Single precision."""
    data = numbers(seed)
    return Data(*(part.astype(np.float32) for part in (data.X, data.y, data.X_new, data.y_new)))


def tensors(seed):
    """Tensors, which give tensors."""
    import torch

    data = numbers(seed)
    return Data(*(torch.as_tensor(part) for part in (data.X, data.y, data.X_new, data.y_new)))


def sparsely(seed):
    """A sparse matrix with zeros."""
    data = numbers(seed, d=3)
    data.X, data.X_new = (sparse.csr_matrix(np.where(np.abs(X) < 1, 0, X)) for X in (data.X, data.X_new))
    return data


def classes(seed, n=90, k=2, d=2):
    """Rings of k classes, whose names are strings."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n + 25, d))
    radius = np.linalg.norm(X, axis=1) + 0.15 * rng.normal(size=n + 25)
    place = np.searchsorted(np.quantile(radius, np.arange(1, k) / k), radius)
    return Data.of(X, np.array(["one", "two", "three", "four"])[place], n)


def three(seed):
    """Three classes."""
    return classes(seed, k=3)


def sides(seed):
    """Two classes on the sides of a plane, few samples of several features."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(65, 6))
    return Data.of(X, (X @ np.arange(1, 7) + 3 * rng.normal(size=65) > 0).astype(int), 40)


def wide_classes(seed):
    """Fewer samples than features, three classes."""
    data = wide(seed)
    data.y, data.y_new = (np.digitize(y, [-1.0, 1.0]) for y in (data.y, data.y_new))
    return data


def labels(seed):
    """Label sets."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(95, 3))
    return Data.of(X, np.stack([X[:, 0] > 0, X[:, 1] ** 2 > 0.5, X[:, 0] * X[:, 2] > 0], 1).astype(int), 70)


def many(seed, n=220, d=64, k=10):
    """Classes and features so many that the Gauss-Newton matrix is dear."""
    rng = np.random.default_rng(seed)
    place = np.arange(n + 25) % k
    centres = rng.normal(size=(2 * k, d))  # two for each class
    X = centres[place + k * rng.integers(0, 2, n + 25)] + 0.7 * rng.normal(size=(n + 25, d))
    return Data.of(X, place, n)


def images(seed, n=90):
    """Images of 8 x 8 pixels with a bar that lies, stands or is missing."""
    rng = np.random.default_rng(seed)
    X, y = 0.3 * rng.normal(size=(n + 25, 8, 8)), np.arange(n + 25) % 3
    for image, kind, at in zip(X, y, rng.integers(1, 7, n + 25), strict=True):
        if kind == 1:
            image[at, 1:7] += 1
        if kind == 2:
            image[1:7, at] += 1
    return Data.of(X.reshape(n + 25, -1), y, n)


def brightness(seed):
    """Images with a number."""
    data = images(seed)
    data.y, data.y_new = (X.reshape(-1, 8, 8)[:, 2:5].max((1, 2)) for X in (data.X, data.X_new))
    return data


def counted(data):
    """Whole weights, some of them zero."""
    return np.arange(len(data.y)) % 4


def weighed(data):
    """Fractional weights."""
    return 0.3 + np.arange(len(data.y)) % 5 / 3


# what is kept of a fit ----------------------------------------------------------------------------------------------


def record(estimator, data):
    """Return public fitted attributes and predictions."""
    cls = type(estimator)
    computed = {name for name in dir(cls) if isinstance(inspect.getattr_static(cls, name), property)}
    names = [name for name in sorted({*vars(estimator), *computed}) if name.endswith("_") and not name.startswith("_")]
    found = {name: plain(getattr(estimator, name)) for name in names if hasattr(estimator, name)}
    found["class"] = cls.__name__
    X = data.X_new
    found["predict()"] = plain(estimator.predict(X))
    found["score()"] = plain(estimator.score(X, data.y_new))
    for name in ("predict_proba", "predict_log_proba", "decision_function"):
        if hasattr(estimator, name):
            found[f"{name}()"] = plain(getattr(estimator, name)(X))
    if "return_std" in inspect.signature(estimator.predict).parameters:
        try:
            found["predict(return_std)"] = plain(estimator.predict(X, return_std=True))
        except ValueError:
            found["predict(return_std)"] = "ValueError"
    return found


def plain(value):
    """Return a value as numbers, texts, arrays, lists, tuples and dicts, without measured times."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items() if key not in TIMES}
    if isinstance(value, (list, tuple)):
        return (tuple if isinstance(value, tuple) else list)(plain(entry) for entry in value)
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        return value
    if isinstance(value, np.ndarray):
        return value.copy()
    if hasattr(value, "detach"):
        return value.detach().cpu().numpy()
    return f"<{type(value).__name__}>"


def fitted(cls, data, *, weight=None, validation=None, **params):
    """Return an estimator that was fitted, to weighted samples or with validation data if these are given."""
    given = {}
    if validation is not None:
        given = {"X_val": validation.X, "y_val": validation.y, "sample_weight_val": weighed(validation)}
    estimator = make(cls, **{"random_state": 3} | params)
    return estimator.fit(data.X, data.y, None if weight is None else weight(data), **given)


# cases --------------------------------------------------------------------------------------------------------------

#: Names and functions of a seed that return dicts.
CASES: dict[str, Any] = {}


def case(name):
    """Add a function to the cases."""

    def add(function):
        assert name not in CASES, name
        CASES[name] = function
        return function

    return add


def fits(name, cls, data, *, variants=None, weight=None, validation=False, **params):
    """Add a case of one fit, or one for each of the ``variants`` of its parameters.

    Components among the parameters are functions without arguments that make them.
    """

    @case(f"{cls} {name}")
    def run(seed):
        def one(given):
            given = {key: value() if inspect.isfunction(value) else value for key, value in given.items()}
            samples, held_out = data(seed), data(seed + 1) if validation else None
            estimator = fitted(cls, samples, weight=weight, validation=held_out, **given)
            return record(estimator, samples)

        if variants is None:
            return one(params)
        return {label: one(params | special) for label, special in variants.items()}


def each(name, *values):
    """Return variants of one parameter."""
    return {str(value): {name: value} for value in values}


def every(epochs):
    """Return a function that makes a schedule."""
    return lambda: component("growth", "Every", epochs=epochs)


#: Weights of the classes of three labels.
OF_LABELS = [{0: 1, 1: 3}, {0: 2, 1: 1}, {0: 1, 1: 1}]

PRECONDITIONERS = ("covariance", "second_moment", "kfac", "sobolev", "emsa")


def frobenius(**params):
    """Return a function that makes a preconditioner."""
    return lambda: component("preconditioning", "FrobeniusPreconditioner", **params)


def moments(**params):
    """Return a function that makes a preconditioner of moments with these settings."""

    def build():
        sides = [component("preconditioning", cls, **params) for cls in ("SecondMoment", "Covariance")]
        return frobenius(input=sides[0], output=sides[1], damping=0.5)()

    return build


def preconditioner():
    """A component with other settings than those of the names."""
    moment = component("preconditioning", "SecondMoment", decay=0.8)
    settings = {"input": moment, "output": "covariance", "damping": 0.1, "split": "pi", "fisher": "exact"}
    return frobenius(**settings, inverse_every=2)()


def falling(step):
    """Damping of a step."""
    return 1 / (1 + step)


# growing regressors

GR = "GrowingRegressor"
SMALL = {"max_neurons": 13, "n_exchanges": 1, "max_iter": 60}
SHORTER = {"max_neurons": 6, "n_exchanges": 0, "max_iter": 15}

fits("default", GR, numbers)
fits("linear joins", GR, bent, **SMALL)
fits("linear alone", GR, noise, **SMALL)
fits("all three", GR, line, **SMALL)
fits("linear exact", GR, lambda seed: line(seed, noise=0.0), **SMALL)
fits("relu", GR, numbers, activation="relu", max_neurons=15)
fits("tanh", GR, numbers, activation="tanh", max_neurons=12)
fits("activations", GR, numbers, **SMALL, variants=each("activation", "leaky_relu", "logistic"), negative_slope=0.2)
fits("criteria auto", GR, numbers, **SMALL, variants=each("criterion", "gcv", "evidence"))
fits("criteria", GR, line, **SMALL, variants=each("criterion", "loo", "gcv", "evidence"), activation="tanh")
fits("huber", GR, numbers, **SMALL, loss="huber", epsilon=1.0)
fits("quantile", GR, numbers, **SMALL, loss="quantile", quantile=0.8)
fits("poisson", GR, counts, **SMALL, loss="poisson")
fits("poisson lbfgs", GR, counts, **SMALL, loss="poisson", solver="lbfgs", activation="relu")
fits("lm", GR, numbers, **SMALL, solver="lm", activation="relu", schedule="every")
fits("lbfgs", GR, numbers, **SMALL, solver="lbfgs")
fits(
    "mini-batches",
    GR,
    numbers,
    **SMALL | {"max_iter": 30},
    variants={
        "adam": {"solver": "adam"},
        "adam auto": {"solver": "adam", "activation": "auto", "max_stages": 1},
        "sgd": {"solver": "sgd", "alpha": 0.001},
        "sgd validation": {"solver": "sgd", "early_stopping": True},
    },
    activation="tanh",
    batch_size=16,
    learning_rate_init=0.01,
)
fits(
    "preconditioners",
    GR,
    numbers,
    variants=each("preconditioner", *PRECONDITIONERS)
    | {"component": {"preconditioner": preconditioner, "solver": "adam"}},
    activation="tanh",
    max_neurons=6,
    n_exchanges=0,
    max_iter=10,
    batch_size=20,
)
fits("gradient", GR, slopes, **SHORTER, operator="gradient", activation="tanh")
fits("gradient auto", GR, slopes, **SHORTER, operator="gradient", weight=weighed, criterion="evidence")
fits("directional", GR, along, **SHORTER, operator=("directional", np.array([1.0, -1.0])), activation="tanh")


@case("GrowingRegressor callable")
def _(seed):
    import torch

    def operator(f, X):
        tangent = torch.zeros_like(X)
        tangent[:, 0] = 1
        return torch.func.jvp(f, (X,), (tangent,))[1] + f(X)

    data = along(seed)
    return record(fitted(GR, data, **SHORTER, operator=operator, activation="tanh"), data)


PATH = {"penalty": "path", "standardize": False}
fits("path", GR, curve, **PATH, alpha=0.3)
fits("path of a plane", GR, numbers, penalty="path", alpha=3.0, activation="leaky_relu", max_neurons=12)
fits("path of outputs", GR, lambda seed: numbers(seed, n=40, d=3, outputs=2), **PATH, alpha=2.0, max_neurons=10)


@case("growing_path")
def _(seed):
    growing_path = import_module("skgrow").growing_path
    data = curve(seed)
    alphas, networks, gaps = growing_path(data.X, data.y, n_alphas=5)
    found = {"alphas": alphas, "networks": plain(networks), "gaps": gaps}
    data = numbers(seed, n=40, outputs=2)
    weight = weighed(data)
    given = {"alphas": [4.0, 20.0], "max_neurons": 8, "activation": "leaky_relu", "random_state": 5}
    alphas, networks, gaps = growing_path(data.X, data.y, **given, sample_weight=weight)
    return found | {"of a plane": {"alphas": alphas, "networks": plain(networks), "gaps": gaps}}


DEEP = {"max_neurons": 12, "n_exchanges": 1, "max_iter": 40, "activation": "tanh"}
fits("deep last", GR, numbers, **DEEP | {"activation": "relu"}, hidden_layer_sizes=(3, 0))
fits("deep all", GR, numbers, **DEEP, hidden_layer_sizes=(2, 2), grow_layer="all")
fits("deep best", GR, numbers, **DEEP, hidden_layer_sizes=(2, 2, 2), grow_layer="best", block_size=2)
fits("deep auto", GR, numbers, **DEEP | {"activation": "auto", "max_neurons": 8}, hidden_layer_sizes=(2, 2))
fits("wide start", GR, numbers, **SMALL, hidden_layer_sizes=4, activation="tanh")
fits(
    "searches",
    GR,
    numbers,
    **SMALL,
    variants=each("search", "random", "gradmax", "firefly")
    | {
        "polar": {"search": lambda: component("growth", "PolarSearch", n_directions=6, n_thresholds=5)},
        "parameter": {"search": lambda: component("growth", "PolarSearch", normalization="parameter")},
        "rows": {"search": lambda: component("growth", "PolarSearch", max_samples=30)},
        "relu": {"search": "firefly", "activation": "relu", "merge_tol": 0.3},
        "relu gradmax": {"search": "gradmax", "activation": "relu", "block_size": 4},
    },
    activation="tanh",
)
fits(
    "schedules",
    GR,
    numbers,
    **SMALL,
    variants=each("schedule", "every", "at_epochs", "target_loss")
    | {
        "at": {"schedule": lambda: component("growth", "AtEpochs", epochs=(3, 8))},
        "target": {"schedule": lambda: component("growth", "TargetLoss", target=0.1, tol=0.01)},
        "plateau": {"schedule": lambda: component("growth", "Plateau", tol=0.05, patience=2)},
    },
    activation="tanh",
)
fits("alpha", GR, numbers, **SMALL, variants=each("alpha", 0.0, 0.5))
fits("budgets", GR, numbers, variants=each("max_neurons", 0, 1, 4) | each("max_stages", 0, 1), n_exchanges=2)
fits("blocks", GR, numbers, **SMALL | {"max_neurons": 14}, block_size="auto", max_extensions=2, activation="relu")
fits("tensors", GR, tensors, **SMALL, activation="tanh", device="cpu")
fits("unforced", GR, numbers, **SMALL, n_iter_no_change=1, tol=0.05, standardize=False)
fits("float32", GR, numbers, **SMALL, dtype="float32", activation="relu")
fits("inputs", GR, in_single, **SMALL, activation="tanh")
fits("sparse", GR, sparsely, **SMALL, activation="relu")
fits("wide", GR, wide, **SMALL)
fits("wide tanh", GR, wide, **SMALL | {"max_neurons": 6}, activation="tanh", early_stopping=True)
fits("outputs", GR, pair, **SMALL)
fits("outputs quantile", GR, pair, **SMALL, loss="quantile", activation="relu")
fits("whole weights", GR, numbers, **SMALL, weight=counted)
fits("weights", GR, numbers, **SMALL, weight=weighed, activation="tanh")
fits("validation", GR, numbers, **SMALL, weight=weighed, validation=True)
fits("early stopping", GR, numbers, **SMALL, early_stopping=True, validation_fraction=0.25)


@case("GrowingRegressor warm start")
def _(seed):
    found = {}
    for label, data, special in (
        ("average", numbers(seed), {}),
        ("linear", bent(seed), {}),
        ("relu", numbers(seed), {"activation": "relu", "early_stopping": True}),
        ("path", curve(seed), {"penalty": "path", "alpha": 0.5}),
    ):
        params = {"max_neurons": 12, "n_exchanges": 0, "warm_start": True, "random_state": 3, "max_stages": 2} | special
        reg = fitted(GR, data, **params)
        found[label] = {"first": record(reg, data)}
        reg.fit(data.X[:40], data.y[:40])
        found[label]["other data"] = record(reg, data)
        changed(reg, **params | {"max_neurons": 18}).fit(data.X, data.y)
        found[label]["larger"] = record(reg, data)
    return found


def batches(cls, data, *, first=None, weight=None, n=6, size=20, **params):
    """Return what is known after each of several batches, the first one by ``fit`` if ``first`` is "fit"."""
    model, found = make(cls, **{"random_state": 3} | params), {}
    given = {} if "Regressor" in cls else {"classes": np.unique(data.y) if np.ndim(data.y) == 1 else np.arange(3)}
    for i in range(n):
        rows = np.arange(i * size, (i + 1) * size) % len(data.y)
        weights = {} if weight is None else {"sample_weight": weight(data)[rows]}
        if i == 0 and first == "fit":
            model.fit(data.X[rows], data.y[rows], **weights)
        else:
            model.partial_fit(data.X[rows], data.y[rows], **given, **weights)
        found[f"batch {i}"] = record(model, data)
    return found


@case("GrowingRegressor random states")
def _(seed):
    data, found = numbers(seed), {}
    for label, random_state in (("none", None), ("instance", np.random.RandomState(7))):
        reg = fitted(GR, data, **SMALL, activation="relu", random_state=random_state)
        found[label] = {"first": record(reg, data), "second": record(reg.fit(data.X, data.y), data)}
    return found


@case("GrowingRegressor partial_fit")
def _(seed):
    params = {"max_neurons": 14, "max_stages": 1, "n_exchanges": 0, "max_iter": 30}
    often = component("growth", "Every", epochs=2)
    return {
        "average": batches(GR, numbers(seed), **params, schedule=often, size=50),
        "tanh": batches(GR, numbers(seed), **params, schedule=often, activation="tanh", weight=weighed, first="fit"),
        "linear": batches(GR, line(seed, d=2), **params, schedule=often),
        "deep": batches(GR, pair(seed), **params, hidden_layer_sizes=(2, 2), schedule=often, learning_rate_init=0.01),
        "kfac": batches(GR, numbers(seed), **params, preconditioner="kfac", activation="tanh", n=3),
        "poisson": batches(GR, counts(seed), **params, loss="poisson", activation="relu", n=3),
    }


# growing classifiers

GC = "GrowingClassifier"
FEW = {"max_neurons": 9, "max_iter": 40}

fits("default", GC, classes)
fits("three", GC, three, **FEW)
fits("linear", GC, sides, **FEW, variants={"joins": {}, "loo": {"criterion": "loo"}})
fits("labels", GC, labels, **FEW)
fits("labels weighted", GC, labels, **FEW, activation="relu", class_weight=OF_LABELS)
fits("criteria", GC, classes, **FEW, variants=each("criterion", "loo", "gcv", "evidence"), activation="tanh")
fits("activations", GC, classes, **FEW, variants=each("activation", "relu", "leaky_relu", "logistic"), n_exchanges=1)
fits("balanced", GC, three, **FEW, class_weight="balanced", weight=weighed, activation="relu")
fits("class weights", GC, classes, **FEW, class_weight={"one": 1, "two": 3}, weight=counted, activation="tanh")
fits(
    "solvers",
    GC,
    classes,
    **FEW | {"max_iter": 15},
    variants=each("solver", "lm", "lbfgs", "adam", "sgd") | each("preconditioner", "kfac", "emsa"),
    activation="tanh",
    learning_rate_init=0.01,
    batch_size=30,
)
fits("validation", GC, three, **FEW, weight=weighed, validation=True)
fits("early stopping", GC, classes, **FEW, early_stopping=True, standardize=False, activation="relu")
fits("wide", GC, wide_classes, **FEW)
fits("deep", GC, three, **FEW, hidden_layer_sizes=(3, 0), activation="relu")
fits("budgets", GC, classes, variants=each("max_neurons", 0, 2) | each("alpha", 0.1, 1.0), max_iter=40, max_stages=1)
fits("kronecker", GC, many, max_neurons=20, max_iter=40)
fits("kronecker evidence", GC, many, max_neurons=10, max_iter=25, activation="tanh", early_stopping=False)


@case("GrowingClassifier warm start")
def _(seed):
    found = {}
    for label, data in (("two", classes(seed)), ("labels", labels(seed)), ("dear", many(seed))):
        params = {"max_neurons": 6, "max_iter": 20, "warm_start": True, "random_state": 3}
        clf = fitted(GC, data, **params)
        found[label] = {"first": record(clf, data)}
        changed(clf, **params | {"max_neurons": 12}).fit(data.X, data.y)
        found[label]["larger"] = record(clf, data)
    return found


@case("GrowingClassifier partial_fit")
def _(seed):
    params = {"max_neurons": 12, "max_stages": 1, "max_iter": 30, "schedule": component("growth", "Every", epochs=2)}
    rare = three(seed)
    order = np.argsort(rare.y == "one", kind="stable")  # a class that the first batches do not have
    rare.X, rare.y = rare.X[order], rare.y[order]
    return {
        "average": batches(GC, classes(seed), **params, size=60),
        "missing class": batches(GC, rare, **params, activation="relu", weight=weighed),
        "labels": batches(GC, labels(seed), **params, activation="tanh", n=4),
    }


# layer insertion

SR, SC = "SensLIRegressor", "SensLIClassifier"
MLP = {"hidden_layer_sizes": (6,), "schedule": every(8), "max_iter": 40, "tau": 0, "learning_rate_init": 0.01}
CNN = {
    "architecture": "cnn",
    "image_shape": (8, 8),
    "channels": (3, (4,)),
    "schedule": every(4),
    "max_iter": 12,
    "tau": 0.3,
}

fits("default", SR, numbers)
fits("default", SC, three)
fits(
    "tau",
    SR,
    numbers,
    variants={"adam": {"tau": 0.3}, "lbfgs": {"tau": 0.1, "solver": "lbfgs"}},
    hidden_layer_sizes=6,
    max_iter=120,
    batch_size=10,
    learning_rate_init=0.03,
    standardize=False,
)
fits("losses", SR, counts, **MLP, variants=each("loss", "huber", "quantile", "poisson"))
fits("activations", SR, numbers, **MLP, variants=each("activation", "leaky_relu", "tanh", "logistic", "identity"))
fits(
    "solvers",
    SR,
    numbers,
    **MLP,
    variants=each("solver", "auto", "lm", "lbfgs")
    | {
        "sgd": {"solver": "sgd", "momentum": 0.5, "learning_rate": "adaptive", "learning_rate_init": 0.1},
        "adam": {"learning_rate": "adaptive", "new_layer_rate": 0.1, "learning_rate_init": 0.05, "batch_size": 10},
        "float64": {"dtype": "float64"},
    },
)
fits("preconditioners", SR, pair, **MLP, variants=each("preconditioner", *PRECONDITIONERS), batch_size=30)
fits(
    "selections",
    SR,
    numbers,
    **MLP | {"hidden_layer_sizes": (5, 5)},
    variants=each("selection", "max", "min", "random")
    | {"two": {"n_insert": 2, "max_layers": 6}, "merits": {"merit_samples": 20}},
)
fits(
    "widening",
    SR,
    numbers,
    **MLP,
    variants={
        "auto": {"action": "auto"},
        "both": {"action": "both", "tau": 0.2},
        "budget": {"max_neurons": 7, "max_layers": 1},
        "tanh": {"activation": "tanh", "solver": "lbfgs"},
        "resnet": {"architecture": "resnet", "hidden_layer_sizes": (4, 3)},
    },
    widen=True,
    block_size=2,
)
fits(
    "resnet",
    SR,
    numbers,
    **MLP | {"hidden_layer_sizes": (4, 3), "architecture": "resnet"},
    variants={
        "relu": {},
        "tanh": {"activation": "tanh", "map_bias": False, "standardize": False},
        "lm": {"solver": "lm"},
    },
)
fits("cnn", SR, brightness, **CNN, variants={"relu": {}, "tanh": {"activation": "tanh", "hidden_layer_sizes": (4,)}})
fits(
    "cnn",
    SC,
    images,
    **CNN,
    variants=each("norm", "auto", "frobenius", "frobenius_scaled", "operator", "operator_2", "operator_1")
    | {
        "widen": {"widen": True, "hidden_layer_sizes": (5,), "tau": 0.5},
        "two": {"n_insert": 2, "tau": 0},
        "kfac": {"preconditioner": "kfac", "tau": 0},
    },
)
fits("norms", SC, classes, **MLP, variants=each("norm", "frobenius_scaled", "operator", "operator_2", "operator_1"))
fits("labels", SC, labels, **MLP, class_weight=OF_LABELS)
fits("weights", SC, three, **MLP, weight=weighed, class_weight="balanced", activation="logistic")
fits(
    "validation", SC, classes, **MLP | {"learning_rate_init": 0.05}, weight=counted, validation=True, n_iter_no_change=1
)
fits("early stopping", SR, sparsely, **MLP, early_stopping=True, validation_fraction=0.3)
fits("wide", SR, wide, **MLP)


@case("SensLI again")
def _(seed):
    found = {}
    often = component("growth", "Every", epochs=4)
    small = {"hidden_layer_sizes": (5,), "max_iter": 12, "schedule": often, "tau": 0, "random_state": 3}
    shown = {"architecture": "cnn", "image_shape": (8, 8), "channels": (3,), "hidden_layer_sizes": ()}
    for label, cls, data, special in (
        ("mlp", SR, numbers(seed), {"activation": "tanh", "max_layers": 3}),
        ("resnet", SR, pair(seed), {"architecture": "resnet", "hidden_layer_sizes": (4, 3)}),
        ("cnn", SC, images(seed), shown),
    ):
        params = small | special | {"warm_start": True}
        model = fitted(cls, data, **params)
        changed(model, **params | {"max_layers": 4, "max_iter": 9}).fit(data.X, data.y)
        found[label] = {"warm start": record(model, data)}
        rare = {"schedule": component("growth", "Every", epochs=2), "max_iter": 3, "max_layers": 5}
        found[label] |= batches(cls, data, **small | special | rare, n=5)
    return found


# multilevel training

MR, MC = "MGOptRegressor", "MGOptClassifier"
SHORT = {"max_iter": 16, "check_every": 4, "coarse_iter": 3, "n_iter_no_change": 8, "learning_rate_init": 0.01}
RESNET = {"hidden_layer_sizes": (5,) * 5, "n_levels": 3, "kappa": 0.05, "batch_size": 20} | SHORT
LEVELS = {
    "depth": {"hidden_layer_sizes": (5,) * 5, "n_levels": 3},
    "width": {"architecture": "mlp", "hidden_layer_sizes": (8, 4), "n_levels": 3},
    "batch": {"hierarchy": "batch", "hidden_layer_sizes": (4, 4, 4), "n_levels": 2},
    "subspace": {"hierarchy": "subspace", "hidden_layer_sizes": (4, 4, 4), "solver": "lbfgs"},
}
MGCNN = {"architecture": "cnn", "image_shape": (8, 8), "channels": (3, (4,)), "hidden_layer_sizes": (6,)}


def hierarchy(cls, **params):
    """Return a function that makes a hierarchy."""
    return lambda: component("multilevel", cls, **params)


fits("default", MR, numbers, max_iter=30)
fits("default", MC, three, max_iter=20)
fits(
    "cycles",
    MR,
    numbers,
    **RESNET,
    variants=each("cycle", "full", "V", "W") | {"two": {"cycle": "two-level", "n_levels": 2}},
)
fits(
    "corrections",
    MR,
    numbers,
    **RESNET,
    variants={
        f"{cycle} {kind}": {"cycle": cycle, "correction": kind} for cycle in ("full", "V") for kind in (True, "exact")
    }
    | {"regularized": {"correction": "exact", "cycle": "W", "regularization": 0.5}},
)
fits(
    "coarse solvers",
    MR,
    numbers,
    **RESNET,
    variants={
        "lbfgs": {"coarse_solver": "lbfgs", "correction": "exact"},
        "sgd": {"coarse_solver": "sgd", "coarse_learning_rate_init": 0.02, "momentum": 0.5},
        "all sgd": {"solver": "sgd", "learning_rate": "adaptive", "momentum": 0.8},
        "all lbfgs": {"solver": "lbfgs", "correction": True},
    },
)
fits(
    "hierarchies",
    MR,
    numbers,
    **SHORT | {"kappa": 0.05, "batch_size": 20},
    variants={f"{name} {kind}": more | {"correction": kind} for name, more in LEVELS.items() for kind in (False, True)}
    | {
        "linear": LEVELS["depth"]
        | {"hierarchy": hierarchy("DepthHierarchy", interpolation="linear", restriction="injection", scale=2.0)},
        "smallest": LEVELS["subspace"] | {"hierarchy": hierarchy("SubspaceHierarchy", dimension=4, which="smallest")},
        "three": LEVELS["width"]
        | {"hierarchy": hierarchy("WidthHierarchy", factor=3), "n_levels": 2, "hidden_layer_sizes": (6,)},
        "narrow blocks": LEVELS["depth"] | {"hierarchy": "width", "hidden_layer_sizes": (4, 4, 4), "n_levels": 2},
    },
)
fits(
    "cnn",
    MC,
    images,
    **MGCNN | SHORT,
    variants={
        "full": {},
        "V": {"cycle": "V", "correction": True, "kappa": 0.05},
        "three": {"n_levels": 3, "channels": (3, 4, 4)},
    },
)
fits("cnn", MR, brightness, **MGCNN | SHORT, activation="tanh")
fits(
    "targets",
    MR,
    numbers,
    **RESNET | {"max_iter": 60},
    variants={"soon": {"target_loss": 0.3}, "far": {"target_loss": 1e-3, "schedule": every(5)}, "tol": {"tol": 0.2}},
)
fits(
    "preconditioners",
    MR,
    numbers,
    **RESNET | {"max_iter": 6, "check_every": 3, "n_levels": 2},
    variants=each("preconditioner", *PRECONDITIONERS),
)
fits("losses", MR, counts, **RESNET, variants=each("loss", "huber", "quantile", "poisson"), activation="tanh")
fits("outputs", MR, pair, **RESNET, map_bias=False, standardize=False, final_time=1.0, activation="leaky_relu")
fits("labels", MC, labels, **RESNET, cycle="V", correction=True, class_weight=OF_LABELS)
fits("weights", MC, three, **RESNET, weight=weighed, class_weight="balanced")
fits("validation", MC, classes, **RESNET, weight=weighed, validation=True)
fits("early stopping", MR, sparsely, **RESNET, early_stopping=True, dtype="float64")


@case("MGOpt again")
def _(seed):
    found = {}
    for label, cls, data, special in (
        ("depth", MR, numbers(seed), RESNET),
        ("two-level", MR, numbers(seed), RESNET | {"cycle": "two-level", "n_levels": 2}),
        ("width", MC, three(seed), SHORT | LEVELS["width"] | {"n_levels": 2}),
        ("resolution", MC, images(seed), SHORT | MGCNN),
    ):
        params = special | {"random_state": 3, "max_iter": 8, "warm_start": True}
        model = fitted(cls, data, **params)
        found[label] = {"first": record(model, data)}
        coarse = model.coarsen(1)
        if label == "resolution":
            smaller = [X.reshape(-1, 4, 2, 4, 2).max((2, 4)).reshape(-1, 16) for X in (data.X, data.X_new)]
            reduced = Data(smaller[0], data.y, smaller[1], data.y_new)
        else:
            reduced = data
        found[label]["coarse"] = record(coarse, reduced)
        coarse.partial_fit(reduced.X, reduced.y)
        found[label]["coarse further"] = record(coarse, reduced)
        found[label]["coarse warm start"] = record(coarse.fit(reduced.X, reduced.y), reduced)
        changed(model, **params | {"max_iter": 6}).fit(data.X, data.y)
        found[label]["warm start"] = record(model, data)
        model.partial_fit(data.X[:30], data.y[:30])
        found[label]["further"] = record(model, data)
    return found


# networks of given layers

PR, PC = "PreconditionedMLPRegressor", "PreconditionedMLPClassifier"
FIXED = {"hidden_layer_sizes": (6, 5), "max_iter": 20, "batch_size": 20}

fits("default", PR, numbers, max_iter=20)
fits("default", PC, classes, max_iter=20)
fits(
    "preconditioners",
    PR,
    numbers,
    **FIXED,
    variants=each("preconditioner", *PRECONDITIONERS),
    activation="tanh",
    report_layers=True,
    stage_epochs=4,
)
fits(
    "components",
    PR,
    numbers,
    **FIXED | {"max_iter": 10},
    variants={
        "own": {"preconditioner": preconditioner},
        "lm": {"preconditioner": frobenius(damping=0.1, adapt="lm", rescale=True, fisher="empirical")},
        "sum": {"preconditioner": frobenius(combine="sum", damping=falling, inverse_every=3)},
        "layers": {"preconditioner": frobenius(input="sobolev", output="second_moment", exact_momentum=True)},
    },
)
fits(
    "moments",
    PR,
    numbers,
    **FIXED | {"max_iter": 10},
    variants={
        f"{structure} {window}": {"preconditioner": moments(structure=structure, window=window, rank=2)}
        for structure, window in (("diagonal", "ema"), ("lowrank", "ema"), ("dense", "batch"), ("dense", "ema_inverse"))
    },
)
fits("diverging", PR, numbers, **FIXED, preconditioner=None, learning_rate_init=1e8, standardize=False)
fits("adam", PR, numbers, **FIXED, solver="adam", variants=each("preconditioner", *PRECONDITIONERS), activation="tanh")
fits("plain", PR, numbers, **FIXED, preconditioner=None, variants=each("solver", "auto", "lm", "lbfgs", "adam", "sgd"))
fits("losses", PR, counts, **FIXED, variants=each("loss", "huber", "quantile", "poisson"))
fits("activations", PR, pair, **FIXED, variants=each("activation", "relu", "leaky_relu", "logistic", "identity"))
fits(
    "adaptive",
    PR,
    numbers,
    **FIXED | {"max_iter": 60},
    preconditioner="covariance",
    learning_rate="adaptive",
    learning_rate_init=0.1,
    momentum=0.5,
    alpha=0.1,
    tol=0.01,
    n_iter_no_change=4,
    stage_epochs=3,
)
fits("data", PR, sparsely, **FIXED, weight=weighed, standardize=False, dtype="float64")
fits("inputs", PR, in_single, **FIXED, weight=counted)
fits(
    "three",
    PC,
    three,
    **FIXED,
    activation="logistic",
    variants=each("preconditioner", "covariance", "kfac", "emsa"),
    report_layers=True,
)
fits("labels", PC, labels, **FIXED, weight=weighed, class_weight=OF_LABELS)
fits("balanced", PC, three, **FIXED, class_weight="balanced", preconditioner=None, solver="lbfgs")
fits("validation", PR, numbers, **FIXED, weight=weighed, validation=True)
fits("early stopping", PC, classes, **FIXED, early_stopping=True, validation_fraction=0.2)


@case("PreconditionedMLP again")
def _(seed):
    found = {}
    for label, cls, data, special in (
        ("numbers", PR, numbers(seed), {"activation": "tanh"}),
        ("classes", PC, three(seed), {"preconditioner": "second_moment", "solver": "adam"}),
        ("plain", PR, pair(seed), {"preconditioner": None, "solver": "lm"}),
    ):
        params = FIXED | special | {"warm_start": True, "random_state": 3, "max_iter": 6}
        model = fitted(cls, data, **params)
        changed(model, **params | {"max_iter": 9}).fit(data.X, data.y)
        found[label] = {"warm start": record(model, data)} | batches(cls, data, **FIXED | special, n=3)
    return found


# saving -------------------------------------------------------------------------------------------------------------


def result(function, seed):
    """Return what a case gives, whatever ran before, and warnings of scikit-learn's kinds."""
    import torch

    np.random.seed(0)  # noqa: NPY002
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = function(seed)
    return found | {"warnings": [w.category.__name__ for w in caught if w.category.__module__.startswith("sklearn")]}


def save(file, only, perturb, checkout):
    """Fit the cases and write what they give; return the number of those that failed."""
    import torch

    import skgrow

    torch.set_num_threads(1)
    package = Path(skgrow.__file__).resolve().parent
    if checkout is not None and package.parent != Path(checkout).resolve():
        raise SystemExit(f"skgrow comes from {package}, not from {checkout}: set PYTHONPATH, and run with -P.")
    print(f"skgrow of {package}")
    results, errors, started = {}, {}, time.perf_counter()
    for name, function in CASES.items():
        if only not in name:
            continue
        begun = time.perf_counter()
        try:
            results[name] = result(function, 1 if perturb and perturb in name else 0)
        except Exception as error:
            errors[name] = f"{type(error).__name__}: {error}"
            print(f"FAILED {name}: {errors[name]}")
        else:
            print(f"{time.perf_counter() - begun:6.1f} s  {name}", flush=True)
    print(f"{len(results)} cases in {time.perf_counter() - started:.0f} s, {len(errors)} failed")
    libraries = {name: version(name) for name in ("numpy", "scipy", "scikit-learn", "torch")}
    about = {"python": platform.python_version(), "machine": platform.machine(), **libraries}
    with Path(file).open("wb") as out:
        pickle.dump({"about": about, "package": str(package), "results": results, "errors": errors}, out)
    return len(errors)


# comparing ----------------------------------------------------------------------------------------------------------


def differences(old, new, path, relative=0.0):
    """Yield paths, what differs there, and by how much.

    Parameters
    ----------
    old, new : object
        As ``plain`` returns them.
    path : tuple of str
        Where they come from; items of sequences are not told apart.
    relative : float
        Numbers may differ by so much of the largest of their array.
    """
    if type(old) is not type(new):
        yield path, f"was a {type(old).__name__}, is a {type(new).__name__}", None
    elif isinstance(old, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in new:
                yield (*path, str(key)), "is missing", None
            elif key not in old:
                if key not in NEW:
                    yield (*path, str(key)), "is new", None
            else:
                yield from differences(old[key], new[key], (*path, str(key)), relative)
    elif isinstance(old, (list, tuple)):
        if len(old) != len(new):
            yield path, f"had length {len(old)}, has {len(new)}", None
        for one, other in zip(old, new, strict=False):
            yield from differences(one, other, (*path, "*"), relative)
    elif isinstance(old, (np.ndarray, np.generic, float)):
        yield from _of_arrays(np.asarray(old), np.asarray(new), path, relative)
    elif old != new:
        by = abs(old - new) if isinstance(old, int) else None
        yield path, "differs" if by is not None else f"was {old!r}, is {new!r}", by


def _of_arrays(old, new, path, relative):
    if old.dtype != new.dtype or old.shape != new.shape:
        yield path, f"was {old.dtype} of shape {old.shape}, is {new.dtype} of shape {new.shape}", None
    elif old.dtype.kind != "f":
        if not np.array_equal(old, new):
            numeric = old.dtype.kind in "iu"
            yield path, "differs", float(np.abs(old.astype(float) - new.astype(float)).max()) if numeric else None
    else:
        nan = np.isnan(old), np.isnan(new)
        if not np.array_equal(*nan):
            yield path, "is NaN elsewhere", None
            return
        with np.errstate(invalid="ignore"):
            by = np.where(nan[0] | (old == new), 0, np.abs(old - new))
        largest = float(by.max(initial=0))
        scale = float(np.abs(np.where(np.isfinite(old), old, 0)).max(initial=0))
        if largest > relative * scale:
            yield path, "differs", largest
        elif not relative and not np.array_equal(np.signbit(old[~nan[0]]), np.signbit(new[~nan[0]])):
            yield path, "has zeros of another sign", 0.0


def compare(old_file, new_file, only):
    """Print every difference of two files; return the number of cases that differ."""
    files = []
    for file in (old_file, new_file):
        with Path(file).open("rb") as stream:
            files.append(pickle.load(stream))
    old, new = files
    if old["about"] != new["about"]:
        print(f"Not of one environment: {old['about']} and {new['about']}")
    names = [name for side in files for part in ("results", "errors") for name in side[part] if only in name]
    names = list(dict.fromkeys(names))
    changed_cases = 0
    for name in names:
        found = defaultdict(list)
        for side, label in ((old, "old"), (new, "new")):
            if name in side["errors"]:
                found["", f"FAILED in the {label} file: {side['errors'][name]}"].append(None)
            elif name not in side["results"]:
                found["", f"is not in the {label} file"].append(None)
        if not found:
            relative = RELATIVE if name in TOLERANT else 0.0
            for path, what, by in differences(old["results"][name], new["results"][name], (), relative):
                found[" / ".join(path), what].append(by)
        for (path, what), sizes in found.items():
            known = [by for by in sizes if by is not None]
            largest = f", largest difference {max(known):.3g}" if known else ""
            times = f" ({len(sizes)} times)" if len(sizes) > 1 else ""
            print(f"{name}: {path} {what}{largest}{times}")
        changed_cases += bool(found)
    print(f"{changed_cases} of {len(names)} cases differ")
    return changed_cases if names else 1


def checkouts(old, new, only, perturb):
    """Fit with the packages of two checkouts, by the script of the newer one, and compare."""
    script = Path(new).resolve() / "benchmarks" / "unchanged.py"
    if not script.exists():
        raise SystemExit(f"{script} is missing: the newer checkout has to have this script.")
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / "old.pickle", Path(folder) / "new.pickle"]
        for checkout, file, other in ((old, files[0], ""), (new, files[1], perturb)):
            command = [sys.executable, "-P", script, "save", file, "--checkout", checkout]
            command += ["--only", only, "--perturb", other]
            environment = os.environ | {"PYTHONPATH": str(Path(checkout).resolve())}
            failed = subprocess.run(command, env=environment, check=False).returncode
            if failed and not file.exists():
                return failed
        return compare(*files, only)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--only", default="", help="cases whose name contains this")
    others = argparse.ArgumentParser(add_help=False)
    others.add_argument("--perturb", default="", help="cases that get other data")
    one = commands.add_parser("save", parents=[shared, others])
    one.add_argument("file")
    one.add_argument("--checkout", help="where skgrow has to come from")
    for name in ("compare", "checkouts"):
        two = commands.add_parser(name, parents=[shared, others] if name == "checkouts" else [shared])
        two.add_argument("old")
        two.add_argument("new")
    args = parser.parse_args()
    if args.command == "save":
        bad = save(args.file, args.only, args.perturb, args.checkout)
    elif args.command == "compare":
        bad = compare(args.old, args.new, args.only)
    else:
        bad = checkouts(args.old, args.new, args.only, args.perturb)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
