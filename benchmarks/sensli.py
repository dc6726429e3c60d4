"""Sensitivity-based layer insertion (SensLI): layers inserted during training, against networks of fixed depth.

**spirals**: two spiral arms of 300 points, 450 of them for training, drawn per seed; two outputs, softmax
cross-entropy, SGD without momentum at a constant rate in float64, no penalty. Initial weights are PyTorch's, uniform
up to one over the root of the number of inputs, as the thesis' programs are in PyTorch; with ``--init glorot`` they are
those of the estimators, by Glorot and Bengio, which are larger: the extended networks then train much better.
Settings are named by the figures of Kreis' thesis (4.11 is 4.7 with ``random`` beside it, so it is one setting
here). For every one

- ``start``: the start network, never extended;
- ``extended``: the architecture after insertion, of new random weights, trained from the start;
- ``SensLI``, ``min``, ``random``: insertion at the largest merit, at the smallest, anywhere (in 4.5a and 4.5b there is
  one position only).

All are trained for the same number of epochs, and the network of the best epoch counts. The variants of one seed share
split, initial network (but for ``extended``) and the order of batches up to the insertion. In 4.9b the rate rises from
0.01 to 0.02 at the epoch of the insertion, for all variants. FLOPs are those of one sample: six per weight and epoch;
a selection costs one such pass of the present network, of which all insertion variants but ``random`` make one per
insertion, and two per entry of each position's gradient. Evaluations of the loss that only report it are not counted;
seconds have them.

**images**: a small convolutional network (stages of 4, 8 and 16 channels, one convolution each at the start) on digits
(8 x 8, 60 epochs) and mnist_5k (28 x 28, 20 epochs: about as many steps), batches of 50, SGD at a rate of 0.01, plain
and with momentum 0.9. As in the thesis up to three insertions, considered after each quarter of the epochs with
tau = 1; merits are taken on 500 images. The extended network is the one SensLI has ended with, of new random weights.
The schedule, which the training loop asks after every epoch, also looks at the clock and keeps the mean loss of the
epoch: that is how losses are resolved in time without merits being computed for it. Compared is the time until SensLI's
loss of an epoch is as small as that of the extended network's last epoch, as a share of all its epochs' time. It is the
process' time on one thread, which other work on the machine hardly touches.

**tabular**: the estimator's defaults against scikit-learn's MLP of as many layers of 100, five folds.

    python -m benchmarks.sensli [spirals images tabular] [--seeds 30] [--only 4.5a 4.7] [--jobs 2]
        [--init glorot] [--quick]
"""

import argparse
import time
import warnings
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from joblib import Parallel, delayed
from scipy.stats import binomtest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks._report import bars, table, write
from benchmarks._tabular_data import CLASSIFICATION
from benchmarks.tabular import column, difference, mean
from skgrow import SensLIClassifier
from skgrow.datasets import make_spirals
from skgrow.growth import AtEpochs, Every, InsertionPolicy
from skgrow.networks import MLP, Activation, ConvNet, ResNet, glorot
from skgrow.training import CrossEntropy, History, Monitor, Problem, StochasticGradient, fit

# spirals: settings -----------------------------------------------------------------------------------------------

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

# spirals: runs ---------------------------------------------------------------------------------------------------


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
        self.learning_rate = self.latest.rate = rate


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


class Selection(InsertionPolicy):
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
    solver = Descent(
        learning_rate=setting.rate,
        batch_size=setting.batch,
        generator=torch.Generator().manual_seed(seed),
        momentum=0.0,
        patience=None,
    )
    policy = Selection(
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
        criterion="objective",
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


# spirals: figures ------------------------------------------------------------------------------------------------


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


# images ----------------------------------------------------------------------------------------------------------

IMAGES = {"digits": (8, 360, 60), "mnist_5k": (28, 1000, 20)}  # edge of an image, test images, epochs
MOMENTUM = {"plain": 0.0, "momentum": 0.9}
CHANNELS = (4, 8, 16)
INSERTIONS = 3
CNN = {
    "architecture": "cnn",
    "solver": "sgd",
    "learning_rate_init": 0.01,
    "batch_size": 50,
    "tau": 1.0,
    "merit_samples": 500,
    "standardize": True,
    "early_stopping": False,
    "device": "cpu",
}


class Clock(Every):
    """Grows every so many epochs, and keeps processor time and mean loss of every epoch."""

    def start(self):
        self.started, self.log = time.process_time(), []
        return self

    def due(self, values, epoch):
        self.log.append((time.process_time() - self.started, values[-1]))
        return super().due(values, epoch)


def fit_cnn(X, y, edge, channels, n_insertions, epochs, momentum, seed):
    """Return the fitted network, and seconds and loss of every epoch."""
    schedule = Clock(epochs // (n_insertions + 1))
    depth = sum(len(stage) if isinstance(stage, tuple) else 1 for stage in channels)
    model = SensLIClassifier(
        image_shape=(edge, edge),
        channels=channels,
        schedule=schedule,
        max_layers=depth + n_insertions,
        max_iter=epochs,
        momentum=momentum,
        random_state=seed,
        **CNN,
    )
    schedule.start()
    model.fit(X, y)
    return model, np.array(schedule.log).T


def stages_after(history):
    """Return what was inserted when, and the channels of all stages then, after every row of the history."""
    stages, found = [[c] for c in CHANNELS], []
    for row in history:
        decision = row.get("decision", "")
        if decision.startswith("insert"):
            position = int(decision.split()[-1])
            stage = 0
            while position >= len(stages[stage]):
                position -= len(stages[stage])
                stage += 1
            stages[stage].insert(position, stages[stage][position])
            decision = f"{decision} after epoch {row['epoch']}"
        found.append((decision, tuple(tuple(stage) for stage in stages)))
    return found


def epoch_flops(history, edge, n_classes):
    """Return the FLOPs per sample of all epochs, one by one."""
    before = tuple((c,) for c in CHANNELS)
    found = []
    for row, (_, after) in zip(history, stages_after(history), strict=True):
        network = ConvNet((1, edge, edge), before, (n_classes,), None, Activation("relu"))
        found += [network.flops] * (row["epoch"] - len(found))
        before = after
    return np.array(found)


def run_images(name, solver, seed):
    torch.set_num_threads(1)
    edge, n_test, epochs = IMAGES[name]
    momentum = MOMENTUM[solver]
    X, y = CLASSIFICATION[name]()
    X, X_test, y, y_test = train_test_split(X, y, test_size=n_test, stratify=y, random_state=seed)
    n_classes = len(np.unique(y))
    model, (seconds, losses) = fit_cnn(X, y, edge, CHANNELS, INSERTIONS, epochs, momentum, seed)
    decisions, stages = zip(*stages_after(model.history_), strict=True)
    other, (their_seconds, their_losses) = fit_cnn(X, y, edge, stages[-1], 0, epochs, momentum, 10_000 + seed)
    plain, (_, start_losses) = fit_cnn(X, y, edge, CHANNELS, 0, epochs, momentum, seed)
    reached = np.flatnonzero(losses <= their_losses[-1])
    at = int(reached[0]) if len(reached) else None
    flops = epoch_flops(model.history_, edge, n_classes)
    their_flops = ConvNet((1, edge, edge), stages[-1], (n_classes,), None, Activation("relu")).flops * epochs
    return {
        "set": name,
        "solver": solver,
        "seed": seed,
        "stages": " ".join("-".join(map(str, stage)) for stage in stages[-1]),
        "insertions": "; ".join(decision for decision in decisions if decision.startswith("insert")),
        "loss_start": start_losses[-1],
        "loss_extended": their_losses[-1],
        "loss_sensli": losses[-1],
        "epochs_until": np.inf if at is None else at + 1,
        "seconds_until": np.inf if at is None else seconds[at],
        "seconds_sensli": seconds[-1],
        "seconds_extended": their_seconds[-1],
        "time_share": np.inf if at is None else seconds[at] / their_seconds[-1],
        "flops_share": np.inf if at is None else flops[: at + 1].sum() / their_flops,
        "accuracy_start": plain.score(X_test, y_test),
        "accuracy_extended": other.score(X_test, y_test),
        "accuracy_sensli": model.score(X_test, y_test),
    }


def show_images(args):
    seeds = 1 if args.quick else 7
    rows, found = [], []
    noise = np.random.default_rng(0).standard_normal((100, 64))
    fit_cnn(noise, np.arange(100) % 10, 8, CHANNELS, 1, 4, 0.9, 0)  # imports, and libraries wake up
    for name, solver in product(IMAGES, MOMENTUM):
        ours = [run_images(name, solver, seed) for seed in range(seeds)]
        rows += ours
        write(args.file("images"), rows)
        print(f"\nimages {name}, {solver}: stages of {CHANNELS} channels, {IMAGES[name][2]} epochs; {seeds} seeds")
        for row in ours:
            print(f"seed {row['seed']}: stages {row['stages']} ({row['insertions'] or 'no insertion'})")
        header = ["seed", "loss: start", "extended", "SensLI", "epochs until", "s until", "of", "share of time"]
        header += ["of FLOPs", "accuracy: start", "extended", "SensLI"]
        keys = ["loss_start", "loss_extended", "loss_sensli", "epochs_until", "seconds_until", "seconds_extended"]
        keys += ["time_share", "flops_share", "accuracy_start", "accuracy_extended", "accuracy_sensli"]
        lines = [[str(row["seed"]), *[f"{row[key]:.4g}" for key in keys]] for row in ours]
        middle = {key: float(np.median([row[key] for row in ours])) for key in keys}
        table(header, [*lines, ["median", *[f"{middle[key]:.4g}" for key in keys]]])
        what = f"{name}, {solver}"
        found.append((f"{what}: time until the extended network's loss, share of its", middle["time_share"], 0.75))
        found.append((f"{what}: accuracy below it", middle["accuracy_extended"] - middle["accuracy_sensli"], 0.0))
    print("\nrequired")
    bars(found)


# tabular ---------------------------------------------------------------------------------------------------------

SETS = ("digits", "wine", "breast_cancer", "spam7", "cells")


def run_tabular(name):
    X, y = CLASSIFICATION[name]()
    rows = []
    for fold, (train, test) in enumerate(StratifiedKFold(5, shuffle=True, random_state=0).split(X, y)):
        scaler = StandardScaler().fit(X[train])
        A, B = scaler.transform(X[train]), scaler.transform(X[test])
        depth = None
        for method in ("SensLI", "MLP"):
            if method == "SensLI":
                model = SensLIClassifier(random_state=0)
            else:
                model = MLPClassifier((100,) * depth, random_state=0)
            started = time.perf_counter()
            model.fit(A, y[train])
            seconds = time.perf_counter() - started
            depth = len(model.coefs_) - 1
            accuracy = float(np.mean(model.predict(B) == y[test]))
            rows.append(
                {"set": name, "method": method, "fold": fold, "depth": depth, "accuracy": accuracy, "seconds": seconds}
            )
    return rows


def show_tabular(args):
    rows, lines, found = [], [], []
    SensLIClassifier(max_iter=2).fit(np.eye(4), [0, 1, 0, 1])  # imports and threads
    for name in SETS:
        rows += run_tabular(name)
        write(args.file("tabular"), rows)
        paired = column(rows, name, "SensLI", "accuracy") - column(rows, name, "MLP", "accuracy")
        behind = difference(rows, name, "MLP", "SensLI", "accuracy")
        found.append((f"{name}: less accurate than MLP, in s.e.", behind, 1))
        lines.append(
            [
                name,
                " ".join(map(str, column(rows, name, "SensLI", "depth"))),
                *[f"{mean(rows, name, method, 'accuracy'):.4f}" for method in ("SensLI", "MLP")],
                f"{paired.mean():+.4f}",
                f"{paired.std(ddof=1) / np.sqrt(len(paired)):.4f}",
                *[f"{mean(rows, name, method, 'seconds'):.2f}" for method in ("SensLI", "MLP")],
            ]
        )
    print("\ntabular: five folds")
    table(["set", "depths", "SensLI", "MLP", "difference", "s.e.", "SensLI s", "MLP s"], lines)
    print("\nrequired")
    bars(found)


# command line ----------------------------------------------------------------------------------------------------

PARTS = {"spirals": show_spirals, "images": show_images, "tabular": show_tabular}


class Arguments(argparse.Namespace):
    def file(self, part, only=None):
        """Return the name of a part's results; runs of less have names of their own."""
        return "-".join(["sensli", part, *(only or []), *(["quick"] if self.quick else [])])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; all if none is given")
    parser.add_argument("--seeds", type=int, help="of the spirals: 30, with --quick 5")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, metavar="SETTING", help="of the spirals")
    parser.add_argument("--jobs", type=int, default=2, help="processes for the spirals")
    parser.add_argument(
        "--init", choices=["pytorch", "glorot"], default="pytorch", help="initial weights of the spirals"
    )
    parser.add_argument("--quick", action="store_true", help="5 seeds for the spirals, one for the images")
    args = parser.parse_args(namespace=Arguments())
    for part in args.parts:
        if part not in PARTS:
            parser.error(f"PART must be one of {', '.join(PARTS)}; got {part}.")
    if args.seeds is None:
        args.seeds = 5 if args.quick else 30
    warnings.simplefilter("ignore", ConvergenceWarning)  # the default MLP stops after 200 epochs
    for part in args.parts or PARTS:
        PARTS[part](args)


if __name__ == "__main__":
    main()
