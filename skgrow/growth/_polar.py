r"""The polar problem: which new neurons lower the loss the most, to first order or after a refit.

Adding neurons :math:`h(x) = s(Wx + b)` with output weights a changes the loss by
:math:`-\langle E, h a^T\rangle + O(|a|^2)`, where E is the negative functional gradient (Feischl, Rieder and
Zehetgruber, eq. 4). For one neuron the best direction is the maximiser of

.. math:: P(w, b) = \frac{|E^T_g\, s(Xw + b)|_2}{N(w, b)},

with N either the norm of the feature on the data (``"feature"``; what a refit leaves over is projected out first) or
:math:`|(w, b)|` (``"parameter"``, the polar problem of the path norm). With E orthogonal to the columns of ``basis``,
as after an output refit, the squared ``"feature"`` value is twice the exact decrease of half the squared error when
the neuron is added and the output layer refitted. A block of m neurons is scored in the same way with its m x m Gram
matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skgrow._tolerances import CANCELLED, DEPENDENT, TINY, VANISHING
from skgrow.growth._constants import GROWTH
from skgrow.networks import Activation
from skgrow.problem import CHUNKS, Operator, rows_within


def neuron_features(X: Tensor, activation: Activation, V: Tensor, operator: Operator | None = None) -> Tensor:
    """Return what the neurons ``V``, rows ``(w, b)``, add to the data: ``s(Xw + b)``, or H of it.

    Returns
    -------
    Tensor of shape (n_rows, k)
        With as many rows as there are targets: samples, times components of the operator.
    """

    def neurons(points: Tensor) -> Tensor:
        return activation.value(torch.addmm(V[:, -1], points, V[:, :-1].T))

    return neurons(X) if operator is None else operator(neurons, X)


def polar_value(
    X: Tensor,
    E: Tensor,
    g: Tensor,
    activation: Activation,
    V: Tensor,
    normalization: str = "feature",
    Q: Tensor | None = None,
    operator: Operator | None = None,
) -> Tensor:
    r"""Return :math:`P(w, b)` for many single neurons.

    Parameters
    ----------
    X : Tensor of shape (n, d)
        Inputs.
    E : Tensor of shape (n, c)
        Negative functional gradient.
    g : Tensor of shape (n,)
        Sample weights of sum 1.
    activation : Activation
        Of the neurons.
    V : Tensor of shape (k, d + 1)
        Rows ``(w, b)``.
    normalization : {"feature", "parameter"}, default="feature"
        The denominator.
    Q : Tensor of shape (n, q), optional
        Orthonormal columns, each row times the root of its sample weight, projected out of the features for
        ``"feature"``; default: the constant.
    operator : Operator, optional
        Applied to the neurons; then E, g and Q have its rows.

    Returns
    -------
    Tensor of shape (k,)
        Zero if a feature vanishes on the data.
    """
    if normalization not in ("feature", "parameter"):
        raise ValueError(f"normalization must be 'feature' or 'parameter'; got {normalization!r}.")
    root = g.sqrt()[:, None]
    if Q is None:
        Q = root
    largest = X.abs().amax(0)

    def chunk(V_rows: Tensor) -> Tensor:
        H = neuron_features(X, activation, V_rows, operator) * root
        if normalization == "parameter":
            return torch.linalg.vector_norm(H.T @ (E * root), dim=1) / torch.linalg.vector_norm(V_rows, dim=1)
        rest = H - Q @ (Q.T @ H)
        norm = torch.linalg.vector_norm(rest, dim=0)
        rounding = largest @ V_rows[:, :-1].abs().T + V_rows[:, -1].abs()
        small = norm <= torch.maximum(VANISHING * torch.linalg.vector_norm(H, dim=0), CANCELLED * rounding)
        value = torch.linalg.vector_norm(rest.T @ (E * root), dim=1) / norm.clamp_min(TINY)
        return torch.where(small, torch.zeros_like(value), value)

    return torch.cat([chunk(rows) for rows in V.split(rows_within(CHUNKS.feature_values, len(E)))])


def ascend(
    X: Tensor,
    E: Tensor,
    g: Tensor,
    activation: Activation,
    V: Tensor,
    normalization: str = "feature",
    Q: Tensor | None = None,
    *,
    n_steps: int = GROWTH.ascent_steps,
    operator: Operator | None = None,
) -> Tensor:
    """Raise :func:`polar_value` from many starts at once by projected gradient ascent; no start ends lower.

    For normalised neurons the value depends on the direction of ``(w, b)`` alone (piecewise linear activations) or
    varies slowly with its length, so steps are relative to that length, each start with a step size of its own.
    """
    values = polar_value(X, E, g, activation, V, normalization, Q, operator)
    step = V.new_full((len(V), 1), GROWTH.first_ascent)
    for _ in range(n_steps):
        moved = V.detach().requires_grad_()
        with torch.enable_grad():
            total = polar_value(X, E, g, activation, moved, normalization, Q, operator).sum()
            (slope,) = torch.autograd.grad(total, moved)
        slope = torch.nan_to_num(slope)
        slope = slope / torch.linalg.vector_norm(slope, dim=1, keepdim=True).clamp_min(TINY)
        trial = V + step * torch.linalg.vector_norm(V, dim=1, keepdim=True) * slope
        reached = polar_value(X, E, g, activation, trial, normalization, Q, operator)
        better = reached > values
        V = torch.where(better[:, None], trial, V)
        values = torch.where(better, reached, values)
        step = torch.where(better[:, None], step * GROWTH.ascent_rise, step * GROWTH.ascent_fall)
    return V


def refit_decrease(
    X: Tensor, E: Tensor, g: Tensor, activation: Activation, V: Tensor, operator: Operator | None = None
) -> float:
    """Return the decrease of half the squared error when neurons ``V`` and the constant are fitted to E."""
    root = g.sqrt()[:, None]
    H = neuron_features(X, activation, V, operator)
    Q = orthonormal(torch.cat([torch.ones_like(H[:, :1]), H], 1), root)
    constant = orthonormal(torch.ones_like(H[:, :1]), root)
    target = E * root
    return 0.5 * float((Q.T @ target).square().sum() - (constant.T @ target).square().sum())


def orthonormal(basis: Tensor, root: Tensor) -> Tensor:
    """Orthonormal basis of the span of the columns, rows times the roots of the weights."""
    scaled = basis * root
    scaled = scaled / torch.linalg.vector_norm(scaled, dim=0).clamp_min(torch.finfo(scaled.dtype).tiny)
    U, size, _ = torch.linalg.svd(scaled, full_matrices=False)
    return U[:, size > DEPENDENT * size.max()]
