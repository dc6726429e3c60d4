"""MG/Opt on quadratics: what exact corrections do, first-order coherence, noise, and which subspace is best when."""

import numpy as np
import pytest
import torch
from scipy.stats import special_ortho_group

from skgrow.multilevel import Aggregation, Blocks, Identity, Subspace, constant, eigenbasis, linear, mgopt_quadratic

TRANSFERS = {
    "identity": Identity(12),
    "constant": Blocks(constant(2), 2, 3, 1),
    "linear": Blocks(linear(3), 2),
    "injection": Blocks(linear(3), 1, 4, 2, restriction="injection"),
    "scaled": Blocks(linear(3), 2, restriction="adjoint", scale=0.5),
    "aggregation": Aggregation([(4, 2)], [True], [(2, 1)]),
    "subspace": Subspace(torch.linalg.qr(torch.randn(12, 5, generator=torch.Generator().manual_seed(1)).double())[0]),
}
EACH_TRANSFER = pytest.mark.parametrize("transfer", TRANSFERS.values(), ids=list(TRANSFERS))
EACH_SEED = pytest.mark.parametrize("seed", range(2))


def problem(n, seed, low=0.1, high=5.0):
    """Return a random matrix of eigenvalues in [low, high], a right-hand side and a start."""
    rng = np.random.RandomState(seed)
    Q = special_ortho_group.rvs(n, random_state=rng)
    eigenvalues = np.r_[low, rng.uniform(low, high, n - 2), high]
    return tuple(map(torch.as_tensor, (Q.T @ (eigenvalues[:, None] * Q), rng.normal(size=n), 3 * rng.normal(size=n))))


def dense(transfer):
    """Return P as a matrix."""
    return torch.stack([transfer.apply(e) for e in torch.eye(transfer.n_coarse, dtype=torch.float64)], 1)


def corrected(A, b, start, transfer, **options):
    """Return the correction at the start, and the record of it."""
    result = mgopt_quadratic(A, b, transfer, theta0=start, n_iter=1, kappa=1e-12, **options)
    assert result.corrections[0].computed
    return result.theta - start, result


@EACH_SEED
@pytest.mark.parametrize("which", ["largest", "smallest", "random"])
@pytest.mark.parametrize("m", [1, 6, 12])
def test_exact_correction_removes_the_error_in_an_eigenspace_and_leaves_the_rest(which, m, seed):
    # Theorem 3.10, with equality
    A, b, start = problem(12, seed)
    B = eigenbasis(A, m, which, random_state=seed)
    e, result = corrected(A, b, start, Subspace(B))
    error = start - torch.linalg.solve(A, b)
    torch.testing.assert_close(error + e, error - B @ (B.T @ error), rtol=1e-10, atol=1e-10)
    assert result.distances[0] == pytest.approx(float(error.norm()), rel=1e-12)
    assert result.distances[1] == pytest.approx(float((error - B @ (B.T @ error)).norm()), abs=1e-10)


@EACH_SEED
@EACH_TRANSFER
def test_restricted_gradient_is_what_the_correction_takes_away(transfer, seed):
    # Lemma 3.3; hence the corrected gradient vanishes on the range of P
    A, b, start = problem(12, seed)
    e, _ = corrected(A, b, start, transfer)
    g = transfer.restrict_gradient(A @ start - b)
    torch.testing.assert_close(g, -transfer.restrict_gradient(A @ e), rtol=1e-10, atol=1e-10)
    rounding = 1e-11 * float(b.norm() + A.norm() * (start + e).norm())
    torch.testing.assert_close(dense(transfer).T @ (A @ (start + e) - b), torch.zeros_like(g), rtol=0, atol=rounding)


@EACH_SEED
@EACH_TRANSFER
def test_galerkin_matrix_is_symmetric_positive_definite(transfer, seed):
    # Lemma 3.2
    A, _, _ = problem(12, seed)
    coarse = torch.stack([transfer.restrict_gradient(A @ column) for column in dense(transfer).T], 1)
    torch.testing.assert_close(coarse, coarse.T, rtol=0, atol=1e-12)
    assert torch.linalg.eigvalsh(coarse)[0] > 0


@EACH_SEED
@EACH_TRANSFER
def test_one_coarse_step_is_first_order_coherent(transfer, seed):
    # Lemma 2.34
    A, b, start = problem(12, seed)
    e, _ = corrected(A, b, start, transfer, coarse_steps=1, learning_rate=0.03)
    expected = -0.03 * transfer.apply(transfer.restrict_gradient(A @ start - b))
    torch.testing.assert_close(e, expected, rtol=0, atol=1e-12)


@EACH_TRANSFER
def test_many_coarse_steps_solve_the_coarse_problem(transfer):
    A, b, start = problem(12, 0, low=0.5)
    steps, _ = corrected(A, b, start, transfer, coarse_steps=3000, learning_rate=0.02)
    exact, _ = corrected(A, b, start, transfer)
    torch.testing.assert_close(steps, exact, rtol=1e-10, atol=1e-10)


@EACH_SEED
@EACH_TRANSFER
@pytest.mark.parametrize("step", [0.3, 1.0, 1.9])
def test_exact_correction_never_raises_the_loss_and_keeps_its_promise(transfer, seed, step):
    A, b, start = problem(12, seed)
    _, result = corrected(A, b, start, transfer, correction_step=step)
    record = result.corrections[0]
    assert 0 < record.decrease == result.losses[0] - result.losses[1]
    assert record.decrease == pytest.approx(record.predicted, rel=1e-10)


@EACH_SEED
@pytest.mark.parametrize("high", [1.1, 1.3, 2.0])
def test_distance_falls_by_the_share_of_the_gradient(seed, high):
    # Theorem 3.12, with the share for kappa
    A, b, start = problem(12, seed, 1.0, high)
    for m in (3, 6, 11):
        _, result = corrected(A, b, start, Subspace(eigenbasis(A, m)))
        bound = high**2 * (1 - result.corrections[0].share) * result.distances[0] ** 2
        assert result.distances[1] ** 2 <= bound * (1 + 1e-12)


def test_corrections_do_not_follow_each_other():
    A, b, start = problem(12, 0)
    transfer = Blocks(constant(3), 2)
    result = mgopt_quadratic(A, b, transfer, theta0=start, n_iter=7, kappa=1e-12)
    assert [(c.iteration, c.computed) for c in result.corrections] == [(k, True) for k in (0, 2, 4, 6)]
    result = mgopt_quadratic(A, b, transfer, theta0=start, n_iter=7, kappa=1e-12, check_every=3)
    assert [c.iteration for c in result.corrections] == [0, 3, 6]
    result = mgopt_quadratic(A, b, transfer, theta0=start, n_iter=7, kappa=1e-12, correct_at=[1, 2, 5])
    assert [c.iteration for c in result.corrections] == [1, 5]


def test_small_shares_and_small_gradients_are_left_to_descent():
    A, b, start = problem(12, 0)
    transfer = Blocks(constant(3), 2)
    g = A @ start - b
    share, size = transfer.share(g), float(transfer.restrict_gradient(g).norm())
    descent = mgopt_quadratic(A, b, transfer, theta0=start, n_iter=1, correct_at=())
    torch.testing.assert_close(descent.theta, start - 0.01 * g, rtol=0, atol=1e-14)
    for computed, options in (
        (True, {"kappa": share * 0.999, "least_gradient": size * 0.999}),
        (False, {"kappa": share * 1.001}),
        (False, {"kappa": share * 0.999, "least_gradient": size * 1.001}),
    ):
        result = mgopt_quadratic(A, b, transfer, theta0=start, n_iter=1, **options)
        record = result.corrections[0]
        assert (record.iteration, record.computed) == (0, computed)
        assert record.share == pytest.approx(share)
        assert torch.equal(result.theta, descent.theta) != computed


def test_converges_to_the_minimizer_with_corrections_of_the_slow_half():
    A, b, start = problem(20, 0, 0.01, 2.0)
    transfer = Subspace(eigenbasis(A, 10, "smallest"))
    result = mgopt_quadratic(A, b, transfer, theta0=start, learning_rate=0.5, n_iter=200)
    assert result.distances[-1] < 1e-10
    assert np.all(np.diff(result.losses) < 1e-12)
    descent = mgopt_quadratic(A, b, transfer, theta0=start, learning_rate=0.5, n_iter=200, correct_at=())
    assert descent.distances[-1] > 1e-3


@pytest.mark.parametrize("transfer", [TRANSFERS["subspace"], TRANSFERS["scaled"]], ids=["subspace", "scaled"])
def test_gradient_estimates_are_unbiased_on_both_levels(transfer):
    # at a tiny rate the parameters hardly move, so the sum of many steps is that of as many estimates in one place
    A, b, start = problem(12, 0)
    g, p, n, rate = A @ start - b, 0.1, 4000, 1e-10
    options = {"theta0": start, "noise": (p, p), "random_state": 0, "learning_rate": rate}
    fine = mgopt_quadratic(A, b, transfer, n_iter=n, correct_at=(), **options)
    coarse = mgopt_quadratic(A, b, transfer, n_iter=1, kappa=1e-12, coarse_steps=n, **options)
    restricted = transfer.apply(transfer.restrict_gradient(g))
    published_bias = (2 * p / 3 - p**2 / 3) * start
    for result, exact in ((fine, g), (coarse, restricted)):
        error = (start - result.theta) / (n * rate) - exact
        assert error.norm() < 0.05 * published_bias.norm()
        assert error.norm() > 1e-4  # there is noise


def test_an_estimate_varies_as_the_outer_product_does():
    # u u^T v - p^2/3 v has the covariance p^4/9 (|v|^2 I + v v^T - 6/5 diag v^2)
    A, b, _ = problem(3, 0)
    v, p, n, rate = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64), 0.5, 1, 1.0
    options = {"theta0": v, "noise": (p, 0.0), "learning_rate": rate, "n_iter": n, "correct_at": ()}
    exact = v - (A @ v - b)
    noise = (
        torch.stack([mgopt_quadratic(A, b, Identity(3), random_state=s, **options).theta for s in range(1000)]) - exact
    )
    expected = p**4 / 9 * ((v @ v) * torch.eye(3) + torch.outer(v, v) - 1.2 * torch.diag(v * v))
    torch.testing.assert_close(noise.T.cov(correction=0), expected, rtol=0, atol=0.1 * float(expected.max()))


def test_noise_repeats_with_its_seed():
    A, b, start = problem(12, 0)
    options = {"theta0": start, "noise": (0.1, 0.1), "n_iter": 9, "coarse_steps": 4, "kappa": 0.1}
    first, again, other = (
        mgopt_quadratic(A, b, Blocks(constant(3), 2), random_state=seed, **options) for seed in (1, 1, 2)
    )
    assert torch.equal(first.theta, again.theta)
    assert not torch.equal(first.theta, other.theta)


def test_arrays_tensors_and_lists():
    A, b, _ = problem(12, 0)
    transfer = Blocks(constant(3), 2)
    tensors = mgopt_quadratic(A, b, transfer, n_iter=5)
    arrays = mgopt_quadratic(A.numpy(), b.numpy(), transfer, n_iter=5, theta0=np.zeros(12))
    lists = mgopt_quadratic(A.tolist(), b.tolist(), transfer, n_iter=5)
    assert isinstance(arrays.theta, np.ndarray)
    for result in (arrays, lists):
        np.testing.assert_array_equal(result.theta, tensors.theta.numpy())
    assert tensors.losses.shape == tensors.distances.shape == (6,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"A": torch.ones(12, 11)}, r"A must be a square matrix; got shape \(12, 11\)"),
        ({"A": torch.ones(12, 12).triu()}, "A must be finite and symmetric"),
        ({"A": -torch.eye(12)}, "A must be positive definite; got one whose smallest eigenvalue is -1"),
        ({"b": torch.ones(11)}, r"b must be a finite vector of shape \(12,\); got shape \(11,\)"),
        ({"theta0": torch.ones(12, 1)}, r"theta0 must be a finite vector of shape \(12,\); got shape \(12, 1\)"),
        ({"transfer": Identity(11)}, "transfer must have n_fine = 12, the size of A; got 11"),
        ({"transfer": Subspace(torch.ones(12, 2).double())}, "prolongation of rank 2; got one of rank 1"),
        ({"kappa": 0.0}, "kappa == 0.0, must be > 0"),
        ({"kappa": 1}, "kappa == 1, must be < 1"),
        ({"learning_rate": 0.0}, "learning_rate == 0.0, must be > 0"),
        ({"correction_step": -1.0}, "correction_step == -1.0, must be > 0"),
        ({"least_gradient": -1.0}, "least_gradient == -1.0, must be >= 0"),
        ({"n_iter": 0}, "n_iter == 0, must be >= 1"),
        ({"check_every": 0}, "check_every == 0, must be >= 1"),
        ({"coarse_steps": 0}, "coarse_steps == 0, must be >= 1"),
        ({"check_every": 2, "correct_at": [3]}, "check_every must be 1 where correct_at is given; got 2"),
        ({"correct_at": [3, 200]}, r"correct_at must have whole numbers in \[0, 199\]; got \[3, 200\]"),
        ({"noise": (0.1,)}, r"noise must be None or two numbers >= 0; got \(0.1,\)"),
        ({"noise": 0.1}, "noise must be None or two numbers >= 0; got 0.1"),
        ({"noise": (0.1, -0.1)}, "noise == -0.1, must be >= 0"),
    ],
)
def test_what_is_refused(options, message):
    given = {"A": torch.eye(12), "b": torch.ones(12), "transfer": Identity(12)} | options
    with pytest.raises(ValueError, match=message):
        mgopt_quadratic(**given)


def appendix_problem(seed):
    """Return the problem of Appendix B.2, and numbers from the standard normal distribution to start from."""
    rng = np.random.RandomState(seed)
    eigenvalues = np.r_[rng.uniform(0.1, 0.5, 25), rng.uniform(1, 5, 25)]
    Q = special_ortho_group.rvs(50, random_state=rng)
    return Q.T @ (eigenvalues[:, None] * Q), rng.normal(size=50), rng.normal(size=50)


def figure(rate, *, start=1.0, steps=50, more=0, kappa=0.25, exact=False):
    """Return, as medians over 20 problems, losses above the least and how often corrections were made."""
    found = {"largest": [], "smallest": [], "random": []}
    for seed in range(20):
        A, b, theta0 = appendix_problem(seed)
        least = -b @ np.linalg.solve(A, b) / 2
        for which, rows in found.items():
            result = mgopt_quadratic(
                A,
                b,
                Subspace(eigenbasis(A, 25, which, random_state=seed)),
                theta0=start * theta0,
                learning_rate=rate,
                n_iter=steps + 1 + more,
                kappa=kappa,
                least_gradient=0.001,
                correct_at=[steps],
                coarse_steps=None if exact else steps,
                noise=(0.1, 0.1),
                random_state=seed,
            )
            rows.append((result.losses[steps + 1] - least, result.losses[-1] - least, result.corrections[0].computed))
    after, end = ({which: np.median(rows, 0)[i] for which, rows in found.items()} for i in (0, 1))
    return after, end, {which: np.mean(rows, 0)[2] for which, rows in found.items()}


def test_moderate_rate_wants_the_smallest_eigenvalues():
    # Figure 3.1
    after, end, computed = figure(0.01, more=150)
    assert after["smallest"] < after["random"] < after["largest"]
    assert end["smallest"] < end["random"] < end["largest"]
    assert computed["smallest"] == 1


def test_small_rate_wants_the_largest_and_refuses_the_smallest():
    # Figure 3.2
    after, end, computed = figure(0.001, more=150)
    assert after["largest"] < after["random"] < after["smallest"]
    assert end["largest"] < end["random"] < end["smallest"]
    assert computed["largest"] == 1
    assert computed["smallest"] < 0.1


def test_it_is_the_product_of_rate_and_steps_that_decides():
    # ten times the rate, a tenth of the steps: Figure 3.2 at the rate of Figure 3.1
    after, _, computed = figure(0.01, steps=5)
    assert after["largest"] < after["random"] < after["smallest"]
    assert computed["smallest"] < 0.1


def test_from_zero_the_smallest_are_best_and_allowed_at_the_small_rate_too():
    # the components of the error are then b over the eigenvalue: Figure 3.2 depends on the start
    after, _, computed = figure(0.001, start=0.0)
    assert after["smallest"] < after["largest"]
    assert computed["smallest"] == 1


def test_exact_corrections_want_the_smallest_at_both_rates():
    # without the condition: fifty coarse steps hardly move along small eigenvalues, the minimizer does
    for rate in (0.01, 0.001):
        after, _, _ = figure(rate, kappa=1e-9, exact=True)
        assert after["smallest"] < after["random"] < after["largest"]


def test_decrease_by_coarse_steps_in_one_eigenvector():
    A, b, start = problem(12, 0)
    values, vectors = torch.linalg.eigh(A)
    d = vectors.T @ (start - torch.linalg.solve(A, b))
    for i, (rate, k, steps) in enumerate([(0.01, 50, 50), (0.1, 3, 8), (0.001, 50, 50)]):
        result = mgopt_quadratic(
            A,
            b,
            Subspace(vectors[:, i : i + 1]),
            theta0=start,
            learning_rate=rate,
            n_iter=k + 1,
            kappa=1e-12,
            correct_at=[k],
            coarse_steps=steps,
        )
        factor = 1 - rate * values[i]
        expected = values[i] / 2 * d[i] ** 2 * factor ** (2 * k) * (1 - factor ** (2 * steps))
        assert result.corrections[0].decrease == pytest.approx(float(expected), rel=1e-8)
