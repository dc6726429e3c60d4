"""From the parameter ``operator`` to a linear operator in the units of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from skgrow.problem._operators import Operator, derivative, gradient, is_linear
from skgrow.problem._samples import Samples, Units

_ALLOWED = "None, 'gradient', ('directional', v) with a vector v of n_features numbers, or a callable (f, X) -> (n, k)"


def make_operator(operator: Any, samples: Samples, units: Units, inputs: torch.Tensor) -> Operator:
    """Return the operator, with the change of input units inside.

    Parameters
    ----------
    operator : str, tuple or callable
        See :class:`~skgrow.GrowingRegressor`.
    samples : Samples
        As given.
    units : Units
        Of training.
    inputs : Tensor of shape (n, d)
        The samples' in units of training.

    Raises
    ------
    ValueError
        For an operator that is unknown, does not fit the data or is not linear.
    """
    X, d = samples.X.to(inputs), samples.X.shape[1]
    n_columns = samples.Y.shape[1]
    components = 1
    if operator == "gradient":
        rule, components = gradient(d), d
        if n_columns != d:
            raise ValueError(
                f"operator='gradient' needs y of shape (n_samples, {d}), a gradient a row; got {n_columns}."
            )
    elif isinstance(operator, tuple):
        rule = derivative(_direction(operator, d).to(X))
    elif callable(operator):
        rule = _checked(operator)
    else:
        raise ValueError(f"operator must be {_ALLOWED}; got {operator!r}.")
    if components == 1 and n_columns != 1:
        raise ValueError(f"operator={operator!r} needs y of shape (n_samples,); got {n_columns} columns.")
    built = Operator(rule, components, units.x_mean, units.x_scale, given=(inputs, X))
    if callable(operator) and not is_linear(rule, X):
        raise ValueError(
            "operator must be linear in f, column by column; the callable given is not (on random functions)."
        )
    # images of functions of size one get size one, whatever the units of X
    built.unit = built.typical_size(inputs)
    return built


def _direction(operator: tuple[Any, ...], d: int) -> torch.Tensor:
    if len(operator) != 2 or operator[0] != "directional":
        raise ValueError(f"operator must be {_ALLOWED}; got {operator!r}.")
    vector = np.atleast_1d(np.asarray(operator[1]))
    if vector.shape != (d,) or vector.dtype.kind not in "iuf" or not np.isfinite(vector).all():
        raise ValueError(f"operator=('directional', v) needs a finite vector v of shape ({d},); got {operator[1]!r}.")
    return torch.as_tensor(vector, dtype=torch.float64)


def _checked(operator: Any) -> Any:
    def rule(f: Any, X: torch.Tensor) -> torch.Tensor:
        result = operator(f, X)
        with torch.no_grad():
            wanted = f(X).shape
        if not isinstance(result, torch.Tensor) or result.shape != wanted:
            raise ValueError(
                "operator must return a tensor of as many rows and columns as f(X) has, here "
                f"{tuple(wanted)}; got {tuple(result.shape) if isinstance(result, torch.Tensor) else type(result)}."
            )
        return result

    return rule
