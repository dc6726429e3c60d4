r"""The error on new data, estimated by leaving out one sample at a time.

A Newton step from the fitted network says what it would predict without a sample (Rad and Maleki 2020). With the
inverse :math:`H^{-1}` of the damped Gauss-Newton matrix, the sample's Jacobian :math:`J_i`, and negative gradient
:math:`E_i` and curvature :math:`H_i` of its loss,

.. math::
    \tilde f_i = f_i - A_i (I - H_i A_i)^{-1} E_i, \qquad A_i = \tfrac1n J_i H^{-1} J_i^T .

For a linear model and the squared error that is exact, and the residual is the well-known :math:`E_i / (1 - h_i)` of
PRESS (Allen 1974). Generalised cross-validation puts the mean of all leverages :math:`h_i` in the place of each.
Where they differ, as on heavy-tailed inputs, it favours networks that bend to a few far samples: these, with leverages
near one, have no residual left, and the mean does not show it.

As in generalised cross-validation, effective parameters count more than once: the estimate is raised in the proportion
in which that raises the latter.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from skgrow.criteria._evidence import Evidence, generalised_cross_validation, per_observation, smallest_loss
from skgrow.networks import Network
from skgrow.problem import Problem, sum_over_samples


def leave_one_out(network: Network, problem: Problem, alpha: float, found: Evidence) -> float:
    """Return the estimated loss on new data, in the units of ``found.gcv``; that itself if H is singular.

    Parameters
    ----------
    network : Network
        At, or near, a minimum of the objective with penalty ``alpha``.
    problem : Problem
        Without operator.
    alpha : float
        Penalty, not negative.
    found : Evidence
        At the network, with this penalty.

    Returns
    -------
    float
        Infinite if there are too many effective parameters for the data, or the loss overflows.
    """
    if not math.isfinite(found.gcv):
        return math.inf
    loss, n, c = problem.loss, problem.total_weight, network.layer_sizes[-1]
    curvature, mask = problem.linearised(network)[2], problem.penalty.pattern(network)
    rounding = curvature.largest() * network.n_parameters * torch.finfo(problem.X.dtype).eps

    def chunk(X: Tensor, Y: Tensor, g: Tensor, one: Tensor, *offset: Tensor) -> tuple[Tensor]:
        state = network.forward_pass(X)
        F = state.output + offset[0] if offset else state.output
        J = network.jacobian(state)  # (c, rows, p)
        V = curvature.solve(alpha / n, mask, rounding, J.flatten(0, 1).T)
        if V is None:
            return (X.new_full((), math.nan),)
        A = torch.einsum("cnp,pdn->ncd", J, V.view(-1, *J.shape[:2])) * one[:, None, None]
        identity = torch.eye(c, dtype=X.dtype, device=X.device)
        E = loss.negative_gradient(F, Y)
        alone = torch.linalg.solve_ex(identity - loss.hessian(F, Y) @ A, E[..., None])[0]
        return (loss.value(F - (A @ alone)[..., 0], Y) @ g,)

    size = 4 * c * network.n_parameters * problem.X.element_size()
    one = problem.g if problem.repeats is None else problem.g / problem.repeats
    arrays = [problem.X, problem.Y, problem.g, one, *([] if problem.offset is None else [problem.offset])]
    mean = float(sum_over_samples(chunk, *arrays, bytes_per_row=size)[0])
    if math.isnan(mean):  # singular to rounding
        return found.gcv
    n_observed, effective = loss.n_observed(n, c), found.effective_parameters
    data_loss = max(float(problem.data_loss(network)), smallest_loss(n_observed) / n)
    once = generalised_cross_validation(loss, data_loss, found.dispersion, effective, n, c, inflation=1.0)
    unit = per_observation(loss, n, c)
    if loss.known_dispersion or not loss.is_homogeneous:
        return unit * mean + found.gcv - once
    return unit * mean * found.gcv / once
