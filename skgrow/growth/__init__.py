"""Where, what and when to add: the polar search, schedules, and the growth policy."""

from skgrow.growth._certificate import CertificatePolicy, constant_network, duality_gap, path_norm, polar_maximum
from skgrow.growth._exact import exact_neuron
from skgrow.growth._fully_corrective import FullyCorrective
from skgrow.growth._insertion import InsertionPolicy
from skgrow.growth._linear import linear_model
from skgrow.growth._polar import polar_value
from skgrow.growth._policy import GrowthPolicy
from skgrow.growth._refit import leave_out_losses, output_gauss_newton, refit_output
from skgrow.growth._schedules import SCHEDULES, AtEpochs, Every, Plateau, TargetLoss
from skgrow.growth._search import Block, PolarSearch
from skgrow.growth._sensitivity import NORMS, Sensitivity, gradient_norm, sensitivity
from skgrow.growth._strategies import SEARCHES, Firefly, GradMax, RandomSearch

__all__ = [
    "NORMS",
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
    "InsertionPolicy",
    "Plateau",
    "PolarSearch",
    "RandomSearch",
    "Sensitivity",
    "TargetLoss",
    "constant_network",
    "duality_gap",
    "exact_neuron",
    "gradient_norm",
    "leave_out_losses",
    "linear_model",
    "output_gauss_newton",
    "path_norm",
    "polar_maximum",
    "polar_value",
    "refit_output",
    "sensitivity",
]
