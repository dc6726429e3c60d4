"""
============================================
A network that is stuck, and one more neuron
============================================

Wide networks are said to have no bad stationary points. From small initial weights that is not so: gradient descent on
ReLU networks first aligns the neurons with a few directions that depend on the data alone, and many neurons of one
direction are as good as one (Maennel, Bousquet and Gelly, "Gradient descent quantizes ReLU network features"). Where
these directions do not suffice to fit the data, training stops, however wide the network is.

A network that grows need not wait for luck: the polar problem has the neuron that is missing.
"""

# %%
# Twenty networks
# ---------------
#
# Five points without noise, and fifty neurons: 150 weights for five equations. The networks differ in their initial
# weights, from a truncated normal distribution of standard deviation 0.01, and are trained side by side as one tensor.

from collections import Counter

import matplotlib.pyplot as plt
import torch

from skgrow.growth import exact_neuron
from skgrow.networks import Activation

torch.set_default_dtype(torch.float64)
x = torch.arange(-2.0, 3.0)
y = torch.tensor([1.0, 0.0, 1.0, 0.0, 1.0])
n_networks, n_neurons, size, n_steps, rate = 20, 50, 0.01, 6000, 0.02


def hidden(w, b, x):
    return (w[:, None] * x[:, None] + b[:, None]).clamp_min(0)  # networks x points x neurons


def predict(w, b, a, x):
    return (hidden(w, b, x) @ a[..., None])[..., 0]


def descend(w, b, a):
    """Gradient descent on half the sum of squares; returns the weights and the loss after every tenth step."""
    losses = []
    for step in range(n_steps):
        H = hidden(w, b, x)
        r = y - (H @ a[..., None])[..., 0]
        if step % 10 == 0:
            losses.append(r.square().sum(1) / 2)
        on = r[..., None] * (H > 0)
        w_slope, b_slope, a_slope = a * (x @ on), a * on.sum(1), (r[:, None] @ H)[:, 0]
        w, b, a = w + rate * w_slope, b + rate * b_slope, a + rate * a_slope
    return (w, b, a), torch.stack(losses)


generator = torch.Generator().manual_seed(0)
start = [size * torch.nn.init.trunc_normal_(torch.empty(n_networks, n_neurons), generator=generator) for _ in range(3)]
stuck, losses = descend(*start)


def table(losses):
    """Print how many networks have which loss."""
    for loss, count in sorted(Counter(f"{loss:.3f}" for loss in losses.tolist()).items()):
        print(f"{count:5} networks of loss {loss}")


table(losses[-1])

# %%
# Most of them fit the two ends and the mean of the three points between, with a loss of 1/3. There the gradient
# vanishes: no neuron that exists can help.
#
# One neuron
# ----------
#
# A neuron :math:`s(wx + b)` of unit weights and small output weight would lower the loss at the rate
# :math:`|G(w, b)| = |\sum_i r_i\, s(w x_i + b)|` with the residuals r. On the line the maximum is found exactly; it is
# not zero as long as the residual is not. So every network gets this one neuron, as small as its others were in the
# beginning, and goes on.


def widened(w, b, a):
    """Append the neuron of largest abs(G), with an output weight of the sign that lowers the loss."""
    uniform, residuals = torch.full((5,), 1 / 5), y - predict(w, b, a, x)
    new = []
    for r in residuals:
        w_new, b_new = exact_neuron(x[:, None], r[:, None], uniform, Activation("relu"), "parameter")
        G = r @ (w_new * x + b_new).clamp_min(0)
        new.append(size * torch.cat([w_new, b_new, G.sign()[None]]))
    new = torch.stack(new)
    return [torch.cat([old, new[:, k : k + 1]], 1) for k, old in enumerate((w, b, a))]


grown, more_losses = descend(*widened(*stuck))
table(more_losses[-1])

# %%
# Now all networks fit the data.

fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
steps = torch.arange(0, n_steps, 10)
left.semilogy(steps, losses, color="tab:orange", linewidth=1, alpha=0.6)
left.semilogy(steps + n_steps, more_losses, color="tab:blue", linewidth=1, alpha=0.6)
left.axvline(n_steps, color="gray", linewidth=1, linestyle=":")
left.annotate("one neuron more", (n_steps, 1), (8, 0), textcoords="offset points", color="gray")
left.set(xlabel="steps", ylabel="loss", ylim=(1e-8, 3), xticks=range(0, 12_001, 3000))
grid = torch.linspace(-2.5, 2.5, 301)
for network, color, label in ((stuck, "tab:orange", "50 neurons"), (grown, "tab:blue", "51 neurons")):
    curves = right.plot(grid, predict(*network, grid).T, color=color, linewidth=1, alpha=0.6)
    curves[0].set_label(label)
right.plot(x, y, "ko", label="data", zorder=3)
right.set(xlabel="x", ylabel="prediction")
right.legend(loc="upper center")
plt.show()

assert (losses[-1] > 0.3).double().mean() > 0.5
assert more_losses[-1].max() < 1e-3
