r"""The polar problem solved exactly on one- and two-dimensional data for (leaky) ReLU neurons.

On the line a neuron is :math:`h(x) = s(\pm(x - t))`. Between neighbouring samples both :math:`|E^T_g h|^2` and
:math:`N^2` are quadratic polynomials in t, whose coefficients are prefix sums; the ratio is stationary at the roots
of one quadratic equation. The best of all roots and all breakpoints is the maximum: O(n log n).

In the plane the kinks are lines. The samples cut the set of lines into cells on which :math:`|E^T_g h|^2` and
:math:`N^2` are quadratic forms in :math:`(w, b)`: a cell's stationary points are generalised eigenvectors, those on
the edges (lines through one sample) and vertices (through two) are found in the same way in two and one dimensions.
Every candidate is judged by its true value, so the best of them is the maximum: O(n^2) candidates.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skgrow._tolerances import (
    CHOLESKY_FACTOR,
    CHOLESKY_TRIES,
    COLLINEAR,
    FORM_RIDGE,
    NO_RESIDUAL,
    SAME_KINK,
    TINY,
    ZERO_DISCRIMINANT,
)
from skgrow.growth._polar import polar_value
from skgrow.networks import Activation


def exact_neuron(
    X: Tensor, E: Tensor, g: Tensor, activation: Activation, normalization: str = "feature"
) -> tuple[Tensor, Tensor]:
    """Return ``w`` of shape (d,) and ``b`` of shape (1,) of the best single neuron.

    Parameters
    ----------
    X : Tensor of shape (n, d)
        With d = 1 or d = 2.
    E : Tensor of shape (n, c)
        Negative functional gradient.
    g : Tensor of shape (n,)
        Sample weights of sum 1.
    activation : Activation
        Piecewise linear.
    normalization : {"feature", "parameter"}, default="feature"
        As in :func:`polar_value`; features are centred.

    Raises
    ------
    ValueError
        For other activations or dimensions.
    """
    if not activation.is_piecewise_linear:
        raise ValueError(f"The exact search needs 'relu' or 'leaky_relu'; got {activation.name!r}.")
    if X.shape[1] not in (1, 2):
        raise ValueError(f"The exact search needs data of 1 or 2 features; got {X.shape[1]}.")
    if normalization == "parameter":
        return _best(X, E, g, activation, normalization)
    # features know nothing of the units: coordinates of size one, of samples on a line the one along it
    mean = X.mean(0)
    coordinates, size, axes = torch.linalg.svd(X - mean, full_matrices=False)
    rank = max(1, int((size > COLLINEAR * size[0]).sum()))
    unit = len(X) ** 0.5
    w, b = _best(coordinates[:, :rank] * unit, E, g, activation, normalization)
    w = (w * unit / torch.where(size > 0, size, 1.0)[:rank]) @ axes[:rank]
    V = torch.cat([w, b - w @ mean])
    V = V / torch.linalg.vector_norm(V)
    return V[:-1], V[-1:]


def _best(X: Tensor, E: Tensor, g: Tensor, activation: Activation, normalization: str) -> tuple[Tensor, Tensor]:
    """Return the best of all candidates."""
    candidates = _candidates_1d if X.shape[1] == 1 else _candidates_2d
    found = candidates(X, E, g, activation.negative_slope, normalization)
    finite = found[torch.isfinite(found).all(1)]
    size = torch.linalg.vector_norm(finite, dim=1, keepdim=True)
    finite = (finite / size)[(size > 0)[:, 0]]
    values = polar_value(X, E, g, activation, finite, normalization)
    best = finite[values.argmax()]
    return best[:-1], best[-1:]


def _candidates_1d(X: Tensor, E: Tensor, g: Tensor, delta: float, normalization: str) -> Tensor:
    x = X[:, 0]
    order = x.argsort()
    x, E, g = x[order], E[order], g[order]
    rows = []
    for sign in (1.0, -1.0):
        t, e, m = sign * x, E * g[:, None], g
        if sign < 0:
            t, e, m = t.flip(0), e.flip(0), m.flip(0)
        # samples with t_i > threshold are active; interval k lies between t[k-1] and t[k]
        e0, e1 = _mixed_sums(e, delta), _mixed_sums(e * t[:, None], delta)
        # numerator |e1 - e0 t|^2
        p0, p1, p2 = e1.square().sum(1), (e0 * e1).sum(1), e0.square().sum(1)
        if normalization == "parameter":
            a, b, c = torch.ones_like(p0), torch.zeros_like(p0), torch.ones_like(p0)
        else:
            s0, s1 = _mixed_sums(m, delta), _mixed_sums(m * t, delta)
            q0, q1, q2 = (
                _mixed_sums(m, delta**2),
                _mixed_sums(m * t, delta**2),
                _mixed_sums(m * t * t, delta**2),
            )
            a, b, c = q2 - s1 * s1, q1 - s0 * s1, q0 - s0 * s0
        # d/dt (p0 - 2 p1 t + p2 t^2) / (a - 2 b t + c t^2) = 0
        quad, lin, const = p1 * c - b * p2, a * p2 - c * p0, b * p0 - a * p1
        lower = torch.cat([t[:1] - (t[-1] - t[0] + 1), t])
        upper = torch.cat([t, t[-1:] + (t[-1] - t[0] + 1)])
        for root in _roots(quad, lin, const):
            inside = torch.isfinite(root) & (root >= lower) & (root <= upper)
            if normalization == "parameter":  # beyond the data too
                inside[0] = torch.isfinite(root[0]) & (root[0] <= upper[0])
                inside[-1] = torch.isfinite(root[-1]) & (root[-1] >= lower[-1])
            rows.append(torch.stack([torch.full_like(root, sign), -root], 1)[inside])
        rows.append(torch.stack([torch.full_like(t, sign), -t], 1))
    constant = torch.tensor([[0.0, 1.0], [0.0, -1.0]], dtype=x.dtype, device=x.device)
    return torch.cat([*rows, constant])


def _mixed_sums(values: Tensor, delta: float) -> Tensor:
    """For k = 0..n: sum over i >= k plus delta times the sum over i < k."""
    prefix = torch.cat([torch.zeros_like(values[:1]), values.cumsum(0)])
    total = prefix[-1]
    return (total - prefix) + delta * prefix


def _roots(quad: Tensor, lin: Tensor, const: Tensor) -> tuple[Tensor, Tensor]:
    """Real roots of ``quad t^2 + lin t + const``, NaN or infinite if there is none; stable for small ``quad``."""
    disc = lin * lin - 4 * quad * const
    root = -0.5 * (lin + torch.copysign(disc.clamp_min(0).sqrt(), lin))
    bad = torch.full_like(disc, float("nan"))
    real = disc >= -ZERO_DISCRIMINANT * lin * lin
    return torch.where(real, root / quad, bad), torch.where(real, const / root, bad)


def _candidates_2d(X: Tensor, E: Tensor, g: Tensor, delta: float, normalization: str) -> Tensor:
    n = len(X)
    Z = torch.cat([X, torch.ones_like(X[:, :1])], 1)
    if normalization == "parameter":  # no kink of G if E = 0
        support = E.abs().amax(1) > NO_RESIDUAL * E.abs().max()
        if not bool(support.any()):
            return torch.eye(3, dtype=X.dtype, device=X.device)
        Z, E, g = Z[support], E[support], g[support]
        n = len(Z)
    rows = [torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]], dtype=X.dtype, device=X.device)]
    moments = (E * g[:, None])[:, :, None] * Z[:, None, :]  # (n, c, 3)
    second = g[:, None, None] * Z[:, :, None] * Z[:, None, :]
    for pivot in range(n):
        rows += _around_pivot(pivot, Z, g, moments, second, delta, normalization)
    V = torch.cat(rows)
    return torch.cat([V, -V])


def _around_pivot(
    pivot: int, Z: Tensor, g: Tensor, moments: Tensor, second: Tensor, delta: float, normalization: str
) -> list[Tensor]:
    """Candidates on lines through one sample and in the cells beside them, for all arcs between other samples."""
    # orthonormal basis of the plane orthogonal to z_pivot: lines through the pivot
    _, _, basis = torch.linalg.svd(Z[pivot : pivot + 1], full_matrices=True)
    B = basis[1:]  # (2, 3)
    C = Z @ B.T
    others = torch.linalg.vector_norm(C, dim=1) > SAME_KINK * torch.linalg.vector_norm(Z, dim=1)
    on_line = ~others
    angles = torch.remainder(torch.atan2(C[others, 1], C[others, 0]) + torch.pi / 2, torch.pi)
    breaks = torch.unique(angles)
    if len(breaks) == 0:
        breaks = angles.new_zeros(1)
    edges = torch.cat([breaks, breaks[:1] + torch.pi])
    middle = 0.5 * (edges[1:] + edges[:-1])
    direction = torch.stack([middle.cos(), middle.sin()], 1) @ B  # (a, 3) inside every arc
    vertices = torch.stack([breaks.cos(), breaks.sin()], 1) @ B
    found = [vertices]
    for sign in (1.0, -1.0):
        active = (sign * (Z @ direction.T) > 0).to(Z.dtype)
        for on in (0.0, 1.0):
            mask = torch.where(on_line[:, None], torch.full_like(active, on), active)
            mix = mask + delta * (1 - mask)  # (n, a)
            p = torch.einsum("na,ncd->acd", mix, moments)
            numerator = p.transpose(1, 2) @ p
            if normalization == "parameter":
                denominator = torch.eye(3, dtype=Z.dtype, device=Z.device).expand_as(numerator)
            else:
                mean = torch.einsum("na,nd->ad", mix, g[:, None] * Z)
                denominator = torch.einsum("na,nde->ade", mix * mix, second) - mean[:, :, None] * mean[:, None, :]
            found.append(sign * _top_generalised(numerator, denominator))
            if on == 0.0:
                small = _top_generalised(B @ numerator @ B.T, B @ denominator @ B.T)
                found.append(sign * small @ B)
    # a generalised eigenvector has no sign: both are tried by the caller
    return found


def _top_generalised(A: Tensor, D: Tensor) -> Tensor:
    """Top generalised eigenvectors of pairs (A, D), with D regularised on its null space."""
    size = D.diagonal(dim1=-2, dim2=-1).sum(-1).clamp_min(TINY)
    eye = torch.eye(D.shape[-1], dtype=D.dtype, device=D.device)
    ridge = FORM_RIDGE * size
    for _ in range(CHOLESKY_TRIES):  # as much as rounding asks for
        factor, info = torch.linalg.cholesky_ex(D + ridge[:, None, None] * eye)
        if not bool(info.any()):
            break
        ridge = torch.where(info > 0, CHOLESKY_FACTOR * ridge, ridge)
    half = torch.linalg.solve_triangular(factor, A, upper=False)
    inner = torch.linalg.solve_triangular(factor, half.transpose(-2, -1), upper=False)
    _, vectors = torch.linalg.eigh(0.5 * (inner + inner.transpose(-2, -1)))
    return torch.linalg.solve_triangular(factor.transpose(-2, -1), vectors[..., -1:], upper=True)[..., 0]
