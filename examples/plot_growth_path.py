"""
=============================
How a network finds its width
=============================

A network with too few neurons cannot follow the data, one with too many learns the noise. ``GrowingRegressor`` starts
without any hidden neuron and adds them where they lower the loss the most. Two numbers tell from the training data
alone whether that paid: the error on new data that generalised cross-validation (GCV) estimates, and the log evidence,
the probability of the data under the whole family of networks of that width. Both reward a better fit and charge for
every parameter that the data has to determine. No validation data is needed.
"""

# %%
# Data with a known answer
# ------------------------
#
# A smooth bump and a slope, with noise of standard deviation 0.15.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgrow import GrowingRegressor, GrowthCurveDisplay

rng = np.random.default_rng(0)


def truth(x):
    return np.exp(-20 * (x - 0.3) ** 2) + 0.5 * x


X = rng.uniform(size=(100, 1))
y = truth(X[:, 0]) + 0.15 * rng.normal(size=100)

est = GrowingRegressor(activation="relu", random_state=0).fit(X, y)
print(f"{est.architecture_[1]} neurons, estimated noise {est.noise_variance_**0.5:.3f}")

# %%
# The path
# --------
#
# Every row of ``history_`` is a stage. The training loss always falls while the network grows; the estimated error on
# new data falls, and the evidence rises, only as long as the new neurons explain more than they cost. Growth goes on
# for a few stages after the best one, in case that changes, and the network of the smallest estimated error is
# returned. At last some neurons are exchanged for better ones, where that helps.

fig, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
for ax, metric in zip(axes, ("train_loss", "gcv", "log_evidence"), strict=True):
    GrowthCurveDisplay.from_estimator(est, ax=ax, x="neurons", metric=metric)
plt.show()

# %%
# What was learned
# ----------------
#
# Three networks: one that had to stop too early, the one that was grown, and one of a hundred neurons without a
# penalty.

grid = np.linspace(0, 1, 500)[:, None]
small = GrowingRegressor(activation="relu", max_neurons=2, random_state=0).fit(X, y)
large = make_pipeline(
    StandardScaler(),
    MLPRegressor(hidden_layer_sizes=(100,), solver="lbfgs", alpha=0, max_iter=5000, random_state=0),
).fit(X, y)

fig, axes = plt.subplots(1, 3, figsize=(11, 3.4), sharey=True, layout="constrained")
for ax, model, network in zip(axes, (small, est, large), (small, est, large[-1]), strict=True):
    error = np.sqrt(np.mean((model.predict(grid) - truth(grid[:, 0])) ** 2))
    ax.plot(X[:, 0], y, ".", color="lightgray", markersize=4)
    ax.plot(grid[:, 0], truth(grid[:, 0]), "k--", linewidth=1, label="truth")
    ax.plot(grid[:, 0], model.predict(grid), label="network")
    ax.set(title=f"{network.coefs_[0].shape[1]} neurons, error {error:.3f}", xlabel="x")
axes[0].legend()
plt.show()

# %%
# Would growing more pay?
# -----------------------
#
# ``growth_indicator_`` is twice the cosine of the angle between the residual and the best new block of neurons: 2 where
# one more block would remove the residual, near 0 where no network of moderate size can halve the loss. What is left
# over here is noise.

print(f"at the start      {est.history_[0]['indicator']:.2f}")
print(f"of the network    {est.growth_indicator_:.2f}")
