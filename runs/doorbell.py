"""The doorbell: after a commit, a Celery message wakes a worker.

It is coalesced by a flag in Redis: one message is on its way at most, because one message wakes a worker for all
pending runs. Lost or doubled it does no harm: every worker looks at the table by itself, too.
"""

import logging
import threading

import redis
from celery import current_app
from kombu.exceptions import OperationalError

from core.redis import client, key

log = logging.getLogger(__name__)

FLAG = "doorbell"
# After this long (milliseconds) an unanswered bell may be rung again.
UNANSWERED_MS = 1_000


class Doorbell:
    """Rings from a thread of its own: publishing blocks, and no request waits for it."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._started = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        """Wake a worker; returns at once. Call it after the commit."""
        if self._thread is None:
            with self._started:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
                    self._thread.start()
        self._rung.set()

    def _run(self) -> None:
        flags = client()
        while True:
            self._rung.wait()
            self._rung.clear()
            try:
                if flags.set(key(FLAG), 1, nx=True, px=UNANSWERED_MS):
                    current_app.send_task("runs.ring", retry=False, ignore_result=True)
            except (redis.RedisError, OperationalError, OSError) as error:
                log.warning("The doorbell did not ring; workers will find the runs by themselves: %s", error)


doorbell = Doorbell()
