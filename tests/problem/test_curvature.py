"""Kronecker factors of the Gauss-Newton matrix, and the evidence from them, against dense matrices."""

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skgrow.criteria import evidence
from skgrow.networks import MLP, Activation, CNNArchitecture, ResNet
from skgrow.problem import (
    CHUNK_BYTES,
    CHUNKS,
    L2,
    CrossEntropy,
    DenseCurvature,
    KroneckerCurvature,
    Logistic,
    Poisson,
    Problem,
    RowCurvature,
    SampledKroneckerCurvature,
    SquaredError,
    gram_matrix,
)
from skgrow.solvers import LevenbergMarquardt
from skgrow.training import ByEvidence

LOSSES = [SquaredError(), Poisson(), Logistic(), CrossEntropy()]
SIZES = [(3, 2), (3, 4, 2), (3, 3, 2, 2)]
NAMED = {"ids": lambda value: type(value).__name__ if not isinstance(value, tuple) else str(value)}


def random_case(loss=None, sizes=(3, 4, 2), *, n=12, seed=0, activation="tanh", alpha=0.7):
    loss = SquaredError() if loss is None else loss
    rng = np.random.default_rng(seed)
    p = sum((i + 1) * o for i, o in pairwise(sizes))
    network = MLP(sizes, torch.as_tensor(rng.normal(size=p)), Activation(activation))
    c = sizes[-1]
    Y = np.eye(c)[rng.integers(0, c, n)] if isinstance(loss, CrossEntropy) else rng.integers(0, 2, (n, c)) * 1.0
    X = torch.as_tensor(rng.normal(size=(n, sizes[0])))
    return network, Problem(X, torch.as_tensor(Y), torch.as_tensor(rng.uniform(0.3, 2, n)), loss, L2(alpha))


def assert_near(found, expected, tol=1e-6):
    """Up to rounding, which is relative to the largest entry: inverses of nearly singular matrices have all sizes."""
    torch.testing.assert_close(found, expected, rtol=tol, atol=tol * float(expected.abs().max()))


def order_of_layer(network, layer):
    """Places in theta of a layer's parameters, output by output: incoming weights, bias."""
    w, b = network.slices[layer]
    out = network.layer_sizes[layer + 1]
    weights = torch.arange(w.start, w.stop).view(out, -1)
    return torch.cat([weights, torch.arange(b.start, b.stop)[:, None]], 1).reshape(-1)


def dense(network, kronecker):
    """The whole matrix that the factors stand for, in the order of theta."""
    matrix = torch.zeros(network.n_parameters, network.n_parameters, dtype=torch.float64)
    for layer, (A, B) in enumerate(kronecker.factors):
        places = order_of_layer(network, layer)
        matrix[places[:, None], places] = torch.kron(B, A)
    return matrix


def unfixed_gram(network, problem):
    """The Gauss-Newton matrix without what completes it for classes."""
    gram = problem.gauss_newton(network)[2]
    if not problem.loss.is_separable:
        places = network.slices[-1][1]
        gram[places, places] -= 1 / network.layer_sizes[-1]
    return gram


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@pytest.mark.parametrize("sizes", SIZES, **NAMED)
@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_of_one_sample_the_blocks_are_exact(loss, sizes, activation):
    network, problem = random_case(loss, sizes, n=1, activation=activation)
    gram, product = unfixed_gram(network, problem), dense(network, KroneckerCurvature.of(network, problem))
    for layer in range(len(sizes) - 1):
        places = order_of_layer(network, layer)
        torch.testing.assert_close(
            product[places[:, None], places], gram[places[:, None], places], rtol=1e-10, atol=1e-12
        )


@pytest.mark.parametrize("sizes", SIZES, **NAMED)
def test_the_output_layer_of_the_squared_error_is_exact(sizes):
    """There the backpropagated root is the identity for all samples."""
    network, problem = random_case(sizes=sizes)
    gram, product = problem.gauss_newton(network)[2], dense(network, KroneckerCurvature.of(network, problem))
    places = order_of_layer(network, len(sizes) - 2)
    torch.testing.assert_close(product[places[:, None], places], gram[places[:, None], places], rtol=1e-11, atol=1e-12)


class OnAll(L2):
    """A penalty on the output biases, too, as the factors have it."""

    def pattern(self, network):
        return torch.ones_like(network.theta)


def test_a_linear_model_is_exact_as_a_whole():
    network, problem = random_case(sizes=(3, 2), activation="identity")
    kronecker = KroneckerCurvature.of(network, problem)
    torch.testing.assert_close(dense(network, kronecker), problem.gauss_newton(network)[2], rtol=1e-12, atol=1e-13)
    problem = problem.with_penalty(OnAll(0.7))
    ours = evidence(network, problem, kronecker)
    theirs = evidence(network, problem, problem.gauss_newton(network)[2])
    for name in ("alpha", "dispersion", "effective_parameters", "log_evidence", "gcv"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=1e-9)


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@pytest.mark.parametrize("sizes", SIZES, **NAMED)
def test_traces_of_the_factors_are_means_over_samples(loss, sizes):
    """A is the weighted second moment of the inputs; B that of the backpropagated root."""
    network, problem = random_case(loss, sizes)
    state = network.forward_pass(problem.X)
    H = loss.hessian(state.output, problem.Y)
    for layer, (A, B) in enumerate(KroneckerCurvature.of(network, problem).factors):
        x = torch.cat([state.inputs[layer], torch.ones(12, 1).double()], 1)
        torch.testing.assert_close(A, (x * problem.g[:, None]).T @ x)
        seeds = torch.eye(sizes[-1]).double()[:, None].expand(-1, 12, -1)
        J = network.backward_pass(state, seeds)[layer]  # (c, n, w)
        torch.testing.assert_close(B, torch.einsum("n,cnv,ncd,dnw->vw", problem.g, J, H, J))


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**16),
    ridge=st.sampled_from([1e-6, 1e-2, 10.0]),
    sizes=st.sampled_from([*SIZES, (3, 1, 1), (1, 5, 1)]),
)
def test_determinant_and_inverse_diagonal_are_those_of_the_whole_matrix(seed, ridge, sizes):
    network, problem = random_case(sizes=sizes, seed=seed)
    kronecker = KroneckerCurvature.of(network, problem)
    kronecker.rank = None
    log_det, diagonal = kronecker.damped(ridge, problem.penalty.pattern(network))
    matrix = dense(network, kronecker) + ridge * torch.eye(network.n_parameters).double()
    assert log_det == pytest.approx(float(torch.linalg.slogdet(matrix)[1]), rel=1e-7, abs=1e-7)
    torch.testing.assert_close(diagonal, torch.linalg.inv(matrix).diagonal(), rtol=1e-6, atol=1e-8)
    assert kronecker.largest() == pytest.approx(float(dense(network, kronecker).diagonal().max()), rel=1e-10)


def test_no_more_eigenvalues_than_rows():
    """A matrix of m rows has rank m at most: so many parameters are determined, and not those of all layers."""
    network, problem = random_case(sizes=(3, 30, 2), n=4)
    mask = torch.ones_like(network.theta)
    diagonal = KroneckerCurvature.of(network, problem).damped(1e-12, mask)[1]
    determined = network.n_parameters - 1e-12 * float(diagonal.sum())
    assert determined == pytest.approx(8, abs=1e-3)  # four rows of two outputs


@pytest.mark.parametrize(
    "network",
    [
        ResNet((3, 4, 5, 2), None, Activation("tanh"), step=0.5),
        ResNet((3, 4, 5, 2), None, Activation("tanh"), bias=False),
    ],
    ids=["biases", "none"],
)
def test_of_one_row_the_factors_are_those_of_every_network(network):
    """Of one sample and one derivative the mean of products is the product of means, layer by layer."""
    rng = np.random.default_rng(0)
    network = network.with_theta(torch.as_tensor(rng.normal(size=network.n_parameters)))
    problem = Problem(torch.as_tensor(rng.normal(size=(1, 3))), torch.zeros(1, 2).double(), loss=CrossEntropy())
    state = network.forward_pass(problem.X)
    J = network.jacobian(state, problem.loss.curvature_root(state.output, problem.Y)).flatten(0, 1)
    curvature = KroneckerCurvature.of(network, problem)
    curvature.rank = None
    diagonal = curvature.damped(0.3, torch.ones_like(network.theta))[1]
    for weights, biases in network.slices:
        block = J[:, weights.start : biases.stop]
        exact = torch.linalg.inv(block.T @ block + 0.3 * torch.eye(block.shape[1]).double()).diagonal()
        torch.testing.assert_close(diagonal[weights.start : biases.stop], exact)


def test_convolutions_have_factors_and_large_data_a_sample():
    rng = np.random.default_rng(0)
    network = CNNArchitecture((1, 4, 4), (3,)).template(16, (5,), 2, Activation("relu"), standardized=False)
    network = network.with_theta(torch.as_tensor(0.5 * rng.normal(size=network.n_parameters)))
    X = torch.as_tensor(rng.normal(size=(CHUNKS.curvature_rows + 100, 16)))
    problem = Problem(X, network(X), penalty=L2(1.0))
    whole, some = KroneckerCurvature.of(network, problem), SampledKroneckerCurvature.of(network, problem)
    for curvature in (whole, some):
        assert curvature.damped(1e-3, torch.ones_like(network.theta))[1].shape == network.theta.shape
    found = [evidence(network, problem, curvature).effective_parameters for curvature in (whole, some)]
    assert found[0] == pytest.approx(found[1], rel=0.02)


@pytest.mark.parametrize("ridge", [1e-4, 1.0])
def test_the_dense_curvature_damps_what_is_penalised(ridge):
    network, problem = random_case()
    gram, mask = problem.gauss_newton(network)[2], problem.penalty.pattern(network)
    log_det, diagonal = DenseCurvature(gram).damped(ridge, mask)
    matrix = gram + ridge * torch.diag(mask)
    assert log_det == pytest.approx(float(torch.linalg.slogdet(matrix)[1]), rel=1e-7)
    torch.testing.assert_close(diagonal, torch.linalg.inv(matrix).diagonal(), rtol=1e-6, atol=1e-8)
    assert DenseCurvature(gram).largest() == float(gram.diagonal().max())


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@pytest.mark.parametrize("sizes", [(3, 6, 2), (9, 2), (3, 4, 4, 2)], **NAMED)
@pytest.mark.parametrize("frozen", ["nothing", "parameters", "neurons"])
def test_of_few_rows_the_matrix_need_not_be_formed(loss, sizes, frozen):
    network, problem = random_case(loss, sizes, n=4)
    value, gradient, gram = problem.gauss_newton(network)
    rows, factors = problem.gauss_newton_rows(network)[2:]
    assert (factors is None) == (len(sizes) == 2)
    ours, mask = RowCurvature(rows, sizes[-1], factors), problem.penalty.pattern(network)
    theirs = DenseCurvature(gram)
    torch.testing.assert_close(problem.gauss_newton_rows(network)[:2], (value, gradient))

    def assert_damped_alike(ridge):
        """Of incoming weights of the first layer the means over a neuron: so is ours, the other one is exact."""
        (log_det, diagonal), (exact_log_det, exact) = (matrix.damped(ridge, mask) for matrix in (ours, theirs))
        first = network.slices[0][0]
        if ours.first is not None:
            means = exact[first].view(sizes[1], sizes[0]).mean(1, keepdim=True).expand(-1, sizes[0])
            exact = torch.cat([means.reshape(-1), exact[first.stop :]])
        assert log_det == pytest.approx(exact_log_det, rel=1e-6, abs=1e-6)  # a relative error of the determinant
        assert_near(diagonal, exact)

    assert_damped_alike(0.1)
    if frozen != "nothing":
        still = torch.arange(network.n_parameters) % 3 == 0
        still[network.slices[-1][1]] = False
        if frozen == "neurons":
            still[:] = False
            still[: sizes[0]] = True
        for curvature in (ours, theirs):
            curvature.freeze(still)
    assert_near(ours.gram, theirs.gram, 1e-10)
    assert ours.largest() == pytest.approx(theirs.largest())
    without_factors = RowCurvature(ours.rows, sizes[-1])
    b = torch.linspace(-1, 1, 2 * network.n_parameters).double().view(-1, 2)
    for ridge, damping in ((1e-5, 0.0), (1e-2, 1e-5), (10.0, 1.0)):
        assert_damped_alike(ridge)
        solution = theirs.solve(ridge, mask, damping, b)
        for curvature in (ours, without_factors):
            assert_near(curvature.solve(ridge, mask, damping, b), solution)


def test_without_a_penalty_few_rows_are_damped_by_as_little_as_rounding_asks_for():
    network, problem = random_case(n=4)
    curvature = RowCurvature(problem.gauss_newton_rows(network)[2], 2)
    log_det, diagonal = curvature.damped(0.0, problem.penalty.pattern(network))
    assert np.isfinite(log_det)
    assert bool((diagonal > 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("repeated", [False, True])
def test_rows_that_repeat_are_damped_until_they_can_be_factorised(dtype, repeated):
    rows = torch.as_tensor(np.random.default_rng(0).normal(size=(60, 100))).to(dtype)
    rows[30:] = rows[:30] if repeated else 0.0
    mask = torch.ones(100, dtype=dtype)
    mask[-1] = 0
    log_det, diagonal = RowCurvature(rows, 1).damped(0.0, mask)
    assert np.isfinite(log_det)
    assert bool(torch.isfinite(diagonal).all())


def test_rows_without_any_curvature():
    rows = torch.zeros(3, 8)
    rows[:, -1] = 1
    mask = torch.ones(8)
    mask[-1] = 0
    assert np.isfinite(RowCurvature(rows, 1).damped(1e-3, mask)[0])


@pytest.mark.parametrize(("n", "kind"), [(12, DenseCurvature), (11, DenseCurvature), (10, RowCurvature)])
def test_the_form_of_the_matrix_is_the_smaller_one(n, kind):
    """Twenty-two parameters, and two rows a sample."""
    network, problem = random_case(sizes=(2, 4, 2), n=n, activation="relu")
    assert network.n_parameters == 22
    assert type(problem.curvature_at(network)) is kind


class Formed(Problem):
    """The Gauss-Newton matrix is formed, whatever its size."""

    def linearised(self, network):
        loss, gradient, gram = self.gauss_newton(network)
        return loss, gradient, DenseCurvature(gram)


def in_parts(problem, copies):
    """The same problem with every sample as several light ones: more rows, the same sums."""
    X, Y, weight = (
        array.repeat_interleave(copies, 0) for array in (problem.X, problem.Y, problem.sample_weight / copies)
    )
    return Problem(X, Y, weight, problem.alpha, problem.loss)


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_training_does_not_depend_on_the_form_of_the_matrix(loss, activation):
    found = []
    network, problem = random_case(loss, (3, 6, 2), n=8, activation=activation)
    problem = replace(problem, rule=ByEvidence(), support=1.0)
    given = {field.name: getattr(problem, field.name) for field in fields(problem) if field.init}
    for form, kind in ((RowCurvature, Problem), (DenseCurvature, Formed)):
        state = LevenbergMarquardt().start(network, kind(**given))
        assert type(state.curvature) is form
        found.append([state.step() for _ in range(5)])
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert found[0][-1] < found[0][0]


@pytest.mark.parametrize("sizes", [(3, 0, 2), (3, 2, 0, 2)], **NAMED)
def test_layers_without_neurons(sizes):
    network, problem = random_case(Logistic(), sizes)
    kronecker = KroneckerCurvature.of(network, problem)
    log_det, diagonal = kronecker.damped(1e-2, problem.penalty.pattern(network))
    assert np.isfinite(log_det)
    assert diagonal.shape == network.theta.shape
    assert torch.isfinite(diagonal).all()
    assert np.isfinite(kronecker.largest())


def test_problems_say_which_curvature_they_want():
    network, problem = random_case()
    assert isinstance(problem.curvature_at(network), DenseCurvature)
    problem = replace(problem, curvature=KroneckerCurvature)
    assert isinstance(problem.curvature_at(network), KroneckerCurvature)


@pytest.mark.parametrize("kind", [DenseCurvature, KroneckerCurvature])
def test_what_is_not_finite_is_said_to_be(kind):
    network, problem = random_case(alpha=0.5)
    problem = replace(problem, curvature=kind)
    assert problem.curvature_at(network).is_finite()
    broken = network.with_theta(torch.full_like(network.theta, float("nan")))
    found = problem.curvature_at(broken)
    assert not found.is_finite()
    result = evidence(broken, problem, found, data_loss=1.0)
    assert result.alpha == 0.5
    assert np.isnan(result.log_evidence)
    assert result.gcv == np.inf


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
def test_the_evidence_of_one_layer_at_a_time_is_not_far_from_the_dense_one(loss):
    """The approximation neglects correlations between layers; effective parameters come out alike."""
    network, problem = random_case(loss, (3, 4, 2), n=60)
    found = [
        evidence(network, problem, curvature)
        for curvature in (KroneckerCurvature.of(network, problem), DenseCurvature(problem.gauss_newton(network)[2]))
    ]
    assert 0 < found[0].effective_parameters <= network.n_parameters
    # measured: 19 to 37 % more
    assert found[0].effective_parameters == pytest.approx(found[1].effective_parameters, rel=0.5)


@pytest.mark.parametrize("loss", LOSSES, **NAMED)
def test_weights_are_repetitions(loss):
    network, problem = random_case(loss, n=6)
    count = torch.tensor([1, 0, 3, 2, 1, 1])
    weighted = Problem(problem.X, problem.Y, count.double(), loss, L2(0.7))
    repeated = Problem(*(a.repeat_interleave(count, 0) for a in (problem.X, problem.Y)), None, loss, L2(0.7))
    for ours, theirs in zip(
        KroneckerCurvature.of(network, weighted).factors, KroneckerCurvature.of(network, repeated).factors, strict=True
    ):
        torch.testing.assert_close(ours[0], theirs[0])
        torch.testing.assert_close(ours[1], theirs[1])


def test_chunks_give_the_same_factors(monkeypatch):
    network, problem = random_case(CrossEntropy(), n=53)
    whole = KroneckerCurvature.of(network, problem).factors
    monkeypatch.setitem(CHUNK_BYTES, "cpu", 2000)
    for ours, theirs in zip(KroneckerCurvature.of(network, problem).factors, whole, strict=True):
        torch.testing.assert_close(ours[0], theirs[0])
        torch.testing.assert_close(ours[1], theirs[1])


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
def test_what_is_not_finite_shows_on_the_diagonal(value):
    rows = torch.arange(12.0, dtype=torch.float64).view(3, 4)
    assert DenseCurvature(gram_matrix(rows)).is_finite()
    rows[1, 2] = value
    assert not DenseCurvature(gram_matrix(rows)).is_finite()
