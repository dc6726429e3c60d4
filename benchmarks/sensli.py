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

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from benchmarks._report import bars, table, write
from benchmarks._sensli_images import show_images
from benchmarks._sensli_spirals import SETTINGS, show_spirals
from benchmarks._tabular_data import CLASSIFICATION
from benchmarks.tabular import column, difference, mean
from skgrow import SensLIClassifier

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
