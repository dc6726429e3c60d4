"""Spirals: where the points lie."""

import numpy as np
import pytest

from skgrow.datasets import make_spirals


def test_points_lie_on_the_arms():
    X, y = make_spirals(600, shuffle=False)
    assert X.shape == (600, 2)
    np.testing.assert_array_equal(y, np.repeat([0, 1], 300))
    way = np.arange(300) / 300
    np.testing.assert_allclose(np.hypot(*X[:300].T), 0.5 + way)
    np.testing.assert_allclose(X[300:], -X[:300])
    np.testing.assert_allclose(np.unwrap(np.arctan2(X[:300, 1], X[:300, 0])), 2 * np.pi * way, atol=1e-12)


def test_order_noise_and_odd_numbers():
    X, y = make_spirals(7, random_state=0)
    assert (y == 0).sum() == 4
    A, _ = make_spirals(7, shuffle=False)
    np.testing.assert_allclose(np.sort(X, axis=0), np.sort(A, axis=0))
    noisy, _ = make_spirals(2000, noise=0.1, shuffle=False, random_state=0)
    clean, _ = make_spirals(2000, shuffle=False)
    assert (noisy - clean).std() == pytest.approx(0.1, rel=0.05)
    assert make_spirals(0)[0].shape == (0, 2)


def test_errors_name_the_parameter():
    for name in ("n_samples", "start", "turns", "noise"):
        with pytest.raises(ValueError, match=f"{name} must not be negative"):
            make_spirals(**{name: -1})
