r"""In which coordinates of the layers a step is the same: what theory says, layer by layer.

A layer :math:`y = W x + b` whose inputs are seen as :math:`x' = T x + t` and whose outputs as :math:`y' = S y` has the
weights :math:`W' = S W T^{-1}`. Derivatives become :math:`g' = S^{-T} g`, so the moments are :math:`T A T^T` (of
:math:`(x, 1)`, with the affine map as its matrix) and :math:`S^{-T} B S^{-1}`, the gradient
:math:`S^{-T} G T^T`, and the step :math:`B'^{-1} G' A'^{-1} = S (B^{-1} G A^{-1}) T^{-1}` is the old one in the new
coordinates: the network is the same function after it, to all orders (Martens and Grosse 2015, theorem 1). With damping
that holds

- of every orthogonal T and S: they leave the identity alone;
- of a shift t where the covariance is centred, as the mean is taken off before damping;
- of :math:`T = S = c I` without biases, if damping is split by pi: it is relative to the mean variances, whose product
  these maps do not change.
"""

import pytest
import torch
from torch import nn

from skgrow.networks import MLP, Activation, glorot
from skgrow.preconditioning import Covariance, FrobeniusPreconditioner, SecondMoment, emsa, kfac, second_moment
from skgrow.problem import CrossEntropy, Problem, SquaredError

N = 80
SMALL = 1e-12


class Affine(nn.Module):
    """A fixed map of the last dimension, or of the channels of images."""

    def __init__(self, matrix, shift=None):
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.register_buffer("shift", matrix.new_zeros(len(matrix)) if shift is None else shift)

    def forward(self, x):
        """Map."""
        if x.ndim == 4:
            return torch.einsum("oc,nchw->nohw", self.matrix, x) + self.shift[:, None, None]
        return x @ self.matrix.T + self.shift


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def invertible(size, seed=0):
    return randn(size, size, seed=seed) + 2 * torch.eye(size, dtype=torch.float64)


def orthogonal(size, seed=0):
    return torch.linalg.qr(randn(size, size, seed=seed)).Q


def layers(kind, bias=True):
    torch.manual_seed(1)
    if kind == "mlp":
        return [nn.Linear(4, 5, bias).double(), nn.Linear(5, 4, bias).double(), nn.Linear(4, 3, bias).double()]
    convolutions = [nn.Conv2d(2, 3, 3, padding=1, bias=bias), nn.Conv2d(3, 2, 2, bias=bias)]
    return [module.double() for module in convolutions]


def moved(module, T, t, S):
    """Return the layer in other coordinates, between the maps that undo them."""
    S = torch.eye(len(module.weight), dtype=torch.float64) if S is None else S
    T = torch.eye(module.weight.shape[1], dtype=torch.float64) if T is None else T
    twin = layers_like(module)
    with torch.no_grad():
        weight = torch.einsum("po,oi...,ij->pj...", S, module.weight, torch.linalg.inv(T))
        twin.weight.copy_(weight)
        if module.bias is not None:
            fields = weight.reshape(*weight.shape[:2], -1).sum(2)
            twin.bias.copy_(S @ module.bias - (0 if t is None else fields @ t))
    return [Affine(T, t), twin, Affine(torch.linalg.inv(S))]


def layers_like(module):
    bias = module.bias is not None
    if isinstance(module, nn.Linear):
        return nn.Linear(module.in_features, module.out_features, bias).double()
    return nn.Conv2d(
        module.in_channels, module.out_channels, module.kernel_size, padding=module.padding, bias=bias
    ).double()


def model_of(modules, where=None, T=None, t=None, S=None):
    found = []
    for i, module in enumerate(modules):
        found += moved(module, T, t, S) if i == where else moved(module, None, None, None)
        found.append(nn.Tanh())
    return nn.Sequential(*found[:-1], nn.Flatten())


def after_a_step(model, X, settings):
    """Return the outputs after a step of plain descent along the preconditioned gradient, and before."""
    attached = None if settings is None else settings.attach(model)
    before = model(X)
    target = randn(*before.shape, seed=9)
    nn.functional.mse_loss(before, target).backward()
    if attached is not None:
        attached.step()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.sub_(parameter.grad, alpha=0.01)
    return model(X).detach(), before.detach()


def difference(kind, settings, where, T=None, t=None, S=None, bias=True):
    """Return the difference that coordinates make after a step, relative to the change of the outputs by it."""
    modules = layers(kind, bias)
    X = randn(N, 4) if kind == "mlp" else randn(N, 2, 4, 4)
    plain, other = model_of(modules), model_of(modules, where, T, t, S)
    end, start = after_a_step(plain, X, settings)
    twin, twin_start = after_a_step(other, X, settings)
    torch.testing.assert_close(twin_start, start, rtol=1e-9, atol=1e-10)
    return float((twin - end).norm() / (end - start).norm())


def moments(inner, damping, **more):
    return FrobeniusPreconditioner(inner, inner, damping=damping, fisher="empirical", **more)


PLACES = [("mlp", 0, 4, 5), ("mlp", 1, 5, 4), ("mlp", 2, 4, 3), ("cnn", 0, 2, 3), ("cnn", 1, 3, 2)]
INNER = pytest.mark.parametrize("inner", [SecondMoment(), Covariance()], ids=["second moment", "covariance"])
EVERYWHERE = pytest.mark.parametrize(("kind", "where", "fan_in", "fan_out"), PLACES)


@INNER
@pytest.mark.parametrize("side", ["input", "output", "both"])
@EVERYWHERE
def test_without_damping_no_linear_coordinates_matter(kind, where, fan_in, fan_out, side, inner):
    T = invertible(fan_in, 2) if side != "output" else None
    S = invertible(fan_out, 3) if side != "input" else None
    assert difference(kind, moments(inner, SMALL), where, T, None, S) < 1e-5
    assert difference(kind, moments(inner, 0.1), where, T, None, S) > 1e-4
    assert difference(kind, None, where, T, None, S) > 1e-2


@INNER
@pytest.mark.parametrize(("kind", "where", "fan_in", "fan_out"), [p for p in PLACES if p[0] == "mlp" or p[1] == 1])
def test_without_damping_no_shift_of_inputs_matters(kind, where, fan_in, fan_out, inner):
    """Where zeros are padded a shift is no change of coordinates."""
    T, t = invertible(fan_in, 2), randn(fan_in, seed=4)
    assert difference(kind, moments(inner, SMALL), where, T, t) < 1e-5


@INNER
@pytest.mark.parametrize("split", ["equal", "pi"])
@EVERYWHERE
def test_with_damping_orthogonal_coordinates_do_not_matter(kind, where, fan_in, fan_out, split, inner):
    T, S = orthogonal(fan_in, 2), orthogonal(fan_out, 3)
    assert difference(kind, moments(inner, 0.1, split=split), where, T, None, S) < 1e-10


@pytest.mark.parametrize(("kind", "where", "fan_in", "fan_out"), [p for p in PLACES if p[0] == "mlp" or p[1] == 1])
def test_with_damping_shifts_do_not_matter_to_centred_covariances(kind, where, fan_in, fan_out):
    T, t = orthogonal(fan_in, 2), randn(fan_in, seed=4)
    assert difference(kind, moments(Covariance(), 0.1), where, T, t) < 1e-10
    assert difference(kind, moments(SecondMoment(), 0.1), where, T, t) > 1e-4


@INNER
@EVERYWHERE
def test_damping_split_by_pi_is_relative(kind, where, fan_in, fan_out, inner):
    T, S = (3.0 * torch.eye(size, dtype=torch.float64) for size in (fan_in, fan_out))
    assert difference(kind, moments(inner, 0.1, split="pi"), where, T, None, S, bias=False) < 1e-10
    assert difference(kind, moments(inner, 0.1), where, T, None, S, bias=False) > 1e-3


@pytest.mark.parametrize("loss", [CrossEntropy(), SquaredError()], ids=["cross-entropy", "squared error"])
@pytest.mark.parametrize("preset", [FrobeniusPreconditioner, second_moment, kfac, emsa])
def test_presets_do_not_see_a_rotation_of_the_data(preset, loss):
    """Three steps with everything that belongs to them: damping that adapts, lengths and momentum, raised rho."""
    X = randn(N, 4)
    Y = nn.functional.one_hot(torch.arange(N) % 3, 3).double()
    T = orthogonal(4, 2)
    network = glorot(MLP((4, 5, 4, 3), None, Activation("tanh")), 0, X)
    weights = list(network.weights)
    weights[0] = weights[0] @ T.T
    rotated = network.with_arrays(weights, list(network.biases))
    ends = []
    for net, inputs in ((network, X), (rotated, X @ T.T)):
        state, now = preset().start(net, torch.Generator().manual_seed(0)), net
        for _ in range(3):
            _, direction = state.step(now, Problem(inputs, Y, loss=loss))
            now = now.with_theta(now.theta - (1.0 if state.direct else 0.01) * direction)
        ends.append(now(inputs))
    assert (ends[0] - network(X)).norm() > 1e-3 * network(X).norm()
    torch.testing.assert_close(ends[1], ends[0], rtol=1e-6, atol=1e-8)
