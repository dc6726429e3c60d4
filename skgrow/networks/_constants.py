"""Tuned values of changes to a network: of layers that are inserted and kinks that are moved."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkConstants:
    """Values that users do not set; each belongs to a page of ``docs/decisions``, and all are listed in decision 25.

    Attributes
    ----------
    tanh_slope, logistic_slope : float
        Slopes of inserted sigmoids: smaller ones are nearer to the identity and bend less, and these are equally near
        (decision 19).
    leaky_shift : float
        Shift of an inserted leaky ReLU, in units of what the data need: the rest is for new data (decision 19).
    tanh_block, logistic_block : float
        Weights of the neurons of an inserted residual block, all of which look at one state each: sigmoids bend on
        states of size one. Those of other activations are 1 (decision 19).
    outer_kink : int
        A kink beyond the data is moved away from them by this, in units of its neuron's largest pre-activation
        (decision 10).
    """

    tanh_slope: float = 0.2
    logistic_slope: float = 0.8
    leaky_shift: float = 1.1
    tanh_block: float = 2.0
    logistic_block: float = 4.0
    outer_kink: int = 10


NETWORKS = NetworkConstants()
