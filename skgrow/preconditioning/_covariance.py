"""Inner products learned from samples: covariances and second moments, with their windows and structures."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from skgrow._tolerances import LEAST_DAMPING
from skgrow.preconditioning._constants import PRECONDITIONING
from skgrow.preconditioning._inner_products import InnerProduct
from skgrow.problem import bounded, gram_matrix


class Covariance(InnerProduct):
    r"""The Mahalanobis inner product of the samples, by their covariance C.

    On inputs :math:`R = (C + \gamma I)^{-1}` with the covariance of x; on outputs :math:`R = C + \gamma I` with that of
    the derivatives dL/dy, which live in the dual space. Either way gradients are multiplied by
    :math:`(C + \gamma I)^{-1}`.

    Parameters
    ----------
    centered : bool, default=True
        Covariance, or second moment about zero.
    structure : {"dense", "diagonal", "lowrank"}, default="dense"
        Of C: all of it; its diagonal; or the largest eigenvectors and, for the rest, the diagonal, whose cost is linear
        in the size.
    window : {"ema", "batch", "all", "ema_inverse"}, default="ema"
        Moments averaged exponentially; of the last batch alone; of all so far; or exponential averages of the inverses
        of the batches' (dense only).
    decay : float, default=0.95
        Of the exponential averages; the k-th update has the weight ``1 / k`` until that is ``1 - decay``.
    rank : int, default=20
        Eigenvectors of ``"lowrank"``.
    update_every : int, default=1
        Updates of which only one is used.

    Examples
    --------
    >>> import torch
    >>> from skgrow.preconditioning import Covariance
    >>> inner = Covariance(window="batch").bind(2, torch.zeros(1), side="output")
    >>> inner.update(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    >>> inner.damp(0.5)
    >>> inner.apply(torch.eye(2))
    tensor([[1.5000, 0.0000],
            [0.0000, 0.5000]])
    """

    learns = True

    def __init__(
        self,
        centered: bool = True,
        structure: str = "dense",
        window: str = "ema",
        decay: float = 0.95,
        rank: int = 20,
        update_every: int = 1,
    ) -> None:
        self.centered = centered
        self.structure = structure
        self.window = window
        self.decay = decay
        self.rank = rank
        self.update_every = update_every

    def bind(self, size: int, like: Tensor, side: str = "input", layer: str = "layer") -> Self:
        """Prepare for a space; see :class:`InnerProduct`."""
        for name, allowed in (
            ("structure", ("dense", "diagonal", "lowrank")),
            ("window", ("ema", "batch", "all", "ema_inverse")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {list(allowed)}; got {getattr(self, name)!r}.")
        if self.window == "ema_inverse" and self.structure != "dense":
            raise ValueError(f"window='ema_inverse' needs structure='dense'; got {self.structure!r}.")
        if not 0 <= self.decay < 1:
            raise ValueError(f"decay must lie in [0, 1); got {self.decay!r}.")
        for name in ("rank", "update_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)!r}.")
        super().bind(size, like, side, layer)
        self.calls_ = self.updates_ = 0
        self.damping_ = 0.0
        self.mean_ = like.new_zeros(size)
        self.diagonal_ = like.new_zeros(size)  # of C
        self.moment_ = like.new_zeros(size, size) if self.structure == "dense" else None
        self.rows_ = like.new_zeros(0, size)  # with rows_.T @ rows_ = C, or its largest part
        self.inverse_: Tensor | None = None  # average of inverses
        self._stale, self._held = True, False
        return self

    # learning ----------------------------------------------------------------------------------------------

    def due(self) -> bool:
        """Whether the next update will be used."""
        return self.calls_ % self.update_every == 0

    def skip(self) -> None:
        """Take note of samples that are not looked at."""
        self.calls_ += 1

    def update(self, samples: Tensor, weight: Tensor | None = None) -> None:
        """Learn from samples; see :class:`InnerProduct`."""
        used = self.due()
        self.calls_ += 1
        if not used:
            return
        self.updates_ += 1
        longest = {"batch": 0.0, "all": 1.0}.get(self.window, self.decay)
        keep = min(longest, 1 - 1 / self.updates_)
        if weight is None:
            weight = samples.new_full((len(samples),), 1 / len(samples))
        mean = weight @ samples
        if self.centered:
            samples = samples - mean
        scaled = samples * weight.sqrt()[:, None]
        self._stale = True
        if self.window == "ema_inverse":
            inverse = _inverse(gram_matrix(scaled), max(self.damping_, LEAST_DAMPING))
            self.inverse_ = inverse if self.inverse_ is None else keep * self.inverse_ + (1 - keep) * inverse
            return
        if self.centered and keep > 0:  # the covariance of a mixture knows the distance of the means
            scaled = torch.cat([scaled, keep**0.5 * (self.mean_ - mean)[None]])
        self.mean_ = keep * self.mean_ + (1 - keep) * mean
        self.diagonal_ = keep * self.diagonal_ + (1 - keep) * scaled.square().sum(0)
        if self.structure == "lowrank":
            self.rows_ = _leading(torch.cat([keep**0.5 * self.rows_, (1 - keep) ** 0.5 * scaled]), self.rank)
        elif self.structure == "dense" and self.window == "batch" and len(scaled) < self.size_:
            self.rows_, self.moment_ = scaled, None
        elif self.structure == "dense":
            moment, before = gram_matrix(scaled), self.moment_
            self.rows_ = scaled[:0]
            self.moment_ = moment if keep == 0 or before is None else keep * before + (1 - keep) * moment

    def damp(self, damping: float) -> None:
        r"""Set :math:`\gamma`."""
        damping = bounded(damping, self.diagonal_.dtype)
        if damping != self.damping_:
            self.damping_, self._stale = damping, True

    def widen(self, size: int) -> None:
        """Go on with more dimensions, whose moments are zero so far."""
        more = size - self.size_
        self.size_, self._stale, self._held = size, True, False
        self.mean_ = torch.nn.functional.pad(self.mean_, (0, more))
        self.diagonal_ = torch.nn.functional.pad(self.diagonal_, (0, more))
        self.rows_ = torch.nn.functional.pad(self.rows_, (0, more))
        if self.moment_ is not None:
            self.moment_ = torch.nn.functional.pad(self.moment_, (0, more, 0, more))
        if self.inverse_ is not None:
            old = self.inverse_
            self.inverse_ = torch.block_diag(old, torch.eye(more).to(old) / max(self.damping_, LEAST_DAMPING))

    # multiplying -------------------------------------------------------------------------------------------

    def mean_variance(self) -> float:
        """Return the trace of C over the size."""
        return float(self.diagonal_.sum()) / max(1, self.size_)

    def covariance(self) -> Tensor:
        """Return C as a matrix, in the structure chosen and without damping."""
        if self.inverse_ is not None:
            eye = torch.eye(self.size_, dtype=self._zero.dtype, device=self._zero.device)
            return torch.linalg.inv(self.inverse_) - self.damping_ * eye
        if self.moment_ is not None:
            return self.moment_
        diagonal, rows = self._parts(0.0)
        return torch.diag(diagonal) + rows.T @ rows

    def apply(self, v: Tensor) -> Tensor:
        """Return ``v @ R``."""
        return self._divided(v) if self.side_ == "input" else self._times(v)

    def solve(self, v: Tensor) -> Tensor:
        """Return ``v @ inverse(R)``."""
        return self._times(v) if self.side_ == "input" else self._divided(v)

    def _parts(self, damping: float) -> tuple[Tensor, Tensor]:
        """Return a diagonal D and rows U with C + damping = D + U^T U."""
        if self.structure == "dense":
            return torch.full_like(self.diagonal_, damping), self.rows_
        return (self.diagonal_ - self.rows_.square().sum(0)).clamp_min(0) + damping, self.rows_

    def _times(self, v: Tensor) -> Tensor:
        """Return ``v @ (C + damping)``."""
        if self.inverse_ is not None:
            return torch.linalg.solve(self.inverse_, v.reshape(-1, self.size_).T).T.reshape(v.shape)
        if self.moment_ is not None:
            return v @ self.moment_ + self.damping_ * v
        diagonal, rows = self._parts(self.damping_)
        return v * diagonal + (v @ rows.T) @ rows

    def _divided(self, v: Tensor) -> Tensor:
        """Return ``v @ inverse(C + damping)``."""
        if self.inverse_ is not None:
            return v @ self.inverse_
        if self._stale and not self._held:
            self._factorise()
        if self._dense is not None:
            return v @ self._dense
        # Woodbury: (D + U^T U)^-1 = D^-1 - D^-1 U^T (I + U D^-1 U^T)^-1 U D^-1
        w = v / self._diagonal
        if not len(self._wood):
            return w
        w, shape = w.reshape(-1, self.size_), v.shape
        return w.addmm_(w @ self._rows.T, self._wood, alpha=-1).view(shape)

    def refresh(self) -> None:
        """Factorise now, and from now on only when told to: inverses then lag behind the moments."""
        if self.inverse_ is None and self._stale:
            self._factorise()
        self._held = True

    def _factorise(self) -> None:
        self._stale, self._dense = False, None
        damping = max(self.damping_, LEAST_DAMPING)
        if self.moment_ is not None:
            self._dense = _inverse(self.moment_, damping)
            return
        diagonal, self._rows = self._parts(self.damping_)
        self._diagonal = diagonal.clamp_min(damping)
        self._wood = self._rows / self._diagonal
        if len(self._rows):
            eye = torch.eye(len(self._rows), dtype=diagonal.dtype, device=diagonal.device)
            self._wood = torch.linalg.solve(eye + self._wood @ self._rows.T, self._wood)


class SecondMoment(Covariance):
    r"""The second moment about zero, :math:`C = E[x x^T]`: what K-FAC is made of.

    Parameters
    ----------
    structure, window, decay, rank, update_every
        As for :class:`Covariance`.

    Examples
    --------
    >>> import torch
    >>> from skgrow.preconditioning import SecondMoment
    >>> inner = SecondMoment(structure="diagonal").bind(2, torch.zeros(1))
    >>> inner.update(torch.tensor([[3.0, 1.0]]))
    >>> inner.damp(1.0)
    >>> inner.apply(torch.ones(1, 2))
    tensor([[0.1000, 0.5000]])
    """

    def __init__(
        self,
        structure: str = "dense",
        window: str = "ema",
        decay: float = 0.95,
        rank: int = 20,
        update_every: int = 1,
    ) -> None:
        super().__init__(False, structure, window, decay, rank, update_every)


def _inverse(matrix: Tensor, damping: float) -> Tensor:
    """Return the inverse of a positive semidefinite matrix plus damping, by Cholesky, else by eigenvalues."""
    damped = matrix + damping * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    factor, info = torch.linalg.cholesky_ex(damped)
    if int(info) == 0:
        return torch.cholesky_inverse(factor)
    if not bool(torch.isfinite(matrix).all()):  # the loss will not be finite either, which the loop finds
        return matrix
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors / (values.clamp_min(0) + damping)) @ vectors.T


def _leading(rows: Tensor, rank: int) -> Tensor:
    """Return at most ``rank`` rows with the leading part of ``rows.T @ rows``.

    Small problems by eigenvectors; large ones by a randomised range of the rows with two power iterations (Halko,
    Martinsson and Tropp 2011), whose cost is linear in the size.
    """
    if len(rows) <= rank:
        return rows
    if min(rows.shape) > PRECONDITIONING.exact_size:
        generator = torch.Generator().manual_seed(0)
        basis = torch.randn(rows.shape[1], rank + PRECONDITIONING.extra_columns, generator=generator).to(rows)
        for _ in range(PRECONDITIONING.power_iterations):
            basis = torch.linalg.qr(rows.T @ (rows @ basis)).Q
        rows = torch.linalg.qr(rows @ basis).Q.T @ rows
    elif len(rows) > rows.shape[1]:
        rows = torch.linalg.qr(rows, mode="r").R
    vectors = torch.linalg.eigh(rows @ rows.T).eigenvectors
    return vectors[:, -rank:].T @ rows
