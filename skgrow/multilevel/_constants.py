"""Tuned values of multilevel training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MultilevelConstants:
    """Values that users do not set; each belongs to a page of ``docs/decisions``, and all are listed in decision 25.

    Attributes
    ----------
    correction_trials : int
        Lengths of a correction that are tried, from 1, each half of the one before; then there is none (decision 23).
    correction_share : float
        Share of the decrease that the slope promises which a correction has to bring: Armijo's condition (decision 23).
    copy_noise : float
        Norm of the noise on copied neurons, relative to the parameters: equal copies would stay equal (decision 23).
    coarsest_step : float
        Step size of the coarsest level of a residual network, times that of the finest, geometric in between: training
        then anneals, and 2 cost more work (decision 24).
    coarsest_blocks : int
        Blocks that the coarsest level has at least, if there are more than two (decision 24).
    most_batch_levels : int
        Levels of smaller and smaller mini-batches at most: more than make sense (decision 25).
    hessian_tol : float
        Tolerance of the eigenvectors of the Hessian, relative to the spectrum: rough ones do for a direction
        (decision 23).
    hessian_step : float
        Step of its products by differences of gradients, relative to the size of the parameters (decision 23).
    """

    correction_trials: int = 4
    correction_share: float = 1e-4
    copy_noise: float = 0.1
    coarsest_step: float = 1.5
    coarsest_blocks: int = 4
    most_batch_levels: int = 64
    hessian_tol: float = 0.05
    hessian_step: float = 1e-4


MULTILEVEL = MultilevelConstants()
