"""What is minimised: data, losses, penalties, operators, and their curvature; sums over samples."""

from skgrow.problem._coordinates import Coordinates, Span, Spline, coordinates_of
from skgrow.problem._curvature import (
    Curvature,
    DenseCurvature,
    KroneckerCurvature,
    RowCurvature,
    SampledKroneckerCurvature,
    damped_cholesky,
    gauss_newton_work,
)
from skgrow.problem._encoding import PiecewiseLinear
from skgrow.problem._layers import head_of, joined, layer_problem
from skgrow.problem._losses import CrossEntropy, Huber, Logistic, Loss, Poisson, Quantile, SquaredError
from skgrow.problem._named_operators import make_operator
from skgrow.problem._operators import Operator, derivative, gradient, is_linear
from skgrow.problem._penalties import L2, FixedAlpha, Follower, PathNorm, Penalty, PenaltySum, WeightedL2
from skgrow.problem._precision import bounded
from skgrow.problem._problem import Problem
from skgrow.problem._reduction import (
    CHUNK_BYTES,
    CHUNKS,
    gram_matrix,
    rows_per_chunk,
    rows_within,
    sum_over_samples,
)
from skgrow.problem._samples import Samples, Units

__all__ = [
    "CHUNKS",
    "CHUNK_BYTES",
    "L2",
    "Coordinates",
    "CrossEntropy",
    "Curvature",
    "DenseCurvature",
    "FixedAlpha",
    "Follower",
    "Huber",
    "KroneckerCurvature",
    "Logistic",
    "Loss",
    "Operator",
    "PathNorm",
    "Penalty",
    "PenaltySum",
    "PiecewiseLinear",
    "Poisson",
    "Problem",
    "Quantile",
    "RowCurvature",
    "SampledKroneckerCurvature",
    "Samples",
    "Span",
    "Spline",
    "SquaredError",
    "Units",
    "WeightedL2",
    "bounded",
    "coordinates_of",
    "damped_cholesky",
    "derivative",
    "gauss_newton_work",
    "gradient",
    "gram_matrix",
    "head_of",
    "is_linear",
    "joined",
    "layer_problem",
    "make_operator",
    "rows_per_chunk",
    "rows_within",
    "sum_over_samples",
]
