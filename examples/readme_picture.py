"""Draws docs/growth.png, the picture in the README: errors of a growing network against its number of neurons.

The network sees 300 samples of ten features with noise of standard deviation 1. After every stage of growth it predicts
2000 new samples, which have no part in training. Needs scikit-learn 1.9, whose callbacks see the stages.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.metrics import root_mean_squared_error

from skgrow import GrowingRegressor

PICTURE = Path(__file__).parents[1] / "docs" / "growth.png"
N_TRAIN = 300


class OnNewData:
    """A callback that keeps the error on other data after every stage."""

    def __init__(self, X, y):
        self.X, self.y, self.errors = X, y, []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):  # noqa: ARG002
        if context.task_name == "growth stage":
            self.errors.append(root_mean_squared_error(self.y, fitted_estimator.predict(self.X)))
        return False


def main():
    X, y = make_friedman1(N_TRAIN + 2000, noise=1.0, random_state=0)
    watch = OnNewData(X[N_TRAIN:], y[N_TRAIN:])
    est = GrowingRegressor(activation="tanh", random_state=0).set_callbacks(watch).fit(X[:N_TRAIN], y[:N_TRAIN])
    returned = root_mean_squared_error(y[N_TRAIN:], est.predict(X[N_TRAIN:]))

    # The history is in units of the target's deviation; its training loss is half the mean squared error.
    unit = y[:N_TRAIN].std()
    grown = [i for i, row in enumerate(est.history_) if row["accepted"] and row["action"] in ("start", "grow")]
    neurons = [est.history_[i]["architecture"][1] for i in grown]
    training = [unit * np.sqrt(2 * est.history_[i]["train_loss"]) for i in grown]
    estimated = [unit * np.sqrt(-est.history_[i]["criterion"]) for i in grown]
    new = [watch.errors[i] for i in grown]
    for line in zip(neurons, training, estimated, new, strict=True):
        print("{:3} neurons: training {:.2f}, estimated {:.2f}, new data {:.2f}".format(*line))
    print(f"{est.architecture_[1]:3} neurons are returned: new data {returned:.2f}")

    figure, axes = plt.subplots(figsize=(7.2, 4), layout="constrained")
    axes.plot(neurons, estimated, "s--", color="#2166ac", label="error on new data, estimated from the training data")
    axes.plot(neurons, new, "o-", color="#b2182b", label="error on 2000 new samples, not used in training")
    axes.plot(neurons, training, "^-", color="0.6", label="error on the 300 training samples")
    axes.plot(est.architecture_[1], returned, "*", color="black", ms=18, zorder=4)
    axes.annotate(
        "this network is returned:\nthe estimate is smallest here",
        (est.architecture_[1], returned),
        (est.architecture_[1] + 0.3, 2.05),
        arrowprops={"arrowstyle": "-", "lw": 1, "shrinkB": 7},
    )
    axes.axhline(1, color="black", lw=1, ls=":")
    axes.annotate("noise: no model does better", (neurons[0], 1), (0, -12), textcoords="offset points", fontsize=9)
    axes.set(xlabel="hidden neurons", ylabel="prediction error (RMSE)", ylim=(0.5, 5.6), xticks=neurons)
    axes.set_title("A growing network on 300 samples of friedman1", fontsize=11)
    axes.legend(fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(PICTURE, dpi=100)
    print(f"written: {PICTURE}")


if __name__ == "__main__":
    main()
