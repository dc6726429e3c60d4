"""Tuned values of the encoding of features."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EncodingConstants:
    """Values that users do not set; each belongs to a page of ``docs/decisions``, and all are listed in decision 25.

    Attributes
    ----------
    knots : tuple of int
        Numbers of knots that a feature may get (decision 30).
    tried_knots : int
        That number by which features are compared (decision 30).
    samples_per_knot : int
        Samples for each knot of a feature, at least: with fewer, neurons bend to single samples (decision 30).
    choosing_rows, choosing_entries : int
        Rows that choose knots, and entries of these rows, at most (decision 30).
    least_rows_per_feature : int
        Such rows for every feature, at least: with fewer there are no knots (decision 30).
    noise_ratios : tuple of float
        Ratios of the variances of noise and steps that are tried, relative to the largest eigenvalue of a feature's
        ramps: the smallest, the largest, and how many (decision 30).
    """

    knots: tuple[int, ...] = (5, 9, 17)
    tried_knots: int = 9
    samples_per_knot: int = 80
    choosing_rows: int = 5000
    choosing_entries: int = 500_000
    least_rows_per_feature: int = 4
    noise_ratios: tuple[float, float, int] = (1e-4, 10.0, 21)


ENCODING = EncodingConstants()
