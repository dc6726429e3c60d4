"""Two interleaved spirals: a classification task that needs more than one layer of few neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state


def make_spirals(
    n_samples: int = 600,
    *,
    start: float = 0.5,
    turns: float = 1.0,
    noise: float = 0.0,
    shuffle: bool = True,
    random_state: Any = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    r"""Generate points on the two arms of a spiral, labelled by arm.

    Point i of the N points of arm :math:`s = \pm 1` lies at
    :math:`s\, r_i (\cos \varphi_i, \sin \varphi_i)` with :math:`\varphi_i = 2 \pi\, i\, t / N` and
    :math:`r_i = r_0 + i\, t / N`, where t is the number of turns.

    Parameters
    ----------
    n_samples : int, default=600
        Number of points on both arms together; the first arm has the odd one.

    start : float, default=0.5
        Inner radius :math:`r_0`.

    turns : float, default=1.0
        Turns of an arm, each one unit further out.

    noise : float, default=0.0
        Standard deviation of normal noise on the coordinates.

    shuffle : bool, default=True
        Whether points are in random order, or arm by arm from the inside.

    random_state : int, RandomState instance or None, default=None
        For noise and order. Pass an int for repeatable results.

    Returns
    -------
    X : ndarray of shape (n_samples, 2)
        Points.
    y : ndarray of shape (n_samples,)
        Arm, 0 or 1.

    Raises
    ------
    ValueError
        For negative numbers.

    Examples
    --------
    >>> from skgrow.datasets import make_spirals
    >>> X, y = make_spirals(600, random_state=0)
    >>> X.shape, y.sum()
    ((600, 2), np.int64(300))
    """
    for name, value in (("n_samples", n_samples), ("start", start), ("turns", turns), ("noise", noise)):
        if not value >= 0:
            raise ValueError(f"{name} must not be negative; got {value!r}.")
    rng = check_random_state(random_state)
    arms, labels = [], []
    for label, sign in ((0, 1), (1, -1)):
        count = n_samples // 2 + (n_samples % 2) * (1 - label)
        way = turns * np.arange(count) / max(count, 1)
        angle, radius = 2 * np.pi * way, start + way
        arms.append(sign * radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1))
        labels.append(np.full(count, label))
    X, y = np.concatenate(arms), np.concatenate(labels)
    X = X + noise * rng.standard_normal(X.shape) if noise else X
    order = rng.permutation(n_samples) if shuffle else np.arange(n_samples)
    return X[order], y[order]
