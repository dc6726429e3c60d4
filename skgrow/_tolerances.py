"""Numerical tolerances: what counts as zero, as equal or as rounding, and what keeps quotients and logarithms finite.

None of them was tuned, and none is meant to change a result. Values of methods stand in the ``_constants.py`` of each
room, in :class:`skgrow.training._penalty_rules.PenaltyConstants` and in :class:`skgrow.training._regime.Budgets`.
"""

from __future__ import annotations

# anywhere ------------------------------------------------------------------------------------------------------

#: Takes the place of zero in denominators, logarithms and signs. In single precision it is zero itself,
TINY = 1e-300
#: and this takes its place, of which sums of many inverses are finite.
TINY_SINGLE = 1e-30

#: Tries of a Cholesky factorisation, and by how much more than the try before each adds to the diagonal.
CHOLESKY_TRIES, CHOLESKY_FACTOR = 40, 10

#: What is taken off a level, a share of the total weight, before cumulative weights are compared with it: a level that
#: falls on a step takes the value below the step.
CUMULATIVE_ROUNDING = 1e-9

#: Singular values, relative to the largest or to the product of the norms, up to which vectors count as dependent.
DEPENDENT = 1e-10

# data ----------------------------------------------------------------------------------------------------------

#: Range of a column, in roundings of its largest entry, up to which it counts as constant.
CONSTANT_COLUMN = 4

#: Scales of columns for which weights on raw units can be stored in single precision.
SINGLE_RANGE = 1e-30, 1e30

#: Distance from the next whole number, relative to the number, up to which it counts as one.
WHOLE_NUMBER = 1e-9

#: Median absolute deviation, relative to the standard deviation, up to which it is no scale.
NO_SPREAD = 1e-6

#: Means of counts are at least this share of the largest one: their logarithms become units.
LEAST_MEAN = 1e-12

# training ------------------------------------------------------------------------------------------------------

#: Decrease of the objective by an iteration, and iterations without it, after which training counts as converged where
#: a budget ends it: those of MLPRegressor.
PROGRESS, PROGRESS_PATIENCE = 1e-4, 10

# objectives and penalties --------------------------------------------------------------------------------------

#: Change of an objective, relative to its size, that counts as rounding.
SAME_OBJECTIVE = 1e-14

#: Rise of the loss, relative to its size, with which equal neurons are still merged.
MERGED_LOSS = 1e-9

#: Loss per observation, for targets of size one, below which there is only rounding: the noise is no smaller.
SMALLEST_LOSS = 1e-24

#: Well-determined parameters are at least so many: with none the evidence would ask for no penalty.
LEAST_EFFECTIVE = 1e-3

#: The evidence asks for no larger penalty than this, times the largest curvature: at zero weights it has no bound.
LARGEST_PENALTY = 1e3

#: Penalty that takes the place of none, in the evidence and the covariance of a grown network.
LEAST_ALPHA = 1e-12

#: Relative change of the variance of predictions up to which a root of a covariance is stored in fewer bytes.
SAME_VARIANCE = 2e-6

# features of neurons -------------------------------------------------------------------------------------------

#: Norm of what a refit leaves of a feature, relative to the feature, up to which it is rounding.
VANISHING = 1e-10

#: The same norm, relative to the size of the terms that the feature is a sum of.
CANCELLED = 1e-12

#: Norm of what is left of a feature beside others, relative to the feature, up to which it lies in their span.
SPANNED = 1e-6

#: The same for squared norms.
SPANNED_SQUARE = 1e-12

#: Squared norm of what is left of a unit feature beside those chosen before it, up to which it is not chosen.
CHOSEN_SQUARE = 1e-6

#: Pivot of an elimination on a Gram matrix of unit diagonal, up to which a column is not chosen.
LEAST_PIVOT = 1e-8

#: What is added to the unit diagonal of the Gram matrices of subsets.
SUBSET_RIDGE = 1e-10

#: What is added to the covariance of the inputs before directions are solved for, relative to the mean variance.
COVARIANCE_RIDGE = 1e-6

#: What is added to the matrix of the linearised problem of a layer, relative to its mean diagonal entry.
LINEARISED_RIDGE = 1e-8

#: Half width of smoothing at least.
LEAST_WIDTH = 1e-12

#: Neurons are balanced by factors between one over this and this.
LARGEST_BALANCE = 1e4

# kinks ---------------------------------------------------------------------------------------------------------

#: Sine of the angle at which two kinks count as one, or a vector as on the border of a cone, in exact searches: their
#: directions come straight from the data, with the rounding of one decomposition. See :data:`ON_KINK`.
SAME_KINK = 1e-12

#: Sine of the angle between a neuron and the kink of a sample up to which the neuron lies on it, in the path-norm
#: solver. Another thing than :data:`SAME_KINK`, and larger: a neuron comes from many steps, whose roundings add up.
ON_KINK = 1e-11

#: Singular value, relative to the largest, up to which samples in the plane lie on a line.
COLLINEAR = 1e-12

#: Residual, relative to the largest, up to which a sample has none, and its kink does not show.
NO_RESIDUAL = 1e-14

#: Negative discriminant, relative to the square of the linear coefficient, that counts as zero.
ZERO_DISCRIMINANT = 1e-12

#: What is added to the form in a denominator, relative to its trace.
FORM_RIDGE = 1e-13

# path-norm solver ----------------------------------------------------------------------------------------------

#: Relative rounding of the objective. The duality gap is of first order in the distance to the minimum, the objective
#: of second: the last steps are too small to show in it. Less than :data:`SAME_OBJECTIVE`, which is for any objective.
PATH_ROUNDING = 1e-15

#: Duality gap of the lasso, relative to the squared size of its targets, at which it ends.
LASSO_GAP = 1e-14

#: One minus the cosine of two outgoing directions up to which they are equal.
SAME_DIRECTION = 1e-12

#: Part of a step at which halving it ends.
LEAST_PART = 1e-12

#: Curvatures of a Newton step are at least this, relative to the largest.
LEAST_CURVATURE = 1e-13

#: Singular value of the samples whose kinks a neuron lies on, relative to the largest, up to which it is zero.
KINK_RANK = 1e-9

# output layer --------------------------------------------------------------------------------------------------

#: What is added to the unit diagonal of the matrix whose inverse gives the leave-out losses.
OUTPUT_RIDGE = 1e-12

#: Diagonal entries that damping is relative to are at least this.
LEAST_DIAGONAL = 1e-12

# preconditioning and levels ------------------------------------------------------------------------------------

#: Damping of a moment's inverse if none is given.
LEAST_DAMPING = 1e-12

#: Least rho of the extended method of successive approximations.
LEAST_RHO = 1e-8

#: Difference between a matrix and its transpose up to which it counts as symmetric: for an inner product relative to
#: an entry and to the largest one,
ASYMMETRIC_ENTRY, ASYMMETRIC_INNER = 1e-8, 1e-12
#: and for a matrix whose eigenvectors are wanted relative to its largest entry.
ASYMMETRIC = 1e-6
