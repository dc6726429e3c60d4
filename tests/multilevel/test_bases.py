"""Bases of eigenvectors: from a matrix, and from products with it."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import ArpackNoConvergence

from skgrow.multilevel import eigenbasis, lanczos_basis


def symmetric(n, seed):
    """Return a random symmetric matrix."""
    A = torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return A + A.T


@pytest.mark.parametrize("which", ["largest", "smallest", "random"])
@pytest.mark.parametrize("m", [1, 4, 9])
def test_columns_are_orthonormal_eigenvectors(which, m):
    A = symmetric(9, m)
    B = eigenbasis(A, m, which, random_state=0)
    assert B.shape == (9, m)
    torch.testing.assert_close(B.T @ B, torch.eye(m, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(A @ B, B @ (B.T @ A @ B).diagonal().diag(), rtol=1e-11, atol=1e-11)


def test_extreme_eigenvalues_come_first():
    A = symmetric(9, 0)
    values = torch.linalg.eigvalsh(A)
    for which, expected in (("smallest", values[:3]), ("largest", values.flip(0)[:3])):
        B = eigenbasis(A, 3, which)
        torch.testing.assert_close((B.T @ A @ B).diagonal(), expected, rtol=1e-12, atol=1e-12)


def test_random_eigenvectors_are_any_set_and_repeatable():
    A = torch.diag(torch.arange(1.0, 6.0))
    chosen = [tuple(eigenbasis(A, 2, "random", random_state=seed).argmax(0).tolist()) for seed in range(200)]
    assert {frozenset(pair) for pair in chosen} == {frozenset((i, j)) for i in range(5) for j in range(i)}
    assert chosen[7] == tuple(eigenbasis(A, 2, "random", random_state=7).argmax(0).tolist())


@pytest.mark.parametrize("which", ["largest", "smallest"])
@pytest.mark.parametrize("m", [1, 5, 39, 40])
def test_lanczos_spans_what_the_dense_decomposition_does(which, m):
    A = symmetric(40, m)
    found, expected = lanczos_basis(lambda v: A @ v, 40, m, which, random_state=0), eigenbasis(A, m, which)
    torch.testing.assert_close(found @ found.T, expected @ expected.T, rtol=0, atol=1e-10)
    torch.testing.assert_close((found * expected).sum(0).abs(), torch.ones(m, dtype=torch.float64), rtol=0, atol=1e-9)


def giving_up_with(values, vectors):
    """A product with a matrix after which ARPACK has had enough, and has found this."""

    def apply(v):
        raise ArpackNoConvergence("too slow", values, vectors)

    return apply


def test_lanczos_takes_what_has_converged():
    found = lanczos_basis(giving_up_with(np.array([1.0, 2.0]), np.eye(6)[:, :2]), 6, 3)
    torch.testing.assert_close(found, torch.eye(6, dtype=torch.float64)[:, [1, 0]])


def test_lanczos_says_when_nothing_has_converged():
    with pytest.raises(RuntimeError, match="None of the m = 3 largest eigenvectors has converged"):
        lanczos_basis(giving_up_with(np.empty(0), np.empty((6, 0))), 6, 3)


@pytest.mark.parametrize("m", [0, 6, -1])
def test_bad_m(m):
    for call in (lambda: eigenbasis(torch.eye(5), m), lambda: lanczos_basis(lambda v: v, 5, m)):
        with pytest.raises(ValueError, match=rf"m must be in \[1, 5\].*got {m}"):
            call()


def test_bad_which_and_matrix():
    with pytest.raises(ValueError, match=r"which must be one of .*'random'.*got 'LM'"):
        eigenbasis(torch.eye(3), 1, "LM")
    with pytest.raises(ValueError, match=r"which must be one of .*got 'random'"):
        lanczos_basis(lambda v: v, 3, 1, "random")
    with pytest.raises(ValueError, match=r"A must be a square matrix; got shape \(3, 2\)"):
        eigenbasis(torch.zeros(3, 2), 1)
    for A in ([[1.0, 2.0], [0.0, 1.0]], [[1.0, np.nan], [np.nan, 1.0]]):
        with pytest.raises(ValueError, match="A must be finite and symmetric"):
            eigenbasis(A, 1)
