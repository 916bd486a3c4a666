"""The audit trail: who did what, kept in the transaction of the act itself."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from accounts.identity import Identity
from accounts.models import AuditEntry
from core.clock import isoformat
from core.redaction import everywhere


def record(identity: Identity, action: str, subject_type: str, subject_id: UUID, **details: Any) -> None:
    """Keep that the caller did `action` ("updated") to the `subject_type` ("assistant") with this id.

    Call it inside the transaction of the act: both are stored, or neither. `details` are JSON; the server's own secrets
    are cut out of them.
    """
    AuditEntry.objects.create(
        workspace_id=identity.workspace_id,
        actor=identity.actor,
        action=action,
        subject_type=subject_type,
        subject_id=subject_id,
        details=everywhere.value(details),
    )


def entries_of(identity: Identity, subject_type: str, subject_id: UUID) -> QuerySet[AuditEntry]:
    """What was done to one object of the caller's workspace."""
    return AuditEntry.objects.filter(
        workspace_id=identity.workspace_id, subject_type=subject_type, subject_id=subject_id
    )


def entry_document(entry: AuditEntry) -> dict[str, Any]:
    """One line of the trail."""
    return {
        "id": str(entry.id),
        "action": entry.action,
        "actor": entry.actor,
        "details": entry.details,
        "created_at": isoformat(entry.created_at),
    }
