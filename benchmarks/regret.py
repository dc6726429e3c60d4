"""Regret of the defaults: how much worse than the best of three peers, over some 180 data sets of all kinds.

    python -m benchmarks.regret [--quick] [--sets PATTERN ...] [--estimators growing sensli ...] [--jobs 1]

The error on rows held out, RMSE or log-loss, over the smallest of a linear model with its penalty by cross-validation,
scikit-learn's multilayer perceptron and histogram gradient boosting with their defaults; the former two see
standardised inputs and targets. The sets are real ones of R packages and scikit-learn, and synthetic ones with what
real tables have: heavy tails, rare levels, outliers, repeated rows, constant columns, offsets, few rows, many features,
waves, sparse counts, rare classes, many classes, weights (``benchmarks/_regret_data.py``). Where noise-free targets are
known the error is measured against them. Of large sets 800 rows are drawn; a third of the rows is held out, of sets
of up to 200 rows three times. Errors below a thousandth of the deviation of the targets, or a hundredth of a nat,
count as that: there ratios say nothing.

The median says what using skgrow costs or brings as a rule, the largest ratios say where it fails. Results are appended
to benchmarks/results/regret.csv set by set; what stands there is not run again, so that the command can be stopped and
goes on (delete the file, or name another one by ``--output``, to run after a change). All of it takes about an hour on
one core. ``--quick`` takes up to 300 rows once, and without ``--sets`` every third set.
"""

import argparse
import time
import warnings
from fnmatch import fnmatch

import numpy as np
from joblib import Parallel, delayed
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

import skgrow
from benchmarks._regret_data import ROWS, SETS
from benchmarks._report import append, read, table

ESTIMATORS = {
    "growing": "Growing",
    "sensli": "SensLI",
    "mgopt": "MGOpt",
    "preconditioned": "PreconditionedMLP",
}
PEERS = ("linear", "MLP", "HistGB")
QUICK_ROWS, FEW_ROWS = 300, 200
FOLDS = 3
LEAST = {"regression": 1e-3, "classification": 1e-2}  # in deviations of the target, in nats

# fits --------------------------------------------------------------------------------------------------------------


def model(method, data):
    """Return an estimator for training data."""
    regression = data.task == "regression"
    if method in ESTIMATORS:
        return getattr(skgrow, ESTIMATORS[method] + ("Regressor" if regression else "Classifier"))(random_state=0)
    if method == "MLP":
        return (MLPRegressor if regression else MLPClassifier)(random_state=0)
    if method == "HistGB":
        return (HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier)(random_state=0)
    return RidgeCV(np.logspace(-3, 5, 17)) if regression else logistic(data.y)


def logistic(y):
    """Return a logistic regression with its penalty by cross-validation, if every class has rows for that."""
    if np.unique(y, return_counts=True)[1].min() < FOLDS:
        return LogisticRegression(max_iter=1000)
    return LogisticRegressionCV(
        Cs=np.logspace(-4, 2, 7),
        l1_ratios=(0,),
        cv=FOLDS,
        scoring="neg_log_loss",
        use_legacy_attributes=False,
        max_iter=1000,
    )


def error_of(method, train, test):
    """Return the error on test data, and the seconds of the fit."""
    X, X_test, y, mean, scale = train.X, test.X, train.y, 0.0, 1.0
    if method in ("linear", "MLP"):
        scaler = StandardScaler().fit(X, sample_weight=train.weight)
        X, X_test = scaler.transform(X), scaler.transform(X_test)
        if train.task == "regression":
            mean, scale = y.mean(), y.std() or 1.0
            y = (y - mean) / scale
    fitted = model(method, train)
    started = time.perf_counter()
    fitted.fit(X, y, sample_weight=train.weight)
    seconds = time.perf_counter() - started
    if train.task == "classification":
        probabilities = fitted.predict_proba(X_test)
        return log_loss(test.y, probabilities, labels=fitted.classes_, sample_weight=test.weight), seconds
    predicted = mean + scale * fitted.predict(X_test)
    target = test.y if test.truth is None else test.truth
    return float(np.sqrt(np.average((predicted - target) ** 2, weights=test.weight))), seconds


def splits(data, once):
    folds = (KFold if data.task == "regression" else StratifiedKFold)(FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes of fewer rows than folds
        found = list(folds.split(data.X, data.y))
    return found[:1] if once else found


def run(name, methods, done, quick):
    """Return a row for every fold of a set and every method that is not done yet."""
    data = SETS[name]()
    data = data.at_most(QUICK_ROWS if quick else ROWS)
    rows = []
    for fold, (train, test) in enumerate(splits(data, quick or len(data.y) > FEW_ROWS)):
        known = np.isin(data.y[test], data.y[train]) if data.task == "classification" else slice(None)
        for method in methods:
            if (name, str(fold), method) in done:
                continue
            error, seconds, why = np.nan, np.nan, ""
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    error, seconds = error_of(method, data.rows(train), data.rows(test[known]))
                except Exception as failure:
                    why = f"{type(failure).__name__}: {failure!s:.100}"
            least = LEAST[data.task] * (data.y.std() if data.task == "regression" else 1)
            rows.append(
                {
                    "set": name,
                    "task": data.task,
                    "rows": len(data.y),
                    "features": data.X.shape[1],
                    "fold": fold,
                    "method": method,
                    "error": error,
                    "least": least,
                    "seconds": seconds,
                    "failure": why,
                }
            )
    return rows


# figures -----------------------------------------------------------------------------------------------------------


def errors(rows):
    """Return the mean error of every set and method; infinite where a fit failed or predicted no numbers."""
    found = {}
    for row in rows:
        error, least = float(row["error"]), float(row["least"])
        found.setdefault((row["set"], row["method"]), []).append(max(error, least) if np.isfinite(error) else np.inf)
    return {key: float(np.mean(values)) for key, values in found.items()}


def ratios(rows, method, peers):
    """Return the ratios of a method's errors to the smallest of peers, by set, largest first."""
    mean = errors(rows)
    found = {}
    for name in {name for name, _ in mean}:
        others = [mean[name, peer] for peer in peers if (name, peer) in mean]
        if (name, method) in mean and len(others) == len(peers):
            found[name] = mean[name, method] / min(others)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def report(rows, methods):
    lines, against, worst = [], [], []
    for method in methods:
        of_best, of_mlp = ratios(rows, method, PEERS), ratios(rows, method, ["MLP"])
        if not of_best:
            continue
        values, others = np.array(list(of_best.values())), np.array(list(of_mlp.values()))
        seconds = sum(float(row["seconds"]) for row in rows if row["method"] == method and not row["failure"])
        counts = [f"{np.quantile(values, q):.3f}" for q in (0.5, 0.95)] + [str((values > 1.25).sum())]
        lines.append([method, str(len(values)), *counts, f"{seconds:.0f}"])
        against.append([method, f"{np.median(others):.3f}", str((others > 1.25).sum()), str((others > 2).sum())])
        worst += [[method, name, f"{value:.2f}"] for name, value in list(of_best.items())[:5]]
    table(["over the best peer", "sets", "median", "95 %", "above 1.25", "seconds"], lines)
    print()
    table(["over MLP", "median", "above 1.25", "above 2"], against)
    print()
    table(["worst", "set", "over the best peer"], worst)
    failures = [[row["method"], row["set"], row["failure"]] for row in rows if row["failure"]]
    if failures:
        print()
        table(["failed", "set", "why"], failures)


# command line ------------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rows and one split; every third set")
    parser.add_argument("--sets", nargs="+", metavar="PATTERN", help="names of sets, with * for any letters")
    parser.add_argument("--estimators", nargs="+", choices=list(ESTIMATORS), default=list(ESTIMATORS))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--output", help="name of the CSV file in benchmarks/results")
    args = parser.parse_args()
    names = list(SETS)[:: 3 if args.quick and not args.sets else 1]
    if args.sets:
        names = [name for name in names if any(fnmatch(name, pattern) for pattern in args.sets)]
    file = args.output or "regret" + ("-quick" if args.quick else "")
    done = {(row["set"], row["fold"], row["method"]) for row in read(file)}
    methods = [*PEERS, *args.estimators]
    found = Parallel(args.jobs, return_as="generator")(delayed(run)(name, methods, done, args.quick) for name in names)
    for rows in found:
        append(file, rows)
    report([row for row in read(file) if row["set"] in names], args.estimators)


if __name__ == "__main__":
    main()
