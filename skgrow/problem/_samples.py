"""Weighted samples as tensors, and the units that networks are trained in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from skgrow._tolerances import CONSTANT_COLUMN, CUMULATIVE_ROUNDING, LEAST_MEAN, NO_SPREAD, SINGLE_RANGE, TINY
from skgrow.networks import Network, from_standardized
from skgrow.problem._reduction import CHUNKS, rows_within

#: Up to so many rows, equal rows are merged, which makes weighting a row and repeating it the same to the last bit
#: (decision 2); above, sorting gets expensive.
_MAX_MERGED = 200_000

#: Repeated rows are observations, not copies, if chance explains this share of them: rows of equal inputs differ in
#: their targets so often compared with any two, or independent columns would make so many equal rows (decision 29).
_BY_CHANCE = 0.05

#: Pairs of rows that agree in each single column, for every pair of equal rows, at least, for these to be chance: a
#: column that tells all rows apart is repeated by copies only (decision 29).
_AGREEING = 2.0

#: Whole numbers up to which every one is a double.
_LARGEST_COUNT = 2.0**53

#: Offsets of columns, in units of their scales, up to which single precision will do for weights on raw units.
_SINGLE_OFFSET = 1e3

#: Standard deviation of a normal distribution in units of its median absolute deviation.
_MAD_TO_DEVIATION = 1.4826

#: Scale of a column at most, in standard deviations of a normal distribution of equal quartiles (decision 28).
_MOST_DEVIATIONS = 2.0

#: Scales from its mean within which such a scale keeps all entries: solvers lose their way beyond (decision 28).
_FARTHEST = 1000.0

#: Distance of the quartiles of a normal distribution, in its standard deviations.
_QUARTILES_OF_NORMAL = 1.349

#: About so many rows estimate the scale of the noise: a median needs no more (decision 14).
_MAX_NEIGHBOURS = 5000


def _agreeing(w: Tensor, place: Tensor | None = None) -> float:
    """Return twice the number of pairs of rows in the same place, each in its own if None, of rows that stand for w."""
    groups = w if place is None else w.new_zeros(int(place.max()) + 1).index_add_(0, place, w)
    return float((groups * (groups - 1)).clamp_min(0).sum())


def _writable(array: Any) -> Any:
    """Return an array that torch may share; a read-only one is copied."""
    return array.copy() if isinstance(array, np.ndarray) and not array.flags.writeable else array


def _tensor(array: Any, device: Any = None) -> Tensor:
    """Return a floating-point tensor in the precision given; integers become double."""
    tensor = torch.as_tensor(_writable(array), device=device)
    if tensor.device.type == "mps":  # knows no double precision
        tensor = tensor.to("cpu")
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.to(torch.float64)


@dataclass(frozen=True)
class Samples:
    """Weighted samples.

    Attributes
    ----------
    X, Y : Tensor of shape (n, d), (n, c)
        Inputs and targets.
    weight : Tensor of shape (n,) or None
        Positive; None: all are equal.
    emphasis : Tensor of shape (n,) or None
        By what the loss of a row is multiplied besides: class weights, which say nothing about the number of
        observations.
    repeats : Tensor of shape (n,) or None
        How many observations a row stands for; None: each for one.
    """

    X: Tensor
    Y: Tensor
    weight: Tensor | None = None
    emphasis: Tensor | None = None
    repeats: Tensor | None = None

    @classmethod
    def build(cls, X: Any, y: Any, weight: Any = None, emphasis: Any = None) -> Samples:
        """Return samples as tensors in the precision given; rows of weight zero are left out, and equal weights."""
        X_ = _tensor(X)
        Y_, w, f = (None if a is None else _tensor(a, X_.device) for a in (y, weight, emphasis))
        Y_ = cast(Tensor, Y_)
        found = cls(X_, Y_[:, None] if Y_.ndim == 1 else Y_, w, f)
        factors = [a for a in (w, f) if a is not None]
        if factors:
            found = found.rows(torch.stack(factors).gt(0).all(0))
            if not len(found.X):
                raise ValueError("sample_weight times class_weight must be positive somewhere; got only zeros.")
        w = found.weight
        return replace(found, weight=None) if w is not None and bool((w == w[0]).all()) else found

    def merged(self) -> Samples:
        """Return the same weighted point set in a canonical form: equal rows merged, sorted.

        Then a weight is to the last bit the same as a repetition, and the order of rows is of no consequence.
        """
        if len(self.X) > _MAX_MERGED:
            return self
        rows = torch.cat([self.X.to(torch.float64), self.Y.to(torch.float64)], 1)
        rows, place = torch.unique(rows, dim=0, return_inverse=True)
        weight, emphasis = self.weight, self.emphasis
        if weight is None:
            merged = torch.bincount(place, minlength=len(rows)).to(rows)
        else:  # in the order of size: the sum must not depend on that of the rows
            order = weight.argsort()
            merged = weight.new_zeros(len(rows)).index_add_(0, place[order], weight[order])
        if emphasis is not None:  # equal rows have one class, and its weight
            emphasis = emphasis.new_zeros(len(rows)).index_copy_(0, place, emphasis)
        d = self.X.shape[1]
        X, Y = rows[:, :d].to(self.X.dtype).contiguous(), rows[:, d:].to(self.Y.dtype).contiguous()
        return Samples(X, Y, merged if bool((merged != merged[0]).any()) else None, emphasis)

    def observed(self, *, chosen: bool = False) -> Samples:
        r"""Return the samples with weights whose sum is the number of observations that they amount to.

        Weights say how much the rows count for each other, not how many observations there are: with weights w that is
        :math:`(\sum_i w_i)^2 / \sum_i w_i^2` (Kish 1965), the number of rows if all are equal. A row that was
        repeated is taken for one observation, since a copy brings no news.

        Where inputs and targets have few values, rows agree by chance, and a repeated row is no copy. It shows in rows
        of equal inputs, which then differ in their targets, or in columns that would make as many equal rows if they
        were independent. Then whole numbers, divided by their greatest common divisor, count. An emphasis f of
        observations w leaves
        :math:`(\sum_i w_i f_i)^2 / \sum_i w_i f_i^2` of them.

        If samples were ``chosen``, as the nodes of a quadrature and points of a boundary, each is one observation.
        """
        counts, weight = self._counts(), self.emphasised
        if chosen and weight is not None:
            return replace(self, weight=weight * (len(weight) / weight.sum()), emphasis=None)
        if counts is not None:
            f = torch.ones_like(counts) if self.emphasis is None else self.emphasis
            weight = counts * f
            weight = weight * (weight.sum() / (weight * f).sum())
        elif weight is not None:
            weight = weight / weight.max()
            weight = weight * (weight.sum() / weight.square().sum())
        return replace(self, weight=weight, emphasis=None, repeats=counts)

    @property
    def emphasised(self) -> Tensor | None:
        """Weights times emphasis; None if all are equal."""
        factors = [a for a in (self.weight, self.emphasis) if a is not None]
        if not factors:
            return None
        weight = torch.stack(factors).prod(0)
        return weight if bool((weight != weight[0]).any()) else None

    def _counts(self) -> Tensor | None:
        """Return how many observations each row stands for; None if repetitions are copies."""
        w = self.weight
        if w is None or not bool((w == w.round()).all()) or float(w.max()) > _LARGEST_COUNT or len(w) > _MAX_MERGED:
            return None
        w = w / np.gcd.reduce(w.to("cpu").numpy().astype(np.int64))
        inputs, targets = (torch.unique(array, dim=0, return_inverse=True)[1] for array in (self.X, self.Y))
        total, equal = float(w.sum()), _agreeing(w)
        pairs, alike = (_agreeing(w, place) for place in (inputs, targets))
        differ = 1 - equal / pairs if pairs else 0.0
        may_differ = 1 - alike / (total * (total - 1)) if total > 1 else 0.0
        return w if differ >= _BY_CHANCE * may_differ > 0 or self._repeat_by_chance(w) else None

    def _repeat_by_chance(self, w: Tensor) -> bool:
        """Return whether columns of few values explain why rows of weight w are equal, as if they were independent."""
        rows = slice(None, None, max(1, len(w) // _MAX_NEIGHBOURS))
        w, X, Y = w[rows], self.X[rows], self.Y[rows]
        total, equal = float(w.sum()), _agreeing(w)
        if not equal:
            return False
        expected, targets = total * (total - 1), torch.unique(Y, dim=0, return_inverse=True)[1]
        for column in chain([targets], X.unbind(1)):
            agree = _agreeing(w, torch.unique(column, return_inverse=True)[1])
            expected *= agree / (total * (total - 1))
            if agree < _AGREEING * equal or expected < _BY_CHANCE * equal:
                return False
        return True

    def split(
        self, fraction: float, generator: torch.Generator, strata: Tensor | None = None
    ) -> tuple[Samples, Samples | None]:
        """Return random training and validation parts, the latter with the same share of every stratum.

        One row of each stratum stays in the training part. If that leaves no others, there is no validation part.
        """
        order, last = self._stratified(generator, strata)
        n = len(order)
        n_val = min(n - last, max(1, round(fraction * n)))
        return self.rows(order[n_val:]), self.rows(order[:n_val]) if n_val else None

    def drawn(self, n: int, generator: torch.Generator, strata: Tensor | None = None) -> Samples:
        """Return n rows drawn at random, at least one of each stratum and as many of it as its share asks for."""
        order, last = self._stratified(generator, strata)
        return self.rows(torch.cat([order[len(order) - last :], order[: max(n - last, 0)]]))

    def _stratified(self, generator: torch.Generator, strata: Tensor | None) -> tuple[Tensor, int]:
        """Return the rows in a random order whose parts have the share of every stratum; one of each comes last."""
        n = len(self.X)
        order = torch.randperm(n, generator=generator)
        kind = order.new_zeros(n) if strata is None else strata.to("cpu")[order]
        size, by_kind = kind.bincount(), kind.argsort(stable=True)
        rank = torch.empty_like(order)
        rank[by_kind] = torch.arange(n) - (size.cumsum(0) - size)[kind[by_kind]]
        place = torch.where(rank + 1 < size[kind], (rank + 0.5) / size[kind], torch.inf)
        return order[place.argsort(stable=True)].to(self.X.device), int(place.isinf().sum())

    def rows(self, rows: Tensor) -> Samples:
        """Return some of the rows."""
        cut = (None if a is None else a[rows] for a in (self.weight, self.emphasis, self.repeats))
        return Samples(self.X[rows], self.Y[rows], *cut)

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

    All are in double precision. With a log link targets are divided by ``exp(y_mean)``. An input that is constant in
    the data has an infinite scale: it is zero in the units of training, and its weights on raw inputs are zero, since
    nothing is known of its effect.
    """

    x_mean: Tensor
    x_scale: Tensor
    y_mean: Tensor
    y_scale: Tensor
    log_link: bool = False

    @classmethod
    def of(
        cls,
        samples: Samples,
        standardize: bool,
        kind: str = "mean",
        n_channels: int | None = None,
        *,
        spread: bool = True,
    ) -> Units:
        """Return the units of training.

        Parameters
        ----------
        samples : Samples
            The training data.
        standardize : bool
            Whether inputs and targets are standardized at all.
        kind : {"mean", "median", "log", "size", "none"}
            Of targets: mean and standard deviation; median and median absolute deviation; the logarithm of the mean;
            the root mean square without a shift, for images under an operator; nothing. Constant targets keep their
            scale, and so do constant inputs under an operator, which may see a derivative along them.
        n_channels : int, optional
            Groups of consecutive features of equal number that share their units; default: every feature its own.
        spread : bool
            Whether scales of heavy-tailed columns keep the bulk of their entries apart; not needed if networks may see
            these by knots.

        Raises
        ------
        ValueError
            If the units are beyond the range of double precision.
        """
        X, Y = samples.X, samples.Y
        double = X.new_empty(0, dtype=torch.float64)
        x_units = double.new_zeros(X.shape[1]), double.new_ones(X.shape[1])
        y_units = double.new_zeros(Y.shape[1]), double.new_ones(Y.shape[1])
        weight = samples.emphasised
        g = double.new_ones(len(X)) if weight is None else weight.to(torch.float64)
        g = g / g.max()
        g = g / g.sum()
        if standardize:
            by_column = n_channels in (None, X.shape[1])
            x_units = _input_units(X, g, spread) if by_column else _channel_units(X, g, cast(int, n_channels))
            if kind == "size":
                x_units = x_units[0], _or_one(x_units[1])
                size = float((g @ Y.to(double).square()).mean().sqrt())
                y_units = (y_units[0], y_units[1] * (size if size > 0 else 1.0))
            if kind in ("mean", "median"):
                mean, deviation = _moments(Y, g)
                y_units = mean, _or_one(deviation)
            if kind == "median":
                y_units = _robust_moments(Y.to(double), g, y_units[1])
        if kind == "log":
            y_units = _mean_counts(Y.to(double), g).log(), y_units[1]
        _require_range("X", *x_units)
        _require_range("y", *y_units)
        return cls(*x_units, *y_units, kind == "log")

    def apply(self, samples: Samples, device: torch.device, dtype: torch.dtype) -> Samples:
        """Return the samples in the new units, on a device and in a precision.

        Raises
        ------
        ValueError
            If they are beyond the range of the precision.
        """
        X = _changed(samples.X, self.x_mean, self.x_scale, device, dtype, "X")
        none = torch.zeros_like(self.y_mean)
        shift, scale = (none, self.y_mean.exp()) if self.log_link else (self.y_mean, self.y_scale)
        Y = _changed(samples.Y, shift, scale, device, dtype, "y")
        rows = (None if a is None else a.to(device, dtype) for a in (samples.weight, samples.emphasis, samples.repeats))
        return Samples(X, Y, *rows)

    def joined(self, samples: Samples) -> Units:
        """Return the units with those of further data for inputs that were constant so far.

        Their weights have been zero, so that no function changes with their units.
        """
        new = Units.of(samples, standardize=True, kind="none")
        unknown = self.x_scale.isinf()
        x_scale, x_mean = new.x_scale.where(unknown, self.x_scale), new.x_mean.where(unknown, self.x_mean)
        return replace(self, x_mean=x_mean, x_scale=x_scale)

    def outward(self, network: Network) -> Network:
        """Return a network between units of training as one between raw units, in double precision."""
        network = network.like(self.x_mean)
        return from_standardized(network, self.x_mean, self.x_scale, self.y_mean, self.y_scale)

    def inward(self, network: Network) -> Network:
        """Return a network between raw units as one between units of training, in double precision."""
        network = network.like(self.x_mean)
        x_mean, y_mean = -self.x_mean / self.x_scale, -self.y_mean / self.y_scale
        return from_standardized(network, x_mean, 1 / self.x_scale, y_mean, 1 / self.y_scale)

    @property
    def fit_single(self) -> bool:
        """Whether a network on raw units can be stored in single precision without harm."""
        known, (least, largest) = self.x_scale.isfinite(), SINGLE_RANGE
        offset = torch.cat([(self.x_mean / self.x_scale)[known], self.y_mean / self.y_scale]).abs()
        scale = torch.cat([self.x_scale[known], self.y_scale])
        return bool(((scale >= least) & (scale <= largest) & (offset <= _SINGLE_OFFSET)).all())


def _changed(A: Tensor, shift: Tensor, scale: Tensor, device: torch.device, dtype: torch.dtype, name: str) -> Tensor:
    """Return ``(A - shift) / scale``, computed in double precision, block by block of rows."""
    rows = rows_within(CHUNKS.output_values, A.shape[1])
    parts = [((part.to(torch.float64) - shift) / scale).to(device, dtype) for part in A.split(rows)]
    found = parts[0] if len(parts) == 1 else torch.cat(parts)
    if not bool(found.isfinite().all()):
        raise ValueError(
            f"{name} must be finite in units of training and dtype {str(dtype).removeprefix('torch.')!r}; its largest "
            f"value is {float(A.abs().max()):.3g}. standardize=True, another dtype or other units of {name} may help."
        )
    return found


def _require_range(name: str, mean: Tensor, scale: Tensor) -> None:
    """Raise ValueError for units that are not finite, or whose reciprocal is not."""
    bad = ~(mean.isfinite() & ~scale.isnan() & (1 / scale).isfinite())
    if bool(bad.any()):
        j = int(bad.nonzero()[0, 0])
        raise ValueError(
            f"{name} must have means and deviations within the range of float64; those of column {j} are "
            f"{float(mean[j]):.3g} and {float(scale[j]):.3g}. Use other units for it."
        )


def _or_one(scale: Tensor) -> Tensor:
    return scale.where(scale.isfinite(), torch.ones_like(scale))


def _mean_counts(Y: Tensor, g: Tensor) -> Tensor:
    """Return means of counts, positive ones: where all are zero that of half a count in all."""
    mean = g @ Y
    least = LEAST_MEAN * float(mean.max())
    return mean.clamp_min(least if least > 0 else 0.5 / len(Y))


def _robust_moments(Y: Tensor, g: Tensor, fallback: Tensor) -> tuple[Tensor, Tensor]:
    """Return weighted medians and deviations by the median; if more than half is equal, the scale ``fallback``."""
    median = _weighted_median(Y, g)
    scale = _MAD_TO_DEVIATION * _weighted_median((Y - median).abs(), g)
    return median, scale.where(scale > NO_SPREAD * fallback, fallback)


def _weighted_median(A: Tensor, g: Tensor) -> Tensor:
    return weighted_quantiles(A, g, (0.5,))[0]


def weighted_quantiles(A: Tensor, g: Tensor, levels: Sequence[float]) -> list[Tensor]:
    """Return quantiles of the columns, entries themselves."""
    ordered, order = A.sort(dim=0)
    reached, columns = g[order].cumsum(0), torch.arange(A.shape[1], device=A.device)
    places = ((reached >= level - CUMULATIVE_ROUNDING).to(torch.int8).argmax(0) for level in levels)
    return [ordered[place, columns] for place in places]


def _channel_units(X: Tensor, g: Tensor, n_channels: int) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of every channel, repeated for its pixels."""
    pixels = X.shape[1] // n_channels
    values = X.reshape(len(X), n_channels, pixels).transpose(1, 2).reshape(-1, n_channels)
    mean, scale = _moments(values, (g / pixels).repeat_interleave(pixels))
    return mean.repeat_interleave(pixels), scale.repeat_interleave(pixels)


def _input_units(X: Tensor, g: Tensor, spread: bool) -> tuple[Tensor, Tensor]:
    """Return mean and scale of every column."""
    columns, eps = rows_within(CHUNKS.output_values, len(X)), torch.finfo(X.dtype).eps
    parts = [column_units(part.to(torch.float64), g, eps, spread) for part in X.split(columns, dim=1)]
    mean, scale = zip(*parts, strict=True)
    return torch.cat(mean), torch.cat(scale)


def column_units(A: Tensor, g: Tensor, eps: float, spread: bool = True) -> tuple[Tensor, Tensor]:
    """Return mean and scale of the columns of inputs, infinite for a constant one.

    The scale is the root mean square of the deviations from the median of those entries that are not the median
    itself, and if ``spread`` at most twice the standard deviation of a normal distribution of equal quartiles. So a
    continuous column has its standard deviation, a rare indicator the difference of its values (Gelman 2008), rare
    counts their size, and a column of heavy tails the width of its bulk: standard deviations would blow up the former
    and squeeze the latter (decision 28).

    Parameters
    ----------
    A : Tensor of shape (n, d)
        Columns, in double precision.
    g : Tensor of shape (n,)
        Weights of sum 1.
    eps : float
        Relative rounding of the entries.
    spread : bool, default=True
        Whether the bulk of heavy-tailed columns is kept apart.
    """
    mean, deviation = _moments(A, g, eps)
    low, median, high = weighted_quantiles(A, g, (0.25, 0.5, 0.75))
    unit = torch.where(deviation.isfinite(), deviation, torch.ones_like(deviation))
    away = (A - median) / unit
    scale = ((g @ away.square()) / (g @ (away != 0).to(A)).clamp_min(TINY)).sqrt() * unit
    if not spread:
        return mean, torch.where(deviation.isfinite(), scale, deviation)
    widest = _MOST_DEVIATIONS * (high - low) / _QUARTILES_OF_NORMAL
    farthest = torch.maximum(A.amax(0) - mean, mean - A.amin(0)) / _FARTHEST
    scale = torch.where((widest > 0) & (widest < scale), widest.maximum(farthest), scale)
    return mean, torch.where(deviation.isfinite(), scale, deviation)


def _moments(A: Tensor, g: Tensor, eps: float | None = None) -> tuple[Tensor, Tensor]:
    """Return means and standard deviations, these infinite for columns that are constant up to rounding.

    ``eps`` is the relative rounding of the entries.
    """
    eps = torch.finfo(A.dtype).eps if eps is None else eps
    A = A.to(torch.float64)
    lowest, highest = A.aminmax(dim=0)
    spread = highest - lowest
    mean = A[0] + g @ (A - A[0])  # exact for a constant, and accurate far from zero
    unit = torch.where(spread > 0, spread, torch.ones_like(spread))  # no under- or overflow in the squares
    scale = (g @ ((A - mean) / unit).square()).sqrt() * unit
    noise = CONSTANT_COLUMN * eps * torch.maximum(lowest.abs(), highest.abs())
    return mean, scale.where(spread > noise, torch.full_like(scale, torch.inf))
