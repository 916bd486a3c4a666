"""States of native assistants for LangGraph's clients, from the session's checkpoints.

To them such an assistant is a graph of two nodes, `model` and `tools`. Its values are the conversation under `messages`
beside the keys of its state.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from core.db import Operation, Query, Row, jsonb, operation
from core.errors import BadRequest, Invalid
from protocols.langgraph.interrupts import interrupts_of, shown, task_id
from protocols.langgraph.messages import langchain_message, native_messages
from protocols.langgraph.snapshots import nothing, place
from protocols.langgraph.thread_rows import moment
from runs.updating import Update
from sessions.queries import VALUES_AT

START = "__start__"
NODES = ("model", "tools")

# As LangGraph counts, the input's checkpoint is number -1.
_METADATA = """
(coalesce(r.metadata, '{}') || jsonb_strip_nulls(jsonb_build_object('run_id', r.id, 'graph_id',
    coalesce(a.graph_id, a.type), 'assistant_id', a.id))
|| jsonb_build_object('thread_id', c.session_id, 'step', c.step - 2, 'parents', '{}'::jsonb, 'source',
    CASE WHEN c.source IN ('input', 'fork') THEN c.source WHEN c.source = 'update' AND c.run_id IS NULL THEN 'update'
        ELSE 'loop' END))
"""
_STATES = f"""
SELECT c.id, c.session_id, c.run_id, c.parent_id, c.step, c.next, c.message_count, c.created_at,
    {_METADATA} AS metadata, asking.interrupt, values_at.values
FROM checkpoints c JOIN sessions s ON s.id = c.session_id LEFT JOIN runs r ON r.id = c.run_id
LEFT JOIN assistants a ON a.id = coalesce(r.assistant_id, s.assistant_id)
LEFT JOIN runs asking ON asking.id = c.run_id AND asking.checkpoint_id = c.id AND asking.status = 'interrupted'
CROSS JOIN LATERAL ({VALUES_AT.replace("%(checkpoint)s", "c.id")}) AS values_at
WHERE c.session_id = %(session)s AND (%(checkpoint)s::uuid IS NULL OR c.id = %(checkpoint)s)
    AND (%(before)s::uuid IS NULL
        OR c.step < (SELECT b.step FROM checkpoints b WHERE b.id = %(before)s AND b.session_id = c.session_id))
    AND (%(metadata)s::jsonb IS NULL OR {_METADATA} @> %(metadata)s::jsonb)
ORDER BY c.step DESC LIMIT %(limit)s
"""  # noqa: S608 - constants


@operation()
def native_states(
    session_id: UUID,
    *,
    checkpoint_id: UUID | None = None,
    before: UUID | None = None,
    metadata: Mapping[str, Any] | None = None,
    limit: int = 1,
) -> Operation[list[dict[str, Any]]]:
    """What the session stood at, the latest first, in two statements.

    `checkpoint_id`: at that one only. `before`: only those before that one. `metadata`: those that have this in theirs.
    The caller may see the session.
    """
    rows = yield Query(
        _STATES,
        {
            "session": session_id,
            "checkpoint": checkpoint_id,
            "before": before,
            "metadata": jsonb(metadata) if metadata else None,
            "limit": limit,
        },
    )
    if not rows:
        return []
    messages = yield Query(
        "SELECT * FROM messages WHERE session_id = %(session)s AND seq <= %(most)s ORDER BY seq",
        {"session": session_id, "most": max(row["message_count"] for row in rows)},
    )
    told = [(message, langchain_message(message)) for message in messages]
    return [_state(row, [document for message, document in told if _sees(row, message)]) for row in rows]


def _sees(checkpoint: Row, message: Row) -> bool:
    """As `sessions.queries.SEEN_AT` says it."""
    dropped = message["dropped_at_step"]
    return (
        message["seq"] <= checkpoint["message_count"]
        and message["step"] <= checkpoint["step"]
        and (dropped is None or dropped > checkpoint["step"])
    )


def _state(row: Row, messages: list[dict[str, Any]]) -> dict[str, Any]:
    asked = interrupts_of(row["run_id"], row["interrupt"], row["id"])
    parent = row["parent_id"]
    return {
        "values": {**row["values"], "messages": messages},
        "next": row["next"],
        "tasks": [_task(row, name, asked) for name in row["next"]],
        "metadata": row["metadata"],
        "created_at": moment(row["created_at"]),
        "checkpoint": place(row["session_id"], row["id"]),
        "parent_checkpoint": None if parent is None else place(row["session_id"], parent),
        "interrupts": [shown(one) for one in asked],
        "checkpoint_id": str(row["id"]),
        "parent_checkpoint_id": None if parent is None else str(parent),
    }


def _task(row: Row, name: str, asked: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": asked[0]["task_id"] if asked else task_id(row["id"], name),
        "name": name,
        "path": ["__pregel_pull", name],
        "error": None,
        "interrupts": [shown(one) for one in asked],
        "checkpoint": None,
        "state": None,
        "result": None,
    }


async def native_state(session_id: UUID, current: UUID | None, checkpoint_id: UUID | None) -> dict[str, Any]:
    """The state at a checkpoint, or at the `current` one where the session has any."""
    wanted = checkpoint_id or current
    if wanted is None:
        return nothing()
    found = await native_states(session_id, checkpoint_id=wanted).arun()
    return found[0] if found else nothing(place(session_id, wanted))


def native_update(values: Any, as_node: str | None, last_node: str, checkpoint_id: UUID | None) -> Update:
    """The change that a client asks for, as ours.

    `values`: new `messages`, and keys of the state, of which null takes one away. `as_node`: which node is to have
    written them, None: `last_node`. Raises BadRequest for an unknown node, and Invalid for values that cannot be.
    """
    if as_node is not None and as_node not in {START, *NODES}:
        raise BadRequest(f"Node {as_node} does not exist")
    if values is not None and not isinstance(values, dict):
        raise Invalid("values: give an object, with messages, keys of the state, or both.")
    given = dict(values or {})
    said = given.pop("messages", None)
    messages = [] if said is None else native_messages(said, "values", "messages")
    return Update(
        messages=messages,
        changes={key: value for key, value in given.items() if value is not None},
        removed=[key for key, value in given.items() if value is None],
        next=_next(as_node or last_node, messages),
        checkpoint_id=checkpoint_id,
    )


def _next(node: str, messages: Sequence[Mapping[str, Any]]) -> list[str]:
    if node != "model":
        return ["model"]
    return ["tools"] if messages and messages[-1]["tool_calls"] else []


@operation()
def last_node(session_id: UUID, checkpoint_id: UUID | None) -> Operation[str]:
    """Which node wrote last before a checkpoint; before the first one it is the input's."""
    rows = yield Query(
        "SELECT source, next FROM checkpoints WHERE session_id = %(session)s AND id = %(checkpoint)s",
        {"session": session_id, "checkpoint": checkpoint_id},
    )
    if not rows or rows[0]["source"] == "input":
        return START
    return "model" if rows[0]["source"] in {"model", "end", "update", "interrupt"} else "tools"
