"""Objectives of levels: corrections and their gradients, penalties, mini-batches, work units."""

import pytest
import torch

from skgrow.multilevel import (
    BatchHierarchy,
    DepthHierarchy,
    ResolutionHierarchy,
    WidthHierarchy,
    build_levels,
    corrected,
)
from skgrow.networks import MLP, Activation, ConvNet, ResNet, glorot
from skgrow.problem import L2, CrossEntropy, Problem

TANH = Activation("tanh")
RESNET = ResNet((3, 4, 4, 4, 4, 4, 2), None, TANH, step=0.3)
#: Hierarchy, network and number of levels.
CASES = {
    "constant": (DepthHierarchy("constant"), RESNET, 3),
    "linear": (DepthHierarchy("linear"), RESNET, 3),
    "half": (DepthHierarchy("linear", "adjoint", scale=0.5), RESNET, 3),
    "injection": (DepthHierarchy("constant", "injection"), RESNET, 3),
    "width": (WidthHierarchy(), MLP((3, 8, 4, 2), None, TANH), 3),
    "narrow blocks": (WidthHierarchy(), ResNet((3, 5, 4, 8, 2), None, TANH, step=0.5), 3),
    "batch": (BatchHierarchy(), MLP((3, 5, 2), None, TANH), 3),
    "resolution": (ResolutionHierarchy(), ConvNet((1, 8, 8), ((2,), (2, 3), (2,)), (4, 2), None, TANH), 3),
}


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def network_of(template, seed=0):
    return glorot(template, seed, template.theta.double())


def levels_of(case, n=12, alpha=0.7, weighted=False, loss=None):
    """Return the levels of a network, and the network."""
    hierarchy, template, n_levels = CASES[case]
    network = network_of(template)
    X, Y = rand(n, template.layer_sizes[0], seed=1), rand(n, 2, seed=2)
    weight = rand(n, seed=3).abs() + 0.1 if weighted else None
    settings = {} if loss is None else {"loss": loss}
    Y = Y if loss is None else torch.softmax(Y, 1)
    return build_levels(hierarchy, network, Problem(X, Y, weight, penalty=L2(alpha), **settings), n_levels), network


def anchor_of(level, fine):
    """Return the network that a level starts from."""
    return level.network.with_theta(level.transfer.restrict(fine.theta))


def chain(levels, network, kind, regularization):
    """Return problems and networks of all levels: on every one somewhere off the anchor, where the next one starts."""
    found = [(levels[0].problem, network)]
    for i, level in enumerate(levels[1:]):
        problem, fine = found[-1]
        anchor = anchor_of(level, fine)
        gradient = problem.value_and_gradient(fine)[1]
        given = level.problem, anchor, fine, problem, gradient, level.transfer
        away = anchor.with_theta(anchor.theta + 0.1 * rand(anchor.n_parameters, seed=10 + i))
        found.append((corrected(*given, kind=kind, regularization=regularization), away))
    return found


def parts(problem, size):
    """Return mini-batches of a problem: the same rows for every problem of as many samples."""
    return list(problem.batches(size, torch.Generator().manual_seed(5)))


def assert_near(found, expected, tol=1e-11):
    """Up to rounding of sums, relative to the largest entry."""
    torch.testing.assert_close(found, expected, rtol=tol, atol=tol * float(expected.abs().max()))


def check_gradient(problem, network):
    gradient = problem.value_and_gradient(network)[1]
    for seed in range(3):
        v = rand(network.n_parameters, seed=20 + seed)
        eps = 1e-5
        ahead, behind = (float(problem.objective(network.with_theta(network.theta + s * eps * v))) for s in (1, -1))
        assert float(gradient @ v) == pytest.approx((ahead - behind) / (2 * eps), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", [False, True, "exact"])
def test_gradients_of_corrected_problems_are_those_of_their_objectives(case, kind):
    for weighted, regularization, alpha in ((False, 0.0, 0.0), (True, 0.8, 0.7)):
        levels, network = levels_of(case, alpha=alpha, weighted=weighted)
        for problem, at in chain(levels, network, kind, regularization):
            check_gradient(problem, at)
            check_gradient(problem.batch(torch.arange(0, 12, 3), 3.0), at)


@pytest.mark.parametrize("case", CASES)
def test_a_corrected_problem_starts_with_the_restricted_gradient(case):
    levels, network = levels_of(case, loss=CrossEntropy())
    for kind in (True, "exact"):
        problems = chain(levels, network, kind, 0.3)
        for level, (finer, fine), (problem, _) in zip(levels[1:], problems, problems[1:], strict=False):
            anchor = anchor_of(level, fine)
            value, gradient = problem.value_and_gradient(anchor)
            restricted = level.transfer.restrict_gradient(finer.value_and_gradient(fine)[1])
            torch.testing.assert_close(gradient, restricted, rtol=1e-11, atol=1e-13)
            torch.testing.assert_close(value, level.problem.objective(anchor), rtol=1e-13, atol=0.0)
    problem, _ = chain(levels, network, False, 0.3)[1]
    anchor = anchor_of(levels[1], network)
    torch.testing.assert_close(
        problem.value_and_gradient(anchor)[1], levels[1].problem.value_and_gradient(anchor)[1], rtol=0.0, atol=0.0
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", [True, "exact"])
@pytest.mark.parametrize("weighted", [False, True])
def test_mini_batches_of_a_partition_average_to_the_whole(case, kind, weighted):
    levels, network = levels_of(case, weighted=weighted)
    for problem, at in chain(levels, network, kind, 0.4):
        whole = problem.value_and_gradient(at)
        found = [batch.value_and_gradient(at) for batch in parts(problem, 4)]
        assert len(found) == 3
        for i in (0, 1):
            assert_near(sum(part[i] for part in found) / 3, whole[i])


def test_the_three_terms_of_a_mini_batch_come_from_the_same_rows():
    levels, network = levels_of("linear", alpha=0.0)
    rows = torch.tensor([1, 4, 7])
    pairs = {kind: chain(levels, network, kind, 0.0)[1] for kind in (True, "exact")}
    for kind, (problem, at) in pairs.items():
        anchor, transfer = anchor_of(levels[1], network), levels[1].transfer
        fine, coarse = (levels[i].problem.batch(rows, 4.0) for i in (0, 1))
        seen = fine if kind is True else levels[0].problem
        expected = (
            coarse.value_and_gradient(at)[1]
            - coarse.value_and_gradient(anchor)[1]
            + transfer.restrict_gradient(seen.value_and_gradient(network)[1])
        )
        torch.testing.assert_close(problem.batch(rows, 4.0).value_and_gradient(at)[1], expected, rtol=1e-11, atol=0.0)


@pytest.mark.parametrize("case", [name for name in CASES if name not in ("linear", "half")])
def test_prolonged_networks_have_the_penalty_of_the_coarse_ones(case):
    levels, _ = levels_of(case, alpha=1.3)
    for i, level in enumerate(levels[1:], 1):
        coarse = network_of(level.network, i)
        theta = coarse.theta
        for finer in levels[i:0:-1]:
            theta = finer.transfer.apply(theta)
        fine = levels[0].problem.penalty_of(levels[0].network.with_theta(theta))
        torch.testing.assert_close(level.problem.penalty_of(coarse), fine, rtol=1e-12, atol=0.0)


def test_masses_of_linear_interpolation_are_lumped():
    levels, _ = levels_of("linear")
    transfer = levels[1].transfer
    masses = levels[1].problem.penalty.weights
    torch.testing.assert_close(
        masses[transfer.before :][: 2 * transfer.size : transfer.size], torch.tensor([1.5, 2.5], dtype=torch.float64)
    )
    assert (masses[: transfer.before] == 1).all()
    for level in levels[1:]:  # blocks in sum stand for all four
        blocks = level.problem.penalty.weights[transfer.before : len(level.network.theta) - transfer.after]
        torch.testing.assert_close(blocks.view(-1, transfer.size).sum(0), torch.full_like(blocks[: transfer.size], 4.0))


def test_work_is_counted_in_gradients_of_the_finest_network():
    levels, network = levels_of("constant")
    work = levels[0].work
    levels[0].problem.value_and_gradient(network)
    assert work.units == [1, 0, 0]
    levels[0].problem.objective(network)  # known already
    assert work.units == [1, 0, 0]
    levels[0].problem.objective(network.with_theta(2 * network.theta))
    assert work.units == pytest.approx([4 / 3, 0, 0])
    for batch in levels[1].problem.batches(5, torch.Generator().manual_seed(0)):
        batch.value_and_gradient(levels[1].network)
    assert work.units == pytest.approx([4 / 3, levels[1].network.flops / network.flops, 0])
    levels[2].problem.data_loss(levels[2].network)
    assert work.units[2] == pytest.approx(levels[2].network.flops / network.flops / 3)


@pytest.mark.parametrize(("kind", "fine"), [(False, 0.0), (True, 1.0), ("exact", 0.0)])
def test_variance_reduced_mini_batches_pay_for_fine_gradients(kind, fine):
    levels, network = levels_of("constant")
    problem, at = chain(levels[:2], network, kind, 0.0)[1]
    units = levels[0].work.units
    before = list(units)
    for batch in problem.batches(4, torch.Generator().manual_seed(0)):
        batch.value_and_gradient(at)
    share = levels[1].network.flops / network.flops
    assert units[0] - before[0] == pytest.approx(fine)
    assert units[1] - before[1] == pytest.approx(share * (1 if kind is False else 2))


def test_flops_of_levels_fall_with_blocks_pixels_and_neurons():
    for case in ("constant", "resolution", "width", "narrow blocks"):
        flops = [level.network.flops for level in levels_of(case)[0]]
        assert flops[0] > flops[1] > flops[2]
