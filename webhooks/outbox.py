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

_LISTENING = """
SELECT DISTINCT workspace_id FROM webhook_endpoints WHERE enabled AND %(kind)s = ANY(events) ORDER BY workspace_id
"""


def tell(workspace_id: UUID, kind: Kind, data: dict[str, Any]) -> Operation[int]:
    """Queue an event for all endpoints of the workspace that subscribe to its kind; gives how many there are.

    Inside the caller's transaction; the dispatcher's doorbell rings once it is committed. None are queued where
    webhooks are switched off.
    """
    if not settings.WEBHOOKS:
        return 0
    deliveries = yield Query(
        _TELL,
        {
            "event": new_id(),
            "workspace": workspace_id,
            "kind": str(kind),
            "data": jsonb(data),
            "retries": len(settings.WEBHOOK_RETRY_DELAYS_S),
        },
    )
    if deliveries:
        yield After(ring)
    return len(deliveries)


def tell_all(kind: Kind, data: dict[str, Any]) -> Operation[int]:
    """The same for each workspace of the server that subscribes to the kind: each has an event of its own."""
    told = 0
    for row in (yield Query(_LISTENING, {"kind": str(kind)})):
        told += yield from tell(row["workspace_id"], kind, data)
    return told
