"""Sessions as threads: read with what LangGraph's clients see of them, in a fixed number of statements.

A thread is a session of any assistant, or of none yet. Sessions of sub-agents are no threads: they belong to the one
that started them. Neither is one that was made for a single run, once that has ended.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from core.db import Operation, Query, Row, jsonb, operation
from core.errors import NotFound
from protocols.langgraph.access import Filters, holds
from protocols.langgraph.interrupts import by_task, interrupts_of
from protocols.langgraph.messages import langchain_messages

# The graph and the assistant of a thread are found among its metadata, as LangGraph notes them there with a run.
METADATA = """
(s.metadata || CASE WHEN a.id IS NULL THEN '{}' ELSE
    jsonb_build_object('graph_id', coalesce(a.graph_id, a.type), 'assistant_id', a.id) END)
"""
# What waits at a checkpoint that was written from outside waits for whoever goes on from there.
STATUS = """
CASE WHEN s.activity = 'interrupted' THEN 'interrupted' WHEN s.head_run_id IS NOT NULL THEN 'busy'
    WHEN s.activity = 'error' THEN 'error' WHEN c.source = 'update' AND c.next <> '[]' THEN 'interrupted'
    ELSE 'idle' END
"""
_FROM = """
FROM sessions s LEFT JOIN assistants a ON a.id = s.assistant_id LEFT JOIN checkpoints c ON c.id = s.checkpoint_id
"""
IS_THREAD = f"""
{visible("s")} AND s.parent_id IS NULL AND NOT (s.ephemeral AND (s.head_run_id IS NULL OR s.activity = 'interrupted'))
"""
_COLUMNS = f"""
s.id, s.created_at, greatest(s.updated_at, s.last_activity_at) AS updated_at, s.last_activity_at AS state_updated_at,
{METADATA} AS metadata, {STATUS} AS status, s.assistant_id, s.assistant_version, a.type, a.graph_id, s.checkpoint_id,
s.user_id, s.message_count, s.state ? 'messages' AS says, s.head_run_id, s.ttl_seconds, s.ttl_strategy, s.expires_at,
asking.interrupt, asking.checkpoint_id AS asked_at, failed.error
"""
_AND_THEIR_RUNS = """
LEFT JOIN runs asking ON asking.id = s.head_run_id AND asking.status = 'interrupted'
LEFT JOIN LATERAL (
    SELECT r.error FROM runs r WHERE r.session_id = s.id AND s.activity = 'error' AND s.head_run_id IS NULL
    ORDER BY r.number DESC NULLS LAST LIMIT 1) failed ON true
"""
_ORDER = {
    "thread_id": "s.id",
    "status": "status",
    "created_at": "s.created_at",
    "updated_at": "updated_at",
    "state_updated_at": "state_updated_at",
}


def not_found(thread_id: UUID) -> NotFound:
    """As the protocol says it."""
    return NotFound(f"Thread with ID {thread_id} not found")


@operation()
def get_thread(
    identity: Identity, thread_id: UUID, filters: Filters | None = None, *, values: bool = True
) -> Operation[Row]:
    """A thread's row, with its `state` and `messages` if its `values` are wanted. Raises NotFound."""
    allowed, parameters = holds(METADATA, filters or {})
    rows = yield Query(
        f"SELECT {_COLUMNS}, {'s.state' if values else 'NULL'} AS state {_FROM} {_AND_THEIR_RUNS} "
        f"WHERE s.id = %(thread)s AND {IS_THREAD} AND {allowed}",
        {"thread": thread_id, **parameters_of(identity), **parameters},
    )
    if not rows:
        raise not_found(thread_id)
    if values:
        yield from _add_messages(rows)
    return rows[0]


@operation()
def search_threads(
    identity: Identity,
    wanted: Mapping[str, Any],
    filters: Filters,
    *,
    limit: int,
    offset: int,
    sort_by: str,
    descending: bool,
    values: bool,
) -> Operation[tuple[list[Row], bool]]:
    """The rows of a page of threads, and whether more follow; `wanted` is what `_condition` takes."""
    condition, parameters = _condition(wanted, filters)
    way = "DESC" if descending else "ASC"
    rows = yield Query(
        f"SELECT {_COLUMNS}, {'s.state' if values else 'NULL'} AS state {_FROM} {_AND_THEIR_RUNS} "
        f"WHERE {IS_THREAD} AND {condition} ORDER BY {_ORDER[sort_by]} {way}, s.id {way} "
        "LIMIT %(limit)s OFFSET %(offset)s",
        {**parameters_of(identity), **parameters, "limit": limit + 1, "offset": offset},
    )
    found = rows[:limit]
    if values:
        yield from _add_messages(found)
    return found, len(rows) > limit


@operation()
def count_threads(identity: Identity, wanted: Mapping[str, Any], filters: Filters) -> Operation[int]:
    """How many there are."""
    condition, parameters = _condition(wanted, filters)
    rows = yield Query(
        f"SELECT count(*) AS threads {_FROM} WHERE {IS_THREAD} AND {condition}",
        {**parameters_of(identity), **parameters},
    )
    count: int = rows[0]["threads"]
    return count


def _condition(wanted: Mapping[str, Any], filters: Filters) -> tuple[str, dict[str, Any]]:
    """`wanted`: `ids`, `status`, and what `metadata` and `values` contain; what is None or absent asks nothing."""
    allowed, parameters = holds(METADATA, filters)
    conditions = [allowed]
    if wanted.get("ids") is not None:
        conditions.append("s.id = ANY(%(ids)s)")
        parameters["ids"] = list(wanted["ids"])
    if wanted.get("status") is not None:
        conditions.append(f"{STATUS} = %(status)s")
        parameters["status"] = wanted["status"]
    if wanted.get("metadata"):
        conditions.append(f"{METADATA} @> %(metadata)s")
        parameters["metadata"] = jsonb(wanted["metadata"])
    if wanted.get("values"):
        conditions.append("s.state @> %(values)s")
        parameters["values"] = jsonb(wanted["values"])
    return " AND ".join(f"({condition})" for condition in conditions), parameters


# -- documents ---------------------------------------------------------------------------------------------------------


def is_native(row: Row) -> bool:
    """Whether the thread's messages are rows of ours, and not a part of a graph's values.

    One whose assistant was deleted is what it was: only a graph has messages in its values.
    """
    if row["type"] is None:
        return bool(row["message_count"]) and not row["says"]
    return bool(row["type"] != "Graph")


def _add_messages(threads: Sequence[Row]) -> Operation[None]:
    """Give those threads their `messages` that have them apart from their state; one statement for all."""
    native = {row["id"]: row for row in threads if is_native(row)}
    for row in native.values():
        row["messages"] = []
    if not native:
        return
    rows = yield Query(
        "SELECT m.* FROM messages m WHERE m.session_id = ANY(%(threads)s) AND m.dropped_at_step IS NULL "
        "ORDER BY m.session_id, m.seq",
        {"threads": list(native)},
    )
    for message in rows:
        native[message["session_id"]]["messages"].append(message)


def values_of(row: Row) -> dict[str, Any] | None:
    """What the thread stands at; None before anything was written."""
    if row["checkpoint_id"] is None:
        return None
    state: dict[str, Any] = row["state"]
    return native_values(state, row["messages"]) if is_native(row) else state


def native_values(state: Mapping[str, Any], messages: Iterable[Row]) -> dict[str, Any]:
    """The values of a native assistant: the conversation beside the keys of its state."""
    return {**state, "messages": langchain_messages(messages)}


def thread_document(row: Row, fields: Collection[str] | None = None) -> dict[str, Any]:
    """A thread, or these fields of it; `values` are among them only where the row was read with them."""
    document: dict[str, Any] = {
        "thread_id": str(row["id"]),
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
        "state_updated_at": moment(row["state_updated_at"]),
        "metadata": row["metadata"],
        "status": row["status"],
        "config": {} if row["assistant_id"] is None else {"configurable": {}},
    }
    if fields is None or "values" in fields:
        document["values"] = values_of(row)
    if row["checkpoint_id"] is not None or row["status"] in {"error", "interrupted"}:
        document["error"] = error_document(row["error"])
        document["interrupts"] = by_task(interrupts_of(row["head_run_id"], row["interrupt"], row["asked_at"]))
    return document if fields is None else {name: document[name] for name in document if name in fields}


def ttl_document(row: Row) -> dict[str, Any] | None:
    """`?include=ttl`; None for a thread that is kept."""
    if row["ttl_seconds"] is None:
        return None
    return {
        "strategy": row["ttl_strategy"] or "expire",
        "ttl_minutes": row["ttl_seconds"] / 60,
        "expires_at": None if row["expires_at"] is None else moment(row["expires_at"]),
    }


def error_document(error: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Why a run failed, as LangGraph tells it."""
    return None if error is None else {"error": error["type"], "message": error["message"]}


def moment(value: datetime) -> str:
    """A moment as LangGraph writes it."""
    return value.astimezone(UTC).isoformat()
