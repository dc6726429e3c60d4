"""Inner products: one test case that all of them pass, and what is special about each."""

import numpy as np
import pytest
import scipy.sparse
import torch
from scipy.sparse.linalg import aslinearoperator
from sklearn.base import clone

from skgrow.preconditioning import Covariance, Euclidean, Fixed, SecondMoment, Sobolev

SIZE = 7
LIKE = torch.zeros((), dtype=torch.float64)


def matrix(seed=0):
    A = np.random.default_rng(seed).normal(size=(SIZE, SIZE))
    return A @ A.T + np.eye(SIZE)


def samples(n=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    mixed = torch.randn(n, SIZE, generator=generator, dtype=torch.float64)
    return mixed @ torch.randn(SIZE, SIZE, generator=generator, dtype=torch.float64) + 0.5


COMPONENTS = [
    Euclidean(),
    Fixed(matrix()),
    Fixed(torch.as_tensor(matrix())),
    Fixed(aslinearoperator(matrix())),
    Sobolev(),
    Sobolev(order=-0.5),
    Sobolev(graph=scipy.sparse.csr_array(np.eye(SIZE, k=1) + np.eye(SIZE, k=-1))),
    *(Covariance(centered=c, window=w) for c in (True, False) for w in ("batch", "ema", "all", "ema_inverse")),
    *(Covariance(centered=c, structure=s, rank=3) for c in (True, False) for s in ("diagonal", "lowrank")),
    SecondMoment(structure="lowrank", rank=2, window="batch"),
    SecondMoment(update_every=2),
]


@pytest.mark.parametrize("side", ["input", "output"])
@pytest.mark.parametrize("n", [4, 30])
@pytest.mark.parametrize("given", COMPONENTS)
class TestEveryInnerProduct:
    def bound(self, given, side, n):
        inner = clone(given).bind(SIZE, LIKE, side, "layer 3")
        inner.damp(0.1)
        for seed in range(3):
            inner.update(samples(n, seed))
        return inner

    def test_it_is_symmetric_positive_definite(self, given, side, n):
        inner = self.bound(given, side, n)
        R = inner.apply(torch.eye(SIZE, dtype=torch.float64))
        torch.testing.assert_close(R, R.T, rtol=1e-8, atol=1e-9)
        assert inner.spectrum()[0] > 0

    def test_solve_undoes_apply(self, given, side, n):
        inner = self.bound(given, side, n)
        v = torch.randn(5, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
        torch.testing.assert_close(inner.solve(inner.apply(v)), v, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(inner.apply(inner.solve(v)), v, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(inner.apply(v)[2], inner.apply(v[2:3])[0], rtol=1e-9, atol=1e-10)

    def test_binding_leaves_the_component_alone(self, given, side, n):
        before = {key: id(value) for key, value in vars(given).items()}
        self.bound(given, side, n)
        assert {key: id(value) for key, value in vars(given).items()} == before


def test_moments_are_those_of_the_samples():
    X, weight = samples(), torch.rand(30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weight = weight / weight.sum()
    for centered in (True, False):
        inner = Covariance(centered=centered, window="batch").bind(SIZE, LIKE, "output")
        inner.update(X, weight)
        expected = np.cov(X.T, aweights=weight, ddof=0) if centered else X.T @ (X * weight[:, None])
        np.testing.assert_allclose(inner.covariance(), expected, rtol=1e-10, atol=1e-12)
        assert inner.mean_variance() == pytest.approx(np.trace(expected) / SIZE)
        few = Covariance(centered=centered, window="batch").bind(SIZE, LIKE, "output")
        few.update(X[:4])  # fewer rows than dimensions: by Woodbury
        assert few.moment_ is None
        expected = np.cov(X[:4].T, ddof=0) if centered else X[:4].T @ X[:4] / 4
        np.testing.assert_allclose(few.covariance(), expected, rtol=1e-10, atol=1e-12)
        few.damp(0.3)
        v = torch.eye(SIZE, dtype=torch.float64)
        np.testing.assert_allclose(few.solve(v), np.linalg.inv(expected + 0.3 * np.eye(SIZE)), rtol=1e-9)


def test_windows():
    A, B = samples(seed=1), samples(seed=2)

    def second(X):
        return (X.T @ X / len(X)).numpy()

    found = {}
    for window in ("batch", "all", "ema"):
        inner = SecondMoment(window=window, decay=0.9).bind(SIZE, LIKE, "output")
        for X in (A, B, B):
            inner.update(X)
        found[window] = inner.covariance().numpy()
    np.testing.assert_allclose(found["batch"], second(B), rtol=1e-10)
    np.testing.assert_allclose(found["all"], (second(A) + 2 * second(B)) / 3, rtol=1e-10)
    np.testing.assert_allclose(found["ema"], found["all"], rtol=1e-10)  # at first 1/k each
    inner = SecondMoment(decay=0.5).bind(SIZE, LIKE, "output")
    for X in (A, A, A, B):
        inner.update(X)
    np.testing.assert_allclose(inner.covariance(), 0.5 * second(A) + 0.5 * second(B), rtol=1e-10)
    inverse = SecondMoment(window="ema_inverse", decay=0.5).bind(SIZE, LIKE, "input")
    inverse.damp(0.2)
    for X in (A, B):
        inverse.update(X)
    eye = np.eye(SIZE)
    expected = (np.linalg.inv(second(A) + 0.2 * eye) + np.linalg.inv(second(B) + 0.2 * eye)) / 2
    np.testing.assert_allclose(inverse.apply(torch.as_tensor(eye)), expected, rtol=1e-9)


def test_structures():
    X = samples()
    dense, diagonal, low = (
        SecondMoment(structure=s, rank=3, window="batch").bind(SIZE, LIKE, "output")
        for s in ("dense", "diagonal", "lowrank")
    )
    for inner in (dense, diagonal, low):
        inner.update(X)
    full = dense.covariance()
    torch.testing.assert_close(diagonal.covariance(), torch.diag(full.diagonal()), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(low.covariance().diagonal(), full.diagonal(), rtol=1e-10, atol=1e-10)
    values, vectors = torch.linalg.eigh(full)
    leading = (vectors[:, -3:] * values[-3:]) @ vectors[:, -3:].T
    rest = torch.diag((full - leading).diagonal())
    torch.testing.assert_close(low.covariance(), leading + rest, rtol=1e-8, atol=1e-8)
    whole = SecondMoment(structure="lowrank", rank=SIZE, decay=0.9).bind(SIZE, LIKE, "input")
    again = SecondMoment(decay=0.9).bind(SIZE, LIKE, "input")
    for inner in (whole, again):
        inner.damp(0.1)
        for seed in range(4):
            inner.update(samples(seed=seed))
    v = torch.eye(SIZE, dtype=torch.float64)
    torch.testing.assert_close(whole.apply(v), again.apply(v), rtol=1e-7, atol=1e-9)


def test_leading_parts_of_many_samples_are_found_at_random():
    generator = torch.Generator().manual_seed(0)
    spread = torch.logspace(0, -3, 400, dtype=torch.float64)
    X = torch.randn(500, 400, generator=generator, dtype=torch.float64) * spread
    low, dense = (SecondMoment(structure=s, rank=20, window="batch").bind(400, LIKE) for s in ("lowrank", "dense"))
    for inner in (low, dense):
        inner.update(X)
    values = torch.linalg.eigvalsh(dense.covariance())
    found = torch.linalg.eigvalsh(low.rows_ @ low.rows_.T)
    assert 0.97 * values[-20:].sum() < found.sum() <= values[-20:].sum() * (1 + 1e-9)
    torch.testing.assert_close(low.covariance().diagonal(), dense.covariance().diagonal(), rtol=1e-8, atol=1e-12)


def test_only_some_updates_are_used():
    inner = SecondMoment(window="batch", update_every=3).bind(SIZE, LIKE)
    for seed in range(5):
        inner.update(samples(seed=seed))
    assert inner.updates_ == 2
    last = samples(seed=3)
    torch.testing.assert_close(inner.covariance(), last.T @ last / 30, rtol=1e-10, atol=1e-10)


def test_widening_keeps_what_is_known():
    for given in (
        SecondMoment(),
        Covariance(),
        SecondMoment(structure="lowrank", rank=3),
        Covariance(structure="diagonal"),
    ):
        inner = clone(given).bind(SIZE, LIKE)
        inner.update(samples())
        before = inner.covariance()
        inner.widen(SIZE + 2)
        after = inner.covariance()
        torch.testing.assert_close(after[:SIZE, :SIZE], before, rtol=1e-9, atol=1e-10)
        assert after[SIZE:].abs().max() == 0
    with pytest.raises(ValueError, match="which has grown to 9"):
        Fixed(matrix()).bind(SIZE, LIKE).widen(9)


def test_sobolev_is_the_grids_laplacian():
    inner = Sobolev(order=2, grid=(2, 3)).bind(6, LIKE)
    line = {2: np.array([[1, -1], [-1, 1]]), 3: np.array([[1, -1, 0], [-1, 2, -1], [0, -1, 1]])}
    L = np.kron(line[2], np.eye(3)) + np.kron(np.eye(2), line[3])
    R = (np.eye(6) + L) @ (np.eye(6) + L)
    np.testing.assert_allclose(inner.apply(torch.eye(6, dtype=torch.float64)), R, atol=1e-12)
    assert Sobolev.only_ends


def test_errors_name_layer_and_eigenvalue():
    bad = np.diag([1.0, -2.0])
    with pytest.raises(ValueError, match=r"input of layer 3 must be positive definite; .* is -2"):
        Fixed(bad).bind(2, LIKE, "input", "layer 3")
    with pytest.raises(ValueError, match=r"must be 3 x 3 for the output of layer 1; got shape \(2, 2\)"):
        Fixed(np.eye(2)).bind(3, LIKE, "output", "layer 1")
    with pytest.raises(ValueError, match="must be symmetric"):
        Fixed([[1.0, 0.5], [0.0, 1.0]]).bind(2, LIKE)
    with pytest.raises(ValueError, match="graph must have weights >= 0"):
        Sobolev(graph=-np.ones((2, 2))).bind(2, LIKE)
    for settings in ({"structure": "x"}, {"window": "x"}, {"decay": 1.0}, {"rank": 0}, {"update_every": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            Covariance(**settings).bind(2, LIKE)
    with pytest.raises(ValueError, match="needs structure='dense'"):
        Covariance(window="ema_inverse", structure="diagonal").bind(2, LIKE)
