"""The one training loop: descend, let the policy act, keep what is better, remember everything."""

from skgrow.training._fixed import FixedPolicy
from skgrow.training._history import History
from skgrow.training._loop import Action, Monitor, Policy, Trained, descend, fit, measured
from skgrow.training._schedules import SCHEDULES, AtEpochs, Every, Plateau, TargetLoss

__all__ = [
    "SCHEDULES",
    "Action",
    "AtEpochs",
    "Every",
    "FixedPolicy",
    "History",
    "Monitor",
    "Plateau",
    "Policy",
    "TargetLoss",
    "Trained",
    "descend",
    "fit",
    "measured",
]
