"""An oracle for ridge functions: the best continuous piecewise linear fit once the direction is known."""

import numpy as np
from scipy.optimize import least_squares

from skgrow.datasets import free_knots


class FreeKnotFit:
    """Continuous piecewise linear least-squares fit with free knots.

    The linear part is free, so it is at least as good as any ReLU network with as many neurons in that direction.
    Knots start at the asymptotically optimal places for the sampled range and, jittered, around them; they are
    polished by Gauss-Newton with the coefficients projected out (Kaufman), and the smallest training error wins.
    """

    def __init__(self, profile, n_knots, *, n_starts=5, seed=0):
        self.profile, self.n_knots, self.n_starts, self.seed = profile, n_knots, n_starts, seed

    def fit(self, t, y):
        """Fit values y at places t, both of shape (n,)."""
        rng = np.random.default_rng(self.seed)
        low, high = float(t.min()), float(t.max())
        start = free_knots(self.profile, self.n_knots, (low, high))
        gaps = np.diff(np.concatenate([[low], start, [high]]))
        best = np.inf
        for i in range(self.n_starts):
            jitter = rng.uniform(-0.4, 0.4, self.n_knots) * np.minimum(gaps[:-1], gaps[1:]) if i else 0
            knots = self._polish(t, y, start + jitter, low, high)
            coef = np.linalg.lstsq(_features(t, knots), y)[0]
            error = np.mean((_features(t, knots) @ coef - y) ** 2)
            if error < best:
                best, self.knots_, self.coef_ = error, knots, coef
        return self

    def predict(self, t):
        """Return the fit at t."""
        return _features(t, self.knots_) @ self.coef_

    def _polish(self, t, y, knots, low, high):
        scale = np.sqrt(np.mean(y**2)) * 1e-4  # residuals of order one: tolerances of the solver are absolute

        def residual(knots):
            Q, _ = np.linalg.qr(_features(t, knots))
            return (y - Q @ (Q.T @ y)) / scale

        def jacobian(knots):
            A = _features(t, knots)
            Q, R = np.linalg.qr(A)
            coef = np.linalg.lstsq(R, Q.T @ y)[0]
            moved = coef[2:] * (t[:, None] > knots)
            return (moved - Q @ (Q.T @ moved)) / scale

        inside = np.clip(np.sort(knots), low + 1e-9, high - 1e-9)
        found = least_squares(residual, inside, jacobian, bounds=(low, high), x_scale="jac", max_nfev=100)
        return np.sort(found.x)


def _features(t, knots):
    return np.column_stack([np.ones_like(t), t, np.maximum(t[:, None] - knots, 0)])
