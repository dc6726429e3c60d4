"""The one training loop: descend, let the policy act, keep what is better, remember everything."""

from skgrow.training._batch import train_batch
from skgrow.training._fixed import FixedPolicy, stages_of
from skgrow.training._history import History
from skgrow.training._loop import (
    Action,
    Policy,
    Trained,
    completed,
    descend,
    fit,
    interrupted,
    measured,
    warn_unconverged,
)
from skgrow.training._monitor import STOP_REASONS, Monitor, Report, StageMonitor
from skgrow.training._penalty_rules import (
    BetweenDescents,
    ByEvidence,
    InRounds,
    by_leave_one_out,
    falling_penalties,
    first_fixed_point,
    lowered,
    of_average,
)
from skgrow.training._regime import BUDGETS, GrowthRegime, Regime, is_evidence_cheap, resolve_device
from skgrow.training._result import Progress, Result
from skgrow.training._schedules import AtEpochs, Every, Plateau, Schedule, TargetLoss
from skgrow.training._settings import Settings
from skgrow.training._task import Data, Task

__all__ = [
    "BUDGETS",
    "STOP_REASONS",
    "Action",
    "AtEpochs",
    "BetweenDescents",
    "ByEvidence",
    "Data",
    "Every",
    "FixedPolicy",
    "GrowthRegime",
    "History",
    "InRounds",
    "Monitor",
    "Plateau",
    "Policy",
    "Progress",
    "Regime",
    "Report",
    "Result",
    "Schedule",
    "Settings",
    "StageMonitor",
    "TargetLoss",
    "Task",
    "Trained",
    "by_leave_one_out",
    "completed",
    "descend",
    "falling_penalties",
    "first_fixed_point",
    "fit",
    "interrupted",
    "is_evidence_cheap",
    "lowered",
    "measured",
    "of_average",
    "resolve_device",
    "stages_of",
    "train_batch",
    "warn_unconverged",
]
