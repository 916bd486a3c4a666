"""A sum over the last so many seconds, in this process; `runs.worker.traffic.scripts` has the same in Redis."""

from collections import deque

# As fine as a sliding window is kept: what is added stays in it for up to one part of it longer than it should.
PARTS = 60


class Window:
    """What was added within the last `length_s` seconds. The caller's clock is given with each call, in seconds."""

    __slots__ = ("_parts", "_total", "_width")

    def __init__(self, length_s: float):
        self._width = length_s / PARTS
        self._parts: deque[list[int]] = deque()  # [number of the part, amount], oldest first
        self._total = 0

    def add(self, amount: int, now: float) -> None:
        part = int(now / self._width)
        if self._parts and self._parts[-1][0] == part:
            self._parts[-1][1] += amount
        else:
            self._forget(part)
            self._parts.append([part, amount])
        self._total += amount

    def total(self, now: float) -> int:
        self._forget(int(now / self._width))
        return self._total

    def room_in_s(self, allowed: int, now: float) -> float:
        """In how many seconds the sum is below `allowed`, if nothing is added; 0 where it is now."""
        left, free_at = self.total(now), now
        for part, amount in self._parts:
            if left < allowed:
                break
            left -= amount
            free_at = (part + PARTS + 1) * self._width
        return free_at - now

    def clear(self) -> None:
        self._parts.clear()
        self._total = 0

    def _forget(self, part: int) -> None:
        while self._parts and self._parts[0][0] <= part - PARTS - 1:
            self._total -= self._parts.popleft()[1]
