"""Encrypting anew, by the first of the server's keys, what rows keep sealed: secrets, webhooks' and triggers' too."""

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import QuerySet

from accounts import vault


class Resealed(NamedTuple):
    """How many rows are sealed by the first key, and those with a value that no key opens ("workspace's id/name")."""

    done: int
    unreadable: list[str]


def reseal(rows: QuerySet[Any], columns: Collection[str], name_of: Callable[[Any], str]) -> Resealed:
    """Seal these columns of the rows anew, each row in a transaction of its own; a null stays one.

    The rows have a `workspace_id`; `name_of` gives the name that a row's values have in the vault.
    """
    done, unreadable = 0, []
    for row_id in list(rows.values_list("pk", flat=True)):
        with transaction.atomic():
            row = rows.select_for_update(no_key=True).filter(pk=row_id).first()
            if row is None:
                continue
            sealed, name = {}, name_of(row)
            try:
                for column in columns:
                    if (kept := getattr(row, column)) is not None:
                        opened = vault.unseal(row.workspace_id, name, bytes(kept))
                        sealed[column] = vault.seal(row.workspace_id, name, opened)
                done += 1
            except vault.Unreadable:
                unreadable.append(f"{row.workspace_id}/{name}")
            if sealed:
                rows.filter(pk=row_id).update(**sealed)
    return Resealed(done, unreadable)
