"""Ridge functions: how near do networks of given width come to the best piecewise linear approximation?

The four tasks of Feischl, Rieder and Zehetgruber, "Towards optimal hierarchical training of neural networks",
section 6: a growing ReLU network against MLPRegressor of the same width, trained in four ways, on raw and on
standardised data. Errors are printed with their quartiles over the seeds, and as multiples of the free-knot limit. The
row "oracle" is the best piecewise linear function of the true sum of the inputs that could be fitted to the same data:
where even it stays far from the limit (the root's curvature is unbounded at the origin, where there are no samples)
the data does not tell more. "inside" is the held-out error where the sum of the inputs is in the range of the training
data, about 999 points of 1000: the rest is extrapolation, and often most of the held-out error.

    python -m benchmarks.ridge [--quick] [--only skgrow oracle] [--seeds 5] [--neurons 9 21 42] [--tasks 2d root]
"""

import argparse
import time
import warnings
from functools import partial

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks._free_knots import FreeKnotFit
from benchmarks._report import bars, table, write
from skgrow import GrowingRegressor
from skgrow.datasets import free_knot_limit, make_ridge

N_SAMPLES = {"2d": 2000, "3d": 2000, "root": 2000, "10d": 4000}
N_HELD_OUT = 20_000

#: Held-out multiples of the limits required of 42 neurons, with the limits they were set by.
REQUIRED = {"2d": (1.5, 7.2e-5), "3d": (1.5, 9.1e-5), "root": (1.5, 3.1e-5), "10d": (3.0, 1.3e-4)}


# methods: f(X, y, n_neurons, seed, task=...) -> model ------------------------------------------------------------


def skgrow(X, y, n_neurons, seed, **_):
    return GrowingRegressor(activation="relu", max_neurons=n_neurons, random_state=seed).fit(X, y)


def oracle(X, y, n_neurons, seed, *, task):
    return OnSums(FreeKnotFit(task, n_neurons, seed=seed).fit(X.sum(axis=1), y))


class OnSums:
    """A model of the sum of the inputs, with as many neurons as it has knots."""

    def __init__(self, model):
        self.model = model
        self.coefs_, self.intercepts_ = [model.knots_[None], model.coef_[2:, None]], [model.coef_[:2]]

    def predict(self, X):
        return self.model.predict(X.sum(axis=1))


def peer(X, y, n_neurons, seed, *, standardize, options, **_):
    """Fit an MLPRegressor to raw or standardised data."""
    model = MLPRegressor(hidden_layer_sizes=(n_neurons,), random_state=seed, **options)
    return _scaled(model, standardize, 1).fit(X, y)


def restarts(X, y, n_neurons, seed, *, standardize, **_):
    """Fit MLPRegressor ten times to 10 y (its L-BFGS stops early on small losses) and keep the best."""
    best = None
    for i in range(10):
        model = MLPRegressor(
            hidden_layer_sizes=(n_neurons,),
            solver="lbfgs",
            alpha=0,
            max_iter=20_000,
            max_fun=10_000_000,
            random_state=1000 * seed + i,
        )
        model = _scaled(model, standardize, 10).fit(X, y)
        loss = _network(model).loss_
        if best is None or loss < best[0]:
            best = loss, model
    return best[1]


def _scaled(model, standardize, factor):
    times = FunctionTransformer(partial(np.multiply, factor), partial(np.multiply, 1 / factor))
    if not standardize:
        return TransformedTargetRegressor(make_pipeline(model), transformer=times)
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), model), transformer=make_pipeline(StandardScaler(), times)
    )


ADAM_2000 = {"max_iter": 2000, "tol": 0, "n_iter_no_change": 2000}

METHODS = {
    "skgrow": skgrow,
    "oracle": oracle,
    "adam": partial(peer, standardize=False, options={}),
    "adam, std": partial(peer, standardize=True, options={}),
    "adam 2000": partial(peer, standardize=False, options=ADAM_2000),
    "adam 2000, std": partial(peer, standardize=True, options=ADAM_2000),
    "lbfgs": partial(peer, standardize=False, options={"solver": "lbfgs"}),
    "lbfgs, std": partial(peer, standardize=True, options={"solver": "lbfgs"}),
    "lbfgs x 10": partial(restarts, standardize=False),
    "lbfgs x 10, std": partial(restarts, standardize=True),
}


# runs ------------------------------------------------------------------------------------------------------------


def run(task, n_neurons, method, seed):
    X, y = make_ridge(task, N_SAMPLES[task], random_state=seed)
    X_new, y_new = make_ridge(task, N_HELD_OUT, random_state=10_000 + seed)
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = METHODS[method](X, y, n_neurons, seed, task=task)
    seconds = time.perf_counter() - started
    network = _network(model)
    t, t_new = X.sum(axis=1), X_new.sum(axis=1)
    inside = (t_new >= t.min()) & (t_new <= t.max())
    return {
        "task": task,
        "max_neurons": n_neurons,
        "method": method,
        "seed": seed,
        "train_rmse": _rmse(model, X, y),
        "held_out_rmse": _rmse(model, X_new, y_new),
        "inside_rmse": _rmse(model, X_new[inside], y_new[inside]),
        "limit": free_knot_limit(task, n_neurons),
        "n_neurons": network.coefs_[0].shape[1],
        "n_parameters": sum(a.size for a in [*network.coefs_, *network.intercepts_]),
        "seconds": seconds,
    }


def _network(model):
    return model.regressor_[-1] if isinstance(model, TransformedTargetRegressor) else model


def _rmse(model, X, y):
    return float(np.sqrt(np.mean((model.predict(X) - y) ** 2)))


# tables ----------------------------------------------------------------------------------------------------------


def select(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def median(rows, key):
    return float(np.median([row[key] for row in rows])) if rows else None


def quartiles(rows, key):
    q1, q2, q3 = np.percentile([row[key] for row in rows], [25, 50, 75])
    return [f"{q2:.2e}", f"{q1:.1e}..{q3:.1e}"]


def print_table(rows, task, n_neurons):
    here = select(rows, task=task, max_neurons=n_neurons)
    limit = here[0]["limit"]
    ours = median(select(here, method="skgrow"), "seconds")
    lines = []
    for method in dict.fromkeys(row["method"] for row in here):
        found = select(here, method=method)
        seconds = median(found, "seconds")
        low, high = np.percentile([row["seconds"] for row in found], [25, 75])
        lines.append(
            [
                method,
                *quartiles(found, "train_rmse"),
                f"{median(found, 'train_rmse') / limit:.2f}",
                *quartiles(found, "held_out_rmse"),
                f"{median(found, 'held_out_rmse') / limit:.2f}",
                f"{median(found, 'inside_rmse') / limit:.2f}",
                f"{median(found, 'n_parameters'):.0f}",
                f"{seconds:.2f}",
                f"{low:.2f}..{high:.2f}",
                f"{seconds / ours:.2f}" if ours else "",
            ]
        )
    print(f"\n{task}, {n_neurons} neurons, {N_SAMPLES[task]} samples, limit {limit:.2e}, {len(found)} seed(s)")
    header = ["method", "train", "quartiles", "x limit", "held out", "quartiles", "x limit"]
    table([*header, "inside", "params", "seconds", "quartiles", "x skgrow"], lines)


def slope(rows, task, method):
    """Return the slope of log held-out error against log parameters, None for a single width."""
    found = select(rows, task=task, method=method)
    p, e = (np.log([row[key] for row in found]) for key in ("n_parameters", "held_out_rmse"))
    return float(np.polyfit(p, e, 1)[0]) if len(set(p)) > 1 else None


def print_slopes(rows):
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    found = [[slope(rows, task, method) for task in tasks] for method in methods]
    print("\nslope of log held-out error against log parameters")
    cells = [["" if s is None else f"{s:.2f}" for s in line] for line in found]
    table(["method", *tasks], [[method, *line] for method, line in zip(methods, cells, strict=True)])


def print_bars(rows):
    """Print the required bars of skgrow's medians at 42 neurons, and those aimed at."""
    required, aimed = [], []
    for task, (factor, limit) in REQUIRED.items():
        here = select(rows, task=task, max_neurons=42)
        medians = {m: median(select(here, method=m), "seconds") for m in METHODS}
        error = median(select(here, method="skgrow"), "held_out_rmse")
        required.append((f"{task}: held-out RMSE, at most {factor:g} x {limit:.1e}", error, factor * limit))
        aimed.append((f"{task}: held-out RMSE, at most 1.2 x {limit:.1e}", error, 1.2 * limit))
        for other, share, where in (
            ("adam 2000", 1, required),
            ("adam 2000", 1 / 3, aimed),
            ("lbfgs x 10, std", 1 / 5, required),
        ):
            both = [medians["skgrow"], medians[other]]
            where.append((f"{task}: seconds, share of {other!r}", None if None in both else both[0] / both[1], share))
    required.append(("2d: slope", slope(rows, "2d", "skgrow"), -1.8))
    for title, found in (("required at 42 neurons", required), ("aimed at, at 42 neurons", aimed)):
        print(f"\n{title}")
        bars(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="one seed, two tasks, two widths")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--neurons", type=int, nargs="+")
    parser.add_argument("--tasks", nargs="+", choices=N_SAMPLES)
    parser.add_argument("--output", help="name of the CSV file in benchmarks/results")
    args = parser.parse_args()
    seeds = args.seeds or (1 if args.quick else 5)
    widths = args.neurons or ([9, 21] if args.quick else [9, 21, 42])
    tasks = args.tasks or (["2d", "root"] if args.quick else list(N_SAMPLES))
    name = args.output or ("ridge-quick" if args.quick else "ridge")
    for warm_up in ("skgrow", "lbfgs"):  # imports PyTorch, starts threads
        METHODS[warm_up](*make_ridge("2d", 50, random_state=0), 3, 0)
    rows = []
    for task in tasks:
        for n_neurons in widths:
            rows += [run(task, n_neurons, method, seed) for method in args.only for seed in range(seeds)]
            write(name, rows)
            print_table(rows, task, n_neurons)
    print_slopes(rows)
    print_bars(rows)


if __name__ == "__main__":
    main()
