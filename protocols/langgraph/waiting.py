"""Waiting for runs in LangGraph's protocol: the status line at once, a line break every five seconds, then the answer.

A client that is cut off comes back to the `location`, which joins the run.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import ExitStack, suppress
from typing import Any
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from accounts.identity import Identity
from core.db import Row
from core.errors import NotFound, RunFinished
from core.hot import HotRequest, HotStream, Router
from core.ids import new_id
from core.strict_json import dump_json
from protocols.langgraph.access import allow
from protocols.langgraph.reading import body_of, flag_of, thread_of, uuid_of
from protocols.langgraph.run_bodies import StatelessRun, ThreadRun
from protocols.langgraph.run_documents import NOT_FOUND, answer_of
from protocols.langgraph.run_rows import get_answer, get_run
from protocols.langgraph.starting import start
from runs.announce import tell_stopped
from runs.documents import has_ended
from runs.events import Event
from runs.lifecycle import Status
from runs.live import HungUp, Subscription, hub
from runs.services import cancel_run

router = Router()

KEEP_ALIVE_S = 5.0
_LAST = {"end", "interrupt"}
_PAUSE_S = 1.0
_JSON = "application/json"
_answering: set[asyncio.Task[Any]] = set()


@router.route("POST", "/threads/{thread_id}/runs/wait", scope="runs:write")
async def create_and_wait(request: HotRequest) -> HotStream:
    return await _wait(request, thread_of(request), body_of(request, ThreadRun))


@router.route("POST", "/runs/wait", scope="runs:write")
async def create_stateless_and_wait(request: HotRequest) -> HotStream:
    return await _wait(request, None, body_of(request, StatelessRun))


@router.route("GET", "/threads/{thread_id}/runs/{run_id}/join", scope="runs:read")
async def join(request: HotRequest) -> HotStream:
    request.only_query("cancel_on_disconnect")
    thread_id, run_id = thread_of(request), uuid_of(request.params["run_id"], "run ID")
    return await _join(request, thread_id, run_id)


@router.route("GET", "/runs/{run_id}/join", scope="runs:read")
async def join_stateless(request: HotRequest) -> HotStream:
    request.only_query("cancel_on_disconnect")
    return await _join(request, None, uuid_of(request.params["run_id"], "run ID"))


async def _wait(request: HotRequest, thread_id: UUID | None, body: StatelessRun) -> HotStream:
    run_id = new_id()
    if body.stream_mode is None:
        # Nobody is to read its stream: who joins it all the same is told the values that it ends with.
        body = body.model_copy(update={"stream_mode": []})
    with ExitStack() as held:
        # Listening begins before the run exists, so its end cannot be missed.
        subscription = held.enter_context(hub().subscribe(str(run_id)))
        started = await start(request, thread_id, body, run_id)
        run = started.run
        if started.resumed:
            # It was there before, under an id of its own.
            subscription = held.enter_context(hub().subscribe(str(run["id"])))
        place = f"/threads/{run['session_id']}/runs/{run['id']}"
        hosted = run["graph_id"] is not None
        answer = _answer(request.identity, run["id"], subscription, look=started.resumed, hosted=hosted)
        watched = _cancelling(request.identity, run, answer) if body.on_disconnect == "cancel" else answer
        return _stream(watched, place, held)


async def _join(request: HotRequest, thread_id: UUID | None, run_id: UUID) -> HotStream:
    cancels = flag_of(request, "cancel_on_disconnect")
    if cancels:
        request.identity.require("runs:write")
    filters = await allow(request, "threads", "read", {"thread_id": thread_id, "run_id": run_id})
    run: Row | None = None
    with suppress(NotFound):
        run = await get_run(request.identity, thread_id, run_id, filters).arun()
    with ExitStack() as held:
        place = f"/threads/{thread_id}/runs/{run_id}" if thread_id else f"/runs/{run_id}"
        if run is None:
            return _stream(_nothing(), place, held)
        subscription = held.enter_context(hub().subscribe(str(run_id)))
        answer = _answer(request.identity, run_id, subscription, look=True)
        watched = _cancelling(request.identity, run, answer) if cancels else answer
        return _stream(watched, f"/threads/{run['session_id']}/runs/{run_id}", held)


# -- how ---------------------------------------------------------------------------------------------------------------


def _stream(answer: Coroutine[Any, Any, Any], place: str, held: ExitStack) -> HotStream:
    """What is `held` is let go when the answer is there, or nobody waits for it any more."""
    task = asyncio.create_task(answer)
    _answering.add(task)
    task.add_done_callback(_answering.discard)
    held.callback(task.cancel)
    headers = {"location": f"{place}/join", "content-location": place}
    return HotStream(_lines(task), headers, held.pop_all().close, _JSON)


async def _lines(task: asyncio.Task[Any]) -> AsyncIterator[bytes]:
    """The answer as a document, and until it is there a line break every five seconds."""
    while not (await asyncio.wait([task], timeout=KEEP_ALIVE_S))[0]:
        yield b"\n"
    yield dump_json(task.result())


def over(identity: Identity, thread_id: UUID, run_id: UUID) -> HotStream:
    """Answers `{}` once a run that is being cancelled has ended."""
    with ExitStack() as held:
        return _stream(_until_over(identity, run_id), f"/threads/{thread_id}/runs/{run_id}", held)


async def _until_over(identity: Identity, run_id: UUID) -> dict[str, Any]:
    """Wait until a run that is being cancelled has ended."""
    with hub().subscribe(str(run_id)) as subscription:
        await _answer(identity, run_id, subscription, look=True)
    return {}


async def _answer(
    identity: Identity, run_id: UUID, subscription: Subscription, *, look: bool, hosted: bool = False
) -> Any:
    """What `answer_of` gives once the run has ended or asks. `look`: it may have done so already.

    A `hosted` graph's last event, which is told once it is stored, has all of it where the graph came to its end.
    """
    while True:
        if look:
            with suppress(psycopg.OperationalError, PoolTimeout):
                row = await get_answer(identity, run_id).arun()
                if row is None or has_ended(row):
                    return answer_of(row)
        event = await _next(subscription)
        if hosted and event is not None and event.event == "end" and event.data.get("output"):
            return event.data["output"]["structured"]
        look = event is None or event.event in _LAST


async def _next(subscription: Subscription) -> Event | None:
    """The run's next event; None where the run may be over without one."""
    try:
        return await subscription.next(60.0)
    except TimeoutError:
        return None
    except HungUp:
        # The process is told to leave: the client is cut off with it, and joins the run elsewhere.
        await asyncio.sleep(_PAUSE_S)
        return None


async def _cancelling(identity: Identity, run: Row, answer: Coroutine[Any, Any, Any]) -> Any:
    """The answer; where nobody waits for it any more, the run is cancelled."""
    try:
        return await answer
    except asyncio.CancelledError:
        await asyncio.shield(cancel_abandoned(identity, run["session_id"], run["id"]))
        raise


async def cancel_abandoned(identity: Identity, thread_id: UUID, run_id: UUID) -> None:
    """Cancel a run whose client has left (`on_disconnect`); not where it is this process that leaves."""
    if hub().leaving:
        return
    with suppress(RunFinished, NotFound):
        status = await cancel_run(identity, run_id).arun()
        if status == Status.RUNNING:
            await tell_stopped([], [run_id])
        else:
            await tell_stopped([{"id": run_id, "session_id": thread_id}], [])


async def _nothing() -> Any:
    return NOT_FOUND
