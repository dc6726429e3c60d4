"""The spirals of ``benchmarks.sensli``, where they are described."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy.stats import binomtest

from benchmarks._report import bars, table, write
from skgrow.datasets import make_spirals
from skgrow.insertion import InsertionPolicy
from skgrow.networks import MLP, Activation, ResNet, glorot
from skgrow.problem import CrossEntropy, Problem
from skgrow.solvers import StochasticGradient
from skgrow.training import AtEpochs, History, Monitor, fit

# settings -----------------------------------------------------------------------------------------------

SELECTIONS = {"SensLI": "max", "min": "min", "random": "random"}
FULL, BATCH = 450, 45


@dataclass(frozen=True)
class Setting:
    """A figure of the thesis: network, epochs of insertion and in all, batches and learning rate."""

    kind: str
    sizes: tuple
    at: tuple
    epochs: int
    batch: int
    rate: float
    rate_after: float | None = None
    variants: tuple = ("start", "extended", "SensLI", "min", "random")

    def network(self, more=0):
        """Return the start network with some layers more, without weights."""
        d, *hidden, c = self.sizes
        sizes = (d, *hidden, *[hidden[-1]] * more, c)
        if self.kind == "MLP":
            return MLP(sizes, None, Activation("relu"))
        return ResNet(sizes, None, Activation("tanh"), bias=False)

    @property
    def allowed_flops(self):
        return 0.87 if len(self.at) == 1 else 0.76


SETTINGS = {
    "4.5a": Setting("MLP", (2, 5, 2), (450,), 1850, FULL, 0.2, variants=("start", "extended", "SensLI", "min")),
    "4.5b": Setting("MLP", (2, 5, 2), (450,), 1850, BATCH, 0.01, variants=("start", "extended", "SensLI")),
    "4.5c": Setting("ResNet", (2, 3, 3, 2), (450,), 1850, FULL, 0.1),
    "4.7": Setting("ResNet", (2, 3, 3, 2), (100, 200, 300), 500, BATCH, 0.01),
    "4.9a": Setting("MLP", (2, 4, 4, 2), (450,), 1850, FULL, 0.2),
    "4.9b": Setting("MLP", (2, 10, 10, 2), (250,), 550, BATCH, 0.01, 0.02),
    "4.9c": Setting("ResNet", (2, 3, 3, 3, 2), (450,), 1850, FULL, 0.1),
}
FULL_BATCH = [name for name, setting in SETTINGS.items() if setting.batch == FULL]

# runs ---------------------------------------------------------------------------------------------------


def spirals(seed):
    """Return problems of training and of test."""
    X, y = make_spirals(600, shuffle=False)
    order = np.random.default_rng(seed).permutation(600)
    return [
        Problem(torch.tensor(X[rows]), torch.eye(2, dtype=torch.float64)[y[rows]], loss=CrossEntropy())
        for rows in (order[:450], order[450:])
    ]


class Descent(StochasticGradient):
    """Gradient descent whose rate can be set while it runs."""

    def start(self, *args):
        self.latest = super().start(*args)
        return self.latest

    def set_rate(self, rate):
        self.learning_rate_init = self.latest.rate = rate


class Budget(Monitor):
    """Ends training after all epochs, changes the rate at the insertion, and counts what the epochs cost."""

    def __init__(self, setting, solver):
        super().__init__()
        self.setting, self.solver = setting, solver
        self.counted, self.flops = 0, 0.0

    def iteration(self, value):
        super().iteration(value)
        self.stopped = self.stopped or self.epoch >= self.setting.epochs
        if self.setting.rate_after is not None and self.epoch == self.setting.at[0]:
            self.solver.set_rate(self.setting.rate_after)

    def stage(self, row, network):  # noqa: ARG002
        self.flops += (self.epoch - self.counted) * network.flops
        self.counted = self.epoch


class CountedInsertion(InsertionPolicy):
    """Also counts what its merits cost."""

    flops = 0.0

    def measure(self, network, row):
        widths = (
            network.layer_sizes[1:-1]
            if isinstance(network, MLP)
            else (network.layer_sizes[1],) * (network.n_insertion_points)
        )
        self.flops += network.flops + 2 * sum(width**2 for width in widths)
        return super().measure(network, row)


def initial(network, seed, init, like):
    """Return a network of random weights."""
    if init == "glorot":
        return glorot(network, seed, like)
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for shape, (w, b) in zip(network.shapes, network.slices, strict=True):
        uniform = torch.rand(b.stop - w.start, generator=generator, dtype=torch.float64)
        parts.append((2 * uniform - 1) / shape[1] ** 0.5)
    return network.with_theta(torch.cat(parts).to(like))


def run_variant(setting, variant, seed, init):
    """Return what a variant ends with."""
    torch.set_num_threads(1)
    training, test = spirals(seed)
    inserts = variant in SELECTIONS
    template = setting.network(len(setting.at) if variant == "extended" else 0)
    network = initial(template, seed + 10_000 * (variant == "extended"), init, training.X)
    solver = Descent(setting.rate, learning_rate="constant", batch_size=setting.batch, momentum=0.0)
    solver = solver.seeded(torch.Generator().manual_seed(seed))
    policy = CountedInsertion(
        problem=training,
        schedule=AtEpochs(setting.at if inserts else ()),
        norm="frobenius",
        merit_samples=None,
        tau=0.0,
        n_insert=1,
        max_layers=template.depth + len(setting.at),
        selection=SELECTIONS.get(variant, "max"),
        generator=torch.Generator().manual_seed(seed),
    )
    monitor, history = Budget(setting, solver), History()
    started = time.perf_counter()
    best = fit(
        network,
        training,
        solver,
        policy,
        policy.schedule,
        max_iter=setting.epochs,
        monitor=monitor,
        history=history,
    )
    seconds = time.perf_counter() - started
    selection = 0.0 if variant == "random" else policy.flops
    with torch.no_grad():
        wrong = best.network(test.X).argmax(1) != test.Y.argmax(1)
    decisions = [row["decision"] for row in history if row.get("decision", "").startswith("insert")]
    return {
        "variant": variant,
        "seed": seed,
        "architecture": "-".join(map(str, best.network.layer_sizes)),
        "parameters": best.network.n_parameters,
        "epochs": monitor.epoch,
        "positions": " ".join(decision.split()[-1] for decision in decisions),
        "loss": best.loss,
        "test_error": float(wrong.double().mean()),
        "flops": monitor.flops + selection,
        "selection_flops": selection,
        "seconds": seconds,
    }


def run_seed(name, seed, init):
    setting = SETTINGS[name]
    return [{"setting": name, **run_variant(setting, variant, seed, init)} for variant in setting.variants]


# figures ------------------------------------------------------------------------------------------------


def values(rows, name, variant, key):
    """Return a column of one setting and variant, ordered by seed."""
    return np.array([row[key] for row in rows if row["setting"] == name and row["variant"] == variant])


def median(rows, name, variant, key):
    return float(np.median(values(rows, name, variant, key)))


def quartiles(found, digits):
    low, middle, high = np.percentile(found, [25, 50, 75])
    return [f"{middle:{digits}}", f"{low:{digits}}-{high:{digits}}"]


def spirals_table(rows, name):
    header = ["variant", "architecture", "param.", "loss", "quartiles", "test error", "quartiles"]
    header += ["kFLOP/sample", "/ extended", "selection", "s"]
    lines = []
    for variant in SETTINGS[name].variants:
        row = next(row for row in rows if row["setting"] == name and row["variant"] == variant)
        flops, selection = (median(rows, name, variant, key) for key in ("flops", "selection_flops"))
        lines.append(
            [
                variant,
                row["architecture"],
                str(row["parameters"]),
                *quartiles(values(rows, name, variant, "loss"), ".4f"),
                *quartiles(values(rows, name, variant, "test_error"), ".3f"),
                f"{flops / 1000:.1f}",
                f"{flops / median(rows, name, 'extended', 'flops'):.3f}",
                f"{selection / flops:.2%}" if selection else "",
                f"{median(rows, name, variant, 'seconds'):.2f}",
            ]
        )
    table(header, lines)


def wins(rows, names):
    """Print in how many seeds SensLI ends lower than the others, with the sign test's probability."""
    lines = []
    for name in names:
        ours = values(rows, name, "SensLI", "loss")
        for other in SETTINGS[name].variants:
            if other != "SensLI":
                theirs = values(rows, name, other, "loss")
                lower, higher = int((ours < theirs).sum()), int((ours > theirs).sum())
                p = binomtest(lower, lower + higher).pvalue if lower + higher else 1.0
                same = len(ours) - lower - higher
                ratio = np.median(ours / theirs)
                lines.append([f"{name}: {other}", str(lower), str(same), str(higher), f"{ratio:.3f}", f"{p:.2g}"])
    table(["SensLI's loss against that of", "lower", "same", "higher", "median ratio", "p (sign test)"], lines)


def spirals_bars(rows, names):
    found = []
    for name in names:
        setting = SETTINGS[name]
        ours = {key: median(rows, name, "SensLI", key) for key in ("loss", "flops", "selection_flops")}
        found.append((f"{name}: median loss / start network's", ours["loss"] / median(rows, name, "start", "loss"), 1))
        if len(setting.at) > 1:
            others = median(rows, name, "extended", "loss")
            found.append((f"{name}: median loss / extended network's", ours["loss"] / others, 1))
        if name in FULL_BATCH:
            found.append((f"{name}: median loss / min's", ours["loss"] / median(rows, name, "min", "loss"), 1))
        share = ours["flops"] / median(rows, name, "extended", "flops")
        found.append((f"{name}: FLOPs / extended network's", share, setting.allowed_flops))
        found.append((f"{name}: selection, share of FLOPs", ours["selection_flops"] / ours["flops"], 0.01))
    return found


def show_spirals(args):
    rows, names = [], args.only or list(SETTINGS)
    for name in names:
        setting = SETTINGS[name]
        found = Parallel(n_jobs=args.jobs)(delayed(run_seed)(name, seed, args.init) for seed in range(args.seeds))
        rows += [row for of_seed in found for row in of_seed]
        part = "spirals" if args.init == "pytorch" else f"spirals-{args.init}"
        write(args.file(part, args.only), rows)
        print(
            f"\nspirals {name}: {setting.kind}, batches of {setting.batch}, rate {setting.rate}, "
            f"insertion after {', '.join(map(str, setting.at))} of {setting.epochs} epochs; {args.seeds} seeds"
        )
        spirals_table(rows, name)
    print()
    wins(rows, names)
    print("\nrequired")
    bars(spirals_bars(rows, names))
