"""The states of hosted graphs, read and changed from outside: by LangGraph's own methods, on our rows.

What a change leaves is not written here but given to the caller, who stores it with everything that follows from it.

Imports langgraph: imported when such a state is first asked for.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langgraph.errors import InvalidUpdateError
from langgraph.types import StateSnapshot, StateUpdate

from core.errors import BadRequest, Conflict
from core.ids import new_id
from graphs.given import command_of
from graphs.registry import BrokenGraphError, UnknownGraphError, graph_for
from graphs.rendering import render
from graphs.said import Said
from graphs.saver import Saver
from graphs.store import Store
from runtime.contract import Json, Message
from runtime.graph_rows import GraphRows

# What a graph's own code, its reducers, makes of values that do not fit it.
_MISFITS = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError)
ROOT = "__root__"


class MisfitError(BadRequest):
    """The values, or the node that is to have written them, do not fit the graph."""


@dataclass(frozen=True, slots=True)
class Thread:
    """A thread and its graph. `config` and `context` are the assistant's, `place` a checkpoint as keys of
    `configurable`: empty is where the thread stands. `user_id` is whose the thread is, `user` who asks, if the
    deployment knows them: a factory may want to."""

    session_id: UUID
    workspace_id: UUID
    graph_id: str
    user_id: str | None = None
    user: Any = None
    config: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    place: Mapping[str, Any] = field(default_factory=dict)

    def at(self, place: Mapping[str, Any]) -> dict[str, Any]:
        """The config of a call, at this place."""
        configurable = {**(self.config.get("configurable") or {}), "graph_id": self.graph_id, "checkpoint_ns": ""}
        configurable |= {"thread_id": str(self.session_id), **place}
        return {**self.config, "configurable": configurable, "metadata": {"graph_id": self.graph_id}}


@dataclass(slots=True)
class Changed:
    """What a change leaves: rows to store, where the graph stands then, and which messages are new in it."""

    rows: GraphRows
    checkpoint: dict[str, Any]
    values: dict[str, Json]
    next: list[str]
    messages: list[Message]


class _Gathered:
    """Takes what the checkpointer hands over."""

    def __init__(self) -> None:
        self.rows = GraphRows()

    async def put(self, rows: GraphRows) -> None:
        self.rows.add(rows)


@asynccontextmanager
async def _opened(thread: Thread, saver: Saver, access: str) -> AsyncIterator[Any]:
    asked = {**thread.at({}), "context": dict(thread.context) or None}
    store = Store(thread.workspace_id, thread.user_id)
    opened = graph_for(thread.graph_id, asked, store=store, checkpointer=saver, user=thread.user, access=access)
    try:
        async with opened as graph:
            yield graph
    except (UnknownGraphError, BrokenGraphError) as error:
        raise Conflict(str(error)) from error


async def state_of(thread: Thread, *, subgraphs: bool = False) -> StateSnapshot:
    """What the graph stands at, or stood at: nothing, where there is no such checkpoint or subgraph.

    Raises Conflict where the graph is not hosted any more or cannot be loaded.
    """
    async with _opened(thread, Saver(thread.session_id), "read") as graph:
        return await graph.aget_state(thread.at(thread.place), subgraphs=subgraphs)  # type: ignore[no-any-return]


async def history_of(
    thread: Thread, *, before: str | None, metadata: Mapping[str, Any] | None, limit: int
) -> list[StateSnapshot]:
    """What it stood at, the latest first. Raises as `state_of`."""
    until = {"configurable": {"checkpoint_id": before}} if before else None
    async with _opened(thread, Saver(thread.session_id), "read") as graph:
        found = graph.aget_state_history(
            thread.at(thread.place), filter=dict(metadata) if metadata else None, before=until, limit=limit
        )
        return [snapshot async for snapshot in found]


async def change_state(
    thread: Thread, supersteps: Sequence[Sequence[Mapping[str, Any]]], said: Sequence[Message]
) -> Changed:
    """Change the state in one superstep, or several after each other, each of updates `values`, `command`, `as_node`.

    `said` are the messages that the session has. Raises as `state_of`, and MisfitError.
    """
    gathered = _Gathered()
    updates = [[_update(update) for update in superstep] for superstep in supersteps]
    async with _opened(thread, Saver(thread.session_id, sink=gathered), "update") as graph:
        try:
            config = await graph.abulk_update_state(thread.at(thread.place), updates)
            # The thread's, also where a subgraph of it was changed.
            snapshot = await graph.aget_state(thread.at({}))
        except InvalidUpdateError as error:
            raise MisfitError(str(error)) from error
        except _MISFITS as error:
            raise MisfitError(f"{type(error).__name__}: {error}") from error
    values = render(snapshot.values)
    return Changed(
        rows=gathered.rows,
        checkpoint={name: config["configurable"][name] for name in ("thread_id", "checkpoint_ns", "checkpoint_id")},
        values=values if isinstance(values, dict) else {} if values is None else {ROOT: values},
        next=list(snapshot.next),
        messages=Said(str(new_id()), said).new(snapshot.values),
    )


def _update(given: Mapping[str, Any]) -> StateUpdate:
    # A command stands in the place of what a node returns, as it may for a node.
    values: Any = command_of(given["command"]) if given.get("command") else given["values"]
    return StateUpdate(values, given.get("as_node"))
