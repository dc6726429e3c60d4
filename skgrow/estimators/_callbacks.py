"""Who hears of a fit: the log, and scikit-learn's callbacks (1.9 and later; below that, nothing happens)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skgrow.networks import Network

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's mixin; there are no callbacks to support."""

    def with_callbacks(method: Callable[..., Any]) -> Callable[..., Any]:
        """Return the method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "Reporter", "with_callbacks"]

_logger = logging.getLogger("skgrow")


class Reporter:
    """Reports the stages of a fit to the log and to the callbacks.

    Parameters
    ----------
    estimator : estimator
        That is fitted.
    data : dict
        The ``X`` and ``y`` that callbacks get.
    attributes : callable
        ``attributes(network)`` returns what a callback's copy of the estimator needs to predict; of None those of the
        fitted estimator.
    """

    def __init__(
        self,
        estimator: Any,
        data: dict[str, Any],
        attributes: Callable[[Network | None], dict[str, Any]],
    ) -> None:
        self.estimator, self.data, self.attributes = estimator, data, attributes
        _enable_logging(estimator.verbose)
        self.context: Any = None
        if hasattr(estimator, "_init_callback_context"):
            self.context = estimator._init_callback_context(max_subtasks=None)
            self.context.call_on_fit_task_begin(estimator=estimator)

    def __call__(self, name: str, row: dict[str, Any], network: Network | None) -> bool:
        """Report a stage; return whether a callback asks to stop. Without a network it is only logged."""
        if self.estimator.verbose:
            _logger.info(
                "%s %s to %s neurons%s: loss %.6g, criterion %.6g (%.2f s)",
                name,
                row["action"],
                "-".join(map(str, row["architecture"])),
                "" if row["accepted"] else " (undone)",
                row["train_loss"],
                row["criterion"],
                row["time"],
            )
        if self.context is None or network is None:
            return False
        stage = self.context.subcontext(task_name="growth stage")
        stage.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        attributes = self.attributes
        return bool(
            stage.call_on_fit_task_end(
                estimator=self.estimator, reconstruction_attributes=lambda: attributes(network), **self.data
            )
        )

    def close(self, reason: str) -> None:
        """Report that the fit has ended, and why training had."""
        if self.estimator.verbose:
            from skgrow.training import STOP_REASONS

            _logger.info("training ended by %s: %s", reason, STOP_REASONS[reason])
        if self.context is not None:
            attributes = self.attributes
            self.context.call_on_fit_task_end(
                estimator=self.estimator, reconstruction_attributes=lambda: attributes(None), **self.data
            )


def _enable_logging(verbose: bool | int) -> None:
    """Show the log of the package, on stderr, if nothing else has been set up."""
    if verbose and not _logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("[skgrow] %(message)s"))
        _logger.addHandler(handler)
        _logger.propagate = False
    if verbose:
        _logger.setLevel(logging.INFO)
