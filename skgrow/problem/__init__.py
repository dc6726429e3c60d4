"""What is minimised: data, losses, operators, and their curvature; sums over samples."""

from skgrow.problem._curvature import (
    Curvature,
    DenseCurvature,
    KroneckerCurvature,
    RowCurvature,
    curvature_of,
    damped_cholesky,
)
from skgrow.problem._layers import head_of, joined, layer_problem
from skgrow.problem._losses import CrossEntropy, Huber, Logistic, Loss, Poisson, Quantile, SquaredError
from skgrow.problem._operators import Operator, derivative, gradient, is_linear
from skgrow.problem._problem import Problem
from skgrow.problem._reduction import CHUNK_BYTES, gram_matrix, sum_over_samples

__all__ = [
    "CHUNK_BYTES",
    "CrossEntropy",
    "Curvature",
    "DenseCurvature",
    "Huber",
    "KroneckerCurvature",
    "Logistic",
    "Loss",
    "Operator",
    "Poisson",
    "Problem",
    "Quantile",
    "RowCurvature",
    "SquaredError",
    "curvature_of",
    "damped_cholesky",
    "derivative",
    "gradient",
    "gram_matrix",
    "head_of",
    "is_linear",
    "joined",
    "layer_problem",
    "sum_over_samples",
]
