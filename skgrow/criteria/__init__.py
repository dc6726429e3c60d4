"""What judges a network without new data: the evidence, generalised cross-validation, leaving out one sample."""

from skgrow.criteria._evidence import Evidence, evidence, generalised_cross_validation
from skgrow.criteria._leave_one_out import leave_one_out

__all__ = [
    "Evidence",
    "evidence",
    "generalised_cross_validation",
    "leave_one_out",
]
