"""Weighted samples as tensors, and the units that networks are trained in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skgrow._tolerances import CONSTANT_COLUMN, CUMULATIVE_ROUNDING, LEAST_MEAN, NO_SPREAD

#: Up to so many rows, equal rows are merged, which makes weighting a row and repeating it the same to the last bit
#: (decision 2); above, sorting gets expensive.
_MAX_MERGED = 200_000

#: Standard deviation of a normal distribution in units of its median absolute deviation.
_MAD_TO_DEVIATION = 1.4826

#: About so many rows estimate the scale of the noise: a median needs no more (decision 14).
_MAX_NEIGHBOURS = 5000


def _writable(array: Any) -> Any:
    """Return an array that torch may share; a read-only one is copied."""
    return array.copy() if isinstance(array, np.ndarray) and not array.flags.writeable else array


@dataclass(frozen=True)
class Samples:
    """Tensors on the device: inputs (n, d), targets (n, c) and weights (n,) or None."""

    X: Tensor
    Y: Tensor
    weight: Tensor | None

    @classmethod
    def build(cls, X: Any, y: Any, weight: Any, device: torch.device, dtype: torch.dtype) -> Samples:
        """Move to the device, once."""
        X_ = torch.as_tensor(_writable(X), dtype=dtype, device=device)
        Y_ = torch.as_tensor(_writable(y), dtype=dtype, device=device)
        w = None if weight is None else torch.as_tensor(_writable(weight), dtype=dtype, device=device)
        samples = cls(X_, Y_[:, None] if Y_.ndim == 1 else Y_, w)
        return samples if w is None or bool((w > 0).all()) else samples.rows(w > 0)

    def merged(self) -> Samples:
        """Return the same weighted point set in a canonical form: equal rows merged, sorted.

        Then a weight is to the last bit the same as a repetition, and the order of rows is of no consequence.
        """
        if len(self.X) > _MAX_MERGED:
            return self
        rows = torch.cat([self.X, self.Y], 1)
        weight = self.weight if self.weight is not None else rows.new_ones(len(rows))
        rows, place = torch.unique(rows, dim=0, return_inverse=True)
        merged = weight.new_zeros(len(rows)).index_add_(0, place, weight)
        d = self.X.shape[1]
        uniform = bool((merged == 1).all())
        return Samples(rows[:, :d].contiguous(), rows[:, d:].contiguous(), None if uniform else merged)

    def split(self, fraction: float, generator: torch.Generator) -> tuple[Samples, Samples]:
        """Return random training and validation parts."""
        n = len(self.X)
        n_val = min(n - 1, max(1, round(fraction * n)))
        order = torch.randperm(n, generator=generator).to(self.X.device)
        return self.rows(order[n_val:]), self.rows(order[:n_val])

    def rows(self, rows: Tensor) -> Samples:
        """Return some of the rows."""
        return Samples(self.X[rows], self.Y[rows], None if self.weight is None else self.weight[rows])

    def noise_scale(self) -> float:
        """Return a robust standard deviation of the noise: of differences between nearest neighbours, over root two.

        If the function varies between neighbours it is too large, up to the deviation of the targets themselves.
        """
        from sklearn.neighbors import NearestNeighbors

        X, Y = (a[:: max(1, len(a) // _MAX_NEIGHBOURS)].to("cpu").numpy() for a in (self.X, self.Y))
        if len(X) < 3:
            return 1.0
        nearest = NearestNeighbors(n_neighbors=2).fit(X).kneighbors(X, return_distance=False)
        # of a row and its duplicates either may come first
        other = np.where(nearest[:, 0] == np.arange(len(X)), nearest[:, 1], nearest[:, 0])
        scale = _MAD_TO_DEVIATION * float(np.median(np.abs(Y - Y[other]))) / np.sqrt(2)
        return scale if scale > 0 else 1.0


@dataclass(frozen=True)
class Units:
    """Change of units: inputs ``(x - x_mean) / x_scale``; raw outputs are ``y_mean + y_scale * output``.

    With a log link targets are divided by ``exp(y_mean)``.
    """

    x_mean: Tensor
    x_scale: Tensor
    y_mean: Tensor
    y_scale: Tensor
    log_link: bool = False

    @classmethod
    def of(cls, samples: Samples, standardize: bool, kind: str = "mean", n_channels: int | None = None) -> Units:
        """Return the units of training.

        Parameters
        ----------
        samples : Samples
            The training data.
        standardize : bool
            Whether inputs and targets are standardized at all.
        kind : {"mean", "median", "log", "size", "none"}
            Of targets: mean and standard deviation; median and median absolute deviation; the logarithm of the mean;
            the root mean square without a shift; nothing. Constant columns keep their scale.
        n_channels : int, optional
            Groups of consecutive features of equal number that share their units; default: every feature its own.
        """
        X, Y = samples.X, samples.Y
        x_units = X.new_zeros(X.shape[1]), X.new_ones(X.shape[1])
        y_units = Y.new_zeros(Y.shape[1]), Y.new_ones(Y.shape[1])
        g = X.new_full((len(X),), 1.0) if samples.weight is None else samples.weight
        g = g / g.sum()
        if standardize:
            x_units = _moments(X, g) if n_channels in (None, X.shape[1]) else _channel_moments(X, g, n_channels)
            if kind in ("mean", "median"):
                y_units = _moments(Y, g)
            if kind == "median":
                y_units = _robust_moments(Y, g, y_units[1])
            if kind == "size":
                size = float((g @ Y.square()).mean().sqrt())
                y_units = (y_units[0], y_units[1] * (size if size > 0 else 1.0))
        if kind == "log":
            mean = g @ Y
            y_units = (mean.clamp_min(LEAST_MEAN * float(mean.max())).log(), y_units[1])
        return cls(*x_units, *y_units, kind == "log")

    def apply(self, samples: Samples) -> Samples:
        """Return the samples in the new units."""
        X = (samples.X - self.x_mean) / self.x_scale
        Y = samples.Y / self.y_mean.exp() if self.log_link else (samples.Y - self.y_mean) / self.y_scale
        return Samples(X, Y, samples.weight)


def _robust_moments(Y: Tensor, g: Tensor, fallback: Tensor) -> tuple[Tensor, Tensor]:
    """Return weighted medians and deviations by the median; if more than half is equal, the scale ``fallback``."""
    median = _weighted_median(Y, g)
    scale = _MAD_TO_DEVIATION * _weighted_median((Y - median).abs(), g)
    return median, scale.where(scale > NO_SPREAD * fallback, fallback)


def _weighted_median(A: Tensor, g: Tensor) -> Tensor:
    ordered, order = A.sort(dim=0)
    reached = g[order].cumsum(0) >= 0.5 - CUMULATIVE_ROUNDING
    return ordered[reached.to(torch.int8).argmax(0), torch.arange(A.shape[1], device=A.device)]


def _channel_moments(X: Tensor, g: Tensor, n_channels: int) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of every channel, repeated for its pixels."""
    pixels = X.shape[1] // n_channels
    values = X.reshape(len(X), n_channels, pixels).transpose(1, 2).reshape(-1, n_channels)
    mean, scale = _moments(values, (g / pixels).repeat_interleave(pixels))
    return mean.repeat_interleave(pixels), scale.repeat_interleave(pixels)


def _moments(A: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    mean = g @ A
    centred = A - mean
    largest = centred.abs().amax(0)
    unit = torch.where(largest > 0, largest, torch.ones_like(largest))  # no under- or overflow in the squares
    scale = (g @ (centred / unit).square()).sqrt() * unit
    noise = CONSTANT_COLUMN * torch.finfo(A.dtype).eps * A.abs().amax(0)  # a column that is constant up to rounding
    return mean, torch.where(scale > noise, scale, torch.ones_like(scale))
