"""Knots go where an additive model bends, by its evidence, and nowhere else."""

import math

import numpy as np
import pytest
import torch

from skgrow.problem import PiecewiseLinear, Problem, Samples, SquaredError, Units
from skgrow.problem._encoding import _Additive, knots_of


def problem(X, y, weight=None, loss=None):
    given = Samples.build(X, y, weight).merged()
    samples = Units.of(given, standardize=True).apply(given.observed(), torch.device("cpu"), torch.float64)
    return Problem(samples.X, samples.Y, samples.weight, loss=loss or SquaredError())


def features_with_knots(found):
    return {} if found is None else {j: n for j, n in enumerate(found.feature.bincount().tolist()) if n}


def made(n, f, seed=0, noise=0.3, d=6):
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, d))
    return X, f(X) + noise * rng.normal(size=n)


def test_bent_features_get_knots_and_others_none():
    X, y = made(1000, lambda X: np.sin(5 * X[:, 0]) + np.abs(X[:, 3]) + X[:, 1] + X[:, 2] * X[:, 4])
    assert set(features_with_knots(PiecewiseLinear().of(problem(X, y)))) == {0, 3}


@pytest.mark.parametrize("n", [30, 100, 500, 3000])
def test_linear_functions_and_noise_get_no_knots(n):
    got = 0
    for seed in range(10):
        X, y = made(n, lambda X: X @ np.arange(6.0), seed)
        got += PiecewiseLinear().of(problem(X, y)) is not None
    assert got <= 1


def test_few_rows_get_none_however_bent():
    X, y = made(150, lambda X: 5 * np.sin(5 * X[:, 0]))
    assert PiecewiseLinear().of(problem(X, y)) is None


def test_two_values_are_a_line_and_few_values_get_a_knot_each():
    X, y = made(800, lambda X: np.zeros(len(X)), noise=0.1)
    X[:, 0], X[:, 1] = X[:, 0] > 0, np.round(1.5 * X[:, 1])  # -1, 0 and 1, or 2 and -2 at times
    y += X[:, 0] + np.abs(X[:, 1])
    found = PiecewiseLinear().of(problem(X, y))
    assert features_with_knots(found) == {1: len(np.unique(X[:, 1]))}


def test_a_number_of_knots_is_that_number_for_every_feature_of_more_values():
    X, y = made(300, lambda X: X[:, 0])
    X[:, 1], X[:, 2], X[:, 3] = X[:, 1] > 0, np.round(X[:, 2]), 1.0
    assert features_with_knots(PiecewiseLinear(n_knots=np.int64(7)).of(problem(X, y))) == {0: 7, 2: 3, 4: 7, 5: 7}


@pytest.mark.parametrize("n_knots", [2, "many", 4.5])
def test_numbers_of_knots_that_are_none_are_refused(n_knots):
    with pytest.raises(ValueError, match="n_knots must be 'auto' or at least 3; got"):
        PiecewiseLinear(n_knots).check()


def test_weights_are_repetitions():
    X, y = made(700, lambda X: np.sin(5 * X[:, 0]))
    weight = np.random.default_rng(1).integers(1, 4, size=700)
    by_weight = PiecewiseLinear().of(problem(X, y, weight.astype(float)))
    by_rows = PiecewiseLinear().of(problem(np.repeat(X, weight, 0), np.repeat(y, weight)))
    torch.testing.assert_close(by_weight.knot, by_rows.knot, rtol=1e-12, atol=0)
    torch.testing.assert_close(by_weight.scale, by_rows.scale, rtol=1e-12, atol=0)


def test_knots_are_entries_at_weighted_quantiles():
    x = torch.tensor([3.0, 0.0, 1.0, 2.0, 4.0])
    assert knots_of(x, torch.full((5,), 0.2), 9).tolist() == [0, 1, 2, 3, 4]
    assert knots_of(x, torch.tensor([0.1, 0.1, 0.1, 0.6, 0.1]), 3).tolist() == [0, 2, 4]
    counts = torch.cat([torch.zeros(90), torch.arange(1.0, 11.0)])  # nine tenths are zero
    assert len(knots_of(counts, torch.full((100,), 0.01), 5)) == 4
    assert knots_of(torch.tensor([0.0, 1.0, 1.0]), torch.full((3,), 1 / 3), 5) is None


def test_gains_are_differences_of_the_log_evidence():
    """Against the log density of normal targets, with the noise variance at its best."""
    X, y = made(60, lambda X: np.sin(4 * X[:, 0]), d=2)
    p = problem(X, y)
    model = _Additive(p.X, p.Y - (p.g @ p.Y), p.g, 400.0)  # of so many that knots are affordable
    model.free = 60.0 - 3
    P = model.first[0]
    gain, rest, effective = model._gain(P)
    T, n = model.T[:, 0], 60
    line = torch.linalg.qr(torch.cat([torch.ones(n, 1), p.X], 1).to(torch.float64))[0]
    outside = torch.linalg.svd(torch.eye(n, dtype=torch.float64) - line @ line.T)[0][:, : n - 3]
    t, ramps = outside.T @ T, outside.T @ P

    def log_density(ratio):
        """Up to a constant, of what the line leaves: the covariance is the noise's and that of ramps."""
        C = torch.eye(n - 3, dtype=torch.float64) + (ramps @ ramps.T / ratio if ratio else 0)
        size = t @ torch.linalg.solve(C, t)
        return float(-0.5 * (n - 3) * size.log() - 0.5 * torch.linalg.slogdet(C)[1])

    size = float(torch.linalg.eigvalsh(P.T @ P)[-1])
    best = max(log_density(size * r) for r in np.logspace(-4, 1, 21))
    assert gain == pytest.approx(best - log_density(0), rel=1e-8)
    assert 0 < effective < P.shape[1]
    assert rest.norm() < model.T.norm()
    assert math.isfinite(gain)
