"""Reading sessions and their history: always inside a workspace, and for a key bound to a user, that user's only.

Lists are query sets of plain rows, as `sessions.documents` takes them, and leave the columns out that only agents
and workers read.
"""

from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet

from accounts.identity import Identity
from accounts.scoping import of_user, parameters_of, visible
from assistants.queries import require_assistant
from core.db import Operation, Query, Row, operation
from core.errors import NotFound
from sessions.models import Checkpoint, Message, Session

M = TypeVar("M", bound=Model)

SESSION_COLUMNS = (
    "id",
    "agent_id",
    "assistant_id",
    "assistant_version",
    "user_id",
    "title",
    "status",
    "activity",
    "message_count",
    "metadata",
    "context",
    "head_run_id",
    "created_at",
    "updated_at",
    "last_activity_at",
    "expires_at",
    "closed_at",
)
CHECKPOINT_COLUMNS = (
    "id",
    "session_id",
    "run_id",
    "parent_id",
    "step",
    "source",
    "next",
    "message_count",
    "created_at",
)
# Which messages `m` a checkpoint `c` sees. By the count alone it would see those of other lines, too, that came later.
SEEN_AT = """
m.session_id = c.session_id AND m.seq <= c.message_count AND m.step <= c.step
AND (m.dropped_at_step IS NULL OR m.dropped_at_step > c.step)
"""


def rows_of(queryset: QuerySet[M], *columns: str) -> QuerySet[M, Row]:
    """The query set's rows as dicts of these columns, of all without."""
    rows: QuerySet[M, Any] = queryset.values(*columns)
    return rows


def visible_sessions(identity: Identity) -> QuerySet[Session]:
    """The sessions that the caller may see."""
    return of_user(identity, Session.objects.all())


def sessions(identity: Identity) -> QuerySet[Session, Row]:
    """The rows of those sessions."""
    return rows_of(visible_sessions(identity), *SESSION_COLUMNS)


def sessions_of_assistant(identity: Identity, assistant_id: UUID) -> QuerySet[Session, Row]:
    """Those with one assistant; raises NotFound, for a stranger's too."""
    require_assistant(identity, assistant_id)
    return sessions(identity).filter(assistant_id=assistant_id)


def session(identity: Identity, session_id: UUID) -> Row:
    """One session's row; raises NotFound, for a stranger's too."""
    return _found(sessions(identity).filter(id=session_id).first())


def session_state(identity: Identity, session_id: UUID) -> Row:
    """What the session stands at: `state`, `context`, `head_run_id`, `checkpoint_id`. Raises NotFound."""
    wanted = visible_sessions(identity).filter(id=session_id)
    return _found(rows_of(wanted, "id", "state", "context", "head_run_id", "checkpoint_id").first())


def messages(identity: Identity, session_id: UUID) -> QuerySet[Message, Row]:
    """The session's current messages, the first one first; raises NotFound."""
    get_session(identity, session_id).run()
    return messages_of(session_id)


def messages_of(session_id: UUID) -> QuerySet[Message, Row]:
    """The current messages of a session that the caller may see."""
    return rows_of(Message.objects.filter(session_id=session_id, dropped_at_step=None).order_by("seq"))


def checkpoints(identity: Identity, session_id: UUID) -> QuerySet[Checkpoint, Row]:
    """The session's checkpoints, the latest first; raises NotFound."""
    get_session(identity, session_id).run()
    return rows_of(Checkpoint.objects.filter(session_id=session_id).order_by("-step"), *CHECKPOINT_COLUMNS)


def checkpoint(identity: Identity, session_id: UUID, checkpoint_id: UUID) -> Row:
    """One of them; raises NotFound."""
    found = checkpoints(identity, session_id).filter(id=checkpoint_id).first()
    if found is None:
        raise NotFound("The session has no such checkpoint.")
    return found


@operation()
def messages_at(checkpoint_id: UUID) -> Operation[list[Row]]:
    """The messages as of a checkpoint that the caller may see, the first one first."""
    return (
        yield Query(
            f"SELECT m.* FROM checkpoints c JOIN messages m ON {SEEN_AT} "  # noqa: S608 - a constant
            "WHERE c.id = %(checkpoint)s ORDER BY m.seq",
            {"checkpoint": checkpoint_id},
        )
    )


@operation()
def get_session(identity: Identity, session_id: UUID) -> Operation[Row]:
    """One session's row; raises NotFound unless the caller may see it."""
    rows = yield Query(
        f"SELECT * FROM sessions WHERE id = %(session)s AND {visible('sessions')}",  # noqa: S608
        {"session": session_id, **parameters_of(identity)},
    )
    if not rows:
        raise NotFound("There is no such session.")
    return rows[0]


# The recursion carries ids alone and goes back in the session's steps, so that it ends whatever the rows say. Of each
# key only the value that holds is handed over: where a step removes and sets the same key, it is set.
VALUES_AT = """
WITH RECURSIVE chain AS (
    SELECT id, parent_id, session_id, step FROM checkpoints WHERE id = %(checkpoint)s
    UNION ALL
    SELECT c.id, c.parent_id, c.session_id, c.step
    FROM chain JOIN checkpoints c ON c.id = chain.parent_id
    WHERE c.session_id = chain.session_id AND c.step < chain.step
), written AS (
    SELECT c.step, e.key AS name, e.value, true AS present
    FROM chain JOIN checkpoints c ON c.id = chain.id CROSS JOIN jsonb_each(c.changes) e
    UNION ALL
    SELECT c.step, e.value, NULL, false
    FROM chain JOIN checkpoints c ON c.id = chain.id CROSS JOIN jsonb_array_elements_text(c.removed) e
), latest AS (
    SELECT DISTINCT ON (name) name, value, present FROM written ORDER BY name, step DESC, present DESC
)
SELECT coalesce(jsonb_object_agg(name, value) FILTER (WHERE present), '{}') AS values FROM latest
"""


@operation()
def values_at(checkpoint_id: UUID) -> Operation[dict[str, Any]]:
    """The state's values as of a checkpoint that the caller may see: the fold of its ancestors' changes and its own.

    It follows `parent_id`: what steps of another branch changed is not in it.
    """
    rows = yield Query(VALUES_AT, {"checkpoint": checkpoint_id})
    values: dict[str, Any] = rows[0]["values"]
    return values


def _found(row: Row | None) -> Row:
    if row is None:
        raise NotFound("There is no such session.")
    return row


@operation()
def messages_now(session_id: UUID) -> Operation[tuple[Row, list[Row]]]:
    """The `state` and `step` of a session that the caller may see, and its current messages, not older than those."""
    (session,) = yield Query("SELECT state, step FROM sessions WHERE id = %(session)s", {"session": session_id})
    messages = yield Query(
        "SELECT * FROM messages WHERE session_id = %(session)s AND dropped_at_step IS NULL ORDER BY seq",
        {"session": session_id},
    )
    return session, messages
