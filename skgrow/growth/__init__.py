"""Where, what and when to add neurons: the polar search, the growth policy, averages, certificates."""

from skgrow.growth._average import average_of, averaged, combine, combine_members, shares_of
from skgrow.growth._certificate import CertificatePolicy, constant_network, duality_gap, path_norm, polar_maximum
from skgrow.growth._exact import exact_neuron
from skgrow.growth._layers import append_inside, linearised_refit
from skgrow.growth._linear import linear_model, linear_model_by_validation
from skgrow.growth._member import Member
from skgrow.growth._noise import exceeds_noise, permuted_shares
from skgrow.growth._polar import ascend, polar_value
from skgrow.growth._policy import GrowthPolicy, balance, smoothing_widths
from skgrow.growth._search import Block, PolarSearch, Search, draw_rows
from skgrow.growth._settings import GrowthSettings
from skgrow.growth._strategies import Firefly, GradMax, RandomSearch
from skgrow.growth._train import grow, train

__all__ = [
    "Block",
    "CertificatePolicy",
    "Firefly",
    "GradMax",
    "GrowthPolicy",
    "GrowthSettings",
    "Member",
    "PolarSearch",
    "RandomSearch",
    "Search",
    "append_inside",
    "ascend",
    "average_of",
    "averaged",
    "balance",
    "combine",
    "combine_members",
    "constant_network",
    "draw_rows",
    "duality_gap",
    "exact_neuron",
    "exceeds_noise",
    "grow",
    "linear_model",
    "linear_model_by_validation",
    "linearised_refit",
    "path_norm",
    "permuted_shares",
    "polar_maximum",
    "polar_value",
    "shares_of",
    "smoothing_widths",
    "train",
]
