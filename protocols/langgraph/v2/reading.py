"""Reading a thread as protocol v2: each event once, in order, from a place in its log on.

Who gives no `since` hears the thread's latest runs from their beginning: those that go on, and those that have ended
within `RECENT_S`. A client that was cut off, or that comes just after the run that it has started, misses nothing;
JavaScript's gives none when it comes back, and knows by `event_id` what it has. Older runs are told from `since: 0`.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from functools import partial
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from core.db import Bound, Operation, Query, Row, operation
from protocols.langgraph.access import Filters, holds
from protocols.langgraph.streaming.frames import HEARTBEAT_S
from protocols.langgraph.streaming.reading import read_about
from protocols.langgraph.v2.filters import Wanted
from protocols.langgraph.v2.numbering import run_number_of
from protocols.langgraph.v2.translation import Translator
from runs.events import Event, Position, event_from_row
from runs.follow import follow
from runs.live import HungUp, Subscription
from runs.queries import events_of_run, events_of_session

RECENT_S = 120
# A reader may come before the thread that it is to read. Its first run is told of at once.
LOOK_EVERY_S = 1.0
_PAGE = 500

Told = dict[str, Any]


async def events(
    subscription: Subscription, identity: Identity, thread_id: UUID, filters: Filters, wanted: Wanted
) -> AsyncGenerator[Told | None, None]:
    """The events that are wanted, until the subscription to the thread is hung up; None for a heartbeat.

    A thread that is not there yet is waited for. `filters`: what its metadata must hold.
    """
    with suppress(HungUp):
        while (first := await _first_run(identity, thread_id, filters).arun()) is None:
            with suppress(TimeoutError):
                await subscription.next(LOOK_EVERY_S)
            yield None
        since = -1 if wanted.since is None else wanted.since
        position: Position = (first if wanted.since is None else run_number_of(since), 0)
        log = partial(_log, thread_id)
        async with aclosing(follow(subscription, log, position, heartbeat_s=HEARTBEAT_S)) as followed:
            async for told in _translated(followed):
                if told is None or (told["seq"] > since and wanted.wants(told)):
                    yield told


async def _translated(followed: AsyncIterator[Event | None]) -> AsyncIterator[Told | None]:
    """All events, and None at least every `HEARTBEAT_S` seconds: a reader may want none of them."""
    translator: Translator | None = None
    beat = time.monotonic()
    async for event in followed:
        if event is None or time.monotonic() - beat > HEARTBEAT_S:
            beat = time.monotonic()
            yield None
        if event is None:
            continue
        # One run after the other: nothing of a run comes after the beginning of the next.
        if translator is None or translator.run_id != event.run_id:
            translator = await translator_of(event.run_id)
        for told in await translator.feed(event):
            yield told


def _log(thread_id: UUID, after: Position, limit: int) -> Bound[list[Row]]:
    return events_of_session(thread_id, *after, limit)


async def translator_of(run_id: str) -> Translator:
    """A translator for the run's log, at its beginning."""
    return Translator(run_id, await read_about(UUID(run_id)).arun())


async def tree_of(run_id: UUID) -> Told:
    """A run and its subgraphs, as `agent.getTree` shows them."""
    translator, after = await translator_of(str(run_id)), 0
    while rows := await events_of_run(run_id, after, _PAGE).arun():
        for row in rows:
            await translator.feed(event_from_row(row))
        after = rows[-1]["seq"]
    return translator.subgraphs.tree(translator.status, translator.about.graph_id)


@operation()
def _first_run(identity: Identity, thread_id: UUID, filters: Filters) -> Operation[int | None]:
    """The number of the first run that a reader without `since` hears, 0 before the first run of all; None where the
    caller may see no such thread."""
    condition, parameters = holds("s.metadata", filters)
    rows = yield Query(
        f"""
        SELECT coalesce(
            (SELECT min(number) FROM runs WHERE session_id = s.id AND number IS NOT NULL AND
                (finished_at IS NULL OR finished_at > clock_timestamp() - make_interval(secs => %(recent)s))),
            (SELECT max(number) FROM runs WHERE session_id = s.id), 0) AS first
        FROM sessions s WHERE s.id = %(thread)s AND s.parent_id IS NULL AND {visible("s")} AND {condition}
        """,  # noqa: S608 - constants
        {"thread": thread_id, "recent": RECENT_S, **parameters_of(identity), **parameters},
    )
    return rows[0]["first"] if rows else None
