r"""Path-norm penalised networks of one hidden layer, optimised to stationarity within their activation patterns.

A (leaky) ReLU network is a sum :math:`F(x) = c + \sum_j s(\langle v_j, z \rangle)\, a_j` over :math:`z = (x, 1)` with
:math:`|a_j| = 1` and path norm :math:`\sum_j |v_j|`. While no :math:`\langle v_j, z_i \rangle` changes its sign, F is
linear in :math:`v_j`: for one output the objective is a group lasso, convex and smooth if no :math:`v_j` vanishes.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import MultiTaskLasso
from torch import Tensor

from skgrow._tolerances import (
    DEPENDENT,
    KINK_RANK,
    LASSO_GAP,
    LEAST_CURVATURE,
    LEAST_PART,
    ON_KINK,
    PATH_ROUNDING,
    SAME_DIRECTION,
    TINY,
)
from skgrow.networks import MLP, Network
from skgrow.problem import PathNorm, Problem, SquaredError
from skgrow.solvers._constants import SOLVERS
from skgrow.solvers._state import Solver, SolverState


class FullyCorrective(Solver):
    r"""Minimise half the squared error with the path penalty: refit, merge, slide, thin out.

    A step consists of

    1. the (multi-task) lasso in the output weights of neurons of unit length; those it sets to zero are dropped;
    2. merging neurons of equal outgoing direction that no sample separates: their sum does the same on the data and
       is not longer;
    3. Newton steps on incoming weights, directions of outgoing weights and output bias. A neuron that meets the kink
       of a sample crosses it or stays on it, if that lowers the objective;
    4. scaling neurons whose contributions are linearly dependent on the data until one of them vanishes.

    None of them raises the objective, beyond rounding. With the best new neuron at every stop (one found beside a kink
    takes a neuron off it, by merging) this is a conditional gradient method, fully corrective and with sliding atoms,
    which converges to the global minimum.
    """

    def start(
        self,
        network: Network,
        problem: Problem,
        previous: object = None,  # noqa: ARG002
        kept: Tensor | None = None,  # noqa: ARG002
    ) -> FullyCorrectiveState:
        """Return the state of a run from ``network``; nothing is carried over from a previous run.

        Raises
        ------
        ValueError
            As :func:`require_path_problem`.
        """
        require_path_problem(network, problem)
        return FullyCorrectiveState(cast(MLP, network), problem)


def require_path_problem(network: Network, problem: Problem) -> None:
    """Raise ValueError unless the problem is a lasso over (leaky) ReLU neurons, in double precision."""
    if len(network.weights) != 2 or not network.activation.is_piecewise_linear:
        raise ValueError(f"The network needs one hidden layer of 'relu' or 'leaky_relu' neurons; got {network!r}.")
    if not (isinstance(problem.loss, SquaredError) and problem.operator is None and problem.offset is None):
        raise ValueError("The problem needs the squared error, without an operator or offset.")
    if not isinstance(problem.penalty, PathNorm) or not problem.alpha > 0:
        raise ValueError(f"The problem needs the penalty PathNorm(alpha) with alpha > 0; got {problem.penalty!r}.")
    if not problem.X.dtype == network.theta.dtype == torch.float64:
        raise ValueError(f"The problem needs double precision; got {problem.X.dtype} and {network.theta.dtype}.")


@dataclass(frozen=True)
class _Atoms:
    """Unit rows ``U`` (m, d + 1) with output weights ``A`` (m, c), and the output bias ``c`` (c,)."""

    U: Tensor
    A: Tensor
    c: Tensor

    @classmethod
    def of(cls, V: Tensor, A: Tensor, c: Tensor) -> _Atoms:
        """Move the lengths of ``V`` into ``A``; neurons of no length are left out."""
        size = torch.linalg.vector_norm(V, dim=1, keepdim=True)
        live = size[:, 0] > 0
        return cls(V[live] / size[live], A[live] * size[live], c)

    def __getitem__(self, keep: Tensor) -> _Atoms:
        return _Atoms(self.U[keep], self.A[keep], self.c)

    @property
    def size(self) -> Tensor:
        """Path norm of every neuron, (m, 1)."""
        return torch.linalg.vector_norm(self.A, dim=1, keepdim=True)


class FullyCorrectiveState(SolverState):
    """A run of :class:`FullyCorrective`."""

    def __init__(self, network: MLP, problem: Problem) -> None:
        super().__init__(network, problem)
        self.Z = torch.cat([problem.X, torch.ones_like(problem.X[:, :1])], 1)
        self.length = torch.linalg.vector_norm(self.Z, dim=1, keepdim=True)
        self.ratio = problem.ridge
        (W, A), (b, c) = network.weights, network.biases
        self.atoms = _Atoms.of(torch.cat([W, b[:, None]], 1), A.T, c)
        self.value = self.objective(self.atoms)

    def step(self) -> float:
        """Lower the objective, or find that it is as low as it gets without new neurons (``converged``)."""
        atoms = self._thin_out(self._slide(self._merge(self._refit(self.atoms))))
        value = self.objective(atoms)
        self.converged = not value < self.value * (1 - 10 * PATH_ROUNDING)
        if value <= self.value * (1 + PATH_ROUNDING):
            self.atoms, self.value = atoms, value
            root = atoms.size.sqrt()
            V, A = atoms.U * root, (atoms.A / root).T
            self.network = MLP.from_arrays([V[:, :-1], A], [V[:, -1], atoms.c], self.network.activation)
        return self.value

    def features(self, atoms: _Atoms) -> Tensor:
        """Return the outputs of the neurons, (n, m)."""
        return self.network.activation.value(self.Z @ atoms.U.T)

    def objective(self, atoms: _Atoms) -> float:
        """Return loss and penalty."""
        F = torch.addmm(atoms.c, self.features(atoms), atoms.A)
        return float(self.problem.loss.value(F, self.problem.Y) @ self.problem.g + self.ratio * atoms.size.sum())

    def sides(self, atoms: _Atoms) -> Tensor:
        """Return on which side of the neurons' kinks the samples lie: -1, 0 or 1, shape (n, m)."""
        P = self.Z @ atoms.U.T
        return torch.where(P.abs() <= ON_KINK * self.length, 0.0, P.sign())

    def _refit(self, atoms: _Atoms) -> _Atoms:
        """Solve the lasso over the given directions; those that get no weight are left out."""
        g, Y = self.problem.g, self.problem.Y
        if not len(atoms.U):
            return _Atoms(atoms.U, atoms.A, g @ Y)
        H, root, n = self.features(atoms), g.sqrt()[:, None], len(Y)
        lasso = MultiTaskLasso(
            self.ratio / n,
            fit_intercept=False,
            warm_start=True,
            tol=LASSO_GAP,
            max_iter=SOLVERS.lasso_iterations,
            random_state=0,  # it draws nothing here, but without a seed takes one from NumPy's global generator
        )
        lasso.coef_ = np.asfortranarray(atoms.A.T.cpu().numpy())
        with warnings.catch_warnings():  # the last digits are left to Newton's method
            warnings.simplefilter("ignore", ConvergenceWarning)
            lasso.fit((root * (H - g @ H)).cpu().numpy(), (root * (Y - g @ Y)).cpu().numpy())
        A = torch.as_tensor(lasso.coef_.T).to(atoms.A)
        return _Atoms(atoms.U, A, g @ Y - g @ H @ A)[(A != 0).any(1)]

    def _merge(self, atoms: _Atoms) -> _Atoms:
        """Add up neurons of equal outgoing direction that no sample separates (Maennel, Bousquet and Gelly).

        Neurons may lie on kinks of samples: their activation patterns need not be equal, but have to agree elsewhere.
        """
        side, V, a = self.sides(atoms), atoms.U * atoms.size, atoms.A / atoms.size
        alike = (a @ a.T) > 1 - SAME_DIRECTION
        keep = torch.ones(len(V), dtype=torch.bool, device=V.device)
        for j in range(len(V)):
            for k in range(j + 1, len(V)):
                if keep[j] and keep[k] and alike[j, k] and bool((side[:, j] * side[:, k] >= 0).all()):
                    V[j] += V[k]
                    side[:, j] = torch.where(side[:, j] == 0, side[:, k], side[:, j])
                    keep[k] = False
        return _Atoms.of(V[keep], a[keep], atoms.c)

    def _slide(self, atoms: _Atoms) -> _Atoms:
        """Take Newton steps until the objective is stationary within the activation patterns."""
        value = self.objective(atoms)
        for _ in range(SOLVERS.path_newton_steps):
            local = _LocalModel(self, atoms)
            keep = local.worth_keeping()
            if not bool(keep.all()):
                atoms = atoms[keep]
                value = self.objective(atoms)
                continue
            trial = local.descend(value)
            if trial is None:
                break
            atoms, value = trial, self.objective(trial)
            if local.predicted < 1e-3 * PATH_ROUNDING * value:
                break
        return atoms

    def _thin_out(self, atoms: _Atoms) -> _Atoms:
        """Scale neurons whose contributions are linearly dependent until one vanishes, the path norm not rising."""
        while len(atoms.U):
            H = self.features(atoms)
            parts = ((H - self.problem.g @ H)[:, None, :] * atoms.A.T).flatten(0, 1)  # (n c, m)
            norm = torch.linalg.vector_norm(parts, dim=0).clamp_min(TINY)
            _, size, basis = torch.linalg.svd(parts / norm)
            if len(size) == len(norm) and size[-1] > DEPENDENT * size[0]:
                break
            t = basis[-1] / norm
            t = t * torch.sign(t @ atoms.size[:, 0] + TINY)
            factor = 1 - t / t.max()
            A = atoms.A * factor[:, None]
            A[t.argmax()] = 0
            c = atoms.c + self.problem.g @ H @ (atoms.A - A)
            thinner = _Atoms(atoms.U, A, c)[factor > 0]
            if not self.objective(thinner) <= self.objective(atoms) * (1 + 10 * PATH_ROUNDING):
                break
            atoms = thinner
        return atoms


class _LocalModel:
    """The objective to second order around some atoms, within their activation patterns.

    Coordinates are, neuron by neuron, those of :math:`v_j` in the vectors orthogonal to the samples whose kinks it lies
    on; then turns of the unit vectors :math:`a_j`, neuron by neuron; then the output bias.
    """

    def __init__(self, run: FullyCorrectiveState, atoms: _Atoms) -> None:
        self.run, self.atoms = run, atoms
        self.m, self.size = len(atoms.U), atoms.size
        self.V, self.a = atoms.U * self.size, atoms.A / self.size
        problem, activation, self.on = run.problem, run.network.activation, run.sides(atoms) == 0
        P = run.Z @ self.V.T
        self.H = activation.value(P)
        slope = activation.derivative(P, self.H)
        self.E = (problem.Y - torch.addmm(atoms.c, self.H, self.a)) * problem.g[:, None]
        self.faces = [_null_space(run.Z[on]) for on in self.on.T]
        self.turns = [_null_space(a[None]) for a in self.a]
        self.inner = [(s[:, None] * run.Z) @ face.T for s, face in zip(slope.T, self.faces, strict=True)]
        columns = [torch.einsum("nk,c->nck", inner, a) for inner, a in zip(self.inner, self.a, strict=True)]
        columns += [torch.einsum("n,tc->nct", h, turn) for h, turn in zip(self.H.T, self.turns, strict=True)]
        n, c = self.E.shape
        J = torch.cat([*columns, torch.eye(c).to(self.E).expand(n, c, c)], 2)
        ends = np.cumsum([0, *(column.shape[2] for column in columns)]).tolist()
        self.places = [slice(*pair) for pair in pairwise(ends)]
        self.bias = slice(ends[-1], ends[-1] + c)
        self.gradient = -torch.einsum("ncp,nc->p", J, self.E)
        weighted = (J * problem.g[:, None, None]).flatten(0, 1)
        self.hessian = weighted.T @ J.flatten(0, 1)
        self.predicted = math.inf

    def worth_keeping(self) -> Tensor:
        """Return a mask without the neuron that is best at zero, all others fixed, if there is one."""
        keep = torch.ones(self.m, dtype=torch.bool, device=self.V.device)
        pull = [
            float(torch.linalg.vector_norm(self.hessian[s, s] @ (face @ v) - self.gradient[s]))
            for s, face, v in zip(self.places, self.faces, self.V, strict=False)
        ]
        if pull and min(pull) <= self.run.ratio:
            keep[int(np.argmin(pull))] = False
        return keep

    def descend(self, value: float) -> _Atoms | None:
        """Return atoms of lower objective than ``value``, that of the given ones, or None if none are found."""
        move, objective, rounding = self.newton_step(), self.run.objective, PATH_ROUNDING * value
        reached, share = objective(trial := self.moved(move, 1.0)), SOLVERS.path_share
        if reached < value - share * self.predicted or (self.predicted < rounding and reached <= value + rounding):
            return trial
        first, kink = self._first_kink(move)
        if first < 1 and objective(trial := self.moved(move, first, kink)) < value:
            self.predicted = math.inf  # there are fewer coordinates now
            return trial
        t = min(first, 1.0)
        while t > LEAST_PART:
            t /= 2
            if objective(trial := self.moved(move, t)) < value - share * t * self.predicted:
                return trial
        return None

    def moved(self, move: Tensor, t: float, kink: tuple[int, int] | None = None) -> _Atoms:
        """Return the atoms at ``t`` times the move; ``kink`` is a sample and the neuron that now lies on its kink."""
        V, a = self.V.clone(), self.a.clone()
        for j in range(self.m):
            V[j] += t * move[self.places[j]] @ self.faces[j]
            a[j] += t * move[self.places[self.m + j]] @ self.turns[j]
        if kink is not None:  # without rounding
            sample, neuron = kink
            on = self.on[:, neuron].clone()
            on[sample] = True
            face = _null_space(self.run.Z[on])
            V[neuron] = face.T @ (face @ V[neuron])
        a = a / torch.linalg.vector_norm(a, dim=1, keepdim=True)
        return _Atoms.of(V, a, self.atoms.c + t * move[self.bias])

    def _first_kink(self, move: Tensor) -> tuple[float, tuple[int, int]]:
        """Return how far a move goes before a neuron meets the kink of a sample, that sample and the neuron."""
        if not self.m:
            return math.inf, (0, 0)
        step = torch.stack([move[self.places[j]] @ self.faces[j] for j in range(self.m)])
        P, change = self.run.Z @ self.V.T, self.run.Z @ step.T
        times = torch.where(~self.on & (P * change < 0), -P / change, math.inf)
        sample, neuron = divmod(int(times.argmin()), self.m)
        return float(times.min()), (sample, neuron)

    def newton_step(self) -> Tensor:
        """Return the step with the absolute values of the curvatures; ``predicted`` is its decrease to first order."""
        gradient, hessian, ratio = self.gradient, self.hessian, self.run.ratio
        for j in range(self.m):
            v, t, size = self.places[j], self.places[self.m + j], self.size[j]
            unit = self.faces[j] @ self.atoms.U[j]
            gradient[v] += ratio * unit
            hessian[v, v] += ratio / size * (torch.eye(len(unit)).to(unit) - torch.outer(unit, unit))
            cross = self.inner[j].T @ self.E @ self.turns[j].T
            hessian[v, t] -= cross
            hessian[t, v] -= cross.T
            hessian[t, t].diagonal().add_(self.H[:, j] @ self.E @ self.a[j])  # a turn shortens a_j to second order
        curvature, Q = torch.linalg.eigh(hessian)
        curvature = curvature.abs().clamp_min(LEAST_CURVATURE * curvature.abs().max())
        move = -(Q @ ((Q.T @ gradient) / curvature))
        self.predicted = -float(gradient @ move)
        return move


def _null_space(rows: Tensor) -> Tensor:
    """Return an orthonormal basis, in rows, of the vectors orthogonal to ``rows`` (k, D)."""
    if not len(rows):
        return torch.eye(rows.shape[1]).to(rows)
    _, size, basis = torch.linalg.svd(rows, full_matrices=True)
    return basis[int((size > KINK_RANK * size[0]).sum()) :]
