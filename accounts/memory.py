"""What a process remembers of its callers for a moment, so that one who asks often costs no query each time."""

import time
from typing import Generic, TypeVar

T = TypeVar("T")

# In other processes than the revoking one, a revoked key is refused this much later at most. For that the hot
# routes save a query per request.
MEMORY_S = 2.0
MEMORY_SIZE = 10_000


class ShortMemory(Generic[T]):
    """Remembers for `MEMORY_S`."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, T]] = {}

    def get(self, name: str) -> T | None:
        entry = self._known.get(name)
        return entry[1] if entry and time.monotonic() < entry[0] else None

    def put(self, name: str, value: T, at_most_s: float = MEMORY_S) -> None:
        if len(self._known) >= MEMORY_SIZE:
            self.clear()
        self._known[name] = (time.monotonic() + min(at_most_s, MEMORY_S), value)

    def forget(self, name: str) -> None:
        self._known.pop(name, None)

    def clear(self) -> None:
        self._known.clear()
