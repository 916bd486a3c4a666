"""Counts of one process, forgotten by themselves: for what must go on without Redis, or is not worth a trip to it."""

import ipaddress
import math
import threading
import time

SIZE = 10_000


class Counts:
    """Counts by name. Threads and the event loop may share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, float]] = {}

    def add(self, name: str, window_s: float) -> tuple[int, int]:
        """Count one more; gives the count, and the whole seconds until it is forgotten.

        That is `window_s` after the first.
        """
        now = time.monotonic()
        with self._lock:
            count, end = self._counts.get(name, (0, 0.0))
            if end <= now:
                count, end = 0, now + window_s
                self._make_room(now)
            self._counts[name] = (count + 1, end)
        return count + 1, max(1, math.ceil(end - now))

    def take_back(self, name: str) -> None:
        """Count one less."""
        with self._lock:
            if name in self._counts:
                count, end = self._counts[name]
                self._counts[name] = (count - 1, end)

    def forget(self, name: str) -> None:
        with self._lock:
            self._counts.pop(name, None)

    def clear(self) -> None:
        with self._lock:
            self._counts.clear()

    def _make_room(self, now: float) -> None:
        if len(self._counts) >= SIZE:
            self._counts = {name: entry for name, entry in self._counts.items() if entry[1] > now}
        if len(self._counts) >= SIZE:
            del self._counts[next(iter(self._counts))]


def neighbourhood(address: str) -> str:
    """Whom an address stands for: itself, and in IPv6 the /64 that one customer has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address  # a Unix socket has none
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed.ipv4_mapped or parsed) if parsed.version == 6 else address


# Credentials that were wrong, by where they came from. Nobody guesses a key of 160 random bits: the bound is on what
# wrong ones cost, and leaves room for a script that has an old one.
WRONG_CREDENTIALS = Counts()
WRONG_A_MINUTE = 600


def one_more_wrong(address: str) -> int:
    """Note a wrong credential; gives the seconds to wait when it is one too many, 0 while it is not.

    Those with a right one are not concerned: nobody asks before the credential was found wrong.
    """
    count, left = WRONG_CREDENTIALS.add(neighbourhood(address), 60.0)
    return left if count > WRONG_A_MINUTE else 0
