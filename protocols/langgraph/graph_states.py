"""States of hosted graphs for LangGraph's clients, as their own methods give them.

`graphs.states` is imported when the first of them is asked for: it loads langgraph, which the door does without.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any
from uuid import UUID

from accounts.identity import Identity
from assistants.spec import version_config
from core.db import Row
from core.errors import BadRequest, Conflict
from graphs.registry import graph_ids
from graphs.rendering import render
from protocols.langgraph.interrupts import shown
from protocols.langgraph.snapshots import nothing, place
from protocols.langgraph.thread_rows import is_native
from runs.announce import tell_removed
from runs.updating import Outdated, Update, update_session
from sessions.documents import message_from_row, message_row
from sessions.queries import messages_now

if TYPE_CHECKING:
    from graphs.states import Thread

TRIES = 3
_PLACE = ("checkpoint_ns", "checkpoint_id", "checkpoint_map")


def graph_of(row: Row) -> str | None:
    """The id of the thread's graph: its assistant's, or before its first run the one among its metadata."""
    if is_native(row):
        return None
    noted = row["metadata"].get("graph_id")
    return row["graph_id"] or (noted if isinstance(noted, str) and noted in graph_ids() else None)


def unassigned(thread_id: UUID) -> BadRequest:
    """As the protocol says it."""
    return BadRequest(
        f"Thread '{thread_id}' has no assigned graph ID. This usually occurs when no runs have been made on this "
        "particular thread. This operation requires a graph ID. Please ensure a run has been made for the thread or "
        "manually update the thread metadata (by setting the 'graph_id' field) before running this operation."
    )


@cache
def _load_langgraph() -> None:
    import_module("graphs.states")


async def thread_of(identity: Identity, row: Row, checkpoint: Mapping[str, Any] | None = None) -> "Thread":
    """The thread with its graph, at a checkpoint or where it stands."""
    if not _load_langgraph.cache_info().currsize:
        # More than a second, in which others are to be served.
        await asyncio.to_thread(_load_langgraph)
    from graphs.states import Thread  # noqa: PLC0415

    config: dict[str, Any] = {}
    if row["assistant_id"] is not None:
        config = await version_config(row["assistant_id"], row["assistant_version"]).arun()
    return Thread(
        session_id=row["id"],
        workspace_id=identity.workspace_id,
        user_id=row["user_id"],
        user=identity.user,
        graph_id=str(graph_of(row)),
        config=config.get("config") or {},
        context=config.get("context") or {},
        place={name: checkpoint[name] for name in _PLACE if checkpoint.get(name)} if checkpoint else {},
    )


async def graph_state(
    identity: Identity, row: Row, checkpoint: Mapping[str, Any] | None, *, subgraphs: bool
) -> dict[str, Any]:
    """The state at a checkpoint, or where the thread stands. Raises Conflict where its graph cannot be loaded."""
    thread = await thread_of(identity, row, checkpoint)
    from graphs.states import state_of  # noqa: PLC0415

    snapshot = await state_of(thread, subgraphs=subgraphs)
    if snapshot.created_at is None:
        asked = checkpoint and checkpoint.get("checkpoint_id")
        return nothing(place(row["id"], asked, checkpoint.get("checkpoint_ns") or "") if checkpoint and asked else None)
    return snapshot_document(snapshot)


async def graph_history(
    identity: Identity,
    row: Row,
    checkpoint: Mapping[str, Any] | None,
    *,
    before: str | None,
    metadata: Mapping[str, Any] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """What it stood at, the latest first."""
    thread = await thread_of(identity, row, checkpoint)
    from graphs.states import history_of  # noqa: PLC0415

    found = await history_of(thread, before=before, metadata=metadata, limit=limit)
    return [snapshot_document(snapshot) for snapshot in found]


async def change_graph(
    identity: Identity,
    row: Row,
    checkpoint: Mapping[str, Any] | None,
    supersteps: Sequence[Sequence[Mapping[str, Any]]],
) -> dict[str, Any]:
    """Change the state, and store what comes of it; gives the new checkpoint's place.

    Where somebody else changes the thread meanwhile it is done again on what is there then.
    Raises BadRequest for what does not fit the graph, and as `runs.updating.update_session`.
    """
    thread = await thread_of(identity, row, checkpoint)
    from graphs.states import change_state  # noqa: PLC0415

    for _ in range(TRIES):
        session, said = await messages_now(row["id"]).arun()
        changed = await change_state(thread, supersteps, [message_from_row(message) for message in said])
        before = session["state"]
        update = Update(
            messages=[message_row(message) for message in changed.messages],
            changes={key: value for key, value in changed.values.items() if key not in before or before[key] != value},
            removed=[key for key in before if key not in changed.values],
            next=changed.next,
            graph=changed.rows,
            at_step=session["step"],
        )
        try:
            updated = await update_session(identity, row["id"], update).arun()
        except Outdated:
            continue
        await tell_removed(updated.ended)
        return changed.checkpoint
    raise Conflict("The thread changed while it was being updated; try again.")


# -- documents ---------------------------------------------------------------------------------------------------------


def snapshot_document(snapshot: Any) -> dict[str, Any]:
    """LangGraph's `StateSnapshot` as its server shows it."""
    checkpoint, parent = _place(snapshot.config), _place(snapshot.parent_config)
    return {
        "values": render(snapshot.values),
        "next": list(snapshot.next),
        "tasks": [_task(task) for task in snapshot.tasks],
        # LangGraph's checkpointers leave the thread out of what they keep.
        "metadata": snapshot.metadata and {**render(snapshot.metadata), "thread_id": _thread_id(snapshot)},
        "created_at": snapshot.created_at,
        "checkpoint": checkpoint,
        "parent_checkpoint": parent,
        "interrupts": _interrupts(snapshot.interrupts),
        "checkpoint_id": checkpoint and checkpoint.get("checkpoint_id"),
        "parent_checkpoint_id": parent and parent.get("checkpoint_id"),
    }


def _task(task: Any) -> dict[str, Any]:
    # The state of a subgraph is there where it was asked for, else where it is to be found.
    inner = hasattr(task.state, "tasks")
    return {
        "id": task.id,
        "name": task.name,
        "path": render(task.path),
        "error": None if task.error is None else render(task.error),
        "interrupts": _interrupts(task.interrupts),
        "checkpoint": None if task.state is None else _place(task.state.config if inner else task.state),
        "state": snapshot_document(task.state) if inner else None,
        "result": render(task.result),
    }


def _interrupts(interrupts: Sequence[Any]) -> list[dict[str, Any]]:
    return [shown({"id": interrupt.id, "value": render(interrupt.value)}) for interrupt in interrupts]


def _thread_id(snapshot: Any) -> str:
    return str(snapshot.config["configurable"]["thread_id"])


def _place(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if config is None:
        return None
    names = ("checkpoint_id", "thread_id", "checkpoint_ns", "checkpoint_map")
    return {name: config["configurable"][name] for name in names if name in config["configurable"]}
