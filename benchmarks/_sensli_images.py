"""The images of ``benchmarks.sensli``, where they are described."""

import time
from itertools import product

import numpy as np
import torch
from sklearn.model_selection import train_test_split

from benchmarks._report import bars, table, write
from benchmarks._tabular_data import CLASSIFICATION
from skgrow import SensLIClassifier
from skgrow.insertion import Selection
from skgrow.networks import Activation, CNNArchitecture, ConvNet
from skgrow.training import Every

IMAGES = {"digits": (8, 360, 60), "mnist_5k": (28, 1000, 20)}  # edge of an image, test images, epochs
MOMENTUM = {"plain": 0.0, "momentum": 0.9}
CHANNELS = (4, 8, 16)
INSERTIONS = 3
CNN = {
    "solver": "sgd",
    "learning_rate_init": 0.01,
    "batch_size": 50,
    "tau": 1.0,
    "selection": Selection(merit_samples=500),
    "standardize": True,
    "alpha": 1e-4,
    "early_stopping": False,
    "device": "cpu",
}


class Clock(Every):
    """Grows every so many epochs, and keeps processor time and mean loss of every epoch.

    Both are kept by the class, since a fit works with a copy of its schedule.
    """

    started, log = 0.0, []

    def due(self, values, epoch):
        Clock.log.append((time.process_time() - Clock.started, values[-1]))
        return super().due(values, epoch)


def fit_cnn(X, y, edge, channels, n_insertions, epochs, momentum, seed):
    """Return the fitted network, and seconds and loss of every epoch."""
    depth = sum(len(stage) if isinstance(stage, tuple) else 1 for stage in channels)
    model = SensLIClassifier(
        architecture=CNNArchitecture(image_shape=(edge, edge), channels=channels),
        schedule=Clock(epochs // (n_insertions + 1)),
        max_layers=depth + n_insertions,
        max_iter=epochs,
        momentum=momentum,
        random_state=seed,
        **CNN,
    )
    Clock.started, Clock.log = time.process_time(), []
    model.fit(X, y)
    return model, np.array(Clock.log).T


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
