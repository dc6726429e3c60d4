"""Solvers: from a network and a problem to a better network."""

from skgrow.solvers._auto import FULL_BATCH_SAMPLES, AutoSolver
from skgrow.solvers._constants import SOLVERS
from skgrow.solvers._first_order import Adam, MiniBatchSolver, MiniBatchState, StochasticGradient
from skgrow.solvers._fully_corrective import FullyCorrective
from skgrow.solvers._lbfgs import LBFGS
from skgrow.solvers._levenberg_marquardt import LevenbergMarquardt
from skgrow.solvers._output_layer import leave_out_losses, output_gauss_newton, refit_output
from skgrow.solvers._state import Solver, SolverState

__all__ = [
    "FULL_BATCH_SAMPLES",
    "LBFGS",
    "SOLVERS",
    "Adam",
    "AutoSolver",
    "FullyCorrective",
    "LevenbergMarquardt",
    "MiniBatchSolver",
    "MiniBatchState",
    "Solver",
    "SolverState",
    "StochasticGradient",
    "leave_out_losses",
    "output_gauss_newton",
    "refit_output",
]
