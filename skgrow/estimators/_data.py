"""From what a user passes to tensors: validation, merging of equal rows, standardization, device and type."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from sklearn.exceptions import DataConversionWarning
from sklearn.utils import check_array
from sklearn.utils.validation import column_or_1d, validate_data

from skgrow._messages import warn

if TYPE_CHECKING:
    from torch import Tensor


def is_tensor(array: Any) -> bool:
    """Whether ``array`` is a torch tensor; never imports torch."""
    return "torch" in sys.modules and isinstance(array, sys.modules["torch"].Tensor)


def validate_X(estimator: Any, X: Any, *, reset: bool) -> Any:
    """Return X as a finite 2-D float array, stored row by row, or as a tensor where a tensor was given."""
    if is_tensor(X):
        return _validate_tensor(estimator, X, reset=reset)
    if not reset and _is_plain(estimator, X):
        return shareable(X)
    X = validate_data(
        estimator, X, reset=reset, accept_sparse="csr", dtype=[np.float64, np.float32], order="C", ensure_min_samples=1
    )
    return X.toarray(order="C") if sparse.issparse(X) else shareable(X)


def _is_plain(estimator: Any, X: Any) -> bool:
    """Whether scikit-learn would find nothing wrong with X and return it as it is: its checks cost more than a row."""
    if type(X) is not np.ndarray or X.dtype not in (np.float64, np.float32) or not X.flags.c_contiguous:
        return False
    if X.ndim != 2 or not len(X) or X.shape[1] != estimator.n_features_in_ or hasattr(estimator, "feature_names_in_"):
        return False
    with np.errstate(all="ignore"):
        return bool(np.isfinite(X.sum()))


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
        if y.is_complex():
            raise ValueError("Complex data not supported")
        if y.ndim not in (1, 2) or not bool(torch.isfinite(y).all()):
            raise ValueError("y must be a finite tensor of shape (n_samples,) or (n_samples, n_outputs).")
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    else:
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None.")
        y = check_array(y, ensure_2d=False, dtype="numeric", input_name="y", ensure_min_samples=1)
        y = check_array(y, ensure_2d=False, allow_nd=True, dtype=[np.float64, np.float32], input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = one_column(y)
        elif y.ndim > 2:
            raise ValueError(f"y must have shape (n_samples,) or (n_samples, n_outputs); got {y.shape}.")
        y = shareable(y)
    if len(y) != n:
        raise ValueError(f"Found input variables with inconsistent numbers of samples: [{n}, {len(y)}]")
    return y


def one_column(y: np.ndarray) -> np.ndarray:
    """Return one target a sample; a column is taken with scikit-learn's warning."""
    if y.ndim == 2 and y.shape[1] == 1:
        warn(
            "A column-vector y was passed when a 1d array was expected. Please change the shape of y to "
            "(n_samples,), for example using ravel().",
            DataConversionWarning,
        )
    return column_or_1d(y)


def validate_sample_weight(sample_weight: Any, n: int, name: str = "sample_weight") -> Any:
    """Return weights of shape (n,), or None if none were given."""
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
    return shareable(w)


def shareable(array: np.ndarray) -> np.ndarray:
    """Return an array as torch can share it: native bytes, at most double precision, strides forward, not read-only."""
    dtype = np.dtype(np.float64) if array.dtype.type is np.longdouble else array.dtype.newbyteorder("=")
    array = array.astype(dtype, copy=False)
    backward = any(stride < 0 for stride in array.strides)  # also of a single row, which counts as contiguous
    return array.copy() if backward or not array.flags.writeable else array
