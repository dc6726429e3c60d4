"""Tabular data without tuning: skgrow's defaults against networks, trees and linear models.

Five-fold cross-validation, stratified for classes. The other networks and linear models see standardised inputs and
targets, skgrow standardises by itself. The random search draws 12 MLPs and chooses by 3 inner folds (RMSE or
log-loss). Differences are paired over the folds and given in their standard errors; negative is better, for accuracy
positive.

    python -m benchmarks.tabular [--quick] [--sets diabetes concrete] [--only skgrow Ridge]
    python -m benchmarks.tabular --task classification [--quick] [--sets digits wine] [--only MLP LogReg]
"""

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import loguniform
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, RandomizedSearchCV, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import skgrow
from benchmarks import _tabular_data
from benchmarks._report import bars, table, write

# methods: name -> estimator --------------------------------------------------------------------------------------

SEARCH = "MLP, 12 draws"
SEARCH_SPACE = {
    "hidden_layer_sizes": [(10,), (20,), (50,), (100,), (50, 50)],
    "alpha": loguniform(1e-5, 10),
    "solver": ["adam", "lbfgs"],
    "learning_rate_init": loguniform(1e-4, 3e-2),
}
TOO_LONG = {("mnist_5k", SEARCH)}  # left out unless set and method are both asked for


def standardised(regressor):
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), regressor), transformer=StandardScaler())


def twelve_draws(model, prefix, scoring):
    space = {prefix + key: values for key, values in SEARCH_SPACE.items()}
    return RandomizedSearchCV(model, space, n_iter=12, cv=3, scoring=scoring, random_state=0)


REGRESSORS = {
    "skgrow": lambda: skgrow.GrowingRegressor(random_state=0),
    "ReLU": lambda: skgrow.GrowingRegressor(activation="relu", random_state=0),
    "tanh": lambda: skgrow.GrowingRegressor(activation="tanh", random_state=0),
    "by GCV": lambda: skgrow.GrowingRegressor(criterion="gcv", random_state=0),
    "by evidence": lambda: skgrow.GrowingRegressor(criterion="evidence", random_state=0),
    "MLP": lambda: standardised(MLPRegressor(random_state=0)),
    SEARCH: lambda: twelve_draws(
        standardised(MLPRegressor(random_state=0, max_iter=500)),
        "regressor__mlpregressor__",
        "neg_root_mean_squared_error",
    ),
    "HistGB": lambda: standardised(HistGradientBoostingRegressor(random_state=0)),
    "Ridge": lambda: standardised(Ridge()),
}

CLASSIFIERS = {
    "skgrow": lambda: skgrow.GrowingClassifier(random_state=0),
    "ReLU": lambda: skgrow.GrowingClassifier(activation="relu", random_state=0),
    "tanh": lambda: skgrow.GrowingClassifier(activation="tanh", random_state=0),
    "MLP": lambda: make_pipeline(StandardScaler(), MLPClassifier(random_state=0)),
    SEARCH: lambda: twelve_draws(
        make_pipeline(StandardScaler(), MLPClassifier(random_state=0, max_iter=500)),
        "mlpclassifier__",
        "neg_log_loss",
    ),
    "HistGB": lambda: HistGradientBoostingClassifier(random_state=0),
    "LogReg": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
}

# runs ------------------------------------------------------------------------------------------------------------


def run(task, name, X, y, methods, repetition):
    """Return a row per fold and method.

    All methods fit a fold before the next one comes, so that other work on the machine slows them alike.
    """
    rows = []
    for fold, (train, test) in enumerate(task.folds(5, shuffle=True, random_state=repetition).split(X, y)):
        for method in methods:
            model = task.methods[method]()
            started = time.perf_counter()
            model.fit(X[train], y[train])
            seconds = time.perf_counter() - started
            rows.append(
                {
                    "set": name,
                    "method": method,
                    "repetition": repetition,
                    "fold": fold,
                    **task.scores(model, X[test], y[test]),
                    "neurons": neurons(model),
                    "activation": getattr(model, "activation_", ""),
                    "seconds": seconds,
                }
            )
    return rows


def regression_scores(model, X, y):
    return {"rmse": float(np.sqrt(np.mean((model.predict(X) - y) ** 2)))}


def classification_scores(model, X, y):
    return {
        "accuracy": float(np.mean(model.predict(X) == y)),
        "log_loss": float(log_loss(y, model.predict_proba(X), labels=model.classes_)),
    }


def neurons(model):
    """Return the number of hidden neurons of a fitted model, None where it is no network."""
    model = getattr(model, "best_estimator_", model)
    model = getattr(model, "regressor_", model)
    model = model[-1] if isinstance(model, Pipeline) else model
    return sum(W.shape[1] for W in model.coefs_[:-1]) if hasattr(model, "coefs_") else None


# figures ---------------------------------------------------------------------------------------------------------


def column(rows, name, method, key):
    return np.array([row[key] for row in rows if row["set"] == name and row["method"] == method])


def mean(rows, name, method, key):
    values = column(rows, name, method, key)
    return float(values.mean()) if len(values) else None


def ratio(a, b):
    return None if a is None or b is None else a / b


def difference(rows, name, method, other, key):
    """Return the mean paired difference in its standard errors, None where one of the two was not run."""
    ours, theirs = column(rows, name, method, key), column(rows, name, other, key)
    if not len(ours) or len(ours) != len(theirs):
        return None
    paired = ours - theirs
    if not paired.any():
        return 0.0
    with np.errstate(divide="ignore"):
        return float(paired.mean() / (paired.std(ddof=1) / np.sqrt(len(paired))))


def better_baseline(rows, name):
    """Return which of MLP and LogReg is more often right, None where one of them was not run."""
    found = {method: mean(rows, name, method, "accuracy") for method in ("MLP", "LogReg")}
    return None if None in found.values() else max(found, key=found.get)


# tables ----------------------------------------------------------------------------------------------------------


def score_cells(rows, name, method, key, other, digits):
    """Return mean, standard error, and difference to another method in standard errors."""
    values = column(rows, name, method, key)
    gap = None if method == other else difference(rows, name, method, other, key)
    return [
        format(values.mean(), digits),
        f"{values.std(ddof=1) / np.sqrt(len(values)):.2g}",
        "" if gap is None else f"{gap:+.1f}",
    ]


def effort_cells(rows, name, method, other):
    """Return neurons, activations, seconds, and their ratio to another method's."""
    width, kinds = column(rows, name, method, "neurons"), column(rows, name, method, "activation")
    seconds = mean(rows, name, method, "seconds")
    share = ratio(seconds, mean(rows, name, other, "seconds"))
    return [
        "" if width[0] is None else f"{np.mean(width):.1f}",
        " ".join(f"{k}:{(kinds == k).sum()}" for k in sorted(set(kinds)) if k),
        f"{seconds:.2f}",
        "" if share is None else f"{share:.2f}",
    ]


def methods_run(rows, name):
    return list(dict.fromkeys(row["method"] for row in rows if row["set"] == name))


def regression_table(rows, name):
    header = ["method", "RMSE", "s.e.", "to MLP (s.e.)", "neurons", "activations", "s/fold", "x skgrow"]
    lines = [
        [method, *score_cells(rows, name, method, "rmse", "MLP", ".5g"), *effort_cells(rows, name, method, "skgrow")]
        for method in methods_run(rows, name)
    ]
    table(header, lines)


def classification_table(rows, name):
    best = better_baseline(rows, name)
    header = ["method", "accuracy", "s.e.", f"to {best or 'baseline'} (s.e.)", "log-loss", "s.e.", "to MLP (s.e.)"]
    header += ["neurons", "activations", "s/fold", "x MLP"]
    lines = [
        [
            method,
            *score_cells(rows, name, method, "accuracy", best, ".4f"),
            *score_cells(rows, name, method, "log_loss", "MLP", ".4f"),
            *effort_cells(rows, name, method, "MLP"),
        ]
        for method in methods_run(rows, name)
    ]
    table(header, lines)


# bars ------------------------------------------------------------------------------------------------------------


def sets_lost(rows, sets, key, other):
    """Return on how many sets skgrow's mean is the larger one, None where none can be compared."""
    ratios = [ratio(mean(rows, name, "skgrow", key), mean(rows, name, other, key)) for name in sets]
    ratios = [r for r in ratios if r is not None]
    return sum(r > 1 for r in ratios) if ratios else None


def regression_bars(rows, sets):
    def ours(name, key="rmse"):
        return mean(rows, name, "skgrow", key)

    return [
        ("diabetes: RMSE / Ridge's", ratio(ours("diabetes"), mean(rows, "diabetes", "Ridge", "rmse")), 1.01),
        ("concrete: RMSE", ours("concrete"), 5.1),
        ("friedman1: RMSE / noise", ours("friedman1"), 1.10),
        *[(f"{name}: worse than MLP, in s.e.", difference(rows, name, "skgrow", "MLP", "rmse"), 1) for name in sets],
        ("sets of larger RMSE than MLP", sets_lost(rows, sets, "rmse", "MLP"), (len(sets) - 1) // 2),
        (f"sets of larger RMSE than {SEARCH}", sets_lost(rows, sets, "rmse", SEARCH), len(sets) // 2),
        *[
            (
                f"{name}: seconds, share of the search's",
                ratio(ours(name, "seconds"), mean(rows, name, SEARCH, "seconds")),
                1,
            )
            for name in sets
        ],
    ]


def classification_bars(rows, sets):
    accuracy = mean(rows, "digits", "skgrow", "accuracy")
    found = [("digits: share of errors", None if accuracy is None else 1 - accuracy, 0.025)]
    for name in sets:
        best = better_baseline(rows, name)
        behind = difference(rows, name, best, "skgrow", "accuracy")
        found.append((f"{name}: less accurate than the better of MLP and LogReg, in s.e.", behind, 1))
    lost = sets_lost(rows, sets, "log_loss", "MLP")
    found.append(("sets of larger log-loss than MLP", lost, (len(sets) - 1) // 2))
    for name in sets:
        seconds = [mean(rows, name, method, "seconds") for method in ("skgrow", "MLP")]
        found.append((f"{name}: seconds / MLP's", ratio(*seconds), 3))
    return found


# command line ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What regression and classification differ in."""

    sets: dict
    methods: dict
    folds: type
    scores: Callable
    table: Callable
    bars: Callable
    file: str


TASKS = {
    "regression": Task(
        _tabular_data.REGRESSION, REGRESSORS, KFold, regression_scores, regression_table, regression_bars, "tabular"
    ),
    "classification": Task(
        _tabular_data.CLASSIFICATION,
        CLASSIFIERS,
        StratifiedKFold,
        classification_scores,
        classification_table,
        classification_bars,
        "classification",
    ),
}


def warm_up(task, methods):
    """Fit the methods once, which imports PyTorch and starts threads."""
    X, y = make_friedman1(50, random_state=0)
    for method in methods:
        if method != SEARCH:
            task.methods[method]().fit(X, y > y.mean() if task is TASKS["classification"] else y)


def run_task(task, sets, methods, repetitions, file, with_long):
    warm_up(task, methods)
    rows = []
    for name in sets:
        X, y = task.sets[name]()
        chosen = [method for method in methods if with_long or (name, method) not in TOO_LONG]
        for repetition in range(repetitions):
            rows += run(task, name, X, y, chosen, repetition)
        write(file, rows)
        print(f"\n{name}, {X.shape[0]} x {X.shape[1]}")
        task.table(rows, name)
    print("\nrequired")
    bars(task.bars(rows, sets))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    all_sets = [name for task in TASKS.values() for name in task.sets]
    all_methods = list(dict.fromkeys(method for task in TASKS.values() for method in task.methods))
    parser.add_argument("--quick", action="store_true", help="five folds once instead of three times")
    parser.add_argument("--task", choices=[*TASKS, "all"], default="regression", help="whose sets, without --sets")
    parser.add_argument("--sets", nargs="+", choices=all_sets, metavar="SET")
    parser.add_argument("--only", nargs="+", choices=all_methods, metavar="METHOD")
    parser.add_argument("--output", help="name of the CSV file in benchmarks/results (with two tasks: its beginning)")
    args = parser.parse_args()

    asked = args.sets or [s for kind, task in TASKS.items() if args.task in (kind, "all") for s in task.sets]
    jobs = {}
    for kind, task in TASKS.items():
        sets = [name for name in asked if name in task.sets]
        methods = [method for method in args.only or task.methods if method in task.methods]
        if sets and not methods:
            parser.error(f"--only must name a method for {kind}: {', '.join(task.methods)}.")
        if sets:
            jobs[kind] = sets, methods
    warnings.simplefilter("ignore", ConvergenceWarning)  # the default MLP stops after 200 epochs
    for kind, (sets, methods) in jobs.items():
        file = TASKS[kind].file + ("-quick" if args.quick else "")
        if args.output:
            file = args.output if len(jobs) == 1 else f"{args.output}-{kind}"
        run_task(TASKS[kind], sets, methods, 1 if args.quick else 3, file, with_long=args.sets and args.only)


if __name__ == "__main__":
    main()
