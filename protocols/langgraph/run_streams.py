"""Streams of runs: of one that is started with it, and of one that is joined."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, aclosing
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from accounts.streams import take_stream
from core.db import Row
from core.errors import Invalid, NotFound
from core.hot import HotRequest, HotStream, Router
from core.ids import new_id
from protocols.langgraph.access import allow
from protocols.langgraph.reading import body_of, flag_of, listed, thread_of, uuid_of
from protocols.langgraph.run_bodies import RUN_MODES, StatelessRun, ThreadRun
from protocols.langgraph.run_documents import NOT_FOUND
from protocols.langgraph.run_rows import get_run
from protocols.langgraph.starting import start
from protocols.langgraph.streaming.frames import frame
from protocols.langgraph.streaming.places import BEGINNING, ERROR, after_event, parse_place
from protocols.langgraph.streaming.reading import about
from protocols.langgraph.streams import run_frames
from protocols.langgraph.waiting import cancel_abandoned

router = Router()
_cancelling: set[asyncio.Task[None]] = set()


@router.route("POST", "/threads/{thread_id}/runs/stream", scope="runs:write")
async def create_and_stream(request: HotRequest) -> HotStream:
    return await _start(request, thread_of(request), body_of(request, ThreadRun))


@router.route("POST", "/runs/stream", scope="runs:write")
async def create_stateless_and_stream(request: HotRequest) -> HotStream:
    return await _start(request, None, body_of(request, StatelessRun))


@router.route("GET", "/threads/{thread_id}/runs/{run_id}/stream", scope="runs:read")
async def join(request: HotRequest) -> HotStream:
    return await _join(request, thread_of(request))


@router.route("GET", "/runs/{run_id}/stream", scope="runs:read")
async def join_stateless(request: HotRequest) -> HotStream:
    return await _join(request, None)


async def _start(request: HotRequest, thread_id: UUID | None, body: StatelessRun) -> HotStream:
    with ExitStack() as held:
        # Before the run: one whose stream is refused is not made.
        held.callback(await take_stream(request.identity))
        started = await start(request, thread_id, body, new_id())
        run = started.run
        of_run = about(run)
        after = BEGINNING
        if started.resumed:
            # It is told from here on, and as this request asks for it.
            resumable = bool(body.stream_resumable)
            of_run = replace(of_run, modes=frozenset(started.modes), resumable=resumable)
            after = after_event((run["number"] or 0, started.after))
        place = f"/runs/{run['id']}" if thread_id is None else f"/threads/{thread_id}/runs/{run['id']}"
        frames = run_frames(request.identity, run, of_run, after=after)
        return _stream(request.identity, run, frames, place, held, cancels=body.on_disconnect == "cancel")


async def _join(request: HotRequest, thread_id: UUID | None) -> HotStream:
    request.only_query("stream_mode", "cancel_on_disconnect")
    run_id = uuid_of(request.params["run_id"], "run ID")
    wanted = _modes(request)
    if cancels := flag_of(request, "cancel_on_disconnect"):
        request.identity.require("runs:write")
    filters = await allow(request, "threads", "read", {"thread_id": thread_id, "run_id": run_id})
    try:
        run = await get_run(request.identity, thread_id, run_id, filters).arun()
    except NotFound:
        return HotStream(_nothing())
    with ExitStack() as held:
        held.callback(await take_stream(request.identity))
        frames = run_frames(
            request.identity,
            run,
            about(run),
            after=parse_place(request.headers.get("last-event-id")),
            modes=wanted or None,
        )
        place = f"/threads/{run['session_id']}/runs/{run_id}"
        return _stream(request.identity, run, frames, place, held, cancels=cancels)


def _modes(request: HotRequest) -> frozenset[str]:
    given = listed(request.query.get("stream_mode"))
    if unknown := [mode for mode in given if mode not in RUN_MODES]:
        raise Invalid.at("query", "stream_mode", message=f"{unknown[0]!r} is not one of {', '.join(RUN_MODES)}.")
    return frozenset(given)


def _stream(
    identity: Identity, run: Row, frames: AsyncIterator[bytes], place: str, held: ExitStack, *, cancels: bool
) -> HotStream:
    if cancels:
        reader = _Reader(frames, partial(cancel_abandoned, identity, run["session_id"], run["id"]))
        held.callback(reader.left)
        frames = reader.frames()
    headers = {"location": f"{place}/stream", "content-location": place}
    return HotStream(frames, headers, held.pop_all().close)


class _Reader:
    """A stream whose run is cancelled where its client does not read it to its end."""

    def __init__(self, frames: Any, cancel: Callable[[], Any]):
        self._frames, self._cancel = frames, cancel
        self._read = False

    async def frames(self) -> AsyncIterator[bytes]:
        async with aclosing(self._frames) as frames:
            async for piece in frames:
                yield piece
        self._read = True

    def left(self) -> None:
        if not self._read:
            task = asyncio.create_task(self._cancel())
            _cancelling.add(task)
            task.add_done_callback(_cancelling.discard)


async def _nothing() -> AsyncIterator[bytes]:
    yield frame(ERROR, "error", NOT_FOUND["__error__"]).sse(None)
