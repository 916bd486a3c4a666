"""A session's state as somebody from outside makes it, while no run of it is carried out: LangGraph's `update_state`.

It is a step of its own: new messages and changed keys of the state come with a checkpoint of the source `update`. A run
that asks a person is over with it, as with a run that goes on there: what it asked stands at a checkpoint before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from accounts import audit
from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from core.db import Operation, Query, Row, jsonb, operation
from core.errors import Conflict, Invalid, NotFound, SessionBusy, SessionClosed
from core.ids import new_id
from runs.ending import end_waiting
from runs.lifecycle import Status
from runtime.graph_rows import GraphRows
from runtime.values import METADATA
from sessions.graph_rows import STANDS_AT, insert_rows
from sessions.models import CheckpointSource, MessageRole
from sessions.models import Status as SessionStatus
from sessions.queries import messages_at, values_at


@dataclass(slots=True)
class Update:
    """What is to change.

    `messages` are rows but for their place, to be said after those that are there; `changes` sets keys of the state,
    `removed` deletes them, `next` names what is to follow. `checkpoint_id`: an earlier checkpoint of the session to go
    on from, None: where it stands. `graph` are rows of a hosted graph. `at_step`: the session's step as it was when
    this was made, None where that makes no difference.
    """

    messages: Sequence[Row] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    removed: Sequence[str] = ()
    next: Sequence[str] = ()
    checkpoint_id: UUID | None = None
    graph: GraphRows = field(default_factory=GraphRows)
    at_step: int | None = None


@dataclass(frozen=True, slots=True)
class Updated:
    """The checkpoint that came of it, and the rows (`id`, `session_id`) of the runs that ended with it."""

    checkpoint_id: UUID
    ended: list[Row]


class Outdated(Conflict):
    """The session changed in the meantime."""


_LOCK = f"""
SELECT s.*, s.expires_at <= clock_timestamp() AND s.ttl_strategy IS DISTINCT FROM 'keep_latest' AS expired,
    head.status AS head_status
FROM sessions s LEFT JOIN runs head ON head.id = s.head_run_id
WHERE s.id = %(session)s AND {visible("s")} FOR UPDATE OF s
"""  # noqa: S608

# As a run's first commit moves its session's line (`runs.worker.commit`).
_MOVE = """
WITH c AS (
    SELECT session_id, message_count, step FROM checkpoints WHERE id = %(checkpoint)s
), dropped AS (
    UPDATE messages m SET dropped_at_step = %(step)s FROM c
    WHERE m.session_id = c.session_id AND m.dropped_at_step IS NULL AND (m.seq > c.message_count OR m.step > c.step)
    RETURNING m.id
)
INSERT INTO messages (id, session_id, run_id, seq, step, role, content, tool_calls, tool_call_id, name, metadata,
    created_at)
SELECT copied.id, m.session_id, m.run_id, m.seq, %(step)s, m.role, m.content, m.tool_calls, m.tool_call_id, m.name,
    m.metadata, m.created_at
FROM jsonb_to_recordset(%(copies)s) AS copied(id uuid, original uuid) JOIN messages m ON m.id = copied.original
WHERE (SELECT count(*) FROM dropped) >= 0
"""

_SAY = """
INSERT INTO messages (id, session_id, seq, step, role, content, tool_calls, tool_call_id, name, metadata)
SELECT g.id, %(session)s, g.seq, %(step)s, g.role, g.content, g.tool_calls, g.tool_call_id, g.name, g.metadata
FROM jsonb_to_recordset(%(messages)s) AS g(id uuid, seq int, role text, content jsonb, tool_calls jsonb,
    tool_call_id text, name text, metadata jsonb)
"""

_STORE = f"""
WITH stored AS (
    INSERT INTO checkpoints (id, session_id, parent_id, step, source, next, message_count, changes, removed,
        graph_checkpoint_id)
    VALUES (%(id)s, %(session)s, %(parent)s, %(step)s, %(source)s, %(next)s, %(count)s, %(changes)s, %(removed)s,
        CASE WHEN %(hosted)s THEN {STANDS_AT % "%(session)s"} END)
)
UPDATE sessions SET state = %(state)s, context = coalesce(%(state)s->%(metadata)s, '{{}}'), step = %(step)s,
    checkpoint_id = %(id)s, message_count = %(count)s, activity = 'idle', last_activity_at = clock_timestamp(),
    updated_at = clock_timestamp()
WHERE id = %(session)s
"""  # noqa: S608 - a constant


@operation(atomic=True)
def update_session(identity: Identity, session_id: UUID, update: Update) -> Operation[Updated]:
    """Change what the session stands at.

    Raises NotFound, SessionClosed, SessionBusy (a run that has not ended, unless it asks a person), Outdated, Invalid
    (a checkpoint that the session does not have).
    """
    found = yield Query(_LOCK, {"session": session_id, **parameters_of(identity)})
    if not found:
        raise NotFound("There is no such session.")
    session = found[0]
    if session["status"] != SessionStatus.ACTIVE or session["expired"]:
        raise SessionClosed("The session is closed or expired.")
    if session["head_run_id"] is not None and session["head_status"] != Status.INTERRUPTED:
        raise SessionBusy
    if update.at_step is not None and update.at_step != session["step"]:
        raise Outdated
    ended: list[Row] = []
    if session["head_run_id"] is not None:
        answers = [message for message in update.messages if message["role"] == MessageRole.TOOL]
        if answers:
            update = replace(update, messages=[message for message in update.messages if message not in answers])
            yield from _write(session, Update(answers))
        # Tool calls that are open still are answered with that, so that a model takes the history.
        ended = yield from end_waiting([session["head_run_id"]], Status.SUCCESS, None)
        (session,) = yield Query(_LOCK, {"session": session_id, **parameters_of(identity)})
    checkpoint_id = yield from _write(session, update)
    yield audit.entry(identity, "updated", "session", session_id, what="state")
    return Updated(checkpoint_id, ended)


def _write(session: Row, update: Update) -> Operation[UUID]:
    scope: dict[str, Any] = {"session": session["id"], "step": session["step"] + 1}
    parent, count, values = session["checkpoint_id"], session["message_count"], session["state"]
    if update.checkpoint_id is not None and update.checkpoint_id != parent:
        parent = update.checkpoint_id
        count, values = yield from _move(scope, parent)
    if update.messages:
        rows = [{"id": str(new_id()), **row, "seq": count + nth} for nth, row in enumerate(update.messages, start=1)]
        yield Query(_SAY, {**scope, "messages": jsonb(rows)})
        count += len(rows)
    if update.graph:
        yield from insert_rows(session["id"], None, update.graph)
    removed = [name for name in update.removed if name in values]
    state = {name: value for name, value in values.items() if name not in removed} | update.changes
    checkpoint_id = new_id()
    stored = {
        **scope,
        "id": checkpoint_id,
        "parent": parent,
        "source": str(CheckpointSource.UPDATE),
        "next": jsonb(list(update.next)),
        "count": count,
        "changes": jsonb(update.changes),
        "removed": jsonb(removed),
        "state": jsonb(state),
        "metadata": METADATA,
        "hosted": bool(update.graph),
    }
    yield Query(_STORE, stored)
    return checkpoint_id


def _move(scope: dict[str, Any], checkpoint_id: UUID) -> Operation[tuple[int, dict[str, Any]]]:
    """Go back to an earlier checkpoint; gives how many messages there were, and the state's values."""
    found = yield Query(
        "SELECT message_count FROM checkpoints WHERE id = %(checkpoint)s AND session_id = %(session)s",
        {**scope, "checkpoint": checkpoint_id},
    )
    if not found:
        raise Invalid.at("checkpoint_id", message="The session has no such checkpoint.")
    seen = yield from messages_at(checkpoint_id).start()
    copies = [{"id": str(new_id()), "original": str(row["id"])} for row in seen if row["dropped_at_step"] is not None]
    yield Query(_MOVE, {**scope, "checkpoint": checkpoint_id, "copies": jsonb(copies)})
    values = yield from values_at(checkpoint_id).start()
    return found[0]["message_count"], values
