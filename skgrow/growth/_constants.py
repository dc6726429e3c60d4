"""Tuned values of growth: of the search for neurons, the descents in between, averages and certificates."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GrowthConstants:
    """Values that users do not set; each belongs to a page of ``docs/decisions``, and all are listed in decision 25.

    Attributes
    ----------
    candidate_slopes : tuple of float
        Of smooth candidates in the polar search, in units of one over the standard deviation of the projection: from
        nearly linear to steep, and training adjusts them later (decision 4).
    steepness_power : int
        Power of a slope above 1 that divides the gain of a smooth candidate: the roughness (integral of the squared
        second derivative) of a sigmoid grows so. Training makes a neuron steeper if the data ask for it, but a steep
        one that fits a few samples stays (decision 4).
    random_slopes : tuple of float
        Range of the slopes of smooth random neurons: that of the polar search, so that only the search differs
        (decision 4).
    rows_per_feature : int
        Distinct rows per feature from which directions are fitted to the residual: with fewer they fit its noise
        (decision 4).
    direction_kinds, least_directions : int
        The directions asked for are divided by this to give the number of each kind that is drawn, and of each there
        are at least so many (decision 25).
    sign_steps : int
        Steps of the sign iteration that makes directions of normal ones (decision 25).
    most_subset_entries : int
        Entries of the Gram matrices of all subsets of thresholds along a direction up to which these are tried; with
        more the block is chosen greedily (decision 4).
    kept_candidates : int
        Candidates kept of every chunk of directions for the choice one by one: so many times the size of the block or
        the number of directions of the chunk, whichever is larger (decision 25).
    ascents : int
        Candidates, each the best of its direction, from which single neurons ascend (decision 25).
    ascent_steps, path_ascent_steps : int
        Steps of such an ascent, and of one for the path norm: no start ends lower, so few are enough (decision 4).
    first_ascent, ascent_rise, ascent_fall : float
        Length of the first step, relative to the neuron, and its factors after success and failure (decision 4).
    searched_plane_rows : int
        Samples up to which one neuron in the plane is found exactly in the search: that is expensive with more
        (decision 4).
    widths_per_growth : int
        A growth adds about one over this of the present width, block by block, before all weights are trained again
        (decision 4).
    halvings : int
        Lengths of the step that adds neurons inside a deep network, from 1, each half of the one before; then they
        stay without outgoing weights (decision 15).
    smoothing : tuple of float
        Half widths of smoothing, in units of the spread of a neuron's pre-activation over the number of neurons: kinks
        first move freely, then settle (decision 3).
    kink_support : float
        Samples per incoming weight, bias and one output weight counted, that a kink needs on its smaller side: with
        fewer a neuron interpolates a handful of points (decision 3).
    largest_support : float
        Share of the samples that a new kink needs on its smaller side, at most, whatever the number of weights
        (decision 3).
    noise_draws : int
        Permutations of the residual in all of which blocks have to find less before growth begins anew, and in about
        half of which before it goes on then: a test at the level of one in twenty, and at the median (decision 6).
    noise_blocks, samples_per_neuron : int
        Blocks that are searched for at once then, and samples behind each of their neurons at least: the first neurons
        of a wave explain no more than those of noise (decision 6).
    least_left : float
        Share of the loss at the start that they have to remove beyond what they remove of noise: less is not worth the
        time (decision 6).
    reported_draws : int
        Permutations over which the indicator of noise is averaged: each costs a search (decision 6).
    little_explained : float
        Share of the loss at the start above which growth begins anew from there, not from the best network: that has
        little to keep (decision 6).
    rough_tol, rough_patience, rough_iterations : float, int, int
        Descents inside a growth end after so many iterations that bring less than this share of the objective, and
        after so many in all: full training follows (decision 3).
    carried : int
        Networks of an average that go on with more rows: more cost their time and bring little (decision 34).
    still_pays : float
        Relative gain of the criterion by growth on the rows before from which on networks grow on any number of rows
        (decision 34).
    further_tol : float
        Relative decrease of the objective per iteration that still counts when networks go on with more rows: they are
        next to a minimum (decision 34).
    race_rows : int
        Rows of the history of each activation before an expensive fit goes on with one: the start and one growth
        (decision 12).
    least_share : float
        Weight in an average below which a network is left out: it would only cost time (decision 7).
    searched_share : float
        Share of the rows that the searches of all members of an ensemble but the first see, each another one: they lead
        to other optima (decision 31).
    deviation_rows : int
        Samples on which deviations of a covariance in fewer bytes are compared with those of the whole (decision 33).
    linear_tol : float
        Relative decrease of the objective from which on the linear model is refitted again (decision 8).
    certified_plane_rows : int
        Samples up to which the polar problem of the path norm is solved exactly in the plane: about a second, growing
        with their square (decision 17).
    atoms, alike_cosine : int, float
        Neurons added at once to a path-norm network, and the cosine above which two of them are too much alike:
        fewer rounds, without twins (decision 17).
    path_steps : int
        Steps of the solver between two additions along a path: a bound, two or three are the rule (decision 17).
    stale_additions : int
        Additions without a lower objective after which the gap is taken for rounding (decision 17).
    cone_probes : int
        Samples on which a point is tested for lying in a cone: few reject most points (decision 17).
    """

    candidate_slopes: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    steepness_power: int = 3
    random_slopes: tuple[float, float] = (0.25, 4.0)
    rows_per_feature: int = 10
    direction_kinds: int = 4
    least_directions: int = 4
    sign_steps: int = 5
    most_subset_entries: int = 32_000
    kept_candidates: int = 4
    ascents: int = 8
    ascent_steps: int = 20
    path_ascent_steps: int = 40
    first_ascent: float = 0.3
    ascent_rise: float = 1.5
    ascent_fall: float = 0.3
    searched_plane_rows: int = 64
    widths_per_growth: int = 4
    halvings: int = 8
    smoothing: tuple[float, float] = (2.0, 0.5)
    kink_support: float = 3.0
    largest_support: float = 0.25
    noise_draws: int = 19
    noise_blocks: int = 4
    samples_per_neuron: int = 4
    least_left: float = 0.05
    reported_draws: int = 1
    little_explained: float = 0.5
    rough_tol: float = 5e-2
    rough_patience: int = 2
    rough_iterations: int = 25
    carried: int = 2
    still_pays: float = 0.01
    further_tol: float = 1e-4
    race_rows: int = 2
    least_share: float = 0.05
    searched_share: float = 0.2
    deviation_rows: int = 200
    linear_tol: float = 1e-6
    certified_plane_rows: int = 1000
    atoms: int = 20
    alike_cosine: float = 0.99
    path_steps: int = 50
    stale_additions: int = 3
    cone_probes: int = 64


GROWTH = GrowthConstants()
