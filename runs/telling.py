"""Telling of runs: in the transaction that ends or interrupts them, an event for whoever wants to hear of it.

That is the endpoints of the workspace that subscribe to the kind, and the URL that a run names itself (`webhook`).
Children tell nothing: they are part of the run that started them.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.conf import settings

from core.db import After, Operation, Query, Row
from core.ids import new_id
from runs.documents import RUN_COLUMNS, run_document
from runs.queries import STEPS
from webhooks.doorbell import ring
from webhooks.kinds import KIND_OF_STATUS

# As JSON text; of more than this only the rest of the run is told.
MAX_CONTENT_BYTES = 256 * 1024

_WHEN = " ".join(f"WHEN '{status}' THEN '{kind}'" for status, kind in KIND_OF_STATUS.items())

# Moments in the API's form: what JSON makes of them depends on the connection's time zone.
_COLUMNS = ", ".join(
    f"""to_char(runs.{name} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS {name}"""
    if name.endswith("_at")
    else f"runs.{name}"
    for name in RUN_COLUMNS.split(", ")
)

# What `run_document` needs, as it is at this moment. `content` is no column of it.
_SNAPSHOT = f"""
SELECT {_COLUMNS}, content.whole->'input' AS input, content.whole->'output' AS output, content.whole->'steps' AS steps,
    content.whole IS NULL AS truncated
FROM runs CROSS JOIN LATERAL (
    SELECT CASE WHEN octet_length(to_jsonb(parts)::text) <= {MAX_CONTENT_BYTES} THEN to_jsonb(parts) END AS whole
    FROM (SELECT p.input, p.output, {STEPS} FROM run_payloads p WHERE p.run_id = runs.id) AS parts) AS content
WHERE runs.id = c.id
"""  # noqa: S608 - constants

# One statement, which finds nothing by two short looks where nobody listens. The endpoints are locked against deletion
# only: whoever deletes one waits for this transaction.
_TELL = f"""
WITH concerned AS (
    SELECT r.id, r.workspace_id, r.webhook, given.event, CASE r.status {_WHEN} END AS kind
    FROM unnest(%(runs)s::uuid[], %(events)s::uuid[]) AS given(run, event) JOIN runs r ON r.id = given.run
    WHERE r.parent_run_id IS NULL AND r.status = ANY(%(told_of)s)
        AND (NOT %(written_here)s OR r.xmin = pg_current_xact_id()::xid)
), subscribed AS (
    SELECT c.event, c.workspace_id, c.kind, e.id AS endpoint, e.url, NULL::text AS secret_env,
        e.id::text AS destination, coalesce(cardinality(e.retry_delays_s), %(retries)s::int) AS retries
    FROM concerned c
    JOIN webhook_endpoints e ON e.workspace_id = c.workspace_id AND e.enabled AND c.kind = ANY(e.events)
    FOR KEY SHARE OF e
), heard AS (
    SELECT * FROM subscribed
    UNION ALL
    SELECT c.event, c.workspace_id, c.kind, NULL, c.webhook->>'url', c.webhook->>'secret_env',
        left(lower(substring(c.webhook->>'url' FROM '^[a-z]+://[^/?#]+')), 300), %(retries)s::int
    FROM concerned c WHERE c.webhook->'events' ? c.kind
), told AS (
    INSERT INTO webhook_events (id, workspace_id, kind, run_id, data)
    SELECT c.event, c.workspace_id, c.kind, c.id, to_jsonb(snapshot)
    FROM concerned c CROSS JOIN LATERAL ({_SNAPSHOT}) AS snapshot WHERE c.event IN (SELECT event FROM heard)
)
INSERT INTO webhook_deliveries (id, workspace_id, event_id, endpoint_id, kind, url, secret_env, destination, status,
    max_attempts, next_attempt_at)
SELECT gen_random_uuid(), workspace_id, event, endpoint, kind, url, secret_env, destination, 'pending', 1 + retries,
    clock_timestamp()
FROM heard RETURNING event_id
"""  # noqa: S608 - constants


def tell_of(runs: Sequence[UUID], *, written_here: bool = False) -> Query:
    """Queue an event and its deliveries for each of the runs of which somebody wants to hear, as they stand now.

    Inside the transaction that has just ended or interrupted them. Gives a row for each delivery: where there is one,
    `webhooks.doorbell.ring` belongs after the commit. `written_here`: only of those that this transaction has written,
    for who cannot tell which of them it has; it takes no savepoints.
    """
    # The row's xmin is the transaction that wrote it, or a savepoint of it.
    return Query(
        _TELL,
        {
            "runs": list(runs) if settings.WEBHOOKS else [],
            "events": [new_id() for _ in runs] if settings.WEBHOOKS else [],
            "told_of": list(KIND_OF_STATUS),
            "written_here": written_here,
            "retries": len(settings.WEBHOOK_RETRY_DELAYS_S),
        },
    )


def telling(runs: Sequence[UUID]) -> Operation[None]:
    """`tell_of` inside an operation, with the ring after its commit."""
    if runs and (yield tell_of(runs)):
        yield After(ring)


def told_document(snapshot: Row) -> dict[str, Any]:
    """`data` of a webhook's body: the run's document, of what `tell_of` kept of it."""
    document = run_document(snapshot)
    if not snapshot["truncated"]:
        return document
    return {**document, "input": None, "output": None, "steps": None, "truncated": True}
