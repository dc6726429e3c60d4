"""Preconditioning by inner products on layer spaces."""

from skgrow.preconditioning._attached import AttachedPreconditioner
from skgrow.preconditioning._covariance import Covariance, SecondMoment
from skgrow.preconditioning._frobenius import FrobeniusPreconditioner, emsa, kfac, second_moment, sobolev
from skgrow.preconditioning._inner_products import Euclidean, Fixed, InnerProduct, Sobolev
from skgrow.preconditioning._layers import INNER_PRODUCTS
from skgrow.preconditioning._train import FixedSettings, train

__all__ = [
    "INNER_PRODUCTS",
    "AttachedPreconditioner",
    "Covariance",
    "Euclidean",
    "Fixed",
    "FixedSettings",
    "FrobeniusPreconditioner",
    "InnerProduct",
    "SecondMoment",
    "Sobolev",
    "emsa",
    "kfac",
    "second_moment",
    "sobolev",
    "train",
]
