"""Multilevel training: transfer operators, hierarchies, coarse grid corrections (MG/Opt)."""

from skgrow.multilevel._bases import eigenbasis, lanczos_basis
from skgrow.multilevel._hierarchies import (
    BatchHierarchy,
    DepthHierarchy,
    Hierarchy,
    ResolutionHierarchy,
    SubspaceHierarchy,
    WidthHierarchy,
)
from skgrow.multilevel._level import CoarseCorrection, Level, Proximal, Work, corrected
from skgrow.multilevel._policy import MGOptPolicy, build_levels, first_network, nested_iteration
from skgrow.multilevel._quadratic import QuadraticResult, mgopt_quadratic
from skgrow.multilevel._subspace import SubspaceNetwork
from skgrow.multilevel._train import Cycle, MGOptSettings, train
from skgrow.multilevel._transfer import Aggregation, Blocks, Identity, Subspace, Transfer, constant, linear

__all__ = [
    "Aggregation",
    "BatchHierarchy",
    "Blocks",
    "CoarseCorrection",
    "Cycle",
    "DepthHierarchy",
    "Hierarchy",
    "Identity",
    "Level",
    "MGOptPolicy",
    "MGOptSettings",
    "Proximal",
    "QuadraticResult",
    "ResolutionHierarchy",
    "Subspace",
    "SubspaceHierarchy",
    "SubspaceNetwork",
    "Transfer",
    "WidthHierarchy",
    "Work",
    "build_levels",
    "constant",
    "corrected",
    "eigenbasis",
    "first_network",
    "lanczos_basis",
    "linear",
    "mgopt_quadratic",
    "nested_iteration",
    "train",
]
