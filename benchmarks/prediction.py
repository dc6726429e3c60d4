"""Prediction: time of one row and of many, sizes of pickles, and a fresh process that predicts.

    python -m benchmarks.prediction [--quick]

Grown networks of at most 10 and 30 neurons beside ``MLPRegressor`` and ``MLPClassifier`` of 100 neurons, their default,
on the ten features of scikit-learn's diabetes data and of Friedman's function. CPU times on one thread, medians of
five; the process's are wall times, from its start to the prediction of one row. Compare ratios: the two take turns,
and a busy machine changes times more than programs do.
"""

import argparse
import pickle
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import numpy as np
from sklearn.datasets import load_diabetes, make_friedman1
from sklearn.neural_network import MLPClassifier, MLPRegressor

import skgrow
from benchmarks._report import bars, table, write

ROWS, REPEATS = 20_000, 5
FRESH = """
import pickle, sys
estimator, X = pickle.load(open(sys.argv[1], "rb"))
estimator.predict(X)
print("torch" in sys.modules)
"""


def models(quick):
    """Yield names, models of ours and of scikit-learn, and data."""
    diabetes = load_diabetes(return_X_y=True)
    friedman = make_friedman1(200 if quick else 400, noise=1.0, random_state=0)
    ten, thirty = {"max_neurons": 10, "random_state": 0}, {"max_neurons": 30, "random_state": 0}
    regressor, classifier = MLPRegressor(random_state=0, max_iter=50), MLPClassifier(random_state=0, max_iter=50)
    yield "diabetes, 10 neurons", skgrow.GrowingRegressor(**ten), regressor, *diabetes
    yield "Friedman, 10 neurons", skgrow.GrowingRegressor(**ten), regressor, *friedman
    yield "Friedman, 10 of tanh", skgrow.GrowingRegressor(**ten, activation="tanh"), regressor, *friedman
    yield "Friedman, 30 neurons", skgrow.GrowingRegressor(**thirty), regressor, *friedman
    yield "Friedman, two classes", skgrow.GrowingClassifier(**thirty), classifier, friedman[0], friedman[1] > 14


def cpu_times(functions, times):
    """Return the median CPU times of calls, in seconds; functions take turns."""
    found = {name: [] for name in functions}
    for _ in range(REPEATS):
        for name, function in functions.items():
            start = time.process_time()
            for _ in range(times):
                function()
            found[name].append((time.process_time() - start) / times)
    return {name: median(values) for name, values in found.items()}


def fresh_process(estimator, X):
    """Return the median time of a process that loads a pickle and predicts one row, and whether it loads PyTorch."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pickle"
        path.write_bytes(pickle.dumps((estimator, X[:1])))
        found = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            said = subprocess.run([sys.executable, "-c", FRESH, path], check=True, capture_output=True, text=True)
            found.append(time.perf_counter() - start)
    return median(found), said.stdout.strip() == "True"


def measure(name, ours, theirs, X, y):
    """Return a row of the table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours.fit(X, y)
        theirs.fit(X, y)
    many = X[np.random.default_rng(0).integers(len(X), size=ROWS)]
    row = {"model": name, "architecture": "-".join(map(str, ours.architecture_)), "activation": ours.activation_}
    pair = {"skgrow": ours, "sklearn": theirs}
    one = cpu_times({who: lambda e=estimator: e.predict(X[:1]) for who, estimator in pair.items()}, 100)
    all_rows = cpu_times({who: lambda e=estimator: e.predict(many) for who, estimator in pair.items()}, 1)
    for who, estimator in pair.items():
        row[f"one row, us, {who}"], row[f"{ROWS} rows, ms, {who}"] = 1e6 * one[who], 1e3 * all_rows[who]
        row[f"pickle, bytes, {who}"] = len(pickle.dumps(estimator))
        seconds, loads_torch = fresh_process(estimator, X)
        row[f"process, s, {who}"] = seconds
        if loads_torch:
            raise RuntimeError(f"{name}: prediction has loaded PyTorch")
    std = getattr(ours, "_posterior", None) is not None
    with_std = cpu_times({"std": lambda: ours.predict(X[:1], return_std=True)}, 50)["std"] if std else None
    row["one row with deviation, us"] = None if with_std is None else 1e6 * with_std
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows to learn from, no file is written")
    arguments = parser.parse_args()
    rows = [measure(*model) for model in models(arguments.quick)]
    kinds = {"one row, us": 0, f"{ROWS} rows, ms": 1, "process, s": 2}
    header = ["model", "layers", *(part for kind in kinds for part in (kind, "ratio")), "pickle, kB", "ratio"]
    shown = []
    for row in rows:
        line = [row["model"], row["architecture"]]
        for kind, digits in kinds.items():
            ours, theirs = row[f"{kind}, skgrow"], row[f"{kind}, sklearn"]
            line += [f"{ours:.{digits}f}", f"{ours / theirs:.2f}"]
        ours, theirs = row["pickle, bytes, skgrow"], row["pickle, bytes, sklearn"]
        shown.append([*line, f"{ours / 1000:.1f}", f"{ours / theirs:.2f}"])
    table(header, shown)
    one, many = (max(row[f"{k}, skgrow"] / row[f"{k}, sklearn"] for row in rows) for k in list(kinds)[:2])
    print()
    bars(
        [
            ("one row, over scikit-learn's", one, 1.0),
            (f"{ROWS} rows, over scikit-learn's", many, 0.5),
            ("pickle of an average of ten neurons, kB", rows[0]["pickle, bytes, skgrow"] / 1000, 20.0),
        ]
    )
    if not arguments.quick:
        write("prediction", rows)


if __name__ == "__main__":
    main()
