"""What the benchmarks share: the environment, CSV files, tables and bars."""

import csv
import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def environment(**more):
    """Return what the figures depend on."""
    packages = ("numpy", "scipy", "scikit-learn", "torch", "skgrow")
    return {
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "machine": platform.machine(),
        "system": platform.system(),
        "cpus": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        **more,
    }


def write(name, rows, **more):
    """Write rows (dicts with the same keys) to a CSV file, and the environment beside it."""
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    write_environment(name, **more)


def append(name, rows):
    """Add rows to a CSV file, which may not be there yet; at its beginning also write the environment."""
    RESULTS.mkdir(exist_ok=True)
    if not rows:
        return
    path = RESULTS / f"{name}.csv"
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        if is_new:
            writer.writeheader()
        writer.writerows(rows)
    if is_new:
        write_environment(name)


def read(name):
    """Return the rows of a CSV file as dicts of strings; none if it is not there."""
    path = RESULTS / f"{name}.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_environment(name, **more):
    """Write what the figures depend on beside a CSV file."""
    text = json.dumps(environment(**more), indent=2)
    (RESULTS / f"{name}.environment.json").write_text(text + "\n")


def table(header, rows):
    """Print rows of strings under a header, the first column to the left and the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, ["-" * width for width in widths], *rows]:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def bars(found):
    """Print required and aimed-at bars.

    Parameters
    ----------
    found : list of (str, float or None, float)
        What is measured, the value (None: not run), and the largest allowed.
    """
    rows = []
    for name, value, allowed in found:
        if value is None:
            rows.append([name, "", f"{allowed:.3g}", "not run"])
        else:
            rows.append([name, f"{value:.3g}", f"{allowed:.3g}", "met" if value <= allowed else "MISSED"])
    table(["bar", "value", "allowed", ""], rows)
