"""Alerts: what is wrong is told once, by webhook, by e-mail and in the admin, until it is well again."""

from typing import Any
from uuid import UUID

from core.db import Operation, Query, operation
from core.ids import new_id
from webhooks.kinds import Kind
from webhooks.outbox import tell, tell_all

# `mail_not_before` says that there is something to mail; see `webhooks.mail`.
_OPEN = """
INSERT INTO alerts (id, workspace_id, kind, subject, message, mail_not_before)
VALUES (%(id)s, %(workspace)s, %(kind)s, %(subject)s, left(%(message)s, 1000), clock_timestamp())
ON CONFLICT DO NOTHING RETURNING id
"""

# Who was not told that it opened is not told that it is well again.
_RESOLVE = """
UPDATE alerts SET resolved_at = clock_timestamp(), mail_attempts = 0,
    mail_not_before = CASE WHEN mailed_at IS NOT NULL OR mail_not_before IS NOT NULL THEN clock_timestamp() END
WHERE resolved_at IS NULL AND {whose} RETURNING id
"""
_RESOLVE_SUBJECT = _RESOLVE.format(
    whose="workspace_id IS NOT DISTINCT FROM %(workspace)s AND kind = %(kind)s AND subject = %(subject)s"
)
_RESOLVE_ONE = _RESOLVE.format(whose="id = %(id)s")


def raise_alert(
    workspace_id: UUID | None, kind: Kind, subject: str, message: str, data: dict[str, Any]
) -> Operation[bool]:
    """Open an alert inside the caller's transaction, and tell the workspace's endpoints of it.

    `subject` is what it is about: an id, or the kind itself. `data` is the event's. Without a workspace it is the
    server's, and the endpoints of all workspaces hear of it. Gives False where it is open already: then nothing is told
    again.
    """
    opened = yield Query(
        _OPEN,
        {"id": new_id(), "workspace": workspace_id, "kind": str(kind), "subject": subject, "message": message},
    )
    if opened:
        yield from tell_all(kind, data) if workspace_id is None else tell(workspace_id, kind, data)
    return bool(opened)


@operation()
def resolve_alert(workspace_id: UUID | None, kind: Kind, subject: str) -> Operation[bool]:
    """Close the alert; gives whether it was open."""
    return bool((yield Query(_RESOLVE_SUBJECT, {"workspace": workspace_id, "kind": str(kind), "subject": subject})))


@operation()
def resolve_one(alert_id: UUID) -> Operation[bool]:
    """The same of an alert by its id."""
    return bool((yield Query(_RESOLVE_ONE, {"id": alert_id})))
