"""PostgreSQL's time in a worker, without asking for it at every event."""

import time
from datetime import UTC, datetime, timedelta

from core.clock import isoformat


class DatabaseClock:
    """The database's clock as of the last heartbeat, carried on by this process's monotonic one."""

    def __init__(self) -> None:
        # One tuple, so that the heartbeat's thread may set what the loop reads.
        self._known = (datetime.now(UTC), time.monotonic())

    def set(self, moment: datetime, at: float) -> None:
        """It was `moment` in the database when `time.monotonic()` was `at`."""
        self._known = (moment, at)

    def at_least(self, moment: datetime) -> None:
        """It is `moment` or later: no event of a run is told to be older than the run's claim."""
        known, at = self._known
        if moment > known + timedelta(seconds=time.monotonic() - at):
            self.set(moment, time.monotonic())

    def now(self, *, after_s: float = 0.0) -> str:
        """The moment, or the one `after_s` seconds later, in the API's form."""
        moment, at = self._known
        return isoformat(moment + timedelta(seconds=time.monotonic() - at + after_s))
