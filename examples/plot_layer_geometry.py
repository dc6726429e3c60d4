"""
What a preconditioner sees, layer by layer
==========================================

Three networks on the digits: an autoencoder through six sigmoids, a classifier with three layers of ReLUs, and one
with a layer of sigmoids. ``report_layers=True`` writes norms of the gradient, layer by layer, and the spectra of what
the layers see into every row of ``history_``. In the autoencoder the gradients of the layers start orders of magnitude
apart, and gradient descent ends at the mean image, where all of them vanish; with second moments on every layer
training goes on from there, with gradients of one order of magnitude. In the classifiers they have that from the start.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits

from skgrow import PreconditionedMLPClassifier, PreconditionedMLPRegressor
from skgrow.preconditioning import FrobeniusPreconditioner, SecondMoment

X, y = load_digits(return_X_y=True)
X = X / 16

euclidean = FrobeniusPreconditioner("euclidean", "euclidean")
moment = SecondMoment(window="batch")
moments = FrobeniusPreconditioner(moment, moment, damping=1e-3)

settings = {"momentum": 0.0, "max_iter": 120, "n_iter_no_change": 120, "stage_epochs": 3, "batch_size": len(X)}
settings |= {"alpha": 1e-4, "standardize": False, "report_layers": True, "random_state": 0}
autoencoder = PreconditionedMLPRegressor(hidden_layer_sizes=(50, 25, 6, 25, 50), activation="logistic", **settings)
relu = PreconditionedMLPClassifier(hidden_layer_sizes=(30, 30, 30), activation="relu", **settings)
sigmoid = PreconditionedMLPClassifier(hidden_layer_sizes=(30,), activation="logistic", **settings)

# Of rates in steps of three, those with the lowest loss at the end.
networks = {
    "autoencoder": (autoencoder, X, 0.03, 0.1),
    "ReLU classifier": (relu, y, 0.1, 0.03),
    "sigmoid classifier": (sigmoid, y, 1.0, 0.1),
}
models = {}
for name, (model, target, *rates) in networks.items():
    for preconditioner, rate in zip((euclidean, moments), rates, strict=True):
        model.set_params(preconditioner=preconditioner, learning_rate_init=rate)
        models.setdefault(name, []).append(clone(model).fit(X, target))
    plain, ours = (fitted.loss_ for fitted in models[name])
    print(f"{name}: training loss {plain:.4g} by descent, {ours:.4g} with second moments")
print(f"loss of the mean image {np.square(X - X.mean(0)).sum(1).mean() / 2:.4g}")

# %%
# Norms of the gradient, layer by layer, over the steps: of descent; of training with second moments, in the Euclidean
# norm; and of the same in the norm of the layers' inner products, in which its steps are steepest descent. A line is
# flat where steps that raised the loss are taken back.

columns = ("descent: Euclidean norm", "second moments: Euclidean norm", "second moments: their own norm")
figure, axes = plt.subplots(3, 3, figsize=(11, 8.5), sharex=True, layout="constrained")
for line, (name, (plain, ours)) in zip(axes, models.items(), strict=True):
    line[1].sharey(line[0])
    shown = ((plain, "gradient_norms"), (ours, "gradient_norms"), (ours, "preconditioned_norms"))
    for axis, title, (model, key) in zip(line, columns, shown, strict=True):
        norms, steps = np.array([row[key] for row in model.history_]), [row["epoch"] for row in model.history_]
        colours = plt.colormaps["viridis"](np.linspace(0, 0.9, norms.shape[1]))
        for i, colour in enumerate(colours):
            axis.semilogy(steps, norms[:, i], color=colour, label=f"layer {i + 1}")
        if name == "autoencoder":
            axis.set_title(title, fontsize=10)
    line[0].set_ylabel(name)
    line[2].legend(fontsize=7, ncols=2)
for axis in axes[-1]:
    axis.set_xlabel("step")


# %%
# Eigenvalues of the second moments over the steps: above of a layer's inputs and the constant 1, below of the
# derivatives of the loss with respect to its outputs. One eigenvalue of the inputs stands apart: it is that of their
# mean. When the autoencoder leaves the mean image, the derivatives of its first layers grow by orders of magnitude.


def draw_spectra(model, title):
    n_layers, steps = len(model.history_[0]["input_spectra"]), [row["epoch"] for row in model.history_]
    figure, axes = plt.subplots(2, n_layers, figsize=(1.9 * n_layers + 1, 4.6), sharex=True, squeeze=False)
    figure.set_layout_engine("constrained")
    for line, key, label in zip(axes, ("input_spectra", "output_spectra"), ("inputs", "derivatives"), strict=True):
        for i, axis in enumerate(line):
            values = np.array([row[key][i] for row in model.history_])[:, ::-1]
            values = np.where(values > 1e-9 * values.max(), values, np.nan)  # what rounding leaves of zero
            shown = np.unique(np.geomspace(1, values.shape[1], 12).astype(int)) - 1
            for k, colour in zip(shown, plt.colormaps["plasma"](np.linspace(0, 0.85, len(shown))), strict=True):
                axis.semilogy(steps, values[:, k], color=colour, linewidth=1)
            axis.axhline(moments.damping, color="black", linestyle=":", linewidth=1)
            axis.tick_params(labelsize=8)
            if key == "input_spectra":
                axis.set_title(f"layer {i + 1}", fontsize=9)
        line[0].set_ylabel(f"eigenvalues: {label}", fontsize=9)
    figure.suptitle(f"{title} (dotted: damping)", fontsize=10)
    figure.supxlabel("step", fontsize=9)


for name, (_, ours) in models.items():
    draw_spectra(ours, name)
plt.show()
