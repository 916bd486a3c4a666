"""Secrets of rows that sign or prove something, webhooks and triggers: kept sealed, each for its own row.

Such a row has `sealed_secret`, and after a rotation the one before in `previous_secret` until `previous_until`.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Model

from accounts import vault
from accounts.resealing import Resealed, reseal
from core.clock import ClockTimestamp
from core.redaction import in_logs


@dataclass(frozen=True, slots=True)
class RowSecrets:
    """The secrets of one model's rows; `kind` begins the names that they have in the vault and in logs."""

    kind: str
    model: type[Model]

    def seal(self, workspace_id: UUID, row_id: UUID, secret: str) -> bytes:
        """`secret` encrypted, to be kept with this row and no other."""
        in_logs.learn(self._name_of(row_id), secret)
        return vault.seal(workspace_id, self._name_of(row_id), secret)

    def unseal(self, workspace_id: UUID, row_id: UUID, sealed: bytes) -> str:
        """What `seal` was given. Raises `vault.Unreadable`."""
        secret = vault.unseal(workspace_id, self._name_of(row_id), bytes(sealed))
        in_logs.learn(self._name_of(row_id), secret)
        return secret

    def unseal_all(self, workspace_id: UUID, row_id: UUID, sealed: bytes, previous: bytes | None) -> list[str]:
        """The secrets that count at the moment, the current one first. Raises `vault.Unreadable`.

        `previous` counts until the row's `previous_until` by PostgreSQL's clock, and is None from then on:
        `CASE WHEN previous_until > clock_timestamp() THEN previous_secret END`.
        """
        kept = [sealed] if previous is None else [sealed, previous]
        return [self.unseal(workspace_id, row_id, secret) for secret in kept]

    def replace(self, workspace_id: UUID, row_id: UUID, secret: str, overlap_s: float) -> None:
        """Let `secret` take the place of the row's, which counts for `overlap_s` seconds more; earlier ones do not."""
        stays: dict[str, Any] = {
            "previous_secret": F("sealed_secret"),
            "previous_until": ClockTimestamp() + timedelta(seconds=overlap_s),
        }
        self.model._default_manager.filter(pk=row_id).update(
            sealed_secret=self.seal(workspace_id, row_id, secret),
            updated_at=ClockTimestamp(),
            **(stays if overlap_s else dict.fromkeys(stays)),
        )

    def reseal(self) -> Resealed:
        """Encrypt all of them anew by the first of the server's keys."""
        rows = self.model._default_manager.all()
        return reseal(rows, ("sealed_secret", "previous_secret"), lambda row: self._name_of(row.pk))

    def _name_of(self, row_id: UUID) -> str:
        return f"{self.kind}:{row_id}"
