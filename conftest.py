"""Settings of the docstrings' examples: figures are drawn without a screen, and skipped without matplotlib."""

import importlib.util
import os

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_collection_modifyitems(items):
    """Skip what draws where matplotlib is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        for item in items:
            if isinstance(item, pytest.DoctestItem) and item.name.startswith("skgrow.inspection"):
                item.add_marker(pytest.mark.skip(reason="needs matplotlib"))
