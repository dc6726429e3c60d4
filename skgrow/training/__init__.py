"""Problems, solvers, the evidence, and the one training loop."""

from skgrow.training._auto import FULL_BATCH_SAMPLES, AutoSolver, gauss_newton_work
from skgrow.training._average import averaged, estimated_error, shares_of
from skgrow.training._curvature import (
    Curvature,
    DenseCurvature,
    KroneckerCurvature,
    RowCurvature,
    curvature_of,
    damped_cholesky,
)
from skgrow.training._evidence import Evidence, evidence
from skgrow.training._first_order import Adam, MiniBatchState, StochasticGradient
from skgrow.training._fixed import FixedPolicy
from skgrow.training._history import History
from skgrow.training._lbfgs import LBFGS
from skgrow.training._leave_one_out import leave_one_out
from skgrow.training._levenberg_marquardt import LevenbergMarquardt
from skgrow.training._loop import Action, Monitor, Policy, Trained, descend, fit, measured
from skgrow.training._losses import CrossEntropy, Huber, Logistic, Loss, Poisson, Quantile, SquaredError
from skgrow.training._operators import Operator, derivative, gradient, is_linear
from skgrow.training._problem import Problem
from skgrow.training._reduction import CHUNK_BYTES, gram_matrix, sum_over_samples

__all__ = [
    "CHUNK_BYTES",
    "FULL_BATCH_SAMPLES",
    "LBFGS",
    "Action",
    "Adam",
    "AutoSolver",
    "CrossEntropy",
    "Curvature",
    "DenseCurvature",
    "Evidence",
    "FixedPolicy",
    "History",
    "Huber",
    "KroneckerCurvature",
    "LevenbergMarquardt",
    "Logistic",
    "Loss",
    "MiniBatchState",
    "Monitor",
    "Operator",
    "Poisson",
    "Policy",
    "Problem",
    "Quantile",
    "RowCurvature",
    "SquaredError",
    "StochasticGradient",
    "Trained",
    "averaged",
    "curvature_of",
    "damped_cholesky",
    "derivative",
    "descend",
    "estimated_error",
    "evidence",
    "fit",
    "gauss_newton_work",
    "gradient",
    "gram_matrix",
    "is_linear",
    "leave_one_out",
    "measured",
    "shares_of",
    "sum_over_samples",
]
