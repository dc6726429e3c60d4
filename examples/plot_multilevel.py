"""
Training from coarse to fine
============================

A residual network of 32 blocks is an Euler scheme of 32 small steps. One of four blocks, with steps eight times as
long, is a coarse scheme of the same equation, and an epoch of it costs a fraction. Multilevel training starts there and
doubles the blocks whenever progress gets slow; every block starts as a copy of the one it comes from. Coarse grid
corrections (V-cycles) work on the fine network from the start: each of them costs, and they take longer to pay. The
corrected gradients of MG/Opt, which theory asks for, make them more expensive and here no better.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skgrow import MGOptClassifier
from skgrow.multilevel import Cycle

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

settings = {"hidden_layer_sizes": (32,) * 33, "max_iter": 24, "alpha": 1e-4, "random_state": 0}
often = {"check_every": 2, "coarse_iter": 2}
models = {
    "one level": {"n_levels": 1, "cycle": Cycle(**often)},
    "V-cycles": {"cycle": Cycle("V", **often)},
    "V-cycles, corrected gradients": {"cycle": Cycle("V", correction="exact", **often)},
    "full: from coarse to fine": {"cycle": Cycle(**often)},
}
for name, more in models.items():
    model = MGOptClassifier(**settings, **more).fit(X_train, y_train)
    models[name] = model
    row = model.history_[-1]
    print(f"{name}: loss {model.loss_:.2g}, held-out accuracy {model.score(X_test, y_test):.3f}, {row['time']:.1f} s")

# %%
# On the left the loss against work, in gradients of the fine network on all data; levels below the finest are drawn
# lightly. On the right one weight of the blocks in depth: what was prolonged stays smooth, what starts at random does
# not.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for name, model in models.items():
    work = np.array([sum(row["work"]) for row in model.history_])
    loss = np.array([row["train_loss"] for row in model.history_])
    fine = np.array([row["level"] == 0 for row in model.history_])
    (line,) = left.semilogy(work[fine], loss[fine], marker=".", label=name)
    if not fine.all():
        left.semilogy(work[: fine.argmax() + 1], loss[: fine.argmax() + 1], ":", color=line.get_color(), marker=".")
left.set(xlabel="work units", ylabel="training loss", xlim=(0, 60))
left.legend()
time = (np.arange(32) + 0.5) / 32 * models["one level"].final_time
for name in ("one level", "full: from coarse to fine"):
    blocks = models[name].coefs_[1:-1:2]  # the first weights of every block, (width, neurons)
    right.plot(time, [W[0, 0] for W in blocks], drawstyle="steps-mid", label=name)
right.set(xlabel="time of the equation", ylabel="one weight of the blocks")
right.legend()
plt.show()
