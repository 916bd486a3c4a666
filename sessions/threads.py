"""Writes to sessions that LangGraph's protocol has and the native API has not: one without an assistant, ones that are
changed from outside while no run is under way, and whole copies."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from core.db import Operation, Query, Row, jsonb, operation
from core.errors import AlreadyExists, NotFound
from core.ids import new_id
from sessions.graph_rows import copy_graphs
from sessions.models import TtlStrategy
from sessions.services import refuse_overgrown, session_user


@dataclass(frozen=True, slots=True)
class Ttl:
    """How many seconds after its last use a session's time is over, and what becomes of it then."""

    seconds: int
    strategy: TtlStrategy


_OPEN = """
INSERT INTO sessions (id, workspace_id, user_id, title, metadata, context, state, ttl_seconds, ttl_strategy, expires_at)
VALUES (%(id)s, %(workspace)s, %(user)s, '', %(metadata)s, '{}', '{}', %(ttl)s::int, %(strategy)s,
    clock_timestamp() + make_interval(secs => %(ttl)s::int))
ON CONFLICT (id) DO NOTHING RETURNING *
"""


@operation()
def open_thread(identity: Identity, session_id: UUID, metadata: dict[str, Any], ttl: Ttl | None) -> Operation[Row]:
    """Open a session that no assistant serves yet; gives its row. A run that names an assistant gives it one.

    Raises AlreadyExists, whoever has the session of that id.
    """
    opened = yield Query(
        _OPEN,
        {
            "id": session_id,
            "workspace": identity.workspace_id,
            "user": session_user(identity, None),
            "metadata": jsonb(metadata),
            "ttl": ttl and ttl.seconds,
            "strategy": ttl and str(ttl.strategy),
        },
    )
    if not opened:
        raise AlreadyExists(f"A session with the id {session_id} exists.")
    return opened[0]


_CHANGE = f"""
UPDATE sessions s SET metadata = s.metadata || %(metadata)s, updated_at = clock_timestamp(),
    ttl_seconds = coalesce(%(ttl)s::int, s.ttl_seconds), ttl_strategy = coalesce(%(strategy)s, s.ttl_strategy),
    expires_at = CASE WHEN %(ttl)s::int IS NULL THEN s.expires_at
        ELSE clock_timestamp() + make_interval(secs => %(ttl)s::int) END
WHERE s.id = %(session)s AND {visible("s")} RETURNING s.metadata
"""  # noqa: S608


@operation(atomic=True)
def change_thread(identity: Identity, session_id: UUID, metadata: dict[str, Any], ttl: Ttl | None) -> Operation[None]:
    """Merge metadata, and give the session another time to live, from now on.

    Raises NotFound, or Invalid where all its metadata together are too many.
    """
    changed = yield Query(
        _CHANGE,
        {
            "session": session_id,
            **parameters_of(identity),
            "metadata": jsonb(metadata),
            "ttl": ttl and ttl.seconds,
            "strategy": ttl and str(ttl.strategy),
        },
    )
    if not changed:
        raise NotFound("There is no such session.")
    refuse_overgrown(changed[0]["metadata"])


# -- copies ------------------------------------------------------------------------------------------------------------

# Held until the copy is whole: a step of a run that was stored meanwhile would be there in part.
_SOURCE = f"""
SELECT s.id, s.checkpoint_id FROM sessions s WHERE s.id = %(source)s AND {visible("s")} FOR SHARE
"""  # noqa: S608

_COPY_SESSION = """
INSERT INTO sessions (id, workspace_id, assistant_id, assistant_version, user_id, title, metadata, context, state,
    message_count, step, checkpoint_id, ttl_seconds, ttl_strategy, expires_at)
SELECT %(id)s, workspace_id, assistant_id, assistant_version, user_id, title, metadata || %(metadata)s, context, state,
    message_count, step, %(checkpoint)s, ttl_seconds, ttl_strategy,
    clock_timestamp() + make_interval(secs => ttl_seconds)
FROM sessions WHERE id = %(source)s
"""

# Without their runs, which belong to the other session.
_COPY_MESSAGES = """
INSERT INTO messages (id, session_id, seq, step, dropped_at_step, role, content, tool_calls, tool_call_id, name,
    metadata, created_at)
SELECT g.copy, %(id)s, m.seq, m.step, m.dropped_at_step, m.role, m.content, m.tool_calls, m.tool_call_id, m.name,
    m.metadata, m.created_at
FROM unnest(%(ids)s::uuid[], %(copies)s::uuid[]) AS g(id, copy) JOIN messages m ON m.id = g.id
"""
_COPY_CHECKPOINTS = """
WITH copied AS (SELECT * FROM unnest(%(ids)s::uuid[], %(copies)s::uuid[]) AS g(id, copy))
INSERT INTO checkpoints (id, session_id, parent_id, step, source, next, message_count, changes, removed,
    graph_checkpoint_id, created_at)
SELECT g.copy, %(id)s, parent.copy, c.step, c.source, c.next, c.message_count, c.changes, c.removed,
    c.graph_checkpoint_id, c.created_at
FROM copied g JOIN checkpoints c ON c.id = g.id LEFT JOIN copied parent ON parent.id = c.parent_id
"""


@operation(atomic=True)
def copy_thread(identity: Identity, source: UUID, target: UUID, metadata: dict[str, Any]) -> Operation[None]:
    """Make the session `target` of all that `source` holds, its past included; its runs are not copied.

    From then on neither knows of the other. `metadata` are what it has beside those of the other one.
    Raises NotFound.
    """
    found = yield Query(_SOURCE, {"source": source, **parameters_of(identity)})
    if not found:
        raise NotFound("There is no such session.")
    copies: dict[str, dict[UUID, UUID]] = {}
    for table in ("messages", "checkpoints"):
        rows = yield Query(f"SELECT id FROM {table} WHERE session_id = %(source)s ORDER BY id", {"source": source})  # noqa: S608
        copies[table] = {row["id"]: new_id() for row in rows}
    scope = {"id": target, "source": source}
    yield Query(
        _COPY_SESSION,
        {**scope, "metadata": jsonb(metadata), "checkpoint": copies["checkpoints"].get(found[0]["checkpoint_id"])},
    )
    for table, statement in (("messages", _COPY_MESSAGES), ("checkpoints", _COPY_CHECKPOINTS)):
        ids = copies[table]
        yield Query(statement, {**scope, "ids": list(ids), "copies": list(ids.values())})
    yield from copy_graphs(source, target)


# -- figures -----------------------------------------------------------------------------------------------------------

# Bytes of text, as the rows are written.
_STORAGE = """
SELECT 'checkpoints' AS kind, NULL AS channel, count(*) AS count,
    coalesce(sum(octet_length(document::text) + octet_length(metadata::text)), 0)::bigint AS bytes
FROM graph_checkpoints WHERE session_id = %(session)s
UNION ALL
SELECT 'checkpoints', NULL, count(*), coalesce(sum(octet_length(changes::text)), 0)::bigint
FROM checkpoints WHERE session_id = %(session)s
UNION ALL
SELECT 'values', channel, count(*), coalesce(sum(octet_length(value::text)), 0)::bigint
FROM graph_values WHERE session_id = %(session)s GROUP BY channel
UNION ALL
SELECT 'values', 'messages', count(*), coalesce(sum(octet_length(content::text) + octet_length(tool_calls::text)), 0)
FROM messages WHERE session_id = %(session)s
UNION ALL
SELECT 'writes', NULL, count(*), coalesce(sum(octet_length(value::text)), 0)::bigint
FROM graph_writes WHERE session_id = %(session)s
"""


@operation()
def thread_storage(session_id: UUID) -> Operation[list[Row]]:
    """How much is stored of a session that the caller may see: `count` and `bytes` by `kind` and `channel`.

    Kinds are "checkpoints" (the session's own, and its graph's), "values" (of a channel; those of "messages" are the
    conversation too) and "writes". A pair may come more than once.
    """
    return (yield Query(_STORAGE, {"session": session_id}))
