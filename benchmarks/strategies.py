"""Ways to find new neurons: at equal width, which search leaves the smallest error?

A growing ReLU network with the polar search against random neurons, GradMax and Firefly, on the four ridge tasks (see
benchmarks.ridge) and two tabular sets, of which a quarter is held out. Only the search differs. Growth is judged by the
training loss and exchanges no neurons, so that all networks reach the full width; medians over the seeds.

    python -m benchmarks.strategies [--quick] [--sets 2d concrete] [--only polar random] [--seeds 3] [--neurons 9 21]
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from benchmarks._report import table, write
from benchmarks._tabular_data import REGRESSION
from benchmarks.ridge import N_HELD_OUT, N_SAMPLES, median, quartiles, select
from skgrow import GrowingRegressor
from skgrow.datasets import make_ridge
from skgrow.growth import Firefly, GradMax, PolarSearch, RandomSearch

TABULAR = ("diabetes", "concrete")
SEARCHES = {"polar": PolarSearch, "random": RandomSearch, "gradmax": GradMax, "firefly": Firefly}

#: Penalties, fixed for all searches: the ridge tasks have no noise. The evidence would stop some sooner than others.
ALPHA = dict.fromkeys(N_SAMPLES, 1e-6) | dict.fromkeys(TABULAR, 1.0)


def data(name, seed):
    """Return training and held-out inputs and targets; tabular targets have unit variance."""
    if name in N_SAMPLES:
        X, y = make_ridge(name, N_SAMPLES[name], random_state=seed)
        X_new, y_new = make_ridge(name, N_HELD_OUT, random_state=10_000 + seed)
        return X, X_new, y, y_new
    X, y = REGRESSION[name]()
    return train_test_split(X, y / y.std(), random_state=seed)


def run(name, n_neurons, search, seed):
    X, X_new, y, y_new = data(name, seed)
    model = GrowingRegressor(
        activation="relu",
        alpha=ALPHA[name],
        search=SEARCHES[search](n_exchanges=0),
        max_neurons=n_neurons,
        patience=1000,
        min_decrease=0,
        random_state=seed,
    )
    started = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y, X_val=X, y_val=y)
    seconds = time.perf_counter() - started
    return {
        "set": name,
        "max_neurons": n_neurons,
        "search": search,
        "seed": seed,
        "train_rmse": _rmse(model, X, y),
        "held_out_rmse": _rmse(model, X_new, y_new),
        "n_neurons": model.architecture_[1],
        "growths": sum(row["action"] == "grow" for row in model.history_),
        "seconds": seconds,
    }


def _rmse(model, X, y):
    return float(np.sqrt(np.mean((model.predict(X) - y) ** 2)))


def print_table(rows, name, n_neurons):
    lines = []
    for search in SEARCHES:
        found = select(rows, set=name, max_neurons=n_neurons, search=search)
        if found:
            low, high = np.percentile([row["seconds"] for row in found], [25, 75])
            lines.append(
                [
                    search,
                    *quartiles(found, "train_rmse"),
                    *quartiles(found, "held_out_rmse"),
                    f"{median(found, 'n_neurons'):.0f}",
                    f"{median(found, 'growths'):.0f}",
                    f"{median(found, 'seconds'):.2f}",
                    f"{low:.2f}..{high:.2f}",
                ]
            )
    print(f"\n{name}, {n_neurons} neurons")
    table(
        ["search", "train", "quartiles", "held out", "quartiles", "neurons", "growths", "seconds", "quartiles"], lines
    )


def print_ratios(rows):
    """Print errors as multiples of those of the polar search: geometric means over sets and widths."""
    searches = [search for search in dict.fromkeys(row["search"] for row in rows) if search != "polar"]
    lines = []
    for search in searches:
        cells = [search]
        for key in ("train_rmse", "held_out_rmse", "seconds"):
            ratios = []
            for name, n_neurons in dict.fromkeys((row["set"], row["max_neurons"]) for row in rows):
                ours, theirs = (
                    median(select(rows, set=name, max_neurons=n_neurons, search=s), key) for s in ("polar", search)
                )
                if ours and theirs:
                    ratios.append(theirs / ours)
            cells.append(f"{np.exp(np.mean(np.log(ratios))):.2f}" if ratios else "")
        lines.append(cells)
    print("\nmultiples of the polar search, geometric means")
    table(["search", "train", "held out", "seconds"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="one seed, one width, two sets")
    parser.add_argument("--sets", nargs="+", choices=[*N_SAMPLES, *TABULAR], metavar="SET")
    parser.add_argument("--only", nargs="+", choices=SEARCHES, default=list(SEARCHES), metavar="SEARCH")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--neurons", type=int, nargs="+")
    parser.add_argument("--output", help="name of the CSV file in benchmarks/results")
    args = parser.parse_args()
    sets = args.sets or (["2d", "diabetes"] if args.quick else [*N_SAMPLES, *TABULAR])
    seeds = args.seeds or (1 if args.quick else 3)
    widths = args.neurons or ([9] if args.quick else [9, 21])
    name = args.output or ("strategies-quick" if args.quick else "strategies")
    GrowingRegressor(max_neurons=3).fit(*make_ridge("2d", 50, random_state=0))  # imports PyTorch, starts threads
    rows = []
    for data_set in sets:
        for n_neurons in widths:
            rows += [run(data_set, n_neurons, search, seed) for search in args.only for seed in range(seeds)]
            write(name, rows)
            print_table(rows, data_set, n_neurons)
    print_ratios(rows)


if __name__ == "__main__":
    main()
