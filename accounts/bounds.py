"""Bounds on how many of a thing a workspace may have."""

from typing import Any

from django.db.models import QuerySet

from accounts.identity import Identity
from accounts.models import Workspace
from core.errors import Conflict


def refuse_one_too_many(identity: Identity, rows: QuerySet[Any], most: int, refused: str) -> None:
    """Raise `Conflict`, saying `refused`, where the caller's workspace has as many of these, its rows, as it may have.

    Inside the transaction that makes another one: of two that make the last one that there may be, one waits.
    """
    Workspace.objects.select_for_update(no_key=True).get(id=identity.workspace_id)
    # What is beyond the bound need not be counted.
    if rows[:most].count() >= most:
        raise Conflict(refused)
