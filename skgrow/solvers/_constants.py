"""Tuned values of the solvers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SolverConstants:
    """Values that users do not set; each belongs to a page of ``docs/decisions``, and all are listed in decision 25.

    What a solver lets users set, such as ``LBFGS.history_size``, is a parameter of that solver.

    Attributes
    ----------
    first_damping : float
        Damping of Levenberg-Marquardt at the start, times the largest diagonal entry: it adapts from there
        (decision 13).
    damping_tries : int
        Trials of one such step, each with more damping; then descent has converged (decision 13).
    least_damping_factor, damping_rise : float
        Nielsen's rule: the damping falls at most to this share after a success, and rises by this factor after a first
        failure, by its square after a second in a row, and so on (decision 13).
    newton_steps, few_newton_steps, many_unknowns : int
        Newton steps of a refit of the output layer at most, and for more than so many unknowns: training goes on from
        there (decision 14).
    dense_unknowns : int
        Unknowns from which on a Newton step is found by conjugate gradients, without the matrix: of 150 classes and 270
        neurons that would take 13 GB (decision 14).
    gradient_steps, gradient_tol : int, float
        Steps of conjugate gradients at most, and the residual, relative to the gradient, at which they end: the Newton
        steps correct what is left (decision 14).
    newton_tol : float
        Relative decrease of the objective up to which such a refit has converged (decision 14).
    newton_damping, most_newton_damping, newton_factor : float
        Its damping at the start, relative to the diagonal; from which on it gives up; and the factor per failure, one
        over that of a success (decision 14).
    penalty_parabolas : int
        Parabolas, one after the other, that take the place of a penalty that is not quadratic in such a refit
        (decision 14).
    rate_patience, rate_cut : int, float
        Epochs without progress after which an adaptive learning rate falls, and its factor (decision 25).
    batch_rows : int
        Rows of a mini-batch if ``batch_size="auto"``, as for MLPRegressor (decision 25).
    adam_mean, adam_square, adam_offset : float
        Decay of Adam's averages of gradients and of their squares, and what is added to the root of the latter: those
        of PyTorch. The first two also set the rate of parameters that are new (decision 20).
    line_search_trials : int
        Trials of the line search of L-BFGS (decision 25).
    path_newton_steps : int
        Newton steps per step of the path-norm solver: a bound (decision 17).
    path_share : float
        Share of the decrease predicted which one of them has to bring: Armijo's condition (decision 17).
    lasso_iterations : int
        Of the lasso in between: the last digits are left to the Newton steps (decision 17).
    """

    first_damping: float = 1e-3
    damping_tries: int = 12
    least_damping_factor: float = 1 / 3
    damping_rise: float = 2.0
    newton_steps: int = 8
    few_newton_steps: int = 2
    many_unknowns: int = 100
    dense_unknowns: int = 1000
    gradient_steps: int = 100
    gradient_tol: float = 1e-3
    newton_tol: float = 1e-7
    newton_damping: float = 1e-6
    most_newton_damping: float = 1e6
    newton_factor: float = 10.0
    penalty_parabolas: int = 8
    rate_patience: int = 3
    rate_cut: float = 0.5
    batch_rows: int = 200
    adam_mean: float = 0.9
    adam_square: float = 0.999
    adam_offset: float = 1e-8
    line_search_trials: int = 25
    path_newton_steps: int = 100
    path_share: float = 1e-4
    lasso_iterations: int = 1000


SOLVERS = SolverConstants()
