"""Following a run or a session: every event once, in order, whatever the carrier lost.

1. Subscribe first, so that nothing falls between reading and listening.
2. Read what PostgreSQL has after the position.
3. Pass live events on while each follows its predecessor. One that does not means that some were missed: read
   PostgreSQL again; where it does not have them yet, their step is not committed, so wait for that.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import psycopg
from psycopg_pool import PoolTimeout

from core.db import Bound, Row
from core.errors import NotFound
from runs.events import START, Event, Position, event_from_row
from runs.live import HungUp, Subscription

# What a reader holds that does not come to pass it on: pages are as long as so many bytes, by the page before.
PAGE_BYTES = 32_768
FIRST_PAGE, LONGEST_PAGE = 10, 500  # events
HEARTBEAT_S = 15.0
UNCOMMITTED_PAUSE_S = 0.2
OUTAGE_PAUSE_S = 1.0
# So many read the log at once; the others wait for their turn and not for a connection, which they would not for long:
# after an outage of the carrier all streams of a process read at the same moment, and requests want connections too.
READERS = 8
_turns = asyncio.Semaphore(READERS)

Committed = Callable[[Position, int], Bound[list[Row]]]
Followed = AsyncGenerator[Event | None, None]


class Together:
    """Bytes for a client that are sent at once: each sending costs more than what it sends."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._size = 0

    def add(self, piece: bytes, *, more: bool) -> bytes:
        """Everything so far with this, or nothing where there is `more` to come without waiting, up to a page."""
        self._held.append(piece)
        self._size += len(piece)
        return b"" if more and self._size < PAGE_BYTES else self.all()

    def all(self, piece: bytes = b"") -> bytes:
        """Everything so far, and this."""
        held, self._held, self._size = self._held, [], 0
        return b"".join([*held, piece])


async def follow(
    subscription: Subscription, committed: Committed, after: Position, *, heartbeat_s: float | None = None
) -> Followed:
    """Events after `after`, until the process leaves; None at least every `heartbeat_s` seconds of silence (15).

    `committed(position, limit)` reads the log; where it raises NotFound, what was followed has been deleted: the end.
    While PostgreSQL does not answer, it is waited for.
    """
    subscription.position = after
    missing = True
    held: Event | None = None
    while True:
        if missing:
            try:
                async with aclosing(_catch_up(subscription, committed)) as events:
                    async for read in events:
                        yield read
            except NotFound:
                return
        if held is not None:
            event, held = held, None
        else:
            try:
                upcoming = await subscription.next(HEARTBEAT_S if heartbeat_s is None else heartbeat_s)
            except TimeoutError:
                yield None
                missing = False
                continue
            except HungUp:
                return
            missing = upcoming is None
            if upcoming is None:
                continue
            event = upcoming
        if event.position <= subscription.position:
            missing = False
            continue
        if _follows(event, subscription.position, looked=missing):
            missing = False
            subscription.position = event.position
            yield event
            continue
        if missing:
            await asyncio.sleep(UNCOMMITTED_PAUSE_S)
        held, missing = event, True


async def _catch_up(subscription: Subscription, committed: Committed) -> Followed:
    """What the log has after the subscription's position, page by page; None while it cannot be read.

    Raises NotFound for a run that is not, or is no longer, the caller's.
    """
    limit = FIRST_PAGE
    while True:
        try:
            rows = await _read(committed(subscription.position, limit))
        except TimeoutError:
            yield None
            continue
        except (psycopg.OperationalError, PoolTimeout):
            yield None
            await asyncio.sleep(OUTAGE_PAUSE_S)
            continue
        size = 0
        for row in rows:
            event = event_from_row(row)
            size += len(event.sse)
            subscription.position = event.position
            yield event
        if len(rows) < limit:
            return
        limit = min(LONGEST_PAGE, max(1, PAGE_BYTES * limit // size))


async def _read(page: Bound[list[Row]]) -> list[Row]:
    """A page of the log, when it is this reader's turn. Raises TimeoutError where that takes too long."""
    async with asyncio.timeout(HEARTBEAT_S):
        await _turns.acquire()
    try:
        return await page.arun()
    finally:
        _turns.release()


def _follows(event: Event, position: Position, *, looked: bool) -> bool:
    """Whether the event is the next one. A later run's first is, once PostgreSQL has no more of the run before."""
    number, seq = position
    if event.number == number:
        return event.seq == seq + 1
    return event.seq == 1 and (looked or position == START)
