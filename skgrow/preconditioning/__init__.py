"""Preconditioning by inner products on layer spaces."""

from skgrow.preconditioning._attached import AttachedPreconditioner
from skgrow.preconditioning._frobenius import PRECONDITIONERS, FrobeniusPreconditioner, as_preconditioner, kfac
from skgrow.preconditioning._inner_products import (
    INNER_PRODUCTS,
    Covariance,
    Euclidean,
    Fixed,
    InnerProduct,
    SecondMoment,
    Sobolev,
)

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
