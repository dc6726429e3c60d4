"""Random fits of the eight estimators to awkward small data: what must never happen, counted.

    python -m benchmarks.fuzz --fits 1000 [--first SEED] [--log FILE]

A seed makes a case: data of one to sixty rows with everything that real tables have (columns that are constant or
nearly so, offsets of Unix seconds, scales from 1e-12 to 1e12, heavy tails, repeated rows, rare levels, ...), in the
forms in which users hold them (sparse, tensors, single precision, big-endian, views), weights, and parameters, often
the defaults and otherwise names and components of every kind. The estimator is fitted and looked at (``look``), and
fitted a second time in a way that must not change it, or goes on from where it is (``compare``). Complaints are:

    exception      anything but a refusal, which is a ValueError or TypeError that skgrow or scikit-learn raise
    non-finite     weights, predictions, probabilities, deviations or attributes
    worse          of growing estimators without validation data: squared error, deviance or cross-entropy on the
                   training data above that of the constant by more than a thousandth
    loss_          is not the loss of the predictions, in the units of training
    history rises  of growing estimators: the training loss of a row is above that of the row it was made from
    leak           threads, global generators, warning filters, precision, gradients or handlers are not as before
    pickle         predicts something else
    too long       a fit takes more than 20 seconds of one processor
    refit          of a clone on the same data gives other weights, by a bit
    row order      the same of permuted rows (growing estimators, full-batch solvers)
    repetition     the same of rows repeated as often as whole weights say (as above)
    uniform        the same of weights that are all equal instead of none (fractions, which are relative; of growing
                   estimators that choose their penalty also whole numbers)

Every one must be 0; otherwise the exit status is 1. Refusals and warnings are listed, too, but are no complaints.
``--fits 1 --first SEED`` repeats a case. The suite runs a fixed profile of small cases (``tests/test_fuzz.py``).
"""

import argparse
import json
import os
import pickle
import signal
import sys
import time
import traceback
import warnings
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from scipy import sparse
from scipy.special import xlogy
from sklearn.base import clone
from sklearn.utils.class_weight import compute_sample_weight
from threadpoolctl import ThreadpoolController

import skgrow
from benchmarks._report import table
from skgrow.criteria import GCV, LeaveOneOut, LogEvidence
from skgrow.growth import Firefly, GradMax, PolarSearch, RandomSearch
from skgrow.insertion import Selection, Widening
from skgrow.multilevel import BatchHierarchy, Cycle, DepthHierarchy, SubspaceHierarchy, WidthHierarchy
from skgrow.networks import Activation, CNNArchitecture, MLPArchitecture, ResNetArchitecture
from skgrow.preconditioning import Covariance, FrobeniusPreconditioner, SecondMoment, kfac
from skgrow.problem import L2, Huber, PathNorm, Poisson, Quantile, SquaredError
from skgrow.solvers import LBFGS, Adam, AutoSolver, LevenbergMarquardt, StochasticGradient
from skgrow.training import AtEpochs, Every, Plateau, TargetLoss

KINDS = (
    "exception",
    "non-finite",
    "worse",
    "loss_",
    "history rises",
    "leak",
    "pickle",
    "too long",
    "refit",
    "row order",
    "repetition",
    "uniform",
)
LIMIT = 20.0  # seconds of one processor
SLACK = 1e-3  # relative, of losses
ROUNDING = {False: 1e-8, True: 2e-6}  # of a loss in double and single precision: of sums of numbers of size 20
LEAST_CROSS_ENTROPY = 1e-6  # of a label that all rows share the constant's is zero, which no network reaches


def pick(rng, *values):
    return values[int(rng.integers(len(values)))]


def chance(rng, share):
    return rng.random() < share


# inputs ------------------------------------------------------------------------------------------------------------

CONSTANTS = (0.0, 1.0, 0.1, 1000.0, 1.7e9 + 1, -3e-9)
OFFSETS = (1e3, 5.4e6, 2459000.5, 1.7e9, 1e12)  # the middle ones: UTM northings, Julian dates, Unix seconds

INPUTS = {
    "normal": lambda rng, n, d: rng.normal(size=(n, d)),
    "uniform": lambda rng, n, d: rng.uniform(-1, 1, (n, d)),
    "levels": lambda rng, n, d: rng.integers(0, 3, (n, d)).astype(float),
    "binary": lambda rng, n, d: (rng.random((n, d)) < rng.uniform(0.2, 0.8, d)).astype(float),
    "rare levels": lambda rng, n, d: (rng.random((n, d)) < 1.5 / n).astype(float),
    "one-hot": lambda rng, n, d: np.eye(d)[rng.integers(0, d, n)],
    "counts": lambda rng, n, d: rng.poisson(0.3, (n, d)).astype(float),
    "Cauchy": lambda rng, n, d: rng.standard_cauchy((n, d)),
    "lognormal": lambda rng, n, d: np.exp(4 * rng.normal(size=(n, d))),
    "constant": lambda rng, n, d: np.tile(rng.normal(size=d) * 10.0 ** rng.integers(-12, 12), (n, 1)),
    "zero": lambda rng, n, d: np.zeros((n, d)),  # noqa: ARG005
}
SHARES = (0.4, 0.06, 0.08, 0.08, 0.06, 0.06, 0.06, 0.08, 0.06, 0.04, 0.02)


def inputs(rng, n, d):
    """Return X and what it is."""
    kind = str(rng.choice(list(INPUTS), p=SHARES))
    X, tags = INPUTS[kind](rng, n, d), [kind]
    for name, share, change in (
        ("duplicates", 0.2, lambda X: X[rng.integers(0, n, n)]),
        ("near duplicates", 0.1, lambda X: X[np.zeros(n, int)] + 1e-9 * rng.normal(size=(n, d))),
        ("collinear", 0.15, _collinear),
        ("scales", 0.2, lambda X: X * 10.0 ** rng.integers(-12, 13, d)),
        ("offsets", 0.15, lambda X: X + np.where(rng.random(d) < 0.5, rng.choice(OFFSETS, d), 0.0)),
        ("outlier", 0.08, lambda X: X * np.where(np.arange(n) == rng.integers(n), 1e8, 1.0)[:, None]),
        ("mostly zero", 0.06, lambda X: np.where(rng.random((n, d)) < 0.9, 0.0, X)),
        ("constant column", 0.2, lambda X: _with_column(X, rng.integers(d), pick(rng, *CONSTANTS))),
    ):
        if chance(rng, share):
            X = change(X)
            tags.append(name)
    return X, tags


def _collinear(X):
    return _with_column(X, X.shape[1] - 1, -2 * X[:, 0] + 1)


def _with_column(X, j, values):
    X = X.copy()
    X[:, j] = values
    return X


# targets -----------------------------------------------------------------------------------------------------------


def signal_of(X, rng):
    """Return a linear function of bounded features."""
    spread = X.std(0)
    Z = np.tanh((X - X.mean(0)) / np.where(spread > 0, spread, 1.0))
    return Z @ rng.normal(size=X.shape[1])


def _several(f, rng):
    c = int(rng.integers(2, 4))
    Y = np.outer(f, rng.normal(size=c)) + 0.1 * rng.normal(size=(len(f), c))
    if chance(rng, 0.3):
        Y[:, 0] = 3.0
    return Y


def _spike(f, rng):
    return np.where(np.arange(len(f)) == rng.integers(len(f)), 1.0, 0.0)


TARGETS = {
    "noisy": lambda f, rng: f + 0.3 * rng.normal(size=len(f)),
    "linear": lambda f, rng: f,  # noqa: ARG005
    "wave": lambda f, rng: np.sin(3 * f),  # noqa: ARG005
    "noise": lambda f, rng: rng.normal(size=len(f)),
    "constant": lambda f, rng: np.full(len(f), pick(rng, 0.0, 1.0, -1e9, 1e-9)),
    "whole": lambda f, rng: rng.integers(0, 4, len(f)).astype(float),
    "Cauchy": lambda f, rng: 10 * rng.standard_cauchy(len(f)),
    "lognormal": lambda f, rng: np.exp(f + 2 * rng.normal(size=len(f))),
    "spike": _spike,
    "several": _several,
}


def numbers(X, rng):
    """Return targets of a regression and what they are."""
    kind = pick(rng, *TARGETS)
    y, tags = TARGETS[kind](signal_of(X, rng), rng), [f"y {kind}"]
    if chance(rng, 0.2):
        y = y * 10.0 ** rng.integers(-12, 13)
        tags.append("y scale")
    if chance(rng, 0.15):
        y = y + pick(rng, *OFFSETS)
        tags.append("y offset")
    return y, tags


def counts(X, rng):
    """Return sparse counts, or rates with exposures as weights: y, weight, what they are."""
    mean = np.exp(0.5 * signal_of(X, rng) - pick(rng, 0.0, 2.0, 3.5))
    if chance(rng, 0.5):
        return rng.poisson(mean).astype(float), None, ["counts"]
    exposure = rng.uniform(0.1, 1, len(X))
    return rng.poisson(mean * exposure) / exposure, exposure, ["rates"]


def _labels(f, rng):
    return rng.integers(0, 2, (len(f), int(rng.integers(2, 4))))


CLASSES = {
    "plane": lambda f, rng: (f + 0.3 * rng.normal(size=len(f)) > 0).astype(int),
    "separable": lambda f, rng: (f > np.median(f)).astype(int),  # noqa: ARG005
    "random": lambda f, rng: rng.integers(0, pick(rng, 2, 3, 4), len(f)),
    "bands": lambda f, rng: np.digitize(f, np.quantile(f, [0.3, 0.6])),  # noqa: ARG005
    "rare": lambda f, rng: _spike(f, rng).astype(int),
    "few of each": lambda f, rng: np.arange(len(f)) // pick(rng, 1, 2, 3),
    "labels": _labels,
}


def classes(X, rng):
    """Return classes or label sets and what they are."""
    kind = pick(rng, "plane", "plane", *CLASSES)
    y, tags = CLASSES[kind](signal_of(X, rng), rng), [f"y {kind}"]
    if y.ndim == 1 and chance(rng, 0.3):
        y = np.array([f"class {value}" for value in y])
        tags.append("strings")
    elif y.ndim == 1 and chance(rng, 0.1):
        y = 2.0 * y - 1
    return y, tags


# weights and forms -------------------------------------------------------------------------------------------------

WEIGHTS = {
    "whole": lambda rng, n: rng.integers(0, 3, n).astype(float),
    "fractions": lambda rng, n: rng.random(n),
    "half zero": lambda rng, n: (rng.random(n) < 0.5).astype(float),
    "all two": lambda rng, n: np.full(n, 2.0),  # noqa: ARG005
    "wide": lambda rng, n: 10.0 ** rng.integers(-6, 6, n),
    "tiny": lambda rng, n: np.full(n, 1e-300),  # noqa: ARG005
}

FORMS = {
    "single": lambda X: X.astype(np.float32),
    "Fortran": np.asfortranarray,
    "view": lambda X: X[::-1].copy()[::-1],
    "strided": lambda X: np.repeat(X, 2, axis=1)[:, ::2],
    "big-endian": lambda X: X.astype(">f8"),
    "read-only": lambda X: np.frombuffer(X.tobytes()).reshape(X.shape),
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_array,
    "tensor": lambda X: torch.as_tensor(X.copy()),
    "list": lambda X: X.tolist(),
}

TARGET_FORMS = {
    "y single": lambda y: y.astype(np.float32),
    "y view": lambda y: y[::-1].copy()[::-1],
    "y big-endian": lambda y: y.astype(y.dtype.newbyteorder(">")),
    "y tensor": lambda y: torch.as_tensor(y.copy()),
    "y list": lambda y: y.tolist(),
}


# parameters --------------------------------------------------------------------------------------------------------

SHARED = {
    "batch_size": (1, 2, 7, 500),
    "learning_rate_init": (1e-5, 0.01, 0.1, 1.0, 100.0),
    "early_stopping": (True, False),
    "validation_fraction": (0.01, 0.3, 0.9),
    "dtype": ("float32", "float64"),
    "standardize": (False, True),
    "random_state": (0, 1, 2**31 - 1),
}
LOSSES = ("huber", "quantile", "squared_error", Huber(1e-3), Huber(100.0), Quantile(0.01), Quantile(0.9))
LOSSES += (SquaredError(),)
SCHEDULES = ("plateau", "every", "at_epochs", "target_loss", Plateau(tol=0.0, patience=1), Plateau(tol=0.1))
SCHEDULES += (Plateau(max_growths=1), Every(1), Every(3, max_growths=2), AtEpochs((1, 2, 3)), TargetLoss(0.1))
PRECONDITIONERS = (
    "covariance",
    "second_moment",
    "kfac",
    "sobolev",
    "emsa",
    kfac(damping=1e-8),
    FrobeniusPreconditioner(fisher="empirical"),
    FrobeniusPreconditioner(combine="sum", split="pi", rescale=True),
    FrobeniusPreconditioner(input=SecondMoment("lowrank", rank=3), exact_momentum=True),
    FrobeniusPreconditioner(input=SecondMoment("diagonal", window="batch"), damping=1.0),
    FrobeniusPreconditioner(input=Covariance(centered=False, update_every=5), damping=1e-8),
)
GROWING = {
    "hidden_layer_sizes": ((0,), 3, (2, 0), (2, 2), 0),
    "activation": ("relu", "leaky_relu", "tanh", "logistic", "auto", Activation("leaky_relu", 0.5), Activation("tanh")),
    "alpha": (0.0, 1e-8, 1e-3, 1.0, 1e6),
    "criterion": ("loo", "gcv", "evidence", LeaveOneOut(), GCV(), LogEvidence()),
    "solver": ("lm", "lbfgs", "adam", "sgd", "auto", LevenbergMarquardt(), LBFGS(5), Adam(0.01), AutoSolver()),
    "schedule": SCHEDULES,
    "search": (
        "random",
        "gradmax",
        "firefly",
        PolarSearch(1, 1, max_extensions=1),
        PolarSearch(normalization="parameter", n_exchanges=8),
        PolarSearch(max_samples=3, merge_tol=1.0),
        RandomSearch(1, n_exchanges=0),
        GradMax(n_exchanges=1),
        Firefly(2, 1),
    ),
    "grow_layer": ("all", "best", "last"),
    "block_size": (1, 2, 5, "auto", 50),
    "patience": (1, 5),
    "min_decrease": (0.0, 1e-2, 1.0),
}
BY_EPOCHS = {
    "alpha": (0.0, 1.0, 1e-8),
    "solver": ("auto", "lm", "lbfgs", "adam", "sgd", LBFGS(), Adam(0.1), StochasticGradient(0.01, momentum=0.0)),
    "learning_rate": ("adaptive", "constant"),
    "momentum": (0.0, 0.5, 0.99),
}
INSERTING = {
    "schedule": SCHEDULES,
    "tau": (0.0, 10.0, 1e-9),
    "selection": (
        "max",
        "min",
        "random",
        Selection("max", norm="operator", merit_samples=5),
        Selection("max", norm="frobenius_scaled", n_insert=2),
        Selection("random", n_insert=3),
    ),
    "max_layers": (0, 1, 3, 8),
    "widen": (True, Widening("both", block_size=2, max_neurons=5), Widening(block_size=3)),
    "new_layer_rate": (0.1, 10.0),
    "patience": (1, 5),
}
MULTILEVEL = {
    "schedule": SCHEDULES,
    "final_time": (0.1, 10.0),
    "hierarchy": (
        "depth",
        "batch",
        "resolution",
        "width",
        "subspace",
        SubspaceHierarchy(dimension=1, which="smallest"),
        BatchHierarchy(factor=2),
        WidthHierarchy(factor=3),
        DepthHierarchy(interpolation="linear"),
        DepthHierarchy(restriction="injection"),
    ),
    "n_levels": (1, 2, 3),
    "cycle": (
        "V",
        "W",
        "two-level",
        Cycle(correction=True, check_every=1),
        Cycle("V", correction="exact", kappa=0.01),
        Cycle("V", regularization=1e3, coarse_iter=20, coarse_solver="lbfgs"),
        Cycle("two-level", coarse_solver="sgd", coarse_learning_rate_init=1.0),
        Cycle("W", target_loss=0.3),
    ),
    "tol": (0.0, 0.1),
    "n_iter_no_change": (1, 5),
}
FIXED = {
    "hidden_layer_sizes": ((4,), (8,), (2, 2), (1,), 16, (4, 8, 4), (3,) * 6, ()),
    "preconditioner": (None, *PRECONDITIONERS),
    "activation": ("relu", "leaky_relu", "tanh", "logistic", "identity", Activation("leaky_relu", 0.0)),
    "stage_epochs": (1, 3, 100),
    "report_layers": (True,),
    "tol": (0.0, 0.1),
    "n_iter_no_change": (1, 5),
}


def drawn(rng, options, share):
    """Return a share of the options, each with one of its values."""
    return {name: clone(pick(rng, *values), safe=False) for name, values in options.items() if chance(rng, share)}


def growing(rng, share, n, d, regression):
    params = drawn(rng, GROWING, share)
    params |= {"max_neurons": pick(rng, 0, 1, 4, 8, 12, 100), "max_stage_iter": pick(rng, 5, 20, 50, 200)}
    if n * d > 300:
        params["max_neurons"] = min(params["max_neurons"], 6)
    if chance(rng, share / 3):
        params["preconditioner"] = clone(pick(rng, *PRECONDITIONERS), safe=False)
    if regression and chance(rng, share / 2):
        for name in ("hidden_layer_sizes", "grow_layer", "preconditioner"):
            params.pop(name, None)
        params |= {"penalty": pick(rng, "path", PathNorm()), "alpha": pick(rng, 1e-3, 0.1, 10.0)}
        params["activation"] = pick(rng, "relu", "leaky_relu", "auto")
    elif regression and chance(rng, share / 4):
        params["penalty"] = L2()
    elif chance(rng, share / 4):
        params["n_members"] = 2
    return params


def layers(rng, d):
    """Return an architecture with hidden layers and an activation that it can have."""
    name = pick(rng, "mlp", "mlp", "resnet", "cnn" if d >= 9 else "mlp")
    if name == "cnn":
        image = {9: (3, 3), 16: pick(rng, (4, 4), (4, 2, 2)), 30: (5, 6)}[d]
        channels = pick(rng, (2,), ((2, 2),)) if d == 9 else pick(rng, (2, 3), ((2, 2), (2,)))
        architecture = CNNArchitecture(image, (2,) if image == (4, 2, 2) else channels)
        return {"architecture": architecture, "hidden_layer_sizes": pick(rng, "auto", (4,), ())}
    if name == "resnet":
        sizes = (pick(rng, 1, 2, 4), *(pick(rng, 1, 2, 4),) * pick(rng, 1, 2, 4))
        free = chance(rng, 0.2)
        architecture = ResNetArchitecture(map_bias=not free) if free else pick(rng, "resnet", ResNetArchitecture())
        found = {"architecture": architecture, "hidden_layer_sizes": sizes}
        return found | {"standardize": False} if free else found
    return {
        "architecture": pick(rng, "mlp", MLPArchitecture()),
        "hidden_layer_sizes": pick(rng, (4,), (8,), (2, 2), (1,), 16, (4, 8, 4), "auto"),
        "activation": pick(rng, "relu", "leaky_relu", "tanh", "logistic", "identity", Activation("leaky_relu", 0.5)),
    }


def by_epochs(rng, share, d, options, preconditioners):
    params = drawn(rng, SHARED | BY_EPOCHS | options, share) | {"max_iter": pick(rng, 1, 5, 20, 40)}
    if preconditioners and chance(rng, share):
        params |= layers(rng, d)
    if preconditioners and chance(rng, share / 2):
        params["preconditioner"] = clone(pick(rng, *PRECONDITIONERS), safe=False)
    if not share and chance(rng, 0.5):
        del params["max_iter"]
    return params


def parameters(rng, method, n, d, regression):
    share = pick(rng, 0.0, 0.1, 0.3)
    params = {"random_state": int(rng.integers(1000))} | drawn(rng, SHARED, share)
    if regression and chance(rng, share):
        params["loss"] = clone(pick(rng, *LOSSES), safe=False)
    if regression and chance(rng, 0.12):
        params["loss"] = pick(rng, "poisson", Poisson())
    if not regression and chance(rng, 0.15):
        params["class_weight"] = "balanced"
    if method == "Growing":
        return params | growing(rng, share, n, d, regression)
    if method == "SensLI":
        return params | by_epochs(rng, share, d, INSERTING, preconditioners=True)
    if method == "MGOpt":
        return params | by_epochs(rng, share, d, MULTILEVEL, preconditioners=True)
    return params | by_epochs(rng, share, d, FIXED, preconditioners=False)


def along_ones(f, X):
    """An operator: a derivative and the function itself."""
    return torch.func.jvp(f, (X,), (torch.ones_like(X),))[1] + f(X)


# cases -------------------------------------------------------------------------------------------------------------


@dataclass
class Case:
    """An estimator and what it is fitted to."""

    seed: int
    name: str
    params: dict
    X: Any
    y: Any
    weight: Any = None
    validation: dict = field(default_factory=dict)
    tags: list = field(default_factory=list)

    @classmethod
    def of(cls, seed, small=False):
        """Return the case of a seed; a small one has at most 8 rows and 3 features and is fitted in moments."""
        rng = np.random.default_rng(seed)
        rows, columns = ((1, 2, 3, 5, 8), (1, 2, 3)) if small else (ROWS, FEATURES)
        n, d = int(rng.choice(rows)), int(rng.choice(columns))
        method = pick(rng, "Growing", "Growing", "Growing", "SensLI", "MGOpt", "PreconditionedMLP")
        regression = chance(rng, 0.55)
        X, tags = inputs(rng, n, d)
        params = parameters(rng, method, n, d, regression)
        if small:
            params = {**SMALL_SEARCH, **params, **SMALL_GROWTH} if method == "Growing" else params | {"max_iter": 3}
        weight = None
        if not regression:
            y, more = classes(X, rng)
        elif getattr(params.get("loss"), "target_units", params.get("loss")) in ("poisson", "log"):
            y, weight, more = counts(X, rng)
        else:
            y, more = numbers(X, rng)
        case = cls(seed, method + ("Regressor" if regression else "Classifier"), params, X, y, weight, {}, tags + more)
        if regression and method == "Growing" and not small and chance(rng, 0.06):
            case._with_operator(rng)
        if weight is None and chance(rng, 0.25):
            case._with_weights(rng)
        if chance(rng, 0.1):
            k = int(rng.integers(1, n + 1))
            case.validation = {"X_val": X[:k] * pick(rng, 1.0, 1.1, 100.0), "y_val": case.y[:k]}
            case.tags.append("X_val")
        case._in_form(rng)
        return case

    def _with_operator(self, rng):
        for name in ("loss", "grow_layer", "preconditioner", "penalty"):
            self.params.pop(name, None)
        (n, d), y = self.X.shape, self.y if self.y.ndim == 1 else self.y[:, 0]
        kind = pick(rng, "gradient", "directional", "callable")
        if kind == "gradient":
            self.params["operator"], self.y = "gradient", np.outer(y, rng.normal(size=d)) + rng.normal(size=(n, d))
        else:
            directional = ("directional", rng.normal(size=d).tolist())
            self.params["operator"], self.y = directional if kind == "directional" else along_ones, y
        self.tags.append(f"operator {kind}")

    def _with_weights(self, rng):
        kind = pick(rng, *WEIGHTS)
        weight = WEIGHTS[kind](rng, self.X.shape[0])
        if weight.sum() > 0:
            self.weight = weight
            self.tags.append(f"weights {kind}")

    def _in_form(self, rng):
        if chance(rng, 0.4):
            form = pick(rng, *FORMS)
            self.X = FORMS[form](self.X)
            self.tags.append(form)
        if self.y.dtype.kind in "if" and chance(rng, 0.15):
            form = pick(rng, *(TARGET_FORMS if self.regresses else ("y view", "y list")))
            self.y = TARGET_FORMS[form](self.y)
            self.tags.append(form)

    @property
    def grows(self):
        return self.name.startswith("Growing")

    @property
    def regresses(self):
        return self.name.endswith("Regressor")

    @property
    def is_full_batch(self):
        """Whether rows are a weighted point set: no mini-batches and no random validation split."""
        solver, early = self.params.get("solver", "auto"), self.params.get("early_stopping", "auto")
        batches = solver in ("adam", "sgd") or isinstance(solver, Adam | StochasticGradient)
        return self.grows and not batches and self.params.get("preconditioner") is None and early is not True

    @property
    def is_single(self):
        """Whether losses may be computed in single precision."""
        return self.params.get("dtype", "auto") == "float32" or not (self.is_full_batch or "dtype" in self.params)

    def estimator(self):
        return clone(getattr(skgrow, self.name)(**self.params))

    def fit(self, X=None, y=None, weight=None):
        """Return the estimator, fitted within the limit; without ``X`` to the data of the case."""
        X, y, weight = (self.X, self.y, self.weight) if X is None else (X, y, weight)
        with processor_limit(LIMIT):
            return self.estimator().fit(X, y, weight, **self.validation)


ROWS, FEATURES = (1, 2, 3, 5, 8, 12, 20, 30, 45, 60), (1, 1, 2, 2, 3, 3, 5, 9, 16, 30)
SMALL_SEARCH = {"search": PolarSearch(n_directions=8, n_exchanges=1)}  # where no other is drawn
SMALL_GROWTH = {"max_stage_iter": 4, "max_neurons": 3, "patience": 1}


class OverLimitError(BaseException):
    """A fit takes too long; nothing that catches exceptions may catch it."""


@contextmanager
def processor_limit(seconds):
    """Raise OverLimitError after so much time of the processor, where the system has such a timer."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_):
        raise OverLimitError

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


# checks ------------------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What was found of a case."""

    case: Case
    complaints: list = field(default_factory=list)  # of kind, detail
    refused: str = ""
    warned: list = field(default_factory=list)
    seconds: float = 0.0

    def add(self, kind, detail=""):
        self.complaints.append((kind, detail))


def check(case):
    """Fit a case, look at what was fitted, and compare it with a second fit."""
    report = Report(case)
    started = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = process_state()
        estimator = attempt(report, "fit", case.fit)
        for name, value in process_state().items():
            if value != before[name]:
                report.add("leak", f"{name}: {before[name]!s:.60} -> {value!s:.60}")
        if estimator is not None:
            attempt(report, "look", lambda: look(report, estimator))
            attempt(report, "compare", lambda: compare(report, estimator))
    report.seconds = time.process_time() - started
    report.warned = sorted({f"{w.category.__name__}: {w.message!s:.80}" for w in caught})
    return report


def attempt(report, stage, call):
    """Return what a call returns; None where it raises. A refusal to fit is noted, all else is a complaint."""
    try:
        return call()
    except OverLimitError as error:
        report.add("too long", f"{stage}: {where(error)}")
    except Exception as error:
        if stage != "look" and is_refusal(error):
            report.refused = f"{stage}: {error!s:.120}"
        else:
            report.add("exception", f"{stage}: {type(error).__name__}: {error!s:.120} {where(error)}")
    return None


def is_refusal(error):
    """Whether skgrow or scikit-learn raise a ValueError or TypeError themselves: its last line is a ``raise``."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    packages = [Path(package.__file__).parent for package in (skgrow, sklearn)]
    ours = any(package in Path(last.filename).parents for package in packages)
    return isinstance(error, ValueError | TypeError) and ours and last.line.startswith("raise ")


def where(error):
    """Say in which lines of skgrow an exception came up, the innermost first."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if Path(skgrow.__file__).parent.name in f.filename]
    return "at " + " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames[::-1][:4])


@cache
def thread_pools():
    return ThreadpoolController()


def process_state():
    """Return what a fit must leave as it is."""
    kind, keys, *place = np.random.get_state()  # noqa: NPY002
    return {
        "threads of torch": torch.get_num_threads(),
        "thread pools": [(pool["filepath"], pool["num_threads"]) for pool in thread_pools().info()],
        "generator of torch": hash(torch.get_rng_state().numpy().tobytes()),
        "generator of NumPy": hash((kind, keys.tobytes(), *place)),
        "default dtype": torch.get_default_dtype(),
        "grad mode": torch.is_grad_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "NumPy errors": np.geterr(),
        "warning filters": list(warnings.filters),
        "handler of SIGINT": signal.getsignal(signal.SIGINT),
    }


def dense(X):
    """Return inputs or targets as an array of native double precision or of classes."""
    if sparse.issparse(X):
        return X.toarray()
    found = X.detach().numpy() if isinstance(X, torch.Tensor) else np.asarray(X)
    return found.astype(float) if found.dtype.kind == "f" else found


def look(report, estimator):
    """Look at a fitted estimator."""
    case = report.case
    predicted = estimator.predict(case.X)
    look_at_numbers(report, estimator, dense(predicted))
    look_at_history(report, estimator)
    again = pickle.loads(pickle.dumps(estimator))
    if not np.array_equal(dense(again.predict(case.X)), dense(predicted), equal_nan=case.regresses):
        report.add("pickle")
    if "operator" in case.params or estimator.validation_scores_ is not None:
        return
    loss = regression_losses if case.regresses else class_losses
    found = loss(case, estimator, dense(predicted))
    if found is not None:
        look_at_losses(report, estimator.loss_, *found)


def finite(value):
    return bool(np.isfinite(np.asarray(value, dtype=float)).all())


def look_at_numbers(report, estimator, predicted):
    case = report.case
    if not all(finite(a) for a in [*estimator.coefs_, *estimator.intercepts_]):
        report.add("non-finite", "weights")
    if case.regresses and not finite(predicted):
        report.add("non-finite", "predictions")
    if not case.regresses:
        for name in ("predict_proba", "predict_log_proba"):
            if not finite(dense(getattr(estimator, name)(case.X))):
                report.add("non-finite", name)
    for name, value in sorted(vars(estimator).items()):
        number = isinstance(value, float | np.floating | np.ndarray) and np.asarray(value).dtype.kind == "f"
        is_nan = (name == "noise_variance_" and not estimator._loss().has_variance) or name == "log_evidence_"
        is_nan = is_nan or (name == "growth_indicator_noise_" and "penalty" in case.params)
        if name.endswith("_") and number and not is_nan and not finite(value):
            report.add("non-finite", f"{name} = {value}")
    if not finite(estimator.loss_curve_):
        report.add("non-finite", "loss_curve_")
    quadratic = case.params.get("loss", "squared_error") == "squared_error"
    if case.name == "GrowingRegressor" and quadratic and not {"operator", "penalty"} & set(case.params):
        deviation = dense(estimator.predict(case.X, return_std=True)[1])
        if not finite(deviation) or (deviation < 0).any():
            report.add("non-finite", "deviations")


def look_at_history(report, estimator):
    rows = estimator.history_
    for row in rows:
        if not finite(row["train_loss"]):
            report.add("non-finite", "train_loss in history_")
        parent = row.get("parent")
        if parent is None or not report.case.grows or not row["accepted"] or row["action"] == "refit":
            continue
        before, after = rows[parent]["train_loss"], row["train_loss"]
        if after > before * (1 + 1e-9):
            report.add("history rises", f"{row['action']}: {before:.6g} -> {after:.6g}")


def look_at_losses(report, stored, loss, constant, tolerance):
    """Compare the loss of the predictions with the one stored and with a constant's: as roots, which errors add to."""
    if not tolerance < 0.1:  # nothing is known of so many roundings
        return
    roots = [float(np.sqrt(2 * max(value, 0.0))) for value in (stored, loss, constant)]
    unequal = abs(roots[0] - roots[1]) > SLACK * max(roots[:2]) + tolerance
    if unequal and abs(stored - loss) > ROUNDING[report.case.is_single]:
        report.add("loss_", f"{stored:.6g}, of the predictions {loss:.6g}")
    if report.case.grows and roots[1] > roots[2] * (1 + SLACK / 2) + tolerance:
        report.add("worse", f"{loss:.6g}, of the constant {constant:.6g}")


# losses ------------------------------------------------------------------------------------------------------------


def shares(weight, n):
    weight = np.ones(n) if weight is None else np.asarray(weight, dtype=float)
    return weight / weight.max() / (weight / weight.max()).sum()


def spreads(A, share):
    """Return means and deviations of columns, and how large columns are in deviations; constant ones are left out."""
    A = A[share > 0]
    share = share[share > 0]
    mean = share @ A
    size = np.abs(A - mean).max(0)
    unit = np.where(size > 0, size, 1.0)
    deviation = np.sqrt(share @ ((A - mean) / unit) ** 2) * unit
    largest = np.abs(A).max(0)
    varies = np.ptp(A, axis=0) > 0
    return mean, np.where(varies, deviation, 1.0), np.where(varies, largest / np.where(varies, deviation, 1.0), 0.0)


def roundings(case, share, y_size):
    """Return what rounding may change in predictions, in deviations of the target."""
    standardized = case.params.get("standardize", True)
    forms = [case.X, case.y] if case.regresses else [case.X]
    single = any("32" in str(getattr(a, "dtype", "")) for a in forms) or case.params.get("dtype") == "float32"
    single = single or (case.is_single and not standardized)
    eps = float(np.finfo(np.float32 if single else np.float64).eps)
    X = np.asarray(dense(case.X), dtype=float)
    x_size = spreads(X, share)[2].max() if standardized else np.abs(X).max()
    return 100 * eps * (1 + x_size + y_size) + 1e-6


def regression_losses(case, estimator, predicted):
    """Return the loss in units of training, that of the constant, and what rounding may change; None for others."""
    kind = estimator._loss()
    y = np.asarray(dense(case.y), dtype=float)
    Y, F = y.reshape(len(y), -1), predicted.reshape(len(y), -1)
    share = shares(case.weight, len(Y))
    mean, deviation, size = spreads(Y, share)
    if isinstance(kind, Poisson):
        if Y.shape[1] > 1 or (F <= 0).any():
            return None
        tolerance = roundings(case, share, 1.0)
        loss, constant = (float(share @ half_deviance(Y, M)) for M in (F, mean + 0 * F))
        return loss / mean[0], constant / mean[0], tolerance
    if not kind.is_quadratic:
        return None
    if not case.params.get("standardize", True):
        deviation, size = np.ones_like(deviation), np.abs(Y).max(0)
    tolerance = roundings(case, share, max(size.max(), (np.abs(mean) / deviation).max()))
    loss, constant = (0.5 * float((share @ ((Y - M) / deviation) ** 2).sum()) for M in (F, mean))
    return loss, constant, tolerance


def half_deviance(Y, M):
    return (xlogy(Y, Y) - xlogy(Y, M) - Y + M)[:, 0]


def balanced(weight, y):
    """Return balanced class weights of the samples: by sums of weights, and of label sets by frequencies."""
    if y.ndim == 2:
        return compute_sample_weight("balanced", y)
    _, place = np.unique(y, return_inverse=True)
    sums = np.bincount(place, weight)
    return (weight.sum() / (np.count_nonzero(sums) * np.where(sums > 0, sums, 1.0)))[place]


def class_losses(case, estimator, predicted):  # noqa: ARG001
    """Return the cross-entropy, that of the constant, and what rounding may change."""
    y = dense(case.y)
    weight = np.ones(len(y)) if case.weight is None else case.weight
    if "class_weight" in case.params:
        weight = weight * balanced(weight, y)
    share = shares(weight, len(y))
    if y.ndim == 2:
        odds = dense(estimator.decision_function(case.X))  # log odds: a probability of one does not tell the other
        logs, other = -np.logaddexp(0, -odds), -np.logaddexp(0, odds)
        loss = -float((share @ np.where(y == 1, logs, other)).sum())
        frequency = share @ y
        constant = -float((xlogy(frequency, frequency) + xlogy(1 - frequency, 1 - frequency)).sum())
    else:
        logs = dense(estimator.predict_log_proba(case.X))
        one_hot = estimator.classes_ == y[:, None]
        loss = -float((share @ np.where(one_hot, logs, 0.0)).sum())
        frequency = share @ one_hot
        constant = -float(xlogy(frequency, frequency).sum())
    return loss, max(constant, LEAST_CROSS_ENTROPY), roundings(case, share, 1.0)


# second fits -------------------------------------------------------------------------------------------------------


def compare(report, estimator):
    """Fit again in one way that must give the same weights, or let the estimator go on."""
    case, rng = report.case, np.random.default_rng(report.case.seed + 10**9)
    ways = [same_again, goes_on]
    if case.weight is None:
        ways.append(uniform_weights)
    if case.is_full_batch and not isinstance(case.X, list) and not isinstance(case.y, list):
        ways += [other_order] if estimator.validation_scores_ is None else []
        ways += [repeated] if case.weight is None and "class_weight" not in case.params else []
    pick(rng, *ways)(report, estimator, rng)


def require_same(report, kind, a, b, detail=""):
    arrays = [[*e.coefs_, *e.intercepts_] for e in (a, b)]
    same = len(arrays[0]) == len(arrays[1]) and all(map(np.array_equal, *arrays))
    if not same:
        shapes = f"{a.architecture_} and {b.architecture_}" if a.architecture_ != b.architecture_ else "equal shapes"
        report.add(kind, f"{detail}{shapes}, loss_ {a.loss_:.9g} and {b.loss_:.9g}")


def same_again(report, estimator, rng):  # noqa: ARG001
    require_same(report, "refit", estimator, report.case.fit())


def uniform_weights(report, estimator, rng):
    case = report.case
    counts = (2.0, 3.0, 20.0) if case.is_full_batch and case.params.get("alpha", "auto") == "auto" else ()
    value = pick(rng, 0.5, 0.3, *counts)
    weighted = case.fit(case.X, case.y, np.full(len(dense(case.y)), value))
    require_same(report, "uniform", estimator, weighted, f"weights {value}: ")


def other_order(report, estimator, rng):
    case = report.case
    order = rng.permutation(len(case.y))
    permuted = case.fit(case.X[order], case.y[order], None if case.weight is None else case.weight[order])
    require_same(report, "row order", estimator, permuted)


def repeated(report, estimator, rng):  # noqa: ARG001
    case = report.case
    weight = rng.integers(0, 4, len(case.y))
    kept = np.repeat(np.arange(len(weight)), weight)
    if not len(kept) or (not case.regresses and len(np.unique(case.y[kept])) < len(np.unique(case.y))):
        return
    require_same(report, "repetition", case.fit(case.X, case.y, weight), case.fit(case.X[kept], case.y[kept], None))


def goes_on(report, estimator, rng):
    """Train a fitted estimator further: in batches, or from its weights."""
    case = report.case
    with processor_limit(LIMIT):
        if chance(rng, 0.5):
            estimator = clone(estimator).set_params(warm_start=True).fit(case.X, case.y, case.weight, **case.validation)
            estimator.fit(case.X, case.y, case.weight, **case.validation)
        else:
            half = slice(None, (len(dense(case.y)) + 1) // 2)
            estimator.partial_fit(case.X, case.y, sample_weight=case.weight)
            estimator.partial_fit(case.X[half], case.y[half])
    if not all(finite(a) for a in [*estimator.coefs_, *estimator.intercepts_]):
        report.add("non-finite", "weights, trained further")


# command line ------------------------------------------------------------------------------------------------------


def record(report):
    """Return a line of the log."""
    case = report.case
    return {
        "seed": case.seed,
        "name": case.name,
        "shape": [len(dense(case.y)), dense(case.X).shape[1]],
        "tags": case.tags,
        "params": {name: repr(value) for name, value in case.params.items()},
        "complaints": report.complaints,
        "refused": report.refused,
        "warned": report.warned,
        "seconds": round(report.seconds, 3),
    }


def summary(reports):
    """Print how often everything was found; return the number of complaints."""
    seeds = defaultdict(list)
    for report in reports:
        for kind in dict.fromkeys(kind for kind, _ in report.complaints):
            seeds[kind].append(report.case.seed)
    table(["complaint", "fits", "first seeds"], [found_in(kind, seeds[kind]) for kind in KINDS])
    others = defaultdict(list)
    for report in reports:
        for text in [*report.warned, *([f"refused: {report.refused}"] if report.refused else [])]:
            others[text].append(report.case.seed)
    if others:
        print()
        most = sorted(others.items(), key=lambda item: -len(item[1]))[:20]
        table(["no complaints", "fits", "first seeds"], [found_in(text, found) for text, found in most])
    return sum(map(len, seeds.values()))


def found_in(text, seeds):
    return [text, str(len(seeds)), " ".join(map(str, seeds[:5]))]


def warm_up():
    """Fit derivatives once: what PyTorch imports for them adds filters of warnings."""
    X = np.arange(4.0)[:, None]
    skgrow.GrowingRegressor(operator=along_ones, max_neurons=1, max_stage_iter=1).fit(X, X[:, 0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, required=True, metavar="N", help="number of cases")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--log", type=Path, metavar="FILE", help="gets a line of JSON a case")
    parser.add_argument("--small", action="store_true", help="the cases of the suite")
    args = parser.parse_args()
    warm_up()
    reports = []
    for seed in range(args.first, args.first + args.fits):
        report = check(Case.of(seed, args.small))
        reports.append(report)
        for kind, detail in report.complaints:
            print(f"{seed} {report.case.name}: {kind}: {detail}", flush=True)
        if args.log:
            with args.log.open("a") as file:
                file.write(json.dumps(record(report), default=str) + os.linesep)
    print()
    sys.exit(bool(summary(reports)))


if __name__ == "__main__":
    main()
