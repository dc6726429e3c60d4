"""
Fitting through an operator
===========================

With ``operator=H`` a network F is fitted so that HF, and not F itself, meets the targets: derivative data and linear
differential equations are of this form. The derivative of a ReLU network is piecewise constant with a step per neuron,
so the residual falls like one over the number of neurons, and the error of the function itself faster.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch

from skgrow import GrowingRegressor
from skgrow.growth import PolarSearch


def derivative(f, X):
    """Return the derivatives of the columns of f at the points X."""
    return torch.func.jvp(f, (X,), (torch.ones_like(X),))[1]


def with_value_at_zero(rule):
    """Return the operator that takes the value at zero, and ``rule`` elsewhere."""
    return lambda f, X: torch.where(X == 0, f(X), rule(f, X))


x = np.linspace(0, 2, 201)
at_zero = x == 0
weight = np.where(at_zero, len(x) // 2, 1.0)  # the boundary value counts half as much as all else

# %%
# The sine from its derivative and its value at zero.

slopes = np.where(at_zero, 0.0, np.pi * np.cos(np.pi * x))
settings = {"activation": "relu", "search": PolarSearch(n_exchanges=0), "random_state": 0}
sine = GrowingRegressor(operator=with_value_at_zero(derivative), max_neurons=12, **settings)
sine.fit(x[:, None], slopes, sample_weight=weight)

# %%
# The differential equation :math:`y' = -y`, :math:`y(0) = 1`: the targets are one at zero and zero elsewhere.

equation = with_value_at_zero(lambda f, X: derivative(f, X) + f(X))
fine = np.linspace(0, 2, 5001)[1:] - 2e-4  # between the samples as well
sizes, residuals, errors, solutions = [], [], [], []
for width in (3, 6, 12, 24):
    model = GrowingRegressor(operator=equation, max_neurons=width, **settings)
    model.fit(x[:, None], at_zero.astype(float), sample_weight=weight)
    y, (W, a) = model.predict(fine[:, None]), model.coefs_
    active = fine[:, None] @ W + model.intercepts_[0] > 0
    slope = active @ (W[0] * a[:, 0])
    sizes.append(W.shape[1])
    residuals.append(np.sqrt(np.mean((slope + y) ** 2)))
    errors.append(np.abs(y - np.exp(-fine)).max())
    solutions.append(y)
    print(f"{sizes[-1]:2d} neurons: RMS residual {residuals[-1]:.4f}, largest error {errors[-1]:.5f}")

# %%
# Functions, and errors against the number of neurons.

figure, axes = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
left, right, rates = axes
left.plot(x, np.sin(np.pi * x), color="0.7", lw=4, label=r"$\sin \pi x$")
left.plot(x, sine.predict(x[:, None]), label=f"{sine.coefs_[0].shape[1]} neurons")
left.set(title="From the derivative and one value", xlabel="x")
left.legend()
right.plot(fine, np.exp(-fine), color="0.7", lw=4, label=r"$e^{-x}$")
for place in (0, 2):
    right.plot(fine, solutions[place], label=f"{sizes[place]} neurons")
right.set(title="$y' = -y$, $y(0) = 1$", xlabel="x")
right.legend()
N = np.array(sizes)
rates.loglog(N, residuals, "o-", label="RMS residual of the equation")
rates.loglog(N, errors, "s-", label="largest error of $y$")
rates.loglog(N, 0.3 / N, "k--", lw=1, label="$0.3 / N$")
rates.set(title="Error against size", xlabel="neurons N", xticks=sizes, xticklabels=sizes, ylim=(1e-4, 0.15))
rates.minorticks_off()
rates.legend(loc="lower left")
plt.show()
