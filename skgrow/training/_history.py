"""What happened during training, one row per event."""

from __future__ import annotations

from typing import Any


class History(list[dict[str, Any]]):
    """A list of rows (dicts of numbers, strings and tuples); ``pandas.DataFrame(history)`` shows it as a table."""

    def column(self, name: str) -> list[Any]:
        """Return one entry of every row."""
        return [row[name] for row in self]
