"""The best output layer for fixed hidden neurons: least squares or damped Newton, and leave-out losses from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from skgrow._tolerances import LEAST_DIAGONAL, OUTPUT_RIDGE
from skgrow.networks import MLP
from skgrow.problem import Loss, Problem, damped_cholesky, sum_over_samples
from skgrow.solvers._constants import SOLVERS


def _gram(network: MLP, problem: Problem) -> tuple[Tensor, Tensor]:
    """Weighted Gram matrix of the last hidden features and the constant, and their products with the targets."""
    if problem.operator is not None or problem.offset is not None:
        B = problem.basis(network)
        Y = problem.Y if problem.offset is None else problem.Y - problem.offset
        weighted = (B * problem.g[:, None]).T
        return weighted @ B, weighted @ Y

    def chunk(X: Tensor, Y: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        H = network.hidden(X)
        B = torch.cat([H, H.new_ones(len(H), 1)], 1)
        weighted = (B * g[:, None]).T
        return weighted @ B, weighted @ Y

    size = 4 * network.n_activations * problem.X.element_size()
    gram, moments = sum_over_samples(chunk, problem.X, problem.Y, problem.g, bytes_per_row=size)
    return gram, moments


def _penalty_model(network: MLP, problem: Problem, stiffness: float = 1.0) -> tuple[Tensor, Tensor]:
    r"""Return D and s, shape (c, w + 1), of the parabola that touches the penalty at the present output layer.

    It is :math:`\tfrac12 \sum_{kj} D_{kj} a_{kj}^2 - \sum_{kj} s_{kj} a_{kj}` up to a constant, with D the curvature of
    the penalty times the stiffness.
    """
    w, b = network.slices[-1]

    def outgoing(values: Tensor) -> Tensor:
        return torch.cat([values[w].view(network.shapes[-1]), values[b][:, None]], 1)

    n = problem.total_weight
    curvature = stiffness * outgoing(problem.penalty.curvature(network, n))
    return curvature, curvature * outgoing(network.theta) - outgoing(problem.penalty.gradient(network, n))


def _penalised(network: MLP, problem: Problem, stiffness: float = 1.0) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield outputs of equal curvature of the penalty, and the matrix and right side of their least squares."""
    gram, moments = _gram(network, problem)
    curvature, shift = _penalty_model(network, problem, stiffness)
    moments = moments + shift.T
    c = len(curvature)
    alike = bool((curvature == curvature[:1]).all())
    for k in range(1 if alike else c):
        outputs = slice(c) if alike else slice(k, k + 1)
        yield outputs, gram + torch.diag(curvature[k]), moments[:, outputs]


def _unit_diagonal(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Gram matrix in double precision scaled to a unit diagonal, and the scale."""
    gram = gram.to("cpu", torch.float64) if gram.device.type == "mps" else gram.to(torch.float64)
    scale = gram.diagonal().clamp_min(torch.finfo(gram.dtype).tiny).rsqrt()
    return gram * scale[:, None] * scale, scale


def refit_output(network: MLP, problem: Problem) -> MLP:
    """Return the network with the output layer that minimises the objective, all other weights fixed.

    Least squares for the squared error, a few damped Newton steps for other losses; never worse than before. A penalty
    that is not quadratic in the output weights is replaced by a parabola that touches it at the present ones, again
    and again, of more curvature if the objective would rise. For the path norm the parabola lies above it.
    """
    solve = _least_squares if problem.loss.is_quadratic else _newton
    if problem.penalty.is_quadratic:
        refitted = solve(network, problem)
        return refitted if bool(problem.objective(refitted) <= problem.objective(network)) else network
    before, stiffness = float(problem.objective(network)), 1.0
    for _ in range(SOLVERS.penalty_parabolas):
        refitted = solve(network, problem, stiffness)
        after = float(problem.objective(refitted))
        if not after <= before:
            stiffness *= SOLVERS.newton_factor
            continue
        gain, before, network = before - after, after, refitted
        if gain <= SOLVERS.newton_tol * abs(after):
            break
    return network


def _with_output(network: MLP, solution: Tensor) -> MLP:
    """Return the network with output weights and biases from a matrix of shape (w + 1, c)."""
    theta = network.theta.clone()
    w, b = network.slices[-1]
    theta[w] = solution[:-1].T.reshape(-1)
    theta[b] = solution[-1]
    return network.with_theta(theta)


def _least_squares(network: MLP, problem: Problem, stiffness: float = 1.0) -> MLP:
    solution = network.theta.new_zeros(network.layer_sizes[-2] + 1, network.layer_sizes[-1])
    for outputs, gram, moments in _penalised(network, problem, stiffness):
        unit, scale = _unit_diagonal(gram)
        inverse = torch.linalg.pinv(unit, hermitian=True, rtol=len(unit) * torch.finfo(unit.dtype).eps)
        solution[:, outputs] = (scale[:, None] * (inverse @ (scale[:, None] * moments.to(scale)))).to(gram)
    return _with_output(network, solution)


def _newton(network: MLP, problem: Problem, stiffness: float = 1.0) -> MLP:
    """Damped Newton steps on the convex problem of the output layer."""
    kind = torch.float32 if problem.X.device.type == "mps" else torch.float64
    features = problem.basis(network)
    B, Y, g = (a.to(kind) for a in (features, problem.Y, problem.g))
    shift = 0 if problem.offset is None else problem.offset
    loss = problem.loss
    ridge, linear = (part.T.to(kind) for part in _penalty_model(network, problem, stiffness))
    theta = torch.cat([network.weights[-1], network.biases[-1][:, None]], 1).T.to(kind)

    def objective(coefficients: Tensor) -> Tensor:
        return (
            loss.value(B @ coefficients + shift, Y) @ g
            + (0.5 * ridge * coefficients.square() - linear * coefficients).sum()
        )

    value, damping = objective(theta), SOLVERS.newton_damping
    few = theta.numel() > SOLVERS.many_unknowns
    for _ in range(SOLVERS.few_newton_steps if few else SOLVERS.newton_steps):
        F = B @ theta + shift
        gradient = ridge * theta - linear - B.T @ (loss.negative_gradient(F, Y) * g[:, None])
        dense = theta.numel() <= SOLVERS.dense_unknowns
        step_of = _factorised(features, loss, F, Y, g, ridge) if dense else _by_products(B, loss, F, Y, g, ridge)
        while damping < SOLVERS.most_newton_damping:
            step = step_of(gradient, damping)
            trial = objective(theta - step)
            if bool(trial <= value):
                break
            damping *= SOLVERS.newton_factor
        else:
            break
        gain, value, theta, damping = value - trial, trial, theta - step, damping / SOLVERS.newton_factor
        if bool(gain <= SOLVERS.newton_tol * value.abs()):
            break
    return _with_output(network, theta.to(network.theta))


#: ``step(gradient, damping)``: the solution of the damped Newton system; the damping is relative to the diagonal.
_Step = Callable[[Tensor, float], Tensor]


def _factorised(features: Tensor, loss: Loss, F: Tensor, Y: Tensor, g: Tensor, ridge: Tensor) -> _Step:
    """Return the solver of the Newton system by factors of its matrix."""
    # the precision of the data will do: gradient and objective say where the minimum is
    hessian = _hessian(features, loss.hessian(F, Y).to(features), g.to(features)).to(F)
    hessian += torch.diag(ridge.T.reshape(-1))

    def step(gradient: Tensor, damping: float) -> Tensor:
        factor = damped_cholesky(hessian, damping * hessian.diagonal().clamp_min(LEAST_DIAGONAL))
        return torch.cholesky_solve(gradient.T.reshape(-1, 1), factor).view(F.shape[1], -1).T

    return step


def _by_products(B: Tensor, loss: Loss, F: Tensor, Y: Tensor, g: Tensor, ridge: Tensor) -> _Step:
    """Return the solver of the Newton system by conjugate gradients, preconditioned by the diagonal."""
    diagonal = (B.square().T @ (loss.curvature(F, Y) * g[:, None]) + ridge).clamp_min(LEAST_DIAGONAL)

    def step(gradient: Tensor, damping: float) -> Tensor:
        found, residual = torch.zeros_like(gradient), gradient.clone()
        scaled = residual / diagonal
        direction, size = scaled, (residual * scaled).sum()
        end = SOLVERS.gradient_tol**2 * size
        for _ in range(SOLVERS.gradient_steps):
            product = B.T @ (loss.curvature_product(F, Y, B @ direction) * g[:, None])
            product += ridge * direction + damping * diagonal * direction
            length = size / (direction * product).sum()
            found, residual = found + length * direction, residual - length * product
            scaled, before = residual / diagonal, size
            size = (residual * scaled).sum()
            if not bool(size > end):
                break
            direction = scaled + (size / before) * direction
        return found

    return step


def _hessian(B: Tensor, H: Tensor, g: Tensor) -> Tensor:
    """Return the matrix of blocks ``B^T diag(g H_kl) B``, shape (c q, c q) for B of shape (n, q), output by output."""
    q, c = B.shape[1], H.shape[1]
    full = B.new_zeros(c, q, c, q)
    for k in range(c):
        for other in range(k + 1):
            weight = g * H[:, k, other]
            if other == k or bool((weight != 0).any()):
                block = (B * weight[:, None]).T @ B
                full[k, :, other], full[other, :, k] = block, block.T
    return full.view(c * q, c * q)


def leave_out_losses(network: MLP, problem: Problem) -> Tensor:
    r"""Return, per last hidden neuron, by how much the objective rises without it after a refit.

    With the inverse :math:`K` of the matrix of the refitted output layer, :math:`K_{jj}` its (c, c) blocks and
    output weights :math:`a_j`, that is :math:`\tfrac12 a_j^T K_{jj}^{-1} a_j`: exact for the squared error (for which
    :math:`K_{jj}` is diagonal), to second order for other losses and for penalties that are not quadratic. No refit is
    needed to know it.

    Returns
    -------
    Tensor of shape (w,)
        Not negative; about 0 for a neuron in the span of the others.
    """
    width, c = network.layer_sizes[-2:]
    if problem.loss.is_quadratic:
        losses = network.theta.new_zeros(width)
        for _, gram, moments in _penalised(network, problem):
            unit, scale = _unit_diagonal(gram)
            # a small ridge, not a pseudo-inverse: two equal neurons have to see that each can stand in for the other
            unit = unit + OUTPUT_RIDGE * torch.eye(len(unit), dtype=unit.dtype, device=unit.device)
            inverse = torch.linalg.inv(unit)
            solution = inverse @ (scale[:, None] * moments.to(scale))
            diagonal = inverse.diagonal()[:width].clamp_min(torch.finfo(unit.dtype).tiny)
            losses = losses + (solution[:width].square().sum(1) / (2 * diagonal)).to(gram)
        return losses
    B = problem.basis(network)
    if c * (width + 1) > SOLVERS.dense_unknowns:
        return _leave_out_by_output(B, network, problem)
    hessian = _hessian(B, problem.loss.hessian(problem.outputs(network), problem.Y), problem.g)
    hessian = hessian + torch.diag(_penalty_model(network, problem)[0].reshape(-1).to(hessian))
    if not problem.loss.is_separable:  # the constant that cross-entropy leaves open
        hessian.view(c, width + 1, c, width + 1)[:, -1, :, -1] += 1 / c
    unit, scale = _unit_diagonal(hessian)
    inverse = torch.linalg.inv(unit + OUTPUT_RIDGE * torch.eye(len(unit), dtype=unit.dtype, device=unit.device))
    inverse = (inverse * scale[:, None] * scale).view(c, width + 1, c, width + 1)
    blocks = torch.einsum("kjlj->jkl", inverse)[:width]
    outgoing = network.weights[-1].T.to(blocks)[:, :, None]
    return (0.5 * (outgoing * torch.linalg.solve(blocks, outgoing)).sum((1, 2))).to(network.theta)


def _leave_out_by_output(B: Tensor, network: MLP, problem: Problem) -> Tensor:
    """Return the same with the diagonal of the curvature: with many outputs the matrix of all takes too much memory."""
    curvature = problem.loss.curvature(problem.outputs(network), problem.Y) * problem.g[:, None]
    rise = B.new_zeros(B.shape[1] - 1)
    penalties = _penalty_model(network, problem)[0].to(B)
    for weights, penalty, outgoing in zip(curvature.T, penalties, network.weights[-1], strict=True):
        gram = (B * weights[:, None]).T @ B + torch.diag(penalty)
        unit, scale = _unit_diagonal(gram)
        inverse = torch.linalg.inv(unit + OUTPUT_RIDGE * torch.eye(len(unit), dtype=unit.dtype, device=unit.device))
        diagonal = (inverse.diagonal() * scale.square())[:-1].clamp_min(torch.finfo(unit.dtype).tiny)
        rise += (0.5 * outgoing.to(diagonal).square() / diagonal).to(rise)
    return rise


def output_gauss_newton(network: MLP, problem: Problem) -> Tensor:
    """Return the block of the Gauss-Newton matrix of the squared error that belongs to the output layer.

    Returns
    -------
    Tensor of shape (q, q)
        Over the last q parameters: output weights row by row, then output biases.
    """
    gram, _ = _gram(network, problem)
    c, w = network.layer_sizes[-1], network.layer_sizes[-2]
    eye = torch.eye(c, dtype=gram.dtype, device=gram.device)
    full = torch.kron(eye, gram)  # output by output: weights, bias
    places = torch.arange(len(full), device=gram.device).view(c, w + 1)
    order = torch.cat([places[:, :-1].reshape(-1), places[:, -1]])
    return full[order][:, order]
