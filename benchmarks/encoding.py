"""Whether knots along single features pay: ``encoding="auto"`` against None, a trial behind a default.

Untuned ``GrowingRegressor`` and ``GrowingClassifier`` on the sets of ``benchmarks.tabular`` and ``benchmarks.survey``
and on sets from wheels: 1 - R^2 or log-loss on a third of the rows, and its ratio to that without knots; at the end
geometric means.

    python -m benchmarks.encoding [--task classification] [--sets concrete airfoil] [--rows 1500] [--splits 1]
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import train_test_split

import skgrow
from benchmarks import _wheel_data, survey
from benchmarks._report import table, write
from benchmarks._tabular_data import CLASSIFICATION, REGRESSION

TEST_ROWS = 3000
SETS = {
    "regression": {**REGRESSION, **survey.TASKS["regression"].sets, **_wheel_data.REGRESSION},
    "classification": {**CLASSIFICATION, **survey.TASKS["classification"].sets, **_wheel_data.CLASSIFICATION},
}


def regression_error(model, X, y):
    return 1 - r2_score(y, model.predict(X))


def classification_error(model, X, y):
    return log_loss(y, model.predict_proba(X), labels=model.classes_)


def run(task, name, rows, split):
    """Return a row: errors, CPU times and sizes with and without knots."""
    regression = task == "regression"
    X, y = SETS[task][name]()
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=1 / 3, random_state=split, stratify=None if regression else y
    )
    estimator = skgrow.GrowingRegressor if regression else skgrow.GrowingClassifier
    row = {"set": name, "rows": min(rows, len(X)), "features": X.shape[1], "split": split}
    for encoding in (None, "auto"):
        started = time.process_time()
        model = estimator(encoding=encoding, random_state=split).fit(X[:rows], y[:rows])
        error = (regression_error if regression else classification_error)(
            model, X_test[:TEST_ROWS], y_test[:TEST_ROWS]
        )
        row |= {f"error {encoding}": error, f"seconds {encoding}": time.process_time() - started}
        row[f"neurons {encoding}"] = model.coefs_[-1].shape[0]
    return row | {"knots": sum(map(len, model.knots_))}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", choices=list(SETS), default="regression")
    parser.add_argument("--sets", nargs="+")
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--splits", type=int, default=1)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = []
    for name in args.sets or SETS[args.task]:
        for split in range(args.splits):
            rows.append(run(args.task, name, args.rows, split))
            print(
                {key: round(value, 4) if isinstance(value, float) else value for key, value in rows[-1].items()},
                flush=True,
            )
    table(
        ["set", "rows", "knots", "without", "with", "ratio", "time"],
        [
            [
                row["set"],
                str(row["rows"]),
                str(row["knots"]),
                f"{row['error None']:.4f}",
                f"{row['error auto']:.4f}",
                f"{row['error auto'] / row['error None']:.3f}",
                f"{row['seconds auto'] / row['seconds None']:.1f}",
            ]
            for row in rows
        ],
    )
    for among, some in (("all", rows), ("those with knots", [row for row in rows if row["knots"]])):
        if some:
            errors, times = (
                np.exp(np.mean([np.log(row[f"{key} auto"] / row[f"{key} None"]) for row in some]))
                for key in ("error", "seconds")
            )
            print(f"{among} ({len(some)}): error {errors:.3f}, CPU time {times:.2f} (geometric means of ratios)")
    write(f"encoding-{args.task}", rows)


if __name__ == "__main__":
    main()
