"""What a workspace may read of its assistants."""

from uuid import UUID

from django.db.models import F, Prefetch, QuerySet

from accounts.audit import entries_of
from accounts.identity import Identity
from accounts.models import AuditEntry
from accounts.scoping import of_workspace
from assistants.models import Assistant, AssistantVersion
from core.errors import NotFound


def assistants(identity: Identity) -> QuerySet[Assistant]:
    """The workspace's assistants with current versions and tags: three queries for any number of them."""
    current = AssistantVersion.objects.filter(number=F("assistant__version"))
    return of_workspace(identity, Assistant.objects.all()).prefetch_related(
        Prefetch("versions", current, to_attr="current_versions"), "version_tags"
    )


def assistant(identity: Identity, assistant_id: UUID) -> Assistant:
    """One of them; raises NotFound, for a stranger's too."""
    found = assistants(identity).filter(id=assistant_id).first()
    if found is None:
        raise NotFound("There is no such assistant.")
    return found


def has_assistant(identity: Identity, assistant_id: UUID) -> bool:
    """Whether the workspace has this assistant."""
    return of_workspace(identity, Assistant.objects.filter(id=assistant_id)).exists()


def require_assistant(identity: Identity, assistant_id: UUID) -> None:
    """Raises NotFound where the workspace has no such assistant."""
    if not has_assistant(identity, assistant_id):
        raise NotFound("There is no such assistant.")


def versions(identity: Identity, assistant_id: UUID) -> QuerySet[AssistantVersion]:
    """The assistant's versions, the latest first, with the tags; raises NotFound."""
    require_assistant(identity, assistant_id)
    rows = AssistantVersion.objects.filter(assistant_id=assistant_id).order_by("-number")
    return rows.select_related("assistant").prefetch_related("assistant__version_tags")


def version(identity: Identity, assistant_id: UUID, number: int) -> AssistantVersion:
    """One version; raises NotFound."""
    found = versions(identity, assistant_id).filter(number=number).first()
    if found is None:
        raise NotFound(f"The assistant has no version {number}.")
    return found


def audit_trail(identity: Identity, assistant_id: UUID) -> QuerySet[AuditEntry]:
    """What was done to the assistant, by whom; raises NotFound."""
    require_assistant(identity, assistant_id)
    return entries_of(identity, "assistant", assistant_id)
