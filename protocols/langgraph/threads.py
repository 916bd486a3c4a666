"""LangGraph's threads: sessions by another name.

The addresses, bodies, status codes and texts are those of LangGraph's server (https://langchain-ai.github.io/langgraph/
cloud/reference/api/api_ref.html), as its official clients send and take them. What a thread's state was and is:
`protocols.langgraph.state`.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from core.errors import AlreadyExists, AppError, Conflict, NotFound
from core.hot import HotRequest, HotResponse, Router
from core.ids import new_id
from graphs.registry import graph_ids
from protocols.langgraph.access import Filters, allow
from protocols.langgraph.deployment import thread_ttl
from protocols.langgraph.extracting import extract, read_paths
from protocols.langgraph.graph_states import change_graph, unassigned
from protocols.langgraph.reading import body_of, page_headers, thread_of, uuid_of
from protocols.langgraph.thread_bodies import (
    CountThreads,
    CreateThread,
    PatchThread,
    PruneThreads,
    SearchThreads,
    Superstep,
)
from protocols.langgraph.thread_rows import (
    count_threads,
    get_thread,
    not_found,
    search_threads,
    thread_document,
    ttl_document,
)
from runs.announce import tell_removed
from runs.removing import delete_sessions, keep_latest
from sessions.threads import change_thread, copy_thread, open_thread, thread_storage

router = Router()


@router.route("POST", "/threads", scope="sessions:write", body=CreateThread)
async def create(request: HotRequest) -> HotResponse:
    """Open a thread; each run names the assistant that serves it."""
    body = body_of(request, CreateThread)
    thread_id = new_id() if body.thread_id is None else uuid_of(body.thread_id)
    value: dict[str, Any] = {"thread_id": thread_id, "metadata": dict(body.metadata or {})}
    value["if_exists"] = body.if_exists or "raise"
    filters = await allow(request, "threads", "create", value)
    ttl = thread_ttl() if body.ttl is None else body.ttl.read()
    if body.supersteps and value["metadata"].get("graph_id") not in graph_ids():
        raise unassigned(thread_id)
    try:
        await open_thread(request.identity, thread_id, value["metadata"], ttl).arun()
    except AlreadyExists:
        taken = Conflict(f"Thread with ID {thread_id} already exists")
        if body.if_exists != "do_nothing":
            raise taken from None
        try:
            return HotResponse(await _document(request, thread_id, filters))
        except NotFound:
            # It is somebody else's.
            raise taken from None
    if body.supersteps:
        await _seed(request, thread_id, body.supersteps)
    return HotResponse(await _document(request, thread_id))


async def _seed(request: HotRequest, thread_id: UUID, supersteps: Sequence[Superstep]) -> None:
    """Give a new thread its history; without that there is no thread."""
    row = await get_thread(request.identity, thread_id, values=False).arun()
    given = [[update.model_dump() for update in superstep.updates] for superstep in supersteps]
    try:
        await change_graph(request.identity, row, None, given)
    except AppError:
        await delete_sessions(request.identity, [thread_id]).arun()
        raise


@router.route("GET", "/threads/{thread_id}", scope="sessions:read")
async def read(request: HotRequest) -> HotResponse:
    """A thread with what it stands at; `?include=ttl` tells how long it is kept."""
    thread_id = thread_of(request)
    filters = await allow(request, "threads", "read", {"thread_id": thread_id})
    row = await get_thread(request.identity, thread_id, filters).arun()
    document = thread_document(row)
    if "ttl" in request.query.get("include", "").split(",") and (ttl := ttl_document(row)):
        document["ttl"] = ttl
    return HotResponse(document)


@router.route("PATCH", "/threads/{thread_id}", scope="sessions:write", body=PatchThread)
async def patch(request: HotRequest) -> HotResponse:
    """Merge metadata, or give it another time to live; `Prefer: return=minimal` asks for no answer."""
    thread_id, body = thread_of(request), body_of(request, PatchThread)
    value: dict[str, Any] = {"thread_id": thread_id, "metadata": dict(body.metadata or {})}
    filters = await allow(request, "threads", "update", value)
    try:
        await get_thread(request.identity, thread_id, filters, values=False).arun()
    except NotFound:
        raise NotFound("Not Found") from None
    ttl = None if body.ttl is None else body.ttl.read()
    await change_thread(request.identity, thread_id, value["metadata"], ttl).arun()
    if "return=minimal" in request.headers.get("prefer", ""):
        return HotResponse(None, 204)
    return HotResponse(await _document(request, thread_id))


@router.route("DELETE", "/threads/{thread_id}", scope="sessions:write")
async def delete(request: HotRequest) -> HotResponse:
    """Delete a thread with all that it has; its runs end."""
    thread_id = thread_of(request)
    filters = await allow(request, "threads", "delete", {"thread_id": thread_id})
    await get_thread(request.identity, thread_id, filters, values=False).arun()
    removed = await delete_sessions(request.identity, [thread_id]).arun()
    if not removed.sessions:
        raise not_found(thread_id)
    await tell_removed(removed.ended)
    return HotResponse(None, 204)


# -- several -----------------------------------------------------------------------------------------------------------


@router.route("POST", "/threads/search", scope="sessions:read", body=SearchThreads)
async def search(request: HotRequest) -> HotResponse:
    """Threads by what they hold, the newest first unless another order is asked for."""
    body = body_of(request, SearchThreads)
    paths = read_paths(body.extract or {})
    wanted = _wanted(body)
    if body.ids is not None:
        wanted["ids"] = [uuid_of(text) for text in body.ids]
    limit, offset = body.limit or 10, body.offset or 0
    value = {**wanted, "limit": limit, "offset": offset}
    filters = await allow(request, "threads", "search", value)
    rows, more = await search_threads(
        request.identity,
        {**wanted, "metadata": value.get("metadata")},
        filters,
        limit=limit,
        offset=offset,
        sort_by=body.sort_by or "created_at",
        descending=body.sort_order != "asc",
        values=body.select is None
        or "values" in body.select
        or any(path and path[0] == "values" for path in paths.values()),
    ).arun()
    threads = []
    for row in rows:
        thread = thread_document(row, None if body.select is None else {*body.select, *_roots(paths)})
        found = extract(thread, paths)
        if body.select is not None:
            thread = {name: value for name, value in thread.items() if name in body.select}
        threads.append({**thread, "extracted": found} if paths else thread)
    return HotResponse(threads, 200, page_headers(offset, len(rows), more=more))


def _roots(paths: dict[str, Any]) -> set[str]:
    return {path[0] for path in paths.values() if path}


@router.route("POST", "/threads/count", scope="sessions:read", body=CountThreads)
async def count(request: HotRequest) -> HotResponse:
    """How many threads hold this."""
    wanted = _wanted(body_of(request, CountThreads))
    filters = await allow(request, "threads", "search", wanted)
    return HotResponse(await count_threads(request.identity, wanted, filters).arun())


def _wanted(body: CountThreads) -> dict[str, Any]:
    return {"metadata": body.metadata or {}, "values": body.values or {}, "status": body.status}


@router.route("POST", "/threads/prune", scope="sessions:write", body=PruneThreads)
async def prune(request: HotRequest) -> HotResponse:
    """Delete threads, or leave the latest state of each."""
    body = body_of(request, PruneThreads)
    ids = [uuid_of(text) for text in body.thread_ids]
    strategy = body.strategy or "delete"
    action = "delete" if strategy == "delete" else "update"
    filters = await allow(request, "threads", action, {"thread_ids": ids, "strategy": strategy})
    rows, _ = await search_threads(
        request.identity,
        {"ids": ids},
        filters,
        limit=max(1, len(ids)),
        offset=0,
        sort_by="thread_id",
        descending=False,
        values=False,
    ).arun()
    found = [row["id"] for row in rows]
    if strategy == "keep_latest":
        return HotResponse({"pruned_count": len(await keep_latest(request.identity, found).arun())})
    removed = await delete_sessions(request.identity, found).arun()
    await tell_removed(removed.ended)
    return HotResponse({"pruned_count": len(removed.sessions)})


# -- one, whole --------------------------------------------------------------------------------------------------------


@router.route("POST", "/threads/{thread_id}/copy", scope="sessions:write")
async def copy(request: HotRequest) -> HotResponse:
    """Another thread with the whole past of this one."""
    source, target = thread_of(request), new_id()
    filters = await allow(request, "threads", "read", {"thread_id": source})
    value: dict[str, Any] = {"thread_id": target, "metadata": {}}
    await allow(request, "threads", "create", value)
    try:
        await get_thread(request.identity, source, filters, values=False).arun()
        await copy_thread(request.identity, source, target, value["metadata"]).arun()
    except NotFound:
        # As LangGraph says it.
        raise Conflict("Conflict") from None
    return HotResponse(await _document(request, target))


@router.route("GET", "/threads/{thread_id}/storage", scope="sessions:read")
async def storage(request: HotRequest) -> HotResponse:
    """How much is stored of a thread, in bytes of text."""
    thread_id = thread_of(request)
    filters = await allow(request, "threads", "read", {"thread_id": thread_id})
    await get_thread(request.identity, thread_id, filters, values=False).arun()
    kinds: dict[str, dict[str, int]] = {kind: {"count": 0, "bytes": 0} for kind in ("checkpoints", "values", "writes")}
    channels: dict[str, dict[str, int]] = {}
    for row in await thread_storage(thread_id).arun():
        figures = kinds[row["kind"]]
        figures["count"] += row["count"]
        figures["bytes"] += row["bytes"]
        if row["channel"] is not None and row["count"]:
            channel = channels.setdefault(row["channel"], {"versions": 0, "bytes": 0})
            channel["versions"] += row["count"]
            channel["bytes"] += row["bytes"]
    return HotResponse(
        {
            "thread_id": str(thread_id),
            "total_bytes": sum(figures["bytes"] for figures in kinds.values()),
            "checkpoints": kinds["checkpoints"],
            "channel_values": {**kinds["values"], "by_channel": channels},
            "pending_writes": kinds["writes"],
        }
    )


# -- how ---------------------------------------------------------------------------------------------------------------


async def _document(request: HotRequest, thread_id: UUID, filters: Filters | None = None) -> dict[str, Any]:
    return thread_document(await get_thread(request.identity, thread_id, filters).arun())
