"""Doorbells: after a commit, a message over Celery's broker wakes a worker.

A bell is coalesced by its own queue: while a message waits there nobody adds another, because whoever takes it looks at
all that was committed before. Lost or doubled it does no harm: what it tells of is in the table, and is looked at now
and then anyway.
"""

import logging
import threading
import time
from collections.abc import Callable

import redis
from celery import current_app
from kombu import Producer
from kombu.exceptions import OperationalError

from core.redis import client

log = logging.getLogger(__name__)


class Doorbell:
    """Rings from a thread of its own: publishing blocks, and no request waits for it.

    `queue` gives the name of the queue that holds the messages, `send` puts one there. `rest_s`: so long after a ring
    there is no other one.
    """

    def __init__(
        self, name: str, queue: Callable[[], str], send: Callable[[Producer], None], *, rest_s: float = 0
    ) -> None:
        self._name, self._queue, self._send, self._rest_s = name, queue, send, rest_s
        self._rung = threading.Event()
        self._started = threading.Lock()
        self._thread: threading.Thread | None = None

    def ring(self) -> None:
        """Wake a worker; returns at once. Call it after the commit."""
        if self._thread is None:
            with self._started:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                    self._thread.start()
        self._rung.set()

    def _run(self) -> None:
        while True:
            self._rung.wait()
            self._rung.clear()
            try:
                if not client().llen(self._queue()):
                    with current_app.producer_pool.acquire(block=True) as producer:
                        self._send(producer)
            except (redis.RedisError, OperationalError, OSError) as error:
                log.warning("The %s did not ring; what waits will be found without it: %s", self._name, error)
            if self._rest_s:
                time.sleep(self._rest_s)
