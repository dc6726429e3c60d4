"""A grown network with what is known of it; an average of several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from skgrow._tolerances import LEAST_ALPHA, SAME_VARIANCE
from skgrow.criteria import evidence
from skgrow.growth._constants import GROWTH
from skgrow.networks import MLP, without_outer_kinks
from skgrow.prediction import packed, unpacked
from skgrow.problem import DenseCurvature, Problem, bounded, damped_cholesky, rows_per_chunk
from skgrow.solvers import output_gauss_newton
from skgrow.training import Task, Trained, is_evidence_cheap


@dataclass
class Member:
    """A trained network that may stand alone or be averaged with others; or such an average.

    Parameters
    ----------
    trained : Trained
        The network.
    name : str
        Of its activation.
    task : Task
        On whose coordinates it is.
    parts : sequence of Member
        Of an average its networks.
    shares : sequence of float
        Their weights.
    plain : MLP, optional
        Of a linear model the map without a layer of identities: its parameters are those that the data determine.
    curvature : Curvature, optional
        At the network, if it was computed.
    stop_reason : str
        Why its growth ended, empty if it has not grown.
    number : int or None
        Of the member of an ensemble that it belongs to; None: to all.
    """

    trained: Trained
    name: str
    task: Task
    parts: Sequence[Member] = ()
    shares: Sequence[float] = (1.0,)
    plain: MLP | None = None
    curvature: Any = None
    stop_reason: str = ""
    number: int | None = 0

    @property
    def label(self) -> str:
        """Name of the activation on the features themselves."""
        return self.task.named(self.name)

    @property
    def problem(self) -> Problem:
        """What the network was trained on."""
        return self.trained.problem

    @property
    def width(self) -> int:
        """Number of neurons of the first hidden layer."""
        return self.trained.network.layer_sizes[1]

    @property
    def network(self) -> MLP:
        """What curvature and evidence are taken of."""
        return cast(MLP, self.trained.network) if self.plain is None else self.plain

    def measure(self) -> None:
        """Compute curvature and evidence, if they are not known yet and not too expensive."""
        if self.curvature is not None:
            return
        problem, trained = self.problem, self.trained
        network = self.network
        cheap = is_evidence_cheap(problem.n_samples, network.layer_sizes[-1], network.n_parameters)
        if cheap or not problem.curvature.is_exact:
            self.curvature = problem.curvature_at(network)
        if self.curvature is not None and self.curvature.is_finite():
            task = problem.at(max(trained.alpha, LEAST_ALPHA))
            trained.evidence = evidence(network, task, self.curvature, data_loss=trained.loss, update=False)

    def posterior(self, share: float, noise: float, most: float) -> dict[str, Any] | None:
        """Return what :func:`skgrow.prediction.standard_deviation` needs of the network, in plain Python and arrays.

        Weight in an average, activation, layers and parameters, the upper triangle of a root of the parameters'
        covariance, and the variance of weights that the coordinates do not tell. None if it is not finite. Of more than
        ``most`` parameters the covariance is that of the output layer's.

        A ReLU that is on at all samples shares its constant part with the output bias in any proportion. Its kink is
        moved away, or the deviation would jump to that of the prior right beyond it.
        """
        problem, trained, curvature = self.problem, self.trained, None
        whole, n = self.network.n_parameters <= most, problem.total_weight
        network = without_outer_kinks(self.network if whole else trained.network, problem.X)
        if self.curvature is not None and whole:
            same = network is self.network
            curvature = self.curvature if same else problem.curvature_at(network)
        if isinstance(curvature, DenseCurvature) and curvature.is_finite():
            gram = curvature.gram
        elif math.isfinite(trained.loss):
            gram = output_gauss_newton(network, problem)
        else:
            return None
        root = _covariance_root(gram, problem.penalty.pattern(network)[-len(gram) :], trained.alpha, noise, n)
        return {
            "share": share,
            "activation": network.activation.name,
            "slope": network.activation.slope,
            "layer_sizes": network.layer_sizes,
            "unseen": noise / max(trained.alpha, LEAST_ALPHA) if whole else 0.0,
            **self._rounded(network, root, noise),
        }

    def _rounded(self, network: MLP, root: Tensor, noise: float) -> dict[str, np.ndarray]:
        """Return parameters and root in as few bytes as change no deviation on samples.

        Without noise it takes all of them: then a deviation is a difference of large numbers.
        """
        X, c = self.problem.X, network.layer_sizes[-1]
        most = min(GROWTH.deviation_rows, rows_per_chunk(X.device.type, 8 * c * network.n_parameters))
        rows = X[:: 1 + len(X) // most]

        def said(network: MLP, root: Tensor) -> tuple[Tensor, Tensor]:
            state = network.forward_pass(rows)
            J = network.jacobian(state)[..., -len(root) :]
            return state.output.T, (J @ root).square().sum(-1) + noise

        F, before = said(network, root)
        theta, whole = (a.to("cpu").numpy() for a in (network.theta, root))
        for n_bytes, kind in product((3, 4), (np.float32, np.float64)):
            with np.errstate(over="ignore"):
                stored = {"theta": theta.astype(kind), "root": packed(whole, n_bytes)}
            again = network.with_theta(torch.as_tensor(stored["theta"]).to(root))
            G, after = said(again, torch.as_tensor(unpacked(stored["root"])).to(root))
            change = (after - before).abs() + (F - G).abs() * before.sqrt()  # members differ by about a deviation
            if bool((change <= SAME_VARIANCE * before).all()):
                return stored
        return {"theta": theta, "root": packed(whole, 8)}


def _covariance_root(gram: Tensor, mask: Tensor, alpha: float, noise: float, n: float) -> Tensor:
    """Return R with R R^T the covariance of the parameters, noise / n times the inverse of the damped matrix."""
    factor = damped_cholesky(gram, bounded(alpha / n, mask.dtype) * mask)
    eye = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    return torch.linalg.solve_triangular(factor, eye, upper=False).T * math.sqrt(noise / n)
