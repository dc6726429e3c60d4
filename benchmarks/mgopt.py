"""Multilevel training (MG/Opt) of residual networks, against training on one level.

Networks of width 32 and 8, 16 or 32 blocks on digits, mnist_5k, mnist1d (all classes of ten) and concrete (a number),
split, or for mnist1d generated, anew by every seed. One level: SGD with momentum 0.9 and Adam, each at the best of
four rates for the data and the depth. Several levels, all with Adam at the rate that was best on one level:

- ``two-level``, ``V``: corrections from one coarse level, or from all (8 blocks have two levels, 16 three, 32 four),
  without the linear term (``plain``), with that of the mini-batch (3.6), or with the ``exact`` one;
- ``full``: the default, from the coarsest level up and then V-cycles without the linear term;
- ``full linear``: the same with blocks interpolated linearly instead of copied;
- ``full, blind``: the default, but coarse levels do not know the target and are left when progress is slow;
- ``batch``: full, on the same network with mini-batches of 200 on the fine level and of 50 on the coarse one.

The target is the mean loss of the epoch that the better of the two single levels reaches in ``--epochs`` epochs, the
median over the three seeds that tune the rates, which are not among those that are compared. Compared are seconds (the
process' time on one thread, preparation of the data included) and work units (gradients of the fine network on all
data; a loss is a third) until an epoch of the *fine* level has a mean loss at or below the target, at which training
stops (``target_loss`` of the cycle), and the score of that network on the test set. A run that takes five times the
epochs ends, and counts as infinite.

    python -m benchmarks.mgopt [--data digits concrete] [--blocks 8 16 32] [--epochs 20] [--seeds 5] [--jobs 2]
        [--only Adam full]

The spread over seeds is wide; the bars are best judged on more of them, with the three variants that they compare:

    python -m benchmarks.mgopt --seeds 15 --blocks 16 32 --only SGD Adam full
"""

import argparse
import time
import warnings
from unittest import mock

import numpy as np
from joblib import Parallel, delayed
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from benchmarks._report import bars, table, write
from benchmarks._tabular_data import CLASSIFICATION, REGRESSION
from skgrow import MGOptClassifier, MGOptRegressor
from skgrow.multilevel import Cycle, DepthHierarchy, _train, build_levels
from skgrow.training import StageMonitor

WIDTH, TUNING_SEEDS = 32, (100, 101, 102)
RATES = {"SGD": (0.01, 0.03, 0.1, 0.3), "Adam": (0.001, 0.003, 0.01, 0.03)}
TWO, V, EXACT = {"kind": "two-level"}, {"kind": "V"}, {"correction": "exact"}
VARIANTS = {  # parameters of the estimator, and of its cycle
    "SGD": {"n_levels": 1, "solver": "sgd"},
    "Adam": {"n_levels": 1},
    "two-level plain": {"cycle": TWO},
    "two-level (3.6)": {"cycle": TWO | {"correction": True}},
    "two-level exact": {"cycle": TWO | EXACT},
    "V plain": {"cycle": V},
    "V (3.6)": {"cycle": V | {"correction": True}},
    "V exact": {"cycle": V | EXACT},
    "full": {},
    "full linear": {"hierarchy": DepthHierarchy("linear")},
    "full, blind": {},
    "batch": {"hierarchy": "batch"},
}


def data(name, seed):
    """Return training and test inputs and targets."""
    if name == "mnist1d":
        from mnist1d.data import get_dataset_args, make_dataset

        generator = get_dataset_args()
        generator.seed = seed
        made = make_dataset(generator)
        return made["x"], made["x_test"], made["y"], made["y_test"]
    X, y = (REGRESSION | CLASSIFICATION)[name]()
    size = {"digits": 450, "mnist_5k": 1000}.get(name, 0.25)
    return train_test_split(X, y, test_size=size, random_state=seed, stratify=y if name in CLASSIFICATION else None)


class Clock(StageMonitor):
    """Notes time and work at the end of every epoch of the fine level."""

    blind, notes, work = None, [], None

    @staticmethod
    def levels(*args):
        """Build levels, and keep where their work is counted."""
        found = build_levels(*args)
        Clock.work = found[0].work
        return found

    def iteration(self, value):
        super().iteration(value)
        Clock.notes.append((time.process_time(), sum(Clock.work.units), value))
        self.stopped = self.stopped or (Clock.blind is not None and value <= Clock.blind)


def train(name, blocks, seed, variant, rate, target, epochs):
    """Return seconds, work and loss of every fine epoch, and the score at the end."""
    X, X_test, y, y_test = data(name, seed)
    kind = MGOptRegressor if name in REGRESSION else MGOptClassifier
    Clock.blind, Clock.notes = (target if "blind" in variant else None), []
    settings = {
        "alpha": 1e-4,
        "early_stopping": False,
        "max_iter": epochs,
        "tol": 0.0,
        "n_iter_no_change": epochs,
        "learning_rate_init": rate,
    }
    settings |= VARIANTS[variant]
    settings["cycle"] = Cycle(**settings.get("cycle", {}), target_loss=None if "blind" in variant else target)
    estimator = kind(hidden_layer_sizes=(WIDTH,) * (blocks + 1), random_state=seed, **settings)
    with mock.patch.multiple(_train, StageMonitor=Clock, build_levels=Clock.levels), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        started = time.process_time()
        estimator.fit(X, y)
    curve = [(at - started, work, loss) for at, work, loss in Clock.notes]

    tried = [c for row in estimator.history_ for c in row["corrections"]]
    return curve, estimator.score(X_test, y_test), sum(c["accepted"] for c in tried), len(tried)


def tuned(name, blocks, epochs):
    """Return the best rates of SGD and Adam, and the loss that the better one reaches."""
    rates, best = {}, {}
    for variant, grid in RATES.items():
        ends = {}
        for rate in grid:
            curves = [train(name, blocks, seed, variant, rate, None, epochs)[0] for seed in TUNING_SEEDS]
            ends[rate] = np.median([min((loss for *_, loss in curve), default=np.inf) for curve in curves])
        rates[variant] = min(ends, key=lambda rate: ends[rate] if np.isfinite(ends[rate]) else np.inf)
        best[variant] = ends[rates[variant]]
    return rates, min(best.values())


def compare(name, blocks, seed, variant, rates, target, epochs):
    """Return a row of the results."""
    rate = rates["SGD" if variant == "SGD" else "Adam"]
    curve, score, accepted, tried = train(name, blocks, seed, variant, rate, target, 5 * epochs)
    reached = [(seconds, work) for seconds, work, loss in curve if loss <= target]
    seconds, work = reached[0] if reached else (np.inf, np.inf)
    row = {"data": name, "blocks": blocks, "seed": seed, "variant": variant, "rate": rate, "target": target}
    return row | {
        "seconds": seconds,
        "work": work,
        "fine_epochs": len(curve),
        "score": score,
        "corrections": f"{accepted}/{tried}",
    }


def report(rows, seeds):
    """Print a table for every data set and depth, and the bars."""
    found = []
    for name, blocks in dict.fromkeys((row["data"], row["blocks"]) for row in rows):
        here = [row for row in rows if (row["data"], row["blocks"]) == (name, blocks)]
        of = {v: [row for row in here if row["variant"] == v] for v in dict.fromkeys(row["variant"] for row in here)}
        middle = {v: np.median([row["seconds"] for row in found_]) for v, found_ in of.items()}
        single = min((v for v in ("SGD", "Adam") if v in of), key=middle.get)
        base = {row["seed"]: row for row in of[single]}
        lines = []
        for variant, runs in of.items():
            seconds, work = ([row[key] for row in runs] for key in ("seconds", "work"))
            change = np.array([row["score"] - base[row["seed"]]["score"] for row in runs])
            error = change.std(ddof=1) / np.sqrt(len(change)) if len(change) > 1 else np.nan
            ratio = np.median([row["seconds"] / base[row["seed"]]["seconds"] for row in runs])
            lines.append(
                [
                    variant,
                    f"{runs[0]['rate']:g}",
                    spread(work, ".1f"),
                    spread(seconds, ".2f"),
                    f"{ratio:.2f}",
                    f"{np.median([row['fine_epochs'] for row in runs]):.0f}",
                    " ".join(row["corrections"] for row in runs[:1]),
                    f"{np.mean([row['score'] for row in runs]):.3f}",
                    f"{change.mean():+.4f} ({error:.4f})",
                ]
            )
            if variant == "full" and blocks >= 16:
                found.append((f"{name} {blocks} blocks: seconds of full to the best single level's", ratio, 0.7))
                found.append((f"{name} {blocks} blocks: its score below, in s.e.", -change.mean() / error, 1.0))
        print(f"\n{name}, {blocks} blocks, target {here[0]['target']:.4g}, {seeds} seeds")
        table(
            ["", "rate", "work", "seconds", "ratio", "fine epochs", "accepted", "score", "to the single level's"], lines
        )
    print()
    bars(found)


def spread(values, form):
    """Return median and quartiles."""
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
    return f"{middle:{form}} ({low:{form}}-{high:{form}})"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["digits", "mnist_5k", "mnist1d", "concrete"]
    parser.add_argument("--data", nargs="+", default=names, choices=[*names, *REGRESSION, *CLASSIFICATION])
    parser.add_argument("--blocks", nargs="+", type=int, default=[8, 16, 32])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    options = parser.parse_args()
    settings = [(name, blocks) for name in options.data for blocks in options.blocks]
    with Parallel(n_jobs=options.jobs) as parallel:
        found = parallel(delayed(tuned)(*setting, options.epochs) for setting in settings)
        rows = parallel(
            delayed(compare)(*setting, seed, variant, *rates_and_target, options.epochs)
            for setting, rates_and_target in zip(settings, found, strict=True)
            for seed in range(options.seeds)
            for variant in options.only
        )
    complete = set(options.only) == set(VARIANTS) and set(options.data) == set(names)
    name = "mgopt" if complete and options.epochs == 20 else f"mgopt-{options.epochs}-epochs-{options.seeds}-seeds"
    write(name, rows, epochs=options.epochs)
    report(rows, options.seeds)


if __name__ == "__main__":
    main()
