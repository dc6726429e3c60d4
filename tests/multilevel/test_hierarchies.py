"""Hierarchies: how deep they are, what their coarse networks compute, what they refuse."""

import pytest
import torch
from sklearn.base import clone
from torch.nn.functional import max_pool2d

from skgrow.multilevel import (
    BatchHierarchy,
    DepthHierarchy,
    ResolutionHierarchy,
    SubspaceHierarchy,
    WidthHierarchy,
    build_levels,
)
from skgrow.networks import MLP, Activation, ConvNet, ResNet, glorot
from skgrow.problem import L2, CrossEntropy, Problem

TANH = Activation("tanh")


def rand(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def resnet(n_blocks, width=4, inner=3, step=0.5, seed=0):
    template = ResNet((3, width, *[inner] * n_blocks, 2), None, TANH, step=step)
    return glorot(template, seed, template.theta.double())


def mlp(*hidden, seed=0):
    template = MLP((3, *hidden, 2), None, TANH)
    return glorot(template, seed, template.theta.double())


def cnn(shape=(2, 8, 8), stages=((3,), (4,)), seed=0):
    template = ConvNet(shape, stages, (5, 2), None, TANH)
    return glorot(template, seed, template.theta.double())


# depth ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_blocks", "most"), [(1, 1), (2, 2), (3, 1), (4, 3), (6, 2), (8, 4), (12, 3)])
def test_blocks_can_be_halved_as_often_as_two_divides_them(n_blocks, most):
    hierarchy, network = DepthHierarchy(), resnet(n_blocks)
    assert hierarchy.depth(network) == most
    hierarchy.check(network, most)
    with pytest.raises(ValueError, match=f"n_levels={most + 1} does not fit"):
        hierarchy.check(network, most + 1)


@pytest.mark.parametrize(("n_blocks", "levels"), [(2, 2), (4, 2), (8, 2), (16, 3), (32, 4), (12, 2), (24, 3)])
def test_depth_leaves_four_blocks_to_the_coarsest_level_where_none_are_asked_for(n_blocks, levels):
    assert DepthHierarchy().levels(resnet(n_blocks)) == levels


@pytest.mark.parametrize(
    ("n_blocks", "n_levels", "message"),
    [
        (6, 3, "n_levels <= 2 with 6 blocks, or for 3 levels multiples of 4 blocks such as 4 or 8"),
        (3, 2, "n_levels <= 1 with 3 blocks, or for 2 levels multiples of 2 blocks such as 2 or 4"),
        (1, 3, "for 3 levels multiples of 4 blocks such as 4"),
    ],
)
def test_admissible_numbers_of_blocks_are_named(n_blocks, n_levels, message):
    with pytest.raises(ValueError, match=message):
        DepthHierarchy().check(resnet(n_blocks), n_levels)


@pytest.mark.parametrize("interpolation", ["constant", "linear"])
@pytest.mark.parametrize("restriction", ["pinv", "adjoint", "injection"])
def test_coarse_networks_are_euler_schemes_of_twice_the_step(interpolation, restriction):
    hierarchy = DepthHierarchy(interpolation, restriction)
    once, _ = hierarchy.coarsen(resnet(8))
    twice, transfer = hierarchy.coarsen(once)
    assert (once.n_blocks, once.step) == (4, 1.0)
    assert (twice.n_blocks, twice.step) == (2, 2.0)
    assert (transfer.n_fine, transfer.n_coarse) == (once.n_parameters, twice.n_parameters)
    X = rand(5, 3)
    state = X @ twice.weights[0].T + twice.biases[0]
    for U, b, V in zip(twice.weights[1:-1:2], twice.biases[1:-1:2], twice.weights[2:-1:2], strict=True):
        state = state + 2.0 * torch.tanh(state @ U.T + b) @ V.T
    torch.testing.assert_close(twice(X), state @ twice.weights[-1].T + twice.biases[-1])


@pytest.mark.parametrize("restriction", ["pinv", "adjoint", "injection"])
def test_pairwise_equal_blocks_become_one_of_twice_the_step(restriction):
    hierarchy = DepthHierarchy("constant", restriction)
    coarse, transfer = hierarchy.coarsen(resnet(4))
    fine = resnet(4).with_theta(transfer.apply(coarse.theta))
    for a, b in ((0, 1), (2, 3)):
        for k in (1, 2):
            torch.testing.assert_close(fine.weights[k + 2 * a], fine.weights[k + 2 * b])
    again, _ = hierarchy.coarsen(fine)
    torch.testing.assert_close(again.theta, coarse.theta, rtol=1e-12, atol=1e-12)


def test_without_map_biases():
    template = ResNet((3, 4, 3, 3, 2), None, TANH, bias=False)
    coarse, _ = DepthHierarchy().coarsen(glorot(template, 0, template.theta))
    assert coarse.has_bias == (False, True, False, False)


# width ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "factor", "most"),
    [(mlp(8, 4), 2, 3), (mlp(9), 3, 3), (mlp(5), 2, 1), (mlp(6, 5), 2, 1), (resnet(2, 5, 4), 2, 3)],
)
def test_widths_are_divided_until_one_is_no_multiple(network, factor, most):
    hierarchy = WidthHierarchy(factor)
    assert hierarchy.depth(network) == most
    with pytest.raises(ValueError, match=rf"n_levels <= {most}, or widths that {factor**most} divides"):
        hierarchy.check(network, most + 1)


@pytest.mark.parametrize("template", [mlp(8, 4), resnet(2, 5, 4)])
def test_prolonged_neurons_compute_what_the_coarse_ones_do(template):
    hierarchy, X = WidthHierarchy(), rand(6, 3)
    coarse, transfer = hierarchy.coarsen(template)
    assert coarse.n_parameters == transfer.n_coarse < template.n_parameters
    fine = template.with_theta(transfer.apply(coarse.theta))
    torch.testing.assert_close(fine(X), coarse(X), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(hierarchy.coarsen(fine)[0].theta, coarse.theta, rtol=1e-12, atol=1e-12)


def test_refined_neurons_differ_a_little():
    hierarchy, template = WidthHierarchy(), mlp(8)
    coarse, transfer = hierarchy.coarsen(template)
    fine = hierarchy.refine(coarse, template, transfer, torch.Generator().manual_seed(0))
    assert not torch.allclose(fine.weights[0][::2], fine.weights[0][1::2])
    away = fine.theta - transfer.apply(coarse.theta)
    assert float(away.norm() / transfer.apply(coarse.theta).norm()) == pytest.approx(0.1)
    torch.testing.assert_close(transfer.restrict(fine.theta), coarse.theta, rtol=1e-12, atol=1e-12)


def test_other_hierarchies_are_refined_by_prolongation():
    coarse, transfer = DepthHierarchy().coarsen(resnet(4))
    fine = DepthHierarchy().refine(coarse, resnet(4), transfer, torch.Generator())
    torch.testing.assert_close(fine.theta, transfer.apply(coarse.theta), rtol=0.0, atol=0.0)


# batch and resolution ---------------------------------------------------------------------------------------


def test_batches_get_smaller_and_networks_stay():
    hierarchy, network = BatchHierarchy(5), mlp(4)
    assert [hierarchy.batch_size(size) for size in (100, 20, 4)] == [20, 4, 1]
    coarse, transfer = hierarchy.coarsen(network)
    assert coarse is network
    assert transfer.share(rand(network.n_parameters)) == pytest.approx(1)
    X = rand(4, 3)
    assert hierarchy.inputs(network, X) is X


@pytest.mark.parametrize(
    ("shape", "stages"), [((2, 8, 8), ((3,), (4,))), ((1, 13, 9), ((2, 2), (3,), (2,))), ((1, 5, 7), ((2,), (3, 3)))]
)
def test_coarse_resolutions_share_all_parameters_and_see_pooled_images(shape, stages):
    network, X = cnn(shape, stages), rand(3, shape[0] * shape[1] * shape[2])
    hierarchy = ResolutionHierarchy()
    assert hierarchy.depth(network) == len(stages)
    for _ in range(len(stages) - 1):
        coarse, transfer = hierarchy.coarsen(network)
        pooled = hierarchy.inputs(network, X)
        assert torch.equal(coarse.theta, network.theta)
        assert coarse.shapes == network.shapes
        assert coarse.image_shape == (shape[0], *(size // 2 for size in network.image_shape[1:]))
        expected = max_pool2d(X.view(-1, *network.image_shape), 2)
        torch.testing.assert_close(pooled, expected.reshape(len(X), -1))
        assert coarse(pooled).shape == (3, 2)
        assert torch.equal(transfer.apply(coarse.theta), network.theta)
        network, X = coarse, pooled
    with pytest.raises(ValueError, match=r"n_levels=2 does not fit .* n_levels <= 1, the number of stages of channels"):
        hierarchy.check(network, 2)


def test_constant_images_are_the_same_at_every_resolution():
    # a kernel of its centre alone sees no border: then the levels compute the same function of them
    network = cnn((1, 8, 8), ((2,), (2,)))
    theta = network.theta.clone()
    for W in network.with_theta(theta).weights[:2]:
        centre = W[:, :, 1, 1].clone()
        W.zero_()
        W[:, :, 1, 1] = centre
    network = network.with_theta(theta)
    coarse, _ = ResolutionHierarchy().coarsen(network)
    X = rand(4, 1).expand(4, 64).contiguous()
    torch.testing.assert_close(coarse(ResolutionHierarchy().inputs(network, X)), network(X), rtol=1e-12, atol=1e-12)


# subspace ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_subspaces_hold_eigenvectors_of_the_hessian(which):
    network = mlp(3)
    problem = Problem(rand(20, 3, seed=1), torch.softmax(rand(20, 2, seed=2), 1), penalty=L2(0.5), loss=CrossEntropy())
    coarse, transfer = SubspaceHierarchy(3, which).coarsen(network, problem)

    def gradient(theta):
        return problem.value_and_gradient(network.with_theta(theta))[1]

    step, unit = 1e-5, torch.eye(network.n_parameters, dtype=torch.float64)
    ahead, behind = (torch.stack([gradient(network.theta + s * step * e) for e in unit]) for s in (1, -1))
    H = (ahead - behind) / (2 * step)
    values = torch.linalg.eigvalsh((H + H.T) / 2)
    V = transfer.basis
    torch.testing.assert_close(V.T @ V, unit[:3, :3], rtol=0.0, atol=1e-10)
    found = (V * (H @ V)).sum(0)
    expected = values.flip(0)[:3] if which == "largest" else values[:3]
    torch.testing.assert_close(found, expected, rtol=0.06, atol=0.06 * float(values.abs().max()))

    X = rand(4, 3, seed=3)
    torch.testing.assert_close(coarse(X), network(X), rtol=1e-12, atol=1e-12)
    moved = coarse.with_theta(coarse.theta + rand(3, seed=4))
    there = network.with_theta(network.theta + V @ rand(3, seed=4))
    torch.testing.assert_close(moved(X), there(X), rtol=1e-12, atol=1e-12)
    task = problem.at(0.0)
    torch.testing.assert_close(
        task.value_and_gradient(moved)[1], V.T @ task.value_and_gradient(there)[1], rtol=1e-10, atol=1e-12
    )


def test_a_subspace_is_no_network_of_its_own():
    network = mlp(3)
    coarse, _ = SubspaceHierarchy(2).coarsen(network, Problem(rand(9, 3), rand(9, 2)))
    assert coarse.flops == network.flops
    assert coarse.n_activations == network.n_activations
    assert (coarse.depth, list(coarse.hidden_maps), coarse.n_insertion_points) == (0, [], 0)
    with pytest.raises(NotImplementedError, match="no arrays"):
        coarse.with_arrays([], [])
    with pytest.raises(NotImplementedError, match="no layer"):
        coarse.insert(0, rand(9, 3))
    assert coarse.insertion_pairs(coarse.forward_pass(rand(9, 3)), []) == []


# all of them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [DepthHierarchy, BatchHierarchy, ResolutionHierarchy, WidthHierarchy, SubspaceHierarchy]
)
def test_hierarchies_are_components(kind):
    hierarchy = kind()
    assert clone(hierarchy).get_params() == hierarchy.get_params()
    network = cnn() if kind is ResolutionHierarchy else resnet(4, 4, 4)
    assert hierarchy.levels(network) == 2
    hierarchy.check(network, 1)


@pytest.mark.parametrize(
    ("hierarchy", "network", "n_levels", "message"),
    [
        (DepthHierarchy("cubic"), resnet(4), 2, r"interpolation must be one of \['constant', 'linear'\]; got 'cubic'"),
        (DepthHierarchy(restriction="mean"), resnet(4), 2, r"restriction must be one of \['pinv', .* got 'mean'"),
        (DepthHierarchy(scale=0.0), resnet(4), 2, "scale must be > 0; got 0"),
        (DepthHierarchy(), mlp(4), 2, "DepthHierarchy needs a residual network whose blocks have one width; got MLP"),
        (DepthHierarchy(), ResNet((3, 4, 3, 2, 2), None, TANH), 2, "blocks have one width"),
        (WidthHierarchy(1), mlp(4), 2, "factor must be at least 2; got 1"),
        (WidthHierarchy(), cnn(), 2, "WidthHierarchy needs a dense or residual network; got ConvNet"),
        (BatchHierarchy(0), mlp(4), 2, "factor must be at least 2; got 0"),
        (BatchHierarchy(), mlp(4), 65, "n_levels <= 64"),
        (ResolutionHierarchy(), resnet(2), 2, "ResolutionHierarchy needs a convolutional network; got ResNet"),
        (SubspaceHierarchy(0), mlp(4), 2, r"dimension must lie in \[1, 26\], the number of parameters; got 0"),
        (SubspaceHierarchy(27), mlp(4), 2, r"dimension must lie in \[1, 26\]"),
        (SubspaceHierarchy(which="random"), mlp(4), 2, r"which must be one of \['largest', 'smallest'\]; got 'random'"),
        (SubspaceHierarchy(2), mlp(4), 3, "n_levels=3 does not fit .* n_levels <= 2"),
    ],
)
def test_what_does_not_fit_is_refused(hierarchy, network, n_levels, message):
    problem = Problem(rand(5, network.layer_sizes[0]), rand(5, 2))
    with pytest.raises(ValueError, match=message):
        build_levels(hierarchy, network, problem, n_levels)
