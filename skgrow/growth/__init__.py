"""Where, what and when to add: the polar search, schedules, and the growth policy."""

from skgrow.growth._certificate import CertificatePolicy, constant_network, duality_gap, path_norm, polar_maximum
from skgrow.growth._exact import exact_neuron
from skgrow.growth._fully_corrective import FullyCorrective
from skgrow.growth._polar import polar_value
from skgrow.growth._policy import GrowthPolicy
from skgrow.growth._refit import leave_out_losses, output_gauss_newton, refit_output
from skgrow.growth._schedules import SCHEDULES, AtEpochs, Every, Plateau, TargetLoss
from skgrow.growth._search import Block, PolarSearch
from skgrow.growth._strategies import SEARCHES, Firefly, GradMax, RandomSearch

__all__ = [
    "SCHEDULES",
    "SEARCHES",
    "AtEpochs",
    "Block",
    "CertificatePolicy",
    "Every",
    "Firefly",
    "FullyCorrective",
    "GradMax",
    "GrowthPolicy",
    "Plateau",
    "PolarSearch",
    "RandomSearch",
    "TargetLoss",
    "constant_network",
    "duality_gap",
    "exact_neuron",
    "leave_out_losses",
    "output_gauss_newton",
    "path_norm",
    "polar_maximum",
    "polar_value",
    "refit_output",
]
