"""
Layers where the loss is most sensitive
=======================================

Two spirals are too much for one hidden layer of five ReLUs. ``SensLIClassifier`` starts with it and inserts layers
while it is trained: the merit of a layer at every position is read off one forward-backward pass of the network as it
is, and the layer goes where the merit is largest. At that moment the function stays as it is.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import train_test_split

from skgrow import SensLIClassifier
from skgrow.datasets import make_spirals
from skgrow.training import Every

X, y = make_spirals(600, random_state=0)
X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=450, random_state=0)

settings = {
    "hidden_layer_sizes": (5,),
    "solver": "sgd",
    "learning_rate_init": 0.02,
    "batch_size": 45,
    "alpha": 1e-4,
    "max_iter": 800,
    "random_state": 3,
}
models = {
    "as it starts": SensLIClassifier(max_layers=1, schedule=Every(200), **settings).fit(X_train, y_train),
    "with insertion": SensLIClassifier(max_layers=4, schedule=Every(200), **settings).fit(X_train, y_train),
}
for name, model in models.items():
    error = 1 - model.score(X_test, y_test)
    print(f"{name}: layers {model.architecture_}, training loss {model.loss_:.4f}, test error {error:.3f}")

# %%
# What happened at every checkpoint: merits relative to the mean squared gradient, the decision and its reason.

for row in models["with insertion"].history_:
    ratios = ", ".join(f"{ratio:.2f}" for ratio in row["merit_ratios"])
    print(f"epoch {row['epoch']:3d}  loss {row['train_loss']:.4f}  merits {ratios:24s} -> {row['decision']}")
    print(f"    {row['reason']}")

# %%
# Loss and decision regions.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.5), layout="constrained")
for (name, model), colour in zip(models.items(), ("#999999", "#2166ac"), strict=True):
    axes[0].semilogy(model.loss_curve_, label=name, color=colour)
inserted = [row["epoch"] for row in models["with insertion"].history_ if row["decision"].startswith("insert")]
for epoch in inserted:
    axes[0].axvline(epoch, color="black", linestyle=":", linewidth=1)
axes[0].set(xlabel="epoch", ylabel="training loss", title="dotted: a layer is inserted")
axes[0].legend()
grid = np.stack(np.meshgrid(*[np.linspace(-1.7, 1.7, 200)] * 2), -1)
for axis, (name, model) in zip(axes[1:], models.items(), strict=True):
    P = model.predict_proba(grid.reshape(-1, 2))[:, 1].reshape(200, 200)
    axis.contourf(grid[..., 0], grid[..., 1], P, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.8)
    for label in (0, 1):
        axis.scatter(*X_test[y_test == label].T, s=10, c=["#2166ac", "#b2182b"][label], edgecolors="white", lw=0.3)
    axis.set(title=f"{name}: {'-'.join(map(str, model.architecture_))}", aspect="equal")
plt.show()
