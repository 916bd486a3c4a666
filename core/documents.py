"""Values of rows as the API's documents hold them."""

from typing import Any

from core.clock import isoformat


def moment(value: Any) -> str | None:
    """A moment in the API's form; text is in that form already, and what is not known stays None."""
    return value if value is None or isinstance(value, str) else isoformat(value)


def text(value: Any) -> str | None:
    """An id as text; what is not known stays None."""
    return None if value is None else str(value)
