"""A growing network on real data and on a ridge function, beside scikit-learn's MLPRegressor.

Prints how both networks grew and how well they predict data held out, and draws the growth curves to
build/growth_curve.png.
"""

import os

# Small networks gain nothing from more threads. NumPy and PyTorch read this when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
import warnings
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgrow import GrowingRegressor, GrowthCurveDisplay
from skgrow.datasets import free_knot_limit, make_ridge

PICTURE = Path(__file__).parents[1] / "build" / "growth_curve.png"


def standardised_mlp():
    return TransformedTargetRegressor(
        make_pipeline(StandardScaler(), MLPRegressor(random_state=0)), transformer=StandardScaler()
    )


def compare(title, growing, X, X_test, y, y_test):
    """Fit the growing network and MLPRegressor, print path and scores, and return the former."""
    print(f"\n{title}: {len(X)} samples of {X.shape[1]} features, {len(X_test)} held out")
    models = {
        "GrowingRegressor": growing,
        "MLPRegressor": MLPRegressor(random_state=0),
        "MLPRegressor, standardised": standardised_mlp(),
    }
    lines = []
    for name, model in models.items():
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(X, y)
        seconds = time.perf_counter() - started
        network = model.regressor_[-1] if isinstance(model, TransformedTargetRegressor) else model
        predicted = model.predict(X_test)
        neurons, error = network.coefs_[-1].shape[0], root_mean_squared_error(y_test, predicted)
        lines.append(f"{name:<27}{neurons:>8}{error:>15.4g}{r2_score(y_test, predicted):>12.5f}{seconds:>9.2f}")
    print_path(growing)
    print(f"\n{'held out':<27}{'neurons':>8}{'RMSE':>15}{'R^2':>12}{'seconds':>9}")
    print("\n".join(lines))
    return growing


def print_path(est):
    """Print one line per stage of growth, one activation after the other.

    The training loss is half the mean squared error in standardised units; the mean squared error on new
    data is estimated in the same units, and decides.
    """
    print(f"fitted: {est.activation_}")
    columns = "stage             neurons  params  train loss  estimated  log evidence  indicator  seconds"
    print(f"  {'activation':<22}{columns}")
    for row in est.history_:
        stage = row["action"] if row["accepted"] else f"{row['action']} (undone)"
        evidence, indicator = row["log_evidence"], row.get("indicator", np.nan)
        print(
            f"  {row['activation']:<22}{stage:<18}{row['architecture'][-2]:>7}{row['n_parameters']:>8}"
            f"{row['train_loss']:>12.3e}{-row['criterion']:>11.3e}"
            f"{'' if np.isnan(evidence) else f'{evidence:.1f}':>14}"
            f"{'' if np.isnan(indicator) else f'{indicator:.3f}':>11}{row['time']:>9.2f}"
        )


def main():
    diabetes = compare(
        "diabetes",
        GrowingRegressor(random_state=0),
        *train_test_split(*load_diabetes(return_X_y=True), random_state=0),
    )
    ridge = compare(
        "(x + y)^2 / 2",
        GrowingRegressor(activation="relu", max_neurons=21, random_state=0),
        *train_test_split(*make_ridge("2d", 4000, random_state=0), test_size=0.5, random_state=0),
    )
    limit = free_knot_limit("2d", ridge.architecture_[1])
    print(f"(the best piecewise linear function with as many knots has RMSE {limit:.3g})")

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    GrowthCurveDisplay.from_estimator(diabetes, ax=axes[0], x="neurons", metric="criterion")
    GrowthCurveDisplay.from_estimator(ridge, ax=axes[1])
    axes[0].set_title("diabetes: the criterion says when to stop")
    axes[1].set_title("(x + y)² / 2: the loss falls as the network grows")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=120)
    print(f"\nwritten: {PICTURE}")


if __name__ == "__main__":
    main()
