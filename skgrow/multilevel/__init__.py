"""Multilevel training: transfer operators, hierarchies, coarse grid corrections (MG/Opt)."""

from skgrow.multilevel._bases import eigenbasis, lanczos_basis
from skgrow.multilevel._quadratic import QuadraticResult, mgopt_quadratic
from skgrow.multilevel._transfer import Aggregation, Blocks, Identity, Subspace, Transfer, constant, linear

__all__ = [
    "Aggregation",
    "Blocks",
    "Identity",
    "QuadraticResult",
    "Subspace",
    "Transfer",
    "constant",
    "eigenbasis",
    "lanczos_basis",
    "linear",
    "mgopt_quadratic",
]
