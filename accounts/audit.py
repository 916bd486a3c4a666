"""The audit trail: who did what, kept in the transaction of the act itself."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from accounts.identity import Identity
from accounts.models import AuditEntry, Membership, User, Workspace
from accounts.scoping import only_own
from core.clock import isoformat
from core.db import Operation, Query, jsonb, operation
from core.ids import new_id
from core.redaction import everywhere

# Who is named where nobody is known: whoever tried to sign in.
NOBODY = "anonymous"

_INSERT = """
INSERT INTO audit_entries (id, workspace_id, actor, actor_id, action, subject_type, subject_id, details)
VALUES (%(id)s, %(workspace)s, %(actor)s, %(actor_id)s, %(action)s, %(subject_type)s, %(subject)s, %(details)s)
"""

_ADD = """
ON CONFLICT (id) DO UPDATE SET details = jsonb_set(audit_entries.details, '{count}',
    to_jsonb((audit_entries.details->>'count')::int + (excluded.details->>'count')::int))
"""


def entry(identity: Identity, action: str, subject_type: str, subject_id: UUID, **details: Any) -> Query:
    """The statement by which an operation keeps what `record` does; it belongs into the transaction of the act."""
    return Query(
        _INSERT,
        {
            "id": new_id(),
            "workspace": identity.workspace_id,
            "actor": identity.actor,
            "actor_id": identity.actor_id,
            "action": action,
            "subject_type": subject_type,
            "subject": subject_id,
            "details": jsonb(everywhere.value(details)),
        },
    )


def tally(
    entry_id: UUID, identity: Identity, action: str, subject_type: str, subject_id: UUID, count: int, **details: Any
) -> Query:
    """As `entry`, for an act of several transactions: they share the entry, whose detail `count` is their sum."""
    one = entry(identity, action, subject_type, subject_id, count=count, **details)
    return Query(_INSERT + _ADD, {**one.params, "id": entry_id})


def record(identity: Identity, action: str, subject_type: str, subject_id: UUID, **details: Any) -> None:
    """Keep that the caller did `action` ("updated") to the `subject_type` ("assistant") with this id.

    Call it inside the transaction of the act: both are stored, or neither. `details` are JSON; the server's own secrets
    are cut out of them.
    """
    _carry_out(entry(identity, action, subject_type, subject_id, **details)).run()


@operation()
def _carry_out(statement: Query) -> Operation[None]:
    yield statement


def record_of_person(user: User, action: str, *, anonymous: bool = False, **details: Any) -> None:
    """Keep what a person did with their account, in each of their workspaces.

    `anonymous`: it was done to the account, and nobody knows by whom. A superuser who belongs to no workspace leaves
    it in the one that they enter.
    """
    memberships = Membership.objects.filter(user=user).order_by("created_at", "id")
    workspaces = list(memberships.values_list("workspace_id", flat=True))
    if not workspaces and user.is_superuser:
        workspaces = list(Workspace.objects.order_by("created_at", "id").values_list("id", flat=True)[:1])
    AuditEntry.objects.bulk_create(
        AuditEntry(
            workspace_id=workspace_id,
            actor=NOBODY if anonymous else f"user:{user.get_username()}",
            actor_id=None if anonymous else user.pk,
            action=action,
            subject_type="user",
            subject_id=user.pk,
            details=everywhere.value(details),
        )
        for workspace_id in workspaces
    )


def entries(identity: Identity, **filters: Any) -> QuerySet[AuditEntry]:
    """The workspace's trail, `filters` being lookups; a caller that is bound to a user sees what it did itself."""
    return only_own(identity, AuditEntry.objects.filter(**filters))


def entries_of(identity: Identity, subject_type: str, subject_id: UUID) -> QuerySet[AuditEntry]:
    """What was done to one object of the caller's workspace; by itself, for a caller that is bound to a user."""
    return only_own(identity, AuditEntry.objects.filter(subject_type=subject_type, subject_id=subject_id))


def entry_document(entry: AuditEntry) -> dict[str, Any]:
    """One line of the trail."""
    return {
        "id": str(entry.id),
        "action": entry.action,
        "actor": entry.actor,
        "actor_id": entry.actor_id and str(entry.actor_id),
        "subject_type": entry.subject_type,
        "subject_id": str(entry.subject_id),
        "details": entry.details,
        "created_at": isoformat(entry.created_at),
    }
