"""Coverage of the intervals of ``GrowingRegressor.predict(X, return_std=True)``: do 90 % of the targets lie in them?

    python -m benchmarks.coverage [--sets diabetes concrete]

The intervals are prediction ± 1.645 deviations, which hold 90 % of a normal distribution. Ten real and ten synthetic
sets, up to 500 rows of each. The tenth of the rows whose standardised inputs are farthest from the mean is never
trained on: a model should know that it knows less there. Of the other rows a third is held out at random, anew until
all splits together have 400 test points (at most 20 splits). The width of the intervals is given in RMSEs; 3.29 are
those of normal errors whose deviation was told right. Errors of heavier tails cover more at this width.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.preprocessing import StandardScaler

import skgrow
from benchmarks._regret_data import SETS
from benchmarks._report import table, write

NORMAL_90 = 1.645
ROWS, POINTS, SPLITS = 500, 400, 20
FAR, HELD_OUT = 1 / 10, 1 / 3
NAMES = (
    "diabetes",
    "concrete",
    "boston",
    "auto",
    "cps",
    "quakes",
    "salaries",
    "athletes",
    "ozone",
    "air fares",
    "friedman1",
    "friedman2",
    "zigzag, 50 rows",
    "chirp, 200 rows",
    "waves of two features",
    "steps",
    "linear, much noise",
    "Student's noise",
    "30 rows of 10",
    "radius",
)


def far_rows(X):
    """Return which rows are far from the data."""
    distance = np.linalg.norm(StandardScaler().fit_transform(X), axis=1)
    return distance > np.quantile(distance, 1 - FAR)


def run(name):
    """Return a row for every split and both kinds of test points."""
    data = SETS[name]().at_most(ROWS)
    far = far_rows(data.X)
    outside, inside = np.flatnonzero(far), np.flatnonzero(~far)
    rows, points, split = [], 0, 0
    while points < POINTS and split < SPLITS:
        order = np.random.default_rng(split).permutation(inside)
        n_test = max(1, round(HELD_OUT * len(inside)))
        train, parts = order[n_test:], {"near": order[:n_test], "far": outside}
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = skgrow.GrowingRegressor(random_state=split).fit(data.X[train], data.y[train])
        seconds = time.perf_counter() - started
        for where, test in parts.items():
            mean, deviation = fitted.predict(data.X[test], return_std=True)
            errors = data.y[test] - mean
            rows.append(
                {
                    "set": name,
                    "split": split,
                    "where": where,
                    "rows": len(train),
                    "points": len(test),
                    "covered": int((np.abs(errors) <= NORMAL_90 * deviation).sum()),
                    "squared_error": float(np.mean(errors**2)),
                    "width": float(2 * NORMAL_90 * deviation.mean()),
                    "seconds": seconds,
                }
            )
            points += len(test)
        split += 1
    return rows


def figures(rows, where=("near", "far")):
    """Return points, coverage and width in RMSEs; of several sets the mean of their widths."""
    rows = [row for row in rows if row["where"] in where]
    points = np.array([row["points"] for row in rows])
    widths = []
    for name in dict.fromkeys(row["set"] for row in rows):
        here = [row for row in rows if row["set"] == name]
        n = [row["points"] for row in here]
        rmse = np.sqrt(np.average([row["squared_error"] for row in here], weights=n))
        widths.append(np.average([row["width"] for row in here], weights=n) / rmse)
    return points.sum(), sum(row["covered"] for row in rows) / points.sum(), float(np.mean(widths))


def report(rows):
    header = ["set", "points", "covered", "near", "far", "width in RMSEs", "near", "far", "seconds"]
    lines = []
    for name in [*dict.fromkeys(row["set"] for row in rows), "all"]:
        here = [row for row in rows if name in (row["set"], "all")]
        found = [figures(here, where) for where in (("near", "far"), ("near",), ("far",))]
        seconds = np.mean([row["seconds"] for row in here])
        shares, widths = [f"{share:.3f}" for _, share, _ in found], [f"{width:.2f}" for _, _, width in found]
        lines.append([name, str(found[0][0]), *shares, *widths, f"{seconds:.2f}"])
    table(header, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(NAMES), metavar="SET")
    args = parser.parse_args()
    rows = []
    for name in args.sets:
        rows += run(name)
        write("coverage" if args.sets == list(NAMES) else "coverage-selected", rows)
    report(rows)


if __name__ == "__main__":
    main()
