r"""Global optimality of (leaky) ReLU networks of one hidden layer: certificate, duality gap, growth until it holds.

With weights :math:`\gamma_i`, the path norm :math:`\|F\| = \sum_j |a_j|\,|(w_j, b_j)|` and a free output bias c, the
objective in the scaling of sums is

.. math:: \Phi(F) = \sum_i \tfrac{\gamma_i}{2} |y_i - F(x_i)|^2 + \alpha \|F\|,

convex in the measure that places the mass :math:`a_j |(w_j, b_j)|` on the unit vector along :math:`(w_j, b_j)`. Its
Lagrangian dual is, with :math:`\langle u, v \rangle = \sum_i \gamma_i u_i \cdot v_i`,

.. math:: \max_q \; \langle y, q \rangle - \tfrac12 \langle q, q \rangle, \qquad \langle 1, q \rangle = 0, \quad
   \max_{|(w, b)| = 1} \Bigl| \sum_i \gamma_i q_i\, s(w \cdot x_i + b) \Bigr| \le \alpha,

where the first constraint is that of the bias. The residual E less its mean meets the first constraint, and, times
:math:`\min(1, \alpha / P)` with P the maximum at E, the second. So every network has a lower bound of the minimum. A
stationary network with :math:`P \le \alpha` attains it; otherwise the maximiser is a neuron that lowers the objective.

References
----------
Grohs, Kutyniok (eds.), "Mathematical Aspects of Deep Learning", section 4.4 (Theorems 4.5 to 4.10), there for another
regulariser of the same minimum and without a bias.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from skgrow._tolerances import SAME_OBJECTIVE
from skgrow.growth._arrangement import path_candidates
from skgrow.growth._constants import GROWTH
from skgrow.growth._polar import ascend, polar_value
from skgrow.growth._search import PolarSearch
from skgrow.networks import MLP, Activation, widen
from skgrow.problem import PathNorm, Problem
from skgrow.solvers._fully_corrective import FullyCorrective, require_path_problem
from skgrow.training import Action, History, Monitor, Trained, fit
from skgrow.training._schedules import Plateau


def path_norm(network: MLP) -> Tensor:
    r"""Return :math:`\sum_j |a_j|\,|(w_j, b_j)|` over the neurons of a network with one hidden layer."""
    return PathNorm(1.0).value(network, 1.0)


def polar_maximum(
    problem: Problem, network: MLP, search: PolarSearch, generator: torch.Generator
) -> tuple[float, Tensor, Tensor, bool]:
    r"""Return :math:`P = \max_{|(w, b)| = 1} |\sum_i \gamma_i E_i s(w \cdot x_i + b)|`, E the centred residual.

    Parameters
    ----------
    problem : Problem
        Data.
    network : MLP
        With one hidden layer of (leaky) ReLU, possibly of width zero.
    search : PolarSearch
        With ``normalization="parameter"``; used if the maximum is not found exactly.
    generator : torch.Generator
        For the search.

    Returns
    -------
    maximum : float
        In the scaling of sums: at the best constant it is the least ``alpha`` of which the constant is optimal.
    w : Tensor of shape (d,)
        Weights of the maximiser.
    b : Tensor of shape (1,)
        Its bias.
    exact : bool
        True for one feature, and for two of at most 1000 samples; else the value is a lower bound of the maximum.

    Raises
    ------
    ValueError
        For a search of another normalization.
    """
    V, values, exact = _polar_maxima(problem, network, search, generator)
    return float(values[0]), V[0, :-1], V[0, -1:], exact


def _polar_maxima(
    problem: Problem, network: MLP, search: PolarSearch, generator: torch.Generator
) -> tuple[Tensor, Tensor, bool]:
    """Return some unlike unit neurons, their values in descending order, and whether the first is the maximiser."""
    if search.normalization != "parameter":
        raise ValueError(f"The search needs normalization='parameter'; got {search.normalization!r}.")
    X, g, activation = problem.X, problem.g, network.activation
    E = _centred_residual(problem, network)
    exact = X.shape[1] == 1 or (X.shape[1] == 2 and len(X) <= GROWTH.certified_plane_rows)
    if exact:
        V = path_candidates(X, E, g, activation.negative_slope)
    else:
        (W, _), (b, _) = network.weights, network.biases
        block = search.search(X, E, g, activation, block_size=GROWTH.atoms, live=W, generator=generator)
        found = [torch.cat([block.W, block.b[:, None]], 1)] if block is not None else []
        start = torch.cat([*found, torch.cat([W, b[:, None]], 1)])
        start = start[(start != 0).any(1)]
        V = torch.cat([start, -start])
        V = ascend(X, E, g, activation, V, "parameter", n_steps=GROWTH.path_ascent_steps)
    V = V / torch.linalg.vector_norm(V, dim=1, keepdim=True)
    values = polar_value(X, E, g, activation, V, "parameter") * problem.total_weight
    order = values.argsort(descending=True, stable=True)
    chosen: list[int] = []
    while len(order) and len(chosen) < GROWTH.atoms:
        chosen.append(int(order[0]))
        order = order[V[order] @ V[chosen[-1]] < GROWTH.alike_cosine]
    return V[chosen], values[chosen], exact


def _centred_residual(problem: Problem, network: MLP) -> Tensor:
    E = problem.negative_gradient(network)
    return E - problem.g @ E


def duality_gap(problem: Problem, network: MLP, maximum: float) -> float:
    r"""Return a bound on :math:`\Phi(F) - \min \Phi`, in the scaling of sums.

    It is :math:`\Phi(F) - \langle y, q \rangle + \tfrac12 \langle q, q \rangle` with
    :math:`q = \min(1, \alpha / P)\, E`.

    Parameters
    ----------
    problem : Problem
        With the squared error and the path penalty.
    network : MLP
        With one hidden layer of (leaky) ReLU.
    maximum : float
        P of :func:`polar_maximum`. If that is but a lower bound, the gap is an estimate and no bound.

    Returns
    -------
    float
        Not negative.

    Raises
    ------
    ValueError
        For other problems or networks.
    """
    require_path_problem(network, problem)
    q = _centred_residual(problem, network)
    if maximum > problem.alpha:
        q = q * (problem.alpha / maximum)
    Y = problem.Y - problem.g @ problem.Y  # <1, q> = 0: the same product, with less rounding
    dual = problem.g @ (Y * q - 0.5 * q.square()).sum(1)
    return max(0.0, float(problem.objective(network) - dual) * problem.total_weight)


@dataclass
class CertificatePolicy:
    """Add the neurons that violate the dual constraint the most, until the duality gap closes.

    To be used with :class:`FullyCorrective`. Every call writes into the last row of the history

    * ``"indicator"``: P / alpha, at most 1 at the minimum;
    * ``"duality_gap"``: in the scaling of sums, and ``"certified"``: whether it is a bound;
    * ``"predicted_decrease"``: of the objective, when the best neuron is added with its best output weight.

    Parameters
    ----------
    problem : Problem
        What is being minimised.
    generator : torch.Generator
        For the search.
    search : PolarSearch, optional
        With ``normalization="parameter"``; finds neurons if the best one is not known exactly.
    max_neurons : int, default=100
        Budget of hidden neurons.
    tol : float, default=1e-8
        Duality gap, relative to the objective, at which to stop.
    """

    problem: Problem
    generator: torch.Generator
    search: PolarSearch = field(default_factory=lambda: PolarSearch(normalization="parameter"))
    max_neurons: int = 100
    tol: float = 1e-8

    def __post_init__(self) -> None:
        self.least, self.stale = math.inf, 0
        self.stop_reason: str | None = None

    def act(self, current: Trained, best: Trained, history: History) -> Action | None:  # noqa: ARG002
        """Answer with the current network and new neurons without output weights, or None at the end."""
        problem, network = self.problem, current.network
        V, values, exact = _polar_maxima(problem, network, self.search, self.generator)
        maximum, objective = float(values[0]), float(problem.objective(network)) * problem.total_weight
        gap = duality_gap(problem, network, maximum)
        history[-1] |= {
            "indicator": maximum / problem.alpha,
            "duality_gap": gap,
            "certified": exact,
            "predicted_decrease": self._predicted_decrease(network, V[0], maximum),
        }
        room = self.max_neurons - network.layer_sizes[1]
        # the last rounds, which close the gap, lower the objective by no more than rounding
        self.stale = self.stale + 1 if objective >= self.least * (1 - SAME_OBJECTIVE) else 0
        self.least = min(objective, self.least)
        if gap <= self.tol * objective or maximum <= problem.alpha:
            self.stop_reason = "duality_gap"
        elif self.stale > GROWTH.stale_additions:
            self.stop_reason = "criterion"
        elif room <= 0:
            self.stop_reason = "max_neurons"
        if self.stop_reason is not None:
            return None
        V = V[values > problem.alpha][:room]
        wider, kept = widen(network, 0, V[:, :-1], V[:, -1], V.new_zeros(network.layer_sizes[-1], len(V)))
        return Action("grow", wider, current, kept)

    def _predicted_decrease(self, network: MLP, v: Tensor, maximum: float) -> float:
        problem = self.problem
        h = network.activation.value(problem.X @ v[:-1] + v[-1])
        curvature = float(problem.g @ (h - problem.g @ h).square())
        slope = max(0.0, maximum - problem.alpha) / problem.total_weight
        return 0.5 * slope * slope / curvature if slope > 0 and curvature > 0 else 0.0


def constant_network(problem: Problem, activation: Activation) -> MLP:
    """Return the network without neurons whose output is the weighted mean of the targets."""
    d, c = problem.X.shape[1], problem.Y.shape[1]
    return MLP((d, 0, c), problem.g @ problem.Y, activation)


def optimal_path(
    problem: Problem,
    network: MLP,
    alphas: Iterable[float],
    *,
    max_neurons: int,
    tol: float,
    generator: torch.Generator,
) -> Iterator[tuple[Trained, float]]:
    """Yield for every alpha the trained network and its duality gap; each network starts the next.

    An interrupt ends the path.
    """
    for alpha in alphas:
        task = problem.with_penalty(PathNorm(alpha))
        policy = CertificatePolicy(task, generator, max_neurons=max_neurons, tol=tol)
        monitor, history = Monitor(), History()
        trained = fit(
            network,
            task,
            FullyCorrective(),
            policy,
            Plateau(),
            max_iter=GROWTH.path_steps,
            monitor=monitor,
            history=history,
        )
        if monitor.stopped:
            return
        yield trained, history[-1]["duality_gap"]
        network = trained.network
