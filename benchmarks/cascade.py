"""Many rows: default fits on 4000 to 100,000 rows beside scikit-learn's multilayer perceptron and gradient boosting.

    python -m benchmarks.cascade [--quick] [--rows N ...]

Friedman's function with ten features and noise of variance one, whose best R2 is .960, and three classes of four
clusters each in 20 features (``make_classification``), on 5000 new rows. Every estimator has its defaults; the
perceptron sees standardised inputs. CPU times on one thread (set OMP_NUM_THREADS=1). ``--quick`` stops at 10,000 rows.
Results go to benchmarks/results/cascade.csv.
"""

import argparse
import time
import warnings

from sklearn.datasets import make_classification, make_friedman1
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skgrow
from benchmarks._report import bars, table, write

ROWS, NEW = (4000, 10_000, 30_000, 100_000), 5000


def data(kind, n):
    """Return n rows, and always the same new ones."""
    most = max(n, *ROWS) + NEW
    if kind == "regression":
        X, y = make_friedman1(most, n_features=10, noise=1.0, random_state=0)
    else:
        shape = {"n_features": 20, "n_informative": 8, "n_classes": 3, "n_clusters_per_class": 4}
        X, y = make_classification(most, **shape, class_sep=0.8, random_state=0)
    return X[:n], y[:n], X[-NEW:], y[-NEW:]


def models(kind):
    regression = kind == "regression"
    perceptron = (MLPRegressor if regression else MLPClassifier)(random_state=0)
    return {
        "skgrow": (skgrow.GrowingRegressor if regression else skgrow.GrowingClassifier)(random_state=0),
        "MLP": make_pipeline(StandardScaler(), perceptron),
        "HistGB": (HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier)(random_state=0),
    }


def measure(kind, n):
    """Return a row of CPU times and scores: R2, or the log-loss of classes."""
    X, y, X_new, y_new = data(kind, n)
    row = {"data": kind, "rows": n}
    for name, model in models(kind).items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = time.process_time()
            model.fit(X, y)
            row[f"seconds, {name}"] = time.process_time() - start
        regression = kind == "regression"
        row[f"score, {name}"] = model.score(X_new, y_new) if regression else log_loss(y_new, model.predict_proba(X_new))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="up to 10,000 rows, no file is written")
    parser.add_argument("--rows", nargs="+", type=int, default=list(ROWS))
    arguments = parser.parse_args()
    numbers = [n for n in arguments.rows if n <= 10_000 or not arguments.quick]
    found = [measure(kind, n) for kind in ("regression", "classification") for n in numbers]
    names = list(models("regression"))
    header = ["data", "rows", *(f"score, {name}" for name in names), "seconds", "over MLP's", "over HistGB's"]
    shown = []
    for row in found:
        seconds = [row[f"seconds, {name}"] for name in names]
        scores = [f"{row[f'score, {name}']:.4f}" for name in names]
        ratios = [f"{seconds[0] / other:.2f}" for other in seconds[1:]]
        shown.append([row["data"], str(row["rows"]), *scores, f"{seconds[0]:.1f}", *ratios])
    table(header, shown)
    last = [row for row in found if row["data"] == "regression"][-1]
    print()
    bars([(f"{last['rows']} rows, time over MLP's", last["seconds, skgrow"] / last["seconds, MLP"], 0.3)])
    if not arguments.quick:
        write("cascade", found)


if __name__ == "__main__":
    main()
