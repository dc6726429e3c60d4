r"""The polar problem of the path norm in one and two dimensions, solved exactly by sweeps around circles.

With :math:`z = (x, 1)` and :math:`v = (w, b)`, :math:`G(v) = \sum_i g_i E_i\, s(\langle v, z_i \rangle)` is linear,
:math:`G(v) = Sv`, on every cone between the kinks :math:`\langle v, z_i \rangle = 0`; across one S changes by one
summand. For d = 1 the cones are the arcs of one circle. For d = 2 the kink of every sample carries a circle, whose
arcs are the edges of all cones. The sums S are prefix sums over the sorted angles of a circle, so that G is known on
every arc in constant time: O(n log n) for d = 1, O(n^2 log n) for d = 2. In the interior of a cone G is stationary at
the top right singular vector of S alone, and only if that lies in the cone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skgrow._tolerances import SAME_KINK
from skgrow.growth._constants import GROWTH
from skgrow.problem import CHUNKS, rows_within


def path_candidates(X: Tensor, E: Tensor, g: Tensor, delta: float) -> Tensor:
    r"""Return neurons among which is the maximiser of :math:`|E^T_g s(Xw + b)| / |(w, b)|`.

    Parameters
    ----------
    X : Tensor of shape (n, d)
        With d = 1 or d = 2.
    E : Tensor of shape (n, c)
        Negative functional gradient.
    g : Tensor of shape (n,)
        Sample weights.
    delta : float
        Slope of the activation on the negative side.

    Returns
    -------
    Tensor of shape (k, d + 1)
        Unit rows ``(w, b)``: the best of every arc (d = 1), or the best of every circle and the stationary points in
        cones that may be better (d = 2).
    """
    Z = torch.cat([X, torch.ones_like(X[:, :1])], 1)
    moments = (E * g[:, None])[:, :, None] * Z[:, None, :]
    if X.shape[1] == 1:
        return _Circles(Z, moments, torch.eye(2).to(Z)[None], delta).best_of_arcs()[0][0]
    planes = torch.linalg.svd(Z[:, None, :], full_matrices=True)[2][:, 1:]  # orthogonal to a sample each
    found, best = [], Z.new_zeros(())
    rows = rows_within(CHUNKS.arc_values, len(Z) * moments[0].numel())
    for some, own in zip(planes.split(rows), Z.split(rows), strict=True):
        circles = _Circles(Z, moments, some, delta)
        V, values = circles.best_of_arcs()
        best = torch.maximum(best, values.max())
        peak = (values >= values.roll(1, 1)) & (values >= values.roll(-1, 1))
        found += [V[peak], circles.best_in_cones(own, best)]
    return torch.cat(found)


class _Circles:
    """Circles of directions ``v = (cos t, sin t) B`` and on each arc between kinks the matrix S with G(v) = Sv.

    Parameters
    ----------
    Z : Tensor of shape (n, D)
        Samples ``(x, 1)``.
    moments : Tensor of shape (n, c, D)
        Summands of S.
    B : Tensor of shape (p, 2, D)
        Orthonormal rows for every circle.
    delta : float
        Slope of the activation on the negative side.
    """

    def __init__(self, Z: Tensor, moments: Tensor, B: Tensor, delta: float) -> None:
        n, C = len(Z), Z @ B.transpose(1, 2)  # (p, n, 2)
        on = torch.linalg.vector_norm(C, dim=2) <= SAME_KINK * torch.linalg.vector_norm(Z, dim=1)
        middle = torch.atan2(C[..., 1], C[..., 0])
        angle = torch.cat([middle - torch.pi / 2, middle + torch.pi / 2], 1).remainder(2 * torch.pi)
        self.angle, order = angle.sort(1)
        self.width = torch.diff(self.angle, append=self.angle[:, :1] + 2 * torch.pi)
        self.sample = order % n
        change = torch.where(order < n, 1.0, -1.0).to(Z) * ~on.gather(1, self.sample)  # 1: the sample becomes active
        S = (moments[self.sample] * change[..., None, None]).cumsum(1)  # (p, 2n, c, D)
        # the sums are known up to a constant, taken from the widest arc: there no sample is close to its kink
        rows, widest = torch.arange(len(B), device=Z.device), self.width.argmax(1)
        inside = _directions(self.angle[rows, widest] + self.width[rows, widest] / 2)
        active = ((C @ inside[:, :, None])[..., 0] > 0) & ~on
        known = torch.einsum("pn,ncd->pcd", active.to(Z), moments)
        rest = torch.einsum("pn,ncd->pcd", (~on).to(Z), moments)
        S += (known - S[rows, widest])[:, None]
        self.S = S if delta == 0 else (1 - delta) * S + delta * rest[:, None]
        self.on_circle = torch.einsum("pn,ncd->pcd", on.to(Z), moments)
        self.Z, self.B, self.delta = Z, B, delta

    def best_of_arcs(self) -> tuple[Tensor, Tensor]:
        """Return the maximisers of the arcs, ends of later arcs left out, (p, 2n, D), and their values (p, 2n)."""
        Q = self.S @ self.B.transpose(1, 2)[:, None]  # (p, 2n, c, 2)
        first, second = Q.unbind(-1)
        top = 0.5 * torch.atan2(2 * (first * second).sum(-1), first.square().sum(-1) - second.square().sum(-1))
        beyond = (top - self.angle).remainder(torch.pi)
        direction = _directions(self.angle + torch.where(beyond <= self.width, beyond, torch.zeros_like(beyond)))
        values = torch.linalg.vector_norm((Q @ direction[..., None])[..., 0], dim=2)
        return direction @ self.B, values

    def best_in_cones(self, own: Tensor, least: Tensor) -> Tensor:
        """Return stationary points in cones beside the arcs with values above ``least``, shape (k, D).

        The circles are orthogonal to ``own`` (p, D). Whether a point lies in the cone is tested on few samples, those
        at the ends of the arc first: some of the points returned do not.
        """
        found = []
        for side in (1.0, -1.0):
            S = self.S + (1.0 if side > 0 else self.delta) * self.on_circle[:, None]
            circle, arc = (torch.linalg.matrix_norm(S) > least).nonzero(as_tuple=True)
            S = S[circle, arc]
            V = S[:, 0] if S.shape[1] == 1 else torch.linalg.eigh(S.transpose(1, 2) @ S)[1][..., -1]
            V = V / torch.linalg.vector_norm(V, dim=1, keepdim=True)
            V = V * torch.where((V * own[circle]).sum(1, keepdim=True) >= 0, side, -side)
            middle = _directions((self.angle + self.width / 2)[circle, arc])
            inside = (middle[:, None] @ self.B[circle])[:, 0]
            ends = [self.Z[self.sample[circle, end]] for end in (arc, (arc + 1) % self.angle.shape[1])]
            sines = torch.stack([(inside * z).sum(1) * (V * z).sum(1) / (z * z).sum(1) for z in ends])
            near = sines.amin(0) >= -SAME_KINK
            V, inside = V[near], inside[near]
            some = self.Z[:: len(self.Z) // GROWTH.cone_probes + 1]
            found.append(V[((inside @ some.T) * (V @ some.T) >= -SAME_KINK * some.square().sum(1)).all(1)])
        return torch.cat(found)


def _directions(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], -1)
