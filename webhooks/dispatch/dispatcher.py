"""The dispatcher: an event loop that sends what is due, many at a time, and ends when nothing is.

Each attempt is a task of its own, with nothing open in PostgreSQL while it talks to the receiver. All of them share one
connection for their few short transactions.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from django.conf import settings
from psycopg.rows import dict_row

from core.db import After, Bound, Row, T, configure
from core.ids import new_id
from runtime.configuration import current
from webhooks.dispatch.claim import claim, release
from webhooks.dispatch.exchange import Exchange, post
from webhooks.dispatch.prepare import NotReady, Request, prepare
from webhooks.dispatch.record import Attempted, cancel, record
from webhooks.dispatch.verdict import verdict

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """`places`: attempts at a time; `share`: of these to one destination. Seconds: `timeout_s` for an attempt,
    `lease_s` until a delivery of a dead process is due again, `look_s` between looks while attempts are under way,
    `leave_s` that a worker which leaves waits for them."""

    places: int = 64
    share: int = 4
    timeout_s: float = 15.0
    lease_s: float = 60.0
    look_s: float = 1.0
    leave_s: float = 5.0


BOUNDS = Bounds()
# Attempts that end within so long make room for one claim and not each for one.
TOGETHER_S = 0.01
# Of its connection, as PostgreSQL lists it.
NAME = "webhooks"


def never() -> bool:
    """For those who stay."""
    return False


class Dispatcher:
    """Sends once: make one for each time. `leaving` says when the process is to end."""

    def __init__(self, bounds: Bounds = BOUNDS, leaving: Callable[[], bool] = never):
        self.id = new_id()
        # Somebody rang since the last look.
        self.rung = False
        self._bounds = bounds
        self._leaving = leaving
        self._attempts: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._outage: psycopg.OperationalError | None = None

    def wake(self) -> None:
        """Look again; may be called from any thread."""
        self.rung = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    async def run(self) -> None:
        """Send until nothing is due and nothing is under way. Raises `psycopg.OperationalError` in an outage."""
        self._news = asyncio.Event()
        self._loop = loop = asyncio.get_running_loop()
        # Names are resolved in threads: one that takes its time must not keep the others' waiting.
        names = ThreadPoolExecutor(self._bounds.places, "webhook")
        loop.set_default_executor(names)
        try:
            async with await _connect() as self._conn:
                self._sql = asyncio.Lock()
                await self._send_all()
        finally:
            names.shutdown(wait=False)
            # The loop's end waits for its threads, and nobody waits for names that are not asked for any more.
            loop.set_default_executor(ThreadPoolExecutor(1))

    async def _send_all(self) -> None:
        try:
            while not self._leaving():
                self._news.clear()
                self.rung = False
                claimed = await self._claim()
                if not claimed and not self._attempts:
                    return
                await self._wait(self._bounds.look_s)
                await asyncio.sleep(TOGETHER_S)
            await self._wait_for_all(self._bounds.leave_s)
        finally:
            left = list(self._attempts)
            for attempt in left:
                attempt.cancel()
            await asyncio.gather(*left, return_exceptions=True)
        if left:
            await self._carry_out(release(self.id))

    async def _claim(self) -> int:
        places = self._bounds.places - len(self._attempts)
        if places <= 0:
            return 0
        async with self._sql:
            rows = await claim(self._conn, self.id, places, share=self._bounds.share, lease_s=self._bounds.lease_s)
        for row in rows:
            self._attempts.add(asyncio.create_task(self._deliver(row)))
        return len(rows)

    async def _wait(self, timeout_s: float) -> None:
        """Until an attempt has ended, somebody rings, or for so long."""
        news = asyncio.create_task(self._news.wait())
        done, _ = await asyncio.wait({*self._attempts, news}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        news.cancel()
        self._attempts -= done
        if self._outage is not None:
            raise self._outage

    async def _wait_for_all(self, timeout_s: float) -> None:
        if self._attempts:
            _, self._attempts = await asyncio.wait(self._attempts, timeout=timeout_s)

    async def _deliver(self, row: Row) -> None:
        try:
            if row["orphaned"]:
                await self._carry_out(cancel(row["id"], self.id))
            elif not await self._carry_out(await self._attempt(row)):
                log.warning("Delivery %s was another's by the time its attempt ended.", row["id"])
        except psycopg.OperationalError as outage:
            self._outage = outage
        except Exception:
            # The edge: the others go on, and this one is due again after its lease.
            log.exception("Delivery %s was not attempted.", row["id"])

    async def _attempt(self, row: Row) -> Bound[bool]:
        """Send it; gives what is to be kept of that."""
        began = time.monotonic()
        started_at: datetime = row["claimed_at"]  # PostgreSQL's clock
        request = Request()
        try:
            request = await self._prepared(row, started_at)
            guard, timeout_s = current().guard, self._bounds.timeout_s
            exchange = await post(guard, row["url"], request.headers, request.body, timeout_s=timeout_s)
        except NotReady as fault:
            exchange = Exchange(error=str(fault))
        exchange = request.clean(exchange)
        delays_s = row["retry_delays_s"]
        follows = verdict(
            exchange,
            attempts=row["attempt_count"] + 1,
            most=row["max_attempts"],
            delays_s=settings.WEBHOOK_RETRY_DELAYS_S if delays_s is None else delays_s,
            chance=random.random(),  # noqa: S311 - it spreads retries
            now=started_at + timedelta(seconds=time.monotonic() - began),
        )
        return record(Attempted(row, self.id, started_at, request.shown, exchange), follows)

    async def _prepared(self, row: Row, at: datetime) -> Request:
        async with self._sql:
            return await prepare(row, at).on(self._conn, [])

    async def _carry_out(self, write: Bound[T]) -> T:
        after: list[After] = []
        async with self._sql, self._conn.transaction():
            written = await write.on(self._conn, after)
        for last in after:
            last.do()
        return written


async def _connect() -> psycopg.AsyncConnection[Row]:
    conn = await psycopg.AsyncConnection.connect(
        settings.DATABASE_URL, autocommit=True, row_factory=dict_row, prepare_threshold=2, application_name=NAME
    )
    await configure(conn)
    # What a crash of PostgreSQL forgets is due again: nobody waits for the disk three times for each delivery.
    await conn.execute("SET synchronous_commit = off")
    return conn
