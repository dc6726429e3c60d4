"""K-FAC's factors and the preconditioned gradient against curvlinops, another implementation of the same mathematics.

Conventions. On n samples and p pixels (one for a linear layer) both take E[a a^T] of the inputs and E[g g^T] of the
derivatives of single losses, and both share a map's pixels as K-FAC-expand does. They put the number of pixels on
different sides: curvlinops averages inputs over the n p rows and sums derivatives over pixels, here inputs are summed
over pixels (the constant of the bias counts p) and derivatives averaged. The products are equal.

Cross-entropy is the same loss in both. Ours of c squared errors is half their sum. For curvlinops' type-2 Fisher the
loss is their mean, whose Hessian is 2 / c of ours. Its empirical Fisher has derivatives 2 / c of ours times the root of
c.
"""

import pytest
import torch
from torch import nn

from skgrow.networks import MLP, Activation, ConvNet, glorot, to_torch
from skgrow.preconditioning import FrobeniusPreconditioner, SecondMoment
from skgrow.problem import CrossEntropy, Problem, SquaredError

curvlinops = pytest.importorskip("curvlinops")

N, CLASSES = 11, 3
NETWORKS = {
    "one layer": MLP((4, CLASSES), None, Activation("tanh")),
    "mlp": MLP((4, 5, 6, CLASSES), None, Activation("tanh")),
    "cnn": ConvNet((2, 4, 4), ((3,), (2,)), (4, CLASSES), None, Activation("tanh")),
}


def task(kind, loss):
    """Return a network, its problem, the same network in PyTorch, and curvlinops' loss and data."""
    generator = torch.Generator().manual_seed(7)
    size = 32 if kind == "cnn" else 4
    X = torch.randn(N, size, generator=generator, dtype=torch.float64)
    network = glorot(NETWORKS[kind], 3, X)
    model = to_torch(network)
    if loss == "cross_entropy":
        labels = torch.randint(CLASSES, (N,), generator=generator)
        Y = nn.functional.one_hot(labels, CLASSES).double()
        return network, Problem(X, Y, loss=CrossEntropy()), model, nn.CrossEntropyLoss(), (X, labels)
    Y = torch.randn(N, CLASSES, generator=generator, dtype=torch.float64)
    return network, Problem(X, Y, loss=SquaredError()), model, nn.MSELoss(), (X, Y)


def theirs(model, loss, data, fisher, **more):
    """Return curvlinops' operator with joint weight and bias, and its factors, layer by layer."""
    operator = curvlinops.KFACLinearOperator(
        model,
        loss,
        [p for p in model.parameters() if p.requires_grad],
        [data],
        fisher_type=fisher,
        separate_weight_and_bias=False,
        check_deterministic=False,
        **more,
    )
    operator.compute_kronecker_factors()
    A, B = operator._input_covariances, operator._gradient_covariances
    return operator, [A[name] for name in operator._mapping], [B[name] for name in operator._mapping]


def loss_factor(loss, fisher):
    """Return curvlinops' second moment of the derivatives over ours."""
    if loss == "cross_entropy":
        return 1.0
    return {"type-2": 2 / CLASSES, "empirical": 4 / CLASSES}[fisher]


def pixels_of(model, X):
    """Return the number of pixels of every layer with weights."""
    found = []
    modules = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    hooks = [
        m.register_forward_hook(lambda m, x, y: found.append(y[0, 0].numel() if isinstance(m, nn.Conv2d) else 1))
        for m in modules
    ]
    model(X)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.parametrize("fisher", ["type-2", "empirical"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("kind", list(NETWORKS))
def test_factors_are_curvlinops(kind, loss, fisher):
    network, problem, model, their_loss, data = task(kind, loss)
    _, A, B = theirs(model, their_loss, data, fisher)
    settings = FrobeniusPreconditioner(
        SecondMoment(), SecondMoment(), fisher={"type-2": "exact", "empirical": "empirical"}[fisher]
    )
    state = settings.start(network, torch.Generator().manual_seed(0))
    state.step(network, problem)
    pixels, factor = pixels_of(model, data[0]), loss_factor(loss, fisher)
    assert len(A) == len(B) == len(state.layers) == len(pixels)
    for layer, a, b, p in zip(state.layers, A, B, pixels, strict=True):
        torch.testing.assert_close(layer.input.covariance() / p, a, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(layer.output.covariance() * p * factor, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("loss", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("kind", list(NETWORKS))
def test_factors_of_attached_models_are_curvlinops(kind, loss):
    """The loss is the user's: the same one in both, with no factor but curvlinops' root of c for squared errors."""
    _, _, model, their_loss, data = task(kind, loss)
    _, A, B = theirs(model, their_loss, data, "empirical")
    attached = FrobeniusPreconditioner(SecondMoment(), SecondMoment(), fisher="empirical").attach(model)
    pixels = pixels_of(model, data[0])
    their_loss(model(data[0]), data[1]).backward()
    attached.step()
    factor = 1.0 if loss == "cross_entropy" else CLASSES
    for layer, a, b, p in zip(attached.layers, A, B, pixels, strict=True):
        torch.testing.assert_close(layer.input.covariance() / p, a, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(layer.output.covariance() * p * factor, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Conv2d(2, 3, 3, stride=2, padding=1),
        lambda: nn.Conv2d(2, 3, (2, 3), dilation=(2, 1), bias=False),
        lambda: nn.Conv2d(2, 3, 1),
    ],
    ids=["strided", "dilated", "pointwise"],
)
def test_factors_of_other_convolutions_are_curvlinops(make):
    torch.manual_seed(0)
    model = nn.Sequential(make(), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, CLASSES)).double()
    X, y = torch.randn(N, 2, 7, 6, dtype=torch.float64), torch.randint(CLASSES, (N,))
    check_attached(model, X, y)


def test_factors_of_linear_layers_on_sequences_are_curvlinops():
    """Positions share the weights of a linear layer as pixels share those of a convolution."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2), nn.Tanh(), nn.Flatten(), nn.Linear(12, CLASSES)
    ).double()
    check_attached(model, torch.randn(N, 6, 4, dtype=torch.float64), torch.randint(CLASSES, (N,)))


def check_attached(model, X, y):
    """Compare products of traces and normalised factors, which do not know where the number of pixels went."""
    _, A, B = theirs(model, nn.CrossEntropyLoss(), (X, y), "empirical")
    attached = FrobeniusPreconditioner(SecondMoment(), SecondMoment(), fisher="empirical").attach(model)
    nn.functional.cross_entropy(model(X), y).backward()
    attached.step()
    for layer, a, b in zip(attached.layers, A, B, strict=True):
        ours = layer.input.covariance(), layer.output.covariance()
        torch.testing.assert_close(torch.kron(*ours), torch.kron(a, b), rtol=1e-10, atol=1e-13)
        torch.testing.assert_close(ours[0] / ours[0].trace(), a / a.trace(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("kind", ["one layer", "mlp"])
def test_the_preconditioned_gradient_is_curvlinops(kind):
    """Damping goes to every factor in both."""
    network, problem, model, their_loss, data = task(kind, "cross_entropy")
    operator, _, _ = theirs(model, their_loss, data, "type-2")
    inverse = curvlinops.KFACInverseLinearOperator(operator, damping=(0.1, 0.1))
    their_loss(model(data[0]), data[1]).backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    settings = FrobeniusPreconditioner(SecondMoment(), SecondMoment(), damping=0.1, fisher="exact")
    _, found = settings.start(network, torch.Generator().manual_seed(0)).step(network, problem)
    torch.testing.assert_close(found, torch.as_tensor(inverse @ gradient), rtol=1e-9, atol=1e-11)
