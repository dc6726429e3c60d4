"""From what a user passes to tensors: validation, merging of equal rows, standardization, device and type."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array
from sklearn.utils.validation import column_or_1d, validate_data

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Up to so many rows, equal rows are merged, which makes weighting a row and repeating it the same to the last bit.
_MAX_MERGED = 200_000

#: Standard deviation of a normal distribution in units of its median absolute deviation.
_MAD_TO_DEVIATION = 1.4826

#: About so many rows estimate the scale of the noise.
_MAX_NEIGHBOURS = 5000


def is_tensor(array: Any) -> bool:
    """Whether ``array`` is a torch tensor; never imports torch."""
    return "torch" in sys.modules and isinstance(array, sys.modules["torch"].Tensor)


def resolve_device(device: str, work: float, like: Any = None) -> torch.device:
    """Return the device to compute on.

    Parameters
    ----------
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:k"`` or ``"mps"``.
    work : float
        Floating-point operations of one pass over the data; ``"auto"`` takes an accelerator above 2e9.
    like : Tensor, optional
        With ``"auto"``, a tensor that already lies somewhere stays there.

    Raises
    ------
    ValueError
        If there is no such device.
    """
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if device == "auto":
        if is_tensor(like) and like.device.type != "cpu":
            return like.device
        return torch.device("cuda" if cuda and work > 2e9 else "cpu")
    available = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count())), *(["mps"] if mps else [])]
    name = f"cuda:{torch.cuda.current_device()}" if device == "cuda" and cuda else device
    if name not in available:
        raise ValueError(f"device={device!r} is not available here; devices that are: {['auto', *available]}.")
    return torch.device(name)


def validate_X(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Return X as a finite 2-D float array, stored row by row, or as a tensor where a tensor was given."""
    if is_tensor(X):
        return _validate_tensor(estimator, X, reset=reset)
    X = validate_data(
        estimator, X, reset=reset, accept_sparse="csr", dtype=[np.float64, np.float32], order="C", ensure_min_samples=1
    )
    return X.toarray(order="C") if sparse.issparse(X) else X


def _validate_tensor(estimator: Any, X: Tensor, *, reset: bool) -> Tensor:
    import torch

    if X.ndim != 2:
        raise ValueError(f"Expected 2D array, got {X.ndim}D array instead: shape={tuple(X.shape)}.")
    if X.is_complex():
        raise ValueError("Complex data not supported")
    X = X.detach()
    if not X.is_floating_point() or X.dtype in (torch.float16, torch.bfloat16):
        X = X.to(torch.float32 if X.device.type == "mps" else torch.float64)
    if X.shape[0] < 1 or X.shape[1] < 1:
        raise ValueError(
            f"Found array with shape={tuple(X.shape)} while a minimum of 1 sample and 1 feature is required."
        )
    if not bool(torch.isfinite(X).all()):
        raise ValueError("Input X contains NaN or infinity.")
    if reset:
        estimator.n_features_in_ = X.shape[1]
        estimator.__dict__.pop("feature_names_in_", None)
    elif X.shape[1] != estimator.n_features_in_:
        raise ValueError(
            f"X has {X.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )
    return X


def validate_y(y: Any, n: int) -> Any:
    """Return finite numeric targets of shape (n,) or (n, c), as an array or tensor."""
    if is_tensor(y):
        import torch

        y = y.detach()
        if y.ndim not in (1, 2) or not bool(torch.isfinite(y).all()):
            raise ValueError("y must be a finite tensor of shape (n_samples,) or (n_samples, n_outputs).")
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    else:
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None.")
        y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y", ensure_min_samples=1)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        elif y.ndim > 2:
            raise ValueError(f"y must have shape (n_samples,) or (n_samples, n_outputs); got {y.shape}.")
    if len(y) != n:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: [{n}, {len(y)}]")
    return y


def validate_sample_weight(sample_weight: Any, n: int, name: str = "sample_weight") -> Any:
    """Return weights of shape (n,), or None where all are equal to one or none were given."""
    if sample_weight is None:
        return None
    if is_tensor(sample_weight):
        w = sample_weight.detach().to("cpu").numpy()
    elif np.isscalar(sample_weight):
        w = np.full(n, sample_weight)
    else:
        w = sample_weight
    w = check_array(w, ensure_2d=False, dtype=np.float64, input_name=name)
    if w.ndim != 1:
        raise ValueError("Sample weights must be 1D array or scalar")
    if w.shape != (n,):
        raise ValueError(f"{name}.shape == {w.shape}, expected ({n},)!")
    if np.any(w < 0):
        raise ValueError(f"Negative values in data passed to `{name}`")
    if not np.any(w > 0):
        raise ValueError(f"`{name}` must have at least one positive value; got only zeros.")
    if not np.all(w == np.rint(w)):  # relative weights, not counts of observations
        w = w * (np.count_nonzero(w) / w.sum())
    return w


def writable(array: Any) -> Any:
    """Return an array that torch may share; a read-only one is copied."""
    return array.copy() if isinstance(array, np.ndarray) and not array.flags.writeable else array


@dataclass
class Samples:
    """Tensors on the device: inputs (n, d), targets (n, c) and weights (n,) or None."""

    X: Tensor
    Y: Tensor
    weight: Tensor | None

    @classmethod
    def build(cls, X: Any, y: Any, weight: Any, device: torch.device, dtype: torch.dtype) -> Samples:
        """Move to the device, once."""
        import torch

        X_ = torch.as_tensor(writable(X), dtype=dtype, device=device)
        Y_ = torch.as_tensor(writable(y), dtype=dtype, device=device)
        w = None if weight is None else torch.as_tensor(writable(weight), dtype=dtype, device=device)
        samples = cls(X_, Y_[:, None] if Y_.ndim == 1 else Y_, w)
        return samples if w is None or bool((w > 0).all()) else samples._rows(w > 0)

    def merged(self) -> Samples:
        """Return the same weighted point set in a canonical form: equal rows merged, sorted.

        Then a weight is to the last bit the same as a repetition, and the order of rows is of no consequence.
        """
        import torch

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
        import torch

        n = len(self.X)
        n_val = min(n - 1, max(1, round(fraction * n)))
        order = torch.randperm(n, generator=generator).to(self.X.device)
        return self._rows(order[n_val:]), self._rows(order[:n_val])

    def _rows(self, rows: Tensor) -> Samples:
        return Samples(self.X[rows], self.Y[rows], None if self.weight is None else self.weight[rows])


@dataclass
class Scaling:
    """Change of units: inputs ``(x - x_mean) / x_scale``; raw outputs are ``y_mean + y_scale * output``.

    With a log link targets are divided by ``exp(y_mean)``.
    """

    x_mean: Tensor
    x_scale: Tensor
    y_mean: Tensor
    y_scale: Tensor
    log_link: bool = False

    @classmethod
    def of(cls, samples: Samples, standardize: bool, kind: str = "mean", n_channels: int | None = None) -> Scaling:
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
            y_units = (mean.clamp_min(1e-12 * float(mean.max())).log(), y_units[1])
        return cls(*x_units, *y_units, kind == "log")

    def apply(self, samples: Samples) -> Samples:
        """Return the samples in the new units."""
        X = (samples.X - self.x_mean) / self.x_scale
        Y = samples.Y / self.y_mean.exp() if self.log_link else (samples.Y - self.y_mean) / self.y_scale
        return Samples(X, Y, samples.weight)


def noise_scale(samples: Samples) -> float:
    """Return a robust standard deviation of the noise: that of differences between nearest neighbours, over root two.

    Where the function varies between neighbours it is too large, up to the deviation of the targets themselves.
    """
    from sklearn.neighbors import NearestNeighbors

    X, Y = (a[:: max(1, len(a) // _MAX_NEIGHBOURS)].to("cpu").numpy() for a in (samples.X, samples.Y))
    if len(X) < 3:
        return 1.0
    nearest = NearestNeighbors(n_neighbors=2).fit(X).kneighbors(X, return_distance=False)
    # of a row and its duplicates either may come first
    other = np.where(nearest[:, 0] == np.arange(len(X)), nearest[:, 1], nearest[:, 0])
    scale = _MAD_TO_DEVIATION * float(np.median(np.abs(Y - Y[other]))) / np.sqrt(2)
    return scale if scale > 0 else 1.0


def _robust_moments(Y: Tensor, g: Tensor, fallback: Tensor) -> tuple[Tensor, Tensor]:
    """Return weighted medians and deviations by the median; where more than half is equal, the scale ``fallback``."""
    median = _weighted_median(Y, g)
    scale = _MAD_TO_DEVIATION * _weighted_median((Y - median).abs(), g)
    return median, scale.where(scale > 1e-6 * fallback, fallback)


def _weighted_median(A: Tensor, g: Tensor) -> Tensor:
    import torch

    ordered, order = A.sort(dim=0)
    reached = g[order].cumsum(0) >= 0.5 - 1e-9
    return ordered[reached.to(torch.int8).argmax(0), torch.arange(A.shape[1], device=A.device)]


def _channel_moments(X: Tensor, g: Tensor, n_channels: int) -> tuple[Tensor, Tensor]:
    """Return mean and deviation of every channel, repeated for its pixels."""
    pixels = X.shape[1] // n_channels
    values = X.reshape(len(X), n_channels, pixels).transpose(1, 2).reshape(-1, n_channels)
    mean, scale = _moments(values, (g / pixels).repeat_interleave(pixels))
    return mean.repeat_interleave(pixels), scale.repeat_interleave(pixels)


def _moments(A: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    import torch

    mean = g @ A
    centred = A - mean
    largest = centred.abs().amax(0)
    unit = torch.where(largest > 0, largest, torch.ones_like(largest))  # no under- or overflow in the squares
    scale = (g @ (centred / unit).square()).sqrt() * unit
    noise = 10 * torch.finfo(A.dtype).eps * A.abs().amax(0)  # a column that is constant up to rounding
    return mean, torch.where(scale > noise, scale, torch.ones_like(scale))
