"""
Deep sigmoid networks and their coordinates
===========================================

Four layers of sigmoids on the digits: plain gradient descent stands still, whatever its rate, and Adam is slow. With an
inner product on every layer, learned from its inputs and from the derivatives at its outputs (K-FAC), the same network
is trained in a few epochs. On the right is why: the eigenvalues of what a layer sees span many orders of magnitude.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skgrow import PreconditionedMLPClassifier
from skgrow.preconditioning import FrobeniusPreconditioner

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)

moments = FrobeniusPreconditioner(input="second_moment", output="second_moment", split="pi")
settings = {"hidden_layer_sizes": (40, 40, 40, 40), "activation": "logistic", "max_iter": 60, "random_state": 0}
settings |= {"alpha": 1e-4, "n_iter_no_change": 60, "batch_size": 400}
models = {
    "SGD, rate 0.1": {"preconditioner": None, "learning_rate_init": 0.1},
    "SGD, rate 1": {"preconditioner": None, "learning_rate_init": 1.0},
    "Adam": {"preconditioner": None, "solver": "adam"},
    "second moments, rate 0.1": {"preconditioner": moments, "learning_rate_init": 0.1},
    "K-FAC": {"preconditioner": "kfac", "report_layers": True},
}
for name, more in models.items():
    model = PreconditionedMLPClassifier(**settings, **more).fit(X_train, y_train)
    models[name] = model
    print(f"{name}: training loss {model.loss_:.2g}, held-out accuracy {model.score(X_test, y_test):.3f}")

# %%
# Training loss, and the spectra of inputs (solid) and derivatives (dashed) of every layer after the first stage.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
for name, model in models.items():
    left.semilogy(model.loss_curve_, label=name)
left.set(xlabel="epoch", ylabel="training loss", ylim=(1e-7, 5))
left.legend()
row = models["K-FAC"].history_[0]
for i, (inputs, outputs) in enumerate(zip(row["input_spectra"], row["output_spectra"], strict=True)):
    (line,) = right.semilogy(inputs[::-1], label=f"layer {i + 1}")
    right.semilogy(outputs[::-1], linestyle="--", color=line.get_color())
right.set(xlabel="number", ylabel="eigenvalue", ylim=(1e-12, 1e3))
right.legend()
plt.show()
