"""What the package says to its users."""

from __future__ import annotations

import os
import sys
import warnings

import joblib
import sklearn

#: Where the lines are that a user has not written.
_PACKAGES = tuple(os.path.dirname(path) + os.sep for path in (__file__, sklearn.__file__, joblib.__file__))


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn at the user's line: the innermost one outside of this package, scikit-learn and joblib."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGES):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
