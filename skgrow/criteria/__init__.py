"""What judges a network: the evidence, generalised cross-validation, leaving out one sample, validation data."""

from skgrow.criteria._criteria import GCV, Criterion, LeaveOneOut, LogEvidence, Objective, Validation
from skgrow.criteria._evidence import (
    Evidence,
    dispersion_of,
    evidence,
    generalised_cross_validation,
    per_observation,
)
from skgrow.criteria._leave_one_out import leave_one_out

__all__ = [
    "GCV",
    "Criterion",
    "Evidence",
    "LeaveOneOut",
    "LogEvidence",
    "Objective",
    "Validation",
    "dispersion_of",
    "evidence",
    "generalised_cross_validation",
    "leave_one_out",
    "per_observation",
]
