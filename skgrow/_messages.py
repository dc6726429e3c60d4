"""What the package says to its users."""

from __future__ import annotations

import os
import reprlib
import sys
import warnings
from typing import Any

import joblib
import sklearn

#: Where the lines are that a user has not written.
_PACKAGES = tuple(os.path.dirname(path) + os.sep for path in (__file__, sklearn.__file__, joblib.__file__))

#: Characters of an error message at most, of which these are its end.
_LONGEST, _END = 2000, 500


def shown(value: Any) -> str:
    """Return a value as an error message shows it: long ones shortened."""
    short = reprlib.Repr()
    short.maxlist, short.maxother = 10, 200
    return short.repr(value.tolist() if hasattr(value, "tolist") else value)


def shorten(error: BaseException) -> None:
    """Leave out the middle of a message that shows a value of any length."""
    text = error.args[0] if error.args else None
    if isinstance(text, str) and len(text) > _LONGEST:
        error.args = (f"{text[: _LONGEST - _END]} ... {text[-_END:]}", *error.args[1:])


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the user's line: the innermost one outside of this package, scikit-learn and joblib."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGES):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
