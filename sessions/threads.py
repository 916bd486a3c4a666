"""Writes to sessions that LangGraph's protocol has and the native API has not: one without an assistant, ones that are
changed from outside while no run is under way, and whole copies."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from core.db import Operation, Query, Row, jsonb, operation
from core.errors import AlreadyExists, NotFound
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
