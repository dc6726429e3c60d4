"""The one training loop: descend, let the policy act, keep what is better, remember everything."""

from skgrow.training._fixed import FixedPolicy
from skgrow.training._history import History
from skgrow.training._loop import Action, Policy, Schedule, Trained, descend, fit, measured
from skgrow.training._monitor import Monitor
from skgrow.training._penalty_rules import ByEvidence, InRounds, first_fixed_point, lowered, of_average
from skgrow.training._schedules import SCHEDULES, AtEpochs, Every, Plateau, TargetLoss

__all__ = [
    "SCHEDULES",
    "Action",
    "AtEpochs",
    "ByEvidence",
    "Every",
    "FixedPolicy",
    "History",
    "InRounds",
    "Monitor",
    "Plateau",
    "Policy",
    "Schedule",
    "TargetLoss",
    "Trained",
    "descend",
    "first_fixed_point",
    "fit",
    "lowered",
    "measured",
    "of_average",
]
