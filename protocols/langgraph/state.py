"""What a thread stands at and stood at, and changes of it from outside."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from core.db import Row
from core.errors import Conflict, Invalid, NotFound, SessionBusy
from core.hot import HotRequest, HotResponse, Router
from core.ids import parse_id
from protocols.langgraph.access import allow
from protocols.langgraph.graph_states import change_graph, graph_history, graph_of, graph_state, unassigned
from protocols.langgraph.native_states import last_node, native_state, native_states, native_update
from protocols.langgraph.reading import body_of, flag_of, thread_of
from protocols.langgraph.snapshots import check_selected, nothing, place, selected, updated
from protocols.langgraph.thread_bodies import Before, CheckpointBody, ReadHistory, ReadState, UpdateState
from protocols.langgraph.thread_rows import get_thread, is_native
from runs.announce import tell_removed
from runs.updating import update_session

router = Router()

# LangGraph's own default, whatever its documents say.
USUAL_LIMIT = 1


@router.route("GET", "/threads/{thread_id}/state", scope="sessions:read")
async def read(request: HotRequest) -> HotResponse:
    """What the thread stands at; `?subgraphs=true` tells the states inside it too."""
    return await _state(request, None, subgraphs=flag_of(request, "subgraphs"), select=_select(request))


@router.route("GET", "/threads/{thread_id}/state/{checkpoint_id}", scope="sessions:read")
async def read_at(request: HotRequest) -> HotResponse:
    """What it stood at."""
    checkpoint = CheckpointBody(checkpoint_id=request.params["checkpoint_id"])
    return await _state(request, checkpoint, subgraphs=flag_of(request, "subgraphs"), select=_select(request))


@router.route("POST", "/threads/{thread_id}/state/checkpoint", scope="sessions:read", body=ReadState)
async def read_checkpoint(request: HotRequest) -> HotResponse:
    """What it, or a subgraph of it, stood at."""
    body = body_of(request, ReadState)
    return await _state(request, body.checkpoint, subgraphs=bool(body.subgraphs), select=body.select)


async def _state(
    request: HotRequest, checkpoint: CheckpointBody | None, *, subgraphs: bool, select: Sequence[str] | None
) -> HotResponse:
    row = await _thread(request, "read")
    check_selected(select)
    asked = checkpoint and checkpoint.checkpoint_id
    if asked and parse_id(asked) is None:
        return HotResponse(selected(nothing(place(row["id"], asked)), select))
    if is_native(row):
        state = await native_state(row["id"], row["checkpoint_id"], UUID(asked) if asked else None)
    elif graph_of(row) is None:
        state = nothing(place(row["id"], asked) if asked else None)
    else:
        state = await graph_state(request.identity, row, _given(checkpoint), subgraphs=subgraphs)
    return HotResponse(selected(state, select))


# -- history -----------------------------------------------------------------------------------------------------------


@router.route("GET", "/threads/{thread_id}/history", scope="sessions:read")
async def history(request: HotRequest) -> HotResponse:
    """What it stood at, the latest first."""
    given = request.query.get("limit", str(USUAL_LIMIT))
    if not (given.isascii() and given.isdigit() and len(given) < 5):
        raise Invalid.at("query", "limit", message="A number from 1 to 1000.")
    limit = int(given)
    if not 1 <= limit <= 1_000:
        raise Invalid.at("query", "limit", message="A number from 1 to 1000.")
    return await _history(
        request, ReadHistory(limit=limit, before=request.query.get("before"), select=_select(request))
    )


@router.route("POST", "/threads/{thread_id}/history", scope="sessions:read", body=ReadHistory)
async def search_history(request: HotRequest) -> HotResponse:
    """What it stood at, the latest first."""
    return await _history(request, body_of(request, ReadHistory))


async def _history(request: HotRequest, body: ReadHistory) -> HotResponse:
    row = await _thread(request, "read")
    check_selected(body.select)
    before, checkpoint = _before(body.before), _given(body.checkpoint)
    at, limit = checkpoint.get("checkpoint_id"), body.limit or USUAL_LIMIT
    if at and parse_id(at) is None:
        return HotResponse([])
    if is_native(row):
        # It has no subgraphs.
        inside = bool(checkpoint.get("checkpoint_ns"))
        found = (
            []
            if inside
            else await native_states(
                row["id"],
                checkpoint_id=UUID(at) if at else None,
                before=UUID(before) if before else None,
                metadata=body.metadata,
                limit=limit,
            ).arun()
        )
    elif graph_of(row) is None:
        found = []
    else:
        found = await graph_history(
            request.identity, row, checkpoint, before=before, metadata=body.metadata, limit=limit
        )
    return HotResponse([selected(state, body.select) for state in found])


def _before(given: str | Before | None) -> str | None:
    """The id of a checkpoint that is given bare, as a checkpoint, or as a config."""
    if isinstance(given, Before):
        given = given.checkpoint_id or (given.configurable or {}).get("checkpoint_id")
    if not given:
        return None
    if not isinstance(given, str) or parse_id(given) is None:
        raise Invalid.at("before", message="There is no checkpoint with such an id.")
    return given


# -- changes -----------------------------------------------------------------------------------------------------------


@router.route("POST", "/threads/{thread_id}/state", scope="sessions:write", body=UpdateState)
async def update(request: HotRequest) -> HotResponse:
    """Change what the thread stands at, or go on from where it stood."""
    body = body_of(request, UpdateState)
    row = await _thread(request, "update")
    checkpoint = _given(body.checkpoint or CheckpointBody(checkpoint_id=body.checkpoint_id))
    at = checkpoint.get("checkpoint_id")
    if at and parse_id(at) is None:
        raise Invalid.at("checkpoint_id", message="There is no checkpoint with such an id.")
    _refuse_busy(row)
    try:
        if is_native(row):
            changed = await _update_native(request, row, body, UUID(at) if at else None)
        elif graph_of(row) is None:
            raise unassigned(row["id"])
        else:
            step = {"values": body.values, "as_node": body.as_node}
            changed = await change_graph(request.identity, row, checkpoint, [[step]])
    except SessionBusy:
        raise _busy(row) from None
    return HotResponse(updated(changed))


async def _update_native(
    request: HotRequest, row: Row, body: UpdateState, checkpoint_id: UUID | None
) -> dict[str, Any]:
    node = await last_node(row["id"], checkpoint_id or row["checkpoint_id"]).arun()
    change = native_update(body.values, body.as_node, node, checkpoint_id)
    done = await update_session(request.identity, row["id"], change).arun()
    await tell_removed(done.ended)
    return place(row["id"], done.checkpoint_id)


def _refuse_busy(row: Row) -> None:
    if row["status"] == "busy":
        raise _busy(row)


def _busy(row: Row) -> Conflict:
    # LangGraph's own says everything that is known of the runs, their inputs included.
    return Conflict(f"Thread {row['id']} has in-flight runs.")


# -- how ---------------------------------------------------------------------------------------------------------------


async def _thread(request: HotRequest, action: str) -> Row:
    thread_id = thread_of(request)
    filters = await allow(request, "threads", action, {"thread_id": thread_id})
    try:
        return await get_thread(request.identity, thread_id, filters, values=False).arun()
    except NotFound:
        raise NotFound(f"Thread with ID {thread_id} not found") from None


def _select(request: HotRequest) -> list[str] | None:
    given = request.query.get("select")
    return given.split(",") if given else None


def _given(checkpoint: CheckpointBody | None) -> dict[str, Any]:
    """What is said of a checkpoint."""
    return {} if checkpoint is None else checkpoint.model_dump(exclude_none=True)
