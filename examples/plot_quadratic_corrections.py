"""
One coarse grid correction, and where it should look
====================================================

Stochastic gradient descent on a quadratic of 50 parameters, interrupted once: after 50 steps a problem of 25 parameters
is built on eigenvectors of the matrix, gets 50 steps of its own, and what it has learned is added. Which eigenvectors
help most? At the rate 0.01 those of the smallest eigenvalues, at 0.001 those of the largest: Figures 3.1 and 3.2 of L.
Kreis' thesis. At the small rate the smallest are not even tried, as they see too little of the gradient.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import special_ortho_group

from skgrow.multilevel import Subspace, eigenbasis, mgopt_quadratic

rng = np.random.RandomState(0)
eigenvalues = np.r_[rng.uniform(0.1, 0.5, 25), rng.uniform(1, 5, 25)]
Q = special_ortho_group.rvs(50, random_state=rng)
A, b, start = Q.T @ (eigenvalues[:, None] * Q), rng.normal(size=50), rng.normal(size=50)
least = -b @ np.linalg.solve(A, b) / 2

figure, panels = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
colors = {"largest": "tab:red", "smallest": "tab:green", "random": "tab:orange"}
settings = {"theta0": start, "n_iter": 201, "coarse_steps": 50, "noise": (0.1, 0.1), "random_state": 0}
for panel, rate in zip(panels, (0.01, 0.001), strict=True):
    for which, color in colors.items():
        transfer = Subspace(eigenbasis(A, 25, which, random_state=0))
        result = mgopt_quadratic(
            A, b, transfer, learning_rate=rate, kappa=0.25, least_gradient=0.001, correct_at=[50], **settings
        )
        share, done = result.corrections[0].share, result.corrections[0].computed
        print(f"rate {rate}, {which}: {share:.0%} of the gradient, loss {result.losses[51] - least:.1f} after the step")
        panel.plot(result.losses - least, color=color, label=which if done else f"{which} (not corrected)")
    descent = mgopt_quadratic(A, b, transfer, learning_rate=rate, correct_at=(), **settings)
    panel.plot(descent.losses - least, color="tab:blue", linestyle="--", label="none")
    panel.set(xlabel="iteration", title=f"rate {rate}", ylim=(0, None))
    panel.legend(title="eigenvalues")
panels[0].set_ylabel("loss above the least")
plt.show()

# %%
# Why: k steps of rate :math:`\alpha` multiply the error in the eigenvector of :math:`\lambda` by
# :math:`(1 - \alpha\lambda)^k`. Below is what fifty coarse steps can then gain there, on the average over right-hand
# sides and starts from the standard normal distribution. After 50 steps of rate 0.01 descent has dealt with the large
# eigenvalues; after 50 of rate 0.001 it has hardly begun. So it is the rate times the number of steps that counts:
# the small rate shows the picture of the moderate one after ten times as many steps. Had descent started from zero,
# the errors would be b over the eigenvalue, and the smallest eigenvalues the better choice at both rates.

figure, axes = plt.subplots(figsize=(6, 3.8), layout="constrained")
grid = np.linspace(0.1, 5, 200)
for rate, style in ((0.01, "-"), (0.001, "--")):
    for squared_error, color, name in ((1 + grid**-2, "k", "normal start"), (grid**-2, "tab:gray", "start from zero")):
        left = (1 - rate * grid) ** 100
        axes.plot(grid, grid / 2 * squared_error * left * (1 - left), style, color=color, label=f"rate {rate}, {name}")
axes.axvspan(0.1, 0.5, color="tab:green", alpha=0.15)
axes.axvspan(1, 5, color="tab:red", alpha=0.1)
axes.set(xlabel="eigenvalue", ylabel="expected gain", xlim=(0, 5.1), ylim=(0, 0.9))
axes.legend(loc="upper left")
plt.show()
