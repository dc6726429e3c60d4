"""Ensembles: eight members against one and against bagging, and what members should differ by.

    python -m benchmarks.ensembles [--quick] [--sets boston pima] [--members 8]
    python -m benchmarks.ensembles --sources [--quick] [--sets ...]

Two thirds of the rows of data sets of R packages and scikit-learn, 220 at most (with ``--quick`` 120), are for
training, and all others for the error: RMSE in deviations of the target, log-loss in nats. Each set has one split,
since a rank over sets needs many of them.

The first command compares ``n_members`` with one member, and with ``BaggingRegressor`` or ``BaggingClassifier`` around
the default, of as many estimators as fit into the same CPU time. The second one averages members grown on the features
as they are, with equal weights, that differ by

seeds
    random numbers of the search;
search
    a random fifth of the rows for every search;
weights
    weights of the rows from the standard exponential distribution (the Bayesian bootstrap), of the same sum, with the
    penalty of the first member;
weights, search
    both, as the package does;
weights, evidence
    weights, with a penalty of their own by the evidence;
weights, Kish
    the same, and their effective number as the number of observations;
halves
    a random half of the rows;
halves, all
    the same, and then trained on all rows without growth;

and says what averaging logits, which gives one network, costs against averaging probabilities. Results are written to
benchmarks/results.
"""

import argparse
import time
import warnings
from dataclasses import replace

import numpy as np
import torch
from scipy.special import log_softmax, logsumexp
from sklearn.ensemble import BaggingClassifier, BaggingRegressor
from sklearn.metrics import log_loss

import skgrow
from benchmarks._regret_data import SETS
from benchmarks._report import table, write
from skgrow.growth import PolarSearch, train
from skgrow.growth._ensemble import of_member
from skgrow.training import Plateau, Task

REGRESSION = [
    "diabetes",
    "boston",
    "concrete",
    "friedman1",
    "auto",
    "carseats",
    "hitters",
    "cpus",
    "biomass",
    "cps",
    "salaries",
    "radius",
]
CLASSIFICATION = [
    "pima",
    "biopsy",
    "crabs",
    "glass",
    "two_class",
    "wine",
    "penguins",
    "juice",
    "labour",
    "titanic",
    "participation",
    "hpc",
]
SOURCES = (
    "seeds",
    "search",
    "weights",
    "weights, search",
    "weights, evidence",
    "weights, Kish",
    "halves",
    "halves, all",
)
ROWS, QUICK_ROWS, TEST_ROWS = 220, 120, 1200


def split(data, n):
    """Return training and test rows; these only of classes that have training rows."""
    order = np.random.default_rng(0).permutation(len(data.y))
    n = min(n, 2 * len(order) // 3)
    train, test = data.rows(order[:n]), data.rows(order[n : n + TEST_ROWS])
    known = np.isin(test.y, train.y) if data.task == "classification" else slice(None)
    return train, test.rows(known)


def default(data, **parameters):
    kind = "Regressor" if data.task == "regression" else "Classifier"
    return getattr(skgrow, f"Growing{kind}")(random_state=0, **parameters)


# ensembles and bagging ---------------------------------------------------------------------------------------------


def error_of(model, test):
    if test.task == "regression":
        return float(np.sqrt(np.mean((model.predict(test.X) - test.y) ** 2)) / test.y.std())
    return log_loss(test.y, model.predict_proba(test.X), labels=model.classes_)


def timed(model, data):
    started = time.process_time()
    return model.fit(data.X, data.y), time.process_time() - started


def against_bagging(train, test, n_members):
    """Return name, error and seconds of one member, the ensemble, and bagging in the time of that."""
    bagging = BaggingRegressor if train.task == "regression" else BaggingClassifier
    found = []
    for n in (1, n_members):
        model, seconds = timed(default(train, n_members=n), train)
        found.append((f"{n} members" if n > 1 else "one", error_of(model, test), seconds))
    budget, n, spent = seconds, 0, 0.0
    model = bagging(default(train), n_estimators=1, random_state=0, warm_start=True)
    while spent + spent / max(n, 1) <= budget or not n:
        n += 1
        spent += timed(model.set_params(n_estimators=n), train)[1]
    return [*found, ("bagging", error_of(model, test), spent)]


# what members differ by --------------------------------------------------------------------------------------------


def member(source, number, task, settings, alpha):
    """Return the network of a member; the first one is that of a fit without others."""
    if not number:
        return train(task, settings).trained
    (others,), of_search = of_member(number, [task], settings)
    asked = of_search if source.endswith("search") else settings
    if source.startswith("halves"):
        strata = task.loss.strata(task.samples.Y)
        others = replace(others, samples=task.samples.split(0.5, others.generator(), strata)[0])
    elif source in ("seeds", "search"):
        others = replace(others, samples=task.samples)
    elif source == "weights, Kish":
        weight = others.samples.weight
        others = replace(others, samples=replace(others.samples, weight=weight * (weight.sum() / (weight @ weight))))
    elif source != "weights, evidence":
        asked = replace(asked, alpha=alpha)
        others = replace(others, regime=replace(task.regime, settings=asked))
    found = train(others, asked).trained
    if source.endswith("all"):
        alone = replace(settings, schedule=Plateau(max_growths=0), search=PolarSearch(n_exchanges=0))
        found = train(replace(others, samples=task.samples, previous=found.network), alone).trained
    return found


def by_source(train, test, source, n_members):
    """Return the outputs of the members on training and test data, the targets there, and seconds."""
    estimator = default(train)
    data = estimator._validated(train.X, train.y, None, None, None, None)
    settings, started = replace(estimator._settings(), encoding=None), time.process_time()
    task = Task.of(data, settings, estimator._method()[2])
    first = member(source, 0, task, settings, None)
    found = [first, *(member(source, number, task, settings, first.alpha) for number in range(1, n_members))]
    seconds = time.process_time() - started
    networks = [task.raw(one.network) for one in found]
    outputs = [[network(torch.as_tensor(X).double()).numpy() for X in (train.X, test.X)] for network in networks]
    targets = test.y[:, None] if train.task == "regression" else np.searchsorted(estimator.classes_, test.y)
    return outputs, targets, seconds


def logarithms(at_train, at_test):
    """Return log probabilities, as certain as on the training data at most, from logits."""
    if at_test.shape[1] == 1:
        at_test = np.clip(at_test, at_train.min(), at_train.max())
        return -np.logaddexp(0, np.hstack([at_test, -at_test]))
    return log_softmax(np.maximum(log_softmax(at_test, 1), log_softmax(at_train, 1).min(0)), 1)


def errors_of(outputs, targets):
    """Return the error of the average of outputs, and of the average of probabilities (regression: the same)."""
    mean = [np.mean(parts, 0) for parts in zip(*outputs, strict=True)]
    if targets.ndim == 2:
        error = float(np.sqrt(np.mean((mean[1] - targets) ** 2)) / targets.std())
        return error, error
    rows = np.arange(len(targets)), targets
    logs = logsumexp([logarithms(*parts) for parts in outputs], 0) - np.log(len(outputs))
    return -logarithms(*mean)[rows].mean(), -logs[rows].mean()


# figures -----------------------------------------------------------------------------------------------------------


def report(rows, key, base):
    """Print for every method the geometric mean of its errors over those of another, counts and the mean rank."""
    for task in dict.fromkeys(row["task"] for row in rows):
        errors = {}
        for row in rows:
            if row["task"] == task:
                errors.setdefault(row["method"], {})[row["set"]] = row[key]
        sets = list(errors[base])
        ranks = np.argsort(np.argsort([[of[name] for name in sets] for of in errors.values()], 0), 0) + 1
        lines = []
        for method, rank in zip(errors, ranks, strict=True):
            ratio = np.array([errors[method][name] / errors[base][name] for name in sets])
            seconds = sum(row["seconds"] for row in rows if row["task"] == task and row["method"] == method)
            cells = [
                f"{np.exp(np.log(ratio).mean()):.4f}",
                f"{(ratio < 1 - 1e-9).sum()}",
                f"{(ratio > 1 + 1e-9).sum()}",
            ]
            lines.append([method, *cells, f"{rank.mean():.2f}", f"{seconds:.0f}"])
        table([f"{task}, {key}", f"over {base}", "better", "worse", "mean rank", "CPU s"], lines)
        print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="120 rows for training in place of 220")
    parser.add_argument("--sources", nargs="*", metavar="SOURCE", help="compare what members differ by")
    parser.add_argument("--sets", nargs="+", metavar="SET", default=[*CLASSIFICATION, *REGRESSION])
    parser.add_argument("--members", type=int, default=8)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    file = "ensembles" + ("" if args.sources is None else "-sources") + ("-quick" if args.quick else "")
    rows = []
    for name in args.sets:
        data = SETS[name]()
        train_, test = split(data, QUICK_ROWS if args.quick else ROWS)
        row = {"set": name, "task": data.task, "rows": len(train_.y), "features": data.X.shape[1]}
        if args.sources is None:
            found = against_bagging(train_, test, args.members)
            rows += [row | {"method": m, "error": error, "seconds": seconds} for m, error, seconds in found]
        else:
            for source in args.sources or SOURCES:
                outputs, targets, seconds = by_source(train_, test, source, args.members)
                for n in sorted({1, (args.members + 1) // 2, args.members}):
                    errors = dict(zip(("error", "of probabilities"), errors_of(outputs[:n], targets), strict=True))
                    cost = seconds * n / args.members
                    rows.append(row | {"method": f"{source}, {n}"} | errors | {"seconds": cost})
        write(file, rows)
        print(*(f"{r['method']} {r['error']:.4f}" for r in rows if r["set"] == name), name, sep="; ", flush=True)
    print()
    base = "one" if args.sources is None else rows[0]["method"]
    for key in ("error",) if args.sources is None else ("error", "of probabilities"):
        report(rows, key, base)


if __name__ == "__main__":
    main()
