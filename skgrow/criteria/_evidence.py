r"""The evidence framework on the Gauss-Newton matrix (MacKay 1992; Foresee and Hagan 1997).

With noise variance :math:`\sigma^2` and prior precision a of the penalised parameters :math:`\theta_p`,

.. math::
    -\log p(\theta, D) = \frac{n S}{2 \sigma^2} + \frac{a}{2} |\theta_p|^2 + \text{const},\qquad
    S = \sum_i g_i |y_i - F(x_i)|^2 ,

so the penalty of the training problem is :math:`\alpha = a \sigma^2`. The Laplace approximation at the minimum has
the precision :math:`H = (n G + \alpha P)/\sigma^2`, with the Gauss-Newton matrix :math:`G = \sum_i g_i J_i^T J_i` and
the penalty pattern P. The number of well-determined penalised parameters and the fixed points of the log evidence
are

.. math::
    \gamma = p - \tfrac{\alpha}{n} \operatorname{tr}\big(P (G + \tfrac{\alpha}{n} P)^{-1}\big),\qquad
    a = \gamma / |\theta_p|^2, \qquad \sigma^2 = n S / (n c - \gamma - c).

The c output biases have a flat prior. Training takes ``loss.plug_in_factor`` times this penalty.

Beside the evidence stands generalised cross-validation (Craven and Wahba 1979),

.. math::
    \mathrm{GCV} = \frac{S / c}{(1 - \rho\, (\gamma + c)/(n c))^2},

with every effective parameter counted :math:`\rho = 1.4` times, the remedy of Kim and Gu (2004) for the tendency of GCV
to undersmooth. The evidence asks which network is the more probable, GCV which predicts better; the latter is kinder to
wide networks where the truth is none of the candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from skgrow._tolerances import LARGEST_PENALTY, LEAST_EFFECTIVE, SMALLEST_LOSS, TINY
from skgrow.networks import Network
from skgrow.problem import Curvature, DenseCurvature, Loss, Problem

#: How many times an effective parameter counts in generalised cross-validation (Kim and Gu 2004; decision 6).
GCV_INFLATION = 1.4


@dataclass(frozen=True)
class Evidence:
    """Hyperparameters and log evidence at a network.

    Attributes
    ----------
    alpha : float
        L2 penalty: prior precision times noise variance.
    dispersion : float
        Noise variance for the squared error, in squared target units of the problem; 1 for cross-entropy.
    effective_parameters : float
        Number of well-determined parameters, output biases included.
    log_evidence : float
        Logarithm of the marginal likelihood (Laplace approximation), equivalent optima of the same function counted.
        NaN without a penalty, where there is no prior.
    gcv : float
        Generalised cross-validation: estimated loss on new data; the mean squared error per output if the loss is
        half of it. Effective parameters count 1.4 times, of a linear model once. Infinite if the network has too
        many of them for the data.
    """

    alpha: float
    dispersion: float
    effective_parameters: float
    log_evidence: float
    gcv: float


def evidence(
    network: Network,
    problem: Problem,
    curvature: Curvature | Tensor,
    *,
    data_loss: float | None = None,
    update: bool = True,
) -> Evidence:
    """Return the evidence under a problem's penalty and, if ``update``, the next step of the fixed-point iteration.

    Parameters
    ----------
    network : Network
        At, or near, a minimum of the problem's objective.
    problem : Problem
        With its penalty.
    curvature : DenseCurvature, KroneckerCurvature or Tensor of shape (p, p)
        Gauss-Newton matrix of the data loss. An approximate one takes factors of the penalty, as on coarse levels, for
        their mean.
    data_loss : float, optional
        The data loss of the network, if it is known.
    update : bool, default=True
        Whether the returned ``alpha`` is the updated one.
    """
    if isinstance(curvature, Tensor):
        curvature = DenseCurvature(curvature)
    data_loss = float(problem.data_loss(network)) if data_loss is None else data_loss
    loss, alpha, penalised = problem.loss, problem.alpha, problem.penalty.pattern(network)
    n, c = problem.total_weight, network.layer_sizes[-1]
    n_observed = loss.n_observed(n, c)
    p_penalised = float((penalised > 0).sum())
    mass = float(penalised.sum()) / p_penalised if p_penalised else 1.0
    ratio = alpha / n
    if not math.isfinite(data_loss) or not curvature.is_finite():
        return Evidence(alpha, math.nan, math.nan, math.nan, math.inf)
    log_det, inverse_diagonal = curvature.damped(ratio * mass, penalised / mass)
    inverse_diagonal = inverse_diagonal.to(penalised)
    gamma = max(p_penalised - ratio * float(inverse_diagonal @ penalised), LEAST_EFFECTIVE)
    theta_squared = max(float((network.theta * penalised) @ network.theta), TINY)
    total = max(n * data_loss, smallest_loss(n_observed))
    spread = max(problem.spread(network, total / n), smallest_loss(n_observed) / n)
    dispersion = dispersion_of(loss, spread, gamma + c, n, c)
    log_evidence = math.nan
    if alpha > 0:
        precision = alpha / dispersion
        # log |H| = p log(n / dispersion) + log |G + ratio P|
        log_evidence = (
            -total / dispersion
            - 0.5 * precision * theta_squared
            - 0.5 * (network.n_parameters * math.log(n / dispersion) + log_det)
            + 0.5 * p_penalised * math.log(precision * mass)
            + n_observed * loss.log_normaliser(dispersion)
            + 0.5 * c * math.log(2 * math.pi)
            + _log_symmetries(network, 1 - ratio * penalised * inverse_diagonal)
        )
    inflation = GCV_INFLATION if len(network.hidden_maps) else 1.0  # nothing was searched for in a linear model
    gcv = generalised_cross_validation(loss, total / n, dispersion, gamma + c, n, c, inflation)
    next_alpha = alpha
    if update and p_penalised > 0:  # bounded: at zero weights the fixed point would be infinite, for ever
        next_alpha = min(gamma * dispersion / theta_squared, LARGEST_PENALTY * n * curvature.largest())
    return Evidence(next_alpha, dispersion, gamma + c, log_evidence, gcv)


def dispersion_of(loss: Loss, spread: float, effective: float, n: float, c: int) -> float:
    """Return the estimated noise variance for the squared error, with so many effective parameters; see Evidence.

    ``spread`` is the mean of :meth:`skgrow.problem.Loss.spread`.
    """
    if loss.known_dispersion:
        return 1.0
    return max(n * spread / max(loss.n_observed(n, c) - effective, 1.0), loss.least_dispersion)


def per_observation(loss: Loss, n: float, c: int) -> float:
    """Return the unit of estimated losses on new data: twice the loss and per output if it is half a square."""
    return 1.0 if loss.known_dispersion else loss.degree * n / loss.n_observed(n, c)


def smallest_loss(n_observed: float) -> float:
    """Return the total loss below which there is only rounding, of targets of size one."""
    return n_observed * SMALLEST_LOSS


def generalised_cross_validation(
    loss: Loss,
    data_loss: float,
    dispersion: float,
    effective: float,
    n: float,
    c: int,
    inflation: float = GCV_INFLATION,
) -> float:
    """Return the estimated loss on new data of a network with so many effective parameters.

    Of a loss that is not homogeneous it is the training loss and its optimism, the dispersion times the number of
    effective parameters (Efron 2004), raised as the quotient of generalised cross-validation is.
    """
    share = inflation * effective / loss.n_observed(n, c)
    if share >= 1:
        return math.inf
    unit = per_observation(loss, n, c)
    if loss.known_dispersion or not loss.is_homogeneous:
        return unit * (data_loss + dispersion * inflation * effective / (1 - share) / n)
    return unit * data_loss / (1 - share) ** loss.degree


def _log_symmetries(network: Network, determined: Tensor) -> float:
    """Log of the number of distinct parameter vectors with the same function: permutations, and signs of odd neurons.

    A neuron that the data leaves at the prior has no twin optimum elsewhere, so each neuron counts by the
    well-determined share (``determined``, between 0 and 1 per parameter) of its own parameters.
    """
    total = 0.0
    share = network.with_theta(determined)
    for i in network.hidden_maps:
        incoming, outgoing = share.weights[i], share.weights[i + 1]
        sums = incoming.sum(1) + share.biases[i] + outgoing.sum(0)
        count = float((sums / (incoming.shape[1] + 1 + outgoing.shape[0])).clamp(0, 1).sum())
        total += math.lgamma(count + 1)
        if network.activation.name in ("tanh", "logistic"):
            total += count * math.log(2)
    return total
