"""Telling of runs: in the transaction that ends or interrupts them, an event for whoever wants to hear of it.

That is the endpoints of the workspace that subscribe to the kind, and the URL that a run names itself (`webhook`).
Children tell nothing: they are part of the run that started them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings

from core.db import Row, jsonb
from core.ids import new_id
from runs.documents import run_document
from webhooks.kinds import KIND_OF_STATUS

# As JSON text; of more than this only the rest of the run is told.
MAX_CONTENT_BYTES = 256 * 1024

_TOLD_OF = ", ".join(f"'{status}'" for status in KIND_OF_STATUS)
_WHEN = " ".join(f"WHEN '{status}' THEN '{kind}'" for status, kind in KIND_OF_STATUS.items())

# What `told_document` needs, as it is at this moment: whole rows, which cost the least to plan for.
_SNAPSHOT = """
SELECT to_jsonb(runs) AS run, content.parts
FROM runs CROSS JOIN LATERAL (
    SELECT jsonb_build_object('input', p.input, 'output', p.output, 'steps',
        (SELECT jsonb_agg(to_jsonb(s) ORDER BY s.index) FROM run_steps s WHERE s.run_id = p.run_id)) AS parts
    FROM run_payloads p WHERE p.run_id = runs.id OFFSET 0) AS content
WHERE runs.id = c.id
"""

# Besides, for a run whose own webhook is told in LangGraph's words: what it asked for, and its thread's values.
_LIKE_LANGGRAPH = f"""
SELECT CASE WHEN octet_length(thread.parts::text) <= {MAX_CONTENT_BYTES} THEN thread.parts ELSE '{{}}' END
    || '{{"told_as": "langgraph"}}'
FROM run_payloads p CROSS JOIN LATERAL (
    SELECT jsonb_build_object('kwargs', p.kwargs, 'hosted', a.graph_id IS NOT NULL, 'state', s.state, 'messages',
        CASE WHEN a.graph_id IS NULL THEN (SELECT jsonb_agg(to_jsonb(m) ORDER BY m.seq) FROM messages m
            WHERE m.session_id = s.id AND m.dropped_at_step IS NULL) END) AS parts
    FROM runs r JOIN sessions s ON s.id = r.session_id JOIN assistants a ON a.id = r.assistant_id
    WHERE r.id = p.run_id OFFSET 0) AS thread
WHERE p.run_id = c.id
"""  # noqa: S608 - constants

# Expressions of the statement that concludes a run (`runs.ending`), because each statement costs every run something:
# where nobody listens they find nothing by two short looks. The endpoints are locked against deletion only: whoever
# deletes one waits for this transaction. What is told in LangGraph's words has another body and its own event.
TELLING = f"""
concerned AS (
    SELECT r.id, r.workspace_id, r.webhook, given.event, CASE r.status {_WHEN} END AS kind,
        CASE WHEN r.webhook->>'format' = 'langgraph' THEN given.own ELSE given.event END AS own,
        r.status = 'success' AND r.interrupted_at IS NOT NULL AS told_when_it_asked
    FROM jsonb_to_recordset(%(told)s) AS given(run uuid, event uuid, own uuid)
    JOIN runs r ON r.id = given.run
    WHERE r.parent_run_id IS NULL AND r.status IN ({_TOLD_OF})
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
    SELECT c.own, c.workspace_id, c.kind, NULL, c.webhook->>'url', c.webhook->>'secret_env',
        left(lower(substring(c.webhook->>'url' FROM '^[a-z]+://[^/?#]+')), 300), %(retries)s::int
    FROM concerned c WHERE c.webhook->'events' ? c.kind
        AND NOT (c.told_when_it_asked AND c.own <> c.event)
), told AS (
    INSERT INTO webhook_events (id, workspace_id, kind, run_id, data)
    SELECT heard.event, c.workspace_id, c.kind, c.id, snapshot.run ||
        CASE WHEN octet_length(snapshot.parts::text) <= {MAX_CONTENT_BYTES} THEN snapshot.parts
            ELSE '{{"truncated": true}}' END
        || CASE WHEN heard.event <> c.event THEN ({_LIKE_LANGGRAPH}) ELSE '{{}}' END
    FROM (SELECT DISTINCT event FROM heard) heard JOIN concerned c ON heard.event IN (c.event, c.own)
    CROSS JOIN LATERAL ({_SNAPSHOT}) AS snapshot
), sent AS (
    INSERT INTO webhook_deliveries (id, workspace_id, event_id, endpoint_id, kind, url, secret_env, destination, status,
        max_attempts, next_attempt_at)
    SELECT gen_random_uuid(), workspace_id, event, endpoint, kind, url, secret_env, destination, 'pending',
        1 + retries, clock_timestamp()
    FROM heard RETURNING event_id
)
"""  # noqa: S608 - constants


def telling_of(runs: Sequence[UUID], *, written_here: bool) -> dict[str, Any]:
    """The parameters of `TELLING`: an event for each of the runs of which somebody wants to hear, as they stand now.

    `written_here`: only of those that this transaction has written, which takes no savepoints.
    """
    return {
        "told": jsonb([{"run": run, "event": new_id(), "own": new_id()} for run in runs] if settings.WEBHOOKS else []),
        # The row's xmin is the transaction that wrote it, or a savepoint of it.
        "written_here": written_here,
        "retries": len(settings.WEBHOOK_RETRY_DELAYS_S),
    }


def told_document(snapshot: Row) -> dict[str, Any]:
    """`data` of a webhook's body: the run's document, of what `TELLING` kept of it."""
    truncated = snapshot.get("truncated", False)
    left_out = {"input": None, "output": None, "steps": None}
    content = left_out if truncated else {"steps": [with_moments(step) for step in snapshot["steps"] or ()]}
    document = run_document({**with_moments(snapshot), **content})
    return {**document, **left_out, "truncated": True} if truncated else document


def with_moments(row: Row) -> Row:
    """The row with its moments as such: JSON has them in PostgreSQL's form."""
    return {
        name: datetime.fromisoformat(value) if value and name.endswith("_at") else value for name, value in row.items()
    }
