"""Reading a thread as protocol v2: each event once, in order, from a place in its log on.

Who gives no `since` hears the thread's latest runs from their beginning: those that go on, and those that have ended
within `RECENT_S`. A client that was cut off, or that comes just after the run that it has started, misses nothing;
JavaScript's gives none when it comes back, and knows by `event_id` what it has. Older runs are told from `since: 0`.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from core.db import Operation, Query, Row, operation
from protocols.langgraph.access import Filters, holds
from protocols.langgraph.messages import langchain_messages
from protocols.langgraph.v2.filters import Wanted
from protocols.langgraph.v2.native import NativeRun
from protocols.langgraph.v2.numbering import run_number_of
from protocols.langgraph.v2.translation import About, Translator
from runs.events import Position, event_from_row
from runs.follow import follow
from runs.live import HungUp, Subscription
from runs.queries import events_of_run, events_of_session

RECENT_S = 120
HEARTBEAT_S = 5.0
# A reader may come before the thread that it is to read. Its first run is told of at once.
LOOK_EVERY_S = 1.0
_PAGE = 500
GRAPH = "Graph"

Told = dict[str, Any]


async def events(
    subscription: Subscription, identity: Identity, thread_id: UUID, filters: Filters, wanted: Wanted
) -> AsyncIterator[Told | None]:
    """The events that are wanted, until the subscription to the thread is hung up; None for a heartbeat.

    A thread that is not there yet is waited for. `filters`: what its metadata must hold.
    """
    async with aclosing(_heard(subscription, identity, thread_id, filters, wanted)) as heard:
        async for event in _with_heartbeats(heard):
            yield event


async def _heard(
    subscription: Subscription, identity: Identity, thread_id: UUID, filters: Filters, wanted: Wanted
) -> AsyncGenerator[Told | None, None]:
    with suppress(HungUp):
        while (first := await _first_run(identity, thread_id, filters).arun()) is None:
            with suppress(TimeoutError):
                await subscription.next(LOOK_EVERY_S)
            yield None
        since = -1 if wanted.since is None else wanted.since
        position: Position = (first if wanted.since is None else run_number_of(since), 0)
        translator: Translator | None = None
        followed = follow(subscription, lambda after, limit: events_of_session(thread_id, *after, limit), position)
        async with aclosing(followed) as log:
            async for event in log:
                if event is None:
                    continue
                # One run after the other: nothing of a run comes after the beginning of the next.
                if translator is None or translator.run_id != event.run_id:
                    translator = await translator_of(event.run_id)
                for told in translator.feed(event):
                    if told["seq"] > since and wanted.wants(told):
                        yield told


async def _with_heartbeats(heard: AsyncGenerator[Told | None, None]) -> AsyncIterator[Told | None]:
    """The same, and None at least every `HEARTBEAT_S` seconds of silence."""
    coming: asyncio.Task[Told | None] | None = None
    try:
        while True:
            if coming is None:
                coming = asyncio.ensure_future(anext(heard))
            await asyncio.wait([coming], timeout=HEARTBEAT_S)
            if not coming.done():
                yield None
                continue
            done, coming = coming, None
            try:
                event = done.result()
            except StopAsyncIteration:
                return
            if event is not None:
                yield event
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait([coming])


async def translator_of(run_id: str) -> Translator:
    """A translator for the run's log, at its beginning."""
    about = await _about(UUID(run_id)).arun()
    if about is None:
        return Translator(run_id, About("", hosted=False), NativeRun({}))
    hosted = about["type"] == GRAPH
    values = {} if hosted else {"messages": langchain_messages(await _said_before(UUID(run_id)).arun())}
    return Translator(run_id, About(about["graph_id"] or about["type"], hosted), NativeRun(values))


async def tree_of(run_id: UUID) -> Told:
    """A run and its subgraphs, as `agent.getTree` shows them."""
    translator, after = await translator_of(str(run_id)), 0
    while rows := await events_of_run(run_id, after, _PAGE).arun():
        for row in rows:
            translator.feed(event_from_row(row))
        after = rows[-1]["seq"]
    return translator.subgraphs.tree(translator.status, translator.about.graph_name)


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
        FROM sessions s WHERE s.id = %(thread)s AND {visible("s")} AND {condition}
        """,  # noqa: S608 - constants
        {"thread": thread_id, "recent": RECENT_S, **parameters_of(identity), **parameters},
    )
    return rows[0]["first"] if rows else None


@operation()
def _about(run_id: UUID) -> Operation[Row | None]:
    rows = yield Query(
        "SELECT a.type, a.graph_id FROM runs r JOIN assistants a ON a.id = r.assistant_id WHERE r.id = %(run)s",
        {"run": run_id},
    )
    return rows[0] if rows else None


@operation()
def _said_before(run_id: UUID) -> Operation[list[Row]]:
    """The messages of the run's session before its own, as far as the session still holds to them."""
    return (
        yield Query(
            "SELECT m.* FROM runs r JOIN sessions s ON s.id = r.session_id JOIN messages m ON m.session_id = s.id "
            "WHERE r.id = %(run)s AND m.dropped_at_step IS NULL "
            "AND m.seq <= coalesce(r.message_start, s.message_count) ORDER BY m.seq",
            {"run": run_id},
        )
    )
