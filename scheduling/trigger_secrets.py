"""A trigger's secret: how it is made and kept."""

from uuid import UUID

from accounts import vault
from accounts.resealing import Resealed, reseal
from core.redaction import in_logs
from scheduling.models import Trigger


def seal(workspace_id: UUID, trigger_id: UUID, secret: str) -> bytes:
    """`secret` encrypted, to be kept with this trigger and no other."""
    in_logs.learn(_name_of(trigger_id), secret)
    return vault.seal(workspace_id, _name_of(trigger_id), secret)


def unseal(workspace_id: UUID, trigger_id: UUID, sealed: bytes) -> str:
    """What `seal` was given. Raises `vault.Unreadable`."""
    secret = vault.unseal(workspace_id, _name_of(trigger_id), bytes(sealed))
    in_logs.learn(_name_of(trigger_id), secret)
    return secret


def rotate_secrets() -> Resealed:
    """Encrypt every trigger's secrets anew by the first of the server's keys."""
    return reseal(Trigger.objects.all(), ("sealed_secret", "previous_secret"), lambda row: _name_of(row.pk))


def _name_of(trigger_id: UUID) -> str:
    return f"trigger:{trigger_id}"
