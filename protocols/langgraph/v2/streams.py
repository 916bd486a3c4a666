"""`POST /threads/{id}/stream/events`: a thread's events as server-sent ones, until the client leaves."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import orjson

from accounts.streams import take_stream
from accounts.watch import WATCH
from core.hot import HotRequest, HotStream, Router
from protocols.langgraph.access import allow
from protocols.langgraph.reading import thread_of
from protocols.langgraph.streaming.frames import HEARTBEAT
from protocols.langgraph.v2.filters import wanted
from protocols.langgraph.v2.reading import Told, events
from runs.live import hub

router = Router()


@router.route("POST", "/threads/{thread_id}/stream/events", scope="runs:read")
async def stream_events(request: HotRequest) -> HotStream:
    request.only_query()
    thread_id = thread_of(request)
    body = wanted(request.json())
    filters = await allow(request, "threads", "read", {"thread_id": thread_id})
    with ExitStack() as held:
        held.callback(await take_stream(request.identity))
        subscription = held.enter_context(hub().subscribe(str(thread_id)))
        held.enter_context(WATCH.over(request.identity, subscription.hang_up))
        frames = _frames(events(subscription, request.identity, thread_id, filters, body))
        return HotStream(frames, ended=held.pop_all().close)


async def _frames(told: AsyncIterator[Told | None]) -> AsyncIterator[bytes]:
    async for event in told:
        yield HEARTBEAT if event is None else frame(event)


def frame(event: dict[str, Any]) -> bytes:
    """The event as LangGraph's server writes it: lines end in CRLF, and the id comes last."""
    return b"event: %s\r\ndata: %s\r\nid: %d\r\n\r\n" % (event["method"].encode(), orjson.dumps(event), event["seq"])
