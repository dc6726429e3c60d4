"""
=========================================
Where a network does not know the answer
=========================================

``predict(X, return_std=True)`` gives the standard deviation of the predictive distribution: the noise in the data and
the uncertainty of the weights together. The weights' covariance comes from the Gauss-Newton matrix that training used
anyway (the Laplace approximation), so it costs next to nothing.

Here is a noisy sine with a gap in the data.
"""

import matplotlib.pyplot as plt
import numpy as np

from skgrow import GrowingRegressor

rng = np.random.default_rng(0)
x = np.concatenate([rng.uniform(0, 4, 120), rng.uniform(6, 10, 120)])
noise = 0.15
X, y = x[:, None], np.sin(x) + noise * rng.normal(size=x.size)

# %%
# The default grows a ReLU and a tanh network and averages them. Where they disagree the average is less certain.

est = GrowingRegressor(random_state=0).fit(X, y)
print(f"{est.activation_}, {est.architecture_[1]} neurons")
print(f"estimated noise {est.noise_variance_**0.5:.3f}, true noise {noise}")

grid = np.linspace(-1, 11, 600)[:, None]
mean, std = est.predict(grid, return_std=True)

# %%
# Where there is data the band is as wide as the noise. In the gap and beyond the ends it opens.

fig, ax = plt.subplots(figsize=(8, 4), layout="constrained")
ax.plot(x, y, ".", color="gray", markersize=4, label="data")
ax.plot(grid, np.sin(grid), "k--", linewidth=1, label="truth")
(line,) = ax.plot(grid, mean, label="mean")
ax.fill_between(grid[:, 0], mean - 2 * std, mean + 2 * std, alpha=0.25, color=line.get_color(), label="± 2 std")
ax.axvspan(4, 6, color="black", alpha=0.05)
ax.set(xlabel="x", ylabel="y", ylim=(-3, 3))
ax.legend(loc="lower left", ncols=4)
plt.show()

# %%
# Of new data like the training data, about 95 % should lie within two standard deviations.

x_new = np.concatenate([rng.uniform(0, 4, 1000), rng.uniform(6, 10, 1000)])
y_new = np.sin(x_new) + noise * rng.normal(size=x_new.size)
mean, std = est.predict(x_new[:, None], return_std=True)
print(f"inside the band: {np.mean(np.abs(y_new - mean) < 2 * std):.1%}")
