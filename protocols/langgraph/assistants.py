"""Assistants, as LangGraph's clients know them: hosted graphs and native assistants, whose graph is their type."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from assistants import found, services
from assistants.config import GRAPH, Config
from assistants.found import Also, Wanted
from assistants.hosted import ensure_defaults, graph_of
from core.db import Row
from core.errors import AlreadyExists, BadRequest, Invalid, NotFound
from core.hot import HotRequest, HotResponse, Router
from core.threads import in_thread
from protocols.langgraph.access import Filters, allow, holds
from protocols.langgraph.assistant_bodies import (
    CountAssistants,
    CreateAssistant,
    ListVersions,
    PatchAssistant,
    SearchAssistants,
    SetLatest,
)
from protocols.langgraph.reading import body_of, flag_of, page_headers, uuid_of
from runs.deletion import delete_assistant_for_good
from runs.detaching import delete_assistant_and_runs
from runtime.configuration import current
from runtime.registry import agent_names

READ, WRITE = "assistants:read", "assistants:write"
BOTH = (
    "Cannot specify both configurable and context. Prefer setting context alone. Context was introduced in LangGraph "
    "0.6.0 and is the long term planned replacement for configurable."
)
# Of a native assistant they stand beside its configuration.
_BESIDE = ("name", "type", "description", "metadata")

router = Router()


@router.route("POST", "/assistants", scope=WRITE, body=CreateAssistant)
async def create(request: HotRequest) -> HotResponse:
    """Make an assistant of a graph, or of a native type."""
    body = body_of(request, CreateAssistant)
    assistant_id = None if body.assistant_id is None else uuid_of(body.assistant_id, "assistant ID")
    _require_graph(body.graph_id)
    config, context = _mirrored(body.config, body.context)
    value = {**body.model_dump(exclude_none=True), "metadata": body.metadata or {}}
    filters = await allow(request, "assistants", "create", value)
    await ensure_defaults(request.identity.workspace_id)
    native: dict[str, Any] = {
        "name": body.name or "Untitled",
        "description": body.description or "",
        "metadata": value["metadata"],
        **_configured(body.graph_id, config or {}, context or {}),
    }
    try:
        made = await in_thread(services.create_assistant, request.identity, native, assistant_id=assistant_id)
    except AlreadyExists:
        # Or its name, which of native assistants is there once.
        there = assistant_id and await found.find(request.identity, assistant_id, _also(filters)).arun()
        if body.if_exists == "do_nothing" and there:
            return HotResponse(document(there))
        raise
    return await _shown(request.identity, made.id)


@router.route("GET", "/assistants/{assistant_id}", scope=READ)
async def get(request: HotRequest) -> HotResponse:
    """One assistant, with its current version."""
    return HotResponse(document(await found_assistant(request, "read")))


@router.route("PATCH", "/assistants/{assistant_id}", scope=WRITE, body=PatchAssistant)
async def patch(request: HotRequest) -> HotResponse:
    """Make a new version: metadata are merged, config and context replaced."""
    assistant_id = _id(request)
    body = body_of(request, PatchAssistant)
    if body.graph_id is not None:
        _require_graph(body.graph_id)
    asked = _mirrored(body.config, body.context)
    value = {**body.model_dump(exclude_none=True), "assistant_id": str(assistant_id)}
    await found_assistant(request, "update", value, missing=f"Assistant {assistant_id} not found")

    def change(now: Config) -> Config:
        return _changed(now, body, asked, value.get("metadata") or {})

    await in_thread(services.amend_assistant, request.identity, assistant_id, change)
    return await _shown(request.identity, assistant_id)


@router.route("DELETE", "/assistants/{assistant_id}", scope=WRITE)
async def delete(request: HotRequest) -> HotResponse:
    """Delete an assistant with its runs; its threads go where `delete_threads` asks for that."""
    assistant_id = _id(request)
    with_threads = flag_of(request, "delete_threads")
    await found_assistant(request, "delete", missing=f"Assistant with ID {assistant_id} not found")
    remove = delete_assistant_for_good if with_threads else delete_assistant_and_runs
    await in_thread(remove, request.identity, assistant_id)
    return HotResponse(None, 204)


@router.route("POST", "/assistants/search", scope=READ, body=SearchAssistants)
async def search(request: HotRequest) -> HotResponse:
    """Assistants by graph, name and metadata, in an order."""
    body = body_of(request, SearchAssistants)
    wanted = await _wanted(request, body)
    rows = await found.search(
        request.identity,
        wanted,
        sort_by=body.sort_by or "created_at",
        descending=body.sort_order != "asc",
        limit=body.limit + 1,
        offset=body.offset,
    ).arun()
    documents = [document(row) for row in rows[: body.limit]]
    headers = page_headers(body.offset, len(documents), more=len(rows) > body.limit)
    if body.select is not None:
        documents = [{key: value for key, value in each.items() if key in body.select} for each in documents]
    return HotResponse(documents, headers=headers)


@router.route("POST", "/assistants/count", scope=READ, body=CountAssistants)
async def count(request: HotRequest) -> HotResponse:
    """How many of them there are."""
    wanted = await _wanted(request, body_of(request, CountAssistants))
    return HotResponse(await found.count(request.identity, wanted).arun())


@router.route("POST", "/assistants/{assistant_id}/versions", scope=READ, body=ListVersions)
async def versions(request: HotRequest) -> HotResponse:
    """An assistant's versions, the latest first."""
    assistant_id = _id(request)
    body = body_of(request, ListVersions)
    await found_assistant(request, "read", missing=f"Assistant {assistant_id} not found")
    rows = await found.versions(
        request.identity, assistant_id, body.metadata or {}, limit=body.limit, offset=body.offset
    ).arun()
    return HotResponse([version_document(row) for row in rows])


@router.route("POST", "/assistants/{assistant_id}/latest", scope=WRITE, body=SetLatest)
async def set_latest(request: HotRequest) -> HotResponse:
    """Let the assistant be what it was at an earlier version."""
    assistant_id = _id(request)
    number = body_of(request, SetLatest).version
    value = {"assistant_id": str(assistant_id), "version": number}
    await found_assistant(request, "update", value, missing=f"Assistant {assistant_id} not found")
    try:
        await in_thread(services.point_at_version, request.identity, assistant_id, number or 0)
    except NotFound:
        raise NotFound(f"Version {number} not found for assistant {assistant_id}") from None
    return await _shown(request.identity, assistant_id)


async def found_assistant(
    request: HotRequest, action: str, value: dict[str, Any] | None = None, missing: str = "Not Found", *, by: str = ""
) -> Row:
    """The assistant in the path, or with the id `by`, if `action` is allowed. Raises Invalid, NotFound, Forbidden."""
    assistant_id = uuid_of(by or request.params["assistant_id"], "assistant ID")
    filters = await allow(request, "assistants", action, value or {"assistant_id": str(assistant_id)})
    await ensure_defaults(request.identity.workspace_id)
    row = await found.find(request.identity, assistant_id, _also(filters)).arun()
    if row is None:
        raise NotFound(missing)
    return row


def document(row: Row) -> dict[str, Any]:
    """An assistant that `assistants.found` read."""
    config, context = _shown_config(row)
    return {
        "assistant_id": str(row["id"]),
        "graph_id": graph_of(row),
        "config": config,
        "context": context,
        "metadata": row["metadata"],
        "name": row["name"],
        "created_at": _moment(row["created_at"]),
        "updated_at": _moment(row["updated_at"]),
        "version": row["version"],
        "description": row["description"] or None,
    }


def version_document(row: Row) -> dict[str, Any]:
    """A version that `assistants.found` read."""
    config, context = _shown_config(row)
    return {
        "assistant_id": str(row["id"]),
        "version": row["version"],
        "graph_id": graph_of(row),
        "config": config,
        "context": context,
        "metadata": row["metadata"],
        "created_at": _moment(row["created_at"]),
        "name": row["name"],
        "description": row["description"] or None,
    }


# -- how -------------------------------------------------------------------------------------------------------------


def _id(request: HotRequest) -> UUID:
    return uuid_of(request.params["assistant_id"], "assistant ID")


def _also(filters: Filters) -> Also:
    return holds("a.metadata", filters)


async def _shown(identity: Identity, assistant_id: UUID) -> HotResponse:
    row = await found.find(identity, assistant_id).arun()
    if row is None:
        raise NotFound("Not Found")
    return HotResponse(document(row))


async def _wanted(request: HotRequest, body: CountAssistants) -> Wanted:
    if body.graph_id is not None:
        _require_graph(body.graph_id)
    value: dict[str, Any] = {"metadata": body.metadata or {}, "graph_id": body.graph_id}
    filters = await allow(request, "assistants", "search", value)
    await ensure_defaults(request.identity.workspace_id)
    return Wanted(value["metadata"], body.graph_id, body.name, _also(filters))


def _require_graph(graph_id: str) -> None:
    known = {*current().langgraph.graphs, *agent_names()} - {GRAPH}
    if graph_id not in known:
        raise NotFound(f"Graph {graph_id!r} not found. Expected one of: {sorted(known)}")


Pair = tuple[dict[str, Any] | None, dict[str, Any] | None]


def _mirrored(config: dict[str, Any] | None, context: dict[str, Any] | None) -> Pair:
    """A config and a context of which each has what the other's `configurable` or whole says; None: not changed.

    Raises BadRequest where both say something, Invalid where `configurable` is no object.
    """
    configurable = (config or {}).get("configurable")
    if not isinstance(configurable or {}, dict):
        raise Invalid.at("config", "configurable", message="must be an object")
    if configurable and context:
        raise BadRequest(BOTH)
    if context:
        return {**(config or {}), "configurable": context}, context
    if configurable:
        return config, configurable
    # An empty config says nothing.
    return config or None, context


def _configured(graph_id: str, config: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
    """What of a native configuration a graph's config and context are.

    Of a native type `configurable` is the configuration itself. Raises Invalid.
    """
    if graph_id not in agent_names():
        return {"type": GRAPH, "graph_id": graph_id, "config": config, "context": context}
    own = dict(config.get("configurable") or {})
    for key in config.keys() - {"configurable"}:
        raise Invalid.at("config", key, message=f"{key} is for hosted graphs; {graph_id} takes configurable only.")
    for key in (*_BESIDE, "graph_id"):
        if key in own:
            raise Invalid.at("config", "configurable", key, message="stands beside the config.")
    return {"type": graph_id, **own}


def _changed(now: Config, body: PatchAssistant, asked: Pair, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration after a PATCH: metadata are merged, config and context replaced."""
    graph_id = body.graph_id or now.get("graph_id") or now["type"]
    before = _config_of(now)
    config, context = (old if new is None else new for new, old in zip(asked, before, strict=True))
    return {
        # What this protocol does not know (limits, labels, times) stays as it is.
        **_kept(now, graph_id),
        "name": body.name or now["name"],
        "description": now["description"] if body.description is None else body.description,
        "metadata": {**now["metadata"], **metadata},
        **_configured(graph_id, config, context),
    }


def _kept(now: Config, graph_id: str) -> Config:
    """Of a hosted graph's configuration what neither its config nor its context says."""
    if now["type"] != GRAPH or graph_id in agent_names():
        return {}
    return {key: value for key, value in now.items() if key not in {"type", "graph_id", "config", "context"}}


def _config_of(config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    if config["type"] == GRAPH:
        return config["config"], config["context"]
    return {"configurable": {key: value for key, value in config.items() if key not in _BESIDE}}, {}


def _shown_config(row: Row) -> tuple[dict[str, Any], dict[str, Any]]:
    return _config_of(row["config"])


def _moment(value: datetime) -> str:
    return value.astimezone(UTC).isoformat()
