"""Every write to a session that concerns no run. Closing one with runs is `runs.services`'."""

from typing import Any
from uuid import UUID

from accounts.idempotency import Once, claim
from accounts.identity import Identity
from accounts.scoping import in_workspace, parameters_of, visible
from assistants.models import Status as AssistantStatus
from core.db import Bound, Operation, Query, Row, jsonb, operation
from core.errors import AlreadyExists, AssistantNotActive, Conflict, Forbidden, Invalid, NotFound
from core.ids import new_id
from core.validation import bounded
from runtime.history import answers_for_open_calls
from runtime.values import METADATA
from sessions.bodies import ChangeSession, ForkSession, InitialState, OpenSession
from sessions.documents import message_from_row, message_row
from sessions.models import CheckpointSource
from sessions.queries import SEEN_AT, values_at

_ASSISTANT = f"""
SELECT a.id, a.status, v.number AS version, v.config->>'session_ttl_seconds' AS ttl_seconds
FROM assistants a
LEFT JOIN assistant_tags t ON t.assistant_id = a.id AND t.name = %(tag)s
LEFT JOIN assistant_versions v ON v.assistant_id = a.id
    AND v.number = CASE WHEN %(tag)s::text IS NOT NULL THEN t.version ELSE coalesce(%(version)s, a.version) END
WHERE a.id = %(assistant)s AND {in_workspace("a")}
"""  # noqa: S608

_INSERT = """
INSERT INTO sessions (id, workspace_id, assistant_id, assistant_version, agent_id, user_id, title, metadata, context,
    state, ttl_seconds, expires_at)
VALUES (%(id)s, %(workspace)s, %(assistant)s, %(version)s, %(agent)s, %(user)s, %(title)s, %(metadata)s, %(context)s,
    %(state)s, %(ttl)s::int, clock_timestamp() + make_interval(secs => %(ttl)s::int))
ON CONFLICT (workspace_id, agent_id) DO NOTHING
RETURNING *
"""


def open_session(identity: Identity, assistant_id: UUID, body: OpenSession, once: Once | None = None) -> Bound[Row]:
    """Open a session with an active assistant; gives the session's row. Raises Replayed for a request sent again.

    Raises NotFound, AssistantNotActive, Invalid (unknown version or tag), AlreadyExists (agent_id), Forbidden
    (a key bound to another user).
    """
    if body.initial_state is not None:
        return _open_with_history(identity, assistant_id, body, body.initial_state, once)
    return _open(identity, assistant_id, body, once)


@operation()
def _open(identity: Identity, assistant_id: UUID, body: OpenSession, once: Once | None) -> Operation[Row]:
    return (yield from _insert(identity, assistant_id, body, {}, once))


@operation(atomic=True)
def _open_with_history(
    identity: Identity, assistant_id: UUID, body: OpenSession, initial: InitialState, once: Once | None
) -> Operation[Row]:
    # What is known of a session is a key of its state, so that rollbacks and forks find it as it was.
    state = {METADATA: initial.metadata} if initial.metadata else {}
    session = yield from _insert(identity, assistant_id, body, state, once)
    messages = [
        {
            "id": str(new_id()),
            "seq": seq,
            "role": message.role,
            "content": message.model_dump(exclude_none=True)["content"],
        }
        for seq, message in enumerate(initial.messages, start=1)
    ]
    yield Query(
        """
        INSERT INTO messages (id, session_id, seq, step, role, content, tool_calls, metadata)
        SELECT g.id, %(session)s, g.seq, 1, g.role, g.content, '[]', '{}'
        FROM jsonb_to_recordset(%(messages)s) AS g(id uuid, seq int, role text, content jsonb)
        """,
        {"session": session["id"], "messages": jsonb(messages)},
    )
    return (yield from _first_checkpoint(session["id"], CheckpointSource.UPDATE, len(messages), state))


def _insert(
    identity: Identity, assistant_id: UUID, body: OpenSession, state: dict[str, Any], once: Once | None
) -> Operation[Row]:
    session_id = new_id()
    yield from claim(once, session_id).start()
    found = yield Query(
        _ASSISTANT,
        {
            "assistant": assistant_id,
            **parameters_of(identity),
            "version": body.version,
            "tag": body.tag,
        },
    )
    if not found:
        raise NotFound("There is no such assistant.")
    assistant = found[0]
    if assistant["status"] != AssistantStatus.ACTIVE:
        raise AssistantNotActive(f"The assistant is {assistant['status']}; only an active one opens sessions.")
    if assistant["version"] is None:
        raise _unknown_version(body.version, body.tag)
    ttl = body.ttl_seconds if body.ttl_seconds is not None else assistant["ttl_seconds"]
    rows = yield Query(
        _INSERT,
        {
            "id": session_id,
            "workspace": identity.workspace_id,
            "assistant": assistant_id,
            "version": assistant["version"],
            "agent": body.agent_id,
            "user": session_user(identity, body.user_id),
            "title": body.title,
            "metadata": jsonb(body.metadata),
            "context": jsonb(state.get(METADATA, {})),
            "state": jsonb(state),
            "ttl": None if ttl is None else int(ttl),
        },
    )
    if not rows:
        raise AlreadyExists(f"A session with the agent_id {body.agent_id!r} exists.")
    return rows[0]


def _unknown_version(version: int | None, tag: str | None) -> Invalid:
    if tag is not None:
        return Invalid.at("tag", message=f"The assistant has no tag {tag!r}.")
    return Invalid.at("version", message=f"The assistant has no version {version}.")


def session_user(identity: Identity, wanted: str | None) -> str | None:
    """Whose a new session is: a key that is bound to a user can open sessions of that user only."""
    if identity.user_id is None:
        return wanted
    if wanted not in {None, identity.user_id}:
        raise Forbidden("This key is bound to another user.")
    return identity.user_id


@operation(atomic=True)
def change_session(identity: Identity, session_id: UUID, body: ChangeSession) -> Operation[Row]:
    """Merge metadata, rename, or pin the session to another version of its assistant.

    Raises NotFound, or Invalid for an unknown version or tag: any of them, while the session has no assistant.
    """
    rows = yield Query(
        f"""
        SELECT s.assistant_id, s.assistant_version, v.number AS version FROM sessions s
        LEFT JOIN assistant_tags t ON t.assistant_id = s.assistant_id AND t.name = %(tag)s
        LEFT JOIN assistant_versions v ON v.assistant_id = s.assistant_id
            AND v.number = CASE WHEN %(tag)s::text IS NOT NULL THEN t.version
                ELSE coalesce(%(version)s, s.assistant_version) END
        WHERE s.id = %(id)s AND {visible("s")}
        FOR UPDATE OF s
        """,  # noqa: S608
        {
            "id": session_id,
            **parameters_of(identity),
            "tag": body.tag,
            "version": body.assistant_version,
        },
    )
    if not rows:
        raise NotFound("There is no such session.")
    unpinned = rows[0]["assistant_id"] is None and body.assistant_version is None and body.tag is None
    if rows[0]["version"] is None and not unpinned:
        unknown = _unknown_version(body.assistant_version, body.tag)
        raise unknown if body.tag else Invalid.at("assistant_version", message=unknown.detail)
    changed = yield Query(
        """
        UPDATE sessions SET metadata = metadata || %(metadata)s, title = coalesce(%(title)s, title),
            assistant_version = %(version)s, updated_at = clock_timestamp()
        WHERE id = %(id)s RETURNING *
        """,
        {
            "id": session_id,
            "metadata": jsonb(body.metadata or {}),
            "title": body.title,
            "version": rows[0]["version"],
        },
    )
    refuse_overgrown(changed[0]["metadata"])
    return changed[0]


def refuse_overgrown(merged: dict[str, Any]) -> None:
    """Each change is bounded by itself; what all of them add up to is, too."""
    try:
        bounded(merged)
    except ValueError as fault:
        raise Invalid.at("metadata", message=f"Together with what is there it {fault}.") from None


# Without a lock: a worker that commits a step of the session would wait for the copy, and its other runs with it. What
# is copied is not changed any more; that it was not deleted meanwhile is seen by how much was copied.
_FORK_POINT = f"""
SELECT s.*, a.status AS assistant_status, c.id AS forked_at,
    CASE WHEN %(checkpoint)s::uuid IS NULL THEN s.message_count ELSE c.message_count END AS messages_there,
    CASE WHEN %(checkpoint)s::uuid IS NULL THEN s.step ELSE c.step END AS step_there
FROM sessions s LEFT JOIN assistants a ON a.id = s.assistant_id
LEFT JOIN checkpoints c ON c.session_id = s.id AND c.id = %(checkpoint)s
WHERE s.id = %(session)s AND {visible("s")}
"""  # noqa: S608

_FORK = """
INSERT INTO sessions (id, workspace_id, assistant_id, assistant_version, user_id, title, metadata, context, state,
    ttl_seconds, expires_at)
SELECT %(id)s, workspace_id, assistant_id, assistant_version, user_id, title, metadata || %(metadata)s, %(context)s,
    %(state)s, ttl_seconds, clock_timestamp() + make_interval(secs => ttl_seconds)
FROM sessions WHERE id = %(session)s RETURNING metadata
"""

# Without their runs: those belong to the other session, and a message's run is always one of its own session's.
_COPY_MESSAGES = f"""
WITH copied AS (
    INSERT INTO messages (id, session_id, seq, step, role, content, tool_calls, tool_call_id, name, metadata,
        created_at)
    SELECT g.id, %(id)s, m.seq, 1, m.role, m.content, m.tool_calls, m.tool_call_id, m.name, m.metadata, m.created_at
    FROM (SELECT %(session)s::uuid AS session_id, %(step)s::int AS step, %(count)s::int AS message_count) AS c
    JOIN messages m ON {SEEN_AT}
    JOIN unnest(%(ids)s::uuid[]) WITH ORDINALITY AS g(id, seq) ON g.seq = m.seq RETURNING seq
)
SELECT count(*) AS messages FROM copied
"""  # noqa: S608 - a constant

_LAST_TURN = """
SELECT * FROM messages WHERE session_id = %(id)s
    AND seq >= (SELECT seq FROM messages WHERE session_id = %(id)s AND role = 'assistant' ORDER BY seq DESC LIMIT 1)
ORDER BY seq
"""

_APPEND = """
INSERT INTO messages (id, session_id, seq, step, role, content, tool_calls, tool_call_id, name, metadata)
SELECT g.id, %(id)s, g.seq, 1, g.role, g.content, g.tool_calls, g.tool_call_id, g.name, g.metadata
FROM jsonb_to_recordset(%(messages)s) AS g(id uuid, seq int, role text, content jsonb, tool_calls jsonb,
    tool_call_id text, name text, metadata jsonb)
"""


@operation(atomic=True)
def fork_session(identity: Identity, session_id: UUID, body: ForkSession, once: Once | None = None) -> Operation[Row]:
    """Open a session with what another one said and stood at, now or as of a checkpoint; gives its row.

    The other one, which may be closed or expired, is left as it is. Tool calls that were under way there are answered
    as cancelled here, so that a model takes the history.
    Raises NotFound, AssistantNotActive, Invalid (a checkpoint that the session does not have), Conflict (deleted while
    it was being copied); Replayed for a request that is sent again.
    """
    scope = {"id": new_id(), "session": session_id}
    yield from claim(once, scope["id"]).start()
    found = yield Query(
        _FORK_POINT,
        {
            "session": session_id,
            **parameters_of(identity),
            "checkpoint": body.checkpoint_id,
        },
    )
    if not found:
        raise NotFound("There is no such session.")
    point = found[0]
    if point["assistant_status"] not in {None, AssistantStatus.ACTIVE}:
        raise AssistantNotActive(f"The assistant is {point['assistant_status']}; only an active one opens sessions.")
    if body.checkpoint_id is not None and point["forked_at"] is None:
        raise Invalid.at("checkpoint_id", message="The session has no such checkpoint.")
    values = point["state"]
    if body.checkpoint_id is not None:
        values = yield from values_at(body.checkpoint_id).start()
    context = values.get(METADATA, {})
    forked = yield Query(
        _FORK,
        {**scope, "metadata": jsonb(body.metadata), "context": jsonb(context), "state": jsonb(values)},
    )
    for session in forked:
        refuse_overgrown(session["metadata"])
    count = point["messages_there"]
    ids = [new_id() for _ in range(count)]
    copied = yield Query(_COPY_MESSAGES, {**scope, "step": point["step_there"], "count": count, "ids": ids})
    if not forked or copied[0]["messages"] < count:
        raise Conflict("The session was deleted, or a part of it, while it was being forked.")
    mended = yield from _answer_open_calls(scope, count)
    return (yield from _first_checkpoint(scope["id"], CheckpointSource.FORK, mended, values))


def _answer_open_calls(scope: Row, count: int) -> Operation[int]:
    """Answer the tool calls at the end of the `count` messages of a session; gives how many messages it has then."""
    last_turn = yield Query(_LAST_TURN, scope)
    answers = answers_for_open_calls([message_from_row(row) for row in last_turn])
    if answers:
        rows = [{**message_row(answer), "seq": seq} for seq, answer in enumerate(answers, start=count + 1)]
        yield Query(_APPEND, {**scope, "messages": jsonb(rows)})
    return count + len(answers)


def _first_checkpoint(
    session_id: UUID, source: CheckpointSource, message_count: int, changes: dict[str, Any]
) -> Operation[Row]:
    """Write the first checkpoint of a session that was opened with a history; gives the session's row."""
    scope = {"session": session_id, "id": new_id(), "count": message_count}
    yield Query(
        """
        INSERT INTO checkpoints (id, session_id, step, source, next, message_count, changes, removed)
        VALUES (%(id)s, %(session)s, 1, %(source)s, '[]', %(count)s, %(changes)s, '[]')
        """,
        {**scope, "source": str(source), "changes": jsonb(changes)},
    )
    rows = yield Query(
        "UPDATE sessions SET message_count = %(count)s, step = 1, checkpoint_id = %(id)s "
        "WHERE id = %(session)s RETURNING *",
        scope,
    )
    return rows[0]
