"""Layer-wise preconditioning: inner products on layer spaces, K-FAC, low rank and EMSA, against SGD and Adam on images.

The experiments of Kreis' thesis (section 5.3.3, appendix B.4) on mnist_5k: 5000 images, of which the thesis uses
60,000; pixels / 255, float32, one thread. Weights start as the package has them (Glorot and Bengio, for logistic
neurons with the gain 2), no penalty, no patience: rates are fixed. Parts:

- ``relu``: classifier 784-100-100-100-10, ReLU, cross-entropy, batches of 100, damping 0.01. The thesis finds no gain.
- ``autoencoder``: 784-1000-500-250-30-250-500-1000-784, logistic, squared error (half of it, summed over the pixels
  and averaged over images), batches of 1000. The plateau is the loss of the mean image. Half an hour.
  Of rescaled preconditioners the damping is that of earlier trials.
- ``sigmoid``: classifier 784-100-10, logistic, cross-entropy, batches of 1000, damping 0.001.
- ``extras``: which part of K-FAC does what, on ``sigmoid``, switched on one after the other.
- ``cost``: seconds per step on the autoencoder, steps of all methods in turn.

Every method has the rate (and damping, where two are given) of a grid with the lowest loss at the end; the grid is run
with the first seed, the choice then with the others. Losses over iterations are means over the batches of an epoch,
each taken before its step, so that nothing is computed for the report; ``final`` is the loss of all images after the
last step. Seconds are the process' time, which other work on the machine hardly touches. At equal time SGD, with the
rate it has at equal iterations, runs as long as the slowest method, at most ten times the epochs.

    python -m benchmarks.preconditioning [relu autoencoder sigmoid extras cost] [--seeds 3] [--quick]
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from benchmarks._report import bars, table, write
from benchmarks._tabular_data import mnist_5k
from skgrow.networks import MLP, Activation, glorot
from skgrow.preconditioning import FrobeniusPreconditioner, SecondMoment, kfac
from skgrow.problem import CrossEntropy, Problem
from skgrow.solvers import Adam, StochasticGradient

# methods ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Method:
    """A solver, with the grid of its rates and, of a preconditioner, of its dampings (rate None: it finds its own)."""

    name: str
    rates: tuple
    dampings: tuple = (None,)
    make: Callable[[float], Any] | None = None
    solver: str = "sgd"
    momentum: float = 0.0


def moments(damping, input="second_moment", output=None, **settings):  # noqa: A002
    return FrobeniusPreconditioner(input, output or input, damping=damping, **settings)


def of_batch(damping, **settings):
    """Second moments of the batch alone, as in the thesis' experiments."""
    return moments(damping, SecondMoment(window="batch"), **settings)


def covariance(damping):
    return moments(damping, "covariance")


def rescaled(damping):
    return of_batch(damping, rescale=True)


def plain(rates, momentum, adam):
    return (
        Method("SGD", rates),
        Method("SGD, momentum 0.9", momentum, momentum=0.9),
        Method("Adam", adam, solver="adam"),
    )


def kfac_equal(damping):
    return kfac(damping).set_params(split="equal")


def emsa(damping):
    return moments(damping, combine="sum", inverse_every=10)


def low_rank(damping, **settings):
    return moments(damping, SecondMoment(structure="lowrank", rank=20, update_every=10), inverse_every=10, **settings)


@dataclass(frozen=True)
class Setting:
    """An experiment."""

    sizes: tuple
    activation: str
    batch: int
    epochs: int
    methods: tuple
    seeds: int = 3


AUTOENCODER = (784, 1000, 500, 250, 30, 250, 500, 1000, 784)
OWN = (None,)  # of a method that finds its step lengths itself
SETTINGS = {
    "relu": Setting(
        (784, 100, 100, 100, 10),
        "relu",
        100,
        6,
        (
            *plain((0.1, 0.3, 1.0), (0.03, 0.1, 0.3), (1e-3, 3e-3, 1e-2)),
            Method("second moments, batch", (1e-3, 3e-3, 0.01), (0.01,), of_batch),
            Method("low rank", (3e-4, 1e-3, 3e-3), (0.01,), low_rank),
            Method("K-FAC", OWN, (0.01, 0.1, 1.0), kfac),
        ),
    ),
    "autoencoder": Setting(
        AUTOENCODER,
        "logistic",
        1000,
        10,
        (
            *plain((1e-3, 3e-3, 0.01, 0.03), (1e-3, 3e-3), (3e-4, 1e-3, 3e-3)),
            Method("second moments, batch", (0.02, 0.05), (1e-3, 2e-3), of_batch),
            Method("the same, rescaled", OWN, (2e-3,), rescaled),
            Method("covariance", (5e-4, 5e-3), (0.1,), covariance),
            Method("K-FAC", OWN, (1e-6, 1e-2), kfac),
            Method("K-FAC, equal split", OWN, (2e-3,), kfac_equal),
        ),
    ),
    "sigmoid": Setting(
        (784, 100, 10),
        "logistic",
        1000,
        20,
        (
            *plain((1.0, 3.0, 10.0), (0.3, 1.0, 3.0), (0.01, 0.03, 0.1)),
            Method("covariance", (0.1, 0.3), (0.1, 1.0), covariance),
            Method("second moments, batch", (0.03, 0.1, 0.3), (1e-3, 1e-2), of_batch),
            Method("second moments", (0.03, 0.1, 0.3), (1e-3, 1e-2), moments),
            Method("low rank", (0.03, 0.1), (0.01, 0.1), low_rank),
            Method("EMSA", OWN, (1e-3,), emsa),
            Method("K-FAC", OWN, (0.01, 0.1, 1.0), kfac),
        ),
    ),
}


@cache
def problem(part):
    """Return the training problem of an experiment."""
    X, y = mnist_5k()
    X = torch.tensor(X, dtype=torch.float32)
    if part == "autoencoder":
        return Problem(X, X)
    return Problem(X, torch.eye(10)[torch.tensor(y)], loss=CrossEntropy())


# runs ------------------------------------------------------------------------------------------------------------


def start(part, method, rate, damping, seed):
    """Return the solver's state before the first step."""
    setting, data = SETTINGS[part], problem(part)
    settings = {
        "learning_rate_init": 0.1 if rate is None else rate,
        "learning_rate": "constant",
        "batch_size": setting.batch,
        "preconditioner": None if method.make is None else method.make(damping),
    }
    solver = Adam(**settings) if method.solver == "adam" else StochasticGradient(momentum=method.momentum, **settings)
    solver = solver.seeded(torch.Generator().manual_seed(seed))
    return solver.start(glorot(MLP(setting.sizes, None, Activation(setting.activation)), seed, data.X), data)


def run(part, method, rate, damping, seed, epochs):
    """Return one row per epoch, and the loss of all images after the last (infinite where the run diverges)."""
    state, data = start(part, method, rate, damping, seed), problem(part)
    first = float(data.data_loss(state.network))
    rows, began, steps = [], time.process_time(), math.ceil(data.n_samples / SETTINGS[part].batch)
    for epoch in range(1, epochs + 1):
        try:
            loss = state.step()
        except torch.linalg.LinAlgError:  # moments are no longer finite
            loss = math.inf
        rows.append(
            {
                "part": part,
                "method": method.name,
                "rate": rate,
                "damping": damping,
                "seed": seed,
                "iteration": epoch * steps,
                "seconds": time.process_time() - began,
                "loss": loss,
            }
        )
        if not loss < 100 * first:
            return rows, math.inf
    final = float(data.data_loss(state.network))
    return rows, final if math.isfinite(final) else math.inf


@dataclass
class Best:
    """A method with the settings chosen, and its runs."""

    method: Method
    rate: float | None
    damping: float | None
    runs: list
    finals: list

    def curve(self, key):
        """Return medians over the seeds, epoch by epoch."""
        length = min(len(rows) for rows in self.runs)
        return np.median([[row[key] for row in rows[:length]] for rows in self.runs], axis=0)

    def loss_at(self, seconds):
        """Return the median loss of the last epoch that ends by then."""
        found = []
        for rows in self.runs:
            losses = [row["loss"] for row in rows if row["seconds"] <= seconds]
            found.append(losses[-1] if losses else math.nan)
        return float(np.median(found))


def show(value):
    return "" if value is None else f"{value:.5g}"


def choose(part, method, seeds, epochs, kept):
    """Run the grid with the first seed and the best of it with the others."""
    found = {}
    for rate, damping in itertools.product(method.rates, method.dampings):
        found[rate, damping] = run(part, method, rate, damping, 0, epochs)
        kept += found[rate, damping][0]
    rate, damping = min(found, key=lambda key: found[key][1])
    runs, finals = map(list, zip(found[rate, damping], strict=False))
    for seed in range(1, seeds):
        rows, final = run(part, method, rate, damping, seed, epochs)
        kept += rows
        runs.append(rows)
        finals.append(final)
    tried = ", ".join(
        "/".join(show(value) for value in key if value is not None) + f": {final:.5g}"
        for key, (_, final) in found.items()
    )
    print(f"  {method.name}: {tried}", flush=True)
    return Best(method, rate, damping, runs, finals)


def compare(part, methods, args, epochs=None):
    """Run all methods of an experiment; return what was best, by name, and SGD's longer runs."""
    setting = SETTINGS[part]
    seeds = 1 if args.quick else min(args.seeds, setting.seeds)
    epochs = 2 if args.quick else epochs or setting.epochs
    steps = math.ceil(problem(part).n_samples / setting.batch)
    print(
        f"\n{part}: {'-'.join(map(str, setting.sizes))}, {setting.activation}, batches of {setting.batch}, "
        f"{epochs * steps} iterations, {seeds} seed{'s' if seeds > 1 else ''}"
    )
    print("grid (rate/damping: final loss, seed 0)")
    kept = []
    best = {method.name: choose(part, method, seeds, epochs, kept) for method in methods}
    longest = max(b.curve("seconds")[-1] for b in best.values())
    sgd = best["SGD"]
    more = min(10 * epochs, math.ceil(1.05 * epochs * longest / sgd.curve("seconds")[-1]))
    runs = [run(part, sgd.method, sgd.rate, None, seed, more) for seed in range(seeds)]
    kept += [{**row, "method": "SGD, longer"} for rows, _ in runs for row in rows]
    longer = Best(sgd.method, sgd.rate, None, [rows for rows, _ in runs], [final for _, final in runs])
    write(args.file(part), kept)
    lines = []
    for name, b in best.items():
        losses, seconds = b.curve("loss"), b.curve("seconds")
        at = [max(1, len(losses) * share // 4) - 1 for share in (1, 2, 4)]
        lines.append(
            [
                name,
                show(b.rate),
                show(b.damping),
                *[f"{losses[i]:.5g}" for i in at],
                f"{np.median(b.finals):.5g}",
                f"{seconds[-1]:.1f}",
                f"{1000 * seconds[-1] / (len(seconds) * steps):.1f}",
                "" if name == "SGD" else f"{longer.loss_at(seconds[-1]):.5g}",
            ]
        )
    print()
    its = [f"{max(1, epochs * share // 4) * steps}" for share in (1, 2, 4)]
    table(["method", "rate", "damping", *[f"loss, {i} it." for i in its], "final", "s", "ms/it.", "SGD by then"], lines)
    return best, longer


# parts -----------------------------------------------------------------------------------------------------------


def show_relu(args):
    compare("relu", SETTINGS["relu"].methods, args)
    print("nothing is required here: in the thesis preconditioning gains nothing on this network")
    return []


def show_autoencoder(args):
    X = problem("autoencoder").X
    plateau = float((X - X.mean(0)).square().sum(1).mean() / 2)
    best, longer = compare("autoencoder", SETTINGS["autoencoder"].methods, args)
    print(f"loss of the mean image: {plateau:.4f}; SGD for {longer.runs[0][-1]['iteration']} iterations: ", end="")
    print(f"{longer.finals[0]:.4f}")
    names = [name for name, b in best.items() if b.method.make is not None]
    name = min(names, key=lambda name: np.median(best[name].finals))
    lowest = float(np.median(best[name].finals))
    return [
        (f"autoencoder: {name}, loss / the mean image's", lowest / plateau, 0.999),
        (f"autoencoder: {name}, loss / SGD's", lowest / float(np.median(best["SGD"].finals)), 0.999),
        (
            f"autoencoder: {name}, loss / SGD's of equal time",
            best[name].loss_at(math.inf) / in_time(best[name], longer),
            0.999,
        ),
    ]


def in_time(best, longer):
    """Return SGD's loss in a method's time."""
    return longer.loss_at(best.curve("seconds")[-1])


def show_sigmoid(args):
    best, longer = compare("sigmoid", SETTINGS["sigmoid"].methods, args)
    names = [name for name, b in best.items() if b.method.make is not None]
    name = min(names, key=lambda name: np.median(best[name].finals))
    ours = best[name]
    return [
        (f"sigmoid: {name}, loss / SGD's, equal iterations", ours.curve("loss")[-1] / best["SGD"].curve("loss")[-1], 1),
        (f"sigmoid: {name}, loss / SGD's, equal time", ours.curve("loss")[-1] / in_time(ours, longer), 1),
    ]


def show_extras(args):
    # damping is adapted by the model that rescaling makes: without it ``adapt`` does nothing
    steps = [("second moments", {}), ("+ pi split", {"split": "pi"}), ("+ rescaling", {"rescale": True})]
    steps += [("+ adapted damping", {"adapt": "lm"}), ("+ exact momentum", {"exact_momentum": True})]
    methods, settings = [SETTINGS["sigmoid"].methods[0]], {"inverse_every": 10}
    for name, more in steps:
        settings = {**settings, **more}
        own = "rescale" in settings
        rates = OWN if own else (0.1, 0.3, 1.0)
        dampings = (0.01, 0.1) if "split" in settings else (1e-3, 1e-2)
        methods.append(Method(name, rates, dampings, lambda g, s=settings: moments(g, **s)))
    compare("sigmoid", methods, Arguments(**{**vars(args), "suffix": "extras"}), epochs=10)
    return []


COST = {
    "K-FAC type, every 10": {},
    "the same, rescaling and momentum": {"rescale": True, "exact_momentum": True},
    "low rank 20, every 10": {"structure": "lowrank"},
}


def show_cost(args):
    """Steps of all methods in turn; every turn is two epochs, that is ten steps and one update of moments."""

    def make(structure="dense", **more):
        side = SecondMoment(structure=structure, rank=20, update_every=10)
        return moments(0.1, side, split="pi", inverse_every=10, **more)

    methods = [Method("SGD", (1e-4,))]
    methods += [Method(name, (1e-4,), (0.1,), lambda _, s=s: make(**s)) for name, s in COST.items()]
    states = {method.name: start("autoencoder", method, 1e-4, 0.1, 0) for method in methods}
    for state in states.values():
        state.step()
        state.step()
    rows = []
    for turn in range(1 if args.quick else 3):
        for name, state in states.items():
            began = time.process_time()
            state.step()
            state.step()
            rows.append({"turn": turn, "method": name, "seconds": (time.process_time() - began) / 10})
    write(args.file("cost"), rows)
    turns = {name: np.array([row["seconds"] for row in rows if row["method"] == name]) for name in states}
    ratios = {name: float(np.median(turns[name]) / np.median(turns["SGD"])) for name in states}
    print("\ncost: autoencoder, batches of 1000, seconds per step (medians of turns of ten steps)")
    table(["method", "s", "/ SGD"], [[n, f"{np.median(t):.3f}", f"{ratios[n]:.2f}"] for n, t in turns.items()])
    dense, _, low = COST
    return [(f"cost: {dense}, / SGD", ratios[dense], 2.0), (f"cost: {low}, / SGD", ratios[low], 1.3)]


# command line ----------------------------------------------------------------------------------------------------

PARTS = {
    "relu": show_relu,
    "autoencoder": show_autoencoder,
    "sigmoid": show_sigmoid,
    "extras": show_extras,
    "cost": show_cost,
}


class Arguments(argparse.Namespace):
    suffix = None

    def file(self, part):
        """Return the name of a part's results; quick runs have names of their own."""
        return "-".join(["preconditioning", self.suffix or part, *(["quick"] if self.quick else [])])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all if none is given")
    parser.add_argument("--seeds", type=int, default=3, help="of the classifiers")
    parser.add_argument("--quick", action="store_true", help="two epochs, one seed: does it run?")
    args = parser.parse_args(namespace=Arguments())
    for part in args.parts:
        if part not in PARTS:
            parser.error(f"PART must be one of {', '.join(PARTS)}; got {part}.")
    torch.set_num_threads(1)
    found = []
    for part in args.parts or PARTS:
        found += PARTS[part](args)
    if found:
        print("\nrequired")
        bars(found)


if __name__ == "__main__":
    main()
