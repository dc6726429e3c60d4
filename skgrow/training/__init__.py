"""Problems, solvers, the evidence, and the one training loop."""

from skgrow.training._auto import FULL_BATCH_SAMPLES, AutoSolver, gauss_newton_work
from skgrow.training._evidence import Evidence, damped_cholesky, evidence
from skgrow.training._first_order import Adam, StochasticGradient
from skgrow.training._history import History
from skgrow.training._lbfgs import LBFGS
from skgrow.training._levenberg_marquardt import LevenbergMarquardt
from skgrow.training._loop import Action, Monitor, Policy, Trained, descend, fit
from skgrow.training._losses import SquaredError
from skgrow.training._problem import Problem
from skgrow.training._reduction import CHUNK_BYTES, sum_over_samples

__all__ = [
    "CHUNK_BYTES",
    "FULL_BATCH_SAMPLES",
    "LBFGS",
    "Action",
    "Adam",
    "AutoSolver",
    "Evidence",
    "History",
    "LevenbergMarquardt",
    "Monitor",
    "Policy",
    "Problem",
    "SquaredError",
    "StochasticGradient",
    "Trained",
    "damped_cholesky",
    "descend",
    "evidence",
    "fit",
    "gauss_newton_work",
    "sum_over_samples",
]
