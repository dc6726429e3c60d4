"""Transfer operators as linear operators: adjoints, pseudo-inverses, and what they mean for networks."""

import pytest
import torch

from skgrow.multilevel import Aggregation, Blocks, Identity, Subspace, constant, linear
from skgrow.networks import MLP, Activation, ResNet

TRANSFERS = {
    "identity": Identity(7),
    "constant": Blocks(constant(3), 4, 5, 2),
    "linear": Blocks(linear(3), 4, 5, 2),
    "injection": Blocks(constant(4), 2, 1, 0, restriction="injection"),
    "scaled": Blocks(linear(4), 3, 0, 0, restriction="adjoint", scale=0.5),
    "aggregation": Aggregation([(6, 3), (4, 6), (2, 4)], [True, True, False], [(3, 1), (2, 3), (1, 2)]),
    "subspace": Subspace(torch.linalg.qr(torch.randn(9, 4, generator=torch.Generator().manual_seed(1)).double())[0]),
}
NAMES = list(TRANSFERS)


def random(count, seed):
    """Return a random vector."""
    return torch.randn(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def dense(transfer):
    """Return P as a matrix."""
    return torch.stack([transfer.apply(e) for e in torch.eye(transfer.n_coarse, dtype=torch.float64)], 1)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_restricted_by_the_adjoint(name):
    transfer = TRANSFERS[name]
    for seed in range(5):
        g, v = random(transfer.n_fine, seed), random(transfer.n_coarse, 100 + seed)
        left, right = transfer.restrict_gradient(g) @ v, transfer.scale * (g @ transfer.apply(v))
        torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_dense_matrix_has_the_same_pseudo_inverse_adjoint_share_and_mass(name):
    transfer = TRANSFERS[name]
    P, g = dense(transfer), random(transfer.n_fine, 3)
    inverse = torch.linalg.pinv(P)
    torch.testing.assert_close(transfer.adjoint(g), P.T @ g, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(transfer.pinv(g), inverse @ g, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(transfer.mass(g), (P.T @ P).sum(1), rtol=1e-12, atol=1e-12)
    share = (P @ inverse @ g).square().sum() / g.square().sum()
    assert transfer.share(g) == pytest.approx(float(share), abs=1e-12)
    assert 0 <= transfer.share(g) <= 1 + 1e-12
    assert transfer.share(P @ random(transfer.n_coarse, 4)) == pytest.approx(1)
    assert transfer.share(torch.zeros_like(g)) == 0


@pytest.mark.parametrize("name", NAMES)
def test_prolonged_coarse_gradient_steps_descend(name):
    # also where fine gradients alternate in depth, on which injection of gradients would ascend
    transfer = TRANSFERS[name]
    alternating = 1.0 - 3.0 * (torch.arange(transfer.n_fine) % 2)
    for g in (alternating.double(), *(random(transfer.n_fine, seed) for seed in range(20))):
        assert g @ transfer.apply(-transfer.restrict_gradient(g)) <= 0


def test_injection_of_gradients_can_ascend():
    # what the transposed prolongation avoids: 16 blocks of one weight, linear interpolation, alternating gradient
    g = 1.0 - 3.0 * (torch.arange(16) % 2).double()
    assert g @ (linear(8) @ -g[::2]) == pytest.approx(8.0)
    assert g @ (linear(8) @ -(linear(8).T @ g)) < 0


@pytest.mark.parametrize("name", [name for name in NAMES if name != "scaled"])
def test_restriction_gives_back_what_was_prolonged(name):
    transfer = TRANSFERS[name]
    t = random(transfer.n_coarse, 5)
    torch.testing.assert_close(transfer.restrict(transfer.apply(t)), t, rtol=1e-12, atol=1e-12)


def test_scaled_transpose_of_linear_interpolation_gives_back_constants_only():
    transfer = TRANSFERS["scaled"]
    t = random(transfer.n_coarse, 6)
    assert (transfer.restrict(transfer.apply(t)) - t).abs().max() > 0.1
    same = random(3, 7).repeat(4)
    torch.testing.assert_close(transfer.restrict(transfer.apply(same)), same)
    half = Blocks(constant(3), 2, restriction="adjoint")
    g = random(12, 8)
    torch.testing.assert_close(half.restrict(g), half.adjoint(g) / 2)


def test_aggregated_neurons_prolong_to_the_same_function():
    coarse = MLP((3, 2, 2, 2), random(8 + 6 + 6, 9), Activation("tanh"))
    fine_sizes = (3, 6, 4, 2)
    shapes = [(6, 3), (4, 6), (2, 4)]
    transfer = Aggregation(shapes, [True] * 3, [(3, 1), (2, 3), (1, 2)])
    X = random(15, 10).view(5, 3)
    fine = MLP(fine_sizes, transfer.apply(coarse.theta), Activation("tanh"))
    torch.testing.assert_close(fine(X), coarse(X), rtol=1e-12, atol=1e-12)


def test_constant_prolongation_halves_the_error_of_a_deeper_network_with_the_step():
    # z + h f(z), twice, is z + 2 h f(z) up to O(h^2): the functions meet as steps get small
    theta, X = random(4 * 3 + 2 * (4 * 4 * 2 + 4) + 4 * 2 + 4 + 2, 11) * 0.4, random(30, 12).view(10, 3)
    transfer = Blocks(constant(2), 36, 16, 10)
    differences = []
    for step in (0.1, 0.05, 0.025):
        coarse = ResNet((3, 4, 4, 4, 2), theta, Activation("tanh"), step=2 * step)
        fine = ResNet((3, 4, 4, 4, 4, 4, 2), transfer.apply(theta), Activation("tanh"), step=step)
        differences.append(float((fine(X) - coarse(X)).abs().max()))
    assert differences[1] < 0.3 * differences[0]
    assert differences[2] < 0.3 * differences[1]


def test_bad_scale_is_named():
    with pytest.raises(ValueError, match=r"scale must be > 0; got 0"):
        Subspace(torch.eye(3), scale=0)
