"""The async routes of runs: create, wait, join, stream, read."""

import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from functools import partial
from uuid import UUID

from accounts.idempotency import REPLAYED, Replayed, once
from accounts.identity import Identity
from accounts.streams import take_stream
from accounts.watch import WATCH
from core.db import Bound, Row
from core.errors import Invalid
from core.hot import HotRequest, HotResponse, HotStream, Router
from core.ids import new_id
from core.mount import address
from core.validation import validate
from runs.accepting import create_run, create_stateless_run
from runs.announce import tell_accepted
from runs.bodies import CreateRun, CreateStatelessRun, parse_wait_s
from runs.documents import has_ended, run_document
from runs.events import Position, parse_event_id
from runs.follow import Together, follow
from runs.live import HungUp, Subscription, hub
from runs.queries import events_of_run, get_run, get_run_state

router = Router()

_LAST = {"end", "interrupt"}
_ACTIONS = ("batch", "cancel", "stream", "wait")
HEARTBEAT = b": heartbeat\n\n"


# -- create ----------------------------------------------------------------------------------------------------------


@router.route("POST", "/sessions/{session_id}/runs", scope="runs:write", idempotent=True)
async def create(request: HotRequest) -> HotResponse | HotStream:
    body = validate(CreateRun, request.json())
    return await _create(request, body, partial(create_run, request.identity, request.id("session_id"), body))


@router.route("POST", "/sessions/{session_id}/runs/wait", scope="runs:write", idempotent=True)
async def create_and_wait(request: HotRequest) -> HotResponse:
    body = validate(CreateRun, request.json())
    return await _wait(request, partial(create_run, request.identity, request.id("session_id"), body))


@router.route("POST", "/sessions/{session_id}/runs/stream", scope="runs:write", idempotent=True)
async def create_and_stream(request: HotRequest) -> HotStream:
    body = validate(CreateRun, request.json())
    return await _stream_new(request, partial(create_run, request.identity, request.id("session_id"), body))


@router.route("POST", "/runs", scope="runs:write", idempotent=True)
async def create_stateless(request: HotRequest) -> HotResponse | HotStream:
    body = validate(CreateStatelessRun, request.json())
    return await _create(request, body, partial(create_stateless_run, request.identity, body))


@router.route("POST", "/runs/wait", scope="runs:write", idempotent=True)
async def create_stateless_and_wait(request: HotRequest) -> HotResponse:
    body = validate(CreateStatelessRun, request.json())
    return await _wait(request, partial(create_stateless_run, request.identity, body))


@router.route("POST", "/runs/stream", scope="runs:write", idempotent=True)
async def create_stateless_and_stream(request: HotRequest) -> HotStream:
    body = validate(CreateStatelessRun, request.json())
    return await _stream_new(request, partial(create_stateless_run, request.identity, body))


_Accept = partial[Bound[Row]]


async def _create(request: HotRequest, body: CreateRun, accept: _Accept) -> HotResponse | HotStream:
    if body.wait and body.stream:
        raise Invalid.at("stream", message="Give wait or stream, not both.")
    if body.wait:
        return await _wait(request, accept)
    if body.stream:
        return await _stream_new(request, accept)
    request.only_query()
    run, told = await _accept(request, accept, new_id())
    return HotResponse(run_document(run), 202, told)


async def _accept(request: HotRequest, accept: _Accept, run_id: UUID) -> tuple[Row, dict[str, str]]:
    """The run and the answer's headers. A request that was sent before gets its run as it is now, whatever its id."""
    asked = once(request.identity, request.headers, request.method, request.path, request.json)
    try:
        run = await accept(run_id=run_id, once=asked).arun()
    except Replayed as earlier:
        run = await get_run(request.identity, earlier.resource_id).arun()
        return run, {"location": address(f"/runs/{run['id']}"), **REPLAYED}
    await tell_accepted(run)
    return run, {"location": address(f"/runs/{run['id']}")}


async def _wait(request: HotRequest, accept: _Accept) -> HotResponse:
    wait_s = _wait_s(request)
    run_id = new_id()
    # Listening begins before the run exists, so its end cannot be missed.
    with hub().subscribe(str(run_id)) as subscription:
        run, told = await _accept(request, accept, run_id)
        if run["id"] == run_id:
            run, ended = await _until_ended(request.identity, run_id, subscription, wait_s)
            return HotResponse(run_document(run), 200 if ended else 202, told)
    run, ended = await _join(request.identity, run["id"], wait_s)
    return HotResponse(run_document(run), 200 if ended else 202, told)


async def _stream_new(request: HotRequest, accept: _Accept) -> HotStream:
    request.only_query()
    with ExitStack() as held:
        # Before the run: one whose stream is refused is not made.
        held.callback(await take_stream(request.identity))
        run, told = await _accept(request, accept, new_id())
        return HotStream(_frames(request.identity, run, (run["number"] or 0, 0)), told, held.pop_all().close)


# -- come back -------------------------------------------------------------------------------------------------------


@router.route("GET", "/runs/{run_id}", scope="runs:read", besides=[f"/runs/{name}" for name in _ACTIONS])
async def read(request: HotRequest) -> HotResponse:
    request.only_query()
    return HotResponse(run_document(await get_run(request.identity, request.id("run_id")).arun()))


@router.route("GET", "/runs/{run_id}/join", scope="runs:read")
async def join(request: HotRequest) -> HotResponse:
    run, ended = await _join(request.identity, request.id("run_id"), _wait_s(request))
    return HotResponse(run_document(run), 200 if ended else 202, {"location": address(f"/runs/{run['id']}")})


@router.route("GET", "/runs/{run_id}/stream", scope="runs:read")
async def stream(request: HotRequest) -> HotStream:
    request.only_query("after")
    run = await get_run_state(request.identity, request.id("run_id")).arun()
    after = _after(request, run)
    return HotStream(_frames(request.identity, run, after), ended=await take_stream(request.identity))


def _after(request: HotRequest, run: Row) -> Position:
    """Where the client left off: the header that browsers send by themselves, or the query."""
    text = request.headers.get("last-event-id") or request.query.get("after")
    if text is None:
        return (run["number"] or 0, 0)
    position = parse_event_id(text, "after")
    if position[0] != (run["number"] or 0):
        raise Invalid.at("query", "after", message="This event is of another run.")
    return position


# -- how -------------------------------------------------------------------------------------------------------------


def _wait_s(request: HotRequest) -> float:
    request.only_query("wait_s")
    return parse_wait_s(request.query.get("wait_s"))


async def _join(identity: Identity, run_id: UUID, wait_s: float) -> tuple[Row, bool]:
    """A run that exists, waited for as `_until_ended` does."""
    with hub().subscribe(str(run_id)) as subscription:
        run = await get_run(identity, run_id).arun()
        if has_ended(run):
            return run, True
        return await _until_ended(identity, run_id, subscription, wait_s)


async def _until_ended(identity: Identity, run_id: UUID, subscription: Subscription, wait_s: float) -> tuple[Row, bool]:
    """The run once it has ended or waits for a person, or as it is after `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            event = await subscription.next(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, HungUp):
            run = await get_run(identity, run_id).arun()
            return run, has_ended(run)
        if event is None or event.event in _LAST:
            run = await get_run(identity, run_id).arun()
            if has_ended(run):
                return run, True


async def _frames(identity: Identity, run: Row, after: Position) -> AsyncIterator[bytes]:
    """The run's events as server-sent frames until it has ended or waits for a person, or the caller may not go on."""
    run_id, committed = run["id"], run["last_seq"]
    if has_ended(run) and after[1] >= committed:
        return
    with hub().subscribe(str(run_id)) as subscription, WATCH.over(identity, subscription.hang_up):
        events = follow(subscription, lambda position, limit: events_of_run(run_id, position[1], limit), after)
        together = Together()
        async with aclosing(events):
            async for event in events:
                if event is None:
                    yield together.all(HEARTBEAT)
                    continue
                # An interrupt that was answered before this stream was opened is history.
                last = event.event == "end" or (event.event == "interrupt" and event.seq >= committed)
                if told := together.add(event.sse, more=not last and subscription.brings_more(event)):
                    yield told
                if last:
                    return
        if rest := together.all():
            yield rest
