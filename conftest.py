"""Settings of the docstrings' examples: figures are drawn without a screen, and what needs an extra may be skipped."""

import importlib.util
import os

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")


#: Modules whose examples need packages of an extra.
NEEDED = {"skgrow.inspection": ["matplotlib"], "skgrow.estimators._onnx": ["onnxruntime", "skl2onnx"]}


def pytest_collection_modifyitems(items):
    """Skip examples whose packages are not installed."""
    for module, packages in NEEDED.items():
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        for item in items:
            if missing and isinstance(item, pytest.DoctestItem) and item.name.startswith(module):
                item.add_marker(pytest.mark.skip(reason=f"needs {', '.join(missing)}"))
