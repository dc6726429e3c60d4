"""
Growing a classifier
====================

Two interleaved half moons with noise: ``GrowingClassifier`` needs no width, no rate and no penalty. The number of
neurons, the weight decay and the activation are found by the evidence. Its probabilities are held against those
of an ``MLPClassifier``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

from skgrow import GrowingClassifier

X, y = make_moons(600, noise=0.25, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.5, random_state=0)

models = {
    "GrowingClassifier": GrowingClassifier(random_state=0).fit(X_train, y_train),
    "MLPClassifier": MLPClassifier(random_state=0, max_iter=2000).fit(X_train, y_train),
}
for name, model in models.items():
    neurons = sum(W.shape[1] for W in model.coefs_[:-1])
    loss = log_loss(y_test, model.predict_proba(X_test))
    print(f"{name}: {neurons} neurons, accuracy {model.score(X_test, y_test):.3f}, cross-entropy {loss:.3f}")

# %%
# Probabilities on the plane, with the held-out points.

grid = np.stack(np.meshgrid(np.linspace(-2, 3, 200), np.linspace(-1.5, 2, 200)), -1)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for axis, (name, model) in zip(axes, models.items(), strict=True):
    P = model.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(200, 200)
    image = axis.contourf(grid[..., 0], grid[..., 1], P, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.8)
    axis.contour(grid[..., 0], grid[..., 1], P, levels=[0.5], colors="black", linewidths=1)
    for label, marker in enumerate("os"):
        axis.scatter(
            *X_test[y_test == label].T, s=12, marker=marker, c=["#2166ac", "#b2182b"][label], edgecolors="white", lw=0.4
        )
    axis.set_title(name)
figure.colorbar(image, ax=axes, label="probability of the second class")
plt.show()
