"""Crons as rows: our schedules that a cron expression names, found as LangGraph's clients look for them."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import parameters_of, visible
from core.db import Operation, Query, Row, jsonb, operation
from core.documents import moment, text
from protocols.langgraph.access import Filters, holds

FIELDS = (
    *("cron_id", "assistant_id", "thread_id", "user_id", "end_time", "schedule", "timezone", "payload"),
    *("next_run_date", "metadata", "on_run_completed", "enabled", "created_at", "updated_at"),
)
# What may be sorted by.
COLUMNS = {
    "cron_id": "s.id",
    "assistant_id": "s.assistant_id",
    "thread_id": "s.session_id",
    "next_run_date": "s.next_run_at",
    "end_time": "s.end_time",
    "created_at": "s.created_at",
    "updated_at": "s.updated_at",
}
# Intervals, and single moments, are no crons.
_WANTED = f"""
FROM schedules s WHERE {visible("s")} AND s.cron IS NOT NULL
    AND (%(cron)s::uuid IS NULL OR s.id = %(cron)s)
    AND (%(assistant)s::uuid IS NULL OR s.assistant_id = %(assistant)s)
    AND (%(thread)s::uuid IS NULL OR s.session_id = %(thread)s)
    AND (%(enabled)s::boolean IS NULL OR s.enabled = %(enabled)s)
    AND s.metadata @> %(metadata)s AND {{allowed}}
"""


def cron_document(row: Mapping[str, Any], fields: Collection[str] = FIELDS) -> dict[str, Any]:
    """A cron, or these fields of it."""
    asked = row["kwargs"]
    # What was made natively says what there is of it.
    payload = (
        asked["payload"]
        if asked
        else {"assistant_id": str(row["assistant_id"]), "schedule": row["cron"], "input": row["input"]}
    )
    on_run_completed = "delete" if row["ephemeral"] else "keep"
    document = {
        "cron_id": str(row["id"]),
        "assistant_id": str(row["assistant_id"]),
        "thread_id": text(row["session_id"]),
        "user_id": asked["user_id"] if asked else row["user_id"] or "",
        "end_time": moment(row["end_time"]),
        "schedule": row["cron"],
        "timezone": payload.get("timezone") if asked else row["timezone"],
        "payload": payload,
        "next_run_date": moment(row["next_run_at"]),
        "metadata": row["metadata"],
        "on_run_completed": None if row["session_id"] else on_run_completed,
        "enabled": row["enabled"],
        "created_at": moment(row["created_at"]),
        "updated_at": moment(row["updated_at"]),
    }
    return {name: document[name] for name in FIELDS if name in fields}


@operation()
def find_crons(
    identity: Identity, filters: Filters, wanted: Mapping[str, Any], order: str, limit: int, offset: int
) -> Operation[list[Row]]:
    """The rows of crons that the caller may see; `wanted` as in `_parameters`, `order` an SQL expression."""
    condition, parameters = holds("s.metadata", filters)
    return (
        yield Query(
            f"SELECT s.* {_WANTED.format(allowed=condition)} ORDER BY {order}, s.id LIMIT %(limit)s OFFSET %(offset)s",
            {**_parameters(identity, wanted), **parameters, "limit": limit, "offset": offset},
        )
    )


@operation()
def count_crons(identity: Identity, filters: Filters, wanted: Mapping[str, Any]) -> Operation[int]:
    """How many there are."""
    condition, parameters = holds("s.metadata", filters)
    rows = yield Query(
        f"SELECT count(*) AS count {_WANTED.format(allowed=condition)}", {**_parameters(identity, wanted), **parameters}
    )
    return int(rows[0]["count"])


@operation()
def find_cron(identity: Identity, filters: Filters, cron_id: UUID) -> Operation[Row | None]:
    """One of them, None for a stranger's too."""
    rows = yield from find_crons(identity, filters, {"cron": cron_id}, "s.id", 1, 0).start()
    return rows[0] if rows else None


def _parameters(identity: Identity, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`wanted`: any of `cron`, `assistant`, `thread`, `enabled`, `metadata`."""
    names = ("cron", "assistant", "thread", "enabled")
    given = {name: wanted.get(name) for name in names}
    return {**given, "metadata": jsonb(wanted.get("metadata") or {}), **parameters_of(identity)}
