"""Telling: an event and its deliveries are stored in the transaction of what happened, and sent after its commit.

Runs tell of themselves by a statement of their own (`runs.telling`), because they end many at a time.
"""

from typing import Any
from uuid import UUID

from django.conf import settings

from core.db import After, Operation, Query, jsonb
from core.ids import new_id
from webhooks.doorbell import ring
from webhooks.kinds import Kind

# The endpoints are locked against deletion only: whoever deletes one waits for this transaction.
_TELL = """
WITH heard AS (
    SELECT e.id, e.url, e.retry_delays_s FROM webhook_endpoints e
    WHERE e.workspace_id = %(workspace)s AND e.enabled AND %(kind)s = ANY(e.events) FOR KEY SHARE
), told AS (
    INSERT INTO webhook_events (id, workspace_id, kind, data)
    SELECT %(event)s, %(workspace)s, %(kind)s, %(data)s WHERE EXISTS (SELECT FROM heard) RETURNING id
)
INSERT INTO webhook_deliveries (id, workspace_id, event_id, endpoint_id, kind, url, destination, status, max_attempts,
    next_attempt_at)
SELECT gen_random_uuid(), %(workspace)s, told.id, heard.id, %(kind)s, heard.url, heard.id::text, 'pending',
    1 + coalesce(cardinality(heard.retry_delays_s), %(retries)s), clock_timestamp()
FROM heard CROSS JOIN told RETURNING id
"""

# Of what is the server's each workspace that listens has an event of its own.
_TELL_ALL = """
WITH heard AS (
    SELECT e.id, e.workspace_id, e.url, e.retry_delays_s FROM webhook_endpoints e
    WHERE e.enabled AND %(kind)s = ANY(e.events) FOR KEY SHARE
), told AS (
    INSERT INTO webhook_events (id, workspace_id, kind, data)
    SELECT gen_random_uuid(), workspace_id, %(kind)s, %(data)s
    FROM (SELECT DISTINCT workspace_id FROM heard) AS listening RETURNING id, workspace_id
)
INSERT INTO webhook_deliveries (id, workspace_id, event_id, endpoint_id, kind, url, destination, status, max_attempts,
    next_attempt_at)
SELECT gen_random_uuid(), told.workspace_id, told.id, heard.id, %(kind)s, heard.url, heard.id::text, 'pending',
    1 + coalesce(cardinality(heard.retry_delays_s), %(retries)s), clock_timestamp()
FROM heard JOIN told USING (workspace_id) RETURNING id
"""


def tell(workspace_id: UUID, kind: Kind, data: dict[str, Any]) -> Operation[int]:
    """Queue an event for all endpoints of the workspace that subscribe to its kind; gives how many there are.

    Inside the caller's transaction; the dispatcher's doorbell rings once it is committed. None are queued where
    webhooks are switched off.
    """
    return (yield from _queue(_TELL, kind, data, event=new_id(), workspace=workspace_id))


def tell_all(kind: Kind, data: dict[str, Any]) -> Operation[int]:
    """Queue an event for all endpoints of the server that subscribe to its kind; gives how many there are."""
    return (yield from _queue(_TELL_ALL, kind, data))


def _queue(statement: str, kind: Kind, data: dict[str, Any], **whose: UUID) -> Operation[int]:
    if not settings.WEBHOOKS:
        return 0
    told = {"kind": str(kind), "data": jsonb(data), "retries": len(settings.WEBHOOK_RETRY_DELAYS_S)}
    deliveries = yield Query(statement, {**told, **whose})
    if deliveries:
        yield After(ring)
    return len(deliveries)
