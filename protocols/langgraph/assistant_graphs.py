"""What the graph behind an assistant looks like: its drawing, its schemas, its subgraphs.

A native assistant has the graph that its type amounts to: messages go in, messages come out.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from assistants.config import GRAPH
from core.db import Row
from core.errors import Conflict, Invalid, NotFound
from core.hot import HotRequest, HotResponse, Router
from graphs.registry import BrokenGraphError, UnknownGraphError, graph_for
from protocols.langgraph.assistants import READ, found_assistant
from protocols.langgraph.reading import flag_of
from protocols.langgraph.resolving import find_assistant

router = Router()
MAX_XRAY = 100

_MESSAGES = {
    "type": "object",
    "title": "Messages",
    "properties": {"messages": {"type": "array", "title": "Messages", "items": {"type": "object"}}},
}
_NATIVE_SCHEMAS = {
    "input_schema": {**_MESSAGES, "required": ["messages"]},
    "output_schema": _MESSAGES,
    "state_schema": _MESSAGES,
    "config_schema": {},
    "context_schema": None,
}


@router.route("GET", "/assistants/{assistant_id}/graph", scope=READ)
async def graph(request: HotRequest) -> HotResponse:
    """The drawing of an assistant's graph; `xray` shows subgraphs, down to a depth."""
    xray = _xray(request.query.get("xray", "false"))
    # Here, and nowhere else of an assistant's own routes, a graph's name will do.
    named = await find_assistant(request.identity, request.params["assistant_id"])
    row = await found_assistant(request, "read", by=str(named["id"]) if named else "")
    if row["type"] != GRAPH:
        return HotResponse(_native_drawing(row))
    from graphs.schemas import drawing_of  # noqa: PLC0415

    async with _graph(row) as found:
        return HotResponse(await drawing_of(found, xray))


@router.route("GET", "/assistants/{assistant_id}/schemas", scope=READ)
async def schemas(request: HotRequest) -> HotResponse:
    """The JSON Schemas of its input, output, state, config and context."""
    row = await found_assistant(request, "read")
    if row["type"] != GRAPH:
        return HotResponse({"graph_id": row["type"], **_NATIVE_SCHEMAS})
    from graphs.schemas import schemas_of  # noqa: PLC0415

    async with _graph(row) as found:
        return HotResponse({"graph_id": row["graph_id"], **schemas_of(found)})


@router.route("GET", "/assistants/{assistant_id}/subgraphs", scope=READ)
async def subgraphs(request: HotRequest) -> HotResponse:
    """The schemas of its subgraphs by their place; `recurse`: of theirs, too."""
    return await _subgraphs(request, None)


@router.route("GET", "/assistants/{assistant_id}/subgraphs/{namespace}", scope=READ)
async def subgraphs_at(request: HotRequest) -> HotResponse:
    """The schemas of the subgraph at this place."""
    return await _subgraphs(request, request.params["namespace"])


async def _subgraphs(request: HotRequest, namespace: str | None) -> HotResponse:
    recurse = flag_of(request, "recurse")
    row = await found_assistant(request, "read")
    if row["type"] != GRAPH:
        return HotResponse({})
    from graphs.schemas import subgraphs_of  # noqa: PLC0415

    async with _graph(row) as found:
        return HotResponse(await subgraphs_of(found, namespace, recurse=recurse))


@asynccontextmanager
async def _graph(row: Row) -> AsyncIterator[Any]:
    """The assistant's graph, to be looked at. Raises NotFound, Conflict."""
    own = row["config"]
    config = {**own["config"], "context": own["context"]}
    try:
        async with graph_for(row["graph_id"], config, store=None, checkpointer=None, access="assistants") as found:
            yield found
    except UnknownGraphError as fault:
        raise NotFound(str(fault)) from None
    except BrokenGraphError as fault:
        # What is wrong is the deployment's, and no secret to its clients.
        raise Conflict(str(fault)) from fault


def _xray(text: str) -> int | bool:
    if text.lower() in {"true", "false", ""}:
        return text.lower() == "true"
    if text.isdecimal() and 0 < int(text) <= MAX_XRAY:
        return int(text)
    raise Invalid("Invalid xray value")


def _native_drawing(row: Row) -> dict[str, Any]:
    """The model, and the tools where it has some, that it goes back to."""
    tools = [use["name"] for use in row["config"]["tools"] if use["enabled"]]
    nodes: list[dict[str, Any]] = [_node("__start__"), _node("model")]
    edges: list[dict[str, Any]] = [{"source": "__start__", "target": "model"}]
    if tools:
        nodes.append({**_node("tools"), "metadata": {"__tools": tools}})
        edges += [
            {"source": "model", "target": "tools", "conditional": True},
            {"source": "tools", "target": "model"},
        ]
    edges.append({"source": "model", "target": "__end__", **({"conditional": True} if tools else {})})
    return {"nodes": [*nodes, {"id": "__end__"}], "edges": edges}


def _node(name: str) -> dict[str, Any]:
    return {"id": name, "type": "runnable", "data": {"name": name}}
