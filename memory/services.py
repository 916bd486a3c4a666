"""Every write to the store, and the reads that keep what is read.

An owner is a workspace and a user: the store of a caller who is bound to a user is that user's own, everybody else of
the workspace shares one, whose user is "". Callers who have an `Identity` get it by `owner_of`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from accounts import audit
from accounts.identity import Identity
from accounts.scoping import in_workspace, parameters_of
from core.batches import in_batches
from core.db import Operation, Query, Row, jsonb, operation
from core.errors import Invalid, NotFound
from core.ids import new_id
from core.text import clean
from memory.filters import Conditions
from memory.items import MAX_TTL_MINUTES, MAX_VALUE_BYTES, Listing, Namespace, Put, Search, check_labels, check_name

BATCH = 1_000
BATCHES = 50


class Owner(NamedTuple):
    """Whose store it is."""

    workspace_id: UUID
    user_id: str = ""


def owner_of(identity: Identity) -> Owner:
    """The store that the caller sees."""
    return Owner(identity.workspace_id, identity.user_id or "")


_MINE = "i.workspace_id = %(owner_workspace)s AND i.user_id = %(owner_user)s"
_ALIVE = "(i.expires_at IS NULL OR i.expires_at > clock_timestamp())"
# No label is greater than NULL, whatever the collation: one range of the index holds what begins with a prefix.
_BEGINS = "i.namespace >= %(prefix)s::text[] AND i.namespace < array_append(%(prefix)s::text[], NULL)"
_COLUMNS = "i.id, i.namespace, i.key, i.value, i.ttl_minutes, i.created_at, i.updated_at"

# What has run out and is not swept yet is gone: what takes its place is new.
_PUT = """
INSERT INTO store_items AS i (id, workspace_id, user_id, namespace, key, value, ttl_minutes, expires_at)
SELECT g.id, %(owner_workspace)s, %(owner_user)s, g.namespace, g.key, g.value, g.ttl,
    clock_timestamp() + make_interval(secs => g.ttl * 60)
FROM jsonb_to_recordset(%(items)s) AS g(id uuid, namespace text[], key text, value jsonb, ttl float8)
ON CONFLICT (workspace_id, user_id, namespace, key) DO UPDATE SET value = excluded.value,
    ttl_minutes = excluded.ttl_minutes, expires_at = excluded.expires_at, updated_at = clock_timestamp(),
    created_at = CASE WHEN i.expires_at <= clock_timestamp() THEN clock_timestamp() ELSE i.created_at END
"""

_DELETE = f"""
DELETE FROM store_items i
USING jsonb_to_recordset(%(names)s) AS g(namespace text[], key text)
WHERE {_MINE} AND i.namespace = g.namespace AND i.key = g.key RETURNING i.id
"""  # noqa: S608 - constants

_GET = f"""
SELECT {_COLUMNS} FROM jsonb_to_recordset(%(names)s) AS g(namespace text[], key text)
JOIN store_items i ON {_MINE} AND i.namespace = g.namespace AND i.key = g.key AND {_ALIVE}
"""  # noqa: S608 - constants

_SEARCH = f"""
SELECT {_COLUMNS} FROM store_items i WHERE {_MINE} AND {_BEGINS} AND {_ALIVE} AND {{filter}}
ORDER BY i.updated_at DESC, i.id DESC LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - constants

# What is read by many at once is moved on by one of them, and nobody waits for that.
_REFRESHED = """
WITH found AS MATERIALIZED ({reading}), locked AS (
    SELECT i.id FROM store_items i WHERE i.id IN (SELECT id FROM found WHERE ttl_minutes IS NOT NULL)
    FOR NO KEY UPDATE SKIP LOCKED
), kept AS (
    UPDATE store_items i SET expires_at = clock_timestamp() + make_interval(secs => i.ttl_minutes * 60)
    FROM locked WHERE i.id = locked.id
)
SELECT * FROM found
"""

_NAMESPACES = f"""
SELECT DISTINCT i.namespace[1:coalesce(%(depth)s::int, cardinality(i.namespace))] AS namespace FROM store_items i
WHERE {_MINE} AND {_BEGINS} AND {_ALIVE} AND {{matches}}
ORDER BY 1 LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608 - constants


@operation()
def put_items(owner: Owner, items: Sequence[Put]) -> Operation[None]:
    """Write documents; of several under one name the last one stays. Text that PostgreSQL cannot store is cleaned.

    Raises `BadRequest` and `Invalid` for a name, a value or a time to live that no item has.
    """
    rows = {(tuple(item.namespace), item.key): _row(item) for item in items}
    if rows:
        # In one order everywhere: two writers of the same items do not wait for each other.
        ordered = [rows[name] for name in sorted(rows)]
        yield Query(_PUT, {**_whose(owner), "items": jsonb(ordered)})


def _row(item: Put) -> dict[str, Any]:
    namespace, key = _stored(item.namespace, item.key)
    check_name(namespace, key)
    value = clean(item.value)
    if len(orjson.dumps(value)) > MAX_VALUE_BYTES:
        raise Invalid(f"A value has {MAX_VALUE_BYTES} bytes at most.")
    if item.ttl_minutes is not None and not 0 < item.ttl_minutes <= MAX_TTL_MINUTES:
        raise Invalid(f"ttl: a number of minutes above 0, up to {MAX_TTL_MINUTES}.")
    return {"id": str(new_id()), "namespace": namespace, "key": key, "value": value, "ttl": item.ttl_minutes}


@operation()
def delete_items(owner: Owner, names: Sequence[tuple[Namespace, str]]) -> Operation[int]:
    """Delete documents; gives how many there were."""
    if not names:
        return 0
    return len((yield Query(_DELETE, {**_whose(owner), "names": _names(names)})))


@operation(atomic=True)
def delete_item(identity: Identity, item_id: UUID) -> Operation[None]:
    """Delete a document of whomever in the caller's workspace, by its id. Raises NotFound."""
    gone = yield Query(
        f"DELETE FROM store_items i WHERE i.id = %(id)s AND {in_workspace('i')} RETURNING i.namespace, i.key",  # noqa: S608
        {"id": item_id, **parameters_of(identity)},
    )
    if not gone:
        raise NotFound("There is no such document.")
    yield audit.entry(identity, "deleted", "store_item", item_id, namespace=gone[0]["namespace"], key=gone[0]["key"])


@operation()
def get_items(
    owner: Owner, names: Sequence[tuple[Namespace, str]], *, refresh_ttl: bool = True
) -> Operation[dict[tuple[tuple[str, ...], str], Row]]:
    """The documents that are there, by namespace and key as asked: `namespace`, `key`, `value`, `created_at`,
    `updated_at`.

    `refresh_ttl`: those with a time to live begin it anew.
    """
    if not names:
        return {}
    statement = _REFRESHED.format(reading=_GET) if refresh_ttl else _GET
    rows = yield Query(statement, {**_whose(owner), "names": _names(names)})
    found = {(tuple(row["namespace"]), row["key"]): row for row in rows}
    asked = [(tuple(namespace), key) for namespace, key in names]
    return {name: found[stored] for name in asked if (stored := _stored(*name)) in found}


@operation()
def search_items(owner: Owner, search: Search) -> Operation[list[Row]]:
    """The documents that match, as `get_items` gives them. Raises `BadRequest` for an unknown operator, `Invalid` for a
    label that no namespace has."""
    check_labels(search.prefix)
    conditions = Conditions(clean(search.filter))
    statement = _SEARCH.format(filter=conditions.sql)
    if search.refresh_ttl:
        statement = f"{_REFRESHED.format(reading=statement)} ORDER BY updated_at DESC, id DESC"
    return (
        yield Query(
            statement,
            {
                **_whose(owner),
                "prefix": clean(list(search.prefix)),
                "limit": search.limit,
                "offset": search.offset,
                **conditions.parameters,
            },
        )
    )


@operation()
def list_namespaces(owner: Owner, listing: Listing) -> Operation[list[list[str]]]:
    """The namespaces that have items, in order. Raises `Invalid` for a label that no namespace has."""
    check_labels([*listing.prefix, *listing.suffix])
    matches, parameters = _matching(clean(list(listing.prefix)), clean(list(listing.suffix)))
    rows = yield Query(
        _NAMESPACES.format(matches=matches),
        {
            **_whose(owner),
            "depth": listing.max_depth,
            "limit": listing.limit,
            "offset": listing.offset,
            **parameters,
        },
    )
    return [row["namespace"] for row in rows]


def _matching(prefix: list[str], suffix: list[str]) -> tuple[str, dict[str, Any]]:
    """The condition on both ends of a namespace, and its parameters."""
    wild = next((i for i, label in enumerate(prefix) if label == "*"), len(prefix))
    conditions = [f"cardinality(i.namespace) >= {max(len(prefix), len(suffix))}"]
    parameters: dict[str, Any] = {"prefix": prefix[:wild]}
    places = [(str(n), label) for n, label in enumerate(prefix, start=1)]
    places += [(f"cardinality(i.namespace) - {n}", label) for n, label in enumerate(reversed(suffix))]
    for number, (place, label) in enumerate(places):
        if label != "*":
            conditions.append(f"i.namespace[{place}] = %(label_{number})s")
            parameters[f"label_{number}"] = label
    return " AND ".join(conditions), parameters


def _whose(owner: Owner) -> dict[str, Any]:
    return {"owner_workspace": owner.workspace_id, "owner_user": owner.user_id}


def _stored(namespace: Namespace, key: str) -> tuple[tuple[str, ...], str]:
    return tuple(clean(label) for label in namespace), clean(key)


def _names(names: Sequence[tuple[Namespace, str]]) -> Any:
    stored = dict.fromkeys(_stored(*name) for name in names)
    return jsonb([{"namespace": namespace, "key": key} for namespace, key in stored])


def sweep(*, batch: int = BATCH, batches: int = BATCHES) -> int:
    """Delete the documents whose time has run out; gives how many. At most `batch` in a transaction."""
    return in_batches(lambda: _sweep(batch).run(), batch, batches)


@operation()
def _sweep(batch: int) -> Operation[int]:
    gone = yield Query(
        """
        DELETE FROM store_items WHERE id IN (
            SELECT id FROM store_items WHERE expires_at <= now() ORDER BY expires_at LIMIT %(batch)s
            FOR UPDATE SKIP LOCKED
        ) RETURNING id
        """,
        {"batch": batch},
    )
    return len(gone)
