"""The doorbell: after a commit, a message over Celery's broker wakes a worker.

It is coalesced by its own queue: while a message waits there nobody adds another, because the worker that takes it
claims all that was committed before. Lost or doubled it does no harm: every worker looks at the table by itself, too.
"""

import logging
import threading

import redis
from celery import current_app
from kombu import Queue
from kombu.exceptions import OperationalError

from core.redis import client, key

log = logging.getLogger(__name__)


def queue() -> Queue:
    """Where the bell rings; every worker listens, one hears."""
    return Queue(key("doorbell"), durable=False)


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
        name = queue().name
        while True:
            self._rung.wait()
            self._rung.clear()
            try:
                if not client().llen(name):
                    with current_app.producer_pool.acquire(block=True) as producer:
                        producer.publish({}, routing_key=name, retry=False)
            except (redis.RedisError, OperationalError, OSError) as error:
                log.warning("The doorbell did not ring; workers will find the runs by themselves: %s", error)


doorbell = Doorbell()
