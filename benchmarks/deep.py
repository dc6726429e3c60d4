"""A deep network that grows its last layer against one hidden layer of as many parameters, on the 10-D ridge function.

The target is t^2 / 10 of the sum t of ten variables. A network with two hidden layers of two neurons can find the
direction (1, ..., 1) with its first layer; its last hidden layer then grows by blocks of three, each neuron for four
parameters, and approximates t^2. One hidden layer pays twelve parameters a neuron.

    python -m benchmarks.deep [--seeds 5] [--neurons 42]
"""

import argparse
import time

import numpy as np

from benchmarks._report import write
from skgrow import GrowingRegressor
from skgrow.datasets import make_ridge
from skgrow.growth import PolarSearch


def n_parameters(model):
    return sum(a.size for a in (*model.coefs_, *model.intercepts_))


def alignment(model):
    """Largest cosine between a first-layer neuron that counts and (1, ..., 1)."""
    W = model.coefs_[0]
    return float((np.abs(W.sum(0)) / np.linalg.norm(W, axis=0)).max() / np.sqrt(len(W)))


def rmse(model, X, y):
    return float(np.sqrt(np.mean((model.predict(X) - y) ** 2)))


def run(seed, neurons):
    X, y = make_ridge("10d", n_samples=4000, random_state=seed)
    X_test, y_test = make_ridge("10d", n_samples=4000, random_state=1000 + seed)
    settings = {"activation": "relu", "search": PolarSearch(n_exchanges=0), "random_state": seed}
    rows, allowed = [], None
    for name in ("deep", "one layer"):
        if name == "deep":
            model = GrowingRegressor(hidden_layer_sizes=(2, 2), max_neurons=neurons + 2, **settings)
        else:  # at least as many parameters
            model = GrowingRegressor(max_neurons=-(-(allowed - 1) // 12), **settings)
        started = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - started
        allowed = n_parameters(model)
        rows.append(
            {
                "seed": seed,
                "network": name,
                "architecture": "-".join(map(str, model.architecture_)),
                "parameters": allowed,
                "train": rmse(model, X, y),
                "held_out": rmse(model, X_test, y_test),
                "alignment": alignment(model),
                "seconds": seconds,
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--neurons", type=int, default=42)
    args = parser.parse_args()
    rows = [row for seed in range(args.seeds) for row in run(seed, args.neurons)]
    write("deep", rows)
    print(__doc__.split("\n", maxsplit=1)[0])
    for row in rows:
        print("  ".join(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row.values()))
    for name in ("deep", "one layer"):
        found = np.array([row["held_out"] for row in rows if row["network"] == name])
        print(f"{name}: held-out RMSE, quartiles {np.percentile(found, [25, 50, 75])}")


if __name__ == "__main__":
    main()
