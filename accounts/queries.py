"""Reads of a workspace's keys and secrets."""

import logging
from collections.abc import Collection
from uuid import UUID

from django.db.models import QuerySet

from accounts.identity import Identity
from accounts.models import ApiKey, Secret
from accounts.vault import NAME, Unreadable, unseal
from core.db import Operation, Query, Row, operation
from core.errors import NotFound
from runtime.secrets import Secret as OpenSecret

log = logging.getLogger(__name__)


def api_keys(workspace_id: UUID) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(workspace_id=workspace_id)


def get_api_key(workspace_id: UUID, api_key_id: UUID) -> ApiKey:
    """Raises `NotFound`, also for another workspace's key."""
    key = api_keys(workspace_id).filter(id=api_key_id).first()
    if key is None:
        raise NotFound
    return key


def secrets(identity: Identity) -> QuerySet[Secret]:
    """The workspace's secrets, without what is in them."""
    return Secret.objects.filter(workspace_id=identity.workspace_id).defer("ciphertext")


def get_secret(identity: Identity, name: str) -> Secret:
    """Raises `NotFound`, also for another workspace's secret."""
    secret = secrets(identity).filter(name=name).first() if NAME.fullmatch(name) else None
    if secret is None:
        raise NotFound
    return secret


@operation()
def open_secrets(workspace_id: UUID, names: Collection[str]) -> Operation[dict[str, OpenSecret]]:
    """Those of the named secrets that there are, ready to be used; without names it costs no statement.

    For workers and checks: no caller is shown them. One that none of the server's keys opens is empty.
    """
    if not names:
        return {}
    rows = yield Query(
        "SELECT name, ciphertext, hosts FROM secrets WHERE workspace_id = %(workspace)s AND name = ANY(%(names)s)",
        {"workspace": workspace_id, "names": list(names)},
    )
    return {row["name"]: OpenSecret(_opened(workspace_id, row), tuple(row["hosts"])) for row in rows}


def _opened(workspace_id: UUID, row: Row) -> str:
    try:
        return unseal(workspace_id, row["name"], bytes(row["ciphertext"]))
    except Unreadable as error:
        log.error("workspace %s: %s", workspace_id, error)
        return ""
