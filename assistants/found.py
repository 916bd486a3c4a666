"""Assistants as LangGraph's clients read them: with their current version, found by what the clients filter by.

Operations, for the async routes. `also` is a further condition on `a.metadata`, and its parameters: what a deployment's
own authorization demands of a row. What is archived is not there.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from accounts.identity import Identity
from accounts.scoping import in_workspace, parameters_of
from core.db import Operation, Query, Row, jsonb, operation

Also = tuple[str, dict[str, Any]]
EVERY: Also = ("true", {})

SORTED_BY = {
    "assistant_id": "a.id",
    "created_at": "a.created_at",
    "updated_at": "a.updated_at",
    "name": "a.name",
    "graph_id": "coalesce(a.graph_id, a.type)",
}

_THERE = f"{in_workspace('a')} AND a.status <> 'archived'"
_SELECT = """
SELECT a.id, a.name, a.type, a.graph_id, a.description, a.version, a.metadata, a.created_at, a.updated_at, v.config
FROM assistants a JOIN assistant_versions v ON v.assistant_id = a.id AND v.number = a.version
"""
_VERSIONS = f"""
SELECT a.id, v.config->>'name' AS name, v.config->>'type' AS type, v.config->>'graph_id' AS graph_id,
    v.config->>'description' AS description, v.number AS version, v.config->'metadata' AS metadata, v.created_at,
    v.config
FROM assistants a JOIN assistant_versions v ON v.assistant_id = a.id
WHERE a.id = %(assistant)s AND {_THERE}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which assistants: all of `metadata` is in theirs, their graph (or type) is this one, their name contains this."""

    metadata: dict[str, Any] = field(default_factory=dict)
    graph_id: str | None = None
    name: str | None = None
    also: Also = EVERY

    def where(self, identity: Identity) -> tuple[str, dict[str, Any]]:
        """The condition, and its parameters."""
        condition, parameters = self.also
        conditions, given = [_THERE, f"({condition})"], {**parameters_of(identity), **parameters}
        if self.metadata:
            conditions.append("a.metadata @> %(metadata)s")
            given["metadata"] = jsonb(self.metadata)
        if self.graph_id is not None:
            conditions.append("(a.graph_id = %(graph)s OR (a.graph_id IS NULL AND a.type = %(graph)s))")
            given["graph"] = self.graph_id
        if self.name:
            conditions.append("strpos(lower(a.name), lower(%(name)s)) > 0")
            given["name"] = self.name
        return " AND ".join(conditions), given


@operation()
def find(identity: Identity, assistant_id: UUID, also: Also = EVERY) -> Operation[Row | None]:
    """The assistant with its configuration; None where the caller has none."""
    where, given = Wanted(also=also).where(identity)
    rows = yield Query(f"{_SELECT} WHERE a.id = %(assistant)s AND {where}", {**given, "assistant": assistant_id})
    return rows[0] if rows else None


@operation()
def search(
    identity: Identity, wanted: Wanted, *, sort_by: str, descending: bool, limit: int, offset: int
) -> Operation[list[Row]]:
    """The assistants in this order (`SORTED_BY`), at most `limit` of them."""
    where, given = wanted.where(identity)
    direction = "DESC" if descending else "ASC"
    order = f"{SORTED_BY[sort_by]} {direction}, a.id {direction}"
    statement = f"{_SELECT} WHERE {where} ORDER BY {order} LIMIT %(limit)s OFFSET %(offset)s"
    return (yield Query(statement, {**given, "limit": limit, "offset": offset}))


@operation()
def count(identity: Identity, wanted: Wanted) -> Operation[int]:
    """How many there are."""
    where, given = wanted.where(identity)
    rows = yield Query(f"SELECT count(*) AS found FROM assistants a WHERE {where}", given)  # noqa: S608
    found: int = rows[0]["found"]
    return found


@operation()
def versions(
    identity: Identity, assistant_id: UUID, metadata: dict[str, Any], *, limit: int, offset: int
) -> Operation[list[Row]]:
    """The assistant's versions, the latest first; `metadata` is in that of each."""
    statement = (
        f"{_VERSIONS} AND v.config->'metadata' @> %(metadata)s ORDER BY v.number DESC LIMIT %(limit)s OFFSET %(offset)s"
    )
    given = {"assistant": assistant_id, "metadata": jsonb(metadata), "limit": limit, "offset": offset}
    return (yield Query(statement, {**given, **parameters_of(identity)}))
