"""Tuned values of preconditioning."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PreconditioningConstants:
    """Values that users do not set; each belongs to a page of ``docs/decisions``, and all are listed in decision 25.

    Attributes
    ----------
    first_inversions : int
        Steps at the start, and after growth, that are each preceded by an inversion: moments change most there
        (decision 22).
    adapt_every, adapt_factor : int, float
        Steps between two adaptations of the damping, and its factor per step (Martens and Grosse, section 6.5;
        decision 22).
    good_ratio, bad_ratio : float
        Ratios of the decrease got to the decrease predicted above which damping falls, and below which it rises
        (Martens and Grosse; decision 22).
    cuts, cut : int
        Times that a step is divided by this if it would raise the objective of its batch; then it is zero
        (decision 22).
    rho_fall, rho_rise : float
        Factors of rho, of the extended method of successive approximations, per step and per failure: steps grow slowly
        and shrink fast (decision 22).
    rho_tries : int
        Failures at most; then the step is zero (decision 22).
    exact_size : int
        Rows or columns up to which leading parts are found exactly: eigenvectors of small matrices are cheap
        (decision 21).
    extra_columns, power_iterations : int
        Of the random method for larger ones (Halko, Martinsson and Tropp; decision 21).
    """

    first_inversions: int = 3
    adapt_every: int = 5
    adapt_factor: float = 19 / 20
    good_ratio: float = 0.75
    bad_ratio: float = 0.25
    cuts: int = 8
    cut: int = 4
    rho_fall: float = 0.9
    rho_rise: float = 2.0
    rho_tries: int = 30
    exact_size: int = 256
    extra_columns: int = 10
    power_iterations: int = 2


PRECONDITIONING = PreconditioningConstants()
