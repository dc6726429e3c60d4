"""Preconditioning by inner products on layer spaces."""

from skgrow.preconditioning._attached import AttachedPreconditioner
from skgrow.preconditioning._covariance import Covariance, SecondMoment
from skgrow.preconditioning._frobenius import PRECONDITIONERS, FrobeniusPreconditioner, as_preconditioner, kfac
from skgrow.preconditioning._inner_products import Euclidean, Fixed, InnerProduct, Sobolev
from skgrow.preconditioning._layers import INNER_PRODUCTS

__all__ = [
    "INNER_PRODUCTS",
    "PRECONDITIONERS",
    "AttachedPreconditioner",
    "Covariance",
    "Euclidean",
    "Fixed",
    "FrobeniusPreconditioner",
    "InnerProduct",
    "SecondMoment",
    "Sobolev",
    "as_preconditioner",
    "kfac",
]
