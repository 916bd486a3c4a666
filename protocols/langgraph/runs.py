"""LangGraph's runs: started, listed, read, cancelled and deleted. What waits for them: `waiting`, what streams them:
`run_streams`.

The addresses, bodies, status codes and texts are those of LangGraph's server, as its official clients send and take
them (langgraph-sdk 0.4 and @langchain/langgraph-sdk 2.0).
"""

from uuid import UUID

from core.errors import Invalid, NotFound, RunFinished
from core.hot import HotRequest, HotResponse, HotStream, Router
from core.ids import new_id
from core.validation import validate
from protocols.langgraph.access import allow
from protocols.langgraph.reading import body_of, document_of, flag_of, listed, thread_of, uuid_of
from protocols.langgraph.run_bodies import CancelRuns, StatelessRun, ThreadRun
from protocols.langgraph.run_documents import FIELDS, run_document, statuses_of
from protocols.langgraph.run_rows import get_run, list_runs, runs_in, runs_of
from protocols.langgraph.starting import start, start_all
from protocols.langgraph.waiting import over
from runs.announce import tell_stopped
from runs.forgetting import discard_run
from runs.lifecycle import Status
from runs.services import cancel_run

router = Router()

MAX_BATCH = 100
MAX_PAGE = 1_000
_STATUSES = ("pending", "running", "error", "success", "timeout", "interrupted")
NONE_FOUND = "No runs found to cancel."
NONE_MATCHING = (
    "No matching runs to cancel. Please verify the thread ID and run IDs are correct, and the runs haven't been "
    "deleted or completed."
)


def run_of(request: HotRequest) -> UUID:
    """The run in the path. Raises Invalid."""
    return uuid_of(request.params["run_id"], "run ID")


# -- started -----------------------------------------------------------------------------------------------------------


@router.route("POST", "/threads/{thread_id}/runs", scope="runs:write")
async def create(request: HotRequest) -> HotResponse:
    started = await start(request, thread_of(request), body_of(request, ThreadRun), new_id())
    run = started.run
    return HotResponse(
        run_document(run), headers={"content-location": f"/threads/{run['session_id']}/runs/{run['id']}"}
    )


@router.route("POST", "/runs", scope="runs:write")
async def create_stateless(request: HotRequest) -> HotResponse:
    started = await start(request, None, body_of(request, StatelessRun), new_id())
    return HotResponse(run_document(started.run), headers={"content-location": f"/runs/{started.run['id']}"})


@router.route("POST", "/runs/batch", scope="runs:write")
async def create_batch(request: HotRequest) -> HotResponse:
    given = document_of(request)
    if not isinstance(given, list) or not 0 < len(given) <= MAX_BATCH:
        raise Invalid(f"The body is a list of 1 to {MAX_BATCH} runs.")
    started = await start_all(request, [validate(StatelessRun, one) for one in given])
    return HotResponse([run_document(one.run) for one in started])


# -- read --------------------------------------------------------------------------------------------------------------


@router.route("GET", "/threads/{thread_id}/runs", scope="runs:read")
async def page(request: HotRequest) -> HotResponse:
    request.only_query("limit", "offset", "status", "select")
    thread_id = thread_of(request)
    status = request.query.get("status")
    if status is not None and status not in _STATUSES:
        raise Invalid.at("query", "status", message=f"One of {', '.join(_STATUSES)}.")
    filters = await allow(request, "threads", "read", {"thread_id": thread_id})
    found = await list_runs(
        request.identity,
        thread_id,
        filters,
        statuses=None if status is None else statuses_of(status),
        limit=_number(request, "limit", 10, MAX_PAGE),
        offset=_number(request, "offset", 0, 2**31 - 1),
    ).arun()
    if found is None:
        raise NotFound(f"Thread with ID {thread_id} not found")
    fields = _fields(request)
    return HotResponse([run_document(row, fields) for row in found])


@router.route("GET", "/threads/{thread_id}/runs/{run_id}", scope="runs:read")
async def read(request: HotRequest) -> HotResponse:
    request.only_query()
    thread_id, run_id = thread_of(request), run_of(request)
    filters = await allow(request, "threads", "read", {"thread_id": thread_id, "run_id": run_id})
    try:
        return HotResponse(run_document(await get_run(request.identity, thread_id, run_id, filters).arun()))
    except NotFound:
        raise NotFound("Not Found") from None


def _number(request: HotRequest, name: str, otherwise: int, most: int) -> int:
    given = request.query.get(name)
    if given is None:
        return otherwise
    if not given.isascii() or not given.isdigit() or int(given) > most:
        raise Invalid.at("query", name, message=f"A number from 0 to {most}.")
    return int(given)


def _fields(request: HotRequest) -> list[str]:
    given = listed(request.query.get("select"))
    if unknown := [name for name in given if name not in FIELDS]:
        raise Invalid.at("query", "select", message=f"There is no {unknown[0]!r}; there are {', '.join(FIELDS)}.")
    return given or list(FIELDS)


# -- cancelled and deleted -------------------------------------------------------------------------------------------


@router.route("POST", "/threads/{thread_id}/runs/{run_id}/cancel", scope="runs:write")
async def cancel(request: HotRequest) -> HotResponse | HotStream:
    request.only_query("wait", "action")
    thread_id, run_id = thread_of(request), run_of(request)
    wait, rollback = flag_of(request, "wait"), _rolls_back(request)
    filters = await allow(request, "threads", "update", {"thread_id": thread_id, "action": "cancel"})
    found = await runs_of(request.identity, filters, thread_id, [run_id]).arun()
    if not found:
        raise NotFound(NONE_FOUND)
    if not found[0]["active"] or not await stop(request, thread_id, run_id, rollback=rollback):
        raise NotFound(NONE_MATCHING)
    if not wait:
        return HotResponse(None, 202)
    return over(request.identity, thread_id, run_id)


@router.route("POST", "/runs/cancel", scope="runs:write")
async def cancel_many(request: HotRequest) -> HotResponse:
    request.only_query("action")
    body, rollback = body_of(request, CancelRuns), _rolls_back(request)
    filters = await allow(request, "threads", "update", {"thread_id": body.thread_id, "action": "cancel"})
    if body.status is not None:
        found = await runs_in(request.identity, filters, body.status).arun()
    else:
        runs = [uuid_of(run, "run ID") for run in body.run_ids or ()]
        found = await runs_of(request.identity, filters, uuid_of(body.thread_id or ""), runs).arun()
    if not found:
        raise NotFound(NONE_FOUND)
    # The newest first: the heads of threads come last, so that none is handed on to a run that is cancelled next.
    ended = [
        await stop(request, row["session_id"], row["id"], rollback=rollback)
        for row in sorted(found, key=lambda row: row["id"], reverse=True)
        if row["active"]
    ]
    if not any(ended):
        raise NotFound(NONE_MATCHING)
    return HotResponse(None, 204)


@router.route("DELETE", "/threads/{thread_id}/runs/{run_id}", scope="runs:write")
async def delete(request: HotRequest) -> HotResponse:
    thread_id, run_id = thread_of(request), run_of(request)
    filters = await allow(request, "threads", "update", {"thread_id": thread_id, "action": "delete_run"})
    await get_run(request.identity, thread_id, run_id, filters).arun()
    if await discard_run(request.identity, run_id).arun():
        await tell_stopped([{"id": run_id, "session_id": thread_id}], [])
    else:
        await tell_stopped([], [run_id])
    return HotResponse(None, 204)


async def stop(request: HotRequest, thread_id: UUID, run_id: UUID, *, rollback: bool) -> bool:
    """Cancel a run; gives whether it had not ended yet. `rollback`: it is deleted, too."""
    try:
        status = await cancel_run(request.identity, run_id, rollback=rollback, discard=rollback).arun()
    except (RunFinished, NotFound):
        return False
    if status == Status.RUNNING:
        await tell_stopped([], [run_id])
    else:
        await tell_stopped([{"id": run_id, "session_id": thread_id}], [])
    return True


def _rolls_back(request: HotRequest) -> bool:
    action = request.query.get("action", "interrupt")
    if action not in {"interrupt", "rollback"}:
        raise Invalid.at("query", "action", message="interrupt or rollback.")
    return action == "rollback"
