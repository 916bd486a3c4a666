"""Following a run or a session: every event once, in order, whatever the carrier lost.

1. Subscribe first, so that nothing falls between reading and listening.
2. Read what PostgreSQL has after the position.
3. Pass live events on while each follows its predecessor. One that does not means that some were missed: read
   PostgreSQL again; where it does not have them yet, their step is not committed, so wait for that.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from core.db import Bound, Row
from core.errors import NotFound
from runs.events import START, Event, Position, event_from_row
from runs.live import HungUp, Subscription

# What a reader holds that does not come to pass it on: pages are as long as so many bytes, by the page before.
PAGE_BYTES = 32_768
FIRST_PAGE, LONGEST_PAGE = 10, 500  # events
HEARTBEAT_S = 15.0
UNCOMMITTED_PAUSE_S = 0.2

Committed = Callable[[Position, int], Bound[list[Row]]]
Followed = AsyncGenerator[Event | None, None]


async def follow(subscription: Subscription, committed: Committed, after: Position) -> Followed:
    """Events after `after`, until the process leaves; None at least every 15 seconds of silence, for heartbeats.

    `committed(position, limit)` reads the log; where it raises NotFound, what was followed has been deleted: the end.
    """
    subscription.position = after
    missing = True
    held: Event | None = None
    while True:
        if missing:
            try:
                async with aclosing(_read(subscription, committed)) as rows:
                    async for event in rows:
                        yield event
            except NotFound:
                return
        if held is not None:
            event, held = held, None
        else:
            try:
                upcoming = await subscription.next(HEARTBEAT_S)
            except TimeoutError:
                yield None
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


def _follows(event: Event, position: Position, *, looked: bool) -> bool:
    """Whether the event is the next one. A later run's first is, once PostgreSQL has no more of the run before."""
    number, seq = position
    if event.number == number:
        return event.seq == seq + 1
    return event.seq == 1 and (looked or position == START)


async def _read(subscription: Subscription, committed: Committed) -> AsyncGenerator[Event, None]:
    limit = FIRST_PAGE
    while True:
        rows, size = await committed(subscription.position, limit).arun(), 0
        for row in rows:
            event = event_from_row(row)
            size += len(event.sse)
            subscription.position = event.position
            yield event
        if len(rows) < limit:
            return
        limit = min(LONGEST_PAGE, max(1, PAGE_BYTES * len(rows) // size))
