"""About as many features as samples, or more: skgrow's defaults against linear models and a network of fixed size.

Data of ten factors that all features share (three of them say what y is, under noise), and scikit-learn's
``make_regression`` and ``make_classification`` with 100 samples of 100 features. Medians and quartiles over the seeds
of R2 or accuracy on 1000 new samples, and of seconds. All other methods see standardised inputs; linear models choose
their penalty by cross-validation.

    python -m benchmarks.wide [--seeds 5] [--sets "factors 100 x 2000"]
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skgrow
from benchmarks._report import table, write

N_NEW = 1000
METHODS = {
    "regression": {
        "skgrow": lambda seed: skgrow.GrowingRegressor(random_state=seed),
        "linear": lambda seed: make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 5, 17))),  # noqa: ARG005
        "MLP": lambda seed: make_pipeline(StandardScaler(), MLPRegressor(random_state=seed)),
    },
    "classes": {
        "skgrow": lambda seed: skgrow.GrowingClassifier(random_state=seed),
        "linear": lambda seed: make_pipeline(  # noqa: ARG005
            StandardScaler(),
            LogisticRegressionCV(l1_ratios=(0,), scoring="neg_log_loss", use_legacy_attributes=False, max_iter=1000),
        ),
        "MLP": lambda seed: make_pipeline(StandardScaler(), MLPClassifier(random_state=seed)),
    },
}


def factors(n, d, seed, task):
    rng = np.random.default_rng(seed)
    Z = rng.normal(size=(n + N_NEW, 10))
    X = 0.5 * Z @ rng.normal(size=(10, d)) + rng.normal(size=(n + N_NEW, d))
    f = Z[:, :3].sum(1)
    return X, (f > 0).astype(int) if task == "classes" else f + 0.3 * rng.normal(size=n + N_NEW)


def scikit_learn(n, d, seed, task):
    if task == "classes":
        return make_classification(n + N_NEW, d, n_informative=10, random_state=seed)
    return make_regression(n + N_NEW, d, n_informative=10, noise=10, random_state=seed)


SETS = {f"factors {n} x {d}": (factors, n, d) for n, d in ((60, 500), (100, 2000), (200, 5000), (300, 300), (500, 300))}
SETS |= {"scikit-learn 100 x 100": (scikit_learn, 100, 100)}


def run(name, task, seed):
    make, n, _ = SETS[name]
    X, y = make(*SETS[name][1:], seed, task)
    rows = []
    for method, model in METHODS[task].items():
        started = time.perf_counter()
        fitted = model(seed).fit(X[:n], y[:n])
        seconds = time.perf_counter() - started
        predicted = fitted.predict(X[n:])
        score = np.mean(predicted == y[n:]) if task == "classes" else r2_score(y[n:], predicted)
        rows.append({"set": name, "task": task, "seed": seed, "method": method, "score": score, "seconds": seconds})
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(__doc__.split("\n", maxsplit=1)[0] + "\n")
    skgrow.GrowingRegressor(max_neurons=3).fit(np.eye(9), np.arange(9.0))  # imports
    rows, lines = [], []
    for name in args.sets:
        for task, methods in METHODS.items():
            rows += [row for seed in range(args.seeds) for row in run(name, task, seed)]
            cells = []
            for key in ("score", "seconds"):
                for method in methods:
                    found = [
                        row[key] for row in rows if (row["set"], row["task"], row["method"]) == (name, task, method)
                    ]
                    low, middle, high = np.percentile(found, [25, 50, 75])
                    cells.append(f"{middle:.3f} ({low:.3f}, {high:.3f})" if key == "score" else f"{middle:.2f}")
            lines.append([f"{name}, {task}", *cells])
    header = ["R2 or accuracy", *METHODS["classes"], *(f"s {method}" for method in METHODS["classes"])]
    table(header, lines)
    if args.sets == list(SETS):
        write("wide" if args.seeds == 5 else f"wide-{args.seeds}-seeds", rows)


if __name__ == "__main__":
    main()
