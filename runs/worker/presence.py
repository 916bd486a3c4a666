"""A worker's sign of life: a row with a lease, and an advisory lock that PostgreSQL frees when the process dies.

Both live on one connection of their own, on a thread of their own, so that neither a busy event loop nor a blocking
tool can starve them. The lock is free milliseconds after a kill -9; the lease covers what the lock cannot see (a
partition, a stopped process, a pooler that hides the session).
"""

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg
from django.conf import settings
from psycopg.rows import dict_row

from core.db import Row
from core.ids import new_id
from runs.pools import COMMON, Pool

log = logging.getLogger(__name__)

BEAT_S = 1.0
ASSURED_POLL_S = 0.05

_REGISTER = """
INSERT INTO workers (id, host, pid, lock_key, slots, types, labels, state, lease_expires_at)
VALUES (%(id)s, %(host)s, %(pid)s, %(lock_key)s, %(slots)s, %(types)s, %(labels)s, 'active',
    clock_timestamp() + make_interval(secs => %(lease_s)s))
"""

# A worker that was declared lost stays lost: its runs belong to others now.
_BEAT = """
UPDATE workers SET heartbeat_at = clock_timestamp(), used = %(used)s, state = %(state)s,
    lease_expires_at = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE id = %(id)s AND state <> 'lost' RETURNING clock_timestamp() AS now
"""

# The row of one that leaves runs behind stays: its lock is free, so others rescue them.
_LEAVE = """
DELETE FROM workers WHERE id = %(id)s AND state <> 'lost'
    AND NOT EXISTS (SELECT FROM runs WHERE lease_owner = %(id)s AND status = 'running')
"""


@dataclass
class Presence:
    """Registers this process as a worker and keeps it alive until `stop()`.

    `on_beat` hears the database's time, and the monotonic clock's at that moment, with each heartbeat; `on_lost` is
    called once when others have declared this worker lost. Both are called from the heartbeat's thread.
    """

    slots: int
    on_beat: Callable[[datetime, float], None]
    on_lost: Callable[[], None]
    pool: Pool = COMMON
    id: UUID = field(default_factory=new_id)
    used: int = 0
    draining: bool = False

    def __post_init__(self) -> None:
        # 62 bits: the two halves that pg_locks shows both fit its unsigned columns, and the sum a bigint.
        self._lock_key = secrets.randbits(62)
        self._assured_until = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Register, then beat. Raises psycopg.Error where the database does not answer."""
        conn = self._connect()
        conn.execute(
            _REGISTER,
            {
                "id": self.id,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "lock_key": self._lock_key,
                "slots": self.slots,
                "lease_s": settings.RUNNER_LEASE_S,
                **self.pool.parameters,
            },
        )
        self._conn = conn
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """Take the worker off the list; its lock is freed with the connection."""
        self._stopped.set()
        self._thread.join(timeout=5)

    async def assured(self) -> None:
        """Wait until the lease is known to hold.

        A process that stood still for longer than its lease has been declared lost, and is told so by its next beat
        only: until then it must not begin anything.
        """
        while time.monotonic() > self._assured_until:  # noqa: ASYNC110 - set by the heartbeat's thread
            await asyncio.sleep(ASSURED_POLL_S)

    def _connect(self) -> psycopg.Connection[Row]:
        conn = psycopg.connect(settings.DATABASE_DIRECT_URL, autocommit=True, row_factory=dict_row, connect_timeout=5)
        # A heartbeat that a crash of PostgreSQL forgets is followed by another within a second.
        conn.execute("SET synchronous_commit = off")
        conn.execute("SELECT pg_advisory_lock(%(key)s)", {"key": self._lock_key})
        return conn

    def _run(self) -> None:
        while not self._stopped.wait(BEAT_S):
            try:
                if self._conn.closed:
                    self._conn = self._connect()
                if not self._beat():
                    self.on_lost()
                    break
            except psycopg.OperationalError as error:
                log.warning("The heartbeat does not reach PostgreSQL: %s", error)
                self._conn.close()
        self._leave()

    def _beat(self) -> bool:
        asked = time.monotonic()
        rows = self._conn.execute(
            _BEAT,
            {
                "id": self.id,
                "used": self.used,
                "state": "draining" if self.draining else "active",
                "lease_s": settings.RUNNER_LEASE_S,
            },
        ).fetchall()
        if rows:
            self._assured_until = asked + settings.RUNNER_LEASE_S
            self.on_beat(rows[0]["now"], time.monotonic())
        return bool(rows)

    def _leave(self) -> None:
        try:
            self._conn.execute(_LEAVE, {"id": self.id})
        except psycopg.OperationalError:
            log.warning("The worker could not sign off; its lease will run out.")
        self._conn.close()
