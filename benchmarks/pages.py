"""Write docs/benchmarks.md: every table and every figure comes from the files in benchmarks/results.

python -m benchmarks.pages
"""

import json
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks._report import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"

#: Columns by their names in the files.
TITLES = {
    "set": "data set",
    "max_neurons": "neurons",
    "rmse": "RMSE",
    "log_loss": "log-loss",
    "accuracy": "accuracy",
}

#: Methods by their names in the files.
NAMES = {
    "ReLU": "ReLU only",
    "tanh": "tanh only",
    "MLP, 12 draws": "MLP, search",
    "oracle": "limit on these data",
    "linear": "linear",
    "full": "full cycle",
    "full linear": "full cycle, linear",
    "full, blind": "full cycle, blind",
    "two-level plain": "two-level",
    "two-level (3.6)": "two-level, term",
    "two-level exact": "two-level, exact term",
    "V plain": "V-cycle",
    "V (3.6)": "V-cycle, term",
    "V exact": "V-cycle, exact term",
    "batch": "batch levels",
}
FOLDS, SEEDS = ("repetition", "fold"), ("seed",)

# files and numbers -----------------------------------------------------------------------------------------------


def read(*names):
    """Return the rows of one or several files."""
    return pd.concat([pd.read_csv(RESULTS / f"{name}.csv") for name in names], ignore_index=True)


def sources(commands):
    """Return a list of commands with their files, and what the figures depend on."""
    lines, found = [], {}
    for name, command in commands.items():
        lines.append(f"* `{command}` writes [`{name}.csv`](../benchmarks/results/{name}.csv)")
        found.setdefault(environment(name), []).append(f"`{name}.csv`")
    if len(found) == 1:
        lines.append(f"* Environment: {next(iter(found))}")
    else:
        lines += [f"* Environment of {listed(names)}: {text}" for text, names in found.items()]
    return "\n".join(lines)


def environment(name):
    """Return versions and machine of a run in a line."""
    known = json.loads((RESULTS / f"{name}.environment.json").read_text())
    packages = {"Python": "python", "NumPy": "numpy", "scikit-learn": "scikit-learn", "PyTorch": "torch"}
    parts = [f"{label} {known[key]}" for label, key in packages.items()]
    parts += [f"{known['system']} {known['machine']}", plural(known["cpus"], "CPU")]
    return ", ".join([*parts, plural(int(known.get("torch_threads", known["threads"])), "thread")])


def plural(count, noun):
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def num(value, digits=3):
    """Return a number with so many significant digits, without zeros at the end."""
    if value is None or pd.isna(value):
        return ""
    if np.isinf(value):
        return "not reached"
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def figure(value, digits=4):
    """Return an error with so many significant digits, zeros at the end too."""
    return f"{value:.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:#.{digits}g}"


def short(value):
    """Return an error with three significant digits."""
    return figure(value, 3)


def share(value):
    """Return a score with three digits after the point."""
    return f"{value:.3f}"


def seconds(value):
    """Return a time: two digits or more after the point where it is short."""
    if pd.isna(value) or np.isinf(value):
        return num(value)
    return f"{value:.2g}" if value < 0.01 else f"{value:.2f}" if value < 10 else f"{value:.0f}"


def between(values, show=num):
    """Return the smallest and the largest value in words."""
    return f"{show(min(values))} to {show(max(values))}"


def listed(items):
    """Return items in a row of words."""
    items = list(items)
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items) if items else "none"


def words(text, indent=""):
    """Return a paragraph in lines."""
    return textwrap.fill(text, 112, initial_indent=indent, subsequent_indent=" " * len(indent), break_on_hyphens=False)


def shown(method):
    return NAMES.get(method, method)


# tables ----------------------------------------------------------------------------------------------------------


def table(header, rows, names=1):
    """Return a table, the first columns, which are names, to the left and the others to the right."""
    lines = [header, ["---"] * names + ["---:"] * (len(header) - names), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def grid(frame, key, *, index="set", label="method", stat="mean", show=num, best="min"):
    """Return a table of one figure: data sets in rows, methods in columns, the best in bold."""
    found = frame.groupby([index, label] if isinstance(index, str) else [*index, label], sort=False)[key]
    found = found.agg(stat).unstack()
    found = found[[method for method in frame[label].unique() if method in found]]
    rows = []
    for name, values in found.loc[first_seen(frame, index)].iterrows():
        cells = ["" if pd.isna(value) else show(value) for value in values]
        top = show(values.agg(best)) if best else None
        cells = [f"**{cell}**" if cell == top else cell for cell in cells]
        rows.append([name if isinstance(name, str) else ", ".join(map(str, name)), *cells])
    head = ", ".join(TITLES.get(name, name) for name in ([index] if isinstance(index, str) else index))
    return table([head, *map(shown, found.columns)], rows)


def first_seen(frame, index):
    if isinstance(index, str):
        return list(frame[index].unique())
    return list(dict.fromkeys(frame[list(index)].itertuples(index=False, name=None)))


# comparisons -----------------------------------------------------------------------------------------------------


def gap(frame, key, ours, theirs, *, pairs=FOLDS, larger=False):
    """Return how much worse a peer is in standard errors of the paired differences, None where one was not run."""
    wide = frame.pivot_table(index=list(pairs), columns="method", values=key)
    if not {ours, theirs} <= set(wide.columns):
        return None
    paired = (wide[theirs] - wide[ours]).dropna() * (-1 if larger else 1)
    error = paired.std(ddof=1) / np.sqrt(len(paired))
    return (
        float(paired.mean() / error) if error > 0 else float(np.sign(paired.mean())) * np.inf if paired.any() else 0.0
    )


def losses(frame, key, peers, *, measure, show, pairs=FOLDS, larger=False, ours="skgrow"):
    """Return a row for every data set where a peer is better by more than a standard error."""
    rows = []
    for name, here in frame.groupby("set", sort=False):
        means = here.groupby("method")[key].mean()
        found = {peer: gap(here, key, ours, peer, pairs=pairs, larger=larger) for peer in peers}
        better = [f"{shown(p)} {show(means[p])} ({-z:.1f})" for p, z in found.items() if z is not None and z < -1]
        if better:
            rows.append([name, measure, show(means[ours]), "; ".join(better)])
    return rows


def counts(frame, key, peers, *, pairs=FOLDS, larger=False):
    """Return a table: on how many sets a peer is better or worse by more than a standard error, and by what factor."""
    rows = []
    for peer in peers:
        gaps, ratios = [], []
        for _, here in frame.groupby("set", sort=False):
            found = gap(here, key, "skgrow", peer, pairs=pairs, larger=larger)
            if found is not None:
                means = here.groupby("method")[key].mean()
                gaps.append(found)
                ratios.append(means[peer] / means["skgrow"])
        better, worse = sum(z < -1 for z in gaps), sum(z > 1 for z in gaps)
        mean = f"{np.exp(np.mean(np.log(ratios))):.2f}"
        rows.append([shown(peer), str(better), str(worse), str(len(gaps)), mean])
    return table([TITLES[key], "better", "worse", "sets", "geometric mean, over skgrow's"], rows)


def wins(frame, key, ours, theirs, label):
    """Return on how many seeds ours is lower, and on how many higher."""
    wide = frame.pivot_table(index="seed", columns=label, values=key)
    return int((wide[ours] < wide[theirs]).sum()), int((wide[ours] > wide[theirs]).sum())


def times(frame, method):
    """Return the mean times of a method, one for every data set."""
    return frame[frame["method"] == method].groupby("set", sort=False)["seconds"].mean()


# data of several sections ----------------------------------------------------------------------------------------

REGRESSION_PEERS = ("MLP", "MLP, 12 draws", "HistGB", "Ridge")
CLASS_PEERS = ("MLP", "MLP, 12 draws", "HistGB", "LogReg")


def tabular_regression():
    return read("tabular-quick", "tabular-diamonds")


def tabular_classes():
    """Return the rows of one repetition: peers that are expensive have runs of their own, on the same folds."""
    peers = read("classification-peers")
    return pd.concat(
        [read("classification-quick"), peers[peers["method"] == "HistGB"], read("classification-search")],
        ignore_index=True,
    )


def insertion_tables():
    return read("sensli-tabular").assign(repetition=0)


def multilevel_ratios(name):
    """Return medians of seconds over those of the better single level, seed by seed: data, blocks, variant."""
    rows = []
    for (data, blocks), here in read(name).groupby(["data", "blocks"], sort=False):
        wide = here.pivot_table(index="seed", columns="variant", values="seconds", aggfunc="first")
        scores = here.pivot_table(index="seed", columns="variant", values="score", aggfunc="first")
        single = wide[["SGD", "Adam"]].median().idxmin()
        for variant in here["variant"].unique():
            change = scores[variant] - scores[single]
            ratio = float((wide[variant] / wide[single]).median())
            rows.append({"data": data, "blocks": blocks, "variant": variant, "ratio": ratio, "change": change.mean()})
    return pd.DataFrame(rows)


def chosen(part):
    """Return the runs with the settings that a method was given for all seeds: those with the most seeds."""
    frame = read(f"preconditioning-{part}").fillna({"rate": 0.0, "damping": 0.0})
    kept = []
    for _, here in frame.groupby("method", sort=False):
        settings = here.groupby(["rate", "damping"])["seed"].nunique()
        rate, damping = settings.idxmax()
        kept.append(here[(here["rate"] == rate) & (here["damping"] == damping)])
    return pd.concat(kept)


def ends(frame):
    """Return for every method the medians over the seeds of loss and seconds at the end, and its settings."""
    last = frame.sort_values("iteration").groupby(["method", "seed"], sort=False).tail(1)
    found = last.groupby("method")[["rate", "damping", "iteration", "loss", "seconds"]].median()
    return found.loc[list(frame["method"].unique())]


def loss_in(frame, method, limit):
    """Return the median loss of a method's last epoch that ends within so many seconds."""
    here = frame[(frame["method"] == method) & (frame["seconds"] <= limit)].sort_values("iteration")
    return here.groupby("seed")["loss"].last().median()


# the weak spots --------------------------------------------------------------------------------------------------


def weak_spots():
    blocks = [
        "## Where skgrow loses",
        words(
            "A peer is listed if the mean of the paired differences (over folds or seeds) is more than one standard "
            "error in its favour; the number of standard errors is in brackets. Figures are means. Some rows are due "
            "to chance."
        ),
    ]
    header = ["data set", "measure", "skgrow", "better by more than a standard error"]
    for title, rows in lost_sets():
        blocks += [f"### {title}", table(header, rows, 2)]
    spots = [*slow_fits(), *weak_growth(), *weak_insertion(), *weak_preconditioning(), *weak_multilevel()]
    spots.append("**GPU.** No run on a GPU is kept; the last table is from a CPU.")
    return [*blocks, "### Other weak spots", "\n".join(words(text, "* ") for text in spots)]


def lost_sets():
    """Yield titles and rows of the tables."""
    for title, frame in (
        ("Tabular regression", tabular_regression()),
        ("Regression sets of the survey", read("survey-regression")),
    ):
        yield title, losses(frame, "rmse", REGRESSION_PEERS, measure="RMSE", show=figure)
    for title, frame in (
        ("Tabular classification", tabular_classes()),
        ("Classification sets of the survey", read("survey-classification")),
    ):
        rows = losses(frame, "log_loss", CLASS_PEERS, measure="log-loss", show=share)
        rows += losses(frame, "accuracy", CLASS_PEERS, measure="accuracy", show=share, larger=True)
        yield title, rows
    frame, rows = read("wide"), []
    for task, measure in (("regression", "R2"), ("classes", "accuracy")):
        here = frame[frame["task"] == task]
        rows += losses(here, "score", ["linear", "MLP"], measure=measure, show=share, pairs=SEEDS, larger=True)
    yield "About as many features as samples, or more", rows
    yield (
        "Layer insertion (`SensLIClassifier`)",
        losses(insertion_tables(), "accuracy", ["MLP"], measure="accuracy", show=share, larger=True, ours="SensLI"),
    )


def slow_fits():
    for frame, what in (
        (tabular_regression(), "the tabular regression sets"),
        (read("survey-regression"), "the regression sets of the survey"),
        (tabular_classes(), "the tabular classification sets"),
        (read("survey-classification"), "the classification sets of the survey"),
    ):
        ours, theirs = times(frame, "skgrow"), times(frame, "MLP")
        yield (
            f"**Time.** On {what} a fit takes {between(ours, seconds)} s, {between((ours / theirs).dropna(), ratio)} "
            "times as long as MLP."
        )
    ridge = read("ridge").pivot(index=["task", "max_neurons"], columns="method", values="seconds")
    yield (
        f"**Time.** On the ridge functions a fit takes {between(ridge['skgrow'], seconds)} s, "
        f"{between(ridge['skgrow'] / ridge['lbfgs x 10, std'], ratio)} times as long as ten restarts of L-BFGS."
    )
    wide = read("wide").groupby(["set", "task", "method"], sort=False)["seconds"].median().unstack()
    slow = wide[wide["skgrow"] > 20 * wide["MLP"]]
    yield (
        f"**Time on square data.** On {listed(f'{name} ({task})' for name, task in slow.index)} a fit takes "
        f"{between(slow['skgrow'], seconds)} s (medians). MLP takes {between(slow['MLP'], seconds)} s."
    )


def weak_growth():
    diamonds = read("tabular-diamonds").query("method == 'skgrow'")["rmse"].sort_values()
    yield (
        "**Heavy tails.** Diamonds has rows that contradict each other, and a few predictions far from all training "
        f"samples are bad: one fold of five has an RMSE of {num(diamonds.iloc[-1])}, the others "
        f"{between(diamonds.iloc[:-1])}."
    )
    ridge = read("ridge-five-seeds").query("max_neurons == 42")
    middle = ridge.groupby(["task", "method"], sort=False)[["held_out_rmse", "inside_rmse", "limit"]].median()
    middle = middle.div(middle["limit"], axis=0).xs("skgrow", level="method")
    parts = [f"{num(row.held_out_rmse)} on {task}" for task, row in middle.iterrows()]
    yield (
        "**Extrapolation.** With 42 neurons the held-out error on the ridge functions, in multiples of the free-knot "
        f"limit, is {listed(parts)}. Within the range of the training data it is {between(middle['inside_rmse'])}."
    )
    frame = read("deep")
    lower, higher = wins(frame, "held_out", "deep", "one layer", "network")
    yield (
        "**Deep growth.** A deep network that grows its last layer has a smaller held-out error than one layer of as "
        f"many parameters on {lower} of {lower + higher} seeds, a larger one on {higher}."
    )
    for key, what in (("train_rmse", "training"), ("held_out_rmse", "held-out")):
        middle = read("strategies").groupby(["set", "max_neurons", "search"], sort=False)[key].median().unstack()
        better = (
            middle.index[middle.idxmin(axis=1) != "polar"]
            .to_frame(index=False)
            .groupby("set", sort=False)["max_neurons"]
        )
        names = [f"{name} ({listed(map(str, widths))} neurons)" for name, widths in better]
        yield f"**Search.** Another search than the polar one leaves the smallest {what} error on {listed(names)}."


def weak_insertion():
    spirals, images = read("sensli-spirals"), read("sensli-images")
    middle = spirals.groupby(["setting", "variant"], sort=False)["loss"].median().unstack()
    behind = middle.index[middle["extended"] < middle["SensLI"]]
    yield (
        f"**Layer insertion on spirals.** In the settings {listed(behind)} the deeper network, trained from the start, "
        "ends at a lower median loss than the network with inserted layers."
    )
    rows = []
    for name in middle.index[middle["min"].notna()]:
        lower, higher = wins(spirals[spirals["setting"] == name], "loss", "SensLI", "min", "variant")
        rows += [f"{lower} of {lower + higher} in {name}"] if lower + higher else []
    yield (
        "**Choice of the position.** Insertion at the largest merit ends at a lower loss than at the smallest on this "
        f"number of seeds: {', '.join(rows)}."
    )
    never = [
        f"{int(np.isinf(here['time_share']).sum())} of {len(here)} on {name} with {named(solver)}"
        for (name, solver), here in images.groupby(["set", "solver"], sort=False)
    ]
    yield (
        "**Layer insertion on images.** The loss of the deeper network is not reached on this number of seeds: "
        f"{', '.join(never)}."
    )


def named(solver):
    return {"plain": "plain SGD"}.get(solver, solver)


def weak_preconditioning():
    relu, sigmoid = chosen("relu"), ends(chosen("sigmoid"))
    own = ends(relu).drop(index=["SGD", "SGD, momentum 0.9", "Adam", "SGD, longer"])
    ahead = [name for name, row in own.iterrows() if loss_in(relu, "SGD, longer", row["seconds"]) < row["loss"]]
    yield (
        "**Preconditioning a ReLU classifier.** SGD, given as much time, ends at a lower loss than "
        f"{len(ahead)} of {len(own)} preconditioned methods."
    )
    curve = relu[relu["method"] == "K-FAC"].groupby("iteration")["loss"].median()
    yield (
        f"**K-FAC on small batches** can lose late what it won early: on the ReLU classifier its loss falls to "
        f"{num(curve.min())} (step {curve.idxmin()}) and is {num(curve.iloc[-1])} at the end (step {curve.index[-1]})."
    )
    loss = sigmoid["loss"]
    yield (
        f"**Low rank and covariances.** On the sigmoid classifier moments of rank 20 end at {num(loss['low rank'])} "
        f"and centred covariances at {num(loss['covariance'])}. Adam ends at {num(loss['Adam'])}."
    )


def weak_multilevel():
    found = multilevel_ratios("mgopt")
    for variant, what in (("full", "told"), ("full, blind", "not told")):
        slow = found[(found["variant"] == variant) & (found["ratio"] > 1)]
        names = [f"{row.data} with {row.blocks} blocks ({ratio2(row.ratio)} times)" for row in slow.itertuples()]
        yield f"**Multilevel training**, {what} the target, takes longer than one level on {listed(names)}."

    def times_of(*variants):
        return between(found[found["variant"].isin(variants)]["ratio"], ratio2)

    yield (
        f"**Coarse grid corrections** alone take {times_of('two-level plain', 'V plain')} times the time of one level, "
        f"with the linear term of MG/Opt {times_of('two-level (3.6)', 'V (3.6)')} times. Levels of smaller "
        f"mini-batches take {times_of('batch')} times."
    )


def ratio(value):
    return f"{value:.1f}"


def ratio2(value):
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


# sections --------------------------------------------------------------------------------------------------------

INTRODUCTION = """# Benchmarks

skgrow beside its peers. `python -m benchmarks.pages` writes this page from the files in
[`benchmarks/results`](../benchmarks/results); the commands below renew these files.

How to read the tables:

* **skgrow** is `GrowingRegressor` or `GrowingClassifier` with default settings. **ReLU only** and **tanh only** have
  one activation, **by GCV** and **by evidence** another criterion of size.
* **MLP** is `MLPRegressor` or `MLPClassifier` with default settings. **MLP, search** is a random search of 12 draws
  over width, penalty, solver and learning rate, judged by three inner folds. **HistGB** is histogram gradient boosting.
  **Ridge** and **LogReg** are ridge and logistic regression.
* Peers see standardised inputs, except on the ridge functions. In the tabular benchmarks and the survey, regressors
  also see standardised targets.
* Figures are means over five folds unless a section says otherwise. The best of a row is bold.
* Tables of estimators with default settings are older than three changes of defaults: scales of inputs (decision 28),
  knots along features (decision 30), and the penalty of given layers by the evidence (decision 32). The commands renew
  them.
* Times are seconds of one fit. The machine also had other work to do, so small differences mean nothing. Compare times
  within one table only."""

SIX = "diabetes friedman1 friedman2 friedman3 concrete boston"
CRITERIA = '"by GCV" "by evidence"'


def regression_section():
    frame, criteria = tabular_regression(), read("tabular-criteria")
    averages = criteria["activation"].str.contains("+", regex=False).any()
    command = "python -m benchmarks.tabular --quick --sets"
    return [
        "## Tabular regression",
        sources(
            {
                "tabular-quick": f"{command} {SIX}",
                "tabular-diamonds": f"{command} diamonds --only skgrow MLP HistGB Ridge --output tabular-diamonds",
                "tabular-criteria": f"{command} {SIX} --only skgrow {CRITERIA} --output tabular-criteria",
            }
        ),
        "RMSE, in the units of the target:",
        grid(frame, "rmse", show=figure),
        "Seconds of a fit:",
        grid(frame, "seconds", show=seconds, best=None),
        "Hidden neurons:",
        grid(frame.dropna(subset=["neurons"]), "neurons", best=None),
        "On how many data sets a method is better or worse than skgrow by more than a standard error:",
        counts(frame, "rmse", ["ReLU", "tanh", "by GCV", "by evidence", *REGRESSION_PEERS]),
        words(
            "The criteria once more, in a run of "
            f"{'averages' if averages else 'networks of one activation, without averages'}: RMSE, then seconds."
        ),
        grid(criteria, "rmse", show=figure),
        grid(criteria, "seconds", show=seconds, best=None),
    ]


def classification_section():
    frame, thrice = tabular_classes(), read("classification")
    command = "python -m benchmarks.tabular --task classification"
    return [
        "## Tabular classification",
        sources(
            {
                "classification-quick": f"{command} --quick --only skgrow ReLU tanh MLP LogReg",
                "classification-peers": f"{command} --quick --only MLP HistGB LogReg --output classification-peers",
                "classification-search": f'{command} --quick --only "MLP, 12 draws" --output classification-search',
                "classification": f"{command} --only skgrow MLP LogReg",
            }
        ),
        words(
            "HistGB and the search come from runs of their own on the same folds, so their times are less comparable. "
            "Held-out accuracy:"
        ),
        grid(frame, "accuracy", show=share, best="max"),
        "Held-out log-loss in nats:",
        grid(frame, "log_loss", show=share),
        "Seconds of a fit:",
        grid(frame, "seconds", show=seconds, best=None),
        "Hidden neurons:",
        grid(frame.dropna(subset=["neurons"]), "neurons", best=None),
        "On how many data sets a method is better or worse than skgrow by more than a standard error:",
        counts(frame, "log_loss", ["ReLU", "tanh", *CLASS_PEERS]),
        counts(frame, "accuracy", ["ReLU", "tanh", *CLASS_PEERS], larger=True),
        "Five folds drawn three times: accuracy, log-loss and seconds.",
        grid(thrice, "accuracy", show=share, best="max"),
        grid(thrice, "log_loss", show=share),
        grid(thrice, "seconds", show=seconds, best=None),
    ]


def survey_section():
    regression, classes = read("survey-regression"), read("survey-classification")
    return [
        f"## Survey of {regression['set'].nunique() + classes['set'].nunique()} data sets",
        sources(
            {
                "survey-regression": "python -m benchmarks.survey",
                "survey-classification": "python -m benchmarks.survey --task classification",
            }
        ),
        words(
            "Data sets of R packages, at most 2000 rows of each. Most of them played no part in the choice of the "
            "defaults. On how many of them a method is better or worse than skgrow by more than a standard error:"
        ),
        counts(regression, "rmse", ["ReLU", "tanh", "by GCV", "by evidence", "MLP", "HistGB", "Ridge"]),
        counts(classes, "log_loss", ["ReLU", "tanh", "MLP", "HistGB", "LogReg"]),
        counts(classes, "accuracy", ["ReLU", "tanh", "MLP", "HistGB", "LogReg"], larger=True),
        "### Regression",
        "RMSE in standard deviations of the target:",
        grid(regression, "rmse", show=share),
        "Seconds of a fit:",
        grid(regression, "seconds", show=seconds, best=None),
        "### Classification",
        "Log-loss in nats:",
        grid(classes, "log_loss", show=share),
        "Accuracy:",
        grid(classes, "accuracy", show=share, best="max"),
        "Seconds of a fit:",
        grid(classes, "seconds", show=seconds, best=None),
    ]


def wide_section():
    frame, blocks = read("wide"), []
    for task, measure in (("regression", "R2"), ("classes", "accuracy")):
        here = frame[frame["task"] == task]
        blocks += [
            f"### {task.capitalize()}",
            f"Median {measure} on 1000 new samples:",
            grid(here, "score", stat="median", show=share, best="max"),
            "Seconds of a fit:",
            grid(here, "seconds", stat="median", show=seconds, best=None),
        ]
    return [
        "## About as many features as samples, or more",
        sources({"wide": "python -m benchmarks.wide"}),
        words(
            "Data of ten factors, three of which matter, and scikit-learn's generators. A linear model is right for "
            "the factors and for `make_regression`. Names give samples x features. *Linear* is ridge or logistic "
            "regression with its penalty by cross-validation. Figures are medians of "
            f"{plural(frame['seed'].nunique(), 'seed')}."
        ),
        *blocks,
    ]


def ridge_section():
    frame, five = read("ridge"), read("ridge-five-seeds")
    for rows in (frame, five):
        for part in ("train", "held_out"):
            rows[part] = rows[f"{part}_rmse"] / rows["limit"]
    index = ("task", "max_neurons")
    ours = frame[frame["method"] == "skgrow"].set_index(list(index))["held_out"]
    best = frame[~frame["method"].isin(["skgrow", "oracle"])].groupby(list(index))["held_out"].min() / ours
    one, many = {"index": index, "best": None}, {"index": index, "stat": "median", "best": None}
    return [
        "## Ridge functions",
        sources(
            {
                "ridge": "python -m benchmarks.ridge --seeds 1",
                "ridge-five-seeds": "python -m benchmarks.ridge --only skgrow oracle --output ridge-five-seeds",
            }
        ),
        words(
            "Four tasks without noise, with 9, 21 and 42 ReLU neurons. Errors are RMSE in multiples of the free-knot "
            "limit, the asymptotic error of the best piecewise linear function with as many kinks. *Limit on these "
            "data* knows the direction and fits such a function to the same samples. The peers are `MLPRegressor` of "
            "the same width with Adam, with Adam for 2000 epochs, with L-BFGS, and with the best of ten restarts of "
            "L-BFGS, on raw and on standardised (std) data. The best peer of each row has "
            f"{between(best, ratio)} times skgrow's held-out error."
        ),
        "Held-out error, one seed:",
        grid(frame, "held_out", show=ratio2, **one),
        "Training error, one seed:",
        grid(frame, "train", show=ratio2, **one),
        "Seconds of a fit, one seed:",
        grid(frame, "seconds", show=seconds, **one),
        f"Held-out error, training error and seconds, medians of {plural(five['seed'].nunique(), 'seed')}:",
        grid(five, "held_out", show=ratio2, **many),
        grid(five, "train", show=ratio2, **many),
        grid(five, "seconds", show=seconds, **many),
    ]


def deep_section():
    frame = read("deep")
    middle = frame.groupby("network", sort=False)[["parameters", "train", "held_out", "seconds"]].median()
    rows = [
        [name, num(row.parameters), num(row.train), num(row.held_out), seconds(row.seconds)]
        for name, row in middle.iterrows()
    ]
    return [
        "## A deep network that grows its last layer",
        sources({"deep": "python -m benchmarks.deep"}),
        words(
            "The 10-D ridge function. The deep network starts as (2, 2). The other one has one hidden layer and at "
            f"least as many parameters. Medians of {plural(frame['seed'].nunique(), 'seed')}."
        ),
        table(["network", "parameters", "training RMSE", "held-out RMSE", "seconds"], rows),
    ]


def strategies_section():
    frame = read("strategies")
    settings = {"index": ("set", "max_neurons"), "label": "search", "stat": "median", "show": short}
    return [
        "## Searches for new neurons",
        sources({"strategies": "python -m benchmarks.strategies"}),
        words(
            "The polar search (the default) beside random neurons, GradMax and Firefly at equal widths. Only the "
            f"search differs. Medians of {plural(frame['seed'].nunique(), 'seed')}."
        ),
        "Training RMSE:",
        grid(frame, "train_rmse", **settings),
        "Held-out RMSE:",
        grid(frame, "held_out_rmse", **settings),
        "Seconds of a fit:",
        grid(frame, "seconds", **settings | {"show": seconds, "best": None}),
    ]


def insertion_section():
    spirals, images, tables = read("sensli-spirals"), read("sensli-images"), insertion_tables()
    settings = {"index": "setting", "label": "variant", "stat": "median", "show": short}
    one = spirals[spirals["setting"] == "4.7"].groupby("variant")[["loss", "flops"]].median()
    return [
        "## Layer insertion",
        sources({f"sensli-{p}": f"python -m benchmarks.sensli {p}" for p in ("spirals", "images", "tabular")}),
        "### Two spirals",
        words(
            "Settings of Kreis' thesis, named by its figures. Those of 4.5a, 4.5b, 4.9a and 4.9b are dense networks, "
            "the others residual ones. *Start* is never extended. *Extended* is the deeper network, trained from the "
            "start. *SensLI* inserts at the largest merit, *min* at the smallest (in 4.5a and "
            "4.5b there is one position only), *random* anywhere. Initial weights "
            f"are PyTorch's. In 4.7, with three insertions, SensLI ends at a loss of {num(one.loss['SensLI'])}, the "
            f"extended network at {num(one.loss['extended'])} and the start network at {num(one.loss['start'])}. "
            f"SensLI takes {ratio2(one.flops['SensLI'] / one.flops['extended'])} of the extended network's operations. "
            f"Medians of {plural(spirals['seed'].nunique(), 'seed')}."
        ),
        "Training loss of the best epoch:",
        grid(spirals, "loss", **settings),
        "Test error:",
        grid(spirals, "test_error", **settings | {"show": share, "best": None}),
        "Seconds:",
        grid(spirals, "seconds", **settings | {"show": seconds, "best": None}),
        "### Small convolutional networks",
        words(
            "Up to three insertions, with plain SGD or with momentum 0.9. Medians of "
            f"{plural(images['seed'].nunique(), 'seed')}. *Time share* and *share of operations* say what SensLI needs "
            "to reach the final loss of the extended network, relative to that network's whole training."
        ),
        *image_tables(images),
        "### Tables",
        "`SensLIClassifier` with default settings, and `MLPClassifier` with as many layers of 100. Accuracy:",
        grid(tables, "accuracy", show=share, best="max"),
        "Seconds of a fit:",
        grid(tables, "seconds", show=seconds, best=None),
    ]


def image_tables(images):
    """Return tables of shares, times and scores."""
    middle = images.drop(columns=["stages", "insertions"]).groupby(["set", "solver"], sort=False).median()
    methods = ["start", "extended", "sensli"]
    names = {"time_share": "time share", "flops_share": "share of operations"}
    names |= {"seconds_extended": "seconds: extended", "seconds_sensli": "SensLI"}
    yield table(
        ["set", "solver", *names.values()],
        [[*key, *[num(row[name]) for name in names]] for key, row in middle.iterrows()],
        2,
    )
    yield table(
        ["set", "solver", "loss: start", "extended", "SensLI", "accuracy: start", "extended", "SensLI"],
        [
            [
                *key,
                *[num(row[f"loss_{name}"]) for name in methods],
                *[share(row[f"accuracy_{name}"]) for name in methods],
            ]
            for key, row in middle.iterrows()
        ],
        2,
    )


PARTS = {
    "autoencoder": ("Sigmoid autoencoder", "Nine layers, batches of 1000."),
    "sigmoid": ("Sigmoid classifier", "One hidden layer of 100 logistic neurons, batches of 1000."),
    "relu": ("ReLU classifier", "Three hidden layers of 100, batches of 100."),
    "extras": ("Parts of K-FAC", "The sigmoid classifier; the parts are switched on one after the other."),
}


def preconditioning_section():
    cost = read("preconditioning-cost").groupby("method", sort=False)["seconds"].median()
    blocks = []
    for part, (title, text) in PARTS.items():
        blocks += [f"### {title}", text, precondition_table(part)]
    return [
        "## Preconditioning",
        sources({f"preconditioning-{p}": f"python -m benchmarks.preconditioning {p}" for p in (*PARTS, "cost")}),
        words(
            "5000 images of digits. Every method has those settings of its grid with the lowest loss. *Loss* is the "
            "mean over the last epoch, each batch before its step; medians of three seeds. *SGD by then* is the loss "
            "of SGD after as many seconds. *SGD, longer* is SGD for the time of the slowest method, or ten times the "
            "epochs."
        ),
        *blocks,
        "### Cost of a step",
        "Seconds of a step on the autoencoder, medians of three turns of ten steps:",
        table(
            ["method", "seconds", "times SGD's"],
            [[name, num(value), ratio2(value / cost["SGD"])] for name, value in cost.items()],
        ),
    ]


def precondition_table(part):
    frame, rows = chosen(part), []
    for method, row in ends(frame).iterrows():
        settings = [num(row[key]) if row[key] else "" for key in ("rate", "damping")]
        then = "" if method.startswith("SGD") else num(loss_in(frame, "SGD, longer", row["seconds"]))
        rows.append([method, *settings, num(row["iteration"], 4), num(row["loss"]), seconds(row["seconds"]), then])
    return table(["method", "rate", "damping", "steps", "loss", "seconds", "SGD by then"], rows)


def multilevel_section():
    many, five = "mgopt-20-epochs-15-seeds", "mgopt"
    found, full = multilevel_ratios(five), multilevel_ratios(many).query("variant == 'full'")
    by = {blocks: between(here["ratio"], ratio2) for blocks, here in full.groupby("blocks")}
    eight = found[(found["variant"] == "full") & (found["blocks"] == 8)]["ratio"]
    settings = {"index": ("data", "blocks"), "label": "variant"}
    return [
        "## Multilevel training",
        sources(
            {
                many: "python -m benchmarks.mgopt --seeds 15 --blocks 16 32 --only SGD Adam full",
                five: "python -m benchmarks.mgopt",
            }
        ),
        words(
            "Residual networks of 8, 16 and 32 blocks. Training ends at the loss that the better of SGD and Adam, at "
            "tuned rates, reaches in 20 epochs. *Full cycle* is the default: from the coarsest level up, then "
            "V-cycles. *Linear* interpolates blocks, *blind* does not know the target, *term* has the linear term of "
            "MG/Opt, *batch levels* have smaller mini-batches. Seconds are processor time on one thread."
        ),
        words(
            f"Over 15 seeds the full cycle takes {by[32]} of the time of the better single level with 32 blocks and "
            f"{by[16]} with 16. Over five seeds it takes {between(eight, ratio2)} with 8. Its score is "
            f"{between(100 * full['change'], '{:.1f}'.format)} points above the single level's (15 seeds)."
        ),
        "### 15 seeds",
        "Seconds until the target (medians):",
        grid(read(many), "seconds", stat="median", show=seconds, **settings),
        "Test score, accuracy or for concrete R2 (means):",
        grid(read(many), "score", show=share, best="max", **settings),
        "### Five seeds",
        "Seconds until the target (medians):",
        grid(read(five), "seconds", stat="median", show=seconds, **settings),
        "Test score (means):",
        grid(read(five), "score", show=share, best="max", **settings),
    ]


def speed_section():
    gradient, gpu = read("gradient"), read("gpu-cpu-only")
    imports = json.loads((RESULTS / "gradient.environment.json").read_text())["import_seconds"]
    rows = [
        [f"{row.n} x {row.d}, {row.h} neurons", num(row.by_hand), num(row.autograd), ratio2(row.by_hand / row.autograd)]
        for row in gradient.itertuples()
    ]
    work = [
        [f"{row.computation}, {row.dtype}", seconds(row.seconds), num(row.gigaflops), num(row.fraction, 2)]
        for row in gpu.itertuples()
    ]
    return [
        "## One gradient, and imports",
        sources({"gradient": "python -m benchmarks.gradient"}),
        "Seconds of one full gradient, by hand and by PyTorch's automatic differentiation (medians):",
        table(["samples x features", "by hand", "automatic", "ratio"], rows),
        "Seconds of an import in a fresh process. Those of skgrow come on top of sklearn's; none loads PyTorch.",
        table(["module", "seconds"], [[name, num(value)] for name, value in imports.items()]),
        "## Large computations",
        sources({"gpu-cpu-only": "python -m benchmarks.gpu --cpu"}),
        words(
            f"{gpu['n'].iloc[0]} samples of {gpu['d'].iloc[0]} features on a CPU. *Fraction* is the speed relative to "
            "that of the fastest matrix product on the same device."
        ),
        table(["computation", "seconds", "GFlop/s", "fraction"], work),
    ]


SECTIONS = (
    weak_spots,
    regression_section,
    classification_section,
    survey_section,
    wide_section,
    ridge_section,
    deep_section,
    strategies_section,
    insertion_section,
    preconditioning_section,
    multilevel_section,
    speed_section,
)


def main():
    blocks = [INTRODUCTION, *(block for section in SECTIONS for block in section())]
    PAGE.write_text("\n\n".join(blocks) + "\n")
    print(f"{PAGE.name}: {plural(len(SECTIONS), 'section')}")


if __name__ == "__main__":
    main()
