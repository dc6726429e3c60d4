"""scikit-learn's callbacks (1.9 and later); below that, nothing happens."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's mixin; there are no callbacks to support."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method as it is."""
        return method


logger = logging.getLogger("skgrow")


def open_task(estimator: Any, max_subtasks: int | None) -> Any:
    """Return the context of a fit whose subtasks are growth stages, or None where there are no callbacks."""
    if hasattr(estimator, "_init_callback_context"):
        context = estimator._init_callback_context(max_subtasks=max_subtasks)
        context.call_on_fit_task_begin(estimator=estimator)
        return context
    return None


def report_stage(context: Any, estimator: Any, data: dict[str, Any], attributes: Callable[[], dict[str, Any]]) -> bool:
    """Tell the callbacks that one growth stage has ended; return whether one of them asks to stop."""
    if context is None:
        return False
    stage = context.subcontext(task_name="growth stage")
    stage.call_on_fit_task_begin(estimator=estimator, **data)
    return bool(stage.call_on_fit_task_end(estimator=estimator, reconstruction_attributes=attributes, **data))


def close_task(context: Any, estimator: Any, data: dict[str, Any], attributes: Callable[[], dict[str, Any]]) -> None:
    """Tell the callbacks that fit has ended."""
    if context is not None:
        context.call_on_fit_task_end(estimator=estimator, reconstruction_attributes=attributes, **data)


def enable_logging(verbose: bool | int) -> None:
    """Show the log of the package, on stderr, where nothing else has been set up."""
    if verbose and not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("[skgrow] %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False
    if verbose:
        logger.setLevel(logging.INFO)
