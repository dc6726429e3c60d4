"""How inputs are scaled, and what a network says beyond the data: trials behind two defaults.

Scales of a column, all about its mean:

deviation   the standard deviation;
difference  that of a column of two values is their difference (Gelman 2008);
distinct    the root mean square of the deviations from the median of those values that are not the median itself: the
            standard deviation of a continuous column, the difference of a rare indicator, the size of rare counts;
robust      the smaller of the standard deviation and that of a normal distribution of equal quartiles;
smaller     the smaller of distinct and robust;
bounded     distinct, but at most twice the deviation of a normal distribution of equal quartiles;
within      bounded, but at least a thousandth of the largest distance from the mean: the default.

Beyond the data (of the same fit):

free        as the network says;
targets     predictions within the range of the training targets, and a margin of a share of it; of classes log odds
            within their range on the training data;
inputs      every input within its range in the training data;
neurons     every pre-activation within its range in the training data.

Untuned ``GrowingRegressor`` and ``GrowingClassifier`` on the sets of ``benchmarks.survey`` and on tables of indicators,
of heavy tails and of outliers: root mean squared error in deviations of the target, and log-loss, both over that of the
first way; geometric means, and the worst sets.

    python -m benchmarks.units [--task classification] [--sets juice] [--scales deviation distinct] [--splits 2]
"""

import argparse
import time
import warnings
from unittest.mock import patch

import numpy as np
import torch
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

import skgrow
from benchmarks import survey
from benchmarks._report import table, write
from skgrow.problem import _samples

ROWS = 500


def _of_two(A, g, eps):
    mean, scale = _samples._moments(A, g, eps)
    low, high = A.aminmax(dim=0)
    two = ((low == A) | (high == A)).all(0)
    return mean, torch.where(two & scale.isfinite(), high - low, scale)


def _of_distinct(A, g, eps):
    mean, scale = _samples._moments(A, g, eps)
    away = A - _samples._weighted_median(A, g)
    found = ((g @ away.square()) / (g @ (away != 0).to(A))).sqrt()
    return mean, torch.where(scale.isfinite(), found, scale)


def _robust(A, g, eps):
    mean, scale = _samples._moments(A, g, eps)
    quartiles = torch.quantile(A, torch.tensor([0.25, 0.75], dtype=A.dtype), dim=0)
    spread = (quartiles[1] - quartiles[0]) / 1.349
    return mean, torch.where((spread > 0) & (spread < scale), spread, scale)


def _bounded(A, g, eps):
    mean, scale = _of_distinct(A, g, eps)
    normal = _robust(A, g, eps)[1]
    return mean, torch.where(normal < _samples._moments(A, g, eps)[1], torch.minimum(scale, 2 * normal), scale)


def _within(A, g, eps):
    mean, scale = _bounded(A, g, eps)
    return mean, torch.maximum(scale, torch.maximum(A.amax(0) - mean, mean - A.amin(0)) / 1000)


def _smaller(A, g, eps):
    mean, scale = _of_distinct(A, g, eps)
    return mean, torch.minimum(scale, _robust(A, g, eps)[1])


def _without_spread(scale):
    return lambda A, g, eps, spread: scale(A, g, eps)  # noqa: ARG005


SCALES = {
    "deviation": _samples._moments,
    "difference": _of_two,
    "distinct": _of_distinct,
    "robust": _robust,
    "smaller": _smaller,
    "bounded": _bounded,
    "within": _within,
}


def indicators(levels, rows, outliers, seed):
    """Return a table of indicators of two columns of levels, and one number that is rarely far away."""
    rng = np.random.default_rng(seed)
    place = rng.integers(0, levels, (rows, 2))
    effect = rng.normal(size=(levels, 2))
    z = rng.normal(size=(rows, 3))
    y = effect[place[:, 0], 0] + effect[place[:, 1], 1] + np.sin(z[:, 0]) + 0.3 * rng.normal(size=rows)
    z[rng.random(rows) < outliers] *= 30
    return np.hstack([np.eye(levels)[place[:, 0]], np.eye(levels)[place[:, 1]], z]), y


def heavy(kind, rows, seed):
    """Return inputs of heavy tails, of which the target sees the ranks."""
    rng = np.random.default_rng(seed)
    X = rng.standard_cauchy((rows, 5)) if kind == "cauchy" else np.exp(2.5 * rng.normal(size=(rows, 5)))
    Z = np.arctan(X) if kind == "cauchy" else np.log(X) / 2.5
    return X, np.sin(2 * Z[:, 0]) + Z[:, 1] * Z[:, 2] + 0.3 * rng.normal(size=rows)


def counts(rows, columns, seed):
    """Return a sparse table of counts, and a linear function of few of them."""
    rng = np.random.default_rng(seed)
    X = rng.poisson(np.exp(rng.normal(-3, 1, columns)), (rows, columns)).astype(float)
    return X, X @ (rng.normal(size=columns) * (rng.random(columns) < 0.3)) + 0.3 * rng.normal(size=rows)


SYNTHETIC = {
    "levels_40": lambda: indicators(40, 2000, 0.0, 0),
    "levels_40_far": lambda: indicators(40, 2000, 0.01, 1),
    "levels_120": lambda: indicators(120, 2000, 0.0, 2),
    "levels_120_far": lambda: indicators(120, 2000, 0.01, 3),
    "cauchy": lambda: heavy("cauchy", 2000, 4),
    "lognormal": lambda: heavy("lognormal", 2000, 5),
    "counts_30": lambda: counts(2000, 30, 6),
    "counts_120": lambda: counts(2000, 120, 7),
}


def _above_median(load):
    X, y = load()
    return X, np.where(y > np.median(y), "high", "low")


SETS = {
    "regression": survey.named(survey.REGRESSION, float) | SYNTHETIC,
    "classification": survey.named(survey.CLASSIFICATION, str)
    | {name: lambda load=load: _above_median(load) for name, load in SYNTHETIC.items()},
}


def outputs(model, X):
    """Return the outputs of the network itself, shape (n, c)."""
    found = np.asarray(model.decision_function(X) if hasattr(model, "classes_") else model.predict(X))
    return found.reshape(len(X), -1)


def with_clamped_neurons(model, X_train, X):
    """Return the outputs with every pre-activation of the first hidden layer within its range on the training data."""
    if len(model.coefs_) != 2:
        return outputs(model, X)
    A, b = model.coefs_[0], model.intercepts_[0]
    Z = X_train @ A + b
    clamped = np.clip(X @ A + b, Z.min(0), Z.max(0))
    network = model._network("cpu", torch.float64)
    return (network.activation.value(torch.as_tensor(clamped)).numpy() @ model.coefs_[1]) + model.intercepts_[1]


def ways(model, X_train, y_train, X):
    """Yield names of ways to go beyond the data, and the outputs at X."""
    free = outputs(model, X)
    yield "free", free
    seen = outputs(model, X_train) if hasattr(model, "classes_") else np.asarray(y_train, float).reshape(-1, 1)
    low, high = seen.min(0), seen.max(0)
    for margin in (0.0, 0.1, 0.5, 1.0):
        yield f"targets {margin:g}", np.clip(free, low - margin * (high - low), high + margin * (high - low))
    yield "inputs", outputs(model, np.clip(X, X_train.min(0), X_train.max(0)))
    yield "neurons", with_clamped_neurons(model, X_train, X)


def error(model, F, y, spread):
    """Return the root mean squared error in deviations of the target, or the log-loss."""
    if not hasattr(model, "classes_"):
        return float(np.sqrt(np.mean((F[:, 0] - y) ** 2)) / spread)
    F = np.hstack([np.zeros_like(F), F]) if F.shape[1] == 1 else F
    logs = F - np.logaddexp.reduce(F, axis=1, keepdims=True)
    return log_loss(y, np.exp(logs), labels=model.classes_)


def run(task, name, scales, splits):
    """Yield a row per scale and way."""
    X, y = SETS[task][name]()
    kind = skgrow.GrowingRegressor if task == "regression" else skgrow.GrowingClassifier
    for split in range(splits):
        stratify = y if task == "classification" else None
        rows = min(ROWS, int(0.65 * len(X)))
        parts = train_test_split(X, y, train_size=rows, random_state=split, stratify=stratify)
        X_train, X_test, y_train, y_test = parts
        for scale in scales:
            start = time.perf_counter()
            with patch.object(_samples, "column_units", _without_spread(SCALES[scale])), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = kind(random_state=0).fit(X_train, y_train)
            seconds = time.perf_counter() - start
            for way, F in ways(model, X_train, y_train, X_test):
                value = error(model, F, y_test, np.std(y) if task == "regression" else 1.0)
                yield {"task": task, "set": name, "split": split, "scale": scale, "way": way, "error": value} | {
                    "neurons": model.architecture_[1],
                    "seconds": seconds,
                }


def report(rows):
    """Print for every scale and way the errors over those of the first."""
    sets = list(dict.fromkeys(row["set"] for row in rows))
    kinds = list(dict.fromkeys((row["scale"], row["way"]) for row in rows))
    mean = {
        (name, *kind): np.mean([r["error"] for r in rows if (r["set"], r["scale"], r["way"]) == (name, *kind)])
        for name in sets
        for kind in kinds
    }
    lines = []
    for kind in kinds:
        ratios = np.array([mean[name, *kind] / mean[name, *kinds[0]] for name in sets])
        worst = np.argsort(ratios)[::-1][:3]
        best = np.argsort(ratios)[:3]
        lines.append(
            [*kind, f"{np.exp(np.log(ratios).mean()):.3f}", f"{(ratios > 1.02).sum()}", f"{(ratios < 0.98).sum()}"]
            + [", ".join(f"{sets[i]} {ratios[i]:.2f}" for i in order) for order in (worst, best)]
        )
    table(["scale", "way", "geometric mean", "worse by 2 %", "better by 2 %", "worst", "best"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(SETS), default="regression")
    parser.add_argument("--sets", nargs="+", metavar="SET")
    parser.add_argument("--scales", nargs="+", choices=list(SCALES), default=list(SCALES))
    parser.add_argument("--splits", type=int, default=1)
    args = parser.parse_args()
    rows = []
    for name in args.sets or SETS[args.task]:
        rows += run(args.task, name, args.scales, args.splits)
        free = [row for row in rows if row["set"] == name and row["way"] == "free" and row["split"] == 0]
        print(name, *(f"{row['scale']} {row['error']:.3f} ({row['seconds']:.0f} s)" for row in free), flush=True)
    report(rows)
    write(f"units-{args.task}", rows)


if __name__ == "__main__":
    main()
